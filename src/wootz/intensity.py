"""The one intensity scale: 8-, 12- and 16-bit micrographs meet on it.

Networks see ``(x - low) / (high - low)`` with `low` and `high` the robust range of the whole field, and what
lies outside pressed together: never divided by 255 or 65535 (a 12-bit signal in a 16-bit file would end at
0.06), never cut to 8 bits.
"""

import numpy as np

from wootz.compiled import compiled

LOW_PERCENTILE = 1.0
HIGH_PERCENTILE = 99.0
BOUNDS = (-1.0, 2.0)


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Count how often each value occurs.

    Parameters
    ----------
    pixels : array of any shape, uint8 or uint16

    Returns
    -------
    (256,) or (65536,) int64
    """
    flat = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("=")).reshape(-1)
    n_values, n_per_word = 1 << (8 * flat.itemsize), 8 // flat.itemsize
    first = min(-(flat.ctypes.data // flat.itemsize) % n_per_word, flat.size)  # of the first whole word
    last = first + (flat.size - first) // n_per_word * n_per_word
    words = flat[first:last].view(np.uint64)
    counts = np.zeros(n_values, np.int64)
    for start in range(0, len(words), _WORDS_AT_ONCE):
        tables = np.zeros((4 if n_values == 256 else 2, n_values), np.uint32)
        compiled(_count_words)(words[start : start + _WORDS_AT_ONCE], tables, counts)
    for value in (*flat[:first].tolist(), *flat[last:].tolist()):
        counts[value] += 1
    return counts


_WORDS_AT_ONCE = 1 << 29  # fewer than 2^32 pixels, so that no count of 32 bits is full


def _count_words(words: np.ndarray, tables: np.ndarray, counts: np.ndarray) -> None:
    """Count the 8 or 4 pixels in each word of 64 bits: one load for all of them.

    Several tables, since equal neighbours would wait for each other at one: (4, 256) or (2, 65536). Their sum
    is added to `counts`, up to the highest bit that any pixel has.
    """
    mask = np.uint64(tables.shape[1] - 1)
    one = np.uint32(1)
    bits = np.uint64(0)
    if tables.shape[0] == 4:
        t0, t1, t2, t3 = tables[0], tables[1], tables[2], tables[3]
        for i in range(words.size):
            word = words[i]
            bits |= word
            t0[word & mask] += one
            t1[(word >> np.uint64(8)) & mask] += one
            t2[(word >> np.uint64(16)) & mask] += one
            t3[(word >> np.uint64(24)) & mask] += one
            t0[(word >> np.uint64(32)) & mask] += one
            t1[(word >> np.uint64(40)) & mask] += one
            t2[(word >> np.uint64(48)) & mask] += one
            t3[word >> np.uint64(56)] += one
        bits |= bits >> np.uint64(8)
    else:
        t0, t1 = tables[0], tables[1]
        for i in range(words.size):
            word = words[i]
            bits |= word
            t0[word & mask] += one
            t1[(word >> np.uint64(16)) & mask] += one
            t0[(word >> np.uint64(32)) & mask] += one
            t1[word >> np.uint64(48)] += one
    bits |= bits >> np.uint64(32)
    bits |= bits >> np.uint64(16)
    for value in range((bits & mask) + np.uint64(1)):
        # no larger value occurs: all bits of any pixel are among these, and a number is at most all its bits
        for table in range(tables.shape[0]):
            counts[value] += tables[table, value]


def robust_range(pixels: np.ndarray) -> tuple[float, float]:
    """Find the 1st and 99th percentiles of the grey values.

    Parameters
    ----------
    pixels : array of any shape, uint8, uint16 (exact, by counting) or floating (finite values only)

    Returns
    -------
    low, high : float
        In grey levels, ``high > low`` always: where the percentiles coincide (a nearly constant field) the
        full range is taken, and for a constant field ``(value, value + 1)``, so that it scales to 0.

    Raises
    ------
    ValueError
        If there is no (finite) pixel.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype in (np.uint8, np.uint16):
        return range_of_histogram(histogram(pixels))
    finite = pixels[np.isfinite(pixels)]
    if finite.size == 0:
        raise ValueError("the range of no pixels is not defined")
    low, high = np.percentile(finite, [LOW_PERCENTILE, HIGH_PERCENTILE], method="lower")
    return _open(float(low), float(high), full=(float(finite.min()), float(finite.max())))


def range_of_histogram(counts: np.ndarray) -> tuple[float, float]:
    """Find the robust range from counts per grey value (see `robust_range`), e.g. summed over row strips.

    Parameters
    ----------
    counts : (V,) int
        How often each of the values 0 ... V - 1 occurs.
    """
    present = np.flatnonzero(counts)
    if not len(present):
        raise ValueError("the range of no pixels is not defined")
    cumulative = np.cumsum(counts[present])
    last = int(cumulative[-1]) - 1
    # the same order statistics as numpy's method "lower"
    ranks = [int(np.floor(last * p / 100)) for p in (LOW_PERCENTILE, HIGH_PERCENTILE)]
    low, high = (float(present[np.searchsorted(cumulative, rank, side="right")]) for rank in ranks)
    return _open(low, high, full=(float(present[0]), float(present[-1])))


def scale(pixels: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Bring grey values onto the common scale ``t = (x - low) / (high - low)``, bent outside [0, 1].

    Parameters
    ----------
    pixels : array of any shape and real dtype
    low, high : float or broadcastable array
        Robust range in grey levels, ``high > low``.

    Returns
    -------
    float32, same shape
        0 at `low`, 1 at `high`, within [-1, 2]: above the range ``2 - 1 / t``, below it ``t / (1 - t)``. Both
        join the line with slope 1 and keep the order of bright particles on a dark support or of pores,
        however far outside they lie and however little of the field they take.

    Raises
    ------
    ValueError
        If ``high <= low`` or one of them is not finite.
    """
    low32, high32 = np.asarray(low, np.float32), np.asarray(high, np.float32)
    if not (np.isfinite(low32).all() and np.isfinite(high32).all() and (high32 > low32).all()):
        raise ValueError(f"the range must be finite with high > low, not ({low}, {high})")
    scaled = np.asarray(np.subtract(pixels, low32, dtype=np.float32, order="C"))
    scaled *= np.float32(1.0) / (high32 - low32)
    compiled(_bend_ends)(scaled.reshape(-1))
    return scaled


def _bend_ends(values: np.ndarray) -> None:
    """Press what lies outside [0, 1] into [-1, 2], in place: (n,) float32."""
    one = np.float32(1.0)
    for i in range(values.size):
        value = values[i]
        if value > one:
            values[i] = one + (value - one) / value
        elif value < 0:
            values[i] = value / (one - value)


def _open(low: float, high: float, *, full: tuple[float, float]) -> tuple[float, float]:
    if high > low:
        return low, high
    if full[1] > full[0]:
        return full
    return low, low + 1.0
