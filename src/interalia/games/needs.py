"""What a game needs: its networks, by their names, each as what it reads and returns; and what it may choose from."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from interalia import conditionals
from interalia.adversarial.divergences import GAN, Divergence
from interalia.conditionals import Codes, Conditional, Deterministic, Gaussian, Prior
from interalia.contexts import evaluating
from interalia.errors import UserError
from interalia.networks.specs import Critic, Map, NetworkSpec
from interalia.spaces import Space

if TYPE_CHECKING:
    from interalia.games.game import Game
    from interalia.networks.family import Family


TRIED = 16  # draws that a generator of somebody's own is tried on
SLACK = 1e-3  # by which its images may leave [0, 1]


@dataclass(frozen=True)
class Encoder(NetworkSpec):
    """q(target | given), by a kind of conditional.

    Arguments:
        given: the variables that it is conditional on.
        target: the variable that it is a distribution of.
        kind, settings: the class of the conditional, and its settings.
        narrow: whether it starts with a small width; see `Gaussian.init_narrow`.
    """

    given: tuple[Space, ...]
    target: Space
    kind: type[Conditional] = Deterministic
    settings: Mapping[str, Any] = field(default_factory=dict)
    narrow: bool = False

    @property
    def spec(self) -> Map:
        """The map that its conditional is made from."""
        return self.kind.required_map(self.given, self.target, **self.settings)

    def wrap(self, network: nn.Module) -> Conditional:
        own = {"size": self.target.size} if "size" in inspect.signature(self.kind).parameters else {}
        return self.kind(network, **own, **self.settings)


class Decoder(Encoder):
    """p(target | given), all mass on what the network returns."""


@dataclass(frozen=True)
class Chain:
    """Two conditionals, one after the other, by way of a variable between."""

    first: Encoder
    second: Encoder

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        return nn.ModuleList([self.first.network(family), self.second.network(family)])

    def wrap(self, network: nn.Module) -> conditionals.Chain:
        first, second = network.children()
        return conditionals.Chain(self.first.wrap(first), self.second.wrap(second))


@dataclass(frozen=True)
class Given:
    """A conditional that was trained before, is handed to the game, and that nobody moves.

    Arguments:
        like: what it has to be.
    """

    like: Encoder

    def check(self, found: Conditional, prior: Prior) -> None:
        """Raises a UserError unless it makes finite values of its target of some draws of the prior, in float32."""
        for name, part in found.state_dict().items():
            if part.is_floating_point() and part.dtype != torch.float32:
                own = name.removeprefix("network.").removeprefix("module.")
                raise UserError(
                    f"the generator's {own} is {part.dtype}, and it must be torch.float32; convert the module by .float()."
                )
        x, target = tried(found, prior), self.like.target
        if not isinstance(x, Tensor) or x.dtype != torch.float32:
            what = x.dtype if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise UserError(
                f"the generator returns {what}, and it must return x, one tensor of torch.float32; wrap it."
            )
        if tuple(x.shape) != (TRIED, *target.shape):
            raise UserError(
                f"the generator makes images of {tuple(x.shape[1:])}, and the data's are {target.shape}; give the data that "
                f"it was trained on, or `size`."
            )
        if not bool(x.isfinite().all()):
            raise UserError(
                "the generator makes numbers that are not finite (NaN or infinity); give one that is whole."
            )
        low, high = float(x.min()), float(x.max())
        if target.support == "unit" and (low < -SLACK or high > 1 + SLACK):
            raise UserError(
                f"the generator makes images from {low:.3g} to {high:.3g}, and here they are in [0, 1]; wrap it, for example "
                f"by (x + 1) / 2 after a tanh."
            )


def tried(decoder: Conditional, prior: Prior) -> Any:
    """What a decoder that somebody trained makes of some draws of the prior, a tensor or not.

    Raises:
        UserError: it cannot take them.
    """
    with evaluating(decoder if next(decoder.parameters(), None) is not None else nn.Linear(1, 1)):
        place = next(decoder.parameters(), torch.zeros(())).device
        z = prior.sample((TRIED,)).to(place)
        try:
            return decoder.network(z) if isinstance(decoder, Deterministic) else decoder(z).mean
        except Exception as error:  # whatever somebody's module may raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            if isinstance(error, RuntimeError | ValueError | IndexError | AssertionError):
                raise UserError(
                    f"the generator does not take {prior.size} latents ({reason}); give the size of its z in `latent_dim`, if "
                    f"that is what is wrong."
                ) from None
            raise UserError(
                f"the generator fails on z of shape {tuple(z.shape)} ({reason}); give a module that takes z alone and "
                f"returns x."
            ) from None


Need: TypeAlias = NetworkSpec | Chain | Given
Needs: TypeAlias = Mapping[str, Need]


@dataclass(frozen=True)
class Setup:
    """What a game may build on: the variables of its data and its prior, and the parts that were chosen for it.

    Arguments:
        x: the data.
        prior: p(z).
        y: what all networks are conditional on: nothing, or one variable.
        other: the second domain, where there is one.
        classes: how many labels the game reads off x.
        divergence: what the scores cost.
        encoder: the kind of q(z | x), and its settings.
    """

    x: Space
    prior: Prior
    y: tuple[Space, ...] = ()
    other: Space | None = None
    classes: int = 0
    divergence: Divergence = GAN()
    encoder: tuple[type[Conditional], Mapping[str, Any]] = (Gaussian, {})

    @property
    def z(self) -> Space:
        return self.prior.space

    def infer(self, given: Space, target: Space, narrow: bool = False) -> Encoder:
        """q(target | given, y), by the conditional that was chosen."""
        return Encoder((given, *self.y), target, *self.encoder, narrow)

    def decode(self, given: Space, target: Space) -> Decoder:
        """p(target | given, y), deterministic."""
        return Decoder((given, *self.y), target)

    def judge(self, *sees: Space, **more: Any) -> Critic:
        """A critic of these variables and y; its terms apart, where the divergence wants them and there are several."""
        terms = self.divergence.separate and len(set(sees)) > 1 and not more.get("classes")
        return Critic((*sees, *self.y), terms=terms, **more)


def complete(kind: type[Game], settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a game: those given, and the defaults of its signature for the others."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | dict(settings)


@functools.cache
def declared(kind: type[Game]) -> Needs:
    """The needs of a kind of game on variables that stand for any: images of 16 x 16, z of 4 numbers with a category of two,
    two labels to read, two domains. What its critic is shown, whether it is to be deceived, and whether it can be packed
    does not depend on them.

    Example:
        >>> from interalia.games import AAE, AVB
        >>> declared(AAE)["critic"].names, declared(AVB)["critic"].adversarial
        ('(z)', False)
    """
    x = Space("x", (1, 16, 16), "unit")
    setup = Setup(x, Codes(4, (2,), 0), other=x, classes=2, encoder=(Deterministic, {}))
    return kind.needs(setup, **complete(kind, {}))


def packable(kind: type[Game]) -> bool:
    """Whether its critics, and there are some, may be shown several samples at a time."""
    found = critics(kind)
    return bool(found) and all(critic.packable for critic in found)


def critics(kind: type[Game]) -> list[Critic]:
    """The critics that a kind of game has: none for a game that needs none, or that does not declare its needs."""
    return [need for need in declared(kind).values() if isinstance(need, Critic)]
