"""Small games of every kind, and batches for them: what the laws are tried on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from interalia import runs
from interalia.adversarial import divergences
from interalia.errors import UserError
from interalia.games import REGISTRY, Game
from interalia.games.feeds import PartlyLabelled
from interalia.games.needs import Given, critics, declared
from interalia.runs import building

FLAT, CONV = (1, 4, 4), (1, 12, 24)
# what a game cannot do without
FIELDS: dict[str, dict[str, object]] = {
    "infogan": {"prior": "codes(categorical=[3], uniform=1, gaussian=1)", "latent": 7},
    "semi-aae": {"prior": "codes(categorical=[3], uniform=0)", "latent": 7, "encoder": "dirac"},
}
# whose divergences have to tell the density ratio
RATIOS = {"avb"}
CLASSES = 3  # labels that a semi-supervised game reads


def every_third(*axes: Iterable[object]) -> list[object]:
    """The combinations of what is varied, for `parametrize`. A third of them is in the default suite, so that each value of
    one meets every third of another, and each pair one of three; the others are marked long."""
    return [
        pytest.param(*(value for _, value in choice), marks=[pytest.mark.long] if sum(i for i, _ in choice) % 3 else [])
        for choice in itertools.product(*map(enumerate, axes))
    ]


def build(game: str, shape: tuple[int, ...] = FLAT, double: bool = True, labels: int = 0, **fields: object) -> Game:
    """An untrained game with narrow networks; both domains have the same shape."""
    name = game.split("(")[0]
    run = runs.Run(game=game, latent=3, networks="auto(width=2)", labels=labels > 0).replace(
        **{**FIELDS.get(name, {}), **fields}
    )
    kind = REGISTRY[name]
    torch.manual_seed(0)
    given = generator(run.latent, shape) if infers_for_another(kind) else None
    reads = issubclass(kind.feeds, PartlyLabelled)
    made = building.build(run, shape, labels=CLASSES if reads else labels, other=shape, generator=given)
    return made.double() if double else made


def infers_for_another(kind: type[Game]) -> bool:
    """Whether its decoder is trained before."""
    return isinstance(declared(kind).get("decoder"), Given)


def packs(kind: type[Game]) -> bool:
    return any(critic.packable for critic in critics(kind))


def seen(kind: type[Game]) -> set[str]:
    """The variables that its critics see."""
    return {space.name for critic in critics(kind) for space in critic.sees}


def generator(latent: int, shape: tuple[int, ...]) -> nn.Module:
    """A trained one, as a user may bring it, with statistics of its own, and images in [0, 1]."""
    norm = nn.BatchNorm1d(8)
    return nn.Sequential(
        nn.Linear(latent, 8), norm, nn.ReLU(), nn.Linear(8, math.prod(shape)), nn.Sigmoid(), nn.Unflatten(1, shape)
    ).eval()


def playable(game: str, divergence: str) -> bool:
    """Whether the game can be played under the divergence."""
    try:
        divergences.REGISTRY[divergence]().log_ratio(torch.zeros(1))
    except UserError:
        return game not in RATIOS
    return True


def batch(game: Game, count: int = 16) -> tuple[Tensor, ...]:
    """What the game feeds on: (x,), (x, y), (x, x_l, y) or (a, b), of its networks' type."""
    kind = next(game.parameters()).dtype
    return tuple(part.to(kind) for part in game.feeds.example(game.data, count))
