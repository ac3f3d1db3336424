"""Copying many windows out of memory-mapped fields into one batch.

One `memcpy` per image row, compiled: 1.5 times as fast as slicing in a Python loop and 7 times as fast as
numba's own slice assignment (measured with 256 windows of 128 px out of 0.5 GB). It releases the interpreter
lock, so that a prefetch thread really reads beside the training loop.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

CHUNK = 16
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
        self._sizes = np.asarray(sizes, np.int64)
        self._open_field = open_field
        self._fields: dict[int, np.ndarray] = {}  # keeps alive what the addresses point to
        self._addresses = np.zeros(len(sizes), np.uint64)
        self._dtypes = np.zeros(len(sizes), np.int64)

    def read(self, numbers: np.ndarray, corners: np.ndarray, *, out: np.ndarray) -> None:
        """Copy one window of each numbered field into a batch.

        Parameters
        ----------
        numbers : (B,) int
            Field of each window.
        corners : (B, 2) int
            Row and column of each top-left corner. What reaches over the border is mirrored there.
        out : (B, h, w) uint8 or uint16, C-contiguous
            Written in full. Fields of a smaller dtype are widened.
        """
        addresses = self._addresses[numbers]
        if not addresses.all():
            for number in np.unique(numbers[addresses == 0]).tolist():
                self._take_in(number)
            addresses = self._addresses[numbers]
        sizes = self._sizes[numbers]
        inside = corners.min(initial=0) >= 0 and (corners + out.shape[1:] <= sizes).all()
        if inside and (self._dtypes[numbers] == out.dtype.num).all() and out.flags.c_contiguous:
            starts = (corners[:, 0] * sizes[:, 1] + corners[:, 1]) * out.itemsize
            pitches = (sizes[:, 1] * out.itemsize).astype(np.uint64)
            _copy(addresses + starts.astype(np.uint64), pitches, out=out)
            return
        for i, number in enumerate(numbers.tolist()):
            out[i] = window_with_mirror(self._fields[number], corners[i], size=out.shape[1:])

    def _take_in(self, number: int) -> None:
        field = self._open_field(number)
        if field.shape != tuple(self._sizes[number]) or not field.flags.c_contiguous:
            raise ValueError(f"field {number} is {field.shape} and not as announced")
        self._fields[number] = field
        self._dtypes[number] = field.dtype.num
        self._addresses[number] = field.ctypes.data


def _copy(sources: np.ndarray, pitches: np.ndarray, *, out: np.ndarray) -> None:
    """Copy windows given by address and row pitch, in bytes.

    Each row of a window lies in another memory page and the time goes into waiting for memory, so that a
    few threads wait side by side. They take 16 windows at a time from one list, and nobody waits for a
    helper that a busy machine did not let start.
    """
    kernel = _kernel()
    height, n_bytes = out.shape[1], out.shape[2] * out.itemsize
    target = out.ctypes.data
    firsts = iter(range(0, len(sources), CHUNK))

    def work() -> None:
        for first in firsts:
            some = slice(first, first + CHUNK)
            kernel(sources[some], pitches[some], target + first * height * n_bytes, height, n_bytes)

    n_helpers = min(N_HELPERS, (len(sources) - 1) // CHUNK)
    helpers = [_helpers().submit(work) for _ in range(n_helpers)]
    work()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    """Start the reading threads once per process; a forked child starts its own."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_helpers.cache_clear)
    return ThreadPoolExecutor(N_HELPERS, thread_name_prefix="wootz-read")


@cache
def _kernel() -> Any:
    """Compile the copy (kept on disk between processes where a cache folder can be written)."""
    import numba

    copy = _memcpy()

    def copy_windows(sources, pitches, target, height, n_bytes):
        to = np.uint64(target)
        for i in range(len(sources)):
            start = sources[i]
            for _ in range(height):
                copy(to, start, np.uint64(n_bytes))
                start += pitches[i]
                to += np.uint64(n_bytes)

    try:
        return numba.njit(nogil=True, cache=True)(copy_windows)
    except RuntimeError:  # no folder for the cache: compile in each process
        return numba.njit(nogil=True)(copy_windows)


def _memcpy() -> Any:
    """Make the C library's memcpy callable from compiled code."""
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    pointer = ir.IntType(8).as_pointer()

    @intrinsic
    def memcpy(typing_context, target, source, n_bytes):  # noqa: ARG001
        def generate(context, builder, signature, arguments):  # noqa: ARG001
            target, source, n_bytes = arguments
            to, start = (builder.inttoptr(address, pointer) for address in (target, source))
            cgutils.raw_memcpy(builder, to, start, n_bytes, 1)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64, types.uint64), generate

    return memcpy


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
