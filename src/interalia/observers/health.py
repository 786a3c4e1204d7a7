"""Stops a run whose losses are no longer numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interalia.errors import UserError
from interalia.observers.observer import Observer, due

if TYPE_CHECKING:
    from interalia.engine import Training
    from interalia.games import Outcome


class Health(Observer):
    """Raises at the first loss that is NaN or infinite.

    On the CPU every step is looked at; elsewhere the losses wait on the device until the next line of the log or the
    next checkpoint, so that looking does not make the device wait. No checkpoint is written in between.
    """

    def start(self, training: Training) -> None:
        self.waiting: list[tuple[int, str, Tensor]] = []

    def step(self, training: Training, outcome: Outcome) -> None:
        self.waiting += [(training.step, player, loss.detach()) for player, loss in outcome.losses.items()]
        run = training.run
        if (
            training.device.type == "cpu"
            or due(training.step, run.log_every, training.steps)
            or due(training.step, run.checkpoint_every, training.steps)
        ):
            self.look(training)

    def stop(self, training: Training) -> None:
        self.look(training)

    def look(self, training: Training) -> None:
        if self.waiting and not bool(torch.stack([loss for _, _, loss in self.waiting]).isfinite().all()):
            step, player, loss = next(item for item in self.waiting if not bool(item[2].isfinite()))
            raise UserError(f"the loss of the {player} is {loss.item()} at step {step}; {self.remedy(training)}")
        self.waiting.clear()

    def remedy(self, training: Training) -> str:
        from interalia.observers.checkpoint import newest

        advice = "try smaller --rates, a --penalty, or --precision fp32."
        if training.folder is None:
            return advice
        good = newest(training.folder)
        if good is None:
            return f"there is no checkpoint yet; {advice}"
        path, step = good
        return f"the last good checkpoint is {path} (step {step}); {advice}"
