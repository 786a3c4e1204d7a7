"""Reads CIFAR-10: Python pickles from a folder or from the downloaded archive, without executing code from them.

References:
    Learning multiple layers of features from tiny images, Alex Krizhevsky, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import io
import lzma
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from interalia.data import REGISTRY
from interalia.data.dataset import Dataset
from interalia.data.downloads import Files, load_published
from interalia.data.images import LabeledImages
from interalia.errors import UserError

ARCHIVE = "cifar-10-python.tar.gz"
INNER = "cifar-10-batches-py"
BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))


def find_files(place: Path) -> Files | None:
    """Finds the files of CIFAR-10 in the folder `place`: one for each batch, plain or compressed with xz, or the archive.

    Returns:
        name of the batch, such as "data_batch_1" -> its file, or the archive; missing batches are absent. None if there are
        neither the test batch and a training batch nor the archive.
    """
    names = (*BATCHES, "test_batch")
    for folder in (place / INNER, place):
        files = {batch: path for batch in names for path in (folder / f"{batch}.xz", folder / batch) if path.is_file()}
        if "test_batch" in files and len(files) > 1:
            return files
    return dict.fromkeys(names, place / ARCHIVE) if (place / ARCHIVE).is_file() else None


def load(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Loads CIFAR-10. The last tenth of the training images is validation: 45,000 / 5,000 / 10,000.

    Arguments:
        name: "cifar10".
        data_dir: the folder that holds the files, or None for the cache.
        image_size: pixels a side after cropping and resizing; None for 32.
        seed: not used.
        download: False to never use the network.

    Raises:
        UserError: files are missing or damaged.
    """
    return load_published(name, data_dir, image_size, download, find_files, read, note, share=10)


def read(files: Files) -> Iterator[tuple[str, LabeledImages]]:
    """Reads the official sets of CIFAR-10.

    Arguments:
        files: name of the batch, such as "data_batch_1" -> its file, or the archive of all batches.

    Yields:
        "train", then "test", each with a pair of images, uint8, shape (n, 3, 32, 32), and labels, int64, shape (n,).
    """
    training = [batch for batch in files if batch != "test_batch"]
    for part, names in (("train", training), ("test", ["test_batch"])):
        x, y = zip(*(read_batch(files[batch], batch) for batch in names), strict=True)
        yield part, (np.concatenate(x), np.concatenate(y))


def note(files: Files) -> str:
    """Returns a phrase for the data set's description that names the training batches which were not found; "" if all
    were.

    Arguments:
        files: name of the batch, such as "data_batch_1" -> its file, or the archive of all batches.
    """
    absent = [batch for batch in BATCHES if batch not in files]
    return f", without {', '.join(absent)}, which are missing" if absent else ""


def read_bytes(path: Path, batch: str) -> bytes:
    """Returns the pickle of one batch, as bytes, decompressed.

    Arguments:
        path: the file of the batch, or the archive.
        batch: the name of the batch, such as "data_batch_1".

    Raises:
        UserError: the file is damaged, or the archive lacks the batch.
    """
    try:
        if path.name != ARCHIVE:
            return lzma.open(path).read(2**30) if path.suffix == ".xz" else path.read_bytes()  # batches are shorter
        reason: object = "it is not in the archive"
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.rsplit("/", 1)[-1] == batch:
                    return archive.extractfile(member).read(2**30)  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = error
    raise UserError(f"the batch {batch} cannot be read from {path} ({reason}); download it again.")


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler for numbers, strings, lists, dictionaries and NumPy arrays, which raises `ForbiddenError` for all others.

    A pickle names functions that the unpickler calls; only the three that create an array are allowed.
    """

    makers: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    }

    def find_class(self, module: str, name: str) -> Any:
        """Returns the function `module`.`name`, which a pickle requests; raises a `ForbiddenError` if it does not
        create an array.
        """
        if (module, name) not in self.makers:
            raise ForbiddenError(f"{module}.{name}")
        return self.makers[module, name]


class ForbiddenError(Exception):
    """The error for a pickle that requests a function which is not allowed; the message is the name of the function."""


def read_batch(path: Path, batch: str) -> LabeledImages:
    """Reads one batch of CIFAR-10: images, uint8, shape (n, 3, 32, 32), and labels from 0 to 9, int64, shape (n,).

    Arguments:
        path: the file of the batch, or the archive.
        batch: the name of the batch, such as "data_batch_1".

    Raises:
        UserError: the pickle is damaged, holds something else, or would execute code.
    """
    data, label = read_bytes(path, batch), f"{batch} in {path}" if path.name == ARCHIVE else str(path)
    try:
        content = ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()  # Python 2 pickled its strings as bytes
        # Programs in Python 3 that rewrite these files leave the keys as bytes.
        content = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
        x, y = content["data"], np.array(content["labels"], dtype=np.int64)
        if x.dtype != np.uint8 or x.shape != (len(y), 3 * 32 * 32) or not len(y) or y.min() < 0 or y.max() > 9:
            raise ValueError(f"data has the shape {x.shape} and labels {y.shape}")
    except ForbiddenError as error:
        raise UserError(
            f"{label} is no CIFAR-10 batch: it would execute {error}, which is not allowed; "
            f"delete it and download {ARCHIVE} from {REGISTRY['cifar10'].mirrors[0]}."
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"{label} is not a complete CIFAR-10 batch ({error!r}); download it again.") from None
    return x.reshape(-1, 3, 32, 32), y
