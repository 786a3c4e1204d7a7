"""The networks of adversarial variational Bayes (AVB): convolutions with noise inputs, and critics with the term |z|^2
/ 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from interalia.contexts import to_float32
from interalia.networks.family import Family, output_activation, output_layer
from interalia.networks.layers import Backbone, layer_block, upsample_conv
from interalia.networks.mlp import hidden
from interalia.networks.specs import Critic, Map
from interalia.registry import Repeats, Width
from interalia.spaces import Space

KERNEL, PADDING = 5, 2
STRIDES = [1, 1, 2, 2]  # of the convolutions
LEVELS = len(STRIDES)
QuadraticRange = Literal["everywhere", "beyond", "nowhere"]
QUADRATIC_STDS = 3.0  # "beyond" starts at this many standard deviations of |z|^2 above its mean, for z ~ N(0, I)
STD = 1e-5  # initial weights of the last layers in the critic's parts, so that its score starts at |z|^2 / 2


class NoiseConditionedConv(nn.Module):
    """Convolutions of an image x and noise eps: a linear map of eps is added to the output of each, followed by ELU.

    The first convolution reads 2 x - 1. The map of eps gives one number for each feature map, which is added to all
    pixels.

    Arguments:
        shape: the shape of one x, (channels, height, width).
        noise: the dimensions of eps; with 0, batch norm replaces the map of eps.
        maps: the feature maps of each convolution; all have 5x5 kernels and padding 2.
        strides: the stride of each convolution.
    """

    def __init__(self, shape: tuple[int, ...], noise: int, maps: list[int], strides: list[int]) -> None:
        super().__init__()
        self.shape = shape
        self.noise = noise
        sizes = zip([shape[0], *maps[:-1]], maps, strides, strict=True)
        convolutions = (nn.Conv2d(m, n, KERNEL, stride, PADDING, bias=noise > 0) for m, n, stride in sizes)
        self.convolutions = nn.ModuleList(convolutions)
        self.beside = nn.ModuleList(nn.Linear(noise, outputs) if noise else nn.BatchNorm2d(outputs) for outputs in maps)

    def forward(self, c: Tensor) -> Tensor:
        """Returns the flattened output of the last convolution, shape (n, features).

        Arguments:
            c: x, flattened, and eps, concatenated, shape (n, x's dimensions + `noise`); with `noise` = 0, x alone, shape
                (n, *shape).
        """
        x, eps = c, c
        if self.noise:
            x, eps = c.split([math.prod(self.shape), self.noise], dim=1)
            x = x.unflatten(1, self.shape)
        h = 2 * x - 1
        for convolution, layer in zip(self.convolutions, self.beside, strict=True):
            h = convolution(h)
            h = h + layer(eps)[:, :, None, None] if self.noise else layer(h)
            h = elu(h)
        return h.flatten(1)


def quadratic_term(z: Tensor, where: QuadraticRange) -> Tensor:
    """Returns the term of the critic's score that depends on |z|^2 only, shape (n,), for z of shape (n, d).

    `where` selects the term:

        everywhere:  |z|^2 / 2
        beyond:      max(0, |z|^2 - c) / 2,   c = d + 3 sqrt(2 d)
        nowhere:     0

    "everywhere" is the published choice: for a standard normal p(z), log q(z | x) - log p(z) contains |z|^2 / 2.

    The other two are for adaptive contrast, a variant of AVB. There the critic estimates log q(z | x) - log r(z | x),
    where r is the normal distribution with the moments of q, and z is first standardized by these moments. The optimal
    score is then close to 0. With "everywhere", the critic has to cancel |z|^2 / 2 at all z, and the remaining error
    biases the scales of q. With "nowhere", the score cannot grow as fast as -log r at large z, where samples are rare,
    so q is pulled outwards. "beyond" is 0 in the range of z ~ N(0, I), where |z|^2 has mean d and standard deviation
    sqrt(2 d), and grows as -log r outside.

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
    """The critic T(x, z) = <theta(x), s(z)> + T_x(x) + T_z(z) + |z|^2 / 2, an estimate of log q(z | x) - log p(z).

    <., .> is the inner product of the vectors theta(x) and s(z); T_x and T_z are numbers. Each of the four is a network with
    three hidden layers and leaky ReLU 0.2, and those of x read 2 x - 1. |z|^2 / 2 is -log p(z) of a standard normal prior up
    to a constant, so that the other terms estimate log q(z | x).

    Arguments:
        inputs: the dimensions of x.
        latent: the dimensions of z.
        width: the width of the hidden layers.
        features: the dimensions of theta(x) and s(z).
        quadratic: the term of |z|^2 in the score: |z|^2 / 2 "everywhere", only "beyond" the usual |z|^2 of z ~ N(0, I), or
            "nowhere"; see `quadratic_term`.
    """

    def __init__(
        self, inputs: int, latent: int, width: int, features: int, quadratic: QuadraticRange = "everywhere"
    ) -> None:
        super().__init__()
        self.quadratic = quadratic
        sizes = ((inputs, features), (latent, features), (inputs, 1), (latent, 1))
        mlps = [hidden(n, width, 3, norm=False).append(nn.Linear(width, outputs)) for n, outputs in sizes]
        self.theta, self.s, self.t_x, self.t_z = mlps
        for mlp in (self.theta, self.t_x, self.t_z):
            nn.init.normal_(mlp[-1].weight, std=STD)  # type: ignore[arg-type]

    def hidden(self, x: Tensor, z: Tensor) -> Tensor:
        """Returns the elementwise product theta(x) * s(z), shape (n, features), for x of shape (n, ...) and z of shape
        (n, d).
        """
        return self.theta(2 * x.flatten(1) - 1) * self.s(z)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Returns the score T(x, z) of each pair (x, z), shape (n,), for x of shape (n, ...) and z of shape (n, d)."""
        unary = self.t_x(2 * x.flatten(1) - 1) + self.t_z(z)
        score: Tensor = to_float32(self.hidden(x, z).sum(1) + unary.flatten())
        return score + quadratic_term(z, self.quadratic)


@dataclass(frozen=True)
class AVB(Family):
    """The networks of adversarial variational Bayes (AVB): convolutional for images, fully connected for vectors, and a
    critic with a bilinear term.

    The encoder of images has four 5x5 convolutions with ELU and `width`, 2, 4 and 8 times `width` feature maps, the
    last two with stride 2. A linear map of the noise is added to the activations of each; without noise they have batch
    norm. The decoder mirrors them, without normalization. Vectors, images under 8 pixels a side, and all data if
    `convolutions` is False get fully connected networks with three layers of `width` ELU units.

    The critic is <theta(x), s(z)> + T_x(x) + T_z(z) + |z|^2 / 2. theta, s, T_x and T_z are networks with three layers
    of `critic_width` units.

    References:
        Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars
        Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722

    Arguments:
        width: the feature maps of the first convolution, or the width of fully connected layers.
        critic_width: the width of the critic's layers.
        features: the dimensions of theta(x) and s(z), whose inner product is the critic's bilinear term.
        convolutions: True for convolutional encoder and decoder of images, False for fully connected ones.
        quadratic: the term of |z|^2 in the critic's score: |z|^2 / 2 "everywhere", as published, only "beyond" the usual
            |z|^2 of z ~ N(0, I), or "nowhere"; see `quadratic_term`.

    Raises:
        ValueError: a number is below 1, or `quadratic` is none of the three.
    """

    name = "avb"
    supports = ("noise",)
    critic_inputs = "(x, z)"
    width: Width = 64
    critic_width: Width = 1024
    features: Width = 8192
    convolutions: bool = True
    quadratic: QuadraticRange = "everywhere"

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = get_args(QuadraticRange)
        if self.quadratic not in choices:
            raise ValueError(f"`quadratic` is {self.quadratic!r}; it is one of {', '.join(map(repr, choices))}")

    def uses_convolutions(self, x: Space) -> bool:
        """True if encoder and decoder of x are convolutional: `convolutions` is True and x is an image with sides of 8
        or more pixels.
        """
        return self.convolutions and x.is_image and min(x.shape[1:]) >= 8

    @property
    def maps(self) -> list[int]:
        """The number of feature maps after each of the four convolutions: `width`, doubled from each to the next."""
        return [self.width * 2**level for level in range(LEVELS)]

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the encoder from x and any noise to `spec.output`, with an output layer after four convolutions for
        images, or after three hidden layers for other data.
        """
        x, flatten = spec.inputs[0], [] if spec.noise else [nn.Flatten()]
        width = self.maps[-1] * math.prod(feature_sizes(x.shape)[-1]) if self.uses_convolutions(x) else self.width
        last = output_layer(width, spec.output)
        if self.uses_convolutions(x):
            return Backbone(NoiseConditionedConv(x.shape, spec.noise, self.maps, STRIDES), last)
        return Backbone(nn.Sequential(*flatten, hidden(spec.size, self.width, 3, norm=False, leak=None)), last)

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from z to x: a linear layer and four transposed convolutions for images, or three hidden
        layers and an output layer for other data.
        """
        x = spec.output
        if not self.uses_convolutions(x):
            last = output_layer(self.width, x)
            return Backbone(hidden(spec.size, self.width, 3, norm=False, leak=None), last, output_shape=x.shape)
        ups: list[nn.Module] = []
        sides, maps = feature_sizes(x.shape), [x.shape[0], *self.maps]
        for level in range(LEVELS - 1, -1, -1):
            channels = (maps[level + 1], maps[level])
            layer = upsample_conv(channels, sides[level + 1], sides[level], KERNEL, STRIDES[level])
            ups += layer_block(layer, leak=None)
        end = (maps[-1], *sides[-1])
        first = layer_block(nn.Linear(spec.size, math.prod(end)), leak=None)
        body = nn.Sequential(*first, nn.Unflatten(1, end), *ups[:-2])
        return Backbone(body, nn.Sequential(ups[-2], *output_activation(x)))

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of x and z, a `BilinearCritic`."""
        return BilinearCritic(spec.inputs[0].size, spec.extra_size, self.critic_width, self.features, self.quadratic)


def feature_sizes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Returns the (height, width) of an image and of the output of each of AVB's four convolutions, in order.

    Arguments:
        shape: the shape of the image, (channels, height, width).
    """
    sizes = [shape[1:]]
    for stride in STRIDES:
        sizes.append(tuple(-(-side // stride) for side in sizes[-1]))
    return sizes


class ResidualBlock(nn.Module):
    """A residual block of two linear layers, h -> h + W_2 elu(W_1 elu(h)), for h of shape (n, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Returns h + W_2 elu(W_1 elu(h)), shape (n, width)."""
        return h + self.second(elu(self.first(elu(h))))


class ResidualCritic(nn.Module):
    """The critic T(x, z) = f(x, z) + |z|^2 / 2, where f is a linear layer, residual blocks, ELU and a linear layer.

    Arguments:
        inputs: the dimensions of x and z together.
        width: the width of all layers.
        blocks: the number of residual blocks.
        quadratic: the term of |z|^2 in the score: |z|^2 / 2 "everywhere", only "beyond" the usual |z|^2 of z ~ N(0, I), or
            "nowhere"; see `quadratic_term`.
    """

    def __init__(self, inputs: int, width: int, blocks: int, quadratic: QuadraticRange = "everywhere") -> None:
        super().__init__()
        self.quadratic = quadratic
        self.body = nn.Sequential(nn.Linear(inputs, width), *(ResidualBlock(width) for _ in range(blocks)), nn.ELU())
        self.head = nn.Linear(width, 1)

    def hidden(self, x: Tensor, z: Tensor) -> Tensor:
        """Returns the last hidden layer, shape (n, width), for x of shape (n, ...) and z of shape (n, d)."""
        return self.body(torch.cat([x.flatten(1), z], dim=1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Returns the score T(x, z) of each pair (x, z), shape (n,), for x of shape (n, ...) and z of shape (n, d)."""
        return to_float32(self.head(self.hidden(x, z)).flatten()) + quadratic_term(z, self.quadratic)


@dataclass(frozen=True)
class AVBToy(Family):
    """The networks of adversarial variational Bayes (AVB) for toy data of under 64 dimensions: fully connected encoder
    and decoder, and a critic of residual blocks.

    Encoder and decoder have three layers of ELU units.

    References:
        Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars
        Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722

    Arguments:
        width: the width of the hidden layers in encoder and decoder.
        critic_width: the width of the critic's layers.
        blocks: the number of residual blocks in the critic.
    """

    name = "avb-toy"
    supports = ("noise",)
    critic_inputs = "(x, z)"
    width: Width = 64
    critic_width: Width = 256
    blocks: Repeats = 5

    def check_shape(self, x: Space) -> None:
        """Raises a UserError if x has 64 or more dimensions."""
        if x.size >= 64:
            self.refuse_shape("a few numbers", x, "choose avb, or")

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the encoder from x and any noise to `spec.output`: three hidden layers of ELU units, and an output
        layer.
        """
        return AVB(self.width).encoder(spec)

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from z to x: three hidden layers of ELU units, and an output layer."""
        return AVB(self.width).decoder(spec)

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of x and z, a `ResidualCritic`."""
        return ResidualCritic(spec.inputs[0].size + spec.extra_size, self.critic_width, self.blocks)
