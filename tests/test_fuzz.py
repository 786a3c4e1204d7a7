"""Files of every kind that the program reads, changed at random, and random combinations of all options: a sentence or
success, never a traceback, a hang, or 500 MB above the same commands on good files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "faults"))

import options
import strategies

import interalia

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the bounds on time and memory are those of POSIX")

MANY, FEW = 144, 5  # of each kind: 2,448 files in the long tests, 70 in the others
RUNS = 300


def tried(examples: int) -> Callable[[Any], Any]:
    """Hypothesis with so many examples, the same in each call, of which the first that fails is not made smaller."""
    suppressed = list(HealthCheck)
    same = settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=suppressed
    )
    return lambda function: settings(same, phases=[Phase.explicit, Phase.generate])(function)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> strategies.Base:
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interalia.reports.make", lambda trained: "(left out)")
        strategies.prepared(folder / "good")
    return strategies.Base(folder / "good", folder / "work")


def check(kind: str, examples: int, base: strategies.Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interalia.reports.make", lambda trained: "(left out)")
    most = strategies.peak() + strategies.MEMORY

    @tried(examples)
    @given(st.data())
    def attempts(data: st.DataObject) -> None:
        what, seen = strategies.attempt(strategies.FILES[kind](base, data.draw), most)
        assert what in ("done", "refused"), seen

    attempts()


@pytest.mark.parametrize("kind", [kind for kind in strategies.FILES if kind not in strategies.DRAWN])
def test_a_few_changed_files(kind: str, base: strategies.Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "ZEROS", 1)
    check(kind, FEW, base, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("kind", list(strategies.FILES))
def test_changed_files(kind: str, base: strategies.Base, monkeypatch: pytest.MonkeyPatch) -> None:
    check(kind, MANY, base, monkeypatch)


@pytest.mark.long
def test_combinations_of_options(tmp_path: Path) -> None:
    small = interalia.Run(game="gan", latent_dim=16, steps=2, batch_size=16, evaluate_every=0)
    interalia.train(small, tmp_path / "g", callbacks=[])

    @seed(0)
    @tried(RUNS)
    @given(options.combinations(str(tmp_path / "g")))
    def attempts(fields: dict[str, Any]) -> None:
        what, seen = options.attempt(fields)
        assert what != "short", (fields, seen)

    attempts()


# ---- the harness itself: what falls short is noticed


@pytest.mark.parametrize(
    ("work", "what", "seen"),
    [
        (lambda: None, "done", ""),
        (lambda: 1 / 0, "short", "ZeroDivisionError"),
        (lambda: strategies.UserError("x."), "done", ""),
        (["generate", "nowhere"], "refused", "code 2"),
        (["--version"], "done", ""),
    ],
)
def test_what_is_seen(work: Any, what: str, seen: str) -> None:
    found = strategies.attempt(work, None)
    assert found[0] == what
    assert seen in found[1]


def test_a_hang_and_memory_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "SECONDS", 0.05)

    def wait() -> None:
        time.sleep(5)

    def work() -> None:
        while True:
            pass

    assert strategies.attempt(lambda: time.sleep(0.2), None)[0] == "done"  # which uses no processor
    assert strategies.attempt(work, None)[1].startswith("no end after 0.05 s")
    monkeypatch.setattr(strategies, "WAITED", 0.05)
    assert strategies.attempt(wait, None)[0] == "short"
    assert strategies.attempt(lambda: None, strategies.peak() - 1)[0] == "short"
