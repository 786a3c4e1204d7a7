"""Bounds and estimates of log p(x): laws of the samplers, and closed forms on linear-Gaussian models."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program import interalia
from torch import Tensor, nn

from interalia import UserError, conditionals, registry
from interalia.conditionals import Deterministic, Gaussian, Implicit, Mixture, StandardNormal, Uniform
from interalia.data.dataset import Dataset, Split
from interalia.games import AVB, GAN, VAE, Game
from interalia.metrics import likelihood
from interalia.metrics.likelihood import (
    annealed_importance,
    annealing,
    bidirectional_check,
    elbo,
    estimate,
    importance_bound,
    kernel_estimate,
)
from interalia.metrics.likelihood.hamiltonian import (
    Bridge,
    LogDensity,
    State,
    autograd_density,
    leapfrog,
    normal_density,
    product_density,
    transition,
    tuned_steps,
    tuning_transitions,
)
from interalia.networks.mlp import MLP, PairCritic
from interalia.papers import calibration
from interalia.spaces import DataSpec


def binary_game(latents: int = 3, pixels: int = 6) -> VAE:
    torch.manual_seed(0)
    decoder = nn.Sequential(MLP(latents, pixels, width=16), nn.Sigmoid())
    return VAE(
        Gaussian(MLP(pixels, 2 * latents)), Deterministic(decoder), StandardNormal(latents), likelihood="bernoulli"
    ).double()


def zeros_and_ones(count: int = 4, pixels: int = 6) -> Tensor:
    return torch.bernoulli(torch.full((count, pixels), 0.4), generator=torch.Generator().manual_seed(1)).double()


def images(game: VAE, count: int, seed: int = 7) -> Tensor:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        return game.simulate(game.prior.sample((count,)))


QUICK: dict[str, Any] = {"chains": 4, "temperatures": 20, "leapfrog": 3, "simulated": 0}


# ---- bounds


def test_with_one_sample_the_importance_bound_is_the_elbo() -> None:
    game = binary_game()
    x = zeros_and_ones()
    assert (
        importance_bound(game, x, samples=1, seed=3).values.tolist() == elbo(game, x, samples=1, seed=3).values.tolist()
    )


def test_bounds_rise_with_the_samples_to_the_truth() -> None:
    game = calibration.linear_gaussian(4, pixels=10)
    x = images(game, 8)
    truth = calibration.exact_density(game).log_prob(x)
    many = x.repeat(200, 1)  # expectations by averages over repetitions
    found = [
        importance_bound(game, many, samples=samples).values.unflatten(0, (200, 8)).mean() for samples in (1, 4, 16)
    ]
    last = importance_bound(game, x, samples=5000).values
    assert found[0] + 0.05 < found[1] < found[2] < truth.mean() + 0.02
    assert last.numpy() == pytest.approx(truth.numpy(), abs=0.15)


def test_the_elbo_is_its_closed_form() -> None:
    game = calibration.linear_gaussian(3, pixels=8)
    x = images(game, 5)
    w, b = game.decoder.network.weight.detach(), game.decoder.network.bias.detach()
    q = game.encoder(x)
    m, v = q.mean.detach(), q.variance.detach()
    kl = ((m.square() + v - 1) / 2 - v.log() / 2).sum(1)
    spread = (v[:, None] * w.square()).sum((1, 2))
    log_p = -((x - m @ w.T - b).square().sum(1) + spread) / (2 * game.sigma**2) - 4 * math.log(
        2 * math.pi * game.sigma**2
    )
    found = elbo(game, x, samples=20_000)
    assert found.values.numpy() == pytest.approx((log_p - kl).numpy(), abs=0.06)
    assert found.mean == pytest.approx(float(found.values.mean()))
    assert found.error == pytest.approx(float(found.values.std()) / math.sqrt(5))


def test_a_bound_in_chunks_is_that_of_its_weights() -> None:
    parts = [torch.randn(3, n, dtype=torch.float64) * 100 for n in (1, 5, 4)]
    whole = torch.cat(parts, dim=1)
    assert likelihood.bounds.log_mean_exp(iter(parts)).numpy() == pytest.approx(
        (whole.logsumexp(1) - math.log(10)).numpy()
    )
    assert likelihood.bounds.mean_of(iter(parts)).numpy() == pytest.approx(whole.mean(1).numpy())
    game, x = calibration.linear_gaussian(3, pixels=8), images(calibration.linear_gaussian(3, pixels=8), 5)
    small, large = importance_bound(game, x, samples=3000, rows=7), importance_bound(game, x, samples=3000, rows=4000)
    assert small.values.numpy() == pytest.approx(large.values.numpy(), abs=0.2)


# ---- Hamiltonian Monte Carlo


def gaussians() -> tuple[Bridge, Tensor, Tensor]:
    """From N(0, I) to another Gaussian: their bridge, and mean and standard deviations half-way, by hand."""
    m, s = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.3, 1.0, 2.0]).double()
    precision = 0.5 + 0.5 / s.square()
    return (
        Bridge(normal_density(torch.zeros_like(m), torch.ones_like(s)), normal_density(m, s)),
        0.5 * m / s.square() / precision,
        (precision.rsqrt()),
    )


def test_leapfrog_is_reversible_and_keeps_volumes() -> None:
    bridge, _, _ = gaussians()
    z, v = torch.randn(2, 5, 3, dtype=torch.float64).unbind()
    step = torch.tensor([0.2, 0.1, 0.3]).double()
    end, w = leapfrog(bridge, bridge.at(z), v, 0.5, step, 10)
    back, u = leapfrog(bridge, end, -w, 0.5, step, 10)
    assert back.z.numpy() == pytest.approx(z.numpy(), abs=1e-10)
    assert (-u).numpy() == pytest.approx(v.numpy(), abs=1e-10)

    def flow(zv: Tensor) -> Tensor:
        end, w = leapfrog(bridge, bridge.at(zv[None, :3]), zv[None, 3:], 0.5, step, 10)
        return torch.cat([end.z[0], w[0]])

    jacobian = torch.autograd.functional.jacobian(flow, torch.cat([z[0], v[0]]))
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1, abs=1e-9)


def test_transitions_preserve_a_gaussians_moments() -> None:
    bridge, mean, scale = gaussians()
    torch.manual_seed(0)
    state = bridge.at(mean + scale * torch.randn(20_000, 3, dtype=torch.float64))
    chances = []
    for _ in range(5):
        state, chance = transition(bridge, state, 0.5, torch.tensor(0.45).double(), 4)
        chances.append(chance.mean())
    assert 0.5 < float(torch.stack(chances).mean()) < 0.99  # steps long enough that the acceptance matters
    assert state.z.mean(0).numpy() == pytest.approx(mean.numpy(), abs=0.03)
    assert state.z.std(0).numpy() == pytest.approx(scale.numpy(), rel=0.03)
    skew = ((state.z - mean) / scale).pow(3).mean(0)
    assert skew.abs().max() < 0.12
    fresh = bridge.at(state.z)  # what a state knows is true of where it is
    assert all(torch.allclose(kept, new) for kept, new in zip(state, fresh, strict=True))


def test_a_trajectory_that_leaves_the_support_is_refused() -> None:
    prior = Uniform(2).double()
    bridge = Bridge(autograd_density(prior.log_prob), autograd_density(prior.log_prob))
    state = bridge.at(torch.zeros(50, 2, dtype=torch.float64))
    moved, chance = transition(bridge, state, 0.5, torch.tensor(100.0), 2)
    assert not chance.any()
    assert (moved.z == 0).all()


def test_steps_are_tuned_to_the_acceptance_all_along_the_path() -> None:
    torch.manual_seed(0)
    d, n, chains = 10, 3, 8
    q = normal_density(torch.zeros(d), torch.ones(d))
    bridge = Bridge(q, product_density(q, normal_density(torch.zeros(d), torch.full((d,), 0.1))))
    betas = annealing.betas(1000, "sigmoidal")
    steps = tuned_steps(bridge, torch.randn(n * chains, d), torch.ones(n * chains, d), betas, chains, 5)
    assert steps.shape == (1001, n)
    assert (steps[1] > 3 * steps[-1]).all()  # the posterior is ten times narrower
    state = bridge.at(torch.randn(n * chains, d) * 0.1)
    chances = []
    for _ in range(60):
        state, chance = transition(bridge, state, float(betas[999]), steps[999].repeat_interleave(chains)[:, None], 5)
        chances.append(chance.mean())
    assert 0.45 < float(torch.stack(chances[10:]).mean()) < 0.85


# ---- annealed importance sampling


@pytest.mark.parametrize("path", ["linear", "sigmoidal"])
def test_a_path_rises_from_0_to_1(path: Any) -> None:
    b = annealing.betas(100, path)
    assert (float(b[0]), float(b[-1]), len(b)) == (0.0, 1.0, 101)
    assert (b.diff() > 0).all()
    assert (b + b.flip(0)).numpy() == pytest.approx(1)
    if path == "sigmoidal":
        s = 1 / (1 + np.exp(-4 * (2 * np.arange(101) / 100 - 1)))
        assert b.numpy() == pytest.approx((s - s[0]) / (s[-1] - s[0]))


@pytest.mark.parametrize("initial", ["prior", "posterior"])
@pytest.mark.parametrize("path", ["linear", "sigmoidal"])
def test_the_estimate_and_the_check_sandwich_the_closed_form(initial: Any, path: Any) -> None:
    game = calibration.linear_gaussian(5, pixels=20)
    x = images(game, 20)
    found = annealed_importance(
        game, x, chains=8, temperatures=200, leapfrog=5, path=path, initial=initial, simulated=20
    )
    truth = calibration.exact_density(game).log_prob(x)
    miss = found.values - truth
    assert abs(float(miss.mean())) < 0.1 + 3 * float(miss.std()) / math.sqrt(20)
    assert miss.abs().max() < 1.5
    assert found.check is not None
    assert abs(found.check.gap) < 0.3 + 3 * found.check.error < 0.9
    assert found.acceptance is not None
    assert 0.5 < found.acceptance < 0.8


def test_the_forward_bound_is_below_and_the_reverse_above() -> None:
    game = calibration.linear_gaussian(8, pixels=30)
    check = bidirectional_check(game, 60, chains=1, temperatures=8, leapfrog=3, initial="prior", seed=5)
    torch.manual_seed(5)
    with torch.no_grad():
        x = game.simulate(game.prior.sample((60,)))  # the same images, drawn by the same seed
    truth = calibration.exact_density(game).log_prob(x)
    assert float((truth - check.lower).mean()) > 0.5
    assert float((check.upper - truth).mean()) > 0.5
    assert check.gap == pytest.approx(float((check.upper - check.lower).mean()))
    longer = bidirectional_check(game, 60, chains=4, temperatures=80, leapfrog=3, initial="prior", seed=5)
    assert longer.gap < check.gap / 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_are_unbiased(precision: Any) -> None:
    """The mean of w is p(x), however short the path and coarse the gradients within a trajectory: in the mean over many
    chains log p(x) is exact."""
    game = calibration.linear_gaussian(2, pixels=4).float()
    x = images(game, 2)
    found = annealed_importance(
        game, x, chains=20_000, temperatures=8, leapfrog=2, initial="prior", simulated=0, precision=precision
    )
    assert found.values.numpy() == pytest.approx(
        calibration.exact_density(game.double()).log_prob(x.double()).numpy(), abs=0.05
    )
    assert ("bf16" in found.protocol) == (precision == "bf16")


def test_gradients_are_coarse_within_trajectories_alone() -> None:
    game = calibration.linear_gaussian(5, pixels=20).float()
    x, z = images(game, 3), torch.randn(3, 5)
    fine, coarse = annealing.image_density(game, x), annealing.image_density(game, x, "bf16")
    for exact, other in zip(fine(z, True), coarse(z, True), strict=True):
        assert torch.equal(exact, other)
    _, slope = coarse(z, False)
    assert slope.dtype == torch.float32
    assert not torch.equal(slope, fine(z, False)[1])
    assert slope.numpy() == pytest.approx(fine(z, False)[1].numpy(), rel=0.05, abs=0.5)


def test_a_bernoulli_decoder_agrees_with_quadrature() -> None:
    game = binary_game(latents=1)
    x = zeros_and_ones()
    line = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        truth = torch.stack(
            [torch.trapezoid(game.log_joint(one.expand(len(line), -1), line).exp(), line[:, 0]).log() for one in x]
        )
    assert annealed_importance(game, x, chains=16, temperatures=100, leapfrog=4, simulated=0).values.numpy() == (
        pytest.approx(truth.numpy(), abs=0.02)
    )
    assert importance_bound(game, x, samples=20_000).values.numpy() == pytest.approx(truth.numpy(), abs=0.05)


@pytest.mark.parametrize(
    "prior", [Uniform(1), Mixture(1, components=3, radius=1.5, std=0.5)], ids=["uniform", "mixture"]
)
@pytest.mark.parametrize("initial", ["prior", "posterior"])
def test_any_prior_with_a_density_will_do(prior: Any, initial: Any) -> None:
    torch.manual_seed(0)
    game = VAE(Gaussian(MLP(2, 2, width=8)), Deterministic(MLP(1, 2, width=8)), StandardNormal(1), sigma=0.5).double()
    game.prior = prior.double()  # a VAE refuses to be trained under a uniform one
    x = torch.tensor([[0.1, -0.2], [0.5, 0.3]]).double()
    line = torch.linspace(-8, 8, 16001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        truth = torch.stack(
            [torch.trapezoid(game.log_joint(one.expand(len(line), -1), line).exp(), line[:, 0]).log() for one in x]
        )
    found = annealed_importance(game, x, chains=300, temperatures=30, leapfrog=3, initial=initial, simulated=3)
    assert found.values.numpy() == pytest.approx(truth.numpy(), abs=0.12)
    assert found.check is not None
    if (
        isinstance(prior, Uniform) and initial == "posterior"
    ):  # of whose mass a part is out of reach: the bounds still hold
        assert 0.2 < found.check.gap < 1.5
        assert annealing.options_for(game, 1, 1, 1, "linear", None, "auto").initial == "prior"
    else:
        assert abs(found.check.gap) < 0.3


@pytest.mark.parametrize("observed", ["bernoulli", "gaussian"])
def test_the_decoders_gradient_by_hand_is_the_automatic_one(observed: Any) -> None:
    game = binary_game()
    game.likelihood = observed
    x, z = zeros_and_ones(), torch.randn(4, 3, dtype=torch.float64)
    by_hand: LogDensity = annealing.image_density(game, x)
    value, slope = by_hand(z, True)
    expected, automatic = autograd_density(lambda z: game.log_likelihood(x, z))(z, True)
    assert value.detach().numpy() == pytest.approx(expected.numpy())
    assert slope.numpy() == pytest.approx(automatic.numpy())


@pytest.mark.parametrize("run", ["lower_bound", "sandwich"])
def test_progress_is_told_from_the_first_transition_to_the_last(run: str) -> None:
    game = binary_game()
    settings = annealing.Options(2, 30, 2, "sigmoidal", "prior")
    told: list[float] = []
    with torch.no_grad():
        ends = annealing.Ends.of(game, zeros_and_ones(), settings)
        if run == "lower_bound":
            annealing.lower_bound(ends, settings, told.append)
        else:
            annealing.sandwich(ends, torch.zeros(4, 3, dtype=torch.float64), settings, told.append)
    assert len(told) == sum(tuning_transitions(30)) + (30 if run == "lower_bound" else 60)
    assert told == pytest.approx([1 / len(told)] * len(told))


def test_a_saturated_pixel_gives_no_nan() -> None:
    game = VAE(
        Gaussian(nn.Linear(2, 2)),
        Deterministic(nn.Sequential(nn.Linear(1, 2), nn.Sigmoid())),
        StandardNormal(1),
        likelihood="bernoulli",
    )
    with torch.no_grad():
        game.decoder.network[0].weight.fill_(1000.0)  # type: ignore[index, operator, union-attr]
    x = torch.tensor([[0.0, 1.0]])
    value, slope = annealing.image_density(game, x.expand(2, 2))(torch.tensor([[1.0], [-1.0]]), True)
    expected = game.log_likelihood(x.expand(2, 2), torch.tensor([[1.0], [-1.0]]))
    assert value.tolist() == pytest.approx(expected.tolist())
    assert slope.isfinite().all()


def test_chains_start_from_moments_that_are_known_or_drawn() -> None:
    torch.manual_seed(0)
    x = torch.zeros(3, 2)
    implicit = AVB(
        Implicit(MLP(2 + 4, 3), 4), Deterministic(MLP(3, 2)), PairCritic(MLP(5, 1)), StandardNormal(3), sigma=0.7
    )
    spanned = AVB(
        conditionals.BasisNoise(MLP(2, 3 * 17), 3),
        Deterministic(MLP(3, 2)),
        PairCritic(MLP(5, 1)),
        StandardNormal(3),
        sigma=0.7,
    )
    for game, words in ((implicit, "encoder's moments (of 256 draws)"), (spanned, "encoder's moments,")):
        assert words in annealed_importance(game, x, **QUICK).protocol
        assert "from the prior" in annealed_importance(game, x, initial="prior", **QUICK).protocol
        with torch.no_grad():
            many = game.encoder(x[:1].expand(20_000, -1)).rsample()
            mean, variance = annealing.posterior_moments(game, x, 4)
        assert mean.shape == variance.shape == (3, 3)
        assert mean[0].numpy() == pytest.approx(many.mean(0).numpy(), abs=4 * float(many.std(0).max()) / 16)
        assert variance[0].numpy() == pytest.approx(many.var(0).numpy(), rel=0.5)


# ---- what all of them keep to


def taken(game: Game, x: Tensor, **more: Any) -> dict[str, Callable[[], estimate.Estimate]]:
    return {
        "elbo": lambda: elbo(game, x, **more),
        "iwae": lambda: importance_bound(game, x, samples=20, **more),
        "ais": lambda: annealed_importance(game, x, **QUICK, **more),
    }


@pytest.mark.parametrize("name", ["elbo", "iwae", "ais"])
def test_a_game_is_left_as_it_was_and_a_seed_says_all(name: str) -> None:
    game = binary_game().train()
    game.decoder.requires_grad_(False)
    flags = [p.requires_grad for p in game.parameters()]
    x = zeros_and_ones()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again = taken(game, x)[name](), taken(game, x)[name]()
    other = taken(game, x, seed=1)[name]()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in game.modules())
    assert [p.requires_grad for p in game.parameters()] == flags
    assert all(p.grad is None for p in game.parameters())
    assert first.values.dtype == torch.float64
    assert not first.values.requires_grad
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, other.values)
    assert "seed 0" in first.description
    assert "binarization: static" in taken(game, x, binarized="static")[name]().description


@pytest.mark.parametrize("name", ["elbo", "iwae", "ais"])
def test_an_interruption_leaves_the_estimate_so_far(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    game = binary_game()
    x = zeros_and_ones(10)
    whole = taken(game, x, rows=40)[name]()
    calls, joint = 0, type(game).log_density

    def breaking(self: Any, *given: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 20:
            raise KeyboardInterrupt
        return joint(self, *given)

    if name == "ais":  # which goes past `log_density` where it can
        fine, starts = annealing.lower_bound, 0

        def stopping(*given: Any) -> Any:
            nonlocal starts
            starts += 1
            if starts > 2:
                raise KeyboardInterrupt
            return fine(*given)

        monkeypatch.setattr(annealing, "lower_bound", stopping)
    else:
        monkeypatch.setattr(type(game), "log_density", breaking)
    found = taken(game, x, rows=8)[name]()
    assert found.interrupted
    assert not whole.interrupted
    assert 0 < len(found.values) == len(found.rows) < found.images == 10
    assert found.rows.tolist() != list(range(len(found.rows)))  # a random part, not the first
    assert "of 10 images, interrupted" in found.description
    assert found.values.numpy() == pytest.approx(whole.values[found.rows].numpy(), abs=6)


def test_an_interruption_before_anything_is_done_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(annealing, "lower_bound", stop)
    with pytest.raises(KeyboardInterrupt):
        annealed_importance(binary_game(), zeros_and_ones(), **QUICK)


def test_an_interrupted_check_leaves_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(annealing, "sandwich", stop)
    found = annealed_importance(binary_game(), zeros_and_ones(), **{**QUICK, "simulated": 5})
    assert not found.interrupted
    assert found.check is None
    assert "no bidirectional check" in found.description


def test_the_gap_is_told_with_every_result() -> None:
    found = annealed_importance(binary_game(), zeros_and_ones(), **{**QUICK, "simulated": 5})
    assert "bidirectional check" in found.description
    assert "nats between the bounds of 5 of 5 simulated images" in found.description
    for word in ("4 chains", "20 temperatures", "3 leapfrog steps", "sigmoidal path", "acceptance", "4 of 4 images"):
        assert word in found.description


def test_the_memory_is_bounded_by_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    game = binary_game()
    assert estimate.free_bytes(torch.device("cpu")) > 1e6
    assert estimate.bytes_per_row(game) >= 8 * (16 + 16 + 6 + 6)
    assert estimate.max_rows(game) == 1024
    monkeypatch.setattr(estimate, "free_bytes", lambda device: 100_000.0)
    few = estimate.max_rows(game)
    assert 1 <= few < 100
    seen: list[int] = []
    game.decoder.register_forward_hook(lambda module, given, answer: seen.append(len(given[0])))
    importance_bound(game, zeros_and_ones(), samples=50)
    annealed_importance(game, zeros_and_ones(), **QUICK)
    assert max(seen) <= max(few, 4)
    monkeypatch.setattr(estimate, "free_bytes", lambda device: 0.0)
    assert estimate.max_rows(game) == 1


# ---- what is refused


def refused(work: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as error:
        work()
    text = str(error.value)
    assert text.count(". ") == 0
    assert text.endswith(".")
    return text


def test_bad_input_is_refused_in_one_sentence() -> None:
    game = binary_game()
    x = zeros_and_ones()
    gray = x.clone()
    gray[2, 3] = 0.25
    for work in taken(game, gray).values():
        assert (
            "values other than 0 and 1, such as 0.25; binarize them: train the run with `binarize='dynamic'`"
            in refused(work)
        )
    for bad, words in ((x[:0], "no images"), (torch.full_like(x, math.nan), "NaN or infinite")):
        for work in taken(game, bad).values():
            assert words in refused(work)
    sized = binary_game()
    sized.data = DataSpec((7,))
    assert "resize or convert" in refused(lambda: elbo(sized, x))
    gan = GAN(Deterministic(MLP(3, 6)), MLP(6, 1), StandardNormal(3))
    for work in taken(gan, x.float()).values():
        assert "GAN has no density" in refused(work)
    assert "no density" in refused(lambda: bidirectional_check(gan, 3))
    avb = AVB(Implicit(MLP(6 + 4, 3), 4), Deterministic(MLP(3, 6)), PairCritic(MLP(9, 1)), StandardNormal(3))
    for bound in (elbo, importance_bound):
        words = refused(lambda bound=bound: bound(avb, x.float()))
        assert "(Implicit) has no log_prob" in words
        assert "`estimator=['ais']`" in words
    decoder = binary_game()
    del decoder.encoder
    assert "`initial='prior'`" in refused(lambda: annealed_importance(decoder, x, initial="posterior"))
    assert "`precision` is 'fp8'" in refused(lambda: annealed_importance(avb, x.float(), precision="fp8"))  # type: ignore[arg-type]
    for key in ("chains", "temperatures", "leapfrog"):
        assert f"`{key}` is 0" in refused(lambda key=key: annealed_importance(game, x, **{**QUICK, key: 0}))
    assert "`samples` is 0" in refused(lambda: elbo(game, x, samples=0))
    assert "`simulated` is -1" in refused(lambda: annealed_importance(game, x, simulated=-1))
    assert "'sigmoidal' or 'linear'" in refused(lambda: annealed_importance(game, x, path="cubic"))  # type: ignore[arg-type]
    assert "'posterior' or 'prior'" in refused(lambda: annealed_importance(game, x, initial="data"))  # type: ignore[arg-type]


# ---- a run, the command line, the experiment


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("runs")
    short = ("--steps", 3, "--latent", 3, "--networks", "auto(width=8)", "--evaluate-every", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interalia.reports.make", lambda trained: "")
        for game in ("vae", "gan"):
            assert interalia("train", "--game", game, *short, "--out", base / game) == 0
    return {game: base / game for game in ("vae", "gan")}


FAST = ("--samples", 30, "--chains", 2, "--temperatures", 8, "--leapfrog", 2, "--simulated", 3, "--device", "cpu")


def test_the_command_writes_every_number_with_its_protocol(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert interalia("likelihood", folders["vae"], "--count", 12, *FAST) == 0
    said = " ".join(capsys.readouterr().out.split())
    found = json.loads((folders["vae"] / "likelihood.json").read_text())
    assert [one["name"] for one in found["estimates"]] == ["elbo", "iwae", "ais"]
    assert found["images"]["measured"] == 12
    for one in found["estimates"]:
        assert one["error"] > 0
        assert "12 of 12 images" in one["protocol"]
        assert "binarization: none" in one["protocol"]
        assert f"{one['value']:.2f} ± {one['error']:.2f}" in said
    assert found["estimates"][2]["check"]["images"] == 3
    assert f"{found['estimates'][2]['check']['gap']:.3f} ± " in said
    table = (folders["vae"] / "likelihood.md").read_text()
    assert "| ais |" in table
    assert "Commit" in table
    assert interalia("likelihood", folders["vae"], "--estimator", "elbo", "--split", "validation", "--samples", 30) == 0
    assert "30 draws of q(z | x)" in " ".join(capsys.readouterr().out.split())
    found = json.loads((folders["vae"] / "likelihood.json").read_text())
    assert found["images"]["measured"] == found["images"]["split"] > 100


def test_any_game_has_a_kernel_density_estimate(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("likelihood", folders["gan"], "--estimator", "kde", "--count", 10, "--device", "cpu") == 0
    assert "kernels on 10,000 samples, draws of p(x | z)" in " ".join(capsys.readouterr().out.split())
    assert interalia("likelihood", folders["gan"]) == 2
    assert "no density" in (said := capsys.readouterr().err)
    assert "the kernel density estimate (kde)" in said


def test_what_the_command_refuses(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        ((folders["vae"], "--estimator", "eblo"), "did you mean 'elbo'?"),
        ((folders["vae"], "--estimator", ","), "--estimator names no estimate"),
        ((folders["vae"], "--count", 0), "--count is 0"),
        ((folders["vae"], "--chains", 0), "--chains is 0"),
        (
            (folders["vae"], "--estimator", "elbo", "--chains", 3),
            "--chains is about ais, and --estimator is elbo; leave it out.",
        ),
        (
            (folders["vae"], "--estimator", "ais", "--samples", 3),
            "--samples is about elbo, iwae, kde, and --estimator is",
        ),
    ):
        fast = () if {"--chains", "--samples"} & set(arguments) else FAST
        assert interalia("likelihood", *arguments, *fast) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_an_interrupted_command_writes_what_is_done(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(annealing, "lower_bound", stop)
    assert interalia("likelihood", folders["vae"], "--count", 5, *FAST) == 130
    found = json.loads((folders["vae"] / "likelihood.json").read_text())
    assert found["interrupted"]
    assert [one["name"] for one in found["estimates"]] == ["elbo", "iwae"]


def test_binarisation_is_named_and_done() -> None:
    from interalia import reports
    from interalia.data import binarize

    part = Split(np.full((200, 1, 2, 2), 51, np.uint8))
    dataset = Dataset("gray", part, part, part)
    x, how = reports.binarized_images(dataset, "test", None, 0)
    assert (how, float(x.min())) == ("none", pytest.approx(0.2))

    x, how = reports.binarized_images(binarize.binarize(dataset, "dynamic"), "test", 50, 0)
    assert how == "dynamic in training, drawn once here"
    assert sorted(x.unique().tolist()) == [0.0, 1.0]
    assert float(x.mean()) == pytest.approx(0.2, abs=0.1)


def test_the_room_of_estimates() -> None:
    assert set(registry.registry("likelihoods")) == {"elbo", "iwae", "ais", "kde"}
    assert "chains=16" in registry.settings_text(annealed_importance)
    game = binary_game().float()
    found = kernel_estimate(game, zeros_and_ones().float(), zeros_and_ones(8).float(), samples=30)
    assert found.values.shape == (4,)


def test_ais_calibration_works_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from interalia import papers

    monkeypatch.setitem(calibration.QUICK, "images", 2)
    monkeypatch.setitem(calibration.QUICK, "chains", 4)
    path = papers.reproduce("ais-calibration", quick=True, steps=10, out=tmp_path)
    rows = json.loads((path.parent / "table.json").read_text())["rows"]
    assert len({row["row"] for row in rows}) == len(rows) == 7
    for row in rows:
        values = row["values"]
        assert set(values) == set(papers.REGISTRY["ais-calibration"].columns)
        assert values["miss"] == pytest.approx(values["ais"] - values["truth"])
        assert values["gap"] == pytest.approx(values["upper"] - values["lower"])


def test_a_state_is_a_tuple_of_tensors() -> None:
    assert State._fields == ("z", "log_q", "log_p", "slope_q", "slope_p")
