"""BiGAN's networks for permutation-invariant MNIST."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interalia.contexts import full
from interalia.networks.family import Family, onto
from interalia.networks.layers import Stack
from interalia.networks.needs import Critic, Map


class Injected(nn.Module):
    """A hidden layer that is told z a second time: norm(W h + V z), then the nonlinearity."""

    def __init__(self, inputs: int, latent: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.h = nn.Linear(inputs, width, bias=False)
        self.z = nn.Linear(latent, width, bias=False)
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.activation = activation

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.h(h) + self.z(z)))
        return out


class BiGANDecoder(nn.Module):
    """z -> 1024 -> 1024 (told z again) -> x, ReLU and batch norm without gain and bias, sigmoid at the end."""

    def __init__(self, inputs: int, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width, affine=False), nn.ReLU())
        self.second = Injected(width, inputs, width, nn.ReLU())
        self.last = nn.Linear(width, math.prod(shape))
        self.shape = shape

    def hidden(self, *z: Tensor) -> Tensor:
        told = torch.cat(z, dim=1)
        out: Tensor = self.second(self.first(told), told)
        return out

    def forward(self, *z: Tensor) -> Tensor:
        out: Tensor = self.last(self.hidden(*z))
        return (out if len(self.shape) == 1 else full(out).sigmoid()).reshape(len(out), *self.shape)


class BiGANCritic(nn.Module):
    """x -> 1024 -> 1024 -> score, told z at its second layer alone; leaky ReLU 0.2, batch norm in the second layer."""

    def __init__(self, inputs: int, beside: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.LeakyReLU(0.2))
        self.second = Injected(width, beside or 1, width, nn.LeakyReLU(0.2))
        if not beside:
            self.second.z.requires_grad_(False)
        self.last = nn.Linear(width, 1)

    def hidden(self, x: Tensor, *z: Tensor) -> Tensor:
        told = torch.cat(z, dim=1) if z else x.new_zeros(len(x), 1)
        out: Tensor = self.second(self.first(x), told)
        return out

    def forward(self, x: Tensor, *z: Tensor) -> Tensor:
        score: Tensor = self.last(self.hidden(x, *z))
        return score.flatten()


@dataclass(frozen=True)
class BiGAN(Family):
    """BiGAN's networks for permutation-invariant MNIST; initial weights N(0, 0.02^2).

    References:
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782
    """

    name = "bigan-mlp"
    able = ("labels", "noise")
    std = 0.02
    width: int = 1024

    def encoder(self, net: Map) -> nn.Module:
        width = self.width
        body = nn.Sequential(
            nn.Linear(net.size, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width, affine=False),
            nn.LeakyReLU(0.2),
        )
        return Stack(body, nn.Sequential(nn.Linear(width, net.output.size), *onto(net.output)), before=(net.size,))

    def decoder(self, net: Map) -> nn.Module:
        return BiGANDecoder(net.size, net.output.shape, self.width)

    def critic(self, need: Critic) -> nn.Module:
        return BiGANCritic(need.sees[0].size, need.beside, self.width)
