"""Callbacks of a training: progress bar, log, checkpoints and evaluation. They never change what is trained."""

from __future__ import annotations

from interalia.training.callbacks.callback import Callback
from interalia.training.callbacks.checkpoint import Checkpoint
from interalia.training.callbacks.curve import Curve
from interalia.training.callbacks.log import Log
from interalia.training.callbacks.nan import TerminateOnNaN
from interalia.training.callbacks.progress import Bar
from interalia.training.state import Training

__all__ = ["Bar", "Callback", "Checkpoint", "Curve", "Log", "TerminateOnNaN", "default_callbacks"]


def default_callbacks(training: Training, progress: bool = True, tensorboard: bool = False) -> list[Callback]:
    """Returns the callbacks that a training has by default: `TerminateOnNaN`, `Log`, `Evaluate`, `Checkpoint` and `Bar`.

    A training without a folder has no `Evaluate` and no `Checkpoint`. The check for NaN is first, so that no weights
    with NaN are saved. Checkpoints are written after all other files.

    Arguments:
        training: the training, at its beginning or resumed.
        progress: True for the progress bar, `Bar`, which also prints the diagnoses.
        tensorboard: True to write event files for TensorBoard too.
    """
    callbacks: list[Callback] = [TerminateOnNaN()]
    bar = Bar() if progress else None
    log = Log(tensorboard and training.folder is not None)
    callbacks.append(log)
    if training.folder is not None:
        from interalia.training.callbacks.evaluate import Evaluate

        callbacks += [Evaluate(log, bar.print if bar else None), Checkpoint()]
    return callbacks if bar is None else [*callbacks, bar]
