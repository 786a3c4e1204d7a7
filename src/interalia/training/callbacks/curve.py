"""The callback that records a metric over a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from interalia.data import as_tensor
from interalia.disk import write_json
from interalia.games import Outcome
from interalia.runs import schemas
from interalia.training.callbacks.callback import Callback, is_due
from interalia.training.state import Training


class Curve(Callback):
    """The callback that evaluates a metric on fixed images at regular steps of a training, and keeps the values.

    Attributes:
        points: the list of (step, value) so far.
        seconds: training time in seconds up to the last step.

    Arguments:
        metric: a function of a game and images, float32, shape (n, *shape), that returns a number.
        split: the split that the images are from: "train", "validation" or "test".
        count: number of images; the first ones of the split are used.
        points: number of values in the whole training, which is not stored in the attribute of this name.
        path: a JSON file for the points, so that a resumed training keeps them; None keeps them in memory alone.
    """

    def __init__(
        self, metric: Callable[[Any, Tensor], float], split: str, count: int, points: int, path: Path | None = None
    ) -> None:
        self.metric, self.split, self.count, self.intervals, self.path = metric, split, count, points, path
        self.points: list[tuple[float, float]] = []

    def start(self, training: Training) -> None:
        """Loads the images and, from the file if there is one, the points up to the current step."""
        self.x = as_tensor(getattr(training.dataset, self.split).x[: self.count])
        self.seconds = training.seconds
        if self.path and self.path.exists():
            points = schemas.read(self.path, list[tuple[float, float]])
            self.points = [point for point in points if point[0] <= training.step]

    def step(self, training: Training, outcome: Outcome) -> None:
        """Evaluates the metric for the game with averaged weights, every (steps of the training // number of values)
        steps.

        It does so at the last step too. The file of points is then written, if there is one.
        """
        self.seconds = training.seconds
        if is_due(training.step, max(1, training.steps // self.intervals), training.steps):
            self.points.append((float(training.step), self.metric(training.averaged_game, self.x)))
            if self.path:
                write_json(self.path, self.points)
