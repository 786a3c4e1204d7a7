"""A run's folder -> one page that says what was run, on what, how long, and how good it is.

The page is a single file: pictures and style are inside it, it asks nothing of the network and runs no script.
"""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from interalia.errors import UserError
from interalia.plots import DPI
from interalia.runs import Folder, writing

GAMES = {  # in words; any other game goes by its own name
    "aae": "AAE (an adversarial autoencoder)",
    "ali": "ALI (adversarially learned inference)",
    "alice": "ALICE (adversarially learned inference with conditional entropy)",
    "alice-adversarial": "ALICE (adversarially learned inference with a critic of round trips)",
    "hali": "HALI (hierarchical adversarially learned inference)",
    "joint-latent-regressor": "a GAN with a joint latent regressor",
    "latent-regressor": "a latent regressor (an encoder for a generator trained before)",
    "posthoc-ali": "ALI after the fact (an encoder for a generator trained before)",
    "semi-aae": "a semi-supervised AAE (an adversarial autoencoder that is shown some labels)",
    "semi-ali": "semi-supervised ALI (adversarially learned inference whose critic knows the classes)",
    "vae": "VAE (a variational autoencoder)",
    "vae-gan": "VAE/GAN (a variational autoencoder with a GAN's critic)",
    "cyclegan": "CycleGAN (translation between two domains without pairs)",
    "gan": "GAN (a generative adversarial network)",
    "infogan": "InfoGAN (a GAN whose samples tell the codes that they were made from)",
}
WITHOUT_ENCODER = ("gan", "infogan", "cyclegan")
TRANSLATING = ("cyclegan",)
# the divergences under which a critic's score is a log-odds
WITH_LOG_ODDS = ("gan", "jensen-shannon", "reverse-kl", "alpha")
# drawn, at plots' DPI, and not to be pixelated
LINES = ("curves.png", "measures.png", "plane.png", "plane_to_a.png", "plane_to_b.png")
PROGRESS = 6  # pictures taken during training that the page shows at most


def write(folder: Path) -> Path:
    """Makes ``report.html`` in a run's folder, from whatever is there already: description, log, results, figures.

    The curves are drawn anew from the log.

    Raises:
        UserError: this is no run's folder, a file in it is damaged, or the page cannot be written.
    """
    home = Folder(folder)
    run = _read(home.description, "train anew")
    if run is None:
        home.run()  # the error for a folder that is not a run's
        raise AssertionError("a run without a description")
    results = _read(home.results, f"interalia evaluate {shlex.quote(str(folder))} writes it anew")
    log = _log(home.log)
    _draw(home, run, log)
    with writing(home.report) as file:
        file.write(_page(home, run, results, log))
    return home.report


# words


def words(
    run: Mapping[str, Any], results: Mapping[str, Any] | None, log: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """What was run, on what, how long, and how good it is, in plain sentences.

    Arguments:
        run: what is in ``run.json``.
        results: what is in ``results.json``, or None before the first evaluation.
        log: the lines of ``log.jsonl``, which tell how far a run has come that was not evaluated yet.

    Example:
        >>> words({"game": "ali", "data": "digits", "steps": 3000, "batch": 128}, None)[0]
        "This run is to train ALI (adversarially learned inference) on 'digits' for 3,000 steps of 128 examples each."
    """
    return [*_done(run, results or {}, log), *_taught(run), *_found(run, results, log)]


def _done(run: Mapping[str, Any], results: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    data, training = results.get("data") or {}, results.get("training") or {}
    shape = data.get("shape") or []
    what = f"'{run.get('data', data.get('name', 'unknown data'))}'"
    if run.get("target"):
        what += f" and '{run['target']}'"
    if data.get("train") and len(shape) == 3:
        what = f"{_count(data['train'], 'image')} of {what} ({_pixels(shape)})"
    elif data.get("train") and shape:
        what = f"{_count(data['train'], 'point')} of {what} ({_count(shape[0], 'dimension')})"
    noun = {0: "example", 1: "point", 3: "image"}.get(len(shape), "example")
    last = _last(log)
    planned = run.get("steps")
    batch = f" of {_count(run['batch'], noun)} each" if run.get("batch") else ""
    step = max(training.get("steps") or 0, results.get("step") or 0, last.get("step", 0))
    if step == 0:
        length = f" for {_count(planned, 'step')}{batch}" if planned else ""
        yield f"This run is to train {_game(run)} on {what}{length}."
        return
    sentence = f"Trained {_game(run)} on {what} for {_count(step, 'step')}{batch}"
    if last.get("epoch") and last["step"] == step:
        sentence += f" ({last['epoch']:,.3g} passes over the data)" if last["epoch"] < 1000 else ""
    seconds = last.get("seconds") if last.get("step", 0) >= step else training.get("seconds")
    if seconds:
        sentence += f" in {_duration(seconds)}"
    if results.get("machine"):
        sentence += f" on {results['machine']}"
    if training.get("images_per_second"):
        sentence += f", at {training['images_per_second']:,.0f} {noun}s a second"
    yield sentence + "."
    ends = (line for line in reversed(log) if line["step"] == last["step"])  # a run that went on has other lines since
    stopped = next((line["stopped"] for line in ends if "stopped" in line), None)
    verdict = next((line["verdict"] for line in reversed(log) if "verdict" in line), None)
    if verdict:
        yield f"Its health at the last evaluation: {verdict}"
    if stopped:
        yield str(stopped)
    elif planned and step < planned:
        yield f"It has not reached its planned end, step {planned:,}."
    if data.get("about"):
        yield str(data["about"])


def _taught(run: Mapping[str, Any]) -> Iterator[str]:
    """What the game does, for people who meet it for the first time."""
    latent = f"a latent code z of {_count(run['latent'], 'number')}" if run.get("latent") else "a latent code z"
    if _part(run, "game") == "infogan":
        yield (
            f"Two networks learn against each other: a generator that makes data from {latent}, some of them codes (a "
            f"category, a number in a range) and the rest noise, and a critic that tries to tell what it makes from real "
            f"data and also says which codes a sample was made from. Both are rewarded when the codes can be told, so that "
            f"each code comes to stand for something that can be seen. Nobody tells them what; there are no labels in the "
            f"training."
        )
    elif _translates(run):
        yield (
            "Four networks learn together: a map from images of domain a to images of domain b, a map the other way, and for "
            "each domain a critic that tries to tell what is translated into it from what belongs there. Which image "
            "belongs to which is never shown: all that holds a translation to its original is the charge for what is lost "
            "on the way there and back. That leaves open which of the ways that lose nothing is found."
        )
    elif not _infers(run):
        yield (
            f"Two networks learn against each other: a generator that makes data from {latent} drawn at random, and "
            f"a critic that tries to tell what it makes from real data. There is no encoder, so nothing is "
            f"reconstructed."
        )
    elif _part(run, "game") == "ali":
        yield (
            f"Three networks learn together: an encoder that infers {latent} from data, a decoder that makes data "
            f"from z, and a critic that tries to tell the pairs (data, inferred z) from the pairs (made data, random "
            f"z). Nothing asks for good reconstructions: they come about as far as the critic can no longer tell."
        )
    elif _part(run, "game") == "alice":
        yield (
            f"Three networks learn together, as in ALI: an encoder that infers {latent} from data, a decoder that "
            f"makes data from z, and a critic that tries to tell the pairs (data, inferred z) from the pairs (made "
            f"data, random z). Unlike in ALI, encoder and decoder are also charged for what a reconstruction loses, so "
            f"its reconstructions are not comparable with those of ALI, which come about without being asked for."
        )


def _found(
    run: Mapping[str, Any], results: Mapping[str, Any] | None, log: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    if results is None:
        yield "It has not been evaluated yet, so there are no measures below."
        return
    value = _values(results)
    data, split = results.get("data") or {}, results.get("split", "held-out")
    size = data.get(split)
    at, reached = results.get("step"), _last(log).get("step", 0)
    if value:
        held = f", {_count(size, 'example')} that it was not trained on" if size and split != "train" else ""
        yield f"What follows was measured on the {split} split{held}{f', at step {at:,}' if at else ''}."
    if at and reached > at:
        yield f"The measures are older than the run, which has come to step {reached:,} since; evaluate it again."
    if "reconstruction_ratio" in value:
        ratio = value["reconstruction_ratio"]
        sentence = (
            f"Held-out reconstructions are at {ratio:.2f} of the shuffled-pair baseline (lower is better; 1 means that "
            f"the reconstruction has nothing to do with the image)"
        ).replace("the image", "the image" if len(data.get("shape") or "abc") == 3 else "the input")
        if 0 < ratio < 1:
            sentence += f": an input is {1 / ratio:.1f} times closer to its own reconstruction than to another's"
        yield sentence + "."
    space = next((s for s in ("hidden", "latent") if f"nearest_neighbour_{s}" in value), None)
    if space:
        where = "the encoder's last hidden layer" if space == "hidden" else "the inferred z"
        beside = [
            f"{value[key]:.1%} {what}"
            for key, what in (
                ("nearest_neighbour_input", "on the inputs themselves"),
                ("nearest_neighbour_untrained", "on an untrained encoder"),
            )
            if key in value
        ]
        yield (
            f"The nearest training example, looked up in {where}, has the right label for "
            f"{value[f'nearest_neighbour_{space}']:.1%} of held-out examples (higher is better"
            f"{'; beside it, ' + ' and '.join(beside) if beside else ''})."
        )
    if "code_error" in value:
        yield (
            f"Taken as a classifier of held-out examples, each category of the first code standing for the label that fits "
            f"it best, it is wrong for {value['code_error']:.1%} of them (lower is better; it never saw a label in training)."
        )
    if "code_bound" in value:
        yield f"Samples tell at least {value['code_bound']:.3g} nats about their codes (higher is better)."
    if "cycle_error" in value:
        yield (
            f"Translated and translated back, a held-out example is off by {value['cycle_error']:.3f} a number on average "
            f"(lower is better; pixels go from 0 to 1)."
        )
    for source, to in (("a", "b"), ("b", "a")):
        if f"translation_error_{to}" in value:
            error = value[f"translation_error_{to}"]
            sentence = f"Translations from {source} to {to} are off the truth by {error:.3f} a number"
            if f"translation_accuracy_{to}" in value:
                sentence += f", and {value[f'translation_accuracy_{to}']:.1%} of them are read as what they are"
            yield sentence + "."
    if "frechet_distance" in value:
        floor = value.get("frechet_floor")
        made = "translations" if "cycle_error" in value else "samples"
        yield (
            f"The Frechet distance between {made} and held-out data is {_number(value['frechet_distance'])} (lower is "
            f"better{f'; real training data is at {_number(floor)}' if floor is not None else ''})."
        )
    if "precision" in value and "recall" in value:
        yield (
            f"{value['precision']:.0%} of the samples lie where held-out data lies (precision), and "
            f"{value['recall']:.0%} of held-out data lies where samples lie (recall)."
        )
    if "modes" in value:
        sentence = f"Samples reach {_count(round(value['modes']), 'mode')} of the mixture"
        if "high_quality" in value:
            sentence += f", and {value['high_quality']:.1%} of them lie within three standard deviations of a mode"
        yield sentence + "."
    broken = [m["name"] for m in _measures(results) if m["name"] not in value]
    if broken:
        yield f"These came out without a finite value: {', '.join(name.replace('_', ' ') for name in broken)}."


def _game(run: Mapping[str, Any]) -> str:
    name = _part(run, "game") or "a game"
    if name == "ali" and _part(run, "encoder") == "dirac":
        return "BiGAN (adversarially learned inference with a deterministic encoder)"
    return GAMES.get(name, name)


def _infers(run: Mapping[str, Any]) -> bool:
    return _part(run, "game") not in WITHOUT_ENCODER


def _translates(run: Mapping[str, Any]) -> bool:
    return _part(run, "game") in TRANSLATING


def _part(run: Mapping[str, Any], key: str) -> str:
    """The name of a part, without its settings."""
    return str(run.get(key, "")).partition("(")[0].strip()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _pixels(shape: Sequence[int]) -> str:
    channels, height, width = shape
    kind = {1: "grayscale", 3: "colour", 4: "colour with opacity"}.get(channels, _count(channels, "channel"))
    return f"{width}x{height} pixels, {kind}"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _number(value: Any) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if not math.isfinite(value):
        return "not finite"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _measures(results: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    listed = (results or {}).get("measures") or []
    return [measure for measure in listed if isinstance(measure, dict) and "name" in measure]


def _values(results: Mapping[str, Any] | None) -> dict[str, float]:
    """Name -> value of the measures that came out finite."""
    pairs = ((measure["name"], measure.get("value")) for measure in _measures(results))
    return {name: value for name, value in pairs if isinstance(value, int | float) and math.isfinite(value)}


def _last(log: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return max(log, key=lambda line: line["step"], default={})


# files


def _read(path: Path, remedy: str) -> dict[str, Any] | None:
    """The JSON object in a file, None if there is no such file.

    Raises:
        UserError: the file cannot be read or is damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or cannot be read ({error}); {remedy}.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (it holds no JSON object); {remedy}.")
    return value


def _log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log that are whole: a run that was killed leaves half a line at the end."""
    lines = []
    if path.is_file():
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(line)
    return lines


def _draw(home: Folder, run: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> None:
    """Draws the curves of what the log holds, and with a sigmoid only where the run's divergence gives it a meaning."""
    from interalia import plots

    keys = {key.partition("/")[0] for line in log for key in line}
    if "losses" in keys:
        plots.curves(log, home.figures / "curves.png", _part(run, "divergence") in WITH_LOG_ODDS)
    if "measures" in keys:
        plots.measures(log, home.figures / "measures.png")
    if "health" in keys:
        plots.strip(log, home.figures / "health.png")


# the page


def _page(
    home: Folder, run: Mapping[str, Any], results: Mapping[str, Any] | None, log: Sequence[Mapping[str, Any]]
) -> str:
    title = str(run.get("name") or home.path.name)
    parts = [
        f"<header><p class=kind>interalia, report of a run</p><h1>{escape(title)}</h1>",
        _tiles(results, log),
        "</header>",
        "<section><h2>In short</h2>",
        *(f"<p>{escape(sentence)}</p>" for sentence in words(run, results, log)),
        "</section>",
        _pictures(home, run),
        _table(results),
        _training(home, run),
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


def _tiles(results: Mapping[str, Any] | None, log: Sequence[Mapping[str, Any]]) -> str:
    """The few numbers that are looked for first."""
    value = _values(results)
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
    last = _last(log)
    seconds = last.get("seconds") or ((results or {}).get("training") or {}).get("seconds")
    if seconds:
        tiles.append((_duration(seconds), "of training"))
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
        "Each row is one held-out original (framed in green), decoded from its own z under other labels: one column for each "
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
    "from -2 to 2 (in training, one that is uniform stays within -1 and 1). Look for: does one thing change along the rows, "
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
    if _infers(run) or _translates(run):
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
    measures = _measures(results)
    if not measures:
        return ""
    rows = []
    for measure in measures:
        number = _number(measure.get("value"))
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


def _training(home: Folder, run: Mapping[str, Any]) -> str:
    from interalia.metrics.verdicts import SIGNS

    joints = "pairs (data, inferred z) and pairs (sample, random z)" if _infers(run) else "data and samples"
    made = "Samples"
    if _translates(run):
        joints, made = "a domain and on what is translated into it", "Translations"
    curves = _figure(
        home.figures / "curves.png",
        "Losses and scores",
        f"How to read them: the two losses pull against each other, so neither is meant to go to zero, and a low loss "
        f"of the generator does not mean good samples. What counts is balance: the critic's scores on {joints} should "
        f"stay near each other. Scores that drift far apart mean that the critic has won and teaches little; where the "
        f"two lines meet, it cannot tell them apart.",
    )
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
    steps = run.get("steps")
    commands = [
        (f"interalia train --resume {name} --steps {2 * steps if steps else 10000}", "train on from where it stopped"),
    ]
    if _translates(run):
        commands += [
            (f"interalia translate {name} IMAGES --to b", "translate images of your own from a to b, or held-out ones"),
            (f"interalia translate {name} IMAGES --to a", "the other way"),
        ]
    else:
        commands.append((f"interalia generate {name} --count 64", "draw new samples"))
    if _infers(run):
        commands += [
            (f"interalia reconstruct {name}", "reconstruct held-out examples, or images of your own given after it"),
            (f"interalia interpolate {name} --pairs 8 --steps 9", "go from one example to another"),
            (f"interalia encode {name} IMAGES --out z.npz", "the latents of images of your own"),
        ]
    if _part(run, "game") == "infogan":
        commands.append((f"interalia traverse {name}", "vary one code at a time"))
    commands += [
        (f"interalia evaluate {name}", "take the measures"),
        (f"interalia report {name}", "make this page anew"),
    ]
    rows = "".join(f"<dt><code>{escape(line)}</code></dt><dd>{escape(about)}</dd>" for line, about in commands)
    return f"<section><h2>Going on</h2><dl class=commands>{rows}</dl></section>"


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
