"""Loads the 1,797 handwritten digits of scikit-learn.

References:
    Optical recognition of handwritten digits, E. Alpaydin, C. Kaynak, 1998, https://doi.org/10.24432/C50P49
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import REGISTRY
from interalia.data.dataset import Dataset, Split
from interalia.data.images import resize, resize_note
from interalia.data.splits import stratified_split


def load(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Loads digits of 8x8 pixels: 1,297 for training, 200 for validation, 300 for test, with the same proportions of classes.

    Arguments:
        name: "digits".
        data_dir: not used, because scikit-learn contains the digits.
        image_size: pixels a side after resizing; None for 8.
        seed: not used.
        download: not used.
    """
    x, y = _content()
    whole = Split(np.concatenate(list(resize(x, image_size))), y)
    train, test, validation = (whole[rows] for rows in stratified_split(y, 300, 200))
    about = REGISTRY[name].page.format(fitted=resize_note(image_size))
    return Dataset(name, train, validation, test, classes=tuple("0123456789"), about=about)


@functools.cache  # parsing takes longer than everything else
def _content() -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns scikit-learn's digits, uint8, shape (1797, 1, 8, 8), with gray values scaled to 0 ... 255, and their
    labels, int64.
    """
    from sklearn.datasets import load_digits

    content = load_digits()
    return np.rint(content.images[:, None] * (255 / 16)).astype(np.uint8), content.target.astype(np.int64)
