"""Scene to maps at one pixel size: masks by pixel centres, soft coverage and distances for the image."""

from dataclasses import dataclass

import numpy as np

from wootz.synthetic.geometry.grains import GrainSet
from wootz.synthetic.geometry.inclusions import LOBE_ORDERS, Inclusion
from wootz.synthetic.recipe import CLASS_IDS
from wootz.synthetic.scene import Scene

FAR_UM = 50.0  # a distance that no glow, rim or groove reaches
REACH_UM = 1.2  # distances are computed this far outside an inclusion
WINDOW = 1.4  # in grain sizes: no point of the jittered lattice is farther from the seed that wins it


@dataclass
class Maps:
    """Arrays of one field, all (H, W).

    `class_mask` uint8 and `layer_mask` uint8 (the same without inclusions and cracks), `instance_mask` int32
    (0 none; inclusion id; n_inclusions + crack id). float32: `coverage` per phase of the stack and of
    pore, precipitate, crack, in [0, 1]; `distance_um` per pore, precipitate, crack, negative inside;
    `shade` channelling contrast; `boundary_um` distance to the next grain boundary.
    """

    pixel_um: float
    class_mask: np.ndarray
    layer_mask: np.ndarray
    instance_mask: np.ndarray
    coverage: dict[str, np.ndarray]
    distance_um: dict[str, np.ndarray]
    shade: np.ndarray
    boundary_um: np.ndarray


def rasterise(scene: Scene, *, pixel_um: float) -> Maps:
    """Draw the geometry of a scene on a grid of square pixels.

    A pixel belongs to what holds its centre, so that areas and thicknesses of the masks are unbiased.
    """
    shape = (max(1, round(scene.height_um / pixel_um)), max(1, round(scene.width_um / pixel_um)))
    layer_mask, coverage = _stack(scene, shape, pixel_um)
    maps = Maps(
        pixel_um=pixel_um,
        class_mask=layer_mask.copy(),
        layer_mask=layer_mask,
        instance_mask=np.zeros(shape, np.int32),
        coverage=coverage,
        distance_um={},
        shade=np.zeros(shape, np.float32),
        boundary_um=np.full(shape, FAR_UM, np.float32),
    )
    for name in ("pore", "precipitate", "crack"):
        maps.coverage[name] = np.zeros(shape, np.float32)
        maps.distance_um[name] = np.full(shape, FAR_UM, np.float32)
    for grains in scene.grains:
        _paint_grains(maps, grains)
    _paint_cracks(maps, scene)
    for inclusion in scene.inclusions:
        _paint_inclusion(maps, inclusion)
    return maps


def centres(n: int, pixel_um: float) -> np.ndarray:
    """Coordinates of `n` pixel centres in µm, float64."""
    return (np.arange(n) + 0.5) * pixel_um


def _stack(scene: Scene, shape: tuple[int, int], pixel_um: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    row, col = centres(shape[0], pixel_um)[:, None], centres(shape[1], pixel_um)
    mask = np.full(shape, CLASS_IDS[scene.stack[0].phase], np.uint8)
    above = np.ones(shape, np.float32)
    coverage = {}
    for layer, below in zip(scene.stack, [*scene.stack[1:], None], strict=True):
        if below is None:
            coverage[layer.phase] = above
            break
        profile = scene.profile(layer.bottom)
        line = profile.at(col)
        mask[row >= line] = CLASS_IDS[below.phase]
        slope = (profile.at(col + pixel_um / 2) - profile.at(col - pixel_um / 2)) / pixel_um
        depth = ((row - line) / (pixel_um * np.hypot(1, slope))).astype(np.float32)
        under = np.clip(depth + 0.5, 0, 1)
        coverage[layer.phase] = np.maximum(above - under, 0)
        above = np.minimum(above, under)
    return mask, coverage


def _paint_grains(maps: Maps, grains: GrainSet) -> None:
    inside = maps.layer_mask == CLASS_IDS[grains.phase]
    rows = np.flatnonzero(inside.any(axis=1))
    if rows.size == 0:
        return
    first, last = max(rows[0] - 2, 0), min(rows[-1] + 3, inside.shape[0])
    row = centres(inside.shape[0], maps.pixel_um)[first:last]
    col = centres(inside.shape[1], maps.pixel_um)
    shade, boundary = _nearest_seeds(grains, row, col)
    cover = maps.coverage[grains.phase][first:last]
    maps.shade[first:last] += shade * cover
    region = maps.boundary_um[first:last]
    np.copyto(region, boundary, where=cover > 0.5)


def _warped(grains: GrainSet, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Coordinates after the warp, float32, and the largest displacement."""
    k_row, k_col, phase, amp_row, amp_col = np.array(grains.warp).T
    along = np.outer(row, k_row) + phase
    across = np.outer(col, k_col)
    # sin(a + b) = sin a cos b + cos a sin b: the sum over modes is two small matrix products
    sin_row, cos_row, sin_col, cos_col = np.sin(along), np.cos(along), np.sin(across), np.cos(across)
    moved = [
        ((sin_row * a) @ cos_col.T + (cos_row * a) @ sin_col.T).astype(np.float32) for a in (amp_row, amp_col)
    ]
    u = (moved[0] + row.astype(np.float32)[:, None]) / np.float32(grains.aspect)
    return u, moved[1] + col.astype(np.float32), float(max(np.abs(m).max() for m in moved))


def _nearest_seeds(grains: GrainSet, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shade of the nearest seed and half the gap to the second nearest, each (H, W) float32."""
    u, v, moved = _warped(grains, row, col)
    best, second = np.full(u.shape, np.inf, np.float32), np.full(u.shape, np.inf, np.float32)
    shade = np.zeros(u.shape, np.float32)
    reach = WINDOW * grains.size_um
    reach_row, reach_col = reach * grains.aspect + moved, reach + moved
    seeds = zip(grains.row_um, grains.col_um, grains.weight_um2, grains.shade, strict=True)
    for seed_row, seed_col, weight, grey in seeds:
        r0, r1 = np.searchsorted(row, [seed_row - reach_row, seed_row + reach_row])
        c0, c1 = np.searchsorted(col, [seed_col - reach_col, seed_col + reach_col])
        if r0 == r1 or c0 == c1:
            continue
        at = slice(r0, r1), slice(c0, c1)
        d = np.square(u[at] - np.float32(seed_row / grains.aspect))
        d += np.square(v[at] - np.float32(seed_col))
        d -= np.float32(weight)
        np.minimum(second[at], np.maximum(d, best[at]), out=second[at])
        np.copyto(shade[at], np.float32(grey), where=d < best[at])
        np.minimum(best[at], d, out=best[at])
    # for a power diagram the distance to the wall is (d2 - d1) / (2 |seed1 - seed2|), about one grain size
    boundary = np.minimum(second - best, grains.size_um**2) / np.float32(2 * grains.size_um)
    return shade, boundary


def _paint_cracks(maps: Maps, scene: Scene) -> None:
    shape = maps.class_mask.shape
    row, col = centres(shape[0], maps.pixel_um)[:, None], centres(shape[1], maps.pixel_um)[None, :]
    for crack in scene.cracks:
        s, across = (row, col) if crack.axis == "row" else (col, row)
        d = crack.distance_um(s, across)
        slope = np.gradient(np.asarray(crack.centre_um), crack.step_um)
        normal = d / np.hypot(1, np.interp(s, crack.s_um, slope))
        inside = d < 0
        maps.class_mask[inside] = CLASS_IDS["crack"]
        maps.instance_mask[inside] = len(scene.inclusions) + crack.id
        soft = np.clip(0.5 - normal / maps.pixel_um, 0, 1).astype(np.float32)
        np.maximum(maps.coverage["crack"], soft, out=maps.coverage["crack"])
        finite = np.minimum(normal, FAR_UM).astype(np.float32)
        np.minimum(maps.distance_um["crack"], finite, out=maps.distance_um["crack"])


def _paint_inclusion(maps: Maps, inclusion: Inclusion) -> None:
    reach = inclusion.outer_um + REACH_UM
    height, width = maps.class_mask.shape
    r0, c0 = (max(0, int((x - reach) / maps.pixel_um)) for x in (inclusion.row_um, inclusion.col_um))
    r1 = min(height, int((inclusion.row_um + reach) / maps.pixel_um) + 1)
    c1 = min(width, int((inclusion.col_um + reach) / maps.pixel_um) + 1)
    if r0 >= r1 or c0 >= c1:
        return
    row = (np.arange(r0, r1) + 0.5)[:, None] * maps.pixel_um - inclusion.row_um
    col = (np.arange(c0, c1) + 0.5)[None, :] * maps.pixel_um - inclusion.col_um
    d = signed_distance(inclusion, row, col)
    at = slice(r0, r1), slice(c0, c1)
    inside = d < 0
    maps.class_mask[at][inside] = CLASS_IDS[inclusion.phase]
    maps.instance_mask[at][inside] = inclusion.id
    soft = np.clip(0.5 - d / maps.pixel_um, 0, 1)
    for name, value, pick in (("coverage", soft, np.maximum), ("distance_um", d, np.minimum)):
        target = getattr(maps, name)[inclusion.phase][at]
        pick(target, value.astype(np.float32), out=target)


def signed_distance(inclusion: Inclusion, row_um: np.ndarray, col_um: np.ndarray) -> np.ndarray:
    """Distance to the outline of an inclusion, to first order, in µm; negative inside.

    `row_um` and `col_um` are offsets from its centre. The sign is exact.
    """
    turn = np.deg2rad(inclusion.angle_deg)
    stretch = np.sqrt(inclusion.aspect)
    u = (col_um * np.cos(turn) + row_um * np.sin(turn)) / stretch
    v = (row_um * np.cos(turn) - col_um * np.sin(turn)) * stretch
    rho = np.hypot(u, v) + 1e-12
    unit = (u + 1j * v) / rho
    r, power = np.ones_like(rho), unit ** (LOBE_ORDERS[0] - 1)
    for a, p in zip(inclusion.lobe_amplitude, inclusion.lobe_phase_deg, strict=True):
        power = power * unit  # the orders are consecutive: unit**3, unit**4, unit**5
        r += a * (power * np.exp(1j * np.deg2rad(p))).real
    # the map stretches lengths by |grad rho|, which depends on the direction
    gradient = np.hypot((u / rho) / stretch, (v / rho) * stretch)
    return (rho - inclusion.radius_um * r) / gradient
