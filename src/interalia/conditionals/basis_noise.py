"""An implicit conditional distribution whose mean and variance can be computed."""

from __future__ import annotations

import functools
import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import elu

from interalia.conditionals.base import Parametric, Samples, SampleShape, check_sizes
from interalia.contexts import autocast_off, draw_noise, to_float32
from interalia.errors import check_range


class Basis(nn.Module):
    """The m noise functions v_1, ..., v_m of `BasisNoise`: networks from noise eps_i to a vector v_i, computed in
    parallel.

    Each has three hidden layers of ELU units and a linear output layer.

    Arguments:
        count: m, the number of noise functions.
        noise: the dimensions of each eps_i.
        width: the units of each hidden layer.
        size: the dimensions of each v_i.
    """

    def __init__(self, count: int, noise: int, width: int, size: int) -> None:
        super().__init__()
        widths = [noise, width, width, width, size]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            bound = 1 / math.sqrt(inputs)  # PyTorch's default for a linear layer
            self.weights.append(nn.Parameter(torch.empty(count, inputs, outputs).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(count, 1, outputs).uniform_(-bound, bound)))

    @torch.no_grad()
    def standardize(self, draws: int = 1024) -> None:
        """Shifts and scales the last layer of each network, so that its outputs have mean 0 and variance 1 for noise
        from N(0, I).

        Arguments:
            draws: the number of noise samples from which the mean and variance before the change are estimated.
        """
        count, noise, _ = self.weights[0].shape
        v = self(torch.randn(draws, count, noise))
        scale = v.std(0)
        self.weights[-1].div_(scale[:, None, :])
        self.biases[-1].sub_(v.mean(0)[:, None, :]).div_(scale[:, None, :])

    def forward(self, eps: Tensor) -> Tensor:
        """Returns the outputs v_i of the m networks, shape (n, m, size), for the noise eps, shape (n, m, noise)."""
        (weight, bias), *others = zip(self.weights, self.biases, strict=True)
        h = torch.baddbmm(bias, eps.transpose(0, 1), weight)
        for weight, bias in others:
            h = torch.baddbmm(bias, elu(h), weight)
        return h.transpose(0, 1)


class BasisNoise(Parametric):
    """An implicit conditional with known mean and variance: z is a sum of random vectors v_i, weighted by functions of
    x.

    It has no density. With eps_i ~ N(0, I), noise functions v_i, and outputs z_0(x) and o_i(x) of the network,

        z = z_0(x) + sum_i a_i(x) v_i(eps_i)
        E[z | x] = z_0 + sum_i a_i E[v_i],   Var[z | x] = sum_i a_i^2 Var[v_i],   a_i = elu(o_i - c) + 1 > 0
        Cov[z | x] = sum_i diag(a_i) Cov[v_i] diag(a_i)

    The mean and covariance of each v_i do not depend on x and are estimated from samples of the noise. AVB's adaptive
    contrast needs an encoder whose mean and variance are known. `start` determines the constant c, the attribute `shift`.

    References:
        Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars
        Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722 (section 5.3 and supplement)

    Arguments:
        network: maps x to [z_0, o_1, o_2, ...], concatenated, shape (n, (1 + basis) size).
        size: the dimensions of z.
        noise: the dimensions of each eps_i.
        basis: the number of noise functions v_i.
        width: the width of the hidden layers of the v_i.
        draws: the number of noise samples, new for each distribution, from which the moments of the v_i are estimated. Their
            error makes AVB's loss under adaptive contrast too small by about `size` / `draws` nats with variances alone, and
            by `size` (`size` + 3) / (4 `draws`) with covariances; by less where many v_i are summed.
        start: the initial distribution of z. "prior": the v_i are scaled to variance 1 and c = log(basis) / 2, so that z
            starts with variance 1, as that of a Gaussian encoder does. "published": c = 5 and PyTorch's initial weights of
            the v_i; z then starts almost without noise and trains more slowly.

    Raises:
        ValueError: a number is under 1, or `draws` is under 2.

    Example:
        >>> from interalia.networks import mlp
        >>> q = BasisNoise(mlp.MLP(4, 3 * (1 + 16)), 3)(torch.zeros(5, 4))
        >>> q.rsample().shape, q.variance.shape
        (torch.Size([5, 3]), torch.Size([5, 3]))
    """

    has_density = False
    has_moments = True
    shift: Tensor  # c

    def __init__(
        self,
        network: nn.Module,
        size: int,
        noise: int = 32,
        basis: int = 16,
        width: int = 128,
        draws: int = 256,
        start: Literal["prior", "published"] = "prior",
    ) -> None:
        super().__init__(network)
        check_sizes(noise=noise, basis=basis, width=width)
        check_range(draws >= 2, "a variance takes 2 or more", draws=draws)
        self.size = size
        self.noise = noise
        self.count = basis
        self.moments_from = draws
        self.basis = Basis(basis, noise, width, size)
        self.register_buffer("shift", torch.tensor(math.log(basis) / 2 if start == "prior" else 5.0))
        if start == "prior":
            self.basis.standardize()

    @classmethod
    def params_per_dim_for(cls, **arguments: object) -> int:
        """Returns the number of outputs of the network for each dimension of z, 1 + `basis`.

        Arguments:
            arguments: the constructor's hyperparameters, by name, of which only `basis` is used.
        """
        return 1 + cls.int_argument("basis", arguments)

    def distribution(self, parameters: Tensor) -> Distribution:
        """Returns the distribution over z, a `BasisNoiseDistribution`, for the network's output, shape (n, (1 + basis)
        size).

        The output is the shift z_0 of z, followed by o_i for each noise function v_i, whose weights are
        elu(o_i - c) + 1 with a constant c.
        """
        z_0, a = parameters.split([self.size, self.count * self.size], dim=1)
        return BasisNoiseDistribution(z_0, elu(a.unflatten(1, (self.count, self.size)) - self.shift) + 1, self)

    def draws(self, count: int, like: Tensor, shared: bool = False) -> Tensor:
        """Returns `count` samples of all noise functions v_i(eps_i), shape (count, basis, size), for eps_i ~ N(0, I).

        Arguments:
            count: the number of samples.
            like: a tensor on the device and with the dtype that the noise is to have.
            shared: True for samples that do not belong to rows of the batch.
        """
        shape = (count, self.count, self.noise)
        return to_float32(self.basis(draw_noise("conditional", "normal", shape, like, shared=shared)))


class BasisNoiseDistribution(Samples):
    """The distribution of z = z_0 + sum_i a_i v_i(eps_i) with eps_i ~ N(0, I) and noise functions v_i.

    Arguments:
        z_0: the shift, shape (n, size).
        a: the weights of the v_i, shape (n, basis, size).
        conditional: the `BasisNoise` that computes the v_i.
    """

    def __init__(self, z_0: Tensor, a: Tensor, conditional: BasisNoise) -> None:
        self.z_0 = z_0
        self.a = a
        self.conditional = conditional
        super().__init__(z_0.shape)

    @functools.cached_property
    def basis_draws(self) -> Tensor:
        """Samples of the noise functions v_i, from which mean, variance and covariance are estimated, shape (number of
        samples, basis, size). They are drawn at the first access, and are the same for all three.
        """
        with torch.no_grad():
            return self.conditional.draws(self.conditional.moments_from, self.z_0, shared=True)

    @property
    def mean(self) -> Tensor:
        """The mean z_0 + sum_i a_i E[v_i] of z for each condition, shape (n, size); E[v_i] is estimated from
        samples.
        """
        return self.z_0 + (self.a * self.basis_draws.mean(0)).sum(1)

    @property
    def variance(self) -> Tensor:
        """The variance sum_i a_i^2 Var[v_i] of each dimension of z, shape (n, size); Var[v_i] is estimated from
        samples.
        """
        return (self.a.square() * self.basis_draws.var(0)).sum(1)

    @property
    def covariance(self) -> Tensor:
        """The covariance matrix of z for each condition, shape (n, size, size); that of each v_i is estimated from
        samples.
        """
        a, v = to_float32(self.a), self.basis_draws
        with autocast_off(a):  # its products are too coarse for a positive definite matrix
            centered = (v - v.mean(0)).transpose(0, 1)
            basis_covariance = centered.transpose(1, 2) @ centered / (len(v) - 1)
            return torch.einsum("nik,ikl,nil->nkl", a, basis_covariance, a)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draws differentiable samples of z, shape (*sample_shape, n, size)."""
        count = math.prod(sample_shape) * len(self.z_0)
        v = self.conditional.draws(count, self.z_0).unflatten(0, (*sample_shape, len(self.z_0)))
        return self.z_0 + (self.a * v).sum(-2)
