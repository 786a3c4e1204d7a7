"""Reads tables of numbers and categories as vectors, and converts vectors back to columns.

A table is a file or a data frame, of which `interalia.data.columns` reads the columns. The vector of a row has one component
for each column of numbers, and one for each category of a column of texts (one-hot). The columns are kept with the data set
and with the weights of a run, as `interalia.data.scaling.Column`.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import SHARDED, Content, explain_write_errors, in_memory, in_shards
from interalia.data.columns import FLAGS, ROWS, SHOWN, Values, read_columns, values_of, without_index
from interalia.data.copies import notes, with_copies
from interalia.data.dataset import Dataset, Split
from interalia.data.scaling import (
    Column,
    Scaling,
    Units,
    as_type,
    check_finite,
    check_scales,
    choose,
    statistics,
)
from interalia.data.splits import SplitOptions, divide, format_sizes, groups_at
from interalia.errors import UserError, check_choice

Array = NDArray[Any]

IMPUTE = ("refuse", "median", "mean", "zero")
MISSING_CATEGORY = "(missing)"
MOST_CATEGORIES = 100
EXACT = 2**53  # the whole number from which on float64 has not every one


def load_table(path: Path, options: SplitOptions, scale: str | Units = "auto", impute: str = "refuse") -> Dataset:
    """Loads a data set from a table, with a row of column names; the splits are random unless `options` has some.

    Arguments:
        path: a .csv, .tsv, .parquet or .feather file.
        options: how the rows are split; `group` may be the name of a column, which is then left out of the vectors.
        scale: how columns of numbers are scaled, see `interalia.data.scaling.choose`; each column has its own scale.
        impute: what replaces missing numbers: "median", "mean" or "zero"; "refuse" for an error.

    Raises:
        UserError: the file cannot be read, or a column has missing values that are not imputed, or too many categories, or
            no value at all, or the rows cannot be split.
    """
    columns = {values.name: values for values in read_columns(path, categories_of(scale))}
    kept = columns if isinstance(scale, Units) else {name: columns[name] for name in without_index(list(columns))}
    found = from_values(kept, path.stem, path.name, options, scale, impute)
    if len(kept) == len(columns):
        return found
    return dataclasses.replace(found, about=f"{found.about} Left out: a column of row numbers, which has no name.")


def from_frame(
    frame: Any,
    name: str = "table",
    scale: str | Units = "auto",
    impute: str = "refuse",
    split: Path | str | None = None,
    fold: int | None = None,
    group: str | None = None,
) -> Dataset:
    """Returns a data set of the rows of a data frame of pandas, or of another mapping of names to equally long columns.

    Arguments:
        frame: a data frame, or a dictionary: name of a column -> its values.
        name: the name of the data set.
        scale: how columns of numbers are scaled, as for `interalia.data.load`.
        impute: what replaces missing numbers: "median", "mean" or "zero"; "refuse" for an error.
        split: a file that assigns the rows to splits or folds; None for random splits.
        fold: the number of the fold in that file to test on.
        group: the name of a column that is left out of the vectors; rows with one value of it are in one split.

    Raises:
        UserError: a column has missing values that are not imputed, too many categories or no value at all.

    Example:
        >>> found = from_frame({"age": np.arange(20), "job": ["cook", "smith"] * 10})
        >>> found.shape, [column.name for column in found.units.columns]
        ((3,), ['age', 'job'])
    """
    return from_values(values_of(frame, name), name, name, SplitOptions(split, fold, group), scale, impute)


def to_frame(columns: Mapping[str, Array], units: Units | None = None) -> Any:
    """Returns a data frame of pandas with the columns and types of the table that was trained on.

    Arguments:
        columns: a dictionary: name of a column -> its values, such as `interalia.tasks.to_columns` returns.
        units: the units of the data, with the types of the columns; None to keep the types of the values.

    Raises:
        UserError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise UserError("a data frame needs pandas, which is not installed; pip install pandas.") from None
    frame = pandas.DataFrame(dict(columns))
    for column in units.columns if units else ():
        if column.dtype == "category" and column.name in frame:
            frame[column.name] = pandas.Categorical(frame[column.name], categories=list(column.categories))
    return frame


def from_values(
    columns: Mapping[str, Values], name: str, source: str, options: SplitOptions, scale: str | Units, impute: str
) -> Dataset:
    """Returns the data set of the columns of a table.

    Arguments:
        columns: a dictionary: name of a column -> its values.
        name: the name of the data set.
        source: the name of its file, for messages.
        options: how the rows are split.
        scale: how columns of numbers are scaled, or the units of a trained game.
        impute: what replaces missing numbers.

    Raises:
        UserError: as `load_table`.
    """
    check_choice("impute", impute, IMPUTE)
    if not columns or not len(next(iter(columns.values()))):
        raise UserError(f"the table {source} has no rows; give one with a row of names and rows of values.")
    columns, count, group = dict(columns), len(next(iter(columns.values()))), None
    if options.group in columns:
        found = columns.pop(options.group)
        texts, places = as_words(found)
        group = np.array([*texts, "None"])[places]  # of missing values
    if not columns:
        raise UserError(f"the table {source} has no column but its groups, {options.group!r}; leave `group` out.")
    listed = options.split is not None or (options.group is not None and group is None)
    assigned, groups, _ = options.assigned(list(map(str, range(count))) if listed else [], source, group)
    rows = divide(assigned or {"train": np.arange(count)}, np.zeros(count, bool), "row(s)", source, groups)
    if isinstance(scale, Units):  # of a trained game
        kept = {column.name: column for column in known_columns(columns, scale, source)}
    else:
        kept = {key: declared(values, rows["train"], source, impute) for key, values in columns.items()}
    x, of_numbers = vectors(columns, list(kept.values()), source), [not column.categories for column in kept.values()]
    scaling = scale_columns(x, list(kept.values()), rows["train"], scale)
    if scaling is None and any(of_numbers):
        chosen = np.array([not column.categories for column in kept.values() for _ in range(column.size)])
        names = [column.name for column in kept.values() if not column.categories]
        check_scales(x, "vector", f"the table {source}", names, chosen)
    units = Units(scaling, tuple(kept.values()))
    made = with_copies((part, len(index), scaled(x, index, scaling)) for part, index in rows.items())
    stored = stored_arrays(made)
    splits: dict[str, Any] = {p: Split(stored[p], groups=groups_at(groups, index)) for p, index in rows.items()}
    how = options.how("Train / validation / test by a fixed permutation of the rows")
    about = (
        f"{count:,} rows of {len(kept)} columns from {source}, as vectors of {x.shape[1]} numbers ({sum(of_numbers)} columns "
        f"of numbers, {len(kept) - sum(of_numbers)} of categories){scaling_phrase(scaling)}. {how}: "
        f"{format_sizes(splits.values())}.{notes(splits, count, stored['copies'])} "
        f"Columns: {schema(kept.values(), columns, x, rows['train'])}."
    )
    return Dataset(name, **splits, about=about, units=units)


def categories_of(scale: object) -> set[str]:
    """Returns the names of the columns that are categories in the units of a trained game; none for another `scale`."""
    return {column.name for column in scale.columns if column.categories} if isinstance(scale, Units) else set()


def vectors(columns: Mapping[str, Values], kept: Sequence[Column], source: str) -> Array:
    """Returns the rows of a table as vectors in their own units, float64, shape (n, components): in memory, or, while data
    are prepared as shards, in a file.

    Arguments:
        columns: a dictionary: name of a column -> its values.
        kept: the columns, in the order of their components.
        source: the name of the table in error messages.

    Raises:
        UserError: a value is missing where none was in training, or is infinite, no number or not among the categories.
    """
    for column in kept:
        check(columns[column.name], column, source)
    place, count = SHARDED.get(), len(columns[kept[0].name])
    if place is None:
        return np.concatenate([components(columns[column.name], column) for column in kept], axis=1)
    with (
        explain_write_errors(place, "choose another folder"),
        tempfile.NamedTemporaryFile(dir=place, delete=False) as file,
    ):
        for start in range(0, count, ROWS):
            chosen = slice(start, start + ROWS)
            parts = [components(columns[column.name][chosen], column) for column in kept]
            file.write(np.concatenate(parts, axis=1).astype(np.float64).data)
    return np.memmap(file.name, np.float64, "r", shape=(count, sum(column.size for column in kept)))


def scaled(x: Array, index: Array, scaling: Scaling | None) -> Iterator[Array]:
    """Yields the vectors of some rows as networks take them, float32, in blocks.

    Arguments:
        x: the vectors of all rows in their own units, shape (n, components).
        index: the indices of the rows.
        scaling: how they are scaled; None to leave them as they are.
    """
    for start in range(0, len(index), ROWS):
        block = x[index[start : start + ROWS]]
        yield scaling.apply(block) if scaling else block.astype(np.float32)


def stored_arrays(contents: Iterator[Content]) -> dict[str, Array]:
    """Returns arrays that are given in chunks, by name: in memory, or, while data are prepared as shards, in files."""
    place = SHARDED.get()
    return in_memory(contents) if place is None else in_shards(Path(tempfile.mkdtemp(dir=place)), contents)


def scaling_phrase(scaling: Scaling | None) -> str:
    """Returns a phrase on how the columns of numbers were scaled, such as ", standardized by column"; "" if they were not."""
    kinds = {"standard": "standardized", "min-max": "scaled to [0, 1]", "quantile": "mapped to [0, 1] by their ranks"}
    return f", {kinds[scaling.kind]} by column" if scaling else ""


def schema(columns: Any, values: Mapping[str, Values], x: Array, train: Array) -> str:
    """Returns the columns of a table as text: name, type, range or categories, replaced values, and which are constant.

    Arguments:
        columns: the `Column` objects, in order.
        values: a dictionary: name -> the values as they were read.
        x: the vectors of the rows in their own units, shape (n, components).
        train: the indices of the training rows.
    """
    texts, place, found = [], 0, statistics(x, train)
    for column in columns:
        part, place = slice(place, place + column.size), place + column.size
        if column.categories:
            names = ", ".join(column.categories[:SHOWN]) + ", ..." * (len(column.categories) > SHOWN)
            about = f"{column.size} {'category' if column.size == 1 else 'categories'}: {names}"
            constant = bool(found.high[part].sum() == 1)
        else:
            low, high = found.low[part][0], found.high[part][0]
            about, constant = f"{low:.6g} ... {high:.6g}", bool(low == high)
        missing = int(values[column.name].missing.sum())
        filled = f", {missing:,} missing -> {column.filled}" if missing else ""
        texts.append(f"{column.name} ({column.dtype}, {'constant, ' * constant}{about}{filled})")
    return "; ".join(texts)


def declared(values: Values, train: Array, source: str, impute: str) -> Column:
    """Returns the description of a column, with its categories and the value that replaces missing ones.

    Arguments:
        values: the values of all rows.
        train: the indices of the training rows, from which the median or mean is computed.
        source: the name of the table in error messages.
        impute: "refuse", "median", "mean" or "zero".

    Raises:
        UserError: a value is missing and `impute` is "refuse", or all are missing, or there are over 100 categories.
    """
    missing, label = values.missing, f"the column {values.name!r} of {source}"
    if missing.all():
        raise UserError(f"{label} has no value at all; leave it out.")
    if missing.any() and impute == "refuse":
        raise UserError(
            f"{label} has {missing.sum():,} missing values, the first in row {int(missing.argmax())} (counted from 0); give "
            f"`impute='median'`, `impute='mean'` or `impute='zero'`, or fill them in."
        )
    if values.numbers is None:
        filled = MISSING_CATEGORY if missing.any() else None
        found = [word for word in values.words if word != filled]
        if len(found) > MOST_CATEGORIES:
            raise UserError(
                f"{label} has {len(found):,} different texts, and a category has at most {MOST_CATEGORIES}; leave the column "
                f"out, or give it fewer."
            )
        return Column(values.name, values.dtype, (*found, *([filled] if filled else [])), filled)
    if not missing.any():
        return Column(values.name, values.dtype)
    known = values.numbers[train][~missing[train]]
    if impute != "zero" and not len(known):
        raise UserError(f"{label} has no value in a training row; leave the column out, or give `impute='zero'`.")
    number = 0.0 if impute == "zero" else float(np.median(known) if impute == "median" else known.mean())
    return Column(values.name, values.dtype, (), str(as_type(np.array(number), values.dtype).item()))


def encode(values: Values, column: Column, source: str) -> Array:
    """Returns the components of the values of a column, float64, shape (n, `column.size`): numbers, or one-hot categories.

    Arguments:
        values: the values.
        column: the description of the column in training, with the value that replaces missing ones.
        source: the name of the table in error messages.

    Raises:
        UserError: a value is missing where none was in training, or is infinite, no number or not among the categories.
    """
    check(values, column, source)
    return components(values, column)


def check(values: Values, column: Column, source: str) -> None:
    """Raises a UserError if a value is missing where none was in training, or is infinite, no number or not among the
    categories; the arguments are those of `encode`.
    """
    missing, label = values.missing, f"the column {values.name!r} of {source}"
    if missing.any() and column.filled is None:
        row = int(missing.argmax())
        raise UserError(
            f"{label} has missing values, the first in row {row} (counted from 0), and the training data had none; fill them "
            f"in."
        )
    if not column.categories:
        if values.codes is not None and not missing.all():
            raise UserError(f"{label} holds texts, and numbers were trained on; convert them.")
        if values.numbers is not None:
            check_finite(np.where(missing, 0.0, values.numbers)[:, None], label)
        return
    words, codes = as_words(values)
    unknown = [word for word in words if word not in column.categories]
    if unknown and values.declared:  # not all of them need be there
        unknown = [words[i] for i in np.unique(codes).tolist() if i >= 0 and words[i] not in column.categories]
    if unknown:
        raise UserError(
            f"{label} holds {min(unknown)!r}, which is none of the {column.size} categories that were trained on; remove "
            f"those rows."
        )


def components(values: Values, column: Column) -> Array:
    """Returns the components of values that `check` has found right, as `encode` does."""
    if not column.categories:
        filled = FLAGS.get(str(column.filled).lower())
        number = float(column.filled or 0) if filled is None else filled
        numbers = np.full(len(values), np.nan) if values.numbers is None else values.numbers
        return np.where(np.isnan(numbers), number, numbers)[:, None]
    words, codes = as_words(values)
    places = {text: i for i, text in enumerate(column.categories)}
    table = [places.get(word, 0) for word in words]
    return np.eye(len(places))[np.array([*table, places.get(str(column.filled), 0)])[codes]]


def as_words(values: Values) -> tuple[Sequence[str], Array]:
    """Returns the different texts of a column, and the position of each value among them, -1 where it is missing.

    The texts of numbers are as short as possible, such as "1" and "0.5", and those of bool "True" and "False".

    Raises:
        UserError: there are whole numbers from 2^53 on, of which neighbors are one number of float64.
    """
    if values.codes is not None:
        return values.words, values.codes
    missing = values.missing
    if values.dtype.startswith(("int", "uint")) and (np.abs(values.numbers[~missing]) >= EXACT).any():  # type: ignore[index]
        raise UserError(
            f"the column {values.name!r} holds whole numbers from 2^53 on, of which neighbors become equal; write a letter "
            f"before each."
        )
    numbers: Array = np.nan_to_num(np.asarray(values.numbers), posinf=np.inf, neginf=-np.inf)
    different, index = np.unique(numbers, return_inverse=True)
    if values.dtype == "bool":
        words = [str(one == 1) for one in different.tolist()]
    else:
        words = [str(int(one)) if one.is_integer() else repr(one) for one in different.tolist()]
    used = np.unique(index[~missing])  # 0 in place of missing values is none of the texts
    ranks = np.full(len(different) + 1, -1)
    ranks[used] = np.arange(len(used))
    return [words[i] for i in used.tolist()], ranks[np.where(missing, len(different), index)]


def decode(x: Array, columns: Sequence[Column]) -> dict[str, Array]:
    """Returns the columns of vectors that have the components of rows: numbers in their types, and the likeliest categories.

    Arguments:
        x: vectors in the data's own units, shape (..., components).
        columns: the columns, in the order of their components.

    Returns:
        A dictionary: name of a column -> its values, shape (...).

    Example:
        >>> x = np.array([[20.6, 0.2, 0.7]])
        >>> decode(x, [Column("age", "int64"), Column("job", "str", ("cook", "smith"))])
        {'age': array([21]), 'job': array(['smith'], dtype='<U5')}
    """
    found, place = {}, 0
    for column in columns:
        part, place = x[..., place : place + column.size], place + column.size
        names = ["" if name == column.filled else name for name in column.categories]
        found[column.name] = np.array(names)[part.argmax(-1)] if names else as_type(part[..., 0], column.dtype)
    return found


def scale_columns(x: Array, columns: Sequence[Column], train: Array, scale: str | Units) -> Scaling | None:
    """Returns the scaling of each column of numbers alone, under which categories stay 0 and 1; None for `scale` "none".

    Arguments:
        x: the vectors of the rows, float64, shape (n, components).
        columns: the columns, in the order of their components.
        train: the indices of the training rows.
        scale: "auto", which is "standard" here, or as for `interalia.data.scaling.choose`.
    """
    if isinstance(scale, Units):
        return scale.scaling
    text = "standard" if scale == "auto" else scale
    kind = text.partition("(")[0].strip()
    found = choose(x, "vector", text if kind == "none" else f"{kind}(per='channel')", train)
    if found is None:
        return None
    one_hot = [bool(column.categories) for column in columns for _ in range(column.size)]

    def kept(values: Sequence[Any], same: Any) -> tuple[Any, ...]:
        """Returns a field of the scaling, one value for each component, with `same` in place of those of categories."""
        return tuple(same if hot else value for hot, value in zip(one_hot, values, strict=True)) if values else ()

    changes: dict[str, Any] = {"offset": kept(found.offset, 0.0), "span": kept(found.span, 1.0)}
    changes |= {"knots": kept(found.knots, (0.0, 1.0)), "shares": kept(found.shares, (0.0, 1.0))}
    return dataclasses.replace(found, **changes)


def read_rows(path: Path, units: Units, label: str) -> Array:
    """Returns the rows of a table as vectors for a trained game, float32, shape (n, components).

    Columns that were not trained on are left out.

    Arguments:
        path: the table.
        units: the units of the data that the game was trained on.
        label: the name of the table in error messages.

    Raises:
        UserError: the game was not trained on a table, or a column is missing, or a value does not fit, see `encode`.
    """
    return encode_rows({values.name: values for values in read_columns(path, categories_of(units))}, units, label)


def encode_frame(frame: Any, units: Units, label: str) -> Array:
    """Returns the rows of a data frame as vectors for a trained game, as `read_rows` does those of a file.

    Arguments:
        frame: a data frame, or a dictionary: name of a column -> its values.
        units: the units of the data that the game was trained on.
        label: the name of the rows in error messages.

    Raises:
        UserError: as `read_rows`.
    """
    return encode_rows(values_of(frame, label), units, label)


def known_columns(found: Mapping[str, Values], units: Units, label: str) -> tuple[Column, ...]:
    """Returns the columns of the table that a game was trained on, if another table has them all.

    Arguments:
        found: the columns of that table, by name.
        units: the units of the data that the game was trained on.
        label: the name of that table in error messages.

    Raises:
        UserError: the game was not trained on a table, or a column is missing.
    """
    if not units.columns:
        raise UserError(f"{label} is a table, and this run was trained on arrays or images; give such.")
    if absent := [column.name for column in units.columns if column.name not in found]:
        raise UserError(f"{label} has no column {absent[0]!r}, which was trained on; add it.")
    return units.columns


def encode_rows(found: Mapping[str, Values], units: Units, label: str) -> Array:
    """Returns rows as vectors for a trained game, float32, shape (n, components); further columns are left out.

    Arguments:
        found: a dictionary: name of a column -> its values.
        units: the units of the data that the game was trained on.
        label: the name of the rows in error messages.

    Raises:
        UserError: as `read_rows`.
    """
    columns = known_columns(found, units, label)
    lengths = {len(found[column.name]) for column in columns}
    if len(lengths) > 1:
        raise UserError(f"{label} has columns of {min(lengths)} to {max(lengths)} rows; give each one value a row.")
    if lengths == {0}:
        raise UserError(f"{label} has no rows; give a table with a row of names and a row for each example.")
    x = encode_columns(found, columns, label)
    return units.scaling.apply(x) if units.scaling else x.astype(np.float32)


def encode_columns(found: Mapping[str, Values], columns: Sequence[Column], label: str) -> Array:
    """Returns rows as vectors in their own units, float64, shape (n, components), with the components of `columns` in turn.

    Arguments:
        found: a dictionary: name of a column -> its values; further columns are left out.
        columns: the columns of the table that was trained on.
        label: the name of the rows in error messages.

    Raises:
        UserError: a column is missing, or a value does not fit, see `encode`.
    """
    if absent := [column.name for column in columns if column.name not in found]:
        raise UserError(f"{label} has no column {absent[0]!r}, which was trained on; add it.")
    return np.concatenate([encode(found[column.name], column, label) for column in columns], axis=1)
