"""The format of what a run keeps: run.json, TOML files, the header of weights, and checkpoints have one version number.

A file without one is of version 1. Older files are translated here and nowhere else; newer ones are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interalia.errors import UserError

FORMAT = 2
OLDEST_CHECKPOINT = 2  # that is read; of weights and descriptions all are
KEY = "format"  # beside the fields of a run, in a file

# version -> the fields of a run that had another name in files up to it: old name -> today's
RENAMED: dict[int, dict[str, str]] = {}


class NewerError(UserError):
    """A file that a newer version of interalia has written."""


def version(values: Mapping[str, Any], file: Path | str) -> int:
    """The version of a file's content.

    Raises:
        NewerError: it is newer than what this version of interalia reads.
        UserError: it is no number.
    """
    found = values.get(KEY, 1)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise UserError(f"{file} is of the format {found!r}, which is no whole number from 1; restore that file.")
    if found > FORMAT:
        raise NewerError(
            f"{file} is of format {found}, and this version of interalia reads formats up to {FORMAT}; update interalia: "
            f"pip install -U interalia."
        )
    return found


def upgraded(values: Mapping[str, Any], file: Path | str) -> dict[str, Any]:
    """What a file says of a run, under the names that its fields have today.

    Raises:
        UserError: the file is newer than this version of interalia, or names one field twice.
    """
    found = version(values, file)
    made: dict[str, Any] = {}
    for key, value in values.items():
        name = key
        for since in sorted(number for number in RENAMED if number >= found):  # one renaming after the other
            name = RENAMED[since].get(name, name)
        if name in made:
            raise UserError(f"{file} sets `{name}` twice, under an older name too; leave one out.")
        if key != KEY:
            made[name] = value
    return made
