"""Conformal p-values and thresholds of anomaly scores, from the scores of held-out normal samples alone.

Let m normal samples be held out: the scores do not depend on them. If a further sample is normal too, i.e. drawn
independently from the same distribution, its rank among the m + 1 is uniform. Hence the probability that its p-value is
at most a is at most a, whatever the score and the distribution of the data.

References:
    Algorithmic Learning in a Random World, Vladimir Vovk, Alex Gammerman, Glenn Shafer, 2005,
    https://doi.org/10.1007/b106715
    Testing for outliers with conformal p-values, Stephen Bates and others, 2023, https://arxiv.org/abs/2104.08279
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from interalia import UserError

SLACK = 1e-9  # 0.05 * 20 is 1, whatever its last bit


def conformal_p_values(calibration: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Returns the conformal p-value of each anomaly score, shape (n,).

        p = (1 + the number of held-out scores that are at least this score) / (m + 1)

    Arguments:
        calibration: the anomaly scores of the m held-out normal samples, in any order.
        scores: the n anomaly scores to judge; higher is more anomalous.

    Example:
        >>> conformal_p_values([1, 2, 3, 4], [0.5, 2.5, 9]).tolist()
        [1.0, 0.6, 0.2]
    """
    ordered = np.sort(np.asarray(calibration, dtype=np.float64))
    above = len(ordered) - np.searchsorted(ordered, np.asarray(scores, dtype=np.float64), side="left")
    return np.asarray((1 + above) / (len(ordered) + 1), dtype=np.float64)


def least_rate(held_out: int) -> float:
    """Returns the least rate of false alarms that a number of held-out normal samples, m, can guarantee: 1 / (m + 1).

    It is the least p-value, that of a sample which scores above all of them.
    """
    return 1 / (held_out + 1)


def allowed(held_out: int, rate: float) -> int:
    """Returns how many of the m + 1 ranks are flagged at a rate of false alarms: floor(rate * (m + 1)).

    A sample is flagged if fewer than that number of the m held-out samples score at least as high.
    """
    return math.floor(rate * (held_out + 1) + SLACK)


def check_rate(rate: float, held_out: int, name: str = "false_alarms") -> None:
    """Raises a UserError unless a rate lies in (0, 1) and can be guaranteed by this number of held-out normal samples.

    Arguments:
        rate: the rate of false alarms.
        held_out: the number of held-out samples.
        name: the name of the argument with the rate, for the message.
    """
    if not 0 < rate < 1:
        raise UserError(f"`{name}` is {rate}, and it is a share of the normal samples; give a number between 0 and 1.")
    if allowed(held_out, rate) < 1:
        raise UserError(
            f"`{name}={rate:g}` needs {calibration_size(rate)} held-out normal samples, and there are {held_out}; give "
            f"`{name}={least_rate(held_out):.3g}` or more, or fit with more samples."
        )


def calibration_size(rate: float) -> int:
    """Returns the least number of held-out normal samples that can guarantee a rate of false alarms: ceil(1 / rate) - 1.

    Example:
        >>> calibration_size(0.05), calibration_size(0.01)
        (19, 99)
    """
    return math.ceil(1 / rate - SLACK) - 1


def threshold(calibration: ArrayLike, rate: float) -> float:
    """Returns the anomaly score above which the p-value is at most `rate`: the k-th largest held-out score, with k =
    floor(rate * (m + 1)).

    A sample is flagged if its score is above the threshold, not if it equals it.

    Arguments:
        calibration: the anomaly scores of the m held-out normal samples, in any order.
        rate: the rate of false alarms, at least 1 / (m + 1).

    Raises:
        UserError: the rate is below 1 / (m + 1), or not between 0 and 1.

    Example:
        >>> threshold(range(1, 20), 0.05)  # 19 scores: one of 20 samples is above them all
        19.0
    """
    ordered = np.sort(np.asarray(calibration, dtype=np.float64))
    check_rate(rate, len(ordered))
    return float(ordered[-allowed(len(ordered), rate)])


def rate_interval(held_out: int, rate: float, level: float = 0.999) -> tuple[float, float]:
    """Returns the interval in which the true rate of false alarms of a threshold lies with probability `level`.

    The threshold is computed from m held-out samples, so that its true rate, over all further normal samples, is random.
    If the score is continuous, it is distributed as Beta(k, m + 1 - k), k = floor(rate * (m + 1)). The bounds are its
    quantiles (1 - level) / 2 and (1 + level) / 2.

    Arguments:
        held_out: m.
        rate: the nominal rate.
        level: the probability.

    References:
        Conditional validity of inductive conformal predictors, Vladimir Vovk, 2012, https://arxiv.org/abs/1209.2673
    """
    from scipy.stats import beta

    check_rate(rate, held_out)
    k = allowed(held_out, rate)
    low, high = beta(k, held_out + 1 - k).ppf([(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def count_interval(held_out: int, rate: float, tests: int, level: float = 0.999) -> tuple[int, int]:
    """Returns the interval of the number of false alarms among further normal samples, with probability `level` or more.

    The number is beta-binomial: binomial with the random rate that `rate_interval` describes.

    Arguments:
        held_out: the number of held-out samples, m.
        rate: the nominal rate.
        tests: the number of further normal samples.
        level: the probability that both ends and what is between them have.

    Example:
        >>> count_interval(19, 0.05, 100, level=0.9)
        (0, 16)
    """
    from scipy.stats import betabinom

    check_rate(rate, held_out)
    k = allowed(held_out, rate)
    low, high = betabinom(tests, k, held_out + 1 - k).ppf([(1 - level) / 2, (1 + level) / 2])
    return int(low), int(high)
