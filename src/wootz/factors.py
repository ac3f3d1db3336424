"""What features should not depend on, read from the columns of an archive and from the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wootz.errors import WootzError

CLASSES = ("specimen", "set", "instrument", "detector", "origin")
NUMBERS = {
    "pixel_size_row_nm": "pixel size",
    "magnification": "magnification",
    "hv_kv": "beam energy",
    "wd_mm": "working distance",
}
UNITS = {"pixel_size_row_nm": "nm", "magnification": "x", "hv_kv": "kV", "wd_mm": "mm"}
LOGARITHMIC = ("pixel_size_row_nm", "magnification")
STRATA = (
    "specimen",
    "set",
    "instrument",
    "detector",
    "origin",
    "pixel_size_row_nm",
    "magnification",
    "hv_kv",
)


BRIGHTNESS = "mean brightness"
EDGE = "the image edge"
ON_BAR = "on an info bar"
PLACE = "place in the image"
ROW_NAMES, COL_NAMES = ("top", "middle", "bottom"), ("left", "centre", "right")


@dataclass(frozen=True)
class Factor:
    """Something that can be said of each tile.

    Attributes
    ----------
    name : str
    values : (N,) str or float64
        Classes or numbers.
    is_known : (N,) bool
    unit : str
        Of numbers.
    is_log : bool
        Whether `values` are natural logarithms of what has the unit.
    """

    name: str
    values: np.ndarray
    is_known: np.ndarray
    unit: str = ""
    is_log: bool = False


def list_factors(frame: pd.DataFrame, brightness: np.ndarray, *, columns: Sequence[str]) -> list[Factor]:
    """List the factors that tiles can be probed for, apart from the image itself.

    Parameters
    ----------
    frame : DataFrame
        Tiles joined with their images.
    brightness : (N,) float
        Mean of each tile on the common intensity scale.
    columns : sequence of str
        Further columns: numbers are regressed on, all others are classes.

    Returns
    -------
    list of Factor
        Those with two different known values or more.

    Raises
    ------
    WootzError
        If one of `columns` does not exist.
    """
    factors = [_classes(frame, name) for name in CLASSES if name in frame and name != "origin"]
    origin = frame["origin"] if "origin" in frame else pd.Series("", index=frame.index)
    kind = np.where(origin.eq("rendered"), "rendered", "real").astype(object)
    everywhere = np.ones(len(frame), bool)
    factors.append(Factor("real or rendered", kind, everywhere))
    had_bar = np.where(frame["info_bar_rows"].astype(str) != "", "yes", "no").astype(object)
    factors.append(Factor("info bar in the file", had_bar, everywhere))
    factors.append(Factor("bit depth", frame["bit_depth"].astype(str).to_numpy(object), everywhere))
    factors += [_numbers(frame, name) for name in NUMBERS]
    factors.append(Factor(BRIGHTNESS, np.asarray(brightness, np.float64), everywhere))
    for name in columns:
        if name not in frame:
            raise WootzError(
                f"columns={name}: the tiles have no such column; they have "
                f"{', '.join(sorted(map(str, frame.columns)))}."
            )
        is_number = pd.api.types.is_float_dtype(frame[name].dtype)
        factors.append(_numbers(frame, name) if is_number else _classes(frame, name))
    return [f for f in factors if len(np.unique(f.values[f.is_known])) > 1]


def place_factors(frame: pd.DataFrame) -> list[Factor]:
    """List where in its image each tile lies: its ninth of the field, and whether it touches the border.

    Parameters
    ----------
    frame : DataFrame
        With ``row, col, height, width`` of the tiles and ``height_px, width_px`` of their images.
    """
    touches = np.zeros(len(frame), bool)
    names = []
    for corner, length, whole, words in (
        ("row", "height", "height_px", ROW_NAMES),
        ("col", "width", "width_px", COL_NAMES),
    ):
        start, side, size = (frame[name].to_numpy(np.float64) for name in (corner, length, whole))
        names.append(np.array(words, object)[np.clip(3 * (start + side / 2) / size, 0, 2.999).astype(int)])
        # a tile nearer to the border than a quarter of itself is the last one of its row or column
        touches |= (start < side / 4) | (size - start - side < side / 4)
    ninth = names[0] + " " + names[1]
    everywhere = np.ones(len(frame), bool)
    factors = [Factor(PLACE, ninth, everywhere)]
    factors.append(Factor(EDGE, np.where(touches, "yes", "no").astype(object), everywhere))
    return [f for f in factors if len(np.unique(f.values)) > 1]


def image_strata(frame: pd.DataFrame) -> np.ndarray:
    """Give tiles whose images agree in all that is known of them the same number: (N,) int."""
    names = [name for name in STRATA if name in frame]
    return frame.groupby(names, dropna=False, sort=False).ngroup().to_numpy()


def _classes(frame: pd.DataFrame, name: str) -> Factor:
    values = frame[name].where(frame[name].notna(), "").astype(str).to_numpy(object)
    return Factor(name, values, values != "")


def _numbers(frame: pd.DataFrame, name: str) -> Factor:
    values = frame[name].to_numpy(np.float64) if name in frame else np.full(len(frame), np.nan)
    if name in LOGARITHMIC:
        values = np.log(np.where(values > 0, values, np.nan))
    known = np.isfinite(values)
    return Factor(NUMBERS.get(name, name), values, known, UNITS.get(name, ""), name in LOGARITHMIC)
