"""What a trained game can do for people: generate, encode, reconstruct, interpolate.

Each task is a function of a game and of tensors. Images are float32 in [0, 1], shape (n, channels, height, width);
latents are float32, shape (n, latent). Tasks run in evaluation mode (population statistics in batch norm, no dropout,
no instance noise), in batches, without gradients, on the game's device, and answer on the CPU.

A task takes its randomness from `seed` alone and leaves the global random state as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from interalia.errors import UserError

if TYPE_CHECKING:
    from interalia.games import Game

BATCH = 250


@contextlib.contextmanager
def quietly(game: nn.Module, seed: int = 0) -> Iterator[None]:
    """Evaluation mode without gradients, on a random state of its own; everything is put back afterwards."""
    device = next(game.parameters()).device
    devices = [device] if device.type == "cuda" else []
    modes = {module: module.training for module in game.modules()}
    apple = torch.mps.get_rng_state() if device.type == "mps" else None  # which fork_rng does not know
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        game.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            if apple is not None:
                torch.mps.set_rng_state(apple)


def capable(game: Game, task: str, *networks: str) -> None:
    """Raises a UserError if `game` lacks one of the networks that `task` needs."""
    from interalia.games import CATALOGUE

    for name in networks:
        if not hasattr(game, name):
            able = [
                member.__name__
                for member in CATALOGUE.values()
                if all(any(part in moved for moved in member.players.values()) for part in networks)
            ]
            raise UserError(
                f"{type(game).__name__} has no {name}; {task} needs a game with {' and '.join(networks)}: "
                f"{', '.join(able)}."
            )


def in_batches(function: Callable[[Tensor], Tensor], inputs: Tensor, device: torch.device) -> Tensor:
    """`function` of `inputs`, computed `BATCH` rows at a time on `device`, gathered on the CPU as float32."""
    parts = [function(part.to(device)).float().cpu() for part in inputs.split(BATCH)]
    return torch.cat(parts)


def device_of(game: nn.Module) -> torch.device:
    return next(game.parameters()).device


def latents(game: Game, count: int, seed: int = 0) -> Tensor:
    """`count` draws z ~ p(z), shape (count, latent)."""
    capable(game, "drawing latents", "decoder")
    with quietly(game, seed):
        return game.prior.sample((count,)).cpu()


def decode(game: Game, z: Tensor, seed: int = 0) -> Tensor:
    """x ~ p(x | z), its mean where the conditional has one.

    Raises:
        UserError: the game has no decoder, or z has the wrong size.
    """
    capable(game, "decode", "decoder")
    if z.ndim != 2 or z.shape[1] != game.prior.size:
        raise UserError(
            f"the latents have the shape {tuple(z.shape)}, and this game's are (n, {game.prior.size}); "
            f"give an array with {game.prior.size} columns."
        )
    with quietly(game, seed):
        return in_batches(lambda part: game.decoder(part).mean, z, device_of(game))


def generate(game: Game, count: int, seed: int = 0) -> Tensor:
    """`count` samples x~ ~ p(x | z), z ~ p(z).

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits())
        >>> generate(game, 3).shape
        torch.Size([3, 1, 8, 8])
    """
    return decode(game, latents(game, count, seed), seed)


def encode(game: Game, x: Tensor, seed: int = 0, how: Literal["mean", "sample"] = "mean") -> Tensor:
    """z^ = the mean of q(z | x), or one draw from it, shape (n, latent).

    Raises:
        UserError: the game has no encoder, or x has the wrong shape.
    """
    capable(game, "encode", "encoder")
    check_images(game, x)
    with quietly(game, seed):
        if how == "mean":
            return in_batches(lambda part: game.encoder(part).mean, x, device_of(game))
        return in_batches(lambda part: game.encoder(part).sample(), x, device_of(game))


def features(game: Game, x: Tensor, seed: int = 0) -> Tensor:
    """The encoder's last hidden layer, flattened, shape (n, features): the representation that probes read."""
    capable(game, "features", "encoder")
    check_images(game, x)
    with quietly(game, seed):
        return in_batches(lambda part: game.encoder.hidden(part).flatten(1), x, device_of(game))


def reconstruct(game: Game, x: Tensor, seed: int = 0) -> Tensor:
    """x^ = the mean of p(x | z^), z^ = the mean of q(z | x).

    Raises:
        UserError: the game has no encoder or no decoder, or x has the wrong shape.
    """
    capable(game, "reconstruct", "encoder", "decoder")
    return decode(game, encode(game, x, seed), seed)


def interpolate(
    game: Game, a: Tensor, b: Tensor, steps: int = 9, how: Literal["linear", "spherical"] = "linear", seed: int = 0
) -> Tensor:
    """Decoded points on the way from q(z | a) to q(z | b), shape (n, steps, *shape); both ends are reconstructions.

    Raises:
        UserError: fewer than two steps, or what `reconstruct` raises.
    """
    capable(game, "interpolate", "encoder", "decoder")
    if steps < 2:
        raise UserError(f"`steps` is {steps}, and an interpolation has at least its 2 ends; give 2 or more.")
    z_a, z_b = encode(game, a, seed), encode(game, b, seed)
    path = torch.stack([between(z_a, z_b, t, how) for t in torch.linspace(0, 1, steps).tolist()], dim=1)
    return decode(game, path.flatten(0, 1), seed).unflatten(0, (len(a), steps))


def between(a: Tensor, b: Tensor, t: float, how: Literal["linear", "spherical"] = "linear") -> Tensor:
    """The point at `t` in [0, 1] between latents a and b, shape (n, latent).

    linear: (1 - t) a + t b. spherical: sin((1 - t) w) / sin w a + sin(t w) / sin w b, w the angle between a and b,
    which keeps to the radii where a Gaussian prior of many dimensions has its mass.

    References:
        Sampling Generative Networks, Tom White, 2016, https://arxiv.org/abs/1609.04468

    Example:
        >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> between(a, b, 0.5), between(a, b, 0.5, "spherical")
        (tensor([[0.5000, 0.5000]]), tensor([[0.7071, 0.7071]]))
    """
    linear = (1 - t) * a + t * b
    if how == "linear":
        return linear
    if how != "spherical":
        raise UserError(f"`how` is {how!r}; it is 'linear' or 'spherical'.")
    w = torch.acos(nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1))[:, None]
    sine = w.sin()
    arc = ((1 - t) * w).sin() / sine * a + (t * w).sin() / sine * b
    return torch.where(sine > 1e-4, arc, linear)  # nearly parallel latents: the arc is the chord


def check_images(game: Game, x: Tensor) -> None:
    """Raises a UserError unless x has the shape that the game was built for."""
    if game.shape and tuple(x.shape[1:]) != tuple(game.shape):
        raise UserError(
            f"the input has the shape {tuple(x.shape)}, and this game was trained on (n, "
            f"{', '.join(map(str, game.shape))}); resize or convert the images first."
        )
