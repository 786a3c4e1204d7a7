"""The labels that a semi-supervised game reads off images."""

from __future__ import annotations

from torch import Tensor

from interalia.games import Game
from interalia.games.capabilities import Classifies, require
from interalia.tasks.calling import answered, check_images


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
    reads = require(game, Classifies, "classify")
    check_images(game, x)
    return answered(game, reads.classify, x, seed=seed)
