"""The engine: one visible loop over the steps of a run. It never sees a loss; observers only look."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from interalia import registry, runs
from interalia.contexts import BatchNorm, flush_denormals, precision_context, resolve_precision
from interalia.data import fingerprints
from interalia.data.dataset import Dataset
from interalia.errors import UserError
from interalia.games import Game, Outcome
from interalia.learning import dynamics, optimizers
from interalia.learning.dynamics import Rules
from interalia.runs import DEFAULT, Run, building, claims, described, loading
from interalia.runs.folder import Folder, with_generator_copy
from interalia.runs.loading import Trained
from interalia.training import batches, checkpoint
from interalia.training.callbacks import Callback, default_callbacks
from interalia.training.state import Training


@flush_denormals()  # so that the threads that begin here do so too
def prepare(
    run: Run,
    folder: Folder | None = None,
    generator: nn.Module | None = None,
    game: Game | None = None,
    dataset: Dataset | None = None,
    trust: bool = False,
    weights: Mapping[str, Tensor] = {},
) -> Training:
    """Loads the data, builds the game and everything that moves it, and resolves what the run left open; a game and data that
    are given take the place of those that the run describes. For `trust` see `train`; `weights` are those that a training
    goes on from, by which networks of an older version are told.

    Raises:
        UserError: a part of the run does not exist or does not fit the others, or the folder keeps a run of other data.
    """
    run = runs.with_own_parts(run, game, dataset)
    if game is not None and generator is not None:
        raise UserError("a game of your own has its decoder with it; leave `generator` out.")
    run.check_parts()
    run = run.with_absolute_paths()
    device = loading.resolve_device(run.device)
    dataset = dataset or described.dataset(run)
    fingerprint = None
    if folder is not None:
        fingerprint = fingerprints.fingerprint(dataset)
        folder.check_data(fingerprint)
    torch.manual_seed(run.seed)
    if game is None:
        mean = batches.mean_image(dataset) if dataset.is_image else None
        as_kept = loading.as_trained(with_generator_copy(run, folder), weights)
        game = building.build_for(as_kept, dataset, mean, generator, trust)
    else:
        building.check_fits(game, dataset)
    game.data = game.feeds.fitted(game.data, dataset)
    game = game.to(device).train()
    if run.batch_size < 2 and any(isinstance(module, BatchNorm) for module in game.modules()):
        raise UserError("`batch_size` is 1, and batch norm averages over a batch; give `batch_size=2` or more.")
    stores = game.feeds.stores(game.data, dataset, device, labeled=run.num_labeled, seed=run.seed)
    samplers = game.feeds.orders(stores, run.batch_size, run.seed)
    run = resolved(run, game, dataset, samplers[0].batches, device)
    check_evaluation(run, game, dataset, folder)
    if run.precision == "bf16" and device.type != "mps":
        game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimisers = optimisers_of(game, run)
    rules = Rules(run.grad_accumulation, run.grad_clip, run.skip_critic_above, precision_context(run.precision, device))
    averaging = optimizers.averaging(run.weight_average)
    return Training(
        run=run,
        folder=folder,
        dataset=dataset,
        game=game,
        average=averaging.of(game) if averaging else None,
        averaging=averaging,
        optimisers=optimisers,
        schedule=registry.make(run.schedule, optimizers.SCHEDULES, "schedule"),
        dynamics=registry.make(run.dynamics, dynamics.REGISTRY, "dynamics", game, optimisers, rules),
        stores=stores,
        samplers=samplers,
        batches=batches.draw(stores, samplers),
        fingerprint=fingerprint,
    )


def resolved(run: Run, game: Game, dataset: Dataset, batches: int, device: torch.device) -> Run:
    """The run with what it left open: its length in steps, of so many batches an epoch, its precision, its device, and the
    measure that chooses the best weights.

    Raises:
        UserError: the run has no length.
    """
    steps, best = run.steps, run.monitor
    if steps is None:
        if run.epochs is None:
            raise UserError("the run has no length; give `steps` or `epochs`.")
        steps = math.ceil(run.epochs * batches)
    if best == "auto":
        best = "reverse_kl" if dataset.mixture is not None and game.data.other is None else "frechet_distance"
        best = "reconstruction_ratio" if "decoder" in game.fixed else best  # its samples stay as they are
    precision = resolve_precision(run.precision, game, device)
    return dataclasses.replace(run, steps=steps, precision=precision, device=str(device), monitor=best)


def check_evaluation(run: Run, game: Game, dataset: Dataset, folder: Folder | None) -> None:
    """Raises a UserError unless the measure that the run chooses its weights by is taken, and kept where it ends by it."""
    from interalia.metrics.evaluation import check_best

    check_best(run.monitor, dataset, game)
    if run.early_stopping and folder is None:
        raise UserError("`early_stopping` keeps the best weights in the run's folder; give `out`.")
    if run.early_stopping and not run.evaluate_every:
        raise UserError("`early_stopping` counts evaluations, and `evaluate_every` is 0; give `evaluate_every` steps.")


def optimisers_of(game: Game, run: Run) -> dict[str, Optimizer]:
    """Each player's optimiser, at the learning rate that it begins with.

    Raises:
        UserError: the run has a rate for a player that the game has not, or a setting that the optimiser has not.
    """
    rates = run.lr if isinstance(run.lr, Mapping) else {} if run.lr is None else {DEFAULT: run.lr}
    for player in rates:
        if player != DEFAULT:
            game.check_player(player, "lr")
    optimisers = {}
    for player in game.players:
        found = rates.get(player, rates.get(DEFAULT))
        rate = {} if found is None else {"lr": found}
        optimiser = registry.make(run.optimizer, optimizers.OPTIMIZERS, "optimizer", game.parameters_of(player), **rate)
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
        optimisers[player] = optimiser
    return optimisers


def keep_memory() -> None:
    """Tells the C library to keep the memory that a step frees for the next step, where there is such a switch (glibc).

    By default it hands every large array back to the system, and taking it again costs tenths of a step on a CPU.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        library.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD


def spare_threads(training: Training) -> None:
    """Takes one thread for networks without convolutions on a CPU: for these a second one costs more than it brings, and
    beside another busy program many times more. A number of threads that the person chose (OMP_NUM_THREADS) stands."""
    small = not any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in training.game.modules())
    if training.device.type == "cpu" and small and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def rate(training: Training) -> None:
    """Sets each optimiser's learning rate to what the schedule says for this step."""
    factor = training.schedule(training.step / max(1, training.steps))
    for optimiser in training.optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] * factor


def loop(training: Training, observers: Sequence[Callback]) -> None:
    """The loop: until the last step, or until somebody asks to stop."""
    if training.device.type == "cpu":
        keep_memory()
    with stopping() as stop, flush_denormals(), watched(training, observers):
        clock = time.perf_counter()
        while training.step < training.steps and not (stop.is_set() or training.converged):
            training.game.at(training.step, training.steps)
            rate(training)
            outcome: Outcome = training.dynamics.step(training.batches)
            if training.average is not None and training.averaging is not None:
                training.averaging.update(training.average, training.game, training.step, training.steps)
            training.step += 1
            training.seconds += time.perf_counter() - clock
            for observer in observers:
                observer.step(training, outcome)
            clock = time.perf_counter()


@contextmanager
def watched(training: Training, observers: Sequence[Callback]) -> Iterator[None]:
    """Tells the observers of the beginning and of the end; after an error they only let go of what they hold."""
    try:
        for observer in observers:
            observer.start(training)
        yield
        for observer in observers:
            observer.stop(training)
    except BaseException:
        for observer in observers:
            observer.close()
        raise


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that is set by Ctrl-C or a termination signal, so that the loop ends between two steps; a second one is
    taken at its word.

    A terminal that is closed (SIGHUP) and a queue's warning (SIGUSR1) set it too, and are never taken at their word, for a
    shell may repeat them at once; where somebody ignores these two, as nohup does, or handles them, they are left alone.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    warnings = [getattr(signal, name) for name in ("SIGHUP", "SIGUSR1") if hasattr(signal, name)]  # not on Windows
    before |= {number: signal.SIG_DFL for number in warnings if signal.getsignal(number) is signal.SIG_DFL}
    asked = False

    def ask(number: int, _: Any) -> None:
        nonlocal asked
        if asked and number not in warnings:
            raise KeyboardInterrupt
        asked = asked or number not in warnings
        event.set()

    for number in before:
        signal.signal(number, ask)
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    run: Run,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    observers: Sequence[Callback] | None = None,
    generator: nn.Module | None = None,
    game: Game | None = None,
    dataset: Dataset | None = None,
    trust: bool = False,
) -> Trained:
    """Trains a run and answers its game.

    Arguments:
        run: the description.
        out: the folder to keep it in: log, checkpoints, weights, figures; None keeps nothing.
        resume: go on from the folder's newest good checkpoint, up to `run.steps`, which may be more than first planned.
        observers: in place of the default_callbacks ones (see `interalia.training.callbacks.default_callbacks`).
        generator: a trained module z -> x for a game that only infers; `interalia.load` is to be given it again.
        game: one of your own making, untrained, in place of one that the run describes; its weights are trained in place,
            and `interalia.load` is to be given one that is made in the same way.
        dataset: data of your own, in place of those that the run names.
        trust: whether the run's generator may be opened where it is a .pt2 file, which can execute code.

    Raises:
        UserError: the folder exists and `resume` is False, or another process trains in it, or the data are not those that
            the resumed run was trained on, or a part of the run does not exist or fit, or the run describes what is given,
            or a loss stopped being finite.

    Example:
        >>> from interalia import recipes, tasks
        >>> trained = train(recipes.ali_digits(steps=2))
        >>> tasks.generate(trained.game, 4).shape
        torch.Size([4, 1, 8, 8])
    """
    training = open_run(run, out, resume=resume, generator=generator, game=game, dataset=dataset, trust=trust)
    return finish(training, observers)


def open_run(
    run: Run,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    generator: nn.Module | None = None,
    game: Game | None = None,
    dataset: Dataset | None = None,
    trust: bool = False,
    numbered: bool = False,
) -> Training:
    """The training of a run, at its beginning or where its folder's newest good checkpoint left it; see `train`. No other
    process trains in the folder until it is finished.

    Arguments:
        numbered: whether a new run takes the folder out-2, out-3 ... where there is something under `out` already.
    """
    run = runs.with_own_parts(run, game, dataset)
    if out is None:
        return prepare(run, None, generator, game, dataset, trust)
    claim = claims.resume(Path(out)) if resume else claims.begin(Path(out), numbered)
    try:
        folder = Folder(claim.path)
        kept = None
        damaged: dict[Path, str] = {}
        if resume:
            run = folder.continued(run)
            kept = checkpoint.newest(folder, damaged)
        training = prepare(run, folder, generator, game, dataset, trust, kept[1]["game"] if kept else {})
        if resume:
            checkpoint.resume(training, kept, damaged)
        folder.write(training.run, training.fingerprint, training.game)
    except BaseException:
        claim.withdraw()
        raise
    training.claim = claim
    return training


def finish(training: Training, observers: Sequence[Callback] | None = None) -> Trained:
    """Runs the loop to its end and answers the game that samples are drawn from; see `train`."""
    try:
        loop(training, default_callbacks(training) if observers is None else observers)
        game = training.finished().eval()
    finally:
        if training.claim is not None:
            training.claim.release()
    return Trained(game, training.run, training.folder, training.finished_step, training.dataset)
