"""A posterior whose samples are moved by Hamiltonian dynamics on the joint density log p(x, z)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from interalia.conditionals.base import Conditional, limit_log_sigma
from interalia.conditionals.building_blocks import SampleAndLogProb, gaussian_log_prob, mean_and_log_sigma, small_mlp
from interalia.contexts import normal_like, to_float32
from interalia.errors import UserError, check_range

Gradient = Callable[[Tensor], Tensor]


def leapfrog(z: Tensor, v: Tensor, gradient: Gradient, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the positions z and velocities v, each of shape (n, d), after leapfrog steps of Hamiltonian dynamics.

    The Hamiltonian is U(z) + |v|^2 / 2, where U is the potential energy, of which only the gradient is needed. For each
    step size e in `sizes`, in order:

        v <- v - e / 2 grad U(z),   z <- z + e v,   v <- v - e / 2 grad U(z)

    The steps preserve volume. Running them from z and -v with the step sizes in reverse order leads back to the start.

    Arguments:
        z: the positions, shape (n, d).
        v: the velocities, shape (n, d).
        gradient: a function that maps z to grad U(z), shape (n, d).
        sizes: the step sizes e for each dimension, shape (steps, d), or also for each position, shape (steps, n, d).

    Example:
        >>> e = torch.full((20, 1), 0.1)
        >>> z, v = leapfrog(torch.ones(1, 1), torch.zeros(1, 1), lambda z: z, e)  # a spring
        >>> bool((z - math.cos(2)).abs() < 0.01)
        True
    """
    slope = gradient(z)
    for e in sizes:
        v = v - e / 2 * slope
        z = z + e * v
        slope = gradient(z)
        v = v - e / 2 * slope
    return z, v


class Hamiltonian(Conditional):
    """A posterior by Hamiltonian variational inference: a Gaussian sample is moved towards p(z | x) by T leapfrog
    steps.

        z_0 ~ N(mu(x), diag sigma(x)^2),   v_0 ~ N(0, I),   (z_T, v_T) = leapfrog(z_0, v_0) on U(z) = -log p(x, z)

    Step t has the size e_t sigma(x) / (1 + sigma(x)). e_t is learned for each step and dimension, which includes a
    diagonal mass matrix, as the scales of v and e are equivalent. Steps are short in narrow directions and at most e_t,
    so that they stay stable with an untrained encoder. They preserve volume if grad U of each sample depends on its own
    z only. In lower bounds of log p(x), games use in place of log q(z_T | x), with a Gaussian reverse model r,

        log q(z_0 | x) + log N(v_0; 0, I) - log r(v_T | x, z_T)

    Its mean is at least that of log q(z_T | x). A decoder with batch norm in training mode violates the condition on grad U,
    because it mixes the samples of a batch: the volume of one sample changes, by less in larger batches, and the
    training loss is a bound up to this change. The running statistics then include the z of all steps. In evaluation
    the bound is exact. The game sets log p(x, z) by `set_log_joint`; VAE and AVB do. Training differentiates through
    the gradients of the steps. The `mean` of its distributions is the end of the steps from z_0 = mu and v_0 = 0, not
    the true mean, which is unknown.

    References:
        Markov Chain Monte Carlo and Variational Inference: Bridging the Gap, Tim Salimans, Diederik P. Kingma, Max Welling,
        2015, https://arxiv.org/abs/1410.6460

    Arguments:
        network: maps x to [mu, log sigma, h], shape (n, 4 size); r is conditioned on x through h, 2 `size` numbers.
        size: the dimensions of z.
        steps: T, the number of leapfrog steps.
        step: the initial value of e_t.
        width: the width of the two hidden layers of r.

    Raises:
        ValueError: `steps` or `width` is under 1, or `step` is not a finite number above 0.
        UserError: it is sampled before `set_log_joint` was called.

    Example:
        >>> from interalia.conditionals import rsample_with_log_prob
        >>> from interalia.networks import mlp
        >>> encoder = Hamiltonian(mlp.MLP(4, 4 * 3), 3, steps=2)
        >>> encoder.set_log_joint(lambda x, z: -(z - x[:, :3]).square().sum(1))
        >>> z, log_q = rsample_with_log_prob(encoder(torch.zeros(5, 4)))
        >>> z.shape, log_q.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    params_per_dim = 4
    log_joint: Callable[[Tensor, Tensor], Tensor] | None = None

    def __init__(self, network: nn.Module, size: int, steps: int = 16, step: float = 0.1, width: int = 64) -> None:
        super().__init__(network)
        valid = min(steps, width) >= 1 and 0 < step < math.inf
        check_range(valid, "they are 1 or more, 1 or more, and above 0", steps=steps, width=width, step=step)
        self.size = size
        self.log_step = nn.Parameter(torch.full((steps, size), math.log(step)))
        self.reverse = small_mlp(3 * size, 2 * size, width)

    def set_log_joint(self, log_joint: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Stores the joint log density log p(x, z) as a function; its gradient in z moves the samples.

        Arguments:
            log_joint: maps x, shape (n, ...), and z, shape (n, size), to log p(x, z), shape (n,).
        """
        self.log_joint = log_joint

    def check_ready(self) -> None:
        """Raises a UserError unless `set_log_joint` was called."""
        if self.log_joint is None:
            raise UserError(
                "a Hamiltonian posterior needs the gradient of log p(x, z), which this game does not have; choose a game "
                "with a likelihood, such as vae or avb, or another `encoder`, such as gaussian."
            )

    def forward(self, *c: Tensor) -> Distribution:
        """Returns the distribution over z given x, a `SampleAndLogProb`, with batch shape (n,).

        Arguments:
            c: x, shape (n, ...), and any further inputs of the network, such as a label.
        """
        return self.forward_repeated(1, *c)

    def forward_repeated(self, count: int, *c: Tensor) -> Distribution:
        """Returns the distribution over z for n * count conditions: each of the n values of x is repeated `count` times
        in a row.

        The network runs once, for n conditions, and its outputs are repeated.

        Arguments:
            count: the number of repetitions.
            c: x, shape (n, ...), and any further inputs of the network, such as a label.
        """
        # one forward pass for all repetitions
        parameters = to_float32(self.network(*c)).repeat_interleave(count, dim=0)
        mu, log_sigma, h = parameters.split([self.size, self.size, 2 * self.size], dim=1)
        shared = (c[0].repeat_interleave(count, dim=0), mu, limit_log_sigma(log_sigma))
        return SampleAndLogProb(mu, partial(self.mean, *shared), partial(self.draw, *shared, h))

    def gradient(self, x: Tensor, z: Tensor) -> Tensor:
        """Returns the gradient of the potential energy -log p(x, z) with respect to z, shape (n, size).

        It is itself differentiable where gradients are enabled.

        Arguments:
            x: the data, shape (n, ...).
            z: the positions, shape (n, size).
        """
        self.check_ready()
        log_joint: Any = self.log_joint
        grad_enabled = torch.is_grad_enabled()
        with torch.enable_grad():
            z = z if grad_enabled and z.requires_grad else z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(-log_joint(x, z).sum(), z, create_graph=grad_enabled)
        return slope

    def integrate(self, x: Tensor, log_sigma: Tensor, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the positions and velocities after all T leapfrog steps, each of shape (n, size).

        Arguments:
            x: the data, shape (n, ...).
            log_sigma: log sigma(x), which determines the step sizes, shape (n, size).
            z: the positions at the start, shape (n, size).
            v: the velocities at the start, shape (n, size).
        """
        sizes = self.log_step.exp()[:, None] * log_sigma.sigmoid()  # e sigma / (1 + sigma)
        return leapfrog(z, v, partial(self.gradient, x), sizes)

    def mean(self, x: Tensor, mu: Tensor, log_sigma: Tensor) -> Tensor:
        """Returns the position after all T leapfrog steps from position mu with velocity 0, shape (n, size).

        Arguments:
            x: the data, shape (n, ...).
            mu: the position at the start, shape (n, size).
            log_sigma: log sigma(x), which determines the step sizes, shape (n, size).
        """
        return self.integrate(x, log_sigma, mu, torch.zeros_like(mu))[0]

    def draw(self, x: Tensor, mu: Tensor, log_sigma: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z, shape (n, size), and returns it with an estimate of log q(z | x), shape (n,), for lower bounds of
        log p(x).

        z is the position after all T leapfrog steps from a random position z_0 and velocity v_0, and v the velocity
        there. The estimate is log q(z_0 | x) + log N(v_0; 0, I) - log r(v | x, z).

        Arguments:
            x: the data, shape (n, ...).
            mu: the mean of z_0, shape (n, size).
            log_sigma: the log standard deviation of z_0, which also determines the step sizes, shape (n, size).
            h: the features of x, shape (n, 2 size), that the reverse model r(v | x, z) reads.
        """
        eps, v_0 = (normal_like(mu) for _ in range(2))
        z, v = self.integrate(x, log_sigma, mu + log_sigma.exp() * eps, v_0)
        log_q = gaussian_log_prob(eps, 0.0, 0.0) - log_sigma.sum(1) + gaussian_log_prob(v_0, 0.0, 0.0)
        return z, log_q - gaussian_log_prob(v, *mean_and_log_sigma(self.reverse, h, z))
