"""Other words for what the program has, from ``aliases.toml``: the field's own, and those of earlier versions.

A word is understood where it means the same; where it means nearly the same, or something that is not there, it is answered
by a sentence.
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
    """A word in small letters, with hyphens.

    Example:
        >>> plain("Batch_Size")
        'batch-size'
    """
    return word.strip().lower().replace("_", "-")


def is_answer(meaning: str) -> bool:
    """Whether the meaning of a word is a sentence for the user, and no name.

    Example:
        >>> is_answer("hinge"), is_answer("there is no adamw; use `optimizer=\\"adam\\"`.")
        (False, True)
    """
    return meaning.endswith(".")


def entry(kind: str, name: str) -> str:
    """The entry of a kind that another word names, with settings where these are part of what the word means; the word
    itself where it is no alias.

    Raises:
        UserError: the word is one for what is not there, with what to do instead.

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
    """The fields of a run that a game of the field stands for, such as BiGAN, which is ALI with a deterministic encoder; none
    where the word is no such game.

    Example:
        >>> preset("BiGAN")
        {'game': 'ali', 'encoder': 'deterministic'}
    """
    return dict(table()["presets"].get(plain(game), {}))
