"""What metrics are taken of: a trained game on a split of its data, each part computed at its first use and shared."""

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
from interalia.metrics.extractors import Extractor, extractor_for
from interalia.metrics.inference import PosteriorMoments, Reconstruction, posterior_moments, reconstruction

NEIGHBOURS = 10_000  # at most so many training points for 1-nearest-neighbour and linear probes
COUNT = 5_000  # samples, where the split has as many
QUICK_COUNT = 500
MIXTURE_COUNT = 10_000  # the samples of ALI's mode count, of which the first
PACGAN_COUNT = 2_500  # are those of PacGAN's protocol


@dataclass(frozen=True)
class Points:
    """Points of a split.

    Attributes:
        x: shape (n, *shape), in [0, 1] where they are images.
        y: their labels, shape (n,), or None.
        condition: the labels or attributes that a conditional game is given of them, or None.
    """

    x: Tensor
    y: Tensor | None
    condition: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """y, where the points have labels."""
        assert self.y is not None
        return self.y


class Comparison:
    """Made data beside real data, in the features of one extractor.

    Arguments:
        real: held-out points.
        made: samples, or translations, shape (m, *shape).
        alike: draws as many training points, as though a perfect model had made them.
        extractor: whose features are compared.
    """

    def __init__(self, real: Points, made: Tensor, alike: Callable[[], Tensor], extractor: Extractor) -> None:
        self.real, self.made, self.alike, self.extractor = real, made, alike, extractor

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Of the real and of the made data, shapes (n, d) and (m, d)."""
        return self.extractor(self.real.x), self.extractor(self.made)

    @property
    def readable(self) -> bool:
        """Whether the extractor is a classifier and the real data have labels."""
        return isinstance(self.extractor, Classifier) and self.real.y is not None

    @cached_property
    def frechet(self) -> float:
        """The Frechet distance of both."""
        return frechet_distance(*self.features)

    @cached_property
    def floor(self) -> float:
        """The Frechet distance of the real data and of as many training points."""
        return frechet_distance(self.features[0], self.extractor(self.alike()))


class Evidence:
    """One game on one split of its data. Each attribute is computed at its first use and kept; `drop` forgets the large ones.

    Samples are draws of p(x | z), with the noise that the game's likelihood has: data of zeros and ones are compared with
    zeros and ones. A conditional game's are draws of p(x | z, y) with y of the held-out points that they are compared with,
    so that both have the same labels or attributes. Reconstructions are means.

    Arguments:
        game: a trained game.
        dataset: its data.
        split: 'train', 'validation' or 'test'; choices, such as of a checkpoint, must not be made on 'test'.
        count: how many samples to draw, and how many held-out points to hold them against: by default 5,000, or the whole
            split if it has fewer; of a mixture 10,000. Quick: 500, of a mixture 2,500.
        seed: of every draw and choice.
        extractor: the features to compare in; by default `extractor_for(dataset)`.
        untrained: makes a game of the same networks with random weights, for a baseline.
        quick: from few samples, as during training.

    Raises:
        UserError: at the first use of the held-out data: no such split, too few points, a game that was built for another
            shape, or a conditional game on data without labels.

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
        self.limit = QUICK_COUNT if quick else COUNT  # how many points and samples there are by default
        if extractor is not None:
            self.extractor = extractor

    def drop(self, *names: str) -> None:
        """Forgets what was computed under these names, by default all that is as large as the data but the held-out points
        and the samples; it is computed again where it is asked for again."""
        for name in names or self.LARGE:
            self.__dict__.pop(name, None)

    # ---- the data

    @cached_property
    def part(self) -> Split:
        """The whole split."""
        return _split(self.dataset, self.split)

    @cached_property
    def conditions(self) -> NDArray[Any] | None:
        """What a conditional game is given of each point of the split; None for any other."""
        found = conditions(self.game.data, self.dataset, self.split)
        if found is None and self.game.data.condition:
            what = f"the {self.split} split of {self.dataset.name!r} has no labels"
            raise UserError(f"{what}, which this {type(self.game).__name__} is told; evaluate it on data that has.")
        return found

    @cached_property
    def held_out(self) -> Points:
        """The points that everything is held against, chosen by the seed."""
        part, shape, dataset = self.part, tuple(self.game.data.shape), self.dataset
        if shape != dataset.shape:
            what = f"the game was built for the shape {shape} and the data set {dataset.name!r} has {dataset.shape}"
            raise UserError(f"{what}; evaluate it on the data that it was trained on.")
        found = _some(part, self.limit if self.count is None else self.count, self.seed, self.conditions)
        if len(found.x) < 2:
            raise UserError(f"there are {len(found.x)} samples to evaluate on; give a `count` of 2 or more.")
        return found

    @property
    def x(self) -> Tensor:
        """The held-out points, shape (n, *shape)."""
        return self.held_out.x

    @property
    def y(self) -> Tensor | None:
        """Their labels, shape (n,), or None."""
        return self.held_out.y

    @property
    def condition(self) -> Tensor | None:
        """What a conditional game is given of them, or None."""
        return self.held_out.condition

    @cached_property
    def train(self) -> Points:
        """At most 10,000 training points, for what is fitted to them."""
        return _some(self.dataset.train, NEIGHBOURS, self.seed)

    @property
    def chosen(self) -> Points:
        """At most 5,000 validation points, on which what has to be chosen is chosen."""
        return _some(self.dataset.validation, COUNT, self.seed)

    @property
    def where(self) -> str:
        """Which held-out points these are, for a protocol."""
        return f"{len(self.x)} of {len(self.part)} of the {self.split} split, seed {self.seed}"

    def shuffled(self, values: Tensor) -> Tensor:
        """These rows in an order drawn by the seed."""
        return values[permutation(len(values), self.seed)]

    # ---- what the game infers

    @cached_property
    def x_hat(self) -> Tensor:
        """Reconstructions of x, by the means of q(z | x) and p(x | z)."""
        return tasks.reconstruct(self.game, self.x, self.seed, self.condition)

    @cached_property
    def reconstruction(self) -> Reconstruction:
        """How near they come to x, and to other x."""
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
        """The moments of these draws against the prior's."""
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
        """A game of the same networks with random weights, where one was given."""
        return None if self._untrained is None else self._untrained()

    # ---- what the game makes

    @cached_property
    def z(self) -> Tensor:
        """Draws of the prior, one for each x, shape (n, latent)."""
        return tasks.sample_latents(self.game, len(self.x), self.seed)

    @cached_property
    def samples(self) -> Tensor:
        """Draws of p(x | z) of these z, shape (n, *shape)."""
        return tasks.decode(self.game, self.z, self.seed, y=self.condition, sample=True)

    @property
    def drawn(self) -> str:
        """How samples are drawn, for a protocol."""
        y = self.game.data.y if self.game.data.condition else None
        return f"draws of p(x | z, y) with the {y} of the held-out points" if y else "draws of p(x | z)"

    @cached_property
    def extractor(self) -> Extractor:
        """Whose features are compared."""
        return extractor_for(self.dataset, tasks.device_of(self.game))

    @property
    def classifier(self) -> bool:
        """Whether these are a classifier's."""
        return isinstance(self.extractor, Classifier)

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """Of what the game makes with the data: of its samples under "x"; of a game between two domains of its translations
        under "a" and "b"."""
        if self.translates:
            return self.translations
        return {"x": self.compared(self.held_out, self.samples, self.dataset, self.extractor)}

    def compared(self, real: Points, made: Tensor, domain: Dataset, extractor: Extractor) -> Comparison:
        """What was made beside points of a domain."""
        return Comparison(real, made, lambda: _alike(self.game, domain, real, self.seed + 1).x, extractor)

    @property
    def features(self) -> tuple[Tensor, Tensor]:
        """Of x and of the samples, shapes (n, d)."""
        return self.comparisons["x"].features

    @cached_property
    def probabilities(self) -> tuple[Tensor, Tensor] | None:
        """p(y | x) of x and of the samples, shapes (n, classes), where the extractor knows classes."""
        real, made = self.extractor.probabilities(self.x), self.extractor.probabilities(self.samples)
        return None if real is None or made is None else (real, made)

    @property
    def nearest(self) -> int:
        """k, the neighbour that a point's neighbourhood reaches to."""
        return min(5, len(self.x) - 1)

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """Precision, recall, density and coverage of the samples."""
        return precision_recall_density_coverage(*self.features, self.nearest)

    @property
    def codes(self) -> Codes:
        """The prior of a game that reads codes."""
        return require(self.game, HasCodes, "measuring codes").prior

    @cached_property
    def code_bounds(self) -> Tensor:
        """The bound of the information that samples have of each code, in nats, shape (codes,)."""
        return code_bounds(self.codes, tasks.code_parameters(self.game, self.samples), self.z)

    # ---- mixtures

    @cached_property
    def mixture_samples(self) -> Tensor:
        """Samples whose modes are counted; the labels that a conditional game is given begin anew where they are too few."""
        count = self.count or (PACGAN_COUNT if self.quick else MIXTURE_COUNT)
        told = _some(self.part, count, self.seed, self.conditions).condition
        y = None if told is None else told[torch.arange(count) % len(told)]
        return tasks.generate(self.game, count, self.seed, y=y, sample=True)

    @cached_property
    def modes(self) -> ModeCoverage:
        """Which modes the first of them reach, by PacGAN's protocol."""
        return self.coverage_of(self.mixture_samples[:PACGAN_COUNT])

    def coverage_of(self, samples: Tensor) -> ModeCoverage:
        """Which modes samples reach."""
        assert self.dataset.mixture is not None
        return mixture_coverage(samples, self.dataset.mixture)

    # ---- two domains

    @property
    def translates(self) -> bool:
        """Whether game and data have two domains."""
        return self.game.data.other is not None and self.dataset.other is not None

    @property
    def other(self) -> Dataset:
        """The data of domain b."""
        assert self.dataset.other is not None
        return self.dataset.other

    @cached_property
    def part_of_b(self) -> Split:
        """The whole split of domain b."""
        return _split(self.other, self.split)

    @cached_property
    def translations(self) -> dict[str, Comparison]:
        """What is translated into domain "a" and into domain "b", beside what belongs there."""
        a, game = self.held_out, self.game
        b = _some(self.part_of_b, self.count or self.limit, self.seed)  # the same rows as of a, where they are pairs
        own = self.classifier  # which reads its own domain
        judge_of_b = extractor_for(self.other, tasks.device_of(game)) if own else self.extractor
        return {
            "a": self.compared(a, tasks.translate(game, b.x, to="a"), self.dataset, self.extractor),
            "b": self.compared(b, tasks.translate(game, a.x, to="b"), self.other, judge_of_b),
        }


def _split(dataset: Dataset, name: str) -> Split:
    check_choice("split", name, ("train", "validation", "test"))
    part: Split = getattr(dataset, name)
    if len(part) == 0:
        raise UserError(f"the {name} split of {dataset.name!r} is empty; evaluate on another split.")
    return part


def _some(split: Split, count: int, seed: int, conditions: NDArray[Any] | None = None) -> Points:
    """At most `count` points of a split, chosen by the seed, as tensors."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(split))[: max(count, 0)])
    y, c = (None if values is None else torch.from_numpy(values[rows]) for values in (split.y, conditions))
    return Points(as_tensor(split.x[rows]), y, c)


def _alike(game: Game, dataset: Dataset, points: Points, seed: int) -> Points:
    """As many training points as there are held-out ones, as though a perfect model had drawn them; of a conditional game
    with the labels or attributes of those, and others only where no training point has them."""
    own = conditions(game.data, dataset, "train")
    if own is None or points.condition is None:
        return _some(dataset.train, len(points.x), seed)
    together = np.concatenate([own, points.condition.numpy()])
    kinds = np.unique(together, axis=0, return_inverse=True)[1].reshape(-1)
    random = np.random.default_rng(seed)
    order = random.permutation(len(own))
    rows = random.integers(len(own), size=len(points.x))
    train, held = kinds[: len(own)][order], kinds[len(own) :]
    for kind in np.intersect1d(train, held):
        places = np.flatnonzero(held == kind)
        rows[places] = np.resize(order[train == kind], len(places))  # again from the first where there are too few
    return Points(as_tensor(dataset.train.x[np.sort(rows)]), None)
