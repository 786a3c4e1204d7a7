"""Makes the toy example of adversarial variational Bayes (AVB): four images of 2x2 pixels, each with one white pixel.

References:
    Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars Mescheder,
    Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722 (the synthetic example)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interalia.data import REGISTRY
from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError

COPIES = 512  # of each training image, so that usual batch sizes can be drawn


def load(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Makes images of 2x2 pixels with one white pixel: 512 copies of each of the four for training, one for validation and
    one for test.

    Arguments:
        name: "four-pixels".
        data_dir: not used, because the images are made here.
        image_size: None or 2.
        seed: not used.
        download: not used.

    Raises:
        UserError: `image_size` is neither None nor 2.
    """
    if image_size not in (None, 2):
        raise UserError(f"the images of {name!r} have 2x2 pixels, and `image_size` is {image_size}; leave it out.")
    y = np.arange(4, dtype=np.int64)
    x = (255 * np.eye(4)).astype(np.uint8).reshape(4, 1, 2, 2)
    train = Split(np.tile(x, (COPIES, 1, 1, 1)), np.tile(y, COPIES))
    about = REGISTRY[name].page.format(copies=COPIES)
    return Dataset(name, train, Split(x, y), Split(x, y), classes=tuple("0123"), about=about)
