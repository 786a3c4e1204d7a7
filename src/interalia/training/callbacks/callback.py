"""The base class of callbacks, and a test whether something has to be done at a step."""

from __future__ import annotations

from interalia.games import Outcome
from interalia.training.state import Training


class Callback:
    """The base class of callbacks, which log, evaluate or save a training; the training loop calls their methods.

    A callback may read the training, write files and raise an error that ends the training. It must not change the
    game, the optimizers or the random state. By default each method does nothing.
    """

    def start(self, training: Training) -> None:
        """Prepares the callback; called before the first step, also of a resumed training."""

    def step(self, training: Training, outcome: Outcome) -> None:
        """Does the work of the callback; called after each step of the training.

        Arguments:
            training: the training; `training.step` counts this step.
            outcome: the losses of the players and the scores of the critic at this step.
        """

    def stop(self, training: Training) -> None:
        """Completes the output of the callback; called after the last step, or after an interruption by a signal."""

    def close(self) -> None:
        """Releases resources and writes nothing; called instead of `stop` after an error."""


def is_due(step: int, every: int, last: int) -> bool:
    """True if step number `step` is a multiple of `every`, or the last step of the training; always False if `every` is 0.

    Arguments:
        step: the number of steps done.
        every: the interval in steps.
        last: the number of steps of the whole training.
    """
    return every > 0 and (step % every == 0 or step == last)
