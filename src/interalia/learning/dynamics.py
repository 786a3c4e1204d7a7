"""Dynamics: how the players of any game move.

A dynamics draws as many batches as it needs, lets each player's loss reach its own player's gradients and nobody
else's, and steps that player's optimiser.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from interalia.adversarial.divergences import auc
from interalia.contexts import BatchNorm
from interalia.errors import UserError, check_range
from interalia.games.game import Game, Outcome, part
from interalia.learning.graphs import leaf, mixing, reached
from interalia.registry import Registry

Batches = Iterator[tuple[Tensor, ...]]
Optimizers = Mapping[str, Optimizer]  # one for each player


@dataclass(frozen=True)
class Rules:
    """What holds of every look and every move, whatever the dynamics.

    Attributes:
        grad_accumulation: batches whose gradients are averaged in one look, as though they were one batch of so many times the
            size (but for batch norm, which still sees them one by one, for the penalty dragan, whose standard deviation is
            one batch's, and for consensus, which squares the gradient of each by itself).
        grad_clip: the greatest Euclidean norm of one player's gradient, which is scaled down to it; 0 for none. A penalty that is
            charged at every fourth step, fourfold, makes that step's gradient the longest, which is scaled down the most, so
            that on average it weighs less than one that is charged at every step.
        skip_critic_above: the critic does not move while it puts a sample of the data's joint above a fake, of all kinds that it is
            shown, with more than this probability; 1 for a critic that always moves. Several critics are one player and wait
            together, while the surest of them does so.
        precision: makes the context in which the game is evaluated, such as an autocast.
    """

    grad_accumulation: int = 1
    grad_clip: float = 0.0
    skip_critic_above: float = 1.0
    precision: Callable[[], AbstractContextManager[object]] = nullcontext


@part
class Dynamics(abc.ABC):
    """The flow along a game's vector field.

    Arguments:
        game: the game.
        optimisers: one for each player, over that player's parameters.
        rules: of every look and every move.

    Raises:
        UserError: the rules ask for a balance, and the game has no critic.
    """

    game: Game
    optimisers: Optimizers
    rules: Rules = Rules()

    def __post_init__(self) -> None:
        if self.rules.skip_critic_above < 1 and "critic" not in self.game.players:
            name = type(self.game).__name__
            raise UserError(
                f"`skip_critic_above` holds back a critic that wins, and {name} has none; leave `skip_critic_above` out."
            )
        self.memory: list[Tensor] = []  # what the next step has to know of the last one; empty before the first
        self.critic_auc = 0.0  # how probably the data's joint outscored a fake at the last look, by the surest critic

    @abc.abstractmethod
    def step(self, batches: Batches) -> Outcome:
        """One step of training; the outcome is the last look that each player took."""

    def look(self, batches: Batches, *players: str) -> Outcome:
        """Evaluates the game on one batch, or on as many as are accumulated; each player's loss reaches its own parameters'
        .grad and nobody else's."""
        count = self.rules.grad_accumulation
        outcomes = [self.gradients(next(batches), players, 1 / count) for _ in range(count)]
        outcome = outcomes[0] if count == 1 else together(outcomes)
        self.game.on_outcome(outcome)
        if self.rules.skip_critic_above < 1:
            pair = self.game.highest_auc_pair(outcome)
            self.critic_auc = 0.0 if pair is None else auc(*pair)
        return outcome

    def gradients(self, batch: Sequence[Tensor], players: Sequence[str], share: float) -> Outcome:
        """Evaluates the game on one batch and adds `share` times each player's gradient to its parameters' .grad."""
        with self.rules.precision():
            outcome = self.game(*batch)
        for player in players:
            loss = outcome.losses[player]
            scale, shared = None if share == 1 else torch.full_like(loss, share), player != players[-1]
            loss.backward(scale, inputs=self.moving(player), retain_graph=shared)  # the players share one graph
        return outcome

    def move(self, *players: str) -> None:
        """Steps and clears those players' optimisers."""
        for player in players:
            self.advance(player)
            self.game.after_step(player)

    def advance(self, player: str) -> None:
        """Steps and clears one player's optimiser, and imposes nothing on where it came to."""
        optimiser = self.optimisers[player]
        if not self.skips(player):
            if self.rules.grad_clip:
                clip_grad_norm_(self.moving(player), self.rules.grad_clip)
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def skips(self, player: str) -> bool:
        """Whether the player is a critic that wins, and so does not move."""
        return player == "critic" and self.critic_auc > self.rules.skip_critic_above

    def steps(self) -> list[Tensor]:
        """What everybody's optimiser makes of the gradient where the parameters stand, u; they stay there."""
        here = places(self.parameters())
        for player in self.game.players:
            self.advance(player)
        found = [was - now.detach() for was, now in zip(here, self.parameters(), strict=True)]
        put(self.parameters(), here)
        return found

    def place(self, values: list[Tensor]) -> None:
        """Puts all that moves there."""
        put(self.parameters(), values)
        for player in self.game.players:
            self.game.after_step(player)  # a critic that is clipped is clipped where it now stands

    def batch(self, batches: Batches) -> list[tuple[Tensor, ...]]:
        """All that one look draws, to be looked at more than once."""
        return list(itertools.islice(batches, self.rules.grad_accumulation))

    def moving(self, player: str) -> list[nn.Parameter]:
        """The parameters of one player that move."""
        return [p for p in self.game.parameters_of(player) if p.requires_grad]

    def parameters(self) -> list[nn.Parameter]:
        """All that moves, player by player."""
        return [p for player in self.game.players for p in self.moving(player)]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to keep beside the weights and the optimisers' own state."""
        return {"memory": self.memory, "ahead": self.critic_auc}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`."""
        like = self.parameters()
        memory = zip(state["memory"], like, strict=bool(state["memory"]))
        self.memory = [kept.to(p.device, p.dtype) for kept, p in memory]
        self.critic_auc = float(state.get("ahead", 0.0))  # which older checkpoints do not have


class Simultaneous(Dynamics):
    """All players look at the same batch from the same point, and then move: Algorithm 1 of ALI.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
    """

    def step(self, batches: Batches) -> Outcome:
        outcome = self.look(batches, *self.game.players)
        self.move(*self.game.players)
        return outcome


@part
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

    turns: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        critic_first = sorted(self.game.players, key=lambda player: player != "critic")
        self.order = dict.fromkeys(critic_first, 1) if self.turns is None else self.turns
        for player, count in self.order.items():
            self.game.check_player(player, "turns")
            if not isinstance(count, int) or count < 1:
                raise UserError(f"`turns` gives {player!r} {count!r} moves, and it must be a whole number from 1.")
        for player in self.game.players:
            if player not in self.order:
                raise UserError(f"`turns` leaves out {player!r}, who would never move; give it a number of turns.")

    def step(self, batches: Batches) -> Outcome:
        losses: dict[str, Tensor] = {}
        scores: dict[str, Tensor] = {}
        for player, count in self.order.items():
            for _ in range(count):
                with self.game.only(player):
                    outcome = self.look(batches, player)
                self.move(player)
            losses[player] = outcome.losses[player].detach()
            scores.update(outcome.scores)
        return Outcome(losses, scores)


@part
class Extragradient(Dynamics):
    """All players look one step ahead, and move from where they stand by what they see there.

        w' = w - eta F(w; xi),    w <- w - eta F(w'; xi')

    with F every player's gradient and eta F whatever the optimiser makes of it. With Adam its moments advance at both half
    steps, which is ExtraAdam; weight decay is taken where the gradient is. It costs two looks a step, and contracts where
    simultaneous moves spiral outwards.

    Arguments:
        fresh: whether xi' is another batch of data than xi, which is used twice otherwise; z is drawn anew either way.

    References:
        The extragradient method for finding saddle points and other problems, G. M. Korpelevich, 1976, Matecon 12
        A Variational Inequality Perspective on Generative Adversarial Networks, Gauthier Gidel and others, 2019,
        https://arxiv.org/abs/1802.10551 (algorithms 1, 4 and 5)
    """

    fresh: bool = True

    def step(self, batches: Batches) -> Outcome:
        players, here = self.game.players, places(self.parameters())
        batch = self.batch(batches)
        self.look(iter(batch), *players)
        self.move(*players)
        outcome = self.look(batches if self.fresh else iter(batch), *players)
        self.place([w - u for w, u in zip(here, self.steps(), strict=True)])
        return outcome


class Past(Dynamics):
    """Extrapolation from the past: the step ahead is by the gradient that the last step saw, so that each costs one look.

        w'_t = w_t - eta F(w'_{t-1}),    w_{t+1} = w_t - eta F(w'_t)

    The first step looks from where it stands. Weight decay, in the step ahead, is taken at w_t.

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
        self.place([w - u for w, u in zip(here, self.steps(), strict=True)])
        return outcome


class Optimistic(Dynamics):
    """Simultaneous moves that expect the last one again, and so go twice as far and take the last one back.

        w_{t+1} = w_t - 2 u_t + u_{t-1}

    with u_t what the optimiser makes of F(w_t): eta F(w_t) for gradient descent; with Adam it is Optimistic Adam. Before
    the first step u is 0.

    References:
        Training GANs with Optimism, Constantinos Daskalakis and others, 2018, https://arxiv.org/abs/1711.00141
    """

    def step(self, batches: Batches) -> Outcome:
        here = places(self.parameters())
        outcome = self.look(batches, *self.game.players)
        steps = self.steps()
        before = self.memory or [torch.zeros_like(u) for u in steps]
        waits = {p for player in self.game.players if self.skips(player) for p in self.moving(player)}
        moved = [w - 2 * u + last for w, u, last in zip(here, steps, before, strict=True)]
        self.place([w if p in waits else to for p, w, to in zip(self.parameters(), here, moved, strict=True)])
        self.memory = steps
        return outcome


@part
class Consensus(Simultaneous):
    """Simultaneous moves along F + gamma grad (||F||^2 / 2): towards where no player wants to move.

    It differentiates gradients once more, which costs about three times as much as simultaneous moves.

    Arguments:
        gamma: the weight, above 0.

    Raises:
        ValueError: `gamma` is not above 0.
        UserError: the game's penalty is charged at some steps only; F^2 would weigh it too much.

    References:
        The Numerics of GANs, Lars Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1705.10461
    """

    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.gamma > 0, "it is above 0; without it the moves are simultaneous", gamma=self.gamma)
        penalty = self.game.penalty
        if penalty is not None and penalty.every > 1:
            raise UserError(
                f"consensus squares the gradient, in which a penalty at every {penalty.every} steps would weigh too much; "
                f"give the penalty every=1."
            )

    def gradients(self, batch: Sequence[Tensor], players: Sequence[str], share: float) -> Outcome:
        with self.rules.precision():
            outcome = self.game(*batch)
        gradients: list[Tensor] = []
        for player in players:
            loss, own = outcome.losses[player], self.moving(player)
            gradients += torch.autograd.grad(loss, own, create_graph=True, materialize_grads=True)
        moving = self.parameters()
        size = torch.stack([g.square().sum() for g in gradients]).sum() / 2  # ||F||^2 / 2
        towards = torch.autograd.grad(size, moving, materialize_grads=True)
        for parameter, gradient, pull in zip(moving, gradients, towards, strict=True):
            new = share * (gradient.detach() + self.gamma * pull)
            parameter.grad = new if parameter.grad is None else parameter.grad + new
        return outcome


class OneStage(Simultaneous):
    """Simultaneous moves for less: the critic is gone through backwards once, for both players.

    Where the critic scores each sample by itself, and the generator's loss reaches what the critic judges through the scores
    s alone, both players' gradients in a sample are multiples of one, that of its score:

        dL_g/dx_i = (dL_g/ds_i / dL_c/ds_i) dL_c/dx_i

    so that the critic's own backward gives the generator's gradient by a factor a sample. What the generator is charged for
    joints that no critic judges, such as ALICE's round trip, and in its own weights reaches them the ordinary way. It ends
    where simultaneous moves end, but for rounding.

    Both conditions are read off the game's structure and no tolerance is in them:

    - no layer of the critic is a batch norm that takes the statistics of its batch, and no score has a gradient in another
      sample than its own (see `interalia.learning.graphs.mixing`, at the first step of a process);
    - at every step no path of the autograd graph leads from the generator's loss to what the critic judges but through the
      scores.

    A batch goes the ordinary way, two backward passes of the critic, where several scores of one sample have different
    factors, and where a factor costs digits: where it is neither 0 nor between 1 / F and F, F = (the smallest normal
    number)^(-1/4), 3e9 in float32 and in bfloat16. So three quarters of the range of exponents are left to the critic's
    slopes, and where the critic is sure no gradient is lost because dL_c/ds_i is so small that its product with a slope
    counts as 0. A joint goes the ordinary way that the critic's own loss reaches beside the scores, as in semi-supervised
    ALI, whose labelled pairs pass the critic together with the others.

    Raises:
        UserError: the game's players are not a critic and one other, or one of the two conditions does not hold, with the
            reason.

    References:
        Training Generative Adversarial Networks in One Stage, Chengchao Shen and others, 2021,
        https://arxiv.org/abs/2103.00430
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        others = [player for player in self.game.players if player != "critic"]
        if len(self.game.players) != 2 or len(others) != 1:
            raise self.refusal(f"its players are {', '.join(self.game.players)}, and not one beside a critic")
        self.other = others[0]
        self.apart = False  # whether the critic is known to score each sample by itself
        self.check_layers()

    def gradients(self, batch: Sequence[Tensor], players: Sequence[str], share: float) -> Outcome:
        self.check_layers()
        if not self.apart:
            self.check_samples(batch)
        with self.rules.precision():
            joints = self.game.sample(*batch)
            cut = {name: tuple(leaf(part) for part in parts) for name, parts in joints.items()}
            outcome = self.game.losses(cut)
            limit = torch.finfo(lowest(outcome.losses["critic"])).tiny ** -0.25
        pairs = ((name, *pair) for name, parts in cut.items() for pair in zip(joints[name], parts, strict=True))
        made = [(name, whole, part) for name, whole, part in pairs if whole is not part]  # by the generator
        scores, critic, generator = outcome.scores, outcome.losses["critic"], outcome.losses[self.other]
        beside = reached(generator, scores.values())
        for name, _, sample in made:
            if name in scores and id(sample) in beside:
                raise self.refusal(
                    f"its {self.other} is charged for the joint {name!r} by more than the critic's scores"
                )
        judged = list(scores.values())
        c, g = (torch.autograd.grad(loss, judged, retain_graph=True, allow_unused=True) for loss in (critic, generator))
        if any(cs is None and gs is not None for cs, gs in zip(c, g, strict=True)):
            raise self.refusal(f"its critic is not charged for the samples that its {self.other} is charged for")
        factors = {name: factor(cs, gs, limit) for name, cs, gs in zip(scores, c, g, strict=True) if gs is not None}
        usable = not factors or bool(torch.stack([fits for _, fits in factors.values()]).all())
        also = reached(critic, scores.values())
        short = {id(part) for name, _, part in made if usable and name in factors and id(part) not in also}
        own = [p for p in self.moving(self.other) if id(p) in beside]
        ordinary: Iterator[Tensor] = iter(())
        if theirs := [*(part for _, _, part in made if id(part) not in short), *own]:
            ordinary = iter(torch.autograd.grad(generator, theirs, retain_graph=True, materialize_grads=True))
        inputs = [*self.moving("critic"), *(part for _, _, part in made if id(part) in short)]
        torch.autograd.backward([critic], [torch.full_like(critic, share)], inputs=inputs)
        found: list[Tensor] = []
        for name, _, sample in made:
            if id(sample) not in short:
                found.append(share * next(ordinary))
            else:
                found.append(torch.zeros_like(sample) if sample.grad is None else along(sample.grad, factors[name][0]))
        for p, gradient in zip(own, ordinary, strict=True):
            p.grad = share * gradient if p.grad is None else p.grad + share * gradient
        if made:
            torch.autograd.backward([whole for _, whole, _ in made], found, inputs=self.moving(self.other))
        return outcome

    def check_layers(self) -> None:
        """Raises a UserError if a layer of the critic takes statistics of its batch."""
        judges = [getattr(self.game, name) for name in self.game.players["critic"]]
        norms = [part for judge in judges for part in judge.modules() if isinstance(part, BatchNorm)]
        if any(part.training or part.running_mean is None for part in norms):
            raise self.refusal("its critic has batch norm, by which a score depends on the other samples too")

    def check_samples(self, batch: Sequence[Tensor]) -> None:
        """Raises a UserError if a score depends on another sample than its own."""
        if reason := mixing(self.game, batch):
            raise self.refusal(reason)
        self.apart = True

    def refusal(self, reason: str) -> UserError:
        return UserError(
            f"{type(self.game).__name__} cannot be trained in one stage: {reason}; use `dynamics='simultaneous'`, which "
            f"makes the same moves."
        )


def lowest(loss: Tensor) -> torch.dtype:
    """The kind of number with the fewest exponents in which the loss's gradient flows here: autocast's, or its own."""
    device = loss.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else loss.dtype


def factor(c: Tensor | None, g: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Of each sample the factor g / c, shape (n,), and whether all are usable: between 1 / `limit` and `limit` or 0, and one
    and the same for all scores of one sample."""
    assert c is not None
    ratio = torch.where(g == 0, 0.0, g / c).reshape(len(g), -1)
    size, other = g.abs(), c.abs()
    like = torch.where(g == 0, other <= limit, (size <= limit * other) & (other <= limit * size))
    return ratio[:, 0], like.all() & (ratio == ratio[:, :1]).all()


def along(gradient: Tensor, factor: Tensor) -> Tensor:
    """A batch of gradients, each times its sample's factor; samples that share a score lie beside each other."""
    each = factor.repeat_interleave(len(gradient) // len(factor))
    return gradient * each.view(-1, *[1] * (gradient.ndim - 1)).to(gradient.dtype)


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """What several looks came to: the means of the losses, and all the scores."""
    losses = {p: torch.stack([o.losses[p].detach() for o in outcomes]).mean() for p in outcomes[0].losses}
    return Outcome(losses, {name: torch.cat([o.scores[name] for o in outcomes]) for name in outcomes[0].scores})


def places(parameters: list[nn.Parameter]) -> list[Tensor]:
    """Where the parameters stand."""
    return [p.detach().clone() for p in parameters]


@torch.no_grad()
def put(parameters: list[nn.Parameter], values: list[Tensor]) -> None:
    """Puts the parameters there."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


KINDS: dict[str, type[Dynamics]] = {
    "simultaneous": Simultaneous, "alternating": Alternating, "extragradient": Extragradient, "past": Past,
    "optimistic": Optimistic, "consensus": Consensus, "one-stage": OneStage,
}  # fmt: skip
REGISTRY: Registry[Callable[..., Dynamics]] = Registry("dynamics", KINDS, base=Dynamics)
