"""A custom family of networks, for vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interalia.networks import Critic, Family, Map
from interalia.networks.family import onto
from interalia.networks.layers import Backbone, PairCritic
from interalia.spaces import Space


class Sine(nn.Module):
    """sin(frequency * x)."""

    def __init__(self, frequency: float) -> None:
        super().__init__()
        self.frequency = frequency

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.frequency * x)


@dataclass(frozen=True)
class Sines(Family):
    """Perceptrons of two hidden layers with sines between them, for vectors; the critic has leaky ReLU.

    References:
        Implicit Neural Representations with Periodic Activation Functions, Vincent Sitzmann and others, 2020,
        https://arxiv.org/abs/2006.09661

    Arguments:
        width: units of each hidden layer.
        frequency: frequency of the sines.
    """

    name = "sines"
    able = ("noise",)
    width: int = 64
    frequency: float = 2.0

    def fits(self, x: Space) -> None:
        if x.is_image:
            self.unfit("vectors", x)

    def body(self, inputs: int, between: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Linear(inputs, self.width), between, nn.Linear(self.width, self.width), between)

    def encoder(self, net: Map) -> nn.Module:
        head = nn.Sequential(nn.Linear(self.width, net.output.size), *onto(net.output))
        return Backbone(self.body(net.size, Sine(self.frequency)), head)

    def decoder(self, net: Map) -> nn.Module:
        return self.encoder(net)

    def critic(self, need: Critic) -> nn.Module:
        body = self.body(need.sees[0].size + need.beside, nn.LeakyReLU(0.2))
        return PairCritic(nn.Sequential(body, nn.Linear(self.width, 1)))
