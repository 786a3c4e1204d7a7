"""The law that several processes train as one does, in numbers.

    python tests/laws_of_processes.py 2 cover      # a pairwise cover, by 2 processes; "grid" for all combinations, "all" for
                                                    # the cover with torch's messages in each case
    python tests/laws_of_processes.py 2 shards     # the cover with the batch in 4 shards: no bit may differ

Each combination of game, dynamics, penalty and posterior is trained for 3 steps in float64, by one process with the whole
batches and by all together with a part of each. What is compared are all weights, buffers and further states.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pickle
import random
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

import examples

from interalia import registry
from interalia.contexts import keyed, processes
from interalia.errors import UserError
from interalia.games import REGISTRY
from interalia.games.needs import Encoder, critics, example_needs
from interalia.learning.dynamics import REGISTRY as DYNAMICS
from interalia.learning.dynamics import UpdateOptions
from interalia.learning.optimizers import OPTIMIZERS

STEPS, ROWS, WITHIN = 3, 8, 1e-9
SHARDS = 4
BUILDING = threading.Lock()
PENALTIES = ("none", "r1", "r2", "r1r2", "wgan-gp", "dragan", "weight-clip")
POSTERIORS = (
    "default",
    "deterministic",
    "implicit",
    "gaussian",
    "basis-noise",
    "flow",
    "iaf",
    "planar",
    "auxiliary",
    "hamiltonian",
    "gaussian-process",
)
LIKE_OTHERS = ("gaussian", "iaf", "planar")  # in the grid alone: the default of most games; flows as another one
THIRD = ("consensus", "hamiltonian")  # third derivatives, which torch's own batch norm has wrong; refused
Case = dict[str, Any]

# beyond the four axes: (fields of the run, options of the update)
MORE: list[Case] = [
    {"game": "ali", "networks": "auto(width=2)", "shape": examples.CONV},
    {"game": "ali", "networks": "auto(width=2)", "shape": examples.CONV, "dynamics": "consensus"},
    {"game": "ali", "networks": "auto(width=2)", "shape": examples.CONV, "penalty": "r1r2"},
    {"game": "ali(joint_batch=False)", "networks": "auto(width=2)", "shape": examples.CONV},
    {"game": "ali(mismatch=0.5)", "labels": 3},
    {"game": "ali", "augment": "adaptive", "steps": 6},
    {"game": "ali", "augment": "fixed", "instance_noise": "annealed", "dynamics": "extragradient"},
    {"game": "ali", "skip_critic_above": 0.5, "dynamics": "alternating"},
    {"game": "ali", "grad_clip": 0.01},
    {"game": "ali", "grad_accumulation": 2},
    {"game": "ali", "grad_accumulation": 2, "dynamics": "consensus"},
    {"game": "ali", "pack": 2},
    {"game": "ali(sleep=1.0)", "prior": "mixture"},
    {"game": "ali", "divergence": "relativistic", "penalty": "r1r2"},
    {"game": "ali", "divergence": "wasserstein", "penalty": "wgan-gp"},
    {"game": "vae(samples=5)"},
    {"game": "avb(contrast=True)"},
    {"game": "avb(contrast=True,correlated=True)"},
    {"game": "hali(sleep=1.0,upper_sleep=1.0,upper_wake=1.0,cycle=1.0)"},
    {"game": "semi-ali(vat=1.0,cycle=1.0)"},
    {"game": "semi-ali(vat=1.0,sleep=1.0)"},
    {"game": "cyclegan(pool=6,identity=0.5)", "steps": 5},
    {"game": "alad", "networks": "auto(width=2)", "shape": examples.CONV},
    # the settings of ali-digits, where Adam has enlarged differences for 30 steps
    {
        "game": "alice(cycle=5.0)",
        "divergence": "relativistic",
        "penalty": "r1r2(gamma=1.0,every=4)",
        "networks": "auto(width=4,unary=True)",
        "steps": 30,
    },
]


def has_posterior(name: str) -> bool:
    return isinstance(example_needs(REGISTRY[name]).get("encoder"), Encoder)


@cache
def plays(game: str, encoder: str, dynamics: str = "simultaneous") -> bool:
    """Whether one process trains the game with this posterior and dynamics."""
    try:
        train({"game": game, "encoder": encoder, "dynamics": dynamics, "steps": 1}, processes.ALONE)
    except (UserError, ValueError):
        return False
    return True


def grid() -> list[Case]:
    """Every game with each dynamics, penalty and posterior that applies to it; an axis without a meaning has one value."""
    cases = []
    for name, kind in REGISTRY.items():
        penalties = PENALTIES if critics(kind) else ("none",)
        encoders = [encoder for encoder in (POSTERIORS if has_posterior(name) else ["default"]) if plays(name, encoder)]
        cases += [
            {"game": name, "dynamics": dynamics, "penalty": penalty, "encoder": encoder}
            for dynamics, penalty, encoder in itertools.product(DYNAMICS, penalties, encoders)
            if plays(name, "default", dynamics) and (dynamics, encoder) != THIRD
        ]
    return cases


def cover(cases: Sequence[Case]) -> list[Case]:
    """A few of the cases, in which every pair of values of two axes occurs that occurs in one of them."""
    shuffled = random.Random(0).sample(list(cases), len(cases))
    pairs = [set(itertools.combinations(sorted(case.items()), 2)) for case in shuffled]
    missing, chosen = set().union(*pairs), []
    while missing:
        best = max(range(len(pairs)), key=lambda i: len(pairs[i] & missing))
        missing -= pairs[best]
        chosen.append(shuffled[best])
    return chosen


def train(case: Case, team: processes.Team) -> list[torch.Tensor]:
    """What the training of a case by the processes of a team ends with."""
    case = dict(case)
    steps, labels, rows = case.pop("steps", STEPS), case.pop("labels", 0), ROWS
    options = UpdateOptions(
        **{name: case.pop(name) for name in ("grad_accumulation", "grad_clip", "skip_critic_above") if name in case}
    )
    dynamics = case.pop("dynamics", "simultaneous")
    fields = {name: value for name, value in case.items() if value != "default"}
    with BUILDING:  # which seeds torch's generator
        game = examples.build(fields.pop("game"), labels=labels, **fields).train()
    if isinstance(team, processes.Shard) and team.meeting is not None:
        team.meeting.barrier.wait()  # a first step may seed it too
    if team.size > 1:
        assert not processes.join_batch_norms(game)
    adam = {
        player: registry.make("adam", OPTIMIZERS, "optimizer", game.parameters_of(player), lr=1e-3)
        for player in game.players
    }
    moves = registry.make(dynamics, DYNAMICS, "dynamics", game, adam, options)

    def batches() -> Iterator[tuple[torch.Tensor, ...]]:
        for seed in itertools.count():
            batch = game.feeds.random_batch(game.data, rows, seed)
            yield tuple(team.rows(part).double() for part in batch)

    endless = batches()
    for step in range(steps):
        game.set_progress(step, steps)
        with keyed(3, step, first=team.rank * rows // team.size), team.step():
            moves.step(endless)
    state = moves.state_dict()
    return [*game.state_dict().values(), *game.extra_state().values(), *state["memory"], torch.tensor(state["ahead"])]


def train_shards(case: Case, team: processes.Team) -> list[torch.Tensor]:
    """What the training of a case ends with if each process of a team computes some of four shards of the batch."""
    here = SHARDS // team.size
    meeting = processes.Meeting(team, here)

    def one(thread: int) -> list[torch.Tensor]:
        try:
            return train(case, processes.Shard(team.rank * here + thread, SHARDS, "", meeting, thread))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(here) as pool:
        threads = [pool.submit(one, thread) for thread in range(here)]
    errors = [error for error in (thread.exception() for thread in threads) if error is not None]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError))
    return threads[0].result()


def result(case: Case, number: int, team: processes.Team, train: Any = train) -> float | str:
    """The greatest difference, or the sentence with which the case is refused; process `number` % size trains it alone.

    `train` is `train` or `train_shards`, after which a different bit counts as a difference of 1.
    """
    alone: list[torch.Tensor] = []
    refusal = ""
    if here := number % team.size == team.rank:
        try:
            alone = train(case, processes.ALONE)
        except (UserError, ValueError) as error:
            refusal = f"one process: {error}"
    if refusal := max(team.gather_objects(refusal)):
        return refusal
    try:
        together = train(case, team)
    except UserError as error:
        return str(error)
    pairs = [(a.double(), b.double()) for a, b in zip(alone, together, strict=here) if a.numel()]
    greatest = max((float((a - b).abs().max()) for a, b in pairs), default=0.0)
    if train is train_shards and here:
        greatest = float(processes.digest(alone) != processes.digest(together))
    digests, differences = zip(*team.gather_objects((processes.digest(together), greatest)), strict=True)
    assert len(set(digests)) == 1, "the processes hold other weights"
    return max(differences)


@dataclasses.dataclass(frozen=True)
class Pair(processes.Team):
    """Two processes with a socket between them, which costs a tenth of the processor time of torch's messages."""

    line: socket.socket | None = None

    def exchange(self, data: bytes) -> bytes:
        """What the other process passes at the same time."""
        assert self.line is not None
        if self.first:
            self.line.sendall(len(data).to_bytes(8, "little") + data)
        found = bytearray()
        while len(found) < 8 or len(found) < 8 + int.from_bytes(found[:8], "little"):
            if not (more := self.line.recv(1 << 20)):
                raise ConnectionError("the other process has ended")
            found += more
        if not self.first:
            self.line.sendall(len(data).to_bytes(8, "little") + data)
        return bytes(found[8:])

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        other = torch.frombuffer(bytearray(self.exchange(tensor.numpy().tobytes())), dtype=tensor.dtype)
        return tensor.add_(other.view_as(tensor))

    def gather(self, part: torch.Tensor) -> torch.Tensor:
        whole = part.new_zeros((2, *part.shape))
        whole[self.rank] = part.detach()
        return self.add(whole).flatten(0, 1)

    def gather_objects(self, value: Any) -> list[Any]:
        other = pickle.loads(self.exchange(pickle.dumps(value)))
        return [value, other] if self.first else [other, value]

    def broadcast(self, value: Any) -> Any:
        return self.gather_objects(value)[0]


def work(size: int, kind: str) -> None:
    """The work of one of the processes; the first prints each result as a line of JSON."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    team = processes.Team(int(os.environ["RANK"]), size)
    dist.init_process_group("gloo", init_method=f"file://{os.environ['MEETING']}", rank=team.rank, world_size=size)
    line = socket.socket(fileno=int(os.environ["LINE"])) if os.environ.get("LINE") else None
    cases = team.broadcast(grid() if team.first else None)
    cases = [
        *(cases if kind == "grid" else cover([case for case in cases if case["encoder"] not in LIKE_OTHERS])),
        *MORE,
    ]
    how = train_shards if kind == "shards" else train
    for number, case in enumerate(cases):
        by_socket = line is not None and kind in ("cover", "grid") and case not in MORE
        found = result(case, number, Pair(team.rank, size, line=line) if by_socket else team, how)
        if team.first:
            print(json.dumps((case, found)), flush=True)
    team.meet("end")
    os._exit(0)  # threads of gloo may abort a process that ends as usual


def launch(size: int, kind: str) -> list[tuple[Case, float | str]]:
    """Runs `work` in `size` processes, and returns the cases with their results."""
    lines = socket.socketpair() if size == 2 else ()
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, OMP_NUM_THREADS="1", MEETING=f"{folder}/meeting")
        started = [
            subprocess.Popen(
                [sys.executable, __file__, str(size), kind],
                env=environment | {"RANK": str(rank), "LINE": str(lines[rank].fileno()) if lines else ""},
                pass_fds=[lines[rank].fileno()] if lines else [],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(size)
        ]
        for line in lines:
            line.close()
        texts = [process.communicate() for process in started]
    assert all(process.returncode == 0 for process in started), "".join(errors for _, errors in texts)
    return [(case, found) for case, found in map(json.loads, texts[0][0].splitlines())]


if __name__ == "__main__":
    size, kind = int(sys.argv[1]), sys.argv[2]
    if "RANK" in os.environ:
        work(size, kind)
    else:
        for case, found in launch(size, kind):
            print(*case.values(), found)
