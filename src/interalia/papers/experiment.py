"""The frame of experiments: rows that are worked out one by one, kept, summed up over seeds, and set beside the paper's.

The frame works the rows' jobs out in turn, keeps each finished one on disk, so that an interrupted experiment goes on where
it stopped, and writes the table as Markdown and JSON.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from interalia.disk import write_json, writing
from interalia.errors import DivergedError, UserError

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.games import Game
    from interalia.runs import Run
    from interalia.runs.loading import Trained
    from interalia.training.callbacks import Observer

Values = Mapping[str, float]
OUT = Path("runs/reproduce")
PAGES = Path(__file__).parents[3] / "docs" / "results"  # of a checkout
UNKNOWN = "not measured"


@dataclass(frozen=True)
class Setting:
    """In which form an experiment is done.

    Attributes:
        quick: the form of under a minute.
        root: the folder of data files that are there already.
        seeds: how many seeds.
        steps: a length for every training in place of the protocol's, or None.
        folder: where trainings keep their own folders, to be resumed.
    """

    quick: bool
    root: Path | None
    seeds: int
    steps: int | None
    folder: Path

    @property
    def pictures(self) -> Path:
        """The folder of pictures."""
        return self.folder.parent / "pictures"

    def length(self, full: int, quick: int) -> int:
        """The length of a training that has `full` steps, and `quick` in the quick form."""
        return self.steps or (quick if self.quick else full)

    def done(self, row: str, seed: int, steps: int) -> Values | None:
        """The values of a row that is finished, or None; empty if it diverged."""
        found = (r for r in read_rows(self.folder.parent / "rows.jsonl") if key_of(r) == (row, seed, steps))
        return next((r["values"] for r in found), None)


@dataclass(frozen=True)
class Job:
    """One row for one seed.

    Attributes:
        row: the row's name in the table.
        seed: the seed.
        work: does it and returns its numbers by the columns' names.
        steps: the length of its training.
    """

    row: str
    seed: int
    work: Callable[[], Values]
    steps: int


@dataclass(frozen=True, kw_only=True)
class Experiment(ABC):
    """An experiment of a paper.

    Attributes:
        name: in the registry.
        about: what it shows, in one sentence.
        columns: a column's name -> its heading, with the unit and an arrow to the better side.
        paper: a row's name -> the papers' figures for it: source -> column -> what it prints.
        seeds: how many by default.
        notes: what else has to be known.
        cut: what `steps` does to the trainings, in words.
        chosen: what settings were chosen on, where it was not validation data alone.
        spread: the columns whose median and best over seeds stand beside the mean.
    """

    name: str
    about: str
    columns: Mapping[str, Any]
    paper: Mapping[str, Mapping[str, Mapping[str, str]]]
    seeds: int = 5
    notes: Sequence[str] = ()
    cut: str = "CUT to {steps:,} steps a training (--steps)"
    chosen: str = "Nothing was chosen on test data."
    spread: Sequence[str] = ()

    @property
    def headings(self) -> Mapping[str, str]:
        return self.columns

    @abstractmethod
    def jobs(self, setting: Setting) -> Iterator[Job]:
        """The rows' jobs, in the order in which they are done."""

    @abstractmethod
    def protocol(self, setting: Setting) -> Mapping[str, str]:
        """How it is done: one entry a subject, or a single one without a subject."""

    @abstractmethod
    def quick_words(self) -> str:
        """What the quick form leaves out."""

    def cuts(self, setting: Setting) -> str:
        """What is cut in this form, in words that stand before the protocol."""
        parts = [self.cut.format(steps=setting.steps)] if setting.steps else []
        parts += [f"quick form, which only shows the table's shape: {self.quick_words()}"] if setting.quick else []
        return "; ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Procedure(Experiment):
    """An experiment that measures mathematics or chooses as it goes, and so is no table of runs.

    Attributes:
        rows: yields the rows' jobs.
        told: the protocol in sentences; whatever differs from the paper's is named.
        quick: what the quick form leaves out.
    """

    rows: Callable[[Setting], Iterator[Job]]
    told: str
    quick: str

    def jobs(self, setting: Setting) -> Iterator[Job]:
        return self.rows(setting)

    def protocol(self, setting: Setting) -> Mapping[str, str]:
        return {"": self.told}

    def quick_words(self) -> str:
        return self.quick


def reproduce(
    experiment: Experiment,
    quick: bool = False,
    root: Path | None = None,
    out: Path = OUT,
    seeds: int | None = None,
    steps: int | None = None,
    only: str | None = None,
    again: bool = False,
    console: Console | None = None,
) -> Path:
    """Works an experiment out and returns the path of its Markdown table.

    Raises:
        UserError: a number of seeds or steps under 1, no row of that name, or what the jobs raise.
    """
    console = console or Console(highlight=False)
    for argument, value in (("seeds", seeds), ("steps", steps)):
        if value is not None and value < 1:
            raise UserError(f"`{argument}` is {value}, and it must be at least 1.")
    setting = setting_of(experiment, quick, root, out, seeds, steps)
    folder = setting.folder.parent
    if again and folder.exists():
        shutil.rmtree(folder)  # the rows and the trainings behind them
    done = {key_of(row): row for row in read_rows(folder / "rows.jsonl")}
    table: list[dict[str, Any]] = []
    for job in experiment.jobs(setting):
        if only is not None and only not in job.row:
            continue
        key = (job.row, job.seed, job.steps)
        if key not in done:
            done[key] = finished(job, console)
            write_rows(folder / "rows.jsonl", list(done.values()))
        table.append(done[key])
        write_table(experiment, table, setting)  # each time: an interrupted experiment has a table too
    if not table:
        raise UserError(f"no row of {experiment.name} has {only!r} in its name; leave `only` out to see them all.")
    console.print(markdown(experiment, table, setting), soft_wrap=True, markup=False)
    console.print(f"Written: {folder / 'table.md'} and {folder / 'table.json'}", soft_wrap=True)
    return folder / "table.md"


def setting_of(
    experiment: Experiment,
    quick: bool = False,
    root: Path | None = None,
    out: Path = OUT,
    seeds: int | None = None,
    steps: int | None = None,
) -> Setting:
    """The form of an experiment and its folder."""
    folder = Path(out) / (f"{experiment.name}-quick" if quick else experiment.name)
    return Setting(quick, root, seeds or (1 if quick else experiment.seeds), steps, folder / "runs")


def finished(job: Job, console: Console) -> dict[str, Any]:
    """Works a job out: its values, the time that it took, and on what machine; no values if its training diverged."""
    from interalia import reports

    began = time.perf_counter()
    try:
        values = dict(job.work())
    except DivergedError as error:  # a finding, and no reason to keep the other rows waiting
        values = {}
        console.print(f"{job.row}, seed {job.seed}: {error}", soft_wrap=True, markup=False)
    seconds = round(time.perf_counter() - began, 1)
    numbers = ", ".join(f"{key} {value:.4g}" for key, value in values.items()) or "diverged"
    console.print(f"{job.row}, seed {job.seed}: {numbers} ({seconds:.0f} s)", soft_wrap=True)
    row = {"row": job.row, "seed": job.seed, "steps": job.steps, "values": values, "seconds": seconds}
    return {**row, **reports.provenance()}


def write_table(experiment: Experiment, table: Sequence[dict[str, Any]], setting: Setting) -> None:
    """Writes table.md and table.json."""
    folder = setting.folder.parent
    with writing(folder / "table.md") as file:
        file.write(markdown(experiment, table, setting))
    text = " ".join(f"{key}: {value}." if key else value for key, value in experiment.protocol(setting).items())
    found = {
        "experiment": experiment.name,
        "quick": setting.quick,
        "protocol": "; otherwise: ".join(filter(None, [experiment.cuts(setting), text])),
        "rows": table,
        "summary": {row: summary(of_row(table, row)) for row in names(table)},
        "spread": {row: spread(experiment, of_row(table, row)) for row in names(table)},
        "paper": experiment.paper,
    }
    write_json(folder / "table.json", found)


def trained(
    run: Run,
    setting: Setting,
    name: str | None = None,
    game: Game | None = None,
    dataset: Dataset | None = None,
    observers: Sequence[Observer] = (),
) -> tuple[Trained, Dataset]:
    """Trains a run in a folder of its own under `setting.folder`, going on with it if it was interrupted.

    Arguments:
        run: with a fixed length.
        setting: where to.
        name: of the folder; by default the run's name with its seed and length.
        game, dataset: in place of those that the run describes; see `interalia.train`.
        observers: beside the usual ones.
    """
    from interalia.training import engine
    from interalia.training.callbacks import usual

    folder = setting.folder / (name or f"{run.name}-seed-{run.seed}-steps-{run.steps}")
    training = engine.open_run(run, folder, resume=(folder / "run.json").exists(), game=game, dataset=dataset)
    engine.spare_threads(training)
    done = engine.finish(training, [*usual(training), *observers])
    if done.step < training.steps:
        raise KeyboardInterrupt
    return done, training.dataset


def slug(text: str) -> str:
    """A text as part of a file's name.

    Example:
        >>> slug("AVB + adaptive contrast, 8 latents")
        'avb-adaptive-contrast-8-latents'
    """
    return "-".join(re.sub("[,'+]", "", text.lower()).split())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows that are done."""
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except ValueError:
        raise UserError(f"the rows in {path} are damaged; begin anew with `again`.") from None


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with writing(path) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def key_of(row: Mapping[str, Any]) -> tuple[str, int, int]:
    """What makes a row the same: name, seed and length."""
    return row["row"], row["seed"], row["steps"]


def names(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows' names in order."""
    return list(dict.fromkeys(row["row"] for row in table))


def of_row(table: Sequence[Mapping[str, Any]], name: str) -> list[Values]:
    """The numbers of a row's seeds, without those that diverged."""
    return [row["values"] for row in table if row["row"] == name and row["values"]]


def summary(values: Sequence[Values]) -> dict[str, tuple[float, float | None]]:
    """For each column the mean over the seeds that have it and its standard error, s / sqrt(n); None for a single one.

    Example:
        >>> summary([{"modes": 24.0}, {"modes": 25.0, "error": 0.5}])
        {'modes': (24.5, 0.5), 'error': (0.5, None)}
    """
    found: dict[str, tuple[float, float | None]] = {}
    for key in dict.fromkeys(key for row in values for key in row):
        numbers = [row[key] for row in values if key in row]
        error = statistics.stdev(numbers) / len(numbers) ** 0.5 if len(numbers) > 1 else None
        found[key] = (statistics.fmean(numbers), error)
    return found


def spread(experiment: Experiment, values: Sequence[Values]) -> dict[str, tuple[float, float]]:
    """The median and the best over seeds of the columns in `spread`; an arrow in the heading says which way is better."""
    columns = {key: [row[key] for row in values if key in row] for key in experiment.spread}
    best = {key: min if "↓" in experiment.headings[key] else max for key in columns}
    return {key: (statistics.median(numbers), best[key](numbers)) for key, numbers in columns.items() if numbers}


def ours(experiment: Experiment, table: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """The cells of a row of ours after its name and source."""
    rows, values = [row for row in table if row["row"] == name], of_row(table, name)
    means, wide = summary(values), spread(experiment, values)
    cells = []
    for key in experiment.columns:
        if key not in means:
            cells.append("n/a" if means else "diverged")
            continue
        mean, error = means[key]
        cells.append(f"{mean:.4g}" + ("" if error is None else f" ± {error:.2g}"))
        if key in wide and len(rows) > 1:
            cells[-1] += f" (median {wide[key][0]:.4g}, best {wide[key][1]:.4g})"
    lost = len(rows) - len(values)
    lacking = sorted({row["seed"] for row in table} - {row["seed"] for row in rows})
    count = str(len(rows)) + (f", {lost} diverged" if lost else "")
    if lacking:
        count += f", without seed{'s' * (len(lacking) > 1)} {', '.join(map(str, lacking))}"
    seconds = f"{statistics.fmean(row['seconds'] for row in rows):.0f}"
    return [count, *cells, f"{rows[0]['steps']:,}", seconds]


def lines(experiment: Experiment, rows: Mapping[str, Sequence[str]]) -> list[str]:
    """The Markdown of a table: our cells of each row, the papers' under them."""
    from interalia.reports import bars

    head = ["", "source", "seeds", *map(bars, experiment.headings.values()), "steps", "seconds a seed"]
    found = [head, ["---"] * len(head)]
    for name, cells in rows.items():
        found.append([name, "ours", *cells])
        for source, figures in experiment.paper.get(name, {}).items():
            keys = ("seeds", *experiment.columns, "steps")
            found.append([name, source, *(figures.get(key, "") for key in keys), ""])
    text = ["| " + " | ".join(cells) + " |" for cells in found]
    text[1] = text[1].replace(" ", "")
    return text


def markdown(experiment: Experiment, table: Sequence[Mapping[str, Any]], setting: Setting) -> str:
    """The table: ours in one row, the papers' under it, and all that is needed to judge the numbers."""
    last = table[-1]
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in table}))
    protocol, cuts = dict(experiment.protocol(setting)), experiment.cuts(setting)
    first = "; otherwise: ".join(filter(None, [cuts, protocol.pop("", "")]))
    return "\n".join(
        [
            f"# {experiment.name}" + (" (quick)" if setting.quick else ""),
            "",
            experiment.about,
            "",
            *lines(experiment, {name: ours(experiment, table, name) for name in names(table)}),
            "",
            f"± is the standard error over seeds. {experiment.chosen}",
            "",
            f"- Protocol: {first}".rstrip(),
            *(f"  - {key}: {text}" for key, text in protocol.items()),
            *(f"- {note}" for note in experiment.notes),
            f"- Seeds: {seeds}. Machine: {last['machine']}. Versions: {versions}. Commit: {last['commit']}. "
            f"Date: {last['date']}.",
            "",
        ]
    )


def listing(experiment: Experiment, setting: Setting) -> str:
    """The rows without doing any: our figures from the rows that are done, else from the page in docs/results where it is
    at hand, the papers' figures, and what a row costs: its steps, and the seconds that one seed took."""
    from interalia.reports import bars

    kept, page = read_rows(setting.folder.parent / "rows.jsonl"), published(experiment)
    rows = {}
    for job in experiment.jobs(setting):
        table = [row for row in kept if row["row"] == job.row and row["steps"] == job.steps]
        found = page.get(job.row, {})
        cells = ["", *(found.get(bars(h), "") for h in experiment.headings.values()), f"{job.steps:,}", UNKNOWN]
        if found:
            cells[0] = f"{found['seeds']} (docs/results)"
            cells[-2:] = found["steps"], found["seconds a seed"]
        rows[job.row] = ours(experiment, table, job.row) if table else cells
    return "\n".join([f"# {experiment.name}", "", experiment.about, "", *lines(experiment, rows)])


def published(experiment: Experiment) -> dict[str, dict[str, str]]:
    """Our rows of the experiment's page in docs/results: heading -> cell."""
    path = PAGES / f"{experiment.name}.md"
    if not path.exists():
        return {}
    table = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    return {row[0]: dict(zip(cells[0], row, strict=False)) for row in cells if row[1:2] == ["ours"]}
