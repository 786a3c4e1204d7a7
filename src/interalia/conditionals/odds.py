"""Likelihoods of zeros and ones from the logits a of the decoder's mean, which is sigmoid(a).

A mean in float32 is rounded: from a = 17 on it is 1, log(1 - mean) is minus infinity in place of -17, and its gradient is
lost. The logits know both at any a.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid
from torch.overrides import TorchFunctionMode

from interalia.contexts import to_float32
from interalia.errors import UserError

MIN_PROBABILITY = 1e-36  # what a probability of 0 counts as; float32 has its reciprocal too
NEAREST = 2.0**-24  # how far the nearest float32 is from 1
SQUASHES = {"sigmoid": ("sigmoid", "expit", "special_expit"), "tanh": ("tanh",)}  # torch's names of them
# what moves numbers to other places, and what to another precision or device, and changes none
MOVES = {
    "__getitem__", "detach", "expand", "flatten", "movedim", "permute", "reshape", "squeeze", "transpose", "unflatten",
    "unsqueeze", "view",
}  # fmt: skip
CASTS = {"clone", "contiguous", "double", "float", "to", "type_as"}


class ActivationRecorder(TorchFunctionMode):
    """Remembers what each sigmoid (or tanh) that is computed meanwhile was taken of, and where its answers were moved.

    Arguments:
        by: "sigmoid" or "tanh".

    Example:
        >>> with ActivationRecorder() as recorder:
        ...     p = torch.full((6,), 40.0).sigmoid().view(2, 3)
        >>> p[0, 0].item(), recorder.pre_activation(p)[0, 0].item()
        (1.0, 40.0)
    """

    def __init__(self, by: Literal["sigmoid", "tanh"] = "sigmoid") -> None:
        super().__init__()
        self.names = SQUASHES[by]
        # an answer by its id, kept so that the id stays its own, and the argument
        self.known: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        answer = func(*args, **kwargs)
        given = args[0] if args else kwargs.get("input")
        if not isinstance(answer, Tensor) or not isinstance(given, Tensor):
            return answer
        name = getattr(func, "__name__", "").partition(".")[0]  # an exported module's sigmoid is sigmoid.default
        if name in self.names and "out" not in kwargs:
            self.known[id(answer)] = answer, to_float32(given)
        elif id(given) in self.known:
            argument = self.known[id(given)][1]
            if answer is given and name.endswith("_"):
                self.known.clear()  # changed in place, and with it all that shares its memory
            elif name in MOVES:
                self.known[id(answer)] = answer, func(argument, *args[1:], **kwargs)
            elif name in CASTS:
                precision = torch.promote_types(argument.dtype, answer.dtype)  # never one below float32
                self.known[id(answer)] = answer, argument.to(answer.device, precision)
        return answer

    def pre_activation(self, answer: Tensor) -> Tensor | None:
        """What this answer is the sigmoid of, in full precision; None where it is no such answer."""
        return self.known[id(answer)][1] if id(answer) in self.known else None


def decoder_logits(decoder: Callable[..., Distribution], *c: Tensor) -> Tensor:
    """The log-odds a of the mean of p(x | c), which is sigmoid(a): of x's shape, in full precision.

    They are exact where the decoder computes its mean by a sigmoid (`torch.nn.Sigmoid` or any other of torch's) as the last
    thing but for a change of shape or precision. Elsewhere they are those of the mean, see `safe_logit`.

    Raises:
        UserError: the mean has numbers outside of [0, 1].

    Example:
        >>> from interalia.conditionals import Deterministic
        >>> decoder_logits(Deterministic(torch.nn.Sigmoid()), torch.tensor([[-50.0, 50.0]]))
        tensor([[-50.,  50.]])
    """
    with ActivationRecorder() as recorder:
        mean = decoder(*c).mean
    logits = recorder.pre_activation(mean)
    return safe_logit(mean) if logits is None else logits


def safe_logit(p: Tensor) -> Tensor:
    """log p - log(1 - p), as exact as p is: of p close to 1, float32 has lost the log-odds from 17 on. Where p is 0 or 1
    itself they are -83 or 83, with a gradient as at the nearest number that float32 has below 1.

    Raises:
        UserError: p has numbers outside of [0, 1].

    Example:
        >>> safe_logit(torch.tensor([0.5, 0.0]))
        tensor([  0.0000, -82.8931])
    """
    p = to_float32(p)
    if not bool(((p >= 0) & (p <= 1) | p.isnan()).all()):
        low, high = float(p.min()), float(p.max())
        raise UserError(
            f"log-odds are those of probabilities, in [0, 1], and the network's go from {low:.3g} to {high:.3g}; end it in a "
            f"sigmoid, or choose another likelihood or distance."
        )
    return safe_log(p) - safe_log(1 - p)


def safe_log(p: Tensor) -> Tensor:
    """log p, of at least log `MIN_PROBABILITY`, where a clamp would lose the gradient."""
    none = p <= MIN_PROBABILITY
    return torch.where(none, math.log(MIN_PROBABILITY) + p / NEAREST, torch.where(none, 1.0, p).log())


def log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """x log p + (1 - x) log(1 - p) of each number, p = sigmoid(logits): exact at any logit, with the gradient x - p.

    Example:
        >>> log_bernoulli(torch.tensor([0.0, 1.0]), torch.tensor([40.0, 40.0]))
        tensor([-4.0000e+01, -4.2484e-18])
    """
    return x * logsigmoid(logits) + (1 - x) * logsigmoid(-logits)
