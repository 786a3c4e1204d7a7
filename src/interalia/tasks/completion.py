"""z by gradient descent: what a decoder alone can infer, and images of which only a part is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from interalia.contexts import device_of, evaluating, frozen
from interalia.errors import UserError
from interalia.games import Game
from interalia.games.capabilities import Generates, Infers, require
from interalia.tasks.calling import BATCH, check_images, condition
from interalia.tasks.inference import decode, encode, sample_latents

STARTS = 64  # draws of the prior, of which the nearest begins where there is no encoder


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
    """z by gradient descent on the reconstruction, shape (n, latent):

        argmin_z ||mask (x - G(z))||^2,  G(z) the mean of p(x | z)

    by Adam, its rate falling to 0 by a half cosine, from the encoder's z^ where the game has one, and else from the nearest
    of 64 draws of the prior. Each image has its own z; none of the game's weights is touched.

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
        mask: 1 where x is known and 0 elsewhere, of one image's shape or a shape that is broadcast to it; None for all.
        start: where to begin, shape (n, latent).
        seed: of the draws.
        y: what a conditional game is told of the images.

    Raises:
        UserError: the game has no decoder, or a shape does not fit.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.gan_mnist(data="digits"))
        >>> project(game, torch.zeros(2, 1, 8, 8), refine_steps=3).shape
        torch.Size([2, 64])
    """
    size = require(game, Generates, "project").prior.size
    check_images(game, x)
    if refine_steps < 0 or not refine_lr > 0:
        raise UserError(
            f"`refine_steps` is {refine_steps} and `refine_lr` is {refine_lr}; give 0 steps or more, and a learning rate above 0."
        )
    known = torch.ones(game.data.shape) if mask is None else expand_mask(game, mask)
    x = x.masked_fill(~known.bool(), 0)  # whatever was there
    if start is None:
        start = encode(game, x, seed, y=y) if isinstance(game, Infers) else nearest_draws(game, x, known, seed, y)
    if tuple(start.shape) != (len(x), size):
        raise UserError(
            f"the start has the shape {tuple(start.shape)}, and for {len(x)} images of this game it is "
            f"({len(x)}, {size})."
        )
    conditions = condition(game, y, len(x))
    parts = [part.split(BATCH) for part in (x, start, *conditions)]
    return torch.cat([descend(game, known, refine_steps, refine_lr, seed, *rows) for rows in zip(*parts, strict=True)])


def descend(game: Game, known: Tensor, steps: int, rate: float, seed: int, x: Tensor, z: Tensor, *y: Tensor) -> Tensor:
    """`project` for one batch."""
    device, decoder = device_of(game), require(game, Generates, "project").decoder
    x, known, z, y = x.to(device), known.to(device), z.detach().clone().to(device), tuple(c.to(device) for c in y)
    with evaluating(game, seed), frozen(game), torch.enable_grad():
        z.requires_grad_()
        adam = torch.optim.Adam([z], lr=rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(steps, 1))
        for _ in range(steps):
            adam.zero_grad()
            lost = (known * (x - decoder(z, *y).mean)).square().sum()  # a sum: no image's step depends on another's
            lost.backward()
            adam.step()
            falling.step()
    return z.detach().float().cpu()


def nearest_draws(game: Game, x: Tensor, known: Tensor, seed: int, y: Tensor | None) -> Tensor:
    """For each image the one of `STARTS` draws of the prior whose decoding is nearest on what is known."""
    best, found = torch.full((len(x),), torch.inf), sample_latents(game, len(x), seed).zero_()
    for i in range(STARTS):
        z = sample_latents(game, len(x), seed + i)
        lost = (known * (x - decode(game, z, seed, y=y))).square().flatten(1).sum(1)
        closer = lost < best
        best, found = torch.where(closer, lost, best), torch.where(closer[:, None], z, found)
    return found


def load_mask(shape: Sequence[int], name: str | Path) -> Tensor:
    """The mask of a named hole, a half of an image or its middle quarter, or that which a picture shows: 1 where an image is
    known and the picture white, shape (1, height, width).

    Raises:
        UserError: there is no such hole or picture, or the picture has another size.

    Example:
        >>> load_mask((1, 2, 4), "left")
        tensor([[[0., 0., 1., 1.],
                 [0., 0., 1., 1.]]])
    """
    height, width = shape[1:]
    holes = {
        "left": (slice(None), slice(0, width // 2)),
        "right": (slice(None), slice(width // 2, width)),
        "top": (slice(0, height // 2), slice(None)),
        "bottom": (slice(height // 2, height), slice(None)),
        "centre": (slice(height // 4, height - height // 4), slice(width // 4, width - width // 4)),
    }
    if name in holes:
        known = torch.ones(1, height, width)
        known[0][holes[str(name)]] = 0
        return known
    if not Path(name).exists():
        raise UserError(
            f"there is no mask {name}; it is one of {', '.join(holes)}, or a black and white picture's path."
        )
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(name) as opened:
            gray = opened.convert("L")
    except (OSError, UnidentifiedImageError):
        raise UserError(f"the mask {name} is no picture; give a .png, white where the image is known.") from None
    if gray.size != (width, height):
        raise UserError(
            f"the mask {name} has {gray.size[0]}x{gray.size[1]} pixels, and this game's images have {width}x{height}; give "
            f"one of that size."
        )
    return (torch.tensor(list(gray.getdata()), dtype=torch.float32).view(1, height, width) >= 128).float()


def expand_mask(game: Game, mask: ArrayLike) -> Tensor:
    """The mask at one image's full shape.

    Raises:
        UserError: it does not fit, or holds other numbers than 0 and 1.
    """
    try:
        given = torch.as_tensor(mask).float()
        found = given.expand(game.data.shape)
    except RuntimeError:
        raise UserError(
            f"the mask has the shape {tuple(given.shape)}, and this game's images have {game.data.shape}; give a mask of the "
            f"same height and width."
        ) from None
    if not bool(((found == 0) | (found == 1)).all()):
        raise UserError(
            "the mask has other values than 0 and 1; give 1 (white) where the image is known, and 0 elsewhere."
        )
    return found


def complete(
    game: Game,
    x: Tensor,
    mask: ArrayLike,
    refine_steps: int = 200,
    refine_lr: float = 0.05,
    blend: int = 0,
    seed: int = 0,
    y: Tensor | None = None,
) -> Tensor:
    """Images whose unknown part is filled in: z^ of the image with a gray hole, refined on the known pixels (see `project`),
    decoded, and put into the hole.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
        Semantic Image Inpainting with Deep Generative Models, Raymond A. Yeh and others, 2017,
        https://arxiv.org/abs/1607.07539 (the descent on known pixels)

    Arguments:
        game, x, refine_steps, refine_lr, seed, y: as for `project`; what x holds in the hole is not looked at.
        mask: 1 where x is known and 0 in the hole.
        blend: over how many pixels into the known part the seam fades.

    Raises:
        UserError: what `project` raises, or nothing or everything is known, or `blend` is below 0.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits())
        >>> mask = torch.ones(1, 8, 8)
        >>> mask[:, :, 4:] = 0
        >>> complete(game, torch.zeros(2, 1, 8, 8), mask, refine_steps=3).shape
        torch.Size([2, 1, 8, 8])
    """
    require(game, Generates, "complete")
    check_images(game, x)
    if blend < 0:
        raise UserError(f"`blend` is {blend}, and it counts pixels; give 0 or more.")
    known = expand_mask(game, mask)
    if not bool(known.any()):
        raise UserError("the mask leaves nothing known of the images; give 1 (white) where they are known.")
    if bool(known.all()):
        raise UserError("the mask leaves nothing to fill in; give 0 (black) where the images are not known.")
    x = x.masked_fill(~known.bool(), 0)
    mean = x.flatten(1).sum(1) / known.sum()  # gray as the known part is
    holed = torch.where(known.bool(), x, mean.view(-1, *[1] * (x.ndim - 1)))
    start = encode(game, holed, seed, y=y) if isinstance(game, Infers) else None
    z = project(game, holed, refine_steps, refine_lr, known, start, seed, y)
    filled = decode(game, z, seed, y=y)
    weight = feather_mask(known, blend)
    return weight * x + (1 - weight) * filled


def feather_mask(known: Tensor, pixels: int) -> Tensor:
    """The mask, falling to 0 over so many pixels of the known part along its border."""
    if not pixels or known.ndim != 3:
        return known
    hole = 1 - known
    near = hole.clone()
    total = hole.clone()
    for _ in range(pixels):  # the hole grown by 1, 2, ... pixels
        near = nn.functional.max_pool2d(near, 3, 1, 1)
        total = total + near
    return known * (1 - total / (pixels + 1))
