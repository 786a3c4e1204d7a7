"""Layers: the ordinary ones, computed in the cheapest way that is the same mathematics.

A convolution whose output is 1x1 is a linear map, and on a CPU it is 20 to 50 times faster when it is computed as one; so
is a transposed convolution of a 1x1 input. Dropout spends its time drawing floats when 15 random bits a unit would do.
Parameters keep the shapes of the plain layers, so weights can be exchanged with plain networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar, dataclass_transform

import torch
from torch import Tensor, nn
from torch.nn import functional

from interalia.contexts import to_float32

T = TypeVar("T")


class FieldModule(nn.Module):
    """A network whose fields are its constructor's arguments; see `module_dataclass`."""

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        self = super().__new__(cls)
        nn.Module.__init__(self)  # before the first network is stored
        return self


@dataclass_transform(eq_default=False, field_specifiers=(field,))
def module_dataclass(kind: type[T]) -> type[T]:
    """A class of `FieldModule` whose annotated fields are its constructor's arguments, each stored under its own name.

    A subclass adds fields to those that it inherits. What is checked or made of them is in `__post_init__`.
    """
    made = dataclass(eq=False, repr=False)(kind)
    for one in fields(made):  # type: ignore[arg-type]
        if vars(made).get(one.name, one) is None:
            delattr(made, one.name)  # else None, found on the class, would hide the network that torch keeps elsewhere
    return made


def layer_block(layer: nn.Module, norm: nn.Module | None = None, leak: float | None = 0.2) -> list[nn.Module]:
    """A layer, a norm or none, and leaky ReLU in place; ReLU where `leak` is 0, ELU where it is None."""
    last = nn.LeakyReLU(leak, inplace=True) if leak else nn.ELU(inplace=True) if leak is None else nn.ReLU(inplace=True)
    return [layer, last] if norm is None else [layer, norm, last]


def upsampling_conv(
    maps: tuple[int, int], low: tuple[int, ...], high: tuple[int, ...], kernel: int, stride: int, bias: bool = True
) -> nn.ConvTranspose2d:
    """A transposed convolution from maps of `low` places a side to maps of `high`, which a padding of half of the kernel, and
    what it lacks at the end of each side, meet exactly."""
    padding = (kernel - 1) // 2
    rest = [b - (a - 1) * stride + 2 * padding - kernel for a, b in zip(low, high, strict=True)]
    return nn.ConvTranspose2d(*maps, kernel, stride, padding, output_padding=rest, bias=bias)  # type: ignore[arg-type]


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of (n, c, h, w) lie beside each other in memory."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def flatten_rows(x: Tensor, last: bool) -> Tensor:
    """(n, c, h, w) as (n, c * h * w), or as (n, h * w * c) where channels lie last: no copy where the memory is so laid."""
    return (x.permute(0, 2, 3, 1) if last else x).flatten(1)


class Convolution(nn.Conv2d):
    """A convolution without padding, computed as a linear map where the kernel covers the input exactly.

    Example:
        >>> layer = Convolution(3, 5, 4)
        >>> x = torch.randn(2, 3, 4, 4)
        >>> torch.allclose(layer(x), nn.Conv2d.forward(layer, x), atol=1e-6)
        True
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[2:] == self.kernel_size and self.padding == (0, 0):
            last = is_channels_last(self.weight)
            return functional.linear(flatten_rows(input, last), flatten_rows(self.weight, last), self.bias)[
                :, :, None, None
            ]
        return super().forward(input)


class Transposed(nn.ConvTranspose2d):
    """A transposed convolution, computed as a linear map where the input is 1x1.

    Example:
        >>> layer = Transposed(3, 5, 4)
        >>> x = torch.randn(2, 3, 1, 1)
        >>> torch.allclose(layer(x), nn.ConvTranspose2d.forward(layer, x), atol=1e-6)
        True
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if input.shape[2:] == (1, 1) and self.padding == (0, 0) and self.output_padding == (0, 0):
            last = is_channels_last(self.weight)
            maps, height, width = self.weight.shape[1:]
            out = functional.linear(input.flatten(1), flatten_rows(self.weight, last).t())
            out = out.unflatten(1, (height, width, maps) if last else (maps, height, width))
            out = out.permute(0, 3, 1, 2) if last else out
            return out if self.bias is None else out + self.bias[:, None, None]
        return super().forward(input, output_size)


@module_dataclass
class Dropout(FieldModule):
    """Dropout whose mask comes from 15 random bits a unit: p is met to 1 in 32,768, and kept units are scaled by 1 / (1 - p).

    Arguments:
        p: the probability of dropping a unit, in [0, 1).
    """

    p: float

    def forward(self, x: Tensor) -> Tensor:
        threshold = round(self.p * 32768)
        if not self.training or threshold == 0:
            return x
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None)  # all 64 bits: four units' worth
        bits = words.view(torch.int16)[: x.numel()]
        # uniform on [-32768, -1]; then below 0 with probability 1 - p; then all ones or all zeros; then 1 / (1 - p) or 0, as
        # the bits of a bfloat16: whole-word arithmetic, where comparing and converting would take four times as long
        scale = 32768 / (32768 - threshold)
        if x.dtype == torch.bfloat16:
            mask = random_mask(bits, threshold, scale)
        else:
            mask = random_mask(bits, threshold, 1.0).to(x.dtype).mul_(scale)
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            mask = mask.view(x.shape)
        else:
            mask = mask.as_strided(x.shape, x.stride())  # any order of the bits will do; this one is x's own
        return x * mask

    def extra_repr(self) -> str:
        return f"p={self.p}"


def random_mask(bits: Tensor, threshold: int, value: float) -> Tensor:
    """`value` with probability 1 - threshold / 32768, else 0, in bfloat16, from random int16, which are used up."""
    pattern = int(torch.tensor(value, dtype=torch.bfloat16).view(torch.int16))
    bits.bitwise_or_(-32768).add_(threshold).bitwise_right_shift_(15).bitwise_and_(pattern)
    return bits.view(torch.bfloat16)


class Sigmoid(nn.Sigmoid):
    """sigmoid(a), in full precision: a bfloat16 near 1 is 1 or at most 0.996, and an image in bytes has steps of 0.004."""

    def forward(self, input: Tensor) -> Tensor:
        return to_float32(input).sigmoid()


@module_dataclass
class Maxout(FieldModule):
    """The largest of `pieces` channels that lie c apart: (n, pieces * c, ...) -> (n, c, ...).

    Which channels compete is a matter of naming them; this way round the comparisons run over contiguous memory.

    References:
        Maxout Networks, Ian J. Goodfellow and others, 2013, https://arxiv.org/abs/1302.4389

    Example:
        >>> Maxout(2)(torch.tensor([[1.0, 3.0, 2.0, 0.0]]))
        tensor([[2., 3.]])
    """

    pieces: int

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.pieces, -1)).amax(dim=1)


class UntiedBias(nn.Module):
    """A bias for each channel and place, shape (channels, height, width)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.to(x.dtype)


class HalfTanh(nn.Module):
    """2 sigmoid(a) - 1 = tanh(a / 2)."""

    def forward(self, a: Tensor) -> Tensor:
        return torch.tanh(a / 2)


@module_dataclass
class PartialSoftmax(FieldModule):
    """A softmax over the last `count` channels, the others as they are."""

    count: int

    def forward(self, a: Tensor) -> Tensor:
        rest, logits = a.split([a.shape[1] - self.count, self.count], dim=1)
        return torch.cat([rest, logits.softmax(dim=1)], dim=1)


@module_dataclass
class Backbone(FieldModule):
    """A body and a head; `hidden` is what the body answers, the representation that probes read.

    Arguments:
        body: maps the input to the last hidden layer.
        head: maps that to the output.
        before: the shape of one input as the body wants it, or empty to take it as it comes.
        after: the shape of one output as it is answered, or empty.
        x: what the first of several inputs passes before the others join it, or None.
        joined: the shape of that first input, where it comes in one vector with the others, as an implicit conditional gives
            them.
    """

    body: nn.Module
    head: nn.Module
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    x: nn.Module | None = None
    joined: tuple[int, ...] = ()

    def hidden(self, *c: Tensor) -> Tensor:
        x, *y = c
        if self.joined:
            d = math.prod(self.joined)
            x, y = x[:, :d].unflatten(1, self.joined), [x[:, d:]]
        x = x if self.x is None else self.x(x)
        if y:  # a label, or noise
            x = torch.cat([part.flatten(1) for part in (x, *y)], dim=1)
        return self.body(x.reshape(len(x), *self.before) if self.before else x)

    def forward(self, *c: Tensor) -> Tensor:
        out: Tensor = self.head(self.hidden(*c))
        return out.reshape(len(out), *self.after) if self.after else out


@module_dataclass
class PairCritic(FieldModule):
    """A critic of pairs: D(x, z) = joint([f(x), g(z)]) (+ unary(f(x))), or of x alone, D(x) = joint(f(x)).

    What x is judged with may come in parts, such as z and a label y; they are concatenated.

    Arguments:
        joint: maps the concatenated features to a score.
        x: f, or None to take x as it is.
        z: g, or None to take z as it is.
        unary: scores x alone by its features; the sum keeps samples good where the joint score is busy with the pairing.
        before: the shape of one z as g wants it, or empty.
        classes: how many logits the joint answers, of which the score is the log of the summed exponentials; 0 for a plain
            score.
        unary_z: scores z alone by its features; with it, the three terms are answered apart, shape (n, 3), in the order
            x, z, pair, for a divergence that charges each of them for itself.

    References:
        Large Scale Adversarial Representation Learning, Jeff Donahue, Karen Simonyan, 2019,
        https://arxiv.org/abs/1907.02544 (the unary terms)
    """

    joint: nn.Module
    x: nn.Module | None = None
    z: nn.Module | None = None
    unary: nn.Module | None = None
    before: tuple[int, ...] = ()
    unary_z: nn.Module | None = None
    classes: int = 0

    def logits(self, x: Tensor, *z: Tensor) -> Tensor:
        """The joint's logits, shape (n, classes)."""
        return self.joint(torch.cat(self.features(x, *z), dim=1)).flatten(1)

    def features(self, x: Tensor, *z: Tensor) -> list[Tensor]:
        """[f(x)], or [f(x), g(z)]."""
        parts = [x if self.x is None else self.x(x)]
        if z:
            part = z[0] if len(z) == 1 else torch.cat(z, dim=1)
            part = part.reshape(len(part), *self.before) if self.before else part
            part = part if self.z is None else self.z(part)
            parts.append(part.to(parts[0].dtype))  # under autocast, f(x) may come in lower precision than a bare z
        return parts

    def forward(self, x: Tensor, *z: Tensor) -> Tensor:
        if self.classes:
            return to_float32(self.logits(x, *z)).logsumexp(dim=1)
        parts = self.features(x, *z)
        score: Tensor = self.joint(torch.cat(parts, dim=1)).flatten()
        if self.unary is None:
            return score
        unary = self.unary(parts[0]).flatten()
        if self.unary_z is None:
            return score + unary
        return torch.stack([unary, self.unary_z(parts[1]).flatten(), score], dim=1)


@module_dataclass
class ChannelConcatCritic(FieldModule):
    """A critic of two images of one shape: the second joins the first as more channels.

    Arguments:
        network: maps (n, 2 channels, ...) to a score.
    """

    network: nn.Module

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        return self.network(torch.cat([x, other], dim=1)).flatten()


class Recognizer(nn.Module):
    """A critic of x that also answers what codes x was made from: score(t(x)) and answers(t(x)) on one trunk t.

    Arguments:
        trunk: maps x to features, shape (n, features).
        score: maps the features to a score.
        answers: maps them to the parameters of Q(c | x), shape (n, answers); see `interalia.conditionals.Codes`.

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657
    """

    def __init__(self, trunk: nn.Module, score: nn.Module, answers: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.judge = score
        self.answers = answers

    def score_and_codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The scores, shape (n,), and the answers, shape (n, answers), from one pass."""
        features = self.trunk(x)
        return self.judge(features).flatten(), self.answers(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.judge(self.trunk(x)).flatten()


@module_dataclass
class PackedCritic(FieldModule):
    """A critic that judges several samples at a time: m beside each other as one with m times the channels, or numbers.

    A model that leaves modes out makes packs that are less varied than the data's, which a critic of packs can see.

    References:
        PacGAN: The Power of Two Samples in Generative Adversarial Networks, Zinan Lin, Ashish Khetan, Giulia Fanti,
        Sewoong Oh, 2018, https://arxiv.org/abs/1712.04086

    Arguments:
        critic: of the parts of a pack, shapes (n, m * c, h, w) and (n, m * d).
        size: m.

    Raises:
        ValueError: when called, the samples are no whole number of packs.

    Example:
        >>> PackedCritic(nn.Linear(6, 1), 3)(torch.zeros(12, 2)).shape
        torch.Size([4, 1])
    """

    critic: nn.Module
    size: int

    def forward(self, *parts: Tensor) -> Tensor:
        count = len(parts[0])
        if count % self.size:
            raise ValueError(f"{count} samples are no whole number of packs of {self.size}")
        packs = [part.reshape(count // self.size, self.size * part.shape[1], *part.shape[2:]) for part in parts]
        return self.critic(*packs)
