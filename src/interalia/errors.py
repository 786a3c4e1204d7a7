"""What is said to a person who asked for something that cannot be done: one sentence, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: what is wrong, what was expected, what to do.

    The command line prints the message alone and exits with code 2; from Python it is an ordinary exception.
    """


class DivergedError(UserError):
    """A training whose losses or weights stopped being finite."""


class PluginWarning(UserWarning):
    """A plug-in, or an entry of one, that is left out."""


def unknown(kind: str, name: str, choices: Iterable[str]) -> UserError:
    """The error for a name that is not in a catalogue, with the nearest name that is.

    Example:
        >>> str(unknown("data set", "mnits", ["digits", "mnist"]))
        "there is no data set 'mnits'; did you mean 'mnist'? There are: digits, mnist."
    """
    names = sorted(choices)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? There are" if near else "there are"
    return UserError(f"there is no {kind} {name!r}; {guess}: {', '.join(names)}.")
