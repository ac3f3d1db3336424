"""Judge features without labels: how many dimensions they use, how views of a tile lie among all tiles."""

import numpy as np

POWER_LAW_RANKS = (4, 100)


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
    values = np.linalg.svd(_checked(features, ndim=2), compute_uv=False)
    if values.sum() == 0:
        raise ValueError("features are all zero, so they have no rank")
    return _effective_rank(values)


def alpha_req(features: np.ndarray, *, ranks: tuple[int, int] = POWER_LAW_RANKS) -> float:
    """Compute how fast the variances of features fall: alpha of ``variance_k ~ k^-alpha``.

    Parameters
    ----------
    features : (N, D) float
    ranks : (first, last)
        Principal components, counted from 1, through which the line is laid; as many as there are.

    Returns
    -------
    float
        Well above 1, a few directions hold all there is; near 0, all directions are alike, as in noise. Good
        features were found around 1.

    Raises
    ------
    ValueError
        If features are not a finite (N, D) array, or have fewer than two components of these ranks.

    Notes
    -----
    Least squares of the logarithms, weighted by 1 / k, because ranks crowd on the logarithmic axis. The first
    components are passed over, which often stand out, and those below 1e-10 of the largest, which are
    rounding. Compare runs on the same tiles only.

    References
    ----------
    Agrawal et al. 2022, Advances in Neural Information Processing Systems 35 (alpha-ReQ), section 3; the
    weights as in Stringer et al. 2019, doi:10.1038/s41586-019-1346-5.
    """
    features = _checked(features, ndim=2)
    variances = np.linalg.svd(features - features.mean(axis=0), compute_uv=False) ** 2
    n_usable = int((variances > 1e-10 * variances.max(initial=0.0)).sum())
    rank = np.arange(ranks[0], min(ranks[1], n_usable) + 1)
    if len(rank) < 2:
        raise ValueError(f"features have {n_usable} components; alpha needs some of rank {ranks[0]} and more")
    x, y, weight = np.log(rank), np.log(variances[rank - 1]), 1 / rank
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    return float(-(weight * x * y).sum() / (weight * x * x).sum())


def lidar(views: np.ndarray, *, delta: float = 1e-4) -> float:
    """Compute the effective rank of what tells tiles apart whatever the view.

    Parameters
    ----------
    views : (N, Q, D) float
        Features of Q >= 2 views of each of N tiles.
    delta : float, > 0
        Added to the variances within tiles, in units of the features' own variance.

    Returns
    -------
    float
        In [1, min(N - 1, D)]. Directions count in which tiles differ by more than their views do, so that
        noise and what the augmentation changes add nothing, unlike in RankMe.

    Raises
    ------
    ValueError
        If views are not a finite (N, Q, D) array with two tiles and two views, or do not differ at all.

    Notes
    -----
    Linear discriminant analysis with tiles as classes: the effective rank (as in RankMe) of the eigenvalues
    of ``W^-1/2 B W^-1/2``, with B the covariance of tiles' means and W that within tiles plus ``delta``. The
    paper adds 1e-4 in the units of the features; a relative amount is the same for all scales. Directions in
    which nothing differs at all are passed over. Compare runs on the same tiles and views only.

    References
    ----------
    Thilak et al. 2023, arXiv:2312.04000, equations 1 to 4.
    """
    views = _checked(views, ndim=3)
    n, q, dim = views.shape
    if n < 2 or q < 2:
        raise ValueError(f"LiDAR needs two tiles and two views of each, got {views.shape}")
    flat = (views - views.mean(axis=(0, 1))).reshape(n * q, dim)
    _, values, axes = np.linalg.svd(flat, full_matrices=False)
    if values[0] == 0:
        raise ValueError("all views have the same features")
    views = (flat @ axes[values > 1e-7 * values[0]].T).reshape(n, q, -1)  # as many dimensions as they span
    means = views.mean(axis=1)
    inner = (views - means[:, None]).reshape(n * q, -1)
    between, within = means.T @ means / n, inner.T @ inner / (n * q)
    within += delta * float(np.square(views).sum() / (n * q) / views.shape[2]) * np.eye(len(within))
    root = np.linalg.cholesky(within)
    half = np.linalg.solve(root, np.linalg.solve(root, between).T)  # has the eigenvalues of W^-1/2 B W^-1/2
    return _effective_rank(np.clip(np.linalg.eigvalsh((half + half.T) / 2), 0, None))


def alignment(views: np.ndarray) -> float:
    """Compute how far apart views of one tile lie: the mean squared distance of their unit vectors.

    Parameters
    ----------
    views : (N, Q, D) float
        Features of Q >= 2 views of each tile.

    Returns
    -------
    float
        In [0, 4]: 0 where the view makes no difference, 2 where views of a tile are as strangers.

    References
    ----------
    Wang & Isola 2020, arXiv:2005.10242, equation 4 with alpha = 2.
    """
    views = _unit(_checked(views, ndim=3))
    q = views.shape[1]
    if q < 2:
        raise ValueError(f"alignment needs two views of each tile, got {views.shape}")
    apart = q * np.square(views).sum(axis=(1, 2)) - np.square(views.sum(axis=1)).sum(axis=1)
    return float(np.mean(2 * apart / (q * (q - 1))))


def uniformity(features: np.ndarray, *, t: float = 2.0) -> float:
    """Compute how evenly unit vectors of tiles fill the sphere; lower is more even.

    Parameters
    ----------
    features : (N, D) float
        Of N >= 2 tiles.
    t : float, > 0

    Returns
    -------
    float
        ``log mean exp(-t |x - y|^2)`` over all pairs: 0 where all tiles have one direction, about ``-2 t``
        on a sphere of many dimensions.

    References
    ----------
    Wang & Isola 2020, arXiv:2005.10242, equation 5.
    """
    unit = _unit(_checked(features, ndim=2))
    if len(unit) < 2:
        raise ValueError("uniformity needs two tiles")
    pairs = np.triu_indices(len(unit), k=1)
    return float(np.log(np.mean(np.exp(-t * (2 - 2 * (unit @ unit.T)[pairs])))))


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
    unit = _unit(np.asarray(features, dtype=np.float64))
    return float(unit.std(axis=0).mean() * np.sqrt(unit.shape[1]))


def _effective_rank(values: np.ndarray) -> float:
    p = values / values.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12)


def _checked(features: np.ndarray, *, ndim: int) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != ndim or features.size == 0 or not np.isfinite(features).all():
        shape = "(N, D)" if ndim == 2 else "(N, Q, D)"
        raise ValueError(f"features must be a finite {shape} array, got shape {features.shape}")
    return features
