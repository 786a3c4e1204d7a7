"""The callback that writes checkpoints and weights."""

from __future__ import annotations

import os

from interalia.games import Outcome
from interalia.runs.folder import export
from interalia.training import checkpoint
from interalia.training.callbacks.callback import Callback, is_due
from interalia.training.state import Training


class Checkpoint(Callback):
    """Writes ``checkpoints/last.pt``, keeps the one before it, and exports the weights that samples are drawn from.

    The older checkpoint stays until the newer one is complete on disk, so that one of them is always good.
    """

    def start(self, training: Training) -> None:
        # None also where no steps are left: the process may have been killed before it exported the weights
        self.written: int | None = None

    def step(self, training: Training, outcome: Outcome) -> None:
        if is_due(training.step, training.run.checkpoint_every, training.steps):
            self.write(training)

    def stop(self, training: Training) -> None:
        if self.written != training.step:
            self.write(training)
        if training.stop_reason or training.run.recalibrate_bn:
            export(training.final_game(), training.run, training.final_step, training.home.weights)

    def write(self, training: Training) -> None:
        """Writes a checkpoint and the weights."""
        last, previous = checkpoint.candidates(training.home)
        if last.exists():
            os.replace(last, previous)
        checkpoint.write(training, last)
        export(training.averaged_game, training.run, training.step, training.home.weights)
        self.written = training.step
