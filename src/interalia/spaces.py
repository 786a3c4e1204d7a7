"""Variables and where they live, and the facts of the data that a game is built for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
        found = {f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values}
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in found.items()})
