"""Progress of long operations: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

EVERY = 30.0  # seconds between two lines


@contextlib.contextmanager
def progress(description: str, total: float | None, download: bool = False) -> Iterator[Callable[[float], None]]:
    """Shows the progress of the block; yields a function to call with the number of new items.

    If standard error is not a terminal, a line is printed every 30 seconds.

    Arguments:
        description: the name of the operation.
        total: number of items, or of bytes of a download; None if it is unknown.
        download: True if items are bytes.
    """
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)
    amount = [bars.DownloadColumn(), bars.TransferSpeedColumn()] if download else [bars.MofNCompleteColumn()]
    columns = [bars.TextColumn("{task.description}"), bars.BarColumn(), *amount, bars.TimeRemainingColumn()]
    began = printed = time.monotonic()
    done = 0.0

    def line(step: float) -> None:
        nonlocal printed, done
        done += step
        now = time.monotonic()
        if now - printed >= EVERY:
            printed = now
            so_far = f"{done:,.0f}"
            if total and done:
                so_far = f"{done / total:.0%}, {(total / done - 1) * (now - began):,.0f} s left"
            print(f"{description}: {so_far}", file=sys.stderr, flush=True)

    if not console.is_interactive:
        yield line
        return
    with bars.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda step: bar.update(task, advance=step)
