"""The batches of a training, drawn for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from interalia.data.dataset import Dataset
from interalia.data.sampler import Sampler
from interalia.data.store import Store, as_tensor

IMAGES_FOR_MEAN = 500  # as the original ALI draws the mean image


def draw(stores: Sequence[Store], samplers: Sequence[Sampler]) -> Iterator[tuple[Tensor, ...]]:
    """Batches (x,), (x, y), (a, b) of two domains, or (x, x_l, y), for ever."""
    for indices in zip(*samplers, strict=True):
        yield tuple(part for store, index in zip(stores, indices, strict=True) for part in store[index])


def mean_image(dataset: Dataset) -> Tensor:
    """The mean of some training images, shape `dataset.shape`: of a fixed draw, since files may lie sorted by class."""
    return as_tensor(dataset.train.x[dataset.train.rows(IMAGES_FOR_MEAN)]).mean(0)
