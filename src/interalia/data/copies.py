"""Counts held-out images that are copies of training images: the same, encoded again or resized."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import Content
from interalia.data.dataset import Split
from interalia.data.images import GRAY
from interalia.data.splits import PARTS

CELLS = 8  # a side of the grid whose mean gray values are compared
# The largest root mean square difference of the gray values of copies: in 1/255, and as a share of the images' deviation.
LEVELS, SHARE = 3.0, 0.05
CHUNK = 256  # images that are compared with all others at once
MOST = 10**6  # examples up to which copies are counted


def described(chunk: NDArray[Any]) -> NDArray[Any]:
    """Returns what the copies of images or vectors have in common.

    Arguments:
        chunk: images, uint8 or float32 in [0, 1], shape (n, channels, height, width); or other examples, shape (n, ...).

    Returns:
        For images the mean gray values in a grid of at most 8x8 cells, in 1/255, float32, shape (n, cells); for others a
        number of 64 bits, which differs for different examples, shape (n,).
    """
    if chunk.ndim != 4:
        digests = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in np.ascontiguousarray(chunk))
        return np.frombuffer(b"".join(digests), dtype=np.uint64)
    weights = GRAY if chunk.shape[1] in (3, 4) else np.full(chunk.shape[1], 1 / chunk.shape[1])
    chunk = chunk if np.can_cast(chunk.dtype, np.float32) else chunk.astype(np.float32)
    means = np.einsum("nchw,c->nhw", chunk[:, : len(weights)], weights.astype(np.float32), dtype=np.float32)
    means *= 1 if chunk.dtype == np.uint8 else 255
    for axis in (1, 2):
        size = means.shape[axis]
        edges = np.linspace(0, size, min(size, CELLS) + 1).astype(int)
        widths = np.diff(edges).reshape(-1, *[1] * (2 - axis))
        means = np.add.reduceat(means, edges[:-1], axis=axis) / widths.astype(np.float32)
    return means.reshape(len(chunk), -1)


def copies(held_out: NDArray[Any], others: NDArray[Any]) -> int:
    """Returns the number of held-out images or vectors that have a copy among the others; both are from `described`."""
    if others.ndim == 1:
        return int(np.isin(held_out, others).sum())
    whole = float(np.ptp(others))
    held_out, others = held_out - others.mean(axis=0), others - others.mean(axis=0)
    squares = (others**2).sum(axis=1)
    levels = LEVELS * max(1.0, whole / 255)  # of more than 8 bits
    bound = min(levels**2 * others.shape[1], SHARE**2 * float(squares.mean())) + 1e-6 * float(squares.max())
    parts = np.array_split(held_out, len(held_out) // CHUNK + 1)
    return sum(int(((squares - 2 * x @ others.T).min(axis=1) + (x**2).sum(axis=1) <= bound).sum()) for x in parts)


def with_copies(contents: Iterable[Content]) -> Iterator[Content]:
    """Yields the arrays for a cache entry, and at last "copies": the numbers of validation and of test examples that are
    copies of examples in the splits before them, int64, shape (2,).

    Arguments:
        contents: the arrays "train", "validation" and "test", in this order; see `interalia.data.cache.cached`. If one has
            more than a million examples, copies are not counted, and the numbers are -1.
    """
    found: list[NDArray[Any]] = []
    many = False
    for name, count, chunks in contents:
        seen: list[NDArray[Any]] = []
        if many := many or (name in PARTS and count > MOST):
            yield name, count, chunks
            continue
        yield name, count, (chunk for chunk in chunks if name not in PARTS or not seen.append(described(chunk)))  # type: ignore[func-returns-value]
        found += [np.concatenate(seen)] if seen else []
    yield "copies", 2, [np.array([-1, -1]) if many else counted_copies(found)]


def counted_copies(found: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Returns the numbers of validation and of test examples that are copies of examples in the splits before them, int64,
    shape (2,). `found` has what `described` returned for the training, the validation and the test examples.
    """
    return np.array([copies(found[i], np.concatenate(found[:i])) for i in (1, 2)])


def notes(splits: Mapping[str, Split], total: int, counted: Iterable[int]) -> str:
    """Returns sentences on unlabelled examples, on those in no split, and on copies, for a data set's description.

    Arguments:
        splits: "train", "validation" and "test" -> the split.
        total: the number of examples in the folder or file.
        counted: the numbers of validation and of test examples that are copies, from `with_copies`.
    """
    y, left, (validation, test) = splits["train"].y, total - sum(map(len, splits.values())), map(int, counted)
    unlabelled = 0 if y is None else int((y < 0).sum())
    texts = {
        f" {unlabelled:,} training examples have no label.": unlabelled,
        f" {left:,} examples are in no split.": left,
        f" Copies (nearly) in an earlier split: {validation:,} validation and {test:,} test examples.": validation
        + test,
        " Copies in an earlier split were not counted.": -validation,
    }
    return "".join(text for text, number in texts.items() if number > 0)
