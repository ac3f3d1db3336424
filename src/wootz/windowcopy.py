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
    """Copy the windows of a chunk; stop and say False at one that leaves its field or differs in dtype.

    `fields` is (address of each field; height, width and bytes per pixel of each), `target` (address of the
    batch, height and width of a window, bytes per pixel), `chunk` (first window, one past the last).
    """
    addresses, sizes = fields
    batch, height, width, itemsize = target
    n_bytes = width * itemsize
    for i in range(chunk[0], chunk[1]):
        number, row, col = numbers[i], corners[i, 0], corners[i, 1]
        field_height, field_width = sizes[number, 0], sizes[number, 1]
        inside = row >= 0 and col >= 0 and row + height <= field_height and col + width <= field_width
        if not inside or sizes[number, 2] != itemsize:
            return False
        start = addresses[number] + np.uint64((row * field_width + col) * itemsize)
        to = np.uint64(batch + i * height * n_bytes)
        for _ in range(height):
            _memcpy(to, start, np.uint64(n_bytes))  # pyright: ignore[reportCallIssue]
            start += np.uint64(field_width * itemsize)
            to += np.uint64(n_bytes)
    return True


copy_windows = compiled(_copy_windows)
