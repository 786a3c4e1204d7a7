"""Experiments as tables: rows are runs, with their seeds, lengths and quick form; columns are metrics of trained games."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from interalia import data, metrics
from interalia.data.store import as_tensor
from interalia.metrics import needs
from interalia.metrics.evidence import Evidence, Points
from interalia.papers.experiment import Experiment, Job, Setting, Values, train
from interalia.reports import plots
from interalia.runs import Run, comparing, described
from interalia.runs.comparing import GROUPS
from interalia.runs.loading import Trained

# a quick form
SMALL: Mapping[str, Any] = {"data": "digits", "image_size": None, "networks": "auto(width=8)", "steps": 40}


class Trial(Evidence):
    """A trained row with one seed, and what its columns share; `trained` is None if nothing is trained."""

    points: ClassVar[int | None] = None  # number of test images
    samples_of_mixture: ClassVar[int | None] = None  # number of samples of a mixture
    trains: ClassVar[bool] = True  # False for a row that evaluates the data alone
    game: Any

    def __init__(self, row: str, run: Run, setting: Setting, facts: Any, dataset: Any, trained: Trained | None) -> None:
        game: Any = trained and trained.game
        super().__init__(game, dataset, count=self.samples_of_mixture or self.points, seed=run.seed)
        self.row, self.run, self.setting, self.facts, self.trained = row, run, setting, facts, trained
        self.quick = setting.quick

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        """Trains the run, or resumes it if it was interrupted."""
        done, dataset = train(run, setting) if cls.trains else (None, described.dataset(run))
        return cls(row, run, setting, facts, dataset, done)

    @cached_property
    def held_out(self) -> Points:
        x, y, conditions = self.part.x, self.part.y, self.conditions
        labels, condition = (None if a is None else torch.from_numpy(a[: self.points]) for a in (y, conditions))
        return Points(as_tensor(x[: self.points]), labels, condition)

    @property
    def infers(self) -> bool:
        """True if the game has an encoder."""
        return needs.infers.met(self)

    @property
    def mse(self) -> float:
        """The mean squared error of reconstructions, per pixel."""
        return float((self.x - self.x_hat).square().mean())

    @cached_property
    def judge(self) -> metrics.Classifier:
        """interalia's own classifier of the data, frozen."""
        return metrics.Classifier.for_dataset(self.dataset)

    @cached_property
    def values(self) -> Mapping[str, float | None]:
        """Custom columns, by name; None for no value. Values without a column are in table.json only."""
        return {}

    def draw(self) -> None:
        """Draws the figures of a trained row, if there are any."""

    def picture(self, suffix: str = "") -> Path:
        """Returns the path of a picture of this row."""
        return self.setting.pictures / f"{self.run.name}-seed-{self.run.seed}{suffix}.png"


class Evaluated(Trial):
    """A trained row, evaluated as `interalia evaluate` does: up to `points` test images and as many samples, seed 0."""

    held_out = Evidence.held_out

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seed, self.quick = 0, False


class Mixed(Trial):
    """A trained row on a mixture."""

    samples_of_mixture = 2500  # PacGAN's


class Plane(Mixed):
    """A trained row on a mixture, with a scatter plot."""

    def draw(self) -> None:
        """Draws up to 2,500 points, samples, and with an encoder latents and reconstructions."""
        assert self.dataset.mixture is not None
        x, shown = self.x[:2500], {"means": self.dataset.mixture.means}
        if self.infers:
            shown |= {"latents": self.z_hat[:2500].numpy(), "reconstructions": self.x_hat[:2500].numpy()}
        plots.scatter(x.numpy(), self.mixture_samples.numpy(), self.picture(), **shown)


@dataclass(frozen=True)
class Row:
    """A row with options beside its run."""

    run: Run  # with `steps`
    after: str | None = None  # the row whose trained run is this one's `pretrained_generator`
    quick: bool = True  # True if the quick form has it
    full: bool = False  # True for a row about its length: left out with fewer steps and in the quick form
    once: bool = False  # True for a single seed
    trial: type[Trial] | None = None  # how it is trained and evaluated, if unlike the other rows
    facts: Mapping[str, Any] = field(default_factory=dict)  # further arguments of the columns


Rows = Mapping[str, Run | Row]


@dataclass(frozen=True, kw_only=True)
class Study(Experiment):
    """An experiment as a table of runs and metrics.

    `rows` are name -> run, in the order of the table, or a function of the setting that returns them. `columns` are name ->
    heading for the trial's `values`; or name -> `heading`, `metric` of `interalia.metrics.REGISTRY` (left out if it does not
    apply to a row) and `factor`. `quick` are the fields of every run in the quick form.
    """

    measured: str  # how the columns are computed, for the protocol
    deviations: str = ""  # from the paper
    trial: type[Trial] = Trial  # the source of the columns
    checkpoint_every: int = 500
    evaluations: int = 0  # evaluations during a training
    shortens: bool = False  # True if `steps` shortens longer trainings only
    groups: Sequence[str] = tuple(GROUPS)  # groups of fields in the protocol

    def prepared(self, setting: Setting) -> dict[str, tuple[Row, Run]]:
        """Returns the rows of this form with their runs, except for the seed."""
        found = {}
        for name, entry in (self.rows(setting) if callable(self.rows) else self.rows).items():
            row = entry if isinstance(entry, Row) else Row(entry)
            full = row.run.steps or 0
            steps = setting.length(full, self.quick.get("steps", full))
            if (setting.quick and (row.full or not row.quick)) or (row.full and steps < full):
                continue
            if full == 0 or self.shortens or row.full:
                steps = min(full, steps)
            every = max(1, steps // self.evaluations) if self.evaluations else 0
            run = row.run.replace(**(self.quick if setting.quick else {})).replace(steps=steps, evaluate_every=every)
            found[name] = row, on_files(run.replace(checkpoint_every=self.checkpoint_every), setting)
        return found

    def jobs(self, setting: Setting) -> Iterator[Job]:
        rows = self.prepared(setting)
        for seed, (name, (row, run)) in itertools.product(range(setting.seeds), rows.items()):
            if not (row.once and seed):
                source = rows[row.after][1].replace(seed=seed) if row.after else None
                measure = partial(self.measure, name, row, run.replace(seed=seed), source, setting)
                yield Job(name, seed, measure, run.steps or 0)

    def measure(self, name: str, row: Row, run: Run, source: Run | None, setting: Setting) -> Values:
        """Trains a row (after the row that it needs), draws it and returns its values by column."""
        if source is not None:
            first, _ = train(source, setting)
            assert first.folder is not None
            run = run.replace(pretrained_generator=str(first.folder.path))
        trial = (row.trial or self.trial).of(name, run, setting, row.facts)
        if trial.trained:
            trial.draw()
        values = {key: self.column(trial, key) for key in self.columns}
        return {key: value for key, value in {**values, **trial.values}.items() if value is not None}

    def column(self, trial: Trial, key: str) -> float | None:
        """Returns the value of a column for a row; None if it has none."""
        column = self.columns[key]
        if isinstance(column, str):
            return trial.values.get(key)
        metric = metrics.REGISTRY[column["metric"]]
        return None if metric.missing_need(trial) else column.get("factor", 1.0) * metric(trial)

    def protocol(self, setting: Setting) -> dict[str, str]:
        runs = {name: run for name, (_, run) in self.prepared(setting).items() if run.steps}
        found = {group: comparing.describe(runs, GROUPS[group]) for group in self.groups}
        return found | {"metric": self.measured} | ({"deviations": self.deviations} if self.deviations else {})


def on_files(run: Run, setting: Setting) -> Run:
    """Returns the run with the folder of data files, if its data are read from files."""
    made = run.data in data.REGISTRY and not data.REGISTRY[run.data].origin.startswith("http")
    return run if setting.data_dir is None or made else run.replace(data_dir=str(setting.data_dir))


def percentage(holds: Tensor) -> float:
    """Returns the percentage of True values."""
    return 100 * float(holds.double().mean())


def draw_curves(folder: Path, picture: Path, x: str, y: str) -> None:
    """Draws the curves in a folder, one file for each row and seed, in the order of their names."""
    found: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("*.json")):
        found.setdefault(path.stem.rpartition(", seed ")[0], []).append(json.loads(path.read_text()))
    plots.mean_and_std(found, picture, x, y)
