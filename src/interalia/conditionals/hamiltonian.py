"""A posterior that is refined by Hamiltonian dynamics on log p(x, z)."""

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
from interalia.contexts import to_float32
from interalia.errors import UserError, check_range

Gradient = Callable[[Tensor], Tensor]


def leapfrog(z: Tensor, v: Tensor, gradient: Gradient, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Steps of z and its velocity v along the Hamiltonian U(z) + |v|^2 / 2, for each step e of `sizes`:

        v <- v - e / 2 grad U(z),   z <- z + e v,   v <- v - e / 2 grad U(z)

    It keeps volumes, and ends where it started if it is run on with v turned round and the steps in reverse order.

    Arguments:
        z, v: shape (n, d).
        gradient: grad U.
        sizes: e, shape (steps, d), or (steps, n, d).

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
    """Hamiltonian variational inference: a draw of a Gaussian that is moved towards the posterior by T leapfrog steps,

        z_0 ~ N(mu(x), diag sigma(x)^2),   v_0 ~ N(0, I),   (z_T, v_T) = leapfrog(z_0, v_0) on U(z) = -log p(x, z)

    with steps of length e_t sigma(x) / (1 + sigma(x)), e_t learned for each step and dimension (which is a mass matrix too:
    v's scale and that of e are one). In narrow directions steps are as short as they must be, and nowhere longer than e_t, so
    that an encoder that knows nothing yet does not make them unstable. The steps keep volumes where grad U of each sample
    depends on its own z alone, so that with a reverse model r, a Gaussian, for log q(z_T | x) stands

        log q(z_0 | x) + log N(v_0; 0, I) - log r(v_T | x, z_T)

    whose mean is at least that of log q(z_T | x). A decoder with batch norm breaks this while it trains, for it mixes the
    samples of a batch: one sample's volume changes by the less the larger the batch is, the training loss is a bound up to
    that, and the statistics take in all places on the way. In evaluation it holds exactly. The game that it plays in tells
    it log p(x, z), see `set_log_joint`; VAE and AVB do. In training the gradients within the steps are differentiated too. The
    `mean` is where the steps take mu from rest, a representative point.

    References:
        Markov Chain Monte Carlo and Variational Inference: Bridging the Gap, Tim Salimans, Diederik P. Kingma, Max Welling,
        2015, https://arxiv.org/abs/1410.6460

    Arguments:
        network: maps x to [mu, log sigma, h], shape (n, 4 size), h of 2 size numbers being what r is told of x.
        size: the dimensions of z.
        steps: T.
        step: e_t before training.
        width: of the two hidden layers of r's network.

    Raises:
        ValueError: a number is out of its range.
        UserError: a draw is asked before a game has told it log p(x, z).

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
        holds = min(steps, width) >= 1 and 0 < step < math.inf
        check_range(holds, "they are 1 or more, 1 or more, and above 0", steps=steps, width=width, step=step)
        self.size = size
        self.log_step = nn.Parameter(torch.full((steps, size), math.log(step)))
        self.reverse = small_mlp(3 * size, 2 * size, width)

    def set_log_joint(self, log_joint: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.log_joint = log_joint

    def check_ready(self) -> None:
        if self.log_joint is None:
            raise UserError(
                "a Hamiltonian posterior follows the gradient of log p(x, z), which this game does not have; play one with a "
                "likelihood, such as vae or avb, or choose another `encoder`, such as gaussian."
            )

    def forward(self, *c: Tensor) -> Distribution:
        return self.forward_repeated(1, *c)

    def forward_repeated(self, count: int, *c: Tensor) -> Distribution:
        answers = to_float32(self.network(*c)).repeat_interleave(count, dim=0)  # the network is asked once
        mu, log_sigma, h = answers.split([self.size, self.size, 2 * self.size], dim=1)
        known = (c[0].repeat_interleave(count, dim=0), mu, limit_log_sigma(log_sigma))
        return SampleAndLogProb(mu, partial(self.mean, *known), partial(self.draw, *known, h))

    def gradient(self, x: Tensor, z: Tensor) -> Tensor:
        """-grad log p(x, z) in z; without a graph where gradients are off."""
        self.check_ready()
        log_joint: Any = self.log_joint
        learning = torch.is_grad_enabled()
        with torch.enable_grad():
            z = z if learning and z.requires_grad else z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(-log_joint(x, z).sum(), z, create_graph=learning)
        return slope

    def integrate(self, x: Tensor, log_sigma: Tensor, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """(z_T, v_T)."""
        sizes = self.log_step.exp()[:, None] * log_sigma.sigmoid()  # e sigma / (1 + sigma)
        return leapfrog(z, v, partial(self.gradient, x), sizes)

    def mean(self, x: Tensor, mu: Tensor, log_sigma: Tensor) -> Tensor:
        """Where the steps take mu from rest."""
        return self.integrate(x, log_sigma, mu, torch.zeros_like(mu))[0]

    def draw(self, x: Tensor, mu: Tensor, log_sigma: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """z_T, and what stands for log q(z_T | x)."""
        eps, v_0 = torch.randn_like(mu), torch.randn_like(mu)
        z, v = self.integrate(x, log_sigma, mu + log_sigma.exp() * eps, v_0)
        log_q = gaussian_log_prob(eps, 0.0, 0.0) - log_sigma.sum(1) + gaussian_log_prob(v_0, 0.0, 0.0)
        return z, log_q - gaussian_log_prob(v, *mean_and_log_sigma(self.reverse, h, z))
