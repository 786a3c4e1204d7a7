"""The batches of a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from interalia.data.sampler import Sampler
from interalia.data.store import Store


def draw(stores: Sequence[Store], samplers: Sequence[Sampler]) -> Iterator[tuple[Tensor, ...]]:
    """An endless iterator of batches: (x,), (x, y), (a, b) of two domains, or (x, x_labeled, y)."""
    for indices in zip(*samplers, strict=True):
        yield tuple(part for store, index in zip(stores, indices, strict=True) for part in store[index])
