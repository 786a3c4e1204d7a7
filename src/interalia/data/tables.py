"""Reads tables of numbers and categories as vectors, and converts vectors back to columns.

A table is a .csv or .tsv file, also compressed as .gz, a .parquet or .feather file, or a data frame of pandas. The vector of
a row has one component for each column of numbers, and one for each category of a column of texts (one-hot). The columns are
kept with the data set and with the weights of a run, as `interalia.data.scaling.Column`.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.copies import counted_copies, described, notes
from interalia.data.dataset import Dataset, Split
from interalia.data.images import SHARE, readable
from interalia.data.scaling import Column, Scaling, Units, as_type, check_finite, check_scales, choose
from interalia.data.splits import SplitOptions, divide, format_sizes
from interalia.disk import decoded, most_bytes, regular, too_large, unpacked
from interalia.errors import UserError, check_choice

Array = NDArray[Any]

SUFFIXES = (".csv", ".tsv", ".parquet", ".feather")
IMPUTE = ("refuse", "median", "mean", "zero")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})  # texts of missing values, in lower case
MISSING_CATEGORY = "(missing)"
MOST_CATEGORIES = 100
FEW = 10  # different numbers, above which a column is of numbers although a few cells are texts
SHOWN = 12  # columns and categories that a description lists by name


def is_table(path: Path) -> bool:
    """True if the name of a file is that of a table: it ends in one of `SUFFIXES`, or in .csv.gz or .tsv.gz."""
    return path.name.lower().endswith((*SUFFIXES, ".csv.gz", ".tsv.gz"))


@dataclasses.dataclass(frozen=True)
class Values:
    """The values of one column of a table as they were read.

    Attributes:
        name: the name of the column.
        dtype: the type in the table, such as "int64", "float64", "bool" or "str".
        numbers: float64, shape (n,), NaN where missing; None for a column of texts.
        texts: a list of n texts, None where missing; empty for a column of numbers.
        categories: the categories that the table declares, in order; empty if it declares none.
    """

    name: str
    dtype: str
    numbers: Array | None = None
    texts: Sequence[str | None] = ()
    categories: tuple[str, ...] = ()

    @property
    def missing(self) -> NDArray[np.bool_]:
        """True for each missing value, shape (n,)."""
        return np.isnan(self.numbers) if self.numbers is not None else np.array([one is None for one in self.texts])


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
    columns = {values.name: values for values in read_columns(path)}
    return from_values(columns, path.stem, path.name, options, scale, impute)


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
    if not columns or not len(next(iter(columns.values())).missing):
        raise UserError(f"the table {source} has no rows; give one with a row of names and rows of values.")
    columns, count, group = dict(columns), len(next(iter(columns.values())).missing), None
    if options.group in columns:
        found = columns.pop(options.group)
        group = np.array([str(one) for one in (found.texts or found.numbers)])  # type: ignore[union-attr]
    assigned, groups, _ = options.assigned(list(map(str, range(count))) if options else [], source, group)
    rows = divide(assigned or {"train": np.arange(count)}, np.zeros(count, bool), "row(s)", source, groups)
    if isinstance(scale, Units):  # of a trained game
        kept = {column.name: column for column in known_columns(columns, scale, source)}
    else:
        kept = {key: declared(values, rows["train"], source, impute) for key, values in columns.items()}
    components = [encode(columns[key], column, source) for key, column in kept.items()]
    x, of_numbers = np.concatenate(components, axis=1), [not column.categories for column in kept.values()]
    scaling = scale_columns(x, list(kept.values()), rows["train"], scale)
    if scaling is None and any(of_numbers):
        numbers = [part for part, column in zip(components, kept.values(), strict=True) if not column.categories]
        names = [column.name for column in kept.values() if not column.categories]
        check_scales(np.concatenate(numbers, axis=1), "vector", f"the table {source}", names)
    units = Units(scaling, tuple(kept.values()))
    y = scaling.apply(x) if scaling else x.astype(np.float32)
    splits: dict[str, Any] = {part: Split(np.ascontiguousarray(y[index])) for part, index in rows.items()}
    counted = counted_copies([described(split.x) for split in splits.values()])
    how = options.how("Train / validation / test by a fixed permutation of the rows")
    about = (
        f"{count:,} rows of {len(kept)} columns from {source}, as vectors of {x.shape[1]} numbers ({sum(of_numbers)} columns "
        f"of numbers, {len(kept) - sum(of_numbers)} of categories){scaling_phrase(scaling)}. {how}: "
        f"{format_sizes(splits.values())}.{notes(splits, count, counted)} "
        f"Columns: {schema(kept.values(), columns, x, rows['train'])}."
    )
    return Dataset(name, **splits, about=about, units=units)


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
    texts, place = [], 0
    for column in columns:
        part, place = x[train, place : place + column.size], place + column.size
        if column.categories:
            names = ", ".join(column.categories[:SHOWN]) + ", ..." * (len(column.categories) > SHOWN)
            about = f"{column.size} {'category' if column.size == 1 else 'categories'}: {names}"
            constant = len(set(part.argmax(1).tolist())) == 1
        else:
            low, high = part.min(), part.max()
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
        found = values.categories or tuple(sorted({one for one in values.texts if one is not None}))
        if len(found) > MOST_CATEGORIES:
            raise UserError(
                f"{label} has {len(found):,} different texts, and a category has at most {MOST_CATEGORIES}; leave the column "
                f"out, or give it fewer."
            )
        filled = MISSING_CATEGORY if missing.any() else None
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
    missing, label = values.missing, f"the column {values.name!r} of {source}"
    if missing.any() and column.filled is None:
        raise UserError(f"{label} has missing values, and the training data had none; fill them in.")
    if not column.categories:
        if values.numbers is None:
            raise UserError(f"{label} holds texts, and numbers were trained on; convert them.")
        flags = {"False": 0.0, "True": 1.0}
        filled = flags[column.filled] if column.filled in flags else float(column.filled or 0)
        numbers: Array = np.where(missing, filled, values.numbers)[:, None]
        check_finite(numbers, label)
        return numbers
    texts = [str(one) for one in values.numbers] if values.numbers is not None else list(values.texts)
    places = {text: i for i, text in enumerate(column.categories)}
    known = [column.filled if text is None else text for text in texts]
    if unknown := sorted({str(text) for text in known if text not in places}):
        raise UserError(
            f"{label} holds {unknown[0]!r}, which is none of the {len(places)} categories that were trained on; remove "
            f"those rows."
        )
    return np.eye(len(places))[[places[str(text)] for text in known]]


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
        names = ["" if name == MISSING_CATEGORY else name for name in column.categories]
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
    return encode_rows({values.name: values for values in read_columns(path)}, units, label)


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


def values_of(frame: Any, label: str) -> dict[str, Values]:
    """Returns the values of each column of a data frame or of a dictionary of columns, by name.

    Arguments:
        frame: the data frame or dictionary.
        label: its name in error messages.

    Raises:
        UserError: two columns have different lengths, or one holds neither numbers, bool nor texts.
    """
    columns = {str(key): from_array(str(key), frame[key]) for key in names_of(frame)}
    lengths = {key: len(values.missing) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{key!r}: {count}" for key, count in list(lengths.items())[:SHOWN])
        raise UserError(f"the columns of {label} have different lengths ({text}); give one value a row.")
    return columns


def names_of(frame: Any) -> list[Any]:
    """Returns the names of the columns of a data frame, or of a dictionary with columns."""
    return list(frame) if isinstance(frame, Mapping) else list(frame.columns)


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
    lengths = {len(found[column.name].missing) for column in columns}
    if len(lengths) > 1:
        raise UserError(f"{label} has columns of {min(lengths)} to {max(lengths)} rows; give each one value a row.")
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


def read_columns(path: Path) -> Iterator[Values]:
    """Yields the columns of a file of a table, in order.

    Raises:
        UserError: the file cannot be read, is too large, or has rows of different lengths or two columns of one name; or
            pyarrow, which .parquet files need, is not installed.
    """
    where = readable(str(path))
    if path.stat().st_size > most_bytes():
        raise too_large(path)
    if path.suffix.lower() in (".parquet", ".feather"):
        yield from parquet_columns(path, where)
        return
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(regular(path), "rb") as file:
            text = decoded(unpacked(file, where))
        first = next((line for line in text.splitlines() if line.strip()), "")
        mark = max(",;\t", key=first.count)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True) if row]
    except (OSError, EOFError, zlib.error, UnicodeError, csv.Error) as error:
        raise UserError(f"the table {where} cannot be read ({error}); save it as UTF-8 with commas.") from None
    if len({len(row) for row in rows}) > 1:
        wrong = next(i for i, row in enumerate(rows) if len(row) != len(rows[0]))
        raise UserError(
            f"the table {where} has {len(rows[0])} columns in its first row and {len(rows[wrong])} in row {wrong}; give all "
            f"rows as many."
        )
    names = [cell.strip() for cell in rows[0]] if rows else []
    if names and all(number(name, mark != ",") is not None for name in names):  # no row of names
        rows, names = [[], *rows], list(map(str, range(len(names))))
    if len(set(names)) < len(names):
        raise UserError(f"the table {where} has two columns of one name; give each its own.")
    for i, name in enumerate(names):
        yield from_texts(name, [row[i].strip() for row in rows[1:]], f"the column {name!r} of {where}", mark != ",")


def number(text: str, decimal_comma: bool = False) -> float | None:
    """Returns the number that a text is, which may be infinite, or None if it is none.

    Arguments:
        text: the text.
        decimal_comma: True to read a text such as "1,5" as 1.5.

    Example:
        >>> number("1e3"), number("-inf"), number("nan"), number("1_000"), number("x"), number("1,5", True)
        (1000.0, -inf, None, None, None, 1.5)
    """
    try:
        found = float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        return None
    return None if np.isnan(found) or "_" in text else found


def from_texts(name: str, texts: Sequence[str], label: str = "", decimal_comma: bool = False) -> Values:
    """Returns a column of a text file: numbers or bool if all that are not missing are, else texts.

    Arguments:
        name: the name of the column.
        texts: the cells; empty ones and such as "NA" are missing.
        label: the name of the column in an error message.
        decimal_comma: True if a comma may be the decimal point.

    Raises:
        UserError: the texts have more than 10 different numbers, and few texts are none: a tenth of the different ones or
            less.
    """
    cells = [None if text.lower() in MISSING else text for text in texts]
    known = [text for text in cells if text is not None]
    if known and {text.lower() for text in known} <= {"true", "false"}:
        values = [np.nan if text is None else float(text.lower() == "true") for text in cells]
        return Values(name, "bool", np.array(values))
    numbers = [np.nan if text is None else number(text, decimal_comma) for text in cells]
    if odd := sorted({i for i, one in enumerate(numbers) if one is None}):
        different = {*known}
        texts_alone = {texts[i] for i in odd}
        if 0 < len(texts_alone) <= SHARE * len(different) and len(different) - len(texts_alone) > FEW:
            raise UserError(
                f"{label} holds numbers, and {texts[odd[0]]!r} in row {odd[0]} (counted from 0), which is none"
                f"{f'; {len(odd) - 1:,} more are none' * (len(odd) > 1)}; correct it, or leave it empty if it is missing."
            )
        return Values(name, "str", None, cells)
    whole = bool(known) and all(text.lstrip("+-").isdecimal() for text in known)
    return Values(name, "int64" if whole else "float64", np.array(numbers, dtype=np.float64))


def from_array(name: str, values: Any) -> Values:
    """Returns a column of a data frame or another sequence of values: numbers, bool or texts; NaN and None are missing.

    Arguments:
        name: the name of the column.
        values: a column of pandas, an array or a list.

    Raises:
        UserError: the values are neither numbers, bool nor texts, such as dates.
    """
    kind = str(getattr(values, "dtype", ""))
    if kind == "category":
        categories = tuple(str(one) for one in values.cat.categories)
        cells = [None if is_missing(one) else str(one) for one in values.astype(object)]
        return Values(name, kind, None, cells, categories)
    array = np.asarray(values)
    if array.ndim != 1:
        raise UserError(
            f"the column {name!r} has the shape {array.shape}, and a column has one axis; give one number a row."
        )
    if array.dtype.kind in "buif":
        return Values(name, kind.lower() if kind[:1] in ("I", "U", "F") else array.dtype.name, array.astype(np.float64))
    missing = [is_missing(one) for one in array.tolist()]
    known = [one for one, absent in zip(array.tolist(), missing, strict=True) if not absent]
    if known and all(isinstance(one, bool | int | float) for one in known):
        numbers = [np.nan if absent else float(one) for one, absent in zip(array.tolist(), missing, strict=True)]
        whole = all(isinstance(one, int) for one in known)
        flags = all(isinstance(one, bool) for one in known)
        found = "bool" if flags else "int64" if whole else "float64"
        return Values(
            name, kind.lower() if kind[:1] in ("I", "U", "F") else found, np.array(numbers)
        )  # Int64 of pandas
    if not all(isinstance(one, str) for one in known):
        kinds = sorted({type(one).__name__ for one in known}) if array.dtype == object else [str(array.dtype)]
        raise UserError(
            f"the column {name!r} holds {' and '.join(kinds)}, and columns are numbers, bool or texts; convert it."
        )
    return Values(
        name, "str", None, [None if absent else one for one, absent in zip(array.tolist(), missing, strict=True)]
    )


def is_missing(value: Any) -> bool:
    """True for None, NaN, and the missing values of pandas, NA and NaT."""
    # NA is compared as text, since NA != NA is no bool
    return value is None or str(value) == "<NA>" or bool(value != value)


def parquet_columns(path: Path, where: str) -> Iterator[Values]:
    """Yields the columns of a .parquet or .feather file.

    Arguments:
        path: the file.
        where: its name in error messages.

    Raises:
        UserError: it cannot be read, or pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException, feather, parquet
    except ImportError:
        raise UserError(f"{where} needs pyarrow, which is not installed; pip install 'interalia[tables]'.") from None
    try:
        table = feather.read_table(path) if path.suffix.lower() == ".feather" else parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise UserError(f"the table {where} cannot be read ({error}); write it again.") from None
    exact = {"double": "float64", "float": "float32", "halffloat": "float16"}
    for name in table.column_names:
        column = table.column(name)
        kind = str(column.type)
        if kind in exact or kind.lstrip("u").startswith("int"):  # without a Python object for each number
            yield Values(name, exact.get(kind, kind), column.to_numpy().astype(np.float64))
            continue
        if kind.startswith("dictionary"):
            column = column.cast(column.type.value_type)
        found = from_array(name, np.array(column.to_pylist(), dtype=object))
        yield dataclasses.replace(found, dtype=kind) if found.numbers is not None else found
