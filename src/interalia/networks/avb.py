"""AVB's networks: convolutions that take noise, and a critic with a bilinear term."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from interalia.contexts import to_float32
from interalia.networks.family import Family, output_activation, output_layer
from interalia.networks.layers import Backbone, layer_block, upsampling_conv
from interalia.networks.mlp import hidden
from interalia.networks.needs import Critic, Map
from interalia.spaces import Space

KERNEL, PADDING = 5, 2
STRIDES = [1, 1, 2, 2]  # of the convolutions
LEVELS = len(STRIDES)
QuadraticRange = Literal["everywhere", "beyond", "nowhere"]
QUADRATIC_STDS = 3.0  # standard deviations of |z|^2 over its mean, for z ~ N(0, I), that count as within
STD = 1e-5  # of the last layers of the critic's heads: its score starts at |z|^2 / 2


class NoiseConditionedConv(nn.Module):
    """Convolutions of 2x - 1, each followed by adding a linear map of the noise to all places, and by ELU.

    Takes [x, eps] as one vector, as an implicit conditional gives it.

    Arguments:
        shape: of one x.
        noise: the dimensions of eps; with 0 each convolution is followed by batch norm in its place.
        maps: of each convolution.
        strides: of each.
    """

    def __init__(self, shape: tuple[int, ...], noise: int, maps: list[int], strides: list[int]) -> None:
        super().__init__()
        self.shape = shape
        self.noise = noise
        pairs = list(itertools.pairwise([shape[0], *maps]))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, KERNEL, stride, PADDING, bias=noise > 0)
            for (inputs, outputs), stride in zip(pairs, strides, strict=True)
        )
        self.beside = nn.ModuleList(nn.Linear(noise, outputs) if noise else nn.BatchNorm2d(outputs) for outputs in maps)

    def forward(self, c: Tensor) -> Tensor:
        x, eps = c, c
        if self.noise:
            x, eps = c.split([math.prod(self.shape), self.noise], dim=1)
            x = x.unflatten(1, self.shape)
        h = 2 * x - 1
        for convolution, beside in zip(self.convolutions, self.beside, strict=True):
            h = convolution(h)
            h = h + beside(eps)[:, :, None, None] if self.noise else beside(h)
            h = elu(h)
        return h.flatten(1)


def quadratic_term(z: Tensor, where: QuadraticRange) -> Tensor:
    """What the score has of |z|^2 / 2, shape (n,), z of d dimensions:

        everywhere:  |z|^2 / 2
        beyond:      max(0, |z|^2 - c) / 2,   c = d + 3 sqrt(2 d)
        nowhere:     0

    "everywhere" is published: against a standard normal p(z), log q(z) - log p(z) has this term itself. Under adaptive
    contrast the critic's z is whitened and nearly noise, so that the score to find is nearly 0: the critic then has to take
    back the term wherever z comes to, and what it leaves of it falsifies the posterior's spreads. Without one, nothing keeps
    z from going far out: where few draws come to, the score cannot grow as fast as -log r does, and the posterior is drawn
    outwards. "beyond" leaves the score alone where noise comes to, in which |z|^2 is d on average with a standard deviation
    of sqrt(2 d), and answers -log r's growth outside.

    Example:
        >>> z = torch.tensor([[1.0, 1.0], [6.0, 8.0]])  # c = 8
        >>> quadratic_term(z, "everywhere").tolist(), quadratic_term(z, "beyond").tolist()
        ([1.0, 50.0], [0.0, 46.0])
    """
    square = to_float32(z).square().sum(1)
    if where == "everywhere":
        return square / 2
    if where == "beyond":
        d = z.shape[1]
        return (square - d - QUADRATIC_STDS * math.sqrt(2 * d)).clamp(min=0) / 2
    return torch.zeros_like(square)


class BilinearCritic(nn.Module):
    """T(x, z) = <theta(x), s(z)> + T_x(x) + T_z(z) + |z|^2 / 2, for log q(z | x) - log p(z): the last term is the standard
    normal prior's own part of it, so that the others have to find log q(z | x) alone; see `quadratic_term`.

    Arguments:
        inputs: numbers in one x.
        latent: dimensions of z.
        width: of the three hidden layers of each part, leaky ReLU 0.2.
        features: dimensions of theta and s.
        quadratic: where the score has the term |z|^2 / 2.
    """

    def __init__(
        self, inputs: int, latent: int, width: int, features: int, quadratic: QuadraticRange = "everywhere"
    ) -> None:
        super().__init__()
        self.quadratic = quadratic
        self.theta = self.part(inputs, width, features)
        self.s = self.part(latent, width, features)
        self.t_x = self.part(inputs, width, 1)
        self.t_z = self.part(latent, width, 1)
        for part in (self.theta, self.t_x, self.t_z):
            nn.init.normal_(part[-1].weight, std=STD)  # type: ignore[arg-type]

    @staticmethod
    def part(inputs: int, width: int, outputs: int) -> nn.Sequential:
        return hidden(inputs, width, 3, norm=False).append(nn.Linear(width, outputs))

    def hidden(self, x: Tensor, z: Tensor) -> Tensor:
        """theta(x) * s(z), shape (n, features)."""
        return self.theta(2 * x.flatten(1) - 1) * self.s(z)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        alone = self.t_x(2 * x.flatten(1) - 1) + self.t_z(z)
        score: Tensor = to_float32(self.hidden(x, z).sum(1) + alone.flatten())
        return score + quadratic_term(z, self.quadratic)


@dataclass(frozen=True)
class AVB(Family):
    """AVB's networks: for images four 5x5 convolutions of `width`, 2, 4 and 8 times `width` maps, the last two of stride 2,
    ELU; the encoder's noise, where it takes some, is added to all activations, and elsewhere there is batch norm. The decoder
    is their mirror, without normalisation. For vectors, images under 8 pixels, or without `convolutions`, three layers of
    `width` ELU units.

    The critic is <theta(x), s(z)> + T_x(x) + T_z(z) + |z|^2 / 2, each part with three layers of `critic_width` units.

    References:
        Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars
        Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722

    Arguments:
        width: maps of the first convolution, or units of a layer for vectors.
        critic_width: of the critic's layers.
        features: dimensions of the critic's bilinear term.
        convolutions: whether images get convolutions.
        quadratic: where the critic's score has the term |z|^2 / 2, "everywhere", as published, "beyond" what noise reaches,
            or "nowhere"; see `quadratic_term`.

    Raises:
        ValueError: a number is below 1, or `quadratic` is something else.
    """

    name = "avb"
    supports = ("noise",)
    critic_inputs = "(x, z)"
    width: int = 64
    critic_width: int = 1024
    features: int = 8192
    convolutions: bool = True
    quadratic: QuadraticRange = "everywhere"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quadratic not in get_args(QuadraticRange):
            raise ValueError(
                f"`quadratic` is {self.quadratic!r}; it is one of {', '.join(map(repr, get_args(QuadraticRange)))}"
            )

    def uses_convolutions(self, x: Space) -> bool:
        return self.convolutions and x.is_image and min(x.shape[1:]) >= 8

    @property
    def maps(self) -> list[int]:
        return [self.width * 2**level for level in range(LEVELS)]

    def encoder(self, net: Map) -> nn.Module:
        x, flatten = net.inputs[0], [] if net.noise else [nn.Flatten()]
        width = self.maps[-1] * math.prod(feature_sizes(x.shape)[-1]) if self.uses_convolutions(x) else self.width
        last = output_layer(width, net.output)
        if self.uses_convolutions(x):
            return Backbone(NoiseConditionedConv(x.shape, net.noise, self.maps, STRIDES), last)
        return Backbone(nn.Sequential(*flatten, elu_mlp(net.size, self.width)), last)

    def decoder(self, net: Map) -> nn.Module:
        x = net.output
        if not self.uses_convolutions(x):
            last = output_layer(self.width, x)
            return Backbone(elu_mlp(net.size, self.width), last, after=x.shape)
        ups: list[nn.Module] = []
        sides, maps = feature_sizes(x.shape), [x.shape[0], *self.maps]
        for level in range(LEVELS - 1, -1, -1):
            between = (maps[level + 1], maps[level])
            ups += layer_block(
                upsampling_conv(between, sides[level + 1], sides[level], KERNEL, STRIDES[level]), leak=None
            )
        end = (maps[-1], *sides[-1])
        body = nn.Sequential(
            *layer_block(nn.Linear(net.size, math.prod(end)), leak=None), nn.Unflatten(1, end), *ups[:-2]
        )
        return Backbone(body, nn.Sequential(ups[-2], *output_activation(x)))

    def critic(self, need: Critic) -> nn.Module:
        return BilinearCritic(need.inputs[0].size, need.extra_size, self.critic_width, self.features, self.quadratic)


def elu_mlp(inputs: int, width: int) -> nn.Sequential:
    """Three hidden layers of ELU units."""
    return hidden(inputs, width, 3, norm=False, leak=None)


def feature_sizes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The height and width before and after each convolution."""
    found = [shape[1:]]
    for stride in STRIDES:
        found.append(tuple(-(-side // stride) for side in found[-1]))
    return found


class Residual(nn.Module):
    """h + W_2 elu(W_1 elu(h))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.second(elu(self.first(elu(h))))


class ResidualCritic(nn.Module):
    """T(x, z) = f(x, z) + |z|^2 / 2, f of one layer and residual blocks; see `quadratic_term`.

    Arguments:
        inputs: numbers in x and z together.
        width: of all layers.
        blocks: how many.
        quadratic: where the score has the term |z|^2 / 2; see `quadratic_term`.
    """

    def __init__(self, inputs: int, width: int, blocks: int, quadratic: QuadraticRange = "everywhere") -> None:
        super().__init__()
        self.quadratic = quadratic
        self.body = nn.Sequential(nn.Linear(inputs, width), *(Residual(width) for _ in range(blocks)), nn.ELU())
        self.head = nn.Linear(width, 1)

    def hidden(self, x: Tensor, z: Tensor) -> Tensor:
        return self.body(torch.cat([x.flatten(1), z], dim=1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return to_float32(self.head(self.hidden(x, z)).flatten()) + quadratic_term(z, self.quadratic)


@dataclass(frozen=True)
class AVBToy(Family):
    """AVB's networks for its toys: encoder and decoder of three layers of 64 ELU units, a critic of five residual blocks.

    References:
        Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars
        Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722
    """

    name = "avb-toy"
    supports = ("noise",)
    critic_inputs = "(x, z)"
    width: int = 64
    critic_width: int = 256
    blocks: int = 5

    def check_shape(self, x: Space) -> None:
        if x.size >= 64:
            self.refuse_shape("a few numbers", x, "choose avb, or")

    def encoder(self, net: Map) -> nn.Module:
        return AVB(self.width).encoder(net)

    def decoder(self, net: Map) -> nn.Module:
        return AVB(self.width).decoder(net)

    def critic(self, need: Critic) -> nn.Module:
        return ResidualCritic(need.inputs[0].size + need.extra_size, self.critic_width, self.blocks)
