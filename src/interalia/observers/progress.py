"""A progress bar with rate and time left on a terminal; a line now and then where the output is a file or a pipe."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from interalia.observers.observer import Observer

if TYPE_CHECKING:
    from interalia.engine import Training
    from interalia.games import Outcome

QUIET = 30.0  # seconds between two lines where there is no terminal
LIVELY = 0.2  # seconds between two updates of the bar: reading losses makes a GPU wait


class Bar(Observer):
    """Shows how far the training is, how fast it goes, and how long it will take.

    Arguments:
        console: where to show it; by default the standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

        self.bar: Progress | None = None

    def start(self, training: Training) -> None:
        self.began, self.first = time.perf_counter(), training.step
        self.shown = 0.0
        about = f"{type(training.game).__name__} on {training.dataset.name}. {training.dataset.about}"
        self.console.print(about, soft_wrap=True, highlight=False, markup=False)
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("training"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.completed:,}/{task.total:,} steps"),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[losses]}"),
                console=self.console,
                transient=False,
            )
            self.task = self.bar.add_task("", total=training.steps, completed=training.step, rate="", losses="")
            self.bar.start()

    def step(self, training: Training, outcome: Outcome) -> None:
        now = time.perf_counter()
        last = training.step == training.steps
        if now - self.shown < (LIVELY if self.bar else QUIET) and not last:
            return
        self.shown = now
        rate = (training.step - self.first) / max(1e-9, now - self.began)
        images = f"{rate * training.run.batch:,.0f} images/s"
        losses = ", ".join(f"{player} {loss.item():.3f}" for player, loss in outcome.losses.items())
        if self.bar is not None:
            self.bar.update(self.task, completed=training.step, rate=images, losses=losses)
        else:
            left = (training.steps - training.step) / max(1e-9, rate)
            self.console.print(
                f"step {training.step:,}/{training.steps:,}, {images}, {left:,.0f} s left, losses: {losses}",
                soft_wrap=True,
                highlight=False,
            )

    def say(self, sentence: str) -> None:
        """One line, above the bar where there is one."""
        self.console.print(sentence, soft_wrap=True, highlight=False, markup=False)

    def let_go(self) -> None:
        if self.bar is not None:
            self.bar.stop()

    def stop(self, training: Training) -> None:
        self.let_go()
        if training.converged:
            self.say(training.converged)
        elif training.step < training.steps and training.folder is not None:
            self.console.print(
                f"Stopped at step {training.step:,} of {training.steps:,}; everything is saved. "
                f"Go on with: interalia train --resume {training.folder.path}",
                soft_wrap=True,
                highlight=False,
            )
