"""Images of zeros and ones from images of gray values, each pixel drawn with its gray value as the probability of a one."""

from __future__ import annotations

import dataclasses

import numpy as np

from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError

SEED = 0  # of the draw of what is held fixed: the same in every run, so that their numbers can be compared
ROWS = 10_000  # drawn at a time


def binarize(dataset: Dataset, how: str) -> Dataset:
    """The data set with every pixel drawn once, x ~ Bernoulli(gray value), always by the same seed.

    What is trained on is that draw ("static"), or a draw of its own in every batch ("dynamic"), for which the gray values are
    kept; what is measured on is always the fixed draw. Log-likelihoods of the two kinds differ by about a nat on MNIST, and
    cannot be compared.

    References:
        On the quantitative analysis of deep belief networks, Ruslan Salakhutdinov, Iain Murray, 2008,
        https://doi.org/10.1145/1390156.1390266

    Arguments:
        dataset: of images.
        how: "static" or "dynamic".

    Raises:
        UserError: the data are no images.

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
    train, validation, test = (_drawn(part, [SEED, i]) for i, part in enumerate(parts))
    each = "in every batch anew to train on, and once to measure on" if how == "dynamic" else "once"
    about = f"{dataset.about} Pixels are zeros and ones, drawn with the gray value as the probability, {each}."
    name, gray = f"{dataset.name}, binarized", dataset.train if how == "dynamic" else None
    return dataclasses.replace(
        dataset, train=train, validation=validation, test=test, name=name, about=about, binarized=how, gray=gray
    )


def _drawn(split: Split, seed: list[int]) -> Split:
    random = np.random.default_rng(seed)
    x = np.empty(split.x.shape, dtype=np.uint8)
    for start in range(0, len(x), ROWS):
        rows = split.x[start : start + ROWS]
        x[start : start + ROWS] = 255 * (random.random(rows.shape, dtype=np.float32) * 255 < rows)
    return Split(x, split.y)
