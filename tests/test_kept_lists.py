"""The optimizer and the average that keep their lists of tensors do what torch's do, to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from examples import batch, build
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from interalia import recipes
from interalia.learning.dynamics import Auto, Simultaneous
from interalia.learning.optimizers import ListedAdam, adam, ema
from interalia.training import engine
from interalia.training.callbacks import Callback


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LeakyReLU(0.2), nn.Linear(4, 2))


def pair(groups: int = 1) -> tuple[tuple[nn.Module, Adam], tuple[nn.Module, Adam]]:
    """Twice one network and its optimizer, with one or two groups of parameters: ours, and torch's."""
    made = []
    for kind in (ListedAdam, Adam):
        layers = network()
        optimizer = kind(layers[:-1].parameters() if groups == 2 else layers.parameters(), lr=0.01, fused=True)  # type: ignore[index, operator]
        if groups == 2:
            optimizer.add_param_group({"params": list(layers[-1].parameters()), "lr": 0.1, "weight_decay": 0.3})  # type: ignore[index]
        made.append((layers, optimizer))
    return made[0], made[1]


def step(network: nn.Module, optimizer: Adam, seed: int, without: int | None = None) -> None:
    torch.manual_seed(seed)
    optimizer.zero_grad(set_to_none=True)
    network(torch.randn(5, 3)).square().sum().backward()
    if without is not None:
        list(network.parameters())[without].grad = None
    optimizer.step()


def assert_equal(ours: tuple[nn.Module, Adam], theirs: tuple[nn.Module, Adam]) -> None:
    for a, b in zip(ours[0].parameters(), theirs[0].parameters(), strict=True):
        assert torch.equal(a, b)
    left, right = ours[1].state_dict(), theirs[1].state_dict()
    assert left["param_groups"] == right["param_groups"]
    for key, state in right["state"].items():
        assert left["state"][key].keys() == state.keys()
        assert all(torch.equal(left["state"][key][name], value) for name, value in state.items())


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("missing", [None, 0, 5])
def test_adam_is_that_of_torch(missing: int | None, groups: int) -> None:
    """Also where a parameter has no gradient in the first step or in a later one, and where the rate changes."""
    ours, theirs = pair(groups)
    for made in (ours, theirs):
        for seed in range(8):
            made[1].param_groups[0]["lr"] = 0.01 / (1 + seed)
            step(*made, seed, missing if seed in (0, 5) else None)
    assert_equal(ours, theirs)
    assert bool(ours[1].lists) == (groups == 1)  # type: ignore[attr-defined]


def test_adam_goes_on_from_a_state_that_is_loaded() -> None:
    """The moments of the state are used, not those in lists of the steps before."""
    ours, theirs = pair()
    for made in (ours, theirs):
        step(*made, 1)
        saved = copy.deepcopy(made[1].state_dict())
        step(*made, 2)
        step(*made, 3)
        made[1].load_state_dict(saved)
        step(*made, 4)
        step(*made, 5)
    assert_equal(ours, theirs)
    twin = copy.deepcopy(ours)
    for made in (twin, theirs):
        step(*made, 6)
        step(*made, 7)
    assert_equal(twin, theirs)


def test_a_closure_is_called() -> None:
    (network, optimizer), _ = pair()
    step(network, optimizer, 1)
    step(network, optimizer, 2)
    assert optimizer.step(lambda: 7.0) == 7.0


def test_the_average_is_that_of_torch() -> None:
    """Weights, buffers (one of which the module replaces by another tensor) and the layout of the state."""
    game, method = network(), ema(0.9, warm=False)
    ours, theirs = method.averaged_model(game), AveragedModel(game, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for at in range(5):
        with torch.no_grad():
            for p in game.parameters():
                p.add_(torch.randn_like(p))
        game(torch.randn(5, 3))
        game[1].running_mean = torch.randn(4)  # type: ignore[index]
        method.update(ours, game, at, 5)
        theirs.update_parameters(game)
        left, right = ours.state_dict(), theirs.state_dict()
        assert list(left) == list(right)
        assert all(torch.equal(left[key], right[key]) for key in right)


def test_the_average_of_another_module_is_its_own() -> None:
    game, method = network(), ema(0.9, warm=False)
    ours, other = method.averaged_model(game), network()
    with torch.no_grad():
        other[0].weight.add_(1.0)  # type: ignore[index, union-attr]
    for at, module in enumerate((game, game, other)):
        method.update(ours, module, at, 5)
    torch.testing.assert_close(ours.module[0].weight, game[0].weight + 0.1)  # type: ignore[index, union-attr]


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("other", [torch.contiguous_format, torch.channels_last])
def test_adam_of_convolutions_in_any_order_of_memory(order: torch.memory_format, other: torch.memory_format) -> None:
    """Gradient and moments may lie in memory in another order than the kernel: the step is that of one order."""
    torch.manual_seed(0)
    start, first, second = torch.randn(3, 5, 4, 3, 2)
    ours, theirs = (nn.Parameter(start.clone().contiguous(memory_format=m)) for m in (order, torch.contiguous_format))
    pairs = [(ours, ListedAdam([ours], lr=0.1, fused=True), other), (theirs, Adam([theirs], lr=0.1, fused=True), None)]
    for p, optimizer, memory in pairs:
        for gradient in (first, second, first + second):
            state = optimizer.state_dict()
            for moments in state["state"].values():  # as from a file that does not keep the order
                moments |= {k: v.contiguous(memory_format=memory) for k, v in moments.items() if v.ndim and memory}
            optimizer.load_state_dict(state)
            p.grad = gradient.clone().contiguous(memory_format=memory or torch.contiguous_format)
            optimizer.step()
    assert torch.equal(ours, theirs)
    for key in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(pairs[0][1].state[ours][key], pairs[1][1].state[theirs][key])


LAST = torch.channels_last


def to_channels_last(p: nn.Parameter, optimizer: Adam) -> None:
    p.data = p.detach().contiguous(memory_format=LAST)


def forget_all(p: nn.Parameter, optimizer: Adam) -> None:
    optimizer.state.clear()


def forget_one(p: nn.Parameter, optimizer: Adam) -> None:
    optimizer.state[p] = {}


def forget_a_moment(p: nn.Parameter, optimizer: Adam) -> None:
    optimizer.state[p]["exp_avg"] = torch.zeros_like(p)


def other_parameter(p: nn.Parameter, optimizer: Adam) -> None:
    optimizer.param_groups[0]["params"][0] = nn.Parameter(p.detach() + 1)


def other_decay(p: nn.Parameter, optimizer: Adam) -> None:
    optimizer.param_groups[0].update(decoupled_weight_decay=True, weight_decay=0.3)


def with_closure(p: nn.Parameter, optimizer: Adam) -> None:
    def closure() -> float:
        p.grad = torch.linspace(-1, 1, p.numel()).view(p.shape)
        return 1.0

    p.grad = None
    assert optimizer.step(closure) == 1.0


@pytest.mark.parametrize("memory", [torch.contiguous_format, LAST])
@pytest.mark.parametrize(
    "change",
    [to_channels_last, forget_all, forget_one, forget_a_moment, other_parameter, other_decay, with_closure],
)
def test_adam_after_a_change_between_two_steps(
    change: Callable[[nn.Parameter, Adam], None], memory: torch.memory_format
) -> None:
    """Its lists are made again; the steps are those of torch's loop over single tensors."""
    found: list[list[Tensor]] = []
    for options in ({"fused": True}, {"foreach": False}):
        torch.manual_seed(0)
        start: Any = nn.Parameter(torch.randn(2, 3, 4, 5).contiguous(memory_format=memory))
        optimizer = (ListedAdam if "fused" in options else Adam)([start], lr=0.1, **options)
        for at in range(5):
            (p,) = optimizer.param_groups[0]["params"]
            p.grad = torch.randn(2, 3, 4, 5)
            optimizer.step()
            if at == 2:
                change(p, optimizer)
        found.append([start, p, *optimizer.state[p].values()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_adam_of_a_slice() -> None:
    """Torch's fused step takes the elements in the order of memory, where those of a slice have gaps."""
    base, gradients = torch.randn(4, 6), torch.randn(3, 4, 3)
    ours, theirs = (nn.Parameter(base.clone()[:, ::2]) for _ in range(2))
    for p, optimizer in ((ours, adam([ours], lr=0.1)), (theirs, Adam([theirs], lr=0.1, betas=(0.5, 0.999)))):
        for gradient in gradients:
            p.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("what", ["parameter", "module"])
def test_the_average_after_a_parameter_or_a_module_was_replaced(what: str) -> None:
    game, method = network(), ema(0.9, warm=False)
    ours, theirs = method.averaged_model(game), AveragedModel(game, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for at in range(4):
        if at == 2 and what == "parameter":
            game[0].weight = nn.Parameter(torch.ones(4, 3))  # type: ignore[index]
        elif at == 2:
            game[0] = nn.Linear(3, 4)  # type: ignore[index]
        method.update(ours, game, at, 4)
        theirs.update_parameters(game)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_network_that_is_replaced_or_grows_is_trained() -> None:
    """If its parameters are added to the optimizer, as torch needs it."""
    game = build("gan")
    moves = Simultaneous(game, {player: torch.optim.SGD(game.parameters_of(player), 0.1) for player in game.players})
    moves.step(iter([batch(game, 4)]))
    new = nn.Linear(3, 3).double()
    game.decoder.network = nn.Sequential(new, game.decoder.network)  # type: ignore[union-attr]
    moves.optimizers["generator"].add_param_group({"params": [*new.parameters()]})
    before = new.weight.detach().clone()
    moves.step(iter([batch(game, 4)]))
    assert not torch.equal(before, new.weight)


class Compared(nn.Module):
    """A critic whose scores are relative to the mean score of the batch, or a critic with batch norm."""

    def __init__(self, critic: nn.Module, norm: bool) -> None:
        super().__init__()
        self.critic, self.norm = critic, nn.BatchNorm1d(1, affine=False) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        scores = self.critic(x)
        return 300 * (scores - scores.mean()) if self.norm is None else self.norm(scores[:, None])[:, 0]


@pytest.mark.parametrize("norm", [False, True])
def test_one_pass_through_a_critic_that_was_replaced_is_checked_again(norm: bool) -> None:
    found = []
    for kind in (Auto, Simultaneous):
        game = build("gan")
        moves = kind(game, {player: torch.optim.SGD(game.parameters_of(player), 0.1) for player in game.players})
        torch.manual_seed(0)
        moves.step(iter([batch(game, 4)]))
        game.critic = Compared(game.critic, norm).double()  # type: ignore[arg-type]
        moves.step(iter([batch(game, 4)]))
        found.append([*game.parameters()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


class Pulling(Callback):
    """A callback that computes gradients, as for a map of what the critic looks at, and leaves them behind."""

    def step(self, training: Any, outcome: Any) -> None:
        for p in training.game.parameters():
            p.grad = torch.ones_like(p)


@pytest.mark.parametrize("shards", [1, 2])
def test_gradients_of_a_callback_are_not_added_to_those_of_a_step(shards: int) -> None:
    run = recipes.ali_digits(networks="mlp(width=4)", steps=3, batch_size=4, shards=shards, device="cpu")
    games = [engine.finish(engine.open_run(run), callbacks).game for callbacks in ([], [Pulling()])]
    for a, b in zip(games[0].parameters(), games[1].parameters(), strict=True):
        assert torch.equal(a, b)


class Broken(Callback):
    """A callback after whose step an error ends the training, with gradients left behind."""

    def step(self, training: Any, outcome: Any) -> None:
        if training.step == 2:
            Pulling().step(training, outcome)
            raise InterruptedError


@pytest.mark.parametrize("shards", [1, 2])
def test_a_training_that_goes_on_after_an_error_is_the_same(shards: int) -> None:
    run = recipes.ali_digits(networks="mlp(width=4)", steps=4, batch_size=4, shards=shards, device="cpu")
    whole, broken = (engine.open_run(run) for _ in range(2))
    with pytest.raises(InterruptedError):
        engine.finish(broken, [Broken()])
    games = [engine.finish(one, []).game for one in (whole, broken)]
    for a, b in zip(games[0].parameters(), games[1].parameters(), strict=True):
        assert torch.equal(a, b)
