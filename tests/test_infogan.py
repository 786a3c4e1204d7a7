"""InfoGAN end to end: codes, the bound and its ceiling, GAN as its special case, networks, tasks, measures, the page."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import examples
import numpy as np
import pytest
import torch
from examples import build
from torch import Tensor, nn
from torch.distributions import Normal

from interalia import conditionals, metrics, papers, registry, reports, tasks
from interalia.adversarial.disturbances import affine
from interalia.cli import main
from interalia.conditionals import Codes, Deterministic, StandardNormal
from interalia.errors import UserError
from interalia.games import GAN, InfoGAN
from interalia.learning import dynamics
from interalia.metrics.codes import code_bounds, code_error, matching, mutual_information
from interalia.networks.layers import PairCritic, Recognizer
from interalia.networks.mlp import MLP
from interalia.reports import plots
from interalia.runs import building, recipes
from interalia.training import engine

KINDS = [
    {"categorical": (10,), "uniform": 2},
    {"categorical": [], "uniform": 1, "gaussian": 1},
    {"categorical": (2, 5), "uniform": 0, "gaussian": 0},
    {"categorical": (3,), "uniform": 1, "gaussian": 2, "noise": "uniform", "std": 0.5},
]


def made(prior: Codes, d: int = 6, **settings: float) -> InfoGAN:
    torch.manual_seed(0)
    critic = Recognizer(MLP(d, 16, width=16), nn.Linear(16, 1), nn.Linear(16, prior.code_outputs))
    return InfoGAN(Deterministic(MLP(prior.size, d, width=16)), critic, prior, **settings)


# codes


@pytest.mark.parametrize("kinds", KINDS)
def test_codes_are_drawn_from_what_they_say(kinds: dict[str, object]) -> None:
    prior = Codes(20, **kinds)  # type: ignore[arg-type]
    torch.manual_seed(0)
    z = prior.sample((100, 300))
    assert z.shape == (100, 300, 20)
    noise, *codes = prior.split(z.flatten(0, 1))
    assert noise.shape[1] == 20 - prior.code_outputs
    assert noise.mean(0).abs().max() < 0.03
    assert (noise.var(0) - (1 if prior.noise == "normal" else 1 / 3)).abs().max() < 0.03
    count = len(prior.categorical)
    for code, k in zip(codes, prior.categorical, strict=False):
        assert bool((code.sum(1) == 1).all())
        assert set(code.unique().tolist()) == {0, 1}
        assert (code.mean(0) - 1 / k).abs().max() < 0.015
    for code in codes[count : count + prior.uniform]:
        assert -1 <= code.min() < -0.999
        assert 0.999 < code.max() <= 1
        assert abs(code.var() - 1 / 3) < 0.01
    for code in codes[count + prior.uniform :]:
        assert abs(code.mean()) < 0.03
        assert abs(code.var() - 1) < 0.03
    across = torch.corrcoef(torch.cat([noise, *[code[:, :1] for code in codes]], dim=1).t())
    assert across.triu(1).abs().max() < 0.03  # independent of each other


@pytest.mark.parametrize("kinds", KINDS)
def test_codes_follow_their_game_and_weigh_nothing(kinds: dict[str, object]) -> None:
    prior = Codes(20, **kinds).double()  # type: ignore[arg-type]
    z = prior.sample((3,))
    assert z.dtype == prior.entropy.dtype == torch.float64
    assert not prior.state_dict()
    assert [z[:, prior.code_slice(i)].tolist() for i in range(len(prior.code_names))] == [
        c.tolist() for c in prior.split(z)[1:]
    ]


@pytest.mark.parametrize("kinds", KINDS)
def test_log_likelihood_is_the_formula(kinds: dict[str, object]) -> None:
    prior = Codes(20, **kinds).double()  # type: ignore[arg-type]
    z = prior.sample((7,))
    answers = torch.randn(7, prior.code_outputs, dtype=torch.float64)
    found = prior.log_likelihood(answers, z)
    assert found.shape == (7, len(prior.code_names))
    start = 20 - prior.code_outputs
    for n in range(7):
        place = 0
        for i, k in enumerate(prior.categorical):
            truth = int(z[n, start + place : start + place + k].argmax())
            logits = answers[n, place : place + k]
            torch.testing.assert_close(found[n, i], (logits.exp() / logits.exp().sum()).log()[truth])
            place += k
        for i in range(len(prior.categorical), len(prior.code_names)):
            by_hand = Normal(answers[n, place], prior.std).log_prob(z[n, start + place])
            torch.testing.assert_close(found[n, i], by_hand)
            place += 1


def test_expected_codes_are_probabilities_and_means() -> None:
    prior = Codes(9, categorical=(2, 3), uniform=1, gaussian=1)
    answers = torch.randn(4, 7)
    expected = prior.expected_codes(answers)
    torch.testing.assert_close(expected[:, :2], answers[:, :2].softmax(1))
    torch.testing.assert_close(expected[:, 2:5], answers[:, 2:5].softmax(1))
    assert torch.equal(expected[:, 5:], answers[:, 5:])


@pytest.mark.parametrize(
    ("text", "latent", "words"),
    [
        (
            "codes(categorical=[10], uniform=2)",
            11,
            "take 12 numbers .10 for categories, 2 uniform., and z has 11; raise `latent_dim`",
        ),
        ("codes(categorical=[1])", 64, "2 or more"),
        ("codes(categorical=['a'])", 64, "2 or more"),
        ("codes(categorical=[2.5])", 64, "whole"),
        ("codes(categorical=[True])", 64, "whole"),
        ("codes(categorical=10)", 64, "must be a list such as"),
        ("codes(uniform=-1)", 64, "from 0"),
        ("codes(uniform=1.5)", 64, "a whole number"),
        ("codes(categorical=[], uniform=0)", 64, "no codes"),
        ("codes(std=0)", 64, "above 0"),
        ("codes(std=1e999)", 64, "one up to 1e30"),
        ("codes(noise='pink')", 64, "'normal' or 'uniform'"),
    ],
)
def test_codes_that_cannot_be_are_explained(text: str, latent: int, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        registry.make(text, conditionals.PRIORS, "prior", latent)
    assert str(caught.value).count(". ") == 0  # one sentence


@pytest.mark.parametrize("text", ["codes(categorical=[3, 4])", "codes(categorical=(3, 4))"])
def test_lists_and_tuples_are_both_taken(text: str) -> None:
    prior = registry.make(text, conditionals.PRIORS, "prior", 9)
    assert isinstance(prior, Codes)
    assert prior.categorical == (3, 4)


# the game


def test_without_weight_it_is_gan_on_the_same_draws() -> None:
    game = made(Codes(8, categorical=(3,), uniform=1), weight=0.0, continuous_weight=0.0)
    gan = GAN(game.decoder, game.critic, game.prior)
    x = torch.randn(16, 6)
    for player in game.players:
        outcomes = []
        for member in (game, gan):
            torch.manual_seed(3)
            outcome = member(x)
            gradient = torch.autograd.grad(outcome.losses[player], member.parameters_of(player), allow_unused=True)
            outcomes.append((outcome, [g for g in gradient if g is not None and g.any()]))
        (a, grads_a), (b, grads_b) = outcomes
        torch.testing.assert_close(a.losses[player], b.losses[player])
        torch.testing.assert_close(dict(a.scores), dict(b.scores))
        assert len(grads_a) == len(grads_b) > 0
        for one, other in zip(grads_a, grads_b, strict=True):
            torch.testing.assert_close(one, other)


def test_both_players_are_credited_with_the_bound() -> None:
    prior = Codes(9, categorical=(3, 2), uniform=1, gaussian=1)
    game = made(prior, weight=2.0, continuous_weight=0.5)
    x = torch.randn(16, 6)
    joints = game.sample(x)
    outcome, plain = game.losses(joints), GAN(game.decoder, game.critic, prior).losses(joints)
    bound = (
        prior.log_likelihood(game.critic.score_and_codes(joints["model"][0])[1], joints["code"][0]).mean(0)
    ) + prior.entropy
    credit = 2.0 * bound[:2].sum() + 0.5 * bound[2:].sum()
    for player in game.players:
        torch.testing.assert_close(outcome.losses[player], plain.losses[player] - credit)


@pytest.mark.parametrize("joint_batch", [True, False])
def test_steady_asks_for_the_categories_in_moved_samples_too(
    monkeypatch: pytest.MonkeyPatch, joint_batch: bool
) -> None:
    prior = "codes(categorical=[3, 2], uniform=1)"
    game = build(
        f"infogan(steady=True, weight=2.0, continuous_weight=0.5, joint_batch={joint_batch})",
        (1, 8, 8), networks="infogan(width=2)", prior=prior,
    )  # fmt: skip
    assert isinstance(game, InfoGAN)
    for parameter in game.parameters():
        nn.init.normal_(parameter)
    game.eval()  # each pass has the same statistics
    joints = game.sample(torch.rand(6, 1, 8, 8, dtype=torch.float64))
    (x,), (z,) = joints["model"], joints["code"]
    monkeypatch.setattr("interalia.games.infogan.affine", lambda x: x.flip(-1))
    steady = game.losses(joints).losses
    game.steady = False
    plain = game.losses(joints).losses
    own, moved = (game.prior.log_likelihood(game.code_parameters(y), z).mean(0) for y in (x, x.flip(-1)))
    gain = 2.0 * (moved[:2].sum() - own[:2].sum()) / 2  # the uniform code's bound is that of the samples
    assert abs(float(gain)) > 1e-6
    for player in game.players:
        torch.testing.assert_close(steady[player], plain[player] - gain)


def test_steady_is_for_images() -> None:
    with pytest.raises(UserError, match=r"`steady` moves images, and the data's shape is \(5,\)"):
        build("infogan(steady=True)", (5,))


AFFINE = {  # which of the six numbers is at its limit -> the 2x3 matrix from a position in the result to one in x
    0: [[math.cos(math.pi / 12), -math.sin(math.pi / 12), 0], [math.sin(math.pi / 12), math.cos(math.pi / 12), 0]],
    1: [[1, 0.3, 0], [0, 1, 0]],
    2: [[1.15, 0, 0], [0, 1, 0]],
    3: [[1, 0, 0], [0, 1.15, 0]],
    4: [[1, 0, 0.12], [0, 1, 0]],
    5: [[1, 0, 0], [0, 1, 0.12]],
}


@pytest.mark.parametrize("which", [*AFFINE, None])
def test_each_number_of_a_small_affine_map(which: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()

    def drawn(x: Tensor, chosen: Tensor) -> Tensor:
        return torch.full((len(x), 1, 1, 1), float(which is None or next(calls) == which), dtype=x.dtype)

    monkeypatch.setattr("interalia.adversarial.disturbances.uniform_per_sample", drawn)
    side = torch.arange(-20.0, 21.0, dtype=torch.float64) * 2 / 41  # the pixels' centers, in units of half a side
    positions = torch.stack([side.expand(41, 41), side[:, None].expand(41, 41)])[None].requires_grad_()
    found = affine(positions)  # an image of its own positions: the result shows where each pixel is from
    if which is None:  # all at once: scaled first, then sheared, turned and shifted
        turn, shear, wide, high, right, down = (np.array([*AFFINE[k], [0, 0, 1]]) for k in AFFINE)
        matrix = torch.from_numpy((right @ down @ turn @ shear @ wide @ high)[:2])
    else:
        matrix = torch.tensor(AFFINE[which], dtype=torch.float64)
    wanted = torch.einsum("ij,jhw->ihw", matrix, torch.cat([positions[0], torch.ones(1, 41, 41)]).detach())
    inside = (wanted.abs() < side.max()).all(0)
    assert 0.5 < float(inside.double().mean()) <= 1
    torch.testing.assert_close(found[0][:, inside], wanted[:, inside], atol=1e-9, rtol=0)
    assert bool((found[0][:, (wanted.abs() > 1 + 1 / 41).any(0)] == 0).all())  # outside are zeros
    found.sum().backward()
    assert positions.grad is not None
    assert float(positions.grad.abs().sum()) > 0


def test_the_numbers_of_an_affine_map_differ_by_image() -> None:
    torch.manual_seed(0)
    moved = affine(torch.rand(1, 1, 9, 9).expand(50, 1, 9, 9))
    assert len(torch.unique(moved.flatten(1), dim=0)) == 50


def test_mutual_information_by_hand() -> None:
    p = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    q = torch.tensor([[0.6, 0.4], [0.3, 0.7]])
    # mean of the outer products [[.54, .36], [.06, .04]] and [[.06, .14], [.24, .56]], made symmetric
    joint = np.array([[0.30, 0.20], [0.20, 0.30]])
    expected = float((joint * np.log(joint / 0.25)).sum())
    assert mutual_information(p, q) == pytest.approx(expected, abs=1e-7)
    assert mutual_information(torch.eye(4), torch.eye(4)) == pytest.approx(math.log(4))
    assert mutual_information(torch.eye(4), torch.eye(4)[[1, 0, 3, 2]]) == pytest.approx(math.log(4))


def test_the_trunk_sees_data_and_samples_in_one_pass() -> None:
    game = build("infogan", (1, 12, 24), double=False)
    sizes: list[int] = []
    game.critic.trunk.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))  # type: ignore[union-attr]
    game(torch.rand(5, 1, 12, 24))
    assert sizes == [10]


def test_apart_data_and_samples_have_a_pass_each() -> None:
    game = build("infogan(joint_batch=False)", (1, 8, 8), networks="infogan(width=2)")
    x = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    sizes: list[int] = []
    handle = game.critic.trunk.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))  # type: ignore[union-attr]
    joints = game.sample(x)
    outcome = game.losses(joints)
    handle.remove()
    assert sizes == [5, 5]
    torch.testing.assert_close(outcome.scores["data"], game.critic(x))  # batch norm by the data alone
    torch.testing.assert_close(outcome.scores["model"], game.critic(*joints["model"]))
    game.eval()  # without batch statistics the passes come to the same
    apart = game.losses(joints)
    game.joint_batch = True
    for player, loss in game.losses(joints).losses.items():
        torch.testing.assert_close(loss, apart.losses[player])


def test_the_recogniser_learns_the_codes() -> None:
    torch.manual_seed(0)
    prior = Codes(8, categorical=(4,), uniform=1)
    game = made(prior, weight=5.0, continuous_weight=5.0)
    optimizers = {player: torch.optim.Adam(game.parameters_of(player), lr=1e-2) for player in game.players}
    moves = registry.make("simultaneous", dynamics.REGISTRY, "dynamics", game, optimizers)

    def bounds() -> Tensor:
        z = prior.sample((2000,))
        with torch.no_grad():
            return code_bounds(prior, game.critic.score_and_codes(game.decoder(z).mean)[1], z)

    assert bounds()[0] < 0.3
    for _ in range(150):
        moves.step(itertools.repeat((torch.randn(64, 6),)))
    assert bounds()[0] > 0.95 * math.log(4)
    assert bounds()[1] > 0.5


# the bound is at most the entropy


@pytest.mark.parametrize(
    "kinds", [{**kind, "std": std} for kind in KINDS for std in (1 / math.sqrt(2 * math.pi), 1.0, 3.0)]
)
def test_the_bound_is_at_most_the_entropy(kinds: dict[str, object]) -> None:
    prior = Codes(20, **kinds).double()  # type: ignore[arg-type]
    torch.manual_seed(0)
    z = prior.sample((400,))
    truth = z[:, 20 - prior.code_outputs :]
    for answers in (truth, 50 * truth, truth + torch.randn_like(truth), torch.randn_like(truth) * 9, 0 * truth):
        bound = prior.log_likelihood(answers, z).mean(0) + prior.entropy
        assert bool((bound <= prior.entropy + 1e-9).all())
    for scale in (
        0.1,
        1.0,
    ):  # refitted, the bound is at most the information itself: of categories at most H, whatever s
        fitted = code_bounds(prior, truth + scale * torch.randn_like(truth), z)
        assert bool((fitted[: len(prior.categorical)] <= prior.entropy[: len(prior.categorical)] + 1e-9).all())


def test_a_perfect_recogniser_reaches_log_10() -> None:
    prior = Codes(74).double()
    z = prior.sample((500,))
    answers = z[:, 62:].clone()
    answers[:, :10] *= 100
    assert abs(float(code_bounds(prior, answers + 1e-3, z)[0]) - math.log(10)) < 1e-9
    blind = torch.zeros(500, 12, dtype=torch.float64)
    assert abs(float(code_bounds(prior, blind, z)[0])) < 1e-9  # log Q = -log 10 for every code


def test_the_fitted_width_is_the_tightest_one() -> None:
    torch.manual_seed(0)
    z = Codes(6, uniform=1, gaussian=1, categorical=()).double().sample((5000,))
    answers = z[:, 4:] + torch.randn(5000, 2, dtype=torch.float64) * torch.tensor([0.2, 0.7])
    widths = torch.linspace(0.05, 2, 196).tolist()
    every = []
    for std in widths:
        prior = Codes(6, uniform=1, gaussian=1, categorical=(), std=std).double()
        every.append(prior.log_likelihood(answers, z).mean(0) + prior.entropy)
    fitted = code_bounds(prior, answers, z)
    best = torch.stack(every).amax(0)
    assert bool((fitted >= best - 1e-12).all())
    torch.testing.assert_close(fitted, best, atol=1e-3, rtol=0)
    information = 0.5 * math.log(1 + 1 / 0.7**2)  # of a Gaussian in Gaussian noise, which no bound exceeds
    assert fitted[1] < information + 0.02


# what cannot be


def test_a_prior_without_codes_is_refused() -> None:
    with pytest.raises(UserError, match=r"InfoGAN needs a prior with codes; give `prior='codes"):
        build("infogan", prior="normal")


def test_a_critic_that_answers_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="a Recognizer, and this one is a PairCritic"):
        InfoGAN(Deterministic(MLP(8, 6)), PairCritic(MLP(6, 1)), Codes(8, categorical=(3,), uniform=1))


def test_codes_that_do_not_fit_the_generator_are_refused() -> None:
    prior = Codes(8, categorical=(3,), uniform=1)
    critic = Recognizer(nn.Identity(), nn.Linear(6, 1), nn.Linear(6, 4))
    with pytest.raises(
        UserError, match=r"codes do not fit the generator: z has 8 dimensions.*build it for 8 dimensions"
    ):
        InfoGAN(Deterministic(MLP(7, 6)), critic, prior)


def test_codes_that_do_not_fit_the_critic_are_refused() -> None:
    prior = Codes(8, categorical=(3,), uniform=1)
    critic = Recognizer(nn.Identity(), nn.Linear(6, 1), nn.Linear(6, 5))
    with pytest.raises(UserError, match=r"need 4 outputs .3 for categories, 1 uniform.*returns \(5,\)"):
        InfoGAN(Deterministic(MLP(8, 6)), critic, prior)


def test_trying_the_networks_out_leaves_no_trace() -> None:
    torch.manual_seed(4)
    prior = Codes(8, categorical=(3,), uniform=1)
    networks = examples.networks("infogan", (1, 8, 8), 8, infers=False, answers=4)
    before = {key: value.clone() for key, value in networks.critic.state_dict().items()}
    state = torch.get_rng_state()
    InfoGAN(Deterministic(networks.decoder), networks.critic, prior)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in networks.critic.state_dict().items())
    assert networks.critic.training
    assert networks.decoder.training


@pytest.mark.parametrize("setting", ["weight=-1.0", "continuous_weight=-0.5"])
def test_negative_weights_are_refused(setting: str) -> None:
    with pytest.raises(UserError, match="0 or more"):
        build(f"infogan({setting})")


# networks


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 20), (1, 8, 8)])
def test_the_papers_networks_fit_images_whose_sides_divide_by_4(shape: tuple[int, ...]) -> None:
    made = examples.networks("infogan", shape, 20, infers=False, answers=12)
    assert isinstance(made.critic, Recognizer)
    x = made.decoder(torch.randn(3, 20))
    assert x.shape == (3, *shape)
    assert x.min() >= 0
    assert x.max() <= 1
    score, answers = made.critic.score_and_codes(x)
    assert (score.shape, answers.shape) == ((3,), (3, 12))
    assert torch.equal(made.critic.eval()(x), made.critic.score_and_codes(x)[0])
    assert examples.networks("infogan", shape, 20, infers=False).critic(x).shape == (3,)


def test_the_papers_networks_have_the_papers_layers() -> None:
    made = examples.networks("infogan", (1, 28, 28), 74, infers=False, answers=12)
    assert isinstance(made.critic, Recognizer)

    def weights(network: nn.Module) -> list[tuple[int, ...]]:
        return [tuple(p.shape) for p in network.parameters() if p.ndim > 1]

    assert weights(made.critic.trunk) == [(64, 1, 4, 4), (128, 64, 4, 4), (1024, 128 * 7 * 7)]
    assert weights(made.critic.judge) == [(1, 1024)]
    assert weights(made.critic.answers) == [(128, 1024), (12, 128)]
    assert weights(made.decoder) == [(1024, 74), (128 * 7 * 7, 1024), (128, 64, 4, 4), (64, 1, 4, 4)]
    leaks = {m.negative_slope for m in made.critic.modules() if isinstance(m, nn.LeakyReLU)}
    assert leaks == {0.1}


def test_narrower_networks() -> None:
    made = examples.networks("infogan", (1, 28, 28), 74, infers=False, answers=12, width=16)
    assert [tuple(p.shape) for p in made.critic.parameters() if p.ndim > 1] == [
        (16, 1, 4, 4), (32, 16, 4, 4), (256, 32 * 7 * 7), (1, 256), (32, 256), (12, 32)
    ]  # fmt: skip
    with pytest.raises(UserError, match="`width` is 0, and it must be 1 or more"):
        build("infogan", (1, 8, 8), networks="infogan(width=0)")


@pytest.mark.parametrize(("width", "std"), [(128, 0.02), (64, 0.02), (32, 0.04), (16, 0.08)])
def test_the_last_layer_of_a_narrow_decoder_starts_larger(width: int, std: float) -> None:
    torch.manual_seed(0)
    game = build("infogan", (1, 16, 16), networks=f"infogan(width={width})", double=False, prior="codes", latent_dim=74)
    last = next(module for module in reversed(list(game.decoder.modules())) if isinstance(module, nn.ConvTranspose2d))
    assert float(last.weight.std()) == pytest.approx(std, rel=0.15)
    first = next(module for module in game.decoder.modules() if isinstance(module, nn.Linear))
    assert float(first.weight.std()) == pytest.approx(0.02, rel=0.1)
    x = game.decoder(game.prior.sample((64,))).mean
    assert float(x.std(0).mean()) > 0.025  # with 0.02 at every width it would be 0.02 at a width of 16


@pytest.mark.parametrize("shape", [(1, 30, 28), (1, 28, 27), (5,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="choose other `networks`, such as auto"):
        examples.networks("infogan", shape, 20, infers=False, answers=12)


# tasks


@pytest.fixture(scope="module")
def game() -> InfoGAN:
    torch.manual_seed(0)
    run = recipes.infogan_mnist(data="digits", latent_dim=12, prior="codes(categorical=[4], uniform=1, gaussian=1)")
    built = building.build(run.replace(networks="auto(width=4)"), (1, 8, 8))
    assert isinstance(built, InfoGAN)
    return built


def test_a_category_takes_each_of_its_values(game: InfoGAN) -> None:
    block = tasks.traverse(game, 0, rows=3, columns=7)
    assert block.shape == (3, 4, 1, 8, 8)
    z = tasks.sample_latents(game, 3)
    for row, category in itertools.product(range(3), range(4)):
        by_hand = z[row : row + 1].clone()
        by_hand[:, game.prior.code_slice(0)] = torch.eye(4)[category]
        torch.testing.assert_close(block[row, category], tasks.decode(game, by_hand)[0])


def test_a_continuous_code_goes_from_low_to_high_and_nothing_else_moves(game: InfoGAN) -> None:
    block = tasks.traverse(game, 2, rows=5, columns=6, low=-1.0, high=2.0)
    assert block.shape == (5, 6, 1, 8, 8)
    z = tasks.sample_latents(game, 5)
    z[:, game.prior.code_slice(0)] = torch.eye(4)[[0, 1, 2, 3, 0]]  # the rows run through the categories
    for column, value in enumerate([-1.0, -0.4, 0.2, 0.8, 1.4, 2.0]):
        z[:, game.prior.code_slice(2)] = value
        torch.testing.assert_close(block[:, column], tasks.decode(game, z))


def test_a_game_without_codes_goes_along_its_dimensions() -> None:
    gan = build("gan", double=False)
    assert tasks.traversal_names(gan, 2) == ["z1", "z2"]
    assert tasks.traversal_names(gan) == ["z1", "z2", "z3"]  # there are no more
    block = tasks.traverse(gan, 1, rows=2, columns=3)
    z = tasks.sample_latents(gan, 2)
    z[:, 1] = 0.0
    torch.testing.assert_close(block[:, 1], tasks.decode(gan, z))


def test_labels_stay_the_same_along_a_row() -> None:
    cgan = build("gan", double=False, labels=3)
    block = tasks.traverse(cgan, 0, rows=4, columns=2, low=1.0, high=1.0)
    torch.testing.assert_close(block[:, 0], block[:, 1])
    z = tasks.sample_latents(cgan, 4)
    z[:, 0] = 1.0
    torch.testing.assert_close(block[2, 0], tasks.decode(cgan, z, label=2)[2])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"code": 3}, "from 0 to 2"),
        ({"rows": 0}, "at least 1"),
        ({"columns": 0}, "at least 1"),
        ({"code": -1}, "from 0"),
    ],
)
def test_a_traversal_that_cannot_be_is_explained(game: InfoGAN, wrong: dict[str, int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        tasks.traverse(game, **wrong)  # type: ignore[arg-type]


def test_traversal_asks_for_a_decoder() -> None:
    with pytest.raises(UserError, match="has no decoder; traverse needs"):
        tasks.traverse(build("cyclegan", (1, 12, 24), double=False))


def test_recognised_codes(game: InfoGAN) -> None:
    x = torch.rand(5, 1, 8, 8)
    codes = tasks.recognize(game, x)
    with tasks.evaluating(game):
        answers = game.critic.score_and_codes(x)[1]
    torch.testing.assert_close(codes, game.prior.expected_codes(answers))
    torch.testing.assert_close(codes[:, :4].sum(1), torch.ones(5))
    with pytest.raises(UserError, match=r"GAN recognizes no codes; recognize needs a game that .*: InfoGAN"):
        tasks.recognize(build("gan", double=False), torch.rand(5, 1, 4, 4))
    with pytest.raises(UserError, match="resize or convert"):
        tasks.recognize(game, torch.rand(5, 1, 4, 4))


# measures


def test_the_matching_is_the_best_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        categories = torch.randint(4, (60,), generator=generator)
        labels = torch.randint(4, (60,), generator=generator)
        error = code_error(categories, labels, matching(categories, labels, 4))
        least = min(code_error(categories, labels, torch.tensor(order)) for order in itertools.permutations(range(4)))
        assert error == least


def test_a_matching_is_one_to_one() -> None:
    categories, labels = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 0, 0, 0, 1])
    stands = matching(categories, labels, 3)
    assert sorted(stands.tolist()) == [-1, 0, 1]  # the third category stands for nothing
    assert code_error(categories, labels, stands) == pytest.approx(0.4)
    fewer = matching(torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]), 2)
    assert fewer[0] == 2
    assert code_error(torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]), fewer) == pytest.approx(1 / 3)
    with pytest.raises(UserError, match="one label for each"):
        matching(categories, labels[:2], 3)


# end to end


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "infogan"
    run = recipes.infogan_mnist(
        data="digits",
        latent_dim=16,
        networks="auto(width=4)",
        precision="fp32",
        steps=20,
        evaluate_every=20,
        log_every=10,
    )
    engine.train(run, path)
    return path


def test_evaluation_reads_the_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_passes("evaluate", str(folder))
    assert "code_error" in capsys.readouterr().out
    found = {m["name"]: m for m in json.loads((folder / "results.json").read_text())["metrics"]}
    assert {"code_error", "code_bound", "code_bound_categories", "frechet_distance"} <= set(found)
    assert set(found) <= set(metrics.REGISTRY)
    assert 0 <= found["code_error"]["value"] <= 1
    assert found["code_bound_categories"]["value"] <= math.log(10)
    assert "validation" in found["code_error"]["protocol"]
    assert "c1" in found["code_bound"]["protocol"]


def test_the_page_shows_each_code(folder: Path) -> None:
    main_passes("report", str(folder))
    page = (folder / "report.html").read_text()
    for words in (
        "Code c1",
        "Code c2",
        "Code c3",
        "InfoGAN",
        "interalia traverse",
        "predicts the codes of a sample",
    ):
        assert words in page
    assert "reconstruct held-out" not in page
    sentences = reports.summary(
        {"game": "infogan", "steps": 5},
        {"metrics": [{"name": "code_error", "value": 0.05}, {"name": "code_bound", "value": 3.21}], "step": 5},
    )
    text = " ".join(sentences)
    assert "wrong for 5.0%" in text
    assert "3.21 nats" in text


def test_the_command_draws_a_picture_a_code(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    main_passes("traverse", str(folder), "--rows", "2", "--columns", "3", "--out", str(tmp_path / "codes"))
    assert sorted(path.name for path in (tmp_path / "codes").iterdir()) == ["c1.png", "c2.png", "c3.png"]
    wide, narrow = (Image.open(tmp_path / "codes" / f"{name}.png").size for name in ("c1", "c2"))
    assert wide[0] > 2 * narrow[0]  # ten categories, three values
    assert wide[1] == narrow[1]
    main_passes("traverse", str(folder), "--rows", "2", "--columns", "3", "--out", str(tmp_path / "all.png"))
    assert Image.open(tmp_path / "all.png").size[1] > 3 * wide[1]
    main_passes("traverse", str(folder), "--rows", "2", "--columns", "3", "--out", str(tmp_path / "all.npz"))
    assert np.load(tmp_path / "all.npz")["c1"].shape == (2, 10, 1, 8, 8)
    main_passes("traverse", str(folder), "--rows", "1")
    assert (folder / "figures" / "traversals" / "c3.png").exists()


def test_the_command_explains(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, arguments in {
        "--rows is 0": ["--rows", "0"],
        "must end in .png": ["--out", str(tmp_path / "codes.doc")],
    }.items():
        with pytest.raises(SystemExit) as caught:
            main(["traverse", str(folder), *arguments])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err


def main_passes(*arguments: str) -> None:
    """Runs the program, whose answer is 0."""
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    assert caught.value.code in (0, None)


def test_a_traversals_rows_lie_above_each_other(tmp_path: Path) -> None:
    from PIL import Image

    greys = [np.array([[0.0, 0.1, 0.2], [0.3, 0.4, 0.5]]), np.array([[0.8, 0.9], [1.0, 0.6]])]
    blocks = [np.broadcast_to(gray[:, :, None, None, None], (*gray.shape, 1, 8, 8)) for gray in greys]
    with Image.open(plots.traversals(blocks, tmp_path / "x.png")) as picture:
        pixels = np.asarray(picture)[:, :, 0]
    flat = [int(v) for line in pixels for v in line if v != plots.BACKGROUND[0]]
    seen = list(dict.fromkeys(flat))  # in reading order
    assert seen == [round(255 * v) for gray in greys for v in gray.flatten()]


def test_traversals_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"give an array \(rows, columns"):
        plots.traversals([np.zeros((4, 8))], tmp_path / "x.png")


def test_ali_plays_with_codes_too() -> None:
    ali = build("ali", (2,), double=False, latent_dim=7, prior="codes(categorical=[3], uniform=1)")
    assert ali(torch.randn(8, 2)).losses["critic"].isfinite()
    assert not hasattr(ali.prior, "mean")  # its dimensions are not alike
    assert StandardNormal(2).mean == 0


def test_the_experiment_works_end_to_end(tmp_path: Path) -> None:
    path = papers.reproduce("infogan-mnist", quick=True, steps=3, seeds=2, filter="as published", out=tmp_path)
    table = json.loads((path.parent / "table.json").read_text())
    assert [row["row"] for row in table["rows"]] == ["as published"] * 2
    for row in table["rows"]:
        assert set(row["values"]) == {"error", "error_validation", "stability", "c1", "c2", "c3"}
        assert row["values"]["c1"] <= math.log(10)
    errors = [row["values"]["error"] for row in table["rows"]]
    assert table["spread"]["as published"]["error"] == pytest.approx([sum(errors) / 2, min(errors)])
    text = path.read_text()
    assert f"best {min(errors):.4g}" in text
    assert "median" in text
    assert "InfoGAN, section 7.2" in text
    pictures = sorted(p.name for p in (path.parent / "pictures").iterdir())
    assert len(pictures) == 6
    assert pictures[0].endswith("seed-0-c1.png")
