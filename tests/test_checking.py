"""`check` of custom parts: sound ones pass, and each fault is found by its check."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugged import as_before
from program import interalia
from torch import Tensor

from interalia import registry
from interalia.adversarial import divergences, penalties
from interalia.data import REGISTRY as DATA
from interalia.errors import UserError
from interalia.games import ALI, GAN, REGISTRY, VAE, Game, Outcome
from interalia.learning.dynamics import Consensus
from interalia.learning.optimizers import Schedule
from interalia.metrics import Evidence, metric
from interalia.runs import FROM_PYTHON, Run
from interalia.training import checking, engine
from interalia.training.checking import Check, check

OWN = "each loss reaches its own player alone"
RESUMED = "saved and resumed, equal to the bit"
BUILDS = "builds on the networks auto"


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A few families, dynamics and games, so that it is quick."""
    for kind in registry.KINDS:
        registry.registry(kind)  # whose modules need all games when they are imported
    for kind, names in (
        ("networks", ("auto", "ali-28", "cyclegan", "mlp")),
        ("dynamics", ("simultaneous", "alternating", "one-stage", "auto")),
        ("games", ("ali", "alice", "vae", "infogan")),
    ):
        entries = registry.registry(kind)
        monkeypatch.setattr(entries, "built_in", {name: entries.built_in[name] for name in names})
    monkeypatch.setattr(checking, "SHAPES", ((1, 8, 8), (1, 28, 28)))
    with as_before():
        yield


class Mine(ALI):
    """An ALI of my own."""


def found(part: object, **fields: Any) -> dict[str, tuple[str, str]]:
    return {one.name: (one.outcome, one.detail) for one in check(part, **fields)}


def failures(part: object, **fields: Any) -> dict[str, str]:
    return {one.name: one.detail for one in check(part, **fields) if one.outcome == "failed"}


def test_a_sound_game_passes_every_check() -> None:
    result = found(Mine, latent_dim=2)
    assert result.pop("builds on the networks cyclegan")[0] == "refused"  # by name, which is no fault of the game
    words = result.pop("builds on the networks ali-28")
    assert words == ("ok", "data of shape (1, 28, 28)")
    assert {outcome for outcome, _ in result.values()} == {"ok"}
    assert list(result) == [
        "description", BUILDS, "builds on the networks mlp", OWN,
        "5 steps, simultaneous", "5 steps, alternating", "5 steps, one-stage", "5 steps, auto", RESUMED,
    ]  # fmt: skip
    assert result["description"] == ("ok", "An ALI of my own.")
    assert "Mine" not in REGISTRY  # it was an entry while it was checked


class Shared(ALI):
    """Two players have its decoder."""

    players = {"generator": ["encoder", "decoder"], "critic": ["critic", "decoder"]}


class Left(ALI):
    """No player has its decoder."""

    players = {"generator": ["encoder"], "critic": ["critic"]}


class Cut(ALI):
    """The generator's loss does not reach it."""

    def sample(self, *batch: Tensor) -> dict[str, tuple[Tensor, ...]]:
        return {name: tuple(part.detach() for part in parts) for name, parts in super().sample(*batch).items()}


class Still(ALI):
    """The critic's loss is a number."""

    def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
        outcome = super().losses(joints)
        return Outcome({**outcome.losses, "critic": outcome.losses["critic"].detach()}, outcome.scores)


class Several(ALI):
    """The critic's loss is one number a sample."""

    def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
        outcome = super().losses(joints)
        return Outcome({**outcome.losses, "critic": outcome.losses["critic"].expand(8)}, outcome.scores)


class Nameless(ALI):
    """A loss of a player that does not exist."""

    def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
        outcome = super().losses(joints)
        return Outcome({**outcome.losses, "judge": outcome.losses["critic"]}, outcome.scores)


class Backward(ALI):
    """Computes gradients itself."""

    def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
        outcome = super().losses(joints)
        outcome.losses["critic"].backward(retain_graph=True)
        return outcome


class Infinite(ALI):
    """Its generator's loss is infinite."""

    def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
        outcome = super().losses(joints)
        return Outcome({**outcome.losses, "generator": outcome.losses["generator"] / 0}, outcome.scores)


class Foreign(ALI):
    """Draws random numbers from a state that no checkpoint has."""

    def sample(self, x: Tensor, *rest: Tensor) -> dict[str, tuple[Tensor, ...]]:
        return super().sample(x + random.random() / 100, *rest)


class Undescribed(ALI):
    __doc__ = None


@pytest.mark.parametrize(
    ("game", "name", "words"),
    [
        (Cut, OWN, "the loss of 'generator' has no gradient in the networks encoder, decoder"),
        (Still, OWN, "the loss of 'critic' is of shape (), and must be a scalar with a gradient"),
        (Several, OWN, "the loss of 'critic' is of shape (8,), and must be a scalar"),
        (Nameless, OWN, "there are losses of critic, generator, judge, and the players are generator, critic"),
        (Backward, OWN, "`sample` or `losses` computes gradients itself; leave `backward` to the dynamics"),
        (Infinite, "5 steps, simultaneous", "the loss of the player 'generator' is "),
        (Foreign, RESUMED, "differs from a training that was not interrupted"),
        (Undescribed, "description", "there is none; write a docstring"),
    ],
)
def test_a_fault_is_found(game: type[Game], name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    families = registry.registry("networks")
    monkeypatch.setattr(families, "built_in", {key: families.built_in[key] for key in ("auto", "mlp")})
    assert words in failures(game)[name]


@pytest.mark.parametrize(
    "fields", [{"dynamics": "one-stage"}, {"dynamics": "consensus"}, {"grad_accumulation": 2}], ids=str
)
def test_gradients_of_a_sound_game_pass_with_every_dynamics(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One-stage and consensus dynamics set the gradients of all players at once, which is no fault of the game."""
    schemes = registry.registry("dynamics")
    monkeypatch.setattr(schemes, "built_in", {**schemes.built_in, "consensus": Consensus})
    run = Run(name="check", data=FROM_PYTHON, latent_dim=4, batch_size=8, device="cpu", steps=5).replace(**fields)
    checking.check_gradients(engine.prepare(run, dataset=checking.random_data((1, 8, 8))))


def test_gradients_of_a_faulty_game_fail_with_every_dynamics() -> None:
    assert "has no gradient in the networks" in failures(Cut, dynamics="one-stage")[OWN]


class Odd(ALI):
    """Needs what no family has."""

    def __init__(self, encoder: Any, decoder: Any, critic: Any, prior: Any, odd: Any) -> None:
        super().__init__(encoder, decoder, critic, prior)


@pytest.mark.parametrize(
    ("game", "words"),
    [
        (Shared, "name its network in one of them only"),
        (Left, "; name its network among `players`"),
        (Odd, "odd"),
    ],
)
def test_a_game_that_builds_nowhere_fails(game: type[Game], words: str) -> None:
    result = found(game)
    assert result["builds"] == ("failed", "no family of networks makes a game of it; see above")
    assert result[BUILDS][0] == "refused"
    assert words in result[BUILDS][1]
    assert list(result)[-1] == "builds"


def half(factor: float = 0.5) -> Schedule:
    """Half the rate, all the time."""
    return lambda t: factor


def test_other_parts_are_tried_with_every_game_that_takes_them() -> None:
    class Steep(divergences.KL):
        """A KL of my own."""

    for part, kind, games in (
        (Steep, None, ["ali", "alice", "infogan"]),  # the VAE has no divergence
        (penalties.R1, None, ["ali", "alice", "infogan"]),
        (half, "schedules", ["ali", "alice", "vae", "infogan"]),
    ):
        result = found(part, kind=kind)
        assert [name.removeprefix("5 steps, ") for name in result if "steps" in name] == games
        assert result.pop("5 steps, infogan")[0] == "refused"  # it needs codes
        assert {outcome for outcome, _ in result.values()} == {"ok"}
    result = found(Steep, prior="codes(categorical=[2], uniform=1)")
    assert result["5 steps, infogan"][0] == "ok"


def test_settings_are_those_that_are_given() -> None:
    class Rising(penalties.R1):
        """Fails with a great gamma alone."""

        def penalize(self, *args: Any) -> Tensor:
            return super().penalize(*args) * (float("nan") if self.gamma > 5 else 1.0)

    assert not failures(Rising)
    assert "is nan" in failures(Rising, arguments={"gamma": 6.0})["5 steps, ali"]
    with pytest.raises(UserError, match=r"has no setting .gama.; did you mean .gamma.\?"):
        check(Rising, arguments={"gama": 6.0})


def test_data_and_recipes() -> None:
    result = found(DATA["digits"])
    assert result["loads"] == ("ok", "1,297 train, 200 validation, 300 test, shape (1, 8, 8), 10 labels")
    assert {one.outcome for one in check(DATA["digits"])} <= {"ok", "refused"}
    from interalia.runs.recipes import REGISTRY as RECIPES

    assert found(RECIPES["ali-digits"], kind="recipes")["its run"] == ("ok", "ali-digits")


def test_a_metric_is_taken_of_every_game_that_has_what_it_needs() -> None:
    @metric("lower")
    def gap(e: Evidence) -> float:
        """How far the mean of samples is from the mean of the data."""
        return float((e.samples.mean() - e.x.mean()).abs())

    @metric()
    def luck(e: Evidence) -> float:
        """Another number at each evaluation."""
        return random.random()

    @metric()
    def nothing(e: Evidence) -> float:
        """No number."""
        return float("nan")

    result = found(gap)
    assert [(name, outcome) for name, (outcome, _) in result.items() if name != "description"] == [
        ("of ali", "ok"), ("of alice", "ok"), ("of vae", "ok"), ("of infogan", "refused"),
    ]  # fmt: skip
    assert "for the same game and seed" in failures(luck)["of ali"]
    assert failures(nothing)["of ali"] == "it is nan"


@pytest.mark.parametrize(
    ("part", "kind", "words"),
    [
        (lambda: None, None, r"could be one of: .*; give `kind`\.$"),
        (3, None, "is no part of a run; give a class, a function or an object that could be an entry"),
        (VAE, "divergences", "and the divergences are derived from"),
        (GAN, "experiments", "no entry of the experiments is checked here; it can be one of: "),
    ],
)
def test_what_cannot_be_checked_is_said(part: object, kind: str | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check(part, kind)


SOURCE = '''
from interalia.games import ALI
class Mine(ALI):
    """An ALI of my own."""
class Left(ALI):
    """No player has its decoder."""
    players = {"generator": ["encoder"], "critic": ["critic"]}
class Outer:
    Mine = Mine
'''


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_module.py").write_text(SOURCE)
    assert interalia("check", "my_module:Mine") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok       description: An ALI of my own."
    assert lines[-1] == f"ok       {RESUMED}"
    assert interalia("check", "my_module.py:Left") == 1
    assert "failed   builds: no family of networks makes a game of it; see above" in capsys.readouterr().out
    assert interalia("check", "schedules:constant(warmup=0.5)") == 0
    capsys.readouterr()
    for words, said in (
        (("my_module",), "give the module and the name in it, such as my_module:MyGame"),
        (("my_module:Nothing",), "there is nothing of the name Nothing in my_module; check the spelling."),
        (("nowhere:Mine",), "there is no module nowhere to plug in"),
        (("divergences:jefrey",), "there is no entry of the divergences 'jefrey'; did you mean 'jeffrey'?"),
        (("my_module:Mine", "--kind", "gamez"), "there is no kind 'gamez'; did you mean 'games'?"),
        (("my_module:Mine(a=)",), "cannot be read"),
    ):
        assert interalia("check", *words) == 2
        assert said in capsys.readouterr().err


def test_a_check_is_one_line() -> None:
    assert str(Check("a", "ok")) == "ok       a"
    assert str(Check("a", "refused", "why")) == "refused  a: why"
