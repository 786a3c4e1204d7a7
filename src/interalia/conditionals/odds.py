"""Bernoulli likelihoods that are computed from the logits a of the decoder's mean sigmoid(a).

A mean in float32 is rounded: from a = 17 on it is 1, so that log(1 - mean) is minus infinity instead of -17 and has no
useful gradient. Computed from the logits, log(1 - mean) and its gradient are exact at any a.
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

MIN_PROBABILITY = 1e-36  # replaces a probability of 0; its reciprocal is finite in float32
NEAREST = 2.0**-24  # the distance from 1 to the next float32 below
SQUASHES = {"sigmoid": ("sigmoid", "expit", "special_expit"), "tanh": ("tanh",)}  # their names in torch
# functions that rearrange numbers, and functions that change their precision or device, without changing their values
MOVES = {
    "__getitem__", "detach", "expand", "flatten", "movedim", "permute", "reshape", "squeeze", "transpose", "unflatten",
    "unsqueeze", "view",
}  # fmt: skip
CASTS = {"clone", "contiguous", "double", "float", "to", "type_as"}


class ActivationRecorder(TorchFunctionMode):
    """A context manager that records the input of each sigmoid (or tanh) that is computed inside its block.

    The input is also found if the output was reshaped or cast inside the block.

    Arguments:
        by: the function whose inputs are recorded, "sigmoid" or "tanh".

    Example:
        >>> with ActivationRecorder() as recorder:
        ...     p = torch.full((6,), 40.0).sigmoid().view(2, 3)
        >>> p[0, 0].item(), recorder.pre_activation(p)[0, 0].item()
        (1.0, 40.0)
    """

    def __init__(self, by: Literal["sigmoid", "tanh"] = "sigmoid") -> None:
        super().__init__()
        self.names = SQUASHES[by]
        # id of an output -> the output, kept alive so that its id stays unique, and its pre-activation
        self.recorded: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        source = args[0] if args else kwargs.get("input")
        name = getattr(func, "__name__", "").partition(".")[0]  # an exported module's sigmoid is sigmoid.default
        if id(kwargs.get("out", source if name == "__setitem__" else None)) in self.recorded:
            self.recorded.clear()  # an in-place change, as below
        if not isinstance(output, Tensor) or not isinstance(source, Tensor):
            return output
        if name in self.names and "out" not in kwargs:
            self.recorded[id(output)] = output, to_float32(source)
        elif id(source) in self.recorded:
            argument = self.recorded[id(source)][1]
            if output is source and name.endswith("_"):
                self.recorded.clear()  # an in-place change, which also changes all tensors that share its memory
            elif name in MOVES:
                self.recorded[id(output)] = output, func(argument, *args[1:], **kwargs)
            elif name in CASTS:
                precision = torch.promote_types(argument.dtype, output.dtype)  # at least float32
                self.recorded[id(output)] = output, argument.to(output.device, precision)
        return output

    def pre_activation(self, output: Tensor) -> Tensor | None:
        """Returns the input a of the recorded sigmoid or tanh that computed `output`, in its shape and at least in
        float32.

        It returns None if `output` was not computed by a recorded function, or was changed by more than its shape and
        dtype.
        """
        return self.recorded[id(output)][1] if id(output) in self.recorded else None


def decoder_logits(decoder: Callable[..., Distribution], *c: Tensor) -> Tensor:
    """Returns the logits a of the decoder's mean sigmoid(a), in the shape of x, at least in float32.

    They are exact if the decoder computes its mean by a sigmoid of PyTorch, such as `torch.nn.Sigmoid`, followed at most by a
    change of shape or precision. Otherwise they are computed from the rounded mean by `safe_logit`.

    Arguments:
        decoder: the conditional p(x | c); called with c, it returns a distribution, whose `mean` is used.
        c: the conditions of the decoder, such as z and a label, each of shape (n, ...).

    Raises:
        UserError: the mean has values outside [0, 1].

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
    """Returns the logit log p - log(1 - p), finite at p = 0 and 1, in float32 and in the shape of p.

    At p = 0 and p = 1 the logit is -83 and 83. Its gradient there is finite too: about as large as at the largest float32
    below 1, where p is 1 - 6e-8 and the logit 17.

    Raises:
        UserError: p has values outside [0, 1].

    Example:
        >>> safe_logit(torch.tensor([0.5, 0.0]))
        tensor([  0.0000, -82.8931])
    """
    p = to_float32(p)
    if not bool(((p >= 0) & (p <= 1) | p.isnan()).all()):
        low, high = float(p.min()), float(p.max())
        raise UserError(
            f"log-odds need probabilities in [0, 1], and the network's outputs go from {low:.3g} to {high:.3g}; end it in a "
            f"sigmoid, or choose another likelihood or distance."
        )
    return safe_log(p) - safe_log(1 - p)


def safe_log(p: Tensor) -> Tensor:
    """Returns log p in the shape of p for p > 1e-36, and below that the finite linear function log(1e-36) + p / 2^-24.

    So it also has a gradient at p = 0, unlike the log of a clamped p.
    """
    none = p <= MIN_PROBABILITY
    return torch.where(none, math.log(MIN_PROBABILITY) + p / NEAREST, torch.where(none, 1.0, p).log())


def log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """Returns the log-likelihood x log p + (1 - x) log(1 - p) with p = sigmoid(logits) of each element, in the shape of
    x.

    It is exact at any logit, and its gradient with respect to the logit is x - p. x may be any number in [0, 1].

    Example:
        >>> log_bernoulli(torch.tensor([0.0, 1.0]), torch.tensor([40.0, 40.0]))
        tensor([-4.0000e+01, -4.2484e-18])
    """
    return x * logsigmoid(logits) + (1 - x) * logsigmoid(-logits)
