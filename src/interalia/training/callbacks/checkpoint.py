"""The callback that writes checkpoints and weights."""

from __future__ import annotations

from interalia.games import Outcome
from interalia.runs.folder import export
from interalia.training import checkpoint
from interalia.training.callbacks.callback import Callback, is_due
from interalia.training.state import Training


class Checkpoint(Callback):
    """The callback that writes the checkpoint ``checkpoints/last.pt``, keeps the previous one, and exports the averaged
    weights.

    The older checkpoint stays until the newer one is complete on disk, so that one of them can always be read.
    """

    def start(self, training: Training) -> None:
        """Sets `written`, the step of the last checkpoint that this callback wrote, to None."""
        # None also where no steps are left: the process may have been killed before it exported the weights
        self.written: int | None = None

    def step(self, training: Training, outcome: Outcome) -> None:
        """Writes a checkpoint every `checkpoint_every` steps, an option of the run, and after the last step."""
        if is_due(training.step, training.run.checkpoint_every, training.steps):
            self.write(training)

    def stop(self, training: Training) -> None:
        """Writes a checkpoint unless this callback has written one at the current step.

        After early stopping, or if the run has `recalibrate_bn`, the exported weights are then replaced by those of
        `Training.final_game`.
        """
        if self.written != training.step:
            self.write(training)
        if training.stop_reason or training.run.recalibrate_bn:
            export(training.final_game(), training.run, training.final_step, training.home.weights)

    def write(self, training: Training) -> None:
        """Writes a checkpoint of the current step, and exports the averaged weights to ``weights.safetensors``.

        Older checkpoints are renamed first, or removed (see `interalia.training.checkpoint.make_room`).
        """
        checkpoint.make_room(training.home, training.run.keep_checkpoints)
        checkpoint.write(training, checkpoint.candidates(training.home)[0])
        export(training.averaged_game, training.run, training.step, training.home.weights)
        if not training.home.description.exists():  # removed meanwhile
            training.home.write(training.run, training.fingerprint, training.game)
        self.written = training.step
