"""Fidelity and coverage of samples, from nearest neighbours of real and generated points or from a mixture's modes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from interalia.data.dataset import Mixture
from interalia.errors import UserError
from interalia.metrics.distances import check_features

CHUNK = 1000  # rows of a distance matrix in memory at a time
DIFFERENCES = "donot_use_mm_for_euclid_dist"  # torch's name for distances without products


@dataclass(frozen=True)
class Neighbourhoods:
    """How well samples resemble real data (precision and density) and cover them (recall and coverage).

    The numbers are computed from a ball around each point, whose radius is the distance to the point's k-th nearest
    neighbour in its own set.

    Attributes:
        precision: share of samples inside the ball of a data point.
        recall: share of data points inside the ball of a sample.
        density: mean number of data points' balls that contain a sample, over k.
        coverage: share of data points whose ball contains a sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall_density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> Neighbourhoods:
    """The precision, recall, density and coverage of generated samples.

    They are computed from a ball around each point, whose radius is the distance to the k-th nearest neighbour in its
    own set. With r_i the radius of real_i's ball, s_j that of fake_j's, d_ij their distance, m the number of samples,
    and brackets that are 1 if the condition in them is true, else 0,

        precision = mean_j [some i: d_ij <= r_i]      recall   = mean_i [some j: d_ij <= s_j]
        density   = sum_ij [d_ij <= r_i] / (k m)      coverage = mean_i [some j: d_ij <= r_i]

    References:
        Improved Precision and Recall Metric for Assessing Generative Models, Tuomas Kynkaanniemi and others, 2019,
        https://arxiv.org/abs/1904.06991
        Reliable Fidelity and Diversity Metrics for Generative Models, Muhammad Ferjad Naeem and others, 2020,
        https://arxiv.org/abs/2002.09797

    Arguments:
        real: features of real samples, shape (n, d).
        fake: features of generated samples, shape (m, d).
        k: the neighbour whose distance is a ball's radius.

    Raises:
        UserError: no more than k samples, or features of different sizes.

    Example:
        >>> a = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        >>> precision_recall_density_coverage(a, a + 100)
        Neighbourhoods(precision=0.0, recall=0.0, density=0.0, coverage=0.0)
    """
    check_features(real, fake)
    if k < 1 or min(len(real), len(fake)) <= k:
        sizes = f"{len(real)} data points and {len(fake)} samples"
        raise UserError(f"`k` is {k} of {sizes}; give at least 1 and less than both.")
    real, fake = real.double(), fake.double()
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    pairs = _Pairs(real, fake)
    balls = torch.zeros(len(fake), dtype=torch.int64, device=fake.device)  # data points' balls that contain each sample
    recalled = covered = 0
    for start in range(0, len(real), CHUNK):
        near = pairs.approximate(start)
        inside = pairs.within(start, near, real_radii[start : start + CHUNK, None])
        balls += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int(pairs.within(start, near, fake_radii).any(1).sum())
    precision = float((balls > 0).double().mean())
    density = float(balls.double().mean()) / k
    return Neighbourhoods(precision, recalled / len(real), density, covered / len(real))


def _radii(x: Tensor, k: int) -> Tensor:
    """The Euclidean distance of each row of x, shape (n, d), to its k-th nearest other row, float64, shape (n,)."""
    pairs, radii = _Pairs(x, x), []
    for start in range(0, len(x), CHUNK):
        near = pairs.approximate(start)
        near.diagonal(start).fill_(torch.inf)  # a point is not its own neighbour
        # k rows have at most the k-th value plus the error, so any row with twice the error above it is farther
        values, others = near.topk(min(2 * k + 6, len(x)), largest=False)
        limit = values[:, k - 1 : k] + 2 * pairs.error(start)
        if bool((values[:, -1:] <= limit).any()):  # there may be more of them
            values, others = near.topk(int((near <= limit).sum(1).max()), largest=False)
        i, place = (values <= limit).nonzero(as_tuple=True)
        distance = x.new_full(values.shape, torch.inf)
        distance[i, place] = _distances(x[start : start + CHUNK], x, i, others[i, place])
        radii.append(distance.topk(k, largest=False).values[:, -1])
    return torch.cat(radii)


class _Pairs:
    """A test of which points of two sets are within a Euclidean distance of each other, with the result of float64.

    Squared distances are approximated by products in float32, with a bound of their error. Only those for which that
    is too coarse are computed in float64, from differences, so that equal points have the distance 0.
    """

    def __init__(self, a: Tensor, b: Tensor) -> None:
        """Takes the points a, shape (n, d), and b, shape (m, d), both float64."""
        self._a, self._b = a, b
        centre = torch.cat([a, b]).mean(0)
        centred = [x - centre for x in (a, b)]
        self._unit = max(float(x.norm(dim=1).max()) for x in centred) or 1.0  # so that float32 holds all squares
        scaled = [x / self._unit for x in centred]
        self._squares = [x.square().sum(1) for x in scaled]
        # products in float32 are of lower precision on GPUs, and where the user has lowered it
        exact = a.device.type == "cpu" and torch.get_float32_matmul_precision() == "highest"
        self._factors = [x.float() if exact else x for x in scaled]
        # d additions and some roundings of at most 2^-24 of |a|^2 + |b|^2 each; doubled, and more than what underflows
        self._errors = self._squares[0].add(self._squares[1].max()).mul((a.shape[1] + 16) * 2.0**-23).add(1e-30)

    def error(self, start: int) -> Tensor:
        """A bound of the error of each row that `approximate` returns, shape (rows, 1)."""
        return self._errors[start : start + CHUNK, None].to(self._factors[0].dtype)

    def approximate(self, start: int) -> Tensor:
        """The approximate squared distances of `CHUNK` rows of a, from `start` on, to all rows of b, less each row's |a|^2.

        They are in the unit that makes the greatest norm of the centred points 1; shape (rows, m).
        """
        a, b = self._factors[0][start : start + CHUNK], self._factors[1]
        return torch.addmm(self._squares[1].to(a.dtype), a, b.T, alpha=-2)

    def within(self, start: int, near: Tensor, radii: Tensor) -> Tensor:
        """True at [i, j] if row start + i of a and row j of b are at most a distance apart; shape (rows, m).

        Arguments:
            start: the number of the first row of a.
            near: what `approximate` returns for `start`.
            radii: the distances, float64, of shape (rows, 1) or (m,).
        """
        limit = (radii / self._unit).square()
        error = self._errors[start : start + CHUNK, None] + limit.max() * 2.0**-22  # as limits are rounded, too
        bound = -self._squares[0][start : start + CHUNK, None]
        if radii.ndim == 1:
            near = near - limit.to(near.dtype)
        else:
            bound = bound + limit
        inside, possible = (near <= one.to(near.dtype) for one in (bound - error, bound + error))
        i, j = (possible ^ inside).nonzero(as_tuple=True)
        inside[i, j] = _distances(self._a[start : start + CHUNK], self._b, i, j) <= radii.expand(inside.shape)[i, j]
        return inside


def _distances(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """The Euclidean distances of the rows i of a, shape (n, d), to the rows j of b, shape (m, d); as many as i and j.

    Each is computed from differences and to the same bits, whether single pairs or the whole matrix are computed.
    """
    if len(i) > len(a) * len(b) / 25:  # a single pair takes about 25 times as long as one of a matrix
        return torch.cdist(a, b, compute_mode=DIFFERENCES)[i, j]
    size = max(1, 2**22 // a.shape[1])  # pairs in memory at a time
    pairs = zip(i.split(size), j.split(size), strict=True)
    return torch.cat([torch.cdist(a[k][:, None], b[m][:, None], compute_mode=DIFFERENCES).flatten() for k, m in pairs])


@dataclass(frozen=True)
class ModeCoverage:
    """How well samples cover the modes of a known Gaussian mixture: the modes reached, and samples' quality and balance.

    Attributes:
        modes: number of modes that are the nearest one of at least one high-quality sample.
        modes_assigned: number of modes that are the nearest one of at least one sample of any quality.
        high_quality: share of high-quality samples: those within `k_std` (by default 3) standard deviations of the mean of
            the nearest mode.
        reverse_kl: Kullback-Leibler divergence KL(share of the samples nearest to each mode || uniform), in nats.
        histogram: number of samples nearest to each mode, in the mixture's order.
    """

    modes: int
    modes_assigned: int
    high_quality: float
    reverse_kl: float
    histogram: tuple[int, ...]


def mixture_coverage(x: Tensor, mixture: Mixture, k_std: float = 3.0) -> ModeCoverage:
    """Returns how well samples cover the modes of a known Gaussian mixture: counts of modes and shares of samples.

    Each sample is assigned to the mode with the nearest mean, which is its most probable mode, as all modes are isotropic
    with one width and equal weights. It has high quality if that mean is at most `k_std` standard deviations away. The
    result has these fields, with c_m the share of samples that are assigned to mode m, of M modes:

        modes: the number of modes that at least one sample of high quality is assigned to
        modes_assigned: the number of modes that at least one sample is assigned to
        high_quality: the share of samples of high quality
        reverse_kl: sum_m c_m log(M c_m), the Kullback-Leibler divergence of the shares from equal ones, in nats
        histogram: the number of samples assigned to each mode, in the mixture's order

    In two dimensions the high_quality of a perfect sampler is 1 - exp(-k_std^2 / 2): 98.89 % for k_std = 3.

    References:
        PacGAN: The Power of Two Samples in Generative Adversarial Networks, Zinan Lin, Ashish Khetan, Giulia Fanti,
        Sewoong Oh, 2018, https://arxiv.org/abs/1712.04086 (modes, high quality and reverse KL, of 2,500 samples)
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
        (modes_assigned, of 10,000 samples)

    Arguments:
        x: samples, shape (n, d).
        mixture: the means and the common standard deviation of the modes.
        k_std: the largest distance of a high-quality sample from the nearest mean, in standard deviations of a mode.

    Raises:
        UserError: no samples, or samples of another size than the mixture's.

    Example:
        >>> import numpy as np
        >>> pair = Mixture(np.array([[-1.0, 0.0], [1.0, 0.0]], dtype=np.float32), std=0.1)
        >>> found = mixture_coverage(torch.tensor([[1.0, 0.1], [0.9, 0.0], [0.5, 0.0], [1.0, 0.0]]), pair)
        >>> found.modes, found.high_quality, round(found.reverse_kl, 4), found.histogram
        (1, 0.75, 0.6931, (0, 4))
    """
    means = torch.as_tensor(mixture.means, dtype=torch.float64)
    if x.ndim != 2 or len(x) == 0 or x.shape[1] != means.shape[1]:
        shape = tuple(x.shape)
        raise UserError(f"the samples have the shape {shape}; give at least one, in the shape (n, {means.shape[1]}).")
    x = x.double().cpu()
    parts = [torch.cdist(part, means, compute_mode="donot_use_mm_for_euclid_dist").min(1) for part in x.split(CHUNK)]
    mode = torch.cat([part.indices for part in parts])
    good = torch.cat([part.values for part in parts]) <= k_std * mixture.std
    histogram = torch.bincount(mode, minlength=len(means))
    share = histogram.double() / len(x)
    return ModeCoverage(
        modes=len(set(mode[good].tolist())),
        modes_assigned=int((histogram > 0).sum()),
        high_quality=float(good.double().mean()),
        reverse_kl=float(torch.xlogy(share, share * len(means)).sum()),
        histogram=tuple(histogram.tolist()),
    )
