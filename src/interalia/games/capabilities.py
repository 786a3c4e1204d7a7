"""What a game can do, as protocols: a game has a capability by having its members, whoever wrote it.

isinstance(game, Infers), issubclass(ALI, Infers)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, _ProtocolMeta, runtime_checkable

from torch import Tensor, nn

from interalia.adversarial.divergences import Divergence
from interalia.conditionals import Chain, Codes, Conditional, Prior
from interalia.errors import UserError

if TYPE_CHECKING:
    from interalia.games.game import Game

T = TypeVar("T")


class Capability(_ProtocolMeta):
    """The type of the protocols: looks where torch keeps networks, and at what a class is made from.

    Python's own check of a protocol, from 3.12 on, sees no attribute that `__getattr__` answers, and so no network.
    """

    def __instancecheck__(self, instance: Any) -> bool:
        return members(self) <= set(dir(instance))

    def __subclasscheck__(self, kind: type) -> bool:
        return members(self) <= {*dir(kind), *inspect.signature(kind).parameters}


def members(capability: type) -> set[str]:
    """The attributes and methods that make up a capability."""
    return {name for name in (*capability.__annotations__, *vars(capability)) if not name.startswith("_")}


@runtime_checkable
class Infers(Protocol, metaclass=Capability):
    """Has q(z | x)."""

    encoder: Conditional


@runtime_checkable
class Generates(Protocol, metaclass=Capability):
    """Has p(z) and p(x | z)."""

    decoder: Conditional
    prior: Prior


@runtime_checkable
class HasLevels(Protocol, metaclass=Capability):
    """Has a second level of latents, of `lower` dimensions, between z and x."""

    encoder: Chain
    decoder: Chain
    lower: int


@runtime_checkable
class Translates(Protocol, metaclass=Capability):
    """Maps between two domains."""

    to_a: nn.Module
    to_b: nn.Module


@runtime_checkable
class Classifies(Protocol, metaclass=Capability):
    """Reads labels off x."""

    def classify(self, x: Tensor) -> Tensor:
        """The probability of each label, shape (n, labels)."""


@runtime_checkable
class HasCodes(Protocol, metaclass=Capability):
    """Reads the codes in z off x."""

    prior: Codes

    def answers(self, x: Tensor) -> Tensor:
        """The parameters of Q(c | x), shape (n, prior.answers)."""


@runtime_checkable
class HasLikelihood(Protocol, metaclass=Capability):
    """Has a density p(x | z), of zeros and ones where `binary`."""

    binary: bool
    prior: Prior

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) in nats, shape (n,)."""

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) in nats, shape (n,)."""


@runtime_checkable
class Adversarial(Protocol, metaclass=Capability):
    """Its critics' scores cost what a divergence says."""

    divergence: Divergence


@runtime_checkable
class Simulates(Protocol, metaclass=Capability):
    """Draws x ~ p(x | z) with the noise of its likelihood."""

    def simulate(self, z: Tensor) -> Tensor:
        """One draw for each z, shape (n, *shape)."""


# what a game without it is, and what one with it is said to do
WORDS: dict[type, tuple[str, str]] = {
    Infers: ("has no encoder", "has one"),
    Generates: ("has no decoder", "has one"),
    HasLevels: ("has one level of latents", "has two"),
    Translates: ("has no two domains to translate between", "has"),
    Classifies: ("reads no labels", "does"),
    HasCodes: ("recognises no codes", "does"),
    HasLikelihood: (
        "has samples and no density p(x | z), so that there is no log-likelihood but that of kernel densities (kde)",
        "has one",
    ),
    Adversarial: ("has no divergence", "has one"),
    Simulates: ("has no method `simulate` that draws x from p(x | z)", "has one"),
}


def has(kind: type[Game], capability: type) -> bool:
    """Whether games of a kind have the capability."""
    return issubclass(kind, capability)


def require(game: Game, capability: type[T], task: str, *beside: type) -> T:
    """The game, as one that has the capability, and those `beside` it.

    Raises:
        UserError: it lacks one of them; the message names the games that have all.

    Example:
        >>> from interalia.conditionals import Dirac, StandardNormal
        >>> from interalia.games import GAN
        >>> gan = GAN(Dirac(nn.Linear(3, 2)), nn.Linear(2, 1), StandardNormal(3))
        >>> require(gan, Generates, "decode") is gan
        True
        >>> require(gan, Classifies, "classify")
        Traceback (most recent call last):
            ...
        interalia.errors.UserError: GAN reads no labels; classify needs a game that does: SemiALI, SemiAAE.
    """
    for one in (capability, *beside):
        if not isinstance(game, one):
            lacks, does = WORDS.get(one, (f"has no {' and '.join(sorted(members(one)))}", "has"))
            able = who(capability, *beside)
            raise UserError(f"{type(game).__name__} {lacks}; {task} needs a game that {does}: {able}.")
    found: Any = game
    return found  # type: ignore[no-any-return]


def who(*capabilities: type, also: Callable[[type[Game]], bool] = lambda kind: True) -> str:
    """The names of the games, those of other packages included, that have all of these and of which `also` is true."""
    from interalia.games import REGISTRY

    able = (kind for kind in REGISTRY.values() if all(has(kind, one) for one in capabilities) and also(kind))
    return ", ".join(kind.__name__ for kind in able) or "none is installed"
