"""A disk cache of decoded arrays, which are memory-mapped."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.errors import UserError

# Part of every key: raise it when a loader returns other arrays for the same files.
VERSION = 1
# The list of an entry's arrays, because programs that clean caches remove single files.
NAMES = "names.txt"

Arrays = dict[str, NDArray[Any]]


def folder() -> Path:
    """The cache folder: the environment variable INTERALIA_CACHE, or the cache folder of the system."""
    if chosen := os.environ.get("INTERALIA_CACHE"):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("interalia"))


class Entry:
    """A cache entry that is being written; other processes see it when it is complete."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.names: list[str] = []

    def write(self, name: str, shape: tuple[int, ...], dtype: Any, parts: Iterable[NDArray[Any]]) -> None:
        """Writes the array `name`, given as consecutive chunks of rows.

        It uses plain writes instead of a memory map, because a full disk is then an error and not a crash.
        """
        path, header, rows = self.place / f"{name}.npy", io.BytesIO(), 0
        layout = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, layout)
        with explain_write_errors(self.place):
            path.write_bytes(header.getvalue())
        for part in parts:
            rows += len(part)
            assert part.shape[1:] == shape[1:], (name, part.shape, shape)
            # closed inside: a full disk may show only then
            with explain_write_errors(self.place), open(path, "ab") as file:
                file.write(np.ascontiguousarray(part, dtype).data)
        assert rows == shape[0], (name, rows, shape)
        self.names.append(name)
        with explain_write_errors(self.place):
            (self.place / NAMES).write_text("\n".join(self.names))

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Writes a whole array."""
        self.write(name, array.shape, array.dtype, [array])


def cached(name: str, sources: Sequence[Path], settings: dict[str, Any], decode: Callable[[Entry], None]) -> Arrays:
    """The arrays that `decode` writes, memory-mapped, from the cache if it has them.

    Arguments:
        name: the beginning of the entry's folder name.
        sources: the files that are decoded; another size or modification time makes another entry.
        settings: everything else that the arrays depend on.
        decode: writes the arrays to an `Entry`.

    Raises:
        UserError: the cache folder cannot be written, or the disk is full.
    """
    digest = hashlib.sha256(repr((VERSION, name, sorted(settings.items()))).encode())
    for source in sources:
        status = source.stat()
        digest.update(f"{source.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    arrays = folder() / "arrays"
    final = arrays / f"{name}-{digest.hexdigest()[:20]}"
    if found := _open(final):
        return found

    with explain_write_errors(arrays):
        arrays.mkdir(parents=True, exist_ok=True)
        _sweep(arrays)
        if final.exists():  # damaged from outside: entries are renamed when they are complete
            shutil.rmtree(final)
        unfinished = tempfile.TemporaryDirectory(prefix="unfinished-", dir=arrays, ignore_cleanup_errors=True)
    with unfinished as temporary:
        decode(Entry(Path(temporary)))
        with explain_write_errors(arrays):
            try:
                os.rename(temporary, final)
            except OSError as error:
                # Another process was faster and wrote the same arrays.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES) or not final.is_dir():
                    raise
    found = _open(final)
    if not found:
        raise UserError(f"the arrays written to {final} cannot be read back; check the disk or set INTERALIA_CACHE.")
    return found


def _open(place: Path) -> Arrays:
    """The arrays in `place`; empty if it does not exist or one of them is damaged."""
    try:
        names = (place / NAMES).read_text().split("\n")
        return {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in names}
    except (OSError, ValueError, EOFError):
        return {}


def _sweep(arrays: Path) -> None:
    """Removes unfinished entries of killed processes that are older than two days."""
    for left in arrays.glob("unfinished-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 2 * 86400:
                shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def explain_write_errors(
    place: Path, advice: str = "set INTERALIA_CACHE to a folder on another disk"
) -> Iterator[None]:
    """Turns a failure to write below `place` into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"the disk that holds {place} is full; free some space there, or {advice}.") from None
        raise UserError(
            f"the folder {place} cannot be written ({error.strerror or error}); make it writable, or {advice}."
        ) from None
