"""`Evidence`, the input of metrics: a trained game on a split of its data. Each part is computed at first use and shared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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
from interalia.errors import UserError, check_choice
from interalia.games.capabilities import Generates, HasCodes, require
from interalia.games.feeds import conditions
from interalia.games.game import Game
from interalia.metrics.classifier import Classifier
from interalia.metrics.codes import code_bounds
from interalia.metrics.coverage import ModeCoverage, Neighbourhoods, mixture_coverage, precision_recall_density_coverage
from interalia.metrics.distances import frechet_distance
from interalia.metrics.extractors import Extractor, Inception, extractor_for
from interalia.metrics.inference import PosteriorMoments, Reconstruction, posterior_moments, reconstruction

NEIGHBOURS = 10_000  # most training points for 1-nearest-neighbour and linear probes
COUNT = 5_000  # samples, if the split has as many
QUICK_COUNT = 500
MIXTURE_COUNT = 10_000  # samples of ALI's mode count
PACGAN_COUNT = 2_500  # the first of them, for PacGAN's protocol


@dataclass(frozen=True)
class Points:
    """Points of a split.

    Attributes:
        x: shape (n, *shape); images are in [0, 1].
        y: their labels, shape (n,), or None.
        condition: the labels or attributes that a conditional game gets, or None.
    """

    x: Tensor
    y: Tensor | None
    condition: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """The labels y, shape (n,); for points that are known to have labels."""
        assert self.y is not None
        return self.y


class Comparison:
    """Generated and real data, compared in the features of one extractor.

    Arguments:
        real: held-out points.
        made: samples or translations, shape (m, *shape).
        train_points: draws as many training points, as though a perfect model had made them.
        extractor: of the features.
    """

    def __init__(self, real: Points, made: Tensor, train_points: Callable[[], Tensor], extractor: Extractor) -> None:
        self.real, self.made, self.train_points, self.extractor = real, made, train_points, extractor

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Features of the real and of the generated data, shapes (n, d) and (m, d)."""
        return self.extractor(self.real.x), self.extractor(self.made)

    @property
    def has_true_classes(self) -> bool:
        """True if the extractor is a classifier and the real data have labels."""
        return isinstance(self.extractor, Classifier) and self.real.y is not None

    @cached_property
    def frechet(self) -> float:
        """The Frechet distance between real and generated data."""
        return frechet_distance(*self.features)

    @cached_property
    def frechet_real(self) -> float:
        """The Frechet distance between the real data and as many training points."""
        return frechet_distance(self.features[0], self.extractor(self.train_points()))


class Evidence:
    """A game on a split of its data, the input of metrics. Attributes are computed at first use and cached; `drop` frees the
    large ones.

    Samples are draws of p(x | z), with the noise of the game's likelihood: binary data are compared with binary samples.
    Those of a conditional game are draws of p(x | z, y) with y of the held-out points that they are compared with, so that
    both have the same labels or attributes. Reconstructions are means.

    Arguments:
        game: a trained game.
        dataset: its data.
        split: 'train', 'validation' or 'test'; do not select anything, such as a checkpoint, on 'test'.
        count: the number of samples, and of held-out points that they are compared with: by default 5,000, or the whole
            split if it has fewer; 10,000 samples of a mixture. If `quick`, 500 and 2,500.
        seed: of all random numbers.
        extractor: of the features in which samples and data are compared; by default `extractor_for(dataset)`.
        untrained: builds a game of the same networks with random weights, for a baseline.
        quick: if True, few samples, as during training.

    Raises:
        UserError: at first use of the held-out data: no such split, too few points, a game that was built for another shape,
            or a conditional game with data without labels.

    Example:
        >>> import interalia
        >>> from interalia.runs import recipes
        >>> game = interalia.build(recipes.ali_digits())
        >>> e = Evidence(game, interalia.data.load("digits"), count=20)
        >>> e.x.shape, e.x_hat.shape, e.samples.shape
        (torch.Size([20, 1, 8, 8]), torch.Size([20, 1, 8, 8]), torch.Size([20, 1, 8, 8]))
    """

    LARGE = ("x_hat", "train", "latents", "hidden", "mixture_samples")

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
        self.game, self.dataset, self.split = game, dataset, split
        self.count, self.seed, self.quick, self._untrained = count, seed, quick, untrained
        self.limit = QUICK_COUNT if quick else COUNT  # default number of points and samples
        if extractor is not None:
            self.extractor = extractor

    def drop(self, *names: str) -> None:
        """Frees the cached attributes of these names, by default all that are as large as the data except the held-out points
        and the samples. They are computed again at their next use.
        """
        for name in names or self.LARGE:
            self.__dict__.pop(name, None)

    # ---- the data

    @cached_property
    def part(self) -> Split:
        """The whole split."""
        return _split(self.dataset, self.split)

    @cached_property
    def conditions(self) -> NDArray[Any] | None:
        """The labels or attributes of all points of the split for a conditional game; None for any other."""
        found = conditions(self.game.data, self.dataset, self.split)
        if found is None and self.game.data.condition:
            what = f"the {self.split} split of {self.dataset.name!r} has no labels"
            raise UserError(
                f"{what}, and this {type(self.game).__name__} is conditional on them; evaluate it on labelled data."
            )
        return found

    @cached_property
    def held_out(self) -> Points:
        """The held-out points, chosen by the seed."""
        part, shape, dataset = self.part, tuple(self.game.data.shape), self.dataset
        if shape != dataset.shape:
            what = f"the game was built for the shape {shape} and the data set {dataset.name!r} has {dataset.shape}"
            raise UserError(f"{what}; evaluate it on the data that it was trained on.")
        found = _points(part, self.limit if self.count is None else self.count, self.seed, self.conditions)
        if len(found.x) < 2:
            raise UserError(f"there are {len(found.x)} samples to evaluate on; give a `count` of 2 or more.")
        return found

    @property
    def x(self) -> Tensor:
        """The held-out points, shape (n, *shape)."""
        return self.held_out.x

    @property
    def y(self) -> Tensor | None:
        """The labels of x, shape (n,), or None."""
        return self.held_out.y

    @property
    def condition(self) -> Tensor | None:
        """The labels or attributes of x for a conditional game, or None."""
        return self.held_out.condition

    @cached_property
    def train(self) -> Points:
        """At most 10,000 training points, for probes that are fitted."""
        return _points(self.dataset.train, NEIGHBOURS, self.seed)

    @property
    def validation(self) -> Points:
        """At most 5,000 validation points, for selection."""
        return _points(self.dataset.validation, COUNT, self.seed)

    @property
    def protocol(self) -> str:
        """A text on the number and choice of the held-out points, the default protocol of a metric."""
        return f"{len(self.x)} of {len(self.part)} of the {self.split} split, seed {self.seed}"

    def permuted(self, values: Tensor) -> Tensor:
        """The rows in a random order, by the seed."""
        return values[permutation(len(values), self.seed)]

    # ---- inference

    @cached_property
    def x_hat(self) -> Tensor:
        """Reconstructions of x, by the means of q(z | x) and p(x | z)."""
        return tasks.reconstruct(self.game, self.x, self.seed, self.condition)

    @cached_property
    def reconstruction(self) -> Reconstruction:
        """The errors of the reconstructions to x and to other x."""
        return reconstruction(self.x, self.x_hat, self.seed)

    @cached_property
    def z_hat(self) -> Tensor:
        """One draw of q(z | x) for each x, shape (n, latent)."""
        return tasks.encode(self.game, self.x, self.seed, sample=True, y=self.condition)

    @property
    def prior(self) -> Prior:
        """p(z)."""
        return require(self.game, Generates, "sampling").prior

    @cached_property
    def posterior(self) -> PosteriorMoments:
        """The moments of `z_hat` compared with the prior's."""
        return posterior_moments(self.z_hat, self.prior.mean, self.prior.variance)

    @cached_property
    def latents(self) -> tuple[Tensor, Tensor]:
        """The means of q(z | x) of `train` and of x."""
        return tasks.encode(self.game, self.train.x, self.seed), tasks.encode(self.game, self.x, self.seed)

    @cached_property
    def hidden(self) -> tuple[Tensor, Tensor]:
        """The encoder's last hidden layer on `train` and on x."""
        return tasks.features(self.game, self.train.x, self.seed), tasks.features(self.game, self.x, self.seed)

    @cached_property
    def untrained(self) -> Game | None:
        """A game of the same networks with random weights, if one was given."""
        return None if self._untrained is None else self._untrained()

    # ---- samples

    @cached_property
    def z(self) -> Tensor:
        """Draws of the prior, one for each x, shape (n, latent)."""
        return tasks.sample_latents(self.game, len(self.x), self.seed)

    @cached_property
    def samples(self) -> Tensor:
        """Draws of p(x | z) of these z, shape (n, *shape)."""
        return tasks.decode(self.game, self.z, self.seed, y=self.condition, sample=True)

    @property
    def sampling(self) -> str:
        """A text on how samples are drawn, for a protocol."""
        y = self.game.data.y if self.game.data.condition else None
        return f"draws of p(x | z, y) with the {y} of the held-out points" if y else "draws of p(x | z)"

    @cached_property
    def extractor(self) -> Extractor:
        """The extractor of the features; a classifier or random convolutions by default, never Inception."""
        return extractor_for(self.dataset, tasks.device_of(self.game))

    @property
    def classifier(self) -> bool:
        """True if the extractor is a classifier of the data's labels."""
        return isinstance(self.extractor, Classifier)

    @property
    def inception(self) -> bool:
        """True if the extractor is Inception. It does not build the default extractor."""
        return isinstance(self.__dict__.get("extractor"), Inception)

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """The comparisons of generated with real data: samples under "x", or translations of a game between two domains
        under "a" and "b".
        """
        if self.translates:
            return self.translations
        return {"x": self.comparison(self.held_out, self.samples, self.dataset, self.extractor)}

    def comparison(self, real: Points, made: Tensor, domain: Dataset, extractor: Extractor) -> Comparison:
        """Generated data compared with points of a domain."""
        return Comparison(
            real, made, lambda: _matching_train_points(self.game, domain, real, self.seed + 1).x, extractor
        )

    @property
    def features(self) -> tuple[Tensor, Tensor]:
        """Features of x and of the samples, shapes (n, d)."""
        return self.comparisons["x"].features

    @cached_property
    def probabilities(self) -> tuple[Tensor, Tensor] | None:
        """p(y | x) of x and of the samples, shapes (n, classes); None if the extractor predicts no classes."""
        real, made = self.extractor.probabilities(self.x), self.extractor.probabilities(self.samples)
        return None if real is None or made is None else (real, made)

    @property
    def k(self) -> int:
        """k of the neighbourhoods, which reach to the k-th nearest neighbour."""
        return min(5, len(self.x) - 1)

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """Precision, recall, density and coverage of the samples."""
        return precision_recall_density_coverage(*self.features, self.k)

    @property
    def codes(self) -> Codes:
        """The prior of a game with codes."""
        return require(self.game, HasCodes, "metrics of codes").prior

    @cached_property
    def code_bounds(self) -> Tensor:
        """The lower bound of the mutual information of samples and each code, in nats, shape (codes,)."""
        return code_bounds(self.codes, tasks.code_parameters(self.game, self.samples), self.z)

    # ---- mixtures

    @cached_property
    def mixture_samples(self) -> Tensor:
        """Samples whose modes are counted; a conditional game's labels are repeated if they are too few."""
        count = self.count or (PACGAN_COUNT if self.quick else MIXTURE_COUNT)
        condition = _points(self.part, count, self.seed, self.conditions).condition
        y = None if condition is None else condition[torch.arange(count) % len(condition)]
        return tasks.generate(self.game, count, self.seed, y=y, sample=True)

    @cached_property
    def modes(self) -> ModeCoverage:
        """The modes that the first samples reach, by PacGAN's protocol."""
        return self.coverage_of(self.mixture_samples[:PACGAN_COUNT])

    def coverage_of(self, samples: Tensor) -> ModeCoverage:
        """The modes that samples reach."""
        assert self.dataset.mixture is not None
        return mixture_coverage(samples, self.dataset.mixture)

    # ---- two domains

    @property
    def translates(self) -> bool:
        """True if game and data have two domains."""
        return self.game.data.other is not None and self.dataset.other is not None

    @property
    def other(self) -> Dataset:
        """The data of domain b."""
        assert self.dataset.other is not None
        return self.dataset.other

    @cached_property
    def part_of_b(self) -> Split:
        """All points of the evaluated split in the second data set, domain b, of which `translations` uses `count`."""
        return _split(self.other, self.split)

    @cached_property
    def translations(self) -> dict[str, Comparison]:
        """Translations into domain "a" and into domain "b", each compared with that domain's held-out points."""
        a, game = self.held_out, self.game
        b = _points(self.part_of_b, self.count or self.limit, self.seed)  # the same rows as of a, so that pairs match
        # a classifier is trained on its own domain
        extractor_of_b = extractor_for(self.other, tasks.device_of(game)) if self.classifier else self.extractor
        return {
            "a": self.comparison(a, tasks.translate(game, b.x, to="a"), self.dataset, self.extractor),
            "b": self.comparison(b, tasks.translate(game, a.x, to="b"), self.other, extractor_of_b),
        }


def _split(dataset: Dataset, name: str) -> Split:
    check_choice("split", name, ("train", "validation", "test"))
    part: Split = getattr(dataset, name)
    if len(part) == 0:
        raise UserError(f"the {name} split of {dataset.name!r} is empty; choose another split.")
    return part


def _points(split: Split, count: int, seed: int, conditions: NDArray[Any] | None = None) -> Points:
    """At most `count` points of a split, chosen by the seed, as tensors."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(split))[: max(count, 0)])
    y, c = (None if values is None else torch.from_numpy(values[rows]) for values in (split.y, conditions))
    return Points(as_tensor(split.x[rows]), y, c)


def _matching_train_points(game: Game, dataset: Dataset, points: Points, seed: int) -> Points:
    """As many training points as held-out ones, in place of samples of a perfect model. For a conditional game they have the
    same labels or attributes, unless no training point has them.
    """
    y_train = conditions(game.data, dataset, "train")
    if y_train is None or points.condition is None:
        return _points(dataset.train, len(points.x), seed)
    together = np.concatenate([y_train, points.condition.numpy()])
    kinds = np.unique(together, axis=0, return_inverse=True)[1].reshape(-1)
    random = np.random.default_rng(seed)
    order = random.permutation(len(y_train))
    rows = random.integers(len(y_train), size=len(points.x))
    train, held = kinds[: len(y_train)][order], kinds[len(y_train) :]
    for kind in np.intersect1d(train, held):
        places = np.flatnonzero(held == kind)
        rows[places] = np.resize(order[train == kind], len(places))  # repeated if there are too few
    return Points(as_tensor(dataset.train.x[np.sort(rows)]), None)
