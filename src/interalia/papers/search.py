"""The search for the default recipes: settings drawn at random, held against each other on validation data."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from interalia.disk import write_json
from interalia.errors import DivergedError
from interalia.papers.experiment import Experiment, Job, Setting, Values, trained
from interalia.papers.inferring import QUICK_STEPS
from interalia.runs import Run, recipes

COUNT = 2000  # validation images, and as many samples
DRAWS = 12
FINALISTS = 4
SEED = 0  # of the draws
WORST = 4.0  # what a run that diverged, or a number without bound, counts


@dataclass(frozen=True)
class Ground:
    """A data set that settings are tried on.

    Attributes:
        recipe: the recipe of it.
        steps: the length of a trial.
    """

    recipe: recipes.Recipe
    steps: int


FIRST = {"digits": Ground(recipes.ali_digits, 1000), "MNIST": Ground(recipes.ali_mnist, 500)}
SECOND = {"CIFAR-10": Ground(recipes.ali_cifar10, 250), "CelebA 64": Ground(recipes.ali_celeba, 1000)}

# what a draw chooses from; the rate is a multiple of the recipe's own
SPACE: dict[str, tuple[float | str, ...]] = {
    "rate": (0.5, 1.0, 2.0),
    "beta2": (0.9, 0.99, 0.999),
    "critic": (1.0, 2.0),
    "cycle": (2.0, 5.0, 10.0, 20.0),
    "gamma": (0.1, 0.3, 1.0, 3.0),
    "divergence": ("relativistic", "gan"),
    "ema": (0.99, 0.998),
    "schedule": ("constant", "linear(start=0.5, final=0.0)", "cosine"),
}
Draw = dict[str, float | str]
BEFORE: Draw = {  # the recipe as it was before the search
    "rate": 1.0,
    "beta2": 0.999,
    "critic": 1.0,
    "cycle": 2.0,
    "gamma": 1.0,
    "divergence": "relativistic",
    "ema": 0.998,
    "schedule": "constant",
}


def draws(count: int = DRAWS, seed: int = SEED) -> list[Draw]:
    """So many settings, each value drawn by itself."""
    chance = random.Random(seed)
    return [{name: chance.choice(values) for name, values in SPACE.items()} for _ in range(count)]


def described(draw: Draw | None) -> str:
    """The name of a row."""
    if draw is None:
        return "the recipe as it was"
    rate = f"rate x{draw['rate']:g}, critic's x{draw['critic']:g}, beta2 {draw['beta2']:g}"
    schedule = str(draw["schedule"]).partition("(")[0]
    return f"{rate}, {schedule}, cycle {draw['cycle']:g}, gamma {draw['gamma']:g}, {draw['divergence']}, ema {draw['ema']:g}"


def drawn(run: Run, draw: Draw | None) -> Run:
    """The run with the settings of a draw.

    Example:
        >>> drawn(recipes.ali_mnist(), draws()[0]).optimiser.startswith("adam(lr=")
        True
    """
    draw = BEFORE if draw is None else draw
    rate = float(run.optimiser.partition("lr=")[2].rstrip(")")) * float(draw["rate"])
    return run.replace(
        game=f"alice(cycle={draw['cycle']})",
        penalty=f"r1r2(gamma={draw['gamma']}, every=4)",
        divergence=str(draw["divergence"]),
        optimiser=f"adam(lr={rate:g}, beta2={draw['beta2']})",
        rates={"critic": rate * float(draw["critic"])} if draw["critic"] != 1 else {},
        ema=float(draw["ema"]),
        average="moving(warm=False)",  # as averages were then
        schedule=str(draw["schedule"]),
    )


def search_jobs(setting: Setting) -> Iterator[Job]:
    """Every draw on the small data sets; the best of them, and what they are to better, on the large ones."""
    tried: list[Draw | None] = [None, *draws(2 if setting.quick else DRAWS)]
    first = {"digits": FIRST["digits"]} if setting.quick else FIRST
    for seed in range(setting.seeds):
        for draw in tried:
            yield from jobs_of(draw, first, seed, setting)
    if setting.quick:
        return
    costs = {index: cost(draw, first, setting) for index, draw in enumerate(tried) if draw is not None}
    for seed in range(setting.seeds):
        for draw in [None, *(tried[index] for index in sorted(costs, key=lambda index: costs[index])[:FINALISTS])]:
            yield from jobs_of(draw, SECOND, seed, setting)


def jobs_of(draw: Draw | None, grounds: dict[str, Ground], seed: int, setting: Setting) -> Iterator[Job]:
    """One draw on each of these data sets."""
    for data, ground in grounds.items():
        steps = length(ground, setting)
        yield Job(
            f"{data}: {described(draw)}", seed, partial(search_work, data, ground, draw, seed, steps, setting), steps
        )


def search_work(data: str, ground: Ground, draw: Draw | None, seed: int, steps: int, setting: Setting) -> Values:
    """Trains one trial and measures it on validation data; the numbers are kept for `cost`."""
    from interalia.metrics.evaluation import evaluate

    run = drawn(ground.recipe(), draw).replace(steps=steps, seed=seed, evaluate_every=0, checkpoint_every=500)
    if setting.root is not None and run.data != "digits":
        run = run.replace(root=str(setting.root))
    name = f"{data}, {described(draw)}".replace(" ", "-").replace(",", "").replace("'", "").lower()
    try:
        done, dataset = trained(run, setting, f"{name}-seed-{seed}-steps-{steps}")
        found = {
            measure.name: measure.value for measure in evaluate(done.game, dataset, split="validation", count=COUNT)
        }
        values = {
            "ratio": found["reconstruction_ratio"],
            "frechet": found["frechet_distance"],
            "coverage": found["coverage"],
        }
    except DivergedError:
        values = {}
    write_json(kept(data, draw, seed, steps, setting), values)
    base = kept(data, None, seed, steps, setting)
    if values and base.exists():
        values["cost"] = relative(values, json.loads(base.read_text()))
    return values


def length(ground: Ground, setting: Setting) -> int:
    """The steps of a trial."""
    return setting.steps or (QUICK_STEPS if setting.quick else ground.steps)


def kept(data: str, draw: Draw | None, seed: int, steps: int, setting: Setting) -> Path:
    """Where a trial's numbers are."""
    name = f"trial-{data}-{described(draw)}-{seed}-steps-{steps}.json"
    return setting.folder / name.replace(" ", "-").replace(",", "")


def relative(values: dict[str, float], base: dict[str, float]) -> float:
    """The geometric mean of the reconstruction ratio and the Frechet distance, each over the recipe's as it was.

    Example:
        >>> relative({"ratio": 0.2, "frechet": 8.0}, {"ratio": 0.4, "frechet": 4.0})
        1.0
    """
    if not values or not base:
        return WORST
    return min(WORST, math.sqrt(values["ratio"] / base["ratio"] * values["frechet"] / base["frechet"]))


def cost(draw: Draw | None, grounds: dict[str, Ground], setting: Setting) -> float:
    """The mean of a draw's relative costs over data sets and seeds; what was not tried counts as worst."""
    costs = []
    for data, ground in grounds.items():
        for seed in range(setting.seeds):
            found, base = (kept(data, one, seed, length(ground, setting), setting) for one in (draw, None))
            both = found.exists() and base.exists()
            costs.append(relative(json.loads(found.read_text()), json.loads(base.read_text())) if both else WORST)
    return sum(costs) / len(costs)


RECIPE_SEARCH = Experiment(
    name="recipe-search",
    about="The search for the default recipes of ALI: settings drawn at random, on validation data.",
    jobs=search_jobs,
    columns={
        "cost": "cost ↓",
        "ratio": "reconstruction ratio ↓",
        "frechet": "Frechet distance of samples ↓",
        "coverage": "coverage ↑",
    },
    paper={},
    protocol=(
        f"{DRAWS} settings, each value drawn by itself (random.Random({SEED})) from "
        + "; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in SPACE.items())
        + ". All are tried on "
        + " and ".join(f"{data} ({ground.steps:,} steps)" for data, ground in FIRST.items())
        + f"; the {FINALISTS} of least mean cost, and the recipe as it was, on "
        + " and ".join(f"{data} ({ground.steps:,} steps)" for data, ground in SECOND.items())
        + f". Cost: the geometric mean of the reconstruction ratio and of the Frechet distance, each over that of the recipe "
        f"as it was on the same data with the same seed; at most {WORST:g}. All measures are of {COUNT:,} validation images, "
        "or of all that there are."
    ),
    quick_protocol=f"scikit-learn's 8x8 digits, two settings, {QUICK_STEPS} steps: it shows the table's shape.",
    seeds=1,
    chosen="Chosen on validation data.",
)
