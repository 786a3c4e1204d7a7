"""The labels that a semi-supervised game reads off images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from interalia.contexts import device_of, quietly
from interalia.errors import UserError
from interalia.tasks.calling import check_images, in_batches

if TYPE_CHECKING:
    from interalia.games import Game


def classify(game: Game, x: Tensor, seed: int = 0) -> Tensor:
    """The probability of each label, shape (n, labels).

    Raises:
        UserError: the game was shown no labels to read, or x has the wrong shape.

    Example:
        >>> import torch
        >>> import interalia
        >>> game = interalia.build(interalia.Run(game="semi-ali"))
        >>> classify(game, torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3, 10])
    """
    from interalia.games import REGISTRY

    if not game.data.classes:
        able = ", ".join(member.__name__ for member in REGISTRY.values() if member.semi)
        raise UserError(f"{type(game).__name__} reads no labels; classify needs a game that does: {able}.")
    check_images(game, x)
    with quietly(game, seed):
        return in_batches(game.classify, x, device=device_of(game))  # type: ignore[arg-type]
