"""Intervals of a mean: independent values, correlated profiles, ratios over blocks, weighted particles."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

MIN_BLOCKS = 4
MAX_BLOCKS = 8


@dataclass(frozen=True)
class Interval:
    """A value and its confidence interval, in the unit of the data.

    `ci_low` and `ci_high` are NaN, and `reason` says why, where the data carry no information about the
    uncertainty. `n` counts what the interval treats as independent: fields, blocks or particles.
    """

    value: float
    ci_low: float
    ci_high: float
    n: int
    method: str
    reason: str = ""

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.ci_high - self.ci_low) / 2


def student_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Mean of independent values with Student's t interval, ``mean ± t s / sqrt(n)``.

    Parameters
    ----------
    values : (N,) float
        One independent value each: a field, a specimen. NaN is left out.
    confidence : float, in (0, 1)
        Coverage of the interval.

    Returns
    -------
    Interval
        With NaN limits and a reason for fewer than two values.
    """
    x = np.asarray(values, float).ravel()
    x = x[np.isfinite(x)]
    method = f"Student's t, n = {x.size}"
    if x.size < 2:
        mean = float(x[0]) if x.size else math.nan
        return Interval(mean, math.nan, math.nan, int(x.size), method, "fewer than two independent values")
    half = _t(confidence, x.size - 1) * float(x.std(ddof=1)) / math.sqrt(x.size)
    mean = float(x.mean())
    return Interval(mean, mean - half, mean + half, int(x.size), method)


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Ratio of two sums over independent units (blocks, fields), with Student's t on its residuals.

    ``r = sum(a) / sum(A)``, ``d_i = a_i - r A_i``, ``s_r² = n / (n - 1) sum(d²) / sum(A)²``. For equal
    denominators this is the mean of ``a_i / A_i`` and its plain t interval (ASTM E562).

    Parameters
    ----------
    numerators, denominators : (N,) float
        One unit each; units whose denominator is zero hold no information and are left out.
    confidence : float, in (0, 1)
        Coverage of the interval.

    Notes
    -----
    Misleads when a few units dominate the denominator or when structures are as large as the units, which
    are then not independent.

    References
    ----------
    W. G. Cochran, Sampling Techniques, 3rd ed. (1977), eq. 2.46 and 6.9.
    """
    a, A = np.asarray(numerators, float).ravel(), np.asarray(denominators, float).ravel()
    if a.shape != A.shape:
        raise ValueError(f"numerators {a.shape} and denominators {A.shape} differ in length")
    keep = A > 0
    a, A = a[keep], A[keep]
    method = f"Student's t over {a.size} blocks"
    if a.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0, method, "nothing to measure in")
    r = float(a.sum() / A.sum())
    if a.size < 2:
        return Interval(r, math.nan, math.nan, 1, method, "fewer than two independent blocks")
    if not a.any():
        return Interval(
            r, math.nan, math.nan, int(a.size), method, "none seen: units without any give no spread"
        )
    se = math.sqrt(a.size / (a.size - 1) * float(((a - r * A) ** 2).sum())) / float(A.sum())
    half = _t(confidence, a.size - 1) * se
    return Interval(r, r - half, r + half, int(a.size), method)


def correlation_length(profile: ArrayLike) -> float:
    """Integral correlation length of a profile in samples, ``1 + 2 sum(rho_k)``, at least 1.

    NaN samples are left out pairwise. The sum is cut by Sokal's rule, at the first lag that exceeds five
    correlation lengths, or at the first lag without positive correlation.

    References
    ----------
    A. Sokal, Monte Carlo Methods in Statistical Mechanics (1996), section 3, doi 10.1007/978-1-4899-0319-8_6
    """
    x = np.asarray(profile, float).ravel()
    ok = np.isfinite(x)
    n = x.size
    if ok.sum() < 3:
        return 1.0
    d = np.where(ok, x - x[ok].mean(), 0.0)
    rho = _autocorrelation(d, ok)
    tau = 1.0
    for k in range(1, n):
        if k > 5 * tau or rho[k] <= 0:
            break
        tau += 2.0 * float(rho[k])
    return tau


def block_interval(profile: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Mean of a correlated profile with Student's t over blocks longer than its correlation length.

    Neighbouring normals see the same grain, pore or asperity; their number says nothing about the
    uncertainty. The profile is cut into 4 to 8 equal blocks of four integral correlation lengths or more, and
    the block means are nearly independent. Where four such blocks do not fit, four shorter ones are taken,
    the interval is widened by ``sqrt(4 / blocks that would fit)``, and `reason` says so.

    Parameters
    ----------
    profile : (N,) float
        Values at equal steps; NaN where nothing was measured.
    confidence : float, in (0, 1)
        Coverage of the interval.

    Notes
    -----
    Coverage of the 95 % interval on 1000 samples with exponential correlation of integral length 10, 120 and
    500 samples: 94, 93 and 92 %. Blocks of two correlation lengths would give 91, 91 and 83 %. It covers the
    mean of the layer that continues like the field; other regions of the specimen need more fields.
    """
    x = np.asarray(profile, float).ravel()
    x_ok = x[np.isfinite(x)]
    if x_ok.size < 2 * MIN_BLOCKS:
        value = float(x_ok.mean()) if x_ok.size else math.nan
        return Interval(value, math.nan, math.nan, 0, "blocks", "too few values for blocks")
    length = correlation_length(x)
    # the sample mean takes part of a long correlation away with it: the estimate is short by about tau / n
    length /= max(1 - 3 * length / x_ok.size, 0.2)
    n_fit = x_ok.size / (4 * length)
    # equal counts of measured values: a gap in the layer widens a block, it does not empty one
    n_blocks = int(np.clip(n_fit, MIN_BLOCKS, min(MAX_BLOCKS, x_ok.size // 2)))
    means = np.array([block.mean() for block in np.array_split(x_ok, n_blocks)])
    half = _t(confidence, n_blocks - 1) * float(means.std(ddof=1)) / math.sqrt(n_blocks)
    reason = ""
    if n_fit < MIN_BLOCKS:
        half *= math.sqrt(MIN_BLOCKS / max(n_fit, 1.0))
        reason = "thickness varies over lengths like the field itself: measure more fields"
    mean = float(x_ok.mean())
    return Interval(mean, mean - half, mean + half, n_blocks, f"Student's t over {n_blocks} blocks", reason)


def bootstrap_interval(
    values: ArrayLike,
    weights: ArrayLike,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    n_resamples: int = 2000,
) -> Interval:
    """Weighted mean of independent particles with a percentile bootstrap interval.

    Parameters
    ----------
    values, weights : (N,) float
        One particle each; particles of weight zero are left out.
    rng : numpy.random.Generator
        Draws the resamples.
    confidence : float, in (0, 1)
        Coverage of the interval.
    n_resamples : int, >= 100
        Number of resamples.

    References
    ----------
    B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), ch. 13, doi 10.1007/978-1-4899-4541-9
    """
    x, w = np.asarray(values, float).ravel(), np.asarray(weights, float).ravel()
    keep = (w > 0) & np.isfinite(x)
    x, w = x[keep], w[keep]
    method = f"bootstrap over {x.size} particles"
    if x.size < 2:
        mean = float(x[0]) if x.size else math.nan
        return Interval(
            mean, math.nan, math.nan, int(x.size), method, "fewer than two particles inside the field"
        )
    means = np.empty(n_resamples)
    per_batch = max(1, 2_000_000 // x.size)
    for start in range(0, n_resamples, per_batch):
        rows = rng.integers(0, x.size, (min(per_batch, n_resamples - start), x.size))
        means[start : start + rows.shape[0]] = (x[rows] * w[rows]).sum(1) / w[rows].sum(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float((x * w).sum() / w.sum()), float(low), float(high), int(x.size), method)


def with_scale_error(interval: Interval, relative_error: float, *, confidence: float = 0.95) -> Interval:
    """Add the standard uncertainty of the pixel size, common to all fields, in quadrature.

    Parameters
    ----------
    interval : Interval
        A length; areas take twice the relative error.
    relative_error : float, >= 0
        Standard uncertainty of the pixel size over the pixel size, e.g. 0.01 from a calibration certificate.
    """
    if relative_error == 0:
        return interval
    extra = float(stats.norm.ppf(0.5 + confidence / 2)) * relative_error * abs(interval.value)
    return replace(
        interval,
        ci_low=interval.value - math.hypot(interval.value - interval.ci_low, extra),
        ci_high=interval.value + math.hypot(interval.ci_high - interval.value, extra),
        method=f"{interval.method}, pixel size ± {100 * relative_error:g} %",
    )


def share_limits(interval: Interval) -> Interval:
    """Carry the half width of a share over to the logit scale, so that its limits stay within 0 and 1.

    Shares of few objects are skewed: with ten pores in a field, 4 x 4 blocks cover the truth in 89 of 100
    cases on the plain scale and in 92 on this one, with a hundred pores in 94 on both.

    Parameters
    ----------
    interval : Interval
        Of a share in [0, 1]; 0 and 1 themselves keep their limits, cut to that range.
    """
    p, half = interval.value, interval.half_width
    if not 0 < p < 1 or not half > 0:
        return clipped(interval, 0.0, 1.0)
    odds, step = math.log(p / (1 - p)), half / (p * (1 - p))
    low, high = (1 / (1 + math.exp(-min(max(v, -700.0), 700.0))) for v in (odds - step, odds + step))
    return replace(interval, ci_low=low, ci_high=high)


def clipped(interval: Interval, low: float, high: float) -> Interval:
    """Cut the limits of an interval to the range that is physically possible."""
    return replace(
        interval,
        ci_low=float(np.clip(interval.ci_low, low, high)),
        ci_high=float(np.clip(interval.ci_high, low, high)),
    )


def _t(confidence: float, dof: int) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r} must lie between 0 and 1")
    return float(stats.t.ppf(0.5 + confidence / 2, dof))


def _autocorrelation(d: NDArray[np.float64], ok: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pairwise-complete autocorrelation at all lags; lags without pairs are zero."""
    size = 2 * d.size
    power = np.fft.irfft(np.abs(np.fft.rfft(d, size)) ** 2, size)[: d.size]
    pairs = np.fft.irfft(np.abs(np.fft.rfft(ok.astype(float), size)) ** 2, size)[: d.size].round()
    covariance = np.where(pairs > 0, power / np.maximum(pairs, 1), 0.0)
    return covariance / covariance[0] if covariance[0] > 0 else np.zeros_like(covariance)
