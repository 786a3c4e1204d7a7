"""The slots of a network, by which lists of its parameters are known to be out of date."""

from __future__ import annotations

from torch import nn


class Slots:
    """The slots of a network: the attributes of its modules that hold parameters and modules, with their present values.

    To compare them takes less time than to walk through the network.

    Arguments:
        network: the network.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2))
        >>> slots = Slots(network)
        >>> network[0].weight = nn.Parameter(network[0].weight.detach())
        >>> slots.are_current()
        False
    """

    def __init__(self, network: nn.Module) -> None:
        self.holders = [held for module in network.modules() for held in (module._parameters, module._modules)]
        self.held = [(held, name, value) for held in self.holders for name, value in held.items()]

    def are_current(self) -> bool:
        """True if no parameter and no module was replaced, added or removed since."""
        if sum(map(len, self.holders)) != len(self.held):
            return False
        return all(held.get(name) is value for held, name, value in self.held)  # type: ignore[attr-defined]
