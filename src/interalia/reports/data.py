"""A trained run's folder, its data, and the held-out examples that reports show."""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import TYPE_CHECKING

import torch

from interalia.data import fingerprints
from interalia.data.store import as_tensor
from interalia.errors import UserError, printable
from interalia.games import Game, feeds

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.runs.folder import Folder
    from interalia.runs.loading import Trained


def folder_of(trained: Trained) -> Folder:
    """Returns the folder of a run.

    Raises:
        UserError: the game was loaded from a file of weights alone.
    """
    if trained.folder is None:
        raise UserError("a file of weights has no folder for results; give the run's folder.")
    return trained.folder


def dataset_of(trained: Trained) -> Dataset:
    """Returns a run's data. If they have changed since the training, a warning is printed and added to their `about`.

    Raises:
        UserError: the data cannot be loaded.
    """
    try:
        dataset = trained.dataset
    except UserError as error:
        raise UserError(f"the training data of this run cannot be loaded: {error}") from None
    if trained.folder is None or (saved := trained.folder.fingerprint()) is None:
        return dataset
    if other := fingerprints.difference(saved, fingerprints.fingerprint(dataset)):
        warning = (
            f"The data have changed since the run in {trained.folder.path} was trained ({other}): some held-out examples may "
            f"have been trained on."
        )
        warn(warning)
        return dataclasses.replace(dataset, about=f"{dataset.about} {warning}".strip())
    return dataset


@functools.cache
def warn(sentence: str) -> None:
    """Prints a sentence to stderr, only at the first call with it in a process."""
    print(printable(sentence), file=sys.stderr)


def held_out_examples(dataset: Dataset, count: int, seed: int = 0) -> torch.Tensor:
    """Returns `count` examples of the test split, chosen by the seed, shape (count, *shape)."""
    return as_tensor(dataset.test.x[dataset.test.rows(count, seed)])


def held_out_conditions(game: Game, dataset: Dataset, count: int, seed: int = 0) -> torch.Tensor | None:
    """Returns the conditions y of the examples that `held_out_examples` returns: labels or attributes.

    It is None for an unconditional game.
    """
    y = feeds.conditions(game.data, dataset, "test")
    return None if y is None else torch.from_numpy(y[dataset.test.rows(count, seed)])


def binarized_images(dataset: Dataset, split: str, count: int | None, seed: int) -> tuple[torch.Tensor, str]:
    """Returns `count` images of a split, chosen by the seed (None: all), and the text on how they are binarized.

    Raises:
        UserError: the split is empty.
    """
    part = getattr(dataset, split)
    if not len(part):
        raise UserError(f"the {split} split of {dataset.name!r} is empty; use another split.")
    x = as_tensor(part.x[part.rows(count, seed)])
    return x, "dynamic in training, drawn once here" if dataset.binarized == "dynamic" else dataset.binarized
