"""Fingerprints: a training does not resume with other data, and evaluations on other data say so."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import interalia

from interalia import data, reports
from interalia.data import fingerprints
from interalia.data.fingerprints import fingerprint
from interalia.data.splits import drawn_rows
from interalia.errors import DataWarning, UserError
from interalia.runs import Run, loading
from interalia.runs.folder import Folder
from interalia.training import engine

SMALL: dict[str, Any] = {
    "networks": "auto(width=2)",
    "latent_dim": 4,
    "batch_size": 8,
    "evaluate_every": 0,
    "log_every": 1,
}


def pixels(rows: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (rows, 8, 8), dtype=np.uint8)


def pictures(folder: Path, rows: int = 30) -> Path:
    folder.mkdir()
    for i, image in enumerate(pixels(rows)):
        Image.fromarray(image).save(folder / f"{i:03d}.bmp")  # all of one size
    return folder


def digest(path: Path, **settings: Any) -> str:
    found: str = fingerprint(data.load(path, **settings))["sha256"]
    return found


def overwrite(path: Path, rows: int) -> None:
    np.save(path, pixels(rows, seed=1))


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "more rows": lambda array, folder: overwrite(array, 80),
    "other rows": lambda array, folder: overwrite(array, 60),
    "one number": lambda array, folder: np.save(array, np.where(np.arange(60)[:, None, None] == 7, 9, np.load(array))),
    "another order": lambda array, folder: np.save(array, np.load(array)[::-1]),
    "an image more": lambda array, folder: shutil.copy(folder / "000.bmp", folder / "000a.bmp"),
    "an image less": lambda array, folder: (folder / "003.bmp").unlink(),
    "another name": lambda array, folder: (folder / "003.bmp").rename(folder / "zzz.bmp"),
    "another size": lambda array, folder: Image.fromarray(pixels(1)[0].repeat(2, 0)[:8]).save(
        folder / "004.bmp", dpi=(72, 72)
    ),
    "images exchanged": lambda array, folder: [
        (folder / "000.bmp").rename(folder / "x"),
        (folder / "001.bmp").rename(folder / "000.bmp"),
        (folder / "x").rename(folder / "001.bmp"),
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(change: str, tmp_path: Path) -> None:
    array, folder = tmp_path / "x.npy", pictures(tmp_path / "p")
    np.save(array, pixels(60))
    before = digest(array), digest(folder)
    CHANGES[change](array, folder)
    assert (digest(array), digest(folder)) != before


def test_what_is_no_change_is_none(tmp_path: Path) -> None:
    array, folder = tmp_path / "x.npy", pictures(tmp_path / "p")
    np.save(array, pixels(60))
    before = digest(array), digest(folder)
    os.utime(array, (10**9, 10**9))
    os.utime(folder / "000.bmp", (10**9, 10**9))
    (folder / "notes.txt").write_text("no image")
    assert (digest(array), digest(folder)) == before
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(array, tmp_path / "elsewhere" / "y.npy")
    np.savez(tmp_path / "z.npz", x=pixels(60))
    shutil.move(folder, tmp_path / "elsewhere" / "q")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for path in (tmp_path / "elsewhere" / "q").iterdir():
            archive.write(path, f"deep/down/{path.name}")
    for same in (tmp_path / "elsewhere" / "y.npy", tmp_path / "z.npz"):
        assert digest(same) == before[0]
    for same in (tmp_path / "elsewhere" / "q", tmp_path / "p.zip"):
        assert digest(same) == before[1]


def test_labels_and_the_second_domain_count(tmp_path: Path) -> None:
    digits = data.load("digits")
    assert digits.train.y is not None
    train = dataclasses.replace(digits.train, y=digits.train.y[::-1].copy())
    found = {
        json.dumps(fingerprint(dataset))
        for dataset in (
            digits,
            dataclasses.replace(digits, train=train),
            dataclasses.replace(digits, other=digits),
            dataclasses.replace(digits, other=dataclasses.replace(digits, train=digits.test)),
            dataclasses.replace(digits, attributes={"train": np.ones((len(digits.train), 2), np.int8)}),
            dataclasses.replace(digits, train=digits.validation, validation=digits.train),
        )
    }
    assert len(found) == 6
    assert fingerprint(dataclasses.replace(digits, name="another", about="the same")) == fingerprint(digits)


def test_of_a_large_array_some_blocks_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    x = pixels(5000)
    whole = b"".join(fingerprints.blocks(x))
    assert len(whole) > x.nbytes
    monkeypatch.setattr(fingerprints, "WHOLE", x.nbytes - 1)
    some = b"".join(fingerprints.blocks(x))
    assert 1000 * 64 < len(some) < 1001 * 64  # the header and 1,000 rows
    rows = drawn_rows(5000)
    assert len(np.unique(rows)) == 1000
    for row in (0, int(rows[500]), 4999):  # both ends among them
        other = x.copy()
        other[row] ^= 1
        assert b"".join(fingerprints.blocks(other)) != some
    assert b"".join(fingerprints.blocks(np.roll(x, 1, axis=0))) != some
    assert b"".join(fingerprints.blocks(x[:-1])) != some


@pytest.mark.parametrize("kind", ["array", "folder"])
def test_a_run_of_other_data_does_not_go_on(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    if kind == "array":
        place = tmp_path / "x.npy"
        np.save(place, pixels(60))
        said = "48 / 6 / 6 examples to train, validate and test on then, 64 / 8 / 8 now"
        seen = 0
    else:
        place = pictures(tmp_path / "p")
        said = "24 / 3 / 3 examples to train, validate and test on then, 40 / 5 / 5 now"
        seen = 4
    run = Run(data=str(place), steps=2, **SMALL)
    engine.train(run, out)
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    former = place.rename(tmp_path / "former")
    if kind == "array":
        overwrite(place, 80)
    else:
        pictures(place, 50)
    capsys.readouterr()
    assert interalia("train", "--resume", out, "--steps", 4) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"interalia: the data are not those that the run in {out} was trained on ({said})")
    assert "restore the former data, or train a new run" in error
    assert error.count("\n") == 1
    with pytest.raises(UserError, match="the data are not those"):
        engine.train(run.replace(steps=4), out, resume=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept

    assert interalia("generate", out, "--count", 2) == 0  # which needs no data
    assert "data" not in capsys.readouterr().err
    assert interalia("reconstruct", out, "--count", 2) == 0
    # other images, of which none was trained on
    assert f"({said}): {seen} held-out examples that it was trained on are left out." in capsys.readouterr().err

    shutil.rmtree(place) if place.is_dir() else place.unlink()
    former.rename(place)
    assert interalia("train", "--resume", out, "--steps", 4, "--evaluate-every", 0) == 0
    assert "not those" not in capsys.readouterr().err


def test_an_evaluation_on_other_data_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", random.normal(size=(60, 3)).astype(np.float32))
    engine.train(Run(game="vae", data=str(tmp_path / "x.npy"), steps=2, **SMALL), tmp_path / "run")
    capsys.readouterr()
    trained = loading.load(tmp_path / "run")
    found = reports.evaluate(trained)
    assert "not those" not in found["data"]["about"] + capsys.readouterr().err
    np.save(tmp_path / "x.npy", random.normal(size=(60, 3)).astype(np.float32))
    trained = loading.load(tmp_path / "run")  # which keeps the data that it has once loaded
    found = reports.evaluate(trained)
    said = "was trained (as many examples, and other ones or in another order)"
    assert said in found["data"]["about"]
    assert said in capsys.readouterr().err
    dataset = reports.dataset_of(trained)
    assert said in dataset.about
    assert not capsys.readouterr().err  # the warning is printed once
    other = tmp_path / "again"
    shutil.copytree(tmp_path / "run", other)
    assert interalia("likelihood", other, "--estimator", "elbo", "--count", 3, "--samples", 2) == 0
    assert said in capsys.readouterr().err


def test_an_older_run_goes_on_and_has_a_fingerprint_from_then_on(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pixels(60))
    run = Run(data=str(tmp_path / "x.npy"), steps=1, **SMALL)
    engine.train(run, tmp_path / "run")
    path = tmp_path / "run/run.json"
    about = json.loads(path.read_text())
    assert about.pop("data_fingerprint") == fingerprint(data.load(tmp_path / "x.npy"))
    for older in ({}, {"data_fingerprint": {"version": 0, "sha256": "of another rule"}}, {"data_fingerprint": 5}):
        path.write_text(json.dumps({**about, **older}))
        overwrite(tmp_path / "x.npy", 80)
        engine.train(run, tmp_path / "run", resume=True)
        assert Folder(tmp_path / "run").fingerprint() == fingerprint(data.load(tmp_path / "x.npy"))
    overwrite(tmp_path / "x.npy", 90)
    with pytest.raises(UserError, match="64 / 8 / 8 examples"):
        engine.train(run, tmp_path / "run", resume=True)


def test_data_from_python_are_recognized_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits = data.load("digits")
    other = dataclasses.replace(digits, train=digits.test, test=digits.train)
    engine.train(Run(steps=1, **SMALL), tmp_path / "run", dataset=digits)
    engine.train(Run(steps=2, **SMALL), tmp_path / "run", resume=True, dataset=data.load("digits"))
    with pytest.raises(UserError, match="the data are not those"):
        engine.train(Run(steps=3, **SMALL), tmp_path / "run", resume=True, dataset=other)
    with pytest.raises(UserError, match="the run was trained on every test example"):
        reports.dataset_of(loading.load(tmp_path / "run", dataset=other))
    half = data.Split(np.concatenate([digits.train.x[:5], digits.test.x[:7]]))
    trained = loading.load(tmp_path / "run", dataset=dataclasses.replace(digits, test=half))
    capsys.readouterr()
    found = reports.dataset_of(trained)
    assert np.array_equal(found.test.x, digits.test.x[:7])
    assert "5 held-out examples that it was trained on are left out" in found.about
    assert found.about.endswith(capsys.readouterr().err.strip())


def test_generated_points_are_identified_by_their_number() -> None:
    one, two = (fingerprint(data.load("five", seed=seed)) for seed in (0, 1))
    assert one == two


def test_a_run_is_told_where_its_data_are_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, out = pictures(tmp_path / "p"), tmp_path / "run"
    engine.train(Run(data=str(place), steps=1, **SMALL), out)
    with zipfile.ZipFile(tmp_path / "moved.zip", "w") as archive:
        for path in sorted(place.iterdir()):
            archive.write(path, f"p/{path.name}")
    shutil.rmtree(place)
    capsys.readouterr()
    assert interalia("reconstruct", out, "--count", 2) == 2
    assert f"there is no file or folder {place} any more; give the place where it is now by --data." in (
        capsys.readouterr().err
    )
    assert interalia("train", "--resume", out, "--steps", 2) == 2
    assert "by --data." in capsys.readouterr().err
    moved = tmp_path / "moved.zip"
    assert interalia("reconstruct", out, "--count", 2, "--data", moved) == 0
    assert "changed" not in capsys.readouterr().err
    assert len(reports.dataset_of(loading.load(out, data=moved)).test) == 3
    with pytest.raises(UserError, match="was trained on one data set, and not on a second one; leave `data_b` out"):
        loading.load(out, data_b=moved)
    with pytest.warns(DataWarning, match="give the place where it is now by `data`. The figures stay as they are."):
        assert interalia("report", out) == 0
    assert interalia("detect", "score", out, "--data", moved) == 2
    assert "have 3 validation examples, which set the threshold, and at least 6 are" in capsys.readouterr().err
    other = pictures(tmp_path / "q", 40)
    assert interalia("train", "--resume", out, "--steps", 2, "--data", other) == 2
    assert "the data are not those that the run" in capsys.readouterr().err
    assert interalia("train", "--resume", out, "--steps", 2, "--data", moved) == 0
    assert Folder(out).run().data == str(moved)
    assert interalia("reconstruct", out, "--count", 2) == 0  # it is known from then on
    with pytest.raises(UserError, match="`data` is 'mnist'"):
        engine.train(Run(data="mnist", steps=3, **SMALL), out, resume=True)


@pytest.mark.parametrize("change", ["sorted", "a class renamed", "rows added"])
def test_what_was_trained_on_is_left_out_of_evaluations(change: str, tmp_path: Path) -> None:
    place, out = tmp_path / "x.npy", tmp_path / "run"
    if change == "a class renamed":
        place = tmp_path / "p"
        for name in "ab":
            place.mkdir(exist_ok=True)
            pictures(place / name)
            for path in (place / name).iterdir():
                path.write_bytes(path.read_bytes() + name.encode())  # files differ, images do not matter
        for i, path in enumerate(sorted(place.rglob("*.bmp"))):
            Image.fromarray(pixels(1, seed=i)[0]).save(path)
    else:
        np.save(place, pixels(300))
    trained_on = set(map(bytes, data.load(place).train.x))
    engine.train(Run(data=str(place), steps=1, **SMALL), out)
    if change == "a class renamed":
        (place / "a").rename(place / "c")
    elif change == "sorted":
        np.save(place, np.load(place)[::-1])
    else:
        np.save(place, np.concatenate([np.load(place), pixels(30, seed=2)]))
    assert trained_on & set(map(bytes, data.load(place).test.x))
    found = reports.dataset_of(loading.load(out))
    for split in (found.validation, found.test):
        assert len(split)
        assert not trained_on & set(map(bytes, split.x))
    with pytest.raises(UserError, match="the data are not those"):
        engine.train(Run(data=str(place), steps=2, **SMALL), out, resume=True)


def test_a_run_keeps_its_file_of_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", pixels(40))
    table, out = tmp_path / "folds.csv", tmp_path / "run"
    table.write_text("row,fold\n" + "".join(f"{i},{i % 4}\n" for i in range(40)))
    run = Run(data=str(tmp_path / "x.npy"), split=str(table), fold=1, steps=1, **SMALL)
    engine.train(run, out)
    test = reports.dataset_of(loading.load(out)).test.x
    assert (test == np.load(tmp_path / "x.npy")[1::4, None]).all()
    table.write_text("row,fold\n" + "".join(f"{i},{(i + 1) % 4}\n" for i in range(40)))
    with pytest.warns(DataWarning, match="folds.csv has changed since the training began; the run keeps its splits"):
        engine.train(run.replace(steps=2), out, resume=True)
    table.unlink()
    trained = engine.train(run.replace(steps=3), out, resume=True)
    assert (trained.dataset.test.x == test).all()
    assert (reports.dataset_of(loading.load(out)).test.x == test).all()
    with pytest.raises(UserError, match="`fold` is 2"):
        engine.train(run.replace(steps=4, fold=2), out, resume=True)
