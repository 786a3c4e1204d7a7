"""The callback that evaluates on validation data, draws samples and keeps the best weights by the monitored metric."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable

from torch import Tensor

from interalia import metrics
from interalia.contexts.processes import sharing
from interalia.errors import DataWarning
from interalia.games import Outcome
from interalia.metrics import health, verdicts
from interalia.metrics.classifier import Classifier
from interalia.metrics.evaluation import evaluate
from interalia.metrics.extractors import Extractor, extractor_for
from interalia.runs.folder import export
from interalia.training.callbacks.callback import Callback, is_due
from interalia.training.callbacks.log import Log
from interalia.training.state import Training

FIRST_SHEET = 30.0  # seconds of training after which samples are drawn for the first time, if no evaluation was due


def extractor_of(training: Training) -> Extractor | None:
    """Returns the network whose features the evaluations of a training use; None if there are no evaluations."""
    with sharing(training.team):
        return extractor_for(training.dataset) if training.run.evaluate_every else None


def diagnostics(training: Training, extractor: Extractor, cache: dict[str, Tensor]) -> dict[str, float]:
    """Returns the diagnostics of the game with averaged weights, by name, see `interalia.metrics.health.game_diagnostics`.

    `extractor` computes the features; `cache` keeps tensors between the evaluations of one training.
    """
    data, game = training.dataset, training.averaged_game
    classes = isinstance(extractor, Classifier) and data.mixture is None
    with sharing(training.team):
        return health.game_diagnostics(game, data, extractor, classes=classes, live_game=training.game, cache=cache)


class EvaluateToo(Callback):
    """The callback of the other processes for an `Evaluate` of process 0: they compute a part of each evaluation for it."""

    def start(self, training: Training) -> None:
        """Gets the network whose features the metrics use from process 0."""
        self.extractor, self.kept = extractor_of(training), dict[str, Tensor]()

    def step(self, training: Training, outcome: Outcome) -> None:
        """Computes this process's part of the metrics and diagnostics in the steps with an evaluation."""
        if self.extractor is not None and is_due(training.step, training.run.evaluate_every, training.steps):
            with warnings.catch_warnings(), sharing(training.team):
                warnings.simplefilter("ignore")  # process 0 warns
                evaluate(
                    training.averaged_game, training.dataset, split="validation", extractor=self.extractor, quick=True
                )
            diagnostics(training, self.extractor, self.kept)


class Evaluate(Callback):
    """The callback that computes metrics on validation data and keeps the weights with the best value of the monitored
    metric.

    These weights are exported to ``checkpoints/best.safetensors``. The monitored metric is the one that the run's
    option `monitor` names. The callback also computes diagnostics of the training, such as the reconstruction error
    relative to that of another image, and prints a diagnosis in one line. With the run's option `early_stopping` it
    ends the training when the monitored metric no longer improves.

    Arguments:
        log: the callback that writes metrics and diagnostics to the log.
        print: a function that prints a line; None writes the diagnosis to the log alone.
    """

    def __init__(self, log: Log, print: Callable[[str], None] | None = None) -> None:
        self.log = log
        self.print = print
        self.warned = False  # each evaluation has the same warnings about the data

    def start(self, training: Training) -> None:
        """Makes the network whose features the metrics use, unless the run has no evaluations, and reads the
        diagnostics of earlier steps from the log.

        A resumed training ends at once if it had already stopped early.
        """
        self.extractor = extractor_of(training)
        self.history = verdicts.logged_diagnostics(training.home.log_lines())
        self.kept: dict[str, Tensor] = {}
        self.began, self.drawn, self.explained = time.perf_counter(), False, False
        self.check_early_stopping(training, again=True)  # a resumed run may have stopped already

    def step(self, training: Training, outcome: Outcome) -> None:
        """Evaluates the game every `evaluate_every` steps of the run and after the last step, by `evaluate`.

        Samples are also drawn once after 30 seconds, so that there is something to look at within the first minute.
        """
        if is_due(training.step, training.run.evaluate_every, training.steps):
            self.evaluate(training)
        elif not self.drawn and training.dataset.is_image and time.perf_counter() - self.began > FIRST_SHEET:
            self.draw_samples(training)

    def evaluate(self, training: Training) -> None:
        """Computes metrics and diagnostics of the game with averaged weights, and logs them.

        If the data are signals, images or volumes, it also writes a figure of samples, by `draw_samples`.

        The averaged weights are exported if the monitored metric is finite and the best so far. The training may be ended by
        `check_early_stopping`.
        """
        game, data = training.averaged_game, training.dataset
        with warnings.catch_warnings(), sharing(training.team):
            if self.warned:
                warnings.filterwarnings("ignore", category=DataWarning)
            found = evaluate(game, data, split="validation", extractor=self.extractor, quick=True)
        self.warned = True
        values = {metric.name: metric.value for metric in found}
        self.log.write(training, {f"metrics/{name}": value for name, value in values.items()})
        value = values.get(training.run.monitor)
        if value is not None and math.isfinite(value):
            sign = 1 if metrics.REGISTRY[training.run.monitor].better == "lower" else -1
            if training.best is None or sign * value < sign * training.best[0]:
                training.best = (value, training.step)
                export(game, training.run, training.step, training.home.best)
        self.diagnose(training)
        self.check_early_stopping(training)
        if len(data.shape) > 1:
            self.draw_samples(training)

    def draw_samples(self, training: Training) -> None:
        """Draws a figure into ``figures/progress`` by `interalia.reports.closeups.draw_progress`: samples or translations.

        The path of the first one is printed.
        """
        from interalia.reports.closeups import draw_progress

        path = training.home.figures / "progress" / f"step-{training.step:07d}.png"
        if self.print is not None and not self.drawn:
            self.print(f"step {training.step:,}: samples in {path}")
        self.drawn = True
        draw_progress(training.averaged_game, training.dataset, path)

    def diagnose(self, training: Training) -> None:
        """Computes the diagnostics of the game with averaged weights, logs them, and logs and prints a diagnosis in one
        line.

        Diagnostics are numbers, such as the critic's AUC; `interalia.metrics.verdicts.DIAGNOSTICS` lists them.
        """
        assert self.extractor is not None
        found, live = diagnostics(training, self.extractor, self.kept), training.game
        if not found:
            return
        self.history.append((training.step, found))
        refused = health.exclusions(live, training.run.dynamics)
        verdict = verdicts.verdict(self.history, training.steps, dict(training.run.fields()), refused)
        self.log.write(training, {f"health/{name}": value for name, value in found.items()}, verdict=verdict)
        if self.print is not None:
            if not self.explained:
                self.print(verdicts.legend(found, training.steps))
            self.explained = True
            self.print(f"step {training.step:,}: {verdict}")

    def check_early_stopping(self, training: Training, again: bool = False) -> None:
        """Ends the training, by setting its `stop_reason`, if the monitored metric has not improved for too long; logs
        the reason.

        Too long is the number of evaluations that the run's option `early_stopping` states; 0 never ends a training.

        Arguments:
            training: the training.
            again: True if the log may have the reason already, because the training is resumed; it is not logged twice.
        """
        run = training.run
        if not run.early_stopping or training.best is None or training.step >= training.steps:
            return
        if not training.home.best.exists():  # removed since: there are no weights to end with
            return
        value, step = training.best
        if training.step - step >= run.early_stopping * run.evaluate_every:
            training.stop_reason = (
                f"Stopped at step {training.step:,} of {training.steps:,}: {run.monitor.replace('_', ' ')} has not improved "
                f"on {value:.4g}, at step {step:,}, for {run.early_stopping} evaluations; the weights are those of that step."
            )
            if not (again and any(line.get("stopped") == training.stop_reason for line in training.home.log_lines())):
                self.log.write(training, {}, stopped=training.stop_reason)
