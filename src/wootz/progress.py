"""Progress on the terminal: a live bar for a person, one line now and then in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LOG_EVERY_S = 10.0


def track(items: Iterable[T], *, title: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yield `items` while showing how many are done, the rate and the time left.

    On a terminal this is a live bar; where standard error is a file or a pipe, a line is printed at most
    every 10 s. Nothing is printed for work that ends within 2 s.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty():
        yield from _live_bar(items, title=title, total=total, unit=unit)
    else:
        yield from _log_lines(items, title=title, total=total, unit=unit)


def say(message: str) -> None:
    """Print one line about the work to standard error, so that standard output stays for results."""
    print(message, file=sys.stderr, flush=True)


def _live_bar(items: Iterable[T], *, title: str, total: int | None, unit: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        for item in items:
            yield item
            bar.advance(task)


def _log_lines(items: Iterable[T], *, title: str, total: int | None, unit: str) -> Iterator[T]:
    start = time.monotonic()
    last = start
    done = 0
    of = f"/{total}" if total else ""
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= LOG_EVERY_S:
            say(f"{title}: {done}{of} {unit} ({done / (now - start):.3g}/s)".replace("  ", " "))
            last = now
    if time.monotonic() - start > 2.0:
        say(f"{title}: {done}{of} {unit} done in {time.monotonic() - start:.1f} s".replace("  ", " "))
