"""The gradient of a gradient penalty is that of the plain computation, of every network of the catalogue and every order."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import pytest
import torch
from examples import CONV, batch, build
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from interalia.adversarial.penalties import squared_gradients
from interalia.adversarial.second_order import SecondOrder
from interalia.games import REGISTRY as GAMES
from interalia.learning.dynamics import Consensus
from interalia.networks.weights import use_channels_last

ADVERSARIAL = [name for name, game in GAMES.items() if "critic" in game.players]


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """The layers of torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            SecondOrder, "__torch_function__", lambda _, f, types, args=(), kwargs=None: f(*args, **kwargs or {})
        )
        yield


def gradients(network: nn.Module, *inputs: Tensor) -> list[Tensor]:
    """The squares, and their gradients in all weights."""
    squares = squared_gradients(network, inputs)
    weights = list(network.parameters())
    return [squares, *torch.autograd.grad(squares.square().sum(), weights, materialize_grads=True)]


def assert_equal(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


LAYERS: dict[str, list[nn.Module]] = {
    "leaky": [nn.Flatten(), nn.Linear(162, 5), nn.LeakyReLU(0.2), nn.Linear(5, 5), nn.LeakyReLU(0.1, inplace=True)],
    "smooth": [nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Conv2d(3, 3, 3), nn.LeakyReLU(0.2), nn.Conv2d(3, 2, 3), nn.ELU()],
    "slope below 0": [nn.Conv2d(2, 3, 3), nn.LeakyReLU(-0.2)],
    "strided": [
        nn.Conv2d(2, 3, (3, 2), (2, 3), (1, 0)),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(3, 2, 2, bias=False),
    ],
    "dilated": [nn.Conv2d(2, 4, 2, 2, 1, dilation=(2, 3), groups=2), nn.LeakyReLU(), nn.Conv2d(4, 2, 1)],
    "much padding": [nn.Conv2d(2, 3, 2, padding=4), nn.LeakyReLU(0.2), nn.Conv2d(3, 2, 3, padding="same")],
    "reflected": [nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), nn.LeakyReLU(0.2), nn.BatchNorm2d(3)],
    "in place of a view": [nn.Conv2d(2, 3, 3), nn.Unflatten(1, (3, 1)), nn.LeakyReLU(0.2, inplace=True)],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_layers(layers: list[nn.Module]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*copy.deepcopy(layers), nn.Flatten(), nn.LazyLinear(1), nn.Flatten(0)).double()
    x = torch.randn(4, 2, 9, 9, dtype=torch.float64)
    network(x)
    ours = gradients(network, x)
    with plain():
        assert_equal(ours, gradients(network, x))


class Modulated(nn.Conv2d):
    """A convolution of a user, whose kernels depend on the mean of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * (1 + x.square().mean()), self.bias)


class Bare(nn.Conv2d):
    """A convolution of a user, who calls torch's function with numbers in place of tuples."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.conv2d(x, self.weight, self.bias, 1, 0, 1, 1)


@pytest.mark.parametrize("kind", [Modulated, Bare])
def test_convolutions_of_a_user(kind: type[nn.Conv2d]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(kind(2, 3, 3), nn.LeakyReLU(0.2), kind(3, 1, 7), nn.Flatten(0)).double()
    x = torch.randn(4, 2, 9, 9, dtype=torch.float64)
    ours = gradients(network, x)
    with plain():
        assert_equal(ours, gradients(network, x))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_critics_of_all_games(name: str, last: bool) -> None:
    """With convolutions, in both orders of memory: the gradients of all losses with the penalty in them."""
    game = build(name, CONV, penalty="r1r2(gamma=1.0)")
    if last:
        use_channels_last(game)

    def all_gradients() -> list[Tensor]:
        torch.manual_seed(1)
        losses = game(*batch(game, 6)).losses
        found = (torch.autograd.grad(losses[p], game.parameters_of(p), retain_graph=True) for p in game.players)
        return [*losses.values(), *(g for own in found for g in own)]

    ours = all_gradients()
    with plain():
        assert_equal(ours, all_gradients())


def test_fewer_products() -> None:
    """No product with zeros: the critic's layers are passed 4 times (forward, to the inputs, and back from there), not 6."""

    class Counting(TorchDispatchMode):
        products = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.products += func._overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm)
            return func(*args, **(kwargs or {}))

    def products() -> int:
        network = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.2), nn.Linear(4, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))
        with Counting() as counting:
            gradients(network, torch.randn(5, 3))
        return counting.products

    ours = products()
    with plain():
        assert ours < products()


def test_the_gradient_of_the_squared_gradient() -> None:
    """Consensus differentiates the penalty's gradient once more."""
    game = build("ali", CONV, penalty="r1(gamma=1.0)", divergence="gan")

    def found() -> list[Tensor]:
        torch.manual_seed(1)
        moves = Consensus(game, {p: torch.optim.SGD(game.parameters_of(p), lr=0.1) for p in game.players})
        moves.gradients(iter([batch(game, 4)]), *game.players)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in moves.parameters()]
        game.zero_grad()
        return grads

    ours = found()
    with plain():
        assert_equal(ours, found())
