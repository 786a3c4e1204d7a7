"""Reads data sets of images from a folder or a zip file.

Layouts, in the folder itself or in a single folder inside of it:

- all images in one folder: no labels;
- one folder for each class: the folders' names, in alphabetical order, are the labels 0, 1, ...;
- ``train``, ``val`` (or ``valid``, ``validation``) and ``test``, each as one of the above: that split is used, and
  a missing one is taken from ``train``;
- images beside folders of images: all of them, no labels.

A folder without a split is split 80 / 10 / 10 by a fixed permutation of the sorted names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import Content, cached
from interalia.data.dataset import Dataset, Split
from interalia.data.images import SUFFIXES, Collection, inner_paths
from interalia.data.splits import Rows, fill_splits, format_sizes, relabel, split_80_10_10
from interalia.errors import UserError

NAMES = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}
PARTS = {name: part for part, names in NAMES.items() for name in names}


def load_folder(where: Path, image_size: int | None) -> Dataset:
    """Loads a data set from a folder or zip file of images, in one of the layouts in the docstring of this module.

    Arguments:
        where: the folder or zip file.
        image_size: pixels a side that images are cropped and resized to; None keeps their size, which must be equal.

    Raises:
        UserError: there are no images, or too few, or a damaged one, or different sizes without `image_size`.
    """
    images = Collection(where)
    name = where.resolve().name or "folder"
    names = images.names
    if not names:
        raise UserError(
            f"{where} holds no images; expected are files that end in {', '.join(sorted(SUFFIXES))}, "
            f"directly or in one folder for each class."
        )
    rows, inner, how = _split(inner_paths(names), where)
    y, classes = _classes(inner)

    def contents() -> Iterator[Content]:
        """Yields a tuple for each split, to be cached: its name, its number of images, and an iterator of chunks of its
        decoded images, uint8.

        Raises:
            UserError: the images have different sizes, and `image_size` is None.
        """
        mode, shapes = images.headers(names)
        height, width = (image_size, image_size) if image_size else shapes[0]
        for name, (h, w) in zip(names, shapes, strict=True):
            if image_size is None and (h, w) != (height, width):
                raise UserError(
                    f"the images are of mixed sizes ({images.label(names[0])} has {width}x{height} pixels, "
                    f"{images.label(name)} {w}x{h}); crop and resize them all, for example with `image_size=64`."
                )
        for part, index in rows.items():
            yield part, len(index), images.arrays([names[i] for i in index], mode, (height, width))

    arrays = cached(name, images.sources(), {"size": image_size, "names": names}, contents())
    splits: dict[str, Any] = {part: Split(arrays[part], None if y is None else y[rows[part]]) for part in rows}
    channels, height, width = arrays["train"].shape[1:]
    labels = f"{len(classes)} classes named by their folders" if classes else "no labels"
    fitted = f"{width}x{height} pixels"
    if image_size:
        fitted = f"cropped to the central square and resized to {image_size}x{image_size}"
    about = (
        f"{len(names):,} images from {name}, {labels}, {fitted}, {channels} channel(s). "
        f"{how}: {format_sizes(splits.values())}."
    )
    return Dataset(name, **splits, classes=classes, about=about, encoded=images.fingerprint(names))


def _split(inner: list[list[str]], where: Path) -> tuple[dict[str, Rows], list[list[str]], str]:
    """Assigns each image to a split.

    If every image is in a folder with the name of a split, such as train or val, the folder is its split. If there is then
    no folder for validation or for test, this split gets random images of train. If an image is in no such folder, or
    there is none for train, all images are split at random, 80 / 10 / 10.

    Arguments:
        inner: the path of each image, split at the slashes, without the outer folders that all of them are in.
        where: the folder or zip file, for error messages.

    Returns:
        A tuple of three: a dictionary, "train", "validation" and "test" -> indices in `inner`, int64; `inner` without the
        folders of the splits; and a phrase on how the images were assigned, for the description of the data set.

    Raises:
        UserError: there are too few images.
    """
    parts = [PARTS.get(path[0].lower()) if len(path) > 1 else None for path in inner]
    if "train" not in parts or None in parts:
        how = "Train / validation / test by a fixed permutation of the names"
        return split_80_10_10(len(inner), "image(s)", where), inner, how

    rows = {part: np.flatnonzero(np.array(parts) == part) for part in ("train", "validation", "test")}
    rows = fill_splits(rows, "image(s)", where)
    return rows, [path[1:] for path in inner], "Train / validation / test by their folders"


def _classes(inner: Sequence[list[str]]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Returns the label of each image, int64, shape (n,), and the names of the classes. The class of an image is the first
    folder in its path; labels number the classes from 0 in alphabetical order.

    Returns (None, ()) if some image is in no folder, or all images are in the same one.

    Arguments:
        inner: the path of each image, split at the slashes.
    """
    if any(len(path) < 2 for path in inner):
        return None, ()
    (y,), names = relabel(np.array([path[0] for path in inner]))
    return (y, names) if len(names) > 1 else (None, ())
