"""A custom network family, for vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interalia.networks import Critic, Family, Map
from interalia.networks.family import output_activation
from interalia.networks.layers import Backbone, PairCritic
from interalia.spaces import Space


class Sine(nn.Module):
    """The activation sin(frequency * x)."""

    def __init__(self, frequency: float) -> None:
        super().__init__()
        self.frequency = frequency

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.frequency * x)


@dataclass(frozen=True)
class Sines(Family):
    """Fully connected networks with two hidden layers and sine activations, for vectors; the critic has leaky ReLU.

    References:
        Implicit Neural Representations with Periodic Activation Functions, Vincent Sitzmann and others, 2020,
        https://arxiv.org/abs/2006.09661

    Arguments:
        width: the width of the hidden layers.
        frequency: the frequency of the sines.
    """

    name = "sines"
    supports = ("noise",)
    width: int = 64
    frequency: float = 2.0

    def check_shape(self, x: Space) -> None:
        if x.is_image:
            self.refuse_shape("vectors", x)

    def body(self, inputs: int, activation: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Linear(inputs, self.width), activation, nn.Linear(self.width, self.width), activation)

    def encoder(self, spec: Map) -> nn.Module:
        head = nn.Sequential(nn.Linear(self.width, spec.output.size), *output_activation(spec.output))
        return Backbone(self.body(spec.size, Sine(self.frequency)), head)

    def decoder(self, spec: Map) -> nn.Module:
        return self.encoder(spec)

    def critic(self, spec: Critic) -> nn.Module:
        body = self.body(spec.inputs[0].size + spec.extra_size, nn.LeakyReLU(0.2))
        return PairCritic(nn.Sequential(body, nn.Linear(self.width, 1)))
