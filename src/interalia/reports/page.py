"""The page itself: one file of HTML with its pictures and its style inside."""

from __future__ import annotations

import base64
import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from interalia import recipes
from interalia.folder import Folder
from interalia.plots import DPI
from interalia.reports.words import (
    JUDGED,
    WITH_LIKELIHOOD,
    WITHOUT_CRITIC,
    as_number,
    duration,
    infers,
    measures_in,
    nearest,
    newest,
    part_of,
    translates,
    values_in,
    words,
)
from interalia.runs import FREE, OWN, Run

# drawn, at plots' DPI, and not to be pixelated
LINES = ("curves.png", "measures.png", "plane.png", "plane_to_a.png", "plane_to_b.png")
# of a run's fields those that make no recipe, beside FREE ones
INCIDENTAL = ("generator", "precision", "seed", "best")
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
        *(f"<p>{escape(sentence)}</p>" for sentence in words(run, results, log, likelihood)),
        "</section>",
        _pictures(home, run),
        _table(results),
        _likelihood(likelihood),
        _training(home, run),
        _recipes(run),
        _description(run, results),
        _commands(home, run),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n"
        f"</html>\n"
    )


def _tiles(
    results: Mapping[str, Any] | None, log: Sequence[Mapping[str, Any]], likelihood: Mapping[str, Any] | None
) -> str:
    """The few numbers that are looked for first."""
    value = values_in(results)
    shown = [
        ("reconstruction_ratio", "reconstruction error, of its shuffled baseline", "{:.2f}"),
        ("nearest_neighbour_hidden", "right labels by nearest neighbour, encoder's features", "{:.1%}"),
        ("code_error", "wrong labels by the first code's categories", "{:.1%}"),
        ("cycle_error", "error of the way there and back, a number", "{:.3f}"),
        ("translation_accuracy_b", "translations to b read as what they are", "{:.1%}"),
        ("translation_accuracy_a", "translations to a read as what they are", "{:.1%}"),
        (
            "frechet_distance",
            f"Frechet distance of the {'translations' if 'cycle_error' in value else 'samples'}",
            "{:.3g}",
        ),
        ("modes", "modes reached", "{:.0f}"),
        ("high_quality", "samples close to a mode", "{:.1%}"),
    ]
    baselines = {  # a number that says little without the other beside it
        "nearest_neighbour_hidden": ("nearest_neighbour_untrained", "untrained encoder"),
        "frechet_distance": ("frechet_floor", "real data"),
    }
    tiles = []
    for name, about, form in shown:
        if name in value:
            other, whose = baselines.get(name, ("", ""))
            beside = f" ({whose}: {form.format(value[other])})" if other in value else ""
            tiles.append((form.format(value[name]), about + beside))
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


FIGURES = [
    (
        "samples.png",
        "Samples",
        "Made from latents z drawn at random from the prior, without a look at any data. Look for: are they of the "
        "data's kind, sharp, and all different? Many alike mean that the generator has collapsed onto a few.",
    ),
    (
        "plane.png",
        "The plane",
        "Each point is one example. Samples should lie on the data: a clump of data without samples is a missed mode, "
        "samples between the clumps are of no mode. Inferred latents, where there are any, should look like draws of "
        "the prior.",
    ),
    (
        "manifold.png",
        "The plane of z",
        "What the decoder makes of a grid over the whole plane of z, evenly spaced in the prior's probability: each image "
        "stands for an equal share of the samples. Look for: do neighbours differ little, and is all of the data there?",
    ),
    (
        "to_b.png",
        "From a to b",
        "Held-out images of domain a; below each its translation; below that the way back; and last the truth, where it is "
        "known. Look for: does the second row look like domain b, does it keep what the first row shows, and is the third "
        "row the first again? A third row that is right under a second that is wrong means that the map hides the image in "
        "traces that nobody sees, or has settled on another correspondence.",
    ),
    (
        "to_a.png",
        "From b to a",
        "The same the other way: held-out images of domain b, their translations, the way back, and the truth where it is "
        "known.",
    ),
    (
        "plane_to_b.png",
        "From a to b",
        "Each point is one example. Translations of domain a should lie where domain b does.",
    ),
    (
        "plane_to_a.png",
        "From b to a",
        "Each point is one example. Translations of domain b should lie where domain a does.",
    ),
    (
        "reconstructions.png",
        "Reconstructions",
        "Held-out originals above, and right below each what the decoder makes of the z that the encoder inferred from "
        "it. Look for: does the lower image keep what the upper one is (its class, pose, colours)? Adversarially "
        "learned inference tends to keep the meaning rather than the pixels.",
    ),
    (
        "reconstructions_lower.png",
        "Reconstructions from the lower level",
        "The same by way of the latents next to the image, which keep more of its detail than z.",
    ),
    (
        "edits.png",
        "Edits",
        "Each row is one held-out original (framed in green), decoded from its own z under other labels: one "
        "column for each "
        "label, or with one attribute after the other turned over. Look for: does the row keep its style while the label "
        "changes?",
    ),
    (
        "interpolations.png",
        "Interpolations, linear",
        "Each row leads from one held-out original to another (both framed in green). Between them are decoded points "
        "on the straight line between their latents. Look for: a gradual change through images that could be real, not "
        "one image fading into another.",
    ),
    (
        "interpolations_spherical.png",
        "Interpolations, spherical",
        "The same pairs along an arc, which keeps to the distances from the origin where a Gaussian prior of many "
        "dimensions has its mass.",
    ),
]


TRAVERSAL = (
    "In each row the rest of z is fixed and this code alone varies: from left to right each category in turn, or a number "
    "from -2 to 2 (in training, one that is uniform stays within -1 and 1). Look for: does one thing change "
    "along the rows, "
    "and the same in all of them?"
)


def _pictures(home: Folder, run: Mapping[str, Any]) -> str:
    figures = [_figure(home.figures / name, title, caption) for name, title, caption in FIGURES]
    figures += [
        _figure(path, f"Code {path.stem.removeprefix('traversal_')}", TRAVERSAL)
        for path in sorted(home.figures.glob("traversal_*.png"), key=lambda path: (len(path.name), path.name))
    ]
    shown = [figure for figure in figures if figure]
    if not shown:
        return "<section><h2>Pictures</h2><p>There are none yet.</p></section>"
    note = "<p>This game has no encoder, so there are no reconstructions or interpolations.</p>"
    if infers(run) or translates(run):
        note = ""
    return f"<section><h2>Pictures</h2>{note}{''.join(shown)}</section>"


def _figure(path: Path, title: str, caption: str) -> str:
    if not path.is_file():
        return ""
    return (
        f"<figure><h3>{escape(title)}</h3>{_image(path, f'{title}. {caption}')}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _image(path: Path, alt: str, kind: str = "pixels") -> str:
    content = path.read_bytes()
    width = ""
    if path.name in LINES:
        kind = "lines"
        width = f' width="{round(int.from_bytes(content[16:20], "big") * 96 / DPI)}"'  # where PNG keeps the width
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img class="{kind}"{width} alt="{escape(alt)}" src="{source}">'


def _table(results: Mapping[str, Any] | None) -> str:
    measures = measures_in(results)
    if not measures:
        return ""
    rows = []
    for measure in measures:
        number = as_number(measure.get("value"))
        unit = f" {measure['unit']}" if measure.get("unit") else ""
        cells = [
            f'<th scope="row">{escape(measure["name"].replace("_", " "))}</th>',
            f"<td class=number>{escape(number + unit)}</td>",
            f"<td>{escape(measure.get('better') or 'neither')}</td>",
            f"<td>{escape(str(measure.get('about') or ''))}</td>",
            f"<td class=fine>{escape(str(measure.get('protocol') or ''))}</td>",
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f'<th scope="col">{h}</th>' for h in ("measure", "value", "better", "what it means", "protocol"))
    return (
        "<section><h2>Measures</h2><p>Numbers can be compared with others only where the protocol is the same. Where "
        "neither way is better, the number is a baseline or a floor to hold others against.</p>"
        f"<div class=wide><table class=measures><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        "</div></section>"
    )


def _likelihood(likelihood: Mapping[str, Any] | None) -> str:
    """The table of the estimates of log p(x)."""
    estimates = [one for one in (likelihood or {}).get("estimates") or () if isinstance(one, dict)]
    if likelihood is None or not estimates:
        return ""
    rows = []
    for one in estimates:
        check = one.get("check") or {}
        cells = [
            f'<th scope="row">{escape(one["name"])}</th>',
            f"<td class=number>{escape(_within(one.get('value'), one.get('error'), 2))}</td>",
            f"<td class=number>{escape(_within(one.get('acceptance'), None, 2))}</td>",
            f"<td class=number>{escape(_within(check.get('gap'), check.get('error'), 3))}</td>",
            f"<td class=fine>{escape(str(one.get('protocol') or ''))}</td>",
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    titles = ("estimate", "nats ± standard error", "acceptance", "gap of the check", "protocol")
    heads = "".join(f'<th scope="col">{title}</th>' for title in titles)
    images = likelihood.get("images") or {}
    of = f"{images['measured']:,} of {images['split']:,} examples of" if images else "examples of"
    return (
        f"<section><h2>Likelihood</h2><p>log p(x), {of} the {escape(str(likelihood.get('split', 'held-out')))} split "
        f"(binarisation: {escape(str(likelihood.get('binarisation', 'none')))}); higher is better. All but kde "
        "are bounds from "
        "below in expectation, annealed importance sampling (ais) the nearest; the gap of its bidirectional "
        "check says, on "
        f"samples of the model, how near.</p>"
        f"<div class=wide><table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _within(value: Any, error: Any, digits: int) -> str:
    """A number with its standard error, where there are any."""
    if not isinstance(value, int | float):
        return ""
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if isinstance(error, int | float) else "")


def _training(home: Folder, run: Mapping[str, Any]) -> str:
    from interalia.metrics.verdicts import SIGNS

    joints = JUDGED.get(part_of(run, "game"), "pairs (data, inferred z) and pairs (sample, random z)")
    made = "Translations" if translates(run) else "Samples"
    if part_of(run, "game") in WITHOUT_CRITIC:
        title = "The loss"
        reading = (
            "How to read it: there is no critic, so the loss falls as the model gets better, and where it has stopped "
        )
        reading += "falling more training brings little. "
        if part_of(run, "game") == "vae":
            reading += "It is minus the lower bound of log p(x) on training data, in nats."
    elif part_of(run, "game") == OWN:
        title = "Losses and scores"
        reading = (
            "Each player's loss, and the critic's mean scores where there is one; what they mean is the game's own."
        )
    else:
        title = "Losses and scores"
        reading = (
            f"How to read them: the losses pull against each other, so none is meant to go to zero, and a low loss of the "
            f"generator does not mean good samples. What counts is balance: the critic's scores on {joints} "
            "should stay near "
            "each other. Scores that drift far apart mean that the critic has won and teaches little; where the "
            "lines meet, "
            f"it cannot tell them apart."
        )
        if part_of(run, "game") == "avb":
            reading = (
                "How to read them: the autoencoder's loss is minus the bound of log p(x) on training data, in "
                "nats, as far as "
                "the critic tells it; it should fall. The critic's scores on pairs (data, inferred z) lie above "
                "those on pairs "
                "(data, random z) by what z tells of the data, and are meant to: they meet only where z tells "
                "nothing, or, with adaptive contrast, where q(z | x) is Gaussian."
            )
    curves = _figure(home.figures / "curves.png", title, reading)
    measures = _figure(
        home.figures / "measures.png",
        "Measures on validation data",
        "Taken quickly, from few samples, during the training: for the trend and for the choice of the best "
        "checkpoint, not for comparison with the table. Unlike the losses, these say whether the model gets better.",
    )
    health = _figure(
        home.figures / "health.png",
        "Signs of health",
        "Taken at each evaluation from a few hundred held-out examples; the shaded side of a broken line is ill: "
        + "; ".join(f"{name.replace('_', ' ')} is the {about}" for name, about in SIGNS.items())
        + ".",
    )
    taken = sorted((home.figures / "progress").glob("step-*.png"))
    if len(taken) > PROGRESS:
        taken = [taken[round(i * (len(taken) - 1) / (PROGRESS - 1))] for i in range(PROGRESS)]
    steps = [(path, path.stem.removeprefix("step-").lstrip("0") or "0") for path in taken]
    small = "".join(
        f"<figure>{_image(path, f'{made} at step {step}', 'small')}"
        f"<figcaption>step {escape(step)}</figcaption></figure>"
        for path, step in steps
    )
    progress = f"<h3>{made} during the training</h3><div class=progress>{small}</div>" if small else ""
    if not (curves or measures or health or progress):
        return ""
    return f"<section><h2>The training</h2>{curves}{measures}{health}{progress}</section>"


def _description(run: Mapping[str, Any], results: Mapping[str, Any] | None) -> str:
    results = results or {}
    made = {key: results[key] for key in ("commit", "machine", "date", "step", "split") if results.get(key) is not None}
    groups = [("The run", run), ("The data", results.get("data")), ("Evaluation", made)]
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
    columns = [run, *(dataclasses.asdict(recipes.CATALOGUE[name]()) for name in names)]
    lines = []
    for key in ("length", *(key for key in Run.__dataclass_fields__ if key not in (*FREE, *INCIDENTAL))):
        values = [_length(column) if key == "length" else column.get(key) for column in columns]
        if any(value != values[0] for value in values):
            cells = "".join(f"<td>{_value(value)}</td>" for value in values)
            lines.append(f"<tr><th>{escape(key)}</th>{cells}</tr>")
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("", "this run", *names))
    source = (
        "the paper's" if names[1].endswith("-paper") else "the reproduction report's, as the paper has no such data"
    )
    return (
        "<section><h2>Beside the published recipe</h2>"
        f"<p>Where this run differs from <code>{names[0]}</code>, which is tuned, or from <code>{names[1]}</code>, which is "
        f"{source}. Each trains by its name: <code>interalia train {names[1]}</code>.</p>"
        f"<div class=wide><table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></section>"
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


def _commands(home: Folder, run: Mapping[str, Any]) -> str:
    name = shlex.quote(str(home.path))
    lines = [*_going_on(home, run, name), (f"interalia report {name}", "make this page anew")]
    rows = "".join(f"<dt><code>{escape(line)}</code></dt><dd>{escape(about)}</dd>" for line, about in lines)
    return f"<section><h2>Going on</h2><dl class=commands>{rows}</dl></section>"


def _going_on(home: Folder, run: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """What can be done with the run, and what it does."""
    steps = run.get("steps")
    more = 2 * steps if steps else 10000
    brought = "".join(
        f", {key}=..." for key, part in (("game", "game"), ("dataset", "data")) if part_of(run, part) == OWN
    )
    lines = [(f"interalia train --resume {name} --steps {more}", "train on from where it stopped")]
    if brought:
        path = repr(str(home.path))
        lines = [
            (
                f"trained = interalia.load({path}{brought})",
                "take it back in Python, where that is given again which it was trained with",
            ),
            (
                f"interalia.train(trained.run.replace(steps={more}), {path}, resume=True{brought})",
                "train on from where it stopped",
            ),
            ("interalia.results.evaluate(trained)", "take the measures"),
        ]
    if part_of(run, "game") == OWN:
        return lines
    if translates(run):
        lines += [
            (f"interalia translate {name} IMAGES --to b", "translate images of your own from a to b, or held-out ones"),
            (f"interalia translate {name} IMAGES --to a", "the other way"),
        ]
    else:
        lines.append((f"interalia generate {name} --count 64", "draw new samples"))
    if infers(run):
        lines += [
            (f"interalia reconstruct {name} IMAGES", "reconstruct images of your own, or without them held-out ones"),
            (f"interalia encode {name} IMAGES --out z.npz", "the latents of images of your own"),
        ]
    if brought:  # what else there is looks at held-out data
        return lines
    if part_of(run, "game") in WITH_LIKELIHOOD:
        lines.append((f"interalia likelihood {name} --count 100", "estimate log p(x) of held-out examples"))
    if infers(run):
        lines.append((f"interalia interpolate {name} --pairs 8 --steps 9", "go from one held-out example to another"))
    if part_of(run, "game") == "infogan":
        lines.append((f"interalia traverse {name}", "vary one code at a time"))
    lines.append((f"interalia evaluate {name}", "take the measures"))
    return lines


STYLE = """
:root { --paper: #fff; --ink: #1c1e21; --soft: #5a6068; --line: #dcdfe3; --card: #f5f6f8; --mark: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181b; --ink: #e6e8ea; --soft: #a2a9b1; --line: #363a40; --card: #202327; --mark: #56b4e9; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { max-width: 46rem; margin: 0 0 .7rem; }
.kind { color: var(--soft); margin: 0; font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; padding: 0;
  margin: 0; }
.tiles li { list-style: none; background: var(--card); border-radius: 8px; padding: .8rem 1rem; font-size: .85rem;
  line-height: 1.35; color: var(--soft); }
.tiles b { display: block; font-size: 1.5rem; color: var(--ink); line-height: 1.3; }
figure { margin: 0 0 2rem; }
figure h3 { margin-top: 1.25rem; }
img { max-width: 100%; height: auto; display: block; border-radius: 6px; }
.pixels { image-rendering: pixelated; }
.lines { background: #fff; border: 1px solid var(--line); }
.small { width: 100%; }
figcaption { color: var(--soft); font-size: .92rem; max-width: 46rem; margin-top: .6rem; }
.progress { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
.progress figure { margin: 0; }
.progress figcaption { margin-top: .3rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; line-height: 1.4; }
th, td { text-align: left; vertical-align: top; padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; white-space: nowrap; }
tbody th { font-weight: 600; min-width: 8rem; }
.measures td:nth-child(4) { min-width: 13rem; }
.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.fine { color: var(--soft); font-size: .8rem; min-width: 13rem; }
.description { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: 0 2rem;
  align-items: start; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; font-size: .88rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
dl.commands { grid-template-columns: 1fr; gap: 0; }
.commands dt { background: var(--card); border-radius: 6px; padding: .5rem .8rem; color: var(--ink); overflow-x: auto; }
.commands dd { color: var(--soft); margin: .2rem 0 .9rem .8rem; }
code { font: .85rem/1.4 ui-monospace, monospace; }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --card: #f2f2f2; }
  main { max-width: none; padding: 0; }
  body { font-size: 11pt; }
  figure, tr, .tiles li, .commands dt { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .wide { overflow: visible; }
}
"""
