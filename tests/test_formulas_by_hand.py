"""Formulas on a few numbers, worked out by hand where a wrong one would give another number: what is detached, weighted,
centred, shared out, clipped and scaled.

Networks are formulas, and nothing on the right-hand sides is computed by the code under test.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import examples
import pytest
import torch
from examples import batch, build
from torch import Tensor, nn

from interalia.adversarial.disturbances import AdaptiveAugmentation
from interalia.adversarial.divergences import Wasserstein, expectation
from interalia.adversarial.penalties import R1, R1R2, WGANGP, Dragan
from interalia.conditionals import (
    Auxiliary,
    BasisNoise,
    Chain,
    Codes,
    Deterministic,
    Gaussian,
    GaussianProcess,
    Hamiltonian,
    Learned,
    Mixture,
    Recurrent,
    StandardNormal,
    Uniform,
    rsample_with_log_prob,
)
from interalia.conditionals.basis_noise import BasisNoiseDistribution
from interalia.games import ALI, ALICE, AVB, HALI, VAE, Game, Outcome, SemiALI
from interalia.games.aae import SemiAAE
from interalia.games.avb import VARIANCE_FLOOR
from interalia.learning import dynamics
from interalia.learning.dynamics import UpdateOptions
from interalia.learning.optimizers import OPTIMIZERS, sgd
from interalia.networks.draw import Attention
from interalia.networks.weights import init_output_bias, recalibrate_batch_norm


class Times(nn.Module):
    """x -> w x."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return self.w * x


class By(nn.Module):
    """A network that is a formula."""

    def __init__(self, formula: Callable[..., Tensor]) -> None:
        super().__init__()
        self.formula = formula
        self.place = nn.Parameter(torch.zeros(()))  # not used: by a parameter, a game knows where it lives

    def forward(self, *c: Tensor) -> Tensor:
        return self.formula(*c)


class Answers(nn.Module):
    """The same numbers for every x, which are parameters."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.tensor(numbers, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.numbers.expand(len(x), -1)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def slope(loss: Tensor, *networks: Times) -> list[float]:
    """d loss / d w of each."""
    return [g.item() for g in torch.autograd.grad(loss, [network.w for network in networks], retain_graph=True)]


# --- games: whom a term reaches -----------------------------------------------------------------------------------------


def test_alices_round_trip_from_z_is_charged_to_encoder_and_decoder() -> None:
    """mean (v w z - z)^2 of E(x) = v x and G(z) = w z: 2 w (v w - 1) mean z^2 for v, 2 v (v w - 1) mean z^2 for w."""
    v, w = 0.5, 3.0
    encoder, decoder = Times(v), Times(w)
    critic = By(lambda x, z: x.new_zeros(len(x)))
    game = ALICE(
        Deterministic(encoder), Deterministic(decoder), critic, StandardNormal(1).double(), cycle=0.0, cycle_z=2.0
    )
    joints = game.sample(column(1.0, -1.0, 2.0))
    square = joints["p"][1].square().mean().item()
    loss = game.losses(joints).losses["generator"]
    assert slope(loss, encoder, decoder) == pytest.approx(
        [2 * 2 * w * (v * w - 1) * square, 2 * 2 * v * (v * w - 1) * square]
    )


def test_halis_levels_are_moved_through_each_other() -> None:
    """A critic that scores z2 alone moves q(z1 | x) by way of q(z2 | z1), and one that scores x alone p(z1 | z2)."""
    a, b, c, d = Times(2.0), Times(-3.0), Times(0.5), Times(4.0)
    for judged, expected in ((2, [-3.0, 2.0]), (0, [-4.0, -0.5])):
        critic = By(lambda *parts, judged=judged: parts[judged][:, 0])
        game = HALI(
            Chain(Deterministic(a), Deterministic(b)),
            Chain(Deterministic(c), Deterministic(d)),
            critic,
            StandardNormal(1).double(),
            Wasserstein(),
        )
        joints = game.sample(column(1.0, 2.0, 6.0))
        loss = game.losses(joints).losses["generator"]  # mean s(x, z1^, z2^) - mean s(x~, z1~, z2)
        moved = (a, b) if judged == 2 else (c, d)
        mean = 3.0 if judged == 2 else joints["p"][2].mean().item()
        assert slope(loss, *moved) == pytest.approx([factor * mean for factor in expected])


@pytest.mark.parametrize("correlated", [False, True])
def test_adaptive_contrast_takes_the_moments_as_constants(correlated: bool) -> None:
    """With T = k z~ the loss in z is k z~ - z~^2 / 2 - log s + z^2 / 2, z~ = (z - m) / s; of z = mu + sigma e, m and s fixed,
    its slope in mu is (k - z~) / s + z, and in log sigma sigma e times that."""
    k, mu, log_sigma = 1.7, 0.4, math.log(0.5)
    answers = Answers(mu, log_sigma)
    critic = By(lambda x, z: k * z[:, 0])
    decoder = Deterministic(By(lambda z: torch.zeros_like(z)))
    prior = StandardNormal(1).double()
    game = AVB(Gaussian(answers), decoder, critic, prior, contrast=True, correlated=correlated)
    joints = game.sample(column(0.0, 0.0, 0.0))
    (gradient,) = torch.autograd.grad(game.losses(joints).losses["autoencoder"], answers.numbers)
    z = joints["posterior"][0][:, 0].detach()
    e = (z - mu) / 0.5
    s = math.sqrt(0.25 + VARIANCE_FLOOR)
    each = (k - (z - mu) / s) / s + z
    torch.testing.assert_close(gradient, torch.stack([each.mean(), (0.5 * e * each).mean()]))


@pytest.mark.parametrize("contrast", [False, True])
def test_a_learned_prior_goes_to_where_the_posterior_is(contrast: bool) -> None:
    """-log p(z^) has the slope -(z - m) / s^2 in the prior's mean, and 1 - (z - m)^2 / s^2 in its log s; z^ itself is moved
    by T = k z, without contrast by that alone."""
    mu, m, s, k = 0.4, -1.0, 2.0, 1.7
    answers = Answers(mu, math.log(0.5))
    critic = By(lambda x, z: k * z[:, 0])
    prior = Learned(1, components=1, std=s).double()
    with torch.no_grad():
        prior.mu.fill_(m)
    game = AVB(Gaussian(answers), Deterministic(By(lambda z: 0 * z)), critic, prior, contrast=contrast)
    joints = game.sample(column(0.0, 0.0, 0.0))
    loss = game.losses(joints).losses["autoencoder"]
    in_m, in_s, in_mu = torch.autograd.grad(loss, [prior.mu, prior.log_sigma, answers.numbers])
    z = joints["posterior"][0]
    assert in_m.item() == pytest.approx((-(z - m) / s**2).mean().item())
    assert in_s.item() == pytest.approx((1 - ((z - m) / s).square()).mean().item())
    if not contrast:
        assert in_mu[0].item() == pytest.approx(k)


@pytest.mark.parametrize("analytic", [True, False])
def test_beta_weighs_the_kl_whichever_way_it_is_had(analytic: bool) -> None:
    """KL = (mu^2 + sigma^2 - 1) / 2 - log sigma, or log q(z | x) - log p(z) = -e^2 / 2 - log sigma + z^2 / 2 at the draw."""
    mu, sigma = 0.8, 0.5
    losses, z = [], torch.empty(0)
    for beta in (1.0, 4.0):
        game = VAE(
            Gaussian(Answers(mu, math.log(sigma))),
            Deterministic(By(lambda z: 0 * z)),
            StandardNormal(1).double(),
            beta=beta,
            analytic=analytic,
        )
        torch.manual_seed(0)
        joints = game.sample(column(1.0, 2.0))
        z = joints["q"][1][:, 0]
        losses.append(game.losses(joints).losses["autoencoder"].item())
    at_the_draw = (-((z - mu) / sigma).square() / 2 - math.log(sigma) + z.square() / 2).mean().item()
    closed = (mu**2 + sigma**2 - 1) / 2 - math.log(sigma)
    assert losses[1] - losses[0] == pytest.approx(3 * (closed if analytic else at_the_draw))


def test_several_samples_weigh_the_image_that_they_are_of() -> None:
    """-log (1/3) sum_k N(x; z_k, 0.3^2) N(z_k; 0, 1) / N(z_k; x, 0.5^2), the mean over x = 1 and x = -2."""

    def density(value: float, mean: float, sigma: float) -> float:
        return math.exp(-(((value - mean) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))

    encoder = Gaussian(By(lambda x: torch.cat([x, torch.full_like(x, math.log(0.5))], dim=1)))
    game = VAE(encoder, Deterministic(By(lambda z: z)), StandardNormal(1).double(), sigma=0.3, samples=3)
    joints = game.sample(column(1.0, -2.0))
    drawn_for = joints["q"][1].view(2, 3).tolist()
    expected = 0.0
    for x, zs in zip((1.0, -2.0), drawn_for, strict=True):
        weights = [density(x, z, 0.3) * density(z, 0, 1) / density(z, x, 0.5) for z in zs]
        expected -= math.log(sum(weights) / 3) / 2
    assert game.losses(joints).losses["autoencoder"].item() == pytest.approx(expected)


def test_what_a_semi_supervised_autoencoder_is_charged_for() -> None:
    """2 (the mean of (x - x^)^2) + mean softplus(s(z)) + mean softplus(-s(z^)) + 3 (the mean of -log P(y)), s the style."""
    encoder = Deterministic(By(lambda x: torch.cat([x, x.new_tensor([[0.25, 0.75]]).expand(len(x), 2)], dim=1)))
    decoder = Deterministic(By(lambda z: z[:, :1] + 0.5))
    prior = Codes(3, categorical=(2,), uniform=0).double()
    critic = By(lambda z: z[:, 0])
    game = SemiAAE(encoder, decoder, critic, prior, weight=2.0, label_weight=3.0)
    x = column(0.3, -1.2)
    joints = game.sample(x, column(5.0, 6.0), torch.tensor([0, 1]))
    style = joints["prior"][0][:, 0].tolist()
    losses = game.losses(joints).losses
    there = sum(math.log1p(math.exp(s)) for s in style) / 2
    deceived = sum(math.log1p(math.exp(-s)) for s in (0.3, -1.2)) / 2
    read = -(math.log(0.25) + math.log(0.75)) / 2
    assert losses["autoencoder"].item() == pytest.approx(2 * 0.25 + there + deceived + 3 * read)
    told = sum(math.log1p(math.exp(-s)) for s in style) / 2 + sum(math.log1p(math.exp(s)) for s in (0.3, -1.2)) / 2
    assert losses["critic"].item() == pytest.approx(told)


class Sure(nn.Module):
    """Two labels whose log-odds are 3 x."""

    classes = 2

    def logits(self, x: Tensor, z: Tensor) -> Tensor:
        return torch.cat([3 * x, 0 * x], dim=1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.logits(x, z).logsumexp(1)


def test_virtual_adversarial_training_holds_the_answer_at_x_up_to_the_one_beside_it() -> None:
    """mean KL(P(label | x) || P(label | x + r)), r = radius or -radius, whichever way the first small change went."""
    nothing = Deterministic(By(lambda x: 0 * x))
    game = SemiALI(nothing, nothing, Sure(), StandardNormal(1).double(), vat=1.0, radius=0.7)
    x = column(0.1, -0.4, 0.9, 0.0)
    torch.manual_seed(0)
    ways = torch.randn_like(x).sign().flatten().tolist()
    torch.manual_seed(0)
    found = game.vat_loss(x, 0 * x, game.critic.logits(x, x)).item()  # type: ignore[operator]

    def share(x: float) -> float:
        return 1 / (1 + math.exp(-3 * x))

    expected = 0.0
    for here, way in zip(x.flatten().tolist(), ways, strict=True):
        a, b = share(here), share(here + 0.7 * way)
        expected += (a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b))) / len(x)
    assert found == pytest.approx(expected)


# --- conditionals: means and widths -------------------------------------------------------------------------------------


def settle(network: nn.Module, *numbers: float) -> None:
    """Makes a small network answer these numbers, whatever it is told."""
    last: Any = list(network.modules())[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor(numbers))


DRAWS = 20_000  # whose standard deviation is off by half a per cent


def test_auxiliary_variables_speak_in_units_of_sigma() -> None:
    """z ~ N(mu + sigma m, (sigma s)^2) where what is told of a answers m and log s."""
    mu, sigma, m, s = 1.0, 0.5, 3.0, 4.0
    encoder = Auxiliary(Answers(mu, math.log(sigma), 0.0, 0.0), 1).double()
    settle(encoder.last, m, math.log(s))
    torch.manual_seed(0)
    z, log_q = rsample_with_log_prob(encoder(torch.zeros(DRAWS, 1, dtype=torch.float64)))
    assert z.mean().item() == pytest.approx(mu + sigma * m, abs=0.05)
    assert z.std().item() == pytest.approx(sigma * s, rel=0.03)
    # all networks of a forget what they are told, so that q(a) = r(a) and log q is that of the Gaussian
    for network in (*encoder.down, *encoder.up):
        settle(network, *[0.0] * 32)
    z, log_q = rsample_with_log_prob(encoder(torch.zeros(DRAWS, 1, dtype=torch.float64)))
    at = (z[:, 0] - mu - sigma * m) / (sigma * s)
    torch.testing.assert_close(log_q, -at.square() / 2 - math.log(sigma * s) - math.log(2 * math.pi) / 2)


def test_a_gaussian_process_knows_nothing_of_f_far_from_its_inducing_inputs() -> None:
    """There f ~ N(0, w^2), so that z = mu + sigma y has the variance sigma^2 (1 + w^2); at an inducing input it has
    sigma^2 and the mean mu + sigma t."""
    mu, sigma, t, w = 1.0, 0.5, 3.0, 2.0
    encoder = GaussianProcess(Answers(mu, math.log(sigma), 0.0, 0.0, t), 1, inducing=1, size_latent=1).double()
    with torch.no_grad():
        encoder.log_width.fill_(math.log(w))
        encoder.inputs.fill_(1e6)
    torch.manual_seed(0)
    z = encoder(torch.zeros(DRAWS, 1, dtype=torch.float64)).rsample()
    assert z.mean().item() == pytest.approx(mu, abs=0.05)
    assert z.std().item() == pytest.approx(sigma * math.sqrt(1 + w**2), rel=0.03)
    with torch.no_grad():
        encoder.inputs.zero_()
        encoder.log_length.fill_(20.0)  # so long that f is one number
    z = encoder(torch.zeros(DRAWS, 1, dtype=torch.float64)).rsample()
    assert z.mean().item() == pytest.approx(mu + sigma * t, abs=0.05)
    assert z.std().item() == pytest.approx(sigma, rel=0.03)


def test_a_hamiltonian_step_is_as_long_as_sigma_lets_it_be() -> None:
    """e sigma / (1 + sigma): of e = 0.5 and sigma = 3/2, 0.3; from rest on |z|^2 / 2 it takes mu to mu - 0.3^2 / 2 mu."""
    mu = 2.0
    encoder = Hamiltonian(Answers(mu, math.log(1.5), 0.0, 0.0), 1, steps=1, step=0.5).double()
    encoder.set_log_joint(lambda x, z: -z.square().sum(1) / 2)
    assert encoder(torch.zeros(1, 1, dtype=torch.float64)).mean.item() == pytest.approx(mu * (1 - 0.3**2 / 2))


class Fixed:
    """A spanned conditional whose v are these draws."""

    def __init__(self, v: Tensor) -> None:
        self.v = v
        self.moments_from = len(v)

    def draws(self, count: int, like: Tensor, shared: bool = False) -> Tensor:
        return self.v


def test_a_spanned_posteriors_moments() -> None:
    """Of two v of two dimensions, with means of 5 and 1 that are no part of a variance."""
    one = torch.tensor([[6.0, 1.0], [4.0, 1.0], [5.0, 2.0], [5.0, 0.0]], dtype=torch.float64)  # deviations 1, -1, 0, 0
    two = torch.tensor([[6.0, 2.0], [6.0, 2.0], [4.0, 0.0], [4.0, 0.0]], dtype=torch.float64)  # 1, 1, -1, -1 in both
    z_0 = torch.tensor([[10.0, 20.0]], dtype=torch.float64)
    a = torch.tensor([[[1.0, 2.0], [3.0, 1.0]]], dtype=torch.float64)
    q = BasisNoiseDistribution(z_0, a, Fixed(torch.stack([one, two], dim=1)))  # type: ignore[arg-type]
    assert q.mean.tolist() == [[10 + 1 * 5 + 3 * 5, 20 + 2 * 1 + 1 * 1]]
    variance = [1 * 2 / 3 + 9 * 4 / 3, 4 * 2 / 3 + 1 * 4 / 3]  # a^2 var, var with n - 1
    torch.testing.assert_close(q.variance, torch.tensor([variance], dtype=torch.float64))
    between = 0 + 3 * 1 * 4 / 3  # the first v's two dimensions do not covary
    torch.testing.assert_close(
        q.covariance, torch.tensor([[[variance[0], between], [between, variance[1]]]], dtype=torch.float64)
    )


def test_a_spanned_encoder_begins_with_v_of_mean_0_and_variance_1() -> None:
    torch.manual_seed(0)
    encoder = BasisNoise(nn.Identity(), 3, basis=4)
    v = encoder.draws(4000, torch.zeros(1))
    assert v.mean(0).abs().max() < 0.2  # six standard errors of the 1,024 draws
    assert (v.std(0) - 1).abs().max() < 0.2


def test_draws_encoder_is_shown_what_the_canvas_misses_of_x() -> None:
    """The read images are x and x - sigmoid(c), the canvas being c = log(1 / 3) before the first glimpse: x - 1/4."""
    whole, decoder = examples.drawing(4, glimpses=2, units=8)
    encoder = Recurrent(whole, 4, units=8)
    encoder.set_decoder(Deterministic(decoder))
    with torch.no_grad():
        decoder.blank.fill_(math.log(1 / 3))
    shown: list[tuple[Tensor, ...]] = []
    read = encoder.attention.read

    def spy(h: Tensor, *images: Tensor) -> list[Tensor]:
        shown.append(images)
        return read(h, *images)

    encoder.attention.read = spy  # type: ignore[method-assign]
    x = torch.rand(3, 1, 8, 8)
    encoder(x).rsample()
    assert len(shown) == 2
    torch.testing.assert_close(shown[0][0], x)
    torch.testing.assert_close(shown[0][1], x - 0.25)


# --- dynamics -----------------------------------------------------------------------------------------------------------


class Pull(Game):
    """Two numbers u and v: the one is charged 3 u^2 / 2 + u v + x u, the other v^2 / 2 - u v."""

    players = {"u": ["left"], "v": ["right"]}

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Times(1.0), Times(-2.0)
        self.seen: list[tuple[float, float]] = []

    def sample(self, *batch: Tensor) -> dict[str, tuple[Tensor, ...]]:
        return {"x": batch}

    def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
        u, v, x = self.left.w, self.right.w, joints["x"][0].mean()
        self.seen.append((u.item(), v.item()))
        return Outcome({"u": 1.5 * u * u + u * v + x * u, "v": v * v / 2 - u * v})


PLAIN = UpdateOptions()


def flow(name: str, rules: UpdateOptions = PLAIN, **settings: Any) -> tuple[Pull, dynamics.Dynamics]:
    game = Pull()
    optimizers = {player: sgd(game.parameters_of(player), lr=0.1) for player in game.players}
    return game, dynamics.REGISTRY[name](game, optimizers, rules, **settings)


def ones() -> Iterator[tuple[Tensor, ...]]:
    return itertools.repeat((torch.ones(2, 1, dtype=torch.float64),))


def stands(game: Pull) -> list[float]:
    return [game.left.w.item(), game.right.w.item()]


def field(u: float, v: float) -> tuple[float, float]:
    return 3 * u + v + 1, v - u


@pytest.mark.parametrize(
    "name", [name for name in dynamics.REGISTRY if name != "one-stage"]
)  # which has to have a critic
def test_batches_that_are_accumulated_are_averaged(name: str) -> None:
    """Three looks at one batch make the step of one look, in every dynamics."""
    (one, moves), (three, thrice) = flow(name), flow(name, UpdateOptions(grad_accumulation=3))
    for _ in range(3):
        moves.step(ones())
        thrice.step(ones())
    assert stands(three) == pytest.approx(stands(one), abs=1e-12)


def test_consensus_by_hand() -> None:
    """F + gamma J^T F with F = (3 u + v + 1, v - u) and J = (3, 1; -1, 1)."""
    game, moves = flow("consensus", gamma=0.5)
    f, g = field(1.0, -2.0)
    moves.step(ones())
    pull = 3 * f - g, f + g
    assert stands(game) == pytest.approx([1 - 0.1 * (f + 0.5 * pull[0]), -2 - 0.1 * (g + 0.5 * pull[1])])


def test_the_step_ahead_is_clipped_as_the_step_is() -> None:
    """Gradients at (1, -2) are 2 and -3: with a clip of 0.5, each step and each step ahead is one of 0.05."""
    for name in ("past", "extragradient"):
        game, moves = flow(name, UpdateOptions(grad_clip=0.5))
        moves.step(ones())
        moves.step(ones())
        after = (1 - 0.05, -2 + 0.05)
        ahead = (after[0] - 0.05, after[1] + 0.05)
        if name == "past":
            assert game.seen == [(1, -2), pytest.approx(ahead)]
        else:
            assert game.seen == [(1, -2), pytest.approx(after), pytest.approx(after), pytest.approx(ahead)]
        assert stands(game) == pytest.approx([1 - 0.1, -2 + 0.1])


@pytest.mark.parametrize("name", ["simultaneous", "alternating", "extragradient", "past", "optimistic"])
def test_two_steps_of_each_dynamics_by_hand(name: str) -> None:
    """At a rate of 0.1 from (1, -2)."""
    game, moves = flow(name)
    w = (1.0, -2.0)

    def step(at: tuple[float, float], along: tuple[float, float], share: float = 0.1) -> tuple[float, float]:
        return at[0] - share * along[0], at[1] - share * along[1]

    last: tuple[float, float] = (0.0, 0.0)
    for i in range(2):
        moves.step(ones())
        if name == "simultaneous":
            w = step(w, field(*w))
        elif name == "alternating":  # "u" is named first, and there is no critic to go before it
            u = w[0] - 0.1 * field(*w)[0]
            w = u, w[1] - 0.1 * field(u, w[1])[1]
        elif name == "extragradient":
            w = step(w, field(*step(w, field(*w))))
        elif name == "past":
            last = field(*(step(w, last) if i else w))
            w = step(w, last)
        else:
            now = field(*w)
            w, last = step(step(w, now, 0.2), last, -0.1), now
        assert stands(game) == pytest.approx(list(w))


# --- penalties and disturbances -----------------------------------------------------------------------------------------


def test_a_weight_that_falls_is_the_first_at_the_beginning_and_the_last_at_the_end() -> None:
    penalty = R1(gamma=8.0, final=2.0)
    weights = []
    for step in (0, 50, 100):
        penalty.set_progress(step, 100)
        weights.append(penalty.weight)
    assert weights == pytest.approx([8.0, 4.0, 2.0])


def square(*parts: Tensor) -> Tensor:
    """A critic whose slope in each input is the input."""
    return torch.stack([part.square().sum(1) for part in parts]).sum(0) / 2


def test_every_sample_has_its_own_place_on_its_line_and_all_of_its_parts_one() -> None:
    """From x = z = 0 to x = 3, z = 4 the slope is 5 t, t ~ U(0, 1): the mean of (5 t - 1)^2 is 25 / 3 - 5 + 1."""
    shown: list[tuple[Tensor, ...]] = []

    def spy(*parts: Tensor) -> Tensor:
        shown.append(parts)
        return square(*parts)

    count = 4000
    p = torch.zeros(count, 1), torch.zeros(count, 1)
    q = torch.full((count, 1), 3.0), torch.full((count, 1), 4.0)
    torch.manual_seed(0)
    charge = WGANGP(weight=2.0).penalize(By(spy), p, q).item()
    x, z = shown[0]
    torch.testing.assert_close(x / 3, z / 4)
    assert (x.min().item(), x.max().item()) == pytest.approx((0, 3), abs=0.01)
    assert x.std().item() == pytest.approx(3 / math.sqrt(12), rel=0.03)
    assert charge == pytest.approx(2 * (25 / 3 - 5 + 1), rel=0.06)


def test_the_label_that_a_critic_is_told_is_charged_too() -> None:
    """R1 at x = 3, z = 4, y = 12 of a critic whose slope is (3, 4, 12): gamma / 2 * 13^2; and dragan moves y."""
    p = torch.full((5, 1), 3.0), torch.full((5, 1), 4.0), torch.full((5, 1), 12.0)
    assert R1(gamma=3.0).penalize(By(square), p, p).item() == pytest.approx(3 / 2 * 169)
    shown: list[tuple[Tensor, ...]] = []

    def spy(*parts: Tensor) -> Tensor:
        shown.append(parts)
        return square(*parts)

    y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    Dragan().penalize(By(spy), (torch.rand(2, 3), y), (torch.rand(2, 3), y))
    assert bool((shown[0][1] > y).all())


def test_adaptation_asks_for_a_share_of_pairs_beyond_chance() -> None:
    """r = 2 * 3/4 - 1 = 1/2 is below a target of 0.6, though three pairs of four are in order; 2 * 7/8 - 1 is above."""
    augment = AdaptiveAugmentation(target=0.6, images=100)
    augment.probability = 0.3
    augment.observe(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0]), images=1)
    assert augment.probability == pytest.approx(0.29)
    augment.observe(torch.tensor([1.0, 3.0, 3.0, 3.0]), torch.tensor([0.0, 2.0]), images=1)
    assert augment.probability == pytest.approx(0.30)


@pytest.mark.parametrize("count", [4096, 4097, 10_000])
def test_a_mean_of_many_terms_is_their_mean(count: int) -> None:
    """Beyond 4,096 terms each is divided before they are added up: by their number."""
    terms = torch.arange(count, dtype=torch.float64)
    assert expectation(terms).item() == pytest.approx((count - 1) / 2, rel=1e-12)


def test_dragans_scale_is_one_number_for_all_of_a_part() -> None:
    """Of a part whose columns are 0 and +-8 the standard deviation is that of its eight numbers, and moves both columns."""
    x = torch.tensor([[0.0, 8.0], [0.0, -8.0], [0.0, 8.0], [0.0, -8.0]])
    shown: list[Tensor] = []

    def spy(x: Tensor) -> Tensor:
        shown.append(x.detach())
        return square(x)

    torch.manual_seed(0)
    Dragan(scale=0.5).penalize(By(spy), (x,), (x,))
    torch.manual_seed(0)
    torch.testing.assert_close(shown[0], x + 0.5 * math.sqrt(4 * 64 / 7) * torch.rand(4, 2))


def test_r1r2_weighs_both_joints_alike_whatever_their_sizes() -> None:
    """Slopes of 1 on two samples of P and of 2 on six of Q: gamma / 2 * (1 + 4)."""
    assert R1R2(gamma=3.0).penalize(By(square), (torch.ones(2, 1),), (torch.full((6, 1), 2.0),)).item() == 7.5


def test_several_batches_are_told_as_one() -> None:
    """Their losses' means, and all their scores."""
    parts = [
        Outcome({"critic": torch.tensor(loss)}, {"q": torch.tensor(scores)})
        for loss, scores in ((1.0, [1.0, 2.0]), (4.0, [3.0, 5.0]))
    ]
    whole = dynamics.merge_outcomes(parts)
    assert whole.losses["critic"].item() == 2.5
    assert whole.scores["q"].tolist() == [1, 2, 3, 5]


def test_virtual_adversarial_training_moves_the_answer_beside_x_alone() -> None:
    """Of log-odds w x the slope of the charge in w is the mean of (b - a) (x + r), a at x and b at x + r, a being fixed."""

    class Odds(Sure):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

        def logits(self, x: Tensor, z: Tensor) -> Tensor:
            return torch.cat([self.w * x, 0 * x], dim=1)

    nothing = Deterministic(By(lambda x: 0 * x))
    critic = Odds()
    game = SemiALI(nothing, nothing, critic, StandardNormal(1).double(), vat=1.0, radius=0.7)
    x = column(0.1, -0.4, 0.9, 0.0)
    torch.manual_seed(0)
    beside = x + 0.7 * torch.randn_like(x).sign()
    torch.manual_seed(0)
    (found,) = torch.autograd.grad(game.vat_loss(x, 0 * x, critic.logits(x, x)), critic.w)
    a, b = (1 / (1 + (-3 * at).exp()) for at in (x, beside))
    torch.testing.assert_close(found, ((b - a) * beside).mean())


def test_a_gaussian_process_between_its_inducing_inputs() -> None:
    """One length from the only one, with k = w^2 e^(-1/2): the mean t e^(-1/2) and the variance w^2 (1 - 1 / e), but for a
    jitter of 1e-4."""
    encoder = GaussianProcess(nn.Identity(), 2, inducing=1, size_latent=4).double()
    torch.testing.assert_close(encoder.log_length.exp(), torch.full((4,), 2.0, dtype=torch.float64))  # sqrt 4
    assert encoder.log_width.exp().item() == pytest.approx(0.5)
    with torch.no_grad():
        encoder.inputs.zero_()
    xi = torch.tensor([[0.0, 2.0, 0.0, 0.0]], dtype=torch.float64)
    t = torch.tensor([[[3.0, -1.0]]], dtype=torch.float64)
    mean, variance = encoder.predict(xi, t)
    root = math.exp(-0.5)
    assert mean[0].tolist() == pytest.approx([3 * root / 1.0001, -root / 1.0001])
    assert variance.item() == pytest.approx(0.25 * (1 - root**2 / 1.0001))


def test_every_auxiliary_level_has_its_own_reverse_model() -> None:
    """Where r(a_1 | ..) and r(a_2 | a_1, ..) are q(a_1) and q(a_2), log q is that of z alone; the two have other means."""
    encoder = Auxiliary(Answers(0.0, 0.0, 0.0, 0.0), 1, size_a=1, levels=2).double()
    settle(encoder.last, 0.0, 0.0)
    settle(encoder.down[0], 5.0, 0.0)  # a_2
    settle(encoder.down[1], -7.0, math.log(2.0))  # a_1
    settle(encoder.up[0], -7.0, math.log(2.0))  # r(a_1 | x, z)
    settle(encoder.up[1], 5.0, 0.0)  # r(a_2 | a_1, x, z)
    z, log_q = rsample_with_log_prob(encoder(torch.zeros(6, 1, dtype=torch.float64)))
    torch.testing.assert_close(log_q, -z[:, 0].square() / 2 - math.log(2 * math.pi) / 2)


def test_draws_filters_are_gaussians_of_the_variance_that_is_said() -> None:
    """exp(-(a - mu)^2 / (2 sigma^2)): of sigma^2 = 4 a filter is e^(1/8) as high on its centre as a pixel beside it."""
    attention = Attention(1, 3, (1, 9, 9)).double()
    nn.init.zeros_(attention.where.weight)
    attention.where.bias.data = torch.tensor([0.0, 0.0, math.log(4.0), 0.0, 0.0]).double()
    f_y, f_x, gamma = attention.filters(torch.zeros(1, 1).double())
    assert gamma.item() == 1
    for bank in (f_y, f_x):  # three filters four pixels apart, the second on the middle of nine
        assert bank[0].argmax(1).tolist() == [0, 4, 8]
        for i, centre, beside in ((0, 0, 1), (1, 4, 5), (2, 8, 7)):
            assert (bank[0, i, centre] / bank[0, i, beside]).item() == pytest.approx(math.exp(1 / 8))


def test_what_is_simulated_has_the_noise_of_the_likelihood() -> None:
    """x = 3 + sigma e, and zeros and ones with the mean 1/4."""
    for likelihood, mean, std in (("gaussian", 3.0, 0.2), ("bernoulli", 0.25, math.sqrt(3) / 4)):
        decoder = Deterministic(By(lambda z, mean=mean: torch.full_like(z, mean)))
        game = VAE(Gaussian(Answers(0.0, 0.0)), decoder, StandardNormal(1), likelihood=likelihood, sigma=0.2)  # type: ignore[arg-type]
        torch.manual_seed(0)
        x = game.simulate(torch.zeros(DRAWS, 1))
        assert (x.mean().item(), x.std().item()) == pytest.approx((mean, std), rel=0.03)
        assert likelihood == "gaussian" or set(x.unique().tolist()) == {0.0, 1.0}


def test_densities_of_priors_at_a_point() -> None:
    """(2 pi)^(-3/2) e^(-7/2) at (1, 1, sqrt 5); 2^-3 within the cube; four Gaussians of width 1/2 around a circle of 3."""
    z = torch.tensor([[1.0, 1.0, math.sqrt(5)]], dtype=torch.float64)
    assert StandardNormal(3).log_prob(z).item() == pytest.approx(-3.5 - 1.5 * math.log(2 * math.pi))
    assert Uniform(3).log_prob(torch.tensor([[0.5, -1.0, 0.0], [0.5, 1.1, 0.0]])).tolist() == pytest.approx(
        [-3 * math.log(2), -math.inf]
    )
    around = Mixture(2, components=4, radius=3.0, std=0.5)
    assert around.mu.flatten().tolist() == pytest.approx([3, 0, 0, 3, -3, 0, 0, -3], abs=1e-6)
    far = math.exp(-18 / 0.5) * 2 + math.exp(-36 / 0.5)  # |3 - ..|^2 is 18 to two of the others, 36 to the last
    assert around.log_prob(torch.tensor([[3.0, 0.0]])).item() == pytest.approx(
        math.log((1 + far) / 4) - math.log(2 * math.pi * 0.25), rel=1e-6
    )


def test_population_statistics_are_plain_means_over_batches() -> None:
    """Batches around 2 and around 6 have the mean 4, whatever the momentum, which stays what it was."""

    class Normed(Game):
        players = {"p": ["norm"]}

        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(1, momentum=0.3).double()

        def sample(self, *batch: Tensor) -> dict[str, tuple[Tensor, ...]]:
            return {"x": (self.norm(*batch),)}

        def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
            return Outcome({"p": joints["x"][0].sum()})

    game = Normed()
    game(column(70.0, 90.0))  # training, whose statistics count no longer
    recalibrate_batch_norm(game, iter([(column(1.0, 3.0),), (column(4.0, 8.0),), (column(100.0, 0.0),)]), 2)
    assert game.norm.running_mean is not None
    assert game.norm.running_var is not None
    assert game.norm.running_mean.item() == pytest.approx(4)
    assert game.norm.running_var.item() == pytest.approx((2 + 8) / 2)
    assert (game.norm.momentum, game.training) == (0.3, False)


def test_an_outputs_bias_begins_at_the_log_odds_of_the_mean_image() -> None:
    bias = torch.zeros(1, 1, 3)
    init_output_bias(bias, torch.tensor([[[0.25, 0.0, 1.0]]]))
    assert bias.flatten().tolist() == pytest.approx([-math.log(3), -math.log(511), math.log(511)])
    init_output_bias(of_channels := torch.zeros(2), torch.tensor([[[0.1, 0.4]], [[0.5, 0.5]]]))
    assert of_channels.tolist() == pytest.approx([-math.log(3), 0])


def test_adaptation_counts_images_and_not_packs() -> None:
    """A critic that is shown pairs has half as many scores as there are images."""
    game = build("gan", (1, 8, 8), pack=2, augment="adaptive(images=1000)")
    counted: list[int] = []
    assert game.noise is not None
    game.noise.observe = lambda first, second, images: counted.append(images)  # type: ignore[method-assign]
    game.on_outcome(game(*batch(game, 16)))
    assert counted == [16]


def test_one_stage_shares_out_what_it_accumulates() -> None:
    """Two batches a step end where simultaneous moves on two batches end."""
    ends = []
    for name in ("one-stage", "simultaneous"):
        torch.manual_seed(0)
        critic = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))
        judge = By(lambda x, z, critic=critic: critic(torch.cat([x, z], dim=1)))
        judge.inner = critic
        game = ALI(Deterministic(nn.Linear(1, 1)), Deterministic(nn.Linear(1, 1)), judge, StandardNormal(1)).double()
        optimizers = {player: sgd(game.parameters_of(player), lr=0.1) for player in game.players}
        moves = dynamics.REGISTRY[name](game, optimizers, UpdateOptions(grad_accumulation=2))
        for _ in range(3):
            moves.step(iter([(column(0.5, 1.0),), (column(-2.0, 3.0),)]))
        ends.append(torch.cat([p.flatten() for p in game.parameters()]))
    torch.testing.assert_close(*ends, atol=1e-12, rtol=1e-9)


def test_optimizers_begin_as_they_say() -> None:
    """Adam with this family's beta1 of 0.5, SGD without momentum, and the rates of each."""
    parameter = nn.Parameter(torch.zeros(1))
    made = {name: optimizer([parameter]).param_groups[0] for name, optimizer in OPTIMIZERS.items()}
    assert (made["adam"]["betas"], made["adam"]["lr"]) == ((0.5, 0.999), 2e-4)
    assert (made["sgd"]["momentum"], made["sgd"]["lr"]) == (0, 1e-2)
    assert made["rmsprop"]["lr"] == 5e-5
    assert all(group["weight_decay"] == 0 for group in made.values())
