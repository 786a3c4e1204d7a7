"""Variables and the spaces that they live in."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Space:
    """Where one variable lives: what a network reads, or returns.

    Arguments:
        name: of the variable, as the papers write it: x for data, z for latents, y for what is conditioned on, u for a level
            between z and x.
        shape: of one value: (channels, height, width) of an image, (d,) of a vector.
        support: "real", "unit" for numbers in [0, 1], "ball" for numbers in [-1, 1].
        category: how many of its last numbers are the probabilities of one category; 0 for none.

    Example:
        >>> x = Space("x", (3, 8, 8), "unit")
        >>> x.size, x.times(2).shape, x.is_image
        (192, (6, 8, 8), True)
    """

    name: str
    shape: tuple[int, ...]
    support: Literal["real", "unit", "ball"] = "real"
    category: int = 0

    @property
    def size(self) -> int:
        """How many numbers one value has."""
        return math.prod(self.shape)

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    def times(self, count: int) -> Space:
        """The space of `count` values side by side: as channels, or as numbers of a vector."""
        first, *rest = self.shape
        return dataclasses.replace(self, shape=(count * first, *rest))

    def numbers(self, count: int) -> Space:
        """A vector of `count` unbounded numbers about the same variable, such as the parameters of its distribution."""
        return Space(self.name, (count,))
