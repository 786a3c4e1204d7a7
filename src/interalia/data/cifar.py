"""CIFAR-10: python pickles, read without executing them, from a folder or from the archive as downloaded.

References:
    Learning multiple layers of features from tiny images, Alex Krizhevsky, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import contextlib
import io
import lzma
import pickle
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import Entry, remember
from interalia.data.dataset import Dataset, Split
from interalia.data.downloads import find
from interalia.data.images import fitted, resized, resized_shape
from interalia.data.splits import sizes
from interalia.errors import UserError

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
ARCHIVE = "cifar-10-python.tar.gz"
MD5 = {ARCHIVE: "c58f30108f718f92721af3b95e74349a"}
INNER = "cifar-10-batches-py"
BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Batches:
    """The batches that are there.

    Attributes:
        files: batch -> the file that holds it, compressed with xz or not; or the archive.
        packed: whether the files are one archive.
    """

    files: dict[str, Path]
    packed: bool = False


def look(place: Path) -> Batches | None:
    """The batches in `place`: at least one to train on and the test batch."""
    for folder in (place / INNER, place):
        present = {
            batch: path
            for batch in (*BATCHES, "test_batch")
            for path in (folder / f"{batch}.xz", folder / batch)
            if path.is_file()
        }
        if "test_batch" in present and len(present) > 1:
            return Batches(present)
    if (place / ARCHIVE).is_file():
        return Batches(dict.fromkeys((*BATCHES, "test_batch"), place / ARCHIVE), packed=True)
    return None


def load(name: str, root: Path | None = None, size: int | None = None, seed: int = 0, download: bool = True) -> Dataset:
    """CIFAR-10; the last tenth of the training images that are there is validation: 45,000 / 5,000 / 10,000."""
    batches = find(name, root, look, ("CIFAR10",), MD5, MIRRORS, download)
    training = [batch for batch in BATCHES if batch in batches.files]

    def decode(entry: Entry) -> None:
        with contextlib.ExitStack() as stack:
            get = reader(batches, stack)
            for part, names in (("train", training), ("test", ["test_batch"])):
                pairs = [get(batch) for batch in names]
                x = np.concatenate([x for x, _ in pairs])
                entry.write(part, resized_shape(x.shape, size), np.uint8, resized(x, size))
                entry.save(f"{part}-labels", np.concatenate([y for _, y in pairs]))

    sources = list(dict.fromkeys(batches.files.values()))
    arrays = remember(name, sources, {"size": size, "batches": training}, decode)
    whole, test = (Split(arrays[part], arrays[f"{part}-labels"]) for part in ("train", "test"))
    cut = len(whole) - len(whole) // 10
    splits = whole[:cut], whole[cut:], test
    absent = [batch for batch in BATCHES if batch not in training]
    partly = f", without {', '.join(absent)}, which are absent" if absent else ""
    about = (
        f"CIFAR-10, small photographs{fitted(size)}{partly}. Train / validation / test: {sizes(splits)}; validation is the "
        f"last tenth of the training images, test the official test set."
    )
    return Dataset(name, *splits, classes=CLASSES, about=about)


def reader(batches: Batches, stack: contextlib.ExitStack) -> Callable[[str], Labelled]:
    """A function from a batch's name to its images and labels."""
    if not batches.packed:
        return lambda batch: read_batch(_bytes(batches.files[batch]), str(batches.files[batch]))
    path = batches.files["test_batch"]
    trouble = (tarfile.TarError, OSError, EOFError, zlib.error, KeyError)
    try:
        archive = stack.enter_context(tarfile.open(path))  # noqa: SIM115 (the stack closes it)
        members = {member.name.rsplit("/", 1)[-1]: member for member in archive.getmembers() if member.isfile()}
    except trouble as error:
        raise UserError(f"{path} is damaged or cut short ({error}); download it again.") from None

    def get(batch: str) -> Labelled:
        try:
            file = archive.extractfile(members[batch])
            assert file is not None
            data = file.read()
        except trouble as error:
            raise UserError(f"{batch} cannot be read from {path} ({error}); download it again.") from None
        return read_batch(data, f"{batch} in {path}")

    return get


def _bytes(path: Path) -> bytes:
    try:
        return lzma.open(path).read() if path.suffix == ".xz" else path.read_bytes()
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise UserError(f"{path} is damaged or cut short ({error}); download it again.") from None


class Plain(pickle.Unpickler):
    """Reads pickles that consist of numbers, texts, lists, dictionaries and NumPy arrays, and refuses all others.

    A pickle names functions for the reader to call; here only the three that make an array can be named.
    """

    makers: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.makers:
            raise ForbiddenError(f"{module}.{name}")
        return self.makers[module, name]


class ForbiddenError(Exception):
    """A pickle asked for something that is not an array."""


def read_batch(data: bytes, label: str) -> Labelled:
    """Images, shape (n, 3, 32, 32), and labels of one pickled batch.

    Raises:
        UserError: the pickle is damaged, holds something else, or would execute code.
    """
    try:
        content = Plain(io.BytesIO(data), encoding="latin1").load()  # Python 2 pickled its strings as bytes
        # Programs in Python 3 that write these files anew leave the keys as bytes.
        content = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
        x, y = content["data"], np.array(content["labels"], dtype=np.int64)
        if x.dtype != np.uint8 or x.shape != (len(y), 3 * 32 * 32) or not len(y) or y.min() < 0 or y.max() > 9:
            raise ValueError(f"data has the shape {x.shape} and labels {y.shape}")
    except ForbiddenError as error:
        raise UserError(
            f"{label} is no CIFAR-10 batch: it would execute {error}, which was refused; "
            f"delete it and download {ARCHIVE} from {MIRRORS[0]}."
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(
            f"{label} is not a whole CIFAR-10 batch ({error or type(error).__name__}); download it again."
        ) from None
    return x.reshape(-1, 3, 32, 32), y
