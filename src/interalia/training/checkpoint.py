"""Checkpoints: files with everything that the next step of a training depends on. A run keeps the newest two."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from interalia.disk import writing
from interalia.errors import UserError
from interalia.runs import formats
from interalia.runs.folder import Folder
from interalia.training.state import Training


def write(training: Training, path: Path) -> None:
    """Writes the state of a training to a checkpoint file; an existing file stays unchanged until the new one is complete.

    Arguments:
        training: the training.
        path: the file.

    Raises:
        UserError: the file cannot be written, for example because the disk is full.
    """
    buffer = io.BytesIO()
    torch.save(training.state_dict(), buffer)  # into memory first: `writing` then reports a full disk
    with writing(path, "wb") as file:
        file.write(buffer.getbuffer())


def read(path: Path) -> dict[str, Any]:
    """Returns the content of a checkpoint file: the result of `Training.state_dict` when it was written, with tensors
    on the CPU.

    Raises:
        UserError: the file is missing, truncated or not a checkpoint, or too old for this version.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not verify the checksums
            if archive.testzip() is not None:
                raise ValueError("a checksum is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("it is no dictionary")
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}; train first, or give another folder.") from None
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"the checkpoint {path} is damaged ({reason}); remove it and resume from another.") from None
    if formats.version(state, path) < formats.OLDEST_CHECKPOINT:
        raise UserError(f"the checkpoint {path} is older than those that this version reads; train again.")
    return state


def candidates(folder: Folder) -> list[Path]:
    """Returns the paths of a run's two checkpoints, ``last.pt`` and ``previous.pt``, the newer first, whether they
    exist or not.
    """
    return [folder.checkpoints / name for name in ("last.pt", "previous.pt")]


def newest(folder: Folder) -> tuple[tuple[Path, dict[str, Any]] | None, dict[Path, str]]:
    """Finds the newest checkpoint of a run that can be read.

    Arguments:
        folder: the folder of the run.

    Returns:
        The path and the content of that checkpoint, or None if there is none; and a dictionary: the path of each newer
        checkpoint, which cannot be read -> its error message.

    Raises:
        NewerError: a checkpoint was written by a newer version of interalia.
    """
    damaged: dict[Path, str] = {}
    for path in filter(Path.exists, candidates(folder)):
        try:
            return (path, read(path)), damaged
        except formats.NewerError:
            raise
        except UserError as error:
            damaged[path] = str(error)
    return None, damaged


def resume(training: Training, found: tuple[Path, dict[str, Any]] | None, damaged: dict[Path, str]) -> None:
    """Restores the state of a training from a checkpoint, renames damaged checkpoints and removes temporary files.

    Arguments:
        training: the training at its beginning, which is changed.
        found: the path and the content of the checkpoint; None leaves the training at step 0.
        damaged: the path of each newer checkpoint that cannot be read -> its error message, which is printed. These files
            are renamed to ``*.damaged``.

    Raises:
        UserError: all checkpoints of the run are damaged, or the one found does not fit the training, or it is at a later
            step than the last one of the training.
    """
    training.home.sweep()
    if found is None:
        if damaged:
            raise UserError(" ".join(damaged.values()))
        return
    path, state = found
    try:
        training.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(
            f"the checkpoint {path} does not fit the run that {training.home.description} describes "
            f"({' '.join(str(error).split())[:200]}); restore that file, or train again."
        ) from error
    if training.step > training.steps:
        raise UserError(
            f"the run is at step {training.step} already, and `steps` is {training.steps}; give a larger number."
        )
    if formats.version(state, path) < formats.KEYED_NOISE:
        print(f"{path} is of an older version, whose next steps would draw other random numbers.", file=sys.stderr)
    for broken, message in damaged.items():  # renamed, so that it never replaces the good one
        os.replace(broken, broken.with_suffix(".damaged"))
        print(f"{message} Resuming from {path}, step {training.step:,}.", file=sys.stderr)
