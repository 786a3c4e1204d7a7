"""A run that several processes train together: how they meet, share a batch, agree and end.

`torchrun` starts the processes and sets the environment variables RANK, WORLD_SIZE and LOCAL_RANK. Process 0 alone has the
folder of the run, its log, its evaluations and its page.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch

from interalia import registry
from interalia.contexts import BatchNorm
from interalia.contexts.processes import ALONE, LostProcessError, Team, digest, join_batch_norms, sharing
from interalia.data import fingerprints
from interalia.errors import UserError, resume_call, sentence
from interalia.games import Outcome
from interalia.learning.dynamics import Consensus
from interalia.networks.layers import Dropout
from interalia.training import batches
from interalia.training.callbacks import Callback, TerminateOnNaN
from interalia.training.callbacks.callback import is_due
from interalia.training.state import Training

# without an answer of another process: longer than any evaluation or download by process 0, for which the others wait
TIMEOUT = datetime.timedelta(minutes=60)
GRACE = 2.0  # seconds in which the others notice the same loss


def start(device: str) -> Team:
    """Returns the team of processes that this one belongs to, and connects to the others at the first call.

    Arguments:
        device: the device of the run: "cpu", "cuda", or "auto" for a GPU for each process if there is one.

    Raises:
        UserError: the environment variables are incomplete, or there are fewer GPUs than processes, or the device has a
            number, such as "cuda:1", or the processes do not meet.
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdecimal() or int(text) < 2:
        return ALONE
    import torch.distributed as dist

    size, rank, local = int(text), os.environ.get("RANK", ""), os.environ.get("LOCAL_RANK", "")
    if not (rank.isdecimal() and local.isdecimal() and os.environ.get("MASTER_ADDR")):
        raise UserError(
            f"WORLD_SIZE is {size}, and RANK, LOCAL_RANK or MASTER_ADDR is not set; start the processes with torchrun, or "
            f"unset WORLD_SIZE."
        )
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if not cuda and device not in ("auto", "cpu"):
        raise UserError(
            f"`device` is {device!r}, and each of {size} processes takes its own; give 'cuda', 'cpu' or 'auto'."
        )
    if cuda and int(local) >= torch.cuda.device_count():
        raise UserError(
            f"process {rank} is number {int(local) + 1} of its machine, which has {torch.cuda.device_count()} GPUs; start as "
            f"many processes as there are GPUs, or give `device='cpu'`."
        )
    if cuda:
        torch.cuda.set_device(int(local))
    if not dist.is_initialized():
        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=TIMEOUT)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(
                f"the {size} processes do not find each other ({reason}); start them with torchrun."
            ) from None
        atexit.register(leave)
    return Team(int(rank), size)


@contextlib.contextmanager
def together(device: str) -> Iterator[Team]:
    """A context manager in which the processes that torchrun has started, if any, share the work of an evaluation.

    All of them make the same one, and get the same results. `device` is as in `start`; the value is the team.

    Raises:
        UserError: as `start`, or one of the processes has ended.
    """
    team = start(device)
    try:
        with sharing(team):
            yield team
        team.meet("end")
    except LostProcessError as error:
        raise UserError(f"one of the {team.size} processes is gone ({error}); start the command again.") from error


def leave() -> None:
    """Ends the communication with the other processes."""
    import torch.distributed as dist

    with contextlib.suppress(Exception):  # of a process that is gone
        dist.destroy_process_group()


@contextlib.contextmanager
def agreeing(team: Team) -> Iterator[None]:
    """A context manager for the preparation of a training, at whose end all processes raise the error of the first
    process that has one.

    It is printed by process 0 alone.
    """
    failed: Exception | None = None
    try:
        yield
    except Exception as error:
        failed = error
    of_machine = None if failed is None else sentence(failed)
    texts = team.gather_objects(None if failed is None else (of_machine or str(failed) or type(failed).__name__))
    found = [(rank, text) for rank, text in enumerate(texts) if text is not None]
    if failed is not None and not isinstance(failed, UserError) and of_machine is None:
        raise failed
    if found:
        rank, text = found[0]
        raise spoken(UserError(f"process {rank} of {team.size}: {text}" if rank else text), team.first) from failed


def spoken(error: UserError, here: bool) -> UserError:
    """Returns the error, marked to be printed by this process if `here` is True, and otherwise by another one."""
    error.silent = not here
    return error


def open_together(team: Team, first: Callable[[], Training], other: Callable[..., Training], resumed: bool) -> Training:
    """Returns the training of a run by several processes, with the same state in all of them.

    Process 0 opens it first, so that the others find downloaded data; then they get its run and its state.

    Arguments:
        team: the processes.
        first: opens the run in its folder; called in process 0.
        other: prepares the run that it gets as an argument, without a folder; called in the other processes, with the
            weights of a resumed run as the argument `weights`.
        resumed: True if the run is resumed.

    Raises:
        UserError: the run cannot be opened, or its batch cannot be divided, or the data of the processes differ, or one of
            them has ended.
    """
    training, state, buffer = None, None, io.BytesIO()
    try:
        with agreeing(team):
            if team.first:
                training = first()
                torch.save(training.state_dict(), buffer)
        about = training and (training.run, training.fingerprint, str(training.folder.path) if training.folder else "")
        run, fingerprint, place = team.broadcast(about)
        content = team.broadcast(buffer.getvalue())
        with agreeing(team):
            if training is None:
                state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # process 0 has warned
                    # without a folder for the best weights, and the initial ones, which process 0 has
                    training = other(
                        run.replace(early_stopping=0, init_from=None), weights=state["game"] if resumed else {}
                    )
                if fingerprint is not None and fingerprints.fingerprint(training.dataset) != fingerprint:
                    raise UserError("its data differ from those of process 0; give all processes the same data.")
                check(training, team.size)
                training.load_state_dict(state)  # type: ignore[arg-type]
            training.run, training.team = run, Team(team.rank, team.size, place)
            training.batches = batches.draw(training.stores, training.samplers, training.team)
    except BaseException as error:
        if training is not None and training.claim is not None:
            if not resumed:
                training.home.clear()
            training.claim.withdraw()
        if isinstance(error, LostProcessError):
            raise lost_process(team, "before the first step", error, "start the command again") from error
        raise
    return training


def check(training: Training, size: int) -> None:
    """Checks that `size` processes can train a run together, and joins its batch norms, which then use the rows of all.

    A batch has as many parts as there are processes, or as the run has shards.

    Raises:
        UserError: the rows of a batch cannot be divided equally, or the game has a layer whose results would differ from
            those of one process.
    """
    shards = training.run.shards
    parts = shards if shards > 1 else size
    if parts == 1:
        return
    alone = "leave `shards` out" if shards > 1 else "start one process"
    if shards % size and shards > 1:
        raise UserError(
            f"`shards` is {shards}, which {size} processes cannot share equally; give a multiple of {size}."
        )
    if shards > 1 and training.device.type != "cpu":
        raise UserError(
            "`shards` is for equal bits, which only a CPU computes; leave `shards` out, or give `device='cpu'`."
        )
    if training.run.compile:
        raise UserError(
            f"a compiled step has no messages between {parts} parts of a batch; leave `compile` out, or {alone}."
        )
    pack = training.game.pack
    for sampler in training.samplers:
        if sampler.batch % (parts * pack):
            each = f", each of packs of {pack}" if pack > 1 else ""
            instead = "another number of `shards`" if shards > 1 else "start another number of processes"
            raise UserError(
                f"a batch of {sampler.batch} rows cannot be divided into {parts} equal parts{each}; give a `batch_size` that "
                f"is a multiple of {parts * pack}, or {instead}."
            )
    if pack > 1 and any(isinstance(module, Dropout) for module in training.game.modules()):
        raise UserError(
            f"dropout in a critic of packs of {pack} draws other numbers in {parts} parts of a batch; leave `pack` out, or "
            f"{alone}."
        )
    third = (
        isinstance(training.dynamics, Consensus) and registry.parse(training.run.encoder, "encoder")[0] == "hamiltonian"
    )
    if third and any(isinstance(module, BatchNorm) for module in training.game.modules()):
        raise UserError(
            "consensus with a Hamiltonian posterior takes third derivatives, which torch computes wrongly for the batch norm "
            f"of one process, so that several parts differ from it; choose another `encoder` or `dynamics`, or {alone}."
        )
    if other := join_batch_norms(training.game):
        raise UserError(
            f"{type(other[0]).__name__} would normalize by the rows of one part of the batch only; use nn.BatchNorm1d, 2d or "
            f"3d, or {alone}."
        )


class SameWeights(Callback):
    """The callback that ends a training if its processes hold different weights; compared before each checkpoint."""

    def step(self, training: Training, outcome: Outcome) -> None:
        """Compares the weights in the steps that write a checkpoint."""
        if is_due(training.step, training.run.checkpoint_every, training.steps):
            self.compare(training)

    def stop(self, training: Training) -> None:
        """Compares the weights at the end of the training."""
        self.compare(training)

    def compare(self, training: Training) -> None:
        """Raises a UserError in all processes if the weights or their average differ from those of process 0 in a bit."""
        team, average = training.team, training.average
        states = [training.game.state_dict(), average.state_dict() if average is not None else {}]
        digests = team.gather_objects(digest(value for state in states for value in state.values()))
        different = [rank for rank, found in enumerate(digests) if found != digests[0]]
        if different:
            text = (
                f"the weights of process {different[0]} differ from those of process 0 at step {training.step:,}; no "
                f"checkpoint is written, and the run goes on from the last one with {resume_call(team.place)}."
            )
            raise spoken(UserError(text), team.first)


def callbacks_for(training: Training, callbacks: Sequence[Callback]) -> Sequence[Callback]:
    """Returns the callbacks of this process of a training.

    Those are all of `callbacks` in process 0, and `TerminateOnNaN` of them in the others, with `EvaluateToo` for each
    `Evaluate` of process 0. If there are several processes, `SameWeights` is the first.
    """
    if training.team.size == 1:
        return callbacks
    from interalia.training.callbacks.evaluate import Evaluate, EvaluateToo

    count = training.team.broadcast(sum(isinstance(one, Evaluate) for one in callbacks))
    own = [one for one in callbacks if isinstance(one, TerminateOnNaN)]
    return [SameWeights(), *(callbacks if training.team.first else [*own, *(EvaluateToo() for _ in range(count))])]


def lost_process(team: Team, when: str, error: LostProcessError, advice: str = "") -> UserError:
    """Returns the error for a training that ends because another process has ended; the first that notices it prints it.

    Arguments:
        team: the processes.
        when: the time, such as "at step 5".
        error: the error of the communication.
        advice: what the user can do; by default to resume the run, if it has a folder.
    """
    try:  # process 0 may hold the store, and stays until the others have been there
        here = team.meet("lost", GRACE if team.first else 0.0) == 0
    except RuntimeError:  # process 0 is gone, and its store
        here = team.rank == 1
    go_on = advice or (f"go on with {resume_call(team.place)}" if team.place else "nothing of it was saved")
    text = f"one of the {team.size} processes is gone {when} ({error}); {go_on}."
    return spoken(UserError(text), here)
