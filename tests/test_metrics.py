"""The metrics room: closed forms, agreement with torchmetrics, and whole evaluations of small games."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import interalia
from interalia import data, metrics, tasks
from interalia.conditionals import Deterministic, StandardNormal
from interalia.data.dataset import Dataset, Mixture, Split
from interalia.data.store import as_tensor
from interalia.errors import UserError
from interalia.games import GAN
from interalia.metrics import coverage, distances, inference
from interalia.metrics.classifier import Classifier, Network
from interalia.metrics.evaluation import evaluate
from interalia.metrics.extractors import (
    FileFeatures,
    Identity,
    Inception,
    RandomConvolutions,
    _bytes_rgb,
    extractor_for,
)
from interalia.networks.mlp import MLP, PairCritic
from interalia.runs import loading, recipes
from interalia.spaces import DataSpec

GRID = Mixture(np.array([(a, b) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)], dtype=np.float32), 0.05)
SHARED = Path(__file__).parents[2] / "shared" / "data"


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(d: int, rank: int, seed: int) -> Tensor:
    factor = normal(d, rank, seed)
    return factor @ factor.T / rank


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERALIA_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def classifier(digits, cache) -> Classifier:
    return Classifier.for_dataset(digits)


# --- Frechet distance


@pytest.mark.parametrize("d", [1, 3, 20])
def test_frechet_of_commuting_gaussians(d):
    a, b = torch.rand(d, dtype=torch.float64) + 0.1, torch.rand(d, dtype=torch.float64) + 0.1
    basis = torch.linalg.qr(normal(d, d)).Q  # any common basis
    mu1, mu2 = normal(d, 1, 1)[:, 0], normal(d, 1, 2)[:, 0]
    got = distances.frechet(mu1, basis @ a.diag() @ basis.T, mu2, basis @ b.diag() @ basis.T)
    assert got == pytest.approx(float((mu1 - mu2).square().sum() + (a.sqrt() - b.sqrt()).square().sum()), abs=1e-10)


def test_frechet_agrees_with_the_matrix_root():
    from scipy.linalg import sqrtm

    s1, s2, mu = covariance(12, 30, 1), covariance(12, 40, 2), torch.zeros(12)
    want = float(s1.trace() + s2.trace()) - 2 * np.trace(sqrtm((s1 @ s2).numpy())).real
    assert distances.frechet(mu, s1, mu, s2) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("rank", [1, 5])
def test_frechet_with_singular_covariances(rank):
    sigma, mu = covariance(40, rank, 3), torch.zeros(40)
    assert distances.frechet(mu, sigma, mu, sigma) == pytest.approx(0, abs=1e-10)
    assert distances.frechet(mu, sigma, mu, 4 * sigma) == pytest.approx(float(sigma.trace()), rel=1e-10)  # (2 - 1)^2 tr
    assert distances.frechet(mu, sigma, mu, torch.zeros_like(sigma)) == pytest.approx(float(sigma.trace()), rel=1e-10)


def test_frechet_is_symmetric_and_sees_rotations_only_in_both():
    s1, s2, mu1, mu2 = covariance(6, 9, 1), covariance(6, 9, 2), normal(6, 1, 3)[:, 0], normal(6, 1, 4)[:, 0]
    q = torch.linalg.qr(normal(6, 6, 5)).Q
    value = distances.frechet(mu1, s1, mu2, s2)
    assert distances.frechet(mu2, s2, mu1, s1) == pytest.approx(value, rel=1e-12)
    assert distances.frechet(q @ mu1, q @ s1 @ q.T, q @ mu2, q @ s2 @ q.T) == pytest.approx(value, rel=1e-10)


def test_frechet_distance_of_few_identical_samples_is_zero():
    a = normal(10, 64).float()  # fewer samples than features
    assert distances.frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-9)


class Features(nn.Module):
    """Hands torchmetrics the features that it is given in place of images."""

    num_features = 8

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def test_agreement_with_torchmetrics():
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    a, b = normal(300, 8, 1).float(), (1.3 * normal(300, 8, 2) + 0.2).float()
    frechet = FrechetInceptionDistance(feature=Features())
    kernel = KernelInceptionDistance(feature=Features(), subsets=1, subset_size=300)
    for metric in (frechet, kernel):
        metric.update(a[:, :, None, None], real=True)
        metric.update(b[:, :, None, None], real=False)
    assert distances.frechet_distance(a, b) == pytest.approx(float(frechet.compute()), rel=1e-5)
    assert distances.kernel_distance(a, b) == pytest.approx(float(kernel.compute()[0]), rel=1e-4)


# --- kernel distances


def test_kernel_distance_is_unbiased():
    values = [distances.kernel_distance(normal(60, 5, 2 * i), normal(60, 5, 2 * i + 1)) for i in range(200)]
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert min(values) < 0 < max(values)  # a biased estimate would be positive throughout


def test_kernel_distance_of_point_masses():
    # E k(a, a') + E k(b, b') - 2 E k(a, b) = 1 + 8 - 2, with k(x, y) = (x.y / d + 1)^3 at x = 0 and y = 1
    assert distances.kernel_distance(torch.zeros(5, 3), torch.ones(5, 3)) == pytest.approx(7)


def test_kernel_distance_of_subsets_estimates_that_of_all():
    a, b = normal(2000, 4, 1), normal(2000, 4, 2) + 0.5
    whole = distances.kernel_distance(a, b, subset_size=2000)
    parts = distances.kernel_distance(a, b, subsets=50, subset_size=400, seed=3)
    assert parts == pytest.approx(whole, rel=0.05)
    assert parts == distances.kernel_distance(a, b, subsets=50, subset_size=400, seed=3)
    assert parts != distances.kernel_distance(a, b, subsets=50, subset_size=400, seed=4)


def test_maximum_mean_discrepancy_of_gaussians():
    # a, b ~ N(0, I), N(m, I): E k = (s^2 / (s^2 + 2))^(d/2) exp(-|m|^2 / (2 (s^2 + 2))) for bandwidth s
    d, s, shift = 3, 1.5, 1.0
    base = (s**2 / (s**2 + 2)) ** (d / 2)
    want = 2 * base * (1 - math.exp(-(d * shift**2) / (2 * (s**2 + 2))))
    got = distances.maximum_mean_discrepancy(normal(3000, d, 1), normal(3000, d, 2) + shift, s)
    assert got == pytest.approx(want, rel=0.03)
    assert abs(distances.maximum_mean_discrepancy(normal(3000, d, 3), normal(3000, d, 4), s)) < 1e-3


# --- inception score


@pytest.mark.parametrize("classes", [2, 10])
def test_inception_score_is_between_one_and_the_classes(classes):
    balanced = torch.eye(classes).repeat(50, 1)
    assert distances.inception_score(balanced) == pytest.approx(classes)
    assert distances.inception_score(torch.full((100, classes), 1 / classes)) == pytest.approx(1)
    assert distances.inception_score(torch.eye(classes)[torch.zeros(100, dtype=torch.int64)]) == pytest.approx(1)


def test_inception_score_of_splits_is_their_mean():
    p = normal(40, 3).softmax(1)
    want = (distances.inception_score(p[:20], 1) + distances.inception_score(p[20:], 1)) / 2
    assert distances.inception_score(p, 2) == pytest.approx(want)


# --- precision, recall, density, coverage


def by_hand(real: Tensor, fake: Tensor, k: int) -> list[float]:
    """The four definitions, point by point."""

    def radius(x: Tensor, i: int) -> float:
        return sorted(float((x[i] - x[j]).norm()) for j in range(len(x)) if j != i)[k - 1]

    def inside(centres: Tensor, points: Tensor) -> np.ndarray:
        return np.array([[float((c - p).norm()) <= radius(centres, i) for p in points] for i, c in enumerate(centres)])

    in_real, in_fake = inside(real, fake), inside(fake, real)
    return [in_real.any(0).mean(), in_fake.any(0).mean(), in_real.sum(0).mean() / k, in_real.any(1).mean()]


@pytest.mark.parametrize("chunk", [1000, 7])
def test_neighbourhoods_agree_with_their_definitions(monkeypatch, chunk):
    monkeypatch.setattr(coverage, "CHUNK", chunk)
    real, fake = normal(30, 2, 1), 0.7 * normal(25, 2, 2) + 0.5
    found = coverage.precision_recall_density_coverage(real, fake, k=3)
    assert list(asdict(found).values()) == pytest.approx(by_hand(real, fake, 3))


HARD = {
    "far from the origin": lambda: (normal(60, 8, 1) + 1e4, normal(50, 8, 2) + 1e4),
    "nearly one point": lambda: (normal(60, 8, 1), 1e-7 * normal(50, 8, 2)),
    "an outlier": lambda: (torch.cat([normal(60, 8, 1), torch.full((1, 8), 1e12)]), normal(50, 8, 2)),
    "great": lambda: (1e25 * normal(60, 8, 1), 1e25 * normal(50, 8, 2)),
    "small": lambda: (1e-30 * normal(60, 8, 1), 1e-30 * normal(50, 8, 2)),
    "ties": lambda: (normal(60, 3, 1).round(), normal(50, 3, 2).round()),
    "copies": lambda: (normal(60, 8, 1), normal(60, 8, 1)[::2].repeat(2, 1)),
    "one point": lambda: (torch.ones(60, 8), torch.ones(50, 8)),
    "one column": lambda: (normal(60, 1, 1), normal(50, 1, 2)),
}


@pytest.mark.parametrize("precision", ["highest", "medium"])
@pytest.mark.parametrize("data", HARD)
def test_neighbourhoods_are_those_of_float64_where_float32_cannot_tell(data, precision, monkeypatch):
    monkeypatch.setattr(coverage, "CHUNK", 23)
    real, fake = (x.double() for x in HARD[data]())
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        found = coverage.precision_recall_density_coverage(real, fake, k=3)
    finally:
        torch.set_float32_matmul_precision(before)

    def distances(a, b):
        return (a[:, None] - b).square().sum(2).sqrt()

    radii = [distances(x, x).fill_diagonal_(torch.inf).sort(1).values[:, 2] for x in (real, fake)]
    inside, recalled = distances(real, fake) <= radii[0][:, None], distances(real, fake) <= radii[1]
    shares = [inside.any(0), recalled.any(1), inside.sum(0) / 3, inside.any(1)]
    assert list(asdict(found).values()) == pytest.approx([float(share.double().mean()) for share in shares])


def test_identical_sets_cover_each_other():
    a = normal(400, 16)
    found = coverage.precision_recall_density_coverage(a, a)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_equal_distributions_have_density_one_and_the_expected_coverage():
    found = coverage.precision_recall_density_coverage(normal(2000, 4, 1), normal(2000, 4, 2), k=5)
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 0.5**5, abs=0.02)  # 1 - (m choose k) / (2m choose k), nearly 1 - 2^-k


def test_a_collapsed_model_is_precise_and_covers_nothing():
    found = coverage.precision_recall_density_coverage(normal(500, 2, 1), 0.001 * normal(500, 2, 2))
    assert found.precision == 1
    assert found.recall < 0.05
    assert found.coverage < 0.1


# --- mixtures


def test_a_perfect_sampler_of_the_grid():
    random = np.random.default_rng(0)
    x = torch.from_numpy(GRID.means[random.integers(0, 25, 40_000)] + 0.05 * random.standard_normal((40_000, 2)))
    found = coverage.mixture_coverage(x, GRID)
    assert (found.modes, found.modes_assigned) == (25, 25)
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.002)  # 98.89 %
    assert 0 <= found.reverse_kl < 0.001  # its expectation is (25 - 1) / (2 n)
    assert sum(found.histogram) == 40_000


@pytest.mark.parametrize("kept", [1, 10, 24])
def test_dropped_modes_are_counted(kept):
    x = torch.from_numpy(np.repeat(GRID.means[:kept], 40, axis=0))
    found = coverage.mixture_coverage(x, GRID)
    assert (found.modes, found.modes_assigned, found.high_quality) == (kept, kept, 1)
    assert found.reverse_kl == pytest.approx(math.log(25 / kept))


def test_a_mode_counts_only_with_a_sample_of_high_quality():
    x = torch.from_numpy(GRID.means + np.array([0.1501, 0.0], dtype=np.float32))
    found = coverage.mixture_coverage(x, GRID)
    assert (found.modes, found.modes_assigned, found.high_quality) == (0, 25, 0)
    assert found.reverse_kl == pytest.approx(0)
    assert coverage.mixture_coverage(x, GRID, k_std=3.1).modes == 25


# --- reconstruction


def test_perfect_reconstructions_have_ratio_zero():
    x = normal(50, 6)
    found = inference.reconstruction(x, x)
    assert (found.error, found.ratio, found.mse, found.psnr) == (0, 0, 0, math.inf)
    assert found.mismatched > 0


def test_constant_reconstructions_have_ratio_one():
    x = torch.rand(2500, 1, 4, 5, generator=torch.Generator().manual_seed(0))  # more than one chunk
    found = inference.reconstruction(x, x.mean(0, keepdim=True).expand_as(x))
    assert found.ratio == pytest.approx(1, abs=1e-12)
    assert found.mse == pytest.approx(1 / 12, rel=0.02)  # the variance of U(0, 1)
    assert found.psnr == pytest.approx(10 * math.log10(12), abs=0.1)


@pytest.mark.parametrize("n", [2, 3, 17])
def test_no_input_meets_its_own_reconstruction(n):
    for seed in range(20):
        x = torch.eye(n) * 3
        assert inference.reconstruction(x, x, seed).mismatched == pytest.approx(3 * math.sqrt(2))  # any other: 3 sqrt 2


def test_reconstruction_error_is_the_mean_norm():
    x = torch.zeros(2, 2)
    found = inference.reconstruction(x, torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    assert (found.error, found.mismatched, found.mse) == (3, 3, 26 / 4)


# --- probes


def clusters(n: int, seed: int) -> tuple[Tensor, Tensor]:
    y = torch.arange(n) % 4
    return 10 * torch.eye(4)[y] + 100 + 0.5 * normal(n, 4, seed).float(), y


def test_nearest_neighbour_is_exact_on_separable_data():
    assert inference.nearest_neighbour_accuracy(*clusters(200, 1), *clusters(1500, 2)) == 1


def test_nearest_neighbour_agrees_with_scikit_learn():
    from sklearn.neighbors import KNeighborsClassifier

    a, b = normal(300, 6, 1).float() + 50, normal(1200, 6, 2).float() + 50  # far from the origin: rounding would show
    ya, yb = (a[:, 0] > 50).long(), (b[:, 0] > 50).long()
    want = KNeighborsClassifier(1).fit(a.numpy(), ya.numpy()).score(b.numpy(), yb.numpy())
    assert inference.nearest_neighbour_accuracy(a, ya, b, yb) == pytest.approx(want, abs=1e-9)


def test_linear_probe_reads_what_is_linear_and_nothing_else():
    a, b = normal(600, 4, 1).float(), normal(600, 4, 2).float()
    linear = [(x @ torch.tensor([1.0, -2.0, 0.5, 0.0]) > 0).long() for x in (a, b)]
    parity = [(x[:, 0] * x[:, 1] > 0).long() for x in (a, b)]
    scale = torch.tensor([1e3, 1.0, 1e-3, 0.0])  # standardised away; the last feature never changes
    assert inference.linear_probe_accuracy(a * scale, linear[0], b * scale, linear[1]) > 0.97
    assert inference.linear_probe_accuracy(a, parity[0], b, parity[1]) < 0.6


def test_linear_probe_of_few_points():
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    assert inference.linear_probe_accuracy(x, y, x, y) == 1


# --- aggregate posterior


def test_posterior_moments_of_known_gaussians():
    z = normal(100, 3)
    z = (z - z.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(z.T))).T  # mean 0, covariance I, exactly
    bias = inference.expected_kl(100, 3)
    found = list(asdict(inference.posterior_moments(z)).values())
    assert found == pytest.approx([0, 1, 1, 1, 0, -bias, inference.kl_error(100, 3)], abs=1e-9)
    stretched = z * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([2.0, 0.0, 0.0])
    found = inference.posterior_moments(stretched)
    assert found.mean_norm == pytest.approx(2)
    assert (found.variance, found.variance_min, found.variance_max) == pytest.approx((14 / 3, 1, 9))
    assert found.covariance_distance == pytest.approx(math.hypot(3, 8))
    assert found.kl == pytest.approx((0 + 3 + 8 + 4 - math.log(4 * 9)) / 2 - bias)
    scaled = inference.posterior_moments(5 + math.sqrt(1 / 3) * z, prior_mean=5, prior_variance=1 / 3)
    assert (scaled.mean_norm, scaled.covariance_distance, scaled.kl) == pytest.approx((0, 0, -bias), abs=1e-9)


def test_posterior_moments_of_a_collapsed_encoder_are_finite():
    found = inference.posterior_moments(torch.zeros(10, 4))
    assert found.variance_max == 0
    assert 10 < found.kl < 100


# --- feature extractors


def test_classifier_reads_digits(digits, classifier):
    assert classifier.accuracy > 0.97
    test = classifier.probabilities(as_tensor(digits.test.x))
    assert float((test.argmax(1) == torch.from_numpy(digits.test.y)).double().mean()) > 0.97
    assert test.sum(1) == pytest.approx(np.ones(len(test)), abs=1e-5)
    assert "digits" in classifier.name
    assert f"{classifier.accuracy:.4f}" in classifier.name
    features = classifier(as_tensor(digits.test.x))
    assert (features.shape, features.dtype) == ((300, 128), torch.float32)


@pytest.fixture(scope="module")
def hasty(digits, tmp_path_factory):
    """A classifier of a few steps, and the folder that it is kept in."""
    folder = tmp_path_factory.mktemp("hasty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERALIA_CACHE", str(folder))
        patch.setattr("interalia.metrics.classifier.SEEN", 1_000)
        made = Classifier.for_dataset(digits)
    return made, folder


@pytest.fixture
def other_cache(hasty, tmp_path, monkeypatch):
    """A cache of one's own, for classifiers of as few steps."""
    monkeypatch.setenv("INTERALIA_CACHE", str(tmp_path))
    monkeypatch.setattr("interalia.metrics.classifier.SEEN", 1_000)
    return tmp_path


def test_classifier_is_reused_from_the_cache(digits, hasty, monkeypatch):
    classifier, cache = hasty
    monkeypatch.setenv("INTERALIA_CACHE", str(cache))
    (path,) = (cache / "classifiers").iterdir()
    written = path.stat().st_mtime_ns
    again = Classifier.for_dataset(digits)
    assert path.stat().st_mtime_ns == written
    assert again.name == classifier.name
    x = as_tensor(digits.test.x)
    assert torch.equal(again(x), classifier(x))


def test_classifier_training_is_deterministic_and_leaves_the_random_state(digits, hasty, other_cache):
    classifier, _ = hasty
    torch.manual_seed(5)
    before = torch.get_rng_state()
    start = time.process_time()
    again = Classifier.for_dataset(digits)
    assert time.process_time() - start < 30
    assert torch.equal(torch.get_rng_state(), before)
    assert again.name == classifier.name  # which holds the weights' fingerprint


def test_a_damaged_cache_is_trained_again(digits, hasty, other_cache):
    classifier, cache = hasty
    (whole,) = (cache / "classifiers").iterdir()
    damaged = other_cache / "classifiers" / whole.name
    damaged.parent.mkdir()
    damaged.write_bytes(whole.read_bytes()[:2000])
    assert Classifier.for_dataset(digits).name == classifier.name
    assert damaged.stat().st_size == whole.stat().st_size
    assert list(damaged.parent.iterdir()) == [damaged]  # nothing unfinished is left


def test_an_unwritable_cache_costs_the_training_only(digits, hasty, other_cache, monkeypatch):
    classifier, _ = hasty
    file = other_cache / "file"
    file.write_text("in the way")
    monkeypatch.setenv("INTERALIA_CACHE", str(file))
    with pytest.warns(UserWarning, match="could not be saved"):
        again = Classifier.for_dataset(digits)
    assert again.name == classifier.name


def test_other_data_or_seeds_do_not_share_a_classifier(digits, hasty, other_cache):
    classifier, _ = hasty
    flipped = replace(digits, train=Split(digits.train.x, digits.train.y[::-1].copy()))
    assert Classifier.for_dataset(digits, seed=1).name != classifier.name
    assert Classifier.for_dataset(flipped).accuracy < 0.5  # labels that mean nothing
    assert len(list((other_cache / "classifiers").iterdir())) == 2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 128, 128), (4, 33, 17), (3, 8, 128), (1, 28, 28)])
def test_extractors_take_any_shape(shape):
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    assert Network(shape, 7).eval()(x).shape == (3, 7)
    random = RandomConvolutions.for_shape(shape)
    features = random(x)
    assert features.isfinite().all()
    assert features.std() > 0.01
    assert f"{features.shape[1]} features" in random.name
    assert torch.equal(features, RandomConvolutions.for_shape(shape)(x))
    assert not torch.equal(features, RandomConvolutions.for_shape(shape, seed=1)(x))


def test_random_convolutions_tell_digits_apart(digits):
    extractor = extractor_for(digits, kind="random")
    a, b = extractor(as_tensor(digits.train.x)), extractor(as_tensor(digits.test.x))
    labels = torch.from_numpy(digits.train.y), torch.from_numpy(digits.test.y)
    assert inference.nearest_neighbour_accuracy(a, labels[0], b, labels[1]) > 0.9
    noise = extractor(torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert distances.frechet_distance(b, noise) > 10 * distances.frechet_distance(b, a[:300])


def test_the_choice_of_an_extractor(digits, classifier):
    unlabelled = replace(digits, train=Split(digits.train.x))
    vectors = Split(np.zeros((5, 3), dtype=np.float32))
    assert extractor_for(digits).name == classifier.name
    assert isinstance(extractor_for(unlabelled), RandomConvolutions)
    assert extractor_for(unlabelled).probabilities(torch.zeros(2, 1, 8, 8)) is None
    assert extractor_for(Dataset("vectors", vectors, vectors, vectors)) == Identity(3)
    with pytest.raises(UserError, match="no labels"):
        extractor_for(unlabelled, kind="classifier")
    with pytest.raises(UserError, match="'auto'"):
        extractor_for(digits, kind="guess")


def test_inception_is_an_extra(digits):
    try:
        import torch_fidelity  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match=r'pip install "interalia\[inception\]"'):
            extractor_for(digits, kind="inception")
    else:
        pytest.skip("torch-fidelity is installed, and its weights would be downloaded")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_inception_is_given_bytes_in_three_colours(channels):
    x = torch.linspace(0, 1, 4 * channels).reshape(1, channels, 2, 2)
    rgb = _bytes_rgb(x)
    assert (rgb.shape, rgb.dtype) == ((1, 3, 2, 2), torch.uint8)
    assert torch.equal(rgb[:, 0], (x[:, 0] * 255).round().to(torch.uint8))


@pytest.mark.long
@pytest.mark.skipif(not (SHARED / "mnist").exists(), reason="the MNIST files are not there")
def test_classifier_reads_mnist(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERALIA_CACHE", str(tmp_path))
    monkeypatch.setattr("interalia.metrics.classifier.SEEN", 40_000)
    mnist = data.load("mnist", data_dir=SHARED)
    start = time.process_time()
    classifier = Classifier.for_dataset(mnist)
    assert time.process_time() - start < 60
    assert classifier.accuracy > 0.98


# --- evaluate


@pytest.fixture(scope="module")
def game():
    return interalia.build(recipes.ali_digits())


IMAGE_NAMES = {
    name
    for name in metrics.REGISTRY
    if name not in ("modes", "modes_assigned", "high_quality", "reverse_kl")
    and not name.startswith(("fid", "kid"))
    and "in_file" not in name
}
SAMPLE_NAMES = {
    "frechet_distance", "frechet_real_vs_real", "kernel_distance", "inception_score", "inception_score_real",
    "precision", "recall", "density", "coverage",
}  # fmt: skip


# of games that are told labels, recognise codes, or translate
SPECIAL_NAMES = {
    name
    for name in metrics.REGISTRY
    if name.startswith(
        ("classification_", "code_", "cycle_", "label_", "translation_", "frechet_to_", "frechet_untranslated")
    )
}


def test_evaluate_takes_every_measure_of_images(game, digits, classifier):
    found = evaluate(game, digits, extractor=classifier, untrained=game)
    assert [m.name for m in found] == [name for name in metrics.REGISTRY if name in IMAGE_NAMES - SPECIAL_NAMES]
    for m in found:
        metric = metrics.REGISTRY[m.name]
        assert (m.unit, m.better, m.about) == (metric.unit, metric.better, metric.about)
        assert math.isfinite(m.value)
        assert m.protocol
        if m.name in SAMPLE_NAMES:
            assert classifier.name in m.protocol
    values = {m.name: m.value for m in found}
    assert values["knn1_input"] > 0.95
    assert values["knn1_random_init"] == values["knn1_features"]
    assert 0.1 < values["frechet_real_vs_real"] < 10 < values["frechet_distance"]  # the game is not trained
    assert values["inception_score_real"] > 8
    assert values["reconstruction_ratio"] == pytest.approx(1, abs=0.05)
    assert values["reconstruction_ratio"] == values["reconstruction_error"] / values["reconstruction_mismatched"]
    assert values["psnr"] == pytest.approx(-10 * math.log10(values["reconstruction_mse"]))
    json.dumps([asdict(m) for m in found], allow_nan=False)


def test_evaluate_repeats_itself_and_leaves_the_game_alone(game, digits, classifier):
    torch.manual_seed(3)
    state, mode = torch.get_rng_state(), game.training
    first = evaluate(game, digits, extractor=classifier, split="validation", seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert game.training is mode
    assert first == evaluate(game, digits, extractor=classifier, split="validation", seed=4)
    assert first != evaluate(game, digits, extractor=classifier, split="validation", seed=5)


def test_quick_evaluation_is_quick(game, digits, classifier):
    start = time.process_time()
    found = evaluate(game, digits, split="validation", extractor=classifier, quick=True)
    assert time.process_time() - start < 1
    assert [m.name for m in found] == ["reconstruction_ratio", "frechet_distance"]


def test_a_game_without_encoder_gets_what_concerns_samples(digits, classifier):
    gan = interalia.build(recipes.gan_digits())
    assert {m.name for m in evaluate(gan, digits, extractor=classifier)} == SAMPLE_NAMES
    assert [m.name for m in evaluate(gan, digits, extractor=classifier, quick=True)] == ["frechet_distance"]


def test_data_without_labels_get_no_accuracies(game, digits):
    bare = Dataset("bare", *(Split(part.x) for part in (digits.train, digits.validation, digits.test)))
    found = evaluate(game, bare, count=100)
    names = {m.name for m in found}
    assert not {n for n in names if "probe" in n or "neighbour" in n or "inception" in n}
    (frechet,) = [m for m in found if m.name == "frechet_distance"]
    assert "random convolutions" in frechet.protocol
    assert "100 samples" in frechet.protocol


def small_mixture() -> Dataset:
    random = np.random.default_rng(0)
    y = random.integers(0, 25, 3000)
    x = (GRID.means[y] + 0.05 * random.standard_normal((3000, 2))).astype(np.float32)
    parts = [Split(x[i : i + 1000], y[i : i + 1000]) for i in (0, 1000, 2000)]
    return Dataset("small-grid", *parts, mixture=GRID)


def test_evaluate_a_mixture():
    game = interalia.build(recipes.ali_grid25())
    values = {m.name: m.value for m in evaluate(game, small_mixture())}
    inferred = {n for n in metrics.REGISTRY if n.startswith(("reconstruction", "aggregate_posterior", "latent"))}
    assert set(values) == inferred | {"modes", "modes_assigned", "high_quality", "reverse_kl"}
    quick = {m.name for m in evaluate(game, small_mixture(), quick=True)}
    assert quick == {"reconstruction_ratio", "modes", "high_quality", "reverse_kl"}


def test_the_modes_of_a_perfect_game_are_those_of_its_first_2500_samples():
    game = GAN(
        Deterministic(nn.Identity()), PairCritic(MLP(2, 1)), StandardNormal(2)
    )  # x~ = z, and the mixture is the prior
    game.data = DataSpec((2,))
    one = replace(small_mixture(), mixture=Mixture(np.zeros((1, 2), dtype=np.float32), 1.0))
    values = {m.name: m.value for m in evaluate(game, one)}
    samples = tasks.generate(game, 10_000, seed=0)
    assert values["high_quality"] == float((samples[:2500].norm(dim=1) <= 3).double().mean())
    assert values["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert (values["modes"], values["modes_assigned"], values["reverse_kl"]) == (1, 1, 0)


def test_evaluate_vectors_without_a_mixture():
    game = interalia.build(recipes.ali_grid25())
    plain = replace(small_mixture(), mixture=None)
    values = {m.name: m.value for m in evaluate(game, plain, count=300)}
    assert {"frechet_distance", "coverage", "knn1_latent", "aggregate_posterior_kl"} <= set(values)
    assert "psnr" not in values
    assert values["frechet_real_vs_real"] < 0.5 < values["frechet_distance"]


class Pooled(nn.Module):
    """Mean colours of the rows, and of the columns as logits, in place of Inception's network."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.float().mean(3).flatten(1), x.float().mean(2).flatten(1)


class Renamed:
    """The same features under another class."""

    name = "own features"
    inner = Inception(Pooled())

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)

    def probabilities(self, x: torch.Tensor) -> None:
        return None


def test_fid_and_kid_are_distances_in_inceptions_features_alone(game, digits):
    own = {m.name: m.value for m in evaluate(game, digits, count=60, extractor=Renamed())}
    inception = {m.name: m.value for m in evaluate(game, digits, count=60, extractor=Inception(Pooled()))}
    assert {"fid", "kid"}.isdisjoint(own)
    assert {"frechet_distance", "kernel_distance"}.isdisjoint(inception)
    assert (inception["fid"], inception["kid"]) == (own["frechet_distance"], own["kernel_distance"])
    assert inception["fid_real_vs_real"] == own["frechet_real_vs_real"]
    assert "frechet_real_vs_real" not in inception
    with pytest.raises(UserError, match="'fid' is not defined for ALICE on 'digits': it needs Inception features"):
        evaluate(game, digits, names=["fid"], count=60, extractor=Renamed())
    with pytest.raises(UserError, match="with Inception features it is `fid` or `kid`"):
        evaluate(game, digits, names=["frechet_distance"], count=60, extractor=Inception(Pooled()))
    sentence = metrics.REGISTRY["fid"].sentence_for({"fid": 3.5, "fid_real_vs_real": 1.25}, {})
    assert sentence.startswith("The FID between samples and held-out data is 3.5 (lower is better; 1.25 between real")
    sentence = metrics.REGISTRY["frechet_distance"].sentence_for({"frechet_distance": 3.5, "inception_score": 2.0}, {})
    assert sentence.startswith(
        "The Frechet distance (own classifier, not FID) between samples and held-out data is 3.5"
    )


def test_every_name_of_the_catalogue_is_measured_somewhere(game, digits, classifier):
    found = evaluate(game, digits, extractor=classifier, untrained=game)
    found += evaluate(interalia.build(recipes.ali_grid25()), small_mixture(), count=300)
    for run in (
        recipes.cgan_mnist(data="digits"),
        recipes.infogan_mnist(data="digits", latent_dim=16, networks="auto"),
        recipes.cyclegan_mnist(data="digits-inverted", networks="auto(width=4)"),
        interalia.Run(game="semi-ali"),
    ):
        found += evaluate(interalia.build(run), loading.load_dataset(run), count=100)
    found += evaluate(game, digits, count=100, extractor=Inception(Pooled()))
    in_file = FileFeatures(torch.nn.Flatten(), "file", "file.pt2", torch.device("cpu"))
    found += evaluate(game, digits, count=100, extractor=in_file)
    assert {m.name for m in found} == set(metrics.REGISTRY)


def test_the_catalogue_and_the_public_names():
    for metric in metrics.REGISTRY.values():
        assert metric.better in ("lower", "higher", None)
        assert metric.about.endswith(".")
    for name in metrics.__all__:
        assert getattr(metrics, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = metrics.nonsense


def test_the_catalogue_needs_no_torch():
    code = "import sys, interalia.metrics as m; m.REGISTRY; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# --- errors


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: distances.frechet_distance(torch.zeros(5, 3), torch.zeros(5, 4)), "3 and 4 numbers"),
        (lambda: distances.frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3)), "2 or more"),
        (lambda: distances.frechet_distance(torch.full((5, 3), math.nan), torch.zeros(5, 3)), "NaN"),
        (lambda: distances.kernel_distance(torch.zeros(5, 3), torch.zeros(5, 3), subset_size=1), "`subset_size` 1"),
        (lambda: distances.maximum_mean_discrepancy(torch.zeros(5, 3), torch.zeros(5, 3), 0), "`bandwidth` is 0"),
        (lambda: distances.inception_score(torch.ones(5, 1), 6), "`splits` is 6"),
        (lambda: coverage.precision_recall_density_coverage(torch.zeros(5, 3), torch.zeros(9, 3)), "`k` is 5"),
        (lambda: coverage.precision_recall_density_coverage(torch.zeros(9, 3), torch.zeros(9, 4)), "3 and 4 numbers"),
        (lambda: coverage.mixture_coverage(torch.zeros(5, 3), GRID), r"shape \(n, 2\)"),
        (lambda: inference.reconstruction(torch.zeros(5, 3), torch.zeros(5, 4)), "one shape"),
        (lambda: inference.reconstruction(torch.zeros(1, 3), torch.zeros(1, 3)), "at least 2 inputs"),
        (
            lambda: inference.nearest_neighbour_accuracy(
                torch.zeros(5, 3), torch.zeros(4), torch.zeros(5, 3), torch.zeros(5)
            ),
            "one label for each",
        ),
        (
            lambda: inference.linear_probe_accuracy(
                torch.zeros(5, 3), torch.zeros(5), torch.zeros(5, 3), torch.zeros(5)
            ),
            "one class",
        ),
        (lambda: inference.posterior_moments(torch.zeros(1, 3)), "2 or more"),
    ],
)
def test_mistakes_are_explained(call, says):
    with pytest.raises(UserError, match=says):
        call()


def test_mistakes_of_evaluate_are_explained(game, digits, classifier):
    with pytest.raises(UserError, match="`split` is 'tset'"):
        evaluate(game, digits, split="tset", extractor=classifier)
    with pytest.raises(UserError, match="`count` of 2 or more"):
        evaluate(game, digits, count=0, extractor=classifier)
    with pytest.raises(UserError, match="the test split of 'digits' is empty"):
        evaluate(game, replace(digits, test=Split(digits.test.x[:0])), extractor=classifier)
    with pytest.raises(UserError, match=r"built for the shape \(1, 8, 8\)"):
        evaluate(game, small_mixture())


def test_a_classifier_of_attributes_reads_each_for_itself(digits, cache) -> None:  # type: ignore[no-untyped-def]
    bits = {
        part: np.stack([getattr(digits, part).y % 2, getattr(digits, part).y > 4], axis=1).astype(np.int8)
        for part in ("train", "validation", "test")
    }
    told = replace(digits, attributes={"names": np.array(["odd", "large"]), **bits})
    found = Classifier.for_dataset(told, attributes=["odd", "large"])
    x = as_tensor(digits.test.x)
    assert found.accuracy > 0.9
    assert found.name.startswith("classifier of odd, large of digits")
    assert found.probabilities(x).shape == (len(x), 2)
    assert torch.equal(found.predict(x), (found.probabilities(x) > 0.5).long())
    assert (found.predict(x) == torch.from_numpy(bits["test"])).double().mean(0).min() > 0.85
    one = Classifier.for_dataset(told, attributes=["large"])
    assert one.predict(x).shape == (len(x), 1)
    assert torch.equal(
        Classifier.for_dataset(digits).predict(x), Classifier.for_dataset(digits).probabilities(x).argmax(1)
    )
