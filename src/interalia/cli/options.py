"""Messages of errors on the command line, with options in place of the arguments that the library names."""

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

# arguments of the library whose options have another name -> the options' names
NAMES = {"y": "condition", "trust": "trust_generator"}


@functools.cache
def options_of(name: str) -> dict[str, Argument]:
    """Returns the options of a command by their names in Python, such as "batch_size", without positional arguments.

    An option for which the library has another name, such as `y` for --condition, has an entry under that name too.

    Arguments:
        name: the command; "" for the options that every command has, such as --plugin.
    """
    found: ArgumentCollection = (app[name] if name else app.meta).assemble_argument_collection()
    kind = inspect.Parameter.KEYWORD_ONLY
    by_name = {a.field_info.name: a for a in found if a.field_info.kind is kind and a.name.startswith("--")}
    return {**by_name, **{name: by_name[option] for name, option in NAMES.items() if option in by_name}}


def worded(error: BaseException, arguments: Sequence[str]) -> str:
    """Returns the message of an error with options in place of arguments in backticks: `latent_dim=64` becomes
    --latent-dim 64, and `seed` becomes --seed.

    A name alone is replaced if the command has this option. A name with a value is also replaced if it is an option of
    `train`, because the message may say which model to train. Arguments of a component that could not be made stay.

    Arguments:
        error: the error.
        arguments: the arguments of the command line; the first one that is the name of a command is the command.
    """
    command = next((word for word in arguments if word in set(app)), "")
    own, training = {**options_of(""), **options_of(command)}, options_of("train")
    settings = error.settings if isinstance(error, SettingError) else frozenset()

    def option(found: re.Match[str]) -> str:
        """Returns the option for an argument in backticks, or the match unchanged if there is none."""
        name, equals, value = found[1].partition("=")
        argument = own.get(name) or (training.get(name) if equals else None)
        if name in settings or argument is None:
            return resumption(found[1]) or found[0]
        return written(argument, value) if equals else argument.name

    return re.sub(r"`([^`]+)`", option, " ".join(str(error).split()))


def written(argument: Argument, value: str) -> str:
    """Returns an option with its value as it is written on the command line, such as --lr.critic 0.001.

    Arguments:
        argument: the option.
        value: the value as a Python literal; any other text, such as DIR, is a placeholder and stays unchanged.
    """
    try:
        literal: Any = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return f"{argument.name} {value}"
    if isinstance(literal, bool):
        return argument.name if literal else next(iter(argument.negatives), argument.name)
    if isinstance(literal, Mapping):
        return " ".join(f"{argument.name}.{key} {quoted(str(item))}" for key, item in literal.items())
    if isinstance(literal, list):
        return " ".join(f"{argument.name} {quoted(str(item))}" for item in literal)
    return f"{argument.name} {quoted(literal if isinstance(literal, str) else value)}"


def resumption(call: str) -> str | None:
    """Returns the command that resumes a training, for the Python call that does (see `interalia.errors.resume_call`); None
    for any other text.

    Example:
        >>> resumption("interalia.train(run, 'runs/a', resume=True)")
        'interalia train --resume runs/a'
    """
    found = re.fullmatch(r"interalia\.train\(run, (.+), resume=True\)", call)
    return None if found is None else f"interalia train --resume {quoted(ast.literal_eval(found[1]))}"


def quoted(text: str) -> str:
    """Returns an argument of the command line, in quotes if a shell needs some: double quotes where they suffice.

    Example:
        >>> quoted("gan"), quoted("codes(categorical=[10])")
        ('gan', '"codes(categorical=[10])"')
    """
    plain = shlex.quote(text)
    return plain if plain == text or re.search(r'["$`\\!]', text) else f'"{text}"'
