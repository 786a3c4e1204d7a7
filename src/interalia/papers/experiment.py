"""The frame of experiments: rows that are worked out one by one, kept on disk, so that an interrupted experiment goes on
where it stopped, summed up over seeds, and set beside the paper's; in Markdown and JSON."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shutil
import statistics
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from interalia import reports
from interalia.disk import write_json, writing
from interalia.errors import DivergedError, UserError
from interalia.reports import bars, tables
from interalia.reports.origin import made_with
from interalia.training import engine
from interalia.training.callbacks import default_callbacks

if TYPE_CHECKING:
    from interalia.data import Dataset
    from interalia.runs import Run
    from interalia.runs.loading import Trained

Values = Mapping[str, float]
Rows = Sequence[Mapping[str, Any]]  # as they are kept: row, seed, steps, values, seconds and where they come from
OUT = Path("runs/reproduce")
PAGES = Path(__file__).parents[3] / "docs" / "results"  # of a checkout


@dataclass(frozen=True)
class Setting:
    """In which form an experiment is done."""

    quick: bool  # the form of under a minute
    data_dir: Path | None  # the folder of data files that are there already
    seeds: int  # how many
    steps: int | None  # a length for every training in place of the protocol's
    folder: Path  # where trainings keep their own folders, to be resumed

    @property
    def pictures(self) -> Path:
        return self.folder.parent / "pictures"

    def length(self, full: int, quick: int) -> int:
        """The length of a training that has `full` steps, and `quick` in the quick form."""
        return self.steps or (quick if self.quick else full)

    def done(self, row: str, seed: int, steps: int) -> Values | None:
        """The values of a row that is finished, or None; empty if it diverged."""
        kept = read_rows(self.folder.parent / "rows.jsonl")
        return next((found["values"] for found in kept if key_of(found) == (row, seed, steps)), None)


@dataclass(frozen=True)
class Job:
    """One row for one seed: its name in the table, the work that returns its numbers by column, and its steps."""

    row: str
    seed: int
    work: Callable[[], Values]
    steps: int


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment of a paper: in this form one that measures mathematics or chooses as it goes; see `Study` for tables.

    `rows` yields the rows' jobs; `columns` are a column's name -> its heading, with the unit and an arrow to the better
    side; `paper` a row's name -> the papers' figures for it: source -> column -> what it prints. The texts of the library's
    own stand in ``experiments.toml``; see `page`.
    """

    name: str
    about: str  # what it shows, in one sentence
    rows: Any
    columns: Mapping[str, Any]
    method: str = ""  # the protocol in sentences; whatever differs from the paper's is named
    quick: Any = ""  # what the quick form leaves out
    paper: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    seeds: int = 5  # how many by default
    notes: Sequence[str] = ()  # what else has to be known
    cut: str = "CUT to {steps:,} steps a training (--steps)"
    chosen: str = "Nothing was chosen on test data."
    spread: Sequence[str] = ()  # the columns whose median and best over seeds stand beside the mean
    diverged: Values = field(default_factory=dict)  # the values of a row whose training diverges

    @property
    def headings(self) -> Mapping[str, str]:
        return {key: column if isinstance(column, str) else column["heading"] for key, column in self.columns.items()}

    def jobs(self, setting: Setting) -> Iterator[Job]:
        """The rows' jobs, in the order in which they are done."""
        yield from self.rows(setting)

    def protocol(self, setting: Setting) -> dict[str, str]:
        """How it is done, by subject, or without one."""
        return {"": self.method}

    def cuts(self, setting: Setting) -> str:
        """What is cut in this form, in words that stand before the protocol."""
        found = [self.cut.format(steps=setting.steps)] if setting.steps else []
        if setting.quick:
            changes = {"with": self.quick} if isinstance(self.quick, str) else self.quick
            words = ", ".join(f"{key} {value}" for key, value in changes.items() if value is not None)
            found.append(f"quick form, which only shows the table's shape, {words}")
        return "; ".join(found)

    def setting(
        self,
        quick: bool = False,
        data_dir: Path | None = None,
        out: Path = OUT,
        seeds: int | None = None,
        steps: int | None = None,
    ) -> Setting:
        """What a person asks for, with a folder for it.

        Raises:
            UserError: a number of seeds or steps under 1.
        """
        for argument, value in (("seeds", seeds), ("steps", steps)):
            if value is not None and value < 1:
                raise UserError(f"`{argument}` is {value}, and it must be at least 1.")
        folder = Path(out) / (f"{self.name}-quick" if quick else self.name)
        return Setting(quick, data_dir, seeds or (1 if quick else self.seeds), steps, folder / "runs")


@functools.cache
def texts() -> dict[str, Any]:
    """The tables of ``experiments.toml``."""
    return tomllib.loads(resources.files("interalia.papers").joinpath("experiments.toml").read_text(encoding="utf-8"))


def page(name: str, **values: Any) -> dict[str, Any]:
    """What ``experiments.toml`` says of an experiment, as arguments of `Experiment` and of `Study`; its protocol may name
    `values` in braces, as those of `str.format`."""
    found = texts()[name]
    protocol = {key: found[key].format(**values) for key in ("method", "measured", "quick") if key in found}
    return {"name": name, **found, **protocol}


def reproduce(
    experiment: Experiment,
    *,
    filter: str | None = None,
    force: bool = False,
    console: Console | None = None,
    **form: Any,
) -> Path:
    """Works an experiment out and returns the path of its Markdown table.

    Arguments:
        filter: run only the rows whose name contains this.
        force: delete the finished rows and start over.
        form: quick, data_dir, out, seeds, steps; see `Experiment.setting`.

    Raises:
        UserError: no row of that name, or what the jobs raise.
    """
    console, setting = console or Console(highlight=False), experiment.setting(**form)
    folder = setting.folder.parent
    if force and folder.exists():
        shutil.rmtree(folder)  # the rows and the trainings behind them
    done = {key_of(row): row for row in read_rows(folder / "rows.jsonl")}
    table: list[dict[str, Any]] = []
    for job in experiment.jobs(setting):
        if filter is not None and filter not in job.row:
            continue
        key = (job.row, job.seed, job.steps)
        if key not in done:
            done[key] = finished(experiment, job, console)
            with writing(folder / "rows.jsonl") as file:
                file.writelines(json.dumps(row) + "\n" for row in done.values())
        table.append(done[key])
        write_table(experiment, table, setting)  # each time: an interrupted experiment has a table too
    if not table:
        raise UserError(f"no row of {experiment.name} has {filter!r} in its name; leave `filter` out to see them all.")
    console.print(markdown(experiment, table, setting), soft_wrap=True, markup=False)
    console.print(f"Written: {folder / 'table.md'} and {folder / 'table.json'}", soft_wrap=True)
    return folder / "table.md"


def finished(experiment: Experiment, job: Job, console: Console) -> dict[str, Any]:
    """Works a job out: its values, the seconds that it took, and on what machine."""
    began = time.perf_counter()
    try:
        values = dict(job.work())
    except DivergedError as error:  # a finding, and no reason to keep the other rows waiting
        values = dict(experiment.diverged)
        console.print(f"{job.row}, seed {job.seed}: {error}", soft_wrap=True, markup=False)
    seconds = round(time.perf_counter() - began, 1)
    numbers = ", ".join(f"{key} {value:.4g}" for key, value in values.items()) or "diverged"
    console.print(f"{job.row}, seed {job.seed}: {numbers} ({seconds:.0f} s)", soft_wrap=True)
    row = {"row": job.row, "seed": job.seed, "steps": job.steps, "values": values, "seconds": seconds}
    return {**row, **reports.provenance()}


def trained(run: Run, setting: Setting, observers: Sequence[Any] = (), **own: Any) -> tuple[Trained, Dataset]:
    """Trains a run of a fixed length in a folder of its own under `setting.folder`, going on with it if it was interrupted;
    `own` are `game` and `dataset` in place of those that the run describes, see `interalia.train`."""
    folder = setting.folder / f"{run.name}-seed-{run.seed}-steps-{run.steps}"
    training = engine.open_run(run, folder, resume=(folder / "run.json").exists(), **own)
    engine.spare_threads(training)
    done = engine.finish(training, [*default_callbacks(training), *observers])
    if done.step < training.steps:
        raise KeyboardInterrupt
    return done, training.dataset


def whole(estimate: Any) -> Any:
    """An estimate that was not interrupted: what is there of one that was is no row."""
    if estimate is None or estimate.interrupted:
        raise KeyboardInterrupt
    return estimate


def slug(text: str) -> str:
    """A text as part of a file's name.

    Example:
        >>> slug("AVB + adaptive contrast, 8 latents")
        'avb-adaptive-contrast-8-latents'
    """
    return "-".join(re.sub("[,'+]", "", text.lower()).split())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows that are done."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except FileNotFoundError:
        return []
    except ValueError:
        raise UserError(f"the rows in {path} are damaged; start over with `force`.") from None


def key_of(row: Mapping[str, Any]) -> tuple[str, int, int]:
    """What makes a row the same: name, seed and length."""
    return row["row"], row["seed"], row["steps"]


def by_name(table: Rows) -> dict[str, list[Values]]:
    """The numbers of each row's seeds, without those that diverged."""
    return {row["row"]: [of["values"] for of in table if of["row"] == row["row"] and of["values"]] for row in table}


def summary(values: Sequence[Values]) -> dict[str, tuple[float, float | None]]:
    """For each column the mean over the seeds that have it and its standard error, s / sqrt(n); None for a single one.

    Example:
        >>> summary([{"modes": 24.0}, {"modes": 25.0, "error": 0.5}])
        {'modes': (24.5, 0.5), 'error': (0.5, None)}
    """
    return {
        key: (statistics.fmean(numbers), statistics.stdev(numbers) / len(numbers) ** 0.5 if len(numbers) > 1 else None)
        for key, numbers in over_seeds(values).items()
    }


def over_seeds(values: Sequence[Values]) -> dict[str, list[float]]:
    """Each column's numbers, of the seeds that have it."""
    return {key: [row[key] for row in values if key in row] for key in dict.fromkeys(itertools.chain(*values))}


def spread(experiment: Experiment, values: Sequence[Values]) -> dict[str, tuple[float, float]]:
    """The median and the best over seeds of the columns in `spread`; an arrow in the heading says which way is better."""
    columns = {key: numbers for key, numbers in over_seeds(values).items() if key in experiment.spread}
    best = {key: min if "↓" in experiment.headings[key] else max for key in columns}
    return {key: (statistics.median(numbers), best[key](numbers)) for key, numbers in columns.items()}


def ours(experiment: Experiment, table: Rows, name: str) -> list[str]:
    """The cells of a row of ours after its name and source."""
    rows, values = [row for row in table if row["row"] == name], by_name(table)[name]
    means, wide = summary(values), spread(experiment, values)
    cells = []
    for key in experiment.columns:
        mean, error = means.get(key, (None, None))
        cell = ("n/a" if means else "diverged") if mean is None else f"{mean:.4g}"
        cell += "" if error is None else f" ± {error:.2g}"
        if key in wide and len(rows) > 1:
            cell += f" (median {wide[key][0]:.4g}, best {wide[key][1]:.4g})"
        cells.append(cell)
    lost = len(rows) - len(values)
    lacking = sorted({row["seed"] for row in table} - {row["seed"] for row in rows})
    count = str(len(rows)) + (f", {lost} diverged" if lost else "")
    count += f", without seed{'s' * (len(lacking) > 1)} {', '.join(map(str, lacking))}" if lacking else ""
    return [count, *cells, f"{rows[0]['steps']:,}", f"{statistics.fmean(row['seconds'] for row in rows):.0f}"]


def lines(experiment: Experiment, rows: Mapping[str, Sequence[str]]) -> list[str]:
    """The Markdown of a table: our cells of each row, the papers' under them."""
    head = ["", "source", "seeds", *map(bars, experiment.headings.values()), "steps", "seconds a seed"]
    found = []
    for name, cells in rows.items():
        found.append([name, "ours", *cells])
        for source, figures in experiment.paper.get(name, {}).items():
            found.append([name, source, *(figures.get(key, "") for key in ("seeds", *experiment.columns, "steps")), ""])
    return tables.markdown_table(head, found)


def markdown(experiment: Experiment, table: Rows, setting: Setting) -> str:
    """The table: ours in one row, the papers' under it, and all that is needed to judge the numbers."""
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in table}))
    protocol = experiment.protocol(setting)
    first = "; otherwise: ".join(filter(None, [experiment.cuts(setting), protocol.pop("", "")]))
    found = [
        *[f"# {experiment.name}" + (" (quick)" if setting.quick else ""), "", experiment.about, ""],
        *lines(experiment, {name: ours(experiment, table, name) for name in by_name(table)}),
        *["", f"± is the standard error over seeds. {experiment.chosen}", "", f"- Protocol: {first}".rstrip()],
        *(f"  - {key}: {text}" for key, text in protocol.items()),
        *(f"- {note}" for note in experiment.notes),
        " ".join([f"- Seeds: {seeds}.", *made_with(table[-1])]),
    ]
    return "\n".join([*found, ""])


def write_table(experiment: Experiment, table: Rows, setting: Setting) -> None:
    """Writes table.md and table.json."""
    with writing(setting.folder.parent / "table.md") as file:
        file.write(markdown(experiment, table, setting))
    text = " ".join(f"{key}: {value}." if key else value for key, value in experiment.protocol(setting).items())
    found = {
        "experiment": experiment.name,
        "quick": setting.quick,
        "protocol": "; otherwise: ".join(filter(None, [experiment.cuts(setting), text])),
        "rows": table,
        "summary": {row: summary(values) for row, values in by_name(table).items()},
        "spread": {row: spread(experiment, values) for row, values in by_name(table).items()},
        "paper": experiment.paper,
    }
    write_json(setting.folder.parent / "table.json", found)


def listing(experiment: Experiment, **form: Any) -> str:
    """The rows without doing any: our figures from the rows that are done, else from the page in docs/results where it is
    at hand, the papers' figures, and what a row costs: its steps, and the seconds that one seed took."""
    setting = experiment.setting(**form)
    headings, *page = ([] if setting.quick else published(experiment.name)) or [[]]
    kept, rows = read_rows(setting.folder.parent / "rows.jsonl"), {}
    for job in experiment.jobs(setting):
        table = [row for row in kept if row["row"] == job.row and row["steps"] == job.steps]
        found = next((row for row in page if row[:2] == [job.row, "ours"]), [])
        cells, start = [f"{found[2]} (docs/results)" if found else "not measured"], 3
        for heading in map(bars, experiment.headings.values()):
            at = headings.index(heading, start) if found and heading in headings[start:] else None
            cells.append("" if at is None else found[at])
            start = start if at is None else at + 1
        done = f"{found[-2]} of " if found and found[-2] != f"{job.steps:,}" else ""
        cells += [f"{done}{job.steps:,}", found[-1] if found else "not measured"]
        rows[job.row] = ours(experiment, table, job.row) if table else cells
    return "\n".join([f"# {experiment.name}", "", experiment.about, "", *lines(experiment, rows)])


def published(name: str) -> list[list[str]]:
    """The cells of the table in the experiment's page in docs/results, headings first; empty where there is none."""
    path = PAGES / f"{name}.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in text.splitlines() if line[:2] == "| "]
