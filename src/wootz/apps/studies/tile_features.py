"""Features of the tiles of a set: hand-made, of random weights, or pretrained on it without labels."""

from pathlib import Path
from typing import Any

import numpy as np

from wootz.apps.handmade import equalised_patterns, grey_histogram, local_binary_patterns, pixel_pca
from wootz.tiles import TileSet

VIEWS = {"neu": {"area_min_frac": 0.12, "area_max_frac": 0.45}}  # about one to one at views of 96 px
HANDMADE = {
    "grey_histogram": grey_histogram,
    "lbp": local_binary_patterns,
    "clahe_lbp": equalised_patterns,
    "pixel_pca": pixel_pca,
}


def make_features(
    tiles: TileSet, params: dict[str, Any], *, folder: Path
) -> tuple[np.ndarray, dict[str, Any]]:
    """Make the features of all tiles in one way.

    Parameters
    ----------
    tiles : TileSet
    params : dict
        ``set``, ``features`` (random, a method of `wootz pretrain`, hand-made, or ``filters``: the filter
        bank of `wootz embed`), ``seed``, ``encoder``;
        ``steps``, ``epochs`` (at least so many of each), ``batch_size`` and ``precision`` of a training;
        ``own``: other options of some features, by name, among them ``method`` where the name is none of a
        method, and ``block`` of the sampling.
    folder : Path
        Of the training, which goes on where it was stopped.

    Returns
    -------
    features : (N, D) float32
    facts : dict
        Of the training: ``rankme``, ``loss_first``, ``loss_last``, ``train_seconds``; ``checkpoint`` is the
        encoder's file.
    """
    name = params["features"]
    if name == "filters":
        from wootz.apps import chain
        from wootz.ssl import EmbedConfig

        chain.embed(tiles.archive, EmbedConfig(encoder=name, name=folder.name, seed=params["seed"]))
        return tiles.embedding(folder.name), {}
    pixels = tiles.scaled(slice(None))
    if name in HANDMADE:
        return HANDMADE[name](pixels), {}
    from wootz.encoders import build_encoder, load_encoder
    from wootz.ssl import embed_arrays
    from wootz.ssl.pretraining import pretrain_tiles
    from wootz.ssl.selection import tile_groups

    own = params.get("own", {}).get(name, {})
    encoder = own.get("encoder", params["encoder"])
    if name == "random":
        return embed_arrays(pixels, build_encoder(encoder, generator_seed=params["seed"])), {}
    method = own.get("method", name)  # the params of a study of clusterings hold another method
    options = _options(tiles, params | own, method=method, side_px=pixels.shape[-1])
    result = pretrain_tiles(tiles, options, folder=folder, groups=tile_groups(tiles, options.sampling))
    facts = {
        "rankme": result.rankme,
        "loss_first": result.loss_first,
        "loss_last": result.loss_last,
        "train_seconds": result.seconds,
        "checkpoint": str(result.checkpoint),
    }
    return embed_arrays(pixels, load_encoder(result.checkpoint)), facts


def _options(tiles: TileSet, params: dict[str, Any], *, method: str, side_px: int) -> Any:
    from wootz.ssl import PretrainConfig, method_options

    batch_size = min(params["batch_size"], len(tiles))
    options = PretrainConfig(
        method=method_options(method),
        encoder=params["encoder"],
        batch_size=batch_size,
        epochs=max(-(-params["steps"] // (len(tiles) // batch_size)), params.get("epochs", 0)),
        precision=params["precision"],
        seed=params["seed"],
    )
    options.sampling.block = params.get("block", 1)
    options.augment.out_px = min(options.augment.out_px, side_px)
    for key, value in VIEWS.get(params["set"], {}).items():
        setattr(options.augment, key, value)
    return options
