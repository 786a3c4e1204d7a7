"""Generate, encode, reconstruct, interpolate, translate, classify: what a game's networks are for."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from interalia.contexts import evaluating
from interalia.errors import UserError, check_choice
from interalia.games import Game
from interalia.games.capabilities import Classifies, Generates, HasLevels, Infers, Simulates, Translates, require
from interalia.tasks.calling import (
    BATCH,
    NOISE,
    check_images,
    condition,
    derived_seed,
    evaluate_in_batches,
    level_of,
    sample_condition,
)
from interalia.tasks.result import Interpolation, Level


def sample_latents(game: Game, count: int, seed: int = 0) -> Tensor:
    """`count` draws z ~ p(z), shape (count, latent)."""
    prior = require(game, Generates, "drawing latents").prior
    with evaluating(game, seed):
        return prior.sample((count,)).cpu()


def decode(
    game: Game,
    z: Tensor,
    seed: int = 0,
    label: int | str | None = None,
    y: Tensor | None = None,
    level: Level = "upper",
    sample: bool = False,
) -> Tensor:
    """The mean of p(x | z), or one draw from it, shape (n, *shape); of a conditional game p(x | z, y), y or else as by
    `labels`.

    With `level` "lower" z is of the lower level of a game with two.

    A draw has the noise that the game's likelihood has around the mean, such as zeros and ones for Bernoulli pixels: it is
    what is held against data, where a mean is what people look at. Where the decoder is deterministic and the game has no
    likelihood, as in ALI by default, the two are the same.

    Raises:
        UserError: the game has no decoder, or z has the wrong size, or what `labels` raises.
    """
    size = require(game, Generates, "decode").prior.size
    decoder = level_of(game, level, encoder=False)
    if level == "lower":
        size = require(game, HasLevels, "decode").lower
    if z.ndim != 2 or z.shape[1] != size:
        raise UserError(
            f"the latents have the shape {tuple(z.shape)}, and this game's are (n, {size}); "
            f"give an array with {size} columns."
        )
    c = sample_condition(game, len(z), seed, label) if y is None else condition(game, y, len(z))
    # a game with a likelihood knows the noise around its mean
    draw = game.simulate if level == "upper" and isinstance(game, Simulates) else lambda *c: decoder(*c).sample()
    noise = derived_seed(seed, NOISE)  # z was drawn from the seed itself
    return evaluate_in_batches(game, lambda *c: decoder(*c).mean if not sample else draw(*c), z, *c, seed=noise)


def generate(
    game: Game, count: int, seed: int = 0, label: int | str | None = None, y: Tensor | None = None, sample: bool = False
) -> Tensor:
    """`count` samples: z ~ p(z), and the mean of p(x | z) or a draw from it, see `decode`; of a conditional game with one
    label, with y, or with labels as by `labels`.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits())
        >>> generate(game, 3).shape
        torch.Size([3, 1, 8, 8])
    """
    return decode(game, sample_latents(game, count, seed), seed, label, y, sample=sample)


def generate_by_label(game: Game, each: int, seed: int = 0, sample: bool = False) -> Tensor:
    """`each` samples of every label, label by label, the same latents for each label; `sample` as in `decode`."""
    return torch.cat([generate(game, each, seed, label, sample=sample) for label in range(game.data.condition)])


def encode(
    game: Game, x: Tensor, seed: int = 0, sample: bool = False, y: Tensor | None = None, level: Level = "upper"
) -> Tensor:
    """z^ = the mean of q(z | x), or one draw from it, shape (n, latent); of a conditional game q(z | x, y), see `told`.

    With `level` "lower" it is the lower level of a game with two.

    Raises:
        UserError: the game has no encoder, or x or y has the wrong shape.
    """
    encoder = level_of(game, level, encoder=True)
    check_images(game, x)
    c = condition(game, y, len(x))
    return evaluate_in_batches(
        game, lambda *c: encoder(*c).mean if not sample else encoder(*c).sample(), x, *c, seed=seed
    )


def features(game: Game, x: Tensor, seed: int = 0, y: Tensor | None = None) -> Tensor:
    """The encoder's last hidden layer, flattened, shape (n, features): the representation that probes read."""
    encoder = require(game, Infers, "features").encoder
    check_images(game, x)
    return evaluate_in_batches(
        game, lambda *c: encoder.hidden(*c).flatten(1), x, *condition(game, y, len(x)), seed=seed
    )


def reconstruct(game: Game, x: Tensor, seed: int = 0, y: Tensor | None = None, level: Level = "upper") -> Tensor:
    """x^ = the mean of p(x | z^), z^ = the mean of q(z | x); from the lower level of a game with two by `level`.

    Raises:
        UserError: the game has no encoder or no decoder, or x or y has the wrong shape.
    """
    require(game, Infers, "reconstruct", Generates)
    return decode(game, encode(game, x, seed, y=y, level=level), seed, y=y, level=level)


def interpolate(
    game: Game,
    a: Tensor,
    b: Tensor,
    steps: int = 9,
    interpolation: Interpolation = "lerp",
    seed: int = 0,
    y: tuple[Tensor, Tensor] | None = None,
    level: Level = "upper",
) -> Tensor:
    """Decoded points on the way from q(z | a) to q(z | b), shape (n, steps, *shape); both ends are reconstructions.

    Of a conditional game, the labels of a and b are `y`, and what the decoder is told goes from the one to the other too.

    Raises:
        UserError: fewer than two steps, or what `reconstruct` raises.
    """
    require(game, Infers, "interpolate", Generates)
    if steps < 2:
        raise UserError(f"`steps` is {steps}, and an interpolation has at least its 2 ends; give 2 or more.")
    y_a, y_b = (None, None) if y is None else y
    z_a, z_b = encode(game, a, seed, y=y_a, level=level), encode(game, b, seed, y=y_b, level=level)
    places = torch.linspace(0, 1, steps).tolist()
    path = torch.stack([interpolate_latents(z_a, z_b, t, interpolation) for t in places], dim=1).flatten(0, 1)
    told_on_the_way = None
    for c_a, c_b in zip(condition(game, y_a, len(a)), condition(game, y_b, len(b)), strict=True):
        told_on_the_way = torch.stack([interpolate_latents(c_a, c_b, t) for t in places], dim=1).flatten(0, 1)
    return decode(game, path, seed, y=told_on_the_way, level=level).unflatten(0, (len(a), steps))


def neighbours(
    game: Game, x: Tensor, others: Tensor, count: int = 8, seed: int = 0, y: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """For each image the `count` nearest of the others by the Euclidean distance of the means of q(z | x), the nearest first:
    their indices, int64, shape (n, count).

    Arguments:
        game: a game with an encoder.
        x: images, shape (n, *shape).
        others: where to look, such as the training images, shape (m, *shape).
        count: how many of them.
        seed: of an implicit encoder's noise.
        y: what a conditional game is told of x and of the others.

    Raises:
        UserError: the game has no encoder, or `count` is under 1 or over m.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits())
        >>> images = torch.rand(5, 1, 8, 8)
        >>> neighbours(game, images, images, 1).flatten()
        tensor([0, 1, 2, 3, 4])
    """
    require(game, Infers, "neighbours")
    if not len(others):
        raise UserError("there are no images to look among; give at least 1 in `others`.")
    if not 1 <= count <= len(others):
        raise UserError(
            f"`count` is {count}, and it must be from 1 to {len(others)}, the number of images to look among."
        )
    told_x, told_others = (None, None) if y is None else y
    z, among = encode(game, x, seed, y=told_x), encode(game, others, seed, y=told_others)
    rows = [torch.cdist(part, among).topk(count, largest=False).indices for part in z.split(BATCH)]
    return torch.cat(rows)


def interpolate_latents(a: Tensor, b: Tensor, t: float, interpolation: Interpolation = "lerp") -> Tensor:
    """The point at `t` in [0, 1] between latents a and b, shape (n, latent).

    lerp: (1 - t) a + t b. slerp: sin((1 - t) w) / sin w a + sin(t w) / sin w b, w the angle between a and b,
    which keeps to the radii where a Gaussian prior of many dimensions has its mass.

    References:
        Sampling Generative Networks, Tom White, 2016, https://arxiv.org/abs/1609.04468

    Example:
        >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> interpolate_latents(a, b, 0.5), interpolate_latents(a, b, 0.5, "slerp")
        (tensor([[0.5000, 0.5000]]), tensor([[0.7071, 0.7071]]))
    """
    check_choice("interpolation", interpolation, ["lerp", "slerp"])
    linear = (1 - t) * a + t * b
    if interpolation == "lerp":
        return linear
    w = torch.acos(nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1))[:, None]
    sine = w.sin()
    arc = ((1 - t) * w).sin() / sine * a + (t * w).sin() / sine * b
    return torch.where(sine > 1e-4, arc, linear)  # nearly parallel latents: the arc is the chord


def translate(game: Game, x: Tensor, to: Literal["a", "b"] = "b") -> Tensor:
    """Images of one domain as the game's map makes them those of domain `to`, shape (n, *shape).

    Raises:
        UserError: the game has no two domains, there is no such domain, or x has the wrong shape.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.Run(game="cyclegan"), shape=(1, 8, 8), other=(1, 8, 8))
        >>> translate(game, torch.zeros(3, 1, 8, 8), to="a").shape
        torch.Size([3, 1, 8, 8])
    """
    maps = require(game, Translates, "translate")
    if to not in ("a", "b"):
        raise UserError(f"`to` is {to!r}; the domains are 'a', of the data, and 'b', of the target.")
    check_images(game, x)
    return evaluate_in_batches(game, maps.to_b if to == "b" else maps.to_a, x)


def classify(game: Game, x: Tensor, seed: int = 0) -> Tensor:
    """The probability of each label, shape (n, labels).

    Raises:
        UserError: the game was shown no labels to read, or x has the wrong shape.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.Run(game="semi-ali"))
        >>> classify(game, torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3, 10])
    """
    reads = require(game, Classifies, "classify")
    check_images(game, x)
    return evaluate_in_batches(game, reads.classify, x, seed=seed)
