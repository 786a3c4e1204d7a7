"""One process trains in a folder: the first has it, the second is refused, and whatever ends a process releases it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from program import interalia

from interalia.errors import UserError
from interalia.runs import Run, claims, recipes
from interalia.runs.folder import Folder
from interalia.training import engine
from interalia.training.state import Training

fcntl = pytest.importorskip("fcntl")  # Windows has no such locks

SMALL = ("--networks", "auto(width=4, unary=True)", "--evaluate-every", "0", "--log-every", "1", "--batch-size", "16")


def tiny(**fields: Any) -> Run:
    small = {"networks": "auto(width=4, unary=True)", "evaluate_every": 0, "log_every": 1, "batch_size": 16, "steps": 2}
    return recipes.ali_digits(**{**small, **fields})


@contextmanager
def another_process(call: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has made a claim, and keeps it until it is killed."""
    code = f"import sys; from pathlib import Path; from interalia.runs import claims; held = claims.{call}; " + (
        "print(held.path, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("claims") / "run"
    engine.train(tiny(), folder, callbacks=None)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_a_training_leaves_no_lock_behind(run: Path) -> None:
    assert not list(run.rglob(".*"))
    engine.train(tiny(steps=3), run, resume=True)
    assert not list(run.rglob(".*"))


def test_a_run_is_not_resumed_while_another_process_trains_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("interalia.reports.make", lambda trained: "none")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with another_process(f"resume(Path({str(run)!r}))") as process:
        said = f"process {process.pid} on {socket.gethostname()} is training in {run}; wait until it ends"
        assert interalia("train", "--resume", run, "--steps", 4) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"interalia: {said}")
        assert error.count("\n") == 1
        with pytest.raises(UserError, match=r"process \d+ on .* is training in "):
            engine.train(tiny(steps=4), run, resume=True)
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"} == before
        assert interalia("generate", run, "--count", 2) == 0  # looking is free
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (run / ".lock").exists()  # a killed process leaves the file, which nobody holds
        assert interalia("train", "--resume", run, "--steps", 4) == 0
    assert not (run / ".lock").exists()
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_a_copy_of_a_folder_that_is_trained_in_is_free(run: Path, tmp_path: Path) -> None:
    with another_process(f"resume(Path({str(run)!r}))"):
        shutil.copytree(run, tmp_path / "copy")
    engine.train(tiny(steps=3), tmp_path / "copy", resume=True)


def test_within_one_process_too(run: Path) -> None:
    training = engine.open_run(tiny(steps=3), run, resume=True)
    with pytest.raises(UserError, match=rf"process {os.getpid()} on .* is training in "):
        engine.open_run(tiny(steps=3), run, resume=True)
    engine.finish(training, [])
    again = engine.open_run(tiny(steps=3), run, resume=True)
    with pytest.raises(ZeroDivisionError):
        engine.finish(again, [Failing()])  # type: ignore[list-item]
    del again
    engine.open_run(tiny(steps=3), run, resume=True)  # whoever forgets a training lets it go
    engine.open_run(tiny(steps=3), run, resume=True)


class Failing:
    def start(self, training: Training) -> None:
        raise ZeroDivisionError

    def close(self) -> None: ...


def test_two_trainings_begun_at_once_have_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    together, found = threading.Barrier(12), []

    def claim() -> None:
        together.wait()
        found.append(claims.begin(Path("runs/ali-digits"), numbered=True))

    threads = [threading.Thread(target=claim) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {"ali-digits", *(f"ali-digits-{i}" for i in range(2, 13))}
    assert {held.path.name for held in found} == names == {path.name for path in Path("runs").iterdir()}


def test_the_command_line_takes_the_next_name_and_refuses_a_given_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interalia.reports.make", lambda trained: "none")
    # as another process leaves it between its first moment and its first file
    with another_process(f"begin(Path({str(tmp_path / 'runs/ali-digits')!r}), numbered=True)"):
        assert interalia("train", *SMALL, "--steps", 1) == 0
        assert sorted(path.parent.name for path in Path("runs").rglob("run.json")) == ["ali-digits-2"]
        assert interalia("train", *SMALL, "--steps", 1, "--out", "runs/ali-digits") == 2
        assert " is training in runs/ali-digits; wait" in capsys.readouterr().err
    assert interalia("train", *SMALL, "--steps", 1, "--out", "runs/ali-digits-2") == 2
    assert "exists already; continue it with interalia train --resume runs/ali-digits-2" in capsys.readouterr().err
    assert interalia("train", *SMALL, "--steps", 1, "--out", "runs/ali-digits") == 0  # the one that was killed


@pytest.mark.parametrize("name", ["", "..", "."])
def test_a_name_that_is_no_folders(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert interalia("train", f"--name={name}", "--steps", 0) == 2
    assert "--name is" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_training_that_cannot_begin_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert interalia("train", "--data", "no/such/folder", "--steps", 1) == 2
    assert interalia("train", "--data", "no/such/folder", "--steps", 1, "--out", "some/where") == 2
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()  # one that was there stays
    assert interalia("train", "--data", "no/such/folder", "--steps", 1, "--out", "mine") == 2
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_where_there_are_no_locks_a_run_is_trained_without(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        engine.train(tiny(steps=3), run, resume=True)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fcntl", None)
        engine.train(tiny(steps=4), run, resume=True)
    before = (run / "run.json").read_bytes()
    (run / ".lock").unlink(missing_ok=True)
    os.symlink(run / "run.json", run / ".lock")  # a link is not followed, for what it leads to would be overwritten
    held = claims.resume(run)
    assert held.handle is None
    held.release()
    assert (run / "run.json").read_bytes() == before


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)


@pytest.mark.usefixtures("without_locks")
def test_where_there_are_no_locks_a_file_that_is_renewed_is_the_claim(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.005)
    held = claims.resume(run)
    file = run / ".lock"
    with pytest.raises(UserError, match=rf"process {os.getpid()} on .* is training in "):
        claims.resume(run)
    os.utime(file, (0, 0))
    give_up = time.monotonic() + 20
    while time.time() - file.stat().st_mtime > 60 and time.monotonic() < give_up:
        time.sleep(0.005)
    assert time.time() - file.stat().st_mtime < 60  # it is renewed
    held.release()
    assert not file.exists()
    claims.resume(run).release()


@pytest.mark.usefixtures("without_locks")
def test_a_claim_is_released_where_no_open_file_can_be_removed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = claims.resume(run)
    handle, unlink = held.handle, os.unlink

    def refuse(path: Path) -> None:  # as Windows does
        with contextlib.suppress(OSError):
            os.fstat(handle)  # type: ignore[arg-type]
            raise PermissionError(13, "it is used by another process")
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse)
    held.release()
    assert not (run / ".lock").exists()
    claims.resume(run).release()


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize(
    ("text", "age", "lives"),
    [
        ("process 1 on elsewhere", 60, True),
        ("process 1 on elsewhere", 200, False),
        (f"process 1 on {socket.gethostname()}", 60, True),
        (f"process 2147483647 on {socket.gethostname()}", 60, False),
        (f"process 99999999999999999999 on {socket.gethostname()}", 60, False),
        ("", 60, True),
        ("", 200, False),
    ],
)
def test_a_claim_that_is_not_renewed_or_whose_process_has_ended_is_replaced(
    text: str, age: int, lives: bool, run: Path
) -> None:
    (run / ".lock").write_text(f"{text}\n")
    os.utime(run / ".lock", (time.time() - age,) * 2)
    if lives:
        with pytest.raises(UserError, match=rf"^{text or 'another process'} is training in "):
            claims.resume(run)
    else:
        held = claims.resume(run)
        assert f"process {os.getpid()} on" in (run / ".lock").read_text()
        held.release()


@pytest.mark.parametrize("text", ["process 1 on \x1b]0;title\x07", f"process 0 on {socket.gethostname()}"])
def test_what_others_wrote_into_a_lock_is_not_repeated(text: str, run: Path) -> None:
    (run / ".lock").write_text(f"{text}\n")
    with open(run / ".lock", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"^another process is training in "):
            claims.resume(run)
    assert Folder(run).run().steps == 2
