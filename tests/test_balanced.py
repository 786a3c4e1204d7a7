"""Balanced accuracies beside accuracies, where the classes are of unequal sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interalia import Dataset, Run, Split, build, metrics
from interalia.metrics.evaluation import evaluate
from interalia.metrics.evidence import Evidence
from interalia.metrics.extractors import Identity

BALANCED = {"knn1_latent_balanced", "linear_probe_latent_balanced", "linear_probe_features_balanced"}


def unequal(ones: int) -> Dataset:
    """Vectors of which so many of 20 have the label 1, at random places."""
    rng = np.random.default_rng(0)
    parts = [Split(rng.normal(size=(20, 2)).astype(np.float32), (np.arange(20) < ones).astype(int)) for _ in range(3)]
    return Dataset("vectors", *parts, classes=("0", "1"))


@pytest.mark.parametrize(("ones", "expected"), [(10, False), (11, False), (12, True), (2, True), (20, False)])
def test_they_are_computed_for_classes_of_unequal_sizes(ones: int, expected: bool) -> None:
    game, data = build(Run(networks="mlp(width=4)", latent_dim=3), shape=(2,)), unequal(ones)
    names = {found.name for found in evaluate(game, data, extractor=Identity((2,)))}
    assert names & BALANCED == (BALANCED if expected else set())


def test_a_constant_prediction_is_no_better_than_chance() -> None:
    game, data = build(Run(networks="mlp(width=4)", latent_dim=3), shape=(2,)), unequal(2)
    game.encoder.network.head[0].weight.data.zero_()  # type: ignore[index, operator, union-attr]
    game.encoder.network.head[0].bias.data.zero_()  # type: ignore[index, operator, union-attr]
    found = {one.name: one.value for one in evaluate(game, data, extractor=Identity((2,)))}
    assert found["linear_probe_latent"] == 0.9
    assert found["linear_probe_latent_balanced"] == 0.5


def test_the_labels_of_the_probe_are_those_that_its_accuracy_counts() -> None:
    x, y = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    labels = metrics.linear_probe_labels(x[:40], y[:40], x[40:])
    assert metrics.linear_probe_accuracy(x[:40], y[:40], x[40:], y[40:]) == float((labels == y[40:]).double().mean())


def test_a_semi_supervised_game_and_a_conditional_one() -> None:
    game = build(Run(game="semi-ali", networks="mlp(width=4)", latent_dim=3), shape=(2,), labels=2)
    evidence = Evidence(game, unequal(2))
    found = {one.name: one.value for one in evaluate(game, unequal(2), extractor=Identity((2,)))}
    from interalia import tasks

    predicted = tasks.classify(game, evidence.x).argmax(1)
    shares = [float((predicted[evidence.held_out.labels == y] != y).double().mean()) for y in (0, 1)]
    assert found["classification_error_balanced"] == pytest.approx(sum(shares) / 2)
