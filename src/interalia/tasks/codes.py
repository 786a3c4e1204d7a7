"""Tasks with latent codes: dimensions of z, such as a category, that a game such as InfoGAN learns to recover from images.

The functions infer the codes of images, and decode latents in which one code varies, or a grid over a z of two dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interalia.conditionals import Codes, Prior, StandardNormal, Uniform
from interalia.errors import UserError, at_least_one
from interalia.games import Game
from interalia.games.capabilities import Generates, HasCodes, require
from interalia.tasks.calling import evaluate_in_batches, sample_condition, task
from interalia.tasks.inference import decode, sample_latents


@task
def code_parameters(game: Game, x: Tensor) -> Tensor:
    """Returns the parameters of Q(c | x), the distribution of the codes c of images x that the game's recognition network
    estimates, shape (n, number of parameters).

    First come the logits of the categories of each categorical code, one after the other, then one number for each continuous
    code, the mean of its Gaussian Q(c | x).

    Arguments:
        game: a game with codes, such as InfoGAN.
        x: images, shape (n, *shape).

    Raises:
        UserError: the game has no codes, or x has the wrong shape.
    """
    coded = require(game, HasCodes, "recognize")
    return evaluate_in_batches(game, coded.code_parameters, x)


@task
def recognize(game: Game, x: Tensor) -> Tensor:
    """Returns the codes of images x: the probability of each category of the categorical codes, then the mean of each
    continuous code, shape (n, number of categories and continuous codes).

    Arguments:
        game: a game with codes, such as InfoGAN.
        x: images, shape (n, *shape).

    Raises:
        UserError: the game has no codes, or x has the wrong shape.

    Example:
        >>> import interalia
        >>> run = interalia.recipes.infogan_mnist(data="digits", latent_dim=16)
        >>> recognize(interalia.build(run), torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3, 12])
    """
    return require(game, HasCodes, "recognize").prior.expected_codes(code_parameters(game, x))


def traversal_names(game: Game, dimensions: int = 6) -> list[str]:
    """Returns the names of the codes in z, in the order of the argument `code` of `traverse`.

    If z has no codes, they are "z1", "z2" ... for its first dimensions, at most `dimensions` of them.
    """
    prior = require(game, Generates, "traverse").prior
    return prior.code_names if isinstance(prior, Codes) else [f"z{i + 1}" for i in range(min(dimensions, prior.size))]


@task
def traverse(
    game: Game, code: int = 0, rows: int = 10, columns: int = 10, low: float = -2.0, high: float = 2.0, seed: int = 0
) -> Tensor:
    """Returns a table of images in each row of which one code of z varies (latent traversal), shape (rows, columns, *shape).

    Within a row the rest of z is fixed. A categorical code takes each of its values. A continuous code goes from `low` to
    `high` in equal steps; the first categorical code, if there is one, then has category i in row i, modulo the number of
    categories. If z has no codes, one dimension of z goes from `low` to `high`. For a conditional game, each row has one
    label, in their order, or one sample of the attributes.

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657 (figure 2, whose codes go from -2 to 2)

    Arguments:
        game: a game with a decoder.
        code: the index of the code, or of the dimension of z, from 0.
        rows: number of rows, each with another sample of the rest of z.
        columns: number of values of a continuous code; a categorical one has a column for each category.
        low: the first value of a continuous code.
        high: the last value of a continuous code.
        seed: random seed of the rest of z.

    Raises:
        UserError: the game has no decoder, there is no such code, or a number is out of its range.
    """
    prior = require(game, Generates, "traverse").prior
    count = len(prior.code_sizes) if isinstance(prior, Codes) else prior.size
    if not 0 <= code < count:
        raise UserError(f"`code` is {code}, and it must be from 0 to {count - 1}.")
    at_least_one(rows=rows, columns=columns)
    z = sample_latents(game, rows, seed)
    part = prior.code_slice(code) if isinstance(prior, Codes) else slice(code, code + 1)
    if isinstance(prior, Codes) and code < len(prior.categorical):
        values = torch.eye(prior.categorical[code])
    else:
        values = torch.linspace(low, high, columns)[:, None]
        if isinstance(prior, Codes) and prior.categorical:
            z[:, prior.code_slice(0)] = torch.eye(prior.categorical[0])[torch.arange(rows) % prior.categorical[0]]
    z = z[:, None].repeat(1, len(values), 1)
    z[:, :, part] = values
    if not game.data.condition:
        return torch.stack([decode(game, row, seed) for row in z])
    # y is fixed within a row too: the rows take one label after the other, or attributes are drawn
    size = game.data.condition
    y = sample_condition(game, rows, seed)[0] if game.data.attributes else torch.eye(size)[torch.arange(rows) % size]
    return torch.stack([decode(game, row, seed, y=c.expand(len(row), -1)) for row, c in zip(z, y, strict=True)])


def has_plane(prior: Prior) -> bool:
    """True if a prior is as `manifold` needs it: standard normal or uniform, with two latents."""
    return prior.size == 2 and isinstance(prior, StandardNormal | Uniform)


@task
def manifold(game: Game, grid_size: int = 20, seed: int = 0) -> Tensor:
    """Returns the images decoded from a grid of points z in the plane, for a game with a z of two dimensions (the learned
    manifold), shape (grid_size, grid_size, *shape).

    The grid is evenly spaced in prior probability: for a normal prior the inverse CDF of an even grid on the unit square, for
    a uniform one the even grid on [-1, 1]. z_1 increases to the right, z_2 upwards.

    References:
        Auto-Encoding Variational Bayes, Diederik P. Kingma, Max Welling, 2014, https://arxiv.org/abs/1312.6114 (appendix A)

    Arguments:
        game: a game with a decoder, two latents and a normal or uniform prior.
        grid_size: number of points along each dimension.
        seed: random seed of the condition of a conditional game: one label, or one set of attributes, for all points.

    Raises:
        UserError: the game has no decoder, another number of latents or another prior, or `grid_size` is under 1.
    """
    prior = require(game, Generates, "manifold").prior
    if prior.size != 2:
        raise UserError(
            f"manifold needs a z of 2 dimensions, and that of this game has {prior.size}; train with "
            f"`latent_dim=2`, or use traverse."
        )
    if not has_plane(prior):
        raise UserError(
            f"manifold needs a normal or a uniform prior, and that of this game is {type(prior).__name__}; use traverse."
        )
    at_least_one(grid_size=grid_size)
    share = (torch.arange(grid_size) + 0.5) / grid_size
    axis = torch.special.ndtri(share) if isinstance(prior, StandardNormal) else 2 * share - 1
    z = torch.stack(torch.meshgrid(axis, axis.flip(0), indexing="xy"), dim=-1).flatten(0, 1)
    y = next(iter(sample_condition(game, 1, seed)), None)
    return decode(game, z, seed, y=None if y is None else y.expand(len(z), -1)).unflatten(0, (grid_size, grid_size))
