"""Pairs of domains with paired held-out splits, for scoring translations that were learned without pairs.

- ``mnist-inverted``, ``mnist-edges``, ``mnist-coloured``, ``digits-inverted``: digits, and digits transformed by a fixed rule
  (`TRANSFORMATIONS`). The training images of domain a are every other digit, those of domain b the digits between them,
  transformed: no image is in both domains.
- ``facades``: photographs of house fronts, and their label maps.

References:
    Image-to-Image Translation with Conditional Adversarial Networks, Phillip Isola and others, 2017,
    https://arxiv.org/abs/1611.07004 (facades as pairs)
    Spatial Pattern Templates for Recognition of Objects with Regular Structure, Radim Tylecek, Radim Sara, 2013,
    https://cmp.felk.cvut.cz/~tylecr1/facade/ (the photographs and their labels)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import REGISTRY
from interalia.data.cache import Entry, cached
from interalia.data.dataset import Dataset, Split
from interalia.data.downloads import find_or_download
from interalia.data.images import SUFFIXES, Collection, resize
from interalia.data.splits import permutation
from interalia.errors import UserError

Images = NDArray[np.uint8]  # (n, channels, height, width)

TENTHS = (7, 1, 2)  # train, validation and test of the facades
SIZE = 64  # of the facades without `image_size`


def invert(x: Images, rows: NDArray[np.int64]) -> Images:
    """Black and white exchanged, rotated by 90 degrees to the left."""
    return np.ascontiguousarray(np.rot90(255 - x, axes=(2, 3)))


def edges(x: Images, rows: NDArray[np.int64]) -> Images:
    """The length of the Sobel gradient divided by 4, clipped at white; pixels outside of the image are black."""
    from scipy.ndimage import correlate

    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    filters = (filter[None, None] for filter in (sobel, sobel.T))
    across, down = (correlate(x.astype(np.int16), filter, mode="constant") for filter in filters)
    return (np.hypot(across, down, dtype=np.float32) / 4).clip(0, 255).round().astype(np.uint8)


def colorize(x: Images, rows: NDArray[np.int64]) -> Images:
    """A light digit on a dark background, with gray values interpolated.

    Each channel of the digit's color is uniform on 153 ... 255, of the background's on 0 ... 102; the colors of each row are
    fixed.
    """
    colors = np.random.RandomState(0).randint(0, 103, (int(rows.max()) + 1, 2, 3, 1, 1)).astype(np.float32)[rows]
    background, digit = colors[:, 0], 153 + colors[:, 1]
    return (background + x.astype(np.float32) / 255 * (digit - background)).round().astype(np.uint8)


TRANSFORMATIONS = {"inverted": invert, "edges": edges, "coloured": colorize}


def load(
    name: str, data_dir: Path | None = None, image_size: int | None = None, seed: int = 0, download: bool = True
) -> Dataset:
    """Loads a named pair of domains."""
    return (
        load_facades(data_dir, image_size)
        if name == "facades"
        else load_transformed(name, data_dir, image_size, seed, download)
    )


def load_transformed(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Loads a data set of digits and its transformed images, such as ``mnist-edges``."""
    base, rule = name.split("-")
    whole = REGISTRY[base].load(data_dir, image_size, seed, download)
    channels = 3 if rule == "coloured" else 1
    first = 0  # row of this part, in the order train, validation, test
    parts: list[tuple[Split, Split]] = []  # of domain a and of domain b
    for split in (whole.train, whole.validation, whole.test):
        every = np.arange(len(split))
        of_a, of_b = (every[0::2], every[1::2]) if split is whole.train else (every, every)
        plain, changed = split[of_a], split[of_b]
        changed = Split(TRANSFORMATIONS[rule](changed.x, first + of_b), changed.y)
        parts.append((Split(plain.x.repeat(channels, axis=1), plain.y), changed))
        first += len(split)
    domains = zip(*parts, strict=True)
    a, b = (Dataset(name, train, val, test, classes=whole.classes) for train, val, test in domains)
    gray = " in three equal channels" if channels == 3 else ""
    about = (
        f"Domain a: {'MNIST' if base == 'mnist' else base}, handwritten digits{gray}, "
        f"{' x '.join(map(str, a.shape[1:]))} pixels. Domain b: {REGISTRY[name].changed}. The training "
        f"data are {len(a.train):,} images of a and {len(b.train):,} of b, made from different digits, so that none are "
        f"paired; validation ({len(a.validation):,}) and test ({len(a.test):,}) are those of {base}, as pairs."
    )
    return replace(a, other=replace(b, name=f"{name}, domain b", about=about), paired=True, about=about)


def true_counterparts(dataset: Dataset) -> Images:
    """The training images of domain a translated to domain b by the true rule, for an upper bound on unpaired translation."""
    assert dataset.other is not None
    if dataset.name == "facades":
        b = dataset.other.train.x
        return b[np.argsort(permutation(len(b)))]
    transform = TRANSFORMATIONS[dataset.name.split("-")[1]]
    return transform(dataset.train.x[:, :1], 2 * np.arange(len(dataset.train)))


def find_files(place: Path) -> Collection | None:
    """The images of pairs in `place`; None if they are not in the folder itself."""
    names = [path for path in place.iterdir() if path.suffix.lower() in SUFFIXES]
    return Collection(place) if names else None


def load_facades(data_dir: Path | None, image_size: int | None) -> Dataset:
    """Loads photographs of house fronts (a) and label maps (b), from images that show both side by side."""
    found = find_or_download(REGISTRY["facades"], data_dir, find_files, download=False)
    side = image_size or SIZE
    names = found.names
    if len(names) < 10:
        raise UserError(f"{found.where} holds {len(names)} pairs, and at least 10 are needed to split them; add more.")

    def decode(entry: Entry) -> None:
        halves: dict[str, list[Images]] = {"a": [], "b": []}
        for name in names:
            picture = found.decode(name, "RGB", None)
            half = picture.shape[2] // 2
            if picture.shape[2] != 2 * picture.shape[1]:
                raise UserError(
                    f"the picture {found.label(name)} is {picture.shape[2]}x{picture.shape[1]}, and a photograph and its "
                    f"labels side by side are twice as wide as high; remove it."
                )
            for domain, part in (("a", picture[None, :, :, :half]), ("b", picture[None, :, :, half:])):
                halves[domain] += resize(part, side)
        for domain, parts in halves.items():
            entry.save(domain, np.concatenate(parts))

    arrays = cached("facades", found.sources(), {"size": side}, decode)
    train, validation = (len(names) * sum(TENTHS[: i + 1]) // 10 for i in range(2))
    a, b = Split(arrays["a"]), Split(arrays["b"])
    counts = f"{train} / {validation - train} / {len(names) - validation}"
    about = REGISTRY["facades"].page.format(count=len(names), side=side, sizes=counts, train=train)
    shared: dict[str, Any] = {"about": about, "encoded": found.fingerprint(names)}
    shuffled = b[:train][permutation(train)]
    other = Dataset("facades, domain b", shuffled, b[train:validation], b[validation:], **shared)
    return Dataset("facades", a[:train], a[train:validation], a[validation:], other=other, paired=True, **shared)
