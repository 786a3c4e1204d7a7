"""The page itself: one file of HTML with its pictures and its style inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from interalia.metrics import REGISTRY
from interalia.metrics.entries import as_number
from interalia.reports.commands import commands
from interalia.reports.figures import figure, figures, image, pictures, words
from interalia.reports.words import can, cells, duration, facts_of, measures_in, nearest, newest, summary, values_in
from interalia.runs import FREE, Run, recipes
from interalia.runs.folder import ABOUT_GAME, Folder

# of a run's fields those that make no recipe, beside FREE ones
INCIDENTAL = ("generator", "precision", "seed", "best")
NATS, GAP = "nats ± standard error", "gap of the check"
# of the columns of tables that are not plain text
COLUMNS = {**dict.fromkeys(("value", NATS, "acceptance", GAP), " class=number"), "protocol": " class=fine"}
PROGRESS = 6  # pictures taken during training that the page shows at most


def render(
    home: Folder,
    run: Mapping[str, Any],
    results: Mapping[str, Any] | None,
    log: Sequence[Mapping[str, Any]],
    likelihood: Mapping[str, Any] | None,
) -> str:
    """The whole page, of what a run's folder holds."""
    title = str(run.get("name") or home.path.name)
    parts = [
        f"<header><p class=kind>interalia, report of a run</p><h1>{escape(title)}</h1>",
        _tiles(results, log, likelihood),
        "</header>",
        "<section><h2>In short</h2>",
        *(f"<p>{escape(sentence)}</p>" for sentence in summary(run, results, log, likelihood)),
        "</section>",
        pictures(home, run),
        _table(results),
        _likelihood(likelihood),
        _training(home, run),
        _recipes(run),
        _description(run, results),
        commands(home, run),
    ]
    room = resources.files("interalia.reports")
    page, style = (room.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "style.css"))
    return Template(page).substitute(title=escape(title), style=style, body="\n".join(part for part in parts if part))


def _tiles(
    results: Mapping[str, Any] | None, log: Sequence[Mapping[str, Any]], likelihood: Mapping[str, Any] | None
) -> str:
    """The few numbers that are looked for first."""
    values = values_in(results)
    made = "translations" if "cycle_error" in values else "samples"
    tiles = []
    for name, metric in REGISTRY.items():
        if name in values and metric.tile is not None:
            form, about, baseline = metric.tile.form, metric.tile.about, metric.tile.baseline or ("", "")
            beside = f" ({baseline[1]}: {form.format(values[baseline[0]])})" if baseline[0] in values else ""
            tiles.append((form.format(values[name]), about.format(made=made) + beside))
    one = nearest(likelihood)
    if one is not None:
        tiles.append((f"{one['value']:.1f}", f"nats, log p(x) of a held-out example ({one['name']})"))
    last = newest(log)
    seconds = last.get("seconds") or ((results or {}).get("training") or {}).get("seconds")
    if seconds:
        tiles.append((duration(seconds), "of training"))
    if not tiles:
        return ""
    return "<ul class=tiles>" + "".join(f"<li><b>{escape(a)}</b> {escape(b)}</li>" for a, b in tiles) + "</ul>"


def _table(results: Mapping[str, Any] | None) -> str:
    measures = measures_in(results)
    if not measures:
        return ""
    rows = [
        (
            measure["name"].replace("_", " "),
            f"{as_number(measure.get('value'))} {measure.get('unit') or ''}".strip(),
            measure.get("better") or "neither",
            str(measure.get("about") or ""),
            str(measure.get("protocol") or ""),
        )
        for measure in measures
    ]
    heads = ("measure", "value", "better", "what it means", "protocol")
    return (
        "<section><h2>Measures</h2><p>Numbers can be compared with others only where the protocol is the same. Where "
        "neither way is better, the number is a baseline or a floor to hold others against.</p>"
        f"{_wide(heads, [map(escape, row) for row in rows], ' class=measures')}</section>"
    )


def _wide(heads: Sequence[str], rows: Iterable[Iterable[str]], kind: str = "") -> str:
    """A table, of headings and of cells in HTML, the first of a row its heading."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = ""
    for first, *rest in rows:
        named = zip(heads[1:], rest, strict=True)
        body += f'<tr><th scope="row">{first}</th>'
        body += "".join(f"<td{COLUMNS.get(head, '')}>{cell}</td>" for head, cell in named) + "</tr>"
    return f"<div class=wide><table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _likelihood(likelihood: Mapping[str, Any] | None) -> str:
    """The table of the estimates of log p(x)."""
    estimates = [one for one in (likelihood or {}).get("estimates") or () if isinstance(one, dict)]
    if likelihood is None or not estimates:
        return ""
    rows = [map(escape, (*cells(one), str(one.get("protocol") or ""))) for one in estimates]
    table = _wide(("estimate", NATS, "acceptance", GAP, "protocol"), rows)
    images = likelihood.get("images") or {}
    of = f"{images['measured']:,} of {images['split']:,} examples of" if images else "examples of"
    return (
        f"<section><h2>Likelihood</h2><p>log p(x), {of} the {escape(str(likelihood.get('split', 'held-out')))} split "
        f"(binarisation: {escape(str(likelihood.get('binarisation', 'none')))}); higher is better. All but kde are bounds "
        "from below in expectation, annealed importance sampling (ais) the nearest; the gap of its bidirectional check "
        f"says, on samples of the model, how near.</p>{table}</section>"
    )


def _reading(run: Mapping[str, Any]) -> tuple[str, str]:
    """What the curves are called, and how to read them."""
    about = facts_of(run)
    alone = not about["critic"] and about["can"] is not None
    kind = "alone" if alone else "against" if about["judged"] else "own"
    reading = str(about["reading"] or words("reading")[kind].replace("{judged}", str(about["judged"])))
    return "The loss" if alone else "Losses and scores", reading


def _training(home: Folder, run: Mapping[str, Any]) -> str:
    from interalia.metrics.verdicts import COUNTS, SIGNS

    made = "Translations" if can(run, "Translates") else "Samples"
    title, reading = _reading(run)
    curves = figure(home.figures / "curves.png", title, reading)
    signs = "; ".join(f"{name.replace('_', ' ')} is the {about}" for name, about in SIGNS.items() if name not in COUNTS)
    others = "".join(figures(home, "training", signs))
    taken = sorted((home.figures / "progress").glob("step-*.png"))
    if len(taken) > PROGRESS:
        taken = [taken[round(i * (len(taken) - 1) / (PROGRESS - 1))] for i in range(PROGRESS)]
    steps = [(path, path.stem.removeprefix("step-").lstrip("0") or "0") for path in taken]
    small = "".join(
        f"<figure>{image(path, f'{made} at step {step}', 'small')}<figcaption>step {escape(step)}</figcaption></figure>"
        for path, step in steps
    )
    progress = f"<h3>{made} during the training</h3><div class=progress>{small}</div>" if small else ""
    if not (curves or others or progress):
        return ""
    return f"<section><h2>The training</h2>{curves}{others}{progress}</section>"


def _description(run: Mapping[str, Any], results: Mapping[str, Any] | None) -> str:
    results = results or {}
    made = {key: results[key] for key in ("commit", "machine", "date", "step", "split") if results.get(key) is not None}
    described = {key: value for key, value in run.items() if key != ABOUT_GAME}
    groups = [("The run", described), ("The data", results.get("data")), ("Evaluation", made)]
    groups += [(title, results.get(title.lower())) for title in ("Protocol", "Seeds", "Versions")]
    blocks = []
    for title, values in groups:
        if isinstance(values, Mapping) and values:
            rows = "".join(f"<dt>{escape(str(k))}</dt><dd>{_value(v)}</dd>" for k, v in values.items())
            blocks.append(f"<div><h3>{title}</h3><dl>{rows}</dl></div>")
    return f"<section><h2>Full description</h2><div class=description>{''.join(blocks)}</div></section>"


def _recipes(run: Mapping[str, Any]) -> str:
    """The settings in which this run, the tuned recipe of its game and data and the published one are not all alike."""
    names = recipes.beside(run)
    if names is None:
        return ""
    columns = [run, *(dataclasses.asdict(recipes.REGISTRY[name]()) for name in names)]
    lines = []
    for key in ("length", *(key for key in Run.__dataclass_fields__ if key not in (*FREE, *INCIDENTAL))):
        values = [_length(column) if key == "length" else column.get(key) for column in columns]
        if any(value != values[0] for value in values):
            lines.append([escape(key), *map(_value, values)])
    source = (
        "the paper's" if names[1].endswith("-paper") else "the reproduction report's, as the paper has no such data"
    )
    return (
        "<section><h2>Beside the published recipe</h2>"
        f"<p>Where this run differs from <code>{names[0]}</code>, which is tuned, or from <code>{names[1]}</code>, which is "
        f"{source}. Each trains by its name: <code>interalia train {names[1]}</code>.</p>"
        f"{_wide(('', 'this run', *names), lines)}</section>"
    )


def _length(run: Mapping[str, Any]) -> str | None:
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
