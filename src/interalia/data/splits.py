"""Splits of data without an official one into training, validation and test data.

A split depends on the data alone and never on a seed, so that runs with different seeds are comparable and no test image is
ever trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized

import numpy as np
from numpy.typing import NDArray

from interalia.errors import UserError

Rows = NDArray[np.int64]


def format_sizes(splits: Iterable[Sized]) -> str:
    """Returns the sizes of splits, in their order, as text for a data set's description.

    Example:
        >>> format_sizes([range(1200), range(200), range(300)])
        '1,200 / 200 / 300'
    """
    return " / ".join(f"{len(part):,}" for part in splits)


def permutation(count: int) -> Rows:
    """Returns a permutation of the integers from 0 to count - 1, int64, shape (count,), which is the same in every call.

    It uses `RandomState`, because NumPy guarantees that its stream never changes.
    """
    return np.random.RandomState(0).permutation(count).astype(np.int64)


def hold_out(rows: Rows, *sizes: int) -> tuple[Rows, ...]:
    """Splits the indices of examples at random into held-out splits and the rest, in the same way in every call.

    Arguments:
        rows: indices, int64, shape (n,).
        sizes: the number of examples of each held-out split.

    Returns:
        The indices that remain, then those of each held-out split; each in ascending order.

    Example:
        >>> [len(part) for part in hold_out(np.arange(10), 2, 1)]
        [7, 2, 1]
    """
    order = rows[permutation(len(rows))]
    cuts = np.cumsum(sizes)
    *held, rest = np.split(order, cuts)
    return tuple(map(np.sort, (rest, *held)))


def split_80_10_10(count: int, what: str, where: object) -> dict[str, Rows]:
    """Splits images or vectors at random in the proportions 80 / 10 / 10, in the same way in every call.

    Arguments:
        count: the number of images or vectors.
        what: the noun for them in an error message, such as "images".
        where: their file or folder, for the message.

    Returns:
        "train", "validation" and "test" -> indices from 0 to count - 1 in ascending order, at least one in each.

    Raises:
        UserError: `count` is below 4.

    Example:
        >>> {part: len(rows) for part, rows in split_80_10_10(100, "images", "faces").items()}
        {'train': 80, 'validation': 10, 'test': 10}
    """
    if count < 4:
        raise UserError(
            f"{where} holds {count} {what}, and at least 4 are needed to train, validate and test on "
            f"(some hundreds to learn anything); add more."
        )
    held = max(1, round(count / 10))
    return dict(zip(("train", "validation", "test"), hold_out(np.arange(count), held, held), strict=True))


def fill_splits(rows: dict[str, Rows], what: str, where: object) -> dict[str, Rows]:
    """Adds validation and test if they are missing: each is a random tenth of the training data, the same in every call.

    Arguments:
        rows: split -> indices of its images or vectors; "train" is present, "validation" and "test" may be absent or empty.
        what: the noun for images or vectors in an error message, such as "images".
        where: their file or folder, for the message.

    Returns:
        "train", "validation" and "test" -> indices; those of the added splits are no longer in "train".

    Raises:
        UserError: fewer than 2 would remain to train on.

    Example:
        >>> {part: len(rows) for part, rows in fill_splits({"train": np.arange(50)}, "images", "faces").items()}
        {'train': 40, 'validation': 5, 'test': 5}
    """
    count, absent = len(rows["train"]), [part for part in ("validation", "test") if not len(rows.get(part, ()))]
    held = max(1, count // 10)
    if count - held * len(absent) < 2:
        raise UserError(
            f"{where} holds {count} {what} to train on, and {2 + len(absent)} or more are needed (some hundreds to learn "
            f"anything); add more."
        )
    train, *parts = hold_out(rows["train"], *[held] * len(absent)) if absent else [rows["train"]]
    taken = dict(zip(absent, parts, strict=True))
    return {"train": train} | {part: taken.get(part, rows.get(part, train)) for part in ("validation", "test")}


def stratified_split(labels: NDArray[np.int64], *sizes: int) -> tuple[Rows, ...]:
    """Splits data into splits with the same proportions of the classes, up to one image, in the same way in every call.

    Images are shuffled within their class and concatenated class by class; evenly spaced images are then held out.

    Arguments:
        labels: the class of each image, shape (n,).
        sizes: the number of images of each held-out split.

    Returns:
        The indices of the images that remain, then those of each held-out split; each in ascending order.
    """
    rest = permutation(len(labels))
    rest = rest[np.argsort(labels[rest], kind="stable")]
    held = []
    for size in sizes:
        places = ((np.arange(size) + 0.5) * len(rest) / size).astype(np.int64)
        held.append(np.sort(rest[places]))
        rest = np.delete(rest, places)
    return (np.sort(rest), *held)


def relabel(*labels: NDArray[np.generic]) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Replaces labels, which are numbers or texts, by 0, 1, ...: the positions of their values in sorted order.

    Arguments:
        labels: one array for each split, shape (n,).

    Returns:
        The new labels, int64, one array for each split; and the names of the classes, which are the former labels as
        texts. Whole numbers are written without a decimal point.

    Example:
        >>> relabel(np.array([7, 9, 7]), np.array([8]))
        ([array([0, 2, 0]), array([1])], ('7', '8', '9'))
    """
    names = np.unique(np.concatenate(labels))
    if names.dtype.kind == "f" and (names == np.rint(names)).all():
        return relabel(*(np.rint(part).astype(np.int64) for part in labels))  # type: ignore[arg-type]
    return [np.searchsorted(names, part).astype(np.int64) for part in labels], tuple(str(name) for name in names)
