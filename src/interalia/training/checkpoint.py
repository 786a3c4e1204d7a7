"""Checkpoints: files with everything that the next step of a training depends on. A run keeps the newest
two, or as many as its option `keep_checkpoints` states.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch

from interalia.disk import regular, writing
from interalia.errors import UserError, printable
from interalia.runs import formats, schemas
from interalia.runs.folder import Folder
from interalia.training.state import State, Training

REMEDY = "restore that file, or train again."  # of a checkpoint that cannot be resumed from


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


def read(path: Path) -> State:
    """Returns the content of a checkpoint file: the result of `Training.state_dict` when it was written, with tensors
    on the CPU.

    Raises:
        UserError: the file is missing, truncated or not a checkpoint, or too old for this version.
    """
    try:
        with zipfile.ZipFile(regular(path)) as archive:  # torch does not verify the checksums
            if archive.testzip() is not None:
                raise ValueError("a checksum is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("it is no dictionary")
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}; train first, or give another folder.") from None
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"the checkpoint {path} is damaged ({reason}); {REMEDY}") from None
    if formats.version(state, path) < formats.OLDEST_CHECKPOINT:
        raise UserError(f"the checkpoint {path} is older than those that this version reads; train again.")
    try:
        schemas.checked(state, State)
    except ValueError as error:
        raise UserError(f"the checkpoint {path} is damaged ({error}); {REMEDY}") from None
    return cast(State, state)


def candidates(folder: Folder) -> list[Path]:
    """Returns the paths of a run's checkpoints, the newest first: ``last.pt`` and ``previous.pt``, whether they exist or not,
    and ``previous-2.pt``, ``previous-3.pt`` and so on, which exist if the run's option `keep_checkpoints` is 3 or more.
    """
    paths = [folder.checkpoints / name for name in ("last.pt", "previous.pt")]
    while (older := folder.checkpoints / f"previous-{len(paths)}.pt").exists():
        paths.append(older)
    return paths


def make_room(folder: Folder, keep: int) -> None:
    """Renames the checkpoints of a run before a new one is written to ``last.pt``, each to the name of the next older one.

    If the run keeps one checkpoint, ``last.pt`` stays, and is replaced by the new one when that is complete.

    Arguments:
        folder: the folder of the run.
        keep: how many checkpoints are kept with the new one; older ones are removed.
    """
    paths = candidates(folder)
    for path in paths[max(keep, 1) :]:
        path.unlink(missing_ok=True)
    if keep < 2:
        return
    names = [*paths[:2], *(folder.checkpoints / f"previous-{number}.pt" for number in range(2, keep))]
    for newer, older in reversed(list(zip(names, names[1:], strict=False))):
        if newer.exists():
            os.replace(newer, older)


def newest(folder: Folder, unusable: Mapping[Path, str] = {}) -> tuple[tuple[Path, State] | None, dict[Path, str]]:
    """Finds the newest checkpoint of a run that can be read.

    Arguments:
        folder: the folder of the run.
        unusable: error messages by path; those files are passed over.

    Returns:
        The path and the content of that checkpoint, or None if there is none; and a dictionary: the path of each newer
        checkpoint, which cannot be read or is unusable -> its error message.

    Raises:
        NewerError: a checkpoint was written by a newer version of interalia.
    """
    damaged = dict(unusable)
    for path in candidates(folder):
        if path in damaged or not os.path.lexists(path):
            continue
        try:
            return (path, read(path)), damaged
        except formats.NewerError:
            raise
        except UserError as error:
            damaged[path] = str(error)
    return None, damaged


def resume(training: Training, found: tuple[Path, State] | None, damaged: dict[Path, str]) -> None:
    """Restores the state of a training from a checkpoint, renames damaged checkpoints and removes temporary files.

    Arguments:
        training: the training at its beginning, which is changed.
        found: the path and the content of the checkpoint; None leaves the training at step 0. An older one is taken if it
            does not fit the training.
        damaged: the path of each newer checkpoint that cannot be read -> its error message, which is printed. These files
            are renamed to ``*.damaged``.

    Raises:
        UserError: all checkpoints of the run are damaged or do not fit the training, or the one found is at a later step than
            the last one of the training.
    """
    training.home.sweep()
    while found is not None:
        path, state = found
        try:
            training.load_state_dict(state)
            break
        except Exception as error:  # of torch too, for tensors of another shape or type
            unfit = (
                f"the checkpoint {path} does not fit the run that {training.home.description} describes "
                f"({' '.join(str(error).split())[:200]}); {REMEDY}"
            )
            found, damaged = newest(training.home, {**damaged, path: unfit})
    else:
        if damaged:
            all_of_them = "; ".join(message.removesuffix(f"; {REMEDY}") for message in damaged.values())
            raise UserError(
                f"{all_of_them}; {REMEDY if len(damaged) == 1 else REMEDY.replace('that file', 'one of them')}"
            )
        return
    if training.step > training.steps:
        raise UserError(
            f"the run is at step {training.step} already, and `steps` is {training.steps}; give a larger number."
        )
    if formats.version(state, path) < formats.KEYED_NOISE:
        print(f"{path} is of an older version, whose next steps would draw other random numbers.", file=sys.stderr)
    for broken, message in damaged.items():  # renamed, so that it never replaces the good one
        os.replace(broken, broken.with_suffix(".damaged"))
        print(
            printable(f"{message.removesuffix(f'; {REMEDY}')}. Resuming from {path}, step {training.step:,}."),
            file=sys.stderr,
        )
