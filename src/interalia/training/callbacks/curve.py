"""The callback that records a metric over a training."""

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
    """Records a metric of the game on held-out images at regular steps.

    Attributes:
        points: pairs of step and value.
        seconds: training time in seconds up to the last step.

    Arguments:
        metric: a function of a game and images, shape (n, *shape), that returns a number.
        part, count: the images: the first `count` of the split `part`.
        points: number of values in the whole training.
        path: a file for the points, so that a resumed training keeps them.
    """

    def __init__(
        self, metric: Callable[[Any, Tensor], float], part: str, count: int, points: int, path: Path | None = None
    ) -> None:
        self.metric, self.part, self.count, self.intervals, self.path = metric, part, count, points, path
        self.points: list[tuple[float, float]] = []

    def start(self, training: Training) -> None:
        self.x = as_tensor(getattr(training.dataset, self.part).x[: self.count])
        self.seconds = training.seconds
        if self.path and self.path.exists():
            self.points = [(step, value) for step, value in json.loads(self.path.read_text()) if step <= training.step]

    def step(self, training: Training, outcome: Outcome) -> None:
        self.seconds = training.seconds
        if is_due(training.step, max(1, training.steps // self.intervals), training.steps):
            self.points.append((float(training.step), self.metric(training.averaged_game, self.x)))
            if self.path:
                write_json(self.path, self.points)
