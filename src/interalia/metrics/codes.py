"""How well a recogniser reads codes: off samples, whose codes are known, and off data, whose labels nobody told it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from interalia.conditionals import Codes
from interalia.errors import UserError


def matching(categories: Tensor, labels: Tensor, count: int) -> Tensor:
    """The label that each category stands for, shape (count,): one to one, so that as many points as possible are right.

    A category that is left over, where there are more categories than labels, stands for -1.

    References:
        The Hungarian Method for the Assignment Problem, Harold W. Kuhn, 1955,
        https://doi.org/10.1002/nav.3800020109

    Arguments:
        categories: in 0 .. count - 1, int64, shape (n,).
        labels: from 0, int64, shape (n,).
        count: how many categories there are.

    Raises:
        UserError: there are no points, or not one label for each.

    Example:
        >>> matching(torch.tensor([2, 2, 0, 1]), torch.tensor([0, 0, 1, 1]), 3)
        tensor([ 1, -1,  0])
    """
    from scipy.optimize import linear_sum_assignment

    if len(categories) != len(labels) or len(labels) == 0:
        raise UserError(f"{len(categories)} categories have {len(labels)} labels; give one label for each, at least 1.")
    width = int(labels.max()) + 1
    met = torch.bincount(categories * width + labels, minlength=count * width).view(count, width)
    rows, columns = linear_sum_assignment(met.numpy(), maximize=True)
    stands = torch.full((count,), -1)
    stands[torch.from_numpy(rows)] = torch.from_numpy(columns)
    return stands


def code_error(categories: Tensor, labels: Tensor, stands: Tensor) -> float:
    """The share of points whose category stands for another label than theirs.

    Arguments:
        categories: shape (n,).
        labels: shape (n,).
        stands: what `matching` answered, on these points or on others.

    Example:
        >>> code_error(torch.tensor([2, 2, 0, 1]), torch.tensor([0, 0, 1, 1]), torch.tensor([1, -1, 0]))
        0.25
    """
    return float((stands[categories] != labels).double().mean())


def code_bounds(prior: Codes, answers: Tensor, z: Tensor) -> Tensor:
    """L = E[log Q(c | x)] + H(c) <= I(c; x) of each code on samples, in nats, float64, shape (codes,).

    For a continuous code Q(c | x) = N(c; a(x), s^2) with s^2 = mean (c - a)^2, the width at which the bound is tightest;
    training may have used another.

    Arguments:
        prior: what z was drawn from.
        answers: of the recogniser on the samples, shape (n, prior.code_outputs).
        z: what they were made from, shape (n, prior.size).

    Example:
        >>> prior = Codes(4, categorical=(3,), uniform=0)
        >>> z = prior.sample((6,))
        >>> torch.allclose(code_bounds(prior, 99 * z[:, 1:], z), prior.entropy.double())
        True
    """
    answers, z = answers.double(), z.double()
    bounds = prior.log_likelihood(answers, z).mean(dim=0) + prior.entropy.to(z)
    known = torch.cat(prior.split(z)[1:], dim=1)
    first = sum(prior.categorical)
    square = (known - answers)[:, first:].square().mean(dim=0)
    tightest = -0.5 * (2 * math.pi * math.e * square).log()  # E[log N(c; a, s^2)]
    bounds[len(prior.categorical) :] = tightest + prior.entropy.to(z)[len(prior.categorical) :]
    return bounds
