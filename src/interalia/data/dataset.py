"""Data sets: arrays of images or vectors with a fixed train, validation and test split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.scaling import Units
from interalia.data.sharded import CHUNK, ShardedArray
from interalia.errors import UserError, unknown

SHOWN, IMAGES = 6, 16  # names of labels, and images, in a description


@dataclass(frozen=True)
class Split:
    """One split of a data set (train, validation or test): its images or vectors, and their labels if it has any.

    Attributes:
        x: images, shape (n, channels, height, width), uint8 or float32 in [0, 1], often memory-mapped; volumes, (n, channels,
            depth, height, width), likewise; signals, float32, (n, channels, length); or vectors, float32, (n, d). Of prepared
            data a `ShardedArray`, which reads the rows at given indices.
        y: labels, int64, shape (n,), or None without labels. In a training split -1 is that of an unlabelled example.
        groups: the group of each example, such as a patient, as text, shape (n,); None if the data were split without
            groups. Each group is in one split.
    """

    x: NDArray[Any]
    y: NDArray[np.int64] | None = None
    groups: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        labels = "without labels" if self.y is None else "with labels"
        return f"Split of {len(self):,} examples of shape {tuple(self.x.shape[1:])}, {self.x.dtype}, {labels}"

    def __getitem__(self, rows: slice | NDArray[Any]) -> Split:
        """The split with the images or vectors at these indices alone, and their labels and groups."""
        x: Any = self.x.select(rows) if isinstance(self.x, ShardedArray) else self.x[rows]
        groups = None if self.groups is None else self.groups[rows]
        return Split(x, None if self.y is None else self.y[rows], groups)

    @property
    def labeled(self) -> Split:
        """The split without its unlabelled examples; the split itself if it has none, or no labels at all."""
        if self.y is None or (self.y >= 0).all():
            return self
        rows = np.flatnonzero(self.y >= 0)
        return self[slice(len(rows)) if rows[-1:] == len(rows) - 1 else rows]  # a slice copies nothing

    def rows(self, count: int | None, seed: int = 0) -> NDArray[np.int64]:
        """Draws different random indices of examples in the split, int64, shape (min(count, n),).

        The first ones are the same for every count.

        Arguments:
            count: how many of the n images or vectors to draw; None for all, in ascending order.
            seed: random seed.
        """
        from interalia.data.sampler import some_rows  # here, because it imports torch

        return some_rows(len(self), count, seed).numpy()


@dataclass(frozen=True)
class Mixture:
    """A mixture of isotropic Gaussian distributions (modes) of equal weight, from which synthetic data are drawn.

    Attributes:
        means: the mean of each mode, shape (modes, d).
        std: the standard deviation of every mode in each direction.
    """

    means: NDArray[np.float32]
    std: float


@dataclass(frozen=True)
class Dataset:
    """A data set of images or vectors, with fixed splits for training, validation and test.

    Attributes:
        name: the name in `interalia.data.REGISTRY`, or the name of the folder or file.
        train, validation, test: the splits; `test` is for the final evaluation alone.
        classes: the names of the labels 0, 1, ...; empty without labels.
        mixture: the distribution that synthetic data are drawn from; None for other data.
        attributes: "names" -> the names of k attributes, and "train", "validation" and "test" -> their values, 0 or 1, int8,
            shape (n, k); empty without attributes.
        about: one or two sentences for the report: content, source, splits and size.
        other: the data of the second domain, for games that translate between two domains; None for data of one domain.
        unlabeled_because: why the labels in the file cannot be used; empty if they can, or if there are none.
        paired: True if image i of the validation and test splits corresponds to image i of the other domain. Training data
            are never paired.
        binarized: "none"; "static" for binary pixels drawn once; "dynamic" for training images drawn again in every batch.
        gray: the gray values of the training images for dynamic binarization, or None.
        mirrored: True to mirror training images left to right at random in every batch.
        clusters: "train", "validation" and "test" -> the cluster of each example, int64, shape (n,), which conditional games
            get in place of its label; empty without clusters.
        units: how the numbers are converted to the data's own units, types and columns; None if they are as they were read.
        encoded: a digest of the files that images were decoded from, for the fingerprint; empty if the numbers themselves
            were read.

    Raises:
        UserError: a validation or test example has the label -1.
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
    mirrored: bool = False
    units: Units | None = None
    clusters: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("validation", "test"):
            if ((y := getattr(self, part).y) is not None) and (y < 0).any():
                raise UserError(f"{(y < 0).sum():,} {part} examples of {self.name!r} have no label; leave them out.")

    def __repr__(self) -> str:
        kind = {1: "vectors", 2: "signals", 3: "images", 4: "volumes"}.get(len(self.shape), "examples")
        counts = " / ".join(f"{len(part):,}" for part in (self.train, self.validation, self.test))
        shape, dtype = "x".join(map(str, self.shape)), self.train.x.dtype
        names = (
            f" ({', '.join(self.classes[:SHOWN])}{', ...' if len(self.classes) > SHOWN else ''})"
            if self.classes
            else ""
        )
        labels = f"{self.labels} labels{names}" if self.labels else "no labels"
        more = f", {len(self.attributes['names'])} attributes" if self.attributes else ""
        scaling = self.units.scaling if self.units else None
        scaled = f"scaled by {scaling.kind} of {scaling.per}" if scaling else "numbers as they were read"
        domain = "" if self.other is None else f", second domain of {len(self.other.train):,} for training"
        return (
            f"Dataset {self.name!r}: {kind} of {shape}, {dtype}, {counts} for training, validation and test\n"
            f"{labels}{more}{domain}; {scaled}\n"
            f"{self.about or 'no description'}"
        )

    def _repr_html_(self) -> str:
        """Returns the description and a figure of the first training images as HTML, which a notebook shows."""
        from html import escape

        from interalia.data.images import thumbnails

        text = f"<pre style='white-space: pre-wrap'>{escape(repr(self))}</pre>"
        return f"{text}{thumbnails(self.train.x[:IMAGES])}" if self.is_image and self.shape[0] in (1, 3, 4) else text

    def with_other(self, other: Dataset, name: str) -> Dataset:
        """Returns a data set of two domains that are not paired: this one, called `name`, with `other` as the second.

        Raises:
            UserError: their images differ in shape.
        """
        if self.shape != other.shape:
            raise UserError(
                f"the two domains differ in shape (channels, height, width): {self.name} has {self.shape} and {other.name} "
                f"has {other.shape}; give a common `image_size`, and convert one of them if the channels differ."
            )
        about = f"Domain a: {self.about} Domain b: {other.about} They are not paired."
        return replace(self, name=name, other=other, paired=False, about=about)

    @property
    def binary(self) -> bool:
        """True if all numbers in the training data are 0 or 1; in uint8 images 0 or 255."""
        x = self.train.x
        one = 255 if x.dtype == np.uint8 else 1
        return all(bool(np.isin(x[i : i + CHUNK], (0, one)).all()) for i in range(0, len(x), CHUNK))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: (d,) of a vector, (channels, length) of a signal, (channels, height, width) of an image,
        or (channels, depth, height, width) of a volume.
        """
        return tuple(self.train.x.shape[1:])

    def conditions(self, split: str, attributes: Iterable[str] = ()) -> NDArray[Any] | None:
        """Returns the variables of a split that a game can be conditioned on: some attributes, or its clusters or labels.

        Arguments:
            split: "train", "validation" or "test".
            attributes: names of k attributes; empty for the clusters or, without clusters, the labels.

        Returns:
            The attributes, 0 or 1, int8, shape (n, k). Without names the clusters or labels, int64, shape (n,), or None
            without either.

        Raises:
            UserError: the data set has no such attribute.
        """
        known, wanted = [str(name) for name in self.attributes.get("names", ())], list(attributes)
        if not wanted:
            return self.clusters[split] if self.clusters else getattr(self, split).y
        if not known:
            raise UserError(
                f"the data set {self.name!r} has no attributes; leave the names of attributes out of `condition_on`."
            )
        for name in wanted:
            if name not in known:
                raise unknown("attribute", name, known)
        return self.attributes[split][:, [known.index(name) for name in wanted]]

    def labeled_subset(self, count: int | None, seed: int = 0) -> Split:
        """Draws a random subset of the training split with the same number of images for each label.

        Arguments:
            count: number of images, a multiple of the number of labels; None for all training images with a label.
            seed: random seed.

        Raises:
            UserError: there are no labels, `count` is no multiple of their number, or a label has too few images.
        """
        self.check_labels("choose other data")
        train = self.train.labeled
        assert train.y is not None
        if count is None:
            return train
        if count % self.labels or count < self.labels:
            raise UserError(
                f"`num_labeled` is {count}, and it must be a multiple of {self.labels}, the number of labels, for equally "
                f"many of each; give for example `num_labeled={max(1, count // self.labels) * self.labels}`."
            )
        random, each = np.random.default_rng(seed), count // self.labels
        rows = [np.flatnonzero(train.y == label) for label in range(self.labels)]
        for label, of_label in enumerate(rows):
            if len(of_label) < each:
                raise UserError(
                    f"`num_labeled` needs {each} images of each label, and of label "
                    f"{self.classes[label] if self.classes else label} there are {len(of_label)}; give fewer, or leave that "
                    f"label out of the data."
                )
        return train[np.sort(np.concatenate([random.permutation(of_label)[:each] for of_label in rows]))]

    def check_labels(self, instead: str, every: bool = False) -> None:
        """Raises a UserError unless there are two or more different labels.

        Arguments:
            instead: the end of the error message, which is advice in place of other data, such as "leave `classify` out".
            every: True to also raise one if a training example has no label.
        """
        if self.labels > 1 and not (every and self.train.labeled is not self.train):
            return
        found = (
            "training examples without a label; leave them out" if self.labels else "no labels; choose data that has"
        )
        if self.unlabeled_because:
            found = f"labels that cannot be used, because {self.unlabeled_because}"
        if self.labels == 1:
            found = f"one label alone, {self.classes[0] if self.classes else 0}; choose data with 2 or more"
        raise UserError(f"the data set {self.name!r} has {found}, or {instead}.")

    def smaller(self, split: str) -> int:
        """Returns the number of examples in a split ("train", "validation" or "test"), of the domain that has fewer."""
        return min(len(getattr(domain, split)) for domain in (self, self.other) if domain is not None)

    @property
    def is_image(self) -> bool:
        """True if the data are images, False if they are vectors, signals or volumes."""
        return len(self.shape) == 3

    @property
    def described(self) -> dict[str, Any]:
        """The fields of `interalia.spaces.DataSpec` that every game has: "shape", and "units" as values of JSON."""
        return {"shape": self.shape, "units": self.units.values() if self.units else {}}

    @property
    def other_shape(self) -> tuple[int, ...] | None:
        """The shape of one image or vector of the second domain; None if there is one domain."""
        return None if self.other is None else self.other.shape

    @property
    def labels(self) -> int:
        """The number of classes, i.e. of different labels; 0 without labels."""
        return 0 if self.train.y is None else len(self.classes) or int(self.train.y.max()) + 1
