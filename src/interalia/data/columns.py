"""Reads the columns of a table: a .csv or .tsv file, also compressed as .gz, a .parquet or .feather file, or a data frame.

Files are read in blocks of rows. While data are prepared as shards, the columns are gathered in files, so that a table may
exceed the memory.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import re
import tempfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import SHARDED, explain_write_errors
from interalia.data.images import SHARE, readable
from interalia.disk import RATIO, decoded, most_bytes, regular, too_large, unpacked
from interalia.errors import UserError

Array = NDArray[Any]

SUFFIXES = (".csv", ".tsv", ".parquet", ".feather")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})  # texts of missing values, in lower case
FLAGS = {"true": 1.0, "false": 0.0}  # texts of bool, in lower case
FEW = 10  # different numbers, above which a column is of numbers although a few cells are texts
MOST = 10_000  # different texts that are counted to decide what a column holds
MOST_WORDS = 10**6  # different texts of a column at most
ROWS = 10_000  # in a block
NUMBER = 8  # bytes of a number in memory
HELD = 2**25  # characters of a text file, up to which its cells are held, in 20 times its memory
EXACT = {"double": "float64", "float": "float32", "halffloat": "float16"}  # types of Arrow -> those of NumPy
SHOWN = 12  # columns that a message lists by name
INDEX = "__index_level_0__"  # the name of the column of a .parquet file in which pandas stores the numbers of rows
QUOTED = re.compile('"[^"]*(?:"|$)')  # a text in quotation marks
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # such as 1,234, which is 1234 in some tables, and 1.234 in others
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+(?:\.\d+)?|(?:\.\d{3})+,\d+)")  # such as 1,234.5 and 1.234,5
NUMBERS = (np.number, np.bool_)  # types of NumPy, of which values in arrays of objects may be
MOST_FLOAT = float(np.finfo(np.float64).max)
FEWEST = 3  # columns of a first row 0, 1, 2 ..., from which it is a row of names


def is_table(path: Path) -> bool:
    """True if the name of a file is that of a table: it ends in one of `SUFFIXES`, or in .csv.gz or .tsv.gz."""
    return path.name.lower().endswith((*SUFFIXES, ".csv.gz", ".tsv.gz"))


@dataclasses.dataclass(frozen=True)
class Values:
    """The values of one column of a table as they were read: numbers, or texts as the positions of words in a list.

    Attributes:
        name: the name of the column.
        dtype: the type in the table, such as "int64", "float64", "bool" or "str".
        numbers: float64, shape (n,), NaN where missing; None for a column of texts.
        codes: the position in `words` of each text, int32, shape (n,), -1 where missing; None for a column of numbers.
        words: the different texts, or those that the table declares as categories; empty for a column of numbers.
        declared: True if the table declares the words.
    """

    name: str
    dtype: str
    numbers: Array | None = None
    codes: Array | None = None
    words: tuple[str, ...] = ()
    declared: bool = False

    def __len__(self) -> int:
        return len(self.numbers if self.codes is None else self.codes)  # type: ignore[arg-type]  # one is there

    def __getitem__(self, rows: slice) -> Values:
        """The values of some rows."""
        chosen = {
            key: None if one is None else one[rows] for key, one in (("numbers", self.numbers), ("codes", self.codes))
        }
        return dataclasses.replace(self, **chosen)  # type: ignore[arg-type]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """True for each missing value, shape (n,)."""
        return np.isnan(self.numbers) if self.codes is None else self.codes < 0  # type: ignore[arg-type, no-any-return]

    @property
    def texts(self) -> list[str | None]:
        """The texts, None where one is missing; empty for a column of numbers."""
        return [] if self.codes is None else [self.words[i] if i >= 0 else None for i in self.codes.tolist()]


class Gathered:
    """An array of one axis that grows by blocks: in memory, or, while data are prepared as shards, in a file.

    Arguments:
        dtype: the type of the array.
    """

    def __init__(self, dtype: type[np.generic]) -> None:
        self.dtype, self.blocks = dtype, list[Array]()
        self.path: Path | None = None
        if (place := SHARDED.get()) is not None:
            with explain_write_errors(place, "choose another folder"):  # or too many files are open
                handle, name = tempfile.mkstemp(dir=place)
                self.path, self.file = Path(name), open(handle, "wb")  # noqa: SIM115  # closed by `array`

    def add(self, block: Array) -> None:
        """Appends a block."""
        block = np.ascontiguousarray(block, dtype=self.dtype)
        if self.path is None:
            self.blocks.append(block)
        else:
            with explain_write_errors(self.path.parent, "choose another folder"):
                self.file.write(block.data)

    def array(self) -> Array:
        """Returns the whole array, which may be a memory map of the file."""
        if self.path is None:
            return np.concatenate(self.blocks) if self.blocks else np.zeros(0, self.dtype)
        with explain_write_errors(self.path.parent, "choose another folder"):
            self.file.close()
        if not self.path.stat().st_size:
            return np.zeros(0, self.dtype)
        return np.memmap(self.path, self.dtype, "r+")


class Words:
    """A column of texts that grows by blocks, of which each different text is kept once.

    Arguments:
        label: the name of the column in an error message.
    """

    def __init__(self, label: str) -> None:
        self.label, self.places, self.codes = label, dict[str, int](), Gathered(np.int32)

    def add(self, texts: Iterable[str | None]) -> None:
        """Appends texts, None where one is missing."""
        self.codes.add(np.array([-1 if text is None else self.place(text) for text in texts], dtype=np.int32))

    def place(self, text: str) -> int:
        """Returns the number of a text, in the order in which the texts were first seen.

        Raises:
            UserError: there are over a million different texts.
        """
        if len(self.places) > MOST_WORDS:
            raise UserError(f"{self.label} has over {MOST_WORDS:,} different texts; leave the column out.")
        return self.places.setdefault(text, len(self.places))

    def values(self, name: str) -> Values:
        """Returns the column with this name, with the words in alphabetical order."""
        words = sorted(self.places)
        ranks = np.empty(len(words) + 1, np.int32)
        ranks[-1] = -1  # of missing values
        ranks[[self.places[word] for word in words]] = np.arange(len(words))
        codes = self.codes.array()
        for start in range(0, len(codes), ROWS):
            codes[start : start + ROWS] = ranks[codes[start : start + ROWS]]
        return Values(name, "str", None, codes, tuple(words))


class Cells:
    """The common properties of the cells in a column of a text file, by which it is a column of numbers, bool or texts.

    Arguments:
        label: the name of the column in an error message.
        decimal_comma: True if a comma may be the decimal point.
        text: True for a column of texts, whatever the cells are.
    """

    def __init__(self, label: str = "", decimal_comma: bool = False, text: bool = False) -> None:
        self.label, self.decimal_comma, self.text = label, decimal_comma, text
        self.count, self.known, self.flags, self.whole = 0, False, True, True
        self.odd_count, self.first = (
            0,
            (0, ""),
        )  # cells that are no numbers: how many, and the row and text of the first
        self.odd, self.different = set[str](), set[str]()  # their different texts, and those of all cells
        # numbers with a comma: True if it is the decimal point for certain; row and text of the first that may be thousands
        self.comma_is_point, self.grouped = False, (0, "")

    def add(self, cells: Sequence[str]) -> None:
        """Takes the cells of further rows into account."""
        for row, cell in enumerate(cells, self.count) if self.decimal_comma and not self.text else ():
            if "," in cell and number(cell, True) is not None:
                if not GROUPED.fullmatch(cell):
                    self.comma_is_point = True
                elif not self.grouped[1]:
                    self.grouped = row, cell
        if not self.text and plain_numbers(cells, self.decimal_comma) is not None:
            self.count, self.known, self.flags = self.count + len(cells), True, False
            self.whole = self.whole and all(cell.lstrip("+-").isdecimal() for cell in cells)
            if len(self.different) <= MOST:
                self.different.update(cells)
            return
        known = [(row, cell) for row, cell in enumerate(cells, self.count) if cell.lower() not in MISSING]
        self.count += len(cells)
        self.known = self.known or bool(known)
        if self.text:
            return
        self.flags = self.flags and all(cell.lower() in FLAGS for _, cell in known)
        self.whole = self.whole and all(cell.lstrip("+-").isdecimal() for _, cell in known)
        odd = [(row, cell) for row, cell in known if number(cell, self.decimal_comma) is None]
        if odd and not self.odd_count:
            self.first = odd[0]
        self.odd_count += len(odd)
        for kept, new in ((self.odd, odd), (self.different, known)):
            if len(kept) <= MOST:
                kept.update(cell for _, cell in new)

    @property
    def dtype(self) -> str:
        """The type of the column: "bool", "int64", "float64" or "str".

        Raises:
            UserError: the cells have more than 10 different numbers, and up to a tenth of the different cells are
                none; or numbers have marks for thousands, or commas that may be such.
        """
        if self.text:
            return "str"
        if self.known and self.flags:
            return "bool"
        if not self.odd and self.grouped[1] and not self.comma_is_point:
            row, text = self.grouped
            raise UserError(
                f"{self.label} holds {text!r} in row {row} (counted from 0), which is {text.replace(',', '')} or "
                f"{text.replace(',', '.')}; write numbers without a comma for thousands, and with a decimal point."
            )
        if self.odd and all(map(THOUSANDS.fullmatch, self.odd)):
            row, text = self.first
            raise UserError(
                f"{self.label} holds {text!r} in row {row} (counted from 0), with a mark for thousands; write numbers "
                f"without."
            )
        if not self.odd:
            return "int64" if self.known and self.whole else "float64"
        if len(self.odd) <= SHARE * len(self.different) and len(self.different) - len(self.odd) > FEW:
            row, text = self.first
            more = f"; {self.odd_count - 1:,} more are none" * (self.odd_count > 1)
            raise UserError(
                f"{self.label} holds numbers, and {text!r} in row {row} (counted from 0), which is none{more}; correct it, "
                f"or leave it empty if it is missing."
            )
        return "str"


class Reading:
    """A column of a text file, of known kind, that grows by blocks of cells.

    Arguments:
        name: the name of the column.
        kind: the properties of its cells.
    """

    def __init__(self, name: str, kind: Cells) -> None:
        self.name, self.kind, self.dtype = name, kind, kind.dtype
        self.store: Words | Gathered = Words(kind.label) if self.dtype == "str" else Gathered(np.float64)

    def add(self, cells: Sequence[str]) -> None:
        """Appends cells."""
        if isinstance(self.store, Words):
            self.store.add(None if cell.lower() in MISSING else cell for cell in cells)
        elif self.dtype == "bool":
            self.store.add(np.array([FLAGS.get(cell.lower(), np.nan) for cell in cells]))
        elif (plain := plain_numbers(cells, self.kind.decimal_comma)) is not None:
            self.store.add(plain)
        else:
            found = [None if cell.lower() in MISSING else number(cell, self.kind.decimal_comma) for cell in cells]
            self.store.add(np.array(found, dtype=np.float64))

    def values(self) -> Values:
        """Returns the column."""
        if isinstance(self.store, Words):
            return self.store.values(self.name)
        return Values(self.name, self.dtype, self.store.array())


class TextTable:
    """The rows of a .csv or .tsv file, also compressed as .gz, which are read in blocks.

    Arguments:
        path: the file.
        where: its name in error messages.

    Attributes:
        mark: the character between columns, a comma, semicolon or tab: that of which the first row has most, outside of texts
            in quotation marks.
        names: the names of the columns: the cells of the first row, or, if all of them are numbers, "0", "1" ...

    Raises:
        UserError: the file cannot be read, or is too large, or has two columns of one name.
    """

    def __init__(self, path: Path, where: str) -> None:
        self.path, self.where = path, where
        # compressed files could fill the memory; while data are prepared, they are read in blocks
        self.whole = SHARDED.get() is None
        self.text = self.content() if self.whole else ""
        self.mark, self.names, self.titled = ",", list[str](), False
        for line in self.lines():
            if line.strip():
                self.mark = max(",;\t", key=QUOTED.sub("", line).count)
                break
        first = next(self.rows(), [])
        self.names = [cell.strip() for cell in first]
        self.titled = any(number(name, self.mark != ",") is None for name in self.names)
        numbered = list(map(str, range(len(first))))
        if not self.titled:
            # 0, 1, 2 ... are the names that pandas writes; other numbers are a row of values
            self.titled, self.names = self.names == numbered and len(first) >= FEWEST, numbered
        if len(set(self.names)) < len(self.names):
            raise UserError(f"the table {where} has two columns of one name; give each its own.")

    def content(self) -> str:
        """Returns the whole file as text.

        Raises:
            UserError: the file cannot be read, or is too large.
        """
        try:
            if regular(self.path).stat().st_size > most_bytes():
                raise too_large(self.path)
            with self.opened() as file:
                return decoded(unpacked(file, self.where))
        except (OSError, EOFError, zlib.error, UnicodeError) as error:
            raise self.unreadable(error) from None

    def opened(self) -> Any:
        """Returns the file, opened for reading its bytes, decompressed."""
        path = regular(self.path)
        return gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb")

    def lines(self) -> Iterator[str]:
        """Yields the lines of the file, with the characters at their ends.

        Raises:
            UserError: the file cannot be read.
        """
        if self.whole:
            yield from io.StringIO(self.text, newline="")
            return
        try:
            with self.opened() as file:
                start = file.read(2)
                file.seek(0)
                encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
                yield from io.TextIOWrapper(file, encoding, newline="")
        except (OSError, EOFError, zlib.error, UnicodeError) as error:
            raise self.unreadable(error) from None

    def unreadable(self, error: Exception) -> UserError:
        """Returns the error for a file that cannot be read because of another error."""
        return UserError(f"the table {self.where} cannot be read ({error}); save it as UTF-8 with commas.")

    def rows(self) -> Iterator[list[str]]:
        """Yields the cells of each row that is not empty, the row of names included.

        Raises:
            UserError: the file cannot be read, or a quotation mark that opens a cell is not closed where the cell ends.
        """
        how: dict[str, Any] = {"delimiter": self.mark, "skipinitialspace": True}
        lines = list[str]()  # of the row that is read
        noted = (lines.append(line) or line for line in self.lines())  # type: ignore[func-returns-value]
        reader = csv.reader(noted, **how)
        try:
            for row in reader:
                if len(lines) > 1:  # else a quotation mark that is never closed would hide the rows below
                    list(csv.reader(lines, strict=True, **how))
                lines.clear()
                if row:
                    yield row
        except csv.Error as error:
            if len(lines) < 2:
                raise self.unreadable(error) from None
            raise UserError(
                f"the table {self.where} has a quotation mark in line {reader.line_num - len(lines) + 1} that opens a cell "
                f"and does not close it; write quotation marks in a text twice, and one before and after the text."
            ) from None

    def blocks(self) -> Iterator[list[list[str]]]:
        """Yields the columns of the values in blocks of rows: a list with the cells of each column.

        Raises:
            UserError: the file cannot be read, or has rows of different lengths.
        """
        block: list[list[str]] = []
        for i, row in enumerate(self.rows()):
            if len(row) != len(self.names):
                raise UserError(
                    f"the table {self.where} has {len(self.names)} columns in its first row and {len(row)} in row {i}; give "
                    f"all rows as many."
                )
            if i or not self.titled:
                block.append(row)
            if len(block) == ROWS:
                yield [[cell.strip() for cell in column] for column in zip(*block, strict=True)]
                block = []
        if block:
            yield [[cell.strip() for cell in column] for column in zip(*block, strict=True)]

    def columns(self, texts: Collection[str]) -> Iterator[Values]:
        """Yields the columns, in order; `texts` are the names of those that are read as texts, whatever their cells are.

        Raises:
            UserError: as `blocks`, or a column has a few cells that are no numbers.
        """
        blocks = list(self.blocks()) if 0 < len(self.text) <= HELD else []
        kinds = [Cells(f"the column {name!r} of {self.where}", self.mark != ",", name in texts) for name in self.names]
        for block in blocks or self.blocks():
            for kind, cells in zip(kinds, block, strict=True):
                kind.add(cells)
        for kind in kinds if any(kind.comma_is_point for kind in kinds) else ():
            kind.comma_is_point = True  # one table has one decimal point
        columns = [Reading(name, kind) for name, kind in zip(self.names, kinds, strict=True)]
        for block in blocks or self.blocks():
            for column, cells in zip(columns, block, strict=True):
                column.add(cells)
        yield from (column.values() for column in columns)


def read_columns(path: Path, texts: Collection[str] = ()) -> Iterator[Values]:
    """Yields the columns of a file of a table, in order.

    Arguments:
        path: the file.
        texts: the names of columns that are read as texts even if all of their cells are numbers.

    Raises:
        UserError: the file cannot be read, is too large, or has rows of different lengths or two columns of one name; or
            pyarrow, which .parquet files need, is not installed.
    """
    where = readable(str(path))
    if path.suffix.lower() in (".parquet", ".feather"):
        yield from arrow_columns(path, where)
    else:
        yield from TextTable(path, where).columns(texts)


def without_index(names: Sequence[str]) -> list[str]:
    """Returns the names of columns of a file without that of the numbers or names of rows, as pandas and R write it: the
    first, if it is empty, or `INDEX`; all names if there is no other one.

    Example:
        >>> without_index(["", "age", "job"]), without_index([""])
        (['age', 'job'], [''])
    """
    found = [name for i, name in enumerate(names) if name != INDEX and (name or i)]
    return found or list(names)


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
    return None if found != found or "_" in text else found


def plain_numbers(cells: Sequence[str], decimal_comma: bool) -> Array | None:
    """Returns the cells of a column as numbers, float64; None if there are none, or if one is missing or no number, see
    `number`.
    """
    try:
        found = np.array([*map(float, (cell.replace(",", ".") for cell in cells) if decimal_comma else cells)])
    except ValueError:
        return None
    return None if not len(cells) or np.isnan(found).any() or "_" in "".join(cells) else found


def from_texts(name: str, texts: Sequence[str], label: str = "", decimal_comma: bool = False) -> Values:
    """Returns a column of a text file: numbers or bool if all that are not missing are, else texts.

    Arguments:
        name: the name of the column.
        texts: the cells; empty ones and such as "NA" are missing.
        label: the name of the column in an error message.
        decimal_comma: True if a comma may be the decimal point.

    Raises:
        UserError: as `Cells.dtype`.
    """
    kind = Cells(label, decimal_comma)
    kind.add(texts)
    column = Reading(name, kind)
    column.add(texts)
    return column.values()


def values_of(frame: Any, label: str) -> dict[str, Values]:
    """Returns the values of each column of a data frame or of a dictionary of columns, by name.

    Arguments:
        frame: the data frame or dictionary.
        label: its name in error messages.

    Raises:
        UserError: two columns have one name or different lengths, or one holds neither numbers, bool nor texts.
    """
    check_names(frame, label)
    columns = {str(key): from_array(str(key), frame[key]) for key in names_of(frame)}
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{key!r}: {count}" for key, count in list(lengths.items())[:SHOWN])
        raise UserError(f"the columns of {label} have different lengths ({text}); give one value a row.")
    return columns


def names_of(frame: Any) -> list[Any]:
    """Returns the names of the columns of a data frame, or of a dictionary with columns."""
    return list(frame) if isinstance(frame, Mapping) else list(frame.columns)


def check_names(frame: Any, label: str) -> None:
    """Raises a UserError if two columns of a data frame, which is called `label` in the message, have one name as text, as
    1 and "1".
    """
    [(name, count)] = Counter(map(str, names_of(frame))).most_common(1) or [("", 0)]
    if count > 1:
        raise UserError(f"{count} columns of {label} have the name {name!r}; give each its own.")


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
        places = {text: i for i, text in enumerate(dict.fromkeys(map(str, values.cat.categories)))}
        codes = [-1 if is_missing(one) else places[str(one)] for one in values.astype(object)]
        return Values(name, kind, None, np.array(codes, dtype=np.int32), tuple(places), declared=True)
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        raise not_readable(name, "lists") from None
    if array.ndim != 1:
        raise UserError(
            f"the column {name!r} has the shape {array.shape}, and a column has one axis; give one number a row."
        )
    if array.dtype.kind in "buif":
        return Values(name, kind.lower() if kind[:1] in ("I", "U", "F") else array.dtype.name, array.astype(np.float64))
    if array.dtype.kind in "mM":  # those in nanoseconds would become whole numbers
        raise not_readable(name, str(array.dtype))
    plain = (one.item() if isinstance(one, NUMBERS) and one.dtype.kind in "buif" else one for one in array.tolist())
    cells = [None if is_missing(one) else one for one in plain]
    known = [one for one in cells if one is not None]
    if known and all(isinstance(one, bool | int | float) for one in known):
        numbers = [np.nan if one is None else float(one) if abs(one) <= MOST_FLOAT else np.inf for one in cells]
        whole = all(isinstance(one, int) for one in known)
        flags = all(isinstance(one, bool) for one in known)
        found = "bool" if flags else "int64" if whole else "float64"
        return Values(
            name, kind.lower() if kind[:1] in ("I", "U", "F") else found, np.array(numbers)
        )  # Int64 of pandas
    if not all(isinstance(one, str) for one in known):
        kinds = sorted({type(one).__name__ for one in known}) if array.dtype == object else [str(array.dtype)]
        raise not_readable(name, " and ".join(kinds))
    words = Words(f"the column {name!r}")
    words.add(cells)
    return words.values(name)


def not_readable(name: str, kind: str) -> UserError:
    """Returns the error for a column whose values are neither numbers, bool nor texts; `kind` is the name of their type."""
    return UserError(f"the column {name!r} holds {kind}, and columns are numbers, bool or texts; convert it.")


def is_missing(value: Any) -> bool:
    """True for None, NaN, and the missing values of pandas, NA and NaT."""
    if value is None or isinstance(value, np.ndarray):  # whose comparison is no bool
        return value is None
    return str(value) == "<NA>" or bool(value != value)  # NA is compared as text, since NA != NA is no bool


def arrow_columns(path: Path, where: str) -> Iterator[Values]:
    """Yields the columns of a .parquet or .feather file.

    Arguments:
        path: the file.
        where: its name in error messages.

    Raises:
        UserError: it cannot be read, or pyarrow is not installed, or a column is neither of numbers, bool nor texts.
    """
    try:
        import pyarrow
    except ImportError:
        raise UserError(f"{where} needs pyarrow, which is not installed; pip install 'interalia[tables]'.") from None
    names, kinds, stores, declared, rows = list[str](), list[str](), list[Any](), list[bool](), 0
    try:
        size, most = regular(path).stat().st_size, most_bytes()
        if SHARDED.get() is None and size > most:
            raise too_large(path)
        for batch in record_batches(path):
            if not names:
                names, kinds = batch.schema.names, [arrow_type(field) for field in batch.schema]
                declared = [pyarrow.types.is_dictionary(field.type) for field in batch.schema]
                labels = [f"the column {name!r} of {where}" for name in names]
                each = zip(kinds, labels, strict=True)
                stores = [Words(label) if kind == "str" else Gathered(np.float64) for kind, label in each]
            rows += batch.num_rows
            if SHARDED.get() is None and NUMBER * rows * len(names) > max(most, RATIO * size):
                raise too_large(path)
            for column, store in zip(batch.columns, stores, strict=True):
                add_arrow(store, column)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"the table {where} cannot be read ({error}); write it again.") from None
    if len(set(names)) < len(names):
        raise UserError(f"the table {where} has two columns of one name; give each its own.")
    for name, kind, store, known in zip(names, kinds, stores, declared, strict=True):
        if isinstance(store, Words):
            yield dataclasses.replace(store.values(name), declared=known)
        else:
            yield Values(name, kind, store.array())


def record_batches(path: Path) -> Iterator[Any]:
    """Yields the rows of a .parquet or .feather file as record batches of pyarrow."""
    from pyarrow import feather, ipc, memory_map, parquet

    if path.suffix.lower() == ".parquet":
        with parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as file:  # not the whole file at once
            yield from file.iter_batches(ROWS)
        return
    with open(path, "rb") as file:
        former = file.read(4) == b"FEA1"
    if former:  # version 1 of the format, which has no batches
        yield from feather.read_table(path).to_batches(ROWS)
        return
    with memory_map(str(path)) as source, ipc.open_file(source) as file:
        for i in range(file.num_record_batches):
            yield file.get_batch(i)


def arrow_type(field: Any) -> str:
    """Returns the type of a column of an Arrow table: "str", "bool", or NumPy's name of a type of numbers.

    Raises:
        UserError: it is of another type, such as a date.
    """
    import pyarrow

    kind = field.type.value_type if pyarrow.types.is_dictionary(field.type) else field.type
    text = str(kind)
    if text in EXACT or text.lstrip("u").startswith("int"):
        return EXACT.get(text, text)
    if text in ("bool", "null", "string", "large_string", "string_view"):
        return "bool" if text == "bool" else "str"
    raise not_readable(field.name, text)


def add_arrow(store: Words | Gathered, column: Any) -> None:
    """Appends the values of a column of an Arrow table to a store, NaN or -1 where one is missing.

    Arguments:
        store: the store, `Words` for texts.
        column: the column, an array of pyarrow.
    """
    import pyarrow

    if isinstance(store, Words):
        column = column.cast(pyarrow.string()) if pyarrow.types.is_null(column.type) else column
        column = column if pyarrow.types.is_dictionary(column.type) else column.dictionary_encode()
        places = [-1 if word is None else store.place(word) for word in column.dictionary.to_pylist()]
        codes = column.indices.fill_null(len(places)).to_numpy(zero_copy_only=False)
        store.codes.add(np.array([*places, -1], dtype=np.int32)[codes])
        return
    column = column.cast(column.type.value_type) if pyarrow.types.is_dictionary(column.type) else column
    column = column.cast(pyarrow.int8()) if pyarrow.types.is_boolean(column.type) else column
    store.add(column.to_numpy(zero_copy_only=False).astype(np.float64))
