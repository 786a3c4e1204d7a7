"""A run in plain sentences: what was trained, on what, how long, and how good it is."""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from interalia.metrics import REGISTRY
from interalia.runs import FROM_PYTHON
from interalia.runs.folder import ABOUT_GAME

Json = Mapping[str, Any]  # what a file of a run says

# of a game that nothing is known of: made in Python and kept by an older version, or of a package that is not installed
NOTHING = dict.fromkeys(("title", "teaches", "judged", "reading"), "")
UNKNOWN: Json = {**NOTHING, "critic": False, "can": None, "log_odds": False}


@functools.cache
def resource(name: str) -> str:
    """The text of a file beside this one."""
    return resources.files("interalia.reports").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def texts(section: str) -> dict[str, Any]:
    """A section of ``texts.toml``."""
    return tomllib.loads(resource("texts.toml"))[section]


def summary(run: Json, results: Json | None, log: Sequence[Json] = (), likelihood: Json | None = None) -> list[str]:
    """What was run, on what, how long, and how good it is, in plain sentences.

    Arguments:
        run: what is in ``run.json``.
        results: what is in ``results.json``, or None before the first evaluation.
        log: the lines of ``log.jsonl``, which tell how far a run has come that was not evaluated yet.
        likelihood: what is in ``likelihood.json``, or None before it was estimated.

    Example:
        >>> summary({"game": "ali", "data": "digits", "steps": 3000, "batch": 128}, None)[0]
        "This run is to train ALI (adversarially learned inference) on 'digits' for 3,000 steps of 128 examples each."
    """
    told = [*_done(run, results or {}, log), _taught(run), *_found(results, log), *_likely(likelihood or {}, log)]
    return [sentence for sentence in told if sentence]


def _done(run: Json, results: Json, log: Sequence[Json]) -> Iterator[str]:
    data, training = results.get("data") or {}, results.get("training") or {}
    shape = data.get("shape") or []
    last, planned = newest(log), run.get("steps")
    noun = {0: "example", 1: "point", 3: "image"}.get(len(shape), "example")
    batch = f" of {counted(run['batch_size'], noun)} each" if run.get("batch_size") else ""
    what = material(run, data)
    step = max(training.get("steps") or 0, results.get("step") or 0, last.get("step", 0))
    if step == 0:
        length = f" for {counted(planned, 'step')}{batch}" if planned else ""
        yield f"This run is to train {game_of(run)} on {what}{length}."
        return
    sentence = f"Trained {game_of(run)} on {what} for {counted(step, 'step')}{batch}"
    if last.get("step") == step and 0 < (last.get("epoch") or 0) < 1000:
        sentence += f" ({last['epoch']:,.3g} passes over the data)"
    seconds = last.get("seconds") if last.get("step", 0) >= step else training.get("seconds")
    if seconds:
        sentence += f" in {duration(seconds)}"
    if results.get("machine"):
        sentence += f" on {results['machine']}"
    if training.get("images_per_second"):
        sentence += f", at {training['images_per_second']:,.0f} {noun}s a second"
    yield sentence + "."
    ends = (line for line in reversed(log) if line["step"] == last["step"])  # a run that went on has other lines since
    stopped = next((line["stopped"] for line in ends if "stopped" in line), None)
    verdict = next((line["verdict"] for line in reversed(log) if "verdict" in line), None)
    short = f"It has not reached its planned end, step {planned:,}." if planned and step < planned else ""
    yield f"Its health at the last evaluation: {verdict}" if verdict else ""
    yield str(stopped or short)
    yield str(data.get("about") or "")


def material(run: Json, data: Json) -> str:
    """What a run is trained on."""
    own = part_of(run, "data") == FROM_PYTHON
    unknown = "data of somebody's own" if own else "unknown data"
    what = f"'{(None if own else run.get('data')) or data.get('name') or unknown}'"
    if run.get("data_b"):
        what += f" and '{run['data_b']}'"
    shape = data.get("shape") or []
    if not data.get("train") or not shape:
        return what
    if len(shape) == 3:
        return f"{counted(data['train'], 'image')} of {what} ({size_of(shape)})"
    return f"{counted(data['train'], 'point')} of {what} ({counted(shape[0], 'dimension')})"


def _taught(run: Json) -> str:
    """What the game does, for people who meet it for the first time."""
    latent = (
        f"a latent code z of {counted(run['latent_dim'], 'number')}" if run.get("latent_dim") else "a latent code z"
    )
    return str(facts_of(run)["teaches"]).replace("{latent}", latent)


def _found(results: Json | None, log: Sequence[Json]) -> Iterator[str]:
    if results is None:
        yield "It has not been evaluated yet, so there are no measures below."
        return
    value, data, split = values_in(results), results.get("data") or {}, results.get("split", "held-out")
    size = data.get(split)
    at, reached = results.get("step"), newest(log).get("step", 0)
    if value:
        held = f", {counted(size, 'example')} that it was not trained on" if size and split != "train" else ""
        yield f"What follows was measured on the {split} split{held}{f', at step {at:,}' if at else ''}."
    if at and reached > at:
        yield f"The measures are older than the run, which has come to step {reached:,} since; evaluate it again."
    yield from (metric.says(value, data) for name, metric in REGISTRY.items() if name in value)
    broken = [m["name"].replace("_", " ") for m in measures_in(results) if m["name"] not in value]
    if broken:
        yield f"These came out without a finite value: {', '.join(broken)}."


def _likely(likelihood: Json, log: Sequence[Json]) -> Iterator[str]:
    """The nearest of the estimates to log p(x)."""
    one = nearest(likelihood)
    if one is None:
        return
    said = texts("sentences")
    check = said["check"].format(gap=abs(one["check"]["gap"])) if one.get("check") else ""
    value = within(one["value"], one.get("error") or None)
    examples = counted(one.get("images", 0), "example")
    how, split = texts("estimates")[one["name"]], likelihood.get("split", "held-out")
    yield said["likelihood"].format(value=value, how=how, examples=examples, split=split, check=check)
    at, reached = likelihood.get("step"), newest(log).get("step", 0)
    if at and reached > at:
        yield f"This is older than the run, which has come to step {reached:,} since {at:,}; estimate it again."


def estimates_in(likelihood: Json) -> list[Json]:
    return [one for one in likelihood.get("estimates") or () if isinstance(one, dict)]


def nearest(likelihood: Json) -> Json | None:
    """Of the estimates that were taken, the one that is the nearest to log p(x), or None."""
    taken = {one.get("name"): one for one in estimates_in(likelihood) if isinstance(one.get("value"), int | float)}
    return next((taken[name] for name in texts("estimates") if name in taken), None)


def cells(one: Json) -> list[str]:
    """An estimate's name, value, acceptance and the gap of its check."""
    check = one.get("check") or {}
    gap = within(check.get("gap"), check.get("error"), 3)
    return [one["name"], within(one.get("value"), one.get("error")), within(one.get("acceptance")), gap]


def within(value: Any, error: Any = None, digits: int = 2) -> str:
    """A number with its standard error, where there are any."""
    if not isinstance(value, int | float):
        return ""
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if isinstance(error, int | float) else "")


def facts_of(run: Json) -> Json:
    """What there is to say of a run's game, see `interalia.games.capabilities`: what the run keeps, or of one that keeps
    nothing, being older, what its game's class says."""
    kept = run.get(ABOUT_GAME)
    if isinstance(kept, Mapping):
        return {**UNKNOWN, **kept}
    from interalia.games.capabilities import by_name  # here, for it imports torch

    found = by_name(part_of(run, "game"), part_of(run, "encoder"), str(run.get("divergence", "")))
    return found or UNKNOWN


def game_of(run: Json) -> str:
    name = part_of(run, "game") or "a game"
    return str(facts_of(run)["title"] or ("a game of somebody's own" if name == FROM_PYTHON else name))


def can(run: Json, capability: str) -> bool:
    """Whether a run's game is known to have a capability, such as "Infers"."""
    return capability in (facts_of(run)["can"] or ())


def part_of(run: Json, key: str) -> str:
    """The name of a part, without its settings."""
    return str(run.get(key, "")).partition("(")[0].strip()


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_of(shape: Sequence[int]) -> str:
    channels, height, width = shape
    kind = {1: "grayscale", 3: "colour", 4: "colour with opacity"}.get(channels, counted(channels, "channel"))
    return f"{width}x{height} pixels, {kind}"


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def measures_in(results: Json) -> list[Json]:
    return [one for one in results.get("measures") or () if isinstance(one, dict) and "name" in one]


def values_in(results: Json) -> dict[str, float]:
    """Name -> value of the measures that came out finite."""
    pairs = ((measure["name"], measure.get("value")) for measure in measures_in(results))
    return {name: value for name, value in pairs if isinstance(value, int | float) and math.isfinite(value)}


def newest(log: Sequence[Json]) -> Json:
    return max(log, key=lambda line: line["step"], default={})
