"""Reads data sets from a .npy or .npz file, which contains one array for each split, of one of these shapes:

- vectors (n, d);
- signals (n, channels, length), with the option `layout`;
- images (n, height, width), (n, channels, height, width) or (n, height, width, channels);
- volumes (n, channels, depth, height, width).

They are numbers of any type, or bool; `interalia.data.layouts` decides which axes are which, and `interalia.data.scaling` how
they are scaled.

The keys of a .npz file are ``train_images``, ``x_train``, ``images``, ``data``, ``x``, ``X`` or ``arr_0``, optionally with
``val_images`` / ``x_val`` and ``test_images`` / ``x_test``, and with labels ``train_labels``, ``y_train``, ``labels`` or
``y`` and so on. Missing splits are taken from the training array by a fixed permutation.

A label -1 beside other whole numbers, or an empty one beside other texts, is that of an unlabelled example, which is only
trained on; the labels -1 and 1 alone are two classes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import columns, images, tables
from interalia.data.cache import SHARDED, Content, cached, in_memory
from interalia.data.copies import notes, with_copies
from interalia.data.dataset import Dataset, Split
from interalia.data.layouts import Layout, layout_of
from interalia.data.scaling import Units, check_finite, check_scales, choose, restore, stays
from interalia.data.splits import NAMES, Parts, SplitOptions, digest, divide, format_sizes, groups_at, relabel_partly
from interalia.disk import PIECE, RATIO, most_bytes, regular, too_large
from interalia.errors import UserError

Array = NDArray[Any]

KEYS = NAMES["keys"]  # split, or split and "-labels" -> the keys that its array may have in a .npz file


def load_array(
    path: Path, image_size: int | None, options: SplitOptions, layout: str = "auto", scale: str | Units = "auto"
) -> Dataset:
    """Loads a data set from a .npy or .npz file, with the keys and shapes of this module's docstring.

    Arguments:
        path: the file.
        image_size: pixels a side that images are cropped and resized to; None keeps their size. Other data require None.
        options: how a file is split that has training data alone.
        layout: what the axes are, see `interalia.data.layouts.layout_of`.
        scale: how the numbers are scaled, see `interalia.data.scaling.choose`.

    Raises:
        UserError: the file is damaged, or has too few examples, or `image_size` is given for data that are no images, or an
            array has none of these shapes, or the arrays do not fit each other, or cannot be split by the options.
    """
    content = read_arrays(path, options.group)
    return from_arrays(content, path.stem, path, image_size, options, [path], layout, scale)


def from_arrays(
    content: dict[str, tuple[str, Array]],
    name: str,
    where: Path | str,
    image_size: int | None,
    options: SplitOptions,
    sources: Sequence[Path] = (),
    layout: str = "auto",
    scale: str | Units = "auto",
) -> Dataset:
    """Returns a data set from arrays, whose numbers are scaled by those of the training split.

    Arguments:
        content: the arrays, as `read_arrays` returns them.
        name: the name of the data set.
        where: the file, or another text for where the arrays are, for error messages.
        image_size: pixels a side that images are cropped and resized to; None keeps their size. Other data require None.
        options: how arrays are split that are of training data alone.
        sources: the file that the arrays are from, for the cache on disk; empty for arrays in memory, which are not cached.
        layout: what the axes are, see `interalia.data.layouts.layout_of`.
        scale: how the numbers are scaled, see `interalia.data.scaling.choose`.

    Raises:
        UserError: as `load_array`.
    """
    content = dict(content)
    _, group = content.pop("group", ("", None))
    arrays = {part: (f"{key} in {where}", array) for part, (key, array) in content.items() if "-" not in part}
    taken = layout_of(check_type(*arrays["train"]), arrays["train"][0], layout)
    x = {part: taken.apply(check_type(label, array)) for part, (label, array) in arrays.items() if fits(array, arrays)}
    if len(x) < len(arrays) or len({array.shape[1:] for array in x.values()}) > 1:
        shapes = ", ".join(f"{part} {array.shape}" for part, (_, array) in arrays.items())
        raise UserError(f"the parts in {where} have different shapes ({shapes}); give all rows one shape.")
    if taken.name != "image" and image_size is not None:
        raise UserError(f"{where} holds {taken.name}s and not images, which have no size; leave `image_size` out.")
    y, classes, unlabeled_because = _labels({part: content.get(f"{part}-labels") for part in x}, x, where)
    given = set(x) - {"train"}
    if given and options:
        raise UserError(f"{where} has its own {', '.join(sorted(given))} split; leave out `split`, `fold`, `group`.")
    if group is None and taken.name == "vector" and options.group in list(map(str, range(x["train"].shape[1]))):
        group = x["train"].T[int(options.group or 0)]
    assigned, groups, _ = options.assigned(list(map(str, range(len(x["train"])))) if options else [], where, group)
    rows = assigned or {part: np.arange(len(array)) for part, array in x.items()}
    unlabelled = y["train"] < 0 if y else np.zeros(len(x["train"]), bool)
    rows = divide(rows, unlabelled, "row(s)", where, groups)
    own = "as in the file" + ", the third taken from train by a fixed permutation" * (len(given) == 1)
    how = options.how(f"Train / validation / test {own if given else 'by a fixed permutation of the rows'}")
    x = {part: x.get(part, x["train"]) for part in rows}  # missing splits are taken from the training rows
    y = {part: y.get(part, y["train"])[rows[part]] for part in rows} if y else {}
    key = {"size": image_size, "split": digest(rows), "layout": layout, "scale": scale, "units": "with types"}
    labels = {part: label for part, (label, _) in arrays.items()}
    made = with_copies(contents(x, rows, labels, taken, scale, image_size))
    stored = cached(name, sources, key, made) if sources else in_memory(made)
    splits: dict[str, Any] = {
        part: Split(stored[part], y.get(part), groups_at(groups, index)) for part, index in rows.items()
    }
    units = restore(json.loads(str(stored["units"][0])))
    known = f"{len(classes)} classes" if classes else "labels that are not used" if unlabeled_because else "no labels"
    word = "column" if taken.name == "vector" else "channel"
    scaled = f", {units.scaling.describe(word=word)}" if units and units.scaling else ""
    suffix = "".join(path.suffix for path in sources)
    about = (
        f"{sum(map(len, splits.values())):,} {taken.describe(splits['train'].x.shape[1:])} from {name}{suffix}, "
        f"{known}{images.resize_note(image_size)}{scaled}. {how}: {format_sizes(splits.values())}."
        f"{notes(splits, len(x['train']) if not given else 0, stored['copies'])}"
    )
    splits |= {"about": about, "unlabeled_because": unlabeled_because, "units": units}
    return Dataset(name, **splits, classes=classes)


def fits(array: Array, arrays: Mapping[str, tuple[str, Array]]) -> bool:
    """True if an array has as many axes as the training array, `arrays["train"]`, a pair of its name and the array."""
    return array.ndim == arrays["train"][1].ndim


def check_type(label: str, array: Array) -> Array:
    """Returns an array of numbers or bool unchanged.

    Raises:
        UserError: it is empty or of another type; the message calls it `label`.
    """
    if array.dtype.kind in "buif" and array.size:
        return array
    raise UserError(
        f"{label} holds {array.dtype} of shape {array.shape}; expected were numbers of at least one example; convert it."
    )


def contents(
    x: Mapping[str, Array],
    rows: Parts,
    labels: Mapping[str, str],
    taken: Layout,
    scale: str | Units,
    image_size: int | None,
) -> Iterator[Content]:
    """Yields the arrays of a data set to be cached: "units", and each split, whose numbers are scaled and images resized.

    An element is a tuple: the name, the number of examples, and an iterator of chunks of them. "units" is an array of one
    text, JSON of `Units.values`.

    Arguments:
        x: a dictionary: split -> the array that its examples are in, shape (n, channels, ...).
        rows: a dictionary: split -> the indices of its examples in that array.
        labels: a dictionary: split -> the name of its array in error messages, for the splits that have their own.
        taken: the layout of the examples.
        scale: the option `scale`.
        image_size: pixels a side that images are resized to; None keeps their size.

    Raises:
        UserError: a number is not finite, or all of images are equal, or with `scale` "none" images are neither uint8 nor
            numbers in [0, 1], or columns have very different deviations.
    """
    train, image = x["train"], taken.name in ("image", "volume")
    for part, label in labels.items():
        check_finite(x[part], label)
    same = stays(train, taken.name) and scale == "auto"
    scaling = None if same else choose(train, taken.name, scale, rows["train"])
    if image and scaling and not any(scaling.span):
        raise UserError(f"all numbers of {labels['train']} are {scaling.offset[0]:g}; give data that differ.")
    for part, label in labels.items() if scaling is None else ():
        if image or (part == "train" and not same):
            check_scales(x[part], taken.name, label)
    dtype = "" if scaling else train.dtype.name
    yield "units", 1, [np.array([json.dumps(Units(scaling, dtype=dtype).values())])]
    # numbers in [0, 1] that are gray levels of bytes are stored as such
    as_bytes = image and scaling is None and all(map(is_gray_levels, x.values()))

    def convert(chunk: Array) -> Array:
        """Returns the numbers of a chunk of examples that networks take: float32, or uint8 for images of bytes."""
        if scaling:
            return scaling.apply(chunk)
        if as_bytes:
            return as_uint8(chunk)
        return chunk.astype(np.float32) / np.float32(255 if image and chunk.dtype == np.uint8 else 1)

    for part, index in rows.items():
        chunks = (convert(x[part][index[i : i + images.CHUNK]]) for i in range(0, len(index), images.CHUNK))
        yield part, len(index), (each for chunk in chunks for each in images.resize(chunk, image_size))


def is_gray_levels(x: Array) -> bool:
    """True if images are uint8, bool or numbers of which each is a multiple of 1/255, up to the rounding of float32."""
    if x.dtype.kind != "f":
        return True
    starts = range(0, len(x), images.CHUNK)
    return all(bool((abs(c - np.rint(c)) < 1e-3).all()) for c in (x[i : i + images.CHUNK] * 255.0 for i in starts))


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
            keys = keys_of(archive.files, path, group)
            read = [one for one in archive.zip.infolist() if one.filename.removesuffix(".npy") in keys.values()]
            if sum(one.file_size for one in read) > max(most_bytes(), RATIO * sum(one.compress_size for one in read)):
                raise too_large(path)
            read_one = read_entry if SHARDED.get() is None else unpacked_entry
            return {part: (key, read_one(archive.zip, key)) for part, key in keys.items()}
    except UserError:
        raise
    except Exception as error:  # NumPy may raise any error for a damaged header
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise UserError(
                f"{path} holds Python objects, which are not read because they could execute code; save plain numbers."
            ) from None
        raise UserError(f"{path} is damaged or cut short ({error}); copy or download it again.") from None


def keys_of(given: Collection[str], where: Path | str, group: str | None = None) -> dict[str, str]:
    """Returns the keys of the arrays of a .npz file or of a dictionary: "train", "train-labels" and so on, or "group" -> key.

    Arguments:
        given: all keys that there are.
        where: the file, or another text for where the arrays are, for the error message.
        group: the key of an array with the groups; None for none.

    Raises:
        UserError: there is no training array.
    """
    names = {**KEYS, "group": [group]}
    keys = {part: next((key for key in names[part] if key in given), None) for part in names}
    if keys["train"] is None:
        has = ", ".join(given) or "nothing"
        raise UserError(f"{where} has the keys {has}, and expected was one of {', '.join(KEYS['train'])}; rename one.")
    return {part: key for part, key in keys.items() if key}


def read_entry(archive: zipfile.ZipFile, key: str) -> Array:
    """Returns the array of a key in an opened .npz file; a ValueError is raised if the entry is no array or is damaged.

    NumPy's own reader would read an entry that is no array into memory as a whole.
    """
    name = f"{key}.npy"
    with archive.open(name if name in archive.namelist() else key) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def unpacked_entry(archive: zipfile.ZipFile, key: str) -> Array:
    """Returns the array of a key in an opened .npz file, unpacked to a file and memory-mapped, while data are prepared as
    shards; a ValueError is raised if the entry is no array or is damaged.
    """
    name = f"{key}.npy"
    place = tempfile.mkdtemp(dir=SHARDED.get())
    with archive.open(name if name in archive.namelist() else key) as file, open(Path(place, "x.npy"), "wb") as copy:
        shutil.copyfileobj(file, copy, PIECE)
    return np.lib.format.open_memmap(copy.name, mode="r")


def read_rows(paths: Sequence[Path], shape: tuple[int, ...], units: Units | None = None) -> Iterator[Array]:
    """Reads the training array of each file, with inputs for a trained game.

    Images of another size or number of channels are cropped, resized and converted, as those of a folder are.

    Arguments:
        paths: .npy, .npz, .csv, .tsv and .parquet files, and folders of shards.
        shape: the shape of one example that the game was trained on.
        units: the units of the data that the game was trained on; None if they were not scaled.

    Yields:
        The array of each file, shape (n, *shape), uint8 images or float32 numbers, scaled if the training data were.

    Raises:
        UserError: a file does not exist or is damaged, or has examples of another shape or number that are not finite.
    """
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no array {path}; check its name.")
        if path.is_dir():
            from interalia.data import shards  # here, because it imports this module

            yield from shards.read_rows(path, shape, units)
            continue
        if columns.is_table(path):
            yield tables.read_rows(path, units or Units(), str(path))
            continue
        key, array = read_arrays(path)["train"]
        yield fitted(array, f"{key} in {path}", shape, units)


def fitted(array: Array, label: str, shape: tuple[int, ...], units: Units | None = None) -> Array:
    """Returns inputs for a trained game, shape (n, *shape), scaled as the training data were: uint8 images, or float32.

    Arguments:
        array: examples in the data's own units; images of another size or number of channels are cropped, resized and
            converted.
        label: the name of the array in error messages.
        shape: the shape of one example that the game was trained on.
        units: the units of the data that the game was trained on; None if they were not scaled.

    Raises:
        UserError: they are examples of another shape, or not finite, or images out of [0, 1] for data that were not scaled.
    """
    scaling = units.scaling if units else None
    rows = layout_of(check_type(label, array), label, "auto", shape).apply(array)
    check_finite(rows, label)
    if rows.shape[1:] != shape:
        if len(shape) != 3 or rows.ndim != 4:
            raise UserError(
                f"{label} holds {array.dtype} of shape {array.shape}; expected were numbers of shape (n, "
                f"{', '.join(map(str, shape))}), as this run was trained on; convert it."
            )
        rows = converted(rows, shape, label, scaled=scaling is not None)
    if scaling:
        return scaling.apply(rows)
    if len(shape) > 2 and rows.dtype != np.uint8:
        check_scales(rows, "image", label)
        rows = as_uint8(rows) if is_gray_levels(rows) else rows
    return rows if rows.dtype == np.uint8 and len(shape) > 2 else rows.astype(np.float32)


def converted(rows: Array, shape: tuple[int, ...], label: str, scaled: bool) -> Array:
    """Returns images with the number of channels and the size of those that a game was trained on.

    Arguments:
        rows: images of any type, shape (n, channels, height, width).
        shape: (channels, height, width) of the result.
        label: the name of the images in error messages.
        scaled: True if the game's data were scaled, so that the numbers are no colors.

    Raises:
        UserError: the channels differ, and images are not of 1, 3 or 4 channels of colors.
    """
    size = (shape[1], shape[2])
    if not scaled and rows.shape[1] in images.MODES and shape[0] in images.MODES:
        check_scales(rows, "image", label)
        mode = images.MODES[shape[0]]
        return np.stack([images.fit(images.as_image(row), mode, size) for row in as_uint8(rows)])
    if rows.shape[1] != shape[0]:
        raise UserError(
            f"{label} has {rows.shape[1]} channels, and this run was trained on {shape[0]}; give images of as many channels."
        )
    return np.stack([images.resize_numbers(row, size) for row in rows])


def as_uint8(images: Array) -> NDArray[np.uint8]:
    """Converts images of numbers in [0, 1], or bool, to uint8, 0 to 255, by rounding; uint8 images are returned unchanged."""
    return images if images.dtype == np.uint8 else np.rint(images * 255.0).astype(np.uint8)


def _labels(
    found: dict[str, tuple[str, Array] | None], x: dict[str, Array], where: Path | str
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...], str]:
    """Checks the labels of all splits and converts them to 0, 1, ..., the positions of their values in sorted order.

    Arguments:
        found: a dictionary: split -> a pair of the key in the file and the labels; None for a split without labels.
        x: a dictionary: split -> images or vectors.
        where: the file, or another text for where the arrays are, for error messages.

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
            raise UserError(f"{key} in {where} holds {y.size} labels for {rows} rows; give one a row.")
        if y.dtype.kind not in "biufUS":
            raise UserError(f"{key} in {where} holds {y.dtype}, and labels are whole numbers or texts; convert it.")
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise UserError(f"{key} in {where} holds labels that are not finite; give -1 for those without a label.")
        columns[part] = np.char.decode(y.reshape(-1), "utf-8", "replace") if y.dtype.kind == "S" else y.reshape(-1)
    values, classes = relabel_partly(*columns.values())
    return dict(zip(columns, values, strict=True)), classes, ""
