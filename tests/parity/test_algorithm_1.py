"""Algorithm 1 of ALI, written by hand in plain torch, ends in the same weights as the engine: the loop adds nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from interalia import data, engine, recipes
from interalia.runs import Run


def digits() -> Tensor:
    return torch.from_numpy(data.load("digits").train.x.copy()).float() / 255


def order(count: int, batch: int, seed: int) -> Iterator[Tensor]:
    """The engine's order of the data: a permutation for each epoch, from the seed and the epoch."""
    epoch = 0
    while True:
        digest = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        permutation = torch.randperm(count, generator=generator)
        for i in range(count // batch):
            yield permutation[i * batch : (i + 1) * batch]
        epoch += 1


def mlp(*sizes: int, norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers.append(nn.Linear(inputs, outputs, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(nn.LeakyReLU(0.2))
    return layers


class Critic(nn.Module):
    """D(x, z): a layer on x, then two on [f(x), z]."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        x = nn.Sequential(nn.Flatten(), *mlp(64, 256, norm=False))  # drawn first, named second, as the library does
        self.joint = nn.Sequential(*mlp(256 + latent, 256, 256, norm=False), nn.Linear(256, 1))
        self.x = x

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.joint(torch.cat([self.x(x), z], dim=1)).flatten()


def by_hand(run: Run, dirac: bool) -> dict[str, list[Tensor]]:
    """The networks of `auto` for digits, made and trained without a line of the library."""
    latent, steps = run.latent, run.steps or 0
    torch.manual_seed(run.seed)
    x_all = digits()
    heads = 1 if dirac else 2
    encoder = nn.Sequential(nn.Flatten(), *mlp(64, 256, 256, norm=True), nn.Linear(256, heads * latent))
    # the engine makes the decoder's last layer before its body; a hand that draws in the same order meets the same weights
    last = nn.Linear(256, 64)
    decoder = nn.Sequential(*mlp(latent, 256, 256, norm=True), last, nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))
    critic = Critic(latent)
    with torch.no_grad():
        mean = x_all[:500].mean(0).flatten()
        last.bias.copy_(torch.logit(mean.clamp(1 / 512, 1 - 1 / 512)))

    generator_parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser_g = torch.optim.Adam(generator_parameters, lr=2e-4, betas=(0.5, 0.999), fused=True)
    optimiser_d = torch.optim.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    networks = {"encoder": encoder, "decoder": decoder, "critic": critic}
    averages = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}

    indices = order(len(x_all), run.batch, run.seed)
    for step in range(steps):
        x = x_all[next(indices)]
        z = torch.randn(run.batch, latent)
        if dirac:
            z_hat = encoder(x)
        else:
            mu, log_sigma = encoder(x).chunk(2, dim=1)
            z_hat = mu + torch.exp(log_sigma) * torch.randn(run.batch, latent)
        x_tilde = decoder(z)

        scores = critic(torch.cat([x, x_tilde]), torch.cat([z_hat, z]))
        rho_q, rho_p = scores.split(run.batch)
        loss_d = softplus(-rho_q).mean() + softplus(rho_p).mean()
        loss_g = softplus(rho_q).mean() + softplus(-rho_p).mean()

        gradients_g = torch.autograd.grad(loss_g, generator_parameters, retain_graph=True)
        gradients_d = torch.autograd.grad(loss_d, list(critic.parameters()))
        for p, g in zip(generator_parameters, gradients_g, strict=True):
            p.grad = g
        for p, g in zip(critic.parameters(), gradients_d, strict=True):
            p.grad = g
        optimiser_g.step()
        optimiser_d.step()

        with torch.no_grad():
            for name, network in networks.items():
                for average, p in zip(averages[name], network.parameters(), strict=True):
                    if step == 0:
                        average.copy_(p)  # the average starts from the weights after the first step
                    else:
                        average.lerp_(p, 1 - run.ema)
    return averages | {f"last {name}": list(network.parameters()) for name, network in networks.items()}


@pytest.mark.parametrize("encoder", ["gaussian", "dirac"])
def test_the_engine_is_algorithm_1(encoder: str, tmp_path: Path) -> None:
    """ALI and, with a Dirac encoder, BiGAN; all the usual observers look on, and touch nothing."""
    run = recipes.ali_digits(
        game="ali",
        networks="auto",
        divergence="gan",
        penalty="none",
        optimiser="adam",
        encoder=encoder,
        steps=40,
        evaluate_every=15,
        checkpoint_every=10,
        log_every=5,
        seed=4,
    )
    training = engine.open_run(run, tmp_path / "run")
    engine.finish(training)
    expected = by_hand(run, dirac=encoder == "dirac")
    for name in ("encoder", "decoder", "critic"):
        for kind, game in (("", training.sampled), ("last ", training.game)):
            parameters = list(getattr(game, name).parameters())
            hand = expected[f"{kind}{name}"]
            assert len(parameters) == len(hand)
            assert all(torch.equal(a, b) for a, b in zip(parameters, hand, strict=True)), f"{kind}{name}"
