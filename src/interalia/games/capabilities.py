"""The capabilities of games, such as "has an encoder", as protocols (structural types); and descriptions of games for
reports.

A game has a capability if it has the protocol's attributes, whatever its base class:

    isinstance(game, Infers), issubclass(ALI, Infers)

`facts` returns plain values that are saved with a run, so that a report needs neither torch nor the class of the game.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, _ProtocolMeta, runtime_checkable

from torch import Tensor, nn

from interalia import packaged_toml, registry
from interalia.adversarial import divergences
from interalia.adversarial.divergences import Divergence
from interalia.conditionals import CONDITIONALS, Chain, Codes, Conditional, Prior
from interalia.errors import UserError
from interalia.games.game import Game
from interalia.games.needs import critics

T = TypeVar("T")


class Capability(_ProtocolMeta):
    """Metaclass of the capabilities of games: protocols that a game fulfills by having their attributes and methods.

    A submodule of an `nn.Module` counts as an attribute of the module, and a constructor argument as one of the class.
    Python's check (from 3.12 on) ignores these, since `nn.Module` returns submodules by `__getattr__`.
    """

    def __instancecheck__(self, instance: Any) -> bool:
        return attributes_of(self) <= set(dir(instance))

    def __subclasscheck__(self, kind: type) -> bool:
        return attributes_of(self) <= {*dir(kind), *inspect.signature(kind).parameters}


def attributes_of(capability: type) -> set[str]:
    """Returns the names of the attributes and methods that a game must have for the capability: those that the protocol
    declares.
    """
    return {name for name in (*capability.__annotations__, *vars(capability)) if not name.startswith("_")}


@runtime_checkable
class Infers(Protocol, metaclass=Capability):
    """A game with an encoder q(z | x), in its attribute `encoder`."""

    encoder: Conditional


@runtime_checkable
class Generates(Protocol, metaclass=Capability):
    """A game with a prior p(z) and a decoder p(x | z), in its attributes `prior` and `decoder`."""

    decoder: Conditional
    prior: Prior


@runtime_checkable
class HasLevels(Protocol, metaclass=Capability):
    """A game with a second vector of latents between z and x, which has `lower` dimensions.

    Its encoder and decoder are chains of two conditional distributions: x -> lower latents -> z, and back.
    """

    encoder: Chain
    decoder: Chain
    lower: int


@runtime_checkable
class Translates(Protocol, metaclass=Capability):
    """A game that maps samples between two domains, by the networks `to_a` (from b to a) and `to_b` (from a to b)."""

    to_a: nn.Module
    to_b: nn.Module


@runtime_checkable
class Classifies(Protocol, metaclass=Capability):
    """A game that predicts the label of x."""

    def classify(self, x: Tensor) -> Tensor:
        """Returns the probability of each label for each x, shape (n, labels)."""


@runtime_checkable
class HasCodes(Protocol, metaclass=Capability):
    """A game that predicts the codes c in z (InfoGAN's categories and numbers) from x."""

    prior: Codes

    def code_parameters(self, x: Tensor) -> Tensor:
        """Returns the parameters of Q(c | x), the predicted distribution of the codes c, shape (n, outputs). They are
        the logits of each category, then the mean of each continuous code; `prior.code_outputs` is their number.
        """


@runtime_checkable
class HasLikelihood(Protocol, metaclass=Capability):
    """A game with a density p(x | z), which can be computed; `binary` is True if its x are zeros and ones."""

    binary: bool
    prior: Prior

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Returns log p(x | z) in nats for each pair of x and z, shape (n,)."""

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """Returns log p(x, z) = log p(x | z) + log p(z) in nats for each pair of x and z, shape (n,)."""


@runtime_checkable
class Adversarial(Protocol, metaclass=Capability):
    """A game whose losses are computed from its critics' scores by a divergence, in its attribute `divergence`."""

    divergence: Divergence


@runtime_checkable
class Simulates(Protocol, metaclass=Capability):
    """A game that can draw samples from p(x | z), including the noise of the likelihood, rather than its mean alone."""

    def simulate(self, z: Tensor) -> Tensor:
        """Draws one sample x ~ p(x | z) for each z, shape (n, *shape of one x)."""


TEXTS: dict[str, Any] = packaged_toml("interalia.games", "texts.toml")

CAPABILITIES = (Infers, Generates, HasLevels, Translates, Classifies, HasCodes, HasLikelihood, Adversarial, Simulates)

# the critic's inputs in words, by its first variable and whether it has more
SCORES_ON = {
    ("x", False): "data and samples",
    ("z", False): "random and inferred latents",
    ("x", True): "pairs (data, inferred z) and pairs (sample, random z)",
}


def has(kind: type[Game], capability: type) -> bool:
    """True if the games of the class `kind` have the capability, a protocol such as `Infers`."""
    return issubclass(kind, capability)


def require(game: Game, capability: type[T], task: str, *beside: type) -> T:
    """Returns the given game if it has the capability, for type checkers as an instance of the protocol.

    Arguments:
        game: the game.
        capability: the protocol that the task needs, such as `Infers`.
        task: the name of the task, for the error message.
        beside: further protocols that the task needs.

    Raises:
        UserError: the game lacks one of them; the message names the games that have all.

    Example:
        >>> from interalia.conditionals import Deterministic, StandardNormal
        >>> from interalia.games import GAN
        >>> gan = GAN(Deterministic(nn.Linear(3, 2)), nn.Linear(2, 1), StandardNormal(3))
        >>> require(gan, Generates, "decode") is gan
        True
        >>> require(gan, Classifies, "classify")
        Traceback (most recent call last):
            ...
        interalia.errors.UserError: GAN has no classifier; classify needs a game that has one: SemiALI, SemiAAE.
    """
    for one in (capability, *beside):
        if not isinstance(game, one):
            unknown = (f"has no {' and '.join(sorted(attributes_of(one)))}", "has")
            lacks, does = TEXTS["capabilities"].get(one.__name__, unknown)
            able = games_with(capability, *beside)
            raise UserError(f"{type(game).__name__} {lacks}; {task} needs a game that {does}: {able}.")
    found: Any = game
    return found  # type: ignore[no-any-return]


def games_with(*capabilities: type, also: Callable[[type[Game]], bool] = lambda kind: True) -> str:
    """Returns the class names of the registered games that have all given capabilities, joined by commas, for messages.

    Games of plug-ins are included. If there is none, the text is "none is installed".

    Arguments:
        capabilities: the protocols that a game must have, such as `Infers`.
        also: a further condition on the class of a game; by default True.
    """
    from interalia.games import REGISTRY

    able = (kind for kind in REGISTRY.values() if all(has(kind, one) for one in capabilities) and also(kind))
    return ", ".join(kind.__name__ for kind in able) or "none is installed"


def facts(
    game: Game | type[Game], encoder: type[Conditional] | None = None, divergence: Divergence | None = None
) -> dict[str, Any]:
    """Returns the description of a game, or of a class of games, for reports, as a dictionary of plain values.

    Arguments:
        game: the game, or its class.
        encoder: the class of the encoder; used only if `game` is a class; None for a game without an encoder.
        divergence: the divergence; used only if `game` is a class; None for a game without one.

    Returns:
        title: a noun phrase, such as "VAE (a variational autoencoder)"; like the next three, "" for some custom games.
        teaches: how the game works, in plain sentences.
        judged: what the critic scores, as a phrase such as "data and samples".
        reading: how to read the losses and scores, if not as those of other adversarial games.
        critic: True if there is a critic.
        can: a list of the names of its capabilities, such as "Infers".
        log_odds: True if the optimal critic's score is the log-odds of the two distributions that it separates.

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
    scored = critics(kind)
    # texts are not inherited: what holds for a base class need not hold for a subclass
    own = TEXTS["games"].get(vars(kind).get("name"), {}) | vars(kind)
    texts = {key: str(own.get(key, "")) for key in ("title", "teaches", "judged", "reading")}
    for key, sentence in TEXTS["shared"].items():
        texts["teaches"] = texts["teaches"].replace(f"{{{key}}}", sentence)
    if texts["title"]:
        texts["title"] = kind.title_for(encoder)
    inputs = [space.name for space in scored[0].inputs if space.name != "y"] if len(scored) == 1 else [""]
    ratio = any(not critic.adversarial for critic in scored)  # its scores on both joints need not become equal
    return {
        **texts,
        "judged": texts["judged"]
        or (SCORES_ON.get((inputs[0], len(inputs) > 1), "") if texts["title"] and not ratio else ""),
        "critic": bool(scored) or "critic" in kind.players,
        "can": [
            one.__name__ for one in CAPABILITIES if (issubclass(kind, one) if game is kind else isinstance(game, one))
        ],
        "log_odds": divergence is not None and divergence.log_odds,
    }


def facts_by_name(game: str, encoder: str, divergence: str) -> dict[str, Any] | None:
    """Returns the description that `facts` returns (title, critic and others), for a game given by its registered name;
    None if there is no such game.

    Arguments:
        game: the name of the game, such as "ali".
        encoder: the registered name of the class of the encoder, such as "gaussian"; an unknown name counts as no
            encoder.
        divergence: the registered name of the divergence, with arguments if any, such as "alpha(alpha=0.5)"; an unknown one
            counts as no divergence.
    """
    from interalia.games import REGISTRY

    loss = None
    with contextlib.suppress(UserError):  # not installed, or an object that was passed in Python
        loss = registry.make(divergence, divergences.REGISTRY, "divergence")
    return facts(REGISTRY[game], CONDITIONALS.get(encoder), loss) if game in REGISTRY else None
