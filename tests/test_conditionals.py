"""Conditionals and priors: samples, means and densities that agree with each other."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor, nn

from interalia.conditionals import CONDITIONALS, PRIORS, Conditional, Implicit, Point, Prior, rsample_with_log_prob
from interalia.errors import UserError
from interalia.networks.mlp import MLP

SHAPES = [(4,), (1, 2, 2)]
ALONE = [name for name in CONDITIONALS if name != "recurrent"]  # which is nothing without DRAW's decoder


class Flat(MLP):
    """Takes images too."""

    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x.flatten(1))


def make(name: str, outputs: int = 3) -> Conditional:
    torch.manual_seed(0)
    member = CONDITIONALS[name]
    inputs = 4 + (inspect.signature(member).parameters["noise"].default if member is Implicit else 0)
    size = {"size": outputs} if "size" in inspect.signature(member).parameters else {}
    made = member(Flat(inputs, member.params_per_dim_for() * outputs, width=8), **size)  # type: ignore[attr-defined]
    made.set_log_joint(lambda x, z: -(z - x.flatten(1)[:, :outputs]).square().sum(1))
    return made


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ALONE)
def test_samples_and_means_have_one_row_for_each_condition(name: str, shape: tuple[int, ...]) -> None:
    conditional, c = make(name), torch.randn(5, *shape)
    distribution = conditional(c)
    assert distribution.rsample().shape == distribution.mean.shape == (5, 3)
    assert conditional.hidden(c).shape == (5, 8)
    assert not distribution.sample().requires_grad


@pytest.mark.parametrize("name", ALONE)
def test_samples_teach_every_parameter(name: str) -> None:
    conditional = make(name)
    q = conditional(torch.randn(5, 4))
    z, log_q = rsample_with_log_prob(q) if conditional.has_density else (q.rsample(), torch.zeros(()))
    (z.square().sum() + log_q.square().sum()).backward()
    for key, parameter in conditional.named_parameters():
        assert parameter.grad is not None, key
        assert bool(parameter.grad.any()), key


@pytest.mark.parametrize("name", ALONE)
def test_samples_come_from_the_random_state(name: str) -> None:
    conditional, c = make(name), torch.randn(5, 4)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(conditional(c).rsample())
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2]) == (name == "deterministic")


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_precision_is_kept(name: str, kind: torch.dtype) -> None:
    distribution = make(name).to(kind)(torch.randn(5, 4, dtype=kind))
    assert distribution.rsample().dtype == distribution.mean.dtype == kind


@pytest.mark.parametrize("name", ALONE)
def test_autocast_answers_in_single_precision(name: str) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert make(name)(torch.randn(5, 4)).rsample().dtype == torch.float32


def test_the_gaussians_moments_and_density() -> None:
    conditional = make("gaussian").double()
    c = torch.randn(1, 4, dtype=torch.float64)
    distribution = conditional(c)
    mu, log_sigma = conditional.network(c).chunk(2, dim=1)
    torch.testing.assert_close(distribution.mean, mu)
    z = torch.randn(1, 3, dtype=torch.float64)
    by_hand = (-0.5 * ((z - mu) / log_sigma.exp()) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)).sum(1)
    torch.testing.assert_close(distribution.log_prob(z), by_hand, atol=1e-12, rtol=0)
    torch.manual_seed(0)
    draws = conditional(c.expand(50_000, 4)).rsample()
    assert ((draws.mean(0) - mu) / log_sigma.exp()).abs().max() < 0.02
    assert (draws.std(0) / log_sigma.exp() - 1).abs().max() < 0.02


def test_a_dirac_is_its_function() -> None:
    conditional = make("deterministic")
    c = torch.randn(5, 4)
    assert torch.equal(conditional(c).rsample(), conditional.network(c))
    assert torch.equal(conditional(c).mean, conditional.network(c))
    assert torch.equal(conditional(c).rsample((2,)), conditional.network(c).expand(2, 5, 3))


def test_an_implicit_conditional_pushes_noise() -> None:
    conditional = Implicit(nn.Identity(), noise=3)
    c = torch.randn(20_000, 4)
    torch.manual_seed(0)
    draw = conditional(c).rsample()
    assert torch.equal(draw[:, :4], c)
    assert draw[:, 4:].mean(0).abs().max() < 0.03
    assert (draw[:, 4:].std(0) - 1).abs().max() < 0.03
    assert torch.equal(conditional(c).mean, torch.cat([c, torch.zeros(20_000, 3)], dim=1))  # f(c, 0)


@pytest.mark.parametrize("name", ["deterministic", "implicit"])
def test_what_has_no_density_says_so(name: str) -> None:
    with pytest.raises(UserError, match=r"has samples and no density.*use a Gaussian conditional"):
        make(name)(torch.zeros(2, 4)).log_prob(torch.zeros(2, 3))


def test_an_implicit_conditional_draws_once_a_condition() -> None:
    with pytest.raises(UserError, match="repeat the condition"):
        make("implicit")(torch.zeros(2, 4)).rsample((3,))


def test_a_points_shape() -> None:
    point = Point(torch.zeros(5, 1, 2, 2))
    assert (point.batch_shape, point.event_shape) == ((5,), (1, 2, 2))


# priors whose dimensions are all alike; codes: tests/test_infogan.py; mixtures: tests/test_variational.py
ALIKE = ["normal", "uniform"]


@pytest.mark.parametrize("name", ALIKE)
def test_priors_have_the_moments_that_they_state(name: str) -> None:
    torch.manual_seed(0)
    prior: Prior = PRIORS[name](3)
    z = prior.sample((200, 500))
    assert z.shape == (200, 500, 3)
    flat = z.flatten(0, 1)
    assert (flat.mean(0) - prior.mean).abs().max() < 0.02
    assert (flat.var(0) / prior.variance - 1).abs().max() < 0.02
    assert torch.corrcoef(flat.t()).triu(1).abs().max() < 0.02
    if name == "uniform":
        assert -1 <= z.min() < -0.999
        assert 0.999 < z.max() <= 1


@pytest.mark.parametrize("name", PRIORS)
def test_priors_follow_their_game_and_weigh_nothing(name: str) -> None:
    prior: Prior = PRIORS[name](12).double()
    assert prior.sample((2,)).dtype == torch.float64
    learned = name == "learned"
    assert bool(prior.state_dict()) == learned
    assert bool(list(prior.parameters())) == learned
