"""Stops a run whose losses or weights are no longer numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from interalia.errors import DivergedError
from interalia.games import Outcome
from interalia.training.callbacks.callback import Callback, is_due
from interalia.training.state import Training


class TerminateOnNaN(Callback):
    """Raises at the first loss that is NaN or infinite, and at weights that are, before they are evaluated or saved.

    On the CPU every step's losses are looked at; elsewhere they wait on the device until the next line of the log or the
    next checkpoint, so that looking does not make the device wait. No checkpoint is written in between.
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
        """The last move may have spoilt the weights behind a loss that was still finite."""
        for player in training.game.players:
            networks = [getattr(training.game, name) for name in training.game.players[player]]
            weights = [weight for network in networks for weight in network.state_dict().values()]
            if not bool(torch.stack([weight.isfinite().all() for weight in weights]).all()):
                raise DivergedError(
                    f"the weights of the {player} are no longer finite at step {training.step}; {self.advice(training)}"
                )

    def check_losses(self, training: Training) -> None:
        if self.pending and not bool(torch.stack([loss for _, _, loss in self.pending]).isfinite().all()):
            step, player, loss = next(item for item in self.pending if not bool(item[2].isfinite()))
            raise DivergedError(f"the loss of the {player} is {loss.item()} at step {step}; {self.advice(training)}")
        self.pending.clear()

    def advice(self, training: Training) -> str:
        from interalia.training.checkpoint import newest

        advice = "try a smaller `lr`, a `penalty`, or `precision='fp32'`."
        if training.folder is None:
            return advice
        if (good := newest(training.folder)) is None:
            return f"there is no checkpoint yet; {advice}"
        return f"the last good checkpoint is {good[0]} (step {good[1]['step']}); {advice}"
