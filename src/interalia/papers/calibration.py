"""Annealed importance sampling where log p(x) is known: linear-Gaussian decoders; and how fast it is."""

from __future__ import annotations

import itertools
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

PIXELS = 100
CHAINS, LEAPFROG = 16, 10
FULL: Mapping[str, Any] = {"images": 100, "chains": CHAINS, "temperatures": 1000}
QUICK: dict[str, Any] = {"images": 8, "chains": 8, "temperatures": 100}
SIZE, WIDTH, SIDE, MAPS = 32, 200, 28, 16  # of the decoders that are timed: latents, hidden units, sides, maps
TIMES = {  # a decoder -> turns of the interleaved timing, and temperatures in each
    f"MLP {SIZE}-{WIDTH}-{WIDTH}-{SIDE**2}": (10, 20),
    f"AVB's convolutions, {MAPS} maps": (3, 4),
}


def linear_gaussian(latents: int, pixels: int = PIXELS, seed: int = 0) -> VAE:
    """A VAE with the decoder x = W z + b + eps / 2, in float64, whose encoder is a rough Gaussian posterior.

        p(z | x) = N(z; m(x), S),   S = (I + 4 W'W)^-1,   m(x) = 4 S W' (x - b)
        q(z | x) = N(z; 0.9 m(x), 1.69 diag S)

    W's entries are N(0, 1 / pixels) and b's N(0, 1).
    """
    random, sigma = torch.Generator().manual_seed(seed), 0.5
    decoder = nn.Linear(latents, pixels, dtype=torch.float64)
    encoder = nn.Linear(pixels, 2 * latents, dtype=torch.float64)
    with torch.no_grad():
        w = decoder.weight.copy_(
            torch.randn(pixels, latents, generator=random, dtype=torch.float64) / math.sqrt(pixels)
        )
        b = decoder.bias.copy_(torch.randn(pixels, generator=random, dtype=torch.float64))
        s = torch.linalg.inv(torch.eye(latents, dtype=torch.float64) + w.T @ w / sigma**2)
        mean = 0.9 * s @ w.T / sigma**2
        encoder.weight.copy_(torch.cat([mean, torch.zeros_like(mean)]))
        encoder.bias.copy_(torch.cat([-mean @ b, (1.3 * s.diagonal().sqrt()).log()]))
    return VAE(Gaussian(encoder), Dirac(decoder), StandardNormal(latents).double(), sigma=sigma)


def law(game: VAE) -> MultivariateNormal:
    """p(x) = N(b, W W' + sigma^2 I)."""
    layer: Any = game.decoder.network
    w, b = layer.weight.detach(), layer.bias.detach()
    return MultivariateNormal(b, w @ w.T + game.sigma**2 * torch.eye(len(w), dtype=w.dtype))


def rows(setting: Setting) -> Iterator[Job]:
    """Every decoder from the prior and from a rough posterior, gradients in bf16, and the time that it takes."""
    form = {**(QUICK if setting.quick else FULL)}
    form["temperatures"] = length = setting.length(FULL["temperatures"], QUICK["temperatures"])
    found: dict[str, tuple[Callable[..., Values], int]] = {}
    for latents in (8, 32, 50):
        for initial, start in (("prior", "the prior"), ("posterior", "a rough posterior")):
            found[f"{latents} latents, from {start}"] = partial(work, latents, initial, **form), length
    found["32 latents, from the prior, gradients in bf16"] = (
        partial(work, 32, "prior", precision="bf16", **form),
        length,
    )
    for decoder, (turns, temperatures) in TIMES.items():
        timing = partial(timed, decoder, *((2, 3) if setting.quick else (turns, temperatures)))
        found[f"time: {decoder}, zeros and ones"] = timing, temperatures
    for row, (one, steps) in found.items():
        for seed in range(setting.seeds):
            yield Job(row, seed, partial(one, seed=seed), steps)


def work(
    latents: int, initial: str, images: int, chains: int, temperatures: int, seed: int, precision: str = "fp32"
) -> Values:
    """The estimate of images that the decoder made, beside the truth and the bidirectional check; in float64, or in float32
    with gradients within trajectories in bf16."""
    game = linear_gaussian(latents, seed=seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1000 + seed)  # other images than those of the check
        x = game.simulate(game.prior.sample((images,)))
    if precision == "bf16":
        x = x.float()
    true = law(game)
    truth = true.log_prob(x.double())
    information = (torch.logdet(true.covariance_matrix) - PIXELS * math.log(game.sigma**2)) / 2  # I(x; z)
    game = game.to(x.dtype)
    how: Mapping[str, Any] = {"initial": initial, "simulated": images, "seed": seed, "precision": precision}
    found = annealed_importance(game, x, chains=chains, temperatures=temperatures, leapfrog=LEAPFROG, **how)
    check = found.check
    if check is None or check.interrupted or found.interrupted:
        raise KeyboardInterrupt
    miss = found.values - truth
    return {
        "told": float(information), "truth": float(truth.mean()), "elbo": elbo(game, x, seed=seed).mean, "ais": found.mean,
        "miss": float(miss.mean()), "miss_error": float(miss.std()) / math.sqrt(images), "gap": check.gap,
        "gap_error": check.error, "lower": float(check.lower.mean()), "upper": float(check.upper.mean()),
        "acceptance": found.acceptance or 0.0,
    }  # fmt: skip


def timed(decoder: str, turns: int, temperatures: int, seed: int) -> Values:
    """Gradients a second of the sampler, of a loop as one would write it down, and of an untrained decoder alone, taken in
    turns in one process, each on the rows that the sampler takes at once; the medians of all turns."""
    shape: tuple[int, ...] = (SIDE**2,) if decoder.startswith("MLP") else (1, SIDE, SIDE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pairs = itertools.pairwise((SIZE, WIDTH, WIDTH, SIDE**2))
        layers = [layer for pair in pairs for layer in (nn.Linear(*pair), nn.Tanh())]
        mlp = nn.Sequential(*layers[:-1], nn.Sigmoid())
        latents, images = Space("z", (SIZE,)), Space("x", shape, "unit")
        network = mlp if len(shape) == 1 else AVB(MAPS).make(Map((latents,), images))
        encoder = Gaussian(nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 2 * SIZE)))
    game = VAE(encoder, Dirac(network), StandardNormal(SIZE), likelihood="bernoulli")
    settings = annealing.settings_for(game, CHAINS, temperatures, LEAPFROG, "sigmoidal", "posterior", "auto")
    path = annealing.betas(temperatures, "sigmoidal")
    with quietly(game, seed):
        count = max(1, rows_that_fit(game) // CHAINS)
        x = torch.bernoulli(torch.full((count, *shape), 0.3))
        steps = x.new_full((temperatures + 1, count), 0.1)
        rows, calls = count * CHAINS, (temperatures - 1) * LEAPFROG + 1
        z, pull = torch.randn(rows, SIZE), torch.randn(rows, *shape)

        def sampler() -> int:
            with frozen(game):
                ends = annealing.Ends.of(game, x, settings)
                annealing.anneal(ends, ends.bridge.at(ends.draw()), path, steps, LEAPFROG, lambda share: None)
            return rows * calls

        def alone() -> int:
            with frozen(game), torch.enable_grad():
                for _ in range(calls):
                    at = z.clone().requires_grad_(True)
                    torch.autograd.grad(game.decoder(at).mean, at, pull)
            return rows * calls

        works = {"evaluations": sampler, "loop": lambda: count * plain(game, x, path.tolist(), 0.1), "decoder": alone}
        rates: dict[str, Any] = {name: [] for name in works}
        for turn, (name, done) in itertools.product(range(turns + 1), works.items()):
            began = time.perf_counter()
            amount = done()
            if turn:  # the first turn warms up
                rates[name].append(amount / (time.perf_counter() - began))
    rates = {name: float(torch.tensor(values).median()) for name, values in rates.items()}
    ours = rates["evaluations"]
    return {**rates, "over_loop": ours / rates["loop"], "over_decoder": rates["decoder"] / ours}


def plain(game: VAE, x: Tensor, path: list[float], step: float) -> int:
    """Annealed importance sampling as one would write it down: a chain of the batch after the other, log f_b by automatic
    differentiation, each transition's first gradient taken anew. Answers how many gradients of an image it took."""
    taken, q = 0, game.encoder(x)

    def log_f(z: Tensor, b: float) -> Tensor:
        return (1 - b) * q.log_prob(z) + b * game.log_joint(x, z)

    def slope(z: Tensor, b: float) -> Tensor:
        nonlocal taken
        taken += 1
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            return torch.autograd.grad(log_f(z, b).sum(), z)[0]

    for _ in range(CHAINS):
        z = q.sample()
        log_w = x.new_zeros(len(x))
        for last, b in itertools.pairwise(path):
            log_w += (b - last) * (game.log_joint(x, z) - q.log_prob(z))
            if b == path[-1]:
                break
            v, new = torch.randn_like(z), z
            w = v + step / 2 * slope(new, b)
            for i in range(LEAPFROG):
                new = new + step * w
                w = w + step / (1 if i < LEAPFROG - 1 else 2) * slope(new, b)
            gain = log_f(new, b) - log_f(z, b) - (w.square() - v.square()).sum(1) / 2
            z = torch.where((torch.rand_like(gain).log() < gain)[:, None], new, z)
    return taken


COLUMNS = {
    "told": "I(x; z), nats", "truth": "log p(x), nats", "elbo": "ELBO of the rough posterior", "ais": "AIS",
    "miss": "AIS - log p(x), mean", "miss_error": "its standard error over images", "lower": "check: lower",
    "upper": "check: upper", "gap": "gap ↓", "gap_error": "its standard error over images", "acceptance": "acceptance",
    "evaluations": "gradients/s, AIS ↑", "loop": "gradients/s, plain loop", "decoder": "gradients/s, decoder alone",
    "over_loop": "AIS over the loop ↑", "over_decoder": "time over the decoder's ↓",
}  # fmt: skip
AIS_CALIBRATION = Experiment(
    name="ais-calibration",
    about="Annealed importance sampling and its bidirectional check on linear-Gaussian decoders, whose log p(x) is known: "
    "from the prior, and from a Gaussian that is roughly the posterior. To reach: within 0.1 nat of the truth on average, a "
    "gap of at most 0.2 nat.",
    rows=rows,
    columns=COLUMNS,
    method="x = W z + b + eps / 2 in 100 dimensions, W's entries of variance 1/100, another W for each seed, float64. 100 "
    "images from the model, and 100 others for the check; 16 chains, 1,000 temperatures, 10 leapfrog steps, sigmoidal path. "
    "Rough posterior: the exact mean times 0.9, the exact standard deviations times 1.3, no correlations. Gradients in bf16: "
    "those within trajectories. Time: untrained decoders, random images, float32, of convolutions with gradients in bf16 "
    "where the processor multiplies it; a gradient is one of one image and one z. Plain loop: one chain after the other, by "
    "automatic differentiation of log f_b. Decoder alone: forward and backward to z, on the rows that AIS takes at once.",
    quick="8 images, 8 chains, 100 temperatures and 2 turns of the timing; so short a path does not reach the aims",
    seeds=3,
    cut="CUT to {steps:,} temperatures (--steps)",
    chosen="Nothing was chosen on these images; the width 0.5 was chosen on others of such models: with 0.25 the gap of 50 "
    "latents from the prior is above the aim at this length.",
    notes=(
        "The columns of errors are standard errors over images, averaged over seeds. The steps column holds temperatures. A "
        "gap below 0 is chance: both bounds hold in expectation.",
    ),
)
