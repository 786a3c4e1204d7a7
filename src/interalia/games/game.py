"""A game: named players, the joints that they sample, and what each of them is charged.

What most games are written with is imported from here.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from interalia.adversarial.disturbances import Disturbance as Disturbance
from interalia.adversarial.divergences import Divergence as Divergence
from interalia.adversarial.divergences import auc
from interalia.adversarial.joints import Joints as Joints
from interalia.adversarial.penalties import Penalty as Penalty
from interalia.conditionals import Conditional
from interalia.contexts import to_float32
from interalia.errors import UserError
from interalia.games.feeds import Data as Data
from interalia.games.needs import Needs as Needs
from interalia.games.needs import Setup as Setup
from interalia.networks.layers import FieldModule, PackedCritic
from interalia.networks.layers import module_dataclass as module_dataclass
from interalia.spaces import DataSpec


@dataclass(frozen=True)
class Outcome:
    """What one look at a batch came to.

    Attributes:
        losses: one scalar for each player, which that player minimises.
        scores: the critic's scores on each joint, shape (n,), by the joint's name.
    """

    losses: Mapping[str, Tensor]
    scores: Mapping[str, Tensor] = field(default_factory=dict)

    def plus(self, weight: float, scores: Mapping[str, Tensor] = {}, **losses: Tensor) -> Outcome:
        """The same with `weight` times these losses, by their players, added to those that there are, and more scores."""
        added = {player: weight * loss for player, loss in losses.items()}
        both = {player: self.losses[player] + loss if player in self.losses else loss for player, loss in added.items()}
        return Outcome({**self.losses, **both}, {**self.scores, **scores})


class Game(FieldModule, abc.ABC):
    """A vector field on the parameters of its players: it samples joints and charges losses.

    It knows no optimiser, device, precision or step counter.
    """

    players: ClassVar[Mapping[str, Sequence[str]]]  # player -> names of the networks that it moves
    feeds: ClassVar[type[Data]] = Data  # what its batches are
    data: DataSpec = DataSpec()  # what it was built for
    penalty: Penalty | None = None
    noise: Disturbance | None = None
    together: bool = True  # whether the critic sees the joints in one pass

    name = ""  # as a run calls it; of a game of the library

    # for the report, see `facts`
    title = ""  # in words; a game without one goes by its name
    teaches = ""  # what it does, for people who meet it for the first time; {latent} stands for z
    judged = ""  # what its critic's scores are on, where that does not follow from its needs
    reading = ""  # how its losses and scores are read, where they are not as those of an adversarial game

    @classmethod
    def titled(cls, encoder: type[Conditional] | None) -> str:
        """Its title, with an encoder of this kind, or none."""
        return cls.title

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """The networks that a game of these settings is made from, by the names of its arguments, in the order in which they
        are made; none for a game that is made in Python and by no run.

        Arguments:
            s: the variables, and the parts that were chosen.
            settings: all of the game's own.
        """
        return {}

    @abc.abstractmethod
    def sample(self, *batch: Tensor) -> Joints:
        """Draws every joint, differentiably: a joint's name -> one batch of samples from it."""

    @abc.abstractmethod
    def losses(self, joints: Joints) -> Outcome:
        """Judges the joints and charges each player."""

    def forward(self, *batch: Tensor) -> Outcome:
        return self.losses(self.sample(*batch))

    def at(self, step: int, steps: int) -> None:
        """Tells the parts whose strength depends on it where in training the game is."""
        for strength in (self.penalty, self.noise):
            if strength is not None:
                strength.at(step, steps)

    @property
    def fixed(self) -> list[str]:
        """The networks that no player moves: they were trained before."""
        moved = {name for names in self.players.values() for name in names}
        return [name for name, child in self.named_children() if name not in moved and child.state_dict()]

    def fix(self) -> None:
        """Freezes the networks that nobody moves."""
        for name in self.fixed:
            self.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Sets the mode; what is fixed stays in evaluation mode, so that no statistics of it change either."""
        super().train(mode)
        for name in self.fixed:
            self.get_submodule(name).eval()
        return self

    def moved(self, player: str) -> None:
        """Hears that `player` has moved; a constraint on the critics' weights themselves is imposed here."""
        if self.penalty is not None:
            for name in self.players[player]:
                if player == "critic" or name == "critic":
                    self.penalty.moved(self.get_submodule(name))

    @property
    def pack(self) -> int:
        """How many samples its critic is shown at a time."""
        return next((network.size for network in self.children() if isinstance(network, PackedCritic)), 1)

    def pairs(self, outcome: Outcome) -> list[tuple[Tensor, Tensor]]:
        """For each critic its scores on what it is to put higher, such as the data, and on what it is to put lower.

        What is put lower holds all the fakes that the critic is charged for, kind after kind, so that a critic of two kinds
        that tells one of them alone comes to an `auc` of 3/4, and only one that tells both to 1. By default each
        critic has two joints, one after the other in the outcome's scores; a game with more fakes says so here.
        """
        scores = list(outcome.scores.values())
        return list(zip(scores[::2], scores[1::2], strict=False))

    def surest(self, outcome: Outcome) -> tuple[Tensor, Tensor] | None:
        """The scores of the critic that tells best, of those in `pairs`; None where there are none."""
        found = self.pairs(outcome)
        return max(found, key=lambda pair: auc(*pair)) if len(found) > 1 else next(iter(found), None)

    def on_outcome(self, outcome: Outcome) -> None:
        """Hears what a look of a training came to; an augmentation that adapts itself does so here, once a look, to the
        surest critic, since all critics see the one augmentation."""
        if self.noise is not None and (pair := self.surest(outcome)) is not None:
            self.noise.observe(*pair, len(pair[0]) * self.pack)

    def memory(self) -> dict[str, Tensor]:
        """What the game carries from step to step beside its weights, such as a pool of past samples: for checkpoints."""
        return {} if self.noise is None else self.noise.memory()

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Takes over what `memory` gave."""
        if self.noise is not None:
            self.noise.remember(memory)

    def score(self, critic: Callable[..., Tensor], *joints: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The critic's scores on each joint, from ONE pass over the concatenated joints, or from one pass each.

        One pass, so that a batch norm in the critic sees the joints mixed, as the original ALI's does. In a pass of its own
        each joint is normalised by itself, as in DCGAN's and InfoGAN's programs: what tells one batch from the other as a
        whole is taken away, and the critic has a harder task. Noise and augmentations, where there are any, come in here: for
        all that a critic scores, and for nothing else; a penalty on its gradient is at samples as they are. A critic that is
        shown several samples at a time has fewer scores.
        """
        disturbed = self.noise if self.training else None
        if disturbed is not None:
            joints = tuple(disturbed(joint) for joint in joints)
        if not self.together:
            return tuple(to_float32(critic(*joint)) for joint in joints)
        scores = to_float32(critic(*(torch.cat(parts) for parts in zip(*joints, strict=True))))
        sizes = [len(joint[0]) for joint in joints]
        return scores.split([size * len(scores) // sum(sizes) for size in sizes])

    def charge(self, p: Sequence[Tensor], q: Sequence[Tensor], critic: str = "critic") -> Tensor | float:
        """The penalty on the critic of that name, or nothing."""
        return 0.0 if self.penalty is None else self.penalty(self.get_submodule(critic), p, q)

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """The parameters that `player` moves.

        Raises:
            UserError: this game has no such player.
        """
        self.check_player(player)
        return [p for name in self.players[player] for p in getattr(self, name).parameters()]

    @contextlib.contextmanager
    def only(self, player: str) -> Iterator[None]:
        """Freezes everybody but `player`, so that no graph is built for the others."""
        others = [p for other in self.players if other != player for p in self.parameters_of(other)]
        frozen = [p for p in others if p.requires_grad]
        for p in frozen:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in frozen:
                p.requires_grad_(True)

    @classmethod
    def check_player(cls, player: str, argument: str = "player") -> None:
        """Raises a UserError unless the game has this player."""
        if player not in cls.players:
            names = " and ".join(repr(name) for name in cls.players)
            raise UserError(
                f"`{argument}` names {player!r}, which is not a player of {cls.__name__}; its players are {names}."
            )


class TwoPlayers(Game):
    """One critic against the first of the `players`, by the divergence of the scores on two joints, p and q:

    critic:           divergence.critic_loss(s(p), s(q)) + penalty
    the other player: divergence.generator_loss(s(p), s(q))
    """

    divergence: Divergence
    compares: ClassVar[tuple[str, str]] = ("q", "p")  # the names of the joints, in the order of the divergence

    def losses(self, joints: Joints) -> Outcome:
        return self.contest(joints, *self.compares)

    def contest(self, joints: Joints, first: str, second: str, critic: str = "critic") -> Outcome:
        """What the critic of that name costs both players by its scores on two joints."""
        scores = self.score(self.get_submodule(critic), joints[first], joints[second])
        return self.charged(joints, dict(zip((first, second), scores, strict=True)), critic)

    def charged(self, joints: Joints, scores: Mapping[str, Tensor], critic: str = "critic") -> Outcome:
        """What scores of a critic on two joints, by the joints' names, cost both players."""
        first, second = (joints[name] for name in scores)
        of_critic = self.divergence.critic_loss(*scores.values()) + self.charge(first, second, critic)
        of_other = self.divergence.generator_loss(*scores.values())
        return Outcome({"critic": of_critic, next(iter(self.players)): of_other}, scores)
