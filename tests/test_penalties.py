"""Penalties on critics whose gradients are known, and instance noise: when, how much, and where."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from examples import batch, build
from torch import Tensor, nn

from interalia import registry
from interalia.adversarial.disturbances import NOISES, InstanceNoise
from interalia.adversarial.penalties import R1, R1R2, R2, REGISTRY, WGANGP, Dragan, Penalty, WeightClip
from interalia.games import REGISTRY as GAMES
from interalia.games.needs import critics
from interalia.learning import dynamics

CHARGING = [name for name in REGISTRY if name != "weight-clip"]
JUDGED = [name for name, game in GAMES.items() if "critic" in game.players]
ROUND = 1e-5  # relative; gradients of critics in single precision


class Linear(nn.Module):
    """s(x, z) = <w, x> + <v, z> + b."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        direction = torch.randn(7, generator=torch.Generator().manual_seed(0))
        direction = slope * direction / direction.norm()
        self.w = nn.Parameter(direction[:4].clone())
        self.v = nn.Parameter(direction[4:].clone())
        self.b = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return x.flatten(1) @ self.w + z @ self.v + self.b


class Quadratic(nn.Module):
    """s(x) = <x, A x> / 2, A symmetric: the gradient is A x."""

    def __init__(self) -> None:
        super().__init__()
        a = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
        self.a = nn.Parameter(a + a.t())

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.a * x).sum(1) / 2


def pairs() -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(2)
    x, x_tilde = torch.randn(2, 6, 1, 2, 2, generator=generator)
    z_hat, z = torch.randn(2, 6, 3, generator=generator)
    return (x, z_hat), (x_tilde, z)


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_closed_forms_for_a_linear_critic(slope: float) -> None:
    critic, (p, q) = Linear(slope), pairs()
    assert R1(gamma=0.7)(critic, p, q).item() == pytest.approx(0.7 / 2 * slope**2, rel=ROUND)
    assert R2(gamma=0.7)(critic, p, q).item() == pytest.approx(0.7 / 2 * slope**2, rel=ROUND)
    assert R1R2(gamma=0.7)(critic, p, q).item() == pytest.approx(0.7 * slope**2, rel=ROUND)  # once for P, once for Q
    expected = 10 * (slope - 1) ** 2  # x and z are one vector
    assert WGANGP(weight=10.0)(critic, p, q).item() == pytest.approx(expected, rel=ROUND, abs=1e-9)
    assert Dragan(weight=10.0)(critic, p, q).item() == pytest.approx(expected, rel=ROUND, abs=1e-9)


def test_closed_forms_for_a_quadratic_critic() -> None:
    critic = Quadratic()
    p, q = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(3))
    on_p, on_q = ((x @ critic.a).square().sum(1).mean() for x in (p, q))
    torch.testing.assert_close(R1(gamma=2.0)(critic, (p,), (q,)), on_p)
    torch.testing.assert_close(R2(gamma=2.0)(critic, (p,), (q,)), on_q)
    torch.testing.assert_close(R1R2(gamma=2.0)(critic, (p,), (q,)), on_p + on_q)
    # the charge's own gradient, in A: d/dA of mean ||A x||^2 is 2 A mean[x x'], symmetrised as s(x) is
    (gradient,) = torch.autograd.grad(R1(gamma=2.0)(critic, (p,), (q,)), critic.a)
    (expected,) = torch.autograd.grad((p @ ((critic.a + critic.a.t()) / 2)).square().sum(1).mean(), critic.a)
    torch.testing.assert_close(gradient, expected)


def test_interpolated_looks_between_the_two() -> None:
    """A critic that has slope 1 between P at 0 and Q at 1 and slope 5 outside is not charged."""
    x = nn.Parameter(torch.ones(()))

    class Bent(nn.Module):
        def forward(self, a: Tensor) -> Tensor:
            return x * torch.where((a >= 0) & (a <= 1), a, 5 * a).squeeze(1)

    torch.manual_seed(0)
    p, q = (torch.zeros(500, 1),), (torch.ones(500, 1),)
    assert WGANGP()(Bent(), p, q).item() == pytest.approx(0, abs=1e-6)
    assert WGANGP()(Bent(), q, (torch.full((500, 1), 3.0),)).item() > 100


def test_dragan_looks_around_the_data() -> None:
    seen: list[Tensor] = []

    class Look(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return x.sum(1)

    p = 3 * torch.randn(5000, 2, generator=torch.Generator().manual_seed(1)) + 10
    Dragan(scale=0.5)(Look(), (p,), (torch.zeros(5000, 2),))
    moved = (seen[0] - p) / p.std()
    assert 0 <= moved.min().item() < 0.01
    assert 0.49 < moved.max().item() < 0.5
    assert moved.mean().item() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("name", CHARGING)
def test_every_k_steps_and_k_times_as_much(name: str) -> None:
    critic, (p, q) = Linear(3.0), pairs()
    full = REGISTRY[name]()(critic, p, q).item()
    assert full > 0
    lazy = REGISTRY[name](every=4)
    charges = []
    for step in range(9):
        lazy.set_progress(step, 9)
        charges.append(lazy(critic, p, q).item())
    assert charges == pytest.approx([4 * full, 0, 0, 0] * 2 + [4 * full], rel=ROUND)


@pytest.mark.parametrize("name", CHARGING)
def test_a_penalty_counts_in_whole_steps(name: str) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        REGISTRY[name](every=0)


@pytest.mark.parametrize("name", CHARGING)
def test_no_charge_in_evaluation(name: str) -> None:
    critic, (p, q) = Linear(3.0), pairs()
    with torch.no_grad():
        assert REGISTRY[name]()(critic, p, q).item() == 0
    assert REGISTRY[name]()(critic.eval(), p, q).item() == 0


@pytest.mark.parametrize("name", CHARGING)
def test_the_charge_reaches_the_critic_alone(name: str) -> None:
    """The samples come from the generator, and the penalty does not move it."""
    critic, (p, q) = Linear(3.0), pairs()
    for part in (*p, *q):
        part.requires_grad_()
    REGISTRY[name]()(critic, p, q).backward()
    assert critic.w.grad is not None
    assert bool((critic.w.grad != 0).all())
    assert all(part.grad is None for part in (*p, *q))


class Recorded(Penalty):
    """A penalty that keeps what it charged, and for whose gradient."""

    def __init__(self, penalty: Penalty) -> None:
        super().__init__()
        self.penalty = penalty
        self.charged: list[tuple[nn.Module, Sequence[Tensor], Sequence[Tensor], Tensor]] = []

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        self.charged.append((critic, p, q, self.penalty(critic, p, q)))
        return self.charged[-1][-1]


@pytest.mark.parametrize("name", CHARGING)
@pytest.mark.parametrize("game", JUDGED)
def test_a_penalty_adds_its_charge_to_the_critics_loss(game: str, name: str) -> None:
    """One charge for each critic, at joints as they were sampled, whose sum is added where the weights of the terms are 1."""
    made = build(game, penalty=name, double=False)
    assert made.penalty is not None
    recorded = made.penalty = Recorded(made.penalty)
    joints = made.sample(*batch(made))
    torch.manual_seed(1)
    charged = made.losses(joints).losses
    made.penalty = None
    free = made.losses(joints).losses
    critics = [made.get_submodule(network) for network in made.players["critic"]]
    assert [critic for critic, *_ in recorded.charged] == critics
    names = {id(joint): name for name, joint in joints.items()}
    told = [(names[id(p)], names[id(q)]) for _, p, q, _ in recorded.charged if id(p) in names and id(q) in names]
    order = list(joints)
    assert all(order.index(p) < order.index(q) for p, q in told)  # P, such as the data's, is named first
    sampled = {id(part) for joint in joints.values() for part in joint}
    for _, p, q, charge in recorded.charged:
        assert {id(part) for part in (*p, *q)} <= sampled
        assert charge.item() > 0
    torch.testing.assert_close(charged["critic"], free["critic"] + sum(charge for *_, charge in recorded.charged))
    for player in set(free) - {"critic"}:
        torch.testing.assert_close(charged[player], free[player])


@pytest.mark.parametrize("flow", ["simultaneous", "alternating"])
def test_clipping_keeps_the_critics_weights_in_their_box_and_nobody_elses(flow: str) -> None:
    made = build("gan", penalty="weight-clip(bound=0.02)", divergence="wasserstein", double=False)
    optimizers = {player: torch.optim.SGD(made.parameters_of(player), lr=0.1) for player in made.players}
    moves = registry.make(flow, dynamics.REGISTRY, "dynamics", made, optimizers)
    moves.step(itertools.repeat(batch(made)))
    assert max(p.abs().max().item() for p in made.critic.parameters()) == pytest.approx(0.02)
    assert max(p.abs().max().item() for p in made.decoder.parameters()) > 0.1
    with pytest.raises(ValueError, match="above 0"):
        WeightClip(bound=0.0)


def test_the_level_falls_on_a_straight_line_or_stays() -> None:
    noise, constant = NOISES["annealed"](std=0.4, until=0.5), NOISES["constant"](std=0.4)
    levels = []
    for step in (0, 25, 50, 75, 100):
        noise.set_progress(step, 100)
        constant.set_progress(step, 100)
        levels.append(noise.level)
        assert constant.level == pytest.approx(0.4)
    assert levels == pytest.approx([0.4, 0.2, 0, 0, 0], abs=1e-12)


def test_noise_has_the_standard_deviation_that_it_says_and_leaves_z_alone() -> None:
    torch.manual_seed(0)
    noise = InstanceNoise(std=0.4)
    noise.set_progress(3, 4)
    x, z = torch.rand(4000, 1, 4, 4), torch.randn(4000, 3)
    noisy, same = noise((x, z))
    assert same is z
    assert (noisy - x).std().item() == pytest.approx(0.1, rel=0.02)
    assert (noisy - x).mean().item() == pytest.approx(0, abs=0.002)
    noise.set_progress(4, 4)
    assert noise((x, z))[0] is x


def test_noise_that_stays() -> None:
    noise = InstanceNoise(std=0.4, final=0.2, until=0.5)
    for step, level in ((0, 0.4), (25, 0.3), (50, 0.2), (99, 0.2)):
        noise.set_progress(step, 100)
        assert noise.level == pytest.approx(level)


@pytest.mark.parametrize("settings", [{"std": -1.0}, {"until": 0.0}, {"until": 1.5}, {"final": -0.1}])
def test_noise_checks_its_settings(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="they lie in"):
        InstanceNoise(**settings)


# the others' critics tell a ratio, and are shown x as it is
DECEIVED = [game for game in JUDGED if all(critic.adversary for critic in critics(GAMES[game]))]


@pytest.mark.parametrize("game", DECEIVED)
def test_only_the_critics_see_noise_and_only_in_training(game: str) -> None:
    made = build(game, instance_noise="annealed(std=0.5)", double=False)
    seen: dict[str, list[tuple[Tensor, ...]]] = {}
    for name, network in made.named_children():
        if name != "prior":
            eye: nn.Module = getattr(network, "trunk", network)  # InfoGAN asks its critic for more than the score
            eye = network.x if getattr(network, "classes", 0) else eye  # type: ignore[assignment] # and so do others
            eye.register_forward_pre_hook(lambda _, inputs, name=name: seen.setdefault(name, []).append(inputs))

    def shown(step: int, train: bool = True) -> dict[str, list[tuple[Tensor, ...]]]:
        """What each network is given."""
        seen.clear()
        made.train(train).set_progress(step, 100)
        made.losses(joints)
        return {name: list(inputs) for name, inputs in seen.items()}

    joints = made.sample(*batch(made, 500))
    sampled = {part.data_ptr() for joint in joints.values() for part in joint}
    names = set(made.players["critic"])
    clean = shown(0, train=False)
    for step, std in ((0, 0.5), (50, 0.25)):
        noisy = shown(step)
        assert set(noisy) == set(clean) >= names
        for name, passes in noisy.items():
            for (x, *rest), (like, *others) in zip(passes, clean[name], strict=True):
                assert (x - like).std().item() == pytest.approx(std if name in names else 0, rel=0.05)
                for ours, theirs in zip(rest, others, strict=True):
                    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    for name in names:  # what is clean are the joints themselves, one after the other
        for inputs in clean[name]:
            for whole in inputs:
                for rows in whole.split(500):
                    assert (
                        any(
                            rows.shape == part.shape and torch.equal(rows, part)
                            for joint in joints.values()
                            for part in joint
                        )
                        or whole.data_ptr() in sampled
                    )
