"""Likelihoods of zeros and ones are exact at any logit, for every decoder, and so are their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import examples
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent
from torch.nn import functional

from interalia import games
from interalia.conditionals import Conditional, Deterministic, Gaussian, Uniform, decoder_logits, safe_log, safe_logit
from interalia.conditionals.priors import Codes, StandardNormal
from interalia.errors import UserError
from interalia.games import AVB, VAE, LatentRegressor, SemiAAE
from interalia.games.vae import Variational
from interalia.metrics.likelihood import annealing
from interalia.networks.layers import HalfTanh, PairCritic, PartialSoftmax, Sigmoid
from interalia.networks.mlp import MLP
from interalia.runs import building

LOGITS = [10.0, 15.0, 16.0, 17.0, 20.0, 40.0, 100.0, -10.0, -17.0, -20.0, -40.0, -100.0, 0.0, 1.0]


def exact(logit: float, x: float) -> tuple[float, float]:
    """log p(x) and its slope in the logit, in the 53 bits of Python's numbers."""
    right = logit if x else -logit
    log_p = -math.log1p(math.exp(-right)) if right > 0 else right - math.log1p(math.exp(right))
    slope = math.exp(-right) / (1 + math.exp(-right)) if right > 0 else 1 / (1 + math.exp(right))
    return log_p, slope if x else -slope


def functionally(a: Tensor) -> Tensor:
    return torch.sigmoid(a)


class Own(nn.Module):
    """Somebody's decoder of images, with the sigmoid before the shape."""

    def __init__(self, squash: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.squash = squash

    def forward(self, z: Tensor) -> Tensor:
        return self.squash(z).view(-1, 1, 1, 1).contiguous()


class OwnBernoulli(Conditional):
    """Somebody's conditional that answers torch's own distribution."""

    def forward(self, *c: Tensor) -> Distribution:
        return Independent(Bernoulli(logits=self.network(*c)), 1)


DECODERS: dict[str, Callable[[], Conditional]] = {
    "the library's": lambda: Deterministic(nn.Sequential(nn.Identity(), Sigmoid())),
    "torch's": lambda: Deterministic(nn.Sigmoid()),
    "before the shape": lambda: Deterministic(nn.Sequential(nn.Sigmoid(), nn.Unflatten(1, (1, 1, 1)))),
    "own module": lambda: Deterministic(Own(nn.Sigmoid())),
    "own function": lambda: Deterministic(Own(functionally)),
    "a method": lambda: Deterministic(Own(Tensor.sigmoid)),
    "torch's distribution": lambda: OwnBernoulli(nn.Identity()),
    "exported": lambda: Deterministic(Own(torch.ops.aten.sigmoid.default)),  # as an exported module calls it
}


def game_of(decoder: Conditional, kind: str = "vae") -> Variational:
    if kind == "avb":
        critic = PairCritic(MLP(2, 1, width=4))
        return AVB(Gaussian(MLP(1, 2, width=4)), decoder, critic, StandardNormal(1), likelihood="bernoulli")
    return VAE(Gaussian(MLP(1, 2, width=4)), decoder, StandardNormal(1), likelihood="bernoulli")


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_a_pixel_costs_what_its_logit_says_and_teaches_it(name: str, x: float) -> None:
    game = game_of(DECODERS[name]())
    for logit in LOGITS:
        z = torch.tensor([[logit]], requires_grad=True)
        shape = game.decoder(z).mean.shape
        value = game.log_likelihood(torch.full(shape, x), z)
        (slope,) = torch.autograd.grad(value.sum(), z)
        assert (value.item(), slope.item()) == pytest.approx(exact(logit, x), rel=1e-6, abs=1e-44), logit


def test_the_probabilities_that_the_decoder_answers_are_what_they_were() -> None:
    z = torch.linspace(-30, 30, 7)[:, None]
    game = game_of(Deterministic(Sigmoid()))
    game.log_likelihood(torch.ones(7, 1), z)
    torch.testing.assert_close(game.decoder(z).mean, z.sigmoid(), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["vae", "avb"])
def test_training_moves_a_decoder_that_is_surely_wrong(kind: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(1, 4)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([40.0, -40.0, 17.0, -100.0]))
    game = game_of(Deterministic(nn.Sequential(layer, Sigmoid())), kind)
    game.encoder = Gaussian(MLP(4, 2, width=4))
    if isinstance(game, AVB):
        game.critic = PairCritic(MLP(5, 1, width=4))
    loss = game(torch.tensor([[0.0, 1.0, 0.0, 1.0]] * 3)).losses["autoencoder"]
    (slope,) = torch.autograd.grad(loss, layer.bias)
    torch.testing.assert_close(slope, torch.tensor([1.0, -1.0, 1.0, -1.0]))  # a mean over the batch


FAMILIES = {
    "auto": (1, 16, 16), "mlp": (1, 4, 4), "draw": (1, 8, 8), "avb": (1, 8, 8), "bigan-mlp": (1, 4, 4),
    "ali-28": (1, 28, 28), "fgan-mnist": (1, 4, 4), "infogan": (1, 8, 8),
}  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_decoder_of_images_keeps_its_logits(family: str, precision: str) -> None:
    torch.manual_seed(0)
    infers = examples.able(family, "encoder")
    small = {"width": 8, "critic_width": 4, "features": 4} if family == "avb" else {}
    made = examples.networks(family, FAMILIES[family], latent=8, infers=infers, **small)
    decoder = Deterministic(made.decoder).eval()
    bias = made.family.output_bias(made.decoder)
    last = bias if bias is not None else [p for n, p in decoder.named_parameters() if n.endswith("bias")][-1]
    with torch.no_grad():
        last.add_(40.0)  # where the mean in float32 is 1
    z = torch.randn(3, 8)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        found = decoder_logits(decoder, z)
        mean = decoder(z).mean
    assert found.dtype == mean.dtype == torch.float32
    torch.testing.assert_close(found.sigmoid(), mean, rtol=0, atol=0)
    assert 30 < found.median() < 50


@pytest.mark.parametrize("name", ["iwae-mnist", "draw-mnist", "vae-hvi-mnist", "conv-vae-hvi-mnist", "avb-mnist"])
def test_the_recipes_on_zeros_and_ones_play_with_logits(name: str) -> None:
    from interalia.runs import recipes

    torch.manual_seed(0)
    shape = (1, 16, 16)
    changed: dict[str, object] = {"encoder": "hamiltonian(steps=2, width=8)"} if "hvi" in name else {}
    game = building.build(recipes.REGISTRY[name](latent_dim=16, **changed), shape)
    assert game.binary
    x = torch.bernoulli(torch.full((4, *shape), 0.3))
    bias = [p for n, p in game.decoder.named_parameters() if n.endswith(("bias", "blank"))][-1]
    if name == "draw-mnist":
        bias = game.decoder.network.blank  # type: ignore[assignment, union-attr]
    with torch.no_grad():
        bias.fill_(60.0)
    loss = game(x).losses["autoencoder"]
    (slope,) = torch.autograd.grad(loss, bias)
    zeros = (1 - x).flatten(1).sum(1).mean().item()
    assert loss.item() > 50 * zeros  # each pixel that is 0 costs about 60 nats
    assert slope.sum().item() == pytest.approx(zeros, rel=0.02)  # and asks for less with a slope of 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_annealed_chains_follow_the_exact_slope(precision: str) -> None:
    game = game_of(Deterministic(Sigmoid()))
    x = torch.tensor([[0.0], [1.0], [0.0], [1.0], [1.0]])
    z = torch.tensor([[40.0], [-40.0], [-17.0], [17.0], [0.0]])
    density = annealing.image_density(game, x, precision)
    expected = [exact(a, b) for a, b in zip(z.flatten().tolist(), x.flatten().tolist(), strict=True)]
    value, slope = density(z, True)
    assert value.tolist() == pytest.approx([one for one, _ in expected], rel=1e-6, abs=1e-30)
    assert slope.flatten().tolist() == pytest.approx([one for _, one in expected], rel=1e-6, abs=1e-30)
    _, slope = density(z, False)
    assert slope.flatten().tolist() == pytest.approx([one for _, one in expected], rel=1e-2, abs=1e-9)


class Sharper(VAE):
    """Somebody's game with a density of its own."""

    def log_density(self, x: Tensor, outputs: Tensor) -> Tensor:
        return 2 * super().log_density(x, outputs)


def test_annealed_chains_follow_a_density_of_ones_own() -> None:
    game = Sharper(Gaussian(MLP(1, 2, width=4)), Deterministic(Sigmoid()), StandardNormal(1), likelihood="bernoulli")
    x, z = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [3.0]])
    value, slope = annealing.image_density(game, x)(z, True)
    expected = [exact(3.0, 0.0), exact(3.0, 1.0)]
    assert value.tolist() == pytest.approx([2 * one for one, _ in expected], rel=1e-6)
    assert slope.flatten().tolist() == pytest.approx([2 * one for _, one in expected], rel=1e-6)


def test_the_slope_is_differentiable_itself() -> None:
    game = game_of(Deterministic(Sigmoid()))
    z = torch.tensor([[1.0], [-2.0], [0.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(game.log_likelihood(torch.ones(3, 1), z).sum(), z, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), z)
    torch.testing.assert_close(bend, -(z.sigmoid() * (-z).sigmoid()).detach())


class Rounded(nn.Module):
    """A decoder that answers numbers of which nobody knows the logits."""

    def forward(self, p: Tensor) -> Tensor:
        return p * 1.0


def test_probabilities_alone_are_taken_as_exactly_as_they_are() -> None:
    game = game_of(Deterministic(Rounded()))
    p = torch.tensor([[0.25], [1e-30], [1 - 2**-24], [0.0], [1.0]], requires_grad=True)
    value = game.log_likelihood(torch.ones(5, 1), p)
    assert value[:3].tolist() == pytest.approx([math.log(0.25), math.log(1e-30), -(2**-24)], rel=1e-6)
    assert value[3].item() == pytest.approx(math.log(1e-36), rel=1e-6)
    (slope,) = torch.autograd.grad(game.log_likelihood(torch.tensor([[0.0]] * 4 + [[0.0]]), p).sum(), p)
    assert slope[0].item() == pytest.approx(-4 / 3)
    assert -1e8 < slope[4].item() < -1e6  # the pixel that is surely wrong is told so
    (slope,) = torch.autograd.grad(game.log_likelihood(torch.ones(5, 1), p).sum(), p)
    assert 1e6 < slope[3].item() < 1e8
    assert slope.isfinite().all()


def test_a_decoder_that_is_changed_after_its_sigmoid_is_taken_at_its_word() -> None:
    def half_is_set(p: Tensor) -> Tensor:
        p[:] = p.detach() * 0.5
        return p

    def half_is_written(p: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.mul(p, 0.5, out=p)

    changes = (lambda p: p * 0.5, lambda p: p.mul_(0.5), lambda p: p.view(-1, 1).mul_(0.5))
    for late in (*changes, half_is_set, half_is_written):
        decoder = Deterministic(Own(lambda z, late=late: late(z.sigmoid())))  # type: ignore[misc]
        torch.testing.assert_close(decoder_logits(decoder, torch.zeros(1, 1)).flatten(), torch.tensor([-math.log(3)]))


def test_means_outside_of_the_unit_interval_are_refused() -> None:
    with pytest.raises(UserError, match=r"go from -0.964 to 0.964"):
        game_of(Deterministic(nn.Tanh())).log_likelihood(torch.ones(2, 1), torch.tensor([[2.0], [-2.0]]))
    assert safe_logit(torch.tensor([math.nan])).isnan().all()  # which the training itself ends at


# --- sisters: other losses that take the logarithm of what a network squashes ---------------------------------------


@pytest.mark.parametrize("squash", [HalfTanh(), nn.Sequential(nn.Tanh(), nn.Identity())])
def test_a_regressor_that_is_surely_wrong_learns(squash: nn.Module) -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    game = LatentRegressor(
        Deterministic(nn.Sequential(layer, squash)), Deterministic(nn.Identity()), Uniform(1), "cross-entropy"
    )
    twice = 1.0 if isinstance(squash, HalfTanh) else 2.0  # (1 + tanh(a)) / 2 = sigmoid(2 a)
    for a in (1.0, 15.0, 20.0, 40.0):
        x = torch.tensor([[a]])
        loss = game.losses({"model": (x, torch.tensor([[-1.0]]))}).losses["regressor"]
        (slope,) = torch.autograd.grad(loss, layer.weight)
        log_p, pull = exact(twice * a, 0.0)
        assert loss.item() == pytest.approx(-log_p, rel=1e-6)
        assert slope.item() == pytest.approx(-pull * twice * a, rel=1e-6)


def test_a_cross_entropy_of_an_encoder_without_bounds_is_refused() -> None:
    with pytest.raises(UserError, match="choose `encoder='deterministic'`, or another distance"):
        LatentRegressor(Gaussian(MLP(1, 2, width=4)), Deterministic(nn.Identity()), Uniform(1), "cross-entropy")


@pytest.mark.parametrize("gap", [5.0, 18.0, 25.0, 60.0])
def test_a_category_that_is_surely_wrong_learns(gap: float) -> None:
    answers = torch.tensor([[0.3, gap, 0.0, 0.0]], requires_grad=True)  # style, and the logits of 3 labels
    prior = Codes(4, categorical=(3,), uniform=0)
    game = SemiAAE(
        Deterministic(nn.Identity()), Deterministic(nn.Linear(4, 2)), PairCritic(MLP(4, 1, width=4)), prior, weight=0.0
    )
    z_l, y = PartialSoftmax(3)(answers), torch.tensor([2])
    z = prior.sample((1,))
    joints = {"prior": (z,), "posterior": (z,), "cycle": (z, z), "labeled": (z_l, y)}
    without = game.divergence.generator_loss(*game.score(game.critic, (z,), (z,)))
    lost = game.losses(joints).losses["autoencoder"] - without
    expected = functional.cross_entropy(answers[:, 1:], y)
    assert lost.item() == pytest.approx(expected.item(), rel=1e-5)
    (slope,) = torch.autograd.grad(lost, answers, retain_graph=True)
    (exactly,) = torch.autograd.grad(expected, answers)
    torch.testing.assert_close(slope, exactly, rtol=1e-5, atol=1e-6)


def test_the_logarithm_of_nothing_has_a_slope() -> None:
    p = torch.zeros(1, requires_grad=True)
    safe_log(p).backward()
    assert p.grad is not None
    assert 1e6 < p.grad.item() < 1e8


def test_the_games_with_a_bernoulli_likelihood_are_those_above() -> None:
    assert {name for name, kind in games.REGISTRY.items() if issubclass(kind, Variational)} == {"vae", "avb"}
