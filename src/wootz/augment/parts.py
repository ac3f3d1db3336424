"""A batch on the CPU in small parts, one thread for each: no thread ever waits for another in an operation.

PyTorch splits each operation over its threads, and all of them wait for the slowest at its end. Dozens of
short operations on a machine with other work to do then cost more time in waiting than in computing. Here a
part of the batch runs through all operations in one thread, and stays in that core's cache.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

PART_FLOATS = 2**20
WHOLE_FLOATS = 2**17


def part_rows(n: int, floats: int) -> list[slice]:
    """Split `n` samples of so many floats into an even number of equal parts of at most 4 MiB.

    The same on every machine. Equal, so that two threads end together; large, since what Python does between
    the operations of a part is done by one thread at a time. What is below half a MiB stays in one piece.
    """
    n_parts = 1 if n * floats <= WHOLE_FLOATS else 2 * max(1, -(-n * floats // (2 * PART_FLOATS)))
    size = max(1, -(-n // n_parts))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Let operations of this thread, and of threads that it starts, run in one thread; gives how many it had.

    Also for small operations: where a team of threads has worked once, its members look out for more work for
    a while, and take the core from those who have some.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        yield 1
        return
    torch.set_num_threads(1)  # holds for this thread and for threads that have not yet computed anything
    try:
        yield n_threads
    finally:
        torch.set_num_threads(n_threads)


def for_each_part(work: Callable[[int], None], n_parts: int, *, n_threads: int) -> None:
    """Call ``work(0) ... work(n_parts - 1)`` in so many threads, without waiting in between.

    Parameters
    ----------
    work : callable
        Writes its part of the result; in no particular order.
    n_parts : int
    n_threads : int
        Use inside `one_thread_each`.
    """
    if min(n_threads, n_parts) <= 1:
        for i in range(n_parts):
            work(i)
        return
    with ThreadPoolExecutor(min(n_threads, n_parts)) as pool:
        for _ in pool.map(work, range(n_parts)):
            pass
