"""Building: no unused parameters, one player for every parameter, and errors for missing networks and features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import examples
import pytest
import torch
from torch import Tensor, nn

from interalia import games, networks
from interalia.conditionals import CONDITIONALS, PRIORS, Deterministic, Gaussian, Implicit, StandardNormal
from interalia.errors import UserError
from interalia.games import ALI, REGISTRY, Game, building
from interalia.games.needs import Chain, Decoder, Encoder, Needs, Pretrained, Setup, critics, example_needs
from interalia.networks import REGISTRY as FAMILIES
from interalia.networks import Critic, Family, Map
from interalia.networks.family import FEATURES, output_activation
from interalia.networks.layers import HalfTanh, PackedCritic, PartialSoftmax, Sigmoid
from interalia.registry import Registry
from interalia.runs import Run, loading
from interalia.runs.folder import export
from interalia.spaces import DataSpec, Space

X, Z, Y = Space("x", (1, 8, 8), "unit"), Space("z", (8,)), Space("y", (3,))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[nn.Parameter]:
    """All parameters that are created during the test."""
    found: list[nn.Parameter] = []
    new = nn.Parameter.__new__

    def counted(cls: Any, data: Tensor | None = None, requires_grad: bool = True) -> nn.Parameter:
        found.append(new(cls, data, requires_grad))
        return found[-1]

    monkeypatch.setattr(nn.Parameter, "__new__", staticmethod(counted))
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("game", REGISTRY)
def test_no_parameter_is_made_for_nothing(game: str, family: str, made: list[nn.Parameter]) -> None:
    kind = REGISTRY[game]
    shape = examples.shape_for(family)
    fields = {"latent_dim": 8, **examples.fields_for(kind)} | ({"latent_dim": 8} if family == "draw" else {})
    run = Run(game=game, networks=family).replace(**fields)
    data = DataSpec(shape, classes=3, other=shape)
    given = {
        name: Deterministic(nn.Identity()) for name, need in example_needs(kind).items() if isinstance(need, Pretrained)
    }
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pretrained, "check", lambda *_: None)
        found = examples.asked(lambda: building.build(run, data, pretrained=given))
    if isinstance(found, str):
        assert family != "auto"
        assert "networks" in found
        return
    kept = {id(parameter) for parameter in found.parameters()}
    assert {id(parameter) for parameter in made} == kept


@pytest.mark.parametrize("pack", [1, 2])
def test_no_parameter_is_made_for_a_critic_of_one_where_it_sees_two(pack: int, made: list[nn.Parameter]) -> None:
    found = building.build(Run(latent_dim=5, pack=pack, batch_size=8, networks="auto(width=2)"), DataSpec((1, 16, 16)))
    assert sum(p.numel() for p in made) == sum(p.numel() for p in found.parameters())
    assert isinstance(found.critic, PackedCritic) == (pack == 2)


# spaces, conditionals and priors


def test_what_a_network_ends_in_follows_from_the_space() -> None:
    assert [type(end) for end in output_activation(X)] == [Sigmoid]
    assert output_activation(Z) == output_activation(Y) == []
    assert [type(end) for end in output_activation(Space("z", (8,), "ball", category=3))] == [HalfTanh, PartialSoftmax]
    assert (X.times(2).shape, Z.times(3).shape) == ((2, 8, 8), (24,))
    assert Space("z", (8,), "ball", 3).numbers(16) == Space("z", (16,))


@pytest.mark.parametrize("name", CONDITIONALS)
def test_a_conditional_asks_for_a_map(name: str) -> None:
    kind = CONDITIONALS[name]
    z = Space("z", (8,), "ball")
    net = kind.required_map((X, Y), z)
    assert net.inputs == (X, Y)
    if kind in (Deterministic, Implicit):  # whose network returns z itself
        assert net == Map((X, Y), z, noise=2 if kind is Implicit else 0)
        assert kind.required_map((X,), Space("z", (8,), category=3)).output.category == 3
        return
    assert (net.noise, net.glimpses) == (0, name == "recurrent")
    if name != "recurrent":
        assert net.output == Space("z", (8 * kind.params_per_dim_for(),))
        with pytest.raises(UserError, match=rf"{kind.__name__} returns no probabilities of a category.*`encoder`"):
            kind.required_map((X,), Space("z", (8,), category=3))


def test_settings_of_a_conditional_change_what_it_asks_for() -> None:
    assert CONDITIONALS["planar"].required_map((X,), Z, flows=4).output.size == 11 * 8
    assert CONDITIONALS["basis-noise"].required_map((X,), Z, basis=5).output.size == 6 * 8
    assert CONDITIONALS["implicit"].required_map((X,), Z, noise=7).size == 64 + 7


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_says_where_z_lives(name: str) -> None:
    prior = PRIORS[name](14)
    z = prior.sample((200,))
    assert prior.space.shape == z.shape[1:]
    assert prior.space.support == ("ball" if bool((z.abs() <= 1).all()) else "real")


# families

WANTED: dict[str, Map | Critic] = {
    "labels": Map((X, Y), Z),
    "noise": Map((X,), Z, noise=2),
    "classes": Critic((X, Z), classes=3),
    "code_outputs": Critic((X,), code_outputs=2),
    "terms": Critic((X, Z), terms=True),
    "two": Critic((X, X)),
    "projection": Critic((X, Y), projection=True),
}


def on(family: str, need: Map | Critic) -> Map | Critic:
    """The specification, for x of a shape that the family supports."""
    shape = examples.shape_for(family)
    x = Space("x", shape, "unit" if len(shape) == 3 else "real")
    if isinstance(need, Critic):
        return Critic(**{**vars(need), "inputs": tuple(x if space == X else space for space in need.inputs)})
    return Map(tuple(x if space == X else space for space in need.inputs), need.output, need.noise)


@pytest.mark.parametrize("demand", FEATURES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_what_it_says_and_refuses_the_rest_by_name(family: str, demand: str) -> None:
    assert set(WANTED) == set(FEATURES)
    need = on(family, WANTED[demand])
    assert need.required_features == (["labels", demand] if demand == "projection" else [demand])
    made = FAMILIES[family]()
    missing = [feature for feature in need.required_features if feature not in made.supports]
    if missing:
        with pytest.raises(
            UserError, match=rf"'{family}' have no {FEATURES[missing[0]]}; choose other `networks`, such as auto"
        ):
            made.make(need)
    elif examples.able(family, need.role):
        with torch.device("meta"):
            assert isinstance(made.make(need), nn.Module)


class Narrow(Family):
    """A custom family, with networks for a GAN of vectors."""

    name = "narrow"

    def decoder(self, net: Map) -> nn.Module:
        return nn.Linear(net.size, net.output.size)

    def critic(self, need: Critic) -> nn.Module:
        return nn.Sequential(nn.Linear(need.inputs[0].size + need.extra_size, 1), nn.Flatten(0))


class Single(Family):
    """A family without a name."""


def test_a_custom_family_needs_only_the_methods_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "REGISTRY", Registry("networks", {**FAMILIES, "narrow": Narrow}))
    gan = building.build(Run(game="gan", latent_dim=3, networks="narrow"), DataSpec((5,)))
    assert [tuple(p.shape) for p in gan.parameters()] == [(5, 3), (5,), (1, 5), (1,)]
    with pytest.raises(
        UserError, match=r"^the networks 'narrow' have no encoder; choose other `networks`, such as auto\.$"
    ):
        building.build(Run(latent_dim=3, networks="narrow"), DataSpec((5,)))
    with pytest.raises(UserError, match="'narrow' have no input for labels"):
        building.build(Run(game="gan", latent_dim=3, networks="narrow"), DataSpec((5,), condition=2))
    with pytest.raises(UserError, match=r"'Single' have no critic of \(x, z\)"):
        Single().make(Critic((X, Z)))


@pytest.mark.parametrize("labels", [0, 3])
def test_an_implicit_encoder_of_images_is_convolutional_and_so_is_everything_else(labels: int) -> None:
    torch.manual_seed(0)
    data = DataSpec((1, 16, 24), condition=labels)
    implicit = building.build(Run(encoder="implicit(noise=5)", latent_dim=4, networks="auto(width=2)"), data)
    gaussian = building.build(Run(latent_dim=4, networks="auto(width=2)"), data)

    def convolutions(game: Game) -> list[int]:
        return [sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in part.modules()) for part in (
            game.encoder, game.decoder, game.critic
        )]  # fmt: skip

    assert convolutions(implicit) == convolutions(gaussian) == [2, 2, 2]
    x, y = torch.rand(1, 1, 16, 24), torch.eye(3)[:1]
    told = (x, y) if labels else (x,)
    encoder = implicit.encoder.eval()
    assert encoder(*told).rsample().shape == (1, 4)
    assert not torch.equal(encoder(*told).rsample(), encoder(*told).rsample())
    assert torch.equal(encoder(*told).mean, encoder(*told).mean)
    features = encoder.network.x(x)
    eps = torch.randn(1, 5)
    joined = torch.cat([part.flatten(1) for part in (*told, eps)], dim=1)
    by_hand = encoder.network.head(encoder.network.body(torch.cat([features, *told[1:], eps], dim=1)))
    assert torch.equal(encoder.network(joined), by_hand)
    assert encoder.hidden(*told).shape[0] == 1


def test_weights_of_fully_connected_networks_that_auto_once_gave_an_implicit_encoder(tmp_path: Path) -> None:
    run = Run(encoder="implicit(noise=5)", latent_dim=4, networks="mlp(width=16, unary=True)")
    game = building.build(run, DataSpec((1, 16, 24))).eval()
    export(game, run.replace(networks="auto(width=2, unary=True)"), 7, tmp_path / "old.safetensors")
    trained = loading.load(tmp_path / "old.safetensors")
    x = torch.rand(3, 1, 16, 24)
    assert torch.equal(trained.game.encoder(x).mean, game.encoder(x).mean)
    assert trained.run.networks == "auto(width=2, unary=True)"
    new = building.build(trained.run, DataSpec((1, 16, 24))).eval()
    export(new, trained.run, 7, tmp_path / "new.safetensors")
    found = loading.load(tmp_path / "new.safetensors").game
    assert torch.equal(found.encoder(x).mean, new.encoder(x).mean)


def test_a_trained_generator_says_nothing_of_the_networks_beside_it() -> None:
    """It may be convolutional where auto once gave fully connected networks to an implicit encoder that infers for it."""
    data = DataSpec((1, 16, 24))
    run = Run(game="posthoc-ali", encoder="implicit(noise=5)", latent_dim=4, networks="mlp(width=16, unary=True)")
    decoder = building.build(Run(latent_dim=4, networks="auto(width=2)"), data).decoder
    old = building.build(run, data, pretrained={"decoder": decoder})
    auto = run.replace(networks="auto(width=2, unary=True)")
    assert loading.as_trained(auto, old.state_dict(), data.shape) == run
    new = building.build(auto, data, pretrained={"decoder": decoder})
    assert loading.as_trained(auto, new.state_dict(), data.shape) == auto
    assert loading.as_trained(auto, old.state_dict(), (2, 384)) == auto  # older versions had images alone
    assert loading.as_trained(auto, {}, data.shape) == auto


# games


class Pair(ALI):
    """ALI with a custom network, and with the needs that a test sets."""

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {**super().needs(s, **settings), "critic": Own(s.x.size + s.z.size)}  # type: ignore[dict-item]


class Own:
    """A specification that builds its network itself."""

    def __init__(self, size: int) -> None:
        self.size = size

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        return Sums(nn.Linear(self.size, 1))

    def wrap(self, network: nn.Module) -> nn.Module:
        return network


class Sums(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        score: Tensor = self.linear(torch.cat([x.flatten(1), z], dim=1)).flatten()
        return score


class Idle(ALI):
    """A game whose encoder has no player."""

    players = {"generator": ["decoder"], "critic": ["critic"]}


class Silent(ALI):
    """A game that declares no needs."""

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {}


class Twice(ALI):
    """A game whose decoder has two players."""

    players = {"generator": ["encoder", "decoder"], "critic": ["critic", "decoder"]}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {kind.__name__.lower(): kind for kind in (Pair, Idle, Silent, Twice)}
    monkeypatch.setattr(games, "REGISTRY", Registry("games", {**REGISTRY, **kinds}))


@pytest.mark.usefixtures("own")
def test_a_game_of_ones_own_may_make_a_network_itself() -> None:
    game = building.build(Run(game="pair", latent_dim=3, networks="bigan-mlp(width=8)"), DataSpec((5,)))
    assert isinstance(game.critic, Sums)
    assert set(game(torch.rand(4, 5)).losses) == {"critic", "generator"}


@pytest.mark.usefixtures("own")
def test_every_parameter_has_one_player() -> None:
    data = DataSpec((5,))
    with pytest.raises(
        UserError, match=r"^no player of Idle trains encoder\.[\w.]+; name its network among `players`\.$"
    ):
        building.build(Run(game="idle", latent_dim=3), data)
    with pytest.raises(
        UserError, match=r"^two players of Twice train decoder\.[\w.]+; name its network in one .* only\.$"
    ):
        building.build(Run(game="twice", latent_dim=3), data)
    with pytest.raises(
        UserError, match=r"^ALI does not train its prior.*choose another `prior`, such as mixture or normal"
    ):
        building.build(Run(latent_dim=3, prior="learned"), data)


def test_what_is_given_is_asked_for_and_what_is_asked_for_is_given() -> None:
    data, decoder = DataSpec((5,)), Deterministic(nn.Linear(3, 5))
    game = building.build(Run(game="posthoc-ali", latent_dim=3), data, pretrained={"decoder": decoder})
    assert game.decoder is decoder
    with pytest.raises(UserError, match="trains an encoder for a pretrained generator; give as `pretrained_generator`"):
        building.build(Run(game="posthoc-ali", latent_dim=3), data)
    with pytest.raises(UserError, match="ALI takes no pretrained decoder"):
        building.build(Run(latent_dim=3), data, pretrained={"decoder": decoder})


def test_levels_have_networks_of_their_own_names_and_start_narrow() -> None:
    data, run = DataSpec((5,)), Run(game="hali(lower=4)", latent_dim=3, networks="mlp(width=8)")
    game: Any = building.build(run, data)
    widths = [
        game.encoder.first,
        game.decoder.first,
    ]  # log sigma of the level between; the mean's bias is as it is drawn
    for conditional in widths:
        bias = [p for n, p in conditional.named_parameters() if n.endswith("bias")][-1]
        assert bias[4:].tolist() == [-2.0] * 4
        assert not (bias[:4] == -2.0).any()
    names = r"encoder, upper_encoder, upper_decoder, decoder, critic"
    with pytest.raises(
        UserError, match=rf"`spectral_norm` names 'generator', and the networks of this run are: {names}"
    ):
        building.build(run.replace(spectral_norm="generator"), data)
    normed: Any = building.build(run.replace(spectral_norm="encoder"), data)
    keys = {key for key in normed.state_dict() if "parametrizations" in key}
    assert keys
    assert all(key.startswith("encoder.first.") for key in keys)  # which touches x
    refused = run.replace(game="hali(lower=0)")
    with pytest.raises(UserError, match="`lower` is 0, and the lower level needs 1 dimension or more"):
        building.build(refused, data)


def test_terms_are_wanted_apart_where_a_critic_sees_several_variables() -> None:
    from interalia.adversarial.divergences import GAN
    from interalia.adversarial.divergences import REGISTRY as DIVERGENCES

    for divergence, apart in ((GAN(), False), (DIVERGENCES["bigbigan"](), True)):
        s = Setup(X, StandardNormal(8), (Y,), divergence=divergence)
        assert s.critic(X, Z).terms is apart
        assert s.critic(X, Z).inputs == (X, Z, Y)
        assert not any(need.terms for need in (s.critic(X), s.critic(Z, Z), s.critic(X, X), s.critic(X, Z, classes=3)))


def test_needs_of_kinds_without_data() -> None:
    for kind in REGISTRY.values():
        for name, need in example_needs(kind).items():
            assert isinstance(need, Encoder | Decoder | Chain | Map | Pretrained | Critic), name
    assert [critic.names for critic in critics(ALI)] == ["(x, z)"]

    class Python(ALI):
        """A game that is built in Python only."""

        @classmethod
        def needs(cls, s: Setup, **settings: Any) -> Needs:
            return {}

    assert critics(Python) == []
    assert Gaussian.params_per_dim == 2


@pytest.mark.parametrize(
    ("networks", "game", "shape", "std"),
    [
        ("cyclegan(width=8)", "cyclegan", (3, 32, 32), 0.02),
        ("auto(width=8)", "cyclegan", (3, 32, 32), 0.02),  # as the paper's, in small
        ("auto(width=8)", "cyclegan", (40,), None),
        ("auto(width=8)", "gan", (3, 32, 32), None),
        ("ali-mixture", "ali", (2,), 0.02),
        ("ali-mixture(norm=False)", "ali", (2,), None),
        ("bigan-mlp(width=64)", "ali", (1, 8, 8), 0.02),
        ("bigan-mlp(width=64)", "aae", (1, 8, 8), 0.02),  # the critic of z too, which all families share
        ("infogan(width=16)", "gan", (1, 8, 8), 0.02),
        ("ali-svhn", "gan", (3, 32, 32), 0.01),
    ],
)
def test_initial_weights_are_the_familys(networks: str, game: str, shape: tuple[int, ...], std: float | None) -> None:
    torch.manual_seed(0)
    domain = shape if game == "cyclegan" else None
    made = building.build(Run(game=game, networks=networks, latent_dim=32), DataSpec(shape, other=domain))
    found = [
        m.weight
        for m in made.modules()
        if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and m.weight.numel() > 500
    ]
    assert len(found) > 2
    alike = [float(weight.detach().std()) == pytest.approx(std or 0.02, rel=0.15) for weight in found]
    assert all(alike) if std else not any(alike)
