"""Networks whose `forward(c)` returns a distribution: Gaussian, deterministic, implicit, and two of them in a chain.

The caller chooses how to use it: ``encoder(x).rsample()``, ``encoder(x).mean``, ``encoder(x).log_prob(z)``.
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
from interalia.errors import SettingError, UserError, check_range
from interalia.networks.specs import Map
from interalia.spaces import Space

SampleShape = torch.Size | list[int] | tuple[int, ...]


class Samples(Distribution):
    """The base class of distributions that have one sample for each of n conditions, and no density.

    Arguments:
        shape: (n, ...), the shape of the n samples.
    """

    arg_constraints = {}
    has_rsample = True

    def __init__(self, shape: torch.Size) -> None:
        super().__init__(shape[:1], shape[1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Raises a UserError, because there is no density."""
        raise UserError(
            "this conditional has samples and no density, so it has no log_prob; "
            "use a Gaussian conditional where a density is needed."
        )


class ImplicitDistribution(Samples):
    """A distribution without a density, whose samples come from a function.

    Arguments:
        shape: (n, ...), the shape of a sample for each of n conditions; (n,) where the shape of one sample is unknown.
        mean: a function that returns the mean or a representative point, shape (n, ...).
        draw: a function that returns one differentiable sample for each condition, shape (n, ...).
    """

    def __init__(self, shape: torch.Size, mean: Callable[[], Tensor], draw: Callable[[], Tensor]) -> None:
        self.find_mean = mean
        self.draw = draw
        super().__init__(shape)

    @property
    def mean(self) -> Tensor:
        """The mean or a representative point, shape (n, ...)."""
        return self.find_mean()

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draws one differentiable sample for each condition, shape (n, ...).

        Raises:
            UserError: `sample_shape` is not empty.
        """
        if sample_shape:
            raise UserError("this conditional draws one sample for each condition; repeat the condition instead.")
        return self.draw()


class Point(ImplicitDistribution):
    """The distribution with all mass on one point, i.e. the output of a deterministic network. It has no density.

    Arguments:
        point: the value, shape (n, ...).
    """

    def __init__(self, point: Tensor) -> None:
        super().__init__(point.shape, lambda: point, lambda: point)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Returns the point, repeated to the shape (*sample_shape, n, ...)."""
        return self.mean.expand(*sample_shape, *self.mean.shape)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Returns the point without gradients, repeated to the shape (*sample_shape, n, ...)."""
        return self.rsample(sample_shape).detach()  # a view made without gradients would still carry them


MAX_SIGMA = 5.0  # limit of a posterior's standard deviation; that of a prior is about 1
NARROW_LOG_SIGMA = -2.0  # initial log sigma of a narrow conditional
KNEE = 2.5  # log sigma is compressed above log(limit / KNEE)


def limit_log_sigma(log_sigma: Tensor, widest: float = MAX_SIGMA) -> Tensor:
    """Limits log sigma smoothly, so that the standard deviation sigma stays below `widest`; it is unchanged up to
    `widest` / 2.5.

        log sigma = a                        where a <= k,   k = log(widest / 2.5)
        log sigma = k + r t / (r + t)        above,          t = a - k,   r = log 2.5

    After batch norm, one unusual x in a batch can have features so large that a reaches 7 in the first steps. Then exp(a) is
    1,000, and the critic's score of such a z dominates the whole step. The slope is 1 where the compression begins and falls
    as 1 / a^2, so there is always a gradient back; that of a clamp is 0, and that of a tanh soon vanishes.

    Arguments:
        log_sigma: a, of any shape.
        widest: the limit of sigma; math.inf for no limit.

    Example:
        >>> limit_log_sigma(torch.tensor([-9.0, 0.5, 7.0])).exp()
        tensor([1.2341e-04, 1.6487e+00, 4.4513e+00])
    """
    if widest == math.inf:
        return log_sigma
    k, r = math.log(widest / KNEE), math.log(KNEE)
    t = (log_sigma - k).relu()
    return log_sigma.clamp(max=k) + r * (t / (t + r))


def check_sizes(**sizes: int) -> None:
    """Raises a ValueError with all arguments and their values unless each is 1 or more."""
    check_range(min(sizes.values()) >= 1, "they are 1 or more", **sizes)


class Conditional(nn.Module, abc.ABC):
    """A conditional distribution p(y | c): `forward(c)` returns a distribution over y.

    Arguments:
        network: maps c to the distribution's parameters; its method `hidden`, if any, returns its last hidden layer.

    Attributes:
        params_per_dim: the number of outputs of the network for each dimension of y, with default hyperparameters.
        has_density: True if its distributions have `log_prob` or `rsample_and_log_prob`.
        has_moments: True if its distributions have an exact `mean` and a `variance`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @abc.abstractmethod
    def forward(self, *c: Tensor) -> Distribution:
        """Returns the distribution over y given c, with one sample for each of n conditions."""

    def forward_repeated(self, count: int, *c: Tensor) -> Distribution:
        """Returns the distribution over y for each c repeated `count` times in a row, with n * count conditions in all."""
        return self(*(part.repeat_interleave(count, dim=0) for part in c))

    def set_log_joint(self, log_joint: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Stores the function log p(c, y), for conditionals that need it; without effect in all others.

        A game with a likelihood calls it once.

        Arguments:
            log_joint: maps c, shape (n, ...), and y, shape (n, d), to log p(c, y), shape (n,). It is a bound method of
                the game, so that in a copy of the game the encoder calls the copy.
        """

    def set_decoder(self, decoder: Conditional) -> None:
        """Stores the game's decoder, for encoders that read its state (DRAW); without effect in all others. The game
        calls it once.
        """

    def check_ready(self) -> None:
        """Raises a UserError if the game has not set what this conditional needs, such as log p(c, y) or a decoder."""

    def hidden(self, *c: Tensor) -> Tensor:
        """Returns the last hidden layer of the network given c, which linear probes read.

        It is the network's output if the network has no method `hidden`.
        """
        return getattr(self.network, "hidden", self.network)(*c)

    params_per_dim: int = 1  # how many numbers the network returns for each dimension of y
    has_density: ClassVar[bool] = True  # True if its distributions have `log_prob` or `rsample_and_log_prob`
    has_moments: ClassVar[bool] = False  # True if its distributions have an exact `mean` and a `variance`

    @classmethod
    def params_per_dim_for(cls, **arguments: object) -> int:
        """Returns the number of outputs of the network for each dimension of y.

        Arguments:
            arguments: the hyperparameters of the conditional; those that are absent have their defaults.
        """
        return cls.params_per_dim

    @classmethod
    def required_map(cls, inputs: tuple[Space, ...], target: Space, **arguments: object) -> Map:
        """Returns the specification of the network that a conditional p(target | inputs) needs.

        The network has `params_per_dim_for(**arguments)` outputs for each dimension of the target.

        Arguments:
            inputs: the spaces of the variables that it is conditioned on.
            target: the space of the variable that it is a distribution of.
            arguments: the hyperparameters of the conditional; those that are absent have their defaults.

        Raises:
            UserError: the target ends in a category, for which a network that returns parameters has no probabilities.
        """
        if target.category:
            raise UserError(
                f"the conditional {cls.__name__} returns no probabilities of a category, and {target.name} ends in one; "
                f"choose an `encoder` that returns {target.name} itself, such as deterministic."
            )
        return Map(inputs, target.numbers(cls.params_per_dim_for(**arguments) * target.size))

    @classmethod
    def int_argument(cls, name: str, arguments: Mapping[str, object]) -> int:
        """Returns the value of an integer hyperparameter.

        Arguments:
            name: its name in the constructor.
            arguments: the hyperparameters by name; if `name` is absent, the value is its default in the constructor.

        Raises:
            SettingError: it is under 0.
        """
        value = int(arguments.get(name, inspect.signature(cls).parameters[name].default))  # type: ignore[call-overload]
        if value < 0:
            raise SettingError(f"`{name}` is {value}, and it must be 0 or more.", [name])
        return value

    @classmethod
    def init_narrow(cls, network: nn.Module, size: int) -> None:
        """Initializes the network so that the conditional starts with a small standard deviation; without effect where
        it has none.

        Arguments:
            network: the network, which is changed in place.
            size: the dimensions of y.
        """


class Parametric(Conditional):
    """A conditional that depends on c only through its network's output, the parameters of the distribution."""

    @abc.abstractmethod
    def distribution(self, parameters: Tensor) -> Distribution:
        """Returns the distribution over y for the network's output, shape (n, params_per_dim * d) for y of d
        dimensions.
        """

    def forward(self, *c: Tensor) -> Distribution:
        """Returns the distribution over y whose parameters are the output of the network given c."""
        return self.distribution(to_float32(self.network(*c)))

    def forward_repeated(self, count: int, *c: Tensor) -> Distribution:
        """Returns the distribution over y for each c repeated `count` times in a row, from one forward pass of the
        network.
        """
        parameters = to_float32(self.network(*c))  # one forward pass for all repetitions
        return self.distribution(parameters.repeat_interleave(count, dim=0))


class Gaussian(Parametric):
    """A Gaussian with a diagonal covariance, q(z | x) = N(z; mu(x), diag sigma(x)^2).

    Samples are reparameterized: z = mu + sigma * eps, eps ~ N(0, I).

    Arguments:
        network: maps c to [mu, log sigma], shape (n, 2 d).
        widest: the limit of sigma, in units of z; up to `widest` / 2.5 sigma is exactly exp of the network's output (see
            `limit_log_sigma`). math.inf means no limit, for a prior far wider than 1 or for data in other units.

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
        """Sets a bias of the network so that sigma starts at exp(-2), for a latent variable between x and z.

        The scale of such a variable is arbitrary. With a sigma as large as the spread of its means it would carry no
        information at first.

        Arguments:
            network: the network, whose last bias of 2 `size` numbers is changed in place.
            size: the dimensions of the variable.
        """
        biases = [p for name, p in network.named_parameters() if name.endswith("bias") and p.numel() == 2 * size]
        with torch.no_grad():
            biases[-1][size:] = NARROW_LOG_SIGMA

    def distribution(self, parameters: Tensor) -> Distribution:
        """Returns N(mu, diag sigma^2), a distribution over z, for the network's output [mu, log sigma], shape (n, 2 d)."""
        mu, log_sigma = parameters.chunk(2, dim=1)
        sigma = limit_log_sigma(log_sigma, self.widest).exp()
        return Independent(Normal(mu, sigma, validate_args=False), 1, validate_args=False)


class Deterministic(Conditional):
    """A deterministic function y = f(c), without noise and without a density.

    Arguments:
        network: maps c to y.

    Example:
        >>> decoder = Deterministic(nn.Identity())
        >>> decoder(torch.ones(1, 2)).rsample()
        tensor([[1., 1.]])
    """

    has_density = False

    @classmethod
    def required_map(cls, inputs: tuple[Space, ...], target: Space, **arguments: object) -> Map:
        """Returns the specification of a network from the inputs to the target itself.

        Arguments:
            inputs: the spaces of the variables that it is conditioned on.
            target: the space of its output.
            arguments: ignored.
        """
        return Map(inputs, target)

    def forward(self, *c: Tensor) -> Distribution:
        """Returns the distribution with all mass on the output of the network given c."""
        return Point(to_float32(self.network(*c)))


class Implicit(Conditional):
    """An implicit distribution z = f(x, eps), eps ~ N(0, I): its samples have an arbitrary distribution, without a
    density.

    Its `mean` is f(x, 0), a representative point.

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
    def required_map(cls, inputs: tuple[Space, ...], target: Space, **arguments: object) -> Map:
        """Returns the specification of a network from the inputs and noise, concatenated, to the target.

        Arguments:
            inputs: the spaces of the variables that it is conditioned on.
            target: the space of its output.
            arguments: the hyperparameters, of which only `noise` is used.
        """
        return Map(inputs, target, cls.int_argument("noise", arguments))

    def forward(self, *c: Tensor) -> Distribution:
        """Returns the distribution of f(x, eps) for eps ~ N(0, I), where x is all conditions, flattened and
        concatenated.
        """
        # images and labels are flattened and concatenated with the noise
        x = torch.cat([part.flatten(1) for part in c], dim=1)
        zeros = x.new_zeros(len(x), self.noise)
        return ImplicitDistribution(
            x.shape[:1], lambda: self.push(x, zeros), lambda: self.push(x, torch.randn_like(zeros))
        )

    def push(self, x: Tensor, eps: Tensor) -> Tensor:
        """Returns f(x, eps), shape (n, ...), for x of shape (n, d) and noise eps of shape (n, noise)."""
        return to_float32(self.network(torch.cat([x, eps], dim=1)))

    def hidden(self, *c: Tensor) -> Tensor:
        """Returns the last hidden layer of the network given c, with noise 0."""
        zeros = c[0].new_zeros(len(c[0]), self.noise)
        return super().hidden(torch.cat([*(part.flatten(1) for part in c), zeros], dim=1))


class Chain(Conditional):
    """Two conditionals in a chain, p(c | a) = E_{b ~ p(b | a)} p(c | b): b is sampled given a, and c given b.

    It has no density. Its `mean` is the mean of the second at the mean of the first, a representative point.

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
        """Returns the distribution given the condition c; a sample of the first conditional is the condition of the
        second.
        """
        b, second = self.first(*c), self.second
        return ImplicitDistribution(b.batch_shape, lambda: second(b.mean).mean, lambda: second(b.rsample()).rsample())

    def hidden(self, *c: Tensor) -> Tensor:
        """Returns the last hidden layer of the first conditional's network, given the condition c."""
        return self.first.hidden(*c)
