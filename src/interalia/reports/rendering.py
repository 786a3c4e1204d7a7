"""A run's folder -> one page that says what was run, on what, how long, and how good it is.

The page is a single file of HTML: pictures and style are inside it, it asks nothing of the network and runs no script.
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
from interalia.reports import plots, words
from interalia.reports.commands import commands
from interalia.reports.words import Json
from interalia.runs import RESUMABLE_CHANGES, Run, formats, recipes
from interalia.runs.folder import ABOUT_GAME, Folder
from interalia.runs.log import read

# of a run's fields those that make no recipe, beside RESUMABLE_CHANGES ones
INCIDENTAL = ("generator", "precision", "seed", "best")
NATS, GAP = "nats ± standard error", "gap of the check"
# of the columns of tables that are not plain text
COLUMNS = {**dict.fromkeys(("value", NATS, "acceptance", GAP), " class=number"), "protocol": " class=fine"}
# drawn, at plots' DPI, and not to be pixelated
LINES = ("curves.png", "measures.png", "plane.png", "plane_to_a.png", "plane_to_b.png")
PROGRESS = 6  # pictures taken during training that the page shows at most


def write(folder: Path) -> Path:
    """Makes ``report.html`` in a run's folder, from whatever is there already: description, log, results,
    likelihood, figures.

    The curves are drawn anew from the log.

    Raises:
        UserError: this is no run's folder, a file in it is damaged, or the page cannot be written.
    """
    home = Folder(folder)
    run = _read(home.description, "train anew")
    if not run:
        home.run()  # the error for a folder that is not a run's
    run = formats.upgraded(run, home.description)
    results = _read(home.results, f"interalia evaluate {shlex.quote(str(folder))} writes it anew")
    likelihood = _read(home.likelihood, f"interalia likelihood {shlex.quote(str(folder))} writes it anew")
    log = read(home)
    _draw(home, run, log)
    with writing(home.report) as file:
        file.write(render(home, run, results, log, likelihood))
    return home.report


def _read(path: Path, remedy: str) -> Json:
    """The JSON object in a file, an empty one if there is no such file.

    Raises:
        UserError: the file cannot be read or is damaged.
    """
    try:
        return read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or cannot be read ({error}); {remedy}.") from None


def _draw(home: Folder, run: Json, log: Sequence[Json]) -> None:
    """Draws the curves of what the log holds, and with a sigmoid only where the run's divergence gives it a meaning."""
    keys = {key.partition("/")[0] for line in log for key in line}
    if "losses" in keys:
        plots.curves(log, home.figures / "curves.png", bool(words.facts_of(run)["log_odds"]))
    if "measures" in keys:
        plots.measures(log, home.figures / "measures.png")
    if "health" in keys:
        plots.strip(log, home.figures / "health.png")


def render(home: Folder, run: Json, results: Json, log: Sequence[Json], likelihood: Json) -> str:
    """The whole page, of what a run's folder holds."""
    title = str(run.get("name") or home.path.name)
    sentences = words.summary(run, results or None, log, likelihood)
    lines = commands(home, run)
    going_on = "".join(f"<dt><code>{escape(line)}</code></dt><dd>{escape(does)}</dd>" for line, does in lines)
    parts = [
        f"<header><p class=kind>interalia, report of a run</p><h1>{escape(title)}</h1>",
        _tiles(results, log, likelihood),
        "</header>",
        _section("In short", "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)),
        _section("Pictures", _pictures(home, run)),
        _measures(results),
        _likelihood(likelihood),
        _section("The training", _training(home, run)),
        _recipes(run),
        _section("Full description", _description(run, results)),
        _section("Going on", f"<dl class=commands>{going_on}</dl>"),
    ]
    page, style = (words.resource(name) for name in ("page.html", "style.css"))
    return Template(page).substitute(title=escape(title), style=style, body="\n".join(filter(None, parts)))


def _section(title: str, inside: str, **said: object) -> str:
    """A section of the page, after its words in ``texts.toml``, with `said` filled in; nothing where it shows nothing."""
    if not inside:
        return ""
    filled = {key: escape(str(value), quote=False) for key, value in said.items()}
    before = words.texts("sections").get(title)
    return f"<section><h2>{title}</h2>{f'<p>{before.format(**filled)}</p>' if before else ''}{inside}</section>"


def _tiles(results: Json, log: Sequence[Json], likelihood: Json) -> str:
    """The few numbers that are looked for first."""
    values = words.values_in(results)
    made = "translations" if "cycle_error" in values else "samples"
    tiles = []
    for name, metric in REGISTRY.items():
        if name in values and metric.tile is not None:
            form, about, baseline = metric.tile.form, metric.tile.about, metric.tile.baseline or ("", "")
            beside = f" ({baseline[1]}: {form.format(values[baseline[0]])})" if baseline[0] in values else ""
            tiles.append((form.format(values[name]), about.format(made=made) + beside))
    one = words.nearest(likelihood)
    if one is not None:
        tiles.append((f"{one['value']:.1f}", f"nats, log p(x) of a held-out example ({one['name']})"))
    seconds = words.newest(log).get("seconds") or (results.get("training") or {}).get("seconds")
    if seconds:
        tiles.append((words.duration(seconds), "of training"))
    listed = "".join(f"<li><b>{escape(value)}</b> {escape(about)}</li>" for value, about in tiles)
    return f"<ul class=tiles>{listed}</ul>" if listed else ""


def _figures(home: Folder, section: str, **said: str) -> str:
    """The figures of a section of the page that there are, with what is `said` filled into their words."""
    shown = ""
    for pattern, about in words.texts(section).items():
        for path in sorted(home.figures.glob(pattern), key=lambda path: (len(path.name), path.name)):
            title = about["title"].format(**said).replace("*", path.stem.partition("_")[2])
            caption = about["caption"].format(**said)
            shown += f"<figure><h3>{escape(title)}</h3>{_image(path, f'{title}. {caption}')}"
            shown += f"<figcaption>{escape(caption)}</figcaption></figure>"
    return shown


def _pictures(home: Folder, run: Json) -> str:
    shown, known = _figures(home, "pictures"), words.facts_of(run)["can"]
    if not shown:
        return "<p>There are none yet.</p>"
    lacking = known is not None and not {"Infers", "Translates"} & set(known)
    note = "<p>This game has no encoder, so there are no reconstructions or interpolations.</p>" if lacking else ""
    return note + shown


def _image(path: Path, alt: str, kind: str = "pixels") -> str:
    content = path.read_bytes()
    width = ""
    if path.name in LINES:
        kind = "lines"
        width = f' width="{round(int.from_bytes(content[16:20], "big") * 96 / plots.DPI)}"'  # where PNG keeps the width
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img class="{kind}"{width} alt="{escape(alt)}" src="{source}">'


def _measures(results: Json) -> str:
    rows = []
    for one in words.measures_in(results):
        value = f"{as_number(one.get('value'))} {one.get('unit') or ''}".strip()
        said = (one.get("better") or "neither", one.get("about") or "", one.get("protocol") or "")
        rows.append((one["name"].replace("_", " "), value, *said))
    heads = ("measure", "value", "better", "what it means", "protocol")
    return _section("Measures", _table(heads, rows, " class=measures"))


def _table(heads: Sequence[str], rows: Iterable[Iterable[Any]], kind: str = "") -> str:
    """A table, of headings and of values, the first of a row its heading; nothing where it has no rows."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = ""
    for first, *rest in rows:
        cells = (f"<td{COLUMNS.get(head, '')}>{_value(one)}</td>" for head, one in zip(heads[1:], rest, strict=True))
        body += f'<tr><th scope="row">{_value(first)}</th>{"".join(cells)}</tr>'
    return body and f"<div class=wide><table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _likelihood(likelihood: Json) -> str:
    """The table of the estimates of log p(x)."""
    images = likelihood.get("images")
    of = f"{images['measured']:,} of {images['split']:,} examples of" if images else "examples of"
    split, binarization = likelihood.get("split", "held-out"), likelihood.get("binarization", "none")
    rows = [(*words.cells(one), one.get("protocol") or "") for one in words.estimates_in(likelihood)]
    table = _table(("estimate", NATS, "acceptance", GAP, "protocol"), rows)
    return _section("Likelihood", table, of=of, split=split, binarization=binarization)


def _training(home: Folder, run: Json) -> str:
    """The curves and how to read them, the other figures of a training, and pictures taken on the way."""
    from interalia.metrics.verdicts import COUNTS, SIGNS

    about = words.facts_of(run)
    alone = not about["critic"] and about["can"] is not None
    kind = "alone" if alone else "against" if about["judged"] else "own"
    title = "The loss" if alone else "Losses and scores"
    reading = str(about["reading"] or words.texts("reading")[kind].format(judged=about["judged"]))
    signs = [f"{name.replace('_', ' ')} is the {sign}" for name, sign in SIGNS.items() if name not in COUNTS]
    drawn = _figures(home, "training", title=title, reading=reading, signs="; ".join(signs))
    made = "Translations" if words.can(run, "Translates") else "Samples"
    taken = sorted((home.figures / "progress").glob("step-*.png"))
    if len(taken) > PROGRESS:
        taken = [taken[round(i * (len(taken) - 1) / (PROGRESS - 1))] for i in range(PROGRESS)]
    small = ""
    for path in taken:
        step = "step " + (path.stem.removeprefix("step-").lstrip("0") or "0")
        small += f"<figure>{_image(path, f'{made} at {step}', 'small')}<figcaption>{escape(step)}</figcaption></figure>"
    return drawn + (small and f"<h3>{made} during the training</h3><div class=progress>{small}</div>")


def _description(run: Json, results: Json) -> str:
    made = {key: results[key] for key in ("commit", "machine", "date", "step", "split") if results.get(key) is not None}
    described = {key: value for key, value in run.items() if key != ABOUT_GAME}
    groups = {"The run": described, "The data": results.get("data"), "Evaluation": made}
    groups |= {title: results.get(title.lower()) for title in ("Protocol", "Seeds", "Versions")}
    blocks = ""
    for title, values in groups.items():
        if isinstance(values, Mapping) and values:
            rows = "".join(f"<dt>{escape(str(k))}</dt><dd>{_value(v)}</dd>" for k, v in values.items())
            blocks += f"<div><h3>{title}</h3><dl>{rows}</dl></div>"
    return f"<div class=description>{blocks}</div>"


def _recipes(run: Json) -> str:
    """The settings in which this run, the tuned recipe of its game and data and the published one are not all alike."""
    names = recipes.tuned_and_published(run)
    if names is None:
        return ""
    tuned, published = names
    columns = [run, *(dataclasses.asdict(recipes.REGISTRY[name]()) for name in names)]
    rows = [("length", *map(_length, columns))]
    fields = (key for key in Run.__dataclass_fields__ if key not in (*RESUMABLE_CHANGES, *INCIDENTAL))
    rows += [(key, *(column.get(key) for column in columns)) for key in fields]
    differing = [row for row in rows if any(value != row[1] for value in row[1:])]
    report = "the reproduction report's, as the paper has no such data"
    source = "the paper's" if published.endswith("-paper") else report
    table = _table(("", "this run", *names), differing)
    return _section("ChannelConcatCritic the published recipe", table, tuned=tuned, published=published, source=source)


def _length(run: Json) -> str | None:
    """In epochs where it was asked for so."""
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
