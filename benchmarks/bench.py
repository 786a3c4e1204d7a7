"""The speed of this library on the machine at hand, and whether its documents and goals are true there.

    python benchmarks/bench.py                       # all of it; some minutes
    python benchmarks/bench.py --only steps --rounds 9 --json bench.json
    python benchmarks/bench.py --avx2                # as if the processor had AVX2 alone, and no bf16

- steps: one training step of several recipes on one thread, in fp32 and in the precision that `auto` chooses. Its share is
  the part of the core's own rate that its products and convolutions reach. The core's own rate is that of a product of two
  1024x1024 matrices in fp32 on one thread, which is timed in the same round: shares can be compared between machines.
- by hand: ALI's networks for SVHN and CIFAR-10 on all cores, over the loop that people write by hand; see step.py.
- engine: the loop of the training, with its schedule and average, over a bare loop that does the same updates.
- promises: the sentences of the documents that name a time, each with its limit, from promises.toml.

The loops of a group take turns in one process. Figures are medians over the rounds, ratios medians of those of each round.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

sys.path.insert(0, str(Path(__file__).parent))

import step as by_hand

import interalia
from interalia.contexts import flush_denormals
from interalia.data.dataset import Dataset, Split
from interalia.runs import recipes
from interalia.training import engine
from interalia.training.callbacks import Callback
from interalia.training.state import Training

ROOT = Path(__file__).parents[1]
TABLE = tomllib.loads((Path(__file__).parent / "promises.toml").read_text(encoding="utf-8"))
Step = Callable[[], None]
# recipe -> the shape of random images in place of its data, or None for its own data
RECIPES: dict[str, tuple[int, ...] | None] = {
    "ali-svhn-paper": (3, 32, 32),
    "ali-cifar10-paper": (3, 32, 32),
    "ali-cifar10": (3, 32, 32),
    "ali-mnist": (1, 28, 28),
    "ali-digits": None,
    "ali-grid25": None,
}
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
SIDE = 1024  # of the matrices by which the core's own rate is measured
PRODUCTS = 4  # of them, before and after a loop takes its turn
LOOP = 40  # steps of a loop of the engine, times the period of its penalty
ROUND = 0.3  # seconds that a loop takes in a round, at least


class Flops(TorchDispatchMode):
    """Counts the floating-point operations of products and convolutions, also in gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


class StopAfter(Callback):
    """Ends the loop after some steps, so that it can be timed and begun again."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step(self, training: Training, outcome: Any) -> None:
        if training.step % self.steps == 0:
            training.stop_reason = "enough"


def limited() -> bool:
    """Whether this process uses no instructions beyond AVX2, because of the environment variables of `AVX2`."""
    return os.environ.get("ONEDNN_MAX_CPU_ISA") == AVX2["ONEDNN_MAX_CPU_ISA"]


def vectors() -> str:
    """What the processor multiplies by: "AMX", "AVX-512 with bf16", "AVX-512", "AVX2" or its architecture."""
    if limited():
        return "AVX2"
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    if torch.cpu._is_avx512_bf16_supported():
        return "AVX-512 with bf16"
    if torch.cpu._is_avx512_supported():
        return "AVX-512"
    return "AVX2" if torch.cpu._is_avx2_supported() else platform.machine()


def core_rate(a: torch.Tensor) -> float:
    """The rate in FLOP/s of some products of a matrix with itself, on the threads that torch has."""
    began = time.perf_counter()
    for _ in range(PRODUCTS):
        a @ a
    return PRODUCTS * 2 * len(a) ** 3 / (time.perf_counter() - began)


def automatic() -> str:
    """The precision to compare with fp32: that which `auto` chooses, or none if the process is limited to AVX2."""
    return "fp32" if limited() else "auto"


def prepared(recipe: str, shape: tuple[int, ...] | None, **fields: Any) -> Training:
    """The training of a recipe at its first step, on random images of a shape, or on its own data."""
    run = recipes.REGISTRY[recipe](device="cpu", steps=10**6, **fields)
    if shape is None:
        return engine.prepare(run)
    images = np.random.default_rng(0).integers(0, 256, (max(2000, 2 * run.batch_size), *shape), dtype=np.uint8)
    with by_hand.in_memory(Dataset("random", Split(images), Split(images[:2]), Split(images[:2]))):
        return engine.prepare(run)


def period(training: Training) -> int:
    """The number of steps after which the work of a step repeats, because of a penalty at some steps."""
    return training.game.penalty.every if training.game.penalty is not None else 1


def in_turns(loops: Mapping[str, Step], rounds: int, unit: int = 1) -> tuple[dict[str, list[float]], ...]:
    """Times loops in turns: the seconds of each call in each round, and the core's own rate before and after its turn.

    A loop is called in a round as often as `ROUND` seconds allow, a multiple of `unit`, the same number for all.
    """
    a = torch.randn(SIDE, SIDE)
    slowest = 0.0
    for loop in loops.values():
        for _ in range(unit):
            loop()
        began = time.perf_counter()
        for _ in range(unit):
            loop()
        slowest = max(slowest, time.perf_counter() - began)
    calls = unit * max(1, math.ceil(ROUND / slowest))
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        rate = core_rate(a)
        for name, loop in loops.items():
            began = time.perf_counter()
            for _ in range(calls):
                loop()
            seconds[name].append((time.perf_counter() - began) / calls)
            before, rate = rate, core_rate(a)
            rates[name].append((before + rate) / 2)
    return seconds, rates


def median_ratio(over: list[float], under: list[float]) -> float:
    """The median over the rounds of the ratio of two series."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def steps(rounds: int) -> dict[str, float]:
    """Times the steps of all recipes on one thread and prints them; returns the share of each in fp32."""
    torch.set_num_threads(1)
    print(
        "\n| recipe, batch | precision | ms a step | images/s | GFLOP/s | share of the core's own rate | core's rate |"
    )
    print("|---|---|---|---|---|---|---|")
    found = {}
    for recipe, shape in RECIPES.items():
        single, auto = (prepared(recipe, shape, precision=precision) for precision in ("fp32", automatic()))
        every, batch = period(single), single.run.batch_size
        loops = {"fp32": by_hand.step_of(single, average=True)} | (
            {} if auto.run.precision == "fp32" else {"bf16": by_hand.step_of(auto, average=True)}
        )
        with Flops() as flops:
            for _ in range(every):
                loops["fp32"]()
        work = flops.total / every
        seconds, rates = in_turns(loops, rounds, every)
        for precision, times in seconds.items():
            share = statistics.median(work / t / rate for t, rate in zip(times, rates[precision], strict=True))
            if precision == "fp32":
                found[f"share of {recipe}"] = share
            took, rate = statistics.median(times), statistics.median(rates[precision])
            print(
                f"| {recipe}, {batch} | {precision} | {took * 1e3:.1f} | {batch / took:,.0f} | {work / took / 1e9:.0f} | "
                f"{share:.0%} | {rate / 1e9:.0f} |"
            )
    return found


def over_by_hand(rounds: int) -> dict[str, float]:
    """Times ALI's networks beside the loop by hand, on all cores, and prints it; returns the ratio of each recipe."""
    torch.set_num_threads(os.cpu_count() or 1)
    print("\n| recipe, batch | ours, images/s | precision | by hand, images/s | ours over by hand | least | most |")
    print("|---|---|---|---|---|---|---|")
    found = {}
    for recipe in by_hand.TABLES:
        images = np.random.default_rng(0).integers(0, 256, (2000, 3, 32, 32), dtype=np.uint8)
        dataset = Dataset("random", Split(images), Split(images[:2]), Split(images[:2]))
        ours = prepared(recipe, (3, 32, 32), batch_size=100, precision=automatic())
        seconds, _ = in_turns(
            {"ours": by_hand.step_of(ours, average=True), "by hand": by_hand.by_hand(dataset, recipe, 100)}, rounds
        )
        each = [theirs / mine for mine, theirs in zip(seconds["ours"], seconds["by hand"], strict=True)]
        found[f"{recipe} over by hand"] = statistics.median(each)
        rates = [100 / statistics.median(times) for times in seconds.values()]
        print(
            f"| {recipe}, 100 | {rates[0]:.1f} | {ours.run.precision} | {rates[1]:.1f} | {statistics.median(each):.2f} | "
            f"{min(each):.2f} | {max(each):.2f} |"
        )
    return found


def bare(training: Training) -> Step:
    """The updates of a training with simultaneous dynamics in a plain loop: its optimizers and average are torch's own."""
    game, average = training.game, training.average
    players = {player: game.parameters_of(player) for player in game.players}
    optimizers = {
        player: torch.optim.Adam(parameters, lr=1e-4, betas=(0.5, 0.999), fused=True)
        for player, parameters in players.items()
    }
    weights, averages = [*game.parameters()], [] if average is None else [*average.module.parameters()]
    last = list(players)[-1]

    def step() -> None:
        game.set_progress(training.step, training.steps)
        losses = game(*next(training.batches)).losses
        for player, parameters in players.items():
            losses[player].backward(inputs=parameters, retain_graph=player != last)
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if averages:
            with torch.no_grad():
                torch._foreach_lerp_(averages, weights, 1e-3)
        training.step += 1

    return step


def engine_over_bare(rounds: int) -> dict[str, float]:
    """Times the loop of a training of ali-digits beside a bare one, and prints it; returns the ratio of their times."""
    torch.set_num_threads(1)
    ours, plain = (prepared("ali-digits", None, dynamics="simultaneous") for _ in range(2))
    count, step = LOOP * period(ours), bare(plain)

    def looped() -> None:
        ours.stop_reason = ""
        engine.loop(ours, [StopAfter(count)])

    def by_itself() -> None:
        for _ in range(count):
            step()

    seconds, _ = in_turns({"engine": looped, "bare": by_itself}, rounds)
    ratio = median_ratio(seconds["engine"], seconds["bare"])
    print(f"\nThe engine's loop takes {ratio:.3f} of the time of a bare loop on ali-digits.")
    return {"engine over a bare loop": ratio}


def command(*words: str, folder: Path) -> None:
    """Runs the command line in a folder, and raises an error if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", "import interalia.cli; interalia.cli.main()", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"interalia {' '.join(words)}: {done.stderr}")


def train(folder: Path) -> None:
    """Trains on the digits as `make train` does, and writes the report."""
    command("train", folder=folder)


def check(folder: Path) -> None:
    """Checks a custom game and a custom penalty, each in a module of its own."""
    game = "from interalia.games import ALI\n\n\nclass Mine(ALI):\n    '''An ALI of my own.'''\n"
    (folder / "my_module.py").write_text(game, encoding="utf-8")
    command("check", "my_module:Mine", folder=folder)


def detect(folder: Path) -> None:
    """Fits a detector to a table of 3,000 rows of 30 columns, which depend on each other."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(3000, 8)) @ draw.normal(size=(8, 30)) + 0.1 * draw.normal(size=(3000, 30))
    np.savetxt(folder / "normal.csv", rows, delimiter=",", header=",".join(f"c{i}" for i in range(30)), comments="")
    command("detect", "fit", "normal.csv", folder=folder)


CHILDREN = ("children_user", "children_system")
CHECKS: dict[str, Callable[[Path], None]] = {"train": train, "check": check, "detect": detect}


def promises() -> dict[str, float]:
    """Runs what the documents promise a time for, and prints the times; returns the seconds of each check.

    They are seconds of one core, which other programs on the machine change little.
    """
    found = {}
    for name, work in CHECKS.items():
        with tempfile.TemporaryDirectory() as folder:
            before = os.times()
            work(Path(folder))
            after = os.times()
            found[name] = sum(getattr(after, key) - getattr(before, key) for key in CHILDREN)
    for one in TABLE["promises"]:
        if one["check"] in CHECKS:
            took = found[one["check"]]
            kept = "true" if took <= one["seconds"] else "NOT TRUE"
            print(f'{kept}: {one["file"]}: "{one["sentence"]}": {took:.1f} s of a core, at most {one["seconds"]}')
    return found


def goals(found: Mapping[str, float]) -> None:
    """Prints each goal of promises.toml for this kind of processor beside what was measured."""
    kind = vectors()
    for one in TABLE["goals"]:
        limit = one["limits"].get(kind, one["limits"].get("any"))
        if limit is None or one["measure"] not in found:
            continue
        value = found[one["measure"]]
        reached = value <= limit if one.get("at_most") else value >= limit
        bound = "at most" if one.get("at_most") else "at least"
        print(f"{'reached' if reached else 'missed'}: {one['measure']}: {value:.2f}, {bound} {limit} on {kind}")


GROUPS: dict[str, Callable[[int], dict[str, float]]] = {
    "steps": steps,
    "by hand": over_by_hand,
    "engine": engine_over_bare,
    "promises": lambda _: promises(),
}


def commit() -> str:
    """The commit of the working tree, with "changed" if it differs from it."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=, changed", "--exclude=*"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(GROUPS), action="append", help="a group; by default all")
    parser.add_argument("--rounds", type=int, default=7, help="how often each loop takes its turn")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    parser.add_argument("--avx2", action="store_true", help="use no instructions beyond AVX2")
    arguments = parser.parse_args()
    if arguments.avx2 and not limited():  # the libraries read it when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | AVX2)
    machine = by_hand.machine(os.cpu_count() or 1) | {
        "vectors": vectors(),
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "command": " ".join(["python", "benchmarks/bench.py", *sys.argv[1:]]),
    }
    print(
        f"{machine['processor']}, {machine['cores']} cores, {machine['vectors']}; torch {torch.__version__}, Python "
        f"{machine['python']}, interalia {interalia.__version__}, commit {machine['commit']}, {machine['date']}"
    )
    found: dict[str, float] = {}
    engine.keep_freed_memory()  # as a training does; the loop by hand has the good of it, too
    with flush_denormals():
        for name in arguments.only or GROUPS:
            found |= GROUPS[name](arguments.rounds)
    print()
    goals(found)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "found": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
