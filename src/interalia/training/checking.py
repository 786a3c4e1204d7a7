"""Checks of a custom part before a training: it is built, trained for a few steps, saved and resumed."""

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
FIELDS = {kind: key for key, f in reversed(Run.__dataclass_fields__.items()) if (kind := f.metadata.get("kind"))}


# kinds whose parts not every game takes -> the argument of the games that do
ARGUMENTS = {
    "divergences": "divergence", "penalties": "penalty", "noises": "noise", "augmentations": "noise", "priors": "prior",
    "conditionals": "encoder",
}  # fmt: skip


class UnsoundError(Exception):
    """A check failed; the message says why."""


@dataclass(frozen=True)
class Check:
    """One check of a part.

    Attributes:
        name: the name of the check.
        outcome: "ok"; "refused" if the parts raised a `UserError`, because they do not fit; or "failed".
        words: the reason, or a result.
    """

    name: str
    outcome: Literal["ok", "refused", "failed"]
    words: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:<8} {self.name}{': ' if self.words else ''}{self.words}"


def check(
    part: object, kind: str | None = None, settings: Mapping[str, Any] | None = None, **fields: Any
) -> list[Check]:
    """Checks a custom part in seconds: a class, function or object that could be an entry of a registry.

    A game is built with every family of networks, trained for five steps by every dynamics, saved and resumed. Each parameter
    must belong to one player, and each loss must have gradients in its own player's parameters alone. Any other part of a run
    is checked with every game that takes it. Data are loaded and trained on.

    Arguments:
        part: the part; it need not be in a registry.
        kind: its kind, such as "schedules", where the part does not determine it.
        settings: its settings, in place of the defaults.
        fields: fields of the `Run` for the checks, such as ``prior="codes()"``.

    Returns:
        One result for each check.

    Raises:
        UserError: the kind is not determined, or the part cannot be an entry of that kind, or there is no such field.

    Example:
        >>> from interalia.adversarial.divergences import KL
        >>> found = check(KL, settings={"saturating": True})
        >>> {one.outcome for one in found if "resumed" in one.name}
        {'ok'}
    """
    return list(checks(part, kind, settings, **fields))


def checks(
    part: object, kind: str | None = None, settings: Mapping[str, Any] | None = None, **fields: Any
) -> Iterator[Check]:
    """Yields the results of `check` one by one."""
    kind = kind or kind_of(part)
    registry.registry(kind)
    if kind not in CHECKS and kind not in FIELDS:
        raise UserError(
            f"no entry of the {kind} is checked here; it can be one of: {', '.join(sorted({*FIELDS, *CHECKS}))}."
        )
    with temporary_entry(part, kind) as name:
        text = str(registry.Part(name, **(settings or {}))) if settings else name
        if kind not in registry.WITHOUT_SETTINGS:
            registry.look_up(text, registry.registry(kind), kind)
        run = Run(
            name="check",
            data=FROM_PYTHON,
            latent_dim=4,
            batch_size=8,
            steps=STEPS,
            evaluate_every=0,
            checkpoint_every=2,
            device="cpu",
        )
        run = run.replace(**fields)
        about = registry.summary(part)
        yield Check("description", "ok" if about else "failed", about or "there is none; write a docstring")
        yield from CHECKS.get(kind, check_part)(run, kind, text)


def kind_of(part: object) -> str:
    """The kind of a part, from its registry or its base class.

    Raises:
        UserError: no kind or several kinds are possible.
    """
    entries = {kind: registry.registry(kind) for kind in registry.KINDS}
    for kind, found in entries.items():
        if any(entry is part for entry in (*found.built_in.values(), *found.added.values())):
            return kind
    kinds = [kind for kind, found in entries.items() if found.base and found.suits(part)]
    if callable(part) and not isinstance(part, type):  # a function may be anything that can be called
        kinds = [kind for kind in kinds if isinstance(part, entries[kind].base or ())]
    if len(kinds) == 1:
        return kinds[0]
    raise UserError(
        f"{part!r} could be one of: {', '.join(kinds or registry.KINDS)}; give `kind`."
        if kinds or callable(part)
        else f"{part!r} is no part of a run; give a class, a function or an object that could be an entry."
    )


@contextlib.contextmanager
def temporary_entry(part: object, kind: str) -> Iterator[str]:
    """Makes the part an entry of the registry inside the block, if it is none yet; yields its name."""
    entries = registry.registry(kind)
    known = [name for name, entry in (*entries.built_in.items(), *entries.added.items()) if entry is part]
    if known:
        yield known[0]
        return
    name = getattr(part, "__name__", None) or getattr(part, "name", None) or "checked"
    if name in entries:
        raise UserError(f"there is an entry {name!r} among the {kind} already; give it another name.")
    entries.check_and_set(name, part, Origin(str(getattr(part, "__module__", "__main__"))))
    try:
        yield name
    finally:
        entries.remove(name)


def run_check(name: str, work: Callable[[], str | None], refusable: bool = False) -> Check:
    """Runs `work` and returns a `Check` with its text, or with the message of its error, as "failed".

    With `refusable`, a UserError is "refused" and no failure.
    """
    try:
        return Check(name, "ok", work() or "")
    except UserError as error:
        return Check(name, "refused" if refusable else "failed", str(error))
    except UnsoundError as error:
        return Check(name, "failed", str(error))
    except Exception as error:
        return Check(name, "failed", registry.failure(error))


def random_data(shape: tuple[int, ...], other: bool = True) -> Dataset:
    """Random data of that shape with four labels, and with a second domain if `other`; images are binary."""
    random = np.random.default_rng(0)
    image = len(shape) == 3

    def split(count: int) -> Split:
        size = (count, *shape)
        x = 255 * random.integers(0, 2, size).astype(np.uint8) if image else random.normal(size=size)
        return Split(x if image else x.astype(np.float32), np.arange(count) % 4)

    return Dataset(
        "check", split(32), split(16), split(16), tuple("0123"),
        other=random_data(shape, False) if other else None, binarized="static" if image else "none",
    )  # fmt: skip


def first_that_builds(run: Run) -> tuple[Run, Dataset | None]:
    """The run with data that it can be built on: its own, or random data of the first shape that fits.

    Raises:
        UserError: no shape fits; the message is the first one that is not about a shape, if there is one.
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
    """Records the losses of each step; raises an InterruptedError after the step `last`, like a killed process."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.outcomes: list[Outcome] = []

    def step(self, training: Training, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if training.step == self.last:
            raise InterruptedError


def train_briefly(run: Run, dataset: Dataset | None) -> None:
    """Checks by five steps that every loss is finite and every player's parameters change.

    Raises:
        UserError: the parts do not fit.
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
    """Checks that each player's loss is a scalar with gradients in its own parameters and in no others.

    Raises:
        UnsoundError: it is not, or losses and players have different names.
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
    """Checks that a training that is killed and resumed equals an uninterrupted one bit for bit, and that its weights load.

    Raises:
        UnsoundError: they differ.
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
    """The values in nested mappings and lists, by their paths."""
    if isinstance(value, Mapping | list | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return {path: inner for key, part in items for path, inner in flatten(part, f"{name}/{key}").items()}
    return {name.strip("/"): value}


def equal(a: Any, b: Any) -> bool:
    """True if two tensors are equal, or two other values."""
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else bool(a == b)


def check_entries(
    kind: str, name: str, work: Callable[[str], str | None], names: Iterable[str] | None = None
) -> Iterator[Check]:
    """One check for each entry of a kind, or for the entries `names`; a UserError counts as refused."""
    for entry in registry.registry(kind) if names is None else names:
        yield run_check(name.format(entry), functools.partial(work, entry), refusable=True)


def check_game(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Checks a game: every family of networks, its losses, every dynamics, and resuming."""
    found: list[tuple[Run, Dataset | None]] = []

    def build(family: str) -> str:
        found.append(first_that_builds(run.replace(game=text, networks=family)))
        data = found[-1][1]
        return f"data of shape {data.shape}" if data else ""

    yield from check_entries("networks", "builds on the networks {}", build)
    if not found:
        yield Check("builds", "failed", "no family of networks makes a game of it; see above")
        return
    run, dataset = found[0]
    training = engine.prepare(run, dataset=dataset)
    yield run_check("each loss reaches its own player alone", lambda: check_gradients(training))
    yield from check_entries(
        "dynamics", f"{STEPS} steps, {{}}", lambda name: train_briefly(run.replace(dynamics=name), dataset)
    )
    yield run_check("saved and resumed, equal to the bit", lambda: check_resuming(run, dataset))


def check_part(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Checks another part of a run: five steps with every game that takes it, and resuming."""
    found: list[tuple[Run, Dataset | None]] = []

    def train(game: str) -> None:
        fit = first_that_builds(run.replace(**{"game": game, FIELDS[kind]: text}))
        train_briefly(*fit)
        found.append(fit)

    argument = ARGUMENTS.get(kind)
    games = registry.registry("games").items()
    taking = [name for name, made in games if not argument or argument in inspect.signature(made).parameters]
    yield from check_entries("games", f"{STEPS} steps, {{}}", train, taking)
    if found:
        yield run_check(f"saved and resumed ({found[0][0].game}), equal to the bit", lambda: check_resuming(*found[0]))
    else:
        yield Check("played", "failed", "no game can be played with it; see above")


def check_recipe(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Checks that all components of a recipe's run exist, and that the run restored from its written file equals it."""

    def restore() -> str:
        made: Run = registry.registry("recipes")[text]()
        made.check_parts()
        if Run.restored(tomllib.loads(made.dump())) != made:
            raise UnsoundError("the file that describes its run describes another")
        return made.name

    yield run_check("its run", restore)


def check_data(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Checks a data set: its three splits, and a training on it."""
    source = registry.registry("data")[text]
    yield run_check("loads", lambda: check_splits(source.load()))
    yield run_check("loads the same again", lambda: check_loads_again(source))
    yield from check_part(run, kind, text)


def check_splits(dataset: Dataset) -> str:
    """Checks the splits of a data set; returns their sizes in words.

    Raises:
        UnsoundError: a split is empty, or of another shape or type than the training data, or not finite.
    """
    for name in ("train", "validation", "test"):
        split: Split = getattr(dataset, name)
        x = np.asarray(split.x)
        if not len(x) or x.shape[1:] != dataset.shape:
            raise UnsoundError(f"`{name}` is of shape {x.shape}, and must hold rows of shape {dataset.shape}")
        if x.dtype != (np.uint8 if dataset.is_image else np.float32) or not np.isfinite(x).all():
            raise UnsoundError(f"`{name}` is of type {x.dtype}; images are uint8, vectors float32 and finite")
        if (split.y is None) != (dataset.train.y is None) or (split.y is not None and len(split.y) != len(x)):
            raise UnsoundError(f"`{name}` does not have one label for each row, as the others do")
    counts = ", ".join(f"{len(getattr(dataset, name)):,} {name}" for name in ("train", "validation", "test"))
    return f"{counts}, shape {dataset.shape}, {dataset.labels} labels"


def check_loads_again(source: Any) -> None:
    """Raises an UnsoundError if loading a data set twice gives different data."""
    if difference := fingerprints.difference(*(fingerprints.fingerprint(source.load()) for _ in range(2))):
        raise UnsoundError(difference)


def check_metric(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Checks a metric: its value for every untrained game to which it applies is finite and reproducible."""

    def value(game: str) -> str:
        fit, dataset = first_that_builds(run.replace(game=game))
        training = engine.prepare(fit, dataset=dataset)
        first, second = (metrics.evaluate(training.game.eval(), training.dataset, names=[text])[0] for _ in range(2))
        if not math.isfinite(first.value):
            raise UnsoundError(f"it is {first.value}")
        if first != second:
            raise UnsoundError(f"it is {first.value}, and then {second.value} for the same game and seed")
        return f"{first.value:.4g}, {first.protocol}"

    yield from check_entries("games", "of {}", value)


CHECKS: dict[str, Callable[[Run, str, str], Iterator[Check]]] = {
    "games": check_game,
    "data": check_data,
    "metrics": check_metric,
    "recipes": check_recipe,
}
