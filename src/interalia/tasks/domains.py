"""Between two domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor

from interalia.contexts import device_of, quietly
from interalia.errors import UserError
from interalia.tasks.calling import check_images, in_batches

if TYPE_CHECKING:
    from interalia.games import Game


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
    check_translator(game)
    if to not in ("a", "b"):
        raise UserError(f"`to` is {to!r}; the domains are 'a', of the data, and 'b', of the target.")
    check_images(game, x)
    network = game.to_b if to == "b" else game.to_a
    with quietly(game):
        return in_batches(network, x, device=device_of(game))  # type: ignore[arg-type]


def check_translator(game: Game) -> None:
    """Raises a UserError unless the game maps between two domains."""
    from interalia.games import REGISTRY

    if not (hasattr(game, "to_a") and hasattr(game, "to_b")):
        able = ", ".join(
            member.__name__ for member in REGISTRY.values() if "to_b" in member.players.get("generator", ())
        )
        raise UserError(f"{type(game).__name__} has no two domains to translate between; play a game that has: {able}.")
