"""Signals: a training saves, ends and exits with 130, even without its terminal."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from program import alone
from rich.console import Console

from interalia.errors import interrupt, interruptible
from interalia.games import Outcome
from interalia.runs import Run, loading, recipes
from interalia.training import engine
from interalia.training.callbacks import Bar, Callback, default_callbacks
from interalia.training.state import Training

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signals")


def tiny(**fields: Any) -> Run:
    small = {"networks": "auto(width=4, unary=True)", "evaluate_every": 0, "log_every": 1, "batch_size": 16, "steps": 9}
    return recipes.ali_digits(**{**small, **fields})


class Sending(Callback):
    """Sends these signals to its own process after the third step."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def step(self, training: Training, outcome: Outcome) -> None:
        if training.step == 3:
            for number in self.numbers:
                signal.raise_signal(number)


@pytest.mark.parametrize(
    "names", [["SIGHUP"], ["SIGUSR1"], ["SIGTERM"], ["SIGHUP", "SIGHUP"], ["SIGUSR1", "SIGTERM"], ["SIGTERM", "SIGHUP"]]
)
def test_the_loop_ends_between_two_steps(names: list[str]) -> None:
    numbers = [getattr(signal, name) for name in names]
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        training = engine.prepare(tiny())
        engine.loop(training, [Sending(*numbers)])
        assert training.step == 3
        assert [signal.getsignal(number) for number in numbers] == [signal.SIG_DFL] * len(numbers)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def test_an_interrupted_training_from_python_ends_a_sweep_and_holds_its_game(tmp_path: Path) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt, match="go on with `interalia") as stop:
        for seed in range(3):
            training = engine.open_run(tiny(seed=seed), tmp_path / str(seed))
            callbacks = [*default_callbacks(training, progress=False), *[Sending(signal.SIGTERM)] * seed]
            done.append(engine.finish(training, callbacks))
    assert [trained.step for trained in done] == [9]
    trained = stop.value.trained  # type: ignore[attr-defined]
    assert trained.step == 3
    kept = loading.load(tmp_path / "1").game.state_dict()
    assert all(torch.equal(kept[key], value) for key, value in trained.game.state_dict().items())


def test_a_second_interruption_is_taken_at_its_word() -> None:
    training = engine.prepare(tiny())
    with pytest.raises(KeyboardInterrupt):
        engine.loop(training, [Sending(signal.SIGINT, signal.SIGTERM)])


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1"])
def test_a_signal_that_is_ignored_or_handled_is_left_alone(name: str) -> None:
    number = getattr(signal, name)
    taken: list[int] = []
    before = signal.getsignal(number)
    for handler in (signal.SIG_IGN, lambda number, frame: taken.append(number)):
        signal.signal(number, handler)
        try:
            training = engine.prepare(tiny())
            engine.loop(training, [Sending(number)])
        finally:
            signal.signal(number, before)
        assert training.step == 9
    assert taken == [number]


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGHUP", "SIGTERM"])
def test_a_signal_before_the_first_step_ends_in_a_sentence_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, message, (ready, begun) = tmp_path / "run", tmp_path / "message", os.pipe()

    def slow(*given: Any, **more: Any) -> Training:
        assert any(out.iterdir())  # it is locked
        os.write(begun, b".")
        time.sleep(60)
        raise AssertionError("no signal came")

    monkeypatch.setattr(engine, "prepare", slow)
    child = os.fork()
    if child == 0:
        for number in ("SIGUSR1", "SIGHUP", "SIGTERM"):
            signal.signal(getattr(signal, number), signal.SIG_DFL)
        os.dup2(os.open(message, os.O_WRONLY | os.O_CREAT), 2)
        alone("train", "ali-digits", "--steps", 1, "--out", out)
    os.close(begun)
    assert os.read(ready, 1) == b"."
    os.close(ready)
    os.kill(child, getattr(signal, name))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert message.read_text() == f"interalia: {name} has ended the command; give it again.\n"
    assert not out.exists()


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM"])
def test_a_signal_in_a_training_from_python_is_handled_from_its_beginning_and_no_longer(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, handlers = getattr(signal, name), []
    before = signal.signal(number, signal.SIG_DFL)
    monkeypatch.setattr(engine, "open_run", lambda *given, **more: handlers.append(signal.getsignal(number)))
    monkeypatch.setattr(engine, "finish", lambda *given: None)
    try:
        engine.train(tiny(), verbose=False, callbacks=[])
        assert handlers == [interrupt]
        assert signal.getsignal(number) is signal.SIG_DFL
        with interruptible():  # the loop sets its own handler, and this one again
            training = engine.prepare(tiny())
            engine.loop(training, [Sending(number)])
            assert training.step == 3
            assert signal.getsignal(number) is interrupt
            with pytest.raises(KeyboardInterrupt, match=f"{name} has ended the command"):
                signal.raise_signal(number)
            if name != "SIGTERM":  # a queue may send it again
                signal.raise_signal(number)
    finally:
        signal.signal(number, before)


def test_a_closed_terminal_ends_a_training_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pty

    monkeypatch.setenv("TERM", "xterm")
    out = tmp_path / "run"
    seldom = ["--steps", 1_000_000, "--checkpoint-every", 1_000_000, "--evaluate-every", 0, "--log-every", 1]
    child, master = pty.fork()  # in the foreground of a terminal of its own, as a shell's programs are
    if child == 0:
        alone("train", "ali-digits", *seldom, "--networks", "auto(width=4, unary=True)", "--out", out)
    give_up, log = time.monotonic() + 120, out / "log.jsonl"
    while time.monotonic() < give_up and not (log.exists() and log.stat().st_size > 2000):
        if select.select([master], [], [], 0.02)[0]:
            os.read(master, 4096)  # or the terminal is full
    os.close(master)  # the kernel sends SIGHUP, and whatever is written from now on fails
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert (out / "checkpoints/last.pt").exists()
    assert not list(out.glob(".*"))


class Gone(io.StringIO):
    """A terminal that is closed, or a pipe whose reader has ended, after so many writes."""

    def __init__(self, kind: type[OSError], after: int) -> None:
        super().__init__()
        self.kind, self.left = kind, after

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise self.kind(5, "Input/output error")
        return len(text)

    def flush(self) -> None:
        self.write("")


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("kind", [OSError, BrokenPipeError])
@pytest.mark.parametrize("after", [0, 2, 5])
def test_a_training_continues_without_a_reader_of_its_output(
    terminal: bool, kind: type[OSError], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interalia.training.callbacks.progress.BAR_EVERY", 0.0)
    monkeypatch.setattr("interalia.training.callbacks.progress.LINE_EVERY", 0.0)
    bar = Bar()
    bar.console = type(bar.console)(file=Gone(kind, after), force_terminal=terminal)
    out = sys.stdout, sys.stderr
    training = engine.prepare(tiny())
    engine.loop(training, [bar])
    bar.print("a verdict")
    assert training.step == 9
    assert (sys.stdout, sys.stderr) == out
    assert isinstance(bar.console, Console)
