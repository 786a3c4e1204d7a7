"""Reads MNIST and Fashion-MNIST: four IDX files each, compressed with gzip or not.

References:
    Gradient-based learning applied to document recognition, Yann LeCun et al., 1998
    Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, Han Xiao, Kashif Rasul,
    Roland Vollgraf, 2017, https://arxiv.org/abs/1708.07747
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interalia.data.dataset import Dataset
from interalia.data.downloads import Files, load_published
from interalia.data.images import LabeledImages
from interalia.errors import UserError

STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
# the first ten labels of the training set, which distinguish the two sets: their file names are the same
FIRST = {"mnist": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "fashion-mnist": [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]}
# dtypes of an IDX file by their codes
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def find_files(place: Path) -> Files | None:
    """Finds the four files of MNIST in the folder `place`, under any of their usual names.

    Returns:
        The official name, such as "train-images-idx3-ubyte" -> the path; None unless all four files exist.
    """
    files = {}
    for stem in STEMS:
        names = [base + end for base in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
        if path := next(filter(Path.is_file, (place / name for name in names)), None):
            files[stem] = path
    return files if len(files) == len(STEMS) else None


def load(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Loads MNIST or Fashion-MNIST. The last 10,000 training images, but at most a sixth, are for validation.

    Arguments:
        name: "mnist" or "fashion-mnist".
        data_dir: the folder that holds the files, or None for the cache.
        image_size: pixels a side after cropping and resizing; None for 28.
        seed: not used.
        download: False to never use the network.

    Raises:
        UserError: files are missing or damaged.
    """

    def read(files: Files) -> Iterator[tuple[str, LabeledImages]]:
        """Reads the official sets, from four files by their official names.

        Yields:
            "train", then "test", each with a pair of images, uint8, shape (n, 1, height, width), and labels, int64,
            shape (n,).
        """
        for part, official in (("train", "train"), ("test", "t10k")):
            images, labels = (path for stem, path in files.items() if stem.startswith(official))
            x, y = read_pair(images, labels)
            check_set(name, y, images)
            yield part, (x[:, None], y)

    return load_published(name, data_dir, image_size, download, find_files, read)


def read_pair(images: Path, labels: Path) -> LabeledImages:
    """Reads a file of images, and the file of their labels.

    Returns:
        The images, uint8, shape (n, height, width), and the labels, int64, shape (n,).

    Raises:
        UserError: a file is damaged, or the two have different lengths.
    """
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or x.dtype != np.uint8 or not len(x):
        raise UserError(f"{images} holds {x.dtype} of shape {x.shape}, and not bytes (n, 28, 28); download it again.")
    if y.shape != (len(x),) or y.dtype != np.uint8 or y.max() > 9:
        raise UserError(f"{labels} does not hold one label 0 to 9 for each of the {len(x)} images; download it again.")
    return x.astype(np.uint8, copy=False), y.astype(np.int64)


def check_set(name: str, y: NDArray[np.int64], path: Path) -> None:
    """Raises a UserError if the files of MNIST are those of Fashion-MNIST or the reverse: their names are the same.

    Arguments:
        name: the data set that is to be loaded, "mnist" or "fashion-mnist".
        y: the labels in the files, shape (n,); only the 60,000 training labels are checked, by the first ten.
        path: one of the files; the message names its folder.
    """
    for other, first in FIRST.items():
        if other != name and y[:10].tolist() == first and len(y) == 60_000:
            raise UserError(
                f"the files in {path.parent} are those of {other} and not of {name}; "
                f"load {other}, or move the files of {name} to a folder called {name} below `data_dir`."
            )


def read_idx(path: Path) -> NDArray[np.generic]:
    """Reads the array in an IDX file, compressed with gzip or not.

    The format is two zero bytes, the type, the number of axes, the sizes and the numbers, all big-endian.

    References:
        The MNIST database of handwritten digits, Yann LeCun, Corinna Cortes, Christopher J.C. Burges,
        http://yann.lecun.com/exdb/mnist/ ("the IDX file format")

    Raises:
        UserError: the file is damaged, cut short or of another format.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":  # gzip, whatever the suffix
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(2**30)  # no file of these data sets is as long
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); download it again.") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES:
        raise UserError(f"{path} is not an IDX file (it starts with {data[:4]!r}); download it again.")
    dtype = np.dtype(TYPES[data[2]])
    start = 4 + 4 * data[3]
    shape = tuple(np.frombuffer(data[4:start], ">u4").tolist()) if len(data) >= start else ()
    expected = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(data) != expected or len(shape) != data[3]:
        raise UserError(f"{path} holds {len(data)} of {expected} bytes: it is damaged or cut short; download it again.")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
