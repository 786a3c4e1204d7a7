"""The convolutional networks of adversarially learned inference (ALI), built from the tables in the paper's appendix.

The tables are in `tables.toml`. They list convolutions as ``kernel/stride/maps``, where ``maps`` is the number of
output feature maps, and a ``T`` in front marks a transposed convolution. No convolution has padding. In encoder and
decoder, batch norm and a leaky ReLU follow each; `Table` describes the critic's layers. The last layer is not in the
table: in the encoder it returns the parameters of z's distribution, and in the decoder the channels of the image,
followed by a sigmoid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interalia import packaged_toml
from interalia.networks.family import Family, output_activation
from interalia.networks.layers import (
    Backbone,
    Convolution,
    CriticLayers,
    Dropout,
    Maxout,
    PairCritic,
    Transposed,
    layer_block,
)
from interalia.networks.specs import Critic, Map
from interalia.spaces import Space


@dataclass(frozen=True)
class Table:
    """The layers of encoder, decoder and critic for the images of one data set, as listed in the appendix of ALI.

    Attributes:
        side: the height and width of the images, in pixels.
        encoder, decoder, critic_x, critic_z, critic_joint: the convolutions, as ``kernel/stride/maps``, separated by spaces.
            `critic_x` reads x, `critic_z` reads z, and `critic_joint` reads the outputs of these two, concatenated.
        leak: the negative slope of the leaky ReLU in encoder and decoder.
        critic_leak: the negative slope of the leaky ReLU in the critic.
        maxout: the number of pieces of the maxout units that replace the critic's leaky ReLU; 0 for leaky ReLU.
        norms: True for batch norm after each convolution of `critic_x` but the first; the rest of the critic has none.
        drop_inputs: the dropout probability before the first convolution of `critic_x` and of `critic_z`.
        drop: the dropout probability before every other convolution of the critic.
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


COLUMNS = packaged_toml("interalia.networks", "tables.toml")
TABLES = {name: Table(**column) for name, column in COLUMNS.items()}


class UntiedBias(nn.Module):
    """A layer that adds a learned bias for each channel and pixel, shape (channels, height, width), initially 0.

    Arguments:
        shape: the shape of the bias, as separate integers.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Returns x + bias in the shape of x, (n, channels, height, width), and in the precision of x."""
        return x + self.bias.to(x.dtype)


def parse_rows(text: str) -> list[tuple[bool, int, int, int]]:
    """Parses a list of convolutions, ``kernel/stride/maps``, into tuples (is transposed, kernel, stride, feature maps).

    Arguments:
        text: the convolutions, separated by spaces; a T in front marks a transposed one.

    Example:
        >>> parse_rows("5/1/32 T4/2/64")
        [(False, 5, 1, 32), (True, 4, 2, 64)]
    """
    rows = re.findall(r"(T?)(\d+)/(\d+)/(\d+)", text)
    return [(bool(t), int(kernel), int(stride), int(maps)) for t, kernel, stride, maps in rows]


def conv_rows(text: str, inputs: int, leak: float) -> tuple[nn.Sequential, int]:
    """Builds the convolutions that `text` lists, each without a bias and followed by batch norm and leaky ReLU.

    Arguments:
        text: the convolutions as ``kernel/stride/maps``, such as "5/1/32 T4/2/64", where ``maps`` is the number of output
            feature maps and T marks a transposed convolution.
        inputs: the number of feature maps of the input.
        leak: the negative slope of the leaky ReLU.

    Returns:
        The layers, and the number of feature maps of their output.
    """
    layers: list[nn.Module] = []
    for transposed, kernel, stride, maps in parse_rows(text):
        layer = (Transposed if transposed else Convolution)(inputs, maps, kernel, stride, bias=False)
        layers += layer_block(layer, nn.BatchNorm2d(maps, eps=1e-4, momentum=0.05), leak)
        inputs = maps
    return nn.Sequential(*layers), inputs


def critic_rows(
    text: str, inputs: int, table: Table, first: float, bias: bool = True, norms: bool = False
) -> tuple[CriticLayers, int]:
    """Builds the convolutions of a critic that `text` lists, each after dropout and followed by leaky ReLU or maxout.

    Arguments:
        text: the convolutions as ``kernel/stride/maps``, such as "5/1/32 4/2/64", where ``maps`` is the number of output
            feature maps (before maxout).
        inputs: the number of feature maps of the input.
        table: the table that gives the activation, and the dropout probability before all convolutions but the first.
        first: the dropout probability before the first convolution.
        bias: True for a bias in each convolution that has no batch norm.
        norms: True for batch norm after each convolution but the first.

    Returns:
        The layers, and the number of feature maps of their output.
    """
    layers: list[nn.Module] = []
    for i, (_, kernel, stride, maps) in enumerate(parse_rows(text)):
        norm = [nn.BatchNorm2d(maps, eps=1e-4, momentum=0.05)] if norms and i else []
        conv = Convolution(inputs, maps, kernel, stride, bias=bias and not norm)
        act = Maxout(table.maxout) if table.maxout else nn.LeakyReLU(table.critic_leak, inplace=True)
        layers += [Dropout(table.drop if i else first), conv, *norm, act]
        inputs = maps // (table.maxout or 1)
    return CriticLayers(*layers), inputs


class TableFamily(Family):
    """The base class of families of convolutional networks whose layers are listed in a table, for square images of one size.

    A subclass sets its `name`, by which its table is found in ``tables.toml``.

    In the encoder, a label is concatenated where the feature maps are 1x1, before the last 1x1 convolutions.
    """

    supports = ("labels", "classes", "projection")
    std = 0.01

    @property
    def table(self) -> Table:
        """The `Table` of this family, which ``tables.toml`` lists under the family's `name`."""
        return TABLES[self.name]

    def check_shape(self, x: Space) -> None:
        """Raises a UserError unless the height and width of x are the `side` of the family's table."""
        side = self.table.side
        if x.shape[1:] != (side, side):
            self.refuse_shape(f"images of {side}x{side}", x, f"give `image_size={side}`, or choose")

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the encoder from x, and a label if there is one, to `spec.output`: the table's convolutions, and a
        further 1x1 convolution to the output's size. Strided convolutions of the table reduce x to features of 1x1 pixels,
        and its last rows are 1x1 convolutions; the label is concatenated with the features before these.
        """
        rows_x, rows_joint, leak = self.table.encoder.split(), list[str](), self.table.leak
        while spec.extra_size and rows_x[-1].startswith("1/1/"):
            rows_joint.insert(0, rows_x.pop())
        x, maps = conv_rows(" ".join(rows_x), spec.inputs[0].shape[0], leak)
        body, input_shape, first = x, tuple[int, ...](), None
        if spec.extra_size:
            input_shape, first = (maps + spec.extra_size, 1, 1), x
            body, maps = conv_rows(" ".join(rows_joint), maps + spec.extra_size, leak)
        head: nn.Module = Convolution(maps, spec.output.size, 1)  # at 1x1 a bias for each feature map is untied
        last = output_activation(spec.output)
        head = nn.Sequential(head, *last) if last else head
        return Backbone(body, head, input_shape, spec.output.shape, x=first)

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from latents, and a label if there is one, to x.

        They are concatenated to a 1x1 image, which the table's convolutions enlarge. A 1x1 convolution and a learned
        bias of each channel and pixel (`UntiedBias`) follow.
        """
        x = spec.output
        body, maps = conv_rows(self.table.decoder, spec.size, self.table.leak)
        last = Convolution(maps, x.shape[0], 1, bias=False)
        head = nn.Sequential(last, UntiedBias(*x.shape), *output_activation(x))
        return Backbone(body, head, (spec.size, 1, 1))

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic: convolutions of x, convolutions of the other inputs (z and a label, concatenated) if there
        are any, and convolutions of the outputs of both.
        """
        table, extra_size, z = self.table, spec.extra_size, None
        x, features = critic_rows(table.critic_x, spec.inputs[0].shape[0], table, table.drop_inputs, norms=table.norms)
        if extra_size:
            z, features_z = critic_rows(table.critic_z, extra_size, table, table.drop_inputs, bias=False)
            features += features_z
        joint, maps = critic_rows(table.critic_joint, features, table, table.drop)
        joint.append(Dropout(table.drop)).append(Convolution(maps, spec.classes or 1, 1))
        return PairCritic(joint, x, z, z_shape=(extra_size, 1, 1), classes=spec.classes)


class ALISVHN(TableFamily):
    """ALI's networks for SVHN, images of 32x32 pixels."""

    name = "ali-svhn"


class ALICIFAR10(TableFamily):
    """ALI's networks for CIFAR-10, images of 32x32 pixels: those for SVHN, but with a maxout critic without batch
    norm.
    """

    name = "ali-cifar10"


class ALICelebA(TableFamily):
    """ALI's networks for CelebA, images of 64x64 pixels."""

    name = "ali-celeba"


class ALITinyImageNet(TableFamily):
    """ALI's networks for Tiny ImageNet, images of 64x64 pixels."""

    name = "ali-tiny-imagenet"


class ALI28(TableFamily):
    """ALI's networks for SVHN with one smaller kernel, for images of 28x28 pixels, the size in the reproduction report
    of ALI.
    """

    name = "ali-28"
