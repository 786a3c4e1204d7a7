"""Conditionals on a few numbers each: every formula worked out another way, every refusal at its border, every default.

Networks are constants or formulas, draws are replayed from their seed, and densities are those of torch.distributions.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import examples
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from interalia.conditionals import (
    CONDITIONALS,
    Auxiliary,
    BasisNoise,
    Chain,
    Conditional,
    Deterministic,
    Flow,
    Gaussian,
    GaussianProcess,
    Hamiltonian,
    Implicit,
    InverseAutoregressive,
    Planar,
    Point,
    Recurrent,
    base,
    building_blocks,
    flows,
    gaussian_process,
    rsample_with_log_prob,
)
from interalia.conditionals.base import limit_log_sigma
from interalia.conditionals.basis_noise import Basis, BasisNoiseDistribution
from interalia.conditionals.building_blocks import SampleAndLogProb, gaussian_log_prob, small_mlp
from interalia.conditionals.hamiltonian import leapfrog
from interalia.contexts import autocast_off
from interalia.errors import UserError
from interalia.networks.mlp import MLP

close = torch.testing.assert_close


def rows(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class By(nn.Module):
    """A network that is a formula, and counts how often it is called."""

    def __init__(self, formula: Callable[..., Tensor]) -> None:
        super().__init__()
        self.formula = formula
        self.calls = 0

    def forward(self, *c: Tensor) -> Tensor:
        self.calls += 1
        return self.formula(*c)

    hidden = forward


def density(value: Tensor, mean: Tensor | float, log_sigma: Tensor | float) -> Tensor:
    """log N, from torch."""
    return Normal(mean, torch.as_tensor(log_sigma, dtype=torch.float64).exp()).log_prob(value).sum(1)


# --- what each member is --------------------------------------------------------------------------------------------

# as documented: the defaults, the numbers that the network answers for each dimension, and what it knows of itself
MEMBERS: dict[str, tuple[dict[str, object], int, bool, bool]] = {
    "gaussian": ({"widest": 5.0}, 2, True, True),
    "deterministic": ({}, 1, False, False),
    "implicit": ({"noise": 2}, 1, False, False),
    "basis-noise": ({"noise": 32, "basis": 16, "width": 128, "draws": 256, "start": "prior"}, 17, False, True),
    "flow": ({"kind": "nsf", "transforms": 3, "width": 64, "depth": 2}, 3, True, False),
    "iaf": ({"transforms": 4, "width": 64, "depth": 2}, 3, True, False),
    "planar": ({"flows": 10}, 23, True, False),
    "auxiliary": ({"size_a": 16, "levels": 1, "width": 64}, 4, True, False),
    "hamiltonian": ({"steps": 16, "step": 0.1, "width": 64}, 4, True, False),
    "gaussian-process": ({"inducing": 8, "size_latent": 8, "width": 64}, 12, True, False),
    "recurrent": ({"units": 256, "side": 5}, 0, True, False),
}


def network_for(name: str) -> nn.Module:
    """A network for 3 dimensions, or the one of DRAW's encoder."""
    if name == "recurrent":
        found: nn.Module = examples.drawing(12, glimpses=4)[0]
        return found
    return nn.Identity()


@pytest.mark.parametrize("name", CONDITIONALS)
def test_members_are_as_documented(name: str) -> None:
    kind = CONDITIONALS[name]
    defaults, heads, has_density, moments = MEMBERS[name]
    parameters = inspect.signature(kind).parameters
    assert {key: p.default for key, p in parameters.items() if p.default is not p.empty} == defaults
    made = kind(network_for(name), *([12] if "size" in parameters else []))
    assert (made.params_per_dim_for(), made.has_density, made.has_moments) == (heads, has_density, moments)
    same = kind(network_for(name), *([12] if "size" in parameters else []), **defaults)
    assert {key: value.shape for key, value in made.state_dict().items()} == {
        key: value.shape for key, value in same.state_dict().items()
    }


def test_chains_have_no_density_and_all_of_one_number_a_dimension() -> None:
    chain = Chain(Gaussian(nn.Identity()), Deterministic(nn.Identity()))
    assert (chain.has_density, chain.has_moments, chain.params_per_dim_for()) == (False, False, 1)

    class Own(Conditional):
        def forward(self, *c: Tensor) -> Point:
            return Point(*c)

    own = Own(nn.Identity())
    assert (own.has_density, own.has_moments, own.params_per_dim, own.params_per_dim_for()) == (True, False, 1, 1)
    assert Planar.params_per_dim_for(flows=4) == 11
    assert BasisNoise.params_per_dim_for(basis=5) == 6
    assert GaussianProcess.params_per_dim_for(inducing=3) == 7
    assert Gaussian.params_per_dim_for(widest=3.0) == 2
    assert (Planar.params_per_dim, GaussianProcess.params_per_dim) == (
        Planar.params_per_dim_for(),
        GaussianProcess.params_per_dim_for(),
    )


def test_constants_are_as_documented() -> None:
    assert (base.MAX_SIGMA, base.KNEE) == (5.0, 2.5)
    assert limit_log_sigma(rows(9.0)).exp() < 5.0
    assert (flows.PLANAR_SCALE, building_blocks.SMALL, gaussian_process.JITTER) == (0.1, 0.01, 1e-4)


def test_distributions_tell_their_shapes_and_take_any_numbers() -> None:
    zeros = torch.zeros(5, 3)
    planar = Planar(nn.Identity(), 3, flows=2).distribution(torch.zeros(5, 7 * 3))
    spanned = BasisNoiseDistribution(zeros, torch.zeros(5, 2, 3), None)  # type: ignore[arg-type]
    flowed = flows.FlowDistribution(zeros, zeros, zeros, nn.Identity())
    for q in (Point(zeros), planar, spanned, flowed):
        assert (q.batch_shape, q.event_shape) == ((5,), (3,))
    hamiltonian = Hamiltonian(nn.Identity(), 3)
    for kind in (Auxiliary(nn.Identity(), 3), GaussianProcess(nn.Identity(), 3), hamiltonian):
        q = kind(torch.zeros(5, kind.params_per_dim * 3))
        assert (q.batch_shape, q.event_shape, q.has_rsample) == ((5,), (3,), True)
    push = Implicit(nn.Identity(), 1)(torch.zeros(5, 2))
    chained = Chain(Gaussian(nn.Identity()), Deterministic(nn.Identity()))(torch.zeros(5, 4))
    assert push.batch_shape == chained.batch_shape == (5,)
    for q in (Point(zeros), planar, spanned, flowed, push, chained):
        assert q.has_rsample is True
        assert q.arg_constraints == {}
        assert q._validate_args is False  # a check of every number, and what is not finite is the training's to say


# --- base -----------------------------------------------------------------------------------------------------------


def test_a_point_carries_gradients_into_draws_and_not_into_samples() -> None:
    at = rows([1.0, 2.0], [3.0, 4.0], [5.0, 7.0]).requires_grad_()
    point = Point(at)
    assert point.rsample().requires_grad
    assert point.rsample((2,)).requires_grad
    assert not point.sample().requires_grad
    assert point.mean is at
    assert torch.equal(point.sample((2, 1)), torch.stack([at, at])[:, None])


def test_drawn_takes_the_density_of_its_own_draw() -> None:
    mu = rows([0.5, -1.0], [2.0, 0.25], [-3.0, 1.0]).requires_grad_()
    q = Independent(Normal(mu, rows([0.5, 2.0]).expand(3, 2)), 1)
    z, log_q = rsample_with_log_prob(q)
    close(log_q, density(z, mu, rows([math.log(0.5), math.log(2.0)])))
    assert z.requires_grad

    own = SampleAndLogProb(mu, lambda: 2 * mu, lambda: (mu, mu[:, 0]), lambda z: z[:, 1])
    assert rsample_with_log_prob(own)[0] is mu
    assert torch.equal(rsample_with_log_prob(own)[1], mu[:, 0])
    assert own.rsample() is mu
    assert torch.equal(own.mean, 2 * mu)
    assert torch.equal(own.log_prob(mu), mu[:, 1])


@pytest.mark.parametrize("widest", [5.0, 3.0])
def test_bending_by_hand(widest: float) -> None:
    k, r = math.log(widest / 2.5), math.log(2.5)
    for a in (-7.0, k - 0.5, k):
        assert limit_log_sigma(rows(a), widest).item() == pytest.approx(a, abs=1e-15)
    # t = r halves the room, t = 3 r leaves a quarter
    assert limit_log_sigma(rows(k + r), widest).exp().item() == pytest.approx(widest / 2.5 * 2.5**0.5, rel=1e-12)
    assert limit_log_sigma(rows(k + 3 * r), widest).exp().item() == pytest.approx(widest / 2.5 * 2.5**0.75, rel=1e-12)
    assert limit_log_sigma(rows(1e9), widest).exp().item() == pytest.approx(widest, rel=1e-6)
    a = rows(k - 1.0, k, k + r, k + 3 * r).requires_grad_()
    limit_log_sigma(a, widest).sum().backward()
    assert a.grad is not None
    close(a.grad, rows(1.0, 1.0, 1 / 4, 1 / 16))


def test_bending_is_5_wide_unless_given_and_none_at_infinity() -> None:
    a = rows(9.0, -9.0)
    assert torch.equal(limit_log_sigma(a), limit_log_sigma(a, 5.0))
    assert not torch.equal(limit_log_sigma(a), limit_log_sigma(a, 4.0))
    assert limit_log_sigma(a, math.inf) is a


def test_a_gaussians_answers_are_mean_and_log_width() -> None:
    answers = rows([0.5, -1.0, 0.2, -0.3], [2.0, 0.0, 9.0, -9.0], [1.0, 3.0, 0.1, 0.4])
    for widest in (5.0, 3.0, math.inf):
        q = Gaussian(By(lambda x: answers), widest)(torch.zeros(3, 1))
        close(q.mean, answers[:, :2])
        close(q.stddev, limit_log_sigma(answers[:, 2:], widest).exp())
        assert (q.batch_shape, q.event_shape) == ((3,), (2,))
        z = rows([1.0, 1.0], [0.0, 2.0], [-1.0, 2.5])
        close(q.log_prob(z), density(z, answers[:, :2], limit_log_sigma(answers[:, 2:], widest)))
    assert Gaussian(nn.Identity()).widest == 5.0


@pytest.mark.parametrize("widest", [0, -1.0, math.nan])
def test_a_gaussians_limit_is_above_0(widest: float) -> None:
    with pytest.raises(ValueError, match="a standard deviation is above 0"):
        Gaussian(nn.Identity(), widest)
    assert Gaussian(nn.Identity(), 1e-9).widest == 1e-9


def test_a_gaussian_that_is_not_finite_is_for_the_training_to_end_at() -> None:
    q: Any = Gaussian(nn.Identity())(rows([math.nan, 0.5]))
    assert q.log_prob(rows([0.3])).isnan().all()
    assert q.mean.isnan().all()
    assert q._validate_args is False
    assert q.base_dist._validate_args is False


def test_many_draws_lie_in_a_row_and_parametric_networks_are_called_once() -> None:
    x, y = rows([1.0], [2.0], [3.0]), rows([0.1], [0.2], [0.3])
    repeated = rows([1.1], [1.1], [2.2], [2.2], [3.3], [3.3])

    def total(x: Tensor, y: Tensor) -> Tensor:
        return x + y

    dirac = Deterministic(By(total))
    close(Conditional.forward_repeated(dirac, 2, x, y).mean, repeated)
    chain = Chain(dirac, Deterministic(nn.Identity()))
    close(chain.forward_repeated(2, x, y).mean, repeated)
    network = By(lambda x, y: torch.cat([x + y, x - y], dim=1))
    gaussian = Gaussian(network)
    close(gaussian.forward_repeated(2, x, y).mean, repeated)
    assert network.calls == 1
    close(gaussian(x, y).mean, repeated[::2])
    assert dirac.set_log_joint(lambda x, z: x) is None  # type: ignore[func-returns-value]
    assert dirac.set_decoder(gaussian) is None  # type: ignore[func-returns-value]
    close(dirac.hidden(x, y), x + y)
    close(Chain(dirac, Deterministic(By(lambda z: 7 * z))).hidden(x, y), x + y)


def test_an_implicit_network_gets_flat_conditions_and_then_noise() -> None:
    image, y = torch.rand(3, 1, 2, 2).double(), torch.rand(3, 5).double()
    implicit = Implicit(By(lambda c: 2 * c), noise=4)
    at = 2 * torch.cat([image.flatten(1), y, torch.zeros(3, 4)], dim=1)
    close(implicit(image, y).mean, at)
    close(implicit.hidden(image, y), at)
    torch.manual_seed(3)
    eps = torch.randn(3, 4, dtype=torch.float64)
    torch.manual_seed(3)
    close(implicit(image, y).rsample()[:, -4:], 2 * eps)
    assert implicit(image, y).batch_shape == (3,)


def test_a_chain_draws_by_way_of_a_draw() -> None:
    first, second = Gaussian(nn.Linear(2, 4).double()), Gaussian(nn.Linear(2, 6).double())
    chain = Chain(first, second)
    c = rows([1.0, 2.0], [0.5, -1.0])
    close(chain(c).mean, second(first(c).mean).mean)
    torch.manual_seed(4)
    b, eps = torch.randn(2, 2, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    b = first(c).mean + first(c).stddev * b
    torch.manual_seed(4)
    found = chain(c).rsample()
    close(found, second(b).mean + second(b).stddev * eps)
    found.sum().backward()
    assert bool(first.network.weight.grad.any())  # type: ignore[union-attr]
    with pytest.raises(UserError, match="draws one sample for each condition"):
        chain(c).rsample((1,))
    with pytest.raises(UserError, match="no density"):
        chain(c).log_prob(c)


HALF = {
    "gaussian": (Gaussian, 2), "deterministic": (Deterministic, 1), "flow": (Flow, 3), "iaf": (InverseAutoregressive, 3),
    "planar": (Planar, 23), "auxiliary": (Auxiliary, 4), "basis-noise": (BasisNoise, 17),
    "gaussian-process": (GaussianProcess, 12), "hamiltonian": (Hamiltonian, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", HALF)
def test_a_networks_half_precision_ends_at_its_answers(name: str) -> None:
    kind, heads = HALF[name]
    made: Any = kind(
        By(lambda x: torch.zeros(len(x), heads * 3, dtype=torch.bfloat16)), *([3] if "size" in signature(kind) else [])
    )
    made.set_log_joint(lambda x, z: -z.square().sum(1))
    for q in (made(torch.zeros(2, 1)), made.forward_repeated(2, torch.zeros(2, 1))):
        assert q.mean.dtype == q.rsample().dtype == torch.float32
    implicit = Implicit(By(lambda c: c.bfloat16()))
    assert implicit(torch.zeros(2, 1)).rsample().dtype == implicit(torch.zeros(2, 1)).mean.dtype == torch.float32


def signature(kind: Any) -> Any:
    return inspect.signature(kind).parameters


# --- what the richer ones share -------------------------------------------------------------------------------------


def test_the_normal_density_by_hand() -> None:
    value, mean, log_sigma = rows([1.0, 2.0, 0.5], [0.3, -1.0, 2.0]), rows([0.5, 1.0, 2.0]), rows([0.2, -0.5, 1.0])
    close(gaussian_log_prob(value, mean, log_sigma), density(value, mean, log_sigma))
    close(gaussian_log_prob(value, 0.5, 0.3), density(value, 0.5, 0.3))
    close(gaussian_log_prob(value[None], 0.0, 0.0), density(value, 0.0, 0.0)[None])


def test_perceptrons_answer_little_at_first() -> None:
    made = small_mlp(5, 3, 7)
    assert [type(part) for part in made] == [nn.Linear, nn.ELU, nn.Linear, nn.ELU, nn.Linear]
    sizes = [(part.in_features, part.out_features) for part in made if isinstance(part, nn.Linear)]
    assert sizes == [(5, 7), (7, 7), (7, 3)]
    last: Any = made[-1]
    assert 0.3 * 0.01 / 7**0.5 < last.weight.abs().max() <= 0.01 / 7**0.5
    assert not last.bias.any()
    assert last.weight.requires_grad
    assert bool(made[0].bias.any())  # type: ignore[union-attr, operator]


def test_precise_means_without_autocast() -> None:
    a = torch.rand(3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with autocast_off(a):
            assert (a @ a).dtype == torch.float32


# --- flows ----------------------------------------------------------------------------------------------------------


def test_a_flow_around_an_affine_map_is_a_gaussian() -> None:
    """eps = 2 u + h / 2, so that u = (eps - h / 2) / 2 and z ~ N(mu - sigma h / 4, (sigma / 2)^2)."""
    from torch.distributions import AffineTransform
    from zuko.distributions import DiagNormal, NormalizingFlow
    from zuko.transforms import DependentTransform

    mu, log_sigma, h = rows([1.0, 2.0], [-1.0, 0.5]), rows([0.3, -0.2], [1.0, 0.1]), rows([0.4, 1.2], [2.0, -0.8])
    zeros, ones = torch.zeros(2, 2).double(), torch.ones(2, 2).double()
    q = flows.FlowDistribution(
        mu,
        log_sigma,
        h,
        lambda h: NormalizingFlow(DependentTransform(AffineTransform(h / 2, 2 * ones), 1), DiagNormal(zeros, ones)),  # type: ignore[arg-type]
    )
    at, width = mu - log_sigma.exp() * h / 4, log_sigma - math.log(2)
    close(q.mean, at)
    z = rows([0.3, 1.0], [2.0, 3.0])
    close(q.log_prob(z), density(z, at, width))
    z, log_q = q.rsample_and_log_prob()
    close(log_q, density(z, at, width))
    many, log_q = q.rsample_and_log_prob((5,))
    assert many.shape == (5, 2, 2)
    close(log_q[3], density(many[3], at, width))
    torch.manual_seed(0)
    eps = torch.randn(4000, 2, 2, dtype=torch.float64)
    torch.manual_seed(0)
    close(q.rsample((4000,)), at + width.exp() * eps)


def test_a_flows_answers_are_mean_log_width_and_context() -> None:
    flow = Flow(nn.Identity(), 2, "nice").double()
    q: Any = flow.distribution(rows([0.5, 1.0, 9.0, -0.2, 0.7, 0.9]))
    close(q.mu, rows([0.5, 1.0]))
    close(q.log_sigma, limit_log_sigma(rows([9.0, -0.2])))
    close(q.h, rows([0.7, 0.9]))
    noise: Any = flow.flow(q.h).base
    assert not list(flow.flow.base.parameters())
    close(noise.mean, torch.zeros(1, 2).double())
    close(noise.stddev, torch.ones(1, 2).double())


def last_layers(flow: nn.Module) -> list[Any]:
    return [list(transform.modules())[-1] for transform in flow.flow.transform.transforms]  # type: ignore[union-attr, operator, arg-type]


def maker(kind: str) -> Callable[..., Any]:
    if kind == "iaf":
        return lambda size, **more: InverseAutoregressive(nn.Identity(), size, **more)
    return lambda size, **more: Flow(nn.Identity(), size, kind, **more)  # type: ignore[arg-type]


FLOWS = {kind: maker(kind) for kind in ("nsf", "realnvp", "nice", "maf", "iaf")}


@pytest.mark.parametrize("kind", FLOWS)
def test_flows_are_made_of_what_is_given(kind: str) -> None:
    flow = FLOWS[kind](6, transforms=5, width=7, depth=3)
    assert len(flow.flow.transform.transforms) == 5
    for transform in flow.flow.transform.transforms:
        layers: list[Any] = [part for part in transform.modules() if hasattr(part, "weight")]
        given = 6 if kind in ("maf", "iaf", "nsf") else 3  # of the dimensions, beside which there is h
        assert [part.weight.shape[-1] for part in layers] == [given + 6, 7, 7, 7]
        last = layers[-1]
        assert 0.3 * 0.01 / 7**0.5 < last.weight.abs().max() <= 0.01 / 7**0.5
        assert not last.bias.any()
    numbers = {"maf": 2, "iaf": 2, "nsf": 23, "realnvp": 2, "nice": 1}[kind]  # for each dimension that is moved
    assert last.weight.shape[-2] == numbers * given


@pytest.mark.parametrize("kind", FLOWS)
def test_flows_depend_on_their_context_and_move_what_they_say(kind: str) -> None:
    torch.manual_seed(0)
    flow = FLOWS[kind](4, transforms=1, width=8).double()
    for layer in last_layers(flow):
        nn.init.normal_(layer.weight, std=1.0)
        nn.init.normal_(layer.bias, std=1.0)
    calls: list[int] = []
    for part in flow.modules():
        if type(part).__name__ in ("MaskedMLP", "MLP"):
            part.register_forward_hook(lambda *_: calls.append(1))
    zeros = torch.zeros(1, 4).double()
    one, other = (flow.distribution(torch.cat([zeros, zeros, h], dim=1)) for h in (zeros, zeros + 1))
    z = torch.randn(1, 4).double()
    assert not torch.equal(one.log_prob(z), other.log_prob(z))
    inner = one.flow(one.h).transform
    there = torch.autograd.functional.jacobian(lambda z: inner(z[None])[0], z[0])
    calls.clear()
    inner(z)
    forth = len(calls)
    inner.inv(z)
    back = len(calls) - forth
    moved = there - torch.eye(4).double()
    free = int((moved.abs().amax(1) < 1e-9).sum())
    scaled = int((moved.diagonal().abs() > 1e-9).sum())
    if kind in ("maf", "iaf"):
        assert (free, scaled) == (0, 4)
        assert (forth, back) == ((1, 4) if kind == "maf" else (4, 1))
    elif kind == "nsf":
        assert scaled == 4
        assert int((moved.abs() > 1e-9).sum()) == 4 + 2 * 2  # every other dimension depends on the rest
        assert max(forth, back) == 2
    else:
        assert free == 2
        assert scaled == (0 if kind == "nice" else 2)  # nice shifts
        assert forth == back == 1


@pytest.mark.parametrize("wrong", ["transforms", "width", "depth"])
@pytest.mark.parametrize("kind", ["nsf", "iaf"])
def test_a_flows_numbers_are_1_or_more(kind: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=f"`{wrong}` is 0"):
        FLOWS[kind](2, **{wrong: 0})
    FLOWS[kind](2, **{"transforms": 1, "width": 1, "depth": 1})


def test_a_planar_map_by_hand() -> None:
    u, w, z, b = (
        rows([0.5, -2.0], [0.3, 0.1]),
        rows([1.0, 2.0], [-0.5, 0.25]),
        rows([0.2, 0.7], [1.0, -1.0]),
        rows(0.1, -0.3),
    )
    found, log_det = flows.planar_map(z, u, w, b)
    for i in range(2):
        wu = float(w[i] @ u[i])
        m = math.log(1 + math.exp(wu + math.log(math.e - 1))) - 1
        hat = u[i] + (m - wu) * w[i] / (w[i] @ w[i])
        turn = math.tanh(float(w[i] @ z[i]) + float(b[i]))
        close(found[i], z[i] + hat * turn)
        assert log_det[i].item() == pytest.approx(math.log(1 + (1 - turn**2) * m), rel=1e-12)
        assert float(w[i] @ hat) == pytest.approx(m)
    assert flows.planar_map(*(torch.zeros(1, 2).double(),) * 3, torch.ones(1).double())[0].abs().max() < 1e-12
    tiny = rows([3e-6, 4e-6])  # |w|^2 = 25e-12, above the guard
    found, _ = flows.planar_map(torch.zeros(1, 2).double(), rows([1.0, 2.0]), tiny, rows(1.0))
    wu = 11e-6
    m = math.log1p(math.exp(wu + math.log(math.e - 1))) - 1
    close(found, math.tanh(1.0) * (rows([1.0, 2.0]) + (m - wu) / 25e-12 * tiny), rtol=1e-3, atol=0)


def test_planar_answers_by_hand() -> None:
    planar = Planar(nn.Identity(), 2, flows=3).double()
    answers = torch.arange(1.0, 2 * 9 * 2 + 1).double().view(2, 18) / 10
    q: Any = planar.distribution(answers)
    mu, log_sigma, u, w, b = q.find_mean.args
    close(mu, answers[:, :2])
    close(log_sigma, limit_log_sigma(answers[:, 2:4]))
    close(u, 0.1 * answers[:, 4:10].view(2, 3, 2))
    close(w, answers[:, 10:16].view(2, 3, 2))
    close(b, answers[:, 16:] @ planar.b.weight.t() + planar.b.bias)
    assert b.shape == (2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert planar.float().distribution(answers.float()).find_mean.args[4].dtype == torch.float32  # type: ignore[attr-defined]
    assert Planar(nn.Identity(), 1, flows=1).flows == 1
    with pytest.raises(ValueError, match="`flows` is 0"):
        Planar(nn.Identity(), 2, flows=0)


def test_planar_draws_by_hand() -> None:
    torch.manual_seed(0)
    mu, log_sigma, b = (
        rows([1.0, 2.0], [-0.5, 0.3], [0.1, 0.7]),
        rows([0.3, -0.4]).expand(3, 2),
        torch.randn(3, 2).double(),
    )
    u, w = torch.randn(2, 3, 2, 2).double()
    made, known = Planar(nn.Identity(), 2, flows=2), (mu, log_sigma, u, w, b)
    q = SampleAndLogProb(mu, partial(made.mean, *known), partial(made.draw, *known))

    def go(z: Tensor, i: int) -> Tensor:
        for t in range(2):
            z = flows.planar_map(z[None], u[i : i + 1, t], w[i : i + 1, t], b[i : i + 1, t])[0][0]
        return z

    close(q.mean, torch.stack([go(mu[i], i) for i in range(3)]))
    torch.manual_seed(1)
    eps = torch.randn(3, 2, dtype=torch.float64)
    torch.manual_seed(1)
    z, log_q = q.rsample_and_log_prob()
    start = mu + log_sigma.exp() * eps
    for i in range(3):
        close(z[i], go(start[i], i))
        stretch = torch.autograd.functional.jacobian(lambda z, i=i: go(z, i), start[i]).det().abs().log()
        close(log_q[i], density(start, mu, log_sigma)[i] - stretch)
    close(flows.planar_flow(start, u, w, b)[1], density(start, mu, log_sigma) - log_q)


# --- auxiliary variables --------------------------------------------------------------------------------------------


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs).double()
    with torch.no_grad():
        layer.weight.mul_(0.7)
    return layer


@pytest.mark.parametrize("levels", [1, 3])
def test_auxiliary_draws_by_hand(levels: int) -> None:
    torch.manual_seed(0)
    d, m = 2, 3
    made: Any = Auxiliary(nn.Identity(), d, m, levels, width=5).double()
    assert [part[0].in_features for part in made.down] == [4] + [7] * (levels - 1)
    assert [part[0].in_features for part in made.up] == [6] + [9] * (levels - 1)
    assert made.last[0].in_features == 7
    assert [part[-1].out_features for part in (*made.down, *made.up, made.last)] == [6] * 2 * levels + [4]
    assert {part[0].out_features for part in (*made.down, *made.up, made.last)} == {5}
    assert len(made.down) == len(made.up) == levels
    made.down = nn.ModuleList(linear(4 + (m if i else 0), 2 * m) for i in range(levels))
    made.up = nn.ModuleList(linear(6 + (m if i else 0), 2 * m) for i in range(levels))
    made.last = linear(4 + m, 2 * d)
    answers = torch.randn(4, 8).double()
    answers[0, 2:4] = 6.0  # where widths are bent
    mu, log_sigma, h = answers[:, :2], limit_log_sigma(answers[:, 2:4]), answers[:, 4:]
    q = made.distribution(answers)

    def at(network: nn.Module, *parts: Tensor) -> tuple[Tensor, Tensor]:
        found = network(torch.cat(parts, dim=1))
        return found[:, : found.shape[1] // 2], found[:, found.shape[1] // 2 :]

    torch.manual_seed(5)
    noise = [torch.randn(4, m, dtype=torch.float64) for _ in range(levels)] + [torch.randn(4, d, dtype=torch.float64)]
    torch.manual_seed(5)
    z, log_q = q.rsample_and_log_prob()
    a: list[Tensor] = []  # from a_L to a_1
    expected = torch.zeros(4).double()
    for network, eps in zip(made.down, noise, strict=False):
        mean, width = at(network, h, *a[-1:])
        a.append(mean + limit_log_sigma(width).exp() * eps)
        expected = expected + density(a[-1], mean, limit_log_sigma(width))
    mean, width = at(made.last, h, a[-1])
    mean, width = mu + log_sigma.exp() * mean, limit_log_sigma(log_sigma + width)
    close(z, mean + width.exp() * noise[-1])
    expected = expected + density(z, mean, width)
    for i, network in enumerate(made.up):  # a_1, then a_2 given a_1
        given = [a[levels - i]] if i else []
        expected = expected - density(a[levels - 1 - i], *at(network, h, z, *given))
    close(log_q, expected)
    a = []
    for network in made.down:
        a = [at(network, h, *a)[0]]
    close(q.mean, mu + log_sigma.exp() * at(made.last, h, *a)[0])


@pytest.mark.parametrize("wrong", ["size_a", "levels", "width"])
def test_auxiliary_numbers_are_1_or_more(wrong: str) -> None:
    with pytest.raises(ValueError, match=f"`{wrong}` is 0"):
        Auxiliary(nn.Identity(), 2, **{wrong: 0})
    made = Auxiliary(nn.Identity(), 2, size_a=1, levels=1, width=1)
    assert (made.size, made.size_a) == (2, 1)
    assert isinstance(made.distribution(torch.zeros(1, 8)), SampleAndLogProb)


# --- Hamiltonian dynamics -------------------------------------------------------------------------------------------


def test_two_leapfrog_steps_by_hand() -> None:
    """U = 3 z^2 / 2, steps of 0.5 and 0.25, in fractions."""
    z, v = leapfrog(rows([1.0]), rows([2.0]), lambda z: 3 * z, rows([0.5], [0.25]))
    # v = 2 - 0.75 = 1.25, z = 1.625, v = 1.25 - 0.25 * 4.875 = 0.03125
    # v = 0.03125 - 0.125 * 4.875 = -0.578125, z = 1.625 - 0.14453125, v = -0.578125 - 0.375 * 1.48046875
    close(z, rows([1.48046875]))
    close(v, rows([-1.13330078125]))
    one, calls = rows([1.0]), []
    leapfrog(one, one, lambda z: calls.append(z) or z, rows([0.5], [0.25]))  # type: ignore[func-returns-value]
    assert len(calls) == 3  # once more than there are steps


def test_hamiltonian_draws_by_hand() -> None:
    torch.manual_seed(0)
    d, steps = 2, 3
    made: Any = Hamiltonian(nn.Identity(), d, steps, step=0.3, width=5).double()
    assert [(part.in_features, part.out_features) for part in made.reverse if isinstance(part, nn.Linear)] == [
        (6, 5), (5, 5), (5, 4),
    ]  # fmt: skip
    close(made.log_step.exp(), torch.full((3, 2), 0.3).double())
    with torch.no_grad():
        made.log_step += torch.randn(3, 2)
        made.reverse[-1].weight.normal_()
    scale = rows([2.0, 0.5])
    made.set_log_joint(lambda x, z: -(scale * (z - x).square()).sum(1) / 2)
    x = torch.randn(4, 2).double()
    answers = torch.randn(4, 8).double()
    answers[0, 2] = 6.0
    made.network = By(lambda x: answers)
    q: Any = made(x)
    mu, log_sigma, h = answers[:, :2], limit_log_sigma(answers[:, 2:4]), answers[:, 4:]
    sigma = log_sigma.exp()
    sizes = made.log_step.exp()[:, None] * (sigma / (1 + sigma))

    def go(z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return leapfrog(z, v, lambda z: scale * (z - x), sizes)

    close(made.gradient(x, mu), scale * (mu - x))
    close(q.mean, go(mu, torch.zeros(4, 2).double())[0])
    torch.manual_seed(6)
    eps, v_0 = torch.randn(2, 4, 2, dtype=torch.float64)
    torch.manual_seed(6)
    eps, v_0 = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    torch.manual_seed(6)
    z, log_q = q.rsample_and_log_prob()
    at, v = go(mu + sigma * eps, v_0)
    close(z, at)
    turned = made.reverse(torch.cat([h, at], dim=1))
    close(
        log_q,
        density(mu + sigma * eps, mu, log_sigma) + density(v_0, 0.0, 0.0) - density(v, turned[:, :2], turned[:, 2:]),
    )


def test_hamiltonian_steps_are_differentiated_where_gradients_are_on() -> None:
    made: Any = Hamiltonian(nn.Linear(2, 8).double(), 2, steps=2).double()
    weight = rows([2.0, 0.5]).requires_grad_()
    made.set_log_joint(lambda x, z: -(weight * (z - x).square()).sum(1) / 2)
    x = torch.ones(3, 2).double()
    q, z = made(x), torch.randn(3, 2).double()
    slope = made.gradient(x, z)
    assert slope.requires_grad  # by the weight
    moved = q.mean
    (by_weight,) = torch.autograd.grad(moved.sum(), weight, retain_graph=True)
    assert bool(by_weight.any())
    inner = (2 * z).requires_grad_()
    (bend,) = torch.autograd.grad(made.gradient(x, inner).sum(), inner)
    close(bend, weight.detach().expand(3, 2))
    with torch.no_grad():
        assert not made.gradient(x, z).requires_grad
        assert not made(torch.ones(3, 2).double()).rsample().requires_grad
    assert not z.requires_grad


def test_a_hamiltonian_repeats_conditions_with_its_answers() -> None:
    network = By(lambda x: torch.cat([x, torch.zeros(len(x), 6).double()], dim=1))
    made: Any = Hamiltonian(network, 2, steps=1).double()
    made.set_log_joint(lambda x, z: -(z - x).square().sum(1))
    x = rows([1.0, 2.0], [3.0, 4.0])
    q: Any = made.forward_repeated(2, x)
    repeated, mu, _ = q.find_mean.args
    close(mu, rows([1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [3.0, 4.0]))
    close(repeated, mu)
    assert network.calls == 1
    close(made(x).find_mean.args[0], x)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"width": 0}, {"step": 0.0}, {"step": math.inf}, {"step": math.nan}])
def test_hamiltonian_numbers_are_in_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 or more, 1 or more, and above 0"):
        Hamiltonian(nn.Identity(), 2, **wrong)
    made = Hamiltonian(nn.Identity(), 2, steps=1, step=1e-6, width=1)
    assert made.log_joint is None
    assert made.log_step.shape == (1, 2)
    assert isinstance(made(torch.zeros(1, 8)), SampleAndLogProb)


# --- spanned --------------------------------------------------------------------------------------------------------


def test_a_basis_is_networks_side_by_side() -> None:
    torch.manual_seed(0)
    made = Basis(3, noise=2, width=5, size=4).double()
    assert [tuple(w.shape) for w in made.weights] == [(3, 2, 5), (3, 5, 5), (3, 5, 5), (3, 5, 4)]
    assert [tuple(b.shape) for b in made.biases] == [(3, 1, 5), (3, 1, 5), (3, 1, 5), (3, 1, 4)]
    eps = torch.randn(6, 3, 2).double()
    found = made(eps)
    assert found.shape == (6, 3, 4)
    for n, i in itertools.product(range(6), range(3)):
        h = eps[n, i]
        for layer in range(4):
            h = h @ made.weights[layer][i] + made.biases[layer][i, 0]
            h = h if layer == 3 else torch.where(h > 0, h, h.exp() - 1)
        close(found[n, i], h)


def test_a_basis_begins_as_pytorch_begins_linear_layers() -> None:
    torch.manual_seed(0)
    made = Basis(50, noise=4, width=16, size=9)
    for weight, bias, inputs in zip(made.weights, made.biases, (4, 16, 16, 16), strict=True):
        for part in (weight, bias):
            bound = inputs**-0.5
            assert -bound <= part.min() < -0.97 * bound
            assert 0.97 * bound < part.max() <= bound


@pytest.mark.parametrize("draws", [1024, 10])
def test_standardised_networks_have_mean_0_and_variance_1(draws: int) -> None:
    torch.manual_seed(0)
    made = Basis(3, noise=2, width=5, size=4)
    first = [w.clone() for w in made.weights[:-1]]
    torch.manual_seed(1)
    made.standardize(*([draws] if draws != 1024 else []))
    torch.manual_seed(1)
    v = made(torch.randn(draws, 3, 2))
    close(v.mean(0), torch.zeros(3, 4), atol=1e-5, rtol=0)
    close(v.std(0), torch.ones(3, 4), atol=1e-4, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(first, made.weights, strict=False))
    assert all(part.requires_grad for part in made.parameters())


def test_a_spanned_conditionals_start() -> None:
    made = BasisNoise(nn.Identity(), 3, noise=4, basis=5, width=6)
    v = made.draws(4000, torch.zeros(()))
    assert v.shape == (4000, 5, 3)
    assert (v.std(0) - 1).abs().max() < 0.2
    assert made.shift.item() == pytest.approx(math.log(5) / 2)
    assert "shift" in made.state_dict()
    q = made(torch.zeros(2, 18))
    assert (q.variance - 1).abs().max() < 0.4  # sum over 5 of exp(-c)^2 = 1 / 5
    published = BasisNoise(nn.Identity(), 3, noise=4, basis=5, width=6, start="published")
    assert published.shift.item() == 5.0
    assert published.draws(4000, torch.zeros(())).std(0).max() < 0.7
    assert made.draws(3, torch.zeros((), dtype=torch.float32)).dtype == torch.float32


def test_spanned_moments_by_hand() -> None:
    torch.manual_seed(0)
    made: Any = BasisNoise(nn.Identity(), 3, noise=2, basis=2, width=4, draws=7).double()
    answers = torch.randn(5, 9).double()
    answers[0, 3] = 3.0  # above the shift, where elu is linear
    q: Any = made.distribution(answers)
    raw = answers[:, 3:].view(5, 2, 3) - math.log(2) / 2
    a = torch.where(raw > 0, raw, raw.exp() - 1) + 1
    close(q.a, a, atol=1e-7, rtol=1e-6)
    close(q.z_0, answers[:, :3])
    torch.manual_seed(2)
    v = made.basis(torch.randn(7, 2, 2, dtype=torch.float64)).detach()
    torch.manual_seed(2)
    mean = q.mean
    assert q.variance.shape == (5, 3)  # of the same draws
    each = q.a[:, None] * v[None]  # (5, draws, basis, size)
    close(mean, q.z_0 + each.mean(1).sum(1))
    close(q.variance, each.var(1).sum(1))
    cov = torch.stack([sum(torch.cov(each[n, :, i].t()) for i in range(2)) for n in range(5)])  # type: ignore[misc]
    close(q.covariance, cov)
    assert not q.basis_draws.requires_grad
    assert q.basis_draws is q.basis_draws
    torch.manual_seed(3)
    eps = torch.randn(10, 2, 2, dtype=torch.float64)
    torch.manual_seed(3)
    found = q.rsample((2,))
    close(found[1], q.z_0 + (q.a * made.basis(eps)[5:]).sum(1))
    assert q.rsample().shape == (5, 3)
    assert q.rsample((2, 4)).shape == (2, 4, 5, 3)
    with pytest.raises(UserError, match="no density"):
        q.log_prob(found[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        single: Any = made.float().distribution(answers.float())
        assert single.covariance.dtype == torch.float32


@pytest.mark.parametrize("wrong", [{"noise": 0}, {"basis": 0}, {"width": 0}, {"draws": 1}])
def test_spanned_numbers_are_in_range(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}` is {wrong[name]}"):
        BasisNoise(nn.Identity(), 2, **wrong)  # type: ignore[arg-type]
    made = BasisNoise(nn.Identity(), 2, noise=1, basis=1, width=1, draws=2)
    assert (made.noise, made.count, made.moments_from, made.size) == (1, 1, 2, 2)


# --- the Gaussian process -------------------------------------------------------------------------------------------


def process(size: int = 2, inducing: int = 3, latent: int = 4) -> Any:
    torch.manual_seed(0)
    made = GaussianProcess(nn.Identity(), size, inducing, latent, width=5).double()
    with torch.no_grad():
        made.log_length.copy_(torch.linspace(0.1, 0.9, latent))
        made.log_width.fill_(0.4)
        made.reverse[-1].weight.normal_()  # type: ignore[union-attr, operator]
    return made


def test_a_process_begins_as_documented() -> None:
    made: Any = GaussianProcess(nn.Identity(), 2, 3, 4, width=5)
    assert made.inputs.shape == (3, 4)
    close(made.log_length.exp(), torch.full((4,), 2.0))  # sqrt(4)
    close(made.log_width.exp(), torch.tensor(0.5))
    assert [(part.in_features, part.out_features) for part in made.reverse if isinstance(part, nn.Linear)] == [
        (6, 5), (5, 5), (5, 8),
    ]  # fmt: skip
    for wrong in ("inducing", "size_latent", "width"):
        with pytest.raises(ValueError, match=f"`{wrong}` is 0"):
            GaussianProcess(nn.Identity(), 2, **{wrong: 0})
    GaussianProcess(nn.Identity(), 2, inducing=1, size_latent=1, width=1)


def test_the_processs_kernel_and_prediction_by_hand() -> None:
    made = process()
    w, lengths, s = math.exp(0.4), torch.linspace(0.1, 0.9, 4).double().exp(), made.inputs.detach()

    def k(a: Tensor, b: Tensor) -> float:
        return w**2 * math.exp(-float((((a - b) / lengths) ** 2).sum()) / 2)

    xi, t = torch.randn(5, 4).double(), torch.randn(5, 3, 2).double()
    close(made.kernel(xi, s), rows(*([k(a, b) for b in s] for a in xi)))
    mean, variance = made.predict(xi, t)
    assert (mean.shape, variance.shape) == ((5, 2), (5, 1))
    gram = rows(*([k(a, b) for b in s] for a in s)) + 1e-4 * w**2 * torch.eye(3).double()
    inverse = torch.linalg.inv(gram)
    for n in range(5):
        cross = rows(*(k(xi[n], b) for b in s))
        close(mean[n], cross @ inverse @ t[n])
        close(variance[n, 0], w**2 - cross @ inverse @ cross)
    # at an inducing input f is the value given there, nearly without variance, which is never below 0
    mean, variance = made.predict(s, t[:3])
    close(mean, torch.stack([t[i, i] for i in range(3)]), atol=2e-3, rtol=0)
    assert 0 <= variance.min() <= variance.max() < 1e-3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(part.dtype == torch.float64 for part in made.predict(xi, t))


def test_the_processs_variance_is_never_below_0() -> None:
    made = process(inducing=1)
    made.kernel = lambda a, b: torch.full(
        (len(a), len(b)), 1.5 * math.exp(0.8)
    ).double()  # more than w^2, as rounding may leave it
    _, variance = made.predict(torch.zeros(2, 4).double(), torch.zeros(2, 1, 2).double())
    assert variance.tolist() == [[0.0], [0.0]]


def test_the_processs_draws_by_hand() -> None:
    made = process()
    answers = torch.randn(5, 14).double()
    answers[0, 2] = 6.0
    q: Any = made.distribution(answers)
    assert isinstance(q, SampleAndLogProb)
    mu, log_sigma, h, t = (
        answers[:, :2],
        limit_log_sigma(answers[:, 2:4]),
        answers[:, 4:8],
        answers[:, 8:].view(5, 3, 2),
    )

    def given(xi: Tensor) -> tuple[Tensor, Tensor]:
        f, variance = made.predict(xi, t)
        return mu + log_sigma.exp() * f, log_sigma.exp() * (1 + variance).sqrt()  # y ~ N(f, 1), f ~ N(., variance)

    close(q.mean, given(torch.zeros(5, 4).double())[0])
    torch.manual_seed(7)
    xi, eps = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    torch.manual_seed(7)
    z, log_q = q.rsample_and_log_prob()
    mean, sigma = given(xi)
    close(z, mean + sigma * eps)
    turned = made.reverse(torch.cat([h, z], dim=1))
    expected = density(xi, 0.0, 0.0) + density(z, mean, sigma.log()) - density(xi, turned[:, :4], turned[:, 4:])
    close(log_q, expected)


# --- DRAW's ---------------------------------------------------------------------------------------------------------


class Painter:
    """A decoder of two glimpses, whose state is (h, cell, canvas) and a formula of the glimpses so far."""

    glimpses = 2

    def initial_state(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        return (
            torch.full((count, 3), 0.1).double(),
            torch.zeros(count, 3).double(),
            torch.full((count, 1, 2, 2), -0.4).double(),
        )

    def step(self, state: tuple[Tensor, ...], z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return state[0] + z.sum(1, keepdim=True), state[1], state[2] + z.mean(1)[:, None, None, None]


def recurrent() -> Any:
    torch.manual_seed(0)
    cell, head = nn.LSTMCell(8 + 3, 5).double(), nn.Linear(5, 4).double()
    attention = SimpleNamespace(read=lambda seen, *images: [image * (1 + seen[:, :1, None, None]) for image in images])
    made: Any = Recurrent.__new__(Recurrent)  # of parts whose answers are known by hand
    nn.Module.__init__(made)
    made.network, made.cell, made.head, made.attention = nn.Identity(), cell, head, attention
    made.decoder_network, made.units, made.size = (Painter(),), 5, 4
    return made


def test_recurrent_draws_by_hand() -> None:
    made = recurrent()
    with torch.no_grad():
        made.head.bias[2] = 4.0  # where widths are bent
    x = torch.rand(6, 1, 2, 2).double()
    q = made(x)
    assert (q.batch_shape, q.event_shape) == ((6,), (4,))
    for noisy in (True, False):
        torch.manual_seed(8)
        eps = [noisy * torch.randn(6, 2, dtype=torch.float64) for _ in range(2)]
        h = c = torch.zeros(6, 5).double()
        state = Painter().initial_state(6)
        z, log_q = [], torch.zeros(6).double()
        for t in range(2):
            scale = 1 + state[0][:, :1]
            left = x - 1 / (1 + (-state[2]).exp())
            h, c = made.cell(torch.cat([x.flatten(1) * scale, left.flatten(1) * scale, state[0]], dim=1), (h, c))
            answers = made.head(h)
            mu, width = answers[:, :2], limit_log_sigma(answers[:, 2:])
            z.append(mu + width.exp() * eps[t])
            log_q = log_q + density(z[-1], mu, width)
            state = Painter().step(state, z[-1])
        if noisy:
            torch.manual_seed(8)
            found, log_found = q.rsample_and_log_prob()
            close(found, torch.cat(z, dim=1))
            close(log_found, log_q)
            close(q.log_prob(found), log_q)
        else:
            close(q.mean, torch.cat(z, dim=1))
            close(made.hidden(x), h)


def test_a_recurrent_encoders_numbers() -> None:
    network: Any = examples.drawing(12, (3, 8, 8), glimpses=4, units=6)[0]
    made: Any = Recurrent(network, 12, units=7, side=2)
    assert (made.cell.input_size, made.cell.hidden_size) == (2 * 3 * 4 + 6, 7)
    assert (made.head.in_features, made.head.out_features) == (7, 2 * 3)
    assert (made.size, made.units, made.decoder_network) == (12, 7, ())
    assert made.attention.read(torch.zeros(2, 6), torch.zeros(2, 3, 8, 8))[0].shape == (2, 3, 2, 2)
    Recurrent(network, 12, units=1, side=2)
    for wrong in ({"units": 0}, {"side": 1}):
        with pytest.raises(ValueError, match="1 or more, and 2 or more"):
            Recurrent(network, 12, **wrong)
    with pytest.raises(UserError, match="these networks have no recurrent decoder"):
        Recurrent(MLP(4, 3), 12)
    with pytest.raises(UserError, match="there is none; use it as the encoder"):
        made(torch.zeros(2, 3, 8, 8))
    decoder = Deterministic(nn.Identity())
    made.set_decoder(decoder)
    assert made.decoder_network == (decoder.network,)
    assert not any(key.startswith("drawer") for key in made.state_dict())
