"""Messages of errors on the command line: options replace the arguments of the library that the messages name."""

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
from interalia.errors import SettingError, UserError

# arguments of the library whose options have another name -> the options' names
NAMES = {"y": "condition", "trust": "trust_generator"}


@functools.cache
def options_of(name: str) -> dict[str, Argument]:
    """Returns name -> option for a command; the name is that of the command's parameter, such as "batch_size" for
    --batch-size.

    An option for which the library has another name, such as `y` for --condition, is under that name too. Positional
    arguments are left out.

    Arguments:
        name: the name of the command; "" for the options that every command has, such as --plugin.
    """
    found: ArgumentCollection = (app[name] if name else app.meta).assemble_argument_collection()
    kind = inspect.Parameter.KEYWORD_ONLY
    by_name = {a.field_info.name: a for a in found if a.field_info.kind is kind and a.name.startswith("--")}
    return {**by_name, **{name: by_name[option] for name, option in NAMES.items() if option in by_name}}


def worded(error: BaseException, arguments: Sequence[str]) -> str:
    """Returns the message of an error with options in place of arguments in backticks: `latent_dim=64` becomes
    --latent-dim 64, and `seed` becomes --seed.

    An argument without a value is replaced if the command has this option. One with a value is also replaced if it is an
    option of `train`, because the message may advise how to train another model. Arguments of a component that could not be
    created (see `SettingError`) are not replaced.

    Arguments:
        error: the error.
        arguments: the arguments of the command line; the first of them that is the name of a command is the command.
    """
    command = next((word for word in arguments if word in set(app)), "")
    own, training = {**options_of(""), **options_of(command)}, options_of("train")
    settings = error.settings if isinstance(error, SettingError) else frozenset()

    def option(found: re.Match[str]) -> str:
        """Returns the text that replaces an argument in backticks, group 1 of `found`: the option, or the match unchanged."""
        name, equals, value = found[1].partition("=")
        argument = own.get(name) or (training.get(name) if equals else None)
        if name in settings or argument is None:
            return resumption(found[1]) or found[0]
        return written(argument, value) if equals else argument.name

    text = str(error) if isinstance(error, UserError) else " ".join(str(error).split())
    return re.sub(r"`([^`]+)`", option, text)


def written(argument: Argument, value: str) -> str:
    """Returns an option with its value in the syntax of the command line, such as --lr.critic 0.001.

    Arguments:
        argument: the option.
        value: the value as a Python literal, such as "{'critic': 0.001}", "[1, 2]" (the option is repeated) or "True" (a
            flag); other text, such as DIR, is a placeholder and is not changed.
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
    """Returns the command that resumes a training, for the Python call that resumes it (see `interalia.errors.resume_call`);
    None for any other text.

    Example:
        >>> resumption("interalia.train(run, 'runs/a', resume=True)")
        'interalia train --resume runs/a'
    """
    found = re.fullmatch(r"interalia\.train\(run, (.+), resume=True\)", call)
    return None if found is None else f"interalia train --resume {quoted(ast.literal_eval(found[1]))}"


def quoted(text: str) -> str:
    """Returns an argument of the command line, in quotes if a shell needs them: double quotes if they suffice, else single.

    Example:
        >>> quoted("gan"), quoted("codes(categorical=[10])")
        ('gan', '"codes(categorical=[10])"')
    """
    plain = shlex.quote(text)
    return plain if plain == text or re.search(r'["$`\\!]', text) else f'"{text}"'
