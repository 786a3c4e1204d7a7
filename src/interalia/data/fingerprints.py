"""Fingerprints of data sets, to notice that a run is resumed or evaluated with other data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.dataset import Dataset

VERSION = 1  # raise it when the fingerprint of the same data changes; other versions are not compared
WHOLE = 2**24  # bytes that are read of an array
BLOCKS = 64  # number of blocks of a larger array


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """The number of rows of each split, and a digest of shapes, labels and content, in plain values for ``run.json``.

    Decoded images are identified by the names and sizes of their files and the content of some (`Collection.fingerprint`),
    because decoders may differ in the last bit. Arrays are identified by their numbers: all of them up to 16 MB a split,
    else 64 blocks of rows at even distances. Replaced, added, removed and permuted rows are noticed; single changed numbers
    in a larger array may not be. Mixtures are identified by their numbers of rows. Times and paths do not count, so data may
    be copied and moved.

    Example:
        >>> from interalia import data
        >>> fingerprint(data.load("digits"))["rows"]
        [1297, 200, 300]
    """
    digest = hashlib.sha256()
    rows = []
    for domain in filter(None, (dataset, dataset.other)):
        digest.update(repr((domain.shape, domain.classes, domain.encoded)).encode("utf-8", "backslashreplace"))
        for part in ("train", "validation", "test"):
            split = getattr(domain, part)
            rows.append(len(split))
            attributes = domain.attributes.get(part)
            arrays = {"x": None if domain.encoded else split.x, "y": split.y, "told": attributes}  # the keys are hashed
            for name, array in arrays.items():
                digest.update(f"{part} {name} {len(split)}".encode())
                for block in [] if array is None or domain.mixture is not None else blocks(array):
                    digest.update(block)
    return {"version": VERSION, "rows": rows, "sha256": digest.hexdigest()}


def blocks(array: NDArray[Any]) -> Iterator[bytes]:
    """The type and shape of an array, then the bytes of the blocks that are hashed."""
    yield f"{array.dtype.str} {array.shape}".encode()
    rows, size = len(array), array[:1].nbytes
    each = max(1, WHOLE // BLOCKS // max(1, size))
    if rows <= BLOCKS * each:
        starts, each = [0], rows
    else:
        starts = [(rows - each) * i // (BLOCKS - 1) for i in range(BLOCKS)]
    for start in starts:
        yield np.ascontiguousarray(array[start : start + each]).tobytes()


def difference(saved: Mapping[str, Any] | None, found: Mapping[str, Any]) -> str:
    """How data differ from those of a saved fingerprint, in words; empty if they are the same or cannot be compared."""
    if saved is None or saved.get("version") != found["version"] or saved.get("sha256") == found["sha256"]:
        return ""
    then, now = saved.get("rows"), found["rows"]
    if then == now or not isinstance(then, list):
        return "as many examples, and other ones or in another order"
    before, after = (" / ".join(map(str, rows)) for rows in (then, now))
    return f"{before} examples to train, validate and test on then, {after} now"
