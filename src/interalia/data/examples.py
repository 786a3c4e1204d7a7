"""Reads all examples of a file or folder, without splits: images with the names of their files, arrays, or the rows of a
CSV table, and their labels.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import tables
from interalia.data.arrays import KEYS, check_type, fitted, read_arrays
from interalia.data.images import MODES, SUFFIXES, inner_paths, input_mode, list_images
from interalia.data.layouts import layout_of
from interalia.data.scaling import Units, check_finite, check_scales
from interalia.disk import regular
from interalia.errors import UserError

MISSING = ("", "na", "nan", "null", "none", "?")  # texts of missing numbers in a table, in lower case
FOLDER = "folder"  # the label column of images: the name of the folder that an image is in


@dataclass(frozen=True)
class Examples:
    """All examples of a file or folder.

    Attributes:
        x: images, uint8 or floats in [0, 1], shape (n, channels, height, width); or vectors, float64, shape (n, d).
        names: the file of each image; or the row number of each example, from 0, as text.
        labels: the label of each example as a text; None if no labels were requested.
        columns: the names of the columns of a table; empty for images and arrays.
    """

    x: NDArray[Any]
    names: Sequence[str]
    labels: Sequence[str] | None = None
    columns: Sequence[str] = ()


def read_examples(
    path: Path,
    shape: tuple[int, ...] | None = None,
    image_size: int | None = None,
    label_column: str | None = None,
    columns: Sequence[str] = (),
    units: Units | None = None,
) -> Examples:
    """Reads all examples of a .csv, .npy or .npz file, of an image, or of a folder or .zip of images.

    Arguments:
        path: the file or folder.
        shape: the shape that each example must have; images in files are cropped and resized to it. None for any.
        image_size: pixels a side that images in files are cropped and resized to; None keeps their size.
        label_column: the column of a table, or the key of an array in a .npz file, that has the labels; "folder" for
            images whose labels are the names of the folders that they are in. None for no labels.
        columns: the columns of a table to read, in this order; empty for all except the labels.
        units: the units of the data that a game was trained on, by which the numbers are scaled; None to scale none.

    Raises:
        UserError: there is no such file, it is damaged, or its content is not of one of these kinds or does not fit.
    """
    if not path.exists():
        raise UserError(
            f"there is no file or folder {path}; give a .csv, .npy or .npz file, or a folder or .zip of images."
        )
    kind = path.suffix.lower()
    if path.is_dir() or kind == ".zip" or kind in SUFFIXES:
        return image_examples(path, shape, image_size, label_column, units)
    if kind == ".csv":
        return table_examples(path, shape, label_column, columns, units)
    if kind in (".npy", ".npz"):
        return array_examples(path, shape, label_column, units)
    raise UserError(
        f"{path} is of a type that is not supported; give a .csv, .npy or .npz file, or a folder or .zip of images."
    )


def image_examples(
    path: Path,
    shape: tuple[int, ...] | None,
    image_size: int | None,
    label_column: str | None,
    units: Units | None = None,
) -> Examples:
    """Returns the images of a folder or .zip, or one image, in alphabetical order; the arguments are as in `read_examples`.

    Raises:
        UserError: there is no image, one is damaged, or they differ in size and no size is given.
    """
    if shape is not None and len(shape) != 3:
        raise UserError(f"{path} holds images, and vectors of {shape[0]} numbers are needed; give a .csv or .npy file.")
    if label_column not in (None, FOLDER):
        raise UserError(f"`label_column` is {label_column!r}, and images have the label column {FOLDER!r}; give that.")
    listed = list_images([path])
    (images, _), names = listed[0], [name for _, name in listed]
    mode, sizes, _ = images.headers(names)
    if shape is not None:
        mode, size = input_mode(shape, units), shape[1:]
    elif image_size is not None:
        size = (image_size, image_size)
    elif len(set(sizes)) > 1:
        raise UserError(
            f"the images in {path} have different sizes; give one to resize them to, as in `image_size=64`."
        )
    else:
        size = sizes[0]
    x: NDArray[Any] = np.concatenate(list(images.arrays(names, mode, size)))  # type: ignore[arg-type]
    x = units.scaling.apply(x) if units and units.scaling else x
    labels = [parts[0] if len(parts) > 1 else "" for parts in inner_paths(names)] if label_column else None
    return Examples(x, names, labels)


def array_examples(
    path: Path, shape: tuple[int, ...] | None, label_column: str | None, units: Units | None = None
) -> Examples:
    """Returns the images or vectors of a .npy or .npz file; the arguments are as in `read_examples`.

    The array of a .npz file is under one of the keys that `interalia.data.arrays` lists.

    Raises:
        UserError: the file is damaged, has no such array or labels, or the array does not fit or is not finite.
    """
    key, array = read_arrays(path)["train"]
    label = f"{key} in {path}"
    if array.ndim == 2 and units is None:
        x: Any = check_type(label, array).astype(np.float64)
        if shape is not None and x.shape[1:] != shape:
            raise UserError(f"{label} has rows of {x.shape[1]} numbers, and expected was the shape {shape}.")
        check_finite(x, label)
    elif shape is not None:
        x = fitted(array, label, shape, units)
    else:
        last = array.ndim == 4 and array.shape[3] in MODES
        x = layout_of(check_type(label, array), label, "image-channels-last" if last else "image").apply(array)
        if x.shape[1] not in MODES:
            raise UserError(f"{label} has images of {x.shape[1]} channels, and 1, 3 or 4 are expected; leave some out.")
        check_finite(x, label)
        check_scales(x, "image", label)
    return Examples(x, [str(row) for row in range(len(x))], array_labels(path, label_column, len(x)))


def array_labels(path: Path, label_column: str | None, count: int) -> list[str] | None:
    """Returns the labels of `count` examples in a .npz file, under the key `label_column`, as texts; None if that is None.

    Raises:
        UserError: it is a .npy file, or has no such key, or has another number of labels.
    """
    if label_column is None:
        return None
    if path.suffix.lower() == ".npy":
        raise UserError(f"{path} is one array without labels; save both in a .npz file, or leave `label_column` out.")
    with np.load(regular(path), allow_pickle=False) as archive:
        if label_column not in archive:
            raise UserError(f"{path} has no {label_column!r}; its keys are {', '.join(archive.files)}.")
        y = archive[label_column].reshape(-1)
    if len(y) != count:
        raise UserError(
            f"{label_column} in {path} has {len(y)} labels for {count} examples, of {KEYS['train'][0]} or a like key; give "
            f"one each."
        )
    return [str(value) for value in y.tolist()]


def table_examples(
    path: Path,
    shape: tuple[int, ...] | None,
    label_column: str | None,
    columns: Sequence[str],
    units: Units | None = None,
) -> Examples:
    """Returns the rows of a CSV table as vectors; the arguments are as in `read_examples`.

    The first row has the names of the columns, unless all its cells are numbers; the names are then "0", "1", ...

    Raises:
        UserError: the file is no table of numbers, apart from the labels, or lacks a column.
    """
    with open(regular(path), newline="", encoding="utf-8-sig", errors="replace") as file:
        try:
            rows = [row for row in csv.reader(file) if row]
        except csv.Error as error:
            raise UserError(f"{path} is no CSV table ({error}); save it again.") from None
    if not rows:
        raise UserError(f"{path} is empty; give a table with a row for each example.")
    named = not all(as_number(cell) is not None for cell in rows[0])
    names, rows = (
        ([cell.strip() for cell in rows[0]], rows[1:]) if named else (list(map(str, range(len(rows[0])))), rows)
    )
    wrong = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
    if wrong is not None or not rows:
        found = f"row {wrong} of {path} has {len(rows[wrong])} cells" if wrong is not None else f"{path} has no rows"
        raise UserError(f"{found}, and its first row has {len(names)} columns; save the table again.")
    wanted = list(columns) or [name for name in names if name != label_column]
    if absent := [name for name in (*wanted, *([label_column] if label_column else [])) if name not in names]:
        raise UserError(f"{path} has no column {absent[0]!r}; its columns are {', '.join(names[:20])}.")
    if units is not None and units.columns:  # of a table with categories, of which a run takes several numbers each
        x: NDArray[Any] = tables.read_rows(path, units, str(path))
    else:
        x = numbers_of(rows, names, wanted, path)
        x = units.scaling.apply(x) if units and units.scaling else x
    if shape is not None and x.shape[1:] != shape:
        raise UserError(f"{path} has rows of {x.shape[1]} numbers, and expected was the shape {shape}.")
    at = names.index(label_column) if label_column else None
    labels = None if at is None else [row[at].strip() for row in rows]
    return Examples(x, [str(row) for row in range(len(rows))], labels, wanted)


def numbers_of(
    rows: Sequence[Sequence[str]], names: Sequence[str], wanted: Iterable[str], path: Path
) -> NDArray[np.float64]:
    """Returns columns of a table as numbers, shape (n, number of columns).

    Arguments:
        rows: the cells of each row, as texts.
        names: the names of all columns.
        wanted: the names of the columns to return.
        path: the file, for error messages.

    Raises:
        UserError: a cell is no finite number.
    """
    found = []
    for name in wanted:
        at = names.index(name)
        values = [as_number(row[at]) for row in rows]
        if None in values or not all(map(math.isfinite, values)):  # type: ignore[arg-type]
            row = next(i for i, value in enumerate(values) if value is None or not math.isfinite(value))
            cell = rows[row][at].strip()
            missing = cell.lower() in MISSING
            raise UserError(
                f"column {name!r} of {path} {'lacks a number' if missing else f'has {cell!r}'} in row {row}, and a detector "
                f"reads numbers; {'fill or remove that row' if missing else 'leave the column out or write it as numbers'}"
                f", or name it in `label_column` if it has labels."
            )
        found.append(values)
    return np.array(found, dtype=np.float64).T


def as_number(cell: str) -> float | None:
    """Returns the number in a cell of a table; None if it holds none."""
    try:
        return float(cell)
    except ValueError:
        return None
