"""The likelihood side: what VAE and AVB are charged, priors with densities, encoders that know their moments, binary data."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from examples import playable
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

import interalia
from interalia import data, runs, tasks
from interalia.adversarial.divergences import GAN, FDivergence, Hinge, LeastSquares
from interalia.adversarial.divergences import REGISTRY as DIVERGENCES
from interalia.conditionals import (
    BasisNoise,
    Deterministic,
    Gaussian,
    Implicit,
    Learned,
    Mixture,
    StandardNormal,
    rsample_with_log_prob,
)
from interalia.data.binarize import binarize
from interalia.errors import UserError
from interalia.games import ALI, AVB, VAE
from interalia.games.capabilities import HasLikelihood
from interalia.networks.mlp import MLP, PairCritic
from interalia.runs import building, loading, recipes
from interalia.training import engine

POINTS, LATENT = 3, 2


class LogRatio(nn.Module):
    """The optimal critic of a Gaussian encoder: log q(z | x) - log p(z)."""

    def __init__(self, encoder: Gaussian, size: int) -> None:
        super().__init__()
        self.encoder = [encoder]  # no part of the critic
        self.prior = StandardNormal(size)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        found: Tensor = self.encoder[0](x).log_prob(z) - self.prior.log_prob(z)
        return found


def networks(double: bool = True) -> tuple[Gaussian, Deterministic]:
    torch.manual_seed(0)
    encoder, decoder = Gaussian(MLP(POINTS, 2 * LATENT, 8)), Deterministic(MLP(LATENT, POINTS, 8))
    return (encoder.double(), decoder.double()) if double else (encoder, decoder)


def x_of(count: int = 64) -> Tensor:
    return torch.randn(count, POINTS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_avb_with_the_analytic_critic_is_the_vae_on_the_same_draws() -> None:
    encoder, decoder = networks()
    vae = VAE(encoder, decoder, StandardNormal(LATENT), analytic=False).double()
    avb = AVB(encoder, decoder, LogRatio(encoder, LATENT), StandardNormal(LATENT)).double()
    losses = []
    for game in (vae, avb):
        torch.manual_seed(5)
        losses.append(game(x_of()).losses["autoencoder"])
    torch.testing.assert_close(losses[0], losses[1])
    theirs = [torch.autograd.grad(loss, list(decoder.parameters())) for loss in losses]
    torch.testing.assert_close(theirs[0], theirs[1])


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_one_sample_is_the_bound_and_the_closed_kl_its_mean(likelihood: str) -> None:
    encoder, _ = networks()
    decoder = Deterministic(nn.Sequential(MLP(LATENT, POINTS, 8), nn.Sigmoid())).double()
    prior = StandardNormal(LATENT).double()
    x = (x_of(1) > 0).double().repeat(20_000, 1)
    found = {}
    for analytic in (True, False):
        game = VAE(encoder, decoder, prior, likelihood, sigma=0.7, beta=1.5, analytic=analytic).double()  # type: ignore[arg-type]
        torch.manual_seed(2)
        found[analytic] = game(x).losses["autoencoder"]
    assert found[True].item() == pytest.approx(found[False].item(), abs=0.05)
    z = prior.sample((20_000,))
    mean = decoder(z).mean
    if likelihood == "bernoulli":
        by_hand = torch.distributions.Bernoulli(mean).log_prob(x).sum(1)
    else:
        by_hand = torch.distributions.Normal(mean, 0.7).log_prob(x).sum(1)
    torch.testing.assert_close(game.log_likelihood(x, z), by_hand)


def linear(k: int, doubly: bool = False) -> tuple[VAE, Tensor, float]:
    """A linear-Gaussian model with a posterior that is nearly its own, one x, and its log p(x)."""
    encoder, decoder = Gaussian(nn.Linear(POINTS, 2 * LATENT)), Deterministic(nn.Linear(LATENT, POINTS))
    with torch.no_grad():
        for p in (*encoder.parameters(), *decoder.parameters()):
            p.zero_()
        decoder.network.weight[:2] = encoder.network.weight[:2, :2] = torch.eye(2)
        encoder.network.weight[:2] *= 0.5  # of the posterior 1 / (1 + 0.64) = 0.61
        encoder.network.bias[2:] = math.log(0.7)  # of the posterior (0.64 / 1.64)^(1/2) = 0.62
    game = VAE(encoder, decoder, StandardNormal(LATENT), sigma=0.8, samples=k, doubly=doubly, analytic=False).double()
    x = torch.tensor([[0.3, -0.5, 1.0]], dtype=torch.float64)
    weight, bias = decoder.network.weight, decoder.network.bias
    covariance = (weight @ weight.T).detach() + 0.64 * torch.eye(POINTS, dtype=torch.float64)
    return game, x, float(MultivariateNormal(bias.detach(), covariance).log_prob(x))


def test_more_samples_tighten_the_bound() -> None:
    bounds = []
    for k in (1, 5, 50):
        game, x, truth = linear(k)
        torch.manual_seed(1)
        bounds.append(-float(game(x.repeat(4000, 1)).losses["autoencoder"].detach()))
    assert bounds[0] < bounds[1] < bounds[2] <= truth + 0.02
    assert bounds[2] == pytest.approx(truth, abs=0.05)


def test_the_doubly_reparameterised_gradient_has_the_same_mean_and_less_variance() -> None:
    gradients = {}
    for doubly in (False, True):
        game, x, _ = linear(8, doubly)
        rows = []
        for seed in range(300):
            torch.manual_seed(seed)
            game.zero_grad()
            game(x.repeat(40, 1)).losses["autoencoder"].backward()
            rows.append(torch.cat([p.grad.flatten() for p in game.parameters() if p.grad is not None]))
        gradients[doubly] = torch.stack(rows)
    plain, double = gradients[False], gradients[True]
    error = ((plain.var(0) + double.var(0)) / len(plain)).sqrt()
    assert ((plain.mean(0) - double.mean(0)).abs() <= 5 * error + 1e-9).all()
    own = slice(0, sum(p.numel() for p in game.encoder.parameters()))
    assert double[:, own].var(0).sum() < 0.8 * plain[:, own].var(0).sum()
    decoders = slice(own.stop, None)
    torch.testing.assert_close(plain[:, decoders], double[:, decoders])  # on the same draws


class Always(nn.Module):
    """A critic of one score."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = score

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return torch.full((len(z),), self.score, dtype=z.dtype)


class Nothing(nn.Module):
    """A critic that cannot tell anything."""

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return z.new_zeros(len(z))


def test_adaptive_contrast_of_a_gaussian_is_the_exact_kl() -> None:
    """The whitened sample is noise, so the optimal critic is 0, and what is left is log r - log p with r = q."""
    encoder, decoder = networks()
    x = x_of(1).repeat(200_000, 1)
    avb = AVB(encoder, decoder, Nothing(), StandardNormal(LATENT), contrast=True).double()
    vae = VAE(encoder, decoder, StandardNormal(LATENT)).double()
    torch.manual_seed(0)
    joints = avb.sample(x)
    assert avb.losses(joints).losses["autoencoder"].item() == pytest.approx(
        vae(x).losses["autoencoder"].item(), rel=2e-3
    )
    white = joints["q"][1]
    assert white.mean(0).abs().max() < 0.01
    assert (white.std(0) - 1).abs().max() < 0.01


def test_a_contrast_with_covariances_of_any_gaussian_is_the_exact_kl() -> None:
    """z = z_0 + sum_i a_i v_i(eps_i) with linear v_i is Gaussian, its dimensions correlate, and its KL is known."""
    torch.manual_seed(3)
    encoder = BasisNoise(MLP(POINTS, 4 * LATENT), LATENT, noise=4, basis=3, width=4, draws=100_000, start="published")

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Parameter(torch.randn(3, 4, 1) + 0.3 * torch.randn(3, 4, LATENT))

        def forward(self, eps: Tensor) -> Tensor:
            return torch.einsum("nif,ifk->nik", eps, self.maps)

    encoder.basis = Linear()  # type: ignore[assignment]
    with torch.no_grad():
        for parameter in encoder.network.parameters():
            parameter.mul_(0)
        last = list(encoder.network.parameters())[-1]  # the bias: z_0 and the a_i before their nonlinearity
        last.copy_(torch.cat([torch.randn(LATENT), 4.5 + torch.randn(3 * LATENT)]))
    _, decoder = networks()
    game = AVB(encoder, decoder, Nothing(), StandardNormal(LATENT), contrast=True, correlated=True).double()
    x = x_of(1).repeat(100_000, 1)
    z_0, a = last.detach().split([LATENT, 3 * LATENT])
    a = torch.nn.functional.elu(a.unflatten(0, (3, LATENT)) - 5) + 1
    factor = torch.cat(list(a[:, None, :] * encoder.basis.maps.detach()))  # type: ignore[operator] # (12, LATENT)
    exact, prior = MultivariateNormal(z_0, factor.T @ factor), MultivariateNormal(0 * z_0, torch.eye(LATENT).double())
    torch.manual_seed(0)
    with torch.no_grad():  # what a gradient needs of so many draws is a GB
        joints = game.sample(x)
        (mean,), white = joints["reconstruction"], joints["q"][1]
        told = (game.losses(joints).losses["autoencoder"] + game.log_density(x, mean).mean()).item()
        again = game.encoder(x).rsample()
    assert told == pytest.approx(torch.distributions.kl_divergence(exact, prior).item(), rel=0.01)
    assert white.mean(0).abs().max() < 0.02
    torch.testing.assert_close(white.T.cov(), torch.eye(LATENT).double(), atol=0.02, rtol=0)
    assert torch.corrcoef(again.T)[0, 1].abs() > 0.2  # so that variances alone would not whiten it


@pytest.mark.parametrize(("correlated", "error"), [(False, 6 / 150), (True, 6 * 9 / 600)])
def test_few_draws_for_the_moments_make_the_loss_too_small_by_what_is_said(correlated: bool, error: float) -> None:
    """Six independent dimensions, one v_i = eps_i, moments over 150 draws; r = q = p would cost nothing."""
    network = nn.Linear(1, 12)
    with torch.no_grad():
        network.weight.zero_()
        network.bias.copy_(torch.tensor([0.0] * 6 + [5.0] * 6))
    encoder = BasisNoise(network, 6, noise=6, basis=1, draws=150, start="published")
    encoder.basis = nn.Identity()  # type: ignore[assignment]
    game = AVB(encoder, Deterministic(MLP(6, 1)), Nothing(), StandardNormal(6), contrast=True, correlated=correlated)
    x, kl = torch.zeros(500, 1), []
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(400):
            joints = game.sample(x)
            (mean,) = joints["reconstruction"]
            kl.append(float(game.losses(joints).losses["autoencoder"] + game.log_density(x, mean).mean()))
    assert -np.mean(kl) == pytest.approx(error, rel=0.25, abs=3 * np.std(kl) / math.sqrt(len(kl)))


@pytest.mark.parametrize("basis", [1, 16])
def test_a_spanned_posterior_begins_at_the_priors_variance_or_as_published_nearly_without_noise(basis: int) -> None:
    x = torch.zeros(5_000, 4)
    torch.manual_seed(0)
    for start, low, high in (("prior", 0.8, 1.25), ("published", 0.0, 0.01)):
        q = BasisNoise(MLP(4, 3 * (1 + basis)), 3, noise=8, basis=basis, start=start)  # type: ignore[arg-type]
        torch.nn.init.zeros_(list(q.network.parameters())[-2])
        torch.nn.init.zeros_(list(q.network.parameters())[-1])
        with torch.no_grad():
            found = q(x).rsample().var(0)
        assert ((low < found) & (found < high)).all()


def test_covariances_without_an_adaptive_contrast_are_refused() -> None:
    encoder, decoder = networks()
    with pytest.raises(ValueError, match="set both, or neither"):
        AVB(encoder, decoder, PairCritic(MLP(POINTS + LATENT, 1)), StandardNormal(LATENT), correlated=True)


def test_covariances_hold_in_half_precision_and_those_of_nothing_are_no_numbers() -> None:
    """Dimensions that are nearly one: products in bfloat16 would make a matrix that has no root."""
    torch.manual_seed(0)
    size = 8
    encoder = BasisNoise(nn.Linear(3, 2 * size), size, noise=4, basis=1, start="published")
    game = AVB(encoder, Deterministic(MLP(size, 1)), Nothing(), StandardNormal(size), contrast=True, correlated=True)
    shared = torch.randn(256, 1, 1) + 0.1 * torch.randn(256, 1, size)
    q = encoder(torch.randn(64, 3))
    q.basis_draws = shared  # type: ignore[attr-defined]
    q.a = torch.rand(64, 1, size).bfloat16() + 1  # type: ignore[attr-defined]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        white, log_scale = game.whiten(torch.randn(64, size), q)
    assert white.isfinite().all()
    exact = torch.stack([a.diag() @ shared[:, 0].T.cov() @ a.diag() for a in q.a[:, 0].float()])  # type: ignore[attr-defined]
    floor = 1e-4 * torch.eye(size)
    torch.testing.assert_close(log_scale, (exact + floor).logdet() / 2, rtol=1e-3, atol=1e-3)
    q.a = q.a * torch.nan  # type: ignore[attr-defined]
    assert not game.whiten(torch.randn(64, size), q)[0].isfinite().any()


def test_a_gaussian_encoder_has_no_covariances_so_both_contrasts_are_one() -> None:
    encoder, decoder = networks()
    found = []
    for correlated in (False, True):
        torch.manual_seed(0)
        game = AVB(encoder, decoder, Nothing(), StandardNormal(LATENT), contrast=True, correlated=correlated).double()
        found.append(game(x_of()).losses["autoencoder"])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_avb_reads_the_same_ratio_off_every_divergence_or_refuses_it(divergence: str) -> None:
    encoder, decoder = networks()
    made = DIVERGENCES[divergence]()
    critic = PairCritic(MLP(POINTS + LATENT, 1))
    if not playable("avb", divergence):
        with pytest.raises(UserError, match=r"computes log q.*does not determine the density ratio"):
            AVB(encoder, decoder, critic, StandardNormal(LATENT), made)
        return
    u = torch.full((), 1.7, dtype=torch.float64)  # q / p, at which the optimal critic's score is
    if isinstance(made, LeastSquares):
        score = (made.b * u + made.a) / (u + 1)
    else:
        assert isinstance(made, FDivergence)
        at = u.clone().requires_grad_()
        (slope,) = torch.autograd.grad(made.f(at), at)
        low, high = torch.full_like(u, -40), torch.full_like(u, 40)
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if made.output(middle) < slope else (low, middle)
        score = low
    game = AVB(encoder, decoder, Always(float(score)), StandardNormal(LATENT), made).double()
    joints = game.sample(x_of())
    (mean,) = joints["reconstruction"]
    expected = math.log(1.7) - game.log_density(x_of(), mean).mean()
    torch.testing.assert_close(game.losses(joints).losses["autoencoder"], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3])
def test_a_spanned_conditional_knows_its_moments(size: int) -> None:
    torch.manual_seed(0)
    conditional = BasisNoise(MLP(4, size * 5, 8), size, noise=3, basis=4, width=16)
    for bias in conditional.basis.biases:
        nn.init.normal_(bias)
    q = conditional(torch.randn(1, 4).repeat(50_000, 1))
    z = q.rsample()
    assert z.shape == q.mean.shape == (50_000, size)
    assert ((z.mean(0) - q.mean[0]).abs() < 0.25 * z.std(0)).all()  # the moments are of a few hundred draws
    assert ((z.var(0) / q.variance[0]).log().abs() < 0.35).all()
    with pytest.raises(UserError, match="no density"):
        q.log_prob(z)
    with pytest.raises(ValueError, match="1 or more"):
        BasisNoise(MLP(4, 9), 3, basis=0)


@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("kind", [Mixture, Learned])
def test_mixtures_have_the_density_of_their_samples(kind: type[Mixture], size: int) -> None:
    torch.manual_seed(0)
    prior = kind(size, components=4, radius=3.0, std=0.7)
    z = prior.sample((40_000,)).detach()
    assert z.mean(0).abs().max() < 0.1 if size == 2 else z.shape == (40_000, size)
    # E_p[q / p] = 1 for another density q whose tails are not heavier
    narrow = kind(size, components=4, radius=3.0, std=0.6)
    assert float((narrow.log_prob(z) - prior.log_prob(z)).exp().mean().detach()) == pytest.approx(1, abs=0.03)
    assert bool(list(prior.parameters())) == (kind is Learned)


def test_a_learned_prior_moves_with_the_games_that_charge_it() -> None:
    for game in (
        VAE(networks(False)[0], networks(False)[1], Learned(LATENT)),
        AVB(*networks(False), PairCritic(MLP(POINTS + LATENT, 1)), Learned(LATENT)),
    ):
        loss = game(x_of().float()).losses["autoencoder"]
        gradients = torch.autograd.grad(loss, list(game.prior.parameters()))
        assert all(bool(g.any()) for g in gradients), type(game)
    with pytest.raises(UserError, match="does not train its prior"):
        building.build(runs.Run(game="ali", prior="learned", latent_dim=2), (2,))
    run = recipes.ali_digits(game="vae", prior="learned(components=5)", steps=30)
    trained = interalia.train(run.replace(evaluate_every=0))
    prior = trained.game.prior
    assert isinstance(prior, Learned)
    assert not torch.equal(prior.mu, Learned(16, components=5).mu)


def test_what_does_not_fit_is_refused_in_one_sentence() -> None:
    encoder, decoder = networks(False)
    implicit = Implicit(MLP(POINTS + 2, LATENT), 2)
    with pytest.raises(
        UserError, match="this encoder has no density; choose another `encoder`, such as gaussian, or the game avb"
    ):
        VAE(implicit, decoder, StandardNormal(LATENT))
    with pytest.raises(UserError, match="another `encoder`, such as basis-noise"):
        AVB(implicit, decoder, PairCritic(MLP(5, 1)), StandardNormal(LATENT), contrast=True)
    with pytest.raises(UserError, match="does not determine the density ratio"):
        AVB(encoder, decoder, PairCritic(MLP(5, 1)), StandardNormal(LATENT), Hinge())
    with pytest.raises(UserError, match="infinite"):
        building.build(runs.Run(game="vae", prior="uniform", latent_dim=2), (2,))
    with pytest.raises(ValueError, match="beta"):
        VAE(encoder, decoder, StandardNormal(LATENT), beta=2.0, samples=5)
    ali = ALI(encoder, decoder, PairCritic(MLP(5, 1)), StandardNormal(LATENT), GAN())
    assert not isinstance(ali, HasLikelihood)
    with pytest.raises(UserError, match=r"give `binarize=.dynamic.`"):
        engine.prepare(recipes.ali_digits(game="vae(likelihood='bernoulli')"))
    with pytest.raises(UserError, match="no density"):
        rsample_with_log_prob(implicit(x_of().float()))


def test_the_plane_of_z_is_even_in_probability() -> None:
    trained = interalia.train(recipes.ali_digits(game="vae", latent_dim=2, steps=2, evaluate_every=0))
    x = tasks.manifold(trained.game, grid_size=5)
    assert x.shape == (5, 5, 1, 8, 8)
    middle = tasks.decode(trained.game, torch.zeros(1, 2))
    torch.testing.assert_close(x[2, 2][None], middle)
    corner = torch.special.ndtri(torch.tensor([[0.1, 0.9]]))  # the upper left: z_1 low, z_2 high
    torch.testing.assert_close(x[0, 0][None], tasks.decode(trained.game, corner))
    with pytest.raises(UserError, match="train with `latent_dim=2`"):
        tasks.manifold(building.build(runs.Run(game="vae", latent_dim=3), (2,)))


# ---- binarization


def test_pixels_are_drawn_with_their_grey_values() -> None:
    digits = data.load("digits")
    fixed, fresh = (binarize(digits, how) for how in ("static", "dynamic"))
    for part in ("train", "validation", "test"):
        x = getattr(fixed, part).x
        assert np.array_equal(x, getattr(fresh, part).x)  # what is measured on is the same
        assert set(np.unique(x)) == {0, 255}
        gray = getattr(digits, part).x
        error = math.sqrt(float((gray / 255 * (1 - gray / 255)).sum()))
        assert abs(x.sum() / 255 - gray.sum() / 255) < 5 * error
        assert not x[gray == 0].any()
        assert x[gray == 255].all()
    assert fixed.binary
    assert fresh.binary
    assert not digits.binary
    assert fixed.gray is None
    assert fresh.gray is digits.train
    with pytest.raises(UserError, match="has vectors"):
        binarize(data.load("grid25"), "static")
    with pytest.raises(UserError, match="one data set"):
        loading.load_dataset(runs.Run(data="digits", data_b="digits", game="cyclegan", binarize="dynamic"))


def test_training_images_are_drawn_anew_and_resume_bit_for_bit(tmp_path: Path) -> None:
    run = recipes.ali_digits(
        game="vae(likelihood='bernoulli')", binarize="dynamic", batch_size=1297, steps=6, evaluate_every=0
    ).replace(schedule="constant")
    training = engine.prepare(run)
    (first,), (second,) = itertools.islice(training.batches, 2)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first.sum(0), second.sum(0))
    whole = interalia.train(run, out=tmp_path / "whole")
    interalia.train(run.replace(steps=3), out=tmp_path / "parts")
    parts = interalia.train(run, out=tmp_path / "parts", resume=True)
    for key, value in whole.game.state_dict().items():
        assert torch.equal(value, parts.game.state_dict()[key]), key


def test_a_likelihood_keeps_its_precision_under_autocast() -> None:
    game = engine.prepare(
        recipes.ali_digits(game="vae(likelihood='bernoulli')", binarize="static", image_size=16, precision="bf16")
    ).game
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mean = game.decoder(100 * torch.randn(64, 16)).mean
    assert mean.dtype == torch.float32
    assert not torch.equal(mean, mean.bfloat16().float())  # which has no more than 128 numbers above 1/2
