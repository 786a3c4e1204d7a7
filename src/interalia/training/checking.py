"""Whether a part of one's own is sound: it is built, moved, saved and resumed in small, before it is trained with."""

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
from interalia.registry import Origin
from interalia.runs import FROM_PYTHON, Run, loading
from interalia.training import engine
from interalia.training.callbacks.callback import Callback
from interalia.training.callbacks.checkpoint import Checkpoint
from interalia.training.state import Training

# data of these shapes are tried in turn, until the networks are made for one
SHAPES = ((1, 8, 8), (2,), (1, 28, 28), (3, 32, 32), (3, 64, 64))
STEPS = 5
FIELDS = {kind: key for key, f in reversed(Run.__dataclass_fields__.items()) if (kind := f.metadata.get("kind"))}


# kinds whose parts not every game has a use for -> the argument of those that have
ARGUMENTS = {
    "divergences": "divergence", "penalties": "penalty", "noises": "noise", "augmentations": "noise", "priors": "prior",
    "conditionals": "encoder",
}  # fmt: skip


class UnsoundError(Exception):
    """What a check found, in words."""


@dataclass(frozen=True)
class Check:
    """One check of a part.

    Attributes:
        name: what was tried.
        outcome: "ok"; "refused" where the parts say themselves, by a `UserError`, that they do not fit; or "failed".
        words: why, or what was found.
    """

    name: str
    outcome: Literal["ok", "refused", "failed"]
    words: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:<8} {self.name}{': ' if self.words else ''}{self.words}"


def check(
    part: object, kind: str | None = None, settings: Mapping[str, Any] | None = None, **fields: Any
) -> list[Check]:
    """Tries a part of one's own, in seconds: a class, a function or an object that could be an entry of a registry.

    A game is built on every family of networks, where each parameter has to have one player, moved five steps by every
    dynamics, saved and resumed; each of its losses is seen to reach its own player alone. Any other part of a run is tried
    with every game that takes it. Data are loaded and trained on.

    Arguments:
        part: the part, which need not have been added.
        kind: its kind, such as "schedules", where that cannot be told from it.
        settings: its settings, where they are not to be the defaults.
        fields: of the `Run` that it is tried with, such as ``prior="codes()"``.

    Raises:
        UserError: its kind cannot be told, or it cannot be an entry of that kind, or there is no such field.

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
    """As `check`, one by one."""
    kind = kind or kind_of(part)
    registry.registry(kind)
    if kind not in CHECKS and kind not in FIELDS:
        raise UserError(
            f"no entry of the {kind} is checked here; it can be one of: {', '.join(sorted({*FIELDS, *CHECKS}))}."
        )
    with entered(part, kind) as name:
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
        yield from CHECKS.get(kind, any_part)(run, kind, text)


def kind_of(part: object) -> str:
    """The kind of a part, from the registry that it is in, or from what it derives from.

    Raises:
        UserError: it cannot be told.
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
        f"{part!r} could be one of: {', '.join(kinds or registry.KINDS)}; say which, by `kind`."
        if kinds or callable(part)
        else f"{part!r} is no part of a run; give a class, a function or an object that could be an entry."
    )


@contextlib.contextmanager
def entered(part: object, kind: str) -> Iterator[str]:
    """The name of the part as an entry, which it is for the length of the block at least."""
    entries = registry.registry(kind)
    known = [name for name, entry in (*entries.built_in.items(), *entries.added.items()) if entry is part]
    if known:
        yield known[0]
        return
    name = getattr(part, "__name__", None) or getattr(part, "name", None) or "checked"
    if name in entries:
        raise UserError(f"there is an entry {name!r} among the {kind} already; give it another name.")
    entries.take(name, part, Origin(str(getattr(part, "__module__", "__main__"))))
    try:
        yield name
    finally:
        entries.remove(name)


def attempt(name: str, work: Callable[[], str | None], refusable: bool = False) -> Check:
    """A check, from what it raises."""
    try:
        return Check(name, "ok", work() or "")
    except UserError as error:
        return Check(name, "refused" if refusable else "failed", str(error))
    except UnsoundError as error:
        return Check(name, "failed", str(error))
    except Exception as error:
        return Check(name, "failed", registry.failure(error))


def numbers(shape: tuple[int, ...], other: bool = True) -> Dataset:
    """Random data of that shape, of four labels, with a second domain; images are of zeros and ones."""
    random = np.random.default_rng(0)
    image = len(shape) == 3

    def split(count: int) -> Split:
        size = (count, *shape)
        x = 255 * random.integers(0, 2, size).astype(np.uint8) if image else random.normal(size=size)
        return Split(x if image else x.astype(np.float32), np.arange(count) % 4)

    return Dataset(
        "check", split(32), split(16), split(16), tuple("0123"),
        other=numbers(shape, False) if other else None, binarized="static" if image else "none",
    )  # fmt: skip


def fitting(run: Run) -> tuple[Run, Dataset | None]:
    """The data that a run can be built on: those that it names, or random ones of the first shape that fits.

    Raises:
        UserError: none fits, in the words that are about the parts and not about the shape, as far as they can be told.
    """
    refusals = []
    for dataset in map(numbers, SHAPES) if run.data == FROM_PYTHON else [None]:
        try:
            engine.prepare(run, dataset=dataset)
            return run, dataset
        except UserError as error:
            refusals.append(str(error))
    raise UserError(next((text for text in refusals if "shape" not in text), refusals[0]))


class Watch(Callback):
    """Keeps each step's losses; ends the training after one of its steps, as if it had been killed."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.outcomes: list[Outcome] = []

    def step(self, training: Training, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if training.step == self.last:
            raise InterruptedError


def steps(run: Run, dataset: Dataset | None) -> None:
    """Five steps: every loss is finite, and every player has moved.

    Raises:
        UserError: the parts say that they do not fit.
        UnsoundError: a loss is not finite, or a player does not move.
    """
    training = engine.prepare(run, dataset=dataset)
    game, watch = training.game, Watch()
    before = {player: [p.detach().clone() for p in game.parameters_of(player)] for player in game.players}
    engine.finish(training, [watch])
    for number, outcome in enumerate(watch.outcomes, 1):
        for player, loss in outcome.losses.items():
            if not torch.isfinite(loss).all():
                raise UnsoundError(f"the loss of the player {player!r} is {loss.tolist()} at step {number}")
    for player, were in before.items():
        if all(torch.equal(was, now) for was, now in zip(were, game.parameters_of(player), strict=True)):
            raise UnsoundError(f"the player {player!r} stands where it stood after {STEPS} steps")


def reaches(training: Training) -> None:
    """That each player's loss has a gradient in its own parameters, which a look at the game puts there and nowhere else.

    Raises:
        UnsoundError: it has not, or there are other losses than players, or one is no scalar.
    """
    game, batch = training.game, next(training.batches)
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
        training.dynamics.look(iter([batch]), player)
        reached = {name for name, p in game.named_parameters() if p.grad is not None and bool(p.grad.any())}
        own = {name for name in reached if name.partition(".")[0] in networks}
        if not own:
            raise UnsoundError(f"the loss of {player!r} has no gradient in the networks {', '.join(networks)}")
        if reached != own:
            raise UnsoundError(f"the loss of {player!r} reaches {min(reached - own)}, which is another player's")
    game.zero_grad(set_to_none=True)


def resumes(run: Run, dataset: Dataset | None) -> None:
    """That a training which is killed and resumed ends as one that was not, to the bit, and its weights load.

    Raises:
        UnsoundError: it does not, or they do not.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole = engine.prepare(run, dataset=dataset)
        engine.finish(whole, [])
        home = Path(folder) / "run"
        with contextlib.suppress(InterruptedError):
            engine.finish(engine.open_run(run, home, dataset=dataset), [Checkpoint(), Watch(last=2)])
        resumed = engine.open_run(run, home, resume=True, dataset=dataset)
        if resumed.step != 2:
            raise UnsoundError(f"the training that was killed at step 2 goes on from step {resumed.step}")
        trained = engine.finish(resumed, [Checkpoint()])
        one, other = (flat({k: v for k, v in t.state().items() if k != "seconds"}) for t in (whole, resumed))
        for key in one | other:
            if not same(one.get(key), other.get(key)):
                raise UnsoundError(f"{key} differs from a training that was not interrupted")
        loaded = loading.load(home).game.state_dict()
        for key, value in trained.game.state_dict().items():
            if not torch.equal(loaded[key], value.cpu()):
                raise UnsoundError(f"{key} of the loaded weights differs from what was trained")


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The values in nested mappings and lists, by their path."""
    if isinstance(value, Mapping | list | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return {path: inner for key, part in items for path, inner in flat(part, f"{name}/{key}").items()}
    return {name.strip("/"): value}


def same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else bool(a == b)


def each(
    kind: str, name: str, work: Callable[[str], str | None], names: Iterable[str] | None = None
) -> Iterator[Check]:
    """A check for every entry of a kind, or for those of these names; the entry may refuse."""
    for entry in registry.registry(kind) if names is None else names:
        yield attempt(name.format(entry), functools.partial(work, entry), refusable=True)


def a_game(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Of a game: every family of networks, its losses, every dynamics, and a training that is resumed."""
    found: list[tuple[Run, Dataset | None]] = []

    def built(family: str) -> str:
        found.append(fitting(run.replace(game=text, networks=family)))
        data = found[-1][1]
        return f"data of shape {data.shape}" if data else ""

    yield from each("networks", "builds on the networks {}", built)
    if not found:
        yield Check("builds", "failed", "no family of networks makes a game of it; see above")
        return
    run, dataset = found[0]
    training = engine.prepare(run, dataset=dataset)
    yield attempt("each loss reaches its own player alone", lambda: reaches(training))
    yield from each("dynamics", f"{STEPS} steps, {{}}", lambda name: steps(run.replace(dynamics=name), dataset))
    yield attempt("saved and resumed, equal to the bit", lambda: resumes(run, dataset))


def any_part(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Of another part of a run: five steps with every game, and a training that is resumed."""
    found: list[tuple[Run, Dataset | None]] = []

    def moved(game: str) -> None:
        fit = fitting(run.replace(**{"game": game, FIELDS[kind]: text}))
        steps(*fit)
        found.append(fit)

    argument = ARGUMENTS.get(kind)
    games = registry.registry("games").items()
    taking = [name for name, made in games if not argument or argument in inspect.signature(made).parameters]
    yield from each("games", f"{STEPS} steps, {{}}", moved, taking)
    if found:
        yield attempt(f"saved and resumed ({found[0][0].game}), equal to the bit", lambda: resumes(*found[0]))
    else:
        yield Check("played", "failed", "no game can be played with it; see above")


def a_recipe(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Of a recipe: its run, whose parts there are, and which its file describes too."""

    def described() -> str:
        made: Run = registry.registry("recipes")[text]()
        made.check_parts()
        if Run.restored(tomllib.loads(made.dump())) != made:
            raise UnsoundError("the file that describes its run describes another")
        return made.name

    yield attempt("its run", described)


def a_data_set(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Of data: their three parts, and a training on them."""
    source = registry.registry("data")[text]
    yield attempt("loads", lambda: parts_of(source.load()))
    yield attempt("loads the same again", lambda: loads_the_same(source))
    yield from any_part(run, kind, text)


def parts_of(dataset: Dataset) -> str:
    """How many rows there are of which shape.

    Raises:
        UnsoundError: a part is empty, or of another shape or type than training data, or not finite.
    """
    for name in ("train", "validation", "test"):
        split: Split = getattr(dataset, name)
        x = np.asarray(split.x)
        if not len(x) or x.shape[1:] != dataset.shape:
            raise UnsoundError(f"`{name}` is of shape {x.shape}, and must hold rows of shape {dataset.shape}")
        if x.dtype != (np.uint8 if dataset.is_image else np.float32) or not np.isfinite(x).all():
            raise UnsoundError(f"`{name}` is of type {x.dtype}; images are uint8, vectors float32 and finite")
        if (split.y is None) != (dataset.train.y is None) or (split.y is not None and len(split.y) != len(x)):
            raise UnsoundError(f"`{name}` has not one label a row, as the others")
    counts = ", ".join(f"{len(getattr(dataset, name)):,} {name}" for name in ("train", "validation", "test"))
    return f"{counts}, shape {dataset.shape}, {dataset.labels} labels"


def loads_the_same(source: Any) -> None:
    if difference := fingerprints.difference(*(fingerprints.fingerprint(source.load()) for _ in range(2))):
        raise UnsoundError(difference)


def a_metric(run: Run, kind: str, text: str) -> Iterator[Check]:
    """Of a metric: its value for every game that it can be taken of, before any training."""

    def value(game: str) -> str:
        fit, dataset = fitting(run.replace(game=game))
        training = engine.prepare(fit, dataset=dataset)
        one, again = (metrics.evaluate(training.game.eval(), training.dataset, names=[text])[0] for _ in range(2))
        if not math.isfinite(one.value):
            raise UnsoundError(f"it is {one.value}")
        if one != again:
            raise UnsoundError(f"it is {one.value}, and at once {again.value} of the same game and seed")
        return f"{one.value:.4g}, {one.protocol}"

    yield from each("games", "of {}", value)


CHECKS: dict[str, Callable[[Run, str, str], Iterator[Check]]] = {
    "games": a_game,
    "data": a_data_set,
    "metrics": a_metric,
    "recipes": a_recipe,
}
