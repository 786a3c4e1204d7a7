"""Fidelity and coverage of samples, from nearest neighbours of real and generated points or from a mixture's modes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from interalia.data.dataset import Mixture
from interalia.errors import UserError
from interalia.metrics.distances import check_features

CHUNK = 1000  # rows of a distance matrix in memory at a time


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
    balls = torch.zeros(len(fake), dtype=torch.int64, device=fake.device)  # data points' balls that contain each sample
    recalled = covered = 0
    for rows, radii in zip(torch.split(real, CHUNK), torch.split(real_radii, CHUNK), strict=True):
        distance = torch.cdist(rows, fake)
        inside = distance <= radii[:, None]
        balls += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((distance <= fake_radii).any(1).sum())
    precision = float((balls > 0).double().mean())
    density = float(balls.double().mean()) / k
    return Neighbourhoods(precision, recalled / len(real), density, covered / len(real))


def _radii(x: Tensor, k: int) -> Tensor:
    """The Euclidean distance of each row of x, shape (n, d), to its k-th nearest other row, shape (n,)."""
    radii = []
    for start in range(0, len(x), CHUNK):
        distance = torch.cdist(x[start : start + CHUNK], x)
        distance.diagonal(start).fill_(torch.inf)  # a point is not its own neighbour
        radii.append(distance.kthvalue(k, dim=1).values)
    return torch.cat(radii)


@dataclass(frozen=True)
class ModeCoverage:
    """How well samples cover the modes of a known Gaussian mixture: the modes reached, and samples' quality and balance.

    Attributes:
        modes: number of modes with at least one high-quality sample.
        modes_assigned: number of modes that are the nearest one of at least one sample.
        high_quality: share of samples within `k_std` (by default 3) standard deviations of the nearest mode's mean.
        reverse_kl: Kullback-Leibler divergence KL(share of the samples nearest to each mode || uniform), in nats.
        histogram: number of samples nearest to each mode, in the mixture's order.
    """

    modes: int
    modes_assigned: int
    high_quality: float
    reverse_kl: float
    histogram: tuple[int, ...]


def mixture_coverage(x: Tensor, mixture: Mixture, k_std: float = 3.0) -> ModeCoverage:
    """Counts the modes of a known Gaussian mixture that samples reach, and the samples near a mode and in each mode.

    Each sample is assigned to the mode with the nearest mean, which has the largest responsibility for it, as the modes
    are isotropic with one width and equal weights. With c_m the share of samples of mode m of M, the reverse
    Kullback-Leibler divergence (KL) is sum_m c_m log(M c_m). In two dimensions the share of high quality of a perfect
    sampler is 1 - exp(-k_std^2 / 2): 98.89 % at three standard deviations.

    References:
        PacGAN: The Power of Two Samples in Generative Adversarial Networks, Zinan Lin, Ashish Khetan, Giulia Fanti,
        Sewoong Oh, 2018, https://arxiv.org/abs/1712.04086 (modes, high quality and reverse KL, of 2,500 samples)
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
        (modes_assigned, of 10,000 samples)

    Arguments:
        x: samples, shape (n, d).
        mixture: the means and the common standard deviation.
        k_std: largest distance of a high-quality sample from its mean, in standard deviations.

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
