"""Aliases: other names of options, commands and components, from ``aliases.toml``.

They are common in the literature or were used by earlier versions. The meaning of an alias is a name of the library; or, if
the library has nothing that means the same, a sentence for the user about what to do instead.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Any

from interalia.errors import UserError


@functools.cache
def table() -> dict[str, Any]:
    """Returns the content of ``aliases.toml``: its tables, such as "entries", "options" and "presets", by name."""
    return tomllib.loads(resources.files("interalia").joinpath("aliases.toml").read_text(encoding="utf-8"))


def plain(word: str) -> str:
    """Returns a word in lower case, with hyphens in place of underscores and without blanks at its ends.

    Example:
        >>> plain("Batch_Size")
        'batch-size'
    """
    return word.strip().lower().replace("_", "-")


def is_answer(meaning: str) -> bool:
    r"""True if the meaning of an alias is a sentence for the user, which ends in a full stop, and not a name.

    Example:
        >>> is_answer("hinge"), is_answer("there is no adamw; use `optimizer=\"adam\"`.")
        (False, True)
    """
    return meaning.endswith(".")


def entry(kind: str, name: str) -> str:
    """Returns the name of the component that a name is an alias of, with arguments if these are part of its meaning; returns
    the name itself if it is no alias.

    Arguments:
        kind: the kind of component, such as "divergences".
        name: the name, in any case.

    Raises:
        UserError: the library has no such component; the message tells the user what to do instead.

    Example:
        >>> entry("divergences", "JS"), entry("divergences", "minimax"), entry("divergences", "kl")
        ('jensen-shannon', 'gan(saturating=True)', 'kl')
    """
    meaning = table()["entries"].get(kind, {}).get(plain(name))
    if meaning is None:
        return name
    if is_answer(meaning):
        raise UserError(f"there is no {name!r} among the {kind}: {meaning}")
    return str(meaning)


def preset(game: str) -> dict[str, Any]:
    """Returns the fields of a run that the name of a model such as BiGAN stands for, by name; an empty dictionary for other
    names.

    Example:
        >>> preset("BiGAN")
        {'game': 'ali', 'encoder': 'deterministic'}
    """
    return dict(table()["presets"].get(plain(game), {}))
