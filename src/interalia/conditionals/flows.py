"""Posteriors that are normalizing flows: coupling and autoregressive flows of the library zuko, and planar flows."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import softplus

from interalia.conditionals.base import Parametric, Samples, SampleShape, check_sizes, diagonal_normal, limit_log_sigma
from interalia.conditionals.building_blocks import SampleAndLogProb, gaussian_log_prob, init_near_zero
from interalia.contexts import autocast_off, normal_like
from interalia.errors import check_range

if TYPE_CHECKING:
    from zuko.lazy import LazyTransform

Kind = Literal["nsf", "realnvp", "nice", "maf"]
PLANAR_SCALE = 0.1  # factor of a planar map's u, so that a chain of many maps starts near the identity


class Zuko(Parametric):
    """A posterior with a flow g of the library zuko: z = mu(x) + sigma(x) g(eps; h(x)) with eps ~ N(0, I).

    The flow starts near the identity, and q(z | x) therefore near a Gaussian. The `mean` of its distributions is
    mu + sigma g(0; h), not the true mean, which is unknown.

    Arguments:
        network: maps x to [mu, log sigma, h], each of `size` numbers, shape (n, 3 size).
        size: the dimensions of z.
        transforms: the transforms that g is composed of, in the order from z to eps, each conditioned on h.
    """

    params_per_dim = 3

    def __init__(self, network: nn.Module, size: int, transforms: list[LazyTransform]) -> None:
        from zuko.lazy import Flow as LazyFlow
        from zuko.lazy import UnconditionalDistribution

        super().__init__(network)
        self.size = size
        for transform in transforms:
            init_near_zero(list(transform.modules())[-1])
        noise = UnconditionalDistribution(diagonal_normal, loc=torch.zeros(size), scale=torch.ones(size), buffer=True)
        self.flow = LazyFlow(transforms, noise)

    def distribution(self, parameters: Tensor) -> Distribution:
        """Returns the distribution over z, a `FlowDistribution`, for the network's output [mu, log sigma, h], shape (n,
        3 size).
        """
        mu, log_sigma, h = parameters.chunk(3, dim=1)
        return FlowDistribution(mu, limit_log_sigma(log_sigma), h, self.flow)


class FlowDistribution(Samples):
    """The distribution of z = mu + sigma g(eps; h) with eps ~ N(0, I) and a flow g.

    Arguments:
        mu, log_sigma: the location and log scale of z, shape (n, d).
        h: the features of x that the flow is conditioned on, shape (n, d).
        flow: a module that maps h to the distribution of g(eps; h), a `NormalizingFlow` of zuko.
    """

    def __init__(self, mu: Tensor, log_sigma: Tensor, h: Tensor, flow: nn.Module) -> None:
        self.mu = mu
        self.log_sigma = log_sigma
        self.h = h
        self.flow = flow
        super().__init__(mu.shape)

    @property
    def mean(self) -> Tensor:
        """The image mu + sigma g(0; h) of noise eps = 0, shape (n, d), in place of the true mean, which is unknown."""
        with autocast_off(self.mu):
            return self.mu + self.log_sigma.exp() * self.flow(self.h).transform.inv(torch.zeros_like(self.mu))

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        """Draws differentiable samples, shape (*sample_shape, n, d), and returns them with their log density, shape
        (*sample_shape, n).

        The flow is evaluated once, from noise to samples; its inverse is not needed.
        """
        with autocast_off(self.mu):
            u, log_q = self.flow(self.h).rsample_and_log_prob(torch.Size(sample_shape))
            return self.mu + self.log_sigma.exp() * u, log_q - self.log_sigma.sum(1)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draws differentiable samples z, shape (*sample_shape, n, d)."""
        with autocast_off(self.mu):
            return self.mu + self.log_sigma.exp() * self.flow(self.h).rsample(torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the log density log q(z) in nats, shape (n,), for any z = `value`, shape (n, d)."""
        with autocast_off(self.mu):
            return self.flow(self.h).log_prob((value - self.mu) / self.log_sigma.exp()) - self.log_sigma.sum(1)


class Flow(Zuko):
    """A posterior that is a normalizing flow: Gaussian noise passes through invertible maps that are conditioned on x.

        z = mu(x) + sigma(x) g(eps; h(x)),   eps ~ N(0, I)
        log q(z | x) = log N(eps; 0, I) - log |det dg / d eps| - sum_i log sigma_i(x)

    The coupling flows map every second dimension, conditioned on the others: by rational-quadratic splines (nsf),
    affinely (realnvp) or by a shift (nice). Sampling and density take one pass per transform. maf is affine and
    autoregressive: its density takes one pass, and sampling takes as many as z has dimensions.

    See Also:
        InverseAutoregressive, which samples in one pass.

    References:
        Neural Spline Flows, Conor Durkan and others, 2019, https://arxiv.org/abs/1906.04032
        Density estimation using Real NVP, Laurent Dinh, Jascha Sohl-Dickstein, Samy Bengio, 2017,
        https://arxiv.org/abs/1605.08803
        NICE: Non-linear Independent Components Estimation, Laurent Dinh, David Krueger, Yoshua Bengio, 2014,
        https://arxiv.org/abs/1410.8516
        Masked Autoregressive Flow for Density Estimation, George Papamakarios and others, 2017,
        https://arxiv.org/abs/1705.07057

    Arguments:
        network: maps x to [mu, log sigma, h], shape (n, 3 size).
        size: the dimensions of z.
        kind: the type of flow: "nsf", "realnvp", "nice" or "maf".
        transforms: the number of invertible maps.
        width, depth: the width and number of hidden layers in the network of each transform.

    Raises:
        ValueError: a number is under 1.

    Example:
        >>> from interalia.conditionals import rsample_with_log_prob
        >>> from interalia.networks import mlp
        >>> z, log_q = rsample_with_log_prob(Flow(mlp.MLP(4, 3 * 2), 2)(torch.zeros(5, 4)))
        >>> z.shape, log_q.shape
        (torch.Size([5, 2]), torch.Size([5]))
    """

    def __init__(
        self, network: nn.Module, size: int, kind: Kind = "nsf", transforms: int = 3, width: int = 64, depth: int = 2
    ) -> None:
        from zuko import flows
        from zuko.transforms import AdditiveTransform

        check_sizes(transforms=transforms, width=width, depth=depth)
        common: dict[str, Any] = {"context": size, "transforms": transforms, "hidden_features": [width] * depth}
        if kind == "nsf":
            flow: Any = flows.NSF(size, passes=2, **common)
        elif kind == "maf":
            flow = flows.MAF(size, **common)
        else:
            additive = {"univariate": AdditiveTransform, "shapes": [()]} if kind == "nice" else {}
            flow = flows.NICE(size, **common, **additive)
        super().__init__(network, size, list(flow.transform.transforms))


class InverseAutoregressive(Zuko):
    """A posterior that is an inverse autoregressive flow: a sample and its density take one pass through each
    transform.

    In each transform a masked network computes the shift and scale of every dimension from those before it. The order
    is reversed from one transform to the next:

        z = mu(x) + sigma(x) u_T,   u_0 = eps ~ N(0, I)
        u_t,i = s_t,i u_{t-1},i + m_t,i,   (m_t,i, s_t,i) a function of u_{t-1},1, ..., u_{t-1},i-1 and h(x)
        log q(z | x) = log N(eps; 0, I) - sum_t sum_i log s_t,i - sum_i log sigma_i(x)

    The density of a z that it did not sample takes as many passes as z has dimensions.

    References:
        Improving Variational Inference with Inverse Autoregressive Flow, Diederik P. Kingma and others, 2016,
        https://arxiv.org/abs/1606.04934

    Arguments:
        network: maps x to [mu, log sigma, h], shape (n, 3 size).
        size: the dimensions of z.
        transforms: T, the number of transforms.
        width, depth: the width and number of hidden layers in the network of each transform.

    Raises:
        ValueError: a number is under 1.

    Example:
        >>> from interalia.networks import mlp
        >>> q = InverseAutoregressive(mlp.MLP(4, 3 * 2), 2)(torch.zeros(5, 4))
        >>> z, log_q = q.rsample_and_log_prob()
        >>> torch.allclose(q.log_prob(z), log_q, atol=1e-4)
        True
    """

    def __init__(self, network: nn.Module, size: int, transforms: int = 4, width: int = 64, depth: int = 2) -> None:
        from zuko import flows

        check_sizes(transforms=transforms, width=width, depth=depth)
        flow = flows.MAF(size, size, transforms, hidden_features=[width] * depth)
        # a masked autoregressive flow maps z to noise in one pass; its inverse maps noise to z in one pass
        super().__init__(network, size, [transform.inv for transform in flow.transform.transforms])


class Planar(Parametric):
    """A posterior that is a planar flow: a Gaussian sample passes through T planar maps that are conditioned on x.

        z_0 = mu(x) + sigma(x) eps,   eps ~ N(0, I),   and for t = 1, ..., T
        z_t = z_{t-1} + u^ tanh(w . z_{t-1} + b),   u^ = u + (m(w . u) - w . u) w / |w|^2
        log q(z_T | x) = log q(z_0 | x) - sum_t log |1 + (1 - tanh^2(w . z_{t-1} + b)) w . u^|

    The network returns u_t and w_t for each t, and h, from which a linear layer computes all b_t; the index t is left
    out. u^ replaces u because the map is invertible if w . u^ = m(w . u) > -1. m(a) = softplus(a + log(e - 1)) - 1 is
    the published m, shifted so that m(0) = 0 and u = 0 gives the identity. The inverse has no closed form, so log q(z |
    x) is available for its own samples only. The `mean` of its distributions is the image of mu under the flow, not the
    true mean, which is unknown.

    References:
        Variational Inference with Normalizing Flows, Danilo Jimenez Rezende, Shakir Mohamed, 2015,
        https://arxiv.org/abs/1505.05770

    Arguments:
        network: maps x to [mu, log sigma, u_1, ..., u_T, w_1, ..., w_T, h], each of `size` numbers, shape
            (n, (3 + 2 flows) size).
        size: the dimensions of z.
        flows: T, the number of planar maps.

    Raises:
        ValueError: `flows` is under 1.

    Example:
        >>> from interalia.networks import mlp
        >>> q = Planar(mlp.MLP(4, Planar.params_per_dim_for(flows=8) * 2), 2, flows=8)(torch.zeros(5, 4))
        >>> q.rsample_and_log_prob()[1].shape
        torch.Size([5])
    """

    params_per_dim = 23

    def __init__(self, network: nn.Module, size: int, flows: int = 10) -> None:
        super().__init__(network)
        check_range(flows >= 1, "it is 1 or more", flows=flows)
        self.size = size
        self.flows = flows
        self.b = nn.Linear(size, flows)

    @classmethod
    def params_per_dim_for(cls, **arguments: object) -> int:
        """Returns the number of outputs of the network for each dimension of z, 3 + 2 `flows`.

        Arguments:
            arguments: the constructor's hyperparameters, by name, of which only `flows` is used.
        """
        return 3 + 2 * cls.int_argument("flows", arguments)

    def distribution(self, parameters: Tensor) -> Distribution:
        """Returns the distribution over z for the network's output, shape (n, (3 + 2 flows) size).

        The output is concatenated from the mean and log sigma of the Gaussian, the directions u and the normals w of the T
        planar maps, and features of x, from which the offsets b of the maps are computed.
        """
        d, count = self.size, self.flows * self.size
        mu, log_sigma, u, w, h = parameters.split([d, d, count, count, d], dim=1)
        with autocast_off(parameters):
            b = self.b(h)
        shape = (self.flows, d)
        maps = (mu, limit_log_sigma(log_sigma), PLANAR_SCALE * u.unflatten(1, shape), w.unflatten(1, shape), b)
        return SampleAndLogProb(mu, partial(self.mean, *maps), partial(self.draw, *maps))

    def mean(self, mu: Tensor, log_sigma: Tensor, *maps: Tensor) -> Tensor:
        """Returns the image of mu under T planar maps, shape (n, size).

        Arguments:
            mu: the mean of the Gaussian, shape (n, size).
            log_sigma: the log standard deviation of the Gaussian, which is ignored.
            maps: three tensors: the directions u and the normals w of the planar maps, each of shape (n, T, size), and
                their offsets b, shape (n, T); see `planar_flow`.
        """
        return planar_flow(mu, *maps)[0]

    def draw(self, mu: Tensor, log_sigma: Tensor, *maps: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z, the image of a Gaussian sample under T planar maps, shape (n, size), and returns it with log q(z |
        x), shape (n,).

        Arguments:
            mu: the mean of the Gaussian, shape (n, size).
            log_sigma: the log standard deviation of the Gaussian, shape (n, size).
            maps: three tensors: the directions u and the normals w of the planar maps, each of shape (n, T, size), and
                their offsets b, shape (n, T); see `planar_flow`.
        """
        eps = normal_like(mu)
        z, log_det = planar_flow(mu + log_sigma.exp() * eps, *maps)
        return z, gaussian_log_prob(eps, 0.0, 0.0) - log_sigma.sum(1) - log_det


def planar_map(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the image of z under a planar map, z + u^ tanh(w . z + b), shape (n, d), and log |det| of the map's
    Jacobian, shape (n,).

    Arguments:
        z: the points, shape (n, d).
        u: the direction, shape (n, d), which the map replaces by u^ = u + (m - w . u) w / |w|^2 with
            m = log(1 + (e - 1) exp(w . u)) - 1, so that w . u^ = m is above -1 and the map is invertible.
        w: the normal of the plane, shape (n, d).
        b: the offset, shape (n,).

    Example:
        >>> z, log_det = planar_map(torch.ones(1, 2), torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1))
        >>> bool(log_det.abs() < 1e-6)  # u = 0 is the identity
        True
    """
    wu = (w * u).sum(1)
    invertible = softplus(wu + math.log(math.e - 1)) - 1  # w . u^, above -1
    u_hat = u + ((invertible - wu) / w.square().sum(1).clamp_min(1e-12))[:, None] * w
    activation = torch.tanh((w * z).sum(1) + b)
    return z + u_hat * activation[:, None], torch.log1p((1 - activation.square()) * invertible)


def planar_flow(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the image of z under T planar maps, applied in order, shape (n, d), and the sum of their log |det
    Jacobian|, shape (n,).

    Each is a `planar_map`, z -> z + u^ tanh(w . z + b), where u^ is u plus the multiple of w that makes the map invertible.

    Arguments:
        z: the points, shape (n, d).
        u: the directions, shape (n, T, d).
        w: the normals of the planes, shape (n, T, d).
        b: the offsets, shape (n, T).
    """
    log_det = z.new_zeros(len(z))
    for parameters in zip(u.unbind(1), w.unbind(1), b.unbind(1), strict=True):
        z, log_det_t = planar_map(z, *parameters)
        log_det = log_det + log_det_t
    return z, log_det
