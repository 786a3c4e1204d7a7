"""The digests of trained weights: equal for equal weights, different for different ones."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import digests

from interalia.runs.recipes import REGISTRY


def test_the_digest_is_of_every_weight_after_training() -> None:
    one, two = digests.trained("gan-digits"), digests.trained("gan-digits")
    assert one.step == digests.STEPS
    assert digests.digest(one.game) == digests.digest(two.game) != digests.digest(digests.trained("wgan-mnist").game)
    last = list(two.game.parameters())[-1]
    with torch.no_grad():
        last.view(-1)[-1] += 1e-6
    assert digests.digest(one.game) != digests.digest(two.game)


def test_every_recipe_has_data_of_its_shape() -> None:
    shapes = {name: digests.shape(make()) for name, make in REGISTRY.items()}
    assert shapes["ali-celeba"] == (3, 64, 64)
    assert shapes["ali-mnist-report"] == (1, 28, 28)
    assert shapes["cyclegan-facades-paper"] == (3, 256, 256)
    assert shapes["gan-grid25"] == (2,)
