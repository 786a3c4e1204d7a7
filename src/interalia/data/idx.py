"""IDX, the format of MNIST: two zero bytes, the type, the number of axes, the sizes, the numbers, all big-endian."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interalia.errors import UserError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> NDArray[np.generic]:
    """The array in an IDX file, compressed with gzip or not.

    References:
        The MNIST database of handwritten digits, Yann LeCun, Corinna Cortes, Christopher J.C. Burges,
        http://yann.lecun.com/exdb/mnist/ ("the IDX file format")

    Raises:
        UserError: the file is damaged, cut short or of another format.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":  # gzip, whatever the name says
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); download it again.") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES:
        raise UserError(f"{path} is not an IDX file (it starts with {data[:4]!r}); download it again.")
    dtype = np.dtype(TYPES[data[2]])
    start = 4 + 4 * data[3]
    shape = tuple(np.frombuffer(data[4:start], ">u4").tolist()) if len(data) >= start else ()
    expected = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(data) != expected or len(shape) != data[3]:
        raise UserError(
            f"{path} holds {len(data)} bytes and announces {expected}: it is damaged or cut short; download it again."
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
