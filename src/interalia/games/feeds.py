"""The kinds of training batches: the data that a batch is drawn from, its tensors, and its requirements on the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from interalia.data.dataset import Dataset
from interalia.data.sampler import Sampler
from interalia.data.store import Store
from interalia.errors import UserError
from interalia.spaces import DataSpec

CPU = torch.device("cpu")
LABELED_ROWS = 8  # labeled examples in a batch of given rows


def conditions(data: DataSpec, dataset: Dataset, split: str) -> NDArray[Any] | None:
    """Returns the condition y of each example of a split: labels, shape (n,), or attributes, shape (n, k).

    None for an unconditional game.

    Arguments:
        data: the shapes and labels that the game is built for; it names the attributes.
        dataset: the data.
        split: 'train', 'validation' or 'test'.

    Raises:
        UserError: the data set lacks one of the attributes.
    """
    return dataset.conditions(split, data.attributes) if data.condition else None


class Data:
    """Batches (x,) of one data set.

    All methods are class methods: a game refers to the class, `Game.feeds`.
    """

    conditional = False  # True if batches may also hold y, a label or attributes

    @classmethod
    def domains(cls, dataset: Dataset) -> Sequence[Dataset]:
        """Returns the data sets that the examples of a batch are drawn from: by default `dataset` alone."""
        return [dataset]

    @classmethod
    def stores(
        cls,
        data: DataSpec,
        dataset: Dataset,
        device: torch.device = CPU,
        split: str = "train",
        labeled: int | None = None,
        seed: int = 0,
    ) -> tuple[Store, ...]:
        """Returns the sources of a batch, which return the examples at given indices; one or more tensors of a batch
        come from each.

        Arguments:
            data: the shapes and labels that the game is built for.
            dataset: the data.
            device: the device of the batches.
            split: 'train', 'validation' or 'test'; dynamic binarization applies to 'train' only.
            labeled: number of labeled examples of a partly labeled data set; None for all.
            seed: random seed of their choice.

        Raises:
            UserError: the data lack labels, attributes or a second domain that the batches need.
        """
        found, labeled_examples = [], cls.labeled_stores(data, dataset, device, labeled, seed)
        for one in cls.domains(dataset):
            gray = one.gray if split == "train" else None
            source, y = gray or getattr(one, split), conditions(data, one, split)
            found.append(Store(source, device, y=y, labels=data.condition, binarize=gray is not None))
        return (*found, *labeled_examples)

    @classmethod
    def labeled_stores(
        cls, data: DataSpec, dataset: Dataset, device: torch.device, labeled: int | None, seed: int
    ) -> list[Store]:
        """Returns the sources of labeled examples, in addition to the data sets; none by default.

        Arguments:
            data: the shapes and labels that the game is built for.
            dataset: the data.
            device: the device of the batches.
            labeled: number of labeled examples; None for all.
            seed: random seed of their choice.
        """
        return []

    @classmethod
    def samplers(cls, stores: Sequence[Store], batch: int, seed: int) -> tuple[Sampler, ...]:
        """Returns one sampler of batch indices for each source, with independent random orders.

        Arguments:
            stores: the sources, as `stores` returns them.
            batch: number of examples in a batch.
            seed: random seed of the orders.
        """
        return tuple(Sampler(len(store), batch, seed + i * 2**32) for i, store in enumerate(stores))

    @classmethod
    def batch_of(cls, data: DataSpec, dataset: Dataset, split: str, rows: Tensor) -> tuple[Tensor, ...]:
        """Returns a batch of chosen examples, on the CPU, with static binarization.

        Arguments:
            data: the shapes and labels that the game is built for.
            dataset: the data.
            split: 'train', 'validation' or 'test'.
            rows: the indices of the examples in the split, int64, shape (n,); modulo its length in a shorter data set.
        """
        stores = cls.stores(data, dataclasses.replace(dataset, gray=None), split=split)
        return tuple(value for store in stores for value in store[rows % len(store)])

    @classmethod
    def random_batch(cls, data: DataSpec, count: int = 16, seed: int = 1) -> tuple[Tensor, ...]:
        """Returns a batch of `count` random inputs and labels with the shapes that the game is built for, float32.

        Example:
            >>> [part.shape for part in PartlyLabeled.random_batch(DataSpec((3,), classes=2), 4)]
            [torch.Size([4, 3]), torch.Size([2, 3]), torch.Size([2, 2])]
        """
        random = torch.Generator().manual_seed(seed)
        x = torch.rand(count, *data.shape, generator=random)
        if not data.condition:
            return (x,)
        return x, one_hot(torch.randint(data.condition, (count,), generator=random), data.condition).float()

    @classmethod
    def data_spec(cls, data: DataSpec, dataset: Dataset) -> DataSpec:
        """Returns a copy of `data` with the shapes and labels of the data set."""
        return dataclasses.replace(data, shape=dataset.shape)

    @classmethod
    def check(cls, data: DataSpec, dataset: Dataset) -> None:
        """Raises a UserError if the data set lacks something that the batches need, here the labels of a conditional game."""
        if data.condition and not data.attributes:
            dataset.check_labels("choose another `game`")


class Labeled(Data):
    """Batches (x,), or (x, y) for a conditional game: y is a one-hot label or attributes, shape (n, condition)."""

    conditional = True


class PartlyLabeled(Data):
    """Batches (x, x_l, y) of one data set: unlabeled examples x, and labeled examples x_l with one-hot labels y."""

    @classmethod
    def labeled_stores(
        cls, data: DataSpec, dataset: Dataset, device: torch.device, labeled: int | None, seed: int
    ) -> list[Store]:
        """Returns one source of `labeled` labeled examples (None: all), with the same number of examples for each label."""
        chosen = dataset.labeled_subset(labeled, seed)
        return [Store(chosen, device, y=chosen.y, labels=data.classes)]

    @classmethod
    def samplers(cls, stores: Sequence[Store], batch: int, seed: int) -> tuple[Sampler, ...]:
        """Returns one sampler of batch indices for the unlabeled examples and one for the labeled, with independent
        random orders.

        If there are fewer labeled examples than `batch`, a batch has all of them.
        """
        return tuple(
            Sampler(len(store), min(batch, len(store)) if i else batch, seed + i * 2**32)
            for i, store in enumerate(stores)
        )

    @classmethod
    def batch_of(cls, data: DataSpec, dataset: Dataset, split: str, rows: Tensor) -> tuple[Tensor, ...]:
        """Returns a batch (x, x_l, y) with the unlabeled examples at the indices `rows` of a split, and 8 labeled
        training examples.
        """
        unlabeled, labeled = cls.stores(data, dataclasses.replace(dataset, gray=None), split=split)
        return (*unlabeled[rows], *labeled[torch.arange(min(LABELED_ROWS, len(labeled)))])

    @classmethod
    def random_batch(cls, data: DataSpec, count: int = 16, seed: int = 1) -> tuple[Tensor, ...]:
        """Returns a batch (x, x_l, y) of random inputs: `count` unlabeled ones, and half as many with one-hot labels;
        float32.
        """
        random = torch.Generator().manual_seed(seed)
        x, few = torch.rand(count, *data.shape, generator=random), count // 2
        y = torch.randint(data.classes, (few,), generator=random)
        return x, x[:few].flip(0), one_hot(y, data.classes).float()

    @classmethod
    def data_spec(cls, data: DataSpec, dataset: Dataset) -> DataSpec:
        """Returns a copy of `data` with the shape of the data set, its number of labels, and their names if `data` has
        none.
        """
        names = data.names or dataset.classes or tuple(map(str, range(dataset.labels)))
        return dataclasses.replace(data, shape=dataset.shape, classes=dataset.labels, names=names)

    @classmethod
    def check(cls, data: DataSpec, dataset: Dataset) -> None:
        """Raises a UserError if the data set has no labels."""
        dataset.check_labels("choose another `game`")


class Domains(Data):
    """Unpaired batches (a, b) of two data sets, drawn independently."""

    @classmethod
    def domains(cls, dataset: Dataset) -> Sequence[Dataset]:
        """Returns both domains, a = `dataset` and b = `dataset.other`; raises a UserError if there is no second one."""
        cls.check(DataSpec(), dataset)
        assert dataset.other is not None
        return [dataset, dataset.other]

    @classmethod
    def random_batch(cls, data: DataSpec, count: int = 16, seed: int = 1) -> tuple[Tensor, ...]:
        """Returns a batch (a, b) of `count` random inputs each, with the shapes of the two domains, float32."""
        random = torch.Generator().manual_seed(seed)
        shapes = (data.shape, data.other or data.shape)
        return tuple(torch.rand(count, *shape, generator=random) for shape in shapes)

    @classmethod
    def data_spec(cls, data: DataSpec, dataset: Dataset) -> DataSpec:
        """Returns a copy of `data` with the shapes of both data sets."""
        return dataclasses.replace(data, shape=dataset.shape, other=dataset.other_shape)

    @classmethod
    def check(cls, data: DataSpec, dataset: Dataset) -> None:
        """Raises a UserError if there is no second data set."""
        if dataset.other is None:
            raise UserError(
                f"a game of two domains needs two data sets, and {dataset.name!r} is one; name the second in `data_b`."
            )
