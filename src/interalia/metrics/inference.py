"""Quality of inference: reconstructions, classifiers of the encoder's features, and moments of the aggregate posterior."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interalia.data.sampler import permutation
from interalia.errors import UserError
from interalia.metrics.distances import check_features, moments

CHUNK = 1000  # rows of a distance matrix in memory at a time


@dataclass(frozen=True)
class Reconstruction:
    """Errors of reconstructions x^ of inputs x, and of reconstructions of other inputs, for comparison.

    Attributes:
        error: mean |x - x^|_2 with x^ the reconstruction of x.
        mismatched: mean |x - x^|_2 with x^ the reconstruction of another input.
        ratio: error / mismatched.
        mse: mean squared error, per pixel or coordinate.
        psnr: the peak signal-to-noise ratio 10 log10(1 / mse), in dB, for values in [0, 1]; infinite for perfect
            reconstructions.
    """

    error: float
    mismatched: float
    ratio: float
    mse: float
    psnr: float


def reconstruction(x: Tensor, x_hat: Tensor, seed: int = 0) -> Reconstruction:
    """Returns the errors of reconstructions, and of mismatched pairs of an input and another input's reconstruction.

    With x^_i the reconstruction of x_i, the errors are the means over i of |x_i - x^_i|_2, and of |x_i - x^_s(i)|_2 for
    mismatched pairs. The permutation s is one cycle through all inputs in a random order, so that no input is paired
    with its own reconstruction. Both means are equal if the latent is independent of the input.

    References:
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782 (its code logs both errors)

    Arguments:
        x: inputs, shape (n, ...), n at least 2.
        x_hat: their reconstructions x^, of the same shape.
        seed: random seed of the order.

    Raises:
        UserError: the shapes differ, or there is only one input.

    Example:
        >>> x = torch.eye(4)
        >>> reconstruction(x, 0.5 * x).error
        0.5
    """
    if x.shape != x_hat.shape or len(x) < 2:
        what = f"the inputs have the shape {tuple(x.shape)} and the reconstructions {tuple(x_hat.shape)}"
        raise UserError(f"{what}; give both in one shape, with at least 2 inputs.")
    flat, flat_hat = x.flatten(1), x_hat.flatten(1)
    order = permutation(len(x), seed)
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    squares = sum(float(_squares(flat[i], flat_hat[i]).sum()) for i in torch.split(order, CHUNK))
    mse = squares / flat.numel()
    error, mismatched = (
        sum(float(_squares(flat[i], flat_hat[partner[i]]).sqrt().sum()) for i in torch.split(order, CHUNK)) / len(x)
        for partner in (torch.arange(len(x)), other)
    )
    ratio = error / mismatched if mismatched > 0 else math.nan  # all inputs are equal, so there is no baseline
    return Reconstruction(error, mismatched, ratio, mse, -10 * math.log10(mse) if mse > 0 else math.inf)


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """The squared Euclidean distance of each example of a to the same example of b, float64, shape (n,)."""
    return (a.double() - b.double()).square().sum(1)


def latent_reconstruction(z: Tensor, z_hat: Tensor) -> float:
    """The mean squared error of latents inferred from samples, over latents and dimensions: mean (z - E(G(z)))^2.

    G is the decoder and E the encoder.

    Arguments:
        z: latents, shape (n, latent).
        z_hat: E(G(z)), what the encoder E infers from the samples G(z), of the same shape.

    Example:
        >>> latent_reconstruction(torch.zeros(3, 2), torch.full((3, 2), 0.5))
        0.25
    """
    return float((z.double() - z_hat.double()).square().mean())


def nearest_neighbour_accuracy(train: Tensor, train_y: Tensor, test: Tensor, test_y: Tensor) -> float:
    """The accuracy of 1-nearest-neighbour classification of test points, by Euclidean distance.

    References:
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782 (section 4.2)

    Arguments:
        train: features of the training points, shape (n, d).
        train_y: their labels, shape (n,).
        test: features of the test points, shape (m, d).
        test_y: their labels, shape (m,).

    Raises:
        UserError: the numbers of features, or of points and labels, differ.

    Example:
        >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
        >>> nearest_neighbour_accuracy(x, y, torch.tensor([[0.1], [0.2], [0.4], [0.9]]), torch.tensor([0, 0, 1, 1]))
        0.75
    """
    _check_probe(train, train_y, test, test_y)
    return int((nearest_neighbour_labels(train, train_y, test) == test_y).sum()) / len(test)


def nearest_neighbour_labels(train: Tensor, train_y: Tensor, test: Tensor) -> Tensor:
    """The labels of the training points that are nearest to test points by Euclidean distance, shape (m,).

    Arguments:
        train: features of the training points, shape (n, d).
        train_y: their labels, shape (n,).
        test: features of the test points, shape (m, d).
    """
    # distances are compared as |b|^2 - 2 a.b, one matrix product; centred, to reduce rounding errors
    centre = train.double().mean(0)
    points = (train.double() - centre).float()
    norms = points.double().square().sum(1).float()
    found = [
        torch.addmm(norms, (queries.double() - centre).float(), points.T, alpha=-2).argmin(1)
        for queries in torch.split(test, CHUNK)
    ]
    return train_y[torch.cat(found)]


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """The mean over the classes among the true labels of the share of points of the class that are predicted right.

    A constant prediction has the value 1 / (number of classes), whatever the shares of the classes are.

    Arguments:
        predicted: the predicted labels, shape (n,).
        labels: the true labels, shape (n,).

    Example:
        >>> balanced_accuracy(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]))
        0.5
    """
    return float(torch.stack([(predicted[labels == y] == y).double().mean() for y in labels.unique()]).mean())


def linear_probe_accuracy(
    train: Tensor, train_y: Tensor, test: Tensor, test_y: Tensor, *, c: float | None = None, seed: int = 0
) -> float:
    """The accuracy on test points of logistic regression fitted to standardized training features.

    Arguments:
        train: features of the training points, shape (n, d).
        train_y: their labels, shape (n,).
        test: features of the test points, shape (m, d).
        test_y: their labels, shape (m,).
        c: inverse strength of the L2 penalty; if None, the one of 0.001, 0.01, 0.1 and 1 with the highest accuracy on a fifth
            of the training points, which is held out; the choice uses at most 4,000 training points.
        seed: random seed of the choice of held-out points.

    Raises:
        UserError: the numbers of features, or of points and labels, differ, or there is only one class.

    Example:
        >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
        >>> linear_probe_accuracy(x, y, 3 * x, y, c=1.0)
        1.0
    """
    _check_probe(train, train_y, test, test_y)
    machine, points = _probe(train, train_y, test, c, seed)
    return float(machine.score(points.numpy(), test_y.numpy()))


def linear_probe_labels(
    train: Tensor, train_y: Tensor, test: Tensor, *, c: float | None = None, seed: int = 0
) -> Tensor:
    """The labels of test points that logistic regression predicts, which is fitted to standardized training features, (m,).

    The arguments are those of `linear_probe_accuracy`.

    Raises:
        UserError: the numbers of features, or of points and labels, differ, or there is only one class.

    Example:
        >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
        >>> linear_probe_labels(x, y, -x, c=1.0)
        tensor([1, 1, 0, 0])
    """
    _check_probe(train, train_y, test, test)
    machine, points = _probe(train, train_y, test, c, seed)
    return torch.from_numpy(machine.predict(points.numpy()))


def _probe(train: Tensor, train_y: Tensor, test: Tensor, c: float | None, seed: int) -> tuple[Any, Tensor]:
    """Returns logistic regression that is fitted to standardized training features, and the test features, scaled alike.

    Arguments:
        train: features of the training points, shape (n, d).
        train_y: their labels, shape (n,).
        test: features of the test points, shape (m, d).
        c: inverse strength of the L2 penalty; None to choose it on held-out training points.
        seed: random seed of the choice of these points.
    """
    from sklearn.linear_model import LogisticRegression

    if len(set(train_y.tolist())) < 2:
        raise UserError("the training labels are all of one class; a linear probe needs at least 2.")
    mean, std = train.double().mean(0), train.double().std(0)
    std = torch.where(std > 0, std, torch.ones_like(std))  # a constant feature becomes zero
    train, test = (train - mean) / std, (test - mean) / std

    def fitted(c: float, features: Tensor, labels: Tensor) -> Any:
        """Logistic regression with inverse penalty c, fitted to features and their labels."""
        return _fitted(LogisticRegression(C=c, max_iter=200), features, labels)

    if c is None:
        order = permutation(len(train), seed)[:4000]
        held, kept = order[: len(order) // 5], order[len(order) // 5 :]
        few = len(held) == 0 or len(set(train_y[kept].tolist())) < 2  # too few points for a choice
        x, y, held_x, held_y = train[kept], train_y[kept], train[held].numpy(), train_y[held].numpy()
        c = 0.1 if few else max((0.001, 0.01, 0.1, 1.0), key=lambda c: fitted(c, x, y).score(held_x, held_y))
    return fitted(c, train, train_y), test


def svm_errors(
    train: Tensor,
    train_y: Tensor,
    test: Tensor,
    test_y: Tensor,
    held: Tensor,
    held_y: Tensor,
    *,
    labels: int,
    draws: int = 100,
    seed: int = 0,
) -> tuple[list[float], float]:
    """The test errors of linear support vector machines (SVM) that are fitted to few labels, and the chosen penalty C.

    This is the L2-SVM protocol of the ALI paper. A machine with squared hinge loss is fitted to each of `draws` random
    subsets of `labels` training points, equally many of each class. C is the one of 26 values, e^-20 to e^20 in equal
    ratios, with the smallest error on the held-out points after fitting to the first subset. Features are not scaled.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704 (section 4.3)

    Arguments:
        train: features of the training points, shape (n, d).
        train_y: their labels, shape (n,).
        test: features of the test points, shape (m, d).
        test_y: their labels, shape (m,).
        held: features of the held-out points, shape (k, d).
        held_y: their labels, shape (k,).
        labels: number of training points in a subset, a multiple of the number of classes.
        draws: number of subsets.
        seed: random seed of the subsets.

    Returns:
        The error on the test points for each subset, and C.

    Raises:
        UserError: features and labels have unequal numbers, or a class has too few points.

    Example:
        >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
        >>> svm_errors(x, y, 3 * x, y, x, y, labels=2, draws=3)[0]
        [0.0, 0.0, 0.0]
    """
    from sklearn.svm import LinearSVC

    _check_probe(train, train_y, test, test_y)
    _check_probe(train, train_y, held, held_y)
    classes = sorted(set(train_y.tolist()))
    each = labels // len(classes)
    if labels % len(classes) or each < 1:
        raise UserError(f"`labels` is {labels}, and it must be a multiple of {len(classes)}, the number of classes.")
    random = torch.Generator().manual_seed(seed)

    rows_of = {label: (train_y == label).nonzero().flatten() for label in classes}
    label, fewest = min(rows_of.items(), key=lambda of_class: len(of_class[1]))
    if len(fewest) < each:
        raise UserError(f"there are {len(fewest)} points of class {label}, and {each} are needed; give fewer `labels`.")

    def draw() -> Tensor:
        """Returns the indices of a random subset of training points, equally many of each class."""
        return torch.cat([rows[torch.randperm(len(rows), generator=random)[:each]] for rows in rows_of.values()])

    def error(rows: Tensor, x: Tensor, y: Tensor, c: float) -> float:
        """The share of points x whose label y a linear support vector machine predicts wrong.

        The machine has the penalty c and is fitted to the training points at the indices `rows`.
        """
        machine = LinearSVC(C=c, max_iter=200, random_state=seed)  # the largest C do not converge, and are not chosen
        return 1 - _accuracy(machine, train[rows], train_y[rows], x, y)

    first = draw()
    c = min(torch.linspace(-20, 20, 26).exp().tolist(), key=lambda c: error(first, held, held_y, c))
    return [error(rows, test, test_y, c) for rows in (first, *(draw() for _ in range(draws - 1)))], c


def _accuracy(machine: Any, train: Tensor, train_y: Tensor, test: Tensor, test_y: Tensor) -> float:
    """Fits `machine`, a scikit-learn classifier, to training points, and returns its accuracy on test points."""
    return float(_fitted(machine, train, train_y).score(test.numpy(), test_y.numpy()))


def _fitted(machine: Any, train: Tensor, train_y: Tensor) -> Any:
    """Fits `machine`, a scikit-learn classifier, to training points, and returns it.

    Warnings of convergence are silenced: the last digits of its weights do not matter.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return machine.fit(train.numpy(), train_y.numpy())


def _check_probe(train: Tensor, train_y: Tensor, test: Tensor, test_y: Tensor) -> None:
    """Raises a UserError unless all features are finite, all points have equally many, and each point has a label."""
    check_features(train, test)
    if len(train) != len(train_y) or len(test) != len(test_y):
        what = f"there are {len(train)} and {len(test)} points with {len(train_y)} and {len(test_y)} labels"
        raise UserError(f"{what}; give one label for each.")


@dataclass(frozen=True)
class PosteriorMoments:
    """Moments of samples z^ of the aggregate posterior q(z) = E_x q(z | x), compared with those of the prior.

    Attributes:
        mean_norm: |mean of z^ - prior mean|_2.
        variance: mean over the dimensions of the variance of z^.
        variance_min: smallest variance of z^ over the dimensions.
        variance_max: largest variance of z^ over the dimensions.
        covariance_distance: Frobenius distance |covariance of z^ - prior covariance|_F.
        kl: the Kullback-Leibler divergence (KL) of Gaussians with the moments of z^ and of the prior, less its
            expectation `expected_kl` if q(z) is the prior, in nats; NaN unless there are more samples than dimensions.
        kl_error: the standard error of kl if q(z) is the prior; NaN unless there are more samples than dimensions.
    """

    mean_norm: float
    variance: float
    variance_min: float
    variance_max: float
    covariance_distance: float
    kl: float
    kl_error: float


def posterior_moments(z_hat: Tensor, prior_mean: float = 0.0, prior_variance: float = 1.0) -> PosteriorMoments:
    """The mean and the covariance of the aggregate posterior q(z) = E_x q(z | x), compared with those of the prior.

    With m the mean and S the unbiased covariance of z^ in d dimensions, and the prior's mean m0 and covariance v I,
    kl = (tr S / v + |m - m0|^2 / v - d - log det(S / v)) / 2 - expected_kl(n, d), so that its expectation is 0 if q(z)
    is a Gaussian prior, and about 0 for other priors. The other numbers are not corrected: for n samples of the prior
    mean_norm is about sqrt(d v / n), covariance_distance about v sqrt(d (d + 1) / n), and the smallest and largest
    variance about v (1 -+ 2 sqrt(log(d) / n)).

    Arguments:
        z_hat: samples z^ ~ q(z | x), shape (n, d). Eigenvalues of S are at least 1e-12 v, so that kl is large and finite
            if a dimension is constant.
        prior_mean: mean of each dimension of the prior.
        prior_variance: variance of each dimension of the prior.

    Raises:
        UserError: fewer than two samples.

    Example:
        >>> z = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]]) * 3**0.5 / 2  # mean 0, variance 1
        >>> round(posterior_moments(z + 2).kl - posterior_moments(z).kl, 6)
        2.0
    """
    mean, covariance = moments(z_hat)
    v = prior_variance
    shift = mean - prior_mean
    values = torch.linalg.eigvalsh(covariance / v)
    variances = covariance.diagonal()
    n, d = z_hat.shape
    kl = float((values - 1 - values.clamp(min=1e-12).log()).sum() + shift.square().sum() / v) / 2
    return PosteriorMoments(
        mean_norm=float(shift.norm()),
        variance=float(variances.mean()),
        variance_min=float(variances.min()),
        variance_max=float(variances.max()),
        covariance_distance=float((covariance - v * torch.eye(len(mean)).to(covariance)).norm()),
        kl=kl - expected_kl(n, d),
        kl_error=kl_error(n, d),
    )


def expected_kl(n: int, d: int) -> float:
    """The expectation of KL(N(m, S) || N(0, I)), in nats, for n samples of N(0, I) in d dimensions.

    m is the samples' mean, S their unbiased covariance, and KL the Kullback-Leibler divergence. The result is NaN
    unless n > d, since S is singular otherwise.

    (n - 1) S has a Wishart distribution with n - 1 degrees of freedom. So E tr S = d, E |m|^2 = d / n, and, with the
    digamma function psi, E log det S = sum_{i=1}^{d} psi((n - i) / 2) + d log(2 / (n - 1)). The result is
    (d / n - E log det S) / 2, about d (d + 3) / (4 n).

    References:
        Pattern Recognition and Machine Learning, Christopher M. Bishop, 2006, appendix B,
        https://www.microsoft.com/en-us/research/publication/pattern-recognition-machine-learning/

    Example:
        >>> round(expected_kl(100, 1), 4), round(expected_kl(400, 64) / 64, 4)
        (0.0101, 0.0444)
    """
    if n <= d:
        return math.nan
    halves = torch.arange(n - d, n, dtype=torch.float64) / 2
    return (d / n - float(torch.digamma(halves).sum()) - d * math.log(2 / (n - 1))) / 2


def kl_error(n: int, d: int) -> float:
    """The standard deviation of KL(N(m, S) || N(0, I)), in nats, for n samples of N(0, I) in d dimensions.

    m is the samples' mean, S their unbiased covariance, and KL the Kullback-Leibler divergence. The result is NaN
    unless n > d.

    With the trigamma function psi', Var tr S = 2 d / (n - 1), Var log det S = sum_{i=1}^{d} psi'((n - i) / 2), their
    covariance is 2 d / (n - 1), and Var |m|^2 = 2 d / n^2, independent of S. So the result is
    sqrt(sum_{i=1}^{d} psi'((n - i) / 2) - 2 d / (n - 1) + 2 d / n^2) / 2.

    Example:
        >>> round(kl_error(100, 1), 4)
        0.0101
    """
    if n <= d:
        return math.nan
    halves = torch.arange(n - d, n, dtype=torch.float64) / 2
    return math.sqrt(float(torch.polygamma(1, halves).sum()) - 2 * d / (n - 1) + 2 * d / n**2) / 2


def marginal_kl(z_hat: Tensor, prior_mean: float = 0.0, prior_variance: float = 1.0) -> float:
    """The mean over dimensions of the divergence between Gaussians with the moments of samples z^ and of the prior, in nats.

    The divergence is that of Kullback and Leibler (KL), less its expectation for n samples of a Gaussian prior. With m
    the mean and s the variance of the n samples in a dimension, after subtracting the prior's mean and dividing by the
    prior's standard deviation, the term of a dimension is

        (s + m^2 - 1 - log s) / 2 - expected_kl(n, 1).

    It needs no covariance and so works for any n. It does not depend on correlations between dimensions. A mean that is
    off by half a standard deviation in every dimension gives 0.125 nats. Samples with twice the prior's standard
    deviation give 0.807, with half of it 0.318.

    Arguments:
        z_hat: samples z^ ~ q(z | x), shape (n, d). Variances are at least 1e-6 of the prior's.
        prior_mean: mean of each dimension of the prior.
        prior_variance: variance of each dimension of the prior.

    Raises:
        UserError: fewer than two samples.

    Example:
        >>> z = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]]) * 3**0.5 / 2  # mean 0, variance 1
        >>> round(marginal_kl(z + 0.5) - marginal_kl(z), 6), round(marginal_kl(2 * z) - marginal_kl(z), 3)
        (0.125, 0.807)
    """
    check_features(z_hat, least=2)
    z = z_hat.double()
    m = z.mean(0) - prior_mean
    s = z.var(0) / prior_variance
    kl = (s + m.square() / prior_variance - 1 - s.clamp(min=1e-6).log()) / 2
    return float(kl.mean()) - expected_kl(len(z), 1)
