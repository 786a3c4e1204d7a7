"""Dynamics: update schemes for the players of any game.

The players of a game are groups of networks, such as the critic and the generator, each with its own loss. In each
step of training a dynamics takes batches, computes the gradient of each player's loss in that player's own parameters, and
steps the players' optimizers.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, zeros_like
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from interalia.contexts import BatchNorm, device_of, keyed_evaluation, processes
from interalia.errors import UserError, check_range
from interalia.games.game import Game, Outcome, module_dataclass
from interalia.learning.graphs import as_leaf, reachable_leaves, sample_mixing, scale_samples
from interalia.learning.slots import Slots
from interalia.registry import Registry, Repeats

Batches = Iterator[tuple[Tensor, ...]]
Optimizers = Mapping[str, Optimizer]  # one for each player


@dataclass(frozen=True)
class UpdateOptions:
    """The options of every dynamics: accumulation and clipping of gradients, skipped updates of the critic, and precision.

    Attributes:
        grad_accumulation: number of batches whose gradients are averaged. The result equals that of one batch of that many
            times the size, with three exceptions: batch norm normalizes each batch, the penalty `dragan` uses the standard
            deviation of each batch, and the dynamics `consensus` squares the gradient of each batch.
        grad_clip: maximum Euclidean norm of the gradient of one player; a longer gradient is scaled down to it; 0 for
            no clipping. A penalty that is computed at every fourth step is multiplied by 4, so the gradients of these
            steps are the longest and are clipped the most: on average it weighs less than a penalty that is computed at
            every step.
        skip_critic_above: the critic is not updated by a batch in which its AUC (area under the ROC curve), the
            probability that it scores a real pair above a fake one, is above this; 1 to never skip. All kinds of
            generated pairs are fakes, but mismatched pairs do not count. Several critics are one player, whose AUC is the
            greatest of theirs.
        precision: a function that returns the context in which losses are computed, such as that of autocast.
        loss_scaling: True to multiply the loss of each player by a factor before its gradient is computed, and to divide
            the gradient by it afterwards, so that small gradients are not 0 in float16. Each player has its own factor: it
            is halved, and the update skipped, if a gradient is not finite, and doubled after 2,000 updates in a row.
    """

    grad_accumulation: int = 1
    grad_clip: float = 0.0
    skip_critic_above: float = 1.0
    precision: Callable[[], AbstractContextManager[object]] = nullcontext
    loss_scaling: bool = False


@module_dataclass
class Dynamics(abc.ABC):
    """The base class of update schemes, which train the players of a game (such as critic and generator) on their own
    losses.

    Arguments:
        game: the game.
        optimizers: name of a player -> the optimizer of its parameters.
        options: accumulation and clipping of gradients, skipped updates of the critic, and precision.

    Raises:
        UserError: `options.skip_critic_above` is below 1, and the game has no critic, or `options.loss_scaling` is True,
            and the dynamics use gradients of several steps or players together, or two players have a parameter in common.
    """

    scales_losses = True  # False for dynamics that combine gradients of several players or steps before an update
    game: Game
    optimizers: Optimizers
    options: UpdateOptions = UpdateOptions()

    def __post_init__(self) -> None:
        if self.options.skip_critic_above < 1 and "critic" not in self.game.players:
            name = type(self.game).__name__
            raise UserError(
                f"`skip_critic_above` skips updates of the critic, and {name} has no critic; leave `skip_critic_above` out."
            )
        self.list_parameters()
        if self.options.loss_scaling and not self.scales_losses:
            raise UserError(
                f"the dynamics {type(self).__name__} combine gradients, which `precision='fp16'` scales by a factor a "
                f"player; use `precision='bf16'` or 'fp32', or `dynamics='simultaneous'`."
            )
        scaled = self.game.players if self.options.loss_scaling else ()
        self.scalers = {player: torch.amp.GradScaler(device_of(self.game).type) for player in scaled}
        self.remember([])
        self.critic_auc = 0.0  # P(score of a real pair > score of a fake one) in the last batch, of the best critic

    @abc.abstractmethod
    def step(self, batches: Batches) -> Outcome:
        """Takes one training step: draws batches and updates the players.

        Arguments:
            batches: an endless iterator of batches, which are tuples of tensors.

        Returns:
            The loss of each player before its last update in this step, and the critic's scores.
        """

    def gradients(self, batches: Batches, *players: str) -> Outcome:
        """Evaluates the game and adds the gradient of each player's loss to `.grad` of that player's parameters alone.

        Losses and gradients are means over the batches, and over all processes that train the run together. If
        `options.skip_critic_above` is below 1, the critic's AUC on these batches is stored too, for `skips`.

        Arguments:
            batches: an iterator of batches, of which the next `options.grad_accumulation` are used.
            players: the names of the players whose gradients are computed.

        Returns:
            The mean losses, and the critic's scores on all batches.

        Raises:
            UserError: no parameter of one of the players requires a gradient, a player has no loss, or
                `options.skip_critic_above` is below 1 and the game returns no scores.
        """
        count = self.options.grad_accumulation
        self.refresh()
        if idle := [player for player in players if not self.trainable(player)]:
            raise UserError(
                f"no parameter of the player {idle[0]!r} requires a gradient; call `requires_grad_()` of one of its networks."
            )
        outcomes = []
        for batch in itertools.islice(batches, count):
            with keyed_evaluation(batch):
                outcomes.append(self.add_gradients(batch, players, 1 / count))
        outcome = outcomes[0] if count == 1 else merge_outcomes(outcomes)
        if (team := processes.current()).size > 1:
            moving = [p for player in players for p in self.trainable(player)]
            outcome = Outcome(*team.merge(moving, outcome.losses, outcome.scores))
        self.game.on_outcome(outcome)
        if self.options.skip_critic_above < 1:
            if not outcome.scores:
                name = type(self.game).__name__
                raise UserError(
                    f"`skip_critic_above` compares scores of the critic, and `losses` of {name} returns none; give them in "
                    f"its `Outcome`, or leave `skip_critic_above` out."
                )
            self.critic_auc = self.game.highest_auc(outcome)
        return outcome

    def add_gradients(self, batch: Sequence[Tensor], players: Sequence[str], share: float) -> Outcome:
        """Evaluates the game on one batch and adds each player's gradient to `.grad` of its parameters.

        Arguments:
            batch: the tensors of the batch.
            players: the names of the players whose gradients are computed.
            share: a factor on the gradients: 1 / the number of batches over which they are averaged.

        Returns:
            The losses and the critic's scores.
        """
        with self.options.precision():
            outcome = self.game(*batch)
        for player in players:
            loss = outcome.loss_of(player)
            scale, shared = None if share == 1 else torch.full_like(loss, share), player != players[-1]
            if player in self.scalers:
                scale = self.scalers[player].scale(torch.full_like(loss, share))
            loss.backward(scale, inputs=self.trainable(player), retain_graph=shared)  # the players share one graph
        return outcome

    def update(self, *players: str) -> None:
        """Steps the optimizers of these players, in this order, and clears their gradients.

        After each player's step, constraints on the critic's weights are applied, such as weight clipping.
        """
        for player in players:
            self.step_optimizer(player)
            self.game.after_step(player)

    def step_optimizer(self, player: str) -> None:
        """Clips the gradients of one player, steps its optimizer, and clears the gradients.

        If `skips` is True for the player, the gradients are only cleared. Constraints on the weights, such as weight
        clipping, are not applied.
        """
        optimizer, scaler = self.optimizers[player], self.scalers.get(player)
        if not self.skips(player):
            if scaler is not None:
                scaler.unscale_(optimizer)
            if self.options.grad_clip:
                clip_grad_norm_(self.trainable(player), self.options.grad_clip)
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)  # no step if a gradient is not finite
                scaler.update()
        optimizer.zero_grad(set_to_none=True)

    def skips(self, player: str) -> bool:
        """True if the player is the critic and its AUC on the last batch exceeds `options.skip_critic_above`.

        The AUC is the probability that it scores a real pair above a fake one. Its update is then skipped.
        """
        return player == "critic" and self.critic_auc > self.options.skip_critic_above

    def proposed_updates(self) -> list[Tensor]:
        """Returns what the optimizers would subtract from each parameter, from the gradients in `.grad`, and clears the
        gradients.

        The optimizers are stepped, so that their moments advance; then the parameters are restored.

        Returns:
            One tensor for each of `parameters()`, in the same order; 0 for the critic if its update is skipped.
        """
        before = snapshot(self.parameters())
        for player in self.game.players:
            self.step_optimizer(player)
        updates = [old - new.detach() for old, new in zip(before, self.parameters(), strict=True)]
        assign(self.parameters(), before)
        return updates

    def set_parameters(self, values: list[Tensor]) -> None:
        """Sets the trainable parameters, and applies constraints on the critic's weights, such as weight clipping.

        Arguments:
            values: one tensor for each of `parameters()`, in the same order.
        """
        assign(self.parameters(), values)
        for player in self.game.players:
            self.game.after_step(player)  # such as weight clipping

    def refresh(self) -> None:
        """Lists what is kept of the game again if one of its modules or parameters was replaced, added or removed."""
        if not self.slots.are_current():
            self.list_parameters()

    def list_parameters(self) -> None:
        """Lists the parameters of each player's networks, and the slots by which a change of them is noticed.

        Raises:
            UserError: two players have a parameter in common.
        """
        self.slots = Slots(self.game)
        self.networks = {player: self.game.parameters_of(player) for player in self.game.players}
        owners: dict[nn.Parameter, str] = {}
        for player, own in self.networks.items():
            if other := next((owners[p] for p in own if p in owners), None):
                raise UserError(
                    f"`game` has a parameter that the players {other!r} and {player!r} both train, each by the gradients of "
                    f"both losses; give each player its own networks."
                )
            owners |= dict.fromkeys(own, player)

    def capturable(self) -> Dynamics:
        """Returns a dynamics with equal updates, of which one step can be captured as a graph: itself by default."""
        return self

    def trainable(self, player: str) -> list[nn.Parameter]:
        """The parameters of the player of this name that require a gradient."""
        self.refresh()
        return [p for p in self.networks[player] if p.requires_grad]

    def parameters(self) -> list[nn.Parameter]:
        """The parameters of all players that require a gradient: those of the first player, of the second, and so on."""
        return [p for player in self.game.players for p in self.trainable(player)]

    def remember(self, values: list[Tensor]) -> None:
        """Keeps the gradients or updates of this step, one for each of `parameters()`, or none, for the next step."""
        self.previous, self.remembered = values, self.parameters()

    def memory(self) -> list[Tensor]:
        """Returns the gradients or updates of the last step, one for each of `parameters()`; empty if there are none, or if
        other parameters required a gradient then.
        """
        now = self.parameters()
        same = len(now) == len(self.remembered) and all(a is b for a, b in zip(now, self.remembered, strict=True))
        return self.previous if same else []

    def state_dict(self) -> dict[str, Any]:
        """Returns the state for a checkpoint that is neither in the weights nor in the optimizers.

        "memory" is a list with one tensor for each of `parameters()`: the gradients (`Past`) or updates (`Optimistic`)
        of the last step; it is empty for other dynamics. "ahead" is the critic's AUC on the last batch, the probability
        that it scores a real pair above a fake one. "scales" has the state of the `GradScaler` of each player, if losses
        are scaled.
        """
        scales = {player: scaler.state_dict() for player, scaler in self.scalers.items()}
        return {"memory": self.memory(), "ahead": self.critic_auc} | ({"scales": scales} if scales else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a state that `state_dict` returned."""
        saved = list(zip(state["memory"], self.parameters(), strict=bool(state["memory"])))
        if any(value.shape != p.shape for value, p in saved):
            raise ValueError("the gradients or updates of the last step have another shape than the parameters")
        self.remember([value.to(p.device, p.dtype) for value, p in saved])
        self.critic_auc = float(state.get("ahead", 0.0))  # absent in older checkpoints
        for player, scaler in self.scalers.items():
            scaler.load_state_dict(state["scales"][player])


class Simultaneous(Dynamics):
    """Simultaneous updates: the gradients of all players are computed on the same batch, then all players are updated.

    It is Algorithm 1 of adversarially learned inference (ALI).

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
    """

    def step(self, batches: Batches) -> Outcome:
        """Computes the gradients of all players on the same batch, then updates all players.

        Returns the losses and the critic's scores before the updates.
        """
        outcome = self.gradients(batches, *self.game.players)
        self.update(*self.game.players)
        return outcome


@module_dataclass
class Alternating(Dynamics):
    """Alternating updates: the players are updated in turn, each on new batches, with the newest parameters of the others.

    Arguments:
        turns: number of updates of each player in one step, in this order, such as ``{"critic": 5, "generator": 1}``; None
            for one of the critic, then one of every other player.

    Raises:
        UserError: `turns` has a name that is no player, or lacks a player, or has a number that is not a positive integer.

    References:
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661
    """

    turns: Mapping[str, Repeats] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        critic_first = sorted(self.game.players, key=lambda player: player != "critic")
        self.order = dict.fromkeys(critic_first, 1) if self.turns is None else self.turns
        for player, count in self.order.items():
            self.game.check_player(player, "turns")
            if not isinstance(count, int) or count < 1:
                raise UserError(f"`turns` gives {player!r} {count!r} updates, and it must be a whole number from 1.")
        if left := [repr(player) for player in self.game.players if player not in self.order]:
            raise UserError(f"`turns` leaves out {left[0]}, which would never be updated; give it a number of updates.")

    def step(self, batches: Batches) -> Outcome:
        """Updates one player after the other, each in turn `turns[player]` times, in the order of `turns`, on new batches.

        Returns the loss of each player before its last update in this step, and the critic's scores.
        """
        losses: dict[str, Tensor] = {}
        scores: dict[str, Tensor] = {}
        for player, count in self.order.items():
            for _ in range(count):
                with self.game.only(player):
                    outcome = self.gradients(batches, player)
                self.update(player)
            losses[player] = outcome.losses[player].detach()
            scores.update(outcome.scores)
        return Outcome(losses, scores)


@module_dataclass
class Extragradient(Dynamics):
    """The extragradient method: the players take a trial step, then step from its start along the gradients at its end.

        w' = w - eta F(w; xi),    w <- w - eta F(w'; xi')

    with w the parameters, w' those after the trial step, xi and xi' batches, F the gradients of all players, and eta F the
    update that the optimizers compute from F. With Adam, whose moments advance in both updates, the method is ExtraAdam.
    Weight decay is computed at the parameters of the gradient. A step costs two gradient evaluations. The method converges
    on bilinear games, on which simultaneous updates spiral outwards.

    Arguments:
        fresh: True if xi' is another batch of data than xi; False if xi' is xi. The latents z are drawn again in both cases.

    References:
        The extragradient method for finding saddle points and other problems, G. M. Korpelevich, 1976, Matecon 12
        A Variational Inequality Perspective on Generative Adversarial Networks, Gauthier Gidel and others, 2019,
        https://arxiv.org/abs/1802.10551 (algorithms 1, 4 and 5)
    """

    fresh: bool = True

    def step(self, batches: Batches) -> Outcome:
        """Takes a trial step, computes the update at its end, and subtracts it from the parameters before the trial step.

        The update is computed on new batches if the field `fresh` is True, else on those of the trial step. Returns the
        losses and the critic's scores after the trial step.
        """
        players, before = self.game.players, snapshot(self.parameters())
        first = list(itertools.islice(batches, self.options.grad_accumulation))
        self.gradients(iter(first), *players)
        self.update(*players)
        outcome = self.gradients(batches if self.fresh else iter(first), *players)
        self.set_parameters([w - u for w, u in zip(before, self.proposed_updates(), strict=True)])
        return outcome


class Past(Dynamics):
    """Extrapolation from the past: the extragradient method with a trial step along the last step's gradients.

        w'_t = w_t - eta F(w'_{t-1}),    w_{t+1} = w_t - eta F(w'_t)

    with w_t the parameters before step t, w'_t those after its trial step, F the gradients of all players, and eta F the
    update that the optimizers compute from F. A step costs one gradient evaluation. The first step has no trial step.
    Weight decay of the trial step is computed at w_t.

    References:
        A modification of the Arrow-Hurwicz method for search of saddle points, L. D. Popov, 1980,
        https://doi.org/10.1007/BF01141092
        A Variational Inequality Perspective on Generative Adversarial Networks, Gauthier Gidel and others, 2019,
        https://arxiv.org/abs/1802.10551 (section 3.3)
    """

    scales_losses = False

    def step(self, batches: Batches) -> Outcome:
        """Takes a trial step along the last step's gradients, computes the update at its end, and subtracts it from the
        parameters before the trial step.

        Returns the losses and the critic's scores after the trial step.
        """
        players, parameters = self.game.players, self.parameters()
        before = snapshot(parameters)
        if memory := self.memory():
            for parameter, gradient in zip(parameters, memory, strict=True):
                parameter.grad = gradient
            self.update(*players)
        outcome = self.gradients(batches, *players)
        self.remember([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters])
        self.set_parameters([w - u for w, u in zip(before, self.proposed_updates(), strict=True)])
        return outcome


class Optimistic(Dynamics):
    """Optimistic gradient descent: subtracts twice the new update and adds the last one.

        w_{t+1} = w_t - 2 u_t + u_{t-1}

    with w_t the parameters before step t, and u_t the update that the optimizers compute from the gradients of all
    players at w_t. For gradient descent u_t is the learning rate times the gradients; with Adam the method is
    Optimistic Adam. Before the first step u is 0.

    References:
        Training GANs with Optimism, Constantinos Daskalakis and others, 2018, https://arxiv.org/abs/1711.00141
    """

    def step(self, batches: Batches) -> Outcome:
        """Sets the parameters w to w - 2 u + v, with u the update that the optimizers compute at w, and v that of the
        last step.

        If the critic's update is skipped, its parameters stay unchanged. Returns the losses and the critic's scores at w.
        """
        parameters = self.parameters()
        before = snapshot(parameters)
        outcome = self.gradients(batches, *self.game.players)
        updates = self.proposed_updates()
        previous = self.memory() or [torch.zeros_like(u) for u in updates]
        skipped = {p for player in self.game.players if self.skips(player) for p in self.trainable(player)}
        after = [w - 2 * u + last for w, u, last in zip(before, updates, previous, strict=True)]
        self.set_parameters([w if p in skipped else v for p, w, v in zip(parameters, before, after, strict=True)])
        self.remember(updates)
        return outcome


@module_dataclass
class Consensus(Simultaneous):
    """Consensus optimization: simultaneous updates along the gradients of all players, plus the gradient of their
    squared norm.

    The updates are along F + gamma grad (||F||^2 / 2), with F the vector of the gradients of all players, each of the
    player's loss in that player's parameters. The second term leads to points where all gradients are 0. It
    differentiates the gradients again, which costs about three times as much as simultaneous updates.

    Arguments:
        gamma: weight of the second term, above 0.

    Raises:
        ValueError: `gamma` is not above 0.
        UserError: the game has a penalty that is computed at some steps only, which ||F||^2 would weigh too much.

    References:
        The Numerics of GANs, Lars Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1705.10461
    """

    scales_losses = False
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.gamma > 0, "it is above 0; without it use simultaneous dynamics", gamma=self.gamma)
        penalty = self.game.penalty
        if penalty is not None and penalty.every > 1:
            raise UserError(
                f"consensus squares the gradient, in which a penalty at every {penalty.every} steps would weigh too much; "
                f"give the penalty every=1."
            )

    def add_gradients(self, batch: Sequence[Tensor], players: Sequence[str], share: float) -> Outcome:
        """Evaluates the game on one batch and adds `share` * (F + gamma grad (||F||^2 / 2)) to `.grad` of the parameters.

        Arguments:
            batch: the tensors of the batch.
            players: the names of all players; F is the vector of the gradients of their losses, each in its player's
                parameters, and gamma is a field.
            share: 1 / the number of batches over which gradients are averaged.

        Returns:
            The losses and the critic's scores.
        """
        with self.options.precision():
            outcome = self.game(*batch)
        gradients: list[Tensor] = []
        for player in players:
            loss, own = outcome.loss_of(player), self.trainable(player)
            gradients += torch.autograd.grad(loss, own, create_graph=True, materialize_grads=True)
        parameters = self.parameters()
        if (team := processes.current()).size > 1:  # J^T F, with F of the whole batch and J of this process's rows
            means = team.average(gradients)
            half_norm = torch.stack([(g * mean).sum() for g, mean in zip(gradients, means, strict=True)]).sum()
        else:
            half_norm = torch.stack([g.square().sum() for g in gradients]).sum() / 2  # ||F||^2 / 2
        second = torch.autograd.grad(half_norm, parameters, materialize_grads=True)
        for parameter, gradient, pull in zip(parameters, gradients, second, strict=True):
            add_gradient(parameter, share * (gradient.detach() + self.gamma * pull))
        return outcome


class OneStage(Simultaneous):
    """One-stage training: simultaneous updates at less cost, with one backward pass through the critic for both players.

    If each score s_i depends on the sample x_i alone, and the generator's loss L_g depends on the critic's inputs through the
    scores alone, the gradients of both losses in a sample are multiples of the gradient of its score:

        dL_g/dx_i = (dL_g/ds_i / dL_c/ds_i) dL_c/dx_i

    with L_c the critic's loss. Its backward pass then gives the generator's gradient, by one factor a sample. Terms of
    L_g in joint distributions without a critic, such as ALICE's reconstruction loss, and in the generator's own weights are
    differentiated in the ordinary way. The result equals that of simultaneous updates up to rounding.

    Both conditions, on the scores and on L_g, are checked exactly, without a tolerance:

    - no layer of the critic is a batch norm that uses the statistics of its batch, and no score has a gradient in another
      sample than its own (see `interalia.learning.graphs.sample_mixing`), at the first step of a process;
    - at every step no path of the autograd graph leads from the generator's loss to the critic's inputs except through the
      scores.

    Two backward passes through the critic are used instead in three cases. The first: several scores of one sample have
    different factors. The second: a factor would lose precision, because it is not 0 and not between 1 / F and F, with F =
    (smallest normal number)^(-1/4), 3e9 in float32 and in bfloat16. This leaves three quarters of the range of exponents to
    the gradient of the score, so that dL_c/ds_i times that gradient does not underflow where the critic is confident. The
    third: the critic's loss depends on a joint distribution beside the scores, as in semi-supervised ALI, whose labeled pairs
    are in the critic's batch.

    Raises:
        UserError: the players are not a critic and one other, or one of the two conditions does not hold, with the reason.

    References:
        Training Generative Adversarial Networks in One Stage, Chengchao Shen and others, 2021,
        https://arxiv.org/abs/2103.00430
    """

    scales_losses = False

    def __post_init__(self) -> None:
        super().__post_init__()
        others = [player for player in self.game.players if player != "critic"]
        self.other = others[0] if len(self.game.players) == 2 and len(others) == 1 else None
        if reason := self.obstacle():
            self.refuse(reason)

    def list_parameters(self) -> None:
        """Lists the parameters of each player's networks, and the critic's batch norms."""
        super().list_parameters()
        self.separate = False  # True once each score is known to depend on one sample alone
        critics = (getattr(self.game, name) for name in self.game.players.get("critic", ()))
        self.norms = [layer for critic in critics for layer in critic.modules() if isinstance(layer, BatchNorm)]

    def add_gradients(self, batch: Sequence[Tensor], players: Sequence[str], share: float) -> Outcome:
        """Evaluates the game on one batch and adds `share` times each player's gradient to `.grad` of its parameters.

        Arguments:
            batch: the tensors of the batch.
            players: not used; the gradients of both players are computed.
            share: 1 / the number of batches over which gradients are averaged.

        Returns:
            The losses and the critic's scores.

        Raises:
            UserError: a score depends on another sample than its own, or the loss of the critic's opponent depends on the
                critic's inputs beside the scores.
        """
        if reason := self.obstacle(batch):
            self.refuse(reason)
            return super().add_gradients(batch, players, share)
        assert self.other is not None
        with self.options.precision():
            joints = self.game.sample(*batch)
            cut = {name: tuple(as_leaf(part) for part in parts) for name, parts in joints.items()}
            outcome = self.game.losses(cut)
            limit = torch.finfo(gradient_dtype(outcome.loss_of("critic"))).tiny ** -0.25
        pairs = ((name, *pair) for name, parts in cut.items() for pair in zip(joints[name], parts, strict=True))
        generated = [(name, sample, leaf) for name, sample, leaf in pairs if sample is not leaf]
        scores, critic, generator = outcome.scores, outcome.loss_of("critic"), outcome.loss_of(self.other)
        direct = reachable_leaves(generator, scores.values())  # leaves in the generator's loss beside the scores
        beside = [name for name, _, leaf in generated if name in scores and id(leaf) in direct]
        if beside:
            self.refuse(f"its {self.other}'s loss depends on the joint {beside[0]!r} beside the critic's scores")
        factors = {} if beside else self.factors(outcome, limit)
        usable = not factors or bool(torch.stack([fits for _, fits in factors.values()]).all())
        also = reachable_leaves(critic, scores.values())
        scaled = {id(leaf) for name, _, leaf in generated if usable and name in factors and id(leaf) not in also}
        own = [p for p in self.trainable(self.other) if id(p) in direct]
        if ordinary := [*(leaf for _, _, leaf in generated if id(leaf) not in scaled), *own]:
            gradients = torch.autograd.grad(generator, ordinary, retain_graph=True, materialize_grads=True)
            for tensor, gradient in zip(ordinary, gradients, strict=True):
                add_gradient(tensor, share * gradient)
        inputs = [*self.trainable("critic"), *(leaf for _, _, leaf in generated if id(leaf) in scaled)]
        torch.autograd.backward([critic], [torch.full_like(critic, share)], inputs=inputs)
        for name, _, leaf in generated:
            if id(leaf) in scaled and leaf.grad is not None:
                leaf.grad = scale_samples(leaf.grad, factors[name][0])
        if generated:
            samples, found = zip(
                *((s, zeros_like(s) if x.grad is None else x.grad) for _, s, x in generated), strict=True
            )
            torch.autograd.backward(samples, found, inputs=self.trainable(self.other))
        return outcome

    def capturable(self) -> Dynamics:
        """Returns simultaneous updates, which are equal: whether one pass through the critic is exact depends on values,
        by which a graph cannot branch.
        """
        return Simultaneous(self.game, self.optimizers, self.options)

    def factors(self, outcome: Outcome, limit: float) -> dict[str, tuple[Tensor, Tensor]]:
        """Returns the generator's gradient relative to the critic's, as one factor for each sample.

        The factor of a sample with the critic's score s is (dL_g/ds) / (dL_c/ds), with the losses L_g of the generator and
        L_c of the critic.

        Arguments:
            outcome: the losses and scores of one batch.
            limit: factors are usable if they are 0 or between 1 / `limit` and `limit`.

        Returns:
            name of the joint distribution -> its factors, shape (n,), and a boolean tensor, shape (): True if all are
            usable and all scores of one sample have the same factor. Joint distributions on whose scores one of the
            losses does not depend are absent.

        Raises:
            UserError: the generator's loss depends on scores that the critic's loss does not depend on.
        """
        scores, players = tuple(outcome.scores.values()), ("critic", str(self.other))
        losses = (outcome.losses[player] for player in players)
        gradients = (torch.autograd.grad(loss, scores, retain_graph=True, allow_unused=True) for loss in losses)
        used = {name: (c, g) for name, c, g in zip(outcome.scores, *gradients, strict=True) if g is not None}
        if any(c is None for c, _ in used.values()):
            self.refuse(f"its {self.other}'s loss depends on scores that its critic's loss does not depend on")
        return {name: gradient_factors(c, g, limit) for name, (c, g) in used.items() if c is not None}

    def obstacle(self, batch: Sequence[Tensor] = ()) -> str | None:
        """Returns the reason for which the game cannot be trained in one stage, as a clause, or None.

        The players are tested, and the critic's layers; with a batch, at the first call, also whether each score depends
        on its own sample alone.

        Arguments:
            batch: the tensors of a batch, or empty.
        """
        if self.other is None:
            return f"its players are {', '.join(self.game.players)}, and not a critic and one other"
        if type(self.game).forward is not Game.forward:
            return "its `forward` is not that of `Game`"
        if any(norm.training or norm.running_mean is None for norm in self.norms):
            return "its critic has batch norm, by which a score depends on the other samples too"
        if batch and not self.separate:
            if reason := sample_mixing(self.game, batch):
                return reason
            self.separate = True
        return None

    def refuse(self, reason: str) -> None:
        """Raises the error for a game that cannot be trained in one stage; `reason` is a clause of its message."""
        raise UserError(
            f"{type(self.game).__name__} cannot be trained in one stage: {reason}; use `dynamics='simultaneous'`, which "
            f"gives the same updates."
        )


class Auto(OneStage):
    """Simultaneous updates, with one backward pass of the critic for both players where that is exact, as in one-stage
    training.

    A step that does not meet the conditions of `OneStage`, which are checked without a tolerance, is the ordinary one:
    if the critic has batch norm, if a score depends on other samples than its own, or if the generator's loss depends on
    the samples beside the scores. So are all steps on other devices than a CPU, which would have to wait for the checks.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
        Training Generative Adversarial Networks in One Stage, Chengchao Shen and others, 2021,
        https://arxiv.org/abs/2103.00430
    """

    scales_losses = True
    found: str | None = None  # the reason that the first batch has shown, after which all steps are ordinary ones

    def add_gradients(self, batch: Sequence[Tensor], players: Sequence[str], share: float) -> Outcome:
        """Evaluates the game on one batch and adds each player's gradient to `.grad` of its parameters.

        Arguments:
            batch: the tensors of the batch.
            players: the names of the players whose gradients are computed; those of one alone, and those of scaled losses,
                are computed in the ordinary way.
            share: a factor on the gradients: 1 / the number of batches over which they are averaged.

        Returns:
            The losses and the critic's scores.
        """
        if len(players) < len(self.game.players) or self.scalers:
            return Simultaneous.add_gradients(self, batch, players, share)
        return super().add_gradients(batch, players, share)

    def obstacle(self, batch: Sequence[Tensor] = ()) -> str | None:
        """Returns the reason for which the next step is an ordinary one, as a clause, or None; see `OneStage.obstacle`."""
        if self.found is None and device_of(self.game).type != "cpu":
            self.found = "it is not on a CPU"
        reason = self.found or super().obstacle()
        if reason is None and batch and not self.separate:
            try:
                reason = self.found = super().obstacle(batch)
            except Exception as error:  # a custom game need not be able to take a part of a batch
                reason = self.found = f"it cannot be evaluated on a few samples ({error})"
        return reason

    def refuse(self, reason: str) -> None:
        """Does nothing: the next step is an ordinary one."""


def gradient_dtype(loss: Tensor) -> torch.dtype:
    """The dtype in which a loss was computed: that of autocast if it is enabled for the device of the loss, else the
    loss's.
    """
    device = loss.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else loss.dtype


def gradient_factors(c: Tensor, g: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Returns the ratio g / c of each sample, 0 where g is 0, and whether all ratios are usable as factors on gradients.

    They are usable if each is 0 or between 1 / `limit` and `limit`, and all scores of one sample have the same ratio.

    Arguments:
        c: gradient of the critic's loss in the scores, shape (n, ...): one or several scores for each sample.
        g: gradient of the generator's loss in the scores, shape (n, ...).
        limit: the greatest usable factor.

    Returns:
        The ratios of the first score of each sample, shape (n,), and a boolean tensor, shape ().
    """
    ratio = torch.where(g == 0, 0.0, g / c).reshape(len(g), -1)
    size, other = g.abs(), c.abs()
    fits = torch.where(g == 0, other <= limit, (size <= limit * other) & (other <= limit * size))
    return ratio[:, 0], fits.all() & (ratio == ratio[:, :1]).all()


def add_gradient(tensor: Tensor, gradient: Tensor) -> None:
    """Adds a gradient to `.grad` of a tensor, or sets `.grad` to it if it is None."""
    tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient


def merge_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    """Combines the outcomes of several batches: the mean of each player's losses, without gradient, and the
    concatenated scores.
    """
    losses = {p: torch.stack([o.losses[p].detach() for o in outcomes]).mean() for p in outcomes[0].losses}
    return Outcome(losses, {name: torch.cat([o.scores[name] for o in outcomes]) for name in outcomes[0].scores})


def snapshot(parameters: list[nn.Parameter]) -> list[Tensor]:
    """Returns copies of the values of parameters, in the same order, which do not require a gradient."""
    return [p.detach().clone() for p in parameters]


@torch.no_grad()
def assign(parameters: list[nn.Parameter], values: list[Tensor]) -> None:
    """Copies the values into the parameters in place, the first value into the first parameter and so on, without
    gradient.
    """
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


KINDS: dict[str, type[Dynamics]] = {
    "simultaneous": Simultaneous, "alternating": Alternating, "extragradient": Extragradient, "past": Past,
    "optimistic": Optimistic, "consensus": Consensus, "one-stage": OneStage, "auto": Auto,
}  # fmt: skip
REGISTRY: Registry[Callable[..., Dynamics]] = Registry("dynamics", KINDS, base=Dynamics)
