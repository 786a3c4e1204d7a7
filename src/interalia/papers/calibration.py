"""A check of annealed importance sampling on linear-Gaussian decoders, for which log p(x) is known exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributions import MultivariateNormal

from interalia import tasks
from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.games import VAE
from interalia.metrics.likelihood import annealed_importance, elbo
from interalia.papers.experiment import Experiment, Job, Setting, Values, changes, texts, uninterrupted

PIXELS = 100
FULL = {"images": 100, "chains": 16, "temperatures": 1000}
QUICK = {"images": 8, "chains": 8, "temperatures": 100}
ROWS = changes("ais-calibration")  # name of a row -> the arguments `latents`, `initial` and `precision` of `measure`


def linear_gaussian(latents: int, pixels: int = PIXELS, seed: int = 0) -> VAE:
    """Returns a VAE in float64 with the decoder x = W z + b + eps / 2, where z and eps are N(0, I), so that p(x) is known. W
    and b are drawn with `seed`: entries N(0, 1 / pixels) and N(0, 1). z has `latents` and x has `pixels` dimensions. The
    encoder q(z | x) is only near the posterior p(z | x); W' is the transpose of W:

        p(z | x) = N(z; m(x), S),   S = (I + 4 W'W)^-1,   m(x) = 4 S W' (x - b)
        q(z | x) = N(z; 0.9 m(x), 1.69 diag S)
    """
    double: Any = {"dtype": torch.float64}
    random = torch.Generator().manual_seed(seed)
    decoder, encoder = nn.Linear(latents, pixels, **double), nn.Linear(pixels, 2 * latents, **double)
    with torch.no_grad():
        w = decoder.weight.copy_(torch.randn(pixels, latents, generator=random, **double) / math.sqrt(pixels))
        b = decoder.bias.copy_(torch.randn(pixels, generator=random, **double))
        s = torch.linalg.inv(torch.eye(latents, **double) + 4 * (w.T @ w))
        mean = 4 * (0.9 * s @ w.T)
        encoder.weight.copy_(torch.cat([mean, torch.zeros_like(mean)]))
        encoder.bias.copy_(torch.cat([-mean @ b, (1.3 * s.diagonal().sqrt()).log()]))
    return VAE(Gaussian(encoder), Deterministic(decoder), StandardNormal(latents).double(), sigma=0.5)


def exact_density(game: VAE) -> MultivariateNormal:
    """Returns the exact p(x) = N(b, W W' + sigma^2 I) of a game from `linear_gaussian`, whose decoder is W z + b with noise
    of the standard deviation sigma = 1/2. W' is the transpose of W.
    """
    layer: Any = game.decoder.network
    w, b = layer.weight.detach(), layer.bias.detach()
    return MultivariateNormal(b, w @ w.T + game.sigma**2 * torch.eye(len(w), dtype=w.dtype))


def rows(setting: Setting) -> Iterator[Job]:
    """Yields a `Job` for each row of the table and each seed; a row is a combination of arguments of `measure`, below."""
    form, length = QUICK if setting.quick else FULL, setting.length(FULL["temperatures"], QUICK["temperatures"])
    for (row, how), seed in itertools.product(ROWS.items(), range(setting.seeds)):
        yield Job(row, seed, partial(measure, **how, seed=seed, **{**form, "temperatures": length}), length)


def measure(
    latents: int, initial: Any, precision: Any, seed: int, images: int, chains: int, temperatures: int
) -> Values:
    """Estimates log p(x) of n = `images` images of `linear_gaussian(latents, seed=seed)` by annealed importance sampling
    (AIS), with `temperatures` temperatures and `chains` chains per image, which start from `initial`: "prior" for p(z),
    "posterior" for the encoder's q(z | x). With the `precision` "fp32" all is in float64; with "bf16" in float32, and the
    gradients within trajectories in bf16. Returns column -> value, in nats, as means over images:
    - `truth`, log p(x); `elbo`, its evidence lower bound by q(z | x); `ais`, the estimate; `miss`, the signed `ais` - `truth`
    - `lower`, `upper`: bounds of log p(x) by AIS on n other images (bidirectional check); `gap`, `upper` - `lower`
    - `told`, the mutual information of x and z; `acceptance`, the share of accepted transitions in the estimate, 0 to 1
    - `miss_error` and `gap_error`, the standard errors of `miss` and `gap` over images.
    """
    game = linear_gaussian(latents, seed=seed)
    true = exact_density(game)
    with tasks.evaluating(game, 1000 + seed):  # other images than the check's
        x = game.simulate(game.prior.sample((images,)))
    if precision == "bf16":
        x = x.float()
    truth = true.log_prob(x.double())
    information = (torch.logdet(true.covariance_matrix) - PIXELS * math.log(game.sigma**2)) / 2  # I(x; z)
    game = game.to(x.dtype)
    how = {"initial": initial, "simulated": images, "seed": seed, "precision": precision}
    found = uninterrupted(annealed_importance(game, x, chains, temperatures, **how))
    check = uninterrupted(found.check)
    error = found.values - truth
    return {
        "told": float(information), "truth": float(truth.mean()), "elbo": elbo(game, x, seed=seed).mean, "ais": found.mean,
        "miss": float(error.mean()), "miss_error": float(error.std()) / math.sqrt(images), "gap": check.gap,
        "gap_error": check.error, "lower": float(check.lower.mean()), "upper": float(check.upper.mean()),
        "acceptance": found.acceptance or 0.0,
    }  # fmt: skip


AIS_CALIBRATION = Experiment(**texts("ais-calibration"), rows=rows)
