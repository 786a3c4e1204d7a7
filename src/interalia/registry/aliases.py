"""Aliases: other names of options, commands and components, from ``aliases.toml``.

They are common in the literature or were used by earlier versions. The meaning of an alias is a name that the library has;
or, if the library has nothing equivalent, a sentence for the user about what to do instead.
"""

from __future__ import annotations

import functools
from typing import Any

from interalia import packaged_toml
from interalia.errors import UserError


@functools.cache
def table() -> dict[str, Any]:
    """Returns the content of ``aliases.toml``: tables such as "commands", "options" and "entries" (of components), by name.

    "commands" maps aliases to their meanings. "options" has such a mapping of options for each command and, under
    "any", for all; "entries" has one of components for each kind, and "values" one of values for each option.
    "presets" maps aliases of models to the fields of a run (see `preset`), and "kinds" other names of kinds of component to
    kinds.
    """
    return packaged_toml("interalia.registry", "aliases.toml")


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
    """Returns the name of the component that an alias stands for, with arguments if these are part of its meaning. A name
    that is no alias is returned unchanged.

    Arguments:
        kind: the kind of component, such as "divergences".
        name: an alias, in upper or lower case, or any other name.

    Raises:
        UserError: it is the alias of something that the library lacks; the message has an alternative.

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
    """Returns what the alias of a model, such as BiGAN, stands for: values of `game` and of other fields of a run, by name.

    The dictionary is empty for any other name: that of a game, an alias of a game alone, or an unknown name.

    Arguments:
        game: the alias, in upper or lower case, or any other name.

    Example:
        >>> preset("BiGAN")
        {'game': 'ali', 'encoder': 'deterministic'}
    """
    return dict(table()["presets"].get(plain(game), {}))
