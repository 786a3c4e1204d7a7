"""Splits of data without an official one into training, validation and test data.

A split depends on the data alone and never on a seed, so that runs with different seeds are comparable and no test image is
ever trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sized
from typing import Any

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


def hold_out(rows: Rows, *sizes: int, groups: NDArray[Any] | None = None) -> tuple[Rows, ...]:
    """Splits the indices of examples at random into held-out splits and the rest, in the same way in every call.

    Arguments:
        rows: indices, int64, shape (n,).
        sizes: the number of examples of each held-out split.
        groups: the group of every example that `rows` may have as an index. All examples of a group are then in one split,
            and the sizes are approximate; groups of more than twice the largest size are the last to be held out. None for no
            groups.

    Returns:
        The indices that remain, then those of each held-out split; each in ascending order.

    Raises:
        UserError: there are fewer groups than splits.

    Example:
        >>> [len(part) for part in hold_out(np.arange(10), 2, 1)]
        [7, 2, 1]
        >>> hold_out(np.arange(4), 1, groups=np.array(["a", "b", "b", "a"]))
        (array([0, 3]), array([1, 2]))
    """
    cuts = np.cumsum(sizes)
    if groups is None:
        *held, rest = np.split(rows[permutation(len(rows))], cuts)
        return tuple(map(np.sort, (rest, *held)))
    names, index, counts = np.unique(groups[rows], return_inverse=True, return_counts=True)
    if len(names) <= len(sizes):
        raise UserError(
            f"`group` makes {len(names)} group(s) of {len(rows)} examples, and at least {len(sizes) + 1} are needed, one for "
            f"each split; give another `group`."
        )
    order = permutation(len(names))
    order = order[np.argsort(counts[order] > 2 * max(sizes), kind="stable")]
    total, ends = counts[order].cumsum(), [0]  # numbers of groups, after which a held-out split ends
    for i, cut in enumerate(cuts):
        ends.append(int(np.clip(np.abs(total - cut).argmin() + 1, ends[-1] + 1, len(names) - len(sizes) + i)))
    part = np.searchsorted(ends[1:], np.argsort(order)[index], side="right")
    return (rows[part == len(sizes)], *(rows[part == i] for i in range(len(sizes))))


def divide(
    rows: dict[str, Rows], unlabelled: NDArray[np.bool_], what: str, where: object, groups: NDArray[Any] | None = None
) -> dict[str, Rows]:
    """Completes the splits of a data set: missing ones get random labelled training examples, the same in every call.

    Arguments:
        rows: split -> indices of its examples. "train" is present; without other keys its examples are split in the
            proportions 80 / 10 / 10. If "validation" or "test" is then absent or empty, it gets a tenth of them.
        unlabelled: for each training example whether it has no label while others have one; such examples stay in "train".
        what: the noun for examples in an error message, such as "images".
        where: their file or folder, for the message.
        groups: the group of every example; each group is in one split, and unlabelled examples of a held-out group are left
            out. None for no groups.

    Returns:
        "train", "validation" and "test" -> indices; in "train" those of unlabelled examples are the last.

    Raises:
        UserError: there are too few labelled examples, or a group is in two splits.

    Example:
        >>> rows = divide({"train": np.arange(100)}, np.zeros(100, bool), "images", "faces")
        >>> {part: len(index) for part, index in rows.items()}
        {'train': 80, 'validation': 10, 'test': 10}
    """
    extra, labelled = (rows["train"][unlabelled[rows["train"]] == which] for which in (True, False))
    count, absent = len(labelled), [part for part in ("validation", "test") if not len(rows.get(part, ()))]
    held = max(1, round(count / 10) if len(rows) == 1 else count // 10)
    if count <= held * len(absent):
        raise UserError(
            f"{where} holds {count} {what} to train on, and at least {len(absent) + 1} are needed to train, validate and "
            f"test on (some hundreds to learn anything); add more."
        )
    train, *parts = hold_out(labelled, *[held] * len(absent), groups=groups) if absent else [labelled]
    taken = dict(zip(absent, parts, strict=True))
    rows = {"train": train} | {part: taken.get(part, rows.get(part, train)) for part in ("validation", "test")}
    if groups is not None:
        names = Counter(str(name) for index in rows.values() for name in np.unique(groups[index]))
        if (torn := names.most_common(1)[0])[1] > 1:
            raise UserError(
                f"the group {torn[0]!r} is in several splits of {where}; move its examples to one, or leave `group` out."
            )
        extra = extra[~np.isin(groups[extra], groups[np.concatenate([rows["validation"], rows["test"]])])]
    return rows | {"train": np.concatenate([rows["train"], extra])}


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
