"""Nothing is printed by a training in Python with verbose=False, long operations within it included."""

from __future__ import annotations

import pytest

from interalia.data.progress import hidden_progress, progress
from interalia.runs.recipes import ali_digits
from interalia.training import engine

TINY = ali_digits(networks="mlp(width=2)", steps=1, evaluate_every=0)


def work() -> None:
    """A long operation, which prints its progress at once."""
    with progress("counting", 3, first=0.0) as advance:
        advance(1)


def test_progress_is_hidden_within_its_context_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with hidden_progress():
        with hidden_progress(False):
            work()
        work()
    assert capsys.readouterr().err == ""
    work()
    assert capsys.readouterr().err.startswith("counting: 33%")


@pytest.mark.parametrize("verbose", [False, True])
def test_a_quiet_training_hides_it(
    verbose: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = engine.finish

    def finish(*args: object) -> object:
        work()
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "finish", finish)
    engine.train(TINY, verbose=verbose)
    said = capsys.readouterr()
    assert ("counting" in said.err) == verbose
    assert verbose or said.out + said.err == ""
