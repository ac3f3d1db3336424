"""One detector model for every back end: signal in [0, 1] to grey levels as recorded."""

import numpy as np
from scipy.ndimage import gaussian_filter

from wootz.synthetic.scene import Scene
from wootz.synthetic.signal import shading

PROBE_PX = 0.45  # a sampled probe is never sharper than this


def detect(
    image: np.ndarray, scene: Scene, *, pixel_um: float, bit_depth: int, rng: np.random.Generator
) -> np.ndarray:
    """Turn a noiseless signal into a micrograph.

    Parameters
    ----------
    image : (H, W) float32
        Signal, about 0 to 1.
    scene : Scene
        Gives the imaging conditions.
    pixel_um : float, > 0
    bit_depth : int, 8 or 16
    rng : numpy.random.Generator

    Returns
    -------
    (H, W) uint8 or uint16, using the full range of the type.

    Notes
    -----
    Probe (Gaussian), collection efficiency, drift within a frame (below a pixel, so that masks stay true),
    Poisson counts at `dose_e_per_px` electrons per pixel of white, line noise, then contrast about mid grey,
    brightness and gamma.
    """
    conditions = scene.imaging
    image = gaussian_filter(image, float(np.hypot(conditions.defocus_um / pixel_um, PROBE_PX)), truncate=3.0)
    image *= shading(scene, image.shape)
    image = _drift(image, conditions.drift_px, rng)
    counts = rng.poisson(np.clip(image, 0.0, 4.0) * np.float32(conditions.dose_e_per_px))
    image = counts.astype(np.float32) / np.float32(conditions.dose_e_per_px)
    image += np.float32(conditions.line_noise) * rng.standard_normal((image.shape[0], 1), dtype=np.float32)
    image = (image - np.float32(0.5)) * np.float32(conditions.contrast) + np.float32(
        0.5 + conditions.brightness
    )
    image = np.clip(image, 0.0, 1.0) ** np.float32(conditions.gamma)
    white = 2**bit_depth - 1
    return np.rint(image * np.float32(white)).astype(np.uint8 if bit_depth == 8 else np.uint16)


def _drift(image: np.ndarray, drift_px: float, rng: np.random.Generator) -> np.ndarray:
    """Shift each line sideways by a slow wander of at most `drift_px`, linear between pixels."""
    if drift_px == 0:
        return image
    n = image.shape[0]
    t = np.linspace(0, 1, n)
    wander = np.sin(2 * np.pi * (rng.uniform(0.5, 2.0) * t + rng.uniform())) * 0.8
    jitter = rng.uniform(-0.2, 0.2, n)
    shift = (drift_px * (wander + jitter)).astype(np.float32)[:, None]
    left = np.concatenate([image[:, :1], image[:, :-1]], axis=1)
    right = np.concatenate([image[:, 1:], image[:, -1:]], axis=1)
    return image + np.maximum(shift, 0) * (left - image) - np.minimum(shift, 0) * (right - image)
