"""A command line in other words, of the field and of earlier versions (see `interalia.aliases`), in today's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from cyclopts.argument import Argument

from interalia.aliases import is_answer, plain, table
from interalia.cli.common import app
from interalia.cli.options import options_of
from interalia.errors import UserError, nearest
from interalia.runs import Run, formats

HELP = ("--help", "-h", "--help-all")
EVERYWHERE = ("help", "help-all", "version", "plugin")  # options of every command


def translated(words: Sequence[str]) -> list[str]:
    """The words of a command line, with the names and the numbers that commands take.

    Raises:
        UserError: there is no such command or option, with those that there are, or what to do instead.

    Example:
        >>> translated(["sample", "runs/x", "--n-samples", "1e3"])
        ['generate', 'runs/x', '--count', '1000']
    """
    if not words:
        return []
    first = words[0]
    if first.startswith("-"):
        if first in ("-v", "-V"):
            return ["--version"]
        if first != "--version":
            raise UserError(f"there is no option {first} before a command; begin with one of: {', '.join(commands())}.")
        return [first]
    name = command(first)
    if name.startswith("-"):
        return [name]
    if name == "list":
        return [name, *words[1:]]
    return [name, *options(name, words[1:])]


def commands() -> list[str]:
    """Returns the names of the commands, without options that need no command, such as --help."""
    return [name for name in app if not name.startswith("-")]


def command(word: str) -> str:
    """The command that a word names; an option in place of one, such as --version.

    Raises:
        UserError: it names none.
    """
    names, known, key = commands(), table()["commands"], plain(word)
    if key in names:
        return key
    if key in known:
        if is_answer(known[key]):
            raise UserError(known[key])
        return str(known[key])
    near = nearest(key, [*names, *known])
    found = known.get(near, near)
    guess = f"did you mean {found!r}? The" if found in names else "the"
    raise UserError(f"there is no command {word!r}; {guess} commands are: {', '.join(names)}.")


def options(name: str, words: Sequence[str]) -> list[str]:
    """The words behind a command with its own options in place of other words for them."""
    own = {argument.name.removeprefix("--"): argument for argument in options_of(name).values()}
    found: list[str] = []
    average: dict[str, Any] = {}  # fields up to format 2 that are parts of --weight-average
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*found, word, *left]
        if not word.startswith("--"):
            if len(word) > 1 and word[0] == "-" and word[1].isalpha():
                raise UserError(f"there is no option {word} of {name}; `interalia {name} --help` lists its options.")
            found.append(word)
            continue
        option, equals, value = word[2:].partition("=")
        head, dot, rest = option.partition(".")
        key = plain(head)
        if has_run_fields(own) and key in ("ema", "average"):
            value = value if equals else left.pop(0) if left else ""
            average[key] = number(value) if key == "ema" else value
            continue
        flag, _, template = meaning_of(name, key, own).partition(" ")
        target, _, part = flag.partition(".")
        argument = own.get(target)
        positional = target == "recipe"
        takes_value = not equals and (positional or (argument is not None and argument.hint is not bool))
        if takes_value and (not template or "{" in template) and left:
            value, equals = left.pop(0), "="
        if template:
            value, equals = template.format(value) if "{" in template else template, "="
        value = value_of(target, value, argument) if equals else value
        if positional:
            found.append(value)
        elif target == "lr" and not part and not dot and equals and not value.startswith("{"):
            found += learning_rates(value)
        elif argument is not None and argument.hint is bool and equals:
            found.append(f"--{target}" if switch(target, value) else f"--no-{target}")
        elif argument is not None and list[float] in (argument.hint, *get_args(argument.hint)) and equals:
            found += [each for number in value.split(",") for each in (f"--{target}", number.strip())]
            while left and is_number(left[0]):
                found += [f"--{target}", left.pop(0)]
        else:
            dotted = f"--{target}" + (f".{part}" if part else f"{dot}{rest}")
            found += [dotted, value] if equals else [dotted]
    if average:
        joined = formats.with_new_values({"average": "moving", **average})
        found += ["--weight-average", str(joined["weight_average"])]
    return found


def has_run_fields(own: dict[str, Argument]) -> bool:
    """True if the fields of a run are among the options."""
    return "image-size" in own


def number(text: str) -> float:
    """Converts the value of the former option --ema to a number."""
    try:
        return float(text)
    except ValueError:
        raise UserError(f'--ema is {text!r}, and it must be a number; give --weight-average "ema(0.999)".') from None


def is_number(text: str) -> bool:
    """True if a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def switch(option: str, value: str) -> bool:
    """The value of a switch that is given one, as in --quick=yes.

    Raises:
        UserError: it is neither yes nor no.
    """
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if value.lower() not in words:
        raise UserError(f"--{option} takes no value, and {value!r} is given; leave the value out.")
    return words[value.lower()]


def meaning_of(name: str, key: str, own: dict[str, Argument]) -> str:
    """The option of a command that a word stands for, and behind a blank the value that it stands for, or a form of it.

    Raises:
        UserError: it is a word for what is not there, or near to an option, or to none.
    """
    if key in own or key.removeprefix("no-") in own or key in EVERYWHERE or key.startswith("empty-"):
        return key
    tables = [table()["options"].get(name, {}), table()["options"]["any"]]
    if has_run_fields(own):
        fields = {**formats.RENAMED[2], "labels": "condition_on labels", "attributes": "condition_on"}
        old = {before.replace("_", "-"): now.replace("_", "-") for before, now in fields.items()}
        tables = [table()["options"]["train"], old, table()["options"]["any"]]
    known: dict[str, str] = {}
    for words in reversed(tables):
        known |= {
            word: str(meaning)
            for word, meaning in words.items()
            if is_answer(str(meaning)) or str(meaning).partition(" ")[0].partition(".")[0] in {*own, "recipe"}
        }
    meaning = known.get(key, "")
    if is_answer(meaning):
        raise UserError(f"there is no option --{key}: {meaning}")
    if meaning:
        return meaning
    others = [word for word, meaning in known.items() if not is_answer(meaning) and len(word) > 4]
    near = nearest(key, [*own, *others])
    if near:
        raise UserError(
            f"there is no option --{key} of {name}; did you mean --{known.get(near, near).partition(' ')[0]}? "
            f"`interalia {name} --help` lists the options."
        )
    if near := nearest(key, [word for word in known if len(word) > 4]):
        raise UserError(f"there is no option --{key}: {known[near]}")
    every = " --help-all" if name == "train" else " --help"
    elsewhere = [
        other for other in commands() if other != name and f"--{key}" in {a.name for a in options_of(other).values()}
    ]
    where = f"; it is one of {', '.join(elsewhere)}" if elsewhere else ""
    raise UserError(f"there is no option --{key} of {name}{where}; `interalia {name}{every}` lists the options.")


def value_of(option: str, value: str, argument: Argument | None) -> str:
    """A value in the form that an option takes: 1e4 and 10k for whole numbers, today's words, and choices in any case.

    Raises:
        UserError: it is a word for what is not there, with what to do instead.
    """
    field = option.replace("-", "_")
    words = table()["values"].get(field, {})
    meaning = str(words.get(plain(value), value))
    if is_answer(meaning):
        raise UserError(f"`{field}` is {value!r}: {meaning}")
    metadata: Mapping[str, Any] = Run.__dataclass_fields__[field].metadata if field in Run.__dataclass_fields__ else {}
    if plain(meaning) == metadata.get("absent"):
        return plain(meaning)
    if field == "weight_average" and is_number(meaning):
        return f"ema({meaning})" if float(meaning) else "none"
    hints = () if argument is None else (argument.hint, *get_args(argument.hint))
    if any(hint in (int, list[int]) for hint in hints):
        return counted(meaning)
    allowed = [choice for hint in hints if get_origin(hint) is Literal for choice in get_args(hint)]
    allowed += metadata.get("choices", ())
    return plain(meaning) if plain(meaning) in allowed else meaning


def counted(text: str) -> str:
    """A whole number in digits, of 1e4, 10k, 2M or 10_000; any other text as it is.

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
    """The options for a learning rate: one for all players, or one each as in ``critic=4e-4,generator=1e-4``."""
    parts = [part.strip() for part in text.split(",")] if "=" in text else [f"default={text}"]
    found: list[str] = []
    for part in parts:
        player, _, value = part.partition("=")
        if not is_number(value):
            raise UserError(
                f"--lr is {text!r}; give a number, or one for each player, as in critic=4e-4,generator=1e-4."
            )
        found += [f"--lr.{player.strip()}", value.strip()]
    return found
