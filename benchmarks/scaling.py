"""How many images a second two processes train beside one: with the same batch (strong scaling), with twice the batch (weak).

    python benchmarks/scaling.py                           # ali-cifar10 and ali-svhn-paper, on a quiet machine
    python benchmarks/scaling.py --recipe ali-digits --repeats 3 --steps 5 --json scaling.json
    python benchmarks/scaling.py --bare                    # what the training's contexts cost one process

The networks of a recipe are trained on random 32x32 color images. In each round, one after the other: process 0 alone takes
some steps of a batch; both take steps of the same batch, each with half of the rows; both take steps of twice the batch. The
other process sleeps meanwhile. Each process has one thread. Printed are medians over rounds of images a second, and of the
ratio to one process within a round: 2 would be perfect.

With --bare one process takes steps as the training does (with keyed random numbers, in the context of a step of a team of
one, with its flag), and bare steps of the dynamics, without contexts; the ratio of their times within a round is what the
support of several processes costs at most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from interalia.contexts import flush_denormals, keyed
from interalia.contexts.processes import ALONE, Team
from interalia.data.dataset import Dataset, Split
from interalia.reports.origin import provenance
from interalia.runs import Run, recipes
from interalia.training import batches, engine, processes
from interalia.training.state import Training


def prepared(recipe: str, batch: int, team: Team) -> Training:
    """The training of a recipe's networks on random images by the processes of a team."""
    random = np.random.default_rng(0)
    parts = [Split(random.integers(0, 256, (4 * batch, 3, 32, 32), dtype=np.uint8)) for _ in range(3)]
    run = recipes.REGISTRY[recipe](
        data=Run().data, image_size=None, steps=10**6, batch_size=batch, device="cpu", evaluate_every=0
    )
    training = engine.prepare(run, dataset=Dataset("random", *parts))
    processes.check(training, team.size)
    training.team = team
    training.batches = batches.draw(training.stores, training.samplers, team)
    return training


def take_step(training: Training) -> None:
    """A step as the loop of a training takes it."""
    team = training.team
    team.any(False)
    training.game.set_progress(training.step, training.steps)
    first = training.samplers[0].batch // team.size * team.rank
    with keyed(training.run.seed, training.step, first=first), team.step():
        training.take_step()
    training.step += 1


def bare_step(training: Training) -> None:
    """A step of the dynamics and the average alone, with a penalty at the same steps."""
    training.game.set_progress(training.step, training.steps)
    training.take_step()
    training.step += 1


def timed(training: Training, steps: int, step: Callable[[Training], None] = take_step) -> float:
    """Seconds a step."""
    began = time.perf_counter()
    for _ in range(steps):
        step(training)
    return (time.perf_counter() - began) / steps


def bare(recipe: str, batch: int, repeats: int, steps: int) -> dict[str, float]:
    """The medians of both steps' seconds, and of their ratio."""
    training, rounds = prepared(recipe, batch, ALONE), []
    timed(training, 3)
    for number in range(repeats):
        kinds = (take_step, bare_step) if number % 2 else (bare_step, take_step)
        found = {kind.__name__: timed(training, steps, kind) for kind in kinds}
        rounds.append((found["take_step"], found["bare_step"], found["take_step"] / found["bare_step"]))
    ours, plain, ratio = map(statistics.median, zip(*rounds, strict=True))
    return {"seconds": ours, "seconds_bare": plain, "ratio": ratio}


def work(recipe: str, batch: int, repeats: int, steps: int) -> dict[str, float]:
    """The work of one of two processes: images a second of one process, of two with the same batch and with twice the batch,
    and the ratios of the latter to the first."""
    import torch.distributed as dist

    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=f"file://{os.environ['MEETING']}", rank=rank, world_size=2)
    team, rounds = Team(rank, 2), []
    one, strong, weak = prepared(recipe, batch, ALONE), prepared(recipe, batch, team), prepared(recipe, 2 * batch, team)
    for number in range(repeats + 1):  # the first round makes the moments of the optimizers
        speeds = []
        for training, rows in ((one, batch), (strong, batch), (weak, 2 * batch)):
            team.broadcast(None)  # both begin
            if training is not one or team.first:
                speeds.append(rows / timed(training, steps))
            team.any(True)  # both have ended
        if number and team.first:
            rounds.append((*speeds, speeds[1] / speeds[0], speeds[2] / speeds[0]))
    team.meet("end")
    names = ("one", "strong", "weak", "strong_ratio", "weak_ratio")
    return dict(zip(names, map(statistics.median, zip(*rounds, strict=True)), strict=True)) if rounds else {}


def launch(arguments: list[str]) -> dict[str, float]:
    """Starts two processes of this script with the arguments, and returns what the first measures."""
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen(
                [sys.executable, __file__, *arguments],
                env={**os.environ, "OMP_NUM_THREADS": "1", "RANK": str(rank), "MEETING": f"{folder}/meeting"},
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        texts = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("one of the processes has failed")
    found: dict[str, float] = json.loads(texts[0])
    return found


def main() -> None:
    """Measures each recipe, and prints a line for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", action="append")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="steps of each measurement")
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    engine.keep_freed_memory()  # as a training does
    if "MEETING" in os.environ:
        with flush_denormals():
            found = work(given.recipe[0], given.batch, given.repeats, given.steps)
        print(json.dumps(found), flush=True)
        os._exit(0)  # threads of gloo may abort a process that ends as usual
    results = {}
    for recipe in given.recipe or ["ali-cifar10", "ali-svhn-paper"]:
        numbers = [given.batch, given.repeats, given.steps]
        if given.bare:
            with flush_denormals():
                results[recipe] = bare(recipe, *numbers)
        else:
            names = ("--batch", "--repeats", "--steps")
            options = [text for name, value in zip(names, numbers, strict=True) for text in (name, str(value))]
            results[recipe] = launch(["--recipe", recipe, *options])
        print(recipe, ", ".join(f"{name} {value:.4g}" for name, value in results[recipe].items()), flush=True)
    if given.json:
        given.json.write_text(json.dumps({"results": results, **provenance()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
