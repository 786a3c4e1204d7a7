"""A family of networks: one method a role, and what it has no method for is refused by its name."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from torch import nn

from interalia.errors import UserError
from interalia.networks.needs import Critic, Map
from interalia.spaces import Space

# what a map or a critic may demand, which a family has to declare in `able`: in words, for those that have it not
DEMANDS = {
    "labels": "place for labels",
    "noise": "place for an implicit encoder's noise",
    "classes": "critic that returns a logit for each label",
    "answers": "critic that answers for codes",
    "terms": "critic that scores x, z and the pair apart",
    "two": "critic of two images",
}


class Family:
    """Networks of one kind for any game: a subclass has a method for each role that it has networks for.

    A method takes the need, of which it reads the spaces, and returns a network of them.

    Attributes:
        name: as a run calls it.
        able: which of `DEMANDS` its methods meet.
        std: the standard deviation of the initial weights; None keeps those that the methods return.
    """

    name: ClassVar[str] = ""
    able: ClassVar[tuple[str, ...]] = ()
    std: ClassVar[float | None] = None

    def refuse(self, what: str) -> NoReturn:
        raise UserError(
            f"the networks {self.name or type(self).__name__!r} have no {what}; choose other `networks`, such as auto."
        )

    def fits(self, x: Space) -> None:
        """Raises a UserError unless there are networks for such data."""

    def make(self, need: Map | Critic) -> nn.Module:
        """The network of a need.

        Raises:
            UserError: this family has none.
        """
        for demand in need.demands:
            if demand not in self.able:
                self.refuse(DEMANDS[demand])
        if need.x is not None:
            self.fits(need.x)
        made: nn.Module = getattr(self, need.role)(need)
        return made

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

    def glimpses(self, net: Map) -> nn.Module:
        """What a recurrent encoder reads of x, step by step."""
        self.refuse("decoder that paints step by step, which a recurrent encoder follows")
