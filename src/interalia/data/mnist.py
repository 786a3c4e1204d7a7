"""MNIST and Fashion-MNIST, four IDX files each, compressed with gzip or not.

References:
    Gradient-based learning applied to document recognition, Yann LeCun et al., 1998
    Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, Han Xiao, Kashif Rasul,
    Roland Vollgraf, 2017, https://arxiv.org/abs/1708.07747
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interalia.data.dataset import Dataset
from interalia.data.downloads import find
from interalia.data.images import Labelled, decoded, fitted
from interalia.data.splits import sizes
from interalia.errors import UserError

STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
VALIDATION = 10_000
# the numbers of an IDX file, by the code of their type
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@dataclass(frozen=True)
class Edition:
    """What tells the two sets apart: their file names are the same.

    Attributes:
        folders: other folders that hold the files, below the root.
        first: the first ten labels of the training set.
    """

    title: str
    mirrors: tuple[str, ...]
    md5: tuple[str, ...]
    folders: tuple[str, ...]
    first: tuple[int, ...]
    classes: tuple[str, ...]


# fmt: off
EDITIONS = {
    "mnist": Edition(
        "MNIST, handwritten digits",
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/",
                 "http://yann.lecun.com/exdb/mnist/"),
        md5=("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
             "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
        folders=("MNIST/raw", "MNIST"),
        first=(5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
        classes=tuple("0123456789"),
    ),
    "fashion-mnist": Edition(
        "Fashion-MNIST, articles of clothing",
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                 "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"),
        md5=("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
             "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
        folders=("FashionMNIST/raw", "FashionMNIST"),
        first=(9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
        classes=("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
}
# fmt: on


def look(place: Path) -> list[Path] | None:
    """The four files in `place`, under any of the names that they go by."""
    files = []
    for stem in STEMS:
        names = [base + end for base in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
        files += [place / name for name in names if (place / name).is_file()][:1]
    return files if len(files) == len(STEMS) else None


def load(name: str, root: Path | None = None, size: int | None = None, seed: int = 0, download: bool = True) -> Dataset:
    """MNIST or Fashion-MNIST; the last 10,000 training images are validation (a sixth, where files are shorter)."""
    edition = EDITIONS[name]
    remote = {f"{stem}.gz": md5 for stem, md5 in zip(STEMS, edition.md5, strict=True)}
    files = find(name, root, look, edition.folders, remote, edition.mirrors, download)

    def read() -> Iterator[tuple[str, Labelled]]:
        for part, images, labels in (("train", files[0], files[1]), ("test", files[2], files[3])):
            x, y = read_pair(images, labels)
            tell_apart(name, y, images)
            yield part, (x[:, None], y)

    whole, test = decoded(name, files, size, read).values()
    cut = len(whole) - min(VALIDATION, len(whole) // 6)
    splits = whole[:cut], whole[cut:], test
    about = (
        f"{edition.title}{fitted(size)}. Train / validation / test: {sizes(splits)}; validation is the end of the official "
        f"training set, test the official test set."
    )
    return Dataset(name, *splits, classes=edition.classes, about=about)


def read_pair(images: Path, labels: Path) -> Labelled:
    """Images, shape (n, height, width), and their labels."""
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or x.dtype != np.uint8 or not len(x):
        raise UserError(f"{images} holds {x.dtype} of shape {x.shape}, and not bytes (n, 28, 28); download it again.")
    if y.shape != (len(x),) or y.dtype != np.uint8 or y.max() > 9:
        raise UserError(f"{labels} does not hold one label 0 to 9 for each of the {len(x)} images; download it again.")
    return x.astype(np.uint8, copy=False), y.astype(np.int64)


def tell_apart(name: str, y: NDArray[np.int64], path: Path) -> None:
    """Raises a UserError if these are the labels of the other set, whose files have the same names."""
    for other, edition in EDITIONS.items():
        if other != name and tuple(y[:10].tolist()) == edition.first and len(y) == 60_000:
            raise UserError(
                f"the files in {path.parent} are those of {other} and not of {name}; "
                f"ask for {other}, or keep the files of {name} in a folder called {name} below the root."
            )


def read_idx(path: Path) -> NDArray[np.generic]:
    """The array in an IDX file, compressed with gzip or not: two zero bytes, the type, the number of axes, the sizes, the
    numbers, all big-endian.

    References:
        The MNIST database of handwritten digits, Yann LeCun, Corinna Cortes, Christopher J.C. Burges,
        http://yann.lecun.com/exdb/mnist/ ("the IDX file format")

    Raises:
        UserError: the file is damaged, cut short or of another format.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":  # gzip, whatever the name says
            data = gzip.decompress(data)
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
