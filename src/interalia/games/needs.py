"""Descriptions of the networks of a game: the inputs and outputs of each, and the variables that they are derived from."""

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
    """The description of an encoder q(target | inputs): a network wrapped into a conditional distribution.

    Arguments:
        inputs: the variables that it is conditioned on.
        target: the variable that it is a distribution of.
        kind, settings: the class of the conditional, and its arguments.
        narrow: True to initialize it with a small standard deviation.
    """

    inputs: tuple[Space, ...]
    target: Space
    kind: type[Conditional] = Deterministic
    settings: Mapping[str, Any] = field(default_factory=dict)
    narrow: bool = False

    @property
    def spec(self) -> Map:
        """The specification of the network that the conditional wraps."""
        return self.kind.required_map(self.inputs, self.target, **self.settings)

    def wrap(self, network: nn.Module) -> Conditional:
        """Returns the conditional distribution q(target | inputs) with parameters from `network`."""
        size = {"size": self.target.size} if "size" in inspect.signature(self.kind).parameters else {}
        return self.kind(network, **size, **self.settings)


class Decoder(Encoder):
    """The description of a deterministic decoder p(target | inputs); its arguments are those of `Encoder`."""


@dataclass(frozen=True)
class Chain:
    """The description of two conditionals in sequence, through an intermediate variable: `second` takes what `first`
    returns.
    """

    first: Encoder
    second: Encoder

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        """Builds the networks of both conditionals and returns them as an `nn.ModuleList`; `pack` has no effect."""
        return nn.ModuleList([self.first.network(family), self.second.network(family)])

    def wrap(self, network: nn.Module) -> conditionals.Chain:
        """Returns the chain of both conditionals, given the `nn.ModuleList` of their networks."""
        first, second = network.children()
        return conditionals.Chain(self.first.wrap(first), self.second.wrap(second))


@dataclass(frozen=True)
class Pretrained:
    """The description of a conditional that was trained before and stays frozen.

    Arguments:
        like: the description of the inputs and outputs that it must have.
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
    """Returns the outputs of a pretrained decoder for 16 samples of the prior, of any type if the module is a custom one.

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
        x: the space of the data.
        prior: p(z).
        y: the space of the condition of all networks, in a tuple; empty for an unconditional game.
        other: the space of the second domain, or None.
        classes: number of labels that the game predicts from x.
        divergence: the adversarial loss.
        encoder: the class of q(z | x), and its arguments.
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
        """The space of the latent variable z."""
        return self.prior.space

    def infer(self, x: Space, target: Space, narrow: bool = False) -> Encoder:
        """Returns the description of an encoder q(target | x, y) of the chosen class.

        Arguments:
            x: the space of the input beside y.
            target: the space of the variable that is inferred.
            narrow: True to initialize it with a small standard deviation.
        """
        return Encoder((x, *self.y), target, *self.encoder, narrow)

    def decode(self, z: Space, target: Space) -> Decoder:
        """Returns the description of a deterministic decoder p(target | z, y), given the spaces of z and of the target."""
        return Decoder((z, *self.y), target)

    def critic(self, *sees: Space, mismatch: float = 0.0, **more: Any) -> Critic:
        """Returns the specification of a critic of several variables and y.

        It has one score per term if the divergence has one loss per term (BigBiGAN), unless it also classifies.

        Arguments:
            sees: the spaces of the variables.
            mismatch: the share of mismatched pairs in its loss; if it is above 0, the critic has a projection of y.
            more: further arguments of `Critic`, such as `classes`.
        """
        terms = self.divergence.per_head and len(set(sees)) > 1 and not more.get("classes")
        return Critic((*sees, *self.y), terms=terms, projection=mismatch > 0 and bool(self.y), **more)


def all_settings(kind: type[Game], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the constructor arguments of a game by name: the given `settings`, and the defaults of the others that
    have one.

    Arguments:
        kind: the class of the game.
        settings: the given arguments.
    """
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | dict(settings)


@functools.cache
def example_needs(kind: type[Game]) -> Needs:
    """Returns the networks that a class of games declares for placeholder data, as `kind.needs` does.

    The data are 16 x 16 images with two labels and two domains, and z has 4 dimensions and a category of two values.
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
    """True if a class of games has critics and all of them may score several samples together (`pack`)."""
    found = critics(kind)
    return bool(found) and all(critic.packable for critic in found)


def critics(kind: type[Game]) -> list[Critic]:
    """Returns the specifications of the critics that a class of games declares; empty for games without critics."""
    return [need for need in example_needs(kind).values() if isinstance(need, Critic)]
