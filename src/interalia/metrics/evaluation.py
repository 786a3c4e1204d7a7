"""All the measures that apply to a trained game on a data set, each with the protocol that it was taken by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interalia import tasks
from interalia.data.dataset import Dataset, Split
from interalia.data.store import as_tensor
from interalia.errors import UserError
from interalia.games.capabilities import Generates, HasCodes, Infers, require
from interalia.games.feeds import conditions
from interalia.metrics import REGISTRY
from interalia.metrics.classifier import Classifier
from interalia.metrics.codes import code_bounds, code_error, matching
from interalia.metrics.coverage import mixture_coverage, precision_recall_density_coverage
from interalia.metrics.distances import frechet_distance, inception_score, kernel_distance, maximum_mean_discrepancy
from interalia.metrics.features import Extractor, extractor_for
from interalia.metrics.inference import (
    expected_kl,
    latent_reconstruction,
    linear_probe_accuracy,
    nearest_neighbour_accuracy,
    posterior_moments,
    reconstruction,
)
from interalia.metrics.similarity import peak_signal_to_noise

if TYPE_CHECKING:
    from interalia.games import Game

NEIGHBOURS = 10_000  # at most so many training points for 1-nearest-neighbour and linear probes
COUNT = 5_000  # samples, where the split has as many
QUICK_COUNT = 500
MIXTURE_COUNT = 10_000  # the samples of ALI's mode count, of which the first
PACGAN_COUNT = 2_500  # are those of PacGAN's protocol
DISCREPANCY_COUNT = 2_000  # latents for the maximum mean discrepancy, whose cost is quadratic


@dataclass(frozen=True)
class Measure:
    """One number, and what must be known to compare it.

    Attributes:
        name: a key of `interalia.metrics.REGISTRY`.
        value: the number.
        unit: its unit, empty for a plain number.
        better: which way is better, None where neither is.
        about: one sentence on what it is.
        protocol: on which and how many samples, in which features, how chosen.
    """

    name: str
    value: float
    unit: str
    better: Literal["lower", "higher"] | None
    about: str
    protocol: str


def evaluate(
    game: Game,
    dataset: Dataset,
    *,
    split: str = "test",
    count: int | None = None,
    seed: int = 0,
    extractor: Extractor | None = None,
    untrained: Game | None = None,
    quick: bool = False,
) -> list[Measure]:
    """Takes every measure that the game and the data allow.

    A game without an encoder gets what concerns its samples; data without labels gets no accuracies; a mixture gets its
    modes in place of feature distances; a game between two domains gets what concerns its translations.

    See also:
        interalia.metrics.REGISTRY, for all names.

    Samples are draws of p(x | z), with the noise that the game's likelihood has: data of zeros and ones are compared with
    zeros and ones. A conditional game's are draws of p(x | z, y) with y of the held-out points that they are compared with,
    so that both have the same labels or attributes. Reconstructions are means.

    Arguments:
        game: a trained game.
        dataset: its data.
        split: 'train', 'validation' or 'test'; choices, such as of a checkpoint, must not be made on 'test'.
        count: how many samples to draw, and how many held-out ones to hold them against: by default 5,000, or the whole
            split if it has fewer; of a mixture 10,000. Quick: 500, of a mixture 2,500.
        seed: of every draw and choice.
        extractor: the features to compare in; by default `extractor_for(dataset)`.
        untrained: a game of the same networks with random weights, for a baseline.
        quick: only the reconstruction ratio and the Frechet distance or the modes, from few samples, for evaluation
            during training.

    Returns:
        The measures, in the catalogue's order.

    Raises:
        UserError: no such split, too few samples, a game that was built for another shape, or a conditional game on data
            without labels.
    """
    held_out = _split(dataset, split)
    if tuple(game.data.shape) != dataset.shape:
        raise UserError(
            f"the game was built for the shape {tuple(game.data.shape)} and the data set {dataset.name!r} has "
            f"{dataset.shape}; evaluate it on the data that it was trained on."
        )
    limit = QUICK_COUNT if quick else COUNT
    told = conditions(game.data, dataset, split)
    if game.data.condition and told is None:
        raise UserError(
            f"the {split} split of {dataset.name!r} has no labels, which this {type(game).__name__} is told of each point; "
            f"evaluate it on data that has."
        )
    queries = _some(held_out, limit if count is None else count, seed, told)
    if len(queries.x) < 2:
        raise UserError(f"there are {len(queries.x)} samples to evaluate on; give a `count` of 2 or more.")
    where = f"{len(queries.x)} of {len(held_out)} of the {split} split, seed {seed}"
    order = list(REGISTRY)
    if game.data.other is not None and dataset.other is not None:
        found = list(_translations(game, dataset, queries, split, count or limit, extractor, where, seed, quick))
        return sorted(found, key=lambda measure: order.index(measure.name))
    infers = isinstance(game, Infers)
    found = []
    if infers:
        found += _reconstructions(game, queries, where, seed, quick)
    if dataset.mixture is not None:
        drawn = count or (PACGAN_COUNT if quick else MIXTURE_COUNT)
        found += _modes(game, dataset, _some(held_out, drawn, seed, told).told, drawn, seed, quick)
    else:
        extractor = extractor or extractor_for(dataset, tasks.device_of(game))
        training = None if quick else _alike(game, dataset, queries, seed + 1)
        found += _samples(game, queries, training, extractor, where, seed)
    if infers and not quick:
        labelled = queries.y is not None and dataset.train.y is not None
        if (
            dataset.mixture is None and labelled and not game.data.condition
        ):  # an encoder that is told the label proves nothing
            found += _accuracies(game, untrained, _some(dataset.train, NEIGHBOURS, seed), queries, where, seed)
        if isinstance(game, Generates) and hasattr(game.prior, "mean"):  # its dimensions are alike
            found += _posterior(game, queries, where, seed)
    if game.data.classes and queries.y is not None:
        read = tasks.classify(game, queries.x, seed).argmax(1)
        found.append(_measure("classification_error", float((read != queries.y).double().mean()), where))
    if isinstance(game, HasCodes) and not quick:
        found += _codes(game, dataset, queries, where, seed)
    return sorted(found, key=lambda measure: order.index(measure.name))


@dataclass(frozen=True)
class _Points:
    x: Tensor
    y: Tensor | None
    told: Tensor | None = None  # what a conditional game is told of them


def _split(dataset: Dataset, name: str) -> Split:
    if name not in ("train", "validation", "test"):
        raise UserError(f"`split` is {name!r}; it is 'train', 'validation' or 'test'.")
    part: Split = getattr(dataset, name)
    if len(part) == 0:
        raise UserError(f"the {name} split of {dataset.name!r} is empty; evaluate on another split.")
    return part


def _some(split: Split, count: int, seed: int, told: NDArray[Any] | None = None) -> _Points:
    """At most `count` points of a split, chosen by the seed, as tensors."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(split))[: max(count, 0)])
    y, c = (None if values is None else torch.from_numpy(values[rows]) for values in (split.y, told))
    return _Points(as_tensor(split.x[rows]), y, c)


def _alike(game: Game, dataset: Dataset, points: _Points, seed: int) -> _Points:
    """As many training points as there are held-out ones, as though a perfect model had drawn them; of a conditional game
    with the labels or attributes of those, and others only where no training point has them."""
    own = conditions(game.data, dataset, "train")
    if own is None or points.told is None:
        return _some(dataset.train, len(points.x), seed)
    together = np.concatenate([own, points.told.numpy()])
    kinds = np.unique(together, axis=0, return_inverse=True)[1].reshape(-1)
    random = np.random.default_rng(seed)
    order = random.permutation(len(own))
    rows = random.integers(len(own), size=len(points.x))
    train, held = kinds[: len(own)][order], kinds[len(own) :]
    for kind in np.intersect1d(train, held):
        places = np.flatnonzero(held == kind)
        rows[places] = np.resize(order[train == kind], len(places))  # again from the first where there are too few
    return _Points(as_tensor(dataset.train.x[np.sort(rows)]), None)


def _words(game: Game) -> str:
    """How samples are drawn, for a protocol."""
    if not game.data.condition:
        return "draws of p(x | z)"
    return f"draws of p(x | z, y) with the {game.data.y} of the held-out points"


def _measure(name: str, value: float, protocol: str) -> Measure:
    metric = REGISTRY[name]
    return Measure(name, float(value), metric.unit, metric.better, metric.about, protocol)


def _reconstructions(game: Game, points: _Points, where: str, seed: int, quick: bool) -> Iterator[Measure]:
    x = points.x
    found = reconstruction(x, tasks.reconstruct(game, x, seed, points.told), seed)
    protocol = f"{where}; means of q(z | x) and p(x | z)"
    yield _measure("reconstruction_ratio", found.ratio, protocol)
    if quick:
        return
    yield _measure("reconstruction_error", found.error, protocol)
    yield _measure("reconstruction_shuffled", found.shuffled, protocol)
    yield _measure("reconstruction_mse", found.mse, protocol)
    if len(game.data.shape) == 3:
        yield _measure("psnr", found.psnr, f"{protocol}; peak 1")
    z = tasks.latents(game, len(x), seed)
    samples = tasks.decode(game, z, seed, y=points.told, how="sample")
    z_hat = tasks.encode(game, samples, seed + 1, y=points.told)  # an encoder's own noise is not to be z
    protocol = f"{len(z)} draws of the prior, seed {seed}; {_words(game)}; means of q(z | x)"
    yield _measure("latent_reconstruction", latent_reconstruction(z, z_hat), protocol)


def _modes(game: Game, dataset: Dataset, told: Tensor | None, count: int, seed: int, quick: bool) -> Iterator[Measure]:
    """Which modes samples reach; `told` are the labels that a conditional game is told, from the first again where there are
    fewer than samples."""
    assert dataset.mixture is not None
    y = None if told is None else told[torch.arange(count) % len(told)]
    samples = tasks.generate(game, count, seed, y=y, how="sample")
    few = mixture_coverage(samples[:PACGAN_COUNT], dataset.mixture)
    drawn = f"samples, {_words(game)}, seed {seed}"
    protocol = f"{len(samples[:PACGAN_COUNT])} {drawn}; nearest mean, three standard deviations, as PacGAN"
    yield _measure("modes", few.modes, protocol)
    yield _measure("high_quality", few.high_quality, protocol)
    yield _measure("reverse_kl", few.reverse_kl, protocol)
    if not quick:
        assigned = mixture_coverage(samples, dataset.mixture).modes_assigned
        yield _measure("modes_assigned", assigned, f"{len(samples)} {drawn}; by responsibility, as ALI")


def _samples(
    game: Game, points: _Points, training: _Points | None, extractor: Extractor, where: str, seed: int
) -> Iterator[Measure]:
    """How samples compare with held-out data in the extractor's features; without `training`, the distance alone."""
    x = points.x
    samples = tasks.generate(game, len(x), seed, y=points.told, how="sample")
    real, fake = extractor(x), extractor(samples)
    drawn = f"{len(samples)} samples, {_words(game)}"
    protocol = f"{drawn}, against {where}; {extractor.name}"
    yield _measure("frechet_distance", frechet_distance(real, fake), protocol)
    if training is None:
        return
    floor = frechet_distance(real, extractor(training.x))
    same = f" with {game.data.y} as theirs" if game.data.condition else ""
    protocol_of_floor = f"{len(training.x)} of the train split{same} against {where}; {extractor.name}"
    yield _measure("frechet_floor", floor, protocol_of_floor)
    apart = kernel_distance(real, fake, seed=seed, paired=game.data.condition > 0)
    yield _measure("kernel_distance", apart, f"{protocol}; 100 subsets of 1000, or all if no more")
    p_real, p_fake = extractor.probabilities(x), extractor.probabilities(samples)
    if p_fake is not None and game.data.condition and not game.data.attributes and isinstance(extractor, Classifier):
        (y,) = tasks.told(game, points.told, len(samples))
        read = (p_fake.argmax(1) == y.argmax(1)).double().mean().item()
        yield _measure("label_accuracy", read, f"{drawn}, {where}; {extractor.name}")
    if p_real is not None and p_fake is not None:
        splits = min(10, max(1, len(x) // 100))  # parts below 100 samples say little of p(y)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))  # no part is of few labels
        yield _measure("inception_score", inception_score(p_fake[order], splits), f"{protocol}; {splits} splits")
        yield _measure(
            "inception_score_real",
            inception_score(p_real[order], splits),
            f"{where}; {extractor.name}; {splits} splits",
        )
    k = min(5, len(x) - 1)
    near = precision_recall_density_coverage(real, fake, k)
    for name in ("precision", "recall", "density", "coverage"):
        yield _measure(name, getattr(near, name), f"{protocol}; k = {k}")


def _translations(
    game: Game,
    dataset: Dataset,
    a: _Points,
    split: str,
    count: int,
    extractor: Extractor | None,
    where: str,
    seed: int,
    quick: bool,
) -> Iterator[Measure]:
    """How translations both ways compare with their domains, with the truth where it is known, and with what they were."""
    assert dataset.other is not None
    held_out = _split(dataset.other, split)
    b = _some(held_out, count, seed)  # the same rows as of a, where the two are paired
    fake_b, fake_a = tasks.translate(game, a.x, to="b"), tasks.translate(game, b.x, to="a")
    back_a, back_b = tasks.translate(game, fake_b, to="a"), tasks.translate(game, fake_a, to="b")
    protocol = f"{where}, and {len(b.x)} of {len(held_out)} of domain b's"
    yield _measure("cycle_error", float((a.x - back_a).abs().mean() + (b.x - back_b).abs().mean()) / 2, protocol)

    extractor = extractor or extractor_for(dataset, tasks.device_of(game))
    judges = {"a": extractor, "b": extractor}
    if isinstance(extractor, Classifier):  # which reads its own domain
        judges["b"] = extractor_for(dataset.other, tasks.device_of(game))
    distances, floors = [], []
    for name, domain, real, fake in (("a", dataset, a, fake_a), ("b", dataset.other, b, fake_b)):
        judge = judges[name]
        features = judge(real.x)
        distances.append(frechet_distance(features, judge(fake)))
        told = f"{len(fake)} translations against {len(real.x)} held-out of domain {name}, seed {seed}; {judge.name}"
        yield _measure(f"frechet_to_{name}", distances[-1], told)
        if not quick:
            floors.append(frechet_distance(features, judge(_some(domain.train, len(real.x), seed + 1).x)))
        if dataset.paired:
            yield _measure(f"translation_error_{name}", float((fake - real.x).abs().mean()), protocol)
            if not quick and dataset.is_image:
                yield _measure(f"translation_psnr_{name}", peak_signal_to_noise(fake, real.x), f"{protocol}; peak 1")
            if not quick and real.y is not None and isinstance(judge, Classifier):
                read = judge.probabilities(fake).argmax(1)
                yield _measure(f"translation_accuracy_{name}", float((read == real.y).double().mean()), told)
    names = " and ".join(dict.fromkeys(judge.name for judge in judges.values()))
    yield _measure("frechet_distance", sum(distances) / 2, f"the mean of both ways; {protocol}; {names}")
    if not quick:
        yield _measure(
            "frechet_floor", sum(floors) / 2, f"as many of the train split, mean of both; {protocol}; {names}"
        )


def _accuracies(
    game: Game, untrained: Game | None, train: _Points, queries: _Points, where: str, seed: int
) -> Iterator[Measure]:
    assert train.y is not None
    assert queries.y is not None
    protocol = f"{where}; fitted to {len(train.x)} of the train split"
    flat = nearest_neighbour_accuracy(train.x.flatten(1), train.y, queries.x.flatten(1), queries.y)
    yield _measure("nearest_neighbour_input", flat, protocol)
    spaces: dict[str, Callable[[Game, Tensor, int], Tensor]] = {"latent": tasks.encode, "hidden": tasks.features}
    for space, read in spaces.items():
        a, b = read(game, train.x, seed), read(game, queries.x, seed)
        yield _measure(f"nearest_neighbour_{space}", nearest_neighbour_accuracy(a, train.y, b, queries.y), protocol)
        if len(set(train.y.tolist())) > 1:
            probe = linear_probe_accuracy(a, train.y, b, queries.y, seed=seed)
            yield _measure(f"linear_probe_{space}", probe, f"{protocol}, standardised, penalty chosen within it")
    if isinstance(untrained, Infers):
        a, b = tasks.features(untrained, train.x, seed), tasks.features(untrained, queries.x, seed)
        yield _measure("nearest_neighbour_untrained", nearest_neighbour_accuracy(a, train.y, b, queries.y), protocol)


def _codes(game: Game, dataset: Dataset, queries: _Points, where: str, seed: int) -> Iterator[Measure]:
    """What the recogniser reads off samples, whose codes are known, and off labelled data."""
    prior = require(game, HasCodes, "measuring codes").prior
    if prior.categorical and queries.y is not None and dataset.validation.y is not None:
        chosen = _some(dataset.validation, COUNT, seed)
        assert chosen.y is not None
        a, b = (tasks.answers(game, x)[:, : prior.categorical[0]].argmax(1) for x in (chosen.x, queries.x))
        stands = matching(a, chosen.y, prior.categorical[0])
        protocol = (
            f"{where}; c1's {prior.categorical[0]} categories matched one to one to the labels, by the Hungarian method, on "
            f"{len(chosen.x)} of the validation split"
        )
        yield _measure("code_error", code_error(b, queries.y, stands), protocol)
    z = tasks.latents(game, len(queries.x), seed)
    bounds = code_bounds(prior, tasks.answers(game, tasks.decode(game, z, seed, how="sample")), z)
    entropy = prior.entropy.cpu()
    each = ", ".join(
        f"{name} {bound:.3f} (H {h:.3f})" for name, bound, h in zip(prior.names, bounds, entropy, strict=True)
    )
    protocol = f"{len(z)} samples, {_words(game)}, seed {seed}; Q's width for continuous codes fitted to them; {each}"
    yield _measure("code_bound", float(bounds.sum()), protocol)
    if prior.categorical:
        count = len(prior.categorical)
        most = f"at most {float(entropy[:count].sum()):.3f}; {protocol}"
        yield _measure("code_bound_categories", float(bounds[:count].sum()), most)


def _posterior(game: Game, points: _Points, where: str, seed: int) -> Iterator[Measure]:
    z_hat = tasks.encode(game, points.x, seed, how="sample", y=points.told)
    prior = require(game, Generates, "measuring the posterior").prior
    mean, variance = prior.mean, prior.variance
    found = posterior_moments(z_hat, mean, variance)
    protocol = f"{where}; one draw of q(z | x) each; the prior has mean {mean:g} and variance {variance:.4g}"
    n, d = z_hat.shape
    floor = f"{protocol}; of a perfect posterior about {{:.3g}} from {n} draws"
    yield _measure("posterior_mean_norm", found.mean_norm, floor.format(math.sqrt(d * variance / n)))
    yield _measure("posterior_variance", found.variance, protocol)
    away = 2 * math.sqrt(math.log(d) / n)
    yield _measure("posterior_variance_least", found.variance_least, floor.format(max(0.0, variance * (1 - away))))
    yield _measure("posterior_variance_greatest", found.variance_greatest, floor.format(variance * (1 + away)))
    distance = variance * math.sqrt(d * (d + 1) / n)
    yield _measure("posterior_covariance_distance", found.covariance_distance, floor.format(distance))
    if n > d:  # the covariance of fewer draws is singular
        less = f"{protocol}; less {expected_kl(n, d):.4g}, its mean for a perfect Gaussian posterior"
        yield _measure("posterior_kl", found.kl, f"{less}, of which it then strays by {found.kl_error:.2g}")
    some = z_hat[torch.randperm(len(z_hat), generator=torch.Generator().manual_seed(seed))[:DISCREPANCY_COUNT]]
    bandwidth = math.sqrt(z_hat.shape[1] * variance)
    discrepancy = maximum_mean_discrepancy(some, tasks.latents(game, len(some), seed + 1), bandwidth)
    yield _measure(
        "posterior_mmd", discrepancy, f"{protocol}; {len(some)} of each, Gaussian kernel of width {bandwidth:.4g}"
    )
