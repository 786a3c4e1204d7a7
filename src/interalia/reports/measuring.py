"""Computes the metrics and the log-likelihood of a trained run, and writes them into the run's folder."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from interalia import metrics, tasks
from interalia.disk import check_writable, read_json, write_json, writing
from interalia.errors import UserError, check_seed, unknown
from interalia.games import Game, feeds
from interalia.games.capabilities import Generates, Infers
from interalia.metrics.evaluation import compute_metrics
from interalia.metrics.evidence import Evidence
from interalia.metrics.extractors import Extractor, FileFeatures, Kind, extractor_for
from interalia.metrics.likelihood import REGISTRY, Estimate, Sandwich
from interalia.reports.data import binarized_images, dataset_of, folder_of
from interalia.reports.origin import provenance
from interalia.reports.tables import likelihood_markdown, markdown
from interalia.runs import FROM_PYTHON, building, formats, loading
from interalia.runs.folder import Folder, with_generator_copy

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.runs.loading import Loaded

BANDWIDTH_POINTS = 1000  # validation images that choose the kernel width


def evaluate(
    trained: Loaded,
    split: Literal["test", "validation"] = "test",
    count: int | None = None,
    seed: int = 0,
    features: str | Path = "auto",
    weights: Literal["last", "best"] = "last",
    names: Sequence[str] | None = None,
    trust_features: bool = False,
    write: bool = True,
) -> dict[str, Any]:
    """Computes a run's metrics and writes them to ``results.json`` and ``results.md``.

    Returns the content of ``results.json``.

    Arguments:
        trained: the run.
        split: the split of the data that samples and reconstructions are compared with.
        count: number of samples and of examples of the split; by default 5,000, or the whole split if it has fewer, and
            10,000 samples of a mixture.
        seed: random seed of the samples and of the choice of examples.
        features: the network whose features distances between images are computed in: "classifier" (trained on the data),
            "random" (convolutions), "inception", or "auto": the classifier if the data have labels, else "random"; or the
            path of a .pt2 file of torch.export.save: a module from examples, shape (n, *shape), to features, shape (n, d).
        weights: "last" or "best", for the record in the files: which weights of the run `trained` has.
        names: metrics of `interalia.metrics.REGISTRY`; by default all that apply to this run. Other metrics of the same step,
            program and machine stay in the files.
        trust_features: True to open the file `features`, which can execute code of its author.
        write: False to write no file, such as in all of several processes but the first.

    Raises:
        UserError: the run has no folder, its data cannot be loaded, there is no such metric or split, the game or the data
            do not allow a metric, or there are too few samples.
    """
    folder, game = folder_of(trained), trained.game
    if write:
        check_writable(folder.results)
    dataset = dataset_of(trained)
    extractor = feature_extractor(features, dataset, str(tasks.device_of(game)), trust_features)
    baseline = functools.partial(untrained_game, trained, dataset)
    evidence = Evidence(game, dataset, split, count=count, seed=seed, extractor=extractor, untrained=baseline)
    found = {
        "metrics": [dataclasses.asdict(one) for one in compute_metrics(evidence, names)],
        "training": length_of(trained),
        "counts": chance_levels(evidence),
        **circumstances(trained, dataset, split, seed, weights),
    }
    found["data"] |= {part: len(getattr(dataset, part)) for part in ("train", "validation", "test")}
    if names is not None:
        found["metrics"] = merged_with_previous(folder, found)
    if write:
        write_json(folder.results, found)
        with writing(folder.table) as file:
            file.write(markdown(trained.run, found))
    return found


def chance_levels(evidence: Evidence) -> dict[str, float]:
    """Returns what the assessment of a model needs beside its metrics, by name.

    "evaluated" is the number of held-out examples; "commonest", for data with labels, the share of the commonest label in the
    split, i.e. the accuracy of a constant prediction; and "modes", for a mixture, its number of modes.
    """
    found: dict[str, float] = {"evaluated": len(evidence.x)}
    if (y := evidence.split_points.y) is not None:
        found["commonest"] = float(np.unique(y, return_counts=True)[1].max() / len(y))
    if evidence.dataset.mixture is not None:
        found["modes"] = len(evidence.dataset.mixture.means)
    return found


def feature_extractor(features: str | Path, dataset: Dataset, device: str, trust: bool) -> Extractor:
    """Returns the extractor of the features in which samples and data are compared.

    Arguments:
        features: "auto", "classifier", "random" or "inception", or the path of a .pt2 file of torch.export.
        dataset: the data of the run.
        device: the device of the extractor's network.
        trust: True to open a file, which can execute code of its author.

    Raises:
        UserError: no such features, or the file is not trusted, cannot be read, or its module does not fit the data.
    """
    if str(features) in get_args(Kind):
        return extractor_for(dataset, device=device, kind=features)  # type: ignore[arg-type]
    if Path(features).suffix != ".pt2":
        known = ", ".join(get_args(Kind))
        raise UserError(f"`features` is {features}; give one of {known}, or a .pt2 file that torch.export.save wrote.")
    module = loading.open_exported(Path(features), "features", trust)[1]
    return FileFeatures.checked(module, Path(features), dataset.shape, torch.device(device))


def circumstances(trained: Loaded, dataset: Dataset, split: str, seed: int, weights: str) -> dict[str, Any]:
    """Returns what is stored beside a result, by name: split, seeds, step, weights, data, versions, commit, machine and date.

    "seeds" has those of "training" and "evaluation", "data" the data set's "name", "about" and "shape". `seed` is that of the
    evaluation; `weights` are "last" or "best". Versions, commit, machine and date are those of this process, as
    `interalia.reports.origin.provenance` returns them.
    """
    return {
        "split": split,
        "seeds": {"training": trained.run.seed, "evaluation": seed},
        "step": trained.step,
        "weights": weights,
        "data": {"name": dataset.name, "about": dataset.about, "shape": list(dataset.shape)},
        **provenance(),
    }


def length_of(trained: Loaded) -> dict[str, Any]:
    """Returns the length of a run's training, by name: `steps`; `seconds`; and `images_per_second`, the examples per second.

    `seconds` is the time that the log has for the last losses up to this step; without it `seconds` and
    `images_per_second` are None.
    """
    lines = [line for line in folder_of(trained).log_lines() if any(key.startswith("losses/") for key in line)]
    seconds = next((line.get("seconds") for line in reversed(lines) if line["step"] <= trained.step), None)
    speed = None if not seconds else round(trained.step * trained.run.batch_size / seconds, 1)
    return {"steps": trained.step, "seconds": seconds, "images_per_second": speed}


def merged_with_previous(folder: Folder, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns new metrics joined with those that an earlier evaluation wrote, in the order of `interalia.metrics.REGISTRY`.

    `found` is the new content of ``results.json``, `folder` the run's folder, whose file still has the earlier content. A
    metric is a record with keys such as "name" and "value"; of one in both, the new record is returned. Earlier metrics are
    left out if the two contents differ in any entry but "metrics", "date" and "training", for example in step or seed.
    """
    try:
        former = formats.results(read_json(folder.results))
    except (OSError, ValueError):
        former = {}
    former.setdefault("counts", found.get("counts"))  # older versions have none
    same = all(former.get(key) == found[key] for key in found if key not in ("metrics", "date", "training"))
    merged = {one["name"]: one for one in (*(former["metrics"] if same else ()), *found["metrics"])}
    order = {name: place for place, name in enumerate(metrics.REGISTRY)}
    return sorted(merged.values(), key=lambda one: order.get(one["name"], len(order)))


def untrained_game(trained: Loaded, dataset: Dataset) -> Game | None:
    """Returns a game of the run's networks with their random initial weights, as a baseline for metrics.

    A pretrained generator keeps its trained weights. It is None for a game that was made in Python, which cannot be built
    again.
    """
    run, game = trained.run, trained.game
    if run.game == FROM_PYTHON:
        return None
    run = with_generator_copy(run, trained.folder)
    # a generator from Python, or from a file that is not opened twice
    decoder = game.decoder if isinstance(game, Generates) and "decoder" in game.pretrained else None
    opened = run.pretrained_generator is None or run.pretrained_generator.endswith(".pt2")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        return building.build_for(run, dataset, generator=decoder.network if opened and decoder else None)


def likelihood(
    trained: Loaded,
    estimator: Sequence[str] | None = None,
    split: Literal["test", "validation"] = "test",
    count: int | None = None,
    samples: int | None = None,
    annealing: Mapping[str, Any] | None = None,
    seed: int = 0,
    weights: Literal["last", "best"] = "last",
    write: bool = True,
) -> dict[str, Any]:
    """Estimates log p(x) of images and writes it to ``likelihood.json`` and ``likelihood.md``. Returns the former's content.

    An interrupted estimate is written too, with its number of images.

    Arguments:
        trained: the run.
        estimator: names of `interalia.metrics.likelihood.REGISTRY`; by default ais (annealed importance sampling), and
            elbo and iwae if q(z | x) has a density.
        split: the split that the images are from.
        count: number of images, chosen by the seed; by default all.
        samples: number of samples for elbo, iwae and kde; by default the estimators' own.
        annealing: arguments of `interalia.metrics.likelihood.annealed_importance`.
        seed: random seed for the choice of images and for all samples.
        weights: "last" or "best", for the record in the files: which weights of the run `trained` has.
        write: False to write no file, such as in all of several processes but the first.

    Raises:
        UserError: an unknown estimator, `count` under 1, an argument of an estimator that is not used, or an error of an
            estimator.
    """
    folder, game = folder_of(trained), trained.game
    if count is not None and count < 1:
        raise UserError(f"`count` is {count}, and it must be at least 1.")
    check_seed(seed)
    if write:
        check_writable(folder.likelihood)
    if estimator is None:
        density = isinstance(game, Infers) and game.encoder.has_density
        estimator = ["elbo", "iwae", "ais"] if density else ["ais"]
    settings = settings_of(estimator, {"samples": samples, **(annealing or {})})
    dataset = dataset_of(trained)
    x, binarized = binarized_images(dataset, split, count, seed)
    if "kde" in estimator:
        settings["kde"]["validation"] = binarized_images(dataset, "validation", BANDWIDTH_POINTS, seed)[0]
        settings["kde"]["y"] = feeds.conditions(game.data, dataset, "validation")
    estimates, interrupted = estimates_of(game, x, settings, seed, binarized)
    found = {
        "estimates": [estimate_values(one, density_note(dataset)) for one in estimates],
        "interrupted": interrupted,
        "images": {"measured": len(x), "split": len(getattr(dataset, split))},
        "binarization": binarized,
        **circumstances(trained, dataset, split, seed, weights),
    }
    if write:
        write_json(folder.likelihood, found)
        with writing(folder.likelihood_table) as file:
            file.write(likelihood_markdown(trained.run, found))
    return found


def estimates_of(
    game: Game, x: torch.Tensor, settings: Mapping[str, Mapping[str, Any]], seed: int, binarized: str
) -> tuple[list[Estimate], bool]:
    """Returns the estimates of log p(x) of images x, and True if the user interrupted them (Ctrl-C), else False.

    After an interrupt the last estimate may cover fewer images or lack its check, and those after it are missing. `settings`
    are name of an estimator -> its arguments, `seed` is that of all estimators; `binarized` is the text on how x was
    binarized, for the record.

    Raises:
        KeyboardInterrupt: interrupted before the first result.
    """
    found: list[Estimate] = []
    for name, arguments in settings.items():
        try:
            found.append(one := REGISTRY[name](game, x, seed=seed, binarized=binarized, **arguments))
        except KeyboardInterrupt:
            if not found:
                raise
            return found, True
        unchecked = name == "ais" and arguments.get("simulated", 1) and (one.check is None or one.check.interrupted)
        if one.interrupted or unchecked:
            return found, True
    return found, False


def settings_of(estimator: Sequence[str], values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns name -> arguments for each of the estimators named in `estimator`.

    `values` are arguments of the estimators by name; those that are None are left out. Of these, annealed importance sampling
    ("ais") gets all except `samples`, and each other estimator gets `samples` alone.

    Raises:
        UserError: no estimator, an unknown one, or an argument that none of them takes.
    """
    for name in estimator:
        if name not in REGISTRY:
            raise unknown("estimate", name, REGISTRY)
    if not estimator:
        raise UserError(f"`estimator` names no estimate; give some of {', '.join(REGISTRY)}.")
    settings: dict[str, dict[str, Any]] = {name: {} for name in estimator}
    for key, value in values.items():
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


def density_note(dataset: Dataset) -> str:
    """Returns the end of the protocol of an estimate of log p(x): that x are scaled numbers, and by how many nats it is lower
    or higher in the data's own units; empty if x are as they were read.

    With y = (x - offset) / span, log p(x) is log p(y) less the sum of log span over all numbers of an example that are not
    constant. By quantiles the difference depends on x, and the text has no number.
    """
    scaling = dataset.units.scaling if dataset.units else None
    if scaling is None:
        return ""
    if scaling.kind == "quantile":
        return "; density of the numbers scaled by quantiles, not of those in the data's own units"
    each = math.prod(dataset.shape) / len(scaling.span)  # numbers of an example with the same span
    nats = each * sum(math.log(span) for span in scaling.span if span > 0)
    side = "lower" if nats > 0 else "higher"
    return f"; density of the scaled numbers: in the data's own units {abs(nats):.2f} nats {side}"


def estimate_values(one: Estimate, note: str = "") -> dict[str, Any]:
    """Returns the record of an estimate of log p(x) for ``likelihood.json``, by name; `note` is the end of its protocol.

    It has name, value (the mean in nats), unit, check and protocol, and error, images, of and acceptance as `sample_sizes`
    returns them. `check` is None without a bidirectional check, else its record: gap, lower and upper (mean bounds),
    protocol, and error, images, of and acceptance.
    """
    check = one.check and {
        "gap": one.check.gap,
        **sample_sizes(one.check, one.check.lower),
        "lower": float(one.check.lower.mean()),
        "upper": float(one.check.upper.mean()),
        "protocol": one.check.protocol,
    }
    values = {"name": one.name, "value": one.mean, "unit": "nats", **sample_sizes(one, one.values)}
    return {**values, "check": check, "protocol": one.description + note}


def sample_sizes(one: Estimate | Sandwich, values: torch.Tensor) -> dict[str, Any]:
    """Returns `error`, `images`, `of` and `acceptance` of an estimate of log p(x), or of its check, by name.

    `error` is its standard error (None for a single image), `images` the number of finished images, of which `values` has one
    number each, `of` the number of images requested, and `acceptance` the rate of Hamiltonian Monte Carlo (None without it).
    """
    error = one.error if math.isfinite(one.error) else None
    return {"error": error, "images": len(values), "of": one.images, "acceptance": one.acceptance}
