"""Regions drawn in the VGG Image Annotator (VIA), one instance each, as masks and objects."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.errors import WootzError
from wootz.objects import encode_rle

CLASS_ATTRIBUTES = ("label", "class", "name", "type", "category")
ELLIPSE_POINTS = 90


@dataclass(frozen=True)
class Region:
    """One instance: a closed polygon.

    Attributes
    ----------
    rows_px, cols_px : (P,) float64
        Corners in pixels of the image file. (0, 0) is the corner of the picture, as on VIA's canvas: a
        rectangle of width 5 covers 5 columns, and the pixels of a polygon count its area without bias.
    class_name : str
        As written in VIA, less blanks at its ends.
    """

    rows_px: np.ndarray
    cols_px: np.ndarray
    class_name: str


def read_via(path: Path) -> dict[str, list[Region]]:
    """Read a VIA 1 or 2 project or annotation file (JSON).

    Parameters
    ----------
    path : Path
        Polygons, rectangles, circles and ellipses are taken; points and open lines have no area.

    Returns
    -------
    dict
        Image file name -> its regions in the order drawn; images without a region are left out.

    Raises
    ------
    WootzError
        If the file is no VIA file, a region is open or has no class.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise WootzError(f"via={path}: no such file.") from error
    except (ValueError, OSError) as error:
        raise WootzError(f"via={path}: cannot be read as JSON ({error}).") from error
    entries = document.get("_via_img_metadata", document) if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not all(_is_entry(e) for e in entries.values()) or not entries:
        raise WootzError(f"via={path}: no VIA 1 or 2 file; in VIA choose Annotation > Export (as JSON).")
    regions: dict[str, list[Region]] = {}
    for entry in entries.values():
        drawn = entry["regions"]
        drawn = list(drawn.values()) if isinstance(drawn, dict) else drawn  # VIA 1
        where = f"via={path}, {entry['filename']}"
        if drawn:
            regions[entry["filename"]] = [_region(r, f"{where}, region {i}") for i, r in enumerate(drawn)]
    return regions


def class_names(regions: Mapping[str, Sequence[Region]]) -> list[str]:
    """List the classes of all regions in the order of first appearance."""
    return list(dict.fromkeys(region.class_name for of_image in regions.values() for region in of_image))


def region_mask(
    region: Region, shape: tuple[int, int], *, row_offset: int = 0
) -> tuple[np.ndarray, int, int]:
    """Fill one region.

    Parameters
    ----------
    region : Region
    shape : (H, W)
        Size of the field, px; what lies outside is cut off.
    row_offset : int
        Row of the file at which the field starts (where an info bar at the top was cut).

    Returns
    -------
    inside : (h, w) bool
        Pixels whose centres lie within the polygon, in the smallest box; (0, 0) if none does.
    row0, col0 : int
        Corner of the box in the field.
    """
    rows = np.arange(*_cover(region.rows_px - row_offset, shape[0]))
    first, stop = _cover(region.cols_px, shape[1])
    if len(rows) == 0 or first >= stop:
        return np.zeros((0, 0), bool), 0, 0
    inside = _even_odd(region, rows + row_offset, first=first, n_cols=stop - first)
    if not inside.any():
        return np.zeros((0, 0), bool), 0, 0
    down, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = inside[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    return box, int(rows[down[0]]), first + int(across[0])


def draw_regions(
    regions: Iterable[Region], shape: tuple[int, int], *, class_ids: Mapping[str, int], row_offset: int = 0
) -> np.ndarray:
    """Draw regions into a class mask, later ones over earlier ones.

    Returns
    -------
    (H, W) uint8
        0 where nothing was drawn. Touching instances of one class merge here, not in `region_objects`.
    """
    mask = np.zeros(shape, np.uint8)
    for region in regions:
        inside, row0, col0 = region_mask(region, shape, row_offset=row_offset)
        window = mask[row0 : row0 + inside.shape[0], col0 : col0 + inside.shape[1]]
        window[inside] = class_ids[region.class_name]
    return mask


def region_objects(
    regions: Sequence[Region], shape: tuple[int, int], *, image_id: str, source: str, row_offset: int = 0
) -> pd.DataFrame:
    """List regions as objects, one row per polygon, overlapping ones in full.

    Returns
    -------
    DataFrame
        Columns of `wootz.objects.objects_from_mask`; ``score`` is NaN. Regions without a pixel in the field
        are left out.
    """
    rows: list[dict[str, Any]] = []
    for number, region in enumerate(regions):
        inside, row0, col0 = region_mask(region, shape, row_offset=row_offset)
        if not inside.any():
            continue
        box = {"row0": row0, "col0": col0, "row1": row0 + inside.shape[0], "col1": col0 + inside.shape[1]}
        facts = {
            "object_id": f"{image_id}:{source}:{number}",
            "image_id": image_id,
            "class": region.class_name,
        }
        area = {"area_px": int(inside.sum()), "rle": encode_rle(inside), "score": np.nan, "source": source}
        rows.append(facts | box | area)
    return pd.DataFrame(rows)


def _cover(corners_px: np.ndarray, length: int) -> tuple[int, int]:
    """Give first and end of the pixels within `length` that corners can reach."""
    return max(0, int(np.floor(corners_px.min()))), min(length, int(np.ceil(corners_px.max())))


def _even_odd(region: Region, rows: np.ndarray, *, first: int, n_cols: int) -> np.ndarray:
    """Fill by the even-odd rule: (len(rows), n_cols) bool.

    Every edge turns inside into outside from the first pixel centre right of it. Half-open in both
    directions, so that polygons with a common edge share no pixel and leave none out.
    """
    y0, x0 = region.rows_px, region.cols_px
    y1, x1 = np.roll(y0, -1), np.roll(x0, -1)
    centre = rows[:, None] + 0.5
    line, edge = np.nonzero((np.minimum(y0, y1) <= centre) & (centre < np.maximum(y0, y1)))
    down = (centre[line, 0] - y0[edge]) / (y1[edge] - y0[edge])
    crossing = np.ceil(x0[edge] + down * (x1[edge] - x0[edge]) - 0.5).astype(np.int64)
    turns = np.zeros((len(rows), n_cols + 1), np.uint8)
    np.add.at(turns, (line, np.clip(crossing - first, 0, n_cols)), 1)
    return np.cumsum(turns, axis=1)[:, :-1] % 2 == 1


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and "filename" in entry and isinstance(entry.get("regions"), dict | list)


def _region(region: Mapping[str, Any], where: str) -> Region:
    shape = region.get("shape_attributes", {})
    try:
        rows, cols = _outline(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise WootzError(f"{where}: its {shape.get('name', 'shape')} is incomplete ({error}).") from error
    if rows is None or len(rows) < 3:
        kind = shape.get("name", "without a name")
        raise WootzError(f"{where}: a shape {kind!r} has no area; draw a polygon, or remove it in VIA.")
    return Region(rows, cols, _class_of(region.get("region_attributes", {}), where))


def _outline(shape: Mapping[str, Any]) -> tuple[Any, Any]:
    """Give the corners of a VIA shape, or None for one without an area."""
    match shape.get("name"):
        case "polygon":
            rows, cols = shape["all_points_y"], shape["all_points_x"]
            if len(rows) != len(cols):
                raise ValueError(f"{len(cols)} x for {len(rows)} y")
        case "rect":
            top, left, height, width = (float(shape[k]) for k in ("y", "x", "height", "width"))
            rows, cols = [top, top, top + height, top + height], [left, left + width, left + width, left]
        case "circle" | "ellipse":
            down, across = (float(shape.get(k, shape.get("r", 0))) for k in ("ry", "rx"))
            turn = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS, endpoint=False)
            tilt = float(shape.get("theta", 0.0))
            x, y = across * np.cos(turn), down * np.sin(turn)
            rows = float(shape["cy"]) + x * np.sin(tilt) + y * np.cos(tilt)
            cols = float(shape["cx"]) + x * np.cos(tilt) - y * np.sin(tilt)
        case _:
            return None, None
    return np.asarray(rows, np.float64), np.asarray(cols, np.float64)


def _class_of(attributes: Mapping[str, Any], where: str) -> str:
    by_name = {key.lower(): value for key, value in attributes.items()}
    candidates = [by_name[key] for key in CLASS_ATTRIBUTES if key in by_name] or list(by_name.values())[:1]
    for value in candidates:
        chosen = [k for k, on in value.items() if on] if isinstance(value, dict) else [value]  # checkboxes
        if len(chosen) == 1 and str(chosen[0]).strip():
            return str(chosen[0]).strip()
    raise WootzError(f"{where}: has no class; give each region one, e.g. in an attribute 'Label'.")
