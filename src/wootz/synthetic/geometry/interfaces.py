"""Interfaces as graphs row(col): a self-affine roughness, tongues, and exact integrals of the polyline."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

DIGITS = 6  # coordinates are rounded to a picometre, so that hashes do not hang on the last bit of a cosine


@dataclass(frozen=True)
class Profile:
    """A polyline with equidistant columns: ``row_um[i]`` stands at ``start_um + i * step_um``."""

    name: str
    start_um: float
    step_um: float
    row_um: list[float]

    @cached_property
    def col_um(self) -> np.ndarray:
        """(N,) float64 columns of the vertices, in µm."""
        return self.start_um + self.step_um * np.arange(len(self.row_um))

    @cached_property
    def rows_um(self) -> np.ndarray:
        """(N,) float64 rows of the vertices, in µm."""
        return np.array(self.row_um)

    def at(self, col_um: np.ndarray) -> np.ndarray:
        """Row of the interface at any columns, both in µm."""
        return np.interp(col_um, self.col_um, self.rows_um)


def rough_profile(
    n: int, *, step_um: float, rq_um: float, correlation_um: float, hurst: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a self-affine profile of root mean square `rq_um`.

    Parameters
    ----------
    n : int
        Number of points.
    step_um, correlation_um, rq_um : float
        Spacing, correlation length and root mean square height, in µm.
    hurst : float, in (0, 1)
        Small is jagged, large is smooth.

    Returns
    -------
    (n,) float64, µm, zero mean.

    Notes
    -----
    Power spectrum ``(1 + (k xi)^2)^-(H + 1/2)``, the K-correlation model in one dimension, with Gaussian
    amplitudes; the profile is periodic over ``n * step_um``.

    References
    ----------
    Palasantzas 1993, Phys. Rev. B 48, 14472, doi 10.1103/PhysRevB.48.14472, eq. 6.
    """
    k = 2 * np.pi * np.fft.rfftfreq(n, step_um)
    amplitude = (1 + (k * correlation_um) ** 2) ** (-(hurst + 0.5) / 2)
    amplitude[0] = 0
    noise = rng.standard_normal(k.size) + 1j * rng.standard_normal(k.size)
    height = np.fft.irfft(amplitude * noise, n)
    return rq_um * height / height.std()


def tongues(col_um: np.ndarray, *, length_um: float, pitch_um: float, rng: np.random.Generator) -> np.ndarray:
    """Draw rounded tongues that point to larger rows, as the Fe2Al5 layer grows into steel.

    Returns (N,) float64 in µm with zero mean. Each tongue has a flat tip, ``exp(-|t|^3)``, its own length
    and width; neighbours stand `pitch_um` apart, give or take half.
    """
    depth = np.zeros_like(col_um)
    centre = col_um[0] - pitch_um
    while length_um > 0 and centre < col_um[-1] + pitch_um:
        length = length_um * rng.uniform(0.2, 1.3)
        width = pitch_um * rng.uniform(0.26, 0.42)
        skew = rng.uniform(-0.25, 0.25)
        t = (col_um - centre) / width
        np.maximum(depth, length * np.exp(-(np.abs(t * (1 + skew * np.tanh(t))) ** 3)), out=depth)
        centre += pitch_um * rng.uniform(0.55, 1.45)
    return depth - depth.mean()


def integral(col_um: np.ndarray, height_um: np.ndarray, *, low_um: float, high_um: float) -> float:
    """Integrate the polyline (col, height) over [low, high] exactly, in µm².

    Both end points may lie between vertices; outside the vertices the first and last height hold.
    """
    inner = col_um[(col_um > low_um) & (col_um < high_um)]
    x = np.concatenate([[low_um], inner, [high_um]])
    return float(np.trapezoid(np.interp(x, col_um, height_um), x))


def fit_line(profile: Profile, *, width_um: float) -> tuple[float, float]:
    """Fit a straight line to the interface within the field; return (row at column 0 in µm, slope)."""
    x = np.linspace(0, width_um, 1001)
    slope, offset = np.polyfit(x, profile.at(x), 1)
    return float(offset), float(slope)
