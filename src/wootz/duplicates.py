"""Near duplicates: the same recording saved again (as JPEG, brighter, with 8 instead of 16 bits).

Two steps. A perceptual hash of 144 bits picks candidates out of any number of images; a correlation of the
fine structure, block by block, decides. Neighbouring fields of one specimen look alike and may even share
their layout (an interface, a layer, a drawn scale bar at the same place), but their grain is another one.

How the two thresholds were set: on 725 public micrographs (coatings, superalloys, powder, steels,
perovskites, strip surfaces) and copies of each of them.

====================================  =====================  ====================
pairs                                 bits that differ       fine correlation
====================================  =====================  ====================
different fields (262 450 pairs)      0.32 or more           0.06 or less
same layout, other grain (rendered)   0.10 ... 0.41          0.11 or less
copy as JPEG, quality 75 and above    0.15 or less           0.48 or more
copy, contrast times 0.6, gamma 0.6-2 0.26 or less           0.92 or more
copy, contrast times 1.5, clipped     0.16 or less           0.97 (98 % of them)
copy as JPEG, quality 30              0.25 or less (98 %)    0.20 or more (98 %)
====================================  =====================  ====================

Not found, by design: crops, shifted, rotated and mirrored copies, and JPEG below quality 30. A field that was
scanned twice without drift is found, and so is a stitched or denoised version of the same extent.
"""

from collections.abc import Callable
from functools import cache
from typing import final

import numpy as np

from wootz.boxmean import box_mean
from wootz.shrinking import shrink

HASH_BITS = 144
MAX_HASH_DISTANCE = 38  # of 144 bits: 0.26
MIN_CORRELATION = 0.3
MIN_SIDE_PX = 32
MAX_ASPECT_CHANGE = 0.15

_WIDTH_PX = 256
_FREQUENCIES = np.arange(6, 18)
_HASH_BOX_PX = 33
_DETAIL_BOX_PX = 9
_BLOCK_PX = 16


def perceptual_hash(pixels: np.ndarray) -> str:
    """Hash what a field looks like, so that copies differ in few bits.

    Parameters
    ----------
    pixels : (H, W) uint8 or uint16

    Returns
    -------
    str
        36 hexadecimal digits; ``""`` for a field below 32 px or without any contrast.

    Notes
    -----
    The field is averaged to 256 columns and brought to zero mean and unit deviation within boxes of 33 px,
    which takes away shading, contrast and most of the layout; the bits are the signs of its 12 x 12 cosine
    coefficients of 6 ... 17 half waves per side. (The classic pHash takes the lowest frequencies: there, all
    cross-sections of one coating have the same hash.)
    """
    return _hash(shrink(pixels, _WIDTH_PX)) if min(pixels.shape) >= MIN_SIDE_PX else ""


def hash_distance(hashes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Count the bits in which packed hashes differ from another one.

    Parameters
    ----------
    hashes : (N, 18) uint8
    other : (18,) uint8

    Returns
    -------
    (N,) int64, 0 ... 144
    """
    return np.bitwise_count(hashes ^ other).sum(axis=1, dtype=np.int64)


def fine_correlation(pixels: np.ndarray, other: np.ndarray) -> float:
    """Correlate the fine structure of two fields, position by position.

    Parameters
    ----------
    pixels, other : (H, W) and (H', W') uint8 or uint16
        Compared at 256 columns, or the narrower one's; where one is longer, its surplus rows are left out.

    Returns
    -------
    float
        Median over blocks of 16 x 16 px of the Pearson correlation of both fields less their mean in boxes of
        9 px, in [-1, 1]. Insensitive to brightness, contrast and bit depth. The median, not the mean or the
        correlation of the whole: an interface or a drawn scale bar that two fields share lies in few blocks.
        0 where the sizes cannot belong to copies, or less than one block is common to both.
    """
    aspect = (pixels.shape[0] / pixels.shape[1]) / (other.shape[0] / other.shape[1])
    if not 1.0 - MAX_ASPECT_CHANGE <= aspect <= 1.0 / (1.0 - MAX_ASPECT_CHANGE):
        return 0.0
    width = min(_WIDTH_PX, pixels.shape[1], other.shape[1])
    details = [_detail(shrink(p, width)) for p in (pixels, other)]
    n_rows = min(len(d) for d in details)
    one, two = (_blocks(d[:n_rows]) for d in details)
    if len(one) == 0:
        return 0.0
    power = np.sqrt((one * one).sum(axis=1) * (two * two).sum(axis=1))
    return float(np.median((one * two).sum(axis=1) / np.maximum(power, 1e-6)))


@final
class DuplicateFinder:
    """Finds, for each image of a growing collection, an earlier one that it is a copy of.

    Parameters
    ----------
    read_field : callable
        image_id -> (H, W) pixels of an earlier image.
    """

    def __init__(self, read_field: Callable[[str], np.ndarray]) -> None:
        self._read_field = read_field
        self._ids: list[str] = []
        self._hashes = np.empty((64, HASH_BITS // 8), np.uint8)

    def add(self, image_id: str, hexadecimal: str) -> None:
        """Remember an original; an empty hash is passed over."""
        if not hexadecimal:
            return
        n = len(self._ids)
        if n == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        self._hashes[n] = np.frombuffer(bytes.fromhex(hexadecimal), np.uint8)
        self._ids.append(image_id)

    def find(self, hexadecimal: str, read_pixels: Callable[[], np.ndarray]) -> str:
        """Return the earlier image that this one is a copy of, or ``""``.

        `read_pixels` gives its (H, W) pixels; it is called only where there is a candidate.

        Candidates are those within 38 bits, the nearest first; the first whose fine correlation reaches 0.3
        is the answer.
        """
        if not hexadecimal or not self._ids:
            return ""
        packed = np.frombuffer(bytes.fromhex(hexadecimal), np.uint8)
        distances = hash_distance(self._hashes[: len(self._ids)], packed)
        candidates = np.flatnonzero(distances <= MAX_HASH_DISTANCE)
        for index in candidates[np.argsort(distances[candidates], kind="stable")]:
            image_id = self._ids[index]
            if fine_correlation(self._read_field(image_id), read_pixels()) >= MIN_CORRELATION:
                return image_id
        return ""


def _hash(picture: np.ndarray) -> str:
    texture = picture - box_mean(picture, _HASH_BOX_PX)
    deviation = np.sqrt(np.maximum(box_mean(texture * texture, _HASH_BOX_PX), 0.0))
    floor = 0.25 * float(deviation.mean())
    if floor <= 0.0:
        return ""
    texture /= deviation + floor
    down, across = (_cosines(n) for n in texture.shape)
    return np.packbits((down @ texture @ across.T > 0.0).ravel()).tobytes().hex()


def _detail(picture: np.ndarray) -> np.ndarray:
    return picture - box_mean(picture, _DETAIL_BOX_PX)


@cache
def _cosines(n: int) -> np.ndarray:
    """Rows of the type-2 cosine transform for the frequencies that the hash looks at: (12, n) float32."""
    return np.cos(np.pi / n * np.outer(_FREQUENCIES, np.arange(n) + 0.5)).astype(np.float32)


def _blocks(detail: np.ndarray) -> np.ndarray:
    """Cut into blocks of 16 x 16 px, each less its mean: (n_blocks, 256)."""
    down, across = detail.shape[0] // _BLOCK_PX, detail.shape[1] // _BLOCK_PX
    whole = detail[: down * _BLOCK_PX, : across * _BLOCK_PX]
    blocks = whole.reshape(down, _BLOCK_PX, across, _BLOCK_PX).transpose(0, 2, 1, 3).reshape(-1, _BLOCK_PX**2)
    return blocks - blocks.mean(axis=1, keepdims=True)
