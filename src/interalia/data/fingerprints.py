"""By what it is noticed that a data set is another one than a run was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.dataset import Dataset

VERSION = 1  # to be raised when the fingerprint of the same data changes; others are not compared
WHOLE = 2**24  # bytes: what is read of an array
BLOCKS = 64  # in so many places


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """The rows of each part, and a digest of their shapes, labels and content: in plain values, to be kept with a run.

    Images that were decoded from files are known by the names and sizes of the files, and the content of some of them
    (`Collection.fingerprint`); the decoded numbers may differ in a bit from one decoder to the next. Arrays are known by
    their numbers: whole up to 16 MB a part, else by 64 blocks of rows at even distances, which are read in a moment of
    however large a file. Exchanged, added, removed and permuted rows are noticed, and single numbers that were changed
    within a larger array may not be. Of mixtures, which are drawn on the spot, there is nothing to be exchanged but their
    number. Neither times nor paths play a part, so that data may be copied and moved.

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
            arrays = {"x": None if domain.encoded else split.x, "y": split.y, "told": domain.attributes.get(part)}
            for name, array in arrays.items():
                digest.update(f"{part} {name} {len(split)}".encode())
                for block in [] if array is None or domain.mixture is not None else blocks(array):
                    digest.update(block)
    return {"version": VERSION, "rows": rows, "sha256": digest.hexdigest()}


def blocks(array: NDArray[Any]) -> Iterator[bytes]:
    """An array's kind, and its numbers as far as they are looked at."""
    yield f"{array.dtype.str} {array.shape}".encode()
    rows, size = len(array), array[:1].nbytes
    each = max(1, WHOLE // BLOCKS // max(1, size))
    if rows <= BLOCKS * each:
        starts, each = [0], rows
    else:
        starts = [(rows - each) * i // (BLOCKS - 1) for i in range(BLOCKS)]
    for start in starts:
        yield np.ascontiguousarray(array[start : start + each]).tobytes()


def difference(kept: Mapping[str, Any] | None, found: Mapping[str, Any]) -> str:
    """In what way data are others than those that were kept; empty where they are the same, or it is not known."""
    if kept is None or kept.get("version") != found["version"] or kept.get("sha256") == found["sha256"]:
        return ""
    then, now = kept.get("rows"), found["rows"]
    if then == now or not isinstance(then, list):
        return "as many examples, and other ones or in another order"
    before, after = (" / ".join(map(str, rows)) for rows in (then, now))
    return f"{before} examples to train, validate and test on then, {after} now"
