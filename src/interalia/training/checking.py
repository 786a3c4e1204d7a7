"""Checks of a custom component, such as a game or a penalty: it is built, trained for a few steps, saved and resumed."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from interalia import metrics, registry
from interalia.data import fingerprints
from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError
from interalia.games import Outcome
from interalia.learning.dynamics import Simultaneous
from interalia.registry import Origin
from interalia.runs import FROM_PYTHON, Run, loading
from interalia.training import engine
from interalia.training.callbacks.callback import Callback
from interalia.training.callbacks.checkpoint import Checkpoint
from interalia.training.state import Training

# shapes of random data, tried in turn until the networks take one
SHAPES = ((1, 8, 8), (2,), (1, 28, 28), (3, 32, 32), (3, 64, 64))
STEPS = 5
SHORT_RUN = Run(
    data=FROM_PYTHON, latent_dim=4, batch_size=8, steps=STEPS, evaluate_every=0, checkpoint_every=2, device="cpu"
)
FIELDS = {kind: key for key, f in reversed(Run.__dataclass_fields__.items()) if (kind := f.metadata.get("kind"))}


# kinds of components that not every game takes -> the argument of the games that do
ARGUMENTS = {kind: FIELDS[kind] for kind in ("divergences", "penalties", "priors", "conditionals")}
ARGUMENTS |= dict.fromkeys(("noises", "augmentations"), "noise")


class UnsoundError(Exception):
    """The error that a check raises if the component fails it; the message is the reason."""


@dataclass(frozen=True)
class Check:
    """The result of one check of a component, such as "5 steps, ali": passed, refused or failed, with the reason.

    Attributes:
        name: a phrase that names the check.
        outcome: "ok"; "refused" if a `UserError` was raised, because components do not fit; or "failed".
        detail: the reason if the outcome is not "ok", else what was found, such as the shape of the data; may be empty.
    """

    name: str
    outcome: Literal["ok", "refused", "failed"]
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:<8} {self.name}{': ' if self.detail else ''}{self.detail}"


def check(component: object, kind: str | None = None, arguments: Mapping[str, Any] = {}, **fields: Any) -> list[Check]:
    """Checks a custom component in seconds: a class, function or object that could be an entry of a registry.

    A game is built with every family of networks in turn. With the first family that fits, it is trained for five steps by
    every dynamics (update scheme of the players) in turn, and once saved and resumed with the dynamics of the run. Each
    parameter must belong to one player, and each loss must have gradients in its own player's parameters alone. Any other
    component of a run is trained with every game that takes it, and saved and resumed with the first of these games. A
    data set is also loaded twice, and a metric is evaluated twice for every game.

    Arguments:
        component: the component; it need not be in a registry.
        kind: the kind of component, such as "schedules"; None if the class of the component determines it.
        arguments: arguments of the component by name; the others have their defaults.
        fields: fields of the `Run` for the checks, such as ``prior="codes()"``.

    Returns:
        One result for each check.

    Raises:
        UserError: the kind is not determined, or the component cannot be one of that kind, or there is no such field.

    Example:
        >>> from interalia.adversarial.divergences import KL
        >>> found = check(KL, arguments={"saturating": True})
        >>> {one.outcome for one in found if "resumed" in one.name}
        {'ok'}
    """
    return list(checks(component, kind, arguments, **fields))


def checks(component: object, kind: str | None, arguments: Mapping[str, Any], **fields: Any) -> Iterator[Check]:
    """Yields the results of the checks of a component one by one, as they are carried out.

    Arguments:
        component: a class, function or object that could be an entry of a registry.
        kind: the kind of component, such as "schedules"; None if the class of the component determines it.
        arguments: arguments of the component by name; the others have their defaults.
        fields: fields of the `Run` for the checks, such as ``prior="codes()"``.

    Raises:
        UserError: the kind is not determined, or the component cannot be one of that kind, or there is no such field.
    """
    kind = kind or kind_of(component)
    registry.registry(kind)
    kinds = sorted({*FIELDS, *CHECKS})
    if kind not in kinds:
        raise UserError(f"no entry of the {kind} is checked here; it can be one of: {', '.join(kinds)}.")
    with temporary_entry(component, kind) as name:
        text = str(registry.Part(name, **arguments)) if arguments else name
        if kind not in registry.WITHOUT_SETTINGS:
            registry.look_up(text, registry.registry(kind), kind)
        run = SHORT_RUN.replace(**fields)
        about = registry.summary(component)
        yield Check("description", "ok" if about else "failed", about or "there is none; write a docstring")
        yield from CHECKS.get(kind, check_component)(run, kind, text)


def kind_of(component: object) -> str:
    """Returns the kind of a component, such as "penalties": that of the registry which has it as an entry, or that
    whose entries have the same base class.

    Raises:
        UserError: no kind or several kinds are possible.
    """
    entries = {kind: registry.registry(kind) for kind in registry.KINDS}
    if kind := next((kind for kind, found in entries.items() if known_name(found, component)), None):
        return kind
    kinds = [kind for kind, found in entries.items() if found.base and found.suits(component)]
    if callable(component) and not isinstance(component, type):  # a function may be anything that can be called
        kinds = [kind for kind in kinds if isinstance(component, entries[kind].base or ())]
    if len(kinds) == 1:
        return kinds[0]
    if kinds or callable(component):
        raise UserError(f"{component!r} could be one of: {', '.join(kinds or registry.KINDS)}; give `kind`.")
    raise UserError(f"{component!r} is no part of a run; give a class, a function or an object that could be an entry.")


def known_name(entries: registry.Registry[Any], component: object) -> str | None:
    """Returns the name under which a registry has the object `component` as an entry; None if it is no entry."""
    return next((name for name, entry in {**entries.built_in, **entries.added}.items() if entry is component), None)


@contextlib.contextmanager
def temporary_entry(component: object, kind: str) -> Iterator[str]:
    """A context in which a component is an entry of the registry of its kind; it yields the name of the entry.

    If the registry has the component already, that entry is used. Otherwise the component is added under its `__name__` or
    `name`, or as "checked" if it has neither, and removed afterwards.

    Arguments:
        component: the component.
        kind: its kind, such as "penalties".

    Raises:
        UserError: another entry has its name, or it cannot be an entry of that kind.
    """
    entries = registry.registry(kind)
    if known := known_name(entries, component):
        yield known
        return
    name = getattr(component, "__name__", None) or getattr(component, "name", None) or "checked"
    if name in entries:
        raise UserError(f"there is an entry {name!r} among the {kind} already; give it another name.")
    entries.check_and_set(name, component, Origin(str(getattr(component, "__module__", "__main__"))))
    try:
        yield name
    finally:
        entries.remove(name)


def run_check(name: str, work: Callable[[], str | None], refusable: bool = False) -> Check:
    """Carries out a check and returns its result: "ok", or "failed" with the message of the error that was raised.

    Arguments:
        name: the name of the check.
        work: a function that carries out the check; it returns what was found, as text or None, or raises an error.
        refusable: True if the outcome is "refused" instead of "failed" after a UserError.
    """
    try:
        return Check(name, "ok", work() or "")
    except Exception as error:
        reason = str(error) if isinstance(error, UserError | UnsoundError) else registry.failure(error)
        return Check(name, "refused" if refusable and isinstance(error, UserError) else "failed", reason)


def random_data(shape: tuple[int, ...], other: bool = True) -> Dataset:
    """Returns a data set of random examples with four labels: 32 to train, 16 to validate and 16 to test on.

    Arguments:
        shape: the shape of an example: (channels, height, width) makes binary images, (d,) normally distributed vectors.
        other: True for a second domain of random data of the same shape and sizes; False for none.
    """
    random = np.random.default_rng(0)
    image = len(shape) == 3

    def split(count: int) -> Split:
        """Returns a split of `count` random examples, with the labels 0, 1, 2, 3, 0, ..."""
        size = (count, *shape)
        x = 255 * random.integers(0, 2, size).astype(np.uint8) if image else random.normal(size=size)
        return Split(x if image else x.astype(np.float32), np.arange(count) % 4)

    second, binarized = random_data(shape, False) if other else None, "static" if image else "none"
    return Dataset("check", split(32), split(16), split(16), tuple("0123"), other=second, binarized=binarized)


def first_that_builds(run: Run) -> tuple[Run, Dataset | None]:
    """Finds random data that the game of a run can be built for: those of the first shape that its networks take.

    Five shapes of images and vectors are tried in turn, `SHAPES`.

    Returns:
        The run and the data; None for the data if the run names its own, for which the game is then built.

    Raises:
        UserError: the game can be built for no shape. The message is the first one without the word "shape" among those of
            the five attempts, or the first of all.
    """
    refusals = []
    for dataset in map(random_data, SHAPES) if run.data == FROM_PYTHON else [None]:
        try:
            engine.prepare(run, dataset=dataset)
            return run, dataset
        except UserError as error:
            refusals.append(str(error))
    raise UserError(next((text for text in refusals if "shape" not in text), refusals[0]))


class Recorder(Callback):
    """The callback that records the losses and scores of each step, and interrupts the training on request.

    Attributes:
        outcomes: the losses and scores of each step so far.

    Arguments:
        last: the step after which it raises an InterruptedError, as if the process was killed; None for never.
    """

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.outcomes: list[Outcome] = []

    def step(self, training: Training, outcome: Outcome) -> None:
        """Records the losses and scores of a step.

        Raises:
            InterruptedError: the step is the one after which the training is to be interrupted, `last`.
        """
        self.outcomes.append(outcome)
        if training.step == self.last:
            raise InterruptedError


def train_briefly(run: Run, dataset: Dataset | None) -> None:
    """Trains a run for five steps to check that every loss is finite and that the parameters of every player change.

    Arguments:
        run: the run.
        dataset: custom data; None for those that the run names.

    Raises:
        UserError: the components of the run do not fit each other.
        UnsoundError: a loss is not finite, or the parameters of a player do not change.
    """
    training = engine.prepare(run, dataset=dataset)
    game, recorder = training.game, Recorder()
    before = {player: [p.detach().clone() for p in game.parameters_of(player)] for player in game.players}
    engine.finish(training, [recorder])
    for number, outcome in enumerate(recorder.outcomes, 1):
        for player, loss in outcome.losses.items():
            if not torch.isfinite(loss).all():
                raise UnsoundError(f"the loss of the player {player!r} is {loss.tolist()} at step {number}")
    for player, were in before.items():
        if all(torch.equal(was, now) for was, now in zip(were, game.parameters_of(player), strict=True)):
            raise UnsoundError(f"the parameters of the player {player!r} are unchanged after {STEPS} steps")


def check_gradients(training: Training) -> None:
    """Checks that the loss of each player is a scalar with gradients in that player's parameters and in no others.

    Arguments:
        training: a training at its beginning; its game is evaluated on its next batch.

    Raises:
        UnsoundError: a loss is no such scalar, or the losses and the players have different names, or the game computes
            gradients itself.
    """
    game, batch = training.game, next(training.batches)
    dynamics = Simultaneous(game, training.optimizers)  # the run's own may compute all players' gradients at once
    losses = game(*batch).losses
    if any(p.grad is not None for p in game.parameters()):
        raise UnsoundError("`sample` or `losses` computes gradients itself; leave `backward` to the dynamics")
    if set(losses) != set(game.players):
        given, players = ", ".join(sorted(losses)), ", ".join(game.players)
        raise UnsoundError(f"there are losses of {given}, and the players are {players}")
    for player, loss in losses.items():
        if loss.ndim or not loss.requires_grad:
            shape = tuple(loss.shape)
            raise UnsoundError(f"the loss of {player!r} is of shape {shape}, and must be a scalar with a gradient")
    for player, networks in game.players.items():
        game.zero_grad(set_to_none=True)
        dynamics.gradients(iter([batch]), player)
        reached = {name for name, p in game.named_parameters() if p.grad is not None and bool(p.grad.any())}
        own = {name for name in reached if name.partition(".")[0] in networks}
        if not own:
            raise UnsoundError(f"the loss of {player!r} has no gradient in the networks {', '.join(networks)}")
        if reached != own:
            raise UnsoundError(f"the loss of {player!r} reaches {min(reached - own)}, which is another player's")
    game.zero_grad(set_to_none=True)


def check_resuming(run: Run, dataset: Dataset | None) -> None:
    """Checks that a training that is killed at step 2 and resumed equals an uninterrupted one bit for bit, and that the
    saved weights can be loaded.

    Arguments:
        run: the description of the training.
        dataset: custom data; None for those that the run names.

    Raises:
        UnsoundError: the states of the trainings differ, or the loaded weights differ from the trained ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole = engine.prepare(run, dataset=dataset)
        engine.finish(whole, [])
        home = Path(folder) / "run"
        with contextlib.suppress(InterruptedError):
            engine.finish(engine.open_run(run, home, dataset=dataset), [Checkpoint(), Recorder(last=2)])
        resumed = engine.open_run(run, home, resume=True, dataset=dataset)
        if resumed.step != 2:
            raise UnsoundError(f"the training that was killed at step 2 resumes from step {resumed.step}")
        trained = engine.finish(resumed, [Checkpoint()])
        one, other = (flatten({k: v for k, v in t.state_dict().items() if k != "seconds"}) for t in (whole, resumed))
        for key in one | other:
            if not equal(one.get(key), other.get(key)):
                raise UnsoundError(f"{key} differs from a training that was not interrupted")
        loaded = loading.load(home).game.state_dict()
        for key, value in trained.game.state_dict().items():
            if not torch.equal(loaded[key], value.cpu()):
                raise UnsoundError(f"{key} of the loaded weights differs from what was trained")


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Returns all values in nested mappings, lists and tuples, in one dictionary.

    Arguments:
        value: the outermost mapping, list or tuple, or a single value.
        name: the path of `value`, with which the paths of its values begin.

    Returns:
        path -> value. A path consists of the keys and indices, such as "game/critic.weight" or "samplers/0/epoch".
    """
    if isinstance(value, Mapping | list | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return {path: inner for key, part in items for path, inner in flatten(part, f"{name}/{key}").items()}
    return {name.strip("/"): value}


def equal(a: Any, b: Any) -> bool:
    """True if two tensors have equal shapes and elements, or two other values are equal."""
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else bool(a == b)


def check_entries(name: str, work: Callable[[str], str | None], entries: Iterable[str]) -> Iterator[Check]:
    """Carries out one check for each of several entries of a registry, and yields the results; a UserError counts as
    "refused".

    Arguments:
        name: the name of a check, in which ``{}`` is replaced by the name of the entry.
        work: a function of the name of an entry that carries out the check; it returns what was found, as text or None, or
            raises an error.
        entries: the names of the entries.
    """
    for entry in entries:
        yield run_check(name.format(entry), functools.partial(work, entry), refusable=True)


def check_game(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Yields the results of the checks of a game.

    The game is built once with each family of networks. All further checks use the first family that it can be built
    with: the gradients of each loss, by `check_gradients`; five steps of training with each dynamics (update scheme of
    the players); and one training that is saved and resumed, by `check_resuming`, with the dynamics of `run`.

    Arguments:
        run: a short run, in copies of which the checks replace the game, the networks and the dynamics.
        kind: "games".
        text: the name of the game, with its arguments in brackets.
    """
    found: list[tuple[Run, Dataset | None]] = []

    def build(family: str) -> str:
        """Builds the game with the networks of the family of this name. Returns the shape of the random data as text,
        or "" if the run names its own data.
        """
        found.append(first_that_builds(run.replace(game=text, networks=family)))
        data = found[-1][1]
        return f"data of shape {data.shape}" if data else ""

    def train(name: str) -> None:
        """Trains the game for five steps with the dynamics of this name and the first family of networks that fits.

        Raises an UnsoundError if a loss is not finite or a player's parameters do not change.
        """
        train_briefly(run.replace(dynamics=name), dataset)

    yield from check_entries("builds on the networks {}", build, registry.registry("networks"))
    if not found:
        yield Check("builds", "failed", "no family of networks makes a game of it; see above")
        return
    run, dataset = found[0]
    training = engine.prepare(run, dataset=dataset)
    yield run_check("each loss reaches its own player alone", lambda: check_gradients(training))
    yield from check_entries(f"{STEPS} steps, {{}}", train, registry.registry("dynamics"))
    yield run_check("saved and resumed, equal to the bit", lambda: check_resuming(run, dataset))


def check_component(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Yields the results of the checks of a component that is no game.

    It is trained for five steps with each game that takes it. One training, with the first game for which that succeeds,
    is saved and resumed, by `check_resuming`.

    Arguments:
        run: a short run, of which the checks replace the game and the component of that kind.
        kind: the kind of the component, such as "penalties".
        text: its name, with its arguments in brackets.
    """
    found: list[tuple[Run, Dataset | None]] = []

    def train(game: str) -> None:
        """Trains the game of this name with the component for five steps, on random data unless the run names its own.

        Raises a UserError if they do not fit, and an UnsoundError if a loss is not finite or a player does not change.
        """
        fields: Any = {"game": game, FIELDS[kind]: text}
        fit = first_that_builds(run.replace(**fields))
        train_briefly(*fit)
        found.append(fit)

    argument = ARGUMENTS.get(kind)
    games = registry.registry("games").items()
    taking = [name for name, made in games if not argument or argument in inspect.signature(made).parameters]
    yield from check_entries(f"{STEPS} steps, {{}}", train, taking)
    if found:
        yield run_check(f"saved and resumed ({found[0][0].game}), equal to the bit", lambda: check_resuming(*found[0]))
    else:
        yield Check("played", "failed", "no game can be played with it; see above")


def check_recipe(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Yields the result of one check of a recipe, a function that returns a run.

    The components of that run must exist, and the run must equal itself after it was written as TOML and read again.

    Arguments:
        run: not used.
        kind: "recipes".
        text: the name of the recipe.
    """

    def restore() -> str:
        """Returns the name of the recipe's run; raises an error if a component does not exist, or the run differs after
        it was written as TOML and read again.
        """
        made: Run = registry.registry("recipes")[text]()
        made.check_parts()
        if Run.restored(tomllib.loads(made.dump())) != made:
            raise UnsoundError("the file that describes its run describes another")
        return made.name

    yield run_check("its run", restore)


def check_data(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Yields the results of the checks of a data set: its three splits, loading it twice, and a training on it with
    every game.

    Arguments:
        run: a short run, of which the checks replace the data and the game.
        kind: "data".
        text: the name of the data set.
    """
    source = registry.registry("data")[text]
    yield run_check("loads", lambda: check_splits(source.load()))
    yield run_check("loads the same again", lambda: check_loads_again(source))
    yield from check_component(run, kind, text)


def check_splits(dataset: Dataset) -> str:
    """Checks the splits of a data set, and returns their sizes, the shape of an example and the number of labels as text.

    Raises:
        UnsoundError: a split is empty, or of another shape or type than required, or not finite, or lacks labels that the
            training split has.
    """
    for name in ("train", "validation", "test"):
        split: Split = getattr(dataset, name)
        x = np.asarray(split.x)
        if not len(x) or x.shape[1:] != dataset.shape:
            raise UnsoundError(f"`{name}` is of shape {x.shape}, and must hold rows of shape {dataset.shape}")
        if (
            x.dtype not in ((np.uint8, np.float32) if len(dataset.shape) > 2 else (np.float32,))
            or not np.isfinite(x).all()
        ):
            raise UnsoundError(
                f"`{name}` is of type {x.dtype}; images are uint8 or float32, vectors float32 and finite"
            )
        if (split.y is None) != (dataset.train.y is None) or (split.y is not None and len(split.y) != len(x)):
            raise UnsoundError(f"`{name}` does not have one label for each row, as the others do")
    counts = ", ".join(f"{len(getattr(dataset, name)):,} {name}" for name in ("train", "validation", "test"))
    return f"{counts}, shape {dataset.shape}, {dataset.labels} labels"


def check_loads_again(source: Any) -> None:
    """Raises an UnsoundError if two calls of `source.load()` return different data; `source` is the `Source` of a data
    set.
    """
    if difference := fingerprints.difference(*(fingerprints.fingerprint(source.load()) for _ in range(2))):
        raise UnsoundError(difference)


def check_metric(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Yields the result of one check for each game: a metric of the untrained game is finite, and the same if computed
    again.

    The result is "refused" for a game that does not meet the requirements of the metric.

    Arguments:
        run: a short run, of which the checks replace the game.
        kind: "metrics".
        text: the name of the metric.
    """

    def value(game: str) -> str:
        """Evaluates the metric twice for the game of this name. Returns a text of its value and protocol.

        The protocol states on how many samples, and how, the value was computed.

        Raises:
            UnsoundError: the value is not finite, or the two values differ.
        """
        fit, dataset = first_that_builds(run.replace(game=game))
        training = engine.prepare(fit, dataset=dataset)
        first, second = (metrics.evaluate(training.game.eval(), training.dataset, names=[text])[0] for _ in range(2))
        if not math.isfinite(first.value):
            raise UnsoundError(f"it is {first.value}")
        if first != second:
            raise UnsoundError(f"it is {first.value}, and then {second.value} for the same game and seed")
        return f"{first.value:.4g}, {first.protocol}"

    yield from check_entries("of {}", value, registry.registry("games"))


Checker = Callable[[Run, str, str], Iterator[Check]]
CHECKS: dict[str, Checker] = {"games": check_game, "data": check_data, "metrics": check_metric, "recipes": check_recipe}
