"""The layers that network families use, and modules as dataclasses."""

from __future__ import annotations

import copy
import pickle
import types

import pytest
import torch
from torch import nn

from interalia import games, networks
from interalia.games import Game, Outcome
from interalia.networks.layers import Backbone, FieldModule, PairCritic, layer_block, module_dataclass, upsample_conv
from interalia.registry import by_name


@module_dataclass
class Pair(FieldModule):
    first: nn.Module
    second: nn.Module | None = None
    size: int = 3


@module_dataclass
class Triple(Pair):
    third: nn.Module | None = None


def test_a_network_takes_the_place_of_a_default_of_none() -> None:
    pair = Triple(nn.Linear(1, 2), nn.Linear(3, 4), third=nn.Linear(5, 6))
    assert isinstance(pair.second, nn.Linear)
    assert isinstance(pair.third, nn.Linear)
    assert (pair.second.in_features, pair.third.in_features, pair.size) == (3, 5, 3)
    assert [name for name, _ in pair.named_children()] == ["first", "second", "third"]
    assert Triple(nn.Linear(1, 2)).second is None


@pytest.mark.parametrize("made", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_has_the_fields(made: object) -> None:
    stack = Backbone(nn.Linear(2, 3), nn.Linear(3, 4), output_shape=(2, 2), x=nn.Tanh())
    again = made(stack)  # type: ignore[operator]
    x = torch.ones(1, 2)
    assert torch.equal(again(x), stack(x))
    assert again(x).shape == (1, 2, 2)
    assert list(PairCritic(nn.Linear(2, 1), unary=nn.Linear(2, 1)).state_dict()) == [
        "joint.weight", "joint.bias", "unary.weight", "unary.bias",
    ]  # fmt: skip


@pytest.mark.parametrize(("leak", "at"), [(0.2, -0.2), (0.0, 0.0), (None, torch.e**-1 - 1)])
def test_what_follows_a_layer(leak: float | None, at: float) -> None:
    layer, last = layer_block(nn.Identity(), leak=leak)
    assert isinstance(layer, nn.Identity)
    assert last(torch.tensor([-1.0])).item() == pytest.approx(at)
    norm = nn.BatchNorm1d(1)
    assert layer_block(layer, norm, leak)[1] is norm


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("high", [(7, 8), (9, 13), (16, 16)])
def test_a_transposed_convolution_meets_the_size(kernel: int, stride: int, high: tuple[int, int]) -> None:
    if stride == 1 and kernel == 4:
        pytest.skip("an even kernel keeps no size")
    down = nn.Conv2d(2, 1, kernel, stride, (kernel - 1) // 2)
    low = tuple(down(torch.zeros(1, 2, *high)).shape[2:])
    assert upsample_conv((1, 2), low, high, kernel, stride)(torch.zeros(1, 1, *low)).shape == (1, 2, *high)


def test_losses_are_added_by_their_players() -> None:
    one, two, score = torch.tensor(1.0), torch.tensor(2.0), torch.zeros(3)
    outcome = Outcome({"critic": one, "generator": two}, {"q": score})
    more = outcome.with_losses(0.5, {"p": score}, generator=two, regressor=one)
    assert {player: loss.item() for player, loss in more.losses.items()} == {
        "critic": 1.0, "generator": 3.0, "regressor": 0.5,
    }  # fmt: skip
    assert list(more.scores) == ["q", "p"]
    assert outcome.losses["generator"] is two


def test_a_class_of_a_room_is_a_member_by_the_name_that_it_says_itself() -> None:
    class Named(Game):
        name = "named"

    class Silent(Named):
        pass

    room = types.SimpleNamespace(Game=Game, Named=Named, Silent=Silent, other=3)
    assert by_name(vars(room), Game) == {"named": Named}


@pytest.mark.parametrize("room", [games, networks])
def test_every_member_is_in_its_room_by_its_own_name(room: types.ModuleType) -> None:
    for name, kind in room.REGISTRY.built_in.items():
        assert kind.name == name
        assert getattr(room, kind.__name__) is kind
