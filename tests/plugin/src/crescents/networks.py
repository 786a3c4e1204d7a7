"""A family of networks of one's own, for vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interalia.networks import Critic, Family, Map
from interalia.networks.family import output_activation
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
        width: of the hidden layers.
        frequency: of the sines.
    """

    name = "sines"
    supports = ("noise",)
    width: int = 64
    frequency: float = 2.0

    def check_shape(self, x: Space) -> None:
        if x.is_image:
            self.refuse_shape("vectors", x)

    def body(self, inputs: int, between: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Linear(inputs, self.width), between, nn.Linear(self.width, self.width), between)

    def encoder(self, spec: Map) -> nn.Module:
        head = nn.Sequential(nn.Linear(self.width, spec.output.size), *output_activation(spec.output))
        return Backbone(self.body(spec.size, Sine(self.frequency)), head)

    def decoder(self, spec: Map) -> nn.Module:
        return self.encoder(spec)

    def critic(self, spec: Critic) -> nn.Module:
        body = self.body(spec.inputs[0].size + spec.extra_size, nn.LeakyReLU(0.2))
        return PairCritic(nn.Sequential(body, nn.Linear(self.width, 1)))
