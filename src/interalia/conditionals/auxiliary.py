"""A posterior that is a mixture of Gaussians over auxiliary variables, with an estimate of its log density for lower
bounds of log p(x).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.distributions import Distribution

from interalia.conditionals.base import Parametric, check_sizes, limit_log_sigma
from interalia.conditionals.building_blocks import SampleAndLogProb, gaussian_log_prob, mean_and_log_sigma, small_mlp
from interalia.contexts import normal_like


class Auxiliary(Parametric):
    """A posterior that is an infinite mixture of Gaussians over auxiliary variables a: q(z | x) = int q(a | x) q(z | a,
    x) da.

    log q(z | x) has no closed form. In lower bounds of log p(x), such as a VAE's, games use in its place the estimate

        log q(a | x) + log q(z | a, x) - log r(a | x, z)

    where r is a Gaussian reverse model. The mean of the estimate over a and z exceeds that of log q(z | x) by the mean
    of KL(q(a | x, z) || r(a | x, z)); r is trained with the encoder to make this gap small. With L > 1, a = (a_1, ...,
    a_L):

        a_L ~ q(a_L | x),   a_l ~ q(a_l | a_{l+1}, x),   z ~ q(z | a_1, x)
        r(a_1 | x, z) r(a_2 | a_1, x, z) ... r(a_L | a_{L-1}, x, z)

    All factors are Gaussians with diagonal covariances, conditioned on x through the features h(x), an output of the
    network. A game that uses samples only, such as AVB, does not train r. The distribution's `mean` is the mean of z at
    the means of the a_l, not that of q(z | x).

    References:
        Auxiliary Deep Generative Models, Lars Maaloe, Casper Kaae Sonderby, Soren Kaae Sonderby, Ole Winther, 2016,
        https://arxiv.org/abs/1602.05473 (there, L counts the levels of z; here z has one)

    Arguments:
        network: maps x to [mu, log sigma, h], shape (n, 4 size): a location and a log scale of z, each of `size` numbers, and
            h of 2 `size` numbers. The means and scales of the Gaussians q(z | a, x) are relative to mu and sigma.
        size: the dimensions of z.
        size_a: the dimensions of each a_l.
        levels: L, the number of auxiliary variables.
        width: the width of the two hidden layers in each network that computes the mean and scale of one of the Gaussians.

    Raises:
        ValueError: a number is under 1.

    Example:
        >>> import torch
        >>> from interalia.conditionals import rsample_with_log_prob
        >>> from interalia.networks import mlp
        >>> z, log_q = rsample_with_log_prob(Auxiliary(mlp.MLP(4, 4 * 3), 3, levels=2)(torch.zeros(5, 4)))
        >>> z.shape, log_q.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    params_per_dim = 4

    def __init__(self, network: nn.Module, size: int, size_a: int = 16, levels: int = 1, width: int = 64) -> None:
        super().__init__(network)
        check_sizes(size_a=size_a, levels=levels, width=width)
        self.size = size
        self.size_a = size_a
        size_h = 2 * size
        # from a_L down to a_1, and from a_1 up to a_L: all but the first are conditioned on the previous a
        before = [size_a if level else 0 for level in range(levels)]
        self.down = nn.ModuleList(small_mlp(size_h + more, 2 * size_a, width) for more in before)
        self.last = small_mlp(size_h + size_a, 2 * size, width)
        self.up = nn.ModuleList(small_mlp(size_h + size + more, 2 * size_a, width) for more in before)

    def distribution(self, parameters: Tensor) -> Distribution:
        """Returns the distribution over z for the network's output [mu, log sigma, h], shape (n, 4 size).

        It is a `SampleAndLogProb`: samples come with an estimate of log q(z | x); `log_prob` raises an error.
        """
        mu, log_sigma, h = parameters.split([self.size, self.size, 2 * self.size], dim=1)
        split = (mu, limit_log_sigma(log_sigma), h)
        return SampleAndLogProb(mu, partial(self.mean, *split), partial(self.draw, *split))

    def z_given(self, mu: Tensor, log_sigma: Tensor, h: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mean and log sigma of q(z | a, x), each of shape (n, size).

        Arguments:
            mu: the location mu(x), shape (n, size); the mean is mu + sigma m, where m is an output of a small network of
                h and a.
            log_sigma: the log scale log sigma(x), shape (n, size), to which another output of that network is added.
            h: the features of x, shape (n, 2 size).
            a: the auxiliary variable, shape (n, size_a); if there are several, a_1 ... a_L, it is a_1, the only one that z
                depends on.
        """
        mean, log_width = mean_and_log_sigma(self.last, h, a)
        return mu + log_sigma.exp() * mean, limit_log_sigma(log_sigma + log_width)  # both relative to sigma(x)

    def mean(self, mu: Tensor, log_sigma: Tensor, h: Tensor) -> Tensor:
        """Returns the mean of z at the means of the auxiliary variables a_1 to a_L, shape (n, size).

        First a_L takes its mean given x, then each a_l, from l = L - 1 down to 1, its mean given a_{l+1} and x. The result
        is the mean of q(z | a_1, x).

        Arguments:
            mu: the location of z, to which sigma times an output of a network of h and a_1 is added, shape (n, size).
            log_sigma: log sigma, the log scale of z, shape (n, size).
            h: the features of x, shape (n, 2 size).
        """
        a: list[Tensor] = []
        for network in self.down:
            a = [mean_and_log_sigma(network, h, *a)[0]]
        return self.z_given(mu, log_sigma, h, *a)[0]

    def draw(self, mu: Tensor, log_sigma: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z, shape (n, size), through sampled auxiliary variables a_L, ..., a_1, and returns it with an estimate of
        log q(z | x), shape (n,).

        The estimate is log q(a | x) + log q(z | a, x) - log r(a | x, z), where a is all a_l together and r is the learned
        reverse model. It replaces log q(z | x) in lower bounds of log p(x).

        Arguments:
            mu: the location of z, to which sigma times an output of a network of h and a_1 is added, shape (n, size).
            log_sigma: log sigma, the log scale of z, shape (n, size).
            h: the features of x, shape (n, 2 size).
        """
        levels: list[Tensor] = []  # a_L, ..., a_1
        log_q = mu.new_zeros(len(mu))
        for network in self.down:
            mean, log_width = mean_and_log_sigma(network, h, *levels[-1:])
            log_width = limit_log_sigma(log_width)
            levels.append(mean + log_width.exp() * normal_like(mean))  # a_l ~ q(a_l | a_{l+1}, x)
            log_q = log_q + gaussian_log_prob(levels[-1], mean, log_width)
        mean, log_width = self.z_given(mu, log_sigma, h, levels[-1])
        z = mean + log_width.exp() * normal_like(mean)  # z ~ q(z | a_1, x)
        log_q = log_q + gaussian_log_prob(z, mean, log_width)
        below: list[Tensor] = []
        for network, a in zip(self.up, reversed(levels), strict=True):
            log_q = log_q - gaussian_log_prob(a, *mean_and_log_sigma(network, h, z, *below))  # r(a_l | a_{l-1}, x, z)
            below = [a]
        return z, log_q
