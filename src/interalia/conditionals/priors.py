"""The priors p(z)."""

from __future__ import annotations

import abc
import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from interalia.errors import UserError, check_range
from interalia.spaces import Space


class Prior(nn.Module, abc.ABC):
    """p(z). Where all dimensions are alike, `mean` and `variance` are those of each.

    Arguments:
        size: the number of dimensions.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("like", torch.zeros(()), persistent=False)  # knows the device and the type

    @property
    def space(self) -> Space:
        """Where z lives."""
        return Space("z", (self.size,), self.support)

    @property
    def code_outputs(self) -> int:
        """How many numbers a recogniser returns for the codes in z; 0 where there are none."""
        return 0

    def normal_noise(self, *shape: int) -> Tensor:
        """N(0, 1) numbers on its device, of its type."""
        return torch.randn(*shape, device=self.like.device, dtype=self.like.dtype)

    def uniform_noise(self, *shape: int) -> Tensor:
        """Numbers that are uniform on [-1, 1), on its device, of its type."""
        return torch.rand(*shape, device=self.like.device, dtype=self.like.dtype) * 2 - 1

    support: Literal["real", "ball"] = "real"
    like: Tensor
    mean: float
    variance: float

    @abc.abstractmethod
    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """z ~ p(z), shape (*shape, size)."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (n,), of z of shape (n, size); minus infinity outside of the support.

        Raises:
            UserError: p(z) has no density.
        """


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    mean = 0.0
    variance = 1.0

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        return self.normal_noise(*shape, self.size)

    def log_prob(self, z: Tensor) -> Tensor:
        return -(z.square().sum(-1) + self.size * math.log(2 * math.pi)) / 2


class Uniform(Prior):
    """p(z) = U(-1, 1) in each dimension, with variance 1/3."""

    support = "ball"
    mean = 0.0
    variance = 1.0 / 3.0

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        return self.uniform_noise(*shape, self.size)

    def log_prob(self, z: Tensor) -> Tensor:
        inside = (z.abs() <= 1).all(dim=-1)
        return torch.where(inside, -self.size * math.log(2), -math.inf)


class Mixture(Prior):
    """p(z) = mean_k N(z; mu_k, diag sigma_k^2), of equally likely components.

    The mu_k are spread evenly on a circle where z has two dimensions, and elsewhere at random directions that are always the
    same.

    Arguments:
        size: the number of dimensions.
        components: how many.
        radius: |mu_k|.
        std: sigma_k, in every dimension.

    Raises:
        ValueError: a number is out of its range.

    Example:
        >>> prior = Mixture(2, components=4)
        >>> prior.log_prob(prior.sample((5,))).shape
        torch.Size([5])
    """

    mu: Tensor
    log_sigma: Tensor

    def __init__(self, size: int, components: int = 10, radius: float = 4.0, std: float = 1.0) -> None:
        super().__init__(size)
        holds = components >= 1 and 0 <= radius < math.inf and 0 < std < math.inf
        law = "they are 1 or more, 0 or more, and above 0"
        check_range(holds, law, components=components, radius=radius, std=std)
        if size == 2:
            angles = torch.arange(components) * (2 * math.pi / components)
            mu = radius * torch.stack([angles.cos(), angles.sin()], dim=1)
        else:
            directions = torch.randn(components, size, generator=torch.Generator().manual_seed(0))
            mu = radius * nn.functional.normalize(directions, dim=1)
        self.components = components
        self.radius = radius
        self.std = std
        self.store_components(mu, torch.full_like(mu, math.log(std)))

    def store_components(self, mu: Tensor, log_sigma: Tensor) -> None:
        """Keeps the components, as what does not move."""
        self.register_buffer("mu", mu, persistent=False)
        self.register_buffer("log_sigma", log_sigma, persistent=False)

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        chosen = torch.randint(self.components, shape, device=self.like.device)
        return self.mu[chosen] + self.log_sigma[chosen].exp() * self.normal_noise(*shape, self.size)

    def log_prob(self, z: Tensor) -> Tensor:
        each = Normal(self.mu, self.log_sigma.exp(), validate_args=False).log_prob(z.unsqueeze(-2)).sum(-1)
        return each.logsumexp(dim=-1) - math.log(self.components)


class Learned(Mixture):
    """A mixture whose means and widths are learned with the model, for games that maximise log p(z): VAE and AVB.

    References:
        VAE with a VampPrior, Jakub M. Tomczak, Max Welling, 2018, https://arxiv.org/abs/1705.07120 (mixtures as priors)
    """

    def __init__(self, size: int, components: int = 10, radius: float = 1.0, std: float = 1.0) -> None:
        super().__init__(size, components, radius, std)

    def store_components(self, mu: Tensor, log_sigma: Tensor) -> None:
        self.mu = nn.Parameter(mu)
        self.log_sigma = nn.Parameter(log_sigma)


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
        >>> prior.code_outputs
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
        whole = all(isinstance(count, int) and not isinstance(count, bool) and count >= 2 for count in categorical)
        law = "it lists each code's number of categories, whole and 2 or more"
        check_range(whole, law, categorical=list(categorical))
        check_range(min(uniform, gaussian) >= 0, "they count codes, from 0", uniform=uniform, gaussian=gaussian)
        check_range(0 < std < math.inf, "a standard deviation is above 0", std=std)
        self.categorical = tuple(categorical)
        self.uniform = uniform
        self.gaussian = gaussian
        self.noise = noise
        self.std = std
        if self.code_outputs == 0:
            raise ValueError("it has no codes; give `categorical`, `uniform` or `gaussian`")
        if self.code_outputs > size:
            raise ValueError(
                f"its codes take {self.code_outputs} numbers ({self.description}), and z has {size}; raise `latent_dim` to {self.code_outputs} "
                f"or more, or give fewer codes"
            )

    @property
    def code_sizes(self) -> list[int]:
        """How many numbers of z, and of the answers, each code takes."""
        return [*self.categorical, *[1] * (self.uniform + self.gaussian)]

    @property
    def code_outputs(self) -> int:
        """How many numbers Q(c | x) takes: the logits of categories and the means of continuous codes, as they lie in z."""
        return sum(self.categorical) + self.uniform + self.gaussian

    def code_slice(self, code: int) -> slice:
        """Where in z the code lies, counted from 0."""
        start = self.size - self.code_outputs + sum(self.code_sizes[:code])
        return slice(start, start + self.code_sizes[code])

    @property
    def description(self) -> str:
        """The codes in words."""
        each = f"{' + '.join(map(str, self.categorical))} for categories" * bool(self.categorical)
        rest = [f"{self.uniform} uniform" * bool(self.uniform), f"{self.gaussian} Gaussian" * bool(self.gaussian)]
        return ", ".join(filter(None, [each, *rest]))

    @property
    def code_names(self) -> list[str]:
        """c1, c2, ..."""
        return [f"c{i + 1}" for i in range(len(self.code_sizes))]

    @property
    def entropy(self) -> Tensor:
        """H(c) of each code, in nats, shape (codes,): log K; log 2; log(2 pi e) / 2."""
        continuous = [math.log(2)] * self.uniform + [0.5 * math.log(2 * math.pi * math.e)] * self.gaussian
        return self.like.new_tensor([*map(math.log, self.categorical), *continuous])

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        noise = self.normal_noise if self.noise == "normal" else self.uniform_noise
        parts = [noise(*shape, self.size - self.code_outputs)]
        for count in self.categorical:
            chosen = torch.randint(count, shape, device=self.like.device)
            parts.append(nn.functional.one_hot(chosen, count).to(self.like.dtype))
        return torch.cat(
            [*parts, self.uniform_noise(*shape, self.uniform), self.normal_noise(*shape, self.gaussian)], dim=-1
        )

    def log_prob(self, z: Tensor) -> Tensor:
        raise UserError(
            "a prior with codes has no density where a code is a category; choose another `prior`, such as normal, where one "
            "is needed."
        )

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """The noise, and each code: one-hot, shape (n, categories), or continuous, shape (n, 1)."""
        return z.split([self.size - self.code_outputs, *self.code_sizes], dim=1)

    def log_likelihood(self, answers: Tensor, z: Tensor) -> Tensor:
        """log Q(c | x) of each code in z, in nats, shape (n, codes).

        Arguments:
            answers: of the recogniser on x, shape (n, answers).
            z: what x was made from, shape (n, size).
        """
        found = []
        for i, (answer, code) in enumerate(zip(answers.split(self.code_sizes, dim=1), self.split(z)[1:], strict=True)):
            if i < len(self.categorical):
                found.append((code * answer.log_softmax(dim=1)).sum(dim=1))
            else:
                found.append(Normal(answer, self.std, validate_args=False).log_prob(code).squeeze(1))
        return torch.stack(found, dim=1)

    def expected_codes(self, answers: Tensor) -> Tensor:
        """E[c] under Q(c | x): the probabilities of categories and the means of continuous codes, shape (n, answers)."""
        parts, kinds = answers.split(self.code_sizes, dim=1), len(self.categorical)
        return torch.cat([*(part.softmax(dim=1) for part in parts[:kinds]), *parts[kinds:]], dim=1)
