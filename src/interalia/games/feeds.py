"""What games feed on: of which data a batch is drawn, how it is put together, and what the data have to have."""

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
FEW = 8  # labelled examples beside a batch of chosen rows


def conditions(data: DataSpec, dataset: Dataset, part: str) -> NDArray[Any] | None:
    """y of the members of 'train', 'validation' or 'test': their labels, shape (n,), or attributes, shape (n, k); None for an
    unconditional game.

    Raises:
        UserError: the data set lacks one of the attributes.
    """
    return dataset.conditions(part, data.attributes) if data.condition else None


class Data:
    """Batches (x,) of one data set.

    The methods are of the class, since a game names it: `Game.feeds`.
    """

    conditional = False  # whether y, a label or attributes, may stand beside x

    @classmethod
    def domains(cls, dataset: Dataset) -> Sequence[Dataset]:
        """The data sets that a batch is drawn from."""
        return [dataset]

    @classmethod
    def stores(
        cls,
        data: DataSpec,
        dataset: Dataset,
        device: torch.device = CPU,
        part: str = "train",
        labeled: int | None = None,
        seed: int = 0,
    ) -> tuple[Store, ...]:
        """What batches are drawn from, by index: one store for each of their sources.

        Arguments:
            data: what the game is built for.
            dataset: the data.
            device: where batches are wanted.
            part: 'train', 'validation' or 'test'; of the training part pixels are drawn anew where they are binarized so.
            labeled: how many labelled examples a partly labelled batch draws from; None for all.
            seed: of their choice.

        Raises:
            UserError: the data lack the labels, attributes or the second domain that batches have.
        """
        found, few = [], cls.few(data, dataset, device, labeled, seed)
        for one in cls.domains(dataset):
            gray = one.gray if part == "train" else None
            y = conditions(data, one, part)
            split = gray or getattr(one, part)
            found.append(Store(split, device, y=y, labels=data.condition, binarize=gray is not None))
        return (*found, *few)

    @classmethod
    def few(cls, data: DataSpec, dataset: Dataset, device: torch.device, labeled: int | None, seed: int) -> list[Store]:
        """Stores beside those of the data sets."""
        return []

    @classmethod
    def orders(cls, stores: Sequence[Store], batch: int, seed: int) -> tuple[Sampler, ...]:
        """The order in which each store is drawn, independent of each other's."""
        return tuple(Sampler(len(store), batch, seed + i * 2**32) for i, store in enumerate(stores))

    @classmethod
    def rows(cls, data: DataSpec, dataset: Dataset, part: str, rows: Tensor) -> tuple[Tensor, ...]:
        """The batch of these rows of 'train', 'validation' or 'test', on the CPU, pixels as they were drawn once."""
        stores = cls.stores(data, dataclasses.replace(dataset, gray=None), part=part)
        return tuple(value for store in stores for value in store[rows % len(store)])

    @classmethod
    def example(cls, data: DataSpec, count: int = 16, seed: int = 1) -> tuple[Tensor, ...]:
        """A batch of random numbers and labels, of the shapes that the game is built for, float32.

        Example:
            >>> [part.shape for part in PartlyLabeled.example(DataSpec((3,), classes=2), 4)]
            [torch.Size([4, 3]), torch.Size([2, 3]), torch.Size([2, 2])]
        """
        random = torch.Generator().manual_seed(seed)
        x = torch.rand(count, *data.shape, generator=random)
        if not data.condition:
            return (x,)
        return x, one_hot(torch.randint(data.condition, (count,), generator=random), data.condition).float()

    @classmethod
    def fitted(cls, data: DataSpec, dataset: Dataset) -> DataSpec:
        """What a game is built for, with what it takes over of the data."""
        return dataclasses.replace(data, shape=dataset.shape)

    @classmethod
    def check(cls, data: DataSpec, dataset: Dataset) -> None:
        """Raises a UserError unless the data have what batches are made of."""
        if data.condition and not data.attributes:
            dataset.check_labels("play another game")


class Labeled(Data):
    """Batches (x,), or (x, y) of a game that is conditional: y are labels, one-hot, or attributes, shape (n, condition)."""

    conditional = True


class PartlyLabeled(Data):
    """Batches (x, x_l, y): members of one data set, and beside them a few others with their labels y, one-hot."""

    @classmethod
    def few(cls, data: DataSpec, dataset: Dataset, device: torch.device, labeled: int | None, seed: int) -> list[Store]:
        chosen = dataset.labeled_subset(labeled, seed)
        return [Store(chosen, device, y=chosen.y, labels=data.classes)]

    @classmethod
    def orders(cls, stores: Sequence[Store], batch: int, seed: int) -> tuple[Sampler, ...]:
        """The few labelled examples may be fewer than a batch."""
        return tuple(
            Sampler(len(store), min(batch, len(store)) if i else batch, seed + i * 2**32)
            for i, store in enumerate(stores)
        )

    @classmethod
    def rows(cls, data: DataSpec, dataset: Dataset, part: str, rows: Tensor) -> tuple[Tensor, ...]:
        of_all, of_few = cls.stores(data, dataclasses.replace(dataset, gray=None), part=part)
        return (*of_all[rows], *of_few[torch.arange(min(FEW, len(of_few)))])

    @classmethod
    def example(cls, data: DataSpec, count: int = 16, seed: int = 1) -> tuple[Tensor, ...]:
        random = torch.Generator().manual_seed(seed)
        x, few = torch.rand(count, *data.shape, generator=random), count // 2
        y = torch.randint(data.classes, (few,), generator=random)
        return x, x[:few].flip(0), one_hot(y, data.classes).float()

    @classmethod
    def fitted(cls, data: DataSpec, dataset: Dataset) -> DataSpec:
        names = data.names or dataset.classes or tuple(map(str, range(dataset.labels)))
        return dataclasses.replace(data, shape=dataset.shape, classes=dataset.labels, names=names)

    @classmethod
    def check(cls, data: DataSpec, dataset: Dataset) -> None:
        dataset.check_labels("play another game")


class Domains(Data):
    """Batches (a, b): members of two data sets, drawn independently of each other."""

    @classmethod
    def domains(cls, dataset: Dataset) -> Sequence[Dataset]:
        cls.check(DataSpec(), dataset)
        assert dataset.other is not None
        return [dataset, dataset.other]

    @classmethod
    def example(cls, data: DataSpec, count: int = 16, seed: int = 1) -> tuple[Tensor, ...]:
        random = torch.Generator().manual_seed(seed)
        shapes = (data.shape, data.other or data.shape)
        return tuple(torch.rand(count, *shape, generator=random) for shape in shapes)

    @classmethod
    def fitted(cls, data: DataSpec, dataset: Dataset) -> DataSpec:
        return dataclasses.replace(data, shape=dataset.shape, other=dataset.other_shape)

    @classmethod
    def check(cls, data: DataSpec, dataset: Dataset) -> None:
        if dataset.other is None:
            raise UserError(
                f"a game of two domains takes two data sets, and {dataset.name!r} is one; name the second in `data_b`."
            )
