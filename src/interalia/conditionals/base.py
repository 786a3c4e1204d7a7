"""Modules whose `forward(c)` returns a distribution: Gaussian, deterministic, implicit, and two of these in a chain.

The caller chooses how to use the distribution: ``encoder(x).rsample()``, ``encoder(x).mean``,
``encoder(x).log_prob(z)``.
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

from interalia.contexts import draw_noise, normal_like, to_float32
from interalia.errors import SettingError, UserError, check_range
from interalia.networks.specs import Map
from interalia.registry import Width
from interalia.spaces import Space

SampleShape = torch.Size | list[int] | tuple[int, ...]


class Samples(Distribution):
    """The base class of distributions, one for each of n conditions, that can be sampled; subclasses may add a density.

    Arguments:
        shape: (n, ...), the shape of the n samples.
    """

    arg_constraints = {}
    has_rsample = True

    def __init__(self, shape: torch.Size) -> None:
        super().__init__(shape[:1], shape[1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Raises a UserError, because this distribution has no density; subclasses with a density override the
        method.
        """
        raise UserError(
            "this conditional has samples and no density, so it has no log_prob; "
            "use a Gaussian conditional where a density is needed."
        )


class ImplicitDistribution(Samples):
    """A distribution without a density, whose sample and mean are computed by two given functions.

    Arguments:
        shape: the shape of samples, (n, ...), for n conditions; (n,) if the shape of one sample is unknown.
        mean: a function that returns the mean, or a point in its place where the mean is unknown, shape (n, ...).
        draw: a function that returns one differentiable sample for each condition, shape (n, ...).
    """

    def __init__(self, shape: torch.Size, mean: Callable[[], Tensor], draw: Callable[[], Tensor]) -> None:
        self.find_mean = mean
        self.draw = draw
        super().__init__(shape)

    @property
    def mean(self) -> Tensor:
        """The mean, or a point in its place where the mean is unknown, shape (n, ...). The constructor's argument `mean`
        computes it.
        """
        return self.find_mean()

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draws one differentiable sample for each condition, shape (n, ...).

        Raises:
            UserError: `sample_shape` is not empty; repeat the conditions instead.
        """
        if sample_shape:
            raise UserError("this conditional draws one sample for each condition; repeat the condition instead.")
        return self.draw()


class Point(ImplicitDistribution):
    """The distribution with all its mass on one point, such as the output of a deterministic network; it has no
    density.

    Arguments:
        point: the point for each of n conditions, shape (n, ...).
    """

    def __init__(self, point: Tensor) -> None:
        super().__init__(point.shape, lambda: point, lambda: point)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Returns the point, repeated to the shape (*sample_shape, n, ...)."""
        return self.mean.expand(*sample_shape, *self.mean.shape)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Returns the point without gradients, repeated to the shape (*sample_shape, n, ...)."""
        return self.rsample(sample_shape).detach()  # a view made without gradients would still carry them


class KeyedNormal(Normal):
    """The normal distribution N(loc, scale^2), whose samples are drawn by `interalia.contexts.draw_noise`."""

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draws differentiable samples, shape (*sample_shape, n, ...)."""
        rows = (math.prod(sample_shape) * len(self.loc), *self.loc.shape[1:])
        eps = draw_noise("conditional", "normal", rows, self.loc).view(*sample_shape, *self.loc.shape)
        return self.loc + eps * self.scale

    sample = Distribution.sample


def diagonal_normal(loc: Tensor, scale: Tensor) -> Distribution:
    """Returns N(loc, diag scale^2), a distribution over vectors, for means and standard deviations of shape (..., d)."""
    return Independent(KeyedNormal(loc, scale, validate_args=False), 1, validate_args=False)


MAX_SIGMA = 5.0  # limit of a posterior's standard deviation; that of a prior is about 1
NARROW_LOG_SIGMA = -2.0  # initial log sigma of a narrow conditional
KNEE = 2.5  # log sigma is compressed above log(limit / KNEE)


def limit_log_sigma(log_sigma: Tensor, widest: float = MAX_SIGMA) -> Tensor:
    """Limits log sigma smoothly, so that the standard deviation sigma stays below `widest`; sigma up to `widest` / 2.5
    is unchanged.

        log sigma = a                        for a <= k,   k = log(widest / 2.5)
        log sigma = k + r t / (r + t)        for a > k,    t = a - k,   r = log 2.5

    After batch norm, one unusual x in a batch can have features so large that a reaches 7 in the first steps. Then
    exp(a) is 1,000, and the critic's score of such a z dominates the whole step. The slope is 1 where the compression
    begins and falls as 1 / a^2, so there is always a gradient; that of a clamp is 0, and that of a tanh soon vanishes.

    Arguments:
        log_sigma: the values a to limit, of any shape, which is also that of the result.
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
    """Raises a ValueError that names all arguments and their values, unless each value is 1 or more.

    Arguments:
        sizes: the values of the arguments to check, by their names.
    """
    check_range(min(sizes.values()) >= 1, "they are 1 or more", **sizes)


class Conditional(nn.Module, abc.ABC):
    """A module that is a conditional distribution p(y | c): `forward(c)` returns a torch `Distribution` over y.

    Arguments:
        network: maps c to the parameters of the distribution, or to y itself; its method `hidden`, if it has one, returns its
            last hidden layer.

    Attributes:
        params_per_dim: the number of outputs of the network for each dimension of y, with default hyperparameters.
        has_density: True if its distributions have `log_prob` or `rsample_and_log_prob`.
        has_moments: True if its distributions have a `mean` that is the true mean and a `variance`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @abc.abstractmethod
    def forward(self, *c: Tensor) -> Distribution:
        """Returns the distribution over y given c, with batch shape (n,): one distribution for each of n conditions.

        Arguments:
            c: the condition, or several, such as x and a label, each of shape (n, ...).
        """

    def forward_repeated(self, count: int, *c: Tensor) -> Distribution:
        """Returns the distribution over y for n * count conditions: each of the n in c is repeated `count` times in a
        row.

        Arguments:
            count: the number of repetitions.
            c: the condition, or several, such as x and a label, each of shape (n, ...).
        """
        return self(*(part.repeat_interleave(count, dim=0) for part in c))

    def set_log_joint(self, log_joint: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Stores the joint log density log p(c, y) as a function, for conditionals that need it; without effect in all
        others.

        A game with a likelihood calls this method once.

        Arguments:
            log_joint: maps c, shape (n, ...), and y, shape (n, d), to log p(c, y), shape (n,). A game passes one
                of its bound methods, so that in a deep copy of the game it is bound to the copy.
        """

    def set_decoder(self, decoder: Conditional) -> None:
        """Stores the game's decoder, for the encoder `Recurrent`, which reads the decoder's state; without effect in all
        other conditionals.

        The game calls this method once.

        Arguments:
            decoder: the conditional p(x | z) of the game; `Recurrent` needs one whose network is a `DrawDecoder`.
        """

    def check_ready(self) -> None:
        """Raises a UserError if the conditional needs a log joint density or a decoder that the game has not set."""

    def hidden(self, *c: Tensor) -> Tensor:
        """Returns the last hidden layer of the network given c, shape (n, ...), as features for linear probes.

        It is the network's output if the network has no method `hidden`.
        """
        return getattr(self.network, "hidden", self.network)(*c)

    params_per_dim: int = 1  # how many numbers the network returns for each dimension of y
    has_density: ClassVar[bool] = True  # True if its distributions have `log_prob` or `rsample_and_log_prob`
    has_moments: ClassVar[bool] = False  # True if its distributions have an exact `mean` and a `variance`

    @classmethod
    def params_per_dim_for(cls, **arguments: object) -> int:
        """Returns the number of outputs of the network for each dimension of y, for these hyperparameters.

        Arguments:
            arguments: the constructor's hyperparameters, by name; those that are absent have their defaults.
        """
        return cls.params_per_dim

    @classmethod
    def required_map(cls, inputs: tuple[Space, ...], target: Space, **arguments: object) -> Map:
        """Returns the specification of the network that a conditional p(target | inputs) needs.

        The network has `params_per_dim_for(**arguments)` outputs for each dimension of the target.

        Arguments:
            inputs: the spaces of the variables in the condition.
            target: the space of the variable that the distribution is over.
            arguments: the constructor's hyperparameters, by name; those that are absent have their defaults.

        Raises:
            UserError: the target ends in the probabilities of a category, which the conditional cannot return.
        """
        if target.category:
            raise UserError(
                f"the conditional {cls.__name__} returns no probabilities of a category, and {target.name} ends in one; "
                f"choose an `encoder` that returns {target.name} itself, such as deterministic."
            )
        return Map(inputs, target.numbers(cls.params_per_dim_for(**arguments) * target.size))

    @classmethod
    def int_argument(cls, name: str, arguments: Mapping[str, object]) -> int:
        """Returns the value of the integer hyperparameter `name` from `arguments`, or its default in the constructor if
        it is absent.

        Arguments:
            name: the name of the hyperparameter in the constructor.
            arguments: the values of hyperparameters, by name.

        Raises:
            SettingError: it is under 0.
        """
        value = int(arguments.get(name, inspect.signature(cls).parameters[name].default))  # type: ignore[call-overload]
        if value < 0:
            raise SettingError(f"`{name}` is {value}, and it must be 0 or more.", [name])
        return value

    @classmethod
    def init_narrow(cls, network: nn.Module, size: int) -> None:
        """Initializes a network in place so that a conditional with it starts with a small standard deviation.

        This method of the base class has no effect; conditionals with a standard deviation override it.

        Arguments:
            network: the network that the conditional is going to use.
            size: the dimensions of the variable that the conditional is a distribution of.
        """


class Parametric(Conditional):
    """A conditional that depends on c only through the parameters of its distribution, which are its network's
    output.
    """

    @abc.abstractmethod
    def distribution(self, parameters: Tensor) -> Distribution:
        """Returns the distribution over y with the given parameters, the network's output.

        Arguments:
            parameters: shape (n, params_per_dim * d) for y of d dimensions.
        """

    def forward(self, *c: Tensor) -> Distribution:
        """Returns the distribution over y given c, whose parameters are the network's output for c, with batch shape
        (n,).
        """
        return self.distribution(to_float32(self.network(*c)))

    def forward_repeated(self, count: int, *c: Tensor) -> Distribution:
        """Returns the distribution over y for n * count conditions: each of the n in c is repeated `count` times in a
        row.

        The network runs once, for n conditions, and its outputs are repeated.

        Arguments:
            count: the number of repetitions.
            c: the condition, or several, such as x and a label, each of shape (n, ...).
        """
        parameters = to_float32(self.network(*c))  # one forward pass for all repetitions
        return self.distribution(parameters.repeat_interleave(count, dim=0))


class Gaussian(Parametric):
    """A Gaussian with a diagonal covariance, q(z | x) = N(z; mu(x), diag sigma(x)^2).

    Samples are reparameterized: z = mu + sigma * eps, eps ~ N(0, I).

    Arguments:
        network: maps x to [mu, log sigma], shape (n, 2 d).
        widest: the limit of sigma, in units of z. Up to `widest` / 2.5, sigma is exactly exp of the network's output; above,
            it is compressed by `limit_log_sigma`. math.inf for no limit, for a prior far wider than 1 or data in other units.

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
        """Sets a bias of `network` so that sigma starts near exp(-2).

        It is meant for a latent variable between x and z. The scale of such a variable is arbitrary. If sigma were
        as large as the standard deviation of its means mu(x), it would carry no information at first.

        Arguments:
            network: the network, whose last bias of 2 `size` numbers, those of [mu, log sigma], is changed in place.
            size: the dimensions of the variable.
        """
        biases = [p for name, p in network.named_parameters() if name.endswith("bias") and p.numel() == 2 * size]
        with torch.no_grad():
            biases[-1][size:] = NARROW_LOG_SIGMA

    def distribution(self, parameters: Tensor) -> Distribution:
        """Returns N(mu, diag sigma^2), a distribution over z, for the network's output [mu, log sigma], shape (n, 2 d)."""
        mu, log_sigma = parameters.chunk(2, dim=1)
        sigma = limit_log_sigma(log_sigma, self.widest).exp()
        return diagonal_normal(mu, sigma)


class Deterministic(Conditional):
    """A conditional that is a deterministic function y = f(c), without noise and without a density.

    Arguments:
        network: the function f.

    Example:
        >>> decoder = Deterministic(nn.Identity())
        >>> decoder(torch.ones(1, 2)).rsample()
        tensor([[1., 1.]])
    """

    has_density = False

    @classmethod
    def required_map(cls, inputs: tuple[Space, ...], target: Space, **arguments: object) -> Map:
        """Returns the specification of a network from the inputs to the target, which is its output.

        Arguments:
            inputs: the spaces of the variables in the condition.
            target: the space of the network's output.
            arguments: ignored.
        """
        return Map(inputs, target)

    def forward(self, *c: Tensor) -> Distribution:
        """Returns the `Point` distribution with all its mass on the network's output f(c), shape (n, ...)."""
        return Point(to_float32(self.network(*c)))


class Implicit(Conditional):
    """A conditional z = f(x, eps) with noise eps ~ N(0, I) as an input of the network f; it has no density.

    The distribution of z can have any form.

    The `mean` of its distributions is f(x, 0), not the true mean, which is unknown.

    Arguments:
        network: the function f; its input is x, flattened, with eps concatenated to it.
        noise: the number of dimensions of eps.

    References:
        Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars Mescheder,
        Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722
    """

    has_density = False

    def __init__(self, network: nn.Module, noise: Width = 2) -> None:
        super().__init__(network)
        self.noise = noise

    @classmethod
    def required_map(cls, inputs: tuple[Space, ...], target: Space, **arguments: object) -> Map:
        """Returns the specification of a network from the inputs and noise, concatenated, to the target, which is its
        output.

        Arguments:
            inputs: the spaces of the variables in the condition.
            target: the space of the network's output.
            arguments: the constructor's hyperparameters, by name, of which only `noise` is used.
        """
        return Map(inputs, target, cls.int_argument("noise", arguments))

    def forward(self, *c: Tensor) -> Distribution:
        """Returns the distribution of f(x, eps) for eps ~ N(0, I), where x is all conditions in c, flattened and
        concatenated.
        """
        zeros = c[0].new_zeros(len(c[0]), self.noise)
        return ImplicitDistribution(
            zeros.shape[:1], lambda: self.push(c, zeros), lambda: self.push(c, normal_like(zeros))
        )

    def push(self, c: tuple[Tensor, ...], eps: Tensor) -> Tensor:
        """Returns the network's output z = f(x, eps), shape (n, ...), for the conditions c, each of shape (n, ...), and noise
        eps of shape (n, noise).
        """
        return to_float32(self.network(*self.joined(c, eps)))

    def joined(self, c: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, ...]:
        """Returns the arguments of the network: all conditions, flattened, and the noise eps, concatenated, shape (n, size);
        or the conditions as they are if there are no dimensions of noise.
        """
        return (torch.cat([*(part.flatten(1) for part in c), eps], dim=1),) if self.noise else c

    def hidden(self, *c: Tensor) -> Tensor:
        """Returns the last hidden layer of the network given the conditions c and noise eps = 0, shape (n, ...)."""
        return super().hidden(*self.joined(c, c[0].new_zeros(len(c[0]), self.noise)))


class Chain(Conditional):
    """Two conditionals in a chain, p(c | a) = E_{b ~ p(b | a)} p(c | b): b is sampled given a, and then c given b.

    It has no density. The `mean` of its distributions is the mean of p(c | b) at the mean of p(b | a), not the true
    mean.

    Arguments:
        first: the conditional p(b | a).
        second: the conditional p(c | b).

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
        """Returns the distribution of the second conditional's output, given the condition `c` of the first.

        To draw from it, a sample of the first conditional becomes the condition of the second.
        """
        b, second = self.first(*c), self.second
        return ImplicitDistribution(b.batch_shape, lambda: second(b.mean).mean, lambda: second(b.rsample()).rsample())

    def hidden(self, *c: Tensor) -> Tensor:
        """Returns the last hidden layer of the first conditional's network, given its condition `c`, shape (n, ...)."""
        return self.first.hidden(*c)
