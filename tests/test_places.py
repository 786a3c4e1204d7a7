"""A place that cannot be written is refused before the work whose result it is to have."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from program import interalia

from interalia import tasks
from interalia.detect import Detector
from interalia.disk import check_writable
from interalia.errors import UserError
from interalia.reports import measuring
from interalia.runs.folder import Folder


def test_a_place_is_checked_and_nothing_is_left_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder" / "x.csv")
    check_writable(tmp_path / "x.csv")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    for wrong in (tmp_path, tmp_path / "file" / "x.csv", tmp_path / "file" / "more" / "x.csv"):
        with pytest.raises(UserError, match="could not be written"):
            check_writable(wrong)


def test_detect_fit_refuses_its_folder_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((40, 3)))
    (tmp_path / "file").touch()
    monkeypatch.setattr(Detector, "fit", lambda *_: pytest.fail("it was trained first"))
    assert interalia("detect", "fit", tmp_path / "x.npy", "--out", tmp_path / "file" / "run") == 2
    assert "could not be written" in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places") / "run"
    interalia("train", "--steps", 1, "--evaluate-every", 0, "--no-report", "--out", folder)
    return folder


@pytest.mark.parametrize("out", ["file/x.png", "file/x.jpg", "file/x.npz", "file/more", "folder.png"])
def test_tasks_refuse_a_place_before_the_work(
    out: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    monkeypatch.setattr(tasks, "generate", lambda *_, **__: pytest.fail("it was computed first"))
    assert interalia("generate", run, "--count", 1, "--out", tmp_path / out) == 2
    assert "could not be written" in capsys.readouterr().err


def test_a_table_of_a_task_is_refused_before_the_work_and_may_have_a_suffix_in_capitals(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("reconstruct", run, "--count", 2, "--out", tmp_path / "x.npz", "--csv")
    assert interalia(*out, tmp_path / "x.CSV") == 0
    assert (tmp_path / "x.csv").is_file()
    monkeypatch.setattr(tasks, "reconstruct", lambda *_, **__: pytest.fail("it was computed first"))
    (tmp_path / "file").touch()
    for wrong, message in (("x.txt", "ends in .csv"), ("file/x.csv", "could not be written")):
        assert interalia(*out, tmp_path / wrong) == 2
        assert message in capsys.readouterr().err


def test_scores_are_refused_before_the_examples_are_scored(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(Detector, "score_samples", lambda *_: pytest.fail("they were scored first"))
    for wrong, message in (("file/x.csv", "could not be written"), ("x.txt", "ends in .csv")):
        assert interalia("detect", "score", run, "--out", tmp_path / wrong) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("seed", [-1, 2**31])
@pytest.mark.parametrize("words", ["evaluate", "generate", "likelihood", "detect score", "detect fit"])
def test_seeds_have_one_range_in_all_commands(
    words: str, seed: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interalia(*words.split(), run, "--seed", seed) == 2
    assert f"--seed is {seed}, out of its range" in capsys.readouterr().err


def test_metrics_and_likelihoods_are_not_computed_if_they_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results.json").mkdir()
    (tmp_path / "likelihood.json").mkdir()
    monkeypatch.setattr(measuring, "dataset_of", lambda *_: pytest.fail("the data were loaded first"))
    for work in (measuring.evaluate, measuring.likelihood):
        with pytest.raises(UserError, match=r"json could not be written"):
            work(SimpleNamespace(folder=Folder(tmp_path), game=None))  # type: ignore[arg-type]


def test_a_folder_with_the_name_of_a_picture_without_its_suffix_is_not_in_the_way(run: Path) -> None:
    """It may be the folder of single pictures that an earlier command has written."""
    place = run / "figures" / "generated"
    place.mkdir(parents=True)
    assert interalia("generate", run, "--count", 2) == 0
    assert place.with_suffix(".png").is_file()
