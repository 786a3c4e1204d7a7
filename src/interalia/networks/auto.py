"""A family of small networks that are chosen by the shape of the data, a good default for any folder of images."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from torch import nn

from interalia.networks.family import FEATURES, Family, output_activation, output_layer
from interalia.networks.layers import Backbone, ChannelConcatCritic, PairCritic, Recognizer, layer_block, upsample_conv
from interalia.networks.mlp import MLP, hidden
from interalia.networks.perceptrons import Perceptrons
from interalia.networks.specs import Critic, Map
from interalia.networks.translation import MIN_SIDE, Translators
from interalia.registry import Width

SMALL = 256  # dimensions of x up to which fully connected layers are faster and better


class Pyramid:
    """The sizes and feature maps of convolutions that halve an image until its shorter side is under 8 pixels.

    Arguments:
        shape: the shape of the image, (channels, height, width).
        width: the feature maps of the first convolution.

    Attributes:
        sizes: the (height, width) of the image, followed by that of each convolution's output.
        maps: the channels of the image, followed by the feature maps of each convolution: `width`, 2 `width`, 4 `width`,
            and 8 `width` from the fourth on.
        last_shape: the output shape of the last convolution, (feature maps, height, width).
        num_features: the number of elements of that output.
    """

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        channels, *size = shape
        self.sizes = [tuple(size)]
        while min(self.sizes[-1]) >= MIN_SIDE:
            self.sizes.append(tuple(side // 2 for side in self.sizes[-1]))
        self.maps = [channels, *(width * min(2**level, 8) for level in range(len(self.sizes) - 1))]
        self.last_shape = (self.maps[-1], *self.sizes[-1])
        self.num_features = math.prod(self.last_shape)


@dataclass(frozen=True)
class Auto(Family):
    """Networks for any data and game: convolutional for images with sides of 8 or more pixels and over 256 values,
    otherwise fully connected.

    Convolutional networks halve the image (kernel 4, stride 2) until its shorter side is under 8 pixels, and double the
    feature maps from `width` to at most 8 `width`; the decoder reverses odd sizes exactly. Encoder and decoder have
    batch norm. The critic has no normalization, so that a gradient penalty applies to each sample alone. For two
    domains, images get CycleGAN's networks with `width` / 2 feature maps in the translators, and vectors and images
    under 8 pixels a side get fully connected ones.

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

        It is `Perceptrons` for networks without x, for vectors, and for images under 8 pixels a side; `Translators` for
        translators and patch critics of larger images; `Perceptrons` for other networks of images of up to 256 values
        (channels x height x width); and this family otherwise.
        """
        x = spec.x
        if x is None or not x.is_image or min(x.shape[1:]) < MIN_SIDE:
            return self.mlp_family
        if spec.role in ("translator", "patch_critic"):
            return Translators(max(1, self.width // 2), critic=self.width)
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
        """Builds the encoder from images x to `spec.output`: convolutions that halve the image, a hidden layer, and an
        output layer.

        Labels or noise, if among its inputs, are concatenated with the flattened output of the convolutions.
        """
        pyramid = Pyramid(spec.inputs[0].shape, self.width)
        last = output_layer(self.mlp_width, spec.output)
        x = nn.Sequential(downsampling_convs(pyramid.maps, norm=True), nn.Flatten())
        body = hidden(pyramid.num_features + spec.extra_size, self.mlp_width, 1, norm=True)
        if not spec.extra_size:
            return Backbone(nn.Sequential(*x, body), last)
        return Backbone(body, last, x=x, first_shape=spec.inputs[0].shape if spec.noise else ())

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from latents, and a label if there is one, to images x.

        It has two hidden layers, followed by transposed convolutions that each double the image, and x's output
        activation.
        """
        pyramid = Pyramid(spec.output.shape, self.width)
        ups: list[nn.Module] = []
        for level in range(len(pyramid.sizes) - 1, 0, -1):
            maps = (pyramid.maps[level], pyramid.maps[level - 1])
            layer = upsample_conv(maps, pyramid.sizes[level], pyramid.sizes[level - 1], 4, 2, bias=level == 1)
            ups += layer_block(layer, nn.BatchNorm2d(maps[1])) if level > 1 else [layer]
        last = ups.pop()
        first = hidden(spec.size, self.mlp_width, 1, norm=True)
        second = hidden(self.mlp_width, pyramid.num_features, 1, norm=True)
        body = nn.Sequential(first, second, nn.Unflatten(1, pyramid.last_shape), *ups)
        return Backbone(body, nn.Sequential(last, *output_activation(spec.output)))

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of the inputs of `spec`, of which the first is x, an image.

        Features of x are computed by convolutions and a hidden layer; those of the other inputs, such as z, by a hidden
        layer. Another hidden layer takes all features. A critic of pairs of images reads the two concatenated along the
        channels. If `spec.code_outputs` is not 0, the critic is a `Recognizer`, which also predicts the codes of x.
        """
        pyramid, width = Pyramid(spec.inputs[0].shape, self.width), self.mlp_width
        if spec.compares_pair:
            pyramid.maps[0] *= 2
        convs = downsampling_convs(pyramid.maps, norm=False)
        last = hidden(pyramid.num_features, width, 1, norm=False)
        x = nn.Sequential(convs, nn.Flatten(), last)
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


def downsampling_convs(maps: list[int], norm: bool) -> nn.Sequential:
    """Returns convolutions that each halve the image (kernel 4, stride 2), followed by leaky ReLU 0.2.

    Arguments:
        maps: the number of input channels, followed by the number of feature maps of each convolution.
        norm: True for batch norm after each convolution, before its leaky ReLU.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(maps):
        layer = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not norm)
        layers += layer_block(layer, nn.BatchNorm2d(outputs) if norm else None)
    return nn.Sequential(*layers)
