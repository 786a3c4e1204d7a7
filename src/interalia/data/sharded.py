"""Arrays in several .npy files (shards), from which rows are read by their indices, so that they may exceed the memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.disk import regular, write_error
from interalia.errors import UserError, remedy

Array = NDArray[Any]
SHARD_BYTES = 2**30  # of the rows in one file, at most
CHUNK = 512  # rows that are converted, copied or checked at a time
BLOCK_BYTES = 2**24  # of the rows in one block, at most, if it has more than one row


@dataclass(frozen=True)
class Shard:
    """A .npy file with consecutive rows of an array.

    Attributes:
        path: the file.
        rows: the number of its rows.
        offset: the bytes in the file before the first row.
        checksums: the CRC-32 checksum of each block of rows (see `block_rows`); empty for files without checksums.
        seen: the numbers of the blocks that were read and had the right checksum.
    """

    path: Path
    rows: int
    offset: int
    checksums: Sequence[int] = ()
    seen: set[int] = field(default_factory=set, compare=False, repr=False)

    def check(self, first: int, part: memoryview, size: int) -> None:
        """Checks consecutive rows that were read from the file by the checksum of each block that lies in them as a whole.

        Blocks are checked once in each process, and blocks of which a part was read are not checked.

        Arguments:
            first: the number of the first of the rows in the file.
            part: the bytes of the rows.
            size: the bytes of one row.

        Raises:
            UserError: a checksum is another one.
        """
        each = block_rows(size)
        end = first + len(part) // size
        stop = len(self.checksums) if end == self.rows else min(len(self.checksums), end // each)
        for block in range(-(-first // each), stop):
            if block in self.seen:
                continue
            low, high = block * each, min(self.rows, (block + 1) * each)
            if zlib.crc32(part[(low - first) * size : (high - first) * size]) != self.checksums[block]:
                raise UserError(
                    f"{self.path} is damaged, since rows {low:,} to {high - 1:,} (counted from 0) have changed after they "
                    f"were written; copy the file again, or prepare the data again."
                )
            self.seen.add(block)


@dataclass(frozen=True, eq=False)
class ShardedArray:
    """An array of shape (n, ...) in shards, of which an index, a slice or an array of indices reads rows into memory.

    It is read by plain reads and not memory-mapped: the pages of a memory map count as memory of the process, and would grow
    to the size of the data. `numpy.asarray` reads all of it.

    Attributes:
        shards: the files, in the order of their rows.
        stored: the shape of one row in the files.
        type: the type of the numbers in the files.
        index: the row in the files of each row of the array, shape (n,); None for all rows in their order.
        convert: a function of rows as they are in the files, shape (m, *stored), whose results, float32 of the same shape,
            are read in their place; None for the rows as they are.
    """

    shards: Sequence[Shard]
    stored: tuple[int, ...]
    type: np.dtype[Any]
    index: NDArray[np.int64] | None = None
    convert: Callable[[Array], Array] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (n, ...) of the array."""
        return (sum(one.rows for one in self.shards) if self.index is None else len(self.index), *self.stored)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers that are read."""
        return np.dtype(np.float32) if self.convert else self.type

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of numbers."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        """The bytes of the array in memory, if it were read as a whole."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        found = self[:]
        return found if dtype is None else found.astype(dtype)

    def __getitem__(self, key: Any) -> Array:
        """Returns rows as an array in memory.

        Arguments:
            key: an integer for one row, shape (...); a slice, or an array or list of integers or of bool for several, shape
                (m, ...); or a tuple that begins with one of these, whose other elements are applied to the rows.

        Raises:
            IndexError: there is no such row.
            UserError: a file is gone or cut short, or has changed.
        """
        if isinstance(key, tuple):
            first, rest = key[0], key[1:]
            return self[first][rest if isinstance(first, int | np.integer) else (slice(None), *rest)]
        if isinstance(key, int | np.integer):
            return self[[int(key)]][0]
        rows = self.positions(key)
        if len(rows) and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"a row is out of the {len(self):,} rows")
        rows = rows % max(1, len(self))
        found = self.read(rows if self.index is None else self.index[rows])
        if self.convert is None:
            return found
        parts = [self.convert(found[i : i + CHUNK]) for i in range(0, len(found), CHUNK)]
        return np.concatenate(parts) if parts else found.astype(np.float32)

    def positions(self, key: Any) -> NDArray[np.int64]:
        """Returns the rows that a slice, or an array or list of integers or of bool, selects, int64, shape (m,)."""
        if isinstance(key, slice):
            return np.arange(*key.indices(len(self)))
        key = np.asarray(key)
        return np.flatnonzero(key) if key.dtype == np.bool_ else key.astype(np.int64).reshape(-1)

    def select(self, key: Any) -> ShardedArray:
        """Returns the array of the rows that a slice or an array of indices selects, without reading them."""
        rows = self.positions(key)
        return replace(self, index=rows if self.index is None else self.index[rows])

    def read(self, rows: NDArray[np.int64]) -> Array:
        """Returns rows of the files, as they are in the files, shape (m, *stored).

        Arguments:
            rows: their indices, from 0 to the number of rows in all files less 1, shape (m,).

        Raises:
            UserError: a file is gone or cut short, or has changed.
        """
        found = np.empty((len(rows), *self.stored), self.type)
        ends = np.cumsum([one.rows for one in self.shards])
        which = np.searchsorted(ends, rows, side="right")
        size = found[:1].nbytes
        flat: Any = memoryview(found.reshape(-1).view(np.uint8))  # type: ignore[arg-type]  # the bytes of all rows
        for number in np.unique(which):
            shard, places = self.shards[number], np.flatnonzero(which == number)
            inside = rows[places] - (ends[number] - shard.rows)
            # consecutive rows are read at once
            starts = np.flatnonzero(np.diff(inside, prepend=-2) - 1 | np.diff(places, prepend=-2) - 1)
            try:
                with open(shard.path, "rb", buffering=0) as file:
                    for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
                        file.seek(shard.offset + int(inside[start]) * size)
                        part = flat[int(places[start]) * size : (int(places[start]) + int(end - start)) * size]
                        fill(file, part, shard.path)
                        shard.check(int(inside[start]), part, size)
            except OSError as error:
                raise UserError(f"{shard.path} cannot be read ({error.strerror}); {remedy(error)}.") from None
        return found


def fill(file: Any, part: memoryview, path: Path) -> None:
    """Reads bytes of a file from its present position on until a part of the memory is full.

    Arguments:
        file: the file, unbuffered.
        part: the memory.
        path: the path of the file, for the error message.

    Raises:
        UserError: the file ends before.
    """
    done = 0
    while done < len(part):
        got = file.readinto(part[done:])
        if not got:
            raise UserError(f"{path} is cut short; prepare the data again, or copy the file again.")
        done += got


def block_rows(size: int) -> int:
    """Returns the number of rows in one block, which has one checksum: 512, or half of it and so on down to 1, so that a
    block has at most 16 MiB.

    `size` is the bytes of one row.
    """
    rows = CHUNK
    while rows > 1 and rows * size > BLOCK_BYTES:
        rows //= 2
    return rows


class Checksums:
    """The CRC-32 checksums of blocks of bytes, which are added in pieces of any length.

    Arguments:
        size: the bytes of one block; the last block may have fewer.

    Attributes:
        found: the checksums of the blocks so far.
    """

    def __init__(self, size: int) -> None:
        self.size, self.left = size, 0
        self.found: list[int] = []

    def add(self, part: memoryview) -> None:
        """Adds bytes behind those that were added before."""
        while len(part):
            if not self.left:
                self.found.append(0)
                self.left = self.size
            piece, part = part[: self.left], part[self.left :]
            self.found[-1] = zlib.crc32(piece, self.found[-1])
            self.left -= len(piece)


def write_shards(folder: Path, name: str, count: int, chunks: Iterable[Array]) -> list[Shard]:
    """Writes an array to the files ``NAME-00000.npy``, ``NAME-00001.npy`` ... in a folder, and syncs them to the disk.

    Arguments:
        folder: the folder, which exists.
        name: the beginning of the files' names.
        count: the number of rows.
        chunks: consecutive rows of the array, shape (m, ...) each, of one type.

    Returns:
        The files, each with at most 1 GiB of rows, or with one row if that is larger; with their checksums.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    found: list[Shard] = []
    left, room, file = count, 0, None
    try:
        for chunk in map(np.ascontiguousarray, chunks):
            while len(chunk):
                if file is None:
                    size = max(1, chunk[:1].nbytes)
                    each, room = block_rows(size), max(1, SHARD_BYTES // size)
                    room = min(left, room - room % each if room > each else room)  # whole blocks
                    sums = Checksums(each * size)
                    path = folder / f"{name}-{len(found):05d}.npy"
                    file = open(path, "wb")  # noqa: SIM115 (closed below)
                    layout = np.lib.format.header_data_from_array_1_0(chunk) | {"shape": (room, *chunk.shape[1:])}
                    np.lib.format.write_array_header_1_0(file, layout)
                    found.append(Shard(path, room, file.tell(), sums.found))
                part, chunk = chunk[:room], chunk[room:]
                file.write(part.data)
                sums.add(part.data.cast("B"))
                room, left = room - len(part), left - len(part)
                if not room:
                    file.flush()
                    os.fsync(file.fileno())
                    file.close()
                    file = None
    except OSError as error:
        raise write_error(folder, error) from None
    finally:
        if file is not None:
            file.close()
    assert not left, (name, count, left)
    return found


def open_shards(files: Sequence[tuple[Path, int, Sequence[int]]], shape: tuple[int, ...], dtype: str) -> ShardedArray:
    """Returns the array in files that `write_shards` wrote, after a check of the header and the length of each.

    Arguments:
        files: the path, the number of rows and the checksums of the blocks of each; no checksums if they are not known.
        shape: the shape of one row.
        dtype: NumPy's name of the type.

    Raises:
        UserError: a file is missing or damaged, or has other rows.
    """
    shards = []
    size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    for path, rows, checksums in files:
        try:
            with open(regular(path), "rb") as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError("its version is another one")
                found = np.lib.format.read_array_header_1_0(file)
                if found != ((rows, *shape), False, np.dtype(dtype)):
                    raise ValueError(f"it has {found[2]} of shape {found[0]}, and expected was {(rows, *shape)}")
                offset = file.tell()
            if path.stat().st_size != offset + rows * size:
                raise ValueError("it is cut short or too long")
            if len(checksums) not in (0, -(-rows // block_rows(size))):
                raise ValueError("its checksums are of other rows")
        except (OSError, ValueError, EOFError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"the shard {path} is damaged ({reason}); prepare the data again, or copy it again."
            ) from None
        shards.append(Shard(path, rows, offset, checksums))
    return ShardedArray(tuple(shards), shape, np.dtype(dtype))
