"""Learning rates for all players and by player, and averages of weights by their texts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from interalia.errors import UserError
from interalia.games import Outcome
from interalia.learning.optimizers import Averaging, make_average
from interalia.runs import Run
from interalia.training import engine
from interalia.training.callbacks import Callback
from interalia.training.state import Training

SMALL: dict[str, Any] = {"game": "ali", "networks": "auto(width=2)", "latent_dim": 3, "steps": 2, "batch_size": 16}


@pytest.mark.parametrize(
    ("lr", "critic", "generator"),
    [
        (None, 0.5, 0.5),  # the optimizer's
        (1e-3, 1e-3, 1e-3),
        (0.0, 0.0, 0.0),  # a number, and not the lack of one
        ({"critic": 0.25}, 0.25, 0.5),
        ({"default": 0.125}, 0.125, 0.125),
        ({"default": 0.125, "critic": 0.25}, 0.25, 0.125),
        ({"default": 0.125, "generator": 0.0}, 0.125, 0.0),
        ({}, 0.5, 0.5),
    ],
)
def test_a_players_rate_is_its_own_or_the_one_for_all_or_the_optimizers(
    lr: Any, critic: float, generator: float
) -> None:
    training = engine.prepare(Run(**SMALL, optimizer="adam(lr=0.5)", schedule="linear(start=0)", lr=lr))
    for step, factor in ((0, 1.0), (1, 0.5)):
        training.step = step
        engine.set_learning_rates(training)
        rates = {player: optimizer.param_groups[0]["lr"] for player, optimizer in training.optimizers.items()}
        assert rates == {"critic": critic * factor, "generator": generator * factor}


def test_a_rate_needs_a_player_of_the_game() -> None:
    with pytest.raises(UserError, match=r"`lr` names 'encoder'.*'generator' and 'critic'"):
        engine.prepare(Run(**SMALL, lr={"encoder": 1e-3}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("ema", Averaging(0.999, 0.0, True)),
        ("ema(0.3)", Averaging(0.3, 0.0, True)),
        ("ema(decay=0.3, start=0.5, warm=False)", Averaging(0.3, 0.5, False)),
        ("swa", Averaging(None, 0.0, False)),
        ("swa(start=0.5)", Averaging(None, 0.5, False)),
    ],
)
def test_averages_by_their_texts(text: str, expected: Averaging | None) -> None:
    assert make_average(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emma", "did you mean 'ema'"),
        ("ema(1.0)", "`decay` is 1.0"),
        ("swa(start=1.0)", "`start` is 1.0"),
        ("swa(decay=0.9)", "no setting 'decay'"),
    ],
)
def test_what_is_no_average_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_average(text)


class Weights(Callback):
    """Records a weight of the critic after each step."""

    def __init__(self) -> None:
        self.found: list[Tensor] = []

    def step(self, training: Training, outcome: Outcome) -> None:
        self.found.append(next(training.game.critic.parameters()).detach().clone())


def test_samples_are_drawn_from_the_average_or_from_the_weights_themselves() -> None:
    """After two steps: the newest weights, their mean, and a decayed average without warm-up."""
    for text, share in (("none", 0.0), ("swa", 0.5), ("swa(start=0.5)", 0.0), ("ema(0.25, warm=False)", 0.25)):
        training, weights = engine.prepare(Run(**SMALL, weight_average=text)), Weights()
        assert (training.averaged_game is training.game) == (text == "none")
        engine.loop(training, [weights])
        first, second = weights.found
        assert not torch.equal(first, second)
        found = next(training.averaged_game.critic.parameters())
        torch.testing.assert_close(found.detach(), share * first + (1 - share) * second)
