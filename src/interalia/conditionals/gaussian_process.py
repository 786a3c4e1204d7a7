"""The variational Gaussian process, a posterior whose mean is a random function of a latent input."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from interalia.conditionals.base import Parametric, check_sizes, limit_log_sigma
from interalia.conditionals.building_blocks import SampleAndLogProb, gaussian_log_prob, mean_and_log_sigma, small_mlp
from interalia.contexts import autocast_off, draw_noise, normal_like

JITTER = 1e-4  # added to the variance of the inducing values, so that the Cholesky decomposition exists


class GaussianProcess(Parametric):
    """A posterior q(z | x) that is a variational Gaussian process: z is a random function of a latent input, plus
    noise.

    xi is the latent input. For each dimension i of z, a function f_i is drawn from a Gaussian process (GP), given its
    values t_i1(x), ..., t_im(x) at m learned inputs s_1, ..., s_m (the inducing inputs), and z_i is Gaussian around
    mu_i(x) + sigma_i(x) f_i(xi):

        xi ~ N(0, I),   f_i | xi ~ GP(0, k) given f_i(s_1) = t_i1(x), ..., f_i(s_m) = t_im(x)
        z_i = mu_i(x) + sigma_i(x) y_i,   y_i ~ N(f_i(xi), 1)
        k(a, b) = w^2 exp(-sum_j (a_j - b_j)^2 / (2 l_j^2))

    With enough inducing points, f maps xi to any distribution. The inputs s, the length scales l and the amplitude w
    are learned; the network returns the values t for each x. In lower bounds of log p(x), games replace
    log q(z | x) by

        log N(xi; 0, I) + log q(z | xi, x) - log r(xi | x, z)

    with a Gaussian reverse model r. Its mean is at least that of log q(z | x). The published bound has a reverse model
    of f as well. Here f is integrated out, because f given xi and z given f are both Gaussian; this equals the optimal
    model of f and gives a tighter bound. A game that uses samples only, such as AVB, does not train r. The `mean` of
    its distributions is the mean of z at xi = 0, not the true mean.

    References:
        The Variational Gaussian Process, Dustin Tran, Rajesh Ranganath, David M. Blei, 2016,
        https://arxiv.org/abs/1511.06499

    Arguments:
        network: maps x to [mu, log sigma, h, t], shape (n, (4 + inducing) size), where t are the values at the inducing
            inputs, `size` numbers for each. r is conditioned on x through h, 2 `size` numbers.
        size: the dimensions of z.
        inducing: m, the number of inducing inputs, at which the values of the functions are given.
        size_latent: the dimensions of xi.
        width: the width of the two hidden layers of r.

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
        check_sizes(inducing=inducing, size_latent=size_latent, width=width)
        self.size = size
        self.inducing = inducing
        self.inputs = nn.Parameter(torch.randn(inducing, size_latent))
        self.log_length = nn.Parameter(torch.full((size_latent,), math.log(size_latent) / 2))
        self.log_width = nn.Parameter(torch.tensor(math.log(0.5)))
        self.reverse = small_mlp(3 * size, 2 * size_latent, width)

    @classmethod
    def params_per_dim_for(cls, **arguments: object) -> int:
        """Returns the number of outputs of the network for each dimension of z, 4 + `inducing`.

        Arguments:
            arguments: the constructor's hyperparameters, by name, of which only `inducing` is used.
        """
        return 4 + cls.int_argument("inducing", arguments)

    def distribution(self, parameters: Tensor) -> Distribution:
        """Returns the distribution over z for the network's output, shape (n, (4 + inducing) size).

        The output is concatenated from the location mu and log scale log sigma of z, the features h of x, and the values t
        of the random functions at the inducing inputs.
        """
        d = self.size
        mu, log_sigma, h, t = parameters.split([d, d, 2 * d, self.inducing * d], dim=1)
        shared = (mu, limit_log_sigma(log_sigma), t.unflatten(1, (self.inducing, d)))
        return SampleAndLogProb(mu, partial(self.mean, *shared), partial(self.draw, *shared, h))

    def kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """Returns the covariance k(a, b) of the Gaussian process for all pairs of inputs, as a matrix of shape (n, m).

        It is w^2 exp(-sum_j (a_j - b_j)^2 / (2 l_j^2)), with the learned amplitude w and length scales l_j.

        Arguments:
            a: inputs, shape (n, size_latent).
            b: other inputs, shape (m, size_latent).
        """
        distance = ((a[:, None] - b[None]) / self.log_length.exp()).square().sum(2)
        return (2 * self.log_width - distance / 2).exp()

    def predict(self, xi: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mean, shape (n, d), and the variance, shape (n, 1), of d functions from the Gaussian process at the
        input xi, given their values t at the inducing inputs. All d functions have the same variance.

        Arguments:
            xi: the latent input, shape (n, size_latent).
            t: the given values of the functions at the m inducing inputs, shape (n, m, d).
        """
        with autocast_off(xi):
            jitter = JITTER * (2 * self.log_width).exp() * torch.eye(self.inducing, dtype=xi.dtype, device=xi.device)
            factor = torch.linalg.cholesky(self.kernel(self.inputs, self.inputs) + jitter)
            cross = self.kernel(xi, self.inputs)
            weights = torch.cholesky_solve(cross.t(), factor).t()  # k(xi, s) K^-1
            variance = (2 * self.log_width).exp() - (weights * cross).sum(1, keepdim=True)
            return (weights[:, :, None] * t).sum(1), variance.clamp_min(0)

    def z_given(self, mu: Tensor, log_sigma: Tensor, t: Tensor, xi: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mean and log sigma of q(z | xi, x), each of shape (n, d).

        Arguments:
            mu: the location of z = mu + sigma (f(xi) + N(0, I)), where f are the random functions, shape (n, d).
            log_sigma: log sigma, the log scale of z, shape (n, d).
            t: the values of the random functions at the m inducing inputs, shape (n, m, d).
            xi: the latent input of the functions, shape (n, size_latent).
        """
        f, variance = self.predict(xi, t)
        return mu + log_sigma.exp() * f, log_sigma + torch.log1p(variance) / 2

    def mean(self, mu: Tensor, log_sigma: Tensor, t: Tensor) -> Tensor:
        """Returns the mean of z given x and the latent input xi = 0, shape (n, d).

        Arguments:
            mu: the location of z = mu + sigma (f(xi) + N(0, I)), where f are the random functions, shape (n, d).
            log_sigma: log sigma, the log scale of z, shape (n, d).
            t: the values of the random functions at the m inducing inputs, shape (n, m, d).
        """
        return self.z_given(mu, log_sigma, t, mu.new_zeros(len(mu), self.inputs.shape[1]))[0]

    def draw(self, mu: Tensor, log_sigma: Tensor, t: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z, shape (n, d), through a sampled latent input xi, and returns it with an estimate of log q(z | x),
        shape (n,).

        The estimate, log N(xi; 0, I) + log q(z | xi, x) - log r(xi | x, z), replaces log q(z | x) in lower bounds of
        log p(x).

        Arguments:
            mu: the location of z = mu + sigma (f(xi) + N(0, I)), where f are the random functions, shape (n, d).
            log_sigma: log sigma, the log scale of z, shape (n, d).
            t: the values of the random functions at the m inducing inputs, shape (n, m, d).
            h: the features of x, shape (n, 2 d), that the reverse model r(xi | x, z) reads.
        """
        xi = draw_noise("conditional", "normal", (len(mu), self.inputs.shape[1]), mu)
        mean, log_width = self.z_given(mu, log_sigma, t, xi)
        z = mean + log_width.exp() * normal_like(mean)
        reverse = gaussian_log_prob(xi, *mean_and_log_sigma(self.reverse, h, z))
        return z, gaussian_log_prob(xi, 0.0, 0.0) + gaussian_log_prob(z, mean, log_width) - reverse
