"""Divergences at single scores, worked out with logarithms and exponentials alone; borders and defaults of their settings."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from math import exp, log, log1p
from typing import Any

import pytest
import torch
from torch import Tensor

from interalia import registry
from interalia.adversarial import divergences as room
from interalia.adversarial.divergences import REGISTRY, Divergence, FDivergence, expectation
from interalia.errors import UserError

P = [0.7, -1.25, 2.5]  # other numbers, and another number of them, than on Q
Q = [-0.4, 1.75]


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def make(spec: str) -> Divergence:
    return registry.make(spec, REGISTRY, "divergence")


def sigmoid(v: float) -> float:
    return 1 / (1 + exp(-v))


def jeffrey(t: float) -> float:
    """u - 1 + log u where the slope of (u - 1) log u, log u + 1 - 1 / u, is t; by bisection in log u."""
    low, high = -50.0, 50.0
    for _ in range(200):
        r = (low + high) / 2
        low, high = (r, high) if r + 1 - exp(-r) < t else (low, r)
    return exp(low) - 1 + low


# g(v), f*(g(v)), f(u), and log p/q by the score, in closed form
FORMULAS: dict[str, tuple[Callable[[float], float], Callable[[float], float], Callable[[float], float], Any]] = {
    "gan": (
        lambda v: log(sigmoid(v)),
        lambda v: -log(1 - sigmoid(v)),
        lambda u: u * log(u) - (u + 1) * log(u + 1),
        lambda v: v,
    ),
    "jensen-shannon": (
        lambda v: log(2 * sigmoid(v)),
        lambda v: -log(2 - 2 * sigmoid(v)),
        lambda u: u * log(u) - (u + 1) * log((u + 1) / 2),
        lambda v: v,
    ),
    "weighted-jensen-shannon": (
        lambda v: 0.3 * log(sigmoid(v) / 0.3),
        lambda v: -0.7 * log((1 - sigmoid(v)) / 0.7),
        lambda u: 0.3 * u * log(u) - (0.7 + 0.3 * u) * log(0.7 + 0.3 * u),
        lambda v: v + log(7 / 3),
    ),
    "kl": (lambda v: v, lambda v: exp(v) / math.e, lambda u: u * log(u), lambda v: v - 1),
    "reverse-kl": (lambda v: -1 / exp(v), lambda v: v - 1, lambda u: -log(u), lambda v: v),
    "jeffrey": (lambda v: v, jeffrey, lambda u: (u - 1) * log(u), None),
    "pearson": (lambda v: v, lambda v: v * v / 4 + v, lambda u: (u - 1) ** 2, lambda v: log(1 + v / 2)),
    "neyman": (
        lambda v: 1 - 1 / exp(v),
        lambda v: 2 - 2 / math.sqrt(exp(v)),
        lambda u: (1 - u) ** 2 / u,
        lambda v: v / 2,
    ),
    "squared-hellinger": (
        lambda v: 1 - 1 / exp(v),
        lambda v: exp(v) - 1,
        lambda u: (math.sqrt(u) - 1) ** 2,
        lambda v: 2 * v,
    ),
    "total-variation": (
        lambda v: sigmoid(2 * v) - 0.5,
        lambda v: sigmoid(2 * v) - 0.5,
        lambda u: abs(u - 1) / 2,
        None,
    ),
    # at a = 1/2: (sqrt u - 1 - (u - 1) / 2) / (-1/4), r = v
    "alpha": (
        lambda v: 2 - 2 / math.sqrt(exp(v)),
        lambda v: 2 * math.sqrt(exp(v)) - 2,
        lambda u: 2 * (u + 1) - 4 * math.sqrt(u),
        lambda v: v,
    ),
    # (u^3 - 1 - 3 (u - 1)) / 6, r = v / 3
    "alpha(alpha=3.0)": (
        lambda v: (exp(2 * v / 3) - 1) / 2,
        lambda v: (exp(v) - 1) / 3,
        lambda u: (u**3 - 1 - 3 * (u - 1)) / 6,
        lambda v: v / 3,
    ),
    # (1 / u^2 - 1 + 2 (u - 1)) / 6, r = v / 3, the distance from 1
    "alpha(alpha=-2.0)": (
        lambda v: (exp(-v) - 1) / -3,
        lambda v: (exp(-2 * v / 3) - 1) / -2,
        lambda u: (u**-2 - 1 + 2 * (u - 1)) / 6,
        lambda v: v / 3,
    ),
}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("name", FORMULAS)
def test_f_divergences_at_single_scores(name: str) -> None:
    """Three scores on P and two on Q: each mean is over its own."""
    g, conjugate, f, ratio = FORMULAS[name]
    plain, minimax = make(name), dataclasses.replace(make(name), saturating=True)
    assert isinstance(plain, FDivergence)
    assert plain.f(tensor(2.5, 0.4)).tolist() == pytest.approx([f(2.5), f(0.4)])
    p, q = tensor(*P), tensor(*Q)
    assert plain.on_p(p).tolist() == pytest.approx([-g(v) for v in P])
    assert plain.on_q(p).tolist() == pytest.approx([conjugate(v) for v in P])
    critic = mean([conjugate(v) for v in Q]) - mean([g(v) for v in P])
    assert plain.critic_loss(p, q).item() == pytest.approx(critic)
    assert minimax.critic_loss(p, q).item() == pytest.approx(critic)
    assert minimax.generator_loss(p, q).item() == pytest.approx(-critic)
    swapped = mean([conjugate(v) for v in P]) - mean([g(v) for v in Q])
    assert plain.generator_loss(p, q).item() == pytest.approx(swapped)
    if ratio is not None:
        assert plain.log_ratio(p).tolist() == pytest.approx([ratio(v) for v in P])


def test_f_at_0_is_its_limit() -> None:
    """u log u goes to 0 with u; where f does not, neither does the answer."""
    zero = tensor(0.0)
    for name, limit in (("gan", 0.0), ("jensen-shannon", log(2)), ("kl", 0.0), ("pearson", 1.0)):
        assert make(name).f(zero).item() == pytest.approx(limit), name  # type: ignore[attr-defined]
    assert make("weighted-jensen-shannon").f(zero).item() == pytest.approx(-0.7 * log(0.7))  # type: ignore[attr-defined]


def test_the_other_divergences_with_other_numbers_of_scores() -> None:
    p, q = tensor(*P), tensor(*Q)
    squares = make("least-squares(a=-0.5, b=2.0, c=0.3)")
    critic = mean([(v - 2) ** 2 for v in P]) / 2 + mean([(v + 0.5) ** 2 for v in Q]) / 2
    generator = mean([(v - 1.2) ** 2 for v in P]) / 2 + mean([(v - 0.3) ** 2 for v in Q]) / 2  # 1.2 = a + b - c
    assert squares.critic_loss(p, q).item() == pytest.approx(critic)
    assert squares.generator_loss(p, q).item() == pytest.approx(generator)
    share = (0.7 + 0.5) / 2.5
    assert squares.log_ratio(p[:1]).item() == pytest.approx(log(share / (1 - share)))
    for name in ("hinge", "bigbigan"):
        hinge = mean([0.3, 2.25, 0.0]) + mean([0.6, 2.75])
        assert make(name).critic_loss(p, q).item() == pytest.approx(hinge)
        assert make(name).generator_loss(p, q).item() == pytest.approx(mean(P) - mean(Q))
    assert make("wasserstein").critic_loss(p, q).item() == pytest.approx(mean(Q) - mean(P))
    assert make("wasserstein").generator_loss(p, q).item() == pytest.approx(mean(P) - mean(Q))


def test_scores_from_patches_and_heads_are_different_things() -> None:
    """(n, heads) is summed over heads, by bigbigan alone; (n, h, w) is averaged over everything."""
    p, q = tensor(0.5, -2.0, 3.0, 0.25, 0.0, -0.5).view(3, 2), tensor(1.0, -3.0, 0.5, 2.0).view(2, 2)
    on_p, on_q = 0.5 + 0.0 + 1.0 + 3.0 + 0.75 + 1.5, 2.0 + 1.5 + 0.0 + 3.0  # of max(0, 1 - p) and max(0, 1 + q)
    assert make("bigbigan").critic_loss(p, q).item() == pytest.approx(on_p / 3 + on_q / 2)
    assert make("hinge").critic_loss(p, q).item() == pytest.approx(on_p / 6 + on_q / 4)
    assert make("bigbigan").generator_loss(p, q).item() == pytest.approx(1.25 / 3 - 0.5 / 2)
    assert make("bigbigan").critic_loss(p[..., None], q[..., None]).item() == pytest.approx(on_p / 6 + on_q / 4)
    smooth = make("bigbigan(smoothing=0.25)")  # 1 + p of the first: 1.5 + 4 + 1.25 + 0 + 1 + 0.5
    assert smooth.critic_loss(p, q).item() == pytest.approx((0.75 * on_p + 0.25 * 8.25) / 3 + on_q / 2)
    paired = make("relativistic(of='bigbigan')")
    assert paired.mean(p).item() == pytest.approx(1.25 / 3)
    assert paired.per_head is True
    assert [name for name in REGISTRY if make(name).per_head] == ["bigbigan"]


def test_pairs_by_hand() -> None:
    """Differences 1.1 and -3 of two pairs; each player's loss is half of the other divergence's of d and -d."""
    p, q = tensor(0.7, -1.25), tensor(-0.4, 1.75)
    gan, squares = make("relativistic"), make("relativistic(of='least-squares(a=-1.0, b=2.0, c=0.5)')")
    assert gan.critic_loss(p, q).item() == pytest.approx((log1p(exp(-1.1)) + log1p(exp(3))) / 2)
    assert gan.generator_loss(p, q).item() == pytest.approx((log1p(exp(1.1)) + log1p(exp(-3))) / 2)
    critic = mean([(d - 2) ** 2 / 2 + (-d + 1) ** 2 / 2 for d in (1.1, -3.0)]) / 2
    turned = mean([(-d - 2) ** 2 / 2 + (d + 1) ** 2 / 2 for d in (1.1, -3.0)]) / 2
    generator = mean([(d - 0.5) ** 2 / 2 + (-d - 0.5) ** 2 / 2 for d in (1.1, -3.0)]) / 2
    assert squares.critic_loss(p, q).item() == pytest.approx(critic)
    assert squares.generator_loss(p, q).item() == pytest.approx(generator)
    smooth = dataclasses.replace(squares, smoothing=0.2)
    assert smooth.critic_loss(p, q).item() == pytest.approx(0.8 * critic + 0.2 * turned)
    assert smooth.generator_loss(p, q).item() == pytest.approx(generator)
    assert squares.on_p(p).tolist() == pytest.approx([(v - 2) ** 2 / 4 for v in (0.7, -1.25)])
    assert squares.on_q(q).tolist() == pytest.approx([(v + 1) ** 2 / 4 for v in (-0.4, 1.75)])
    assert gan.base is gan.base  # made once
    with pytest.raises(UserError, match="score of Relativistic does not determine"):
        gan.log_ratio(p)


def test_what_smoothed_labels_leave_of_a_score() -> None:
    """With a = 1/5 the score is log (4/5) p / (p / 5 + q), so that p / q = e^v / (4/5 - e^v / 5), where e^v is below 4."""
    smooth = make("gan(smoothing=0.2)")
    v = [0.5, -2.0, 1.3]
    assert smooth.log_ratio(tensor(*v)).tolist() == pytest.approx([log(exp(s) / (0.8 - exp(s) / 5)) for s in v])
    assert smooth.log_ratio(tensor(log(4) + 1e-3, 2.0)).tolist() == pytest.approx(
        [log(4e6) + 1e-3, 2 + log(1e6)], abs=1e-9
    )  # what is left counts as a millionth at least
    for sure in (59.0, 80.0, 100.0, 1e4):
        score = torch.tensor([sure], requires_grad=True)
        ratio = smooth.log_ratio(score)
        (gradient,) = torch.autograd.grad(ratio, score)
        assert ratio.item() == pytest.approx(sure + log(1e6), rel=1e-6)
        assert gradient.item() == 1  # a number, though exp(100) is none in float32
    assert make("gan").log_ratio(torch.tensor([1e4])).item() == 1e4


def test_scores_beyond_what_a_ratio_can_be() -> None:
    """Pearson's critic is asked for 2 (u - 1), of which -2 and less stand for u = 0; least squares' for a share in [0, 1]."""
    pearson, squares = make("pearson"), make("least-squares")
    assert pearson.log_ratio(tensor(-2.5, -2.0, -1.0)).tolist() == pytest.approx([log(1e-6), log(1e-6), log(0.5)])
    least = log(1e-6 / (1 - 1e-6))
    assert squares.log_ratio(tensor(-0.5, 0.0, 0.25, 1.0, 3.0)).tolist() == pytest.approx(
        [least, least, log(1 / 3), -least, -least]
    )


def test_the_ratio_of_a_jeffrey_critic() -> None:
    """r + 1 - e^-r at log-ratios of -3 to 3 is read back, in the kind of number that the score is."""
    jeffrey = make("jeffrey")
    ratios = [-3.0, -0.5, 0.0, 0.25, 3.0]
    scores = [r + 1 - exp(-r) for r in ratios]
    assert jeffrey.log_ratio(tensor(*scores)).tolist() == pytest.approx(ratios, abs=1e-14)
    for kind, error in ((torch.float32, 1e-6), (torch.bfloat16, 0.02), (torch.float16, 0.01)):
        found = jeffrey.log_ratio(torch.tensor(scores).to(kind))
        assert found.dtype == kind
        assert found.tolist() == pytest.approx(ratios, abs=error)
    far = tensor(-1e15, 1e15)  # -log(1e15) and 1e15 but for a digit
    assert jeffrey.log_ratio(far).tolist() == pytest.approx([-log(1e15), 1e15], rel=1e-12)


def test_many_terms_are_divided_before_they_are_added_up() -> None:
    """Sums of more than 4,096 terms as large as exp(80), 5.5e34, leave float32, whose greatest number is 3.4e38."""
    for count in (1, 5, 4096, 4097, 8192):
        assert expectation(torch.full((count,), exp(80))).item() == pytest.approx(exp(80), rel=1e-5)
    assert expectation(tensor(1.0, 2.0, 6.0)).item() == 3
    assert expectation(tensor(*range(6000)).view(20, 300)).item() == pytest.approx(2999.5)


# ---- settings


def test_the_members_and_their_settings() -> None:
    """As published or as documented: w = 0.3, alpha = 1/2, least squares with 0, 1 and 1, and no smoothing."""
    own = {
        "weighted-jensen-shannon": {"weight": 0.3},
        "alpha": {"alpha": 0.5},
        "least-squares": {"a": 0.0, "b": 1.0, "c": 1.0},
        "relativistic": {"of": "gan"},
    }
    classes = {
        "gan": "GAN", "jensen-shannon": "JensenShannon", "weighted-jensen-shannon": "WeightedJensenShannon", "kl": "KL",
        "reverse-kl": "ReverseKL", "jeffrey": "Jeffrey", "pearson": "Pearson", "neyman": "Neyman",
        "squared-hellinger": "SquaredHellinger", "total-variation": "TotalVariation", "alpha": "Alpha",
        "least-squares": "LeastSquares", "hinge": "Hinge", "bigbigan": "BigBiGAN", "wasserstein": "Wasserstein",
        "relativistic": "Relativistic",
    }  # fmt: skip
    assert {name: REGISTRY[name] for name in REGISTRY} == {name: getattr(room, kind) for name, kind in classes.items()}
    for name, kind in REGISTRY.items():
        parameters = inspect.signature(kind).parameters
        assert parameters["smoothing"].kind is inspect.Parameter.KEYWORD_ONLY
        family = {"saturating": False} if name in FORMULAS else {}
        assert {key: p.default for key, p in parameters.items()} == {"smoothing": 0.0, **family, **own.get(name, {})}
        assert make(name) == kind()
        with pytest.raises(dataclasses.FrozenInstanceError):
            kind().smoothing = 0.1  # type: ignore[misc]


def test_which_joints_fade_by_name_and_loss() -> None:
    """By the name of each member, under the alternative loss and under the minimax one."""
    expected = {
        "gan": ("", "PQ"), "jensen-shannon": ("", "PQ"), "weighted-jensen-shannon": ("", "PQ"), "kl": ("", "Q"),
        "reverse-kl": ("", "P"), "jeffrey": ("", "Q"), "pearson": ("", "Q"), "neyman": ("P", "P"),
        "squared-hellinger": ("", "PQ"), "total-variation": ("PQ", "PQ"), "alpha": ("", "PQ"),
        "alpha(alpha=1.5)": ("Q", "Q"), "alpha(alpha=-0.5)": ("P", "P"),
    }  # fmt: skip
    for name, (alternative, minimax) in expected.items():
        assert make(name).vanishing == set(alternative), name
        assert dataclasses.replace(make(name), saturating=True).vanishing == set(minimax), name  # type: ignore[call-arg]
    for name in ("least-squares", "hinge", "bigbigan", "wasserstein", "relativistic", "relativistic(of='neyman')"):
        assert make(name).vanishing == set(), name
    assert make("relativistic(of='total-variation')").vanishing == {"P", "Q"}


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "wasserstein"])
def test_smoothing_lies_in_0_to_1(name: str) -> None:
    for good in (0.0, 1e-9, 0.999):
        assert REGISTRY[name](smoothing=good).smoothing == good
    for bad in (1.0, 1.5, -1e-9, math.nan):
        with pytest.raises(ValueError, match=r"`smoothing` is .* lies in \[0, 1\)"):
            REGISTRY[name](smoothing=bad)


def test_borders_of_the_other_settings() -> None:
    for good in (1e-9, 0.5, 1 - 1e-9):
        assert room.WeightedJensenShannon(weight=good).weight == good
    for bad in (0.0, 1.0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="`weight` is"):
            room.WeightedJensenShannon(weight=bad)
    for good in (1e-6, 1 - 1e-6, -3.0, 4.0):
        assert room.Alpha(alpha=good).alpha == good
    for bad, words in ((0.0, "at 0 .* it is the reverse .*'reverse-kl'"), (1.0, "the Kullback-Leibler .*'kl'")):
        with pytest.raises(ValueError, match=words):
            room.Alpha(alpha=bad)
    with pytest.raises(ValueError, match=r"`a` is 2\.0 and `b` is 2\.0"):
        room.LeastSquares(a=2.0, b=2.0)
    assert room.LeastSquares(a=2.0, b=2.0 + 1e-9).b > 2
    for smoothing in (0.1, -0.1):
        with pytest.raises(ValueError, match=r"`smoothing` is .* needs scores with a scale"):
            room.Wasserstein(smoothing=smoothing)


def test_what_can_be_paired() -> None:
    with pytest.raises(ValueError, match="relativistic itself"):
        room.Relativistic(of="relativistic")
    with pytest.raises(ValueError, match=r"write relativistic\(\.\.\., smoothing=0\.1\)"):
        room.Relativistic(of="gan(smoothing=0.1)")
    with pytest.raises(ValueError, match="scores with a scale"):
        room.Relativistic(of="wasserstein", smoothing=0.1)
    with pytest.raises(UserError, match="divergence"):
        room.Relativistic(of="nothing")
    assert room.Relativistic(of="wasserstein").base == room.Wasserstein()
    assert room.Relativistic(of="gan(saturating=True)", smoothing=0.1).base == room.GAN(saturating=True)
