"""Bounds, what lasts and what is getting better, which remedy fits, and signs of few numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from interalia.metrics import health, inference, verdicts
from interalia.metrics.verdicts import RULES, Diagnosis, Rule

TABLE = {  # sign, bound, above, gain, then what is not the default
    "critic too strong": ("critic_auc", 0.99, True, 0.002, {"unless": "coverage", "bound_slack": 0.15}),
    "critic overfits": ("critic_auc - critic_auc_held_out", 0.2, True, 0.03, {"bound_noise": 2.0, "gain_noise": 1.0}),
    "generator collapsed": ("coverage", 0.03, False, 0.01, {}),
    "mode collapse": ("spread", 0.2, False, 0.04, {}),
    "modes missing": ("overlap", 0.35, False, 0.03, {"min_examples": 50, "gain_noise": 0.5}),
    "encoder ignored": ("reconstruction_ratio", 0.93, True, 0.015, {}),
    "latents unused": ("active_units", 0.1, False, 0.05, {}),
    "aggregate posterior differs from the prior": (
        "aggregate_posterior_marginal_kl",
        0.0625,
        True,
        0.02,
        {"extra_examples": 90.0},
    ),
    "aggregate posterior is correlated": (
        "aggregate_posterior_kl - aggregate_posterior_marginal_kl",
        2.0,
        True,
        0.05,
        {"per_dimension": 2},
    ),
    "memorization": ("train_distance", 0.4, False, 0.02, {}),
    "samples copied": ("copied", 0.25, True, 0.03, {"gain_noise": 1.0}),
    "labels ignored": ("label_agreement", 0.2, False, 0.05, {"gain_noise": 1.0}),
    "cycle broken": ("cycle_ratio", 0.8, True, 0.02, {}),
}


def test_the_table_of_rules() -> None:
    rest = {
        "unless": "",
        "min_examples": 20,
        "extra_examples": 0.0,
        "per_dimension": 0.0,
        "bound_noise": 0.0,
        "bound_slack": 0.0,
        "gain_noise": 0.3,
    }
    assert [rule.name for rule in RULES] == list(TABLE)
    for rule in RULES:
        sign, bound, above, gain, other = TABLE[rule.name]
        assert (rule.diagnostic, rule.bound, rule.above, rule.gain) == (sign, bound, above, gain)
        assert {name: getattr(rule, name) for name in rest} == {**rest, **other}
    found = (
        verdicts.EARLY_SHARE,
        verdicts.EARLY_STEPS,
        verdicts.MIN_EVALUATIONS,
        verdicts.MIN_EXAMPLES,
        verdicts.EXAMPLES_PER_DIMENSION,
    )
    assert found == (0.25, 2000, 3, 20, 2)
    assert (verdicts.GROWTH, verdicts.GROWTH_NOISE) == (0.03, 0.8)
    for kind in (Rule, Diagnosis, health.Health):
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_the_constants_of_the_signs() -> None:
    found = (
        health.COUNT,
        health.TRAIN_COUNT,
        health.CELLS,
        health.PER_CELL,
        health.SCORE_COUNT,
        health.NEIGHBORS,
        health.CHUNK,
    )
    assert found == (1000, 5000, 20, 4, 400, 5, 2**22)
    assert (health.COPY_ERRORS, health.LABEL_ERRORS) == (3.0, 8.0)


HIGH = Rule("high", "a", 0.5, True, 0.25, "{value}", "--pack 2", "--steps", "less", gain_noise=0.0)
LOW = replace(HIGH, above=False)


@pytest.mark.parametrize(
    ("values", "since"),
    [
        ([0.75, 0.75, 0.75], 1),
        ([0.75, 0.75], None),
        ([0.25, 0.75, 0.75, 0.75], 2),
        ([0.75, 0.25, 0.75, 0.75], 1),  # one better one between
        ([0.75, 0.75, 0.75, 0.25], None),  # not the last
        ([0.75, 0.25, 0.75, 0.25, 0.75], None),  # of two the earlier ends it
        ([0.75, 0.75, 0.25, 0.75, 0.25, 0.75, 0.75], 4),
        ([0.75, 0.25, 0.25, 0.75, 0.75], None),
        ([0.75, None, 0.75, 0.75], None),  # where it was not taken
        ([None, 0.75, 0.75, 0.75], 2),
        ([0.5, 0.75, 0.75], None),  # at the bound it is not ill
        ([1.0, 0.75, 0.75], 1),  # better by its gain is not better yet
        ([1.0078125, 0.75, 0.75], None),
        ([3.0, 1.0, 0.75, 0.75], 1),  # the last three count, and the row is older
    ],
)
def test_what_lasts(values: list[float | None], since: int | None) -> None:
    history = [(step, {} if value is None else {"a": value}) for step, value in enumerate(values, 1)]
    assert HIGH.since(history) == since
    turned = [(step, {name: 1 - value for name, value in signs.items()}) for step, signs in history]
    assert LOW.since(turned) == since


def test_how_many_evaluations_it_lasts() -> None:
    history = [(step, {"a": 0.75}) for step in (10, 20, 30, 40)]
    assert [HIGH.since(history[:n], lasting) for n, lasting in ((1, 1), (1, 2), (4, 4), (3, 4))] == [10, None, 10, None]


@pytest.mark.parametrize(("grown", "ill"), [(0.0, True), (0.1, True), (0.12, False), (-0.5, True)])
def test_what_grows_all_the_same(grown: float, ill: bool) -> None:
    """Of 100 examples coverage has to grow by 0.03 + 0.8 / 10."""
    rule = replace(HIGH, unless="coverage")
    history = [(i, {"a": 0.75, "examples": 100.0, "coverage": 0.5 + grown * i / 2}) for i in range(3)]
    assert (rule.since(history) is not None) is ill


@pytest.mark.parametrize(("gained", "ill"), [(0.34, True), (0.36, False)])
def test_what_two_looks_stray_by_is_no_gain(gained: float, ill: bool) -> None:
    """Of 100 examples a gain of 0.25 + 1 / 10."""
    rule = replace(HIGH, gain_noise=1.0)
    history = [(i, {"a": 2 - gained * i / 2, "examples": 100.0}) for i in range(3)]
    assert (rule.since(history) is not None) is ill


def test_limits_by_the_number_of_scores() -> None:
    above, below = (replace(HIGH, bound_noise=6.0, bound_slack=0.5, above=above) for above in (True, False))
    for judged, want in ((math.inf, 0.5), (100.0, 0.6), (400.0, 0.5), (9.0, 2.0)):
        root = math.sqrt(judged)
        assert above.limit({"scores": judged}) == pytest.approx(want - 0.5 / root)
        assert below.limit({"scores": judged}) == pytest.approx(want + 0.5 / root)
    assert above.limit({}) == 0.5


def test_what_a_rule_needs() -> None:
    rule = replace(HIGH, min_examples=20, extra_examples=10.0, per_dimension=3.0)
    assert [rule.examples_needed({"latents": d}) for d in (1.0, 3.0, 8.0, 100.0)] == [30, 24, 24, 300]
    assert rule.examples_needed({}) == 20
    for examples, taken in ((23.0, False), (24.0, True)):
        assert rule.enough_examples({"examples": examples, "latents": 3.0}) is taken
        assert (rule.value({"a": 0.75, "examples": examples, "latents": 3.0}) is not None) is taken
    assert rule.enough_examples({})
    assert replace(rule, diagnostic="a - b").value({"a": 0.75, "b": 0.5}) == 0.25
    assert replace(rule, diagnostic="a - b").value({"a": 0.75}) is None
    assert rule.value({"b": 0.75}) is None
    assert not rule.violated({})


@pytest.mark.parametrize(
    ("steps", "first", "ill"),
    [(4000, 1000, True), (4000, 999, False), (100_000, 2000, True), (100_000, 1999, False), (8000, 2000, True)],
)
def test_how_early_something_is_called_ill(steps: int, first: int, ill: bool) -> None:
    history = [(first + i, {"reconstruction_ratio": 0.99}) for i in range(3)]
    assert bool(verdicts.diagnoses(history, steps)) is ill
    if not ill:
        assert verdicts.verdict(history, steps) == "too early to tell (reconstruction ratio 0.99)."


def lasting(**signs: float) -> list[tuple[int, dict[str, float]]]:
    return [(1000 * step, signs) for step in (1, 2, 3)]


def test_words_and_remedies_with_a_critic_and_without() -> None:
    (found,) = verdicts.diagnoses(lasting(reconstruction_ratio=0.95, critic_auc=0.5), 3000)
    words = "reconstructions are no better than another input's (ratio 0.95; 1: useless): the encoder is ignored"
    words += ", since step 1,000; try "
    assert found == Diagnosis("encoder ignored", 1000, words + '--game "alice(cycle=1.0)" or --penalty "r1r2(every=4)"')
    (found,) = verdicts.diagnoses(lasting(reconstruction_ratio=0.95), 3000)
    assert found.sentence == words + "a smaller sigma in --game or larger --lr or more --steps"
    (found,) = verdicts.diagnoses(
        lasting(reconstruction_ratio=0.95, critic_auc=0.5), 3000, {"game": "alice(cycle=2)", "penalty": "none"}
    )
    assert found.sentence == words + '--penalty "r1r2(every=4)"'
    (found,) = verdicts.diagnoses(lasting(reconstruction_ratio=0.95, critic_auc=0.5), 3000, {}, ["game", "penalty"])
    assert found.sentence == words + "a smaller --lr, or another --seed"
    assert verdicts.diagnoses(lasting(reconstruction_ratio=0.95), 3000, {}, ["encoder ignored"]) == []


def test_a_verdict_has_the_two_worst() -> None:
    signs = lasting(coverage=0.01, spread=0.1, reconstruction_ratio=0.99, critic_auc=0.5)
    assert [found.name for found in verdicts.diagnoses(signs, 3000)] == [
        "generator collapsed", "mode collapse", "encoder ignored"
    ]  # fmt: skip
    line = verdicts.verdict(signs, 3000)
    assert line.count("since step") == 2
    assert line.endswith('try --pack 2 or --penalty "r1r2(every=4)".')
    assert line.startswith("the samples cover only 1% of the data")


@pytest.mark.parametrize(("last", "word"), [(0.5, "healthy"), (0.93, "healthy"), (0.94, "unsettled")])
def test_the_states(last: float, word: str) -> None:
    history = [*lasting(reconstruction_ratio=0.5)[:2], (3000, {"reconstruction_ratio": last})]
    line = verdicts.verdict(history, 3000)
    assert line == f"{word} (reconstruction ratio {last:.2f})."
    assert verdicts.state(line) == word
    assert verdicts.verdict(history, 3000, excluded=["encoder ignored"]).startswith("healthy")
    assert verdicts.verdict(
        [*lasting(reconstruction_ratio=0.5)[:1], (3000, {"reconstruction_ratio": last})], 3000
    ).startswith("too early to tell")


def test_fewer_than_twenty_examples_have_no_verdict() -> None:
    for examples, silent in ((19.0, True), (20.0, False)):
        line = verdicts.verdict(lasting(reconstruction_ratio=0.99, examples=examples), 3000)
        assert (verdicts.state(line) == "no verdict") is silent
        answer = health.health_from({"reconstruction_ratio": 0.99, "examples": examples})
        assert answer.text.startswith("no verdict: there are 19 held-out" if silent else "unhealthy: reconstructions")
        assert bool(answer.diagnoses) is not silent


def test_what_there_is_no_verdict_on() -> None:
    asked = verdicts.undecided
    words = '; no verdict on "modes missing", which takes 50 held-out examples, and there are 49'
    assert asked({"examples": 49.0, "overlap": 0.5}) == words
    assert asked({"examples": 50.0, "overlap": 0.5}) == ""
    assert asked({"examples": 49.0, "coverage": 0.5}) == ""
    assert asked({"examples": 49.0, "overlap": 0.5}, ["modes missing"]) == ""
    assert '"labels ignored"' in asked({"examples": 99.0, "label_agreement_data": 0.1})
    assert asked({"examples": 99.0, "label_agreement_data": 0.1, "label_agreement": 1.0}) == ""
    assert asked({"examples": 99.0, "label_agreement_data": 0.1}, ["labels ignored"]) == ""


def test_a_training_of_ones_own_is_judged_by_as_many_looks_as_there_are() -> None:
    ill, well = {"reconstruction_ratio": 0.99}, {"reconstruction_ratio": 0.5}
    ends = [[ill], [ill, ill], [ill, ill, ill], [well, ill], [well, ill, ill], [well, ill, ill, ill], [ill, well]]
    assert [[found.since for found in verdicts.custom_loop_diagnoses(end)] for end in ends] == [
        [1],
        [1],
        [1],
        [],
        [],
        [2],
        [],
    ]
    assert "since evaluation" not in verdicts.custom_loop_diagnoses([ill])[0].sentence
    assert (
        ", since evaluation 2; try a reconstruction loss"
        in verdicts.custom_loop_diagnoses([well, ill, ill, ill])[0].sentence
    )


# ---- signs


def test_dimensions_that_move() -> None:
    """Unbiased variances 0.02, 0.005 and 2 of two rows each; a hundredth of the prior's is 0.01 v."""
    mean = torch.tensor([[0.0, 0.0, 0.0], [0.2, 0.1, 2.0]])
    assert [health.active_units(mean, v) for v in (1.0, 0.25, 4.0, 300.0)] == pytest.approx([2 / 3, 1, 1 / 3, 0])


def test_scores_by_hand() -> None:
    p, q = torch.tensor([3.0, 1.0, 0.0, 2.5]), torch.tensor([1.0, -1.0, 2.0])
    found = health.score_diagnostics(p, q)
    assert found["critic_auc"] == pytest.approx((3 + 1.5 + 1 + 3) / 12)  # a draw counts half
    assert found["separated"] == 0.5
    both = [3.0, 1.0, 0.0, 2.5, 1.0, -1.0, 2.0]
    mean = sum(both) / 7
    width = math.sqrt(sum((value - mean) ** 2 for value in both) / 6)
    assert found["margin"] == pytest.approx((6.5 / 4 - 2 / 3) / width)
    assert health.score_diagnostics(torch.ones(3), torch.ones(2)) == {
        "critic_auc": 0.5,
        "separated": 0.0,
        "margin": 0.0,
    }


def test_agreement_beyond_chance_by_hand() -> None:
    """4 of 5 agree, with shares of (0.6, 0.4) and (0.4, 0.6): chance is 0.48, and its error that of Fleiss's formula."""
    a, b, eye = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 1]), torch.eye(2).long()
    kappa, error = health._kappa(eye[a], eye[b], True)
    assert kappa == pytest.approx((0.8 - 0.48) / 0.52)
    assert error == pytest.approx(0.48 / 0.52 / math.sqrt(5))
    assert health._kappa(eye[a * 0], eye[b * 0], True) == (0.0, math.inf)


def test_nearest_by_hand() -> None:
    a, b = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]]), torch.tensor([[0.0, 2.0], [6.0, 8.0]])
    assert health.nearest_distances(a).tolist() == [5, 1, 1]
    assert health.nearest_distances(a, b).tolist() == pytest.approx([2, math.sqrt(13), math.sqrt(18)])
    assert health._median_ratio(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([4.0, 1.0, 8.0])) == 0.5
    assert math.isnan(health._median_ratio(torch.ones(1), torch.zeros(1)))


def test_information_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    mu, sigma = torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.0]]), torch.tensor([[1.0, 0.5], [2.0, 1.0], [0.7, 1.5]])
    z = torch.tensor([[0.3, 1.2], [1.0, -2.0], [0.4, 0.9]])
    q = torch.stack([torch.distributions.Normal(mu, sigma).log_prob(row).sum(1) for row in z]).double().exp()
    want = float((q.diagonal() / q.mean(1)).log().mean())
    assert health.mutual_information(mu, sigma, z) == pytest.approx(want, rel=1e-5)
    monkeypatch.setattr(health, "CHUNK", 1)  # a row at a time
    assert health.mutual_information(mu, sigma, z) == pytest.approx(want, rel=1e-5)


def test_moments_of_latents_want_twice_as_many_as_dimensions() -> None:
    z = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)) * 2 + 1
    found = health.latent_diagnostics(z, 1.0, 4.0)
    assert found == {
        "latents": 4.0,
        "aggregate_posterior_marginal_kl": inference.marginal_kl(z, 1.0, 4.0),
        "aggregate_posterior_kl": inference.posterior_moments(z, 1.0, 4.0).kl / 4,
    }
    assert set(health.latent_diagnostics(z[:7], 1.0, 4.0)) == {"latents", "aggregate_posterior_marginal_kl"}


def test_the_marginal_kl_by_hand() -> None:
    """Mean 1 and 2, variance 1 and 4 of a prior N(0.5, 2), less its expectation for three draws."""
    z = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
    each: list[Any] = [(s / 2 + m**2 / 2 - 1 - math.log(s / 2)) / 2 for m, s in ((0.5, 1), (1.5, 4))]
    want = sum(each) / 2 - (1 / 3 + 0.5772156649) / 2
    assert inference.marginal_kl(z, 0.5, 2.0) == pytest.approx(want)
