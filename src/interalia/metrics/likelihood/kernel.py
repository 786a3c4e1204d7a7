"""Likelihoods of held-out data under a model that can only be sampled: kernel density estimates on its samples.

The value depends on the number of samples and on the choice of the bandwidth, and it favours samples close to averages,
so only values of one protocol are comparable. The protocol of the GAN paper is `held_out_bandwidth` with 10,000
samples, that of the f-GAN paper `cross_validated_bandwidth` with 16,000.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike  # at run time, as `settings_of` reads the types of estimates
from torch import Tensor

from interalia.data.sampler import permutation
from interalia.errors import UserError
from interalia.games.game import Game
from interalia.metrics.distances import check_features
from interalia.metrics.likelihood.estimate import GIVEN, SHARE, Estimate, free_bytes, in_chunks, standard_error
from interalia.registry import Samples, check_bounds

GRID = tuple(0.02 * 1.05**i for i in range(67))  # 0.02 to 0.50 in steps of 5 %: half a step off costs d/1700 nats
SHIFTS = 8  # times that the grid is moved on, by a factor of 25, where its best point is at an edge
PAIRS = 2**22  # distances in memory at once, which fit a processor's cache
BYTES = 3 * 8  # per distance: itself, its kernel, and intermediate results
LEAST_POINTS = 256  # smallest chunk, so that the computations on the centres pay off
SCOUTS = 2_000  # samples for the coarse search of a long grid
NARROWED = 5  # grid points kept on either side of its result


@dataclass(frozen=True)
class Likelihood:
    """The mean log-likelihood of points under a kernel density estimate, in nats, and its standard error.

    Attributes:
        mean: the mean over the points, in nats.
        error: the standard error of that mean, s / sqrt(m) with the standard deviation s over the m points.
        bandwidth: the kernels' standard deviation in each dimension, in the points' unit.
        samples: number of samples, which are the centres of the kernels.
        points: number of points, m.
    """

    mean: float
    error: float
    bandwidth: float
    samples: int
    points: int


def kernel_likelihood(points: Tensor, samples: Tensor, bandwidth: float) -> Likelihood:
    """The mean log-likelihood of points under a kernel density estimate on samples, known as a Parzen window estimate.

    It is mean_x log p(x), with Gaussian kernels of the given bandwidth. The standard error is over the points only; it
    does not include the variation over samples and trainings, or the bias of the estimate.

    See Also:
        log_densities, for the formula; cross_validated_bandwidth, held_out_bandwidth.

    References:
        On Estimation of a Probability Density Function and Mode, Emanuel Parzen, 1962,
        https://doi.org/10.1214/aoms/1177704472
        A note on the evaluation of generative models, Lucas Theis, Aaron van den Oord, Matthias Bethge, 2016,
        https://arxiv.org/abs/1511.01844 (on why these values say little about a model)

    Arguments:
        points: x, shape (m, ...), each flattened to d numbers.
        samples: the kernels' centres, shape (n, ...) with the same d.
        bandwidth: h, the kernels' standard deviation in each dimension.

    Raises:
        UserError: fewer than two points, no samples, different sizes, values that are not finite, or a bandwidth that is
            not positive.

    Example:
        >>> found = kernel_likelihood(torch.tensor([[0.0], [2.0]]), torch.zeros(5, 1), bandwidth=1.0)
        >>> round(found.mean, 4)  # -(log 2 pi)/2 - (0 + 2)/2
        -1.9189
    """
    (values,) = log_densities(points, samples, [bandwidth])
    if len(values) < 2:
        raise UserError(f"a standard error needs at least 2 points, and there is {len(values)}; give more points.")
    return Likelihood(float(values.mean()), standard_error(values), bandwidth, len(samples), len(values))


def kernel_estimate(
    game: Game,
    x: Tensor,
    validation: Tensor,
    samples: Samples = 10_000,
    seed: int = 0,
    binarized: str = GIVEN,
    y: ArrayLike | None = None,
) -> Estimate:
    """Estimates log p(x), in nats, by a kernel density estimate on samples of a game, as in the GAN paper.

    Samples are drawn from p(x | z), with the noise of the game's likelihood. Those of a conditional game are drawn from
    p(x | z, y) with y of the validation data, so the estimate does not depend on x.

    The bandwidth maximizes the likelihood of the validation data. The result does not estimate the log p(x) of the game
    itself, and only values of one protocol are comparable.

    See Also:
        log_densities, for the formula; held_out_bandwidth; annealed_importance, for games with a density.

    References:
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661

    Arguments:
        game: any game that generates.
        x: images, shape (n, ...).
        validation: images for the choice of the bandwidth, shape (m, ...); never test data.
        samples: number of samples of the game.
        seed: random seed of the samples, and of the order of the images.
        binarized: how x was binarized, "none", "static" or "dynamic", for the description of the estimate.
        y: labels or attributes of validation data that a conditional game's samples are conditioned on, shape (k,) or
            (k, labels); repeated if they are fewer than samples.

    Returns:
        One value for each image; an interrupted estimate has the values of the finished images.

    Raises:
        UserError: fewer than one sample or more than a million, a conditional game without y, or what `log_densities` raises.

    Example:
        >>> from interalia.conditionals import Deterministic, Gaussian, StandardNormal
        >>> from interalia.games import VAE
        >>> from interalia.networks.mlp import MLP
        >>> game = VAE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), StandardNormal(3))
        >>> kernel_estimate(game, torch.zeros(5, 2), torch.ones(4, 2), samples=20).values.shape
        torch.Size([5])
    """
    check_bounds(kernel_estimate, samples=samples)
    centres, sampling = kernel_centres(game, samples, seed, y)
    bandwidth = held_out_bandwidth(centres, validation)
    _flat_float64(x, centres, [bandwidth])
    chunk, about = max(LEAST_POINTS, max_pairs() // samples), f"kde of {len(x):,} images"

    def work(index: Tensor, progress: object) -> Tensor:
        """Returns the estimate of log p(x) of the images at the indices `index`, in nats, shape (len(index), 1).

        `progress` is not called.
        """
        return log_densities(x[index], centres, [bandwidth]).T

    which, values = in_chunks(len(x), chunk, seed, about, work)
    kernels = f"Gaussian kernels on {samples:,} samples, {sampling}"
    chosen = f"bandwidth {bandwidth:.3g} chosen on {len(validation):,} validation images"
    protocol = f"{kernels}, {chosen}; binarization: {binarized}; seed {seed}"
    return Estimate("kde", values[:, 0], which, len(x), protocol)


def kernel_centres(game: Game, samples: int, seed: int, y: ArrayLike | None) -> tuple[Tensor, str]:
    """Returns samples of a game, shape (samples, *shape), and a text that describes how they were drawn.

    Arguments:
        game: any game that generates.
        samples: number of samples.
        seed: random seed of the samples.
        y: labels or attributes that samples of a conditional game are conditioned on, in a random order and repeated if they
            are too few; not used for other games.
    """
    from interalia import tasks

    condition: Tensor | None = None
    sampling = "draws of p(x | z)"
    if game.data.condition:
        (condition,) = tasks.condition(game, y, 0 if y is None else len(y))  # type: ignore[arg-type]
        order = permutation(len(condition), seed)
        condition = condition[order[torch.arange(samples) % len(condition)]]
        sampling = f"draws of p(x | z, y) with the {game.data.y} of validation data"
    return tasks.generate(game, samples, seed, y=condition, sample=True), sampling


def max_pairs() -> int:
    """The largest number of distances between points and kernels' centres to compute at once.

    They fit a processor's cache and a quarter of the free memory.
    """
    return min(PAIRS, int(SHARE * free_bytes(torch.device("cpu")) / BYTES))


def log_densities(points: Tensor, samples: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """The log densities log p(x) of a kernel density estimate with isotropic Gaussian kernels, for each bandwidth h.

        log p(x) = log sum_i exp(-|x - c_i|^2 / (2 h^2)) - log n - (d / 2) log(2 pi h^2)

    The sum is exact, over all centres. The squared distances are computed once for all bandwidths, from products of the
    centred data: in float32 if the rounding error is below a tenth of a nat per point at the smallest bandwidth, else in
    float64. The distance to the nearest centre, which scales the sum, is always recomputed in float64. At most 2^22
    distances are in memory at once, fewer if less is free.

    Arguments:
        points: x, shape (m, ...), each flattened to d numbers.
        samples: the centres c_i, shape (n, ...) with the same d.
        bandwidths: h, each positive.

    Returns:
        log p(x) in nats, float64, shape (len(bandwidths), m).

    Raises:
        UserError: no points or samples, different sizes, values that are not finite, or a bandwidth that is not positive.

    Example:
        >>> log_densities(torch.zeros(1, 2), torch.zeros(3, 2), [1.0, 2.0]).exp() * 2 * math.pi  # 1 / h^2
        tensor([[1.0000],
                [0.2500]], dtype=torch.float64)
    """
    x, c = _flat_float64(points, samples, bandwidths)
    n, d = c.shape
    centre = c.mean(0)
    x, c = x - centre, c - centre
    norms_x, norms_c = x.square().sum(1), c.square().sum(1)
    narrowest = 2 * min(bandwidths) ** 2
    rounding = torch.finfo(torch.float32).eps * float(norms_x.max() + norms_c.max()) / narrowest
    kind = torch.float32 if rounding <= 0.1 else torch.float64
    low_x, low_c, low_norms = x.to(kind), c.to(kind), norms_c.to(kind)

    log_p = torch.empty(len(bandwidths), len(x), dtype=torch.float64)
    for part in torch.arange(len(x)).split(max(1, max_pairs() // n)):
        distances = torch.addmm(low_norms, low_x[part], low_c.T, alpha=-2)  # |x - c_i|^2 - |x|^2
        nearest, index = distances.min(1)
        least = (x[part] - c[index]).square().sum(1)  # |x - c_i|^2 of the nearest
        distances.sub_(nearest[:, None])
        kernels = torch.empty_like(distances)
        for k, h in enumerate(bandwidths):
            torch.mul(distances, -1 / (2 * h**2), out=kernels).exp_()
            log_p[k, part] = kernels.sum(1, dtype=torch.float64).log() - least / (2 * h**2)
    for k, h in enumerate(bandwidths):
        log_p[k] -= math.log(n) + d / 2 * math.log(2 * math.pi * h**2)
    return log_p


def cross_validated_bandwidth(
    samples: Tensor, folds: int = 3, grid: Sequence[float] | None = None, seed: int = 0
) -> float:
    """The bandwidth that maximizes the cross-validated likelihood of the samples, as in the f-GAN paper; it uses no data.

        argmax_h sum_k sum_{x in fold k} log p_h(x | the other folds)

    Here p_h(x | samples) is the kernel density estimate on the samples with the bandwidth h.

    See Also:
        held_out_bandwidth, the method of the GAN paper, which uses validation data; log_densities, for p_h.

    References:
        f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, Sebastian Nowozin,
        Botond Cseke, Ryota Tomioka, 2016, https://arxiv.org/abs/1606.00709

    Arguments:
        samples: the samples, shape (n, ...), divided into folds by a random permutation.
        folds: the number of folds.
        grid: the bandwidths to choose from; None for `GRID`, 0.02 to 0.50 in steps of 5 %, which goes on in the same steps
            where the best one is at its edge, as for samples that are not in [0, 1].
        seed: random seed of the permutation.

    Raises:
        UserError: fewer than two folds, fewer samples than folds, values that are not finite, or a bandwidth that is not
            positive.

    Example:
        >>> x = torch.randn(300, 1, generator=torch.Generator().manual_seed(0))
        >>> cross_validated_bandwidth(x, grid=[0.001, 0.3, 100.0])
        0.3
    """
    if not 2 <= folds <= len(samples):
        raise UserError(f"`folds` is {folds} for {len(samples)} samples; give a number from 2 to that of the samples.")
    order = permutation(len(samples), seed)
    return _best_bandwidth(grid, len(samples), lambda h, count: _cross_validated(samples[order[:count]], folds, h))


def held_out_bandwidth(samples: Tensor, validation: Tensor, grid: Sequence[float] | None = None) -> float:
    """The bandwidth h that maximizes the likelihood of validation data, argmax_h sum_x log p_h(x | samples).

    Here p_h(x | samples) is the kernel density estimate on the samples with the bandwidth h. This is the method of the
    GAN paper, whose grid is logspace(-1, 0, 10) and whose validation data are the first 1,000 of MNIST's.

    See Also:
        cross_validated_bandwidth, the method of the f-GAN paper, which uses no data.

    References:
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661

    Arguments:
        samples: the kernels' centres, shape (n, ...).
        validation: x, shape (m, ...); never test data.
        grid: the bandwidths to choose from; None for `GRID`, 0.02 to 0.50 in steps of 5 %, which goes on in the same steps
            where the best one is at its edge, as for samples that are not in [0, 1].

    Raises:
        UserError: no points or samples, different sizes, values that are not finite, or a bandwidth that is not positive.

    Example:
        >>> held_out_bandwidth(torch.zeros(10, 2), torch.tensor([[3.0, 4.0]]), grid=[1.0, 3.5, 12.0])  # 5 / sqrt(2)
        3.5
    """
    return _best_bandwidth(grid, len(samples), lambda h, count: log_densities(validation, samples[:count], h).sum(1))


def _cross_validated(samples: Tensor, folds: int, grid: Sequence[float]) -> Tensor:
    """The cross-validated log-likelihood of the samples for each bandwidth h of the grid, float64, shape (len(grid),).

    It is sum_k sum_{x in fold k} log p_h(x | the other folds), with the kernel density estimate p_h on the other folds.
    Folds are of consecutive samples.
    """
    parts = samples.tensor_split(folds)
    scores = (log_densities(fold, torch.cat(parts[:k] + parts[k + 1 :]), grid).sum(1) for k, fold in enumerate(parts))
    return sum(scores, torch.zeros(len(grid), dtype=torch.float64))


def _best_bandwidth(grid: Sequence[float] | None, n: int, score: Callable[[Sequence[float], int], Tensor]) -> float:
    """Returns the bandwidth of a grid with the highest score, or of `GRID` and its continuation if the grid is None.

    The continuation is searched in the direction of the edge that the best point is at. If even its last point is best, as
    for points that are all copies of samples, whose likelihood has no maximum, the result is that edge of `GRID`.

    Arguments:
        grid: the bandwidths to choose from.
        n: the number of all samples.
        score: maps several bandwidths and a number of samples to each bandwidth's score, computed from so many samples.
    """
    if grid is not None:
        return _best_of(sorted(grid), n, score)
    edge = best = _best_of(GRID, n, score)
    if edge not in (GRID[0], GRID[-1]):
        return edge
    steps = len(GRID) - 1 if edge == GRID[-1] else 1 - len(GRID)
    for shift in range(1, SHIFTS + 1):
        shifted = [GRID[0] * 1.05 ** (shift * steps + i) for i in range(len(GRID))]  # its first point was the last one
        best = _best_of(shifted, n, score)
        if best != (shifted[-1] if steps > 0 else shifted[0]):
            return best
    return edge


def _best_of(grid: Sequence[float], n: int, score: Callable[[Sequence[float], int], Tensor]) -> float:
    """Returns the bandwidth of an ascending grid with the highest score.

    A grid of more than 11 points is first searched with 2,000 samples, if n is more, and then with all samples at the
    result and five points on either side: the score has one peak, which more samples shift to smaller bandwidths by a few
    points at most. While the best one is at an edge of the searched points, but not of the grid, the search goes on
    around it.

    Arguments:
        grid: the bandwidths to choose from.
        n: the number of all samples.
        score: maps several bandwidths and a number of samples to each bandwidth's score, computed from so many samples.
    """
    low, high = 0, len(grid)
    if n > SCOUTS and len(grid) > 2 * NARROWED + 1:
        middle = int(score(grid, SCOUTS).argmax())
        low, high = max(0, middle - NARROWED), min(len(grid), middle + NARROWED + 1)
    while True:
        best = low + int(score(grid[low:high], n).argmax())
        if low < best < high - 1 or (best == low == 0) or (best == high - 1 == len(grid) - 1):
            return float(grid[best])
        low, high = max(0, best - NARROWED), min(len(grid), best + NARROWED + 1)


def _flat_float64(points: Tensor, samples: Tensor, bandwidths: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Returns points and samples as rows of float64 on the CPU, shapes (m, d) and (n, d), each example flattened.

    Raises a UserError if their sizes differ, if there are none, if a value is not finite, or if a bandwidth is not
    positive.
    """
    x, c = (part.flatten(1).cpu().double() if part.ndim > 1 else part for part in (points, samples))
    check_features(x, c, names=("points", "samples"))
    if not bandwidths or not all(0 < h < math.inf for h in bandwidths):
        raise UserError(f"the bandwidths are {list(bandwidths)}; give at least one, all of them positive numbers.")
    return x, c
