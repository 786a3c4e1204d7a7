"""How long a training takes to reach a quality: the steps until held-out metrics pass a goal, times the seconds of a step.

    python benchmarks/quality.py train --data-dir DATA --out runs/quality       # resumable; about a day of one core
    python benchmarks/quality.py train --data-dir DATA --out runs/search --only mnist --search 12 --cap 2500
    python benchmarks/quality.py train --data-dir DATA --out runs/near --only mnist --near --cap 6000
    python benchmarks/quality.py time --data-dir DATA --out runs/quality --old WORKTREE  # on a quiet machine
    python benchmarks/quality.py table --out runs/quality

- Goals: on MNIST a reconstruction ratio of 0.30 and Frechet distances of 5 and of 2, on CIFAR-10 a ratio of 0.45 and a
  distance of 15. Both are of the averaged weights where the recipe has an average, and of at most 5,000 test images.
- A training is evaluated every 250 steps, from step 4,000 on every 500, and ends when all goals are reached or at step
  20,000. The schedule is that of the whole length of its recipe.
- Rows: the fast recipe where there is one, the recipe of commit ef23085 and the recipe as it is (3 seeds each), ALI as
  published (1 seed; its step on CIFAR-10 is timed as the loop that people write by hand), and an autoencoder of the recipe's
  networks, as a floor of the ratio.
- `time` measures the steps of all rows in turns in one process on one thread, and those of ef23085 by its own code, from a
  worktree of that commit, in a process whose turns lie between.
- `--search N` trains, in place of the rows, the recipe and N others drawn with seed 0 from `SPACE`, with one seed, and
  evaluates them on validation images. `--near` does the same with the settings of `NEAR`, which differ in few fields from
  what came out best of the draws. `--filter TEXT` leaves out those, or the rows, that do not have the text in their name.
- `time` and `table` take the precision that the machine chooses by itself, or that of `--precision`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import torch

from interalia import metrics
from interalia.disk import write_json
from interalia.metrics.extractors import extractor_for
from interalia.registry import Part
from interalia.runs import Run, recipes
from interalia.training import engine
from interalia.training.callbacks import Callback, default_callbacks
from interalia.training.state import Training

GOALS = {"mnist": {"ratio": (0.30,), "frechet": (5.0, 2.0)}, "cifar10": {"ratio": (0.45,), "frechet": (15.0,)}}
CAP, FINE, EVERY, LATER = 20_000, 4000, 250, 500
COUNT = 5000
# what `--search` draws from; a rate is a factor of the recipe's, a width the feature maps of the first convolution
SPACE: dict[str, tuple[Any, ...]] = {
    "steps": (2000, 4000, 8000),
    "rate": (1.0, 2.0),
    "batch_size": (64, 128),
    "width": (16, 24, 32),
    "every": (2, 4, 8),
    "cycle": (5.0, 10.0),
    "sleep": (0.0, 0.5),
    "decay": (0.99, 0.998),
    "start": (0.0, 0.5),
}
# what `--near` trains beside the recipe: the settings common to all, and each with what it changes
BASE: dict[str, Any] = {
    "steps": 4000,
    "rate": 1.0,
    "batch_size": 64,
    "width": 24,
    "every": 4,
    "gamma": 1.0,
    "cycle": 5.0,
    "sleep": 0.0,
    "decay": 0.99,
    "start": 0.5,
}
NEAR: tuple[dict[str, Any], ...] = (
    {},
    {"sleep": 0.5},
    {"every": 2},
    {"gamma": 0.3},
    {"rate": 2.0},
    {"width": 32},
    {"steps": 8000, "rate": 2.0, "start": 0.0, "decay": 0.998},
    {"steps": 6000, "rate": 2.0, "start": 0.0, "decay": 0.998},
    {"steps": 6000, "rate": 2.0},
    {"steps": 8000, "start": 0.0, "decay": 0.998},
    {"rate": 2.0, "start": 0.0, "decay": 0.998},
    {"start": 0.0, "decay": 0.998},
    {"batch_size": 128},
    {"batch_size": 128, "width": 32},
    {"sleep": 0.5, "width": 16},
    {"sleep": 0.5, "width": 32},
    {"sleep": 0.5, "every": 8},
    {"sleep": 0.5, "steps": 2000},
    {"sleep": 0.5, "decay": 0.998},
)
# steps before the first round, steps of a turn (a multiple of the period of penalties), rounds
WARM, TURN, ROUNDS = 16, 16, 5
# what ef23085 runs in its worktree to time its step: a line on stdin starts a turn, the seconds of a step answer it
OLD = """
import sys, time, torch
from interalia import engine, recipes
torch.set_num_threads(1)
torch.set_flush_denormal(True)
training = engine.prepare(getattr(recipes, sys.argv[1])(root=sys.argv[2], steps=10**6, device="cpu", precision=sys.argv[4]))
engine.keep_memory()
def turn(steps):
    began = time.perf_counter()
    for _ in range(steps):
        training.game.at(training.step, training.steps)
        engine.rate(training)
        training.dynamics.step(training.batches)
        if training.average is not None:
            training.averaging.update(training.average, training.game, training.step, training.steps)
        training.step += 1
    return (time.perf_counter() - began) / steps
turn(int(sys.argv[3]))
print("ready", flush=True)
for line in sys.stdin:
    print(turn(int(line)), flush=True)
"""


def recipe_of(data: str) -> Run:
    return recipes.REGISTRY[f"ali-{data}"]()


def rows(data: str) -> dict[str, tuple[Run, int]]:
    """Name of a row -> its run, and the number of its seeds."""
    recipe = recipe_of(data)
    published = recipes.REGISTRY["ali-cifar10-paper"]() if data == "cifar10" else recipe
    fast = recipes.REGISTRY.get(f"ali-{data}-fast")
    return {
        **({f"ali-{data}-fast": (fast(), 3)} if fast else {}),
        "ef23085": (recipe.replace(dynamics="simultaneous"), 3),
        "recipe": (recipe, 3),
        "ALI as published": (
            published.replace(
                game="ali",
                divergence="gan",
                penalty="none",
                optimizer=Part("adam", lr=1e-4, beta1=0.5, beta2=0.999),
                schedule="constant",
                weight_average="none",
            ),
            1,
        ),
        "autoencoder": (recipe.replace(game="aae(adversarial=0.0)", divergence="gan", penalty="none"), 1),
    }


def searched(data: str, count: int) -> dict[str, tuple[Run, int]]:
    """The recipe as it is, and others by a text of their settings: `count` drawn from `SPACE`, or those of `NEAR` if 0."""
    recipe, chance = recipe_of(data), random.Random(0)
    rate = Part(recipe.optimizer).settings["lr"]
    found = {"recipe": recipe}
    points = [{**BASE, **change} for change in NEAR]
    if count:
        points = [{name: chance.choice(values) for name, values in SPACE.items()} for _ in range(count)]
    for point in points:
        found[", ".join(f"{name} {value:g}" for name, value in point.items())] = recipe.replace(
            steps=point["steps"],
            epochs=None,
            batch_size=point["batch_size"],
            optimizer=Part("adam", lr=rate * point["rate"]),
            networks=Part("auto", unary=True, width=point["width"]),
            penalty=Part("r1r2", gamma=point.get("gamma", 1.0), every=point["every"]),
            game=Part("alice", cycle=point["cycle"], sleep=point["sleep"]),
            weight_average=Part("ema", decay=point["decay"]),
            schedule=Part("cosine", start=point["start"]),
        )
    return {name: (run, 3) for name, run in found.items()}


def chosen(data: str, arguments: argparse.Namespace) -> dict[str, tuple[Run, int]]:
    """What the command line names: the rows, or with `--search` or `--near` the recipes of a search."""
    found = searched(data, arguments.search) if searches(arguments) else rows(data)
    return {name: entry for name, entry in found.items() if arguments.filter in name}


def searches(arguments: argparse.Namespace) -> bool:
    """Whether settings are compared on validation images, in place of the rows of the table."""
    return bool(arguments.search or arguments.near)


class Curve(Callback):
    """Writes ratio and Frechet distance on held-out images after each interval, and stops once all goals are reached."""

    def __init__(self, path: Path, data: str, split: str, cap: int) -> None:
        self.path, self.goals, self.split, self.cap = path, GOALS[data], split, cap

    def start(self, training: Training) -> None:
        self.extractor = extractor_for(training.dataset)
        known = read(self.path) if self.path.exists() else []
        self.path.write_text("".join(f"{json.dumps(one)}\n" for one in known if one["step"] <= training.step))

    def step(self, training: Training, outcome: Any) -> None:
        step = training.step
        due = step % (EVERY if step <= FINE else LATER) == 0 or step == training.steps
        if not due and step < self.cap:
            return
        evidence = metrics.Evidence(
            training.averaged_game, training.dataset, self.split, count=COUNT, extractor=self.extractor
        )
        point: dict[str, float] = {"step": step}
        for key, name in {"ratio": "reconstruction_ratio", "frechet": "frechet_distance"}.items():
            if metrics.REGISTRY[name].missing_need(evidence) is None:
                point[key] = metrics.REGISTRY[name](evidence)
        with self.path.open("a") as file:
            file.write(json.dumps(point) + "\n")
        points = read(self.path)
        if step >= self.cap or all(reached(points, key, goal) for key, goals in self.goals.items() for goal in goals):
            training.stop_reason = "the goals are reached, or the last step"


def read(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def reached(points: list[dict[str, float]], key: str, goal: float) -> int | None:
    """The first step at which a metric is at most a goal; None if it never is."""
    return next((int(point["step"]) for point in points if point.get(key, float("inf")) <= goal), None)


def train(arguments: argparse.Namespace) -> None:
    for data in [arguments.only] if arguments.only else GOALS:
        found = chosen(data, arguments)
        for name, (run, seeds) in found.items():
            for seed in range(min(seeds, arguments.seeds or (1 if searches(arguments) else seeds))):
                folder = arguments.out / data / name.replace(" ", "-").replace(",", "") / str(seed)
                curve = folder.parent / f"curve-{seed}.jsonl"
                if (folder.parent / f"done-{seed}").exists():
                    continue
                folder.parent.mkdir(parents=True, exist_ok=True)
                one = run.replace(
                    name=f"quality-{data}",
                    seed=seed,
                    data_dir=str(arguments.data_dir),
                    evaluate_every=0,
                    checkpoint_every=250,
                )
                if name == "ALI as published":
                    one = one.replace(epochs=None, steps=CAP)
                training = engine.open_run(one, folder, resume=(folder / "run.json").exists())
                split = "validation" if searches(arguments) else "test"
                watch = Curve(curve, data, split, min(arguments.cap, training.steps))
                engine.loop(training, [*default_callbacks(training, progress=False), watch])
                if training.step < min(arguments.cap, training.steps) and not all_reached(curve, data):
                    sys.exit(130)  # ended by a signal; it goes on next time
                (folder.parent / f"done-{seed}").touch()
                print(data, name, seed, read(curve)[-1], flush=True)


def all_reached(curve: Path, data: str) -> bool:
    points = read(curve)
    return all(reached(points, key, goal) is not None for key, goals in GOALS[data].items() for goal in goals)


def measure(arguments: argparse.Namespace) -> None:
    """Writes OUT/seconds-PRECISION.json: "DATA/row" -> the median seconds of a step on one thread."""
    import step as by_hand

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    seconds: dict[str, float] = {}
    for data in [arguments.only] if arguments.only else GOALS:
        loops: dict[str, Any] = {}
        found = chosen(data, arguments)
        for name, (run, _) in found.items():
            if name == "ef23085":
                continue
            one = run.replace(
                steps=10**6, epochs=None, device="cpu", precision=arguments.precision, data_dir=str(arguments.data_dir)
            )
            training = engine.prepare(one)
            if name == "ALI as published" and data == "cifar10":
                loops[name] = by_hand.by_hand(training.dataset, "ali-cifar10-paper", run.batch_size)
            else:
                loops[name] = by_hand.step_of(training, average=True)
        engine.keep_freed_memory()
        old = None
        if arguments.old and "ef23085" in found:
            place = {"PYTHONPATH": str(arguments.old.resolve() / "src")}
            given = [f"ali_{data}", str(arguments.data_dir.resolve()), str(WARM), arguments.precision]
            old = subprocess.Popen(
                [sys.executable, "-c", OLD, *given],
                env={**os.environ, **place},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            if old.stdout.readline() != "ready\n":
                sys.exit("the step of ef23085 does not run; is --old its worktree?")
        times: dict[str, list[float]] = {}
        for turn in range(-1, ROUNDS):
            for name, loop in loops.items():
                began = time.perf_counter()
                for _ in range(WARM if turn < 0 else TURN):
                    loop()
                if turn >= 0:
                    times.setdefault(name, []).append((time.perf_counter() - began) / TURN)
            if old is not None and turn >= 0:
                old.stdin.write(f"{TURN}\n")  # type: ignore[union-attr]
                old.stdin.flush()  # type: ignore[union-attr]
                times.setdefault("ef23085", []).append(float(old.stdout.readline()))  # type: ignore[union-attr]
        if old is not None:
            old.communicate()
        for name, values in times.items():
            seconds[f"{data}/{name}"] = statistics.median(values)
            print(f"{data}/{name}: {seconds[f'{data}/{name}'] * 1e3:.1f} ms a step", flush=True)
    write_json(arguments.out / f"seconds-{arguments.precision}.json", seconds)


def table(arguments: argparse.Namespace) -> None:
    """Prints the steps to each goal, and the minutes if OUT/seconds-PRECISION.json is there: medians over the seeds, of an
    even number of them the greater of the middle two.
    """
    path = arguments.out / f"seconds-{arguments.precision}.json"
    seconds = json.loads(path.read_text()) if path.exists() else {}
    for data, goals in GOALS.items():
        columns = [(key, goal) for key, values in goals.items() for goal in values]
        print(
            f"\n| {data} | seeds | s a step |" + "".join(f" {key} {goal:g}: steps | minutes |" for key, goal in columns)
        )
        print("|---|---|---|" + "---|---|" * len(columns))
        for folder in sorted((arguments.out / data).glob("*"), key=lambda one: one.stat().st_mtime):
            paths = sorted(folder.glob("curve-*.jsonl"))
            ended = [one for one in paths if (folder / f"done-{one.stem.partition('-')[2]}").exists()]
            curves = [read(one) for one in ended or paths]  # a training under way only where none has ended
            names = [key for key in seconds if key.replace(" ", "-").replace(",", "") == f"{data}/{folder.name}"]
            pace = seconds[names[0]] if names else None
            cells = []
            for key, goal in columns:
                steps = [reached(points, key, goal) for points in curves]
                known = sorted(CAP + 1 if one is None else one for one in steps)
                middle = statistics.median_high(known) if known else CAP + 1
                last = curves[0][-1]["step"] if curves and curves[0] else 0
                cells += ["not reached" if last >= CAP else f"not by {last:,g}", "-"]
                if middle <= CAP:
                    several = f" ({known[0]:,} to {known[-1]:,})" if len(known) > 1 and known[-1] <= CAP else ""
                    cells[-2:] = [f"{middle:,}{several}", f"{middle * pace / 60:.1f}" if pace else "-"]
            print(f"| {folder.name} | {len(curves)} | {f'{pace:.3f}' if pace else '-'} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "time", "table"])
    parser.add_argument("--data-dir", type=Path, help="the folder with mnist and cifar10")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=GOALS)
    parser.add_argument(
        "--filter", default="", help="only rows, or settings of a search, whose name contains this text"
    )
    parser.add_argument(
        "--seeds", type=int, default=0, help="at most so many for each row; by default 1 in a search, else all"
    )
    parser.add_argument("--cap", type=int, default=CAP, help="the last step, at most 20,000")
    parser.add_argument(
        "--search", type=int, default=0, help="the number of drawn recipes to train in place of the rows"
    )
    parser.add_argument("--near", action="store_true", help="train the settings of NEAR in place of the rows")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"], help="of the timed steps")
    parser.add_argument("--old", type=Path, help="a worktree of ef23085")
    arguments = parser.parse_args()
    {"train": train, "time": measure, "table": table}[arguments.what](arguments)


if __name__ == "__main__":
    main()
