"""How the cells of tables are read: quotation marks, marks between columns, commas in numbers, and names that are numbers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import interalia

from interalia import UserError, data
from interalia.data import columns
from interalia.data.columns import from_array, read_columns, values_of, without_index
from interalia.data.examples import read_examples
from interalia.data.scaling import Column, Units, fit
from interalia.data.tables import decode, read_rows


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def values(path: Path) -> dict[str, Any]:
    return {one.name: one.texts if one.numbers is None else one.numbers.tolist() for one in read_columns(path)}


@pytest.mark.parametrize("lines", [("1,x", '2,"y', "3,z", "4,w"), ("1,x", '2,"y', "3,z", '4,"w')])
@pytest.mark.parametrize("whole", [True, False])
def test_rows_are_not_lost_in_a_text_that_is_not_closed(
    lines: tuple[str, ...], whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "t.csv", "a,b", *lines)
    with pytest.raises(UserError, match="has a quotation mark in line 3 that opens a cell and does not close it"):
        values(path) if whole else data.prepare(path, tmp_path / "s")


def test_quotation_marks_and_line_breaks_in_a_text_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "a,b", '1,"x ""y""', 'z"', '2,5" pipe', '3,"w" ')
    assert values(path) == {"a": [1, 2, 3], "b": ['x "y"\nz', '5" pipe', "w"]}


def test_marks_in_quoted_names_do_not_decide_between_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", '"income, total, all";"age, then"', "1,5;2", "2,5;3")
    assert values(path) == {"income, total, all": [1.5, 2.5], "age, then": [2, 3]}


def test_a_comma_that_may_be_a_mark_of_thousands_is_refused(tmp_path: Path) -> None:
    for suffix, mark in (("tsv", "\t"), ("csv", ";")):
        lines = [f"{price}{mark}{i}" for i, price in enumerate(["56", "1,234", "12,345"])]
        path = written(tmp_path / f"t.{suffix}", f"price{mark}n", *lines)
        with pytest.raises(
            UserError, match=r"'price' of \S+ holds '1,234' in row 1 .*, which is 1234 or 1\.234; write"
        ):
            values(path)
        # another number of the table shows that the comma is its decimal point
        written(path, f"price{mark}n", *lines[:2], f"3{mark}0,5")
        assert values(path) == {"price": [56, 1.234, 3], "n": [0, 1, 0.5]}


@pytest.mark.parametrize("price", ["1,234", "1,234,567", "-1,234.5"])
def test_numbers_with_marks_of_thousands_are_no_categories(price: str, tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "price,n", *[f'"{price}",{i}' for i in range(20)], "7,1")
    with pytest.raises(
        UserError, match=f"holds '{price}' in row 0 .*, with a mark for thousands; write numbers without"
    ):
        data.load(path)


def test_the_names_that_pandas_writes_are_no_row_of_values(tmp_path: Path) -> None:
    rows = np.arange(60).reshape(20, 3) + 0.5
    path = written(tmp_path / "t.csv", "0,1,2", *[",".join(map(str, row)) for row in rows])
    assert values(path) == {str(i): rows[:, i].tolist() for i in range(3)}
    path = written(tmp_path / "t.csv", "0,2,1", "3,4,5")
    assert values(path) == {"0": [0, 3], "1": [2, 4], "2": [1, 5]}
    path = written(tmp_path / "t.csv", "0,1", "1,1")  # two numbers may be values
    assert values(path) == {"0": [0, 1], "1": [1, 1]}


def test_a_large_text_file_is_read_twice_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "t.csv", "a,b", *[f"{i},{'xy'[i % 2]}" for i in range(40)])
    once = values(path)
    monkeypatch.setattr(columns, "HELD", 50)
    monkeypatch.setattr(columns, "ROWS", 7)
    read, blocks = [], columns.TextTable.blocks

    def noted(table: columns.TextTable) -> Any:
        read.append(table)
        return blocks(table)

    monkeypatch.setattr(columns.TextTable, "blocks", noted)
    assert values(path) == once
    assert len(read) == 2


@pytest.mark.parametrize("unit", ["datetime64[ns]", "datetime64[D]", "timedelta64[ns]"])
def test_times_are_no_numbers(unit: str) -> None:
    with pytest.raises(UserError, match=f"the column 'when' holds {unit[:-4]}"):
        from_array("when", np.array([1, 2, "NaT"], dtype=unit))


def test_what_no_column_can_hold_is_named() -> None:
    pairs = np.empty(2, dtype=object)
    pairs[:] = [np.zeros(2), None]
    for wrong, kind in ((pairs, "ndarray"), ([[1], [1, 2]], "lists")):
        with pytest.raises(UserError, match=rf"the column 'x' holds {kind}, and columns are numbers, bool or texts"):
            from_array("x", wrong)
    with pytest.raises(UserError, match="2 columns of X have the name '1'; give each its own"):
        values_of({1: [1, 2], "1": [3, 4], "a": [5, 6]}, "X")


def test_numbers_of_any_type_among_objects_are_numbers() -> None:
    found = from_array("x", np.array([np.int64(3), np.float32(2.5), None, np.bool_(True), 10**400], dtype=object))
    assert found.dtype == "float64"
    assert found.numbers is not None
    assert np.array_equal(found.numbers, [3, 2.5, np.nan, 1, np.inf], equal_nan=True)
    assert from_array("x", np.array([np.int64(3), None], dtype=object)).dtype == "int64"
    assert from_array("x", np.array([np.bool_(True), None], dtype=object)).dtype == "bool"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_table_that_is_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv.gz"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)  # a reader that opens it would wait for a writer, and then for its content
    try:
        os.write(keep, b"no gzip")
        assert interalia("detect", "fit", path, "--out", tmp_path / "d") == 2
    finally:
        os.close(keep)
    assert "t.csv.gz cannot be read ([Errno 22] it is a named pipe" in " ".join(capsys.readouterr().err.split())


def test_a_full_disk_while_columns_are_gathered_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(dir: Path) -> Any:
        raise OSError(24, "Too many open files")

    path = written(tmp_path / "t.csv", "a,b", *[f"{i},{i}" for i in range(20)])
    monkeypatch.setattr(columns.tempfile, "mkstemp", full)
    with pytest.raises(UserError, match=r"cannot be written \(Too many open files\); raise the limit of open files"):
        data.prepare(path, tmp_path / "s")


def test_row_numbers_that_pandas_and_r_write_are_no_column(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", '"",a,b', *[f"{i},{i * i % 7},{'xy'[i % 2]}" for i in range(40)])
    dataset = data.load(path)
    assert dataset.units is not None
    assert [column.name for column in dataset.units.columns] == ["a", "b"]
    assert dataset.about.endswith("Left out: a column of row numbers, which has no name.")
    assert read_examples(path).columns == ["a", "b"]
    assert without_index(["__index_level_0__", "a"]) == without_index(["a", "__index_level_0__"]) == ["a"]
    assert without_index(["a", ""]) == ["a", ""]
    old = Units(None, (Column("", "int64"), Column("a", "int64")))  # of a run that was trained on them
    assert data.load(path, scale=old).shape == (2,)
    assert read_examples(path, columns=["", "a"]).columns == ["", "a"]


@pytest.mark.parametrize("first", [1_000_001, 2**53])
def test_large_whole_numbers_as_groups_and_labels_are_told_apart_or_refused(first: int, tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "id,x", *[f"{first + i // 4},{i}" for i in range(80)])
    if first == 2**53:
        with pytest.raises(UserError, match=r"'id' holds whole numbers from 2\^53 on, .*; write a letter before each"):
            data.load(path, group="id")
        with pytest.raises(UserError, match=r"'id' holds whole numbers from 2\^53 on"):
            read_examples(path, label_column="id")
        assert data.load(path).shape == (2,)  # as numbers they are
        return
    assert read_examples(path, label_column="id").labels == [str(first + i // 4) for i in range(80)]
    dataset = data.load(path, group="id")
    groups = [set(split.groups.tolist()) for split in (dataset.train, dataset.validation, dataset.test)]  # type: ignore[union-attr]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20


def test_labels_are_written_as_numbers_of_any_kind_are(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "label,flag,x", "0.5,true,1", "2.0,False,2", ",,3", "inf,True,4")
    assert read_examples(path, label_column="label").labels == ["0.5", "2", "", "inf"]
    assert read_examples(path, label_column="flag").labels == ["true", "false", "", "true"]


def test_infinite_numbers_may_be_groups_and_a_table_needs_other_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "g,x", *[f"{'inf' if i < 20 else i // 4},{i}" for i in range(80)])
    groups = data.load(path, group="g").train.groups
    assert groups is not None
    assert {"inf", "5"} & set(groups.tolist())
    path = written(tmp_path / "t.csv", "g", *[f"{i // 4}" for i in range(80)])
    with pytest.raises(UserError, match=r"the table t\.csv has no column but its groups, 'g'; leave `group` out"):
        data.load(path, group="g")


def test_a_category_may_have_the_name_of_missing_ones(tmp_path: Path) -> None:
    jobs = ["x", "(missing)", ""]
    path = written(tmp_path / "t.csv", "job,n", *[f"{jobs[i % 3]},{i}" for i in range(60)])
    dataset = data.load(path, impute="median")
    assert dataset.units is not None
    assert dataset.units.columns[0] == Column("job", "str", ("x", "(missing)"), "(missing)")
    path = written(tmp_path / "t.csv", "job,n", *[f"{jobs[i % 2]},{i}" for i in range(60)])
    units = data.load(path).units
    assert units is not None
    assert set(decode(np.eye(2, 3), units.columns)["job"]) == {"x", "(missing)"}


def test_numbers_whose_squares_are_zero_are_not_constant() -> None:
    x = np.arange(10.0)[:, None] * 1e-200
    found = fit(x, "standard")
    assert np.allclose(np.diff(found.apply(x)[:, 0]), 1 / 9)
    assert np.allclose(found.invert(found.apply(x)), x, rtol=1e-5)


@pytest.mark.parametrize(
    ("labels", "texts"),
    [
        (np.array([b"good", b"bad"]), ["good", "bad"]),
        (np.array([0.0, 7.0]), ["0", "7"]),
        (np.array([0.5, np.nan]), ["0.5", ""]),
        (np.array([True, False]), ["true", "false"]),
        (np.array([[1_000_001], [-1]]), ["1000001", "-1"]),
    ],
)
def test_labels_in_arrays_are_the_texts_of_a_table(labels: Any, texts: list[str], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)), quality=labels)
    assert read_examples(tmp_path / "a.npz", label_column="quality").labels == texts


@pytest.mark.parametrize("labels", [np.array(["good", None], dtype=object), np.array([1, 2], dtype="datetime64[D]")])
def test_labels_in_arrays_that_are_none_are_named(labels: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)), quality=labels)
    with pytest.raises(UserError, match=r"quality in \S+ cannot be read|the column 'quality' holds datetime64"):
        read_examples(tmp_path / "a.npz", label_column="quality")


def test_a_table_without_rows_is_not_encoded(tmp_path: Path) -> None:
    units = Units(None, (Column("a", "int64"),))
    with pytest.raises(UserError, match="t has no rows; give a table with a row of names and a row for each example"):
        read_rows(written(tmp_path / "t.csv", "a"), units, "t")
