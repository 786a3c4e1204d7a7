"""The priors p(z) of the latents: standard normal, uniform, mixtures of Gaussians, and noise with codes."""

from __future__ import annotations

import abc
import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import one_hot

from interalia.contexts import draw_noise
from interalia.errors import UserError, check_range
from interalia.spaces import Space


class Prior(nn.Module, abc.ABC):
    """The prior distribution p(z) of the latents, from which z is sampled; most priors also have a density.

    Arguments:
        size: the number of dimensions of z.

    Attributes:
        support: "real" for real numbers, or "ball" for numbers in [-1, 1].
        mean, variance: the mean and variance of every dimension of z; absent if they differ between dimensions.
        like: a scalar tensor with the device and dtype that samples have.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("like", torch.zeros(()), persistent=False)  # has the device and dtype of samples

    @property
    def space(self) -> Space:
        """The space of z: the name "z", the shape (size,) and the support."""
        return Space("z", (self.size,), self.support)

    @property
    def code_outputs(self) -> int:
        """The number of outputs of the network that predicts the codes in z from x; 0 for a prior without codes."""
        return 0

    def normal_noise(self, *shape: int) -> Tensor:
        """Draws a tensor of the given shape from N(0, 1), on the prior's device and in its dtype."""
        return draw_noise("prior", "normal", shape, self.like)

    def uniform_noise(self, *shape: int) -> Tensor:
        """Draws a tensor of the given shape from the uniform distribution on [-1, 1), on the prior's device and in its
        dtype.
        """
        return draw_noise("prior", "uniform", shape, self.like) * 2 - 1

    support: Literal["real", "ball"] = "real"
    like: Tensor
    mean: float
    variance: float

    @abc.abstractmethod
    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Draws z ~ p(z), a tensor of shape (*shape, size)."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Returns the log density log p(z) in nats, shape (n,), for z of shape (n, size); minus infinity where p(z) =
        0.

        Raises:
            UserError: p(z) has no density, as with `Codes`.
        """


class StandardNormal(Prior):
    """The prior p(z) = N(0, I), the standard normal distribution."""

    mean = 0.0
    variance = 1.0

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Draws z ~ N(0, I), shape (*shape, size)."""
        return self.normal_noise(*shape, self.size)

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns log N(z; 0, I) in nats, shape (n,), for z of shape (n, size)."""
        return -(z.square().sum(-1) + self.size * math.log(2 * math.pi)) / 2


class Uniform(Prior):
    """The prior that is uniform on [-1, 1] in each dimension of z, with variance 1/3."""

    support = "ball"
    mean = 0.0
    variance = 1.0 / 3.0

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Draws z uniformly from [-1, 1)^size, shape (*shape, size)."""
        return self.uniform_noise(*shape, self.size)

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns the log density in nats, shape (n,), for z of shape (n, size): -size log 2 in [-1, 1]^size, and minus
        infinity elsewhere.
        """
        inside = (z.abs() <= 1).all(dim=-1)
        return torch.where(inside, -self.size * math.log(2), -math.inf)


class Mixture(Prior):
    """A prior that is a mixture of K equally likely Gaussians, p(z) = sum_k N(z; mu_k, diag sigma_k^2) / K.

    In two dimensions the mu_k are evenly spaced on a circle; otherwise they lie in random directions from a fixed seed.
    The attributes `mu` and `log_sigma` are the mu_k and log sigma_k, both of shape (components, size).

    Arguments:
        size: the number of dimensions.
        components: K, the number of Gaussians.
        radius: |mu_k|, the distance of each mean from 0.
        std: the standard deviation sigma_k of every Gaussian in every dimension.

    Raises:
        ValueError: `components` is under 1, `radius` under 0, or `std` not above 0; or `radius` or `std` is infinite.

    Example:
        >>> prior = Mixture(2, components=4)
        >>> prior.log_prob(prior.sample((5,))).shape
        torch.Size([5])
    """

    mu: Tensor
    log_sigma: Tensor

    def __init__(self, size: int, components: int = 10, radius: float = 4.0, std: float = 1.0) -> None:
        super().__init__(size)
        valid = components >= 1 and 0 <= radius < math.inf and 0 < std < math.inf
        rule = "they are 1 or more, 0 or more, and above 0"
        check_range(valid, rule, components=components, radius=radius, std=std)
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
        """Stores the means and log standard deviations of the Gaussians as constant buffers.

        Arguments:
            mu: the means, shape (components, size).
            log_sigma: the log standard deviations, shape (components, size).
        """
        self.register_buffer("mu", mu, persistent=False)
        self.register_buffer("log_sigma", log_sigma, persistent=False)

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Draws z from the mixture, each from one of the Gaussians at random, shape (*shape, size)."""
        k = draw_noise("prior", "random", shape, self.like, 0, self.components)
        return self.mu[k] + self.log_sigma[k].exp() * self.normal_noise(*shape, self.size)

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns the log density of the mixture in nats, shape (n,), for z of shape (n, size)."""
        log_components = Normal(self.mu, self.log_sigma.exp(), validate_args=False).log_prob(z.unsqueeze(-2)).sum(-1)
        return log_components.logsumexp(dim=-1) - math.log(self.components)


class Learned(Mixture):
    """A prior that is a mixture of Gaussians with learned means and scales, for games that maximize log p(z): VAE and
    AVB.

    References:
        VAE with a VampPrior, Jakub M. Tomczak, Max Welling, 2018, https://arxiv.org/abs/1705.07120 (mixtures as priors)
    """

    def __init__(self, size: int, components: int = 10, radius: float = 1.0, std: float = 1.0) -> None:
        super().__init__(size, components, radius, std)

    def store_components(self, mu: Tensor, log_sigma: Tensor) -> None:
        """Stores the means and log standard deviations of the Gaussians as parameters, which are learned.

        Arguments:
            mu: the initial means, shape (components, size).
            log_sigma: the initial log standard deviations, shape (components, size).
        """
        self.mu = nn.Parameter(mu)
        self.log_sigma = nn.Parameter(log_sigma)


class Codes(Prior):
    """A prior of independent noise and codes, z = [noise | one-hot categories | uniform on [-1, 1] | Gaussian].

    The codes c are all of z but the noise. In InfoGAN a network learns to predict them from the generated x.

    This prior also defines the predicted distribution of each code, Q(c | x), with parameters a that the network
    computes from x, and a lower bound L of the mutual information I(c; x), where H(c) is the entropy:

        Q(c | x) = softmax(a) for a category,  N(c; a, std^2) for a continuous code
        L = E[log Q(c | x)] + H(c) <= I(c; x)

    See Also:
        interalia.games.InfoGAN

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen
        and others, 2016, https://arxiv.org/abs/1606.03657

    Arguments:
        size: the number of dimensions of z; those that are no codes are noise.
        categorical: the number of categories of each categorical code; its categories are equally likely.
        uniform: the number of codes that are uniform on [-1, 1].
        gaussian: the number of codes that are N(0, 1).
        noise: the distribution of the noise: "normal" for N(0, 1), or "uniform" on [-1, 1].
        std: the standard deviation of Q(c | x) for continuous codes, which is not learned.

    Raises:
        ValueError: there are no codes, they do not fit into `size`, a code has under 2 categories, a number of codes is
            negative, or `std` is not above 0.

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
        rule = "it lists the number of categories of each code, whole and 2 or more"
        check_range(whole, rule, categorical=list(categorical))
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
                f"its codes take {self.code_outputs} numbers ({self.description}), and z has {size}; raise `latent_dim` to "
                f"{self.code_outputs} or more, or give fewer codes"
            )

    @property
    def code_sizes(self) -> list[int]:
        """The number of dimensions of each code, in the order of z: its number of categories, or 1 for a continuous
        code.

        They are the same in z and in the parameters of Q(c | x).
        """
        return [*self.categorical, *[1] * (self.uniform + self.gaussian)]

    @property
    def code_outputs(self) -> int:
        """The number of parameters of Q(c | x), all codes together: a logit for each category, and a mean for each
        continuous code.
        """
        return sum(self.categorical) + self.uniform + self.gaussian

    def code_slice(self, code: int) -> slice:
        """Returns the slice of z's dimensions that belong to one code.

        Arguments:
            code: the index of the code, from 0, in the order of z.
        """
        start = self.size - self.code_outputs + sum(self.code_sizes[:code])
        return slice(start, start + self.code_sizes[code])

    @property
    def description(self) -> str:
        """A text with the number of dimensions of the codes by type, such as "10 for categories, 2 uniform"."""
        categories = f"{' + '.join(map(str, self.categorical))} for categories" * bool(self.categorical)
        rest = [f"{self.uniform} uniform" * bool(self.uniform), f"{self.gaussian} Gaussian" * bool(self.gaussian)]
        return ", ".join(filter(None, [categories, *rest]))

    @property
    def code_names(self) -> list[str]:
        """The names of the codes, in the order of z: "c1", "c2" and so on."""
        return [f"c{i + 1}" for i in range(len(self.code_sizes))]

    @property
    def entropy(self) -> Tensor:
        """The entropy H(c) of each code in nats, shape (number of codes,): log K for K categories, log 2 for a uniform
        code, and log(2 pi e) / 2 for a Gaussian code.
        """
        continuous = [math.log(2)] * self.uniform + [0.5 * math.log(2 * math.pi * math.e)] * self.gaussian
        return self.like.new_tensor([*map(math.log, self.categorical), *continuous])

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Draws z, shape (*shape, size): the noise, followed by the categorical, uniform and Gaussian codes."""
        noise = self.normal_noise if self.noise == "normal" else self.uniform_noise
        parts = [noise(*shape, self.size - self.code_outputs)]
        drawn = [draw_noise("prior", "random", shape, self.like, 0, count) for count in self.categorical]
        parts += [one_hot(c, count).to(self.like.dtype) for c, count in zip(drawn, self.categorical, strict=True)]
        parts += [self.uniform_noise(*shape, self.uniform), self.normal_noise(*shape, self.gaussian)]
        return torch.cat(parts, dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Raises a UserError, because a code may be a category, which has no density."""
        raise UserError(
            "a prior with codes has no density, because a code may be a category; choose another `prior`, such as normal, "
            "where a density is needed."
        )

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """Splits z, shape (n, size), into a tuple: the noise, shape (n, noise dimensions), and each code in order.

        A categorical code is one-hot, shape (n, categories), and a continuous code has shape (n, 1).
        """
        return z.split([self.size - self.code_outputs, *self.code_sizes], dim=1)

    def log_likelihood(self, outputs: Tensor, z: Tensor) -> Tensor:
        """Returns log Q(c | x) in nats for each code c in z, shape (n, number of codes).

        Arguments:
            outputs: the parameters of Q(c | x), which a network computes from x, shape (n, code_outputs).
            z: the latents that x was generated from, shape (n, size).
        """
        pairs = list(zip(outputs.split(self.code_sizes, dim=1), self.split(z)[1:], strict=True))
        kinds = len(self.categorical)
        log_q = [(c * logits.log_softmax(dim=1)).sum(dim=1) for logits, c in pairs[:kinds]]
        log_q += [Normal(a, self.std, validate_args=False).log_prob(c).squeeze(1) for a, c in pairs[kinds:]]
        return torch.stack(log_q, dim=1)

    def expected_codes(self, outputs: Tensor) -> Tensor:
        """Returns the mean of each code under Q(c | x), shape (n, code_outputs): a probability for each category, and
        the mean of each continuous code.

        Arguments:
            outputs: the parameters of Q(c | x), which a network computes from x, shape (n, code_outputs).
        """
        parts, kinds = outputs.split(self.code_sizes, dim=1), len(self.categorical)
        return torch.cat([*(part.softmax(dim=1) for part in parts[:kinds]), *parts[kinds:]], dim=1)
