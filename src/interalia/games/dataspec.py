"""What a game knows of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DataSpec:
    """What the data of a game are like, as the game sees them.

    Arguments:
        shape: of one x.
        labels: the dimensions of y, where the networks are conditional on it; 0 where they are not.
        attributes: where y is attributes: their names, and the share of the data that has each.
        classes: how many labels the game reads off x, being shown those of some images.
        names: of the labels or attributes, in order.
        other: the shape of one x of the second domain, where there is one.
    """

    shape: tuple[int, ...] = ()
    labels: int = 0
    attributes: Mapping[str, float] = field(default_factory=dict)
    classes: int = 0
    names: tuple[str, ...] = ()
    other: tuple[int, ...] | None = None
