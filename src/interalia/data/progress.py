"""The progress of long operations: a bar on a terminal, printed lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from interalia.errors import printable

EVERY = 30.0  # seconds between two lines


HIDDEN = ContextVar("HIDDEN", default=False)  # True where no progress is shown


@contextlib.contextmanager
def hidden_progress(hidden: bool = True) -> Iterator[None]:
    """A context in which `progress` shows nothing if `hidden` is True."""
    token = HIDDEN.set(hidden or HIDDEN.get())
    try:
        yield
    finally:
        HIDDEN.reset(token)


@contextlib.contextmanager
def progress(
    description: str, total: float | None, download: bool = False, first: float = EVERY
) -> Iterator[Callable[[float], None]]:
    """A context that shows the progress of an operation on standard error: a bar on a terminal, else a line every 30 seconds.

    It shows nothing within `hidden_progress`.

    Arguments:
        description: the name of the operation, which is shown.
        total: the number of items to process, or of bytes to download; None if it is unknown.
        download: True if the items are bytes.
        first: seconds until the first line.

    Yields:
        A function to call with the number of items that were processed since its last call.
    """
    if HIDDEN.get():
        yield lambda step: None
        return
    from rich import progress as bars
    from rich.console import Console

    console, description = Console(stderr=True), printable(description)
    amount = [bars.DownloadColumn(), bars.TransferSpeedColumn()] if download else [bars.MofNCompleteColumn()]
    columns = [
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        *amount,
        bars.TimeRemainingColumn(),
    ]
    began = time.monotonic()
    printed = began - EVERY + first
    done = 0.0

    def line(step: float) -> None:
        """Adds `step`, the number of items processed since the last call, and prints a line if the last one is 30
        seconds ago.
        """
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
