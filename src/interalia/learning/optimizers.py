"""Optimizers, learning-rate schedules and averages of the weights."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop
from torch.optim.swa_utils import AveragedModel

from interalia.errors import check_range
from interalia.learning.slots import Slots
from interalia.registry import Registry, make

Parameters = Iterable[nn.Parameter]


def adam(
    parameters: Parameters, lr: float = 2e-4, beta1: float = 0.5, beta2: float = 0.999, weight_decay: float = 0.0
) -> Optimizer:
    """The optimizer Adam, by default with a `beta1` of 0.5, as usual for GANs.

    Arguments:
        parameters: the parameters of one player.
        lr: learning rate.
        beta1: decay of the average of the gradients.
        beta2: decay of the average of the squared gradients.
        weight_decay: factor on the parameters, which are added to the gradient; 0 for none.

    References:
        Adam: A Method for Stochastic Optimization, Diederik P. Kingma, Jimmy Ba, 2015, https://arxiv.org/abs/1412.6980
    """
    made = list(parameters)
    # torch's fused step is wrong for a parameter with gaps in memory, such as a slice of another tensor
    dense = all(torch.empty_like(p).stride() == p.stride() for p in made)
    return ListedAdam(made, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay, fused=dense)


class LightOptimizer(Optimizer):
    """A base class for torch's optimizers that does not import torch's compiler, which takes most of a CPU second.

    torch imports it to leave these methods out of compiled functions, and no optimizer is part of one here.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)


class ListedAdam(LightOptimizer, Adam):
    """torch's fused Adam, whose step keeps its lists of moments instead of making them again.

    The updates are those of torch to the last bit. A step is torch's own if it is not fused, if there are several groups
    of parameters, if a parameter has no gradient, if the parameters are not all of one dtype on one device, if a `GradScaler`
    takes it, or after a parameter or its state was replaced or moved.

    Tensors in channels-last order are passed on as views in the default order, of which torch makes no copies. Gradients
    and moments in another order than their parameter are copied to that order, because torch's step takes all in the
    order of memory.
    """

    # the moments and the squared moments, as `in_memory_order` returns them, and the numbers of steps of the parameters
    lists: Sequence[list[Tensor]] = ()
    # what the lists were made of: each parameter, its strides, its state, and the three tensors in it
    made_of: Sequence[tuple[nn.Parameter, tuple[int, ...], dict[str, Any], Sequence[Tensor]]] = ()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch calls it to load a state too
        self.lists = ()

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Updates the parameters along their gradients; returns the result of `closure`, which sets the gradients, or
        None without one.
        """
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.grad is not None and p.grad.stride() != p.stride():
                p.grad = in_order_of(p, p.grad)
        group = self.param_groups[0]
        gradients = [in_memory_order(p.grad) for p in group["params"] if p.grad is not None]
        usable = len(self.param_groups) == 1 and len(gradients) == len(group["params"])
        usable = usable and "found_inf" not in vars(self)  # a `GradScaler` sets it for its step
        usable = usable and group["fused"] and not (group["amsgrad"] or group.get("decoupled_weight_decay"))
        if not (usable and self.lists and self.is_current()):
            for p, moments in self.state.items():
                moments.update((key, in_order_of(p, moments[key])) for key in ORDERED if key in moments)
            inspect.unwrap(Adam.step)(self)
            self.lists = ()
            if usable and len({(p.dtype, p.device) for p in group["params"]}) == 1:
                self.make_lists()
            return result
        parameters = [in_memory_order(p) for p in group["params"]]
        torch._foreach_add_(self.lists[2], 1)
        options = {key: group[key] for key in ("lr", "weight_decay", "eps", "amsgrad", "maximize")}
        beta1, beta2 = group["betas"]
        averages, squares, steps = self.lists
        torch._fused_adam_(parameters, gradients, averages, squares, [], steps, beta1=beta1, beta2=beta2, **options)
        return result

    def make_lists(self) -> None:
        """Makes the lists of the tensors in the states of the first group of parameters."""
        parameters = self.param_groups[0]["params"]
        tensors = [[self.state[p][key] for key in ("exp_avg", "exp_avg_sq", "step")] for p in parameters]
        self.lists = [[in_memory_order(x) for x in one] for one in zip(*tensors, strict=True)]
        parts = zip(parameters, tensors, strict=True)
        self.made_of = [(p, p.stride(), self.state[p], own) for p, own in parts]

    def is_current(self) -> bool:
        """True if the parameters of the first group, their order in memory and the tensors in their states are those of the
        lists.
        """
        parameters, state = self.param_groups[0]["params"], self.state
        if len(parameters) != len(self.made_of) or parameters[0].device != self.lists[0][0].device:
            return False
        for one, (p, strides, own, (average, square, step)) in zip(parameters, self.made_of, strict=True):
            if one is not p or p.stride() != strides or state.get(p) is not own:
                return False
            if own["exp_avg"] is not average or own["exp_avg_sq"] is not square or own["step"] is not step:
                return False
        return True


ORDERED = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")  # the moments of Adam, by their names in a state


def in_memory_order(x: Tensor) -> Tensor:
    """Returns a view of x, shape (n, c, h, w), in the shape (n, h, w, c) if it is stored in channels-last order, else x."""
    return x if x.is_contiguous() or x.ndim != 4 else x.permute(0, 2, 3, 1)


def in_order_of(p: Tensor, x: Tensor) -> Tensor:
    """Returns x, of the shape of p, with its elements in memory in the same order as those of p: x itself, or a copy."""
    same = p.stride() == x.stride() or (p.is_contiguous() and x.is_contiguous())
    return x if same else torch.empty_like(p).copy_(x)


class LightSGD(LightOptimizer, SGD):
    """torch's `SGD`, as a `LightOptimizer`."""

    step = torch.no_grad()(inspect.unwrap(SGD.step))


class LightRMSprop(LightOptimizer, RMSprop):
    """torch's `RMSprop`, as a `LightOptimizer`."""

    step = torch.no_grad()(inspect.unwrap(RMSprop.step))


def sgd(parameters: Parameters, lr: float = 1e-2, momentum: float = 0.0, weight_decay: float = 0.0) -> Optimizer:
    """Stochastic gradient descent, with momentum if `momentum` is above 0.

    The learning rate is `lr`. The parameters times `weight_decay` are added to the gradient.
    """
    return LightSGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


def rmsprop(parameters: Parameters, lr: float = 5e-5, weight_decay: float = 0.0) -> Optimizer:
    """The optimizer RMSprop, as in WGAN and VAE/GAN.

    The learning rate is `lr`. The parameters times `weight_decay` are added to the gradient.
    """
    return LightRMSprop(parameters, lr=lr, weight_decay=weight_decay)


OPTIMIZERS: Registry[Callable[..., Optimizer]] = Registry("optimizers", {"adam": adam, "sgd": sgd, "rmsprop": rmsprop})


Schedule = Callable[[float], float]  # training progress in [0, 1] -> a factor on the learning rate


def constant(warmup: float = 0.0) -> Schedule:
    """A constant learning rate, after a linear warm-up from 0.

    Arguments:
        warmup: the share of training in which the rate rises linearly from 0, in [0, 1]; 0 for no warm-up.

    Returns:
        The schedule: a function of the progress of training, in [0, 1], that returns a factor on the learning rate.
    """
    return decay(1.0, 0.0, warmup, lambda t: 1.0)


def linear(start: float = 0.5, final: float = 0.0, warmup: float = 0.0) -> Schedule:
    """A learning rate that is constant until the share `start` of training, then decays linearly to `final` times its value.

    Arguments:
        start: the share of training after which the decay begins, in [0, 1].
        final: the learning rate at the end, relative to the constant one, 0 or more.
        warmup: the share of training in which the rate rises linearly from 0, in [0, 1]; 0 for no warm-up.

    Returns:
        The schedule: a function of the progress of training, in [0, 1], that returns a factor on the learning rate.
    """
    return decay(start, final, warmup, lambda t: 1.0 + (final - 1.0) * t)


def exponential(start: float = 0.5, final: float = 0.01, warmup: float = 0.0) -> Schedule:
    """A learning rate that is constant until the share `start` of training, then decays exponentially to `final` times its
    value.

    Arguments:
        start: the share of training after which the decay begins, in [0, 1].
        final: the learning rate at the end, relative to the constant one, 0 or more.
        warmup: the share of training in which the rate rises linearly from 0, in [0, 1]; 0 for no warm-up.

    Returns:
        The schedule: a function of the progress of training, in [0, 1], that returns a factor on the learning rate.
    """
    return decay(start, final, warmup, lambda t: float(final**t))


def cosine(start: float = 0.0, final: float = 0.0, warmup: float = 0.0) -> Schedule:
    """A learning rate that is constant until the share `start` of training, then decays along half a cosine to `final` times
    its value.

    Arguments:
        start: the share of training after which the decay begins, in [0, 1].
        final: the learning rate at the end, relative to the constant one, 0 or more.
        warmup: the share of training in which the rate rises linearly from 0, in [0, 1]; 0 for no warm-up.

    Returns:
        The schedule: a function of the progress of training, in [0, 1], that returns a factor on the learning rate.

    References:
        SGDR: Stochastic Gradient Descent with Warm Restarts, Ilya Loshchilov, Frank Hutter, 2017,
        https://arxiv.org/abs/1608.03983 (without restarts)
    """
    return decay(start, final, warmup, lambda t: final + (1.0 - final) * (1.0 + math.cos(math.pi * t)) / 2)


def decay(start: float, final: float, warmup: float, curve: Callable[[float], float]) -> Schedule:
    """Makes a schedule with a linear warm-up from 0, a constant phase and a decay.

    During the warm-up the factor is multiplied by the progress of training over `warmup`.

    Arguments:
        start: the share of training after which the decay begins, in [0, 1].
        final: the value of `curve` at 1; used only to raise the error if it is negative.
        warmup: the share of training in which the rate rises linearly from 0, in [0, 1]; 0 for no warm-up.
        curve: a function of the progress of the decay, 0 at `start` and 1 at the end, that returns a factor on the
            learning rate.

    Returns:
        The schedule: a function of the progress of training, in [0, 1], that returns a factor on the learning rate.

    Raises:
        ValueError: `start`, `final` or `warmup` is out of its range.
    """
    check_range(0 <= start <= 1 and final >= 0, "they lie in [0, 1] and [0, inf)", start=start, final=final)
    check_range(0 <= warmup <= 1, "it is a share of training in [0, 1]", warmup=warmup)

    def factor(t: float) -> float:
        """The factor on the learning rate when the share `t` of training is done, in [0, 1].

        It is `curve` of the progress of the decay, multiplied by t / `warmup` while t is below `warmup`.
        """
        decayed = curve(min(1.0, max(0.0, t - start) / max(1e-12, 1.0 - start)))
        return decayed if t >= warmup else t / warmup * decayed

    return factor


SCHEDULES: Registry[Callable[..., Schedule]] = Registry(
    "schedules", {"constant": constant, "linear": linear, "exponential": exponential, "cosine": cosine}
)


class ListedAverage(AveragedModel):
    """torch's average of a module's weights, whose update keeps the lists of tensors instead of walking both modules.

    The averages are those of torch to the last bit.

    Arguments:
        game: the module that is trained, which `update_parameters` takes too.
        decay: the weight of the previous average, which may be set before each update; None for the arithmetic mean.
    """

    def __init__(self, game: nn.Module, decay: float | None) -> None:
        super().__init__(game)
        self.decay = decay
        # the game of the last update, its slots, and the lists that were made for it
        self.kept: tuple[Any, ...] = (None,)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Adds the weights of the module `model` to the average, and copies its buffers; the first call copies its
        weights.
        """
        if self.decay is None or self.n_averaged == 0:
            return super().update_parameters(model)
        if self.kept[0] is not model or not self.kept[1].are_current():
            modules = zip(self.module.modules(), model.modules(), strict=True)
            both = ((own._buffers, newest._buffers) for own, newest in modules)
            buffered = [pair for pair in both if pair[1]]  # a buffer may be replaced
            self.kept = (model, Slots(model), [*self.parameters()], [*model.parameters()], buffered)
        _, _, averages, weights, buffered = self.kept
        torch._foreach_lerp_(averages, weights, 1 - self.decay)
        pairs = [pair for own, newest in buffered for pair in zip(own.values(), newest.values(), strict=True)]
        if pairs := [pair for pair in pairs if pair[0] is not None]:
            torch._foreach_copy_([average for average, _ in pairs], [value for _, value in pairs])
        self.n_averaged.add_(1)


@dataclass(frozen=True)
class Averaging:
    """A method to average a game's weights over the steps of a training: a moving average or the arithmetic mean.

    With a decay, average <- decay * average + (1 - decay) * weights after each step; without one, the arithmetic mean
    of the weights after all steps. Until the share `start` of training the average equals the newest weights. With
    `warm`, the decay after n averaged steps is at most (1 + n) / (10 + n), so that the first weights are forgotten
    early in training too.

    Buffers are not averaged but copied from the game. Batch norm's running statistics are buffers: networks with
    averaged weights are normalized by the statistics of the newest weights. The longer the average, the more the two
    differ, most for the mean of a whole training. The option `recalibrate_bn` of a run computes the statistics of the
    averaged weights at the end.

    Attributes:
        decay: weight of the previous average, in [0, 1); None for the arithmetic mean.
        start: the share of training at which averaging begins, in [0, 1).
        warm: True if the decay grows to its value; not used without a decay.

    Raises:
        ValueError: `start` is out of its range.
    """

    decay: float | None = None
    start: float = 0.0
    warm: bool = False

    def __post_init__(self) -> None:
        check_range(0 <= self.start < 1, "it is a share of training in [0, 1)", start=self.start)

    def averaged_model(self, game: nn.Module) -> ListedAverage:
        """Makes the average before the first step of training: an `AveragedModel` of torch, whose `module` is a copy of
        the game.

        It is updated as a moving average, or as the arithmetic mean if the field `decay` is None.
        """
        return ListedAverage(game, self.decay)

    def decay_at(self, step: int, steps: int) -> float | None:
        """Returns the weight of the previous average at the step with the number `step`, from 0, of `steps` steps; None
        for the arithmetic mean.
        """
        since = step - self.start * steps
        if self.decay is None or not self.warm:
            return self.decay
        return min(self.decay, (1 + since) / (10 + since)) if since > 0 else 0.0

    def newest_weight(self, step: int, steps: int, averaged: int) -> float:
        """Returns the weight of the newest weights in the average after a step.

        Arguments:
            step: the number of the step, from 0.
            steps: the number of steps of the whole training.
            averaged: the number of steps whose weights are in the average.
        """
        decay = self.decay_at(step, steps)
        return 1 / (averaged + 1) if decay is None or not averaged else 1 - decay

    def update(self, average: ListedAverage, game: nn.Module, step: int, steps: int) -> None:
        """Adds the game's weights to the average after a step of training; before averaging begins, copies them to it.

        Arguments:
            average: a result of `averaged_model`, which is changed.
            game: the game that is trained.
            step: the number of the step, from 0.
            steps: the number of steps of the whole training.
        """
        average.decay = self.decay_at(step, steps)
        average.update_parameters(game)
        if step < self.start * steps:
            average.n_averaged.zero_()  # torch copies the weights into an average of none


def ema(decay: float = 0.999, start: float = 0.0, warm: bool = True) -> Averaging:
    """An exponential moving average of the weights: average <- decay * average + (1 - decay) * weights after each step.

    Arguments:
        decay: weight of the previous average, in [0, 1).
        start: the share of training at which averaging begins, in [0, 1); until then the average equals the weights.
        warm: True if the decay grows to its value: after n averaged steps it is at most (1 + n) / (10 + n).

    Raises:
        ValueError: `decay` or `start` is out of its range.
    """
    check_range(0 <= decay < 1, "it lies in [0, 1)", decay=decay)
    return Averaging(decay, start, warm)


def swa(start: float = 0.0) -> Averaging:
    """Stochastic weight averaging: the arithmetic mean of the weights after each step, from the share `start` of training on.

    With batch norm, set the run's option `recalibrate_bn` too: it computes the running statistics of the averaged weights at
    the end of training. Until `start`, in [0, 1), the average equals the newest weights.

    With the dynamics `extragradient`, each of whose steps begins with a trial step, the weights after the full steps are
    averaged. The theory in the first reference is about the mean of the weights after the trial steps, which differ from
    them by one update.

    References:
        A Variational Inequality Perspective on Generative Adversarial Networks, Gauthier Gidel and others, 2019,
        https://arxiv.org/abs/1802.10551 (section 3)
        The Unusual Effectiveness of Averaging in GAN Training, Yasin Yazici and others, 2019,
        https://arxiv.org/abs/1806.04498 (the moving average and the mean compared)
    """
    return Averaging(start=start)


AVERAGES: Registry[Callable[..., Averaging]] = Registry("averages", {"ema": ema, "swa": swa})


def make_average(text: str) -> Averaging | None:
    """Returns the averaging method that a text describes, such as "ema(0.999)" or "swa(start=0.5)"; None for "none".

    Arguments:
        text: the name of an average, with its arguments in brackets.

    Raises:
        UserError: there is no such average, or an argument of it is wrong.

    Example:
        >>> make_average("swa(start=0.5)"), make_average("none")
        (Averaging(decay=None, start=0.5, warm=False), None)
    """
    return None if text == "none" else make(text, AVERAGES, "weight_average")
