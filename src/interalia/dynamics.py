"""Dynamics: how the players of any game move.

A dynamics draws as many batches as it needs, lets each player's loss reach its own player's gradients and nobody
else's, and steps that player's optimiser.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor
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


CATALOGUE: dict[str, Callable[..., Dynamics]] = {"simultaneous": Simultaneous, "alternating": Alternating}
