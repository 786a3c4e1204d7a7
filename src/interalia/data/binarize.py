"""Binary images, drawn from gray values as probabilities."""

from __future__ import annotations

import dataclasses

import numpy as np

from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError

SEED = 0  # of the static draw: the same in every run, so that results can be compared
ROWS = 10_000  # images drawn at a time


def binarize(dataset: Dataset, how: str) -> Dataset:
    """The data set with binary pixels x ~ Bernoulli(gray value), drawn once with a fixed seed.

    Static binarization trains on this draw. Dynamic binarization draws the training images again in every batch, from their
    gray values. Both evaluate on the fixed draw. Their log-likelihoods differ by about a nat on MNIST and cannot be compared.

    References:
        On the quantitative analysis of deep belief networks, Ruslan Salakhutdinov, Iain Murray, 2008,
        https://doi.org/10.1145/1390156.1390266

    Arguments:
        dataset: a data set of images.
        how: "static" or "dynamic".

    Raises:
        UserError: the data are not images.

    Example:
        >>> from interalia import data
        >>> np.unique(binarize(data.load("digits"), "static").train.x).tolist()
        [0, 255]
    """
    if not dataset.is_image:
        raise UserError(
            f"`binarize` draws images of zeros and ones from gray values, and the data set {dataset.name!r} has vectors; "
            f"leave `binarize` out."
        )
    parts = (dataset.train, dataset.validation, dataset.test)
    train, validation, test = (_bernoulli(part, [SEED, i]) for i, part in enumerate(parts))
    each = "again in every training batch, and once for evaluation" if how == "dynamic" else "once"
    about = f"{dataset.about} Pixels are binary, drawn with the gray value as the probability, {each}."
    name, gray = f"{dataset.name}, binarized", dataset.train if how == "dynamic" else None
    return dataclasses.replace(
        dataset, train=train, validation=validation, test=test, name=name, about=about, binarized=how, gray=gray
    )


def _bernoulli(split: Split, seed: list[int]) -> Split:
    """The split with pixels of 0 or 255."""
    random = np.random.default_rng(seed)
    x = np.empty(split.x.shape, dtype=np.uint8)
    for start in range(0, len(x), ROWS):
        rows = split.x[start : start + ROWS]
        x[start : start + ROWS] = 255 * (random.random(rows.shape, dtype=np.float32) * 255 < rows)
    return Split(x, split.y)
