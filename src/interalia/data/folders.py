"""Reads data sets of images from a folder or a zip file.

Layouts, in the folder itself or in a single folder inside of it:

- all images in one folder: no labels;
- one folder for each class: the folders' names, in alphabetical order, are the labels 0, 1, ...;
- ``train``, ``val`` (or ``valid``, ``validation``) and ``test``, each as one of the above: that split is used, and
  a missing one is taken from ``train``; images in other folders are left out;
- ``trainA`` and ``trainB``, optionally ``testA``, ``testB``, ``valA`` and ``valB``: two domains, for games that translate;
  the folders of one domain alone, such as ``trainA`` and ``testA``, are splits;
- images beside the folders for classes: if they are a tenth or less, they are left out, else no image has a label.

A folder ``unlabelled`` (or ``unlabeled``) beside those of the classes has images without a label, which are only trained on.
The description of the data set states what was left out. Symbolic links are followed. A folder without a split is split
80 / 10 / 10 by a fixed permutation of the sorted names.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.arrays import contents
from interalia.data.cache import Content, cached
from interalia.data.copies import notes, with_copies
from interalia.data.dataset import Dataset, Split
from interalia.data.images import MODES, SHARE, SUFFIXES, Collection, PixelOptions, inner_paths, reached_twice, readable
from interalia.data.layouts import Layout
from interalia.data.scaling import Units, restore, stays
from interalia.data.splits import (
    NAMES,
    PARTS,
    Groups,
    Parts,
    SplitOptions,
    digest,
    divide,
    format_sizes,
    groups_at,
    relabel_partly,
)
from interalia.errors import UserError

CROPPED = {
    "center": "cropped to the central square and ",
    "random": "cropped to a random square (held-out ones to the central one) and ",
    "none": "not cropped, ",
}
Inner = dict[str, list[str]]  # the path of an image -> its path without outer folders, split at the slashes

UNLABELLED = NAMES["labels"]["unlabelled"]  # folders of images without a label, in lower case
DOMAIN = re.compile(rf"({'|'.join(PARTS)})[ _-]?([ab])", re.IGNORECASE)


def load_folder(
    where: Path, pixels: PixelOptions, options: SplitOptions, scale: str | Units | tuple[Units, Units] = "auto"
) -> Dataset:
    """Loads a data set from a folder or zip file of images, in one of the layouts in the docstring of this module.

    Arguments:
        where: the folder or zip file.
        pixels: size, colors and cropping of the images; without a size, their own sizes must be equal.
        options: how the images are split.
        scale: how the numbers are scaled, see `interalia.data.scaling.choose`; a pair of units is for two domains.

    Raises:
        UserError: there are no images, or too few, or a damaged one, or different sizes without `image_size`, or they cannot
            be split by the options.
    """
    images = Collection(where)
    name = readable(where.resolve().name) or "folder"
    if not images.names:
        raise UserError(
            f"{where} holds no images (other files: {format_counts(images.left_out) or 'none'}); expected are files that end "
            f"in {', '.join(sorted(SUFFIXES))}, directly or in one folder for each class."
        )
    first, second = scale if isinstance(scale, tuple) else (scale, scale)
    inner = dict(zip(images.names, inner_paths(images.names), strict=True))
    found: dict[str, Inner] = {"A": {}, "B": {}}
    for path, parts in inner.items():
        if (match := DOMAIN.fullmatch(parts[0])) and len(parts) > 1:
            found[match[2].upper()][path] = [match[1], *parts[1:]]
    trained = [x for x, paths in found.items() if any(PARTS[parts[0].lower()] == "train" for parts in paths.values())]
    if len(trained) < 2:  # the folders of one domain alone are its splits, so that its test images are not trained on
        alone = next((found[x] for x in trained if len(found[x]) == len(inner)), inner)
        return _load(images, alone, name, pixels, options, first)
    if options.split is not None:
        raise UserError(f"{where} has two domains, each with its own splits; leave `split` out.")
    images.left_out["image(s) in neither domain"] += len(inner) - len(found["A"]) - len(found["B"])
    a, b = (
        _load(images, found[x], f"{name}, domain {x}", pixels, options, one)
        for x, one in zip(found, (first, second), strict=True)
    )
    return a.with_other(b, name)


def _load(
    images: Collection, inner: Inner, name: str, pixels: PixelOptions, options: SplitOptions, scale: str | Units
) -> Dataset:
    """Loads one domain of images from a folder or zip file.

    Arguments:
        images: the folder or zip file.
        inner: path of each image -> its path for the layout, split at the slashes.
        name: the name of the data set.
        pixels: size, colors and cropping of the images.
        options: how the images are split.
        scale: how the numbers are scaled.

    Raises:
        UserError: as `load_folder`.
    """
    names, paths, unlabeled_because, image_size = list(inner), list(inner.values()), "", pixels.size
    if options.split is None:
        paths, chosen, unlabeled_because = _choose(paths, images.left_out)
        names = [names[i] for i in chosen]
        if again := set() if images.packed else reached_twice(images.where, names):
            images.left_out["image(s) reached by two links"] += len(again)
            paths = [path for name, path in zip(names, paths, strict=True) if name not in again]
            names = [name for name in names if name not in again]
    rows, y, classes, how, groups = _split(paths, images.where, options)

    def decoded() -> Iterator[Content]:
        """Yields a tuple for each split, to be cached: its name, its number of images, and an iterator of chunks of its
        decoded images, uint8.

        Raises:
            UserError: the images have different sizes, and `image_size` is None.
        """
        mode, shapes, remark = images.headers(names, None if pixels.gray is None else MODES[1 if pixels.gray else 3])
        height, width = (image_size, image_size) if image_size else shapes[0]
        for name, (h, w) in zip(names, shapes, strict=True):
            if image_size is None and (h, w) != (height, width):
                raise UserError(
                    f"the images are of mixed sizes ({images.label(names[0])} has {width}x{height} pixels, "
                    f"{images.label(name)} {w}x{h}); crop and resize them all, for example with `image_size=64`."
                )
        yield "remark", 1, [np.array([remark])]
        yield "digest", 1, [np.array([images.fingerprint(names)])]
        for part, index in rows.items():
            crop = "center" if pixels.crop == "random" and part != "train" else pixels.crop
            yield part, len(index), images.arrays([names[i] for i in index], mode, (height, width), crop)

    settings = {"size": image_size, "names": names, "split": digest(rows), **pixels.changed}
    arrays = cached(name, images.sources(), settings, with_copies(decoded()))
    if scale != "auto" or not stays(arrays["train"], "image"):
        about_scale = {"scale": scale, "of": settings}
        arrays = {
            **arrays,
            **cached(name, images.sources(), about_scale, scaled(arrays, scale, readable(str(images.where)))),
        }
    units = restore(json.loads(str(arrays["units"][0]))) if "units" in arrays else None
    splits: dict[str, Any] = {
        part: Split(arrays[part], None if y is None else y[index], groups_at(groups, index))
        for part, index in rows.items()
    }
    channels, height, width = arrays["train"].shape[1:]
    labels = f"{len(classes)} classes" if classes else "no labels"
    if unlabeled_because:
        labels += f", because {unlabeled_because}"
    fitted = f"{width}x{height} pixels"
    if image_size:
        fitted = f"{CROPPED[pixels.crop]}resized to {image_size}x{image_size}"
    about = (
        f"{len(names):,} images from {name}, {labels}, {fitted}, {channels} channel(s)"
        f"{f', {units.scaling.describe()}' if units and units.scaling else ''}. "
        f"{how}: {format_sizes(splits.values())}.{notes(splits, len(names), arrays['copies'])}{arrays['remark'][0]}"
    )
    if left_out := format_counts(images.left_out):
        about += f" Left out: {left_out}."
    images.left_out.clear()  # so that the second domain does not repeat it
    encoded = str(arrays["digest"][0]) + (digest(rows) if options else "")
    splits |= {"about": about, "encoded": encoded, "unlabeled_because": unlabeled_because, "units": units}
    return Dataset(name, **splits, classes=classes)


def scaled(arrays: Mapping[str, NDArray[Any]], scale: str | Units, label: str) -> Iterator[Content]:
    """Yields the arrays of a data set of images to be cached: "units", and each split, scaled, as in `arrays.contents`.

    Arguments:
        arrays: a dictionary: "train", "validation" and "test" -> images, shape (n, channels, height, width).
        scale: the option `scale`.
        label: the name of the images in error messages.

    Raises:
        UserError: a number is not finite, or images are neither uint8 nor numbers in [0, 1] and not scaled.
    """
    x = {part: arrays[part] for part in NAMES["splits"]}
    rows = {part: np.arange(len(array)) for part, array in x.items()}
    yield from contents(x, rows, dict.fromkeys(x, label), Layout("image"), scale, None)


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
    known = {*PARTS, *UNLABELLED}
    chosen = [i for i, path in enumerate(inner) if not depth or (len(path) > 1 and path[0].lower() in known)]
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


def _split(
    inner: list[list[str]], where: Path, options: SplitOptions
) -> tuple[Parts, NDArray[np.int64] | None, tuple[str, ...], str, Groups]:
    """Assigns images to splits: by the file of the options, or by their folders if each is in one for train, val or test or
    has no label, else at random.

    If every image is in a folder with the name of a split, such as train or val, the folder is its split. If there is then
    no folder for validation or for test, this split gets random images of train. If an image is in no such folder, or
    there is none for train, all images are split at random, 80 / 10 / 10.

    Arguments:
        inner: the path of each image, split at the slashes, without the outer folders that all of them are in.
        where: the folder or zip file, for error messages.
        options: how the images are split.

    Returns:
        A tuple of five: a dictionary, "train", "validation" and "test" -> indices in `inner`, int64; labels and names of the
        classes, from `_classes`; a phrase on how the images were assigned, for the description of the data set; and the
        group of each image, None for no groups.

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
    return divide(rows, unlabelled, "image(s)", where, groups), y, classes, options.how(how), groups


def _classes(inner: list[list[str]]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Returns the label of each image, int64, shape (n,), and the names of the classes. The class of an image is the first
    folder in its path; labels number the classes from 0 in alphabetical order.

    The label is -1 in a folder "unlabelled", "unlabeled" or "-1", if the last is not beside "1" alone. Returns (None, ()) if
    some image is in no folder, or all images with a label are in the same one.

    Arguments:
        inner: the path of each image, split at the slashes.
    """
    if any(len(path) < 2 for path in inner):
        return None, ()
    folders = np.array([path[0] for path in inner])
    labelled = np.array([path[0].lower() not in UNLABELLED for path in inner])
    (found,), names = relabel_partly(folders[labelled])
    y = np.full(len(inner), -1)
    y[labelled] = found
    return (y, tuple(map(readable, names))) if len(names) > 1 else (None, ())
