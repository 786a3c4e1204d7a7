"""Algorithm 1 of "Adversarially Learned Inference", written out by hand: no part of the library is used here.

References:
    Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


@dataclass
class Players:
    """The encoder returns [mu, log sigma]; the critic is a network of (x, z) in two parts, f(x) and joint([f(x), g(z)])."""

    encoder: nn.Module
    decoder: nn.Module
    critic_x: nn.Module
    critic_z: nn.Module
    critic_joint: nn.Module

    @property
    def all(self) -> tuple[nn.Module, ...]:
        return self.encoder, self.decoder, self.critic_joint, self.critic_x, self.critic_z


def order(count: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Row numbers: every epoch is one permutation, drawn from a hash of "seed epoch"; what fills no batch is dropped."""
    epoch = 0
    while True:
        digest = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        shuffled = torch.randperm(count, generator=generator)
        for i in range(count // batch):
            yield shuffled[i * batch : (i + 1) * batch]
        epoch += 1


def train(
    players: Players, data: Tensor, latent: int, batch: int, steps: int, lr: float, decay: float, seed: int
) -> Players:
    """Trains the players in place on uint8 images, and returns the average of their weights.

    Noise comes from torch's global random state: at each step z, then the encoder's eps.
    """
    encoder, decoder = players.encoder, players.decoder
    of_generator = [*encoder.parameters(), *decoder.parameters()]
    of_critic = [p for part in (players.critic_joint, players.critic_x, players.critic_z) for p in part.parameters()]
    generator_adam = torch.optim.Adam(of_generator, lr=lr, betas=(0.5, 0.999), fused=True)
    critic_adam = torch.optim.Adam(of_critic, lr=lr, betas=(0.5, 0.999), fused=True)
    average: Players | None = None
    rows = order(len(data), batch, seed)
    for step in range(steps):
        x = data[next(rows)].float() / 255
        z = torch.randn(batch, latent)
        mu, log_sigma = encoder(x).chunk(2, dim=1)
        z_hat = mu + torch.randn(batch, latent) * log_sigma.exp()
        x_tilde = decoder(z)

        f = players.critic_x(torch.cat([x, x_tilde]))
        g = players.critic_z(torch.cat([z_hat, z]))
        real, fake = players.critic_joint(torch.cat([f, g], dim=1)).flatten().split(batch)
        critic_loss = softplus(-real).mean() + softplus(fake).mean()
        generator_loss = softplus(real).mean() + softplus(-fake).mean()

        critic_gradients = torch.autograd.grad(critic_loss, of_critic, retain_graph=True)
        generator_gradients = torch.autograd.grad(generator_loss, of_generator)
        for adam, parameters, gradients in (
            (critic_adam, of_critic, critic_gradients),
            (generator_adam, of_generator, generator_gradients),
        ):
            for p, gradient in zip(parameters, gradients, strict=True):
                p.grad = gradient
            adam.step()

        if average is None:
            average = copy.deepcopy(players)
        with torch.no_grad():
            for mean, now in zip(average.all, players.all, strict=True):
                for m, p in zip(mean.parameters(), now.parameters(), strict=True):
                    m.lerp_(p, 1 - min(decay, (1 + step) / (10 + step)))
                for m, p in zip(mean.buffers(), now.buffers(), strict=True):
                    m.copy_(p)
    assert average is not None
    return average


def dense(inputs: int, outputs: int, norm: bool) -> list[nn.Module]:
    parts: list[nn.Module] = [nn.Linear(inputs, outputs, bias=not norm)]
    return [*parts, *([nn.BatchNorm1d(outputs)] if norm else []), nn.LeakyReLU(0.2)]


def small(shape: tuple[int, ...], latent: int, width: int) -> Players:
    """Fully connected networks."""
    d = math.prod(shape)
    return Players(
        nn.Sequential(nn.Flatten(), *dense(d, width, True), *dense(width, width, True), nn.Linear(width, 2 * latent)),
        nn.Sequential(
            *dense(latent, width, True),
            *dense(width, width, True),
            nn.Linear(width, d),
            nn.Sigmoid(),
            nn.Unflatten(1, shape),
        ),
        nn.Sequential(nn.Flatten(), *dense(d, width, False)),
        nn.Identity(),
        nn.Sequential(*dense(width + latent, width, False), *dense(width, width, False), nn.Linear(width, 1)),
    )


def convolutional(latent: int, width: int) -> Players:
    """For gray images of 20x20 pixels: 20 -> 10 -> 5 and back."""
    wide, flat = 8 * width, 2 * width * 25

    def down(norm: bool) -> list[nn.Module]:
        parts: list[nn.Module] = []
        for inputs, outputs in ((1, width), (width, 2 * width)):
            parts.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not norm))
            parts += [nn.BatchNorm2d(outputs)] if norm else []
            parts.append(nn.LeakyReLU(0.2))
        return [*parts, nn.Flatten()]

    return Players(
        nn.Sequential(*down(True), *dense(flat, wide, True), nn.Linear(wide, 2 * latent)),
        nn.Sequential(
            *dense(latent, wide, True),
            *dense(wide, flat, True),
            nn.Unflatten(1, (2 * width, 5, 5)),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(width, 1, 4, 2, 1),
            nn.Sigmoid(),
        ),
        nn.Sequential(*down(False), *dense(flat, wide, False)),
        nn.Sequential(*dense(latent, wide, False)),
        nn.Sequential(*dense(2 * wide, 2 * wide, False), nn.Linear(2 * wide, 1)),
    )
