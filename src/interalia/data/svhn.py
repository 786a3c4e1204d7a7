"""Street View House Numbers, cropped digits: three MATLAB files.

References:
    Reading digits in natural images with unsupervised feature learning, Yuval Netzer et al., 2011,
    http://ufldl.stanford.edu/housenumbers/
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interalia.data.dataset import Dataset
from interalia.data.downloads import find
from interalia.data.images import Labelled, decoded, fitted
from interalia.data.splits import sizes
from interalia.errors import UserError

MIRRORS = ("http://ufldl.stanford.edu/housenumbers/",)
# Extra is fetched first: a download that breaks off must not leave the smaller set, which is a data set of its own.
MD5 = {
    "extra_32x32.mat": "a93ce644f1a588dc4d68dda5feec44a7",
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}
VALIDATION = 10_000


def look(place: Path) -> dict[str, Path] | None:
    """The files in `place`; train and test are needed, extra may be absent."""
    files = {name.split("_")[0]: place / name for name in MD5 if (place / name).is_file()}
    return files if {"train", "test"} <= files.keys() else None


def load(name: str, root: Path | None = None, size: int | None = None, seed: int = 0, download: bool = True) -> Dataset:
    """SVHN, split as ALI was trained: on `extra`, with the last 10,000 images of `train` for validation.

    Without `extra`, the other images of `train` are trained on.
    """
    files = find(name, root, look, ("SVHN",), MD5, MIRRORS, download)

    parts = decoded(name, list(files.values()), size, lambda: ((part, read_mat(path)) for part, path in files.items()))
    whole = parts["train"]
    cut = len(whole) - min(VALIDATION, len(whole) // 6)
    train, how = whole[:cut], "the official extra set is absent, so train is the official training set"
    if "extra" in parts:
        train, how = parts["extra"], "train is the official extra set"
    splits = train, whole[cut:], parts["test"]
    about = (
        f"SVHN, cropped house-number digits{fitted(size)}. Train / validation / test: {sizes(splits)}; {how}, validation the "
        f"end of the official training set, test the official test set."
    )
    return Dataset(name, *splits, classes=tuple("0123456789"), about=about)


def read_mat(path: Path) -> Labelled:
    """Images, shape (n, 3, 32, 32), and labels, where the file's 10 is the digit 0.

    The file's order of axes is (height, width, channel, image): the images are a view, which is put right a chunk at a time
    when they are written.

    Raises:
        UserError: the file is damaged or holds something else.
    """
    import scipy.io

    try:
        content = scipy.io.loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # on damaged files SciPy raises whatever its parser stumbles over
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
