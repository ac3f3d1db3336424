"""Features in which a linear head draws curved borders: likeness to landmarks, made into coordinates."""

from dataclasses import dataclass

import numpy as np

BLOCK = 16_384
CLIP = 6.0
"""Standardised features beyond this many deviations are cut: one odd column must not decide alone."""


@dataclass(frozen=True)
class KernelMap:
    """Coordinates of the Gaussian kernel ``exp(-width |x - y|^2)``, by landmarks (Nystroem's approximation).

    mean, scale : (D,) float32, of the features.
    landmarks : (M, D) float32, standardised.
    whitening : (M, M) float32, the inverse square root of the landmarks' kernel.
    width : float, > 0.
    """

    mean: np.ndarray
    scale: np.ndarray
    landmarks: np.ndarray
    whitening: np.ndarray
    width: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map (N, D) float32 features to (N, M) float32; inner products approximate the kernel."""
        out = np.empty((len(features), len(self.landmarks)), np.float32)
        for start in range(0, len(features), BLOCK):
            rows = _standard(features[start : start + BLOCK], self.mean, self.scale)
            out[start : start + BLOCK] = gaussian_kernel(rows, self.landmarks, self.width) @ self.whitening
        return out


def fit_kernel_map(
    features: np.ndarray, *, rng: np.random.Generator, n_landmarks: int = 500, spread: float = 0.5
) -> KernelMap:
    """Choose landmarks at random and scale so that they are coordinates; needs no labels.

    Parameters
    ----------
    features : (N, D) float32
    rng : numpy Generator
    n_landmarks : int
        At most N are taken; as many coordinates come out.
    spread : float, > 0
        The kernel's width is ``spread / D`` on standardised features.

    Returns
    -------
    KernelMap

    References
    ----------
    Williams & Seeger, Using the Nystroem method to speed up kernel machines, NIPS 13 (2001) 682, section 2.
    """
    rows = np.asarray(features, np.float32)
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 1e-6 * (np.abs(mean) + 1e-6), scale, 1.0).astype(np.float32)
    chosen = np.sort(rng.permutation(len(rows))[:n_landmarks])
    landmarks = _standard(rows[chosen], mean, scale)
    width = spread / rows.shape[1]
    values, vectors = np.linalg.eigh(gaussian_kernel(landmarks, landmarks, width).astype(np.float64))
    root = 1 / np.sqrt(np.maximum(values, 1e-6 * values.max()))
    return KernelMap(mean, scale, landmarks, ((vectors * root) @ vectors.T).astype(np.float32), width)


def gaussian_kernel(rows: np.ndarray, others: np.ndarray, width: float) -> np.ndarray:
    """Compute ``exp(-width |x - y|^2)`` of every (n, D) row with every (m, D) other: (n, m) float32."""
    squared = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * rows @ others.T
    return np.exp(-width * np.maximum(squared, 0.0))


def _standard(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((np.asarray(features, np.float32) - mean) / scale, -CLIP, CLIP)
