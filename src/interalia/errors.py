"""Errors that the user can correct. The command line prints the message, and exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path


class UserError(Exception):
    """An error that the user can correct. The message says what is wrong, what was expected, and what to do.

    The command line prints the message without a traceback, and exits with code 2. A message names arguments of the library
    in backticks, with the value to give if there is one, such as `latent_dim=64`; the command line replaces them by its
    options, such as --latent-dim 64.
    """


class SettingError(UserError):
    """An error in the settings of a part, such as `every` of the penalty r1r2.

    Arguments:
        message: what is wrong, what was expected, and what to do.
        settings: the names of the part's settings. In backticks in the message they are not options of the command line,
            even if a field of a run has the same name.
    """

    def __init__(self, message: str, settings: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.settings = frozenset(settings)


class DivergedError(UserError):
    """The losses or weights of a training are no longer finite."""


class PluginWarning(UserWarning):
    """A plug-in, or one of its entries, is left out."""


def resume_call(folder: Path | str) -> str:
    """The call that resumes a training, for messages; the command line prints `interalia train --resume FOLDER` instead.

    Example:
        >>> print(resume_call("runs/mine"))
        `interalia.train(run, 'runs/mine', resume=True)`
    """
    return f"`interalia.train(run, {str(folder)!r}, resume=True)`"


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises a UserError unless the value of the argument `name` is one of the choices.

    Example:
        >>> check_choice("interpolation", "lerp", ["lerp", "slerp"])
    """
    if value not in choices:
        *first, last = map(repr, choices)
        raise UserError(f"`{name}` is {value!r}; it is {', '.join(first)} or {last}.")


def at_least_one(**counts: int) -> None:
    """Raises a UserError unless all arguments are at least 1.

    Example:
        >>> at_least_one(rows=10, columns=1)
    """
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"`{name}` is {value}, and it must be at least 1.")


def check_range(holds: bool, condition: str, **settings: object) -> None:
    """Raises a ValueError with the settings and the condition that they must fulfill, unless it holds.

    Example:
        >>> check_range(False, "they are 1 or more", width=0, depth=2)
        Traceback (most recent call last):
        ValueError: `width` is 0 and `depth` is 2; they are 1 or more
    """
    if not holds:
        *rest, last = (f"`{name}` is {value!r}" for name, value in settings.items())
        raise ValueError(f"{', '.join(rest)} and {last}; {condition}" if rest else f"{last}, and {condition}")


def unknown(kind: str, name: str, choices: Iterable[str]) -> UserError:
    """The error for an unknown name, with the nearest known one.

    Example:
        >>> str(unknown("data set", "mnits", ["digits", "mnist"]))
        "there is no data set 'mnits'; did you mean 'mnist'? There are: digits, mnist."
    """
    names = sorted(choices)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? There are" if near else "there are"
    return UserError(f"there is no {kind} {name!r}; {guess}: {', '.join(names)}.")
