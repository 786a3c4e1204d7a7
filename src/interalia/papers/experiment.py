"""The base of experiments: the rows of a table are computed and saved one at a time, and shown beside the paper's figures."""

from __future__ import annotations

import functools
import itertools
import re
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from interalia import packaged_toml, reports
from interalia.disk import write_json, writing
from interalia.errors import DivergedError, UserError, printable
from interalia.reports import escape_bars, tables
from interalia.reports.origin import provenance_lines
from interalia.runs.rows import FinishedRows
from interalia.training import engine, sharing
from interalia.training.callbacks import default_callbacks

if TYPE_CHECKING:
    from interalia.data import Dataset
    from interalia.runs import Run
from interalia.runs.loading import Loaded

Values = Mapping[str, float]
Rows = Sequence[Mapping[str, Any]]  # saved rows: row, seed, steps, values, seconds and provenance
OUT = Path("runs/reproduce")
PAGES = Path(__file__).parents[3] / "docs" / "results"  # in a source checkout


@dataclass(frozen=True)
class Setting:
    """The options with which an experiment is run: smoke test or not, data folder, number of seeds, steps, output folder.
    `steps` is the length of every training, or None for the lengths of the protocol; `folder` has a folder for each training.
    """

    quick: bool  # True for a smoke test of under a minute
    data_dir: Path | None  # the folder of existing data files
    seeds: int  # number of seeds
    steps: int | None  # the length of every training; None for the lengths of the protocol
    folder: Path  # contains the folder of each training, for resuming

    @property
    def pictures(self) -> Path:
        """The folder that the experiment's pictures are written to: ``pictures``, beside `folder`."""
        return self.folder.parent / "pictures"

    def length(self, full: int, quick: int) -> int:
        """Returns the number of training steps: the option `steps` if given, else `quick` in a smoke test or `full`."""
        return self.steps or (quick if self.quick else full)

    def done(self, row: str, seed: int, steps: int) -> Values | None:
        """Returns the saved column -> number of the finished row with the name `row`, the seed and the number of steps; empty
        if its training diverged, None if the row is not finished.
        """
        found = FinishedRows(self.folder.parent).read().get((row, seed, steps))
        return found and found["values"]


@dataclass(frozen=True)
class Job:
    """A row of an experiment's table with one seed, to be computed: `measure()` trains and returns column -> number. `row` is
    the name of the row, `steps` the length of its training, and `after` has names of rows whose jobs before it come first.
    """

    row: str
    seed: int
    measure: Callable[[], Values]
    steps: int
    after: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment of a paper: a function that yields the rows of a table as jobs, and the table's headings and texts.
    `rows` is a function of the `Setting` that yields a `Job` for each row of the table and seed. `columns` maps the name of a
    column to its heading, with its unit and an arrow to the better side; `paper` maps the name of a row to source -> column
    -> the figure that the source prints; `spread` are the columns that show median and best over seeds, too. The other texts
    are from ``experiments.toml``, read by `texts`. For tables of trained runs and their metrics use `Study`.
    """

    name: str
    about: str  # one sentence
    rows: Any
    columns: Mapping[str, Any]
    method: str = ""  # the protocol, with all deviations from the paper
    quick: Any = ""  # what a smoke test leaves out, or the fields of each run that it changes
    paper: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    seeds: int = 5  # default number of seeds
    notes: Sequence[str] = ()  # further remarks
    shortened: str = "CUT to {steps:,} steps per training (--steps)"
    chosen: str = "Nothing was chosen on test data."
    spread: Sequence[str] = ()  # columns with the median and the best over seeds, beside the mean
    choose: str = ""  # the column whose highest value chooses one of three restarts, for the columns in `spread`
    diverged: Values = field(default_factory=dict)  # the values of a row with a diverged training

    @property
    def headings(self) -> Mapping[str, str]:
        """Name of a column -> its heading in the table."""
        return {key: column if isinstance(column, str) else column["heading"] for key, column in self.columns.items()}

    def jobs(self, setting: Setting) -> Iterator[Job]:
        """Yields a `Job` for each row of the table and each seed, in the order in which they are computed."""
        yield from self.rows(setting)

    def protocol(self, setting: Setting) -> dict[str, str]:
        """Returns subject -> paragraph of the protocol below the table: the field `method`, with "" as its subject."""
        return {"": self.method}

    def shortening(self, setting: Setting) -> str:
        """Returns a text on how the option `steps` and a smoke test shorten the experiment; "" if neither is chosen."""
        found = [self.shortened.format(steps=setting.steps)] if setting.steps else []
        if setting.quick:
            changes = {"": self.quick} if isinstance(self.quick, str) else self.quick
            words = ", ".join(f"{key} {value}".strip() for key, value in changes.items() if value is not None)
            found.append(f"quick form (a smoke test, not a result): {words}")
        return "; ".join(found)

    def setting(
        self,
        quick: bool = False,
        data_dir: Path | None = None,
        out: Path = OUT,
        seeds: int | None = None,
        steps: int | None = None,
    ) -> Setting:
        """Returns these options as a `Setting`, whose `folder` is in `out`. `quick` is True for a smoke test. Without
        `seeds`, they are as many as the experiment's `seeds`, or one in a smoke test; without `steps`, trainings have the
        protocol's lengths. `data_dir` is the folder of data files. Raises a UserError if `seeds` or `steps` is under 1.
        """
        for argument, value in (("seeds", seeds), ("steps", steps)):
            if value is not None and value < 1:
                raise UserError(f"`{argument}` is {value}, and it must be at least 1.")
        folder = Path(out) / (f"{self.name}-quick" if quick else self.name)
        return Setting(quick, data_dir, seeds or (1 if quick else self.seeds), steps, folder / "runs")


@functools.cache
def all_texts() -> dict[str, Any]:
    """Returns the content of ``experiments.toml``: name of an experiment -> its arguments of `Experiment`, and its `runs`."""
    return packaged_toml("interalia.papers", "experiments.toml")


def texts(name: str, **values: Any) -> dict[str, Any]:
    """Returns the keyword arguments of `Experiment` or `Study` that ``experiments.toml`` has for the experiment `name`.
    `values` are name -> value that replaces {name} in its texts `method`, `measured` and `quick`.
    """
    found = {key: value for key, value in all_texts()[name].items() if key != "runs"}
    filled = {
        key: found[key].format(**values) for key in ("method", "measured", "quick") if isinstance(found.get(key), str)
    }
    return {"name": name, **found, **filled}


def changes(name: str, table: str | None = None) -> dict[str, dict[str, Any]]:
    """Returns name of a row -> the fields of its run, from the table `runs` of the experiment `name` in ``experiments.toml``.
    A row with a `base`, the name of an earlier row, has also the fields of that row that it does not change. `table` names a
    table within `runs`; None for `runs` itself.
    """
    found: dict[str, dict[str, Any]] = {}
    runs = all_texts()[name]["runs"]
    for row, fields in (runs[table] if table else runs).items():
        own = {key: value for key, value in fields.items() if key != "base"}
        found[row] = (found[fields["base"]] if "base" in fields else {}) | own
    return found


def reproduce(
    experiment: Experiment,
    *,
    filter: str | None = None,
    force: bool = False,
    jobs: int = 1,
    console: Console | None = None,
    **form: Any,
) -> Path:
    """Computes the rows of an experiment that are not finished, prints their numbers and the table, and returns the path of
    the saved Markdown table. Only rows whose name contains `filter` are computed; None for all. With `force`, finished rows
    and trainings are deleted first. `jobs` is the number of processes, each for a row at a time, with one thread; 1 for this
    process, 0 for one a core. `console` prints; None for a new one. `form` are the arguments of `Experiment.setting`.
    Raises a UserError if no name contains `filter`, or if one of several processes has an error; passes on errors for one.
    """
    count, setting, say = sharing.number_of(jobs), experiment.setting(**form), partial(print_line, console or Console())
    finished = FinishedRows(setting.folder.parent)
    if force:
        finished.remove()  # the rows and the trainings behind them
    wanted, write = partial(wanted_jobs, experiment, setting, filter), partial(write_table, experiment, setting, filter)
    check_filter(experiment, setting, filter)
    computed = sharing.Sharing(wanted, partial(run_job, experiment), finished, write, say)
    computed.run(count)
    page = write(finished.read()).splitlines()
    for line in (*page * computed.last_here, f"Written: {finished.folder / 'table.md'} and table.json"):
        say(line)
    return finished.folder / "table.md"


def wanted_jobs(experiment: Experiment, setting: Setting, only: str | None) -> Iterator[Job]:
    """Yields the jobs of an experiment whose row's name contains `only`; all of them for None."""
    return (job for job in experiment.jobs(setting) if only is None or only in job.row)


def check_filter(experiment: Experiment, setting: Setting, only: str | None) -> None:
    """Raises a UserError if no job of an experiment has a row whose name contains `only`."""
    if next(wanted_jobs(experiment, setting, only), None) is None:
        if setting.quick and next(wanted_jobs(experiment, replace(setting, quick=False), only), None):
            text = f"the smoke test of {experiment.name} leaves out the rows with {only!r} in their names"
            raise UserError(f"{text}; leave `quick` out, or give another `filter`.")
        raise UserError(f"no row of {experiment.name} has {only!r} in its name; leave `filter` out to see them all.")


def print_line(console: Console, line: str) -> None:
    """Prints a line of text, with escapes in place of control characters."""
    console.print(printable(line), soft_wrap=True, markup=False, highlight=False)


def run_job(experiment: Experiment, job: Job, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs a job, prints its numbers by `say` and returns the finished row, for JSON: row (its name), seed, steps, values,
    seconds and provenance. `values` is column -> number; if the training diverged, they are `experiment.diverged`.
    """
    began = time.perf_counter()
    try:
        values = dict(job.measure())
    except DivergedError as error:  # this is a result, too; the other rows go on
        values = dict(experiment.diverged)
        say(f"{job.row}, seed {job.seed}: {error}")
    seconds = round(time.perf_counter() - began, 1)
    numbers = ", ".join(f"{key} {value:.4g}" for key, value in values.items()) or "diverged"
    say(f"{job.row}, seed {job.seed}: {numbers} ({seconds:.0f} s)")
    row = {"row": job.row, "seed": job.seed, "steps": job.steps, "values": values, "seconds": seconds}
    return {**row, **reports.provenance()}


def train(run: Run, setting: Setting, callbacks: Sequence[Any] = (), **custom: Any) -> tuple[Loaded, Dataset]:
    """Trains a run in its own subfolder of `setting.folder`, or resumes it there; returns the trained run and its data.
    `callbacks` are called after the default ones; `custom` may have `game` and `dataset`, to be used in place of the run's.
    Raises KeyboardInterrupt if the training was interrupted.
    """
    folder = setting.folder / f"{run.name}-seed-{run.seed}-steps-{run.steps}"
    training = engine.open_run(run, folder, resume=(folder / "run.json").exists(), **custom)
    engine.limit_threads(training)
    done = engine.finish(training, [*default_callbacks(training), *callbacks])
    return done, training.dataset


def uninterrupted(estimate: Any) -> Any:
    """Returns `estimate`, an estimate of log p(x) or its check; raises KeyboardInterrupt if it is None or was interrupted."""
    if estimate is None or estimate.interrupted:
        raise KeyboardInterrupt
    return estimate


def slug(text: str) -> str:
    """Returns a text in lower case for file names: with hyphens for spaces, without commas, apostrophes and plus signs.

    Example:
        >>> slug("AVB + adaptive contrast, 8 latents")
        'avb-adaptive-contrast-8-latents'
    """
    return "-".join(re.sub("[,'+]", "", text.lower()).split())


def values_by_row(table: Rows) -> dict[str, list[Values]]:
    """Returns name of a row -> the values (column -> number) of each of its seeds, from the finished rows `table`. Seeds
    without values, whose training diverged, are left out.
    """
    return {row["row"]: [of["values"] for of in table if of["row"] == row["row"] and of["values"]] for row in table}


def summary(values: Sequence[Values]) -> dict[str, tuple[float, float | None]]:
    """Returns column -> (mean, standard error) over seeds; `values` has column -> number for each seed. For n seeds with a
    number in the column and the standard deviation s, the error is s / sqrt(n), or None if n = 1.

    Example:
        >>> summary([{"modes": 24.0}, {"modes": 25.0, "error": 0.5}])
        {'modes': (24.5, 0.5), 'error': (0.5, None)}
    """
    return {
        key: (statistics.fmean(numbers), statistics.stdev(numbers) / len(numbers) ** 0.5 if len(numbers) > 1 else None)
        for key, numbers in over_seeds(values).items()
    }


def over_seeds(values: Sequence[Values]) -> dict[str, list[float]]:
    """Returns column -> list of its numbers. `values` is column -> number of each seed; missing numbers are left out."""
    return {key: [row[key] for row in values if key in row] for key in dict.fromkeys(itertools.chain(*values))}


def median_and_best(experiment: Experiment, values: Sequence[Values]) -> dict[str, tuple[float, float]]:
    """Returns column -> (median, best) over seeds, for the columns in `experiment.spread`. `values` has column -> number for
    each seed. The best is the lowest if the heading has a down arrow, else the highest.
    """
    columns = {key: numbers for key, numbers in over_seeds(values).items() if key in experiment.spread}
    best = {key: min if "↓" in experiment.headings[key] else max for key in columns}
    return {key: (statistics.median(numbers), best[key](numbers)) for key, numbers in columns.items()}


def our_cells(experiment: Experiment, table: Rows, name: str) -> list[str]:
    """Returns the texts of the table's cells for the row `name`: number of seeds, mean ± standard error of each column,
    steps, seconds. The first two cells, the name and the source of the figures ("ours"), are left out. `table` are the
    finished rows of all names.
    """
    rows, values = [row for row in table if row["row"] == name], values_by_row(table)[name]
    means, wide = summary(values), median_and_best(experiment, values)
    cells = []
    for key in experiment.columns:
        mean, error = means.get(key, (None, None))
        cell = ("n/a" if means else "diverged") if mean is None else f"{mean:.4g}"
        cell += "" if error is None else f" ± {error:.2g}"
        if key in wide and len(rows) > 1:
            choice = by_seed([row["values"] for row in rows], key, experiment.choose) if experiment.choose else ""
            cell += f" (median {wide[key][0]:.4g}, best {wide[key][1]:.4g}{choice})"
        cells.append(cell)
    diverged = len(rows) - len(values)
    lacking = sorted({row["seed"] for row in table} - {row["seed"] for row in rows})
    count = str(len(rows)) + (f", {diverged} diverged" if diverged else "")
    count += f", without seed{'s' * (len(lacking) > 1)} {', '.join(map(str, lacking))}" if lacking else ""
    return [count, *cells, f"{rows[0]['steps']:,}", f"{statistics.fmean(row['seconds'] for row in rows):.0f}"]


def by_seed(values: Sequence[Values], key: str, choose: str) -> str:
    """Returns the numbers of the column `key` as a text like "; by seed 3, 1, 2; of three by score 1", for `choose` "score".
    The last part has a number for each three seeds (0 to 2, ...): that of the seed with the highest number in the column
    `choose`; none if all diverged or one has no such number. `values` are column -> number of each seed, empty if diverged.
    """
    threes = [[found for found in values[i : i + 3] if found] for i in range(0, len(values) - 2, 3)]
    threes = [three for three in threes if three and all(choose in found for found in three)]
    best = [max(three, key=lambda found: found[choose])[key] for three in threes]
    every, chosen = (", ".join(f"{number:.4g}" for number in some) for some in (over_seeds(values)[key], best))
    return f"; by seed {every}" + (f"; of three by {choose} {chosen}" if chosen else "")


def lines(experiment: Experiment, rows: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the lines of the Markdown table: our results, each row followed by the figures that papers print for it. `rows`
    are name of a row -> the cells that `our_cells` returns.
    """
    head = ["", "source", "seeds", *map(escape_bars, experiment.headings.values()), "steps", "seconds a seed"]
    found = []
    for name, cells in rows.items():
        found.append([name, "ours", *cells])
        for source, figures in experiment.paper.get(name, {}).items():
            found.append([name, source, *(figures.get(key, "") for key in ("seeds", *experiment.columns, "steps")), ""])
    return tables.markdown_table(head, found)


def markdown(experiment: Experiment, table: Rows, setting: Setting) -> str:
    """Returns the text of ``table.md``: the table of the finished rows `table`, its protocol and its provenance."""
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in table}))
    protocol = experiment.protocol(setting)
    first = "; otherwise: ".join(filter(None, [experiment.shortening(setting), protocol.pop("", "")]))
    found = [
        *[f"# {experiment.name}" + (" (quick)" if setting.quick else ""), "", experiment.about, ""],
        *lines(experiment, {name: our_cells(experiment, table, name) for name in values_by_row(table)}),
        *["", f"± is the standard error over seeds. {experiment.chosen}", "", f"- Protocol: {first}".rstrip()],
        *(f"  - {key}: {text}" for key, text in protocol.items()),
        *(f"- {note}" for note in experiment.notes),
        " ".join([f"- Seeds: {seeds}.", *provenance_lines(table[-1])]),
    ]
    return "\n".join([*found, ""])


def write_table(experiment: Experiment, setting: Setting, only: str | None, finished: Mapping[Any, Any]) -> str:
    """Writes ``table.md`` and ``table.json`` into the folder above `setting.folder`, and returns the text of the former. The
    table has the rows of `finished`, (name, seed, steps) -> row, whose name contains `only` (None: all), in the jobs' order.
    """
    keys = map(sharing.of_job, wanted_jobs(experiment, setting, only))
    table = [finished[key] for key in keys if key in finished]
    page = markdown(experiment, table, setting)
    with writing(setting.folder.parent / "table.md") as file:
        file.write(page)
    text = " ".join(f"{key}: {value}." if key else value for key, value in experiment.protocol(setting).items())
    found = {
        "experiment": experiment.name,
        "quick": setting.quick,
        "protocol": "; otherwise: ".join(filter(None, [experiment.shortening(setting), text])),
        "rows": table,
        "summary": {row: summary(values) for row, values in values_by_row(table).items()},
        "spread": {row: median_and_best(experiment, values) for row, values in values_by_row(table).items()},
        "paper": experiment.paper,
    }
    write_json(setting.folder.parent / "table.json", found)
    return page


def listing(experiment: Experiment, filter: str | None = None, **form: Any) -> str:
    """Returns the table of an experiment as Markdown, from finished rows or else from docs/results, without computing
    anything. Rows without a result are "not measured"; rows whose name lacks the text `filter` are left out. `form` are the
    arguments of `Experiment.setting`. Raises a UserError if no name contains `filter`.
    """
    setting = experiment.setting(**form)
    check_filter(experiment, setting, filter)
    headings, *page = ([] if setting.quick else published(experiment.name)) or [[]]
    finished, rows = FinishedRows(setting.folder.parent).read().values(), dict[str, list[str]]()
    for job in wanted_jobs(experiment, setting, filter):
        table = [row for row in finished if row["row"] == job.row and row["steps"] == job.steps]
        found = next((row for row in page if row[:2] == [job.row, "ours"]), [])
        cells, start = [f"{found[2]} (docs/results)" if found else "not measured"], 3
        for heading in map(escape_bars, experiment.headings.values()):
            at = headings.index(heading, start) if found and heading in headings[start:] else None
            cells.append("" if at is None else found[at])
            start = start if at is None else at + 1
        done = f"{found[-2]} of " if found and found[-2] != f"{job.steps:,}" else ""
        cells += [f"{done}{job.steps:,}", found[-1] if found else "not measured"]
        rows[job.row] = our_cells(experiment, table, job.row) if table else cells
    return "\n".join([f"# {experiment.name}", "", experiment.about, "", *lines(experiment, rows)])


def published(name: str) -> list[list[str]]:
    """Returns the table in ``docs/results/NAME.md`` as rows of cells, headings first; empty if there is no such page."""
    path = PAGES / f"{name}.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in text.splitlines() if line[:2] == "| "]
