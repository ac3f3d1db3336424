"""Few labels: what pretraining without labels saves, on real, rendered or both kinds of tiles.

Each start of the same network on 1, 2, 4 and 8 labelled images of three public sets. The labelled images of a
seed are the same for every start, and those of fewer labels are among those of more. No other label is used:
the last step is kept, for nobody with one labelled image has another to choose the step by.
"""

from pathlib import Path
from typing import Any

import numpy as np

import wootz
from wootz.apps import chain
from wootz.apps.steps import Steps, alone
from wootz.apps.studies.micrographs import SETS, TILE_PX, MicrographSet, find_set, ingest_one, ingest_sets
from wootz.apps.studies.segmenting import image_ids, score_masks, segment_quick_pick, segment_wootz
from wootz.archive import Archive
from wootz.errors import WootzError
from wootz.ssl.sampling_options import SamplingConfig

ENCODER = "small"
COARSE_STRIDE_PX, COARSE_STEPS, COARSE_BATCH = 12, 600, 64
"""Of a set that is trained on shrunk fields: tiles overlap (stride after shrinking), for they are few."""
PRETRAINED = {"real": 0.0, "synthetic": 1.0, "real_and_synthetic": 0.5}
"""Share of rendered tiles in an epoch, by the name of the start."""


def prepare(fixed: dict[str, Any], folder: Path, *, data: str) -> dict[str, Any]:
    """Ingest the sets and rendered fields into one archive; the first cell of a start pretrains for it.

    Sets that are trained on shrunk fields are ingested once more, by tiles as much larger.

    Parameters
    ----------
    fixed : dict
        ``pretrain_steps``, ``n_rendered`` (fields) and ``method``.
    folder : Path
        Receives ``archive/``, ``coarse_<set>/``, ``rendered/`` and ``steps/``.
    data : str
        Folder with the public sets and splits.json.
    """
    steps, source = _steps(fixed, folder), Path(data)
    figures = steps.do(
        "ingest", "Ingesting six sets and rendered fields", lambda: _ingest(source, folder, fixed)
    )
    coarse = steps.do("coarse", "Ingesting larger tiles", lambda: _ingest_coarse(source, folder))
    return {"ingest": figures, "coarse": coarse}


def cell(params: dict[str, Any], folder: Path, *, shared: Path) -> dict[str, Any]:  # noqa: ARG001
    """Train one network on a few labelled images of one set and score it on the test images.

    Parameters
    ----------
    params : dict
        ``set``, ``start`` (quick_pick, random, real, synthetic, real_and_synthetic), ``n_labels``, ``seed``,
        ``steps`` of fine-tuning, ``encoder_lr_factor`` of pretrained encoders (random weights learn at the
        full rate), ``n_encoders`` that a start trains (the seed of a cell chooses among them by its
        remainder), and what `prepare` was given.
    folder : Path
    shared : Path
        Folder that `prepare` filled.
    """
    archive = wootz.open(shared / "archive")
    item = find_set(params["set"])
    images = draw_images(
        image_ids(archive, item, ("train",)), n_labels=params["n_labels"], seed=params["seed"]
    )
    start, seed = params["start"], params["seed"]
    if start == "quick_pick":
        masks = segment_quick_pick(archive, item, images=images, seed=seed)
    else:
        changes = {"steps": params["steps"]}
        if start == "random":
            encoder = f"random:{ENCODER}"
        else:
            encoder = _pretrained(shared, params)
            changes["encoder_lr_factor"] = params["encoder_lr_factor"]
        masks = segment_wootz(
            archive, item, images=images, encoder=encoder, seed=seed, use_val=False, **changes
        )
    return score_masks(archive, item, masks)


def draw_images(images: list[str], *, n_labels: int, seed: int) -> list[str]:
    """Draw labelled images; for one seed, fewer are among more.

    Raises
    ------
    WootzError
        If there are fewer than `n_labels`.
    """
    if n_labels > len(images):
        raise WootzError(f"n_labels={n_labels}, but the training split holds {len(images)} labelled images.")
    order = np.random.default_rng(seed).permutation(len(images))
    return [images[i] for i in order[:n_labels]]


def _ingest(data: Path, folder: Path, fixed: dict[str, Any]) -> dict[str, Any]:
    from wootz.ingest import IngestConfig, ingest
    from wootz.synthetic import RenderConfig, render

    archive = ingest_sets(data, folder / "archive")
    render(folder / "rendered", RenderConfig(n=fixed["n_rendered"], recipe="coating", seed=0))
    options = IngestConfig(set="rendered", scheme="coating", tile_px=TILE_PX, stride_px=TILE_PX)
    ingest(folder / "archive", [folder / "rendered"], options)
    archive = Archive(folder / "archive")
    return {"images": len(archive.images), "tiles": len(archive.tile_table)}


def _ingest_coarse(data: Path, folder: Path) -> dict[str, Any]:
    found = {}
    for item in (item for item in SETS if _downscale(item) > 1):
        side, stride = (_downscale(item) * px for px in (TILE_PX, COARSE_STRIDE_PX))
        path = folder / f"coarse_{item.name}"
        archive = ingest_one(data, path, item=item, tile_px=side, stride_px=stride)
        found[item.name] = {"tiles": len(archive.tile_table)}
    return found


def _pretrain(archive: Archive, fixed: dict[str, Any], *, synthetic_frac: float, seed: int) -> dict[str, Any]:
    is_rendered = archive.tiles().frame["origin"].eq("rendered")
    n_tiles = {0.0: int((~is_rendered).sum()), 1.0: int(is_rendered.sum())}.get(
        synthetic_frac, len(is_rendered)
    )
    sampling = SamplingConfig(synthetic_frac=synthetic_frac)
    options = {"sampling": sampling, "seed": seed}
    return _train_encoder(archive, fixed, n_tiles=n_tiles, steps=fixed["pretrain_steps"], **options)


def _pretrain_coarse(archive: Archive, fixed: dict[str, Any], *, downscale: int, seed: int) -> dict[str, Any]:
    """Pretrain on the tiles of one set, shrunk as its fields are for the segmentation."""
    options = {"downscale": downscale, "batch_size": COARSE_BATCH, "seed": seed}
    return _train_encoder(archive, fixed, n_tiles=len(archive.tiles()), steps=COARSE_STEPS, **options)


def _train_encoder(
    archive: Archive, fixed: dict[str, Any], *, n_tiles: int, steps: int, **changes: Any
) -> dict[str, Any]:
    from wootz.ssl import PretrainConfig, method_options

    method = method_options(fixed["method"])
    options = PretrainConfig(method=method, encoder=ENCODER, precision="bf16", **changes)
    options.epochs = -(-steps // (n_tiles // options.batch_size))
    result = chain.pretrain(archive, options)
    return {
        "encoder": str(Path(result.checkpoint).relative_to(archive.path.parent)),
        "rankme": result.rankme,
        "rankme_random": result.rankme_random,
        "n_tiles": result.n_tiles,
        "n_steps": result.n_steps,
    }


def _steps(fixed: dict[str, Any], shared: Path) -> Steps:
    wanted = {key: fixed[key] for key in ("pretrain_steps", "n_rendered", "method")}
    return Steps(shared / "steps", wanted | {"encoder": ENCODER, "tile_px": TILE_PX})


def _pretrained(shared: Path, params: dict[str, Any]) -> str:
    """Return an encoder of a start; the first cell that wants it trains it, the others wait.

    Two trainings that differ by their seed alone give encoders that differ, on a few labelled images, as much
    as one image from the next: cells of several seeds share several encoders.

    Real tiles of a set that is trained on shrunk fields are its own, shrunk as much: what tells layers apart
    is not to be seen at full size.
    """
    start, item = params["start"], find_set(params["set"])
    downscale = _downscale(item) if start == "real" else 1
    seed = params["seed"] % params["n_encoders"]
    name = f"{start}_{seed}" if downscale == 1 else f"{start}_{item.name}_{seed}"

    def work() -> dict[str, Any]:
        if downscale == 1:
            archive = wootz.open(shared / "archive")
            return _pretrain(archive, params, synthetic_frac=PRETRAINED[start], seed=seed)
        archive = wootz.open(shared / f"coarse_{item.name}")
        return _pretrain_coarse(archive, params, downscale=downscale, seed=seed)

    with alone(shared / f"{name}.lock", what=f"pretrains ({name})"):
        figures = _steps(params, shared).do(name, f"Pretraining ({name})", work)
    return str(shared / figures["encoder"])


def _downscale(item: MicrographSet) -> int:
    return int(item.segment.get("downscale", 1))
