"""Exact truth of a field: geometric (from the scene alone) and visible (what the masks hold)."""

from typing import Any

import numpy as np

from wootz.synthetic.geometry.cracks import crack_area
from wootz.synthetic.geometry.inclusions import area_in_field
from wootz.synthetic.geometry.interfaces import fit_line, integral
from wootz.synthetic.raster import Maps
from wootz.synthetic.recipe import CLASS_IDS, CLASSES
from wootz.synthetic.scene import Scene

OBJECTS = ("pore", "precipitate", "crack")


def geometric_truth(scene: Scene) -> dict[str, Any]:
    """Compute the truth from the geometry, in µm, independent of any pixel size.

    Returns
    -------
    dict
        ``layers``: per phase between resin and steel `thickness_um` (area over the length of the straight
        line through the middle of the layer, so that a tilt does not count), `thickness_vertical_um`,
        `thickness_sd_um` (spread of the chords along rows), `tilt_deg`, `area_um2` with all that it holds.
        ``area_um2``: per class, within the field. ``porosity_frac``: pores over everything but resin.
        ``porosity_layer_frac``: pores whose host is the Fe2Al5 layer or FeAl over both layers' area.
        ``objects``: per class `count` and mean equal-area diameter `ecd_mean_um` of whole shapes.
        ``pore_line``: `depth_um` (mean distance of centres to the mean surface line), its `depth_sd_um`, `n`.
    """
    areas = _areas(scene)
    layers = {item.phase: _layer(scene, item.phase) for item in scene.stack[1:-1]}
    field = scene.height_um * scene.width_um
    solid = field - areas["resin"]
    coat = sum(layer["area_um2"] for layer in layers.values())
    pores = [i for i in scene.inclusions if i.phase == "pore"]
    in_coat = sum(_in_field(scene, i) for i in pores if i.row_um < _coat_end(scene, i.col_um))
    return {
        "layers": layers,
        "area_um2": areas,
        "porosity_frac": areas["pore"] / solid,
        "porosity_layer_frac": in_coat / coat,
        "objects": {name: _objects(scene, name) for name in OBJECTS},
        "pore_line": _pore_line(scene),
    }


def visible_truth(scene: Scene, maps: Maps) -> dict[str, Any]:
    """Compute the truth of the masks, in µm, with the same keys as `geometric_truth` where they apply."""
    pixel = maps.pixel_um**2
    counts = np.bincount(maps.class_mask.ravel(), minlength=len(CLASSES))
    ids = np.bincount(maps.instance_mask.ravel(), minlength=len(scene.inclusions) + len(scene.cracks) + 1)
    phase_of = [i.phase for i in scene.inclusions] + ["crack"] * len(scene.cracks)
    objects = {}
    for name in OBJECTS:
        sizes = [ids[i + 1] * pixel for i, phase in enumerate(phase_of) if phase == name and ids[i + 1]]
        ecd = [2 * np.sqrt(a / np.pi) for a in sizes]
        objects[name] = {"count": len(sizes), "ecd_mean_um": float(np.mean(ecd)) if ecd else None}
    layers = {}
    for item in scene.stack[1:-1]:
        chord = (maps.layer_mask == CLASS_IDS[item.phase]).sum(axis=0) * maps.pixel_um
        cos = np.cos(np.arctan(_slope(scene, item.phase)))
        layers[item.phase] = {
            "thickness_um": float(chord.mean() * cos),
            "thickness_vertical_um": float(chord.mean()),
            "thickness_sd_um": float(chord.std()),
            "area_um2": float(chord.sum() * maps.pixel_um),
        }
    solid = counts.sum() - counts[CLASS_IDS["resin"]]
    return {
        "layers": layers,
        "area_um2": {row.name: float(counts[row.id] * pixel) for row in CLASSES},
        "porosity_frac": float(counts[CLASS_IDS["pore"]] / solid),
        "objects": objects,
    }


def _layer(scene: Scene, phase: str) -> dict[str, float]:
    layer = next(item for item in scene.stack if item.phase == phase)
    top, bottom = scene.profile(layer.top), scene.profile(layer.bottom)
    chord = bottom.rows_um - top.rows_um
    area = integral(top.col_um, chord, low_um=0, high_um=scene.width_um)
    x = np.linspace(0, scene.width_um, 2001)
    vertical = area / scene.width_um
    slope = _slope(scene, phase)
    return {
        "thickness_um": vertical * float(np.cos(np.arctan(slope))),
        "thickness_vertical_um": vertical,
        "thickness_sd_um": float(np.interp(x, top.col_um, chord).std()),
        "tilt_deg": float(np.degrees(np.arctan(slope))),
        "area_um2": area,
    }


def _slope(scene: Scene, phase: str) -> float:
    """Slope of the straight line through the middle of a layer."""
    layer = next(item for item in scene.stack if item.phase == phase)
    width = scene.width_um
    return sum(fit_line(scene.profile(p), width_um=width)[1] for p in (layer.top, layer.bottom)) / 2


def _coat_end(scene: Scene, col_um: float) -> float:
    return float(scene.interfaces[-1].at(np.array([col_um]))[0])


def _in_field(scene: Scene, inclusion) -> float:
    return area_in_field(inclusion, height_um=scene.height_um, width_um=scene.width_um)


def _areas(scene: Scene) -> dict[str, float]:
    """Area per class in µm²: the stack's bands less what lies in them."""
    col = scene.interfaces[0].col_um
    areas = dict.fromkeys(CLASS_IDS, 0.0)
    for layer in scene.stack:
        top, bottom = scene.bounds(layer.phase, col)
        areas[layer.phase] = integral(col, bottom - top, low_um=0, high_um=scene.width_um)
    for inclusion in scene.inclusions:
        area = _in_field(scene, inclusion)
        areas[inclusion.phase] += area
        areas[_host(scene, inclusion.row_um, inclusion.col_um)] -= area
    for crack in scene.cracks:
        area = crack_area(crack, height_um=scene.height_um, width_um=scene.width_um)
        areas["crack"] += area
        s, centre = crack.s_um, np.asarray(crack.centre_um)
        row, at = (s, centre) if crack.axis == "row" else (centre, s)
        weight = np.asarray(crack.opening_um) * ((at >= 0) & (at <= scene.width_um))
        share = area / max(float(weight.sum()), 1e-12)
        for r, c, w in zip(row, at, weight, strict=True):
            areas[_host(scene, r, c)] -= float(share * w)
    return areas


def _host(scene: Scene, row_um: float, col_um: float) -> str:
    lines = [p.at(np.array([col_um]))[0] for p in scene.interfaces]
    return scene.stack[int(np.searchsorted(lines, row_um, side="right"))].phase


def _objects(scene: Scene, phase: str) -> dict[str, Any]:
    if phase == "crack":
        return {"count": len(scene.cracks), "ecd_mean_um": None}
    shapes = [i for i in scene.inclusions if i.phase == phase and _in_field(scene, i) > 0]
    ecd = [2 * np.sqrt(i.area_um2 / np.pi) for i in shapes]
    return {"count": len(shapes), "ecd_mean_um": float(np.mean(ecd)) if ecd else None}


def _pore_line(scene: Scene) -> dict[str, Any] | None:
    line = [i for i in scene.inclusions if i.group == "pore_line"]
    if not line:
        return None
    offset, slope = fit_line(scene.interfaces[0], width_um=scene.width_um)
    depth = [(i.row_um - offset - slope * i.col_um) / np.hypot(1, slope) for i in line]
    return {"depth_um": float(np.mean(depth)), "depth_sd_um": float(np.std(depth)), "n": len(line)}
