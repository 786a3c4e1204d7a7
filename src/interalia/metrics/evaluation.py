"""The evaluation of a trained game: computes metrics on a data set, each with a text on how it was computed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from interalia.data.dataset import Dataset
from interalia.errors import DataWarning, UserError, unknown
from interalia.games.game import Game
from interalia.metrics import REGISTRY
from interalia.metrics.entries import Better
from interalia.metrics.evidence import Evidence
from interalia.metrics.extractors import Extractor


@dataclass(frozen=True)
class MetricValue:
    """The value of one metric for a game and its data, with the metric's description and how the value was computed.

    Attributes:
        name: the metric's name, a key of `interalia.metrics.REGISTRY`.
        value: the value of the metric, in its unit.
        unit: the unit of the value, empty for a plain number.
        better: "lower" or "higher"; None for a baseline.
        about: a one-sentence description of the metric.
        protocol: on which and how many samples the value was computed, in which features, and how they were chosen.
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
) -> list[MetricValue]:
    """Computes metrics of a game on a split of a data set: those of the given names, or all that are defined.

    A game without an encoder has metrics of its samples only. Data without labels have no accuracies. Data from a known
    Gaussian mixture have counts of modes in place of feature distances. A game between two domains has metrics of its
    translations. With Inception features the distances are named `fid` and `kid`, with all others `frechet_distance`
    and `kernel_distance`.

    See Also:
        interalia.metrics.REGISTRY, for all names.
        interalia.metrics.Evidence, for their input.

    Arguments:
        game: a trained game.
        dataset: its data.
        names: names of metrics; by default all that are defined for this game and data.
        split: 'train', 'validation' or 'test'; do not select anything, such as a checkpoint, on 'test'.
        count: the number of samples, and of held-out points that they are compared with. By default it is 5,000 (500 if
            `quick`), or the whole split if it has fewer; to count a mixture's modes it is 10,000 (2,500 if `quick`).
        seed: random seed of samples, noise and the choice of points.
        extractor: maps samples and data to the features in which they are compared; by default `extractor_for(dataset)`.
        untrained: a game of the same networks with random weights, for a baseline; None for no such baseline.
        quick: if True, few samples and by default only the metrics that a training computes at each evaluation.

    Returns:
        The values, in the order of `interalia.metrics.REGISTRY`.

    Raises:
        UserError: no such metric, or one that game or data do not allow; no such split, too few samples, a game that was
            built for another shape, or a conditional game with data without labels.
    """
    baseline = None if untrained is None else lambda: untrained
    evidence = Evidence(
        game, dataset, split, count=count, seed=seed, extractor=extractor, untrained=baseline, quick=quick
    )
    return compute_metrics(evidence, names)


def compute_metrics(evidence: Evidence, names: Sequence[str] | None = None) -> list[MetricValue]:
    """Computes metrics of the game and the data of an `Evidence`, and returns their values in the order of `REGISTRY`.

    Arguments:
        evidence: the input of the metrics. Its large cached attributes are freed before each group of metrics.
        names: names of metrics; by default all that are defined for the game and the data, or those that a training computes
            if the evidence is `quick`. If there is one held-out example, those that need more are left out, and a
            warning names them.

    Raises:
        UserError: no such metric, or one that the game or the data do not allow; no such split, or too few points.
    """
    _ = evidence.held_out  # raises its errors first
    if names is not None:
        check_names(names, evidence)
    found: list[MetricValue] = []
    left_out: list[str] = []
    group = None
    for name, metric in REGISTRY.items():
        selected = name in names if names is not None else metric.during_training or not evidence.quick
        if not selected or metric.missing_need(evidence) is not None:
            continue
        if metric.group and metric.group.name != group:
            evidence.drop()
            group = metric.group.name
        try:
            value, protocol = metric.compute(evidence)
        except UserError:
            if names is not None or evidence.dataset.smaller(evidence.split) > 1:
                raise
            left_out.append(name)
            continue
        found.append(MetricValue(name, value, metric.unit, metric.better, metric.about, protocol))
    if left_out:
        text = f"left out are metrics that need more than one held-out example: {', '.join(left_out)}."
        warnings.warn(text, DataWarning, stacklevel=2)
    return found


def check_names(names: Sequence[str], evidence: Evidence) -> None:
    """Raises a UserError unless `names` is not empty and each is the name of a metric that the game and data allow.

    A game and its data allow a metric if they meet its requirements, such as an encoder or labels.
    """
    if not names:
        raise UserError("`names` is empty; name one or more metrics, or leave it out for all.")
    for name in names:
        if name not in REGISTRY:
            raise unknown("metric", name, REGISTRY)
        if (missing := REGISTRY[name].missing_need(evidence)) is not None:
            what = f"{type(evidence.game).__name__} on {evidence.dataset.name!r}"
            raise UserError(f"the metric {name!r} is not defined for {what}: it needs {missing}.")


def training_metrics(dataset: Dataset, game: Game) -> tuple[str, ...]:
    """The names of the metrics that a training of this game on this data set computes at each evaluation.

    They are in the order of `REGISTRY`.
    """
    evidence = Evidence(game, dataset, "validation", quick=True)
    return tuple(name for name, one in REGISTRY.items() if one.during_training and one.missing_need(evidence) is None)


def check_monitor(monitor: str, dataset: Dataset, game: Game) -> None:
    """Raises a UserError unless `monitor` is the name of a metric that a training of this game on this data computes."""
    names = training_metrics(dataset, game)
    if monitor not in names:
        what = f"`monitor` is {monitor!r}, which is not computed during the training of {type(game).__name__}"
        raise UserError(f"{what} on {dataset.name!r}; give one of: {', '.join(names)}.")
