"""The assessment of a trained model in one line, from its metrics on held-out data: usable, partly usable, or not usable yet.

The bounds come from the metrics themselves. An error of reconstructions is halfway between the one of a perfect model (0) and
the one of a model whose reconstructions are independent of the input (chance, 1). A share of covered data or modes is half of
what real data would cover. A value is judged only if it is farther from its bound than the 95 % interval for the number of
held-out examples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from interalia.disk import read_json
from interalia.errors import printable
from interalia.reports import sentences
from interalia.reports.sentences import Json, texts

if TYPE_CHECKING:
    from interalia.runs.loading import Loaded

Level = Literal["usable", "partly usable", "not usable yet", "no verdict"]

NORMAL = 1.96  # the 0.975 quantile of the normal distribution
MIN_EXAMPLES = (
    4  # the least n for which the interval of a perfect value, whose half-width is 1.96 / (2 sqrt(n)), excludes 1/2
)


@dataclass(frozen=True)
class Assessment:
    """The assessment of a trained model in one line, with its level, such as "usable", for the color of the line.

    Attributes:
        level: "usable", "partly usable", "not usable yet", or "no verdict" if the metrics do not allow an assessment.
        text: the line, which begins with the level, and gives the reasons and the number of training steps.
    """

    level: Level
    text: str


@dataclass(frozen=True)
class Aspect:
    """One aspect of a model, such as its reconstructions, with its grade and the text that is the reason for it.

    Attributes:
        grade: 1 if the aspect is on the good side of its bound, -1 if it is on the other side, 0 if it is in between or if
            there are too few examples to tell.
        text: a clause with the number, such as "samples cover 2 % of the data".
    """

    grade: int
    text: str


def assess(run: Json, results: Json | None, log: Sequence[Json] = ()) -> Assessment:
    """Returns the assessment of a run.

    It is "usable" if all aspects of the model are good, "not usable yet" if none is good and one is poor, and "partly usable"
    otherwise. Aspects are reconstructions, samples, predicted labels and translations, as far as the model has them and their
    metrics are computed. It is "no verdict" without results, with fewer than 4 held-out examples, or without such metrics.

    Arguments:
        run: the content of ``run.json``.
        results: the content of ``results.json``; None or empty before the first evaluation.
        log: the lines of ``log.jsonl``.

    Example:
        >>> values = {"reconstruction_ratio": 1.0, "coverage": 0.02, "recall": 0.0}
        >>> results = {"metrics": [{"name": k, "value": v} for k, v in values.items()], "split": "test", "step": 12}
        >>> assess({"game": "ali", "steps": 20_000}, {**results, "data": {"test": 1000}}).text
        'not usable yet: reconstructions are no better than chance, samples cover 0 % of the data; 12 of 20,000 steps'
        >>> assess({"game": "ali"}, {**results, "data": {"test": 3}}).text
        'no verdict: 3 held-out examples; 12 steps'
    """
    length = steps_text(run, results or {}, log)
    if not results or not sentences.metrics_in(results):
        return Assessment("no verdict", f"no verdict: not evaluated on held-out data yet{length}")
    n = examples_in(results)
    if n < MIN_EXAMPLES:
        noun = "image" if len((results.get("data") or {}).get("shape") or ()) == 3 else "example"
        return Assessment("no verdict", f"no verdict: {sentences.count_of(n, f'held-out {noun}')}{length}")
    finite = sentences.values_in(results)
    values = {one["name"]: finite.get(one["name"], math.nan) for one in sentences.metrics_in(results)}
    found = list(aspects(run, values, results.get("counts") or {}, n))
    if not found:
        return Assessment("no verdict", f"no verdict: no metric with a known chance level was computed{length}")
    grades = [aspect.grade for aspect in found]
    level: Level = (
        "usable" if min(grades) == 1 else "partly usable" if max(grades) == 1 or min(grades) == 0 else "not usable yet"
    )
    return Assessment(level, f"{level}: {', '.join(aspect.text for aspect in found)}{length}")


def steps_text(run: Json, results: Json, log: Sequence[Json]) -> str:
    """The end of the line on the number of training steps: "; 12 of 20,000 steps", "; 3,000 steps" or, before the first, "".

    If training has gone on since the evaluation, the text names both steps. The arguments are the contents of ``run.json``,
    ``results.json`` and ``log.jsonl``.
    """
    reached, planned = sentences.last_line(log).get("step", 0), run.get("steps")
    step = results.get("step") or reached
    if not step:
        return ""
    length = f"{step:,} of {planned:,} steps" if planned and step < planned else sentences.count_of(step, "step")
    return f"; {length}" + (f" (training has reached step {reached:,} since)" if reached > step else "")


def examples_in(results: Json) -> int:
    """The number of held-out examples that the metrics are computed on.

    It is the number in ``results.json``, whose content `results` is; files of older versions have the size of the split
    alone, of which at most 5,000 were used.
    """
    counts, data = results.get("counts") or {}, results.get("data") or {}
    return int(counts.get("evaluated", min(5_000, data.get(results.get("split", "test"), 5_000))))


def aspects(run: Json, values: Mapping[str, float], counts: Json, n: int) -> Iterator[Aspect]:
    """Yields the aspects of a model that can be judged from its metrics, at most one of each kind.

    Arguments:
        run: the content of ``run.json``; samples of a pretrained generator are not judged, since they were not trained here.
        values: name of a metric -> its value, NaN if it is not finite.
        counts: name -> number for the chance levels: "commonest", the share of the commonest label, and "modes", the number
            of modes of the data.
        n: number of held-out examples.
    """
    half_width = NORMAL / (2 * math.sqrt(n))
    phrases = texts("assessment")
    if "reconstruction_ratio" in values:
        ratio = values["reconstruction_ratio"]
        grade = 1 if ratio < 0.5 - half_width else 0 if ratio <= 1 - half_width else -1  # NaN is poor
        yield Aspect(grade, phrases["reconstruction"][grade + 1].format(100 * ratio))
    if not run.get("pretrained_generator"):
        yield from sample_aspects(values, counts, n)
    if "classification_error" in values and counts.get("commonest", 1) < 1:
        error, chance = values["classification_error"], 1 - counts["commonest"]
        grade = 1 if error < chance / 2 - half_width else 0 if error <= chance - half_width else -1
        yield Aspect(grade, phrases["labels"][grade + 1].format(100 * error, 100 * chance))
    if "frechet_untranslated" in values:
        translated, nothing = values.get("frechet_distance", math.nan), values["frechet_untranslated"]
        real = values.get("frechet_real_vs_real", 0.0)
        grade = 1 if translated < (nothing + real) / 2 else 0 if translated < nothing else -1
        yield Aspect(grade, phrases["translations"][grade + 1])


def sample_aspects(values: Mapping[str, float], counts: Json, n: int) -> Iterator[Aspect]:
    """Yields the aspect of samples, if the metrics have what it takes: the lowest of several shares against half of each.

    The shares are precision, recall, and coverage relative to that of real data; or, for a mixture of four modes or more, the
    share of reached modes and that of samples on a mode. The arguments are those of `aspects`.
    """
    phrases, modes = texts("assessment"), counts.get("modes", 0)
    if "coverage" in values and "recall" in values:
        most = coverage_of_real(n)
        covered = min(values["coverage"], values["recall"])
        shares = [(min(values["coverage"] / most, values["recall"]), phrases["covered"].format(100 * covered))]
        if "precision" in values:
            shares.append((values["precision"], phrases["precise"].format(100 * values["precision"])))
    elif "modes" in values and "high_quality" in values and modes >= MIN_EXAMPLES:
        shares = [
            (values["modes"] / modes, phrases["modes"].format(values["modes"], modes)),
            (values["high_quality"], phrases["on_modes"].format(100 * values["high_quality"])),
        ]
    else:
        return
    if any(not math.isfinite(share) for share, _ in shares):
        yield Aspect(-1, phrases["not_finite"])
        return
    share, text = min(shares, key=lambda one: one[0])
    low, high = interval(min(max(share, 0.0), 1.0), n)  # what a changed file has may be below
    yield Aspect(1 if low > 0.5 else 0 if high >= 0.5 else -1, text)


def coverage_of_real(n: int, k: int = 5) -> float:
    """The expected coverage of n held-out points by n samples of the same distribution, whatever it is.

    It is 1 - ((n - 1) ... (n - k)) / ((2 n - 1) ... (2 n - k)), with k at most n - 1: about 0.97 for k = 5 and large n.

    References:
        Reliable Fidelity and Diversity Metrics for Generative Models, Muhammad Ferjad Naeem and others, 2020,
        https://arxiv.org/abs/2002.09797

    Example:
        >>> round(coverage_of_real(1000), 2), coverage_of_real(2, 1)
        (0.97, 0.6666666666666667)
    """
    k = min(k, n - 1)
    return 1 - math.prod((n - j) / (2 * n - j) for j in range(1, k + 1))


def interval(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share that was found in n independent trials, by Wilson's score: its lower and upper end.

    References:
        Probable Inference, the Law of Succession, and Statistical Inference, Edwin B. Wilson, 1927,
        https://doi.org/10.1080/01621459.1927.10502953

    Example:
        >>> [round(end, 2) for end in interval(1.0, 4)]
        [0.51, 1.0]
    """
    square = NORMAL**2 / n
    middle = (share + square / 2) / (1 + square)
    half = NORMAL * math.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    return middle - half, middle + half


def print_assessment(trained: Loaded) -> None:
    """Prints the assessment of a run, from the files in its folder, to the terminal in the color of its level."""
    from rich.console import Console

    home = trained.folder
    assert home is not None  # it was trained or evaluated
    results = read_json(home.results) if home.results.exists() else {}
    one = assess(dict(trained.run.fields()), results, home.log_lines())
    styles = {"usable": "green", "partly usable": "yellow", "not usable yet": "red", "no verdict": "dim"}
    Console(highlight=False).print(printable(one.text), style=styles[one.level], markup=False, soft_wrap=True)
