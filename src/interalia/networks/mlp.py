"""Fully connected networks (multilayer perceptrons)."""

from __future__ import annotations

from torch import nn

from interalia.networks.layers import Backbone, PairCritic, layer_block

__all__ = ["MLP", "PairCritic", "hidden"]


def hidden(inputs: int, width: int, depth: int, norm: bool, leak: float | None = 0.2) -> nn.Sequential:
    """Returns a stack of `depth` hidden layers, each a linear layer of `width` units, batch norm if `norm`, and an
    activation.

    Arguments:
        inputs: the dimensions of the input.
        width: the units of each layer.
        depth: the number of layers.
        norm: True for batch norm before each activation, and linear layers without bias.
        leak: the negative slope of the leaky ReLU; 0 for ReLU, and None for ELU.
    """
    parts: list[nn.Module] = []
    for _ in range(depth):
        parts += layer_block(nn.Linear(inputs, width, bias=not norm), nn.BatchNorm1d(width) if norm else None, leak)
        inputs = width
    return nn.Sequential(*parts)


class MLP(Backbone):
    """A fully connected network: hidden layers with leaky ReLU, and a linear output layer.

    Arguments:
        inputs, outputs: the dimensions of the input and of the output.
        width, depth: the units of each hidden layer, and the number of hidden layers.
        norm: True for batch norm before each activation.
        leak: the negative slope of the leaky ReLU; 0 for ReLU.

    Example:
        >>> import torch
        >>> MLP(4, 3)(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, inputs: int, outputs: int, width: int = 256, depth: int = 2, norm: bool = False, leak: float = 0.2
    ) -> None:
        super().__init__(hidden(inputs, width, depth, norm, leak), nn.Linear(width, outputs))
