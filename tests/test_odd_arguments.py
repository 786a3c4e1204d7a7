"""Arguments of tasks in Python that were computed with silently, or ended in an error of torch, are refused in a sentence."""

import math

import numpy as np
import pytest
import torch

import interalia
from interalia import tasks
from interalia.errors import UserError


def made(**more):
    """A small game of 8x8 images, conditional if `labels` or `attributes` are given."""
    way = "labels" if "labels" in more else "all" if more else "none"
    return interalia.build(interalia.Run(networks="mlp", latent_dim=3, condition_on=way), shape=(1, 8, 8), **more)


X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("direction", [torch.ones(1), torch.ones(2), torch.ones(4, 1), torch.ones(2, 3)])
def test_a_direction_has_the_shape_of_a_latent(direction):
    """One of a single number would be added to all dimensions of z."""
    with pytest.raises(UserError, match="the direction has the shape"):
        tasks.shift(made(), X, direction, [1.0])


def test_a_direction_for_each_image():
    game, directions = made(), torch.eye(4, 3)
    found = tasks.shift(game, X, directions, np.array([2, 0]))
    assert torch.allclose(found[1:2], tasks.shift(game, X[1:2], directions[1], [2, 0]), atol=1e-5)


@pytest.mark.parametrize("scales", [[], ["a"], [None]])
def test_scales_are_numbers(scales):
    with pytest.raises(UserError, match="`scales` is"):
        tasks.shift(made(), X, torch.ones(3), scales)


@pytest.mark.parametrize("has", [["a", "b", "c", "d"], None])
def test_a_property_is_true_or_false(has):
    with pytest.raises(UserError, match="must be true or false"):
        tasks.direction(made(), X, has)


@pytest.mark.parametrize("values", [[-1, 1], [0, 2]])
def test_attributes_are_in_0_to_1(values):
    """Those of CelebA's file are -1 and 1, with which a game would be asked for something that it has never seen."""
    game = made(attributes={"p": 0.5, "q": 0.5})
    with pytest.raises(UserError, match=f"numbers from {min(values)} to {max(values)}; give 0"):
        tasks.generate(game, 4, 0, y=torch.tensor([values] * 4))
    mixed = torch.tensor([[1.0, 1 + 2e-7], [0.25, -1e-8]])  # by rounding, in an interpolation
    assert tasks.generate(game, 2, 0, y=mixed).shape == (2, 1, 8, 8)


def test_other_odd_arguments():
    game, told = made(), made(labels=3)
    y = torch.tensor([0, 1, 2, 0])
    for message, work in (
        ("the label is True", lambda: tasks.generate(told, 2, 0, label=True)),
        ("`y` must be a pair", lambda: tasks.interpolate(told, X, X, 3, y=y)),
        ("`y` must be a pair", lambda: tasks.neighbours(told, X, X, 1, y=y)),
        ("no array of numbers", lambda: tasks.decode(game, torch.zeros(2, 3, dtype=torch.complex64))),
        ("`refine_lr` is inf", lambda: tasks.project(game, X, 2, math.inf)),
        ("`seed` is 1000", lambda: tasks.generate(game, 2, 10**20)),
    ):
        with pytest.raises(UserError, match=message):
            work()
