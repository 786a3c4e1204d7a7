"""Kernel density estimates: closed forms, an independent implementation, and the two rules for the bandwidth."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

from interalia import UserError
from interalia.metrics.likelihood import (
    cross_validated_bandwidth,
    held_out_bandwidth,
    kernel,
    kernel_likelihood,
    log_densities,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(x: Tensor, c: Tensor, h: float) -> Tensor:
    """The same by SciPy, all differences in float64."""
    d = c.flatten(1).shape[1]
    squares = (x.flatten(1)[:, None] - c.flatten(1)[None]).square().sum(2)
    total = logsumexp((-squares / (2 * h**2)).numpy(), axis=1)
    return torch.from_numpy(total) - math.log(len(c)) - d / 2 * math.log(2 * math.pi * h**2)


@pytest.mark.parametrize("d", [1, 2, 50])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_log_densities_are_scipys(d: int, kind: torch.dtype) -> None:
    c, x = normal(300, d).to(kind), normal(41, d, seed=1).to(kind)
    bandwidths = [0.05, 3.0, 0.4, 20.0]  # in any order
    found = log_densities(x, c, bandwidths)
    assert found.shape == (4, 41)
    for values, h in zip(found, bandwidths, strict=True):
        assert values.numpy() == pytest.approx(by_hand(x.double(), c.double(), h).numpy(), rel=2e-5, abs=2e-2 * d / 50)


def test_images_far_from_the_origin_lose_nothing() -> None:
    c, x = 1000 + 0.1 * normal(200, 1, 8, 8), 1000 + 0.1 * normal(30, 1, 8, 8, seed=1)
    assert log_densities(x, c, [0.05])[0].numpy() == pytest.approx(by_hand(x, c, 0.05).numpy(), abs=0.02)


def test_a_narrow_bandwidth_is_computed_in_float64() -> None:
    c = 100 * normal(50, 3)
    x = c + 1e-4 * normal(50, 3, seed=1)  # float32 would round |x - c|^2 by more than |x - c|^2
    assert log_densities(x, c, [1e-4])[0].numpy() == pytest.approx(by_hand(x, c, 1e-4).numpy(), rel=1e-9)


def test_two_centres_of_nearly_equal_weight_are_both_counted() -> None:
    c = torch.tensor([[-1.0], [1.0], [500.0]])
    one = log_densities(torch.tensor([[0.0]]), c, [1.0])
    assert float(one) == pytest.approx(math.log(2 / 3) - 0.5 - 0.5 * math.log(2 * math.pi), abs=0.01)


@pytest.mark.parametrize("pairs", [1, 1000, 2**24])
def test_the_size_of_a_chunk_changes_nothing(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    c, x = normal(40, 5), normal(33, 5, seed=1)
    whole = log_densities(x, c, [0.3, 1.0])
    monkeypatch.setattr(kernel, "PAIRS", pairs)
    assert log_densities(x, c, [0.3, 1.0]).numpy() == pytest.approx(whole.numpy(), rel=1e-6)


def test_a_density_integrates_to_one() -> None:
    line = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    for density in log_densities(line, normal(20, 1), [0.1, 1.0]).exp():
        assert float(torch.trapezoid(density, line[:, 0])) == pytest.approx(1, abs=1e-6)


def test_mean_and_error_are_those_of_the_points() -> None:
    c, x = normal(100, 3), normal(64, 3, seed=1)
    found = kernel_likelihood(x, c, 0.5)
    values = by_hand(x, c, 0.5)
    assert found.mean == pytest.approx(float(values.mean()), rel=1e-6)
    assert found.error == pytest.approx(float(values.std()) / 8, rel=1e-5)
    assert (found.bandwidth, found.samples, found.points) == (0.5, 100, 64)


def test_many_samples_of_a_gaussian_come_to_its_entropy() -> None:
    # E log N(x; 0, 1 + h^2) with the kernel's width added to the samples' own
    h = 0.3
    found = kernel_likelihood(normal(4000, 1, seed=1), normal(20_000, 1), h)
    truth = -0.5 * math.log(2 * math.pi * (1 + h**2)) - 0.5 / (1 + h**2)
    assert found.mean == pytest.approx(truth, abs=4 * found.error)


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_cross_validation_is_the_sum_over_folds(folds: int) -> None:
    c = normal(50, 2)
    grid = [0.02, 0.1, 0.2, 0.4, 0.8, 3.0]
    totals = torch.zeros(len(grid), dtype=torch.float64)
    for fold in torch.randperm(50, generator=torch.Generator().manual_seed(4)).tensor_split(folds):
        others = torch.tensor([i for i in range(50) if i not in fold.tolist()])
        totals += torch.stack([by_hand(c[fold], c[others], h).sum() for h in grid])
    assert cross_validated_bandwidth(c, folds, grid, seed=4) == grid[int(totals.argmax())]


def test_cross_validation_finds_what_new_samples_want() -> None:
    c, new = normal(1500, 2), normal(1500, 2, seed=1)
    chosen = cross_validated_bandwidth(c)
    assert abs(math.log(chosen / held_out_bandwidth(c, new))) < 0.25
    assert kernel.GRID[0] < chosen < kernel.GRID[-1]


def test_copies_of_one_sample_want_the_narrowest_kernel() -> None:
    assert cross_validated_bandwidth(torch.ones(9, 4), grid=[0.5, 0.1, 2.0]) == 0.1


def test_held_out_bandwidth_of_a_single_centre_is_the_points_deviation() -> None:
    x = 0.17 * normal(500, 30)
    best = held_out_bandwidth(torch.zeros(1, 30), x)
    assert best == pytest.approx(float(x.square().mean().sqrt()), rel=0.026)  # half a step of the grid


@pytest.mark.parametrize(
    ("points", "samples", "bandwidth", "said"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 4), 1.0, "2 and 4 numbers"),
        (torch.zeros(3, 2), torch.zeros(0, 2), 1.0, "1 or more"),
        (torch.zeros(3), torch.zeros(3, 1), 1.0, "in the shape"),
        (torch.zeros(3, 2), torch.full((3, 2), math.nan), 1.0, "NaN or infinite"),
        (torch.zeros(3, 2), torch.zeros(3, 2), 0.0, "positive"),
        (torch.zeros(3, 2), torch.zeros(3, 2), math.nan, "positive"),
        (torch.zeros(1, 2), torch.zeros(3, 2), 1.0, "at least 2 points"),
    ],
)
def test_bad_input_is_one_sentence(points: Tensor, samples: Tensor, bandwidth: float, said: str) -> None:
    with pytest.raises(UserError, match=said):
        kernel_likelihood(points, samples, bandwidth)


@pytest.mark.parametrize("folds", [1, 4])
def test_folds_that_do_not_fit_are_refused(folds: int) -> None:
    with pytest.raises(UserError, match="`folds`"):
        cross_validated_bandwidth(torch.zeros(3, 2), folds)


def test_no_bandwidths_are_refused() -> None:
    with pytest.raises(UserError, match="at least one"):
        held_out_bandwidth(torch.zeros(3, 2), torch.zeros(3, 2), [])


@pytest.mark.parametrize("scouts", [10, 60, 10_000])
@pytest.mark.parametrize("d", [1, 8])
def test_a_narrowed_search_finds_what_a_full_one_does(scouts: int, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    c, new = normal(240, d), normal(200, d, seed=1)
    grid = kernel.GRID[::2]
    monkeypatch.setattr(kernel, "SCOUTS", 10_000)
    full = cross_validated_bandwidth(c, grid=grid), held_out_bandwidth(c, new, grid)
    monkeypatch.setattr(kernel, "SCOUTS", scouts)
    monkeypatch.setattr(kernel, "NARROWED", 2)
    assert (cross_validated_bandwidth(c, grid=grid[::-1]), held_out_bandwidth(c, new, grid)) == full
