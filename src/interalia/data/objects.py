"""Data sets and inputs that are given in Python as objects: arrays, tensors, data frames, pictures of Pillow and data sets of
torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import arrays, images, load, tables
from interalia.data.dataset import Dataset, Split
from interalia.data.layouts import fitting
from interalia.data.scaling import Scaling, Units, check_finite, check_scales
from interalia.data.splits import PARTS, SplitOptions
from interalia.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

X, Y = ("image", "img", "pixel_values", "x", "data"), ("label", "labels", "fine_label", "y", "target")  # keys of a row
FAR = (-1.0, 2.0)  # the mean of scaled examples, in network units with the range [0, 1], is between these
Arrays = dict[str, tuple[str, NDArray[Any]]]  # as `interalia.data.arrays.read_arrays` returns them


def as_dataset(
    data: Any,
    image_size: int | None = None,
    data_dir: Path | None = None,
    options: SplitOptions | None = None,
    layout: str = "auto",
    scale: str | Units = "auto",
    impute: str = "refuse",
) -> Dataset:
    """Returns a data set from an object of any kind that the library reads.

    The axes and the numbers of arrays are read as those of files are: the layout is known by shape and type, or given, and
    numbers that are not in [0, 1] are scaled by those of the training split.

    Arguments:
        data: a `Dataset`, which is returned unchanged; the name of a data set or the path of a folder or file; an array or
            tensor with the axes that `interalia.data.arrays` lists; a pair (x, y) of it and labels; a dictionary of arrays
            with the keys that a .npz file may have; a data frame, or a dictionary of columns; or a map-style data set of
            torch or Hugging Face, whose rows are x, (x, y) or dictionaries with the keys "image" and "label"; or a dictionary
            of these by split.
        image_size: pixels a side that images are cropped and resized to; None keeps their size.
        data_dir: the folder of the files of named data sets.
        options: how data are split that come without splits; None for random splits.
        layout: what the axes of an array are, as for `interalia.data.load`.
        scale: how numbers are scaled, as for `interalia.data.load`.
        impute: what replaces missing values of a table, as for `interalia.data.load`.

    Raises:
        UserError: it is none of these, or is empty, or its values do not fit.

    Example:
        >>> found = as_dataset((np.arange(1280).reshape(20, 8, 8).astype(np.uint8), np.arange(20) % 2))
        >>> found.shape, len(found.train), found.classes
        ((1, 8, 8), 16, ('0', '1'))
    """
    if isinstance(data, Dataset):
        return data
    options = options or SplitOptions()
    split, fold, group = options.split, options.fold, options.group
    if isinstance(data, str | Path):
        return load(
            data, data_dir, image_size, split=split, fold=fold, group=group, layout=layout, scale=scale, impute=impute
        )
    if is_table(data):
        if image_size is not None or layout != "auto":
            raise UserError("`data` is a table and not images; leave `image_size` and `layout` out.")
        return tables.from_frame(data, "table", scale, impute, split, fold, group)
    if impute != "refuse":
        raise UserError("`impute` is for tables, and `data` is none; leave it out.")
    found, name, known = contents(data, image_size, group)
    layout = known if layout == "auto" else layout
    return arrays.from_arrays(found, name, "`data`", image_size, options, layout=layout, scale=scale)


def checked(dataset: Dataset) -> Dataset:
    """Returns a data set that the user has made, after a check of the axes, the numbers and the labels of its splits.

    Tensors become arrays, and numbers of 64 bits become float32.

    Raises:
        UserError: the axes are not those of vectors, signals, images or volumes, or differ among the splits; numbers are not
            finite, or those of images not in [0, 1]; or labels are not whole numbers, one for each example.
    """
    parts: dict[str, Any] = {}
    for part in ("train", "validation", "test"):
        split, label = getattr(dataset, part), f"the {part} split of {dataset.name!r}"
        x = split.x if isinstance(split.x, np.ndarray) else to_numpy(split.x)
        check_axes(x, label)
        shape = parts["train"].x.shape[1:] if parts else x.shape[1:]
        if x.shape[1:] != shape:
            raise UserError(
                f"{label} has examples of shape {x.shape[1:]}, and those for training {shape}; give one shape."
            )
        x = x if x.dtype in (np.uint8, np.float32) else x.astype(np.float32)
        check_finite(x, label)
        if dataset.units is None and x.ndim > 3 and len(x):
            check_scales(x, "image", label)
        parts[part] = Split(x, checked_labels(split.y, len(x), label), split.groups)
    other = None if dataset.other is None else checked(dataset.other)
    same = all(part.x is getattr(dataset, key).x and part.y is getattr(dataset, key).y for key, part in parts.items())
    return dataset if same and other is dataset.other else replace(dataset, other=other, **parts)


def check_axes(x: NDArray[Any], label: str) -> None:
    """Raises a UserError unless an array has the axes and the type of one split of a `Dataset`.

    Arguments:
        x: the array.
        label: its name in the message.
    """
    axes = "(n, channels, height, width) for images, (n, channels, length) for signals or (n, columns)"
    if not 2 <= x.ndim <= 5 or (x.ndim == 3 and x.dtype == np.uint8):
        raise UserError(
            f"{label} has the shape {x.shape}, and expected was {axes}; reshape it, or give the array itself."
        )
    if x.ndim == 4 and x.shape[3] in images.MODES and x.shape[1] not in images.MODES:
        raise UserError(f"{label} has the shape {x.shape}, and expected was {axes}; transpose it by (0, 3, 1, 2).")
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise UserError(
            f"{label} holds {x.dtype}, and expected was uint8 or float32; convert it, or give the array itself."
        )


def checked_labels(y: Any, rows: int, label: str) -> NDArray[np.int64] | None:
    """Returns the labels of a split, int64; None without labels.

    Arguments:
        y: the labels, an array or a tensor of shape (n,), or None.
        rows: the number n of examples.
        label: the name of the split in error messages.

    Raises:
        UserError: they are of another number or shape, or are not whole numbers from -1.
    """
    if y is None:
        return None
    found = to_numpy(y)
    if found.shape != (rows,):
        raise UserError(f"{label} has labels of shape {found.shape} for {rows} rows; give one a row, shape ({rows},).")
    if found.dtype.kind not in "iub" or (rows and int(found.min()) < -1):
        raise UserError(f"{label} has labels of {found.dtype}, and expected were whole numbers from 0; convert them.")
    return found.astype(np.int64, copy=False)


def contents(data: Any, image_size: int | None, group: str | None) -> tuple[Arrays, str, str]:
    """Returns the arrays in an object as `interalia.data.arrays.read_arrays` does, a name for its data set, and their layout.

    The layout is "image" for pictures, else "auto".

    Arguments:
        data: an array, a tensor, a pair, a dictionary or a map-style data set, as in `as_dataset`.
        image_size: pixels a side that the pictures of a map-style data set are resized to.
        group: the key of the groups in a dictionary; None for none.

    Raises:
        UserError: it is none of these.
    """
    if is_array(data):
        return {"train": ("the array", to_numpy(data))}, "array", "auto"
    if isinstance(data, tuple) and len(data) == 2 and is_array(data[0]):
        return {"train": ("x", to_numpy(data[0])), "train-labels": ("y", to_numpy(data[1]))}, "array", "auto"
    if isinstance(data, Mapping) and "train" in data and not is_array(data["train"]):
        found: Arrays = {}
        layouts = set()
        for given_part in (key for key in data if str(key).lower() in PARTS):
            rows, layout = rows_of(data[given_part], image_size)
            layouts.add(layout)
            found |= {key.replace("train", PARTS[given_part.lower()]): array for key, array in rows.items()}
        return found, type(data["train"]).__name__, layouts.pop() if len(layouts) == 1 else "auto"
    if isinstance(data, Mapping):
        given = {str(key): to_numpy(value) for key, value in data.items()}
        keys = arrays.keys_of(list(given), "`data`", group)
        return {part: (key, given[key]) for part, key in keys.items()}, "arrays", "auto"
    kind = type(data).__name__
    if hasattr(data, "batch_sampler"):
        raise UserError(f"`data` is a {kind}, which returns batches; give its data set, `loader.dataset`.")
    if isinstance(data, bytes) or not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        raise UserError(
            f"`data` is of type {kind}; give an array, a pair (x, y) of arrays, a data frame, a folder or file, or a "
            f"data set with __len__ and __getitem__."
        )
    found, layout = rows_of(data, image_size)
    return found, kind, layout


def rows_of(data: Any, image_size: int | None) -> tuple[Arrays, str]:
    """Returns the examples and the labels of a map-style data set, and their layout, as `contents` does.

    Arguments:
        data: the data set; its rows are x, (x, y) or dictionaries; x is a picture of Pillow, a tensor or an array.
        image_size: pixels a side that pictures of Pillow are cropped and resized to; None if their sizes are equal.

    Raises:
        UserError: there is no row, or one is of another kind, or the rows differ in shape.
    """
    if len(data) == 0:
        raise UserError(f"`data`, of type {type(data).__name__}, is empty; give a data set with examples.")
    found, labels, pictures = [], [], 0
    for i in range(len(data)):
        x, y = pair_of(data[i], i)
        pictures += is_picture(x)
        found.append(picture(x, image_size) if is_picture(x) else to_numpy(x))
        if y is not None:
            labels.append(y)
    if pictures not in (0, len(found)):
        raise UserError(
            f"{pictures:,} of the {len(found):,} rows of `data` are pictures, the others arrays; give one kind."
        )
    if pictures:
        if len({x.dtype == np.uint8 for x in found}) > 1:  # pictures of 8 and of more bits: all are gray levels
            found = [
                x if x.dtype == np.uint8 else picture(pair_of(data[i], i)[0], image_size, "L")
                for i, x in enumerate(found)
            ]
        channels = max(len(x) for x in found)
        found = [with_channels(x, channels) for x in found]
    shapes = {x.shape for x in found}
    if len(shapes) > 1:
        raise UserError(
            f"the rows of `data` have different shapes ({', '.join(map(str, sorted(shapes)[:3]))}); give `image_size`, or "
            f"rows of one shape."
        )
    if labels and len(labels) != len(found):
        raise UserError(
            f"{len(labels):,} of the {len(found):,} rows of `data` have a label; give every row one, or none."
        )
    rows: Arrays = {"train": ("x", np.stack(found)), **({"train-labels": ("y", np.array(labels))} if labels else {})}
    return rows, "image" if pictures else "auto"


def pair_of(row: Any, i: int) -> tuple[Any, Any]:
    """Returns x and the label y of row `i` of a map-style data set; y is None without a label.

    Arguments:
        row: x, a pair (x, y), or a dictionary with x under one of the keys `X` and the label under one of the keys `Y`.
        i: the number of the row, from 0, for the error message.

    Raises:
        UserError: a dictionary has none of the keys `X`.
    """
    if isinstance(row, Mapping):
        key = next((key for key in X if key in row), None)
        if key is None:
            raise UserError(
                f"row {i} of `data` has the keys {', '.join(map(str, row))}; expected was one of {', '.join(X)}."
            )
        return row[key], label_of(next((row[key] for key in Y if key in row), None))
    if isinstance(row, tuple | list) and 1 <= len(row) <= 2:
        return row[0], label_of(row[1]) if len(row) == 2 else None
    return row, None


def label_of(value: Any) -> Any:
    """Returns a label as a number or text; None if it is None or has more than one element, as attributes and boxes have."""
    if value is None or isinstance(value, str | int):
        return value
    found = to_numpy(value)
    return found.item() if found.size == 1 else None


def is_array(value: Any) -> bool:
    """True for arrays of NumPy, tensors, and objects that NumPy converts by their method ``__array__``, except pictures."""
    return hasattr(value, "__array__") and hasattr(value, "shape") and not is_picture(value)


def is_picture(value: Any) -> bool:
    """True for a picture of Pillow."""
    from PIL.Image import Image

    return isinstance(value, Image)


def to_numpy(value: Any) -> NDArray[Any]:
    """Converts a tensor on any device, an array, a number or nested lists of numbers to an array.

    Raises:
        UserError: NumPy cannot convert it.
    """
    detach = getattr(value, "detach", None)
    try:
        return np.asarray(detach().cpu() if detach else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"a {type(value).__name__} is no array of numbers ({error}); convert it to one.") from None


def is_table(value: Any) -> bool:
    """True for a data frame, such as that of pandas, or a dictionary of columns: arrays or lists of one dimension."""
    if isinstance(value, Mapping):
        return len(value) > 0 and all(is_column(column) for column in value.values())
    return hasattr(value, "columns") and hasattr(value, "dtypes")


def is_column(value: Any) -> bool:
    """True for an array of one dimension, and a list of numbers or texts, or of None where a value is missing."""
    if is_array(value):
        return len(value.shape) == 1
    return isinstance(value, list) and all(
        one is None or isinstance(one, str | int | float | np.generic) for one in value
    )


def picture(image: Any, image_size: int | None, mode: str = "") -> NDArray[Any]:
    """Returns the pixels of a picture of Pillow, shape (channels, height, width).

    Arguments:
        image: the picture; its orientation tag is followed.
        image_size: pixels a side that it is cropped and resized to; None keeps its size.
        mode: a mode that `interalia.data.images.fit` takes; "" for that which loses nothing.

    Raises:
        UserError: it cannot be converted to that mode.
    """
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    return fit(image, mode or images.lossless_mode(image), (image_size, image_size) if image_size else None)


def fit(image: Any, mode: str, shape: tuple[int, int] | None) -> NDArray[Any]:
    """Returns the pixels of a picture of Pillow as `interalia.data.images.fit` does, of which the arguments are.

    Raises:
        UserError: it cannot be converted to that mode.
    """
    try:
        return images.fit(image, mode, shape)
    except UserError as error:  # its message begins with a verb
        raise UserError(f"a picture {error}") from None


def with_channels(x: NDArray[Any], channels: int) -> NDArray[Any]:
    """Returns an image, shape (1, 3 or 4, height, width), with the given number of channels, 3 or 4, if it has fewer.

    A gray image is repeated in three channels; a new fourth channel, the opacity, is 255.
    """
    if len(x) == 1 and channels > 1:
        x = np.repeat(x, 3, axis=0)
    return x if len(x) == channels else np.concatenate([x, np.full_like(x[:1], 255)])


def as_inputs(x: Any, shape: Sequence[int], missing: bool = False, units: Units | None = None) -> Tensor:
    """Converts inputs for a trained game to a floating-point tensor in network units, shape (n, *shape).

    A floating-point tensor of torch with this shape is in network units already, as the networks take x and return it, and
    is returned unchanged. Everything else is in the data's own units, i.e. as the files and arrays that were trained on, and
    is scaled as these were: images of bytes to [0, 1], other data by `units`.

    Arguments:
        x: a tensor or an array of n examples; a picture of Pillow; a path of an image, of a folder of images, or of a file
            of arrays or a table; a data frame or a dictionary of columns; or a list of these or of single examples.
            Pictures and files of images are cropped, resized and converted.
        shape: the shape of one example that the game was trained on.
        missing: True if a tensor may have NaN and any other numbers, where the example is not known.
        units: the units of the data that the game was trained on; None if they were not scaled.

    Raises:
        UserError: x is of another kind or shape, or its numbers are not finite, or images without `units` are not in
            [0, 1] and not uint8, or the numbers of a floating-point tensor are not in network units.
    """
    import torch

    from interalia.data.store import as_tensor

    shape, scaling = tuple(shape), units.scaling if units else None
    if is_table(x):
        return as_tensor(tables.encode_frame(x, units or Units(), "the input"))
    if isinstance(x, list | tuple) and x and not isinstance(x[0], int | float | list | tuple):
        singles = [one[None] if is_array(one) and tuple(one.shape) == shape else one for one in x]
        return torch.cat([as_inputs(one, shape, missing, units) for one in singles])
    if isinstance(x, str | Path):
        return images.read_images([x], shape, units)
    if is_picture(x):
        if not (mode := images.input_mode(shape, units)):
            raise UserError(f"this game was trained on data of shape {shape}, and a picture was given; give an array.")
        pixels = fit(x, mode, (shape[1], shape[2]))[None]
        return as_tensor(scaling.apply(pixels) if scaling else pixels)
    if isinstance(x, torch.Tensor) and x.is_floating_point() and x.shape[1:] == shape:
        return x if missing else in_network_units(x, scaling)
    if x is None or isinstance(x, int | float | bytes | set):
        raise UserError(
            f"the input is of type {type(x).__name__}, and this game was trained on (n, {', '.join(map(str, shape))}); give "
            f"an array, a tensor, a picture, a path or a list of these."
        )
    rows = to_numpy(x)
    known = fitting(rows.shape, shape)
    if known is None or not len(rows) or (known.add_channel and isinstance(x, torch.Tensor)):
        advice = "resize or convert the images first" if len(shape) == 3 else "give examples of that shape"
        if units and units.columns:
            advice = "give a data frame with the columns that were trained on"
        sizes = ", ".join(map(str, shape))
        raise UserError(f"the input has the shape {rows.shape}, and this game was trained on (n, {sizes}); {advice}.")
    return as_tensor(arrays.fitted(rows, "the input", shape, units))


def in_network_units(x: Tensor, scaling: Scaling | None) -> Tensor:
    """Returns a floating-point tensor of examples if its numbers can be those that networks take.

    Images and volumes that were not scaled are in [0, 1]. Examples that were scaled to [0, 1] may lie outside, because the
    training data may have a smaller range than they, but their mean is from -1 to 2.

    Arguments:
        x: the examples, shape (n, *shape).
        scaling: the scaling of the data that was trained on; None if they were not scaled.

    Raises:
        UserError: a number is not finite, or not in that range.
    """
    if not len(x):
        return x
    low, high = map(float, x.detach().aminmax())  # NaN if there is one
    if not (math.isfinite(low) and math.isfinite(high)):
        check_finite(to_numpy(x.detach().double()), "the input")
    if scaling is None:
        if x.ndim > 3 and not 0 <= low <= high <= 1:
            check_scales(to_numpy(x.detach().double()), "image", "the input")
    elif scaling.support == "unit" and not FAR[0] <= (mean := float(x.detach().double().mean())) <= FAR[1]:
        raise UserError(
            f"the input is a tensor with the mean {mean:.4g}, and tensors are in the units of the networks, here about "
            f"[0, 1]; give numbers in the data's own units as an array of NumPy."
        )
    return x
