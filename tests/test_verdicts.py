"""Verdicts on models that are perfect or ill by construction: no network is trained here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples import build
from torch import Tensor, nn

import interalia
from interalia import data, papers, tasks
from interalia.conditionals import Conditional, Deterministic, StandardNormal
from interalia.conditionals.base import Point
from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError
from interalia.games import ALI, GAN
from interalia.metrics import health, precision_recall_density_coverage, verdicts
from interalia.metrics.extractors import Identity
from interalia.metrics.inference import expected_kl, kl_error, marginal_kl, posterior_moments
from interalia.metrics.verdicts import DIAGNOSTICS, MIN_EVALUATIONS, MIN_EXAMPLES, RULES, state
from interalia.networks.mlp import MLP, PairCritic
from interalia.reports import plots
from interalia.spaces import DataSpec

BY_NAME = {rule.name: rule for rule in RULES}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- the posterior's moments


@pytest.mark.parametrize(("n", "d"), [(12, 10), (40, 10), (30, 1)])
def test_the_kl_of_a_perfect_posterior_has_mean_zero_and_the_deviation_that_is_told(n: int, d: int) -> None:
    found = torch.tensor([posterior_moments(normal(n, d, seed=seed)).kl for seed in range(300)])
    error = kl_error(n, d)
    assert abs(float(found.mean())) < 4 * error / math.sqrt(300)
    assert float(found.std()) == pytest.approx(error, rel=0.25)
    assert expected_kl(n, d) > 8 * error / math.sqrt(300)  # which plain moments would show


def test_the_kl_of_a_perfect_posterior_by_hand_in_one_dimension() -> None:
    """n = 3: (n - 1) s is chi-squared of two degrees, E log s = log 2 - gamma - log 2 = -gamma; E m^2 = 1 / 3. In two
    dimensions the determinant is a product of chi-squared of two and of one degree, psi(1/2) = -gamma - 2 log 2."""
    assert expected_kl(3, 1) == pytest.approx((1 / 3 + np.euler_gamma) / 2)
    assert expected_kl(3, 2) == pytest.approx(1 / 3 + np.euler_gamma + math.log(2))
    assert math.isnan(expected_kl(3, 3))
    assert math.isnan(posterior_moments(normal(3, 3)).kl)


def test_marginals_say_nothing_of_the_order_of_draws_and_take_fewer_draws_than_dimensions() -> None:
    z = normal(50, 1024)
    found = [marginal_kl(shift + scale * z) for shift, scale in ((0, 1), (0.5, 1), (0, 2), (0, 0.5))]
    assert found == pytest.approx([0, 0.125, 1.5 - math.log(2), math.log(2) - 0.375], abs=0.04)
    assert marginal_kl(5 + 3 * z, 5, 9) == pytest.approx(found[0], abs=1e-6)
    assert marginal_kl(torch.zeros(10, 4)) == pytest.approx(math.log(1e6) / 2 - 0.5 - expected_kl(10, 1))


# ---- each rule at its bound


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_at_its_bound(rule: Any) -> None:
    first, *rest = rule.diagnostic.split(" - ")
    side = 1 if rule.above else -1

    def signs(value: float, **counts: float) -> dict[str, float]:
        return {
            first: value,
            **dict.fromkeys(rest, 0.0),
            "examples": 10_000,
            "scores": math.inf,
            "latents": 64,
            **counts,
        }

    assert not rule.violated(signs(rule.bound))
    assert rule.violated(signs(rule.bound + side * 1e-4))
    assert not rule.violated(signs(rule.bound - side * 1e-4))
    needed = rule.examples_needed({"latents": 64})
    assert MIN_EXAMPLES <= needed <= 400
    assert rule.violated(signs(rule.bound + side * 1e-4, examples=needed))
    assert not rule.violated(signs(rule.bound + side * 1e-4, examples=needed - 1))
    assert rule.value(signs(rule.bound, examples=needed - 1)) is None


def test_a_verdict_on_the_posterior_from_four_times_the_latents() -> None:
    off, tied = BY_NAME["aggregate posterior differs from the prior"], BY_NAME["aggregate posterior is correlated"]
    for d in (8, 16, 64, 100, 1024):
        assert off.examples_needed({"latents": d}) <= min(4 * d, 400)
        assert tied.examples_needed({"latents": d}) <= max(4 * d, MIN_EXAMPLES)
    assert all(off.examples_needed({"latents": d}) <= 400 for d in range(1, 2000))


def test_noise_and_slack_at_few_scores() -> None:
    overfit, strong = BY_NAME["critic overfits"], BY_NAME["critic too strong"]
    for judged, limit in ((25, 0.4), (100, 0.2), (400, 0.2)):  # 2 / sqrt(judged), and no less than the bound
        assert overfit.limit({"scores": judged}) == pytest.approx(limit)
        assert not overfit.violated({"critic_auc": 0.5 + limit - 0.01, "critic_auc_held_out": 0.5, "scores": judged})
        assert overfit.violated({"critic_auc": 0.5 + limit + 0.01, "critic_auc_held_out": 0.5, "scores": judged})
    assert strong.limit({"scores": 225}) == pytest.approx(0.98)
    assert strong.limit({}) == 0.99


def test_what_two_looks_differ_by_is_not_getting_better() -> None:
    row = [
        (step, {"aggregate_posterior_marginal_kl": value, "examples": 100})
        for step, value in ((1, 0.2), (2, 0.17), (3, 0.155))
    ]
    assert BY_NAME["aggregate posterior differs from the prior"].since(row) == 1  # 0.02 + 0.3 / 10
    assert (
        BY_NAME["aggregate posterior differs from the prior"].since(
            [(step, {**signs, "examples": 10_000}) for step, signs in row]
        )
        is None
    )


# ---- perfect models and ill ones, by arrays


def perfect(n: int, d: int, seed: int = 0) -> dict[str, Any]:
    return {
        "x": normal(n, d, seed=seed),
        "samples": normal(n, d, seed=seed + 1),
        "reconstructions": normal(n, d, seed=seed),
        "z": normal(n, d, seed=seed + 2),
        "z_mean": normal(n, d, seed=seed + 2),
        "train": normal(300, d, seed=seed + 3),
        "scores": (normal(200, seed=seed + 4), normal(200, seed=seed + 5)),
        "held_out_scores": (normal(n, seed=seed + 6), normal(n, seed=seed + 7)),
        "back": normal(n, d, seed=seed),
    }


@pytest.mark.parametrize(("n", "d", "times"), [(MIN_EXAMPLES, 8, 10), (50, 64, 10), (200, 8, 10), (50, 1024, 2)])
def test_no_false_alarm_of_a_perfect_model(n: int, d: int, times: int) -> None:
    for seed in range(0, 10 * times, 10):
        answer = interalia.health(**perfect(n, d, seed))
        assert answer.text.startswith("healthy (reconstruction ratio 0.00, critic AUC "), answer
        assert answer.diagnoses == ()


MODES = 3 * normal(10, 64, seed=99)


def modes(n: int, seed: int, of: int = 10) -> Tensor:
    which = torch.randint(of, (n,), generator=torch.Generator().manual_seed(seed))
    return MODES[which] + normal(n, 64, seed=seed + 1)


def half_copied(given: dict[str, Any]) -> dict[str, Any]:
    samples = given["samples"].clone()
    samples[::2] = given["train"][: len(samples[::2])]
    return {"samples": samples}


ILL: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "one of ten modes": (
        "modes missing",
        lambda given: {
            "x": modes(len(given["x"]), 1), "samples": modes(len(given["x"]), 3, of=1), "train": modes(300, 5),
            "reconstructions": None, "back": None,
        },
    ),
    "half are training data": ("samples copied", half_copied),
    "a sure critic": ("critic too strong", lambda given: {"scores": (given["scores"][0] + 3.6, given["scores"][1])}),
    "a mean off by a half": ("aggregate posterior differs from the prior", lambda given: {"z": given["z"] + 0.5}),
    "twice the deviation": ("aggregate posterior differs from the prior", lambda given: {"z": 2 * given["z"]}),
    "half the deviation": ("aggregate posterior differs from the prior", lambda given: {"z": given["z"] / 2}),
    "another comes back": ("cycle broken", lambda given: {"back": given["x"].roll(1, 0)}),
    "another is reconstructed": ("encoder ignored", lambda given: {"reconstructions": given["x"].roll(1, 0)}),
    "means never move": ("latents unused", lambda given: {"z_mean": torch.zeros_like(given["z"])}),
    "all mode collapse": ("mode collapse", lambda given: {"samples": given["samples"][:1] + 0.01 * given["samples"]}),
    "samples elsewhere": ("generator collapsed", lambda given: {"samples": 100 + given["samples"]}),
    "critic by heart": (
        "critic overfits", lambda given: {"scores": (given["scores"][0] + 2, given["scores"][1])},
    ),
    "all are near copies": (
        "memorization", lambda given: {"samples": given["train"][: len(given["x"])] + 0.1 * given["samples"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "make"), ILL.values(), ids=ILL)
@pytest.mark.parametrize("n", [50, 200])
def test_an_ill_model_is_found_at_one_look_and_in_three(n: int, name: str, make: Callable[..., dict[str, Any]]) -> None:
    history: list[health.Health] = []
    for seed in (0, 10, 20):
        given = perfect(n, 64, seed)
        answer = interalia.health(**{**given, **make(given)}, history=history)
        assert answer.text.startswith("unhealthy: "), answer
        assert name in {finding.name for finding in answer.diagnoses}
        assert name in {finding.name for finding in interalia.health(**{**given, **make(given)}).diagnoses}
        history.append(answer)
    assert {finding.since for finding in answer.diagnoses if finding.name == name} == {1}
    assert ", since evaluation 1; try " in answer.text


def test_labels_that_samples_do_not_follow() -> None:
    y = torch.arange(100) % 10
    x, obeying = MODES[y] + normal(100, 64), MODES[y] + normal(100, 64, seed=1)
    other = MODES[(y + 3) % 10] + normal(100, 64, seed=1)
    assert interalia.health(x, obeying, labels=y).text.startswith("healthy")
    for told in (y, nn.functional.one_hot(y)):
        answer = interalia.health(x, other, labels=told)
        assert [finding.name for finding in answer.diagnoses] == ["labels ignored"]
        assert answer.diagnostics["label_agreement"] == pytest.approx(
            -1 / 9, abs=1e-6
        )  # never right, where chance is a tenth
    attributes = torch.stack([y % 2, y // 5], dim=1)  # not one of two
    assert interalia.health(x, obeying, labels=attributes).diagnostics["label_agreement"] == pytest.approx(1)
    assert interalia.health(x, other[torch.randperm(100)], labels=attributes).diagnostics["label_agreement"] < 0.5
    unread = interalia.health(x, other, labels=y[torch.randperm(100, generator=torch.Generator().manual_seed(0))])
    assert "label_agreement" not in unread.diagnostics
    assert (
        'no verdict on "labels ignored", as the nearest neighbours of held-out examples rarely have their labels'
        in unread.text
    )
    assert interalia.health(x, obeying, labels=torch.zeros(100)).diagnostics["label_agreement_data"] == 0


# ---- what the signs are


def test_coverage_is_that_of_the_metric_and_copies_of_a_part_count_for_all() -> None:
    x, samples, train = normal(80, 4), normal(80, 4, seed=1), normal(400, 4, seed=2)
    found = health.sample_diagnostics(x, samples, train)
    assert found["coverage"] == precision_recall_density_coverage(x, samples, 5).coverage
    kept: dict[str, Tensor] = {}
    assert (
        health.sample_diagnostics(x, samples, train, cache=kept)
        == found
        == health.sample_diagnostics(x, samples, train, cache=kept)
    )
    samples[:40] = train[:40]
    whole, part = (health.sample_diagnostics(x, samples, train, share)["copied"] for share in (1.0, 0.5))
    chance = float(
        (health.nearest_distances(x, train) < health.nearest_distances(x, train).median() / 2).double().mean()
    )
    close = float(
        (health.nearest_distances(samples, train) < health.nearest_distances(x, train).median() / 2).double().mean()
    )
    assert close >= 0.5
    assert whole == pytest.approx(close - chance - 3 * math.sqrt(2 * (chance * (1 - chance) + 1 / 80) / 80))
    assert part == pytest.approx(2 * whole)


def test_cells_are_one_of_each_mode_and_an_overlap_by_hand() -> None:
    x = torch.cat([torch.full((50, 2), 100.0 * mode) + normal(50, 2, seed=mode) for mode in range(8)])
    assert sorted((x[health.kmeans_plus_plus(x, 8)][:, 0] / 100).round().int().tolist()) == list(range(8))
    assert len(health.kmeans_plus_plus(torch.zeros(9, 2), 5)) == 1  # all of them are one point
    places = torch.tensor([[0.0], [1.0], [2.0]])
    data, samples = torch.tensor([[0.0], [0.1], [1.0], [2.0]]), torch.tensor([[0.0], [0.0], [0.0], [1.1]])
    assert health.overlap(data, samples, places) == pytest.approx(0.5 + 0.25)


def test_the_nearest_are_looked_for_among_a_thousand_at_most() -> None:
    x, samples = normal(1500, 2), normal(1200, 2, seed=1)
    answer = interalia.health(x, samples, z=x)
    assert answer.diagnostics["examples"] == health.COUNT == 1000
    assert interalia.health(x, samples[:300], z=x).diagnostics["examples"] == 300
    order = torch.argsort(x[:, 0])  # sorted data are not judged by their first thousand
    assert interalia.health(x[order], samples[torch.argsort(samples[:, 0])]).text.startswith("healthy")


# ---- the answer


def test_what_lasts_and_what_does_not() -> None:
    well, ill = perfect(100, 8), {**perfect(100, 8), "back": perfect(100, 8)["x"].roll(1, 0)}
    history: list[health.Health] = []
    texts = []
    for given in (ill, ill, well, ill, ill, well, well, ill):
        history.append(interalia.health(**given, history=history))
        texts.append(history[-1].text.split(":")[0].split(" (")[0])
    assert texts == ["unhealthy"] * 2 + ["healthy"] + ["unhealthy"] * 2 + ["healthy"] * 2 + ["no verdict"]
    assert history[-1].text.startswith('no verdict: "cycle broken" has not lasted for 3 evaluations, or is improving (')
    assert len(history) > MIN_EVALUATIONS


def test_too_few_for_a_verdict_says_how_many_are_needed() -> None:
    x = normal(MIN_EXAMPLES - 1, 3)
    answer = interalia.health(x, x[:1].repeat(MIN_EXAMPLES - 1, 1), z=x + 9)
    assert answer.text == "no verdict: there are 19 held-out examples, and at least 20 are needed."
    assert answer.diagnoses == ()
    assert interalia.health(normal(1, 3), normal(1, 3)).text.startswith("no verdict: there are 1 ")
    text = interalia.health(normal(30, 64), normal(30, 64, seed=1), z=normal(30, 64)).text
    assert text.startswith("healthy (")
    assert 'no verdict on "modes missing", which takes 50 held-out examples, and there are 30' in text
    assert (
        'no verdict on "aggregate posterior is correlated", which takes 128 held-out examples, and there are 30' in text
    )


def test_arrays_of_numpy_and_images_and_features() -> None:
    x, samples = np.random.default_rng(0).random((2, 60, 1, 8, 8))
    answer = interalia.health(x, torch.from_numpy(samples).requires_grad_(), reconstructions=x.astype(np.float32))
    assert answer.text.startswith("healthy (reconstruction ratio 0.00, coverage")
    assert set(answer.diagnostics) <= set(DIAGNOSTICS)
    halved = interalia.health(x, samples, features=lambda values: values.flatten(1)[:, :32].numpy(), train=x[::-1])
    assert halved.diagnostics["coverage"] == interalia.health(x[:, :, :4], samples[:, :, :4]).diagnostics["coverage"]
    assert (
        "train_distance" not in halved.diagnostics
    )  # data that are held out and trained on have no distance to compare with


X = np.zeros((30, 3))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"samples": np.zeros((30, 4))}, r"`x` has the shape \(30, 3\) and `samples` \(30, 4\)"),
        ({"samples": np.zeros((0, 3))}, "`samples`"),
        ({"x": np.zeros(30), "samples": np.zeros(30)}, r"give arrays \(n, ...\) and \(m, ...\)"),
        ({"x": X * np.nan}, "`x` holds NaN"),
        ({"x": "pictures"}, "`x` is no array of numbers"),
        ({"reconstructions": X[1:]}, r"`reconstructions` has the shape \(29, 3\); beside `x` it is \(30, 3\)"),
        ({"back": X[:, 1:]}, "`back` has the shape"),
        ({"z": np.zeros(30)}, "`z` has the shape"),
        ({"z": X, "prior": (0.0, 0.0)}, "positive variance"),
        ({"train": X[:, 1:]}, r"`train` has the shape \(30, 2\); beside `x` it is \(k, 3\)"),
        ({"labels": np.zeros(30), "samples": np.zeros((40, 3))}, "draw one sample with each label"),
        ({"labels": np.zeros(30), "samples": np.zeros((20, 3))}, "draw one sample with each label"),
        ({"labels": np.zeros(29)}, "`labels` has the shape"),
        ({"scores": np.zeros(5)}, "`scores` is no pair"),
        ({"scores": (np.zeros(1), np.zeros(5))}, "give 2 or more of data and of samples"),
        ({"features": lambda x: x[:1]}, r"`features` returned the shape \(1, 3\) for 30 examples"),
    ],
)
def test_arrays_that_do_not_fit_are_told_of(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        interalia.health(**{"x": X, "samples": X, **given})


# ---- in a training


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, *y: Tensor) -> Tensor:
        return self.w * x


@pytest.mark.parametrize(("rows", "d"), [(300, 64), (500, 64), (640, 64), (1000, 256)])
def test_a_perfect_encoder_is_healthy_however_few_are_held_out(tmp_path: Path, rows: int, d: int) -> None:
    """x ~ N(0, I), E(x) = x, G(z) = z."""
    np.save(tmp_path / "perfect.npy", normal(rows, d, seed=7).numpy())
    dataset = data.load(str(tmp_path / "perfect.npy"))
    game = ALI(Deterministic(One()), Deterministic(One()), PairCritic(MLP(2 * d, 1)), StandardNormal(d))
    game.data = DataSpec((d,))
    signs = health.game_diagnostics(game, dataset, Identity(d))
    assert signs["examples"] == len(dataset.validation) < 2 * d
    word = verdicts.verdict([(step, signs) for step in (1000, 2000, 3000)], 4000)
    assert word.startswith("healthy (reconstruction ratio 0.00")
    assert 'no verdict on "aggregate posterior is correlated"' in word
    with torch.no_grad():
        game.encoder.network.w.fill_(2.0)
    wide = health.game_diagnostics(game, dataset, Identity(d))
    ill = verdicts.diagnoses([(step, wide) for step in (1000, 2000, 3000)], 4000)
    assert "aggregate posterior differs from the prior" in {finding.name for finding in ill}
    assert all("greater --latent" not in finding.sentence for finding in ill)


class Told(Conditional):
    """Answers a real training image of the label that it is told, or of another."""

    def __init__(self, x: Tensor, y: Tensor, shift: int) -> None:
        super().__init__(nn.Identity())
        self.w = nn.Parameter(torch.zeros(1))
        self.x, self.y, self.shift = x, y, shift

    def forward(self, z: Tensor, *c: Tensor) -> Point:  # type: ignore[override]
        wanted = (c[0].argmax(1) + self.shift) % c[0].shape[1]
        rows = [int((self.y == label).nonzero()[i % 100, 0]) for i, label in enumerate(wanted.tolist())]
        return Point(self.x[rows])


def unequal() -> Dataset:
    """Nine tenths of one label."""

    def part(count: int, seed: int) -> Split:
        y = (torch.arange(count) % 10 == 0).long()
        return Split((10 * y[:, None] + normal(count, 2, seed=seed)).numpy(), y.numpy())

    return Dataset("unequal", part(2000, 0), part(400, 1), part(400, 2), classes=("0", "1"))


def test_a_conditional_game_is_looked_at_with_the_labels_of_the_held_out() -> None:
    dataset = unequal()
    found = {}
    for shift in (0, 1):
        x, y = torch.from_numpy(dataset.train.x), torch.from_numpy(dataset.train.y)  # type: ignore[arg-type]
        game = GAN(Told(x, y, shift), nn.Linear(1, 1), StandardNormal(4))
        game.data = DataSpec((2,), 2, names=dataset.classes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(health, "_critic_of_game", lambda *_: {})
            found[shift] = health.game_diagnostics(game, dataset, Identity(2))
    assert found[0]["overlap"] > 0.6  # with uniform labels it would be 0.6 at the most: 0.5 + 0.1
    assert found[0]["label_agreement"] == pytest.approx(1)
    assert found[1]["label_agreement"] < 0
    lasting = verdicts.diagnoses([(step, found[1]) for step in (1, 2, 3)], 3)
    assert "labels ignored" in {finding.name for finding in lasting}


def test_samples_of_a_likelihood_are_draws() -> None:
    """A perfect Bernoulli decoder: means of 1/2 everywhere, data of zeros and ones."""

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def forward(self, z: Tensor) -> Tensor:
            return (0.5 + 0 * self.w * z[:, :1]).expand(len(z), 12)

    from interalia.conditionals import Gaussian
    from interalia.games import VAE

    def part(count: int, seed: int) -> Split:
        return Split((torch.rand(count, 12, generator=torch.Generator().manual_seed(seed)) < 0.5).float().numpy())

    dataset = Dataset("coins", part(500, 0), part(100, 1), part(100, 2))
    game = VAE(Gaussian(MLP(12, 4)), Deterministic(Half()), StandardNormal(2), likelihood="bernoulli")
    game.data = DataSpec((12,))
    signs = health.game_diagnostics(game, dataset, Identity(12))
    assert signs["coverage"] > 0.9  # means are all one point, in the ball of nobody
    assert signs["spread"] == pytest.approx(1, abs=0.5)


def test_translations_that_do_not_come_back() -> None:
    digits = data.load("digits")
    game = build("cyclegan", digits.shape, double=False)
    both = replace(digits, other=digits)
    signs = {}
    for way, translate in {
        "back": lambda game, x, to: x,
        "not from b": lambda game, x, to: x if to == "b" else x.roll(1, 0),
    }.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tasks, "translate", translate)
            signs[way] = health.game_diagnostics(game, both, Identity(64))
    assert signs["back"]["cycle_ratio"] == 0
    assert signs["not from b"]["cycle_ratio"] == pytest.approx(1, abs=0.1)


def test_a_verdict_of_too_few_is_a_state_of_its_own(tmp_path: Path) -> None:
    few = {"coverage": 0.0, "examples": 12.0}
    sentence = verdicts.verdict([(step, few) for step in (500, 1000, 1500)], 1500)
    assert sentence == "no verdict: there are 12 held-out examples, and at least 20 are needed (coverage 0%)."
    assert state(sentence) == "no verdict"
    log = [{"step": 10, "health/coverage": 0.5, "health/examples": 12.0, "verdict": sentence}]
    assert plots.strip(log, tmp_path / "x.png").is_file()


def test_the_experiment_makes_its_table(tmp_path: Path) -> None:
    path = papers.reproduce("health", quick=True, out=tmp_path, only="n = 50, d = 8")
    text = path.read_text()
    assert text.count("| ours | 1 |") == 1 + 9
    assert "| perfect, n = 50, d = 8 | ours | 1 | 40 | 8 | 0 | 0 | n/a | n/a | 0 |" in text
