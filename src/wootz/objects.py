"""Connected things out of a mask, one row each: the common input of counts, densities and sizes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

IGNORE = 255
COLUMNS = (
    "object_id",
    "image_id",
    "class",
    "row0",
    "col0",
    "row1",
    "col1",
    "area_px",
    "rle",
    "score",
    "source",
)


def objects_from_mask(
    mask: np.ndarray, *, image_id: str, class_names: Mapping[int, str], source: str, score: float = np.nan
) -> pd.DataFrame:
    """List the 8-connected components of each named class.

    Parameters
    ----------
    mask : (H, W) integer
        Class numbers. Classes without a name and 255 (not labelled) yield no objects.
    image_id : str
        Image that the mask lies on.
    class_names : mapping of int to str
        The classes to look for, e.g. ``{2: "pore"}``; leave the background out.
    source : str
        Where the mask comes from: an annotator, or the id of a run.
    score : float
        Confidence in [0, 1] for all of them; NaN where there is none.

    Returns
    -------
    DataFrame
        One row per object, in reading order of the boxes' corners within each class: ``object_id``,
        ``image_id``, ``class``, the box ``row0, col0, row1, col1`` (px, end exclusive), ``area_px``, ``rle``
        (run lengths of the object within its box, see `encode_rle`), ``score``, ``source``.

    Raises
    ------
    ValueError
        If the mask is not a 2-D integer array.
    """
    from scipy import ndimage

    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "iub":
        raise ValueError(f"a mask must be (H, W) whole numbers, not {mask.shape} {mask.dtype}")
    rows = []
    for number, name in class_names.items():
        labels = np.zeros(mask.shape, np.int32)
        ndimage.label(mask == number, structure=np.ones((3, 3)), output=labels)
        boxes = enumerate(ndimage.find_objects(labels), start=1)
        for index, (down, across) in boxes:
            inside = labels[down, across] == index
            corner = (down.start, across.start, down.stop, across.stop)
            rows.append((str(name), *corner, int(inside.sum()), encode_rle(inside)))
    frame = pd.DataFrame(rows, columns=["class", "row0", "col0", "row1", "col1", "area_px", "rle"])
    frame = frame.sort_values(["class", "row0", "col0"], kind="stable", ignore_index=True)
    ids = [f"{image_id}:{source}:{n}" for n in range(len(frame))]
    return frame.assign(object_id=ids, image_id=image_id, score=float(score), source=source)[list(COLUMNS)]


def encode_rle(inside: np.ndarray) -> str:
    """Write a boolean array as run lengths in row-major order, first run outside: ``"3 2 5"``.

    Parameters
    ----------
    inside : (h, w) bool
    """
    flat = np.asarray(inside, bool).reshape(-1)
    edges = np.flatnonzero(np.diff(flat, prepend=False)) if flat.size else np.zeros(0, np.int64)
    runs = np.diff(edges, prepend=0, append=flat.size)
    return " ".join(map(str, runs.tolist()))


def decode_rle(rle: str, *, height: int, width: int) -> np.ndarray:
    """Read run lengths back.

    Parameters
    ----------
    rle : str
        From `encode_rle`.
    height, width : int
        Size of the box, px.

    Returns
    -------
    (height, width) bool

    Raises
    ------
    ValueError
        If the runs do not fill the box.
    """
    runs = np.array(rle.split(), np.int64)
    if runs.sum() != height * width or (runs < 0).any():
        raise ValueError(f"run lengths over {runs.sum()} pixels do not fill a box of {height} x {width}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)


def draw_objects(
    objects: pd.DataFrame, *, shape: tuple[int, int], class_ids: Mapping[str, int], background: int = 0
) -> np.ndarray:
    """Draw objects back into a mask, the inverse of `objects_from_mask`.

    Parameters
    ----------
    objects : DataFrame
        Rows of one image.
    shape : (H, W)
        Size of the field, px.
    class_ids : mapping of str to int
        Number to draw for each class name.
    background : int
        Number everywhere else.

    Returns
    -------
    (H, W) uint8
    """
    mask = np.full(shape, background, np.uint8)
    for one in objects.to_dict("records"):
        row0, col0, row1, col1 = (int(one[name]) for name in ("row0", "col0", "row1", "col1"))
        inside = decode_rle(one["rle"], height=row1 - row0, width=col1 - col0)
        mask[row0:row1, col0:col1][inside] = class_ids[one["class"]]
    return mask
