"""A progress bar for work that takes a while, shown only where somebody is there to see it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(description: str, total: float | None, download: bool = False) -> Iterator[Callable[[float], None]]:
    """Yields a function that says by how much the work has advanced: images, or bytes for a download."""
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)
    amount = [bars.DownloadColumn(), bars.TransferSpeedColumn()] if download else [bars.MofNCompleteColumn()]
    columns = [bars.TextColumn("{task.description}"), bars.BarColumn(), *amount, bars.TimeRemainingColumn()]
    with bars.Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as bar:
        task = bar.add_task(description, total=total)
        yield lambda step: bar.update(task, advance=step)
