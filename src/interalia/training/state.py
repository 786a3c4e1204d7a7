"""A training in progress: its game, optimizers, data and all else that its next step depends on."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Required, TypedDict

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor
from torch.optim import Optimizer

from interalia.contexts import device_of, private_rng
from interalia.contexts.processes import ALONE, Team
from interalia.data.dataset import Dataset
from interalia.data.sampler import Sampler
from interalia.data.store import Store
from interalia.games import Game, Outcome
from interalia.learning.dynamics import Dynamics
from interalia.learning.optimizers import Averaging, ListedAverage, Schedule
from interalia.networks import weights
from interalia.runs import Run
from interalia.runs.claims import Claim
from interalia.runs.folder import Folder, header, read_weights
from interalia.runs.formats import FORMAT
from interalia.runs.initial import Initial
from interalia.runs.schemas import Count
from interalia.training.batches import draw


class Group(TypedDict):
    """The learning rate of one parameter group of an optimizer in a checkpoint; other entries of the group are ignored."""

    lr: Annotated[float, Meta(ge=0, le=1e30)]


class OptimizerState(TypedDict):
    """The state of an optimizer in a checkpoint: number of a parameter -> its moments by name, and the learning rates."""

    state: dict[Count, dict[str, Any]]
    param_groups: list[Group]


class Random(TypedDict, total=False):
    """The states of torch's random number generators in a checkpoint: of the CPU, and of the GPUs if it was on one."""

    cpu: Required[Tensor]
    cuda: list[Tensor]
    mps: Tensor | None


class State(TypedDict, total=False):
    """The content of a checkpoint, by the keys that `Training.state_dict` describes, apart from its "format"; keys without
    `Required` are missing in checkpoints of older versions.
    """

    step: Required[Count]
    seconds: Required[Annotated[float, Meta(ge=0, le=1e12)]]
    best: Required[tuple[float, Count] | None]
    game: Required[dict[str, Tensor]]
    average: Required[dict[str, Tensor] | None]
    optimisers: Required[dict[str, OptimizerState]]
    dynamics: dict[str, Any]
    samplers: Required[list[dict[str, Count]]]
    memory: Required[dict[str, Tensor]]
    random: Required[Random]


@dataclasses.dataclass
class Training:
    """A training in progress: its run, game, optimizers, data and current step. Checkpoints save it, and callbacks read
    it.

    Attributes:
        run: the description of the training, with its number of steps, device, precision and monitored metric.
        folder: the run's folder, or None for a training that writes nothing.
        dataset: the data: train, validation and test split.
        game: the game being trained.
        average: the average of the weights, whose `module` is the game with averaged weights; None without averaging.
        averaging: the method by which the average is updated, or None.
        optimizers: name of a player -> its optimizer.
        schedule: a function of the share of training that is done, in [0, 1], that returns a factor on the learning rates.
        dynamics: the update scheme of the players.
        stores: the training data, which return tensors for indices; one for each domain, and one for labeled examples of a
            semi-supervised game.
        samplers: iterators of the indices of the examples in each batch, one for each store.
        batches: an endless iterator of batches of these examples.
        step: number of steps done.
        seconds: training time in seconds, in all processes that trained the run.
        best: the best value so far of the monitored metric, and its step; None before the first evaluation.
        final: a cache of `final_game`: the values of `step` and `stopped_early` at its last call, and its result.
        note: a sentence about the training for the user, which the progress bar prints; empty for none.
        stop_reason: why the training ends before its last step; empty if it does not. Callbacks set it.
        fingerprint: sizes and a digest of the data, by which a resumed run recognizes them; None for a run without a
            folder.
        initial: where the initial weights are from, layer by layer; None if they are random or from a checkpoint.
        lines: the log of a training without a folder: a dictionary for each line.
        claim: the exclusive lock on the folder, until the training is finished; None without a folder.
        team: the processes that train the run together, each on its rows of every batch.
    """

    run: Run
    folder: Folder | None
    dataset: Dataset
    game: Game
    average: ListedAverage | None
    averaging: Averaging | None
    optimizers: dict[str, Optimizer]
    schedule: Schedule
    dynamics: Dynamics
    stores: tuple[Store, ...]
    samplers: tuple[Sampler, ...]
    batches: Iterator[tuple[Tensor, ...]]
    step: int = 0
    seconds: float = 0.0
    best: tuple[float, int] | None = None
    final: tuple[tuple[int, bool], Game] | None = None
    note: str = ""
    stop_reason: str = ""
    fingerprint: dict[str, Any] | None = None
    initial: Initial | None = None
    lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    claim: Claim | None = None
    team: Team = ALONE

    @property
    def device(self) -> torch.device:
        """The device of the game's weights."""
        return device_of(self.game)

    @property
    def home(self) -> Folder:
        """The folder of the run, for callers that need one; raises an AssertionError if the training has no folder."""
        assert self.folder is not None
        return self.folder

    @property
    def steps(self) -> int:
        """The number of steps of the whole training."""
        assert self.run.steps is not None  # resolved
        return self.run.steps

    @property
    def averaged_game(self) -> Game:
        """The game with averaged weights, from which samples are drawn; the game itself if the run has no average."""
        game: Any = self.game if self.average is None else self.average.module
        return game  # type: ignore[no-any-return]

    def take_step(self) -> Outcome:
        """Updates the players and the average on the next batches, and returns the losses and the scores of the critic."""
        outcome = self.dynamics.step(self.batches)
        if self.average is not None and self.averaging is not None:
            self.averaging.update(self.average, self.game, self.step, self.steps)
        return outcome

    @property
    def stopped_early(self) -> bool:
        """True if the training has ended by early stopping, so that the weights of the step with the best metric are
        the final ones.
        """
        return self.folder is not None and bool(self.stop_reason) and self.best is not None

    def final_game(self) -> Game:
        """Returns the game with the weights that are exported at the end of the training.

        They are the averaged weights at the current step or, after early stopping, at the step with the best monitored
        metric. If the run's option `recalibrate_bn` is K > 0, the statistics of batch norm are computed again on K
        batches. In that case, and after early stopping, the result is a copy; the training itself stays unchanged.
        """
        if self.run.recalibrate_bn == 0 and not self.stopped_early:
            return self.averaged_game
        if self.final is None or self.final[0] != (self.step, self.stopped_early):
            game = copy.deepcopy(self.averaged_game)
            if self.stopped_early:
                game.load_state_dict(read_weights(self.home.best, header(self.home.best)))
            if self.run.recalibrate_bn:
                batches = draw(self.stores, self.game.feeds.samplers(self.stores, self.run.batch_size, self.run.seed))
                with private_rng(self.device, self.run.seed):
                    weights.recalibrate_batch_norm(game, batches, self.run.recalibrate_bn)
            self.final = ((self.step, self.stopped_early), game)
        return self.final[1]

    @property
    def final_step(self) -> int:
        """The step of the weights of `final_game`: the best step after early stopping, otherwise the current step."""
        return self.best[1] if self.best is not None and self.stopped_early else self.step

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that the next step depends on, in nested dictionaries and lists of tensors and plain values.

        The keys are "format" (its version), "step", "seconds", "best", "game", "average", "optimisers" (by the player's
        name), "dynamics", "samplers", "memory" (the game's tensors beside its weights) and "random" (the random states
        of torch).
        """
        return {
            "format": FORMAT,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "game": self.game.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimisers": {player: optimizer.state_dict() for player, optimizer in self.optimizers.items()},
            "dynamics": self.dynamics.state_dict(),
            "samplers": [sampler.state_dict() for sampler in self.samplers],
            "memory": self.game.extra_state(),
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
                "mps": torch.mps.get_rng_state() if self.device.type == "mps" else None,
            },
        }

    def load_state_dict(self, state: State) -> None:
        """Restores a state of this training, and the random states of torch with it.

        Arguments:
            state: a result of `state_dict`, or the content of a checkpoint of an older version.

        Raises:
            Exception: a value does not fit this training, which cannot be used then until another state is restored.
        """
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.game.load_state_dict(state["game"])
        if (self.average is None) != (state["average"] is None):
            raise ValueError("only one of the checkpoint and the run has averaged weights")
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        for player, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state["optimisers"][player])
        self.dynamics.load_state_dict(state.get("dynamics", {"memory": []}))  # absent in older checkpoints
        for sampler, position in zip(self.samplers, state["samplers"], strict=True):
            sampler.load_state_dict(position)
        self.game.load_extra_state(state["memory"])
        random = state["random"]
        torch.set_rng_state(random["cpu"].cpu())
        if self.device.type == "cuda" and random.get("cuda"):
            torch.cuda.set_rng_state_all([part.cpu() for part in random["cuda"]])
        if self.device.type == "mps" and (mps := random.get("mps")) is not None:
            torch.mps.set_rng_state(mps.cpu())


def load_optimizer(optimizer: Optimizer, state: OptimizerState) -> None:
    """Restores the moments and learning rates of an optimizer; its other hyperparameters stay those of the run.

    Arguments:
        optimizer: the optimizer.
        state: its state in a checkpoint.

    Raises:
        ValueError: of a parameter that has moments in `state`, one is missing, or is of another shape than after a step with
            this optimizer. Unchecked, a fused optimizer would write beyond its memory. Other parameters have no moments yet.
    """
    trial = copy.deepcopy(optimizer)
    for group in trial.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    trial.step()
    expected = trial.state_dict()["state"]
    for number, found in state["state"].items():
        for name, moment in expected.get(number, {"": None}).items():
            if name not in found or np.shape(found[name]) != np.shape(moment):
                raise ValueError(
                    f"the moment {name!r} of parameter {number} of an optimizer is missing or of another shape"
                )
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state["state"]})
    for group, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        group["lr"] = saved["lr"]
