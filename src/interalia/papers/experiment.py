"""The frame for experiments: rows that are worked out one by one, kept, summed up over seeds, and set beside the paper's.

An experiment is a function that yields `Job`s. The frame works them out in turn, keeps each finished one on disk, so that
an interrupted experiment goes on where it stopped, and writes the table as Markdown and JSON.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from interalia.disk import write_json, writing
from interalia.errors import DivergedError, UserError
from interalia.runs import Run

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.games import Game
    from interalia.runs.loading import Trained
    from interalia.training.callbacks import Observer

Values = Mapping[str, float]


@dataclass(frozen=True)
class Setting:
    """What the person asked for.

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


@dataclass(frozen=True)
class Job:
    """One row for one seed.

    Attributes:
        row: the row's name in the table.
        seed: the seed.
        work: does it and answers its numbers by the columns' names.
        steps: the length of its training.
    """

    row: str
    seed: int
    work: Callable[[], Values]
    steps: int


@dataclass(frozen=True)
class Experiment:
    """An experiment of a paper.

    Attributes:
        name: in the catalogue.
        about: what it shows, in one sentence.
        jobs: yields the rows' jobs.
        columns: a column's name -> its heading, with the unit and an arrow to the better side.
        paper: a row's name -> the papers' figures for it: source -> column -> what it prints.
        protocol: how it is done, in sentences; whatever differs from the paper's is named.
        quick_protocol: what the quick form leaves out.
        seeds: how many, unless the person says otherwise.
        notes: what else has to be known.
        cut: what --steps does to the trainings, in words.
        chosen: what settings were chosen on, where it was not validation data alone.
        spread: the columns whose median and best over seeds are told beside the mean.
    """

    name: str
    about: str
    jobs: Callable[[Setting], Iterator[Job]]
    columns: Mapping[str, str]
    paper: Mapping[str, Mapping[str, Mapping[str, str]]]
    protocol: str
    quick_protocol: str
    seeds: int = 5
    notes: Sequence[str] = field(default_factory=tuple)
    chosen: str = "Nothing was chosen on test data."
    cut: str = "CUT to {steps:,} steps a training (--steps)"
    spread: Sequence[str] = ()


def reproduce(
    experiment: Experiment,
    quick: bool = False,
    root: Path | None = None,
    out: Path = Path("runs/reproduce"),
    seeds: int | None = None,
    steps: int | None = None,
    only: str | None = None,
    again: bool = False,
    console: Console | None = None,
) -> Path:
    """Works an experiment out and answers the path of its Markdown table.

    Raises:
        UserError: a number of seeds under 1, or what the jobs raise.
    """
    from interalia import reports

    console = console or Console(highlight=False)
    for flag, value in (("seeds", seeds), ("steps", steps)):
        if value is not None and value < 1:
            raise UserError(f"--{flag} is {value}, and it must be at least 1.")
    folder = Path(out) / (f"{experiment.name}-quick" if quick else experiment.name)
    kept = folder / "rows.jsonl"
    if again and folder.exists():
        shutil.rmtree(folder)  # the rows and the trainings behind them
    count = seeds or (1 if quick else experiment.seeds)
    setting = Setting(quick, root, count, steps, folder / "runs")
    done = {(row["row"], row["seed"], row["steps"]): row for row in read_rows(kept)}
    table: list[dict[str, Any]] = []
    text = ""
    for job in experiment.jobs(setting):
        if only is not None and only not in job.row:
            continue
        key = (job.row, job.seed, job.steps)
        if key not in done:
            began = time.perf_counter()
            try:
                values = dict(job.work())
            except DivergedError as error:  # a finding, and no reason to keep the other rows waiting
                values = {}
                console.print(f"{job.row}, seed {job.seed}: {error}", soft_wrap=True, markup=False)
            done[key] = {
                "row": job.row,
                "seed": job.seed,
                "steps": job.steps,
                "values": values,
                "seconds": round(time.perf_counter() - began, 1),
                **reports.provenance(),
            }
            write_rows(kept, list(done.values()))
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in values.items()) or "diverged"
            console.print(f"{job.row}, seed {job.seed}: {numbers} ({done[key]['seconds']:.0f} s)", soft_wrap=True)
        table.append(done[key])
        text = markdown(experiment, table, quick, steps)
        with writing(folder / "table.md") as file:  # after each row: an interrupted experiment has a table too
            file.write(text)
        write_json(
            folder / "table.json",
            {
                "experiment": experiment.name,
                "quick": quick,
                "protocol": protocol(experiment, quick, steps),
                "rows": table,
                "summary": {row: summary(of_row(table, row)) for row in names(table)},
                "spread": {row: spread(experiment, of_row(table, row)) for row in names(table)},
                "paper": experiment.paper,
            },
        )
    if not table:
        raise UserError(f"no row of {experiment.name} has {only!r} in its name; leave out --only to see them all.")
    console.print(text, soft_wrap=True, markup=False)
    console.print(f"Written: {folder / 'table.md'} and {folder / 'table.json'}", soft_wrap=True)
    return folder / "table.md"


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


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows that are done."""
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except ValueError:
        raise UserError(f"the rows in {path} are damaged; begin anew with --again.") from None


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with writing(path) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


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
    """The median and the best over seeds of the columns that ask for it; an arrow in the heading says which way is better."""
    found = {}
    for key in experiment.spread:
        numbers = [row[key] for row in values if key in row]
        if not numbers:
            continue
        best = min if "↓" in experiment.columns[key] else max
        found[key] = (statistics.median(numbers), best(numbers))
    return found


def protocol(experiment: Experiment, quick: bool, steps: int | None) -> str:
    """How it was done, with what was cut."""
    text = experiment.quick_protocol if quick else experiment.protocol
    return text if steps is None else f"{experiment.cut.format(steps=steps)}; otherwise: {text}"


def markdown(experiment: Experiment, table: Sequence[Mapping[str, Any]], quick: bool, steps: int | None = None) -> str:
    """The table: ours in one row, the papers' under it, and all that is needed to judge the numbers."""
    from interalia.reports import bars

    headings = [bars(heading) for heading in experiment.columns.values()]
    head = ["", "source", "seeds", *headings, "steps", "seconds a seed"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in names(table):
        rows = [row for row in table if row["row"] == name]
        ours = summary(of_row(table, name))
        lost = len(rows) - len(of_row(table, name))
        wide = spread(experiment, of_row(table, name))
        cells = [
            ("n/a" if ours else "diverged")
            if key not in ours
            else f"{ours[key][0]:.4g}" + ("" if ours[key][1] is None else f" ± {ours[key][1]:.2g}")
            for key in experiment.columns
        ]
        for i, key in enumerate(experiment.columns):
            if key in wide and len(rows) > 1:
                cells[i] += f" (median {wide[key][0]:.4g}, best {wide[key][1]:.4g})"
        seconds = f"{statistics.fmean(row['seconds'] for row in rows):.0f}"
        lacking = sorted({row["seed"] for row in table} - {row["seed"] for row in rows})
        count = str(len(rows)) + (f", {lost} diverged" if lost else "")
        if lacking:
            count += f", without seed{'s' * (len(lacking) > 1)} {', '.join(map(str, lacking))}"
        lines.append("| " + " | ".join([name, "ours", count, *cells, f"{rows[0]['steps']:,}", seconds]) + " |")
        for source, figures in experiment.paper.get(name, {}).items():
            cells = [figures.get(key, "") for key in experiment.columns]
            lines.append(
                "| " + " | ".join([name, source, figures.get("seeds", ""), *cells, figures.get("steps", ""), ""]) + " |"
            )
    last = table[-1]
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in table}))
    return "\n".join(
        [
            f"# {experiment.name}" + (" (quick)" if quick else ""),
            "",
            experiment.about,
            "",
            *lines,
            "",
            f"± is the standard error over seeds. {experiment.chosen}",
            "",
            f"- Protocol: {protocol(experiment, quick, steps)}",
            *(f"- {note}" for note in experiment.notes),
            f"- Seeds: {seeds}. Machine: {last['machine']}. Versions: {versions}. Commit: {last['commit']}. "
            f"Date: {last['date']}.",
            "",
        ]
    )
