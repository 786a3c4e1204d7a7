"""Which numbers an evaluation takes of what: games that are worked out by hand, and a record of all that is measured."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interalia import build, recipes, tasks
from interalia.conditionals import Deterministic, StandardNormal, Uniform
from interalia.contexts import draw_noise, keyed
from interalia.data import load as load_data
from interalia.data.dataset import Dataset, Mixture, Split
from interalia.errors import UserError
from interalia.games import ALI, GAN
from interalia.metrics import (
    REGISTRY,
    Metric,
    codes,
    coverage,
    definitions,
    distances,
    evidence,
    inference,
    metric,
    similarity,
)
from interalia.metrics.classifier import Classifier, Network
from interalia.metrics.evaluation import MetricValue, evaluate
from interalia.metrics.evidence import Evidence, Points
from interalia.metrics.extractors import Identity
from interalia.networks.mlp import MLP, PairCritic
from interalia.spaces import DataSpec


def test_the_counts_and_the_defaults() -> None:
    assert (evidence.NEIGHBOURS, evidence.COUNT, evidence.QUICK_COUNT) == (10_000, 5_000, 500)
    assert (evidence.MIXTURE_COUNT, evidence.PACGAN_COUNT, definitions.DISCREPANCY_COUNT) == (10_000, 2_500, 2_000)
    given = {p.name: p.default for p in inspect.signature(evaluate).parameters.values() if p.default is not p.empty}
    assert given == {
        "names": None, "split": "test", "count": None, "seed": 0, "extractor": None, "untrained": None, "quick": False
    }  # fmt: skip
    kinds = [p.kind for p in inspect.signature(evaluate).parameters.values()]
    assert kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 2 + [inspect.Parameter.KEYWORD_ONLY] * 7
    for kind in (MetricValue, Points, Metric):
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_a_metric_is_its_function_with_what_the_decorator_says() -> None:
    @metric("higher", "dB")
    def loudness(e: Any) -> Any:
        """How loud it is:
        a number.

        This is for readers of the code.
        """
        return torch.tensor(2.5), "so"

    try:
        assert REGISTRY["loudness"] is loudness
        assert (loudness.name, loudness.unit, loudness.better) == ("loudness", "dB", "higher")
        assert loudness.about == "How loud it is: a number."
        assert (type(loudness(None)), loudness(None)) == (float, 2.5)  # type: ignore[arg-type]
        (found,) = evaluate(by_hand(), dataset(), names=["loudness"])
        assert found == MetricValue("loudness", 2.5, "dB", "higher", "How loud it is: a number.", "so")
        loudness.function.__name__ = "psnr"
        with pytest.raises(UserError, match="'psnr' among the metrics already"):
            metric()(loudness.function)
    finally:
        REGISTRY.remove("loudness")


LOWER = {
    "reconstruction_error", "reconstruction_ratio", "reconstruction_mse", "latent_reconstruction", "classification_error",
    "code_error", "frechet_distance", "kernel_distance", "fid", "kid", "cycle_error", "frechet_to_a", "frechet_to_b",
    "translation_error_a", "translation_error_b", "reverse_kl", "aggregate_posterior_mean_norm",
    "aggregate_posterior_covariance_distance", "aggregate_posterior_kl", "aggregate_posterior_mmd",
    "frechet_in_file", "kernel_in_file", "classification_error_balanced",
}  # fmt: skip
NEITHER = {
    "reconstruction_mismatched", "knn1_input", "knn1_random_init", "frechet_real_vs_real", "knn1_random_init_balanced",
    "commonest_label", "frechet_untranslated", "fid_real_vs_real", "kid_real_vs_real", "frechet_in_file_real_vs_real",
    "kernel_in_file_real_vs_real",
    "inception_score_real", "aggregate_posterior_var", "aggregate_posterior_var_min", "aggregate_posterior_var_max",
}  # fmt: skip


def test_which_way_is_better() -> None:
    known = {
        name: metric.better for name, metric in REGISTRY.items() if not name.startswith(("memorisation", "health"))
    }
    assert {name for name, better in known.items() if better == "lower"} == LOWER
    assert {name for name, better in known.items() if better is None} == NEITHER
    units = {name: metric.unit for name, metric in REGISTRY.items() if metric.unit}
    assert units == {
        "psnr": "dB", "translation_psnr_a": "dB", "translation_psnr_b": "dB", "code_bound": "nats", "code_stability": "nats",
        "code_bound_categories": "nats", "reverse_kl": "nats", "aggregate_posterior_kl": "nats",
    }  # fmt: skip
    plain = Metric("name", "words", len)  # type: ignore[arg-type]
    assert (plain.better, plain.unit, plain.needs, plain.during_training) == (None, "", (), False)


# ---- points


def vectors(n: int, start: int = 0, labels: int | None = 3) -> Split:
    """Row i is (start + i, (start + i)^2 / 10): each tells which it is, and no two lie alike."""
    i = np.arange(start, start + n, dtype=np.float32)
    return Split(np.stack([i, i**2 / 10], 1), None if labels is None else np.arange(n) % labels)


def dataset(labels: int | None = 3, sizes: tuple[int, int, int] = (9, 7, 8), **fields: Any) -> Dataset:
    parts = [vectors(n, start, labels) for n, start in zip(sizes, (0, 100, 200), strict=True)]
    return Dataset("points", *parts, () if labels is None else tuple("abc"[:labels]), **fields)


@pytest.mark.parametrize(("count", "want"), [(-1, 0), (0, 0), (1, 1), (6, 6), (7, 7), (8, 7)])
def test_some_points_are_other_ones_in_order_with_their_labels(count: int, want: int) -> None:
    part = vectors(7)
    found = evidence._points(part, count, 3, part.y + 10)
    i = found.x[:, 0].long()
    assert len(i) == want
    assert torch.equal(i, i.unique())  # in order, none twice
    assert torch.equal(found.y, torch.from_numpy(part.y)[i])
    assert torch.equal(found.condition, found.y + 10)
    assert torch.equal(found.x, torch.from_numpy(part.x)[i])


def test_the_seed_chooses_the_points() -> None:
    part = vectors(40, labels=None)
    one, same, other = (evidence._points(part, 20, seed).x for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    found = evidence._points(part, 3, 0)
    assert found.y is None
    assert found.condition is None


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_a_split_by_its_name(name: str) -> None:
    data = dataset()
    assert evidence._split(data, name) is getattr(data, name)
    bare = {"train": 9, "validation": 7, "test": 8, name: 0}
    with pytest.raises(UserError, match=f"the {name} split of 'points' is empty"):
        evidence._split(dataset(sizes=tuple(bare.values())), name)  # type: ignore[arg-type]
    for wrong in ("", "Test", "shape", "other"):
        with pytest.raises(UserError, match=f"`split` is {wrong!r}"):
            evidence._split(data, wrong)


class Told:
    """A game in name: what it is told."""

    def __init__(self, labels: int = 0, attributes: tuple[str, ...] = ()) -> None:
        self.data = DataSpec((2,), labels, dict.fromkeys(attributes, 0.5))


def test_training_points_of_a_game_that_is_told_nothing_are_any() -> None:
    data = dataset()
    points = evidence._points(data.test, 5, 0)
    found = evidence._matching_train_points(Told(), data, points, 4)[:, 0]  # type: ignore[arg-type]
    assert len(set(found.tolist())) == 5
    assert found.max() < 9


def test_training_points_have_the_labels_of_the_held_out_ones() -> None:
    """Held out are labels 0 0 0 0 1 2 5; trained on are two of 0, four of 1, one of 2 and none of 5."""
    train = Split(vectors(8).x, np.array([1, 0, 1, 2, 0, 1, 1, 3]))
    held = Split(vectors(7, 100).x, np.array([0, 0, 5, 0, 0, 1, 2]))
    data = Dataset("few", train, held, held)
    points = evidence._points(held, 7, 0, held.y)
    ones, others = set(), set()
    for seed in range(40):
        rows = evidence._matching_train_points(Told(6), data, points, seed)[:, 0].long().tolist()  # type: ignore[arg-type]
        own = [(int(train.y[row]), int(y)) for row, y in zip(rows, held.y, strict=True) if y != 5]  # type: ignore[index]
        assert all(one == other for one, other in own)  # row by row
        assert len(rows) == 7
        free = list(rows)
        for row in (1, 1, 4, 4, 3):  # the two of label 0 twice each, the one of label 2
            free.remove(row)
        assert {0, 2, 5, 6} & set(free)
        ones |= set(free) & {0, 2, 5, 6}
        others |= set(free)
    assert ones == {0, 2, 5, 6}
    assert others == set(range(8))  # of a label that nobody has, any


def test_training_points_have_the_attributes_of_the_held_out_ones() -> None:
    bits = {"train": np.array([[0, 1], [1, 0], [1, 1], [0, 0]]), "test": np.array([[1, 1], [1, 0], [1, 1]])}
    data = dataset(sizes=(4, 3, 3), attributes={"names": np.array(["p", "q"]), **bits})
    points = evidence._points(data.test, 3, 0, bits["test"])
    found = evidence._matching_train_points(Told(2, ("p", "q")), data, points, 0)  # type: ignore[arg-type]
    assert found[:, 0].tolist() == [2, 1, 2]  # row by row


def test_the_words_for_how_samples_are_drawn() -> None:
    def words(game: Any) -> str:
        return evidence.Evidence(game, dataset()).sampling

    assert words(Told()) == "draws of p(x | z)"
    assert words(Told(2)) == "draws of p(x | z, y) with the labels of the held-out points"
    assert words(Told(2, ("p",))) == "draws of p(x | z, y) with the attributes of the held-out points"


# ---- a game by hand: E(x) = x / 4 + 1, G(z) = 2 z - 1; the encoder's last hidden layer is -x


class Line(nn.Module):
    def __init__(self, slope: float, shift: float) -> None:
        super().__init__()
        self.slope, self.shift = nn.Parameter(torch.tensor(slope)), shift
        self.told: list[Tensor] = []

    def forward(self, x: Tensor, *y: Tensor) -> Tensor:
        self.told += y
        return self.slope * x + self.shift


class Reading(Deterministic):
    def hidden(self, x: Tensor, *y: Tensor) -> Tensor:
        return -x


SPEC = {f.name for f in dataclasses.fields(DataSpec)}


def by_hand(prior: Any = None, kind: Any = ALI, **fields: Any) -> Any:
    prior = prior or StandardNormal(2)
    parts = [Deterministic(Line(2.0, -1.0)), PairCritic(MLP(4, 1))]
    game = kind(*([Reading(Line(0.25, 1.0))] if kind is ALI else []), *parts, prior)
    said = {"condition": fields.pop("labels", 0), **{key: fields.pop(key) for key in SPEC if key in fields}}
    game.data = DataSpec(**{"shape": (2,), **said})
    for name, value in fields.items():
        setattr(game, name, value)
    return game


class Look(Identity):
    """Keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__(2)
        object.__setattr__(self, "seen", [])

    def __call__(self, x: Tensor) -> Tensor:
        self.seen.append(x)  # type: ignore[attr-defined]
        return super().__call__(x)


HOMES = {
    distances: ["frechet_distance", "kernel_distance", "inception_score", "maximum_mean_discrepancy"],
    inference: [
        "reconstruction", "latent_reconstruction", "nearest_neighbour_accuracy", "linear_probe_accuracy",
        "posterior_moments",
    ],
    coverage: ["precision_recall_density_coverage", "mixture_coverage"],
    codes: ["matching", "code_error", "code_bounds", "mutual_information"],
    similarity: ["peak_signal_to_noise"],
}  # fmt: skip


def put(monkeypatch: pytest.MonkeyPatch, name: str, function: Any) -> None:
    """In place of a function where metrics find it."""
    (home,) = (home for home, names in HOMES.items() if name in names)
    for module in (home, evidence):
        monkeypatch.setattr(module, name, function, raising=module is home)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[tuple[Any, ...], dict[str, Any], Any]]]:
    """What each function was called with, and answered."""
    calls: dict[str, list[Any]] = {name: [] for names in HOMES.values() for name in names}

    def kept(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **settings: Any) -> Any:
            answer = function(*given, **settings)
            calls[name].append((given, settings, answer))
            return answer

        return call

    for home, names in HOMES.items():
        for name in names:
            put(monkeypatch, name, kept(name, getattr(home, name)))
    return calls


def draws(n: int, seed: int) -> Tensor:
    with keyed(seed, "latents"):
        return draw_noise("prior", "normal", (n, 2), torch.empty(0))


def test_every_number_of_a_game_by_hand(record: dict[str, Any]) -> None:
    data, look, n = dataset(), Look(), 6
    untrained = by_hand()
    untrained.encoder.hidden = lambda x: 7 * x
    found = {
        m.name: m
        for m in evaluate(by_hand(), data, split="validation", count=n, seed=3, extractor=look, untrained=untrained)
    }  # type: ignore[arg-type]
    x, fake, training = look.seen  # type: ignore[attr-defined]
    rows = (x[:, 0] - 100).long()
    assert len(set(rows.tolist())) == n
    y = rows % 3
    assert int(rows.max()) < 7
    z = draws(n, 3)
    assert torch.allclose(fake, 2 * z - 1)
    assert training[:, 0].max() < 9
    assert len(training) == n
    # reconstructions: G(E(x)) = x / 2 + 1
    (((shown, x_hat, seed), _, answer),) = record["reconstruction"]
    assert torch.equal(shown, x)
    assert torch.allclose(x_hat, x / 2 + 1)
    assert seed == 3
    away = (x.double() - (x.double() / 2 + 1)).norm(dim=1)
    assert found["reconstruction_error"].value == pytest.approx(float(away.mean()), rel=1e-6)
    assert found["reconstruction_mse"].value == pytest.approx(float((away**2).sum()) / 12, rel=1e-6)
    assert found["reconstruction_mismatched"].value == answer.mismatched
    assert found["reconstruction_ratio"].value == pytest.approx(answer.error / answer.mismatched)
    assert "psnr" not in found  # of vectors
    # z found again: E(G(z)) = z / 2 + 3 / 4
    assert found["latent_reconstruction"].value == pytest.approx(float((z / 2 - 0.75).square().mean()), rel=1e-5)
    # accuracies: of inputs, latents, hidden layers
    read = record["nearest_neighbour_accuracy"]
    whole = torch.from_numpy(data.train.x)
    maps = [lambda x: x / 4 + 1, lambda x: -x, lambda x: x, lambda x: 7 * x]
    for ((a, a_y, b, b_y), _, _), change in zip(read, maps, strict=True):
        assert torch.allclose(a, change(whole))
        assert torch.equal(a_y, torch.from_numpy(data.train.y))
        assert torch.allclose(b, change(x))
        assert torch.equal(b_y, y)
    for name, (_, _, answer) in zip(("latent", "features", "input", "random_init"), read, strict=True):
        assert found[f"knn1_{name}"].value == answer
    probes = record["linear_probe_accuracy"]
    assert len(probes) == 2
    for name, ((a, a_y, b, b_y), settings, answer), change in zip(
        ("latent", "features"), probes, maps[:2], strict=True
    ):
        assert torch.allclose(a, change(whole))
        assert torch.allclose(b, change(x))
        assert torch.equal(a_y, torch.from_numpy(data.train.y))
        assert torch.equal(b_y, y)
        assert settings == {"seed": 3}
        assert found[f"linear_probe_{name}"].value == answer
    # samples
    first, floor = record["frechet_distance"]
    assert torch.equal(first[0][0], x)
    assert torch.equal(first[0][1], fake)
    assert torch.equal(floor[0][0], x)
    assert torch.equal(floor[0][1], training)
    assert (found["frechet_distance"].value, found["frechet_real_vs_real"].value) == (first[2], floor[2])
    (kernel,) = record["kernel_distance"]
    assert kernel[1] == {"seed": 3, "paired": False}
    assert found["kernel_distance"].value == kernel[2]
    (near,) = record["precision_recall_density_coverage"]
    assert near[0][2] == 5
    for name in ("precision", "recall", "density", "coverage"):
        assert found[name].value == getattr(near[2], name)
    for call in (kernel, near):
        assert torch.equal(call[0][0], x)
        assert torch.equal(call[0][1], fake)
    # the posterior
    (((z_hat, mean, variance), _, moments),) = record["posterior_moments"]
    assert torch.allclose(z_hat, x / 4 + 1)
    assert (mean, variance) == (0, 1)
    for name in ("mean_norm", "variance", "variance_min", "variance_max", "covariance_distance"):
        metric_name = f"aggregate_posterior_{name.replace('variance', 'var') if name.startswith('variance') else name}"
        assert found[metric_name].value == getattr(moments, name)
    (((a, b, bandwidth), _, discrepancy),) = record["maximum_mean_discrepancy"]
    assert sorted(a[:, 0].tolist()) == sorted(z_hat[:, 0].tolist())
    assert torch.allclose(b, draws(n, 4))  # other draws than those that samples are made of
    assert bandwidth == pytest.approx(math.sqrt(2))
    assert found["aggregate_posterior_mmd"].value == discrepancy
    # in which words
    where = "6 of 7 of the validation split, seed 3"
    samples = "6 samples, draws of p(x | z)"
    identity = "identity (2 numbers)"
    fitted = f"{where}; fitted on 9 of the train split"
    posterior = f"{where}; one draw of q(z | x) each; the prior has mean 0 and variance 1"
    want = {
        **dict.fromkeys(
            ["reconstruction_error", "reconstruction_mismatched", "reconstruction_ratio", "reconstruction_mse"],
            f"{where}; means of q(z | x) and p(x | z)",
        ),
        "latent_reconstruction": "6 draws of the prior, seed 3; draws of p(x | z); means of q(z | x)",
        **dict.fromkeys([f"knn1_{space}" for space in ("input", "latent", "features", "random_init")], fitted),
        **dict.fromkeys(["knn1_features_balanced", "knn1_random_init_balanced", "commonest_label"], fitted),
        **dict.fromkeys(
            ["linear_probe_latent", "linear_probe_features"], f"{fitted}, standardized, penalty chosen on a part of it"
        ),
        "frechet_distance": f"{samples}, against {where}; {identity}",
        "frechet_real_vs_real": f"6 of the train split against {where}; {identity}",
        "kernel_distance": f"{samples}, against {where}; {identity}; "
        "100 subsets of 1000, or all samples if there are no more",
        **dict.fromkeys(
            ["precision", "recall", "density", "coverage"], f"{samples}, against {where}; {identity}; k = 5"
        ),
        "aggregate_posterior_mmd": f"{posterior}; 6 of each, Gaussian kernel of width 1.414",
    }
    assert {name: m.protocol for name, m in found.items() if not name.startswith("aggregate") or name in want} == want
    assert all(m.protocol.startswith(posterior) for name, m in found.items() if name.startswith("aggregate"))
    order = list(REGISTRY)
    assert [order.index(name) for name in found] == sorted(order.index(name) for name in found)


def test_quick_takes_two_numbers_of_the_same_draws(record: dict[str, Any]) -> None:
    look = Look()
    found = evaluate(by_hand(), dataset(), split="train", seed=5, extractor=look, quick=True)
    assert [m.name for m in found] == ["reconstruction_ratio", "frechet_distance"]
    assert len(look.seen) == 2  # type: ignore[attr-defined]
    assert found[1].protocol.startswith("9 samples, draws of p(x | z), against 9 of 9 of the train split, seed 5; ")


@pytest.mark.parametrize(("quick", "want"), [(True, 4), (False, 6)])
def test_how_many_are_drawn_by_default(monkeypatch: pytest.MonkeyPatch, quick: bool, want: int) -> None:
    monkeypatch.setattr(evidence, "QUICK_COUNT", 4)
    monkeypatch.setattr(evidence, "COUNT", 6)
    for count, number in ((None, want), (5, 5), (2, 2), (100, 8)):
        look = Look()
        evaluate(by_hand(kind=GAN), dataset(), count=count, extractor=look, quick=quick)
        assert {len(x) for x in look.seen} == {number}  # type: ignore[attr-defined]


def test_two_points_are_enough_and_one_is_not() -> None:
    found = {m.name: m.protocol for m in evaluate(by_hand(), dataset(), count=2, extractor=Look())}
    assert found["precision"].endswith("k = 1")
    for count in (1, 0, -3):
        with pytest.raises(UserError, match=f"there are {max(count, 0)} samples to evaluate on"):
            evaluate(by_hand(), dataset(), count=count, extractor=Look())
    found = {m.name: m.protocol for m in evaluate(by_hand(), dataset(), count=5, extractor=Look())}
    assert found["precision"].endswith("k = 4")


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match=r"built for the shape \(3,\) and the data set 'points' has \(2,\)"):
        evaluate(by_hand(shape=(3,)), dataset())
    with pytest.raises(
        UserError, match="the validation split of 'points' has no labels, and this ALI is conditional on them"
    ):
        evaluate(by_hand(labels=3), dataset(None), split="validation")
    assert evaluate(by_hand(), dataset(None), extractor=Look())


def test_accuracies_want_labels_on_both_sides_and_probes_two_of_them(
    monkeypatch: pytest.MonkeyPatch, record: dict[str, Any]
) -> None:
    def names(data: Dataset, game: Any = None, **settings: Any) -> set[str]:
        found = evaluate(game or by_hand(), data, extractor=Look(), **settings)
        return {m.name for m in found if m.name.startswith(("knn1", "linear", "commonest"))}

    every = {"knn1_input", "knn1_latent", "knn1_features", "knn1_features_balanced", "commonest_label"}
    probes = {"linear_probe_latent", "linear_probe_features"}
    assert names(dataset()) == every | probes
    assert names(dataset(2)) == every | probes
    assert names(dataset(1)) == every
    assert names(dataset(), untrained=by_hand(kind=GAN)) == every | probes
    parts = {"train": vectors(9), "validation": vectors(7), "test": vectors(8)}
    for name in ("train", "test"):
        bare = {**parts, name: Split(parts[name].x)}
        assert names(Dataset("half", *bare.values())) == set()
    told = by_hand(labels=3, names=("a", "b", "c"))
    assert names(dataset(), told) == set()  # an encoder that is told the label proves nothing
    assert names(dataset(), by_hand(kind=GAN)) == set()
    monkeypatch.setattr(evidence, "NEIGHBOURS", 4)
    record["nearest_neighbour_accuracy"].clear()
    found = {m.name: m for m in evaluate(by_hand(), dataset(2), seed=1, extractor=Look())}
    assert found["knn1_input"].protocol.endswith("; fitted on 4 of the train split")
    assert [len(call[0][0]) for call in record["nearest_neighbour_accuracy"]] == [4, 4, 4]
    want = evidence._points(dataset(2).train, 4, 1)
    assert torch.equal(record["nearest_neighbour_accuracy"][2][0][0], want.x)


def test_the_kernel_of_the_posterior_is_as_wide_as_the_prior(
    monkeypatch: pytest.MonkeyPatch, record: dict[str, Any]
) -> None:
    monkeypatch.setattr(definitions, "DISCREPANCY_COUNT", 3)
    found = {m.name: m for m in evaluate(by_hand(Uniform(2)), dataset(), seed=2, extractor=Look())}
    (((_, mean, variance), _, _),) = record["posterior_moments"]
    assert (mean, variance) == (0, 1 / 3)
    (((a, b, bandwidth), _, _),) = record["maximum_mean_discrepancy"]
    assert (len(a), len(b)) == (3, 3)
    assert len(a.unique(dim=0)) == 3
    assert bandwidth == pytest.approx(math.sqrt(2 / 3))
    assert b.abs().max() <= 1
    assert found["aggregate_posterior_mmd"].protocol.endswith(
        "the prior has mean 0 and variance 0.3333; 3 of each, Gaussian kernel of width 0.8165"
    )
    other = by_hand()
    del_mean = type("Shapeless", (StandardNormal,), {"__getattribute__": no_mean})
    other.prior = del_mean(2)
    assert not [m for m in evaluate(other, dataset(), extractor=Look()) if m.name.startswith("posterior")]
    assert not [m for m in evaluate(by_hand(kind=GAN), dataset(), extractor=Look()) if m.name.startswith("posterior")]


def no_mean(self: Any, name: str) -> Any:
    if name == "mean":
        raise AttributeError(name)
    return super(StandardNormal, self).__getattribute__(name)


class NoiseConditionedConv(Reading):
    """N(line, 1/4): its mean is known, and a draw is not it."""

    def forward(self, *c: Tensor) -> Any:
        return torch.distributions.Normal(self.network(*c), 0.5)


def test_where_means_are_taken_and_where_draws(monkeypatch: pytest.MonkeyPatch, record: dict[str, Any]) -> None:
    game = by_hand()
    game.encoder, game.decoder = NoiseConditionedConv(Line(0.25, 1.0)), NoiseConditionedConv(Line(2.0, -1.0))
    encode, asked = tasks.encode, []

    def asking(game: Any, x: Tensor, seed: int = 0, sample: bool = False, y: Tensor | None = None) -> Tensor:
        asked.append((seed, "sample" if sample else "mean"))
        return encode(game, x, seed, sample, y)

    monkeypatch.setattr(tasks, "encode", asking)
    monkeypatch.setattr(tasks, "infer", asking)  # of samples
    look = Look()
    evaluate(game, dataset(), seed=3, extractor=look)
    x, fake, _ = look.seen  # type: ignore[attr-defined]
    assert asked == [(4, "mean"), (3, "mean"), (3, "mean"), (3, "sample")]
    (((_, x_hat, _), _, _),) = record["reconstruction"]
    assert torch.allclose(x_hat, x / 2 + 1)
    z = draws(8, 3)
    drawn = tasks.decode(game, z, 3, sample=True)
    assert not torch.allclose(drawn, 2 * z - 1)
    assert torch.equal(fake, drawn)
    (((given, z_hat), _, _),) = record["latent_reconstruction"]
    assert torch.equal(given, z)
    assert torch.allclose(z_hat, drawn / 4 + 1)
    (((posterior, *_), _, _),) = record["posterior_moments"]
    assert torch.equal(posterior, encode(game, x, 3, "sample"))
    assert not torch.allclose(posterior, x / 4 + 1)


def test_a_game_is_left_as_it_was() -> None:
    game = by_hand()
    game.train()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    evaluate(game, dataset(), extractor=Look())
    assert all(module.training for module in game.modules())
    assert all(p.requires_grad for p in game.parameters())
    assert torch.equal(torch.get_rng_state(), before)


# ---- classes: an extractor that reads the first coordinate


class Reader(Classifier):
    def __init__(self, name: str = "reader") -> None:
        super().__init__(None, name, 1.0)  # type: ignore[arg-type]

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def probabilities(self, x: Tensor) -> Tensor:
        """Sure of label 1 as the first number is large."""
        p = x.flatten(1)[:, :1].sigmoid()
        return torch.cat([1 - p, p], 1)


@pytest.mark.parametrize(("n", "splits"), [(99, 1), (199, 1), (200, 2), (999, 9), (1000, 10), (1100, 10)])
def test_inception_scores_are_of_parts_of_a_hundred(
    monkeypatch: pytest.MonkeyPatch, record: dict[str, Any], n: int, splits: int
) -> None:
    put(monkeypatch, "frechet_distance", lambda *given: 1.0)
    put(monkeypatch, "kernel_distance", lambda *given, **settings: 1.0)
    put(monkeypatch, "precision_recall_density_coverage", lambda *given: PLAIN)
    data = dataset(sizes=(3, 2, n))
    found = {m.name: m for m in evaluate(by_hand(kind=GAN), data, seed=3, extractor=Reader())}
    (fake, k, s), (real, k2, s2) = [(call[0][0], call[0][1], call[2]) for call in record["inception_score"]]
    assert (k, k2) == (splits, splits)
    assert (found["inception_score"].value, found["inception_score_real"].value) == (s, s2)
    want = Reader().probabilities(2 * draws(n, 3) - 1)
    assert torch.allclose(fake[:, 1].sort().values, want[:, 1].sort().values)
    assert not torch.allclose(fake, want)  # in another order, so that no part is of few labels
    assert len(real) == n
    where = f"{n} of {n} of the test split, seed 3; reader; {splits} splits"
    assert found["inception_score"].protocol == f"{n} samples, draws of p(x | z), against {where}"
    assert found["inception_score_real"].protocol == where
    assert "label_accuracy" not in found


class PLAIN:
    precision, recall, density, coverage = 0.1, 0.2, 0.3, 0.4


def test_features_without_classes_have_no_inception_score() -> None:
    names = {m.name for m in evaluate(by_hand(kind=GAN), dataset(), extractor=Look())}
    assert names == {
        "frechet_distance", "frechet_real_vs_real", "kernel_distance", "precision", "recall", "density", "coverage"
    }  # fmt: skip


def test_samples_are_read_as_the_label_that_they_were_asked_for(record: dict[str, Any]) -> None:
    data = dataset(2, sizes=(9, 7, 8))
    game = by_hand(kind=GAN, labels=2, names=("a", "b"))
    found = {m.name: m for m in evaluate(game, data, seed=3, extractor=Reader())}
    y = torch.arange(8) % 2
    read = (2 * draws(8, 3) - 1)[:, 0] > 0
    want = (read == y.bool()).double().mean().item()
    assert 0 < want < 1
    assert found["label_accuracy"].value == want
    words = "8 samples, draws of p(x | z, y) with the labels of the held-out points"
    assert found["label_accuracy"].protocol == f"{words}, 8 of 8 of the test split, seed 3; reader"
    assert found["frechet_real_vs_real"].protocol.startswith("8 of the train split with the same labels against 8 of 8")
    assert record["kernel_distance"][0][1] == {"seed": 3, "paired": True}
    told = game.decoder.network.told
    assert all(torch.equal(part, torch.eye(2)[y]) for part in told)
    assert len(told) == 1
    plain = {m.name for m in evaluate(game, data, extractor=Look())}
    assert "label_accuracy" not in plain


def test_attributes_are_not_read_as_labels(record: dict[str, Any]) -> None:
    bits = {"train": np.eye(2)[np.arange(9) % 2], "test": np.eye(2)[np.arange(8) % 2]}
    data = dataset(attributes={"names": np.array(["p", "q"]), **bits})
    game = by_hand(kind=GAN, labels=2, attributes={"p": 0.5, "q": 0.5})
    found = {m.name: m for m in evaluate(game, data, extractor=Reader())}
    assert "label_accuracy" not in found
    assert found["frechet_real_vs_real"].protocol.startswith("8 of the train split with the same attributes against")
    assert "with the attributes of the held-out points" in found["precision"].protocol


# ---- modes


@pytest.mark.parametrize(
    ("count", "quick", "drawn", "few"), [(None, False, 7, 3), (None, True, 3, 3), (2, False, 2, 2), (5, True, 5, 3)]
)
def test_modes_are_counted_on_so_many_draws(
    monkeypatch: pytest.MonkeyPatch, record: dict[str, Any], count: int | None, quick: bool, drawn: int, few: int
) -> None:
    monkeypatch.setattr(evidence, "MIXTURE_COUNT", 7)
    monkeypatch.setattr(evidence, "PACGAN_COUNT", 3)
    data = dataset(mixture=Mixture(np.array([[0.0, 0.0], [3.0, 1.0]], np.float32), 0.5))
    found = {m.name: m for m in evaluate(by_hand(kind=GAN), data, count=count, seed=2, quick=quick)}
    samples = 2 * draws(drawn, 2) - 1
    calls = record["mixture_coverage"]
    assert [len(call[0][0]) for call in calls] == [few] + [drawn] * (not quick)
    assert torch.allclose(calls[0][0][0], samples[:few])
    assert torch.allclose(calls[-1][0][0], samples[: few if quick else drawn])
    words = f"{few} samples, draws of p(x | z), seed 2; nearest mean, three standard deviations, as in PacGAN"
    for name in ("modes", "high_quality", "reverse_kl"):
        assert found[name].value == getattr(calls[0][2], name)
        assert found[name].protocol == words
    assert ("modes_assigned" in found) is (not quick)
    if not quick:
        assert found["modes_assigned"].value == calls[1][2].modes_assigned
        assert (
            found["modes_assigned"].protocol
            == f"{drawn} samples, draws of p(x | z), seed 2; by responsibility, as in ALI"
        )
    assert not {"frechet_distance", "knn1_input"} & set(found)


def test_modes_of_a_game_that_is_told_labels_begin_anew_with_them() -> None:
    data = dataset(mixture=Mixture(np.zeros((3, 2), np.float32), 0.5))
    game = by_hand(kind=GAN, labels=3, names=("a", "b", "c"))
    evaluate(game, data, count=20)
    (told,) = game.decoder.network.told
    assert torch.equal(told, torch.eye(3)[(torch.arange(20) % 8) % 3])


# ---- labels and codes that a game reads


def test_the_classification_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read are the labels 0, 2, 1, 0 of images of 0, 1, 2, 0: two of four are wrong, of the least likely ones three."""
    read = torch.tensor([[0.7, 0.1, 0.2], [0.1, 0.4, 0.5], [0.2, 0.7, 0.1], [0.6, 0.1, 0.3]])
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(tasks, "classify", lambda game, x, seed: asked.append((len(x), seed)) or read)
    found = {m.name: m for m in evaluate(by_hand(classes=3), dataset(sizes=(9, 7, 4)), seed=4, extractor=Look())}
    assert found["classification_error"].value == 0.5
    assert found["classification_error"].protocol == "4 of 4 of the test split, seed 4"
    assert asked == [(4, 4)]
    for game, data in ((by_hand(), dataset()), (by_hand(classes=3), dataset(None))):
        assert "classification_error" not in {m.name for m in evaluate(game, data, extractor=Look())}


def coded(categorical: tuple[int, ...] = (3,)) -> Any:
    from interalia.conditionals import Codes

    prior = Codes(7, categorical=categorical, uniform=1)
    game = GAN(Deterministic(MLP(7, 2)), PairCritic(MLP(2, 1)), prior)
    game.data = DataSpec((2,))
    game.code_parameters = lambda x: x
    return game


def test_codes_are_matched_on_validation_data_and_judged_on_the_rest(
    monkeypatch: pytest.MonkeyPatch, record: dict[str, Any]
) -> None:
    """The recogniser answers by the row of the data: category 2 - y of each, but for the first point of the test split."""

    def answers(game: Any, x: Tensor) -> Tensor:
        place = (x[:, 0].round().long() % 100) % 3
        category = torch.where(x[:, 0] == 200, 1, 2 - place)
        return torch.cat([torch.eye(3)[category] * 0.5, torch.full((len(x), 1), 9.0)], 1)

    monkeypatch.setattr(tasks, "code_parameters", answers)
    game = coded()
    found = {m.name: m for m in evaluate(game, dataset(), seed=1, extractor=Look())}
    assert found["code_error"].value == 1 / 8
    assert found["code_error"].protocol == (
        "8 of 8 of the test split, seed 1; c1's 3 categories matched one to one to the labels, by the Hungarian method, on "
        "7 of the validation split"
    )
    (((prior, told, z), _, bounds),) = record["code_bounds"]
    assert prior is game.prior
    assert torch.equal(z, tasks.sample_latents(game, 8, 1))
    assert torch.equal(told, answers(game, tasks.decode(game, z, 1, sample=True)))
    assert found["code_bound"].value == pytest.approx(float(bounds.sum()))
    assert found["code_bound_categories"].value == pytest.approx(float(bounds[0]))
    h = [math.log(3), math.log(2)]
    each = ", ".join(
        f"{name} {b:.3f} (H {e:.3f})" for name, b, e in zip(game.prior.code_names, bounds.tolist(), h, strict=True)
    )
    words = f"8 samples, draws of p(x | z), seed 1; Q's width for continuous codes fitted to them; {each}"
    assert found["code_bound"].protocol == words
    assert found["code_bound_categories"].protocol == f"at most {h[0]:.3f}; {words}"
    for data in (dataset(None), Dataset("half", vectors(9), Split(vectors(7).x), vectors(8))):
        assert "code_error" not in {m.name for m in evaluate(game, data, extractor=Look())}
    assert not [m for m in evaluate(game, dataset(), extractor=Look(), quick=True) if m.name.startswith("code")]


def test_two_codes_of_categories_tell_both_of_their_entropies(
    monkeypatch: pytest.MonkeyPatch, record: dict[str, Any]
) -> None:
    monkeypatch.setattr(tasks, "code_parameters", lambda game, x: x[:, :1] * torch.arange(6) / 9)
    found = {m.name: m for m in evaluate(coded((3, 2)), dataset(), extractor=Look())}
    (_, _, bounds) = record["code_bounds"][0]
    assert found["code_bound_categories"].protocol.startswith(f"at most {math.log(6):.3f}; 8 samples")
    assert found["code_bound_categories"].value == pytest.approx(float(bounds[0] + bounds[1]))


def test_codes_without_categories_have_their_bound_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "code_parameters", lambda game, x: x[:, :1])
    names = {m.name for m in evaluate(coded(()), dataset(), extractor=Look())}
    assert {name for name in names if name.startswith("code")} == {"code_bound"}


# ---- two domains: G(a) = 3 a + 0.1, F(b) = b / 4


def images(n: int, start: float, labels: bool = True) -> Split:
    random = np.random.default_rng(int(start))
    return Split(random.integers(0, 200, (n, 1, 2, 2)).astype(np.uint8), np.arange(n) % 2 if labels else None)


def domains(paired: bool, labels: bool = True) -> Dataset:
    other = Dataset("b", images(8, 4), images(5, 5), images(6, 6, labels), ("a", "b"))
    return Dataset("a", images(9, 1), images(5, 2), images(6, 3, labels), ("a", "b"), other=other, paired=paired)


class Pair:
    """A game between two domains in name."""

    data = DataSpec((1, 2, 2), other=(1, 2, 2))


@pytest.fixture
def translated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(tasks, "translate", lambda game, x, to: 3 * x + 0.1 if to == "b" else x / 4)
    asked: list[Any] = []

    def extractor(data: Dataset, device: Any) -> Reader:
        asked.append((data.name, device))
        return Reader(f"reader of {data.name}")

    monkeypatch.setattr(tasks, "device_of", lambda game: "here")
    monkeypatch.setattr(evidence, "extractor_for", extractor)
    return asked


def test_translations_both_ways(translated: list[Any], record: dict[str, Any]) -> None:
    data = domains(paired=True)
    game: Any = Pair()
    found = {m.name: m for m in evaluate(game, data, seed=7)}
    a, b = (torch.from_numpy(part.test.x / np.float32(255)) for part in (data, data.other))
    fake_b, fake_a = 3 * a + 0.1, b / 4
    assert translated == [("a", "here"), ("b", "here")]
    back = (a - fake_b / 4).abs().mean() + (b - (3 * fake_a + 0.1)).abs().mean()
    assert found["cycle_error"].value == pytest.approx(float(back) / 2, rel=1e-5)
    assert found["translation_error_a"].value == pytest.approx(float((fake_a - a).abs().mean()), rel=1e-6)
    assert found["translation_error_b"].value == pytest.approx(float((fake_b - b).abs().mean()), rel=1e-6)
    for name, fake, real in (("a", fake_a, a), ("b", fake_b, b)):
        mse = float((fake - real).double().square().mean())
        assert found[f"translation_psnr_{name}"].value == pytest.approx(-10 * math.log10(mse), rel=1e-5)
        read = (Reader().probabilities(fake).argmax(1) == torch.arange(6) % 2).double().mean().item()
        assert found[f"translation_accuracy_{name}"].value == read
    to_a, to_b, same_a, same_b, floor_a, floor_b = record["frechet_distance"]
    for call, real, other in ((same_a, a, b), (same_b, b, a)):
        assert torch.equal(call[0][0], real.flatten(1))
        assert torch.equal(call[0][1], other.flatten(1))
    assert found["frechet_untranslated"].value == pytest.approx((same_a[2] + same_b[2]) / 2)
    for call, real, fake in ((to_a, a, fake_a), (to_b, b, fake_b)):
        assert torch.equal(call[0][0], real.flatten(1))
        assert torch.allclose(call[0][1], fake.flatten(1))
    for call, real, part in ((floor_a, a, data.train), (floor_b, b, data.other.train)):
        assert torch.equal(call[0][0], real.flatten(1))
        assert torch.equal(call[0][1], evidence._points(part, 6, 8).x.flatten(1))
    assert (found["frechet_to_a"].value, found["frechet_to_b"].value) == (to_a[2], to_b[2])
    assert found["frechet_distance"].value == pytest.approx((to_a[2] + to_b[2]) / 2)
    assert found["frechet_real_vs_real"].value == pytest.approx((floor_a[2] + floor_b[2]) / 2)
    where = "6 of 6 of the test split, seed 7, and 6 of 6 of domain b"
    both = "reader of a and reader of b"
    words = {name: f"6 translations against 6 held-out of domain {name}, seed 7; reader of {name}" for name in "ab"}
    assert {name: m.protocol for name, m in found.items()} == {
        "cycle_error": where,
        **{f"frechet_to_{name}": words[name] for name in "ab"},
        "frechet_untranslated": f"mean of both domains; {where}; {both}",
        **{f"translation_error_{name}": where for name in "ab"},
        **{f"translation_psnr_{name}": f"{where}; peak 1" for name in "ab"},
        **{f"translation_accuracy_{name}": words[name] for name in "ab"},
        "frechet_distance": f"mean of both domains; {where}; {both}",
        "frechet_real_vs_real": f"as many of the train split; mean of both domains; {where}; {both}",
    }
    order = list(REGISTRY)
    assert list(found) == sorted(found, key=order.index)


def test_what_of_translations_is_taken_where(translated: list[Any]) -> None:
    def names(data: Dataset, **settings: Any) -> set[str]:
        game: Any = Pair()
        return {m.name for m in evaluate(game, data, **settings)}

    ways = {"cycle_error", "frechet_to_a", "frechet_to_b", "frechet_distance"}
    errors, psnr = {"translation_error_a", "translation_error_b"}, {"translation_psnr_a", "translation_psnr_b"}
    read = {"translation_accuracy_a", "translation_accuracy_b"}
    assert names(domains(False)) == ways | {"frechet_real_vs_real", "frechet_untranslated"}
    assert names(domains(False), quick=True) == ways
    assert names(domains(True)) == ways | {"frechet_real_vs_real", "frechet_untranslated"} | errors | psnr | read
    assert names(domains(True), quick=True) == ways | errors
    assert names(domains(True, labels=False)) == ways | {"frechet_real_vs_real", "frechet_untranslated"} | errors | psnr
    translated.clear()
    flat = type("Flat", (), {"name": "flat", "__call__": lambda self, x: x.flatten(1)})()
    assert (
        names(domains(True), extractor=flat) == ways | {"frechet_real_vs_real", "frechet_untranslated"} | errors | psnr
    )
    assert translated == []
    game: Any = Pair()
    found = {m.name: m for m in evaluate(game, domains(False), extractor=flat)}
    assert found["frechet_distance"].protocol.endswith("; flat")
    assert names(domains(False), extractor=Reader()) == ways | {"frechet_real_vs_real", "frechet_untranslated"}
    assert translated == [("b", "here")]  # a classifier reads its own domain alone


def test_of_each_domain_so_many(translated: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "COUNT", 5)
    monkeypatch.setattr(evidence, "QUICK_COUNT", 3)
    game: Any = Pair()
    for settings, count in (({}, 5), ({"quick": True}, 3), ({"count": 4}, 4)):
        found = {m.name: m for m in evaluate(game, domains(True), seed=2, **settings)}  # type: ignore[arg-type]
        assert found["cycle_error"].protocol == f"{count} of 6 of the test split, seed 2, and {count} of 6 of domain b"
        a, b = (torch.from_numpy(part.test.x / np.float32(255)) for part in (domains(True), domains(True).other))
        rows = np.sort(np.random.default_rng(2).permutation(6)[:count])  # the same of both, for they are pairs
        want = float((b[rows] / 4 - a[rows]).abs().mean())
        assert found["translation_error_a"].value == pytest.approx(want, rel=1e-6)


def test_a_default_extractor_is_made_for_the_data_on_the_games_device(translated: list[Any]) -> None:
    found = {m.name: m for m in evaluate(by_hand(kind=GAN), dataset(2))}
    assert translated == [("points", "here")]
    assert found["frechet_distance"].protocol.endswith("; reader of points")


def test_probabilities_take_no_second_pass_of_the_classifier() -> None:
    """They are those of the classifier to the last bit, and its convolutions see each image once."""
    data = load_data("digits")
    judge = Classifier(Network((1, 8, 8), 10).eval(), "untrained", 0.1)
    game = build(recipes.ali_digits())
    evidence = Evidence(game, data, count=300, extractor=judge)
    expected = judge.probabilities(evidence.x), judge.probabilities(evidence.samples)
    seen: list[int] = []
    judge.network.convolutions.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    features, found = evidence.features, evidence.probabilities
    assert sum(seen) == len(features[0]) + len(features[1])
    assert found is not None
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
