"""Translation of aliases of commands, options and values on the command line to current names, by the tables of
`interalia.registry.aliases`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from cyclopts.argument import Argument

from interalia.cli.common import app
from interalia.cli.options import options_of
from interalia.errors import UserError, nearest
from interalia.registry.aliases import is_answer, plain, table
from interalia.runs import Run, formats

HELP_FLAGS = ("--help", "-h", "--help-all")
EVERYWHERE = ("help", "help-all", "version", "plugin")  # options of every command
SWITCHED = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def translated(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments of a command line with current names of commands, options and values in place of aliases, and
    whole numbers such as 1e4 in digits.

    Raises:
        UserError: there is no such command or option; the message lists those that exist, or says what to use instead.

    Example:
        >>> translated(["sample", "runs/x", "--n-samples", "1e3"])
        ['generate', 'runs/x', '--count', '1000']
    """
    if not arguments:
        return []
    first, *rest = arguments
    if first in ("-v", "-V", "--version"):
        return ["--version"]
    if first.startswith("-"):
        raise UserError(f"there is no option {first} before a command; begin with one of: {', '.join(commands())}.")
    name = command(first)
    if name.startswith("-"):
        return [name]
    return [name, *(rest if name == "list" else translated_options(name, rest))]


def commands() -> list[str]:
    """Returns the names of the commands of the program, such as "train"."""
    return [name for name in app if not name.startswith("-")]


def command(word: str) -> str:
    """Returns the current name of a command, or an option such as --version that an alias such as "version" stands for.

    Arguments:
        word: the name of a command in upper or lower case, or an alias.

    Raises:
        UserError: `word` is neither, or the alias of something that the program lacks; the message has the nearest command
            and all commands, or what to use instead.
    """
    names, known, key = commands(), table()["commands"], plain(word)
    meaning = key if key in names else str(known.get(key, ""))
    if is_answer(meaning):
        raise UserError(meaning)
    if meaning:
        return meaning
    near = nearest(key, [*names, *known])
    found = known.get(near, near)
    guess = f"did you mean {found!r}? The" if found in names else "the"
    raise UserError(f"there is no command {word!r}; {guess} commands are: {', '.join(names)}.")


def translated_options(name: str, arguments: Sequence[str]) -> list[str]:
    """Returns the arguments of a command with current names of its options and their values in place of aliases.

    Arguments:
        name: the name of the command.
        arguments: the arguments that follow the command on the command line.

    Raises:
        UserError: there is no such option, or a value is wrong.
    """
    own = {argument.name.removeprefix("--"): argument for argument in options_of(name).values()}
    found: list[str] = []
    average: dict[str, Any] = {}  # fields up to format 2 that are parts of --weight-average
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*found, word, *left]
        if not word.startswith("--"):
            if word[0:1] == "-" and word[1:2].isalpha():
                raise UserError(f"there is no option {word} of {name}; `interalia {name} --help` lists its options.")
            found.append(word)
            continue
        option, equals, value = word[2:].partition("=")
        head, dot, rest = option.partition(".")
        if has_run_fields(own) and (key := plain(head)) in ("ema", "average"):
            average[key] = value if equals else left.pop(0) if left else ""
            continue
        flag, _, template = meaning_of(name, plain(head), own).partition(" ")
        target, _, player = flag.partition(".")
        argument = own.get(target)
        takes_value = target == "recipe" or (argument is not None and argument.hint is not bool)
        if not equals and takes_value and (not template or "{" in template) and left:
            value, equals = left.pop(0), "="
        if template:
            value, equals = template.format(value) if "{" in template else template, "="
        if not equals:
            found.append(f"--{target}" + (f".{player}" if player else f"{dot}{rest}"))
            continue
        value = value_of(target, value, argument)
        if target == "recipe":
            found.append(value)
        elif target == "lr" and not player and not dot and not value.startswith("{"):
            found += learning_rates(value)
        elif argument is not None and argument.hint is bool:
            found.append(switch(target, value))
        elif argument is not None and list[float] in (argument.hint, *get_args(argument.hint)):
            numbers = [number.strip() for number in value.split(",")]
            while left and is_number(left[0]):
                numbers.append(left.pop(0))
            found += [each for number in numbers for each in (f"--{target}", number)]
        else:
            found += [f"--{target}" + (f".{player}" if player else f"{dot}{rest}"), value]
    return found + (weight_average(average) if average else [])


def has_run_fields(own: Mapping[str, Argument]) -> bool:
    """True if a command has the fields of a run as options, as `train` has; `own` are the options of the command, by name."""
    return "optimizer" in own


def weight_average(fields: dict[str, Any]) -> list[str]:
    """Returns the option --weight-average and its value, such as "ema(0.99)", for the former options --ema and --average.

    --average was "moving", the default, or "uniform", either with arguments in brackets; --ema was the decay of the moving
    average, 0 for none by default. "uniform" becomes "swa", whatever --ema is.

    Arguments:
        fields: the values of the options "ema" and "average" as texts, by name; one of them may be missing.

    Raises:
        UserError: the value of --ema is no number.

    Example:
        >>> weight_average({"ema": "0.99"}), weight_average({"average": "uniform"})
        (['--weight-average', 'ema(0.99)'], ['--weight-average', 'swa'])
    """
    decay = fields.get("ema", "0")
    if not is_number(decay):
        raise UserError(f'--ema is {decay!r}, and it must be a number; give --weight-average "ema(0.999)".')
    fields |= {"ema": float(decay)} if "ema" in fields else {}
    return ["--weight-average", str(formats.with_new_values({"average": "moving", **fields})["weight_average"])]


def is_number(text: str) -> bool:
    """True if `float` can convert a text to a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def switch(option: str, value: str) -> str:
    """Returns the flag for an option without a value that was given one: --quick for --quick=yes, --no-quick for --quick=no.

    Arguments:
        option: the name of the option without hyphens, such as "quick".
        value: the value in upper or lower case: true, yes, on or 1; or false, no, off or 0.

    Raises:
        UserError: another value.
    """
    if value.lower() not in SWITCHED:
        raise UserError(f"--{option} takes no value, and {value!r} is given; leave the value out.")
    return f"--{option}" if SWITCHED[value.lower()] else f"--no-{option}"


def meaning_of(name: str, key: str, own: Mapping[str, Argument]) -> str:
    """Returns the current name of a command's option, without the leading hyphens, such as "count" for "n-samples".

    If an alias implies a value, it follows after a blank: "device cuda" for "cuda". Braces in it are to be replaced by the
    value on the command line: "weight-average ema({})" for "ema-decay".

    Arguments:
        name: the command.
        key: an option's name or alias, in lower case and without the leading hyphens.
        own: the options of the command, by name without the leading hyphens.

    Raises:
        UserError: `key` is neither an option nor an alias of one; the message has the nearest option, or what to use instead.
    """
    if key in own or key.removeprefix("no-") in own or key in EVERYWHERE or key.startswith("empty-"):
        return key
    known = other_names(name, own)
    meaning = known.get(key, "")
    if is_answer(meaning):
        raise UserError(f"there is no option --{key}: {meaning}")
    if meaning:
        return meaning
    long = [word for word in known if len(word) > 4]
    if near := nearest(key, [*own, *(word for word in long if not is_answer(known[word]))]):
        option = near if near in own else known[near].partition(" ")[0]  # an option may be an alias elsewhere
        raise UserError(
            f"there is no option --{key} of {name}; did you mean --{option}? "
            f"`interalia {name} --help` lists the options."
        )
    if near := nearest(key, long):
        raise UserError(f"there is no option --{key}: {known[near]}")
    every = " --help-all" if name == "train" else " --help"
    others = {other: {argument.name for argument in options_of(other).values()} for other in commands()}
    elsewhere = ", ".join(other for other, flags in others.items() if f"--{key}" in flags)
    where = f"; it is one of {elsewhere}" if elsewhere else ""
    raise UserError(f"there is no option --{key} of {name}{where}; `interalia {name}{every}` lists the options.")


def other_names(name: str, own: Mapping[str, Argument]) -> dict[str, str]:
    """Returns alias -> meaning for all aliases of a command's options. A meaning is an option, followed by a blank and a
    value if the alias implies one; or, if there is no such option, a sentence with what to do instead.

    Arguments:
        name: the command.
        own: the options of the command, by name without the leading hyphens.
    """
    tables, former = table()["options"], {}
    if has_run_fields(own):
        name, former = "train", {**formats.RENAMED[2], "labels": "condition_on labels", "attributes": "condition_on"}
    former = {plain(before): plain(now) for before, now in former.items()}
    return {
        word: str(meaning)
        for names in (tables["any"], former, tables.get(name, {}))
        for word, meaning in names.items()
        if is_answer(str(meaning)) or str(meaning).partition(" ")[0].partition(".")[0] in {*own, "recipe"}
    }


def value_of(option: str, value: str, argument: Argument | None) -> str:
    """Returns a value in the form that its option accepts: whole numbers such as 1e4 and 10k in digits, current names in
    place of aliases, and choices in lower case.

    Arguments:
        option: the name of the option, without the leading hyphens.
        value: the value on the command line.
        argument: the option with its type; None for a positional argument.

    Raises:
        UserError: the value is the alias of something that the library lacks, or no whole number for an option of that type.
    """
    field = option.replace("-", "_")
    known = table()["values"].get(field, {}).get(plain(value))
    meaning = value if known is None else str(known)
    if known is not None and is_answer(meaning):
        raise UserError(f"`{field}` is {value!r}: {meaning}")
    metadata: Mapping[str, Any] = Run.__dataclass_fields__[field].metadata if field in Run.__dataclass_fields__ else {}
    if plain(meaning) == metadata.get("absent"):
        return plain(meaning)
    if field == "weight_average" and is_number(meaning):
        return f"ema({meaning})" if float(meaning) else "none"
    hints = () if argument is None else (argument.hint, *get_args(argument.hint))
    if int in hints or list[int] in hints:
        number = counted(meaning)
        if int in hints and not re.fullmatch(r"\s*[+-]?\d+\s*", number):
            raise UserError(f"`{field}` is {meaning!r}, and it must be a whole number.")
        return number
    allowed = [choice for hint in hints if get_origin(hint) is Literal for choice in get_args(hint)]
    allowed += metadata.get("choices", ())
    return plain(meaning) if plain(meaning) in allowed else meaning


def counted(text: str) -> str:
    """Returns a whole number such as 1e4, 10k, 2M or 10_000 in digits; any other text unchanged.

    Example:
        >>> counted("1e4"), counted("10k"), counted("2.5"), counted("1_000")
        ('10000', '10000', '2.5', '1000')
    """
    number, factor = text.replace("_", "").replace(",", ""), 1
    if number[-1:].lower() in ("k", "m"):
        number, factor = number[:-1], 1000 if number[-1] in "kK" else 1_000_000
    try:
        value = float(number) * factor
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else text


def learning_rates(text: str) -> list[str]:
    """Returns the options --lr.PLAYER and their values for the value of --lr: one number for all players, or one number each
    as in ``critic=4e-4,generator=1e-4``.

    Raises:
        UserError: a rate is no number.

    Example:
        >>> learning_rates("0.1"), learning_rates("critic=4e-4")
        (['--lr.default', '0.1'], ['--lr.critic', '4e-4'])
    """
    rates = [rate.partition("=") for rate in text.split(",")] if "=" in text else [("default", "=", text)]
    if not all(is_number(rate) for _, _, rate in rates):
        raise UserError(f"--lr is {text!r}; give a number, or one for each player, as in critic=4e-4,generator=1e-4.")
    return [each for player, _, rate in rates for each in (f"--lr.{player.strip()}", rate.strip())]
