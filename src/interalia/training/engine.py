"""Training: how a run is prepared, the loop over its steps, and how callbacks and signals are handled."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from interalia import data, registry, runs
from interalia.contexts import BatchNorm, Conv, flush_denormals, keyed, precision_context, resolve_precision
from interalia.contexts.processes import LostProcessError
from interalia.data import fingerprints, mean_image, objects
from interalia.data.dataset import Dataset
from interalia.data.images import PixelOptions
from interalia.data.progress import hidden_progress
from interalia.data.splits import SplitOptions
from interalia.disk import writing
from interalia.errors import DataWarning, UserError, interrupt, interruptible, printable, resume_call
from interalia.games import DataSpec, Game, Outcome
from interalia.games.feeds import Domains
from interalia.learning import dynamics
from interalia.learning.dynamics import UpdateOptions
from interalia.learning.optimizers import OPTIMIZERS, SCHEDULES, make_average
from interalia.networks.weights import use_channels_last
from interalia.runs import DEFAULT, Run, building, claims, loading, recipes
from interalia.runs.fields import Fields
from interalia.runs.folder import Folder, matching_initial, with_generator_copy
from interalia.runs.initial import start_from
from interalia.training import batches, capture, checkpoint, processes, shards
from interalia.training.callbacks import Callback, default_callbacks
from interalia.training.state import Training
from interalia.training.trained import Trained


class Interrupted(KeyboardInterrupt):
    """The error for a training that a signal has ended before its last step, after everything was saved. As it is a
    KeyboardInterrupt, a sweep over several trainings ends with it.

    Attributes:
        trained: the game as it was trained so far.
    """

    def __init__(self, trained: Trained) -> None:
        super().__init__(f"go on with {resume_call(trained.folder.path)}." if trained.folder else "")
        self.trained = trained


@flush_denormals()  # also in the threads that start here
def prepare(
    run: Run,
    folder: Folder | None = None,
    generator: nn.Module | None = None,
    game: Game | None = None,
    dataset: Dataset | None = None,
    trust: bool = False,
    weights: Mapping[str, Tensor] = {},
) -> Training:
    """Loads the data of a run, builds its game and optimizers, and returns the training at step 0.

    Arguments:
        run: the description of the training.
        folder: the folder of the run; None for a training that writes nothing.
        generator: a trained module z -> x, for a game that trains an encoder alone; None for the one that the run names.
        game: a custom, untrained game; None for the one that the run describes.
        dataset: a custom data set; None for the one that the run names.
        trust: True to open the run's pretrained generator if it is a .pt2 file, which can execute code.
        weights: the game's weights in the checkpoint to resume from; empty for a new run. In older versions the networks
            "auto" were fully connected for some games. They are built so again if none of these weights is of a convolution.

    Raises:
        UserError: a component of the run does not exist or does not fit the others, or the folder has a run of other data.
    """
    run = runs.run.with_own_parts(run.canonical(), game, dataset)
    if game is not None and generator is not None:
        raise UserError("a custom game has its own decoder; leave `generator` out.")
    run.check_parts()
    run = run.with_absolute_paths()
    device = loading.resolve_device(run.device)
    check_device(device, run.precision)
    dataset = loading.with_clusters(run, dataset, folder) if dataset else loading.load_dataset(run, folder)
    rows, given = dataset.smaller("train") // run.pack * run.pack, run.batch_size
    run = run.replace(batch_size=rows) if 2 <= rows < given else run
    fingerprint = None if folder is None else fingerprints.fingerprint(dataset)
    if folder is not None and fingerprint is not None:
        folder.check_data(fingerprint)
    torch.manual_seed(run.seed)
    if game is None:
        mean = mean_image(dataset) if DataSpec(**dataset.described).support == "unit" else None
        source = loading.as_trained(with_generator_copy(run, folder), weights, dataset.shape)
        game = building.build_for(source, dataset, mean, generator, trust)
    else:
        building.check_fits(game, dataset)
    warn_of_domains(game, dataset)
    game.data = game.feeds.data_spec(game.data, dataset)
    game = game.to(device).train()
    if run.batch_size < 2 and any(isinstance(module, BatchNorm) for module in game.modules()):
        raise UserError("`batch_size` is 1, and batch norm averages over a batch; give `batch_size=2` or more.")
    stores = game.feeds.stores(game.data, dataset, device, labeled=run.num_labeled, seed=run.seed)
    samplers = game.feeds.samplers(stores, run.batch_size, run.seed)
    run = resolve(run, game, dataset, steps_of_epochs(run, samplers[0].batches), device)
    check_evaluation(run, game, dataset, folder)
    if run.batch_size < given:
        text = f"a batch has {rows} examples in place of {given}, because {dataset.smaller('train')} are trained on."
        warnings.warn(text, DataWarning, stacklevel=2)
    if device.type == "cpu" or run.precision != "fp32":
        use_channels_last(game)
    optimizers = make_optimizers(game, run)
    averaging, fp16 = make_average(run.weight_average), run.precision == "fp16"
    precision = precision_context(run.precision, device)
    options = UpdateOptions(run.grad_accumulation, run.grad_clip, run.skip_critic_above, precision, fp16)
    training = Training(
        run=run,
        folder=folder,
        dataset=dataset,
        game=game,
        initial=start_from(run, game, folder) if run.init_from is not None and not weights else None,
        average=averaging.averaged_model(game) if averaging else None,
        averaging=averaging,
        optimizers=optimizers,
        schedule=registry.make(run.schedule, SCHEDULES, "schedule"),
        dynamics=registry.make(run.dynamics, dynamics.REGISTRY, "dynamics", game, optimizers, options),
        stores=stores,
        samplers=samplers,
        batches=batches.draw(stores, samplers),
        fingerprint=fingerprint,
    )
    capture.check(training)
    return training


def warn_of_domains(game: Game, dataset: Dataset) -> None:
    """Warns if data have two domains, as a folder with trainA and trainB has, and the game is trained on the first alone."""
    if dataset.other is not None and not issubclass(game.feeds, Domains):
        text = (
            f"the data have two domains, and {type(game).__name__} is trained on the first; translating games use both."
        )
        warnings.warn(text, DataWarning, stacklevel=3)


def check_device(device: torch.device, precision: str) -> None:
    """Raises a UserError if no training is supported on a device, or none in that precision, such as "fp16" on a CPU."""
    if device.type == "mps":
        raise UserError("training on 'mps' is not supported, because it was never tested there; give `device='cpu'`.")
    if device.type == "cpu" and precision == "fp16":
        raise UserError(
            "`precision` is 'fp16', which processors compute slowly; give `precision='bf16'` or 'fp32', or `device='cuda'`."
        )


def steps_of_epochs(run: Run, batches: int) -> int:
    """Returns the number of steps of a run that sets `epochs`; 0 if it does not.

    A step counts as `grad_accumulation` batches, whose gradients are averaged for one update. The number is rounded up.

    Arguments:
        run: the description.
        batches: number of batches in an epoch.
    """
    return math.ceil((run.epochs or 0) * batches / run.grad_accumulation)


def resolve(run: Run, game: Game, dataset: Dataset, steps: int, device: torch.device) -> Run:
    """Returns the run with values in place of those that it leaves open.

    They are `steps`, computed from `epochs` if it is None, and `precision`, `device` and `monitor` in place of "auto".
    The precision "auto" becomes "bf16" if the game has convolutions and the hardware multiplies bf16 numbers natively,
    else "fp32". The device becomes the name of `device`. The monitored metric "auto" becomes "reconstruction_ratio" for a
    game with a pretrained decoder, else "reverse_kl" for a synthetic mixture of one domain, else "frechet_distance".

    Arguments:
        run: the description.
        game: the game of the run.
        dataset: the data of the run.
        steps: number of steps in `run.epochs`, used if `run.steps` is None.
        device: the device of the game.

    Raises:
        UserError: the run has neither `steps` nor `epochs`.
    """
    if run.steps is None and run.epochs is None:
        raise UserError("the run has no length; give `steps` or `epochs`.")
    steps, metric = steps if run.steps is None else run.steps, run.monitor
    if metric == "auto":
        metric = "reverse_kl" if dataset.mixture is not None and game.data.other is None else "frechet_distance"
        metric = "reconstruction_ratio" if "decoder" in game.pretrained else metric  # its samples never change
    precision = resolve_precision(run.precision, game, device)
    return dataclasses.replace(run, steps=steps, precision=precision, device=str(device), monitor=metric)


def check_evaluation(run: Run, game: Game, dataset: Dataset, folder: Folder | None) -> None:
    """Raises a UserError if the monitored metric of the run cannot be computed for its game and data.

    With `early_stopping` it also raises one if `run.evaluate_every` is 0 (no evaluations) or `folder` is None (no folder).
    """
    from interalia.metrics.evaluation import check_monitor

    check_monitor(run.monitor, dataset, game)
    if run.early_stopping and folder is None:
        raise UserError("`early_stopping` keeps the best weights in the run's folder; give `out`.")
    if run.early_stopping and not run.evaluate_every:
        raise UserError("`early_stopping` counts evaluations, and `evaluate_every` is 0; give `evaluate_every` steps.")


def make_optimizers(game: Game, run: Run) -> dict[str, Optimizer]:
    """Returns an optimizer for each player, over the parameters of that player, by the player's name.

    The learning rate of a player is the number for it in `run.lr`, else the number for all players or for "default",
    else the default of the optimizer. It is stored as "initial_lr" in the parameter groups too, because schedules
    multiply it.

    Arguments:
        game: the game.
        run: the description, of which `optimizer` and `lr` are used.

    Raises:
        UserError: `run.lr` has a name that is no player, or the optimizer has no such argument.
    """
    rates = run.lr if isinstance(run.lr, Mapping) else {} if run.lr is None else {DEFAULT: run.lr}
    for player in rates:
        if player != DEFAULT:
            game.check_player(player, "lr")
    optimizers = {}
    for player in game.players:
        rate = {"lr": found} if (found := rates.get(player, rates.get(DEFAULT))) is not None else {}
        optimizer = registry.make(run.optimizer, OPTIMIZERS, "optimizer", game.parameters_of(player), **rate)
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        optimizers[player] = optimizer
    return optimizers


def keep_freed_memory() -> None:
    """Sets the C library of the process (glibc) to keep freed memory for the next step; has no effect with another library.

    By default glibc returns every large array to the system. Allocating it again costs tenths of the time of a step.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        library.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD


def limit_threads(training: Training) -> None:
    """Sets torch to one thread if the game is on a CPU and has no convolutions, unless OMP_NUM_THREADS is set.

    A second thread makes such games slower, and many times slower if another program uses the processor.
    """
    small = not any(isinstance(module, Conv) for module in training.game.modules())
    if training.device.type == "cpu" and small and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def set_learning_rates(training: Training) -> None:
    """Sets the learning rate of each optimizer for the next step: the initial one times the factor that the schedule
    returns.
    """
    factor = training.schedule(training.step / max(1, training.steps))
    for optimizer in training.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def loop(training: Training, callbacks: Sequence[Callback]) -> None:
    """Trains until the last step, a signal to stop, or a `stop_reason` that a callback sets, and calls the callbacks.

    Arguments:
        training: the training, which is changed.
        callbacks: called in this order after each step.
    """
    if training.device.type == "cpu":
        keep_freed_memory()
    team = training.team
    first = training.samplers[0].batch // team.size * team.rank  # row of the batch
    with stop_on_signals(again=team.size == 1) as stop, flush_denormals(), notify_callbacks(training, callbacks):
        step: Callable[[], Outcome] = training.take_step
        if training.run.compile:
            step = capture.CompiledStep(training)
        elif training.run.shards > 1:
            step = shards.ShardedStep(training)
        clock = time.perf_counter()
        while training.step < training.steps and not team.any(stop.is_set() or bool(training.stop_reason)):
            training.game.set_progress(training.step, training.steps)
            set_learning_rates(training)
            for parameter in itertools.chain.from_iterable(training.dynamics.networks.values()):
                if parameter.grad is not None:  # of a callback, or of a step that an error has ended
                    parameter.grad = None
            with keyed(training.run.seed, training.step, first=first), team.step():
                outcome = step()
            training.step += 1
            training.seconds += time.perf_counter() - clock
            for callback in callbacks:
                callback.step(training, outcome)
            clock = time.perf_counter()
        training.stop_reason = team.broadcast(training.stop_reason)


@contextmanager
def notify_callbacks(training: Training, callbacks: Sequence[Callback]) -> Iterator[None]:
    """A context that calls `start` of each callback before the block and `stop` after it, or `close` instead of `stop`
    after an error.
    """
    try:
        for callback in callbacks:
            callback.start(training)
        yield
        for callback in callbacks:
            callback.stop(training)
    except BaseException:
        for callback in callbacks:
            callback.close()
        raise


@contextmanager
def stop_on_signals(again: bool = True) -> Iterator[threading.Event]:
    """A context with an event that is set by Ctrl-C or a termination signal, so that the training can end between two
    steps.

    A second SIGINT or SIGTERM raises a KeyboardInterrupt at once, if `again` is True; torchrun repeats the signals that a
    terminal sends. A closed terminal (SIGHUP) and the warning of a job
    queue (SIGUSR1) set the event too, but never raise, because they may be sent repeatedly. These two signals are left
    alone if the process ignores them, as under nohup, or has a handler for them. Outside of the main thread no handler is
    installed.

    Yields:
        The event.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    warnings = [getattr(signal, name) for name in ("SIGHUP", "SIGUSR1") if hasattr(signal, name)]  # not on Windows
    handlers = {number: signal.getsignal(number) for number in warnings}
    before |= {number: found for number, found in handlers.items() if found in (signal.SIG_DFL, interrupt)}
    interrupted = False

    def handle(number: int, _: Any) -> None:
        """The handler of the signal `number`: sets the event, and raises a KeyboardInterrupt at the second SIGINT or
        SIGTERM.
        """
        nonlocal interrupted
        if again and interrupted and number not in warnings:
            raise KeyboardInterrupt
        interrupted = interrupted or number not in warnings
        event.set()

    for number in before:
        signal.signal(number, handle)
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    run: Run | str | None = None,
    out: Path | str | None = None,
    *,
    data: Any = None,
    minutes: float | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] | None = None,
    verbose: bool = True,
    generator: nn.Module | None = None,
    game: Game | str | None = None,
    encoder: nn.Module | str | None = None,
    decoder: nn.Module | None = None,
    critic: nn.Module | None = None,
    dataset: Dataset | None = None,
    trust: bool = False,
    **fields: Unpack[Fields],
) -> Trained:
    """Trains the game that a run describes, and returns it with its run, folder and data.

    Arguments:
        run: the description of the training, or the name of a recipe such as "ali-digits"; None for the recipe ali-images if
            `data` is given, for ``Run()`` if a custom game is given, and for ali-digits otherwise.
        out: the folder for log, checkpoints, weights and figures, which must be new unless `resume`; None writes nothing.
        data: the training data in place of those of the run: the name of a data set, the path of a folder or file, an array,
            a pair (x, y) of arrays, or a map-style data set of torch or Hugging Face; see
            `interalia.data.objects.as_dataset`.
        minutes: the length in minutes in place of `steps`, which are chosen by the time of a step on this machine. About 10
            for `data` without `run` and `steps`; image size, batch and augmentation are then chosen by the data, too.
        resume: True to continue from the newest good checkpoint in the folder, up to `run.steps`, which may be increased.
        callbacks: called after each step; None for those of `interalia.training.callbacks.default_callbacks`.
        verbose: False to print nothing; not used if `callbacks` are given.
        generator: a trained module z -> x, for a game that trains an encoder alone; `interalia.load` needs it too.
        game: a custom, untrained game in place of the one that the run describes; it is trained in place, and
            `interalia.load` needs an equal untrained one. Or a text, the field of the run.
        encoder: a custom network of the encoder, or a `Conditional`, in place of the run's; the game is then a custom one. Or
            a text, the field of the run.
        decoder: a custom network of the decoder, or a `Conditional`, likewise.
        critic: a custom critic, a module that returns a score for each pair (x, z), likewise.
        dataset: a custom data set in place of the one that the run names; as `data`.
        trust: True to open the run's pretrained generator where it is a .pt2 file, which can execute code.
        fields: fields of the run with other values, by name, such as ``steps=1000``.

    Returns:
        The game in eval mode with its run, folder, step and data set. Its weights are the averaged ones of the last step, or
        of the best step after early stopping.

    Raises:
        UserError: the folder exists and `resume` is False, or another process trains in it, or the data differ from those of
            the resumed run, or a component of the run does not exist or does not fit, or the run describes a game or data
            that are given as arguments too, or a loss is not finite.
        Interrupted: Ctrl-C or another signal ended the training, after everything was saved.

    Example:
        >>> trained = train("ali-digits", steps=2, verbose=False)
        >>> trained.generate(4).shape
        torch.Size([4, 1, 8, 8])
    """
    check_given(out, callbacks, game, resume)
    given: dict[str, Any] = dict(fields)
    if isinstance(game, str):
        given["game"], game = game, None
    if isinstance(encoder, str):
        given["encoder"], encoder = encoder, None
    if data is not None and dataset is not None:
        raise UserError("`data` and `dataset` are both given; leave one of them out.")
    data = dataset if data is None else data
    if isinstance(data, str | Path):
        given["data"], data = str(data), None
    modules = {"encoder": encoder, "decoder": decoder, "critic": critic}
    made = described(Run() if run is None and game is not None else run, given, data is not None)
    with interruptible(), hidden_progress(not verbose and callbacks is None):
        if not resume:
            own: Any = {"own_data": data, "game": game, "generator": generator, "trust": trust}
            made = with_plan(made, given, minutes, verbose, run is None, not game and not any(modules.values()), own)
        if data is not None:
            dataset, made = own_dataset(made, data)
        game, made = with_networks(made, game, dataset, modules)
        training = open_run(made, out, resume=resume, generator=generator, game=game, dataset=dataset, trust=trust)
        return finish(training, default_callbacks(training, progress=verbose) if callbacks is None else callbacks)


def check_given(out: object, callbacks: object, game: object, resume: bool) -> None:
    """Raises a UserError if the folder of a run is no path, its callbacks are no list of `Callback`, or its game is neither
    a game nor a text; all may be None, but a resumed run has a folder.
    """
    if resume and out is None:
        raise UserError("`resume` continues the training in a folder; give the folder as `out`.")
    if game is not None and not isinstance(game, str | nn.Module):
        raise UserError(f"`game` is of type {type(game).__name__}, and it must be a game or its name.")
    if out is not None and not isinstance(out, str | Path):
        raise UserError(f"`out` is of type {type(out).__name__}, and it must be the path of a folder.")
    if callbacks is None:
        return
    listed = isinstance(callbacks, list | tuple)
    if not listed or not all(isinstance(one, Callback) for one in callbacks):  # type: ignore[attr-defined]
        raise UserError(
            "`callbacks` must be a list of objects of classes derived from interalia.training.callbacks.Callback."
        )


def with_networks(
    run: Run, game: Game | None, dataset: Dataset | None, modules: Mapping[str, Any]
) -> tuple[Game | None, Run]:
    """Returns the game of a run with some networks replaced by the user's, and the run without the fields that describe it.

    Without such networks they are the arguments `game` and `run`.

    Arguments:
        run: the run.
        game: a custom game; None for the one that the run describes.
        dataset: a custom data set; None for the one that the run names.
        modules: "encoder", "decoder" or "critic" -> the network, or None for the run's.

    Raises:
        UserError: a custom game is given too, or a network cannot replace the run's.
    """
    given = {name: module for name, module in modules.items() if module is not None}
    if not given:
        return game, run
    if game is not None:
        raise UserError(f"a custom game has its own {next(iter(given))}; leave `{next(iter(given))}` out.")
    made = building.with_modules(run, dataset or loading.load_dataset(run), given)
    return made, run.replace(**{key: getattr(Run(), key) for key in runs.run.SET_BY_OWN["game"]})


def with_plan(
    run: Run,
    fields: Mapping[str, Any],
    minutes: float | None,
    verbose: bool,
    default: bool,
    built: bool,
    own: Mapping[str, Any],
) -> Run:
    """Returns a run with the fields of a plan for the data and this machine, if `minutes` or data alone are given; else the
    run itself.

    Arguments:
        run: the run without a plan.
        fields: the fields that the user has set, by name.
        minutes: the length of the training in minutes; None if it is not given.
        verbose: True to print the plan to standard error.
        default: True if the user has given neither a run nor a recipe.
        built: True if the run describes the whole game, so that the image size can be chosen.
        own: the arguments `own_data`, `game`, `generator` and `trust` of `interalia.training.plans.planned`.

    Raises:
        UserError: `minutes` is wrong, the data cannot be read, or the run cannot be trained.
    """
    data = {} if own["own_data"] is None else {"data": own["own_data"]}
    if not recipes.is_planned(None if default else run, {**fields, **data}, minutes):
        return run
    from interalia.training import plans  # here: it imports this module

    whole = default and built and "data" in {**fields, **data}

    def say(line: str) -> None:
        """Prints a line of the plan, if `verbose` is True."""
        if verbose:
            print(printable(line), file=sys.stderr)

    return run.replace(**plans.planned(run, dict(fields), minutes or recipes.MINUTES, whole, say, **own))


def own_dataset(run: Run, data: Any) -> tuple[Dataset, Run]:
    """Returns the data set of an object that the user gave as `data`, and the run without the fields that were applied to it.

    These are the fields on size, colors, layout, units and splits. A `Dataset` is checked and returned, and these fields
    remain, except `image_size`; the field `flip` applies to it too, and remains.

    Raises:
        UserError: as `interalia.data.objects.as_dataset`, or a field does not fit the data.
    """
    if isinstance(data, Dataset):
        found = objects.checked(data)
        return loading.mirrored(found) if run.flip else found, run.replace(image_size=None)
    options, pixels = SplitOptions(run.split, run.fold, run.group), PixelOptions(None, run.gray, run.crop)
    place = Path(run.data_dir) if run.data_dir else None
    found = objects.as_dataset(data, run.image_size, place, options, run.layout, run.scale, run.impute)
    found = pixels.applied(found)
    applied = ("image_size", "gray", "crop", "split", "fold", "group", "layout", "scale", "impute")
    plain = run.replace(**{key: getattr(Run(), key) for key in applied})
    return loading.mirrored(found) if run.flip else found, plain


def described(run: Run | str | None, fields: Mapping[str, Any], own_data: bool) -> Run:
    """Returns a run with some fields replaced.

    Arguments:
        run: the run, the name of a recipe, or None for ali-images with data of the user's, and for ali-digits without.
        fields: the new values of fields, by name.
        own_data: True if a data set is given beside the run.

    Raises:
        UserError: there is no such recipe or field, or `run` is of another type.
    """
    if isinstance(run, Run):
        return run.replace(**fields) if fields else run
    if run is not None and not isinstance(run, str):
        raise UserError(
            f"`run` is of type {type(run).__name__}; give a Run or the name of a recipe, and data as `data=...`."
        )
    name = ("ali-images" if own_data or "data" in fields else "ali-digits") if run is None else run
    made: Run = registry.look_up(name, recipes.REGISTRY, "recipe")[0](**fields)
    made = matching_initial(made, fields) if run is None else made
    own: Any = {"data": Run().data} if own_data and "data" not in fields else {}
    return made.replace(**own)


def open_run(
    run: Run, out: Path | str | None = None, *, resume: bool = False, numbered: bool = False, **given: Any
) -> Training:
    """Returns the training of a run at step 0, or resumed from the newest checkpoint in its folder that can be read.

    The folder is locked against other processes until `finish` ends. If torchrun has started several processes, they train
    the run together; process 0 alone uses the folder.

    Arguments:
        run: the description.
        out: the folder of the run; None for a training that writes nothing.
        resume: True to resume the run in the folder; otherwise the folder must be new.
        numbered: True to use the first free folder of out-2, out-3, ... for a new run if `out` exists.
        given: keyword arguments of `prepare`: a custom `generator`, `game` or `dataset`, and `trust`, True to open a
            pretrained generator in a .pt2 file.

    Raises:
        UserError: the folder cannot be used, or a component of the run does not exist or does not fit the others, or the
            game does not use a field that is set, or a batch cannot be divided among the processes.
    """
    team = processes.start(run.device)
    if team.size > 1:
        first = functools.partial(open_alone, run, out, resume=resume, numbered=numbered, size=team.size, **given)
        return processes.open_together(team, first, functools.partial(prepare, **given), resume)
    return open_alone(run, out, resume=resume, numbered=numbered, **given)


def open_alone(
    run: Run, out: Path | str | None = None, resume: bool = False, numbered: bool = False, size: int = 1, **given: Any
) -> Training:
    """Returns the training of a run in one process, at step 0 or resumed; arguments and errors are those of `open_run`.

    `size` is the number of processes that will train it.
    """
    run = runs.run.with_own_parts(run.canonical(), given.get("game"), given.get("dataset"))
    if not resume:  # runs of older versions may have such fields
        building.without_unused_fields(run, game=given.get("game"))
    if out is None:
        training = prepare(run, **given)
        processes.check(training, size)
        return training
    claim = claims.resume(Path(out)) if resume else claims.begin(Path(out), numbered)
    try:
        folder = Folder(claim.path)
        if not resume:
            folder.clear()
        run = folder.resumed_from(run) if resume else run
        found, damaged = checkpoint.newest(folder) if resume else (None, {})
        training = prepare(run, folder, weights=found[1]["game"] if found else {}, **given)
        processes.check(training, size)
        if resume:
            checkpoint.resume(training, found, damaged)
        initial = None if training.initial is None else dataclasses.asdict(training.initial)
        folder.write(training.run, training.fingerprint, training.game, initial)
        write_trained_on(training, folder)
        if initial and found is None:  # so that a resumed run does not need the other run
            checkpoint.write(training, folder.checkpoints / "last.pt")
    except BaseException:
        if not resume:
            Folder(claim.path).clear()
        claim.withdraw()
        raise
    training.claim = claim
    return training


def write_trained_on(training: Training, folder: Folder) -> None:
    """Writes a digest of each training example to ``trained_on.npy`` in a run's folder, unless the file is there, or the data
    set is a named one, whose splits are fixed.
    """
    if training.run.data in data.REGISTRY or folder.trained_on.exists():
        return
    if (digests := fingerprints.trained_on(training.dataset)) is not None:
        with writing(folder.trained_on, "wb") as file:
            np.save(file, digests)


def finish(training: Training, callbacks: Sequence[Callback] | None = None) -> Trained:
    """Trains until the end, unlocks the folder, and returns the trained game in eval mode.

    Its weights are the averaged ones of the last step, or of the best step after early stopping.

    Arguments:
        training: a training at any step, which is changed.
        callbacks: called after each step, by process 0 of several; None for those of
            `interalia.training.callbacks.default_callbacks`.

    Raises:
        UserError: a loss is not finite, or a file cannot be written, or another process has ended.
        Interrupted: Ctrl-C or another signal ended the training.
    """
    try:
        chosen = default_callbacks(training) if callbacks is None else callbacks
        loop(training, processes.callbacks_for(training, chosen))
        training.team.meet("end")
        game = training.final_game().eval()
    except LostProcessError as error:
        raise processes.lost_process(training.team, f"at step {training.step + 1:,}", error) from error
    finally:
        if training.claim is not None:
            training.claim.release()
    trained = Trained(game, training.run, training.folder, training.final_step, training.dataset, training.lines)
    if training.step < training.steps and not training.stop_reason:
        raise Interrupted(trained)
    return trained
