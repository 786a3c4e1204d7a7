"""Diagnoses of a training, such as "mode collapse", from its diagnostics: numbers that are computed on held-out data.

A `Rule` has the name of a diagnosis, a diagnostic and a bound. A training whose diagnostic is beyond the bound for
three evaluations has the diagnosis, whose sentence names options to try. The diagnostics and the rules, with their
bounds and texts, are in ``verdicts.toml``; `interalia.metrics.health` computes the diagnostics. This module needs
neither torch nor numpy, so that a report can be made without them.

The experiment `health` measures how often a perfect model is diagnosed, and how often a failure is missed.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interalia import packaged_toml

Diagnostics = Mapping[str, float]
History = Sequence[tuple[int, Diagnostics]]  # the step and the diagnostics of each evaluation, in order

# no diagnosis before this share of the training, or this many steps if they are fewer
EARLY_SHARE, EARLY_STEPS = 0.25, 2000
MIN_EVALUATIONS = 3  # beyond the bound for a diagnosis; among more, one but the last may be within it by chance

GROWTH, GROWTH_NOISE = 0.03, 0.8  # growth of coverage; the second number is over the root of the number of examples
MIN_EXAMPLES = 20  # held-out examples for any verdict
EXAMPLES_PER_DIMENSION = 2  # held-out examples for each dimension of z, for a covariance

TABLES = packaged_toml("interalia.metrics", "verdicts.toml")
DIAGNOSTICS: dict[str, str] = TABLES["diagnostics"]
COUNTS = ("examples", "scores", "latents")  # the sizes on which the other diagnostics rest

# how the line of `verdict` begins where there is no diagnosis
HEALTHY, UNSETTLED, TOO_EARLY, NO_VERDICT = "healthy", "unsettled", "too early to tell", "no verdict"
UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Rule:
    """The condition of a diagnosis such as "mode collapse": a number (diagnostic) is beyond a bound and not improving.

    It has to be beyond its bound for three evaluations; one more between them, but not the last, may be within the
    bound.

    Attributes:
        name: the name of the diagnosis.
        diagnostic: the name of a diagnostic, or "a - b" for the difference of two.
        bound: the value beyond which the model is unhealthy.
        above: True if values above the bound are unhealthy, False if values below it are.
        gain: by how much the diagnostic has to improve over these evaluations to count as improving.
        text: the sentence about the diagnosis, in which {value} is the diagnostic's value.
        options: command-line options to try.
        options_without_critic: options to try for a game without an adversarial critic.
        advice: what to try in a custom training loop.
        unless: a diagnostic whose growth by more than 0.03 over these evaluations shows that the training still improves.
        min_examples: the number of held-out examples that the diagnosis requires at least.
        extra_examples: extra_examples / d held-out examples are required beyond `min_examples`, for z of d dimensions.
        per_dimension: the number of held-out examples that are required for each dimension of z, if that is more.
        bound_noise: bound_noise / sqrt(number of scores) is 3.5 standard errors of a perfect model's diagnostic; it
            replaces the bound where it is larger.
        bound_slack: the bound is relaxed by bound_slack / sqrt(number of scores), as the diagnostic of an unhealthy model
            may be within it by chance.
        gain_noise: gain_noise / sqrt(number of examples) is the most that two evaluations of one model differ by; it is
            added to `gain`.
    """

    name: str
    diagnostic: str
    bound: float
    above: bool
    gain: float
    text: str
    options: str
    options_without_critic: str
    advice: str
    unless: str = ""
    min_examples: int = MIN_EXAMPLES
    extra_examples: float = 0.0
    per_dimension: float = 0.0
    bound_noise: float = 0.0
    bound_slack: float = 0.0
    gain_noise: float = 0.3

    def examples_needed(self, diagnostics: Diagnostics) -> int:
        """The number of held-out examples that this diagnosis requires.

        It is max(min_examples + extra_examples / d, per_dimension d) for z of d dimensions, rounded up; without z it is
        min_examples.

        Arguments:
            diagnostics: the diagnostics of an evaluation, of which "latents" is d.

        Example:
            >>> rule = next(rule for rule in RULES if rule.diagnostic == "aggregate_posterior_marginal_kl")
            >>> [rule.examples_needed({"latents": d}) for d in (1, 8, 64)]
            [110, 32, 22]
        """
        d = diagnostics.get("latents", 0.0)
        return math.ceil(max(self.min_examples + (self.extra_examples / d if d else 0.0), self.per_dimension * d))

    def enough_examples(self, diagnostics: Diagnostics) -> bool:
        """True if the diagnostic "examples", the number of held-out examples, suffices for this diagnosis or is missing."""
        return diagnostics.get("examples", math.inf) >= self.examples_needed(diagnostics)

    def value(self, diagnostics: Diagnostics) -> float | None:
        """The value of this rule's diagnostic among the diagnostics of an evaluation.

        None if it is missing, or if there are too few held-out examples.
        """
        names = self.diagnostic.split(" - ")
        if any(name not in diagnostics for name in names) or not self.enough_examples(diagnostics):
            return None
        first, *rest = (diagnostics[name] for name in names)
        return first - sum(rest)

    def limit(self, diagnostics: Diagnostics) -> float:
        """The bound of this rule's diagnostic, adapted to the number n of the critic's scores (the diagnostic "scores").

        It is max(bound, bound_noise / sqrt(n)), minus bound_slack / sqrt(n) if values above the bound are unhealthy, else
        plus that: with few scores, values that are less extreme than the bound are unhealthy too. Without scores n is
        infinite.
        """
        root = math.sqrt(diagnostics.get("scores", math.inf))
        return max(self.bound, self.bound_noise / root) - (1 if self.above else -1) * self.bound_slack / root

    def violated(self, diagnostics: Diagnostics) -> bool:
        """True if this rule's diagnostic is beyond its bound in one evaluation's diagnostics; False if it is missing."""
        value, limit = self.value(diagnostics), self.limit(diagnostics)
        return value is not None and (value > limit if self.above else value < limit)

    def since(self, history: History, evaluations: int = MIN_EVALUATIONS) -> int | None:
        """The step since which this rule's diagnostic is beyond its bound in the latest evaluations, without improving.

        The evaluations are counted back from the last one as long as the diagnostic is beyond its bound. One evaluation
        within the bound is skipped, unless it is the last. The result is None if fewer than `evaluations` are counted. It is
        also None if the last `evaluations` of these improve: the diagnostic moved towards the bound by more than
        gain + gain_noise / sqrt(n), or the diagnostic `unless` grew by more than 0.03 + 0.8 / sqrt(n), with n held-out
        examples.

        Arguments:
            history: the step and the diagnostics of each evaluation, in order.
            evaluations: the smallest number of evaluations in which the diagnostic has to be beyond its bound.
        """
        row: list[tuple[int, float, Diagnostics]] = []
        excused = False
        for step, diagnostics in reversed(history):
            value = self.value(diagnostics)
            if value is not None and self.violated(diagnostics):
                row.append((step, value, diagnostics))
            elif value is None or excused or not row:
                break
            else:
                excused = True
        if len(row) < evaluations:
            return None
        (_, now, last), (_, then, first) = row[0], row[evaluations - 1]
        gained = (then - now) * (1 if self.above else -1)
        grown = last.get(self.unless, 0.0) - first.get(self.unless, 0.0)
        root = math.sqrt(last.get("examples", math.inf))
        improving = gained > self.gain + self.gain_noise / root or grown > GROWTH + GROWTH_NOISE / root
        return None if improving else row[-1][0]


RULES = tuple(Rule(name, **fields) for name, fields in TABLES["rules"].items())


@dataclass(frozen=True)
class Diagnosis:
    """A problem of a training, such as "mode collapse", since when it lasts, and what to try.

    Attributes:
        name: the name of the diagnosis, such as "mode collapse".
        since: the step of the first of the latest evaluations in which the diagnostic is beyond its bound.
        sentence: a sentence on the problem, since when it lasts, and what to try.
    """

    name: str
    since: int
    sentence: str


def diagnoses(
    history: History, steps: int, run: Mapping[str, Any] | None = None, excluded: Container[str] = ()
) -> list[Diagnosis]:
    """Returns the diagnoses of a training from the diagnostics of all evaluations so far, worst first.

    A diagnosis is made if its diagnostic is beyond its bound in the last three evaluations and not improving, as
    `Rule.since` determines it.

    Arguments:
        history: the step and the diagnostics of each evaluation, in order.
        steps: the training's number of steps; there is no diagnosis before a quarter of them, or before step 2,000 if that
            is earlier.
        run: the fields of the run, by name; options that it has already are not advised. None for a run without fields.
        excluded: fields of the run that its game does not take, whose options are not advised, and names of diagnoses that
            do not apply to it.

    Example:
        >>> diagnoses([(step, {"reconstruction_ratio": 0.99}) for step in (500, 1000, 1500)], 1500)[0].name
        'encoder ignored'
    """
    found = []
    for rule, since, text in _lasting_rules(_late_enough(history, steps), MIN_EVALUATIONS, excluded):
        options = rule.options if "critic_auc" in history[-1][1] else rule.options_without_critic
        advice = untried(options, run or {}, excluded)
        found.append(Diagnosis(rule.name, since, f"{text}, since step {since:,}; try {advice}"))
    return found


def custom_loop_diagnoses(history: Sequence[Diagnostics], excluded: Container[str] = ()) -> list[Diagnosis]:
    """Returns the diagnoses of a custom training loop from the diagnostics of all evaluations so far, worst first.

    A diagnosis is made if its diagnostic is beyond its bound in the last three evaluations, or in all of them if there
    are fewer, and not improving, as `Rule.since` determines it. The advice names no command-line options, and
    `Diagnosis.since` is the number of an evaluation, from 1.

    Arguments:
        history: the diagnostics of each evaluation, in order.
        excluded: names of diagnoses that do not apply to the model.

    Example:
        >>> one, other = {"reconstruction_ratio": 0.99}, {"reconstruction_ratio": 0.5}
        >>> custom_loop_diagnoses([one])[0].name, custom_loop_diagnoses([other, one])
        ('encoder ignored', [])
    """
    found = []
    evaluations = min(MIN_EVALUATIONS, len(history))
    for rule, since, text in _lasting_rules(list(enumerate(history, 1)), evaluations, excluded):
        when = f", since evaluation {since}" if len(history) > 1 else ""
        found.append(Diagnosis(rule.name, since, f"{text}{when}; try {rule.advice}"))
    return found


def _lasting_rules(history: History, evaluations: int, excluded: Container[str]) -> Iterator[tuple[Rule, int, str]]:
    """Yields the rules whose diagnostics have been beyond their bounds, without improving, in the last evaluations.

    Yields tuples of the rule, the step since which its diagnostic is beyond the bound, and the sentence about the
    diagnosis, in the order of `RULES`.

    Arguments:
        history: the step and the diagnostics of each evaluation, in order.
        evaluations: the number of last evaluations in which a diagnostic has to be beyond its bound; see `Rule.since`.
        excluded: names of diagnoses that are left out.
    """
    for rule in RULES:
        since = rule.since(history, evaluations)
        if since is not None and rule.name not in excluded:
            yield rule, since, rule.text.format(value=rule.value(history[-1][1]))


def untried(options: str, run: Mapping[str, Any], excluded: Container[str]) -> str:
    """Returns the options among `options` that a run does not have and its game takes, joined by " or ".

    A run has the option ``--penalty "r1r2(every=4)"`` if its penalty is `r1r2` with any arguments. If none is left,
    returns the advice to try a smaller learning rate or another seed.

    Arguments:
        options: command-line options to try, separated by " or ".
        run: the fields of the run, by name.
        excluded: names of fields whose options the game does not take.

    Example:
        >>> untried('--penalty "r1r2(every=4)" or --pack 2', {"penalty": "r1r2(gamma=0.5)", "pack": 1}, [])
        '--pack 2'
        >>> untried("--pack 2", {}, ["pack"])
        'a smaller --lr, or another --seed'
    """
    left = []
    for option in options.split(" or "):
        flag, _, value = option.rpartition("--")[2].partition(" ")
        field = flag.replace("-", "_")
        part, current = (text.strip('"').partition("(")[0] for text in (value, str(run.get(field, ""))))
        if field not in excluded and (part != current or not part):
            left.append(option)
    return " or ".join(left) or "a smaller --lr, or another --seed"


def _late_enough(history: History, steps: int) -> History:
    """Returns the evaluations of `history` that are late enough for a diagnosis.

    They are at or after a quarter of the training's `steps`, or step 2,000 if that is earlier.
    """
    return [(step, diagnostics) for step, diagnostics in history if step >= min(EARLY_SHARE * steps, EARLY_STEPS)]


def verdict(history: History, steps: int, run: Mapping[str, Any] | None = None, excluded: Container[str] = ()) -> str:
    """Returns the state of a training in one line: its two worst diagnoses with options to try, or that it is healthy.

    Without a diagnosis the line begins with one of these words, and gives the diagnostics that `summary` lists:

        "no verdict": there are fewer than 20 held-out examples
        "too early to tell": fewer than three evaluations are late enough for a diagnosis
        "unsettled": a diagnostic is beyond its bound, but for less than three evaluations, or it is improving
        "healthy": in all other cases; the line then also names the diagnoses for which there are too few examples

    Arguments:
        history: the step and the diagnostics of each evaluation, in order.
        steps: the training's number of steps; there is no diagnosis before a quarter of them, or before step 2,000 if that
            is earlier.
        run: the fields of the run, by name; options that it has already are not advised. None for a run without fields.
        excluded: fields of the run that its game does not take, whose options are not advised, and names of diagnoses that
            do not apply to it.

    Example:
        >>> verdict([(1000, {"coverage": 0.5})], 5000)
        'too early to tell (coverage 50%).'
    """
    found = diagnoses(history, steps, run, excluded)
    if found:
        return "; ".join(diagnosis.sentence for diagnosis in found[:2]) + "."
    diagnostics = history[-1][1]
    shown = summary(diagnostics)
    if diagnostics.get("examples", MIN_EXAMPLES) < MIN_EXAMPLES:
        return f"{NO_VERDICT}: {too_few_examples(diagnostics)}{shown}."
    word = UNSETTLED if violated_rules(diagnostics, excluded) else HEALTHY
    word = word if len(_late_enough(history, steps)) >= MIN_EVALUATIONS else TOO_EARLY
    return word + shown + (undecided(diagnostics, excluded) if word == HEALTHY else "") + "."


def too_few_examples(diagnostics: Diagnostics) -> str:
    """Returns a text with the number of held-out examples, the diagnostic "examples", and the required number, 20."""
    return f"there are {diagnostics['examples']:.0f} held-out examples, and at least {MIN_EXAMPLES} are needed"


def violated_rules(diagnostics: Diagnostics, excluded: Container[str] = ()) -> list[Rule]:
    """Returns the rules whose diagnostics are beyond their bounds in the diagnostics of one evaluation.

    `excluded` has the names of diagnoses that are left out.
    """
    return [rule for rule in RULES if rule.name not in excluded and rule.violated(diagnostics)]


def summary(diagnostics: Diagnostics) -> str:
    """Returns a text with the reconstruction ratio, the critic's AUC and the coverage, if computed, in parentheses.

    The AUC is the probability that the critic scores data above samples. The text is empty if `diagnostics` has none of
    them.

    Example:
        >>> summary({"coverage": 0.5, "critic_auc": 0.75})
        ' (critic AUC 0.75 (0.5: cannot tell, 1: tells always), coverage 50%)'
    """
    forms = {
        "reconstruction_ratio": "reconstruction ratio {:.2f}",
        "critic_auc": "critic AUC {:.2f} (0.5: cannot tell, 1: tells always)",
        "coverage": "coverage {:.0%}",
    }
    parts = [form.format(diagnostics[name]) for name, form in forms.items() if name in diagnostics]
    return f" ({', '.join(parts)})" if parts else ""


def legend(diagnostics: Diagnostics, steps: int) -> str:
    """Returns a line that explains the numbers of `summary` to a reader who sees them for the first time, and says from which
    step on there are diagnoses.

    Arguments:
        diagnostics: the diagnostics of an evaluation.
        steps: the training's number of steps.

    Example:
        >>> legend({"coverage": 0.5}, 1000)
        'Diagnoses from step 250 on. Coverage: the share of held-out examples that some sample is near to.'
    """
    texts = {
        "reconstruction_ratio": "Reconstruction ratio: 0 is perfect, 1 no better than the reconstruction of another example.",
        "critic_auc": "Critic AUC: 0.5 if it cannot tell data from samples.",
        "coverage": "Coverage: the share of held-out examples that some sample is near to.",
    }
    first = math.ceil(min(EARLY_SHARE * steps, EARLY_STEPS))
    return " ".join(
        [f"Diagnoses from step {first:,} on.", *(text for name, text in texts.items() if name in diagnostics)]
    )


def undecided(diagnostics: Diagnostics, excluded: Container[str] = ()) -> str:
    """Returns a text with the diagnoses that cannot be made, each with the reason; empty if there are none.

    The reason is that there are too few held-out examples, or for "labels ignored" that the nearest neighbours of these
    rarely have the same label.

    Arguments:
        diagnostics: the diagnostics of an evaluation.
        excluded: names of diagnoses that are left out.

    Example:
        >>> undecided({"examples": 100, "latents": 64, "aggregate_posterior_marginal_kl": 0.0})
        '; no verdict on "aggregate posterior is correlated", which takes 128 held-out examples, and there are 100'
        >>> undecided({"examples": 100, "label_agreement_data": 0.1})
        '; no verdict on "labels ignored", as the nearest neighbours of held-out examples rarely have their labels'
    """
    found = ""
    for rule in RULES:
        computed = any(name in diagnostics for name in rule.diagnostic.split(" - "))
        computed = computed or bool(rule.per_dimension and "latents" in diagnostics)
        if rule.name not in excluded and computed and not rule.enough_examples(diagnostics):
            few = f"{rule.examples_needed(diagnostics)} held-out examples, and there are {diagnostics['examples']:.0f}"
            found += f'; {NO_VERDICT} on "{rule.name}", which takes {few}'
    unreadable = "label_agreement_data" in diagnostics and "label_agreement" not in diagnostics
    if unreadable and "labels ignored" not in excluded:
        reason = "as the nearest neighbours of held-out examples rarely have their labels"
        found += f'; {NO_VERDICT} on "labels ignored", {reason}'
    return found


def state(sentence: str) -> str:
    """The state of a training, from the line about it that `verdict` returned.

    It is the one of "healthy", "unsettled", "too early to tell" and "no verdict" that the line begins with, or
    "unhealthy" if it begins with none of them, but with a diagnosis.

    Example:
        >>> state("healthy (coverage 50%)."), state("mode collapse: ..., since step 100; try --pack 2.")
        ('healthy', 'unhealthy')
    """
    return next((word for word in (HEALTHY, UNSETTLED, TOO_EARLY, NO_VERDICT) if sentence.startswith(word)), UNHEALTHY)


def logged_diagnostics(log: Sequence[Mapping[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    """Returns the step and the diagnostics, by name, of each evaluation in a run's log.

    Arguments:
        log: the lines of the log as dictionaries. The keys of diagnostics are "health/" and their name; lines without such
            keys are left out.
    """
    found = []
    for line in log:
        values = {key.removeprefix("health/"): value for key, value in line.items() if key.startswith("health/")}
        if values:
            found.append((int(line["step"]), values))
    return found
