"""What every loader returns: plain named arrays, split once and for all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.errors import UserError, unknown


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

    def __getitem__(self, rows: slice | NDArray[Any]) -> Split:
        """Those rows."""
        return Split(self.x[rows], None if self.y is None else self.y[rows])

    def rows(self, count: int | None, seed: int = 0) -> NDArray[np.int64]:
        """Which rows a seed draws, at most `count` of them (None: all), in ascending order."""
        from interalia.data.sampler import some_rows  # here, for it imports torch

        return some_rows(len(self), count, seed).numpy()


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
        attributes: 'names', shape (k,), and for 'train', 'validation' and 'test' 0 or 1 of each, int8, shape (n, k); empty
            where there are none.
        about: one or two plain sentences for the report: what it is, where it came from, how it was split and resized.
        other: the second domain, for games that translate between two; None where there is none.
        unlabeled_because: why there are no labels where the file holds some: which cannot be used, and how they could be.
        paired: whether member i of the held-out parts is the truth to member i of the other domain's. What is trained on
            is never paired.
        binarized: "none"; "static" where pixels are zeros and ones, drawn once; "dynamic" where those trained on are drawn anew.
        gray: the gray values that training images are drawn from anew, or None.
        encoded: a digest of the files that images were decoded from, by which they are known again; empty where what was
            read are the numbers themselves.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...] = ()
    mixture: Mixture | None = None
    about: str = ""
    attributes: dict[str, NDArray[Any]] = field(default_factory=dict)
    other: Dataset | None = None
    paired: bool = False
    unlabeled_because: str = ""
    binarized: str = "none"
    gray: Split | None = None
    encoded: str = ""

    @property
    def binary(self) -> bool:
        """Whether every number of the training data is 0 or 1, as a game sees it."""
        x = self.train.x
        one = 255 if x.dtype == np.uint8 else 1
        return all(bool(np.isin(rows, (0, one)).all()) for rows in (x[:100], x))

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width) of an image, or (d,) of a vector."""
        return tuple(self.train.x.shape[1:])

    def conditions(self, part: str, attributes: Iterable[str] = ()) -> NDArray[Any] | None:
        """What a conditional game is told of the members of 'train', 'validation' or 'test': those attributes of each, shape
        (n, k), or where none are named the labels, shape (n,), or None.

        Raises:
            UserError: the data set has no such attribute.
        """
        known, wanted = [str(name) for name in self.attributes.get("names", ())], list(attributes)
        if wanted and not known:
            raise UserError(f"the data set {self.name!r} has no attributes; leave `attributes` out.")
        for name in wanted:
            if name not in known:
                raise unknown("attribute", name, known)
        if wanted:
            return self.attributes[part][:, [known.index(name) for name in wanted]]
        split: Split = getattr(self, part)
        return split.y

    def labeled_subset(self, count: int | None, seed: int = 0) -> Split:
        """Training images with their labels, `count` of them, drawn by seed, equally many of each label; None for all.

        Raises:
            UserError: there are no labels, `count` is no multiple of their number, or a label has too few images.
        """
        self.check_labels("choose other data")
        assert self.train.y is not None
        if count is None:
            return self.train
        if count % self.labels or count < self.labels:
            raise UserError(
                f"`num_labeled` is {count}, and it must be a multiple of {self.labels}, the number of labels, so that there are "
                f"equally many of each; give for example `num_labeled={max(1, count // self.labels) * self.labels}`."
            )
        y, each = np.asarray(self.train.y), count // self.labels
        random = np.random.default_rng(seed)
        rows: list[NDArray[np.int64]] = []
        for label in range(self.labels):
            own = np.flatnonzero(y == label)
            if len(own) < each:
                name = self.classes[label] if self.classes else label
                raise UserError(
                    f"`num_labeled` asks for {each} images of each label, and of label {name} there are {len(own)}; give fewer, "
                    f"or leave that label out of the data."
                )
            rows.append(random.permutation(own)[:each])
        return self.train[np.sort(np.concatenate(rows))]

    def check_labels(self, instead: str) -> None:
        """Raises a UserError unless there are two or more labels; `instead` is what can be done without them."""
        if self.labels > 1:
            return
        found = (
            f"labels that cannot be used, for {self.unlabeled_because}"
            if self.unlabeled_because
            else "no labels; choose data that has"
        )
        if self.labels == 1:
            found = f"one label alone, {self.classes[0] if self.classes else 0}; choose data with 2 or more"
        raise UserError(f"the data set {self.name!r} has {found}, or {instead}.")

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def other_shape(self) -> tuple[int, ...] | None:
        """The shape of one x of the second domain, where there is one."""
        return None if self.other is None else self.other.shape

    @property
    def labels(self) -> int:
        """How many different labels there are; 0 where the data has none."""
        if self.train.y is None:
            return 0
        return len(self.classes) or int(self.train.y.max()) + 1
