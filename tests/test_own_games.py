"""What is wrong with a game of a user's own is said in a sentence, and an option that it does not use is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from interalia import games, train
from interalia.conditionals import Conditional, Deterministic, Prior, StandardNormal
from interalia.errors import UserError
from interalia.games import GAN, Game, Outcome
from interalia.networks.mlp import MLP, PairCritic
from interalia.runs import Run

X = np.random.default_rng(0).random((32, 2), dtype=np.float32)
SHORT = Run(steps=1, latent_dim=3, batch_size=8, evaluate_every=0, device="cpu")


class Plain(Game):
    """A GAN that returns no scores, and has neither a penalty nor noise."""

    players = {"generator": ["decoder"], "critic": ["critic"]}
    lost = ""  # the player without a loss

    def __init__(self, decoder: Conditional, critic: nn.Module, prior: Prior) -> None:
        self.decoder, self.critic, self.prior = decoder, critic, prior

    @classmethod
    def needs(cls, s: Any, **settings: Any) -> Any:
        return {"decoder": s.decode(s.z, s.x), "critic": s.critic(s.x)}

    def sample(self, *batch: Tensor) -> Any:
        return {"data": batch, "model": (self.decoder(self.prior.sample((len(batch[0]),))).rsample(),)}

    def losses(self, joints: Any) -> Outcome:
        p, q = self.critic(*joints["data"]), self.critic(*joints["model"])
        losses = {"critic": (q - p).mean(), "generator": -q.mean()}
        return Outcome({player: loss for player, loss in losses.items() if player != self.lost})


class NoLoss(Plain):
    lost = "generator"


class NoNetwork(Plain):
    players = {"generator": ["decodr"], "critic": ["critic"]}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    for kind in (Plain, NoLoss, NoNetwork):
        games.REGISTRY.add(kind.__name__, kind)
    yield
    for kind in (Plain, NoLoss, NoNetwork):
        games.REGISTRY.remove(kind.__name__)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"instance_noise": "constant(std=0.1)"}, "`instance_noise` has no effect in Plain; leave"),
        ({"skip_critic_above": 0.7}, "`skip_critic_above` .*Plain returns none; give them"),
        ({"game": "NoLoss"}, "no loss of the player 'generator', but 'critic'; return it"),
        ({"game": "NoLoss", "dynamics": "alternating"}, "no loss of the player 'generator', but 'critic'; return it"),
        ({"game": "NoNetwork"}, "'generator' of NoNetwork trains decodr.*its networks are decoder, critic"),
    ],
)
def test_what_a_game_does_not_have_is_said(fields: dict[str, Any], message: str) -> None:
    assert train(SHORT.replace(game="Plain"), data=X, verbose=False).step == 1
    with pytest.raises(UserError, match=message):
        train(SHORT.replace(**{"game": "Plain", **fields}), data=X, verbose=False)


def test_labeled_examples_are_of_no_use_to_an_own_game_that_takes_none() -> None:
    game = GAN(Deterministic(MLP(3, 2)), PairCritic(MLP(2, 1)), StandardNormal(3))
    with pytest.raises(UserError, match="`num_labeled` needs a semi-supervised game, and GAN is none; leave"):
        train(SHORT, data=X, game=game, num_labeled=4, verbose=False)
    assert train(SHORT, data=X, game=game, verbose=False).step == 1


def test_an_own_game_needs_no_run_beside_it() -> None:
    game = GAN(Deterministic(MLP(3, 2)), PairCritic(MLP(2, 1)), StandardNormal(3))
    trained = train(data=X, game=game, steps=1, batch_size=8, evaluate_every=0, verbose=False)
    assert (trained.run.game, trained.run.latent_dim, trained.step) == ("<own>", 3, 1)


@pytest.mark.parametrize("name", ["wgan", "BiGAN", "bigan"])
def test_an_alias_of_a_model_is_no_name_for_an_own_game(name: str) -> None:
    """The run would be one of the library's game, with no word about it."""
    assert Run(game=name).canonical().game in games.REGISTRY.built_in
    with pytest.raises(UserError, match=f"'{name}' stands for the game .*; give it another name"):
        games.REGISTRY.add(name, Plain)
    assert name not in games.REGISTRY.added
