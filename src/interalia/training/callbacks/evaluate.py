"""Looks at the validation data from time to time, draws samples, and keeps the best weights by one declared measure."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from interalia import metrics, tasks
from interalia.data.store import as_tensor
from interalia.games import Outcome
from interalia.metrics import health, verdicts
from interalia.metrics.classifier import Classifier
from interalia.metrics.evaluation import evaluate
from interalia.metrics.extractors import extractor_for
from interalia.runs.folder import export
from interalia.runs.log import read
from interalia.training.callbacks.callback import Callback, due
from interalia.training.callbacks.log import Log
from interalia.training.state import Training

SAMPLES = 64
TRANSLATED = 10


class Evaluate(Callback):
    """Measures on validation data only; the best weights by the run's measure are exported to ``checkpoints/best``.

    ChannelConcatCritic the measures it takes the signs of health, and says in one line what they come to. Where the run asks for it, it
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
        self.history = verdicts.signs_of(read(training.home))
        self.kept: dict[str, Tensor] = {}
        self.converge(training, again=True)  # a run that is resumed may have converged already

    def step(self, training: Training, outcome: Outcome) -> None:
        if due(training.step, training.run.evaluate_every, training.steps):
            self.look(training)

    def look(self, training: Training) -> None:
        measures = evaluate(
            training.sampled, training.dataset, split="validation", extractor=self.extractor, quick=True
        )
        values = {measure.name: measure.value for measure in measures}
        self.log.write(training, {f"metrics/{name}": value for name, value in values.items()})
        value = values.get(training.run.monitor)
        if value is not None and math.isfinite(value):
            sign = 1 if metrics.REGISTRY[training.run.monitor].better == "lower" else -1
            if training.best is None or sign * value < sign * training.best[0]:
                training.best = (value, training.step)
                export(training.sampled, training.run, training.step, training.home.best)
        self.examine(training)
        self.converge(training)
        if training.dataset.is_image:
            from interalia.reports import plots

            path = training.home.figures / "progress" / f"step-{training.step:07d}.png"
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
        refused = health.refused_by(training.game, training.run.dynamics)
        verdict = verdicts.verdict(self.history, training.steps, dict(training.run.fields()), refused)
        self.log.write(training, {f"health/{name}": value for name, value in signs.items()}, verdict=verdict)
        if self.say is not None:
            self.say(f"Step {training.step:,}: {verdict}")

    def converge(self, training: Training, again: bool = False) -> None:
        """Ends the training where its measure has not become better for as many evaluations as the run says; `again` where
        the log may know it already."""
        run = training.run
        if not run.early_stopping or training.best is None or training.step >= training.steps:
            return
        if not training.home.best.exists():  # removed between two sittings: there is nothing to end with
            return
        value, step = training.best
        if training.step - step >= run.early_stopping * run.evaluate_every:
            training.converged = (
                f"Stopped at step {training.step:,} of {training.steps:,}: {run.monitor.replace('_', ' ')} has not been better "
                f"than {value:.4g}, at step {step:,}, for {run.early_stopping} evaluations; the weights are of that step."
            )
            if not (again and any(line.get("stopped") == training.converged for line in read(training.home))):
                self.log.write(training, {}, stopped=training.converged)
