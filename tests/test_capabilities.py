"""What a game can do, by what it has; and games as dataclasses, whose fields are their arguments."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
from typing import Any

import pytest
import torch
from examples import build
from torch import Tensor, nn

from interalia import registry
from interalia.adversarial.divergences import KL
from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.errors import UserError
from interalia.games import ALI, ALICE, REGISTRY, Game, Outcome
from interalia.games.capabilities import (
    CAPABILITIES,
    TEXTS,
    Classifies,
    Generates,
    HasLikelihood,
    Infers,
    Translates,
    attributes_of,
    facts,
    games_with,
    has,
    require,
)
from interalia.games.game import module_dataclass
from interalia.networks.layers import PairCritic
from interalia.networks.mlp import MLP


class Encodes(Game):
    """A game of other people's, with a constructor written by hand, that infers and does nothing else."""

    players = {"encoder": ["encoder"]}

    def __init__(self, encoder: nn.Module, weight: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.weight = weight

    def sample(self, *batch: Tensor) -> dict[str, tuple[Tensor, ...]]:
        return {"z": (self.encoder(batch[0]).mean,)}

    def losses(self, joints: Any) -> Outcome:
        return Outcome({"encoder": self.weight * joints["z"][0].square().mean()})


@module_dataclass
class Kept(ALI):
    """ALI with a field more, and something made of it."""

    weight: float = 2.0

    def __post_init__(self) -> None:
        self.half = self.weight / 2


class Plain(Kept):
    """One that adds no field, and is no dataclass of its own."""


def parts() -> list[Any]:
    torch.manual_seed(0)
    return [Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), PairCritic(MLP(5, 1)), StandardNormal(3)]


def test_a_game_has_a_capability_by_having_its_members() -> None:
    game = Encodes(Deterministic(MLP(2, 3)))
    assert isinstance(game, Infers)
    assert has(Encodes, Infers)
    assert not any(isinstance(game, one) or has(Encodes, one) for one in CAPABILITIES if one is not Infers)
    del game.encoder
    assert not isinstance(game, Infers)
    game.encoder = Deterministic(MLP(2, 3))
    assert require(game, Infers, "look").encoder is game.encoder
    assert isinstance(ALI(*parts()), Infers)
    assert not isinstance(nn.Linear(1, 1), Infers)


def test_what_makes_up_a_capability() -> None:
    assert attributes_of(Generates) == {"decoder", "prior"}
    assert attributes_of(Classifies) == {"classify"}
    assert attributes_of(HasLikelihood) == {"binary", "prior", "log_likelihood", "log_joint"}


@pytest.mark.parametrize("name", REGISTRY)
def test_a_class_has_what_its_games_have(name: str) -> None:
    game = build(name)
    for capability in CAPABILITIES:
        assert isinstance(game, capability) is has(REGISTRY[name], capability), capability


def test_the_one_error_names_those_of_other_people_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY.built_in, "encodes", Encodes)
    game = Encodes(Deterministic(MLP(2, 3)))
    with pytest.raises(UserError) as caught:
        require(game, Translates, "translate")
    assert str(caught.value) == (
        "Encodes has no two domains to translate between; translate needs a game that has two domains: CycleGAN."
    )
    with pytest.raises(UserError, match=r"^Encodes has no decoder; reconstruct needs a game that has one: ALI, "):
        require(game, Infers, "reconstruct", Generates)
    assert games_with(Infers).split(", ")[-1] == "Encodes"
    assert "Encodes" not in games_with(Infers, Generates)
    assert games_with(Infers, also=lambda kind: kind.feeds.conditional) == "ALI, ALICE"
    assert games_with(Translates, Infers) == "none is installed"


def test_fields_are_arguments_kept_under_their_names() -> None:
    given = parts()
    game = Kept(*given, divergence=KL(), weight=3.0)
    signature = registry.inspect.signature(Kept)
    assert {f.name for f in dataclasses.fields(Kept)} == set(signature.parameters)
    by_name = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert by_name == ["sleep", "mismatch"]  # so that they take no place from a subclass's own
    assert [game.encoder, game.decoder, game.critic, game.prior] == given
    assert (game.divergence, game.joint_batch, game.weight, game.half) == (KL(), True, 3.0, 1.5)
    assert list(game.state_dict()) == list(ALI(*given).state_dict())
    assert registry.settings_of(Kept) == {"joint_batch": bool, "weight": float, "sleep": float, "mismatch": float}
    assert (
        registry.settings_text(Kept)
        == registry.settings_text(Plain)
        == "joint_batch=True, weight=2.0, sleep=0.0, mismatch=0.0"
    )
    assert Plain(*given).half == 1.0
    assert registry.make("kept(weight=4.0)", {"kept": Plain}, "game", *given).weight == 4.0
    with pytest.raises(
        UserError,
        match=r"the game 'kept' has no setting 'wieght'; did you mean 'weight'. Its settings are: joint_batch, weight, "
        r"sleep, mismatch",
    ):
        registry.look_up("kept(wieght=1.0)", {"kept": Kept}, "game")
    with pytest.raises(TypeError, match="critic"):
        ALI(*given[:2])  # type: ignore[call-arg]
    assert hash(game) != hash(Kept(*parts()))  # a module is itself alone


def test_copies_are_whole() -> None:
    game = ALICE(*parts(), cycle=3.0)
    game.data = dataclasses.replace(game.data, shape=(2,))
    buffer = io.BytesIO()
    torch.save(game, buffer)
    buffer.seek(0)
    x = torch.rand(4, 2)
    for other in (copy.deepcopy(game), pickle.loads(pickle.dumps(game)), torch.load(buffer, weights_only=False)):
        assert other is not game
        assert (other.cycle, other.data) == (3.0, game.data)
        losses = []
        for one in (game, other):
            torch.manual_seed(1)
            losses.append(one(x).losses["generator"])
        assert torch.equal(*losses)
    assert ALICE.cycle == 1.0  # the default stands


def test_a_default_that_can_change_is_refused() -> None:
    with pytest.raises(ValueError, match="mutable default"):
        module_dataclass(type("Loose", (ALI,), {"__annotations__": {"turns": dict}, "turns": {}}))


def test_every_text_is_of_a_game_or_a_capability_and_has_no_gap_but_the_latents() -> None:
    assert set(TEXTS["games"]) <= set(REGISTRY.built_in)  # a game may hold its texts in its class too
    assert list(TEXTS["capabilities"]) == [one.__name__ for one in CAPABILITIES]
    for kind in REGISTRY.built_in.values():
        described = facts(kind)
        assert described["teaches"]
        assert "{" not in "".join(described[key] for key in ("teaches", "judged", "reading")).replace("{latent}", "")
