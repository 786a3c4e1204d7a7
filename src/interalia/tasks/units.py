"""Converts examples from the numbers that networks take to the data's own units, types and columns, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from interalia.data import scaling, tables
from interalia.games import Game

DEVIATIONS = 3.0  # standardized images are shown from this many deviations under their mean to as many above it


def units_of(game: Game, domain: str = "a") -> scaling.Units | None:
    """Returns the units of the data that a game was trained on; None if x is as it was read.

    Arguments:
        game: the game.
        domain: "a", or "b" for the second domain of a game that translates.
    """
    return scaling.restore(game.data.other_units if domain == "b" else game.data.units)


def to_units(game: Game, x: ArrayLike | Tensor, domain: str = "a") -> NDArray[Any]:
    """Returns examples in the data's own units and type, e.g. uint16 for pictures of 16 bits; integers are rounded.

    Data that were not scaled keep their numbers, and arrays keep their type: images of bytes are returned as bytes if they
    were an array, and in [0, 1] if they were image files. Rows of a table keep the components of their categories, see
    `to_columns`.

    Arguments:
        game: the game.
        x: examples as its networks take and return them, shape (..., *shape), with any axes before that of one example.
        domain: "a", or "b" for the second domain of a game that translates.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.Run(), shape=(1, 8, 8))
        >>> to_units(game, torch.zeros(3, 1, 8, 8)).dtype
        dtype('float32')
    """
    array, units = np.asarray(x), units_of(game, domain)
    if units is None:
        return array
    shape = game.data.other if domain == "b" and game.data.other else game.data.shape
    return units.invert(array.reshape(-1, *shape)).reshape(array.shape)


def from_units(game: Game, x: ArrayLike, domain: str = "a") -> Tensor:
    """Returns examples in the data's own units as the game's networks take them, float32, shape (n, *shape).

    Arguments:
        game: the game.
        x: examples in the units of the data that it was trained on, shape (n, *shape).
        domain: "a", or "b" for the second domain of a game that translates.
    """
    array, units = np.asarray(x), units_of(game, domain)
    return torch.from_numpy(units.apply(array) if units else np.asarray(array, dtype=np.float32).copy())


def to_columns(game: Game, x: ArrayLike | Tensor) -> dict[str, NDArray[Any]]:
    """Returns rows of a table as its columns, by name, in their types: numbers in own units, and the names of categories.

    Arguments:
        game: a game that was trained on a table.
        x: rows as its networks return them, shape (..., components).

    Returns:
        A dictionary: name of a column -> its values, of the shape of x without the last axis. It is empty if the data are no
        table.
    """
    units = units_of(game)
    return tables.decode(to_units(game, x), units.columns) if units and units.columns else {}


def arrays_of(game: Game, examples: Mapping[str, ArrayLike | Tensor], domains: Mapping[str, str]) -> dict[str, Any]:
    """Returns the examples of a task's result as arrays in the data's own units or, for a table, as its columns.

    Arguments:
        game: the game.
        examples: a dictionary: name -> examples, shape (..., *shape).
        domains: a dictionary: name of examples -> "b", for those of the second domain; the others are of the first.

    Returns:
        A dictionary: name -> array. For a table it is the name of a column -> its values, or, of several examples,
        "name.column" -> the values.
    """
    found: dict[str, Any] = {}
    for name, x in examples.items():
        if columns := to_columns(game, x):
            found |= {
                column if len(examples) == 1 else f"{name}.{column}": values for column, values in columns.items()
            }
        else:
            found[name] = to_units(game, x, domains.get(name, "a"))
    return found


def shown(game: Game, value: Any) -> Any:
    """Returns examples as a figure shows them: images and volumes in [0, 1], other values unchanged.

    Standardized images and volumes are shifted and scaled: minus 3 standard deviations becomes 0, and plus 3 becomes 1.

    Arguments:
        game: the game.
        value: an argument of a plotting function: a tensor or an array of examples, a list of such, or anything else.
    """
    if isinstance(value, list):
        return [shown(game, one) for one in value]
    if not isinstance(value, Tensor | np.ndarray) or len(game.data.shape) < 3 or game.data.support == "unit":
        return value
    return (value + DEVIATIONS) / (2 * DEVIATIONS)
