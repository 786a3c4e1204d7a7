"""Divergences: conjugates, bounds and ratios on tables where everything is known, for every member of the room."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from interalia.divergences import CATALOGUE, Divergence, FDivergence, LeastSquares
from interalia.errors import UserError

F_DIVERGENCES = [name for name, member in CATALOGUE.items() if issubclass(member, FDivergence)]  # type: ignore[arg-type]
OTHERS = [name for name in CATALOGUE if name not in F_DIVERGENCES]
SLOPE_AT_1 = {  # f'(1), from the papers
    "gan": -math.log(2),
    "jensen-shannon": 0.0,
    "kl": 1.0,
    "reverse-kl": -1.0,
    "pearson": 0.0,
    "squared-hellinger": 0.0,
    "total-variation": 0.0,
}
# Two distributions on six cells as counts out of 21, so that a mean over repeated scores is an exact expectation.
P_COUNTS = torch.tensor([1, 2, 3, 4, 5, 6])
Q_COUNTS = torch.tensor([5, 6, 1, 2, 4, 3])
P, Q = P_COUNTS.double() / 21, Q_COUNTS.double() / 21


def f_divergence(name: str, saturating: bool = False) -> FDivergence:
    member = CATALOGUE[name](saturating=saturating)
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
    u = torch.cat([-positive, positive])  # f is nan where it is not defined
    f = divergence.f(u).nan_to_num(nan=torch.inf)
    supremum = torch.stack([(u * t - f).max() for t in divergence.output(v)])
    torch.testing.assert_close(divergence.conjugate(v), supremum, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_f_is_convex_and_its_slope_at_1_is_the_published_one(name: str) -> None:
    divergence = f_divergence(name)
    one = torch.ones((), dtype=torch.float64)
    assert slope(divergence, one).item() == pytest.approx(SLOPE_AT_1[name], abs=1e-12)
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
        with pytest.raises(UserError, match="TotalVariation does not tell the density ratio"):
            divergence.log_ratio(best)
    else:
        torch.testing.assert_close(divergence.log_ratio(best), (P / Q).log(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_what_has_no_ratio_says_so(name: str) -> None:
    divergence = CATALOGUE[name]()
    with pytest.raises(UserError, match=f"{type(divergence).__name__} .* use an f-divergence, such as 'gan'"):
        divergence.log_ratio(torch.zeros(2))


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_generators_two_losses(name: str) -> None:
    p, q = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    minimax, swapped = f_divergence(name, saturating=True), f_divergence(name)
    torch.testing.assert_close(minimax.generator_loss(p, q), -minimax.critic_loss(p, q), atol=1e-12, rtol=0)
    torch.testing.assert_close(swapped.generator_loss(p, q), swapped.critic_loss(q, p), atol=1e-12, rtol=0)
    torch.testing.assert_close(minimax.critic_loss(p, q), swapped.critic_loss(p, q), atol=0, rtol=0)


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
    assert set(OTHERS) <= set(expected), "write down the formula of the new divergence"
    for name, (critic, generator) in expected.items():
        divergence = CATALOGUE[name]()
        scores = torch.tensor(p, dtype=torch.float64), torch.tensor(q, dtype=torch.float64)
        assert divergence.critic_loss(*scores).item() == pytest.approx(critic, abs=1e-12), name
        assert divergence.generator_loss(*scores).item() == pytest.approx(generator, abs=1e-12), name


def test_least_squares_minimises_a_pearson_divergence() -> None:
    """With (a, b, c) = (-1, 1, 0) and the optimal critic the generator is charged chi^2(p + q || 2 q) / 2."""
    divergence = LeastSquares(a=-1, b=1, c=0)
    best = (P - Q) / (P + Q)
    chi = ((P - Q) ** 2 / (P + Q)).sum()
    assert divergence.generator_loss(*on_samples(best)).item() == pytest.approx(chi.item() / 2, abs=1e-12)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CATALOGUE)
def test_sure_critics_cost_finite_numbers(name: str, kind: torch.dtype) -> None:
    members: list[Divergence] = [CATALOGUE[name]()]
    if name in F_DIVERGENCES:
        members.append(f_divergence(name, saturating=True))
    for divergence, a, b in itertools.product(members, (-80.0, -20.0, 0.0, 20.0, 80.0), (-80.0, 0.0, 80.0)):
        p = torch.full((64,), a, dtype=kind, requires_grad=True)
        q = torch.full((64,), b, dtype=kind, requires_grad=True)
        for loss in (divergence.critic_loss(p, q), divergence.generator_loss(p, q)):
            assert loss.ndim == 0
            assert loss.isfinite(), (a, b)
            for gradient in torch.autograd.grad(loss, (p, q)):
                assert bool(gradient.isfinite().all()), (a, b)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_ratios_of_sure_critics_are_finite(name: str) -> None:
    if name == "total-variation":
        pytest.skip("has no ratio")
    ratio = f_divergence(name).log_ratio(torch.tensor([-80.0, -2.0, 0.0, 80.0]))
    assert bool(ratio.isfinite().all())
    assert bool((ratio.diff() >= 0).all())


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_players_pull_apart(name: str) -> None:
    """From undecided scores, the critic raises those on P and lowers those on Q, and the generator does the opposite."""
    divergence = CATALOGUE[name]()
    undecided = (divergence.a + divergence.b) / 2 if isinstance(divergence, LeastSquares) else 0.0
    p, q = (torch.full((8,), undecided, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for loss, sign in ((divergence.critic_loss(p, q), 1), (divergence.generator_loss(p, q), -1)):
        up, down = torch.autograd.grad(loss, (p, q))
        assert bool((sign * up < 0).all())
        assert bool((sign * down > 0).all())
