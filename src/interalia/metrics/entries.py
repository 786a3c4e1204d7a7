"""The class `Metric`, its registry, and the decorator that adds a metric. This module needs neither torch nor numpy."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from interalia.registry import Registry

if TYPE_CHECKING:
    from interalia.metrics.evidence import Evidence

Better = Literal["lower", "higher"]
Sentence = str | Callable[[Mapping[str, float], Mapping[str, Any]], str]


@dataclass(frozen=True)
class Need:
    """A requirement of a metric, such as an encoder or labels, which a game and its data meet or do not meet.

    Attributes:
        text: what is required, as the end of an error message that begins with "it needs", such as "images".
        met: returns True if the game and the data of an `interalia.metrics.Evidence` have what is required.
    """

    text: str
    met: Callable[[Evidence], bool]


@dataclass(frozen=True)
class Tile:
    """How a metric's value is shown at the top of a run's report, ``report.html``: in large type, with a caption.

    Attributes:
        form: the format of the value, such as ``{:.2f}``.
        about: the caption; ``{made}`` becomes 'samples', or 'translations' for a game between two domains.
        baseline: the name of a metric whose value is shown for comparison, and the caption of that value; None for no
            comparison.
    """

    form: str
    about: str
    baseline: Sequence[str] | None = None


@dataclass(frozen=True)
class Group:
    """A subject of metrics, such as "inference", with the requirements that they have in common.

    Metrics of one group are listed together and computed from the same intermediate results.

    Attributes:
        name: the subject, such as "inference".
        needs: requirements of all these metrics on the game and its data.
    """

    name: str
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Metric:
    """A metric of trained games: the function that computes it, its unit, and whether lower or higher is better.

    Calling it with an `interalia.metrics.Evidence`, i.e. a game and its data, returns its value.

    Attributes:
        name: its name in `REGISTRY`, in results and in logs.
        about: a one-sentence description.
        function: returns the value for an `Evidence`, or a pair of the value and its protocol: a text on which and how
            many samples it is computed from. If it returns the value alone, the protocol is `Evidence.protocol`.
        better: "lower" or "higher"; None for a baseline.
        unit: the unit of the value, empty for a plain number.
        needs: requirements on the game and its data.
        group: the metrics that it is listed with; None if it is listed alone.
        during_training: True if a training computes it at each evaluation, so that the field `monitor` of a run can name it.
        tile: how its value is shown at the top of a run's report; None if it is not.
        sentence: the sentence about its value in a run's report: a text with metrics' names in braces, such as
            ``"Samples reach {modes:.0f} modes."``, which is left out unless all of them were computed; or a function of
            all metrics' values, by their names, and of the data's description in the results; None for no sentence.
    """

    name: str
    about: str
    function: Callable[[Evidence], float | tuple[float, str]]
    better: Better | None = None
    unit: str = ""
    needs: tuple[Need, ...] = ()
    group: Group | None = None
    during_training: bool = False
    tile: Tile | None = None
    sentence: Sentence | None = None

    def __call__(self, evidence: Evidence) -> float:
        """Returns the metric's value for a game and its data."""
        return self.compute(evidence)[0]

    def compute(self, evidence: Evidence) -> tuple[float, str]:
        """Returns the metric's value, and its protocol: a text on how, and from how many samples, it was computed."""
        found = self.function(evidence)
        value, protocol = found if isinstance(found, tuple) else (found, evidence.protocol)
        return float(value), protocol

    def missing_need(self, evidence: Evidence) -> str | None:
        """The first requirement that the game or its data fail to meet, as text such as "images"; None if there is none."""
        needs = (*(self.group.needs if self.group else ()), *self.needs)
        return next((need.text for need in needs if not need.met(evidence)), None)

    def sentence_for(self, values: Mapping[str, float], data: Mapping[str, Any]) -> str:
        """The sentence about this metric in a run's report; empty if the metric has no sentence.

        It is also empty if the sentence names a metric whose value is not in `values`.

        Arguments:
            values: the values of all computed metrics, by their names, with this metric's among them.
            data: the description of the data in the results of an evaluation, such as its `shape`.
        """
        if callable(self.sentence):
            return self.sentence(values, data)
        try:
            return (self.sentence or "").format_map(values)
        except KeyError:  # it names a metric that was not computed
            return ""


REGISTRY: Registry[Metric] = Registry("metrics", {}, base=Metric)


def metric(
    better: Better | None = None,
    unit: str = "",
    *,
    needs: tuple[Need, ...] = (),
    group: Group | None = None,
    during_training: bool = False,
    tile: Tile | None = None,
    sentence: Sentence | None = None,
) -> Callable[[Callable[[Evidence], float | tuple[float, str]]], Metric]:
    """Returns a decorator that makes a function of an `interalia.metrics.Evidence` a metric of the function's name.

    The metric is added to `REGISTRY`, so `evaluate`, a run's report and ``interalia list metrics`` include it. The first
    paragraph of the function's docstring is its description.

    Arguments:
        better: "lower" or "higher"; None for a baseline.
        unit: the unit of the value, empty for a plain number.
        needs: requirements on the game and its data, as in `interalia.metrics.needs`.
        group: the metrics that it is listed with; None if it is listed alone.
        during_training: True if a training computes it at each evaluation, so that the field `monitor` of a run can name it.
        tile: how its value is shown at the top of a run's report; None if it is not.
        sentence: the sentence about its value in a run's report: a text with metrics' names in braces, or a function of
            the values and of the data's description, as for `Metric`; None for no sentence.

    Raises:
        UserError: a metric of that name exists already.

    Example:
        >>> from interalia.metrics import REGISTRY, metric
        >>> @metric("lower")
        ... def darkness(e):
        ...     "How much darker samples are than data."
        ...     return float(e.x.mean() - e.samples.mean())
        >>> REGISTRY["darkness"].about, REGISTRY["darkness"].better
        ('How much darker samples are than data.', 'lower')
        >>> REGISTRY.remove("darkness")
    """

    def add(function: Callable[[Evidence], float | tuple[float, str]]) -> Metric:
        """Returns the metric that the function computes, with the arguments of `metric`, after adding it to `REGISTRY`."""
        about = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        made = Metric(function.__name__, about, function, better, unit, needs, group, during_training, tile, sentence)
        REGISTRY.add(made.name, made, module=function.__module__)
        return made

    return add


def as_number(value: Any) -> str:
    """Returns a number as text for reports: with four significant digits, or as a whole number from 1,000 on.

    A number has an exponent and three digits if its absolute value is below 0.001 (but not 0), or a million or more. NaN
    and infinities become "not finite". Booleans and values other than numbers are converted by `str`.

    Example:
        >>> as_number(0.123456), as_number(1234567), as_number(12345.6), as_number(math.inf)
        ('0.1235', '1.23e+06', '12,346', 'not finite')
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if not math.isfinite(value):
        return "not finite"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
