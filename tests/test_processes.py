"""Several processes train one run as one process does, and end together."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import time
from pathlib import Path

import laws_of_processes as laws
import pytest
import torch
from program import alone
from torch import nn

from interalia import load
from interalia.cli import training as cli_training
from interalia.contexts import processes
from interalia.errors import UserError
from interalia.runs.folder import Folder
from interalia.training import checkpoint
from interalia.training import processes as starting

REFUSED = {"semi-ali(vat=1.0,sleep=1.0)"}


def unequal(size: int, kind: str) -> dict[str, float | str]:
    """The cases that several processes train otherwise than one, with the difference or the refusal."""
    found = {}
    for case, value in laws.launch(size, kind):
        alike = value <= laws.WITHIN if isinstance(value, float) else value.startswith("one process: ")
        if not alike:
            found[" ".join(map(str, case.values()))] = value
    return found


def test_two_processes_train_as_one() -> None:
    found = unequal(2, "cover")
    assert set(found) == REFUSED
    assert all("start one process" in str(value) for value in found.values())


@pytest.mark.long
@pytest.mark.parametrize("size", [2, 4])
def test_two_and_four_processes_train_as_one_on_the_whole_grid(size: int) -> None:
    assert set(unequal(size, "grid")) == REFUSED


def test_one_process_costs_no_message() -> None:
    team, x = processes.ALONE, torch.arange(6.0).view(3, 2)
    assert all(same(x) is x for same in (team.rows, team.gather, team.broadcast, team.any, processes.total))
    assert team.average([x])[0] is x
    with team.step():
        assert processes.current() is processes.ALONE
        assert processes.deviation(x) == x.std()


def test_rows_of_a_batch_are_cut_in_order() -> None:
    index = torch.arange(8)
    assert [processes.Team(rank, 4).rows(index).tolist() for rank in range(4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]


class Own(nn.BatchNorm1d):
    """A batch norm that may be computed in another way."""


def test_batch_norms_are_joined_and_others_are_named() -> None:
    game = nn.Sequential(nn.BatchNorm1d(2), Own(2), nn.BatchNorm2d(3))
    keys = list(game.state_dict())
    assert processes.join_batch_norms(game) == [game[1]]
    assert list(game.state_dict()) == keys
    x = torch.randn(5, 2)
    assert torch.equal(game[0](x), nn.BatchNorm1d(2)(x))


@pytest.mark.parametrize(
    ("variables", "device", "text"),
    [
        ({"WORLD_SIZE": "2"}, "cpu", "RANK, LOCAL_RANK or MASTER_ADDR is not set; start the processes with torchrun"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "x"},
            "cuda:1",
            "each of 2 processes takes its own",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "99", "MASTER_ADDR": "x"},
            "cuda",
            "start as many processes as there are",
        ),
    ],
)
def test_processes_that_cannot_start(
    variables: dict[str, str], device: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=re.escape(text)):
        starting.start(device)


@pytest.mark.parametrize("size", ["1", "", "x"])
def test_one_process_is_no_team(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    assert starting.start("auto") is processes.ALONE


def free_port() -> int:
    """A port of this machine that no other program uses now."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


class Launched:
    """The command `train` of the digits in several processes, forked from this one, with what they print in files."""

    def __init__(self, folder: Path, size: int, *arguments: object) -> None:
        port, self.pids = free_port(), []
        self.out = [folder / f"{port}-{rank}.txt" for rank in range(size)]
        for rank in range(size):
            pid = os.fork()
            if not pid:
                file = os.open(self.out[rank], os.O_WRONLY | os.O_CREAT)
                for stream in (1, 2):
                    os.dup2(file, stream)
                names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
                os.environ |= {name: str(value) for name, value in names.items()} | {"MASTER_ADDR": "127.0.0.1"}
                alone("train", *arguments)
            self.pids.append(pid)

    def codes(self) -> list[int]:
        """The exit codes of all processes, after the last has ended; minus the number of the signal that ended one."""
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.pids]

    @property
    def text(self) -> str:
        """What all processes have printed."""
        return "".join(path.read_text() for path in self.out)


def digits(steps: int, **fields: object) -> list[object]:
    """Arguments of the command line that train the digits without evaluations and page."""
    given = {"steps": steps, "evaluate_every": 0, "checkpoint_every": 5, "precision": "fp32", **fields}
    return ["ali-digits", *(word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value))]


def wait_for_step(run: Path, step: int) -> None:
    """Waits until the log of a run has a line of this step or a later one."""
    while not (run / "log.jsonl").exists() or f'"step": {step},' not in (run / "log.jsonl").read_text():
        time.sleep(0.005)


def difference(a: Path, b: Path) -> float:
    """The greatest difference between the weights of two runs."""
    first, second = (load(path).game.state_dict() for path in (a, b))
    return max(float((value.double() - second[name].double()).abs().max()) for name, value in first.items())


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command train without its page, which process 0 alone would make at the end."""
    monkeypatch.setattr(cli_training, "show_report", lambda trained: None)
    torch.set_num_threads(1)


SGD = {"optimizer": "sgd(lr=0.1)"}  # Adam divides gradients that are 0, up to rounding, by their size


@pytest.mark.usefixtures("no_page")
def test_processes_write_one_run_survive_a_loss_and_are_resumed_by_another_number(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert Launched(tmp_path, 1, *digits(30, **SGD), "--out", one).codes() == [0]
    launched = Launched(tmp_path, 2, *digits(30, log_every=1, **SGD), "--out", two)
    wait_for_step(two, 11)
    os.kill(launched.pids[1], signal.SIGKILL)
    began = time.monotonic()
    assert launched.codes() == [2, -signal.SIGKILL]
    assert time.monotonic() - began < 30
    assert launched.text.count("interalia: ") == 1
    assert "one of the 2 processes is gone at step" in launched.text
    assert f"go on with interalia train --resume {two}" in launched.text
    resumed = Launched(tmp_path, 4, "--resume", two)
    assert resumed.codes() == [0] * 4, resumed.text
    assert difference(one, two) < 1e-4
    logged = [line["step"] for line in Folder(two).log_lines()]
    assert logged == list(range(1, 31))


@pytest.mark.usefixtures("no_page")
def test_a_signal_to_one_process_stops_all_at_the_same_step(tmp_path: Path) -> None:
    run = tmp_path / "run"
    launched = Launched(tmp_path, 2, *digits(100_000, log_every=1, **SGD), "--out", run)
    wait_for_step(run, 3)
    os.kill(launched.pids[1], signal.SIGUSR1)
    assert launched.codes() == [130, 130], launched.text
    assert launched.text.count("go on with interalia train --resume") == 1
    assert checkpoint.read(run / "checkpoints" / "last.pt")["step"] == Folder(run).log_lines()[-1]["step"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--batch-size", 7), "a batch of 7 rows cannot be divided into 2 equal parts"),
        (("--data", "no-such-folder"), "no-such-folder"),
        (("--device", "cuda:1"), "each of 2 processes takes its own"),
    ],
)
def test_an_error_before_the_first_step_ends_all_with_one_sentence(
    arguments: tuple[object, ...], text: str, tmp_path: Path
) -> None:
    launched = Launched(tmp_path, 2, *digits(5), "--out", tmp_path / "run", *arguments)
    assert launched.codes() == [2, 2]
    assert launched.text.count("interalia: ") == 1
    assert text in launched.text
    assert not (tmp_path / "run").exists()


@pytest.mark.long
@pytest.mark.usefixtures("no_page")
def test_no_run_is_lost_when_a_process_is_killed_twenty_times(tmp_path: Path) -> None:
    chance = random.Random(0)
    for number in range(20):
        run, size = tmp_path / str(number), chance.choice([2, 3, 4])
        launched = Launched(tmp_path, size, *digits(60, batch_size=96, log_every=1, **SGD), "--out", run)
        wait_for_step(run, chance.randint(1, 50))
        os.kill(launched.pids[chance.randrange(size)], signal.SIGKILL)
        codes = launched.codes()
        assert sorted(codes) == [-signal.SIGKILL, *[2] * (size - 1)]
        assert launched.text.count("interalia: ") == 1
        resumed = Launched(tmp_path, chance.choice([1, 2, 4]), "--resume", run)
        assert set(resumed.codes()) == {0}, resumed.text
        if number:
            assert difference(run, tmp_path / "0") < 1e-4
