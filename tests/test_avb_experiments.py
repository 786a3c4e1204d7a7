"""What AVB's experiments measure by: the entropy by neighbours, the four pixels' numbers, eight schools' exact moments."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.games import VAE
from interalia.papers import avb


def drawn(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_entropy_by_neighbours_is_that_of_a_gaussian(size: int) -> None:
    z = drawn(20_000, size) * torch.arange(1, size + 1)
    exact = size / 2 * (1 + math.log(2 * math.pi)) + math.lgamma(size + 1)  # log of the widths' product
    assert avb.entropy(z) == pytest.approx(exact, abs=0.04)


def test_the_entropy_by_neighbours_holds_where_a_density_ends_sharply_and_where_draws_are_equal() -> None:
    quarter = 1 + math.log(2 * math.pi) - math.log(4)
    assert avb.entropy(drawn(50_000, 2).abs()) == pytest.approx(quarter, abs=0.02)
    assert avb.entropy(torch.zeros(100, 2)) < -1000


class Constant(nn.Module):
    """Answers the same numbers whatever it is asked."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = nn.Parameter(numbers)

    def forward(self, x: Tensor) -> Tensor:
        return self.numbers.expand(len(x), *self.numbers.shape)


def test_the_four_pixels_numbers_are_those_by_hand() -> None:
    x = torch.eye(4).view(4, 1, 2, 2)
    # q(z | x) = N((1, 0), diag(e^-1, 1)) whatever x is, and a decoder that does not look at z
    encoder = Gaussian(Constant(torch.tensor([1.0, 0.0, -0.5, 0.0])))
    logits = torch.tensor([[[2.0, -1.0], [0.0, -1.0]]])
    decoder = Deterministic(nn.Sequential(Constant(logits), nn.Sigmoid()))
    game = VAE(encoder, decoder, StandardNormal(2), likelihood="bernoulli").eval()
    p = torch.sigmoid(logits.flatten())
    likelihood = torch.stack([torch.where(row.flatten() > 0, p, 1 - p).log().sum() for row in x])
    kl = 0.5 * (math.exp(-1) + 1 - 1 + 1)  # the mean of one dimension, and its smaller width
    found = avb.pixels_values(game, x, seed=0, draws=20_000)
    assert found["likelihood"] == pytest.approx(float(likelihood.mean()), abs=1e-4)
    assert found["error"] == pytest.approx(-1000 * float(likelihood.mean()) / 4, rel=1e-4)
    assert found["bound"] == pytest.approx(float(likelihood.mean()) - kl, abs=0.03)
    assert found["kl"] == pytest.approx(kl, abs=0.03)


def test_eight_schools_exact_moments_are_those_of_weighted_draws() -> None:
    random = np.random.default_rng(0)
    count = 400_000
    mu, tau = random.standard_normal((2, count))
    variance = avb.SIGMA**2 + tau[:, None] ** 2
    log_w = -0.5 * ((avb.Y - mu[:, None]) ** 2 / variance + np.log(2 * np.pi * variance)).sum(1)
    w = np.exp(log_w - log_w.max())
    truth, evidence = avb.schools_truth()
    assert evidence == pytest.approx(-12.711, abs=5e-4)
    assert log_w.max() + math.log(w.mean()) == pytest.approx(evidence, abs=0.02)
    chosen = random.choice(count, 200_000, p=w / w.sum())
    mu, tau = mu[chosen, None], tau[chosen, None]
    narrow = 1 / (1 + tau**2 / avb.SIGMA**2)
    eta = narrow * tau * (avb.Y - mu) / avb.SIGMA**2 + np.sqrt(narrow) * random.standard_normal((len(chosen), 8))
    found = avb.moments_of(np.concatenate([mu, tau, eta], 1))
    assert set(found) == set(truth)
    errors = avb.moment_errors(found, truth)
    assert max(errors.values()) < 2
    assert avb.moment_errors(truth, truth) == {"means": 0, "spreads": 0, "tau": 0}
    wrong = {**truth, "sd eta_3": 1.1 * truth["sd eta_3"], "E mu": truth["E mu"] + 0.05 * truth["sd mu"]}
    assert avb.moment_errors(wrong, truth) == pytest.approx({"means": 5, "spreads": 10, "tau": 0})


def test_eight_schools_game_has_the_likelihood_of_its_model() -> None:
    game = avb.schools_game(avb.DIAGONAL)
    z = drawn(5, 10)
    x = torch.tensor(avb.Y / avb.SIGMA, dtype=torch.float32).expand(5, -1)
    theta = z[:, :1] + z[:, 1:2] * z[:, 2:]
    y = torch.tensor(avb.Y, dtype=torch.float32)
    exact = torch.distributions.Normal(theta, torch.tensor(avb.SIGMA, dtype=torch.float32)).log_prob(y).sum(1)
    assert torch.allclose(game.log_likelihood(x, z) - math.log(np.prod(avb.SIGMA)), exact, atol=1e-4)


@pytest.mark.parametrize("which", ["elbo", "annealed_importance"])
def test_an_interrupted_estimate_is_no_row_of_avb_mnist(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interalia.metrics import likelihood
    from interalia.papers import avb_mnist
    from interalia.papers.experiment import Setting

    whole = getattr(likelihood, which)
    small = {"images": 2, "weights": 4, "chains": 1, "temperatures": 3, "simulated": 2}
    monkeypatch.setitem(avb_mnist.ESTIMATES, "quick", small)

    def cut(*given: Any, **settings: Any) -> Any:
        found = whole(*given, **settings)
        return dataclasses.replace(found, values=found.values[:1], rows=found.rows[:1])

    monkeypatch.setattr(likelihood, which, cut)
    job = next(avb_mnist.AVB_MNIST.jobs(Setting(True, None, 1, 2, tmp_path / "runs")))
    with pytest.raises(KeyboardInterrupt):
        job.measure()
