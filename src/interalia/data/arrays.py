"""Arrays in a .npy or .npz file: images or vectors.

- Images of one channel: uint8, shape (n, height, width).
- Images: uint8, four axes. The last axis is the channels if its length is 1, 3 or 4, otherwise the second axis.
  Images may also be numbers in [0, 1], which are rounded to 256 levels.
- Vectors: floating-point or integer numbers, shape (n, d), converted to float32.

The keys of a .npz file are ``train_images``, ``x_train``, ``images``, ``data``, ``x``, ``X`` or ``arr_0``, optionally with
``val_images`` / ``x_val`` and ``test_images`` / ``x_test``, and with labels ``train_labels``, ``y_train``, ``labels`` or
``y`` and so on. Missing splits are taken from the training rows by a fixed permutation.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import Entry, cached
from interalia.data.dataset import Dataset, Split
from interalia.data.images import CHUNK, MODES, resize, resize_note, resize_shape
from interalia.data.splits import Rows, fill_splits, format_sizes, relabel, split_80_10_10
from interalia.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]

KEYS = {
    "train": ("train_images", "x_train", "images", "data", "x", "X", "arr_0"),
    "validation": ("val_images", "validation_images", "x_val", "x_validation"),
    "test": ("test_images", "x_test"),
    "train-labels": ("train_labels", "y_train", "labels", "y"),
    "validation-labels": ("val_labels", "validation_labels", "y_val", "y_validation"),
    "test-labels": ("test_labels", "y_test"),
}


def load_array(path: Path, image_size: int | None) -> Dataset:
    """Loads the images or vectors in a .npy or .npz file.

    Raises:
        UserError: the file is damaged, or has no array of the shapes and types above.
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
    if image:

        def decode(entry: Entry) -> None:
            for part, index in rows.items():
                chunks = (as_uint8(x[part][index[i : i + CHUNK]]) for i in range(0, len(index), CHUNK))
                images = (image for chunk in chunks for image in resize(chunk, image_size))
                entry.write(part, resize_shape((len(index), *x[part].shape[1:]), image_size), np.uint8, images)

        stored = cached(path.stem, [path], {"size": image_size}, decode)
    else:
        stored = {part: x[part][index].astype(np.float32) for part, index in rows.items()}

    splits: dict[str, Any] = {part: Split(stored[part], y[part][index] if y else None) for part, index in rows.items()}
    shape = splits["train"].x.shape[1:]
    what = f"vectors of {shape[0]} numbers"
    if image:
        what = f"images of {shape[2]}x{shape[1]} pixels and {shape[0]} channel(s)"
    known = f"{len(classes)} classes" if classes else "labels that are not used" if unlabeled_because else "no labels"
    about = (
        f"{sum(map(len, splits.values())):,} {what} from {path.name}, "
        f"{known}{resize_note(image_size)}. {how}: {format_sizes(splits.values())}."
    )
    return Dataset(path.stem, **splits, classes=classes, about=about, unlabeled_because=unlabeled_because)


def read_arrays(path: Path) -> dict[str, tuple[str, Array]]:
    """The arrays in a file: split, or split and "-labels" -> key in the file and array."""
    try:
        content = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix.lower() == ".npy" else None)
        if isinstance(content, np.ndarray):
            return {"train": ("the array", content)}
        with content as archive:
            keys = {part: next((key for key in names if key in archive), None) for part, names in KEYS.items()}
            found = {part: (key, archive[key]) for part, key in keys.items() if key}
            listed = ", ".join(archive.files) or "nothing"
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise UserError(
                f"{path} holds Python objects, which are not read because they could execute code; save plain numbers."
            ) from None
        raise UserError(f"{path} is damaged or cut short ({error}); copy or download it again.") from None
    if "train" not in found:
        raise UserError(
            f"{path} has the keys {listed}, and expected was one of {', '.join(KEYS['train'])}; rename one."
        )
    return found


def read_rows(paths: Sequence[Path], shape: tuple[int, ...]) -> Tensor:
    """The training rows of .npy and .npz files, concatenated: images in [0, 1], or vectors.

    Arguments:
        paths: the files.
        shape: shape of one row of the data that the run was trained on.

    Returns:
        float32, shape (n, *shape).

    Raises:
        UserError: a file does not exist, or as for `load_array`, or rows have another shape.
    """
    import torch

    from interalia.data.store import as_tensor

    parts = []
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no array {path}; check its name.")
        key, array = read_arrays(path)["train"]
        rows = as_rows(array, f"{key} in {path}", shape)
        parts.append(as_tensor(rows if rows.dtype == np.uint8 else rows.astype(np.float32)))
    return torch.cat(parts)


def as_rows(array: Array, label: str, shape: tuple[int, ...] | None = None) -> Array:
    """A view of images as (n, channels, height, width), of vectors as (n, d).

    Arguments:
        array: the array in a file.
        label: its name in error messages.
        shape: shape of one row, if it is known.

    Raises:
        UserError: the array holds neither, or rows of another shape.
    """
    rows = array[:, None] if array.ndim == 3 else array
    if array.ndim == 4 and array.shape[3] in MODES and array.shape[1:] != shape:
        rows = array.transpose(0, 3, 1, 2)
    image = rows.ndim == 4 and rows.shape[1] in MODES and rows.size > 0 and rows.dtype.kind in "buif"
    vector = rows.ndim == 2 and rows.dtype.kind in "iuf" and rows.dtype != np.uint8
    if not (image or vector) or shape not in (None, rows.shape[1:]):
        expected = "(n, height, width) or with 1, 3 or 4 channels at the end, or vectors of shape (n, d), not uint8"
        if shape:
            expected = f"(n, {', '.join(map(str, shape))})"
        what = "vectors of numbers" if shape and len(shape) == 1 else "images as uint8 (or as numbers in [0, 1])"
        raise UserError(
            f"{label} holds {array.dtype} of shape {array.shape}; expected were {what} of shape {expected}; convert it."
        )
    if rows.dtype != np.uint8:
        check_finite(rows, label)
    if image and rows.dtype != np.uint8 and not 0 <= rows.min() <= rows.max() <= 1:
        scaled = 0 <= rows.min() <= rows.max() <= 255
        raise UserError(
            f"{label} holds numbers from {rows.min():g} to {rows.max():g}, and expected were images as uint8 or as "
            f"numbers in [0, 1]; {'divide them by 255 or save them as uint8' if scaled else 'rescale them to [0, 1]'}."
        )
    return rows


def check_finite(array: Array, label: str) -> None:
    """Raises a UserError unless all numbers in an array are finite."""
    finite = np.isfinite(array)
    if not finite.all():
        raise UserError(
            f"{label} holds NaN or infinity in {(~finite).sum():,} of {array.size:,} places; remove or replace those rows."
        )


def as_uint8(images: Array) -> NDArray[np.uint8]:
    """Numbers in [0, 1] as 0 to 255."""
    return images if images.dtype == np.uint8 else np.rint(images * 255.0).astype(np.uint8)


def _labels(
    found: dict[str, tuple[str, Array] | None], x: dict[str, Array], path: Path
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...], str]:
    """The labels of each split and the names of the classes, if every split has one label for each row.

    Otherwise there are none, and the third value says why the labels in the file cannot be used.
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
    """The rows of each split, in its own array or, if it has none, in train's; and how they were chosen, in words."""
    rows = {part: np.arange(count) for part, count in counts.items()}
    absent = [part for part in ("validation", "test") if part not in counts]
    if len(absent) == 2:
        how = "Train / validation / test by a fixed permutation of the rows"
        return split_80_10_10(counts["train"], "row(s)", path), how
    how = f"The file's own split, {absent[0]} taken from train by a fixed permutation" if absent else ""
    return fill_splits(rows, "row(s)", path), how or "Train / validation / test as in the file"
