"""Tasks that generate, decode, encode, reconstruct, interpolate, translate or classify images, or find nearest neighbors.

Below, z are the latents of a game and p(z) is their prior. p(x | z) is the decoder's distribution of images x, and q(z | x)
the encoder's distribution of the latents of an image. z^ are the inferred latents of an image.
"""

from __future__ import annotations

from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from interalia.conditionals import Chain, Conditional, Deterministic, Implicit, StandardNormal
from interalia.contexts import evaluating, keyed
from interalia.errors import UserError, check_choice
from interalia.games import Game
from interalia.games.capabilities import Classifies, Generates, HasLevels, Infers, Simulates, Translates, require
from interalia.tasks.calling import BATCH, condition, evaluate_in_batches, level_of, sample_condition, task
from interalia.tasks.result import Interpolation, Level


@task
def sample_latents(game: Game, count: int, seed: int = 0, truncation: float | None = None) -> Tensor:
    """Returns `count` samples z of the game's prior p(z), shape (count, latent), on the CPU.

    With `truncation` t each component of z is in [-t, t]: it is the quantile of the normal distribution truncated there that
    has the same rank as the component without truncation, so that sample k moves continuously with t.

    Arguments:
        game: a game with a decoder.
        count: number of samples.
        seed: random seed.
        truncation: t, above 0, for a standard normal prior; None for no limit.

    References:
        Large Scale GAN Training for High Fidelity Natural Image Synthesis, Andrew Brock and others, 2019,
        https://arxiv.org/abs/1809.11096 (the truncation trick)

    Raises:
        UserError: the game has no decoder, or `truncation` is not above 0 or the prior is not standard normal.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits())
        >>> float(sample_latents(game, 100, truncation=0.5).abs().max()) <= 0.5
        True
    """
    prior = require(game, Generates, "drawing latents").prior
    if count < 0:
        raise UserError(f"`count` is {count}, and it must not be negative.")
    with evaluating(game, seed), keyed(seed, "latents"):
        z = prior.sample((count,)).cpu()
    if truncation is None:
        return z
    if not truncation > 0:
        raise UserError(f"`truncation` is {truncation}, and it must be above 0; 2 is mild, 0.5 is strong.")
    if not isinstance(prior, StandardNormal):
        raise UserError(
            f"`truncation` is for a standard normal prior, and this game has {type(prior).__name__}; leave it out."
        )
    lowest = torch.special.ndtr(torch.tensor(-float(truncation), dtype=torch.float64))
    rank = lowest + torch.special.ndtr(z.double()) * (1 - 2 * lowest)
    return torch.special.ndtri(rank).clamp(-truncation, truncation).to(z.dtype)


@task
def decode(
    game: Game,
    z: Tensor,
    seed: int = 0,
    label: int | str | None = None,
    y: Tensor | None = None,
    level: Level = "upper",
    sample: bool = False,
) -> Tensor:
    """Returns the images that latents are decoded to, shape (n, *shape): the mean of the decoder's distribution p(x | z), or
    of p(x | z, y) for a conditional game.

    With `sample` they are samples of p(x | z), with the noise of the game's likelihood, such as zeros and ones for Bernoulli
    pixels. Metrics compare samples with data; figures show means. Both are the same if the decoder is deterministic and the
    game has no likelihood, such as ALI by default.

    Arguments:
        game: a game with a decoder.
        z: latents, shape (n, latent).
        seed: random seed of all random numbers.
        label: the label of all images, for a class-conditional game, if `y` is None; by default labels are drawn, see
            `interalia.tasks.sample_condition`.
        y: labels or attributes of the images, for a conditional game; see `interalia.tasks.condition`.
        level: the level of the latents: "upper" for z; or, in a game with two levels, "lower" for those between z and x.
        sample: True for a sample in place of the mean.

    Raises:
        UserError: the game has no decoder, z has the wrong shape, or the label or y does not fit.
    """
    size = require(game, Generates, "decode").prior.size
    decoder = level_of(game, level, encoder=False)
    if level == "lower":
        size = require(game, HasLevels, "decode").lower
    if z.ndim != 2 or z.shape[1] != size:
        raise UserError(
            f"the latents have the shape {tuple(z.shape)}, and those of this game have (n, {size}); "
            f"give an array with {size} columns."
        )
    c = sample_condition(game, len(z), seed, label) if y is None else condition(game, y, len(z))
    # a game with a likelihood draws the noise around the mean itself
    draw = game.simulate if level == "upper" and isinstance(game, Simulates) else lambda *c: decoder(*c).sample()
    make = draw if sample else lambda *c: decoder(*c).mean
    return evaluate_in_batches(game, make, z, *c, seed=seed, task="decode")


@task
def generate(
    game: Game,
    count: int = 64,
    seed: int | None = None,
    label: int | str | None = None,
    y: Tensor | None = None,
    sample: bool = False,
    truncation: float | None = None,
) -> Tensor:
    """Returns generated images, shape (count, *shape): samples z of the prior p(z) are drawn and decoded (see `decode`).

    Arguments:
        game: a game with a decoder.
        count: number of images; 64 by default, as for the method of a trained run.
        seed: random seed; None for other images at every call, which follow ``torch.manual_seed``.
        label: the label of all images, for a class-conditional game, if `y` is None; by default labels are drawn.
        y: labels or attributes of the images, for a conditional game; see `interalia.tasks.condition`.
        sample: True for samples of the decoder's distribution p(x | z) in place of its mean.
        truncation: the largest absolute value of a component of z; see `sample_latents`.

    Raises:
        UserError: the game has no decoder, or the label, y or `truncation` does not fit.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits())
        >>> generate(game, 3).shape
        torch.Size([3, 1, 8, 8])
    """
    seed = int(torch.randint(2**31 - 1, ())) if seed is None else seed
    return decode(game, sample_latents(game, count, seed, truncation), seed, label, y, sample=sample)


@task
def generate_by_label(
    game: Game, each: int, seed: int = 0, sample: bool = False, truncation: float | None = None
) -> Tensor:
    """Returns generated images of each label, sorted by label, shape (number of labels * each, *shape). Image i of one
    label is decoded from the same z as image i of every other label.

    Arguments:
        game: a class-conditional game with a decoder.
        each: number of images of each label.
        seed: random seed.
        sample: True for samples of the decoder's distribution p(x | z, y), y the label, in place of its mean.
        truncation: the largest absolute value of a component of z; see `sample_latents`.
    """
    rows = (
        generate(game, each, seed, label, sample=sample, truncation=truncation) for label in range(game.data.condition)
    )
    return torch.cat(list(rows))


@task
def encode(
    game: Game, x: Tensor, seed: int = 0, sample: bool = False, y: ArrayLike | None = None, level: Level = "upper"
) -> Tensor:
    """Returns the inferred latents z^ of images, shape (n, latent): the mean of the encoder's distribution q(z | x), or of
    q(z | x, y) for a conditional game.

    Arguments:
        game: a game with an encoder.
        x: images, shape (n, *shape).
        seed: random seed of samples, and of an implicit encoder's noise.
        sample: True for a sample of q(z | x) in place of the mean.
        y: labels or attributes of the images, for a conditional game; see `interalia.tasks.condition`.
        level: the level of the latents: "upper" for z; or, in a game with two levels, "lower" for those between z and x.

    Raises:
        UserError: the game has no encoder, or x or y has the wrong shape.
    """
    return infer(game, x, seed, sample, y, level)


def infer(
    game: Game, x: Tensor, seed: int = 0, sample: bool = False, y: ArrayLike | None = None, level: Level = "upper"
) -> Tensor:
    """Returns the same as `encode`, for images x that need not be in [0, 1], such as samples of a Gaussian p(x | z)."""
    encoder = level_of(game, level, encoder=True)
    c = condition(game, y, len(x))
    make = (lambda *c: encoder(*c).sample()) if sample else lambda *c: encoder(*c).mean
    return evaluate_in_batches(game, make, x, *c, seed=seed, task="encode")


@task
def posterior(
    game: Game, x: Tensor, draws: int = 16, seed: int = 0, y: ArrayLike | None = None, level: Level = "upper"
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the mean of q(z | x), shape (n, latent), the standard deviation of each dimension over `draws` samples of it,
    of the same shape, and the samples, shape (draws, n, latent).

    Arguments:
        game: a game with an encoder.
        x: images, shape (n, *shape).
        draws: number of samples, 2 or more. Their deviation is 0 for a deterministic encoder.
        seed: random seed; sample k does not depend on `draws`.
        y: labels or attributes of the images, for a conditional game.
        level: the level of the latents: "upper" for z; or, in a game with two levels, "lower" for those between z and x.

    Raises:
        UserError: the game has no encoder, x or y has the wrong shape, or `draws` is below 2.
    """
    if draws < 2:
        raise UserError(f"`draws` is {draws}, and a deviation needs 2 or more; give 2 or more, or leave `draws` out.")
    encoder, given = level_of(game, level, encoder=True), condition(game, y, len(x))
    if without_noise(encoder):  # samples of one x in batches of different sizes would differ by rounding
        z = infer(game, x, seed, y=y, level=level)
        return z, torch.zeros_like(z), z.expand(draws, *z.shape).clone()
    repeated = given[0].repeat(draws, 1) if given else None
    found = infer(game, x.repeat(draws, *[1] * (x.ndim - 1)), seed, True, repeated, level).unflatten(0, (draws, len(x)))
    return infer(game, x, seed, y=y, level=level), found.std(0), found


def without_noise(conditional: Conditional) -> bool:
    """True if a conditional is known to be a deterministic function, as is a chain of two such, or one with 0 noise."""
    if isinstance(conditional, Chain):
        return without_noise(conditional.first) and without_noise(conditional.second)
    return isinstance(conditional, Deterministic) or (isinstance(conditional, Implicit) and not conditional.noise)


@task
def features(game: Game, x: Tensor, seed: int = 0, y: Tensor | None = None) -> Tensor:
    """Returns the activations of the encoder's last hidden layer, flattened, shape (n, number of activations).

    They are useful as the inputs of a linear classifier, for example.

    Arguments:
        game: a game with an encoder.
        x: images, shape (n, *shape).
        seed: random seed of an implicit encoder's noise.
        y: labels or attributes of the images, for a conditional game; see `interalia.tasks.condition`.
    """
    hidden = require(game, Infers, "features").encoder.hidden
    return evaluate_in_batches(game, lambda *c: hidden(*c).flatten(1), x, *condition(game, y, len(x)), seed=seed)


@task
def reconstruct(game: Game, x: Tensor, seed: int = 0, y: Tensor | None = None, level: Level = "upper") -> Tensor:
    """Returns reconstructions of images, shape (n, *shape): the mean of the decoder's distribution p(x | z^), where z^ is the
    mean of the encoder's distribution q(z | x).

    Arguments:
        game: a game with an encoder and a decoder.
        x: images, shape (n, *shape).
        seed: random seed of an implicit encoder's noise.
        y: labels or attributes of the images, for a conditional game; see `interalia.tasks.condition`.
        level: the latents to reconstruct from: "upper" for z; or, in a game with two levels of latents, "lower" for those
            between z and x.

    Raises:
        UserError: the game has no encoder or no decoder, or x or y has the wrong shape.
    """
    require(game, Infers, "reconstruct", Generates)
    return decode(game, encode(game, x, seed, y=y, level=level), seed, y=y, level=level)


@task
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
    """Returns images decoded from evenly spaced points between the latents of two images, shape (n, steps, *shape).

    [i, 0] is the reconstruction of image i of `a`, and [i, -1] that of image i of `b`.

    Arguments:
        game: a game with an encoder and a decoder.
        a: images, shape (n, *shape).
        b: images of the same shape.
        steps: number of points, both ends included.
        interpolation: "lerp" (linear) or "slerp" (spherical); see `interpolate_latents`.
        seed: random seed of an implicit encoder's noise.
        y: the labels or attributes of a and those of b, for a conditional game; they are interpolated linearly.
        level: the level of the latents: "upper" for z; or, in a game with two levels, "lower" for those between z and x.

    Raises:
        UserError: there are fewer than two steps, or `reconstruct` raises one for the images.
    """
    require(game, Infers, "interpolate", Generates)
    if steps < 2:
        raise UserError(f"`steps` is {steps}, and an interpolation has 2 ends; give 2 or more.")
    if len(a) != len(b):
        raise UserError(f"`a` has {len(a)} images and `b` has {len(b)}; give as many of each.")
    if y is not None and (not isinstance(y, tuple | list) or len(y) != 2):
        raise UserError("`y` must be a pair, the labels or attributes of `a` and those of `b`; give `y=(y_a, y_b)`.")
    y_a, y_b = (None, None) if y is None else y
    z_a, z_b = encode(game, a, seed, y=y_a, level=level), encode(game, b, seed, y=y_b, level=level)

    def path(start: Tensor, end: Tensor, interpolation: Interpolation = "lerp") -> Tensor:
        """Returns evenly spaced points from each row of `start` to the same row of `end`, both of shape (n, k), with both
        ends included, shape (n * steps, k): all points of row 0 first. `steps` is the argument of `interpolate`, and
        `interpolation` is "lerp" or "slerp".
        """
        times = torch.linspace(0, 1, steps).tolist()
        return torch.stack([interpolate_latents(start, end, t, interpolation) for t in times], dim=1).flatten(0, 1)

    c = next(map(path, condition(game, y_a, len(a)), condition(game, y_b, len(b))), None)
    return decode(game, path(z_a, z_b, interpolation), seed, y=c, level=level).unflatten(0, (len(a), steps))


@task
def neighbours(
    game: Game, x: Tensor, others: Tensor, count: int = 8, seed: int = 0, y: tuple[ArrayLike, ArrayLike] | None = None
) -> Tensor:
    """Returns the nearest neighbors of images among other images, by the Euclidean distance of the inferred latents z^.

    Arguments:
        game: a game with an encoder.
        x: images, shape (n, *shape).
        others: the images to search, such as the training images, shape (m, *shape).
        count: number of neighbors, the nearest first.
        seed: random seed of an implicit encoder's noise.
        y: the labels or attributes of x and those of the others, for a conditional game.

    Returns:
        The indices of the neighbors in `others`, int64, shape (n, count).

    Raises:
        UserError: the game has no encoder, or `count` is below 1 or above m.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits())
        >>> images = torch.rand(5, 1, 8, 8)
        >>> neighbours(game, images, images, 1).flatten()
        tensor([0, 1, 2, 3, 4])
    """
    require(game, Infers, "neighbours")
    if not len(others):
        raise UserError("there are no images to search; give at least 1 in `others`.")
    if not 1 <= count <= len(others):
        raise UserError(f"`count` is {count}, and it must be from 1 to {len(others)}, the number of images to search.")
    if y is not None and (not isinstance(y, tuple | list) or len(y) != 2):
        raise UserError(
            "`y` must be a pair, the labels or attributes of `x` and those of `others`; give `y=(y_x, y_others)`."
        )
    y_x, y_others = (None, None) if y is None else y
    z, z_others = encode(game, x, seed, y=y_x), encode(game, others, seed, y=y_others)
    z, z_others = (
        z.double(),
        z_others.double(),
    )  # in float32 latents far from 0 would all be as near as their rounding errors
    return torch.cat([torch.cdist(rows, z_others).topk(count, largest=False).indices for rows in z.split(BATCH)])


def interpolate_latents(a: Tensor, b: Tensor, t: float, interpolation: Interpolation = "lerp") -> Tensor:
    """Returns the point at position t between each latent vector of a and that of b, shape (n, latent):

        lerp (linear):      (1 - t) a + t b
        slerp (spherical):  (sin((1 - t) w) a + sin(t w) b) / sin w,  w the angle between a and b

    If a and b have equal norms, the points of slerp have this norm too. Typical samples of a Gaussian prior of many
    dimensions have nearly equal norms.

    Arguments:
        a: latents, shape (n, latent).
        b: latents of the same shape.
        t: the position, from 0 at a to 1 at b.
        interpolation: "lerp" or "slerp"; "linear" and "spherical" are other names.

    Raises:
        UserError: there is no such interpolation.

    References:
        Sampling Generative Networks, Tom White, 2016, https://arxiv.org/abs/1609.04468

    Example:
        >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> interpolate_latents(a, b, 0.5), interpolate_latents(a, b, 0.5, "slerp")
        (tensor([[0.5000, 0.5000]]), tensor([[0.7071, 0.7071]]))
    """
    name = {"linear": "lerp", "spherical": "slerp"}.get(interpolation, interpolation)
    check_choice("interpolation", name, ["lerp", "slerp"])
    linear = (1 - t) * a + t * b
    if name == "lerp":
        return linear
    w = torch.acos(nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1))[:, None]
    sine = w.sin()
    arc = ((1 - t) * w).sin() / sine * a + (t * w).sin() / sine * b
    return torch.where(sine > 1e-4, arc, linear)  # for nearly parallel latents the arc is the chord


@task
def translate(game: Game, x: Tensor, to: Literal["a", "b"] = "b") -> Tensor:
    """Returns images translated from one domain of data to the other, shape (n, *shape).

    Arguments:
        game: a game with two domains, such as CycleGAN.
        x: images of the domain to translate from, shape (n, *shape).
        to: the domain to translate to: "a", that of the run's `data`, or "b", that of its `data_b`.

    Raises:
        UserError: the game has one domain, `to` is neither "a" nor "b", or x has the wrong shape.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.Run(game="cyclegan"), shape=(1, 8, 8), other=(1, 8, 8))
        >>> translate(game, torch.zeros(3, 1, 8, 8), to="a").shape
        torch.Size([3, 1, 8, 8])
    """
    maps = require(game, Translates, "translate")
    if to not in ("a", "b"):
        raise UserError(f"`to` is {to!r}; it must be 'a', the domain of `data`, or 'b', that of `data_b`.")
    return evaluate_in_batches(game, maps.to_b if to == "b" else maps.to_a, x)


@task
def classify(game: Game, x: Tensor, seed: int = 0) -> Tensor:
    """Returns the probability of each class for each image, shape (n, number of classes).

    Arguments:
        game: a semi-supervised game.
        x: images, shape (n, *shape).
        seed: random seed of a classifier that uses random numbers.

    Raises:
        UserError: the game has no classifier, or x has the wrong shape.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.Run(game="semi-ali"))
        >>> classify(game, torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3, 10])
    """
    classifier = require(game, Classifies, "classify")
    return evaluate_in_batches(game, classifier.classify, x, seed=seed)
