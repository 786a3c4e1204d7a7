"""Helpers of the tasks: evaluation in batches, checks of a game and its inputs, and the conditions of conditional games.

A condition y is a one-hot label, or one or more attributes as 0 and 1, which the networks of a conditional game get as a
further input.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, get_args, get_type_hints, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from interalia.conditionals import Conditional
from interalia.contexts import NoiseKey, device_of, draw_noise, evaluating, keyed
from interalia.contexts.processes import share_out
from interalia.data import objects, store
from interalia.errors import UserError, unknown
from interalia.games import Game
from interalia.games.capabilities import Generates, HasLevels, Infers, games_with, require
from interalia.tasks.result import Level
from interalia.tasks.units import units_of

BATCH = 250
SLIGHT = 1e-3  # by which a mixture of two conditions may be beyond [0, 1], by rounding

P = ParamSpec("P")
T = TypeVar("T")
INPUTS = ("x", "a", "b", "others")  # names of arguments that are examples
LATENTS = ("z", "direction")  # names of arguments that are latents
WORDS = {int: "a whole number", float: "a number", str: "a text"}  # types of arguments that are checked
NO_GAMES = (str, bytes, int, float, list, tuple, dict, Path, Tensor, np.ndarray)  # types of what is given by mistake


@runtime_checkable
class HasGame(Protocol):
    """An object with a game, such as `interalia.Trained`."""

    @property
    def game(self) -> Game:
        """The game."""


def as_inputs(game: Game | HasGame, x: Any) -> Tensor:
    """Converts examples of any kind to a tensor, as the tasks do; see `interalia.data.objects.as_inputs`."""
    found: Any = game.game if isinstance(game, HasGame) else game
    return objects.as_inputs(x, found.data.shape, units=units_of(found))


def task(function: Callable[Concatenate[Game, P], T]) -> Callable[Concatenate[Game | HasGame, P], T]:
    """Decorates a task, so that it can be called with a trained run in place of a game, and with inputs of many kinds.

    Its first argument may be a game, or an object with an attribute `game`. Its arguments x, a, b and others, which are
    examples, may be whatever `interalia.data.objects.as_inputs` converts to tensors: floating-point tensors are in network
    units, as tasks return them; arrays, data frames, pictures and paths in the data's own units. Tensors of a task with an
    argument `mask` may have any numbers, or NaN, where the example is not known.

    Arguments z and direction may be arrays or lists of numbers. Numbers and texts must be of the types in the signature.

    Raises:
        UserError: an input cannot be converted, its numbers are not in those units, or a number or text is of another type.
    """
    signature = inspect.signature(function)

    missing = "mask" in signature.parameters

    @functools.wraps(function)
    def call(game: Game | HasGame, *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls the task with the game, and with tensors in place of the inputs."""
        found: Any = game.game if isinstance(game, HasGame) else game
        if found is None or isinstance(found, NO_GAMES):
            raise UserError(f"the first argument is of type {type(found).__name__}; give a trained run, or its game.")
        bound = signature.bind(found, *args, **kwargs)
        bound.arguments |= plain_values(function, bound.arguments)
        if not -(2**63) <= (seed := bound.arguments.get("seed") or 0) < 2**63:
            raise UserError(f"`seed` is {seed}, and it must have at most 64 bits; give a smaller one.")
        for name in LATENTS:
            if name in bound.arguments and isinstance(found, Game):
                bound.arguments[name] = as_latents(found, bound.arguments[name])
        for name in INPUTS:
            if name in bound.arguments and isinstance(found, Game) and found.data.shape:
                second = found.data.other is not None and bound.arguments.get("to") == "a"  # translated from domain b
                shape = (found.data.other if second else None) or found.data.shape
                x = objects.as_inputs(bound.arguments[name], shape, missing, units_of(found, "b" if second else "a"))
                bound.arguments[name] = x.to(next((p.dtype for p in found.parameters()), x.dtype))
        return function(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]  # its first argument has a name, which Concatenate cannot state


def plain_values(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of the arguments of a function whose types are numbers or texts, with NumPy's numbers as Python's.

    Arguments:
        function: the function, whose type annotations are read.
        given: the arguments by name.

    Raises:
        UserError: one of them is of another type.

    Example:
        >>> def draw(count: int, scale: float | None = None) -> None: ...
        >>> plain_values(draw, {"count": np.int64(3), "scale": None})
        {'count': 3, 'scale': None}
    """
    hints, found = type_hints(function), {}
    for name, value in given.items():
        hint = hints.get(name)
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if not set(kinds) <= {*WORDS, NoneType} or {int, str} <= set(kinds):  # a label is checked where it is used
            continue
        value = value.item() if isinstance(value, np.number) else value
        kind = float if isinstance(value, int) and not isinstance(value, bool) and int not in kinds else type(value)
        if kind not in kinds:
            words = " or ".join(WORDS[one] for one in kinds if one in WORDS)
            raise UserError(f"`{name}` is {value!r}, and it must be {words}.")
        found[name] = value
    return found


@functools.cache
def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the types of the arguments of a function by name."""
    return get_type_hints(function)


def as_latents(game: nn.Module, z: Any) -> Tensor:
    """Converts latents, or a direction in their space, to a floating-point tensor of the type of a game's weights.

    Arguments:
        game: the game.
        z: a tensor, an array or nested lists of numbers.

    Raises:
        UserError: it cannot be converted, or a number is not finite.
    """
    try:
        found = z if isinstance(z, Tensor) else torch.as_tensor(np.asarray(z))
        if found.is_complex():
            raise TypeError
        found = found.to(next((p.dtype for p in game.parameters()), torch.float32))
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"the latents, of type {type(z).__name__}, are no array of numbers; give a tensor.") from None
    if not bool(found.isfinite().all()):
        raise UserError("the latents hold NaN or infinity; give finite numbers.")
    return found


def map_batches(
    function: Callable[..., Tensor], *inputs: Tensor, device: torch.device, key: tuple[int | str, ...] = ()
) -> Tensor:
    """Applies a function to tensors in batches of 250 rows, without gradients, and concatenates the results.

    The random numbers of a row depend on the key and the index of the row alone, not on the number of rows.

    Arguments:
        function: takes as many tensors as there are inputs, each of shape (n, ...), and returns a tensor of shape (n, ...).
        inputs: tensors with equal numbers of rows, i.e. sizes of dimension 0.
        device: the device that each batch is moved to.
        key: the key of the function's random numbers, such as the seed and the name of a task.

    Returns:
        The values for all rows, float32, on the CPU.
    """
    batches = list(zip(*(rows.split(BATCH) for rows in inputs), strict=True))

    def values(number: int) -> Tensor:
        """Returns the values of the function for the batch with this number, float32, on the CPU."""
        batch = batches[number]
        with torch.no_grad(), keyed(*key, rows=len(batch[0]), first=number * BATCH):
            return function(*(rows.to(device) for rows in batch)).float().cpu()

    return torch.cat(share_out(len(batches), values))


def evaluate_in_batches(
    game: Game, function: Callable[..., Tensor], *inputs: Tensor, seed: int = 0, task: str = ""
) -> Tensor:
    """Applies a function to tensors in batches of 250 rows, with the game in evaluation mode, and concatenates the results.

    Arguments:
        game: the game, whose networks the function uses; batches are moved to its device.
        function: takes as many tensors as there are inputs, each of shape (n, ...), and returns a tensor of shape (n, ...).
        inputs: tensors with equal numbers of rows, i.e. sizes of dimension 0.
        seed: the seed of the function's random numbers; the global random state does not change.
        task: the name of the task, so that two tasks with the same seed have different random numbers.

    Returns:
        The values for all rows, float32, on the CPU.
    """
    with evaluating(game, NoiseKey((seed, task)).seed()):
        return map_batches(function, *inputs, device=device_of(game), key=(seed, task))


def level_of(game: Game, level: Level, encoder: bool) -> Conditional:
    """Returns the encoder or decoder of a game for one level of its latents.

    For the upper level this is the encoder from x to z, or the decoder from z to x; for the lower level the encoder from x to
    the latents between z and x, or the decoder from these latents to x.

    Arguments:
        game: the game.
        level: "upper" for z; or, in a game with two levels of latents, "lower" for those between z and x.
        encoder: True for the encoder, False for the decoder.

    Raises:
        UserError: the game has no encoder, decoder or lower level, or `level` is neither "upper" nor "lower".
    """
    if level == "upper":
        return require(game, Infers, "encode").encoder if encoder else require(game, Generates, "decode").decoder
    if level != "lower":
        raise UserError(f"`level` is {level!r}; it must be 'upper', z, or 'lower', the level between z and x.")
    both = require(game, HasLevels, "the lower level")
    return both.encoder.first if encoder else both.decoder.second


def check_images(game: Game, x: Tensor) -> None:
    """Raises a UserError unless images x have the shape (n, *shape), `shape` being that of the game's training examples."""
    if game.data.shape and tuple(x.shape[1:]) != tuple(game.data.shape):
        raise UserError(
            f"the input has the shape {tuple(x.shape)}, and this game was trained on (n, "
            f"{', '.join(map(str, game.data.shape))}); resize or convert the images first."
        )


def index_of(names: Sequence[str], name: str, kind: str = "label") -> int:
    """Returns the index, from 0, of a label or attribute in the list of their names.

    Arguments:
        names: the names of all labels or attributes.
        name: one of them; or, if none of the names is a number, an index as text.
        kind: the noun for it in the error message, "label" or "attribute".

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
    """Returns the indices, from 0, of the labels or attributes that a text lists.

    Arguments:
        game: the game, whose `data.names` are the names of all labels or attributes.
        text: names, or indices as in `index_of`, separated by commas; or one name, which may contain a comma.

    Raises:
        UserError: there is no such label or attribute.
    """
    words = [text] if text in game.data.names else [word.strip() for word in text.split(",") if word.strip()]
    return [index_of(game.data.names, word, "attribute" if game.data.attributes else "label") for word in words]


def counted_conditions(game: Game, text: str, count: int | None) -> tuple[Tensor, int]:
    """Returns the conditions of the samples to generate, labels of shape (n,) or attributes of shape (n, number of
    attributes), and the number n of samples.

    Arguments:
        game: a conditional game.
        text: one label for all samples or one label each, separated by commas; or attributes that are 1 in all samples; or
            labels or combinations of attributes with a number of samples each, such as ``3:10,5:10`` or ``Smiling+Male:8``.
        count: number of samples, if the text has no numbers of samples; None for 64.

    Raises:
        UserError: some labels or combinations have a number of samples and others have none, or the text has numbers and
            `count` is not None, or the game lacks such a label or attribute.
    """
    groups = [group.rpartition(":") for group in text.split(",") if group.strip()]
    if text in game.data.names or not any(colon and number.strip().isdecimal() for _, colon, number in groups):
        count = 64 if count is None else count
        return named_conditions(game, text, count), count
    if not all(name and number.strip().isdecimal() and int(number) for name, _, number in groups):
        raise UserError(
            f"`condition` is {text!r}, and some of its parts have a number of samples; give each one, as in 3:10,5:10."
        )
    if count is not None:
        raise UserError("`condition` has numbers of samples, so that `count` is not needed; leave out `count`.")
    y = torch.cat([named_conditions(game, name.strip().replace("+", ","), int(number)) for name, _, number in groups])
    return y, len(y)


def named_conditions(game: Game, text: str, count: int) -> Tensor:
    """Returns the condition of each image: labels as indices, shape (count,), or attributes as 0 and 1, shape (count, number
    of attributes).

    Arguments:
        game: a conditional game.
        text: names or numbers separated by commas: one label for all images, or `count` labels; or the attributes that are 1
            in all images.
        count: number of images.

    Raises:
        UserError: the game is not conditional, or has no such label or attribute, or the text has neither 1 nor `count`
            labels.
    """
    if not game.data.condition:
        raise UserError(f"this {type(game).__name__} is not conditional; leave out `condition`.")
    indices = indices_of(game, text)
    if game.data.attributes:
        return torch.tensor([float(j in indices) for j in range(game.data.condition)]).expand(count, -1)
    if len(indices) not in (1, count):
        raise UserError(
            f"`condition` gives {len(indices)} labels for {count} images; give one for all of them, or one each."
        )
    return torch.tensor(indices * (count if len(indices) == 1 else 1))


def is_number(name: str) -> bool:
    """True if `float` can convert a name to a number, such as "7" or "-1.5"."""
    try:
        float(name)
    except ValueError:
        return False
    return True


def sample_condition(game: Game, count: int, seed: int = 0, label: int | str | None = None) -> tuple[Tensor, ...]:
    """Draws conditions y for `count` samples: labels or attributes, which a conditional game's networks get as inputs too.

    Labels are uniform and one-hot. Attributes are drawn independently, each with its frequency in the training data.

    Arguments:
        game: the game.
        count: number of samples.
        seed: random seed.
        label: the label of all samples, by its name or its index from 0; None to draw a label for each.

    Returns:
        A tuple with one tensor y, shape (count, number of labels or attributes); the empty tuple for an unconditional game.

    Raises:
        UserError: the game is not conditional on labels and `label` is given, or there is no such label.
    """
    name, size = type(game).__name__, game.data.condition
    if label is not None and game.data.attributes:
        raise UserError(f"this {name} is conditional on attributes; leave the label out, or give attributes (`y`).")
    if label is not None and not size:
        raise UserError(
            f"this {name} is unconditional; leave the label out, or train a game with `condition_on='labels'`."
        )
    if not size:
        return ()
    with keyed(seed, "labels"):
        drawn = draw_noise("labels", "uniform", (count, size), torch.empty(0))
    if game.data.attributes:
        return ((drawn < torch.tensor(list(game.data.attributes.values()))).float(),)
    if isinstance(label, str):
        label = index_of(game.data.names, label)
    whole = isinstance(label, int) and not isinstance(label, bool)
    if label is not None and not (whole and 0 <= int(label) < size):
        raise UserError(
            f"the label is {label}; give the name of a label, or its index as a whole number from 0 to {size - 1}."
        )
    labels = drawn.argmax(dim=1) if label is None else torch.full((count,), label)
    return (nn.functional.one_hot(labels, size).float(),)


def condition(game: Game, y: ArrayLike | None, count: int) -> tuple[Tensor, ...]:
    """Converts labels or attributes to the tensor y that a conditional game's networks get as a further input.

    Arguments:
        game: the game.
        y: labels as indices from 0 or as names, shape (count,); or one-hot labels, or attributes as 0 and 1, shape (count,
            number of labels or attributes). It is ignored for an unconditional game.
        count: number of samples.

    Returns:
        A tuple with one tensor y, shape (count, number of labels or attributes); the empty tuple for an unconditional game.

    Raises:
        UserError: the game is conditional and y is None, or y has another shape, a label out of range, a number that is not
            in [0, 1], or NaN.
    """
    kind, size = game.data.y, game.data.condition
    if not size:
        return ()
    if y is None:
        raise UserError(f"this {type(game).__name__} is conditional on {kind}; give the {kind} of the images (`y`).")
    if isinstance(y, list | tuple | np.ndarray) and not game.data.attributes and any(isinstance(one, str) for one in y):
        try:
            y = [index_of(game.data.names, str(one)) for one in y]
        except UserError as error:
            raise UserError(f"the labels are not those of this game: {error}") from None
    try:
        y = torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the {kind} are not an array of numbers ({error}); give them as a tensor.") from None
    fractions = y.ndim == 1 and y.is_floating_point() and bool((y != y.round()).any())
    if y.is_complex() or fractions or not bool(y.isfinite().all()):
        raise UserError(f"the {kind} contain NaN, infinity or a fraction; give whole numbers.")
    are_labels = y.ndim == 1 and not game.data.attributes
    if are_labels and len(y) and not 0 <= int(y.min()) <= int(y.max()) < size:
        raise UserError(
            f"the labels are from {int(y.min())} to {int(y.max())}, and those of this game are from 0 to {size - 1}; give "
            f"labels of this game."
        )
    found = store.condition(y, size) if are_labels else y.float()
    if tuple(found.shape) != (count, size):
        raise UserError(
            f"the {kind} have the shape {tuple(y.shape)}; for {count} images this game needs the shape ({count}, {size})."
        )
    if not bool(((found > -SLIGHT) & (found < 1 + SLIGHT)).all()):
        low, high = float(found.min()), float(found.max())
        raise UserError(
            f"the {kind} have numbers from {low:.3g} to {high:.3g}; give 0 for absent and 1 for present ones."
        )
    return (found,)


def check_conditional(game: Game, task: str) -> None:
    """Raises a UserError unless the game is conditional, and has an encoder and a decoder.

    Arguments:
        game: the game.
        task: the verb of the task that needs them, such as "edit", for the error message.
    """
    require(game, Infers, task, Generates)
    if not game.data.condition:
        able = games_with(Infers, also=lambda kind: kind.feeds.conditional)
        raise UserError(
            f"this {type(game).__name__} is unconditional; {task} by label needs a game that is trained with "
            f"`condition_on='labels'` or `condition_on='all'`: {able}."
        )
