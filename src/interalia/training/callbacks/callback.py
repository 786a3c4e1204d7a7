"""What watches a training. An observer looks, writes, and may refuse to go on; it never changes what is trained."""

from __future__ import annotations

from interalia.games import Outcome
from interalia.training.state import Training


class Callback:
    """An observer is told when the loop starts, after each step, and when it stops, whether finished or asked to."""

    def start(self, training: Training) -> None:
        """Before the first step of this sitting."""

    def step(self, training: Training, outcome: Outcome) -> None:
        """After each step; `training.step` counts it already."""

    def stop(self, training: Training) -> None:
        """After the last step of this sitting."""

    def close(self) -> None:
        """When an error breaks the loop off: free what is held, and write nothing."""


def is_due(step: int, every: int, last: int) -> bool:
    """Whether something that happens at every so many steps, and at the last one, happens at this one."""
    return every > 0 and (step % every == 0 or step == last)
