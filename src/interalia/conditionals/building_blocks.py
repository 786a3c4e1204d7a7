"""Components of posteriors richer than a Gaussian: distributions that return a sample with its log q(z), and small
networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from interalia.conditionals.base import ImplicitDistribution
from interalia.contexts import to_float32
from interalia.errors import UserError

Draw = Callable[[], tuple[Tensor, Tensor]]
Density = Callable[[Tensor], Tensor]
SMALL = 0.01  # factor of a last layer's initial weights, so that its outputs start near 0


class SampleAndLogProb(ImplicitDistribution):
    """A distribution q(z) whose samples come with their log q(z), or with an estimate of it for lower bounds of log
    p(x).

    Most such distributions cannot compute log q(z) of a z that they did not sample.

    Arguments:
        like: a tensor with the shape, dtype and device of z.
        mean: a function that returns the mean, or a point in its place where the mean is unknown, shape (n, d).
        rsample_and_log_prob: a function that returns a differentiable sample z, shape (n, d), and its log q(z), shape (n,).
        density: a function that maps any z, shape (n, d), to log q(z), shape (n,); None if q has no such function.
    """

    def __init__(
        self, like: Tensor, mean: Callable[[], Tensor], rsample_and_log_prob: Draw, density: Density | None = None
    ) -> None:
        self.rsample_and_log_prob = rsample_and_log_prob
        self.density = density
        super().__init__(like.shape, mean, lambda: rsample_and_log_prob()[0])

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns log q(z), shape (n,), for any z = `value`, shape (n, d).

        Raises:
            UserError: the distribution was constructed without `density`, and returns log q(z) only for its own samples.
        """
        if self.density is None:
            raise UserError(
                "this conditional has log q(z) only for samples that it drew, so it has no log_prob; use "
                "`rsample_with_log_prob`, or an `encoder` with a density: gaussian, flow or iaf."
            )
        return self.density(value)


def rsample_with_log_prob(q: Distribution) -> tuple[Tensor, Tensor]:
    """Draws a differentiable z ~ q, shape (n, d), and returns it with log q(z), shape (n,).

    Where q(z) is an integral over auxiliary variables a, the second value is log q(z, a) - log r(a | z), with a learned
    distribution r. Its mean is at least E[log q(z)], so a lower bound of log p(x) that uses it stays a lower bound.

    Raises:
        UserError: q can be sampled, but has no density.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> z, log_q = rsample_with_log_prob(Independent(Normal(torch.zeros(5, 3), 1.0), 1))
        >>> z.shape, log_q.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """
    if hasattr(q, "rsample_and_log_prob"):
        return q.rsample_and_log_prob()
    z = q.rsample()
    return z, q.log_prob(z)


def gaussian_log_prob(value: Tensor, mean: Tensor | float, log_sigma: Tensor | float) -> Tensor:
    """Returns the log density log N(value; mean, diag sigma^2) in nats, shape (n,), for a `value` of shape (n, d).

    Arguments:
        value: the points, shape (n, d).
        mean: the mean, shape (n, d), or one number for all.
        log_sigma: the log standard deviation, shape (n, d), or one number for all.

    Example:
        >>> gaussian_log_prob(torch.zeros(1, 2), 0.0, 0.0)
        tensor([-1.8379])
    """
    sigma = log_sigma.exp() if isinstance(log_sigma, Tensor) else math.exp(log_sigma)
    return (-((value - mean) / sigma).square() / 2 - log_sigma - math.log(2 * math.pi) / 2).sum(-1)


def mean_and_log_sigma(network: nn.Module, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean and log sigma of a Gaussian, each of shape (n, d), which are the two halves of a network's
    output.

    Arguments:
        network: maps the concatenated inputs to [mean, log sigma], shape (n, 2 d).
        inputs: one or more tensors with n rows and any numbers of columns, which are concatenated along the columns.
    """
    mean, log_sigma = to_float32(network(torch.cat(inputs, dim=1))).chunk(2, dim=1)
    return mean, log_sigma


def small_mlp(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """Returns a network from `inputs` to `outputs` dimensions with two hidden layers of `width` ELU units, whose
    initial outputs are near 0.
    """
    hidden = [nn.Linear(inputs, width), nn.ELU(), nn.Linear(width, width), nn.ELU()]
    last = nn.Linear(width, outputs)
    init_near_zero(last)
    return nn.Sequential(*hidden, last)


def init_near_zero(layer: Any) -> None:
    """Multiplies the weights of the linear layer `layer` by 0.01 and sets its bias to 0, in place."""
    with torch.no_grad():
        layer.weight.mul_(SMALL)
        layer.bias.zero_()
