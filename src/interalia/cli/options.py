"""The library's errors name its arguments; on the command line they name the options of the command in use."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from cyclopts import ArgumentCollection
from cyclopts.argument import Argument

from interalia.cli.common import app
from interalia.errors import SettingError

# arguments of the library whose options have another name
NAMES = {"y": "condition", "trust": "trust_generator"}


@functools.cache
def options_of(name: str) -> dict[str, Argument]:
    """The options of a command, or with "" those of all, by their names in Python; what is given by its place is none."""
    found: ArgumentCollection = (app[name] if name else app.meta).assemble_argument_collection()
    kind = inspect.Parameter.KEYWORD_ONLY
    by_name = {a.field_info.name: a for a in found if a.field_info.kind is kind and a.name.startswith("--")}
    return {**by_name, **{name: by_name[option] for name, option in NAMES.items() if option in by_name}}


def worded(error: BaseException, arguments: Sequence[str]) -> str:
    """The message of an error as it is printed for a command line: `latent_dim=64` is --latent-dim 64, `seed` is --seed.

    A name alone stands for an option of the command in use; with a value, also for one of `train`, since what a task lacks is
    often to be trained. A setting of the part that could not be made is no option, and stays as it is.
    """
    command = next((word for word in arguments if word in set(app)), "")
    own, training = {**options_of(""), **options_of(command)}, options_of("train")
    settings = error.settings if isinstance(error, SettingError) else frozenset()

    def option(found: re.Match[str]) -> str:
        name, equals, value = found[1].partition("=")
        argument = own.get(name) or (training.get(name) if equals else None)
        if name in settings or argument is None:
            return resumption(found[1]) or found[0]
        return written(argument, value) if equals else argument.name

    return re.sub(r"`([^`]+)`", option, " ".join(str(error).split()))


def written(argument: Argument, value: str) -> str:
    """An option with the value that stands after `=` in Python.

    A value that is no literal, such as DIR, is a place for one and stays as it is.
    """
    try:
        literal: Any = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return f"{argument.name} {value}"
    if isinstance(literal, bool):
        return argument.name if literal else next(iter(argument.negatives), argument.name)
    if isinstance(literal, Mapping):
        return " ".join(f"{argument.name}.{key} {quoted(str(part))}" for key, part in literal.items())
    if isinstance(literal, list):
        return " ".join(f"{argument.name} {quoted(str(part))}" for part in literal)
    return f"{argument.name} {quoted(literal if isinstance(literal, str) else value)}"


def resumption(call: str) -> str | None:
    """The command that goes on with a training, of the call in Python that does; None for any other text."""
    found = re.fullmatch(r"interalia\.train\(run, (.+), resume=True\)", call)
    return None if found is None else f"interalia train --resume {quoted(ast.literal_eval(found[1]))}"


def quoted(text: str) -> str:
    """A word of a command line, in double quotes where it has to be in some.

    Example:
        >>> quoted("gan"), quoted("codes(categorical=[10])")
        ('gan', '"codes(categorical=[10])"')
    """
    plain = shlex.quote(text)
    return plain if plain == text or re.search(r'["$`\\\\!]', text) else f'"{text}"'
