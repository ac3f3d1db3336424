"""Judge features without labels: how many dimensions they use, and whether they have collapsed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wootz.errors import WootzError

COLLAPSED_STD = 0.02
COLLAPSED_RANKME = 1.05


def rankme(features: np.ndarray) -> float:
    """Compute the effective rank of features: how many directions they use.

    Parameters
    ----------
    features : (N, D) float
        Take at least as many tiles as dimensions; fewer bound the result by N.

    Returns
    -------
    float
        In [1, min(N, D)].

    Raises
    ------
    ValueError
        If features are not a finite (N, D) array, or all zero.

    Notes
    -----
    ``exp(-sum p_k log p_k)`` with ``p_k = s_k / sum(s) + 1e-7`` over the singular values s. The mean is not
    subtracted, as in the paper. A high value is needed for good features, not enough: noise has the highest.
    Compare runs on the same tiles only.

    References
    ----------
    Garrido et al. 2023, arXiv:2210.02885, definition in section 3.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or features.size == 0 or not np.isfinite(features).all():
        raise ValueError(f"features must be a finite (N, D) array, got shape {features.shape}")
    values = np.linalg.svd(features, compute_uv=False)
    total = values.sum()
    if total == 0:
        raise ValueError("features are all zero, so they have no rank")
    p = values / total + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def feature_std(features: np.ndarray) -> float:
    """Compute the spread of features over tiles: the mean standard deviation of unit vectors times sqrt(D).

    Parameters
    ----------
    features : (N, D) float

    Returns
    -------
    float
        In [0, 1]: 1 where directions are spread evenly over the sphere, 0 where all tiles have one direction.

    References
    ----------
    Chen and He 2021, doi:10.1109/CVPR46437.2021.01549, section 4.1 and figure 2.
    """
    features = np.asarray(features, dtype=np.float64)
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(norm, 1e-12)
    return float(unit.std(axis=0).mean() * np.sqrt(features.shape[1]))


def check_collapse(*, std: float, rank: float, method: str, epoch: int) -> None:
    """Raise `WootzError` where all tiles look alike to the encoder.

    Notes
    -----
    Bounds (spread 0.02, rank 1.05) lie far below what random weights give on micrographs (above 0.1 and 2).
    """
    if std >= COLLAPSED_STD and rank >= COLLAPSED_RANKME:
        return
    advice = {
        "byol": "lower lr, raise method.momentum or batch_size, or take method=simclr",
        "moco": "lower lr, or raise method.momentum",
    }.get(method, "lower lr, or raise batch_size")
    raise WootzError(
        f"pretraining collapsed after epoch {epoch}: all tiles have nearly the same features (spread "
        f"{std:.2g}, RankMe {rank:.2f}); {advice}. If the tiles themselves look alike, add other images."
    )


def draw_history(history: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw loss and RankMe over the epochs to a PNG, SVG or PDF file."""
    from wootz.plotting import new_figure, save_figure, style_axis

    figure = new_figure(7.0, 2.8)
    left, right = figure.subplots(1, 2)
    for axis, key, title in ((left, "loss", "Loss"), (right, "rankme", "RankMe of the features")):
        points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
        axis.plot(*zip(*points, strict=True), marker="o" if len(points) < 30 else "", markersize=3)
        style_axis(axis, title=title, xlabel="epoch")
    return save_figure(figure, path)
