"""The error rates of health diagnoses, on models that are perfect by construction and on models with a known fault."""

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
Sampling = Callable[[int, Any], Tensor]  # x, shape (count, d), for count and y


class Simulated:
    """Data of a known distribution and a perfect model of them, to be evaluated by `interalia.metrics.health.health`. Its
    samples are new samples of the distribution, its reconstructions nearly the data, and its z samples of the prior. `kind`
    is the distribution: Gaussian, uniform, mixture, curved or digits. `d` is the dimension of x and z, `n` the number of
    held-out examples, `turn` the number of the repetition. These numbers and `seed` seed its private random generator. With
    `known`, the samples are compared with the training data, too.
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
        """Returns samples of N(0, 1), a tensor of the shape `shape`, from the private random generator."""
        return torch.randn(*shape, generator=self.random)

    def evaluation(self) -> Given:
        """Returns the arguments of `health`, by name, for an evaluation of the perfect model, with new samples: all except
        history, features and cache. `labels` is left out if the data have none, `train` if the field `known` is False.
        """
        error = 0.1 * float(self.x.std()) * self.normal(*self.x.shape)
        made: Given = {"x": self.x, "samples": self.draw(self.n, self.y)}
        made |= {"reconstructions": self.x + error, "back": self.x - error}
        made |= {"z": self.z, "z_mean": self.z, "prior": self.prior}
        made["scores"] = self.scores, self.normal(SCORES)
        made["held_out_scores"] = self.held_out_scores, self.normal(min(SCORES, self.n))
        return made | ({} if self.y is None else {"labels": self.y}) | ({"train": self.train} if self.known else {})

    def evaluations(self, count: int, changed: Callable[[Given], Given] = lambda made: made) -> list[Health]:
        """Returns the results of `health` at `count` evaluations in a row, each with the former ones as its history.
        `changed` maps the arguments of `health`, by name, to those of a model with a fault; by default it is the identity.
        """
        history: list[Health] = []
        kept: dict[str, Tensor] = {}
        for _ in range(count):
            history.append(health(**changed(self.evaluation()), history=history, cache=kept))
        return history


def digits(t: Simulated) -> tuple[Tensor, Tensor, Tensor, Sampling]:
    """Returns (x, y, training x, draw) of scikit-learn's 8x8 images of digits, for the data `t`: n = `t.n` held-out images x,
    shape (n, 64), their labels y, shape (n,), and 700 training images, shape (700, 64). `draw(count, y)` returns `count` of
    the other images, none of them twice, with the labels y, shape (count,), which must be given. As a side effect, all other
    images of the digit 0 are stored in `t.zeros`, for `one_mode`.
    """
    from sklearn.datasets import load_digits

    x, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    order = torch.randperm(len(x), generator=t.random)
    x, y = (x.float() / 16)[order], y[order]
    left, labels = x[t.n + DIGITS :], y[t.n + DIGITS :]
    t.zeros = left[labels == 0]

    def draw(count: int, y: Any) -> Tensor:
        """Returns `count` different unused images with the labels y, shape (count, 64); y has the shape (count,)."""
        order = torch.randperm(len(left), generator=t.random)
        places = torch.empty(count, dtype=torch.int64)
        for label in y.unique():
            places[y == label] = order[labels[order] == label][: int((y == label).sum())]
        return left[places]

    return x[: t.n], y[: t.n], x[t.n : t.n + DIGITS], draw


def synthetic(t: Simulated, kind: str) -> tuple[Tensor, Tensor | None, Tensor, Sampling]:
    """Returns (x, y, training x, draw) of a distribution, for the data `t`: `t.n` held-out and 1,000 training examples, each
    of shape (n, t.d), and `draw(count, y)`, which samples `count` x given y. x is N(0, I) for the kind "Gaussian", U(0, 1)
    for "uniform", ten modes N(m, I) with means m ~ N(0, 9 I) for "mixture", and sin(A u) + noise with u ~ N(0, I) of 4
    dimensions and a random matrix A for "curved". y, shape (n,), is the mode of each x for "mixture", None for the others.
    """
    own = t.normal({"mixture": 10, "curved": 4}.get(kind, 0), t.d)
    draw: Sampling = {
        "Gaussian": lambda count, y: t.normal(count, t.d),
        "uniform": lambda count, y: torch.rand(count, t.d, generator=t.random),
        "mixture": lambda count, y: 3 * own[y] + t.normal(count, t.d),
        "curved": lambda count, y: torch.sin(t.normal(count, 4) @ own) + 0.02 * t.normal(count, t.d),
    }[kind]

    def labels(count: int) -> Tensor | None:
        """Draws `count` labels of the ten modes, shape (count,); None for a distribution without labels."""
        return torch.randint(10, (count,), generator=t.random) if kind == "mixture" else None

    y = labels(t.n)
    return draw(t.n, y), y, draw(COUNT, labels(COUNT)), draw


def one_mode(t: Simulated) -> Given:
    """Returns {"samples": samples}, an argument of `health`, for a model with mode collapse: all have the label 0."""
    if t.zeros is not None:  # there are few images of one digit, so they repeat
        return {"samples": t.zeros[torch.randint(len(t.zeros), (t.n,), generator=t.random)]}
    return {"samples": t.draw(t.n, torch.zeros(t.n, dtype=torch.int64))}


def half_copies(t: Simulated) -> Given:
    """Returns {"samples": samples}, an argument of `health`, for a model that copies: half are training examples."""
    rows = torch.randperm(t.n, generator=t.random)[: t.n // 2]
    samples = t.draw(t.n, t.y)
    samples[rows] = t.train[torch.randint(len(t.train), (len(rows),), generator=t.random)]
    return {"samples": samples}


def sure_critic(t: Simulated) -> Given:
    """Returns {"scores": (N(3.29, 1), N(0, 1))} as an argument of `health`: a critic with an area under its ROC of 0.99."""
    return {"scores": (t.scores[: t.n] + 3.29, t.normal(min(SCORES, t.n)))}


def other_labels(t: Simulated) -> Given:
    """Returns {"samples": samples}, an argument of `health`: those for the labels in a random order, as if ignored."""
    assert t.y is not None
    return {"samples": t.draw(t.n, t.y[torch.randperm(t.n, generator=t.random)])}


class Fault(NamedTuple):
    """A known fault of a model, which a health diagnosis should detect. `rules` are the names of the diagnoses of which one
    should detect it, the main one first. `make` maps simulated data to the arguments of `health` that have the fault. `needs`
    names the argument of `health` that shows it, besides x and samples. `kinds` are the distributions to test it on.
    """

    rules: tuple[str, ...]
    make: Callable[[Simulated], Given]
    needs: str
    kinds: tuple[str, ...] = ("Gaussian",)

    def given(self, training: Simulated, made: Given) -> Given:
        """Returns the arguments "x", "samples" and `needs` of `health` for a model with the fault: `training` has the data,
        `made` those for the perfect model. For "z" and "scores", x and samples have only their first 8 dimensions.
        """
        found = {**made, **self.make(training)}
        found = {key: found[key] for key in ("x", "samples", self.needs)}
        if self.needs in ("z", "scores"):  # the data do not matter
            found |= {"x": found["x"][:, :8], "samples": found["samples"][:, :8]}
        return found

    def among(self, diagnoses: Iterable[Diagnosis]) -> bool:
        """True if the fault is detected: one of the diagnoses has a name in `rules`."""
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
    """Evaluates models and returns column -> number: the rates, in %, of `false_alarms` of perfect models if `fault` is None,
    else of `detections` of the fault. For each of the distributions `kinds`, `trainings` models are evaluated `looks` times,
    each on n examples of d dimensions. The columns `trainings` and `looks` are total numbers of models and evaluations.
    """
    histories = []
    for kind, turn in itertools.product(kinds, range(trainings)):
        training = Simulated(kind, d, seed, n, turn, known=fault is not None or turn % 2 == 0)
        histories.append(training.evaluations(looks, partial(fault.given, training) if fault else dict))
    counts = {"looks": float(sum(map(len, histories))), "trainings": float(len(histories))}
    return counts | (detections(fault, histories) if fault else false_alarms(histories))


def false_alarms(histories: Sequence[Sequence[Health]]) -> dict[str, float]:
    """Returns name -> rate of false alarms, in %. The name of a diagnosis has the % of evaluations whose diagnostic is beyond
    the bound, among those that have this diagnostic; "any" the % of all evaluations where any diagnostic is; "any_training"
    the % of trainings with a diagnosis at any evaluation. `histories` has each training's results of `health`.
    """
    found = {"any": [], "any_training": [any(answer.diagnoses for answer in answers) for answers in histories]}
    for answer in itertools.chain(*histories):
        broken = verdicts.violated_rules(answer.diagnostics)
        found["any"].append(bool(broken))
        for rule in verdicts.RULES:
            if rule.value(answer.diagnostics) is not None:
                found.setdefault(rule.name, []).append(rule in broken)
    return {key: 100 * sum(alarms) / len(alarms) for key, alarms in found.items()}


def detections(fault: Fault, histories: Sequence[Sequence[Health]]) -> dict[str, float]:
    """Returns rates of detections of a fault, in %: `caught`, of evaluations, each diagnosed without the former ones;
    `caught_training`, of trainings, by the diagnoses at their last evaluation. `histories` has the results of `health` at
    all evaluations of each training. Returns {} if over half of them lack the diagnostic of the fault's main diagnosis.
    """
    looks = [answer.diagnostics for answers in histories for answer in answers]
    main = next(rule for rule in verdicts.RULES if rule.name == fault.rules[0])
    if 2 * sum(main.value(signs) is not None for signs in looks) < len(looks):
        return {}
    caught = [fault.among(verdicts.custom_loop_diagnoses([signs])) for signs in looks]
    lasted = [fault.among(answers[-1].diagnoses) for answers in histories]
    return {"caught": 100 * (sum(caught) / len(caught)), "caught_training": 100 * (sum(lasted) / len(lasted))}


def rows(setting: Setting) -> Iterator[Job]:
    """Yields a `Job` for perfect models and each fault, each n, d and seed: for larger n and d of fewer models."""
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
HEALTH = Experiment(**WORDS, rows=rows)
