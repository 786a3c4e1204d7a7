"""Dynamics: on a bilinear game whose flow is known, and against loops written by hand."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from interalia import registry, runs
from interalia.adversarial.joints import Joints
from interalia.adversarial.penalties import R1, WeightClip
from interalia.conditionals import Deterministic
from interalia.errors import UserError
from interalia.games import ALI, GAN, Game, Outcome
from interalia.learning.dynamics import REGISTRY, Alternating, Dynamics, Extragradient, Simultaneous, UpdateOptions
from interalia.networks.mlp import MLP
from interalia.runs import building


class Number(nn.Module):
    def __init__(self, start: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(start, dtype=torch.float64))


class Bilinear(Game):
    """min over theta, max over phi, of theta * phi."""

    players = {"generator": ["theta"], "critic": ["phi"]}

    def __init__(self) -> None:
        super().__init__()
        self.theta = Number(0.8)
        self.phi = Number(-0.3)

    def sample(self, *batch: Tensor) -> Joints:
        return {}

    def losses(self, joints: Joints) -> Outcome:
        value = self.theta.value * self.phi.value
        return Outcome({"generator": value, "critic": -value})

    def point(self) -> tuple[float, float]:
        return self.theta.value.item(), self.phi.value.item()


def flow(name: str, game: Game, rate: float) -> Dynamics:
    optimizers = {player: SGD(game.parameters_of(player), lr=rate) for player in game.players}
    return registry.make(name, REGISTRY, "dynamics", game, optimizers)


def nothing() -> Iterator[tuple[Tensor, ...]]:
    return itertools.repeat(())


def tiny_ali() -> Game:
    torch.manual_seed(0)
    return building.build(runs.Run(latent_dim=3, networks="auto(width=2)"), (1, 4, 4))


def batches(count: int = 20) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.rand(8, 1, 4, 4, generator=generator),) for _ in range(count)]


def assert_same_weights(a: nn.Module, b: nn.Module) -> None:
    for (key, ours), theirs in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), key


@pytest.mark.parametrize("eta", [0.01, 0.1, 0.5])
def test_simultaneous_spirals_outwards_on_the_bilinear_game(eta: float) -> None:
    game = Bilinear()
    moves = flow("simultaneous", game, eta)
    for _ in range(50):
        theta, phi = game.point()
        moves.step(nothing())
        assert game.point() == pytest.approx((theta - eta * phi, phi + eta * theta), abs=1e-14, rel=1e-14)
        growth = sum(v * v for v in game.point()) / (theta**2 + phi**2)
        assert growth == pytest.approx(1 + eta**2, rel=1e-12)


@pytest.mark.parametrize("eta", [0.01, 0.1, 0.5])
def test_alternating_stays_on_an_ellipse_on_the_bilinear_game(eta: float) -> None:
    game = Bilinear()
    moves = flow("alternating", game, eta)
    theta, phi = game.point()
    kept = theta**2 + phi**2 + eta * theta * phi  # by hand: the critic moves first
    for _ in range(400):
        moves.step(nothing())
        theta, phi = game.point()
        assert theta**2 + phi**2 + eta * theta * phi == pytest.approx(kept, rel=1e-9)
        assert theta**2 + phi**2 < kept / (1 - eta / 2) + 1e-9


def test_simultaneous_is_the_loop_written_by_hand() -> None:
    """Both gradients from one batch and one point, then both updates; bit for bit."""
    ours, theirs = tiny_ali(), tiny_ali()
    moves = flow("simultaneous", ours, 0.1)
    torch.manual_seed(2)
    stream = iter(batches())
    for _ in range(3):
        moves.step(stream)
    torch.manual_seed(2)
    for batch in batches()[:3]:
        losses = theirs(*batch).losses
        gradients = {
            player: torch.autograd.grad(losses[player], theirs.parameters_of(player), retain_graph=True)
            for player in theirs.players
        }
        with torch.no_grad():
            for player in theirs.players:
                for parameter, gradient in zip(theirs.parameters_of(player), gradients[player], strict=True):
                    parameter.add_(gradient, alpha=-0.1)
    assert_same_weights(ours, theirs)
    assert torch.equal(next(stream)[0], batches()[3][0])  # one batch a step


def test_simultaneous_calls_every_network_once() -> None:
    game = tiny_ali()
    calls: list[tuple[str, int]] = []
    for name in ("encoder", "decoder", "critic"):
        getattr(game, name).register_forward_hook(lambda _, inputs, __, name=name: calls.append((name, len(inputs[0]))))
    flow("simultaneous", game, 0.1).step(iter(batches()))
    assert sorted(calls) == [("critic", 16), ("decoder", 8), ("encoder", 8)]


@pytest.mark.parametrize("turns", [{"critic": 1, "generator": 1}, {"generator": 2, "critic": 3}])
def test_alternating_is_the_loop_written_by_hand(turns: dict[str, int]) -> None:
    ours, theirs = tiny_ali(), tiny_ali()
    moves = flow(f"alternating(turns={turns})", ours, 0.1)
    torch.manual_seed(2)
    stream = iter(batches())
    for _ in range(2):
        moves.step(stream)
    torch.manual_seed(2)
    by_hand = iter(batches())
    for _ in range(2):
        for player, count in turns.items():
            for _ in range(count):
                loss = theirs(*next(by_hand)).losses[player]
                gradients = torch.autograd.grad(loss, theirs.parameters_of(player))
                with torch.no_grad():
                    for parameter, gradient in zip(theirs.parameters_of(player), gradients, strict=True):
                        parameter.add_(gradient, alpha=-0.1)
    assert_same_weights(ours, theirs)
    assert torch.equal(next(stream)[0], next(by_hand)[0])  # as many batches as updates


def test_alternation_is_critic_first_by_default() -> None:
    game = tiny_ali()
    moves = flow("alternating", game, 0.1)
    assert isinstance(moves, Alternating)
    assert list(moves.order.items()) == [("critic", 1), ("generator", 1)]


@pytest.mark.parametrize(
    ("turns", "sentence"),
    [
        (
            {"encoder": 1},
            "`turns` names 'encoder', which is not a player of ALI; its players are 'generator' and 'critic'.",
        ),
        ({"critic": 5}, "`turns` leaves out 'generator', which would never be updated; give it a number of updates."),
        (
            {"critic": 0, "generator": 1},
            "`turns` gives 'critic' 0 updates, and it must be a whole number from 1.",
        ),
        (
            {"critic": 1, "generator": 1.5},
            "`turns` gives 'generator' 1.5 updates, and it must be a whole number from 1.",
        ),
    ],
)
def test_mistaken_turns_are_explained(turns: dict[str, int], sentence: str) -> None:
    game = tiny_ali()
    assert isinstance(game, ALI)
    with pytest.raises(UserError) as caught:
        Alternating(game, {}, turns=turns)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", REGISTRY)
def test_a_step_tells_every_players_finite_loss_and_the_scores(name: str) -> None:
    outcome = flow(name, tiny_ali(), 0.01).step(iter(batches()))
    assert set(outcome.losses) == {"generator", "critic"}
    assert all(loss.ndim == 0 and bool(loss.isfinite()) for loss in outcome.losses.values())
    assert {key: scores.shape for key, scores in outcome.scores.items()} == {"q": (8,), "p": (8,)}


@pytest.mark.parametrize("name", REGISTRY)
def test_rate_zero_changes_nothing(name: str) -> None:
    game = tiny_ali()
    before = copy.deepcopy(dict(game.named_parameters()))
    flow(name, game, 0.0).step(iter(batches()))
    for key, parameter in game.named_parameters():
        assert torch.equal(parameter, before[key]), key


@pytest.mark.parametrize("name", REGISTRY)
def test_the_game_is_evaluated_in_the_given_precision(name: str) -> None:
    game = tiny_ali()
    kinds: set[torch.dtype] = set()
    layer = next(module for module in game.critic.modules() if isinstance(module, nn.Linear))
    layer.register_forward_hook(
        lambda module, _, output: kinds.add(output.dtype) if module is layer else None
    )  # no copy
    optimizers = {player: SGD(game.parameters_of(player), lr=0.1) for player in game.players}
    options = UpdateOptions(precision=lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    moves = REGISTRY[name](game, optimizers, options)
    outcome = moves.step(iter(batches()))
    assert kinds == {torch.bfloat16}
    assert all(scores.dtype == torch.float32 for scores in outcome.scores.values())
    assert all(parameter.dtype == torch.float32 for parameter in game.parameters())


def test_a_failure_in_a_turn_leaves_no_player_frozen() -> None:
    game = tiny_ali()
    moves = flow("alternating", game, 0.1)
    with pytest.raises(RuntimeError):
        moves.step(iter([(torch.rand(8, 1, 5, 5),)]))
    assert all(parameter.requires_grad for parameter in game.parameters())


def test_dynamics_are_abstract_or_final() -> None:
    with pytest.raises(TypeError):
        Dynamics(Bilinear(), {})  # type: ignore[abstract]
    assert REGISTRY["simultaneous"] is Simultaneous


RATES = [0.01, 0.1, 0.5]


@pytest.mark.parametrize("eta", RATES)
def test_extragradient_contracts_on_the_bilinear_game(eta: float) -> None:
    """I - eta A + eta^2 A^2 with A a rotation by a quarter: ||w||^2 shrinks by 1 - eta^2 + eta^4 each step."""
    game = Bilinear()
    moves = flow("extragradient", game, eta)
    for _ in range(50):
        theta, phi = game.point()
        moves.step(nothing())
        shrunk = sum(v * v for v in game.point()) / (theta**2 + phi**2)
        assert shrunk == pytest.approx(1 - eta**2 + eta**4, rel=1e-12)


@pytest.mark.parametrize("eta", RATES)
def test_the_past_is_the_extrapolation_by_hand_on_the_bilinear_game(eta: float) -> None:
    game = Bilinear()
    moves = flow("past", game, eta)
    theta, phi = game.point()
    seen = (0.0, 0.0)  # the last gradient
    for _ in range(50):
        ahead = (theta - eta * seen[0], phi - eta * seen[1])
        seen = (ahead[1], -ahead[0])
        theta, phi = theta - eta * seen[0], phi - eta * seen[1]
        moves.step(nothing())
        assert game.point() == pytest.approx((theta, phi), abs=1e-14, rel=1e-12)
    if eta < 0.5:
        assert theta**2 + phi**2 < 0.8**2 + 0.3**2


@pytest.mark.parametrize("eta", RATES)
def test_optimistic_equals_the_trial_points_of_past(eta: float) -> None:
    """With gradient descent Optimistic's points are the trial points of Past: w' - 2 eta F(w') + eta F(w'_before)."""
    hopeful, looking = Bilinear(), Bilinear()
    optimistic, past = flow("optimistic", hopeful, eta), flow("past", looking, eta)
    for _ in range(30):
        seen = []
        losses = looking.losses
        looking.losses = lambda joints, seen=seen, losses=losses: (seen.append(looking.point()), losses(joints))[1]  # type: ignore[method-assign]
        here = hopeful.point()
        past.step(nothing())
        looking.losses = losses  # type: ignore[method-assign]
        assert here == pytest.approx(seen[0], abs=1e-13, rel=1e-11)
        optimistic.step(nothing())


@pytest.mark.parametrize("eta", RATES)
@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_consensus_contracts_on_the_bilinear_game(eta: float, gamma: float) -> None:
    """||F||^2 / 2 = (theta^2 + phi^2) / 2, so that ||w||^2 changes by (1 - eta gamma)^2 + eta^2 each step."""
    game = Bilinear()
    moves = flow(f"consensus(gamma={gamma})", game, eta)
    for _ in range(30):
        theta, phi = game.point()
        moves.step(nothing())
        changed = sum(v * v for v in game.point()) / (theta**2 + phi**2)
        assert changed == pytest.approx((1 - eta * gamma) ** 2 + eta**2, rel=1e-12)
    with pytest.raises(UserError, match="above 0"):
        flow("consensus(gamma=0.0)", game, eta)


def test_extra_adam_is_its_algorithm() -> None:
    """Algorithm 4 by hand: moments advance at both half steps, corrected by 2t - 1 and 2t, applied from the saved point."""
    game = Bilinear()
    optimizers = {p: torch.optim.Adam(game.parameters_of(p), lr=0.05, betas=(0.5, 0.9)) for p in game.players}
    moves = REGISTRY["extragradient"](game, optimizers)
    w, m, v = torch.tensor(game.point(), dtype=torch.float64), torch.zeros(2), torch.zeros(2)

    def update(at: Tensor, count: int) -> Tensor:
        nonlocal m, v
        g = torch.stack([at[1], -at[0]])
        m, v = 0.5 * m + 0.5 * g, 0.9 * v + 0.1 * g.square()
        return 0.05 * (m / (1 - 0.5**count)) / ((v / (1 - 0.9**count)).sqrt() + 1e-8)

    for t in range(1, 20):
        ahead = w - update(w, 2 * t - 1)
        w = w - update(ahead, 2 * t)
        moves.step(nothing())
        assert game.point() == pytest.approx(tuple(w.tolist()), rel=1e-9)
        states = [next(iter(optimizers[player].state.values())) for player in game.players]
        for key, moments in (("exp_avg", m), ("exp_avg_sq", v)):
            assert [float(state[key]) for state in states] == pytest.approx(moments.tolist(), rel=1e-6)
        assert [int(state["step"]) for state in states] == [2 * t, 2 * t]


def test_extragradient_draws_fresh_batches_or_uses_one_twice() -> None:
    for fresh, drawn in ((True, 2), (False, 1)):
        stream, by_hand = iter(batches()), batches()
        flow(f"extragradient(fresh={fresh})", tiny_ali(), 0.1).step(stream)
        assert torch.equal(next(stream)[0], by_hand[drawn][0])


@pytest.mark.parametrize("name", ["past", "optimistic"])
def test_what_a_step_remembers_is_in_the_state(name: str) -> None:
    ours, theirs = tiny_ali(), tiny_ali()
    moves, again = flow(name, ours, 0.1), flow(name, theirs, 0.1)
    stream = iter(batches())
    for _ in range(2):
        moves.step(stream)
    theirs.load_state_dict(ours.state_dict())
    again.load_state_dict(moves.state_dict())
    for flow_, rest in ((moves, stream), (again, iter(batches()[2:]))):
        torch.manual_seed(3)
        flow_.step(rest)
    assert_same_weights(ours, theirs)


# ---- settings of gradients and updates


def moves_of(name: str, game: Game, rate: float = 0.1, **options: float) -> Dynamics:
    optimizers = {player: SGD(game.parameters_of(player), lr=rate) for player in game.players}
    return REGISTRY[name](game, optimizers, options=UpdateOptions(**options))  # type: ignore[arg-type]


def gan() -> Game:
    torch.manual_seed(0)
    return building.build(runs.Run(game="gan", latent_dim=3, networks="auto(width=2)"), (5,))


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"consensus"}))  # its update is not linear in the gradient
def test_accumulated_batches_are_one_large_batch(name: str) -> None:
    ends = []
    x = torch.rand(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for count in (1, 3):
        torch.manual_seed(0)
        prior = Fixed(x[:, :3], 12 // count)
        game = GAN(Deterministic(MLP(3, 5)), MLP(5, 1), prior, penalty=R1()).double()  # type: ignore[arg-type]
        outcome = moves_of(name, game, grad_accumulation=count).step(
            itertools.cycle((part,) for part in x.split(12 // count))
        )
        ends.append(torch.cat([p.detach().flatten() for p in game.parameters()]))
        assert {len(scores) for scores in outcome.scores.values()} == {12}
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-10, atol=1e-12)


class Fixed(nn.Module):
    """A prior that returns the same latents in turn."""

    def __init__(self, z: Tensor, count: int) -> None:
        super().__init__()
        self.parts = itertools.cycle(z.split(count))

    def sample(self, shape: tuple[int]) -> Tensor:
        return next(self.parts)


def test_each_players_gradient_is_clipped_by_its_own_norm() -> None:
    game, free = gan(), gan()
    before = {player: [p.detach().clone() for p in game.parameters_of(player)] for player in game.players}
    x = torch.rand(8, 5, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(5)
    moves_of("simultaneous", free).step(itertools.repeat((x,)))
    torch.manual_seed(5)
    moves_of("simultaneous", game, grad_clip=1e-3).step(itertools.repeat((x,)))
    for player in game.players:
        far, near = (
            torch.cat(
                [(b - p.detach()).flatten() for b, p in zip(before[player], g.parameters_of(player), strict=True)]
            )
            for g in (free, game)
        )
        assert near.norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-3)
        assert torch.nn.functional.cosine_similarity(far, near, dim=0).item() == pytest.approx(1, abs=1e-4)


FAR = torch.rand(8, 5, generator=torch.Generator().manual_seed(1)) + 10.0  # any slope separates these from samples


@functools.cache
def won() -> Game:
    """A game whose critic has won."""
    game = gan()
    for _ in range(300):
        moves_of("simultaneous", game, rate=0.05).update("critic")
        with game.only("critic"):
            moves_of("simultaneous", game, rate=0.05).gradients(iter([(FAR,)]), "critic")
    moves_of("simultaneous", game, rate=0.05).update("critic")
    return game


@pytest.mark.parametrize("name", REGISTRY)
def test_a_critic_that_wins_is_skipped(name: str) -> None:
    x = FAR
    for limit, skipped in ((0.9, True), (1.0, False)):
        game = copy.deepcopy(won())
        critic = [p.detach().clone() for p in game.parameters_of("critic")]
        generator = [p.detach().clone() for p in game.parameters_of("generator")]
        moves = moves_of(name, game, rate=1e-3, skip_critic_above=limit)
        if name == "optimistic":  # its last update is not taken back either
            moves.previous = [torch.ones_like(p) for p in moves.parameters()]
        moves.step(itertools.repeat((x,)))
        assert (moves.critic_auc == 1.0) == skipped  # not computed where the critic is never skipped
        assert all(torch.equal(a, b) for a, b in zip(critic, game.parameters_of("critic"), strict=True)) == skipped
        assert not all(torch.equal(a, b) for a, b in zip(generator, game.parameters_of("generator"), strict=True))


def test_skipping_needs_a_critic() -> None:
    game = building.build(runs.Run(game="vae", latent_dim=3, networks="auto(width=2)"), (5,))
    with pytest.raises(UserError, match="VAE has no critic; leave `skip_critic_above` out"):
        moves_of("simultaneous", game, skip_critic_above=0.9)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"game": "infogan", "prior": "codes(categorical=[3], uniform=0)"}, "loss depends on the joint 'model' beside"),
        ({"game": "cyclegan"}, "loss depends on the joint 'fake_a' beside"),
        ({"game": "vae"}, "players are autoencoder, and not a critic and one other"),
        ({"networks": "bigan-mlp(width=8)", "encoder": "deterministic"}, "batch norm"),
    ],
)
def test_one_stage_says_why_it_is_not_exact(settings: dict[str, str], reason: str) -> None:
    torch.manual_seed(0)
    shape = (1, 16, 16)
    run = runs.Run(**{"game": "ali", "latent_dim": 3, "networks": "auto(width=2)", **settings})  # type: ignore[arg-type]
    game = building.build(run, shape, other=shape)
    x = torch.rand(8, *shape)
    with pytest.raises(UserError, match=f"cannot be trained in one stage: .*{reason}.*`dynamics='simultaneous'`"):
        flow("one-stage", game, 0.1).step(itertools.repeat((x, x) if game.data.other else (x,)))


def test_weight_decay_is_taken_where_the_gradient_is() -> None:
    decay, eta = 0.7, 0.1

    class Decayed(Bilinear):
        def losses(self, joints: Joints) -> Outcome:
            losses = super().losses(joints).losses
            squares = {"generator": self.theta.value.square(), "critic": self.phi.value.square()}
            return Outcome({player: loss + decay / 2 * squares[player] for player, loss in losses.items()})

    ours, theirs = Bilinear(), Decayed()
    optimizers = {p: SGD(ours.parameters_of(p), lr=eta, weight_decay=decay) for p in ours.players}
    flows = [Extragradient(ours, optimizers), flow("extragradient", theirs, eta)]
    for _ in range(7):
        for moves in flows:
            moves.step(nothing())
    assert ours.point() == pytest.approx(theirs.point(), rel=1e-12)


def test_optimistic_updates_are_clipped() -> None:
    class Clipped(Bilinear):
        def after_step(self, player: str) -> None:
            if player == "critic":
                WeightClip(bound=0.05).after_step(self.phi)

    game = Clipped()
    moves = flow("optimistic", game, 0.1)
    theta, phi = game.point()
    last = (0.0, 0.0)
    for _ in range(5):
        u = (0.1 * phi, -0.1 * theta)
        moves.step(nothing())
        theta, phi = theta - 2 * u[0] + last[0], max(-0.05, min(0.05, phi - 2 * u[1] + last[1]))
        last = u
        assert game.point() == pytest.approx((theta, phi), abs=1e-12)


def test_consensus_wants_its_penalty_at_every_step() -> None:
    game = building.build(runs.Run(game="gan", latent_dim=3, networks="auto(width=2)", penalty="r1(every=4)"), (5,))
    with pytest.raises(UserError, match="give the penalty every=1"):
        flow("consensus", game, 0.1)
