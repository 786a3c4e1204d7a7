r"""A divergence turns a critic's scores on two joints into the critic's loss and the generator's loss.

Throughout, `p` are the scores on samples of P (the joint that the critic marks as true: in ALI the encoder's pairs
(x, z^), in GAN the data) and `q` those on samples of Q (the decoder's pairs (x~, z), the model). Scores are unbounded.

For an f-divergence D_f(P || Q) = E_Q[f(p/q)], the variational bound is

    D_f(P || Q) >= E_P[T] - E_Q[f*(T)],   T = g(v),

with v the score, g an output activation into the domain of the conjugate f*, and equality at T = f'(p/q).
The critic maximises it. The generator minimises it (`saturating=True`, the minimax loss), or, by default, charges itself
the same bound with the two joints swapped, E_Q[T] - E_P[f*(T)] to be maximised (the alternative loss); for GAN the second is
the non-saturating loss. Both have a slope of one sign only: never above 0 in a score on Q, never below 0 in one on P.

What that slope comes to where the critic is sure, as scores fall to -80 on Q and rise to 80 on P, in absolute value ("fades"
is to 0, "grows" is exponentially but where it says linearly):

    divergence                 alternative: Q    P                 minimax: Q      P
    gan, jensen-shannon        1                 1                 fades           fades
    weighted-jensen-shannon    w                 1 - w             fades           fades
    kl                         1                 grows             fades           1
    reverse-kl                 grows             1                 1               fades
    jeffrey                    1                 grows             fades as 1/q    1
    pearson                    1                 grows linearly    0 below -2      1
    neyman                     grows             fades             grows           fades
    squared-hellinger          grows             grows             fades           fades
    total-variation            fades             fades             fades           fades
    alpha, a < 0               grows             fades             grows           fades
    alpha, 0 < a < 1           grows             grows             fades           fades
    alpha, a > 1               fades             grows             fades           grows

So the alternative loss keeps the model's samples moving for all of them but total-variation and alpha above 1, and the
encoder of a game such as ALI for all but total-variation, neyman and alpha below 0. `Divergence.vanishing` says it of each.

Every loss is written in the score itself, mostly a log-ratio, with softplus and expm1 in place of logarithms of
sigmoids and differences of exponentials: for scores in [-80, 80] neither a loss nor a gradient overflows (`Relativistic`: for
differences of scores in this range, with a divergence that grows exponentially).
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
    """What a critic's scores on P and Q cost the two players.

    The critic pays mean[A(p)] + mean[B(q)]. With one-sided label smoothing a it is asked for 1 - a on P in place of 1:

        (1 - a) mean[A(p)] + a mean[B(p)] + mean[B(q)]

    so that its optimum is the one for (1 - a) P against Q + a P, and it is never sure of P. The generator's loss stays.

    Arguments:
        smoothing: a, in [0, 1).

    Attributes:
        per_head: wants the critic's terms separately, (n, heads), instead of their sum, (n,).
        log_odds: whether the optimal critic's score is the log-odds of P against Q, so that its sigmoid is a probability.
        vanishing: the joints, "P" and "Q", on whose samples the generator's gradient fades to 0 as the critic becomes surer of
            them, with scores that rise on P and fall on Q; on the others it stays or grows.

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
        """A(p): what each score on P costs the critic."""

    @abc.abstractmethod
    def on_q(self, q: Tensor) -> Tensor:
        """B(q): what each score on Q costs the critic."""

    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """The critic's loss, a scalar, from the scores on P and Q, each of shape (n,), or (n, h, w) from patches."""
        if not self.smoothing:
            return self.mean(self.on_p(p)) + self.mean(self.on_q(q))
        a = self.smoothing
        return self.mean((1 - a) * self.on_p(p) + a * self.on_q(p)) + self.mean(self.on_q(q))

    @abc.abstractmethod
    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        """The generator's loss, a scalar, from the scores on P and Q, each of shape (n,), or (n, h, w) from patches."""

    @property
    def vanishing(self) -> frozenset[str]:
        return frozenset()

    def mean(self, terms: Tensor) -> Tensor:
        """The mean over all scores."""
        return expectation(terms)

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        """log p/q at the optimal critic that is asked for no smoothed labels; raises what `log_ratio` raises."""
        if self.log_odds:
            return score
        raise UserError(
            f"{type(self).__name__} does not tell the density ratio from a score; choose an f-divergence as "
            f"`divergence`, such as gan."
        )

    def log_ratio(self, score: Tensor) -> Tensor:
        """log p/q at the optimal critic.

        Raises:
            UserError: the score of this divergence does not determine the density ratio.
        """
        r = self.unsmoothed_log_ratio(score)  # log (1 - a) p / (a p + q), which stays under log((1 - a) / a)
        if not self.smoothing:
            return r
        left = 1 - self.smoothing - self.smoothing * r.clamp(max=60.0).exp()  # whose gradient is a number, too
        return r - left.clamp_min(1e-6).log()


def expectation(terms: Tensor) -> Tensor:
    """The mean of all terms; exp(80) is a term that float32 can add up 4,096 times, so more are divided before the sum."""
    return terms.mean() if terms.numel() <= 4096 else (terms / terms.numel()).sum()


def auc(p: Tensor, q: Tensor) -> float:
    """The probability that a score of P is above one of Q, ties counted by half: the area under the critic's ROC curve.

    It has no unit, so one threshold serves all divergences: 1/2 for a critic that cannot tell, 1 for one that always can.

    Example:
        >>> auc(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]))
        0.875
    """
    p, q = p.detach().flatten().contiguous(), q.detach().flatten().sort().values
    below = torch.searchsorted(q, p) + torch.searchsorted(q, p, right=True)
    return float(below.double().mean() / (2 * len(q)))


@dataclass(frozen=True)
class FDivergence(Divergence):
    """An f-divergence by its variational bound.

    Arguments:
        saturating: whether the generator minimises the bound itself (the minimax game) instead of the swapped bound.

    Attributes:
        vanishes: the joints of `vanishing` under the alternative loss, and under the minimax one.

    References:
        f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, Sebastian Nowozin,
        Botond Cseke, Ryota Tomioka, 2016, https://arxiv.org/abs/1606.00709
    """

    saturating: bool = False
    vanishes: ClassVar[tuple[str, str]] = ("", "")

    @property
    def vanishing(self) -> frozenset[str]:
        alternative, minimax = self.vanishes
        return frozenset(minimax if self.saturating else alternative)

    @abc.abstractmethod
    def f(self, u: Tensor) -> Tensor:
        """The generating function of the divergence, at a density ratio u > 0."""

    def output(self, v: Tensor) -> Tensor:
        """T = g(v): v itself where f* takes any number."""
        return v

    @abc.abstractmethod
    def conjugate(self, v: Tensor) -> Tensor:
        """f*(g(v)), simplified so that it neither overflows early nor cancels."""

    def monotone_conjugate(self, v: Tensor) -> Tensor:
        """f*(g(v)) for the generator, nowhere falling in v: the supremum over density ratios u >= 0 alone."""
        return self.conjugate(v)

    def on_p(self, p: Tensor) -> Tensor:
        return -self.output(p)  # of -(E_P[T] - E_Q[f*(T)])

    def on_q(self, q: Tensor) -> Tensor:
        return self.conjugate(q)

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        if self.saturating:
            return expectation(self.output(p)) - expectation(self.monotone_conjugate(q))
        return expectation(self.monotone_conjugate(p)) - expectation(self.output(q))


class GAN(FDivergence):
    """The original game: f(u) = u log u - (u + 1) log(u + 1), D = 2 JS - 2 log 2; g(v) = log sigmoid(v).

    critic: mean[softplus(-p)] + mean[softplus(q)];  generator: mean[softplus(p)] + mean[softplus(-q)],
    or with `saturating=True` the critic's loss with the other sign. Where the critic is sure the former has a slope of 1 on
    both joints, and the latter's fades on both.

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
        return torch.xlogy(u, u) - (u + 1) * torch.log1p(u)

    def output(self, v: Tensor) -> Tensor:
        return -softplus(-v)  # log sigmoid(v), written as Algorithm 1 writes it

    def conjugate(self, v: Tensor) -> Tensor:
        return softplus(v)


class JensenShannon(GAN):
    """f(u) = u log u - (u + 1) log((u + 1) / 2), twice the Jensen-Shannon divergence; g(v) = log 2 + log sigmoid(v).

    Its gradients are those of `GAN`.
    """

    def f(self, u: Tensor) -> Tensor:
        return torch.xlogy(u, u) - (u + 1) * (torch.log1p(u) - math.log(2))

    def output(self, v: Tensor) -> Tensor:
        return math.log(2) - softplus(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return softplus(v) - math.log(2)


@dataclass(frozen=True)
class WeightedJensenShannon(FDivergence):
    """w KL(P || M) + (1 - w) KL(Q || M) with M = w P + (1 - w) Q; half of `JensenShannon` at w = 1/2.

    f(u) = w u log u - m log m with m = 1 - w + w u; g(v) = -w (log w + softplus(-v)),
    f*(g(v)) = (1 - w) (log(1 - w) + softplus(v)): the score is the posterior log-odds of P at prior w.

    f-GAN leaves the w before the softplus out of g, which covers the same domain, and pays with an f* that cancels. Where the
    critic is sure the alternative loss has a slope of w on Q and of 1 - w on P, and the minimax one's fades on both.

    Arguments:
        weight: w, in (0, 1).

    Raises:
        ValueError: a weight that is no share.

    Example:
        >>> p, q = torch.tensor([0.5, 2.0]), torch.tensor([-1.0, 1.0])
        >>> JensenShannon().critic_loss(p, q) / WeightedJensenShannon(weight=0.5).critic_loss(p, q)
        tensor(2.)
    """

    weight: float = 0.3
    vanishes = ("", "PQ")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(0 < self.weight < 1, "it is the share of P in the mixture: between 0 and 1", weight=self.weight)

    def f(self, u: Tensor) -> Tensor:
        m = 1 - self.weight + self.weight * u
        return self.weight * torch.xlogy(u, u) - torch.xlogy(m, m)

    def output(self, v: Tensor) -> Tensor:
        return -self.weight * (math.log(self.weight) + softplus(-v))

    def conjugate(self, v: Tensor) -> Tensor:
        return (1 - self.weight) * (math.log(1 - self.weight) + softplus(v))

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        return score + math.log((1 - self.weight) / self.weight)  # posterior odds = prior odds x ratio


class KL(FDivergence):
    """Kullback-Leibler, f(u) = u log u; g(v) = v, f*(t) = exp(t - 1).

    Where the critic is sure the alternative loss has a slope of 1 on Q and one that grows exponentially on P; the minimax
    one's fades on Q and is 1 on P.
    """

    vanishes = ("", "Q")

    def f(self, u: Tensor) -> Tensor:
        return torch.xlogy(u, u)

    def conjugate(self, v: Tensor) -> Tensor:
        return (v - 1).exp()

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        return score - 1


class ReverseKL(FDivergence):
    """Reverse Kullback-Leibler, f(u) = -log u; g(v) = -exp(-v), f*(g(v)) = v - 1.

    Where the critic is sure the alternative loss has a slope that grows exponentially on Q and is 1 on P; the minimax one's
    is 1 on Q and fades on P.
    """

    vanishes = ("", "P")
    log_odds = True

    def f(self, u: Tensor) -> Tensor:
        return -u.log()

    def output(self, v: Tensor) -> Tensor:
        return -(-v).exp()

    def conjugate(self, v: Tensor) -> Tensor:
        return v - 1


class JeffreyLogRatio(Function):
    """r = -log W(exp(1 - t)), the solution of f'(exp r) = r + 1 - exp(-r) = t, with dr/dt = sigmoid(r).

    Newton's method on r itself, so that exp(1 - t) is never formed. The derivative is a function of the answer, so every
    higher one follows by differentiating through it.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(t: Tensor) -> Tensor:
        x = t if t.dtype == torch.float64 else t.float()
        r = torch.where(x > 0, x / 2, -torch.log1p(-x.clamp(max=0)))
        for _ in range(6):  # f'(exp r) is concave in r, so that every step but the first comes from below
            r = r - (r - torch.expm1(-r) - x) * r.sigmoid()
        return r.to(t.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (r,) = ctx.saved_tensors
        return gradients[0] * r.sigmoid()


class Jeffrey(FDivergence):
    """Jeffrey, KL(P || Q) + KL(Q || P), f(u) = (u - 1) log u; g(v) = v, f*(t) = W(e^(1-t)) + 1 / W(e^(1-t)) + t - 2.

    W is Lambert's function. With r = -log W(e^(1-t)), which is log p/q at the optimal critic, f*(t) = exp(r) - 1 + r. Where
    the critic is sure the alternative loss has a slope of 1 on Q and one that grows exponentially on P; the minimax one's
    fades on Q, slowly, as 1 / |q|, and is 1 on P.
    """

    vanishes = ("", "Q")

    def f(self, u: Tensor) -> Tensor:
        return (u - 1) * u.log()

    def conjugate(self, v: Tensor) -> Tensor:
        r = self.unsmoothed_log_ratio(v)
        return torch.expm1(r) + r

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        return JeffreyLogRatio.apply(score)  # type: ignore[no-untyped-call]


class Pearson(FDivergence):
    """Pearson chi-square, f(u) = (u - 1)^2; g(v) = v, f*(t) = t^2 / 4 + t.

    This f* is the supremum over all real u, as f-GAN has it, and turns round at t = -2. The critic is charged it, so that its
    scores are drawn back to -2, where u is 0; the generator is charged the supremum over u >= 0, which stays at -1 below -2.
    Where the critic is sure the alternative loss has a slope of 1 on Q and one that grows linearly on P; the minimax one's is
    0 on Q below -2, and 1 on P.

    Example:
        >>> q = torch.tensor([-20.0], requires_grad=True)
        >>> for saturating in (False, True):
        ...     print(torch.autograd.grad(Pearson(saturating).generator_loss(torch.zeros(1), q), q)[0].item() + 0.0)
        -1.0
        0.0
    """

    vanishes = ("", "Q")

    def f(self, u: Tensor) -> Tensor:
        return (u - 1).square()

    def conjugate(self, v: Tensor) -> Tensor:
        return v.square() / 4 + v

    def monotone_conjugate(self, v: Tensor) -> Tensor:
        return self.conjugate(v.clamp(min=-2))

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        return (1 + score / 2).clamp(min=1e-6).log()  # T = 2 (u - 1); a score below -2 stands for u = 0


class Neyman(FDivergence):
    """Neyman chi-square, f(u) = (1 - u)^2 / u; g(v) = 1 - exp(-v), f*(g(v)) = 2 - 2 exp(-v / 2).

    Where the critic is sure both losses have a slope that grows exponentially on Q and fades on P: in a game such as ALI,
    whose encoder moves P, the encoder is left with the decoder's gradient alone.
    """

    vanishes = ("P", "P")

    def f(self, u: Tensor) -> Tensor:
        return (1 - u).square() / u

    def output(self, v: Tensor) -> Tensor:
        return -torch.expm1(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return -2 * torch.expm1(-v / 2)

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        return score / 2


class SquaredHellinger(FDivergence):
    """Squared Hellinger, f(u) = (sqrt u - 1)^2; g(v) = 1 - exp(-v), f*(g(v)) = exp(v) - 1.

    Where the critic is sure the alternative loss has a slope that grows exponentially on both joints, and the minimax one's
    fades on both.
    """

    vanishes = ("", "PQ")

    def f(self, u: Tensor) -> Tensor:
        return (u.sqrt() - 1).square()

    def output(self, v: Tensor) -> Tensor:
        return -torch.expm1(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return torch.expm1(v)

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        return 2 * score


class TotalVariation(FDivergence):
    """Total variation, f(u) = |u - 1| / 2; g(v) = tanh(v) / 2, f*(t) = t.

    The two losses are one, (E_P[tanh] - E_Q[tanh]) / 2, whose slope fades on both joints where the critic is sure, 9e-5 at a
    score of 5: give a penalty that keeps the critic unsure.
    """

    vanishes = ("PQ", "PQ")

    def f(self, u: Tensor) -> Tensor:
        return (u - 1).abs() / 2

    def output(self, v: Tensor) -> Tensor:
        return v.tanh() / 2

    conjugate = output


@dataclass(frozen=True)
class Alpha(FDivergence):
    """The alpha family, f(u) = (u^a - 1 - a (u - 1)) / (a (a - 1)): KL as a -> 1, reverse KL as a -> 0, half of Pearson
    at 2, twice squared Hellinger at 1/2, half of Neyman at -1.

    With r = log u the slope is f'(e^r) = (exp((a - 1) r) - 1) / (a - 1), and f* of it (exp(a r) - 1) / a; both are taken
    at r = v / max(1, abs(a), abs(a - 1)), so that g is smooth in a and no power exceeds exp(abs(v)). For a > 1 it keeps T
    above 1 / (1 - a), where f-GAN's g(v) = v lets it leave the slopes that f has.

    Where the critic is sure the alternative loss has a slope of exp((a - 1) r) on Q and of exp(a r) on P, over that maximum:
    it grows on both for 0 < a < 1, fades on P for a < 0 and on Q for a > 1, where 20 below 0 it is 2e-5 at a = 2. The
    minimax one has exp(a r) on Q and exp((a - 1) r) on P, and fades on P for a < 1 and on Q for a > 0.

    Arguments:
        alpha: a, neither 0 nor 1.

    Raises:
        ValueError: an alpha of 0 or 1, each of which is another class.

    References:
        Differential-Geometrical Methods in Statistics, Shun-ichi Amari, 1985, https://doi.org/10.1007/978-1-4612-5056-2

    Example:
        >>> Alpha(alpha=2.0).f(torch.tensor(3.0)), Pearson().f(torch.tensor(3.0))
        (tensor(2.), tensor(4.))
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        law = "at 0 and 1 it is the reverse and the Kullback-Leibler divergence; use 'reverse-kl' or 'kl'"
        check_range(self.alpha not in (0, 1), law, alpha=self.alpha)

    @property
    def log_odds(self) -> bool:  # type: ignore[override]
        return 0 < self.alpha < 1  # elsewhere a multiple of them

    @property
    def vanishes(self) -> tuple[str, str]:  # type: ignore[override]
        a = self.alpha
        alternative = ("P" if a < 0 else "") + ("Q" if a > 1 else "")
        minimax = ("P" if a < 1 else "") + ("Q" if a > 0 else "")
        return alternative, minimax

    def f(self, u: Tensor) -> Tensor:
        a = self.alpha
        return (torch.expm1(a * u.log()) - a * (u - 1)) / (a * (a - 1))

    def output(self, v: Tensor) -> Tensor:
        return torch.expm1((self.alpha - 1) * self.unsmoothed_log_ratio(v)) / (self.alpha - 1)

    def conjugate(self, v: Tensor) -> Tensor:
        return torch.expm1(self.alpha * self.unsmoothed_log_ratio(v)) / self.alpha

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        return score / max(1.0, abs(self.alpha), abs(self.alpha - 1))


@dataclass(frozen=True)
class LeastSquares(Divergence):
    """Least squares: the critic pulls scores on P to b and on Q to a; the generator pulls those on Q to c (and, where
    P depends on it, those on P to a + b - c, the mirror image).

    critic: (mean[(p - b)^2] + mean[(q - a)^2]) / 2;  generator: (mean[(p - (a + b - c))^2] + mean[(q - c)^2]) / 2.

    With (a, b, c) = (-1, 1, 0) and the optimal critic the generator is charged half of the Pearson chi-square of P + Q
    from 2 Q, the integral of (p - q)^2 / (p + q); in terms of `Pearson`, the whole D_f(Q || (P + Q) / 2). The optimal score
    (b p + a q) / (p + q) tells the density ratio, p/q = (score - a) / (b - score). The generator's slope in a score is its
    distance from the target: it grows where the critic is surer than a and b ask for, and turns round beyond the target.

    References:
        Least Squares Generative Adversarial Networks, Xudong Mao and others, 2017, https://arxiv.org/abs/1611.04076
    """

    a: float = 0.0
    b: float = 1.0
    c: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.a != self.b, "a critic tells P from Q by them; give two numbers", a=self.a, b=self.b)

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        return ((score - self.a) / (self.b - self.a)).clamp(1e-6, 1 - 1e-6).logit()  # of p / (p + q)

    def on_p(self, p: Tensor) -> Tensor:
        return (p - self.b).square() / 2

    def on_q(self, q: Tensor) -> Tensor:
        return (q - self.a).square() / 2

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        mirror = self.a + self.b - self.c
        return ((p - mirror).square().mean() + (q - self.c).square().mean()) / 2


class Hinge(Divergence):
    """critic: mean[max(0, 1 - p)] + mean[max(0, 1 + q)];  generator: mean[p] - mean[q].

    References:
        Geometric GAN, Jae Hyun Lim, Jong Chul Ye, 2017, https://arxiv.org/abs/1705.02894
    """

    def on_p(self, p: Tensor) -> Tensor:
        return relu(1 - p)

    def on_q(self, q: Tensor) -> Tensor:
        return relu(1 + q)

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return p.mean() - q.mean()


class BigBiGAN(Hinge):
    """Hinge on each of the critic's terms for itself: of x, of z and of (x, z).

    critic: sum over heads of mean[max(0, 1 - p)] + mean[max(0, 1 + q)];  generator: sum over heads of mean[p] - mean[q].
    Scores of another shape than (n, heads) are of one head, for which this is `Hinge`.

    References:
        Large Scale Adversarial Representation Learning, Jeff Donahue, Karen Simonyan, 2019,
        https://arxiv.org/abs/1907.02544

    Example:
        >>> BigBiGAN().critic_loss(torch.zeros(8, 3), torch.zeros(8, 3))  # three undecided heads
        tensor(6.)
    """

    per_head: ClassVar[bool] = True

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return self.mean(p) - self.mean(q)

    def mean(self, terms: Tensor) -> Tensor:
        """The mean over n, summed over heads where there are any: from shape (n, heads), or of any other, to a scalar."""
        return terms.mean(0).sum() if terms.ndim == 2 else terms.mean()


class Wasserstein(Divergence):
    """critic: mean[q] - mean[p];  generator: mean[p] - mean[q]. The critic must be kept Lipschitz: give a penalty.

    References:
        Wasserstein GAN, Martin Arjovsky, Soumith Chintala, Leon Bottou, 2017, https://arxiv.org/abs/1701.07875
    """

    def __post_init__(self) -> None:
        law = "it asks a critic to be less sure, and this one's scores have no unit to be sure in; leave it out"
        check_range(not self.smoothing, law, smoothing=self.smoothing)

    def on_p(self, p: Tensor) -> Tensor:
        return -p

    def on_q(self, q: Tensor) -> Tensor:
        return q

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return p.mean() - q.mean()


@dataclass(frozen=True)
class Relativistic(Divergence):
    """Paired relativistic: the critic is asked which of two samples is from P, not whether one is.

    Any other divergence's losses, of the differences of the scores of pairs as they lie in the batch, halved:

        critic: L(p_i - q_i, q_i - p_i) / 2;  generator: G(p_i - q_i, q_i - p_i) / 2

    with `gan` mean[softplus(q_i - p_i)] and mean[softplus(p_i - q_i)]. With smoothing a of the pairs count as turned round,
    (1 - a) L(p_i - q_i, q_i - p_i) / 2 + a L(q_i - p_i, p_i - q_i) / 2. What is added to all scores changes nothing, so that
    no score tells a density ratio. Where the critic is sure of a pair the generator's slope is half the sum of the other
    divergence's on P and on Q, which for `gan` is 1.

    References:
        The relativistic discriminator: a key element missing from standard GAN, Alexia Jolicoeur-Martineau, 2018,
        https://arxiv.org/abs/1807.00734

    Arguments:
        of: the other divergence, with its settings.
        smoothing: a, in [0, 1): with `gan` the critic is asked for 1 - a in place of 1.

    Raises:
        ValueError: `of` is relativistic itself, or smooths its labels, for which this has a setting of its own.
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
            raise ValueError(f"`of` smooths its labels; write relativistic(..., smoothing={self.base.smoothing})")
        replace(self.base, smoothing=self.smoothing)  # which raises where the other divergence would

    @functools.cached_property
    def base(self) -> Divergence:
        return registry.make(self.of, REGISTRY, "divergence")

    @property
    def per_head(self) -> bool:  # type: ignore[override]
        return self.base.per_head

    @property
    def vanishing(self) -> frozenset[str]:
        both = frozenset("PQ")  # a pair's slope is the sum of the other divergence's two
        return both if self.base.vanishing == both else frozenset()

    def on_p(self, p: Tensor) -> Tensor:
        return self.base.on_p(p) / 2

    def on_q(self, q: Tensor) -> Tensor:
        return self.base.on_q(q) / 2

    def mean(self, terms: Tensor) -> Tensor:
        return self.base.mean(terms)

    def critic_loss(self, p: Tensor, q: Tensor) -> Tensor:
        right = self.base.critic_loss(p - q, q - p) / 2
        if not self.smoothing:
            return right
        return (1 - self.smoothing) * right + self.smoothing * self.base.critic_loss(q - p, p - q) / 2

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
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
