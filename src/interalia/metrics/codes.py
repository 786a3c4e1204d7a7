"""Accuracy of the recognizer of a game such as InfoGAN: the network that predicts the codes c in z = (noise, c) from x.

It is measured on samples, whose codes are known, and on data, whose labels the recognizer was not trained on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from interalia.conditionals import Codes
from interalia.errors import UserError


def matching(categories: Tensor, labels: Tensor, count: int) -> Tensor:
    """Returns the label that each category of a categorical code is matched to, int64, shape (count,).

    The matching is one to one, and maximizes the number of points whose category is matched to their label. If there
    are more categories than labels, the remaining categories get -1.

    References:
        The Hungarian Method for the Assignment Problem, Harold W. Kuhn, 1955,
        https://doi.org/10.1002/nav.3800020109

    Arguments:
        categories: the predicted category of each point, in 0 .. count - 1, int64, shape (n,).
        labels: the label of each point, from 0, int64, shape (n,).
        count: the number of categories.

    Raises:
        UserError: there are no points, or unequal numbers of categories and labels.

    Example:
        >>> matching(torch.tensor([2, 2, 0, 1]), torch.tensor([0, 0, 1, 1]), 3)
        tensor([ 1, -1,  0])
    """
    from scipy.optimize import linear_sum_assignment

    if len(categories) != len(labels) or len(labels) == 0:
        raise UserError(f"{len(categories)} categories have {len(labels)} labels; give one label for each, at least 1.")
    width = int(labels.max()) + 1
    counts = torch.bincount(categories * width + labels, minlength=count * width).view(count, width)
    rows, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    label_of_category = torch.full((count,), -1)
    label_of_category[torch.from_numpy(rows)] = torch.from_numpy(columns)
    return label_of_category


def code_error(categories: Tensor, labels: Tensor, label_of_category: Tensor) -> float:
    """The share of points whose predicted category is matched to a label other than the point's, between 0 and 1.

    Arguments:
        categories: the predicted category of each point, int64, shape (n,).
        labels: the label of each point, int64, shape (n,).
        label_of_category: the result of `matching`, on these points or on others.

    Example:
        >>> code_error(torch.tensor([2, 2, 0, 1]), torch.tensor([0, 0, 1, 1]), torch.tensor([1, -1, 0]))
        0.25
    """
    return float((label_of_category[categories] != labels).double().mean())


def code_bounds(prior: Codes, outputs: Tensor, z: Tensor) -> Tensor:
    """A lower bound L of the mutual information I(c; x) of each code c and samples x, in nats, float64, shape (codes,).

    L = E[log Q(c | x)] + H(c) <= I(c; x), with the recognizer's distribution Q and the code's entropy H. The codes are
    in the order of `prior.code_names`. For a categorical code Q is the softmax of its outputs. For a continuous code
    Q(c | x) = N(c; a(x), s^2) with the recognizer's output a. Its variance s^2 = mean (c - a)^2 makes the bound as
    tight as possible; the training may use another.

    Arguments:
        prior: the distribution of z.
        outputs: the recognizer's outputs for the samples, shape (n, prior.code_outputs).
        z: the latents of the samples, shape (n, prior.size).

    Example:
        >>> prior = Codes(4, categorical=(3,), uniform=0)
        >>> z = prior.sample((6,))
        >>> torch.allclose(code_bounds(prior, 99 * z[:, 1:], z), prior.entropy.double())
        True
    """
    outputs, z = outputs.double(), z.double()
    bounds = prior.log_likelihood(outputs, z).mean(dim=0) + prior.entropy.to(z)
    codes = torch.cat(prior.split(z)[1:], dim=1)
    first = sum(prior.categorical)
    square = (codes - outputs)[:, first:].square().mean(dim=0)
    tightest = -0.5 * (2 * math.pi * math.e * square).log()  # E[log N(c; a, s^2)]
    bounds[len(prior.categorical) :] = tightest + prior.entropy.to(z)[len(prior.categorical) :]
    return bounds


def mutual_information(p: Tensor, q: Tensor) -> float:
    """The mutual information, in nats, of the categories that two recognizers assign to the same points.

    The first recognizer assigns category i to a point, and the second one category j, with probability p_i q_j. The
    joint distribution P of (i, j) is the mean of p_i q_j over all points, made symmetric: (P + P^T) / 2.

    References:
        Invariant Information Clustering for Unsupervised Image Classification and Segmentation, Xu Ji, Joao F. Henriques,
        Andrea Vedaldi, 2019, https://arxiv.org/abs/1807.06653

    Arguments:
        p: probabilities of the first recognizer, shape (n, categories).
        q: probabilities of the second recognizer, shape (n, categories).

    Example:
        >>> p = torch.eye(2)
        >>> round(mutual_information(p, p), 4), mutual_information(p, torch.full((2, 2), 0.5))
        (0.6931, 0.0)
    """
    joint = p.double().T @ q.double() / len(p)
    joint = (joint + joint.T) / 2
    margin = joint.sum(dim=0)
    return float((torch.xlogy(joint, joint) - torch.xlogy(joint, margin.outer(margin))).sum())
