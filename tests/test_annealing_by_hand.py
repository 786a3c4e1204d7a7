"""Annealed importance sampling and Hamiltonian Monte Carlo, step by step: what each part hands to the next, by hand."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tables import anew, defaults
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from interalia import UserError
from interalia.conditionals import Deterministic, Gaussian, Implicit, Mixture, StandardNormal, Uniform
from interalia.contexts import evaluating
from interalia.games import AVB, VAE
from interalia.metrics.likelihood import Sandwich, annealed_importance, annealing, bidirectional_check, hamiltonian
from interalia.metrics.likelihood.hamiltonian import Bridge, LogDensity, State
from interalia.networks.mlp import MLP, PairCritic


def rows(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def game() -> VAE:
    torch.manual_seed(0)
    return VAE(Gaussian(nn.Linear(3, 4)), Deterministic(nn.Linear(2, 3)), StandardNormal(2), sigma=0.7).double()


@pytest.fixture
def binary() -> VAE:
    torch.manual_seed(0)
    decoder = Deterministic(nn.Sequential(nn.Linear(2, 3), nn.Sigmoid()))
    return VAE(Gaussian(nn.Linear(3, 4)), decoder, StandardNormal(2), likelihood="bernoulli").double()


X = rows([0.5, -1.0, 2.0], [1.5, 0.25, -0.75])
BINARY = rows([0.0, 1.0, 1.0], [1.0, 0.0, 1.0])

RUN = {"temperatures": 1000, "leapfrog": 10, "path": "sigmoidal", "initial": None, "seed": 0, "rows": None}


def test_defaults_are_the_documented_ones(game: VAE) -> None:
    shared = {"chains": 16, **RUN, "precision": "auto"}
    for function, more in (
        ("annealed_importance", {"simulated": 100, "binarized": "as given"}),
        ("bidirectional_check", {"images": 100}),
    ):
        with pytest.raises(UserError, match="`chains` is 0"):
            getattr(annealing, function)(game, X, chains=0)
        assert defaults(getattr(annealing, function)) == {**shared, **more}
        assert defaults(getattr(anew(annealing), function)) == {**shared, **more}
    assert chosen().description
    assert defaults(annealing.Options) == {"estimated_moments": False, "precision": "fp32"}
    annealing.image_density(game, X)
    assert defaults(annealing.image_density) == {"precision": "fp32"}
    BRIDGE.at(Z)
    assert defaults(Bridge.at) == {"with_value": True}


def test_constants_are_the_documented_ones(game: VAE) -> None:
    annealing.Ends.of(game, X, chosen("posterior"))
    annealing.posterior_moments(SimpleNamespace(encoder=Drawing(True)), X, 256)  # type: ignore[arg-type]
    annealing.betas(1, "sigmoidal")
    fresh = anew(annealing)
    assert (fresh.SIMULATED, fresh.STEEPNESS, fresh.DRAWS, fresh.NARROWEST) == (100, 4.0, 256, 1e-4)
    hamiltonian.tuned_steps(BRIDGE, Z[:2], Z[:2] * 0 + 0.1, annealing.betas(1, "linear"), 2, 1)
    fresh = anew(hamiltonian)
    assert (fresh.TARGET, fresh.JITTER, fresh.KNOTS) == (0.65, 0.2, 12)
    assert (fresh.SETTLING, fresh.ROUNDS, fresh.GAIN) == (20, 4, 1.5)


@pytest.mark.parametrize("name", ["Options", "Ends"])
def test_settings_are_frozen(name: str) -> None:
    kind = getattr(anew(annealing), name)
    found = kind(*(1 for _ in dataclasses.fields(kind)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(found, dataclasses.fields(kind)[0].name, 2)


# ---- densities and their bridge


def test_a_bridges_density_and_gradient_by_hand() -> None:
    state = State(rows([1.0, 2.0]), rows(-3.0), rows(-7.0), rows([1.0, -2.0]), rows([5.0, 4.0]))
    assert state.log_density(0.25).tolist() == pytest.approx([-4.0])
    assert state.slope(0.25).tolist() == [pytest.approx([2.0, -0.5])]


def test_a_bridge_asks_both_ends_for_what_is_wanted() -> None:
    asked: list[Any] = []

    def end(name: str, value: float) -> LogDensity:
        return lambda z, with_value: asked.append((name, with_value)) or (z.sum(1) + value, z * value)  # type: ignore[func-returns-value]

    bridge = Bridge(end("q", 1.0), end("p", 10.0))
    state = bridge.at(rows([1.0, 2.0]))
    assert [part.tolist() for part in state] == [[[1, 2]], [4], [13], [[1, 2]], [[10, 20]]]
    bridge.at(rows([1.0, 2.0]), False)
    assert asked == [("q", True), ("p", True), ("q", False), ("p", False)]


def test_a_normal_density_is_torchs() -> None:
    mean, scale = rows([0.5, -1.0, 2.0], [1.0, 0.0, 0.25]), rows([0.3, 1.5, 2.0], [0.7, 4.0, 1.1])
    z = rows([1.0, 2.0, -0.5], [0.25, -3.0, 1.0]).requires_grad_(True)
    value = Independent(Normal(mean, scale), 1).log_prob(z)
    (slope,) = torch.autograd.grad(value.sum(), z)
    found, by_hand = hamiltonian.normal_density(mean, scale)(z.detach(), True)
    assert found.numpy() == pytest.approx(value.detach().numpy(), rel=1e-12)
    assert by_hand.numpy() == pytest.approx(slope.numpy(), rel=1e-12)
    unasked, same = hamiltonian.normal_density(mean, scale)(z.detach(), False)
    assert unasked.shape == (2,)
    assert torch.equal(same, by_hand)
    one, _ = hamiltonian.normal_density(mean[0], scale[0])(z.detach(), True)  # one Gaussian for all rows
    assert one.numpy() == pytest.approx(Independent(Normal(mean[0], scale[0]), 1).log_prob(z.detach()).numpy())


def test_a_gradient_is_taken_where_gradients_are_off_and_leaves_nothing() -> None:
    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    z = rows([1.0, 2.0], [0.5, -3.0])
    with torch.no_grad():
        value, slope = hamiltonian.autograd_density(lambda z: weight * (z**3).sum(1))(z, True)
    assert value.tolist() == pytest.approx([18.0, 2 * (0.125 - 27)])
    assert slope.tolist() == [pytest.approx([6.0, 24.0]), pytest.approx([1.5, 54.0])]
    assert not value.requires_grad
    assert not slope.requires_grad
    assert not z.requires_grad
    assert weight.grad is None
    value, slope = hamiltonian.autograd_density(lambda z: z.detach().sum(1))(z, True)
    assert (value.tolist(), slope.tolist()) == ([3.0, -2.5], [[0.0, 0.0], [0.0, 0.0]])


def test_a_product_adds_logarithms_and_gradients() -> None:
    asked: list[bool] = []

    def one(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:
        asked.append(with_value)
        return z.sum(1), 3 * z

    def two(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:
        asked.append(with_value)
        return 5 * z.sum(1), -7 * z

    value, slope = hamiltonian.product_density(one, two)(rows([1.0, 2.0]), False)
    assert (value.tolist(), slope.tolist()) == ([18.0], [[-4.0, -8.0]])
    assert asked == [False, False]


# ---- Hamiltonian Monte Carlo


def noted(bridge: Bridge) -> tuple[Bridge, list[bool]]:
    """The bridge, and for each of p's gradients whether its value is wanted."""
    asked: list[bool] = []
    return Bridge(bridge.q, lambda z, with_value: asked.append(with_value) or bridge.p(z, with_value)), asked  # type: ignore[func-returns-value]


M, S = rows(1.0, -2.0), rows(0.5, 2.0)
BRIDGE = Bridge(hamiltonian.normal_density(rows(0.0, 0.0), rows(1.0, 1.0)), hamiltonian.normal_density(M, S))


def slope(z: list[float], b: float) -> list[float]:
    return [-(1 - b) * u - b * (u - m) / (s * s) for u, m, s in zip(z, M.tolist(), S.tolist(), strict=True)]


def energy(z: list[float], v: list[float], b: float) -> float:
    """-log f_b + |v|^2 / 2 but for a constant."""
    q = sum(u * u for u in z) / 2
    p = sum(((u - m) / s) ** 2 for u, m, s in zip(z, M.tolist(), S.tolist(), strict=True)) / 2
    return (1 - b) * q + b * p + sum(w * w for w in v) / 2


def trajectory(
    z: list[float], v: list[float], b: float, step: list[float], count: int
) -> tuple[list[float], list[float]]:
    for _ in range(count):
        v = [w + e / 2 * g for w, e, g in zip(v, step, slope(z, b), strict=True)]
        z = [u + e * w for u, e, w in zip(z, step, v, strict=True)]
        v = [w + e / 2 * g for w, e, g in zip(v, step, slope(z, b), strict=True)]
    return z, v


@pytest.mark.parametrize("count", [1, 2, 5])
def test_leapfrog_step_by_step(count: int) -> None:
    bridge, asked = noted(BRIDGE)
    z, v = rows([0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]), rows([1.0, 0.5], [-0.25, 2.0], [0.5, -1.5])
    step = rows([0.3, 0.2], [0.1, 0.4], [0.25, 0.15])
    start = bridge.at(z)
    asked.clear()
    end, w = hamiltonian.leapfrog(bridge, start, v, 0.3, step, count)
    assert asked == [False] * (count - 1) + [True]
    for i in range(3):
        want = trajectory(z[i].tolist(), v[i].tolist(), 0.3, step[i].tolist(), count)
        assert end.z[i].tolist() == pytest.approx(want[0], rel=1e-12)
        assert w[i].tolist() == pytest.approx(want[1], rel=1e-12)
    for kept, fresh in zip(end, BRIDGE.at(end.z), strict=True):
        assert torch.equal(kept, fresh)
    assert torch.equal(start.z, z)


def test_a_transition_accepts_by_the_energy_lost() -> None:
    z = rows([0.5, -1.0], [1.5, 0.25], [-0.75, 2.0], [3.0, 1.0], [0.0, -4.0], [1.0, 1.0])
    step, b, count = rows([0.9, 1.4]), 0.6, 2
    outcomes = set()
    for seed in range(8):
        torch.manual_seed(seed)
        state, chance = hamiltonian.transition(BRIDGE, BRIDGE.at(z), b, step, count)
        torch.manual_seed(seed)
        v, u = torch.randn_like(z), torch.rand(6, dtype=torch.float64)
        for i in range(6):
            end, w = trajectory(z[i].tolist(), v[i].tolist(), b, step[0].tolist(), count)
            lost = energy(z[i].tolist(), v[i].tolist(), b) - energy(end, w, b)
            assert float(chance[i]) == pytest.approx(min(1.0, math.exp(lost)), rel=1e-9)
            accepted = float(u[i]) < float(chance[i])
            outcomes.add((accepted, lost < 0))
            assert state.z[i].tolist() == (pytest.approx(end, rel=1e-12) if accepted else z[i].tolist())
        for kept, fresh in zip(state, BRIDGE.at(state.z), strict=True):
            assert torch.allclose(kept, fresh, rtol=1e-12)
    assert outcomes == {(True, False), (True, True), (False, True)}


@pytest.mark.parametrize(
    ("before", "after", "chance"),
    [
        (-1.0, -math.inf, 0.0),
        (-1.0, math.nan, 0.0),
        (-math.inf, -math.inf, 0.0),  # their difference is not a number
        (-math.inf, -1.0, 1.0),
        (-2.0, 3.0, 1.0),
        (3.0, 3.0 - math.log(4), 0.25),
    ],
)
def test_a_trajectory_to_or_from_where_there_is_no_density(before: float, after: float, chance: float) -> None:
    def level(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:  # flat, so that v stays as it is
        return torch.where(z[:, 0] == 0, before, after).double(), torch.zeros_like(z)

    bridge = Bridge(level, level)
    torch.manual_seed(0)
    state, found = hamiltonian.transition(bridge, bridge.at(torch.zeros(400, 1).double()), 0.5, torch.tensor(1.0), 1)
    assert found.tolist() == pytest.approx([chance] * 400)
    assert float((state.z != 0).double().mean()) == pytest.approx(chance, abs=0.1)


def test_steps_are_jittered_evenly_by_a_fifth() -> None:
    torch.manual_seed(0)
    share = hamiltonian.jittered_steps(torch.full((20_000,), 3.0)) / 3
    assert float(share.min()) == pytest.approx(0.8, abs=1e-3)
    assert float(share.max()) == pytest.approx(1.2, abs=1e-3)
    assert float(share.mean()) == pytest.approx(1, abs=0.005)
    assert float(share.std()) == pytest.approx(0.4 / math.sqrt(12), rel=0.02)  # of a uniform one
    torch.manual_seed(5)
    found = hamiltonian.jittered_steps(rows(2.0, 10.0, 0.5))
    torch.manual_seed(5)
    u = torch.rand(3, dtype=torch.float64)
    assert found.tolist() == pytest.approx(
        [s * (0.8 + 0.4 * float(w)) for s, w in zip((2.0, 10.0, 0.5), u, strict=True)]
    )


@pytest.mark.parametrize(
    ("temperatures", "stays"),
    [
        (1, [24]),
        (2, [24]),
        (3, [24]),
        (4, [24, 4]),
        (23, [24, *[4] * 10]),
        (24, [24, *[4] * 11]),
        (599, [24, *[4] * 11]),
        (600, [25, *[5] * 11]),
        (1000, [28, *[8] * 11]),
        (10_000, [103, *[83] * 11]),
    ],
)
def test_tuning_stays_at_twelve_places_for_a_tenth_of_the_run(temperatures: int, stays: list[int]) -> None:
    assert hamiltonian.tuning_transitions(temperatures) == stays


# the logarithms are chosen so that single precision, in which the places are spread, cannot come out above them
PATHS = {
    1: [1.0],
    2: [0.3, 1.0],
    3: [0.2, 0.5, 1.0],
    4: [math.exp(-4 + 5e-8), 0.3, math.exp(-0.5 + 1e-8), 1.0],
    7: [math.exp(u) for u in (-4 + 5e-8, -3.5, -2.5, -2.1, -1.0, -0.5 + 1e-8, 0.0)],
}
PLACES = {1: [1], 2: [1], 3: [1], 4: [1, 3], 7: [1, 4, 6]}  # -2.25 lies between the third and the fourth
KNOTS = {1: [0.0], 2: [0.0], 3: [0.0], 4: [-4, -0.5], 7: [-4, -2.25, -0.5]}


@pytest.mark.parametrize("temperatures", [1, 2, 3, 4, 7])
def test_tuning_place_by_place(temperatures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamiltonian, "KNOTS", 3)
    monkeypatch.setattr(hamiltonian, "SETTLING", 2)
    monkeypatch.setattr(hamiltonian, "jittered_steps", lambda step: step * 10)
    n, chains, d = 2, 3, 2
    z, scale = torch.arange(12.0).view(6, 2).double(), torch.arange(1.0, 13.0).view(6, 2).double()
    bridge = Bridge(hamiltonian.normal_density(torch.zeros(2).double(), torch.ones(2).double()), BRIDGE.p)
    calls: list[tuple[float, list[float], int]] = []
    means = torch.linspace(0.1, 0.95, 14, dtype=torch.float64)[
        torch.randperm(14, generator=torch.Generator().manual_seed(1))
    ]
    now = bridge.at(z)

    def transition(given: Bridge, state: State, b: float, step: Tensor, count: int) -> tuple[State, Tensor]:
        nonlocal now
        assert given is bridge
        assert all(torch.equal(u, v) for u, v in zip(state, now, strict=True))
        sizes = step / scale / 10
        assert torch.allclose(
            sizes, sizes[:, :1].view(n, chains, 1).mean(1, keepdim=True).expand(n, chains, d).reshape(6, d)
        )
        mean = float(means[len(calls)])
        calls.append((b, sizes[::chains, 0].tolist(), count))
        now = bridge.at(state.z + 1)
        one = mean + torch.tensor([-0.05, 0.05, 0.0]).double()
        return now, torch.cat([one, 0.5 * one])  # the second image's chains are accepted half as often

    monkeypatch.setattr(hamiltonian, "transition", transition)
    progress: list[float] = []
    betas = rows(0.0, *PATHS[temperatures])
    steps = hamiltonian.tuned_steps(bridge, z, scale, betas, chains, 9, progress.append)

    stay = [6, 4, 4][: len(PLACES[temperatures])]
    visits = [t for t, times in zip(PLACES[temperatures], stay, strict=True) for _ in range(times)]
    assert [b for b, *_ in calls] == pytest.approx([float(betas[t]) for t in visits])
    assert {count for *_, count in calls} == {9}
    assert progress == pytest.approx([1 / len(visits)] * len(visits))
    found: list[list[float]] = [[], []]
    for image, factor in enumerate((1.0, 0.5)):
        log_step = math.log(0.5 * 2**-0.25)  # 0.5 d^(-1/4)
        at = 0
        for times in stay:
            trace = []
            for i in range(times):
                assert calls[at][1][image] == pytest.approx(math.exp(log_step))
                log_step += 1.5 / math.sqrt(i + 1) * (factor * float(means[at]) - 0.65)
                trace.append(log_step)
                at += 1
            half = stay[-1] // 2  # of a place that nothing has to settle at, where there is one
            found[image].append(sum(trace[-half:]) / half)
    inner = np.log(betas[1 : max(2, temperatures)].numpy())
    heights = np.log(np.maximum(betas.numpy(), 1e-9)).clip(inner[0], inner[-1])
    assert steps.shape == (temperatures + 1, n)
    for image in range(n):
        line = np.interp(heights, KNOTS[temperatures], found[image])
        assert steps[:, image].numpy() == pytest.approx(np.exp(line), rel=1e-6)


def test_tuning_averages_the_second_half_of_a_long_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamiltonian, "tuning_transitions", lambda last: [11, 7])
    monkeypatch.setattr(hamiltonian, "jittered_steps", lambda step: step)
    seen: list[float] = []

    def transition(given: Bridge, state: State, b: float, step: Tensor, count: int) -> tuple[State, Tensor]:
        seen.append(float(step[0, 0].log()))
        return state, torch.ones(2)

    monkeypatch.setattr(hamiltonian, "transition", transition)
    z = torch.zeros(2, 1).double()
    bridge = Bridge(hamiltonian.normal_density(z[0], z[0] + 1), hamiltonian.normal_density(z[0], z[0] + 1))
    steps = hamiltonian.tuned_steps(bridge, z, z + 1, rows(0.0, *PATHS[4]), 2, 1)
    last = seen[-1] + 1.5 / math.sqrt(7) * 0.35  # after the last transition
    assert float(steps[-1].log()) == pytest.approx((seen[-2] + seen[-1] + last) / 3)
    assert float(steps[0].log()) == pytest.approx(sum(seen[9:12]) / 3)
    monkeypatch.setattr(hamiltonian, "tuning_transitions", lambda last: [3, 1])
    seen.clear()
    steps = hamiltonian.tuned_steps(bridge, z, z + 1, rows(0.0, *PATHS[4]), 2, 1)
    assert float(steps[-1].log()) == pytest.approx(seen[-1] + 1.5 * 0.35)


# ---- settings


def test_settings_in_words() -> None:
    one = annealing.Options(1, 1000, 10, "sigmoidal", "posterior")
    assert one.description == (
        "1 chain, 1,000 temperatures, 10 leapfrog steps, sigmoidal path from the Gaussian of the encoder's moments, steps "
        "tuned to acceptance 0.65 in a separate run, then frozen"
    )
    drawn = dataclasses.replace(one, chains=2, estimated_moments=True, path="linear", precision="bf16")
    assert drawn.description == (
        "2 chains, 1,000 temperatures, 10 leapfrog steps, linear path from the Gaussian of the encoder's moments (of 256 "
        "draws), steps tuned to acceptance 0.65 in a separate run, then frozen, gradients within trajectories in bf16"
    )
    assert "path from the prior, steps" in dataclasses.replace(one, initial="prior").description


def settings(game: Any, **changes: Any) -> annealing.Options:
    every: dict[str, Any] = {"chains": 2, "temperatures": 3, "leapfrog": 4, "path": "linear", "initial": None}
    return annealing.options_for(game, **{**every, "precision": "auto", **changes})


def test_the_start_follows_from_the_encoder_and_the_prior(game: VAE) -> None:
    assert settings(game) == annealing.Options(2, 3, 4, "linear", "posterior", False, "fp32")
    assert settings(game, initial="prior", path="sigmoidal") == annealing.Options(2, 3, 4, "sigmoidal", "prior")
    game.prior = Mixture(2)
    assert settings(game).initial == "posterior"
    game.prior = Uniform(2)
    assert settings(game).initial == "prior"
    assert settings(game, initial="posterior").initial == "posterior"
    game.prior = StandardNormal(2)
    del game.encoder
    assert settings(game) == annealing.Options(2, 3, 4, "linear", "prior", False, "fp32")
    assert settings(game, initial="prior").initial == "prior"
    with pytest.raises(UserError, match="needs an encoder, and this VAE has none"):
        settings(game, initial="posterior")


def test_moments_that_are_not_known_are_drawn() -> None:
    avb = AVB(Implicit(MLP(3 + 4, 2), 4), Deterministic(MLP(2, 3)), PairCritic(MLP(5, 1)), StandardNormal(2))
    assert settings(avb).estimated_moments
    assert settings(avb, initial="posterior").estimated_moments
    assert not settings(avb, initial="prior").estimated_moments


@pytest.mark.parametrize(("auto", "used"), [("bf16", "bf16"), ("fp32", "fp32"), ("fp16", "fp32")])
def test_auto_is_what_suits_the_decoder(auto: str, used: str, game: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(annealing, "resolve_precision", lambda *given: asked.append(given) or auto)
    assert settings(game).precision == used
    assert asked == [("auto", game.decoder, torch.device("cpu"))]
    for given in ("fp32", "bf16"):
        assert settings(game, precision=given).precision == given
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chains": 0}, "`chains` is 0"),
        ({"temperatures": 0}, "`temperatures` is 0"),
        ({"leapfrog": 0}, "`leapfrog` is 0"),
        ({"path": "cubic"}, "`path` is 'cubic'"),
        ({"initial": "data"}, "`initial` is 'data'"),
        ({"precision": "fp16"}, "`precision` is 'fp16'"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], words: str, game: VAE) -> None:
    assert settings(game, chains=1, temperatures=1, leapfrog=1).chains == 1
    with pytest.raises(UserError, match=words):
        settings(game, **changes)


def test_paths_by_hand() -> None:
    assert annealing.betas(1, "linear").tolist() == annealing.betas(1, "sigmoidal").tolist() == [0.0, 1.0]
    assert annealing.betas(5, "linear").tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    low, high = 1 / (1 + math.exp(4)), 1 / (1 + math.exp(4 / 3))
    b = annealing.betas(3, "sigmoidal")
    assert b.tolist() == pytest.approx([0.0, (high - low) / (1 - 2 * low), 1 - (high - low) / (1 - 2 * low), 1.0])
    assert b.dtype == annealing.betas(3, "linear").dtype == torch.float64


# ---- the two ends


def chosen(initial: Any = "prior", chains: int = 2, **more: Any) -> annealing.Options:
    return annealing.Options(chains, 3, 2, "linear", initial, **more)


Z = rows([0.5, -1.0], [1.5, 0.25], [-0.75, 2.0], [0.1, 0.2], [1.0, -0.3], [-2.0, 0.7])


def test_the_upper_end_is_the_joint_density_with_chains_in_a_row(game: VAE) -> None:
    z = Z.clone().requires_grad_(True)
    want = game.log_joint(X.repeat_interleave(3, dim=0), z)
    (slope,) = torch.autograd.grad(want.sum(), z)
    for initial in ("prior", "posterior"):
        ends = annealing.Ends.of(game, X, chosen(initial, 3))
        value, gradient = ends.bridge.p(Z, True)
        assert value.tolist() == pytest.approx(want.tolist(), rel=1e-9)
        assert gradient.numpy() == pytest.approx(slope.numpy(), rel=1e-9)
        assert ends.chains == 3


@pytest.mark.parametrize("prior", [StandardNormal(2), Mixture(2, components=3, radius=1.5, std=0.5)])
def test_from_the_prior(prior: Any, game: VAE) -> None:
    game.prior = prior.double()
    with torch.no_grad():
        ends = annealing.Ends.of(game, X, chosen("prior", 3))
        torch.manual_seed(4)
        drawn = ends.draw()
        torch.manual_seed(4)
        assert torch.equal(drawn, prior.sample((6,)))
        assert torch.equal(ends.scale, torch.ones(6, 2).double())
        z = Z.clone().requires_grad_(True)
        value, gradient = ends.bridge.q(Z, True)
    assert value.tolist() == pytest.approx(prior.log_prob(Z).tolist(), rel=1e-6)
    (slope,) = torch.autograd.grad(prior.log_prob(z).sum(), z)
    assert gradient.numpy() == pytest.approx(slope.numpy(), rel=1e-6)
    value, gradient = ends.bridge.p(Z, True)
    want = game.log_joint(X.repeat_interleave(3, dim=0), z)
    (slope,) = torch.autograd.grad(want.sum(), z)
    assert value.tolist() == pytest.approx(want.tolist(), rel=1e-6)
    assert gradient.numpy() == pytest.approx(slope.numpy(), rel=1e-6)


def test_from_the_encoders_gaussian(game: VAE) -> None:
    with torch.no_grad():
        ends = annealing.Ends.of(game, X, chosen("posterior", 3))
        mean, log_sigma = game.encoder.network(X).repeat_interleave(3, dim=0).chunk(2, dim=1)
        assert ends.scale.numpy() == pytest.approx(log_sigma.exp().numpy(), rel=1e-9)
        torch.manual_seed(4)
        drawn = ends.draw()
        torch.manual_seed(4)
        noise = torch.randn(6, 2, dtype=torch.float64)
        assert drawn.numpy() == pytest.approx((mean + log_sigma.exp() * noise).numpy(), rel=1e-9)
        value, _ = ends.bridge.q(Z, True)
    assert value.tolist() == pytest.approx(Normal(mean, log_sigma.exp()).log_prob(Z).sum(1).tolist(), rel=1e-9)


def test_a_collapsed_posterior_is_widened(game: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def moments(game: Any, x: Tensor, at_once: int) -> tuple[Tensor, Tensor]:
        asked.append(at_once)
        return rows([1.0, 2.0], [3.0, 4.0]), rows([0.0, 4e-8], [1e-10, 0.25])

    monkeypatch.setattr(annealing, "posterior_moments", moments)
    ends = annealing.Ends.of(game, X, chosen("posterior"))
    assert asked == [2]
    assert ends.scale.tolist() == [pytest.approx(row) for row in ([1e-4, 2e-4],) * 2 + ([1e-4, 0.5],) * 2]


class Drawing:
    """An encoder that is asked for draws: numbered ones, with or without a density."""

    has_moments = False

    def __init__(self, density: bool) -> None:
        self.has_density = density
        self.asked: list[int] = []

    def forward_repeated(self, count: int, x: Tensor) -> Any:
        self.asked.append(count)
        begin = 1.0 + sum(self.asked[:-1])
        z = torch.stack([x[:, :1] * u**1.5 for u in torch.arange(begin, begin + count).double()], dim=1).flatten(0, 1)
        q = SimpleNamespace(rsample=lambda: z)
        if self.has_density:
            q.rsample_and_log_prob = lambda: (z, z.sum(1) * 0)
        return q


@pytest.mark.parametrize("density", [True, False])
@pytest.mark.parametrize(("at_once", "asked"), [(100, [100] * 3), (128, [128] * 2), (300, [300])])
def test_moments_of_draws(density: bool, at_once: int, asked: list[int]) -> None:
    encoder = Drawing(density)
    mean, variance = annealing.posterior_moments(SimpleNamespace(encoder=encoder), X, at_once)  # type: ignore[arg-type]
    assert encoder.asked == asked
    draws = np.arange(1, sum(asked) + 1) ** 1.5
    assert mean.tolist() == [[pytest.approx(u * draws.mean())] for u in (0.5, 1.5)]
    assert variance.tolist() == [[pytest.approx(u * u * draws.var(ddof=1))] for u in (0.5, 1.5)]


def test_moments_that_are_known_are_the_encoders(game: VAE) -> None:
    q = game.encoder(X)
    mean, variance = annealing.posterior_moments(game, X, 4)
    assert torch.equal(mean, q.mean)
    assert torch.equal(variance, q.variance)


# ---- the decoder's gradient by hand


def shaped(likelihood: Any) -> VAE:
    torch.manual_seed(0)
    layers = [nn.Linear(2, 12), nn.Unflatten(1, (3, 2, 2))]
    decoder = nn.Sequential(*layers, nn.Sigmoid()) if likelihood == "bernoulli" else nn.Sequential(*layers)
    return VAE(
        Gaussian(nn.Linear(12, 4)), Deterministic(decoder), StandardNormal(2), likelihood=likelihood, sigma=0.7
    ).double()


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_gradients_of_images_are_those_of_torchs_distributions(likelihood: Any) -> None:
    game = shaped(likelihood)
    x = torch.rand(6, 3, 2, 2, generator=torch.Generator().manual_seed(2)).double()
    x = x.round() if likelihood == "bernoulli" else x
    z = Z.clone().requires_grad_(True)
    mean = game.decoder.network(z)
    p = torch.distributions.Bernoulli(mean) if likelihood == "bernoulli" else Normal(mean, 0.7)
    want = p.log_prob(x).flatten(1).sum(1)
    (slope,) = torch.autograd.grad(want.sum(), z)
    with torch.no_grad():
        density = annealing.image_density(game, x)
        value, gradient = density(Z, True)
        _, again = density(Z, False)
    assert value.tolist() == pytest.approx(want.tolist(), rel=1e-9)
    assert gradient.numpy() == pytest.approx(slope.numpy(), rel=1e-9)
    assert again.numpy() == pytest.approx(slope.numpy(), rel=1e-9)
    assert not Z.requires_grad


@pytest.mark.parametrize("changed", ["log_likelihood", "log_density"])
def test_a_game_with_a_likelihood_of_its_own_is_asked_for_it(changed: str) -> None:
    def other(self: Any, x: Tensor, z: Tensor) -> Tensor:
        return -(z.square().sum(1)) + x.flatten(1).sum(1)

    def density(self: Any, x: Tensor, outputs: Tensor) -> Tensor:
        return 3 * outputs.flatten(1).sum(1) + x.flatten(1).sum(1)

    kind = type("Other", (VAE,), {changed: {"log_likelihood": other, "log_density": density}[changed]})
    torch.manual_seed(0)
    game = kind(Gaussian(nn.Linear(3, 4)), Deterministic(nn.Linear(2, 3)), StandardNormal(2)).double()
    value, gradient = annealing.image_density(game, X)(Z[:2], True)
    if changed == "log_likelihood":
        assert value.tolist() == pytest.approx([1.5 - 1.25, 1.0 - 2.3125])
        assert gradient.tolist() == (-2 * Z[:2]).tolist()
    else:
        weight = game.decoder.network.weight.detach()
        want = 3 * (Z[:2] @ weight.T + game.decoder.network.bias.detach()).sum(1) + X.sum(1)
        assert value.tolist() == pytest.approx(want.tolist())
        assert gradient.numpy() == pytest.approx((3 * weight.sum(0)).expand(2, 2).numpy())


def test_another_kind_of_game_with_a_density_is_asked_for_it() -> None:
    game: Any = SimpleNamespace(log_likelihood=lambda x, z: (x * z.sum(1, keepdim=True)).sum(1))
    value, gradient = annealing.image_density(game, X)(Z[:2], True)
    assert value.tolist() == pytest.approx([1.5 * -0.5, 1.0 * 1.75])
    assert gradient.tolist() == [[1.5, 1.5], [1.0, 1.0]]


def test_the_coarse_precision_is_that_within_trajectories(game: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    @contextlib.contextmanager
    def coarse() -> Iterator[None]:
        seen.append("in")
        yield
        seen.append("out")

    monkeypatch.setattr(annealing, "precision_context", lambda *given: seen.append(given) or coarse)
    density = annealing.image_density(game, X, "bf16")
    assert seen == [("bf16", torch.device("cpu"))]
    fine = game.outputs
    game.outputs = lambda z: seen.append("asked") or fine(z)  # type: ignore[method-assign]
    density(Z[:2], True)
    density(Z[:2], False)
    assert seen[1:] == ["asked", "in", "asked", "out"]
    seen.clear()
    annealing.Ends.of(game, X, chosen(precision="bf16"))
    assert seen == [("bf16", torch.device("cpu"))]


# ---- a run of the chains


def ends_of(chains: int, scale: Tensor, draws: list[Tensor] | None = None) -> annealing.Ends:
    left = list(draws or [])
    return annealing.Ends(BRIDGE, lambda: left.pop(0), scale, chains)


@pytest.mark.parametrize("backwards", [False, True])
def test_weights_are_summed_before_each_transition(backwards: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    n, chains = 2, 3
    b = [0.0, 0.25, 0.375, 0.75, 1.0][:: -1 if backwards else 1]
    scale = torch.arange(1.0, 13.0).view(6, 2).double()
    steps = torch.arange(1.0, 11.0).view(5, 2).double()
    random = torch.Generator().manual_seed(0)
    states = [
        State(Z + t, *torch.randn(2, 6, generator=random).double(), *torch.randn(2, 6, 2, generator=random).double())
        for t in range(4)
    ]
    chances = torch.rand(3, 6, generator=random).double()
    calls: list[Any] = []

    def transition(bridge: Bridge, state: State, b: float, step: Tensor, count: int) -> tuple[State, Tensor]:
        assert bridge is BRIDGE
        assert state is states[len(calls)]
        calls.append((b, (step / scale / 7).tolist(), count))
        return states[len(calls)], chances[len(calls) - 1]

    monkeypatch.setattr(hamiltonian, "transition", transition)
    monkeypatch.setattr(hamiltonian, "jittered_steps", lambda step: step * 7)
    progress: list[float] = []
    log_w, chance = annealing.anneal(ends_of(chains, scale), states[0], rows(*b), steps, 9, progress.append)
    assert progress == [0.25] * 4
    assert [(at, count) for at, _, count in calls] == [(b[t], 9) for t in (1, 2, 3)]
    for t, (_, sizes, _) in enumerate(calls, start=1):
        want = [[float(steps[t, image])] * 2 for image in range(n) for _ in range(chains)]
        assert sizes == [pytest.approx(row) for row in want]
    for image in range(n):
        assert float(chance[image]) == pytest.approx(float(chances[:, 3 * image : 3 * image + 3].mean()))
        for c in range(chains):
            i = 3 * image + c
            want = sum((b[t + 1] - b[t]) * float(states[t].log_p[i] - states[t].log_q[i]) for t in range(4))
            assert float(log_w[image, c]) == pytest.approx(want)
    assert log_w.dtype == torch.float64
    assert (log_w.shape, chance.shape) == ((2, 3), (2,))


def test_one_temperature_is_importance_sampling() -> None:
    progress: list[float] = []
    state = BRIDGE.at(Z[:4])
    log_w, chance = annealing.anneal(
        ends_of(2, torch.ones(4, 2)), state, rows(0.0, 1.0), rows([1.0, 1.0]), 3, progress.append
    )
    assert log_w.flatten().tolist() == pytest.approx((state.log_p - state.log_q).tolist())
    assert chance.tolist() == [0.0, 0.0]
    assert progress == [1.0]


def test_weights_of_float32_are_summed_in_float64() -> None:
    far = State(Z[:2].float(), torch.zeros(2), torch.tensor([1.0, 3.0]), Z[:2].float(), Z[:2].float())
    log_w, _ = annealing.anneal(
        ends_of(1, torch.ones(2, 2)), far, rows(0.0, 1.0), rows([1.0, 1.0]), 3, lambda share: None
    )
    assert log_w.dtype == torch.float64


def test_progress_of_a_part_is_told_of_the_whole() -> None:
    progress: list[float] = []
    annealing.scaled_progress(progress.append, 0.25)(0.5)
    assert progress == [0.125]


def parts(monkeypatch: pytest.MonkeyPatch, weights: list[Tensor], chances: list[Tensor]) -> list[Any]:
    """Notes what tuning and annealing are given, in place of them, which progress by all of theirs at once."""
    calls: list[Any] = []

    def tuned_steps(
        bridge: Bridge, z: Tensor, scale: Tensor, betas: Tensor, chains: int, count: int, tell: Any
    ) -> Tensor:
        calls.append((bridge, z, scale, betas.tolist(), chains, count))
        tell(1.0)
        return torch.arange(8.0).view(4, 2)

    def anneal(ends: Any, state: State, path: Tensor, steps: Tensor, leapfrog: int, tell: Any) -> tuple[Tensor, Tensor]:
        calls.append((ends, state, path.tolist(), steps.tolist(), leapfrog))
        tell(1.0)
        return weights.pop(0), chances.pop(0)

    monkeypatch.setattr(hamiltonian, "tuned_steps", tuned_steps)
    monkeypatch.setattr(annealing, "anneal", anneal)
    return calls


WEIGHTS = rows([1.0, 2.5, 3.0], [0.5, 4.0, 0.25])
STEPS = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]


def test_the_forward_run_is_tuned_on_draws_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parts(monkeypatch, [WEIGHTS.log()], [rows(0.5, 0.75)])
    ends = ends_of(3, Z * 2, [Z, Z + 1])
    progress: list[float] = []
    path = annealing.betas(3, "sigmoidal")
    found, chance = annealing.lower_bound(ends, annealing.Options(3, 3, 9, "sigmoidal", "prior"), progress.append)
    assert found.tolist() == pytest.approx([math.log(6.5 / 3), math.log(4.75 / 3)])
    assert chance.tolist() == [0.5, 0.75]
    (bridge, z, scale, betas, chains, count), (given, state, along, steps, leapfrog) = calls
    assert (bridge, betas, chains, count) == (BRIDGE, path.tolist(), 3, 9)
    assert (given, along, steps, leapfrog) == (ends, path.tolist(), STEPS, 9)
    assert torch.equal(z, Z)
    assert torch.equal(scale, Z * 2)
    assert torch.equal(state.z, Z + 1)
    assert progress == pytest.approx([24 / 27, 3 / 27])  # of 24 transitions of the tuning and 3 temperatures


def test_the_reverse_run_begins_at_the_exact_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parts(monkeypatch, [WEIGHTS.log(), (1 / WEIGHTS.flip(0)).log()], [rows(0.5, 0.75), rows(0.25, 0.125)])
    ends = ends_of(3, Z * 2, [Z, Z + 1])
    progress: list[float] = []
    path = annealing.betas(3, "linear")
    star = rows([7.0, 8.0], [9.0, 10.0])
    lower, upper, chance = annealing.sandwich(
        ends, star, annealing.Options(3, 3, 9, "linear", "prior"), progress.append
    )
    assert lower.tolist() == pytest.approx([math.log(6.5 / 3), math.log(4.75 / 3)])
    assert upper.tolist() == pytest.approx([-math.log((2 + 0.25 + 4) / 3), -math.log((1 + 0.4 + 1 / 3) / 3)])
    assert chance.tolist() == pytest.approx([0.375, 0.4375])
    (bridge, z, scale, betas, chains, count), up, down = calls
    assert (bridge, betas, chains, count) == (BRIDGE, path.tolist(), 3, 9)
    assert torch.equal(z, Z)
    assert torch.equal(scale, Z * 2)
    assert torch.equal(up[1].z, Z + 1)
    assert torch.equal(down[1].z, torch.cat([star[:1]] * 3 + [star[1:]] * 3))
    assert (up[0], up[2:]) == (ends, (path.tolist(), STEPS, 9))
    assert (down[0], down[2:]) == (ends, (path.tolist()[::-1], STEPS[::-1], 9))
    assert progress == pytest.approx([24 / 30, 3 / 30, 3 / 30])


# ---- the estimate and the check


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, game: VAE) -> list[Any]:
    """Runs that answer by x: log p(x) = sum of x, acceptance = x_1 / 8; what they are given is noted."""
    seen: list[Any] = []

    def of(which: Any, x: Tensor, settings: annealing.Options) -> Tensor:
        flags = (game.training, torch.is_grad_enabled(), any(p.requires_grad for p in game.parameters()))
        seen.append((which is game, len(x), x.dtype, settings, flags))
        return x

    def forward(x: Tensor, settings: annealing.Options, tell: Any) -> tuple[Tensor, Tensor]:
        assert seen[-1][3] is settings
        return x.sum(1), x[:, 0] / 8

    def sandwich(x: Tensor, z: Tensor, settings: annealing.Options, tell: Any) -> tuple[Tensor, Tensor, Tensor]:
        assert seen[-1][3] is settings
        seen[-1] += (x, z)
        return x.sum(1), z.sum(1), z[:, 0].square()

    monkeypatch.setattr(annealing, "Ends", SimpleNamespace(of=of))
    monkeypatch.setattr(annealing, "lower_bound", forward)
    monkeypatch.setattr(annealing, "sandwich", sandwich)
    return seen


def test_the_estimate_is_gathered_from_runs(game: VAE, runs: list[Any]) -> None:
    x = torch.cat([X, X + 1, X[:1] / 2]).float()
    found = annealed_importance(
        game.train(), x, chains=3, temperatures=1000, leapfrog=4, path="linear", initial="prior", simulated=0, seed=5,
        rows=8, binarized="dynamic", precision="bf16",
    )  # fmt: skip
    want = annealing.Options(3, 1000, 4, "linear", "prior", False, "bf16")
    assert [one[1] for one in runs] == [2, 2, 1]  # 8 pairs are 2 images of 3 chains
    assert {(one[0], *one[2:]) for one in runs} == {(True, torch.float64, want, (False, False, False))}
    assert game.training
    assert all(p.requires_grad for p in game.parameters())
    assert found.values.tolist() == pytest.approx(x.sum(1).tolist())
    assert found.acceptance == pytest.approx(float(x[:, 0].mean()) / 8)
    assert (found.name, found.images, found.rows.tolist(), found.check) == ("ais", 5, [0, 1, 2, 3, 4], None)
    assert found.protocol == f"{want.description}; binarization: dynamic; seed 5; 8 pairs (x, z) at once"


def test_the_check_is_done_with_the_estimates_settings(
    game: VAE, runs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    check = Sandwich(X[0], X[0], 0.5, 3, "words")
    monkeypatch.setattr(annealing, "bidirectional_check", lambda *given: asked.append(given) or check)
    monkeypatch.setattr(annealing, "max_rows", lambda game: 2000)
    found = annealed_importance(game, X, 3, 6, 4, "linear", "posterior", 7, 5, None, "none", "fp32")
    assert found.check is check
    assert asked == [(game, 7, 3, 6, 4, "linear", "posterior", 5, 2000, "fp32")]
    assert "; 2,000 pairs (x, z) at once" in found.protocol
    assert annealed_importance(game, X, 3, simulated=0).check is None
    assert annealed_importance(game, X, 3, simulated=1).check is check
    assert len(asked) == 2
    with pytest.raises(UserError, match="`simulated` is -1"):
        annealed_importance(game, X, simulated=-1)


def test_an_interrupted_estimate_has_no_check(game: VAE, runs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(x: Tensor, settings: Any, tell: Any) -> Any:
        if len(runs) == 2:
            raise KeyboardInterrupt
        return x.sum(1), x[:, 0]

    monkeypatch.setattr(annealing, "lower_bound", forward)
    monkeypatch.setattr(annealing, "bidirectional_check", lambda *given: pytest.fail("it was checked"))
    found = annealed_importance(game, X, chains=2, rows=1)
    assert found.interrupted
    assert found.check is None
    assert [one[1] for one in runs] == [1, 1]


def order(images: int, seed: int) -> list[int]:
    return torch.randperm(images, generator=torch.Generator().manual_seed(seed)).tolist()


def test_the_check_is_of_images_that_the_model_makes(game: VAE, runs: list[Any]) -> None:
    simulated: list[int] = []
    game.simulate = lambda z: simulated.append(len(z)) or torch.cat([z, z[:, :1] * 3], dim=1)  # type: ignore[method-assign]
    found = bidirectional_check(game.train(), 7, 3, 6, 4, "linear", "prior", 5, 6, "bf16")
    with evaluating(game, 5):
        z = torch.randn(7, 2, dtype=torch.float64)
    x = torch.cat([z, z[:, :1] * 3], dim=1)
    assert simulated == [6, 1]
    want = annealing.Options(3, 6, 4, "linear", "prior", False, "bf16")
    assert [one[1] for one in runs] == [2, 2, 2, 1]
    assert {(one[0], *one[2:5]) for one in runs} == {(True, torch.float64, want, (False, False, False))}
    assert torch.equal(torch.cat([one[5] for one in runs]), x[order(7, 5)])
    assert torch.equal(torch.cat([one[6] for one in runs]), z[order(7, 5)])
    assert found.lower.tolist() == pytest.approx(x.sum(1).tolist())
    assert found.upper.tolist() == pytest.approx(z.sum(1).tolist())
    assert found.acceptance == pytest.approx(float(z[:, 0].square().mean()))
    assert (found.images, found.protocol) == (7, f"{want.description}; seed 5; 6 pairs (x, z) at once")
    assert all(p.requires_grad for p in game.parameters())


def test_the_check_takes_one_image_at_a_time_where_its_chains_fill_a_chunk(
    game: VAE, runs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bidirectional_check(game, 2, chains=5, rows=4)
    assert [one[1] for one in runs] == [1, 1]
    monkeypatch.setattr(annealing, "max_rows", lambda game: 1500)
    found = bidirectional_check(game, 1, chains=5)
    assert "; seed 0; 1,500 pairs" in found.protocol
    with pytest.raises(UserError, match="`images` is 0"):
        bidirectional_check(game, 0)


def test_a_game_that_cannot_simulate_is_told_how(game: VAE) -> None:
    bare: Any = SimpleNamespace(decoder=game.decoder, prior=game.prior, parameters=game.parameters)
    with pytest.raises(UserError, match="no density"):
        bidirectional_check(bare, 3, precision="fp32")
    vars(bare).update(binary=False, log_likelihood=lambda x, z: x, log_joint=lambda x, z: x)
    with pytest.raises(UserError, match="has no method `simulate`"):
        bidirectional_check(bare, 3, precision="fp32")


def test_images_are_checked_before_a_run(binary: VAE) -> None:
    with pytest.raises(UserError, match=r"such as 0\.5; binarize"):
        annealed_importance(binary, BINARY / 2)
    with pytest.raises(UserError, match="no images"):
        annealed_importance(binary, BINARY[:0])
