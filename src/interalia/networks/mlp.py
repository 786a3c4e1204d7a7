"""Networks of fully connected layers: for vectors, for very small images, and BiGAN's permutation-invariant ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from interalia.contexts import full
from interalia.errors import UserError
from interalia.networks.layers import Beside, Categories, HalfTanh, Joint, Maxout, Recogniser, Sigmoid, Stack
from interalia.networks.sizes import Networks, Sizes

__all__ = ["MLP", "Joint", "ali_mixture", "alice_toy", "bigan_mlp", "perceptrons", "small"]


def hidden(inputs: int, width: int, depth: int, norm: bool, leak: float = 0.2) -> nn.Sequential:
    """`depth` layers of `width` units: linear, batch norm or none, leaky ReLU (ReLU where `leak` is 0)."""
    parts: list[nn.Module] = []
    for _ in range(depth):
        parts += [
            nn.Linear(inputs, width, bias=not norm),
            *([nn.BatchNorm1d(width)] if norm else []),
            nn.LeakyReLU(leak, inplace=True) if leak else nn.ReLU(inplace=True),
        ]
        inputs = width
    return nn.Sequential(*parts)


class MLP(Stack):
    """A plain network of fully connected layers.

    Arguments:
        inputs, outputs: dimensions.
        width, depth: of the hidden layers.
        norm: whether they have batch norm.
        leak: of their leaky ReLU.

    Example:
        >>> import torch
        >>> MLP(4, 3)(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, inputs: int, outputs: int, width: int = 256, depth: int = 2, norm: bool = False, leak: float = 0.2
    ) -> None:
        super().__init__(hidden(inputs, width, depth, norm, leak), nn.Linear(width, outputs))


def bounding(sizes: Sizes, upper: bool = False) -> list[nn.Module]:
    """The last nonlinearity of the encoder that answers z: a sigmoid scaled to [-1, 1], which is tanh(a / 2), where the prior
    is so bounded, or a softmax over a category."""
    if sizes.lower and not upper:
        return []
    return [*([HalfTanh()] if sizes.bounded else []), *([Categories(sizes.categories)] if sizes.categories else [])]


def small(sizes: Sizes, width: int, unary: bool = False) -> Networks:
    """Three small networks for vectors, or for images of a few hundred pixels."""
    d = math.prod(sizes.shape)
    image = len(sizes.shape) == 3
    answers = sizes.heads * sizes.inferred
    encoder = None
    if sizes.infers:
        body = hidden(d + sizes.given, width, 2, norm=True)
        encoder = Stack(body, nn.Sequential(nn.Linear(width, answers), *bounding(sizes)), before=(d + sizes.given,))
    last = nn.Linear(width, d)
    head = nn.Sequential(last, Sigmoid()) if image else nn.Sequential(last)
    decoder = Stack(hidden(sizes.told, width, 2, norm=True), head, after=sizes.shape)
    x = nn.Sequential(nn.Flatten(), hidden(d, width, 1, norm=False))
    critic: nn.Module
    if sizes.answers:
        trunk = nn.Sequential(x, hidden(width, width, 2, norm=False))
        critic = Recogniser(trunk, nn.Linear(width, 1), MLP(width, sizes.answers, width, 1))
    else:
        separate = sizes.separate and sizes.beside > 0
        critic = Joint(
            MLP(width + sizes.beside, sizes.classes or 1, width, 2),
            x,
            unary=nn.Linear(width, 1) if (unary and not sizes.classes) or separate else None,
            unary_z=MLP(sizes.beside, 1, width, 1) if separate else None,
            classes=sizes.classes,
        )
    cycle_critic = Beside(nn.Sequential(nn.Flatten(), MLP(2 * d, 1, width, 2))) if sizes.cycle else None
    return Networks(encoder, decoder, critic, None, last.bias if image else None, cycle_critic)


def perceptrons(sizes: Sizes, width: int = 400, unary: bool = False) -> Networks:
    """Fully connected networks of two hidden layers for data of any shape; batch norm in encoder and decoder.

    Arguments:
        sizes: what has to fit.
        width: of the hidden layers.
        unary: whether the critic adds a score of x alone; one that answers classes does not.
    """
    if width < 1:
        raise ValueError(f"`width` is {width}, and it counts units: 1 or more")
    if sizes.other is not None:
        raise UserError("the networks 'mlp' do not translate between two data sets; use --networks auto.")
    return small(sizes, width, unary)


def upper(sizes: Sizes, width: int = 256) -> tuple[nn.Module, nn.Module]:
    """The networks between a lower level of latents and z: lower -> (n, heads * latent), and z -> (n, 2 * lower)."""
    encoder = MLP(sizes.lower + sizes.noise, sizes.heads * sizes.latent, width, 2, norm=True)
    head = nn.Sequential(encoder.head, *bounding(sizes, upper=True))
    return Stack(encoder.body, head), MLP(sizes.latent, 2 * sizes.lower, width, 2, norm=True)


def sharpen(network: nn.Module, dimensions: int, log_sigma: float = -2.0) -> None:
    """Starts a Gaussian conditional of a level between x and z with a small width: the scale of such a level is free, and
    with a width as large as its means' spread it would carry nothing to begin with."""
    biases = [p for name, p in network.named_parameters() if name.endswith("bias") and p.numel() == 2 * dimensions]
    with torch.no_grad():
        biases[-1][dimensions:] = log_sigma


def of_latents(sizes: Sizes, width: int = 256) -> nn.Module:
    """A critic of z alone."""
    return Joint(MLP(sizes.latent, 1, width, 2))


def ali_mixture(
    sizes: Sizes, width: int = 400, critic_width: int = 200, pieces: int = 5, norm: bool = True
) -> Networks:
    """ALI's networks for its two-dimensional toy: E [x, eps]-400-400-z, G z-400-400-400-400-x, critic 3 x maxout(200, 5).

    Batch norm and ReLU in encoder and decoder, none in the critic; initial weights N(0, 0.02^2). The encoder takes noise
    at its input, for an implicit conditional. GAN's critic is the same one, of x alone.

    Without `norm` the initial weights are PyTorch's. Batch norm moves each sample by what else is in its batch, which sets a
    floor to how sharp a mode can be: at the grid's corners a hundredth of the distance from the centre is its width.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
    """
    if len(sizes.shape) != 1:
        raise UserError(
            f"the networks 'ali-mixture' are made for points of a few numbers, and the data's shape is {sizes.shape}; "
            f"use --networks auto."
        )
    (d,) = sizes.shape
    encoder = None
    if sizes.infers:
        encoder = MLP(d + sizes.given, sizes.heads * sizes.inferred, width, 2, norm, leak=0.0)
        if last := bounding(sizes):
            encoder.head = nn.Sequential(encoder.head, *last)
    decoder = MLP(sizes.told, d, width, 4, norm, leak=0.0)
    for module in [*(encoder.modules() if encoder else ()), *decoder.modules()]:
        if isinstance(module, nn.BatchNorm1d):
            module.eps, module.momentum = 1e-4, 0.05  # ALI's
    inputs = d + sizes.beside
    parts: list[nn.Module] = []
    for _ in range(3):
        parts += [nn.Linear(inputs, critic_width * pieces), Maxout(pieces)]
        inputs = critic_width
    critic = Joint(nn.Sequential(*parts, nn.Linear(inputs, sizes.classes or 1)), classes=sizes.classes)
    return Networks(encoder, decoder, critic, 0.02 if norm else None)


def alice_toy(sizes: Sizes, width: int = 256) -> Networks:
    """ALICE's networks for its two-dimensional toy: encoder, decoder and critic of two layers of 256 ReLU units.

    No batch norm, PyTorch's initial weights. The encoder takes noise at its input, for an implicit conditional.

    References:
        ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, Chunyuan Li and others, 2017,
        https://arxiv.org/abs/1709.01215
    """
    if len(sizes.shape) != 1:
        raise UserError(
            f"the networks 'alice-toy' are made for points of a few numbers, and the data's shape is {sizes.shape}; use "
            f"--networks auto."
        )
    (d,) = sizes.shape
    encoder = None
    if sizes.infers:
        made = MLP(d + sizes.given, sizes.heads * sizes.inferred, width, 2, leak=0.0)
        encoder = Stack(made.body, nn.Sequential(made.head, *bounding(sizes)))
    decoder = MLP(sizes.told, d, width, 2, leak=0.0)
    critic = Joint(MLP(d + sizes.beside, sizes.classes or 1, width, 2, leak=0.0), classes=sizes.classes)
    cycle_critic = Beside(MLP(2 * d, 1, width, 2, leak=0.0)) if sizes.cycle else None
    return Networks(encoder, decoder, critic, cycle_critic=cycle_critic)


class Injected(nn.Module):
    """A hidden layer that is told z a second time: norm(W h + V z), then the nonlinearity."""

    def __init__(self, inputs: int, latent: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.h = nn.Linear(inputs, width, bias=False)
        self.z = nn.Linear(latent, width, bias=False)
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.activation = activation

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.h(h) + self.z(z)))
        return out


class BiGANDecoder(nn.Module):
    """z -> 1024 -> 1024 (told z again) -> x, ReLU and batch norm without gain and bias, sigmoid at the end."""

    def __init__(self, sizes: Sizes, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Linear(sizes.told, width, bias=False), nn.BatchNorm1d(width, affine=False), nn.ReLU()
        )
        self.second = Injected(width, sizes.told, width, nn.ReLU())
        self.last = nn.Linear(width, math.prod(sizes.shape))
        self.shape = sizes.shape

    def hidden(self, *z: Tensor) -> Tensor:
        told = torch.cat(z, dim=1)
        out: Tensor = self.second(self.first(told), told)
        return out

    def forward(self, *z: Tensor) -> Tensor:
        out: Tensor = self.last(self.hidden(*z))
        return (out if len(self.shape) == 1 else full(out).sigmoid()).reshape(len(out), *self.shape)


class BiGANCritic(nn.Module):
    """x -> 1024 -> 1024 -> score, told z at its second layer alone; leaky ReLU 0.2, batch norm in the second layer."""

    def __init__(self, sizes: Sizes, width: int) -> None:
        super().__init__()
        d = math.prod(sizes.shape)
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(d, width), nn.LeakyReLU(0.2))
        self.second = Injected(width, sizes.beside or 1, width, nn.LeakyReLU(0.2))
        if not sizes.beside:
            self.second.z.requires_grad_(False)
        self.last = nn.Linear(width, 1)

    def hidden(self, x: Tensor, *z: Tensor) -> Tensor:
        told = torch.cat(z, dim=1) if z else x.new_zeros(len(x), 1)
        out: Tensor = self.second(self.first(x), told)
        return out

    def forward(self, x: Tensor, *z: Tensor) -> Tensor:
        score: Tensor = self.last(self.hidden(x, *z))
        return score.flatten()


def bigan_mlp(sizes: Sizes, width: int = 1024) -> Networks:
    """BiGAN's networks for permutation-invariant MNIST; initial weights N(0, 0.02^2).

    References:
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782
    """
    d = math.prod(sizes.shape) + sizes.given
    encoder = None
    if sizes.infers:
        body = nn.Sequential(
            nn.Linear(d, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width, affine=False),
            nn.LeakyReLU(0.2),
        )
        head = nn.Sequential(nn.Linear(width, sizes.heads * sizes.inferred), *bounding(sizes))
        encoder = Stack(body, head, before=(d,))
    return Networks(encoder, BiGANDecoder(sizes, width), BiGANCritic(sizes, width), 0.02)
