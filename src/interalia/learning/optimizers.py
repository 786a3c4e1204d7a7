"""Optimisers, learning-rate schedules and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer, RMSprop
from torch.optim.swa_utils import AveragedModel

from interalia.errors import check_range
from interalia.registry import Registry, make

Parameters = Iterable[nn.Parameter]


def adam(
    parameters: Parameters, lr: float = 2e-4, beta1: float = 0.5, beta2: float = 0.999, weight_decay: float = 0.0
) -> Optimizer:
    """Adam, with the beta1 of this family, 0.5; `weight_decay` is an L2 term in the gradient.

    References:
        Adam: A Method for Stochastic Optimization, Diederik P. Kingma, Jimmy Ba, 2015, https://arxiv.org/abs/1412.6980
    """
    return Adam(parameters, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay, fused=True)


def sgd(parameters: Parameters, lr: float = 1e-2, momentum: float = 0.0, weight_decay: float = 0.0) -> Optimizer:
    """Stochastic gradient descent."""
    return SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


def rmsprop(parameters: Parameters, lr: float = 5e-5, weight_decay: float = 0.0) -> Optimizer:
    """RMSprop, as WGAN and VAE/GAN use it."""
    return RMSprop(parameters, lr=lr, weight_decay=weight_decay)


OPTIMIZERS: Registry[Callable[..., Optimizer]] = Registry("optimizers", {"adam": adam, "sgd": sgd, "rmsprop": rmsprop})


Schedule = Callable[[float], float]  # the share of training that is over, in [0, 1] -> a factor on the learning rate


def constant(warmup: float = 0.0) -> Schedule:
    """The rate stays, after growing from 0 on a straight line over the share `warmup` of training."""
    check_decay(1.0, 0.0, warmup)
    return lambda t: grown(t, warmup)


def linear(start: float = 0.5, final: float = 0.0, warmup: float = 0.0) -> Schedule:
    """Constant until the share `start` of training, then on a straight line to `final` times the rate."""
    check_decay(start, final, warmup)
    return lambda t: grown(t, warmup) * (1.0 + (final - 1.0) * decayed(t, start))


def exponential(start: float = 0.5, final: float = 0.01, warmup: float = 0.0) -> Schedule:
    """Constant until the share `start` of training, then falling by a constant factor a step to `final` times the rate."""
    check_decay(start, final, warmup)
    return lambda t: grown(t, warmup) * float(final ** decayed(t, start))


def cosine(start: float = 0.0, final: float = 0.0, warmup: float = 0.0) -> Schedule:
    """Constant until the share `start` of training, then along half a cosine to `final` times the rate.

    References:
        SGDR: Stochastic Gradient Descent with Warm Restarts, Ilya Loshchilov, Frank Hutter, 2017,
        https://arxiv.org/abs/1608.03983 (without restarts)
    """
    check_decay(start, final, warmup)
    return lambda t: grown(t, warmup) * (final + (1.0 - final) * (1.0 + math.cos(math.pi * decayed(t, start))) / 2)


def check_decay(start: float, final: float, warmup: float) -> None:
    check_range(0 <= start <= 1 and final >= 0, "they lie in [0, 1] and [0, inf)", start=start, final=final)
    check_range(0 <= warmup <= 1, "it is a share of training in [0, 1]", warmup=warmup)


def decayed(t: float, start: float) -> float:
    """The share of the decay that is over at the share t of training."""
    return min(1.0, max(0.0, t - start) / max(1e-12, 1.0 - start))


def grown(t: float, warmup: float) -> float:
    """The factor of the warm-up at the share t of training."""
    return 1.0 if t >= warmup else t / warmup


SCHEDULES: Registry[Callable[..., Schedule]] = Registry(
    "schedules", {"constant": constant, "linear": linear, "exponential": exponential, "cosine": cosine}
)


@dataclass(frozen=True)
class Averaging:
    """How a game's weights are averaged over the steps; its buffers follow the game's.

    Batch norm's population statistics are such buffers: networks with averaged weights are normalised by the statistics of
    the newest ones. These differ the more the longer the average's memory is, most for the plain mean of a whole training;
    `recalibrate_batch_norm` (`recalibrate_bn`) takes the averaged weights' own at the end.

    With a decay, average <- decay * average + (1 - decay) * weights; without one, the plain mean of all weights since the
    beginning. Up to the share `start` of training the average is the newest weights. A warm average of n steps has no
    greater decay than (1 + n) / (10 + n), so that it forgets its beginning early in training too.

    Attributes:
        decay: None for the plain mean.
        start: the share of training at which averaging begins, in [0, 1).
        warm: whether the decay grows to its value.

    Raises:
        ValueError: `start` is out of its range.
    """

    decay: float | None = None
    start: float = 0.0
    warm: bool = False

    def __post_init__(self) -> None:
        check_range(0 <= self.start < 1, "it is a share of training in [0, 1)", start=self.start)

    def of(self, game: nn.Module) -> AveragedModel:
        """The average of this game's weights, before the first step."""

        def moved(averages: Any, weights: Any, _: Any) -> None:
            torch._foreach_lerp_(averages, weights, 1 - made.decay)

        made: Any = AveragedModel(game, multi_avg_fn=None if self.decay is None else moved)  # type: ignore[no-untyped-call]
        made.decay = self.decay
        return made  # type: ignore[no-any-return]

    def update(self, average: AveragedModel, game: nn.Module, step: int, steps: int) -> None:
        """Takes in the newest weights, those of the step of that number, from 0, of so many."""
        since = step - self.start * steps
        if self.warm and self.decay is not None:
            average.decay = min(self.decay, (1 + since) / (10 + since)) if since > 0 else 0.0  # type: ignore[assignment]
        average.update_parameters(game)
        if since < 0:
            average.n_averaged.zero_()  # torch copies the weights that come first


def ema(decay: float = 0.999, start: float = 0.0, warm: bool = True) -> Averaging:
    """An exponential moving average of the weights from the share `start` of training on; where it is `warm`, its decay grows
    from 0 to `decay`."""
    check_range(0 <= decay < 1, "it lies in [0, 1)", decay=decay)
    return Averaging(decay, start, warm)


def swa(start: float = 0.0) -> Averaging:
    """Stochastic weight averaging: the plain mean of the weights after each step beyond the share `start` of training.

    With batch norm it is worth `recalibrate_batch_norm` (`recalibrate_bn`), see `Averaging`.

    The theory of extragradient is about a mean too, of the points that it looks ahead to; the points that it moves to, which
    are averaged here, stay as near to these as a step is long.

    References:
        A Variational Inequality Perspective on Generative Adversarial Networks, Gauthier Gidel and others, 2019,
        https://arxiv.org/abs/1802.10551 (section 3)
        The Unusual Effectiveness of Averaging in GAN Training, Yasin Yazici and others, 2019,
        https://arxiv.org/abs/1806.04498 (both averages compared)
    """
    return Averaging(start=start)


AVERAGES: Registry[Callable[..., Averaging]] = Registry("averages", {"ema": ema, "swa": swa})


def averaging(text: str) -> Averaging | None:
    """The average of weights that a run names, such as ``ema(0.999)``; None for "none"."""
    return None if text == "none" else make(text, AVERAGES, "weight_average")
