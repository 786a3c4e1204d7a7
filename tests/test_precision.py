"""Precisions beside fp32: what `auto` chooses from declared instructions and sizes, and the scaled losses of fp16."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from examples import batch, build
from torch import nn
from torch.optim import SGD, Optimizer

from interalia import Run, contexts
from interalia.contexts import keyed, precision_context
from interalia.errors import UserError
from interalia.games import Game, semiali
from interalia.learning import dynamics
from interalia.learning.dynamics import REGISTRY, Dynamics, UpdateOptions
from interalia.learning.optimizers import adam
from interalia.runs import loading
from interalia.training import engine

COMBINING = ("past", "consensus", "one-stage")
SCALING = [name for name in REGISTRY if name not in COMBINING]


def sgd(parameters: list[nn.Parameter]) -> Optimizer:
    return SGD(parameters, lr=0.01, momentum=0.5)


def flow(
    name: str, game: Game, optimizer: Callable[[list[nn.Parameter]], Optimizer], options: UpdateOptions
) -> Dynamics:
    optimizers = {player: optimizer(game.parameters_of(player)) for player in game.players}
    return REGISTRY[name](game, optimizers, options)


def rescale(moves: Dynamics, factor: float) -> None:
    scaler = moves.scalers["critic"]
    scaler.load_state_dict({**scaler.state_dict(), "scale": factor})


def trained(moves: Dynamics, steps: int = 4) -> list[torch.Tensor]:
    torch.manual_seed(3)
    for _ in range(steps):
        moves.step(itertools.repeat(batch(moves.game)))
    return [p.detach().clone() for p in moves.game.parameters()]


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize("options", [{}, {"grad_clip": 1.0, "grad_accumulation": 2}, {"skip_critic_above": 0.4}])
@pytest.mark.parametrize("name", SCALING)
def test_scaled_losses_make_the_same_updates(
    name: str, options: dict[str, float], optimizer: Callable[[list[nn.Parameter]], Optimizer]
) -> None:
    """To the bit: a factor is a power of 2, by which no digit of a float32 is lost."""
    plain_name = "simultaneous" if name == "auto" else name  # scaled losses have two backward passes
    plain = flow(plain_name, build("ali", double=False), optimizer, UpdateOptions(**options))  # type: ignore[arg-type]
    scaled = flow(name, build("ali", double=False), optimizer, UpdateOptions(**options, loss_scaling=True))  # type: ignore[arg-type]
    assert set(scaled.scalers) == {"critic", "generator"}
    assert all(torch.equal(a, b) for a, b in zip(trained(plain), trained(scaled), strict=True))


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize("player", ["critic", "generator"])
def test_an_overflow_skips_the_update_of_its_player_alone(
    player: str, optimizer: Callable[[list[nn.Parameter]], Optimizer]
) -> None:
    moves = flow("simultaneous", build("ali", double=False), optimizer, UpdateOptions(loss_scaling=True))
    trained(moves, 2)
    before = {other: [p.detach().clone() for p in moves.game.parameters_of(other)] for other in moves.game.players}
    hook = moves.game.parameters_of(player)[0].register_hook(lambda gradient: gradient * float("inf"))
    trained(moves, 1)
    hook.remove()
    for other, were in before.items():
        same = [torch.equal(p, was) for p, was in zip(moves.game.parameters_of(other), were, strict=True)]
        assert all(same) if other == player else not any(same)
        assert moves.scalers[other].get_scale() == 65536 / (2 if other == player else 1)
    trained(moves, 1)
    assert not torch.equal(moves.game.parameters_of(player)[0], before[player][0])


def test_the_factors_are_in_the_checkpoint() -> None:
    options = UpdateOptions(loss_scaling=True)
    moves, other = (flow("alternating", build("ali", double=False), sgd, options) for _ in range(2))
    rescale(moves, 8.0)
    trained(moves, 3)
    other.load_state_dict(moves.state_dict())
    assert {player: scaler.get_scale() for player, scaler in other.scalers.items()} == {
        "generator": 65536,
        "critic": 8,
    }
    assert other.state_dict() == moves.state_dict()
    assert "scales" not in flow("alternating", build("ali"), sgd, UpdateOptions()).state_dict()


@pytest.mark.parametrize("name", COMBINING)
def test_dynamics_that_combine_gradients_refuse_scaled_losses(name: str) -> None:
    with pytest.raises(UserError, match=r"combine gradients.*use `precision='bf16'` or 'fp32'"):
        flow(name, build("ali"), sgd, UpdateOptions(loss_scaling=True))


def test_small_gradients_survive_in_float16() -> None:
    """A loss of 1e-8 of its size has no gradient in float16, unless it is scaled."""
    found = []
    for scaled in (False, True):
        game = build("ali", (1, 12, 24), double=False)
        plain = game.losses
        game.losses = lambda joints, plain=plain: _faint(plain(joints))  # type: ignore[method-assign]
        half = UpdateOptions(precision=lambda: torch.autocast("cpu", torch.float16), loss_scaling=scaled)
        moves = flow("simultaneous", game, sgd, half)
        torch.manual_seed(3)
        moves.gradients(itertools.repeat(batch(game)), *game.players)
        found.append(torch.cat([p.grad.flatten() for p in game.parameters_of("critic") if p.grad is not None]))
    lost, kept = ((part == 0).float().mean() for part in found)
    assert lost > 0.5
    assert kept < 0.2


def _faint(outcome: dynamics.Outcome) -> dynamics.Outcome:
    return dynamics.Outcome({player: 1e-8 * loss for player, loss in outcome.losses.items()}, outcome.scores)


@contextlib.contextmanager
def processor(avx: bool, amx: bool) -> object:  # type: ignore[misc]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
        patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        yield


@pytest.mark.parametrize(("avx", "amx"), itertools.product((False, True), repeat=2))
@pytest.mark.parametrize(("width", "large"), [(500, False), (1000, True)])
def test_large_perceptrons_are_in_bf16_where_there_is_amx(avx: bool, amx: bool, width: int, large: bool) -> None:
    """By what is declared, and no measurement: 499,500 weights are too few, 500,000 are enough."""
    network = nn.Sequential(nn.Linear(width, 999 - large * 499), nn.ReLU())
    assert sum(p.numel() for p in network[0].parameters()) >= contexts.LINEAR_WEIGHTS or not large
    with processor(avx, amx):  # type: ignore[attr-defined]
        found = contexts.resolve_precision("auto", network, torch.device("cpu"))
        assert found == ("bf16" if amx and large else "fp32")
        assert contexts.resolve_precision("auto", network, torch.device("cuda")) == "fp32"


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_without_bf16_is_in_fp32_unless_fp16_is_given(
    native: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emulation of bf16 is slower than fp32."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    cuda = torch.device("cuda")
    assert contexts.resolve_precision("auto", nn.Conv2d(1, 1, 1), cuda) == expected
    assert contexts.resolve_precision("fp16", nn.Conv2d(1, 1, 1), cuda) == "fp16"


def test_the_precision_is_that_of_autocast() -> None:
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        with contexts.precision_context(name, torch.device("cpu"))():
            assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_fp16_trains_with_scaled_losses_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The path of a GPU, walked on a processor; a run is resumed with its factors."""
    with pytest.raises(UserError, match=r"which processors compute slowly; give `precision='bf16'` or 'fp32'"):
        engine.prepare(Run(data="digits", steps=1, precision="fp16", device="cpu"))
    monkeypatch.setattr(engine, "check_device", lambda *_: None)
    run = Run(data="digits", steps=2, precision="fp16", networks="auto(width=1)", batch_size=8, device="cpu")
    training = engine.open_run(run.replace(checkpoint_every=1), tmp_path / "run")
    assert set(training.dynamics.scalers) == set(training.game.players)
    rescale(training.dynamics, 4.0)
    engine.finish(training)
    resumed = engine.open_run(run.replace(steps=3), tmp_path / "run", resume=True)
    assert resumed.dynamics.scalers["critic"].get_scale() == 4.0
    engine.finish(resumed, [])
    assert all(bool(p.isfinite().all()) for p in resumed.game.parameters())


def test_apples_gpu_is_refused_for_training_and_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loading.resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(loading, "resolve_device", torch.device)
    with pytest.raises(UserError, match=r"^training on 'mps' is not supported, .*; give `device='cpu'`\.$"):
        engine.prepare(Run(data="digits", steps=1, device="mps"))


def test_the_direction_of_virtual_adversarial_training_is_the_same_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change of x at which its gradient is taken is smaller than what bf16 resolves."""
    game, found = build("semi-ali(vat=1.0)", (1, 28, 28), double=False, networks="auto(width=16)").train(), []
    inner = semiali.normalized
    monkeypatch.setattr(semiali, "normalized", lambda x: found.append(x.detach().flatten(1)) or inner(x))
    torch.manual_seed(3)
    x = batch(game, 6)
    for precision in ("fp32", "bf16"):
        with keyed(1, "test"), precision_context(precision, torch.device("cpu"))():
            game(*x).losses["critic"].backward()
    _, fine, _, coarse = found
    assert float(torch.cosine_similarity(fine, coarse).min()) > 0.99
