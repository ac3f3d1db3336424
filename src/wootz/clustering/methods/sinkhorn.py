"""Soft labels of prescribed class sizes by Sinkhorn-Knopp: a pure function."""

import torch
from torch import Tensor

from wootz.errors import WootzError


def sinkhorn(
    log_p: Tensor,
    *,
    sharpness: float = 25.0,
    shares: Tensor | None = None,
    tolerance: float = 0.1,
    n_iter: int = 1000,
) -> Tensor:
    """Find the assignment nearest to given probabilities in which each class has its share of the points.

    Parameters
    ----------
    log_p : (N, K) float
        Log-probabilities, up to a constant in each row.
    sharpness : float, > 0
        Exponent of the probabilities (lambda in the paper).
    shares : (K,) float, optional
        Part of the points that each class gets, adding up to 1; left out, all get the same.
    tolerance : float, > 0
        It ends once the relative changes of the points' factors add up to less (0.1 in the paper).
    n_iter : int
        Most iterations.

    Returns
    -------
    (N, K) float64
        Adds up to 1; columns to `shares`, rows to 1 / N, the latter exactly.

    Raises
    ------
    ValueError
        For a `log_p` that is not two-dimensional or not finite, or shares that are not positive.
    WootzError
        For fewer points than classes.

    Notes
    -----
    ``Q = diag(r) P^lambda diag(c)``, here with the columns of the paper as rows. It is computed with
    logarithms: ``P^25`` of an unlikely class underflows even in double precision.

    References
    ----------
    Asano et al. 2020, arXiv:1911.05371, equations 5 and 6 and algorithm; Cuturi 2013, arXiv:1306.0895.
    """
    if log_p.ndim != 2 or not bool(torch.isfinite(log_p).all()):
        raise ValueError("log_p must be a finite (N, K) table")
    n, n_classes = log_p.shape
    if n < n_classes:
        raise WootzError(f"{n} tiles cannot be shared out to {n_classes} clusters; ask for fewer clusters.")
    if shares is None:
        shares = torch.full((n_classes,), 1 / n_classes, dtype=torch.float64, device=log_p.device)
    if not bool((shares > 0).all()) or abs(float(shares.sum()) - 1) > 1e-6:
        raise ValueError("shares must be positive and add up to 1")
    power = sharpness * log_p.double()
    power = power - power.max(dim=1, keepdim=True).values
    log_share = shares.double().log()
    log_n = torch.tensor(float(n), dtype=torch.float64, device=log_p.device).log()
    point = torch.zeros(n, 1, dtype=torch.float64, device=log_p.device)
    for _ in range(n_iter):
        of_class = log_share - torch.logsumexp(power + point, dim=0)
        before, point = point, -log_n - torch.logsumexp(power + of_class, dim=1, keepdim=True)
        if float((before - point).expm1().abs().sum()) < tolerance:
            break
    return (power + of_class + point).exp()
