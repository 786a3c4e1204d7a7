"""Families of fully connected networks, for vectors and very small images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interalia.networks.family import FEATURES, Family, output_activation, output_layer
from interalia.networks.layers import (
    Backbone,
    ChannelConcatCritic,
    Maxout,
    PairCritic,
    Recognizer,
    layer_block,
    projected_score,
)
from interalia.networks.mlp import MLP, hidden
from interalia.networks.specs import Critic, Map
from interalia.networks.translation import Translator, check_domains
from interalia.registry import Repeats, Width
from interalia.spaces import Space


@dataclass(frozen=True)
class Perceptrons(Family):
    """Fully connected networks with two hidden layers, for data of any shape; encoder and decoder have batch norm.

    Arguments:
        width: the width of the hidden layers.
        unary: True to add a score of x alone to the critic's score; ignored if the specification has `classes`.
    """

    name = "mlp"
    supports = tuple(FEATURES)
    width: Width = 400
    unary: bool = False

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the encoder from x and any labels or noise, concatenated, to `spec.output`: two hidden layers with
        batch norm, and an output layer.
        """
        body = hidden(spec.size, self.width, 2, norm=True)
        return Backbone(body, output_layer(self.width, spec.output), input_shape=(spec.size,))

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from latents and any label to x: two hidden layers with batch norm, and an output layer,
        reshaped to the shape of x.
        """
        last = output_layer(self.width, spec.output)
        return Backbone(hidden(spec.size, self.width, 2, norm=True), last, output_shape=spec.output.shape)

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of the inputs of `spec`: a hidden layer of x; its output and the other inputs, such as z,
        are concatenated and go through two more and a last layer.

        A critic of pairs (x, x') reads the two concatenated, in two hidden layers. If `spec.code_outputs` is not 0, it
        is a `Recognizer`, which also predicts the codes of x.
        """
        d, width, extra_size = spec.inputs[0].size, self.width, spec.extra_size
        if spec.compares_pair:
            return ChannelConcatCritic(nn.Sequential(nn.Flatten(), MLP(2 * d, 1, width, 2)))
        x = nn.Sequential(nn.Flatten(), hidden(d, width, 1, norm=False))
        if spec.code_outputs:
            trunk = nn.Sequential(x, hidden(width, width, 2, norm=False))
            return Recognizer(trunk, nn.Linear(width, 1), MLP(width, spec.code_outputs, width, 1))
        joint = MLP(width + extra_size, spec.classes or 1, width, 2)
        unary = nn.Linear(width, 1) if (self.unary and not spec.classes) or spec.terms else None
        unary_z = MLP(extra_size, 1, width, 1) if spec.terms else None
        return PairCritic(joint, x, unary=unary, unary_z=unary_z, classes=spec.classes)

    def translator(self, spec: Map) -> nn.Module:
        """Builds the translator from x of one domain to x of another, of the same shape: a network with two hidden
        layers.

        Raises:
            UserError: the two domains differ in shape.
        """
        check_domains(spec)
        d = spec.output.size
        body = nn.Sequential(nn.Flatten(), MLP(d, d, self.width), nn.Unflatten(1, spec.output.shape))
        return Translator(body) if spec.output.support == "unit" else body

    def patch_critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of x in one domain, which returns one score for the whole of x, shape (n,), instead of one
        for each patch.
        """
        return nn.Sequential(nn.Flatten(), MLP(spec.inputs[0].size, 1, self.width), nn.Flatten(0))


class PointFamily(Family):
    """The base class of families of networks for points, which are vectors of a few numbers."""

    def check_shape(self, x: Space) -> None:
        """Raises a UserError unless x is a vector."""
        if len(x.shape) != 1:
            self.refuse_shape("points of a few numbers", x)


@dataclass(frozen=True)
class ALIMixture(PointFamily):
    """ALI's networks for its 2-d mixture: encoder [x, eps]-400-400-z, decoder z-400-400-400-400-x, maxout critic.

    The critic has three layers of 200 maxout units with 5 pieces each. Encoder and decoder have batch norm and ReLU;
    the critic has no batch norm. Initial weights are N(0, 0.02^2). The encoder concatenates noise with x for an
    implicit conditional. The critic of a GAN is the same, of x alone.

    Batch norm shifts each sample depending on the rest of its batch, which limits how sharp a mode of the generated
    distribution can be. In the paper's grid of Gaussians, the width of a corner mode is a hundredth of its distance from
    the grid's center.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704

    Arguments:
        width: the width of the hidden layers in encoder and decoder.
        critic_width: the number of maxout units in each layer of the critic.
        pieces: the number of linear pieces of a maxout unit.
        norm: True for batch norm in encoder and decoder, and initial weights N(0, 0.02^2) in all networks; False for no batch
            norm and PyTorch's initial weights.
    """

    name = "ali-mixture"
    supports = ("labels", "noise", "classes", "projection")
    std = 0.02
    width: Width = 400
    critic_width: Width = 200
    pieces: Repeats = 5
    norm: bool = True

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the encoder from x and any label or noise to `spec.output`: two hidden layers, and an output layer."""
        mlp = self.mlp(spec, 2)
        if last := output_activation(spec.output):
            mlp.head = nn.Sequential(mlp.head, *last)
        return mlp

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from latents and any label to x: four hidden layers, and a linear output layer."""
        return self.mlp(spec, 4)

    def mlp(self, spec: Map, depth: int) -> MLP:
        """Returns the fully connected network that `spec` specifies, with `depth` hidden layers of ReLU units.

        Its batch norm, if the field `norm` is True, has the paper's eps, 1e-4, and momentum, 0.05.
        """
        mlp = MLP(spec.size, spec.output.size, self.width, depth, self.norm, leak=0.0)
        for module in mlp.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eps, module.momentum = 1e-4, 0.05  # the paper's values
        return mlp

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of all inputs of `spec`, concatenated: three layers of maxout units, and a linear
        output.
        """
        inputs, parts = spec.inputs[0].size + spec.extra_size, list[nn.Module]()
        for _ in range(3):
            parts += [nn.Linear(inputs, self.critic_width * self.pieces), Maxout(self.pieces)]
            inputs = self.critic_width
        return PairCritic(nn.Sequential(*parts, nn.Linear(inputs, spec.classes or 1)), classes=spec.classes)

    def init_weights(self, spec: Map | Critic, network: nn.Module) -> None:
        """Draws the weights of `network` from N(0, 0.02^2) and sets its biases to 0, in place; if the field `norm` is
        False, PyTorch's initial values stay.
        """
        if self.norm:
            super().init_weights(spec, network)


@dataclass(frozen=True)
class ALICEToy(PointFamily):
    """ALICE's networks for its 2-d mixture: encoder, decoder and critic with two layers of 256 ReLU units.

    They have no batch norm, and PyTorch's initial weights. The encoder concatenates noise with x for an implicit conditional.

    References:
        ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, Chunyuan Li and others, 2017,
        https://arxiv.org/abs/1709.01215

    Arguments:
        width: the width of the hidden layers.
    """

    name = "alice-toy"
    supports = ("labels", "noise", "classes", "two", "projection")
    width: Width = 256

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the encoder from x and any label or noise to `spec.output`: two hidden layers of ReLU units, and an
        output layer.
        """
        return Backbone(hidden(spec.size, self.width, 2, norm=False, leak=0.0), output_layer(self.width, spec.output))

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from latents and any label to x: two hidden layers of ReLU units, and a linear output
        layer.
        """
        return MLP(spec.size, spec.output.size, self.width, 2, leak=0.0)

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of all inputs of `spec`, concatenated: two hidden layers of ReLU units, and a linear
        output.
        """
        mlp = MLP(spec.inputs[0].size + spec.extra_size, spec.classes or 1, self.width, 2, leak=0.0)
        return ChannelConcatCritic(mlp) if spec.compares_pair else PairCritic(mlp, classes=spec.classes)


class ConcatHidden(nn.Module):
    """A hidden layer activation(norm(W h + V z)) that reads the previous hidden layer h and, in addition, z; norm is a
    batch norm without gain and bias.

    Arguments:
        inputs: the dimensions of h.
        latent: the dimensions of z.
        width: the number of units.
        activation: the activation, such as `nn.ReLU()`.
    """

    def __init__(self, inputs: int, latent: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.h = nn.Linear(inputs, width, bias=False)
        self.z = nn.Linear(latent, width, bias=False)
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.activation = activation

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """Returns activation(norm(W h + V z)), shape (n, width), for h of shape (n, inputs) and z of shape (n, latent)."""
        return self.activation(self.norm(self.h(h) + self.z(z)))


class BiGANDecoder(nn.Module):
    """BiGAN's decoder from z to x with two hidden layers, where the second reads z in addition to the output of the
    first.

    It has batch norm without gain and bias, ReLU, and x's output activation, such as a sigmoid for images.

    Arguments:
        inputs: the dimensions of z, plus those of a label if there is one.
        x: the space of x.
        width: the width of the hidden layers.
    """

    def __init__(self, inputs: int, x: Space, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width, affine=False), nn.ReLU())
        self.second = ConcatHidden(width, inputs, width, nn.ReLU())
        self.last = nn.Linear(width, x.size)
        self.shape, self.activation = x.shape, nn.Sequential(*output_activation(x))

    def hidden(self, *z: Tensor) -> Tensor:
        """Returns the last hidden layer, shape (n, width), for z, shape (n, d), and, in a conditional decoder, a label,
        shape (n, size of the label), as a second argument.
        """
        z_y = torch.cat(z, dim=1)
        return self.second(self.first(z_y), z_y)

    def forward(self, *z: Tensor) -> Tensor:
        """Returns x, shape (n, *shape), for z, shape (n, d), and, in a conditional decoder, a label, shape (n, size of the
        label), as a second argument.
        """
        out: Tensor = self.activation(self.last(self.hidden(*z)))
        return out.reshape(len(out), *self.shape)


class BiGANCritic(nn.Module):
    """BiGAN's critic of x and z with two hidden layers: the first reads x, and the second z and the output of the
    first.

    It has leaky ReLU 0.2, and batch norm in the second layer. If its attribute `projection`, a linear map V, is set,
    the inner product <y, V h> is added to the score, where h is the second layer's output and y the last input.

    Arguments:
        inputs: the dimensions of x.
        extra_size: the dimensions of z, plus those of a label if there is one; 0 for a critic of x alone.
        width: the width of the hidden layers.
    """

    def __init__(self, inputs: int, extra_size: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.LeakyReLU(0.2))
        self.second = ConcatHidden(width, extra_size or 1, width, nn.LeakyReLU(0.2))
        if not extra_size:
            self.second.z.requires_grad_(False)
        self.last = nn.Linear(width, 1)
        self.projection: nn.Module | None = None  # as in `PairCritic`

    @property
    def score_layer(self) -> nn.Module:
        """The last layer, whose output is the score."""
        return self.last

    def hidden(self, x: Tensor, *z: Tensor) -> Tensor:
        """Returns the last hidden layer, shape (n, width), for x, shape (n, ...), and, if the critic reads them, z and a
        label as further arguments, each a matrix with n rows.
        """
        z_y = torch.cat(z, dim=1) if z else x.new_zeros(len(x), 1)
        return self.second(self.first(x), z_y)

    def forward(self, x: Tensor, *z: Tensor) -> Tensor:
        """Returns the score, shape (n,), of x, shape (n, ...), and, if the critic reads them, z and a label as further
        arguments, each a matrix with n rows.
        """
        return projected_score(self.last, self.projection, self.hidden(x, *z), *z)


@dataclass(frozen=True)
class BiGAN(Family):
    """BiGAN's fully connected networks for permutation-invariant MNIST, with initial weights N(0, 0.02^2).

    References:
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782

    Arguments:
        width: the width of the hidden layers.
    """

    name = "bigan-mlp"
    supports = ("labels", "noise", "projection")
    std = 0.02
    width: Width = 1024

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the encoder from x and any labels or noise, concatenated, to `spec.output`: two hidden layers with
        leaky ReLU, and an output layer.
        """
        width, first = self.width, layer_block(nn.Linear(spec.size, self.width))
        second = layer_block(nn.Linear(width, width, bias=False), nn.BatchNorm1d(width, affine=False))
        return Backbone(nn.Sequential(*first, *second), output_layer(width, spec.output), input_shape=(spec.size,))

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder to x, a `BiGANDecoder` that reads z and, if `spec` has one among its inputs, a label."""
        return BiGANDecoder(spec.size, spec.output, self.width)

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic, a `BiGANCritic` that reads x and, if `spec` has them among its inputs, z and a label."""
        return BiGANCritic(spec.inputs[0].size, spec.extra_size, self.width)


@dataclass(frozen=True)
class FGAN(Family):
    """f-GAN's networks for MNIST: decoder z-1200-1200-x with batch norm and ReLU, critic x-240-240-1 with ELU.

    Initial weights are U(-scale, scale). Widths and scales are those of the code of Generative Adversarial Nets for
    MNIST, whose initial weights are uniform too and whose critic has maxout instead of ELU. The decoder of
    images ends in a sigmoid. There is no encoder.

    See Also:
        BiGAN, Auto: families with an encoder.

    References:
        f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, Sebastian Nowozin,
        Botond Cseke, Ryota Tomioka, 2016, https://arxiv.org/abs/1606.00709
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661

    Arguments:
        width, critic_width: the width of the hidden layers in decoder and critic.
        scale, critic_scale: the largest absolute value of an initial weight in decoder and critic.

    Example:
        >>> from interalia.spaces import Space
        >>> x, z = Space("x", (1, 28, 28), "unit"), Space("z", (100,))
        >>> FGAN().make(Map((z,), x))(torch.zeros(2, 100)).shape, FGAN().make(Critic((x,)))(torch.zeros(2, 1, 28, 28)).shape
        (torch.Size([2, 1, 28, 28]), torch.Size([2]))
    """

    name = "fgan-mnist"
    critic_inputs = "(x)"
    width: Width = 1200
    critic_width: Width = 240
    scale: float = 0.05
    critic_scale: float = 0.005

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder from z to x: two hidden layers with batch norm and ReLU, and an output layer."""
        last = output_layer(self.width, spec.output)
        return Backbone(hidden(spec.size, self.width, 2, norm=True, leak=0.0), last, output_shape=spec.output.shape)

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic from x to a score: two hidden layers of ELU units, and a linear output."""
        body = hidden(spec.inputs[0].size, self.critic_width, 2, norm=False, leak=None)
        return PairCritic(nn.Sequential(nn.Flatten(), *body, nn.Linear(self.critic_width, 1)))

    @torch.no_grad()
    def init_weights(self, spec: Map | Critic, network: nn.Module) -> None:
        """Draws the weights of the linear layers of `network` from a uniform distribution and sets their biases to 0,
        in place.

        The range is [-a, a], with a the field `critic_scale` if `spec` is that of a critic, and the field `scale` for
        the decoder.
        """
        scale = self.critic_scale if isinstance(spec, Critic) else self.scale
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.weight.uniform_(-scale, scale)
                if module.bias is not None:
                    module.bias.zero_()
