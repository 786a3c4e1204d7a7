"""The first steps of an encoder: no posterior's width diverges, and ordinary widths are unchanged."""

from __future__ import annotations

import math
from typing import Any

import examples
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interalia.conditionals import CONDITIONALS, Deterministic, Gaussian, Recurrent, rsample_with_log_prob
from interalia.conditionals.base import MAX_SIGMA, limit_log_sigma
from interalia.data.dataset import Dataset, Split
from interalia.runs import recipes
from interalia.training import engine


def test_ordinary_widths_are_the_exponential_to_the_bit() -> None:
    a = torch.cat([torch.linspace(-30, math.log(2) - 1e-6, 1000), torch.tensor([0.0])])
    torch.testing.assert_close(limit_log_sigma(a), a, rtol=0, atol=0)
    torch.testing.assert_close(limit_log_sigma(torch.tensor([9.0]), math.inf), torch.tensor([9.0]), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("widest", [0.5, 5.0, 300.0])
def test_a_bent_width_rises_to_its_limit_and_keeps_a_gradient(kind: torch.dtype, widest: float) -> None:
    start, room = math.log(widest / 2.5), math.log(2.5)
    t = torch.tensor([0.5, 1.0, 7.0, 60.0, 1000.0], dtype=kind)
    a = (start + t).requires_grad_()
    sigma = limit_log_sigma(a, widest).exp()
    by_hand = [widest / 2.5 * math.exp(room * s / (s + room)) for s in t.tolist()]
    assert sigma.tolist() == pytest.approx(by_hand, rel=1e-5)
    assert sigma.diff().min() > 0
    assert sigma.max() < widest
    (slope,) = torch.autograd.grad(limit_log_sigma(a, widest).sum(), a)
    assert slope.tolist() == pytest.approx([(room / (s + room)) ** 2 for s in t.tolist()], rel=1e-4)
    at = torch.tensor([start], dtype=kind, requires_grad=True)
    assert torch.autograd.grad(limit_log_sigma(at, widest).sum(), at)[0].item() == 1
    assert limit_log_sigma(torch.tensor([1e30], dtype=kind), widest).exp().item() <= widest * (1 + 1e-6)


class Constant(nn.Module):
    """A network whose outputs are the same for every x."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = nn.Parameter(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs.expand(len(x), -1)


def constant_encoder(name: str, log_sigma: float) -> tuple[Any, Tensor, Tensor]:
    """An encoder whose network returns mu = 0, this log sigma and 0 for the rest; an x; the parameter of its outputs."""
    if name == "recurrent":
        whole, decoder = examples.drawing(4, glimpses=2, units=4)
        encoder: Any = Recurrent(whole, 4, units=4)
        encoder.set_decoder(Deterministic(decoder))
        with torch.no_grad():
            encoder.head.weight.zero_()
            encoder.head.bias.copy_(torch.tensor([0.0, 0.0, log_sigma, log_sigma]))
        return encoder, torch.zeros(2000, 1, 8, 8), encoder.head.bias
    entry: Any = CONDITIONALS[name]
    outputs = torch.zeros(1, entry.params_per_dim_for() * 4)
    outputs[:, 4:8] = log_sigma
    network = Constant(outputs)
    encoder = Gaussian(network) if name == "gaussian" else entry(network, 4)
    encoder.set_log_joint(lambda x, z: -1e-9 * z.square().sum(1))  # all but flat
    return encoder, torch.zeros(2000, 1), network.outputs


EXPONENTIAL = ["gaussian", "flow", "iaf", "planar", "auxiliary", "hamiltonian", "gaussian-process", "recurrent"]


def test_these_are_all_the_conditionals_that_exponentiate_an_output() -> None:
    linear = {"deterministic", "implicit", "basis-noise"}  # whose widths are linear in the outputs, or 0
    assert {*EXPONENTIAL, *linear} == set(CONDITIONALS)


@pytest.mark.parametrize("name", EXPONENTIAL)
def test_no_posterior_is_wider_than_the_limit_and_all_have_a_gradient_back(name: str) -> None:
    torch.manual_seed(0)
    encoder, x, outputs = constant_encoder(name, 20.0)  # exp(20) is 5e8
    z, log_q = rsample_with_log_prob(encoder(x))
    # 6 standard deviations; a flow, a process and a level of latents start near the identity, and may add a third
    assert z.abs().max() < 6 * 1.4 * MAX_SIGMA
    assert z.std() > 3
    assert log_q.isfinite().all()
    (slopes,) = torch.autograd.grad(z.square().mean(), outputs)
    assert bool((slopes.flatten()[2:] if name == "recurrent" else slopes[:, 4:8] > 1e-4).all())


@pytest.mark.parametrize("name", EXPONENTIAL)
def test_a_narrow_posterior_is_as_narrow_as_it_was(name: str) -> None:
    torch.manual_seed(0)
    encoder, x, _ = constant_encoder(name, math.log(0.01))
    assert 0.007 < rsample_with_log_prob(encoder(x))[0].std().item() < 0.02  # a Hamiltonian one's steps add their own


def test_a_custom_limit_is_stored_and_checked() -> None:
    q = Gaussian(Constant(torch.tensor([[0.0, 6.0]])), widest=math.inf)(torch.zeros(1, 1))
    assert q.base_dist.scale.item() == pytest.approx(math.exp(6), rel=1e-5)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="`widest` is 0"):
        Gaussian(nn.Identity(), widest=0.0)


def pictures(kind: str, side: int, count: int = 96) -> np.ndarray[Any, Any]:
    """Noise, or nearly equal gray images with an unusual one in each 24, which batch norm amplifies."""
    rng = np.random.default_rng(0)
    noise = rng.random((count, 3, side, side), dtype=np.float32)
    if kind == "noise":
        return noise
    x = 0.5 + 0.02 * (noise - 0.5) + 0.1 * rng.standard_normal((count, 3, 1, 1), dtype=np.float32)
    x[::24] = rng.random((len(x[::24]), 3, 1, 1)).round()
    return x.clip(0, 1).astype(np.float32)


def widest(x: np.ndarray[Any, Any], steps: int = 20, **overrides: Any) -> float:
    """The largest standard deviation of a posterior in the first steps of a recipe."""
    dataset = Dataset("pictures", *(Split(x) for _ in range(3)))
    run = recipes.ali_images(steps=1000, **overrides)
    training = engine.prepare(run, dataset=dataset)
    seen = [0.0]

    def record(module: nn.Module, inputs: Any, q: Any) -> None:
        seen.append(q.base_dist.scale.detach().max().item())

    training.game.encoder.register_forward_hook(record)
    for _ in range(steps):
        engine.set_learning_rates(training)
        training.dynamics.step(training.batches)
        assert all(bool(p.isfinite().all()) for p in training.game.parameters())
    return max(seen)


@pytest.mark.parametrize("kind", ["noise", "unusual"])
def test_the_first_steps_on_pictures_of_64_pixels(kind: str) -> None:
    assert 1 < widest(pictures(kind, 64), networks="auto(width=4, unary=True)", batch_size=24, precision="fp32") <= 5


def test_the_first_steps_on_numbers_of_a_huge_scale() -> None:
    x = np.random.default_rng(0).standard_normal((256, 20)).astype(np.float32)
    x[::20] *= 1e4
    assert 1 < widest(x, batch_size=64) <= 5


@pytest.mark.long
@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("kind", ["noise", "unusual"])
def test_the_first_steps_of_the_whole_recipe(kind: str, side: int) -> None:
    assert 1 < widest(pictures(kind, side, 192), batch_size=96 if side == 64 else 48) <= 5
