"""The search for the default recipes: random settings, compared on validation data."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from interalia import metrics
from interalia.papers.experiment import Experiment, Job, Setting, Values, slug, texts, train
from interalia.papers.study import SMALL, on_files
from interalia.registry import Part
from interalia.runs import Run, recipes

DRAWS, FINALISTS = 12, 4
WORST = 4.0  # the cost of a diverged run, and the largest cost

Grounds = Mapping[str, tuple[Run, int]]  # name of a data set -> its recipe, and the length of a trial
FIRST: Grounds = {"digits": (recipes.ali_digits(), 1000), "MNIST": (recipes.ali_mnist(), 500)}
SECOND: Grounds = {"CIFAR-10": (recipes.ali_cifar10(), 250), "CelebA 64": (recipes.ali_celeba(), 1000)}

# the values of each setting; the rate is a multiple of the recipe's learning rate
SPACE: Mapping[str, tuple[Any, ...]] = {
    "rate": (0.5, 1.0, 2.0),
    "beta2": (0.9, 0.99, 0.999),
    "critic": (1.0, 2.0),
    "cycle": (2.0, 5.0, 10.0, 20.0),
    "gamma": (0.1, 0.3, 1.0, 3.0),
    "divergence": ("relativistic", "gan"),
    "ema": (0.99, 0.998),
    "schedule": ("constant", Part("linear", start=0.5, final=0.0), "cosine"),
}
Draw = dict[str, Any]
# the recipe as it was before the search
BEFORE: Draw = dict(zip(SPACE, (1.0, 0.999, 1.0, 2.0, 1.0, "relativistic", 0.998, "constant"), strict=True))


def draws(count: int = DRAWS) -> list[Draw]:
    """Returns `count` random settings, each value drawn independently."""
    chance = random.Random(0)
    return [{name: chance.choice(values) for name, values in SPACE.items()} for _ in range(count)]


def described(draw: Draw | None) -> str:
    """Returns a draw in words; None is the previous recipe."""
    if draw is None:
        return "the recipe as it was"
    first = "rate x{rate:g}, critic's x{critic:g}, beta2 {beta2:g}, {}, cycle {cycle:g}, "
    return (first + "gamma {gamma:g}, {divergence}, ema {ema:g}").format(Part(draw["schedule"]).name, **draw)


def with_draw(run: Run, draw: Draw) -> Run:
    """Returns the run with the settings of a draw."""
    rate = Part(run.optimizer).settings["lr"] * draw["rate"]
    return run.replace(
        game=Part("alice", cycle=draw["cycle"]),
        penalty=Part("r1r2", gamma=draw["gamma"], every=4),
        divergence=draw["divergence"],
        optimizer=Part("adam", lr=float(f"{rate:g}"), beta2=draw["beta2"]),
        lr={"critic": rate * draw["critic"]} if draw["critic"] != 1 else None,
        weight_average=Part("ema", decay=draw["ema"], warm=False),  # as in the version of the search
        schedule=draw["schedule"],
    )


def rows(setting: Setting) -> Iterator[Job]:
    """Yields trials of all draws (random settings of `SPACE`) and the previous recipe: on small data, the best on large."""
    tried = draws(2 if setting.quick else DRAWS)
    first = {"digits": FIRST["digits"]} if setting.quick else FIRST
    yield from trials_of(tried, first, setting)
    if not setting.quick:
        yield from trials_of(sorted(tried, key=lambda draw: cost(draw, setting))[:FINALISTS], SECOND, setting)


def trials_of(tried: list[Draw], grounds: Grounds, setting: Setting) -> Iterator[Job]:
    """Yields the previous recipe and these draws on these data sets."""
    for seed, draw in itertools.product(range(setting.seeds), (None, *tried)):
        for data, (recipe, length) in grounds.items():
            row, steps = f"{data}: {described(draw)}", setting.length(length, SMALL["steps"])
            run = with_draw(recipe, draw or BEFORE).replace(name=slug(row.replace(":", ",")), steps=steps, seed=seed)
            run = on_files(run.replace(evaluate_every=0, checkpoint_every=500), setting)
            base = f"{data}: {described(None)}" if draw else None
            yield Job(row, seed, partial(trial, run, base, steps, setting), steps)


def trial(run: Run, base: str | None, steps: int, setting: Setting) -> Values:
    """Trains a draw's run and returns its validation metrics; "cost" is relative to `base`, the previous recipe (or None)."""
    done, dataset = train(run, setting)
    evidence = metrics.Evidence(done.game, dataset, "validation", count=2000)
    names = {"ratio": "reconstruction_ratio", "frechet": "frechet_distance", "coverage": "coverage"}
    values = {key: metrics.REGISTRY[name](evidence) for key, name in names.items()}
    before = values if base is None else setting.done(base, run.seed, steps)
    return values if before is None else {**values, "cost": relative(values, before)}


def relative(values: Values | None, base: Values | None) -> float:
    """Returns the geometric mean of ratio and Frechet distance over the previous recipe's; `WORST` if diverged or missing."""
    if not values or not base:
        return WORST
    return min(WORST, math.sqrt(values["ratio"] / base["ratio"] * values["frechet"] / base["frechet"]))


def cost(draw: Draw, setting: Setting) -> float:
    """Returns the mean of `relative` over digits, MNIST and seeds for a draw, one random choice of all settings."""
    costs = []
    for (data, (_, length)), seed in itertools.product(FIRST.items(), range(setting.seeds)):
        steps = setting.length(length, SMALL["steps"])
        costs.append(relative(*(setting.done(f"{data}: {described(one)}", seed, steps) for one in (draw, None))))
    return sum(costs) / len(costs)


CHOICES = "; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in SPACE.items())
RECIPE_SEARCH = Experiment(
    **texts("recipe-search", draws=DRAWS, best=FINALISTS, worst=WORST, steps=SMALL["steps"], space=CHOICES),
    rows=rows,
    seeds=1,
)
