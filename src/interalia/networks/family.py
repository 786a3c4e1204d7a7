"""The base class of families of networks, with one method for each kind of network that a game may need."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from torch import nn

from interalia import registry
from interalia.errors import UserError, check_range
from interalia.networks import weights
from interalia.networks.layers import Backbone, ChannelConcatCritic, HalfTanh, PairCritic, PartialSoftmax, Sigmoid
from interalia.networks.mlp import MLP
from interalia.networks.specs import Critic, Map
from interalia.spaces import Space

LATENT_WIDTH = 256  # width of the hidden layers of networks between latents
# features of a map or a critic that a family declares in `supports`, and the words for a family without them
FEATURES = {
    "labels": "input for labels",
    "noise": "input for the noise of an implicit encoder",
    "classes": "critic that returns a logit for each label",
    "code_outputs": "critic with outputs for codes",
    "terms": "critic with separate scores of x, z and the pair",
    "two": "critic of two images",
}


def output_activation(space: Space) -> list[nn.Module]:
    """Returns the output activation for values of a space, as a list of layers, which is empty if there is none.

    It is a sigmoid for values in [0, 1], tanh(a / 2) for values in [-1, 1], and none for real numbers. A softmax over
    the category follows if the space ends in one.

    Example:
        >>> output_activation(Space("z", (3,), "ball"))
        [HalfTanh()]
    """
    layers: list[nn.Module] = []
    if space.support != "real":
        layers.append(Sigmoid() if space.support == "unit" else HalfTanh())
    if space.category:
        layers.append(PartialSoftmax(space.category))
    return layers


def output_layer(inputs: int, space: Space) -> nn.Sequential:
    """Returns a linear layer from `inputs` units to the size of a space, followed by the space's output activation."""
    return nn.Sequential(nn.Linear(inputs, space.size), *output_activation(space))


class Family:
    """A family of networks for any game: a subclass has a method for each kind of network that it can build.

    A method takes the specification of a network, a `Map` or a `Critic`, and returns the network. Its name is the
    `role` of the specification.

    Attributes:
        name: the name in the registry.
        supports: the names in `FEATURES` that its networks support.
        critic_inputs: the inputs of its only critic of x, such as "(x, z)"; empty if its critic takes any.
        std: the standard deviation of the initial weights; None keeps the weights as the methods return them.

    Raises:
        ValueError: in a subclass that is a dataclass, an integer field is under 1, or a field of another number under 0.
    """

    name: ClassVar[str] = ""
    supports: ClassVar[tuple[str, ...]] = ()
    critic_inputs: ClassVar[str] = ""
    std: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        for name, kind in registry.settings_of(type(self)).items():
            value, least = vars(self).get(name), 0 if kind is float else 1
            if isinstance(value, int | float) and not isinstance(value, bool):
                check_range(value >= least, f"it must be {least} or more", **{name: value})

    def refuse(self, what: str, instead: str = "auto") -> NoReturn:
        """Raises the UserError of a family that cannot build a network.

        Arguments:
            what: the network, such as "encoder".
            instead: the name of a family that can build it.
        """
        name = self.name or type(self).__name__
        raise UserError(f"the networks {name!r} have no {what}; choose other `networks`, such as {instead}.")

    def refuse_shape(self, what: str, x: Space, do: str = "choose") -> NoReturn:
        """Raises the UserError of a family that is made for data of another shape.

        Arguments:
            what: the data that the family is made for, such as "images".
            x: the space of the data.
            do: the advice up to "other `networks`, such as auto", such as "choose".
        """
        raise UserError(
            f"the networks {self.name!r} are made for {what}, and the data's shape is {x.shape}; {do} other `networks`, such "
            f"as auto, which fit any shape."
        )

    def check_shape(self, x: Space) -> None:
        """Raises a UserError if the family has no networks for data of this shape; the base class accepts all shapes."""

    def make(self, spec: Map | Critic) -> nn.Module:
        """Returns the network of a specification, built by the method that `spec.role` names.

        Raises:
            UserError: the family has no such network.
        """
        for feature in spec.required_features:
            if feature not in self.supports:
                self.refuse(FEATURES[feature])
        if isinstance(spec, Critic) and spec.role == "critic" and self.critic_inputs not in ("", spec.names):
            self.refuse(f"critic of {spec.names}")
        if spec.x is not None:
            self.check_shape(spec.x)
        return getattr(self, spec.role)(spec)

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the network from x and further inputs to a latent variable or the parameters of its distribution."""
        self.refuse("encoder")

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the network from latents and further inputs to x."""
        self.refuse("decoder")

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of x and further inputs."""
        self.refuse(f"critic of {spec.names}")

    def translator(self, spec: Map) -> nn.Module:
        """Builds the network from x of one domain to x of another."""
        self.refuse("translator between two domains")

    def patch_critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of x in one of two domains, which may return a score for each patch of x."""
        self.refuse("critic of a domain")

    def image_reader(self, spec: Map) -> nn.Module:
        """Builds the network of a recurrent encoder, whose output the encoder reads step by step."""
        self.refuse("recurrent decoder, whose state a recurrent encoder reads", "draw")

    def latent_map(self, spec: Map) -> nn.Module:
        """Builds the network from latents to latents, a fully connected one in all families."""
        mlp = MLP(spec.size, spec.output.size, LATENT_WIDTH, 2, norm=True)
        if spec.output.name != "z":
            return mlp
        return Backbone(mlp.body, nn.Sequential(mlp.head, *output_activation(spec.output)))

    def latent_critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of latents without x, a fully connected one in all families."""
        mlp = MLP(spec.inputs[0].size + spec.extra_size, 1, LATENT_WIDTH, 2)
        return ChannelConcatCritic(mlp) if spec.compares_pair else PairCritic(mlp)

    def init_weights(self, spec: Map | Critic, network: nn.Module) -> None:
        """Initializes the weights of a network in place, after all networks of the game are built.

        Weights are drawn from N(0, std^2), and biases are 0; without `std` the weights stay as they are.
        """
        if self.std is not None:
            weights.init_normal(network, self.std)

    def output_bias(self, decoder: nn.Module) -> nn.Parameter | None:
        """Returns the bias before the decoder's final sigmoid, to be set from the mean image, or None if there is none."""
        if not isinstance(decoder, Backbone) or not isinstance(decoder.head, nn.Sequential):
            return None
        *_, last, end = (None, *decoder.head)
        return last.bias if isinstance(end, Sigmoid) else None  # type: ignore[union-attr, return-value]
