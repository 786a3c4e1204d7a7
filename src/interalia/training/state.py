"""The state of a training: everything that its next step depends on."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from interalia.contexts import device_of, own_random
from interalia.data.dataset import Dataset
from interalia.data.sampler import Sampler
from interalia.data.store import Store
from interalia.games import Game
from interalia.learning import optimizers
from interalia.learning.dynamics import Dynamics
from interalia.networks import weights
from interalia.runs import Run
from interalia.runs.claims import Claim
from interalia.runs.folder import Folder
from interalia.runs.formats import FORMAT
from interalia.training.batches import draw


@dataclasses.dataclass
class Training:
    """The state of a training: what a checkpoint holds, and what observers look at.

    Attributes:
        run: the resolved description.
        folder: where the run is kept, or None.
        dataset: the data with its three parts.
        game: the game being trained.
        average: the average of its weights, or None.
        averaging: which average that is.
        optimisers: one a player.
        schedule: the learning rates' factor over time.
        dynamics: how the players move.
        stores: the training data, by index; one a domain.
        samplers: the orders in which it is drawn, one a domain.
        batches: the batches, drawn in that order.
        step: steps done.
        seconds: time spent in training, over all sittings.
        best: the best value so far of the run's declared measure, and its step; None before the first evaluation.
        estimated: what `finished` answered last, at which step, and whether of the best one.
        converged: why it ends before its last step, where it does; set by whoever watches the measures.
        fingerprint: of the data, where the run is kept in a folder.
        claim: the sole right to train in the folder, until the training is finished.
    """

    run: Run
    folder: Folder | None
    dataset: Dataset
    game: Game
    average: AveragedModel | None
    averaging: optimizers.Averaging | None
    optimisers: dict[str, Optimizer]
    schedule: optimizers.Schedule
    dynamics: Dynamics
    stores: tuple[Store, ...]
    samplers: tuple[Sampler, ...]
    batches: Iterator[tuple[Tensor, ...]]
    step: int = 0
    seconds: float = 0.0
    best: tuple[float, int] | None = None
    estimated: tuple[tuple[int, bool], Game] | None = None
    converged: str = ""
    fingerprint: dict[str, Any] | None = None
    claim: Claim | None = None

    @property
    def device(self) -> torch.device:
        return device_of(self.game)

    @property
    def home(self) -> Folder:
        """The folder of a run that is kept in one."""
        assert self.folder is not None
        return self.folder

    @property
    def steps(self) -> int:
        assert self.run.steps is not None  # resolved
        return self.run.steps

    @property
    def sampled(self) -> Game:
        """The game with the weights that samples are drawn from: the averaged ones, where the run averages."""
        game: Any = self.game if self.average is None else self.average.module
        return game  # type: ignore[no-any-return]

    def finished(self) -> Game:
        """The game as it is exported at the end: the one that samples are drawn from, of the best step where the training
        has converged, with batch norm's statistics estimated anew where the run asks for it. The training itself is left as
        it is."""
        converged = self.folder is not None and bool(self.converged) and self.best is not None
        if self.run.recalibrate_bn == 0 and not converged:
            return self.sampled
        if self.estimated is None or self.estimated[0] != (self.step, converged):
            game = copy.deepcopy(self.sampled)
            if converged:
                from safetensors.torch import load_file

                game.load_state_dict(load_file(self.home.best))
            if self.run.recalibrate_bn:
                batches = draw(self.stores, self.game.feeds.samplers(self.stores, self.run.batch_size, self.run.seed))
                with own_random(self.device, self.run.seed):
                    weights.estimate_population(game, batches, self.run.recalibrate_bn)
            self.estimated = ((self.step, converged), game)
        return self.estimated[1]

    @property
    def finished_step(self) -> int:
        """The step whose weights `finished` has."""
        return self.best[1] if self.folder is not None and self.converged and self.best is not None else self.step

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, in tensors and plain values."""
        return {
            "format": FORMAT,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "game": self.game.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimisers": {player: optimiser.state_dict() for player, optimiser in self.optimisers.items()},
            "dynamics": self.dynamics.state_dict(),
            "samplers": [sampler.state_dict() for sampler in self.samplers],
            "memory": self.game.extra_state(),
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
                "mps": torch.mps.get_rng_state() if self.device.type == "mps" else None,
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over the state that `state` gave."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.best = None if state["best"] is None else (state["best"][0], state["best"][1])
        self.game.load_state_dict(state["game"])
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        for player, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][player])
        self.dynamics.load_state_dict(state.get("dynamics", {"memory": []}))  # which older checkpoints do not have
        for sampler, position in zip(self.samplers, state["samplers"], strict=True):
            sampler.load_state_dict(position)
        self.game.load_extra_state(state["memory"])
        torch.set_rng_state(state["random"]["cpu"].cpu())
        if self.device.type == "cuda" and state["random"]["cuda"]:
            torch.cuda.set_rng_state_all([part.cpu() for part in state["random"]["cuda"]])
        if self.device.type == "mps" and state["random"].get("mps") is not None:
            torch.mps.set_rng_state(state["random"]["mps"].cpu())
