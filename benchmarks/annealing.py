"""Gradients a second of annealed importance sampling, beside a plain loop and the decoder's own passes.

The output is a table with a row for each of two untrained decoders. A gradient is that of one image and one z. All three are
timed in turns in one process, so that the load of the machine is the same for them; printed are the medians of all turns.
Images are random zeros and ones; there are 16 chains of 10 leapfrog steps.

- AIS: the library's sampler, in float32, of convolutions with gradients in bf16 where the processor multiplies it;
- plain loop: one chain of the batch after the other, by automatic differentiation of log f_b;
- decoder alone: forward and backward to z, without a likelihood, on the rows that the sampler takes at once.

    python benchmarks/annealing.py --seeds 3 --threads 1 --json annealing.json
    python benchmarks/annealing.py --filter MLP
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.contexts import evaluating, frozen, private_rng
from interalia.games import VAE
from interalia.metrics.likelihood import annealing
from interalia.metrics.likelihood.estimate import max_rows
from interalia.networks import Map
from interalia.networks.avb import AVB
from interalia.reports import provenance, tables
from interalia.reports.origin import provenance_lines
from interalia.spaces import Space

CHAINS, LEAPFROG = 16, 10
LATENT, WIDTH, SIDE, MAPS = 32, 200, 28, 16  # of the decoders: latents, hidden units, sides of an image, maps
MLP, CONVOLUTIONS = f"MLP {LATENT}-{WIDTH}-{WIDTH}-{SIDE**2}", f"AVB's convolutions, {MAPS} maps"
LENGTHS = {MLP: (10, 20), CONVOLUTIONS: (3, 4)}  # turns, and temperatures in each
COLUMNS = {
    "ais": "gradients/s, AIS ↑", "loop": "gradients/s, plain loop", "decoder": "gradients/s, decoder alone",
    "over_loop": "AIS over the loop ↑", "over_decoder": "time over the decoder's ↓",
}  # fmt: skip


def untrained(decoder: str, seed: int) -> VAE:
    latents, images = Space("z", (LATENT,)), Space("x", (1, SIDE, SIDE), "unit")
    with private_rng(torch.device("cpu"), seed):
        if decoder == CONVOLUTIONS:
            network = AVB(MAPS).make(Map((latents,), images))
        else:
            pairs = itertools.pairwise((LATENT, WIDTH, WIDTH, SIDE**2))
            layers = [layer for pair in pairs for layer in (nn.Linear(*pair), nn.Tanh())]
            network = nn.Sequential(*layers[:-1], nn.Sigmoid())
        encoder = Gaussian(nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 2 * LATENT)))
        return VAE(encoder, Deterministic(network), StandardNormal(LATENT), likelihood="bernoulli")


def rates(decoder: str, turns: int, temperatures: int, seed: int) -> dict[str, float]:
    """Gradients a second of each of the three, and their ratios."""
    game = untrained(decoder, seed)
    settings = annealing.options_for(game, CHAINS, temperatures, LEAPFROG, "sigmoidal", "posterior", "auto")
    path = annealing.betas(temperatures, "sigmoidal")
    with evaluating(game, seed):
        count = max(1, max_rows(game) // CHAINS)
        rows, calls = count * CHAINS, (temperatures - 1) * LEAPFROG + 1
        z = torch.randn(rows, LATENT)
        pull = torch.randn_like(game.decoder(z).mean)
        x = torch.bernoulli(torch.full((count, *pull.shape[1:]), 0.3))
        steps = x.new_full((temperatures + 1, count), 0.1)

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

        works: dict[str, Callable[[], int]] = {
            "ais": sampler, "loop": lambda: count * plain(game, x, path.tolist(), 0.1), "decoder": alone
        }  # fmt: skip
        measured: dict[str, list[float]] = {name: [] for name in works}
        for turn, (name, work) in itertools.product(range(turns + 1), works.items()):
            began = time.perf_counter()
            amount = work()
            if turn:  # the first turn warms up
                measured[name].append(amount / (time.perf_counter() - began))
    found = {name: statistics.median(values) for name, values in measured.items()}
    return {**found, "over_loop": found["ais"] / found["loop"], "over_decoder": found["decoder"] / found["ais"]}


def plain(game: VAE, x: Tensor, path: list[float], step: float) -> int:
    """Annealed importance sampling in a plain loop; returns the number of gradients of an image.

    The chains of a batch run one after the other, log f_b is differentiated automatically, and each transition computes its
    first gradient again.
    """
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


def cell(values: list[float]) -> str:
    """The mean over seeds and its standard error."""
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.2g}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4g}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", default="", help="a part of the names of the decoders that are timed")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, each with other weights and images")
    parser.add_argument(
        "--turns", type=int, help=f"turns of each; by default {[turns for turns, _ in LENGTHS.values()]}"
    )
    parser.add_argument("--temperatures", type=int, help=f"by default {[length for _, length in LENGTHS.values()]}")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found, lines = {}, []
    for decoder, (turns, temperatures) in LENGTHS.items():
        if given.filter not in decoder:
            continue
        length = given.turns or turns, given.temperatures or temperatures
        found[decoder] = each = [rates(decoder, *length, seed) for seed in range(given.seeds)]
        cells = [cell([values[key] for values in each]) for key in COLUMNS]
        lines.append([decoder, str(given.seeds), *cells, *map(str, length)])
    head = ["decoder", "seeds", *COLUMNS.values(), "turns", "temperatures"]
    print("\n".join(tables.markdown_table(head, lines)))
    origin = provenance()
    print(" ".join(provenance_lines(origin)))
    if given.json:
        given.json.write_text(json.dumps({"rates": found, **origin}, indent=1) + "\n")


if __name__ == "__main__":
    main()
