"""How far work that takes a while has come: a bar where somebody is there to see it, a line now and then where not."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

EVERY = 30.0  # seconds between two lines


@contextlib.contextmanager
def progress(description: str, total: float | None, download: bool = False) -> Iterator[Callable[[float], None]]:
    """Yields a function that says by how much the work has advanced: images, or bytes for a download.

    Where standard error is no terminal, as in a log, work that takes longer than `EVERY` writes a line as often.
    """
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)
    amount = [bars.DownloadColumn(), bars.TransferSpeedColumn()] if download else [bars.MofNCompleteColumn()]
    columns = [bars.TextColumn("{task.description}"), bars.BarColumn(), *amount, bars.TimeRemainingColumn()]
    began = told = time.monotonic()
    done = 0.0

    def line(step: float) -> None:
        nonlocal told, done
        done += step
        now = time.monotonic()
        if now - told >= EVERY:
            told = now
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
