"""What every loader returns: plain named arrays, split once and for all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        x: images, uint8, shape (n, channels, height, width), often memory-mapped; or vectors, float32, shape (n, d).
        y: labels, int64, shape (n,), or None where the data has none.
    """

    x: NDArray[Any]
    y: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Mixture:
    """The truth behind a synthetic mixture of isotropic Gaussians of equal weight.

    Attributes:
        means: shape (modes, d).
        std: the standard deviation of every mode.
    """

    means: NDArray[np.float32]
    std: float


@dataclass(frozen=True)
class Dataset:
    """A data set with its three fixed parts.

    Attributes:
        name: the catalogue's name, or the folder's or file's name.
        train, validation, test: nothing is ever chosen on `test`.
        classes: the names of the labels 0, 1, ..., empty where there are none.
        mixture: the truth, for synthetic mixtures only.
        about: one or two plain sentences for the report: what it is, where it came from, how it was split and resized.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...] = ()
    mixture: Mixture | None = None
    about: str = ""
    attributes: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width) of an image, or (d,) of a vector."""
        return tuple(self.train.x.shape[1:])

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3
