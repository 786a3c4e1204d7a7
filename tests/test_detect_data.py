"""Detectors of any data: the axes of arrays, tables with texts and missing values, and units, as training reads them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import interalia
from sklearn.base import clone

from interalia.detect import Detector, DetectorError

DRAW = np.random.default_rng(0)
QUICK = {"models": 2, "steps": 20, "width": 16, "latent": 4}
FAST = ("--models", 1, "--width", 8, "--latent-dim", 2, "--steps", 5)
N = 40


@pytest.mark.parametrize(
    ("shape", "layout", "taken"),
    [
        ((2, 16), "signal", (2, 16)),
        ((8, 8), "auto", (1, 8, 8)),
        ((8, 6), "image", (1, 8, 6)),
        ((8, 12, 12), "auto", (8, 12, 12)),
        ((6, 7, 3), "auto", (3, 6, 7)),
        ((5, 6, 7), "image-channels-last", (7, 5, 6)),
        ((5, 6, 7), "volume", (1, 5, 6, 7)),
        ((2, 4, 4, 4), "auto", (2, 4, 4, 4)),
    ],
)
def test_axes_are_read_as_by_training(shape: Any, layout: str, taken: Any, tmp_path: Path) -> None:
    x = DRAW.normal(size=(N, *shape)) * 300
    detector = Detector(**QUICK, layout=layout).fit(x)
    assert detector.shape_ == taken
    assert len(np.unique(detector.scale_)) == taken[0]
    explained, again = detector.explain(x[:3]), detector.reconstruct(x[:3])
    assert explained.shape == again.shape == (3, *shape)
    place = (0, *[0] * len(shape))  # a number that is off is that which is explained
    odd = x[:1].copy()
    odd[place] += 1e5
    assert np.unravel_index(detector.explain(odd).argmax(), odd.shape) == place
    detector.save(tmp_path / "d.safetensors")
    loaded = Detector.load(tmp_path / "d.safetensors")
    assert (loaded.score_samples(x) == detector.score_samples(x)).all()


def test_ambiguous_axes_are_refused_with_the_choices() -> None:
    with pytest.raises(DetectorError, match=r"`layout='image'` or `layout='signal'`"):
        Detector(**QUICK).fit(DRAW.normal(size=(N, 2, 16)))
    with pytest.raises(DetectorError, match="`layout`"):
        Detector(**QUICK, layout="table").fit(DRAW.normal(size=(N, 2, 16)))


def people(count: int = N) -> dict[str, Any]:
    """Columns of which age, job and income agree; some are missing."""
    i = np.arange(count)
    hidden = DRAW.normal(size=count)
    return {
        "age": np.where(i % 9 == 4, np.nan, 40 + 10 * hidden),
        "job": [None if k % 11 == 5 else ["cook", "smith"][int(h > 0)] for k, h in enumerate(hidden)],
        "income": 100 * hidden,
        "constant": np.full(count, 3.0),
    }


def test_a_table_with_texts_and_holes(tmp_path: Path) -> None:
    table = people()
    with pytest.raises(DetectorError, match=r"'age' of X has 4 missing values, the first in row 4 .*`impute='median'`"):
        Detector(**QUICK).fit(table)
    detector = Detector(**QUICK, impute="mean").fit(table)
    assert [(c.name, c.categories) for c in detector.columns_] == [
        ("age", ()), ("job", ("cook", "smith", "(missing)")), ("income", ()), ("constant", ()),
    ]  # fmt: skip
    explained = detector.explain(table)
    assert {name: values.shape for name, values in explained.items()} == dict.fromkeys(table, (N,))
    assert set(detector.reconstruct(table)["job"]) <= {"cook", "smith", ""}
    odd = {name: list(values[:2]) for name, values in table.items()}
    odd["income"][1] = 1e5
    assert max(table, key=lambda name: detector.explain(odd)[name][1]) == "income"
    detector.save(tmp_path / "d.safetensors")
    for other in (Detector.load(tmp_path / "d.safetensors"), clone(detector).fit(table)):
        assert (other.score_samples(table) == detector.score_samples(table)).all()
    for wrong, match in (
        ({**table, "job": ["baker"] * N}, "'baker'"),
        ({"age": [1.0]}, "no column 'job'"),
        (np.zeros((3, 4, 2)), "fitted on a table"),
    ):
        with pytest.raises(DetectorError, match=match):
            detector.score_samples(wrong)
    with pytest.raises(DetectorError, match="`impute` is 'mode'"):
        Detector(**QUICK, impute="mode").fit(table)


def test_what_replaces_missing_numbers_is_of_rows_that_are_not_held_out() -> None:
    rows = np.stack([DRAW.normal(size=N), DRAW.normal(size=N)], axis=1)
    rows[7, 0] = np.nan
    detector = Detector(**QUICK, impute="mean").fit(rows)
    order = np.random.default_rng(int(np.random.RandomState(0).randint(2**31 - 1))).permutation(N)
    own = rows[order[len(detector.calibration_) :], 0]
    assert float(detector.columns_[0].filled or 0) == np.nanmean(own)
    assert detector.score_samples(rows).shape == (N,)
    with pytest.raises(DetectorError, match=r"row 7, column 0; .*`impute='median'`"):
        Detector(**QUICK).fit(rows)


def test_a_csv_with_texts_and_holes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = people()
    with open(tmp_path / "p.csv", "w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow([*table, "kind"])
        for i in range(N):
            cells = [values[i] for values in table.values()]
            writer.writerow(["" if c is None or c != c else c for c in cells] + ["good" if i < N - 2 else "bad"])
    data, run = tmp_path / "p.csv", tmp_path / "run"
    assert interalia("detect", "fit", data, "--label-column", "kind", "--out", run, *FAST) == 2
    assert "--impute median" in capsys.readouterr().err
    assert interalia("detect", "fit", data, "--label-column", "kind", "--impute", "median", "--out", run, *FAST) == 0
    assert "2 of these examples are anomalies" in capsys.readouterr().out
    assert interalia("detect", "score", run, data, "--label-column", "kind", "--out", tmp_path / "s.csv") == 0
    with open(tmp_path / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "score", "p", "flagged", "label", "why"]
    assert all(part.rsplit(" ", 1)[0] in table for part in rows[0]["why"].split(", "))
    assert "why" in (run / "report.html").read_text()
    assert interalia("detect", "score", run, data, "--impute", "mean") == 2


def tiffs(folder: Path) -> Path:
    folder.mkdir()
    for i in range(N):
        Image.fromarray(DRAW.integers(0, 4096, (8, 8)).astype(np.uint16)).save(folder / f"{i:02d}.tif")
    return folder


@pytest.mark.parametrize("kind", ["signal", "volume", "channels", "units", "tiff", "bytes", "bool"])
def test_files_of_any_array(kind: str, tmp_path: Path) -> None:
    """Fitted and scored from the command line: the scores of the file are those of the same numbers in Python."""
    arrays = {
        "signal": DRAW.normal(size=(N, 2, 16)),
        "volume": DRAW.normal(size=(N, 1, 4, 4, 4)).astype(np.float16),
        "channels": DRAW.normal(size=(N, 8, 9, 9)).astype(">f4"),
        "units": np.asfortranarray(DRAW.integers(-1000, 2000, (N, 8, 8)).astype(np.int16)),
        "bytes": DRAW.integers(0, 256, (N, 6, 8)).astype(np.uint8),
        "bool": DRAW.random((N, 8, 8)) > 0.5,
    }
    path = tiffs(tmp_path / "t") if kind == "tiff" else tmp_path / "x.npy"
    if kind != "tiff":
        np.save(path, arrays[kind])
    layout = ("--layout", "signal") if kind == "signal" else ()
    run, out = tmp_path / "run", tmp_path / "s.npz"
    assert interalia("detect", "fit", path, "--out", run, *layout, *FAST) == 0
    assert interalia("detect", "score", run, path, "--out", out) == 0
    assert len(np.load(out)["score"]) == N
    assert (run / "figures" / "anomalies.png").exists()
    if kind not in ("tiff", "bytes"):
        detector = Detector.load(run / "detector.safetensors")
        assert (-detector.score_samples(arrays[kind]) == np.load(out)["score"]).all()
    else:
        detector = Detector.load(run / "detector.safetensors")
        assert detector.center_.max() > 1000 if kind == "tiff" else detector.center_.max() < 1


def test_a_trained_run_names_the_columns_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i % 7},{['cook', 'smith', 'nurse'][i % 3]},{0.5 * i}" for i in range(80)]
    (tmp_path / "p.csv").write_text("\n".join(["age,job,pay", *rows, "3,cook,9000"]) + "\n")
    small = ("--steps", 2, "--networks", "mlp(width=8)", "--latent-dim", 2, "--batch-size", 16)
    run = tmp_path / "run"
    assert interalia("train", "ali-digits", "--data", tmp_path / "p.csv", *small, "--no-report", "--out", run) == 0
    assert interalia("detect", "score", run, tmp_path / "p.csv", "--out", tmp_path / "s.csv") == 0
    with open(tmp_path / "s.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert found[-1]["why"].startswith("pay ")
    assert {part.split()[0] for row in found for part in row["why"].split(", ")} <= {"age", "job", "pay"}
    assert interalia("detect", "fit", tmp_path / "p.csv", "--layout", "signal", "--out", tmp_path / "d") == 2
    assert "leave --layout out" in capsys.readouterr().err
