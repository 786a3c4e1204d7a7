"""Reads all examples of a file or folder, without splits: images with the names of their files, arrays, or the rows of a
table, and their labels.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import tables
from interalia.data.arrays import KEYS, check_type, converted, fitted, read_arrays
from interalia.data.columns import Values, from_array, is_table, read_columns, without_index
from interalia.data.images import NUMBERS, SUFFIXES, inner_paths, input_mode, list_images
from interalia.data.layouts import layout_of
from interalia.data.scaling import Column, Units, check_finite, check_scales
from interalia.data.shards import check_columns, is_shards, whole
from interalia.disk import regular
from interalia.errors import UserError

FOLDER = "folder"  # the label column of images: the name of the folder that an image is in


@dataclass(frozen=True)
class Examples:
    """All examples of a file or folder.

    Attributes:
        x: images, signals or volumes, shape (n, channels, ...), in the type of the file; or vectors, float64, shape (n, d);
            or the columns of a table with texts or missing values, a dictionary: name -> the values, float64 with NaN where
            one is missing, or texts with None, shape (n,).
        names: the file of each image; or the row number of each example, from 0, as text.
        labels: the label of each example as a text; None if no labels were requested.
        columns: the names of the columns of a table; empty for images and arrays.
    """

    x: NDArray[Any] | Mapping[str, NDArray[Any]]
    names: Sequence[str]
    labels: Sequence[str] | None = None
    columns: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dtype(self) -> str:
        """The name of the type of the numbers; "table" for columns."""
        return "table" if isinstance(self.x, Mapping) else self.x.dtype.name


def read_examples(
    path: Path,
    shape: tuple[int, ...] | None = None,
    image_size: int | None = None,
    label_column: str | None = None,
    columns: Sequence[str] = (),
    units: Units | None = None,
    layout: str = "auto",
    dtype: str = "",
    categories: Collection[str] = (),
) -> Examples:
    """Reads all examples of a table, of a .npy or .npz file, of an image, of a folder, .zip or .tar of images, or of shards.

    Arguments:
        path: the file or folder.
        shape: the shape that each example must have; images are cropped and resized to it. None for any.
        image_size: pixels a side that images in files are cropped and resized to; None keeps their size.
        label_column: the column of a table, or the key of an array in a .npz file, that has the labels; "folder" for
            images whose labels are the names of the folders that they are in; any name for the labels of shards. None for no
            labels.
        columns: the columns of a table to read, in this order; empty for all except the labels.
        units: the units of the data that a game was trained on, by which the numbers are scaled; None to scale none.
        layout: what the axes of an array are, see `interalia.data.layouts.layout_of`.
        dtype: the type of the numbers that a detector was fitted on, without units, such as "uint16"; "" for any.
        categories: the names of the columns of a table that are read as texts even if all of their cells are numbers.

    Raises:
        UserError: there is no such file, it is damaged, or its content is not of one of these kinds or does not fit.
    """
    kinds = "a .csv, .tsv, .parquet, .feather, .npy or .npz file, a folder, .zip or .tar of images, or shards"
    if not path.exists():
        raise UserError(f"there is no file or folder {path}; give {kinds}.")
    kind = path.suffix.lower()
    if is_shards(path):
        x, dataset = whole(path)
        check_columns(path, dataset.units, units, columns)
        of_split = [part.y for part in (dataset.train, dataset.validation, dataset.test) if part.y is not None]
        y = [dataset.classes[i] if i >= 0 else "" for i in np.concatenate(of_split)] if of_split else None
        names = list(map(str, range(len(x))))
        x = x if shape is None else fit_array(x, str(path), shape, units, layout, dtype)
        return Examples(x, names, y if label_column else None)
    if path.is_dir() or kind in (".zip", ".tar", *SUFFIXES):
        return image_examples(path, shape, image_size, label_column, units, dtype)
    if is_table(path):
        return table_examples(path, shape, label_column, columns, units, categories)
    if kind in (".npy", ".npz"):
        return array_examples(path, shape, label_column, units, layout, dtype)
    raise UserError(f"{path} is of a type that is not supported; give {kinds}.")


def image_examples(
    path: Path,
    shape: tuple[int, ...] | None,
    image_size: int | None,
    label_column: str | None,
    units: Units | None = None,
    dtype: str = "",
) -> Examples:
    """Returns the images of a folder, .zip or .tar, or one image, in alphabetical order; the arguments are as in
    `read_examples`.

    Raises:
        UserError: there is no image, one is damaged, or they differ in size and no size is given.
    """
    if shape is not None and len(shape) != 3:
        kind = {1: f"vectors of {shape[0]} numbers", 2: f"signals of the shape {shape}"}
        needed = kind.get(len(shape), f"volumes of the shape {shape}")
        files = "a .csv or .npy file" if len(shape) == 1 else "a .npy file"
        raise UserError(f"{path} holds images, and {needed} are needed; give {files}.")
    if label_column not in (None, FOLDER):
        raise UserError(f"`label_column` is {label_column!r}, and images have the label column {FOLDER!r}; give that.")
    listed = list_images([path])
    (images, _), names = listed[0], [name for _, name in listed]
    mode, sizes, _ = images.headers(names)
    if shape is not None:
        mode, size = dtype if dtype in NUMBERS else input_mode(shape, units), shape[1:]
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
    path: Path,
    shape: tuple[int, ...] | None,
    label_column: str | None,
    units: Units | None = None,
    layout: str = "auto",
    dtype: str = "",
) -> Examples:
    """Returns the examples of a .npy or .npz file; the arguments are as in `read_examples`.

    The array of a .npz file is under one of the keys that `interalia.data.arrays` lists.

    Raises:
        UserError: the file is damaged, has no such array or labels, or the array does not fit or is not finite.
    """
    key, array = read_arrays(path)["train"]
    label = f"{key} in {path}"
    if shape is not None:
        x = fit_array(array, label, shape, units, layout, dtype)
    else:
        x = layout_of(check_type(label, array), label, layout).apply(array)
        x = x.astype(np.float64) if x.ndim == 2 else x
        check_finite(x, label)
    return Examples(x, [str(row) for row in range(len(x))], array_labels(path, label_column, len(x)))


def fit_array(
    array: NDArray[Any], label: str, shape: tuple[int, ...], units: Units | None, layout: str, dtype: str
) -> NDArray[Any]:
    """Returns the examples of an array in the shape of those that a game or a detector was trained on, (n, *shape).

    For a game they are scaled, see `interalia.data.arrays.fitted`. For a detector they stay in their own units, and images of
    another size are resized.

    Arguments:
        array: the array.
        label: its name in error messages.
        shape: the shape of one example.
        units: the units of the game's data; None for a detector.
        layout: what the axes are.
        dtype: the type of the numbers that the detector was fitted on; "" for a game.

    Raises:
        UserError: they are of another shape, or not finite, or not in the range of images of bytes where `dtype` is "uint8".
    """
    if units is not None or not dtype:
        return fitted(array, label, shape, units)
    x = layout_of(check_type(label, array), label, layout, shape).apply(array)
    check_finite(x, label)
    image = len(shape) == 3 and x.ndim == 4
    if image and dtype == "uint8":
        check_scales(x, "image", label)
    if image and x.shape[1:] != shape:
        x = converted(x, shape, label, scaled=dtype != "uint8")
    if x.shape[1:] != shape:
        if len(shape) == 1 and x.ndim == 2:
            raise UserError(f"{label} has rows of {x.shape[1]} numbers, and expected was the shape {shape}.")
        raise UserError(f"{label} has examples of the shape {x.shape[1:]}, and expected was {shape}; convert them.")
    return x.astype(np.float64) if x.ndim == 2 else x


def array_labels(path: Path, label_column: str | None, count: int) -> list[str] | None:
    """Returns the labels of `count` examples in a .npz file, under the key `label_column`, as texts; None if that is None.

    Raises:
        UserError: it is a .npy file, or has no such key, or has another number of labels, or no numbers or texts under it.
    """
    if label_column is None:
        return None
    if path.suffix.lower() == ".npy":
        raise UserError(f"{path} is one array without labels; save both in a .npz file, or leave `label_column` out.")
    with np.load(regular(path), allow_pickle=False) as archive:
        if label_column not in archive:
            raise UserError(f"{path} has no {label_column!r}; its keys are {', '.join(archive.files)}.")
        try:
            y = archive[label_column].reshape(-1)
        except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"{label_column} in {path} cannot be read ({error}); save plain numbers or texts under it."
            ) from None
    if len(y) != count:
        raise UserError(
            f"{label_column} in {path} has {len(y)} labels for {count} examples, of {KEYS['train'][0]} or a like key; give "
            f"one each."
        )
    return texts_of(from_array(label_column, np.char.decode(y, "utf-8", "replace") if y.dtype.kind == "S" else y))


def table_examples(
    path: Path,
    shape: tuple[int, ...] | None,
    label_column: str | None,
    columns: Sequence[str],
    units: Units | None = None,
    categories: Collection[str] = (),
) -> Examples:
    """Returns the rows of a table, as vectors if all columns are of numbers, none of which is missing, else as columns; the
    arguments are as in `read_examples`.

    The first row has the names of the columns, unless all its cells are numbers; the names are then "0", "1", ...

    Raises:
        UserError: the file is no table, or lacks a column, or has another number of columns than `shape`.
    """
    values = {one.name: one for one in read_columns(path, {*categories, *tables.categories_of(units)})}
    wanted = list(columns) or [name for name in without_index(list(values)) if name != label_column]
    if absent := [name for name in (*wanted, *([label_column] if label_column else [])) if name not in values]:
        raise UserError(f"{path} has no column {absent[0]!r}; its columns are {', '.join(list(values)[:20])}.")
    count = len(next(iter(values.values()))) if values else 0
    if not count or not wanted:
        raise UserError(f"{path} has no rows of values; give a table with a row of names and a row for each example.")
    chosen = [values[name] for name in wanted]
    numbers = [one.numbers for one in chosen if one.numbers is not None and not one.missing.any()]
    x: Any
    if units is not None and units.columns:  # of a table with categories, of which a run takes several numbers each
        x = tables.encode_rows(values, units, str(path))
    elif len(numbers) == len(chosen):
        x = np.stack(numbers, axis=1)
        check_finite(x, f"the table {path}")
        x = units.scaling.apply(x) if units and units.scaling else x
    else:
        for one in chosen if shape is not None else ():  # of numbers, none of which may be missing
            tables.check(one, Column(one.name, one.dtype), str(path))
        x = {one.name: np.array(one.texts, dtype=object) if one.numbers is None else one.numbers for one in chosen}
    if shape is not None and not isinstance(x, dict) and x.shape[1:] != shape:
        raise UserError(f"{path} has rows of {x.shape[1]} numbers, and expected was the shape {shape}.")
    labels = None if label_column is None else texts_of(values[label_column])
    return Examples(x, [str(row) for row in range(count)], labels, wanted)


def texts_of(values: Values) -> list[str]:
    """Returns the values of a column as texts, one for each row, as `interalia.data.tables.as_words` does; "" where one is
    missing, and "true" or "false" for bool.
    """
    words, places = tables.as_words(values)
    words = [word.lower() if values.dtype == "bool" else word for word in words]
    return [words[i] if i >= 0 else "" for i in places.tolist()]
