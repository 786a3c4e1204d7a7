"""Annealed importance sampling where log p(x) is known: linear-Gaussian decoders; and how fast it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from interalia.conditionals import Dirac, Gaussian, StandardNormal
from interalia.contexts import frozen, quietly
from interalia.games import VAE
from interalia.metrics.likelihood import annealed_importance, annealing, elbo
from interalia.metrics.likelihood.estimate import rows_that_fit
from interalia.networks import Map
from interalia.networks.avb import AVB
from interalia.papers.experiment import Experiment, Job, Setting, Values
from interalia.spaces import Space

LATENTS, PIXELS, SIGMA = (8, 32, 50), 100, 0.5
IMAGES, QUICK_IMAGES = 100, 8
CHAINS, TEMPERATURES, LEAPFROG = 16, 1000, 10
QUICK_CHAINS, QUICK_TEMPERATURES = 8, 100
SHRUNK, WIDENED = 0.9, 1.3  # the rough posterior's mean and standard deviations over the exact ones
COARSE = 32  # latents of the row with gradients in bf16
SIZE, WIDTH, SIDE = 32, 200, 28  # of the decoders that are timed: latents, hidden units, pixels along a side
MAPS = 16  # of the first of the convolutions
TIMES = {  # a decoder -> turns of the interleaved timing, and temperatures in each
    f"MLP {SIZE}-{WIDTH}-{WIDTH}-{SIDE**2}": (10, 20),
    f"AVB's convolutions, {MAPS} maps": (3, 4),
}


def linear_gaussian(latents: int, pixels: int = PIXELS, sigma: float = SIGMA, seed: int = 0) -> VAE:
    """A VAE with the decoder x = W z + b + sigma eps, in float64, whose encoder is a rough Gaussian posterior.

        p(z | x) = N(z; m(x), S),   S = (I + W'W / sigma^2)^-1,   m(x) = S W' (x - b) / sigma^2
        q(z | x) = N(z; 0.9 m(x), 1.69 diag S)

    W's entries are N(0, 1 / pixels) and b's N(0, 1).

    Example:
        >>> game = linear_gaussian(8)
        >>> x = game.simulate(game.prior.sample((5,)))
        >>> exact(game, x).shape, game.encoder(x).mean.shape
        (torch.Size([5]), torch.Size([5, 8]))
    """
    random = torch.Generator().manual_seed(seed)
    decoder = nn.Linear(latents, pixels, dtype=torch.float64)
    encoder = nn.Linear(pixels, 2 * latents, dtype=torch.float64)
    with torch.no_grad():
        w = torch.randn(pixels, latents, generator=random, dtype=torch.float64) / math.sqrt(pixels)
        b = torch.randn(pixels, generator=random, dtype=torch.float64)
        decoder.weight.copy_(w)
        decoder.bias.copy_(b)
        s = torch.linalg.inv(torch.eye(latents, dtype=torch.float64) + w.T @ w / sigma**2)
        mean = SHRUNK * s @ w.T / sigma**2
        encoder.weight.copy_(torch.cat([mean, torch.zeros_like(mean)]))
        encoder.bias.copy_(torch.cat([-mean @ b, (WIDENED * s.diagonal().sqrt()).log()]))
    return VAE(Gaussian(encoder), Dirac(decoder), StandardNormal(latents).double(), sigma=sigma)


def affine(game: VAE) -> tuple[Tensor, Tensor]:
    """W and b."""
    layer: Any = game.decoder.network
    return layer.weight.detach(), layer.bias.detach()


def law(game: VAE) -> MultivariateNormal:
    """p(x) = N(b, W W' + sigma^2 I)."""
    w, b = affine(game)
    return MultivariateNormal(b, w @ w.T + game.sigma**2 * torch.eye(len(w), dtype=w.dtype))


def exact(game: VAE, x: Tensor) -> Tensor:
    """log p(x) in nats, shape (n,)."""
    return law(game).log_prob(x)


def rows(setting: Setting) -> Iterator[Job]:
    """Every decoder from the prior and from a rough posterior, gradients in bf16, and the time that it takes."""
    length, quick = setting.length(TEMPERATURES, QUICK_TEMPERATURES), setting.quick
    found: dict[str, tuple[Callable[[int], Values], int]] = {}
    for latents in LATENTS:
        for initial, start in (("prior", "the prior"), ("posterior", "a rough posterior")):
            estimate = partial(work, latents, initial, temperatures=length, quick=quick)
            found[f"{latents} latents, from {start}"] = estimate, length
    coarse = partial(work, COARSE, "prior", temperatures=length, quick=quick, precision="bf16")
    found[f"{COARSE} latents, from the prior, gradients in bf16"] = coarse, length
    for decoder, (turns, temperatures) in TIMES.items():
        found[f"time: {decoder}, zeros and ones"] = (
            partial(timed, decoder, turns=2 if quick else turns, temperatures=3 if quick else temperatures),
            temperatures,
        )
    for row, (one, steps) in found.items():
        for seed in range(setting.seeds):
            yield Job(row, seed, partial(one, seed), steps)


def work(latents: int, initial: str, seed: int, temperatures: int, quick: bool, precision: str = "fp32") -> Values:
    """The estimate of images that the decoder made, beside the truth and the bidirectional check; in float64, or in float32
    with gradients within trajectories in bf16."""
    game = linear_gaussian(latents, seed=seed)
    count = QUICK_IMAGES if quick else IMAGES
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1000 + seed)  # other images than those of the check
        x = game.simulate(game.prior.sample((count,)))
    if precision == "bf16":
        x = x.float()
    truth = exact(game, x.double())
    information = (torch.logdet(law(game).covariance_matrix) - PIXELS * math.log(game.sigma**2)) / 2  # I(x; z)
    game = game.to(x.dtype)
    how: Mapping[str, Any] = {"initial": initial, "simulated": count, "seed": seed, "precision": precision}
    chains = QUICK_CHAINS if quick else CHAINS
    found = annealed_importance(game, x, chains=chains, temperatures=temperatures, leapfrog=LEAPFROG, **how)
    check = found.check
    if check is None or check.interrupted or found.interrupted:
        raise KeyboardInterrupt
    miss = found.values - truth
    return {
        "told": float(information),
        "truth": float(truth.mean()),
        "elbo": elbo(game, x, seed=seed).mean,
        "ais": found.mean,
        "miss": float(miss.mean()),
        "miss_error": float(miss.std()) / math.sqrt(count),
        "lower": float(check.lower.mean()),
        "upper": float(check.upper.mean()),
        "gap": check.gap,
        "gap_error": check.error,
        "acceptance": found.acceptance or 0.0,
    }


def timed(decoder: str, seed: int, turns: int, temperatures: int) -> Values:
    """Gradients a second of the sampler, of a loop as one would write it down, and of the decoder alone, taken in turns in
    one process, each on the rows that the sampler takes at once; the medians of all turns."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        game, shape = game_to_time(decoder)
    settings = annealing.settings_for(game, CHAINS, temperatures, LEAPFROG, "sigmoidal", "posterior", "auto")
    path = annealing.betas(temperatures, "sigmoidal")
    with quietly(game, seed):
        images = max(1, rows_that_fit(game) // CHAINS)
        x = torch.bernoulli(torch.full((images, *shape), 0.3))
        steps = x.new_full((temperatures + 1, images), 0.1)
        pairs = images * CHAINS
        calls = (temperatures - 1) * LEAPFROG + 1
        z, pull = torch.randn(pairs, SIZE), torch.randn(pairs, *shape)

        def sampler() -> int:
            with frozen(game):
                ends = annealing.Ends.of(game, x, settings)
                annealing.anneal(ends, ends.bridge.at(ends.draw()), path, steps, LEAPFROG, lambda share: None)
            return pairs * calls

        def alone() -> int:
            with frozen(game), torch.enable_grad():
                for _ in range(calls):
                    at = z.clone().requires_grad_(True)
                    torch.autograd.grad(game.decoder(at).mean, at, pull)
            return pairs * calls

        def loop() -> int:
            return images * plain(game, x, path.tolist(), 0.1)

        rates = rates_of({"evaluations": sampler, "loop": loop, "decoder": alone}, turns)
    ours = rates["evaluations"]
    return {**rates, "over_loop": ours / rates["loop"], "over_decoder": rates["decoder"] / ours}


def game_to_time(decoder: str) -> tuple[VAE, tuple[int, ...]]:
    """An untrained VAE with one of the decoders of `TIMES`, and the shape of its images."""
    if decoder.startswith("MLP"):
        shape: tuple[int, ...] = (SIDE**2,)
        layers = [nn.Linear(SIZE, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, SIDE**2)]
        network: nn.Module = nn.Sequential(*layers, nn.Sigmoid())
    else:
        shape = (1, SIDE, SIDE)
        network = AVB(MAPS).make(Map((Space("z", (SIZE,)),), Space("x", shape, "unit")))
    encoder = Gaussian(nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 2 * SIZE)))
    return VAE(encoder, Dirac(network), StandardNormal(SIZE), likelihood="bernoulli"), shape


def plain(game: VAE, x: Tensor, path: list[float], step: float) -> int:
    """Annealed importance sampling as one would write it down: a chain of the batch after the other, log f_b by automatic
    differentiation, each transition's first gradient taken anew. Answers how many gradients of an image it took."""
    taken = 0
    q = game.encoder(x)
    for _ in range(CHAINS):
        z = q.sample()
        log_w = x.new_zeros(len(x))

        def log_f(z: Tensor, b: float) -> Tensor:
            return (1 - b) * q.log_prob(z) + b * game.log_joint(x, z)

        def slope(z: Tensor, b: float) -> Tensor:
            nonlocal taken
            taken += 1
            with torch.enable_grad():
                z = z.detach().requires_grad_(True)
                return torch.autograd.grad(log_f(z, b).sum(), z)[0]

        for t in range(1, len(path)):
            log_w += (path[t] - path[t - 1]) * (game.log_joint(x, z) - q.log_prob(z))
            if t == len(path) - 1:
                break
            b, v, new = path[t], torch.randn_like(z), z
            w = v + step / 2 * slope(new, b)
            for i in range(LEAPFROG):
                new = new + step * w
                w = w + step / (1 if i < LEAPFROG - 1 else 2) * slope(new, b)
            gain = log_f(new, b) - log_f(z, b) - (w.square() - v.square()).sum(1) / 2
            z = torch.where((torch.rand_like(gain).log() < gain)[:, None], new, z)
    return taken


def rates_of(works: dict[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """How much each work gets done a second, by the medians of rounds in which all take their turn."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for done in range(rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            amount = work()
            if done:  # the first round warms up
                found[name].append(amount / (time.perf_counter() - began))
    return {name: float(torch.tensor(rates).median()) for name, rates in found.items()}


AIS_CALIBRATION = Experiment(
    name="ais-calibration",
    about="Annealed importance sampling and its bidirectional check on linear-Gaussian decoders, whose log p(x) is known: "
    "from the prior, and from a Gaussian that is roughly the posterior. To reach: within 0.1 nat of the truth on average, a "
    "gap of at most 0.2 nat.",
    rows=rows,
    columns={
        "told": "I(x; z), nats",
        "truth": "log p(x), nats",
        "elbo": "ELBO of the rough posterior",
        "ais": "AIS",
        "miss": "AIS - log p(x), mean",
        "miss_error": "its standard error over images",
        "lower": "check: lower",
        "upper": "check: upper",
        "gap": "gap ↓",
        "gap_error": "its standard error over images",
        "acceptance": "acceptance",
        "evaluations": "gradients/s, AIS ↑",
        "loop": "gradients/s, plain loop",
        "decoder": "gradients/s, decoder alone",
        "over_loop": "AIS over the loop ↑",
        "over_decoder": "time over the decoder's ↓",
    },
    method=f"x = W z + b + {SIGMA} eps in {PIXELS} dimensions, W's entries of variance 1/{PIXELS}, another W for each seed, "
    f"float64. {IMAGES} images from the model, and {IMAGES} others for the check; {CHAINS} chains, {TEMPERATURES:,} "
    f"temperatures, {LEAPFROG} leapfrog steps, sigmoidal path. Rough posterior: the exact mean times {SHRUNK}, the exact "
    f"standard deviations times {WIDENED}, no correlations. I(x; z) says how far the posterior is from the prior. Gradients "
    f"in bf16: those within trajectories, all else in float32. Time: untrained decoders of {SIZE} latents, an MLP with tanh "
    f"units and AVB's convolutions, {MAPS} to {8 * MAPS} maps, and random images of zeros and ones, float32, gradients "
    f"within trajectories of convolutions in bf16 where the processor multiplies it; {CHAINS} chains, {LEAPFROG} leapfrog "
    f"steps, {' and '.join(f'{turns} turns of {temperatures}' for turns, temperatures in TIMES.values())} temperatures "
    "without the tuning; a gradient is one of one image and one z. Plain loop: one chain of the batch of images after the "
    "other, by automatic differentiation of log f_b. Decoder alone: forward and backward to z from the pixels, without a "
    "likelihood, on the rows that AIS takes at once. Both in float32.",
    quick=f"{QUICK_IMAGES} images, {QUICK_CHAINS} chains, {QUICK_TEMPERATURES} temperatures and 2 turns of the timing; so "
    "short a path does not reach the aims",
    seeds=3,
    cut="CUT to {steps:,} temperatures (--steps)",
    chosen="Nothing was chosen on these images; the width 0.5 was chosen on others of such models: with 0.25 the gap of 50 "
    "latents from the prior is above the aim at this length.",
    notes=(
        "The columns of errors are standard errors over images, averaged over seeds. The steps column holds temperatures. A "
        "gap below 0 is chance: both bounds hold in expectation.",
    ),
)
