"""What can be said of tiles beside what they show, read from an archive and from the pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from wootz.clustering.coding import Coded, code_factor
from wootz.errors import WootzError
from wootz.factors import (
    BRIGHTNESS,
    CLASSES,
    NUMBERS,
    ON_BAR,
    STRATA,
    Factor,
    list_factors,
    place_factors,
)
from wootz.progress import track
from wootz.uncutbars import on_info_bar

BATCH = 1024
IMAGE = "image"
ALIASES = {"brightness": BRIGHTNESS, "image_id": IMAGE, **NUMBERS}
WINDOW = ("row", "col", "height", "width")
NEEDED = (
    *("image_id", *WINDOW, "height_px", "width_px", "info_bar_rows", "bit_depth"),
    *(*CLASSES, *NUMBERS, *STRATA),
)


def tile_factors(tiles: Any, *, columns: Sequence[str] = ()) -> list[Coded]:
    """List what clusters of the tiles could follow, apart from the image itself.

    Parameters
    ----------
    tiles : TileSet
    columns : sequence of str
        Further columns of the tiles or images.

    Raises
    ------
    WootzError
        If one of `columns` does not exist.
    """
    frame = tiles.columns([*NEEDED, *columns])
    factors = list_factors(frame, mean_brightness(tiles), columns=columns)
    factors += place_factors(frame)
    on_bar = on_info_bar(tiles)
    if on_bar.any():
        words = np.where(on_bar, "yes", "no").astype(object)
        factors.append(Factor(ON_BAR, words, np.ones(len(words), bool)))
    return [code_factor(factor) for factor in factors]


def code_images(tiles: Any) -> Coded:
    """Give each image of the tiles a number."""
    names, codes = np.unique(tiles.columns(["image_id"])["image_id"].to_numpy(str), return_inverse=True)
    return Coded(IMAGE, codes, tuple(names.tolist()))


def group_tiles(tiles: Any, names: str) -> np.ndarray:
    """Give tiles that agree in all that is named the same number.

    Parameters
    ----------
    tiles : TileSet
    names : str
        By comma: ``image``, names of factors as the shortcut report writes them (``mean brightness``), or
        columns. Numbers with many values are cut into eight bins.

    Returns
    -------
    (N,) int
        Tiles of which something is not known form groups of their own.

    Raises
    ------
    WootzError
        If a name is not known, or all tiles agree.
    """
    codes = [code_factor(factor).codes for factor in raw_factors(tiles, names)]
    _, groups = np.unique(np.stack(codes), axis=1, return_inverse=True)
    return groups.ravel()


def raw_factors(tiles: Any, names: str) -> list[Factor]:
    """List the factors named in `names`, in this order; pixels are read only where brightness is asked for.

    Parameters, exceptions and names are those of `group_tiles`.
    """
    wanted = [ALIASES.get(name.strip(), name.strip()) for name in names.split(",") if name.strip()]
    columns = [name for name in wanted if name in tiles.column_names]
    frame = tiles.columns([*NEEDED, *columns])
    light = mean_brightness(tiles) if BRIGHTNESS in wanted else np.zeros(len(tiles))
    factors = list_factors(frame, light, columns=columns) + place_factors(frame)
    factors.append(Factor(IMAGE, frame["image_id"].to_numpy(object), np.ones(len(frame), bool)))
    known = {factor.name: factor for factor in factors}
    for name in wanted:
        if name not in known:
            raise WootzError(
                f"standardise_by={name!r}: the tiles all agree in it or have no such column; choose among "
                f"image, brightness, {', '.join(sorted(set(CLASSES) | set(NUMBERS.values())))}."
            )
    return [known[name] for name in wanted]


def mean_brightness(tiles: Any) -> np.ndarray:
    """Average each tile on the common intensity scale: (N,) float64."""
    frame = tiles.columns(["height", "width"])
    out = np.empty(len(tiles))
    batches = [
        rows[start : start + BATCH]
        for rows in frame.groupby(["height", "width"]).indices.values()
        for start in range(0, len(rows), BATCH)
    ]
    for rows in track(batches, title="reading brightness", unit="batches"):
        out[rows] = tiles.scaled(rows).mean(axis=(1, 2))
    return out
