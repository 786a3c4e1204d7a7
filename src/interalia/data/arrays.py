"""Reads data sets of images or vectors from a .npy or .npz file, which contains one of these arrays for each split:

- Images of one channel: uint8, shape (n, height, width).
- Images: uint8, four axes. The last axis is the channels if its length is 1, 3 or 4, otherwise the second axis.
  Images may also be numbers in [0, 1], which are rounded to 256 levels.
- Vectors: floating-point or integer numbers, shape (n, d), converted to float32.

The keys of a .npz file are ``train_images``, ``x_train``, ``images``, ``data``, ``x``, ``X`` or ``arr_0``, optionally with
``val_images`` / ``x_val`` and ``test_images`` / ``x_test``, and with labels ``train_labels``, ``y_train``, ``labels`` or
``y`` and so on. Missing splits are taken from the training array by a fixed permutation.

A label -1 beside other whole numbers, or an empty one beside other texts, is that of an unlabelled example, which is only
trained on; the labels -1 and 1 alone are two classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import images
from interalia.data.cache import Content, cached
from interalia.data.copies import notes, with_copies
from interalia.data.dataset import Dataset, Split
from interalia.data.splits import NAMES, SplitOptions, digest, divide, format_sizes, relabel
from interalia.disk import most_bytes, regular, too_large
from interalia.errors import UserError

Array = NDArray[Any]

RATIO = 100  # an array that is packed smaller than that is refused above INTERALIA_MAX_MB
SMALLEST = 0.01  # scale of a column, as a share of the largest one, below which it would not be learned

KEYS = NAMES["keys"]  # split, or split and "-labels" -> the keys that its array may have in a .npz file


def load_array(path: Path, image_size: int | None, options: SplitOptions) -> Dataset:
    """Loads a data set of images or vectors from a .npy or .npz file, with the keys and shapes of this module's docstring.

    Arguments:
        path: the file.
        image_size: pixels a side that images are cropped and resized to; None keeps their size. Vectors require None.
        options: how a file is split that has training data alone.

    Raises:
        UserError: the file is damaged, or has too few images or vectors, or `image_size` is given for vectors, or an array
            has none of these shapes, or the arrays do not fit each other, or cannot be split by the options.
    """
    content = read_arrays(path, options.group)
    _, group = content.pop("group", ("", None))
    arrays = [(part, *pair) for part, pair in content.items() if "-" not in part]
    x = {part: as_rows(array, f"{key} in {path}", scales=part == "train") for part, key, array in arrays}
    if len({array.shape[1:] for array in x.values()}) > 1:
        shapes = ", ".join(f"{part} {array.shape}" for part, array in x.items())
        raise UserError(f"the parts in {path} have different shapes ({shapes}); give all rows one shape.")
    image = x["train"].ndim == 4
    if not image and image_size is not None:
        raise UserError(f"{path} holds vectors and not images, which have no size; leave `image_size` out.")
    y, classes, unlabeled_because = _labels({part: content.get(f"{part}-labels") for part in x}, x, path)
    given = set(x) - {"train"}
    if given and options:
        raise UserError(f"{path} has its own {', '.join(sorted(given))} split; leave out `split`, `fold`, `group`.")
    if group is None and not image and options.group in list(map(str, range(x["train"].shape[1]))):
        group = x["train"].T[int(options.group or 0)]
    assigned, groups, _ = options.assigned(list(map(str, range(len(x["train"])))) if options else [], path, group)
    rows = assigned or {part: np.arange(len(array)) for part, array in x.items()}
    unlabelled = y["train"] < 0 if y else np.zeros(len(x["train"]), bool)
    rows = divide(rows, unlabelled, "row(s)", path, groups)
    own = "as in the file" + ", the third taken from train by a fixed permutation" * (len(given) == 1)
    how = options.how(f"Train / validation / test {own if given else 'by a fixed permutation of the rows'}")
    x = {part: x.get(part, x["train"]) for part in rows}  # missing splits are taken from the training rows
    y = {part: y.get(part, y["train"])[rows[part]] for part in rows} if y else {}

    def contents() -> Iterator[Content]:
        """Yields a tuple for each split, to be cached: its name, its number of images or vectors, and an iterator of chunks
        of its resized images, uint8, or of its vectors, float32.
        """
        for part, index in rows.items():
            chunks = (x[part][index[i : i + images.CHUNK]] for i in range(0, len(index), images.CHUNK))
            if image:
                yield (
                    part,
                    len(index),
                    (each for chunk in chunks for each in images.resize(as_uint8(chunk), image_size)),
                )
            else:
                yield part, len(index), (chunk.astype(np.float32) for chunk in chunks)

    key = {"size": image_size, "split": digest(rows)}
    stored = cached(path.stem, [path], key, with_copies(contents()))
    splits: dict[str, Any] = {part: Split(stored[part], y.get(part)) for part in rows}
    size, *side = splits["train"].x.shape[1:]  # channels, height and width, or the length of a vector
    what = f"images of {side[1]}x{side[0]} pixels and {size} channel(s)" if image else f"vectors of {size} numbers"
    known = f"{len(classes)} classes" if classes else "labels that are not used" if unlabeled_because else "no labels"
    about = (
        f"{sum(map(len, splits.values())):,} {what} from {path.name}, "
        f"{known}{images.resize_note(image_size)}. {how}: {format_sizes(splits.values())}."
        f"{notes(splits, len(x['train']) if not given else 0, stored['copies'])}"
    )
    return Dataset(path.stem, **splits, classes=classes, about=about, unlabeled_because=unlabeled_because)


def read_arrays(path: Path, group: str | None = None) -> dict[str, tuple[str, Array]]:
    """Reads the arrays of a .npy or .npz file, memory-mapped from a .npy file.

    Arguments:
        path: the file.
        group: the key of an array of a .npz file to read too; None for none.

    Returns:
        A dictionary: "train", "validation" or "test" for images or vectors, "train-labels" and so on for labels, and "group"
        for the array of the key `group` -> a pair of the key in the file and the array. Arrays that are not in the file
        are absent. For a .npy file the only entry is "train" -> ("the array", its array).

    Raises:
        UserError: the file is damaged, has Python objects, or has no training array.
    """
    images.check_regular(path)
    try:
        content = np.load(regular(path), allow_pickle=False, mmap_mode="r" if path.suffix.lower() == ".npy" else None)
        if isinstance(content, np.ndarray):
            return {"train": ("the array", content)}
        with content as archive:
            if any(one.file_size > max(most_bytes(), RATIO * one.compress_size) for one in archive.zip.infolist()):
                raise too_large(path)
            names = {**KEYS, "group": [group]}
            keys = {part: next((key for key in names[part] if key in archive), None) for part in names}
            found = {part: (key, archive[key]) for part, key in keys.items() if key}
            has = ", ".join(archive.files) or "nothing"
    except UserError:
        raise
    except Exception as error:  # NumPy may raise any error for a damaged header
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


def as_rows(array: Array, label: str, shape: tuple[int, ...] | None = None, scales: bool = False) -> Array:
    """Checks an array of images or vectors, and returns a view of it with channels second: shape (n, channels, height,
    width).

    Vectors are returned as they are, shape (n, d).

    Arguments:
        array: images or vectors, with the axes and types that this module's docstring lists.
        label: the name of the array in error messages.
        shape: the shape of one image or vector that is required; None for any.
        scales: True to also check that the column of vectors with the least standard deviation has 1 / 100 of the largest one
            or more, or 1 / 100 of the largest range; constant columns do not count.

    Raises:
        UserError: the array contains neither images nor vectors, or those of another shape, or numbers that are not
            finite as float32, or images of numbers that are not in [0, 1], or columns of too different scales.
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
    low, high, std = statistics(rows, label)
    if not image:
        least = int(np.where(high > low, std, np.inf).argmin())
        if scales and all(one[least] < SMALLEST * one.max() for one in (std, high - low)):
            raise UserError(
                f"{label} has columns of unequal scales: the standard deviation of column {least} (counted from 0) is "
                f"{std[least]:.3g}, and that of column {std.argmax()} {std.max():.3g}, beside which the former would not be "
                f"learned; scale them all, as in (x - x.mean(0)) / x.std(0)."
            )
        return rows
    low, high = low.min(), high.max()
    if not 0 <= low <= high <= 1:
        scaled = 0 <= low <= high <= 255
        raise UserError(
            f"{label} holds numbers from {low:g} to {high:g}, and expected were images as uint8 or as numbers in [0, 1]; "
            f"{'divide them by 255 or save them as uint8' if scaled else 'rescale them to [0, 1]'}."
        )
    return rows


def statistics(rows: Array, label: str) -> tuple[Array, Array, Array]:
    """Returns the least value, the largest value and the standard deviation of each column.

    Arguments:
        rows: images or vectors, shape (n, *shape), of which a part at a time is read, to save memory.
        label: the name of the array in the error message.

    Returns:
        Three arrays of the shape of one image or vector.

    Raises:
        UserError: a number is NaN or, as float32, infinite; the message has the place of the first.
    """
    wrong, first, low, high, total, squares = 0, "", *map(np.asarray, (np.inf, -np.inf, 0.0, 0.0))
    for start in range(0, len(rows), images.CHUNK):
        with np.errstate(over="ignore", invalid="ignore"):
            chunk = rows[start : start + images.CHUNK].astype(np.float32).astype(np.float64)
            total, squares = total + chunk.sum(0), squares + (chunk**2).sum(0)
        if len(places := np.argwhere(~np.isfinite(chunk))):
            i, *j = places[0] + [start, *[0] * (rows.ndim - 1)]
            first = first or f"{rows[i, *j]} in row {i}, column {', '.join(map(str, j))} (counted from 0)"
        wrong, low, high = wrong + len(places), np.minimum(low, chunk.min(0)), np.maximum(high, chunk.max(0))
    if wrong:
        raise UserError(
            f"{label} holds NaN or infinity in {wrong:,} of {rows.size:,} places; remove or replace those rows, or rescale "
            f"numbers beyond float32: the first is {first}."
        )
    return low, high, np.sqrt(np.maximum(squares / len(rows) - (total / len(rows)) ** 2, 0))


def as_uint8(images: Array) -> NDArray[np.uint8]:
    """Converts images of numbers in [0, 1] to uint8, 0 to 255, by rounding; uint8 images are returned unchanged."""
    return images if images.dtype == np.uint8 else np.rint(images * 255.0).astype(np.uint8)


def _labels(
    found: dict[str, tuple[str, Array] | None], x: dict[str, Array], path: Path
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...], str]:
    """Checks the labels of all splits and converts them to 0, 1, ..., the positions of their values in sorted order.

    Arguments:
        found: a dictionary: split -> a pair of the key in the file and the labels; None for a split without labels.
        x: a dictionary: split -> images or vectors.
        path: the file, for error messages.

    Returns:
        A tuple of three: a dictionary, split -> labels, int64, shape (n,); the names of the classes; and the reason for which
        labels cannot be used, else "". Labels cannot be used if some splits have none, or if the label of an image or vector
        is several numbers; the first two are then empty. All three are empty if no split has labels.

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
            raise UserError(f"{key} in {path} holds labels that are not finite; give -1 for those without a label.")
        columns[part] = y.reshape(-1)
    values, classes = relabel(*columns.values())
    if classes[:1] in (("-1",), ("",)) and classes != ("-1", "1") and len(classes) > 1:  # -1 and 1 are two classes
        values, classes = [part - 1 for part in values], classes[1:]
    return dict(zip(columns, values, strict=True)), classes, ""
