"""Several processes train one run as one process does, and end together."""

from __future__ import annotations

import ast
import inspect
import os
import random
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import laws_of_processes as laws
import pytest
import torch
from program import alone
from torch import nn

from interalia import load, train
from interalia.cli import training as cli_training
from interalia.contexts import processes
from interalia.errors import UserError
from interalia.runs import loading, recipes
from interalia.runs.folder import Folder
from interalia.training import checkpoint, engine
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
    assert all("train by one process" in str(value) for value in found.values())


@pytest.mark.long
@pytest.mark.parametrize("size", [2, 4])
def test_two_and_four_processes_train_as_one_on_the_whole_grid(size: int) -> None:
    assert set(unequal(size, "grid")) == REFUSED


@pytest.mark.long
@pytest.mark.parametrize("size", [2, 4])
def test_four_shards_give_the_same_bits_for_one_two_and_four_processes_in_every_game(size: int) -> None:
    for case, value in laws.launch(size, "shards"):
        assert value == 0.0 or case["game"] in REFUSED, f"{case}: {value}"


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


# recipe -> further arguments: penalties, a pool, labels, codes, samples, two levels, batch norm in convolutions
SMALL = "--data digits --networks auto(width=8) --steps 5 --batch-size 16"
BIT_EQUAL = {
    "ali-digits": "--steps 30",
    "ali-cifar10": SMALL,
    "bigan-digits": "--steps 10 --dynamics extragradient --grad-clip 0.1",
    "hali-mnist": SMALL,
    "cali-mnist": SMALL,
    "semi-ali-mnist": f"{SMALL} --num-labeled 100",
    "wgan-gp-mnist": f"{SMALL} --penalty dragan",
    "vae-mnist": f"{SMALL} --weight-average swa(start=0.5)",
    "iwae-mnist": SMALL,
    "avb-mnist": SMALL,
    "infogan-mnist": SMALL,
    "aae-mnist": SMALL,
    "gan-digits": "--steps 10 --augment adaptive",
    "vae-gan-mnist": f"{SMALL} --instance-noise annealed",
}
SGD = {"optimizer": "sgd(lr=0.1)"}  # Adam divides gradients that are 0, up to rounding, by their size


@pytest.mark.usefixtures("no_page")
def test_processes_begin_from_another_run_survive_a_loss_and_are_resumed_by_another_number(tmp_path: Path) -> None:
    source, one, two = (tmp_path / name for name in ("source", "one", "two"))
    train(recipes.ali_digits(steps=1, seed=1, evaluate_every=0, precision="fp32"), source, verbose=False)
    start = {"init_from": source, **SGD}
    assert Launched(tmp_path, 1, *digits(30, **start), "--out", one).codes() == [0]
    launched = Launched(tmp_path, 2, *digits(30, log_every=1, **start), "--out", two)
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


def state(run: Path) -> str:
    """A hash of all tensors of the last checkpoint of a run, with the moments of the optimizers and the average."""

    def tensors(value: object) -> Iterator[torch.Tensor]:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict | list | tuple):
            for one in value.values() if isinstance(value, dict) else value:
                yield from tensors(one)

    return processes.digest(tensors(checkpoint.read(run / "checkpoints" / "last.pt")))


@pytest.mark.usefixtures("no_page")
def test_shards_give_the_same_bits_for_one_and_two_processes_and_after_resuming_by_the_other(tmp_path: Path) -> None:
    for name, before, after in (("one", 1, 1), ("other", 2, 1)):
        run = tmp_path / name
        assert Launched(tmp_path, before, *digits(4, shards=4, batch_size=16), "--out", run).codes() == [0] * before
        assert set(Launched(tmp_path, after, "--resume", run, "--steps", 8).codes()) == {0}
    assert state(tmp_path / "one") == state(tmp_path / "other")


@pytest.mark.long
@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("recipe", [*BIT_EQUAL])
def test_shards_give_the_same_bits_for_one_two_and_four_processes(recipe: str, tmp_path: Path) -> None:
    how = ["--precision", "fp32", "--shards", 4, "--evaluate-every", 0, *BIT_EQUAL[recipe].split()]
    for size in (1, 2, 4):
        launched = Launched(tmp_path, size, recipe, *how, "--out", tmp_path / str(size))
        assert launched.codes() == [0] * size, launched.text
    assert len({state(tmp_path / str(size)) for size in (1, 2, 4)}) == 1


@pytest.mark.parametrize(
    ("size", "fields", "text"),
    [
        (1, {"batch_size": 6}, "a batch of 6 rows cannot be divided into 4 equal parts"),
        (1, {"compile": True}, "a compiled step has no messages between 4 parts of a batch"),
        (3, {}, "`shards` is 4, which 3 processes cannot share equally; give a multiple of 3"),
    ],
)
def test_shards_that_cannot_be(size: int, fields: dict[str, Any], text: str) -> None:
    run = recipes.ali_digits(**{"shards": 4, "steps": 1, "networks": "auto(width=2)", **fields})
    with pytest.raises(UserError, match=re.escape(text)):
        starting.check(engine.prepare(run), size)


@pytest.mark.parametrize("count", range(1, 7))
def test_a_sum_of_shards_has_a_fixed_order(count: int) -> None:
    parts = [torch.tensor(2.0**-24 if number else 1.0) for number in range(count)]
    by_hand = {1: 1.0, 2: 1.0, 3: 1.0, 4: 1 + 2**-23, 5: 1 + 2**-22, 6: 1 + 2**-22}
    assert float(processes.tree_sum(parts)) == by_hand[count]


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


# of each refusal in `start` and `check`: what its message has, and what the row of the document has
REFUSALS = {
    "is not set; start the processes with torchrun": "sets RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR",
    "each of {size} processes takes its own": "| `--device` with a number;",
    "as many processes as there are GPUs": "more processes than GPUs on a machine |",
    "do not find each other": "sets RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR",
    "which {size} processes cannot share equally": "where the processes are no divisor of it |",
    "`shards` is for equal bits": "| `--shards` on a GPU,",
    "a compiled step has no messages": "| `--compile` |",
    "cannot be divided into {parts} equal parts": "that is no multiple of the processes, times the pack |",
    "dropout in a critic of packs": "| dropout in a critic of packs",
    "takes third derivatives": "| consensus with a Hamiltonian posterior and batch norm |",
    "would normalize by the rows of one part": "| a batch norm of another class",
}


def test_the_document_has_every_refusal() -> None:
    found = []
    for function in (starting.start, starting.check):
        raised = [node for node in ast.walk(ast.parse(inspect.getsource(function))) if isinstance(node, ast.Raise)]
        found += [ast.unparse(node) for node in raised]
    page = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
    assert len(found) == len(REFUSALS)
    for message, row in REFUSALS.items():
        assert sum(message in text for text in found) == 1, message
        assert row in page, row


@pytest.mark.parametrize(
    ("trouble", "codes", "text"),
    [
        (PermissionError(13, "Permission denied", "/x/1.png"), [2, 2], "process 1 of 2: /x/1.png: Permission denied"),
        (MemoryError(), [2, 2], "process 1 of 2: there is not enough memory; lower --batch-size"),
        (None, [2, -signal.SIGKILL], "one of the 2 processes is gone before the first step"),
    ],
)
def test_a_fault_of_one_process_before_the_first_step_ends_all_and_leaves_nothing(
    trouble: Exception | None, codes: list[int], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_dataset = loading.load_dataset

    def load_or_fail(*given: Any) -> Any:
        if os.environ["RANK"] == "0":
            return load_dataset(*given)
        if trouble is None:
            os.kill(os.getpid(), signal.SIGKILL)
        raise trouble or AssertionError

    monkeypatch.setattr(loading, "load_dataset", load_or_fail)
    launched = Launched(tmp_path, 2, *digits(5), "--out", tmp_path / "run")
    assert launched.codes() == codes
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
