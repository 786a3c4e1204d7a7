"""What a game may need of a family of networks: maps between variables, and critics of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from interalia.errors import UserError
from interalia.networks.layers import PackedCritic
from interalia.spaces import Space

if TYPE_CHECKING:
    from interalia.networks.family import Family


def find_x(spaces: Iterable[Space]) -> Space | None:
    """The space of x, where x is among the variables."""
    return next((space for space in spaces if space.name == "x"), None)


class NetworkNeed:
    """A need of one network, which a family makes."""

    @property
    def net(self) -> Any:
        """The `Map` or `Critic` that it is made from."""
        return self

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        """The network; a critic judges `pack` samples at a time."""
        return family.make(self.net)

    def wrap(self, network: nn.Module) -> nn.Module:
        """What the game is given: the network itself, or the conditional of it."""
        return network


@dataclass(frozen=True)
class Map(NetworkNeed):
    """A network from some variables to numbers in a space: what a conditional is made from.

    Arguments:
        inputs: the variables that it reads, each an argument of its `forward`; y comes last.
        output: the space that it returns values of, shape (n, *output.shape).
        noise: how many numbers of noise it reads beside them; then all its inputs come joined in one vector, shape
            (n, size), the noise last.
        glimpses: whether it is what a recurrent encoder reads of x, step by step.
    """

    inputs: tuple[Space, ...]
    output: Space
    noise: int = 0
    glimpses: bool = False

    @property
    def x(self) -> Space | None:
        """The space of x, where the map touches it."""
        return find_x((*self.inputs, self.output))

    @property
    def role(self) -> str:
        """The method of a family that makes it."""
        reads, writes = find_x(self.inputs) is not None, self.output.name == "x"
        if self.glimpses:
            return "image_reader"
        return {(True, True): "translator", (True, False): "encoder", (False, True): "decoder"}.get(
            (reads, writes), "latent_map"
        )

    @property
    def size(self) -> int:
        """How many numbers it reads, noise included."""
        return sum(space.size for space in self.inputs) + self.noise

    @property
    def extra_size(self) -> int:
        """How many numbers it reads beside its first input."""
        return self.size - self.inputs[0].size

    @property
    def required_features(self) -> list[str]:
        """What not every family has a place for: see `Family.supports`."""
        labels = any(space.name == "y" for space in self.inputs)
        return ["labels"] * labels + ["noise"] * (self.noise > 0)


@dataclass(frozen=True)
class Critic(NetworkNeed):
    """A network that scores variables together, and what its game makes of the scores.

    Arguments:
        inputs: the variables, each an argument of its `forward`; y comes last.
        classes: how many logits it returns, of which its score is the log of the summed exponentials; 0 for a plain score.
        answers: how many numbers it returns beside its score, about the codes in z; 0 for none.
        terms: whether its scores of x, of z and of the pair are returned apart, shape (n, 3), and not as a sum.
        patches: whether scores of patches, shape (n, height, width), will do for scores of images.
        adversarial: whether the other players are to deceive it; False where its score is read as a log-ratio.
        packable: whether it may be shown several samples at a time.
    """

    inputs: tuple[Space, ...]
    classes: int = 0
    code_outputs: int = 0
    terms: bool = False
    patches: bool = False
    adversarial: bool = True
    packable: bool = True

    @property
    def x(self) -> Space | None:
        """The space of x, where the critic sees it."""
        return find_x(self.inputs)

    @property
    def role(self) -> str:
        """The method of a family that makes it."""
        return "latent_critic" if self.x is None else "patch_critic" if self.patches else "critic"

    @property
    def extra_size(self) -> int:
        """How many numbers it sees beside its first variable."""
        return sum(space.size for space in self.inputs[1:])

    @property
    def names(self) -> str:
        """What it scores, in the papers' letters: (x, z)."""
        return f"({', '.join(space.name for space in self.inputs)})"

    @property
    def compares_pair(self) -> bool:
        """Whether it sees one variable twice."""
        return len(self.inputs) > 1 and self.inputs[0] == self.inputs[1]

    @property
    def required_features(self) -> list[str]:
        """What not every family has a place for: see `Family.supports`."""
        labels = any(space.name == "y" for space in self.inputs)
        wanted = {"labels": labels, "classes": self.classes, "code_outputs": self.code_outputs, "terms": self.terms}
        return [name for name, count in {**wanted, "two": self.compares_pair and self.x is not None}.items() if count]

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        if pack == 1:
            return family.make(self)
        many = dataclasses.replace(self, inputs=tuple(space.times(pack) for space in self.inputs))
        try:
            return PackedCritic(family.make(many), pack)
        except UserError as error:
            raise UserError(f"the networks have no critic of {pack} samples at a time: {error}") from None
