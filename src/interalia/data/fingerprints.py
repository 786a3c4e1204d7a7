"""Fingerprints of data sets, by which a run notices that it is resumed or evaluated with other data."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.dataset import Dataset
from interalia.data.sharded import CHUNK as ROWS
from interalia.data.splits import drawn_rows
from interalia.errors import UserError

VERSION = 2  # raise it when the fingerprint of the same data changes; of other versions only the sizes are compared
WHOLE = 10**9  # bytes of an array, up to which all of them are hashed
CHUNK = 2**24  # bytes that are hashed at once


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """The fingerprint of a data set: values by which it is recognized, for the file ``run.json``.

    Images that were decoded from files are identified by the names, sizes and bytes of the files, because decoders may
    differ in the last bit. Arrays are identified by their numbers: all of them up to 1 GB a split, else their shape and 1,000
    drawn rows. Replaced, added, removed and permuted images or vectors are noticed; single changed numbers in a larger
    array may not be. Synthetic mixtures are identified by the sizes of their splits. Times and paths do not count, so data
    may be copied and moved.

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
    """Yields the bytes of an array that are hashed: its type and shape, then all of its numbers in blocks of 16 MB.

    Above 1 GB only 1,000 images or vectors are yielded, the first and the last among them; always the same ones for an array
    of that length.
    """
    yield f"{array.dtype.str} {array.shape}".encode()
    if array.nbytes > WHOLE:
        array = array[drawn_rows(len(array))]
    each = max(1, CHUNK // max(1, array[:1].nbytes))
    each -= each % ROWS if each > ROWS else 0  # whole blocks of shards, which have checksums
    for start in range(0, len(array), each):
        yield np.ascontiguousarray(array[start : start + each]).tobytes()


def row_digests(dataset: Dataset, part: str) -> list[NDArray[np.uint64]]:
    """Returns a digest of each image or vector in a split, uint64, shape (n,), one array for each domain of the data set.

    Arguments:
        dataset: the data set.
        part: "train", "validation" or "test".
    """
    found = []
    for domain in filter(None, (dataset, dataset.other)):
        x = getattr(domain, part).x
        digests = (hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=8).digest() for row in x)
        found.append(np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64))
    return found


def trained_on(dataset: Dataset) -> NDArray[np.uint64] | None:
    """Returns a digest of each training example, uint64, shape (n,), by which later evaluations leave it out.

    Both domains are in one array. None for more than 1 GB of training data, and for synthetic mixtures.
    """
    domains = [dataset, *([dataset.other] if dataset.other else [])]
    if dataset.mixture is not None or sum(domain.train.x.nbytes for domain in domains) > WHOLE:
        return None
    return np.concatenate(row_digests(dataset, "train"))


def without_trained(dataset: Dataset, digests: NDArray[np.uint64]) -> tuple[Dataset, int]:
    """Leaves out the validation and test examples that a run was trained on, before its data changed.

    Arguments:
        dataset: the present data.
        digests: those of the examples that it was trained on (see `trained_on`).

    Returns:
        The data set without these examples, and their number. Both examples of a pair are left out if one was trained on.

    Raises:
        UserError: no validation or no test example remains.
    """
    domains, count = [dataset, *([dataset.other] if dataset.other else [])], 0
    for part in ("validation", "test"):
        new = [~np.isin(found, digests) for found in row_digests(dataset, part)]
        new = [new[0] & new[1]] * 2 if dataset.paired else new
        for i, (domain, rows) in enumerate(zip(domains, new, strict=True)):
            split, kept = getattr(domain, part), np.flatnonzero(rows)
            count += len(split) - len(kept)
            if len(split) and not len(kept):
                raise UserError(f"the run was trained on every {part} example of these data; restore the former data.")
            if len(kept) < len(split):
                attributes = {key: a[kept] if key == part else a for key, a in domain.attributes.items()}
                changed: Any = {part: split[kept], "attributes": attributes}
                domains[i] = dataclasses.replace(domain, **changed)
    first, *other = domains
    return dataclasses.replace(first, other=other[0]) if other else first, count


def difference(saved: Mapping[str, Any] | None, found: Mapping[str, Any]) -> str:
    """Returns a phrase on how the data differ from those of an earlier run; "" if they do not.

    Arguments:
        saved: the fingerprint in the earlier run's file; None if it has none.
        found: the fingerprint of the present data.

    Returns:
        A phrase such as "900 / 50 / 50 examples to train, validate and test on then, 800 / 50 / 50 now"; also "" if
        there is no earlier fingerprint, or if it is of another version and has the same sizes.
    """
    if saved is None:
        return ""
    then, now = saved.get("rows"), found["rows"]
    if saved.get("version") != found["version"]:
        if then == now or not isinstance(then, list):
            return ""
    elif saved.get("sha256") == found["sha256"]:
        return ""
    if then == now or not isinstance(then, list):
        return "as many examples, and other ones or in another order"
    before, after = (" / ".join(map(str, rows)) for rows in (then, now))
    return f"{before} examples to train, validate and test on then, {after} now"
