"""The space of a variable, and the properties of the data for which a game is built."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

# the sizes of data that files may announce
Size = Annotated[int, msgspec.Meta(ge=1, le=10**6)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**6)]


@dataclass(frozen=True)
class Space:
    """The space of one variable, such as x or z: its name, the shape of one value, and the range of its numbers.

    Arguments:
        name: the name of the variable, as in papers: x for data, z for latents, y for the condition, u for a latent variable
            between z and x.
        shape: the shape of one value: (d,) of a vector, (channels, length) of a signal, (channels, height, width) of an
            image, (channels, depth, height, width) of a volume.
        support: "real", "unit" for numbers in [0, 1], or "ball" for numbers in [-1, 1].
        category: the number of components at the end that are the probabilities of one categorical variable; 0 for none.

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
        """The number of components of one value, the product of the shape."""
        return math.prod(self.shape)

    @property
    def is_image(self) -> bool:
        """True if the shape has three dimensions, (channels, height, width)."""
        return len(self.shape) == 3

    @property
    def axes(self) -> tuple[int, ...]:
        """The lengths of the axes besides the channels: (length,) of a signal, (height, width) of an image, (depth, height,
        width) of a volume, and () of a vector or of a shape of more axes.
        """
        return self.shape[1:] if len(self.shape) <= 4 else ()

    def times(self, count: int) -> Space:
        """Returns the space of `count` values of the variable, concatenated along the channels of images or the
        components of vectors.
        """
        first, *rest = self.shape
        return dataclasses.replace(self, shape=(count * first, *rest))

    def numbers(self, count: int) -> Space:
        """Returns a space of vectors of `count` real numbers with the name of this variable, e.g. for the parameters of
        its distribution.
        """
        return Space(self.name, (count,))


@dataclass(frozen=True)
class DataSpec:
    """The properties of the data from which a game derives the sizes of its networks: shape, labels or attributes, and
    second domain.

    Attributes:
        shape: the shape of one x: (d,) of a vector, (channels, length) of a signal, (channels, height, width) of an image,
            (channels, depth, height, width) of a volume; () if it is unknown.
        condition: the number of components of y, the label or attributes that networks are conditional on; 0 for none.
        attributes: the names of the attributes in y, and the frequency of each in the data; empty if y is a label.
        classes: the number of classes of a semi-supervised game; 0 for others.
        names: the names of the labels or attributes in y, or of the classes of a semi-supervised game, in order.
        other: the shape of one x of the second domain; None for a game with one domain.
        units: how x is converted to the data's own units, as `interalia.data.scaling.Units.values` returns it; empty if x is
            as it was read.
        other_units: that of the second domain.

    Example:
        >>> DataSpec((1, 8, 8), condition=2, names=("cat", "dog")).y
        'labels'
        >>> DataSpec((2,), condition=1, attributes={"odd": 0.5}, names=("odd",)).y
        'attributes'
    """

    shape: tuple[Size, ...] = ()
    condition: Count = 0
    attributes: Mapping[str, float] = field(default_factory=dict)
    classes: Count = 0
    names: tuple[str, ...] = ()
    other: tuple[Size, ...] | None = None
    units: Mapping[str, Any] = field(default_factory=dict)
    other_units: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_image(self) -> bool:
        """True if x is an image, i.e. its shape has three dimensions, (channels, height, width)."""
        return len(self.shape) == 3

    @property
    def support(self) -> Literal["unit", "real"]:
        """The range of x: "unit", numbers in [0, 1], or "real", all real numbers.

        It is that of the scaling of x or, without a scaling, "unit" for images and volumes and "real" for others.
        """
        kind = self.units.get("scaling", {}).get("kind")
        unit = len(self.shape) in (3, 4) if kind is None else kind != "standard"
        return "unit" if unit else "real"

    @property
    def y(self) -> str:
        """The word for y in messages: "attributes" if there are any, else "labels"."""
        return "attributes" if self.attributes else "labels"
