"""On a CPU, convolutions store their weights in channels-last order, and compute the same."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from examples import CONV, batch, build
from torch import Tensor, nn

from interalia import load, recipes, train
from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.games import ALI, Game
from interalia.networks.layers import InstanceNorm, is_channels_last
from interalia.networks.mlp import MLP, PairCritic
from interalia.networks.weights import use_channels_last
from interalia.runs import Run
from interalia.training import engine


def is_last(network: nn.Module) -> bool:
    kernels = [p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1 and p[0, 0].numel() > 1]
    assert kernels
    assert len({is_channels_last(p) for p in kernels}) == 1
    return is_channels_last(kernels[0])


def gradients(game: Game) -> list[Tensor]:
    torch.manual_seed(1)
    losses = game(*batch(game, 6)).losses
    found = [torch.autograd.grad(losses[p], game.parameters_of(p), retain_graph=True) for p in game.players]
    return [*losses.values(), *(gradient for player in found for gradient in player)]


@pytest.mark.parametrize(("game", "networks"), [("ali", "auto(width=2, unary=True)"), ("gan", "auto(width=2)")])
def test_the_gradients_are_the_same(game: str, networks: str) -> None:
    made = build(game, CONV, networks=networks)
    twin = copy.deepcopy(made)
    use_channels_last(twin)
    for a, b in zip(gradients(made), gradients(twin), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_which_networks_are_stored_so() -> None:
    class Own(nn.Conv2d):
        """A layer of a user."""

    def game(*layers: nn.Module) -> nn.Module:
        return nn.ModuleDict({"critic": nn.Sequential(nn.Conv2d(2, 2, 3), *layers), "other": nn.Conv2d(2, 2, 3)})

    for layers, last in (((), True), ((nn.LeakyReLU(),), True), ((Own(2, 2, 3),), False), ((InstanceNorm(),), False)):
        made = game(*layers)
        use_channels_last(made)
        assert is_last(made["critic"]) == last
        assert is_last(made["other"])
    spectral = nn.ModuleList([nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 2, 3))])
    use_channels_last(spectral)
    assert is_last(spectral)


def test_training_and_loading_on_a_cpu_use_it(tmp_path: Path) -> None:
    run = recipes.ali_digits(image_size=32, networks="auto(width=2)", steps=2, precision="fp32", device="cpu")
    training = engine.prepare(run)
    for game in (training.game, training.averaged_game):
        assert is_last(game.critic)  # type: ignore[arg-type]
    train(run, tmp_path / "run")
    assert is_last(load(tmp_path / "run").game.critic)  # type: ignore[arg-type]


class Viewing(nn.Module):
    """A network of a user, whose `view` needs the default order."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out.view(len(x), -1)


def test_a_network_of_a_user_may_view() -> None:
    critic = PairCritic(MLP(4 * 36 + 3, 1), Viewing())
    game = ALI(
        Gaussian(nn.Sequential(Viewing(), nn.Linear(144, 6))), Deterministic(MLP(3, 64)), critic, StandardNormal(3)
    )
    game.decoder.network = nn.Sequential(game.decoder.network, nn.Unflatten(1, (1, 8, 8)))  # type: ignore[union-attr]
    for precision in ("fp32", "bf16"):
        run = Run(data="digits", latent_dim=3, steps=1, precision=precision, device="cpu")
        train(run, game=copy.deepcopy(game), callbacks=[])
