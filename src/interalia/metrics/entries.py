"""The class `Metric`, its registry and the decorator that adds one. This module needs neither torch nor numpy."""

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
Need = Callable[["Evidence"], bool]  # True if game and data have it; its docstring names it
Sentence = str | Callable[[Mapping[str, float], Mapping[str, Any]], str]


@dataclass(frozen=True)
class Tile:
    """A number at the top of a run's page.

    Attributes:
        form: its format, such as ``{:.2f}``.
        about: the caption; ``{made}`` becomes 'samples', or 'translations' for a game between two domains.
        baseline: the name of a metric that is shown beside it, and its caption.
    """

    form: str
    about: str
    baseline: Sequence[str] | None = None


@dataclass(frozen=True)
class Group:
    """Metrics of one subject, which share evidence and are listed together.

    Attributes:
        name: the subject.
        needs: requirements of all of them on game and data.
    """

    name: str
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Metric:
    """A number that describes the quality of a trained game, with its direction, unit and requirements.

    Calling it with an `interalia.metrics.Evidence` returns its value; see also `interalia.metrics.evaluate`.

    Attributes:
        name: its name in `REGISTRY`, in results and in logs.
        about: a one-sentence description.
        function: computes the value from the evidence, or the value and its protocol: on which and how many samples, in which
            features, how chosen. The default protocol is the evidence's `protocol`.
        better: "lower" or "higher"; None for a baseline.
        unit: of the value, empty for a plain number.
        needs: requirements on game and data.
        group: the metrics that it is listed with.
        during_training: True if a training computes it at each evaluation, so that `monitor` can name it.
        tile: its place at the top of a run's page, if any.
        sentence: the sentence about its value on a run's page: a text with values by their names in braces, such as
            ``"Samples reach {modes:.0f} modes."``, which is left out unless all of them were computed; or a function of all
            values and of the results' description of the data.
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
        """The value."""
        return self.compute(evidence)[0]

    def compute(self, evidence: Evidence) -> tuple[float, str]:
        """The value and its protocol."""
        found = self.function(evidence)
        value, protocol = found if isinstance(found, tuple) else (found, evidence.protocol)
        return float(value), protocol

    def missing_need(self, evidence: Evidence) -> str | None:
        """A text of the first requirement that game or data do not meet; None if they meet all."""
        needs = (*(self.group.needs if self.group else ()), *self.needs)
        return next((" ".join((need.__doc__ or need.__name__).split()) for need in needs if not need(evidence)), None)

    def sentence_for(self, values: Mapping[str, float], data: Mapping[str, Any]) -> str:
        """The sentence about its value, which is among `values`, on a run's page; empty if there is none."""
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
    """A decorator that makes a function of `interalia.metrics.Evidence` a metric with the function's name and docstring.

    The metric is added to `REGISTRY`, so `evaluate`, a run's page and ``interalia list metrics`` include it. With
    `during_training` a training computes it at each evaluation, and `monitor` can name it.

    See Also:
        interalia.metrics.Metric, for the arguments.

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
        about = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        made = Metric(function.__name__, about, function, better, unit, needs, group, during_training, tile, sentence)
        REGISTRY.add(made.name, made, module=function.__module__)
        return made

    return add


def as_number(value: Any) -> str:
    """A value as text with four digits, as on a run's page."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if not math.isfinite(value):
        return "not finite"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
