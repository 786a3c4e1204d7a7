r"""A divergence turns a critic's scores on two joints into the critic's loss and the generator's loss.

Throughout, `p` are the scores on samples of P (the joint that the critic marks as true: in ALI the encoder's pairs
(x, z^), in GAN the data) and `q` those on samples of Q (the decoder's pairs (x~, z), the model). Scores are unbounded.

For an f-divergence D_f(P || Q) = E_Q[f(p/q)], the variational bound is

    D_f(P || Q) >= E_P[T] - E_Q[f*(T)],   T = g(v),

with v the score, g an output activation into the domain of the conjugate f*, and equality at T = f'(p/q).
The critic maximises it. The generator minimises it (`saturating=True`), or charges itself the same bound with the two
joints swapped, E_Q[T] - E_P[f*(T)] to be maximised, whose gradients stay alive where the critic is sure of itself; for
GAN these are the minimax and the non-saturating losses.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from interalia.errors import UserError


class Divergence(abc.ABC):
    """What a critic's scores on P and Q cost the two players."""

    @abc.abstractmethod
    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """The critic's loss, a scalar, from the scores on P and Q, each of shape (n,)."""

    @abc.abstractmethod
    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """The generator's loss, a scalar, from the scores on P and Q, each of shape (n,)."""

    def log_ratio(self, score: Tensor) -> Tensor:
        """log p/q at the optimal critic.

        Raises:
            UserError: the score of this divergence does not determine the density ratio.
        """
        raise UserError(
            f"{type(self).__name__} does not tell the density ratio from a score; use an f-divergence, such as 'gan'."
        )


@dataclass(frozen=True)
class FDivergence(Divergence):
    """An f-divergence by its variational bound.

    Arguments:
        saturating: whether the generator minimises the bound itself (the minimax game) instead of the swapped bound.

    References:
        f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, Sebastian Nowozin,
        Botond Cseke, Ryota Tomioka, 2016, https://arxiv.org/abs/1606.00709
    """

    saturating: bool = False

    @abc.abstractmethod
    def f(self, u: Tensor) -> Tensor:
        """The generating function of the divergence, at a density ratio u > 0."""

    @abc.abstractmethod
    def output(self, v: Tensor) -> Tensor:
        """T = g(v)."""

    @abc.abstractmethod
    def conjugate(self, v: Tensor) -> Tensor:
        """f*(g(v)), simplified so that it neither overflows early nor cancels."""

    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return self.conjugate(q).mean() - self.output(p).mean()  # -(E_P[T] - E_Q[f*(T)])

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        if self.saturating:
            return self.output(p).mean() - self.conjugate(q).mean()
        return self.conjugate(p).mean() - self.output(q).mean()


class GAN(FDivergence):
    """The original game: f(u) = u log u - (u + 1) log(u + 1), D = 2 JS - 2 log 2; g(v) = log sigmoid(v).

    critic: mean[softplus(-p)] + mean[softplus(q)];  generator: mean[softplus(p)] + mean[softplus(-q)],
    or with `saturating=True` the critic's loss with the other sign.

    References:
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661

    Example:
        >>> GAN().critic_loss(torch.zeros(4), torch.zeros(4)) / math.log(2)
        tensor(2.)
    """

    def f(self, u: Tensor) -> Tensor:
        return torch.xlogy(u, u) - (u + 1) * torch.log1p(u)

    def output(self, v: Tensor) -> Tensor:
        return -softplus(-v)  # log sigmoid(v), written as Algorithm 1 writes it

    def conjugate(self, v: Tensor) -> Tensor:
        return softplus(v)

    def log_ratio(self, score: Tensor) -> Tensor:
        return score


class JensenShannon(FDivergence):
    """f(u) = u log u - (u + 1) log((u + 1) / 2), twice the Jensen-Shannon divergence; g(v) = log 2 + log sigmoid(v)."""

    def f(self, u: Tensor) -> Tensor:
        return torch.xlogy(u, u) - (u + 1) * (torch.log1p(u) - math.log(2))

    def output(self, v: Tensor) -> Tensor:
        return math.log(2) - softplus(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return softplus(v) - math.log(2)

    def log_ratio(self, score: Tensor) -> Tensor:
        return score


class KL(FDivergence):
    """Kullback-Leibler, f(u) = u log u; g(v) = v, f*(t) = exp(t - 1)."""

    def f(self, u: Tensor) -> Tensor:
        return torch.xlogy(u, u)

    def output(self, v: Tensor) -> Tensor:
        return v

    def conjugate(self, v: Tensor) -> Tensor:
        return (v - 1).exp()

    def log_ratio(self, score: Tensor) -> Tensor:
        return score - 1


class ReverseKL(FDivergence):
    """Reverse Kullback-Leibler, f(u) = -log u; g(v) = -exp(-v), f*(g(v)) = v - 1."""

    def f(self, u: Tensor) -> Tensor:
        return -u.log()

    def output(self, v: Tensor) -> Tensor:
        return -(-v).exp()

    def conjugate(self, v: Tensor) -> Tensor:
        return v - 1

    def log_ratio(self, score: Tensor) -> Tensor:
        return score


class Pearson(FDivergence):
    """Pearson chi-square, f(u) = (u - 1)^2; g(v) = v, f*(t) = t^2 / 4 + t."""

    def f(self, u: Tensor) -> Tensor:
        return (u - 1).square()

    def output(self, v: Tensor) -> Tensor:
        return v

    def conjugate(self, v: Tensor) -> Tensor:
        return v.square() / 4 + v

    def log_ratio(self, score: Tensor) -> Tensor:
        return (1 + score.clamp(min=-2 + 1e-6) / 2).log()  # T = 2 (u - 1); a score below -2 stands for u = 0


class SquaredHellinger(FDivergence):
    """Squared Hellinger, f(u) = (sqrt u - 1)^2; g(v) = 1 - exp(-v), f*(g(v)) = exp(v) - 1."""

    def f(self, u: Tensor) -> Tensor:
        return (u.sqrt() - 1).square()

    def output(self, v: Tensor) -> Tensor:
        return -torch.expm1(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return torch.expm1(v)

    def log_ratio(self, score: Tensor) -> Tensor:
        return 2 * score


class TotalVariation(FDivergence):
    """Total variation, f(u) = |u - 1| / 2; g(v) = tanh(v) / 2, f*(t) = t."""

    def f(self, u: Tensor) -> Tensor:
        return (u - 1).abs() / 2

    def output(self, v: Tensor) -> Tensor:
        return v.tanh() / 2

    def conjugate(self, v: Tensor) -> Tensor:
        return v.tanh() / 2


@dataclass(frozen=True)
class LeastSquares(Divergence):
    """Least squares: the critic pulls scores on P to b and on Q to a; the generator pulls those on Q to c (and, where
    P depends on it, those on P to a + b - c, the mirror image).

    critic: (mean[(p - b)^2] + mean[(q - a)^2]) / 2;  generator: (mean[(p - (a + b - c))^2] + mean[(q - c)^2]) / 2.

    References:
        Least Squares Generative Adversarial Networks, Xudong Mao and others, 2017, https://arxiv.org/abs/1611.04076
    """

    a: float = 0.0
    b: float = 1.0
    c: float = 1.0

    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return ((p - self.b).square().mean() + (q - self.a).square().mean()) / 2

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        mirror = self.a + self.b - self.c
        return ((p - mirror).square().mean() + (q - self.c).square().mean()) / 2


@dataclass(frozen=True)
class Hinge(Divergence):
    """critic: mean[max(0, 1 - p)] + mean[max(0, 1 + q)];  generator: mean[p] - mean[q].

    References:
        Geometric GAN, Jae Hyun Lim, Jong Chul Ye, 2017, https://arxiv.org/abs/1705.02894
    """

    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return relu(1 - p).mean() + relu(1 + q).mean()

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return p.mean() - q.mean()


@dataclass(frozen=True)
class Wasserstein(Divergence):
    """critic: mean[q] - mean[p];  generator: mean[p] - mean[q]. The critic must be kept Lipschitz: give a penalty.

    References:
        Wasserstein GAN, Martin Arjovsky, Soumith Chintala, Leon Bottou, 2017, https://arxiv.org/abs/1701.07875
    """

    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return q.mean() - p.mean()

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return p.mean() - q.mean()


@dataclass(frozen=True)
class Relativistic(Divergence):
    """Paired relativistic: the critic is asked which of two samples is from P, not whether one is.

    critic: mean[softplus(q_i - p_i)];  generator: mean[softplus(p_i - q_i)], the pairs as they lie in the batch.

    References:
        The relativistic discriminator: a key element missing from standard GAN, Alexia Jolicoeur-Martineau, 2018,
        https://arxiv.org/abs/1807.00734
    """

    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return softplus(q - p).mean()

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return softplus(p - q).mean()


CATALOGUE: dict[str, Callable[..., Divergence]] = {
    "gan": GAN,
    "jensen-shannon": JensenShannon,
    "kl": KL,
    "reverse-kl": ReverseKL,
    "pearson": Pearson,
    "squared-hellinger": SquaredHellinger,
    "total-variation": TotalVariation,
    "least-squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
    "relativistic": Relativistic,
}
