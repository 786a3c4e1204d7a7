"""Plain English sentences on a run: its model, data, training and results."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from interalia import packaged_toml
from interalia.metrics import REGISTRY
from interalia.runs import FROM_PYTHON, schemas
from interalia.runs.folder import ABOUT_GAME, INITIAL

Json = Mapping[str, Any]  # the content of a file of a run

# a game without a description: made in Python by an older version, or from a package that is not installed
NOTHING = dict.fromkeys(("title", "teaches", "judged", "reading"), "")
UNKNOWN: Json = {**NOTHING, "critic": False, "can": None, "log_odds": False}


@functools.cache
def resource(name: str) -> str:
    """The text of the file `name`, such as "page.html", in the package `interalia.reports`."""
    return resources.files("interalia.reports").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def texts(section: str) -> dict[str, Any]:
    """The content of the table `section` of ``texts.toml``, as a dictionary of texts, lists and further tables."""
    return packaged_toml("interalia.reports", "texts.toml")[section]


def summary(run: Json, results: Json | None, log: Sequence[Json] = (), likelihood: Json | None = None) -> list[str]:
    """The sentences at the top of a run's page, in order: on its training, its method, its metrics and its likelihood.

    Arguments:
        run: the content of ``run.json``.
        results: the content of ``results.json``, or None before the first evaluation.
        log: the lines of ``log.jsonl``: how far a run has come that is not evaluated yet.
        likelihood: the content of ``likelihood.json``, or None if the likelihood is not estimated.

    Example:
        >>> summary({"game": "ali", "data": "digits", "steps": 3000, "batch_size": 128}, None)[0]
        "This run will train ALI (adversarially learned inference) on 'digits' for 3,000 steps of 128 examples each."
    """
    sentences = [
        *training_text(run, results or {}, log),
        initial_text(run),
        method_text(run),
        *results_text(results, log),
        *likelihood_text(likelihood or {}, log),
    ]
    return [sentence for sentence in sentences if sentence]


def initial_text(run: Json) -> str:
    """Returns the sentence on the run whose weights the training started from; empty if it started from random ones.

    `run` is the content of ``run.json``.
    """
    kept = run.get(INITIAL)
    if not isinstance(kept, Mapping) or not isinstance(kept.get("taken"), Mapping):
        return ""
    taken, left = len(kept["taken"]), len(kept.get("left") or {})
    source = f"{kept.get('source')} ({kept.get('game')} on {kept.get('data')}, step {kept.get('step')})"
    return (
        f"The training started from the weights of {source} in {taken} of {taken + left} layers, else from random ones."
    )


def training_text(run: Json, results: Json, log: Sequence[Json]) -> Iterator[str]:
    """Yields sentences on a run's model, data, length and speed, its health at the end, and a remark on the data.

    The arguments are the contents of ``run.json`` and ``results.json``, and the lines of ``log.jsonl``. Some may be empty.
    """
    data, training = results.get("data") or {}, results.get("training") or {}
    shape = data.get("shape") or []
    last, planned = last_line(log), run.get("steps")
    noun = {0: "example", 1: "point", 3: "image"}.get(len(shape), "example")
    batch = f" of {count_of(run['batch_size'], noun)} each" if run.get("batch_size") else ""
    what = training_data(run, data)
    step = max(training.get("steps") or 0, results.get("step") or 0, last.get("step", 0))
    if step == 0:
        length = f" for {count_of(planned, 'step')}{batch}" if planned else ""
        yield f"This run will train {game_of(run)} on {what}{length}."
        return
    sentence = f"Trained {game_of(run)} on {what} for {count_of(step, 'step')}{batch}"
    if last.get("step") == step and 0 < (last.get("epoch") or 0) < 1000:
        sentence += f" ({last['epoch']:,.3g} epochs)"
    seconds = last.get("seconds") if last.get("step", 0) >= step else training.get("seconds")
    if seconds:
        sentence += f" in {duration(seconds)}"
    if results.get("machine"):
        sentence += f" on {results['machine']}"
    if training.get("images_per_second"):
        sentence += f", at {training['images_per_second']:,.0f} {noun}s per second"
    yield sentence + "."
    ends = (line for line in reversed(log) if line["step"] == last["step"])  # a resumed run has later lines
    stopped = next((line["stopped"] for line in ends if "stopped" in line), None)
    verdict = next((line["verdict"] for line in reversed(log) if "verdict" in line), None)
    short = f"It stopped before its planned end, step {planned:,}." if planned and step < planned else ""
    yield f"Health at the last evaluation: {verdict}" if verdict else ""
    yield str(stopped or short)
    yield str(data.get("about") or "")


def training_data(run: Json, data: Json) -> str:
    """A phrase with the name and the size of the training data, such as "1,000 images of 'digits' (8x8 pixels, grayscale)".

    `run` is the content of ``run.json``, `data` the record of the data in ``results.json``; without it there is only the
    name.
    """
    custom = part_name(run, "data") == FROM_PYTHON
    what = f"'{(None if custom else run.get('data')) or data.get('name') or ('custom' if custom else 'unknown') + ' data'}'"
    if run.get("data_b"):
        what += f" and '{run['data_b']}'"
    shape = data.get("shape") or []
    if not data.get("train") or not shape:
        return what
    if len(shape) == 3:
        return f"{count_of(data['train'], 'image')} of {what} ({size_of(shape)})"
    if len(shape) in (2, 4):
        kind, axes = ("signal", shape[1:]) if len(shape) == 2 else ("volume", shape[:0:-1])
        size = f"{'x'.join(map(str, axes))} values, {count_of(shape[0], 'channel')}"
        return f"{count_of(data['train'], kind)} of {what} ({size})"
    return f"{count_of(data['train'], 'point')} of {what} ({count_of(shape[0], 'dimension')})"


def method_text(run: Json) -> str:
    """A description of the method of a run's game for newcomers; `run` is the content of ``run.json``."""
    size = run.get("latent_dim")
    latent = f"a latent code z of {count_of(size, 'number')}" if size else "a latent code z"
    return str(facts_of(run)["teaches"]).replace("{latent}", latent)


def results_text(results: Json | None, log: Sequence[Json]) -> Iterator[str]:
    """Yields a sentence on the data of the metrics, one for each metric, and remarks on metrics that are old or not finite.

    `results` is the content of ``results.json``, or None before the first evaluation, for which there is one sentence that
    says so; `log` are the lines of ``log.jsonl``. Metrics are old if training has gone on since.
    """
    if results is None:
        yield "It has not been evaluated yet, so there are no metrics below."
        return
    value, data, split = values_in(results), results.get("data") or {}, results.get("split", "held-out")
    size = data.get(split)
    at, reached = results.get("step"), last_line(log).get("step", 0)
    if value:
        examples = f" ({count_of(size, 'example')} not used for training)" if size and split != "train" else ""
        yield f"The metrics are computed on the {split} split{examples}{f', at step {at:,}' if at else ''}."
    if at and reached > at:
        yield f"The metrics are of an older step: training has reached step {reached:,}; evaluate the run again."
    yield from (metric.sentence_for(value, data) for name, metric in REGISTRY.items() if name in value)
    broken = [m["name"].replace("_", " ") for m in metrics_in(results) if m["name"] not in value]
    if broken:
        yield f"Metrics without a finite value: {', '.join(broken)}."


def likelihood_text(likelihood: Json, log: Sequence[Json]) -> Iterator[str]:
    """Yields a sentence on the tightest estimate of log p(x), if there is one, and a remark if training has gone on since.

    `likelihood` is the content of ``likelihood.json``, `log` are the lines of ``log.jsonl``.
    """
    one = nearest(likelihood)
    if one is None:
        return
    template = texts("sentences")
    check = template["check"].format(gap=abs(one["check"]["gap"])) if one.get("check") else ""
    value = with_error(one["value"], one.get("error") or None)
    examples = count_of(one.get("images", 0), "example")
    how, split = texts("estimates")[one["name"]], likelihood.get("split", "held-out")
    yield template["likelihood"].format(value=value, how=how, examples=examples, split=split, check=check)
    at, reached = likelihood.get("step"), last_line(log).get("step", 0)
    if at and reached > at:
        yield f"This estimate is of step {at:,}, and training has reached step {reached:,}; estimate it again."


def estimates_in(likelihood: Json) -> list[Json]:
    """The records of all estimates of log p(x) in the content of ``likelihood.json``; empty if there are none."""
    return [one for one in likelihood.get("estimates") or () if isinstance(one, dict)]


def nearest(likelihood: Json) -> Json | None:
    """The record of the tightest estimate of log p(x) in the content of ``likelihood.json``; None if there is none.

    Annealed importance sampling counts as tighter than the importance-weighted bound, this as tighter than the evidence lower
    bound, and a kernel density estimate is last.
    """
    taken = {one.get("name"): one for one in estimates_in(likelihood) if isinstance(one.get("value"), int | float)}
    return next((taken[name] for name in texts("estimates") if name in taken), None)


def cells(one: Json) -> list[str]:
    """The cells of a table for an estimate of log p(x), as texts: its name, value ± error, acceptance rate, and check's gap.

    `one` is its record in ``likelihood.json``. A cell without a number is empty.
    """
    check = one.get("check") or {}
    gap = with_error(check.get("gap"), check.get("error"), 3)
    return [one["name"], with_error(one.get("value"), one.get("error")), with_error(one.get("acceptance")), gap]


def with_error(value: Any, error: Any = None, digits: int = 2) -> str:
    """The text "value ± error" with `digits` decimals; the value alone without an error, and empty without a number."""
    if not isinstance(value, int | float):
        return ""
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if isinstance(error, int | float) else "")


def facts_of(run: Json) -> Json:
    """The description of a run's game, name -> value.

    Its entries are the texts "title", "teaches" (the method), "judged" (what the critic compares) and "reading" (how to
    read curves); "can", the names of the game's capabilities, or None if unknown; and the booleans "critic" (it has one) and
    "log_odds" (its scores are log-odds). It is taken from `run`, the content of ``run.json``. For a run of an older version
    without one it is derived from the game's class; without a class, texts are empty, "can" is None, booleans False.
    """
    stored = run.get(ABOUT_GAME)
    if isinstance(stored, Mapping):
        return {**UNKNOWN, **schemas.fitting(stored, schemas.Facts)}
    from interalia.games.capabilities import facts_by_name  # here, since it imports torch

    found = facts_by_name(part_name(run, "game"), part_name(run, "encoder"), str(run.get("divergence", "")))
    return found or UNKNOWN


def game_of(run: Json) -> str:
    """The title of a run's game, such as "ALI (adversarially learned inference)", or its name if it has no title.

    `run` is the content of ``run.json``.
    """
    name = part_name(run, "game") or "a game"
    return str(facts_of(run)["title"] or ("a custom game" if name == FROM_PYTHON else name))


def title_of(run: Json, results: Json) -> str:
    """The title of a run's page: its name; or for own images data, game and size, such as "photos, ALICE, 64x64".

    It is empty if the run has no name. The arguments are the contents of ``run.json`` and ``results.json``.

    Example:
        >>> title_of({"name": "photos-64", "data": "/home/me/photos", "game": "vae", "image_size": 64}, {})
        'photos, VAE, 64x64'
    """
    path, size = Path(str(run.get("data"))), run.get("image_size")
    if not path.is_absolute():
        return str(run.get("name") or "")
    shape: Sequence[int] = (results.get("data") or {}).get("shape") or ([1, size, size] if size else [])
    sides = [f"{shape[2]}x{shape[1]}"] if len(shape) == 3 else []
    name = path.name if path.suffix.lower() not in (".zip", ".npy", ".npz") else path.stem
    return ", ".join([name, game_of(run).partition(" (")[0], *sides])


def is_able(run: Json, capability: str) -> bool:
    """True if a run's game has a capability, given by the name of its class in `interalia.games.capabilities`, e.g. "Infers".

    `run` is the content of ``run.json``.
    """
    return capability in (facts_of(run)["can"] or ())


def part_name(run: Json, key: str) -> str:
    """The name of the component in the field `key` of a run: "adam" for the field "optimizer" with "adam(lr=0.0005)".

    It is empty if there is none. `run` is the content of ``run.json``.
    """
    return str(run.get(key, "")).partition("(")[0].strip()


def count_of(number: int, noun: str) -> str:
    """The number with thousands separators and the noun, plural unless the number is 1: "1 image", "3,000 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_of(shape: Sequence[int]) -> str:
    """The size and color mode of images as text, such as "8x8 pixels, grayscale"; `shape` is (channels, height, width)."""
    channels, height, width = shape
    kind = {1: "grayscale", 3: "color", 4: "color with opacity"}.get(channels, count_of(channels, "channel"))
    return f"{width}x{height} pixels, {kind}"


def duration(seconds: float) -> str:
    """A duration in seconds as text: "2.5 s" below ten seconds, "2 min 5 s" below an hour, "3 h 20 min" from an hour on."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def metrics_in(results: Json) -> list[Json]:
    """The records of all metrics in the content of ``results.json``; empty if there are none."""
    return [one for one in results.get("metrics") or () if isinstance(one, dict) and "name" in one]


def values_in(results: Json) -> dict[str, float]:
    """Name -> value of each metric with a finite value in the content of ``results.json``."""
    pairs = ((metric["name"], metric.get("value")) for metric in metrics_in(results))
    return {name: value for name, value in pairs if isinstance(value, int | float) and math.isfinite(value)}


def group_of(name: str) -> str:
    """The key of a metric's group in the table "groups" of ``texts.toml``; "other" for a metric that is not registered.

    `name` is the metric's name in ``results.json``. Metrics of a file's features are in the group "samples".
    """
    metric = REGISTRY.get(name)
    group = metric.group.name if metric and metric.group else "other"
    in_file = metric is None and name.startswith(("frechet_in_", "kernel_in_"))
    group = "samples" if in_file else group
    return group if group in texts("groups") else "other"


def shown_name(name: str, results: Json) -> str:
    """The name of a metric in tables: without underscores, and with a remark for distances that are no FID or KID.

    The remarks are the table "remarks" of ``texts.toml``; with Inception features, i.e. if `results`, the content of
    ``results.json``, have a FID, there are none but the number of samples.
    """
    inception = any(one["name"] == "fid" for one in metrics_in(results))
    remark = texts("remarks").get(name, "")
    if name in ("fid", "kid"):
        remark = f"n = {(results.get('counts') or {}).get('evaluated', 0):,}"
    elif inception:
        remark = ""
    plain = name.upper() if name in ("fid", "kid") else name.replace("_", " ")
    return f"{plain} ({remark})" if remark else plain


def last_line(log: Sequence[Json]) -> Json:
    """The line of the log with the largest step, as a mapping; empty for a log without lines."""
    return max(log, key=lambda line: line["step"], default={})
