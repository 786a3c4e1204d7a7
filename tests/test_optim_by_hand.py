"""Schedules, averages of weights and modes at their borders, by hand."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import nn

from interalia import contexts
from interalia.learning import optimizers
from interalia.learning.optimizers import AVERAGES, OPTIMIZERS, SCHEDULES, Averaging
from interalia.networks import weights


def test_settings_begin_as_documented() -> None:
    expected = {
        "adam": {"lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "weight_decay": 0.0},
        "sgd": {"lr": 1e-2, "momentum": 0.0, "weight_decay": 0.0},
        "rmsprop": {"lr": 5e-5, "weight_decay": 0.0},
        "constant": {"warmup": 0.0},
        "linear": {"start": 0.5, "final": 0.0, "warmup": 0.0},
        "exponential": {"start": 0.5, "final": 0.01, "warmup": 0.0},
        "cosine": {"start": 0.0, "final": 0.0, "warmup": 0.0},
        "ema": {"decay": 0.999, "start": 0.0, "warm": True},
        "swa": {"start": 0.0},
    }
    found = {**OPTIMIZERS, **SCHEDULES, **AVERAGES}
    assert list(found) == list(expected)
    for name, defaults in expected.items():
        assert found[name] is getattr(optimizers, name)
        own = inspect.signature(found[name]).parameters
        assert {key: p.default for key, p in own.items() if p.default is not inspect.Parameter.empty} == defaults
    assert Averaging() == Averaging(decay=None, start=0.0, warm=False)
    assert inspect.signature(weights.init_output_bias).parameters["margin"].default == 1 / 512


OWN_AND_TORCH = {
    "adam": ({"beta1": 0.5}, torch.optim.Adam, {"betas": (0.5, 0.999), "fused": True}),
    "sgd": ({"momentum": 0.9, "weight_decay": 0.1}, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop": ({"weight_decay": 0.1}, torch.optim.RMSprop, {"weight_decay": 0.1}),
}


@pytest.mark.parametrize("name", OWN_AND_TORCH)
def test_optimizers_are_those_of_torch_to_the_bit(name: str) -> None:
    """Also after their state is loaded; and a gradient is neither recorded in a step nor kept by `zero_grad`."""
    settings, theirs, options = OWN_AND_TORCH[name]
    weights = [nn.Parameter(torch.linspace(-1, 1, 5)) for _ in range(2)]
    found = [OPTIMIZERS[name]([weights[0]], lr=0.1, **settings), theirs([weights[1]], lr=0.1, **options)]
    for step in range(6):
        for weight, optimizer in zip(weights, found, strict=True):
            optimizer.zero_grad()
            assert weight.grad is None
            (weight**3).sum().backward()
            optimizer.step()
            if step == 2:
                optimizer.load_state_dict(optimizer.state_dict())
        assert torch.equal(*weights), step
        assert weights[0].requires_grad
        assert weights[0].grad_fn is None
    assert found[0].state_dict().keys() == found[1].state_dict().keys()


def test_schedules_by_hand() -> None:
    """Decay from 0.2 on, of which half is over at 0.6; warm-up to 0.4, of which a quarter is over at 0.1."""
    times = (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)
    warm = (0.0, 0.25, 0.5, 1.0, 1.0, 1.0)
    over = (0.0, 0.0, 0.0, 0.25, 0.5, 1.0)
    shapes = {
        "linear": lambda d: 1 - 0.7 * d,
        "exponential": lambda d: 0.3**d,
        "cosine": lambda d: 0.3 + 0.7 * math.cos(math.pi * d / 2) ** 2,
    }
    for name, shape in shapes.items():
        for warmup, grown in ((0.0, (1.0,) * 6), (0.4, warm)):
            factor = SCHEDULES[name](start=0.2, final=0.3, warmup=warmup)
            assert [factor(t) for t in times] == pytest.approx([g * shape(d) for g, d in zip(grown, over, strict=True)])
        assert SCHEDULES[name](start=1.0, final=0.3)(1.0) == 1  # it never decays
    assert [SCHEDULES["constant"](warmup=0.4)(t) for t in times] == pytest.approx(list(warm))
    assert SCHEDULES["constant"]()(0.0) == 1


def test_borders_of_schedules_and_averages() -> None:
    for name in ("linear", "exponential", "cosine"):
        for settings in ({"start": -1e-9}, {"start": 1 + 1e-9}, {"final": -1e-9}):
            with pytest.raises(ValueError, match="they lie in"):
                SCHEDULES[name](**settings)
        assert SCHEDULES[name](start=0.0, final=0.0)(0.0) == 1
    for name in SCHEDULES:
        for bad in (-1e-9, 1 + 1e-9):
            with pytest.raises(ValueError, match="`warmup` is"):
                SCHEDULES[name](warmup=bad)
        assert SCHEDULES[name](warmup=1.0)(0.0) == 0
    for bad in (-1e-9, 1.0):
        with pytest.raises(ValueError, match="`start` is"):
            AVERAGES["swa"](start=bad)
    for bad in (-1e-9, 1.0):
        with pytest.raises(ValueError, match="`decay` is"):
            AVERAGES["ema"](bad)
    assert AVERAGES["ema"](0.0).decay == 0
    assert AVERAGES["ema"](0.9, start=0.5) == Averaging(0.9, 0.5, True)
    assert AVERAGES["swa"](start=0.25) == Averaging(None, 0.25, False)


def averaged(averaging: Averaging, weights: list[float]) -> list[float]:
    game = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        game.weight.fill_(100.0)
    average, found = averaging.averaged_model(game), []
    for step, w in enumerate(weights):
        with torch.no_grad():
            game.weight.fill_(w)
        averaging.update(average, game, step, len(weights))
        found.append(average.module.weight.item())
    return found


def test_averages_by_hand() -> None:
    """Of weights 2, 4, 10, 0, of which an average begins with the first, or with the first from its start on."""
    w = [2.0, 4.0, 10.0, 0.0]
    assert averaged(Averaging(), w) == pytest.approx([2, 3, 16 / 3, 4])
    assert averaged(Averaging(start=0.5), w) == pytest.approx([2, 4, 10, 5])
    assert averaged(Averaging(0.75), w) == pytest.approx([2, 2.5, 4.375, 3.28125])
    found = [2.0]
    for n, value in ((1, 4.0), (2, 10.0), (3, 0.0)):  # decays of 2/11, 3/12 and 4/13, which is over 0.3
        decay = min(0.3, (1 + n) / (10 + n))
        found.append(decay * found[-1] + (1 - decay) * value)
    assert averaged(Averaging(0.3, warm=True), w) == pytest.approx(found)


# ---- modes


def test_modes_are_put_back_even_after_a_failure() -> None:
    game = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5).eval(), nn.Linear(2, 2))
    game[2].bias.requires_grad_(False)
    wanted = [p.requires_grad for p in game.parameters()]
    training = [m.training for m in game.modules()]
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    with pytest.raises(KeyError), contexts.evaluating(game, seed=7), contexts.frozen(game):
        assert not any(m.training for m in game.modules())
        assert not any(p.requires_grad for p in game.parameters())
        assert not torch.is_grad_enabled()
        inside = torch.rand(3)
        raise KeyError
    assert [p.requires_grad for p in game.parameters()] == wanted
    assert [m.training for m in game.modules()] == training
    assert torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(7)
    assert torch.equal(inside, torch.rand(3))
    for context in (contexts.private_rng(torch.device("cpu")), contexts.evaluating(game)):
        with context:
            found = torch.rand(3)
        torch.manual_seed(0)
        assert torch.equal(found, torch.rand(3))


def test_small_numbers_are_flushed_meanwhile() -> None:
    small = torch.tensor(1e-30)
    before = bool(small * 1e-10 == 0)
    with pytest.raises(KeyError), contexts.flush_denormals():
        assert (small * 1e-10).item() == 0 or not torch.set_flush_denormal(True)
        raise KeyError
    assert bool(small * 1e-10 == 0) == before


def test_precisions() -> None:
    cpu = torch.device("cpu")
    for kind in (torch.bfloat16, torch.float16):
        assert contexts.to_float32(torch.ones(1, dtype=kind)).dtype == torch.float32
    double = torch.ones(1, dtype=torch.float64)
    assert contexts.to_float32(double) is double
    assert contexts.resolve_precision("bf16", nn.Linear(1, 1), cpu) == "bf16"
    assert contexts.resolve_precision("fp32", nn.Conv2d(1, 1, 1), cpu) == "fp32"
    assert contexts.resolve_precision("auto", nn.Linear(1, 1), cpu) == "fp32"
    for layer in (nn.Conv2d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1)):
        for avx, amx, expected in ((True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
                patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
                assert contexts.resolve_precision("auto", nn.Sequential(layer), cpu) == expected
                assert contexts.resolve_precision("auto", layer, torch.device("meta")) == "fp32"
    layer = nn.Linear(2, 1)
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with contexts.precision_context(name, cpu)():
            assert layer(torch.ones(1, 2)).dtype == kind
