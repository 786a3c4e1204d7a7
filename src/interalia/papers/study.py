"""The base of experiments whose rows are trained runs and whose columns are metrics of the trained games."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from interalia import data, metrics, tasks
from interalia.data.store import as_tensor
from interalia.metrics import needs
from interalia.metrics.evidence import Evidence, Points
from interalia.papers.experiment import Experiment, Job, Setting, Values, changes, train
from interalia.reports import plots
from interalia.runs import Run, claims, comparing, loading, recipes, schemas
from interalia.runs.comparing import GROUPS
from interalia.runs.loading import Loaded

# the fields of each run of a smoke test, by default
SMALL: Mapping[str, Any] = {"data": "digits", "image_size": None, "networks": "auto(width=8)", "steps": 40}


class Trial(Evidence):
    """One row of an experiment with one seed: a trained run, its test data, and the values of the table's columns. `row` is
    its name, `facts` are values that its columns need; `trained` is None if `trains`, a field of the class, is False.
    """

    points: ClassVar[int | None] = None  # number of test images
    samples_of_mixture: ClassVar[int | None] = None  # number of samples of a mixture
    trains: ClassVar[bool] = True  # False for a row that evaluates the data alone
    game: Any

    def __init__(self, row: str, run: Run, setting: Setting, facts: Any, dataset: Any, trained: Loaded | None) -> None:
        game: Any = trained and trained.game
        super().__init__(game, dataset, count=self.samples_of_mixture or self.points, seed=run.seed)
        self.row, self.run, self.setting, self.facts, self.trained = row, run, setting, facts, trained
        self.quick = setting.quick

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        """Trains the run of the row `row`, or resumes it if it was interrupted, and returns its trial; only loads the data if
        the class field `trains` is False. `facts` are values of the row that its columns need, such as a number of labels.
        """
        done, dataset = train(run, setting) if cls.trains else (None, loading.load_dataset(run))
        return cls(row, run, setting, facts, dataset, done)

    @cached_property
    def held_out(self) -> Points:
        """The first `points` (a class field) test images, with labels and conditions; all images if `points` is None."""
        x, y, conditions = self.split_points.x, self.split_points.y, self.conditions
        labels, condition = (None if a is None else torch.from_numpy(a[: self.points]) for a in (y, conditions))
        return Points(as_tensor(x[: self.points]), labels, condition)

    @property
    def infers(self) -> bool:
        """True if the game has an encoder."""
        return needs.infers.met(self)

    @cached_property
    def judge(self) -> metrics.Classifier:
        """This library's classifier of the data's labels, trained on the training split, with frozen weights."""
        return metrics.Classifier.for_dataset(self.dataset)

    @cached_property
    def values(self) -> Mapping[str, float | None]:
        """Column -> value or None; by default empty. Values without a column in the table are in ``table.json`` only."""
        return {}

    def svm(self, layer: Callable[[Tensor], Tensor], labels: int) -> dict[str, float]:
        """Returns {"error": mean, "spread": standard deviation, "c": C}: the % of test images that linear support vector
        machines classify wrong, over random sets of `labels` training images, and their penalty C, chosen on validation
        images. `layer` maps images x, shape (n, *shape), to the features, shape (n, d), that are classified.
        """
        data: Any = self.dataset  # with labels
        found: list[Tensor] = []
        for split, count in ((data.train, 10_000), (data.test, None), (data.validation, 2000)):
            found += [layer(as_tensor(split.x[:count])), torch.from_numpy(split.y[:count])]
        errors, c = metrics.svm_errors(*found, labels=labels, draws=3 if self.quick else 100)
        return {"error": 100 * statistics.fmean(errors), "spread": 100 * statistics.stdev(errors), "c": c}

    def draw(self) -> None:
        """Draws pictures of the trained run into PNG files; by default none."""

    def picture(self, suffix: str = "") -> Path:
        """Returns the path of a picture of this row and seed; `suffix`, such as "-edits", distinguishes several of them."""
        return self.setting.pictures / f"{self.run.name}-seed-{self.run.seed}{suffix}.png"


class Evaluated(Trial):
    """One trained run, evaluated as by `interalia evaluate`: seed 0, and the class field `points` as number of images."""

    held_out = Evidence.held_out

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seed, self.quick = 0, False


class Mixed(Trial):
    """One trained run on a mixture of Gaussians, evaluated on 2,500 samples of the game."""

    samples_of_mixture = 2500  # PacGAN's


class Plane(Mixed):
    """One trained run on a mixture of Gaussians in the plane, with a scatter plot."""

    def draw(self) -> None:
        """Draws up to 2,500 test points with samples and, with an encoder, latents and reconstructions, into a PNG file."""
        assert self.dataset.mixture is not None
        x, shown = self.x[:2500], {"means": self.dataset.mixture.means}
        if self.infers:
            shown |= {"latents": self.z_hat[:2500].numpy(), "reconstructions": self.x_hat[:2500].numpy()}
        plots.scatter(x.numpy(), self.mixture_samples.numpy(), self.picture(), **shown)


@dataclass(frozen=True)
class Row:
    """A row of an experiment's table: the run that is trained, and how it is evaluated. `after` names the row whose generator
    the run starts with. `quick` is True if a smoke test has the row, `full` if it is left out where trainings are shortened,
    `once` if it has one seed. `trial` trains and evaluates it, by default the study's; `facts` are values for the columns.
    """

    run: Run  # with `steps`
    after: str | None = None  # the row whose trained run is this one's `pretrained_generator`
    quick: bool = True  # True if a smoke test has it
    full: bool = False  # True for a row about its length: left out with fewer steps and in a smoke test
    once: bool = False  # True for a single seed
    trial: type[Trial] | None = None  # how it is trained and evaluated, if unlike the other rows
    facts: Mapping[str, Any] = field(default_factory=dict)  # further arguments of the columns
    before: Sequence[str] = ()  # the rows that its columns need


Rows = Mapping[str, Run | Row]


@dataclass(frozen=True, kw_only=True)
class Study(Experiment):
    """An experiment whose rows are trained runs and whose columns are metrics of the trained games. `rows` maps names to runs
    or `Row`s, in the order of the table, or is a function of the `Setting` that returns this. `columns` maps a name to its
    heading, for a column of the trial's `values`; or to a table of `heading`, `metric` in `interalia.metrics.REGISTRY` (empty
    for rows that it does not apply to) and the `factor` that it is multiplied by. `quick` are the fields of every run that a
    smoke test changes. `trial` trains and evaluates a row. The protocol has the fields of runs in the groups `groups` and the
    texts `measured` (on the columns) and `deviations` (from the paper).
    """

    quick: Any = field(default_factory=lambda: SMALL)

    measured: str  # how the columns are computed, for the protocol
    deviations: str = ""  # from the paper
    trial: type[Trial] = Trial  # the source of the columns
    checkpoint_every: int = 500
    evaluations: int = 0  # evaluations during a training, at most 2 in a smoke test
    shortens: bool = False  # True if `steps` shortens longer trainings only
    groups: Sequence[str] = tuple(GROUPS)  # groups of fields in the protocol

    def prepared(self, setting: Setting) -> dict[str, tuple[Row, Run]]:
        """Returns name -> (row, its run) of the rows that are computed with these options, in the order of the table. The run
        has the length and data folder of the options, in a smoke test also the fields in `quick`; its seed is not set.
        """
        found = {}
        for name, entry in (self.rows(setting) if callable(self.rows) else self.rows).items():
            row = entry if isinstance(entry, Row) else Row(entry)
            full = row.run.steps or 0
            steps = setting.length(full, self.quick.get("steps", full))
            if (setting.quick and (row.full or not row.quick)) or (row.full and steps < full):
                continue
            if full == 0 or self.shortens or row.full:
                steps = min(full, steps)
            often = min(self.evaluations, 2) if setting.quick else self.evaluations
            every = max(1, steps // often) if often else 0
            run = row.run.replace(**(self.quick if setting.quick else {})).replace(steps=steps, evaluate_every=every)
            found[name] = row, on_files(run.replace(checkpoint_every=self.checkpoint_every), setting)
        return found

    def jobs(self, setting: Setting) -> Iterator[Job]:
        """Yields a `Job` for each seed and, within it, each row of the table; a row with `once` has the first seed only."""
        rows = self.prepared(setting)
        for seed, (name, (row, run)) in itertools.product(range(setting.seeds), rows.items()):
            if not (row.once and seed):
                source = rows[row.after][1].replace(seed=seed) if row.after else None
                measure = partial(self.measure, name, row, run.replace(seed=seed), source, setting)
                yield Job(name, seed, measure, run.steps or 0, (row.after or "", *row.before))

    def measure(self, name: str, row: Row, run: Run, source: Run | None, setting: Setting) -> Values:
        """Trains `run` for the row called `name`, draws its pictures and returns column -> value, without columns that have
        none. `run` is the run of `row` with the seed and the length of this job; of `row` itself only `trial` and `facts` are
        used, for the evaluation. The run `source`, if it is not None, is trained first, and `run` starts with its generator,
        or is conditional on clusters of its latents.
        """
        if source is not None:
            first, _ = train(source, setting)
            assert first.folder is not None
            place = str(first.folder.path.absolute())
            on = (run.condition_on or "").replace("{after}", place)  # clusters of that run's latents, or its generator
            run = run.replace(condition_on=on) if place in on else run.replace(pretrained_generator=place)
        trial = (row.trial or self.trial).of(name, run, setting, row.facts)
        if trial.trained:
            trial.draw()
        values = {key: self.column(trial, key) for key in self.columns}
        return {key: value for key, value in {**values, **trial.values}.items() if value is not None}

    def column(self, trial: Trial, key: str) -> float | None:
        """Returns the value in the column `key`: that of its metric, times its factor, or without a metric
        `trial.values[key]`. It is None if the metric does not apply to the trial, or if there is no such value.
        """
        column = self.columns[key]
        if isinstance(column, str):
            return trial.values.get(key)
        metric = metrics.REGISTRY[column["metric"]]
        return None if metric.missing_need(trial) else column.get("factor", 1.0) * metric(trial)

    def protocol(self, setting: Setting) -> dict[str, str]:
        """Returns subject -> paragraph: each group in the field `groups` -> a text on its fields in all runs; "metric" -> the
        field `measured`; and "deviations" -> the field `deviations`, unless it is empty.
        """
        runs = {name: run for name, (_, run) in self.prepared(setting).items() if run.steps}
        found = {group: comparing.describe(runs, GROUPS[group]) for group in self.groups}
        return found | {"metric": self.measured} | ({"deviations": self.deviations} if self.deviations else {})


def rows_of(name: str) -> dict[str, Row]:
    """Returns name -> `Row` of the experiment `name`, for an experiment whose runs are all in ``experiments.toml``."""
    return {row: row_of(**fields) for row, fields in changes(name).items()}


def row_of(
    recipe: str | None = None, quick: bool = True, after: str | None = None, facts: Any = (), **fields: Any
) -> Row:
    """Returns a `Row` whose run has the fields `fields`; its others are those of the recipe, or without one the defaults of
    `Run`. `quick`, `after` and `facts` are arguments of `Row`.
    """
    run = recipes.REGISTRY[recipe](**fields) if recipe else Run(**fields)
    return Row(run, after, quick, facts=dict(facts))


def on_files(run: Run, setting: Setting) -> Run:
    """Returns the run with `data_dir` as in `setting`; unchanged if that is None, or if the run's data need no files."""
    made = run.data in data.REGISTRY and not data.REGISTRY[run.data].origin.startswith("http")
    return run if setting.data_dir is None or made else run.replace(data_dir=str(setting.data_dir))


def posterior_variance(evidence: Evidence) -> float:
    """Returns the mean of (z - m)^2 over test images and dimensions: z is one draw from q(z | x), m the mean of q(z | x)."""
    return float((evidence.z_hat - tasks.encode(evidence.game, evidence.x)).square().mean())


def percentage(mask: Tensor) -> float:
    """Returns the percentage of True values in a tensor of booleans."""
    return 100 * float(mask.double().mean())


def draw_curves(folder: Path, picture: Path, x: str, y: str) -> None:
    """Draws the curves in the JSON files ``ROW, seed N.json`` of a folder, lists of points (x, y), into the PNG file
    `picture`. Each row has the mean over seeds, with the standard deviation as a band. `x` and `y` are the axes' labels.
    """
    found: dict[str, list[Any]] = {}
    with claims.waiting(folder, ".drawing"):  # the last of several processes draws the curves of all
        for path in sorted(folder.glob("*.json")):
            points = schemas.read(path, list[tuple[float, float]])
            found.setdefault(path.stem.rpartition(", seed ")[0], []).append(points)
        plots.mean_and_std(found, picture, x, y)
