"""Data sets and inputs that are given in Python as objects: arrays, tensors, pictures of Pillow and data sets of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import arrays, images, load
from interalia.data.dataset import Dataset
from interalia.data.splits import PARTS, SplitOptions
from interalia.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

X, Y = ("image", "img", "pixel_values", "x", "data"), ("label", "labels", "fine_label", "y", "target")  # keys of a row


def as_dataset(
    data: Any, image_size: int | None = None, data_dir: Path | None = None, options: SplitOptions | None = None
) -> Dataset:
    """Returns a data set from an object of any kind that the library reads.

    Arguments:
        data: a `Dataset`, which is returned unchanged; the name of a data set or the path of a folder or file; an array or
            tensor of images or vectors, with the axes that `interalia.data.arrays` lists; a pair (x, y) of it and labels;
            a dictionary of arrays with the keys that a .npz file may have; or a map-style data set of torch or Hugging Face,
            whose rows are x, (x, y) or dictionaries with the keys "image" and "label"; or a dictionary of these by split.
        image_size: pixels a side that images are cropped and resized to; None keeps their size.
        data_dir: the folder of the files of named data sets.
        options: how data are split that come without splits; None for random splits.

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
    if isinstance(data, str | Path):
        return load(data, data_dir, image_size, split=options.split, fold=options.fold, group=options.group)
    found, name = contents(data, image_size, options.group)
    return images.check_contrast(arrays.from_arrays(found, name, "`data`", image_size, options), "`data`")


def contents(data: Any, image_size: int | None, group: str | None) -> tuple[dict[str, tuple[str, NDArray[Any]]], str]:
    """Returns the arrays in an object as `interalia.data.arrays.read_arrays` does, and a name for its data set.

    Arguments:
        data: an array, a tensor, a pair, a dictionary or a map-style data set, as in `as_dataset`.
        image_size: pixels a side that the pictures of a map-style data set are resized to.
        group: the key of the groups in a dictionary; None for none.

    Raises:
        UserError: it is none of these.
    """
    if is_array(data):
        return {"train": ("the array", to_numpy(data))}, "array"
    if isinstance(data, tuple) and len(data) == 2 and is_array(data[0]):
        return {"train": ("x", to_numpy(data[0])), "train-labels": ("y", to_numpy(data[1]))}, "array"
    if isinstance(data, Mapping) and "train" in data and not is_array(data["train"]):
        found: dict[str, tuple[str, NDArray[Any]]] = {}
        for given_part in (key for key in data if str(key).lower() in PARTS):
            rows = rows_of(data[given_part], image_size)
            found |= {key.replace("train", PARTS[given_part.lower()]): array for key, array in rows.items()}
        return found, type(data["train"]).__name__
    if isinstance(data, Mapping):
        given = {str(key): to_numpy(value) for key, value in data.items()}
        keys = arrays.keys_of(list(given), "`data`", group)
        return {part: (key, given[key]) for part, key in keys.items()}, "arrays"
    kind = type(data).__name__
    if hasattr(data, "batch_sampler"):
        raise UserError(f"`data` is a {kind}, which returns batches; give its data set, `loader.dataset`.")
    if isinstance(data, bytes) or not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        raise UserError(
            f"`data` is of type {kind}; give an array, a pair (x, y) of arrays, a folder or file, or a data set with "
            f"__len__ and __getitem__."
        )
    if len(data) == 0:
        raise UserError(f"`data`, of type {kind}, is empty; give a data set with examples.")
    return rows_of(data, image_size), kind


def rows_of(data: Any, image_size: int | None) -> dict[str, tuple[str, NDArray[Any]]]:
    """Returns the examples and the labels of a map-style data set, as `contents` does.

    Arguments:
        data: the data set; its rows are x, (x, y) or dictionaries; x is a picture of Pillow, a tensor or an array.
        image_size: pixels a side that pictures of Pillow are cropped and resized to; None if their sizes are equal.

    Raises:
        UserError: a row is of another kind, or the rows differ in shape.
    """
    first, labels = [], []
    for i in range(len(data)):
        x, y = pair_of(data[i], i)
        first.append(picture(x, image_size) if is_picture(x) else to_numpy(x))
        if y is not None:
            labels.append(y)
    if is_picture(pair_of(data[0], 0)[0]):
        channels = max(len(x) for x in first)
        first = [with_channels(x, channels) for x in first]
    shapes = {x.shape for x in first}
    if len(shapes) > 1:
        raise UserError(
            f"the rows of `data` have different shapes ({', '.join(map(str, sorted(shapes)[:3]))}); give `image_size`, or "
            f"rows of one shape."
        )
    if labels and len(labels) != len(first):
        raise UserError(
            f"{len(labels):,} of the {len(first):,} rows of `data` have a label; give every row one, or none."
        )
    return {"train": ("x", np.stack(first)), **({"train-labels": ("y", np.array(labels))} if labels else {})}


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


def picture(image: Any, image_size: int | None) -> NDArray[np.uint8]:
    """Returns the pixels of a picture of Pillow in the color mode that loses nothing, uint8, shape (channels, height, width).

    Arguments:
        image: the picture; its orientation tag is followed.
        image_size: pixels a side that it is cropped and resized to; None keeps its size.
    """
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    return images.fit(image, images.lossless_mode(image), (image_size, image_size) if image_size else None)


def with_channels(x: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Returns an image, uint8, shape (1, 3 or 4, height, width), with more channels: gray is repeated, and the fourth channel
    is opaque, 255.
    """
    if len(x) == 1 and channels > 1:
        x = np.repeat(x, 3, axis=0)
    return x if len(x) == channels else np.concatenate([x, np.full_like(x[:1], 255)])


def as_inputs(x: Any, shape: Sequence[int], missing: bool = False) -> Tensor:
    """Converts inputs for a trained game to a floating-point tensor, shape (n, *shape); images are in [0, 1].

    A floating-point tensor of this shape with images in [0, 1], or with vectors, is returned unchanged.

    Arguments:
        x: a tensor or an array of n examples; a picture of Pillow; a path of an image, of a folder of images or of
            a .npy or .npz file; or a list of these. Pictures and files of images are cropped, resized and converted.
        shape: the shape of one example that the game was trained on.
        missing: True if a tensor may have NaN and any other numbers, where the example is not known.

    Raises:
        UserError: x is of another kind, has another shape, or images in it are not in [0, 1] and are not uint8.
    """
    import torch

    from interalia.data.store import as_tensor

    shape = tuple(shape)
    if isinstance(x, list | tuple) and x and not isinstance(x[0], int | float | list | tuple):
        return torch.cat([as_inputs(one, shape, missing) for one in x])
    if isinstance(x, str | Path):
        return images.read_images([x], shape)
    if is_picture(x):
        if len(shape) != 3 or shape[0] not in images.MODES:
            raise UserError(f"this game was trained on data of shape {shape}, and a picture was given; give an array.")
        return as_tensor(images.fit(x, images.MODES[shape[0]], (shape[1], shape[2]))[None])
    if isinstance(x, torch.Tensor) and x.is_floating_point() and x.shape[1:] == shape:
        low, high = map(float, x.detach().aminmax()) if len(x) else (0.0, 0.0)  # NaN if there is one
        if missing or ((low >= 0 and high <= 1) if len(shape) == 3 else math.isfinite(low) and math.isfinite(high)):
            return x
    rows = to_numpy(x)
    plain = rows.ndim == len(shape) == 3 and shape[0] == 1 and not isinstance(x, torch.Tensor)
    gray = rows[:, None] if plain else rows  # an array may come without an axis of channels
    if shape not in (gray.shape[1:], (*gray.shape[3:], *gray.shape[1:3])) or not len(rows):
        raise UserError(
            f"the input has the shape {rows.shape}, and this game was trained on (n, {', '.join(map(str, shape))}); resize "
            f"or convert the images first."
        )
    return as_tensor(arrays.as_rows(rows, "the input", shape))
