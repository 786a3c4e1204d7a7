"""What the signs of health mean: bounds, how long an illness has to last, and a verdict in words with the remedy as a flag.

The signs and the illnesses, with their bounds and words, are in ``verdicts.toml``; the signs are taken by
`interalia.metrics.health`. This module needs neither torch nor numpy, so that a page can be made without them.

How often a perfect model is called ill, and how often models that were made ill are not, is in the experiment `health`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interalia.disk import packaged_toml

Signs = Mapping[str, float]
History = Sequence[tuple[int, Signs]]  # the step and the signs of each evaluation, in order

# nothing is called ill before that share of training, or that many steps if they are fewer
EARLY, EARLY_STEPS = 0.25, 2000
LASTING = 3  # evaluations that a sign has to last; among more, one may be better by chance, but not the last

GROWN, GROWN_BY_CHANCE = 0.03, 0.8  # of coverage; and over the root of the number of examples
LEAST = 20  # held-out examples, below which there is no verdict at all
DIMENSIONS = 2  # held-out examples for each dimension of z, below which a covariance says too little

WORDS = packaged_toml("interalia.metrics", "verdicts.toml")
SIGNS: dict[str, str] = WORDS["signs"]
COUNTS = ("examples", "judged", "latents")  # which are no signs themselves, and tell what the others rest on

# how a verdict begins where nothing lasts
HEALTHY, UNSETTLED, EARLY_YET, SILENT = "healthy", "unsettled", "too early to tell", "no verdict"


@dataclass(frozen=True)
class Rule:
    """An illness: the sign beyond its bound for `LASTING` evaluations, with one better one between at most, and not getting
    better.

    Attributes:
        name: of the illness.
        sign: which sign, or the difference of two, "a - b".
        bound: where it begins.
        above: whether it is ill above the bound, or below.
        gain: how much nearer to health a sign that is getting better comes over that row.
        words: what is wrong, with {value}.
        remedy: flags that help.
        alone: flags that help a game that deceives no critic.
        advice: what helps in a training of one's own.
        unless: a sign whose growth by more than `GROWN` over that row tells that the training goes on all the same.
        least: how many held-out examples a verdict takes, beside
        spread: this number over the dimensions of z, and at least
        each: this number times the dimensions of z.
        noise: over the root of the number of scores: what the sign of a perfect model does not reach, 3.5 standard errors;
            where that is beyond the bound it is the bound.
        slack: over the root of the number of scores: how far within the bound that of an ill model may be by chance, which
            counts as beyond it.
        stray: over the root of the number of examples: what two looks at one model differ by at most, added to `gain`.
    """

    name: str
    sign: str
    bound: float
    above: bool
    gain: float
    words: str
    remedy: str
    alone: str
    advice: str
    unless: str = ""
    least: int = LEAST
    spread: float = 0.0
    each: float = 0.0
    noise: float = 0.0
    slack: float = 0.0
    stray: float = 0.3

    def needed(self, signs: Signs) -> int:
        """How many held-out examples a verdict takes.

        Example:
            >>> posterior = next(rule for rule in RULES if rule.name == "posterior off")
            >>> [posterior.needed({"latents": d}) for d in (1, 8, 64)]
            [110, 32, 22]
        """
        d = signs.get("latents", 0.0)
        return math.ceil(max(self.least + (self.spread / d if d else 0.0), self.each * d))

    def carried(self, signs: Signs) -> bool:
        """Whether there are enough held-out examples; signs that do not say how many rest on enough."""
        return signs.get("examples", math.inf) >= self.needed(signs)

    def value(self, signs: Signs) -> float | None:
        """The sign's value, or None where it was not taken, or rests on too few examples."""
        names = self.sign.split(" - ")
        if any(name not in signs for name in names) or not self.carried(signs):
            return None
        first, *rest = (signs[name] for name in names)
        return first - sum(rest)

    def limit(self, signs: Signs) -> float:
        """Where the illness begins at that number of examples."""
        root = math.sqrt(signs.get("judged", math.inf))
        return max(self.bound, self.noise / root) - (1 if self.above else -1) * self.slack / root

    def ill(self, signs: Signs) -> bool:
        value = self.value(signs)
        return value is not None and (value > self.limit(signs) if self.above else value < self.limit(signs))

    def since(self, history: History, lasting: int = LASTING) -> int | None:
        """The step of the first evaluation in the row of ill ones that ends now; None where it is shorter than `lasting`, or
        where the sign is getting better."""
        row: list[tuple[int, float, Signs]] = []
        excused = False
        for step, signs in reversed(history):
            value = self.value(signs)
            if value is not None and self.ill(signs):
                row.append((step, value, signs))
            elif value is None or excused or not row:
                break
            else:
                excused = True
        if len(row) < lasting:
            return None
        (_, now, last), (_, then, first) = row[0], row[lasting - 1]
        gained = (then - now) * (1 if self.above else -1)
        grown = last.get(self.unless, 0.0) - first.get(self.unless, 0.0)
        root = math.sqrt(last.get("examples", math.inf))
        better = gained > self.gain + self.stray / root or grown > GROWN + GROWN_BY_CHANCE / root
        return None if better else row[-1][0]


RULES = tuple(Rule(name, **settings) for name, settings in WORDS["rules"].items())


@dataclass(frozen=True)
class Finding:
    """An illness that lasts.

    Attributes:
        name: of the illness.
        since: the step of the first evaluation in a row that showed it.
        sentence: what is wrong, since when, and what to try.
    """

    name: str
    since: int
    sentence: str


def findings(
    history: History, steps: int, run: Mapping[str, Any] | None = None, refused: Collection[str] = ()
) -> list[Finding]:
    """What is wrong, worst first, by the signs of all evaluations so far.

    Arguments:
        history: (step, signs) of each evaluation, in order.
        steps: the length of the training; before a quarter of it, or 2,000 steps, nothing is called ill.
        run: the fields of the run: what it has already is not advised.
        refused: flags that its game does not take, and names of what is no illness of it.

    Example:
        >>> findings([(step, {"ratio": 0.99}) for step in (500, 1000, 1500)], 1500)[0].name
        'encoder ignored'
    """
    found = []
    for rule, since, words in _lasting(_counted(history, steps), LASTING, refused):
        remedy = untried(rule.remedy if "sure" in history[-1][1] else rule.alone, run or {}, refused)
        found.append(Finding(rule.name, since, f"{words}, since step {since:,}; try {remedy}"))
    return found


def advised(history: Sequence[Mapping[str, float]], refused: Collection[str] = ()) -> list[Finding]:
    """The same for a training of one's own, by the signs of all evaluations so far: an illness has to be seen in the last
    three, or in all where there are fewer, and what is advised are no flags. `since` is the number of the evaluation.

    Example:
        >>> advised([{"ratio": 0.99}])[0].name, advised([{"ratio": 0.5}, {"ratio": 0.99}])
        ('encoder ignored', [])
    """
    found = []
    for rule, since, words in _lasting(list(enumerate(history, 1)), min(LASTING, len(history)), refused):
        when = f", since evaluation {since}" if len(history) > 1 else ""
        found.append(Finding(rule.name, since, f"{words}{when}; try {rule.advice}"))
    return found


def _lasting(history: History, lasting: int, refused: Collection[str]) -> Iterator[tuple[Rule, int, str]]:
    """Each rule that is broken and lasts, since when, and in words."""
    for rule in RULES:
        since = rule.since(history, lasting)
        if since is not None and rule.name not in refused:
            yield rule, since, rule.words.format(value=rule.value(history[-1][1]))


def untried(remedy: str, run: Mapping[str, Any], refused: Collection[str]) -> str:
    """The flags of a remedy that the run does not have and its game takes; where none is left, what is left to do.

    Example:
        >>> untried('--penalty "r1r2(every=4)" or --pack 2', {"penalty": "r1r2(gamma=0.5)", "pack": 1}, [])
        '--pack 2'
        >>> untried("--pack 2", {}, ["pack"])
        'smaller --lr, or another --seed'
    """
    left = []
    for option in remedy.split(" or "):
        flag, _, value = option.rpartition("--")[2].partition(" ")
        part, current = (text.strip('"').partition("(")[0] for text in (value, str(run.get(flag, ""))))
        if flag not in refused and (part != current or not part):
            left.append(option)
    return " or ".join(left) or "smaller --lr, or another --seed"


def _counted(history: History, steps: int) -> History:
    """The evaluations from which something can be called ill."""
    return [(step, signs) for step, signs in history if step >= min(EARLY * steps, EARLY_STEPS)]


def verdict(history: History, steps: int, run: Mapping[str, Any] | None = None, refused: Collection[str] = ()) -> str:
    """One line: what is wrong and what to try, or that nothing is, or that it is too early to tell, or that a sign is beyond
    its bound and has not been for long, or is getting better, or that there are too few held-out examples for a verdict, on
    everything or on something; with the signs that count.

    Example:
        >>> verdict([(1000, {"coverage": 0.5})], 5000)
        'too early to tell (coverage 50%).'
    """
    ill = findings(history, steps, run, refused)
    if ill:
        return "; ".join(finding.sentence for finding in ill[:2]) + "."
    signs = history[-1][1]
    shown = shown_of(signs)
    if signs.get("examples", LEAST) < LEAST:
        return f"{SILENT}: {too_few(signs)}{shown}."
    word = UNSETTLED if unsettled(signs, refused) else HEALTHY
    word = word if len(_counted(history, steps)) >= LASTING else EARLY_YET
    return word + shown + (open_questions(signs, refused) if word == HEALTHY else "") + "."


def too_few(signs: Signs) -> str:
    """Why there is no verdict at all."""
    return f"there are {signs['examples']:.0f} held-out examples, and at least {LEAST} are needed"


def unsettled(signs: Signs, refused: Collection[str] = ()) -> list[Rule]:
    """The rules that these signs break, whether that lasts or not."""
    return [rule for rule in RULES if rule.name not in refused and rule.ill(signs)]


def shown_of(signs: Signs) -> str:
    """The signs that count, in brackets.

    Example:
        >>> shown_of({"coverage": 0.5, "sure": 0.75})
        ' (critic sure of 75%, coverage 50%)'
    """
    shown = {"ratio": "reconstruction ratio {:.2f}", "sure": "critic sure of {:.0%}", "coverage": "coverage {:.0%}"}
    parts = [words.format(signs[name]) for name, words in shown.items() if name in signs]
    return f" ({', '.join(parts)})" if parts else ""


def open_questions(signs: Signs, refused: Collection[str] = ()) -> str:
    """On what there is no verdict although it was looked at, and why; empty where there is one on everything.

    Example:
        >>> open_questions({"examples": 100, "latents": 64, "posterior_marginal": 0.0})
        '; no verdict on "posterior tied", which takes 128 held-out examples, and there are 100'
        >>> open_questions({"examples": 100, "readable": 0.1})
        '; no verdict on "labels ignored", for held-out data have hardly the labels of their neighbours'
    """
    found = ""
    for rule in RULES:
        looked = any(name in signs for name in rule.sign.split(" - ")) or (rule.each and "latents" in signs)
        if rule.name not in refused and looked and not rule.carried(signs):
            few = f"{rule.needed(signs)} held-out examples, and there are {signs['examples']:.0f}"
            found += f'; {SILENT} on "{rule.name}", which takes {few}'
    if "readable" in signs and "obeyed" not in signs and "labels ignored" not in refused:
        found += f'; {SILENT} on "labels ignored", for held-out data have hardly the labels of their neighbours'
    return found


def state(sentence: str) -> str:
    """What a verdict comes to: healthy, unsettled, too early to tell, no verdict, or ill.

    Example:
        >>> state("healthy (coverage 50%)."), state("the samples are nearly alike, since step 100; try --pack 2.")
        ('healthy', 'ill')
    """
    return next((word for word in (HEALTHY, UNSETTLED, EARLY_YET, SILENT) if sentence.startswith(word)), "ill")


def signs_of(log: Sequence[Mapping[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    """The signs of health that a log holds, with their steps."""
    found = []
    for line in log:
        signs = {key.removeprefix("health/"): value for key, value in line.items() if key.startswith("health/")}
        if signs:
            found.append((int(line["step"]), signs))
    return found
