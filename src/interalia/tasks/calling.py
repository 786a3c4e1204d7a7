"""Helpers of the tasks: evaluation in batches, checks of a game and its inputs, and the conditions of conditional games."""

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
from interalia.games.capabilities import Generates, HasLevels, Infers, games_with, require
from interalia.tasks.result import Level

BATCH = 250
LABELS, NOISE = 1, 2  # streams of random numbers besides that of z


def map_batches(function: Callable[..., Tensor], *inputs: Tensor, device: torch.device) -> Tensor:
    """The result of a function without gradients, computed `BATCH` rows at a time on `device`, as float32 on the CPU."""
    rows = zip(*(part.split(BATCH) for part in inputs), strict=True)
    with torch.no_grad():
        return torch.cat([function(*(part.to(device) for part in parts)).float().cpu() for parts in rows])


def evaluate_in_batches(game: Game, function: Callable[..., Tensor], *inputs: Tensor, seed: int = 0) -> Tensor:
    """The result of a function in the game's evaluation mode, with random numbers from `seed` alone; see `map_batches`."""
    with evaluating(game, seed):
        return map_batches(function, *inputs, device=device_of(game))


def derived_seed(seed: int, stream: int) -> int:
    """The seed of another stream of random numbers, independent of z, which is drawn from `seed` itself.

    From one seed z and the noise of p(x | z) would be the same numbers, and x~ not a draw of the model.

    Example:
        >>> len({derived_seed(0, 1), derived_seed(0, 2), derived_seed(1, 1), 0, 1})
        5
    """
    return int(np.random.SeedSequence((seed % 2**64, stream)).generate_state(1)[0])


def level_of(game: Game, level: Level, encoder: bool) -> Conditional:
    """The encoder or decoder of a latent level.

    Arguments:
        game: the game.
        level: "upper", z; or "lower", the level between z and x of a game with two levels.
        encoder: True for the encoder, False for the decoder.

    Raises:
        UserError: the game has no lower level, or `level` is neither.
    """
    if level == "upper":
        return require(game, Infers, "encode").encoder if encoder else require(game, Generates, "decode").decoder
    if level != "lower":
        raise UserError(f"`level` is {level!r}; it must be 'upper', z, or 'lower', the level between z and x.")
    both = require(game, HasLevels, "the lower level")
    return both.encoder.first if encoder else both.decoder.second


def check_images(game: Game, x: Tensor) -> None:
    """Raises a UserError unless x has the shape of the game's training data."""
    if game.data.shape and tuple(x.shape[1:]) != tuple(game.data.shape):
        raise UserError(
            f"the input has the shape {tuple(x.shape)}, and this game was trained on (n, "
            f"{', '.join(map(str, game.data.shape))}); resize or convert the images first."
        )


def index_of(names: Sequence[str], name: str, kind: str = "label") -> int:
    """The index of a name among the names of labels or attributes.

    If no name is a number, `name` may be an index from 0 as well.

    Arguments:
        names: all names.
        name: a name, or an index.
        kind: the word for a name in the error message.

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
    """The indices of a game's labels or attributes in a text with names separated by commas. A single name may contain a
    comma.
    """
    words = [text] if text in game.data.names else [word.strip() for word in text.split(",") if word.strip()]
    return [index_of(game.data.names, word, "attribute" if game.data.attributes else "label") for word in words]


def is_number(name: str) -> bool:
    """True if a name is a number."""
    try:
        float(name)
    except ValueError:
        return False
    return True


def sample_condition(game: Game, count: int, seed: int = 0, label: int | str | None = None) -> tuple[Tensor, ...]:
    """Draws the conditions of `count` samples: (y,), shape (count, size of y); () for an unconditional game.

    Labels are uniform and one-hot. Attributes are drawn independently, each with its frequency in the training data.

    Arguments:
        game: the game.
        count: number of samples.
        seed: random seed.
        label: the label of all samples in place of drawn ones: its name, or its index from 0 (see `index_of`).

    Raises:
        UserError: the game is not conditional on labels and `label` is given, or there is no such label.
    """
    name = type(game).__name__
    if label is not None and game.data.attributes:
        raise UserError(f"this {name} is conditional on attributes; leave the label out, or give attributes (`y`).")
    if label is not None and not game.data.condition:
        raise UserError(
            f"this {name} is unconditional; leave the label out, or train a game with `condition_on='labels'`."
        )
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
            f"the label is {label}; give the name of a label, or its index as a whole number from 0 to "
            f"{game.data.condition - 1}."
        )
    drawn = torch.randint(game.data.condition, (count,), generator=generator)
    drawn = drawn if label is None else drawn.fill_(label)
    return (nn.functional.one_hot(drawn, game.data.condition).float(),)


def condition(game: Game, y: ArrayLike | None, count: int) -> tuple[Tensor, ...]:
    """The input y of the networks of a conditional game: (y,), shape (count, size of y); () for an unconditional game.

    Arguments:
        game: the game.
        y: labels, shape (count,); or attributes or one-hot labels, shape (count, size of y).
        count: number of samples.

    Raises:
        UserError: the game is conditional and y is None, or y does not fit.
    """
    if not game.data.condition:
        return ()
    kind = game.data.y
    if y is None:
        raise UserError(f"this {type(game).__name__} is conditional on {kind}; give the {kind} of the images (`y`).")
    try:
        y = torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the {kind} are not an array of numbers ({error}); give them as a tensor.") from None
    fractions = y.ndim == 1 and y.is_floating_point() and bool((y != y.round()).any())
    if y.is_complex() or fractions or not bool(y.isfinite().all()):
        raise UserError(f"the {kind} contain NaN, infinity or a fraction; give whole numbers.")
    are_labels = y.ndim == 1 and not game.data.attributes
    if are_labels and len(y) and not 0 <= int(y.min()) <= int(y.max()) < game.data.condition:
        raise UserError(
            f"the labels are from {int(y.min())} to {int(y.max())}, and those of this game are from 0 to "
            f"{game.data.condition - 1}; give labels of this game."
        )
    found = store.condition(y, game.data.condition) if are_labels else y.float()
    if tuple(found.shape) != (count, game.data.condition):
        raise UserError(
            f"the {kind} have the shape {tuple(y.shape)}; for {count} images this game needs the shape ({count}, "
            f"{game.data.condition})."
        )
    return (found,)


def check_conditional(game: Game, task: str) -> None:
    """Raises a UserError unless the game is conditional, and has an encoder and a decoder."""
    require(game, Infers, task, Generates)
    if not game.data.condition:
        able = games_with(Infers, also=lambda kind: kind.feeds.conditional)
        raise UserError(
            f"this {type(game).__name__} is unconditional; {task} by label needs a game that is trained with "
            f"`condition_on='labels'` or `condition_on='all'`: {able}."
        )
