"""The batches of a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from interalia.contexts.processes import ALONE, Team
from interalia.data.sampler import Sampler
from interalia.data.store import Store


def draw(stores: Sequence[Store], samplers: Sequence[Sampler], team: Team = ALONE) -> Iterator[tuple[Tensor, ...]]:
    """Yields batches without end, each a tuple of tensors: the examples at the next indices of each sampler.

    Batches are (x,), (x, y) with labels or attributes y, (a, b) of two domains, or (x, x_labeled, y) of semi-supervised
    games.

    Arguments:
        stores: the training data, which return tensors for indices; the tensors of all stores are joined in this order.
        samplers: iterators of indices, one for each store.
        team: the processes that train together; each yields its own rows of every batch.
    """
    for indices in zip(*samplers, strict=True):
        yield tuple(part for store, index in zip(stores, indices, strict=True) for part in store[team.rows(index)])
