"""Data frames of pandas, and .parquet and .feather files, which need pandas and pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interalia
from interalia import data, tasks
from interalia.data import columns, from_frame, tables, to_frame
from interalia.detect import Detector, DetectorError

N = 60
QUICK = {"models": 2, "steps": 20, "width": 16, "latent": 4}


@pytest.fixture
def pandas() -> Any:
    return pytest.importorskip("pandas", reason="pandas is not installed")


@pytest.fixture
def pyarrow() -> Any:
    return pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def frame(pandas: Any, holes: bool = True) -> Any:
    i = np.arange(N)
    found = pandas.DataFrame(
        {
            "age": (20 + i).astype(np.int16),
            "height": np.where((i % 7 == 3) & holes, np.nan, 150.5 + i).astype(np.float32),
            "job": [["cook", "smith"][k % 2] for k in i],
            "size": pandas.Categorical([["S", "M", "L"][k % 3] for k in i], categories=["S", "M", "L", "XL"]),
            "smoker": i % 4 == 0,
        },
        index=i + 100,
    )
    found["count"] = pandas.array([None if k % 5 == 2 and holes else int(k) for k in i], dtype="Int64")
    return found


def test_a_frame_is_trained_on_and_comes_back_with_its_types(pandas: Any) -> None:
    given = frame(pandas)
    dataset = from_frame(given, impute="median")
    assert dataset.units is not None
    assert {c.name: (c.dtype, c.categories) for c in dataset.units.columns} == {
        "age": ("int16", ()), "height": ("float32", ()), "job": ("str", ("cook", "smith")),
        "size": ("category", ("S", "M", "L", "XL")), "smoker": ("bool", ()), "count": ("int64", ()),
    }  # fmt: skip
    trained = interalia.train(
        "ali-digits",
        data=dataset,
        steps=2,
        networks="mlp(width=8)",
        latent_dim=2,
        batch_size=8,
        verbose=False,
    )
    made = to_frame(tasks.to_columns(trained.game, trained.generate(5)), dataset.units)
    assert list(made.columns) == list(given.columns)
    assert {name: str(kind) for name, kind in made.dtypes.items()} | {"job": ""} == {
        "age": "int16", "height": "float32", "job": "", "size": "category", "smoker": "bool", "count": "int64",
    }  # fmt: skip
    assert list(made["size"].cat.categories) == ["S", "M", "L", "XL"]


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_files_of_pyarrow(suffix: str, pandas: Any, pyarrow: Any, tmp_path: Path) -> None:
    given = frame(pandas).reset_index(drop=True)
    path = tmp_path / f"t.{suffix}"
    getattr(given, f"to_{suffix}")(path)
    one, two = data.load(path, impute="mean"), from_frame(given, "t", impute="mean")
    assert one.units is not None
    assert two.units is not None
    assert [c.name for c in one.units.columns] == [c.name for c in two.units.columns]
    numbers = {c.name: c.dtype for c in one.units.columns if not c.categories}
    assert numbers == {"age": "int16", "height": "float32", "smoker": "bool", "count": "int64"}
    rows = np.asarray(one.train.x)[:, :2], np.asarray(two.train.x)[:, :2]
    assert np.allclose(*rows, atol=1e-6)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(interalia.UserError, match="cannot be read"):
        data.load(path)


@pytest.mark.parametrize("suffix", ["parquet", "feather", "feather of version 1"])
def test_types_of_arrow_in_several_batches(
    suffix: str, pyarrow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import feather, parquet

    monkeypatch.setattr(columns, "ROWS", 7)
    monkeypatch.setattr(tables, "ROWS", 7)
    old = suffix.endswith("1")
    codes = [i % 3 for i in range(40)]
    table = {
        "flag": pyarrow.array([None if i == 9 else i % 2 == 0 for i in range(40)]),
        "text": pyarrow.array([None if i == 8 else ["NA", "x"][i % 2] for i in range(40)]),
        "count": pyarrow.array([None if i == 5 else i for i in range(40)], pyarrow.uint8()),
    }
    if not old:  # which has no such type
        words, numbers = pyarrow.array(["u", "v", "w"]), pyarrow.array([3, 5, 7])
        table["words"] = pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes), words)
        table["numbers"] = pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes), numbers)
    made, path = pyarrow.table(table), tmp_path / f"t.{suffix.split()[0]}"
    if old:
        feather.write_feather(made, path, version=1)
    elif suffix == "feather":
        feather.write_feather(made, path, chunksize=9)
    else:
        parquet.write_table(made, path, row_group_size=9)
    found = data.load(path, impute="zero")
    assert found.units is not None
    known = {one.name: (one.dtype, one.categories, one.filled) for one in found.units.columns}
    expected = {
        "flag": ("bool", (), "False"), "text": ("str", ("NA", "x", "(missing)"), "(missing)"), "count": ("uint8", (), "0"),
        "words": ("str", ("u", "v", "w"), None), "numbers": ("int64", (), None),
    }  # fmt: skip
    assert known == {name: expected[name] for name in table}
    prepared = data.prepare(path, tmp_path / "s", impute="zero")
    assert prepared.about == found.about
    assert (np.asarray(prepared.train.x) == found.train.x).all()


def test_what_is_no_column_of_numbers_or_texts_is_named(pyarrow: Any, tmp_path: Path) -> None:
    from pyarrow import parquet

    numbers = pyarrow.array(range(20))
    for other, names, match in (
        (numbers.cast(pyarrow.timestamp("us")), ["a", "when"], "'when' holds timestamp"),
        (numbers, ["a", "a"], "two columns of one name"),
        (pyarrow.nulls(20), ["a", "b"], "'b' of t.parquet has no value at all"),
    ):
        parquet.write_table(pyarrow.table([numbers, other], names=names), tmp_path / "t.parquet")
        with pytest.raises(interalia.UserError, match=match):
            data.load(tmp_path / "t.parquet")


def test_missing_values_of_pandas_are_read(pandas: Any) -> None:
    given = frame(pandas)
    given["smoker"] = given["smoker"].astype("boolean")
    given.loc[103, "smoker"] = pandas.NA
    found = from_frame(given, impute="median")
    assert found.units is not None
    assert [(one.dtype, one.filled) for one in found.units.columns if one.name == "smoker"] == [("bool", "False")]


def test_a_detector_takes_a_frame_with_texts_and_holes(pandas: Any) -> None:
    given = frame(pandas)
    with pytest.raises(DetectorError, match=r"'height'.*missing.*`impute='median'`"):
        Detector(**QUICK).fit(given)
    detector = Detector(**QUICK, impute="median").fit(given)
    assert list(detector.feature_names_in_) == list(given.columns)
    explained = detector.explain(given.iloc[:7])
    assert explained.shape == (7, 6)
    assert list(explained.index) == list(range(100, 107))
    assert list(explained.columns) == list(given.columns)
    again = detector.reconstruct(given.iloc[:7])
    assert again["age"].dtype == np.int16
    assert set(again["job"]) <= {"cook", "smith"}
    scores = detector.score_samples(given)
    assert (detector.score_samples(given.iloc[::-1]) == scores[::-1]).all()
    assert (detector.score_samples(given[given.columns[::-1]]) == scores).all()
    with pytest.raises(DetectorError, match="no column 'job'"):
        detector.score_samples(given.drop(columns="job"))
    with pytest.raises(DetectorError, match="'baker'"):
        detector.score_samples(given.assign(job="baker"))


def test_a_frame_of_numbers_is_a_matrix(pandas: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3))
    given = pandas.DataFrame(rows, columns=["a", "b", "c"])
    detector, other = Detector(**QUICK).fit(given), Detector(**QUICK).fit(rows)
    assert (detector.score_samples(given) == other.score_samples(rows)).all()
    assert list(detector.feature_names_in_) == ["a", "b", "c"]


def test_categories_that_no_row_has_do_not_matter(pandas: Any, pyarrow: Any, tmp_path: Path) -> None:
    for name, categories in (("train", ["a", "b"]), ("score", ["b", "a", "new"])):
        sizes = pandas.Categorical(["a", "b"] * 20, categories=categories)
        pandas.DataFrame({"size": sizes, "x": range(40)}).to_parquet(tmp_path / f"{name}.parquet")
    units = data.load(tmp_path / "train.parquet").units
    assert units is not None
    first, second = (tables.read_rows(tmp_path / f"{name}.parquet", units, "t") for name in ("train", "score"))
    assert (first == second).all()


def test_a_small_file_of_many_rows_is_refused(pyarrow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"x": np.zeros(100_000)}), path)
    monkeypatch.setenv("INTERALIA_MAX_MB", "0.5")
    with pytest.raises(interalia.UserError, match=r"t.parquet has more than 0 MB when it is unpacked"):
        list(columns.read_columns(path))
    monkeypatch.setenv("INTERALIA_MAX_MB", "1")
    assert len(next(columns.read_columns(path))) == 100_000


def test_times_in_a_frame_are_refused_by_a_detector(pandas: Any) -> None:
    days = pandas.date_range("2020-01-01", periods=60).astype("datetime64[ns]")
    for given in ({"day": days}, {"x": np.arange(60.0), "day": days}):
        with pytest.raises(DetectorError, match=r"the column 'day' holds datetime64\[ns\]"):
            Detector(**QUICK).fit(pandas.DataFrame(given))


def test_a_frame_with_two_columns_of_one_name_is_refused_by_a_detector(pandas: Any) -> None:
    for values in (np.zeros((40, 2)), [["x", 1.0]] * 40):
        with pytest.raises(DetectorError, match="2 columns of X have the name 'a'"):
            Detector(**QUICK).fit(pandas.DataFrame(values, columns=["a", "a"]))


def test_missing_numbers_of_an_extension_type_are_replaced(pandas: Any) -> None:
    given = pandas.DataFrame({"x": pandas.array([None, *np.arange(59.0)], dtype="Float64"), "y": np.arange(60.0)})
    detector = Detector(impute="median", **QUICK).fit(given)
    assert [column.filled is None for column in detector.columns_] == [False, True]
