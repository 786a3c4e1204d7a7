r"""Divergences: adversarial losses of the critic and the generator, from the critic's scores on two distributions.

Throughout, `p` are the scores on samples of P, the distribution to score high: the data in GAN, the encoder's pairs (x, z^)
in ALI. `q` are those on samples of Q, the distribution to score low: the model in GAN, the decoder's pairs (x~, z) in ALI.
Scores are unbounded.

For an f-divergence D_f(P || Q) = E_Q[f(p/q)], the variational bound is

    D_f(P || Q) >= E_P[T] - E_Q[f*(T)],   T = g(v),

with v the score, f* the convex conjugate of f, g an output activation into the domain of f*, and equality at T = f'(p/q).
The critic maximizes it. The generator minimizes it (`saturating=True`, the minimax loss), or, by default, maximizes the same
bound with P and Q swapped, E_Q[T] - E_P[f*(T)] (the alternative loss; for GAN this is the non-saturating loss). The
gradient of both has one sign: never above 0 in a score on Q, never below 0 in a score on P.

The table shows its absolute value for a confident critic, as scores fall to -80 on Q and rise to 80 on P ("vanishes": goes
to 0; "grows": exponentially; "grows linearly": in proportion to the score; "1/q": as 1 / |q|; w and a: `weight` and `alpha`):

    divergence                 alternative: Q    P                 minimax: Q      P
    gan, jensen-shannon        1                 1                 vanishes        vanishes
    weighted-jensen-shannon    w                 1 - w             vanishes        vanishes
    kl                         1                 grows             vanishes        1
    reverse-kl                 grows             1                 1               vanishes
    jeffrey                    1                 grows             vanishes (1/q)  1
    pearson                    1                 grows linearly    0 below -2      1
    neyman                     grows             vanishes          grows           vanishes
    squared-hellinger          grows             grows             vanishes        vanishes
    total-variation            vanishes          vanishes          vanishes        vanishes
    alpha, a < 0               grows             vanishes          grows           vanishes
    alpha, 0 < a < 1           grows             grows             vanishes        vanishes
    alpha, a > 1               vanishes          grows             vanishes        grows

So the alternative loss keeps a gradient on the model's samples for all of them but total-variation and alpha above 1, and one
on the encoder of a game such as ALI for all but total-variation, neyman and alpha below 0. See `Divergence.vanishing`.

Losses are functions of the score itself, mostly a log-ratio, with softplus and expm1 in place of logarithms of sigmoids and
differences of exponentials. For scores in [-80, 80] neither losses nor gradients overflow (`Relativistic`: for differences
of scores in this range, with a divergence that grows exponentially).
"""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import relu, softplus

from interalia import registry
from interalia.errors import UserError, check_range
from interalia.registry import Registry


@dataclass(frozen=True)
class Divergence(abc.ABC):
    """Base class of adversarial losses: those of the critic and of the generator, as functions of the critic's scores.

    p are the scores on samples of P, the distribution to score high (the data), and q those on samples of Q, the
    distribution to score low (the model). The critic's loss is mean[A(p)] + mean[B(q)], with functions A and B of the
    divergence. With one-sided label smoothing a, the critic's target on P is 1 - a instead of 1:

        (1 - a) mean[A(p)] + a mean[B(p)] + mean[B(q)]

    so that its optimum is that for (1 - a) P against Q + a P, with bounded scores on P. The generator's loss does not change.

    Arguments:
        smoothing: the label smoothing a, in [0, 1).

    Attributes:
        per_head: True if the critic returns its terms separately, (n, heads), instead of their sum, (n,).
        log_odds: True if the optimal critic's score is the log-odds of P against Q, so that its sigmoid is a probability.
        vanishing: the distributions, "P" and "Q", on whose samples the generator's gradient vanishes as the critic becomes
            more confident (scores rise on P and fall on Q).

    Raises:
        ValueError: `smoothing` is out of its range.

    References:
        Improved Techniques for Training GANs, Tim Salimans and others, 2016, https://arxiv.org/abs/1606.03498 (smoothing)

    Example:
        >>> p = torch.zeros(4)
        >>> Hinge(smoothing=0.1).critic_loss(p + 1, p - 1)  # a tenth of B(1) = 2
        tensor(0.2000)
    """

    smoothing: float = field(default=0.0, kw_only=True)
    per_head: ClassVar[bool] = False
    log_odds: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(0 <= self.smoothing < 1, "it lies in [0, 1)", smoothing=self.smoothing)

    @abc.abstractmethod
    def on_p(self, p: Tensor) -> Tensor:
        """Returns A(p), the critic's loss for each score p on a sample of P, the distribution to score high, of the
        shape of p.
        """

    @abc.abstractmethod
    def on_q(self, q: Tensor) -> Tensor:
        """Returns B(q), the critic's loss for each score q on a sample of Q, the distribution to score low, of the
        shape of q.
        """

    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """Returns the critic's loss, mean[A(p)] + mean[B(q)] with A = `on_p` and B = `on_q`, a scalar.

        With label smoothing a = `smoothing`, mean[A(p)] is replaced by (1 - a) mean[A(p)] + a mean[B(p)].

        Arguments:
            p: the scores on samples of P, the distribution to score high, shape (n,), or (n, h, w) for scores of patches.
            q: the scores on samples of Q, the distribution to score low, of the same shape.
        """
        if not self.smoothing:
            return self.mean(self.on_p(p)) + self.mean(self.on_q(q))
        a = self.smoothing
        return self.mean((1 - a) * self.on_p(p) + a * self.on_q(p)) + self.mean(self.on_q(q))

    @abc.abstractmethod
    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """Returns the generator's loss, a scalar: by minimizing it the generator raises the scores on Q and lowers
        those on P.

        Arguments:
            p: the critic's scores on samples of P, the data, shape (n,), or (n, h, w) for scores of patches.
            q: the critic's scores on samples of Q, the model, of the same shape.
        """

    @property
    def vanishing(self) -> frozenset[str]:
        """The distributions, "P" and "Q", on whose samples the generator's gradient vanishes for a confident critic.

        A critic is confident if its scores are high on P and low on Q. The set is empty by default.
        """
        return frozenset()

    def mean(self, terms: Tensor) -> Tensor:
        """Returns the mean of the losses of single scores, `terms`, over all scores, a scalar."""
        return expectation(terms)

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio log p/q from scores of an optimal critic without label smoothing, of the shape
        of `score`.

        p and q are the densities of P, the distribution to score high, and of Q, the distribution to score low.

        Raises:
            UserError: the score of this divergence does not determine the density ratio.
        """
        if self.log_odds:
            return score
        raise UserError(
            f"a score of {type(self).__name__} does not determine the density ratio; choose an f-divergence as "
            f"`divergence`, such as gan."
        )

    def log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio log p/q from scores of an optimal critic, of the shape of `score`.

        p and q are the densities of P, the distribution to score high, and of Q, the distribution to score low. With
        label smoothing the critic is trained on mixtures of both; the ratio is that of P and Q themselves.

        Raises:
            UserError: the score of this divergence does not determine the density ratio.
        """
        r = self.unsmoothed_log_ratio(score)  # log (1 - a) p / (a p + q), which is below log((1 - a) / a)
        if not self.smoothing:
            return r
        # clamped, so that the gradient is finite too
        rest = 1 - self.smoothing - self.smoothing * r.clamp(max=60.0).exp()
        return r - rest.clamp_min(1e-6).log()


def expectation(terms: Tensor) -> Tensor:
    """Returns the mean of all `terms`, a scalar, without overflow of their sum.

    The sum of up to 4,096 terms of exp(80) fits a float32; more terms are divided by their number before they are
    summed.
    """
    return terms.mean() if terms.numel() <= 4096 else (terms / terms.numel()).sum()


def auc(p: Tensor, q: Tensor) -> float:
    """Returns the area under the critic's ROC curve: the probability that a score on P exceeds one on Q; ties count as 1/2.

    It does not depend on the scale of the scores: 0.5 for a critic that cannot tell P from Q, 1 for one that always
    can.

    Arguments:
        p: scores on samples to score high, such as data, of any shape.
        q: scores on samples to score low, such as generated ones, of any shape.

    Example:
        >>> auc(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]))
        0.875
    """
    p, q = p.detach().flatten().contiguous(), q.detach().flatten().sort().values
    below = torch.searchsorted(q, p) + torch.searchsorted(q, p, right=True)
    return float(below.double().mean() / (2 * len(q)))


@dataclass(frozen=True)
class FDivergence(Divergence):
    """Base class of f-divergences D_f(P || Q) = E_Q[f(p/q)], estimated by a critic's scores v through a variational bound.

    The bound is E_P[g(v)] - E_Q[f*(g(v))], with f* the convex conjugate of f, and g an output activation whose values
    f* can take. The critic maximizes it.

    Arguments:
        saturating: True if the generator minimizes this bound (the minimax loss); False if it maximizes the bound with P
            and Q swapped (the alternative loss).

    Attributes:
        vanishes: "P", "Q", "PQ" or "": the distributions on whose samples the generator's gradient vanishes for a confident
            critic, under the alternative loss and under the minimax loss.

    References:
        f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, Sebastian Nowozin,
        Botond Cseke, Ryota Tomioka, 2016, https://arxiv.org/abs/1606.00709
    """

    saturating: bool = False
    vanishes: ClassVar[tuple[str, str]] = ("", "")

    @property
    def vanishing(self) -> frozenset[str]:
        """The distributions, "P" and "Q", on whose samples the generator's gradient vanishes for a confident critic.

        A critic is confident if its scores are high on P and low on Q. The set is the second entry of the attribute
        `vanishes` if `saturating` is True (the minimax loss), else the first.
        """
        alternative, minimax = self.vanishes
        return frozenset(minimax if self.saturating else alternative)

    @abc.abstractmethod
    def f(self, u: Tensor) -> Tensor:
        """Returns the convex function f that defines the divergence, at density ratios u = p/q > 0, of the shape of u."""

    def output(self, v: Tensor) -> Tensor:
        """Returns T = g(v), with g the output activation of the divergence and v the critic's scores, of the shape of
        v.

        By default g(v) = v. T is the argument of the variational bound.
        """
        return v

    @abc.abstractmethod
    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(g(v)) for the critic's scores v, of the shape of v, with f* the convex conjugate of `f` and g =
        `output`.

        Subclasses compute it in a form without early overflow or cancellation.
        """

    def monotone_conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(g(v)) for the generator's loss, as a function of the scores v that is nowhere decreasing; by
        default equal to `conjugate`.

        g is `output`, and f*(t) the supremum of u t - f(u) over u >= 0. In `conjugate` the supremum may be over all
        real u, and its value may then fall at low scores.
        """
        return self.conjugate(v)

    def on_p(self, p: Tensor) -> Tensor:
        """Returns -g(p), the critic's loss for each score p on samples of P (the data), with g = `output`."""
        return -self.output(p)  # the term of -(E_P[T] - E_Q[f*(T)])

    def on_q(self, q: Tensor) -> Tensor:
        """Returns f*(g(q)), the critic's loss for each score q on samples of Q (the model): `conjugate` of the scores."""
        return self.conjugate(q)

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """Returns mean[f*(g(p))] - mean[g(q)], or mean[g(p)] - mean[f*(g(q))] if `saturating`, a scalar.

        g is `output`, and f* the convex conjugate of `f` in the form of `monotone_conjugate`.

        Arguments:
            p: the critic's scores on samples of P, the data.
            q: the critic's scores on samples of Q, the model.
        """
        if self.saturating:
            return expectation(self.output(p)) - expectation(self.monotone_conjugate(q))
        return expectation(self.monotone_conjugate(p)) - expectation(self.output(q))


class GAN(FDivergence):
    """The original GAN loss, by default non-saturating: f(u) = u log u - (u + 1) log(u + 1), output g(v) = log
    sigmoid(v).

    The divergence is 2 JS - 2 log 2, with JS the Jensen-Shannon divergence.

    critic: mean[softplus(-p)] + mean[softplus(q)];  generator: mean[softplus(p)] + mean[softplus(-q)], or with
    `saturating=True` minus the critic's loss. For a confident critic (scores high on P, low on Q) the gradient of
    the former is 1 on samples of both, that of the latter vanishes on both.

    References:
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661

    Example:
        >>> GAN().critic_loss(torch.zeros(4), torch.zeros(4)) / math.log(2)
        tensor(2.)
        >>> sorted(GAN().vanishing), sorted(GAN(saturating=True).vanishing)
        ([], ['P', 'Q'])
    """

    vanishes = ("", "PQ")
    log_odds = True

    def f(self, u: Tensor) -> Tensor:
        """Returns f = u log u - (u + 1) log(u + 1) at density ratios u = p/q > 0, of the shape of u."""
        return torch.xlogy(u, u) - (u + 1) * torch.log1p(u)

    def output(self, v: Tensor) -> Tensor:
        """Returns the output activation g(v) = log sigmoid(v) of the critic's scores v, of the shape of v."""
        return -softplus(-v)  # log sigmoid(v), as in Algorithm 1

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(g(v)) = softplus(v) for the critic's scores v, with f* the convex conjugate of `f` and g = `output`."""
        return softplus(v)


class JensenShannon(GAN):
    """Twice the Jensen-Shannon divergence, f(u) = u log u - (u + 1) log((u + 1) / 2), output g(v) = log 2 + log sigmoid(v).

    Its gradients are those of `GAN`.
    """

    def f(self, u: Tensor) -> Tensor:
        """Returns f = u log u - (u + 1) log((u + 1) / 2) at density ratios u = p/q > 0, of the shape of u."""
        return torch.xlogy(u, u) - (u + 1) * (torch.log1p(u) - math.log(2))

    def output(self, v: Tensor) -> Tensor:
        """Returns the output activation g(v) = log 2 + log sigmoid(v) of the critic's scores v, of the shape of v."""
        return math.log(2) - softplus(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(g(v)) = softplus(v) - log 2 for the critic's scores v, with f* the convex conjugate of `f` and g =
        `output`.
        """
        return softplus(v) - math.log(2)


@dataclass(frozen=True)
class WeightedJensenShannon(FDivergence):
    """Weighted Jensen-Shannon divergence, w KL(P || M) + (1 - w) KL(Q || M) with M = w P + (1 - w) Q.

    At w = 1/2 it is half of `JensenShannon`. It is defined by f(u) = w u log u - m log m with m = 1 - w + w u. The output
    activation of a score v is g(v) = -w (log w + softplus(-v)), and with the convex conjugate f* of f
    f*(g(v)) = (1 - w) (log(1 - w) + softplus(v)). The score is the posterior log-odds of P at prior probability w.

    In f-GAN's g there is no w before the softplus; it has the same range, but its f* suffers from cancellation.

    For a confident critic the gradient of the generator's alternative loss (`saturating=False`) is w on samples of Q and
    1 - w on those of P; that of its minimax loss (`saturating=True`) vanishes on both.

    Arguments:
        weight: w, in (0, 1).

    Raises:
        ValueError: `weight` is not in (0, 1).

    Example:
        >>> p, q = torch.tensor([0.5, 2.0]), torch.tensor([-1.0, 1.0])
        >>> JensenShannon().critic_loss(p, q) / WeightedJensenShannon(weight=0.5).critic_loss(p, q)
        tensor(2.)
    """

    weight: float = 0.3
    vanishes = ("", "PQ")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(0 < self.weight < 1, "it is the share of P in the mixture, between 0 and 1", weight=self.weight)

    def f(self, u: Tensor) -> Tensor:
        """Returns f = w u log u - m log m at density ratios u = p/q > 0, of the shape of u, with w = `weight` and m = 1 - w +
        w u.
        """
        m = 1 - self.weight + self.weight * u
        return self.weight * torch.xlogy(u, u) - torch.xlogy(m, m)

    def output(self, v: Tensor) -> Tensor:
        """Returns the output activation g(v) = -w (log w + softplus(-v)) of the critic's scores v, with w = `weight`."""
        return -self.weight * (math.log(self.weight) + softplus(-v))

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(g(v)) = (1 - w) (log(1 - w) + softplus(v)) for the critic's scores v, with w = `weight`.

        f* is the convex conjugate of `f`, and g = `output`.
        """
        return (1 - self.weight) * (math.log(1 - self.weight) + softplus(v))

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio log p/q of P and Q, which is score + log((1 - w) / w) for an optimal critic,
        with w = `weight`.
        """
        return score + math.log((1 - self.weight) / self.weight)  # posterior odds = prior odds x ratio


class KL(FDivergence):
    """Kullback-Leibler divergence KL(P || Q): f(u) = u log u, output g(v) = v of a score v, convex conjugate f*(t) =
    exp(t - 1).

    For a confident critic the gradient of the generator's alternative loss (`saturating=False`) is 1 on samples of Q
    and grows exponentially on those of P. That of its minimax loss (`saturating=True`) vanishes on Q and is 1 on P.
    """

    vanishes = ("", "Q")

    def f(self, u: Tensor) -> Tensor:
        """Returns f = u log u at density ratios u = p/q > 0, of the shape of u."""
        return torch.xlogy(u, u)

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(v) = exp(v - 1) for the critic's scores v, with f* the convex conjugate of `f`."""
        return (v - 1).exp()

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio log p/q of P and Q, which is score - 1 for an optimal critic, of the shape of
        `score`.
        """
        return score - 1


class ReverseKL(FDivergence):
    """Reverse Kullback-Leibler divergence KL(Q || P): f(u) = -log u, output g(v) = -exp(-v) of a score v, f*(g(v)) = v - 1.

    f* is the convex conjugate of f. For a confident critic the gradient of the generator's alternative loss
    (`saturating=False`) grows exponentially on samples of Q and is 1 on those of P. That of its minimax loss
    (`saturating=True`) is 1 on Q and vanishes on P.
    """

    vanishes = ("", "P")
    log_odds = True

    def f(self, u: Tensor) -> Tensor:
        """Returns f = -log u at density ratios u = p/q > 0, of the shape of u."""
        return -u.log()

    def output(self, v: Tensor) -> Tensor:
        """Returns the output activation g(v) = -exp(-v) of the critic's scores v, of the shape of v."""
        return -(-v).exp()

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(g(v)) = v - 1 for the critic's scores v, with f* the convex conjugate of `f` and g = `output`."""
        return v - 1


class JeffreyLogRatio(Function):
    """Autograd function r(t) = -log W(exp(1 - t)), the solution of r + 1 - exp(-r) = t, with dr/dt = sigmoid(r).

    W is Lambert's function. r is the log-ratio log p/q of an optimal critic with score t for the Jeffrey divergence.
    Newton's method on r itself never computes exp(1 - t). The derivative is a function of the result r, so that higher
    derivatives follow by autograd.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(t: Tensor) -> Tensor:
        """Returns the solution r of r + 1 - exp(-r) = t for each score t, by six steps of Newton's method, of the shape
        of t.

        It is computed in float64 for float64 scores, else in float32, and returned in the type of t.
        """
        x = t if t.dtype == torch.float64 else t.float()
        r = torch.where(x > 0, x / 2, -torch.log1p(-x.clamp(max=0)))
        for _ in range(6):  # f'(exp r) is concave in r, so that every step but the first comes from below
            r = r - (r - torch.expm1(-r) - x) * r.sigmoid()
        return r.to(t.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Saves `output`, the result r of `forward`, in the autograd context `ctx` for `backward`; `inputs` are not
        used.
        """
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Returns the gradient with respect to t: the gradient with respect to r in `gradients`, times dr/dt =
        sigmoid(r).

        r, the result of `forward`, is taken from the autograd context `ctx`.
        """
        (r,) = ctx.saved_tensors
        return gradients[0] * r.sigmoid()


class Jeffrey(FDivergence):
    """Jeffrey divergence KL(P || Q) + KL(Q || P): f(u) = (u - 1) log u, output g(v) = v of a score v.

    The convex conjugate is f*(t) = exp(r) - 1 + r with r = -log W(e^(1-t)), where W is Lambert's function; r is log p/q
    at the optimal critic.

    For a confident critic (scores far above 0 on P, far below 0 on Q) the gradient of the generator's alternative loss
    (`saturating=False`) is 1 on samples of Q and grows exponentially with the score on P. That of its minimax loss
    (`saturating=True`) is 1 on P, and vanishes on Q as 1 / |score|.
    """

    vanishes = ("", "Q")

    def f(self, u: Tensor) -> Tensor:
        """Returns f = (u - 1) log u at density ratios u = p/q > 0, of the shape of u."""
        return (u - 1) * u.log()

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(v) = exp(r) - 1 + r for the critic's scores v, with f* the convex conjugate of `f`.

        r is the solution of r + 1 - exp(-r) = v.
        """
        r = self.unsmoothed_log_ratio(v)
        return torch.expm1(r) + r

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio r = log p/q of P and Q for an optimal critic: the solution of r + 1 - exp(-r) =
        score.
        """
        return JeffreyLogRatio.apply(score)  # type: ignore[no-untyped-call]


class Pearson(FDivergence):
    """Pearson chi-square divergence: f(u) = (u - 1)^2, output g(v) = v of a score v, convex conjugate f*(t) = t^2 / 4 + t.

    This f* is the supremum over all real u, as in f-GAN, with a minimum at t = -2. In the critic's loss it pulls scores
    back to -2, where u is 0. The generator's loss has the supremum over u >= 0, which is constant, -1, below -2. For a
    confident critic the gradient of the generator's alternative loss (`saturating=False`) is 1 on samples of Q and
    grows linearly on those of P. That of its minimax loss (`saturating=True`) is 0 on Q below -2, and 1 on P.

    Example:
        >>> q = torch.tensor([-20.0], requires_grad=True)
        >>> for saturating in (False, True):
        ...     print(torch.autograd.grad(Pearson(saturating).generator_loss(torch.zeros(1), q), q)[0].item() + 0.0)
        -1.0
        0.0
    """

    vanishes = ("", "Q")

    def f(self, u: Tensor) -> Tensor:
        """Returns f = (u - 1)^2 at density ratios u = p/q, of the shape of u."""
        return (u - 1).square()

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(v) = v^2 / 4 + v for the critic's scores v, with f* the convex conjugate of `f`."""
        return v.square() / 4 + v

    def monotone_conjugate(self, v: Tensor) -> Tensor:
        """Returns v^2 / 4 + v for scores v above -2, and its minimum, -1, for lower scores.

        The generator's loss, in which it is used, is thus monotone in v.
        """
        return self.conjugate(v.clamp(min=-2))

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio log p/q of P and Q, which is log(1 + score / 2) for an optimal critic.

        It is log 1e-6 for scores of -2 or less, where the ratio is 0.
        """
        return (1 + score / 2).clamp(min=1e-6).log()  # T = 2 (u - 1); a score below -2 stands for u = 0


class Neyman(FDivergence):
    """Neyman chi-square divergence: f(u) = (1 - u)^2 / u, output g(v) = 1 - exp(-v), f*(g(v)) = 2 - 2 exp(-v / 2).

    f* is the convex conjugate of f, and v a score. For a confident critic the gradient of both losses of the generator
    grows exponentially on samples of Q and vanishes on those of P: in a game such as ALI, where P depends on the
    encoder, the encoder's gradient through P vanishes.
    """

    vanishes = ("P", "P")

    def f(self, u: Tensor) -> Tensor:
        """Returns f = (1 - u)^2 / u at density ratios u = p/q > 0, of the shape of u."""
        return (1 - u).square() / u

    def output(self, v: Tensor) -> Tensor:
        """Returns the output activation g(v) = 1 - exp(-v) of the critic's scores v, of the shape of v."""
        return -torch.expm1(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(g(v)) = 2 - 2 exp(-v / 2) for the critic's scores v, with f* the convex conjugate of `f` and g =
        `output`.
        """
        return -2 * torch.expm1(-v / 2)

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio log p/q of P and Q, which is score / 2 for an optimal critic, of the shape of
        `score`.
        """
        return score / 2


class SquaredHellinger(FDivergence):
    """Squared Hellinger distance: f(u) = (sqrt u - 1)^2, output g(v) = 1 - exp(-v) of a score v, f*(g(v)) = exp(v) - 1.

    f* is the convex conjugate of f. For a confident critic (scores far above 0 on P, far below 0 on Q) the gradient of
    the generator's alternative loss (`saturating=False`) grows exponentially with |score| on samples of both P and Q.
    That of its minimax loss (`saturating=True`) vanishes on both.
    """

    vanishes = ("", "PQ")

    def f(self, u: Tensor) -> Tensor:
        """Returns f = (sqrt u - 1)^2 at density ratios u = p/q > 0, of the shape of u."""
        return (u.sqrt() - 1).square()

    def output(self, v: Tensor) -> Tensor:
        """Returns the output activation g(v) = 1 - exp(-v) of the critic's scores v, of the shape of v."""
        return -torch.expm1(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(g(v)) = exp(v) - 1 for the critic's scores v, with f* the convex conjugate of `f` and g = `output`."""
        return torch.expm1(v)

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio log p/q of P and Q, which is 2 score for an optimal critic, of the shape of `score`.

        The score v of such a critic fulfills 1 - exp(-v) = f'(p/q) = 1 - (p/q)^(-1/2).
        """
        return 2 * score


class TotalVariation(FDivergence):
    """Total variation distance: f(u) = |u - 1| / 2, output g(v) = tanh(v) / 2 of a score v, convex conjugate f*(t) = t.

    The generator's two losses (`saturating` False and True) are the same, (E_P[tanh v] - E_Q[tanh v]) / 2. The gradient
    vanishes on samples of both P and Q for a confident critic, 9e-5 at a score of 5: use a penalty that limits the
    critic's scores.
    """

    vanishes = ("PQ", "PQ")

    def f(self, u: Tensor) -> Tensor:
        """Returns f = |u - 1| / 2 at density ratios u = p/q > 0, of the shape of u."""
        return (u - 1).abs() / 2

    def output(self, v: Tensor) -> Tensor:
        """Returns the output activation g(v) = tanh(v) / 2 of the critic's scores v, of the shape of v."""
        return v.tanh() / 2

    conjugate = output


@dataclass(frozen=True)
class Alpha(FDivergence):
    """Alpha divergences, f(u) = (u^a - 1 - a (u - 1)) / (a (a - 1)) at density ratios u.

    They are KL as a -> 1, reverse KL as a -> 0, half of Pearson at 2, twice squared Hellinger at 1/2, half of Neyman at -1.

    With r = log u, f'(e^r) = (exp((a - 1) r) - 1) / (a - 1), and f*(f'(e^r)) = (exp(a r) - 1) / a, with f* the convex
    conjugate of f. For a critic's score v both are taken at r = v / max(1, abs(a), abs(a - 1)), so that the output activation
    g(v) = f'(e^r) is smooth in a and no power exceeds exp(abs(v)). For a > 1, g(v) stays above 1 / (1 - a), in the range
    of f'; with f-GAN's g(v) = v it can leave it.

    For a confident critic the gradient of the generator's alternative loss (`saturating=False`) is exp((a - 1) r) on
    samples of Q and exp(a r) on those of P, divided by that maximum. It grows on both for 0 < a < 1, vanishes on P for
    a < 0 and on Q for a > 1 (2e-5 at a score of -20 and a = 2). That of the minimax loss (`saturating=True`) has exp(a r)
    on Q and exp((a - 1) r) on P; it vanishes on P for a < 1 and on Q for a > 0.

    Arguments:
        alpha: a, neither 0 nor 1.

    Raises:
        ValueError: `alpha` is 0 or 1; use `ReverseKL` or `KL`.

    References:
        Differential-Geometrical Methods in Statistics, Shun-ichi Amari, 1985, https://doi.org/10.1007/978-1-4612-5056-2

    Example:
        >>> Alpha(alpha=2.0).f(torch.tensor(3.0)), Pearson().f(torch.tensor(3.0))
        (tensor(2.), tensor(4.))
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = "at 0 and 1 it is the reverse and the Kullback-Leibler divergence; use 'reverse-kl' or 'kl'"
        check_range(self.alpha not in (0, 1), rule, alpha=self.alpha)

    @property
    def log_odds(self) -> bool:  # type: ignore[override]
        """True for `alpha` in (0, 1): the optimal critic's score is the log-odds of P against Q. Otherwise it is
        False, since the score is a multiple of the log-odds.
        """
        return 0 < self.alpha < 1  # else the score is a multiple of them

    @property
    def vanishes(self) -> tuple[str, str]:  # type: ignore[override]
        """Two texts of the letters "P" and "Q": the distributions on whose samples the gradient of the generator's loss
        vanishes for a confident critic, whose scores are high on P and low on Q.

        With a = `alpha`, the first text is for the alternative loss (`saturating=False`): it has P for a < 0, and Q for
        a > 1. The second is for the minimax loss: it has P for a < 1, and Q for a > 0, thus "PQ" between 0 and 1.
        """
        a = self.alpha
        alternative = ("P" if a < 0 else "") + ("Q" if a > 1 else "")
        minimax = ("P" if a < 1 else "") + ("Q" if a > 0 else "")
        return alternative, minimax

    def f(self, u: Tensor) -> Tensor:
        """Returns f = (u^a - 1 - a (u - 1)) / (a (a - 1)) at density ratios u = p/q > 0, with a = `alpha`."""
        a = self.alpha
        return (torch.expm1(a * u.log()) - a * (u - 1)) / (a * (a - 1))

    def output(self, v: Tensor) -> Tensor:
        """Returns the output activation g(v) = (exp((a - 1) r) - 1) / (a - 1) of the critic's scores v, of the shape of v.

        Here a = `alpha` and r = v / max(1, |a|, |a - 1|).
        """
        return torch.expm1((self.alpha - 1) * self.unsmoothed_log_ratio(v)) / (self.alpha - 1)

    def conjugate(self, v: Tensor) -> Tensor:
        """Returns f*(g(v)) = (exp(a r) - 1) / a for the critic's scores v, with f* the convex conjugate of `f` and g =
        `output`.

        Here a = `alpha` and r = v / max(1, |a|, |a - 1|).
        """
        return torch.expm1(self.alpha * self.unsmoothed_log_ratio(v)) / self.alpha

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio of P and Q, score / max(1, |a|, |a - 1|) with a = `alpha`, for an optimal critic."""
        return score / max(1.0, abs(self.alpha), abs(self.alpha - 1))


@dataclass(frozen=True)
class LeastSquares(Divergence):
    """Least-squares loss (LSGAN): the critic regresses scores on data to b and scores on generated samples to a; the
    generator regresses scores on generated samples to c.

    P is the distribution to score high (the data), Q the one to score low (the model). Where P depends on the generator,
    as in ALI, the generator regresses the scores on P to a + b - c. With p and q the scores on P and Q:

    critic: (mean[(p - b)^2] + mean[(q - a)^2]) / 2;  generator: (mean[(p - (a + b - c))^2] + mean[(q - c)^2]) / 2.

    Let p and q now be the densities of P and Q. With (a, b, c) = (-1, 1, 0) and the optimal critic, the generator's loss is
    half of the integral of (p - q)^2 / (p + q), i.e. D_f(Q || (P + Q) / 2) with the f of `Pearson`; the integral is the
    paper's Pearson chi-square of P + Q from 2 Q. The optimal score (b p + a q) / (p + q) determines the density ratio,
    p/q = (score - a) / (b - score). The generator's gradient in a score is the distance from the target: it grows with
    overconfident scores and changes its sign beyond the target.

    Arguments:
        a: the critic's target for scores on Q.
        b: the critic's target for scores on P; it differs from a.
        c: the generator's target for scores on Q.

    References:
        Least Squares Generative Adversarial Networks, Xudong Mao and others, 2017, https://arxiv.org/abs/1611.04076
    """

    a: float = 0.0
    b: float = 1.0
    c: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.a != self.b, "the targets on P and Q must differ; give two numbers", a=self.a, b=self.b)

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """Returns the log density ratio log p/q of P and Q, which is log((score - a) / (b - score)) for an optimal critic.

        b and a are the targets of scores on P and Q. Scores outside of the interval between them are moved just inside.
        """
        return ((score - self.a) / (self.b - self.a)).clamp(1e-6, 1 - 1e-6).logit()  # the log-odds of p / (p + q)

    def on_p(self, p: Tensor) -> Tensor:
        """Returns (p - b)^2 / 2, the critic's loss for each score p on samples of P (the data); the field b is the
        target.
        """
        return (p - self.b).square() / 2

    def on_q(self, q: Tensor) -> Tensor:
        """Returns (q - a)^2 / 2, the critic's loss for each score q on samples of Q (the model); the field a is the
        target.
        """
        return (q - self.a).square() / 2

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """Returns (mean[(p - (a + b - c))^2] + mean[(q - c)^2]) / 2, a scalar; a and b are the critic's targets on Q
        and P, c the generator's on Q.

        Arguments:
            p: the critic's scores on samples of P, the data.
            q: the critic's scores on samples of Q, the model.
        """
        mirror = self.a + self.b - self.c
        return ((p - mirror).square().mean() + (q - self.c).square().mean()) / 2


class Hinge(Divergence):
    """Hinge loss of scores p on data and q on generated samples: the critic's is mean[max(0, 1 - p)] + mean[max(0, 1 +
    q)], the generator's mean[p] - mean[q].

    p are the critic's scores on samples of P (the data), q those on samples of Q (the model).

    References:
        Geometric GAN, Jae Hyun Lim, Jong Chul Ye, 2017, https://arxiv.org/abs/1705.02894
    """

    def on_p(self, p: Tensor) -> Tensor:
        """Returns max(0, 1 - p), the critic's loss for each score p on samples of P (the data), of the shape of p."""
        return relu(1 - p)

    def on_q(self, q: Tensor) -> Tensor:
        """Returns max(0, 1 + q), the critic's loss for each score q on samples of Q (the model), of the shape of q."""
        return relu(1 + q)

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """Returns mean[p] - mean[q], a scalar, for the critic's scores p on the data and q on the model."""
        return p.mean() - q.mean()


class BigBiGAN(Hinge):
    """BigBiGAN's loss: the sum of hinge losses of the three terms of the critic's score, of x, of z and of (x, z).

    critic: sum over terms of mean[max(0, 1 - p)] + mean[max(0, 1 + q)];  generator: sum over terms of mean[p] - mean[q].

    p are the scores on samples of P (the data), q those on samples of Q (the model), both of shape (n, terms). Scores of
    any other shape have one term; then this is `Hinge`.

    References:
        Large Scale Adversarial Representation Learning, Jeff Donahue, Karen Simonyan, 2019,
        https://arxiv.org/abs/1907.02544

    Example:
        >>> BigBiGAN().critic_loss(torch.zeros(8, 3), torch.zeros(8, 3))  # three terms with scores of 0
        tensor(6.)
    """

    per_head: ClassVar[bool] = True

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """Returns mean[p] - mean[q] over the batch, summed over the columns (the terms of the score), a scalar.

        Arguments:
            p: the critic's scores on samples of P, the data, shape (n, terms).
            q: the critic's scores on samples of Q, the model, of the same shape.
        """
        return self.mean(p) - self.mean(q)

    def mean(self, terms: Tensor) -> Tensor:
        """Returns the mean loss over the batch, summed over the columns (the terms of the score), a scalar.

        `terms` are the losses of single scores, shape (n, terms); with any other shape, the mean of all is returned.
        """
        return terms.mean(0).sum() if terms.ndim == 2 else terms.mean()


class Wasserstein(Divergence):
    """Wasserstein distance (WGAN), which requires a penalty: the critic's loss is mean[q] - mean[p], the generator's
    mean[p] - mean[q].

    p are the critic's scores on samples of P (the data), q those on samples of Q (the model).

    The critic must be Lipschitz: combine it with the penalty wgan-gp or weight-clip.

    References:
        Wasserstein GAN, Martin Arjovsky, Soumith Chintala, Leon Bottou, 2017, https://arxiv.org/abs/1701.07875
    """

    def __post_init__(self) -> None:
        rule = "label smoothing needs scores with a scale, and those of a Wasserstein critic have none; leave it out"
        check_range(not self.smoothing, rule, smoothing=self.smoothing)

    def on_p(self, p: Tensor) -> Tensor:
        """Returns -p, the critic's loss for each score p on samples of P (the data), of the shape of p."""
        return -p

    def on_q(self, q: Tensor) -> Tensor:
        """Returns q, the critic's loss for each score q on samples of Q (the model), of the shape of q."""
        return q

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """Returns mean[p] - mean[q], a scalar, for the critic's scores p on the data and q on the model."""
        return p.mean() - q.mean()


@dataclass(frozen=True)
class Relativistic(Divergence):
    """Relativistic paired loss: the losses of another divergence for differences of scores, each of one on data and one
    on a generated sample.

    The critic learns which sample of a pair is from P (the data), the other being from Q (the model). With L and G the
    critic's and the generator's loss of the other divergence, and the i-th scores p_i and q_i of both batches as a pair:

        critic: L(p_i - q_i, q_i - p_i) / 2;  generator: G(p_i - q_i, q_i - p_i) / 2

    with `gan` mean[softplus(q_i - p_i)] and mean[softplus(p_i - q_i)]. With smoothing a, a share a of the pairs counts as
    swapped: (1 - a) L(p_i - q_i, q_i - p_i) / 2 + a L(q_i - p_i, p_i - q_i) / 2. A constant added to all scores changes
    nothing, so no score determines a density ratio. For a confident critic the generator's gradient is half the sum of
    the other divergence's gradients on P and on Q, which is 1 for `gan`.

    References:
        The relativistic discriminator: a key element missing from standard GAN, Alexia Jolicoeur-Martineau, 2018,
        https://arxiv.org/abs/1807.00734

    Arguments:
        of: the name of the other divergence, with arguments if any, such as "least-squares(c=0.5)".
        smoothing: a, in [0, 1): with `gan` the critic's target is 1 - a instead of 1.

    Raises:
        ValueError: `of` is relativistic itself, or has `smoothing`, which belongs to this class.
        UserError: there is no such divergence.

    Example:
        >>> Relativistic(of="hinge").critic_loss(torch.tensor([3.0]), torch.tensor([2.5]))  # 1 - (3 - 2.5)
        tensor(0.5000)
    """

    of: str = "gan"

    def __post_init__(self) -> None:
        if isinstance(self.base, Relativistic):
            raise ValueError("`of` is relativistic itself; name another divergence")
        if self.base.smoothing:
            raise ValueError(f"`of` must not set smoothing; write relativistic(..., smoothing={self.base.smoothing})")
        replace(self.base, smoothing=self.smoothing)  # raises if the other divergence refuses it

    @functools.cached_property
    def base(self) -> Divergence:
        """The other divergence, whose losses are applied to the differences of scores; the field `of` is its name and
        arguments.
        """
        return registry.make(self.of, REGISTRY, "divergence")

    @property
    def per_head(self) -> bool:  # type: ignore[override]
        """True if the critic returns the terms of its score separately, shape (n, terms), because the other divergence
        needs them.
        """
        return self.base.per_head

    @property
    def vanishing(self) -> frozenset[str]:
        """The distributions, "P" and "Q", on whose samples the generator's gradient vanishes for a confident critic.

        It vanishes on both if it does so on both under the other divergence; otherwise the set is empty.
        """
        both = frozenset("PQ")  # the gradient of a pair is the sum of the other divergence's two
        return both if self.base.vanishing == both else frozenset()

    def on_p(self, p: Tensor) -> Tensor:
        """Returns half of the other divergence's critic loss for each p, the score on a sample of P minus the paired
        score on Q.
        """
        return self.base.on_p(p) / 2

    def on_q(self, q: Tensor) -> Tensor:
        """Returns half of the other divergence's critic loss for each q, the score on a sample of Q minus the paired
        score on P.
        """
        return self.base.on_q(q) / 2

    def mean(self, terms: Tensor) -> Tensor:
        """Returns the mean of the losses of single pairs, `terms`, over all pairs, as the other divergence computes it,
        a scalar.
        """
        return self.base.mean(terms)

    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """Returns L(p - q, q - p) / 2, a scalar, where L(scores on P, scores on Q) is the critic loss of the other
        divergence.

        With the field a = `smoothing` it is (1 - a) L(p - q, q - p) / 2 + a L(q - p, p - q) / 2.

        Arguments:
            p: the scores on samples of P, the data, shape (n,).
            q: the scores on samples of Q, the model, of the same shape; the i-th scores of p and q are a pair.
        """
        loss = self.base.critic_loss(p - q, q - p) / 2
        if not self.smoothing:
            return loss
        return (1 - self.smoothing) * loss + self.smoothing * self.base.critic_loss(q - p, p - q) / 2

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """Returns G(p - q, q - p) / 2, a scalar, where G(scores on P, scores on Q) is the generator loss of the other
        divergence.

        Arguments:
            p: the critic's scores on samples of P, the data, shape (n,).
            q: the critic's scores on samples of Q, the model, of the same shape; the i-th scores of p and q are a pair.
        """
        return self.base.generator_loss(p - q, q - p) / 2


REGISTRY: Registry[Callable[..., Divergence]] = Registry(
    "divergences",
    {
        "gan": GAN,
        "jensen-shannon": JensenShannon,
        "weighted-jensen-shannon": WeightedJensenShannon,
        "kl": KL,
        "reverse-kl": ReverseKL,
        "jeffrey": Jeffrey,
        "pearson": Pearson,
        "neyman": Neyman,
        "squared-hellinger": SquaredHellinger,
        "total-variation": TotalVariation,
        "alpha": Alpha,
        "least-squares": LeastSquares,
        "hinge": Hinge,
        "bigbigan": BigBiGAN,
        "wasserstein": Wasserstein,
        "relativistic": Relativistic,
    },
    base=Divergence,
)
