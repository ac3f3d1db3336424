"""Features brought to the same mean and spread in every group: the remedy for what only shifts them."""

from dataclasses import dataclass

import numpy as np

from wootz.errors import WootzError

MIN_GROUP = 5


@dataclass(frozen=True)
class Standardisation:
    """Mean and spread of the features of each group.

    Parameters
    ----------
    mean, scale : (G + 1, D) float64
        Of each group; the last row serves tiles of small and of unknown groups.
    centre, spread : (D,) float64
        What all groups are brought to: the mean of all tiles and the spread within groups.
    """

    mean: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    spread: np.ndarray

    def apply(self, features: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Standardise (N, D) features of tiles in (N,) int groups; -1 and new groups are of no group."""
        last = len(self.mean) - 1
        known = np.where((groups >= 0) & (groups < last), groups, last)
        out = np.empty(features.shape, np.float32)
        for start in range(0, len(features), 65_536):
            part = slice(start, start + 65_536)
            own = known[part]
            out[part] = (features[part] - self.mean[own]) / self.scale[own] * self.spread + self.centre
        return out


def fit_standardisation(features: np.ndarray, groups: np.ndarray) -> Standardisation:
    """Measure the features of each group.

    Parameters
    ----------
    features : (N, D) float32
    groups : (N,) int
        Group of each tile, e.g. the number of its image or instrument; -1 is none.

    Raises
    ------
    WootzError
        If the lengths differ, or fewer than two groups have 5 tiles.

    Notes
    -----
    ``(x - mean of group) / sd of group * sd within groups + mean of all``, dimension by dimension. The sd of
    a group is drawn towards that of all as by 5 further tiles. Groups of fewer than 5 tiles are taken
    together.

    It takes out what only shifts and stretches features, and with it every difference of *composition*: a
    group that shows one class only ends where the other groups are. Where classes and groups go together, it
    takes the classes away.
    """
    if len(features) != len(groups):
        raise WootzError(f"{len(features)} features and {len(groups)} groups do not belong together.")
    sizes = np.bincount(groups[groups >= 0], minlength=1)
    if (sizes >= MIN_GROUP).sum() < 2:
        raise WootzError(
            f"standardising needs two groups of at least {MIN_GROUP} tiles; choose a column with larger ones."
        )
    used = np.where((groups >= 0) & (sizes[groups] >= MIN_GROUP), groups, len(sizes))
    count, mean, squares = _moments(features, used, len(sizes) + 1)
    centre = (count[:, None] * mean).sum(axis=0) / count.sum()
    within = squares.sum(axis=0) / count.sum()
    scale = np.sqrt((squares + MIN_GROUP * within) / (count[:, None] + MIN_GROUP))
    if count[-1] == 0:
        mean[-1], scale[-1] = centre, np.sqrt(within)
    empty = count == 0  # too small, or a number that no tile has
    mean[empty], scale[empty] = mean[-1], scale[-1]
    return Standardisation(mean, np.where(scale > 0, scale, 1.0), centre, np.sqrt(within))


def _moments(features: np.ndarray, groups: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count tiles, average features and sum their squared deviations, group by group."""
    count = np.bincount(groups, minlength=n)
    mean, squares = np.zeros((n, features.shape[1])), np.zeros((n, features.shape[1]))
    order = np.argsort(groups, kind="stable")
    stops = np.cumsum(count)
    for group in np.flatnonzero(count):
        rows = features[order[stops[group] - count[group] : stops[group]]].astype(np.float64)
        mean[group] = rows.mean(axis=0)
        squares[group] = np.square(rows - mean[group]).sum(axis=0)
    return count, mean, squares
