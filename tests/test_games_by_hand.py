"""Games of a few numbers each: what every player is charged, where it is charged, and who is told what, worked out by hand.

Nothing here is computed by the code under test: scores are literals put through log(1 + exp(s)), networks are formulas, and
gradients are those of formulas that are written out again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from interalia import tasks
from interalia.adversarial.penalties import Penalty
from interalia.conditionals import Chain, Conditional, Deterministic, Gaussian, Prior, StandardNormal, Uniform
from interalia.games import (
    ALI,
    HALI,
    REGISTRY,
    VAEGAN,
    AdversarialALICE,
    Game,
    JointLatentRegressor,
    LatentRegressor,
    PostHocALI,
    SemiALI,
)  # fmt: skip
from interalia.games.regressor import Distance
from interalia.learning import dynamics
from interalia.networks.layers import PairCritic
from interalia.spaces import DataSpec

CONDITIONAL = {name: kind for name, kind in REGISTRY.items() if kind.feeds.conditional}


def rows(*values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def cost(*scores: float) -> float:
    """mean[softplus(s)]"""
    return sum(math.log1p(math.exp(score)) for score in scores) / len(scores)


class By(nn.Module):
    """A network that is a formula."""

    def __init__(self, formula: Callable[..., Tensor]) -> None:
        super().__init__()
        self.formula = formula
        self.place = nn.Parameter(torch.zeros(()))  # not used: by a parameter, tasks know where a game lives

    def forward(self, *c: Tensor) -> Tensor:
        return self.formula(*c)


def infers(kind: type[Game]) -> bool:
    return any("encoder" in moved for moved in kind.players.values())


def standard(count: int, size: int) -> Tensor:
    """What a Gaussian conditional or a standard normal prior draws next."""
    return torch.randn(count, size, dtype=torch.float64)


def gradients(game: Game, seed: int, x: Tensor, *players: str) -> dict[str, list[Tensor | None]]:
    """What one look leaves on each network, and on no other."""
    game.zero_grad()
    optimizers = {player: torch.optim.SGD(game.parameters_of(player), lr=0.1) for player in game.players}
    torch.manual_seed(seed)
    dynamics.Simultaneous(game, optimizers).gradients(iter([(x,)]), *players)
    return {name: [p.grad for p in network.parameters()] for name, network in game.named_children()}


# --- ALI, the same after the fact, and HALI -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ALI, PostHocALI, HALI])
def test_alis_losses_at_four_scores(kind: type[Game]) -> None:
    nothing = Deterministic(nn.Identity())
    parts = (Chain(nothing, nothing),) * 2 if kind is HALI else (nothing,) * 2
    game = kind(*parts, By(lambda *c: sum(part[:, 0] for part in c)), StandardNormal(1))  # type: ignore[call-arg]
    more = (rows([0.25], [0.25]),) if kind is HALI else ()
    q = (rows([1.0], [0.0]), rows([1.0], [-0.5]), *more)
    p = (rows([0.5], [-2.0]), rows([-1.0], [1.0]), *more)
    third = 0.25 if more else 0.0
    on_q, on_p = (2.0 + third, -0.5 + third), (-0.5 + third, -1.0 + third)
    losses = game.losses({"q": q, "p": p}).losses
    other = "encoder" if kind is PostHocALI else "generator"
    assert losses["critic"].item() == pytest.approx(cost(*(-s for s in on_q)) + cost(*on_p), abs=1e-12)
    assert losses[other].item() == pytest.approx(cost(*on_q) + cost(*(-s for s in on_p)), abs=1e-12)


@pytest.mark.parametrize("cycle", [0.0, 2.0])
def test_hali_hands_the_z1_that_the_critic_sees_to_the_next_level(cycle: float) -> None:
    """An identity passes its input on, so what comes out of the second level is the very draw of the first."""
    torch.manual_seed(0)
    wide, identity = Gaussian(nn.Linear(2, 4)), Deterministic(nn.Identity())
    down = Gaussian(nn.Linear(2, 4))
    critic = By(lambda x, z1, z2: x[:, 0] + z1[:, 0] + z2[:, 0])
    x = torch.randn(6, 2)
    stochastic_first = HALI(Chain(wide, identity), Chain(down, identity), critic, StandardNormal(2), cycle=cycle)
    joints = stochastic_first.sample(x)
    (seen, z1_hat, z2_hat), (x_tilde, z1_tilde, z2) = joints["q"], joints["p"]
    assert seen is x
    assert torch.equal(z2_hat, z1_hat)
    assert torch.equal(x_tilde, z1_tilde)
    for drawn, given in ((z1_hat, wide(x)), (z1_tilde, down(z2))):
        assert not torch.isclose(drawn, given.mean).any()  # the level is stochastic indeed
    assert ("cycle" in joints) == (cycle > 0)
    if cycle:
        x_hat, same = joints["cycle"]
        assert same is x
        assert torch.equal(x_hat, z1_hat)
    stochastic_second = HALI(Chain(identity, wide), Chain(identity, down), critic, StandardNormal(2), cycle=cycle)
    joints = stochastic_second.sample(x)
    assert torch.equal(joints["q"][1], x)
    assert torch.equal(joints["p"][1], joints["p"][2])


def test_halis_round_trip_is_charged_to_the_generator_alone() -> None:
    identity = Deterministic(nn.Identity())
    critic = By(lambda x, z1, z2: x[:, 0] + z1[:, 0] + z2[:, 0])
    game = HALI(Chain(identity, identity), Chain(identity, identity), critic, StandardNormal(1), cycle=3.0)
    joint = (rows([1.0], [0.0]),) * 3
    losses = game.losses({"q": joint, "p": joint, "cycle": (rows([1.0], [4.0]), rows([2.0], [1.0]))}).losses
    assert losses["critic"].item() == pytest.approx(cost(-3, 0) + cost(3, 0), abs=1e-12)
    assert losses["generator"].item() == pytest.approx(cost(3, 0) + cost(-3, 0) + 3 * (1 + 9) / 2, abs=1e-12)


# --- labels ---------------------------------------------------------------------------------------------------------


def label(y: Tensor) -> Tensor:
    """The label of each row, as a column."""
    return y @ torch.arange(y.shape[1], dtype=y.dtype)[:, None]


def told_by_label(kind: type[Game], **settings: float) -> Game:
    """z^ = x + 10 label,  x~ = 2 z + 100 label,  s = x_1 label (+ z_2)."""
    encoder = Deterministic(By(lambda x, y: x + 10 * label(y)))
    decoder = Deterministic(By(lambda z, y: 2 * z + 100 * label(y)))
    critic = By(lambda x, *c: x[:, 0] * label(c[-1])[:, 0] + sum(part[:, 1] for part in c[:-1]))
    parts = (encoder, decoder) if infers(kind) else (decoder,)
    game = kind(*parts, critic, StandardNormal(2), **settings)  # type: ignore[call-arg]
    game.data = DataSpec((2,), 3)
    return game


LABELS = torch.tensor([0, 1, 2, 2, 1])
X = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [-2.0, 0.0], [0.25, 4.0]])


@pytest.mark.parametrize("joint_batch", [True, False])
@pytest.mark.parametrize("name", CONDITIONAL)
def test_every_network_sees_the_label_of_its_own_row(name: str, joint_batch: bool) -> None:
    kind = CONDITIONAL[name]
    game = told_by_label(kind, joint_batch=joint_batch, **({"cycle_z": 1.0} if name == "alice" else {}))
    y, k = torch.eye(3)[LABELS], LABELS[:, None].float()
    torch.manual_seed(0)
    joints = game.sample(X, y)
    torch.manual_seed(0)
    z = torch.randn(5, 2)
    z_hat, x_tilde = X + 10 * k, 2 * z + 100 * k
    expected = {
        "q": (X, z_hat, y),
        "p": (x_tilde, z, y),
        "cycle": (2 * z_hat + 100 * k, X),
        "cycle_z": (x_tilde + 10 * k, z),
        "data": (X, y),
        "model": (x_tilde, y),
    }
    assert {"q", "p"} <= set(joints) or {"data", "model"} <= set(joints)
    for key, joint in joints.items():
        for found, by_hand in zip(joint, expected[key], strict=True):
            torch.testing.assert_close(found, by_hand)
    for key, scores in game.losses(joints).scores.items():
        x, *latents, _ = expected[key]
        torch.testing.assert_close(scores, x[:, 0] * k[:, 0] + sum(part[:, 1] for part in latents))


@pytest.mark.parametrize("name", [name for name, kind in CONDITIONAL.items() if infers(kind)])
def test_every_task_tells_the_label_of_its_own_row(name: str) -> None:
    game = told_by_label(CONDITIONAL[name])
    k = LABELS[:, None].float()
    z_hat = X + 10 * k
    torch.testing.assert_close(tasks.encode(game, X, y=LABELS), z_hat)
    torch.testing.assert_close(tasks.decode(game, X, y=LABELS), 2 * X + 100 * k)
    torch.testing.assert_close(tasks.reconstruct(game, X, y=LABELS), 2 * z_hat + 100 * k)
    wanted = LABELS.roll(1)
    torch.testing.assert_close(tasks.edit(game, X, LABELS, wanted), 2 * z_hat + 100 * wanted[:, None].float())
    for column, block in enumerate(tasks.single_edits(game, X, LABELS).unbind(1)):
        torch.testing.assert_close(block, 2 * z_hat + 100.0 * column)
    way = tasks.interpolate(game, X, X.roll(1, 0), steps=3, y=(LABELS, wanted))
    torch.testing.assert_close(way[:, 0], 2 * z_hat + 100 * k)
    torch.testing.assert_close(way[:, 1], z_hat + z_hat.roll(1, 0) + 50 * (k + k.roll(1, 0)))
    torch.testing.assert_close(way[:, 2], (2 * z_hat + 100 * k).roll(1, 0))


@pytest.mark.parametrize("name", CONDITIONAL)
def test_projection_undoes_the_decoder_of_each_rows_own_label(name: str) -> None:
    game = told_by_label(CONDITIONAL[name])
    z = X / 4
    x = 2 * z + 100 * LABELS[:, None]
    start = torch.zeros(5, 2) if infers(CONDITIONAL[name]) else None
    found = tasks.project(game, x, refine_steps=300, refine_lr=0.1, start=start, y=LABELS)
    torch.testing.assert_close(found, z, atol=1e-2, rtol=0)
    if start is None:  # it begins at the nearest of 64 draws, decoded with each row's own label
        draws = torch.stack([tasks.sample_latents(game, 5, seed) for seed in range(64)])
        nearest = draws[(draws - z).norm(dim=2).argmin(0), torch.arange(5)]
        torch.testing.assert_close(tasks.project(game, x, refine_steps=0, y=LABELS), nearest)


# --- ALICE whose round trip is judged --------------------------------------------------------------------------------


class Told(Penalty):
    """A charge that tells which critic was given which joints: mean[s(p)] + 10 mean[s(q)]."""

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        return critic(*p).mean() + 10 * critic(*q).mean()


@pytest.mark.parametrize("charged", [False, True])
def test_adversarial_alice_by_hand(charged: bool) -> None:
    nothing = Deterministic(nn.Identity())
    critic, cycle_critic = By(lambda x, z: (x + z)[:, 0]), By(lambda x, other: (2 * x - other)[:, 0])
    penalty = Told() if charged else None
    game = AdversarialALICE(
        nothing, nothing, critic, StandardNormal(1), cycle_critic=cycle_critic, penalty=penalty, weight=3.0
    )
    x = rows([1.0], [-0.5])
    joints = {
        "q": (x, rows([1.0], [0.0])),  # s = 2, -0.5
        "p": (rows([0.0], [1.0]), rows([-1.0], [0.5])),  # s = -1, 1.5
        "same": (x, x),  # t = 1, -0.5
        "cycle": (x, rows([2.0], [1.0])),  # t = 0, -2
    }
    found = game.losses(joints)
    critic_loss = cost(-2, 0.5) + cost(-1, 1.5) + 3 * (cost(-1, 0.5) + cost(0, -2))
    generator_loss = cost(2, -0.5) + cost(1, -1.5) + 3 * (cost(1, -0.5) + cost(0, 2))
    if charged:  # 0.75 and 0.25 are the mean scores of q and p, 0.25 and -1 those of the pairs
        critic_loss += 0.75 + 10 * 0.25 + 3 * (0.25 + 10 * -1)
    assert found.losses["critic"].item() == pytest.approx(critic_loss, abs=1e-12)
    assert found.losses["generator"].item() == pytest.approx(generator_loss, abs=1e-12)
    by_hand = {"q": [2, -0.5], "p": [-1, 1.5], "same": [1, -0.5], "cycle": [0, -2]}
    assert {key: scores.tolist() for key, scores in found.scores.items()} == by_hand


def test_adversarial_alices_pairs_are_x_with_itself_and_with_its_own_round_trip() -> None:
    encoder, decoder = Deterministic(By(lambda x: 2 * x + 1)), Deterministic(By(lambda z: 3 * z))
    game = AdversarialALICE(encoder, decoder, nn.Identity(), StandardNormal(2), cycle_critic=nn.Identity())
    torch.manual_seed(0)
    joints = game.sample(X)
    torch.manual_seed(0)
    z = torch.randn(5, 2)
    expected = {"q": (X, 2 * X + 1), "p": (3 * z, z), "same": (X, X), "cycle": (X, 6 * X + 3)}
    assert set(joints) == set(expected)
    for key, joint in joints.items():
        for found, by_hand in zip(joint, expected[key], strict=True):
            torch.testing.assert_close(found, by_hand)


# --- latent regressors ----------------------------------------------------------------------------------------------

Z = rows([0.5, -0.5], [1.0, -1.0])
X_TILDE = rows([0.3, 0.0], [0.25, 0.0])  # of which E(x) = 2 x misses z by 0.1, 0.5, -0.5 and 1
E2 = math.exp(2)
MISSED = [
    ("deterministic", "auto", (0.01 + 0.25 + 0.25 + 1) / 4),
    ("deterministic", "mse", (0.01 + 0.25 + 0.25 + 1) / 4),
    ("deterministic", "l1", (0.1 + 0.5 + 0.5 + 1) / 4),
    # probabilities 0.8, 1/2, 3/4, 1/2 for the targets 3/4, 1/4, 1 and 0
    (
        "deterministic",
        "cross-entropy",
        -(0.75 * math.log(0.8) + 0.25 * math.log(0.2) + math.log(0.5) + math.log(0.75) + math.log(0.5)) / 4,
    ),
    # sigma = 1 and 1 / e: the squares over sigma^2, log sigma and log 2 pi, a dimension
    ("gaussian", "auto", ((0.01 + 0.25 * E2 + 0.25 + E2) / 4 - 1 + math.log(2 * math.pi)) / 2),
    ("gaussian", "mse", (0.01 + 0.25 + 0.25 + 1) / 4),
    ("gaussian", "l1", (0.1 + 0.5 + 0.5 + 1) / 4),
]


def regressing(kind: str) -> Conditional:
    """E(x) = 2 x, or N(2 x, diag(1, 1 / e)^2)."""
    if kind == "deterministic":
        return Deterministic(By(lambda x: 2 * x))
    return Gaussian(By(lambda x: torch.cat([2 * x, torch.tensor([[0.0, -1.0]]).to(x).expand_as(x)], dim=1)))


@pytest.mark.parametrize(("encoder", "distance", "expected"), MISSED)
def test_what_a_latent_regressor_is_charged_for(encoder: str, distance: Distance, expected: float) -> None:
    prior: Prior = Uniform(2) if distance == "cross-entropy" else StandardNormal(2)
    game = LatentRegressor(regressing(encoder), Deterministic(nn.Identity()), prior, distance)
    losses = game.losses({"model": (X_TILDE, Z)}).losses
    assert set(losses) == {"regressor"}
    assert losses["regressor"].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("encoder", "distance", "expected"), MISSED)
def test_what_a_generator_with_a_regressor_beside_it_is_charged_for(
    encoder: str, distance: Distance, expected: float
) -> None:
    prior: Prior = Uniform(2) if distance == "cross-entropy" else StandardNormal(2)
    critic = By(lambda x: 4 * x[:, 0] - 1)
    game = JointLatentRegressor(
        Deterministic(nn.Identity()), critic, prior, encoder=regressing(encoder), weight=0.5, distance=distance
    )
    joints = {"data": (rows([1.0, 0.0], [0.0, 0.0]),), "model": (X_TILDE,), "latent": (X_TILDE, Z)}
    losses = game.losses(joints).losses  # the scores are 3 and -1 of the data, 0.2 and 0 of the samples
    assert set(losses) == {"critic", "generator", "regressor"}
    assert losses["critic"].item() == pytest.approx(cost(-3, 1) + cost(0.2, 0), abs=1e-12)
    assert losses["generator"].item() == pytest.approx(cost(3, -1) + cost(-0.2, 0) + 0.5 * expected, abs=1e-12)
    assert losses["regressor"].item() == pytest.approx(expected, abs=1e-12)


def test_the_generator_is_held_to_what_the_regressor_misses_and_the_critic_is_not() -> None:
    torch.manual_seed(0)
    e, g, c = nn.Linear(3, 4).double(), nn.Linear(2, 3).double(), nn.Linear(3, 1).double()
    game = JointLatentRegressor(
        Deterministic(g), PairCritic(c), StandardNormal(2).double(), encoder=Gaussian(e), weight=0.5
    )
    x = torch.randn(7, 3).double()
    torch.manual_seed(5)
    z = standard(7, 2)
    x_tilde = z @ g.weight.t() + g.bias
    mu, log_sigma = (x_tilde @ e.weight.t() + e.bias).chunk(2, dim=1)
    lost = (((z - mu) / log_sigma.exp()).square() / 2 + log_sigma + math.log(2 * math.pi) / 2).mean()
    data, model = ((of @ c.weight.t() + c.bias).flatten() for of in (x, x_tilde))
    charged = {
        "encoder": (lost, e),
        "decoder": (softplus(-model).mean() + 0.5 * lost, g),
        "critic": (softplus(-data).mean() + softplus(model).mean(), c),
    }
    expected = {
        name: torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
        for name, (loss, network) in charged.items()
    }
    found = gradients(game, 5, x, *game.players)
    for name, by_hand in expected.items():
        for ours, theirs in zip(found[name], by_hand, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)


# --- VAE/GAN --------------------------------------------------------------------------------------------------------


def linear(weight: Sequence[Sequence[float]], bias: Sequence[float]) -> nn.Linear:
    weights = rows(*weight)
    made = nn.Linear(weights.shape[1], weights.shape[0]).double()
    made.weight.data, made.bias.data = weights, torch.tensor(bias, dtype=torch.float64)
    return made


def test_vae_gans_losses_at_two_images() -> None:
    critic = PairCritic(linear([[1.0]], [-3.0]), linear([[2.0]], [0.0]))  # f(x) = 2 x, s = f(x) - 3
    game = VAEGAN(
        Gaussian(nn.Identity()), Deterministic(nn.Identity()), critic, StandardNormal(2), feature=3.0, gamma=0.5
    )
    joints = {
        "data": (rows([1.0], [3.0]),),  # f = 2, 6;  s = -1, 3
        "reconstruction": (rows([2.0], [2.5]),),  # f = 4, 5;  s = 1, 2
        "model": (rows([0.0], [1.0]),),  # f = 0, 2;  s = -3, -1
        "posterior": (rows([0.0, 1.0], [2.0, 0.0]), rows([1.0, 1.0], [1.0, math.e])),
    }
    lost = (2**2 + 1**2) / 2 / 2  # the mean over two images of half the squared distance
    kl = (0 + 1 / 2 + 2 + (math.e**2 - 1) / 2 - 1) / 2  # the sum over dimensions, the mean over images
    losses = game.losses(joints).losses
    assert set(losses) == {"encoder", "decoder", "critic"}
    assert losses["encoder"].item() == pytest.approx(kl + 3 * lost, abs=1e-12)
    fooled = cost(-1, 3) + (cost(-1, -2) + cost(3, 1)) / 2  # the data's own term moves nobody
    assert losses["decoder"].item() == pytest.approx(0.5 * lost + fooled, abs=1e-12)
    assert losses["critic"].item() == pytest.approx(cost(1, -3) + (cost(1, 2) + cost(-3, -1)) / 2, abs=1e-12)


def test_vae_gans_losses_reach_the_networks_that_algorithm_1_lets_them_reach() -> None:
    """theta_Enc <- KL + d, theta_Dec <- gamma d + GAN's, theta_Dis <- GAN's; no arrow more."""
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(3, 4).double(), nn.Linear(2, 3).double()
    features, judge = nn.Linear(3, 5).double(), nn.Linear(5, 1).double()
    game = VAEGAN(
        Gaussian(encoder),
        Deterministic(decoder),
        PairCritic(judge, features),
        StandardNormal(2).double(),
        feature=3.0,
        gamma=0.5,
    )
    x = torch.randn(7, 3).double()

    torch.manual_seed(5)
    eps, z = standard(7, 2), standard(7, 2)
    mu, log_sigma = (x @ encoder.weight.t() + encoder.bias).chunk(2, dim=1)
    z_hat = mu + log_sigma.exp() * eps
    x_hat, x_tilde = (latents @ decoder.weight.t() + decoder.bias for latents in (z_hat, z))
    f, f_hat, f_tilde = (images @ features.weight.t() + features.bias for images in (x, x_hat, x_tilde))
    s, s_hat, s_tilde = ((of @ judge.weight.t() + judge.bias).flatten() for of in (f, f_hat, f_tilde))
    prior = ((mu.square() + (2 * log_sigma).exp() - 1) / 2 - log_sigma).sum(1).mean()
    lost = (f_hat - f).square().sum(1).mean() / 2
    won = -(1 - s_hat.sigmoid()).log().mean() / 2 - (1 - s_tilde.sigmoid()).log().mean() / 2 - s.sigmoid().log().mean()
    fooled = -(s_hat.sigmoid().log().mean() + s_tilde.sigmoid().log().mean()) / 2
    by_hand = {
        "encoder": torch.autograd.grad(prior + 3 * lost, list(encoder.parameters()), retain_graph=True),
        "decoder": torch.autograd.grad(0.5 * lost + fooled, list(decoder.parameters()), retain_graph=True),
        "critic": torch.autograd.grad(won, [*judge.parameters(), *features.parameters()]),
    }
    for count in (1, 2, 3):
        for players in itertools.combinations(game.players, count):
            found = gradients(game, 5, x, *players)
            for name, expected in by_hand.items():
                for ours, theirs in zip(found[name], expected, strict=True):
                    if name in players:
                        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)
                    else:
                        assert ours is None, f"{name} is reached by {players}"
    before = gradients(game, 5, x, *game.players)
    judge.weight.data *= -7  # another opinion on the same features
    after = gradients(game, 5, x, *game.players)
    for ours, theirs in zip(after["encoder"], before["encoder"], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)
    assert not torch.allclose(after["decoder"][0], before["decoder"][0])  # type: ignore[arg-type]


# --- semi-supervised ALI --------------------------------------------------------------------------------------------


class Logits(nn.Module):
    """l_1 = 3 x_1 + 4 x_2 + z,  l_2 = 0."""

    classes = 2

    def logits(self, x: Tensor, z: Tensor) -> Tensor:
        first = x @ torch.tensor([[3.0], [4.0]], dtype=x.dtype) + z
        return torch.cat([first, torch.zeros_like(first)], dim=1)


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


@pytest.mark.parametrize("vat", [0.0, 5.0])
def test_the_k_plus_1_losses_at_logits_by_hand(vat: float) -> None:
    """With l_1 = a and l_2 = 0 the three classes have the probabilities (e^a, 1, 1) / (e^a + 2), the last one: decoded."""
    game = SemiALI(
        Deterministic(nn.Identity()),
        Deterministic(nn.Identity()),
        Logits(),
        StandardNormal(1),
        label_weight=0.5,
        cycle=2.0,
        vat=vat,
        radius=0.2,
    )
    joints = {
        "q": (rows([0.0, 0.0], [0.1, 0.2]), rows([0.0], [-0.8])),  # l_1 = 0 and 0.3
        "p": (rows([0.2, 0.0], [0.0, -0.5]), rows([0.0], [1.0])),  # l_1 = 0.6 and -1
        "labeled": (rows([1.0, 0.0], [0.0, 0.0]), rows([-1.0], [0.5]), rows([1.0, 0.0], [0.0, 1.0])),  # 2 and 0.5
        "cycle": (rows([1.0, 0.0]), rows([0.0, 3.0])),
    }
    decoded_q, decoded_p = ([1 / (math.exp(a) + 2) for a in of] for of in ((0.0, 0.3), (0.6, -1.0)))
    critic = -sum(math.log(1 - share) for share in decoded_q) / 2 - sum(map(math.log, decoded_p)) / 2
    critic += 0.5 * -(math.log(sigmoid(2.0)) + math.log(sigmoid(-0.5))) / 2
    generator = -sum(map(math.log, decoded_q)) / 2 - sum(math.log(1 - share) for share in decoded_p) / 2
    generator += 2 * (1 + 9) / 2
    torch.manual_seed(5)
    found = game.losses(joints).losses
    # only 3 r_1 + 4 r_2 counts, so the worst r is 0.2 (0.6, 0.8) up to its sign, that of the r from which it starts, and
    # moves l_1 by 0.2 * 5 = 1
    torch.manual_seed(5)
    signs = torch.sign(standard(2, 2) @ rows([3.0], [4.0])).flatten().tolist()
    moved = 0.0
    for a, sign in zip((0.0, 0.3), signs, strict=True):
        p, q = sigmoid(a), sigmoid(a + sign)
        moved += (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))) / 2
    assert found["critic"].item() == pytest.approx(critic + vat * moved, abs=1e-9)
    assert found["generator"].item() == pytest.approx(generator, abs=1e-9)
    game.eval()  # an evaluation charges nothing for it
    assert game.losses(joints).losses["critic"].item() == pytest.approx(critic, abs=1e-9)
