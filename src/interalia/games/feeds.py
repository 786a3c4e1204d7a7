"""The kinds of training batches: the tensors in a batch, the data that they are drawn from, and what the data must
have.
"""

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
    """Returns the condition y of each of the n examples of a split; None for an unconditional game.

    Labels have shape (n,), and k attributes shape (n, k).

    Arguments:
        data: the shapes and labels that the game is built for, and the names of the attributes.
        dataset: the data.
        split: 'train', 'validation' or 'test'.

    Raises:
        UserError: the data set lacks one of the attributes.
    """
    return dataset.conditions(split, data.attributes) if data.condition else None


class Data:
    """Base class of the kinds of training batches, and itself the kind with batches (x,) of one data set.

    A kind is used as a class, without instances: it is the attribute `feeds` of a game, and its methods are class
    methods.
    """

    conditional = False  # True if batches may also hold y, a label or attributes

    @classmethod
    def domains(cls, dataset: Dataset) -> Sequence[Dataset]:
        """Returns the data sets that the examples of a batch are drawn from: by default a list of `dataset` alone."""
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
        """Returns the stores that a batch is read from: one for each data set in `domains`, then those of
        `labeled_stores`.

        Each store returns a tuple of tensors for a batch of its row numbers. The training batch is all these tuples,
        concatenated to one.

        Arguments:
            data: the shapes and labels that the game is built for.
            dataset: the data.
            device: the device of the batches; the CPU by default.
            split: 'train', 'validation' or 'test'; with dynamic binarization, only batches of 'train' are binarized at
                random, and mirrored at random if the data set says so.
            labeled: number of labeled training examples; None for all. Only `PartlyLabeled` uses it.
            seed: random seed of the choice of labeled examples.

        Raises:
            UserError: the data lack labels, attributes or a second domain that the batches need.
        """
        found, labeled_examples = [], cls.labeled_stores(data, dataset, device, labeled, seed)
        for one in cls.domains(dataset):
            gray = one.gray if split == "train" else None
            mirror = one.mirrored and split == "train"
            source, y = gray or getattr(one, split), conditions(data, one, split)
            found.append(Store(source, device, y=y, labels=data.condition, binarize=gray is not None, mirror=mirror))
        return (*found, *labeled_examples)

    @classmethod
    def labeled_stores(
        cls, data: DataSpec, dataset: Dataset, device: torch.device, labeled: int | None, seed: int
    ) -> list[Store]:
        """Returns the stores of labeled examples, which follow those of the data sets in a batch; an empty list by
        default.

        Arguments:
            data: the shapes and labels that the game is built for.
            dataset: the data.
            device: the device of the batches.
            labeled: number of labeled examples; None for all.
            seed: random seed of the choice of labeled examples.
        """
        return []

    @classmethod
    def samplers(cls, stores: Sequence[Store], batch: int, seed: int) -> tuple[Sampler, ...]:
        """Returns one sampler of row numbers for each store, in which the rows are in independent random orders.

        Arguments:
            stores: the stores that the rows are of, as the method `stores` returns them.
            batch: number of examples in a batch.
            seed: random seed of the orders.
        """
        return tuple(Sampler(len(store), batch, seed + i * 2**32) for i, store in enumerate(stores))

    @classmethod
    def batch_of(cls, data: DataSpec, dataset: Dataset, split: str, rows: Tensor) -> tuple[Tensor, ...]:
        """Returns the batch of the examples with given row numbers, a tuple of tensors on the CPU.

        Pixels are not binarized again at random: they are those of the data set.

        Arguments:
            data: the shapes and labels that the game is built for.
            dataset: the data.
            split: 'train', 'validation' or 'test'.
            rows: the row numbers of the examples in the split, int64, shape (n,). In each store of the batch, such as
                that of a second domain, they are taken modulo its number of rows.
        """
        stores = cls.stores(data, dataclasses.replace(dataset, gray=None, mirrored=False), split=split)
        return tuple(value for store in stores for value in store[rows % len(store)])

    @classmethod
    def random_batch(cls, data: DataSpec, count: int = 16, seed: int = 1) -> tuple[Tensor, ...]:
        """Returns a batch of `count` random examples of the shapes in `data`, as the tuple of its tensors, float32.

        x is uniform on [0, 1). If the game is conditional, y is a random one-hot vector of length `data.condition`, even
        where the condition is attributes. `seed` is the random seed.

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
        """Returns a copy of `data` with the shape and units of x in the data set; subclasses also set the labels or the
        second domain.
        """
        return dataclasses.replace(data, **dataset.described)

    @classmethod
    def check(cls, data: DataSpec, dataset: Dataset) -> None:
        """Raises a UserError if the data set lacks something that the batches need: here labels, if the game is
        conditional on them.
        """
        if data.condition and not data.attributes and not dataset.clusters:
            dataset.check_labels("choose another `game`", every=True)


class Labeled(Data):
    """Batches (x,) of one data set, or (x, y) for a conditional game: y is a one-hot label or attributes.

    y has shape (n, `DataSpec.condition`).
    """

    conditional = True


class PartlyLabeled(Data):
    """Batches (x, x_l, y) of one data set: unlabeled examples x, and labeled examples x_l with one-hot labels y."""

    @classmethod
    def labeled_stores(
        cls, data: DataSpec, dataset: Dataset, device: torch.device, labeled: int | None, seed: int
    ) -> list[Store]:
        """Returns one store of `labeled` training examples with their labels; the same number is drawn for each label.

        Arguments:
            data: the labels that the game is built for.
            dataset: the data.
            device: the device of the batches.
            labeled: number of labeled examples; None for all.
            seed: random seed of the choice of examples.
        """
        chosen = dataset.labeled_subset(labeled, seed)
        return [Store(chosen, device, y=chosen.y, labels=data.classes, mirror=dataset.mirrored)]

    @classmethod
    def samplers(cls, stores: Sequence[Store], batch: int, seed: int) -> tuple[Sampler, ...]:
        """Returns two samplers of row numbers, of the unlabeled and of the labeled examples, in independent random
        orders.

        Arguments:
            stores: the stores of the unlabeled and of the labeled examples.
            batch: number of examples of each in a batch; if there are fewer labeled examples, a batch has all of them.
            seed: random seed of the orders.
        """
        return tuple(
            Sampler(len(store), min(batch, len(store)) if i else batch, seed + i * 2**32)
            for i, store in enumerate(stores)
        )

    @classmethod
    def batch_of(cls, data: DataSpec, dataset: Dataset, split: str, rows: Tensor) -> tuple[Tensor, ...]:
        """Returns a batch (x, x_l, y): x are the examples of `split` at the row numbers `rows`, and x_l labeled
        training examples.

        Whatever the split, x_l are the first 8 labeled examples of the training split, or all if there are fewer, and y
        are their one-hot labels. `data` has the number of labels.
        """
        unlabeled, labeled = cls.stores(data, dataclasses.replace(dataset, gray=None, mirrored=False), split=split)
        return (*unlabeled[rows], *labeled[torch.arange(min(LABELED_ROWS, len(labeled)))])

    @classmethod
    def random_batch(cls, data: DataSpec, count: int = 16, seed: int = 1) -> tuple[Tensor, ...]:
        """Returns a batch (x, x_l, y) of `count` random inputs x and half as many inputs x_l with one-hot labels y,
        float32.

        The shapes and the number of labels are those in `data`; `seed` is the random seed.
        """
        random = torch.Generator().manual_seed(seed)
        x, few = torch.rand(count, *data.shape, generator=random), count // 2
        y = torch.randint(data.classes, (few,), generator=random)
        return x, x[:few].flip(0), one_hot(y, data.classes).float()

    @classmethod
    def data_spec(cls, data: DataSpec, dataset: Dataset) -> DataSpec:
        """Returns a copy of `data` with the shape and units of x and the number of labels of the data set.

        The labels' names are those in `data` or, if it has none, those of the data set.
        """
        names = data.names or dataset.classes or tuple(map(str, range(dataset.labels)))
        return dataclasses.replace(data, **dataset.described, classes=dataset.labels, names=names)

    @classmethod
    def check(cls, data: DataSpec, dataset: Dataset) -> None:
        """Raises a UserError if the data set has no labels."""
        dataset.check_labels("choose another `game`")


class Domains(Data):
    """Unpaired batches (a, b) of two data sets, drawn independently."""

    @classmethod
    def domains(cls, dataset: Dataset) -> Sequence[Dataset]:
        """Returns a list of the data sets of both domains, a = `dataset` and b = `dataset.other`.

        Raises:
            UserError: there is no second data set.
        """
        cls.check(DataSpec(), dataset)
        assert dataset.other is not None
        return [dataset, dataset.other]

    @classmethod
    def random_batch(cls, data: DataSpec, count: int = 16, seed: int = 1) -> tuple[Tensor, ...]:
        """Returns a batch (a, b) of `count` random inputs of each domain, uniform on [0, 1), float32.

        The shapes are those in `data`, where b has that of a if `data` has one domain; `seed` is the random seed.
        """
        random = torch.Generator().manual_seed(seed)
        shapes = (data.shape, data.other or data.shape)
        return tuple(torch.rand(count, *shape, generator=random) for shape in shapes)

    @classmethod
    def data_spec(cls, data: DataSpec, dataset: Dataset) -> DataSpec:
        """Returns a copy of `data` with the shapes and units of x in both data sets, `dataset` and `dataset.other`."""
        other = {} if dataset.other is None else dataset.other.described
        return dataclasses.replace(
            data, **dataset.described, other=other.get("shape"), other_units=other.get("units", {})
        )

    @classmethod
    def check(cls, data: DataSpec, dataset: Dataset) -> None:
        """Raises a UserError if there is no second data set, `dataset.other`."""
        if dataset.other is None:
            raise UserError(
                f"a game of two domains needs two data sets, and {dataset.name!r} is one; name the second in `data_b`."
            )
