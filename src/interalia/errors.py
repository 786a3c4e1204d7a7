"""Errors that the user can correct. The command line prints the message, and exits with 2."""

from __future__ import annotations

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


def distance(a: str, b: str) -> int:
    """The least number of letters to insert, delete, replace or swap with a neighbor that makes a word of another.

    Example:
        >>> distance("mnits", "mnist"), distance("lr", "root")
        (1, 4)
    """
    before, row = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, x in enumerate(a):
        earlier, before, row = before, row, [i + 1]
        for j, y in enumerate(b):
            row.append(min(before[j + 1] + 1, row[j] + 1, before[j] + (x != y)))
            if i and j and x == b[j - 1] and a[i - 1] == y:
                row[-1] = min(row[-1], earlier[j - 1] + 1)
    return row[-1]


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that a misspelled word is likely to mean, at most one letter wrong in four; None if there is none. Case does
    not count, and `_` is `-`.

    Example:
        >>> nearest("Batch_siz", ["batch-size", "lr"]), nearest("bigan", ["gan", "ali"])
        ('batch-size', None)
    """
    key = word.lower().replace("_", "-")
    by_distance = [(distance(key, choice.lower().replace("_", "-")), choice) for choice in choices]
    least, choice = min(by_distance, default=(len(key), ""))
    return (
        choice
        if least <= max(len(key), len(choice)) // 4 or (least == 1 and len(key) == 3 and len(choice) == 3)
        else None
    )


def unknown(kind: str, name: str, choices: Iterable[str]) -> UserError:
    """The error for an unknown name, with the nearest known one.

    Example:
        >>> str(unknown("data set", "mnits", ["digits", "mnist"]))
        "there is no data set 'mnits'; did you mean 'mnist'? There are: digits, mnist."
    """
    names = sorted(choices)
    near = nearest(name, names)
    guess = f"did you mean {near!r}? There are" if near else "there are"
    return UserError(f"there is no {kind} {name!r}; {guess}: {', '.join(names)}.")
