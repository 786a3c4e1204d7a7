"""What the signs of health mean: bounds, how long an illness has to last, and a verdict in words with the remedy as a flag.

It needs neither torch nor numpy, so that a page can be made without them; the signs are taken by `interalia.metrics.health`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# nothing is called ill before that share of training, or that many steps if they are fewer
EARLY, EARLY_STEPS = 0.25, 2000
LASTING = 3  # evaluations that a sign has to last; among more, one may be better by chance, but not the last

GROWN = 0.03

SIGNS: dict[str, str] = {
    "ratio": "reconstruction error over that of another input's reconstruction",
    "feature_ratio": "the same, in features",
    "latent_error": "squared error of E(G(z)) to z, over the prior's variance",
    "sure": "probability that the critic puts a pair of training data above one of the model",
    "sure_held_out": "the same with held-out data",
    "separated": "share of training pairs that the critic puts above every one of the model",
    "margin": "difference of the critic's mean scores, in their standard deviations",
    "posterior_kl": "KL of the moments of q(z) to the prior's, nats a dimension",
    "posterior_mmd": "squared maximum mean discrepancy of q(z) and the prior",
    "active": "share of the dimensions of z whose inferred mean moves with x",
    "information": "information between x and z, nats, as far as so many examples can show",
    "coverage": "share of held-out data whose neighbourhood holds a sample",
    "spread": "distance of a sample to the nearest other, over that of held-out data",
    "remembered": "distance of a sample to the nearest training example, over that of held-out data",
    "rarest": "samples of the rarest class, over what an equal share would be",
}

# how a verdict begins where nothing lasts
HEALTHY, UNSETTLED, EARLY_YET = "healthy", "unsettled", "too early to tell"


@dataclass(frozen=True)
class Rule:
    """An illness: the sign beyond its bound for `LASTING` evaluations, with one better one between at most, and not getting
    better.

    Attributes:
        name: of the illness.
        sign: which sign, or the difference of two, "a - b".
        bound: where it begins.
        above: whether it is ill above the bound, or below.
        gain: how much nearer to health a sign that is getting better comes over that row; more than it moves by chance.
        words: what is wrong, with {value}.
        remedy: flags that help.
        alone: flags that help a game that deceives no critic.
        unless: a sign whose growth by more than `GROWN` over that row tells that the training goes on all the same.
    """

    name: str
    sign: str
    bound: float
    above: bool
    gain: float
    words: str
    remedy: str
    alone: str
    unless: str = ""

    def value(self, signs: Mapping[str, float]) -> float | None:
        """The sign's value, or None where it was not taken."""
        names = self.sign.split(" - ")
        if any(name not in signs for name in names):
            return None
        first, *rest = (signs[name] for name in names)
        return first - sum(rest)

    def ill(self, signs: Mapping[str, float]) -> bool:
        value = self.value(signs)
        return value is not None and (value > self.bound if self.above else value < self.bound)

    def since(self, history: Sequence[tuple[int, Mapping[str, float]]]) -> int | None:
        """The step of the first evaluation in the row of ill ones that ends now; None where it is too short, or where the
        sign is getting better."""
        row: list[tuple[int, float]] = []
        seen: list[Mapping[str, float]] = []
        excused = False
        for step, signs in reversed(history):
            value = self.value(signs)
            if value is None:
                break
            if self.ill(signs):
                row.append((step, value))
                seen.append(signs)
            elif row and not excused:
                excused = True
            else:
                break
        if len(row) < LASTING:
            return None
        gained = (row[LASTING - 1][1] - row[0][1]) * (1 if self.above else -1)
        grown = seen[0].get(self.unless, 0.0) - seen[LASTING - 1].get(self.unless, 0.0)
        return None if gained > self.gain or grown > GROWN else row[-1][0]


# the bounds lie between what trainings that were made to fail show and what the good recipes do; both are tests
RULES = (
    Rule(
        "critic too strong",
        "sure",
        0.995,
        True,
        0.002,
        "the critic tells data from samples without fail ({value:.1%}) and teaches nothing",
        '--penalty "r1r2(every=4)" or --balance 0.9 or --noise annealed',
        "",
        unless="coverage",
    ),
    Rule(
        "critic overfits",
        "sure - sure_held_out",
        0.2,
        True,
        0.03,
        "the critic knows its training data by heart (it is {value:.0%} surer of them than of held-out data)",
        "--augment adaptive",
        "",
    ),
    Rule(
        "generator collapsed",
        "coverage",
        0.03,
        False,
        0.01,
        "the samples cover only {value:.0%} of the data: the generator has collapsed",
        '--penalty "r1r2(every=4)" or --pack 2',
        "a greater --latent or larger --rates or more --steps",
    ),
    Rule(
        "samples alike",
        "spread",
        0.2,
        False,
        0.04,
        "the samples are nearly alike (they vary {value:.0%} as much as the data): z is ignored",
        '--pack 2 or --penalty "r1r2(every=4)"',
        "a smaller sigma in --game or larger --rates or more --steps",
    ),
    Rule(
        "encoder ignored",
        "ratio",
        0.93,
        True,
        0.015,
        "reconstructions are no better than another image's (ratio {value:.2f}): the encoder is ignored",
        '--game "alice(cycle=1.0)" or --penalty "r1r2(every=4)"',
        "a smaller sigma in --game or larger --rates or more --steps",
    ),
    Rule(
        "latents unused",
        "active",
        0.1,
        False,
        0.05,
        "only {value:.0%} of the latent dimensions move with x",
        '--game "alice(cycle=1.0)" or a smaller --latent',
        "a smaller sigma in --game or a smaller --latent",
    ),
    Rule(
        "posterior off",
        "posterior_kl",
        2.0,
        True,
        0.05,
        "what the encoder infers is not distributed as the prior ({value:.1f} nats a dimension)",
        '--penalty "r1r2(every=4)" or a greater --latent',
        "a greater sigma in --game or more --steps",
    ),
    Rule(
        "data remembered",
        "remembered",
        0.4,
        False,
        0.02,
        "samples lie {value:.0%} as far from the nearest training example as new data do: they are copies",
        "--augment adaptive or fewer --steps",
        "a smaller --latent or fewer --steps",
    ),
)


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
    history: Sequence[tuple[int, Mapping[str, float]]],
    steps: int,
    run: Mapping[str, Any] | None = None,
    refused: Collection[str] = (),
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
    counted = _counted(history, steps)
    found = []
    for rule in RULES:
        since = rule.since(counted)
        if since is not None and rule.name not in refused:
            signs = counted[-1][1]
            words = rule.words.format(value=rule.value(signs))
            remedy = untried(rule.remedy if "sure" in signs else rule.alone, run or {}, refused)
            found.append(Finding(rule.name, since, f"{words}, since step {since:,}; try {remedy}"))
    return found


def untried(remedy: str, run: Mapping[str, Any], refused: Collection[str]) -> str:
    """The flags of a remedy that the run does not have and its game takes; where none is left, what is left to do.

    Example:
        >>> untried('--penalty "r1r2(every=4)" or --pack 2', {"penalty": "r1r2(gamma=0.5)", "pack": 1}, [])
        '--pack 2'
        >>> untried("--pack 2", {}, ["pack"])
        'smaller --rates, or another --seed'
    """
    left = []
    for option in remedy.split(" or "):
        flag, _, value = option.rpartition("--")[2].partition(" ")
        part, current = (text.strip('"').partition("(")[0] for text in (value, str(run.get(flag, ""))))
        if flag not in refused and (part != current or not part):
            left.append(option)
    return " or ".join(left) or "smaller --rates, or another --seed"


def _counted(
    history: Sequence[tuple[int, Mapping[str, float]]], steps: int
) -> Sequence[tuple[int, Mapping[str, float]]]:
    """The evaluations from which something can be called ill."""
    return [(step, signs) for step, signs in history if step >= min(EARLY * steps, EARLY_STEPS)]


def verdict(
    history: Sequence[tuple[int, Mapping[str, float]]],
    steps: int,
    run: Mapping[str, Any] | None = None,
    refused: Collection[str] = (),
) -> str:
    """One line: what is wrong and what to try, or that nothing is, or that it is too early to tell, or that a sign is beyond
    its bound and has not been for long, or is getting better; with the signs that count.

    Example:
        >>> verdict([(1000, {"coverage": 0.5})], 5000)
        'too early to tell (coverage 50%).'
    """
    ill = findings(history, steps, run, refused)
    if ill:
        return "; ".join(finding.sentence for finding in ill[:2]) + "."
    signs = history[-1][1]
    shown = {
        "ratio": "reconstruction ratio {:.2f}",
        "sure": "critic sure of {:.0%}",
        "coverage": "coverage {:.0%}",
    }
    parts = [words.format(signs[name]) for name, words in shown.items() if name in signs]
    word = UNSETTLED if any(rule.ill(signs) for rule in RULES if rule.name not in refused) else HEALTHY
    word = word if len(_counted(history, steps)) >= LASTING else EARLY_YET
    return word + (f" ({', '.join(parts)})." if parts else ".")


def state(sentence: str) -> str:
    """What a verdict comes to: healthy, unsettled, too early to tell, or ill.

    Example:
        >>> state("healthy (coverage 50%)."), state("the samples are nearly alike, since step 100; try --pack 2.")
        ('healthy', 'ill')
    """
    return next((word for word in (HEALTHY, UNSETTLED, EARLY_YET) if sentence.startswith(word)), "ill")
