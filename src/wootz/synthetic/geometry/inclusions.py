"""Pores and precipitates: lobed ellipses, placed so that none overlaps another or leaves its host."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from wootz.synthetic.geometry.interfaces import DIGITS

LOBE_ORDERS = (3, 4, 5)


@dataclass(frozen=True)
class Inclusion:
    """A closed curve: ``r(t) = radius (1 + sum_k a_k cos(k t + p_k))``, stretched by `aspect`, turned.

    The stretch keeps the area, so the area is ``pi radius² (1 + sum a_k² / 2)`` exactly.
    """

    id: int
    phase: str
    group: str
    row_um: float
    col_um: float
    radius_um: float
    aspect: float
    angle_deg: float
    lobe_amplitude: list[float]
    lobe_phase_deg: list[float]
    defect: bool = False

    @property
    def area_um2(self) -> float:
        """Area of the whole shape, also where the field cuts it."""
        return float(np.pi * self.radius_um**2 * (1 + 0.5 * np.square(self.lobe_amplitude).sum()))

    @property
    def outer_um(self) -> float:
        """Radius of a circle around the centre that holds the whole shape."""
        return float(self.radius_um * np.sqrt(self.aspect) * (1 + np.abs(self.lobe_amplitude).sum()))


def draw_shape(
    *, diameter_um: float, lobes: float, rng: np.random.Generator
) -> tuple[float, float, list[float], list[float]]:
    """Draw a lobed shape of equal-area diameter `diameter_um`: (radius, angle, amplitudes, phases)."""
    amplitude = np.round(lobes * rng.uniform(-1, 1, 3) * (3 / np.array(LOBE_ORDERS)), DIGITS)
    radius = diameter_um / 2 / np.sqrt(1 + 0.5 * np.square(amplitude).sum())
    phase = np.round(rng.uniform(0, 360, 3), 3)
    return round(float(radius), DIGITS), float(rng.uniform(0, 180)), amplitude.tolist(), phase.tolist()


def outline(inclusion: Inclusion, n: int = 256) -> np.ndarray:
    """Compute the outline as a polygon, (n, 2) float64 of (row, col) in µm."""
    t = 2 * np.pi * np.arange(n) / n
    r = np.ones(n)
    for k, a, p in zip(LOBE_ORDERS, inclusion.lobe_amplitude, inclusion.lobe_phase_deg, strict=True):
        r += a * np.cos(k * t + np.deg2rad(p))
    u = inclusion.radius_um * r * np.cos(t) * np.sqrt(inclusion.aspect)
    v = inclusion.radius_um * r * np.sin(t) / np.sqrt(inclusion.aspect)
    turn = np.deg2rad(inclusion.angle_deg)
    col = inclusion.col_um + u * np.cos(turn) - v * np.sin(turn)
    row = inclusion.row_um + u * np.sin(turn) + v * np.cos(turn)
    return np.stack([row, col], axis=1)


def area_in_field(inclusion: Inclusion, *, height_um: float, width_um: float) -> float:
    """Area within the field, in µm²: closed form, or the clipped outline where the border cuts the shape."""
    low = np.array([inclusion.row_um, inclusion.col_um]) - inclusion.outer_um
    high = low + 2 * inclusion.outer_um
    if (low >= 0).all() and high[0] <= height_um and high[1] <= width_um:
        return inclusion.area_um2
    points = outline(inclusion)
    for axis, bound, sign in ((0, 0.0, 1), (0, height_um, -1), (1, 0.0, 1), (1, width_um, -1)):
        points = _clip(points, sign * (points[:, axis] - bound))
        if len(points) < 3:
            return 0.0
    row, col = points.T
    return float(abs(np.dot(row, np.roll(col, -1)) - np.dot(col, np.roll(row, -1))) / 2)


def _clip(points: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Keep the part of a polygon with ``inside >= 0`` (Sutherland & Hodgman 1974, 10.1145/360767.360802)."""
    before, d0 = np.roll(points, 1, axis=0), np.roll(inside, 1)
    crosses = (d0 < 0) != (inside < 0)
    where = np.divide(d0, d0 - inside, out=np.zeros_like(d0), where=crosses)[:, None]
    both = np.stack([before + (points - before) * where, points], axis=1)
    return both[np.stack([crosses, inside >= 0], axis=1)]


Bounds = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Placement:
    """Accepts a shape only where it stays in its host, clear of cracks and of every shape before it."""

    def __init__(self, blocked: Callable[[float, float, float], bool]):
        self._blocked = blocked
        self.accepted: list[Inclusion] = []
        self._circles = np.empty((0, 3))

    def offer(self, shape: Inclusion, *, bounds: Bounds, gap_um: float) -> bool:
        """Accept `shape` if it fits between ``bounds(col) -> (top, bottom)`` with `gap_um` to spare."""
        reach = shape.outer_um + gap_um
        top, bottom = bounds(np.linspace(shape.col_um - reach, shape.col_um + reach, 17))
        if shape.row_um - reach < top.max() or shape.row_um + reach > bottom.min():
            return False
        distance = np.hypot(self._circles[:, 0] - shape.row_um, self._circles[:, 1] - shape.col_um)
        if (distance < self._circles[:, 2] + reach).any() or self._blocked(shape.row_um, shape.col_um, reach):
            return False
        self.accepted.append(replace(shape, id=len(self.accepted) + 1))
        self._circles = np.vstack([self._circles, [shape.row_um, shape.col_um, shape.outer_um]])
        return True
