"""Reads data sets of images from a folder or a zip file.

Layouts, in the folder itself or in a single folder inside of it:

- all images in one folder: no labels;
- one folder for each class: the folders' names, in alphabetical order, are the labels 0, 1, ...;
- ``train``, ``val`` (or ``valid``, ``validation``) and ``test``, each as one of the above: that split is used, and
  a missing one is taken from ``train``;
- ``trainA`` and ``trainB``, optionally ``testA``, ``testB``, ``valA`` and ``valB``: two domains, for games that translate;
- images beside folders of images: all of them, no labels.

A folder ``unlabelled`` (or ``unlabeled``) beside those of the classes has images without a label, which are only trained on.
A folder without a split is split 80 / 10 / 10 by a fixed permutation of the sorted names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import Content, cached
from interalia.data.copies import notes, with_copies
from interalia.data.dataset import Dataset, Split
from interalia.data.images import SUFFIXES, Collection, inner_paths
from interalia.data.splits import NAMES, PARTS, Parts, SplitOptions, digest, divide, format_sizes, relabel
from interalia.errors import UserError

Inner = dict[str, list[str]]  # the path of an image -> its path without outer folders, split at the slashes

UNLABELLED = NAMES["labels"]["unlabelled"]  # folders of images without a label, in lower case
DOMAIN = re.compile(rf"({'|'.join(PARTS)})[ _-]?([ab])", re.IGNORECASE)


def load_folder(where: Path, image_size: int | None, options: SplitOptions) -> Dataset:
    """Loads a data set from a folder or zip file of images, in one of the layouts in the docstring of this module.

    Arguments:
        where: the folder or zip file.
        image_size: pixels a side that images are cropped and resized to; None keeps their size, which must be equal.
        options: how the images are split.

    Raises:
        UserError: there are no images, or too few, or a damaged one, or different sizes without `image_size`, or they cannot
            be split by the options.
    """
    images = Collection(where)
    name = where.resolve().name or "folder"
    names = images.names
    if not names:
        raise UserError(
            f"{where} holds no images; expected are files that end in {', '.join(sorted(SUFFIXES))}, "
            f"directly or in one folder for each class."
        )
    inner = dict(zip(names, inner_paths(names), strict=True))
    found: dict[str, Inner] = {"A": {}, "B": {}}
    for path, parts in inner.items():
        if (match := DOMAIN.fullmatch(parts[0])) and len(parts) > 1:
            found[match[2].upper()][path] = [match[1], *parts[1:]]
    if not all(any(PARTS[parts[0].lower()] == "train" for parts in paths.values()) for paths in found.values()):
        return _load(images, inner, name, image_size, options)
    if options.split is not None:
        raise UserError(f"{where} has two domains, each with its own splits; leave `split` out.")
    a, b = (_load(images, found[x], f"{name}, domain {x}", image_size, options) for x in found)
    stray = len(names) - len(found["A"]) - len(found["B"])
    return a.with_other(b, name, f" {stray:,} images are in neither domain." if stray else "")


def _load(images: Collection, inner: Inner, name: str, image_size: int | None, options: SplitOptions) -> Dataset:
    """Loads one domain of images from a folder or zip file.

    Arguments:
        images: the folder or zip file.
        inner: path of each image -> its path for the layout, split at the slashes.
        name: the name of the data set.
        image_size: pixels a side; None keeps the size of the images.
        options: how the images are split.

    Raises:
        UserError: as `load_folder`.
    """
    names, where = list(inner), images.where
    rows, y, classes, how = _split(list(inner.values()), where, options)

    def contents() -> Iterator[Content]:
        """Yields each split for the cache: its name, its number of images, and the decoded images, uint8, in chunks."""
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

    settings = {"size": image_size, "names": names, "split": digest(rows)}
    arrays = cached(name, images.sources(), settings, with_copies(contents()))
    splits: dict[str, Any] = {part: Split(arrays[part], None if y is None else y[rows[part]]) for part in rows}
    channels, height, width = arrays["train"].shape[1:]
    labels = f"{len(classes)} classes" if classes else "no labels"
    fitted = f"{width}x{height} pixels"
    if image_size:
        fitted = f"cropped to the central square and resized to {image_size}x{image_size}"
    about = (
        f"{len(names):,} images from {name}, {labels}, {fitted}, {channels} channel(s). "
        f"{how}: {format_sizes(splits.values())}.{notes(splits, len(names), arrays['copies'])}"
    )
    encoded = images.fingerprint(names) + (digest(rows) if options else "")
    return Dataset(name, **splits, classes=classes, about=about, encoded=encoded)


def _split(
    inner: list[list[str]], where: Path, options: SplitOptions
) -> tuple[Parts, NDArray[np.int64] | None, tuple[str, ...], str]:
    """Assigns images to splits: by the file of the options, or by their folders if each is in one for train, val or test or
    has no label, else at random.

    Splits without a folder get random images of the folder for train.

    Arguments:
        inner: the path of each image, split at the slashes, without the outer folders that all of them are in.
        where: the folder or zip file, for error messages.
        options: how the images are split.

    Returns:
        "train", "validation" and "test" -> indices in `inner`, int64; labels and names of the classes, from `_classes`; and a
        phrase on how the images were assigned, for the description of the data set.

    Raises:
        UserError: there are too few images, or they cannot be split by the options.
    """
    paths = ["/".join(path) for path in inner]
    rows, groups, labels = options.assigned(paths, where)
    how = "Train / validation / test by a fixed permutation of the names"
    parts = np.array([PARTS.get(path[0].lower(), "") if len(path) > 1 else "" for path in inner])
    bare = np.array([len(path) > 1 and path[0].lower() in UNLABELLED for path in inner])
    if "train" in parts and ((parts != "") | bare).all():
        how = "Train / validation / test by their folders"
        rows = rows or {part: np.flatnonzero((parts == part) | (bare & (part == "train"))) for part in NAMES["splits"]}
        inner = [path[1:] if part else path for path, part in zip(inner, parts, strict=True)]
    if labels is not None:
        inner = [[label or UNLABELLED[0], path] for label, path in zip(labels, paths, strict=True)]
    y, classes = _classes(inner)
    unlabelled = np.zeros(len(inner), bool) if y is None else y < 0
    rows = rows or {"train": np.arange(len(inner))}
    return divide(rows, unlabelled, "image(s)", where, groups), y, classes, options.how(how)


def _classes(inner: Sequence[list[str]]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Returns the label of each image, int64, shape (n,), and the names of the classes: the first folders in the paths.

    The label is -1 in a folder "unlabelled" or "unlabeled". Returns (None, ()) if some image is in no folder, or all images
    with a label are in the same one.

    Arguments:
        inner: the path of each image, split at the slashes.
    """
    if any(len(path) < 2 for path in inner):
        return None, ()
    folders = np.array([path[0] for path in inner])
    labelled = np.array([path[0].lower() not in UNLABELLED for path in inner])
    (found,), names = relabel(folders[labelled])
    y = np.full(len(inner), -1)
    y[labelled] = found
    return (y, names) if len(names) > 1 else (None, ())
