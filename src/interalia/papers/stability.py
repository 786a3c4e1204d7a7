"""Does the training hold? Dynamics against time, ten seeds of the published and of the tuned recipe, the weight of the round
trip."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from interalia.disk import write_json
from interalia.errors import DivergedError
from interalia.papers.experiment import Experiment, Job, Setting, Values, trained
from interalia.papers.inferring import QUICK_STEPS, on
from interalia.runs import Run, recipes
from interalia.training.callbacks.callback import Observer

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.games import Game, Outcome
    from interalia.training.state import Training

COUNT = 2000  # held-out images
DATA = {"MNIST": recipes.ali_mnist, "CIFAR-10": recipes.ali_cifar10}


def reconstruction_error(game: Game, x: Tensor) -> float:
    """Mean squared error a pixel."""
    from interalia import tasks

    return float((x - tasks.reconstruct(game, x)).square().mean())


# ---- extragradient against time

SEM_STEPS = 4000  # looks at a batch
LOOKS = 12  # points of a curve
WARM, TIMED = 3, 15  # steps before those that are timed, and those
TUNING_SEED = 1000
METHODS: Mapping[str, tuple[str, str]] = {  # a row's name -> dynamics and optimiser
    "SGD": ("simultaneous", "sgd(lr={rate})"),
    "SEM, fresh batches": ("extragradient", "sgd(lr={rate})"),
    "SEM, batches used twice": ("extragradient(fresh=False)", "sgd(lr={rate})"),
    "Adam": ("simultaneous", "adam(lr={rate}, beta1=0.5, beta2=0.9)"),
    "ExtraAdam, fresh batches": ("extragradient", "adam(lr={rate}, beta1=0.5, beta2=0.9)"),
    "ExtraAdam, batches used twice": ("extragradient(fresh=False)", "adam(lr={rate}, beta1=0.5, beta2=0.9)"),
}
TRIED = {"sgd": (0.01, 0.03, 0.1, 0.3), "adam": (0.0002, 0.0005, 0.001, 0.002)}  # learning rates


class Curve(Observer):
    """Notes the reconstruction error of held-out images and the steps done, a few times."""

    def __init__(self, x: Tensor, steps: int) -> None:
        self.x = x
        self.every = max(1, steps // LOOKS)
        self.points: list[tuple[float, float]] = []

    def step(self, training: Training, outcome: Outcome) -> None:
        if training.step % self.every == 0 or training.step == training.steps:
            self.points.append((training.step, reconstruction_error(training.sampled, self.x)))


def sem_jobs(setting: Setting) -> Iterator[Job]:
    """Data by data and seed by seed: every method at its own best rate."""
    looks = setting.steps or (QUICK_STEPS if setting.quick else SEM_STEPS)
    for data in ("MNIST",) if setting.quick else DATA:
        for seed in range(setting.seeds):
            for method in METHODS:
                yield Job(f"{data}: {method}", seed, partial(sem_work, data, method, seed, looks, setting), looks)


def sem_run(data: str, method: str, rate: float, seed: int, looks: int, setting: Setting) -> Run:
    flow, optimiser = METHODS[method]
    run = DATA[data](game="ali", seed=seed, dynamics=flow, optimiser=optimiser.format(rate=rate), ema=0)
    if setting.quick:
        run = run.replace(data="digits", networks="auto(width=8)")
    elif setting.root is not None:
        run = run.replace(root=str(setting.root))
    # half a step of extragradient is one look
    return run.replace(steps=max(1, looks // (2 if flow.startswith("extra") else 1)), evaluate_every=0)


def curve(run: Run, part: str) -> list[tuple[float, float]]:
    """Trains a run and notes its curve on a part of the data; one that diverges ends there."""
    from interalia.data.store import as_tensor
    from interalia.training import engine
    from interalia.training.callbacks.health import Health

    training = engine.prepare(run)
    x = as_tensor(getattr(training.dataset, part).x[:COUNT])
    noted = Curve(x, training.steps)
    engine.loop(training, [Health(), noted])
    if training.step < training.steps:  # asked to stop: half a curve is none
        raise KeyboardInterrupt
    return noted.points


def step_seconds(data: str, setting: Setting) -> dict[str, float]:
    """What a step of each method takes: the median of many, one of each method in turn; kept in a file.

    The curves' steps are turned into time by these, so that what else the machine does during a training of hours moves no
    curve against another.
    """
    from interalia.training import engine

    path = setting.folder / f"seconds-{data}.json"
    if path.exists():
        found: dict[str, float] = json.loads(path.read_text())
        return found
    trainings = {
        method: engine.prepare(sem_run(data, method, TRIED[kind_of(method)][0], TUNING_SEED, TIMED, setting))
        for method in METHODS
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


def kind_of(method: str) -> str:
    """The name of a method's optimiser."""
    return METHODS[method][1].partition("(")[0]


def best_rate(data: str, method: str, looks: int, setting: Setting) -> float:
    """The rate with the least error on validation images after half the length, of a seed of its own; kept in a file."""
    path = setting.folder / f"rate-{data}-{method}-{looks}.json".replace(" ", "-").replace(",", "")
    if path.exists():
        return float(json.loads(path.read_text())["rate"])
    errors: dict[float, float] = {}
    for rate in TRIED[kind_of(method)]:
        try:
            points = curve(sem_run(data, method, rate, TUNING_SEED, max(2, looks // 2), setting), "validation")
            errors[rate] = points[-1][1]
        except DivergedError:
            errors[rate] = float("inf")
    rate = min(errors, key=lambda rate: errors[rate])
    write_json(path, {"rate": rate, "errors": {str(key): value for key, value in errors.items()}})
    return rate


def sem_work(data: str, method: str, seed: int, looks: int, setting: Setting) -> Values:
    """One curve; its figure with those that are there already."""
    from interalia.reports import plots

    cost = step_seconds(data, setting)[method]
    rate = best_rate(data, method, looks, setting)
    points = [(cost * step, e) for step, e in curve(sem_run(data, method, rate, seed, looks, setting), "test")]
    folder = setting.folder / f"curves-{data}-{looks}"
    write_json(folder / f"{method}, seed {seed}.json", points)
    curves: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in METHODS}
    for path in sorted(folder.glob("*.json")):
        curves[path.stem.rpartition(", seed ")[0]].append(json.loads(path.read_text()))
    plots.bands(
        {name: found for name, found in curves.items() if found},
        setting.folder.parent / "pictures" / f"sem-{data.lower()}.png",
        "CPU seconds of training",
        "squared error of test reconstructions, a pixel",
    )
    return {
        "mse": points[-1][1],
        "rate": rate,
        "step": 1000 * cost,
        "training": points[-1][0],
    }


SEM_ALI = Experiment(
    name="sem-ali",
    about="ALI by simultaneous and by extragradient steps, with gradient descent and with Adam, against time.",
    jobs=sem_jobs,
    columns={
        "mse": "squared error of test reconstructions at the end, a pixel ↓",
        "rate": "learning rate",
        "step": "ms a step",
        "training": "CPU seconds of training",
    },
    paper={},
    protocol=(
        f"ALI without a round trip, the recipes ali-mnist's and ali-cifar10's networks, relativistic pairing, R1 + R2, no "
        f"averaging, rates that fall by a cosine. {SEM_STEPS:,} looks at a batch of 128 for every method: "
        f"so many steps for simultaneous moves, half as "
        f"many for extragradient, which looks twice a step. The learning rate of each method and data set is that of "
        f"{', '.join(map(str, TRIED['sgd']))} (gradient descent) or {', '.join(map(str, TRIED['adam']))} (Adam, betas 0.5, "
        f"0.9) with the least error on {COUNT:,} validation images after half the looks, of a seed that is not in the table. "
        f"Error: {COUNT:,} test images, means of the conditionals. CPU time: steps times what a step of the method takes, "
        f"the median of {TIMED} steps of one thread, every method in turn before all trainings, on the machine named below."
    ),
    quick_protocol=f"scikit-learn's 8x8 digits, small networks, {QUICK_STEPS} looks, one seed: it shows the table's shape.",
    seeds=5,
    cut="CUT to {steps:,} looks a training (--steps)",
)


# ---- ten seeds

STABILITY_STEPS = 4000


def stability_jobs(setting: Setting) -> Iterator[Job]:
    """Data by data and seed by seed: as published, and as tuned."""
    for data in ("MNIST",) if setting.quick else DATA:
        published = recipes.ali_mnist_report(noise="none") if data == "MNIST" else recipes.ali_cifar10_paper()
        rows = {"ALI as published": published, "ALI, tuned": DATA[data](game="ali"), "tuned recipe": DATA[data]()}
        for seed in range(setting.seeds):
            for row, base in rows.items():
                name = f"stability-{data}-{row}".lower().replace(" ", "-").replace(",", "")
                run = on(base.replace(name=name, seed=seed), setting, STABILITY_STEPS)
                steps = run.steps or 0
                run = run.replace(evaluate_every=max(1, steps // 8))
                yield Job(f"{data}: {row}", seed, partial(stability_work, run, setting), steps)


def stability_work(run: Run, setting: Setting) -> Values:
    """Trains one run; whether it diverged, collapsed, or infers nothing by the verdict at its end, and how good it is."""
    from interalia.metrics.evaluation import evaluate
    from interalia.metrics.verdicts import findings, signs_of
    from interalia.runs.log import read

    try:
        done, dataset = trained(run, setting)
    except DivergedError:
        return {"failed": 100.0, "diverged": 100.0}
    assert done.folder is not None
    names = {finding.name for finding in findings(signs_of(read(done.folder)), done.run.steps or 0)}
    collapsed = bool(names & {"generator collapsed", "samples alike"})
    ignored = "encoder ignored" in names
    measures = {measure.name: measure.value for measure in evaluate(done.game, dataset, count=COUNT)}
    return {
        "failed": 100.0 * (collapsed or ignored),
        "diverged": 0.0,
        "collapsed": 100.0 * collapsed,
        "ignored": 100.0 * ignored,
        "ratio": measures["reconstruction_ratio"],
        "coverage": measures["coverage"],
        "frechet": measures["frechet_distance"],
    }


ALI_STABILITY = Experiment(
    name="ali-stability",
    about="Ten seeds of ALI as published and as tuned: how many diverge, collapse or infer nothing.",
    jobs=stability_jobs,
    columns={
        "failed": "failed, % of the seeds ↓",
        "diverged": "diverged, %",
        "collapsed": "collapsed, %",
        "ignored": "encoder ignored, %",
        "ratio": "reconstruction ratio ↓",
        "coverage": "coverage ↑",
        "frechet": "Frechet distance of samples ↓",
    },
    paper={},
    protocol=(
        "As published: on MNIST, which ALI's paper does not have, the reproduction report's networks and rates without its "
        "noise; on CIFAR-10 the paper's. Tuned: the recipes ali-mnist and ali-cifar10, and the same without ALICE's round "
        f"trip. {STABILITY_STEPS:,} steps each, at the recipe's own batch. Diverged: a loss or a weight was no number. "
        "Collapsed, encoder ignored: the verdict of the last three of eight evaluations on validation images. The measures "
        f"are of {COUNT:,} test images and as many samples, of the runs that did not diverge."
    ),
    quick_protocol=f"scikit-learn's 8x8 digits, small networks, {QUICK_STEPS} steps, one seed: it shows the table's shape.",
    seeds=10,
)


# ---- the weight of the round trip

WEIGHT_STEPS = 8000
WEIGHTS = {  # ALICE, MNIST: the weight -> the paper's MSE and score
    "0": ("0.4803 ± 0.100", "8.749 ± 0.09"),
    "0.01": ("0.1721", "9.1045"),
    "0.1": ("0.0982", "9.2618"),
    "1": ("0.0803 ± 0.007", "9.279 ± 0.07"),
    "10": ("0.0856", "8.918"),
}


def weight_jobs(setting: Setting) -> Iterator[Job]:
    """Seed by seed, every weight."""
    for seed in range(setting.seeds):
        for weight in WEIGHTS:
            run = recipes.ali_mnist(name=f"alice-mnist-{weight}", game=f"alice(cycle={float(weight)})", seed=seed)
            run = on(run, setting, WEIGHT_STEPS)
            yield Job(f"lambda {weight}", seed, partial(weight_work, run, setting), run.steps or 0)


def weight_work(run: Run, setting: Setting) -> Values:
    """Trains one run; its reconstructions, and what a classifier makes of its samples and of real images."""
    from interalia import tasks
    from interalia.data.store import as_tensor
    from interalia.metrics.classifier import Classifier
    from interalia.metrics.distances import inception_score
    from interalia.reports import plots

    done, dataset = trained(run, setting)
    judge = Classifier.of(dataset)
    x = as_tensor(dataset.test.x)
    samples = tasks.generate(done.game, len(x), seed=run.seed, how="sample")
    plots.grid(samples[:50].numpy(), setting.folder.parent / "pictures" / f"{run.name}-seed-{run.seed}.png", columns=10)
    splits = min(10, max(1, len(x) // 100))
    return {
        "mse": reconstruction_error(done.game, x),
        "score": inception_score(judge.probabilities(samples), splits),
        "real": inception_score(judge.probabilities(x), splits),
    }


ALICE_MNIST = Experiment(
    name="alice-mnist",
    about="The weight of ALICE's round trip on MNIST: reconstructions against samples.",
    jobs=weight_jobs,
    columns={
        "mse": "squared error of test reconstructions, a pixel ↓",
        "score": "classifier score of samples ↑",
        "real": "the same of test images",
    },
    paper={
        f"lambda {weight}": {
            "ALICE": {key: value for key, value in zip(("mse", "score"), figures, strict=True) if value}
            | {"real": "9.8793"}
        }
        for weight, figures in WEIGHTS.items()
    },
    protocol=(
        f"The recipe ali-mnist (relativistic pairing, R1 + R2, averaged weights), the weight of the row, {WEIGHT_STEPS:,} "
        "steps of 128. Error: all test images in [0, 1], means of the conditionals. Score: the exponential of the mutual "
        "information of sample and class by interalia's own classifier, ten parts; the paper's classifier is another, so "
        "that its scores stand against its own 9.88 of real images."
    ),
    quick_protocol=f"scikit-learn's 8x8 digits, small networks, {QUICK_STEPS} steps, one seed: it shows the table's shape.",
    seeds=2,
)
