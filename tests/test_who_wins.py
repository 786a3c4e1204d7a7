"""Which scores `--balance`, adaptive augmentation and health go by: of all fakes of a critic, and of all critics."""

import itertools

import pytest
import torch
from examples import batch, build
from torch import nn

from interalia.adversarial.disturbances import AdaptiveAugmentation
from interalia.adversarial.divergences import auc
from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.games import REGISTRY, VAEGAN, AdversarialALICE
from interalia.games.game import Outcome
from interalia.learning.dynamics import Simultaneous, UpdateOptions
from interalia.learning.optimizers import sgd
from interalia.networks.layers import ChannelConcatCritic
from interalia.networks.mlp import MLP, PairCritic

HIGH, LOW = torch.ones(4), -torch.ones(4)


def vae_gan():
    return VAEGAN(
        Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), PairCritic(nn.Linear(8, 1), nn.Linear(2, 8)), StandardNormal(3)
    )


def alice():
    return AdversarialALICE(
        Gaussian(MLP(2, 6)),
        Deterministic(MLP(3, 2)),
        PairCritic(MLP(5, 1)),
        StandardNormal(3),
        cycle_critic=ChannelConcatCritic(MLP(4, 1)),
    )


def sure(game, scores):
    return [auc(*pair) for pair in game.score_pairs(Outcome({}, scores))]


@pytest.mark.parametrize(
    ("reconstruction", "model", "area"), [(HIGH, HIGH, 0.5), (HIGH, LOW, 0.75), (LOW, HIGH, 0.75), (LOW, LOW, 1.0)]
)
def test_a_critic_of_two_kinds_of_fakes_is_sure_where_it_tells_both(reconstruction, model, area):
    assert sure(vae_gan(), {"data": HIGH, "reconstruction": reconstruction, "model": model}) == [area]


def test_both_critics_of_adversarial_alice_count():
    scores = {"q": HIGH, "p": LOW, "same": HIGH, "cycle": HIGH}
    assert sure(alice(), scores) == [1.0, 0.5]
    assert sure(alice(), {**scores, "p": HIGH, "cycle": LOW}) == [0.5, 1.0]


def test_the_score_of_a_critic_with_terms_is_their_sum():
    """Terms have different levels: (10, 0) for data and (9, -1) for samples are told apart by their sum, without fail."""
    game = build("ali", divergence="bigbigan")
    scores = {"q": torch.tensor([[10.0, 0.0]] * 4), "p": torch.tensor([[9.0, -1.0]] * 4)}
    assert sure(game, scores) == [1.0]
    assert game.highest_auc(Outcome({}, scores)) == 1.0
    (pair,) = game.score_pairs(game(*batch(game)))
    assert [part.shape for part in pair] == [(len(batch(game)[0]),)] * 2


@pytest.mark.parametrize("name", REGISTRY)
def test_no_joint_that_a_critic_sees_is_left_out(name):
    game = build(name)
    outcome = game(*batch(game))
    seen = [score for pair in game.score_pairs(outcome) for part in pair for score in part.tolist()]
    assert sorted(seen) == sorted(score for scores in outcome.scores.values() for score in scores.tolist())
    assert bool(seen) == ("critic" in game.players)


def test_the_pairs_are_of_the_scores_that_the_games_give():
    x = torch.rand(6, 2)
    for game, sizes in ((vae_gan(), [(6, 12)]), (alice(), [(6, 6), (6, 6)])):
        assert [tuple(map(len, pair)) for pair in game.score_pairs(game(x))] == sizes


CASES = [
    (vae_gan, {"data": HIGH, "reconstruction": HIGH, "model": LOW}, 0.75),
    (vae_gan, {"data": HIGH, "reconstruction": LOW, "model": LOW}, 1.0),
    (alice, {"q": HIGH, "p": HIGH, "same": HIGH, "cycle": LOW}, 1.0),
    (alice, {"q": HIGH, "p": HIGH, "same": HIGH, "cycle": HIGH}, 0.5),
]


@pytest.mark.parametrize(("make", "scores", "ahead"), CASES)
def test_a_critic_waits_by_all_of_its_fakes_and_with_the_surest(make, scores, ahead):
    game = make()
    moves = Simultaneous(
        game, {p: sgd(game.parameters_of(p)) for p in game.players}, UpdateOptions(skip_critic_above=0.9)
    )
    zero = {player: sum(p.sum() * 0 for p in game.parameters_of(player)) for player in game.players}
    game.forward = lambda *_: Outcome(zero, scores)
    moves.step(itertools.repeat((HIGH,)))
    assert moves.critic_auc == ahead
    assert moves.skips("critic") == (ahead == 1.0)


@pytest.mark.parametrize(("make", "scores", "ahead"), CASES)
def test_augmentation_adapts_once_a_look_to_the_surest_critic(make, scores, ahead):
    game = make()
    game.noise = AdaptiveAugmentation(target=0.6, images=100)
    game.noise.probability = 0.4
    game.on_outcome(Outcome({}, scores))
    up = 2 * ahead - 1 > 0.6
    assert game.noise.probability == pytest.approx(0.4 + (0.04 if up else -0.04))  # four images of a hundred
