"""Taking metrics of a trained game on a data set, each with the protocol that it was taken by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interalia.data.dataset import Dataset
from interalia.errors import UserError, unknown
from interalia.games.game import Game
from interalia.metrics import REGISTRY
from interalia.metrics.entries import Better
from interalia.metrics.evidence import Evidence
from interalia.metrics.extractors import Extractor


@dataclass(frozen=True)
class Measure:
    """One number, and what must be known to compare it.

    Attributes:
        name: a key of `interalia.metrics.REGISTRY`.
        value: the number.
        unit: its unit, empty for a plain number.
        better: which way is better, None where neither is.
        about: one sentence on what it is.
        protocol: on which and how many samples, in which features, how chosen.
    """

    name: str
    value: float
    unit: str
    better: Better | None
    about: str
    protocol: str


def evaluate(
    game: Game,
    dataset: Dataset,
    *,
    names: Sequence[str] | None = None,
    split: str = "test",
    count: int | None = None,
    seed: int = 0,
    extractor: Extractor | None = None,
    untrained: Game | None = None,
    quick: bool = False,
) -> list[Measure]:
    """Takes the metrics of these names, or every one that the game and the data allow.

    A game without an encoder gets what concerns its samples; data without labels gets no accuracies; a mixture gets its
    modes in place of feature distances; a game between two domains gets what concerns its translations.

    See also:
        interalia.metrics.REGISTRY, for all names.
        interalia.metrics.Evidence, for what they are taken of.

    Arguments:
        game: a trained game.
        dataset: its data.
        names: which metrics; by default all that there are of this game on this data.
        split: 'train', 'validation' or 'test'; choices, such as of a checkpoint, must not be made on 'test'.
        count: how many samples to draw, and how many held-out ones to hold them against: by default 5,000, or the whole
            split if it has fewer; of a mixture 10,000. Quick: 500, of a mixture 2,500.
        seed: of every draw and choice.
        extractor: the features to compare in; by default `extractor_for(dataset)`.
        untrained: a game of the same networks with random weights, for a baseline.
        quick: from few samples, and by default only the metrics that a training takes at each evaluation.

    Returns:
        The measures, in the registry's order.

    Raises:
        UserError: no such metric, or one that game or data do not allow; no such split, too few samples, a game that was
            built for another shape, or a conditional game on data without labels.
    """
    baseline = None if untrained is None else lambda: untrained
    evidence = Evidence(
        game, dataset, split, count=count, seed=seed, extractor=extractor, untrained=baseline, quick=quick
    )
    return measure(evidence, names)


def measure(evidence: Evidence, names: Sequence[str] | None = None) -> list[Measure]:
    """The metrics of these names, taken of this evidence; see `evaluate`."""
    _ = evidence.held_out  # whose errors come first
    if names is not None:
        check(names, evidence)
    found: list[Measure] = []
    group = None
    for name, metric in REGISTRY.items():
        wanted = name in names if names is not None else metric.during_training or not evidence.quick
        if not wanted or metric.missing(evidence) is not None:
            continue
        if metric.group and metric.group.name != group:
            evidence.drop()
            group = metric.group.name
        value, protocol = metric.measured(evidence)
        found.append(Measure(name, value, metric.unit, metric.better, metric.about, protocol))
    return found


def check(names: Sequence[str], evidence: Evidence) -> None:
    """Raises a UserError unless there is a metric of each of these names for this game and data."""
    if not names:
        raise UserError("`names` is empty; name a metric or more, or leave it out for all that there are.")
    for name in names:
        if name not in REGISTRY:
            raise unknown("metric", name, REGISTRY)
        if (missing := REGISTRY[name].missing(evidence)) is not None:
            what = f"{type(evidence.game).__name__} on {evidence.dataset.name!r}"
            raise UserError(f"the metric {name!r} cannot be taken of {what}: it needs {missing}.")


def watched(dataset: Dataset, game: Game) -> tuple[str, ...]:
    """The metrics that a training takes of this game on this data, and by which the best weights can be chosen."""
    evidence = Evidence(game, dataset, "validation", quick=True)
    return tuple(name for name, one in REGISTRY.items() if one.during_training and one.missing(evidence) is None)


def check_best(best: str, dataset: Dataset, game: Game) -> None:
    """Raises a UserError unless `monitor` is a metric that training takes."""
    names = watched(dataset, game)
    if best not in names:
        what = f"`monitor` is {best!r}, which is not measured during the training of {type(game).__name__}"
        raise UserError(f"{what} on {dataset.name!r}; give one of: {', '.join(names)}.")
