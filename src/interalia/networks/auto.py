"""Networks chosen from the shape of the data: small, and good enough to start with on any folder of images."""

from __future__ import annotations

import itertools
import math

from torch import nn

from interalia.networks import translation
from interalia.networks.layers import Beside, Joint, Recogniser, Sigmoid, Stack
from interalia.networks.mlp import MLP, bounding, hidden, small
from interalia.networks.sizes import Networks, Sizes, Translators

SMALL = 256  # numbers in one x up to which fully connected layers are both faster and better


def auto(sizes: Sizes, width: int = 32, unary: bool = False) -> Networks | Translators:
    """Networks for any shape and game: fully connected ones up to 256 numbers or under 8 pixels, convolutional ones above.

    The convolutional ones halve the image (kernel 4, stride 2) until its shorter side is under 8, doubling the maps from
    `width` up to 8 times that; odd sizes are met exactly on the way back. Batch norm in encoder and decoder, no
    normalisation in the critic, so that a gradient penalty means what it says. For two domains, translation's small ones.

    Arguments:
        sizes: what has to fit.
        width: maps of the first convolution; eight times that is the width of fully connected layers.
        unary: whether the critic adds a score of x alone; one that answers classes does not.
    """
    if width < 1:
        raise ValueError(f"`width` is {width}, and it counts maps: 1 or more")
    if sizes.other is not None:
        return translation.small(sizes, width)
    if len(sizes.shape) != 3 or math.prod(sizes.shape) <= SMALL or min(sizes.shape[1:]) < 8 or sizes.noise:
        return small(sizes, 8 * width, unary)
    channels, height, breadth = sizes.shape
    places = [(height, breadth)]
    while min(places[-1]) >= 8:
        places.append((places[-1][0] // 2, places[-1][1] // 2))
    maps = [channels] + [width * min(2**level, 8) for level in range(len(places) - 1)]
    flat = maps[-1] * math.prod(places[-1])
    wide = 8 * width

    encoder = None
    if sizes.infers:
        head = nn.Sequential(nn.Linear(wide, sizes.heads * sizes.inferred), *bounding(sizes))
        seen, body = nn.Sequential(down(maps, norm=True), nn.Flatten()), hidden(flat + sizes.labels, wide, 1, norm=True)
        encoder = Stack(body, head, x=seen) if sizes.labels else Stack(nn.Sequential(*seen, body), head)

    ups: list[nn.Module] = []
    for level in range(len(places) - 1, 0, -1):
        (height, breadth), (low, narrow) = places[level - 1], places[level]
        rest = (height - 2 * low, breadth - 2 * narrow)
        ups.append(nn.ConvTranspose2d(maps[level], maps[level - 1], 4, 2, 1, output_padding=rest, bias=level == 1))
        if level > 1:
            ups += [nn.BatchNorm2d(maps[level - 1]), nn.LeakyReLU(0.2, inplace=True)]
    last = ups.pop()
    body = nn.Sequential(
        hidden(sizes.told, wide, 1, norm=True),
        hidden(wide, flat, 1, norm=True),
        nn.Unflatten(1, (maps[-1], *places[-1])),
        *ups,
    )
    decoder = Stack(body, nn.Sequential(last, Sigmoid()))

    x = nn.Sequential(down(maps, norm=False), nn.Flatten(), hidden(flat, wide, 1, norm=False))
    critic: nn.Module
    if sizes.answers:
        trunk = nn.Sequential(x, hidden(wide, 2 * wide, 1, norm=False))
        critic = Recogniser(trunk, nn.Linear(2 * wide, 1), MLP(2 * wide, sizes.answers, wide, 1))
    else:
        z = hidden(sizes.beside, wide, 1, norm=False) if sizes.beside else None
        separate = sizes.separate and z is not None
        critic = Joint(
            nn.Sequential(
                hidden(wide * (2 if z else 1), 2 * wide, 1, norm=False), nn.Linear(2 * wide, sizes.classes or 1)
            ),
            x,
            z,
            unary=nn.Linear(wide, 1) if (unary and not sizes.classes) or separate else None,
            unary_z=nn.Linear(wide, 1) if separate else None,
            classes=sizes.classes,
        )
    cycle_critic = None
    if sizes.cycle:
        seen = nn.Sequential(
            down([2 * channels, *maps[1:]], norm=False), nn.Flatten(), hidden(flat, wide, 1, norm=False)
        )
        cycle_critic = Beside(nn.Sequential(seen, nn.Linear(wide, 1)))
    return Networks(encoder, decoder, critic, None, last.bias, cycle_critic)  # type: ignore[arg-type]


def down(maps: list[int], norm: bool) -> nn.Sequential:
    """Convolutions that halve the image, from `maps[0]` channels through all the others."""
    parts: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(maps):
        parts += [
            nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not norm),
            *([nn.BatchNorm2d(outputs)] if norm else []),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return nn.Sequential(*parts)
