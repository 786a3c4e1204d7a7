"""Functions that initialize the weights of networks as in the papers, choose their order in memory, and recompute the
statistics of batch norm.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from interalia.contexts import BatchNorm, Conv
from interalia.networks.layers import InstanceNorm


@torch.no_grad()
def recalibrate_batch_norm(game: nn.Module, batches: Iterator[tuple[Tensor, ...]], count: int) -> None:
    """Sets the running mean and variance of each batch norm to plain averages over `count` batches with the current
    weights.

    They replace exponential averages, which lag behind weights that change. Batch norm that stays in evaluation mode after
    `game.train()`, i.e. that of frozen networks, keeps its statistics. At the end the game is in evaluation mode.

    Arguments:
        game: the module with the batch norm layers, called with the tensors of each batch as arguments.
        batches: an iterator over batches, of which the next `count` are taken.
        count: the number of batches.

    References:
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782
    """
    game.train()
    # without those of frozen networks, which stay in evaluation mode
    norms = [module for module in game.modules() if isinstance(module, BatchNorm) and module.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then takes a plain average
    for _ in range(count):
        game(*next(batches))
    game.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def use_channels_last(game: nn.Module) -> None:
    """Stores the weights of a game's convolutions in channels-last order, in place, for which torch computes them faster.

    The outputs of these networks are then stored in that order too. Three kinds of networks are left as they are: those
    with convolutions of volumes, whose weights have no such order; those with instance norm, which is computed faster in
    the default order; and those with a layer that is neither torch's nor this library's, whose code may rely on that
    order, as `Tensor.view` does.

    Arguments:
        game: the game, whose child modules are its networks.
    """
    for network in game.children():
        kinds = {type(module) for module in network.modules()}
        known = all(kind.__module__.startswith(("interalia.", "torch.nn.")) for kind in kinds)
        volumes = any(parameter.ndim == 5 for parameter in network.parameters())
        if known and not volumes and InstanceNorm not in kinds:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.no_grad()
def init_normal(network: nn.Module, std: float) -> None:
    """Draws the weights of the linear layers and convolutions of `network` from N(0, std^2) and sets all biases to 0,
    in place.

    The gain of batch norm stays 1.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | Conv):
            module.weight.normal_(0.0, std)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            bias.zero_()


@torch.no_grad()
def init_output_bias(bias: Tensor, mean: Tensor, margin: float = 1 / 512) -> None:
    """Sets the bias before a sigmoid to the log-odds log(m / (1 - m)) of the mean image m, so that the network's first
    outputs are near m.

    Arguments:
        bias: the bias, which is changed in place, of the shape of m, or flattened, or of shape (channels,) for the mean of
            each channel over its pixels.
        mean: the mean image m, or the mean volume or signal, with values in [0, 1], shape (channels, ...).
        margin: m is limited to [margin, 1 - margin], so that pixels that are always black or white have finite log-odds;
            half a gray level of bytes is 1 / 510.
    """
    if bias.ndim == 1 and len(bias) == mean.shape[0] and mean.ndim > 1:
        mean = mean.mean(dim=tuple(range(1, mean.ndim)))
    bias.copy_(torch.logit(mean.to(bias).clamp(margin, 1 - margin)).view_as(bias))
