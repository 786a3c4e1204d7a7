"""What a game can do, as protocols: a game has a capability by having its members, whoever wrote it; and what is said of it.

isinstance(game, Infers), issubclass(ALI, Infers)

The `facts` of a game are plain values, which a run keeps: so a page needs neither torch nor the class.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, _ProtocolMeta, runtime_checkable

from torch import Tensor, nn

from interalia import registry
from interalia.adversarial import divergences
from interalia.adversarial.divergences import Divergence
from interalia.conditionals import CONDITIONALS, Chain, Codes, Conditional, Prior
from interalia.errors import UserError
from interalia.games.game import Game
from interalia.games.needs import critics

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
        """The parameters of Q(c | x), shape (n, prior.code_outputs)."""


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


# what a critic's scores are on, by what it sees first and whether it sees more
JUDGED = {
    ("x", False): "data and samples",
    ("z", False): "random and on inferred latents",
    ("x", True): "pairs (data, inferred z) and pairs (sample, random z)",
}


def has(kind: type[Game], capability: type) -> bool:
    """Whether games of a kind have the capability."""
    return issubclass(kind, capability)


def require(game: Game, capability: type[T], task: str, *beside: type) -> T:
    """The game, as one that has the capability, and those `beside` it.

    Raises:
        UserError: it lacks one of them; the message names the games that have all.

    Example:
        >>> from interalia.conditionals import Deterministic, StandardNormal
        >>> from interalia.games import GAN
        >>> gan = GAN(Deterministic(nn.Linear(3, 2)), nn.Linear(2, 1), StandardNormal(3))
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


def facts(
    game: Game | type[Game], encoder: type[Conditional] | None = None, divergence: Divergence | None = None
) -> dict[str, Any]:
    """What there is to say of a game or of a kind of games.

    Arguments:
        game: the game, or its class where there is no more.
        encoder, divergence: of a class, what its games have; a game has its own.

    Returns:
        title, teaches, judged, reading: texts, see `Game`; each may be empty.
        critic: whether there is a critic.
        can: the names of its capabilities, such as "Infers".
        log_odds: whether a critic's score is a log-odds.

    Example:
        >>> from interalia.conditionals import Deterministic
        >>> from interalia.games import ALI, VAE
        >>> facts(ALI, Deterministic)["title"], facts(VAE)["critic"], "HasLikelihood" in facts(VAE)["can"]
        ('BiGAN (adversarially learned inference with a deterministic encoder)', False, True)
    """
    kind = game if isinstance(game, type) else type(game)
    if isinstance(game, Game):
        encoder = type(game.encoder) if isinstance(game, Infers) else None
        divergence = game.divergence if isinstance(game, Adversarial) else None
    judges = critics(kind)
    # of a subclass that says nothing of itself nothing is said: what holds of its base need not hold of it
    said = {key: str(vars(kind).get(key, "")) for key in ("title", "teaches", "judged", "reading")}
    if said["title"]:
        said["title"] = kind.titled(encoder)
    seen = [space.name for space in judges[0].inputs if space.name != "y"] if len(judges) == 1 else [""]
    ratio = any(not critic.adversarial for critic in judges)  # whose scores are not meant to be near each other
    return {
        **said,
        "judged": said["judged"] or (JUDGED.get((seen[0], len(seen) > 1), "") if said["title"] and not ratio else ""),
        "critic": bool(judges) or "critic" in kind.players,
        "can": [one.__name__ for one in WORDS if (issubclass(kind, one) if game is kind else isinstance(game, one))],
        "log_odds": divergence is not None and divergence.log_odds,
    }


def by_name(game: str, encoder: str, divergence: str) -> dict[str, Any] | None:
    """What there is to say of the games of that name, with these parts; None where there are none."""
    from interalia.games import REGISTRY

    cost = None
    with contextlib.suppress(UserError):  # it is not here, or was given from Python
        cost = registry.make(divergence, divergences.REGISTRY, "divergence")
    return facts(REGISTRY[game], CONDITIONALS.get(encoder), cost) if game in REGISTRY else None
