"""The callback that ends a training with losses or weights that are not finite."""

from __future__ import annotations

import torch
from torch import Tensor

from interalia.errors import DivergedError
from interalia.games import Outcome
from interalia.training.callbacks.callback import Callback, is_due
from interalia.training.state import Training


class TerminateOnNaN(Callback):
    """Raises a `DivergedError` at a loss that is NaN or infinite, and at such weights before they are evaluated or saved.

    On the CPU losses are checked at every step. On other devices they are collected until the next line of the log or the
    next checkpoint, to avoid a synchronization at every step. No checkpoint is written in between.
    """

    def start(self, training: Training) -> None:
        self.pending: list[tuple[int, str, Tensor]] = []

    def step(self, training: Training, outcome: Outcome) -> None:
        self.pending += [(training.step, player, loss.detach()) for player, loss in outcome.losses.items()]
        run = training.run
        logged, saved, evaluated = (
            is_due(training.step, every, training.steps)
            for every in (run.log_every, run.checkpoint_every, run.evaluate_every)
        )
        if training.device.type == "cpu" or logged or saved:
            self.check_losses(training)
        if saved or evaluated:
            self.check_weights(training)

    def stop(self, training: Training) -> None:
        self.check_losses(training)
        self.check_weights(training)

    def check_weights(self, training: Training) -> None:
        """Raises a `DivergedError` if weights are not finite, which the last update may cause after a finite loss."""
        for player in training.game.players:
            networks = [getattr(training.game, name) for name in training.game.players[player]]
            weights = [weight for network in networks for weight in network.state_dict().values()]
            if not bool(torch.stack([weight.isfinite().all() for weight in weights]).all()):
                raise DivergedError(
                    f"the weights of the {player} are no longer finite at step {training.step}; {self.advice(training)}"
                )

    def check_losses(self, training: Training) -> None:
        """Raises a `DivergedError` if one of the collected losses is not finite, with the first of them."""
        if self.pending and not bool(torch.stack([loss for _, _, loss in self.pending]).isfinite().all()):
            step, player, loss = next(item for item in self.pending if not bool(item[2].isfinite()))
            raise DivergedError(f"the loss of the {player} is {loss.item()} at step {step}; {self.advice(training)}")
        self.pending.clear()

    def advice(self, training: Training) -> str:
        """The last good checkpoint and what to try, for the message of an error."""
        from interalia.training.checkpoint import newest

        advice = "try a smaller `lr`, a `penalty`, or `precision='fp32'`."
        if training.folder is None:
            return advice
        if (good := newest(training.folder)) is None:
            return f"there is no checkpoint yet; {advice}"
        return f"the last good checkpoint is {good[0]} (step {good[1]['step']}); {advice}"
