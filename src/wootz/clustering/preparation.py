"""What is done to features before they are clustered, kept so that new features can follow the same way."""

from dataclasses import dataclass

import numpy as np

from wootz.clustering.preprocess import Projection, check_features, fit_pca, l2_normalise, project
from wootz.clustering.standardise import Standardisation, fit_standardisation


@dataclass(frozen=True)
class Preparation:
    """Fitted steps: standardised by group, projected, scaled to length one; each may be left out."""

    standardisation: Standardisation | None
    projection: Projection | None
    whiten: bool
    l2: bool

    def apply(self, features: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
        """Prepare (N, D) features of tiles in (N,) int groups; returns (N, n_components) float32."""
        if self.standardisation is not None:
            own = np.full(len(features), -1) if groups is None else groups
            features = self.standardisation.apply(features, own)
        if self.projection is not None:
            features = project(features, self.projection, whiten=self.whiten)
        return l2_normalise(features) if self.l2 else np.ascontiguousarray(features, np.float32)


def fit_preparation(
    features: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    pca_dim: int | None = None,
    whiten: bool = False,
    l2: bool = True,
) -> Preparation:
    """Fit the steps on all tiles.

    Parameters
    ----------
    features : (N, D) float32
    groups : (N,) int, optional
        Groups to standardise by, -1 for none; see `fit_standardisation`.
    pca_dim : int, optional
        Principal components kept.
    whiten, l2 : bool

    Raises
    ------
    WootzError
        If features hold NaN or are all the same, groups are too small, or `pca_dim` is out of range.
    """
    features = check_features(features)
    standardisation = None
    if groups is not None:
        standardisation = fit_standardisation(features, groups)
        features = standardisation.apply(features, groups)
    projection = None if pca_dim is None else fit_pca(features, pca_dim)
    return Preparation(standardisation, projection, whiten, l2)
