"""The compiled copy of windows. Importing it loads numba (half a second): `wootz.gather` does so at need."""

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from wootz.compiled import compiled

POINTER = ir.IntType(8).as_pointer()


@intrinsic
def _memcpy(typing_context, target, source, n_bytes):  # noqa: ARG001
    """Copy bytes from address to address: numba's own slice assignment takes seven times as long."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        target, source, n_bytes = arguments
        to, start = (builder.inttoptr(address, POINTER) for address in (target, source))
        cgutils.raw_memcpy(builder, to, start, n_bytes, 1)
        return context.get_dummy_value()

    return numba.types.void(numba.types.uint64, numba.types.uint64, numba.types.uint64), generate


def _copy_windows(numbers, corners, fields, target, chunk):
    """Copy the windows of a chunk; what reaches over the border of its field is mirrored out of the window.

    `fields` is (address of each field; height, width and bytes per pixel of each), `target` (the batch
    (B, h, w), and (B,) bool of windows that are left: of another dtype than the batch, or more than half
    beyond the border), `chunk` (first window, one past the last).
    """
    addresses, sizes = fields
    out, left = target
    height, width = out.shape[1:]
    batch = np.uint64(out.ctypes.data)
    for i in range(chunk[0], chunk[1]):
        number, row, col = numbers[i], corners[i, 0], corners[i, 1]
        field_height, field_width = sizes[number, 0], sizes[number, 1]
        top, bottom = max(0, -row), min(height, field_height - row)
        first, last = max(0, -col), min(width, field_width - col)
        far_rows = (top > 0 and 2 * top >= bottom) or 2 * (bottom - 1) - (height - 1) < top
        far_cols = (first > 0 and 2 * first >= last) or 2 * (last - 1) - (width - 1) < first
        if far_rows or far_cols or sizes[number, 2] != out.itemsize:
            left[i] = True
            continue
        n_bytes = np.uint64((last - first) * out.itemsize)
        pitch = np.uint64(field_width * out.itemsize)
        start = addresses[number] + np.uint64(((row + top) * field_width + col + first) * out.itemsize)
        to = batch + np.uint64(i * out.strides[0] + top * out.strides[1] + first * out.itemsize)
        for r in range(top, bottom):
            _memcpy(to, start, n_bytes)  # pyright: ignore[reportCallIssue]
            start += pitch
            to += np.uint64(out.strides[1])
            for c in range(first):
                out[i, r, c] = out[i, r, 2 * first - c]
            for c in range(last, width):
                out[i, r, c] = out[i, r, 2 * (last - 1) - c]
        for r in range(top):
            out[i, r] = out[i, 2 * top - r]
        for r in range(bottom, height):
            out[i, r] = out[i, 2 * (bottom - 1) - r]


copy_windows = compiled(_copy_windows)
