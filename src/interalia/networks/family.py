"""The base class of families of networks, with one method for each kind of network that a game may need."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

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
    "projection": "critic with a projection of the label",
}


def output_activation(space: Space) -> list[nn.Module]:
    """Returns the output activation of a network that returns values of `space`, as a list of layers, empty for none.

    It is a sigmoid for values in [0, 1], tanh(a / 2) for values in [-1, 1], and none for real numbers. If the last
    `space.category` components are the probabilities of a category, a softmax over these follows.

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
    """Returns a linear layer from `inputs` units to `space.size` units, followed by the layers of
    `output_activation(space)`.
    """
    return nn.Sequential(nn.Linear(inputs, space.size), *output_activation(space))


class Family:
    """A family of networks: its methods, such as `encoder` and `critic`, each build one kind of network for a game.

    A method takes the specification of a network, a `Map` or a `Critic`, and returns the network. The name of the
    method is the `role` of the specification. A subclass overrides the methods of the networks that it can build; the
    others raise a UserError.

    Attributes:
        name: the name in the registry.
        supports: the optional features of networks that it can build, such as inputs for "labels" or "noise", by their
            keys in `FEATURES`.
        critic_inputs: the only inputs that its critic can take, such as "(x, z)"; empty if it can take any.
        std: the standard deviation of the initial weights; None to keep the weights of the networks as they were built.

    Raises:
        ValueError: an integer hyperparameter, i.e. field of the subclass, is under 1, or another number under 0.
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
        """Raises the UserError for a network that this family cannot build; the message advises another family.

        Arguments:
            what: the network that is missing, such as "encoder".
            instead: the name of a family that has it.
        """
        name = self.name or type(self).__name__
        raise UserError(f"the networks {name!r} have no {what}; choose other `networks`, such as {instead}.")

    def refuse_shape(self, what: str, x: Space, do: str = "choose") -> NoReturn:
        """Raises the UserError for data of a shape that this family cannot take; the message advises another family.

        Arguments:
            what: the data that the family can take, such as "images".
            x: the space of the data.
            do: the text of the message before "other `networks`": "choose", or for example "give `image_size=32`, or choose".
        """
        raise UserError(
            f"the networks {self.name!r} are made for {what}, and the data's shape is {x.shape}; {do} other `networks`, such "
            f"as auto, which fit any shape."
        )

    def check_shape(self, x: Space) -> None:
        """Raises a UserError if the family has no networks for x of this shape; the base class accepts all shapes."""

    def make(self, spec: Map | Critic) -> nn.Module:
        """Returns the network that `spec` specifies, built by the method of this family that `spec.role` names.

        A critic with `spec.projection` also gets its attribute `projection`, a linear map without a bias from the input
        of its last layer to the size of y.

        Raises:
            UserError: the family lacks this network or one of `spec.required_features`, or does not take x of this shape.
        """
        for feature in spec.required_features:
            if feature not in self.supports:
                self.refuse(FEATURES[feature])
        if isinstance(spec, Critic) and spec.role == "critic" and self.critic_inputs not in ("", spec.names):
            self.refuse(f"critic of {spec.names}")
        if spec.x is not None:
            self.check_shape(spec.x)
        network: Any = getattr(self, spec.role)(spec)
        if isinstance(spec, Critic) and spec.projection:
            network.projection = nn.Linear(network.score_layer.weight.shape[1], spec.inputs[-1].size, bias=False)
        return network  # type: ignore[no-any-return]

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the encoder, from x and any labels or noise to latents or the parameters of their distribution
        (`spec.output`); the base class raises a UserError.
        """
        self.refuse("encoder")

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the decoder, from latents and any label to x or the parameters of its distribution (`spec.output`);
        the base class raises a UserError.
        """
        self.refuse("decoder")

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic, from x and any other inputs of `spec`, such as z, to a score for each sample; the base
        class raises a UserError.
        """
        self.refuse(f"critic of {spec.names}")

    def translator(self, spec: Map) -> nn.Module:
        """Builds the translator, from x of one domain to x of another; the base class raises a UserError."""
        self.refuse("translator between two domains")

    def patch_critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of x in one of two domains, which returns a score for each x, shape (n,), or for each patch
        of it, shape (n, height, width); the base class raises a UserError.
        """
        self.refuse("critic of a domain")

    def image_reader(self, spec: Map) -> nn.Module:
        """Builds the network of the encoder `recurrent`, which returns the image x that this encoder then reads patch
        by patch; the base class raises a UserError.
        """
        self.refuse("recurrent decoder, whose state a recurrent encoder reads", "draw")

    def latent_map(self, spec: Map) -> nn.Module:
        """Builds the network from latents to latents (`spec.output`): in all families, two hidden layers of 256 units with
        batch norm, and a linear output. If the output is named "z", its output activation follows.
        """
        mlp = MLP(spec.size, spec.output.size, LATENT_WIDTH, 2, norm=True)
        if spec.output.name != "z":
            return mlp
        return Backbone(mlp.body, nn.Sequential(mlp.head, *output_activation(spec.output)))

    def latent_critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of latents, without x, from the inputs of `spec`, concatenated, to a score: in all
        families, two hidden layers of 256 units, and a linear output.
        """
        mlp = MLP(spec.inputs[0].size + spec.extra_size, 1, LATENT_WIDTH, 2)
        return ChannelConcatCritic(mlp) if spec.compares_pair else PairCritic(mlp)

    def init_weights(self, spec: Map | Critic, network: nn.Module) -> None:
        """Initializes the weights of `network`, which was built from `spec`, in place; a game calls it after building
        all networks.

        Weights of linear layers and convolutions are drawn from N(0, std^2), with the class attribute `std`, and biases
        are 0. If `std` is None, all stay as they are.
        """
        if self.std is not None:
            weights.init_normal(network, self.std)

    def output_bias(self, decoder: nn.Module) -> nn.Parameter | None:
        """Returns the bias that is added before the decoder's final sigmoid, which the caller sets from the mean image;
        None if the decoder has no final sigmoid, or is no `Backbone`, so that its last layer is unknown.
        """
        if not isinstance(decoder, Backbone) or not isinstance(decoder.head, nn.Sequential):
            return None
        *_, last, end = (None, *decoder.head)
        return last.bias if isinstance(end, Sigmoid) else None  # type: ignore[union-attr, return-value]
