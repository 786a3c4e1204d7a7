"""Tables of numbers and categories: what is read, encoded, refused and returned as columns of the same types."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import interalia
from interalia import data, tasks
from interalia.data.columns import from_array, from_texts, read_columns
from interalia.data.scaling import Column
from interalia.data.tables import decode, from_frame
from interalia.errors import UserError
from interalia.tasks import verbs

N = 60
AGES = [20 + i % 41 for i in range(N)]
JOBS = [["cook", 'nurse "A", B', "smith"][i % 3] for i in range(N)]


def write(path: Path, rows: list[list[Any]], mark: str = ",") -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=mark).writerows(rows)
    return path


def people(path: Path, holes: bool = False, mark: str = ",") -> Path:
    """Numbers with and without a point, texts with commas, bool, a constant column and, if `holes`, missing values."""
    rows: list[list[Any]] = [["age", "height", "job", "smoker", "planet"]]
    for i in range(N):
        height = "" if holes and i % 7 == 3 else 150.25 + i
        job = "NA" if holes and i % 9 == 4 else JOBS[i]
        rows.append([AGES[i], height, job, ["true", "False"][i % 2], 3])
    return write(path, rows, mark)


def splits(dataset: data.Dataset) -> np.ndarray:
    return np.concatenate([split.x for split in (dataset.train, dataset.validation, dataset.test)])


def columns(dataset: data.Dataset) -> dict[str, np.ndarray]:
    assert dataset.units is not None
    return decode(dataset.units.invert(splits(dataset)), dataset.units.columns)


@pytest.mark.parametrize(("suffix", "mark"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_rows_return_as_they_were(tmp_path: Path, suffix: str, mark: str) -> None:
    dataset = data.load(people(tmp_path / f"p.{suffix}", mark=mark))
    assert dataset.shape == (7,)
    found = columns(dataset)
    assert {name: values.dtype.kind for name, values in found.items()} == {
        "age": "i", "height": "f", "job": "U", "smoker": "b", "planet": "i",
    }  # fmt: skip
    order = np.argsort(found["height"])
    assert found["age"][order].tolist() == AGES
    assert found["job"][order].tolist() == JOBS
    assert found["smoker"][order].tolist() == [i % 2 == 0 for i in range(N)]
    assert np.allclose(found["height"][order], 150.25 + np.arange(N), rtol=1e-6)
    assert set(found["planet"]) == {3}


def test_numbers_are_standardized_by_the_training_rows_and_categories_stay_one_hot(tmp_path: Path) -> None:
    dataset = data.load(people(tmp_path / "p.csv"))
    train = dataset.train.x
    assert np.allclose(train[:, [0, 1, 5]].mean(0), 0, atol=1e-5)
    assert np.allclose(train[:, [0, 1, 5]].std(0), 1, atol=1e-5)
    assert np.unique(splits(dataset)[:, 2:5]).tolist() == [0, 1]
    assert (splits(dataset)[:, 2:5].sum(1) == 1).all()
    assert not splits(dataset)[:, 6].any()  # constant
    assert "planet (int64, constant, 3 ... 3)" in dataset.about
    assert 'job (str, 3 categories: cook, nurse "A", B, smith)' in dataset.about
    small = data.load(tmp_path / "p.csv", scale="min-max")
    assert small.train.x.min() == 0
    assert small.train.x.max() == 1
    as_read = data.load(tmp_path / "p.csv", scale="none")
    assert sorted(splits(as_read)[:, 0].tolist()) == sorted(AGES)


def test_missing_values_are_refused_or_replaced_by_a_named_rule(tmp_path: Path) -> None:
    path = people(tmp_path / "p.csv", holes=True)
    message = r"column 'height' of p\.csv has 9 missing values, the first in row 3 .*; give `impute='median'`"
    with pytest.raises(UserError, match=message):
        data.load(path)
    for rule in ("median", "mean", "zero"):
        dataset = data.load(path, impute=rule)
        assert dataset.units is not None
        height, job = dataset.units.columns[1:3]
        known = dataset.units.invert(dataset.train.x)[:, 1]
        filled = float(height.filled or "x")
        assert np.isclose(known, filled, rtol=1e-6, atol=1e-4).sum() >= 4
        others = known[~np.isclose(known, filled, rtol=1e-6, atol=1e-4)]
        if rule != "median":
            assert np.isclose(filled, {"mean": others.mean(), "zero": 0}[rule], rtol=1e-5)
        assert job.categories == ("cook", 'nurse "A", B', "smith", "(missing)")
        assert (columns(dataset)["job"] == "").sum() == 7
        assert "9 missing -> " in dataset.about


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a", "b"], [1, 2], [3]], "has 2 columns in its first row and 1 in row 2"),
        ([["a", "a"], [1, 2]], "two columns of one name"),
        ([["a"], *[[f"text {i}"] for i in range(120)]], "has 120 different texts, and a category has at most 100"),
        ([["a", "b"], *[[i, ""] for i in range(20)]], "the column 'b' of t.csv has no value at all"),
        ([["a", "b"]], "has no rows"),
        ([], "is empty"),
        ([["a"], *[[1e39 * (i + 1)] for i in range(20)]], "holds NaN or infinity"),
        (
            [["a", "b"], *[["x", "inf" if i == 7 else i] for i in range(20)]],
            r"column 'b' of t\.csv holds NaN or infinity in 1 of 20 places; .* the first is inf in row 7 .counted from 0",
        ),
        (
            [["a"], *[["1.2.3" if i in (5, 9) else i / 7] for i in range(40)]],
            r"column 'a' of \S+t\.csv holds numbers, and '1\.2\.3' in row 5 .*, which is none; 1 more are none; correct it",
        ),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, rows: list[list[Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data.load(write(tmp_path / "t.csv", rows))


def test_unequal_scales_are_refused_where_nothing_is_scaled(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["age", "wage", "job"], *[[20 + i % 41, 1e5 * (i % 7), JOBS[i]] for i in range(N)]]
    path = write(tmp_path / "t.csv", rows)
    with pytest.raises(
        UserError,
        match=r"table t\.csv has columns of unequal scales: .* of column 'age' is 1\S+, and that of column 'wage' 1",
    ):
        data.load(path, scale="none")
    write(path, [row[:1] + row[2:] for row in rows])  # categories beside numbers are as they are
    assert data.load(path, scale="none").units is not None


def test_a_file_without_names_and_other_spellings(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [[i, i / 2 + 0.25] for i in range(20)])
    dataset = data.load(path)
    assert dataset.units is not None
    assert dataset.units.columns == (Column("0", "int64"), Column("1", "float64"))
    (tmp_path / "bom.csv").write_text('\ufeffa,b\r\n"x\ny",1\r\n' + "z,2\r\n" * 19, encoding="utf-8")
    first, second = read_columns(tmp_path / "bom.csv")
    assert (first.name, first.texts[:2], second.dtype) == ("a", ["x\ny", "z"], "int64")
    assert from_texts("x", ["1", "?", "3"]).dtype == "int64"
    assert from_texts("grade", ["1", "2", "A"] * 9).dtype == "str"
    write(tmp_path / "t.csv", [["a", "b"], *[[f"{i},5", "x,y"] for i in range(20)]], ";")
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text(), encoding="utf-16")
    first, second = read_columns(tmp_path / "t.csv")
    assert (first.dtype, first.numbers[3], second.dtype) == ("float64", 3.5, "str")  # type: ignore[index]
    assert from_texts("x", ["1_0", "2"]).dtype == "str"
    assert from_texts("x", ["TRUE", "n/a"]).dtype == "bool"


def test_a_group_is_in_one_split_and_no_column(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["patient", "x"], *[[f"p{i // 4}", float(i)] for i in range(80)]]
    dataset = data.load(write(tmp_path / "t.csv", rows), group="patient")
    assert dataset.units is not None
    assert [column.name for column in dataset.units.columns] == ["x"]
    patients = [
        set((np.rint(dataset.units.invert(split.x)) // 4).ravel().tolist())
        for split in (dataset.train, dataset.validation, dataset.test)
    ]
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]


def test_mappings_of_columns_keep_their_types() -> None:
    frame = {
        "small": np.arange(30, dtype=np.int16),
        "flag": np.arange(30) % 2 == 0,
        "text": ["a", "b", "c"] * 10,
        "real": np.linspace(0, 1, 30, dtype=np.float32),
    }
    dataset = from_frame(frame, "mine")
    found = columns(dataset)
    assert {name: values.dtype.name for name, values in found.items()} == {
        "small": "int16", "flag": "bool", "text": "str32", "real": "float32",
    }  # fmt: skip
    order = np.argsort(found["small"])
    for name, values in frame.items():
        assert (
            np.allclose(found[name][order], values, atol=1e-6)
            if name == "real"
            else list(found[name][order]) == list(values)
        )
    with pytest.raises(UserError, match=r"column 'day' holds datetime64"):
        from_array("day", np.array(["2026-01-01"] * 3, dtype="datetime64[D]"))
    with pytest.raises(UserError, match="column 'day' holds date and str"):
        from_array("day", np.array([date(2026, 1, 1), "x"], dtype=object))
    with pytest.raises(UserError, match="has one axis"):
        from_array("pair", np.zeros((3, 2)))


class Unknown:
    """As the NA of pandas: it is not equal to itself, and its comparisons are no bool."""

    def __repr__(self) -> str:
        return "<NA>"

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize(("impute", "filled"), [("median", "True"), ("mean", "True"), ("zero", "False")])
def test_missing_bools_are_replaced(tmp_path: Path, impute: str, filled: str) -> None:
    flags: list[Any] = [i % 4 != 0 for i in range(40)]
    flags[5] = Unknown()
    frame = {"flag": np.array(flags, dtype=object), "x": list(range(40))}
    rows = [["flag", "x"], *[["" if i == 5 else str(flags[i]), i] for i in range(40)]]
    found = from_frame(frame, impute=impute)
    for dataset in (found, data.load(write(tmp_path / "t.csv", rows), impute=impute)):
        assert dataset.units is not None
        assert dataset.units.columns[0] == Column("flag", "bool", (), filled)
        back = columns(dataset)
        assert dict(zip(back["x"].tolist(), back["flag"].tolist(), strict=True)) == {
            i: filled == "True" if i == 5 else flags[i] for i in range(40)
        }


def test_tasks_answer_with_rows_of_the_same_columns(tmp_path: Path) -> None:
    path = people(tmp_path / "p.csv", holes=True)
    dataset = data.load(path, impute="median")
    run = interalia.Run(game="ali", networks="auto(width=2)", latent_dim=3)
    game = interalia.runs.building.build_for(run, dataset)
    made = verbs.generate(game, 9)
    assert made.is_table
    assert made.figure is None
    assert {name: values.dtype.kind for name, values in made.arrays.items()} == {
        "age": "i", "height": "f", "job": "U", "smoker": "b", "planet": "i",
    }  # fmt: skip
    assert set(made.arrays["planet"]) == {3}
    assert set(made.arrays["job"]) <= {"cook", 'nurse "A", B', "smith", ""}
    x = data.read_images([path], dataset.shape, dataset.units)
    assert sorted(map(tuple, x.tolist())) == sorted(map(tuple, splits(dataset).tolist()))
    found = verbs.reconstruct(game, x[:5]).arrays
    assert list(found)[:2] == ["x.age", "x.height"]
    assert found["x.age"].tolist() == AGES[:5]
    assert found["x_hat.job"].shape == (5,)
    assert verbs.interpolate(game, x[:4], steps=3).arrays["path.age"].shape == (2, 3)
    for wrong, message in (
        ([["age"], [3]], "has no column 'height'"),
        (
            [["age", "height", "job", "smoker", "planet"], ["", 1, "cook", "true", 3]],
            "'age' .* the training data had none",
        ),
        ([["age", "height", "job", "smoker", "planet"], [1, 1, "king", "true", 3]], "'king', which is none of the 4"),
        ([["age", "height", "job", "smoker", "planet"], ["x", 1, "cook", "true", 3]], "holds texts, and numbers were"),
    ):
        with pytest.raises(UserError, match=message):
            data.read_images([write(tmp_path / "w.csv", wrong)], dataset.shape, dataset.units)
    with pytest.raises(UserError, match="is a table, and this run was trained on arrays"):
        data.read_images([path], (7,))


def test_columns_survive_the_weights(tmp_path: Path) -> None:
    dataset = data.load(people(tmp_path / "p.csv"))
    run = interalia.Run(
        game="ali",
        networks="auto(width=2)",
        latent_dim=3,
        steps=1,
        batch_size=8,
        data=str(tmp_path / "p.csv"),
        evaluate_every=0,
    )
    trained = interalia.train(run, tmp_path / "run")
    again = interalia.load(tmp_path / "run" / "weights.safetensors").game
    assert tasks.units_of(again) == dataset.units
    x = tasks.generate(trained.game, 5, 0)
    expected = tasks.to_columns(trained.game, x)
    for name, values in tasks.to_columns(again, x).items():
        assert (values == expected[name]).all()
    assert torch.equal(tasks.generate(again, 5, 0), x)
