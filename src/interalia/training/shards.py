"""Steps whose results have the same bits for any number of processes: a batch is computed in a fixed number of shards.

Each shard is computed by a thread with its own copy of the game, its optimizers and all else that a step changes, as by a
process. Sums over the batch are taken over the shards in a fixed order, wherever they are computed.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from interalia.contexts import flush_denormals, keyed
from interalia.contexts.processes import Meeting, Shard
from interalia.games import Outcome
from interalia.training import batches, processes
from interalia.training.state import Training


class ShardedStep:
    """The function that takes one step of a training, with the batch in shards; called without arguments.

    Arguments:
        training: the training. It is itself the first shard of this process; copies of it are the others.

    Raises:
        UserError: the batch cannot be divided into the run's shards, see `interalia.training.processes.check`.
    """

    def __init__(self, training: Training) -> None:
        run, team = training.run, training.team
        processes.check(training, team.size)
        here = run.shards // team.size
        meeting = Meeting(team, here)
        shards = [Shard(team.rank * here + i, run.shards, team.place, meeting, i) for i in range(here)]
        self.parts = [(training if shard.thread == 0 else copied(training), shard) for shard in shards]
        for part, shard in self.parts:
            part.batches = batches.draw(part.stores, part.samplers, shard)
        self.training, self.meeting, self.begun = training, meeting, False
        self.threads = ThreadPoolExecutor(here - 1, "shard") if here > 1 else None

    def __call__(self) -> Outcome:
        """Takes a step of all shards of this process, and returns the losses and scores of the whole batch.

        Raises:
            Exception: the error of the first shard that has one.
        """
        rates = {player: [g["lr"] for g in o.param_groups] for player, o in self.training.optimizers.items()}
        futures: list[Future[Outcome]] = []
        random = torch.get_rng_state()
        for part, shard in self.parts[1:]:
            assert self.threads is not None
            part.step = self.training.step
            futures.append(self.threads.submit(self.take_step, part, shard, rates))
        errors: list[BaseException] = []
        try:
            outcome = self.take_step(*self.parts[0], rates)
        except BaseException as error:
            errors.append(error)
        errors += [error for error in (future.exception() for future in futures) if error is not None]
        if not self.begun:  # threads that check the game for one-stage training have used torch's generator at once
            torch.set_rng_state(random)
            self.begun = True
        if errors:
            raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
        return outcome

    def take_step(self, part: Training, shard: Shard, rates: Mapping[str, list[float]]) -> Outcome:
        """Takes the step of one shard in the calling thread, and returns the losses and scores of the whole batch.

        `part` is the training or a copy; `rates` are the learning rates of each parameter group, by the player's name.
        """
        for player, optimizer in part.optimizers.items():
            for group, rate in zip(optimizer.param_groups, rates[player], strict=True):
                group["lr"] = rate
        part.game.set_progress(part.step, part.steps)
        first = part.samplers[0].batch // shard.size * shard.rank  # row of the batch
        try:
            with flush_denormals(), keyed(part.run.seed, part.step, first=first), shard.step():
                return part.take_step()
        except BaseException:
            self.meeting.barrier.abort()  # so that no thread waits for this one
            raise


def copied(training: Training) -> Training:
    """Returns a copy of a training without a folder, whose next steps are the same; the data are not copied."""
    memo = {id(value): value for value in (training.dataset, *training.stores)}
    made = (training.game, training.average, training.optimizers, training.dynamics, training.samplers)
    game, average, optimizers, dynamics, samplers = copy.deepcopy(made, memo)
    return dataclasses.replace(
        training, game=game, average=average, optimizers=optimizers, dynamics=dynamics, samplers=samplers,
        folder=None, claim=None, lines=[], final=None,
    )  # fmt: skip
