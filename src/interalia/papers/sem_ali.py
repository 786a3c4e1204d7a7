"""Extragradient against time: a learning rate of its own for every method, and curves over the CPU time of its steps."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from interalia import tasks
from interalia.disk import write_json
from interalia.errors import DivergedError
from interalia.papers.experiment import Experiment, Job, Setting, Values
from interalia.papers.study import SMALL, bands, on_files
from interalia.registry import Part
from interalia.runs import Run, recipes
from interalia.training import engine
from interalia.training.callbacks.curve import Curve
from interalia.training.callbacks.health import Health

if TYPE_CHECKING:
    from interalia.games import Game

COUNT = 2000  # held-out images
LENGTH = 4000  # evaluations of the gradient
POINTS = 12  # of a curve
WARM, TIMED = 3, 15  # steps before those that are timed, and those
TUNING_SEED = 1000
DATA = {"MNIST": recipes.ali_mnist, "CIFAR-10": recipes.ali_cifar10}
SGD, ADAM = Part("sgd", lr=0.1), Part("adam", lr=0.001, beta1=0.5, beta2=0.9)
TWICE = Part("extragradient", fresh=False)
METHODS: Mapping[str, tuple[str, Part]] = {  # a row's name -> dynamics and optimizer, but for its rate
    "SGD": ("simultaneous", SGD),
    "SEM, fresh batches": ("extragradient", SGD),
    "SEM, batches used twice": (TWICE, SGD),
    "Adam": ("simultaneous", ADAM),
    "ExtraAdam, fresh batches": ("extragradient", ADAM),
    "ExtraAdam, batches used twice": (TWICE, ADAM),
}
TRIED = {"sgd": (0.01, 0.03, 0.1, 0.3), "adam": (0.0002, 0.0005, 0.001, 0.002)}  # learning rates


def reconstruction_error(game: Game, x: Tensor) -> float:
    """Mean squared error a pixel."""
    return float((x - tasks.reconstruct(game, x)).square().mean())


def rows(setting: Setting) -> Iterator[Job]:
    """Data by data and seed by seed: every method at its own best rate."""
    length = setting.length(LENGTH, SMALL["steps"])
    for data in ("MNIST",) if setting.quick else DATA:
        for seed in range(setting.seeds):
            for method in METHODS:
                yield Job(f"{data}: {method}", seed, partial(work, data, method, seed, length, setting), length)


def run_of(data: str, method: str, rate: float, seed: int, length: int, setting: Setting) -> Run:
    flow, optimizer = METHODS[method]
    run = DATA[data](game="ali", seed=seed, dynamics=flow, optimiser=optimizer.but(lr=rate), ema=0, evaluate_every=0)
    if setting.quick:
        run = run.replace(data=SMALL["data"], networks=SMALL["networks"])
    # a step of extragradient evaluates the gradient twice
    steps = max(1, length // (2 if flow.startswith("extra") else 1))
    return on_files(run, setting).replace(steps=steps)


def curve(run: Run, part: str) -> list[tuple[float, float]]:
    """Trains a run and notes its curve on a part of the data; one that diverges ends there."""
    training = engine.prepare(run)
    noted = Curve(reconstruction_error, part, COUNT, POINTS)
    engine.loop(training, [Health(), noted])
    if training.step < training.steps:  # asked to stop: half a curve is none
        raise KeyboardInterrupt
    return noted.points


def step_seconds(data: str, setting: Setting) -> dict[str, float]:
    """What a step of each method takes: the median of many, one of each method in turn; kept in a file.

    The curves' steps are turned into time by these, so that what else the machine does during a training of hours moves no
    curve against another.
    """
    path = setting.folder / f"seconds-{data}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    trainings = {
        method: engine.prepare(run_of(data, method, TRIED[optimizer.name][0], TUNING_SEED, TIMED, setting))
        for method, (_, optimizer) in METHODS.items()
    }
    engine.keep_memory()
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    for turn in range(WARM + TIMED):
        for method, training in trainings.items():
            began = time.process_time()
            training.dynamics.step(training.batches)
            if turn >= WARM:
                seconds[method].append(time.process_time() - began)
    found = {method: statistics.median(values) for method, values in seconds.items()}
    write_json(path, found)
    return found


def best_rate(data: str, method: str, length: int, setting: Setting) -> float:
    """The rate with the least error on validation images after half the length, of a seed of its own; kept in a file."""
    path = setting.folder / f"rate-{data}-{method}-{length}.json".replace(" ", "-").replace(",", "")
    if path.exists():
        return float(json.loads(path.read_text())["rate"])
    errors: dict[float, float] = {}
    for rate in TRIED[METHODS[method][1].name]:
        run = run_of(data, method, rate, TUNING_SEED, max(2, length // 2), setting)
        try:
            errors[rate] = curve(run, "validation")[-1][1]
        except DivergedError:
            errors[rate] = float("inf")
    rate = min(errors, key=lambda rate: errors[rate])
    write_json(path, {"rate": rate, "errors": {str(key): value for key, value in errors.items()}})
    return rate


def work(data: str, method: str, seed: int, length: int, setting: Setting) -> Values:
    """One curve; its figure with those that are there already."""
    cost = step_seconds(data, setting)[method]
    rate = best_rate(data, method, length, setting)
    run = run_of(data, method, rate, seed, length, setting)
    points = [(cost * step, error) for step, error in curve(run, "test")]
    folder = setting.folder / f"curves-{data}-{length}"
    write_json(folder / f"{method}, seed {seed}.json", points)
    picture, x = setting.pictures / f"sem-{data.lower()}.png", "CPU seconds of training"
    bands(folder, picture, x, "squared error of test reconstructions, a pixel")
    return {"mse": points[-1][1], "rate": rate, "step": 1000 * cost, "training": points[-1][0]}


SEM_ALI = Experiment(
    name="sem-ali",
    about="ALI by simultaneous and by extragradient steps, with gradient descent and with Adam, against time.",
    rows=rows,
    columns={
        "mse": "squared error of test reconstructions at the end, a pixel ↓",
        "rate": "learning rate",
        "step": "ms a step",
        "training": "CPU seconds of training",
    },
    method="ALI without a round trip, the recipes ali-mnist's and ali-cifar10's networks, relativistic pairing, R1 + R2, no "
    f"averaging, rates that fall by a cosine. {LENGTH:,} evaluations of the gradient on a batch of 128 for every method: so "
    "many steps for simultaneous moves, half as many for extragradient, whose step takes two. The learning rate of each "
    f"method and data set is that of {', '.join(map(str, TRIED['sgd']))} (gradient descent) or "
    f"{', '.join(map(str, TRIED['adam']))} (Adam, betas 0.5, 0.9) with the least error on {COUNT:,} validation images after "
    f"half the length, of a seed that is not in the table. Error: {COUNT:,} test images, means of the conditionals. CPU "
    f"time: steps times what a step of the method takes, the median of {TIMED} steps of one thread, every method in turn "
    "before all trainings, on the machine named below.",
    quick=f"scikit-learn's 8x8 digits, small networks, {SMALL['steps']} evaluations, one seed",
    seeds=5,
    cut="CUT to {steps:,} evaluations of the gradient a training (--steps)",
)
