"""Layers that compute the same as PyTorch's in less time, and modules that combine networks into critics and maps.

A convolution with a 1x1 output is a linear map, and on a CPU it is 20 to 50 times faster when computed as one. The same
holds for a transposed convolution of a 1x1 input. PyTorch's dropout samples floats, while 15 random bits a unit are
enough. Parameters have the shapes of PyTorch's layers, so that weights can be exchanged with networks of PyTorch's
layers.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self, TypeVar, dataclass_transform

import torch
from torch import Tensor, nn
from torch.nn import functional

from interalia.contexts import ALL_BITS, BatchNorm, draw_noise, to_float32
from interalia.networks.convolutions import convolve, is_ordinary, is_transformed

T = TypeVar("T")


class Layers(NamedTuple):
    """The layers of PyTorch for data of one number of axes besides the channels.

    Attributes:
        conv: the class of convolutions.
        transposed: the class of transposed convolutions.
        norm: the class of batch norm.
    """

    conv: Callable[..., nn.Module]
    transposed: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]


class FieldModule(nn.Module):
    """A module that is declared like a dataclass: its annotated fields are the arguments of its constructor.

    Its subclasses are decorated with `module_dataclass`.
    """

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        self = super().__new__(cls)
        nn.Module.__init__(self)  # before the first sub-module is assigned
        return self


@dataclass_transform(eq_default=False, field_specifiers=(field,))
def module_dataclass(kind: type[T]) -> type[T]:
    """Makes a subclass of `FieldModule` a dataclass and returns it: its annotated fields become constructor arguments
    and attributes.

    A subclass adds fields to those that it inherits. `__post_init__` may check the fields or compute others.

    Arguments:
        kind: the class to decorate, a subclass of `FieldModule`.
    """
    cls = dataclass(eq=False, repr=False)(kind)
    for one in fields(cls):  # type: ignore[arg-type]
        if vars(cls).get(one.name, one) is None:
            # a default None on the class would hide the sub-module, which torch stores elsewhere
            delattr(cls, one.name)
    return cls


def layer_block(layer: nn.Module, norm: nn.Module | None = None, leak: float | None = 0.2) -> list[nn.Module]:
    """Returns the list [layer, norm, activation], or [layer, activation] if `norm` is None.

    Arguments:
        layer: a linear layer or a convolution.
        norm: the normalization after the layer; None for none.
        leak: the negative slope of the leaky ReLU; 0 for ReLU, and None for ELU. The activation works in place.
    """
    act = nn.LeakyReLU(leak, inplace=True) if leak else nn.ELU(inplace=True) if leak is None else nn.ReLU(inplace=True)
    return [layer, act] if norm is None else [layer, norm, act]


def upsample_conv(
    maps: tuple[int, int],
    low: tuple[int, ...],
    high: tuple[int, ...],
    kernel: int | tuple[int, ...],
    stride: int | tuple[int, ...],
    bias: bool = True,
) -> nn.Module:
    """Returns a transposed convolution that maps signals, images or volumes of the size `low` to such of exactly the size
    `high`.

    The padding is (kernel - 1) // 2, and the output padding adds the values that are then missing, along each axis.

    Arguments:
        maps: the numbers of input and output feature maps.
        low: the size of the input: (length,), (height, width) or (depth, height, width).
        high: the size of the output, of as many axes.
        kernel: the length of the kernel along all axes, or along each.
        stride: the stride along all axes, or along each.
        bias: True for a learned bias of each feature map.
    """
    axes = len(low)
    kernels, strides = ((one,) * axes if isinstance(one, int) else one for one in (kernel, stride))
    padding = tuple((k - 1) // 2 for k in kernels)
    sizes = zip(low, high, kernels, strides, padding, strict=True)
    missing = tuple(b - (a - 1) * s + 2 * p - k for a, b, k, s, p in sizes)
    return CONVS[axes].transposed(*maps, kernels, strides, padding, output_padding=missing, bias=bias)


def is_channels_last(x: Tensor) -> bool:
    """True if x, shape (n, c, h, w), is stored in channels-last order and not also in the default order."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def flatten_rows(x: Tensor, last: bool) -> Tensor:
    """Returns x, shape (n, c, h, w), as a matrix with one row for each of the n samples, shape (n, c * h * w).

    If `last` is True, the channels come last in each row: shape (n, h * w * c), in the order height, width, channel.

    It is a view of x, without a copy, if the elements lie in memory in that order.
    """
    return (x.permute(0, 2, 3, 1) if last else x).flatten(1)


def is_dense(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """True if the kernels of a convolution read all channels, without gaps between pixels: one group, and no dilation."""
    return layer.groups == 1 and layer.dilation == (1, 1)


class Convolution(nn.Conv2d):
    """A 2d convolution, computed as a linear map where it has no padding and its kernel covers the input exactly, and
    otherwise as `interalia.networks.convolutions` describes.

    Its arguments are those of `nn.Conv2d`.

    Example:
        >>> layer = Convolution(3, 5, 4)
        >>> x = torch.randn(2, 3, 4, 4)
        >>> torch.allclose(layer(x), nn.Conv2d.forward(layer, x), atol=1e-6)
        True
    """

    def forward(self, input: Tensor, constant: int = 0, earlier: Sequence[nn.Parameter] = ()) -> Tensor:
        """Returns the convolution of the images `input`, shape (n, channels, height, width), as `nn.Conv2d` does.

        Arguments:
            input: the images.
            constant: number of the first images whose gradient is needed for the parameters in `earlier` alone, so that it
                may be left out; 0 for none.
            earlier: the parameters of the layers that `input` depends on; not used if `constant` is 0.
        """
        weight = self.weight  # once: a spectral norm takes a step at each access
        if input.shape[2:] == self.kernel_size and self.padding == (0, 0) and is_dense(self):
            last = is_channels_last(weight)
            out = functional.linear(flatten_rows(input, last), flatten_rows(weight, last), self.bias)
            return out[:, :, None, None]
        found = convolve(self, weight, input, constant, earlier)
        return self._conv_forward(input, weight, self.bias) if found is None else found


class Transposed(nn.ConvTranspose2d):
    """A transposed 2d convolution, computed as a linear map where it has no padding and its input is 1x1, and otherwise
    as `interalia.networks.convolutions` describes.

    Its arguments are those of `nn.ConvTranspose2d`.

    Example:
        >>> layer = Transposed(3, 5, 4)
        >>> x = torch.randn(2, 3, 1, 1)
        >>> torch.allclose(layer(x), nn.ConvTranspose2d.forward(layer, x), atol=1e-6)
        True
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Returns the transposed convolution of the images `input`, shape (n, channels, height, width), as
        `nn.ConvTranspose2d` does.

        Arguments:
            input: the images.
            output_size: the height and width of the result, as in `nn.ConvTranspose2d`; None for the default size.
        """
        if output_size is not None:
            return super().forward(input, output_size)
        weight = self.weight  # once: a spectral norm takes a step at each access
        if input.shape[2:] == (1, 1) and self.padding == self.output_padding == (0, 0) and is_dense(self):
            last = is_channels_last(weight)
            maps, height, width = weight.shape[1:]
            out = functional.linear(input.flatten(1), flatten_rows(weight, last).t())
            out = out.unflatten(1, (height, width, maps) if last else (maps, height, width))
            out = out.permute(0, 3, 1, 2) if last else out
            return out if self.bias is None else out + self.bias.to(out.dtype)[:, None, None]
        if (found := convolve(self, weight, input)) is not None:
            return found
        options = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return functional.conv_transpose2d(input, weight, self.bias, *options)  # type: ignore[arg-type]


# number of axes besides the channels -> layers: 1 for signals, 2 for images, 3 for volumes
CONVS = {
    1: Layers(nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d),
    2: Layers(Convolution, Transposed, nn.BatchNorm2d),
    3: Layers(nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d),
}


@module_dataclass
class Dropout(FieldModule):
    """Dropout whose mask takes 15 random bits a unit; the probability of dropping a unit is p, rounded to 1 / 32,768.

    Kept units are scaled by 1 / (1 - p).

    Arguments:
        p: the probability of dropping a unit, in [0, 1).
    """

    p: float

    def forward(self, x: Tensor) -> Tensor:
        """Returns x with random units set to 0 and the others scaled by 1 / (1 - p); in evaluation mode, x unchanged."""
        mask = self.mask(x)
        return x if mask is None else x * mask

    def mask(self, x: Tensor) -> Tensor | None:
        """Draws the factors that the units of x are multiplied by, 0 or 1 / (1 - p), in the shape, dtype and order of x.

        Returns None if no unit is dropped: in evaluation mode, or if p is 0.
        """
        threshold = round(self.p * 32768)
        if not self.training or threshold == 0:
            return None
        units = math.prod(x.shape[1:])
        shape = (len(x), (units + 3) // 4)  # of int64, each of which has the bits of four units
        bits = draw_noise("dropout", "random", shape, x, *ALL_BITS).view(torch.int16)[:, :units]
        # uniform on [-32768, -1]; then below 0 with probability 1 - p; then all ones or all zeros; then 1 / (1 - p) or 0, as
        # the bits of a bfloat16: whole-word arithmetic, where comparing and converting would take four times as long
        scale = 32768 / (32768 - threshold)
        if x.dtype == torch.bfloat16:
            mask = random_mask(bits, threshold, scale)
        else:
            mask = random_mask(bits, threshold, 1.0).to(x.dtype).mul_(scale)
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            return mask.reshape(x.shape)
        return mask.reshape(x.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)  # in x's own order of units

    def extra_repr(self) -> str:
        """Returns the text that `repr` prints for the arguments, such as "p=0.2"."""
        return f"p={self.p}"


def random_mask(bits: Tensor, threshold: int, value: float) -> Tensor:
    """Turns random bits into a mask in bfloat16 that is `value` with probability 1 - threshold / 32768, else 0.

    Arguments:
        bits: uniformly random int16 numbers, which are overwritten; the mask shares their memory and has their shape.
        threshold: the probability of 0 in units of 1 / 32768, from 0 to 32,767.
        value: the value of the mask for a unit that is kept.
    """
    pattern = int(torch.tensor(value, dtype=torch.bfloat16).view(torch.int16))
    bits.bitwise_or_(-32768).add_(threshold).bitwise_right_shift_(15).bitwise_and_(pattern)
    return bits.view(torch.bfloat16)


class Sigmoid(nn.Sigmoid):
    """A sigmoid that is computed in float32: bfloat16 has no number between 0.996 and 1, while gray levels of bytes
    differ by 0.004.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns sigmoid(input) in the shape of the input, in float32 also for inputs in bfloat16 or float16."""
        return to_float32(input).sigmoid()


class CriticLayers(nn.Sequential):
    """Layers of a critic of images, applied in order as by `nn.Sequential`. Two things take less time on a CPU.

    The first rows of a batch may need no gradient, as `join_rows` notes it for data. No gradient in them is computed in the
    convolutions before the first batch norm, which mixes the rows, or in the first convolution if there is none, unless
    weights before the convolution need it.

    A leaky ReLU and the dropout after it are one product with factors.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns the output of the last layer for a batch of images, shape (n, channels, height, width)."""
        x, layers, constant = input, list(self), vars(input).get("constant_rows", 0)
        if not is_ordinary(x):
            return super().forward(x)  # type: ignore[no-untyped-call, no-any-return]
        norms, earlier = any(isinstance(layer, BatchNorm) for layer in layers), list[nn.Parameter]()
        for layer, before, after in zip(layers, [None, *layers], [*layers[1:], None], strict=False):
            if is_joined(layer, after):
                continue
            if is_joined(before, layer):
                x = drop(before, layer, x)  # type: ignore[arg-type]
            elif constant and type(layer).forward is Convolution.forward:
                x, constant = layer(x, constant, earlier), constant if norms else 0
                earlier = [*earlier, *layer.parameters()]
            else:  # a layer of a user may mix the rows, or have parameters
                x, constant = layer(x), constant if type(layer) in (Dropout, Maxout, nn.LeakyReLU) else 0
        return x


def is_joined(layer: nn.Module | None, after: nn.Module | None) -> bool:
    """True if a layer and the one after it are a leaky ReLU and dropout without hooks, which are computed together."""
    return type(layer) is nn.LeakyReLU and type(after) is Dropout and not (has_hooks(layer) or has_hooks(after))


def has_hooks(layer: nn.Module) -> bool:
    """True if functions are registered that torch calls before or after the forward or the backward pass of the layer."""
    forward, backward = (
        layer._forward_hooks or layer._forward_pre_hooks,
        layer._backward_hooks or layer._backward_pre_hooks,
    )
    return bool(forward or backward)


def drop(leaky: nn.LeakyReLU, dropout: Dropout, x: Tensor) -> Tensor:
    """Returns x after a leaky ReLU and dropout."""
    if (mask := dropout.mask(x)) is None:
        return leaky(x)
    # the slope of the leaky ReLU, times the mask
    torch.ops.aten.leaky_relu_backward(mask, x.detach(), leaky.negative_slope, False, grad_input=mask)
    return x.mul_(mask) if leaky.inplace else x * mask


def join_rows(parts: Sequence[Tensor]) -> Tensor:
    """Returns the rows of all tensors in one, in this order; its attribute `constant_rows` is the number of the first rows
    that need no gradient, if others do.
    """
    whole = torch.cat(list(parts))
    if whole.requires_grad:
        constant = itertools.takewhile(lambda part: not part.requires_grad, parts)
        whole.constant_rows = sum(map(len, constant))  # type: ignore[attr-defined]
    return whole


@module_dataclass
class Maxout(FieldModule):
    """Maxout units: the maximum over groups of `pieces` channels, from shape (n, pieces * c, ...) to (n, c, ...).

    Which channels form a group is arbitrary. Here the channels of a group lie c apart, so that the comparisons run over
    contiguous memory.

    References:
        Maxout Networks, Ian J. Goodfellow and others, 2013, https://arxiv.org/abs/1302.4389

    Example:
        >>> Maxout(2)(torch.tensor([[1.0, 3.0, 2.0, 0.0]]))
        tensor([[2., 3.]])
    """

    pieces: int

    def forward(self, x: Tensor) -> Tensor:
        """Returns the maximum of each group of channels, shape (n, c, ...), for x of shape (n, pieces * c, ...)."""
        groups = x.unflatten(1, (self.pieces, -1))
        if is_transformed():
            return groups.amax(dim=1)
        return GroupMaximum.apply(groups)  # type: ignore[no-untyped-call, no-any-return]


class GroupMaximum(torch.autograd.Function):
    """The maximum over dimension 1, with the gradient of `amax`: that of equal maxima is divided equally among them.

    Comparing the pieces one after the other takes a third of the time of `amax` and its gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        """Returns the maximum over dimension 1 of x, shape (n, pieces, ...), in the shape (n, ...)."""
        y = functools.reduce(torch.maximum, x.unbind(1))
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        """Returns the gradient in x for that in the maximum; it can be differentiated again, in `gradient`."""
        x, y = (tensor.detach() for tensor in ctx.saved_tensors)
        greatest = x.clone().eq_(y.unsqueeze(1))  # 1 or 0
        return greatest * (gradient / functools.reduce(torch.add, greatest.unbind(1))).unsqueeze(1)


class InstanceNorm(nn.Module):
    """Instance norm without learned parameters: each feature map of each image gets mean 0 and variance 1 over its
    pixels.

    It is computed as group norm with one feature map a group. On a CPU this is several times faster than `nn.InstanceNorm2d`
    for contiguous inputs.

    References:
        Instance Normalization: The Missing Ingredient for Fast Stylization, Dmitry Ulyanov, Andrea Vedaldi, Victor
        Lempitsky, 2016, https://arxiv.org/abs/1607.08022

    Example:
        >>> x = torch.randn(2, 3, 4, 4)
        >>> torch.allclose(InstanceNorm()(x), nn.InstanceNorm2d(3)(x), atol=1e-6)
        True
    """

    def forward(self, x: Tensor) -> Tensor:
        """Returns x, shape (n, maps, height, width), where each feature map of each image is standardized over its
        pixels.
        """
        return functional.group_norm(x.contiguous(), x.shape[1])


class HalfTanh(nn.Module):
    """The activation tanh(a / 2) = 2 sigmoid(a) - 1, onto [-1, 1]."""

    def forward(self, a: Tensor) -> Tensor:
        """Returns tanh(a / 2), in the shape of a."""
        return torch.tanh(a / 2)


@module_dataclass
class PartialSoftmax(FieldModule):
    """A layer that replaces the last `count` channels by their softmax and leaves the others unchanged."""

    count: int

    def forward(self, a: Tensor) -> Tensor:
        """Returns a, shape (n, channels, ...), with its last `count` channels replaced by their softmax."""
        rest, logits = a.split([a.shape[1] - self.count, self.count], dim=1)
        return torch.cat([rest, logits.softmax(dim=1)], dim=1)


@module_dataclass
class Backbone(FieldModule):
    """A network of a body and a head, head(body(x)); linear probes read the body's output from its method `hidden`.

    Arguments:
        body: maps the input to the last hidden layer. Several inputs are flattened and concatenated.
        head: maps the last hidden layer to the output.
        input_shape: the shape, without n, that the body's input is reshaped to; empty to keep its shape.
        output_shape: the shape, without n, that the head's output is reshaped to; empty to keep its shape.
        x: a network that is applied to the first input before the others are concatenated with its output; None for none.
        first_shape: the shape of the first input if all inputs are one argument, flattened and concatenated, as with
            the noise of an implicit conditional; empty if they are separate arguments.
    """

    body: nn.Module
    head: nn.Module
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    x: nn.Module | None = None
    first_shape: tuple[int, ...] = ()

    def hidden(self, *c: Tensor) -> Tensor:
        """Returns the body's output, shape (n, ...), for an input and, as further arguments, its conditions, such as a
        label or noise.
        """
        x, *y = c
        if self.first_shape:
            d = math.prod(self.first_shape)
            x, y = x[:, :d].unflatten(1, self.first_shape), [x[:, d:]]
        x = x if self.x is None else self.x(x)
        if y:  # a label, or noise
            x = torch.cat([part.flatten(1) for part in (x, *y)], dim=1)
        return self.body(x.reshape(len(x), *self.input_shape) if self.input_shape else x)

    def forward(self, *c: Tensor) -> Tensor:
        """Returns the head's output for an input and its conditions, shape (n, ...), or (n, *output_shape) if
        `output_shape` is not empty.
        """
        out: Tensor = self.head(self.hidden(*c))
        return out.reshape(len(out), *self.output_shape) if self.output_shape else out


@module_dataclass
class PairCritic(FieldModule):
    """A critic of pairs (x, z) with the score joint([f(x), g(z)]), or of x alone with the score joint(f(x)).

    f and g are networks for x and for z. With `unary`, a score of x alone, unary(f(x)), is added.

    Several inputs besides x, such as z and a label y, are concatenated.

    Arguments:
        joint: maps the concatenated features f(x) and g(z) to a score, or to logits if `classes` is not 0.
        x: the network f; None for the identity.
        z: the network g; None for the identity.
        unary: maps f(x) to a score of x alone; None for none. It keeps samples good while the score of the pair depends
            mostly on whether x and z belong together.
        z_shape: the shape, without n, that z is reshaped to before g; empty to keep its shape.
        classes: the number of logits that `joint` returns, whose logsumexp is the score; 0 if it returns the score.
        unary_z: maps g(z) to a score of z alone, for games with a separate loss for each score; it needs `unary`. The
            scores of x, of z and of the pair are then returned in this order, shape (n, 3), and not added. None for
            none.
        projection: V, a linear map without a bias from h, the input of the last layer of `joint`, to the size of y, the
            last input; None for none. The inner product <y, V h> is added to the score of the pair, except with
            `classes`. It needs a `joint` that applies its children in order, such as a Sequential or an MLP.

    References:
        Large Scale Adversarial Representation Learning, Jeff Donahue, Karen Simonyan, 2019,
        https://arxiv.org/abs/1907.02544 (the unary terms)
        cGANs with Projection Discriminator, Takeru Miyato, Masanori Koyama, 2018, https://arxiv.org/abs/1802.05637
        (the projection)
    """

    joint: nn.Module
    x: nn.Module | None = None
    z: nn.Module | None = None
    unary: nn.Module | None = None
    z_shape: tuple[int, ...] = ()
    unary_z: nn.Module | None = None
    classes: int = 0
    projection: nn.Module | None = None

    @property
    def score_layer(self) -> nn.Module:
        """The last layer of `joint`, whose output is the score."""
        return list(self.joint.children())[-1]

    def logits(self, x: Tensor, *z: Tensor) -> Tensor:
        """Returns the logits, i.e. the output of `joint`, shape (n, classes), for x and any other inputs, such as z and a
        label. With `classes` = 0 it is the score, shape (n, 1).
        """
        return self.joint(torch.cat(self.features(x, *z), dim=1)).flatten(1)

    def features(self, x: Tensor, *z: Tensor) -> list[Tensor]:
        """Returns the list of features [f(x)], or [f(x), g(z)] if there are inputs besides x, each with n in the first
        dimension.

        f and g are the fields `x` and `z`. Several inputs besides x, such as z and a label, are concatenated before g.
        """
        parts = [x if self.x is None else self.x(x)]
        if z:
            part = z[0] if len(z) == 1 else torch.cat(z, dim=1)
            part = part.reshape(len(part), *self.z_shape) if self.z_shape else part
            part = part if self.z is None else self.z(part)
            parts.append(part.to(parts[0].dtype))  # under autocast, f(x) may have a lower precision than z
        return parts

    def forward(self, x: Tensor, *z: Tensor) -> Tensor:
        """Returns the score of each pair of x and the other inputs, shape (n,); if the field `unary_z` is given, the
        scores of x, of z and of the pair, shape (n, 3).
        """
        if self.classes:
            return to_float32(self.logits(x, *z)).logsumexp(dim=1)
        parts = self.features(x, *z)
        score = self.joint_score(torch.cat(parts, dim=1), *z)
        if self.unary is None:
            return score
        unary = self.unary(parts[0]).flatten()
        if self.unary_z is None:
            return score + unary
        return torch.stack([unary, self.unary_z(parts[1]).flatten(), score], dim=1)

    def joint_score(self, features: Tensor, *z: Tensor) -> Tensor:
        """Returns the score of each pair, shape (n,): joint(features), plus <y, V h> if there is a projection V.

        <y, V h> is the inner product of y and V h, and h is the input of the last layer of `joint`.

        Arguments:
            features: the concatenated features of all inputs, shape (n, features).
            z: the inputs besides x; with a projection the last is the condition y, shape (n, k).
        """
        if self.projection is None:
            return self.joint(features).flatten()
        *body, layer = self.joint.children()
        return projected_score(layer, self.projection, nn.Sequential(*body)(features), *z)


def projected_score(layer: nn.Module, projection: nn.Module | None, h: Tensor, *z: Tensor) -> Tensor:
    """Returns the scores layer(h) + <y, projection(h)>, shape (n,), or layer(h) if `projection` is None.

    The second term, an inner product, makes the score depend on how well h fits the condition y.

    Arguments:
        layer: the last layer of the critic, which maps h to one number.
        projection: a linear map from h, flattened, to the k components of y; None for none.
        h: the output of the last hidden layer, shape (n, ...).
        z: the inputs of the critic besides x; with a projection the last is the condition y, shape (n, k).
    """
    score: Tensor = layer(h).flatten()
    return score if projection is None else score + (projection(h.flatten(1)) * z[-1]).sum(dim=1)


@module_dataclass
class ChannelConcatCritic(FieldModule):
    """A critic of pairs of images or vectors of one shape, which are concatenated along the channels or the dimensions.

    Arguments:
        network: maps a concatenated pair, shape (n, 2 channels, ...), to a score, shape (n, 1).
    """

    network: nn.Module

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Returns the score of each pair of images or vectors x and `other`, shape (n,)."""
        return self.network(torch.cat([x, other], dim=1)).flatten()


@module_dataclass
class Recognizer(FieldModule):
    """A critic of x that also predicts the codes c from which x was generated; both are computed from the same features
    of x.

    Arguments:
        trunk: maps x to features, shape (n, features).
        judge: maps the features to a score, shape (n, 1).
        answers: maps the features to the parameters of Q(c | x), the predicted distribution of the codes, shape (n, outputs);
            `interalia.conditionals.Codes` defines them.

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657
    """

    trunk: nn.Module
    judge: nn.Module
    answers: nn.Module

    @property
    def score_layer(self) -> nn.Module:
        """The layer whose output is the score."""
        return self.judge

    def score_and_codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the scores of x, shape (n,), and the parameters of Q(c | x), shape (n, outputs), from one forward pass.

        Q(c | x) is the predicted distribution of the codes c.
        """
        features = self.trunk(x)
        return self.judge(features).flatten(), self.answers(features)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores of x, shape (n,)."""
        return self.judge(self.trunk(x)).flatten()


def score_layer(critic: nn.Module) -> nn.Module:
    """Returns the last layer of a critic, whose output is the score.

    That is the module in the critic's attribute `score_layer`, if it has one; otherwise the last child, the last child
    of this, and so on.
    """
    while not isinstance(critic, nn.Linear | nn.Conv2d):  # a layer with a spectral norm has children
        found = getattr(critic, "score_layer", None) or next(reversed(list(critic.children())), None)
        if found is None:
            break
        critic = found
    return critic


def score_and_hidden(critic: nn.Module, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Returns a critic's scores, and its last hidden layer, which is the input of its last layer, flattened, shape (n,
    features); for the critic's inputs, such as x and z. Half precision becomes float32.

    Example:
        >>> critic = PairCritic(nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1)))
        >>> score, hidden = score_and_hidden(critic, torch.zeros(2, 3), torch.zeros(2, 2))
        >>> score.shape, hidden.shape
        (torch.Size([2]), torch.Size([2, 4]))
    """
    found: list[Tensor] = []
    hook = score_layer(critic).register_forward_pre_hook(lambda _, args: found.append(args[0]))
    try:
        score = critic(*inputs)
    finally:
        hook.remove()
    return to_float32(score), to_float32(found[-1]).flatten(1)


def last_hidden(critic: nn.Module, *inputs: Tensor) -> Tensor:
    """Returns a critic's last hidden layer for its inputs, such as x and z, shape (n, features), as `score_and_hidden`."""
    return score_and_hidden(critic, *inputs)[1]


@module_dataclass
class PackedCritic(FieldModule):
    """A critic of packs: each score is that of m samples, concatenated along the channels of images or the dimensions
    of vectors.

    A model that drops modes generates packs with less variety than packs of data, which a critic of packs can detect.

    References:
        PacGAN: The Power of Two Samples in Generative Adversarial Networks, Zinan Lin, Ashish Khetan, Giulia Fanti,
        Sewoong Oh, 2018, https://arxiv.org/abs/1712.04086

    Arguments:
        critic: maps packs, of shape (n, m * c, h, w) for images or (n, m * d) for vectors, to scores.
        size: m, the number of samples in a pack.

    Raises:
        ValueError: in `forward`, the number of samples is no multiple of m.

    Example:
        >>> PackedCritic(nn.Linear(6, 1), 3)(torch.zeros(12, 2)).shape
        torch.Size([4, 1])
    """

    critic: nn.Module
    size: int

    def forward(self, *inputs: Tensor) -> Tensor:
        """Returns the score of each pack of m successive samples, shape (n / m,), for inputs such as x and z, each of
        shape (n, ...). m is the field `size`.

        Raises:
            ValueError: n is no multiple of m.
        """
        count = len(inputs[0])
        if count % self.size:
            raise ValueError(f"{count} samples are no whole number of packs of {self.size}")
        packs = [x.reshape(count // self.size, self.size * x.shape[1], *x.shape[2:]) for x in inputs]
        return self.critic(*packs)
