"""Posteriors that are mixtures over auxiliary variables, whose density is bounded with a reverse model."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from interalia.conditionals.base import Parametric, limit_log_sigma
from interalia.conditionals.building_blocks import SampleAndLogProb, gaussian_log_prob, mean_and_log_sigma, small_mlp
from interalia.errors import check_range


class Auxiliary(Parametric):
    """q(z | x) = int q(a | x) q(z | a, x) da: a mixture of Gaussians, with as many components as a has values.

    log q(z | x) is an integral. In its place, in every bound, stands

        log q(a | x) + log q(z | a, x) - log r(a | x, z)

    whose mean over a and z is above that of log q(z | x) by the mean of KL(q(a | x, z) || r(a | x, z)), and r, a Gaussian,
    learns with the encoder to make it small. With several levels q(a | x) is such a mixture itself:

        a_L ~ q(a_L | x),   a_l ~ q(a_l | a_{l+1}, x),   z ~ q(z | a_1, x)
        r(a_1 | x, z) r(a_2 | a_1, x, z) ... r(a_L | a_{L-1}, x, z)

    All are Gaussians with diagonal covariances, and all are told x by way of h(x), what the network answers. A game that asks
    for samples alone, such as AVB, leaves r as it is. The `mean` is that of z at the means of the a_l, a representative
    point.

    References:
        Auxiliary Deep Generative Models, Lars Maaloe, Casper Kaae Sonderby, Soren Kaae Sonderby, Ole Winther, 2016,
        https://arxiv.org/abs/1602.05473 (whose L counts the levels of z, of which there is one here)

    Arguments:
        network: maps x to [mu, log sigma, h], shape (n, 4 size): what z's mean and log width are when nothing is known of
            a_1, and h of 2 size numbers.
        size: the dimensions of z.
        size_a: those of each a_l.
        levels: L.
        width: of the two hidden layers of each of their networks.

    Raises:
        ValueError: a number is under 1.

    Example:
        >>> from interalia.conditionals import rsample_with_log_prob
        >>> from interalia.networks import mlp
        >>> z, log_q = rsample_with_log_prob(Auxiliary(mlp.MLP(4, 4 * 3), 3, levels=2)(torch.zeros(5, 4)))
        >>> z.shape, log_q.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    params_per_dim = 4

    def __init__(self, network: nn.Module, size: int, size_a: int = 16, levels: int = 1, width: int = 64) -> None:
        super().__init__(network)
        check_range(min(size_a, levels, width) >= 1, "they are 1 or more", size_a=size_a, levels=levels, width=width)
        self.size = size
        self.size_a = size_a
        known = 2 * size
        # from a_L down to a_1; and from a_1 up to a_L: all but the first are told of the a before
        before = [size_a if level else 0 for level in range(levels)]
        self.down = nn.ModuleList(small_mlp(known + more, 2 * size_a, width) for more in before)
        self.last = small_mlp(known + size_a, 2 * size, width)
        self.up = nn.ModuleList(small_mlp(known + size + more, 2 * size_a, width) for more in before)

    def distribution(self, answers: Tensor) -> Distribution:
        mu, log_sigma, h = answers.split([self.size, self.size, 2 * self.size], dim=1)
        known = (mu, limit_log_sigma(log_sigma), h)
        return SampleAndLogProb(mu, partial(self.mean, *known), partial(self.draw, *known))

    def z_given(self, mu: Tensor, log_sigma: Tensor, h: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the log width of q(z | a_1, x)."""
        mean, log_width = mean_and_log_sigma(self.last, h, a)
        return mu + log_sigma.exp() * mean, limit_log_sigma(log_sigma + log_width)  # both in units of sigma(x)

    def mean(self, mu: Tensor, log_sigma: Tensor, h: Tensor) -> Tensor:
        """z at the means of the a_l."""
        a: list[Tensor] = []
        for network in self.down:
            a = [mean_and_log_sigma(network, h, *a)[0]]
        return self.z_given(mu, log_sigma, h, *a)[0]

    def draw(self, mu: Tensor, log_sigma: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """z, with the a_l drawn and forgotten, and what stands for log q(z | x)."""
        levels: list[Tensor] = []  # a_L, ..., a_1
        log_q = mu.new_zeros(len(mu))
        for network in self.down:
            mean, log_width = mean_and_log_sigma(network, h, *levels[-1:])
            log_width = limit_log_sigma(log_width)
            levels.append(mean + log_width.exp() * torch.randn_like(mean))  # a_l ~ q(a_l | a_{l+1}, x)
            log_q = log_q + gaussian_log_prob(levels[-1], mean, log_width)
        mean, log_width = self.z_given(mu, log_sigma, h, levels[-1])
        z = mean + log_width.exp() * torch.randn_like(mean)  # z ~ q(z | a_1, x)
        log_q = log_q + gaussian_log_prob(z, mean, log_width)
        below: list[Tensor] = []
        for network, a in zip(self.up, reversed(levels), strict=True):
            log_q = log_q - gaussian_log_prob(a, *mean_and_log_sigma(network, h, z, *below))  # r(a_l | a_{l-1}, x, z)
            below = [a]
        return z, log_q
