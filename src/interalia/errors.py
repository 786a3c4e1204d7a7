"""Errors that the user can correct: their classes, and functions that check arguments or find the nearest known name."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from pathlib import Path

# numbers of errors of the operating system -> what the user can do
REMEDIES = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): "free some space",
    (errno.EACCES, errno.EPERM, errno.EROFS): "change its permissions",
    (errno.ENAMETOOLONG,): "give a shorter name",
    (errno.EMFILE, errno.ENFILE): "raise the limit of open files (ulimit -n)",
    (errno.EIO,): "check the disk",
    (errno.EINVAL, errno.ELOOP): "remove it",
    (errno.ENOMEM,): "free some memory",
}


def remedy(error: OSError) -> str:
    """Returns a clause for error messages that tells the user what to do about an error of the operating system."""
    return next((text for numbers, text in REMEDIES.items() if error.errno in numbers), "check the path")


class UserError(Exception):
    """An error that the user can correct. The message says what is wrong, what was expected, and what to do.

    The command line prints the message without a traceback, and exits with code 2. A message names arguments of the library
    in backticks, with the value to give if there is one, such as `latent_dim=64`; the command line replaces them by its
    options, such as --latent-dim 64.
    """


class SettingError(UserError):
    """An error in an argument of a component, such as the argument `every` of the penalty r1r2.

    Arguments:
        message: what is wrong, what was expected, and what to do.
        settings: the names of the component's arguments. The command line keeps these names in the message, where it replaces
            other names in backticks by its options.
    """

    def __init__(self, message: str, settings: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.settings = frozenset(settings)


class DivergedError(UserError):
    """The error for a training whose losses or weights are no longer finite."""


class PluginWarning(UserWarning):
    """The warning that a plug-in, or a component that it adds, cannot be used and is left out."""


def resume_call(folder: Path | str) -> str:
    """Returns the Python call that resumes the training in a folder, as text for messages.

    The command line replaces it in messages by `interalia train --resume FOLDER`.

    Example:
        >>> print(resume_call("runs/mine"))
        `interalia.train(run, 'runs/mine', resume=True)`
    """
    return f"`interalia.train(run, {str(folder)!r}, resume=True)`"


def printable(text: str) -> str:
    r"""Returns a text for the terminal: escapes replace the control characters, which a terminal obeys, and characters that
    are invisible or cannot be encoded. Names of files and labels may contain them. Line breaks stay.

    Example:
        >>> print(printable("x\x1b[31m.png"))
        x\x1b[31m.png
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


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
    """Raises a ValueError if arguments do not fulfill a condition.

    Arguments:
        holds: True if they do; then nothing happens.
        condition: the condition in words, which ends the message.
        settings: the arguments by name, whose values begin the message.

    Example:
        >>> check_range(False, "they are 1 or more", width=0, depth=2)
        Traceback (most recent call last):
        ValueError: `width` is 0 and `depth` is 2; they are 1 or more
    """
    if not holds:
        *rest, last = (f"`{name}` is {value!r}" for name, value in settings.items())
        raise ValueError(f"{', '.join(rest)} and {last}; {condition}" if rest else f"{last}, and {condition}")


def distance(a: str, b: str) -> int:
    """Returns the edit distance of two words: the least number of letters to insert, delete, replace or swap with a neighbor
    that turns one word into the other.

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
    """Returns the choice that a misspelled word is likely to mean, or None if no choice is near enough.

    A choice is near enough if at most one letter in four is wrong, or one of three. Case does not count, and `_` equals `-`.

    Example:
        >>> nearest("Batch_siz", ["batch-size", "lr"]), nearest("bigan", ["gan", "ali"])
        ('batch-size', None)
    """
    key = word.lower().replace("_", "-")
    by_distance = [(distance(key, choice.lower().replace("_", "-")), choice) for choice in choices]
    least, choice = min(by_distance, default=(len(key), ""))
    near = least <= max(len(key), len(choice)) // 4 or (least == 1 and len(key) == len(choice) == 3)
    return choice if near else None


def unknown(kind: str, name: str, choices: Iterable[str]) -> UserError:
    """Returns the error for an unknown name; its message has the nearest known name, if one is near, and all known names.

    Arguments:
        kind: the noun for what has the name, such as "data set".
        name: the unknown name.
        choices: the known names.

    Example:
        >>> str(unknown("data set", "mnits", ["digits", "mnist"]))
        "there is no data set 'mnits'; did you mean 'mnist'? There are: digits, mnist."
    """
    names = sorted(choices)
    near = nearest(name, names)
    guess = f"did you mean {near!r}? There are" if near else "there are"
    return UserError(f"there is no {kind} {name!r}; {guess}: {', '.join(names)}.")
