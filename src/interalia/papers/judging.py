"""Error rates of the health verdicts, on models that are perfect by construction and on models with a known fault."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from interalia.metrics import verdicts
from interalia.metrics.health import Health, health
from interalia.metrics.verdicts import Diagnosis
from interalia.papers.experiment import Experiment, Job, Setting, Values, texts

COUNT = 1000  # evaluated examples at most, and training examples
DIGITS = 700  # training examples
SHORT = 5  # evaluations of a faulty model
SCORES = 400
Given = dict[str, Any]
Draw = Callable[[int, Any], Tensor]  # x, shape (count, d), for count and y


class Training:
    """Held-out and training data of a distribution, with a private random generator, and a perfect model that is evaluated
    repeatedly: samples are new draws of the distribution, reconstructions are nearly the data, and z is drawn from the
    prior. If `known`, samples are compared with the training data.
    """

    def __init__(self, kind: str, d: int, seed: int, n: int, turn: int, known: bool = True) -> None:
        number = seed * 1_000_003 + sum(map(ord, kind)) * 7919 + d * 131 + n * 17 + turn
        self.random = torch.Generator().manual_seed(number)
        self.d, self.n, self.known = d, n, known
        self.zeros: Tensor | None = None  # digits 0
        self.x, self.y, self.train, self.draw = digits(self) if kind == "digits" else synthetic(self, kind)
        self.z = 2 * self.draw(n, None) - 1 if kind == "uniform" else self.normal(n, d)
        self.prior = 0.0, 1 / 3 if kind == "uniform" else 1.0
        self.other = self.x[torch.randperm(n, generator=self.random)]  # each x in place of another
        self.scores, self.held_out_scores = self.normal(SCORES), self.normal(min(SCORES, n))

    def normal(self, *shape: int) -> Tensor:
        """Returns draws of N(0, 1) from the private generator."""
        return torch.randn(*shape, generator=self.random)

    def look(self) -> Given:
        """Returns the output of a perfect model at one evaluation, as arguments of `health`."""
        error = 0.1 * float(self.x.std()) * self.normal(*self.x.shape)
        made: Given = {"x": self.x, "samples": self.draw(self.n, self.y)}
        made |= {"reconstructions": self.x + error, "back": self.x - error}
        made |= {"z": self.z, "z_mean": self.z, "prior": self.prior}
        made["scores"] = self.scores, self.normal(SCORES)
        made["held_out_scores"] = self.held_out_scores, self.normal(min(SCORES, self.n))
        return made | ({} if self.y is None else {"labels": self.y}) | ({"train": self.train} if self.known else {})

    def answers(self, looks: int, changed: Callable[[Given], Given] = lambda made: made) -> list[Health]:
        """Returns the health at each evaluation, with all previous ones as history."""
        history: list[Health] = []
        kept: dict[str, Tensor] = {}
        for _ in range(looks):
            history.append(health(**changed(self.look()), history=history, cache=kept))
        return history


def digits(t: Training) -> tuple[Tensor, Tensor, Tensor, Draw]:
    """Returns scikit-learn's 1,797 images of 8x8 pixels. Samples are drawn from images outside both splits."""
    from sklearn.datasets import load_digits

    x, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    order = torch.randperm(len(x), generator=t.random)
    x, y = (x.float() / 16)[order], y[order]
    left, labels = x[t.n + DIGITS :], y[t.n + DIGITS :]
    t.zeros = left[labels == 0]

    def draw(count: int, y: Any) -> Tensor:
        order = torch.randperm(len(left), generator=t.random)
        places = torch.empty(count, dtype=torch.int64)
        for label in y.unique():
            places[y == label] = order[labels[order] == label][: int((y == label).sum())]
        return left[places]

    return x[: t.n], y[: t.n], x[t.n : t.n + DIGITS], draw


def synthetic(t: Training, kind: str) -> tuple[Tensor, Tensor | None, Tensor, Draw]:
    """Returns draws: N(0, I); U(0, 1); ten unit modes around N(0, 9 I); or sin(A u) + noise, u ~ N(0, I) in 4-D."""
    own = t.normal({"mixture": 10, "curved": 4}.get(kind, 0), t.d)
    draw: Draw = {
        "Gaussian": lambda count, y: t.normal(count, t.d),
        "uniform": lambda count, y: torch.rand(count, t.d, generator=t.random),
        "mixture": lambda count, y: 3 * own[y] + t.normal(count, t.d),
        "curved": lambda count, y: torch.sin(t.normal(count, 4) @ own) + 0.02 * t.normal(count, t.d),
    }[kind]

    def labels(count: int) -> Tensor | None:
        return torch.randint(10, (count,), generator=t.random) if kind == "mixture" else None

    y = labels(t.n)
    return draw(t.n, y), y, draw(COUNT, labels(COUNT)), draw


def one_mode(t: Training) -> Given:
    """Mode collapse: all samples are of label 0."""
    if t.zeros is not None:  # there are few images of one digit, so they repeat
        return {"samples": t.zeros[torch.randint(len(t.zeros), (t.n,), generator=t.random)]}
    return {"samples": t.draw(t.n, torch.zeros(t.n, dtype=torch.int64))}


def half_copies(t: Training) -> Given:
    """Memorization: half of the samples are copies of training points."""
    rows = torch.randperm(t.n, generator=t.random)[: t.n // 2]
    samples = t.draw(t.n, t.y)
    samples[rows] = t.train[torch.randint(len(t.train), (len(rows),), generator=t.random)]
    return {"samples": samples}


def sure_critic(t: Training) -> Given:
    """Critic AUC 0.99: two Gaussians of unit width, 3.29 apart."""
    return {"scores": (t.scores[: t.n] + 3.29, t.normal(min(SCORES, t.n)))}


def other_labels(t: Training) -> Given:
    """Ignored conditions: the labels of the samples are permuted."""
    assert t.y is not None
    return {"samples": t.draw(t.n, t.y[torch.randperm(t.n, generator=t.random)])}


class Fault(NamedTuple):
    """A known fault: the rules of which one should detect it, the change, the changed input, and the kinds of data."""

    rules: tuple[str, ...]
    make: Callable[[Training], Given]
    needs: str
    kinds: tuple[str, ...] = ("Gaussian",)

    def given(self, training: Training, made: Given) -> Given:
        """Returns the output of a perfect model with the fault: x, samples and the input that it changes."""
        found = {**made, **self.make(training)}
        found = {key: found[key] for key in ("x", "samples", self.needs)}
        if self.needs in ("z", "scores"):  # the data do not matter
            found |= {"x": found["x"][:, :8], "samples": found["samples"][:, :8]}
        return found

    def among(self, diagnoses: Iterable[Diagnosis]) -> bool:
        """True if one of its rules is among them."""
        return any(finding.name in self.rules for finding in diagnoses)


EVERY: tuple[str, ...] = ("Gaussian", "uniform", "mixture", "curved", "digits")
LABELLED, OFF, CYCLE = ("mixture", "digits"), ("aggregate posterior differs from the prior",), ("cycle broken",)
MISSING, COPIED = ("modes missing", "generator collapsed"), ("samples copied", "memorization")
FAULTS: Mapping[str, Fault] = {
    "samples of 1 of 10 modes": Fault(MISSING, one_mode, "train", LABELLED),
    "half of the samples are training examples": Fault(COPIED, half_copies, "train", EVERY),
    "critic's area under the curve 0.99": Fault(("critic too strong",), sure_critic, "scores"),
    "posterior's mean off by 0.5": Fault(OFF, lambda t: {"z": t.z + 0.5}, "z"),
    "posterior's deviation doubled": Fault(OFF, lambda t: {"z": 2 * t.z}, "z"),
    "posterior's deviation halved": Fault(OFF, lambda t: {"z": t.z / 2}, "z"),
    "translations come back as another's": Fault(CYCLE, lambda t: {"back": t.other}, "back", EVERY),
    "translations come back as the mean": Fault(CYCLE, lambda t: {"back": t.x.mean(0).expand_as(t.x)}, "back", EVERY),
    "labels ignored": Fault(("labels ignored",), other_labels, "labels", LABELLED),
}


def numbers(fault: Fault | None, n: int, d: int, kinds: Sequence[str], trainings: int, looks: int, seed: int) -> Values:
    """Returns the rate of each false alarm for perfect models, or of detections of a fault, %."""
    histories = []
    for kind, turn in itertools.product(kinds, range(trainings)):
        training = Training(kind, d, seed, n, turn, known=fault is not None or turn % 2 == 0)
        histories.append(training.answers(looks, partial(fault.given, training) if fault else dict))
    counts = {"looks": float(sum(map(len, histories))), "trainings": float(len(histories))}
    return counts | (detections(fault, histories) if fault else false_alarms(histories))


def false_alarms(histories: Sequence[Sequence[Health]]) -> dict[str, float]:
    """Returns the false alarms of each rule and of any, % of evaluations; and of any, % of trainings."""
    found = {"any": [], "any_training": [any(answer.diagnoses for answer in answers) for answers in histories]}
    for answer in itertools.chain(*histories):
        broken = verdicts.violated_rules(answer.diagnostics)
        found["any"].append(bool(broken))
        for rule in verdicts.RULES:
            if rule.value(answer.diagnostics) is not None:
                found.setdefault(rule.name, []).append(rule in broken)
    return {key: 100 * sum(alarms) / len(alarms) for key, alarms in found.items()}


def detections(fault: Fault, histories: Sequence[Sequence[Health]]) -> dict[str, float]:
    """Returns detections at single evaluations and at the end of trainings, %; empty if most evaluations lack the sign."""
    looks = [answer.diagnostics for answers in histories for answer in answers]
    main = next(rule for rule in verdicts.RULES if rule.name == fault.rules[0])
    if 2 * sum(main.value(signs) is not None for signs in looks) < len(looks):
        return {}
    caught = [fault.among(verdicts.custom_loop_diagnoses([signs])) for signs in looks]
    lasted = [fault.among(answers[-1].diagnoses) for answers in histories]
    return {"caught": 100 * (sum(caught) / len(caught)), "caught_training": 100 * (sum(lasted) / len(lasted))}


def rows(setting: Setting) -> Iterator[Job]:
    """Yields perfect models of every size, then each fault; the number of trainings shrinks with their cost."""
    sizes, dimensions = ((50, 400), (8, 64)) if setting.quick else ((32, 50, 100, 400, 1000, 4000), (8, 64, 256, 1024))
    most, found = 2 if setting.quick else 12, {}
    for name, fault in {"perfect": None, **FAULTS}.items():
        every, looks = (fault.kinds, SHORT) if fault else (EVERY, setting.length(20, SHORT))
        measure, kinds = partial(numbers, fault), [kind for kind in every if kind != "digits"]
        for n in sizes:
            looked = min(n, COUNT)
            if fault and n > looked:
                continue
            for d in dimensions:
                many = max(1, min(most, int(1.2e10 / (looked * (5 * looked + 2 * COUNT) * d))))
                many = max(1, 2 * many // len(kinds) if fault else many // (4 if n > looked else 1))
                found[f"{name}, n = {n:,}, d = {d:,}"] = partial(measure, n, d, kinds, many, looks), looks
            if n <= 400 and "digits" in every:
                many = (2 if fault else 4) * most
                found[f"{name}, n = {n:,}, digits"] = partial(measure, n, 64, ["digits"], many, looks), looks
    for seed, (row, (job, steps)) in itertools.product(range(setting.seeds), found.items()):
        yield Job(row, seed, partial(job, seed=seed), steps)


WORDS = texts("health", looks=SHORT)
WORDS["columns"] |= {rule.name: f"{rule.name}, % ↓" for rule in verdicts.RULES}
HEALTH = Experiment(**WORDS, rows=rows, seeds=1)
