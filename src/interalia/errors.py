"""Errors that the user can correct: their classes, and functions that check arguments or find the nearest known name; and
interruptions by signals.
"""

from __future__ import annotations

import errno
import re
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
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

# errors of torch for too little memory
MEMORY = re.compile(
    "out of memory|not enough memory|(can't|cannot|unable to) allocate|(calculation|multiplication) overflow|"
    "could not create a primitive",
    re.I,
)


def remedy(error: OSError) -> str:
    """Returns what the user can do about an error of the operating system, a clause such as "free some space".

    It is chosen by the error's number, `errno`; for numbers without a clause it is "check the path".
    """
    return next((text for numbers, text in REMEDIES.items() if error.errno in numbers), "check the path")


def sentence(error: BaseException) -> str | None:
    """Returns the message for an error of the machine: of a file or another error of the operating system, or too little
    memory. None for other errors.
    """
    if isinstance(error, OSError):
        return f"{f'{error.filename}: ' if error.filename else ''}{error.strerror or error}; {remedy(error)}."
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and MEMORY.search(str(error))):
        return "there is not enough memory; lower `batch_size` or `image_size`, or use `device='cpu'`."
    return None


class UserError(Exception):
    """An error that the user can correct, such as a wrong argument or a missing file.

    The message says what is wrong, what was expected, and what to do. The command line prints it without a traceback, and
    exits with code 2. A message names arguments of the library in backticks, with the value to give if there is one, such as
    `latent_dim=64`; the command line replaces them by its options, such as --latent-dim 64.

    Attributes:
        silent: of several processes that train together: True if another process prints this error, False if this one does,
            None if the first process of each machine does.
    """

    silent: bool | None = None


class SettingError(UserError):
    """An error in an argument of a component, such as a negative `gamma` of the gradient penalty r1.

    Arguments:
        message: what is wrong, what was expected, and what to do.
        settings: the names of all arguments of the component; empty for none. The command line leaves these names as they
            are in the message, where it replaces other names in backticks by its options.
    """

    def __init__(self, message: str, settings: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.settings = frozenset(settings)


class DivergedError(UserError):
    """The error that ends a training whose losses or weights have become infinite or NaN."""


class DataWarning(UserWarning):
    """The warning that a training uses its data in another way than the run describes, such as in smaller batches."""


class PluginWarning(UserWarning):
    """The warning that a plug-in (a module with custom components), or a component of it, cannot be used and is ignored."""


def resume_call(folder: Path | str) -> str:
    """Returns the Python call that resumes the training in a run's folder, in backticks, as text for messages.

    The command line replaces it in messages by `interalia train --resume FOLDER`.

    Example:
        >>> print(resume_call("runs/mine"))
        `interalia.train(run, 'runs/mine', resume=True)`
    """
    return f"`interalia.train(run, {str(folder)!r}, resume=True)`"


def printable(text: str) -> str:
    r"""Returns a line of text for the terminal: escapes replace line breaks, the control characters, which a terminal obeys,
    and characters that are invisible or cannot be encoded. Names of files and labels may contain them.

    Example:
        >>> print(printable("x\x1b[31m\n.png"))
        x\x1b[31m\n.png
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def interrupt(number: int, frame: object) -> None:
    """The handler of a signal to end, `number`, in `interruptible`: raises a KeyboardInterrupt with a sentence. `frame` is
    not used.

    A closed terminal (SIGHUP) and the warning of a job queue (SIGUSR1), which may be sent again, are ignored from then on.
    """
    name = signal.Signals(number).name
    if name != "SIGTERM":
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt(f"{name} has ended the command; give it again.")


@contextmanager
def interruptible() -> Iterator[None]:
    """A context in which SIGTERM, SIGHUP and SIGUSR1 raise a KeyboardInterrupt, as Ctrl-C does, so that temporary files are
    removed and a sentence is printed. Without it they would end the process at once.

    Signals that are ignored, as under nohup, or have a handler, are left alone, and all are outside of the main thread.
    """
    main = threading.current_thread() is threading.main_thread()
    names = ("SIGTERM", "SIGHUP", "SIGUSR1")  # Windows has the first alone
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    taken = [number for number in known if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises a UserError unless the value of the argument `name` is one of the allowed values, `choices`.

    Example:
        >>> check_choice("interpolation", "lerp", ["lerp", "slerp"])
    """
    if value not in choices:
        *first, last = map(repr, choices)
        raise UserError(f"`{name}` is {value!r}; it is {', '.join(first)} or {last}.")


def at_least_one(**counts: int) -> None:
    """Raises a UserError that names the first argument below 1; does nothing if there is none.

    Arguments:
        counts: the numbers to check, by the name of the argument that has them.

    Example:
        >>> at_least_one(rows=10, columns=1)
    """
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"`{name}` is {value}, and it must be at least 1.")


def check_range(holds: bool, condition: str, **settings: object) -> None:
    """Raises a ValueError if `holds` is False; its message has the values of some arguments and the condition they violate.

    Arguments:
        holds: True if the arguments satisfy the condition; then nothing happens.
        condition: the condition in words, which ends the message.
        settings: the values of the arguments, by name, with which the message begins.

    Example:
        >>> check_range(False, "they are 1 or more", width=0, depth=2)
        Traceback (most recent call last):
        ValueError: `width` is 0 and `depth` is 2; they are 1 or more
    """
    if not holds:
        *rest, last = (f"`{name}` is {value!r}" for name, value in settings.items())
        raise ValueError(f"{', '.join(rest)} and {last}; {condition}" if rest else f"{last}, and {condition}")


def check_seed(seed: int) -> None:
    """Raises a UserError unless a random seed is from 0 to 2^31 - 1, the numbers that all random generators take."""
    if not 0 <= seed < 2**31:
        raise UserError(f"`seed` is {seed}, out of its range; it must be from 0 to {2**31 - 1:,}.")


def distance(a: str, b: str) -> int:
    """Returns the edit distance of two words: the smallest number of edits that turn one into the other. An edit inserts,
    deletes or replaces one letter, or swaps two neighboring ones.

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
    """Returns the choice with the smallest edit distance to a misspelled word, or None if no choice is near enough.

    A choice is near enough if the distance is at most a quarter of the longer word's length, or is 1 for two words of 3
    letters. Upper and lower case are equal, and so are `_` and `-`.

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
    """Returns the error for an unknown name; its message has all known names, and the one that `nearest` finds, if any.

    Arguments:
        kind: the noun for the named thing, such as "data set".
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
