"""ALI with extragradient and with simultaneous steps: its error against CPU time, each at its best learning rate."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from interalia import tasks
from interalia.disk import write_json
from interalia.errors import DivergedError
from interalia.papers.experiment import Experiment, Job, Setting, Values, changes, texts
from interalia.papers.study import SMALL, draw_curves, on_files
from interalia.registry import Part
from interalia.runs import Run, claims, recipes, schemas
from interalia.training import engine
from interalia.training.callbacks.curve import Curve
from interalia.training.callbacks.nan import TerminateOnNaN

COUNT = 2000  # held-out images
LENGTH = 4000  # gradient evaluations
TIMED = 15  # steps
TUNING_SEED = 1000
DATA = {"MNIST": recipes.ali_mnist, "CIFAR-10": recipes.ali_cifar10}
METHODS = changes("sem-ali")
TRIED = {"sgd": (0.01, 0.03, 0.1, 0.3), "adam": (0.0002, 0.0005, 0.001, 0.002)}  # learning rates


def rows(setting: Setting) -> Iterator[Job]:
    """Yields a `Job` for each data set, seed and method (dynamics and optimizer); a smoke test has one data set."""
    length = setting.length(LENGTH, SMALL["steps"])
    for data, seed, method in itertools.product(DATA, range(setting.seeds), METHODS):
        if data == "MNIST" or not setting.quick:
            yield Job(f"{data}: {method}", seed, partial(measure, data, method, seed, length, setting), length)


def rates(method: str) -> tuple[float, ...]:
    """Returns the learning rates that are tried for the optimizer of a method, a key of `METHODS`."""
    return TRIED[Part(METHODS[method]["optimizer"]).name]


def run_of(data: str, method: str, rate: float, seed: int, length: int, setting: Setting) -> Run:
    """Returns the run of a method (dynamics and optimizer) on a data set with the learning rate `rate`. `data` and `method`
    are keys of `DATA` and `METHODS`; `length` is the number of gradient evaluations, two for each step of extragradient.
    """
    flow, optimizer = METHODS[method].values()
    own = {"dynamics": flow, "optimizer": Part(optimizer, lr=rate), "weight_average": "none", "evaluate_every": 0}
    run = DATA[data](game="ali", seed=seed, **own)
    if setting.quick:
        run = run.replace(data=SMALL["data"], networks=SMALL["networks"])
    steps = max(1, length // (2 if flow.startswith("extra") else 1))
    return on_files(run, setting).replace(steps=steps)


def curve(run: Run, split: str) -> list[tuple[float, float]]:
    """Trains a run; returns (step, squared reconstruction error per pixel on 2,000 images of `split`) at about 12 steps,
    equally spaced, and at the last. Raises DivergedError if a loss or weight is not finite, KeyboardInterrupt if stopped.
    """
    training = engine.prepare(run)
    recorder = Curve(lambda game, x: float((x - tasks.reconstruct(game, x)).square().mean()), split, COUNT, 12)
    engine.loop(training, [TerminateOnNaN(), recorder])
    if training.step < training.steps:  # interrupted: half a curve is no result
        raise KeyboardInterrupt
    return recorder.points


def cached(cache_path: Path, compute: Callable[[], Any], key: str) -> float:
    """Returns the number under `key` in a JSON file; without the file, the result of `compute` is first written to it."""
    with claims.waiting(cache_path.parent, f".{cache_path.stem}"):  # until another process has computed it
        if not cache_path.exists():
            write_json(cache_path, compute())
    return schemas.read(cache_path, float, key)


def step_seconds(data: str, setting: Setting) -> dict[str, float]:
    """Returns method (each key of `METHODS`) -> CPU seconds of a step of its training on `data`, a key of `DATA`: the median
    of its steps 4 to 18. All methods make their first step, then all make their second one, and so on.
    """
    trainings = {
        method: engine.prepare(run_of(data, method, rates(method)[0], TUNING_SEED, TIMED, setting))
        for method in METHODS
    }
    engine.keep_freed_memory()
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    for _, (method, training) in itertools.product(range(3 + TIMED), trainings.items()):
        began = time.process_time()
        training.dynamics.step(training.batches)
        seconds[method].append(time.process_time() - began)
    return {method: statistics.median(values[3:]) for method, values in seconds.items()}


def best_rate(data: str, method: str, length: int, setting: Setting) -> float:
    """Returns the learning rate of a method (a key of `METHODS`) on `data` (a key of `DATA`) with the lowest validation error
    after half of `length` gradient evaluations. Each of `rates(method)` is tried with one seed, which is none of the table's.
    The result is saved in `setting.folder`, from which later calls read it.
    """

    def search() -> dict[str, Any]:
        """Trains at each rate of `rates(method)`; returns {"rate": that with the lowest error, "errors": rate -> error}. The
        error is the squared one on validation images after the last step, infinite if the training diverged.
        """
        errors = {}
        for rate in rates(method):
            run = run_of(data, method, rate, TUNING_SEED, max(2, length // 2), setting)
            try:
                errors[rate] = curve(run, "validation")[-1][1]
            except DivergedError:
                errors[rate] = float("inf")
        return {"rate": min(errors, key=errors.__getitem__), "errors": errors}

    path = setting.folder / f"rate-{data}-{method}-{length}.json".replace(" ", "-").replace(",", "")
    return cached(path, search, "rate")


def measure(data: str, method: str, seed: int, length: int, setting: Setting) -> Values:
    """Trains a method, i.e. dynamics with an optimizer, on a data set for `length` gradient evaluations, and returns column
    -> value: `mse`, the squared reconstruction error per pixel on test images; the learning `rate`; and CPU time, as `step`,
    in ms per step, and `training`, in seconds. `data` and `method` are keys of `DATA` and `METHODS`. The rate is the best on
    validation images: a search finds it at the first call, later ones read it from a file. The curve of the test error
    against CPU time is saved as JSON in `setting.folder`, and the curves of all rows so far are drawn in `setting.pictures`.
    """
    cost = cached(setting.folder / f"seconds-{data}.json", partial(step_seconds, data, setting), method)
    rate = best_rate(data, method, length, setting)
    points = [(cost * step, error) for step, error in curve(run_of(data, method, rate, seed, length, setting), "test")]
    folder = setting.folder / f"curves-{data}-{length}"
    write_json(folder / f"{method}, seed {seed}.json", points)
    picture, x = setting.pictures / f"sem-{data.lower()}.png", "CPU seconds of training"
    draw_curves(folder, picture, x, "squared error of test reconstructions, per pixel")
    return {"mse": points[-1][1], "rate": rate, "step": 1000 * cost, "training": points[-1][0]}


RATES = {name: ", ".join(map(str, rates)) for name, rates in TRIED.items()}
WORDS = texts("sem-ali", length=LENGTH, count=COUNT, timed=TIMED, steps=SMALL["steps"], **RATES)
SEM_ALI = Experiment(**WORDS, rows=rows)
