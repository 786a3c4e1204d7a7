"""How the cells of tables are read: quotation marks, marks between columns, commas in numbers, and names that are numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interalia import UserError, data
from interalia.data import columns
from interalia.data.columns import read_columns


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
