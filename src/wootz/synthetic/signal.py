"""Maps to signal: what an ideal, noiseless detector would see, secondary or backscattered electrons."""

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter

from wootz.synthetic.raster import Maps, centres
from wootz.synthetic.scene import Scene

RIM_UM = (
    0.16  # width of the bright edge of a pore, the escape depth of secondary electrons smeared by the probe
)
EDGE_UM = 0.16  # rounding of polished edges
GROOVE_UM = 0.14  # half width of an etched grain boundary
TAIL_UM = 3.5  # length of a charging tail along the scan line
COLUMNAR = {"Fe2Al5": 3.5, "FeAl": 2.0}  # how much longer the texture is along the growth direction
INCLUSIONS = ("pore", "precipitate", "crack")


def signal(scene: Scene, maps: Maps, *, rng: np.random.Generator) -> np.ndarray:
    """Compute the noiseless signal of a scene.

    Parameters
    ----------
    scene : Scene
    maps : Maps
        The scene on a pixel grid.
    rng : numpy.random.Generator
        Draws the fine texture of the phases, polishing scratches and curtains.

    Returns
    -------
    (H, W) float32, about 0 (black) to 1 (white), not clipped.

    Notes
    -----
    Level of each phase, weighted with its coverage, plus texture and channelling contrast. Secondary
    electrons add relief (a slope towards the detector is bright), edge brightening ``1 / cos - 1`` of the
    slope, bright pore rims and charging; backscattered electrons keep a fifth of the relief and no rims.
    """
    secondary = scene.imaging.mode == "se"
    image = _phases(scene, maps, secondary, rng)
    image += _topography(scene, maps, 1.0 if secondary else 0.2)
    image += _rims(scene, maps, 1.0 if secondary else 0.15)
    image += _charging(scene, maps, rng)
    image += _preparation(scene, maps, rng)
    return image


def _phases(scene: Scene, maps: Maps, secondary: bool, rng: np.random.Generator) -> np.ndarray:
    shape = (maps.class_mask.shape[0], maps.class_mask.shape[1])
    image = np.zeros(shape, np.float32)
    open_area = np.ones_like(image)
    for name in INCLUSIONS:
        open_area -= maps.coverage[name]
    np.maximum(open_area, 0, out=open_area)
    for name, cover in maps.coverage.items():
        look = scene.look(name)
        cell = look.texture_um / maps.pixel_um
        texture = smooth_noise(shape, (cell * COLUMNAR.get(name, 1.0), cell), rng=rng)
        texture *= np.float32(look.texture)
        texture += np.float32(look.se_level if secondary else look.bse_level)
        texture *= cover if name in INCLUSIONS else cover * open_area
        image += texture
    contrast = np.float32(0.8 if secondary else 1.0)
    groove = np.exp(-np.square(maps.boundary_um / np.float32(GROOVE_UM))) * np.float32(
        0.05 if secondary else 0.015
    )
    image += (contrast * maps.shade - groove) * open_area
    return image


def _topography(scene: Scene, maps: Maps, strength: float) -> np.ndarray:
    height = np.zeros(maps.class_mask.shape, np.float32)
    for name, cover in maps.coverage.items():
        height += np.float32(scene.look(name).relief_um) * cover
    height = gaussian_filter(height, max(EDGE_UM / maps.pixel_um, 0.5), mode="nearest", truncate=3.0)
    slope_row = np.gradient(height, axis=0) / np.float32(maps.pixel_um)
    slope_col = np.gradient(height, axis=1) / np.float32(maps.pixel_um)
    turn = np.deg2rad(scene.imaging.azimuth_deg)
    towards = np.float32(np.sin(turn)) * slope_row + np.float32(np.cos(turn)) * slope_col
    edge = np.sqrt(1 + np.square(slope_row) + np.square(slope_col)) - 1
    light = np.tanh(towards) * np.float32(0.5) + np.tanh(edge) * np.float32(0.6)
    return light * np.float32(strength * scene.imaging.edge_gain)


def _rims(scene: Scene, maps: Maps, strength: float) -> np.ndarray:
    gain = np.float32(strength * scene.imaging.edge_gain)
    pore = np.minimum(maps.distance_um["pore"], maps.distance_um["crack"])
    glow = np.exp(-np.square((pore - np.float32(0.5 * RIM_UM)) / np.float32(RIM_UM)))
    return gain * glow


def _charging(scene: Scene, maps: Maps, rng: np.random.Generator) -> np.ndarray:
    """Insulating places charge: blotches in the resin, a tail behind each pore along the scan line."""
    amount = np.float32(scene.imaging.charging)
    decay = float(np.exp(-maps.pixel_um / TAIL_UM))
    hole = np.maximum(maps.coverage["pore"], maps.coverage["crack"])
    taps = np.array([1 - decay], np.float32), np.array([1, -decay], np.float32)
    tail = np.asarray(lfilter(*taps, hole, axis=1), np.float32)
    cell = 6.0 / maps.pixel_um
    blotch = smooth_noise(hole.shape, (0.3 * cell, 2 * cell), rng=rng) * maps.coverage["resin"]
    return amount * (np.float32(1.5) * tail * (1 - hole) + np.float32(0.8) * blotch)


def _preparation(scene: Scene, maps: Maps, rng: np.random.Generator) -> np.ndarray:
    """Polishing scratches (two families of parallel lines) and curtaining (streaks along rows)."""
    shape = maps.class_mask.shape
    image = np.zeros(shape, np.float32)
    extent = float(np.hypot(*shape))
    for _ in range(2):
        turn = rng.uniform(0, np.pi)
        n = int(2 * extent) + 2
        lines = (rng.uniform(size=n) < 0.03 / max(1.0, 0.12 / maps.pixel_um)) * rng.uniform(-1, 0.5, n)
        profile = gaussian_filter(lines, max(0.06 / maps.pixel_um, 0.6)).astype(np.float32) * np.float32(2.5)
        row = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(np.cos(turn))
        col = np.arange(shape[1], dtype=np.float32) * np.float32(np.sin(turn))
        image += profile[(row + col + np.float32(extent)).astype(np.int32).clip(0, n - 1)]
    image *= np.float32(scene.imaging.scratches)
    streaks = smooth_noise((1, shape[1]), (1.0, 0.8 / maps.pixel_um), rng=rng)
    below = 1 - maps.coverage["resin"]
    fade = np.linspace(0.6, 1.4, shape[0], dtype=np.float32)[:, None]
    image += np.float32(scene.imaging.curtaining) * streaks * fade * below
    return image


def shading(scene: Scene, shape: tuple[int, int]) -> np.ndarray:
    """Compute the collection efficiency, (H, W) float32 around 1: a ramp and a faint bowl."""
    turn = np.deg2rad(scene.imaging.shading_angle_deg)
    row = (centres(shape[0], 2 / shape[0]) - 1).astype(np.float32)[:, None]
    col = (centres(shape[1], 2 / shape[1]) - 1).astype(np.float32)
    ramp = np.float32(np.sin(turn)) * row + np.float32(np.cos(turn)) * col
    bowl = np.float32(0.5) * (np.square(row) + np.square(col)) - np.float32(1 / 3)
    return 1 + np.float32(scene.imaging.shading) * (ramp - np.float32(0.5) * bowl)


def smooth_noise(
    shape: tuple[int, int], cell_px: tuple[float, float], *, rng: np.random.Generator
) -> np.ndarray:
    """Draw Gaussian noise of unit variance with a correlation length of about one cell.

    Parameters
    ----------
    shape : (int, int)
    cell_px : (float, float)
        Row and column length, in px; values below 1 count as 1.

    Returns
    -------
    (H, W) float32.

    Notes
    -----
    White noise on a coarse lattice, carried to the pixels by cubic B-splines: two small matrix products
    where a Gaussian filter would pass over the image 6 sigma wide.
    """
    rows, cols = (_spline(n, round(max(cell, 1.0), 3)) for n, cell in zip(shape, cell_px, strict=True))
    lattice = rng.standard_normal((rows.shape[1], cols.shape[1]), dtype=np.float32)
    return rows @ lattice @ cols.T


@lru_cache(maxsize=32)
def _spline(n: int, cell: float) -> np.ndarray:
    """(n, K) float32 weights of cubic B-splines, each row of unit length."""
    t = np.arange(n)[:, None] / cell - np.arange(-1, int(np.ceil(n / cell)) + 2)
    a = np.abs(t)
    weight = np.where(a < 1, 2 / 3 - a**2 + a**3 / 2, np.where(a < 2, (2 - a) ** 3 / 6, 0))
    return (weight / np.sqrt(np.square(weight).sum(axis=1, keepdims=True))).astype(np.float32)
