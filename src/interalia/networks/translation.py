"""Networks that translate images between two domains, and critics of their patches.

The notation is that of CycleGAN's paper: c7s1-k is a 7x7 convolution with k feature maps, dk a 3x3 convolution with
stride 2, Rk a residual block of two 3x3 convolutions, and uk a 3x3 transposed convolution with stride 2. Instance norm
and ReLU follow each; convolutions with stride 1 have reflection padding, and the last layer ends in tanh.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from interalia.contexts import to_float32
from interalia.errors import UserError, check_range
from interalia.networks.family import Family
from interalia.networks.layers import FieldModule, InstanceNorm, layer_block, module_dataclass, upsample_conv
from interalia.networks.specs import Critic, Map
from interalia.registry import Repeats, Width
from interalia.spaces import Space

MIN_SIDE = 8  # pixels a side; below, two strided convolutions leave too few pixels to normalize


@module_dataclass
class Wrapper(FieldModule):
    """The base class of modules that contain one other network, `body`.

    Arguments:
        body: the wrapped network.
    """

    body: nn.Module


class ResidualBlock(Wrapper):
    """A residual block x + f(x).

    Arguments:
        body: the network f, whose output has the shape of its input x.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Returns x + f(x), in the shape of x, with f the network `body`."""
        return x + self.body(x)


class Translator(Wrapper):
    """A generator of images in [0, 1] from images in [0, 1] of another domain: (1 + tanh(body(2 x - 1))) / 2.

    In CycleGAN's paper, images have pixels in [-1, 1].

    Arguments:
        body: maps an image in [-1, 1] of one domain to the input of the tanh, in the shape of the other domain.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Returns the translated image, with pixels in [0, 1], shape (n, channels, height, width), for an image x with
        pixels in [0, 1].
        """
        a: Tensor = self.body(2 * x - 1)
        return (1 + torch.tanh(to_float32(a))) / 2


class QuarterTurns(nn.Module):
    """A layer that turns square images by 0, 90, 180 and 270 degrees, and concatenates the four along the channels.

    Convolutions are local, and a rotation of the image is not: CycleGAN's paper lists geometric changes among its
    failures. With all four turns as input, the next layers can select a turn by a choice of channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Returns x turned by 0, 90, 180 and 270 degrees, shape (n, 4 channels, side, side), for x of shape (n,
        channels, side, side).
        """
        return torch.cat([torch.rot90(x, k, dims=(2, 3)) for k in range(4)], dim=1)


class PatchCritic(Wrapper):
    """A critic that returns a score for each of the overlapping patches of an image.

    Arguments:
        body: maps images with pixels in [-1, 1] to a map of scores, shape (n, 1, height, width), one for each patch.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores of the patches, shape (n, height, width), for images x with pixels in [0, 1].

        Height and width are those of the body's map of scores.
        """
        return self.body(2 * x - 1).squeeze(1)


def conv_norm(inputs: int, maps: int, kernel: int) -> list[nn.Module]:
    """Returns the layers [reflection padding, convolution with stride 1, instance norm], which keep the height and
    width.

    The convolution has no bias, because the norm would remove it.

    Arguments:
        inputs: the number of feature maps of the input.
        maps: the number of feature maps of the output.
        kernel: the side of the kernel, an odd number of pixels.
    """
    return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, maps, kernel, bias=False), InstanceNorm()]


def residual_generator(shape: tuple[int, ...], width: int, blocks: int, turns: bool = False) -> Translator:
    """Returns CycleGAN's generator: convolutions that halve the image twice, residual blocks, and convolutions back to
    its size.

    In the paper's notation it is c7s1-k, d2k, d4k, `blocks` of R4k, u2k, uk, c7s1-channels. c7s1 is a 7x7 convolution,
    d a 3x3 convolution with stride 2, R a residual block, and u a transposed convolution with stride 2, each with the
    number of feature maps that follows. Halving rounds up, and the transposed convolutions return 2 n or 2 n - 1
    pixels, so that odd sizes are restored.

    Arguments:
        shape: the shape of an image, (channels, height, width), from 8 pixels a side.
        width: k, the feature maps of the first convolution.
        blocks: the number of residual blocks.
        turns: True if the first convolution reads the image in all four quarter turns.
    """
    channels, height, breadth = shape
    sides = [(height, breadth)]
    parts: list[nn.Module] = [QuarterTurns()] if turns else []
    parts += [*conv_norm(channels * (4 if turns else 1), width, 7), nn.ReLU(inplace=True)]
    for level in (1, 2):
        maps = width * 2**level
        parts += layer_block(nn.Conv2d(maps // 2, maps, 3, 2, 1, bias=False), InstanceNorm(), 0)
        sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
    maps = 4 * width
    for _ in range(blocks):
        body = nn.Sequential(*conv_norm(maps, maps, 3), nn.ReLU(inplace=True), *conv_norm(maps, maps, 3))
        parts.append(ResidualBlock(body))
    for low, high in itertools.pairwise(reversed(sides)):
        parts += layer_block(upsample_conv((maps, maps // 2), low, high, 3, 2, bias=False), InstanceNorm(), 0)
        maps //= 2
    parts += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7)]
    return Translator(nn.Sequential(*parts))


def patch_critic(shape: tuple[int, ...], width: int, layers: int) -> PatchCritic:
    """Returns CycleGAN's critic of image patches: 4x4 convolutions, of which the last returns a map of scores.

    The convolutions before it have k, 2k, 4k ... feature maps, at most 8k, and leaky ReLU 0.2; all but the first have
    instance norm. `layers` of them have stride 2. One more, and the last convolution, have stride 1. With 1, 2 or 3
    `layers`, the receptive field of a score is 16, 34 or 70 pixels a side.

    Arguments:
        shape: the shape of an image, (channels, height, width).
        width: k, the feature maps of the first convolution.
        layers: the number of convolutions with stride 2.
    """
    parts = layer_block(nn.Conv2d(shape[0], width, 4, 2, 1))
    maps = width
    for layer in range(1, layers + 1):
        outputs = width * min(2**layer, 8)
        stride = 2 if layer < layers else 1
        parts += layer_block(nn.Conv2d(maps, outputs, 4, stride, 1, bias=False), InstanceNorm())
        maps = outputs
    parts.append(nn.Conv2d(maps, 1, 4, 1, 1))
    return PatchCritic(nn.Sequential(*parts))


def check_domains(spec: Map) -> None:
    """Raises a UserError unless the input and the output of the translator `spec`, i.e. the two domains, have the same
    shape.
    """
    a, b = spec.inputs[0].shape, spec.output.shape
    if a != b:
        raise UserError(
            f"the two domains differ in shape: {a} and {b} (channels, height, width); give both the same number of channels, "
            f"and one `image_size`."
        )


class Translators(Family):
    """CycleGAN's residual generators and patch critics, for images of any size from 8 pixels a side.

    Arguments:
        width: the feature maps of the generators' first convolution.
        blocks: the number of residual blocks; by default 9 from 256 pixels a side and 6 below, as in the paper, and 4 below
            64 pixels, where the receptive field already covers the image.
        layers: the number of strided convolutions in the critic; by default the paper's 3 from 96 pixels a side (receptive
            field 70x70), 2 from 48 (34x34) and 1 below (16x16), about half of a side, as in the paper at 128 pixels.
        critic: the feature maps of the critics' first convolution; by default `width`.
        turns: True if the generators read each image in its four quarter turns, for domains that differ by a rotation;
            square images only.

    Raises:
        ValueError: `blocks` is below 0, or another number is below 1.

    References:
        Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, Jun-Yan Zhu and others, 2017,
        https://arxiv.org/abs/1703.10593
    """

    name = "cyclegan"
    std = 0.02

    def __init__(
        self,
        width: Width = 64,
        blocks: Repeats | None = None,
        layers: Repeats | None = None,
        critic: Width | None = None,
        turns: bool = False,
    ) -> None:
        for name, count in {"width": width, "blocks": blocks, "layers": layers, "critic": critic}.items():
            least = 0 if name == "blocks" else 1
            check_range(count is None or count >= least, f"it must be at least {least}", **{name: count})
        self.width = width
        self.blocks = blocks
        self.layers = layers
        self.critic_width = critic or width
        self.turns = turns

    def check_shape(self, x: Space) -> None:
        """Raises a UserError unless x is an image from 8 pixels a side, and square if `turns` is True."""
        if not x.is_image or min(x.shape[1:]) < MIN_SIDE:
            self.refuse_shape(f"images of at least {MIN_SIDE} pixels a side", x)
        if self.turns and x.shape[1] != x.shape[2]:
            raise UserError(
                f"`turns` needs square images, and the data's shape is {x.shape}; give `image_size`, or leave it out."
            )

    def translator(self, spec: Map) -> nn.Module:
        """Builds the residual generator from x of one domain to x of another, with `blocks` residual blocks.

        By default there are 9 for images from 256 pixels a side, 6 from 64 and 4 below.

        Raises:
            UserError: the two domains differ in shape.
        """
        check_domains(spec)
        side = min(spec.output.shape[1:])
        blocks = self.blocks if self.blocks is not None else 9 if side >= 256 else 6 if side >= 64 else 4
        return residual_generator(spec.output.shape, self.width, blocks, self.turns)

    def patch_critic(self, spec: Critic) -> nn.Module:
        """Builds the patch critic of x in one domain, with `layers` strided convolutions.

        By default there are 3 for images from 96 pixels a side, 2 from 48 and 1 below.
        """
        x = spec.inputs[0]
        side = min(x.shape[1:])
        layers = self.layers or (3 if side >= 96 else 2 if side >= 48 else 1)
        return patch_critic(x.shape, self.critic_width, layers)
