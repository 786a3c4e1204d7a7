"""Splits of data without an official one into training, validation and test data.

A split depends on the data alone and never on a seed, so that runs with different seeds are comparable and no test image is
ever trained on. `SplitOptions` read a published split from a file instead, or keep groups of examples in one split.

A table has a row for each example, with columns separated by commas, semicolons, tabs or blanks. Its first row may have the
names of the columns; without names the first column has the examples, and the last one their splits:

- ``split``, ``fold``, ``subset``, ``partition`` or ``set``: train, validation, test, or the number of a fold;
- ``file``, ``name``, ``path``, ``image``, ``id`` or ``row``: the path of the image (its end is enough, and the suffix may be
  missing), or the number of the row of an array, from 0. Without such a column, a row for each example in their order;
- ``label``, ``class``, ``category`` or ``target``: the class of each image, in place of its folder; empty without a label;
- any other name: for example the group of each example.

A .json file has a list of names for each split or fold: ``{"train": ["a.png", "b.png"], "test": ["c.png"]}``. If a
file has splits, examples that are not listed are left out; else they have no label and the group "".
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia import packaged_toml
from interalia.data.orders import ENUMERATED, permuted
from interalia.disk import read_text
from interalia.errors import UserError

Rows = NDArray[np.int64]
Parts = dict[str, Rows]  # "train", "validation" or "test" -> the indices of its examples
Groups = NDArray[Any] | None  # the group of each example, shape (n,)

NAMES = packaged_toml("interalia.data", "splits.toml")
PARTS = {name: part for part, names in NAMES["splits"].items() for name in names}  # a name of a split -> the split
FOLD = re.compile(r"(?:fold[ _-]?)?0*(\d+)")


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


def drawn_rows(count: int, most: int = 1000) -> Rows:
    """Returns the indices of `most` drawn rows out of `count`, int64, ascending, the same in every call.

    The first and the last row are among them. They are all rows if there are no more.
    """
    if count <= most:
        return np.arange(count)
    if count > ENUMERATED:
        return np.array([0, *np.sort(permuted(np.arange(most - 2), count - 2, 0) + 1), count - 1])
    inner = np.random.RandomState(0).choice(count - 2, most - 2, replace=False) + 1
    return np.array([0, *np.sort(inner), count - 1])


def hold_out(rows: Rows, *sizes: int, groups: Groups = None) -> tuple[Rows, ...]:
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


def divide(rows: Parts, unlabelled: NDArray[np.bool_], what: str, where: object, groups: Groups = None) -> Parts:
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
        A dictionary: "train", "validation" and "test" -> indices; in "train" those of unlabelled examples are the last.

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
    if count - held * len(absent) < 2:
        raise UserError(
            f"{where} holds {count} {what}{' to train on' * (len(rows) > 1)}, and at least {len(absent) + 2} are needed to "
            f"train, validate and test on (some hundreds to learn anything); add more."
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


def relabel_partly(*labels: NDArray[np.generic]) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Replaces labels as `relabel` does, but "" and -1, of examples without a label, by -1; they are no classes.

    The classes -1 and 1 alone, and a single class, stay as they are.

    Arguments:
        labels: one array for each split, shape (n,).

    Returns:
        The new labels and the names of the classes, as `relabel`.

    Example:
        >>> relabel_partly(np.array(["-1", "dog", "cat"]))
        ([array([-1,  1,  0])], ('cat', 'dog'))
    """
    numbers, classes = relabel(*labels)
    while classes[:1] in (("-1",), ("",)) and classes != ("-1", "1") and len(classes) > 1:
        numbers, classes = [np.maximum(part - 1, -1) for part in numbers], classes[1:]
    return numbers, classes


def composed(text: str) -> str:
    """Returns a text in which an accent and its letter are one character (NFC); some systems write them as two in names.

    Example:
        >>> composed("e\u0301") == "\u00e9"
        True
    """
    return unicodedata.normalize("NFC", text)


def groups_at(groups: Groups, index: Rows) -> NDArray[np.str_] | None:
    """Returns the groups of the examples at some indices as texts, shape (m,); None for no groups.

    Arguments:
        groups: the group of each example, shape (n,); None for no groups.
        index: the indices of the examples, shape (m,).
    """
    return None if groups is None else groups[index].astype(np.str_)


def digest(rows: Parts) -> str:
    """Returns a digest of the indices in all splits, in hexadecimal, by which another split of a file is recognized."""
    return hashlib.sha256(b"|".join(index.tobytes() for index in rows.values())).hexdigest()


@dataclass(frozen=True)
class SplitOptions:
    """The options for the splits of a folder or an array: a file that assigns examples to them, a fold, and groups.

    Attributes:
        split: the file, as in the docstring of this module; None for the data's own splits, or random ones.
        fold: the number of the fold to test on, or to validate on if the file assigns examples to "test" too; the other folds
            are for training. None for a file without folds.
        group: a regular expression that finds the group in the path of each image; or the name of a column of the file, or of
            an array in the .npz file, with the group of each example; or the number of a column of the vectors. All examples
            of a group are in one split. None for no groups.
    """

    split: Path | str | None = None
    fold: int | None = None
    group: str | None = None

    def __bool__(self) -> bool:
        """True if one of the options is given."""
        return (self.split, self.fold, self.group) != (None, None, None)

    def how(self, otherwise: str) -> str:
        """Returns a phrase on how examples were split, for a data set's description; `otherwise` if no file assigns them."""
        fold = "" if self.fold is None else f", fold {self.fold}"
        how = otherwise if self.split is None else f"Train / validation / test by {Path(self.split).name}{fold}"
        return how if self.group is None else f"{how}, each group of {self.group} in one split"

    def assigned(
        self, paths: Sequence[str], where: object, groups: Groups = None
    ) -> tuple[Parts | None, Groups, Groups]:
        """Returns the examples of each split by the file of splits, and the group and the label of each example.

        Arguments:
            paths: the path of each of the n images inside of its folder, or the number of each of the n rows of an array.
            where: the folder or file of the data, for error messages.
            groups: the group of each example, shape (n,), if the data have it; None to find it by the option `group`.

        Returns:
            Three values. First split -> indices of its examples, int64, in ascending order, where "validation" and "test" may
            be empty; or None without a file, or if it has no splits. Second the groups, shape (n,), None for no groups. Third
            the labels by the file, texts, shape (n,), None for no labels. Both are "" for examples that are not in the file.

        Raises:
            UserError: the file cannot be read, names an example twice or one that does not exist, or has a split of another
                name; or `fold` is not in the file; or a group is not found.
        """
        try:
            table = {} if self.split is None else read_table(Path(self.split).expanduser(), self.group)
            names = next((table[title] for title in NAMES["columns"]["name"] if title in table), None)
            values = next((table[title] for title in NAMES["columns"]["split"] if title in table), None)
            title = next((title for title in NAMES["columns"]["label"] if title in table), "")
            if table and values is None and self.group not in table and not title:
                known = f"split, fold or label{f', or {self.group}, as `group`' if self.group else ''}"
                raise ValueError(f"its columns are {', '.join(table)}, and one must be called {known}")
            if table and not next(iter(table.values())):
                raise ValueError("it has no rows below those names")
            index = np.arange(len(paths)) if names is None else positions(paths, names)
            if table and len(index) != len(next(iter(table.values()))):
                raise ValueError(f"it has no column called file, and not one row for each of {len(index):,} examples")
            parts = np.array(parts_of(values or [], self.fold))
            columns = {title: np.full(len(paths), "", dtype=object) for title in table}
            for name, texts in table.items():
                columns[name][index] = texts
            if self.group in columns:
                groups = columns[self.group]
            elif self.group is not None and groups is None:
                groups = groups_in(paths, self.group)
        except (OSError, ValueError, AttributeError, TypeError, RecursionError, csv.Error, re.error) as error:
            reason = getattr(error, "strerror", None) or error
            file, correct = (f" by {self.split}", "that file") if self.split else ("", "`fold` or `group`")
            raise UserError(f"{where} cannot be split{file}: {reason}; correct {correct}, or leave it out.") from None
        rows = None if values is None else {part: np.sort(index[parts == part]) for part in NAMES["splits"]}
        return rows, groups, columns.get(title)


def read_table(path: Path, group: str | None) -> dict[str, list[str]]:
    """Returns the columns of a file that assigns examples to splits: name, in lower case -> the text in each row.

    Arguments:
        path: the file.
        group: the name of a column that may have capital letters; None for none.

    Raises:
        OSError, ValueError, AttributeError, TypeError, csv.Error: the file cannot be read, or has another form.
    """
    text = composed(read_text(path, "surrogateescape"))
    if path.suffix.lower() == ".json":
        lists = json.loads(text)
        if not isinstance(lists, dict) or not all(isinstance(names, list) for names in lists.values()):
            raise ValueError("it has no list of names for each split")
        pairs = [(str(name), part) for part, names in lists.items() for name in names]
        return {"name": [name for name, _ in pairs], "split": [part for _, part in pairs]}
    lines = [line for line in text.splitlines() if line.strip()]
    mark = next((mark for mark in "\t;," if lines and mark in lines[0].strip()), " ")
    lines = [line.strip(" " if mark == "\t" else None) for line in lines]  # a tab at an end is beside an empty cell
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark, skipinitialspace=True)]
    if len({len(row) for row in rows}) != 1:
        raise ValueError("its rows have different numbers of columns" if rows else "it is empty")
    titles = [cell if cell == group else cell.lower() for cell in rows[0]]
    again = next((title for title in titles if titles.count(title) > 1), None)
    if titles[-1] in PARTS or FOLD.fullmatch(titles[-1]):  # values
        rows, titles = [[], *rows], [*["name", *map(str, range(2, len(titles)))][: len(titles) - 1], "split"]
    elif again is not None:
        raise ValueError(f"it has two columns called {again!r}")
    return {title: [row[i] for row in rows[1:]] for i, title in enumerate(titles)}


def parts_of(values: Sequence[str], fold: int | None) -> list[str]:
    """Returns "train", "validation" or "test" for each value in a file, which is a name of a split or the number of a fold.

    Arguments:
        values: texts such as "train" and "val", or "0" and "fold 1".
        fold: the number of the fold to test on, or to validate on if "test" is among the values; None without folds.

    Raises:
        ValueError: a value is neither, or `fold` is not among the folds.
    """
    plain = [FOLD.sub(r"\1", value.lower()) for value in values]
    folds: set[int | None] = {int(value) for value in plain if value.isdecimal()}
    if fold not in (folds or {None}):
        allowed = (
            f"one of {', '.join(map(str, sorted(folds, key=str)))}" if folds else "left out, because it has no folds"
        )
        raise ValueError(
            f"{'it has folds, and `fold`' if fold is None else f'`fold` is {fold}, and'} must be {allowed}"
        )
    held = "validation" if "test" in plain else "test"
    known = PARTS | {str(one): held if one == fold else "train" for one in folds}
    if wrong := [value for value in plain if value not in known]:
        raise ValueError(f"{wrong[0]!r} is neither train, validation or test nor the number of a fold")
    return [known[value] for value in plain]


def positions(paths: Sequence[str], names: Sequence[str]) -> Rows:
    """Returns the index in `paths` of each name, int64, shape (number of names,).

    Arguments:
        paths: the paths of all examples, with forward slashes.
        names: names of examples: a path or its end, with or without its suffix, that only one example has. Outer folders that
            the paths lack are ignored.

    Raises:
        ValueError: a name is that of no path or of several, or two names are those of one path.
    """

    def ends(path: str) -> list[str]:
        """Returns a path without its first 0, 1, 2 and more folders, the longest first."""
        folders = path.replace("\\", "/").split("/")
        return ["/".join(folders[k:]) for k in range(len(folders))]

    known: dict[str, int] = {}
    paths, names = list(map(composed, paths)), list(map(composed, names))
    for i, path in enumerate(paths):
        for end in {*ends(path), *ends(path.rsplit(".", 1)[0])}:
            known[end] = -1 if end in known else i
    known |= {path: i for i, path in enumerate(paths)}
    index = np.array([next((known[end] for end in ends(name) if end in known), -2) for name in names])
    wrong = (index < 0) | (np.bincount(index + 2)[index + 2] > 1)
    if wrong.any():
        first = int(wrong.argmax())
        problem = {-2: "is no example", -1: "fits several examples"}.get(int(index[first]), "is there twice")
        raise ValueError(f"{names[first]!r} {problem}, and {wrong.sum() - 1:,} more of its names are wrong")
    return index


def groups_in(paths: Sequence[str], pattern: str) -> NDArray[Any]:
    """Returns the text that a regular expression finds in each path, or what its groups find, joined by "/".

    Raises:
        ValueError: it finds nothing in some path.
        re.error: it is no regular expression.
    """
    found = [re.search(composed(pattern), path) for path in paths]
    if None in found:
        raise ValueError(f"`group` {pattern!r} is no column, and is not found in {paths[found.index(None)]}")
    return np.array(["/".join(filter(None, match.groups())) or match[0] for match in found if match])
