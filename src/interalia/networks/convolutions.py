"""Convolutions of images on a CPU that torch computes slowly: of images with few channels, and to maps of few pixels.

They are computed with the same precision as torch's. The shapes decide about the way, and the instructions that the
processor declares, not a measurement, so that equal machines choose equally.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional

from interalia.contexts import is_needed

NARROW = 6  # width of maps up to which the gradient in the weights is computed as a product with unfolded images
GAIN = 1.25  # ratio of multiplications from which a transposed convolution computes blocks of pixels


class Options(NamedTuple):
    """The arguments of a convolution besides tensors, as `torch.convolution` takes them.

    Attributes:
        stride: the stride along both axes.
        padding: the padding with zeros along both axes.
        dilation: the distance of neighboring elements of the kernel.
        transposed: True for a transposed convolution.
        missing: the output padding of a transposed convolution, otherwise zeros.
        groups: the number of groups of channels.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    missing: tuple[int, ...]
    groups: int


def is_transformed() -> bool:
    """True in a transform such as `torch.func.vmap` and while a trace is recorded, which need functions of torch alone."""
    return torch._C._are_functorch_transforms_active() or torch._C._get_tracing_state() is not None


def is_ordinary(x: Tensor) -> bool:
    """True if x is on a CPU and gradients are recorded, outside of a mode, transform or trace, such as a capture."""
    replaced = torch._C._is_torch_function_mode_enabled() or is_transformed()
    return x.device.type == "cpu" and torch.is_grad_enabled() and not replaced


def convolve(
    layer: nn.Conv2d | nn.ConvTranspose2d,
    weight: Tensor,
    x: Tensor,
    constant: int = 0,
    earlier: Sequence[nn.Parameter] = (),
) -> Tensor | None:
    """Returns the output of a convolution or transposed convolution, if it or a gradient of it is computed here.

    Returns None for those that torch computes as fast, or refuses. These are also all those on other devices than a CPU,
    those without a gradient, and those in a mode that replaces functions of torch, as while a step is captured.

    Arguments:
        layer: the convolution.
        weight: its kernels. A parametrization, such as a spectral norm, computes new ones at each access to the layer's.
        x: the images, shape (n, channels, height, width).
        constant: number of the first images whose gradient is needed for the parameters in `earlier` alone.
        earlier: the parameters of the layers that x depends on.
    """
    bias, kernel, padding = layer.bias, layer.kernel_size, layer.padding
    if not is_ordinary(x) or x.ndim != 4 or not weight.is_contiguous(memory_format=torch.channels_last):
        return None
    if layer.padding_mode != "zeros" or isinstance(padding, str) or layer.dilation != (1, 1) or layer.groups != 1:
        return None
    dtypes, autocast = {x.dtype, weight.dtype}, torch.is_autocast_enabled("cpu")
    if torch.float64 in dtypes if autocast else len(dtypes) > 1:  # autocast leaves float64 as it is
        return None
    dtype = torch.get_autocast_dtype("cpu") if autocast else weight.dtype
    options = Options(layer.stride, padding, (1, 1), layer.transposed, layer.output_padding, 1)
    sides = zip(x.shape[2:], kernel, layer.stride, padding, layer.output_padding, strict=True)
    other = [(a - 1) * s - 2 * p + k + m if layer.transposed else (a + 2 * p - k) // s + 1 for a, k, s, p, m in sides]
    low, high = (x.shape[2:], other) if layer.transposed else (other, x.shape[2:])
    blocks = takes_blocks(weight, dtype, options)
    if not (constant or blocks or takes_unfolded(low, padding, dtype)):
        return None
    x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    rows = (constant, [get_gradient_edge(p).node for p in earlier if p.requires_grad] if constant else [])
    return Convolved.apply(x, weight, bias, options, high, blocks, rows)  # type: ignore[no-untyped-call, no-any-return]


def takes_unfolded(low: Sequence[int], padding: Sequence[int], dtype: torch.dtype) -> bool:
    """True if the gradient in the weights of a convolution to maps of the size `low`, (height, width), is a product.

    oneDNN loads and stores its sums once a row of the map, with AVX2, or transposes each row, for bf16: with short rows
    this takes longer than a product with unfolded images. oneDNN skips the padding, which the product does not, so that with
    AVX2 nothing is gained where there is any. With AVX-512 its float32 is faster than the product. AMX, with
    which oneDNN computes in another way, was not measured.

    Arguments:
        low: the size of the maps.
        padding: the padding of the images along both axes.
        dtype: the precision of the products.
    """
    if dtype == torch.bfloat16:
        fits = torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()
    else:
        fits = torch.backends.cpu.get_cpu_capability() == "AVX2" and not any(padding)
    return fits and low[1] <= NARROW


def takes_blocks(weight: Tensor, dtype: torch.dtype, options: Options) -> bool:
    """True if the transposed convolution to few channels, or the gradient in images of few channels, computes blocks.

    oneDNN fills a vector with the channels of one pixel. With channels of a block of pixels, the vector is fuller, and
    the kernel longer: see `Blocks`. Blocks are chosen if they need fewer multiplications by the factor `GAIN`. Vectors have
    16 numbers with AVX-512, and 8 otherwise. Kernels of two pixels gain nothing. It was not measured with AMX. With more
    padding than kernel, part of g would be left out, which a convolution cannot.

    Arguments:
        weight: the kernels, shape (maps, channels, height, width).
        dtype: the precision of the products.
        options: the other arguments of the convolution.
    """
    channels, kernel, stride = weight.shape[1], weight.shape[2], options.stride[0]
    if weight.shape[2] != weight.shape[3] or len({*options.stride}) > 1 or len({*options.padding}) > 1 or kernel < 3:
        return False
    if options.padding[0] >= kernel:
        return False
    if dtype not in (torch.float32, torch.float64) and torch.cpu._is_amx_tile_supported():
        return False
    lanes = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8
    block = Blocks.of(1, 1, kernel, stride, options.padding[0])
    size = -(-channels * block.side**2 // lanes) * lanes
    plain = -(-channels // lanes) * lanes * kernel**2 / stride**2
    return plain >= GAIN * size * (len(block.taps[0]) / block.side) ** 2


class Blocks(NamedTuple):
    """How a transposed convolution becomes a convolution whose output channels are the pixels of a block.

    With kernel K, stride s and padding p, pixel i of the result is the sum of w[i + p - s j] g[j] over all j with
    0 <= i + p - s j < K. In a block of t s pixels, from pixel t s b on, those are the j from t b + l to t b + h, with fixed
    l and h. So it is a convolution of stride t, where w is 0 outside of its kernel. t is 1, or 2 for the stride 1.

    Attributes:
        taps: for each pixel of a block, for each j from l to h: the index in w, or K where w is 0.
        side: the length t s of a block along one axis.
        stride: t.
        padding: -l.
        more: the number of zeros to append to g, so that the blocks reach the end of the result.
    """

    taps: tuple[tuple[int, ...], ...]
    side: int
    stride: int
    padding: int
    more: int

    @staticmethod
    @functools.cache
    def of(high: int, low: int, kernel: int, stride: int, padding: int) -> Blocks:
        """Returns the blocks along one axis, for a result of the length `high` and a g of the length `low`."""
        step = 1 if stride > 1 else 2
        side = step * stride
        first, last = -((kernel - 1 - padding) // stride), (side - 1 + padding) // stride
        indices = ([i + padding - stride * j for j in range(first, last + 1)] for i in range(side))
        taps = tuple(tuple(k if 0 <= k < kernel else kernel for k in pixel) for pixel in indices)
        return Blocks(taps, side, step, -first, max(0, (-(-high // side) - 1) * step + last + 1 - low + first))


def transposed(g: Tensor, weight: Tensor, bias: Tensor | None, high: Sequence[int], options: Options) -> Tensor:
    """Returns the transposed convolution of g, computed in blocks of pixels.

    Arguments:
        g: the input, shape (n, maps, height, width).
        weight: the kernels, shape (maps, channels, k, k).
        bias: the bias of each channel of the result; None for none.
        high: the height and width of the result.
        options: the other arguments, of which stride and padding are used.
    """
    axes = zip(high, g.shape[2:], weight.shape[2:], *options[:2], strict=True)
    rows, columns = (Blocks.of(*axis) for axis in axes)
    kernels = functional.pad(weight, (0, 1, 0, 1))[:, :, torch.tensor(rows.taps)][..., torch.tensor(columns.taps)]
    kernels = kernels.permute(1, 2, 4, 0, 3, 5).reshape(-1, g.shape[1], len(rows.taps[0]), len(columns.taps[0]))
    bias = None if bias is None else bias.repeat_interleave(rows.side**2)
    g = functional.pad(g, (0, columns.more, 0, rows.more)) if rows.more or columns.more else g
    kernels = kernels.contiguous(memory_format=torch.channels_last)
    out = torch.conv2d(g, kernels, bias, rows.stride, (rows.padding, columns.padding))
    out = functional.pixel_shuffle(out, rows.side)
    if list(out.shape[2:]) == list(high):
        return out
    # a copy: autograd refuses in-place changes of a view that a function of its own returns
    return out[:, :, : high[0], : high[1]].clone(memory_format=torch.channels_last)


def weight_gradient(x: Tensor, g: Tensor, kernel: Sequence[int], options: Options) -> Tensor:
    """Returns the gradient of a convolution in its weights, shape (maps, channels, *kernel), by unfolding the images.

    Arguments:
        x: the images that are convolved, shape (n, channels, height, width).
        g: the gradient in the result, shape (n, maps, low height, low width).
        kernel: height and width of the kernels.
        options: the other arguments, of which stride and padding are used.
    """
    (down, right), (s, t) = options.padding, options.stride
    x = x.permute(0, 2, 3, 1)
    x = (functional.pad(x, (0, 0, right, right, down, down)) if down or right else x).contiguous()
    n, maps, *low = g.shape
    strides = (x.stride(0), s * x.stride(1), t * x.stride(2), x.stride(1), 1)
    unfolded = x.as_strided((n, *low, kernel[0], kernel[1] * x.shape[3]), strides)
    rows = g.permute(0, 2, 3, 1).reshape(-1, maps)
    found = rows.t() @ unfolded.reshape(len(rows), -1)
    return found.view(maps, *kernel, -1).permute(0, 3, 1, 2)


class Convolved(Function):
    """A convolution of which the gradients that torch computes slowly are computed in another way."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        options: Options,
        high: Sequence[int],
        blocks: bool,
        rows: tuple[int, Sequence[Any]],
    ) -> Tensor:
        """Returns the convolution of x.

        Arguments:
            ctx: the context of autograd.
            x: the images.
            weight: the kernels.
            bias: the bias; None for none.
            options: the other arguments.
            high: the larger size: that of the result of a transposed convolution, and of the images otherwise.
            blocks: True to compute a transposed convolution, or the gradient in the images, in blocks.
            rows: the argument `constant` of `convolve`, and the nodes of the autograd graph that receive the gradients in
                the parameters of its argument `earlier`.
        """
        ctx.save_for_backward(x, weight)
        ctx.maps = None if bias is None else list(bias.shape)
        ctx.options, ctx.high, ctx.blocks, ctx.rows = options, high, blocks and not options.transposed, rows
        if blocks and options.transposed:
            return transposed(x, weight, bias, high, options)
        return torch.convolution(x, weight, bias, *options)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Returns the gradients in x, the weights and the bias, those that are needed; if they are to be differentiated
        again, they are torch's. The gradient in x is 0 in rows in which it is not needed.
        """
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):  # the precision of the forward pass, as torch's gradients have
                return Convolved.backward(ctx, g)
        (x, weight), options, (constant, earlier) = ctx.saved_tensors, ctx.options, ctx.rows
        found: list[Tensor | None] = [None] * 3
        if torch.is_grad_enabled():
            needed = list(ctx.needs_input_grad[:3])
        else:
            needed = [*map(is_needed, (node for node, _ in ctx.next_functions)), False][:3]
            images, maps = (g, x) if options.transposed else (x, g)
            if needed[1] and takes_unfolded(maps.shape[2:], options.padding, x.dtype):
                found[1] = weight_gradient(images, maps, weight.shape[2:], options)
                found[2] = g.sum((0, 2, 3)) if needed[2] else None
            skip = 0 if any(map(is_needed, earlier)) else constant
            if needed[0] and (skip or ctx.blocks):
                found[0] = image_gradient(x, g, weight, ctx, skip)
        mask = [need and gradient is None for need, gradient in zip(needed, found, strict=True)]
        if any(mask):
            rest = torch.ops.aten.convolution_backward(g, x, weight, ctx.maps, *options, mask)
            found = [b if a is None else a for a, b in zip(found, rest, strict=True)]
        return *found, *[None] * 4


def image_gradient(x: Tensor, g: Tensor, weight: Tensor, ctx: Any, skip: int) -> Tensor:
    """Returns the gradient in the images x of a convolution with the gradient g in its result, 0 in the first `skip` images.

    It is computed in blocks if `ctx.blocks` of the context of autograd `ctx` is True.
    """
    if ctx.blocks:
        found = transposed(g[skip:], weight, None, ctx.high, ctx.options)
    else:
        mask = [True, False, False]
        found = torch.ops.aten.convolution_backward(g[skip:], x[skip:], weight, ctx.maps, *ctx.options, mask)[0]
    return functional.pad(found, (0, 0, 0, 0, 0, 0, skip, 0)) if skip else found
