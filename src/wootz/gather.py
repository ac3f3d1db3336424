"""Copying many windows out of memory-mapped fields into one batch.

One `memcpy` per image row, compiled: 1.5 times as fast as slicing in a Python loop and 7 times as fast as
numba's own slice assignment (measured with 256 windows of 128 px out of 0.5 GB). Windows that reach over a
border, as many do that have a margin, are mirrored in the same loop: 20 times as fast as by numpy's indexing
(256 windows of 192 px out of fields of 512 px). It releases the interpreter lock, so that a prefetch thread
really reads beside the training loop.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

CHUNK = 64
N_HELPERS = min(4, os.cpu_count() or 1) - 1


class FieldPool:
    """The fields that a set of tiles lies in, opened at first use and kept mapped.

    Parameters
    ----------
    sizes : (n, 2) int
        Height and width of each field, px.
    open_field : callable
        Gives the (H, W) array of field number i.
    """

    def __init__(self, sizes: np.ndarray, open_field: Callable[[int], np.ndarray]) -> None:
        self._sizes = np.zeros((len(sizes), 3), np.int64)  # height, width, bytes per pixel
        self._sizes[:, :2] = sizes
        self._open_field = open_field
        self._fields: dict[int, np.ndarray] = {}  # keeps alive what the addresses point to
        self._addresses = np.zeros(len(sizes), np.uint64)

    def read(self, numbers: np.ndarray, corners: np.ndarray, *, out: np.ndarray) -> None:
        """Copy one window of each numbered field into a batch.

        Parameters
        ----------
        numbers : (B,) int
            Field of each window.
        corners : (B, 2) int
            Row and column of each top-left corner. What reaches over the border is mirrored there.
        out : (B, h, w) uint8 or uint16
            Written in full. Fields of a smaller dtype are widened.
        """
        for number in np.unique(numbers[self._addresses[numbers] == 0]).tolist():
            self._take_in(number)
        for i in self._copy(numbers, corners, out=out).tolist():
            field = self._fields[int(numbers[i])]
            out[i] = window_with_mirror(field, corners[i].tolist(), size=out.shape[1:])

    def _copy(self, numbers: np.ndarray, corners: np.ndarray, *, out: np.ndarray) -> np.ndarray:
        """Copy windows of fields of the dtype of `out`; give the numbers of those that were left.

        Each row of a window lies in another memory page and the time goes into waiting for memory, so that a
        few threads wait side by side. They take 64 windows at a time from one list, and nobody waits for a
        helper that a busy machine did not let start.
        """
        from wootz.windowcopy import copy_windows

        corners = np.ascontiguousarray(corners, np.int64)
        fields = (self._addresses, self._sizes)
        left = np.zeros(len(numbers), bool)
        firsts = iter(range(0, len(numbers), CHUNK))

        def work() -> None:
            for first in firsts:
                chunk = (first, min(first + CHUNK, len(numbers)))
                copy_windows(numbers, corners, fields, (out, left), chunk)

        n_helpers = min(N_HELPERS, (len(numbers) - 1) // CHUNK)
        helpers = [_helpers().submit(work) for _ in range(n_helpers)]
        work()
        for helper in helpers:
            if not helper.cancel():
                helper.result()
        return np.flatnonzero(left)

    def _take_in(self, number: int) -> None:
        field = self._open_field(number)
        if field.shape != tuple(self._sizes[number, :2]) or not field.flags.c_contiguous:
            raise ValueError(f"field {number} is {field.shape} and not as announced")
        self._fields[number] = field
        self._sizes[number, 2] = field.itemsize
        self._addresses[number] = field.ctypes.data


@cache
def _helpers() -> ThreadPoolExecutor:
    """Start the reading threads once per process; a forked child starts its own."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_helpers.cache_clear)
    return ThreadPoolExecutor(N_HELPERS, thread_name_prefix="wootz-read")


def mirror(index: np.ndarray, length: int) -> np.ndarray:
    """Fold indices beyond either end back into ``0 ... length - 1`` without repeating the end itself."""
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    folded = np.mod(index, period)
    return np.where(folded < length, folded, period - folded)


def window_with_mirror(field: np.ndarray, corner: Sequence[int], *, size: tuple[int, int]) -> np.ndarray:
    """Cut a window that may reach over the border of its field, mirrored there.

    Parameters
    ----------
    field : (H, W)
    corner : (row, col), may be negative
    size : (h, w), px
    """
    rows = mirror(np.arange(corner[0], corner[0] + size[0]), field.shape[0])
    cols = mirror(np.arange(corner[1], corner[1] + size[1]), field.shape[1])
    return field[rows[:, None], cols]
