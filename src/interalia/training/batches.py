"""The batches of a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from interalia.data.dataset import Dataset
from interalia.data.sampler import Sampler
from interalia.data.store import Store, as_tensor

IMAGES_FOR_MEAN = 500  # as in the original program of ALI


def draw(stores: Sequence[Store], samplers: Sequence[Sampler]) -> Iterator[tuple[Tensor, ...]]:
    """An endless iterator of batches: (x,), (x, y), (a, b) of two domains, or (x, x_labeled, y)."""
    for indices in zip(*samplers, strict=True):
        yield tuple(part for store, index in zip(stores, indices, strict=True) for part in store[index])


def mean_image(dataset: Dataset) -> Tensor:
    """The mean of 500 training images, shape `dataset.shape`; a fixed random draw, because files may be sorted by class."""
    return as_tensor(dataset.train.x[dataset.train.rows(IMAGES_FOR_MEAN)]).mean(0)
