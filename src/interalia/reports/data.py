"""A trained run's folder, its data, and the held-out examples that its report shows."""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from interalia.data import fingerprints
from interalia.data.store import as_tensor
from interalia.disk import regular
from interalia.errors import UserError, printable
from interalia.games import Game, feeds

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.runs.folder import Folder
    from interalia.runs.loading import Loaded


def folder_of(trained: Loaded) -> Folder:
    """Returns the folder of a run, which contains its files and to which its results are written.

    Raises:
        UserError: the run has no folder, since its game was loaded from a file of weights alone.
    """
    if trained.folder is None:
        raise UserError("a file of weights has no folder for results; give the run's folder.")
    return trained.folder


def dataset_of(trained: Loaded) -> Dataset:
    """Returns the data that a run was trained on.

    If they differ from the data at the time of the training, by fingerprints of both, held-out examples that the run was
    trained on are left out, and a warning is printed and added to the field `about` of the returned data. Without a saved
    fingerprint there is no such check.

    Raises:
        UserError: the data cannot be loaded, or the run was trained on all of their held-out examples.
    """
    try:
        dataset = trained.dataset
    except UserError as error:
        raise UserError(f"the training data of this run cannot be loaded: {error}") from None
    if trained.folder is None or (saved := trained.folder.fingerprint()) is None:
        return dataset
    if other := fingerprints.difference(saved, fingerprints.fingerprint(dataset)):
        known = training_digests(trained.folder)
        which = "some held-out examples may have been trained on"
        if known is not None:
            dataset, count = fingerprints.without_trained(dataset, known)
            which = f"{count:,} held-out examples that it was trained on are left out"
        warning = f"The data have changed since the run in {trained.folder.path} was trained ({other}): {which}."
        warn(warning)
        return dataclasses.replace(dataset, about=f"{dataset.about} {warning}".strip())
    return dataset


def training_digests(folder: Folder) -> NDArray[np.uint64] | None:
    """Returns the digests of the examples that a run was trained on, uint64, shape (n,); None if its folder has no readable
    file of them.
    """
    try:
        found = np.load(regular(folder.trained_on), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.dtype == np.uint64 and found.ndim == 1 else None


@functools.cache
def warn(sentence: str) -> None:
    """Prints a warning to stderr; one that this process has printed before is not repeated."""
    print(printable(sentence), file=sys.stderr)


def held_out_examples(dataset: Dataset, count: int | None, seed: int = 0) -> torch.Tensor:
    """Returns `count` random examples of the test split, shape (count, *shape); the same `seed` gives the same ones.

    If `count` is None, it returns all of them, in their order.
    """
    return as_tensor(dataset.test.x[dataset.test.rows(count, seed)])


def held_out_conditions(game: Game, dataset: Dataset, count: int | None, seed: int = 0) -> torch.Tensor | None:
    """Returns the labels, shape (count,), or attributes, shape (count, attributes), of test examples as conditions of a game.

    They are those of the examples that `held_out_examples` returns for the same `dataset`, `count` and `seed`; None for an
    unconditional game.
    """
    y = feeds.conditions(game.data, dataset, "test")
    return None if y is None else torch.from_numpy(y[dataset.test.rows(count, seed)])


def binarized_images(dataset: Dataset, split: str, count: int | None, seed: int) -> tuple[torch.Tensor, str]:
    """Returns images of a split, as they are in the data set, and a text on how the data set was binarized.

    The text is "none" (the images are not binary), "static", or a phrase that begins with "dynamic". The images are `count`
    random ones, which `seed` chooses, or all if `count` is None, shape (count, *shape).

    Raises:
        UserError: the split is empty.
    """
    part = getattr(dataset, split)
    if not len(part):
        raise UserError(f"the {split} split of {dataset.name!r} is empty; use another split.")
    x = as_tensor(part.x[part.rows(count, seed)])
    return x, "dynamic in training, drawn once here" if dataset.binarized == "dynamic" else dataset.binarized
