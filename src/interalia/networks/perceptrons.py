"""Networks of fully connected layers: for vectors, and for very small images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from interalia.networks.family import DEMANDS, Family, onto
from interalia.networks.layers import Beside, Joint, Maxout, Recogniser, Stack
from interalia.networks.mlp import MLP, hidden
from interalia.networks.needs import Critic, Map
from interalia.networks.translation import Translator, check_domains
from interalia.spaces import Space


@dataclass(frozen=True)
class Perceptrons(Family):
    """Fully connected networks of two hidden layers for data of any shape; batch norm in encoder and decoder.

    Arguments:
        width: of the hidden layers.
        unary: whether the critic adds a score of x alone; one that returns classes does not.
    """

    name = "mlp"
    able = tuple(DEMANDS)
    width: int = 400
    unary: bool = False

    def encoder(self, net: Map) -> nn.Module:
        body = hidden(net.size, self.width, 2, norm=True)
        head = nn.Sequential(nn.Linear(self.width, net.output.size), *onto(net.output))
        return Stack(body, head, before=(net.size,))

    def decoder(self, net: Map) -> nn.Module:
        head = nn.Sequential(nn.Linear(self.width, net.output.size), *onto(net.output))
        return Stack(hidden(net.size, self.width, 2, norm=True), head, after=net.output.shape)

    def critic(self, need: Critic) -> nn.Module:
        d, width, beside = need.sees[0].size, self.width, need.beside
        if need.of_two:
            return Beside(nn.Sequential(nn.Flatten(), MLP(2 * d, 1, width, 2)))
        x = nn.Sequential(nn.Flatten(), hidden(d, width, 1, norm=False))
        if need.answers:
            trunk = nn.Sequential(x, hidden(width, width, 2, norm=False))
            return Recogniser(trunk, nn.Linear(width, 1), MLP(width, need.answers, width, 1))
        return Joint(
            MLP(width + beside, need.classes or 1, width, 2),
            x,
            unary=nn.Linear(width, 1) if (self.unary and not need.classes) or need.terms else None,
            unary_z=MLP(beside, 1, width, 1) if need.terms else None,
            classes=need.classes,
        )

    def translator(self, net: Map) -> nn.Module:
        check_domains(net)
        d = net.output.size
        body = nn.Sequential(nn.Flatten(), MLP(d, d, self.width), nn.Unflatten(1, net.output.shape))
        return Translator(body) if net.output.is_image else body

    def patch_critic(self, need: Critic) -> nn.Module:
        return nn.Sequential(nn.Flatten(), MLP(need.sees[0].size, 1, self.width), nn.Flatten(0))


class Points(Family):
    """Networks for points of a few numbers."""

    def fits(self, x: Space) -> None:
        if len(x.shape) != 1:
            self.unfit("points of a few numbers", x)


@dataclass(frozen=True)
class ALIMixture(Points):
    """ALI's networks for its two-dimensional toy: E [x, eps]-400-400-z, G z-400-400-400-400-x, critic 3 x maxout(200, 5).

    Batch norm and ReLU in encoder and decoder, none in the critic; initial weights N(0, 0.02^2). The encoder takes noise
    at its input, for an implicit conditional. GAN's critic is the same one, of x alone.

    Without `norm` the initial weights are PyTorch's. Batch norm moves each sample by what else is in its batch, which sets a
    floor to how sharp a mode can be: at the grid's corners a hundredth of the distance from the centre is its width.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
    """

    name = "ali-mixture"
    able = ("labels", "noise", "classes")
    std = 0.02
    width: int = 400
    critic_width: int = 200
    pieces: int = 5
    norm: bool = True

    def encoder(self, net: Map) -> nn.Module:
        made = self.mlp(net, 2)
        if last := onto(net.output):
            made.head = nn.Sequential(made.head, *last)
        return made

    def decoder(self, net: Map) -> nn.Module:
        return self.mlp(net, 4)

    def mlp(self, net: Map, depth: int) -> MLP:
        made = MLP(net.size, net.output.size, self.width, depth, self.norm, leak=0.0)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eps, module.momentum = 1e-4, 0.05  # ALI's
        return made

    def critic(self, need: Critic) -> nn.Module:
        inputs, parts = need.sees[0].size + need.beside, list[nn.Module]()
        for _ in range(3):
            parts += [nn.Linear(inputs, self.critic_width * self.pieces), Maxout(self.pieces)]
            inputs = self.critic_width
        return Joint(nn.Sequential(*parts, nn.Linear(inputs, need.classes or 1)), classes=need.classes)

    def start(self, need: Map | Critic, network: nn.Module) -> None:
        if self.norm:
            super().start(need, network)


@dataclass(frozen=True)
class ALICEToy(Points):
    """ALICE's networks for its two-dimensional toy: encoder, decoder and critic of two layers of 256 ReLU units.

    No batch norm, PyTorch's initial weights. The encoder takes noise at its input, for an implicit conditional.

    References:
        ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, Chunyuan Li and others, 2017,
        https://arxiv.org/abs/1709.01215
    """

    name = "alice-toy"
    able = ("labels", "noise", "classes", "two")
    width: int = 256

    def encoder(self, net: Map) -> nn.Module:
        made = MLP(net.size, net.output.size, self.width, 2, leak=0.0)
        return Stack(made.body, nn.Sequential(made.head, *onto(net.output)))

    def decoder(self, net: Map) -> nn.Module:
        return MLP(net.size, net.output.size, self.width, 2, leak=0.0)

    def critic(self, need: Critic) -> nn.Module:
        made = MLP(need.sees[0].size + need.beside, need.classes or 1, self.width, 2, leak=0.0)
        return Beside(made) if need.of_two else Joint(made, classes=need.classes)
