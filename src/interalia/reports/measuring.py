"""From a trained run to results.json and likelihood.json."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from interalia import metrics, tasks
from interalia.disk import read_json, write_json, writing
from interalia.errors import UserError, unknown
from interalia.games import Game, feeds
from interalia.games.capabilities import Generates, Infers
from interalia.metrics.evaluation import measure
from interalia.metrics.evidence import Evidence
from interalia.metrics.extractors import extractor_for
from interalia.metrics.likelihood import REGISTRY, Estimate, Sandwich
from interalia.reports.data import dataset_of, home, observed
from interalia.reports.origin import provenance
from interalia.reports.tables import likelihood_markdown, markdown
from interalia.runs import FROM_PYTHON, building, log
from interalia.runs.folder import Folder, with_generator_copy

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.runs.loading import Trained

Kind = Literal["auto", "classifier", "random", "inception"]  # whose features distances are computed in
BANDWIDTH_POINTS = 1000  # validation images by which GAN's rule chooses the kernels' width


def evaluate(
    trained: Trained,
    split: Literal["test", "validation"] = "test",
    count: int | None = None,
    seed: int = 0,
    features: Kind = "auto",
    weights: Literal["last", "best"] = "last",
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Measures a run, writes its results.json and results.md, and answers what they hold.

    Arguments:
        trained: the run.
        split: the part of the data.
        count: how many samples and held-out points; see `interalia.metrics.Evidence`.
        seed: of every draw and choice.
        features: whose features distances are computed in.
        weights: which these are, for the record.
        names: of `interalia.metrics.REGISTRY`; by default all that there are of this run. What else was measured of the same
            step, by the same program on the same machine, stays in the files.

    Raises:
        UserError: what `interalia.metrics.evaluate` raises.
    """
    folder, game = home(trained), trained.game
    dataset = dataset_of(trained)
    extractor = extractor_for(dataset, device=str(tasks.device_of(game)), kind=features)
    baseline = functools.partial(untrained, trained, dataset)
    evidence = Evidence(game, dataset, split, count=count, seed=seed, extractor=extractor, untrained=baseline)
    found = {
        "measures": [dataclasses.asdict(one) for one in measure(evidence, names)],
        "training": length_of(trained),
        **circumstances(trained, dataset, split, seed, weights),
    }
    found["data"] |= {part: len(getattr(dataset, part)) for part in ("train", "validation", "test")}
    if names is not None:
        found["measures"] = beside_former(folder, found)
    write_json(folder.results, found)
    with writing(folder.table) as file:
        file.write(markdown(trained.run, found))
    return found


def circumstances(trained: Trained, dataset: Dataset, split: str, seed: int, weights: str) -> dict[str, Any]:
    """Of which weights and of which data numbers are, and what they were made with."""
    return {
        "split": split,
        "seeds": {"training": trained.run.seed, "evaluation": seed},
        "step": trained.step,
        "weights": weights,
        "data": {"name": dataset.name, "about": dataset.about, "shape": list(dataset.shape)},
        **provenance(),
    }


def length_of(trained: Trained) -> dict[str, Any]:
    """How long a run has been trained, in steps and seconds, and how fast."""
    lines = [line for line in log.read(home(trained)) if any(key.startswith("losses/") for key in line)]
    seconds = next((line["seconds"] for line in reversed(lines) if line["step"] <= trained.step), None)
    speed = None if not seconds else round(trained.step * trained.run.batch_size / seconds, 1)
    return {"steps": trained.step, "seconds": seconds, "images_per_second": speed}


def beside_former(folder: Folder, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The measures that were found, and those of a former evaluation of the same weights that were not taken again."""
    try:
        former = read_json(folder.results)
    except (OSError, ValueError):
        former = {}
    same = all(former.get(key) == found[key] for key in found if key not in ("measures", "date", "training"))
    measures = {one["name"]: one for one in (*(former["measures"] if same else ()), *found["measures"])}
    order = {name: place for place, name in enumerate(metrics.REGISTRY)}
    return sorted(measures.values(), key=lambda one: order.get(one["name"], len(order)))


def untrained(trained: Trained, dataset: Dataset) -> Game | None:
    """The run's game before its first step: the baseline that random weights are; None for a game of somebody's own."""
    run, game = trained.run, trained.game
    if run.game == FROM_PYTHON:
        return None
    placed = with_generator_copy(run, trained.folder)
    # from Python, or in a file that is not opened a second time
    decoder = game.decoder if isinstance(game, Generates) and "decoder" in game.fixed else None
    brought = placed.pretrained_generator is None or placed.pretrained_generator.endswith(".pt2")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        return building.build_for(placed, dataset, generator=decoder.network if brought and decoder else None)


def likelihood(
    trained: Trained,
    estimator: Sequence[str] | None = None,
    split: Literal["test", "validation"] = "test",
    count: int | None = None,
    samples: int | None = None,
    annealing: Mapping[str, Any] | None = None,
    seed: int = 0,
    weights: Literal["last", "best"] = "last",
) -> dict[str, Any]:
    """Estimates log p(x) of held-out data, writes the run's likelihood.json and likelihood.md, and answers what they hold.

    What is there when it is interrupted is written too, and says how many images it is of.

    Arguments:
        trained: the run.
        estimator: names of `interalia.metrics.likelihood.REGISTRY`; by default all but kde that the game has densities for.
        split: the part of the data.
        count: how many images, drawn by the seed; by default all of them.
        samples: how many to draw for each of these estimates, of elbo, iwae (its K) and kde; by default what each has.
        annealing: settings of `annealed_importance`.
        seed: of the choice of images and of all draws.
        weights: which these are, for the record.

    Raises:
        UserError: no such estimate, `count` under 1, a setting of an estimate that is not asked for, or what the estimates
            raise.
    """
    folder, game = home(trained), trained.game
    if count is not None and count < 1:
        raise UserError(f"`count` is {count}, and it must be at least 1.")
    if estimator is None:
        density = isinstance(game, Infers) and game.encoder.density
        estimator = ["elbo", "iwae", "ais"] if density else ["ais"]
    settings = settings_of(estimator, {"samples": samples, **(annealing or {})})
    dataset = dataset_of(trained)
    x, binarized = observed(dataset, split, count, seed)
    if "kde" in estimator:
        settings["kde"]["validation"] = observed(dataset, "validation", BANDWIDTH_POINTS, seed)[0]
        settings["kde"]["y"] = feeds.conditions(game.data, dataset, "validation")
    estimates, interrupted = estimates_of(game, x, settings, seed, binarized)
    found = {
        "estimates": [estimated(one) for one in estimates],
        "interrupted": interrupted,
        "images": {"measured": len(x), "split": len(getattr(dataset, split))},
        "binarization": binarized,
        **circumstances(trained, dataset, split, seed, weights),
    }
    write_json(folder.likelihood, found)
    with writing(folder.likelihood_table) as file:
        file.write(likelihood_markdown(trained.run, found))
    return found


def estimates_of(
    game: Game, x: torch.Tensor, settings: Mapping[str, Mapping[str, Any]], seed: int, binarized: str
) -> tuple[list[Estimate], bool]:
    """The estimates of these settings, and whether they were interrupted: then the last may be of some images alone, or lack
    its check, and those after it are not there.

    Raises:
        KeyboardInterrupt: nothing is done yet.
    """
    found: list[Estimate] = []
    for name, given in settings.items():
        try:
            found.append(one := REGISTRY[name](game, x, seed=seed, binarized=binarized, **given))
        except KeyboardInterrupt:
            if not found:
                raise
            return found, True
        unchecked = name == "ais" and given.get("simulated", 1) and (one.check is None or one.check.interrupted)
        if one.interrupted or unchecked:
            return found, True
    return found, False


def settings_of(estimator: Sequence[str], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each estimate: `samples` is one of all but annealed importance sampling, which takes the others.

    Raises:
        UserError: no estimate, or one that there is not, or a setting that none of them has.
    """
    for name in estimator:
        if name not in REGISTRY:
            raise unknown("estimate", name, REGISTRY)
    if not estimator:
        raise UserError(f"`estimator` names no estimate; give some of {', '.join(REGISTRY)}.")
    settings: dict[str, dict[str, Any]] = {name: {} for name in estimator}
    for key, value in given.items():
        if value is None:
            continue
        taking = [name for name in REGISTRY if (name == "ais") == (key != "samples")]
        if not set(taking) & set(estimator):
            raise UserError(
                f"`{key}` is about {', '.join(taking)}, and `estimator` is {', '.join(estimator)}; leave it out."
            )
        for name in set(taking) & set(estimator):
            settings[name][key] = value
    return settings


def estimated(one: Estimate) -> dict[str, Any]:
    """An estimate as it is written."""
    check = one.check and {
        "gap": one.check.gap,
        **extent(one.check, one.check.lower),
        "lower": float(one.check.lower.mean()),
        "upper": float(one.check.upper.mean()),
        "protocol": one.check.protocol,
    }
    values = {"name": one.name, "value": one.mean, "unit": "nats", **extent(one, one.values)}
    return {**values, "check": check, "protocol": one.words}


def extent(one: Estimate | Sandwich, values: torch.Tensor) -> dict[str, Any]:
    """Of how many images numbers are, and how sure; a standard error of one image is None."""
    error = one.error if math.isfinite(one.error) else None
    return {"error": error, "images": len(values), "of": one.images, "acceptance": one.acceptance}
