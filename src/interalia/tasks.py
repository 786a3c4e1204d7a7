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

from interalia.conditionals import Codes
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


def in_batches(function: Callable[..., Tensor], *inputs: Tensor, device: torch.device) -> Tensor:
    """`function` of `inputs`, computed `BATCH` rows at a time on `device`, gathered on the CPU as float32."""
    rows = zip(*(part.split(BATCH) for part in inputs), strict=True)
    return torch.cat([function(*(part.to(device) for part in parts)).float().cpu() for parts in rows])


def device_of(game: nn.Module) -> torch.device:
    return next(game.parameters()).device


def latents(game: Game, count: int, seed: int = 0) -> Tensor:
    """`count` draws z ~ p(z), shape (count, latent)."""
    capable(game, "drawing latents", "decoder")
    with quietly(game, seed):
        return game.prior.sample((count,)).cpu()


def labels(game: Game, count: int, seed: int = 0, label: int | None = None) -> tuple[Tensor, ...]:
    """(y,): `count` labels, one-hot, all of them `label`, or drawn uniformly by seed; () for a game that is told none.

    Raises:
        UserError: a label asked of a game that is told none, or one that there is not.
    """
    if not game.labels:
        if label is not None:
            raise UserError(
                f"this {type(game).__name__} was not told any labels, so it cannot generate by label; leave the label out, "
                f"or train a game with --labels."
            )
        return ()
    if label is not None and not 0 <= label < game.labels:
        raise UserError(f"the label is {label}, and this game's labels are 0 to {game.labels - 1}.")
    if label is None:
        drawn = torch.randint(game.labels, (count,), generator=torch.Generator().manual_seed(seed))
    else:
        drawn = torch.full((count,), label)
    return (nn.functional.one_hot(drawn, game.labels).float(),)


def decode(game: Game, z: Tensor, seed: int = 0, label: int | None = None) -> Tensor:
    """x ~ p(x | z), its mean where the conditional has one; of a conditional game p(x | z, y), see `labels`.

    Raises:
        UserError: the game has no decoder, or z has the wrong size, or what `labels` raises.
    """
    capable(game, "decode", "decoder")
    if z.ndim != 2 or z.shape[1] != game.prior.size:
        raise UserError(
            f"the latents have the shape {tuple(z.shape)}, and this game's are (n, {game.prior.size}); "
            f"give an array with {game.prior.size} columns."
        )
    y = labels(game, len(z), seed, label)
    with quietly(game, seed):
        return in_batches(lambda *c: game.decoder(*c).mean, z, *y, device=device_of(game))


def generate(game: Game, count: int, seed: int = 0, label: int | None = None) -> Tensor:
    """`count` samples x~ ~ p(x | z), z ~ p(z); of a conditional game with one label, or with labels drawn uniformly.

    Example:
        >>> import interalia
        >>> game = interalia.build(interalia.recipes.ali_digits())
        >>> generate(game, 3).shape
        torch.Size([3, 1, 8, 8])
    """
    return decode(game, latents(game, count, seed), seed, label)


def by_label(game: Game, each: int, seed: int = 0) -> Tensor:
    """`each` samples of every label, label by label, the same latents for each label."""
    return torch.cat([generate(game, each, seed, label) for label in range(game.labels)])


def encode(game: Game, x: Tensor, seed: int = 0, how: Literal["mean", "sample"] = "mean") -> Tensor:
    """z^ = the mean of q(z | x), or one draw from it, shape (n, latent).

    Raises:
        UserError: the game has no encoder, or x has the wrong shape.
    """
    capable(game, "encode", "encoder")
    check_images(game, x)
    with quietly(game, seed):
        if how == "mean":
            return in_batches(lambda part: game.encoder(part).mean, x, device=device_of(game))
        return in_batches(lambda part: game.encoder(part).sample(), x, device=device_of(game))


def features(game: Game, x: Tensor, seed: int = 0) -> Tensor:
    """The encoder's last hidden layer, flattened, shape (n, features): the representation that probes read."""
    capable(game, "features", "encoder")
    check_images(game, x)
    with quietly(game, seed):
        return in_batches(lambda part: game.encoder.hidden(part).flatten(1), x, device=device_of(game))


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


def check_recogniser(game: Game) -> None:
    """Raises a UserError unless the game's critic answers for codes."""
    from interalia.games import CATALOGUE

    if not game.recognises:
        able = ", ".join(member.__name__ for member in CATALOGUE.values() if member.recognises)
        raise UserError(f"{type(game).__name__} recognises no codes; play a game that does: {able}.")


def answers(game: Game, x: Tensor) -> Tensor:
    """What the critic answers for the codes of x, the parameters of Q(c | x), shape (n, answers)."""
    check_recogniser(game)
    check_images(game, x)
    with quietly(game):
        return in_batches(lambda part: game.critic.recognise(part)[1], x, device=device_of(game))  # type: ignore[operator]


def recognise(game: Game, x: Tensor) -> Tensor:
    """The codes of x: the probability of each category and the mean of each continuous code, shape (n, answers).

    Raises:
        UserError: the game recognises no codes, or x has the wrong shape.

    Example:
        >>> import interalia
        >>> run = interalia.recipes.infogan_mnist(data="digits", latent=16)
        >>> recognise(interalia.build(run), torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3, 12])
    """
    found = answers(game, x)
    prior: Codes = game.prior  # type: ignore[assignment]
    return prior.expected(found)


def directions(game: Game, dimensions: int = 6) -> list[str]:
    """The names of what `traverse` can go along: the codes of z, or its first few dimensions where it has no codes."""
    capable(game, "traverse", "decoder")
    if isinstance(game.prior, Codes):
        return game.prior.names
    return [f"z{i + 1}" for i in range(min(dimensions, game.prior.size))]


def traverse(
    game: Game, code: int = 0, rows: int = 10, columns: int = 10, low: float = -2.0, high: float = 2.0, seed: int = 0
) -> Tensor:
    """Decoded latents in which one code alone varies, shape (rows, columns, *shape).

    In each row the rest of z is fixed. Along it a category takes each of its values; a continuous code goes from `low` to
    `high`, the rows running through the first category's values. Where z has no codes, one of its dimensions goes.

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657 (figure 2, whose codes go from -2 to 2)

    Arguments:
        game: a game with a decoder.
        code: which code, or which dimension of z, counted from 0.
        rows: how many different settings of the rest.
        columns: how many values of a continuous code.
        low, high: the first and the last of them.
        seed: of the rest.

    Raises:
        UserError: the game has no decoder, there is no such code, or a number is out of its range.
    """
    capable(game, "traverse", "decoder")
    prior = game.prior
    count = len(prior.widths) if isinstance(prior, Codes) else prior.size
    if not 0 <= code < count:
        raise UserError(f"`code` is {code}, and it must be from 0 to {count - 1}.")
    if min(rows, columns) < 1:
        raise UserError(f"`rows` is {rows} and `columns` is {columns}, and they must be at least 1.")
    z = latents(game, rows, seed)
    part = prior.where(code) if isinstance(prior, Codes) else slice(code, code + 1)
    if isinstance(prior, Codes) and code < len(prior.categorical):
        values = torch.eye(prior.categorical[code])
    else:
        values = torch.linspace(low, high, columns)[:, None]
        if isinstance(prior, Codes) and prior.categorical:
            z[:, prior.where(0)] = torch.eye(prior.categorical[0])[torch.arange(rows) % prior.categorical[0]]
    z = z[:, None].repeat(1, len(values), 1)
    z[:, :, part] = values
    label = [i % game.labels if game.labels else None for i in range(rows)]
    return torch.stack([decode(game, row, seed, told) for row, told in zip(z, label, strict=True)])


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
    check_translator(game)
    if to not in ("a", "b"):
        raise UserError(f"`to` is {to!r}; the domains are 'a', of the data, and 'b', of the target.")
    check_images(game, x)
    network = game.to_b if to == "b" else game.to_a
    with quietly(game):
        return in_batches(network, x, device=device_of(game))  # type: ignore[arg-type]


def check_translator(game: Game) -> None:
    """Raises a UserError unless the game maps between two domains."""
    from interalia.games import CATALOGUE

    if not (hasattr(game, "to_a") and hasattr(game, "to_b")):
        able = ", ".join(member.__name__ for member in CATALOGUE.values() if "to_b" in member.players["generator"])
        raise UserError(f"{type(game).__name__} has no two domains to translate between; play a game that has: {able}.")


def check_images(game: Game, x: Tensor) -> None:
    """Raises a UserError unless x has the shape that the game was built for."""
    if game.shape and tuple(x.shape[1:]) != tuple(game.shape):
        raise UserError(
            f"the input has the shape {tuple(x.shape)}, and this game was trained on (n, "
            f"{', '.join(map(str, game.shape))}); resize or convert the images first."
        )
