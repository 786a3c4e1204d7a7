"""Distances, coverage, similarity and codes on points few enough to be worked out by hand or by loops over them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tables import anew, defaults
from torch import Tensor

from interalia import UserError
from interalia.conditionals import Codes
from interalia.data.dataset import Mixture
from interalia.metrics import codes, coverage, distances, similarity


def rows(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


A = rows([0.5, -1.0], [2.0, 0.25], [-1.5, 3.0])
B = rows([1.0, 1.5], [-0.5, 0.75], [2.5, -2.0], [0.0, 3.5])


@pytest.mark.parametrize(
    ("function", "published", "call"),
    [
        (
            distances.kernel_distance,
            {"subsets": 100, "subset_size": 1000, "seed": 0, "paired": False},
            lambda: distances.kernel_distance(A, B),
        ),
        (distances.inception_score, {"splits": 10}, lambda: distances.inception_score(torch.ones(10, 2) / 2)),
        (
            coverage.precision_recall_density_coverage,
            {"k": 5},
            lambda: coverage.precision_recall_density_coverage(torch.eye(6), torch.eye(6)),
        ),
        (coverage.mixture_coverage, {"k_std": 3.0}, lambda: coverage.mixture_coverage(torch.zeros(1, 2), PAIR)),
    ],
)
def test_defaults_are_the_published_ones(
    function: Callable[..., Any], published: dict[str, Any], call: Callable[[], Any]
) -> None:
    call()
    assert defaults(function) == published


def test_constants_are_the_published_ones() -> None:
    similarity.structural_similarity(IMAGES, IMAGES)
    fresh = anew(similarity)
    assert (fresh.SIDE, fresh.SIGMA, fresh.K1, fresh.K2) == (11, 1.5, 0.01, 0.03)
    coverage.precision_recall_density_coverage(A, B, k=1)
    assert coverage.CHUNK == anew(coverage).CHUNK == 1000


@pytest.mark.parametrize("name", ["Neighbourhoods", "ModeCoverage"])
def test_results_are_frozen(name: str) -> None:
    kind = getattr(anew(coverage), name)
    found = kind(*(1 for _ in dataclasses.fields(kind)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(found, dataclasses.fields(kind)[0].name, 2)


# ---- distances


def test_moments_are_numpys() -> None:
    mean, covariance = distances.moments(B.float())
    assert mean.tolist() == [0.75, 0.9375]
    assert covariance.numpy() == pytest.approx(np.cov(B.numpy().T))
    assert (mean.dtype, covariance.dtype) == (torch.float64, torch.float64)
    two = distances.moments(rows([1.0, 0.0], [3.0, 1.0]))
    assert two[1].tolist() == [[2.0, 1.0], [1.0, 0.5]]


def test_frechet_distance_of_two_samples_a_set_by_hand() -> None:
    # variances 2 and 18, means 2 and 5: 9 + (sqrt 18 - sqrt 2)^2 = 9 + 8
    assert distances.frechet_distance(rows([1.0], [3.0]), rows([2.0], [8.0])) == pytest.approx(17)


def test_frechet_takes_float32_in_double_and_the_symmetric_part() -> None:
    skew = torch.tensor([[4.0, 1.0], [-1.0, 9.0]])  # its symmetric part is diag(4, 9)
    zero = torch.zeros(2)
    assert distances.frechet(zero, skew, zero, torch.eye(2)) == pytest.approx(1 + 4, rel=1e-12)
    tiny = torch.tensor([3e-9, 0.0])
    assert distances.frechet(tiny, torch.eye(2), zero, torch.eye(2)) == pytest.approx(0, abs=1e-14)
    assert distances.frechet(tiny, 0 * torch.eye(2), zero, 0 * torch.eye(2)) == pytest.approx(9e-18, rel=1e-5)


def test_frechet_is_never_below_zero_and_takes_no_root_of_a_negative_eigenvalue() -> None:
    zero = torch.zeros(2)
    for seed in range(20):
        s = torch.randn(2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert 0 <= distances.frechet(zero, s @ s.T, zero, s @ s.T) < 1e-12
    negative = torch.diag(rows(4.0, -1e-3))  # -1e-3 is a rounding error, and counts as 0
    assert distances.frechet(zero, negative, zero, torch.eye(2)) == pytest.approx(1 + 1)


def discrepancy(a: Tensor, b: Tensor, k: Callable[[Tensor, Tensor], float], paired: bool = False) -> float:
    """The unbiased estimate over all pairs of different indices, one kernel at a time."""

    def mean(u: Tensor, v: Tensor, same: bool) -> float:
        met = [k(u[i], v[j]) for i in range(len(u)) for j in range(len(v)) if not same or i != j]
        return sum(met) / len(met)

    return mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, paired)


def test_discrepancies_are_those_of_loops_over_pairs() -> None:
    def cubic(x: Tensor, y: Tensor) -> float:
        return (float(x[0] * y[0] + x[1] * y[1]) / 2 + 1) ** 3

    def gaussian(x: Tensor, y: Tensor) -> float:
        return math.exp(-((float(x[0] - y[0])) ** 2 + (float(x[1] - y[1])) ** 2) / (2 * 1.7**2))

    for a, b in ((A, B), (B, A), (A[:2], B)):
        assert distances.kernel_distance(a, b) == pytest.approx(discrepancy(a, b, cubic), rel=1e-12)
        found = distances.maximum_mean_discrepancy(a, b, 1.7)
        assert found == pytest.approx(discrepancy(a, b, gaussian), rel=1e-12)
    pairs = distances.kernel_distance(A, B[:3], paired=True)
    assert pairs == pytest.approx(discrepancy(A, B[:3], cubic, paired=True), rel=1e-12)
    assert pairs != pytest.approx(distances.kernel_distance(A, B[:3]), rel=1e-3)
    two = distances.kernel_distance(A[:2], B[:2], paired=True)
    assert two == pytest.approx(discrepancy(A[:2], B[:2], cubic, paired=True), rel=1e-12)


def test_discrepancies_of_float32_are_computed_in_double() -> None:
    far = 1000 + A.float()
    assert distances.kernel_distance(far, far + 0.5) == pytest.approx(
        distances.kernel_distance(far.double(), far.double() + 0.5), rel=1e-9
    )
    assert distances.maximum_mean_discrepancy(far, far + 0.5, 2) == pytest.approx(
        distances.maximum_mean_discrepancy(far.double(), far.double() + 0.5, 2), rel=1e-9
    )


@pytest.mark.parametrize("paired", [False, True])
def test_subsets_are_drawn_from_each_set(paired: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[float], list[float], bool]] = []

    def counted(a: Tensor, b: Tensor, paired: bool) -> float:
        seen.append((a[:, 0].tolist(), b[:, 0].tolist(), paired))
        return 2.0 ** len(seen)

    monkeypatch.setattr(distances, "_cubic_discrepancy", counted)
    a = torch.arange(9.0)[:, None]
    b = 100 + torch.arange(9.0 if paired else 7.0)[:, None]
    found = distances.kernel_distance(a, b, subsets=3, subset_size=4, paired=paired)
    assert found == pytest.approx((2 + 4 + 8) / 3)
    assert len(seen) == 3
    for some, other, pairs in seen:
        assert pairs is paired
        assert len(set(some)) == len(set(other)) == 4
        assert set(some) <= set(range(9))
        assert set(other) <= set(range(100, 100 + len(b)))
        assert ([x + 100 for x in some] == other) is paired
    assert len({tuple(sorted(some)) for some, _, _ in seen}) == 3
    assert len({tuple(sorted(other)) for _, other, _ in seen}) > 1
    first = list(seen)
    seen.clear()
    distances.kernel_distance(a, b, subsets=3, subset_size=4, paired=paired, seed=0)
    assert seen == first
    seen.clear()
    distances.kernel_distance(a, b, subsets=3, subset_size=4, paired=paired, seed=1)
    assert seen != first


def test_all_samples_are_taken_at_once_when_there_are_no_more_than_a_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr(distances, "_cubic_discrepancy", lambda a, b, paired: sizes.append((len(a), len(b))) or 1.0)
    for n, m in ((3, 3), (4, 3), (3, 4), (2, 3), (5, 6)):
        distances.kernel_distance(torch.zeros(n, 1), torch.ones(m, 1), subsets=2, subset_size=3)
    assert sizes == [(3, 3), *[(3, 3)] * 2, *[(3, 3)] * 2, (2, 3), *[(3, 3)] * 2]


def test_inception_score_by_hand() -> None:
    p = [[0.7, 0.2, 0.1], [0.1, 0.0, 0.9], [0.25, 0.5, 0.25], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]

    def score(part: list[list[float]]) -> float:
        marginal = [sum(row[j] for row in part) / len(part) for j in range(3)]
        total = sum(q * math.log(q / m) for row in part for q, m in zip(row, marginal, strict=True) if q)
        return math.exp(total / len(part))

    assert distances.inception_score(rows(*p), 1) == pytest.approx(score(p), rel=1e-12)
    halves = (score(p[:3]) + score(p[3:])) / 2  # the first part has the one that is over
    assert distances.inception_score(rows(*p), 2) == pytest.approx(halves, rel=1e-12)
    assert distances.inception_score(rows(*p), 5) == pytest.approx(1)
    assert distances.inception_score(torch.tensor(p), 1) == pytest.approx(
        distances.inception_score(torch.tensor(p).double(), 1), rel=1e-12
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: distances.moments(A[:1]), "2 or more"),
        (lambda: distances.moments(A[0]), "2 or more"),
        (lambda: distances.frechet_distance(A, B[:1]), "2 or more"),
        (lambda: distances.frechet_distance(A[:1], B), "2 or more"),
        (lambda: distances.frechet_distance(A, B * math.inf), "NaN or infinite"),
        (lambda: distances.frechet_distance(A[:, :1], B), "1 and 2 numbers"),
        (lambda: distances.kernel_distance(A[:1], B), "2 or more"),
        (lambda: distances.kernel_distance(A, B[:1]), "2 or more"),
        (lambda: distances.kernel_distance(A, B, subsets=0), "`subsets` is 0"),
        (lambda: distances.kernel_distance(A, B, subset_size=1), "`subset_size` 1"),
        (lambda: distances.kernel_distance(A, B, paired=True), "3 and 4 samples"),
        (lambda: distances.maximum_mean_discrepancy(A[:1], B, 1.0), "2 or more"),
        (lambda: distances.maximum_mean_discrepancy(A, B[:1], 1.0), "2 or more"),
        (lambda: distances.maximum_mean_discrepancy(A, B, -1.0), "`bandwidth` is -1"),
        (lambda: distances.maximum_mean_discrepancy(A, B, math.nan), "`bandwidth` is nan"),
        (lambda: distances.inception_score(torch.ones(3, 2) / 2, 0), "`splits` is 0"),
        (lambda: distances.inception_score(torch.ones(3, 2) / 2, 4), "`splits` is 4"),
        (lambda: coverage.precision_recall_density_coverage(A, B, 0), "`k` is 0"),
        (lambda: coverage.precision_recall_density_coverage(A, B, 3), "`k` is 3"),
        (lambda: coverage.precision_recall_density_coverage(B, A, 3), "`k` is 3"),
        (lambda: coverage.precision_recall_density_coverage(A[0], B, 1), r"shape \(2,\)"),
        (lambda: coverage.precision_recall_density_coverage(A, B[0], 1), r"shape \(2,\)"),
        (lambda: coverage.precision_recall_density_coverage(A, B[:, :1], 1), "2 and 1 numbers"),
        (lambda: similarity.structural_similarity(IMAGES, IMAGES[:1]), "sides of 11 or more pixels"),
        (lambda: similarity.structural_similarity(IMAGES[0], IMAGES[0]), "sides of 11 or more pixels"),
        (lambda: similarity.structural_similarity(IMAGES[:, :, :10], IMAGES[:, :, :10]), "sides of 11 or more pixels"),
        (lambda: similarity.structural_similarity(IMAGES[..., :10], IMAGES[..., :10]), "sides of 11 or more pixels"),
        (lambda: codes.matching(torch.tensor([]).long(), torch.tensor([]).long(), 2), "at least 1"),
        (lambda: codes.matching(torch.tensor([1, 0]), torch.tensor([1]), 2), "one label for each"),
        (lambda: coverage.mixture_coverage(torch.zeros(0, 2), PAIR), "at least one"),
        (lambda: coverage.mixture_coverage(torch.zeros(2), PAIR), "at least one"),
        (lambda: coverage.mixture_coverage(torch.zeros(2, 3), PAIR), "at least one"),
    ],
)
def test_one_step_over_each_border_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()


def test_the_borders_themselves_are_taken() -> None:
    same = rows([1.0, 2.0], [1.0, 2.0])
    assert distances.kernel_distance(same, same, subsets=1, subset_size=2) == 0
    assert distances.frechet_distance(same, same) == 0
    assert distances.maximum_mean_discrepancy(same, same, 1e-9) == 0
    assert distances.inception_score(torch.ones(3, 2) / 2, 3) == 1
    one = coverage.mixture_coverage(torch.tensor([[0.0, 1.0]]), PAIR)
    assert (one.modes, one.histogram) == (1, (1, 0, 0))


# ---- neighbourhoods


LINE = rows([0.0], [1.0], [3.0], [7.0])
POINTS = rows([2.0], [2.5], [11.0], [11.5], [20.0])


@pytest.mark.parametrize("chunk", [1000, 3, 1])
def test_neighbourhoods_on_a_line_by_hand(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "CHUNK", chunk)
    # k = 1: radii 1, 1, 2, 4 of the data, 0.5, 0.5, 0.5, 0.5, 8.5 of the samples
    # balls of the data [-1, 1], [0, 2], [1, 5], [3, 11]: 2 lies in two, 2.5 in one, 11 in one, 11.5 and 20 in none
    # balls of the samples [1.5, 2.5], [2, 3], [10.5, 11.5], [11, 12], [11.5, 28.5]: of the data 3 alone lies in one
    found = coverage.precision_recall_density_coverage(LINE, POINTS, k=1)
    assert dataclasses.astuple(found) == (3 / 5, 1 / 4, 4 / (1 * 5), 3 / 4)
    # k = 2: radii 3, 2, 3, 6 and 9, 8.5, 8.5, 9, 9: [-3, 3], [-1, 3], [0, 6], [1, 13]
    # 2 and 2.5 lie in four, 11 and 11.5 in one
    found = coverage.precision_recall_density_coverage(LINE, POINTS, k=2)
    assert dataclasses.astuple(found) == (4 / 5, 1, 10 / (2 * 5), 1)
    # the other way round, k = 1: 0, 1 and 7 lie in no sample's ball, and the ball of 20 holds nobody
    found = coverage.precision_recall_density_coverage(POINTS, LINE, k=1)
    assert dataclasses.astuple(found) == (1 / 4, 3 / 5, 1 / 4, 1 / 5)


def test_copies_of_a_point_are_neighbours() -> None:
    real = rows([0.0], [0.0], [5.0])  # radii 0, 0, 5
    found = coverage.precision_recall_density_coverage(real, rows([0.0], [10.5]), k=1)
    assert dataclasses.astuple(found) == (0.5, 1.0, 3 / 2, 1.0)


def test_neighbourhoods_see_differences_that_float32_does_not() -> None:
    real, fake = rows([0.0], [1e-9], [1.0]), rows([3e-9], [2.0])
    found = coverage.precision_recall_density_coverage(real, fake, k=1)
    assert (found.precision, found.coverage) == (0.5, 1 / 3)  # the balls of 0 and 1e-9 end before 3e-9


# ---- mixtures


PAIR = Mixture(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 8.0]], dtype=np.float32), std=0.5)


@pytest.mark.parametrize("chunk", [1000, 2])
def test_modes_by_hand(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "CHUNK", chunk)
    x = rows([0.0, 1.5], [0.25, 0.0], [1.75, 0.0], [4.0, -1.5], [4.0, 1.75], [0.0, 5.0], [0.0, 1.625])
    found = coverage.mixture_coverage(x, PAIR)  # within 1.5, the border too
    assert found.histogram == (4, 2, 1)
    assert (found.modes, found.modes_assigned) == (2, 3)
    assert found.high_quality == pytest.approx(3 / 7)
    want = 4 / 7 * math.log(12 / 7) + 2 / 7 * math.log(6 / 7) + 1 / 7 * math.log(3 / 7)
    assert found.reverse_kl == pytest.approx(want)
    assert coverage.mixture_coverage(x, PAIR, k_std=6.0).modes == 3
    assert coverage.mixture_coverage(x, PAIR, k_std=3.25).high_quality == pytest.approx(4 / 7)


def test_a_mode_without_samples_counts_nothing() -> None:
    found = coverage.mixture_coverage(torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 0.5]]), PAIR)
    assert (found.modes, found.modes_assigned, found.histogram) == (2, 2, (1, 2, 0))
    assert found.reverse_kl == pytest.approx(1 / 3 * math.log(1) + 2 / 3 * math.log(2))


def test_distances_to_far_modes_are_exact() -> None:
    far = Mixture(np.array([[1e6, 1e6]] * 30 + [[0.0, 0.0]], dtype=np.float32), std=1e-3)
    x = rows([1e6, 1e6 + 2e-3]).expand(40, 2)
    assert coverage.mixture_coverage(x, far).high_quality == 1
    assert coverage.mixture_coverage(x, far, k_std=1.9).high_quality == 0


# ---- similarity


IMAGES = torch.rand(2, 2, 12, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_structural_similarity_place_by_place() -> None:
    x = IMAGES.numpy()
    y = (0.3 + 0.6 * IMAGES.flip(3) ** 2).numpy()
    bell = [math.exp(-(i**2) / (2 * 1.5**2)) for i in range(-5, 6)]
    window = np.array([[u * v for v in bell] for u in bell])
    window /= window.sum()
    want = []
    for n in range(2):
        met = []
        for c, i, j in itertools.product(range(2), range(2), range(4)):
            a, b = x[n, c, i : i + 11, j : j + 11], y[n, c, i : i + 11, j : j + 11]
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
            ab = (window * (a - ma) * (b - mb)).sum()
            met.append((2 * ma * mb + 1e-4) * (2 * ab + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
        want.append(sum(met) / len(met))
    found = similarity.structural_similarity(IMAGES, torch.from_numpy(y))
    assert found.numpy() == pytest.approx(np.array(want), rel=1e-9)
    assert found[0] != found[1]


def test_structural_similarity_of_constant_images_by_hand() -> None:
    x, y = torch.full((1, 1, 11, 11), 0.02), torch.full((1, 1, 11, 11), 0.05)
    # without variance the second factor is 1: (2 0.02 0.05 + 1e-4) / (0.0004 + 0.0025 + 1e-4)
    found = similarity.structural_similarity(x, y)
    assert found.tolist() == pytest.approx([0.0021 / 0.003], rel=1e-6)
    assert found.dtype == torch.float64


def test_peak_signal_to_noise_is_over_all_images_together() -> None:
    x, y = rows([0.0, 0.5], [1.0, 0.25]), rows([0.1, 0.5], [0.7, 0.25])
    assert similarity.peak_signal_to_noise(x, y) == pytest.approx(-10 * math.log10(0.1 / 4))
    tiny = torch.full((4,), 1e-5)  # a mean square of 1e-10
    assert similarity.peak_signal_to_noise(torch.ones(4).double() + tiny, torch.ones(4)) == pytest.approx(100, rel=1e-6)
    assert similarity.peak_signal_to_noise(x, x) == math.inf
    assert similarity.peak_signal_to_noise(torch.zeros(2), torch.full((2,), 2.0)) == pytest.approx(-6.0206, abs=1e-4)


# ---- codes


def test_matchings_with_more_labels_than_categories_and_fewer() -> None:
    categories, labels = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([3, 3, 1, 3, 0, 0])
    assert codes.matching(categories, labels, 2).tolist() == [3, 0]
    wide = codes.matching(torch.tensor([4, 4, 2, 2, 2, 0]), torch.tensor([0, 0, 1, 1, 0, 0]), 5)
    assert wide.tolist() == [-1, -1, 1, -1, 0]
    # greedily 0 -> 0 (3 right) leaves 1 -> 1 (0 right); the best is 0 -> 1 and 1 -> 0, 2 + 2
    crossed = codes.matching(torch.tensor([0, 0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 0, 0]), 2)
    assert crossed.tolist() == [1, 0]
    assert codes.matching(torch.tensor([1]), torch.tensor([0]), 2).tolist() == [-1, 0]


def test_code_error_counts_the_points_that_are_wrong() -> None:
    stands = torch.tensor([2, -1, 0])
    categories, labels = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([2, 1, 0, 0, 0])
    assert codes.code_error(categories, labels, stands) == pytest.approx(2 / 5)
    assert codes.code_error(categories[:1], labels[:1], stands) == 0


def test_code_bounds_by_hand() -> None:
    prior = Codes(9, categorical=(3, 2), uniform=1, gaussian=1, std=0.3)
    c = [[0, 1, 0, 0, 1, 0.5, -1.25], [0, 0, 1, 1, 0, -0.75, 2.0], [1, 0, 0, 0, 1, 0.25, 0.5]]
    a = [[0.5, 2.0, -1.0, 0.25, 1.5, 0.75, -1.0], [1.0, 0.5, 0.0, 2.0, -1.0, -0.5, 1.0], [3, 1, 2, -0.5, -1, 0.5, 1.5]]
    z = torch.cat([torch.full((3, 2), 7.0), torch.tensor(c)], dim=1)

    def log_q(answers: list[float], code: list[float]) -> float:
        return sum(w * u for w, u in zip(code, answers, strict=True)) - math.log(sum(map(math.exp, answers)))

    first = sum(log_q(u[:3], v[:3]) for u, v in zip(a, c, strict=True)) / 3 + math.log(3)
    second = sum(log_q(u[3:5], v[3:5]) for u, v in zip(a, c, strict=True)) / 3 + math.log(2)
    widths = [sum((u[j] - v[j]) ** 2 for u, v in zip(a, c, strict=True)) / 3 for j in (5, 6)]
    third, fourth = (-0.5 * math.log(2 * math.pi * s) - 0.5 for s in widths)  # E[log N] at s^2 = mean (c - a)^2
    want = [first, second, third + math.log(2), fourth + 0.5 * math.log(2 * math.pi * math.e)]
    found = codes.code_bounds(prior, torch.tensor(a), z)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(want, rel=1e-6)


def test_code_bounds_without_continuous_codes_and_without_categories() -> None:
    kinds = Codes(3, categorical=(2,), uniform=0)
    z = torch.tensor([[9.0, 0.0, 1.0], [9.0, 1.0, 0.0]])
    found = codes.code_bounds(kinds, torch.tensor([[0.0, 1.0], [0.0, 3.0]]), z)
    want = math.log(2) - (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2
    assert found.tolist() == pytest.approx([want], rel=1e-6)
    lines = Codes(2, categorical=(), uniform=1)
    found = codes.code_bounds(lines, torch.tensor([[0.5], [0.0]]), torch.tensor([[9.0, 0.25], [9.0, 0.5]]))
    assert found.tolist() == pytest.approx([math.log(2) - 0.5 * math.log(2 * math.pi * math.e * 0.15625)], rel=1e-6)
