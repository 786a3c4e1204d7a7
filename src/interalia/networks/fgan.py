"""f-GAN's networks for MNIST, fully connected."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from interalia.networks.family import Family, onto
from interalia.networks.layers import Joint, Stack
from interalia.networks.mlp import hidden
from interalia.networks.needs import Critic, Map


@dataclass(frozen=True)
class FGAN(Family):
    """f-GAN's networks: G z-1200-1200-x, batch norm and ReLU, sigmoid; V x-240-240-1, ELU; weights U(-scale, scale).

    Widths and scales are those of GAN's code for MNIST, whose maxout the ELU replaces; "scale" is read as that code reads
    it, the half width of a uniform distribution. Points of a few numbers get no sigmoid.

    See also:
        BiGAN, Auto: networks with an encoder.

    References:
        f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, Sebastian Nowozin,
        Botond Cseke, Ryota Tomioka, 2016, https://arxiv.org/abs/1606.00709
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661

    Arguments:
        width, critic_width: of G's and V's hidden layers.
        scale, critic_scale: of G's and V's initial weights.

    Example:
        >>> from interalia.spaces import Space
        >>> x, z = Space("x", (1, 28, 28), "unit"), Space("z", (100,))
        >>> FGAN().make(Map((z,), x))(torch.zeros(2, 100)).shape, FGAN().make(Critic((x,)))(torch.zeros(2, 1, 28, 28)).shape
        (torch.Size([2, 1, 28, 28]), torch.Size([2]))
    """

    name = "fgan-mnist"
    only = "(x)"
    width: int = 1200
    critic_width: int = 240
    scale: float = 0.05
    critic_scale: float = 0.005

    def decoder(self, net: Map) -> nn.Module:
        head = nn.Sequential(nn.Linear(self.width, net.output.size), *onto(net.output))
        return Stack(hidden(net.size, self.width, 2, norm=True, leak=0.0), head, after=net.output.shape)

    def critic(self, need: Critic) -> nn.Module:
        parts: list[nn.Module] = [nn.Flatten()]
        for inputs in (need.sees[0].size, self.critic_width):
            parts += [nn.Linear(inputs, self.critic_width), nn.ELU()]
        return Joint(nn.Sequential(*parts, nn.Linear(self.critic_width, 1)))

    def start(self, need: Map | Critic, network: nn.Module) -> None:
        uniform(network, self.critic_scale if isinstance(need, Critic) else self.scale)


@torch.no_grad()
def uniform(network: nn.Module, scale: float) -> None:
    """Weights U(-scale, scale), biases 0, batch norm's gain 1: GAN's initialisation of MNIST's networks."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.weight.uniform_(-scale, scale)
            if module.bias is not None:
                module.bias.zero_()
