"""Images changed in one property, the rest of their z kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from interalia.errors import UserError
from interalia.games import Game
from interalia.tasks.calling import check_conditional, condition
from interalia.tasks.inference import decode, encode


def edit(game: Game, x: Tensor, y: Tensor, wanted: Tensor, seed: int = 0) -> Tensor:
    """x with its own z under other labels or attributes: the mean of p(x | z^, wanted), z^ the mean of q(z | x, y).

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704 (section 4.3)
        Invertible Conditional GANs for image editing, Guim Perarnau and others, 2016, https://arxiv.org/abs/1611.06355

    Raises:
        UserError: the game is told nothing, has no encoder, or x, y or `wanted` does not fit.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits(labels=True))
        >>> edit(game, torch.zeros(2, 1, 8, 8), torch.tensor([3, 4]), torch.tensor([7, 7])).shape
        torch.Size([2, 1, 8, 8])
    """
    check_conditional(game, "edit")
    return decode(game, encode(game, x, seed, y=y), seed, y=wanted)


def single_edits(game: Game, x: Tensor, y: Tensor, seed: int = 0) -> Tensor:
    """Every single edit of each image, shape (n, labels, *shape): column j is label j, or x with attribute j turned over."""
    check_conditional(game, "edit")
    (c,) = condition(game, y, len(x))
    z = encode(game, x, seed, y=y)
    columns = []
    for j in range(game.data.condition):
        wanted = c.clone() if game.data.attributes else torch.zeros_like(c)
        wanted[:, j] = 1 - wanted[:, j]
        columns.append(decode(game, z, seed, y=wanted))
    return torch.stack(columns, dim=1)


def direction(game: Game, x: Tensor, has: ArrayLike, seed: int = 0) -> Tensor:
    """The way in z from examples without a property to examples with it, shape (latent,): the difference of the means of z^.

    Arguments:
        game: a game with an encoder, that is told nothing.
        x: examples, shape (n, *shape).
        has: which of them have the property, bool or 0 and 1, shape (n,).
        seed: of an implicit encoder's noise.

    References:
        Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks, Alec Radford, Luke
        Metz, Soumith Chintala, 2016, https://arxiv.org/abs/1511.06434 (section 6.3.2)

    Raises:
        UserError: all examples have the property, or none has, or `has` does not fit x.
    """
    has = torch.as_tensor(has)
    if has.shape != (len(x),) or not bool(((has == 0) | (has == 1)).all()):
        raise UserError(f"`has` is to be true or false for each of {len(x)} examples, of shape ({len(x)},).")
    has = has.bool()
    if not bool(has.any()) or bool(has.all()):
        raise UserError(
            f"{int(has.sum())} of {len(has)} examples have the property; a direction takes some with it and some without; "
            f"give more examples."
        )
    z = encode(game, x, seed)
    return z[has].mean(0) - z[~has].mean(0)


def shift(game: Game, x: Tensor, way: Tensor, scales: Sequence[float], seed: int = 0) -> Tensor:
    """x moved along a `direction` of z by each of the scales, shape (n, scales, *shape); 0 is the reconstruction."""
    z = encode(game, x, seed)
    return torch.stack([decode(game, z + scale * way, seed) for scale in scales], dim=1)
