"""How the loops of this unit are compiled: once per machine, without Python's global lock."""

from collections.abc import Callable
from typing import TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable)


def compiled(loop: Loop) -> Loop:
    """Compile a loop with numba; the machine code is kept beside the source where that can be written."""
    try:
        return numba.njit(nogil=True, cache=True)(loop)  # pyright: ignore[reportReturnType]
    except RuntimeError:  # no folder to keep compiled code in
        return numba.njit(nogil=True)(loop)  # pyright: ignore[reportReturnType]
