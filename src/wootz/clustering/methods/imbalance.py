"""A warning where a method that prefers clusters of equal size seems to have cut a large class."""

import numpy as np

EVEN = 0.9
CROSSING = 0.1


def imbalance_note(
    labels: np.ndarray, neighbours: np.ndarray, *, n_clusters: int, preference: float
) -> tuple[str, ...]:
    """Word a warning where clusters are nearly equal in size, but cut through neighbourhoods.

    Parameters
    ----------
    labels : (N,) int
    neighbours : (N, k) int
        Nearest neighbours.
    n_clusters : int, >= 2
    preference : float
        Weight of equal sizes in the method; 0 turns the warning off.

    Returns
    -------
    tuple of str
        One sentence or none.

    Notes
    -----
    It warns where the entropy of the sizes is above 0.9 of its largest and, in some cluster, more than a
    tenth of the neighbours belong to one other cluster. It cannot see a class that was cut along a gap, and
    it may warn where classes overlap.
    """
    sizes = np.bincount(labels, minlength=n_clusters) / len(labels)
    evenness = -(sizes[sizes > 0] * np.log(sizes[sizes > 0])).sum() / np.log(n_clusters)
    if preference <= 0 or evenness < EVEN:
        return ()
    pairs = n_clusters * labels[:, None].astype(np.int64) + labels[neighbours]
    crossed = (
        np.bincount(pairs.ravel(), minlength=n_clusters**2).reshape(n_clusters, n_clusters).astype(float)
    )
    crossed /= np.maximum(crossed.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(crossed, 0)
    if crossed.max() <= CROSSING:
        return ()
    text = (
        "Warning: this method prefers clusters of equal size and may have cut a large class: the "
        f"{n_clusters} clusters are nearly equal, yet of the nearest neighbours in one of them "
        f"{crossed.max():.0%} belong to another. Compare with method=graph; with scan and simgcd, lower "
        "method.entropy_weight."
    )
    return (text,)
