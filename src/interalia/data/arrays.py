"""Reads data sets of images or vectors from a .npy or .npz file, which contains one of these arrays for each split:

- Images of one channel: uint8, shape (n, height, width).
- Images: uint8, four axes. The last axis is the channels if its length is 1, 3 or 4, otherwise the second axis.
  Images may also be numbers in [0, 1], which are rounded to 256 levels.
- Vectors: floating-point or integer numbers, shape (n, d), converted to float32.

The keys of a .npz file are ``train_images``, ``x_train``, ``images``, ``data``, ``x``, ``X`` or ``arr_0``, optionally with
``val_images`` / ``x_val`` and ``test_images`` / ``x_test``, and with labels ``train_labels``, ``y_train``, ``labels`` or
``y`` and so on. Missing splits are taken from the training array by a fixed permutation.
"""

from __future__ import annotations

import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import images
from interalia.data.cache import Content, cached
from interalia.data.dataset import Dataset, Split
from interalia.data.splits import Rows, fill_splits, format_sizes, relabel, split_80_10_10
from interalia.errors import UserError

Array = NDArray[Any]

KEYS = {  # split, or split and "-labels" -> the keys that its array may have in a .npz file
    "train": ("train_images", "x_train", "images", "data", "x", "X", "arr_0"),
    "validation": ("val_images", "validation_images", "x_val", "x_validation"),
    "test": ("test_images", "x_test"),
    "train-labels": ("train_labels", "y_train", "labels", "y"),
    "validation-labels": ("val_labels", "validation_labels", "y_val", "y_validation"),
    "test-labels": ("test_labels", "y_test"),
}


def load_array(path: Path, image_size: int | None) -> Dataset:
    """Loads a data set of images or vectors from a .npy or .npz file, with the keys and shapes of this module's docstring.

    Arguments:
        path: the file.
        image_size: pixels a side that images are cropped and resized to; None keeps their size. Vectors require None.

    Raises:
        UserError: the file is damaged, or has no training array of these shapes.
    """
    content = read_arrays(path)
    x = {part: as_rows(array, f"{key} in {path}") for part, (key, array) in content.items() if "-" not in part}
    if len({array.shape[1:] for array in x.values()}) > 1:
        shapes = ", ".join(f"{part} {array.shape}" for part, array in x.items())
        raise UserError(f"the parts in {path} have different shapes ({shapes}); give all rows one shape.")
    y, classes, unlabeled_because = _labels({part: content.get(f"{part}-labels") for part in x}, x, path)
    rows, how = _rows({part: len(array) for part, array in x.items()}, path)
    x = {part: x.get(part, x["train"]) for part in rows}  # missing splits are taken from the training rows
    y = {part: y.get(part, y["train"]) for part in rows} if y else {}

    image = x["train"].ndim == 4
    if not image and image_size is not None:
        raise UserError(f"{path} holds vectors and not images, which have no size; leave `image_size` out.")

    def contents() -> Iterator[Content]:
        """Yields each split for the cache: its name, its number of images, and the resized images, uint8, in chunks."""
        for part, index in rows.items():
            chunks = (as_uint8(x[part][index[i : i + images.CHUNK]]) for i in range(0, len(index), images.CHUNK))
            yield part, len(index), (resized for chunk in chunks for resized in images.resize(chunk, image_size))

    if image:
        stored = cached(path.stem, [path], {"size": image_size}, contents())
    else:
        stored = {part: x[part][index].astype(np.float32) for part, index in rows.items()}

    splits: dict[str, Any] = {part: Split(stored[part], y[part][index] if y else None) for part, index in rows.items()}
    size, *side = splits["train"].x.shape[1:]  # channels, height and width, or the length of a vector
    what = f"images of {side[1]}x{side[0]} pixels and {size} channel(s)" if image else f"vectors of {size} numbers"
    known = f"{len(classes)} classes" if classes else "labels that are not used" if unlabeled_because else "no labels"
    about = (
        f"{sum(map(len, splits.values())):,} {what} from {path.name}, "
        f"{known}{images.resize_note(image_size)}. {how}: {format_sizes(splits.values())}."
    )
    return Dataset(path.stem, **splits, classes=classes, about=about, unlabeled_because=unlabeled_because)


def read_arrays(path: Path) -> dict[str, tuple[str, Array]]:
    """Reads the arrays of a .npy or .npz file, memory-mapped from a .npy file.

    Returns:
        A dictionary: "train", "validation" or "test" for images or vectors, and "train-labels" and so on for labels ->
        a pair of the key in the file and the array. Arrays that are not in the file are absent. A .npy file has "train"
        alone.

    Raises:
        UserError: the file is damaged, has Python objects, or has no training array.
    """
    images.check_regular(path)
    try:
        content = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix.lower() == ".npy" else None)
        if isinstance(content, np.ndarray):
            return {"train": ("the array", content)}
        with content as archive:
            keys = {part: next((key for key in names if key in archive), None) for part, names in KEYS.items()}
            found = {part: (key, archive[key]) for part, key in keys.items() if key}
            has = ", ".join(archive.files) or "nothing"
    except (*images.DAMAGE, KeyError, tokenize.TokenError, RecursionError) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise UserError(
                f"{path} holds Python objects, which are not read because they could execute code; save plain numbers."
            ) from None
        raise UserError(f"{path} is damaged or cut short ({error}); copy or download it again.") from None
    if "train" not in found:
        raise UserError(f"{path} has the keys {has}, and expected was one of {', '.join(KEYS['train'])}; rename one.")
    return found


def read_rows(paths: Sequence[Path], shape: tuple[int, ...]) -> Iterator[Array]:
    """Reads the training array of each file, with images or vectors as inputs for a trained game.

    Images of another size or number of channels are cropped, resized and converted, as those of a folder are.

    Arguments:
        paths: .npy and .npz files.
        shape: (channels, height, width) of an image or (d,) of a vector, as the game was trained on.

    Yields:
        The array of each file: images, uint8 or float32 in [0, 1], or vectors, float32; shape (n, *shape).

    Raises:
        UserError: a file does not exist or is damaged, or has vectors of another shape.
    """
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no array {path}; check its name.")
        key, array = read_arrays(path)["train"]
        fitted = len(shape) == 3 and array.ndim > 2 and array.shape[1:] != shape and shape[0] in images.MODES
        rows = as_rows(array, f"{key} in {path}", None if fitted else shape)
        if rows.shape[1:] != shape:
            mode, size = images.MODES[shape[0]], (shape[1], shape[2])
            rows = np.stack([images.fit(images.as_image(row), mode, size) for row in as_uint8(rows)])
        yield rows if rows.dtype == np.uint8 else rows.astype(np.float32)


def as_rows(array: Array, label: str, shape: tuple[int, ...] | None = None) -> Array:
    """Checks an array of images or vectors, and returns a view of it with channels second: shape (n, channels, height,
    width).

    Vectors are returned as they are, shape (n, d).

    Arguments:
        array: images or vectors, with the axes and types that this module's docstring lists.
        label: the name of the array in error messages.
        shape: the shape of one image or vector that is required; None for any.

    Raises:
        UserError: the array contains neither images nor vectors, or those of another shape, or numbers that are not
            finite, or images of numbers that are not in [0, 1].
    """
    rows = array[:, None] if array.ndim == 3 else array
    if array.ndim == 4 and array.shape[3] in images.MODES and array.shape[1:] != shape:
        rows = array.transpose(0, 3, 1, 2)
    image = rows.ndim == 4 and rows.shape[1] in images.MODES and rows.size > 0 and rows.dtype.kind in "buif"
    vector = rows.ndim == 2 and rows.size > 0 and rows.dtype.kind in "iuf" and rows.dtype != np.uint8
    if not (image or vector) or shape not in (None, rows.shape[1:]):
        expected = "(n, height, width) or with 1, 3 or 4 channels at the end, or vectors of shape (n, d), not uint8"
        if shape:
            expected = f"(n, {', '.join(map(str, shape))})"
        what = "vectors of numbers" if shape and len(shape) == 1 else "images as uint8 (or as numbers in [0, 1])"
        raise UserError(
            f"{label} holds {array.dtype} of shape {array.shape}; expected were {what} of shape {expected}; convert it."
        )
    if rows.dtype == np.uint8:
        return rows
    if wrong := (~np.isfinite(rows)).sum():
        raise UserError(
            f"{label} holds NaN or infinity in {wrong:,} of {rows.size:,} places; remove or replace those rows."
        )
    low, high = (rows.min(), rows.max()) if image else (0, 1)
    if not 0 <= low <= high <= 1:
        scaled = 0 <= low <= high <= 255
        raise UserError(
            f"{label} holds numbers from {low:g} to {high:g}, and expected were images as uint8 or as numbers in [0, 1]; "
            f"{'divide them by 255 or save them as uint8' if scaled else 'rescale them to [0, 1]'}."
        )
    return rows


def as_uint8(images: Array) -> NDArray[np.uint8]:
    """Converts images of numbers in [0, 1] to uint8, 0 to 255, by rounding; uint8 images are returned unchanged."""
    return images if images.dtype == np.uint8 else np.rint(images * 255.0).astype(np.uint8)


def _labels(
    found: dict[str, tuple[str, Array] | None], x: dict[str, Array], path: Path
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...], str]:
    """Checks the labels of all splits and converts them to 0, 1, ..., the positions of their values in sorted order.

    Arguments:
        found: split -> a pair of the key in the file and the labels; None for a split without labels.
        x: split -> images or vectors.
        path: the file, for error messages.

    Returns:
        split -> labels, int64, shape (n,); the names of the classes; and "". If some splits alone have labels, or an
        image or vector has several numbers as its label, the first two are empty and the third is the reason. If no
        split has labels, all three are empty.

    Raises:
        UserError: the number of labels is not that of the images or vectors, or labels are neither finite numbers nor
            texts.
    """
    columns = {}
    for part, entry in found.items():
        if entry is None:
            others = [other[0] for other in found.values() if other is not None]
            return {}, (), f"{others[0]} is there and the labels of {part} are not; add them" if others else ""
        (key, y), rows = entry, len(x[part])
        if y.size != rows and y.ndim > 1:
            several = f"{key} holds {'x'.join(map(str, y.shape[1:]))} numbers a row"
            return {}, (), f"{several}; give one, for example argmax(1) of one-hot labels"
        if y.size != rows:
            raise UserError(f"{key} in {path} holds {y.size} labels for {rows} rows; give one a row.")
        if y.dtype.kind not in "biufUS":
            raise UserError(f"{key} in {path} holds {y.dtype}, and labels are whole numbers or texts; convert it.")
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise UserError(f"{key} in {path} holds labels that are not finite; leave those rows, or all labels, out.")
        columns[part] = y.reshape(-1)
    values, classes = relabel(*columns.values())
    return dict(zip(columns, values, strict=True)), classes, ""


def _rows(counts: dict[str, int], path: Path) -> tuple[dict[str, Rows], str]:
    """Chooses the images or vectors of each split: all of its array in the file, or if it has none, random ones of the
    training array.

    Arguments:
        counts: split -> the length of its array, for the arrays in the file.
        path: the file, for error messages.

    Returns:
        split -> indices in its array or in the training array, int64; and a phrase on how they were chosen, for the
        description of the data set.

    Raises:
        UserError: the training array is too short.
    """
    rows = {part: np.arange(count) for part, count in counts.items()}
    absent = [part for part in ("validation", "test") if part not in counts]
    if len(absent) == 2:
        how = "Train / validation / test by a fixed permutation of the rows"
        return split_80_10_10(counts["train"], "row(s)", path), how
    how = f"The file's own split, {absent[0]} taken from train by a fixed permutation" if absent else ""
    return fill_splits(rows, "row(s)", path), how or "Train / validation / test as in the file"
