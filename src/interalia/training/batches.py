"""The batches of a training: what is kept for it, in which order it is drawn, and how a batch is put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from interalia.data.dataset import Dataset
from interalia.data.sampler import Sampler
from interalia.data.store import Store, as_tensor
from interalia.games import Game
from interalia.runs import Run

IMAGES_FOR_MEAN = 500  # as the original ALI draws the mean image


def stores(game: Game, dataset: Dataset, run: Run, device: torch.device) -> tuple[Store, ...]:
    """The training data of a game, by index: one store a domain, and one of the labelled images of a semi-supervised game.

    Raises:
        UserError: the data lack the labels or attributes that the game is told.
    """
    first = dataset.grey or dataset.train
    domains = [first] if game.other is None or dataset.other is None else [first, dataset.other.train]
    y = dataset.conditions("train", game.attributes) if game.labels else None
    fresh = dataset.grey is not None
    found = tuple(Store(split, device, y=y, labels=game.labels, binarise=fresh) for split in domains)
    if not game.semi:
        return found
    chosen = dataset.labelled(run.labelled, run.seed)
    return (*found, Store(chosen, device, y=chosen.y, labels=game.classes))


def orders(stores: Sequence[Store], run: Run, semi: bool = False) -> tuple[Sampler, ...]:
    """The order in which each store is drawn, independent of each other's; the few labelled images of a semi-supervised game
    may be fewer than a batch."""
    samplers = []
    for i, store in enumerate(stores):
        size = min(run.batch, len(store)) if semi and i else run.batch
        samplers.append(Sampler(len(store), size, run.seed + i * 2**32))
    return tuple(samplers)


def draw(stores: Sequence[Store], samplers: Sequence[Sampler]) -> Iterator[tuple[Tensor, ...]]:
    """Batches (x,), (x, y), (a, b) of two domains, or (x, x_l, y), for ever."""
    for indices in zip(*samplers, strict=True):
        yield tuple(part for store, index in zip(stores, indices, strict=True) for part in store[index])


def mean_image(dataset: Dataset) -> Tensor:
    """The mean of some training images, shape `dataset.shape`: of a fixed draw, since files may lie sorted by class."""
    return as_tensor(dataset.train.x[dataset.train.rows(IMAGES_FOR_MEAN)]).mean(0)
