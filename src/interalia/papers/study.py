"""An experiment as a table: rows are runs, columns are metrics of the trained games.

The frame owns seeds, data folder, quick form, length, names of folders and the order of rows that need another run first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from interalia import data, metrics, tasks
from interalia.data.store import as_tensor
from interalia.disk import write_json
from interalia.errors import DivergedError
from interalia.games import Outcome
from interalia.metrics import needs
from interalia.metrics.evidence import Evidence, Points
from interalia.papers.experiment import Experiment, Job, Setting, Values, trained
from interalia.reports import plots
from interalia.runs import Run
from interalia.runs.loading import Trained
from interalia.training.callbacks.callback import Observer, due
from interalia.training.state import Training

SMALL: Mapping[str, Any] = {"data": "digits", "size": None, "networks": "auto(width=8)", "steps": 40}  # a quick form
GROUPS: Mapping[str, Sequence[str]] = {  # of fields that a protocol tells
    "data": ("data", "target", "size", "binarise", "labels", "attributes", "labelled"),
    "game": ("game", "divergence", "penalty", "noise", "augment"),
    "networks": ("networks", "encoder", "prior", "latent", "spectral", "pack"),
    "optimizer": ("optimiser", "rates", "schedule", "dynamics", "clip", "accumulate", "balance", "ema", "average",
                  "population", "precision"),
    "length": ("steps", "batch"),
}  # fmt: skip
ALWAYS = (
    "data",
    "game",
    "networks",
    "optimiser",
    "dynamics",
    "ema",
    "steps",
    "batch",
)  # where they are the default too


class Trial(Evidence):
    """A trained row with one seed, on the first test images, or on all: what the columns are taken of.

    A paper's file derives from it what several of its columns share.

    Arguments:
        row: its name.
        run: its run.
        setting: the form of the experiment.
        facts: what the row says beside its run.
        dataset: the data.
        trained: the game and its folder; None for a row in which nothing is trained.
    """

    points: ClassVar[int | None] = None  # how many test images
    game: Any

    def __init__(
        self,
        row: str,
        run: Run,
        setting: Setting,
        facts: Mapping[str, Any],
        dataset: data.Dataset,
        trained: Trained | None,
    ) -> None:
        game: Any = trained and trained.game
        super().__init__(game, dataset, count=self.points, seed=run.seed)
        self.row, self.run, self.setting, self.facts, self.trained = row, run, setting, facts, trained
        self.quick = setting.quick

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        """Trains the run, going on with it if it was interrupted."""
        done, dataset = trained(run, setting)
        return cls(row, run, setting, facts, dataset, done)

    @cached_property
    def held_out(self) -> Points:
        x, y, given = self.part.x, self.part.y, self.conditions
        labels, condition = (None if a is None else torch.from_numpy(a[: self.points]) for a in (y, given))
        return Points(as_tensor(x[: self.points]), labels, condition)

    @property
    def infers(self) -> bool:
        """Whether the game has an encoder."""
        return needs.infers(self)

    @property
    def mse(self) -> float:
        """The mean squared error of reconstructions, a pixel."""
        return float((self.x - self.x_hat).square().mean())

    @cached_property
    def judge(self) -> metrics.Classifier:
        """The library's own classifier of the data, frozen."""
        return metrics.Classifier.of(self.dataset)

    @cached_property
    def values(self) -> Values:
        """Columns that are taken together, by name; what has no column stands in table.json alone."""
        return {}

    def picture(self, suffix: str = "") -> Path:
        """Where a picture of this row lies."""
        return self.setting.pictures / f"{self.run.name}-seed-{self.run.seed}{suffix}.png"


class Evaluated(Trial):
    """A trained row as `interalia evaluate` sees it: up to `points` test images and as many samples, by seed 0."""

    held_out = Evidence.held_out

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.seed, self.quick = 0, False


class Mixed(Trial):
    """A trained row on a mixture, of which `count_drawn` samples are looked at."""

    count_drawn: ClassVar[int] = 2500  # PacGAN's

    @cached_property
    def mixture_samples(self) -> Tensor:
        return tasks.generate(self.game, self.count_drawn, seed=self.seed, how="sample")

    def draw(self) -> None:
        """Up to 2,500 points of the plane, samples, and where there is an encoder latents and reconstructions."""
        assert self.dataset.mixture is not None
        x, shown = self.x[:2500], {"means": self.dataset.mixture.means}
        if self.infers:
            shown |= {"latents": self.z_hat[:2500].numpy(), "reconstructions": self.x_hat[:2500].numpy()}
        plots.plane(x.numpy(), self.mixture_samples.numpy(), self.picture(), **shown)


@dataclass(frozen=True)
class Row:
    """A row that is more than its run.

    Attributes:
        run: with a length.
        after: the row whose trained run this one takes as its `generator`.
        quick: whether the quick form has it.
        full: whether it is there for its own length: neither in the quick form nor with fewer steps.
        once: whether it has one seed alone.
        trial: how it is trained and what its columns are taken of, where it is not as in the other rows.
        facts: what the columns have to know beside the run.
    """

    run: Run
    after: str | None = None
    quick: bool = True
    full: bool = False
    once: bool = False
    trial: type[Trial] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


Rows = Mapping[str, Run | Row]


@dataclass(frozen=True)
class Column:
    """A heading, with the unit and an arrow to the better side; the name of a metric of `interalia.metrics.REGISTRY`, which
    is left out where a row lacks what it needs, or a function of the trial, where None is no number; and a factor."""

    heading: str
    metric: str | Callable[[Any], float | None]
    factor: float = 1.0

    def take(self, trial: Trial) -> float | None:
        if isinstance(self.metric, str):
            metric = metrics.REGISTRY[self.metric]
            value = metric(trial) if metric.missing(trial) is None else None
        else:
            value = self.metric(trial)
        return None if value is None else self.factor * value


@dataclass(frozen=True, kw_only=True)
class Study(Experiment):
    """An experiment that is runs x metrics.

    Attributes:
        rows: a row's name -> its run, in the order of the table; or a function of the setting, where they depend on it.
        columns: a column's name -> its heading and its metric; a heading alone where it is one of the trial's `values`.
        quick: fields of every run in the quick form.
        measured: on what and how the columns are taken, for the protocol.
        deviations: from the paper, and other remarks.
        trial: what the columns are taken of.
        pictures: draw each row that is trained.
        checkpoint_every: steps between two checkpoints.
        evaluations: how often validation data are looked at in a training.
        shortens: whether `steps` shortens longer trainings and leaves the others alone.
        groups: the subjects of which the runs tell; the others are brought by the trial.
        diverged: the values of a row whose training diverges.
    """

    measured: str
    deviations: str = ""
    trial: type[Trial] = Trial
    pictures: Sequence[Callable[[Any], object]] = ()
    checkpoint_every: int = 500
    evaluations: int = 0
    shortens: bool = False
    groups: Sequence[str] = tuple(GROUPS)
    diverged: Values | None = None

    @property
    def headings(self) -> Mapping[str, str]:
        return {key: c.heading if isinstance(c, Column) else c for key, c in self.columns.items()}

    def cuts(self, setting: Setting) -> str:
        found = super().cuts(setting)
        return (
            found.replace("CUT to", "no training is longer than").replace(" a training", "") if self.shortens else found
        )

    def prepared(self, setting: Setting) -> dict[str, tuple[Row, Run]]:
        """The rows of this form with their runs, all but the seed."""
        found = {}
        for name, given in (self.rows(setting) if callable(self.rows) else self.rows).items():
            row = given if isinstance(given, Row) else Row(given)
            own = row.run.steps or 0
            steps = setting.length(own, self.quick.get("steps", own))
            if (setting.quick and (row.full or not row.quick)) or (row.full and steps < own):
                continue
            if own == 0 or self.shortens or row.full:
                steps = min(own, steps)
            looks = max(1, steps // self.evaluations) if self.evaluations else 0
            run = row.run.replace(**(self.quick if setting.quick else {})).replace(steps=steps, evaluate_every=looks)
            found[name] = row, on_files(run.replace(checkpoint_every=self.checkpoint_every), setting)
        return found

    def jobs(self, setting: Setting) -> Iterator[Job]:
        rows = self.prepared(setting)
        for seed in range(setting.seeds):
            for name, (row, run) in rows.items():
                if row.once and seed:
                    continue
                source = rows[row.after][1].replace(seed=seed) if row.after else None
                work = partial(self.work, name, row, run.replace(seed=seed), source, setting)
                yield Job(name, seed, work, run.steps or 0)

    def work(self, name: str, row: Row, run: Run, source: Run | None, setting: Setting) -> Values:
        """Trains one row, after that which it needs, draws it and takes its columns."""
        try:
            if source is not None:
                first, _ = trained(source, setting)
                assert first.folder is not None
                run = run.replace(generator=str(first.folder.path))
            trial = (row.trial or self.trial).of(name, run, setting, row.facts)
        except DivergedError:
            if self.diverged is None:
                raise
            return self.diverged
        for draw in self.pictures if trial.trained else ():
            draw(trial)
        found = {
            key: c.take(trial) if isinstance(c, Column) else trial.values.get(key) for key, c in self.columns.items()
        }
        return {key: value for key, value in {**found, **trial.values}.items() if value is not None}

    def protocol(self, setting: Setting) -> dict[str, str]:
        runs = {name: run for name, (_, run) in self.prepared(setting).items() if run.steps}
        found = {group: described(runs, GROUPS[group]) for group in self.groups}
        return found | {"metric": self.measured} | ({"deviations": self.deviations} if self.deviations else {})


def on_files(run: Run, setting: Setting) -> Run:
    """The run with the folder of data files, where its data are read from files."""
    made = run.data in data.REGISTRY and not data.REGISTRY[run.data].origin.startswith("http")
    return run if setting.root is None or made else run.replace(root=str(setting.root))


def described(runs: Mapping[str, Run], fields: Sequence[str]) -> str:
    """What fields of the rows' runs say: the values of most rows, and which rows have others; defaults are left out.

    Example:
        >>> described({"a": Run(ema=0), "b": Run(ema=0), "c": Run(ema=0.9)}, ["clip", "ema", "batch"])
        'ema 0 (c: 0.9); batch 128'
    """
    parts = []
    for key in fields:
        if key not in ALWAYS and all(getattr(run, key) == getattr(Run(), key) for run in runs.values()):
            continue
        rows: dict[str, list[str]] = {}
        for name, run in runs.items():
            rows.setdefault(in_words(getattr(run, key)), []).append(name)
        most = max(rows, key=lambda words: len(rows[words]))
        name = "" if key in (*GROUPS, "optimiser") else f"{key} "
        if len(rows) == len(runs) > 2:
            parts.append(f"{name}by row {', '.join(rows)}")
        else:
            others = "; ".join(f"{called(who, runs)}: {words}" for words, who in rows.items() if words != most)
            parts.append(name + most + (f" ({others})" if others else ""))
    return "; ".join(parts)


def in_words(value: Any) -> str:
    """A field's value in words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {number:g}" for key, number in value.items()) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def called(rows: Sequence[str], all_rows: Iterable[str]) -> str:
    """Some rows in few words: the parts of their names, between colons and commas, that no other row has.

    Example:
        >>> called(["ring: GAN", "ring: GAN, long"], ["grid: GAN", "ring: GAN", "grid: GAN, long", "ring: GAN, long"])
        'ring'
    """
    having: dict[str, set[str]] = {}
    for row in all_rows:
        for part in re.split(": |, ", row):
            having.setdefault(part, set()).add(row)
    own = {row: {row} for row in rows} | {part: who for part, who in having.items() if who <= set(rows)}
    left, found = set(rows), []
    while left:
        found.append(max(own, key=lambda part: (len(own[part] & left), -len(part))))
        left -= own[found[-1]]
    return ", ".join(found)


class Curve(Observer):
    """Notes a number of the game on held-out images a few times in a training, and how long that took.

    Arguments:
        take: the number.
        part, count: which images, the first of a part of the data.
        points: how often.
        path: where they are kept, for a training that goes on.
    """

    def __init__(
        self, take: Callable[[Any, Tensor], float], part: str, count: int, points: int, path: Path | None = None
    ) -> None:
        self.take, self.part, self.count, self.intervals, self.path = take, part, count, points, path
        self.points: list[tuple[float, float]] = []

    def start(self, training: Training) -> None:
        self.x = as_tensor(getattr(training.dataset, self.part).x[: self.count])
        self.seconds = training.seconds
        if self.path and self.path.exists():
            self.points = [(step, value) for step, value in json.loads(self.path.read_text()) if step <= training.step]

    def step(self, training: Training, outcome: Outcome) -> None:
        self.seconds = training.seconds
        if due(training.step, max(1, training.steps // self.intervals), training.steps):
            self.points.append((float(training.step), self.take(training.sampled, self.x)))
            if self.path:
                write_json(self.path, self.points)


def bands(folder: Path, picture: Path, x: str, y: str) -> None:
    """A figure of the curves in a folder, one file a row and seed, in the order of their names."""
    found: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("*.json")):
        found.setdefault(path.stem.rpartition(", seed ")[0], []).append(json.loads(path.read_text()))
    plots.bands(found, picture, x, y)


def percentage(holds: Tensor) -> float:
    """Of how many of the cases it holds."""
    return 100 * float(holds.double().mean())


def sheet(trial: Trial) -> None:
    """A sheet of 50 samples."""
    plots.grid(trial.samples[:50].numpy(), trial.picture(), columns=10)
