"""Networks whose `forward(c)` returns a distribution, and the priors.

The caller chooses what to do with it: ``encoder(x).rsample()``, ``encoder(x).mean``, ``encoder(x).log_prob(z)``.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from interalia.errors import UserError


def full(y: Tensor) -> Tensor:
    """y in full precision, where autocast computed it in a lower one: what follows takes exponentials and differences."""
    return y.float() if y.dtype in (torch.bfloat16, torch.float16) else y


class Point(Distribution):
    """All mass on one point: the distribution of a deterministic network. It has samples, and no density.

    Arguments:
        point: the value, shape (n, ...).
    """

    arg_constraints = {}
    has_rsample = True

    def __init__(self, point: Tensor) -> None:
        self.point = point
        super().__init__(point.shape[:1], point.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.point

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        return self.point.expand(*sample_shape, *self.point.shape)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        return self.rsample(sample_shape).detach()  # a view that is made without gradients would still carry them

    def log_prob(self, value: Tensor) -> Tensor:
        raise UserError(
            "this conditional has samples and no density, so log_prob cannot be asked of it; "
            "use a Gaussian conditional where a density is needed."
        )


class Conditional(nn.Module, abc.ABC):
    """p(y | c): `forward(c)` returns a distribution over y.

    Arguments:
        network: maps c to the distribution's parameters; what `hidden` answers is its last hidden layer.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @abc.abstractmethod
    def forward(self, *c: Tensor) -> Distribution:
        """The distribution given c."""

    def hidden(self, *c: Tensor) -> Tensor:
        """The last hidden layer of the network, the representation that probes read."""
        return self.network.hidden(*c)  # type: ignore[operator, no-any-return]

    heads: int = 1  # how many numbers the network answers for each dimension of y


class Gaussian(Conditional):
    """q(z | x) = N(z; mu(x), diag sigma(x)^2): z = mu + sigma * eps, eps ~ N(0, I).

    Arguments:
        network: maps c to [mu, log sigma], shape (n, 2 d).

    References:
        Auto-Encoding Variational Bayes, Diederik P. Kingma, Max Welling, 2014, https://arxiv.org/abs/1312.6114

    Example:
        >>> from interalia.networks import mlp
        >>> encoder = Gaussian(mlp.MLP(4, 2 * 3))
        >>> encoder(torch.zeros(5, 4)).rsample().shape
        torch.Size([5, 3])
    """

    heads = 2

    def forward(self, *c: Tensor) -> Distribution:
        mu, log_sigma = full(self.network(*c)).chunk(2, dim=1)
        return Independent(Normal(mu, log_sigma.exp(), validate_args=False), 1, validate_args=False)


class Dirac(Conditional):
    """y = f(c), a deterministic conditional.

    Arguments:
        network: maps c to y.

    Example:
        >>> decoder = Dirac(nn.Identity())
        >>> decoder(torch.ones(1, 2)).rsample()
        tensor([[1., 1.]])
    """

    def forward(self, *c: Tensor) -> Distribution:
        return Point(full(self.network(*c)))


class Implicit(Conditional):
    """z = f(x, eps), eps ~ N(0, I): samples of any shape and no density. Its `mean` is f(x, 0), a representative point.

    Arguments:
        network: maps [c, eps], concatenated, to z.
        noise: the number of noise dimensions.

    References:
        Adversarial Variational Bayes, Lars Mescheder, Sebastian Nowozin, Andreas Geiger, 2017,
        https://arxiv.org/abs/1701.04722
    """

    def __init__(self, network: nn.Module, noise: int = 2) -> None:
        super().__init__(network)
        self.noise = noise

    def forward(self, *c: Tensor) -> Distribution:
        x = c[0].flatten(1)  # an image joins the noise as a vector
        return Pushed(lambda eps: full(self.network(torch.cat([x, eps], dim=1))), x.new_empty(len(x), self.noise))

    def hidden(self, *c: Tensor) -> Tensor:
        x = c[0].flatten(1)  # an image joins the noise as a vector
        return super().hidden(torch.cat([x, x.new_zeros(len(x), self.noise)], dim=1))


class Pushed(Distribution):
    """The distribution of f(eps), eps ~ N(0, I): samples, no density.

    Arguments:
        push: f, from noise to values.
        like: a tensor of the noise's shape, type and device.
    """

    arg_constraints = {}
    has_rsample = True

    def __init__(self, push: Callable[[Tensor], Tensor], like: Tensor) -> None:
        self.push = push
        self.like = like
        super().__init__(like.shape[:1], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.push(torch.zeros_like(self.like))

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        if sample_shape:
            raise UserError(
                "an implicit conditional draws one sample for each condition; repeat the condition instead."
            )
        return self.push(torch.randn_like(self.like))

    log_prob = Point.log_prob


class Prior(nn.Module, abc.ABC):
    """p(z), with independent dimensions.

    Arguments:
        size: the number of dimensions.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("place", torch.zeros(()), persistent=False)  # knows the device and the type

    place: Tensor
    mean: float = 0.0
    variance: float = 1.0

    @abc.abstractmethod
    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """z ~ p(z), shape (*shape, size)."""


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(*shape, self.size, device=self.place.device, dtype=self.place.dtype)


class Uniform(Prior):
    """p(z) = U(-1, 1) in each dimension, with variance 1/3."""

    variance = 1.0 / 3.0

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(*shape, self.size, device=self.place.device, dtype=self.place.dtype) * 2 - 1


CONDITIONALS: dict[str, Callable[..., Conditional]] = {"gaussian": Gaussian, "dirac": Dirac, "implicit": Implicit}
PRIORS: dict[str, Callable[..., Prior]] = {"normal": StandardNormal, "uniform": Uniform}
