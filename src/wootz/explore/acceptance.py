"""From where on may a head's labels be taken unseen? Confidence corrected by an audit, and a limit for it."""

import numpy as np

from wootz.audits import Precision, overall_precision

CLIP = 1e-4
PRIOR = 1.0


def corrected_confidence(
    confidence: np.ndarray, said: np.ndarray, *, audited: np.ndarray, is_right: np.ndarray
) -> np.ndarray:
    """Correct the confidence of a head by the tiles of an audit.

    Parameters
    ----------
    confidence : (N,) float in [0, 1]
        Probability of the class that the head says.
    said : (N,) int, >= 0
        That class.
    audited : (n,) int
        Rows that were drawn at random, by class, and judged.
    is_right : (n,) bool
        Whether the head was right.

    Returns
    -------
    (N,) float64 in (0, 1)

    Notes
    -----
    ``logit p' = a logit p + b + c[class]``, by maximum likelihood with normal priors of unit width about
    a = 1, b = 0, c = 0, so that few audited tiles change little and a class borrows from the others.

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, 1999, section 2.1 (a sigmoid of the output).
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    clipped = np.clip(np.asarray(confidence, float), CLIP, 1 - CLIP)
    logits = np.log(clipped / (1 - clipped))
    n_classes = int(np.max(said, initial=0)) + 1
    x, k, y = logits[audited], np.asarray(said)[audited], np.asarray(is_right, float)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z = theta[0] * x + theta[1] + theta[2 + k]
        away = theta - start
        value = np.logaddexp(0, z).sum() - (y * z).sum() + PRIOR / 2 * (away**2).sum()
        slope = expit(z) - y
        own = np.bincount(k, weights=slope, minlength=n_classes)
        return float(value), np.concatenate([[slope @ x, slope.sum()], own]) + PRIOR * away

    start = np.concatenate([[1.0], np.zeros(1 + n_classes)])
    theta = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return expit(theta[0] * logits + theta[1] + theta[2 + np.asarray(said)])


def limit_for(confidence: np.ndarray, *, precision: float) -> float:
    """Find the lowest limit from which on the mean confidence is as high as wanted.

    Parameters
    ----------
    confidence : (N,) float in [0, 1]
        Calibrated: the mean over some rows is the expected share of right ones.
    precision : float in (0, 1)

    Returns
    -------
    float
        ``inf`` where no limit reaches it. Rows of equal confidence are taken together or not at all.
    """
    ordered = np.sort(np.asarray(confidence, float))[::-1]
    if not len(ordered):
        return float("inf")
    mean = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    last = np.append(ordered[1:] < ordered[:-1], True)
    enough = np.flatnonzero((mean >= precision) & last)
    return float(ordered[enough[-1]]) if len(enough) else float("inf")


def unseen_precision(right: np.ndarray, n: np.ndarray, *, n_unseen: np.ndarray) -> Precision:
    """Estimate the share of right labels among those that nobody looked at, from an audit of some others.

    Parameters
    ----------
    right, n : (H,) int
        Right ones among those judged, of each stratum.
    n_unseen : (H,) int
        Labels of each stratum that were not judged.

    Returns
    -------
    Precision
        See `wootz.audits.overall_precision`; the value is of the strata of which something was judged.

    Notes
    -----
    The interval of all labels, judged or not, closes with the number judged. Of ``S`` labels ``P S`` are
    right, of which ``R`` are known, so that ``(P S - R) / (S - n)`` of the unseen ones are: their interval
    does not close where few of them are left.
    """
    right, n, n_unseen = (np.asarray(v, float) for v in (right, n, n_unseen))
    here = n_unseen > 0
    right, n, n_unseen = right[here], n[here], n_unseen[here]
    whole = overall_precision(right, n, sizes=n + n_unseen)
    rest, seen = n_unseen.sum(), n > 0
    if not rest:
        return whole
    low, high = (
        float(np.clip((limit * (n + n_unseen).sum() - right.sum()) / rest, 0, 1))
        for limit in (whole.low, whole.high)
    )
    share = (right[seen] / n[seen] * n_unseen[seen]).sum() / n_unseen[seen].sum() if seen.any() else np.nan
    return Precision(float(share), low, high, int(n.sum()))
