"""A command line in other words: of the field, and of earlier versions (see `interalia.aliases`), in today's."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from cyclopts.argument import Argument

from interalia.aliases import is_answer, plain, table
from interalia.cli.common import app
from interalia.cli.options import options_of
from interalia.errors import UserError
from interalia.runs import formats


def understood(words: Sequence[str]) -> list[str]:
    """The words of a command line, with the names and the numbers that commands take.

    Raises:
        UserError: there is no such command or option, with those that there are, or what to do instead.

    Example:
        >>> understood(["sample", "runs/x", "--n-samples", "1e3"])
        ['generate', 'runs/x', '--count', '1000']
    """
    place = next((i for i, word in enumerate(words) if not word.startswith("-")), None)
    if place is None:
        return list(words)
    name = command(words[place])
    if name.startswith("-"):
        return [name]
    return [*words[:place], name, *options(name, words[place + 1 :])]


def command(word: str) -> str:
    """The command that a word names; an option in place of one, such as --version.

    Raises:
        UserError: it names none.
    """
    names = [name for name in app if not name.startswith("-")]
    key, known = plain(word), table()["commands"]
    if key in names:
        return key
    if key in known:
        if is_answer(known[key]):
            raise UserError(known[key])
        return str(known[key])
    near = difflib.get_close_matches(key, [*names, *known], n=1, cutoff=0.7)
    found = known.get(near[0], near[0]) if near else ""
    guess = f"did you mean {found!r}? The" if found in names else "the"
    raise UserError(f"there is no command {word!r}; {guess} commands are: {', '.join(names)}.")


def options(name: str, words: Sequence[str]) -> list[str]:
    """The words behind a command with its own options in place of other words for them."""
    own = {argument.name.removeprefix("--"): argument for argument in options_of(name).values()}
    found: list[str] = []
    old: dict[str, str] = {}  # fields of a run up to format 2 that are a part of one of today's
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*found, word, *left]
        if not word.startswith("--"):
            found.append(word)
            continue
        option, equals, value = word[2:].partition("=")
        head, dot, rest = option.partition(".")
        key = plain(head)
        if "image-size" in own and key in ("ema", "average"):
            old[key] = value if equals else left.pop(0) if left else ""
            continue
        meaning = meant(name, key, own)
        flag, _, template = meaning.partition(" ")
        target, _, part = flag.partition(".")
        argument = own.get(target)
        plainly = target == "recipe" or argument is None  # a place on the command line, or an option of every command
        takes = not template or "{" in template
        if takes and not equals and argument is not None and argument.hint is bool:
            takes = False
        if takes and not equals and left and not (plainly and target != "recipe"):
            value = left.pop(0)
            equals = "="
        if template:
            value, equals = template.format(value) if "{" in template else template, "="
        value = valued(target, value, argument) if equals else value
        if target == "recipe":
            found.append(value)
            continue
        dotted = f"--{target}" + (f".{part}" if part else f"{dot}{rest}")
        if target == "lr" and not part and not dot and equals and not value.startswith("{"):
            found += rates(value)
        else:
            found += [dotted, value] if equals else [dotted]
    if old:
        average = formats.joined({"average": "moving", **old, **({"ema": _number(old["ema"])} if "ema" in old else {})})
        found += ["--weight-average", str(average["weight_average"])]
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"`ema` is {text!r}, and it must be a number; give `weight_average='ema(0.999)'`.") from None


def meant(name: str, key: str, own: dict[str, Argument]) -> str:
    """The option of a command that a word stands for, and behind a blank the value that it stands for, or a form of it.

    Raises:
        UserError: it is a word for what there is not, or near to an option, or to none.
    """
    negative = key.removeprefix("no-")
    if key in own or negative in own or key in ("help", "plugin", "help-all", "version") or key.startswith("empty-"):
        return key
    fields = {**formats.RENAMED[2], "labels": "condition_on labels", "attributes": "condition_on"}
    tables = [table()["options"].get(name, {}), table()["options"]["any"]]
    if {"latent-dim", "batch-size"} <= set(own):  # the fields of a run are its options
        tables = [tables[0], {old.replace("_", "-"): new.replace("_", "-") for old, new in fields.items()}, tables[1]]
    for words in tables:
        meaning = str(words.get(key, ""))
        if is_answer(meaning):
            raise UserError(f"there is no option --{key}: {meaning}")
        if meaning and meaning.partition(" ")[0].partition(".")[0] in {*own, "recipe"}:
            return meaning
    near = difflib.get_close_matches(key, own, n=1, cutoff=0.75)
    guess = f"did you mean --{near[0]}? " if near else ""
    raise UserError(f"there is no option --{key} of {name}; {guess}`interalia {name} --help` lists its options.")


def valued(option: str, value: str, argument: Argument | None) -> str:
    """A value in the form that an option takes: 1e4 and 10k for whole numbers, and today's words."""
    words = table()["values"].get(option.replace("-", "_"), {})
    meaning = str(words.get(plain(value), value))
    if is_answer(meaning):
        raise UserError(f"`{option.replace('-', '_')}` is {value!r}: {meaning}")
    hints = () if argument is None else (argument.hint,)
    return counted(meaning) if any(hint in (int, int | None, list[int]) for hint in hints) else meaning


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


def rates(text: str) -> list[str]:
    """The options for a learning rate: one for all players, or one each as in ``critic=4e-4,generator=1e-4``."""
    parts = [part.strip() for part in text.split(",")] if "=" in text else [f"default={text}"]
    found: list[str] = []
    for part in parts:
        player, _, value = part.partition("=")
        found += [f"--lr.{player.strip()}", value.strip()]
    return found
