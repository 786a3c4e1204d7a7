"""Dynamics: how the players of any game move.

A dynamics draws as many batches as it needs, lets each player's loss reach its own player's gradients and nobody
else's, and steps that player's optimiser.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from interalia.errors import UserError
from interalia.games.game import Game, Outcome

Batches = Iterator[tuple[Tensor, ...]]


class Dynamics(abc.ABC):
    """The flow along a game's vector field.

    Arguments:
        game: the game.
        optimisers: one for each player, over that player's parameters.
        precision: makes the context in which the game is evaluated, such as an autocast.
    """

    def __init__(
        self,
        game: Game,
        optimisers: Mapping[str, Optimizer],
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.game = game
        self.optimisers = optimisers
        self.precision = precision
        self.memory: list[Tensor] = []  # what the next step has to know of the last one; empty before the first

    @abc.abstractmethod
    def step(self, batches: Batches) -> Outcome:
        """One step of training; the outcome is the last look that each player took."""

    def look(self, batches: Batches, *players: str) -> Outcome:
        """Evaluates the game on one batch; each player's loss reaches its own parameters' .grad and nobody else's."""
        with self.precision():
            outcome = self.game(*next(batches))
        for player in players:
            outcome.losses[player].backward(
                inputs=[p for p in self.game.parameters_of(player) if p.requires_grad],
                retain_graph=player != players[-1],  # the players share one graph
            )
        return outcome

    def move(self, *players: str) -> None:
        """Steps and clears those players' optimisers."""
        for player in players:
            self.optimisers[player].step()
            self.optimisers[player].zero_grad(set_to_none=True)
            self.game.moved(player)

    def parameters(self) -> list[nn.Parameter]:
        """All that moves, player by player."""
        return [p for player in self.game.players for p in self.game.parameters_of(player) if p.requires_grad]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to keep beside the weights and the optimisers' own state."""
        return {"memory": self.memory}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`."""
        like = self.parameters()
        self.memory = [
            kept.to(p.device, p.dtype) for kept, p in zip(state["memory"], like, strict=bool(state["memory"]))
        ]


class Simultaneous(Dynamics):
    """All players look at the same batch from the same point, and then move: Algorithm 1 of ALI.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
    """

    def step(self, batches: Batches) -> Outcome:
        outcome = self.look(batches, *self.game.players)
        self.move(*self.game.players)
        return outcome


class Alternating(Dynamics):
    """The players move in turn, each on fresh batches and against the others' newest parameters.

    Arguments:
        turns: how often each player moves in one step, in the order in which they are named; by default the critic
            once, then every other player once.

    Raises:
        UserError: `turns` names somebody who does not play, or forgets a player, or is not a positive number.

    References:
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661
    """

    def __init__(
        self,
        game: Game,
        optimisers: Mapping[str, Optimizer],
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
        turns: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(game, optimisers, precision)
        critic_first = sorted(game.players, key=lambda player: player != "critic")
        self.turns = dict.fromkeys(critic_first, 1) if turns is None else dict(turns)
        for player, count in self.turns.items():
            game.check_player(player, "turns")
            if not isinstance(count, int) or count < 1:
                raise UserError(
                    f"`turns` gives {player!r} {count!r} moves a step, and it must be a whole number from 1."
                )
        for player in game.players:
            if player not in self.turns:
                raise UserError(f"`turns` leaves out {player!r}, who would never move; give it a number of turns.")

    def step(self, batches: Batches) -> Outcome:
        losses: dict[str, Tensor] = {}
        scores: dict[str, Tensor] = {}
        for player, count in self.turns.items():
            for _ in range(count):
                with self.game.only(player):
                    outcome = self.look(batches, player)
                self.move(player)
            losses[player] = outcome.losses[player].detach()
            scores.update(outcome.scores)
        return Outcome(losses, scores)


class Extragradient(Dynamics):
    """All players look one step ahead, and move from where they stand by what they see there:

        w' = w - eta F(w; xi),    w <- w - eta F(w'; xi')

    with F every player's gradient and eta F whatever the optimiser makes of it. With Adam its moments advance at both half
    steps, which is ExtraAdam. It costs two looks a step, and contracts where simultaneous moves spiral outwards.

    Arguments:
        fresh: whether xi' is another batch than xi; the batch is used twice otherwise.

    References:
        The extragradient method for finding saddle points and other problems, G. M. Korpelevich, 1976, Matecon 12
        A Variational Inequality Perspective on Generative Adversarial Networks, Gauthier Gidel and others, 2019,
        https://arxiv.org/abs/1802.10551 (algorithms 1, 4 and 5)
    """

    def __init__(
        self,
        game: Game,
        optimisers: Mapping[str, Optimizer],
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
        fresh: bool = True,
    ) -> None:
        super().__init__(game, optimisers, precision)
        self.fresh = fresh

    def step(self, batches: Batches) -> Outcome:
        players, here = self.game.players, places(self.parameters())
        batch = next(batches)
        self.look(iter([batch]), *players)
        self.move(*players)
        outcome = self.look(batches if self.fresh else iter([batch]), *players)
        put(self.parameters(), here)
        self.move(*players)
        return outcome


class Past(Dynamics):
    """Extrapolation from the past: the step ahead is by the gradient that the last step saw, so that each costs one look.

        w'_t = w_t - eta F(w'_{t-1}),    w_{t+1} = w_t - eta F(w'_t)

    The first step looks from where it stands.

    References:
        A modification of the Arrow-Hurwicz method for search of saddle points, L. D. Popov, 1980,
        https://doi.org/10.1007/BF01141092
        A Variational Inequality Perspective on Generative Adversarial Networks, Gauthier Gidel and others, 2019,
        https://arxiv.org/abs/1802.10551 (section 3.2)
    """

    def step(self, batches: Batches) -> Outcome:
        players, moving = self.game.players, self.parameters()
        here = places(moving)
        for parameter, gradient in zip(moving, self.memory, strict=bool(self.memory)):
            parameter.grad = gradient
        if self.memory:
            self.move(*players)
        outcome = self.look(batches, *players)
        self.memory = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in moving]
        put(moving, here)
        self.move(*players)
        return outcome


class Optimistic(Dynamics):
    """Simultaneous moves that expect the last one again, and so go twice as far and take the last one back:

        w_{t+1} = w_t - 2 u_t + u_{t-1}

    with u_t what the optimiser makes of F(w_t): eta F(w_t) for gradient descent; with Adam it is Optimistic Adam. Before
    the first step u is 0.

    References:
        Training GANs with Optimism, Constantinos Daskalakis and others, 2018, https://arxiv.org/abs/1711.00141
    """

    def step(self, batches: Batches) -> Outcome:
        players, moving = self.game.players, self.parameters()
        here = places(moving)
        outcome = self.look(batches, *players)
        self.move(*players)
        steps = [was - now.detach() for was, now in zip(here, moving, strict=True)]
        before = self.memory or [torch.zeros_like(u) for u in steps]
        put(moving, [was - 2 * u + last for was, u, last in zip(here, steps, before, strict=True)])
        for player in players:
            self.game.moved(player)  # a critic that is clipped is clipped where it now stands
        self.memory = steps
        return outcome


class Consensus(Dynamics):
    """Simultaneous moves along F + gamma grad (||F||^2 / 2): towards where no player wants to move.

    It differentiates gradients once more, which costs about three times as much as simultaneous moves.

    Arguments:
        gamma: the weight, above 0.

    Raises:
        ValueError: `gamma` is not above 0.

    References:
        The Numerics of GANs, Lars Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1705.10461
    """

    def __init__(
        self,
        game: Game,
        optimisers: Mapping[str, Optimizer],
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
        gamma: float = 0.1,
    ) -> None:
        super().__init__(game, optimisers, precision)
        if not gamma > 0:
            raise ValueError(f"`gamma` is {gamma}, and it is above 0; without it the moves are simultaneous")
        self.gamma = gamma

    def step(self, batches: Batches) -> Outcome:
        with self.precision():
            outcome = self.game(*next(batches))
        gradients: list[Tensor] = []
        for player in self.game.players:
            own = [p for p in self.game.parameters_of(player) if p.requires_grad]
            gradients += torch.autograd.grad(
                outcome.losses[player], own, create_graph=True, allow_unused=True, materialize_grads=True
            )
        moving = self.parameters()
        size = sum((g.square().sum() for g in gradients), torch.zeros(())) / 2  # ||F||^2 / 2
        towards = torch.autograd.grad(size, moving, allow_unused=True, materialize_grads=True)
        for parameter, gradient, pull in zip(moving, gradients, towards, strict=True):
            parameter.grad = gradient.detach() + self.gamma * pull
        self.move(*self.game.players)
        return outcome


def places(parameters: list[nn.Parameter]) -> list[Tensor]:
    """Where the parameters stand."""
    return [p.detach().clone() for p in parameters]


@torch.no_grad()
def put(parameters: list[nn.Parameter], values: list[Tensor]) -> None:
    """Puts the parameters there."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


CATALOGUE: dict[str, Callable[..., Dynamics]] = {
    "simultaneous": Simultaneous,
    "alternating": Alternating,
    "extragradient": Extragradient,
    "past": Past,
    "optimistic": Optimistic,
    "consensus": Consensus,
}
