"""How many images a second one training step takes, beside the loop that people write by hand.

Both train the networks of a recipe on random 32x32 color images. They are timed in turns, so that the load of the machine
is the same for all of them.

- ours: the library's step, as the recipe's precision=auto resolves it, and in fp32;
- one-stage: ours with the dynamics of that name. It is left out where the critic has batch norm, for which one-stage
  gradients would differ and are refused;
- by hand: two passes a step in fp32, every layer a plain torch layer. The critic's turn: encoder and decoder forward,
  the critic on real pairs and on detached fake pairs, backward, step; the generator's turn: the critic on both again,
  backward through everything, step.

    python benchmarks/step.py --recipe ali-svhn-paper --batch 100 --repeats 5 --threads 2 --json step.json
    python benchmarks/step.py --recipe ali-cifar10-paper --batch 100 --repeats 5 --threads 2 --json stage.json
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
from interalia import data
from interalia.contexts import keyed
from interalia.data.dataset import Dataset, Split
from interalia.networks import conv
from interalia.runs import recipes
from interalia.training import engine
from interalia.training.state import Training

Step = Callable[[], None]
TABLES = {"ali-svhn-paper": conv.TABLES["ali-svhn"], "ali-cifar10-paper": conv.TABLES["ali-cifar10"]}


@contextlib.contextmanager
def in_memory(dataset: Dataset) -> Iterator[None]:
    """A context in which `data.load` returns this data set, whatever is named."""
    load = data.load
    data.load = lambda *_, **__: dataset  # type: ignore[assignment]
    try:
        yield
    finally:
        data.load = load


def ours(dataset: Dataset, recipe: str, batch: int, precision: str, dynamics: str = "simultaneous") -> Training:
    fields = {"batch_size": batch, "steps": 10**6, "precision": precision, "dynamics": dynamics, "device": "cpu"}
    with in_memory(dataset):
        return engine.prepare(recipes.REGISTRY[recipe](**fields))


def step_of(training: Training, average: bool = False) -> Step:
    """One turn of the training's loop, without callbacks; with `average` it updates the averaged weights too."""

    def step() -> None:
        training.game.set_progress(training.step, training.steps)
        engine.set_learning_rates(training)
        with keyed(training.run.seed, training.step):
            training.dynamics.step(training.batches)
        if average and training.average is not None and training.averaging is not None:
            training.averaging.update(training.average, training.game, training.step, training.steps)
        training.step += 1

    return step


class UntiedBias(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3, 32, 32))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Maxout(nn.Module):
    """The greater of two halves of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(*x.chunk(2, dim=1))


def plain(text: str, inputs: int, leak: float) -> tuple[list[nn.Module], int]:
    """Rows of an encoder or a decoder in plain layers, and the number of maps at their end."""
    parts: list[nn.Module] = []
    for transposed, kernel, stride, maps in conv.parse_rows(text):
        kind = nn.ConvTranspose2d if transposed else nn.Conv2d
        parts += [kind(inputs, maps, kernel, stride, bias=False), nn.BatchNorm2d(maps), nn.LeakyReLU(leak)]
        inputs = maps
    return parts, inputs


def critic_part(
    text: str, inputs: int, table: conv.Table, first: float, norms: bool = False, biases: bool = True
) -> tuple[list[nn.Module], int]:
    """Rows of a critic in plain layers, and the number of maps at their end; batch norm after all but the first, or none."""
    parts: list[nn.Module] = []
    for i, (_, kernel, stride, maps) in enumerate(conv.parse_rows(text)):
        norm = norms and i > 0
        parts += [
            nn.Dropout(table.drop if i else first),
            nn.Conv2d(inputs, maps, kernel, stride, bias=biases and not norm),
        ]
        parts += [nn.BatchNorm2d(maps)] if norm else []
        parts.append(Maxout() if table.maxout else nn.LeakyReLU(table.critic_leak))
        inputs = maps // (table.maxout or 1)
    return parts, inputs


def networks(recipe: str) -> tuple[nn.ModuleList, nn.ModuleList]:
    """The recipe's networks in plain layers: encoder and decoder, and the critic's parts of x, of z and of both."""
    table, latent = TABLES[recipe], recipes.REGISTRY[recipe]().latent_dim
    body, maps = plain(table.encoder, 3, table.leak)
    encoder = nn.Sequential(*body, nn.Conv2d(maps, 2 * latent, 1))
    body, maps = plain(table.decoder, latent, table.leak)
    decoder = nn.Sequential(*body, nn.Conv2d(maps, 3, 1, bias=False), UntiedBias(), nn.Sigmoid())
    body, maps_x = critic_part(table.critic_x, 3, table, table.drop_inputs, norms=table.norms)
    critic_x = nn.Sequential(*body)
    body, maps_z = critic_part(table.critic_z, latent, table, table.drop_inputs, biases=False)
    critic_z = nn.Sequential(*body)
    body, maps = critic_part(table.critic_joint, maps_x + maps_z, table, table.drop)
    critic_joint = nn.Sequential(*body, nn.Dropout(table.drop), nn.Conv2d(maps, 1, 1))
    generator, critic = nn.ModuleList([encoder, decoder]), nn.ModuleList([critic_x, critic_z, critic_joint])
    for module in [*generator.modules(), *critic.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, conv.TableFamily.std)
    return generator, critic


def by_hand(dataset: Dataset, recipe: str, batch: int) -> Step:
    """The usual loop."""
    torch.manual_seed(0)
    generator, critic = networks(recipe)
    encoder, decoder = generator
    critic_x, critic_z, critic_joint = critic
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
        z = torch.randn(batch, recipes.REGISTRY[recipe]().latent_dim, 1, 1)
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
        with dynamics.options.precision():
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
        with clock("optimizers"):
            dynamics.update(*game.players)
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
    parser.add_argument(
        "--recipe", choices=list(TABLES), default="ali-svhn-paper", help="the recipe whose networks and sizes are used"
    )
    parser.add_argument("--batch", type=int, default=100, help="batch size")
    parser.add_argument(
        "--repeats", type=int, default=5, help="rounds; in each of them, each loop takes --steps steps in turn"
    )
    parser.add_argument("--steps", type=int, default=2, help="steps of each loop in a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of torch")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    images = np.random.default_rng(0).integers(0, 256, (20 * arguments.batch, 3, 32, 32), dtype=np.uint8)
    dataset = Dataset("random", Split(images), Split(images[:2]), Split(images[:2]))
    engine.keep_freed_memory()  # as a training does; the loop by hand has the good of it, too
    recipe, batch = arguments.recipe, arguments.batch
    auto, single = ours(dataset, recipe, batch, "auto"), ours(dataset, recipe, batch, "fp32")
    ours_auto = f"ours, {auto.run.precision} (auto)"
    steps = {ours_auto: step_of(auto)}
    if not TABLES[recipe].norms:
        steps[f"{ours_auto}, one-stage"] = step_of(ours(dataset, recipe, batch, "auto", "one-stage"))
    steps |= {"ours, fp32": step_of(single), "by hand, two passes, fp32": by_hand(dataset, recipe, batch)}
    for step in steps.values():
        for _ in range(arguments.steps):
            step()
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.repeats):
        for name, step in steps.items():
            began = time.perf_counter()
            for _ in range(arguments.steps):
                step()
            rates[name].append(arguments.steps * batch / (time.perf_counter() - began))

    result: dict[str, Any] = {"recipe": recipe, "batch": batch, "repeats": arguments.repeats, "images_per_second": {}}
    print(f"{'':32}{'median':>9}{'min':>9}{'max':>9}   images/s, {recipe}, batches of {batch}")
    for name, values in rates.items():
        found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        result["images_per_second"][name] = found
        print(f"{name:32}{found['median']:9.1f}{found['min']:9.1f}{found['max']:9.1f}")
    *mine, by_hands = rates
    pairs = [(name, by_hands) for name in mine]
    if f"{ours_auto}, one-stage" in rates:
        pairs.append((f"{ours_auto}, one-stage", ours_auto))
    for name, theirs in pairs:
        each = [a / b for a, b in zip(rates[name], rates[theirs], strict=True)]
        result.setdefault("ratio", {})[f"{name} over {theirs}"] = statistics.median(each)
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
