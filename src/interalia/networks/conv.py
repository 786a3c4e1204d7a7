"""The papers' convolutional networks, written like the tables in the papers.

A row is ``kernel/stride/maps``; ``T`` marks a transposed convolution. No layer has padding. Batch norm and a leaky ReLU
follow each row unless the table says otherwise. The builder adds the last row of an encoder (2 numbers for each dimension
of z) and of a decoder (the channels of the image, and a sigmoid).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from interalia.networks.family import Family, output_activation
from interalia.networks.layers import (
    Backbone,
    Convolution,
    Dropout,
    Maxout,
    PairCritic,
    Transposed,
    UntiedBias,
    layer_block,
)
from interalia.networks.specs import Critic, Map
from interalia.spaces import Space


@dataclass(frozen=True)
class Table:
    """One column of a paper's appendix.

    Attributes:
        side: the height and width of the images.
        encoder, decoder, critic_x, critic_z, critic_joint: the rows.
        leak: the negative slope of the leaky ReLU in encoder and decoder.
        critic_leak: that in the critic.
        maxout: the pieces of maxout units, which replace the leaky ReLU in the critic; 0 for leaky ReLU.
        norms: True for batch norm after all but the first row of `critic_x`.
        drop_inputs, drop: dropout before the first and before each other layer of the critic's parts.
    """

    side: int
    encoder: str
    decoder: str
    critic_x: str
    critic_z: str
    critic_joint: str
    leak: float = 0.01
    critic_leak: float = 0.01
    maxout: int = 0
    norms: bool = True
    drop_inputs: float = 0.2
    drop: float = 0.2


SVHN = Table(
    side=32,
    encoder="5/1/32 4/2/64 4/1/128 4/2/256 4/1/512 1/1/512",
    decoder="T4/1/256 T4/2/128 T4/1/64 T4/2/32 T5/1/32 1/1/32",
    critic_x="5/1/32 4/2/64 4/1/128 4/2/256 4/1/512",
    critic_z="1/1/512 1/1/512",
    critic_joint="1/1/1024 1/1/1024",
)
CIFAR10 = replace(SVHN, leak=0.1, maxout=2, norms=False, drop=0.5)
CELEBA = Table(
    side=64,
    encoder="2/1/64 7/2/128 5/2/256 7/2/256 4/1/512",
    decoder="T4/1/512 T7/2/256 T5/2/256 T7/2/128 T2/1/64",
    critic_x="2/1/64 7/2/128 5/2/256 7/2/256 4/1/512",
    critic_z="1/1/1024 1/1/1024",
    critic_joint="1/1/2048 1/1/2048",
    leak=0.02,
    critic_leak=0.02,
)
TINY_IMAGENET = Table(
    side=64,
    encoder="4/2/64 4/1/64 4/2/128 4/1/128 4/2/256 4/1/256 1/1/2048 1/1/2048",
    decoder="1/1/2048 1/1/256 T4/1/256 T4/2/128 T4/1/128 T4/2/64 T4/1/64 T4/2/64",
    critic_x="4/2/64 4/1/64 4/2/128 4/1/128 4/2/256 4/1/256",
    critic_z="1/1/2048 1/1/2048",
    critic_joint="1/1/4096 1/1/4096",
)
# The reproduction report rescales all data sets to 28x28 and does not print its networks. This is SVHN's column with a last
# kernel of 3 instead of 4, the only change that 28 pixels need.
REPORT = replace(
    SVHN,
    side=28,
    encoder="5/1/32 4/2/64 4/1/128 4/2/256 3/1/512 1/1/512",
    decoder="T3/1/256 T4/2/128 T4/1/64 T4/2/32 T5/1/32 1/1/32",
    critic_x="5/1/32 4/2/64 4/1/128 4/2/256 3/1/512",
)


def parse_rows(text: str) -> list[tuple[bool, int, int, int]]:
    """Parses the rows of a table: (transposed, kernel, stride, maps).

    Example:
        >>> parse_rows("5/1/32 T4/2/64")
        [(False, 5, 1, 32), (True, 4, 2, 64)]
    """
    parsed = []
    for row in text.split():
        kernel, stride, maps = map(int, row.lstrip("T").split("/"))
        parsed.append((row.startswith("T"), kernel, stride, maps))
    return parsed


def conv_rows(text: str, inputs: int, leak: float) -> tuple[nn.Sequential, int]:
    """Convolutions without biases, each with batch norm and leaky ReLU, and the number of feature maps at their end."""
    parts: list[nn.Module] = []
    for transposed, kernel, stride, maps in parse_rows(text):
        layer = (Transposed if transposed else Convolution)(inputs, maps, kernel, stride, bias=False)
        parts += layer_block(layer, nn.BatchNorm2d(maps, eps=1e-4, momentum=0.05), leak)
        inputs = maps
    return nn.Sequential(*parts), inputs


def critic_rows(
    text: str, inputs: int, table: Table, norms: bool, biases: bool, first: float
) -> tuple[nn.Sequential, int]:
    """The critic's convolutions, each after dropout, with batch norm after all but the first if `norms`, and their maps."""
    parts: list[nn.Module] = []
    for i, (_, kernel, stride, maps) in enumerate(parse_rows(text)):
        norm = norms and i > 0
        parts += [
            Dropout(first if i == 0 else table.drop),
            Convolution(inputs, maps, kernel, stride, bias=biases and not norm),
            *([nn.BatchNorm2d(maps, eps=1e-4, momentum=0.05)] if norm else []),
            Maxout(table.maxout) if table.maxout else nn.LeakyReLU(table.critic_leak, inplace=True),
        ]
        inputs = maps // table.maxout if table.maxout else maps
    return nn.Sequential(*parts), inputs


class TableFamily(Family):
    """The networks of a paper's table, for images of one size.

    In the encoder, a label is concatenated where the feature maps are 1x1, before the remaining 1x1 rows.
    """

    supports = ("labels", "classes")
    std = 0.01
    table: ClassVar[Table]

    def check_shape(self, x: Space) -> None:
        side = self.table.side
        if x.shape[1:] != (side, side):
            self.refuse_shape(f"images of {side}x{side}", x, f"give `image_size={side}`, or choose")

    def encoder(self, spec: Map) -> nn.Module:
        table, rows_x, rows_joint = self.table, self.table.encoder.split(), list[str]()
        while spec.extra_size and rows_x[-1].startswith("1/1/"):
            rows_joint.insert(0, rows_x.pop())
        x, maps = conv_rows(" ".join(rows_x), spec.inputs[0].shape[0], table.leak)
        body, input_shape, first = x, tuple[int, ...](), None
        if spec.extra_size:
            input_shape, first = (maps + spec.extra_size, 1, 1), x
            body, maps = conv_rows(" ".join(rows_joint), maps + spec.extra_size, table.leak)
        head: nn.Module = Convolution(maps, spec.output.size, 1)  # at 1x1 a bias for each feature map is untied
        last = output_activation(spec.output)
        head = nn.Sequential(head, *last) if last else head
        return Backbone(body, head, input_shape, spec.output.shape, x=first)

    def decoder(self, spec: Map) -> nn.Module:
        x = spec.output
        body, maps = conv_rows(self.table.decoder, spec.size, self.table.leak)
        last = Convolution(maps, x.shape[0], 1, bias=False)
        head = nn.Sequential(last, UntiedBias(*x.shape), *output_activation(x))
        return Backbone(body, head, (spec.size, 1, 1))

    def critic(self, spec: Critic) -> nn.Module:
        table, extra_size, first = self.table, spec.extra_size, self.table.drop_inputs
        x, features = critic_rows(table.critic_x, spec.inputs[0].shape[0], table, table.norms, biases=True, first=first)
        z = None
        if extra_size:
            z, features_z = critic_rows(table.critic_z, extra_size, table, norms=False, biases=False, first=first)
            features += features_z
        joint, maps = critic_rows(table.critic_joint, features, table, norms=False, biases=True, first=table.drop)
        joint.append(Dropout(table.drop)).append(Convolution(maps, spec.classes or 1, 1))
        return PairCritic(joint, x, z, z_shape=(extra_size, 1, 1), classes=spec.classes)


class ALISVHN(TableFamily):
    """ALI's networks for SVHN, 32x32."""

    name = "ali-svhn"
    table = SVHN


class ALICIFAR10(TableFamily):
    """ALI's networks for CIFAR-10, 32x32: SVHN's with a maxout critic without batch norm."""

    name = "ali-cifar10"
    table = CIFAR10


class ALICelebA(TableFamily):
    """ALI's networks for CelebA, 64x64."""

    name = "ali-celeba"
    table = CELEBA


class ALITinyImageNet(TableFamily):
    """ALI's networks for Tiny ImageNet, 64x64."""

    name = "ali-tiny-imagenet"
    table = TINY_IMAGENET


class ALI28(TableFamily):
    """ALI's SVHN networks at 28x28, for the settings of the reproduction report."""

    name = "ali-28"
    table = REPORT
