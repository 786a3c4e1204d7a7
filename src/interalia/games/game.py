"""The base classes of games: a game has named players, samples of joint distributions, and one loss for each player.

The module also re-exports the classes that most modules of games import.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.nn.functional import one_hot

from interalia.adversarial.disturbances import Disturbance as Disturbance
from interalia.adversarial.divergences import GAN, auc
from interalia.adversarial.divergences import Divergence as Divergence
from interalia.adversarial.joints import Joints as Joints
from interalia.adversarial.penalties import Penalty as Penalty
from interalia.conditionals import Conditional, Prior
from interalia.contexts import draw_noise, to_float32
from interalia.errors import UserError, check_range
from interalia.games.feeds import Data as Data
from interalia.games.needs import Needs as Needs
from interalia.games.needs import Setup as Setup
from interalia.networks.layers import FieldModule, PackedCritic, join_rows
from interalia.networks.layers import module_dataclass as module_dataclass
from interalia.spaces import DataSpec


@dataclass(frozen=True)
class Outcome:
    """The result of one forward pass of a game: the loss of each player, and the critics' scores.

    Attributes:
        losses: name of a player -> its loss, a scalar, which this player minimizes.
        scores: name of a joint distribution -> the critic's scores on the samples from it, shape (n,).
    """

    losses: Mapping[str, Tensor]
    scores: Mapping[str, Tensor] = field(default_factory=dict)

    def loss_of(self, player: str) -> Tensor:
        """Returns the loss of the player of this name, a scalar.

        Raises:
            UserError: there is none.
        """
        if player not in self.losses:
            found = ", ".join(map(repr, self.losses)) or "none"
            raise UserError(
                f"`losses` of the game returns no loss of the player {player!r}, but {found}; return it too."
            )
        return self.losses[player]

    def with_losses(self, weight: float, scores: Mapping[str, Tensor] = {}, **losses: Tensor) -> Outcome:
        """Returns a copy of the result in which `weight` times each of the given losses is added to the player's loss.

        A player without a loss so far gets that product as its loss.

        Arguments:
            weight: the factor of the given losses.
            scores: name of a joint distribution -> further scores, which the copy also contains.
            losses: name of a player -> a loss, a scalar.
        """
        total = dict(self.losses)
        for player, loss in losses.items():
            total[player] = total[player] + weight * loss if player in total else weight * loss
        return Outcome(total, {**self.scores, **scores})


class Game(FieldModule, abc.ABC):
    """Base class of games, which are adversarial and variational models: networks, the players that train them, and
    their losses.

    `sample` draws a batch from each joint distribution of the game, such as q(x, z) and p(x, z), and `losses` returns
    one loss for each player. A game is an `nn.Module` whose children are the networks. It has no optimizer, device,
    precision or step counter.

    Attributes:
        players: name of a player -> names of the networks that it trains; each subclass sets it.
        feeds: the kind of training batches that the game takes: `Data` or a subclass of it.
        data: the shapes and labels of the data that the networks were built for.
        penalty, noise: a penalty on the critic, and noise or augmentation of its input; None for none.
        joint_batch: True for one pass of the critic over the samples of all joint distributions; False for one over each.
    """

    players: ClassVar[Mapping[str, Sequence[str]]]  # player -> names of the networks that it trains
    feeds: ClassVar[type[Data]] = Data  # the kind of its batches
    data: DataSpec = DataSpec()  # shapes and labels that its networks were built for
    penalty: Penalty | None = None
    noise: Disturbance | None = None
    joint_batch: bool = True  # True: one pass of the critic over all joints; False: one for each

    name = ""  # in the registry; games of the library only

    # texts of the report, see `facts`
    title = ""  # a noun phrase; the report shows the name of a game without one
    teaches = ""  # a description for newcomers; {latent} stands for z
    judged = ""  # the inputs of the critic, where they do not follow from `needs`
    reading = ""  # how to read the losses and scores, where not as those of an adversarial game

    @classmethod
    def title_for(cls, encoder: type[Conditional] | None) -> str:
        """Returns the title of the game for reports, a noun phrase such as "VAE (a variational autoencoder)".

        Arguments:
            encoder: the class of the game's encoder; None for a game without one.
        """
        return cls.title

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns the networks to build: name of a constructor argument -> specification of its network, in the order
        of initialization.

        The dictionary is empty by default: such a game can only be constructed in Python.

        Arguments:
            s: the spaces of x, z and y, the prior, the divergence, and the class of the encoder.
            settings: the values of the game's constructor arguments besides the networks, defaults included.
        """
        return {}

    @abc.abstractmethod
    def sample(self, *batch: Tensor) -> Joints:
        """Draws a batch of samples from each joint distribution of the game, differentiable with respect to the
        networks' weights.

        Arguments:
            batch: the tensors of one training batch, of which the first is x, shape (n, ...); the class in the
                game's attribute `feeds` defines the others.

        Returns:
            name of the joint distribution -> one tensor for each of its variables, shape (n, ...).
        """

    @abc.abstractmethod
    def losses(self, joints: Joints) -> Outcome:
        """Returns the loss of each player, a scalar, and the critics' scores.

        Arguments:
            joints: the samples from each joint distribution, as `sample` returns them.
        """

    def forward(self, *batch: Tensor) -> Outcome:
        """Returns the losses and scores of one training batch: calls `sample` with it, and `losses` with the samples.

        `batch` contains the tensors of the batch, of which the first is x.
        """
        return self.losses(self.sample(*batch))

    def set_progress(self, step: int, steps: int) -> None:
        """Updates the schedules of the penalty and of the noise or augmentation, after `step` of `steps` training
        steps.
        """
        for scheduled in (self.penalty, self.noise):
            if scheduled is not None:
                scheduled.set_progress(step, steps)

    @property
    def pretrained(self) -> list[str]:
        """The names of the game's networks (child modules) that no player trains, such as a pretrained generator.

        Child modules without weights and buffers are left out.
        """
        trained = {name for names in self.players.values() for name in names}
        return [name for name, child in self.named_children() if name not in trained and child.state_dict()]

    def freeze_pretrained(self) -> None:
        """Sets requires_grad=False on all parameters of the networks in `pretrained`, which no player trains."""
        for name in self.pretrained:
            self.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Sets training mode if `mode` is True, else eval mode, and returns the game.

        Networks that no player trains stay in eval mode, so that their batch-norm statistics do not change.
        """
        super().train(mode)
        for name in self.pretrained:
            self.get_submodule(name).eval()
        return self

    def after_step(self, player: str) -> None:
        """Called after each optimizer step of the player named `player`: applies the penalty's constraint on its
        critics, if any.

        Such a constraint is the clipping of weights.
        """
        if self.penalty is not None:
            for name in self.players[player]:
                if player == "critic" or name == "critic":
                    self.penalty.after_step(self.get_submodule(name))

    @property
    def pack(self) -> int:
        """The number of samples that the critic scores together (as in PacGAN); 1 for a critic of single samples."""
        return next((network.size for network in self.children() if isinstance(network, PackedCritic)), 1)

    def score_pairs(self, outcome: Outcome) -> list[tuple[Tensor, Tensor]]:
        """Returns one pair of tensors for each critic: its scores on the samples to score high, and on those to score
        low.

        The first are scores on data, for example, and the second on all kinds of generated samples in the critic's
        loss, concatenated. Thus a critic that separates only one of two equally frequent kinds has an AUC of 3/4, and
        one that separates both has 1. By default the first two entries of `outcome.scores` are one pair, the next two
        another, and so on; games with more kinds of generated samples override this. A last entry without
        a partner, such as the scores of mismatched pairs, is left out. Of a critic that returns the terms of its score,
        shape (n, terms), the score is their sum, shape (n,).
        """
        scores = [s.sum(dim=1) if s.ndim == 2 and s.shape[1] > 1 else s for s in outcome.scores.values()]
        return list(zip(scores[::2], scores[1::2], strict=False))

    def highest_auc_pair(self, outcome: Outcome) -> tuple[Tensor, Tensor] | None:
        """Returns the scores of the critic that separates its samples best, as the pair that `score_pairs` returns for
        it.

        That critic has the highest AUC, the area under the ROC curve. None for a game without a critic.
        """
        found = self.score_pairs(outcome)
        return max(found, key=lambda pair: auc(*pair)) if len(found) > 1 else next(iter(found), None)

    def highest_auc(self, outcome: Outcome) -> float:
        """Returns the AUC, the area under the ROC curve, of the critic that separates its samples best, from 0 to 1.

        It is the probability that a score on data exceeds one on generated samples, see `score_pairs`; 0 for a game without a
        critic.
        """
        pair = self.highest_auc_pair(outcome)
        return 0.0 if pair is None else auc(*pair)

    def on_outcome(self, outcome: Outcome) -> None:
        """Called with the result of each forward pass of the training: an adaptive augmentation updates its
        probability.

        All critics share one augmentation; it depends on the scores of the critic with the highest AUC (area under the
        ROC curve).
        """
        if self.noise is not None and (pair := self.highest_auc_pair(outcome)) is not None:
            self.noise.observe(*pair, len(pair[0]) * self.pack)

    def extra_state(self) -> dict[str, Tensor]:
        """Returns name -> tensor, besides the weights, for a checkpoint: the state of the noise or augmentation, if it
        has any.

        Subclasses add others, such as pools of past samples.
        """
        return {} if self.noise is None else self.noise.state_dict()

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Restores the tensors in `state`, which `extra_state` returned."""
        if self.noise is not None:
            self.noise.load_state_dict(state)

    def score(self, critic: Callable[..., Tensor], *joints: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns a critic's scores on samples of several joint distributions, one float32 tensor for each
        distribution.

        If `joint_batch` is True, the default, all samples are concatenated and scored in one pass. A batch norm in the
        critic then normalizes them together, as in the original ALI. If it is False, there is one pass for each
        distribution, which a batch norm normalizes by itself, as in the published programs of DCGAN and InfoGAN:
        differences between the means of the batches vanish, so that the critic's task is harder.

        In training mode the noise and the augmentation are applied to the samples before they are scored. They are
        applied nowhere else; a gradient penalty is taken at unchanged samples.

        Arguments:
            critic: maps the variables of a sample to scores, shape (n,), or (n / m,) if it scores m samples together.
            joints: one batch of samples for each joint distribution, as one tensor for each variable.
        """
        disturbed = self.noise if self.training else None
        if disturbed is not None:
            joints = tuple(disturbed(joint) for joint in joints)
        if not self.joint_batch:
            return tuple(to_float32(critic(*joint)) for joint in joints)
        scores = to_float32(critic(*(join_rows(parts) for parts in zip(*joints, strict=True))))
        sizes = [len(joint[0]) for joint in joints]
        return scores.split([size * len(scores) // sum(sizes) for size in sizes])

    def penalize(self, p: Sequence[Tensor], q: Sequence[Tensor], critic: str = "critic") -> Tensor | float:
        """Returns the game's penalty on one of its critics, such as a gradient penalty, a scalar; 0 for a game without
        a penalty.

        Arguments:
            p: a batch of samples to score high, such as data, as one tensor for each input of the critic.
            q: a batch of samples to score low, such as generated ones, as one tensor for each input of the critic.
            critic: the name of the critic among the game's networks.
        """
        return 0.0 if self.penalty is None else self.penalty(self.get_submodule(critic), p, q)

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """Returns the parameters of all networks that the player named `player` trains.

        Raises:
            UserError: the game has no such player, or lacks a network of it.
        """
        self.check_player(player)
        try:
            return [p for name in self.players[player] for p in getattr(self, name).parameters()]
        except AttributeError as error:
            raise UserError(
                f"the player {player!r} of {type(self).__name__} trains {', '.join(self.players[player])}, and one of them "
                f"is no network of the game ({error}); its networks are {', '.join(dict(self.named_children()))}."
            ) from error

    @contextlib.contextmanager
    def only(self, player: str) -> Iterator[None]:
        """Context manager in which the parameters of the other players have requires_grad=False, and those of `player`
        are unchanged.

        Autograd then computes no gradients of the other players' parameters. On exit these require gradients again.
        """
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
        """Raises a UserError if the game has no player of this name.

        Arguments:
            player: the name of a player, such as "critic".
            argument: the name of the argument that `player` comes from, for the message.
        """
        if player not in cls.players:
            names = " and ".join(repr(name) for name in cls.players)
            raise UserError(
                f"`{argument}` names {player!r}, which is not a player of {cls.__name__}; its players are {names}."
            )


NO_CONDITION = (
    "`mismatch` needs labels or attributes of which there are others, and this game has none; give `condition_on`, or leave "
    "`mismatch` out."
)


@module_dataclass
class TwoPlayers(Game):
    """Base class of games between a critic and one other player, whose losses are those of a divergence.

    With s(p) and s(q) the critic's scores on samples of two joint distributions, P to score high and Q to score low:

        critic:            divergence.critic_loss(s(p), s(q)) + penalty
        the other player:  divergence.generator_loss(s(p), s(q))

    The other player is the first of `players`. The class attribute `compares` has the names of P and Q, in this order.
    The class attribute `loss_weights` has the names of the constructor arguments that are weights of losses: a negative one
    raises a ValueError.

    In a conditional game the last variable of each sample is a condition y, a one-hot label or attributes; x stands for
    the other variables here. With `mismatch` above 0 the critic also learns to score mismatched pairs low. These are
    samples of P in which y is replaced by another y: a random other label, or y with one random attribute flipped. With
    s(w) the scores on them:

        critic:            (1 - a) divergence.critic_loss(s(p), s(q)) + a divergence.critic_loss(s(p), s(w)) + penalty
        a = min(mismatch, m / (m + 9)), where m is the number of labels minus 1, or the number of attributes

    The loss of the other player does not change, and no gradient reaches the mismatched pairs. The optimum is still P =
    Q if no x occurs with two different y in the data. Otherwise, for an f-divergence, the density of Q at the optimum
    is

        max(0, l p - a w) / (1 - a)

    where p and w are the densities of P and of the mismatched pairs, and the number l, at least 1 - a, is such that the
    integral over x is the probability of y; each y has its own l. So an x that occurs with another y too becomes rarer:
    with labels its density, relative to that of an x with one y only, is at least 1 - (1 - r) / (9 r) times that in P,
    where r is the probability of y given x. A relativistic divergence compares each sample with itself under another y.
    Up to a common factor, the density of Q is then that formula with l = 1 where x occurs with every y, and p itself
    where x occurs with one y only.
    """

    decoder: Conditional
    critic: nn.Module
    prior: Prior
    divergence: Divergence = GAN()
    penalty: Penalty | None = None
    noise: Disturbance | None = None
    joint_batch: bool = True
    compares: ClassVar[tuple[str, str]] = ("q", "p")  # names of the joints, P and then Q of the divergence
    loss_weights: ClassVar[Sequence[str]] = ()  # names of the arguments that are weights of losses, 0 or more
    mismatch = 0.0  # the largest share of mismatched pairs in the critic's loss; an argument of conditional games

    def __post_init__(self) -> None:
        check_range(0 <= self.mismatch <= 1, "a share lies in [0, 1]", mismatch=self.mismatch)
        for name in self.loss_weights:
            check_range(vars(self)[name] >= 0, "a weight is 0 or more", **{name: vars(self)[name]})

    def with_mismatched(self, joints: Joints, y: Sequence[Tensor]) -> Joints:
        """Returns `joints` and, in a conditional game with `mismatch`, also "mismatched": samples of P with another y.

        P is the distribution to score high; its name is the first in the class attribute `compares`. No gradient
        reaches these samples.

        Arguments:
            joints: name of a joint distribution -> its samples, one tensor for each variable, of which y is the last.
            y: the condition of each sample, one tensor in a sequence; empty for an unconditional game.
        """
        if not (y and self.mismatched_share(y[0])):
            return joints
        *variables, _ = joints[self.compares[0]]
        return {**joints, "mismatched": (*(v.detach() for v in variables), self.other_condition(*y))}

    def mismatched_share(self, y: Tensor) -> float:
        """Returns the share of mismatched pairs in the critic's loss, min(mismatch, m / (m + 9)), see `TwoPlayers`.

        y are conditions, shape (n, k). With attributes m is k; with labels it is k - 1, so that the share is 0 for one label.
        """
        others = y.shape[1] - (not self.data.attributes)
        return min(self.mismatch, others / (others + 9))

    def other_condition(self, y: Tensor) -> Tensor:
        """Returns a condition that differs from y for each sample, drawn at random, shape (n, k).

        A one-hot label is replaced by one of the k - 1 others, all equally likely. Of k attributes, each 0 or 1, one is
        flipped, all equally likely.

        Arguments:
            y: the condition of each sample, shape (n, k): attributes if the field `data`, a `DataSpec`, names some, else
                one-hot labels.
        """
        n, k = y.shape
        if self.data.attributes:
            return (y - one_hot(draw_noise("mismatch", "random", (n,), y, 0, k), k)).abs().to(y.dtype)
        label = (y.argmax(dim=1) + draw_noise("mismatch", "random", (n,), y, 1, k)) % k
        return one_hot(label, k).to(y.dtype)

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of both players from the critic's scores on two joint distributions, and on mismatched
        pairs if `joints` has them.

        The class attribute `compares` has the names of the two, first the one to score high. Mismatched pairs are named
        "mismatched". `joints` are the samples that `sample` returned.
        """
        names = [*self.compares, *(["mismatched"] if "mismatched" in joints else [])]
        return self.adversarial_losses(joints, *names)

    def adversarial_losses(self, joints: Joints, *names: str, critic: str = "critic") -> Outcome:
        """Scores the samples of two joint distributions, and mismatched pairs if they are named, by a critic, and
        returns the losses of both players and the scores.

        The losses are those of the divergence, and the penalty is added to the critic's. Their keys are "critic" and
        the name of the other player.

        Arguments:
            joints: the samples from each joint distribution, as `sample` returns them.
            names: the name of the distribution to score high, the name of the one to score low and, as an optional
                third, "mismatched".
            critic: the name of the critic among the game's networks.
        """
        scores = self.score(self.get_submodule(critic), *(joints[name] for name in names))
        return self.losses_of_scores(joints, dict(zip(names, scores, strict=True)), critic)

    def losses_of_scores(self, joints: Joints, scores: Mapping[str, Tensor], critic: str = "critic") -> Outcome:
        """Returns the losses of both players from given scores of a critic, and these scores.

        The losses are those of the divergence, and the penalty is added to the critic's. Their keys are "critic" and
        the name of the other player. The critic is called only if there is a penalty, for its gradient.

        Arguments:
            joints: the samples from each joint distribution, as `sample` returns them.
            scores: name of a joint distribution -> the scores on it: first the one to score high, then the one to score
                low, then, as an optional third, "mismatched", data with conditions that are not theirs. These are a second
                distribution to score low; its weight in the critic's loss follows from the game's field `mismatch`.
            critic: the name of the critic among the game's networks.

        Raises:
            UserError: `mismatch` is above 0, and there are no scores "mismatched", because the game has no condition or a
                single label.
        """
        first, second, *_ = (joints[name] for name in scores)
        p, q, *mismatched = scores.values()
        if self.mismatch and critic == "critic" and not mismatched:
            raise UserError(NO_CONDITION)
        of_critic = self.divergence.critic_loss(p, q)
        for w in mismatched:
            share = self.mismatched_share(joints["mismatched"][-1])
            of_critic = (1 - share) * of_critic + share * self.divergence.critic_loss(p, w)
        of_critic = of_critic + self.penalize(first, second, critic)
        return Outcome({"critic": of_critic, next(iter(self.players)): self.divergence.generator_loss(p, q)}, scores)
