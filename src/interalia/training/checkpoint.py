"""Checkpoints: one file with everything that the next step depends on; the newest, and the one before it."""

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
    """Writes the training's state, complete or not at all."""
    buffer = io.BytesIO()
    torch.save(
        training.state_dict(), buffer
    )  # into memory first: a full disk is met by `writing`, which names the remedy
    with writing(path, "wb") as file:
        file.write(buffer.getbuffer())


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's content.

    Raises:
        UserError: the file is missing, truncated or not a checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # which torch reads without looking at its checksums
            if archive.testzip() is not None:
                raise ValueError("a checksum is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("it is of another kind")
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}; train first, or give another folder.") from None
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"the checkpoint {path} is damaged ({reason}); remove it and resume from another.") from None
    if formats.version(state, path) < formats.OLDEST_CHECKPOINT:
        raise UserError(f"the checkpoint {path} is older than those that this version reads; train anew.")
    return state


def candidates(folder: Folder) -> list[Path]:
    """The checkpoints to go on from, the newest first."""
    return [folder.checkpoints / name for name in ("last.pt", "previous.pt")]


def newest(folder: Folder, damaged: dict[Path, str] | None = None) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, and its content.

    Arguments:
        folder: the run's.
        damaged: takes what is wrong with each that is newer still and cannot be read.

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
    """Puts the training where its folder's newest good checkpoint left it, as `newest` found it; a run without any begins at
    the beginning.

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
            f"({' '.join(str(error).split())[:200]}); restore that file, or train anew."
        ) from error
    if training.step > training.steps:
        raise UserError(
            f"the run is at step {training.step} already, and `steps` asks for {training.steps}; ask for more."
        )
    for broken, message in damaged.items():  # aside, so that it never takes the good one's place
        os.replace(broken, broken.with_suffix(".damaged"))
        print(f"{message} Going on from {path}, step {training.step:,}.", file=sys.stderr)
