"""Which parameters a player trains: its own, those that require a gradient, also where this changes in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from examples import batch, build
from torch import Tensor

from interalia.errors import UserError
from interalia.games import Game
from interalia.learning.dynamics import KINDS, Dynamics, Simultaneous


def dynamics(kind: str) -> Dynamics:
    game = build("ali")
    return KINDS[kind](game, {p: torch.optim.SGD(game.parameters_of(p), 0.1) for p in game.players})


def batches(game: Game) -> Iterator[tuple[Tensor, ...]]:
    while True:
        yield batch(game, 4)


def test_a_parameter_of_two_players_is_refused() -> None:
    """It would get the gradients of both losses, and each optimizer would step along their sum."""
    game = build("ali")
    game.critic.trunk = game.encoder  # type: ignore[union-attr]
    with pytest.raises(UserError, match="`game` has a parameter that the players 'generator' and 'critic' both train"):
        Simultaneous(game, {})


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_player_is_refused(kind: str) -> None:
    moves = dynamics(kind)
    moves.step(batches(moves.game))
    moves.game.critic.requires_grad_(False)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no parameter of the player 'critic' requires a gradient"):
        moves.step(batches(moves.game))


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_may_be_frozen_and_thawed_between_two_steps(kind: str) -> None:
    """Two of the same shape, by turns: the memory of a step is of those that it has trained."""
    moves = dynamics(kind)
    decoder: Any = moves.game.decoder
    first, second = [p for p in decoder.parameters() if p.shape == next(decoder.parameters()).shape[:1]][:2]
    for frozen, trained in ((first, second), (second, first)):
        trained.requires_grad_(True)
        frozen.requires_grad_(False)
        for _ in range(2):
            before = [p.detach().clone() for p in (frozen, trained)]
            moves.step(batches(moves.game))
            assert torch.equal(frozen, before[0])
            assert not torch.equal(trained, before[1])


@pytest.mark.parametrize("kind", ["past", "optimistic"])
def test_the_memory_of_other_parameters_is_not_used(kind: str) -> None:
    """The step after a change of the trained parameters is the first one of them."""
    moves, fresh = dynamics(kind), dynamics(kind)
    for one in (moves, fresh):
        next(one.game.decoder.parameters()).requires_grad_(False)  # type: ignore[union-attr]
    moves.step(batches(moves.game))
    fresh.game.load_state_dict(moves.game.state_dict())
    for one in (moves, fresh):
        next(one.game.decoder.parameters()).requires_grad_(True)  # type: ignore[union-attr]
        torch.manual_seed(2)
        one.step(batches(one.game))
    for a, b in zip(moves.game.parameters(), fresh.game.parameters(), strict=True):
        assert torch.equal(a, b)
