"""Loops compiled by numba: once per machine, and run without Python's global lock."""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

Loop = TypeVar("Loop", bound=Callable)


def compiled(loop: Loop) -> Loop:
    """Compile a loop; the machine code is kept beside its source where that can be written.

    Decorates a function, or stands where one is called: ``compiled(loop)(x)`` imports numba (half a second
    and 100 MB) only when it is needed.
    """
    return cast("Loop", _compile(loop))


@cache
def _compile(loop: Callable) -> Any:
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # no folder to keep compiled code in: compile in each process
        return numba.njit(nogil=True)(loop)
