"""Specifications of the networks that a game needs: maps from some variables to another, and critics of variables."""

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
    """Returns the space of the variable named "x", i.e. the data, or None if none of `spaces` has this name."""
    return next((space for space in spaces if space.name == "x"), None)


@dataclass(frozen=True)
class NetworkSpec:
    """The specification of one network of a game: its inputs and, in subclasses, its output; a `Family` builds the
    network.

    Arguments:
        inputs: the spaces of the variables that the network reads, in order.
    """

    inputs: tuple[Space, ...]
    noise = 0  # the number of noise dimensions in the input

    @property
    def spec(self) -> Any:
        """The specification that a `Family` reads: this object. A subclass that specifies a conditional
        distribution returns the `Map` of the network inside that conditional.
        """
        return self

    @property
    def size(self) -> int:
        """The number of input dimensions of the network: the sizes of all inputs, plus the noise dimensions."""
        return sum(space.size for space in self.inputs) + self.noise

    @property
    def extra_size(self) -> int:
        """The number of input dimensions besides those of the first input: the sizes of the others, plus the noise
        dimensions.
        """
        return self.size - self.inputs[0].size

    @property
    def has_labels(self) -> bool:
        """True if one of the inputs is named "y", i.e. the network is conditional on a label or attributes."""
        return any(space.name == "y" for space in self.inputs)

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        """Returns the network that `family` builds from this specification.

        Arguments:
            family: the family of networks.
            pack: the number of samples in each pack that a critic scores; ignored, except for critics.

        Raises:
            UserError: the family cannot build the network.
        """
        return family.make(self.spec)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Returns the module that the game uses: `network` itself, or, in a subclass, a conditional that contains
        it.
        """
        return network


@dataclass(frozen=True)
class Map(NetworkSpec):
    """The specification of a network from variables, such as x or z, to another variable or its distribution's
    parameters.

    Arguments:
        inputs: the spaces of the variables, each an argument of the network's `forward`; a label, y, comes last.
        output: the space of the network's output, which has the shape (n, *output.shape).
        noise: the number of noise dimensions; if it is not 0, the network's `forward` has one argument: all inputs,
            flattened, and the noise, concatenated, shape (n, size).
        glimpses: True for the network of the encoder `recurrent`, which reads patches of the network's output.
    """

    output: Space
    noise: int = 0
    glimpses: bool = False

    @property
    def x(self) -> Space | None:
        """The space of x, the data, if the network reads or returns x; otherwise None."""
        return find_x((*self.inputs, self.output))

    @property
    def role(self) -> str:
        """The name of the method of `Family` that builds the network.

        It is "encoder" for a network from x, "decoder" for one to x, "translator" for one from x to x, "latent_map" for one
        without x, and "image_reader" if `glimpses` is True.
        """
        reads, writes = find_x(self.inputs) is not None, self.output.name == "x"
        if self.glimpses:
            return "image_reader"
        if reads:
            return "translator" if writes else "encoder"
        return "decoder" if writes else "latent_map"

    @property
    def required_features(self) -> list[str]:
        """The optional features that a family has to support, by their keys in `FEATURES`: "labels" if y is an input,
        and "noise" if there is noise.
        """
        return ["labels"] * self.has_labels + ["noise"] * (self.noise > 0)


@dataclass(frozen=True)
class Critic(NetworkSpec):
    """The specification of a critic, a network that returns scores of samples of the variables in `inputs`, such as
    pairs (x, z).

    Arguments:
        inputs: the spaces of the variables, each an argument of the network's `forward`; a label, y, comes last.
        classes: the number of logits that the critic computes, whose logsumexp is its score; 0 for a score without
            logits.
        code_outputs: the number of outputs, besides the score, that predict the codes in z; 0 for none.
        terms: True if it returns separate scores of x, z and the pair, shape (n, 3), instead of one score, shape (n,).
        patches: True if it may return scores of patches, shape (n, height, width), instead of one score for each image.
        adversarial: False if its score is used as an estimate of a log density ratio, and no other player tries to fool
            it.
        packable: True if the game may replace it by a critic of packs of several samples.
        projection: True to add the inner product <y, V h> to the score, where h is the last hidden layer and V a linear
            map that is trained with the critic, see `PairCritic`.
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
        """The space of x, the data, if x is among the inputs; otherwise None."""
        return find_x(self.inputs)

    @property
    def role(self) -> str:
        """The name of the method of `Family` that builds the network.

        It is "latent_critic" without x among the inputs, "patch_critic" if `patches` is True, and "critic" otherwise.
        """
        return "latent_critic" if self.x is None else "patch_critic" if self.patches else "critic"

    @property
    def names(self) -> str:
        """The names of the inputs, in order, as a text such as "(x, z)"."""
        return f"({', '.join(space.name for space in self.inputs)})"

    @property
    def compares_pair(self) -> bool:
        """True if the first two inputs are the same space, so that the critic scores pairs of values of one variable,
        such as x and its reconstruction.
        """
        return len(self.inputs) > 1 and self.inputs[0] == self.inputs[1]

    @property
    def required_features(self) -> list[str]:
        """The optional features that a family has to support, by their keys in `FEATURES`: "labels" if y is an input,
        "two" if it scores pairs of x, and "classes", "code_outputs", "terms" and "projection" if the field of this name
        is neither 0 nor False.
        """
        counts = {"labels": self.has_labels, "classes": self.classes, "code_outputs": self.code_outputs}
        two = self.compares_pair and self.x is not None
        return [
            name
            for name, count in {**counts, "terms": self.terms, "two": two, "projection": self.projection}.items()
            if count
        ]

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        """Returns the critic that `family` builds from this specification, wrapped in a `PackedCritic` if `pack` is
        above 1.

        Arguments:
            family: the family of networks.
            pack: the number of samples in each pack that the critic scores; 1 to score each sample.

        Raises:
            UserError: the family cannot build the network.
        """
        if pack == 1:
            return family.make(self)
        packed = dataclasses.replace(self, inputs=tuple(space.times(pack) for space in self.inputs))
        try:
            return PackedCritic(family.make(packed), pack)
        except UserError as error:
            raise UserError(f"the networks have no critic of packs of {pack} samples: {error}") from None
