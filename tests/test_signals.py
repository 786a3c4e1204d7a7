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
