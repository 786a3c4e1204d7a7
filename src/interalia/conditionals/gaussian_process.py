"""The variational Gaussian process as a posterior."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from interalia.conditionals.base import Parametric, limit_log_sigma
from interalia.conditionals.building_blocks import (
    SampleAndLogProb,
    autocast_off,
    gaussian_log_prob,
    mean_and_log_sigma,
    small_mlp,
)
from interalia.errors import check_range

JITTER = 1e-4  # added to the variance of the inducing values, so that their covariance has a Cholesky factor


class GaussianProcess(Parametric):
    """The variational Gaussian process: a latent input xi, random functions f_i that take given values at m inducing inputs,
    and Gaussians around what they say,

        xi ~ N(0, I),   f_i | xi ~ GP(0, k) given f_i(s_1) = t_i1(x), ..., f_i(s_m) = t_im(x)
        z_i = mu_i(x) + sigma_i(x) y_i,   y_i ~ N(f_i(xi), 1)
        k(a, b) = w^2 exp(-sum_j (a_j - b_j)^2 / (2 l_j^2))

    With enough inducing points f takes xi to any distribution there is. The inputs s, the lengths l and the width w are
    learned, the values t answered by the network for each x. For log q(z | x) stands

        log N(xi; 0, I) + log q(z | xi, x) - log r(xi | x, z)

    with a Gaussian auxiliary model r, whose mean is at least that of log q(z | x). The published bound has an auxiliary model
    of f as well; but f given xi is Gaussian and z given f too, so f is integrated out, which is what the best model of it
    comes to, and the bound is the tighter for it. A game that asks for samples alone, such as AVB, leaves r as it is. The
    `mean` is that of z at xi = 0, a representative point.

    References:
        The Variational Gaussian Process, Dustin Tran, Rajesh Ranganath, David M. Blei, 2016,
        https://arxiv.org/abs/1511.06499

    Arguments:
        network: maps x to [mu, log sigma, h, the t_n], shape (n, (4 + inducing) size), h of 2 size numbers being what r is
            told of x.
        size: the dimensions of z.
        inducing: m.
        size_latent: the dimensions of xi.
        width: of the two hidden layers of r's network.

    Raises:
        ValueError: a number is under 1.

    Example:
        >>> from interalia.conditionals import rsample_with_log_prob
        >>> from interalia.networks import mlp
        >>> encoder = GaussianProcess(mlp.MLP(4, GaussianProcess.params_per_dim_for(inducing=5) * 3), 3, inducing=5)
        >>> z, log_q = rsample_with_log_prob(encoder(torch.zeros(6, 4)))
        >>> z.shape, log_q.shape
        (torch.Size([6, 3]), torch.Size([6]))
    """

    params_per_dim = 12

    def __init__(self, network: nn.Module, size: int, inducing: int = 8, size_latent: int = 8, width: int = 64) -> None:
        super().__init__(network)
        sizes = {"inducing": inducing, "size_latent": size_latent, "width": width}
        check_range(min(sizes.values()) >= 1, "they are 1 or more", **sizes)
        self.size = size
        self.inducing = inducing
        self.inputs = nn.Parameter(torch.randn(inducing, size_latent))
        self.log_length = nn.Parameter(torch.full((size_latent,), math.log(size_latent) / 2))
        self.log_width = nn.Parameter(torch.tensor(math.log(0.5)))
        self.reverse = small_mlp(3 * size, 2 * size_latent, width)

    @classmethod
    def params_per_dim_for(cls, **settings: object) -> int:
        return 4 + cls.setting("inducing", settings)

    def distribution(self, answers: Tensor) -> Distribution:
        d = self.size
        mu, log_sigma, h, t = answers.split([d, d, 2 * d, self.inducing * d], dim=1)
        known = (mu, limit_log_sigma(log_sigma), t.unflatten(1, (self.inducing, d)))
        return SampleAndLogProb(mu, partial(self.mean, *known), partial(self.draw, *known, h))

    def kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """k(a, b), shape (n, m), of a of shape (n, c) and b of shape (m, c)."""
        apart = ((a[:, None] - b[None]) / self.log_length.exp()).square().sum(2)
        return (2 * self.log_width - apart / 2).exp()

    def predict(self, xi: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The mean, shape (n, d), and the variance, shape (n, 1), of f at xi, given the values t, shape (n, m, d)."""
        with autocast_off(xi):
            jitter = JITTER * (2 * self.log_width).exp() * torch.eye(self.inducing, dtype=xi.dtype, device=xi.device)
            factor = torch.linalg.cholesky(self.kernel(self.inputs, self.inputs) + jitter)
            cross = self.kernel(xi, self.inputs)
            weights = torch.cholesky_solve(cross.t(), factor).t()  # k(xi, s) K^-1
            variance = (2 * self.log_width).exp() - (weights * cross).sum(1, keepdim=True)
            return (weights[:, :, None] * t).sum(1), variance.clamp_min(0)

    def z_given(self, mu: Tensor, log_sigma: Tensor, t: Tensor, xi: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the log width of q(z | xi, x)."""
        f, variance = self.predict(xi, t)
        return mu + log_sigma.exp() * f, log_sigma + torch.log1p(variance) / 2

    def mean(self, mu: Tensor, log_sigma: Tensor, t: Tensor) -> Tensor:
        """z at xi = 0."""
        return self.z_given(mu, log_sigma, t, mu.new_zeros(len(mu), self.inputs.shape[1]))[0]

    def draw(self, mu: Tensor, log_sigma: Tensor, t: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """z, with xi and f drawn and forgotten, and what stands for log q(z | x)."""
        xi = torch.randn_like(mu.new_empty(len(mu), self.inputs.shape[1]))
        mean, log_width = self.z_given(mu, log_sigma, t, xi)
        z = mean + log_width.exp() * torch.randn_like(mean)
        reverse = gaussian_log_prob(xi, *mean_and_log_sigma(self.reverse, h, z))
        return z, gaussian_log_prob(xi, 0.0, 0.0) + gaussian_log_prob(z, mean, log_width) - reverse
