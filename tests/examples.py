"""Small games of every kind, and batches for them: what the laws are tried on."""

from __future__ import annotations

import torch
from torch import Tensor

from interalia import runs
from interalia.games import Game

FLAT, CONV = (1, 4, 4), (1, 12, 24)
# what a game cannot do without
FIELDS: dict[str, dict[str, object]] = {
    "infogan": {"prior": "codes(categorical=[3], uniform=1, gaussian=1)", "latent": 7},
}


def build(game: str, shape: tuple[int, ...] = FLAT, double: bool = True, labels: int = 0, **fields: object) -> Game:
    """An untrained game with narrow networks; both domains have the same shape."""
    name = game.split("(")[0]
    run = runs.Run(game=game, latent=3, networks="auto(width=2)", labels=labels > 0).replace(
        **{**FIELDS.get(name, {}), **fields}
    )
    torch.manual_seed(0)
    made = runs.build(run, shape, labels=labels, other=shape)
    return made.double() if double else made


def batch(game: Game, count: int = 16) -> tuple[Tensor, ...]:
    """(x,), (x, y) or (a, b), as the game wants it."""
    generator = torch.Generator().manual_seed(1)
    kind = next(game.parameters()).dtype
    x = torch.rand(count, *game.shape, generator=generator).to(kind)
    if game.other is not None:
        return x, torch.rand(count, *game.other, generator=generator).to(kind)
    if game.labels:
        y = torch.randint(game.labels, (count,), generator=generator)
        return x, torch.nn.functional.one_hot(y, game.labels).to(kind)
    return (x,)
