"""Distances between two sets of samples, computed from their features in float64.

torchmetrics has two of these distances, and the tests compare with it. It is not used in evaluations: its import takes
seconds, its updates take images rather than features, and its kernel distance uses the global random state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from interalia.errors import UserError


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean, shape (d,), and the unbiased covariance, shape (d, d), of features of shape (n, d), in float64.

    Raises:
        UserError: fewer than two samples.
    """
    check_features(features, least=2)
    x = features.double()
    mu = x.mean(0)
    centred = x - mu
    return mu, centred.T @ centred / (len(x) - 1)


def frechet(mu1: Tensor, sigma1: Tensor, mu2: Tensor, sigma2: Tensor) -> float:
    """The squared 2-Wasserstein distance between two Gaussians, known as the Frechet distance.

    |mu1 - mu2|^2 + tr(sigma1 + sigma2 - 2 (sigma1 sigma2)^(1/2)),

    where tr (sigma1 sigma2)^(1/2), the sum of the roots of the product's eigenvalues, is the sum of the singular values
    of sigma1^(1/2) sigma2^(1/2). This form takes no root of a rounding error, so covariances may be singular.

    See Also:
        frechet_distance, kernel_distance.

    References:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, Martin Heusel and others,
        2017, https://arxiv.org/abs/1706.08500

    Arguments:
        mu1: mean of the first Gaussian, shape (d,).
        sigma1: its covariance, shape (d, d).
        mu2: mean of the second Gaussian, shape (d,).
        sigma2: its covariance, shape (d, d).

    Example:
        >>> one = torch.eye(2)
        >>> round(frechet(torch.zeros(2), one, torch.tensor([3.0, 0.0]), 4 * one), 6)  # 9 + 2 (2 - 1)^2
        11.0
    """
    root1, root2 = _root(sigma1.double()), _root(sigma2.double())
    shift = (mu1.double() - mu2.double()).square().sum()
    overlap = torch.linalg.svdvals(root1 @ root2).sum()
    return max(0.0, float(shift + root1.square().sum() + root2.square().sum() - 2 * overlap))  # tr s = |s^(1/2)|_F^2


def _root(sigma: Tensor) -> Tensor:
    """The symmetric square root of a covariance matrix, shape (d, d).

    Its negative eigenvalues, which are rounding errors, become 0.
    """
    values, vectors = torch.linalg.eigh((sigma + sigma.T) / 2)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The Frechet distance between Gaussians fitted to two sets of features; with Inception features it is the FID.

    It is biased upwards for few samples: compare only values from equal numbers of samples, and with the distance
    between two sets of real data.

    See Also:
        frechet, for the formula and the reference.

    Arguments:
        a: features of one set, shape (n, d).
        b: features of the other, shape (m, d).

    Raises:
        UserError: fewer than two samples, or features of different sizes.

    Example:
        >>> a = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        >>> round(frechet_distance(a, a), 6), round(frechet_distance(a, a + 1), 6)
        (0.0, 4.0)
    """
    check_features(a, b, least=2)
    return frechet(*moments(a), *moments(b))


def kernel_distance(
    a: Tensor, b: Tensor, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0, paired: bool = False
) -> float:
    """The unbiased squared maximum mean discrepancy of two sets of features under a cubic kernel.

    The kernel of d features is k(x, y) = (x.y / d + 1)^3. With Inception features it is the kernel inception distance
    (KID). It is the mean over `subsets` random subsets of `subset_size` of each set, or is computed from all samples if
    no set has more than `subset_size`. An unbiased estimate of zero is negative as often as positive.

    If a_i and b_i have something in common, such as a label, they are closer than independent samples, and the mean of
    k(a_i, b_j) over all i and j is too large. With `paired` it is over i != j only, like the means within each set,
    which makes the estimate unbiased again.

    See Also:
        frechet_distance, which is biased; maximum_mean_discrepancy, with a Gaussian kernel.

    References:
        Demystifying MMD GANs, Mikolaj Binkowski, Danica J. Sutherland, Michael Arbel, Arthur Gretton, 2018,
        https://arxiv.org/abs/1801.01401
        A Kernel Two-Sample Test, Arthur Gretton and others, 2012, https://jmlr.org/papers/v13/gretton12a.html (lemma 6,
        on pairs)

    Arguments:
        a: features of one set, shape (n, d).
        b: features of the other, shape (m, d).
        subsets: number of subsets; 100 in the paper's protocol.
        subset_size: number of samples of each set in a subset; 1,000 in the paper's protocol.
        seed: random seed of the choice of subsets.
        paired: True if a_i and b_i belong together; subsets then contain both or neither.

    Raises:
        UserError: fewer than two samples, features of different sizes, unequal numbers with `paired`, or subsets of fewer
            than two.

    Example:
        >>> a = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        >>> kernel_distance(a, a + 3) > 1
        True
    """
    check_features(a, b, least=2)
    if subsets < 1 or subset_size < 2:
        what = f"`subsets` is {subsets} and `subset_size` {subset_size}"
        raise UserError(f"{what}; give 1 or more subsets, of 2 or more samples.")
    if paired and len(a) != len(b):
        raise UserError(f"there are {len(a)} and {len(b)} samples, which cannot be paired; give equal numbers.")
    a, b = a.double(), b.double()
    if max(len(a), len(b)) <= subset_size:
        return _cubic_discrepancy(a, b, paired)
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(subsets):
        rows_a = torch.randperm(len(a), generator=generator)[:subset_size].to(a.device)
        rows_b = rows_a if paired else torch.randperm(len(b), generator=generator)[:subset_size].to(b.device)
        total += _cubic_discrepancy(a[rows_a], b[rows_b], paired)
    return total / subsets


def _cubic_discrepancy(a: Tensor, b: Tensor, paired: bool) -> float:
    """The unbiased squared maximum mean discrepancy of features a, (n, d), and b, (m, d), under a cubic kernel.

    The kernel is (x.y / d + 1)^3. If `paired`, a_i and b_i belong together, and the kernel of each such pair is left
    out.
    """
    d = a.shape[1]
    return _unbiased(*((u @ v.T / d + 1) ** 3 for u, v in ((a, a), (b, b), (a, b))), paired=paired)


def maximum_mean_discrepancy(a: Tensor, b: Tensor, bandwidth: float) -> float:
    """The unbiased squared maximum mean discrepancy of two sets of samples under a Gaussian kernel.

    The kernel is k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2)).

    See Also:
        kernel_distance, with a cubic kernel.

    References:
        A Kernel Two-Sample Test, Arthur Gretton and others, 2012, https://jmlr.org/papers/v13/gretton12a.html

    Arguments:
        a: samples of one set, shape (n, d).
        b: samples of the other, shape (m, d).
        bandwidth: the kernel's standard deviation, in the samples' unit.

    Raises:
        UserError: fewer than two samples, samples of different sizes, or a bandwidth that is not positive.

    Example:
        >>> a, b = torch.zeros(3, 1), torch.full((3, 1), 1.0)
        >>> round(maximum_mean_discrepancy(a, b, bandwidth=1.0), 4)  # 2 - 2 exp(-1/2)
        0.7869
    """
    check_features(a, b, least=2)
    if not bandwidth > 0:
        raise UserError(f"`bandwidth` is {bandwidth}; give a positive number, such as the samples' typical distance.")
    a, b = a.double(), b.double()
    squares = (torch.cdist(u, v).square() for u, v in ((a, a), (b, b), (a, b)))
    return _unbiased(*(torch.exp(-square / (2 * bandwidth**2)) for square in squares))


def _unbiased(aa: Tensor, bb: Tensor, ab: Tensor, *, paired: bool = False) -> float:
    """The unbiased squared maximum mean discrepancy of two sets, a and b, from the kernel between their samples.

    Arguments:
        aa: the kernel between samples of a, shape (n, n).
        bb: the kernel between samples of b, shape (m, m).
        ab: the kernel between samples of a and of b, shape (n, m).
        paired: True if a_i and b_i belong together; then the diagonal of ab is left out, as always those of aa and bb.
    """
    # the diagonals, of a sample with itself or with its partner, are left out
    n, m = ab.shape
    between = (ab.sum() - ab.diagonal().sum()) / (n * (n - 1)) if paired else ab.mean()
    within_a = (aa.sum() - aa.diagonal().sum()) / (n * (n - 1))
    within_b = (bb.sum() - bb.diagonal().sum()) / (m * (m - 1))
    return float(within_a + within_b - 2 * between)


def inception_score(probabilities: Tensor, splits: int = 10) -> float:
    """The inception score exp(E_x KL(p(y | x) || p(y))) of a classifier's predictions, from 1 to the number of classes.

    KL is the Kullback-Leibler divergence. The score is high if each sample has a confident class and the classes are
    equally frequent. The samples are split into consecutive groups, each with its own p(y), and the score is the mean
    over the groups.

    References:
        Improved Techniques for Training GANs, Tim Salimans and others, 2016, https://arxiv.org/abs/1606.03498

    Arguments:
        probabilities: p(y | x) of a classifier, shape (n, classes), rows that sum to 1.
        splits: the number of groups.

    Raises:
        UserError: fewer samples than groups.

    Example:
        >>> round(inception_score(torch.eye(5).repeat(20, 1)), 6), round(inception_score(torch.full((40, 5), 0.2)), 6)
        (5.0, 1.0)
    """
    if not 1 <= splits <= len(probabilities):
        raise UserError(f"`splits` is {splits} for {len(probabilities)} samples; give a number between 1 and that.")
    groups = probabilities.double().tensor_split(splits)
    information = [(torch.xlogy(p, p) - torch.xlogy(p, p.mean(0))).sum(1).mean() for p in groups]
    return sum(math.exp(float(nats)) for nats in information) / splits


def check_features(*sets: Tensor, least: int = 1, names: Sequence[str] = ("features", "features")) -> None:
    """Raises a UserError unless each set is a tensor (n, d) of finite numbers, with equal d and with enough rows.

    Arguments:
        sets: one or two tensors.
        least: the smallest number of rows that each tensor may have.
        names: what the rows of each tensor are, in the plural, for the messages.
    """
    for name, x in zip(names, sets, strict=False):
        if x.ndim != 2 or len(x) < least:
            shape = tuple(x.shape)
            raise UserError(f"the {name} have the shape {shape}; give {least} or more rows, in the shape (n, d).")
        if not x.isfinite().all():
            what = f"the {name} hold NaN or infinite values"
            raise UserError(f"{what}; give finite ones, for example those of an earlier checkpoint.")
    if len(sizes := dict.fromkeys(str(x.shape[1]) for x in sets)) > 1:
        raise UserError(f"the rows have {' and '.join(sizes)} numbers; give rows of one size, from one extractor.")
