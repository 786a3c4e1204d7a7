"""Other words for options, commands and entries, from ``aliases.toml``: the field's own, and those of earlier versions.

A word that means the same is translated. A word that means nearly the same, or something that does not exist, has a sentence
that says what to do instead.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Any

from interalia.errors import UserError


@functools.cache
def table() -> dict[str, Any]:
    """The content of ``aliases.toml``."""
    return tomllib.loads(resources.files("interalia").joinpath("aliases.toml").read_text(encoding="utf-8"))


def plain(word: str) -> str:
    """A word in lower case, with hyphens.

    Example:
        >>> plain("Batch_Size")
        'batch-size'
    """
    return word.strip().lower().replace("_", "-")


def is_answer(meaning: str) -> bool:
    r"""True if the meaning of a word is a sentence for the user and not a name.

    Example:
        >>> is_answer("hinge"), is_answer("there is no adamw; use `optimizer=\"adam\"`.")
        (False, True)
    """
    return meaning.endswith(".")


def entry(kind: str, name: str) -> str:
    """The entry of a kind for which a word is an alias, with settings if they are part of its meaning; the word itself if it
    is no alias.

    Raises:
        UserError: the word names something that does not exist; the message says what to do instead.

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
    """The fields of a run that a known model stands for, such as BiGAN, which is ALI with a deterministic encoder; empty for
    any other word.

    Example:
        >>> preset("BiGAN")
        {'game': 'ali', 'encoder': 'deterministic'}
    """
    return dict(table()["presets"].get(plain(game), {}))
