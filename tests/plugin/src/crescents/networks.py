"""A family of networks of one's own, for vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interalia.networks import Critic, Family, Map
from interalia.networks.family import onto
from interalia.networks.layers import Joint
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
        width: of the hidden layers.
        frequency: of the sines.
    """

    name = "sines"
    able = ("noise",)
    width: int = 64
    frequency: float = 2.0

    def fits(self, x: Space) -> None:
        if x.is_image:
            self.unfit("vectors", x)

    def layers(self, inputs: int, outputs: int, between: nn.Module) -> nn.Sequential:
        width = self.width
        first, second = nn.Linear(inputs, width), nn.Linear(width, width)
        return nn.Sequential(first, between, second, between, nn.Linear(width, outputs))

    def encoder(self, net: Map) -> nn.Module:
        return nn.Sequential(*self.layers(net.size, net.output.size, Sine(self.frequency)), *onto(net.output))

    def decoder(self, net: Map) -> nn.Module:
        return self.encoder(net)

    def critic(self, need: Critic) -> nn.Module:
        return Joint(self.layers(need.sees[0].size + need.beside, 1, nn.LeakyReLU(0.2)))
