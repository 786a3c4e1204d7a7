"""The networks of InfoGAN for MNIST."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from interalia.networks.family import Family, output_activation
from interalia.networks.layers import Backbone, PairCritic, Recognizer, layer_block
from interalia.networks.mlp import hidden
from interalia.networks.specs import Critic, Map
from interalia.registry import Width
from interalia.spaces import Space

WIDTH = 64  # as published


@dataclass(frozen=True)
class InfoGAN(Family):
    """InfoGAN's networks for MNIST and other images whose sides are multiples of 4: two strided convolutions and an MLP.

    The critic has two convolutions and a layer of 16 `width` units; the decoder mirrors them. In a game with codes, the score
    and the predicted codes are computed from the same layer, the codes through another layer of 2 `width` units. All layers
    but those next to the images and the outputs have batch norm. Initial weights are N(0, 0.02^2), and
    N(0, (1.28 / `width`)^2) in the last layer of a decoder with a `width` below 64. There is no encoder.

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657 (appendix C.1)

    Arguments:
        leak: the negative slope of the critic's leaky ReLU.
        width: the feature maps of the first convolution; the second has 2 `width`, and the fully connected layer 16 `width`
            units.

    Raises:
        ValueError: `width` is below 1.
    """

    name = "infogan"
    supports = ("code_outputs",)
    critic_inputs = "(x)"
    std = 0.02
    leak: float = 0.1
    width: Width = WIDTH

    def check_shape(self, x: Space) -> None:
        """Raises a UserError unless x is an image whose sides are multiples of 4."""
        if not x.is_image or any(side % 4 or not side for side in x.shape[1:]):
            self.refuse_shape("images whose sides are multiples of 4", x, "give `image_size=28`, or choose")

    def conv_shape(self, x: Space) -> tuple[int, int, int]:
        """Returns the output shape of the second convolution, (2 `width`, h / 4, w / 4), for images x of h x w pixels."""
        return 2 * self.width, x.shape[1] // 4, x.shape[2] // 4

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from z to images x: two hidden layers and two transposed convolutions, and x's output
        activation.
        """
        width, shape = self.width, self.conv_shape(spec.output)
        last = nn.ConvTranspose2d(width, spec.output.shape[0], 4, 2, 1)
        first = hidden(spec.size, 16 * width, 1, norm=True, leak=0)
        second = hidden(16 * width, math.prod(shape), 1, norm=True, leak=0)
        up = layer_block(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), 0)
        body = nn.Sequential(first, second, nn.Unflatten(1, shape), *up)
        return Backbone(body, nn.Sequential(last, *output_activation(spec.output)))

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic from x to a score; if `spec.code_outputs` is not 0, it is a `Recognizer`, which also
        predicts the codes of x.
        """
        x, width, wide = spec.inputs[0], self.width, 16 * self.width
        convs = layer_block(nn.Conv2d(x.shape[0], width, 4, 2, 1), leak=self.leak)
        convs += layer_block(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), self.leak)
        features = hidden(math.prod(self.conv_shape(x)), wide, 1, norm=True, leak=self.leak)
        trunk = nn.Sequential(*convs, nn.Flatten(), features)
        score = nn.Linear(wide, 1)
        if not spec.code_outputs:
            return PairCritic(score, trunk)
        last = nn.Linear(2 * width, spec.code_outputs)
        return Recognizer(trunk, score, nn.Sequential(hidden(wide, 2 * width, 1, norm=True, leak=self.leak), last))

    def init_weights(self, spec: Map | Critic, network: nn.Module) -> None:
        """Draws the weights of `network` from N(0, 0.02^2) in place, those of a decoder's last layer from
        N(0, (1.28 / `width`)^2) if `width` is below 64, and sets biases to 0.
        """
        super().init_weights(spec, network)
        if spec.role == "decoder" and self.width < WIDTH:
            # no batch norm follows the last layer: with 0.02, samples of a narrow decoder hardly differ from each other, and
            # a critic with batch norm separates them from data long before the decoder has grown its scale: none learns
            last = network.get_submodule("head.0")
            with torch.no_grad():
                last.weight.mul_(WIDTH / self.width)  # type: ignore[operator]

    def output_bias(self, decoder: nn.Module) -> None:
        """Returns None, so that the bias of the decoder's output is not set from the mean image: InfoGAN starts it at
        0.
        """
        return None
