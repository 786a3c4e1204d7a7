"""How often verdicts on health are wrong: of models that are perfect by construction, and of models that were made ill.

Nothing is trained. A perfect model answers fresh draws of the data's own law, reconstructions that are nearly the data,
latents that have the prior's law, and scores of one law for data and samples; an ill one differs in one respect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from interalia.metrics import verdicts
from interalia.papers.experiment import Experiment, Job, Setting, Values

COUNT = 1000  # examples that are looked at, whatever n

LOOKS = 20  # a training
SHORT = 5  # of a training that is ill from the first to the last
SIZES = (32, 50, 100, 400, 1000, 4000)
DIMENSIONS = (8, 64, 256, 1024)
MODES = 10
TRAIN = 1000  # training examples
DIGITS, DIGITS_MOST = 700, 400  # of the digits
SCORES = 400
MOST = 12  # trainings of a kind of data and a size, fewer where one takes long
WORK = 1.2e10  # products that a look may take for one training of that size
Given = dict[str, Any]


@dataclass
class Law:
    """Data of known law, from which any number can be drawn.

    Attributes:
        d: dimensions.
        random: where all draws come from.
    """

    d: int
    random: torch.Generator

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.random)

    def take(self, count: int) -> tuple[Tensor, Tensor | None]:
        """x, and y of data that have labels."""
        return self.draw(count), None

    def draw(self, count: int, y: Tensor | None = None) -> Tensor:
        """x, shape (count, d)."""
        return self.normal(count, self.d)

    def latents(self, count: int) -> tuple[Tensor, tuple[float, float]]:
        """z of the prior, shape (count, d), with its mean and variance."""
        return self.normal(count, self.d), (0.0, 1.0)


class Uniform(Law):
    def draw(self, count: int, y: Tensor | None = None) -> Tensor:
        return torch.rand(count, self.d, generator=self.random)

    def latents(self, count: int) -> tuple[Tensor, tuple[float, float]]:
        return 2 * self.draw(count) - 1, (0.0, 1 / 3)


class Mixture(Law):
    """Ten modes of unit width whose means are N(0, 9 I)."""

    def __init__(self, d: int, random: torch.Generator) -> None:
        super().__init__(d, random)
        self.means = 3 * self.normal(MODES, d)

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(MODES, (count,), generator=self.random)
        return self.draw(count, y), y

    def draw(self, count: int, y: Tensor | None = None) -> Tensor:
        if y is None:
            return self.take(count)[0]
        return self.means[y] + self.normal(count, self.d)


class Curved(Law):
    """A surface of four dimensions, bent: sin(A u) with u ~ N(0, I), and a little noise."""

    def __init__(self, d: int, random: torch.Generator) -> None:
        super().__init__(d, random)
        self.ways = self.normal(4, d)

    def draw(self, count: int, y: Tensor | None = None) -> Tensor:
        return torch.sin(self.normal(count, 4) @ self.ways) + 0.02 * self.normal(count, self.d)


class Digits(Law):
    """scikit-learn's 1,797 images of 8x8 pixels. What is taken does not return; samples are drawn of the others."""

    def __init__(self, d: int, random: torch.Generator) -> None:
        from sklearn.datasets import load_digits

        super().__init__(d, random)
        x, y = load_digits(return_X_y=True)
        order = torch.randperm(len(x), generator=random)
        self.x, self.y = (torch.from_numpy(x).float() / 16)[order], torch.from_numpy(y)[order]

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        """x and y of images that are not there any more."""
        taken = self.x[:count], self.y[:count]
        self.x, self.y = self.x[count:], self.y[count:]
        return taken

    def draw(self, count: int, y: Tensor | None = None) -> Tensor:
        order = torch.randperm(len(self.x), generator=self.random)
        if y is None:
            return self.x[order[:count]]
        places = torch.empty(count, dtype=torch.int64)
        for label in y.unique():
            own = order[self.y[order] == label]
            places[y == label] = own[: int((y == label).sum())]
        return self.x[places]


KINDS: Mapping[str, type[Law]] = {"Gaussian": Law, "uniform": Uniform, "mixture": Mixture, "curved": Curved}


def trainings_of(n: int, d: int) -> int:
    """How many trainings of a kind of data."""
    looked = min(n, COUNT)
    return max(1, min(MOST, int(WORK / (looked * (5 * looked + 2 * TRAIN) * d))))


class Training:
    """Held-out and training data, and a perfect model that is looked at again and again.

    Arguments:
        law: of the data.
        n: how many held-out examples.
        known: whether the training data are there to compare samples with.
    """

    def __init__(self, law: Law, n: int, known: bool = True) -> None:
        self.known = known
        self.law, self.n = law, n
        self.x, self.y = law.take(n)
        self.train = law.take(TRAIN)[0] if not isinstance(law, Digits) else law.take(DIGITS)[0]
        self.z, self.prior = law.latents(n)
        self.other = self.x[torch.randperm(n, generator=law.random)]  # each x in place of another
        self.scores, self.held_out_scores = law.normal(SCORES), law.normal(min(SCORES, n))

    def look(self) -> Given:
        """What a perfect model makes at one evaluation, as arguments of `health`."""
        error = 0.1 * float(self.x.std()) * self.law.normal(*self.x.shape)
        return {
            "x": self.x,
            "samples": self.law.draw(self.n, self.y),
            "reconstructions": self.x + error,
            "z": self.z,
            "z_mean": self.z,
            "prior": self.prior,
            "back": self.x - error,
            "scores": (self.scores, self.law.normal(SCORES)),
            "held_out_scores": (self.held_out_scores, self.law.normal(min(SCORES, self.n))),
            **({} if self.y is None else {"labels": self.y}),
            **({"train": self.train} if self.known else {}),
        }


def one_mode(training: Training) -> Given:
    y = torch.zeros(training.n, dtype=torch.int64)
    law = training.law
    if isinstance(law, Digits):  # of one class there are few, and each may come more than once
        own = law.x[law.y == 0]
        return {"samples": own[torch.randint(len(own), (training.n,), generator=law.random)]}
    return {"samples": law.draw(training.n, y)}


def half_copies(training: Training) -> Given:
    rows = torch.randperm(training.n, generator=training.law.random)[: training.n // 2]
    samples = training.law.draw(training.n, training.y)
    samples[rows] = training.train[torch.randint(len(training.train), (len(rows),), generator=training.law.random)]
    return {"samples": samples}


def sure_critic(training: Training) -> Given:
    """The area under the curve is 0.99: two Gaussians of unit width, 3.29 apart."""
    return {"scores": (training.scores[: training.n] + 3.29, training.law.normal(min(SCORES, training.n)))}


def other_labels(training: Training) -> Given:
    assert training.y is not None
    return {
        "samples": training.law.draw(training.n, training.y[torch.randperm(training.n, generator=training.law.random)])
    }


def other_images(training: Training) -> Given:
    return {"back": training.other}


def mean_image(training: Training) -> Given:
    return {"back": training.x.mean(0).expand_as(training.x)}


@dataclass(frozen=True)
class Illness:
    """Attributes:
    rules: any of which has to notice it.
    make: what is other than in a perfect model.
    needs: what that rests on, beside x and samples.
    kinds: of data.
    """

    rules: tuple[str, ...]
    make: Callable[[Training], Given]
    needs: tuple[str, ...]
    kinds: tuple[str, ...] = ("Gaussian", "uniform", "mixture", "curved", "digits")


ILL: Mapping[str, Illness] = {
    "samples of 1 of 10 modes": Illness(
        ("modes missing", "generator collapsed"), one_mode, ("train",), ("mixture", "digits")
    ),
    "half of the samples are training examples": Illness(
        ("samples copied", "data remembered"), half_copies, ("train",)
    ),
    "critic's area under the curve 0.99": Illness(("critic too strong",), sure_critic, ("scores",), ("Gaussian",)),
    "posterior's mean off by 0.5": Illness(("posterior off",), lambda t: {"z": t.z + 0.5}, ("z",), ("Gaussian",)),
    "posterior's deviation doubled": Illness(("posterior off",), lambda t: {"z": 2 * t.z}, ("z",), ("Gaussian",)),
    "posterior's deviation halved": Illness(("posterior off",), lambda t: {"z": t.z / 2}, ("z",), ("Gaussian",)),
    "translations come back as another's": Illness(("cycle broken",), other_images, ("back",)),
    "translations come back as the mean": Illness(("cycle broken",), mean_image, ("back",)),
    "labels ignored": Illness(("labels ignored",), other_labels, ("labels",), ("mixture", "digits")),
}


def law_of(kind: str, d: int, seed: int, n: int, turn: int) -> Law:
    """A law with random numbers of its own for each training."""
    number = seed * 1_000_003 + sum(map(ord, kind)) * 7919 + d * 131 + n * 17 + turn
    random = torch.Generator().manual_seed(number)
    return (Digits if kind == "digits" else KINDS[kind])(d, random)


def perfect(n: int, d: int, kinds: tuple[str, ...], trainings: int, looks: int, seed: int) -> Values:
    """How often each verdict is given of a perfect model."""
    from interalia.metrics.health import Health, judged, of_arrays

    alarms: dict[str, int] = {}
    given: dict[str, int] = {}
    any_look = any_training = count = 0
    for kind in kinds:
        for turn in range(trainings):
            training = Training(law_of(kind, d, seed, n, turn), n, known=turn % 2 == 0)
            history: list[Health] = []
            kept: dict[str, Tensor] = {}
            lasting = False
            for _ in range(looks):
                answer = judged(of_arrays(**training.look(), kept=kept), history)
                history.append(answer)
                lasting |= bool(answer.findings)
                broken = {rule.name for rule in verdicts.unsettled(answer.signs)}
                for rule in verdicts.RULES:
                    if rule.value(answer.signs) is not None:
                        given[rule.name] = given.get(rule.name, 0) + 1
                        alarms[rule.name] = alarms.get(rule.name, 0) + (rule.name in broken)
                any_look += bool(broken)
                count += 1
            any_training += lasting
    found = {
        "looks": float(count),
        "any": 100 * any_look / count,
        "trainings": float(len(kinds) * trainings),
        "any_training": 100 * any_training / (len(kinds) * trainings),
    }
    return found | {name: 100 * alarms[name] / given[name] for name in given}


def ill(name: str, n: int, d: int, kinds: tuple[str, ...], trainings: int, seed: int) -> Values:
    """How often an illness is noticed: at a look by itself, and at the end of a training by all its looks."""
    from interalia.metrics.health import Health, judged, of_arrays

    illness = ILL[name]
    main = next(rule for rule in verdicts.RULES if rule.name == illness.rules[0])
    seen = lasted = count = 0
    carried = 0
    for kind in kinds:
        for turn in range(trainings):
            training = Training(law_of(kind, d, seed, n, turn), n)
            history: list[Health] = []
            kept: dict[str, Tensor] = {}
            for _ in range(SHORT):
                made = {**training.look(), **illness.make(training)}
                made = {key: made[key] for key in ("x", "samples", *illness.needs)}
                if set(illness.needs) & {"z", "scores"}:  # whatever the data are
                    made |= {"x": made["x"][:, :8], "samples": made["samples"][:, :8]}
                answer = judged(of_arrays(**made, kept=kept), history)
                history.append(answer)
                alone = {finding.name for finding in verdicts.advised([answer.signs])}
                carried += main.value(answer.signs) is not None
                seen += any(rule in alone for rule in illness.rules)
                count += 1
            lasted += any(finding.name in illness.rules for finding in answer.findings)
    looks = {"looks": float(count), "trainings": float(len(kinds) * trainings)}
    if carried < count / 2:
        return looks
    return looks | {"caught": 100 * seen / count, "caught_training": 100 * lasted / (len(kinds) * trainings)}


def rows(setting: Setting) -> Iterator[Job]:
    """Perfect models of every size, then each illness."""
    looks = setting.length(LOOKS, SHORT)
    sizes, dimensions = ((50, 400), (8, 64)) if setting.quick else (SIZES, DIMENSIONS)
    most = 2 if setting.quick else MOST
    found: dict[str, tuple[Callable[..., Values], int]] = {}
    for n in sizes:
        for d in dimensions:
            many = max(1, min(most, trainings_of(n, d)) // (4 if n > COUNT else 1))
            found[f"perfect, n = {n:,}, d = {d:,}"] = partial(perfect, n, d, tuple(KINDS), many, looks), looks
        if n <= DIGITS_MOST:
            found[f"perfect, n = {n:,}, digits"] = partial(perfect, n, 64, ("digits",), 4 * most, looks), looks
    for name, illness in ILL.items():
        kinds = tuple(kind for kind in illness.kinds if kind != "digits")
        for n in (n for n in sizes if n <= COUNT):
            for d in dimensions:
                many = max(1, 2 * min(most, trainings_of(n, d)) // len(kinds))
                found[f"{name}, n = {n:,}, d = {d:,}"] = partial(ill, name, n, d, kinds, many), SHORT
            if n <= DIGITS_MOST and "digits" in illness.kinds:
                found[f"{name}, n = {n:,}, digits"] = partial(ill, name, n, 64, ("digits",), 2 * most), SHORT
    for seed in range(setting.seeds):
        for row, (work, steps) in found.items():
            yield Job(row, seed, partial(work, seed=seed), steps)


HEALTH = Experiment(
    name="health",
    about="How often the verdicts on health are wrong: false alarms of models that are perfect by construction, right alarms "
    "of models that were made ill.",
    rows=rows,
    columns={
        "looks": "looks",
        "trainings": "trainings",
        "any": "any false alarm, % of looks ↓",
        "any_training": "any, % of trainings ↓",
        "caught": "right alarms, % of looks ↑",
        "caught_training": "right alarms, % of trainings ↑",
        **{rule.name: f"{rule.name}, % ↓" for rule in verdicts.RULES},
    },
    told="n held-out examples in d dimensions, beside them as many samples and d latents. Perfect: samples are fresh draws of "
    "the data's law at every look; reconstructions and the way back differ from x by noise of a tenth of x's deviation; z is "
    f"drawn of the prior and stays the same in a training; {SCORES} scores of training data, at most as many of held-out data, "
    "and as many of samples, are N(0, 1). Data: N(0, I); U(0, 1), with a prior U(-1, 1); a mixture of ten modes of unit width "
    "with means from N(0, 9 I), and their numbers as labels; a bent surface of four dimensions; all in equal shares, every "
    f"other training with {TRAIN:,} training examples to compare samples with. Digits: scikit-learn's 1,797 images of 8x8 "
    f"pixels with their labels, {DIGITS} of them training examples, samples drawn of those that are neither. Of more than "
    f"{COUNT:,} held-out examples {COUNT:,} are looked at. A training is {LOOKS} looks, one that is ill {SHORT}; an alarm of a "
    "look is a rule that is broken at that look alone, an alarm of a training is a finding in the answer to any of its looks "
    "with all former ones as history, of one that is ill in the answer to its last. The columns of the rules are of looks; "
    "n/a: the rule gives no verdict there, or the row is not about it. Ill: samples of the first mode, or of the digit 0; half "
    "of the samples replaced by training examples; scores of training data 3.29 greater, an area under the curve of 0.99; z + "
    "0.5, 2 z, z / 2; the way back ends at another x, or at the mean of all; labels permuted before samples are drawn with "
    "them.",
    quick=f"n = 50 and 400, d = 8 and 64, and 2 trainings of {SHORT} looks of each kind of data",
    seeds=1,
    cut="trainings CUT to {steps:,} looks (--steps)",
    chosen="The bounds were chosen by such draws with other seeds, and by trainings of the digits that went well and that were "
    "made to fail, on validation data.",
)
