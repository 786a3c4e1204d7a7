"""Dynamics on games of three numbers: gradients, updates, state between steps, and errors."""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from examples import batch, build
from torch import Tensor, nn
from torch.optim import SGD, Adam

from interalia.errors import UserError
from interalia.games import Game, Outcome
from interalia.learning import dynamics, graphs
from interalia.learning.dynamics import (
    REGISTRY,
    Alternating,
    Dynamics,
    UpdateOptions,
    assign,
    gradient_dtype,
    gradient_factors,
    scale_samples,
    snapshot,
)
from interalia.learning.graphs import as_leaf, first_mixed_joint, perturbed_leaf, reachable_leaves, sample_mixing


class Number(nn.Module):
    def __init__(self, start: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))


class Three(Game):
    """u and v are the generator's and c the critic's; L_g = u v + 2 c u + x v, L_c = c^2 / 2 - c u; scores (c x), (-c x)."""

    players = {"generator": ["first", "second"], "critic": ["third"]}

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = Number(1.0), Number(-2.0), Number(0.5)
        self.told: list[str] = []
        self.seen: list[tuple[float, ...]] = []
        self.shown: list[float] = []

    def sample(self, *batch: Tensor) -> dict[str, tuple[Tensor, ...]]:
        return {"x": batch}

    def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
        u, v, c = self.first.w, self.second.w, self.third.w
        x = joints["x"][0]
        self.seen.append(self.point())
        self.shown.append(x.mean().item())
        losses = {"generator": u * v + 2 * c * u + x.mean() * v, "critic": c * c / 2 - c * u}
        return Outcome(losses, {"q": c * x, "p": -c * x})

    def after_step(self, player: str) -> None:
        self.told.append(player)

    def point(self) -> tuple[float, ...]:
        return self.first.w.item(), self.second.w.item(), self.third.w.item()


def field(u: float, v: float, c: float, x: float = 1.0) -> tuple[float, ...]:
    return v + 2 * c, u + x, c - u


def flow(name: str, options: UpdateOptions | None = None, rate: float = 0.1, **settings: Any) -> tuple[Three, Dynamics]:
    game = Three()
    optimizers = {player: SGD(game.parameters_of(player), lr=rate) for player in game.players}
    return game, REGISTRY[name](game, optimizers, *([] if options is None else [options]), **settings)


def data(*numbers: float) -> Iterator[tuple[Tensor, ...]]:
    """Batches of two, with these means; the last one for ever."""
    made = [(torch.tensor([n - 0.5, n + 0.5], dtype=torch.float64),) for n in numbers]
    return itertools.chain(made, itertools.repeat(made[-1]))


FLOWS = [name for name in REGISTRY if name != "one-stage"]


def test_settings_begin_as_documented() -> None:
    options = UpdateOptions()
    assert (options.grad_accumulation, options.grad_clip, options.skip_critic_above, options.precision) == (
        1,
        0.0,
        1.0,
        contextlib.nullcontext,
    )
    own = {"alternating": {"turns": None}, "extragradient": {"fresh": True}, "consensus": {"gamma": 0.1}}
    for name, kind in REGISTRY.items():
        parameters = list(inspect.signature(kind).parameters.values())
        assert [p.name for p in parameters[:3]] == ["game", "optimizers", "options"]
        assert parameters[2].default == options
        assert {p.name: p.default for p in parameters[3:]} == own.get(name, {})
    kinds = {
        "simultaneous": "Simultaneous", "alternating": "Alternating", "extragradient": "Extragradient", "past": "Past",
        "optimistic": "Optimistic", "consensus": "Consensus", "one-stage": "OneStage", "auto": "Auto",
    }  # fmt: skip
    assert {name: getattr(dynamics, kind) for name, kind in kinds.items()} == REGISTRY
    assert (graphs.ROWS, graphs.NOISE) == (8, 0.1)


# ---- gradients and updates


def test_gradients_reach_their_own_player_and_change_no_parameter() -> None:
    game, moves = flow("simultaneous")
    start = game.point()
    outcome = moves.gradients(data(3.0), "generator", "critic")
    assert game.point() == start
    assert [p.grad.item() for p in moves.parameters()] == pytest.approx(list(field(*start, x=3.0)))  # type: ignore[union-attr]
    assert outcome.losses["generator"].item() == pytest.approx(1 * -2 + 2 * 0.5 * 1 + 3 * -2)
    assert outcome.losses["critic"].item() == pytest.approx(0.125 - 0.5)
    with pytest.raises(RuntimeError, match="second time"):  # the graph is not kept beyond the last player
        outcome.losses["critic"].backward()
    moves.gradients(data(5.0), "critic")  # gradients add up until an update
    assert game.third.w.grad.item() == pytest.approx(2 * (0.5 - 1))  # type: ignore[union-attr]
    assert game.first.w.grad.item() == pytest.approx(-2 + 1)  # type: ignore[union-attr]


def test_update_steps_and_clears_those_players_alone() -> None:
    game, moves = flow("simultaneous")
    moves.gradients(data(3.0), "generator", "critic")
    moves.update("critic")
    assert game.point() == pytest.approx((1.0, -2.0, 0.5 - 0.1 * -0.5))
    assert game.third.w.grad is None
    assert game.first.w.grad is not None
    assert game.told == ["critic"]
    moves.update("generator")
    assert game.point() == pytest.approx((1 - 0.1 * -1, -2 - 0.1 * 4, 0.55))
    assert game.first.w.grad is None
    assert game.told == ["critic", "generator"]
    moves.gradients(data(3.0), "critic")
    moves.step_optimizer("critic")
    assert game.told == ["critic", "generator"]  # constraints are not applied


def test_what_does_not_want_a_gradient_gets_none_and_stays() -> None:
    for name in FLOWS:
        game, moves = flow(name)
        game.second.w.requires_grad_(False)
        assert moves.trainable("generator") == [game.first.w]
        assert moves.parameters() == [game.first.w, game.third.w]
        moves.step(data(3.0))
        moves.step(data(3.0))
        assert game.second.w.item() == -2
        assert game.second.w.grad is None
        assert game.first.w.item() != 1
        assert not game.second.w.requires_grad


def test_steps_are_what_the_optimizers_would_do() -> None:
    game, moves = flow("simultaneous")
    start = game.point()
    moves.gradients(data(3.0), "generator", "critic")
    found = [u.item() for u in moves.proposed_updates()]
    assert found == pytest.approx([0.1 * g for g in field(*start, x=3.0)])
    assert game.point() == start
    assert game.told == []
    assert all(p.grad is None for p in moves.parameters())
    moves.set_parameters([torch.tensor(v, dtype=torch.float64) for v in (7.0, 8.0, 9.0)])
    assert game.point() == (7, 8, 9)
    assert game.told == ["generator", "critic"]


def test_places_are_copies() -> None:
    p = nn.Parameter(torch.tensor([1.0, 2.0]))
    (kept,) = snapshot([p])
    assert not kept.requires_grad
    assign([p], [torch.tensor([5.0, 6.0])])
    assert kept.tolist() == [1, 2]
    assert p.tolist() == [5, 6]
    assert p.requires_grad
    assert p.is_leaf


def test_the_norm_that_is_clipped_is_one_players_over_all_of_its_parameters() -> None:
    """Gradients (-1, 4) of the generator, of norm sqrt 17, and -1/2 of the critic, which is short enough for 2."""
    game, moves = flow("simultaneous", UpdateOptions(grad_clip=2.0))
    moves.step(data(3.0))
    size = 2 / 17**0.5
    assert game.point() == pytest.approx((1 + 0.1 * size, -2 - 0.4 * size, 0.55), rel=1e-6)


@pytest.mark.parametrize("name", FLOWS)
def test_one_gradient_draws_as_many_batches_as_are_accumulated(name: str) -> None:
    for count in (1, 3):
        game, moves = flow(name, UpdateOptions(grad_accumulation=count))
        looks = {"extragradient": 2, "alternating": 2}.get(name, 1)
        outcome = moves.step(data(*range(1, 20)))
        assert game.shown == list(range(1, looks * count + 1))
        assert [len(s) for s in outcome.scores.values()] == [2 * count, 2 * count]
        assert outcome.losses["generator"].ndim == 0


def test_a_used_batch_is_used_twice() -> None:
    game, moves = flow("extragradient", UpdateOptions(grad_accumulation=2), fresh=False)
    moves.step(data(1.0, 2.0, 3.0))
    assert game.shown == [1, 2, 1, 2]


def test_accumulated_losses_are_means_over_batches() -> None:
    game, moves = flow("simultaneous", UpdateOptions(grad_accumulation=2))
    outcome = moves.step(data(1.0, 4.0))
    assert game.point() == pytest.approx(
        tuple(w - 0.1 * g for w, g in zip((1, -2, 0.5), field(1, -2, 0.5, 2.5), strict=True))
    )
    assert outcome.losses["generator"].item() == pytest.approx(-2 + 1 + 2.5 * -2)
    assert not outcome.losses["generator"].requires_grad
    assert outcome.scores["q"].tolist() == [0.25, 0.75, 1.75, 2.25]


# ---- a critic that is skipped


class Judged(Three):
    """With these scores, whatever the numbers are."""

    def __init__(self, p: list[float], q: list[float]) -> None:
        super().__init__()
        self.scores = {"q": torch.tensor(p), "p": torch.tensor(q)}

    def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
        return Outcome(super().losses(joints).losses, self.scores)


@pytest.mark.parametrize(("limit", "waits"), [(0.75, False), (0.7499, True), (1.0, False)])
def test_a_critic_is_skipped_above_its_limit_and_not_at_it(limit: float, waits: bool) -> None:
    """Of the four pairs of scores (1, 3) and (0, 2) three are in order: 3/4."""
    game = Judged([1, 3], [0, 2])
    optimizers = {player: SGD(game.parameters_of(player), lr=0.1) for player in game.players}
    moves = dynamics.Simultaneous(game, optimizers, UpdateOptions(skip_critic_above=limit))
    assert moves.critic_auc == 0.0
    moves.step(data(3.0))
    assert moves.critic_auc == (0.75 if limit < 1 else 0.0)
    assert moves.skips("critic") == waits
    assert not any(moves.skips(player) for player in ("generator", "autoencoder"))
    assert (game.third.w.item() == 0.5) == waits
    assert game.third.w.grad is None  # nor is the gradient kept for later
    assert game.first.w.item() != 1
    assert game.told == ["generator", "critic"]


def test_a_game_without_scores_has_no_critic_that_wins() -> None:
    game = Judged([1, 3], [0, 2])
    game.scores = {"q": torch.ones(2)}  # one joint, without a fake one
    moves = dynamics.Simultaneous(
        game, {p: SGD(game.parameters_of(p), lr=0.1) for p in game.players}, UpdateOptions(skip_critic_above=0.1)
    )
    moves.critic_auc = 1.0
    moves.step(data(3.0))
    assert moves.critic_auc == 0.0
    assert game.third.w.item() != 0.5


def test_a_limit_of_1_needs_no_critic() -> None:
    class Alone(Three):
        players = {"generator": ["first", "second"]}

    game = Alone()
    optimizers = {"generator": SGD(game.parameters_of("generator"), lr=0.1)}
    assert dynamics.Simultaneous(game, optimizers, UpdateOptions(skip_critic_above=1.0)).options.skip_critic_above == 1
    with pytest.raises(UserError, match="Alone has no critic"):
        dynamics.Simultaneous(game, optimizers, UpdateOptions(skip_critic_above=0.999))


def test_the_best_critics_auc_is_computed_once() -> None:
    heard: list[Outcome] = []
    game, moves = flow("simultaneous", UpdateOptions(grad_accumulation=3))
    game.on_outcome = heard.append  # type: ignore[method-assign]
    moves.step(data(1.0))
    assert [len(outcome.scores["q"]) for outcome in heard] == [6]


# ---- each dynamics


def test_alternation_in_the_order_of_its_turns() -> None:
    """The generator twice, each time on a new batch, then the critic once against it; batches 1, 2 and 3."""
    game, moves = flow("alternating", turns={"generator": 2, "critic": 1})
    outcome = moves.step(data(1.0, 2.0, 3.0))
    u, v, c = 1.0, -2.0, 0.5
    for x in (1.0, 2.0):
        before = u, v
        g = field(u, v, c, x)
        u, v = u - 0.1 * g[0], v - 0.1 * g[1]
    assert outcome.losses["generator"].item() == pytest.approx(before[0] * before[1] + before[0] + 2 * before[1])
    assert outcome.losses["critic"].item() == pytest.approx(0.125 - 0.5 * u)
    assert not any(loss.requires_grad for loss in outcome.losses.values())
    assert list(outcome.losses) == ["generator", "critic"]
    assert outcome.scores["q"].tolist() == [1.25, 1.75]  # of the last evaluation
    assert game.point() == pytest.approx((u, v, c - 0.1 * (c - u)))
    assert game.told == ["generator", "generator", "critic"]
    assert all(p.requires_grad for p in game.parameters())


def test_by_default_the_critic_is_first_and_each_player_is_updated_once() -> None:
    game, moves = flow("alternating")
    assert isinstance(moves, Alternating)
    assert list(moves.order.items()) == [("critic", 1), ("generator", 1)]
    moves.step(data(1.0))
    assert game.told == ["critic", "generator"]
    for bad in (0, -1, 2.0, "2"):
        with pytest.raises(UserError, match="must be a whole number from 1"):
            flow("alternating", turns={"critic": bad, "generator": 1})
    with pytest.raises(UserError, match="leaves out 'generator'"):
        flow("alternating", turns={"critic": 1})
    with pytest.raises(UserError, match="`turns` names 'nobody'"):
        flow("alternating", turns={"critic": 1, "generator": 1, "nobody": 1})


def after(w: tuple[float, ...], *steps: tuple[float, tuple[float, ...]]) -> tuple[float, ...]:
    for share, along_ in steps:
        w = tuple(a - share * b for a, b in zip(w, along_, strict=True))
    return w


@pytest.mark.parametrize("name", ["extragradient", "past", "optimistic"])
def test_the_outcome_is_that_of_the_trial_point(name: str) -> None:
    """Three steps of 0.1 on batches 1, 2, ...; the scores are c times the batch at the last trial point."""
    game, moves = flow(name)
    stream, x = data(*range(1, 20)), iter(range(1, 20))
    w, last = game.point(), (0.0, 0.0, 0.0)
    for i in range(3):
        outcome = moves.step(stream)
        if name == "extragradient":
            ahead = after(w, (0.1, field(*w, next(x))))
            batch_ = next(x)
            w = after(w, (0.1, field(*ahead, batch_)))
        elif name == "past":
            ahead, batch_ = after(w, (0.1, last)), next(x)
            last = field(*ahead, batch_)
            w = after(w, (0.1, last))
            assert [m.item() for m in moves.previous] == pytest.approx(list(last))
        else:
            ahead, batch_ = w, next(x)
            now = field(*ahead, batch_)
            w, last = after(w, (0.2, now), (-0.1, last)), now
            assert [m.item() for m in moves.previous] == pytest.approx([0.1 * g for g in last])
        assert game.seen[-1] == pytest.approx(ahead)
        assert outcome.scores["q"].mean().item() == pytest.approx(ahead[2] * batch_)
        assert game.point() == pytest.approx(w)
        assert all(p.grad is None for p in moves.parameters())
        players = ["generator", "critic"]
        assert game.told == players * ({"extragradient": 2, "optimistic": 1}.get(name, 2 if i else 1))
        game.told.clear()


def test_past_remembers_copies_and_zeros_where_nothing_was() -> None:
    class ChannelConcatCritic(Three):
        """u is in no loss."""

        def losses(self, joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
            v, c = self.second.w, self.third.w
            return Outcome({"generator": v * v * 3, "critic": c * c / 2}, {})

    game = ChannelConcatCritic()
    moves = dynamics.Past(game, {p: Adam(game.parameters_of(p), lr=0.1) for p in game.players})
    moves.step(data(1.0))
    assert [m.item() for m in moves.previous] == [0.0, -12.0, 0.5]
    assert [m.requires_grad for m in moves.previous] == [False] * 3
    moves.step(data(1.0))
    assert game.first.w.item() == 1


def test_consensus_by_hand_with_a_share_for_each_batch() -> None:
    """F + gamma J^T F, J the slopes of (v + 2 c, u + x, c - u) in (u, v, c): rows (0, 1, 2), (1, 0, 0), (-1, 0, 1)."""

    def pulled(w: tuple[float, ...], x: float, gamma: float) -> list[float]:
        f = field(*w, x)
        return [f[0] + gamma * (f[1] - f[2]), f[1] + gamma * f[0], f[2] + gamma * (2 * f[0] + f[2])]

    for settings, gamma in (({"gamma": 0.3}, 0.3), ({}, 0.1)):
        game, moves = flow("consensus", UpdateOptions(grad_accumulation=2), **settings)
        w = game.point()
        moves.step(data(1.0, 6.0))
        g = [(a + b) / 2 for a, b in zip(pulled(w, 1.0, gamma), pulled(w, 6.0, gamma), strict=True)]
        assert game.point() == pytest.approx([a - 0.1 * b for a, b in zip(w, g, strict=True)])
        assert game.told == ["generator", "critic"]
    for bad in (0.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="`gamma` is"):
            flow("consensus", gamma=bad)
    game = Three()
    for every, fits in ((1, True), (2, False)):
        game.penalty = dynamics_penalty(every)
        with contextlib.nullcontext() if fits else pytest.raises(UserError, match="give the penalty every=1"):
            dynamics.Consensus(game, {})


def dynamics_penalty(every: int) -> Any:
    from interalia.adversarial.penalties import R1

    return R1(every=every)


# ---- checkpoints


def test_what_a_checkpoint_keeps_and_takes_back() -> None:
    for name in ("past", "optimistic", "simultaneous"):
        _, moves = flow(name)
        assert moves.state_dict() == {"memory": [], "ahead": 0.0}
        moves.step(data(2.0))
        moves.critic_auc = 0.25
        state = moves.state_dict()
        assert len(state["memory"]) == (0 if name == "simultaneous" else 3)
        _, again = flow(name)
        again.load_state_dict({**state, "memory": [m.float() for m in state["memory"]]})
        assert again.critic_auc == 0.25
        assert [m.dtype for m in again.previous] == [torch.float64] * len(state["memory"])
        torch.testing.assert_close(again.previous, state["memory"])
        again.load_state_dict({"memory": []})  # of an older checkpoint
        assert (again.previous, again.critic_auc) == ([], 0.0)
    with pytest.raises(ValueError, match="zip"):
        again.load_state_dict({"memory": [torch.zeros(())]})


# ---- one stage


def test_who_can_play_in_one_stage() -> None:
    class Third(Three):
        players = {"generator": ["first"], "other": ["second"], "critic": ["third"]}

    class Nobody(Three):
        players = {"generator": ["first"], "other": ["second"]}

    for kind, names in ((Third, "generator, other, critic"), (Nobody, "generator, other")):
        with pytest.raises(
            UserError, match=f"{kind.__name__} cannot be trained in one stage: its players are {names}, and"
        ):
            dynamics.OneStage(kind(), {})
    assert dynamics.OneStage(Three(), {}).other == "generator"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("c", "g", "limit", "expected", "usable"),
    [
        ([2.0, -4.0], [3.0, 1.0], 10.0, [1.5, -0.25], True),
        ([2.0, 4.0], [20.0, 0.4], 10.0, [10.0, 0.1], True),  # at both borders
        ([2.0, 4.0], [20.5, 4.0], 10.0, [10.25, 1.0], False),
        ([2.0, 4.0], [2.0, 0.39], 10.0, [1.0, 0.0975], False),
        (
            [2.0, 10.0],
            [2.0, 0.0],
            10.0,
            [1.0, 0.0],
            True,
        ),  # a sample without a gradient of the generator's loss needs no factor
        ([2.0, 10.5], [2.0, 0.0], 10.0, [1.0, 0.0], False),  # unless the critic's gradient is out of range
        ([2.0, 0.0], [2.0, 0.0], 10.0, [1.0, 0.0], True),
        ([2.0, 0.0], [2.0, 1.0], 10.0, [1.0, float("inf")], False),
    ],
)
def test_factors_of_two_samples(
    c: list[float], g: list[float], limit: float, expected: list[float], usable: bool
) -> None:
    found, fits = gradient_factors(torch.tensor(c), torch.tensor(g), limit)
    assert found.tolist() == pytest.approx(expected)
    assert bool(fits) == usable


def test_factors_of_samples_with_several_scores() -> None:
    """Of shape (2, 3) and (2, 1, 2): all of one sample's have to be one number."""
    c = torch.tensor([[1.0, 2.0, 4.0], [1.0, -1.0, 0.5]])
    assert gradient_factors(c, 3 * c, 10.0)[0].tolist() == [3, 3]
    assert bool(gradient_factors(c, 3 * c, 10.0)[1])
    each = torch.tensor([[3.0], [5.0]])
    assert gradient_factors(c, each * c, 10.0)[0].tolist() == [3, 5]
    assert bool(gradient_factors(c, each * c, 10.0)[1])
    other = torch.ones_like(c)
    other[1, 2] = 2.0
    assert not bool(gradient_factors(c, other * c, 10.0)[1])
    deep = torch.ones(2, 1, 2)
    assert gradient_factors(deep, 2 * deep, 10.0)[0].shape == (2,)


def test_a_batch_of_gradients_times_its_samples_factors() -> None:
    """Two packs of two samples of three numbers."""
    gradient = torch.arange(12.0).view(4, 3)
    found = scale_samples(gradient, torch.tensor([2.0, -1.0], dtype=torch.float64))
    assert found.tolist() == [[0, 2, 4], [6, 8, 10], [-6, -7, -8], [-9, -10, -11]]
    assert found.dtype == torch.float32
    assert scale_samples(torch.ones(2, 3, 4, 5), torch.tensor([2.0, 3.0])).mean((1, 2, 3)).tolist() == [2, 3]
    assert scale_samples(torch.tensor([1.0, 1.0]), torch.tensor([2.0, 3.0])).tolist() == [2, 3]


def test_the_kind_of_number_in_which_a_gradient_flows() -> None:
    loss = torch.zeros((), dtype=torch.float64)
    assert gradient_dtype(loss) == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert gradient_dtype(loss) == torch.bfloat16


# ---- graphs


def test_a_leaf_is_cut_off_and_data_stay() -> None:
    w = torch.ones(2, requires_grad=True)
    made, x = 3 * w, torch.ones(2)
    cut = as_leaf(made)
    assert cut.is_leaf
    assert cut.requires_grad
    assert cut.tolist() == [3, 3]
    assert as_leaf(x) is x
    assert perturbed_leaf(x) is x
    torch.manual_seed(0)
    near = perturbed_leaf(made)
    torch.manual_seed(0)
    torch.testing.assert_close(near.detach(), 3 + 0.1 * torch.randn(2))
    assert near.is_leaf
    assert near.requires_grad
    assert made.grad_fn is not None


def test_leaves_that_a_loss_reaches() -> None:
    a, b, c, d = (torch.full((2,), v, requires_grad=True) for v in (1.0, 2.0, 3.0, 4.0))
    score, other = (a * b).split(1)
    loss = score.sum() * c.sum() + (b * b).exp().sum()
    assert reachable_leaves(loss) == {id(a), id(b), id(c)}
    assert reachable_leaves(loss, [score]) == {id(b), id(c)}
    assert reachable_leaves(score.sum(), [other]) == {id(a), id(b)}  # another output of the same node
    assert reachable_leaves(score.sum(), [score, other]) == set()
    assert reachable_leaves(score, [score]) == set()
    assert reachable_leaves(d) == {id(d)}
    assert reachable_leaves(d.detach()) == set()
    assert reachable_leaves((d * 1).detach().sum()) == set()


def test_a_score_that_depends_on_other_samples() -> None:
    """Rows of x and of y with scores of their own; the name is that of the joint whose sample reaches a foreign score."""
    x, y = torch.randn(3, 2, requires_grad=True), torch.randn(5, 2, requires_grad=True)
    made = [("q", x), ("p", y)]
    torch.manual_seed(0)
    own = {"q": x.square().sum(1), "p": y.square().sum(1)}
    assert first_mixed_joint(own, made) is None
    assert first_mixed_joint({**own, "p": own["p"] + x[0, 0]}, made) == "q"
    assert first_mixed_joint({**own, "q": own["q"] + y[4, 1]}, made) == "p"
    for i, j in itertools.permutations(range(5), 2):  # any one sample in any one other score
        mixed = own["p"] + torch.eye(5)[i] * 1e-20 * y[j, 0]
        assert first_mixed_joint({**own, "p": mixed}, made) == "p", (i, j)
    assert (
        first_mixed_joint({"q": own["q"], "p": own["p"][:2]}, made) == "p"
    )  # 5 samples are no whole number for 2 scores
    assert first_mixed_joint({"q": x.square(), "p": own["p"]}, made) is None  # two scores of a sample
    packs = torch.randn(6, 2, requires_grad=True)
    assert first_mixed_joint({"q": packs.square().view(3, 4).sum(1)}, [("q", packs)]) is None
    assert first_mixed_joint({"q": packs.square().view(2, 3, 2).sum((0, 2))}, [("q", packs)]) == "q"
    one = torch.randn(1, 2, requires_grad=True)
    assert first_mixed_joint({"q": one.sum(1)}, [("q", one)]) is None
    broken = {"q": own["q"], "p": own["p"] + (y[0, 0] - y[0, 0].detach()).sqrt()}  # its gradient is NaN
    assert first_mixed_joint(broken, made) is None


def test_sample_mixing_changes_nothing() -> None:
    game = build("ali", penalty="r1")
    weights = [p.detach().clone() for p in game.parameters()]
    level: list[tuple[int, int]] = []
    sizes: list[int] = []
    kind = type(game)
    plain = kind.set_progress, kind.sample

    def set_progress(self: Game, step: int, steps: int) -> None:
        level.append((step, steps))
        plain[0](self, step, steps)

    def sample(self: Game, *batch: Tensor) -> Any:
        sizes.append(len(batch[0]))
        return plain[1](self, *batch)

    torch.manual_seed(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "set_progress", set_progress)
        patch.setattr(kind, "sample", sample)
        assert sample_mixing(game, batch(game, 16)) is None
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    assert level == [(0, 2), (1, 2), (2, 2)]  # beginning, middle and end
    assert sizes == [8, 8, 8]
    assert game.penalty is not None
    assert all(p.grad is None for p in game.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights, game.parameters(), strict=True))
    packed = build("ali", pack=2)
    sizes.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "sample", sample)
        assert sample_mixing(packed, batch(packed, 24)) is None
    assert sizes == [16, 16, 16]


def test_one_stage_checks_for_mixing_at_the_first_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    game, looked = build("ali"), []
    monkeypatch.setattr(dynamics, "sample_mixing", lambda *given: looked.append(given))
    moves = dynamics.OneStage(game, {p: SGD(game.parameters_of(p), lr=0.1) for p in game.players})
    assert not looked
    for _ in range(3):
        moves.step(itertools.repeat(batch(game)))
    assert len(looked) == 1
    assert looked[0][0] is game
    monkeypatch.setattr(dynamics, "sample_mixing", lambda *given: "a score goes by two")
    moves.separate = False
    with pytest.raises(UserError, match="ALI cannot be trained in one stage: a score goes by two; use"):
        moves.step(itertools.repeat(batch(game)))


def test_one_stage_adds_to_what_was_there_and_takes_its_share() -> None:
    """Compared to two ordinary backward passes, with a share of 1/4, added to gradients of 1; also if the generator's loss
    depends on its own weights beside the scores."""

    def beside(game: Game) -> Game:
        losses = game.losses

        def more(joints: dict[str, tuple[Tensor, ...]]) -> Outcome:
            outcome = losses(joints)
            weights = torch.stack([p.square().sum() for p in game.parameters_of("generator")]).sum()
            both = {**outcome.losses, "generator": outcome.losses["generator"] + 3 * weights}
            return Outcome(both, outcome.scores)

        game.losses = more  # type: ignore[method-assign, assignment]
        return game

    for change in (lambda game: game, beside):
        ends = []
        for name in ("simultaneous", "one-stage"):
            game = change(build("ali"))
            moves = REGISTRY[name](game, {p: SGD(game.parameters_of(p), lr=0.1) for p in game.players})
            moves.separate = True  # type: ignore[attr-defined]
            for p in game.parameters():
                p.grad = torch.ones_like(p)
            torch.manual_seed(0)
            moves.add_gradients(batch(game), list(game.players), 0.25)
            ends.append(torch.cat([p.grad.flatten() for p in moves.parameters()]))  # type: ignore[union-attr]
        torch.testing.assert_close(ends[1], ends[0], rtol=1e-9, atol=1e-11)
        assert not torch.equal(ends[0], torch.ones_like(ends[0]))


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_ordinary_gradients_are_multiplied_by_the_share(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a usable factor the generator's gradient has its own backward pass."""
    ends = []
    for name in ("simultaneous", "one-stage"):
        monkeypatch.setattr(dynamics, "gradient_factors", lambda c, g, limit: (g / c, torch.tensor(False)))
        game = build("ali")
        moves = REGISTRY[name](game, {p: SGD(game.parameters_of(p), lr=0.1) for p in game.players})
        torch.manual_seed(0)
        moves.separate = True  # type: ignore[attr-defined]
        moves.add_gradients(batch(game), list(game.players), share)
        ends.append(torch.cat([p.grad.flatten() for p in moves.parameters()]))  # type: ignore[union-attr]
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-9, atol=1e-11)


def test_a_game_that_cannot_be_copied() -> None:
    game = build("ali")
    game.open = (torch.ones(1, requires_grad=True) * 2).view(1)  # type: ignore[assignment]
    reason = sample_mixing(game, batch(game, 16))
    assert reason is not None
    assert "\n" not in reason
    with pytest.raises(UserError, match="cannot be copied"):
        dynamics.OneStage(game, {}).step(itertools.repeat(batch(game)))
