"""Writes a run's page: one HTML file with summary, pictures, metrics, training curves and the fields of the run.

Pictures and style are embedded. The page has no script and loads nothing from the network.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from interalia.disk import read_json, writing
from interalia.errors import UserError
from interalia.metrics import REGISTRY
from interalia.metrics.entries import as_number
from interalia.reports import plots, sentences
from interalia.reports.assessment import assess
from interalia.reports.commands import commands
from interalia.reports.sentences import Json
from interalia.runs import RESUMABLE_CHANGES, Run, formats, recipes, schemas
from interalia.runs.folder import ABOUT_GAME, INITIAL, Folder

# fields of a run, beside RESUMABLE_CHANGES, that do not belong to a recipe
INCIDENTAL = ("pretrained_generator", "precision", "seed", "monitor")
# heading of a table column -> the HTML class of its cells
NUMBERS = ("value", "nats ± standard error", "acceptance", "gap of the check")
COLUMNS = {**dict.fromkeys(NUMBERS, Markup(" class=number")), "protocol": Markup(" class=fine")}
# line plots, at the DPI of `plots`, which are not pixelated
LINES = (
    "curves.png", "metrics.png", "plane.png", "plane_to_a.png", "plane_to_b.png", "errors.png", "latents.png", "nearest.png",
    "spread.png", "samples_by_label.png", "health.png",
)  # fmt: skip
LEFT_OUT = "left_out.json"  # in the folder of figures: title of a figure -> why there is none
ANOMALIES = "anomalies.json"  # what `interalia detect score` found last
PROGRESS = 6  # at most so many pictures taken during training


def write(folder: Path) -> Path:
    """Writes ``report.html`` from the other files in a run's folder: description, log, results, likelihood and figures.

    The curves of the log are drawn again. Returns the page's path.

    Raises:
        UserError: this is not a run's folder, a file in it is damaged, or the page cannot be written.
    """
    home = Folder(folder)
    home.run()  # raises an error for a folder that is not a run's, or a damaged file
    run = formats.upgraded(read_json(home.description), home.description)
    name = shlex.quote(str(folder))
    results = formats.results(_read(home.results, f"write it again by interalia evaluate {name}"))
    likelihood = formats.results(_read(home.likelihood, f"write it again by interalia likelihood {name}"))
    log = home.log_lines()
    _draw(home, run, log)
    with writing(home.report) as file:
        file.write(render(home, run, results, log, likelihood))
    return home.report


def _read(path: Path, advice: str) -> Json:
    """Returns the JSON object in a file; empty if there is no such file.

    `advice`, what to do about a damaged file, ends the error message.

    Raises:
        UserError: the file is damaged or cannot be read.
    """
    try:
        return read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or cannot be read ({error}); {advice}.") from None


def _draw(home: Folder, run: Json, log: Sequence[Json]) -> None:
    """Draws the curves of losses, metrics and health diagnostics that a log has into the figures of a run's folder.

    `run` is the content of ``run.json``, `log` the lines of ``log.jsonl``. The sigmoid of the critic's scores is drawn only
    if the run's divergence makes the scores log-odds.
    """
    keys = {key.partition("/")[0] for line in log for key in line}
    if "losses" in keys:
        plots.curves(log, home.figures / "curves.png", bool(sentences.facts_of(run)["log_odds"]))
    if "metrics" in keys:
        plots.metric_curves(log, home.figures / "metrics.png")
    if "health" in keys:
        plots.health_chart(log, home.figures / "health.png")


def render(home: Folder, run: Json, results: Json, log: Sequence[Json], likelihood: Json) -> str:
    """Returns the HTML of the page: the template ``page.html``, filled with the content of a run's files.

    `log` are the lines of ``log.jsonl``; `run`, `results` and `likelihood` are the contents of the JSON files, or empty.
    """
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    page.filters["html"] = as_html
    known = sentences.facts_of(run)["can"]
    return page.from_string(sentences.resource("page.html")).render(
        title=sentences.title_of(run, results) or home.path.name,
        assessment=assess(run, results, log),
        kind="a run",
        style=Markup(sentences.resource("style.css")),
        columns=defaultdict(str, COLUMNS),
        tiles=_tiles(results, log, likelihood),
        summary=sentences.summary(run, results or None, log, likelihood),
        pictures=figures_in(home.figures, "pictures"),
        left_out=_read(home.figures / LEFT_OUT, f"write it again by interalia report {shlex.quote(str(home.path))}"),
        anomalies=anomalies_in(home.path),
        tables=_rows(home),
        encoder=known is None or {"Infers", "Translates"} & set(known),
        metrics=_metrics(results),
        likelihood=likelihood,
        images=likelihood.get("images"),
        estimates=[(*sentences.cells(one), one.get("protocol") or "") for one in sentences.estimates_in(likelihood)],
        settings=_description(run, results),
        commands=commands(home, run, max(sentences.last_line(log).get("step", 0), results.get("step") or 0)),
        **_changes(run),
        **_training(home, run, log),
        **_recipes(run),
    )


def _tiles(results: Json, log: Sequence[Json], likelihood: Json) -> list[tuple[str, str]]:
    """Returns pairs (number as text, what it is) for the top of the page: main metrics, log-likelihood, training time.

    A number that is not in the files is left out. The arguments are the contents of ``results.json``, ``log.jsonl`` and
    ``likelihood.json``.
    """
    values = sentences.values_in(results)
    made = "translations" if "cycle_error" in values else "samples"
    tiles = []
    for name, metric in REGISTRY.items():
        if name in values and metric.tile is not None:
            form, about, baseline = metric.tile.form, metric.tile.about, metric.tile.baseline or ("", "")
            beside = f" ({baseline[1]}: {form.format(values[baseline[0]])})" if baseline[0] in values else ""
            tiles.append((form.format(values[name]), about.format(made=made) + beside))
    one = sentences.nearest(likelihood)
    if one is not None:
        tiles.append((f"{one['value']:.1f}", f"nats, log p(x) of held-out data ({one['name']})"))
    seconds = sentences.last_line(log).get("seconds") or (results.get("training") or {}).get("seconds")
    if seconds:
        tiles.append((sentences.duration(seconds), "of training"))
    return tiles


def figures_in(folder: Path, section: str, **values: str) -> list[tuple[str, str, Json]]:
    """Returns (title, caption, image) of each figure in a folder of figures that a section of ``texts.toml`` describes.

    The section maps a file name or pattern, such as "plane_*.png", to title and caption. An image is as `_image` returns it.
    `values` are name -> text for the names in braces in titles and captions.
    """
    shown = []
    for pattern, about in sentences.texts(section).items():
        for path in sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name)):
            title = about["title"].format(**values).replace("*", path.stem.partition("_")[2])
            shown.append((title, about["caption"].format(**values), _image(path)))
    return shown


def anomalies_in(folder: Path) -> Json:
    """Returns the variables of the section on anomalies for the template ``page.html``, from the folder of a run or detector.

    They are "sentences", texts; "columns" and "rows", the headings and cells of a table; and "pictures", as `figures_in`
    returns them. The result is empty if the run or detector has not scored anything yet.

    Raises:
        UserError: ``anomalies.json`` is damaged.
    """
    found = _read(folder / ANOMALIES, f"write it again by interalia detect score {shlex.quote(str(folder))} DATA")
    found = schemas.fitting(found, schemas.Anomalies)
    return {**found, "pictures": figures_in(folder / "figures", "anomalies")} if found else {}


def _rows(home: Folder) -> list[tuple[str, list[str], list[list[str]]]]:
    """Returns the rows of tables in a run's folder of figures, ``rows-*.csv``, in the order of their names.

    An element is a tuple: a title, such as "rows: data"; the names of the columns; and the rows, as texts.
    """
    found = []
    for path in sorted(home.figures.glob("rows-*.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            heads, *rows = list(csv.reader(file)) or [[]]
        found.append((f"Rows: {path.stem.split('-')[-1]}", heads, rows))
    return found


def _image(path: Path, kind: str = "pixels") -> Json:
    """Returns a PNG file as values for the page, by name: `kind`, an HTML class; `width` in CSS pixels; `source`, a data URL.

    For a line plot `kind` is "lines" and `width` its natural width; for other images they are the argument `kind` and None.
    """
    content, lines = path.read_bytes(), path.name in LINES
    width = round(int.from_bytes(content[16:20], "big") * 96 / plots.DPI) if lines else None  # from the PNG header
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return {"kind": "lines" if lines else kind, "width": width, "source": source}


def _metrics(results: Json) -> list[tuple[str, str, bool, Any]]:
    """Returns (title, description, folded, rows) of each group of metrics in ``results.json``, in the order of the page.

    A row has the name of a metric, its value with unit, its better direction ("lower", "higher" or "neither"), its meaning
    and its protocol, as texts. `folded` is True if the table opens at a click. `results` is the content of that file.
    """
    rows, values = defaultdict(list), sentences.values_in(results)
    for one in sentences.metrics_in(results):
        value = f"{as_number(one.get('value'))} {one.get('unit') or ''}".strip()
        texts = (one.get("better") or "neither", one.get("about") or "", one.get("protocol") or "")
        group = sentences.group_of(one["name"])
        group = "translations" if group == "samples" and "cycle_error" in values else group
        rows[group].append((sentences.shown_name(one["name"], results), value, *texts))
    groups = sentences.texts("groups")
    return [
        (about["title"], about["about"], about["folded"], rows[key]) for key, about in groups.items() if key in rows
    ]


def _changes(run: Json) -> Json:
    """Returns the variables for the template ``page.html`` on how a run differs from its recipe.

    They are `changed`, the value in the recipe of each field that differs, by name; and `compared`, a text that names the
    recipe. That is the one of the run's name, else the tuned one for its model and data, else the defaults of `Run`.
    """
    name = str(run.get("name") or "")
    tuned = recipes.tuned_and_published(run)
    known = name if name in recipes.REGISTRY else tuned[0] if tuned else None
    usual = dataclasses.asdict(recipes.REGISTRY[known]() if known else Run())
    kept = (key for key in usual if key in run and key not in ("name", "data_dir", "device", "precision", "seed"))
    filled = {
        "steps": usual["steps"] is None and run.get("epochs") == usual["epochs"],
        "monitor": usual["monitor"] == "auto",
    }
    changed = {key: usual[key] for key in kept if not _same(run[key], usual[key]) and not filled.get(key)}
    return {"changed": changed, "compared": f"the recipe {known}" if known else "the default values"}


def _same(a: Any, b: Any) -> bool:
    """True if two values of a field are equal; a list equals a tuple, and blanks in the text of a component do not count."""
    a, b = (tuple(v) if isinstance(v, list) else v.replace(" ", "") if isinstance(v, str) else v for v in (a, b))
    return bool(a == b)


def _training(home: Folder, run: Json, log: Sequence[Json]) -> Json:
    """Returns the variables on training for the template ``page.html``: name -> value.

    They are `curves`, the figures of curves, as `figures_in` returns them; `signs`, (name, meaning) of each logged health
    diagnostic; `made`, "Samples" or "Translations", what the game makes; and `progress`, (step as text, image) for up to 6
    pictures of these that were drawn during training, such as "step 500". `run` is the content of ``run.json``, `log` the
    lines of ``log.jsonl``.
    """
    from interalia.metrics.verdicts import COUNTS, DIAGNOSTICS

    about = sentences.facts_of(run)
    alone = not about["critic"] and about["can"] is not None
    kind = "alone" if alone else "against" if about["judged"] else "own"
    title = "The loss" if alone else "Losses and scores"
    reading = str(about["reading"] or sentences.texts("reading")[kind].format(judged=about["judged"]))
    logged = {key.removeprefix("health/") for line in log for key in line} - set(COUNTS)
    taken = sorted((home.figures / "progress").glob("step-*.png"))
    if len(taken) > PROGRESS:
        taken = [taken[round(i * (len(taken) - 1) / (PROGRESS - 1))] for i in range(PROGRESS)]
    steps = ("step " + (path.stem.removeprefix("step-").lstrip("0") or "0") for path in taken)
    return {
        "curves": figures_in(home.figures, "training", title=title, reading=reading),
        "signs": [(name.replace("_", " "), sign) for name, sign in DIAGNOSTICS.items() if name in logged],
        "made": "Translations" if sentences.is_able(run, "Translates") else "Samples",
        "progress": [(step, _image(path, "small")) for step, path in zip(steps, taken, strict=True)],
    }


def _description(run: Json, results: Json) -> list[tuple[str, Json]]:
    """Returns (title, name -> value) for each nonempty group of fields: Run, Data, Evaluation, Protocol, Seeds, Versions.

    The arguments are the contents of ``run.json`` and ``results.json``. Run has the fields of the run; Evaluation has commit,
    machine, date, step and split; the others are the entries of their names in ``results.json``.
    """
    made = {key: results[key] for key in ("commit", "machine", "date", "step", "split") if results.get(key) is not None}
    described = {key: value for key, value in run.items() if key not in (ABOUT_GAME, INITIAL)}
    groups = {"Run": described, "Data": results.get("data"), "Evaluation": made}
    groups |= {title: results.get(title.lower()) for title in ("Protocol", "Seeds", "Versions")}
    return [(title, fields) for title, fields in groups.items() if isinstance(fields, Mapping) and fields]


def _recipes(run: Json) -> Json:
    """Returns the variables for the template ``page.html`` that compare a run with its tuned and its published recipe.

    The tuned recipe has this library's hyperparameters for the run's model and data, the published one a paper's. The
    variables are `differences`, (field, the run's value, the tuned one, the published one) for each field that differs, the
    recipes' names `tuned` and `published`, and `data_dir`, the run's folder of data, quoted for a shell, or "". The
    result is empty unless there are both recipes.
    """
    names = recipes.tuned_and_published(run)
    if names is None:
        return {}
    columns = [run, *(dataclasses.asdict(recipes.REGISTRY[name]()) for name in names)]
    rows = [("length", *map(_length, columns))]
    fields = (key for key in Run.__dataclass_fields__ if key not in (*RESUMABLE_CHANGES, *INCIDENTAL))
    rows += [(key, *(column.get(key) for column in columns)) for key in fields]
    differing = [row for row in rows if any(value != row[1] for value in row[1:])]
    place = shlex.quote(str(run["data_dir"])) if run.get("data_dir") else ""
    return {"differences": differing, "tuned": names[0], "published": names[1], "data_dir": place}


def _length(run: Json) -> str | None:
    """Returns the length of a training as text: "10 epochs" if the run sets `epochs`, otherwise "3,000 steps"; None without
    both.
    """
    if run.get("epochs") is not None:
        return f"{run['epochs']:,g} epochs"
    return None if run.get("steps") is None else f"{run['steps']:,} steps"


def as_html(value: Any) -> str:
    """Returns a value as HTML: None as "none", a mapping as "key = value, ...", a list of numbers as "3 x 32 x 32", of texts
    as "a, b", and 1000 as "1,000".
    """
    if value is None or value in ({}, [], ()):
        return Markup("<i>none</i>")
    if isinstance(value, Mapping):
        return escape(", ".join(f"{key} = {part}" for key, part in value.items()))
    if isinstance(value, list | tuple):
        mark = " x " if all(isinstance(one, int) for one in value) else ", "
        return escape(mark.join(map(str, value)))
    return escape(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
