"""The batches of a training, and the mean of its images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from interalia.data.sampler import Sampler
from interalia.data.store import Store


def draw(stores: Sequence[Store], samplers: Sequence[Sampler]) -> Iterator[tuple[Tensor, ...]]:
    """Yields batches without end: tuples of tensors (x,), (x, y) with labels y, (a, b) of two domains, or (x, x_labeled, y)
    of a semi-supervised game.

    Arguments:
        stores: the training data by index; a batch has the tensors of the first store, then those of the second.
        samplers: the indices of the examples in each batch; one sampler for each store.
    """
    for indices in zip(*samplers, strict=True):
        yield tuple(part for store, index in zip(stores, indices, strict=True) for part in store[index])
