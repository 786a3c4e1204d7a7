"""Networks whose `forward(c)` returns a distribution: Gaussian, deterministic, implicit, and two in a row.

The caller chooses what to do with it: ``encoder(x).rsample()``, ``encoder(x).mean``, ``encoder(x).log_prob(z)``.
"""

from __future__ import annotations

import abc
import inspect
import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from interalia.contexts import to_float32
from interalia.errors import UserError, check_range
from interalia.networks.needs import Map
from interalia.spaces import Space

SampleShape = torch.Size | list[int] | tuple[int, ...]


class Samples(Distribution):
    """A distribution that has samples, one for each condition, and no density.

    Arguments:
        shape: (n, ...), that of one sample for each of n conditions.
    """

    arg_constraints = {}
    has_rsample = True

    def __init__(self, shape: torch.Size) -> None:
        super().__init__(shape[:1], shape[1:], validate_args=False)

    def draw(self) -> Tensor:
        """One sample for each condition, differentiably."""
        raise NotImplementedError

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        if sample_shape:
            raise UserError("this conditional draws one sample for each condition; repeat the condition instead.")
        return self.draw()

    def log_prob(self, value: Tensor) -> Tensor:
        raise UserError(
            "this conditional has samples and no density, so log_prob cannot be asked of it; "
            "use a Gaussian conditional where a density is needed."
        )


class Point(Samples):
    """All mass on one point: the distribution of a deterministic network. It has samples, and no density.

    Arguments:
        point: the value, shape (n, ...).
    """

    def __init__(self, point: Tensor) -> None:
        self.point = point
        super().__init__(point.shape)

    @property
    def mean(self) -> Tensor:
        return self.point

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.point.expand(*sample_shape, *self.point.shape)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.rsample(sample_shape).detach()  # a view that is made without gradients would still carry them


def rsample_with_log_prob(q: Distribution) -> tuple[Tensor, Tensor]:
    """z ~ q, differentiably, and log q(z), shape (n,).

    Where q(z) is an integral over auxiliary variables a, the second is log q(z, a) - log r(a | z) for some r: its mean is at
    least E[log q(z)], so that a bound of log p(x) that it stands in is a bound still.

    Raises:
        UserError: q has samples and no density.

    Example:
        >>> z, log_q = rsample_with_log_prob(Independent(Normal(torch.zeros(5, 3), 1.0), 1))
        >>> z.shape, log_q.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """
    if hasattr(q, "rsample_and_log_prob"):
        return q.rsample_and_log_prob()
    z = q.rsample()
    return z, q.log_prob(z)


MAX_SIGMA = 5.0  # the limit of a posterior's standard deviation; the priors' are about 1
NARROW_LOG_SIGMA = -2.0  # log sigma of a narrow start
KNEE = 2.5  # from the limit over so much on, log sigma is bent


def limit_log_sigma(log_sigma: Tensor, widest: float = MAX_SIGMA) -> Tensor:
    """The log of a standard deviation, from a network's answer a: a itself up to sigma = `widest` / 2.5, and above that
    bent, so that sigma stays below `widest`.

        log sigma = a                        where a <= k,   k = log(widest / 2.5)
        log sigma = k + r t / (r + t)        above,          t = a - k,   r = log 2.5

    Behind batch norm one unusual x in a batch can have features so large that a reaches 7 in the first steps. Then exp(a) is
    1,000, and a critic that scores such a z decides the whole step. The slope is 1 at the bend and falls as 1 / a^2, so
    there is always a gradient that leads back; a clamp has none, and a tanh soon loses it.

    Arguments:
        log_sigma: a, of any shape.
        widest: the limit of sigma; math.inf for none.

    Example:
        >>> limit_log_sigma(torch.tensor([-9.0, 0.5, 7.0])).exp()
        tensor([1.2341e-04, 1.6487e+00, 4.4513e+00])
    """
    if widest == math.inf:
        return log_sigma
    start, room = math.log(widest / KNEE), math.log(KNEE)
    above = (log_sigma - start).relu()
    return log_sigma.clamp(max=start) + room * (above / (above + room))


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

    def forward_repeated(self, count: int, *c: Tensor) -> Distribution:
        """The distribution of `count` draws in a row for each c: that of c, each repeated so often."""
        return self(*(part.repeat_interleave(count, dim=0) for part in c))

    def set_log_joint(self, log_joint: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Is told log p(c, y) by the game that it plays in, where that has one: a function of c, shape (n, ...), and y, shape
        (n, d), to shape (n,). It is to be a method of the game, so that the encoder of the game's copy asks the copy."""

    def set_decoder(self, decoder: Conditional) -> None:
        """Is told which decoder it is the encoder to, by a game that has one for each."""

    def check_ready(self) -> None:
        """Raises a UserError unless it has what it stands on, once it is part of a game."""

    def hidden(self, *c: Tensor) -> Tensor:
        """The last hidden layer of the network, the representation that probes read; what the network returns where it has
        no method `hidden`."""
        return getattr(self.network, "hidden", self.network)(*c)

    params_per_dim: int = 1  # how many numbers the network answers for each dimension of y
    has_density: ClassVar[bool] = (
        True  # whether its distributions have a `log_prob`, or what `rsample_with_log_prob` takes in its place
    )
    has_moments: ClassVar[bool] = False  # whether its distributions have a true `mean` and a `variance`

    @classmethod
    def params_per_dim_for(cls, **settings: object) -> int:
        """`params_per_dim` with these settings, where it depends on them."""
        return cls.params_per_dim

    @classmethod
    def required_map(cls, given: tuple[Space, ...], target: Space, **settings: object) -> Map:
        """The map that a conditional of `target` given some variables is made from: `params_per_dim_for` numbers for each of the
        target's.

        Raises:
            UserError: the target has a category, and what the network returns are parameters, which are no probabilities.
        """
        if target.category:
            raise UserError(
                f"the conditional {cls.__name__} returns no probabilities of a category, in which {target.name} ends; choose "
                f"an `encoder` that returns {target.name} itself, such as deterministic."
            )
        return Map(given, target.numbers(cls.params_per_dim_for(**settings) * target.size))

    @classmethod
    def setting(cls, name: str, settings: Mapping[str, object]) -> int:
        """The setting of that name: of those given, or its default."""
        return int(settings.get(name, inspect.signature(cls).parameters[name].default))  # type: ignore[call-overload]

    @classmethod
    def init_narrow(cls, network: nn.Module, size: int) -> None:
        """Starts the network of a conditional of `size` numbers with a small width, where it returns one."""


class Parametric(Conditional):
    """A conditional whose network answers a distribution's parameters, and nothing else of c is needed."""

    @abc.abstractmethod
    def distribution(self, answers: Tensor) -> Distribution:
        """The distribution of these parameters, shape (n, params_per_dim * d)."""

    def forward(self, *c: Tensor) -> Distribution:
        return self.distribution(to_float32(self.network(*c)))

    def forward_repeated(self, count: int, *c: Tensor) -> Distribution:
        return self.distribution(
            to_float32(self.network(*c)).repeat_interleave(count, dim=0)
        )  # the network is asked once


class Gaussian(Parametric):
    """q(z | x) = N(z; mu(x), diag sigma(x)^2): z = mu + sigma * eps, eps ~ N(0, I).

    Arguments:
        network: maps c to [mu, log sigma], shape (n, 2 d).
        widest: the limit of sigma, in z's units; a sigma up to `widest` / 2.5 is exp of the network's answer exactly (see
            `limit_log_sigma`). math.inf for no limit: for a prior far wider than 1, or a density of data in units of their own.

    Raises:
        ValueError: `widest` is not above 0.

    References:
        Auto-Encoding Variational Bayes, Diederik P. Kingma, Max Welling, 2014, https://arxiv.org/abs/1312.6114

    Example:
        >>> from interalia.networks import mlp
        >>> encoder = Gaussian(mlp.MLP(4, 2 * 3))
        >>> encoder(torch.zeros(5, 4)).rsample().shape
        torch.Size([5, 3])
    """

    params_per_dim = 2
    has_moments = True

    def __init__(self, network: nn.Module, widest: float = MAX_SIGMA) -> None:
        super().__init__(network)
        check_range(widest > 0, "a standard deviation is above 0", widest=widest)
        self.widest = widest

    @classmethod
    def init_narrow(cls, network: nn.Module, size: int) -> None:
        """Starts a level between x and z with sigma = exp(-2): its scale is free, and with a width as large as its means'
        spread it would carry nothing to begin with."""
        biases = [p for name, p in network.named_parameters() if name.endswith("bias") and p.numel() == 2 * size]
        with torch.no_grad():
            biases[-1][size:] = NARROW_LOG_SIGMA

    def distribution(self, answers: Tensor) -> Distribution:
        mu, log_sigma = answers.chunk(2, dim=1)
        sigma = limit_log_sigma(log_sigma, self.widest).exp()
        return Independent(Normal(mu, sigma, validate_args=False), 1, validate_args=False)


class Deterministic(Conditional):
    """y = f(c), a deterministic conditional.

    Arguments:
        network: maps c to y.

    Example:
        >>> decoder = Deterministic(nn.Identity())
        >>> decoder(torch.ones(1, 2)).rsample()
        tensor([[1., 1.]])
    """

    has_density = False

    @classmethod
    def required_map(cls, given: tuple[Space, ...], target: Space, **settings: object) -> Map:
        return Map(given, target)

    def forward(self, *c: Tensor) -> Distribution:
        return Point(to_float32(self.network(*c)))


class Implicit(Conditional):
    """z = f(x, eps), eps ~ N(0, I): samples of any shape and no density. Its `mean` is f(x, 0), a representative point.

    Arguments:
        network: maps [c, eps], concatenated, to z.
        noise: the number of noise dimensions.

    References:
        Adversarial Variational Bayes, Lars Mescheder, Sebastian Nowozin, Andreas Geiger, 2017,
        https://arxiv.org/abs/1701.04722
    """

    has_density = False

    def __init__(self, network: nn.Module, noise: int = 2) -> None:
        super().__init__(network)
        self.noise = noise

    @classmethod
    def required_map(cls, given: tuple[Space, ...], target: Space, **settings: object) -> Map:
        return Map(given, target, cls.setting("noise", settings))

    def forward(self, *c: Tensor) -> Distribution:
        x = torch.cat([part.flatten(1) for part in c], dim=1)  # an image, and a label, join the noise as vectors
        return Pushforward(
            lambda eps: to_float32(self.network(torch.cat([x, eps], dim=1))), x.new_empty(len(x), self.noise)
        )

    def hidden(self, *c: Tensor) -> Tensor:
        zeros = c[0].new_zeros(len(c[0]), self.noise)
        return super().hidden(torch.cat([*(part.flatten(1) for part in c), zeros], dim=1))


class Pushforward(Samples):
    """The distribution of f(eps), eps ~ N(0, I): samples, no density.

    Arguments:
        push: f, from noise to values.
        like: a tensor of the noise's shape, type and device.
    """

    def __init__(self, push: Callable[[Tensor], Tensor], like: Tensor) -> None:
        self.push = push
        self.like = like
        super().__init__(like.shape[:1])

    @property
    def mean(self) -> Tensor:
        return self.push(torch.zeros_like(self.like))

    def draw(self) -> Tensor:
        return self.push(torch.randn_like(self.like))


class Chain(Conditional):
    """Two conditionals one after the other, p(c | a) = E_{b ~ p(b | a)} p(c | b): samples by way of b, and no density.

    Its `mean` is that of the second at the mean of the first, a representative point.

    Arguments:
        first: p(b | a).
        second: p(c | b).

    Example:
        >>> from interalia.networks import mlp
        >>> chain = Chain(Gaussian(mlp.MLP(4, 2 * 3)), Deterministic(mlp.MLP(3, 2)))
        >>> chain(torch.zeros(5, 4)).mean.shape
        torch.Size([5, 2])
    """

    has_density = False

    def __init__(self, first: Conditional, second: Conditional) -> None:
        super().__init__(nn.Identity())
        self.first = first
        self.second = second

    def forward(self, *c: Tensor) -> Distribution:
        return ChainDistribution(self.first(*c), self.second)

    def hidden(self, *c: Tensor) -> Tensor:
        """The last hidden layer of the first."""
        return self.first.hidden(*c)


class ChainDistribution(Samples):
    """The distribution of c, b ~ `first`, c ~ `second(b)`: samples, no density."""

    def __init__(self, first: Distribution, second: Conditional) -> None:
        self.first = first
        self.second = second
        super().__init__(first.batch_shape)

    @property
    def mean(self) -> Tensor:
        return self.second(self.first.mean).mean

    def draw(self) -> Tensor:
        return self.second(self.first.rsample()).rsample()
