"""Detectors of data and files that are not as expected: every error is a sentence that states the right remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program import interalia
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from interalia import UserError
from interalia.detect import Detector, DetectorError
from interalia.detect import detector as module

QUICK: dict[str, Any] = {"models": 2, "steps": 5, "width": 8, "latent": 2}
ROWS = np.random.default_rng(0).normal(size=(60, 2))


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return Detector(impute="median", **QUICK).fit(ROWS)


def test_a_missing_number_to_score_is_not_to_be_imputed(fitted: Detector) -> None:
    with pytest.raises(DetectorError, match=r"remove these rows, or fill them in\.$"):
        fitted.predict([[np.nan, 1.0]])
    with pytest.raises(DetectorError, match="or fill them in, or give `impute='median'`"):
        Detector(**QUICK).fit([[np.nan, 1.0]] * 40)


def test_lists_with_missing_numbers_are_imputed_as_arrays_are() -> None:
    rows = ROWS.copy()
    rows[3, 1] = np.nan
    found = [Detector(impute="median", **QUICK).fit(given).score_samples(ROWS) for given in (rows, rows.tolist())]
    assert (found[0] == found[1]).all()


def test_numbers_of_numpy_as_arguments_are_saved(tmp_path: Path) -> None:
    given = {"models": np.int64(2), "contaminated": np.bool_(False), "false_alarms": np.float32(0.25)}
    detector = Detector(**{**QUICK, **given, "neighbours": np.int32(3), "random_state": np.int64(5)}).fit(ROWS)
    detector.save(tmp_path / "new" / "d.safetensors")
    loaded = Detector.load(tmp_path / "new" / "d.safetensors")
    assert (loaded.score_samples(ROWS) == detector.score_samples(ROWS)).all()
    assert loaded.random_state == 5


def test_a_file_that_cannot_be_written_stays_as_it_is(
    fitted: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.safetensors"
    path.write_bytes(b"before")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"could not be written \(No space left on device\); free some space"):
        fitted.save(path)
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["d.safetensors"]


def changed(path: Path, fitted: Detector, change: Any) -> Path:
    """The file of a detector after `change` of its description and arrays, as a stranger may write it."""
    fitted.save(path)
    with safe_open(path, "np") as file:
        about = json.loads(file.metadata()["interalia"])
    arrays = load_file(path)
    about.pop("digest")
    change(about, arrays)
    text = json.dumps({**about, "digest": module.digest_of(about, arrays)})
    save_file(arrays, path, metadata={"interalia": text})
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda about, arrays: about["fitted"].update(count_="x"),
        lambda about, arrays: about["fitted"].update(shape_=[-2]),
        lambda about, arrays: about["fitted"].update(units_={"residuals": [1.0]}),
        lambda about, arrays: about["fitted"]["units_"].pop("residuals"),
        lambda about, arrays: about["fitted"].pop("offset_"),
        lambda about, arrays: about["settings"].update(models="2"),
        lambda about, arrays: about["settings"].update(scores=["nothing"]),
        lambda about, arrays: arrays.update(center_=arrays["center_"][:1]),
        lambda about, arrays: arrays.update(calibration_=arrays["calibration_"].astype(np.int8)),
        lambda about, arrays: arrays.update({"1.known.z": arrays["1.known.z"][:, :1]}),
        lambda about, arrays: arrays.update(scale_=arrays["scale_"] * np.nan),
        lambda about, arrays: arrays.pop("0.known.spread"),
        lambda about, arrays: about.update(units={"columns": [{"name": 3}]}),
    ],
)
def test_a_file_of_a_stranger_is_one_sentence(change: Any, fitted: Detector, tmp_path: Path) -> None:
    path = changed(tmp_path / "d.safetensors", fitted, change)
    with pytest.raises(UserError) as error:
        Detector.load(path)
    assert str(error.value).endswith(".")


def test_a_file_of_an_earlier_version_divides_no_bytes(fitted: Detector, tmp_path: Path) -> None:
    path = changed(tmp_path / "d.safetensors", fitted, lambda about, arrays: about["fitted"].pop("byte_"))
    found = Detector.load(path)
    assert found.byte_ == 1.0
    assert (found.score_samples(ROWS) == fitted.score_samples(ROWS)).all()


@pytest.mark.parametrize("key", ["latent", "width"])
def test_no_networks_are_built_that_are_larger_than_the_weights_in_the_file(
    key: str, fitted: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed(tmp_path / "d.safetensors", fitted, lambda about, arrays: about["settings"].update({key: 10**6}))
    monkeypatch.setattr(module.committee, "new_game", lambda *sizes: pytest.fail("networks were built"))
    with pytest.raises(DetectorError, match="is damaged"):
        Detector.load(path)


def test_a_rate_that_is_no_number_is_named() -> None:
    with pytest.raises(DetectorError, match=r"`false_alarms` is '0\.1'; give a share between 0 and 1"):
        Detector(false_alarms="0.1", **QUICK).fit(ROWS)  # type: ignore[arg-type]


def test_what_a_model_cannot_infer_is_an_error_and_no_score(fitted: Detector) -> None:
    detector = Detector.from_game(fitted.games_[0], ROWS)
    weight = next(detector.games_[0].parameters())
    before = weight.detach().clone()
    weight.data.fill_(np.nan)
    try:
        with pytest.raises(UserError, match="returns NaN or infinity for an example"):
            detector.predict(ROWS[:1])
    finally:
        weight.data.copy_(before)


def test_an_array_is_no_table_for_a_detector_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["job,x", *[f"{'ab'[i % 2]},{i}" for i in range(40)]]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    small = ["--steps", 2, "--models", 1, "--width", 4, "--latent-dim", 2]
    assert interalia("detect", "fit", tmp_path / "t.csv", "--out", tmp_path / "d", *small) == 0
    assert interalia("detect", "score", tmp_path / "d", tmp_path / "x.npy") == 2
    assert "x.npy is no table, and the detector was fitted on one" in capsys.readouterr().err


def test_a_detector_of_images_of_bytes_is_one_from_the_command_line_and_from_python(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    images = (draw.integers(0, 256, (60, 6, 6)) * np.linspace(0.3, 1, 36).reshape(6, 6)).astype(np.uint8)
    np.save(tmp_path / "x.npy", images)
    small = ["--steps", 5, "--models", 2, "--width", 8, "--latent-dim", 2]
    assert interalia("detect", "fit", tmp_path / "x.npy", "--out", tmp_path / "d", *small) == 0
    assert interalia("detect", "score", tmp_path / "d", tmp_path / "x.npy", "--out", tmp_path / "s.npz") == 0
    loaded = Detector.load(tmp_path / "d" / "detector.safetensors")
    expected = Detector(**QUICK).fit(images).score_samples(images)
    assert (loaded.score_samples(images) == expected).all()
    assert (loaded.score_samples(images / 255.0) == expected).all()
    assert (loaded.score_samples(torch.from_numpy(images)) == expected).all()
    with np.load(tmp_path / "s.npz") as file:
        assert (file["score"] == -expected).all()
    assert np.allclose(loaded.reconstruct(images), 255 * loaded.reconstruct(images / 255))
