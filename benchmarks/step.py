"""How many images a second one training step takes, beside the loop that people write by hand.

Both train the networks of the recipe ali-svhn-paper on random 32x32 colour images, simultaneously timed in turns, so that
whatever else the machine does falls on all of them alike.

- ours: the library's step, as the recipe's precision=auto resolves it, in one stage, and in fp32;
- by hand: two passes a step in fp32, every layer a plain torch layer. The critic's turn: encoder and decoder forward,
  the critic on real pairs and on detached fake pairs, backward, step; the generator's turn: the critic on both again,
  backward through everything, step.

    python benchmarks/step.py --batch 100 --repeats 5 --threads 2 --json step.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import interalia
from interalia import data, engine, recipes
from interalia.data.dataset import Dataset, Split
from interalia.engine import Training
from interalia.networks import conv

LATENT = 256
Step = Callable[[], None]


@contextlib.contextmanager
def in_memory(dataset: Dataset) -> Iterator[None]:
    """Every data set that is asked for is this one."""
    load = data.load
    data.load = lambda *_, **__: dataset  # type: ignore[assignment]
    try:
        yield
    finally:
        data.load = load


def ours(dataset: Dataset, batch: int, precision: str, dynamics: str = "simultaneous") -> Training:
    fields = {"batch": batch, "steps": 10**6, "precision": precision, "dynamics": dynamics, "device": "cpu"}
    with in_memory(dataset):
        return engine.prepare(recipes.ali_svhn_paper(**fields))


def step_of(training: Training) -> Step:
    def step() -> None:
        training.game.at(training.step, training.steps)
        engine.rate(training)
        training.dynamics.step(training.batches)
        training.step += 1

    return step


class UntiedBias(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3, 32, 32))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def plain(text: str, inputs: int, norms: str, drop: bool = False) -> tuple[list[nn.Module], int]:
    """A paper's rows in plain layers; `norms`: all, later (all but the first) or none."""
    parts: list[nn.Module] = []
    for i, (transposed, kernel, stride, maps) in enumerate(conv.rows(text)):
        norm = norms == "all" or (norms == "later" and i > 0)
        kind = nn.ConvTranspose2d if transposed else nn.Conv2d
        parts += [nn.Dropout(0.2)] if drop else []
        parts.append(kind(inputs, maps, kernel, stride, bias=not norm))
        parts += [nn.BatchNorm2d(maps)] if norm else []
        parts.append(nn.LeakyReLU(0.01))
        inputs = maps
    return parts, inputs


def by_hand(dataset: Dataset, batch: int) -> Step:
    """The usual loop."""
    torch.manual_seed(0)
    table = conv.SVHN
    body, maps = plain(table.encoder, 3, "all")
    encoder = nn.Sequential(*body, nn.Conv2d(maps, 2 * LATENT, 1))
    body, maps = plain(table.decoder, LATENT, "all")
    decoder = nn.Sequential(*body, nn.Conv2d(maps, 3, 1, bias=False), UntiedBias(), nn.Sigmoid())
    body, maps_x = plain(table.critic_x, 3, "later", drop=True)
    critic_x = nn.Sequential(*body)
    body, maps_z = plain(table.critic_z, LATENT, "none", drop=True)
    critic_z = nn.Sequential(*body)
    body, maps = plain(table.critic_joint, maps_x + maps_z, "none", drop=True)
    critic_joint = nn.Sequential(*body, nn.Dropout(0.2), nn.Conv2d(maps, 1, 1))
    critic = nn.ModuleList([critic_x, critic_z, critic_joint])
    generator = nn.ModuleList([encoder, decoder])
    for module in [*generator.modules(), *critic.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, table.std)
    adam_critic = torch.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.5, 0.999))
    adam_generator = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.5, 0.999))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(dataset.train.x)), batch, shuffle=True, drop_last=True
    )
    batches = iter(loader)

    def score(x: Tensor, z: Tensor) -> Tensor:
        return critic_joint(torch.cat([critic_x(x), critic_z(z)], 1)).flatten()

    def step() -> None:
        nonlocal batches
        try:
            (x,) = next(batches)
        except StopIteration:
            batches = iter(loader)
            (x,) = next(batches)
        x = x.float() / 255
        ones, zeros = torch.ones(batch), torch.zeros(batch)
        z = torch.randn(batch, LATENT, 1, 1)
        mu, log_sigma = encoder(x).chunk(2, 1)
        z_hat = mu + log_sigma.exp() * torch.randn_like(mu)
        x_tilde = decoder(z)

        real, fake = score(x, z_hat.detach()), score(x_tilde.detach(), z)
        loss = binary_cross_entropy_with_logits(real, ones) + binary_cross_entropy_with_logits(fake, zeros)
        adam_critic.zero_grad()
        loss.backward()
        adam_critic.step()

        real, fake = score(x, z_hat), score(x_tilde, z)
        loss = binary_cross_entropy_with_logits(real, zeros) + binary_cross_entropy_with_logits(fake, ones)
        adam_generator.zero_grad()
        loss.backward()
        adam_generator.step()

    return step


def shares(training: Training, repeats: int) -> dict[str, float]:
    """Each part's share of one step; the backward passes are timed by cutting the step's graph at the critic's inputs."""
    game, dynamics = training.game, training.dynamics
    seconds: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def clock(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds.setdefault(name, []).append(time.perf_counter() - began)

    for _ in range(repeats):
        with clock("batch"):
            (x,) = next(training.batches)
        with dynamics.rules.precision():
            z = game.prior.sample((len(x),))
            with clock("encoder forward"):
                z_hat = game.encoder(x).rsample()
            with clock("decoder forward"):
                x_tilde = game.decoder(z).rsample()
            cut_z, cut_x = z_hat.detach().requires_grad_(), x_tilde.detach().requires_grad_()
            with clock("critic forward"):
                outcome = game.losses({"q": (x, cut_z), "p": (cut_x, z)})
        with clock("critic backward, for the critic"):
            outcome.losses["critic"].backward(inputs=game.parameters_of("critic"), retain_graph=True)
        with clock("critic backward, for encoder and decoder"):
            outcome.losses["generator"].backward(inputs=[cut_z, cut_x])
        with clock("encoder backward"):
            z_hat.backward(cut_z.grad, inputs=list(game.encoder.parameters()))
        with clock("decoder backward"):
            x_tilde.backward(cut_x.grad, inputs=list(game.decoder.parameters()))
        with clock("optimisers"):
            dynamics.move(*game.players)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    total = sum(medians.values())
    return {name: value / total for name, value in medians.items()}


def machine(threads: int) -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "interalia": interalia.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=100, help="images a step")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; in each, everybody takes --steps steps in turn")
    parser.add_argument("--steps", type=int, default=2, help="steps of each in a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of torch")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    images = np.random.default_rng(0).integers(0, 256, (20 * arguments.batch, 3, 32, 32), dtype=np.uint8)
    dataset = Dataset("random", Split(images), Split(images[:2]), Split(images[:2]))
    engine.keep_memory()  # as a training does; the loop by hand has the good of it, too
    auto, single = ours(dataset, arguments.batch, "auto"), ours(dataset, arguments.batch, "fp32")
    ours_auto = f"ours, {auto.run.precision} (auto)"
    steps = {
        ours_auto: step_of(auto),
        f"{ours_auto}, one-stage": step_of(ours(dataset, arguments.batch, "auto", "one-stage")),
        "ours, fp32": step_of(single),
        "by hand, two passes, fp32": by_hand(dataset, arguments.batch),
    }
    for step in steps.values():
        step()
        step()
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.repeats):
        for name, step in steps.items():
            began = time.perf_counter()
            for _ in range(arguments.steps):
                step()
            rates[name].append(arguments.steps * arguments.batch / (time.perf_counter() - began))

    result: dict[str, Any] = {"batch": arguments.batch, "repeats": arguments.repeats, "images_per_second": {}}
    print(f"{'':32}{'median':>9}{'min':>9}{'max':>9}   images/s, batches of {arguments.batch}")
    for name, values in rates.items():
        found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        result["images_per_second"][name] = found
        print(f"{name:32}{found['median']:9.1f}{found['min']:9.1f}{found['max']:9.1f}")
    *mine, theirs = rates
    for name in mine:
        each = [a / b for a, b in zip(rates[name], rates[theirs], strict=True)]
        result.setdefault("ratio", {})[name] = statistics.median(each)
        print(
            f"{name} over {theirs}: {statistics.median(each):.2f} (median of the rounds; {min(each):.2f} to {max(each):.2f})"
        )
    result["shares"] = shares(auto, arguments.repeats)
    print(f"shares of a step of {ours_auto}:")
    for name, share in result["shares"].items():
        print(f"  {name:42}{share:6.1%}")
    result["machine"] = machine(arguments.threads)
    print(", ".join(f"{key} {value}" for key, value in result["machine"].items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
