"""`Evidence`, the input of metrics: a trained game, a split of its data, and what metrics compute from them.

Reconstructions, samples, features and so on are computed at their first use and shared by all metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interalia import tasks
from interalia.conditionals import Codes, Prior
from interalia.data.dataset import Dataset, Split
from interalia.data.sampler import permutation
from interalia.data.store import as_tensor
from interalia.errors import UserError, check_choice, check_seed
from interalia.games.capabilities import Generates, HasCodes, require
from interalia.games.feeds import conditions
from interalia.games.game import Game
from interalia.metrics.classifier import Classifier
from interalia.metrics.codes import code_bounds
from interalia.metrics.coverage import ModeCoverage, Neighbourhoods, mixture_coverage, precision_recall_density_coverage
from interalia.metrics.distances import frechet_distance
from interalia.metrics.extractors import Extractor, FileFeatures, Inception, extractor_for
from interalia.metrics.inference import PosteriorMoments, Reconstruction, posterior_moments, reconstruction

NEIGHBOURS = 10_000  # most training points for 1-nearest-neighbour and linear probes
COUNT = 5_000  # samples, if the split has as many
QUICK_COUNT = 500
MIXTURE_COUNT = 10_000  # samples of ALI's mode count
PACGAN_COUNT = 2_500  # the first of them, for PacGAN's protocol


@dataclass(frozen=True)
class Points:
    """Points chosen from a data set, with their labels, as tensors.

    Attributes:
        x: the points, shape (n, *shape); images are in [0, 1].
        y: their labels, shape (n,), or None if there are none.
        condition: the labels or attributes that a conditional game receives for these points; None for another game.
    """

    x: Tensor
    y: Tensor | None
    condition: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """The labels y, shape (n,); raises an AssertionError if there are none."""
        assert self.y is not None
        return self.y


class Comparison:
    """Real and generated data of one domain, their features, and the Frechet distance between them.

    Arguments:
        real: held-out points.
        made: samples or translations, shape (m, *shape).
        train_points: a function without arguments that returns as many training points as there are held-out ones, shape
            (n, *shape). They serve as the samples of a perfect model, for a baseline.
        extractor: computes the features of points and samples.
    """

    def __init__(self, real: Points, made: Tensor, train_points: Callable[[], Tensor], extractor: Extractor) -> None:
        self.real, self.made, self.train_points, self.extractor = real, made, train_points, extractor

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """The features of the held-out points, shape (n, d), and of the generated data, shape (m, d)."""
        return self.extractor(self.real.x), self.extractor(self.made)

    @property
    def has_true_classes(self) -> bool:
        """True if the extractor is a trained `Classifier` and the held-out points have labels."""
        return isinstance(self.extractor, Classifier) and self.real.y is not None

    @cached_property
    def frechet(self) -> float:
        """The Frechet distance between the features of the held-out points and of the generated data."""
        return frechet_distance(*self.features)

    @cached_property
    def train_features(self) -> Tensor:
        """The features of as many training points as there are held-out ones, shape (n, d)."""
        return self.extractor(self.train_points())

    @cached_property
    def frechet_real(self) -> float:
        """The Frechet distance between the features of the held-out points and of as many training points."""
        return frechet_distance(self.features[0], self.train_features)


class Evidence:
    """The input of metrics: a trained game, a split of its data, and their samples, reconstructions and features.

    These attributes are computed at first use and cached; `drop` frees the large ones. Samples are drawn from p(x | z),
    with the noise of the game's likelihood: binary data are compared with binary samples. Those of a conditional game
    are drawn from p(x | z, y) with y of the held-out points that they are compared with, so that both have the same
    labels or attributes. Reconstructions are means of p(x | z).

    Arguments:
        game: a trained game.
        dataset: its data.
        split: 'train', 'validation' or 'test'; do not select anything, such as a checkpoint, on 'test'.
        count: the number of samples, and of held-out points that they are compared with. By default it is 5,000 (500 if
            `quick`), or the whole split if it has fewer; to count a mixture's modes it is 10,000 (2,500 if `quick`).
        seed: random seed of samples, noise and the choice of points.
        extractor: maps samples and data to the features in which they are compared; by default `extractor_for(dataset)`.
        untrained: builds a game of the same networks with random weights, for a baseline; None for no such baseline.
        quick: if True, fewer samples by default, as during training.

    Raises:
        UserError: the seed is out of its range; or, at first use of the held-out data: no such split, too few points, a
            game that was built for another shape, or a conditional game with data without labels.

    Example:
        >>> import interalia
        >>> from interalia.runs import recipes
        >>> game = interalia.build(recipes.ali_digits())
        >>> e = Evidence(game, interalia.data.load("digits"), count=20)
        >>> e.x.shape, e.x_hat.shape, e.samples.shape
        (torch.Size([20, 1, 8, 8]), torch.Size([20, 1, 8, 8]), torch.Size([20, 1, 8, 8]))
    """

    LARGE = ("x_hat", "train", "latents", "hidden", "mixture_samples")
    game: Game
    dataset: Dataset

    def __init__(
        self,
        game: Game,
        dataset: Dataset,
        split: str = "test",
        *,
        count: int | None = None,
        seed: int = 0,
        extractor: Extractor | None = None,
        untrained: Callable[[], Game | None] | None = None,
        quick: bool = False,
    ) -> None:
        check_seed(seed)
        self.game, self.dataset, self.split = game, dataset, split
        self.count, self.seed, self.quick, self._untrained = count, seed, quick, untrained
        self.limit = QUICK_COUNT if quick else COUNT  # default number of points and samples
        if extractor is not None:
            self.extractor = extractor

    def drop(self, *names: str) -> None:
        """Frees the cached attributes of these names, or all large ones if no name is given.

        They are computed again at their next use. The large ones are "x_hat", "train", "latents", "hidden" and
        "mixture_samples", the names in `Evidence.LARGE`. A name that is not cached is ignored.
        """
        for name in names or self.LARGE:
            self.__dict__.pop(name, None)

    # ---- the data

    @cached_property
    def split_points(self) -> Split:
        """All points of the evaluated split; `held_out` has those that were chosen from it."""
        return _split(self.dataset, self.split)

    @cached_property
    def conditions(self) -> NDArray[Any] | None:
        """The labels or attributes that a conditional game receives, for all points of the split; None for another game.

        Raises a UserError if the game is conditional and the data have no labels.
        """
        found = conditions(self.game.data, self.dataset, self.split)
        if found is None and self.game.data.condition:
            what = f"the {self.split} split of {self.dataset.name!r} has no labels, and this {type(self.game).__name__}"
            raise UserError(f"{what} is conditional on them; evaluate it on labelled data.")
        return found

    @cached_property
    def held_out(self) -> Points:
        """The points that samples are compared with: `count` of the evaluated split, chosen at random by the seed.

        By default they are at most 5,000, or 500 if `quick`. Raises a UserError if there are fewer than two, or if the
        game was built for another shape.
        """
        points, shape, dataset = self.split_points, tuple(self.game.data.shape), self.dataset
        if shape != dataset.shape:
            what = f"the game was built for the shape {shape} and the data set {dataset.name!r} has {dataset.shape}"
            raise UserError(f"{what}; evaluate it on the data that it was trained on.")
        found = _points(points, self.limit if self.count is None else self.count, self.seed, self.conditions)
        if len(found.x) < 2 and (self.count is not None or not len(found.x)):
            raise UserError(f"there are {len(found.x)} samples to evaluate on; give a `count` of 2 or more.")
        return found

    @property
    def x(self) -> Tensor:
        """The held-out points, float32, shape (n, *shape); images are in [0, 1]."""
        return self.held_out.x

    @property
    def y(self) -> Tensor | None:
        """The labels of the held-out points x, shape (n,); None if the data have none."""
        return self.held_out.y

    @cached_property
    def predicted(self) -> Tensor:
        """The labels that a semi-supervised game predicts for the held-out points, shape (n,)."""
        return tasks.classify(self.game, self.x, self.seed).argmax(1)

    @property
    def imbalance(self) -> float:
        """The share of the commonest label among the held-out points times the number of labels there; 1 without labels."""
        if self.y is None:
            return 1.0
        counts = self.y.unique(return_counts=True)[1]
        return float(counts.max() * len(counts) / counts.sum())

    @property
    def condition(self) -> Tensor | None:
        """The labels or attributes of the held-out points, on which a conditional game's samples are conditioned.

        None for a game that is not conditional.
        """
        return self.held_out.condition

    @cached_property
    def train(self) -> Points:
        """At most 10,000 training points, unlabelled ones left out, chosen by the seed.

        Classifiers of the encoder's features are fitted to them.
        """
        return _points(self.dataset.train.labeled, NEIGHBOURS, self.seed)

    @property
    def validation(self) -> Points:
        """At most 5,000 validation points, chosen by the seed.

        Choices are made on them, such as which label each category of a code is matched to.
        """
        return _points(self.dataset.validation, COUNT, self.seed)

    @property
    def protocol(self) -> str:
        """The default protocol of a metric: a text on the data that it is computed from.

        It has the number of held-out points, the split's number of points and name, and the seed.
        """
        return f"{len(self.x)} of {len(self.split_points)} of the {self.split} split, seed {self.seed}"

    def permuted(self, values: Tensor) -> Tensor:
        """The rows of a tensor (n, ...) in a random order, which n and the seed alone determine."""
        return values[permutation(len(values), self.seed)]

    # ---- inference

    @cached_property
    def x_hat(self) -> Tensor:
        """The reconstructions of the held-out x, shape (n, *shape): the mean of p(x | z) at the mean z of q(z | x)."""
        return tasks.reconstruct(self.game, self.x, self.seed, self.condition)

    @cached_property
    def reconstruction(self) -> Reconstruction:
        """The errors of the reconstructions of the held-out x, and of mismatched pairs for comparison."""
        return reconstruction(self.x, self.x_hat, self.seed)

    @cached_property
    def z_hat(self) -> Tensor:
        """One sample of q(z | x) for each held-out x, shape (n, latent)."""
        return tasks.encode(self.game, self.x, self.seed, sample=True, y=self.condition)

    @property
    def prior(self) -> Prior:
        """The prior p(z) of the game; raises a UserError if the game has none."""
        return require(self.game, Generates, "sampling").prior

    @cached_property
    def posterior(self) -> PosteriorMoments:
        """The mean and the covariance of the sampled latents `z_hat`, compared with those of the prior."""
        return posterior_moments(self.z_hat, self.prior.mean, self.prior.variance)

    @cached_property
    def latents(self) -> tuple[Tensor, Tensor]:
        """The means of q(z | x) for training points, shape (m, latent), and for the held-out x, shape (n, latent)."""
        return tasks.encode(self.game, self.train.x, self.seed), tasks.encode(self.game, self.x, self.seed)

    @cached_property
    def hidden(self) -> tuple[Tensor, Tensor]:
        """The encoder's last hidden layer for training points, shape (m, d), and for the held-out x, shape (n, d)."""
        return tasks.features(self.game, self.train.x, self.seed), tasks.features(self.game, self.x, self.seed)

    @cached_property
    def untrained(self) -> Game | None:
        """A game of the same networks with random weights, as a baseline; None if none was given."""
        return None if self._untrained is None else self._untrained()

    # ---- samples

    @cached_property
    def z(self) -> Tensor:
        """Samples of the prior p(z), as many as held-out x, shape (n, latent)."""
        return tasks.sample_latents(self.game, len(self.x), self.seed)

    @cached_property
    def samples(self) -> Tensor:
        """Samples of p(x | z), one for each row of `z`, shape (n, *shape); of p(x | z, y) for a conditional game."""
        return tasks.decode(self.game, self.z, self.seed, y=self.condition, sample=True)

    @property
    def sampling(self) -> str:
        """A text that says how samples are drawn, such as "draws of p(x | z)", for reports of metrics."""
        y = self.game.data.y if self.game.data.condition else None
        return f"draws of p(x | z, y) with the {y} of the held-out points" if y else "draws of p(x | z)"

    @cached_property
    def extractor(self) -> Extractor:
        """The extractor of the features in which samples and data are compared.

        By default it is a classifier of the data's labels, random convolutions for images without labels, or the
        identity for vectors.
        """
        return extractor_for(self.dataset, tasks.device_of(self.game))

    @property
    def classifier(self) -> bool:
        """True if the extractor is a `Classifier`, a network trained to predict the labels of the data."""
        return isinstance(self.extractor, Classifier)

    @property
    def inception(self) -> bool:
        """True if the argument `extractor` is Inception.

        The default extractor is never Inception, so it is not built to compute this.
        """
        return isinstance(self.__dict__.get("extractor"), Inception)

    @property
    def file_features(self) -> str:
        """The name, without its ending, of the file with the extractor's network; empty for other extractors."""
        extractor = self.__dict__.get("extractor")
        return extractor.label if isinstance(extractor, FileFeatures) else ""

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """The comparisons of generated with held-out data, by domain.

        For a game between two domains they are {"a": comparison, "b": comparison}, of the translations into each domain.
        For any other game they are {"x": comparison}, of the samples.
        """
        if self.translates:
            return self.translations
        return {"x": self.comparison(self.held_out, self.samples, self.dataset, self.extractor)}

    def comparison(self, real: Points, made: Tensor, domain: Dataset, extractor: Extractor) -> Comparison:
        """Returns a comparison of generated with held-out data, with training points of the same domain as a baseline.

        Arguments:
            real: held-out points.
            made: samples or translations, shape (m, *shape).
            domain: the data set that the held-out points are from.
            extractor: computes the features of both.
        """
        matching = partial(_matching_train_points, self.game, domain, real, self.seed + 1)
        return Comparison(real, made, matching, extractor)

    @property
    def features(self) -> tuple[Tensor, Tensor]:
        """The features of the held-out x and of the samples, each of shape (n, d); not for games between two domains."""
        return self.comparisons["x"].features

    @cached_property
    def probabilities(self) -> tuple[Tensor, Tensor] | None:
        """The probabilities p(y | x) of the classes for x and for the samples, each of shape (n, classes).

        None if the extractor predicts no classes.
        """
        if type(self.extractor) is Classifier:  # the images pass its convolutions once
            of_x, of_samples = (self.extractor.probabilities(part, features=True) for part in self.features)
            return of_x, of_samples
        real, made = self.extractor.probabilities(self.x), self.extractor.probabilities(self.samples)
        return None if real is None or made is None else (real, made)

    @property
    def k(self) -> int:
        """The number k of nearest neighbours that define a neighbourhood: 5, or n - 1 for n < 6 held-out points."""
        return min(5, len(self.x) - 1)

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """The precision, recall, density and coverage of the samples, computed in the extractor's features."""
        return precision_recall_density_coverage(*self.features, self.k)

    @property
    def codes(self) -> Codes:
        """The prior p(z) of a game such as InfoGAN, in which z consists of noise and codes.

        Raises a UserError for a game without codes.
        """
        return require(self.game, HasCodes, "metrics of codes").prior

    @cached_property
    def code_bounds(self) -> Tensor:
        """A lower bound of the mutual information of samples and each code c, in nats, shape (codes,).

        Codes are the parts of z that the recognizer of a game such as InfoGAN predicts from x.
        """
        return code_bounds(self.codes, tasks.code_parameters(self.game, self.samples), self.z)

    # ---- mixtures

    @cached_property
    def mixture_samples(self) -> Tensor:
        """Samples of the game, to count the modes of a Gaussian mixture that they reach, shape (count, *shape).

        By default count is 10,000, or 2,500 if `quick`. Those of a conditional game have the labels of held-out points,
        repeated if they are too few.
        """
        count = self.count or (PACGAN_COUNT if self.quick else MIXTURE_COUNT)
        condition = _points(self.split_points, count, self.seed, self.conditions).condition
        y = None if condition is None else condition[torch.arange(count) % len(condition)]
        return tasks.generate(self.game, count, self.seed, y=y, sample=True)

    @cached_property
    def modes(self) -> ModeCoverage:
        """The coverage of the modes of the data's Gaussian mixture by the first 2,500 of the game's `mixture_samples`.

        2,500 is the number of samples in the paper on PacGAN. If there are fewer samples, all are used.
        """
        return self.coverage_of(self.mixture_samples[:PACGAN_COUNT])

    def coverage_of(self, samples: Tensor) -> ModeCoverage:
        """Returns the coverage of the modes of the data's Gaussian mixture by these samples, shape (n, d)."""
        assert self.dataset.mixture is not None
        return mixture_coverage(samples, self.dataset.mixture)

    # ---- two domains

    @property
    def translates(self) -> bool:
        """True if the game translates between two domains and the data have both."""
        return self.game.data.other is not None and self.dataset.other is not None

    @property
    def other(self) -> Dataset:
        """The data set of domain b, for a game between two domains; raises an AssertionError if there is none."""
        assert self.dataset.other is not None
        return self.dataset.other

    @cached_property
    def points_of_b(self) -> Split:
        """All points of the evaluated split of domain b; `translations` has those that were chosen from it."""
        return _split(self.other, self.split)

    @cached_property
    def translations(self) -> dict[str, Comparison]:
        """The comparisons of translations with held-out data of the same domain: {"a": comparison, "b": comparison}."""
        a, game = self.held_out, self.game
        b = _points(self.points_of_b, self.count or self.limit, self.seed)  # the rows of a, so that pairs match
        # a classifier is trained on its own domain
        extractor_of_b = extractor_for(self.other, tasks.device_of(game)) if self.classifier else self.extractor
        return {
            "a": self.comparison(a, tasks.translate(game, b.x, to="a"), self.dataset, self.extractor),
            "b": self.comparison(b, tasks.translate(game, a.x, to="b"), self.other, extractor_of_b),
        }


def _split(dataset: Dataset, name: str) -> Split:
    """Returns the split of this name: "train", "validation" or "test".

    Raises a UserError for another name or an empty split.
    """
    check_choice("split", name, ("train", "validation", "test"))
    part: Split = getattr(dataset, name)
    if len(part) == 0:
        raise UserError(f"the {name} split of {dataset.name!r} is empty; choose another split.")
    return part


def _points(split: Split, count: int, seed: int, conditions: NDArray[Any] | None = None) -> Points:
    """Returns at most `count` points of a split, chosen at random by the seed, in the split's order.

    Arguments:
        split: the points and their labels.
        count: the largest number of points; fewer if the split has fewer.
        seed: random seed of the choice.
        conditions: the labels or attributes of each point of the split that a conditional game receives, shape
            (len(split), ...); None for a game that is not conditional.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(split))[: max(count, 0)])
    y, c = (None if values is None else torch.from_numpy(values[rows]) for values in (split.y, conditions))
    return Points(as_tensor(split.x[rows]), y, c)


def _matching_train_points(game: Game, dataset: Dataset, points: Points, seed: int) -> Tensor:
    """Returns as many training points as there are held-out `points`, shape (n, *shape), as samples of a perfect model.

    For a conditional game they have the same labels or attributes as `points`: training points are repeated if too few have
    a label, and chosen at random from all labels if none has it; row i has the label or attributes of point i. For another
    game they are in the order of the training data, and fewer if the training split has fewer.

    Arguments:
        game: the game, which may be conditional.
        dataset: the data set of both.
        points: the held-out points.
        seed: random seed of the choice.
    """
    y_train = conditions(game.data, dataset, "train")
    if y_train is None or points.condition is None:
        return _points(dataset.train, len(points.x), seed).x
    together = np.concatenate([y_train, points.condition.numpy()])
    kinds = np.unique(together, axis=0, return_inverse=True)[1].reshape(-1)
    random = np.random.default_rng(seed)
    order = random.permutation(len(y_train))
    rows = random.integers(len(y_train), size=len(points.x))
    train, held = kinds[: len(y_train)][order], kinds[len(y_train) :]
    for kind in np.intersect1d(train, held):
        places = np.flatnonzero(held == kind)
        rows[places] = np.resize(order[train == kind], len(places))  # repeated if there are too few
    stored, place = np.unique(rows, return_inverse=True)  # memory-mapped files are read in order
    return as_tensor(dataset.train.x[stored])[torch.from_numpy(place)]
