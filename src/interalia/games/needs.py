"""Declarations of the networks of a game: the inputs and outputs of each, and the setup that they are derived from."""

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


TRIALS = 16  # samples that a pretrained generator is tested on
SLACK = 1e-3  # by which its images may leave [0, 1]


@dataclass(frozen=True)
class Encoder(NetworkSpec):
    """An encoder q(target | inputs): a network wrapped into a conditional distribution.

    Arguments:
        inputs: the variables that it is conditioned on.
        target: the variable that it is a distribution of.
        kind, settings: the class of the conditional, and its settings.
        narrow: True to initialize it with a small standard deviation; see `Gaussian.init_narrow`.
    """

    inputs: tuple[Space, ...]
    target: Space
    kind: type[Conditional] = Deterministic
    settings: Mapping[str, Any] = field(default_factory=dict)
    narrow: bool = False

    @property
    def spec(self) -> Map:
        """The network that the conditional wraps."""
        return self.kind.required_map(self.inputs, self.target, **self.settings)

    def wrap(self, network: nn.Module) -> Conditional:
        size = {"size": self.target.size} if "size" in inspect.signature(self.kind).parameters else {}
        return self.kind(network, **size, **self.settings)


class Decoder(Encoder):
    """A deterministic decoder p(target | inputs)."""


@dataclass(frozen=True)
class Chain:
    """Two conditionals in sequence, through an intermediate variable."""

    first: Encoder
    second: Encoder

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        """Returns the networks of both conditionals."""
        return nn.ModuleList([self.first.network(family), self.second.network(family)])

    def wrap(self, network: nn.Module) -> conditionals.Chain:
        """Returns the chain of conditionals that these networks parameterize."""
        first, second = network.children()
        return conditionals.Chain(self.first.wrap(first), self.second.wrap(second))


@dataclass(frozen=True)
class Pretrained:
    """A conditional that was trained before and stays frozen.

    Arguments:
        like: the need that it must satisfy.
    """

    like: Encoder

    def check(self, conditional: Conditional, prior: Prior) -> None:
        """Tests the conditional on samples of the prior.

        Raises:
            UserError: its outputs or weights are not finite float32 values of the shape and range of the target.
        """
        for name, part in conditional.state_dict().items():
            if part.is_floating_point() and part.dtype != torch.float32:
                key = name.removeprefix("network.").removeprefix("module.")
                raise UserError(
                    f"the generator's {key} is {part.dtype}, and it must be torch.float32; convert the module by .float()."
                )
        x, target = trial_samples(conditional, prior), self.like.target
        if not isinstance(x, Tensor) or x.dtype != torch.float32:
            returned = x.dtype if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise UserError(
                f"the generator returns {returned}, and it must return x, one tensor of torch.float32; wrap it."
            )
        if tuple(x.shape) != (TRIALS, *target.shape):
            raise UserError(
                f"the generator returns images of shape {tuple(x.shape[1:])}, and the data have {target.shape}; give the "
                f"data that it was trained on, or `image_size`."
            )
        if not bool(x.isfinite().all()):
            raise UserError(
                "the generator returns values that are not finite (NaN or infinity); give a generator that is intact."
            )
        low, high = float(x.min()), float(x.max())
        if target.support == "unit" and (low < -SLACK or high > 1 + SLACK):
            raise UserError(
                f"the generator returns pixels from {low:.3g} to {high:.3g}, and pixels must lie in [0, 1]; wrap it, for "
                f"example by (x + 1) / 2 after a tanh."
            )


def trial_samples(decoder: Conditional, prior: Prior) -> Any:
    """The outputs of a pretrained decoder on 16 samples of the prior; an untested module may return anything.

    Raises:
        UserError: the decoder fails on them.
    """
    with evaluating(decoder if next(decoder.parameters(), None) is not None else nn.Linear(1, 1)):
        device = next(decoder.parameters(), torch.zeros(())).device
        z = prior.sample((TRIALS,)).to(device)
        try:
            return decoder.network(z) if isinstance(decoder, Deterministic) else decoder(z).mean
        except Exception as error:  # a custom module may raise anything
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            if isinstance(error, RuntimeError | ValueError | IndexError | AssertionError):
                raise UserError(
                    f"the generator does not accept z of {prior.size} dimensions ({reason}); give the size of its z in "
                    f"`latent_dim`, if that is the cause."
                ) from None
            raise UserError(
                f"the generator fails on z of shape {tuple(z.shape)} ({reason}); give a module that takes z alone and "
                f"returns x."
            ) from None


Need: TypeAlias = NetworkSpec | Chain | Pretrained
Needs: TypeAlias = Mapping[str, Need]


@dataclass(frozen=True)
class Setup:
    """The inputs of `Game.needs`: the variables of the data and the prior, and the chosen divergence and encoder.

    Arguments:
        x: the data.
        prior: p(z).
        y: the condition of all networks, one variable; empty for an unconditional game.
        other: the second domain, or None.
        classes: number of labels that the game predicts from x.
        divergence: the adversarial loss.
        encoder: the class of q(z | x), and its settings.
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
        """The space of z."""
        return self.prior.space

    def infer(self, x: Space, target: Space, narrow: bool = False) -> Encoder:
        """q(target | x, y), with the chosen class of encoder."""
        return Encoder((x, *self.y), target, *self.encoder, narrow)

    def decode(self, z: Space, target: Space) -> Decoder:
        """p(target | z, y), deterministic."""
        return Decoder((z, *self.y), target)

    def critic(self, *sees: Space, **more: Any) -> Critic:
        """A critic of these variables and y; with one score per term if the divergence has one loss per term (BigBiGAN)."""
        terms = self.divergence.per_head and len(set(sees)) > 1 and not more.get("classes")
        return Critic((*sees, *self.y), terms=terms, **more)


def all_settings(kind: type[Game], settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a game: `settings`, and the defaults of its constructor for the others."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | dict(settings)


@functools.cache
def example_needs(kind: type[Game]) -> Needs:
    """The needs of a class of games for placeholder data: 16 x 16 images, two labels, two domains, and z of 4 dimensions with
    a category of two values.

    The critic's inputs, `adversarial` and `packable` do not depend on the data.

    Example:
        >>> from interalia.games import AAE, AVB
        >>> example_needs(AAE)["critic"].names, example_needs(AVB)["critic"].adversarial
        ('(z)', False)
    """
    x = Space("x", (1, 16, 16), "unit")
    setup = Setup(x, Codes(4, (2,), 0), other=x, classes=2, encoder=(Deterministic, {}))
    return kind.needs(setup, **all_settings(kind, {}))


def packable(kind: type[Game]) -> bool:
    """True if the game has critics and all of them support packing (several samples per score)."""
    found = critics(kind)
    return bool(found) and all(critic.packable for critic in found)


def critics(kind: type[Game]) -> list[Critic]:
    """The critics that a class of games declares; empty for games without a critic or without `needs`."""
    return [need for need in example_needs(kind).values() if isinstance(need, Critic)]
