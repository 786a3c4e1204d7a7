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
    torch.save(training.state(), buffer)  # into memory first: a full disk is met by `writing`, which names the remedy
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
        if formats.version(state, path) < formats.OLDEST_CHECKPOINT:
            raise UserError(f"the checkpoint {path} is older than those that this version reads; train anew.")
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}; train first, or give another folder.") from None
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"the checkpoint {path} is damaged ({reason}); remove it and resume from another.") from None
    return state


def candidates(folder: Folder) -> list[Path]:
    """The checkpoints to go on from, the newest first."""
    return [folder.checkpoints / name for name in ("last.pt", "previous.pt")]


def newest(folder: Folder) -> tuple[Path, int] | None:
    """The newest checkpoint that can be read, and its step."""
    for path in candidates(folder):
        try:
            return path, int(read(path)["step"])
        except UserError:
            continue
    return None


def resume(training: Training) -> None:
    """Puts the training where its folder's newest good checkpoint left it; a run without any begins at the beginning.

    Raises:
        UserError: there are checkpoints and none of them can be read.
    """
    assert training.folder is not None
    training.folder.sweep()
    damaged: list[tuple[Path, str]] = []
    for path in candidates(training.folder):
        if not path.exists():
            continue
        try:
            state = read(path)
        except formats.NewerError:
            raise
        except UserError as error:
            damaged.append((path, str(error)))
            continue
        try:
            training.restore(state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"the checkpoint {path} does not fit the run that {training.folder.description} describes "
                f"({' '.join(str(error).split())[:200]}); restore that file, or train anew."
            ) from error
        if training.step > training.steps:
            raise UserError(
                f"the run is at step {training.step} already, and `steps` asks for {training.steps}; ask for more."
            )
        for broken, message in damaged:  # aside, so that it never takes the good one's place
            os.replace(broken, broken.with_suffix(".damaged"))
            print(f"{message} Going on from {path}, step {training.step:,}.", file=sys.stderr)
        return
    if damaged:
        raise UserError(" ".join(message for _, message in damaged))
