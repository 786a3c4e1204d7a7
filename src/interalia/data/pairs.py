"""Data sets of two domains of images with paired held-out splits, to score translations that were learned without pairs.

- ``mnist-inverted``, ``mnist-edges``, ``mnist-coloured``, ``digits-inverted``: digits, and digits transformed by a fixed
  function (`TRANSFORMATIONS`). The training images of domain a are every other digit. Those of domain b are the digits
  between them, transformed: no digit is in both domains.
- ``facades``: photographs of house fronts, and their label maps.

References:
    Image-to-Image Translation with Conditional Adversarial Networks, Phillip Isola and others, 2017,
    https://arxiv.org/abs/1611.07004 (facades as pairs)
    Spatial Pattern Templates for Recognition of Objects with Regular Structure, Radim Tylecek, Radim Sara, 2013,
    https://cmp.felk.cvut.cz/~tylecr1/facade/ (the photographs and their labels)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import REGISTRY
from interalia.data.cache import Content, cached
from interalia.data.dataset import Dataset, Split
from interalia.data.downloads import find_or_download
from interalia.data.images import SUFFIXES, Collection, resize
from interalia.data.splits import permutation
from interalia.errors import UserError

ImageArray = NDArray[np.uint8]  # (n, channels, height, width)

SIZE = 64  # of the facades without `image_size`


def invert(x: ImageArray, rows: NDArray[np.int64]) -> ImageArray:
    """Exchanges black and white, and rotates each image by 90 degrees counterclockwise.

    Arguments:
        x: images, uint8, shape (n, channels, height, width).
        rows: the indices of the images, which are not used.

    Returns:
        uint8, shape (n, channels, width, height).
    """
    return np.ascontiguousarray(np.rot90(255 - x, axes=(2, 3)))


def edges(x: ImageArray, rows: NDArray[np.int64]) -> ImageArray:
    """Returns the edges of each image: in each pixel a quarter of the Euclidean norm of the Sobel gradient, at most 255.

    Pixels outside of the image count as black.

    Arguments:
        x: images, uint8, shape (n, channels, height, width).
        rows: the indices of the images, which are not used.

    Returns:
        uint8, the shape of `x`.
    """
    from scipy.ndimage import correlate

    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    filters = (filter[None, None] for filter in (sobel, sobel.T))
    across, down = (correlate(x.astype(np.int16), filter, mode="constant") for filter in filters)
    return (np.hypot(across, down, dtype=np.float32) / 4).clip(0, 255).round().astype(np.uint8)


def colorize(x: ImageArray, rows: NDArray[np.int64]) -> ImageArray:
    """Gives each gray digit a random light color on a random dark background; gray values are interpolated.

    Each channel of the digit's color is uniform on 153 ... 255, and of the background's on 0 ... 102.

    Arguments:
        x: gray images, uint8, shape (n, 1, height, width).
        rows: the index of each image in the whole data set, shape (n,), which determines its colors.

    Returns:
        uint8, shape (n, 3, height, width).
    """
    colors = np.random.RandomState(0).randint(0, 103, (int(rows.max()) + 1, 2, 3, 1, 1)).astype(np.float32)[rows]
    background, digit = colors[:, 0], 153 + colors[:, 1]
    return (background + x.astype(np.float32) / 255 * (digit - background)).round().astype(np.uint8)


TRANSFORMATIONS = {"inverted": invert, "edges": edges, "coloured": colorize}


def load(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Loads a data set of two domains: the facades, or digits and transformed digits.

    Arguments:
        name: "facades", or "mnist" or "digits" and a key of `TRANSFORMATIONS` with a hyphen between, such as "mnist-edges".
        data_dir: the folder that holds the files, or None for the cache.
        image_size: pixels a side after resizing. With None facades get 64, and digits keep their size.
        seed: not used.
        download: False to never use the network.

    Raises:
        UserError: files are missing or damaged.
    """
    if name == "facades":
        return load_facades(data_dir, image_size)
    base, rule = name.split("-")
    whole = REGISTRY[base].load(data_dir, image_size, seed, download)
    channels = 3 if rule == "coloured" else 1
    first = 0  # number of the first row of this split, in the order train, validation, test
    parts: list[tuple[Split, Split]] = []  # of domain a and of domain b
    for split in (whole.train, whole.validation, whole.test):
        every = np.arange(len(split))
        of_a, of_b = (every[0::2], every[1::2]) if split is whole.train else (every, every)
        plain, changed = split[of_a], split[of_b]
        changed = Split(TRANSFORMATIONS[rule](changed.x, first + of_b), changed.y)
        parts.append((Split(plain.x.repeat(channels, axis=1), plain.y), changed))
        first += len(split)
    a, b = (Dataset(name, train, val, test, classes=whole.classes) for train, val, test in zip(*parts, strict=True))
    gray = " in three equal channels" if channels == 3 else ""
    about = (
        f"Domain a: {'MNIST' if base == 'mnist' else base}, handwritten digits{gray}, "
        f"{' x '.join(map(str, a.shape[1:]))} pixels. Domain b: {REGISTRY[name].changed}. The training "
        f"data are {len(a.train):,} images of a and {len(b.train):,} of b, made from different digits, so that none are "
        f"paired; validation ({len(a.validation):,}) and test ({len(a.test):,}) are those of {base}, as pairs."
    )
    return replace(a, other=replace(b, name=f"{name}, domain b", about=about), paired=True, about=about)


def true_counterparts(dataset: Dataset) -> ImageArray:
    """Returns the correct translations to domain b of the training images of domain a, in the same order, uint8, shape
    (n, channels, height, width).

    Training on these pairs gives an upper bound for what can be learned without pairs.

    Arguments:
        dataset: one of the data sets of this module, whose second domain is `dataset.other`.
    """
    assert dataset.other is not None
    if dataset.name == "facades":
        b = dataset.other.train.x
        return b[np.argsort(permutation(len(b)))]
    transform = TRANSFORMATIONS[dataset.name.split("-")[1]]
    return transform(dataset.train.x[:, :1], 2 * np.arange(len(dataset.train)))


def find_files(place: Path) -> Collection | None:
    """Returns the `Collection` of the images in the folder `place` and below it; None if no image is in the folder
    itself.
    """
    names = [path for path in place.iterdir() if path.suffix.lower() in SUFFIXES]
    return Collection(place) if names else None


def load_facades(data_dir: Path | None, image_size: int | None) -> Dataset:
    """Loads the facades, from images that show a photograph (domain a) and its label map (domain b) side by side.

    In alphabetical order, the first 70 percent are for training, the next 10 for validation, the others for test. The
    training images of domain b are shuffled.

    Arguments:
        data_dir: the folder that holds the images, or None for the cache.
        image_size: pixels a side after resizing; None for 64.

    Raises:
        UserError: there are fewer than 10 images, or an image is damaged or not twice as wide as high.
    """
    found = find_or_download(REGISTRY["facades"], data_dir, find_files, download=False)
    side = image_size or SIZE
    names = found.names
    if len(names) < 10:
        raise UserError(f"{found.where} holds {len(names)} pairs, and at least 10 are needed to split them; add more.")

    def contents() -> Iterator[Content]:
        """Yields a tuple for each domain, to be cached: its name "a" or "b", its number of images, and the list of chunks of
        its resized images, uint8.
        """
        halves: dict[str, list[ImageArray]] = {"a": [], "b": []}
        for name in names:
            picture = found.decode(name, "RGB", None)
            half = picture.shape[2] // 2
            if picture.shape[2] != 2 * picture.shape[1]:
                raise UserError(
                    f"the picture {found.label(name)} is {picture.shape[2]}x{picture.shape[1]}, and a photograph and its "
                    f"labels side by side are twice as wide as high; remove it."
                )
            halves["a"] += resize(picture[None, :, :, :half], side)
            halves["b"] += resize(picture[None, :, :, half:], side)
        yield from ((domain, len(names), images) for domain, images in halves.items())

    arrays = cached("facades", found.sources(), {"size": side}, contents())
    train, validation = len(names) * 7 // 10, len(names) * 8 // 10  # the ends of these splits
    a, b = Split(arrays["a"]), Split(arrays["b"])
    counts = f"{train} / {validation - train} / {len(names) - validation}"
    about = REGISTRY["facades"].page.format(count=len(names), side=side, sizes=counts, train=train)
    shared: dict[str, Any] = {"about": about, "encoded": found.fingerprint(names)}
    shuffled = b[:train][permutation(train)]
    other = Dataset("facades, domain b", shuffled, b[train:validation], b[validation:], **shared)
    return Dataset("facades", a[:train], a[train:validation], a[validation:], other=other, paired=True, **shared)
