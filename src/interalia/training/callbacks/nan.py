"""The callback that ends a training with losses or weights that are not finite."""

from __future__ import annotations

import torch
from torch import Tensor

from interalia.errors import DivergedError
from interalia.games import Outcome
from interalia.training.callbacks.callback import Callback, is_due
from interalia.training.state import Training


class TerminateOnNaN(Callback):
    """The callback that raises a `DivergedError` if a loss or a weight is not finite (NaN or infinity).

    Weights are checked before they are saved or evaluated. On the CPU losses are checked at every step. On other devices
    they are collected until the next line of the log or the next checkpoint, to avoid a synchronization at every step.
    No checkpoint is written in between.
    """

    def start(self, training: Training) -> None:
        """Creates `pending`, the empty list of losses that are not checked yet: step, player and loss."""
        self.pending: list[tuple[int, str, Tensor]] = []

    def step(self, training: Training, outcome: Outcome) -> None:
        """Collects the losses of a step, and checks losses and weights at some steps.

        Losses are checked at every step on the CPU, on other devices when a line of the log or a checkpoint is written.
        Weights are checked when the game is evaluated or a checkpoint is written.
        """
        step, steps, run = training.step, training.steps, training.run
        self.pending += [(step, player, loss.detach()) for player, loss in outcome.losses.items()]
        saved = is_due(step, run.checkpoint_every, steps)
        if training.device.type == "cpu" or saved or is_due(step, run.log_every, steps):
            self.check_losses(training)
        if saved or is_due(step, run.evaluate_every, steps):
            self.check_weights(training)

    def stop(self, training: Training) -> None:
        """Checks the losses that are not checked yet, and the weights."""
        self.check_losses(training)
        self.check_weights(training)

    def check_weights(self, training: Training) -> None:
        """Raises a `DivergedError` if a weight is not finite, which can happen in the last update after a finite loss."""
        for player, networks in training.game.players.items():
            weights = [w for name in networks for w in getattr(training.game, name).state_dict().values()]
            if not bool(torch.stack([weight.isfinite().all() for weight in weights]).all()):
                raise DivergedError(
                    f"the weights of the {player} are no longer finite at step {training.step}; {self.advice(training)}"
                )

    def check_losses(self, training: Training) -> None:
        """Raises a `DivergedError` that names the first collected loss which is not finite; if there is none, empties
        the list.
        """
        if self.pending and not bool(torch.stack([loss for _, _, loss in self.pending]).isfinite().all()):
            step, player, loss = next(item for item in self.pending if not bool(item[2].isfinite()))
            raise DivergedError(f"the loss of the {player} is {loss.item()} at step {step}; {self.advice(training)}")
        self.pending.clear()

    def advice(self, training: Training) -> str:
        """Returns the end of an error message: the path and step of the newest checkpoint that can be read, and the
        options to try, such as a smaller `lr`. Without a checkpoint or a folder, only the options are advised.
        """
        from interalia.training.checkpoint import newest

        advice = "try a smaller `lr`, a `penalty`, or `precision='fp32'`."
        if training.folder is None:
            return advice
        if (good := newest(training.folder)[0]) is None:
            return f"there is no checkpoint yet; {advice}"
        return f"the last good checkpoint is {good[0]} (step {good[1]['step']}); {advice}"
