"""f-GAN's Gaussian, fitted to a mixture of two Gaussians under every f-divergence; the best fit is known by integration.

f-GAN prints the locations and values of five of these optima, fifteen numbers, but not the mixture. A mixture of two
Gaussians has five parameters, and one choice of them reproduces all fifteen numbers to 0.0007:

    p = 0.33 N(-1, 0.255^2) + 0.67 N(2, 2)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from interalia import registry
from interalia.adversarial import divergences
from interalia.adversarial.divergences import FDivergence
from interalia.adversarial.penalties import R1R2
from interalia.conditionals import Deterministic, StandardNormal
from interalia.games.gan import GAN
from interalia.learning.dynamics import Simultaneous
from interalia.learning.optimizers import Averaging, adam, linear
from interalia.networks.layers import PairCritic
from interalia.papers.experiment import Experiment, Job, Setting, Values, texts
from interalia.training import engine

WEIGHTS, MEANS, STDS = (0.33, 0.67), (-1.0, 2.0), (0.255, math.sqrt(2))
GRID = torch.linspace(-20, 24, 8801, dtype=torch.float64)  # of x; 50 times finer than the narrow mode
F_DIVERGENCES = [name for name, member in divergences.REGISTRY.built_in.items() if isinstance(member(), FDivergence)]


def log_normal(x: Tensor, mean: float, std: float) -> Tensor:
    """Returns the log density log N(x; mean, std^2) of the normal distribution at each x, in the shape of x."""
    return -((x - mean) / std).square() / 2 - math.log(std) - math.log(2 * math.pi) / 2


def log_mixture(x: Tensor) -> Tensor:
    """Returns log p(x) at each x, in the shape of x, for the mixture p = 0.33 N(-1, 0.255^2) + 0.67 N(2, 2)."""
    parts = [math.log(w) + log_normal(x, m, s) for w, m, s in zip(WEIGHTS, MEANS, STDS, strict=True)]
    return torch.logsumexp(torch.stack(parts), dim=0)


def draw(count: int) -> Tensor:
    """Draws `count` samples of the mixture p = 0.33 N(-1, 0.255^2) + 0.67 N(2, 2), shape (count, 1)."""
    y = (torch.rand(count, 1) < WEIGHTS[1]).long()
    return torch.tensor(MEANS)[y] + torch.tensor(STDS)[y] * torch.randn(count, 1)


def exact(divergence: FDivergence, mu: float, sigma: float) -> float:
    """Returns the divergence D_f(p || q), the integral of q f(p / q), of p = 0.33 N(-1, 0.255^2) + 0.67 N(2, 2) from q =
    N(mu, sigma^2). The integral is computed by the trapezoidal rule in float64.
    """
    log_q = log_normal(GRID, mu, sigma)
    return torch.trapezoid(log_q.exp() * divergence.f((log_mixture(GRID) - log_q).exp()), GRID).item()


def optimum(divergence: FDivergence) -> tuple[float, float, float]:
    """Returns (mu, sigma, D_f) of the normal distribution with the minimal divergence D_f(p || N(mu, sigma^2)) from the
    mixture p = 0.33 N(-1, 0.255^2) + 0.67 N(2, 2). The minimum is found by the Nelder-Mead method.
    """
    fine: Any = {"method": "Nelder-Mead", "options": {"xatol": 1e-7, "fatol": 1e-12}}
    objective: Any = lambda theta: exact(divergence, *map(float, theta))  # noqa: E731
    found = minimize(objective, np.array([1.01, 1.83]), **fine)
    return float(found.x[0]), float(found.x[1]), float(found.fun)


class Affine(nn.Module):
    """A generator x~ = mu + sigma z with trained numbers mu and sigma, which maps noise z ~ N(0, 1) to samples x~."""

    def __init__(self) -> None:
        super().__init__()
        self.mu, self.sigma = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(1.0))

    def forward(self, z: Tensor) -> Tensor:
        """Returns the samples mu + sigma z, in the shape of z."""
        return self.mu + self.sigma * z


def fit(divergence: FDivergence, seed: int, steps: int) -> tuple[float, float]:
    """Trains the generator x~ = mu + sigma z, z ~ N(0, 1), against a critic on the mixture 0.33 N(-1, 0.255^2) + 0.67 N(2,
    2); returns (mu, sigma), moving averages over about the last eighth of the steps. `divergence` must be saturating (both
    players have one objective), so that the best fit solves the game. `seed` seeds networks, data and noise. A decaying
    gradient penalty is always added; total variation needs it, whose bounded critic else soon has no gradient anywhere.
    """
    engine.keep_freed_memory()
    torch.manual_seed(seed)
    first = nn.Linear(1, 64)
    nn.init.uniform_(first.weight, -2.0, 2.0)
    nn.init.uniform_(first.bias, -6.0, 6.0)  # some units bend in the tails, not only near 0
    critic = nn.Sequential(first, nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    game = GAN(
        Deterministic(Affine()), PairCritic(critic), StandardNormal(1), divergence, R1R2(0.1, every=4, final=1e-7)
    )
    optimizers = {player: adam(game.parameters_of(player), lr=0.01, beta2=0.99) for player in game.players}
    schedule, dynamics = linear(start=0.5), Simultaneous(game, optimizers)
    average = Averaging(1 - 1 / max(1.0, steps / 8)).averaged_model(game)
    batches = ((draw(1024),) for _ in itertools.repeat(None))
    for step in range(steps):
        game.set_progress(step, steps)
        for optimizer in optimizers.values():
            optimizer.param_groups[0]["lr"] = 0.01 * schedule(step / steps)
        dynamics.step(batches)
        average.update_parameters(game)
    module: Any = average.module
    learned: Affine = module.decoder.network
    return learned.mu.item(), abs(learned.sigma.item())


def measure(name: str, seed: int, steps: int) -> Values:
    """Fits q = N(mu, sigma^2) to the mixture p of f-GAN by the f-divergence D_f called `name`; returns column -> number.
    `mu`, `sigma` and `divergence`, D_f(p || q), are of the fit by a game; `best_mu`, `best_sigma` and `best` are the same of
    the best fit, found by integration; `mu_error` and `sigma_error` are the absolute differences of both.
    """
    torch.set_num_threads(1)  # the networks are too small for more
    divergence: Any = registry.make(name, divergences.REGISTRY, "divergence", saturating=True)
    best_mu, best_sigma, best = optimum(divergence)
    with torch.random.fork_rng(devices=[]):
        mu, sigma = fit(divergence, seed, steps)
    found = {"mu": mu, "best_mu": best_mu, "mu_error": abs(mu - best_mu)}
    found |= {"sigma": sigma, "best_sigma": best_sigma, "sigma_error": abs(sigma - best_sigma)}
    return {**found, "divergence": exact(divergence, mu, sigma), "best": best}


def rows(setting: Setting) -> Iterator[Job]:
    """Yields a `Job`, which fits a normal distribution to the mixture, for each f-divergence and each seed."""
    steps = setting.length(4000, 500)
    for name, seed in itertools.product(F_DIVERGENCES, range(setting.seeds)):
        yield Job(name, seed, partial(measure, name, seed, steps), steps)


FGAN_GAUSSIAN = Experiment(**texts("fgan-gaussian"), rows=rows)
