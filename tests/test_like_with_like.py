"""What is measured is held against data of its own kind: samples of the same labels, draws against draws."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from interalia import data, tasks
from interalia.conditionals import Conditional, Deterministic, Gaussian, StandardNormal
from interalia.conditionals.base import Point
from interalia.data.binarize import binarize
from interalia.data.dataset import Dataset, Mixture, Split
from interalia.data.store import as_tensor
from interalia.errors import UserError
from interalia.games import ALI, GAN, VAE
from interalia.metrics.classifier import Classifier
from interalia.metrics.distances import frechet_distance, kernel_distance
from interalia.metrics.evaluation import evaluate
from interalia.metrics.extractors import Identity, RandomConvolutions
from interalia.metrics.likelihood import kernel_estimate
from interalia.networks.layers import Backbone, Sigmoid
from interalia.networks.mlp import MLP, PairCritic
from interalia.spaces import DataSpec


def vae(likelihood):
    decoder = nn.Sequential(MLP(3, 2), Sigmoid()) if likelihood == "bernoulli" else MLP(3, 2)
    torch.manual_seed(0)
    game = VAE(Gaussian(MLP(2, 6)), Deterministic(decoder), StandardNormal(3), likelihood=likelihood, sigma=0.5)
    game.data = DataSpec((2,))
    return game


def test_a_draw_of_bernoulli_pixels_is_zeros_and_ones_with_the_mean_that_the_decoder_tells():
    game = vae("bernoulli")
    z = torch.zeros(4_000, 3)
    x = tasks.decode(game, z, sample=True)
    assert set(x.flatten().tolist()) == {0.0, 1.0}
    assert torch.allclose(x.mean(0), tasks.decode(game, z[:1])[0], atol=0.04)  # five standard errors
    assert torch.equal(x, tasks.decode(game, z, sample=True))
    assert not torch.equal(x, tasks.decode(game, z, seed=1, sample=True))


def test_a_draw_of_gaussian_pixels_has_the_likelihoods_width_around_the_mean():
    game = vae("gaussian")
    noise = tasks.generate(game, 4_000, sample=True) - tasks.generate(game, 4_000)
    assert noise.std().item() == pytest.approx(0.5, rel=0.05)


def test_without_a_likelihood_a_draw_is_one_of_the_decoders_conditional():
    for conditional, same in ((Deterministic(MLP(3, 2)), True), (Gaussian(MLP(3, 4)), False)):
        game = GAN(conditional, PairCritic(MLP(2, 1)), StandardNormal(3))
        game.data = DataSpec((2,))
        assert torch.equal(tasks.generate(game, 8), tasks.generate(game, 8, sample=True)) == same


def test_noise_is_not_z_again():
    """From one seed the noise of as many pixels as latents would be z itself, x = mu(z) + sigma z."""
    game = VAE(Gaussian(MLP(3, 6)), Deterministic(MLP(3, 3)), StandardNormal(3), sigma=0.5)
    game.data = DataSpec((3,))
    z = tasks.sample_latents(game, 2_000)
    noise = (tasks.decode(game, z, sample=True) - tasks.decode(game, z)) / 0.5
    assert abs(float((noise * z).mean())) < 0.07  # five standard errors; 1 for the same numbers


# ---- labels: a generator that answers a training point of the label that it is told

MEANS = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])


class Training(Conditional):
    """p(x | z, y): a training point of label y, or where nothing is told any training point."""

    def __init__(self, split, attributes=None):
        super().__init__(nn.Identity())
        self.p = nn.Parameter(torch.zeros(1))
        self.x = as_tensor(split.x)
        y = torch.from_numpy(np.asarray(split.y if attributes is None else attributes))
        self.y = nn.functional.one_hot(y).float() if y.ndim == 1 else y.float()
        self.heard = []

    def forward(self, z, *c):
        place = torch.special.ndtr(z[:, 0]).clamp(0, 1 - 1e-6)
        if not c:
            return Point(self.x[(place * len(self.x)).long()])
        self.heard.append(c[0])
        found = torch.empty(len(z), *self.x.shape[1:])
        for i, own in enumerate(c[0]):
            rows = (self.y == own).all(1).nonzero().flatten()
            found[i] = self.x[rows[int(place[i] * len(rows))]]
        return Point(found)


class Reader(Classifier):
    """Reads the nearest mean, and takes the point itself for features."""

    def __init__(self):
        super().__init__(None, "nearest mean", 1.0)

    def __call__(self, x):
        return x

    def probabilities(self, x):
        return nn.functional.one_hot(torch.cdist(x, MEANS).argmin(1), len(MEANS)).float()


def labelled(train, held_out, count=600):
    """Clusters around the first `MEANS`, with these shares of the labels."""
    random = np.random.default_rng(0)

    def split(shares):
        y = random.choice(len(shares), count, p=shares).astype(np.int64)
        return Split((MEANS.numpy()[y] + random.standard_normal((count, 2))).astype(np.float32), y)

    return Dataset("clusters", split(train), split(held_out), split(held_out), tuple(map(str, range(len(train)))))


def perfect(dataset, kind=GAN):
    networks = [Training(dataset.train), PairCritic(MLP(2, 1))]
    if kind is ALI:
        networks = [Deterministic(MLP(2 + dataset.labels, 4)), networks[0], PairCritic(MLP(6, 1))]
    game = kind(*networks, StandardNormal(4))
    game.data = DataSpec(dataset.shape, dataset.labels, names=dataset.classes)
    return game


SHARES = [
    ((0.26, 0.74), (0.26, 0.74)),
    ((0.05, 0.95), (0.05, 0.95)),
    ((0.1, 0.2, 0.7), (0.1, 0.2, 0.7)),
    ((0.8, 0.2), (0.2, 0.8)),  # held out is not as trained on
]


@pytest.mark.parametrize(("train", "held_out"), SHARES)
def test_training_points_of_the_label_asked_score_at_the_floor(train, held_out):
    dataset = labelled(train, held_out)
    game = perfect(dataset)
    found = {m.name: m for m in evaluate(game, dataset, split="validation", extractor=Reader())}
    x = as_tensor(dataset.validation.x)
    uniform = tasks.generate(game, len(x))  # of labels that do not look at the data
    assert frechet_distance(x, uniform) > 1
    assert found["frechet_distance"].value < 0.15
    assert found["frechet_real_vs_real"].value < 0.15
    assert abs(found["kernel_distance"].value) < 0.5 * kernel_distance(x, uniform)
    assert found["inception_score"].value == pytest.approx(found["inception_score_real"].value, rel=0.03)
    assert found["label_accuracy"].value > 0.98
    assert min(found[name].value for name in ("precision", "recall", "coverage")) > 0.75
    for name in ("frechet_distance", "label_accuracy", "precision"):
        assert "draws of p(x | z, y) with the labels of the held-out points" in found[name].protocol
    assert "with the same labels" in found["frechet_real_vs_real"].protocol
    quick = {m.name: m.value for m in evaluate(game, dataset, split="validation", extractor=Reader(), quick=True)}
    assert quick["frechet_distance"] < 0.15  # what chooses the best weights


def test_held_out_data_in_the_order_of_their_labels_make_no_part_of_one_label():
    dataset = labelled((0.3, 0.3, 0.4), (0.3, 0.3, 0.4))
    held_out = dataset.validation
    order = np.argsort(held_out.y, kind="stable")
    dataset = dataclasses.replace(dataset, validation=Split(held_out.x[order], held_out.y[order]))
    found = {m.name: m.value for m in evaluate(perfect(dataset), dataset, split="validation", extractor=Reader())}
    assert found["inception_score"] > 2.7  # of 3; 1.3 in parts as they come
    assert found["inception_score_real"] > 2.7


def test_partners_do_not_count_in_a_kernel_distance():
    """Points that their labels settle: the same labels are the same points, and a perfect sample has a distance of 0."""
    y = torch.arange(400) % 3 % 2
    x = MEANS[y]
    assert kernel_distance(x, x, paired=True, subsets=5, subset_size=100) == pytest.approx(0, abs=1e-9)
    assert kernel_distance(x, x, paired=True, subset_size=400) == pytest.approx(0, abs=1e-9)
    assert kernel_distance(x, x, subset_size=400) < -1
    far = kernel_distance(x, x + 1, paired=True, subset_size=400)
    assert far == pytest.approx(kernel_distance(x, x + 1, subset_size=400), rel=0.1)
    with pytest.raises(UserError, match="cannot be paired"):
        kernel_distance(x, x[1:], paired=True)


def test_all_that_is_drawn_of_a_conditional_game_has_the_held_out_labels():
    dataset = labelled((0.1, 0.2, 0.7), (0.1, 0.2, 0.7), count=50)
    game = perfect(dataset, ALI)
    evaluate(game, dataset, split="validation", extractor=Identity(2))
    y = nn.functional.one_hot(torch.from_numpy(dataset.validation.y), 3).float()
    assert len(game.decoder.heard) == 2  # reconstructions, samples
    assert all(torch.equal(heard, y) for heard in game.decoder.heard)


def test_attributes_are_those_of_the_held_out_points_too():
    """Two attributes that no point has together, which independent draws would give a quarter of the samples."""
    dataset = labelled((0.5, 0.5), (0.5, 0.5))
    one_hot = {part: np.eye(2)[getattr(dataset, part).y] for part in ("train", "validation", "test")}
    dataset.attributes.update(names=np.array(["a", "b"]), **one_hot)
    game = GAN(Training(dataset.train, one_hot["train"]), PairCritic(MLP(2, 1)), StandardNormal(4))
    game.data = DataSpec((2,), 2, {"a": 0.5, "b": 0.5})
    found = {m.name: m for m in evaluate(game, dataset, extractor=Identity(2))}
    assert torch.equal(torch.cat(game.decoder.heard), torch.from_numpy(one_hot["test"]).float())
    assert "with the attributes of the held-out points" in found["frechet_distance"].protocol
    assert found["frechet_distance"].value < 0.15


def test_modes_of_a_conditional_game_are_counted_with_the_held_out_labels():
    dataset = labelled((0.5, 0.5), (0.2, 0.8), count=200)
    shares = torch.from_numpy(dataset.validation.y).double().mean().item()
    mixture = Mixture(MEANS[:2].numpy(), 1.0)
    dataset = Dataset("mixture", dataset.train, dataset.validation, dataset.test, dataset.classes, mixture)
    game = perfect(dataset)
    found = {m.name: m.value for m in evaluate(game, dataset, split="validation", count=1_000)}
    kl = sum(p * np.log(2 * p) for p in (shares, 1 - shares))  # to equal shares
    assert found["reverse_kl"] == pytest.approx(kl, abs=0.03)  # a few samples are nearer to the other mean
    assert sum(len(heard) for heard in game.decoder.heard) == 1_000


def test_a_conditional_game_is_not_measured_without_labels():
    dataset = labelled((0.5, 0.5), (0.5, 0.5), count=20)
    bare = Dataset("bare", Split(dataset.train.x), Split(dataset.validation.x), Split(dataset.test.x))
    with pytest.raises(UserError, match="has no labels"):
        evaluate(perfect(dataset), bare)


def test_kernels_stand_on_samples_with_the_labels_given():
    dataset = labelled((0.05, 0.95), (0.05, 0.95))
    game = perfect(dataset)
    x, validation = as_tensor(dataset.test.x), as_tensor(dataset.validation.x)
    found = kernel_estimate(game, x, validation, samples=300, y=dataset.validation.y)
    assert torch.cat(game.decoder.heard).mean(0)[1].item() == pytest.approx(0.95, abs=0.04)
    assert "draws of p(x | z, y) with the labels of validation data" in found.protocol
    with pytest.raises(UserError, match="labels"):
        kernel_estimate(game, x, validation, samples=300)


# ---- noise: a decoder that answers the probabilities that the data were drawn with


class Grey(Conditional):
    """The mean of p(x | z): a training image, or what `change` makes of it."""

    def __init__(self, x, change=lambda x: x):
        super().__init__(nn.Identity())
        self.x = x
        self.change = change

    def forward(self, z, *c):
        place = torch.special.ndtr(z[:, 0]).clamp(0, 1 - 1e-6)
        return Point(self.change(self.x[(place * len(self.x)).long()]))


def blurred(x):
    return nn.functional.avg_pool2d(x, 3, 1, 1)


def test_bernoulli_pixels_are_compared_as_zeros_and_ones():
    gray = data.load("digits")
    dataset = binarize(gray, "dynamic")
    bare = {part: Split(getattr(dataset, part).x) for part in ("train", "validation", "test")}
    dataset = dataclasses.replace(dataset, **bare)  # no accuracies, which take long
    x, real = as_tensor(gray.train.x), as_tensor(dataset.validation.x)
    extractor = RandomConvolutions.for_shape(dataset.shape)

    def measured(change):
        decoder = Grey(x, change)
        game = VAE(
            Gaussian(Backbone(nn.Flatten(), nn.Linear(64, 16))), decoder, StandardNormal(8), likelihood="bernoulli"
        )
        game.data = DataSpec(dataset.shape)
        found = {m.name: m for m in evaluate(game, dataset, split="validation", extractor=extractor)}
        quick = {m.name: m.value for m in evaluate(game, dataset, split="validation", extractor=extractor, quick=True)}
        means = frechet_distance(extractor(real), extractor(tasks.generate(game, len(real))))
        return found, quick, means

    (found, quick, means), (bad, _, bad_means) = measured(lambda x: x), measured(blurred)
    floor = found["frechet_real_vs_real"].value
    assert found["frechet_distance"].value < 1.2 * floor
    assert quick["frechet_distance"] < 1.2 * floor
    assert means > 1.5 * floor
    assert 1.2 * floor < bad["frechet_distance"].value < bad_means
    for name in ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"):
        assert "draws of p(x | z)" in found[name].protocol
    assert "means of q(z | x) and p(x | z)" in found["reconstruction_mse"].protocol


def test_gaussian_noise_is_drawn_too():
    """x ~ N(0, 1) under a decoder that answers 0: the means are one point, the draws the data."""
    random = np.random.default_rng(0)
    parts = [Split(random.standard_normal((500, 2)).astype(np.float32)) for _ in range(3)]
    game = VAE(Gaussian(MLP(2, 2)), Grey(torch.zeros(1, 2)), StandardNormal(1), sigma=1.0)
    game.data = DataSpec((2,))
    found = {m.name: m.value for m in evaluate(game, Dataset("noise", *parts))}
    assert found["frechet_distance"] < 0.1  # 2 of the means
    assert found["coverage"] > 0.9
    x = as_tensor(parts[0].x)
    drawn = kernel_estimate(game, x, as_tensor(parts[1].x), samples=500)
    assert drawn.mean == pytest.approx(-2.84, abs=0.15)  # the entropy of N(0, 1) in the plane
    assert "draws of p(x | z)" in drawn.protocol


def test_modes_are_counted_on_draws():
    """One mode, N(0, 1) in the plane: 1.1 % of draws lie beyond three standard deviations, and no mean of a decoder at 0."""
    random = np.random.default_rng(0)
    parts = [Split(random.standard_normal((50, 2)).astype(np.float32)) for _ in range(3)]
    dataset = Dataset("one mode", *parts, mixture=Mixture(np.zeros((1, 2), np.float32), 1.0))
    game = VAE(Gaussian(MLP(2, 2)), Grey(torch.zeros(1, 2)), StandardNormal(1), sigma=1.0)
    game.data = DataSpec((2,))
    found = {m.name: m for m in evaluate(game, dataset, count=2_500, quick=True)}
    assert found["high_quality"].value == pytest.approx(0.989, abs=0.009)
    assert "draws of p(x | z)" in found["high_quality"].protocol


def test_labels_and_z_come_from_streams_of_their_own():
    """Attributes from z's stream would say of each dimension of z how far out it lies."""
    game = perfect(labelled((0.5, 0.5), (0.5, 0.5), count=20))
    game.data = dataclasses.replace(game.data, attributes={"a": 0.5, "b": 0.5})
    (drawn,) = tasks.sample_condition(game, 2_000)
    again = torch.rand(2_000, 2, generator=torch.Generator().manual_seed(0)) < 0.5
    assert (drawn == again).double().mean().item() == pytest.approx(0.5, abs=0.04)  # 1 from one stream
