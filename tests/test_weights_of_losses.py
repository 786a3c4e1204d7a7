"""The weights of a game's losses are 0 or more: with a negative one a loss would be maximized, or silently left out."""

from __future__ import annotations

import pytest
from examples import build

from interalia.errors import UserError
from interalia.games import REGISTRY
from interalia.games.game import TwoPlayers

WEIGHTS = [(name, key) for name, kind in REGISTRY.items() if issubclass(kind, TwoPlayers) for key in kind.loss_weights]


def test_which_games_have_weights() -> None:
    """All that multiply a loss, besides those that a game checks itself, such as `sleep`."""
    assert {name for name, _ in WEIGHTS} >= {"alice", "alad", "hali", "aae", "semi-aae", "semi-ali", "vae-gan"}
    assert ("semi-aae", "adversarial") in WEIGHTS
    assert ("alad", "weight") in WEIGHTS


@pytest.mark.parametrize(("game", "key"), WEIGHTS)
def test_negative_weights_are_refused(game: str, key: str) -> None:
    build(game)
    with pytest.raises(UserError, match=rf"`{key}` is -0\.5, and a weight is 0 or more"):
        build(f"{game}({key}=-0.5)")
