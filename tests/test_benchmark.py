"""The benchmark of the step runs, and its loops are those that it names."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from interalia.runs import building, recipes

STEP = Path(__file__).parents[1] / "benchmarks" / "step.py"


@pytest.fixture(scope="module")
def step() -> ModuleType:
    spec = importlib.util.spec_from_file_location("step", STEP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_step_is_timed_beside_the_loop_by_hand(
    tmp_path: Path, step: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one stage too, of a critic without batch norm, whatever precision the processor is good at."""
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
    """And what a recipe is timed in, one-stage or not, follows from whether its critic has batch norm."""
    with torch.device("meta"):
        generator, critic = step.networks(recipe)
    game = building.build(recipes.REGISTRY[recipe](), (3, 32, 32))
    for player, plain in (("generator", generator), ("critic", critic)):
        assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in game.parameters_of(player))
    norms = any(isinstance(module, torch.nn.BatchNorm2d) for module in game.critic.modules())
    assert norms == step.TABLES[recipe].norms
