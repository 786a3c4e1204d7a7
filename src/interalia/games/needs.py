"""Specifications of the networks that a game needs: the inputs and outputs of each, and the variables they are derived
from.
"""

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
    """The specification of an encoder q(target | inputs), a network wrapped into a conditional distribution.

    Arguments:
        inputs: the spaces of the variables that it is conditioned on.
        target: the space of the variable whose distribution it is.
        kind, settings: the class of the conditional distribution, and keyword arguments of its constructor.
        narrow: True to initialize the distribution with a small standard deviation.
    """

    inputs: tuple[Space, ...]
    target: Space
    kind: type[Conditional] = Deterministic
    settings: Mapping[str, Any] = field(default_factory=dict)
    narrow: bool = False

    @property
    def spec(self) -> Map:
        """The specification of the network that the conditional distribution wraps: it returns the distribution's
        parameters.
        """
        return self.kind.required_map(self.inputs, self.target, **self.settings)

    def wrap(self, network: nn.Module) -> Conditional:
        """Returns the conditional distribution q(target | inputs), an instance of the class in the field `kind`;
        `network` returns its parameters.
        """
        size = {"size": self.target.size} if "size" in inspect.signature(self.kind).parameters else {}
        return self.kind(network, **size, **self.settings)


class Decoder(Encoder):
    """The specification of a deterministic decoder p(target | inputs), a network that returns the target.

    Its arguments are those of `Encoder`: the spaces `inputs` and `target`.
    """


@dataclass(frozen=True)
class Chain:
    """The specification of two conditional distributions in sequence: the output of `first` is the input of
    `second`.
    """

    first: Encoder
    second: Encoder

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        """Builds the networks of both conditionals by a family of networks, and returns them as an `nn.ModuleList` of
        two.

        `pack`, the number of samples that a critic scores together, has no effect here.
        """
        return nn.ModuleList([self.first.network(family), self.second.network(family)])

    def wrap(self, network: nn.Module) -> conditionals.Chain:
        """Returns both conditional distributions in sequence as one, given the `nn.ModuleList` of their networks."""
        first, second = network.children()
        return conditionals.Chain(self.first.wrap(first), self.second.wrap(second))


@dataclass(frozen=True)
class Pretrained:
    """The specification of a conditional distribution, or of a critic, that was trained before and is not trained
    further.

    Arguments:
        like: the specification with the inputs and outputs that it must have.
        optional: True if the game can be built without it.
    """

    like: Encoder | Critic
    optional: bool = False

    def check(self, conditional: Conditional, prior: Prior) -> None:
        """Checks a pretrained conditional by applying it to 16 samples of the prior.

        Raises:
            UserError: its outputs are not one finite float32 tensor of the shape of the data, images have pixels
                outside of [0, 1], or its weights are not float32.
        """
        for name, part in conditional.state_dict().items():
            if part.is_floating_point() and part.dtype != torch.float32:
                key = name.removeprefix("network.").removeprefix("module.")
                raise UserError(
                    f"the generator's {key} is {part.dtype}, and it must be torch.float32; convert the module by .float()."
                )
        assert isinstance(self.like, Encoder)
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
    """Returns the outputs of a pretrained decoder for 16 samples of the prior, in eval mode.

    They are a tensor, shape (16, *shape of x), unless a custom decoder returns something else.

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
    """The variables, the divergence and the class of the encoder from which a game derives the networks that it needs.

    It is the argument of `Game.needs`.

    Arguments:
        x: the space of the data.
        prior: the prior p(z), which also has the space of z.
        y: the space of the variable that all networks are conditioned on, in a tuple; empty for an unconditional game.
        other: the space of the second domain's data; None for a game with one domain.
        classes: number of labels that the game predicts from x; 0 if it predicts none.
        divergence: the adversarial loss.
        encoder: the class of q(z | x), and keyword arguments of its constructor.
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
        """The space of the latent variable z, as the prior defines it."""
        return self.prior.space

    def infer(self, x: Space, target: Space, narrow: bool = False) -> Encoder:
        """Returns the specification of an encoder q(target | x, y), of the class in the field `encoder`; y is the
        condition, if any.

        Arguments:
            x: the space of the input besides y.
            target: the space of the variable that is inferred.
            narrow: True to initialize the distribution with a small standard deviation.
        """
        return Encoder((x, *self.y), target, *self.encoder, narrow)

    def decode(self, z: Space, target: Space) -> Decoder:
        """Returns the specification of a deterministic decoder p(target | z, y), given the spaces of z and of the
        target; y is the condition, if any.
        """
        return Decoder((z, *self.y), target)

    def critic(self, *sees: Space, mismatch: float = 0.0, **more: Any) -> Critic:
        """Returns the specification of a critic whose inputs are the given variables and, in a conditional game, y.

        The critic returns one score. But if the divergence needs separate scores of x, z and (x, z), as BigBiGAN does, it
        returns these three, unless `classes` is above 0 or all given spaces are equal.

        Arguments:
            sees: the spaces of the variables that the critic scores.
            mismatch: the share of mismatched pairs in the critic's loss; above 0, a critic in a conditional game adds
                a projection of y to its score, see `PairCritic`.
            more: further keyword arguments of `Critic`, such as `classes`, the number of labels that it also has logits of.
        """
        terms = self.divergence.per_head and len(set(sees)) > 1 and not more.get("classes")
        return Critic((*sees, *self.y), terms=terms, projection=mismatch > 0 and bool(self.y), **more)


def all_settings(kind: type[Game], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns constructor arguments of a game by name: the given `settings`, and the default of each other argument
    that has one.

    Arguments:
        kind: the class of the game.
        settings: name of an argument -> its given value.
    """
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | dict(settings)


@functools.cache
def example_needs(kind: type[Game]) -> Needs:
    """Returns name of a constructor argument -> specification of its network, for a class of games and placeholder data.

    The data are 16 x 16 images with two labels and two domains, and z has 4 dimensions and a category of two values.
    Use the result only for what does not depend on the data: a critic's inputs, and its attributes `adversarial` and
    `packable`.

    Example:
        >>> from interalia.games import AAE, AVB
        >>> example_needs(AAE)["critic"].names, example_needs(AVB)["critic"].adversarial
        ('(z)', False)
    """
    x = Space("x", (1, 16, 16), "unit")
    setup = Setup(x, Codes(4, (2,), 0), other=x, classes=2, encoder=(Deterministic, {}))
    return kind.needs(setup, **all_settings(kind, {}))


def packable(kind: type[Game]) -> bool:
    """True if the games of class `kind` have critics, and all of these can score several samples together (see
    `Run.pack`).
    """
    found = critics(kind)
    return bool(found) and all(critic.packable for critic in found)


def critics(kind: type[Game]) -> list[Critic]:
    """Returns the specifications of the critics of the games of class `kind`; an empty list for games without
    critics.
    """
    return [need for need in example_needs(kind).values() if isinstance(need, Critic)]


def critic_of_x(trained: Game, kind: type[Game]) -> dict[str, nn.Module]:
    """Returns the critic of a trained game for a game that takes a pretrained one, as {"critic": the critic}.

    The dictionary is empty if games of the class `kind` take none, or if the trained game has no critic of x alone, or one
    that scores several samples together.

    Arguments:
        trained: the trained game.
        kind: the class of the game that is to be built.
    """
    wanted, own = example_needs(kind).get("critic"), example_needs(type(trained)).get("critic")
    if not isinstance(wanted, Pretrained) or not isinstance(own, Critic) or own.names != "(x)" or trained.pack > 1:
        return {}
    return {"critic": trained.get_submodule("critic")}
