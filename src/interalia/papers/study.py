"""An experiment as a table: rows are runs, columns are metrics of the trained games.

The frame owns seeds, data folder, quick form, length, names of folders and the order of rows that need another run first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from interalia.errors import DivergedError
from interalia.papers.experiment import Experiment, Job, Setting, Values, trained
from interalia.runs import Run

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.data.dataset import Dataset
    from interalia.games import Game
    from interalia.metrics.classifier import Classifier
    from interalia.runs.loading import Trained

SMALL: Mapping[str, Any] = {"data": "digits", "size": None, "networks": "auto(width=8)", "steps": 40}  # a quick form
GROUPS: Mapping[str, Sequence[str]] = {  # of fields that a protocol tells; the first ones also where they are the default
    "data": ("data", "target", "size", "binarise", "labels", "attributes", "labelled"),
    "game": ("game", "divergence", "penalty", "noise", "augment"),
    "networks": ("networks", "encoder", "prior", "latent", "spectral", "pack"),
    "optimizer": (
        "optimiser", "rates", "schedule", "dynamics", "clip", "accumulate", "balance", "ema", "average", "population",
        "precision",
    ),
    "length": ("steps", "batch"),
}  # fmt: skip
ALWAYS = (
    "data",
    "game",
    "divergence",
    "networks",
    "encoder",
    "latent",
    "optimiser",
    "dynamics",
    "ema",
    "steps",
    "batch",
)


@dataclass(frozen=True)
class Trial:
    """A trained row with one seed: what the metrics of a table are taken of. Everything is computed at its first use.

    A paper's file derives from it what several of its metrics share.

    Attributes:
        row: its name.
        run: its run.
        setting: the form of the experiment.
        facts: what the row says beside its run.
        dataset: the data.
        trained: the game and its folder; None for a row in which nothing is trained.
    """

    row: str
    run: Run
    setting: Setting
    facts: Mapping[str, Any]
    dataset: Dataset
    trained: Trained | None = None

    count: ClassVar[int | None] = None  # test images, the first; all by default
    samples_count: ClassVar[int | None] = None  # as many as test images by default
    quick_samples: ClassVar[int | None] = None  # in the quick form
    evaluation: ClassVar[Mapping[str, Any]] = {}  # split and count of the metrics that are taken by name

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        """Trains the run, going on with it if it was interrupted."""
        done, dataset = trained(run, setting)
        return cls(row, run, setting, facts, dataset, done)

    @property
    def game(self) -> Game:
        assert self.trained is not None
        return self.trained.game

    @property
    def infers(self) -> bool:
        """Whether the game has an encoder."""
        return hasattr(self.game, "encoder")

    @property
    def quick(self) -> bool:
        return self.setting.quick

    @cached_property
    def x(self) -> Tensor:
        from interalia.data.store import as_tensor

        return as_tensor(self.dataset.test.x[: self.count])

    @cached_property
    def y(self) -> Tensor:
        """The labels of x."""
        import torch

        assert self.dataset.test.y is not None
        return torch.from_numpy(self.dataset.test.y[: self.count])

    @cached_property
    def x_hat(self) -> Tensor:
        """Reconstructions of x by the means of the conditionals."""
        from interalia import tasks

        return tasks.reconstruct(self.game, self.x, self.run.seed)

    @property
    def mse(self) -> float:
        """The mean squared error of reconstructions, a pixel."""
        return float((self.x - self.x_hat).square().mean())

    @cached_property
    def samples(self) -> Tensor:
        """Draws of the model."""
        from interalia import tasks

        count = (self.quick and self.quick_samples) or self.samples_count or len(self.x)
        return tasks.generate(self.game, count, seed=self.run.seed, how="sample")

    @cached_property
    def judge(self) -> Classifier:
        """The library's own classifier of the data, frozen."""
        from interalia.metrics.classifier import Classifier

        return Classifier.of(self.dataset)

    @cached_property
    def evaluated(self) -> Mapping[str, float]:
        """The library's metrics by name."""
        from interalia.metrics.evaluation import evaluate

        return {found.name: found.value for found in evaluate(self.game, self.dataset, **self.evaluation)}

    def picture(self, suffix: str = "") -> Path:
        """Where a picture of this row lies."""
        return self.setting.pictures / f"{self.run.name}-seed-{self.run.seed}{suffix}.png"

    @cached_property
    def values(self) -> Values:
        """The metrics that are taken together, by the columns' names; those without a column stand in table.json alone."""
        return {}


@dataclass(frozen=True)
class Row:
    """A row that is more than its run.

    Attributes:
        run: with a length.
        after: the row whose trained run this one takes as its `generator`.
        quick: whether the quick form has it.
        full: whether it is there for its own length: neither in the quick form nor with fewer steps.
        once: whether it has one seed alone.
        trial: how it is trained and what its metrics are taken of, where it is not as in the other rows.
        facts: what the metrics have to know beside the run.
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
    """Attributes:
    heading: with the unit, and an arrow to the better side.
    metric: the name of one of the library's metrics, or a function of the trial; None is no number.
    factor: what it is multiplied by.
    """

    heading: str
    metric: str | Callable[[Any], float | None]
    factor: float = 1.0

    def take(self, trial: Trial) -> float | None:
        value = trial.evaluated[self.metric] if isinstance(self.metric, str) else self.metric(trial)
        return None if value is None else self.factor * value


@dataclass(frozen=True, kw_only=True)
class Study(Experiment):
    """An experiment that is runs x metrics.

    Attributes:
        columns: a column's name -> its heading and its metric; a heading alone where it is one of the trial's `values`.
        rows: a row's name -> its run, in the order of the table; or a function of the setting, where they depend on it.
        trial: what the metrics are taken of.
        quick: fields of every run in the quick form.
        pictures: draw each row.
        measured: on what and how the metrics are taken, for the protocol.
        deviations: from the paper, and other remarks.
        checkpoint_every: steps between two checkpoints.
        evaluations: how often validation data are looked at in a training.
        shortens: whether `steps` shortens longer trainings and leaves the others alone.
        groups: the subjects of which the runs tell; the others are brought by the trial.
        diverged: the values of a row whose training diverges; none by default.
    """

    columns: Mapping[str, Column | str]
    rows: Rows | Callable[[Setting], Rows]
    quick: Mapping[str, Any]
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

    def quick_words(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in self.quick.items() if value is not None) + ", one seed"

    def prepared(self, setting: Setting) -> dict[str, tuple[Row, Run]]:
        """The rows of this form with their runs, all but the seed."""
        found = {}
        rows = self.rows(setting) if callable(self.rows) else self.rows
        for name, given in rows.items():
            row = given if isinstance(given, Row) else Row(given)
            own = row.run.steps or 0
            steps = setting.length(own, self.quick.get("steps", own))
            if setting.quick and (row.full or not row.quick) or row.full and steps < own:
                continue
            if own == 0 or self.shortens or row.full:
                steps = min(own, steps)
            run = row.run.replace(**(self.quick if setting.quick else {})).replace(
                steps=steps,
                evaluate_every=max(1, steps // self.evaluations) if self.evaluations else 0,
                checkpoint_every=self.checkpoint_every,
            )
            found[name] = row, on_files(run, setting)
        return found

    def jobs(self, setting: Setting) -> Iterator[Job]:
        rows = self.prepared(setting)
        for seed in range(setting.seeds):
            for name, (row, run) in rows.items():
                if seed and row.once:
                    continue
                source = rows[row.after][1].replace(seed=seed) if row.after else None
                work = partial(self.work, name, row, run.replace(seed=seed), source, setting)
                yield Job(name, seed, work, run.steps or 0)

    def work(self, name: str, row: Row, run: Run, source: Run | None, setting: Setting) -> Values:
        """Trains one row, after that which it needs, draws it and takes its metrics."""
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
        for draw in self.pictures if trial.trained is not None else ():
            draw(trial)
        found = {
            key: c.take(trial) if isinstance(c, Column) else trial.values.get(key) for key, c in self.columns.items()
        }
        return {key: value for key, value in {**found, **trial.values}.items() if value is not None}

    def protocol(self, setting: Setting) -> Mapping[str, str]:
        runs = {name: run for name, (_, run) in self.prepared(setting).items()}
        found = {group: described(runs, GROUPS[group]) for group in self.groups}
        return found | {"metric": self.measured} | ({"deviations": self.deviations} if self.deviations else {})


def on_files(run: Run, setting: Setting) -> Run:
    """The run with the folder of data files, where its data are read from files."""
    from interalia.data import REGISTRY

    made = run.data in REGISTRY and not REGISTRY[run.data].origin.startswith("http")
    return run if setting.root is None or made else run.replace(root=str(setting.root))


def described(runs: Mapping[str, Run], fields: Sequence[str]) -> str:
    """What fields of the rows' runs say: the values of most rows, and which rows have others; defaults are left out.

    Example:
        >>> described({"a": Run(ema=0), "b": Run(ema=0), "c": Run(ema=0.9)}, ["clip", "ema", "batch"])
        'ema 0 (c: 0.9); batch 128'
    """
    parts = []
    for key in fields:
        rows: dict[str, list[str]] = {}
        for name, run in runs.items():
            value = getattr(run, key)
            text = (
                ", ".join(f"{k} {v:g}" for k, v in value.items()) or "none"
                if isinstance(value, dict)
                else (f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
            )
            rows.setdefault(text, []).append(name)
        default = getattr(Run(), key)
        if key not in ALWAYS and all(getattr(run, key) == default for run in runs.values()):
            continue
        most = max(rows, key=lambda text: len(rows[text]))
        if len(rows) == len(runs) > 1:
            parts.append(f"{key} of each row: {', '.join(rows)}")
        else:
            others = "; ".join(f"{', '.join(who)}: {text}" for text, who in rows.items() if text != most)
            parts.append(f"{key} {most}" + (f" ({others})" if others else ""))
    return "; ".join(parts)


def percentage(holds: Tensor) -> float:
    """Of how many of the cases it holds."""
    return 100 * float(holds.double().mean())


def sheet(trial: Trial) -> None:
    """A sheet of 50 samples."""
    from interalia.reports import plots

    plots.grid(trial.samples[:50].numpy(), trial.picture(), columns=10)


def plane(trial: Trial) -> None:
    """Up to 2,500 points of the plane, samples, and where there is an encoder latents and reconstructions."""
    from interalia import tasks
    from interalia.reports import plots

    mixture = trial.dataset.mixture
    assert mixture is not None
    shown: dict[str, Any] = {"means": mixture.means}
    if trial.infers:
        latents = tasks.encode(trial.game, trial.x, trial.run.seed, how="sample")[:2500]
        shown |= {"latents": latents.numpy(), "reconstructions": trial.x_hat[:2500].numpy()}
    plots.plane(trial.x[:2500].numpy(), trial.samples.numpy(), trial.picture(), **shown)
