"""Gradients of a critic's input gradient, as gradient penalties need them, without products with zeros."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from interalia.contexts import is_needed


class SecondOrder(TorchFunctionMode):
    """A context in which leaky ReLUs and 2d convolutions are computed so that their gradients are differentiated in less
    time.

    The second derivative of a leaky ReLU is 0, and torch propagates these zeros back through the whole network. Here a
    leaky ReLU is a product with constants, which has none. The gradient of a convolution in its input is here a
    transposed convolution, whose gradient in the weights is computed as that of other convolutions; torch computes it
    as a convolution with a kernel of the size of the image.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Returns the result of a function of torch for `args` and `kwargs`; `types` is not used."""
        kwargs = kwargs or {}
        if func is functional.leaky_relu and "negative_slope" in kwargs:  # as `nn.LeakyReLU` calls it
            x = args[0]
            slopes = torch.ops.aten.leaky_relu_backward(torch.ones_like(x), x.detach(), kwargs["negative_slope"], False)
            return x.mul_(slopes) if kwargs.get("inplace") else x * slopes
        # as `nn.Conv2d` calls it
        if func is torch.conv2d and len(args) == 7 and isinstance(args[3], tuple) and isinstance(args[4], tuple):
            return Convolution.apply(*args)  # type: ignore[no-untyped-call]
        return func(*args, **kwargs)

    def input_gradients(
        self, network: Callable[..., Tensor], inputs: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Returns the output of a network and the gradients of its sum in the inputs, which can be differentiated.

        Arguments:
            network: the network.
            inputs: its inputs, tensors that require a gradient.
        """
        with self:
            output = network(*inputs)
        return output, torch.autograd.grad(output.sum(), inputs, create_graph=True)


class Convolution(Function):
    """A 2d convolution whose gradient in the input, if no other is needed, is computed as a transposed convolution."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *options: Any
    ) -> Tensor:
        """Returns the convolution of x.

        Arguments:
            ctx: the context of autograd.
            x: the images.
            weight: the kernels.
            bias: the bias, or None.
            options: the further arguments of `torch.conv2d`: stride, padding, dilation and groups.
        """
        ctx.save_for_backward(x, weight)
        ctx.maps, ctx.options = None if bias is None else list(bias.shape), options
        return torch.conv2d(x, weight, bias, *options)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        """Returns the gradients in x, the weights and the bias, those that are needed."""
        x, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.options
        needed = [*map(is_needed, (node for node, _ in ctx.next_functions)), False][:3]
        if needed != [True, False, False]:
            options = (stride, padding, dilation, False, [0, 0], groups)
            found = torch.ops.aten.convolution_backward(gradient, x, weight, ctx.maps, *options, needed)
            return *found, *[None] * 4
        sides = zip(x.shape[2:], gradient.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
        missing = [high - ((low - 1) * s - 2 * p + d * (k - 1) + 1) for high, low, k, s, p, d in sides]
        of_x = torch.conv_transpose2d(gradient, weight, None, stride, padding, missing, groups, dilation)
        return of_x, *[None] * 6
