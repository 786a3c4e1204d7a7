"""Reads a file that assigns the examples of a folder or an array to splits or folds, and finds groups of examples.

A table has a row for each example, with columns separated by commas, semicolons, tabs or blanks. Its first row may have the
names of the columns; without names the first column has the examples, and the last one their splits:

- ``split``, ``fold``, ``subset``, ``partition`` or ``set``: train, validation, test, or the number of a fold;
- ``file``, ``name``, ``path``, ``image``, ``id`` or ``row``: the path of the image (its end is enough, and the suffix may be
  missing), or the number of the row of an array, from 0. Without such a column, a row for each example in their order;
- any other name: for example the group of each example.

A .json file has a list of names for each split or fold: ``{"train": ["a.png", "b.png"], "test": ["c.png"]}``. Examples that
are not listed are left out.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.splits import Rows
from interalia.errors import UserError

# split -> the names that it may have in folders and in files, in lower case
NAMES = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}
PARTS = {name: part for part, names in NAMES.items() for name in names}
SPLIT_COLUMNS = ("split", "fold", "subset", "partition", "set")
NAME_COLUMNS = ("file", "filename", "file_name", "path", "name", "image", "image_id", "id", "row", "index")
FOLD = re.compile(r"(?:fold[ _-]?)?0*(\d+)")


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
        self, paths: Sequence[str], where: object, groups: NDArray[Any] | None = None
    ) -> tuple[dict[str, Rows] | None, NDArray[Any] | None]:
        """Returns the examples of each split by the file of splits, and the group of each example.

        Arguments:
            paths: the path of each of the n images inside of its folder, or the number of each of the n rows of an array.
            where: the folder or file of the data, for error messages.
            groups: the group of each example, shape (n,), if the data have it; None to find it by the option `group`.

        Returns:
            A pair. First split -> indices of its examples, int64, in ascending order, where "validation" and "test" may be
            empty; or None without a file, or if it has groups and no splits. Second the groups, shape (n,), "" for examples
            that are not in a file of groups; None for no groups.

        Raises:
            UserError: the file cannot be read, names an example twice or one that does not exist, or has a split of another
                name; or `fold` is not in the file; or a group is not found.
        """
        try:
            table = {} if self.split is None else read_table(Path(self.split).expanduser(), self.group)
            names, values = (
                next((table[x] for x in titles if x in table), None) for titles in (NAME_COLUMNS, SPLIT_COLUMNS)
            )
            if table and values is None and self.group not in table:
                raise ValueError(f"its columns are {', '.join(table)}, and one must be called split or fold")
            index = np.arange(len(paths)) if names is None else positions(paths, names)
            if table and len(index) != len(next(iter(table.values()))):
                raise ValueError(
                    f"it has no column called file or row, and not one row for each of {len(index):,} examples"
                )
            parts = np.array(parts_of(values or [], self.fold))
            if self.group in table:
                groups = np.full(len(paths), "", dtype=object)
                groups[index] = table[self.group]
            elif self.group is not None and groups is None:
                groups = groups_in(paths, self.group)
        except (OSError, ValueError, AttributeError, TypeError, csv.Error, re.error) as error:
            reason = getattr(error, "strerror", None) or error
            file, correct = (f" by {self.split}", "that file") if self.split else ("", "`fold` or `group`")
            raise UserError(f"{where} cannot be split{file}: {reason}; correct {correct}, or leave it out.") from None
        return None if values is None else {part: np.sort(index[parts == part]) for part in NAMES}, groups


def read_table(path: Path, group: str | None) -> dict[str, list[str]]:
    """Returns the columns of a file that assigns examples to splits: name, in lower case -> the text in each row.

    Arguments:
        path: the file.
        group: the name of a column that may have capital letters; None for none.

    Raises:
        OSError, ValueError, AttributeError, TypeError, csv.Error: the file cannot be read, or has another form.
    """
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    if path.suffix.lower() == ".json":
        pairs = [(str(name), part) for part, names in json.loads(text).items() for name in names]
        return {"name": [name for name, _ in pairs], "split": [part for _, part in pairs]}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    mark = next((mark for mark in "\t;," if lines and mark in lines[0]), " ")
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark, skipinitialspace=True)]
    if len({len(row) for row in rows}) != 1:
        raise ValueError("its rows have different numbers of columns" if rows else "it is empty")
    titles = [cell if cell == group else cell.lower() for cell in rows[0]]
    if titles[-1] in PARTS or FOLD.fullmatch(titles[-1]):  # values
        rows, titles = [[], *rows], [*["name", *map(str, range(2, len(titles)))][: len(titles) - 1], "split"]
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
        raise ValueError(f"`fold` is {fold}, and the folds are {', '.join(map(str, sorted(folds, key=str))) or 'none'}")
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
    found = [re.search(pattern, path) for path in paths]
    if None in found:
        raise ValueError(
            f"`group` {pattern!r} is no column, and not found in {found.count(None):,} paths, such as "
            f"{paths[found.index(None)]}"
        )
    return np.array(["/".join(filter(None, match.groups())) or match[0] for match in found if match])
