"""Observers: progress, log, checkpoints, evaluation, health. They look; they never touch what is trained."""

from __future__ import annotations

from interalia.training.callbacks.callback import Callback
from interalia.training.callbacks.checkpoint import Checkpoint
from interalia.training.callbacks.curve import Curve
from interalia.training.callbacks.health import Health
from interalia.training.callbacks.log import Log
from interalia.training.callbacks.progress import Bar
from interalia.training.state import Training

__all__ = ["Bar", "Callback", "Checkpoint", "Curve", "Health", "Log", "default_callbacks"]


def default_callbacks(training: Training, progress: bool = True, tensorboard: bool = False) -> list[Callback]:
    """The observers of an ordinary training: health first, so that nothing bad is ever saved; checkpoints last."""
    observers: list[Callback] = [Health()]
    bar = Bar() if progress else None
    if training.folder is not None:
        from interalia.training.callbacks.evaluate import Evaluate

        log = Log(tensorboard)
        observers += [log, Evaluate(log, bar.say if bar else None), Checkpoint()]
    if bar:
        observers.append(bar)
    return observers
