"""Between two domains."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from interalia.errors import UserError
from interalia.games import Game
from interalia.games.capabilities import Translates, require
from interalia.tasks.calling import answered, check_images


def translate(game: Game, x: Tensor, to: Literal["a", "b"] = "b") -> Tensor:
    """Images of one domain as the game's map makes them those of domain `to`, shape (n, *shape).

    Raises:
        UserError: the game has no two domains, there is no such domain, or x has the wrong shape.

    Example:
        >>> import torch
        >>> import interalia
        >>> game = interalia.build(interalia.Run(game="cyclegan"), shape=(1, 8, 8), other=(1, 8, 8))
        >>> translate(game, torch.zeros(3, 1, 8, 8), to="a").shape
        torch.Size([3, 1, 8, 8])
    """
    maps = require(game, Translates, "translate")
    if to not in ("a", "b"):
        raise UserError(f"`to` is {to!r}; the domains are 'a', of the data, and 'b', of the target.")
    check_images(game, x)
    return answered(game, maps.to_b if to == "b" else maps.to_a, x)
