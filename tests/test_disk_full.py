"""A full disk at every file that is written; folders that vanish or cannot be written: one sentence, what was saved stays."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program import interalia

from interalia.errors import UserError
from interalia.games import Outcome
from interalia.runs import Run, loading, recipes
from interalia.runs.folder import Folder
from interalia.training import checkpoint, engine
from interalia.training.callbacks import Callback, default_callbacks
from interalia.training.state import Training

SMALL = ["--networks", "auto(width=4, unary=True)", "--batch-size", 16, "--log-every", 1, "--checkpoint-every", 2]


def tiny(**fields: Any) -> Run:
    small = {"networks": "auto(width=4, unary=True)", "evaluate_every": 0, "log_every": 1, "batch_size": 16, "steps": 6}
    return recipes.ali_digits(**{**small, "schedule": "constant", "checkpoint_every": 2, **fields})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "run"
    words = ["--steps", 4, "--evaluate-every", 2, "--schedule", "constant"]
    assert interalia("train", "ali-digits", *SMALL, *words, "--out", folder) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


class Disk:
    """A disk that is full when the file of one name is synced to it; it lists the names of all files that are written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full, self.written, self.opened = "", [], dict[int, str]()  # type: ignore[var-annotated]
        make, sync = tempfile.mkstemp, os.fsync

        def mkstemp(*arguments: Any, **named: Any) -> tuple[int, str]:
            handle, path = make(*arguments, **named)
            self.opened[handle] = str(named.get("prefix", ""))[1:-1]
            return handle, path

        def fsync(handle: int) -> None:
            name = self.opened.pop(handle, "")
            self.written += [name] if name else []
            if name and name == self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)

        monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
        monkeypatch.setattr(os, "fsync", fsync)


def commands(run: Path, out: Path) -> dict[str, list[object]]:
    np.save(out / "x.npy", np.zeros((3, 8, 8), np.uint8))
    return {
        "train": ["train", "--resume", run, "--steps", 6],
        "evaluate": ["evaluate", run, "--count", 50],
        "report": ["report", run],
        **{f"generate.{form}": ["generate", run, "--out", out / f"g.{form}"] for form in ("png", "jpg", "npz", "json")},
        "separate": ["generate", run, "--count", 2, "--out", out / "many"],
        "encode": ["encode", run, out / "x.npy", "--out", out / "z.npz"],
    }


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl"}


LONG = ("train", "report")  # many files, with figures
SHORT = ("evaluate", "generate.png", "generate.jpg", "generate.npz", "generate.json", "separate", "encode")


@pytest.mark.parametrize("name", [*SHORT, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)])
def test_a_full_disk_at_every_file_of_a_command(
    name: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = Disk(monkeypatch)
    words = commands(run, tmp_path)[name]
    spare = tmp_path / "spare"
    shutil.copytree(run, spare)
    assert interalia(*words) == 0
    files = list(dict.fromkeys(disk.written))
    assert files
    for file in files:
        shutil.rmtree(run)
        shutil.copytree(spare, run)
        before = contents(run)
        disk.full = file
        code = interalia(*words)
        error = capsys.readouterr().err
        optional = file.endswith(".png") and name in ("train", "evaluate", "report")  # figures: the rest goes on
        assert code == 2 or optional, (file, code)
        assert f"{file} could not be written (No space left on device); free some space" in error, file
        assert "Traceback" not in error
        kept = contents(run)
        if name == "train":  # the two checkpoints move on one place at a time, and one of them is always whole
            assert checkpoint.newest(Folder(run))[0] is not None
        else:
            assert {path: kept.get(path) for path in before if path.name == file} == {
                path: value for path, value in before.items() if path.name == file
            }
        assert not [path for path in run.rglob(".*") if re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name)]
        disk.full = ""
        assert interalia(*words) == 0, file
        capsys.readouterr()


# ---- folders


class Vanishing(Callback):
    """Removes a file or folder of the run after the third step."""

    def __init__(self, name: str) -> None:
        self.name = name

    def step(self, training: Training, outcome: Outcome) -> None:
        if training.step == 3:
            path = training.home.path / self.name
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("name", ["checkpoints", "log.jsonl", "run.json", "weights.safetensors", "checkpoints/last.pt"])
def test_what_vanishes_during_a_training_is_written_again(name: str, tmp_path: Path) -> None:
    whole = engine.train(tiny(), tmp_path / "whole")
    training = engine.open_run(tiny(), tmp_path / "run")
    engine.finish(training, [Vanishing(name), *default_callbacks(training, progress=False)])
    again = engine.train(tiny(steps=8), tmp_path / "run", resume=True)
    longer = engine.train(tiny(steps=8), tmp_path / "whole", resume=True)
    assert again.step == longer.step == whole.step + 2
    found = again.game.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in longer.game.state_dict().items())


def test_what_a_training_left_that_was_killed_when_it_began_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (".run.json.abcd_123", ".mine.document"):
        (folder / name).write_text("{")
    engine.train(tiny(steps=1), folder)
    assert not (folder / ".run.json.abcd_123").exists()
    assert (folder / ".mine.document").exists()  # it was not a run's folder before


@pytest.mark.parametrize("left", ["generator.safetensors", "split/folds.csv"])
def test_a_training_that_was_killed_before_its_description_was_written_can_begin_again(
    left: str, tmp_path: Path
) -> None:
    """What it had copied is removed, but only where a process of this program had claimed the folder."""
    folder = tmp_path / "run"
    (folder / left).parent.mkdir(parents=True)
    (folder / left).write_text("copied")
    (folder / ".generator.safetensors.abcd_123").write_text("half")
    with pytest.raises(UserError, match="run exists already"):  # of the user
        engine.train(tiny(steps=1), folder)
    (folder / ".lock").write_text("process 1 on there")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="run exists already"):
        engine.train(tiny(steps=1), folder)
    (folder / "notes.txt").unlink()
    for read in (lambda: engine.train(tiny(steps=1), folder, resume=True), lambda: loading.load(folder)):
        with pytest.raises(UserError, match=r"has not begun or was killed before; begin it again with `out='.*run'`"):
            read()
    engine.train(tiny(steps=1), folder)
    assert (folder / "run.json").exists()
    assert not (folder / left).exists()
    assert not (folder / ".generator.safetensors.abcd_123").exists()


def test_a_folder_that_vanishes_ends_a_training_with_a_sentence(tmp_path: Path) -> None:
    training = engine.open_run(tiny(), tmp_path / "run")
    with pytest.raises(UserError, match=r"run/log\.jsonl could not be written \(No such file"):
        engine.finish(training, [Vanishing("."), *default_callbacks(training, progress=False)])


def is_root() -> bool:
    return os.name == "posix" and os.geteuid() == 0


@pytest.mark.long
@pytest.mark.parametrize("word", ["train", "evaluate", "generate", "new"])
def test_a_folder_that_cannot_be_written_is_one_sentence(
    word: str, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As root, who may write everywhere, on a file system that is mounted for reading only."""
    words = {
        "train": ["train", "--resume", run, "--steps", 6],
        "evaluate": ["evaluate", run, "--count", 50],
        "generate": ["generate", run],
        "new": ["train", "ali-digits", "--steps", 1, "--out", run / "new"],
    }[word]
    if not is_root():
        for path in [run, *run.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        code, error = interalia(*words), capfd.readouterr().err
        for path in [run, *run.rglob("*")]:
            path.chmod(0o755)
    else:
        mount = f"mount --bind '{run}' '{run}' && mount -o remount,ro,bind '{run}'"
        call = f"from program import interalia; raise SystemExit(interalia(*{[str(w) for w in words]!r}))"
        if (
            shutil.which("unshare") is None
            or subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode
        ):
            pytest.skip("root can write everywhere, and no file system can be mounted here")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        script = f'{mount} && exec "$0" -c "$1"'
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, sys.executable, call],
            capture_output=True,
            text=True,
            env=environment,
        )
        code, error = done.returncode, done.stderr
    assert code == 2, error
    assert error.splitlines()[-1].startswith("interalia: ")
    assert re.search(r"(Permission denied|Read-only file system)", error)
    assert "change its permissions" in error
    assert "Traceback" not in error


def test_a_second_interruption_inside_the_writing_of_a_checkpoint_leaves_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync: Callable[[int], None] = os.fsync
    calls = [0]

    def fsync(handle: int) -> None:
        calls[0] += 1
        if calls[0] > 10:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        sync(handle)

    training = engine.open_run(tiny(steps=50, checkpoint_every=1), tmp_path / "run")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        engine.finish(training, default_callbacks(training, progress=False))
    monkeypatch.undo()
    assert training.step < 20
    found, damaged = checkpoint.newest(training.home)
    assert found is not None
    assert not damaged
    assert found[1]["step"] >= training.step - 1
    assert not [path for path in (tmp_path / "run").rglob(".*") if re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name)]
    assert engine.train(tiny(steps=training.step + 1, checkpoint_every=1), tmp_path / "run", resume=True).step > 0
