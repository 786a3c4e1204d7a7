"""Plain networks of fully connected layers."""

from __future__ import annotations

from torch import nn

from interalia.networks.layers import Backbone, PairCritic, layer_block

__all__ = ["MLP", "PairCritic", "hidden"]


def hidden(inputs: int, width: int, depth: int, norm: bool, leak: float | None = 0.2) -> nn.Sequential:
    """`depth` layers of `width` units: linear, batch norm or none, and what `layer_block` says of `leak`."""
    parts: list[nn.Module] = []
    for _ in range(depth):
        parts += layer_block(nn.Linear(inputs, width, bias=not norm), nn.BatchNorm1d(width) if norm else None, leak)
        inputs = width
    return nn.Sequential(*parts)


class MLP(Backbone):
    """A plain network of fully connected layers.

    Arguments:
        inputs, outputs: dimensions.
        width, depth: of the hidden layers.
        norm: whether they have batch norm.
        leak: of their leaky ReLU.

    Example:
        >>> import torch
        >>> MLP(4, 3)(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, inputs: int, outputs: int, width: int = 256, depth: int = 2, norm: bool = False, leak: float = 0.2
    ) -> None:
        super().__init__(hidden(inputs, width, depth, norm, leak), nn.Linear(width, outputs))
