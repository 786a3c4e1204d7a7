"""The protocols of the experiments on detectors, their choice on half of the sets, and their quick forms end to end."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from interalia import papers
from interalia.detect import study
from interalia.detect.measuring import f1_of_highest, is_anomalous, metrics
from interalia.errors import UserError


def form(folder: Path, **fields: Any) -> Any:
    steps = fields.pop("steps", None)
    made = SimpleNamespace(quick=False, data_dir=None, seeds=1, folder=folder, done=lambda *_: None)
    made.length = lambda full, quick: steps or (quick if made.quick else full)
    return SimpleNamespace(**{**vars(made), **fields})


def rows(count: int = 40, anomalies: int = 8) -> tuple[Any, Any]:
    """Rows whose first column is their number; the last ones are anomalies."""
    x = np.arange(count, dtype=float)[:, None] * [1.0, 0.0]
    return x, np.arange(count) >= count - anomalies


def test_the_clean_protocol_trains_on_half_of_the_normal_rows() -> None:
    x, y = rows()
    for seed in (0, 1):
        task = study.clean(x, y, seed)
        assert (len(task.train), len(task.test), int(task.anomalous.sum())) == (16, 24, 8)
        assert task.train.mean(0) == pytest.approx(0)
        assert task.train[:, 0].std() == pytest.approx(1)
        assert not task.train[:, 1].any()  # a constant column
        spread = np.unique(np.concatenate([task.train, task.test])[:, 0])
        assert len(spread) == 40  # no row twice, none lost
        assert task.test[task.anomalous, 0].min() > task.test[~task.anomalous, 0].max() - 1e-9
    assert len(study.clean(x, y, 0, most=5).train) == 5
    assert not np.array_equal(study.clean(x, y, 0).train, study.clean(x, y, 1).train)


def test_the_contaminated_protocol_has_the_anomalies_in_both_halves() -> None:
    x, y = rows()
    task = study.contaminated(x, y, 0)
    assert (len(task.train), len(task.test), int(task.anomalous.sum()), task.contaminated) == (20, 20, 4, True)
    assert len(np.unique(np.concatenate([task.train, task.test])[:, 0])) == 40


def test_the_papers_protocol_trains_on_normal_rows_alone() -> None:
    x, y = rows(100, 30)
    task = study.papers_protocol(x, y, 0)
    assert len(task.test) == 50
    assert len(task.train) + int((~task.anomalous).sum()) == 70


def test_numbers_far_off_are_clipped() -> None:
    train, test = study.standardized(np.array([[0.0], [2.0]]), np.array([[1e9], [1.5]]))
    assert train.ravel().tolist() == [-1, 1]
    assert test.ravel().tolist() == [10, 0.5]


def test_measures_by_hand() -> None:
    scores, anomalous, flagged = [0.9, 0.8, 0.7, 0.1], [True, False, True, False], [True, True, False, False]
    found = metrics(scores, anomalous, flagged)
    assert found["auc"] == 0.75
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["precision_at_n"] == 0.5
    assert (found["false_alarms"], found["detected"]) == (0.5, 0.5)
    assert metrics([1, 2], [False, False]) == {}
    assert f1_of_highest([1, 2, 3, 4], [False, True, False, True], 0.5) == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert f1_of_highest([1, 2, 3, 4], [True, False, False, False], 0.25)["f1"] == 0
    assert is_anomalous([0, 1, 0.0]).tolist() == [False, True, False]


def test_the_classical_detectors_rank_a_far_row_highest() -> None:
    near = np.random.default_rng(0).normal(size=(60, 3))
    task = study.Task(near[:50], np.concatenate([near[50:], [[8.0, -8.0, 8.0]]]), np.arange(11) == 10)
    for name, detect in study.CLASSICAL.items():
        assert int(np.argmax(detect(task, 0))) == 10, name
        assert study.classical(name, task, 0)["auc"] == 1, name


def test_the_fifth_neighbor() -> None:
    task = study.Task(np.arange(10.0)[:, None], np.array([[0.0], [20.0]]), np.array([False, True]))
    assert study.neighbours(task, 0).tolist() == [4.0, 15.0]


def test_a_setting_is_chosen_on_one_half_and_measured_on_the_other(tmp_path: Path) -> None:
    # a is best on the first half (sets 1 and 3), b on the second (2 and 4)
    values = {
        "ours": {"1: auc": 0.9, "2: auc": 0.3, "3: auc": 0.9, "4: auc": 0.5},
        "ours, 16 models": {"1: auc": 0.2, "2: auc": 0.8, "3: auc": 0.6, "4: auc": 0.8},
    }
    asked = form(tmp_path, done=lambda row, seed, steps: values.get(row))
    found = study.choose(asked, 0, 0)
    assert found["auc"] == pytest.approx((0.3 + 0.5 + 0.2 + 0.6) / 4)
    assert {key: found[key] for key in ("1: auc", "2: auc")} == {"1: auc": 0.2, "2: auc": 0.3}
    assert study.choose(form(tmp_path), 0, 0) == {}  # nothing is finished


def test_what_is_computed_is_kept(tmp_path: Path) -> None:
    asked, calls = form(tmp_path), list[int]()

    def compute() -> dict[str, float]:
        calls.append(1)
        return {"auc": 0.5}

    for _ in range(2):
        assert study.kept(asked, ("kNN, 5th", "6_cardio", 0), compute) == {"auc": 0.5}
    study.kept(asked, ("kNN, 5th", "6_cardio", 1), compute)
    study.kept(form(tmp_path, steps=7), ("kNN, 5th", "6_cardio", 0), compute)
    assert len(calls) == 3


def test_the_rows_and_what_a_smoke_test_leaves_out(tmp_path: Path) -> None:
    full, quick = study.rows_of(form(tmp_path)), study.rows_of(form(tmp_path, quick=True))
    assert set(full) == {*study.CLASSICAL, *study.TABLE["settings"], study.UNTRAINED}
    assert len(quick) < len(full)
    untrained: Any = quick[study.UNTRAINED]
    assert untrained.keywords["steps"] == 0
    longer: Any = study.rows_of(form(tmp_path, steps=9))["ours"]
    assert longer.keywords == {"steps": 9}


def test_kdd99_has_one_hot_categories_and_normal_is_the_anomaly(tmp_path: Path) -> None:
    line = ["0", "tcp", "http", "SF", "181", "5450", "0", *["0"] * 4, "1", *["0"] * 8, "0", "1", *["0.5"] * 19]
    other = [*line[:1], "udp", *line[2:]]
    path = tmp_path / "kddcup.data_10_percent.gz"
    with gzip.open(path, "wt") as file:
        file.write("\n".join([",".join([*line, "normal."]), ",".join([*other, "smurf."])]))
    x, y = study.kdd99(path)
    assert y.tolist() == [True, False]
    assert x.shape == (2, 41 + 1)  # protocol_type has two values here, each other category one
    assert np.flatnonzero(x[0] != x[1]).tolist() == [1, 2]


def test_missing_data_are_named(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        for name in ("6_cardio", "arrhythmia", "kdd99"):
            with pytest.raises(UserError, match=r"needs .* in the folder of data.*`data_dir`"):
                study.table(form(tmp_path, data_dir=folder), name)
        for read in (study.mnist, study.mnist_of_egbad, study.pneumonia):
            with pytest.raises(UserError, match="`data_dir`"):
                read(form(tmp_path, data_dir=folder))
    (tmp_path / "adbench").mkdir()
    (tmp_path / "adbench" / "6_cardio.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="damaged"):
        study.table(form(tmp_path, data_dir=tmp_path), "6_cardio")


def test_one_digit_is_normal() -> None:
    x, y = np.arange(12.0).reshape(6, 2, 1), np.array([0, 1, 0, 1, 2, 2])
    tasks = study.one_against_the_rest((x, y), (x, y), 3, 1)
    assert list(tasks) == ["0", "1", "2"]
    assert np.array_equal(tasks["1"].train, x[[1]])
    assert tasks["1"].anomalous.tolist() == [True, False, True, False, True, True]


@pytest.mark.parametrize(
    ("held_out", "share", "outside", "rare"), [(99, 0.05, 0, 0), (99, 0.5, 1, 1), (19, 0.4, 0, None)]
)
def test_false_alarms_of_a_set_are_in_their_interval_or_outside(
    held_out: int, share: float, outside: int, rare: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 400 normal rows, a share scores above all that were held out.

    With 19 of these two fifths may be flagged by chance, since 0.6^19 > 7e-6.
    """

    class Fixed:
        calibration_, least_rate_ = np.arange(held_out, dtype=float), 1 / (held_out + 1)

        def __init__(self, **settings: Any) -> None:
            pass

        def fit(self, x: Any) -> Fixed:
            return self

        def score_samples(self, x: Any) -> Any:
            return -x[:, 0]

    monkeypatch.setattr("interalia.detect.Detector", Fixed)
    rows = np.full((440, 1), 1e6)
    rows[: round(400 * (1 - share))] = 0.5
    found = study.ours(study.Task(rows, rows, np.arange(440) >= 400), 0)
    assert (found["flagged"], found["normals"], found["outside"]) == (400 * share, 400, outside)
    assert found.get("outside_1") == rare


def test_one_digit_is_the_anomaly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.arange(100.0).reshape(100, 1, 1), np.arange(100) % 10
    monkeypatch.setattr(study, "mnist_images", lambda form: [(x[:80], y[:80]), (x[80:], y[80:])])
    tasks = study.mnist_of_egbad(form(tmp_path))
    assert list(tasks) == [f"{digit}, odd" for digit in range(10)]
    for digit, task in enumerate(tasks.values()):
        trained, tested = task.train.ravel().astype(int), task.test.ravel().astype(int)
        assert len(tested) == 20
        assert not set(trained) & set(tested)
        assert (task.anomalous == (tested % 10 == digit)).all()
        assert len(trained) + (~task.anomalous).sum() == 90  # all that are normal
        assert (trained % 10 != digit).all()


@pytest.mark.parametrize("name", ["detect-tables", "detect-contaminated", "detect-images"])
def test_the_quick_forms_work_end_to_end(name: str, tmp_path: Path) -> None:
    path = papers.reproduce(name, quick=True, steps=2, out=tmp_path)
    table = json.loads((path.parent / "table.json").read_text())
    means = {row: values["auc"][0] for row, values in table["summary"].items() if "auc" in values}
    assert any("kNN" in row for row in means)
    assert any("untrained" in row for row in means)
    assert all(0 <= value <= 1 for value in means.values())
    assert (study.CHOSEN in means) is (name != "detect-images")
    if name == "detect-tables":
        assert means["kNN, 5th neighbor"] > 0.9
    before = path.read_text()
    assert papers.reproduce(name, quick=True, steps=2, out=tmp_path).read_text() == before
