"""Divergences: conjugates, bounds and ratios on tables where everything is known, for every member of the room."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import scipy.special
import torch
from torch import Tensor
from torch.nn.functional import softplus

from interalia import registry
from interalia.adversarial.divergences import REGISTRY, Divergence, FDivergence, LeastSquares, Pearson
from interalia.errors import UserError


def of_family(name: str) -> bool:
    return isinstance(REGISTRY[name](), FDivergence)


OTHERS = [name for name in REGISTRY if not of_family(name)]
F_DIVERGENCES = [
    *filter(of_family, REGISTRY),
    "weighted-jensen-shannon(weight=0.9)",
    *(f"alpha(alpha={alpha})" for alpha in (-1.0, 0.1, 0.9, 2.0)),
]
PAIRED = [f"relativistic(of='{name}')" for name in ("hinge", "least-squares", "pearson", "wasserstein")]
SMOOTHED = [f"{name}(smoothing=0.1)" for name in ("gan", "kl", "hinge", "relativistic")]
MEMBERS = [*F_DIVERGENCES, *OTHERS, *PAIRED, *SMOOTHED]
SLOPE_AT_1 = {"gan": -math.log(2), "kl": 1.0, "reverse-kl": -1.0}  # f'(1), from the papers; 0 for the rest


def lambert(t: Tensor) -> Tensor:
    return torch.from_numpy(scipy.special.lambertw(torch.exp(1 - t).numpy()).real)


def weighted(w: float) -> tuple[Callable[[Tensor], Tensor], float, float]:
    return lambda t: (1 - w) * ((1 - w) / (1 - w * torch.exp(t / w))).log(), -math.inf, -w * math.log(w)


def alpha(a: float) -> tuple[Callable[[Tensor], Tensor], float, float]:
    end = 1 / (1 - a)
    low, high = (-math.inf, end) if a < 1 else (end, math.inf)
    return lambda t: (t * (a - 1) + 1) ** (a / (a - 1)) / a - 1 / a, low, high


CONJUGATES: dict[
    str, tuple[Callable[[Tensor], Tensor], float, float]
] = {  # f* as published, and the ends of its domain
    "gan": (lambda t: -torch.log(-torch.expm1(t)), -math.inf, 0.0),
    "jensen-shannon": (lambda t: -torch.log(2 - t.exp()), -math.inf, math.log(2)),
    "weighted-jensen-shannon": weighted(0.3),
    "weighted-jensen-shannon(weight=0.9)": weighted(0.9),
    "kl": (lambda t: torch.exp(t - 1), -math.inf, math.inf),
    "reverse-kl": (lambda t: -1 - torch.log(-t), -math.inf, 0.0),
    "jeffrey": (lambda t: lambert(t) + 1 / lambert(t) + t - 2, -math.inf, math.inf),
    "pearson": (lambda t: t.square() / 4 + t, -math.inf, math.inf),
    "neyman": (lambda t: 2 - 2 * torch.sqrt(1 - t), -math.inf, 1.0),
    "squared-hellinger": (lambda t: t / (1 - t), -math.inf, 1.0),
    "total-variation": (lambda t: t, -0.5, 0.5),
    "alpha": alpha(0.5),
    "alpha(alpha=-1.0)": alpha(-1.0),
    "alpha(alpha=0.1)": alpha(0.1),
    "alpha(alpha=0.9)": alpha(0.9),
    "alpha(alpha=2.0)": alpha(2.0),
}
# Two distributions on six cells as counts out of 21, so that a mean over repeated scores is an exact expectation.
P_COUNTS = torch.tensor([1, 2, 3, 4, 5, 6])
Q_COUNTS = torch.tensor([5, 6, 1, 2, 4, 3])
P, Q = P_COUNTS.double() / 21, Q_COUNTS.double() / 21


def f_divergence(name: str, saturating: bool = False) -> FDivergence:
    member = registry.make(name, REGISTRY, "divergence", saturating=saturating)
    assert isinstance(member, FDivergence)
    return member


def slope(divergence: FDivergence, u: Tensor) -> Tensor:
    """f'(u)."""
    u = u.clone().requires_grad_()
    (answer,) = torch.autograd.grad(divergence.f(u).sum(), u)
    return answer


def optimal_scores(divergence: FDivergence, ratio: Tensor) -> Tensor:
    """v with g(v) = f'(ratio), by bisection; g is increasing."""
    target = slope(divergence, ratio)
    low, high = torch.full_like(ratio, -40), torch.full_like(ratio, 40)
    for _ in range(100):
        middle = (low + high) / 2
        below = divergence.output(middle) < target
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def on_samples(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The scores of the samples of P and of Q, from the score of each cell."""
    return scores.repeat_interleave(P_COUNTS), scores.repeat_interleave(Q_COUNTS)


def exact(divergence: FDivergence) -> Tensor:
    return (Q * divergence.f(P / Q)).sum()


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_conjugate_is_a_supremum(name: str) -> None:
    divergence = f_divergence(name)
    v = torch.linspace(-3, 3, 25, dtype=torch.float64)
    positive = torch.logspace(-7, 7, 100_001, base=math.e, dtype=torch.float64)
    u = torch.cat([-positive, positive]) if name == "pearson" else positive  # the one whose f* looks beyond u = 0
    f = divergence.f(u)
    supremum = torch.stack([(u * t - f).max() for t in divergence.output(v)])
    torch.testing.assert_close(divergence.conjugate(v), supremum, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_conjugate_is_the_published_one_and_the_activation_stays_in_its_domain(name: str) -> None:
    divergence = f_divergence(name)
    conjugate, low, high = CONJUGATES[name]
    v = torch.linspace(-12, 12, 25, dtype=torch.float64)
    torch.testing.assert_close(divergence.conjugate(v), conjugate(divergence.output(v)), atol=1e-9, rtol=1e-6)
    closed = name == "total-variation"
    t = divergence.output(torch.linspace(-30, 30, 601, dtype=torch.float64))
    assert bool(((low < t) & (t < high)).all()) or (closed and bool((t.abs() <= high).all()))
    for kind in (torch.float32, torch.bfloat16):  # a short float rounds to the end of the domain, and no further
        t = divergence.output(torch.linspace(-80, 80, 1601).to(kind)).double()
        unit = 2 * torch.finfo(kind).eps
        assert bool(((low - unit <= t) & (t <= high + unit)).all())
        assert bool((t.diff() >= 0).all())


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_f_is_convex_and_its_slope_at_1_is_the_published_one(name: str) -> None:
    divergence = f_divergence(name)
    one = torch.ones((), dtype=torch.float64)
    assert slope(divergence, one).item() == pytest.approx(SLOPE_AT_1.get(name, 0.0), abs=1e-12)
    assert divergence.f(one).item() == pytest.approx(-2 * math.log(2) if name == "gan" else 0.0, abs=1e-12)
    a, b = torch.rand(2, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 5 + 1e-3
    assert bool((divergence.f((a + b) / 2) <= (divergence.f(a) + divergence.f(b)) / 2 + 1e-12).all())


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_bound_is_met_at_the_optimal_critic(name: str) -> None:
    divergence = f_divergence(name)
    best = optimal_scores(divergence, P / Q)
    assert -divergence.critic_loss(*on_samples(best)).item() == pytest.approx(exact(divergence).item(), abs=1e-9)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_no_critic_exceeds_the_divergence(name: str) -> None:
    divergence = f_divergence(name)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        scores = 2 * torch.randn(6, dtype=torch.float64, generator=generator)
        assert -divergence.critic_loss(*on_samples(scores)) <= exact(divergence) + 1e-12


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_critics_loss_is_flat_at_the_optimal_critic(name: str) -> None:
    divergence = f_divergence(name)
    best = optimal_scores(divergence, P / Q).requires_grad_()
    (gradient,) = torch.autograd.grad(divergence.critic_loss(*on_samples(best)), best)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_ratio_is_read_from_the_optimal_critic(name: str) -> None:
    divergence = f_divergence(name)
    best = optimal_scores(divergence, P / Q)
    if name == "total-variation":  # its critic answers only which of the two is larger
        with pytest.raises(UserError, match="a score of TotalVariation does not determine the density ratio"):
            divergence.log_ratio(best)
    else:
        torch.testing.assert_close(divergence.log_ratio(best), (P / Q).log(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "least-squares"])
def test_what_has_no_ratio_says_so(name: str) -> None:
    divergence = REGISTRY[name]()
    with pytest.raises(
        UserError, match=f"{type(divergence).__name__} .* choose an f-divergence as `divergence`, such as gan"
    ):
        divergence.log_ratio(torch.zeros(2))


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_generators_two_losses(name: str) -> None:
    p, q = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    minimax, swapped = f_divergence(name, saturating=True), f_divergence(name)
    if name == "pearson":  # whose generator is charged f* over u >= 0: a score below -2 counts as -2
        assert min(p.min(), q.min()) < -2
        kept = p.clamp(min=-2), q.clamp(min=-2)
        torch.testing.assert_close(minimax.generator_loss(p, q), -minimax.critic_loss(p, kept[1]), atol=1e-12, rtol=0)
        torch.testing.assert_close(swapped.generator_loss(p, q), swapped.critic_loss(q, kept[0]), atol=1e-12, rtol=0)
    else:
        torch.testing.assert_close(minimax.generator_loss(p, q), -minimax.critic_loss(p, q), atol=1e-12, rtol=0)
        torch.testing.assert_close(swapped.generator_loss(p, q), swapped.critic_loss(q, p), atol=1e-12, rtol=0)
    torch.testing.assert_close(minimax.critic_loss(p, q), swapped.critic_loss(p, q), atol=0, rtol=0)


# with each kind of alpha, and with smoothed labels, which leave the generator's loss as it is
KINDS = [
    *MEMBERS,
    *(f"alpha(alpha={a})" for a in (-2.0, 1.1, 1.5, 3.0)),
    *(f"{name}(smoothing=0.3)" for name in REGISTRY if name != "wasserstein"),
    "relativistic(of='total-variation')",
    "relativistic(of='alpha(alpha=2.0)')",
    "relativistic(of='gan(saturating=True)')",
]


def generators(name: str) -> list[Divergence]:
    """A member, and with the minimax loss if it has one."""
    made = registry.make(name, REGISTRY, "divergence")
    return [made, replace(made, saturating=True)] if isinstance(made, FDivergence) else [made]


def slopes(divergence: Divergence, of: str, scores: list[float]) -> Tensor:
    """The slope of the generator's loss in each score on P or on Q, in float64; those on the other joint are 0."""
    found = []
    for score in scores:
        moved = torch.tensor([score], dtype=torch.float64, requires_grad=True)
        others = torch.zeros(1, dtype=torch.float64)
        loss = divergence.generator_loss(*((moved, others) if of == "P" else (others, moved)))
        found.append(torch.autograd.grad(loss, moved)[0])
    return torch.cat(found)


@pytest.mark.parametrize("name", [name for name in KINDS if "least-squares" not in name])  # which pulls to a target
def test_the_generator_is_never_pushed_to_worse_samples(name: str) -> None:
    """Its loss falls with each score on Q and rises with each on P, or stays, in both forms and wherever the scores are."""
    scores = [float(v) for v in range(-60, 61, 2)]
    for divergence in generators(name):
        assert bool((slopes(divergence, "Q", scores) <= 0).all())
        assert bool((slopes(divergence, "P", scores) >= 0).all())


@pytest.mark.parametrize("name", KINDS)
def test_what_is_said_of_the_generators_gradient_where_the_critic_is_sure(name: str) -> None:
    """`vanishing` names the joints on which its slope goes to 0; anywhere else it is at least a tenth."""
    for divergence in generators(name):
        for joint, sign in (("P", 1), ("Q", -1)):
            here, beyond = slopes(divergence, joint, [sign * 20.0, sign * 80.0]).abs().tolist()
            if joint in divergence.vanishing:
                assert beyond < 0.3 * here or beyond == here == 0
            else:
                assert beyond >= here * (1 - 1e-6)
                assert here >= 0.1 * (1 - 1e-6)


def test_the_table_of_slopes_is_what_the_losses_have() -> None:
    """Each cell of the room's table, by what the slopes at 20 and at 80 come to."""
    from interalia.adversarial import divergences

    def word(divergence: Divergence, joint: str) -> str:
        sign = 1 if joint == "P" else -1
        early, here, beyond = slopes(divergence, joint, [sign * 3.0, sign * 20.0, sign * 80.0]).abs().tolist()
        if early == 0:
            return "0 below -2"
        if math.isclose(here, beyond, rel_tol=1e-6) and here:
            return {1.0: "1", 0.3: "w", 0.7: "1 - w"}[round(here, 6)]
        if beyond <= here:
            return "vanishes" if beyond <= here / 20 else "vanishes (1/q)"
        return "grows linearly" if beyond < 5 * here else "grows"

    rows = [line for line in (divergences.__doc__ or "").splitlines() if line.startswith("    ")]
    rows = rows[1 + [row.split()[0] for row in rows].index("divergence") :]
    met = set()
    for row in rows:
        names, *cells = [cell for cell in row.strip().split("  ") if cell]
        members = {
            "alpha, a < 0": ["alpha(alpha=-1.0)"], "alpha, 0 < a < 1": ["alpha"], "alpha, a > 1": ["alpha(alpha=2.0)"]
        }.get(names, names.split(", "))  # fmt: skip
        for name in members:
            met.add(name.split("(")[0])
            found = [word(made, joint) for made in generators(name) for joint in ("Q", "P")]
            assert found == [cell.strip() for cell in cells], name
    assert met == set(filter(of_family, REGISTRY))


def test_pearsons_generator_is_charged_nothing_more_below_minus_2() -> None:
    """f*(t) over u >= 0: -1 below t = -2 and t^2 / 4 + t above."""
    zero = torch.zeros(1, dtype=torch.float64)
    for score, charged, slope_in_q in ((-20.0, -1.0, 0.0), (-2.0, -1.0, 0.0), (-1.0, -0.75, -0.5), (2.0, 3.0, -2.0)):
        t = torch.tensor([score], dtype=torch.float64)
        assert f_divergence("pearson", saturating=True).generator_loss(zero, t).item() == -charged
        assert f_divergence("pearson").generator_loss(t, zero).item() == charged
        assert slopes(f_divergence("pearson", saturating=True), "Q", [score]).item() == slope_in_q
    assert f_divergence("pearson").critic_loss(zero, torch.tensor([-20.0])).item() == 80  # drawn back to -2


def test_gans_losses_are_written_with_softplus() -> None:
    p, q = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gan = f_divergence("gan")
    torch.testing.assert_close(gan.critic_loss(p, q), (softplus(-p) + softplus(q)).mean())
    torch.testing.assert_close(gan.generator_loss(p, q), (softplus(p) + softplus(-q)).mean())


def test_the_other_losses_by_hand() -> None:
    p, q = [0.5, 2.0, -0.25], [-1.5, 0.75, 0.0]
    pairs = list(zip(p, q, strict=True))
    expected = {
        "least-squares": (
            sum((a - 1) ** 2 + b**2 for a, b in pairs) / 6,
            sum(a**2 + (b - 1) ** 2 for a, b in pairs) / 6,
        ),
        "hinge": (sum(max(0, 1 - a) + max(0, 1 + b) for a, b in pairs) / 3, sum(a - b for a, b in pairs) / 3),
        "wasserstein": (sum(b - a for a, b in pairs) / 3, sum(a - b for a, b in pairs) / 3),
        "relativistic": (
            sum(math.log1p(math.exp(b - a)) for a, b in pairs) / 3,
            sum(math.log1p(math.exp(a - b)) for a, b in pairs) / 3,
        ),
    }
    expected["bigbigan"] = expected["hinge"]  # of one head
    assert set(OTHERS) <= set(expected), "write down the formula of the new divergence"
    for name, (critic, generator) in expected.items():
        divergence = REGISTRY[name]()
        scores = torch.tensor(p, dtype=torch.float64), torch.tensor(q, dtype=torch.float64)
        assert divergence.critic_loss(*scores).item() == pytest.approx(critic, abs=1e-12), name
        assert divergence.generator_loss(*scores).item() == pytest.approx(generator, abs=1e-12), name


def test_least_squares_minimises_a_pearson_divergence() -> None:
    """With (a, b, c) = (-1, 1, 0) and the optimal critic the generator is charged chi^2(p + q || 2 q) / 2."""
    divergence = LeastSquares(a=-1, b=1, c=0)
    best = (P - Q) / (P + Q)
    scores = best.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(divergence.critic_loss(*on_samples(scores)), scores)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)
    chi = ((P - Q) ** 2 / (P + Q)).sum()
    middle = (P + Q) / 2
    pearson = (middle * Pearson().f(Q / middle)).sum()
    assert divergence.generator_loss(*on_samples(best)).item() == pytest.approx(chi.item() / 2, abs=1e-12)
    assert divergence.generator_loss(*on_samples(best)).item() == pytest.approx(pearson.item(), abs=1e-12)


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum()


@pytest.mark.parametrize("weight", [0.1, 0.3, 0.5, 0.9])
def test_the_jensen_shannon_divergences(weight: float) -> None:
    """Weighted: w KL(P || M) + (1 - w) KL(Q || M). At w = 1/2 half of `JensenShannon`, and GAN's is that - log 4."""
    divergence = f_divergence(f"weighted-jensen-shannon(weight={weight})")
    mixture = weight * P + (1 - weight) * Q
    expected = weight * kl(P, mixture) + (1 - weight) * kl(Q, mixture)
    torch.testing.assert_close(exact(divergence), expected)
    if weight == 0.5:
        p, q = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for whole, half in zip(players(f_divergence("jensen-shannon"), p, q), players(divergence, p, q), strict=True):
            torch.testing.assert_close(whole, 2 * half)
        torch.testing.assert_close(exact(f_divergence("jensen-shannon")), 2 * expected)
        torch.testing.assert_close(exact(f_divergence("gan")), 2 * expected - math.log(4))


def players(divergence: Divergence, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return divergence.critic_loss(p, q), divergence.generator_loss(p, q)


@pytest.mark.parametrize(("limit", "name", "shift"), [(0.0, "reverse-kl", 0.0), (1.0, "kl", 1.0)])
@pytest.mark.parametrize("saturating", [False, True])
def test_alpha_converges_to_both_kullback_leiblers(limit: float, name: str, shift: float, saturating: bool) -> None:
    """In value, and in both losses up to the constant that its scores leave out: f'(1) is 0 in the family, 1 in KL."""
    p, q = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    there = f_divergence(name, saturating)
    errors = []
    for distance in (1e-2, 1e-4, 1e-6):
        near = f_divergence(f"alpha(alpha={abs(limit - distance)})", saturating)
        assert abs(exact(near) - exact(there)) < distance
        pairs = zip(players(near, p, q), players(there, p + shift, q + shift), strict=True)
        errors.append(max(abs(a - b).item() for a, b in pairs))
    assert errors[0] < 0.1
    assert errors[1:] == pytest.approx([errors[0] / 1e2, errors[0] / 1e4], rel=0.1)


@pytest.mark.parametrize(
    ("a", "name", "factor"), [(2.0, "pearson", 0.5), (-1.0, "neyman", 0.5), (0.5, "squared-hellinger", 2.0)]
)
def test_alpha_passes_through_the_others(a: float, name: str, factor: float) -> None:
    torch.testing.assert_close(exact(f_divergence(f"alpha(alpha={a})")), factor * exact(f_divergence(name)))


def test_jeffrey_is_the_sum_of_both_kullback_leiblers() -> None:
    torch.testing.assert_close(exact(f_divergence("jeffrey")), kl(P, Q) + kl(Q, P))


def test_jeffreys_ratio_solves_its_equation_at_every_size_of_score() -> None:
    jeffrey = f_divergence("jeffrey")
    t = torch.cat([torch.linspace(-100, 100, 2001), torch.tensor([-1e6, -1e-12, 1e-12, 1e6])]).double()
    r = jeffrey.log_ratio(t)
    torch.testing.assert_close(r - torch.expm1(-r), t, atol=0, rtol=1e-13)
    slopes = torch.func.vmap(torch.func.grad(jeffrey.conjugate))(
        t[:-1]
    )  # f*' = p/q, and no rule of torch's is in the way
    finite = r[:-1] < 80
    torch.testing.assert_close(slopes[finite], r[:-1][finite].exp(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_smoothed_labels_are_a_mixture(name: str) -> None:
    """One-sided smoothing a: the critic's optimum is the one for (1 - a) P against Q + a P, and tells p / q still."""
    a = 0.2
    plain, smooth = f_divergence(name), replace(f_divergence(name), smoothing=a)
    best = optimal_scores(plain, (1 - a) * P / (Q + a * P)).requires_grad_()
    (gradient,) = torch.autograd.grad(smooth.critic_loss(*on_samples(best)), best)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)
    (otherwise,) = torch.autograd.grad(plain.critic_loss(*on_samples(best)), best)
    assert name == "total-variation" or otherwise.abs().max() > 1e-3
    if name != "total-variation":
        torch.testing.assert_close(smooth.log_ratio(best.detach()), (P / Q).log(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "wasserstein"])
def test_smoothing_by_hand(name: str) -> None:
    p, q = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = REGISTRY[name]()
    smooth = replace(plain, smoothing=0.1)
    torch.testing.assert_close(smooth.generator_loss(p, q), plain.generator_loss(p, q), atol=0, rtol=0)
    expected = 0.9 * plain.on_p(p) + 0.1 * plain.on_q(p) + plain.on_q(q)
    if name == "relativistic":  # of ten pairs the critic is told of one the wrong way round
        expected = 0.9 * softplus(q - p) + 0.1 * softplus(p - q)
    torch.testing.assert_close(smooth.critic_loss(p, q), expected.mean())


def test_gans_smoothing_in_probabilities() -> None:
    p, q = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    asked, true = 0.9 * p.sigmoid().log() + 0.1 * (-p).sigmoid().log(), (-q).sigmoid().log()
    smooth = registry.make("gan(smoothing=0.1)", REGISTRY, "divergence")
    torch.testing.assert_close(smooth.critic_loss(p, q), -asked.mean() - true.mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (-1.0, 1.0), (2.0, -3.0)])
def test_least_squares_tells_the_ratio(a: float, b: float, smoothing: float) -> None:
    divergence = LeastSquares(a=a, b=b, smoothing=smoothing)
    told = (1 - smoothing) * P, Q + smoothing * P
    best = ((b * told[0] + a * told[1]) / (told[0] + told[1])).requires_grad_()
    (gradient,) = torch.autograd.grad(divergence.critic_loss(*on_samples(best)), best)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)
    torch.testing.assert_close(divergence.log_ratio(best.detach()), (P / Q).log())
    assert bool(divergence.log_ratio(torch.tensor([-80.0, 80.0])).isfinite().all())


def test_least_squares_smoothing_moves_the_target() -> None:
    """(1 - a) (p - 1)^2 + a p^2 is (p - (1 - a))^2 but for a constant."""
    p, q = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    smooth, moved = LeastSquares(smoothing=0.1), LeastSquares(b=0.9)
    constant = 0.1 * 0.9 / 2
    torch.testing.assert_close(smooth.critic_loss(p, q), moved.critic_loss(p, q) + constant)


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "relativistic"])
def test_relativistic_pairing_of_every_divergence(name: str) -> None:
    """No score counts but by its distance from the other's; with `gan` and `hinge` as published."""
    p, q = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    other, paired = REGISTRY[name](), registry.make(f"relativistic(of={name!r})", REGISTRY, "divergence")
    assert paired.per_head == other.per_head
    for mine, its in zip(players(paired, p, q), players(other, p - q, q - p), strict=True):
        torch.testing.assert_close(2 * mine, its)
    for mine, moved in zip(players(paired, p, q), players(paired, p + 7, q + 7), strict=True):
        torch.testing.assert_close(mine, moved)
    if name == "hinge":
        torch.testing.assert_close(paired.critic_loss(p, q), (1 - (p - q)).relu().mean())


def test_bigbigans_heads_are_clamped_each_for_itself() -> None:
    p, q = torch.randn(2, 50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    heads, hinge = REGISTRY["bigbigan"](), REGISTRY["hinge"]()
    singles = [players(hinge, p[:, i], q[:, i]) for i in range(3)]
    critic, generator = players(heads, p, q)
    torch.testing.assert_close(critic, torch.stack([loss for loss, _ in singles]).sum())
    torch.testing.assert_close(generator, torch.stack([loss for _, loss in singles]).sum())
    assert critic > hinge.critic_loss(p.sum(1), q.sum(1)) + 0.1  # one clamp on the sum is another loss
    assert [name for name in REGISTRY if REGISTRY[name]().per_head] == ["bigbigan"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("alpha(alpha=1)", "cannot be made: `alpha` is 1, and .* the Kullback-Leibler divergence; use .* or 'kl'"),
        ("alpha(alpha=0.0)", "cannot be made: `alpha` is 0.0, and at 0 .* it is the reverse .*; use 'reverse-kl'"),
        ("weighted-jensen-shannon(weight=1.0)", "`weight` is 1.0, and it is the share of P .* between 0 and 1"),
        ("least-squares(a=1.0)", "`a` is 1.0 and `b` is 1.0; the targets on P and Q must differ; give two numbers"),
        ("hinge(smoothing=1.0)", r"`smoothing` is 1.0, and it lies in \[0, 1\)"),
        ("alpha(smoothing=-0.1)", r"`smoothing` is -0.1, and it lies in \[0, 1\)"),
        ("wasserstein(smoothing=0.1)", "`smoothing` is .* needs scores with a scale, .* leave it out"),
        ("relativistic(of='wasserstein', smoothing=0.1)", "`smoothing` is .* needs scores with a scale"),
        ("relativistic(of='relativistic')", "`of` is relativistic itself; name another divergence"),
        ("relativistic(of='gan(smoothing=0.1)')", r"must not set smoothing; write relativistic\(..., smoothing=0.1\)"),
        ("relativistic(of='hing')", "there is no divergence 'hing'; did you mean 'hinge'"),
        ("weighted-jensen-shannon(weight=0)", "`weight` is 0, and it is the share of P .* between 0 and 1"),
    ],
)
def test_settings_that_stand_for_something_else_are_refused(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        registry.make(text, REGISTRY, "divergence")
    assert str(caught.value).count(". ") == 0  # one sentence


def both(name: str) -> list[Divergence]:
    """A member, and with the saturating generator if it has one."""
    answer = [registry.make(name, REGISTRY, "divergence")]
    return [*answer, f_divergence(name, saturating=True)] if name in F_DIVERGENCES else answer


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", MEMBERS)
def test_sure_critics_cost_finite_numbers(name: str, kind: torch.dtype) -> None:
    shapes = [(64,), (8, 3), (2, 5, 5)]
    values = (-80.0, -20.0, 0.0, 20.0, 80.0)
    pairs = enumerate(itertools.product(values, values), start=kind == torch.bfloat16)
    for divergence, (i, (a, b)) in itertools.product(both(name), pairs):
        shape = shapes[i % 3]  # the shapes take turns, each kind of numbers with another first
        p = torch.full(shape, a, dtype=kind, requires_grad=True)
        q = torch.full(shape, b, dtype=kind, requires_grad=True)
        for loss in players(divergence, p, q):
            assert loss.ndim == 0
            assert loss.isfinite(), (a, b)
            gradients = torch.autograd.grad(loss, (p, q), create_graph=True)
            assert all(bool(gradient.isfinite().all()) for gradient in gradients), (a, b)
            if not any(gradient.requires_grad for gradient in gradients):
                continue  # linear
            curvatures = torch.autograd.grad(
                torch.stack([g.sum() for g in gradients]).sum(), (p, q), materialize_grads=True
            )
            assert all(bool(curvature.isfinite().all()) for curvature in curvatures), (a, b)


@pytest.mark.parametrize("name", MEMBERS)
def test_many_sure_scores_cost_finite_numbers(name: str) -> None:
    """The sum of 60,000 terms of exp(80) is beyond float32, and their mean is not."""
    for divergence, score in itertools.product(both(name), (-80.0, 80.0)):
        p, q = torch.full((16, 60, 60), score, requires_grad=True), torch.full((16, 60, 60), score)
        for loss in players(divergence, p, q):
            assert loss.isfinite()
            (gradient,) = torch.autograd.grad(loss, p)
            assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", MEMBERS)
def test_short_floats_cost_nearly_the_same(name: str, kind: torch.dtype) -> None:
    p, q = (4 * torch.randn(2, 500, generator=torch.Generator().manual_seed(0))).to(kind)
    tolerance = 1e-4 if kind == torch.float32 else 0.03
    for divergence in both(name):
        for short, exact_ in zip(players(divergence, p, q), players(divergence, p.double(), q.double()), strict=True):
            torch.testing.assert_close(short.double(), exact_, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", MEMBERS)
def test_patches_are_scores_like_any_other(name: str) -> None:
    p, q = torch.randn(2, 6, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for divergence in both(name):
        for patches, flat in zip(players(divergence, p, q), players(divergence, p.flatten(), q.flatten()), strict=True):
            torch.testing.assert_close(patches, flat, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_gradients_are_right_to_second_order(name: str) -> None:
    p, q = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    for divergence in both(name):
        for loss in (divergence.critic_loss, divergence.generator_loss):
            assert torch.autograd.gradcheck(loss, (p, q))
            assert torch.autograd.gradgradcheck(loss, (p, q))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_ratios_of_sure_critics_are_finite(name: str, kind: torch.dtype) -> None:
    if name == "total-variation":
        pytest.skip("has no ratio")
    ratio = f_divergence(name).log_ratio(torch.tensor([-80.0, -2.0, 0.0, 80.0], dtype=kind))
    assert bool(ratio.isfinite().all())
    assert bool((ratio.diff() >= 0).all())


@pytest.mark.parametrize("name", MEMBERS)
def test_the_players_pull_apart(name: str) -> None:
    """From undecided scores, the critic raises those on P and lowers those on Q, and the generator does the opposite."""
    divergence = registry.make(name, REGISTRY, "divergence")
    undecided = (divergence.a + divergence.b) / 2 if isinstance(divergence, LeastSquares) else 0.0
    p, q = (torch.full((8,), undecided, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for loss, sign in ((divergence.critic_loss(p, q), 1), (divergence.generator_loss(p, q), -1)):
        up, down = torch.autograd.grad(loss, (p, q))
        assert bool((sign * up < 0).all())
        assert bool((sign * down > 0).all())
