"""InfoGAN's networks for MNIST."""

from __future__ import annotations

import math

from torch import nn

from interalia.errors import UserError
from interalia.networks.layers import Joint, Recogniser, Sigmoid, Stack
from interalia.networks.mlp import hidden
from interalia.networks.sizes import Networks, Sizes


def infogan(sizes: Sizes, leak: float = 0.1, width: int = 64) -> Networks:
    """InfoGAN's networks for MNIST, and for any images whose sides divide by 4: two strided convolutions and a layer of
    1,024 units in the critic, the same turned round in the decoder.

    The critic's trunk is shared by the score and, where codes are to be recognised, by the answers for them (128 units
    more). Batch norm everywhere but at the images and at the outputs; initial weights N(0, 0.02^2).

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657 (appendix C.1)

    Arguments:
        sizes: what has to fit.
        leak: of the critic's leaky ReLU.
        width: maps of the first convolution; twice as many in the second, and 16 times as many units in the layer of 1,024.

    Raises:
        UserError: the data is no image whose sides divide by 4, or the networks are to be told labels.
        ValueError: `width` is below 1.
    """
    if width < 1:
        raise ValueError(f"`width` is {width}, and it counts maps: 1 or more")
    if len(sizes.shape) != 3 or any(side % 4 or not side for side in sizes.shape[1:]):
        raise UserError(
            f"the networks 'infogan' are made for images whose sides divide by 4, and the data's shape is {sizes.shape}; "
            f"give --size 28, or --networks auto, which fit any shape."
        )
    if sizes.labels:
        raise UserError("the networks 'infogan' have no place for labels; use --networks auto, or leave out --labels.")
    channels, height, breadth = sizes.shape
    small = (2 * width, height // 4, breadth // 4)
    flat, wide = math.prod(small), 16 * width

    last = nn.ConvTranspose2d(width, channels, 4, 2, 1)
    body = nn.Sequential(
        hidden(sizes.inferred, wide, 1, norm=True, leak=0),
        hidden(wide, flat, 1, norm=True, leak=0),
        nn.Unflatten(1, small),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
    decoder = Stack(body, nn.Sequential(last, Sigmoid()))

    trunk = nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1),
        nn.LeakyReLU(leak, inplace=True),
        nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(leak, inplace=True),
        nn.Flatten(),
        hidden(flat, wide, 1, norm=True, leak=leak),
    )
    score = nn.Linear(wide, 1)
    if sizes.answers:
        answers = nn.Sequential(hidden(wide, 2 * width, 1, norm=True, leak=leak), nn.Linear(2 * width, sizes.answers))
        return Networks(None, decoder, Recogniser(trunk, score, answers), 0.02)
    return Networks(None, decoder, Joint(score, trunk), 0.02)
