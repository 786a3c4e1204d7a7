"""A family of small networks that are chosen by the shape of the data, a good default for data of any shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from interalia.networks.family import FEATURES, Family, output_activation, output_layer
from interalia.networks.layers import (
    CONVS,
    Backbone,
    ChannelConcatCritic,
    CriticLayers,
    PairCritic,
    Recognizer,
    layer_block,
    upsample_conv,
)
from interalia.networks.mlp import MLP, hidden
from interalia.networks.perceptrons import Perceptrons
from interalia.networks.specs import Critic, Map
from interalia.networks.translation import MIN_SIDE, Translators
from interalia.registry import Width

SMALL = 256  # dimensions of x up to which fully connected layers are faster and better


def is_large(axes: tuple[int, ...]) -> bool:
    """True if a convolution may halve data with these lengths of their axes besides the channels.

    Both sides of an image must have 8 pixels or more. A signal must have 8 values or more, and so must the longest side of a
    volume, whose shorter sides keep their lengths, since slices are often few.
    """
    return bool(axes) and (min(axes) if len(axes) == 2 else max(axes)) >= MIN_SIDE


class Pyramid:
    """The sizes and feature maps of convolutions that halve an image until its shorter side is under 8 pixels.

    Of a signal or a volume they halve each axis until it is under 8 values.

    Arguments:
        shape: the shape of the data, (channels, *axes), of one, two or three axes.
        width: the feature maps of the first convolution.

    Attributes:
        sizes: the axes of the data, such as (height, width), followed by those of each convolution's output.
        kernels: the length of each convolution's kernel along each axis: 4 where it halves the axis, and 3 where an axis
            of a volume keeps its length.
        maps: the channels of the data, followed by the feature maps of each convolution: `width`, 2 `width`, 4 `width`,
            and 8 `width` from the fourth on.
        last_shape: the output shape of the last convolution, (feature maps, *axes).
        num_features: the number of elements of that output.
    """

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        channels, *size = shape
        self.sizes, self.kernels = [tuple(size)], list[tuple[int, ...]]()
        while is_large(self.sizes[-1]):
            self.kernels.append(tuple(4 if side >= MIN_SIDE else 3 for side in self.sizes[-1]))
            halves = zip(self.sizes[-1], self.kernels[-1], strict=True)
            self.sizes.append(tuple(side // 2 if kernel == 4 else side for side, kernel in halves))
        self.maps = [channels, *(width * min(2**level, 8) for level in range(len(self.sizes) - 1))]
        self.last_shape = (self.maps[-1], *self.sizes[-1])
        self.num_features = math.prod(self.last_shape)

    def down(self, norm: bool) -> nn.Sequential:
        """Returns the convolutions, each followed by batch norm, if `norm` is True, and leaky ReLU 0.2."""
        convs, layers = CONVS[len(self.sizes[0])], list[nn.Module]()
        for kernel, inputs, outputs in zip(self.kernels, self.maps[:-1], self.maps[1:], strict=True):
            layer = convs.conv(inputs, outputs, kernel, strides(kernel), 1, bias=not norm)
            layers += layer_block(layer, convs.norm(outputs) if norm else None)
        return nn.Sequential(*layers)

    def up(self) -> list[nn.Module]:
        """Returns transposed convolutions from `last_shape` to the shape of the data, each but the last followed by batch
        norm and leaky ReLU 0.2.
        """
        convs, layers = CONVS[len(self.sizes[0])], list[nn.Module]()
        for level in range(len(self.kernels), 0, -1):
            kernel, (outputs, inputs) = self.kernels[level - 1], self.maps[level - 1 : level + 1]
            sizes = (self.sizes[level], self.sizes[level - 1])
            layer = upsample_conv((inputs, outputs), *sizes, kernel, strides(kernel), bias=level == 1)
            layers += layer_block(layer, convs.norm(outputs)) if level > 1 else [layer]
        return layers


def strides(kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the stride of a convolution along each axis: 2 where the kernel's length is 4, and 1 where it is 3.

    Example:
        >>> strides((3, 4, 4))
        (1, 2, 2)
    """
    return tuple(length - 2 for length in kernel)


@dataclass(frozen=True)
class Auto(Family):
    """Networks for any data and game: convolutional for signals, images and volumes of over 256 values that are not very
    short, otherwise fully connected.

    Convolutional networks halve an image (kernel 4, stride 2) until its shorter side is under 8 pixels, and double the
    feature maps from `width` to at most 8 `width`; the decoder reverses odd sizes exactly. Each axis of a signal or a volume
    is halved until it is under 8 values. Data whose axes are all under 8, and images with a side under 8, have fully
    connected networks. Encoder and decoder have batch norm. The critic has no normalization, so that a gradient penalty
    applies to each sample alone. For two domains, images get CycleGAN's networks with `width` / 2 feature maps in the
    translators, and other data and images under 8 pixels a side get fully connected ones.

    Arguments:
        width: the feature maps of the first convolution; fully connected layers have 8 `width` units.
        unary: True to add a score of x alone to the critic's score; ignored if the specification has `classes`.
    """

    name = "auto"
    supports = tuple(FEATURES)
    width: Width = 32
    unary: bool = False

    @property
    def mlp_family(self) -> Perceptrons:
        """The `Perceptrons` that build all fully connected networks of this family, with `mlp_width` units in a hidden
        layer.
        """
        return Perceptrons(self.mlp_width, self.unary)

    def choose_family(self, spec: Map | Critic) -> Family:
        """Returns the family that builds the network of `spec`, depending on the shape of x.

        It is `Perceptrons` for networks without x, for vectors, for images with a side under 8 pixels, and for signals and
        volumes whose axes are all under 8 values. For translators and patch critics it is `Translators` if x is a larger
        image, and `Perceptrons` if not. For others it is `Perceptrons` for up to 256 values (channels x height x width), and
        this family otherwise.
        """
        x = spec.x
        if x is None or not is_large(x.axes):
            return self.mlp_family
        if spec.role in ("translator", "patch_critic"):
            return Translators(max(1, self.width // 2), critic=self.width) if x.is_image else self.mlp_family
        return self.mlp_family if x.size <= SMALL else self

    def make(self, spec: Map | Critic) -> nn.Module:
        """Returns the network that `spec` specifies, built by the family that `choose_family` returns.

        Raises:
            UserError: that family cannot build the network.
        """
        family = self.choose_family(spec)
        return super().make(spec) if family is self else family.make(spec)

    def init_weights(self, spec: Map | Critic, network: nn.Module) -> None:
        """Initializes the weights of `network`, the network of `spec`, in place.

        It does so as the family that `choose_family` returns; this family's convolutional networks keep PyTorch's
        weights.
        """
        family = self.choose_family(spec)
        if family is not self:
            family.init_weights(spec, network)

    @property
    def mlp_width(self) -> int:
        """The number of units in fully connected layers, 8 times the field `width`."""
        return 8 * self.width

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the encoder from x, a signal, image or volume, to `spec.output`: convolutions that halve x, a hidden layer,
        and an output layer.

        Labels or noise, if among its inputs, are concatenated with the flattened output of the convolutions.
        """
        pyramid = Pyramid(spec.inputs[0].shape, self.width)
        last = output_layer(self.mlp_width, spec.output)
        x = nn.Sequential(pyramid.down(norm=True), nn.Flatten())
        body = hidden(pyramid.num_features + spec.extra_size, self.mlp_width, 1, norm=True)
        if not spec.extra_size:
            return Backbone(nn.Sequential(*x, body), last)
        return Backbone(body, last, x=x, first_shape=spec.inputs[0].shape if spec.noise else ())

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from latents, and a label if there is one, to x, a signal, image or volume.

        It has two hidden layers, followed by transposed convolutions that each double x, and x's output activation.
        """
        pyramid = Pyramid(spec.output.shape, self.width)
        *ups, last = pyramid.up()
        first = hidden(spec.size, self.mlp_width, 1, norm=True)
        second = hidden(self.mlp_width, pyramid.num_features, 1, norm=True)
        body = nn.Sequential(first, second, nn.Unflatten(1, pyramid.last_shape), *ups)
        return Backbone(body, nn.Sequential(last, *output_activation(spec.output)))

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of the inputs of `spec`, of which the first is x, a signal, image or volume.

        Features of x are computed by convolutions and a hidden layer; those of the other inputs, such as z, by a hidden
        layer. Another hidden layer takes all features. A critic of pairs (x, x') reads the two concatenated along the
        channels. If `spec.code_outputs` is not 0, the critic is a `Recognizer`, which also predicts the codes of x.
        """
        pyramid, width = Pyramid(spec.inputs[0].shape, self.width), self.mlp_width
        if spec.compares_pair:
            pyramid.maps[0] *= 2
        convs, last = pyramid.down(norm=False), hidden(pyramid.num_features, width, 1, norm=False)
        x = nn.Sequential(CriticLayers(*convs), nn.Flatten(), last)
        if spec.compares_pair:
            return ChannelConcatCritic(nn.Sequential(x, nn.Linear(width, 1)))
        if spec.code_outputs:
            trunk = nn.Sequential(x, hidden(width, 2 * width, 1, norm=False))
            return Recognizer(trunk, nn.Linear(2 * width, 1), MLP(2 * width, spec.code_outputs, width, 1))
        z = hidden(spec.extra_size, width, 1, norm=False) if spec.extra_size else None
        joint = hidden(width * (2 if z else 1), 2 * width, 1, norm=False)
        head = nn.Sequential(joint, nn.Linear(2 * width, spec.classes or 1))
        unary = nn.Linear(width, 1) if (self.unary and not spec.classes) or spec.terms else None
        unary_z = nn.Linear(width, 1) if spec.terms else None
        return PairCritic(head, x, z, unary=unary, unary_z=unary_z, classes=spec.classes)
