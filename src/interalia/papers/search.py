"""The search for this library's default recipes: random hyperparameters, compared by metrics on validation data."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from interalia import metrics
from interalia.papers.experiment import Experiment, Job, Setting, Values, all_texts, slug, texts, train
from interalia.papers.study import SMALL, on_files, posterior_variance
from interalia.registry import Part
from interalia.runs import Run, recipes

POINTS, FINALISTS = 12, 4
WORST = 4.0  # the cost of a diverged run, and the largest cost

Grounds = Mapping[str, tuple[Run, int]]  # name of a data set -> its recipe, and the length of a trial
FIRST: Grounds = {"digits": (recipes.ali_digits(), 1000), "MNIST": (recipes.ali_mnist(), 500)}
SECOND: Grounds = {"CIFAR-10": (recipes.ali_cifar10(), 250), "CelebA 64": (recipes.ali_celeba(), 1000)}

Choice = dict[str, Any]  # a point of the search space: hyperparameter -> value
# the values of each hyperparameter, the recipe as it was before the search, the one found by it, and values of its losses
SPACE, BEFORE, FOUND, LOSSES = (all_texts()["recipe-search"]["runs"][k] for k in ("space", "before", "found", "losses"))


def points(count: int = POINTS) -> list[Choice]:
    """Returns the first `count` points of a fixed random sequence, each hyperparameter -> one of its values in `SPACE`."""
    chance = random.Random(0)
    return [{name: chance.choice(values) for name, values in SPACE.items()} for _ in range(count)]


def losses() -> list[Choice]:
    """Returns the recipe that the search found with all combinations of the weights in `LOSSES`."""
    return [{**FOUND, **dict(zip(LOSSES, weights, strict=True))} for weights in itertools.product(*LOSSES.values())]


def described(point: Choice | None) -> str:
    """Returns a text for the name of a row: a point's hyperparameters, such as "rate x2, critic's x1, beta2 0.9, linear,
    cycle 5, gamma 0.3, relativistic, ema 0.998"; or "the recipe as it was" for None, the recipe before the search.
    """
    if point is None:
        return "the recipe as it was"
    first = "rate x{rate:g}, critic's x{critic:g}, beta2 {beta2:g}, {}, cycle {cycle:g}, "
    last = "gamma {gamma:g}, {divergence}, ema {ema:g}" + (", sleep {sleep:g}" if "sleep" in point else "")
    return (first + last).format(Part(point["schedule"]).name, **point)


def with_point(run: Run, point: Choice) -> Run:
    """Returns the run with the hyperparameters of a point of the search space; "rate" multiplies the run's learning rate."""
    rate = Part(run.optimizer).settings["lr"] * point["rate"]
    return run.replace(
        game=Part("alice", cycle=point["cycle"], **({"sleep": point["sleep"]} if "sleep" in point else {})),
        penalty=Part("r1r2", gamma=point["gamma"], every=4),
        divergence=point["divergence"],
        optimizer=Part("adam", lr=float(f"{rate:g}"), beta2=point["beta2"]),
        lr={"critic": rate * point["critic"]} if point["critic"] != 1 else None,
        weight_average=Part("ema", decay=point["ema"], warm=False),  # as in the version of the search
        schedule=point["schedule"],
    )


def rows(setting: Setting) -> Iterator[Job]:
    """Yields a `Job` for the recipe before the search and each random point, on small data; then for that recipe and the four
    points with the lowest `cost`, on large data; then for `losses`, on small data. A smoke test has two points, on digits.
    """
    tried = points(2 if setting.quick else POINTS)
    first = {"digits": FIRST["digits"]} if setting.quick else FIRST
    yield from trials_of([None, *tried], first, setting)
    if not setting.quick:
        before = [f"{data}: {described(point)}" for data in FIRST for point in (None, *tried)]
        best = sorted(tried, key=lambda point: cost(point, setting))[:FINALISTS]
        yield from trials_of([None, *best], SECOND, setting, before)
        yield from trials_of(losses(), FIRST, setting)


def trials_of(tried: Sequence[Any], grounds: Grounds, setting: Setting, after: Sequence[str] = ()) -> Iterator[Job]:
    """Yields a `Job` for each seed, point in `tried` and data set; None is the recipe before the search. `grounds`: name of a
    data set -> (recipe that has other hyperparameters, steps); `after`: rows that come first.
    """
    for seed, point in itertools.product(range(setting.seeds), tried):
        for data, (recipe, length) in grounds.items():
            row, steps = f"{data}: {described(point)}", setting.length(length, SMALL["steps"])
            run = with_point(recipe, point or BEFORE).replace(name=slug(row.replace(":", ",")), steps=steps, seed=seed)
            run = on_files(run.replace(evaluate_every=0, checkpoint_every=500), setting)
            base = f"{data}: {described(None)}" if point else None
            yield Job(row, seed, partial(trial, run, base, steps, setting), steps, [*after, base or ""])


def trial(run: Run, base: str | None, steps: int, setting: Setting) -> Values:
    """Trains a run and returns column -> value on validation data: `ratio`, the reconstruction ratio; `frechet`, the Frechet
    distance; `coverage`; `variance`, that of q(z | x); `cost`, by `relative`. `base` is the row of the recipe before the
    search, or None if `run` is that recipe; without its finished row there is no `cost`.
    """
    done, dataset = train(run, setting)
    evidence = metrics.Evidence(done.game, dataset, "validation", count=2000)
    names = {"ratio": "reconstruction_ratio", "frechet": "frechet_distance", "coverage": "coverage"}
    values = {key: metrics.REGISTRY[name](evidence) for key, name in names.items()}
    values["variance"] = posterior_variance(evidence)
    before = values if base is None else setting.done(base, run.seed, steps)
    return values if before is None else {**values, "cost": relative(values, before)}


def relative(values: Values | None, base: Values | None) -> float:
    """Returns the cost of a run: the geometric mean of `ratio` and `frechet` in `values`, each divided by that in `base`, at
    most 4 (`WORST`). `values` and `base` are column -> value of the run and of the recipe before the search; the cost is 4 if
    one is empty (the training diverged) or None (not finished).
    """
    if not values or not base:
        return WORST
    return min(WORST, math.sqrt(values["ratio"] / base["ratio"] * values["frechet"] / base["frechet"]))


def cost(point: Choice, setting: Setting) -> float:
    """Returns the mean of `relative` for a point of the search space over small data sets and seeds, from finished rows."""
    costs = []
    for (data, (_, length)), seed in itertools.product(FIRST.items(), range(setting.seeds)):
        steps = setting.length(length, SMALL["steps"])
        costs.append(relative(*(setting.done(f"{data}: {described(one)}", seed, steps) for one in (point, None))))
    return sum(costs) / len(costs)


CHOICES = "; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in SPACE.items())
RECIPE_SEARCH = Experiment(
    **texts("recipe-search", draws=POINTS, best=FINALISTS, worst=WORST, steps=SMALL["steps"], space=CHOICES), rows=rows
)
