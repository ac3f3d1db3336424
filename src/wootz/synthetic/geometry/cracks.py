"""Cracks as bands around a wandering line: centre and opening are functions of one coordinate."""

from dataclasses import dataclass

import numpy as np

from wootz.synthetic.geometry.interfaces import DIGITS, Profile, integral, rough_profile


@dataclass(frozen=True)
class Crack:
    """A crack: at ``s = start_um + i * step_um`` it spans ``centre_um[i] ± opening_um[i] / 2``.

    `axis` "row": s is a row and the centre a column (a crack across the coating); "col": the other way
    (a crack along an interface). The opening is measured along the other axis, so the area is its integral.
    """

    id: int
    group: str
    axis: str
    start_um: float
    step_um: float
    centre_um: list[float]
    opening_um: list[float]
    defect: bool = False

    @property
    def s_um(self) -> np.ndarray:
        """(N,) float64 coordinate along the crack, in µm."""
        return self.start_um + self.step_um * np.arange(len(self.centre_um))

    def distance_um(self, s_um: np.ndarray, across_um: np.ndarray) -> np.ndarray:
        """Signed distance across the band, in µm: negative inside the crack, +inf beyond its ends."""
        s = self.s_um
        opening = np.interp(s_um, s, self.opening_um, left=-np.inf, right=-np.inf)
        return np.abs(across_um - np.interp(s_um, s, self.centre_um)) - opening / 2


def crack_area(crack: Crack, *, height_um: float, width_um: float) -> float:
    """Area of the crack between the ends of the field along its axis, in µm² (exact for the polyline)."""
    s = crack.s_um
    high = height_um if crack.axis == "row" else width_um
    low, high = max(0.0, s[0]), min(high, s[-1])
    if high <= low:
        return 0.0
    return integral(s, np.asarray(crack.opening_um), low_um=low, high_um=high)


def crack_across(
    surface: Profile, *, col_um: float, length_um: float, opening_um: float, rng: np.random.Generator
) -> tuple[str, float, float, list[float], list[float]]:
    """Draw a crack that starts at the surface and narrows with depth: axis, start, step, centre, opening."""
    n = 80
    step = length_um / (n - 1)
    wander = rough_profile(
        2 * n, step_um=step, rq_um=0.06 * length_um, correlation_um=length_um / 3, hurst=0.8, rng=rng
    )
    centre = col_um + (wander - wander[0])[:n]
    depth = np.linspace(0, 1, n)
    opening = opening_um * np.sqrt(1 - depth) * (1 + 0.2 * np.sin(rng.uniform(0, 6.28) + 14 * depth))
    start = float(surface.at(np.array([col_um]))[0])
    return "row", round(start, DIGITS), round(step, DIGITS), _rounded(centre), _rounded(opening)


def crack_along(
    interface: Profile, *, col_um: float, length_um: float, opening_um: float, rng: np.random.Generator
) -> tuple[str, float, float, list[float], list[float]]:
    """Draw a crack that opens just above an interface: axis, start, step, centre, opening."""
    n = 160
    s = np.linspace(col_um - length_um / 2, col_um + length_um / 2, n)
    bulge = np.sqrt(np.sin(np.pi * np.linspace(0, 1, n)).clip(0))
    ripple = rough_profile(
        2 * n,
        step_um=length_um / n,
        rq_um=0.15 * opening_um,
        correlation_um=length_um / 12,
        hurst=0.7,
        rng=rng,
    )[:n]
    opening = np.clip(bulge * (opening_um + ripple), 0, None)
    centre = interface.at(s) - opening / 2 - 0.1
    start, step = round(float(s[0]), DIGITS), round(float(s[1] - s[0]), DIGITS)
    return "col", start, step, _rounded(centre), _rounded(opening)


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values, DIGITS).tolist()
