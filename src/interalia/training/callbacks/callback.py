"""The base class of callbacks."""

from __future__ import annotations

from interalia.games import Outcome
from interalia.training.state import Training


class Callback:
    """Base class of callbacks, whose methods the training loop calls.

    A callback may read the training, write files and raise an error that ends the training. It must not change the game, the
    optimizers or the random state.
    """

    def start(self, training: Training) -> None:
        """Called before the first step, also of a resumed training."""

    def step(self, training: Training, outcome: Outcome) -> None:
        """Called after each step; `training.step` includes it."""

    def stop(self, training: Training) -> None:
        """Called after the last step, or after an interruption by a signal."""

    def close(self) -> None:
        """Called instead of `stop` after an error: releases resources and writes nothing."""


def is_due(step: int, every: int, last: int) -> bool:
    """True if `step` is a multiple of `every`, or the last step; always False if `every` is 0."""
    return every > 0 and (step % every == 0 or step == last)
