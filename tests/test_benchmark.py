"""The benchmarks of the step and of annealing run, and they time the loops that they name."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from interalia.contexts import evaluating
from interalia.metrics.likelihood import estimate
from interalia.runs import building, recipes

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
STEP = BENCHMARKS / "step.py"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def step() -> ModuleType:
    return loaded("step")


@pytest.fixture
def annealing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """With small decoders."""
    module = loaded("annealing")
    for name in ("WIDTH", "SIDE"):
        monkeypatch.setattr(module, name, 8)
    monkeypatch.setattr(module, "MAPS", 1)
    monkeypatch.setitem(estimate.ROWS, "cpu", 64)
    return module


def test_the_step_is_timed_beside_the_loop_by_hand(
    tmp_path: Path, step: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one-stage dynamics too, where the critic has no batch norm, in any precision that the processor prefers."""
    flags = ["--batch", "4", "--repeats", "1", "--steps", "1", "--threads", "1", "--json", str(tmp_path / "step.json")]
    flags += ["--recipe", "ali-cifar10-paper"]
    monkeypatch.setattr(sys, "argv", [str(STEP), *flags])
    step.main()
    found = json.loads((tmp_path / "step.json").read_text())
    ours, staged, single, by_hand = found["images_per_second"]
    assert staged == f"{ours}, one-stage"
    assert single == "ours, fp32"
    assert set(found["ratio"]) == {f"{name} over {by_hand}" for name in (ours, staged, single)} | {
        f"{staged} over {ours}"
    }
    assert all(numbers["min"] > 0 for numbers in found["images_per_second"].values())
    assert abs(sum(found["shares"].values()) - 1) < 1e-6


@pytest.mark.parametrize("recipe", ["ali-svhn-paper", "ali-cifar10-paper"])
def test_the_networks_by_hand_have_as_many_weights(recipe: str, step: ModuleType) -> None:
    """And a recipe is timed with one-stage dynamics if and only if its critic has no batch norm."""
    with torch.device("meta"):
        generator, critic = step.networks(recipe)
    game = building.build(recipes.REGISTRY[recipe](), (3, 32, 32))
    for player, plain in (("generator", generator), ("critic", critic)):
        assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in game.parameters_of(player))
    norms = any(isinstance(module, torch.nn.BatchNorm2d) for module in game.critic.modules())
    assert norms == step.TABLES[recipe].norms


def test_annealing_is_timed_beside_a_plain_loop_and_its_decoder(
    tmp_path: Path, annealing: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--seeds", "2", "--turns", "1", "--temperatures", "3", "--json", str(tmp_path / "annealing.json")]
    monkeypatch.setattr(sys, "argv", ["annealing.py", *flags])
    before = torch.get_rng_state()
    annealing.main()
    assert torch.equal(torch.get_rng_state(), before)
    found = json.loads((tmp_path / "annealing.json").read_text())
    assert list(found["rates"]) == [annealing.MLP, annealing.CONVOLUTIONS]
    for seeds in found["rates"].values():
        assert len(seeds) == 2
        for values in seeds:
            assert values["over_loop"] == values["ais"] / values["loop"] > 0
            assert values["over_decoder"] == values["decoder"] / values["ais"]
    head, _, *rows = (line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|"))
    assert [len(row) for row in rows] == [len(head)] * 2
    assert {"versions", "commit", "machine", "date"} < set(found)


def test_the_plain_loop_beside_annealing_returns_the_number_of_its_gradients(
    annealing: ModuleType,
) -> None:
    game = annealing.untrained(annealing.MLP, seed=0)
    x = torch.ones(2, annealing.SIDE**2)
    with evaluating(game):
        taken = annealing.plain(game, x, [0.0, 0.3, 1.0], 0.1)
    assert taken == annealing.CHAINS * (annealing.LEAPFROG + 1)
