"""Networks whose `forward(c)` returns a distribution, and the priors.

The caller chooses what to do with it: ``encoder(x).rsample()``, ``encoder(x).mean``, ``encoder(x).log_prob(z)``.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Literal

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
        x = torch.cat([part.flatten(1) for part in c], dim=1)  # an image, and a label, join the noise as vectors
        return Pushed(lambda eps: full(self.network(torch.cat([x, eps], dim=1))), x.new_empty(len(x), self.noise))

    def hidden(self, *c: Tensor) -> Tensor:
        x = torch.cat([part.flatten(1) for part in c], dim=1)
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


class Chain(Conditional):
    """Two conditionals one after the other, p(c | a) = E_{b ~ p(b | a)} p(c | b): samples by way of b, and no density.

    Its `mean` is that of the second at the mean of the first, a representative point.

    Arguments:
        first: p(b | a).
        second: p(c | b).

    Example:
        >>> from interalia.networks import mlp
        >>> chain = Chain(Gaussian(mlp.MLP(4, 2 * 3)), Dirac(mlp.MLP(3, 2)))
        >>> chain(torch.zeros(5, 4)).mean.shape
        torch.Size([5, 2])
    """

    def __init__(self, first: Conditional, second: Conditional) -> None:
        super().__init__(nn.Identity())
        self.first = first
        self.second = second

    def forward(self, *c: Tensor) -> Distribution:
        return Chained(self.first(*c), self.second)

    def hidden(self, *c: Tensor) -> Tensor:
        """The last hidden layer of the first."""
        return self.first.hidden(*c)


class Chained(Distribution):
    """The distribution of c, b ~ `first`, c ~ `second(b)`: samples, no density."""

    arg_constraints = {}
    has_rsample = True

    def __init__(self, first: Distribution, second: Conditional) -> None:
        self.first = first
        self.second = second
        super().__init__(first.batch_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        found: Tensor = self.second(self.first.mean).mean
        return found

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        if sample_shape:
            raise UserError(
                "a chain of conditionals draws one sample for each condition; repeat the condition instead."
            )
        found: Tensor = self.second(self.first.rsample()).rsample()
        return found

    log_prob = Point.log_prob


class Prior(nn.Module, abc.ABC):
    """p(z). Where all dimensions are alike, `mean` and `variance` are those of each.

    Arguments:
        size: the number of dimensions.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("place", torch.zeros(()), persistent=False)  # knows the device and the type

    place: Tensor
    mean: float
    variance: float

    @abc.abstractmethod
    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """z ~ p(z), shape (*shape, size)."""


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    mean = 0.0
    variance = 1.0

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(*shape, self.size, device=self.place.device, dtype=self.place.dtype)


class Uniform(Prior):
    """p(z) = U(-1, 1) in each dimension, with variance 1/3."""

    mean = 0.0
    variance = 1.0 / 3.0

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(*shape, self.size, device=self.place.device, dtype=self.place.dtype) * 2 - 1


class Codes(Prior):
    """p(z) of noise and codes, z = [noise | one-hot categories | uniform on [-1, 1] | Gaussian], all of them independent.

    It also says what a recogniser has to answer for a game to read the codes off x, and what the answers a are worth:

        Q(c | x) = softmax(a) for a category,  N(c; a, std^2) for a continuous code
        L = E[log Q(c | x)] + H(c) <= I(c; x)

    See also:
        interalia.games.InfoGAN

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657

    Arguments:
        size: the number of dimensions; the noise takes what the codes leave.
        categorical: for each categorical code its number of categories, all equally likely.
        uniform: how many codes are uniform on [-1, 1].
        gaussian: how many codes are N(0, 1).
        noise: what the noise is drawn from: N(0, 1), or uniform on [-1, 1].
        std: the standard deviation of Q(c | x) for the continuous codes, which is not learned.

    Raises:
        ValueError: there are no codes, they do not fit into `size`, or a number is out of its range.

    Example:
        >>> prior = Codes(74)
        >>> [part.shape[1] for part in prior.split(prior.sample((5,)))]
        [62, 10, 1, 1]
        >>> prior.answers
        12
    """

    def __init__(
        self,
        size: int,
        categorical: list[int] | tuple[int, ...] = (10,),
        uniform: int = 2,
        gaussian: int = 0,
        noise: Literal["normal", "uniform"] = "normal",
        std: float = 1.0,
    ) -> None:
        super().__init__(size)
        if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 2 for count in categorical):
            raise ValueError(
                f"`categorical` is {list(categorical)}, and it lists each code's number of categories, whole and 2 or more"
            )
        if uniform < 0 or gaussian < 0:
            raise ValueError(f"`uniform` is {uniform} and `gaussian` is {gaussian}; they count codes, from 0")
        if not 0 < std < math.inf:
            raise ValueError(f"`std` is {std}, and a standard deviation is above 0")
        self.categorical = tuple(categorical)
        self.uniform = uniform
        self.gaussian = gaussian
        self.noise = noise
        self.std = std
        if self.answers == 0:
            raise ValueError("it has no codes; give `categorical`, `uniform` or `gaussian`")
        if self.answers > size:
            raise ValueError(
                f"its codes take {self.answers} numbers ({self.words}), and z has {size}; raise --latent to {self.answers} "
                f"or more, or give fewer codes"
            )

    @property
    def widths(self) -> list[int]:
        """How many numbers of z, and of the answers, each code takes."""
        return [*self.categorical, *[1] * (self.uniform + self.gaussian)]

    @property
    def answers(self) -> int:
        """How many numbers Q(c | x) takes: the logits of categories and the means of continuous codes, as they lie in z."""
        return sum(self.categorical) + self.uniform + self.gaussian

    def where(self, code: int) -> slice:
        """Where in z the code lies, counted from 0."""
        start = self.size - self.answers + sum(self.widths[:code])
        return slice(start, start + self.widths[code])

    @property
    def words(self) -> str:
        """The codes in words."""
        parts = [
            " + ".join(map(str, self.categorical)) + " for categories" if self.categorical else "",
            f"{self.uniform} uniform" if self.uniform else "",
            f"{self.gaussian} Gaussian" if self.gaussian else "",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def names(self) -> list[str]:
        """c1, c2, ..."""
        return [f"c{i + 1}" for i in range(len(self.widths))]

    @property
    def entropy(self) -> Tensor:
        """H(c) of each code, in nats, shape (codes,): log K; log 2; log(2 pi e) / 2."""
        continuous = [math.log(2)] * self.uniform + [0.5 * math.log(2 * math.pi * math.e)] * self.gaussian
        return self.place.new_tensor([*map(math.log, self.categorical), *continuous])

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        device, dtype = self.place.device, self.place.dtype

        def normal(count: int) -> Tensor:
            return torch.randn(*shape, count, device=device, dtype=dtype)

        def uniform(count: int) -> Tensor:
            return torch.rand(*shape, count, device=device, dtype=dtype) * 2 - 1

        left = self.size - self.answers
        parts = [normal(left) if self.noise == "normal" else uniform(left)]
        for count in self.categorical:
            parts.append(nn.functional.one_hot(torch.randint(count, shape, device=device), count).to(dtype))
        return torch.cat([*parts, uniform(self.uniform), normal(self.gaussian)], dim=-1)

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """The noise, and each code: one-hot, shape (n, categories), or continuous, shape (n, 1)."""
        return z.split([self.size - self.answers, *self.widths], dim=1)

    def log_likelihood(self, answers: Tensor, z: Tensor) -> Tensor:
        """log Q(c | x) of each code in z, in nats, shape (n, codes).

        Arguments:
            answers: of the recogniser on x, shape (n, answers).
            z: what x was made from, shape (n, size).
        """
        found = []
        for i, (answer, code) in enumerate(zip(answers.split(self.widths, dim=1), self.split(z)[1:], strict=True)):
            if i < len(self.categorical):
                found.append((code * answer.log_softmax(dim=1)).sum(dim=1))
            else:
                found.append(Normal(answer, self.std, validate_args=False).log_prob(code).squeeze(1))
        return torch.stack(found, dim=1)

    def expected(self, answers: Tensor) -> Tensor:
        """E[c] under Q(c | x): the probabilities of categories and the means of continuous codes, shape (n, answers)."""
        parts = answers.split(self.widths, dim=1)
        return torch.cat(
            [part.softmax(dim=1) if i < len(self.categorical) else part for i, part in enumerate(parts)], dim=1
        )


CONDITIONALS: dict[str, Callable[..., Conditional]] = {"gaussian": Gaussian, "dirac": Dirac, "implicit": Implicit}
PRIORS: dict[str, Callable[..., Prior]] = {"normal": StandardNormal, "uniform": Uniform, "codes": Codes}
