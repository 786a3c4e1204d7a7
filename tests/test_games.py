"""Games: the laws that hold for every game under every dynamics, and ALI's and its relatives' losses by hand."""

from __future__ import annotations

import copy
import functools
import itertools
import re

import pytest
import torch
from examples import CONV, FLAT, able, asked, batch, build, every_third, playable, seen, shape_for
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import softplus
from torch.optim import SGD

from interalia import registry
from interalia.adversarial import divergences
from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.errors import UserError
from interalia.games import ALI, ALICE, GAN, REGISTRY, Game
from interalia.games.capabilities import HasLikelihood, Infers
from interalia.games.feeds import PartlyLabeled
from interalia.games.needs import Chain, Pretrained, critics, example_needs
from interalia.learning import dynamics
from interalia.networks import REGISTRY as NETWORKS
from interalia.networks.layers import PairCritic
from interalia.networks.mlp import MLP

DYNAMICS = list(dynamics.REGISTRY)
# divergences in which every parameter counts: the others do not change when a constant is added to all scores
DIVERGENCES = ["gan", "least-squares", "pearson", "reverse-kl"]
MOVES = [
    (name, key) for name in DYNAMICS for key in (DIVERGENCES if name in ("simultaneous", "alternating") else ["gan"])
]
SHAPES = {"flat": FLAT, "conv": CONV}
ALL_DIVERGENCES = list(divergences.REGISTRY)
CONDITIONAL = [name for name, member in REGISTRY.items() if member.feeds.conditional]
INFERRING = [name for name, member in REGISTRY.items() if issubclass(member, Infers)]
PAIRS = [
    name
    for name in INFERRING
    if seen(REGISTRY[name]) >= {"x", "z"} and not issubclass(REGISTRY[name].feeds, PartlyLabeled)
]


def batch_of(shape: tuple[int, ...], double: bool = True) -> Tensor:
    x = torch.rand(16, *shape, generator=torch.Generator().manual_seed(1))
    return x.double() if double else x


@functools.cache
def in_one_stage(game: str) -> bool:
    """Whether a game can be trained in one stage; it says itself where it cannot."""
    made = build(game)
    said = asked(lambda: flow("one-stage", made).step(itertools.repeat(batch(made))))
    assert not isinstance(said, str) or "cannot be trained in one stage" in said
    return not isinstance(said, str)


def flow(name: str, game: Game, rate: float = 0.05) -> dynamics.Dynamics:
    optimizers = {player: SGD(game.parameters_of(player), lr=rate) for player in game.players}
    return registry.make(name, dynamics.REGISTRY, "dynamics", game, optimizers)


@pytest.mark.parametrize(("game", "move", "shape"), every_third(REGISTRY, MOVES, SHAPES))
def test_every_parameter_of_every_player_moves(game: str, move: tuple[str, str], shape: str) -> None:
    name, divergence = move
    if not playable(game, divergence):
        pytest.skip("refused, see below")
    made = build(game, SHAPES[shape], divergence=divergence)
    before = copy.deepcopy(dict(made.named_parameters()))
    rate = 1e-4 if isinstance(made, HasLikelihood) else 0.01  # which is narrow, and its gradients large
    if name == "one-stage" and not in_one_stage(game):
        return
    moves = flow(name, made, rate)
    for _ in range(2):
        outcome = moves.step(itertools.repeat(batch(made)))
        assert set(outcome.losses) == set(made.players)
        assert all(bool(loss.isfinite()) for loss in outcome.losses.values())
    for key, parameter in made.named_parameters():
        if key.split(".")[0] in made.pretrained:
            continue
        assert not torch.equal(parameter, before[key]), f"{key} did not move"
        assert bool(parameter.isfinite().all()), key
        assert parameter.requires_grad, f"{key} stayed frozen"
        assert parameter.grad is None, f"{key} keeps a gradient"


@pytest.mark.parametrize(
    ("game", "divergence", "penalty"),
    every_third(
        sorted(REGISTRY),
        [*DIVERGENCES, "relativistic", "wasserstein", "hinge", "jeffrey"],
        ["none", "r1r2"],
    ),
)
def test_one_stage_is_simultaneous(game: str, divergence: str, penalty: str) -> None:
    if not in_one_stage(game):
        assert game not in PAIRS
        return
    if not playable(game, divergence):
        pytest.skip("refused, see below")
    ends = []
    for name in ("simultaneous", "one-stage"):
        made = build(game, divergence=divergence, penalty=penalty)
        moves = flow(name, made, 0.01)
        torch.manual_seed(3)
        for step in range(3):
            made.set_progress(step, 3)
            moves.step(itertools.repeat(batch(made)))
        ends.append(torch.cat([p.detach().flatten() for p in made.parameters()]))
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("game", "divergence", "penalty"),
    every_third(REGISTRY, [*DIVERGENCES, "relativistic", "wasserstein"], ["none", "r1r2", "wgan-gp"]),
)
def test_each_loss_reaches_its_own_player_and_nobody_else(game: str, divergence: str, penalty: str) -> None:
    if not playable(game, divergence):
        with pytest.raises(UserError, match="from the critic's score"):
            build(game, divergence=divergence, penalty=penalty)
        return
    made = build(game, divergence=divergence, penalty=penalty)
    fresh = copy.deepcopy(made)  # a pool of past samples changes with every look
    torch.manual_seed(2)
    losses = made(*batch(made)).losses
    by_hand = {
        player: torch.autograd.grad(
            losses[player], made.parameters_of(player), retain_graph=True, materialize_grads=True
        )
        for player in made.players
    }
    for players in (list(made.players), *([player] for player in made.players)):
        other = copy.deepcopy(fresh)
        torch.manual_seed(2)
        flow("simultaneous", other).gradients(iter([batch(made)]), *players)
        for player in made.players:
            for parameter, gradient in zip(other.parameters_of(player), by_hand[player], strict=True):
                if player not in players:
                    assert parameter.grad is None
                elif parameter.grad is None:  # the loss does not depend on it
                    assert not gradient.any()
                else:
                    torch.testing.assert_close(parameter.grad, gradient, atol=1e-12, rtol=1e-10)


def roles(kind: type[Game]) -> set[str]:
    """The methods of a family that the networks of a game take."""
    needs = [need for need in example_needs(kind).values() if not isinstance(need, Pretrained)]
    parts = [part for need in needs for part in ((need.first, need.second) if isinstance(need, Chain) else (need,))]
    return {part.spec.role for part in parts}


# made as the other convolutions of the paper are, and many times as large
LARGE = {name for name in NETWORKS if shape_for(name)[-1] > 32}
# in the default suite ALI plays with all, and every game with a third of those that are not so large
COMBINED = [
    pytest.param(
        game, name, marks=[] if game == "ali" or ((i + j) % 3 == 0 and name not in LARGE) else [pytest.mark.long]
    )
    for i, game in enumerate(REGISTRY)
    for j, name in enumerate(NETWORKS)
]


@pytest.mark.parametrize(("game", "networks"), COMBINED)
def test_every_game_plays_with_all_networks_that_fit(game: str, networks: str) -> None:
    shape = shape_for(networks)
    fields = {"latent_dim": 8} if networks == "draw" else {}  # a latent for each glimpse
    kind = REGISTRY[game]
    lacking = [role for role in roles(kind) if not able(networks, role)]
    made = asked(lambda: build(game, shape, double=False, networks=networks, **fields))
    if isinstance(made, str):
        assert networks != "auto"
        assert re.match(rf"the networks '{networks}' have no |{kind.__name__} needs a critic ", made)
        assert "`networks`" in made
        return
    assert not lacking
    moves = flow("simultaneous", made, rate=1e-3)
    outcome = moves.step(iter([batch(made, 2)]))
    assert all(bool(loss.isfinite()) for loss in outcome.losses.values())


@pytest.mark.parametrize("encoder", ["gaussian", "deterministic", "implicit(noise=2)"])
@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
@pytest.mark.parametrize("game", INFERRING)
def test_every_game_that_infers_plays_with_all_encoders(game: str, shape: tuple[int, ...], encoder: str) -> None:
    made = asked(lambda: build(game, shape, encoder=encoder))
    if isinstance(made, str):
        assert game not in PAIRS
        assert re.search("`encoder[`=]", made)
        return
    outcome = flow("simultaneous", made).step(iter([batch(made)]))
    assert all(bool(loss.isfinite()) for loss in outcome.losses.values())


@pytest.mark.parametrize("game", REGISTRY)
def test_players_share_nothing_and_leave_nothing_out(game: str) -> None:
    made = build(game)
    moved = [id(p) for player in made.players for p in made.parameters_of(player)]
    assert len(moved) == len(set(moved))
    fixed = {id(p) for name in made.pretrained for p in getattr(made, name).parameters()}
    assert set(moved) == {id(p) for p in made.parameters()} - fixed
    assert not fixed & set(moved)


@pytest.mark.parametrize("game", REGISTRY)
def test_only_freezes_the_others_and_thaws_them(game: str) -> None:
    made = build(game)
    one, *others = made.players
    last = others[-1] if others else one
    moving = [p for player in made.players for p in made.parameters_of(player)]
    pinned = made.parameters_of(one)[0].requires_grad_(False)  # somebody's own choice is kept
    with made.only(last):
        for player in made.players:
            assert all(p.requires_grad == (player == last) for p in made.parameters_of(player) if p is not pinned)
    assert all(p.requires_grad for p in moving if p is not pinned)
    assert not pinned.requires_grad
    pinned.requires_grad_(True)
    with pytest.raises(ZeroDivisionError), made.only(last):
        raise ZeroDivisionError
    assert all(p.requires_grad for p in moving)


@pytest.mark.parametrize("game", REGISTRY)
def test_an_unknown_player_is_explained(game: str) -> None:
    made = build(game)
    with pytest.raises(UserError) as caught:
        made.parameters_of("judge")
    assert str(caught.value) == (
        f"`player` names 'judge', which is not a player of {type(made).__name__}; "
        f"its players are {' and '.join(repr(player) for player in made.players)}."
    )


@pytest.mark.parametrize("game", REGISTRY)
def test_one_pass_of_the_critic_judges_all_joints(game: str) -> None:
    made = build(game)
    if (
        list(made.players.get("critic", ())) != ["critic"]
        or len(made.score_pairs(made(*batch(made)))) != 1
        or (getattr(made.critic, "classes", 0))
    ):
        pytest.skip("has no critic, or more than one, or one that judges labelled pairs beside")
    sizes: list[int] = []
    eye = getattr(made.critic, "trunk", made.critic)  # InfoGAN asks its critic for more than the score
    eye.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    outcome = made(*batch(made))
    assert sizes == [16 * len(outcome.scores)]
    assert all(scores.shape == (16,) for scores in outcome.scores.values())


def test_alis_losses_are_algorithm_1() -> None:
    game = build("ali")
    assert isinstance(game, ALI)
    x = batch_of(SHAPES["flat"])
    joints = game.sample(x)
    (_, z_hat), (x_tilde, z) = joints["q"], joints["p"]
    assert joints["q"][0] is x
    outcome = game.losses(joints)
    rho_q = game.critic(x, z_hat)
    rho_p = game.critic(x_tilde, z)
    critic = (torch.log1p(torch.exp(-rho_q)) + torch.log1p(torch.exp(rho_p))).mean()
    generator = (torch.log1p(torch.exp(rho_q)) + torch.log1p(torch.exp(-rho_p))).mean()
    torch.testing.assert_close(outcome.losses["critic"], critic, atol=1e-12, rtol=0)
    torch.testing.assert_close(outcome.losses["generator"], generator, atol=1e-12, rtol=0)
    torch.testing.assert_close(outcome.scores["q"], rho_q, atol=1e-12, rtol=0)
    torch.testing.assert_close(outcome.scores["p"], rho_p, atol=1e-12, rtol=0)


def test_ali_samples_the_joints_of_algorithm_1() -> None:
    game = build("ali", double=False).eval()  # batch norm by its population statistics: each sample on its own
    x = torch.rand(1, 1, 4, 4).expand(20_000, 1, 4, 4)
    (_, z_hat), (x_tilde, z) = game.sample(x).values()
    mu, log_sigma = game.encoder.network(x[:1]).chunk(2, dim=1)
    assert Normal(0, 1).cdf((z_hat - mu) / log_sigma.exp()).mean(0).sub(0.5).abs().max() < 0.01  # z^ ~ q(z | x)
    assert ((z_hat - mu) / log_sigma.exp()).std(0).sub(1).abs().max() < 0.03
    assert z.mean(0).abs().max() < 0.03  # z ~ p(z)
    assert z.std(0).sub(1).abs().max() < 0.03
    torch.testing.assert_close(x_tilde, game.decoder.network(z))  # x~ = G(z)
    assert torch.corrcoef(torch.cat([z, z_hat], dim=1).t()).triu(1).abs().max() < 0.05  # drawn independently


def test_bigan_is_ali_with_dirac_conditionals() -> None:
    class Certain(nn.Module):
        """[f(x), log sigma] with sigma = 0."""

        def __init__(self, f: nn.Module) -> None:
            super().__init__()
            self.f = f

        def forward(self, x: Tensor) -> Tensor:
            mu: Tensor = self.f(x)
            return torch.cat([mu, torch.full_like(mu, -torch.inf)], dim=1)

    torch.manual_seed(0)
    f, g, critic = MLP(2, 3, width=8), MLP(3, 2, width=8), PairCritic(MLP(5, 1, width=8))
    bigan = ALI(Deterministic(f), Deterministic(g), critic, StandardNormal(3))
    ali = ALI(Gaussian(Certain(f)), Deterministic(g), critic, StandardNormal(3))
    x = torch.randn(16, 2)
    outcomes = []
    for game in (bigan, ali):
        torch.manual_seed(1)
        outcomes.append(game(x))
    for player in bigan.players:
        torch.testing.assert_close(outcomes[0].losses[player], outcomes[1].losses[player], atol=1e-7, rtol=0)
    torch.manual_seed(1)
    z = torch.randn(16, 3)
    q, p = critic(x, f(x)), critic(g(z), z)  # V(D, E, G), with both players' non-saturating losses
    torch.testing.assert_close(outcomes[0].losses["critic"], (softplus(-q) + softplus(p)).mean())
    torch.testing.assert_close(outcomes[0].losses["generator"], (softplus(q) + softplus(-p)).mean())


def test_gans_losses_are_the_original_ones() -> None:
    game = build("gan", double=False)
    assert isinstance(game, GAN)
    assert not hasattr(game, "encoder")
    x = batch_of(SHAPES["flat"], double=False)
    torch.manual_seed(1)
    outcome = game(x)
    torch.manual_seed(1)
    x_tilde = game.decoder.network(torch.randn(16, 3))
    d, d_tilde = torch.sigmoid(game.critic(x)), torch.sigmoid(game.critic(x_tilde))
    torch.testing.assert_close(outcome.losses["critic"], -(d.log() + (1 - d_tilde).log()).mean())
    gradients = torch.autograd.grad(outcome.losses["generator"], game.parameters_of("generator"))
    expected = torch.autograd.grad(-d_tilde.log().mean(), game.parameters_of("generator"))
    for gradient, by_hand in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, by_hand, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("distance", ["mse", "l1"])
def test_alice_is_ali_and_a_round_trip(distance: str) -> None:
    game = build(f"alice(cycle=3.0, distance={distance!r})", double=False)
    assert isinstance(game, ALICE)
    x = batch_of(SHAPES["flat"], double=False)
    joints = game.sample(x)
    outcome = game.losses(joints)
    ali = ALI.losses(game, joints)  # type: ignore[arg-type]
    torch.testing.assert_close(outcome.losses["critic"], ali.losses["critic"])
    x_hat = joints["cycle"][0]
    lost = (x - x_hat).square().mean() if distance == "mse" else (x - x_hat).abs().mean()
    torch.testing.assert_close(outcome.losses["generator"], ali.losses["generator"] + 3 * lost)
    game.cycle = 0.0
    torch.testing.assert_close(game.losses(joints).losses["generator"], ali.losses["generator"])


def test_alices_round_trip_goes_through_both_networks() -> None:
    game = build("alice", double=False).eval()
    x = batch_of(SHAPES["flat"], double=False)
    joints = game.sample(x)
    (_, z_hat), (x_hat, same) = joints["q"], joints["cycle"]
    assert torch.equal(same, x)
    torch.testing.assert_close(x_hat, game.decoder.network(z_hat))
    lost = (x - x_hat).square().mean()
    for network in (game.encoder, game.decoder):
        gradients = torch.autograd.grad(lost, list(network.parameters()), retain_graph=True)
        assert all(bool(gradient.any()) for gradient in gradients)


@pytest.mark.parametrize("game", REGISTRY)
def test_equal_seeds_give_equal_outcomes(game: str) -> None:
    outcomes = []
    for _ in range(2):
        made = build(game)
        torch.manual_seed(5)
        outcomes.append(made(*batch(made)).losses)
    for player, loss in outcomes[0].items():
        assert torch.equal(loss, outcomes[1][player])


def test_a_conditional_game_is_fed_labels() -> None:
    for name in CONDITIONAL:
        made = build(name, labels=3)
        x, y = batch(made)
        joints = made.sample(x, y)
        for key, joint in joints.items():
            assert key == "cycle" or joint[-1] is y  # decoder and critic are told the same labels
        before = made(x, y).losses["critic"]
        assert made(x, y.flip(0)).losses["critic"] != before
        flow("simultaneous", made).step(iter([(x, y)]))
    for name in set(REGISTRY) - set(CONDITIONAL):
        with pytest.raises(UserError, match="cannot be conditioned on labels"):
            build(name, labels=3)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("game", REGISTRY)
def test_every_divergence_is_played(game: str, shape: tuple[int, ...]) -> None:
    for divergence in ALL_DIVERGENCES if shape == FLAT else ALL_DIVERGENCES[list(REGISTRY).index(game) % 3 :: 3]:
        if not playable(game, divergence):
            continue
        made = build(game, shape, divergence=divergence)
        outcome = flow("simultaneous", made, rate=1e-3).step(iter([batch(made)]))
        assert all(bool(loss.isfinite()) for loss in outcome.losses.values()), divergence
        if divergence == "bigbigan" and game in PAIRS and len(critics(REGISTRY[game])) == 1:
            assert all(scores.shape == (16, 3) for scores in outcome.scores.values())  # of x, of z, of the pair


def test_networks_with_one_score_are_refused_to_three_heads() -> None:
    with pytest.raises(
        UserError, match="have no critic with separate scores of x, z and the pair; choose other `networks`"
    ):
        build("ali", (2,), networks="ali-mixture", divergence="bigbigan")


@pytest.mark.parametrize("game", ["ali", "alice", "gan", "infogan"])
def test_a_pass_each_is_one_pass_where_nothing_couples_the_samples(game: str) -> None:
    outcomes = []
    for together in (True, False):
        made = build(f"{game}(joint_batch={together})")  # the critics of `auto` have no batch norm
        torch.manual_seed(3)
        outcomes.append(made(*batch(made)).losses)
    for player, loss in outcomes[0].items():
        torch.testing.assert_close(loss, outcomes[1][player], atol=1e-12, rtol=1e-12)


def test_in_a_pass_of_its_own_a_joint_has_a_batch_norm_of_its_own() -> None:
    made = build("ali(joint_batch=False)", (1, 8, 8), networks="bigan-mlp", double=False)
    x, z = torch.rand(8, 1, 8, 8), torch.randn(8, 3)
    (alone,) = made.score(made.critic, (x, z))
    beside, _ = made.score(made.critic, (x, z), (100 * x, z))
    torch.testing.assert_close(alone, beside)
    made.joint_batch = True
    mixed, _ = made.score(made.critic, (x, z), (100 * x, z))
    assert not torch.allclose(alone, mixed, atol=1e-2)
