"""Renders a run's folder as one HTML page: summary, pictures, metrics, training curves and settings.

The page is a single file with embedded pictures and style. It has no script and loads nothing from the network.
"""

from __future__ import annotations

import base64
import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from interalia.disk import read_json, writing
from interalia.errors import UserError
from interalia.metrics import REGISTRY
from interalia.metrics.entries import as_number
from interalia.reports import plots, sentences
from interalia.reports.commands import commands
from interalia.reports.sentences import Json
from interalia.runs import RESUMABLE_CHANGES, Run, formats, recipes
from interalia.runs.folder import ABOUT_GAME, Folder

# fields of a run, beside RESUMABLE_CHANGES, that do not belong to a recipe
INCIDENTAL = ("pretrained_generator", "precision", "seed", "monitor")
NATS, GAP = "nats ± standard error", "gap of the check"
# HTML classes of table columns
COLUMNS = {**dict.fromkeys(("value", NATS, "acceptance", GAP), " class=number"), "protocol": " class=fine"}
# line plots, at the DPI of `plots`, which are not pixelated
LINES = ("curves.png", "metrics.png", "plane.png", "plane_to_a.png", "plane_to_b.png")
PROGRESS = 6  # at most so many pictures taken during training


def write(folder: Path) -> Path:
    """Writes ``report.html`` from the files of a run's folder: description, log, results, likelihood and figures.

    The curves are redrawn from the log. Returns the page's path.

    Raises:
        UserError: not a run's folder, a damaged file in it, or the page cannot be written.
    """
    home = Folder(folder)
    run = _read(home.description, "train it again")
    if not run:
        home.run()  # raises the error for a folder that is not a run's
    run = formats.upgraded(run, home.description)
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
    """Draws the log's curves. The sigmoid of scores is shown only if the run's divergence makes them log-odds."""
    keys = {key.partition("/")[0] for line in log for key in line}
    if "losses" in keys:
        plots.curves(log, home.figures / "curves.png", bool(sentences.facts_of(run)["log_odds"]))
    if "metrics" in keys:
        plots.metric_curves(log, home.figures / "metrics.png")
    if "health" in keys:
        plots.health_chart(log, home.figures / "health.png")


def render(home: Folder, run: Json, results: Json, log: Sequence[Json], likelihood: Json) -> str:
    """Returns the HTML of the page."""
    title = str(run.get("name") or home.path.name)
    summary = sentences.summary(run, results or None, log, likelihood)
    lines = commands(home, run)
    next_commands = "".join(f"<dt><code>{escape(line)}</code></dt><dd>{escape(about)}</dd>" for line, about in lines)
    parts = [
        f"<header><p class=kind>interalia, report of a run</p><h1>{escape(title)}</h1>",
        _tiles(results, log, likelihood),
        "</header>",
        _section("Summary", "".join(f"<p>{escape(sentence)}</p>" for sentence in summary)),
        _section("Pictures", _pictures(home, run)),
        _metrics(results),
        _likelihood(likelihood),
        _section("Training", _training(home, run, log)),
        _recipes(run),
        _section("All settings", _description(run, results)),
        _section("Next commands", f"<dl class=commands>{next_commands}</dl>"),
    ]
    page, style = (sentences.resource(name) for name in ("page.html", "style.css"))
    return Template(page).substitute(title=escape(title), style=style, body="\n".join(filter(None, parts)))


def _section(title: str, inside: str, **values: object) -> str:
    """Returns a section of the page, with its paragraph of ``texts.toml`` first; empty if there is nothing inside."""
    if not inside:
        return ""
    filled = {key: escape(str(value), quote=False) for key, value in values.items()}
    before = sentences.texts("sections").get(title)
    return f"<section><h2>{title}</h2>{f'<p>{before.format(**filled)}</p>' if before else ''}{inside}</section>"


def _tiles(results: Json, log: Sequence[Json], likelihood: Json) -> str:
    """Returns the most important numbers, as tiles."""
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
    listed = "".join(f"<li><b>{escape(value)}</b> {escape(about)}</li>" for value, about in tiles)
    return f"<ul class=tiles>{listed}</ul>" if listed else ""


def _figures(home: Folder, section: str, **values: str) -> str:
    """Returns the existing figures of a section, with `values` filled into titles and captions."""
    shown = ""
    for pattern, about in sentences.texts(section).items():
        for path in sorted(home.figures.glob(pattern), key=lambda path: (len(path.name), path.name)):
            title = about["title"].format(**values).replace("*", path.stem.partition("_")[2])
            caption = about["caption"].format(**values)
            shown += f"<figure><h3>{escape(title)}</h3>{_image(path, f'{title}. {caption}')}"
            shown += f"<figcaption>{escape(caption)}</figcaption></figure>"
    return shown


def _pictures(home: Folder, run: Json) -> str:
    shown, known = _figures(home, "pictures"), sentences.facts_of(run)["can"]
    if not shown:
        return "<p>No pictures yet.</p>"
    lacking = known is not None and not {"Infers", "Translates"} & set(known)
    note = "<p>This model has no encoder, so there are no reconstructions or interpolations.</p>" if lacking else ""
    return note + shown


def _image(path: Path, alt: str, kind: str = "pixels") -> str:
    content = path.read_bytes()
    width = ""
    if path.name in LINES:
        kind = "lines"
        width = (
            f' width="{round(int.from_bytes(content[16:20], "big") * 96 / plots.DPI)}"'  # the width in the PNG header
        )
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img class="{kind}"{width} alt="{escape(alt)}" src="{source}">'


def _metrics(results: Json) -> str:
    rows = []
    for one in sentences.metrics_in(results):
        value = f"{as_number(one.get('value'))} {one.get('unit') or ''}".strip()
        texts = (one.get("better") or "neither", one.get("about") or "", one.get("protocol") or "")
        rows.append((one["name"].replace("_", " "), value, *texts))
    heads = ("metric", "value", "better", "what it means", "protocol")
    return _section("Metrics", _table(heads, rows, " class=metrics"))


def _table(heads: Sequence[str], rows: Iterable[Iterable[Any]], kind: str = "") -> str:
    """Returns a table; the first cell of a row is its heading. Empty without rows."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = ""
    for first, *rest in rows:
        cells = (f"<td{COLUMNS.get(head, '')}>{_value(one)}</td>" for head, one in zip(heads[1:], rest, strict=True))
        body += f'<tr><th scope="row">{_value(first)}</th>{"".join(cells)}</tr>'
    return body and f"<div class=wide><table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _likelihood(likelihood: Json) -> str:
    """Returns the table of the estimates of log p(x)."""
    images = likelihood.get("images")
    of = f"{images['measured']:,} of {images['split']:,} examples of" if images else "examples of"
    split, binarization = likelihood.get("split", "held-out"), likelihood.get("binarization", "none")
    rows = [(*sentences.cells(one), one.get("protocol") or "") for one in sentences.estimates_in(likelihood)]
    table = _table(("estimate", NATS, "acceptance", GAP, "protocol"), rows)
    return _section("Likelihood", table, of=of, split=split, binarization=binarization)


def _training(home: Folder, run: Json, log: Sequence[Json]) -> str:
    """Returns the section on training as HTML: curves, the meaning of health checks, and up to 6 pictures of samples."""
    from interalia.metrics.verdicts import COUNTS, DIAGNOSTICS

    about = sentences.facts_of(run)
    alone = not about["critic"] and about["can"] is not None
    kind = "alone" if alone else "against" if about["judged"] else "own"
    title = "The loss" if alone else "Losses and scores"
    reading = str(about["reading"] or sentences.texts("reading")[kind].format(judged=about["judged"]))
    figures = _figures(home, "training", title=title, reading=reading)
    logged = {key.removeprefix("health/") for line in log for key in line}
    shown = {
        name.replace("_", " "): sign for name, sign in DIAGNOSTICS.items() if name in logged and name not in COUNTS
    }
    signs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(sign)}</dd>" for name, sign in shown.items())
    figures += signs and f"<h3>Meaning of the health checks</h3><dl>{signs}</dl>"
    made = "Translations" if sentences.is_able(run, "Translates") else "Samples"
    taken = sorted((home.figures / "progress").glob("step-*.png"))
    if len(taken) > PROGRESS:
        taken = [taken[round(i * (len(taken) - 1) / (PROGRESS - 1))] for i in range(PROGRESS)]
    small = ""
    for path in taken:
        step = "step " + (path.stem.removeprefix("step-").lstrip("0") or "0")
        small += f"<figure>{_image(path, f'{made} at {step}', 'small')}<figcaption>{escape(step)}</figcaption></figure>"
    return figures + (small and f"<h3>{made} during training</h3><div class=progress>{small}</div>")


def _description(run: Json, results: Json) -> str:
    made = {key: results[key] for key in ("commit", "machine", "date", "step", "split") if results.get(key) is not None}
    described = {key: value for key, value in run.items() if key != ABOUT_GAME}
    groups = {"Run": described, "Data": results.get("data"), "Evaluation": made}
    groups |= {title: results.get(title.lower()) for title in ("Protocol", "Seeds", "Versions")}
    blocks = ""
    for title, values in groups.items():
        if isinstance(values, Mapping) and values:
            rows = "".join(f"<dt>{escape(str(k))}</dt><dd>{_value(v)}</dd>" for k, v in values.items())
            blocks += f"<div><h3>{title}</h3><dl>{rows}</dl></div>"
    return f"<div class=description>{blocks}</div>"


def _recipes(run: Json) -> str:
    """Returns a table of the settings that differ between this run, its tuned recipe and its published recipe."""
    names = recipes.tuned_and_published(run)
    if names is None:
        return ""
    tuned, published = names
    columns = [run, *(dataclasses.asdict(recipes.REGISTRY[name]()) for name in names)]
    rows = [("length", *map(_length, columns))]
    fields = (key for key in Run.__dataclass_fields__ if key not in (*RESUMABLE_CHANGES, *INCIDENTAL))
    rows += [(key, *(column.get(key) for column in columns)) for key in fields]
    differing = [row for row in rows if any(value != row[1] for value in row[1:])]
    report = "from the reproduction report, since the paper has no such data"
    source = "from the paper" if published.endswith("-paper") else report
    table = _table(("", "this run", *names), differing)
    return _section("Compared with the published recipe", table, tuned=tuned, published=published, source=source)


def _length(run: Json) -> str | None:
    """Returns the length of a training, in epochs if the run sets `epochs`."""
    if run.get("epochs") is not None:
        return f"{run['epochs']:,g} epochs"
    return None if run.get("steps") is None else f"{run['steps']:,} steps"


def _value(value: Any) -> str:
    if value is None or value == {}:
        return "<i>none</i>"
    if isinstance(value, Mapping):
        return escape(", ".join(f"{key} = {part}" for key, part in value.items()))
    if isinstance(value, list | tuple):
        return escape(" x ".join(map(str, value)))
    return escape(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
