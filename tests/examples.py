"""Small games of every kind, and batches for them: what the laws are tried on."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interalia import runs
from interalia.adversarial import divergences
from interalia.conditionals import Recurrent
from interalia.data.mnist import TYPES
from interalia.errors import UserError
from interalia.games import REGISTRY, Game
from interalia.games.feeds import PartlyLabeled
from interalia.games.needs import Encoder, Pretrained, critics, example_needs
from interalia.networks import REGISTRY as FAMILIES
from interalia.networks import Critic, Family, Map
from interalia.runs import building
from interalia.spaces import Space

T = TypeVar("T")
FLAT, CONV = (1, 4, 4), (1, 12, 24)
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
    run = runs.Run(
        game=game, latent_dim=3, networks="auto(width=2)", condition_on="labels" if labels else None
    ).replace(**{**fields_for(REGISTRY[name]), **fields})
    kind = REGISTRY[name]
    torch.manual_seed(0)
    given = generator(run.latent_dim, shape) if infers_for_another(kind) else None
    reads = issubclass(kind.feeds, PartlyLabeled)
    made = building.build(run, shape, labels=CLASSES if reads else labels, other=shape, generator=given)
    return made.double() if double else made


def fields_for(kind: type[Game], labels: int = CLASSES) -> dict[str, object]:
    """What a game cannot do without: a prior whose category its encoder returns, or with codes that its critic reads."""
    encoder = example_needs(kind).get("encoder")
    if isinstance(encoder, Encoder) and encoder.target.category:
        return {
            "prior": f"codes(categorical=[{labels}], uniform=0)",
            "latent_dim": labels + 4,
            "encoder": "deterministic",
        }
    if any(critic.answers for critic in critics(kind)):
        return {"prior": "codes(categorical=[3], uniform=1, gaussian=1)", "latent_dim": 7}
    return {}


def infers_for_another(kind: type[Game]) -> bool:
    """Whether its decoder is trained before."""
    return isinstance(example_needs(kind).get("decoder"), Pretrained)


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
        return all(critic.adversary for critic in critics(REGISTRY[game]))
    return True


def batch(game: Game, count: int = 16) -> tuple[Tensor, ...]:
    """What the game feeds on: (x,), (x, y), (x, x_l, y) or (a, b), of its networks' type."""
    kind = next(game.parameters()).dtype
    return tuple(part.to(kind) for part in game.feeds.random_batch(game.data, count))


def asked(ask: Callable[[], T]) -> T | str:
    """What comes of it, or the sentence with which it is refused."""
    try:
        return ask()
    except UserError as error:
        return str(error)


def shape_for(family: str) -> tuple[int, ...]:
    """A small shape that a family has networks for."""
    for shape in ((1, 8, 8), (1, 28, 28), (1, 32, 32), (1, 64, 64), (2,)):
        with contextlib.suppress(UserError):
            FAMILIES[family]().fits(Space("x", shape))
            return shape
    raise AssertionError(family)


def able(family: str, *roles: str) -> bool:
    """Whether a family has its own networks for these roles, or everybody's."""
    everybodys = ("between", "critic_of_latents")
    return family == "auto" or all(
        role in everybodys or getattr(FAMILIES[family], role) is not getattr(Family, role) for role in roles
    )


def networks(
    family: str,
    shape: tuple[int, ...],
    latent: int,
    heads: int = 2,
    noise: int = 0,
    infers: bool = True,
    bounded: bool = False,
    labels: int = 0,
    answers: int = 0,
    **settings: object,
) -> SimpleNamespace:
    """The encoder, the decoder and the critic of a family for ALI, or without an encoder for GAN; not yet started."""
    made: Any = FAMILIES[family](**settings)  # type: ignore[arg-type]
    x = Space("x", shape, "unit" if len(shape) == 3 else "real")
    z = Space("z", (latent,), "ball" if bounded else "real")
    y = (Space("y", (labels,)),) if labels else ()
    inferred = z if heads == 1 else z.numbers(heads * latent)
    return SimpleNamespace(
        family=made,
        encoder=made.make(Map((x, *y), inferred, noise)) if infers else None,
        decoder=made.make(Map((z, *y), x)),
        critic=made.make(Critic((x, z, *y) if infers else (x, *y), answers=answers)),
    )


def translators(family: str, shape: tuple[int, ...], other: tuple[int, ...] | None = None, **settings: object) -> Any:
    """The networks of a family for CycleGAN."""
    made: Any = FAMILIES[family](**settings)  # type: ignore[arg-type]
    a, b = (Space("x", s, "unit" if len(s) == 3 else "real") for s in (shape, other or shape))
    critics = {f"critic_{name}": made.make(Critic((x,), patches=True)) for name, x in (("a", a), ("b", b))}
    return SimpleNamespace(family=made, to_b=made.make(Map((a,), b)), to_a=made.make(Map((b,), a)), **critics)


def drawing(latent: int, shape: tuple[int, ...] = (1, 8, 8), **settings: object) -> tuple[Any, Any]:
    """What DRAW's networks give a recurrent encoder, and their decoder."""
    made: Any = FAMILIES["draw"](**settings)  # type: ignore[arg-type]
    x, z = Space("x", shape, "unit"), Space("z", (latent,))
    return made.make(Recurrent.asks((x,), z)), made.make(Map((z,), x))


def write_idx(array: NDArray[np.generic]) -> bytes:
    """The bytes of an IDX file."""
    dtype = array.dtype.newbyteorder(">")
    codes = {np.dtype(text): code for code, text in TYPES.items()}
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, codes[dtype], array.ndim]) + sizes + array.astype(dtype).tobytes()
