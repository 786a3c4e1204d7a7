"""Checkpoints: one file with everything that the next step depends on. A run keeps the newest two."""

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
    """Writes the training's state atomically."""
    buffer = io.BytesIO()
    torch.save(training.state_dict(), buffer)  # into memory first: `writing` then reports a full disk
    with writing(path, "wb") as file:
        file.write(buffer.getbuffer())


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        UserError: the file is missing, truncated or not a checkpoint.
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
    """The paths of the checkpoints to resume from, the newest first."""
    return [folder.checkpoints / name for name in ("last.pt", "previous.pt")]


def newest(folder: Folder, damaged: dict[Path, str] | None = None) -> tuple[Path, dict[str, Any]] | None:
    """The path and the content of the newest checkpoint that can be read; None if there is none.

    Arguments:
        folder: the folder of the run.
        damaged: receives the path of each newer checkpoint that cannot be read, and why.

    Raises:
        NewerError: one was written by a newer version of interalia.
    """
    for path in filter(Path.exists, candidates(folder)):
        try:
            return path, read(path)
        except formats.NewerError:
            raise
        except UserError as error:
            if damaged is not None:
                damaged[path] = str(error)
    return None


def resume(training: Training, found: tuple[Path, dict[str, Any]] | None, damaged: dict[Path, str]) -> None:
    """Restores the newest good checkpoint of the training's folder; a run without checkpoints starts at step 0.

    Arguments:
        training: at its beginning.
        found: the result of `newest`.
        damaged: the checkpoints that `newest` could not read; they are renamed.

    Raises:
        UserError: there are checkpoints and none of them can be read, or the one found does not fit.
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
    for broken, message in damaged.items():  # renamed, so that it never replaces the good one
        os.replace(broken, broken.with_suffix(".damaged"))
        print(f"{message} Resuming from {path}, step {training.step:,}.", file=sys.stderr)
