"""Penalties of a critic whose slope is its input, by hand; pools; borders and defaults."""

from __future__ import annotations

import contextlib
import inspect
import math

import pytest
import torch
from torch import Tensor, nn

from interalia.adversarial import penalties as room
from interalia.adversarial.penalties import (
    R1,
    R1R2,
    R2,
    REGISTRY,
    WGANGP,
    Dragan,
    Penalty,
    WeightClip,
    squared_gradients,
)
from interalia.adversarial.pools import Pool
from interalia.games import Game, Outcome

CHARGING = [name for name in REGISTRY if name != "weight-clip"]


class Square(nn.Module):
    """k / 2 times the sum of squares of all inputs: the slope is k times the input."""

    def __init__(self, k: float = 1.0, each: int = 1) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))
        self.each = each  # samples that share a score
        self.shown: list[tuple[Tensor, ...]] = []

    def forward(self, *parts: Tensor) -> Tensor:
        self.shown.append(parts)
        squares = torch.stack([part.flatten(1).square().sum(1) for part in parts]).sum(0)
        return self.k / 2 * squares.view(-1, self.each).sum(1)


def tensor(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# squared norms over both parts: 1 + 4 + 9 = 14, 16 + 0.25 = 16.25 on P; 1, 4 + 1 = 5, 0.25 + 9 = 9.25 on Q
P = (tensor([1.0, -2.0], [4.0, 0.0]), tensor([3.0], [0.5]))
Q = (tensor([0.0, 1.0], [2.0, 0.0], [0.5, 0.0]), tensor([0.0], [1.0], [-3.0]))


def test_settings_begin_as_documented() -> None:
    expected = {
        "r1": {"gamma": 1.0, "every": 1, "final": None},
        "r2": {"gamma": 1.0, "every": 1, "final": None},
        "r1r2": {"gamma": 1.0, "every": 1, "final": None},
        "wgan-gp": {"weight": 10.0, "every": 1},
        "dragan": {"weight": 10.0, "scale": 0.5, "every": 1},
        "weight-clip": {"bound": 0.01},
    }
    kinds = {
        "r1": "R1",
        "r2": "R2",
        "r1r2": "R1R2",
        "wgan-gp": "WGANGP",
        "dragan": "Dragan",
        "weight-clip": "WeightClip",
    }
    assert {name: getattr(room, kind) for name, kind in kinds.items()} == REGISTRY
    for name, kind in REGISTRY.items():
        assert {key: p.default for key, p in inspect.signature(kind).parameters.items()} == expected[name]
        made = kind()
        assert {key: getattr(made, key) for key in expected[name]} == expected[name]
        assert (made.every, made.due) == (1, True)
    assert inspect.signature(Pool).parameters["size"].default == 50
    assert Pool().size == 50
    assert R1(gamma=3.0).weight == 3.0


def test_squared_slopes_are_summed_over_all_inputs_of_a_score() -> None:
    assert squared_gradients(Square(), P).tolist() == pytest.approx([14, 16.25])
    assert squared_gradients(Square(2.0), Q).tolist() == pytest.approx([4, 20, 37])
    assert squared_gradients(Square(each=2), P).tolist() == pytest.approx([30.25])
    image = (torch.full((3, 2, 4, 5), 0.5, dtype=torch.float64),)
    assert squared_gradients(Square(), image).tolist() == pytest.approx([10, 10, 10])


def test_centred_at_zero() -> None:
    """14 and 16.25 on P, 1, 5 and 9.25 on Q."""
    on_p, on_q = 30.25 / 2, 15.25 / 3
    for kind, expected in ((R1, on_p), (R2, on_q), (R1R2, on_p + on_q)):
        critic = Square()
        charge = kind(gamma=0.6)(critic, P, Q)
        assert charge.ndim == 0
        assert charge.item() == pytest.approx(0.3 * expected)
        (slope,) = torch.autograd.grad(charge, critic.k)  # of k^2 times that
        assert slope.item() == pytest.approx(0.6 * expected)
        assert len(critic.shown) == 1
        assert kind(gamma=0.6, every=5)(Square(), P, Q).item() == pytest.approx(5 * 0.3 * expected)
        assert kind(gamma=0.0)(Square(), P, Q).item() == 0
    two = tuple(part[:2] for part in Q)
    four = tuple(torch.cat([part, part]) for part in P)
    packs = R1R2(gamma=2.0)(Square(each=2), four, two).item()  # 30.25 a pack of P, 6 the one of Q
    assert packs == pytest.approx(36.25)


def test_lines_between_samples() -> None:
    """From x = (1, -2), z = 3 to (0, 1), 0 and from (4, 0), 0.5 to (2, 0), 1, at places of their own."""
    critic, q = Square(), tuple(part[:2] for part in Q)
    torch.manual_seed(0)
    charge = WGANGP(weight=3.0)(critic, P, q)
    torch.manual_seed(0)
    s, t = torch.rand(2, dtype=P[0].dtype).tolist()
    first = (1 - s, -2 + 3 * s, 3 - 3 * s)
    second = (4 - 2 * t, 0.0, 0.5 + 0.5 * t)
    torch.testing.assert_close(critic.shown[0][0].detach(), tensor([*first[:2]], [*second[:2]]), atol=1e-6, rtol=0)
    norms = [math.sqrt(sum(v * v for v in row)) for row in (first, second)]
    assert charge.item() == pytest.approx(3 * sum((n - 1) ** 2 for n in norms) / 2, rel=1e-6)
    assert norms[0] != pytest.approx(norms[1], abs=0.1)


def test_around_samples() -> None:
    critic = Square()
    torch.manual_seed(0)
    charge = Dragan(weight=3.0, scale=0.25)(critic, P, Q)
    torch.manual_seed(0)
    near = []
    for part in P:
        values = part.flatten().tolist()
        middle = sum(values) / len(values)
        std = math.sqrt(sum((v - middle) ** 2 for v in values) / (len(values) - 1))
        near.append(part + 0.25 * std * torch.rand_like(part))
    for ours, theirs in zip(critic.shown[0], near, strict=True):
        torch.testing.assert_close(ours.detach(), theirs)
    norms = torch.cat(near, dim=1).norm(dim=1)
    assert charge.item() == pytest.approx(3 * (norms - 1).square().mean().item())
    still = Dragan(weight=3.0, scale=0.0)(Square(), P, Q).item()
    assert still == pytest.approx(3 * ((math.sqrt(14) - 1) ** 2 + (math.sqrt(16.25) - 1) ** 2) / 2)


def test_a_slope_of_zero_is_charged_and_has_a_gradient() -> None:
    """(0 - 1)^2, and the root of 0 is not differentiated at 0."""
    zero = (torch.zeros(3, 2, dtype=torch.float64),)
    for penalty in (WGANGP(weight=2.0), Dragan(weight=2.0)):
        critic = Square()
        charge = penalty(critic, zero, zero)
        assert charge.item() == pytest.approx(2, abs=1e-5)
        (slope,) = torch.autograd.grad(charge, critic.k)
        assert bool(slope.isfinite())


@pytest.mark.parametrize("name", CHARGING)
def test_when_a_penalty_is_due(name: str) -> None:
    penalty = REGISTRY[name](every=3)
    assert penalty.due
    due = []
    for step in range(8):
        penalty.set_progress(step, 8)
        due.append(penalty.due)
    assert due == [True, False, False, True, False, False, True, False]
    charge = penalty(Square(), P, P)
    assert charge.shape == ()
    assert (charge.item(), charge.dtype, charge.requires_grad) == (0, torch.float64, False)
    x = torch.ones(2, 3, requires_grad=True) * 2
    alone = penalty(Square(), (x, x.double()), (x, x.double())), penalty(Square(), (x,), (x,))
    assert [(zero.item(), zero.dtype) for zero in alone] == [(0, torch.float32)] * 2  # as x is, whatever is beside it
    for bad in (0, -1):
        with pytest.raises(ValueError, match="`every` is"):
            REGISTRY[name](every=bad)


@pytest.mark.parametrize("name", CHARGING)
def test_penalties_are_taken_in_full_precision(name: str) -> None:
    kinds = []

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x)[:, 0]
            kinds.append(out.dtype)
            return out

    x = (torch.randn(4, 2),)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        REGISTRY[name]()(Layer(), x, x).backward()
        assert torch.is_autocast_enabled("cpu")
    assert kinds == [torch.float32]


@pytest.mark.parametrize("kind", [R1, R2, R1R2])
def test_a_weight_falls_geometrically(kind: type[R1]) -> None:
    """From 8 to 1/8 by way of 1; t runs over all steps, and of no step at all it is 0."""
    penalty = kind(gamma=8.0, final=0.125, every=2)
    assert penalty.weight == 8
    found = []
    for step in (0, 1, 3, 6):
        penalty.set_progress(step, 6)
        found.append((penalty.weight, penalty.due))
    assert [weight for weight, _ in found] == pytest.approx([8, 4, 1, 0.125])
    assert [due for _, due in found] == [True, False, False, True]
    penalty.set_progress(0, 0)
    assert penalty.weight == 8
    steady = kind(gamma=8.0)
    steady.set_progress(3, 6)
    assert steady.weight == 8
    penalty.set_progress(4, 6)
    assert penalty.weight == pytest.approx(0.5)  # 8 (1 / 64)^(2/3)
    assert penalty(Square(), P, P).item() == pytest.approx(2 * 0.5 * kind(gamma=1.0)(Square(), P, P).item())


def test_borders_of_the_weights() -> None:
    for kind in (R1, R2, R1R2):
        assert kind(gamma=0.0).gamma == 0
        assert kind(gamma=1e-9, final=1e-9).final == 1e-9
        for bad in (-1e-9, math.nan):
            with pytest.raises(ValueError, match=r"`gamma` is .* weight of 0 or more"):
                kind(gamma=bad)
        for gamma, final in ((0.0, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, math.nan)):
            with pytest.raises(ValueError, match="both above 0"):
                kind(gamma=gamma, final=final)
    assert WGANGP(weight=0.0).weight == 0
    assert (Dragan(weight=0.0).weight, Dragan(scale=0.0).scale) == (0, 0)
    for bad in (-1e-9, math.nan):
        with pytest.raises(ValueError, match="`weight` is"):
            WGANGP(weight=bad)
    for settings in ({"weight": -1e-9}, {"scale": -1e-9}):
        with pytest.raises(ValueError, match="they are 0 or more"):
            Dragan(**settings)
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="`bound` is"):
            WeightClip(bound=bad)
    with pytest.raises(TypeError):
        Penalty()  # type: ignore[abstract]


def test_a_box_for_weights() -> None:
    critic = Square(0.3)
    critic.other = nn.Parameter(torch.tensor([-0.3, 0.1, 0.25, -0.26]))
    clip = WeightClip(bound=0.25)
    assert clip(critic, P, Q).item() == 0
    assert clip(critic, P, Q).dtype == torch.float64
    assert clip(critic, (P[0], P[1].float()), Q).dtype == torch.float64
    assert clip(critic, P[:1], Q[:1]).item() == 0
    R1().after_step(critic)  # for which nothing is done
    assert critic.k.item() == 0.3
    clip.after_step(critic)
    assert critic.k.item() == 0.25
    assert critic.other.tolist() == pytest.approx([-0.25, 0.1, 0.25, -0.25])
    assert critic.k.requires_grad


def test_a_game_imposes_a_box_when_its_critic_has_moved() -> None:
    class Two(Game):
        players = {"critic": ["critic"], "both": ["critic", "encoder"], "generator": ["encoder"]}

        def __init__(self) -> None:
            super().__init__()
            self.critic, self.encoder = Square(0.3), Square(0.4)
            self.penalty = WeightClip(bound=0.25)

        def sample(self, *batch: Tensor) -> dict[str, tuple[Tensor, ...]]:
            return {}

        def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
            return Outcome({})

    for player, expected in (("critic", 0.25), ("both", 0.25), ("generator", 0.3)):
        game = Two()
        game.after_step(player)
        assert (game.critic.k.item(), game.encoder.k.item()) == (expected, 0.4)


# ---- pools


def rows(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def test_a_pool_swaps_half_of_what_comes_once_it_is_full() -> None:
    """By hand with the same draws: of each batch first all coins, then all places."""
    pool = Pool(3)
    torch.manual_seed(0)
    stored: list[float] = []
    swapped = 0
    for start in range(0, 40, 4):
        new = [float(v) for v in range(start, start + 4)]
        state = torch.random.get_rng_state()
        coins, places = torch.rand(4).tolist(), torch.randint(3, (4,)).tolist()
        torch.random.set_rng_state(state)
        expected = []
        for value, coin, place in zip(new, coins, places, strict=True):
            if len(stored) < 3:
                stored.append(value)
                expected.append(value)
            elif coin < 0.5:
                expected.append(stored[place])
                stored[place] = value
                swapped += 1
            else:
                expected.append(value)
        assert pool(rows(*new)).flatten().tolist() == expected
        assert pool.state_dict()["samples"].flatten().tolist() == stored
    assert 10 < swapped < 27


def test_what_a_pool_answers_is_detached_and_its_own() -> None:
    pool = Pool(2)
    new = rows(1.0, 2.0, 3.0).requires_grad_()
    assert not pool(new).requires_grad
    with torch.no_grad():
        new += 10
    assert pool.state_dict()["samples"].flatten().tolist()[0] in (1.0, 3.0)
    assert Pool(0)(new) is not new
    assert not Pool(0)(new).requires_grad
    assert torch.equal(Pool(0)(new), new.detach())
    assert Pool(0).state_dict()["samples"].numel() == 0
    images = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert Pool(4)(images).is_contiguous()
    assert Pool(0)(images).is_contiguous()
    with pytest.raises(ValueError, match="`size` is -1"):
        Pool(-1)


def test_a_pool_remembers_and_is_not_moved_by_what_it_was_given() -> None:
    kept = rows(1.0, 2.0)
    pool = Pool(2)
    pool.load_state_dict({"samples": kept})
    kept += 10
    assert pool.state_dict()["samples"].flatten().tolist() == [1, 2]
    given = pool.state_dict()["samples"]
    given += 10
    assert pool.state_dict()["samples"].flatten().tolist() == [1, 2]
    new = rows(5.0, 6.0, 7.0, 8.0)
    torch.manual_seed(1)
    pool(new)
    new += 10
    assert max(pool.state_dict()["samples"].flatten().tolist()) <= 8


def test_gradients_are_not_asked_for_where_they_are_switched_off() -> None:
    for context, training, expected in (
        (contextlib.nullcontext(), True, True),
        (contextlib.nullcontext(), False, False),
        (torch.no_grad(), True, False),
    ):
        critic = Square().train(training)
        with context:
            charge = R1()(critic, P, Q)
        assert (charge.item() > 0) == expected
        assert bool(critic.shown) == expected
