"""How often verdicts on health are wrong: of models that are perfect by construction, and of models that were made ill.

Nothing is trained. A perfect model answers fresh draws of the data's own law, reconstructions that are nearly the data,
latents that have the prior's law, and scores of one law for data and samples; an ill one differs in one respect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from interalia.metrics import verdicts
from interalia.metrics.health import Health, judged, of_arrays
from interalia.papers.experiment import Experiment, Job, Setting, Values

COUNT = 1000  # examples that are looked at, whatever n
LOOKS, SHORT = 20, 5  # a training, and one that is ill from the first to the last
SIZES, DIMENSIONS = (32, 50, 100, 400, 1000, 4000), (8, 64, 256, 1024)
MODES = 10
TRAIN = 1000  # training examples
DIGITS, DIGITS_MOST = 700, 400  # of the digits
SCORES = 400
MOST = 12  # trainings of a kind of data and a size, fewer where one takes long
WORK = 1.2e10  # products that a look may take for one training of that size
Given = dict[str, Any]


class Law:
    """Data of known law, from which any number can be drawn: here N(0, I).

    Arguments:
        d: dimensions.
        random: where all draws come from.
    """

    def __init__(self, d: int, random: torch.Generator) -> None:
        self.d, self.random = d, random

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
        return self.take(count)[0] if y is None else self.means[y] + self.normal(count, self.d)


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
        taken = self.x[:count], self.y[:count]
        self.x, self.y = self.x[count:], self.y[count:]
        return taken

    def draw(self, count: int, y: Tensor | None = None) -> Tensor:
        order = torch.randperm(len(self.x), generator=self.random)
        if y is None:
            return self.x[order[:count]]
        places = torch.empty(count, dtype=torch.int64)
        for label in y.unique():
            places[y == label] = order[self.y[order] == label][: int((y == label).sum())]
        return self.x[places]


KINDS: Mapping[str, type[Law]] = {"Gaussian": Law, "uniform": Uniform, "mixture": Mixture, "curved": Curved}


def trainings_of(n: int, d: int) -> int:
    """How many trainings of a kind of data."""
    looked = min(n, COUNT)
    return max(1, min(MOST, int(WORK / (looked * (5 * looked + 2 * TRAIN) * d))))


class Training:
    """Held-out and training data of a law with random numbers of its own, and a perfect model that is looked at again and
    again.

    Arguments:
        kind, d, seed, turn: of which law, and which training of it.
        n: how many held-out examples.
        known: whether the training data are there to compare samples with.
    """

    def __init__(self, kind: str, d: int, seed: int, n: int, turn: int, known: bool = True) -> None:
        number = seed * 1_000_003 + sum(map(ord, kind)) * 7919 + d * 131 + n * 17 + turn
        random = torch.Generator().manual_seed(number)
        self.law = law = (Digits if kind == "digits" else KINDS[kind])(d, random)
        self.n, self.known = n, known
        self.x, self.y = law.take(n)
        self.train = law.take(DIGITS if kind == "digits" else TRAIN)[0]
        self.z, self.prior = law.latents(n)
        self.other = self.x[torch.randperm(n, generator=random)]  # each x in place of another
        self.scores, self.held_out_scores = law.normal(SCORES), law.normal(min(SCORES, n))

    def look(self) -> Given:
        """What a perfect model makes at one evaluation, as arguments of `of_arrays`."""
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

    def answers(self, looks: int, changed: Callable[[Given], Given] = lambda made: made) -> Iterator[Health]:
        """What is said at each look, with all former ones as history."""
        history: list[Health] = []
        kept: dict[str, Tensor] = {}
        for _ in range(looks):
            history.append(judged(of_arrays(**changed(self.look()), kept=kept), history))
            yield history[-1]


def one_mode(t: Training) -> Given:
    if isinstance(t.law, Digits):  # of one class there are few, and each may come more than once
        own = t.law.x[t.law.y == 0]
        return {"samples": own[torch.randint(len(own), (t.n,), generator=t.law.random)]}
    return {"samples": t.law.draw(t.n, torch.zeros(t.n, dtype=torch.int64))}


def half_copies(t: Training) -> Given:
    rows = torch.randperm(t.n, generator=t.law.random)[: t.n // 2]
    samples = t.law.draw(t.n, t.y)
    samples[rows] = t.train[torch.randint(len(t.train), (len(rows),), generator=t.law.random)]
    return {"samples": samples}


def sure_critic(t: Training) -> Given:
    """The area under the curve is 0.99: two Gaussians of unit width, 3.29 apart."""
    return {"scores": (t.scores[: t.n] + 3.29, t.law.normal(min(SCORES, t.n)))}


def other_labels(t: Training) -> Given:
    assert t.y is not None
    return {"samples": t.law.draw(t.n, t.y[torch.randperm(t.n, generator=t.law.random)])}


@dataclass(frozen=True)
class Illness:
    """Rules any of which has to notice it, what is other than in a perfect model, on what that rests beside x and samples,
    and the kinds of data."""

    rules: tuple[str, ...]
    make: Callable[[Training], Given]
    needs: str
    kinds: tuple[str, ...] = ("Gaussian",)

    def given(self, training: Training, made: Given) -> Given:
        found = {**made, **self.make(training)}
        found = {key: found[key] for key in ("x", "samples", self.needs)}
        if self.needs in ("z", "scores"):  # whatever the data are
            found |= {"x": found["x"][:, :8], "samples": found["samples"][:, :8]}
        return found


EVERY, LABELLED, OFF = (*KINDS, "digits"), ("mixture", "digits"), ("posterior off",)
MISSING, COPIED = ("modes missing", "generator collapsed"), ("samples copied", "data remembered")
ILL: Mapping[str, Illness] = {
    "samples of 1 of 10 modes": Illness(MISSING, one_mode, "train", LABELLED),
    "half of the samples are training examples": Illness(COPIED, half_copies, "train", EVERY),
    "critic's area under the curve 0.99": Illness(("critic too strong",), sure_critic, "scores"),
    "posterior's mean off by 0.5": Illness(OFF, lambda t: {"z": t.z + 0.5}, "z"),
    "posterior's deviation doubled": Illness(OFF, lambda t: {"z": 2 * t.z}, "z"),
    "posterior's deviation halved": Illness(OFF, lambda t: {"z": t.z / 2}, "z"),
    "translations come back as another's": Illness(("cycle broken",), lambda t: {"back": t.other}, "back", EVERY),
    "translations come back as the mean": Illness(
        ("cycle broken",), lambda t: {"back": t.x.mean(0).expand_as(t.x)}, "back", EVERY
    ),
    "labels ignored": Illness(("labels ignored",), other_labels, "labels", LABELLED),
}


def perfect(n: int, d: int, kinds: tuple[str, ...], trainings: int, looks: int, seed: int) -> Values:
    """How often each verdict is given of a perfect model."""
    alarms, given, found = Counter[str](), Counter[str](), Counter[str]()
    for kind in kinds:
        for turn in range(trainings):
            lasting = False
            for answer in Training(kind, d, seed, n, turn, known=turn % 2 == 0).answers(looks):
                lasting |= bool(answer.findings)
                broken = {rule.name for rule in verdicts.unsettled(answer.signs)}
                given.update(rule.name for rule in verdicts.RULES if rule.value(answer.signs) is not None)
                alarms.update(broken)
                found.update({"looks": 1, "any": bool(broken)})
            found.update({"trainings": 1, "any_training": lasting})
    return {
        "looks": float(found["looks"]),
        "any": 100 * found["any"] / found["looks"],
        "trainings": float(found["trainings"]),
        "any_training": 100 * found["any_training"] / found["trainings"],
    } | {rule: 100 * alarms[rule] / given[rule] for rule in given}


def ill(name: str, n: int, d: int, kinds: tuple[str, ...], trainings: int, seed: int) -> Values:
    """How often an illness is noticed: at a look by itself, and at the end of a training by all its looks."""
    illness, found = ILL[name], Counter[str]()
    main = next(rule for rule in verdicts.RULES if rule.name == illness.rules[0])
    for kind in kinds:
        for turn in range(trainings):
            training = Training(kind, d, seed, n, turn)
            for answer in training.answers(SHORT, partial(illness.given, training)):
                alone = {finding.name for finding in verdicts.advised([answer.signs])}
                carried, seen = main.value(answer.signs) is not None, any(rule in alone for rule in illness.rules)
                found.update({"looks": 1, "carried": carried, "caught": seen})
            lasted = any(finding.name in illness.rules for finding in answer.findings)
            found.update({"trainings": 1, "caught_training": lasted})
    values = {key: float(found[key]) for key in ("looks", "trainings")}
    if found["carried"] < found["looks"] / 2:
        return values
    caught = {
        "caught": found["caught"] / found["looks"],
        "caught_training": found["caught_training"] / found["trainings"],
    }
    return values | {key: 100 * value for key, value in caught.items()}


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
    method="n held-out examples in d dimensions, beside them as many samples and d latents. Perfect: samples are fresh draws "
    "of the data's law at every look; reconstructions and the way back differ from x by noise of a tenth of x's deviation; z "
    f"is drawn of the prior and stays the same in a training; {SCORES} scores of training data, at most as many of held-out "
    "data, and as many of samples, are N(0, 1). Data: N(0, I); U(0, 1), with a prior U(-1, 1); a mixture of ten modes of "
    "unit width with means from N(0, 9 I), and their numbers as labels; a bent surface of four dimensions; all in equal "
    f"shares, every other training with {TRAIN:,} training examples to compare samples with. Digits: scikit-learn's 1,797 "
    f"images of 8x8 pixels with their labels, {DIGITS} of them training examples, samples drawn of those that are neither. "
    f"Of more than {COUNT:,} held-out examples {COUNT:,} are looked at. A training is {LOOKS} looks, one that is ill "
    f"{SHORT}; an alarm of a look is a rule that is broken at that look alone, an alarm of a training is a finding in the "
    "answer to any of its looks with all former ones as history, of one that is ill in the answer to its last. The columns "
    "of the rules are of looks; n/a: the rule gives no verdict there, or the row is not about it. Ill: samples of the first "
    "mode, or of the digit 0; half of the samples replaced by training examples; scores of training data 3.29 greater, an "
    "area under the curve of 0.99; z + 0.5, 2 z, z / 2; the way back ends at another x, or at the mean of all; labels "
    "permuted before samples are drawn with them.",
    quick=f"n = 50 and 400, d = 8 and 64, and 2 trainings of {SHORT} looks of each kind of data",
    seeds=1,
    cut="trainings CUT to {steps:,} looks (--steps)",
    chosen="The bounds were chosen by such draws with other seeds, and by trainings of the digits that went well and that "
    "were made to fail, on validation data.",
)
