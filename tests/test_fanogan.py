"""f-AnoGAN's loss by hand, and its training on a GAN that was trained before, with and without the GAN's critic."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from examples import generator
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import interalia
from interalia import runs
from interalia.conditionals import Deterministic, StandardNormal
from interalia.errors import UserError
from interalia.games import FAnoGAN
from interalia.games.capabilities import facts
from interalia.networks.layers import (
    ChannelConcatCritic,
    PackedCritic,
    PairCritic,
    Recognizer,
    last_hidden,
    score_layer,
)
from interalia.networks.mlp import MLP
from interalia.registry import aliases
from interalia.runs import building

SHORT = {
    "data": "digits",
    "networks": "auto(width=2)",
    "latent_dim": 3,
    "batch_size": 16,
    "steps": 2,
    "evaluate_every": 0,
}


def linear(*rows: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return layer


def game(kappa: float, critic: nn.Module | None) -> FAnoGAN:
    """z^ = x1 + x2, and G(z) = (z, 0)."""
    return FAnoGAN(
        Deterministic(linear([1.0, 1.0])), Deterministic(linear([1.0], [0.0])), StandardNormal(1), critic, kappa
    )


def test_the_loss_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0]])  # reconstructed as (3, 0): the squares are 4 and 4
    critic = PairCritic(nn.Sequential(linear([1.0, 0.0], [0.0, 1.0], [1.0, 1.0]), linear([5.0, 5.0, 5.0])))
    # features (1, 2, 3) and (3, 0, 3): squares 4, 4, 0
    for kappa, expected in ((0.0, 4.0), (1.0, 4 + 8 / 3), (3.0, 12.0)):
        (loss,) = game(kappa, critic)(x).losses.values()
        assert float(loss.detach()) == pytest.approx(expected)
    assert float(game(1.0, None)(x).losses["encoder"].detach()) == 4.0
    with pytest.raises(ValueError, match="kappa"):
        game(-1.0, None)


def test_only_the_encoder_learns_and_the_critic_stays_in_evaluation_mode() -> None:
    critic = PairCritic(MLP(2, 1, 4, norm=True))
    played = game(1.0, critic).train()
    played(torch.randn(8, 2)).losses["encoder"].backward()
    assert {name for name, p in played.named_parameters() if p.grad is not None} == {"encoder.network.weight"}
    assert not any(module.training for module in (*critic.modules(), *played.decoder.modules()))
    assert not facts(played)["critic"]


def test_the_last_hidden_layer_is_the_input_of_the_layer_that_scores() -> None:
    x, z = torch.randn(4, 2), torch.randn(4, 3)
    joint = MLP(5, 1, 6)
    assert torch.equal(last_hidden(PairCritic(joint), x, z), joint.body(torch.cat([x, z], 1)))
    unary = PairCritic(joint, unary=nn.Linear(2, 1))  # which is called last
    assert last_hidden(unary, x, z).shape == (4, 6)
    pairs = MLP(4, 1, 7)
    assert torch.equal(
        last_hidden(ChannelConcatCritic(nn.Sequential(nn.Flatten(), pairs)), x, x), pairs.body(torch.cat([x, x], 1))
    )
    spectral_norm(joint.head)  # whose layers then have children
    assert score_layer(PairCritic(joint)) is joint.head
    assert last_hidden(PairCritic(joint), x, z).shape == (4, 6)
    recognizer = Recognizer(MLP(2, 8), nn.Linear(8, 1), MLP(8, 3))
    assert score_layer(recognizer) is recognizer.judge
    assert score_layer(PackedCritic(PairCritic(joint), 2)) is joint.head


def test_the_critic_comes_with_the_run_of_the_gan(tmp_path: Path) -> None:
    gan = runs.Run(name="gan", game="gan", divergence="wasserstein", penalty="wgan-gp", **SHORT)  # type: ignore[arg-type]
    trained = interalia.train(gan, out=tmp_path / "gan")
    run = runs.Run(
        name="f", game="f-anogan", encoder="deterministic", pretrained_generator=str(tmp_path / "gan"), **SHORT
    )  # type: ignore[arg-type]
    found = interalia.train(run, out=tmp_path / "f").game
    loaded = interalia.load(tmp_path / "f").game
    for one in (found, loaded):
        assert one.pretrained == ["decoder", "critic"]
        for name in one.pretrained:
            ours, theirs = (of.get_submodule(name).state_dict() for of in (one, trained.game))
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert all(
        torch.equal(a, b) for a, b in zip(found.state_dict().values(), loaded.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("fields", "critic"), [({}, True), ({"pack": 2}, False), ({"game": "ali"}, False), ({"game": "vae"}, False)]
)
def test_a_critic_that_does_not_score_single_x_is_left_out(
    tmp_path: Path, fields: dict[str, object], critic: bool
) -> None:
    interalia.train(runs.Run(**{"name": "a", "game": "gan", **SHORT, **fields}), out=tmp_path / "a")  # type: ignore[arg-type]
    run = runs.Run(name="f", game="f-anogan", pretrained_generator=str(tmp_path / "a"), **SHORT)  # type: ignore[arg-type]
    assert ("critic" in building.build(run).pretrained) is critic


def test_a_generator_without_a_critic_is_enough_and_none_is_too_few() -> None:
    run = runs.Run(game="f-anogan", **SHORT)  # type: ignore[arg-type]
    assert building.build(run, (1, 8, 8), generator=generator(3, (1, 8, 8))).pretrained == ["decoder"]
    with pytest.raises(UserError, match="`pretrained_generator`"):
        building.build(run, (1, 8, 8))


def test_egbad_is_bigan() -> None:
    assert aliases.preset("EGBAD") == aliases.preset("bigan")
