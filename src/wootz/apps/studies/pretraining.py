"""What does pretraining without labels learn? Frozen features of every method beside hand-made ones.

A cell trains one method on the tiles of one public set, without labels, and judges the frozen features on the
set's fixed splits: by their nearest neighbours where images have classes, by ridge regression of the phase
fractions of each tile where they have masks. Options of the judges are chosen on val, figures are of test.
"""

from pathlib import Path
from typing import Any

import numpy as np

from wootz.apps.handmade import grey_histogram, local_binary_patterns, pixel_pca
from wootz.apps.studies.micrographs import MicrographSet, find_set, ingest_one
from wootz.archive import Archive
from wootz.tiles import TileSet

NEU = MicrographSet("neu", {"pattern": "{specimen}_{n}"})
TILE_PX = {"neu": 200}
VIEWS = {"neu": {"area_min_frac": 0.12, "area_max_frac": 0.45}}  # about one to one at views of 96 px
NEIGHBOURS = (1, 5, 20)
RIDGES = tuple(10.0**power for power in range(-3, 5))
HANDMADE = {"grey_histogram": grey_histogram, "lbp": local_binary_patterns, "pixel_pca": pixel_pca}
IGNORE = 255


def prepare(fixed: dict[str, Any], folder: Path, *, data: str) -> dict[str, Any]:
    """Ingest each set into an archive of its own; what is there is passed over.

    Parameters
    ----------
    fixed : dict
        ``sets``: names.
    folder : Path
        Receives one archive a set.
    data : str
        Folder with the public sets and splits.json.
    """
    figures = {}
    for name in fixed["sets"]:
        archive = ingest_one(Path(data), folder / name, item=_find(name), tile_px=TILE_PX.get(name, 128))
        figures[name] = {"images": len(archive.images), "tiles": len(archive.tile_table)}
    return figures


def cell(params: dict[str, Any], folder: Path, *, shared: Path) -> dict[str, Any]:
    """Make the features of one set in one way and judge them.

    Parameters
    ----------
    params : dict
        ``set``, ``features`` (random, a method of `wootz pretrain`, or hand-made), ``seed``, ``steps``,
        ``batch_size``, ``encoder`` and ``own``: other options of some methods, by name.
    folder : Path
        Of the training.
    shared : Path
        Folder that `prepare` filled.

    Returns
    -------
    dict
        ``score``: balanced accuracy of nearest neighbours (neu) or R^2 of the phase fractions, on test;
        ``score_val``, ``choice`` (of neighbours or ridge, by val), ``dim``.
    """
    archive = Archive(shared / params["set"])
    tiles = archive.tiles()
    features, facts = make_features(tiles, params, folder=folder)
    splits = tiles.frame["split"].to_numpy(dtype=object)
    if params["set"] == "neu":
        labels = tiles.frame["specimen"].to_numpy(dtype=object)
        judged = judge_classes(features, labels, splits=splits)
    else:
        judged = judge_fractions(features, phase_fractions(tiles, params["set"]), splits=splits)
    return judged | facts | {"dim": features.shape[1]}


def make_features(
    tiles: TileSet, params: dict[str, Any], *, folder: Path
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the features of all tiles, (N, D) float32, and facts about their making."""
    from wootz.encoders import build_encoder, load_encoder
    from wootz.ssl import embed_arrays
    from wootz.ssl.pretraining import pretrain_tiles

    name = params["features"]
    pixels = tiles.scaled(slice(None))
    if name in HANDMADE:
        return HANDMADE[name](pixels), {}
    own = params.get("own", {}).get(name, {})
    encoder = own.get("encoder", params["encoder"])
    if name == "random":
        return embed_arrays(pixels, build_encoder(encoder, generator_seed=params["seed"])), {}
    result = pretrain_tiles(tiles, _options(tiles, params | own), folder=folder)
    facts = {
        "rankme": result.rankme,
        "loss_first": result.loss_first,
        "loss_last": result.loss_last,
        "train_seconds": result.seconds,
    }
    return embed_arrays(pixels, load_encoder(result.checkpoint)), facts


def _options(tiles: TileSet, params: dict[str, Any]) -> Any:
    from wootz.ssl import PretrainConfig, method_options

    batch_size = min(params["batch_size"], len(tiles))
    options = PretrainConfig(
        method=method_options(params["features"]),
        encoder=params["encoder"],
        batch_size=batch_size,
        epochs=-(-params["steps"] // (len(tiles) // batch_size)),
        precision=params["precision"],
        seed=params["seed"],
    )
    for key, value in VIEWS.get(params["set"], {}).items():
        setattr(options.augment, key, value)
    return options


def phase_fractions(tiles: TileSet, scheme: str) -> np.ndarray:
    """Return the share of each class of a scheme in each tile, (N, C); NaN where nothing is labelled."""
    n_classes = len(tiles.archive.classes(scheme))
    rows = np.full((len(tiles), n_classes), np.nan)
    labelled = set(tiles.archive.annotations.query("scheme == @scheme")["image_id"])
    frame = tiles.frame
    for image_id, group in frame.groupby("image_id", sort=False):
        if image_id not in labelled:
            continue
        mask = tiles.archive.mask(str(image_id), scheme=scheme)
        for index, tile in group.iterrows():
            window = mask[
                tile["row"] : tile["row"] + tile["height"], tile["col"] : tile["col"] + tile["width"]
            ]
            counts = np.bincount(window[window != IGNORE], minlength=n_classes)[:n_classes]
            if counts.sum():
                rows[int(index)] = counts / counts.sum()  # type: ignore[call-overload]
    return rows


def judge_classes(features: np.ndarray, labels: np.ndarray, *, splits: np.ndarray) -> dict[str, Any]:
    """Judge features by their nearest neighbours in the training split; val chooses how many.

    Parameters
    ----------
    features : (N, D) float32
    labels : (N,) str
    splits : (N,) str
        train, val or test.
    """
    from wootz.ssl import knn_probe

    def score(k: int, split: str) -> float:
        train, asked = splits == "train", splits == split
        return knn_probe(
            features[train], labels[train], test_features=features[asked], test_labels=labels[asked], k=k
        )

    best = max(NEIGHBOURS, key=lambda k: score(k, "val"))
    return {"score": score(best, "test"), "score_val": score(best, "val"), "choice": best}


def judge_fractions(features: np.ndarray, fractions: np.ndarray, *, splits: np.ndarray) -> dict[str, Any]:
    """Judge features by ridge regression of phase fractions; val chooses the ridge.

    Parameters
    ----------
    features : (N, D) float32
    fractions : (N, C) float
        NaN in tiles without labels.
    splits : (N,) str

    Returns
    -------
    dict
        ``score``: ``1 - sum of squared errors / sum of squares about the training mean``, pooled over the
        classes, on test: 0 is as good as knowing the mean, negative is worse. Predictions are cut to [0, 1],
        as fractions are: on other specimens some features lie far outside what the training split shows.
    """
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    known = np.isfinite(fractions).all(axis=1)
    train, val, test = (known & (splits == name) for name in ("train", "val", "test"))
    scaled = StandardScaler().fit(features[train]).transform(features)
    mean = fractions[train].mean(axis=0)

    def score(ridge: float, rows: np.ndarray) -> float:
        found = Ridge(alpha=ridge, solver="svd").fit(scaled[train], fractions[train]).predict(scaled[rows])
        left = np.square(found.clip(0.0, 1.0) - fractions[rows]).sum()
        return float(1.0 - left / np.square(mean - fractions[rows]).sum())

    best = max(RIDGES, key=lambda ridge: score(ridge, val))
    return {"score": score(best, test), "score_val": score(best, val), "choice": best}


def _find(name: str) -> MicrographSet:
    return NEU if name == NEU.name else find_set(name)
