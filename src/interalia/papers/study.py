"""An experiment as a table: rows are runs, columns are metrics of the trained games. The frame owns seeds, data folder,
quick form, length, names of folders and the order of rows that need another run first."""

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
from interalia.papers.experiment import Experiment, Job, Setting, Values, trained
from interalia.reports import plots
from interalia.runs import Run, comparing, described
from interalia.runs.comparing import GROUPS
from interalia.runs.loading import Trained

SMALL: Mapping[str, Any] = {"data": "digits", "size": None, "networks": "auto(width=8)", "steps": 40}  # a quick form


class Trial(Evidence):
    """A trained row with one seed, on the first test images, or on all: what the columns are taken of, and what several of a
    paper's columns share. `trained` is None where nothing is trained."""

    points: ClassVar[int | None] = None  # how many test images
    samples_of_mixture: ClassVar[int | None] = None  # how many samples of a mixture
    trains: ClassVar[bool] = True  # whether the run is trained, and not its data alone looked at
    game: Any

    def __init__(self, row: str, run: Run, setting: Setting, facts: Any, dataset: Any, trained: Trained | None) -> None:
        game: Any = trained and trained.game
        super().__init__(game, dataset, count=self.samples_of_mixture or self.points, seed=run.seed)
        self.row, self.run, self.setting, self.facts, self.trained = row, run, setting, facts, trained
        self.quick = setting.quick

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        """Trains the run, going on with it if it was interrupted."""
        done, dataset = trained(run, setting) if cls.trains else (None, described.dataset(run))
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
    def values(self) -> Mapping[str, float | None]:
        """Columns of its own, by name; None where there is none, and what has no column stands in table.json alone."""
        return {}

    def draw(self) -> None:
        """Draws it, if it is trained and there is anything to see."""

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
    """A trained row on a mixture."""

    samples_of_mixture = 2500  # PacGAN's


class Plane(Mixed):
    """The same with a picture."""

    def draw(self) -> None:
        """Up to 2,500 points of the plane, samples, and where there is an encoder latents and reconstructions."""
        assert self.dataset.mixture is not None
        x, shown = self.x[:2500], {"means": self.dataset.mixture.means}
        if self.infers:
            shown |= {"latents": self.z_hat[:2500].numpy(), "reconstructions": self.x_hat[:2500].numpy()}
        plots.plane(x.numpy(), self.mixture_samples.numpy(), self.picture(), **shown)


@dataclass(frozen=True)
class Row:
    """A row that is more than its run."""

    run: Run  # with a length
    after: str | None = None  # the row whose trained run this one takes as its `generator`
    quick: bool = True  # whether the quick form has it
    full: bool = False  # whether it is there for its own length: neither in the quick form nor with fewer steps
    once: bool = False  # whether it has one seed alone
    trial: type[Trial] | None = None  # how it is trained and measured, where it is not as the other rows
    facts: Mapping[str, Any] = field(default_factory=dict)  # what the columns have to know beside the run


Rows = Mapping[str, Run | Row]


@dataclass(frozen=True, kw_only=True)
class Study(Experiment):
    """An experiment that is runs x metrics.

    `rows` are a row's name -> its run, in the order of the table, or a function of the setting, where they depend on it;
    `columns` a column's name -> its heading alone where it is one of the trial's `values`, or its `heading`, the name of a
    `metric` of `interalia.metrics.REGISTRY`, which is left out where a row lacks what it needs, and a `factor`; `quick`
    fields of every run in the quick form.
    """

    measured: str  # on what and how the columns are taken, for the protocol
    deviations: str = ""  # from the paper, and other remarks
    trial: type[Trial] = Trial  # what the columns are taken of
    checkpoint_every: int = 500
    evaluations: int = 0  # how often validation data are looked at in a training
    shortens: bool = False  # whether `steps` shortens longer trainings and leaves the others alone
    groups: Sequence[str] = tuple(GROUPS)  # the subjects of which the runs tell; the others are brought by the trial

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
        for seed, (name, (row, run)) in itertools.product(range(setting.seeds), rows.items()):
            if not (row.once and seed):
                source = rows[row.after][1].replace(seed=seed) if row.after else None
                work = partial(self.work, name, row, run.replace(seed=seed), source, setting)
                yield Job(name, seed, work, run.steps or 0)

    def work(self, name: str, row: Row, run: Run, source: Run | None, setting: Setting) -> Values:
        """Trains one row, after that which it needs, draws it and takes its columns."""
        if source is not None:
            first, _ = trained(source, setting)
            assert first.folder is not None
            run = run.replace(pretrained_generator=str(first.folder.path))
        trial = (row.trial or self.trial).of(name, run, setting, row.facts)
        if trial.trained:
            trial.draw()
        taken = {key: self.taken(trial, key) for key in self.columns}
        return {key: value for key, value in {**taken, **trial.values}.items() if value is not None}

    def taken(self, trial: Trial, key: str) -> float | None:
        """A column of a row; None where it has no number."""
        column = self.columns[key]
        if isinstance(column, str):
            return trial.values.get(key)
        metric = metrics.REGISTRY[column["metric"]]
        return None if metric.missing(trial) else column.get("factor", 1.0) * metric(trial)

    def protocol(self, setting: Setting) -> dict[str, str]:
        runs = {name: run for name, (_, run) in self.prepared(setting).items() if run.steps}
        found = {group: comparing.describe(runs, GROUPS[group]) for group in self.groups}
        return found | {"metric": self.measured} | ({"deviations": self.deviations} if self.deviations else {})


def on_files(run: Run, setting: Setting) -> Run:
    """The run with the folder of data files, where its data are read from files."""
    made = run.data in data.REGISTRY and not data.REGISTRY[run.data].origin.startswith("http")
    return run if setting.data_dir is None or made else run.replace(data_dir=str(setting.data_dir))


def percentage(holds: Tensor) -> float:
    """Of how many of the cases it holds."""
    return 100 * float(holds.double().mean())


def bands(folder: Path, picture: Path, x: str, y: str) -> None:
    """A figure of the curves in a folder, one file a row and seed, in the order of their names."""
    found: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("*.json")):
        found.setdefault(path.stem.rpartition(", seed ")[0], []).append(json.loads(path.read_text()))
    plots.bands(found, picture, x, y)
