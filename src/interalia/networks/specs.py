"""Specifications of the networks that a game needs: maps from variables to a variable, and critics of variables."""

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
    """Returns the space of the variable named x, or None if there is none."""
    return next((space for space in spaces if space.name == "x"), None)


@dataclass(frozen=True)
class NetworkSpec:
    """The specification of one network, which a family builds.

    Arguments:
        inputs: the variables that the network reads.
    """

    inputs: tuple[Space, ...]
    noise = 0  # the number of noise dimensions in the input

    @property
    def spec(self) -> Any:
        """The `Map` or `Critic` of the network, which is this object unless a subclass wraps one."""
        return self

    @property
    def size(self) -> int:
        """The number of input dimensions, i.e. the sizes of all inputs and the noise together."""
        return sum(space.size for space in self.inputs) + self.noise

    @property
    def extra_size(self) -> int:
        """The number of input dimensions after the first input, with the noise."""
        return self.size - self.inputs[0].size

    @property
    def has_labels(self) -> bool:
        """True if y, a label or attributes, is among the inputs."""
        return any(space.name == "y" for space in self.inputs)

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        """Returns the network that a family builds from this specification.

        Arguments:
            family: the family of networks.
            pack: the number of samples that a critic takes at once; networks other than critics ignore it.

        Raises:
            UserError: the family has no such network.
        """
        return family.make(self.spec)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Returns the component that the game takes: the network itself, unless a subclass makes a conditional of it."""
        return network


@dataclass(frozen=True)
class Map(NetworkSpec):
    """The specification of a network from some variables to values of a space; a conditional has such a network.

    Arguments:
        inputs: the variables, each an argument of the network's `forward`; y, a label, comes last.
        output: the space of the network's values, shape (n, *output.shape).
        noise: the number of noise dimensions; if there are any, the network's only argument is all inputs and the noise,
            concatenated, shape (n, size).
        glimpses: True for the network whose output a recurrent encoder reads step by step.
    """

    output: Space
    noise: int = 0
    glimpses: bool = False

    @property
    def x(self) -> Space | None:
        """The space of x, the data, or None if the map neither reads nor returns x."""
        return find_x((*self.inputs, self.output))

    @property
    def role(self) -> str:
        """The name of the method of `Family` that builds the network, by the variables that it reads and returns.

        It is "encoder" from x, "decoder" to x, "translator" from x to x, "latent_map" without x, and "image_reader" if
        `glimpses` is True.
        """
        reads, writes = find_x(self.inputs) is not None, self.output.name == "x"
        if self.glimpses:
            return "image_reader"
        if reads:
            return "translator" if writes else "encoder"
        return "decoder" if writes else "latent_map"

    @property
    def required_features(self) -> list[str]:
        """The names of the features that a family must support to build the network: "labels", "noise", both or none."""
        return ["labels"] * self.has_labels + ["noise"] * (self.noise > 0)


@dataclass(frozen=True)
class Critic(NetworkSpec):
    """The specification of a critic, a network that scores variables jointly, and how the game uses its scores.

    Arguments:
        inputs: the variables, each an argument of the network's `forward`; y, a label, comes last.
        classes: the number of logits, of which its score is the logsumexp; 0 for a plain score.
        code_outputs: the number of outputs besides the score, for the codes in z; 0 for none.
        terms: True if it returns separate scores of x, z and the pair, shape (n, 3), and not their sum.
        patches: True if it may return scores of patches, shape (n, height, width), instead of one score an image.
        adversarial: False if its score is used as a log-ratio estimate, and the other players do not try to fool it.
        packable: True if it may take packs of several samples.
        projection: True if its score also has the term <y, V h>, see `PairCritic`.
    """

    classes: int = 0
    code_outputs: int = 0
    terms: bool = False
    patches: bool = False
    adversarial: bool = True
    packable: bool = True
    projection: bool = False

    @property
    def x(self) -> Space | None:
        """The space of x, the data, or None if x is not among the inputs."""
        return find_x(self.inputs)

    @property
    def role(self) -> str:
        """The name of the method of `Family` that builds the network: "latent_critic" without x, "patch_critic" if
        `patches` is True, or "critic".
        """
        return "latent_critic" if self.x is None else "patch_critic" if self.patches else "critic"

    @property
    def names(self) -> str:
        """The names of the inputs as a text, such as "(x, z)"."""
        return f"({', '.join(space.name for space in self.inputs)})"

    @property
    def compares_pair(self) -> bool:
        """True if the first two inputs are values of the same variable."""
        return len(self.inputs) > 1 and self.inputs[0] == self.inputs[1]

    @property
    def required_features(self) -> list[str]:
        """The names of the features that a family must support to build the network, such as "labels" and "classes"."""
        counts = {"labels": self.has_labels, "classes": self.classes, "code_outputs": self.code_outputs}
        two = self.compares_pair and self.x is not None
        return [
            name
            for name, count in {**counts, "terms": self.terms, "two": two, "projection": self.projection}.items()
            if count
        ]

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        """Returns the critic that a family builds from this specification, in a `PackedCritic` if `pack` is above 1.

        Arguments:
            family: the family of networks.
            pack: the number of samples that the critic takes at once, concatenated; 1 for single samples.

        Raises:
            UserError: the family has no such network.
        """
        if pack == 1:
            return family.make(self)
        packed = dataclasses.replace(self, inputs=tuple(space.times(pack) for space in self.inputs))
        try:
            return PackedCritic(family.make(packed), pack)
        except UserError as error:
            raise UserError(f"the networks have no critic of packs of {pack} samples: {error}") from None
