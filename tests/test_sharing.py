"""Rows of a table are computed by several processes, each once, and none is lost with its process."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from interalia import UserError, papers
from interalia.papers import experiment
from interalia.papers.experiment import Experiment, Job, Setting
from interalia.runs import claims
from interalia.runs.rows import FinishedRows, read_rows
from interalia.training import sharing

pytestmark = pytest.mark.skipif(sharing.START != "fork", reason="the rows of these tests are nested functions")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PAUSE", 0.02)


def sums(folder: Path, work: Callable[[str, int], None] = lambda row, seed: None, rows: str = "abc") -> Experiment:
    """An experiment of sums, whose rows note in a file of `folder` that they were computed."""

    def jobs(setting: Setting) -> Iterator[Job]:
        for seed in range(setting.seeds):
            for row in rows:

                def measure(row: str = row, seed: int = seed) -> dict[str, float]:
                    with open(folder / "computed", "a") as file:
                        file.write(f"{row}{seed} ")
                    work(row, seed)
                    return {"sum": seed + 10.0 * "abc".index(row)}

                yield Job(row, seed, measure, 7, after=["a"] if row == "c" else ())

    return Experiment(name="sums", about="Sums.", rows=jobs, columns={"sum": "sum ↑"}, seeds=2)


def computed(folder: Path) -> list[str]:
    return (folder / "computed").read_text().split()


def values(path: Path) -> list[tuple[str, int, dict[str, float]]]:
    rows = json.loads((path.parent / "table.json").read_text())["rows"]
    return [(row["row"], row["seed"], row["values"]) for row in rows]


def test_several_processes_make_the_table_that_one_makes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = experiment.reproduce(sums(tmp_path), out=tmp_path / "1")
    (tmp_path / "computed").unlink()
    capfd.readouterr()
    three = experiment.reproduce(sums(tmp_path), out=tmp_path / "3", jobs=3)
    assert values(one) == values(three)
    assert sorted(computed(tmp_path)) == ["a0", "a1", "b0", "b1", "c0", "c1"]
    assert computed(tmp_path).index("c0") > computed(tmp_path).index("a0")
    printed = capfd.readouterr().out
    assert printed.count("b, seed 1: sum 11 (0 s)") == 1
    assert printed.count("| b | ours | 2 |") == 1
    cut = re.compile(r"\| \d+ \|$|- Seeds.*", re.M)  # seconds, date
    assert cut.sub("", one.read_text()) == cut.sub("", three.read_text())
    assert not os.listdir(tmp_path / "3" / "sums" / "locks")


def test_a_training_is_the_same_in_a_process_of_its_own(tmp_path: Path) -> None:
    how = {"quick": True, "steps": 2, "filter": "beta1 0.8"}
    one, two = (papers.reproduce("mixture-25", out=tmp_path / str(n), jobs=n, **how) for n in (1, 2))
    assert values(one) == values(two)
    assert len(values(one)) == 2


def test_two_commands_at_once_share_the_rows_and_one_prints_the_table(tmp_path: Path) -> None:
    def work(row: str, seed: int) -> None:
        time.sleep(0.05)

    pids, files = [], [tmp_path / "first", tmp_path / "second"]
    for file in files:
        if not (pid := os.fork()):
            with open(file, "w") as out:
                experiment.reproduce(sums(tmp_path, work), out=tmp_path, console=Console(file=out))
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    assert sorted(computed(tmp_path)) == ["a0", "a1", "b0", "b1", "c0", "c1"]
    texts = [file.read_text() for file in files]
    assert all("sum" in text for text in texts), "one has computed all rows"
    assert sum("| c | ours | 2 |" in text for text in texts) == 1
    assert len(values(tmp_path / "sums" / "table.md")) == 6


def test_an_error_of_a_row_is_said_and_the_others_go_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def work(row: str, seed: int) -> None:
        if (row, seed) == ("a", 0):
            raise UserError("no such data.")
        if (row, seed) == ("b", 1):
            print("about to divide")
            raise ZeroDivisionError("division by zero")

    with pytest.raises(
        UserError, match="2 rows have an error, see above, for which 2 others wait; the others are finish"
    ):
        experiment.reproduce(sums(tmp_path, work), out=tmp_path, jobs=2)
    printed = capfd.readouterr().out
    assert "a, seed 0: no such data. (what it printed is in " in printed
    assert "b, seed 1: ZeroDivisionError: division by zero (" in printed
    assert "about to divide" not in printed
    assert "about to divide" in (tmp_path / "sums" / "output" / "b, seed 1, 7.txt").read_text()
    assert {(row, seed) for row, seed, _ in values(tmp_path / "sums" / "table.md")} == {("a", 1), ("b", 0)}
    with pytest.raises(ZeroDivisionError):
        experiment.reproduce(sums(tmp_path, work), out=tmp_path, filter="b")


def test_the_row_of_a_killed_process_is_tried_again_and_given_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(row: str, seed: int) -> None:
        if (row == "a" and computed(tmp_path).count("a0") == 1) or row == "b":
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(UserError, match="1 row has an error, see above; the others"):
        experiment.reproduce(sums(tmp_path, work), out=tmp_path, jobs=2, seeds=1)
    printed = capfd.readouterr().out
    assert printed.count("a, seed 0: its process has ended with signal 9; it is tried once more.") == 1
    assert printed.count("b, seed 0: its process has ended with signal 9.") == 1
    assert [row for row, _, _ in values(tmp_path / "sums" / "table.md")] == ["a", "c"]


def test_the_row_of_a_killed_command_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "computed").touch()

    def work(row: str, seed: int) -> None:
        if computed(tmp_path).count("a0") == 1:
            os.kill(os.getpid(), signal.SIGSTOP)

    if not (pid := os.fork()):
        experiment.reproduce(sums(tmp_path, work), out=tmp_path, seeds=1, console=Console(quiet=True))
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    killing = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
    killing.start()
    with open(tmp_path / "out", "w") as out:
        path = experiment.reproduce(sums(tmp_path), out=tmp_path, seeds=1, console=Console(file=out, width=500))
    killing.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert f"a, seed 0: it is being computed by process {pid} on " in (tmp_path / "out").read_text()
    assert computed(tmp_path) == ["a0", "b0", "a0", "c0"]
    assert [row for row, _, _ in values(path)] == ["a", "b", "c"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_and_keeps_finished_rows(number: signal.Signals, tmp_path: Path) -> None:
    def work(row: str, seed: int) -> None:
        (tmp_path / f"pid {row}").write_text(str(os.getpid()))
        if row != "a":
            if len(list(tmp_path.glob("pid *"))) == 3:
                os.kill(os.getppid(), number)
            time.sleep(60)

    with pytest.raises(KeyboardInterrupt, match="finished rows are kept"):
        experiment.reproduce(sums(tmp_path, work), out=tmp_path, jobs=2, seeds=1)
    assert [row["row"] for row in read_rows(tmp_path / "sums" / "rows.jsonl")] == ["a"]
    for row in "bc":
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid {row}").read_text()), 0)


def test_rows_that_are_being_computed_are_not_deleted(tmp_path: Path) -> None:
    experiment.reproduce(sums(tmp_path), out=tmp_path)
    finished = FinishedRows(tmp_path / "sums")
    with (
        finished.claim(("a", 0, 7)),
        pytest.raises(UserError, match=rf"process {os.getpid()} on .* is computing a row in .*leave `force` out"),
    ):
        experiment.reproduce(sums(tmp_path), out=tmp_path, force=True)
    experiment.reproduce(sums(tmp_path), out=tmp_path, force=True)
    assert len(computed(tmp_path)) == 12


def test_where_there_are_no_locks_rows_are_claimed_by_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fcntl", None)
    finished = FinishedRows(tmp_path)
    with finished.claim(("a", 0, 7)), pytest.raises(claims.TakenError) as caught:
        finished.claim(("a", 0, 7))
    assert caught.value.holder.startswith(f"process {os.getpid()} on ")
    finished.claim(("a", 0, 7)).release()
    assert values(experiment.reproduce(sums(tmp_path), out=tmp_path, jobs=2))


@pytest.mark.parametrize("name", papers.REGISTRY.built_in)
def test_every_experiment_can_be_sent_to_a_process(name: str) -> None:
    assert pickle.loads(pickle.dumps(papers.REGISTRY[name])).name == name


def test_a_negative_number_of_processes_is_refused() -> None:
    with pytest.raises(UserError, match="`jobs` is -1"):
        sharing.number_of(-1)
    assert sharing.number_of(0) >= 1
