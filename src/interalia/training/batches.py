"""The batches of a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from interalia.data.sampler import Sampler
from interalia.data.store import Store


def draw(stores: Sequence[Store], samplers: Sequence[Sampler]) -> Iterator[tuple[Tensor, ...]]:
    """Yields batches without end, each a tuple of tensors: the examples at the next indices of each sampler.

    Batches are (x,), (x, y) with labels or attributes y, (a, b) of two domains, or (x, x_labeled, y) of semi-supervised
    games.

    Arguments:
        stores: the training data, which return tensors for indices; the tensors of all stores are joined in this order.
        samplers: iterators of indices, one for each store.
    """
    for indices in zip(*samplers, strict=True):
        yield tuple(part for store, index in zip(stores, indices, strict=True) for part in store[index])
