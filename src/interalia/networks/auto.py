"""Networks chosen from the shape of the data: small, and good enough to start with on any folder of images."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from torch import nn

from interalia.networks.family import DEMANDS, Family, head, onto
from interalia.networks.layers import Backbone, ChannelConcatCritic, PairCritic, Recogniser, unit, up
from interalia.networks.mlp import MLP, hidden
from interalia.networks.needs import Critic, Map
from interalia.networks.perceptrons import Perceptrons
from interalia.networks.translation import SMALLEST, Translators

SMALL = 256  # numbers in one x up to which fully connected layers are both faster and better


class Plan:
    """How an image is halved: sizes and maps level by level, and the numbers at the last one."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        channels, *place = shape
        self.places = [tuple(place)]
        while min(self.places[-1]) >= SMALLEST:
            self.places.append(tuple(side // 2 for side in self.places[-1]))
        self.maps = [channels, *(width * min(2**level, 8) for level in range(len(self.places) - 1))]
        self.end = (self.maps[-1], *self.places[-1])
        self.flat = math.prod(self.end)


@dataclass(frozen=True)
class Auto(Family):
    """Networks for any shape and game: fully connected ones up to 256 numbers or under 8 pixels, convolutional ones above.

    The convolutional ones halve the image (kernel 4, stride 2) until its shorter side is under 8, doubling the maps from
    `width` up to 8 times that; odd sizes are met exactly on the way back. Batch norm in encoder and decoder, no
    normalisation in the critic, so that a gradient penalty means what it says. For two domains, CycleGAN's with half of
    `width` maps in the translators, and fully connected ones for vectors and for images under 8 pixels a side.

    Arguments:
        width: maps of the first convolution; eight times that is the width of fully connected layers.
        unary: whether the critic adds a score of x alone; one that returns classes does not.
    """

    name = "auto"
    able = tuple(DEMANDS)
    width: int = 32
    unary: bool = False

    @property
    def plain(self) -> Perceptrons:
        """The fully connected ones."""
        return Perceptrons(8 * self.width, self.unary)

    def chosen(self, need: Map | Critic) -> Family:
        """The family that a network is taken from, by the shape of x."""
        x = need.x
        if x is None or not x.is_image or min(x.shape[1:]) < SMALLEST:
            return self.plain
        if need.role in ("translator", "patch_critic"):
            return Translators(max(1, self.width // 2), critic=self.width)
        return self.plain if x.size <= SMALL else self

    def make(self, need: Map | Critic) -> nn.Module:
        family = self.chosen(need)
        return super().make(need) if family is self else family.make(need)

    def start(self, need: Map | Critic, network: nn.Module) -> None:
        family = self.chosen(need)
        if family is not self:
            family.start(need, network)

    @property
    def wide(self) -> int:
        """Units of a fully connected layer."""
        return 8 * self.width

    def encoder(self, net: Map) -> nn.Module:
        plan = Plan(net.inputs[0].shape, self.width)
        last = head(self.wide, net.output)
        seen = nn.Sequential(down(plan.maps, norm=True), nn.Flatten())
        body = hidden(plan.flat + net.beside, self.wide, 1, norm=True)
        if not net.beside:
            return Backbone(nn.Sequential(*seen, body), last)
        return Backbone(body, last, x=seen, joined=net.inputs[0].shape if net.noise else ())

    def decoder(self, net: Map) -> nn.Module:
        plan = Plan(net.output.shape, self.width)
        ups: list[nn.Module] = []
        for level in range(len(plan.places) - 1, 0, -1):
            maps, (low, high) = (plan.maps[level], plan.maps[level - 1]), (plan.places[level], plan.places[level - 1])
            layer = up(maps, low, high, 4, 2, bias=level == 1)
            ups += unit(layer, nn.BatchNorm2d(maps[1])) if level > 1 else [layer]
        last = ups.pop()
        body = nn.Sequential(
            hidden(net.size, self.wide, 1, norm=True),
            hidden(self.wide, plan.flat, 1, norm=True),
            nn.Unflatten(1, plan.end),
            *ups,
        )
        return Backbone(body, nn.Sequential(last, *onto(net.output)))

    def critic(self, need: Critic) -> nn.Module:
        plan, wide = Plan(need.sees[0].shape, self.width), self.wide
        if need.of_two:
            plan.maps[0] *= 2
        x = nn.Sequential(down(plan.maps, norm=False), nn.Flatten(), hidden(plan.flat, wide, 1, norm=False))
        if need.of_two:
            return ChannelConcatCritic(nn.Sequential(x, nn.Linear(wide, 1)))
        if need.answers:
            trunk = nn.Sequential(x, hidden(wide, 2 * wide, 1, norm=False))
            return Recogniser(trunk, nn.Linear(2 * wide, 1), MLP(2 * wide, need.answers, wide, 1))
        z = hidden(need.beside, wide, 1, norm=False) if need.beside else None
        joint = hidden(wide * (2 if z else 1), 2 * wide, 1, norm=False)
        return PairCritic(
            nn.Sequential(joint, nn.Linear(2 * wide, need.classes or 1)),
            x,
            z,
            unary=nn.Linear(wide, 1) if (self.unary and not need.classes) or need.terms else None,
            unary_z=nn.Linear(wide, 1) if need.terms else None,
            classes=need.classes,
        )


def down(maps: list[int], norm: bool) -> nn.Sequential:
    """Convolutions that halve the image, from `maps[0]` channels through all the others."""
    parts: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(maps):
        parts += unit(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not norm), nn.BatchNorm2d(outputs) if norm else None)
    return nn.Sequential(*parts)
