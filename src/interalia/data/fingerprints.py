"""Fingerprints of data sets, by which a run notices that it is resumed or evaluated with other data."""

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
    """The fingerprint of a data set: values by which it is recognized, for the file ``run.json``.

    Images that were decoded from files are identified by the names and sizes of the files and the content of some of them,
    because decoders may differ in the last bit. Arrays are identified by their numbers: all of them up to 16 MB a split,
    else 64 blocks at even distances. Replaced, added, removed and permuted images or vectors are noticed; single
    changed numbers in a larger array may not be. Synthetic mixtures are identified by the sizes of their splits. Times and
    paths do not count, so data may be copied and moved.

    Returns:
        A dictionary: "version", the version of this function; "rows", the list of the sizes of train, validation and test, of
        both domains if there are two; "sha256", a digest of shapes, labels and content, in hexadecimal.

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
            # the keys are hashed
            arrays = {"x": None if domain.encoded else split.x, "y": split.y, "told": domain.attributes.get(part)}
            for name, array in arrays.items():
                digest.update(f"{part} {name} {len(split)}".encode())
                for block in [] if array is None or domain.mixture is not None else blocks(array):
                    digest.update(block)
    return {"version": VERSION, "rows": rows, "sha256": digest.hexdigest()}


def blocks(array: NDArray[Any]) -> Iterator[bytes]:
    """Yields the bytes of an array that are hashed: its type and shape, then all of its numbers in blocks.

    Above 16 MB only 64 blocks at even distances along the first axis are yielded, each of up to 256 KB, or of one image
    or vector if that is larger.
    """
    yield f"{array.dtype.str} {array.shape}".encode()
    rows, size = len(array), array[:1].nbytes
    each = max(1, WHOLE // BLOCKS // max(1, size))
    distant = [(rows - each) * i // (BLOCKS - 1) for i in range(BLOCKS)]
    for start in range(0, rows, each) if rows <= BLOCKS * each else distant:
        yield np.ascontiguousarray(array[start : start + each]).tobytes()


def difference(saved: Mapping[str, Any] | None, found: Mapping[str, Any]) -> str:
    """Returns a phrase on how the data differ from those of an earlier run; "" if they do not.

    Arguments:
        saved: the fingerprint in the earlier run's file; None if it has none.
        found: the fingerprint of the present data.

    Returns:
        A phrase such as "900 / 50 / 50 examples to train, validate and test on then, 800 / 50 / 50 now"; also "" if
        there is no earlier fingerprint, or it is of another version.
    """
    if saved is None or saved.get("version") != found["version"] or saved.get("sha256") == found["sha256"]:
        return ""
    then, now = saved.get("rows"), found["rows"]
    if then == now or not isinstance(then, list):
        return "as many examples, and other ones or in another order"
    before, after = (" / ".join(map(str, rows)) for rows in (then, now))
    return f"{before} examples to train, validate and test on then, {after} now"
