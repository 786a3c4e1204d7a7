"""Every game on three images of two numbers and latents of three: which joints it samples, which networks each part of them
depends on, and what each player is charged.

Networks are linear maps whose numbers stand here, the prior's draws too; a divergence and a penalty that weigh every score
with a power of ten tell what was charged on which joint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MultivariateNormal, Normal

from interalia import games
from interalia.adversarial.divergences import Divergence
from interalia.adversarial.penalties import Penalty
from interalia.conditionals import Chain, Codes, Deterministic, Gaussian, Prior, StandardNormal
from interalia.games import CycleGAN, Game
from interalia.games.avb import VARIANCE_FLOOR
from interalia.networks.layers import PairCritic, Recogniser

REGISTRY: dict[str, Any] = games.REGISTRY


def rows(*values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


X = rows([0.5, -0.3], [1.5, 0.7], [-0.9, 2.1])
X_L = rows([0.2, 1.1], [-1.3, 0.4])  # labelled, fewer
Z = rows([0.4, -1.2, 0.6], [-0.7, 0.3, 1.9], [1.1, 0.8, -0.5])
Z_CODES = rows([0.4, 1.0, 0.0], [-0.7, 0.0, 1.0], [1.1, 0.0, 1.0])  # style and a category


class Numbers(Prior):
    """A prior whose next draws are these, of the density of a standard normal."""

    mean, variance = 0.0, 1.0

    def __init__(self, z: Tensor) -> None:
        super().__init__(z.shape[1])
        self.z = z

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        assert shape in ((3,), (1,))  # one draw is asked for when a game sees whether there is a density
        return self.z[: shape[0]]

    def log_prob(self, z: Tensor) -> Tensor:
        return Normal(0.0, 1.0).log_prob(z).sum(1)


class Category(Codes):
    """One of two categories beside a number, whose next draws are those above."""

    def __init__(self) -> None:
        super().__init__(3, categorical=(2,), uniform=0)

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        assert shape == (3,)
        return Z_CODES


def linear(weight: Tensor, bias: Sequence[float]) -> nn.Linear:
    made = nn.Linear(*weight.shape).double()
    made.weight.data, made.bias.data = weight.T.clone(), torch.tensor(bias, dtype=torch.float64)
    return made


A, A_0 = rows([0.5, -0.2, 0.3], [1.2, 0.4, -0.6]), (0.1, 0.2, -0.3)
B, B_0 = rows([0.7, -0.4], [0.2, 0.9], [-1.1, 0.3]), (0.05, -0.15)
C, C_0 = rows([0.3, 0.8, -0.2], [0.6, -0.5, 0.1], [0.2, 0.4, 0.9]), (0.2, -0.1, 0.3)  # of z to z
LOG_SIGMA = (-0.5, 0.2, -1.0)
S_X, S_Z, S_1 = rows([0.9], [-0.4]), rows([0.3], [0.5], [-0.7]), rows([-0.8], [0.25], [0.15])


def encoded(x: Tensor) -> Tensor:
    return x @ A + rows(A_0)


def decoded(z: Tensor) -> Tensor:
    return z @ B + rows(B_0)


def level(z: Tensor) -> Tensor:
    return z @ C + rows(C_0)


def encoder() -> Deterministic:
    return Deterministic(linear(A, A_0))


def decoder() -> Deterministic:
    return Deterministic(linear(B, B_0))


def gaussian() -> Gaussian:
    return Gaussian(linear(torch.cat([A, torch.zeros(2, 3)], dim=1), (*A_0, *LOG_SIGMA)))


class Weighed(nn.Module):
    """A critic that is a weighted sum of all that it is shown."""

    def __init__(self, *weights: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.weights = weights

    def forward(self, *c: Tensor) -> Tensor:
        return self.w * sum(part @ weight for part, weight in zip(c, self.weights, strict=True))[:, 0]


class Marked(Divergence):
    """The critic pays mean p + 10 mean q, the generator 100 mean p + 1000 mean q, and log p / q is 7 times the score."""

    def on_p(self, p: Tensor) -> Tensor:
        return p

    def on_q(self, q: Tensor) -> Tensor:
        return 10 * q

    def generator_loss(self, p: Tensor, q: Tensor) -> Tensor:
        return 100 * p.mean() + 1000 * q.mean()

    def log_ratio(self, score: Tensor) -> Tensor:
        return 7 * score


class Charged(Penalty):
    """30,000 mean s(p) + 70,000 mean s(q)."""

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        return 30_000 * critic(*p).mean() + 70_000 * critic(*q).mean()


SETTINGS: dict[str, Any] = {"divergence": Marked(), "penalty": Charged()}


def paid(p: Tensor, q: Tensor) -> float:
    return float(p.mean() + 10 * q.mean())


def deceived(p: Tensor, q: Tensor) -> float:
    return float(100 * p.mean() + 1000 * q.mean())


def charged(p: Tensor, q: Tensor) -> float:
    return float(30_000 * p.mean() + 70_000 * q.mean())


def of_pair(x: Tensor, z: Tensor) -> Tensor:
    return (x @ S_X + z @ S_Z)[:, 0]


def of_x(x: Tensor) -> Tensor:
    return (x @ S_X)[:, 0]


def of_z(z: Tensor) -> Tensor:
    return (z @ S_Z)[:, 0]


def square(a: Tensor, b: Tensor) -> float:
    """The mean over all numbers of the squared difference."""
    return sum((p - q) ** 2 for p, q in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)) / a.numel()


def absolute(a: Tensor, b: Tensor) -> float:
    return sum(abs(p - q) for p, q in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)) / a.numel()


ROUND = decoded(encoded(X))  # x^
BACK = encoded(decoded(Z))  # z^^
Q, P = of_pair(X, encoded(X)), of_pair(decoded(Z), Z)


def check(
    game: Game,
    batch: Sequence[Tensor],
    joints: dict[str, tuple[Tensor, ...]],
    depends: dict[str, str],
    losses: dict[str, float],
    scores: dict[str, Tensor],
) -> None:
    """`depends` has a word for each part of a joint: E and G where it moves with encoder and decoder, - with neither."""
    found = game.sample(*batch)
    assert list(found) == list(joints)
    for name, joint in joints.items():
        assert len(found[name]) == len(joint), name
        for at, (ours, theirs, word) in enumerate(zip(found[name], joint, depends[name].split(), strict=True)):
            torch.testing.assert_close(ours, theirs, msg=lambda text, at=at, name=name: f"{name}[{at}]: {text}")
            networks = {letter: getattr(game, key, None) for letter, key in (("E", "encoder"), ("G", "decoder"))}
            reached = ""
            for letter, network in networks.items():
                parameters = [] if network is None else [p for p in network.parameters() if p.requires_grad]
                if ours.requires_grad and parameters:
                    slopes = torch.autograd.grad(ours.sum(), parameters, retain_graph=True, allow_unused=True)
                    reached += letter if any(slope is not None and bool(slope.any()) for slope in slopes) else ""
            assert (reached or "-") == word, f"{name}[{at}]"
    outcome = game.losses(found)
    assert {key: loss.item() for key, loss in outcome.losses.items()} == pytest.approx(losses, rel=1e-9)
    assert all(loss.shape == () for loss in outcome.losses.values())
    assert list(outcome.scores) == list(scores)
    for name, by_hand in scores.items():
        torch.testing.assert_close(outcome.scores[name], by_hand)


TOGETHER = pytest.mark.parametrize("joint_batch", [True, False])


@TOGETHER
def test_gan(joint_batch: bool) -> None:
    game = REGISTRY["gan"](decoder(), Weighed(S_X), Numbers(Z), joint_batch=joint_batch, **SETTINGS)
    data, model = of_x(X), of_x(decoded(Z))
    losses = {"critic": paid(data, model) + charged(data, model), "generator": deceived(data, model)}
    joints = {"data": (X,), "model": (decoded(Z),)}
    check(game, [X], joints, {"data": "-", "model": "G"}, losses, {"data": data, "model": model})


@TOGETHER
@pytest.mark.parametrize("name", ["ali", "posthoc-ali"])
def test_ali_and_the_same_after_the_fact(name: str, joint_batch: bool) -> None:
    game = REGISTRY[name](encoder(), decoder(), Weighed(S_X, S_Z), Numbers(Z), joint_batch=joint_batch, **SETTINGS)
    other = "generator" if name == "ali" else "encoder"
    losses = {"critic": paid(Q, P) + charged(Q, P), other: deceived(Q, P)}
    joints = {"q": (X, encoded(X)), "p": (decoded(Z), Z)}
    check(game, [X], joints, {"q": "- E", "p": "G -" if name == "ali" else "- -"}, losses, {"q": Q, "p": P})


@TOGETHER
@pytest.mark.parametrize("distance", ["mse", "l1"])
@pytest.mark.parametrize(("cycle", "cycle_z"), [(2.0, 3.0), (0.0, 3.0), (2.0, 0.0)])
def test_alice(cycle: float, cycle_z: float, distance: str, joint_batch: bool) -> None:
    game = REGISTRY["alice"](
        encoder(), decoder(), Weighed(S_X, S_Z), Numbers(Z),
        cycle=cycle, cycle_z=cycle_z, distance=distance, joint_batch=joint_batch, **SETTINGS,
    )  # fmt: skip
    lost = square if distance == "mse" else absolute
    generator = deceived(Q, P) + cycle * lost(ROUND, X) + cycle_z * lost(BACK, Z)
    joints = {"q": (X, encoded(X)), "p": (decoded(Z), Z), "cycle": (ROUND, X)}
    joints |= {"cycle_z": (BACK, Z)} if cycle_z else {}
    depends = {"q": "- E", "p": "G -", "cycle": "EG -", "cycle_z": "EG -"}
    losses = {"critic": paid(Q, P) + charged(Q, P), "generator": generator}
    check(game, [X], joints, depends, losses, {"q": Q, "p": P})


@TOGETHER
def test_adversarial_alice(joint_batch: bool) -> None:
    critic, other = Weighed(S_X, S_Z), Weighed(S_X, 3 * S_X)
    game = REGISTRY["alice-adversarial"](
        encoder(), decoder(), critic, Numbers(Z), cycle_critic=other, weight=0.5, joint_batch=joint_batch, **SETTINGS
    )
    same, cycle = 4 * of_x(X), of_x(X) + 3 * of_x(ROUND)
    losses = {
        "critic": paid(Q, P) + charged(Q, P) + 0.5 * (paid(same, cycle) + charged(same, cycle)),
        "generator": deceived(Q, P) + 0.5 * deceived(same, cycle),
    }
    joints = {"q": (X, encoded(X)), "p": (decoded(Z), Z), "same": (X, X), "cycle": (X, ROUND)}
    depends = {"q": "- E", "p": "G -", "same": "- -", "cycle": "- EG"}
    check(game, [X], joints, depends, losses, {"q": Q, "p": P, "same": same, "cycle": cycle})


@TOGETHER
@pytest.mark.parametrize("cycle", [0.0, 3.0])
def test_hali(cycle: float, joint_batch: bool) -> None:
    up, down = Chain(encoder(), Deterministic(linear(C, C_0))), Chain(Deterministic(linear(C.T, C_0)), decoder())
    game = REGISTRY["hali"](
        up, down, Weighed(S_X, S_1, S_Z), Numbers(Z), cycle=cycle, joint_batch=joint_batch, **SETTINGS
    )
    z1_tilde = Z @ C.T + rows(C_0)
    x_tilde = decoded(z1_tilde)
    q = of_pair(X, level(encoded(X))) + (encoded(X) @ S_1)[:, 0]
    p = of_pair(x_tilde, Z) + (z1_tilde @ S_1)[:, 0]
    joints = {"q": (X, encoded(X), level(encoded(X))), "p": (x_tilde, z1_tilde, Z)}
    joints |= {"cycle": (ROUND, X)} if cycle else {}
    losses = {"critic": paid(q, p) + charged(q, p), "generator": deceived(q, p) + cycle * square(ROUND, X)}
    check(game, [X], joints, {"q": "- E E", "p": "G G -", "cycle": "EG -"}, losses, {"q": q, "p": p})


class Labels(nn.Module):
    """The logits s(x, z) and -2 s(x, z)."""

    classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.judge = Weighed(S_X, S_Z)

    def logits(self, x: Tensor, z: Tensor) -> Tensor:
        s = self.judge(x, z)
        return torch.stack([s, -2 * s], dim=1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.logits(x, z).logsumexp(1)


@TOGETHER
@pytest.mark.parametrize("cycle", [0.0, 3.0])
def test_semi_supervised_ali(cycle: float, joint_batch: bool) -> None:
    game = REGISTRY["semi-ali"](
        encoder(), decoder(), Labels(), Numbers(Z), label_weight=0.5, cycle=cycle, joint_batch=joint_batch, **SETTINGS
    )
    y = torch.tensor([1, 0])
    q, p = ((s.exp() + (-2 * s).exp()).log() for s in (Q, P))
    s_l = of_pair(X_L, encoded(X_L))
    read = -Categorical(logits=torch.stack([s_l, -2 * s_l], dim=1)).log_prob(y).mean()
    joints = {"q": (X, encoded(X)), "labeled": (X_L, encoded(X_L), y), "p": (decoded(Z), Z)}
    joints |= {"cycle": (ROUND, X)} if cycle else {}
    losses = {
        "critic": paid(q, p) + charged(q, p) + 0.5 * float(read),
        "generator": deceived(q, p) + cycle * square(ROUND, X),
    }
    depends = {"q": "- E", "labeled": "- - -", "p": "G -", "cycle": "EG -"}
    check(game, [X, X_L, y], joints, depends, losses, {"q": q, "p": p})
    s = of_pair(X, encoded(X))
    torch.testing.assert_close(game.classify(X), torch.stack([(3 * s).sigmoid(), (-3 * s).sigmoid()], dim=1))


@TOGETHER
@pytest.mark.parametrize("distance", ["mse", "l1"])
def test_adversarial_autoencoder(distance: str, joint_batch: bool) -> None:
    game = REGISTRY["aae"](
        encoder(), decoder(), Weighed(S_Z), Numbers(Z),
        weight=3.0, distance=distance, adversarial=0.5, joint_batch=joint_batch, **SETTINGS,
    )  # fmt: skip
    lost = square if distance == "mse" else absolute
    prior, posterior = of_z(Z), of_z(encoded(X))
    losses = {
        "critic": paid(prior, posterior) + charged(prior, posterior),
        "autoencoder": 3 * lost(ROUND, X) + 0.5 * deceived(prior, posterior),
    }
    joints = {"prior": (Z,), "posterior": (encoded(X),), "cycle": (ROUND, X)}
    depends = {"prior": "-", "posterior": "E", "cycle": "EG -"}
    check(game, [X], joints, depends, losses, {"prior": prior, "posterior": posterior})


class Read(nn.Module):
    """[1.5 x_1 + x_2 | sigmoid(x_1) | sigmoid(-x_1)]"""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        style = 1.5 * x[:, 0] + x[:, 1]
        return self.w * torch.stack([style, x[:, 0].sigmoid(), (-x[:, 0]).sigmoid()], dim=1)


@TOGETHER
def test_semi_supervised_adversarial_autoencoder(joint_batch: bool) -> None:
    game = REGISTRY["semi-aae"](
        Deterministic(Read()), decoder(), Weighed(S_Z), Category().double(),
        weight=3.0, label_weight=0.5, joint_batch=joint_batch, **SETTINGS,
    )  # fmt: skip
    y = torch.tensor([1, 0])
    first = 1 / (1 + (-X[:, 0]).exp())
    z_hat = torch.stack([1.5 * X[:, 0] + X[:, 1], first, 1 - first], dim=1)
    first_l = 1 / (1 + (-X_L[:, 0]).exp())
    z_l = torch.stack([1.5 * X_L[:, 0] + X_L[:, 1], first_l, 1 - first_l], dim=1)
    prior, posterior = of_z(Z_CODES), of_z(z_hat)
    read = -(math.log(1 - first_l[0]) + math.log(first_l[1])) / 2
    losses = {
        "critic": paid(prior, posterior) + charged(prior, posterior),
        "autoencoder": 3 * square(decoded(z_hat), X) + deceived(prior, posterior) + 0.5 * read,
    }
    joints = {"prior": (Z_CODES,), "posterior": (z_hat,), "cycle": (decoded(z_hat), X), "labeled": (z_l, y)}
    depends = {"prior": "-", "posterior": "E", "cycle": "EG -", "labeled": "E -"}
    check(game, [X, X_L, y], joints, depends, losses, {"prior": prior, "posterior": posterior})
    torch.testing.assert_close(game.classify(X), z_hat[:, 1:])


def test_latent_regressors() -> None:
    x_tilde = decoded(Z)
    alone = REGISTRY["latent-regressor"](encoder(), decoder(), Numbers(Z))
    lost = square(encoded(x_tilde), Z)
    check(alone, [X], {"model": (x_tilde, Z)}, {"model": "- -"}, {"regressor": lost}, {})
    beside = REGISTRY["joint-latent-regressor"](
        decoder(), Weighed(S_X), Numbers(Z), encoder=encoder(), weight=0.5, **SETTINGS
    )
    data, model = of_x(X), of_x(x_tilde)
    losses = {
        "critic": paid(data, model) + charged(data, model),
        "generator": deceived(data, model) + 0.5 * lost,
        "regressor": lost,
    }
    joints = {"data": (X,), "model": (x_tilde,), "latent": (x_tilde, Z)}
    depends = {"data": "-", "model": "G", "latent": "G -"}
    check(beside, [X], joints, depends, losses, {"data": data, "model": model})


@TOGETHER
def test_infogan(joint_batch: bool) -> None:
    """Codes of two categories and one number, of which the critic's answers are weighted sums too."""
    answers = rows([0.6, -0.2, 0.9], [-0.3, 0.5, 0.4])

    class Coded(Codes):
        def sample(self, shape: tuple[int, ...]) -> Tensor:
            return Z_CODES.flip(1)  # a category, a number

    prior = Coded(3, categorical=(2,), uniform=1, std=0.5).double()
    z = Z_CODES.flip(1)
    z = torch.cat([z[:, :2], z[:, 2:]], dim=1)
    critic = Recogniser(nn.Identity(), Weighed(S_X), linear(answers, (0.1, 0.2, -0.3)))
    game = REGISTRY["infogan"](
        decoder(), critic, prior, weight=3.0, continuous_weight=5.0, joint_batch=joint_batch, **SETTINGS
    )
    data, model = of_x(X), of_x(decoded(z))
    told = decoded(z) @ answers + rows((0.1, 0.2, -0.3))
    categories = (z[:, :2] * (told[:, :2] - told[:, :2].exp().sum(1, keepdim=True).log())).sum(1).mean() + math.log(2)
    number = Normal(told[:, 2], 0.5).log_prob(z[:, 2]).mean() + math.log(2)
    known = float(3 * categories + 5 * number)
    losses = {
        "critic": paid(data, model) + charged(data, model) - known,
        "generator": deceived(data, model) - known,
    }
    joints = {"data": (X,), "model": (decoded(z),), "code": (z,)}
    check(game, [X], joints, {"data": "-", "model": "G", "code": "-"}, losses, {"data": data, "model": model})


@TOGETHER
def test_vae_gan(joint_batch: bool) -> None:
    """f(x) is a weighted sum of x each, and the score one of f(x)."""
    features, judge = rows([0.6, -0.2, 0.9], [-0.3, 0.5, 0.4]), rows([0.7], [-0.9], [0.4])
    critic = PairCritic(linear(judge, (0.3,)), linear(features, (0.1, 0.2, -0.3)))
    game = REGISTRY["vae-gan"](
        gaussian(),
        decoder(),
        critic,
        StandardNormal(3).double(),
        feature=3.0,
        gamma=0.5,
        joint_batch=joint_batch,
        **SETTINGS,
    )
    game.prior.sample = lambda shape: Z  # type: ignore[method-assign]
    torch.manual_seed(0)
    joints = game.sample(X)
    torch.manual_seed(0)
    sigma = rows(LOG_SIGMA).exp().expand(3, 3)
    x_hat = decoded(encoded(X) + sigma * torch.randn(3, 3, dtype=torch.float64))

    def f(x: Tensor) -> Tensor:
        return x @ features + rows((0.1, 0.2, -0.3))

    def s(x: Tensor) -> Tensor:
        return (f(x) @ judge)[:, 0] + 0.3

    def kl(mu: float, sd: float) -> float:
        return math.log(1 / sd) + (sd**2 + mu**2) / 2 - 1 / 2

    data, reconstruction, model = s(X), s(x_hat), s(decoded(Z))
    d = 3 * square(f(x_hat), f(X)) / 2  # sums over three features
    told = sum(kl(m, v) for m, v in zip(encoded(X).flatten().tolist(), sigma.flatten().tolist(), strict=True)) / 3
    losses = {
        "encoder": told + 3 * d,
        "decoder": 0.5 * d + (deceived(data, reconstruction) + deceived(data, model)) / 2,
        "critic": (paid(data, reconstruction) + paid(data, model)) / 2 + charged(data, model),
    }
    game.sample = lambda x: joints  # type: ignore[method-assign]
    by_hand = {"data": (X,), "reconstruction": (x_hat,), "model": (decoded(Z),), "posterior": (encoded(X), sigma)}
    depends = {"data": "-", "reconstruction": "EG", "model": "G", "posterior": "E E"}
    check(game, [X], by_hand, depends, losses, {"data": data, "reconstruction": reconstruction, "model": model})
    ((high, low),) = game.score_pairs(game.losses(joints))
    torch.testing.assert_close(high, data)
    torch.testing.assert_close(low, torch.cat([reconstruction, model]))


# --- the likelihood side --------------------------------------------------------------------------------------------


def likelihood(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    return Normal(mean, sigma).log_prob(x).sum(1)


def drawn_from_posterior(count: int = 1) -> tuple[Tensor, Tensor, Normal]:
    """z^ of the next standard normal numbers, `count` in a row for each image, log q(z^ | x), and q."""
    torch.manual_seed(0)
    mean = encoded(X).repeat_interleave(count, dim=0)
    q = Normal(mean, rows(LOG_SIGMA).exp().expand_as(mean))
    z = q.mean + q.stddev * torch.randn(mean.shape, dtype=torch.float64)
    return z, q.log_prob(z).sum(1), q


class Seeded:
    """Samples with the seed that `drawn_from_posterior` has."""

    def __init__(self, game: Game) -> None:
        self.sample_of = game.sample
        game.sample = self  # type: ignore[method-assign, assignment]

    def __call__(self, *batch: Tensor) -> Any:
        torch.manual_seed(0)
        return self.sample_of(*batch)


@pytest.mark.parametrize("beta", [1.0, 4.0])
@pytest.mark.parametrize("analytic", [True, False])
def test_vae_of_one_sample(analytic: bool, beta: float) -> None:
    game = REGISTRY["vae"](gaussian(), decoder(), StandardNormal(3).double(), sigma=0.4, beta=beta, analytic=analytic)
    Seeded(game)
    z, log_q, q = drawn_from_posterior()
    standard = Normal(0.0, 1.0)
    at_z = (log_q - standard.log_prob(z).sum(1)).mean()
    kl = torch.distributions.kl_divergence(q, Normal(torch.zeros(3), 1.0)).sum(1).mean() if analytic else at_z
    loss = float(beta * kl - likelihood(X, decoded(z), 0.4).mean())
    joints = {"q": (X, z), "reconstruction": (decoded(z),)}
    joints |= {"posterior": (q.mean, q.stddev) if analytic else (log_q,)}
    depends = {"q": "- E", "reconstruction": "EG", "posterior": "E E" if analytic else "E"}
    check(game, [X], joints, depends, {"autoencoder": loss}, {})


@pytest.mark.parametrize("doubly", [False, True])
def test_vae_of_four_samples(doubly: bool) -> None:
    """-log of the mean weight, and of the doubly reparameterised gradient, in mu of the second image alone, the slope
    -sum_k w_k^2 d/dz [log p(x, z) - log q(z | x)], w_k the weights' shares."""
    network = linear(torch.cat([A, torch.zeros(2, 3)], dim=1), (*A_0, *LOG_SIGMA))
    kept: list[Tensor] = []
    network.register_forward_hook(lambda module, inputs, answers: kept.append(answers))
    game = REGISTRY["vae"](
        Gaussian(network), decoder(), StandardNormal(3).double(), sigma=0.8, samples=4, doubly=doubly
    )
    Seeded(game)
    z, log_q, q = drawn_from_posterior(4)
    images = X.repeat_interleave(4, dim=0)
    log_w = likelihood(images, decoded(z), 0.8) + Normal(0.0, 1.0).log_prob(z).sum(1) - log_q
    weights = log_w.exp().view(3, 4)
    loss = float(-weights.mean(1).log().mean())
    joints = {"q": (X, z), "reconstruction": (decoded(z),), "posterior": (log_q,)}
    check(game, [X], joints, {"q": "- E", "reconstruction": "EG", "posterior": "E"}, {"autoencoder": loss}, {})
    with torch.no_grad():  # as evaluations do
        assert game(X).losses["autoencoder"].item() == pytest.approx(loss)
    if doubly:
        kept.clear()
        game.zero_grad()
        joints = game.sample(X)
        kept[0].retain_grad()
        game.losses(joints).losses["autoencoder"].backward()
        share = (weights / weights.sum(1, keepdim=True)).view(-1, 1)
        in_z = (images - decoded(z)) @ B.T / 0.8**2 - z + (z - q.mean) / q.stddev.square()
        in_mu = -(share.square() * in_z).view(3, 4, 3).sum(1) / 3
        in_log_sigma = -(share.square() * in_z * (z - q.mean)).view(3, 4, 3).sum(1) / 3
        torch.testing.assert_close(kept[0].grad, torch.cat([in_mu, in_log_sigma], dim=1))
        residual = (images - decoded(z)) / 0.8**2
        torch.testing.assert_close(game.decoder.network.bias.grad, -(share * residual).sum(0) / 3)


@TOGETHER
@pytest.mark.parametrize("learned", [False, True])
def test_avb(learned: bool, joint_batch: bool) -> None:
    game = REGISTRY["avb"](
        encoder(), decoder(), Weighed(S_X, S_Z), Numbers(Z), sigma=0.4, joint_batch=joint_batch, **SETTINGS
    )
    if learned:
        game.prior.register_parameter("m", nn.Parameter(torch.zeros(())))
    p = of_pair(X, Z)
    loss = float((7 * Q - likelihood(X, ROUND, 0.4)).mean())
    joints = {"q": (X, encoded(X)), "p": (X, Z), "reconstruction": (ROUND,), "posterior": (encoded(X),)}
    depends = {"q": "- E", "p": "- -", "reconstruction": "EG", "posterior": "E"}
    losses = {"critic": paid(Q, p) + charged(Q, p), "autoencoder": loss}
    check(game, [X], joints, depends, losses, {"q": Q, "p": p})


@pytest.mark.parametrize("correlated", [False, True])
def test_avb_with_adaptive_contrast(correlated: bool) -> None:
    game = REGISTRY["avb"](
        gaussian(), decoder(), Weighed(S_X, S_Z), Numbers(Z),
        sigma=0.4, contrast=True, correlated=correlated, **SETTINGS,
    )  # fmt: skip
    Seeded(game)
    z, _, q = drawn_from_posterior()
    noise = torch.randn(3, 3, dtype=torch.float64)  # drawn next
    width = (q.variance + 1e-4).sqrt()
    white = (z - q.mean) / width
    at_q, at_p = of_pair(X, white), of_pair(X, noise)
    ratio = 7 * at_q + Normal(q.mean, width).log_prob(z).sum(1) - Normal(0.0, 1.0).log_prob(z).sum(1)
    joints = {"q": (X, white), "p": (X, noise), "scale": (width.log().sum(1),)}
    joints |= {"reconstruction": (decoded(z),), "posterior": (z,)}
    depends = {"q": "- E", "p": "- -", "scale": "-", "reconstruction": "EG", "posterior": "E"}
    losses = {
        "critic": paid(at_q, at_p) + charged(at_q, at_p),
        "autoencoder": float((ratio - likelihood(X, decoded(z), 0.4)).mean()),
    }
    check(game, [X], joints, depends, losses, {"q": at_q, "p": at_p})


def test_a_sample_is_whitened_by_the_root_of_its_own_covariance() -> None:
    """Of two images; a third whose covariance is none is no number, and spoils no other."""

    class Known:
        mean = rows([0.3, -0.2], [1.0, 0.5], [0.0, 0.0])
        covariance = torch.stack([rows([2.0, 0.6], [0.6, 0.5]), rows([1.5, -0.9], [-0.9, 0.8]), -torch.eye(2).double()])
        variance = covariance.diagonal(dim1=1, dim2=2)

    game = REGISTRY["avb"](gaussian(), decoder(), Weighed(S_X, S_Z), Numbers(Z), contrast=True, correlated=True)
    z = rows([0.9, 0.4], [-0.6, 1.3], [0.2, 0.1])
    assert VARIANCE_FLOOR == 1e-4
    white, log_scale = game.whiten(z, Known())
    for i in range(2):
        covariance = Known.covariance[i] + VARIANCE_FLOOR * torch.eye(2).double()
        exact = MultivariateNormal(Known.mean[i], covariance)
        assert log_scale[i].item() == pytest.approx(covariance.logdet().item() / 2)
        (a, _), (b, c) = torch.linalg.cholesky(covariance).tolist()
        first = (z[i, 0] - Known.mean[i, 0]) / a
        torch.testing.assert_close(white[i], torch.stack([first, (z[i, 1] - Known.mean[i, 1] - b * first) / c]))
        density = Normal(0.0, 1.0).log_prob(white[i]).sum() - log_scale[i]
        assert density.item() == pytest.approx(exact.log_prob(z[i]).item())
    assert white[2].isnan().all()
    assert log_scale[2].isnan()
    assert white.shape == (3, 2)


# --- CycleGAN -------------------------------------------------------------------------------------------------------

THERE, BACK_AGAIN = rows([0.7, -0.4], [0.2, 0.9]), rows([1.2, 0.3], [-0.5, 0.6])
B_DATA = rows([0.1, 0.8], [-0.6, 0.3], [1.4, -0.2])


@pytest.mark.parametrize("identity", [0.0, 0.5])
@pytest.mark.parametrize(("cycle", "adversarial"), [(3.0, 2.0), (0.0, 2.0), (3.0, 0.0)])
def test_cyclegan(cycle: float, adversarial: float, identity: float) -> None:
    game = CycleGAN(
        linear(THERE, (0.1, 0.2)), linear(BACK_AGAIN, (-0.3, 0.4)), Weighed(S_X), Weighed(-2 * S_X),
        cycle=cycle, adversarial=adversarial, identity=identity, **SETTINGS,
    )  # fmt: skip

    def to_b(x: Tensor) -> Tensor:
        return x @ THERE + rows((0.1, 0.2))

    def to_a(x: Tensor) -> Tensor:
        return x @ BACK_AGAIN + rows((-0.3, 0.4))

    fake_b, fake_a = to_b(X), to_a(B_DATA)
    joints = {"a": X, "b": B_DATA, "fake_a": fake_a, "fake_b": fake_b, "pooled_a": fake_a, "pooled_b": fake_b}
    cycled = {"cycled_a": to_a(fake_b), "cycled_b": to_b(fake_a)}
    same = {"same_a": to_a(X), "same_b": to_b(B_DATA)}
    joints |= (cycled if cycle else {}) | (same if cycle and identity else {})
    found = game.sample(X, B_DATA)
    assert {name: len(joint) for name, joint in found.items()} == dict.fromkeys(joints, 1)
    for name, by_hand in joints.items():
        torch.testing.assert_close(found[name][0], by_hand)
        moves = {"a": "", "b": "", "fake_a": "a", "fake_b": "b", "pooled_a": "", "pooled_b": ""}
        moves |= {"cycled_a": "ab", "cycled_b": "ab", "same_a": "a", "same_b": "b"}
        for letter, network in (("a", game.to_a), ("b", game.to_b)):
            parameters = list(network.parameters())
            part = found[name][0].sum()
            slopes = (
                torch.autograd.grad(part, parameters, retain_graph=True, allow_unused=True)
                if part.requires_grad
                else ()
            )
            assert any(slope is not None for slope in slopes) == (letter in moves[name]), name
    at = {"a": of_x(X), "fake_a": of_x(fake_a), "b": -2 * of_x(B_DATA), "fake_b": -2 * of_x(fake_b)}
    generator = adversarial * (deceived(at["a"], at["fake_a"]) + deceived(at["b"], at["fake_b"]))
    pairs = [(cycled["cycled_a"], X, cycle), (cycled["cycled_b"], B_DATA, cycle)]
    pairs += [(same["same_a"], X, cycle * identity), (same["same_b"], B_DATA, cycle * identity)]
    generator += sum(weight * 2 * absolute(ours, theirs) for ours, theirs, weight in pairs)
    critic = sum(paid(at[d], at[f"fake_{d}"]) + charged(at[d], at[f"fake_{d}"]) for d in "ab")
    outcome = game.losses(found)
    assert {key: loss.item() for key, loss in outcome.losses.items()} == pytest.approx(
        {"generator": generator, "critic": critic}
    )
    assert list(outcome.scores) == ["a", "fake_a", "b", "fake_b"]
    for name, by_hand in at.items():
        torch.testing.assert_close(outcome.scores[name], by_hand)
    for (high, low), domain in zip(game.score_pairs(outcome), "ab", strict=True):
        assert high is outcome.scores[domain]
        assert low is outcome.scores[f"fake_{domain}"]


def test_patches_are_charged_each_and_told_as_their_mean() -> None:
    """Images of 2 x 3 pixels, each of which has a score, and a cost that is no straight line of it."""

    class Square(Marked):
        def on_p(self, p: Tensor) -> Tensor:
            return p.square()

    class Patches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x[:, 0]

    a, b = (torch.randn(4, 1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    game = CycleGAN(nn.Identity(), nn.Identity(), Patches(), Patches(), divergence=Square(), pool=0)
    outcome = game.losses(game.sample(a, b))
    expected = (4 * (a.square() + b.square()) + 10 * 2 * (a + b)).mean()
    torch.testing.assert_close(outcome.losses["critic"], expected)
    for name, x in (("a", a), ("b", b), ("fake_a", b), ("fake_b", a)):
        torch.testing.assert_close(outcome.scores[name], 2 * x.mean(dim=(1, 2, 3)))


def test_each_domain_has_a_pool_of_its_own_that_a_critic_in_training_is_shown() -> None:
    def make() -> CycleGAN:
        return CycleGAN(
            linear(THERE, (0.1, 0.2)), linear(BACK_AGAIN, (-0.3, 0.4)), linear(S_X, (0.0,)), linear(S_X, (0.0,)), pool=3
        )

    def held(game: CycleGAN) -> dict[str, int]:
        return {domain: len(pool.samples) for domain, pool in game.pools.items()}

    game = make()
    joints = game.eval().sample(X, B_DATA)
    for domain in "ab":
        assert joints[f"fake_{domain}"][0].requires_grad
        assert not joints[f"pooled_{domain}"][0].requires_grad
    assert held(game) == {"a": 0, "b": 0}
    with torch.no_grad():
        game.train().sample(X, B_DATA)
    assert held(game) == {"a": 0, "b": 0}
    with game.only("generator"):
        game.sample(X, B_DATA)
    assert held(game) == {"a": 0, "b": 0}
    game.critic_a.weight.requires_grad_(False)  # type: ignore[union-attr, operator]
    game.sample(X, B_DATA)
    assert held(game) == {"a": 3, "b": 3}  # a bias is left that moves
    game = make()
    game.critic_a.requires_grad_(False)
    game.sample(X, B_DATA)
    assert held(game) == {"a": 0, "b": 3}
    torch.testing.assert_close(torch.stack(game.pools["b"].samples), X @ THERE + rows((0.1, 0.2)))
    game.noise = Remembers()  # type: ignore[assignment]
    memory = game.extra_state()
    assert set(memory) == {"pool_a", "pool_b", "strength"}
    other = make()
    other.noise = Remembers()  # type: ignore[assignment]
    other.noise.strength = 0.0
    other.load_extra_state({**memory, "pool_a": 5 * X_L})
    assert other.noise.strength == 0.5
    assert held(other) == {"a": 2, "b": 3}
    torch.testing.assert_close(torch.stack(other.pools["a"].samples), 5 * X_L)
    shown = [make().train() for _ in range(2)]
    torch.manual_seed(0)
    pools = [{domain: shown[0].sample(X + k, B_DATA + k)[f"pooled_{domain}"][0] for domain in "ab"} for k in range(3)]
    assert any(
        not torch.equal(pool["a"], (B_DATA + k) @ BACK_AGAIN + rows((-0.3, 0.4))) for k, pool in enumerate(pools)
    )
    for pool in pools:
        assert not any(part.requires_grad for part in pool.values())


class Remembers:
    strength = 0.5

    def state_dict(self) -> dict[str, Tensor]:
        return {"strength": torch.tensor(self.strength)}

    def load_state_dict(self, state: Any) -> None:
        self.strength = state["strength"].item()


# --- every encoder and decoder is drawn from --------------------------------------------------------------------------

WIDE = rows([2.0, 2.0]).log()
DRAWS: dict[str, tuple[Callable[[Any, Any], Game], list[tuple[str, int]]]] = {
    "gan": (lambda e, g: REGISTRY["gan"](g, Weighed(S_X), Numbers(Z)), [("model", 0)]),
    "infogan": (
        lambda e, g: REGISTRY["infogan"](
            g, Recogniser(nn.Identity(), Weighed(S_X), nn.Linear(2, 2).double()), Category().double()
        ),
        [("model", 0)],
    ),
    **{
        name: (
            lambda e, g, name=name: REGISTRY[name](e, g, Weighed(S_X, S_Z), Numbers(Z)),
            [("q", 1), ("p", 0)],
        )
        for name in ("ali", "posthoc-ali")
    },
    "alice": (
        lambda e, g: REGISTRY["alice"](e, g, Weighed(S_X, S_Z), Numbers(Z), cycle_z=1.0),
        [("q", 1), ("p", 0), ("cycle", 0), ("cycle_z", 0)],
    ),
    "alice-adversarial": (
        lambda e, g: REGISTRY["alice-adversarial"](e, g, Weighed(S_X), Numbers(Z), cycle_critic=Weighed(S_X)),
        [("q", 1), ("p", 0), ("cycle", 1)],
    ),
    "aae": (
        lambda e, g: REGISTRY["aae"](e, g, Weighed(S_Z), Numbers(Z)),
        [("posterior", 0), ("cycle", 0)],
    ),
    "latent-regressor": (
        lambda e, g: REGISTRY["latent-regressor"](e, g, Numbers(Z)),
        [("model", 0)],
    ),
    "joint-latent-regressor": (
        lambda e, g: REGISTRY["joint-latent-regressor"](g, Weighed(S_X), Numbers(Z), encoder=e),
        [("model", 0), ("latent", 0)],
    ),
    "vae-gan": (
        lambda e, g: REGISTRY["vae-gan"](
            e, g, PairCritic(nn.Linear(2, 1).double(), nn.Identity()), StandardNormal(3).double()
        ),
        [("reconstruction", 0), ("model", 0)],
    ),
    "vae": (lambda e, g: REGISTRY["vae"](e, g, StandardNormal(3).double()), [("q", 1)]),
    "avb": (lambda e, g: REGISTRY["avb"](e, g, Weighed(S_X, S_Z), Numbers(Z)), [("q", 1)]),
}


@pytest.mark.parametrize("name", DRAWS)
def test_what_is_stochastic_is_drawn_anew_for_every_joint(name: str) -> None:
    """Two looks at one batch differ in every part that a Gaussian network answers, and in no other."""
    make, parts = DRAWS[name]
    wide = Gaussian(linear(torch.cat([B, torch.zeros(3, 2)], dim=1), (*B_0, *WIDE[0].tolist())))
    game = make(gaussian(), wide)
    torch.manual_seed(0)
    first, second = game.sample(X), game.sample(X)
    for key, at in parts:
        assert not torch.isclose(first[key][at], second[key][at]).any(), (key, at)
