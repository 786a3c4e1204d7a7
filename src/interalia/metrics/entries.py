"""What a metric is, and how one is added; this module needs neither torch nor numpy."""

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
Need = Callable[["Evidence"], bool]  # whether game and data have it; its docstring says what it is
Sentence = str | Callable[[Mapping[str, float], Mapping[str, Any]], str]


@dataclass(frozen=True)
class Tile:
    """A number at the top of a run's page.

    Attributes:
        form: how it is written, such as ``{:.2f}``.
        about: the words under it; ``{made}`` becomes 'samples', or 'translations' of a game between two domains.
        baseline: a metric whose value stands beside it, and what it is of.
    """

    form: str
    about: str
    baseline: Sequence[str] | None = None


@dataclass(frozen=True)
class Group:
    """Metrics of one question: they share evidence and stand together.

    Attributes:
        name: the question's subject.
        needs: what game and data must have for any of them.
    """

    name: str
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Metric:
    """One number that says how good a trained game is, and all that is known of it before it is taken.

    Calling it takes it of an `interalia.metrics.Evidence`; see also `interalia.metrics.evaluate`.

    Attributes:
        name: its name in `REGISTRY`, in results and in logs.
        about: one sentence on what it is.
        take: the function of the evidence: the value, or the value and its protocol, which is on which and how many samples
            it was taken, in which features, how chosen; by default the evidence's `where`.
        better: which way is better; None where neither is, as for a baseline or a floor.
        unit: the unit of the value, empty for a plain number.
        needs: what game and data must have for it to exist.
        group: the metrics that it stands with.
        during_training: whether a training takes it at each evaluation, so that the best weights can be chosen by it.
        tile: its place at the top of a run's page, if any.
        sentence: what the page says of its value: a text with values by their names in braces, such as
            ``"Samples reach {modes:.0f} modes."``, which is left out unless all of them were taken; or a function of all
            values and of what the results say of the data.
    """

    name: str
    about: str
    take: Callable[[Evidence], float | tuple[float, str]]
    better: Better | None = None
    unit: str = ""
    needs: tuple[Need, ...] = ()
    group: Group | None = None
    during_training: bool = False
    tile: Tile | None = None
    sentence: Sentence | None = None

    def __call__(self, evidence: Evidence) -> float:
        """Its value."""
        return self.measured(evidence)[0]

    def measured(self, evidence: Evidence) -> tuple[float, str]:
        """Its value and the protocol of it."""
        found = self.take(evidence)
        value, protocol = found if isinstance(found, tuple) else (found, evidence.where)
        return float(value), protocol

    def missing(self, evidence: Evidence) -> str | None:
        """What it needs and game or data lack, in words; None where it exists."""
        needs = (*(self.group.needs if self.group else ()), *self.needs)
        return next((" ".join((need.__doc__ or need.__name__).split()) for need in needs if not need(evidence)), None)

    def says(self, values: Mapping[str, float], data: Mapping[str, Any]) -> str:
        """What a run's page says of its value, which is among `values`; empty where it says nothing."""
        if callable(self.sentence):
            return self.sentence(values, data)
        try:
            return (self.sentence or "").format_map(values)
        except KeyError:  # it names a metric that was not taken
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
    """Makes a function of `interalia.metrics.Evidence` a metric, by its own name and with its docstring as its sentence.

    The metric is in `REGISTRY` from then on: `evaluate`, a run's page and ``interalia list metrics`` have it, and a training
    that has `during_training` takes it and can choose its best weights by it.

    See also:
        interalia.metrics.Metric, for the arguments.

    Raises:
        UserError: there is a metric of that name already.

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

    def add(take: Callable[[Evidence], float | tuple[float, str]]) -> Metric:
        about = " ".join((inspect.getdoc(take) or "").split("\n\n")[0].split())
        made = Metric(take.__name__, about, take, better, unit, needs, group, during_training, tile, sentence)
        REGISTRY.add(made.name, made, module=take.__module__)
        return made

    return add


def as_number(value: Any) -> str:
    """A value as the page shows it, with four digits."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if not math.isfinite(value):
        return "not finite"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
