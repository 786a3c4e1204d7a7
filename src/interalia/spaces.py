"""Variables and the spaces that they live in, and the facts of the data that a game is built for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


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


@dataclass(frozen=True)
class DataSpec:
    """What a game is built for: the facts of its data that decide the sizes of its networks, and the names in them.

    Attributes:
        shape: of one x, (channels, height, width) of an image or (d,) of a vector; () where it is not known.
        condition: the size of y, which the networks are conditional on; 0 of an unconditional game.
        attributes: where y is attributes and not a label: their names, and the share of the data that has each.
        classes: how many labels the game reads off x, where it is shown those of some images.
        names: of the labels or attributes in y, or of the labels that are read, in order.
        other: the shape of one x of the second domain, where there is one.

    Example:
        >>> DataSpec((1, 8, 8), condition=2, names=("cat", "dog")).y
        'labels'
        >>> DataSpec.read({"shape": [2], "condition": 1, "attributes": {"odd": 0.5}, "names": ["odd"], "other": None})
        DataSpec(shape=(2,), condition=1, attributes={'odd': 0.5}, classes=0, names=('odd',), other=None)
    """

    shape: tuple[int, ...] = ()
    condition: int = 0
    attributes: Mapping[str, float] = field(default_factory=dict)
    classes: int = 0
    names: tuple[str, ...] = ()
    other: tuple[int, ...] | None = None

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def y(self) -> str:
        """What y is called: labels or attributes."""
        return "attributes" if self.attributes else "labels"

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> DataSpec:
        """The specification that a file keeps, whose lists become tuples; what it does not keep is as by default."""
        found: dict[str, Any] = {f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values}
        return cls(**found | {key: tuple(value) for key, value in found.items() if isinstance(value, list)})
