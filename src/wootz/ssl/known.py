"""Tiles whose class is known, in two parts that share no image: for probes while features are trained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wootz.coarser import coarser
from wootz.errors import WootzError

if TYPE_CHECKING:
    from wootz.tiles import TileSet

MAX_TILES = 512
NO_PROBES = "none"


@dataclass(frozen=True)
class KnownTiles:
    """Labelled tiles: `pixels` (N, H, W) float32, `labels` (N,) str, `is_test` (N,) bool."""

    pixels: np.ndarray
    labels: np.ndarray
    is_test: np.ndarray


def known_tiles(tiles: "TileSet", *, column: str, seed: int, downscale: int = 1) -> KnownTiles | None:
    """Read up to 512 tiles with known classes, and part them by image.

    Parameters
    ----------
    tiles : TileSet
    column : str
        Column of tiles or images with the classes. Empty: ``label``, ``truth`` or the first ``truth_*`` that
        there is; ``"none"``: no probes.
    seed : int
    downscale : int
        They are shrunk by this factor.

    Returns
    -------
    KnownTiles or None
        None where no column was asked for and none can be used.

    Raises
    ------
    WootzError
        If the column was asked for and is missing, or no class is known in two images.
    """
    if column == NO_PROBES:
        return None
    names = tiles.column_names
    found = column if column in names else _class_column(names) if not column else None
    if found is None:
        if not column:
            return None
        raise WootzError(f"probe_column={column!r}: the tiles have no such column; name another, or none.")
    frame = tiles.columns(list(dict.fromkeys([found, "image_id"])))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    rows, is_test = part_by_image(frame[found], frame["image_id"], n_max=MAX_TILES, rng=rng)
    if not len(rows):
        if not column:
            return None
        raise WootzError(f"probe_column={column!r}: fewer than two classes are known in two images each.")
    labels = frame[found].astype(str).to_numpy()[rows]
    return KnownTiles(coarser(tiles, downscale).scaled(rows), labels, is_test)


def part_by_image(
    labels: pd.Series, images: pd.Series, *, n_max: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose tiles of classes that are known in two images or more, and halve the images.

    Returns
    -------
    rows : (n,) int
        At most `n_max`, sorted; none where fewer than two classes are left.
    is_test : (n,) bool
        An image's tiles are all on one side; each class is on both.
    """
    known = labels.notna() & (labels.astype(str) != "")
    if pd.api.types.is_numeric_dtype(labels.dtype) and not pd.api.types.is_bool_dtype(labels.dtype):
        known &= labels.fillna(-1) >= 0
    frame = pd.DataFrame({"label": labels.astype(str).to_numpy(), "image": images.to_numpy()})[
        known.to_numpy()
    ]
    side = pd.Series(-1, index=frame["image"].unique())
    for _, part in frame.groupby(
        "label", sort=True
    ):  # the classes of an image all go where the first one went
        new = [i for i in part["image"].unique() if side[i] < 0]
        taken = side[part["image"].unique()]
        n_test, n_train = int((taken == 1).sum()), int((taken == 0).sum())
        for image in np.array(new, dtype=object)[rng.permutation(len(new))]:
            side[image] = int(n_test < n_train)
            n_test, n_train = n_test + int(side[image]), n_train + 1 - int(side[image])
    frame["test"] = side[frame["image"]].to_numpy() == 1
    both = frame.groupby("label")["test"].transform("nunique") == 2
    frame = frame[both]
    if frame["label"].nunique() < 2:
        return np.zeros(0, np.int64), np.zeros(0, bool)
    row_numbers = np.flatnonzero(known.to_numpy())[both.to_numpy()]
    chosen = np.sort(rng.permutation(len(frame))[:n_max])
    return row_numbers[chosen], frame["test"].to_numpy()[chosen]


def _class_column(names: list[str]) -> str | None:
    for name in ("label", "truth", *sorted(n for n in names if n.startswith("truth_"))):
        if name in names:
            return name
    return None
