"""A cache on disk of decoded arrays, which are memory-mapped. An entry is a folder of .npy files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.sharded import ShardedArray, write_shards
from interalia.disk import regular, writing
from interalia.errors import UserError, remedy

# Part of every key: raise it when a loader returns other arrays for the same files.
VERSION = 4
# The list of an entry's arrays, because programs that clean caches remove single files.
NAMES = "names.txt"

Arrays = dict[str, NDArray[Any]]
Content = tuple[str, int, Iterable[NDArray[Any]]]  # an array's name, its number of rows, and consecutive chunks of rows
# while data are prepared: the folder in which `cached` writes shards, which are moved from there, in place of an entry
SHARDED: ContextVar[Path | None] = ContextVar("sharded", default=None)


def folder() -> Path:
    """The cache folder of the library: the value of the environment variable INTERALIA_CACHE if it is set, else the folder
    interalia in the user's cache folder, or in that for temporary files if the user has no home folder.
    """
    if chosen := os.environ.get("INTERALIA_CACHE"):
        return Path(os.path.expanduser(chosen))
    import pooch

    with contextlib.suppress(RuntimeError):
        if (found := Path(pooch.os_cache("interalia"))).is_absolute():
            return found
    return Path(tempfile.gettempdir(), f"interalia-{os.getuid()}")  # a user without a home folder


def cached(name: str, sources: Sequence[Path], options: dict[str, Any], contents: Iterable[Content]) -> Arrays:
    """Returns the arrays of a cache entry, memory-mapped. If there is no such entry, it is written first.

    Arguments:
        name: the beginning of the name of the entry's folder.
        sources: the files that the arrays are decoded from; another size or modification time makes another entry.
        options: everything else that the arrays depend on, by name, such as ``{"size": 64}``; another value makes another
            entry.
        contents: the arrays to write if there is no entry, usually a generator. Each is a tuple: the array's name, the length
            of its first axis, and an iterable of consecutive chunks along this axis.

    Returns:
        A dictionary: name of each array -> array.

    Raises:
        UserError: the cache folder cannot be written, or the disk is full.
    """
    if (place := SHARDED.get()) is not None:
        return in_shards(Path(tempfile.mkdtemp(dir=place)), contents)
    digest = hashlib.sha256(os.fsencode(repr((VERSION, name, sorted(options.items())))))
    for source in sources:
        try:
            status = regular(source).stat()
        except OSError as error:
            raise UserError(f"{source} cannot be read ({error.strerror}); {remedy(error)}.") from None
        digest.update(os.fsencode(f"{source.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    arrays = folder() / "arrays"
    final = arrays / f"{re.sub('[^0-9A-Za-z.]+', '-', name)[:40]}-{digest.hexdigest()[:20]}"
    if found := _open(final):
        return found

    with explain_write_errors(arrays):
        arrays.mkdir(parents=True, exist_ok=True)
        sweep(arrays, "unfinished-*")
        if final.exists():  # damaged from outside: entries are renamed when they are complete
            shutil.rmtree(final)
        unfinished = tempfile.TemporaryDirectory(prefix="unfinished-", dir=arrays, ignore_cleanup_errors=True)
    with unfinished as temporary:
        names = [_write(Path(temporary), *content) for content in contents]
        with explain_write_errors(arrays):
            Path(temporary, NAMES).write_text("\n".join(names), "utf-8")
            try:
                os.rename(temporary, final)
            except OSError as error:
                # Another process was faster and wrote the same arrays.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES) or not final.is_dir():
                    raise
    if not (found := _open(final)):
        raise UserError(f"the arrays written to {final} cannot be read back; check the disk or set INTERALIA_CACHE.")
    return found


def write(path: Path, content: bytes) -> None:
    """Writes a single file, such as the weights of a classifier, which are in `folder()`.

    Raises:
        UserError: it cannot be written; an existing file stays as it is.
    """
    with writing(path, "wb") as file:
        file.write(content)


def in_shards(place: Path, contents: Iterable[Content]) -> Arrays:
    """Returns arrays that are given in chunks, by name: those of examples, with 2 axes or more, as `ShardedArray` in files of
    the folder `place`, and others in memory. `contents` is as in `cached`.
    """
    found: dict[str, Any] = {}
    for name, count, chunks in contents:
        each = iter(chunks)
        first = next(each)
        if first.ndim < 2:
            found[name] = np.concatenate([first, *each])
            continue
        shards = write_shards(place, name, count, itertools.chain([first], each))
        found[name] = ShardedArray(tuple(shards), first.shape[1:], first.dtype)
    return found


def in_memory(contents: Iterable[Content]) -> Arrays:
    """Returns arrays that are given in chunks as whole arrays, by name; `contents` is as in `cached`."""
    return {name: np.concatenate([*chunks]) for name, _, chunks in contents}


def _write(place: Path, name: str, count: int, chunks: Iterable[NDArray[Any]]) -> str:
    """Writes an array, given in chunks, to ``NAME.npy`` in a folder.

    It uses plain writes instead of a memory map, because a full disk is then an error and not a crash.

    Arguments:
        place: the folder.
        name: the name of the array.
        count: the length of its first axis.
        chunks: consecutive chunks of the array along the first axis.

    Returns:
        `name`.
    """
    path, rows = place / f"{name}.npy", 0
    for chunk in map(np.ascontiguousarray, chunks):
        # closed inside: a full disk may show only then
        with explain_write_errors(place), open(path, "ab") as file:
            if not rows:
                layout = np.lib.format.header_data_from_array_1_0(chunk) | {"shape": (count, *chunk.shape[1:])}
                np.lib.format.write_array_header_1_0(file, layout)
            file.write(chunk.data)
        rows += len(chunk)
    assert rows == count, (name, rows, count)
    return name


def _open(place: Path) -> Arrays:
    """Returns the arrays of the cache entry in the folder `place`, memory-mapped, as a dictionary: name -> array.

    Returns an empty dictionary if there is no such folder or one of its arrays is damaged.
    """
    try:
        names = (place / NAMES).read_text("utf-8").split("\n")
        return {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in names}
    except (OSError, ValueError, EOFError):
        return {}


def sweep(folder: Path, pattern: str) -> None:
    """Removes folders, more than two days old, that killed processes left in the folder `folder`.

    `pattern` is the pattern of their names, such as "unfinished-*".
    """
    for left in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 2 * 86400:
                shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def explain_write_errors(path: Path, advice: str = "set INTERALIA_CACHE to a folder on another disk") -> Iterator[None]:
    """A context in which an OSError becomes a UserError: the disk is full, or the folder cannot be written.

    Arguments:
        path: the folder that is written to. The message contains it, the system's reason, and what to do about it.
        advice: another thing to do instead, with which the message ends.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"the folder {path} cannot be written ({reason}); {remedy(error)}, or {advice}.") from None
