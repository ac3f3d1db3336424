"""Counts of clusters against shuffled values, and the tests that rest on them."""

import numpy as np


class Counts:
    """Clusters of units, counted once, so that shuffled codes of units are counted quickly."""

    def __init__(self, labels: np.ndarray, units: np.ndarray, *, n_values: int) -> None:
        self.n_clusters = int(labels.max()) + 1
        self.n_values = n_values
        key, self.count = np.unique(units * self.n_clusters + labels, return_counts=True)
        self.unit, self.cluster = np.divmod(key, self.n_clusters)
        self.sizes = np.bincount(self.cluster, self.count, self.n_clusters)

    def table(self, codes: np.ndarray) -> np.ndarray:
        """Count (n_values, n_clusters) int64 tiles."""
        cells = codes[self.unit] * self.n_clusters + self.cluster
        flat = np.bincount(cells, self.count, self.n_values * self.n_clusters)
        return flat.reshape(self.n_values, self.n_clusters).astype(np.int64)

    def means(self, numbers: np.ndarray) -> np.ndarray:
        """Average (n_clusters,) numbers of units over tiles."""
        weights = self.count * numbers[self.unit]
        return np.bincount(self.cluster, weights, self.n_clusters) / self.sizes


def shifts(means: np.ndarray, squares: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Measure the mean of each cluster against that of all other tiles, in their standard deviations.

    Parameters
    ----------
    means, squares : (K,) float
        Means of a number and of its square in each cluster.
    sizes : (K,) int
        Tiles of each cluster.
    """
    rest = np.maximum(sizes.sum() - sizes, 1)
    other = (means @ sizes - means * sizes) / rest
    spread = np.sqrt(np.maximum((squares @ sizes - squares * sizes) / rest - np.square(other), 1e-24))
    return (means - other) / spread


def family_p(values: np.ndarray, *, two_sided: bool = False) -> np.ndarray:
    """Return the p-value of each column of the first row, corrected for the number of columns.

    Parameters
    ----------
    values : (P, K) float
        A statistic for each arrangement; the first is that of the data.

    Notes
    -----
    Each column is standardised over the arrangements; the largest of each row then gives what chance does in
    the best of K tries (single-step maximum; Westfall & Young 1993, Resampling-Based Multiple Testing).
    """
    spread = values.std(axis=0)
    z = (values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, np.inf)
    z = np.abs(z) if two_sided else z
    return (z.max(axis=1)[:, None] >= z[0] - 1e-9).mean(axis=0)


def entropy(counts: np.ndarray) -> float:
    """Compute the entropy of counts, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def holm(p: np.ndarray) -> np.ndarray:
    """Correct (M,) p-values for their number, whatever they depend on (Holm 1979, Scand. J. Statist. 6:65).

    Returns
    -------
    (M,) float in [0, 1]
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty(len(p))
    out[order] = np.minimum(steps, 1.0)
    return out
