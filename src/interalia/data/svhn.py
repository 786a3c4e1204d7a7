"""Reads Street View House Numbers, cropped digits, from three MATLAB files.

References:
    Reading digits in natural images with unsupervised feature learning, Yuval Netzer et al., 2011,
    http://ufldl.stanford.edu/housenumbers/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from interalia.data.dataset import Dataset
from interalia.data.downloads import Files, load_published
from interalia.data.images import LabeledImages
from interalia.errors import UserError


def find_files(place: Path) -> Files | None:
    """Finds the files of SVHN in the folder `place`.

    Returns:
        "train", "test" and, if there is such a file, "extra" -> path; None unless there are files of both "train" and
        "test".
    """
    paths = {part: place / f"{part}_32x32.mat" for part in ("extra", "train", "test")}
    files = {part: path for part, path in paths.items() if path.is_file()}
    return files if {"train", "test"} <= files.keys() else None


def load(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Loads SVHN, split as for adversarially learned inference (ALI): the official set "extra" is for training, and the last
    10,000 images of "train" are for validation.

    Without the file of "extra", the other images of "train" are for training.

    Arguments:
        name: "svhn".
        data_dir: the folder that holds the files, or None for the cache.
        image_size: pixels a side after cropping and resizing; None for 32.
        seed: not used.
        download: False to never use the network.

    Raises:
        UserError: files are missing or damaged.
    """
    return load_published(name, data_dir, image_size, download, find_files, read, note)


def read(files: Files) -> Iterator[tuple[str, LabeledImages]]:
    """Reads the official sets of SVHN from their files: the name of the set -> path.

    Yields:
        The name of each set, with a pair of images, uint8, shape (n, 3, 32, 32), and labels from 0 to 9, int64, shape
        (n,).
    """
    return ((part, read_mat(path)) for part, path in files.items())


def note(files: Files) -> str:
    """Returns a phrase for the data set's description: the training split is the official extra set, or this set is
    missing.

    Arguments:
        files: "train", "test" and, if there is such a file, "extra" -> path.
    """
    if "extra" in files:
        return "train is the official extra set"
    return "the official extra set is missing, so train is the official training set"


def read_mat(path: Path) -> LabeledImages:
    """Reads one file of SVHN: images, uint8, shape (n, 3, 32, 32), and labels from 0 to 9, int64, shape (n,).

    The label 10 in the file is the digit 0. The axes in the file are (height, width, channel, image): the images are a
    view, which is copied in chunks when they are written to the cache.

    Raises:
        UserError: the file is damaged or holds something else.
    """
    import scipy.io

    try:
        content = scipy.io.loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # on damaged files SciPy may raise any error
        reason = str(error) or type(error).__name__
        raise UserError(f"{path} is damaged or cut short ({reason}); download it again.") from None
    x, y = content.get("X"), content.get("y")
    if x is None or x.dtype != np.uint8 or x.ndim != 4 or x.shape[2] != 3 or not x.shape[3]:
        raise UserError(f"{path} does not hold images X of shape (32, 32, 3, n) in bytes; give SVHN's format 2 files.")
    if y is None or y.size != x.shape[3] or not np.isin(y, np.arange(11)).all():
        raise UserError(
            f"{path} does not hold a label y from 1 to 10 for each of {x.shape[3]} images; download it again."
        )
    return x.transpose(3, 2, 0, 1), y.reshape(-1).astype(np.int64) % 10
