"""Binarization: binary images, drawn with the gray values of images as probabilities."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError

SEED = 0  # of the fixed binary images: the same in every run, so that results can be compared
ROWS = 10_000  # images drawn at a time


def binarize(dataset: Dataset, how: str) -> Dataset:
    """Draws binary images with a fixed seed: a pixel is 255 with probability gray value / 255, else 0.

    Static binarization trains on these images. Dynamic binarization draws binary training images again in every batch, from
    the gray values. Both evaluate on the images with the fixed seed. Their log-likelihoods differ by about a nat on MNIST and
    cannot be compared.

    References:
        On the quantitative analysis of deep belief networks, Ruslan Salakhutdinov, Iain Murray, 2008,
        https://doi.org/10.1145/1390156.1390266

    Arguments:
        dataset: a data set of images.
        how: "static" or "dynamic".

    Returns:
        The data set with these images in all splits; for "dynamic" with the gray training images in `gray` too.

    Raises:
        UserError: the data are not images, or are standardized, so that their numbers are no probabilities.

    Example:
        >>> from interalia import data
        >>> np.unique(binarize(data.load("digits"), "static").train.x).tolist()
        [0, 255]
    """
    if not dataset.is_image:
        raise UserError(
            f"`binarize` draws images of zeros and ones from gray values, and the data set {dataset.name!r} has vectors, "
            f"signals or volumes; "
            f"leave `binarize` out."
        )
    if dataset.units and dataset.units.scaling and dataset.units.scaling.support == "real":
        raise UserError(
            "`binarize` takes gray values in [0, 1] as probabilities; give `scale='min-max'`, or leave it out."
        )
    splits = enumerate(("train", "validation", "test"))
    drawn: dict[str, Any] = {split: _bernoulli(getattr(dataset, split), [SEED, i]) for i, split in splits}
    each = "again in every training batch, and once for evaluation" if how == "dynamic" else "once"
    about = f"{dataset.about} Pixels are binary, drawn with the gray value as the probability, {each}."
    name, gray = f"{dataset.name}, binarized", dataset.train if how == "dynamic" else None
    return dataclasses.replace(dataset, **drawn, name=name, about=about, binarized=how, gray=gray, units=None)


def _bernoulli(split: Split, seed: list[int]) -> Split:
    """Draws each pixel of a split: 255 with probability gray value / 255, else 0.

    Arguments:
        split: images, uint8, or float32 with gray values from 0 to 1 in place of 255.
        seed: integers that determine the random numbers.

    Returns:
        The binary images, uint8, with the same labels.
    """
    random = np.random.default_rng(seed)
    x = np.empty(split.x.shape, dtype=np.uint8)
    for start in range(0, len(x), ROWS):
        rows = split.x[start : start + ROWS]
        white = 255 if rows.dtype == np.uint8 else 1
        x[start : start + ROWS] = 255 * (random.random(rows.shape, dtype=np.float32) * white < rows)
    return Split(x, split.y)
