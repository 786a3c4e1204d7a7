"""Priors and Bernoulli likelihoods: values by hand, errors at the limits of arguments, defaults, devices."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Normal

from interalia.conditionals import (
    PRIORS,
    ActivationRecorder,
    Codes,
    Deterministic,
    Learned,
    Mixture,
    StandardNormal,
    Uniform,
    decoder_logits,
    log_bernoulli,
    odds,
    safe_log,
    safe_logit,
)
from interalia.errors import UserError

close = torch.testing.assert_close


def rows(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# --- priors ---------------------------------------------------------------------------------------------------------

MEMBERS: dict[str, dict[str, object]] = {
    "normal": {},
    "uniform": {},
    "mixture": {"components": 10, "radius": 4.0, "std": 1.0},
    "learned": {"components": 10, "radius": 1.0, "std": 1.0},
    "codes": {"categorical": (10,), "uniform": 2, "gaussian": 0, "noise": "normal", "std": 1.0},
}


@pytest.mark.parametrize("name", PRIORS)
def test_priors_are_as_documented(name: str) -> None:
    parameters = inspect.signature(PRIORS[name]).parameters
    assert {key: p.default for key, p in parameters.items() if p.default is not p.empty} == MEMBERS[name]
    prior = PRIORS[name](13)
    assert prior.size == 13
    assert prior.sample((2, 3)).shape == (2, 3, 13)
    for key, value in MEMBERS[name].items():
        assert getattr(prior, key) == value


def test_the_moments_and_densities_of_the_plain_priors() -> None:
    assert (StandardNormal.mean, StandardNormal.variance) == (0.0, 1.0)
    assert (Uniform.mean, Uniform.variance) == (0.0, 1 / 3)
    z = rows([0.5, -2.0, 1.5], [0.1, 0.2, 0.3])
    close(StandardNormal(3).log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(1))
    border = torch.tensor([[1.0, -1.0], [0.3, -0.2], [1.0001, 0.0], [0.0, -1.0001], [2.0, 2.0]])
    found = Uniform(2).log_prob(border)
    close(found[:2], torch.full((2,), -2 * math.log(2)))
    assert found[2:].tolist() == [-math.inf] * 3


def test_plain_priors_draw_from_the_random_state() -> None:
    torch.manual_seed(3)
    normal = torch.randn(4, 2, 3)
    torch.manual_seed(3)
    assert torch.equal(StandardNormal(3).sample((4, 2)), normal)
    torch.manual_seed(3)
    uniform = torch.rand(4, 2, 3)
    torch.manual_seed(3)
    close(Uniform(3).sample((4, 2)), 2 * uniform - 1)


@pytest.mark.parametrize("name", ["normal", "uniform", "mixture", "learned"])
def test_densities_of_draws_in_rows_and_columns(name: str) -> None:
    prior = PRIORS[name](2)
    z = torch.rand(4, 3, 2)
    found = prior.log_prob(z)
    assert found.shape == (4, 3)
    close(found.flatten(), prior.log_prob(z.flatten(0, 1)))


def test_a_mixture_of_two_dimensions_lies_on_a_circle() -> None:
    close(Mixture(2, 4, radius=3.0).mu, 3.0 * torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]]), atol=1e-6, rtol=0)
    angles = Mixture(2, 3).mu / 4
    close(angles[1], torch.tensor([-0.5, 3**0.5 / 2]))
    assert Mixture(2).mu.shape == (10, 2)


def test_a_mixture_of_other_dimensions_lies_on_a_sphere_that_is_always_the_same() -> None:
    torch.manual_seed(1)
    one = Mixture(3, 5, radius=2.0)
    torch.manual_seed(2)
    assert torch.equal(one.mu, Mixture(3, 5, radius=2.0).mu)
    directions = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    close(one.mu, 2 * directions / directions.square().sum(1, keepdim=True).sqrt())
    close(Mixture(1, 3, radius=2.0).mu.abs(), torch.full((3, 1), 2.0))


def test_a_mixtures_density_and_draws_by_hand() -> None:
    prior = Mixture(2, components=3, radius=1.5, std=0.4).double()
    z = rows([0.3, 0.1], [-2.0, 1.0], [1.4, 0.2])
    each = torch.stack([Normal(mu, 0.4).log_prob(z).sum(1).exp() for mu in prior.mu])
    close(prior.log_prob(z), each.mean(0).log())
    torch.manual_seed(4)
    chosen = torch.randint(3, (50, 2))
    noise = torch.randn(50, 2, 2, dtype=torch.float64)
    torch.manual_seed(4)
    close(prior.sample((50, 2)), prior.mu[chosen] + 0.4 * noise)
    assert set(chosen.flatten().tolist()) == {0, 1, 2}
    close(prior.log_sigma, torch.full((3, 2), math.log(0.4)).double())


@pytest.mark.parametrize("kind", [Mixture, Learned])
def test_a_mixtures_numbers_are_in_range(kind: type[Mixture]) -> None:
    for wrong in ({"components": 0}, {"radius": -0.1}, {"radius": math.inf}, {"std": 0.0}, {"std": math.inf}):
        with pytest.raises(ValueError, match="1 or more, 0 or more, and above 0"):
            kind(3, **wrong)  # type: ignore[arg-type]
    assert not kind(3, components=1, radius=0.0, std=1e-6).mu.any()


def test_a_learned_mixture_learns_its_places_and_widths() -> None:
    prior = Learned(3, components=4, std=0.5)
    assert sorted(name for name, _ in prior.named_parameters()) == ["log_sigma", "mu"]
    assert sorted(prior.state_dict()) == ["log_sigma", "mu"]
    close(prior.mu.norm(dim=1), torch.ones(4))
    with torch.no_grad():
        prior.log_sigma.copy_(torch.randn(4, 3))
    z = torch.randn(5, 3)
    each = torch.stack(
        [Normal(m, s.exp()).log_prob(z).sum(1).exp() for m, s in zip(prior.mu, prior.log_sigma, strict=True)]
    )
    close(prior.log_prob(z), each.mean(0).log())
    assert not list(Mixture(3).parameters())
    assert not Mixture(3).state_dict()


# --- codes ----------------------------------------------------------------------------------------------------------


def codes(**settings: Any) -> Codes:
    return Codes(**{"size": 12, "categorical": [3, 2], "uniform": 1, "gaussian": 2, "std": 0.5, **settings})


def test_codes_lie_behind_the_noise() -> None:
    prior = codes()
    assert prior.code_sizes == [3, 2, 1, 1, 1]
    assert prior.code_outputs == 8
    assert [(prior.code_slice(i).start, prior.code_slice(i).stop) for i in range(5)] == [
        (4, 7),
        (7, 9),
        (9, 10),
        (10, 11),
        (11, 12),
    ]
    assert prior.code_names == ["c1", "c2", "c3", "c4", "c5"]
    assert prior.description == "3 + 2 for categories, 1 uniform, 2 Gaussian"
    assert codes(categorical=[], gaussian=0).description == "1 uniform"
    assert codes(uniform=0, gaussian=0).description == "3 + 2 for categories"
    z = torch.arange(24.0).view(2, 12)
    parts = prior.split(z)
    assert [part.shape[1] for part in parts] == [4, 3, 2, 1, 1, 1]
    assert torch.equal(torch.cat(parts, dim=1), z)
    assert prior.categorical == (3, 2)
    close(
        prior.entropy, torch.tensor([math.log(3), math.log(2), math.log(2), *[Normal(0.0, 1.0).entropy().item()] * 2])
    )
    assert prior.double().entropy.dtype == torch.float64


def test_codes_draw_what_they_say() -> None:
    torch.manual_seed(0)
    z = codes().double().sample((400, 5))
    assert z.shape == (400, 5, 12)
    assert z.dtype == torch.float64
    noise, one, two, uniform, gaussian = z.flatten(0, 1).split([4, 3, 2, 1, 2], dim=1)
    for part, k in ((one, 3), (two, 2)):
        assert torch.equal(part.sum(1), torch.ones(2000).double())
        assert set(part.flatten().tolist()) == {0.0, 1.0}
        assert (part.mean(0) - 1 / k).abs().max() < 0.06
    assert -1 <= uniform.min() < -0.99
    assert 0.99 < uniform.max() <= 1
    assert (gaussian.std(0) - 1).abs().max() < 0.1
    assert noise.abs().max() > 2.5
    flat = codes(noise="uniform").sample((2000,))[:, :4]
    assert -1 <= flat.min() < -0.99
    assert 0.99 < flat.max() <= 1


def test_what_codes_cost_by_hand() -> None:
    prior = codes(size=8).double()
    answers = rows([0.2, -1.0, 0.7, 1.5, 0.1, 0.3, -0.4, 2.0], [1.0, 2.0, 3.0, -1.0, 0.5, -0.2, 0.6, 0.0])
    z = rows([0, 1, 0, 0, 1, 0.5, -0.1, 1.0], [1, 0, 0, 1, 0, -0.7, 0.2, 0.3])
    expected = torch.stack(
        [
            Categorical(logits=answers[:, :3]).log_prob(z[:, :3].argmax(1)),
            Categorical(logits=answers[:, 3:5]).log_prob(z[:, 3:5].argmax(1)),
            *(Normal(answers[:, i], 0.5).log_prob(z[:, i]) for i in (5, 6, 7)),
        ],
        dim=1,
    )
    close(prior.log_likelihood(answers, z), expected)
    found = prior.expected_codes(answers)
    close(found[:, :3], answers[:, :3].exp() / answers[:, :3].exp().sum(1, keepdim=True))
    close(found[:, 3], 1 / (1 + (answers[:, 4] - answers[:, 3]).exp()))
    assert torch.equal(found[:, 5:], answers[:, 5:])
    assert prior.log_likelihood(answers * math.nan, z).isnan().all()  # which the training itself ends at
    with pytest.raises(UserError, match="no density, because a code may be a category"):
        prior.log_prob(z)


def test_codes_that_cannot_be() -> None:
    for wrong in ([1], [3, 1], [True], [2.0], [0]):
        with pytest.raises(ValueError, match="whole and 2 or more"):
            codes(categorical=wrong)
    for wrong in ({"uniform": -1}, {"gaussian": -1}):  # type: ignore[assignment]
        with pytest.raises(ValueError, match="they count codes, from 0"):
            codes(**wrong)  # type: ignore[arg-type]
    for std in (0.0, math.inf, -1.0):
        with pytest.raises(ValueError, match="a standard deviation is above 0"):
            codes(std=std)
    with pytest.raises(ValueError, match="it has no codes"):
        codes(categorical=[], uniform=0, gaussian=0)
    with pytest.raises(ValueError, match="its codes take 8 numbers"):
        codes(size=7)
    assert codes(size=8).code_slice(0) == slice(0, 3)  # no noise is left
    assert codes(size=8).sample((3,)).shape == (3, 8)
    assert codes(categorical=[2], uniform=0, gaussian=0, std=1e-9).code_outputs == 2


# --- zeros and ones -------------------------------------------------------------------------------------------------


def test_constants_of_the_odds() -> None:
    assert (odds.MIN_PROBABILITY, odds.NEAREST) == (1e-36, 2.0**-24)
    assert float(torch.tensor(1.0) - torch.tensor(odds.NEAREST)) < 1.0
    assert float(torch.tensor(1.0) - torch.tensor(odds.NEAREST / 4)) == 1.0


def test_the_logarithm_by_hand() -> None:
    p = rows(0.3, 1.0, 1e-30, 1.5e-36)
    close(safe_log(p), p.log())
    low = rows(0.0, 1e-36)  # at the bound and under it: a line with the slope at the nearest number below 1
    close(safe_log(low), math.log(1e-36) + low * 2**24)
    p = rows(0.25, 0.0).requires_grad_()
    safe_log(p).sum().backward()
    assert p.grad is not None
    assert p.grad.tolist() == [4.0, 2.0**24]


def test_log_odds_of_probabilities_by_hand() -> None:
    p = rows(0.25, 0.9, 1e-20)
    close(safe_logit(p), (p / (1 - p)).log())
    assert safe_logit(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([-math.log(1e36), math.log(1e36)], rel=1e-6)
    assert safe_logit(torch.tensor([0.5], dtype=torch.bfloat16)).dtype == torch.float32
    for wrong in ([-1e-6, 0.5], [0.5, 1.000001]):
        with pytest.raises(UserError, match=r"log-odds need probabilities in \[0, 1\]"):
            safe_logit(torch.tensor(wrong))


def test_the_bernoulli_density_by_hand() -> None:
    x, logits = rows([0.0, 1.0, 1.0, 0.3]), rows([0.7, 0.7, -1.2, 0.4]).requires_grad_()
    p = logits.detach().sigmoid()
    close(log_bernoulli(x, logits), x * p.log() + (1 - x) * (1 - p).log())
    close(log_bernoulli(x, logits)[0, :3], Bernoulli(p).log_prob(x.round())[0, :3])
    log_bernoulli(x, logits).sum().backward()
    assert logits.grad is not None
    close(logits.grad, x - p)


BIG = torch.tensor([[-90.0, 40.0], [0.5, 100.0], [1.0, 90.0]])
MOVED: dict[str, Callable[[Tensor], Tensor]] = {
    "__getitem__": lambda p: p[1:, ::1],
    "detach": lambda p: p.detach(),
    "expand": lambda p: p.expand(4, 3, 2),
    "flatten": lambda p: p.flatten(),
    "movedim": lambda p: p.movedim(0, 1),
    "permute": lambda p: p.permute(1, 0),
    "reshape": lambda p: p.reshape(2, 3),
    "squeeze": lambda p: p[:, :1].squeeze(1),
    "transpose": lambda p: p.transpose(0, 1),
    "unflatten": lambda p: p.unflatten(0, (1, 3)),
    "unsqueeze": lambda p: p.unsqueeze(0),
    "view": lambda p: p.view(6, 1),
    "by keyword": lambda p: p.reshape(shape=(6,)),  # type: ignore[call-overload]
}


@pytest.mark.parametrize("name", MOVED)
def test_arguments_are_moved_with_their_answers(name: str) -> None:
    move = MOVED[name]
    assert name in odds.MOVES or name == "by keyword"
    with ActivationRecorder() as recorder:
        found = move(BIG.sigmoid())
    argument = recorder.pre_activation(found)
    assert argument is not None
    assert torch.equal(argument, move(BIG))


def test_every_move_is_tried() -> None:
    assert set(MOVED) - {"by keyword"} == odds.MOVES
    assert {"clone", "contiguous", "double", "float", "to", "type_as"} == odds.CASTS


@pytest.mark.parametrize("squash", [torch.sigmoid, Tensor.sigmoid, torch.special.expit, torch.nn.Sigmoid()])
def test_every_sigmoid_of_torch_is_remembered(squash: Callable[[Tensor], Tensor]) -> None:
    with ActivationRecorder() as recorder:
        p = squash(BIG)
        other = BIG.tanh()
    found = recorder.pre_activation(p)
    assert found is BIG
    assert recorder.pre_activation(other) is None
    with ActivationRecorder("tanh") as recorder:
        p, other = BIG.sigmoid(), torch.tanh(input=BIG)
    assert recorder.pre_activation(p) is None
    assert recorder.pre_activation(other) is BIG


def test_casts_keep_the_argument_in_full_precision() -> None:
    half = torch.tensor([40.0, -3.0], dtype=torch.bfloat16)
    with ActivationRecorder() as recorder:
        p = half.sigmoid()
        cast = [p.clone(), p.contiguous(), p.float(), p.double(), p.to(torch.float16), p.type_as(torch.zeros(1))]
    kinds = [torch.float32] * 3 + [torch.float64] + [torch.float32] * 2
    for part, kind in zip(cast, kinds, strict=True):
        found = recorder.pre_activation(part)
        assert found is not None
        assert found.dtype == kind
        assert found.tolist() == [40.0, -3.0]
    with ActivationRecorder() as recorder:
        p = BIG.double().sigmoid().float()
    assert recorder.pre_activation(p).dtype == torch.float64  # type: ignore[union-attr]


def test_what_is_changed_otherwise_is_forgotten() -> None:
    with ActivationRecorder() as recorder:
        p = BIG.sigmoid()
        half = p * 0.5
        into = torch.empty(3, 2)
        torch.sigmoid(BIG, out=into)
        pair = p.max(0)
    assert recorder.pre_activation(half) is None
    assert recorder.pre_activation(into) is None
    assert recorder.pre_activation(pair.values) is None
    assert recorder.pre_activation(p) is BIG
    with ActivationRecorder() as recorder:
        p = BIG.sigmoid()
        whole = p.view(6)
        whole.mul_(0.5)
    assert recorder.pre_activation(p) is None
    assert recorder.pre_activation(whole) is None
    with ActivationRecorder() as recorder:
        p = BIG.sigmoid()
        same = p.contiguous()  # the tensor itself, and not changed in place
    assert same is p
    assert recorder.pre_activation(p) is not None


def test_log_odds_are_of_the_mean_of_all_conditions() -> None:
    decoder = Deterministic(torch.nn.Sigmoid())
    assert torch.equal(decoder_logits(decoder, BIG), BIG)

    class Sum(torch.nn.Module):
        def forward(self, z: Tensor, y: Tensor) -> Tensor:
            return (z + y).sigmoid()

    close(decoder_logits(Deterministic(Sum()), BIG, 2 * BIG), 3 * BIG)
    p = torch.tensor([[0.25, 0.8]])
    close(decoder_logits(Deterministic(torch.nn.Identity()), p), (p / (1 - p)).log())
