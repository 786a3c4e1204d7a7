"""f-GAN's networks for MNIST, fully connected."""

from __future__ import annotations

import math

import torch
from torch import nn

from interalia.errors import UserError
from interalia.networks.layers import Joint, Sigmoid, Stack
from interalia.networks.mlp import hidden
from interalia.networks.sizes import Networks, Sizes


def fgan_mnist(
    sizes: Sizes, width: int = 1200, critic_width: int = 240, scale: float = 0.05, critic_scale: float = 0.005
) -> Networks:
    """f-GAN's networks: G z-1200-1200-x, batch norm and ReLU, sigmoid; V x-240-240-1, ELU; weights U(-scale, scale).

    Widths and scales are those of GAN's code for MNIST, whose maxout the ELU replaces; "scale" is read as that code reads
    it, the half width of a uniform distribution. Points of a few numbers get no sigmoid.

    See also:
        bigan_mlp, auto: networks with an encoder.

    References:
        f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, Sebastian Nowozin,
        Botond Cseke, Ryota Tomioka, 2016, https://arxiv.org/abs/1606.00709
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661

    Arguments:
        sizes: what the networks have to fit.
        width, critic_width: of G's and V's hidden layers.
        scale, critic_scale: of G's and V's initial weights.

    Raises:
        UserError: the game infers z, and there is no encoder here.

    Example:
        >>> made = fgan_mnist(Sizes((1, 28, 28), latent=100, infers=False))
        >>> made.decoder(torch.zeros(2, 100)).shape, made.critic(torch.zeros(2, 1, 28, 28)).shape
        (torch.Size([2, 1, 28, 28]), torch.Size([2]))
    """
    if sizes.infers:
        raise UserError(
            "the networks 'fgan-mnist' have no encoder, and this game infers z; use --networks bigan-mlp or auto."
        )
    d = math.prod(sizes.shape)
    last = nn.Linear(width, d)
    image = len(sizes.shape) == 3
    head = nn.Sequential(last, Sigmoid()) if image else nn.Sequential(last)
    decoder = Stack(hidden(sizes.inferred, width, 2, norm=True, leak=0.0), head, after=sizes.shape)
    parts: list[nn.Module] = [nn.Flatten()]
    for inputs in (d, critic_width):
        parts += [nn.Linear(inputs, critic_width), nn.ELU()]
    critic = Joint(nn.Sequential(*parts, nn.Linear(critic_width, 1)))
    uniform(decoder, scale)
    uniform(critic, critic_scale)
    return Networks(None, decoder, critic, None, last.bias if image else None)


@torch.no_grad()
def uniform(network: nn.Module, scale: float) -> None:
    """Weights U(-scale, scale), biases 0, batch norm's gain 1: GAN's initialisation of MNIST's networks."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.weight.uniform_(-scale, scale)
            if module.bias is not None:
                module.bias.zero_()
