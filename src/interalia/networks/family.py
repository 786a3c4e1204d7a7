"""A family of networks: one method a role, and what it has no method for is refused by its name."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from torch import nn

from interalia.errors import UserError, check_range
from interalia.networks import weights
from interalia.networks.layers import Backbone, ChannelConcatCritic, HalfTanh, PairCritic, PartialSoftmax, Sigmoid
from interalia.networks.mlp import MLP
from interalia.networks.needs import Critic, Map
from interalia.spaces import Space

LATENT_WIDTH = 256  # units of a hidden layer between latents
# what a map or a critic may demand, which a family has to declare in `supports`: in words, for those that have it not
FEATURES = {
    "labels": "place for labels",
    "noise": "place for an implicit encoder's noise",
    "classes": "critic that returns a logit for each label",
    "code_outputs": "critic that answers for codes",
    "terms": "critic that scores x, z and the pair apart",
    "two": "critic of two images",
}


def output_activation(space: Space) -> list[nn.Module]:
    """The last nonlinearity of a network that returns values of a space: a sigmoid onto [0, 1], one scaled to [-1, 1], which
    is tanh(a / 2), a softmax over a category; none for real numbers.

    Example:
        >>> output_activation(Space("z", (3,), "ball"))
        [HalfTanh()]
    """
    found: list[nn.Module] = []
    if space.support != "real":
        found.append(Sigmoid() if space.support == "unit" else HalfTanh())
    if space.category:
        found.append(PartialSoftmax(space.category))
    return found


def output_layer(inputs: int, space: Space) -> nn.Sequential:
    """The last layer of a network that returns values of a space, in one row."""
    return nn.Sequential(nn.Linear(inputs, space.size), *output_activation(space))


class Family:
    """Networks of one kind for any game: a subclass has a method for each role that it has networks for.

    A method takes the need, of which it reads the spaces, and returns a network of them.

    Attributes:
        name: as a run calls it.
        supports: which of `FEATURES` its methods meet.
        critic_inputs: the variables of its one critic of x, such as (x, z); empty where it has one of any.
        std: the standard deviation of the initial weights; None keeps those that the methods return.

    Raises:
        ValueError: a number that counts something, a field of the dataclass that a subclass may be, is under 1.
    """

    name: ClassVar[str] = ""
    supports: ClassVar[tuple[str, ...]] = ()
    critic_inputs: ClassVar[str] = ""
    std: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        for name, count in vars(self).items():
            check_range(type(count) is not int or count >= 1, "it must be 1 or more", **{name: count})

    def refuse(self, what: str, instead: str = "auto") -> NoReturn:
        """Raises the UserError of a family that lacks something."""
        name = self.name or type(self).__name__
        raise UserError(f"the networks {name!r} have no {what}; choose other `networks`, such as {instead}.")

    def refuse_shape(self, what: str, x: Space, do: str = "choose") -> NoReturn:
        """Raises the UserError of a family that is made for other data, `do` being what helps."""
        raise UserError(
            f"the networks {self.name!r} are made for {what}, and the data's shape is {x.shape}; {do} other `networks`, such "
            f"as auto, which fit any shape."
        )

    def check_shape(self, x: Space) -> None:
        """Raises a UserError unless there are networks for such data."""

    def make(self, need: Map | Critic) -> nn.Module:
        """The network of a need.

        Raises:
            UserError: this family has none.
        """
        for demand in need.required_features:
            if demand not in self.supports:
                self.refuse(FEATURES[demand])
        if (
            self.critic_inputs
            and isinstance(need, Critic)
            and need.role == "critic"
            and need.names != self.critic_inputs
        ):
            self.refuse(f"critic of {need.names}")
        if need.x is not None:
            self.check_shape(need.x)
        return getattr(self, need.role)(need)

    def encoder(self, net: Map) -> nn.Module:
        """From x, and what is given beside it, to numbers about a latent variable."""
        self.refuse("encoder")

    def decoder(self, net: Map) -> nn.Module:
        """From latents, and what is given beside them, to x."""
        self.refuse("decoder")

    def critic(self, need: Critic) -> nn.Module:
        """Of x, and of what is seen beside it."""
        self.refuse(f"critic of {need.names}")

    def translator(self, net: Map) -> nn.Module:
        """From x of one domain to x of another."""
        self.refuse("translator between two domains")

    def patch_critic(self, need: Critic) -> nn.Module:
        """Of x in one of two domains; it may score patches of x each for itself."""
        self.refuse("critic of a domain")

    def image_reader(self, net: Map) -> nn.Module:
        """What a recurrent encoder reads of x, step by step."""
        self.refuse("decoder that paints step by step, which a recurrent encoder follows", "draw")

    def latent_map(self, net: Map) -> nn.Module:
        """From latents to latents, the same in all families."""
        made = MLP(net.size, net.output.size, LATENT_WIDTH, 2, norm=True)
        return (
            Backbone(made.body, nn.Sequential(made.head, *output_activation(net.output)))
            if net.output.name == "z"
            else made
        )

    def latent_critic(self, need: Critic) -> nn.Module:
        """Of latents alone, or of two values of one, the same in all families."""
        made = MLP(need.inputs[0].size + need.extra_size, 1, LATENT_WIDTH, 2)
        return ChannelConcatCritic(made) if need.compares_pair else PairCritic(made)

    def init_weights(self, need: Map | Critic, network: nn.Module) -> None:
        """Draws the initial weights, once all networks of a game are made."""
        if self.std is not None:
            weights.init_normal(network, self.std)

    def output_bias(self, decoder: nn.Module) -> nn.Parameter | None:
        """The bias under a decoder's sigmoid, which is set from the mean image; None where it starts at 0."""
        if not isinstance(decoder, Backbone) or not isinstance(decoder.head, nn.Sequential):
            return None
        *_, last, end = (None, *decoder.head)
        return last.bias if isinstance(end, Sigmoid) else None  # type: ignore[union-attr, return-value]
