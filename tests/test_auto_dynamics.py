"""The dynamics `auto`: one backward pass of the critic where it is exact, and the plain simultaneous step elsewhere."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from examples import FLAT, batch, build, every_third
from test_one_stage import MIXING, Counted, ali
from torch import Tensor, nn
from torch.optim import SGD

from interalia import registry
from interalia.adversarial.joints import Joints
from interalia.games import ALI, REGISTRY, Game, Outcome
from interalia.learning import dynamics
from interalia.learning.dynamics import Auto, Dynamics, Simultaneous
from interalia.runs import Run

# why a game's step is not in one stage; it is for all others
PLAIN = {
    "latent-regressor": "its players are regressor, and not a critic and one other",
    "joint-latent-regressor": "its players are generator, critic, regressor, and not a critic and one other",
    "vae": "its players are autoencoder, and not a critic and one other",
    "vae-gan": "its players are encoder, decoder, critic, and not a critic and one other",
    "infogan": "its generator's loss depends on the joint 'model' beside the critic's scores",
    "cyclegan": "its generator's loss depends on scores that its critic's loss does not depend on",
}
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))


def flow(name: str, game: Game, rate: float = 0.01) -> Dynamics:
    optimizers = {player: SGD(game.parameters_of(player), lr=rate) for player in game.players}
    return registry.make(name, dynamics.REGISTRY, "dynamics", game, optimizers)


def trained(name: str, game: Game, steps: int = 3) -> Tensor:
    """All weights after a few steps."""
    moves = flow(name, game)
    torch.manual_seed(3)
    for step in range(steps):
        game.set_progress(step, steps)
        moves.step(itertools.repeat(batch(game)))
    return torch.cat([p.detach().flatten() for p in game.parameters()])


def test_it_is_the_default() -> None:
    assert Run().dynamics == "auto"


@pytest.mark.parametrize("game", REGISTRY)
def test_where_it_is_in_one_stage(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the games are built with by default; the reason is that of `one-stage`, which refuses with it."""
    reasons: list[str] = []
    monkeypatch.setattr(Auto, "refuse", lambda _, reason: reasons.append(reason))
    made = build(game)
    flow("auto", made).step(itertools.repeat(batch(made)))
    assert set(reasons) == ({PLAIN[game]} if game in PLAIN else set())


@pytest.mark.parametrize(
    ("game", "divergence", "penalty"),
    every_third(REGISTRY, ["gan", "relativistic", "wasserstein"], ["none", "r1r2", "wgan-gp"]),
)
def test_it_is_the_simultaneous_step(game: str, divergence: str, penalty: str) -> None:
    fields: dict[str, Any] = {"divergence": divergence} if game != "avb" else {}
    plain = trained("simultaneous", build(game, FLAT, penalty=penalty, **fields))
    auto = trained("auto", build(game, FLAT, penalty=penalty, **fields))
    torch.testing.assert_close(auto, plain, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", [*MIXING, lambda: nn.BatchNorm1d(16)])
def test_a_critic_that_mixes_samples_has_the_plain_step_to_the_bit(kind: Any) -> None:
    found = []
    for name in ("simultaneous", "auto"):
        game = ali(kind())
        moves = flow(name, game)
        torch.manual_seed(2)
        for _ in range(2):
            moves.step(iter([(X,)]))
        found.append(torch.cat([p.detach().flatten() for p in game.parameters()]))
    assert torch.equal(*found)


@pytest.mark.parametrize(("name", "times"), [("auto", 1), ("simultaneous", 2)])
def test_the_critic_has_one_backward_pass(name: str, times: int) -> None:
    counted = Counted()
    flow(name, ali(nn.Tanh(), counted)).step(iter([(X,)]))
    assert counted.times == times


class Kept(ALI):
    """Its critic scores what `sample` stored, with the weights that made it, instead of what it is given."""

    def sample(self, *batch: Tensor) -> Joints:
        self.joints = super().sample(*batch)
        return self.joints

    def losses(self, joints: Joints) -> Outcome:
        return super().losses(self.joints)


class Judged(ALI):
    """Its samples depend on a weight of its critic."""

    def sample(self, *batch: Tensor) -> Joints:
        joints = super().sample(*batch)
        x, z = joints["p"]
        return {**joints, "p": (x * next(self.critic.parameters()).mean(), z)}


class Whole(ALI):
    """It takes batches of 16 alone."""

    def sample(self, *batch: Tensor) -> Joints:
        return super().sample(batch[0].view(16, 8))


class Forward(ALI):
    """Its losses are more than those of its samples."""

    def forward(self, *batch: Tensor) -> Outcome:
        outcome = super().forward(*batch)
        more = sum(p.square().sum() for p in self.encoder.parameters())
        return Outcome({**outcome.losses, "generator": outcome.losses["generator"] + more}, outcome.scores)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Kept, "a score of its critic depends on weights of another network beside its sample"),
        (Judged, "its samples depend on weights of its critic"),
        (Whole, "it cannot be evaluated on a few samples (shape '[16, 8]' is invalid for input of size 64)"),
        (Forward, "its `forward` is not that of `Game`"),
    ],
)
def test_a_custom_game_has_the_plain_step_where_another_would_lose_a_gradient(kind: type[ALI], reason: str) -> None:
    found = []
    for flow_kind in (Simultaneous, Auto):
        game = ali(nn.Tanh(), kind=kind)
        moves = flow_kind(game, {player: SGD(game.parameters_of(player), lr=0.1) for player in game.players})
        torch.manual_seed(2)
        for _ in range(2):
            moves.step(iter([(X,)]))
        if isinstance(moves, Auto):
            assert moves.obstacle((X,)) == reason
        found.append(torch.cat([p.detach().flatten() for p in game.parameters()]))
    assert torch.equal(*found)


def test_on_an_accelerator_it_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One factor a sample is read by the host, for which a GPU would have to wait at every step."""
    monkeypatch.setattr(dynamics, "device_of", lambda _: torch.device("cuda"))
    counted = Counted()
    flow("auto", ali(nn.Tanh(), counted)).step(iter([(X,)]))
    assert counted.times == 2
