"""Reads data sets of images from a folder or a zip file.

Layouts, in the folder itself or in a single folder inside of it:

- all images in one folder: no labels;
- one folder for each class: the folders' names, in alphabetical order, are the labels 0, 1, ...;
- ``train``, ``val`` (or ``valid``, ``validation``) and ``test``, each as one of the above: that split is used, and
  a missing one is taken from ``train``; images in other folders are left out;
- images beside the folders for classes: if they are a tenth or less, they are left out, else no image has a label.

The description of the data set states what was left out. Symbolic links are followed. A folder without a split is split
80 / 10 / 10 by a fixed permutation of the sorted names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import Content, cached
from interalia.data.dataset import Dataset, Split
from interalia.data.images import SHARE, SUFFIXES, Collection, inner_paths, readable
from interalia.data.splits import Rows, fill_splits, format_sizes, relabel, split_80_10_10
from interalia.errors import UserError

NAMES = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test", "testing")}
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
    name = readable(where.resolve().name) or "folder"
    if not images.names:
        raise UserError(
            f"{where} holds no images (other files: {format_counts(images.left_out) or 'none'}); expected are files that end "
            f"in {', '.join(sorted(SUFFIXES))}, directly or in one folder for each class."
        )
    inner, chosen, unlabeled_because = _choose(inner_paths(images.names), images.left_out)
    names = [images.names[i] for i in chosen]
    rows, inner, how = _split(inner, where)
    y, classes = _classes(inner)

    def contents() -> Iterator[Content]:
        """Yields each split for the cache: its name, its number of images, and the decoded images, uint8, in chunks."""
        mode, shapes, remark = images.headers(names)
        height, width = (image_size, image_size) if image_size else shapes[0]
        for name, (h, w) in zip(names, shapes, strict=True):
            if image_size is None and (h, w) != (height, width):
                raise UserError(
                    f"the images are of mixed sizes ({images.label(names[0])} has {width}x{height} pixels, "
                    f"{images.label(name)} {w}x{h}); crop and resize them all, for example with `image_size=64`."
                )
        yield "remark", 1, [np.array([remark])]
        for part, index in rows.items():
            yield part, len(index), images.arrays([names[i] for i in index], mode, (height, width))

    arrays = cached(name, images.sources(), {"size": image_size, "names": names}, contents())
    splits: dict[str, Any] = {part: Split(arrays[part], None if y is None else y[rows[part]]) for part in rows}
    channels, height, width = arrays["train"].shape[1:]
    labels = f"{len(classes)} classes named by their folders" if classes else "no labels"
    if unlabeled_because:
        labels += f", because {unlabeled_because}"
    fitted = f"{width}x{height} pixels"
    if image_size:
        fitted = f"cropped to the central square and resized to {image_size}x{image_size}"
    about = (
        f"{len(names):,} images from {name}, {labels}, {fitted}, {channels} channel(s). "
        f"{how}: {format_sizes(splits.values())}.{arrays['remark'][0]}"
    )
    if left_out := format_counts(images.left_out):
        about += f" Left out: {left_out}."
    splits |= {"about": about, "encoded": images.fingerprint(names), "unlabeled_because": unlabeled_because}
    return Dataset(name, **splits, classes=classes)


def format_counts(counts: Counter[str]) -> str:
    """Returns how many things there are of each kind as text, the most frequent first, such as "3 .txt, 1 without suffix"."""
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common() if count)


def _choose(inner: list[list[str]], left_out: Counter[str]) -> tuple[list[list[str]], list[int], str]:
    """Leaves out images outside of the folders for splits, and few images outside of the folders for classes.

    Arguments:
        inner: the path of each image, split at the slashes, without the outer folders that all of them are in.
        left_out: the numbers of files that are left out, by their kind, to which those of these images are added.

    Returns:
        The paths of the images that remain; their indices in `inner`; and why they have no labels, if it is because too
        many are outside of the folders for classes, else "".
    """
    depth = int(any(len(path) > 1 and PARTS.get(path[0].lower()) == "train" for path in inner))
    chosen = [i for i, path in enumerate(inner) if not depth or (len(path) > 1 and path[0].lower() in PARTS)]
    labeled, why = [i for i in chosen if len(inner[i]) > depth + 1], ""
    left_out["image(s) outside of the folders for splits"] += len(inner) - len(chosen)
    loose = len(chosen) - len(labeled)
    if loose and len({inner[i][depth] for i in labeled}) > 1:
        if loose > SHARE * len(chosen):
            why = f"{loose:,} of {len(chosen):,} images are outside of the folders for classes"
        else:
            left_out["image(s) outside of the folders for classes"] += loose
            chosen = labeled
    return [inner[i] for i in chosen], chosen, why


def _split(inner: list[list[str]], where: Path) -> tuple[dict[str, Rows], list[list[str]], str]:
    """Assigns images to splits: by their folders if each is in one for train, val or test, else at random.

    Splits without a folder get random images of the folder for train.

    Arguments:
        inner: the path of each image, split at the slashes, without the outer folders that all of them are in.
        where: the folder or zip file, for error messages.

    Returns:
        "train", "validation" and "test" -> indices in `inner`, int64; `inner` without the folders of the splits; and a
        phrase on how the images were assigned, for the description of the data set.

    Raises:
        UserError: there are too few images.
    """
    parts = [PARTS.get(path[0].lower()) if len(path) > 1 else None for path in inner]
    if "train" not in parts:
        how = "Train / validation / test by a fixed permutation of the names"
        return split_80_10_10(len(inner), "image(s)", where), inner, how

    rows = {part: np.flatnonzero(np.array(parts) == part) for part in ("train", "validation", "test")}
    rows = fill_splits(rows, "image(s)", where)
    return rows, [path[1:] for path in inner], "Train / validation / test by their folders"


def _classes(inner: list[list[str]]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Returns the label of each image, int64, shape (n,), and the names of the classes: the first folders in the paths.

    Returns (None, ()) if some image is in no folder, or all images are in the same one.

    Arguments:
        inner: the path of each image, split at the slashes.
    """
    if any(len(path) < 2 for path in inner):
        return None, ()
    (y,), names = relabel(np.array([path[0] for path in inner]))
    return (y, tuple(map(readable, names))) if len(names) > 1 else (None, ())
