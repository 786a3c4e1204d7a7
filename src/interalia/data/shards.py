"""Data prepared once for training: a folder of shards, i.e. .npy files of consecutive examples, and one table of them.

The folder holds a whole data set as it is trained on: the examples of every split, scaled and resized, their labels and
attributes, the units, and the options by which it was prepared. The table, ``shards.json``, lists the files with their
numbers of rows and their checksums, and is written last. Examples are read by their indices, so that data sets may exceed
the memory, and resumed trainings see the same batches.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.arrays import fitted
from interalia.data.cache import SHARDED, explain_write_errors, sweep
from interalia.data.dataset import Dataset, Split
from interalia.data.images import SHARDS as TABLE
from interalia.data.progress import progress
from interalia.data.scaling import Units, restore
from interalia.data.sharded import CHUNK, Shard, ShardedArray, open_shards, write_shards
from interalia.data.splits import NAMES
from interalia.disk import read_json, regular, write_json, writing
from interalia.errors import UserError

FORMAT = "interalia-shards-2"
EARLIER = "interalia-shards-1"  # without checksums
CHECKED = "checked.json"  # in a folder of shards, the files that an interrupted check found right
TYPES = ("uint8", "float32")  # of examples
# the options of `prepare`, and their defaults
OPTIONS: dict[str, Any] = {
    "image_size": None, "split": None, "fold": None, "group": None, "gray": None, "crop": "center", "layout": "auto",
    "scale": "auto", "impute": "refuse",
}  # fmt: skip
TEXTS = ("name", "about", "encoded", "unlabeled_because")  # fields of a data set that the table has as they are


def is_shards(path: Path) -> bool:
    """True if a path is that of a folder of shards, which has the table of them."""
    return (path / TABLE).is_file()


def prepare(data: Any, out: Path | str, data_dir: Path | None = None, **options: Any) -> Dataset:
    """Writes data to a folder of shards, and returns the data set, which is read from them.

    The folder appears when it is complete. Training on it is the same to the last bit as training on `data`. While it is
    written, the disk holds the examples once, or twice if they are from a folder of images and scaled.

    Arguments:
        data: a name or path as for `interalia.data.load`, or an object as for `interalia.data.objects.as_dataset`.
        out: the folder to write, which does not exist or is empty.
        data_dir: the folder of the files of named data sets, as for `interalia.data.load`.
        options: any of `image_size`, `split`, `fold`, `group`, `gray`, `crop`, `layout`, `scale` and `impute`, as for
            `interalia.data.load`.

    Raises:
        UserError: the data cannot be read, or are synthetic, or the folder exists or cannot be written.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     digits = prepare("digits", f"{folder}/digits")
        ...     digits.train.x[[5, 0]].shape, len(digits.validation)
        ((2, 1, 8, 8), 200)
    """
    out = Path(out).expanduser()
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists already; choose another folder with `out`.")
    with explain_write_errors(out.parent, "choose another folder"):
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out.parent, f".{glob.escape(out.name)}-*")
        unfinished = tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent, ignore_cleanup_errors=True)
    with unfinished as temporary:
        place, whole = Path(temporary, "read"), Path(temporary, "whole")
        for folder in (place, whole):
            folder.mkdir()
        given = SHARDED.set(place)
        try:
            dataset = read(data, data_dir, {**OPTIONS, **options})
            domains = [domain for domain in (dataset, dataset.other) if domain is not None]
            tables = [write_domain(domain, whole, "b-" * i) for i, domain in enumerate(domains)]
        finally:
            SHARDED.reset(given)
        changed = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
        table = {"format": FORMAT, "paired": dataset.paired, "options": changed, "domains": tables}
        table["checksum"] = checksum_of(table)
        with writing(whole / TABLE) as file:
            json.dump(table, file, indent=1)
        with explain_write_errors(out.parent, "choose another folder"):
            if out.exists():
                out.rmdir()
            os.rename(whole, out)
    return load_shards(out)


def read(data: Any, data_dir: Path | None, options: Mapping[str, Any]) -> Dataset:
    """Returns the data set to be prepared.

    Arguments:
        data: as for `prepare`.
        data_dir: as for `prepare`.
        options: the options of `prepare`, all of them.

    Raises:
        UserError: as `prepare`; there is an option of another name.
    """
    from interalia.data import load, objects
    from interalia.data.images import PixelOptions
    from interalia.data.splits import SplitOptions

    if wrong := options.keys() - OPTIONS.keys():
        raise UserError(f"there is no option {min(wrong)!r}; the options are {', '.join(OPTIONS)}.")
    if isinstance(data, str | Path):
        dataset = load(data, data_dir, **options)
    else:
        split = SplitOptions(options["split"], options["fold"], options["group"])
        known = [options[key] for key in ("layout", "scale", "impute")]
        dataset = objects.as_dataset(data, options["image_size"], data_dir, split, *known)
        dataset = PixelOptions(None, options["gray"], options["crop"]).applied(dataset)
    if dataset.mixture is not None:
        raise UserError(f"the data set {dataset.name!r} is drawn at random and has no files; give its name to train.")
    return dataset


def write_domain(dataset: Dataset, folder: Path, prefix: str) -> dict[str, Any]:
    """Writes the arrays of one domain of a data set to a folder, and returns its entry in the table, as values of JSON.

    Arguments:
        dataset: the data set, of which `other` is not written.
        folder: the folder.
        prefix: the beginning of the files' names, "" for the first domain and "b-" for the second.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    entry: dict[str, Any] = {key: getattr(dataset, key) for key in TEXTS}
    entry |= {"classes": list(dataset.classes), "shape": list(dataset.shape), "type": dataset.train.x.dtype.name}
    entry |= {"units": dataset.units.values() if dataset.units else {}, "splits": {}, "columns": {}}
    entry["attributes"] = list(map(str, dataset.attributes.get("names", ())))
    for part in NAMES["splits"]:
        split: Split = getattr(dataset, part)
        shards = written(split.x, folder, f"{prefix}{part}")
        texts = ["".join(f"{crc:08x}" for crc in one.checksums) for one in shards]
        entry["splits"][part] = [[one.path.name, one.rows, text] for one, text in zip(shards, texts, strict=True)]
        columns = {"labels": split.y, "attributes": dataset.attributes.get(part), "groups": split.groups}
        for key, values in columns.items():
            if values is not None:
                with writing(folder / f"{prefix}{part}-{key}.npy", "wb") as file:
                    np.save(file, values)
                entry["columns"][f"{prefix}{part}-{key}.npy"] = zlib.crc32(np.ascontiguousarray(values).data)
    entry |= {"labeled": dataset.train.y is not None, "grouped": dataset.train.groups is not None}
    return entry


def written(x: NDArray[Any] | ShardedArray, folder: Path, name: str) -> list[Shard]:
    """Returns the files in a folder with the rows of an array: the array's own files, moved there, or else new ones.

    Arguments:
        x: the array.
        folder: the folder.
        name: the beginning of the files' names.
    """
    place = SHARDED.get()
    own = isinstance(x, ShardedArray) and x.index is None and x.convert is None
    if own and place is not None and all(place in shard.path.parents for shard in x.shards):  # type: ignore[union-attr]
        found = []
        for i, shard in enumerate(x.shards):  # type: ignore[union-attr]
            path = folder / f"{name}-{i:05d}.npy"
            shutil.move(shard.path, path)
            found.append(Shard(path, shard.rows, shard.offset, shard.checksums))
        return found
    return write_shards(folder, name, len(x), (x[i : i + CHUNK] for i in range(0, len(x), CHUNK)))


def load_shards(
    path: Path, scale: str | Units | tuple[Units, Units] = "auto", data_dir: Path | None = None, **options: Any
) -> Dataset:
    """Returns the data set in a folder of shards.

    Arguments:
        path: the folder.
        scale: "auto" or the option by which it was prepared; or the units of a trained game, or a pair for two domains, to
            which the numbers are then converted.
        data_dir: not used.
        options: other options of `prepare`, each with its default or the value by which the shards were prepared; the size
            of the images is a value of `image_size` too.

    Raises:
        UserError: the table or a file is damaged, or an option has another value, or the numbers cannot be converted.
    """
    table = read_table(path)
    units = scale if isinstance(scale, tuple) else (scale, scale)
    check_options(path, table, {**options, **({"scale": scale} if isinstance(scale, str) else {})})
    found = [
        domain(path, entry, "b-" * i, one if isinstance(one, Units) else None)
        for i, (entry, one) in enumerate(zip(table["domains"], units, strict=False))
    ]
    first, *others = found
    if not others:
        return first
    return Dataset(**{**vars(first), "other": others[0], "paired": table["paired"]})


def check_options(path: Path, table: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raises a UserError if an option is neither its default nor that by which shards were prepared.

    Arguments:
        path: the folder of the shards, for the message.
        table: the table of the shards.
        options: options of `prepare`, by name.
    """
    sides = table["domains"][0]["shape"][1:]
    for key, value in options.items():
        known = table["options"].get(key, OPTIONS[key])
        same = str(value) == str(known) or (key == "image_size" and sides == [value, value])
        if value != OPTIONS[key] and not same:
            how = f"without `{key}`" if known == OPTIONS[key] else f"with `{key}={known!r}`"
            raise UserError(
                f"{path} was prepared {how}, and `{key}` is now {value!r}; leave `{key}` out, or prepare the data again."
            )


def read_table(path: Path) -> dict[str, Any]:
    """Returns the table of a folder of shards, whose values have been checked.

    Raises:
        UserError: it is damaged, or of another version.
    """
    try:
        table = read_json(path / TABLE)
        if table.get("format") not in (FORMAT, EARLIER):
            raise ValueError(f"its format is {table.get('format')!r} and not {FORMAT!r}")
        if table["format"] == FORMAT and table.pop("checksum") != checksum_of(table):
            raise ValueError("it has changed since it was written")
        if not (
            isinstance(table["options"], dict) and isinstance(table["paired"], bool) and len(table["domains"]) in (1, 2)
        ):
            raise ValueError("its options or domains are not as they were written")
        for entry in table["domains"]:
            check_entry(entry)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path / TABLE} is damaged ({reason}); prepare the data again, or copy it again.") from None
    return table


def check_entry(entry: Mapping[str, Any]) -> None:
    """Raises a ValueError, KeyError, TypeError or AttributeError if a value of one domain in the table of shards is none that
    `write_domain` writes, such as a file elsewhere or a negative number of rows.
    """
    if not all(isinstance(entry[key], str) for key in TEXTS) or entry["type"] not in TYPES:
        raise ValueError("a text is missing")
    for key in ("classes", "attributes"):
        if not isinstance(entry[key], list) or not all(isinstance(one, str) for one in entry[key]):
            raise ValueError(f"its {key} are no texts")
    dictionaries = entry["units"], entry.get("columns", {})
    if not isinstance(entry["labeled"], bool) or not all(isinstance(one, dict) for one in dictionaries):
        raise ValueError("its labels or units are not as they were written")
    counts = [*entry["shape"]]
    for part in NAMES["splits"]:
        for name, rows, *text in entry["splits"][part]:
            checksums(*text)
            if Path(name).name != name or not name.endswith(".npy"):
                raise ValueError(f"{name!r} is no name of a file in it")
            counts.append(rows)
    if not 1 <= len(entry["shape"]) <= 4 or not all(type(one) is int and 0 < one < 2**40 for one in counts):
        raise ValueError("a number of rows or a shape is no positive number")


def domain(path: Path, entry: Mapping[str, Any], prefix: str, units: Units | None) -> Dataset:
    """Returns one domain of a data set from its entry in the table of shards.

    Arguments:
        path: the folder.
        entry: the entry, as `write_domain` returned it.
        prefix: the beginning of the files' names.
        units: the units to which numbers are converted, those of a trained game; None to leave them as they are.

    Raises:
        UserError: a file is damaged, or the numbers cannot be converted.
    """
    shape, own = tuple(entry["shape"]), restore(entry["units"])
    convert = (
        None if units is None or units == (own or Units()) else conversion(path, own, units)
    )  # the type is not compared
    splits: dict[str, Any] = {}
    attributes: dict[str, NDArray[Any]] = {}
    for part in NAMES["splits"]:
        files = [(path / name, rows, checksums(*text)) for name, rows, *text in entry["splits"][part]]
        x = open_shards(files, shape, entry["type"])
        x = ShardedArray(x.shards, x.stored, x.type, convert=convert)
        names = [f"{prefix}{part}-{key}.npy" for key in ("labels", "attributes", "groups")]
        columns = entry.get("columns", {})
        y = read_column(path / names[0], len(x), columns.get(names[0])) if entry["labeled"] else None
        most = len(entry["classes"]) or 2**31
        if y is not None and not (y.dtype == np.int64 and y.ndim == 1 and -1 <= y.min() <= y.max() < most):
            raise UserError(f"the labels in {path} are damaged; prepare the data again, or copy it again.")
        groups = read_column(path / names[2], len(x), columns.get(names[2])) if entry.get("grouped") else None
        splits[part] = Split(x, y, groups)  # type: ignore[arg-type] # it is read as an array is
        if entry["attributes"]:
            attributes[part] = read_column(path / names[1], len(x), columns.get(names[1]))
    attributes |= {"names": np.array(entry["attributes"])} if entry["attributes"] else {}
    texts = {key: entry[key] for key in TEXTS}
    known = own if convert is None else units
    return Dataset(**splits, **texts, classes=tuple(entry["classes"]), attributes=attributes, units=known)


def read_column(path: Path, rows: int, checksum: int | None) -> NDArray[Any]:
    """Returns the labels, attributes or groups of a split from a .npy file, shape (rows, ...).

    Arguments:
        path: the file.
        rows: the number of its rows.
        checksum: the CRC-32 checksum of its numbers; None if it is not known.

    Raises:
        UserError: the file is missing or damaged, or has another number of rows or another checksum.
    """
    try:
        # memory-mapped first, so that the length of the file bounds that of the array
        found: NDArray[Any] = np.array(np.load(regular(path), allow_pickle=False, mmap_mode="r"))
        if found.ndim < 1 or len(found) != rows:
            raise ValueError(f"it has the shape {found.shape}, and expected were {rows} rows")
        if checksum is not None and zlib.crc32(np.ascontiguousarray(found).data) != checksum:
            raise ValueError("its numbers have changed after they were written")
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} is damaged ({reason}); prepare the data again, or copy it again.") from None
    return found


def checksums(text: str = "") -> list[int]:
    """Returns the checksums of a file's blocks from their text in the table, 8 hexadecimal digits each; none for "".

    A ValueError is raised if it is another text.
    """
    return [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]


def checksum_of(table: Mapping[str, Any]) -> int:
    """Returns the CRC-32 checksum of the table of shards, of its values as JSON with sorted keys."""
    return zlib.crc32(json.dumps(table, sort_keys=True).encode())


def check(path: Path) -> list[Path]:
    """Reads all files in a folder of shards, and returns their paths if no number has changed since they were written.

    Files that were found right by a check that was interrupted are not read again, unless their size or time has changed.

    Raises:
        UserError: a file is damaged, or the shards were prepared by an earlier version, without checksums.
    """
    if read_table(path)["format"] == EARLIER:
        raise UserError(
            f"{path} was prepared by an earlier version, without checksums; prepare the data again to have them."
        )
    dataset, record = load_shards(path), path / CHECKED
    domains = [domain for domain in (dataset, dataset.other) if domain is not None]
    arrays: list[Any] = [getattr(domain, part).x for domain in domains for part in NAMES["splits"]]
    wrong: list[UserError] = []
    total = sum(array.nbytes for array in arrays)
    with progress(f"Checking {path}", total, download=True) as advance:
        right = already_checked(record)
        for file in [replace(array, shards=[shard]) for array in arrays for shard in array.shards]:
            shard: Shard = file.shards[0]
            status = shard.path.stat()
            state = [status.st_size, status.st_mtime_ns]
            if right.get(shard.path.name) != state:
                try:
                    for rows in file:
                        advance(rows.nbytes)
                except UserError as error:
                    wrong.append(error)
                    continue
                right[shard.path.name] = state
                with contextlib.suppress(UserError):  # a folder that cannot be written is checked as a whole
                    write_json(record, right)
    record.unlink(missing_ok=True)
    if wrong:
        raise UserError(f"{len(wrong)} file(s) are damaged: {wrong[0]}" if len(wrong) > 1 else str(wrong[0]))
    return [shard.path for array in arrays for shard in array.shards]


def already_checked(record: Path) -> dict[str, list[int]]:
    """Returns what a check that was interrupted wrote to the file `record`: name of a file that is right -> its size in bytes
    and its time in nanoseconds; empty without such a file.
    """
    try:
        return read_json(record)
    except (OSError, ValueError):
        return {}


def conversion(path: Path, own: Units | None, units: Units) -> Any:
    """Returns a function that converts examples from the units of shards to those of a trained game, float32.

    Arguments:
        path: the folder of the shards, for the error message.
        own: the units of the shards; None if they are as they were read.
        units: the units of the game.

    Raises:
        UserError: the game takes numbers as they are, and the shards are scaled, or the columns of a table differ.
    """
    scaling, before = units.scaling, own.scaling if own else None
    if scaling is None or described(units) != described(own):
        raise UserError(
            f"{path} was scaled otherwise than the data that this run was trained on; prepare the data of that run, or give "
            f"the data that the shards were prepared from."
        )

    def convert(rows: NDArray[Any]) -> NDArray[Any]:
        """Returns rows of the shards in the units of the game."""
        return scaling.apply(before.invert(rows) if before else rows)

    return convert


def described(units: Units | None) -> list[tuple[str, tuple[str, ...]]]:
    """Returns a pair for each column of the units of a table: its name, and its categories. Empty for other data and None."""
    return [(one.name, one.categories) for one in units.columns] if units else []


def check_columns(path: Path, own: Units | None, units: Units | None, names: Sequence[str] = ()) -> None:
    """Raises a UserError if shards are of a table with other columns or categories than those that were trained on.

    Arguments:
        path: the folder of the shards, for the message.
        own: the units of the shards. Nothing is raised if they are not of a table.
        units: the units of a trained game; None, or units without columns, to compare no categories.
        names: the columns that a detector was fitted on; empty to compare none.
    """
    found = described(own)
    if found and (described(units) not in ([], found) or list(names) not in ([], [name for name, _ in found])):
        raise UserError(
            f"{path} was prepared from a table with other columns or categories than those that were trained on; give the "
            f"table itself."
        )


def whole(path: Path) -> tuple[NDArray[Any], Dataset]:
    """Returns all examples in a folder of shards, those of train, validation and test in turn, in the data's own units, shape
    (n, *shape), and the data set.

    Raises:
        UserError: as `load_shards`.
    """
    dataset = load_shards(path)
    x = np.concatenate([getattr(dataset, part).x[:] for part in NAMES["splits"]])
    return dataset.units.invert(x) if dataset.units else x, dataset


def read_rows(path: Path, shape: tuple[int, ...], units: Units | None = None) -> Iterator[NDArray[Any]]:
    """Yields one array: all examples in a folder of shards as inputs for a trained game.

    Arguments:
        path: the folder.
        shape: the shape of one example that the game was trained on, as for `interalia.data.arrays.fitted`.
        units: the units of the data that the game was trained on; None if they were not scaled.

    Raises:
        UserError: as `load_shards` and `fitted`.
    """
    x, dataset = whole(path)
    check_columns(path, dataset.units, units)
    yield fitted(x, str(path), shape, units)
