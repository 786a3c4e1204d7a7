"""How every task calls a game: evaluating, in batches, and only for what it can do; and what a conditional game is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from interalia.conditionals import Conditional
from interalia.contexts import device_of, evaluating
from interalia.data import store
from interalia.errors import UserError, unknown
from interalia.games import Game
from interalia.games.capabilities import Generates, HasLevels, Infers, require, who
from interalia.tasks.result import Level

BATCH = 250
LABELS, NOISE = 1, 2  # streams of random numbers beside the one of z


def map_batches(function: Callable[..., Tensor], *inputs: Tensor, device: torch.device) -> Tensor:
    """`function` of `inputs` without gradients, `BATCH` rows at a time on `device`, gathered on the CPU as float32."""
    rows = zip(*(part.split(BATCH) for part in inputs), strict=True)
    with torch.no_grad():
        return torch.cat([function(*(part.to(device) for part in parts)).float().cpu() for parts in rows])


def evaluate_in_batches(game: Game, function: Callable[..., Tensor], *inputs: Tensor, seed: int = 0) -> Tensor:
    """`function` of `inputs` in evaluation mode, its random numbers from `seed` alone; see `in_batches`."""
    with evaluating(game, seed):
        return map_batches(function, *inputs, device=device_of(game))


def derived_seed(seed: int, stream: int) -> int:
    """The seed of another stream of random numbers: what is drawn from it is independent of z, which `seed` itself gives.

    From one seed z and the noise of p(x | z) would be the same numbers, and x~ no draw of the model.

    Example:
        >>> len({derived_seed(0, 1), derived_seed(0, 2), derived_seed(1, 1), 0, 1})
        5
    """
    return int(np.random.SeedSequence((seed % 2**64, stream)).generate_state(1)[0])


def level_of(game: Game, level: Level, encoder: bool) -> Conditional:
    """The game's encoder or decoder, or of a game with two levels the part of it between x and the lower one.

    Raises:
        UserError: the lower level of a game that has one level is asked for, or there is no such level.
    """
    if level == "upper":
        return require(game, Infers, "encode").encoder if encoder else require(game, Generates, "decode").decoder
    if level != "lower":
        raise UserError(f"`level` is {level!r}; it is 'upper', z, or 'lower', between z and x.")
    both = require(game, HasLevels, "the lower level")
    return both.encoder.first if encoder else both.decoder.second


def check_images(game: Game, x: Tensor) -> None:
    """Raises a UserError unless x has the shape that the game was built for."""
    if game.data.shape and tuple(x.shape[1:]) != tuple(game.data.shape):
        raise UserError(
            f"the input has the shape {tuple(x.shape)}, and this game was trained on (n, "
            f"{', '.join(map(str, game.data.shape))}); resize or convert the images first."
        )


def index_of(names: Sequence[str], name: str, kind: str = "label") -> int:
    """Where `name` stands among the names of labels or attributes. Only where none of them is a number itself, a number is
    understood too, and counts from 0.

    Raises:
        UserError: there is no such name.

    Example:
        >>> index_of(["3", "7"], "7"), index_of(["cat", "dog"], "dog"), index_of(["cat", "dog"], "0")
        (1, 1, 0)
    """
    if name in names:
        return list(names).index(name)
    if name.isdecimal() and int(name) < len(names) and not any(map(is_number, names)):
        return int(name)
    raise unknown(kind, name, names)


def indices_of(game: Game, text: str) -> list[int]:
    """Which of a game's labels or attributes are named, with commas between them; a name may hold a comma itself where it is
    named alone."""
    words = [text] if text in game.data.names else [word.strip() for word in text.split(",") if word.strip()]
    return [index_of(game.data.names, word, "attribute" if game.data.attributes else "label") for word in words]


def is_number(name: str) -> bool:
    """Whether a name is a number."""
    try:
        float(name)
    except ValueError:
        return False
    return True


def sample_condition(game: Game, count: int, seed: int = 0, label: int | str | None = None) -> tuple[Tensor, ...]:
    """(y,): `count` labels, one-hot, all of them `label`, or drawn uniformly by seed; () for a game that is told none.

    `label` is a name (see `place`), or as a whole number its place from 0.

    A game that is told attributes gets each of them as often as the training data has it, independently of each other.

    Raises:
        UserError: a label asked of a game that is told none, or one that there is not.
    """
    if label is not None and (game.data.attributes or not game.data.condition):
        why = "not told any labels, so it cannot generate by label; leave the label out, or train a game with `condition_on='labels'`"
        if game.data.attributes:
            why = "told attributes and no labels; leave the label out, or give attributes (`y`)"
        raise UserError(f"this {type(game).__name__} was {why}.")
    if not game.data.condition:
        return ()
    generator = torch.Generator().manual_seed(derived_seed(seed, LABELS))
    if game.data.attributes:
        drawn = torch.rand(count, game.data.condition, generator=generator)
        return ((drawn < torch.tensor(list(game.data.attributes.values()))).float(),)
    if isinstance(label, str):
        label = index_of(game.data.names, label)
    if label is not None and (not isinstance(label, int) or not 0 <= label < game.data.condition):
        raise UserError(
            f"the label is {label}, and it is to be a label's name, or its place as a whole number from 0 to "
            f"{game.data.condition - 1}."
        )
    drawn = torch.randint(game.data.condition, (count,), generator=generator)
    drawn = drawn if label is None else drawn.fill_(label)
    return (nn.functional.one_hot(drawn, game.data.condition).float(),)


def condition(game: Game, y: ArrayLike | None, count: int) -> tuple[Tensor, ...]:
    """(y,) as the networks of a conditional game are told it, shape (count, labels); () for a game that is told nothing.

    Arguments:
        game: the game.
        y: labels, shape (count,), or attributes or one-hot labels, shape (count, labels).
        count: how many there must be.

    Raises:
        UserError: the game is told labels and y is None, or y does not fit.
    """
    if not game.data.condition:
        return ()
    kind = game.data.y
    if y is None:
        raise UserError(
            f"this {type(game).__name__} was told {kind}, so it has to be told those of the images too; give their {kind} "
            f"(`y`)."
        )
    try:
        y = torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the {kind} are no array of numbers ({error}); give them as a tensor.") from None
    fractions = y.ndim == 1 and y.is_floating_point() and bool((y != y.round()).any())
    if y.is_complex() or fractions or not bool(y.isfinite().all()):
        raise UserError(f"the {kind} hold numbers that none can be (NaN, infinity or a fraction); give whole ones.")
    are_labels = y.ndim == 1 and not game.data.attributes
    if are_labels and len(y) and not 0 <= int(y.min()) <= int(y.max()) < game.data.condition:
        raise UserError(
            f"the labels go from {int(y.min())} to {int(y.max())}, and this game's are 0 to {game.data.condition - 1}."
        )
    found = store.condition(y, game.data.condition) if are_labels else y.float()
    if tuple(found.shape) != (count, game.data.condition):
        raise UserError(
            f"the {kind} have the shape {tuple(y.shape)}, and for {count} images of this game they have the shape "
            f"({count}, {game.data.condition})."
        )
    return (found,)


def check_conditional(game: Game, task: str) -> None:
    """Raises a UserError unless the game is told labels or attributes."""
    require(game, Infers, task, Generates)
    if not game.data.condition:
        able = who(Infers, also=lambda kind: kind.feeds.conditional)
        raise UserError(
            f"this {type(game).__name__} was not told any labels; {task} by label needs a game that is trained with "
            f"`condition_on='labels'` or `condition_on='all'`: {able}."
        )
