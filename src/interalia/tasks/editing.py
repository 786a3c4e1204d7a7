"""Editing of images: one property is changed, by decoding z with another condition or by moving z along a direction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from interalia.errors import UserError
from interalia.games import Game
from interalia.tasks.calling import check_conditional, condition, task
from interalia.tasks.inference import decode, encode


@task
def edit(game: Game, x: Tensor, y: Tensor, new_y: Tensor, seed: int = 0) -> Tensor:
    """Returns images that are changed to other labels or attributes y', shape (n, *shape).

    The result is the mean of the decoder's distribution p(x | z^, y'), where z^ is the mean of the encoder's distribution
    q(z | x, y).

    Arguments:
        game: a conditional game with an encoder and a decoder.
        x: images, shape (n, *shape).
        y: their labels or attributes; see `interalia.tasks.condition`.
        new_y: y', the labels or attributes of the edited images.
        seed: random seed of an implicit encoder's noise.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704 (section 4.4)
        Invertible Conditional GANs for image editing, Guim Perarnau and others, 2016, https://arxiv.org/abs/1611.06355

    Raises:
        UserError: the game is unconditional or has no encoder, or x, y or `new_y` does not fit.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits(condition_on="labels"))
        >>> edit(game, torch.zeros(2, 1, 8, 8), torch.tensor([3, 4]), torch.tensor([7, 7])).shape
        torch.Size([2, 1, 8, 8])
    """
    check_conditional(game, "edit")
    return decode(game, encode(game, x, seed, y=y), seed, y=new_y)


@task
def single_edits(game: Game, x: Tensor, y: ArrayLike | None, seed: int = 0) -> Tensor:
    """Returns each image changed to each label in turn, or with each attribute flipped in turn, by `edit`.

    The shape is (n, number of labels or attributes, *shape): [i, j] is image i with label j, or with attribute j flipped.

    Arguments:
        game: a conditional game with an encoder and a decoder.
        x: images, shape (n, *shape).
        y: their labels or attributes; see `interalia.tasks.condition`.
        seed: random seed of an implicit encoder's noise.

    Raises:
        UserError: the game is unconditional or has no encoder, or x or y does not fit.
    """
    check_conditional(game, "edit")
    (c,) = condition(game, y, len(x))
    z = encode(game, x, seed, y=y)
    former = c[:, None] if game.data.attributes else torch.zeros_like(c)[:, None]
    new_y = torch.where(torch.eye(game.data.condition).bool(), 1 - former, former)
    return torch.stack([decode(game, z, seed, y=new_y[:, j]) for j in range(game.data.condition)], dim=1)


@task
def direction(game: Game, x: Tensor, has: ArrayLike, seed: int = 0) -> Tensor:
    """Returns the direction of a property in the space of latents, shape (latent,): the mean of the inferred latents z^ of
    examples with the property, minus the mean of those of examples without it.

    Arguments:
        game: an unconditional game with an encoder.
        x: examples, shape (n, *shape).
        has: 1 or True for examples with the property and 0 or False for others, shape (n,).
        seed: random seed of an implicit encoder's noise.

    References:
        Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks, Alec Radford, Luke
        Metz, Soumith Chintala, 2016, https://arxiv.org/abs/1511.06434 (section 6.3.2)

    Raises:
        UserError: all examples or none have the property, or `has` has another shape or other values.
    """
    try:
        has = torch.as_tensor(has)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"`has`, of type {type(has).__name__}, must be true or false for each example.") from None
    if has.shape != (len(x),) or not bool(((has == 0) | (has == 1)).all()):
        raise UserError(f"`has` must be true or false for each of {len(x)} examples, shape ({len(x)},).")
    has = has.bool()
    if not bool(has.any()) or bool(has.all()):
        raise UserError(
            f"{int(has.sum())} of {len(has)} examples have the property, and a direction needs examples with and without it; "
            f"give more examples."
        )
    z = encode(game, x, seed)
    return z[has].mean(0) - z[~has].mean(0)


@task
def shift(game: Game, x: Tensor, direction: Tensor, scales: Sequence[float], seed: int = 0) -> Tensor:
    """Returns images decoded from latents that are moved along a direction, shape (n, number of scales, *shape).

    [i, j] is the decoding of z^ + scales[j] * direction, where z^ are the inferred latents of image i; for a scale of 0 it is
    the reconstruction of the image.

    Arguments:
        game: an unconditional game with an encoder and a decoder.
        x: images, shape (n, *shape).
        direction: the direction, such as that of a property that `direction` returns, shape (latent,); or one for each image,
            shape (n, latent).
        scales: the multiples of the direction that are added.
        seed: random seed of an implicit encoder's noise.

    Raises:
        UserError: the game has no encoder or decoder, x or the direction has the wrong shape, or the scales are no numbers or
            none.
    """
    z = encode(game, x, seed)
    if tuple(direction.shape) not in (tuple(z.shape[1:]), tuple(z.shape)):
        raise UserError(
            f"the direction has the shape {tuple(direction.shape)}, and a latent of this game ({z.shape[1]},); give one of "
            f"that shape."
        )
    try:
        moved = [z + float(scale) * direction for scale in scales]
    except (TypeError, ValueError):
        moved = []
    if not moved:
        raise UserError(
            f"`scales` is {scales!r}, and it must be numbers, at least one; give for example `scales=[-1, 1]`."
        )
    return torch.stack([decode(game, one, seed) for one in moved], dim=1)
