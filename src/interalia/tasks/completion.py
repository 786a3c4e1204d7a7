"""Latent optimization: the latents z of images by gradient descent on the reconstruction error, and inpainting with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from interalia.contexts import device_of, evaluating, frozen
from interalia.errors import UserError
from interalia.games import Game
from interalia.games.capabilities import Generates, Infers, require
from interalia.tasks.calling import condition, map_batches, task
from interalia.tasks.inference import decode, encode, sample_latents

STARTS = 64  # samples of the prior; without an encoder the descent starts from the nearest one


@task
def project(
    game: Game,
    x: Tensor,
    refine_steps: int = 200,
    refine_lr: float = 0.05,
    mask: ArrayLike | None = None,
    start: Tensor | None = None,
    seed: int = 0,
    y: Tensor | None = None,
) -> Tensor:
    """Returns latents z that reconstruct images, found by gradient descent (latent optimization, GAN inversion), shape
    (n, latent):

        argmin_z ||mask (x - G(z))||^2,  G(z) the mean of p(x | z), the distribution that the decoder represents

    The optimizer is Adam, whose learning rate falls to 0 along a cosine. It starts from the z that the encoder infers; if the
    game has no encoder, from the sample of the prior, out of 64, whose decoding is nearest to x. The weights of the game do
    not change.

    References:
        Generative Visual Manipulation on the Natural Image Manifold, Jun-Yan Zhu and others, 2016,
        https://arxiv.org/abs/1609.03552 (the same start and objective, with L-BFGS)
        Precise Recovery of Latent Vectors from Generative Adversarial Networks, Zachary C. Lipton, Subarna Tripathi, 2017,
        https://arxiv.org/abs/1702.04782

    Arguments:
        game: a game with a decoder.
        x: images, shape (n, *shape).
        refine_steps: number of gradient steps; 0 returns the start.
        refine_lr: Adam's learning rate at the first step.
        mask: 1 where x is known and 0 elsewhere, in a shape that broadcasts to that of one image; None if all is known.
        start: the z before the first step, shape (n, latent); None for the encoder's z or the nearest sample.
        seed: random seed of all random numbers.
        y: labels or attributes of the images, for a conditional game; see `interalia.tasks.condition`.

    Raises:
        UserError: the game has no decoder, a shape does not fit, or a number is out of its range.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.gan_mnist(data="digits"))
        >>> project(game, torch.zeros(2, 1, 8, 8), refine_steps=3).shape
        torch.Size([2, 64])
    """
    size = require(game, Generates, "project").prior.size
    if refine_steps < 0 or not 0 < refine_lr < math.inf:
        raise UserError(
            f"`refine_steps` is {refine_steps} and `refine_lr` is {refine_lr}; give 0 or more steps, and a "
            f"learning rate above 0."
        )
    known = torch.ones(game.data.shape) if mask is None else expand_mask(game, mask)
    x = x.masked_fill(~known.bool(), 0)  # unknown pixels may hold anything, NaN included
    if start is None:
        start = encode(game, x, seed, y=y) if isinstance(game, Infers) else nearest_samples(game, x, known, seed, y)
    if tuple(start.shape) != (len(x), size):
        raise UserError(
            f"`start` has the shape {tuple(start.shape)}; for {len(x)} images this game needs the shape ({len(x)}, {size})."
        )
    device = device_of(game)
    descent = partial(descend, game, known.to(device), refine_steps, refine_lr)
    with evaluating(game, seed), frozen(game):
        return map_batches(descent, x, start, *condition(game, y, len(x)), device=device, key=(seed, "decode"))


def descend(game: Game, known: Tensor, steps: int, lr: float, x: Tensor, z: Tensor, *y: Tensor) -> Tensor:
    """Minimizes the squared reconstruction error over the known pixels of a batch of images by gradient descent on z (Adam).

    Returns the z after the last step, shape (n, latent). The weights of the game do not change.

    Arguments:
        game: a game with a decoder.
        known: 1 where x is known and 0 elsewhere, in the shape of one image.
        steps: number of gradient steps.
        lr: the learning rate at the first step, which falls to 0 along a cosine.
        x: images, shape (n, *shape).
        z: the z before the first step, shape (n, latent).
        y: one tensor, the conditions of the images, for a conditional game; nothing for an unconditional one.
    """
    decoder = require(game, Generates, "project").decoder
    with torch.enable_grad():
        z = z.detach().clone().requires_grad_()
        adam = torch.optim.Adam([z], lr=lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(steps, 1))
        for _ in range(steps):
            adam.zero_grad()
            error = (known * (x - decoder(z, *y).mean)).square().sum()  # a sum keeps the images independent
            error.backward()
            adam.step()
            schedule.step()
    return z.detach()


def nearest_samples(game: Game, x: Tensor, known: Tensor, seed: int, y: Tensor | None) -> Tensor:
    """Returns for each image the one of 64 samples z of the prior whose decoding has the smallest squared error.

    The error is summed over the known pixels.

    Arguments:
        game: a game with a decoder.
        x: images, shape (n, *shape).
        known: 1 where x is known and 0 elsewhere, in the shape of one image.
        seed: the seed of the first sample of each image; sample i, from 0, has the seed `seed` + i.
        y: labels or attributes of the images, for a conditional game.

    Returns:
        The nearest samples, shape (n, latent).
    """
    best, found = torch.full((len(x),), torch.inf), sample_latents(game, len(x), seed).zero_()
    for i in range(STARTS):
        z = sample_latents(game, len(x), seed + i)
        error = (known * (x - decode(game, z, seed, y=y))).square().flatten(1).sum(1)
        closer = error < best
        best, found = torch.where(closer, error, best), torch.where(closer[:, None], z, found)
    return found


def load_mask(shape: Sequence[int], name: str | Path) -> Tensor:
    """Returns the mask of a hole in images: 1 for known pixels and 0 in the hole, float32, shape (1, height, width).

    Arguments:
        shape: the shape of one image, (channels, height, width).
        name: the place of the hole: "left", "right", "top" or "bottom" (a half), or "center" (the middle quarter); or the
            path of a picture of the images' size, white for known pixels and black in the hole.

    Raises:
        UserError: there is no such hole or picture, or the picture has another size.

    Example:
        >>> load_mask((1, 2, 4), "left")
        tensor([[[0., 0., 1., 1.],
                 [0., 0., 1., 1.]]])
    """
    height, width = shape[1:]
    known = torch.ones(1, height, width)
    holes = {  # views of the mask
        "left": known[..., : width // 2],
        "right": known[..., width // 2 :],
        "top": known[:, : height // 2],
        "bottom": known[:, height // 2 :],
        "center": known[:, height // 4 : height - height // 4, width // 4 : width - width // 4],
    }
    if (place := str(name).replace("centre", "center")) in holes:
        holes[place].zero_()
        return known
    if not Path(name).exists():
        raise UserError(
            f"there is no mask {name}; give one of {', '.join(holes)}, or the path of a black and white picture."
        )
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(name) as opened:
            gray = opened.convert("L")
    except (OSError, UnidentifiedImageError):
        raise UserError(f"the mask {name} is not a picture; give a .png, white where the image is known.") from None
    if gray.size != (width, height):
        raise UserError(
            f"the mask {name} has {gray.size[0]}x{gray.size[1]} pixels, and the images of this game have {width}x{height}; "
            f"give a mask of that size."
        )
    return (torch.tensor(list(gray.getdata()), dtype=torch.float32).view(1, height, width) >= 128).float()


def expand_mask(game: Game, mask: ArrayLike) -> Tensor:
    """Returns a mask as a float32 tensor in the shape of one image of the game, by broadcasting.

    Arguments:
        game: the game.
        mask: 1 where images are known and 0 elsewhere, in a shape that broadcasts to that of one image.

    Raises:
        UserError: it does not broadcast to that shape, or has values other than 0 and 1.
    """
    try:
        values = torch.as_tensor(mask).float()
        found = values.expand(game.data.shape)
    except RuntimeError:
        raise UserError(
            f"the mask has the shape {tuple(values.shape)}, and the images of this game have {game.data.shape}; give a "
            f"mask of the same height and width."
        ) from None
    if not bool(((found == 0) | (found == 1)).all()):
        raise UserError(
            "the mask has values other than 0 and 1; give 1 (white) where the image is known, and 0 elsewhere."
        )
    return found


@task
def complete(
    game: Game,
    x: Tensor,
    mask: ArrayLike | Path,
    refine_steps: int = 200,
    refine_lr: float = 0.05,
    blend: int = 0,
    seed: int = 0,
    y: Tensor | None = None,
) -> Tensor:
    """Returns images whose unknown part is filled in (inpainting), shape (n, *shape).

    An image is encoded with the mean of its known pixels in the hole. The inferred z^ is refined by gradient descent on the
    squared error over the known pixels (see `project`). Its decoding fills the hole. Without an encoder the descent starts
    from a sample of the prior.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
        Semantic Image Inpainting with Deep Generative Models, Raymond A. Yeh and others, 2017,
        https://arxiv.org/abs/1607.07539 (the descent on known pixels)

    Arguments:
        game: a game with a decoder.
        x: images, shape (n, *shape); their pixels in the hole are not used.
        mask: 1 where x is known and 0 in the hole, in a shape that broadcasts to that of one image; or a text, as `load_mask`
            takes it, such as "left".
        refine_steps: number of gradient steps on z, as for `project`.
        refine_lr: Adam's learning rate at the first step.
        blend: width in pixels of the band of known pixels beside the hole in which the decoding fades into x; 0 for none.
        seed: random seed of all random numbers.
        y: labels or attributes of the images, for a conditional game.

    Raises:
        UserError: `project` raises one, nothing or everything is known, or `blend` is below 0.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits())
        >>> mask = torch.ones(1, 8, 8)
        >>> mask[:, :, 4:] = 0
        >>> complete(game, torch.zeros(2, 1, 8, 8), mask, refine_steps=3).shape
        torch.Size([2, 1, 8, 8])
    """
    require(game, Generates, "complete")
    if blend < 0:
        raise UserError(f"`blend` is {blend}, a number of pixels; give 0 or more.")
    known = expand_mask(game, load_mask(game.data.shape, str(mask)) if isinstance(mask, str | Path) else mask)
    if not bool(known.any()):
        raise UserError("the mask has no known pixels; give 1 (white) where the images are known.")
    if bool(known.all()):
        raise UserError("the mask has no hole; give 0 (black) where the images are not known.")
    x = x.masked_fill(~known.bool(), 0)
    mean = x.flatten(1).sum(1) / known.sum()  # of the known pixels
    holed = torch.where(known.bool(), x, mean.view(-1, *[1] * (x.ndim - 1)))
    start = encode(game, holed, seed, y=y) if isinstance(game, Infers) else None
    z = project(game, holed, refine_steps, refine_lr, known, start, seed, y)
    filled = decode(game, z, seed, y=y)
    weight = feather_mask(known, blend)
    return weight * x + (1 - weight) * filled


def feather_mask(known: Tensor, pixels: int) -> Tensor:
    """Returns a mask that is 0 in the hole, d / (pixels + 1) for known pixels at a distance d of 1 to `pixels` from the hole,
    where a diagonal step counts 1, and 1 for all others.

    Arguments:
        known: 1 where images are known and 0 in the hole, shape (channels, height, width); a mask of another number of
            dimensions is returned unchanged.
        pixels: the width of the band; for 0 the mask is returned unchanged.
    """
    if not pixels or known.ndim != 3:
        return known
    near = total = 1 - known
    for _ in range(pixels):  # the hole grown by 1, 2, ... pixels
        near = nn.functional.max_pool2d(near, 3, 1, 1)
        total = total + near
    return known * (1 - total / (pixels + 1))
