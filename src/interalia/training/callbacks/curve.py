"""A number of the game, followed through a training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from interalia.data import as_tensor
from interalia.disk import write_json
from interalia.games import Outcome
from interalia.training.callbacks.callback import Callback, is_due
from interalia.training.state import Training


class Curve(Callback):
    """Notes a number of the game on held-out images a few times in a training, and how long that took.

    Arguments:
        take: the number.
        part, count: which images, the first of a part of the data.
        points: how often.
        path: where they are kept, for a training that goes on.
    """

    def __init__(
        self, take: Callable[[Any, Tensor], float], part: str, count: int, points: int, path: Path | None = None
    ) -> None:
        self.take, self.part, self.count, self.intervals, self.path = take, part, count, points, path
        self.points: list[tuple[float, float]] = []

    def start(self, training: Training) -> None:
        self.x = as_tensor(getattr(training.dataset, self.part).x[: self.count])
        self.seconds = training.seconds
        if self.path and self.path.exists():
            self.points = [(step, value) for step, value in json.loads(self.path.read_text()) if step <= training.step]

    def step(self, training: Training, outcome: Outcome) -> None:
        self.seconds = training.seconds
        if is_due(training.step, max(1, training.steps // self.intervals), training.steps):
            self.points.append((float(training.step), self.take(training.averaged_game, self.x)))
            if self.path:
                write_json(self.path, self.points)
