"""The callback that shows progress: a bar on a terminal, a line every 30 seconds in a file or a pipe."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn

from interalia.errors import printable
from interalia.games import Outcome
from interalia.reports.sentences import duration
from interalia.training.callbacks.callback import Callback
from interalia.training.state import Training

LINE_EVERY = 30.0  # seconds between two lines where there is no terminal
BAR_EVERY = 0.2  # seconds between two updates of the bar: reading losses synchronizes with the GPU


class RaisingConsole(Console):
    """A console of the library rich that raises a BrokenPipeError if its output is no longer read, instead of ending
    the program.
    """

    def on_broken_pipe(self) -> None:
        """Raises the BrokenPipeError that rich has caught."""
        raise  # the BrokenPipeError that is being handled


class Bar(Callback):
    """The callback that shows the number of steps done, steps per second, the remaining time and the losses.

    On a terminal it shows a bar, elsewhere a line every 30 seconds. If the terminal is closed, or the program that
    reads the output ends, the training continues without output.

    Arguments:
        console: the console to print on; None for standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or RaisingConsole(stderr=True)
        self.bar: Progress | None = None
        self.note = ""  # of the training, that was printed last

    @contextlib.contextmanager
    def output_errors_ignored(self) -> Iterator[None]:
        """A context in which an OSError, such as that of a closed terminal, is ignored; after the first one nothing is
        printed.
        """
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError):
                if self.bar is not None:
                    self.bar.stop()
            self.console, self.bar = Console(quiet=True), None

    def start(self, training: Training) -> None:
        """Prints the class of the game, the description of the data and where initial weights are from, and starts the bar
        on a terminal.
        """
        self.began, self.first, self.shown = time.perf_counter(), training.step, 0.0
        about = f"{type(training.game).__name__} on {training.dataset.name}. {training.dataset.about}".rstrip()
        with self.output_errors_ignored():
            for line in [about, *(training.initial.lines() if training.initial and training.step == 0 else ())]:
                self.print(line)
            if self.console.is_terminal:
                self.open(training)

    def open(self, training: Training) -> None:
        """Starts the bar at the current step of the training."""
        self.bar = Progress(
            "training",
            BarColumn(),
            TaskProgressColumn(),
            "{task.completed:,}/{task.total:,} steps",
            "{task.fields[rate]}",
            "{task.fields[left]}",
            "{task.fields[losses]}",
            console=self.console,
        )
        self.task = self.bar.add_task("", total=training.steps, completed=training.step, rate="", left="", losses="")
        self.bar.start()

    def step(self, training: Training, outcome: Outcome) -> None:
        """Shows the progress: updates the bar at most every 0.2 seconds or, without a bar, prints a line at most every
        30 seconds.

        The last step of the training is always shown. A new `note` of the training is printed at once.
        """
        if training.note != self.note:
            self.note = training.note
            self.print(self.note)
        now = time.perf_counter()
        if training.step != training.steps and now - self.shown < (BAR_EVERY if self.bar else LINE_EVERY):
            return
        self.shown = now
        rate = (training.step - self.first) / max(1e-9, now - self.began)
        speed = f"{rate:.3g} steps/s" if rate < 1000 else f"{rate:,.0f} steps/s"
        losses = ", ".join(f"{player} {loss.item():.3f}" for player, loss in outcome.losses.items())
        left = f"{duration((training.steps - training.step) / max(1e-9, rate)) or '0 s'} left"
        with self.output_errors_ignored():
            if self.bar is not None:
                self.bar.update(self.task, completed=training.step, rate=speed, left=left, losses=losses)
            else:
                self.print(f"step {training.step:,}/{training.steps:,}, {speed}, {left}, losses: {losses}")

    def print(self, line: str) -> None:
        """Prints a line of text, above the bar if there is one; does nothing if the output is closed."""
        with self.output_errors_ignored():
            self.console.print(printable(line), soft_wrap=True, highlight=False, markup=False)

    def close(self) -> None:
        """Stops the bar, if there is one."""
        with self.output_errors_ignored():
            if self.bar is not None:
                self.bar.stop()

    def stop(self, training: Training) -> None:
        """Stops the bar. If the training ends before its last step, prints why."""
        self.close()
        if training.stop_reason:
            self.print(training.stop_reason)
        elif training.step < training.steps and training.folder is not None:
            self.print(
                f"Stopped at step {training.step:,} of {training.steps:,}; everything is saved in {training.folder.path}."
            )
