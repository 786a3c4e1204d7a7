"""The terms that fit means to samples, sleep and wake: zero gradients at the optimum, and the networks that they train."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from examples import batch, build
from torch import Tensor, nn
from torch.optim import SGD

from interalia.conditionals import Chain, Conditional, Deterministic, StandardNormal
from interalia.contexts import BatchNorm
from interalia.games import ALI, HALI, REGISTRY, Game
from interalia.games.ali import sample_and_mean
from interalia.learning.dynamics import REGISTRY as DYNAMICS

# --- the optimum, with Gaussians whose moments are exact --------------------------------------------------------------
# Samples of -1 and 1 have the first two moments of a standard normal, and gradients of squares need no others.

SIGNS = torch.tensor(
    list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64
)  # 8 of 3 independent variables


class Linear(Conditional):
    """N(w c + b, s^2), whose noise is a column of SIGNS."""

    has_moments = True

    def __init__(self, w: float, b: float, s: float, noise: int) -> None:
        super().__init__(nn.Linear(1, 1).double())
        with torch.no_grad():
            self.network.weight.fill_(w)  # type: ignore[union-attr, operator]
            self.network.bias.fill_(b)  # type: ignore[union-attr, operator]
        self.s, self.noise = s, noise

    def forward(self, *c: Tensor) -> Any:
        mean = self.network(*c)
        noise = SIGNS[:, [self.noise]].repeat(len(mean) // len(SIGNS), 1)
        return SimpleNamespace(mean=mean, rsample=lambda: mean + self.s * noise)


class Signs(StandardNormal):
    """Samples of a column of SIGNS."""

    def sample(self, shape: Any = ()) -> Tensor:
        return SIGNS[:, [2]]


def posterior(w: float, b: float, s: float, mean: float = 0.0, variance: float = 1.0) -> tuple[float, float, float]:
    """The q(z | x) of p(x | z) = N(w z + b, s^2) and p(z) = N(mean, variance), as slope, intercept and deviation."""
    gain = variance * w / (w * w * variance + s * s)
    return gain, mean - gain * (w * mean + b), (variance * (1 - gain * w)) ** 0.5


def gradients(game: Game, *batch: Tensor) -> dict[str, list[float]]:
    """The gradient of each term in each network: {term: values}, of the networks that it reaches."""
    joints, found = game.sample(*batch), {}
    for name in ("sleep", "upper_sleep", "upper_wake"):
        if name in joints:
            a, b = joints[name]
            by = torch.autograd.grad(
                (a - b).square().mean(), list(game.parameters()), allow_unused=True, retain_graph=True
            )
            found[name] = [float(g.flatten()[0]) for g in by if g is not None]
    return found


@pytest.mark.parametrize("off", [0.0, 0.3])
def test_sleep_has_no_gradient_where_q_is_p(off: float) -> None:
    """p(z) = N(0, 1), p(x | z) = N(2 z + 1, 0.5^2); `off` moves the slope of q(z | x) from that of p(z | x)."""
    slope, intercept, deviation = posterior(2.0, 1.0, 0.5)
    game = ALI(
        Linear(slope + off, intercept, deviation, 0), Linear(2.0, 1.0, 0.5, 1), nn.Linear(2, 1), Signs(1), sleep=0.5
    )
    found = gradients(game, torch.zeros(8, 1, dtype=torch.float64))
    assert [len(values) for values in found.values()] == [2]  # the slope and the intercept of q(z | x)
    assert (max(map(abs, found["sleep"])) < 1e-12) is (off == 0)


@pytest.mark.parametrize("off", [0.0, 0.3])
def test_so_it_is_at_each_level_of_hali(off: float) -> None:
    """p(z2) = N(0, 1), p(z1 | z2) = N(1.5 z2 - 1, 0.5^2), p(x | z1) = N(2 z1 + 1, 0.7^2), and q their posteriors."""
    top, low = (1.5, -1.0, 0.5), (2.0, 1.0, 0.7)
    variance = top[0] ** 2 + top[2] ** 2  # of z1
    deviation = (low[0] ** 2 * variance + low[2] ** 2) ** 0.5  # of x
    up, down = posterior(*low, mean=-1.0, variance=variance), posterior(*top)
    q = Chain(Linear(up[0] + off, up[1], up[2], 0), Linear(down[0] + off, down[1], down[2], 1))
    p = Chain(Linear(top[0] + off, *top[1:], 0), Linear(*low, 1))
    game = HALI(q, p, nn.Linear(3, 1), Signs(1), sleep=0.5, upper_sleep=0.5, upper_wake=0.2)
    found = gradients(game, low[0] * -1.0 + low[1] + deviation * SIGNS[:, [2]])
    assert [len(values) for values in found.values()] == [2, 2, 2]
    for name, values in found.items():
        assert (max(map(abs, values)) < 1e-12) is (off == 0), name


def test_the_unit_of_halis_terms_is_the_deviation_of_their_samples() -> None:
    """So that the term is 1 for a mean that knows nothing but the samples' own mean, whatever the scale of z1."""
    terms = []
    for scale in (1.0, 50.0):
        q = Chain(Linear(0.0, 0.0, scale, 0), Linear(0.0, 0.0, 1.0, 1))
        p = Chain(Linear(0.0, 0.0, scale, 0), Linear(0.0, 0.0, 1.0, 1))
        game = HALI(q, p, nn.Linear(3, 1), Signs(1), sleep=1.0, upper_sleep=1.0, upper_wake=1.0)
        joints = game.sample(torch.zeros(8, 1, dtype=torch.float64))
        terms.append([float((a - b).square().mean().detach()) for a, b in map(joints.get, game.mean_terms())])  # type: ignore[misc]
    for term in terms:
        assert term == pytest.approx([1.0, 1.0, 1.0], abs=3e-3)


# --- the networks that a term trains ----------------------------------------------------------------------------------

TRAINS = {
    **{
        f"{name}(sleep=0.5)": {"sleep": "encoder"}
        for name, kind in REGISTRY.items()
        if issubclass(kind, ALI) and not issubclass(kind, HALI)
    },
    "semi-ali(sleep=0.5, cycle=1.0)": {"sleep": "encoder"},
    "hali(sleep=0.5, lower=4)": {"sleep": "encoder.first"},
    "hali(upper_sleep=0.5, lower=4)": {"upper_sleep": "encoder.second"},
    "hali(upper_wake=0.5, lower=4)": {"upper_wake": "decoder.first"},
    "hali(sleep=0.5, upper_sleep=0.5, upper_wake=0.2, lower=4)": {
        "sleep": "encoder.first",
        "upper_sleep": "encoder.second",
        "upper_wake": "decoder.first",
    },
}


def made(text: str, **fields: object) -> Game:
    """The game; one that takes a pretrained generator in float32."""
    return build(text, double="posthoc" not in text, **fields)


@pytest.mark.parametrize(
    ("text", "labels"), [*((text, 0) for text in TRAINS), ("ali(sleep=0.5)", 3), ("alice(sleep=0.5)", 3)]
)
def test_each_term_trains_one_network(text: str, labels: int) -> None:
    game = made(text, labels=labels)
    torch.manual_seed(2)
    joints = game.sample(*batch(game))
    assert {name for name in joints if "sleep" in name or "wake" in name} == set(TRAINS[text])
    for name, network in TRAINS[text].items():
        a, b = joints[name]
        parameters = dict(game.named_parameters())
        trained = [p for p in parameters.values() if p.requires_grad]
        by = torch.autograd.grad((a - b).square().mean(), trained, allow_unused=True, retain_graph=True)
        reached = {id(p) for p, g in zip(trained, by, strict=True) if g is not None}
        assert {id(p) for p in game.get_submodule(network).parameters()} == reached
        assert not b.requires_grad


@pytest.mark.parametrize("text", TRAINS)
def test_the_terms_are_added_to_the_first_players_loss(text: str) -> None:
    game = made(text)
    torch.manual_seed(2)
    joints = game.sample(*batch(game))
    torch.manual_seed(3)
    losses = game.losses(joints).losses
    by_hand = sum(getattr(game, name) * (joints[name][0] - joints[name][1]).square().mean() for name in TRAINS[text])
    for name in TRAINS[text]:
        setattr(game, name, 0.0)
    torch.manual_seed(3)
    without = game.losses({name: joint for name, joint in joints.items() if name not in TRAINS[text]}).losses
    first = next(iter(game.players))
    torch.testing.assert_close(losses.pop(first), without.pop(first) + by_hand)  # type: ignore[attr-defined]
    torch.testing.assert_close(losses, without)


@pytest.mark.parametrize("text", ["ali(sleep=0.5)", "alice(sleep=0.5)", "semi-ali(sleep=0.5, cycle=1.0)"])
def test_one_pass_of_the_encoder_takes_data_and_decoded_samples(text: str) -> None:
    """So that a batch norm sees both."""
    game = build(text)
    calls: list[int] = []
    game.encoder.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))  # type: ignore[union-attr]
    given = batch(game)
    joints = game.sample(*given)
    rows = sum(len(part) for part in given if part.ndim == given[0].ndim)
    assert calls == [rows + len(joints["p"][0])]
    norms = [layer for layer in game.encoder.modules() if isinstance(layer, BatchNorm)]  # type: ignore[union-attr]
    assert norms
    assert all(int(layer.num_batches_tracked or 0) == 1 for layer in norms)


def test_a_mean_beside_a_sample() -> None:
    """Each with its own condition and y; in eval mode as two passes."""
    conditional = build("ali", labels=3).eval().encoder  # type: ignore[union-attr]
    x, other, y = torch.rand(4, 1, 4, 4).double(), torch.rand(4, 1, 4, 4).double(), torch.eye(3).double()[[0, 2, 1, 1]]
    torch.manual_seed(0)
    sample, mean = sample_and_mean(conditional, x, other.requires_grad_(), [y])
    torch.testing.assert_close(mean, conditional(other, y).mean)
    assert sample.shape == mean.shape
    assert torch.autograd.grad(mean.sum(), [other], allow_unused=True) == (None,)
    point = Deterministic(nn.Identity())
    assert torch.equal(sample_and_mean(point, x, x + 1)[1], x + 1)


@pytest.mark.parametrize(
    "text", ["ali(sleep=0.5)", "alice(sleep=0.5)", "hali(upper_sleep=0.5, upper_wake=0.2, cycle=1.0, lower=4)"]
)
def test_one_stage_is_simultaneous_with_these_terms(text: str) -> None:
    ends = []
    for dynamics in ("simultaneous", "one-stage"):
        game = build(text)
        moves = DYNAMICS[dynamics](game, {player: SGD(game.parameters_of(player), lr=0.01) for player in game.players})
        torch.manual_seed(3)
        for _ in range(2):
            moves.step(itertools.repeat(batch(game)))
        ends.append(torch.cat([p.detach().flatten() for p in game.parameters()]))
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-12, atol=1e-12)
