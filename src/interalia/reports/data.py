"""A trained run's folder and its data, and the members of it that are looked at."""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import TYPE_CHECKING

import torch

from interalia.data import fingerprints
from interalia.data.store import as_tensor
from interalia.errors import UserError
from interalia.games import Game, feeds

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.runs.folder import Folder
    from interalia.runs.loading import Trained


def folder_of(trained: Trained) -> Folder:
    """The folder of a run.

    Raises:
        UserError: the game was loaded from a bare file of weights.
    """
    if trained.folder is None:
        raise UserError("a bare file of weights has no folder for results; give the run's folder.")
    return trained.folder


def dataset_of(trained: Trained) -> Dataset:
    """The data that a run was trained on; where these are others by now, it is said on stderr and in their `about`."""
    try:
        dataset = trained.dataset
    except UserError as error:
        raise UserError(f"the data that this run was trained on cannot be loaded: {error}") from None
    if trained.folder is None or (saved := trained.folder.fingerprint()) is None:
        return dataset
    if other := fingerprints.difference(saved, fingerprints.fingerprint(dataset)):
        said = (
            f"The data are not those that the run in {trained.folder.path} was trained on ({other}): some of what is held "
            f"out now may have been trained on."
        )
        warn(said)
        return dataclasses.replace(dataset, about=f"{dataset.about} {said}".strip())
    return dataset


@functools.cache
def warn(sentence: str) -> None:
    """Says a sentence on stderr, once."""
    print(sentence, file=sys.stderr)


def held_out_examples(dataset: Dataset, count: int, seed: int = 0) -> torch.Tensor:
    """`count` members of the test split, drawn by seed, shape (count, *shape)."""
    return as_tensor(dataset.test.x[dataset.test.rows(count, seed)])


def held_out_conditions(game: Game, dataset: Dataset, count: int, seed: int = 0) -> torch.Tensor | None:
    """What a conditional game is told of the members that `held_out` draws; None for a game that is told nothing."""
    y = feeds.conditions(game.data, dataset, "test")
    return None if y is None else torch.from_numpy(y[dataset.test.rows(count, seed)])


def binarized_images(dataset: Dataset, split: str, count: int | None, seed: int) -> tuple[torch.Tensor, str]:
    """Images of a split, all or `count` drawn by the seed, and by which rule they are binarized."""
    part = getattr(dataset, split)
    if not len(part):
        raise UserError(f"the {split} split of {dataset.name!r} is empty; measure on another split.")
    x = as_tensor(part.x[part.rows(count, seed)])
    return x, "dynamic in training, drawn once here" if dataset.binarized == "dynamic" else dataset.binarized
