"""Numbers of metrics and tasks that were biased or depended on what they should not: each against a case by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import interalia
from interalia import tasks
from interalia.conditionals import Chain, Deterministic, Gaussian, Implicit, StandardNormal
from interalia.data.dataset import Dataset, Split
from interalia.data.objects import as_dataset
from interalia.errors import UserError
from interalia.games import ALI, GAN
from interalia.metrics import REGISTRY, definitions, health, verdicts
from interalia.metrics.distances import kernel_distance
from interalia.metrics.evidence import Evidence, Points, _matching_train_points
from interalia.metrics.extractors import Identity, extractor_for
from interalia.metrics.likelihood import GRID, cross_validated_bandwidth, held_out_bandwidth, log_densities
from interalia.networks.mlp import MLP, PairCritic
from interalia.reports import closeups, drawing, measuring, plots, showing
from interalia.runs import building
from interalia.runs.folder import Folder
from interalia.spaces import DataSpec
from interalia.tasks.inference import without_noise


class Conditional(nn.Module):
    """What an `Evidence` reads of a game that is conditional on labels."""

    def __init__(self, labels):
        super().__init__()
        self.data = DataSpec((2,), labels, names=tuple(map(str, range(labels))))


def clusters(count, labels):
    """Points at one place for each label, in a random order."""
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 5.0]], dtype=np.float32)[:labels]
    random = np.random.default_rng(0)
    parts = [random.permutation(np.arange(count) % labels) for _ in range(3)]
    return Dataset("places", *(Split(places[y], y) for y in parts), classes=tuple(map(str, range(labels))))


def test_the_kernel_distance_of_real_data_with_equal_labels_is_unbiased():
    """Points of equal labels are equal here, so that both sets have one distribution: the distance is 0, and not below."""
    data = clusters(12, 3)
    e = Evidence(Conditional(3), data, extractor=Identity(2))
    e.comparisons = {"x": e.comparison(e.held_out, e.x, data, e.extractor)}
    assert kernel_distance(e.x, e.comparisons["x"].train_features) < -1  # as if they were independent
    assert definitions.kernel_real_vs_real(e)[0] == pytest.approx(0, abs=1e-12)


def test_training_points_have_the_label_of_the_held_out_point_in_their_row():
    data = clusters(30, 3)
    y = torch.from_numpy(data.test.y)
    points = Points(torch.from_numpy(data.test.x), y, y)
    assert torch.equal(_matching_train_points(Conditional(3), data, points, 4), points.x)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_not_all_generators_take_is_refused(seed):
    with pytest.raises(UserError, match=f"`seed` is {seed}, out of its range"):
        Evidence(Conditional(3), clusters(12, 3), seed=seed)


@pytest.mark.parametrize("kind", ["standard", "min-max"])
def test_only_images_in_0_to_1_have_a_signal_to_noise_ratio_and_inception_features(kind, monkeypatch, tmp_path):
    x = np.random.default_rng(0).integers(0, 40_000, (60, 1, 8, 8)).astype(np.uint16)
    data = as_dataset(x, scale=kind)
    game = building.build_for(interalia.Run(steps=1), data)
    standard = kind == "standard"
    e = Evidence(game, data)
    assert (REGISTRY["psnr"].missing_need(e) is None) != standard
    assert ("PSNR" in showing.reconstruction_errors(game, e.x, tasks.to_units(game, e.x))) != standard
    if standard:
        with pytest.raises(UserError, match="standardized"):
            extractor_for(data, kind="inception")
    drawn = []
    monkeypatch.setattr(plots, "grid", lambda images, path: drawn.append(images))
    monkeypatch.setattr(closeups.tasks, "generate", lambda *_: torch.zeros(64, 1, 8, 8))
    closeups.draw_progress(game, data, tmp_path / "x.png")
    assert float(drawn[0].max()) == (0.5 if standard else 0.0)  # the mean is gray


@pytest.mark.parametrize("unit", [1e-4, 1e-2, 1.0, 7.0, 1e5])
def test_the_bandwidth_scales_with_the_unit_of_the_data(unit):
    """A grid that ends would choose its edge: a density many nats too low, as of standardized or unscaled vectors."""
    random = torch.Generator().manual_seed(0)
    c, x = torch.randn(200, 3, generator=random), torch.randn(50, 3, generator=random)
    best = held_out_bandwidth(c * unit, x * unit)
    assert best == pytest.approx(unit * held_out_bandwidth(c, x), rel=0.06)  # to a step of the grid
    below, here, above = log_densities(x * unit, c * unit, [best / 1.06, best, best * 1.06]).mean(1).tolist()
    assert here > max(below, above) - 1e-3
    assert cross_validated_bandwidth(c * unit) == pytest.approx(unit * cross_validated_bandwidth(c), rel=0.06)


def test_points_that_are_copies_of_samples_have_the_narrowest_bandwidth():
    assert held_out_bandwidth(torch.ones(9, 4), torch.ones(5, 4)) == GRID[0]
    assert held_out_bandwidth(torch.zeros(9, 2), torch.full((5, 2), 3.0), GRID) == GRID[-1]  # a grid that is given ends


@pytest.mark.parametrize(
    ("scale", "nats"), [("standard(per='channel')", None), ("standard(per='all')", None), ("none", 0)]
)
def test_a_log_density_of_scaled_numbers_is_told_in_own_units_too(scale, nats):
    """By a Gaussian fitted to the data in either units, whose log densities differ by the Jacobian."""
    x = np.random.default_rng(0).normal(size=(50, 3)) * [4.0, 7.0, 90.0] + 500
    data = as_dataset(x.astype(np.float32), scale=scale)

    def log_density(rows):
        normal = torch.distributions.MultivariateNormal(
            torch.from_numpy(rows.mean(0)), torch.from_numpy(np.cov(rows.T))
        )
        return float(normal.log_prob(torch.from_numpy(rows)).mean())

    y = data.train.x.astype(np.float64)
    own = y if data.units is None else data.units.invert(data.train.x).astype(np.float64)
    lower = log_density(y) - log_density(own)
    note = measuring.density_note(data)
    assert (note == "") == (nats == 0)
    if note:
        assert float(note.split()[-3]) == pytest.approx(lower, abs=0.02)
        assert note.endswith("nats lower")


def test_a_log_density_of_quantiles_has_no_constant_in_own_units():
    data = as_dataset(np.random.default_rng(0).normal(size=(50, 3)), scale="quantile")
    assert measuring.density_note(data).startswith("; density of the numbers scaled by quantiles")


def test_diagnoses_do_not_depend_on_the_order_of_the_validation_split():
    """Of 2,000 held-out examples in the order of two classes the first 1,000 are one class, and a perfect model has two."""
    y = np.repeat([0, 1], 1000)
    random = np.random.default_rng(0)
    sets = [Split((np.eye(2)[y] * 9 + random.normal(size=(2000, 2))).astype(np.float32), y) for _ in range(2)]
    data = Dataset("in order", sets[0], sets[1], sets[1])
    game = GAN(Deterministic(Perfect()), PairCritic(MLP(2, 1)), StandardNormal(3))
    game.data = DataSpec((2,))
    found = health.game_diagnostics(game, data, Identity(2))
    assert found["overlap"] > 0.8
    assert not verdicts.violated_rules({name: found[name] for name in ("examples", "coverage", "spread", "overlap")})


class Perfect(nn.Module):
    """A generator whose samples are as the data of the test above: z decides on the class and the noise."""

    def __init__(self):
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, z):
        return z[:, 1:] + 9 * nn.functional.one_hot((z[:, 0] > 0).long(), 2) + self.zero


def test_the_plane_of_latents_has_the_prior_of_the_game(monkeypatch, tmp_path):
    data = clusters(40, 3)
    game = building.build_for(interalia.Run(game="ali", latent_dim=2, prior="uniform", networks="mlp"), data)
    shown = {}
    monkeypatch.setattr(plots, "scatter", lambda real, made, path, means, z, x_hat, prior: shown.update(prior=prior))
    trained = SimpleNamespace(game=game, run=SimpleNamespace(latent_dim=2), folder=Folder(tmp_path))
    drawing.draw(trained, data)
    assert shown["prior"].shape == (40, 2)
    assert 0.8 < float(shown["prior"].abs().max()) <= 1  # a N(0, I) would be drawn beyond


def test_neighbours_are_the_nearest_in_latents_far_from_zero():
    """In float32 the rounding error of the squared distance is about 30 here, and the distance of the neighbours 1e-2."""
    z = 1e4 + torch.arange(60.0)[:, None] / 8
    game = SimpleEncoder()
    found = tasks.neighbours(game, z, z, 3)
    assert found[:, 0].tolist() == list(range(60))
    assert found[1:-1, 1:].sort(dim=1).values.tolist() == [[i - 1, i + 1] for i in range(1, 59)]


class SimpleEncoder(ALI):
    """A game whose inferred latent is x itself."""

    def __init__(self):
        super().__init__(
            Deterministic(nn.Identity()), Deterministic(MLP(1, 1)), PairCritic(MLP(2, 1)), StandardNormal(1)
        )
        self.data = DataSpec((1,))


@pytest.mark.parametrize(("count", "draws"), [(251, 2), (63, 4), (3, 5)])
def test_a_deterministic_encoder_has_no_spread_at_all(count, draws):
    """Its outputs differ by rounding between batches of different sizes, and the last batch is smaller."""
    game = building.build_for(interalia.Run(encoder="deterministic", latent_dim=8, networks="mlp"), clusters(40, 3))
    x = torch.rand(count, 2, generator=torch.Generator().manual_seed(0))
    z, std, samples = tasks.posterior(game, x, draws)
    assert not std.any()
    assert samples.shape == (draws, count, 8)
    assert torch.equal(samples[-1], z)


def test_which_conditionals_are_without_noise():
    fixed, noisy = Deterministic(nn.Identity()), Gaussian(nn.Identity())
    for conditional, known in (
        (fixed, True),
        (noisy, False),
        (Implicit(nn.Identity(), noise=0), True),
        (Implicit(nn.Identity(), noise=2), False),
        (Chain(fixed, fixed), True),
        (Chain(noisy, fixed), False),
        (Chain(fixed, noisy), False),
    ):
        assert without_noise(conditional) == known


@pytest.mark.parametrize(("labels", "share"), [((-1, -1, -1), None), ((-1, 0, 1), "50.0 %"), ((0, 0, 0), "100.0 %")])
def test_neighbours_without_a_label_do_not_count(labels, share):
    x = np.arange(3, dtype=np.float32)[:, None]
    part, held = Split(x, np.array(labels)), Split(x, np.zeros(3, np.int64))
    data = Dataset("few", part, held, held, classes=("a", "b"))
    found = tasks.verbs.neighbours(SimpleEncoder(), torch.zeros(1, 1), lambda: data, labels=[0], nearest=3)
    assert found.text.partition("neighbors with the same label: ")[2] == (share or "")
