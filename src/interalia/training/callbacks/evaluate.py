"""Looks at the validation data from time to time, draws samples, and keeps the best weights by one declared measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interalia import metrics, tasks
from interalia.adversarial.divergences import Wasserstein
from interalia.data.store import as_tensor
from interalia.errors import UserError
from interalia.games.capabilities import Adversarial, Infers
from interalia.games.needs import critics
from interalia.games.variational import Variational
from interalia.metrics import health, verdicts
from interalia.metrics.classifier import Classifier
from interalia.metrics.evaluation import evaluate
from interalia.metrics.features import extractor_for
from interalia.runs.folder import export
from interalia.runs.log import read
from interalia.training.callbacks.callback import Observer, due
from interalia.training.callbacks.log import Log

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.data.dataset import Dataset
    from interalia.games import Game, Outcome
    from interalia.training.state import Training

SAMPLES = 64
TRANSLATED = 10


def watched(dataset: Dataset, game: Game) -> tuple[str, ...]:
    """The measures that a training takes of this game on this data, and by which the best weights can be chosen."""
    if game.data.other is not None:
        known = ("translation_error_a", "translation_error_b") if dataset.paired else ()
        return ("cycle_error", "frechet_distance", "frechet_to_a", "frechet_to_b", *known)
    infers = ("reconstruction_ratio",) if isinstance(game, Infers) else ()
    return (*infers, *(("modes", "high_quality", "reverse_kl") if dataset.mixture else ("frechet_distance",)))


def check_best(best: str, dataset: Dataset, game: Game) -> None:
    """Raises a UserError unless `best` is a measure that training takes."""
    names = watched(dataset, game)
    if best not in names:
        raise UserError(
            f"`best` is {best!r}, which is not measured during the training of {type(game).__name__} on "
            f"{dataset.name!r}; give one of: {', '.join(names)}."
        )


class Evaluate(Observer):
    """Measures on validation data only; the best weights by the run's measure are exported to ``checkpoints/best``.

    Beside the measures it takes the signs of health, and says in one line what they come to. Where the run asks for it, it
    tells the training that it has converged.

    Arguments:
        log: where the measures are written.
        say: where the verdict is shown; None keeps it to the log.
    """

    def __init__(self, log: Log, say: Callable[[str], None] | None = None) -> None:
        self.log = log
        self.say = say

    def start(self, training: Training) -> None:
        self.extractor = extractor_for(training.dataset) if training.run.evaluate_every else None
        assert training.folder is not None
        self.history = signs_of(read(training.folder))
        self.kept: dict[str, Tensor] = {}
        self.converge(training, again=True)  # a run that is resumed may have converged already

    def step(self, training: Training, outcome: Outcome) -> None:
        if due(training.step, training.run.evaluate_every, training.steps):
            self.look(training)

    def look(self, training: Training) -> None:
        assert training.folder is not None
        measures = evaluate(
            training.sampled, training.dataset, split="validation", extractor=self.extractor, quick=True
        )
        values = {measure.name: measure.value for measure in measures}
        self.log.write(training, {f"measures/{name}": value for name, value in values.items()})
        value = values.get(training.run.best)
        if value is not None and math.isfinite(value):
            sign = 1 if metrics.REGISTRY[training.run.best].better == "lower" else -1
            if training.best is None or sign * value < sign * training.best[0]:
                training.best = (value, training.step)
                export(training.sampled, training.run, training.step, training.folder.best)
        self.examine(training)
        self.converge(training)
        if training.dataset.is_image:
            from interalia.reports import plots

            path = training.folder.figures / "progress" / f"step-{training.step:07d}.png"
            if training.game.data.other is not None:
                x = as_tensor(training.dataset.validation.x[:TRANSLATED])
                fake = tasks.translate(training.sampled, x, to="b")
                plots.cycles(x.numpy(), fake.numpy(), tasks.translate(training.sampled, fake, to="a").numpy(), path)
            else:
                plots.grid(tasks.generate(training.sampled, SAMPLES).numpy(), path)

    def examine(self, training: Training) -> None:
        """Takes the signs of health, of the weights as they are, and says what they come to."""
        assert self.extractor is not None
        classes = isinstance(self.extractor, Classifier) and training.dataset.mixture is None
        signs = health.examine(
            training.sampled, training.dataset, self.extractor, classes=classes, playing=training.game, kept=self.kept
        )
        if not signs:
            return
        self.history.append((training.step, signs))
        verdict = verdicts.verdict(
            self.history, training.steps, dict(training.run.fields()), refused_by(training.game, training.run.dynamics)
        )
        self.log.write(training, {f"health/{name}": value for name, value in signs.items()}, verdict=verdict)
        if self.say is not None:
            self.say(f"Step {training.step:,}: {verdict}")

    def converge(self, training: Training, again: bool = False) -> None:
        """Ends the training where its measure has not become better for as many evaluations as the run says; `again` where
        the log may know it already."""
        run = training.run
        if not run.until_converged or training.best is None or training.step >= training.steps:
            return
        assert training.folder is not None
        if not training.folder.best.exists():  # removed between two sittings: there is nothing to end with
            return
        value, step = training.best
        if training.step - step >= run.until_converged * run.evaluate_every:
            training.converged = (
                f"Stopped at step {training.step:,} of {training.steps:,}: {run.best.replace('_', ' ')} has not been better "
                f"than {value:.4g}, at step {step:,}, for {run.until_converged} evaluations; the weights are of that step."
            )
            if not (again and any(line.get("stopped") == training.converged for line in read(training.folder))):
                self.log.write(training, {}, stopped=training.converged)


def signs_of(log: Sequence[Mapping[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    """The signs of health that a log holds, with their steps."""
    found = []
    for line in log:
        signs = {key.removeprefix("health/"): value for key, value in line.items() if key.startswith("health/")}
        if signs:
            found.append((int(line["step"]), signs))
    return found


def refused_by(game: Game, dynamics: str) -> set[str]:
    """The flags among the verdict's remedies that a game, or its dynamics, does not take, and what is no illness of it."""
    judges = critics(type(game))
    refused = set() if any(critic.packable for critic in judges) else {"pack"}
    if isinstance(game, Adversarial) and isinstance(game.divergence, Wasserstein):
        refused.add("critic too strong")  # it is meant to be as sure as it can, and its gradient does not vanish
    ratio = any(not critic.adversary for critic in judges)
    if ratio:
        refused |= {"augment", "noise"}
    if not isinstance(game, Variational) or game.binary:
        alone = ratio or "critic" not in game.players
        refused |= {"game"} if alone else set()  # its remedies are a sigma's
    if not game.data.is_image or (judges and all(critic.x is None for critic in judges)):
        refused.add("augment")
    return refused | ({"penalty"} if dynamics.startswith("consensus") else set())
