"""Grains: a weighted Voronoi diagram in warped coordinates, which bends the boundaries."""

from dataclasses import dataclass

import numpy as np

from wootz.synthetic.geometry.interfaces import DIGITS

N_MODES = 8


@dataclass(frozen=True)
class GrainSet:
    """Seeds of the grains of one phase. A point belongs to the seed of least ``distance² - weight``.

    Distances are taken after dividing rows by `aspect` and after the displacement
    ``sum_m amplitude_m * sin(k_row row + k_col col + phase)`` of both coordinates (`warp`: one list of
    k_row, k_col, phase, amplitude of row, amplitude of col per mode, in 1/µm, radian and µm).
    """

    phase: str
    size_um: float
    aspect: float
    row_um: list[float]
    col_um: list[float]
    weight_um2: list[float]
    shade: list[float]
    warp: list[list[float]]


def draw_grains(
    phase: str,
    *,
    size_um: float,
    aspect: float,
    contrast: float,
    waviness: float,
    box_um: tuple[float, float, float],
    rng: np.random.Generator,
) -> GrainSet:
    """Draw grains over a box.

    Parameters
    ----------
    size_um, aspect : float
        Width of a grain, and how much longer it is along rows.
    contrast : float
        Spread of the channelling contrast (standard deviation of the grey level, full scale 1).
    waviness : float, in [0, 0.3]
        Displacement of the boundaries, as a fraction of `size_um`.
    box_um : tuple
        First row, last row, width. One grain more stands outside on each side.
    """
    top, bottom, width = box_um
    pitch_row = size_um * aspect
    rows = np.arange(top - 1.5 * pitch_row, bottom + 1.5 * pitch_row, pitch_row)
    cols = np.arange(-1.5 * size_um, width + 1.5 * size_um, size_um)
    row, col = (a.ravel() for a in np.meshgrid(rows, cols, indexing="ij"))
    row = row + pitch_row * rng.uniform(-0.48, 0.48, row.size)
    col = col + size_um * rng.uniform(-0.48, 0.48, col.size)
    weight = size_um**2 * rng.uniform(-0.18, 0.18, row.size)
    shade = contrast * np.clip(rng.standard_normal(row.size), -2, 2)
    row, col, weight, shade = (np.round(a, DIGITS).tolist() for a in (row, col, weight, shade))
    return GrainSet(
        phase=phase,
        size_um=round(size_um, DIGITS),
        aspect=round(aspect, DIGITS),
        row_um=row,
        col_um=col,
        weight_um2=weight,
        shade=shade,
        warp=_warp(size_um, amplitude=waviness * size_um, rng=rng),
    )


def _warp(size_um: float, *, amplitude: float, rng: np.random.Generator) -> list[list[float]]:
    wavelength = size_um * np.exp(rng.uniform(np.log(0.7), np.log(3.0), N_MODES))
    angle = rng.uniform(0, 2 * np.pi, N_MODES)
    k = 2 * np.pi / wavelength
    each = amplitude * np.sqrt(wavelength / wavelength.mean()) / np.sqrt(N_MODES / 2)
    turn = rng.uniform(0, 2 * np.pi, N_MODES)
    modes = np.stack(
        [
            k * np.sin(angle),
            k * np.cos(angle),
            rng.uniform(0, 2 * np.pi, N_MODES),
            each * np.sin(turn),
            each * np.cos(turn),
        ],
        axis=1,
    )
    return np.round(modes, DIGITS).tolist()
