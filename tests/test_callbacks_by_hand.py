"""Callbacks by hand: metrics during training, best weights, early stopping, and losses that are not finite."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from examples import build, fields_for, packs, seen
from torch import nn

from interalia import tasks
from interalia.contexts.processes import ALONE
from interalia.data.dataset import Dataset, Mixture, Split
from interalia.errors import DivergedError, UserError
from interalia.games import REGISTRY
from interalia.games.needs import critics
from interalia.metrics import health as signs_of_health
from interalia.metrics import verdicts
from interalia.metrics.classifier import Classifier
from interalia.metrics.evaluation import MetricValue, check_monitor, training_metrics
from interalia.metrics.health import exclusions
from interalia.metrics.verdicts import logged_diagnostics
from interalia.networks.specs import Critic
from interalia.reports import closeups, plots
from interalia.runs import Run
from interalia.runs.folder import Folder
from interalia.spaces import DataSpec, Space
from interalia.training import checkpoint
from interalia.training.callbacks import TerminateOnNaN, evaluate
from interalia.training.callbacks.evaluate import Evaluate

# ---- metrics of a training


def dataset(shape: tuple[int, ...] = (1, 4, 4), n: int = 12, **fields: Any) -> Dataset:
    """Images whose every number is the image's place, by part, over 255."""
    parts = [
        Split(np.full((n, *shape), start, np.uint8) + np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1))
        for start in (0, 50, 100)
    ]
    return Dataset("counted", *parts, **fields)


def vectors(**fields: Any) -> Dataset:
    part = Split(np.zeros((3, 2), np.float32))
    return Dataset("vectors", part, part, part, **fields)


def labeled() -> Dataset:
    part = Split(np.zeros((3, 2), np.float32), np.arange(3) % 2)
    return Dataset("labeled", part, part, part)


def bare(**fields: Any) -> Any:
    spec = DataSpec(other=fields.pop("other", None), classes=fields.pop("classes", 0))
    return SimpleNamespace(data=spec, **fields)


MODES = Mixture(np.zeros((2, 2), np.float32), 1.0)
WAYS = ("cycle_error", "frechet_to_a", "frechet_to_b")
ERRORS = ("translation_error_a", "translation_error_b")


@pytest.mark.parametrize(
    ("game", "data", "want"),
    [
        (bare(), vectors(), ("frechet_distance",)),
        (bare(encoder=0), vectors(), ("reconstruction_ratio", "frechet_distance")),
        (bare(), vectors(mixture=MODES), ("modes", "high_quality", "reverse_kl")),
        (bare(encoder=0), vectors(mixture=MODES), ("reconstruction_ratio", "modes", "high_quality", "reverse_kl")),
        (bare(classes=2), vectors(), ("frechet_distance",)),  # there are no labels
        (bare(classes=2), labeled(), ("classification_error", "frechet_distance")),
        (bare(other=(2,)), vectors(), ("frechet_distance",)),
        (bare(other=(2,), encoder=0), vectors(other=vectors()), (*WAYS, "frechet_distance")),
        (
            bare(other=(2,)),
            vectors(paired=True, mixture=MODES, other=vectors()),
            (*WAYS, *ERRORS, "frechet_distance"),
        ),
    ],
)
def test_metrics_of_a_training(game: Any, data: Dataset, want: tuple[str, ...]) -> None:
    assert training_metrics(data, game) == want
    for name in want:
        check_monitor(name, data, game)
    with pytest.raises(UserError) as caught:
        check_monitor("psnr", data, game)
    assert "`monitor` is 'psnr'" in str(caught.value)
    assert f"SimpleNamespace on {data.name!r}; give one of: {', '.join(want)}." in str(caught.value)


# ---- advice that does not apply to a game


@pytest.mark.parametrize("game", sorted(REGISTRY))
def test_what_every_game_refuses(game: str) -> None:
    """Two games that differ in one thing differ in one flag."""
    made = build(game, (1, 12, 24))
    found = exclusions(made, "simultaneous")
    ratio = any(not critic.adversarial for critic in critics(type(made)))
    assert ("pack" in found) is (not packs(type(made)))
    assert ("instance_noise" in found) is ratio
    assert ("augment" in found) is (ratio or seen(type(made)) == {"z"})
    assert "penalty" not in found
    assert exclusions(made, "consensus(weight=1.0)") == found | {"penalty"}
    assert found <= {"pack", "instance_noise", "augment", "game", "critic too strong"}
    small = build(game, (5,)) if made.data.other is None and not fields_for(REGISTRY[game]) else None
    if small is not None:
        assert exclusions(small, "simultaneous") == found | {"augment"}


@pytest.mark.parametrize(
    ("game", "fields", "want"),
    [
        ("gan", {}, set()),
        ("gan", {"divergence": "wasserstein"}, {"critic too strong"}),
        ("gan", {"pack": 2}, set()),
        ("vae", {}, {"pack"}),  # no advice about a critic without one
        ("vae", {"game": "vae(likelihood='bernoulli')"}, {"pack", "game"}),
        ("avb", {}, {"pack", "augment", "instance_noise"}),
        ("aae", {}, {"augment"}),
        ("latent-regressor", {}, {"pack", "game"}),
    ],
)
def test_what_some_games_refuse(game: str, fields: dict[str, object], want: set[str]) -> None:
    fields = {**fields}
    made = build(str(fields.pop("game", game)), (1, 12, 24), **fields)
    assert exclusions(made, "simultaneous") == want


class Played(SimpleNamespace):
    """A stand-in for a game with the attributes that the rule reads."""


def test_advice_about_sigma_is_for_variational_games_that_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(Played):
        pass

    monkeypatch.setattr(signs_of_health, "Variational", Wide)
    x, z = Space("x", (1, 4, 4)), Space("z", (2,))

    def flags(kind: type, sees: Any = (x, z), shape: Any = (1, 4, 4), **fields: Any) -> set[str]:
        critic = Critic(sees, packable=fields.pop("packs", True), adversarial=fields.pop("adversarial", True))
        monkeypatch.setattr(signs_of_health, "critics", lambda kind: [critic])
        given = {"players": {"critic": ()}, "binary": False, "data": DataSpec(shape), **fields}
        return exclusions(kind(**given), "alternating")

    alone = {"adversarial": False}
    assert flags(Played) == set()
    assert flags(Played, packs=False) == {"pack"}
    assert flags(Played, shape=(4,)) == {"augment"}
    assert flags(Played, shape=(1, 4)) == {"augment"}
    assert flags(Played, sees=(z,)) == {"augment"}
    assert flags(Played, players={"generator": ()}) == {"game"}
    assert flags(Played, **alone) == {"augment", "instance_noise", "game"}
    assert flags(Wide, **alone) == {"augment", "instance_noise"}
    assert flags(Wide, **alone, binary=True) == {"augment", "instance_noise", "game"}
    assert flags(Wide, binary=True) == set()
    assert flags(Wide, players={"generator": ()}) == set()


def test_the_signs_in_a_log() -> None:
    lines = [
        {"step": 3, "losses/critic": 1.0},
        {"step": 4, "health/gap": 0.5, "health/copies": 2.0, "metrics/modes": 3.0, "verdict": "well"},
        {"step": 8.0, "health/gap": 0.25},
    ]
    assert logged_diagnostics(lines) == [(4, {"gap": 0.5, "copies": 2.0}), (8, {"gap": 0.25})]
    assert logged_diagnostics([]) == []


# ---- evaluation during training, with metrics from a test


class Lines:
    def __init__(self) -> None:
        self.found: list[tuple[int, dict[str, float], dict[str, str]]] = []

    def write(self, training: Any, values: dict[str, float], **words: str) -> None:
        self.found.append((training.step, values, words))


class Stage:
    """A stand-in for a training that records all calls of the callback."""

    def __init__(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, data: Dataset | None = None, game: str = "gan", **run: Any
    ) -> None:
        fields = {
            "monitor": "frechet_distance",
            "evaluate_every": 5,
            "early_stopping": 0,
            "dynamics": "alternating",
            **run,
        }
        self.run = SimpleNamespace(**fields, fields=lambda: fields.items())
        self.folder = self.home = Folder(path)
        path.mkdir()
        self.folder.checkpoints.mkdir()
        self.dataset = data or vectors()
        self.game = build(game, self.dataset.shape, double=False)
        self.averaged_game: Any = build(game, self.dataset.shape, double=False)
        self.step, self.steps, self.team = 0, 40, ALONE
        self.best: tuple[float, int] | None = None
        self.stop_reason = ""
        self.calls: list[tuple[Any, ...]] = []
        self.values: dict[str, float] = {}
        self.signs: dict[str, float] = {}
        self.log = Lines()
        self.said: list[str] = []

        def measured(*given: Any, **settings: Any) -> list[MetricValue]:
            self.calls.append(("evaluate", given, settings))
            return [MetricValue(name, value, "", None, "", "") for name, value in self.values.items()]

        def export(*given: Any) -> None:
            self.calls.append(("export", *given))
            self.folder.best.touch()

        def examine(*given: Any, **settings: Any) -> dict[str, float]:
            settings.pop("cache", None)
            self.calls.append(("examine", given, settings))
            return self.signs

        def verdict(*given: Any) -> str:
            self.calls.append(("verdict", [*given[0]], *given[1:]))
            return "well so far"

        monkeypatch.setattr(evaluate, "evaluate", measured)
        monkeypatch.setattr(evaluate, "export", export)
        monkeypatch.setattr(evaluate, "extractor_for", lambda *given: ("extractor", *given))
        monkeypatch.setattr(signs_of_health, "game_diagnostics", examine)
        monkeypatch.setattr(verdicts, "verdict", verdict)
        self.callback = Evaluate(self.log, self.said.append)  # type: ignore[arg-type]

    def start(self) -> Stage:
        self.callback.start(self)  # type: ignore[arg-type]
        return self

    def evaluated(self, step: int, value: float | None, name: str = "frechet_distance") -> None:
        self.step, self.values = step, {"modes": 3.0} if value is None else {name: value, "other": 2.0}
        self.callback.evaluate(self)  # type: ignore[arg-type]

    def called(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    return lambda **fields: Stage(tmp_path / "run", monkeypatch, **fields)


def test_metrics_are_computed_on_validation_data_and_logged(stage: Callable[..., Stage]) -> None:
    made = stage().start()
    made.evaluated(5, 3.5)
    assert made.called("evaluate") == [
        (
            (made.averaged_game, made.dataset),
            {"split": "validation", "extractor": ("extractor", made.dataset), "quick": True},
        )
    ]
    assert made.log.found == [(5, {"metrics/frechet_distance": 3.5, "metrics/other": 2.0}, {})]
    assert made.said == []  # no verdict without diagnostics


@pytest.mark.parametrize(
    ("best", "values", "kept"),
    [
        ("frechet_distance", [4.0, 5.0, 4.0, 3.0, math.nan, -math.inf, 2.5, 9.0], [0, 3, 6]),
        ("high_quality", [0.4, 0.3, 0.4, 0.5, math.inf, math.nan, 0.6, 0.1], [0, 3, 6]),
        ("frechet_distance", [math.nan, 7.0, 7.5], [1]),
        ("kernel_distance", [-0.5, -0.25, 0.0, -0.75], [0, 3]),
    ],
)
def test_the_best_weights_are_those_of_the_best_number(
    stage: Callable[..., Stage], best: str, values: list[float], kept: list[int]
) -> None:
    made = stage(monitor=best).start()
    for i, value in enumerate(values):
        made.evaluated(5 * (i + 1), value, best)
    steps = [5 * (i + 1) for i in kept]
    assert made.called("export") == [(made.averaged_game, made.run, step, made.folder.best) for step in steps]
    assert made.best == (values[kept[-1]], steps[-1])


def test_a_metric_that_is_not_computed_exports_nothing(stage: Callable[..., Stage]) -> None:
    made = stage().start()
    made.evaluated(5, None)
    assert made.best is None
    assert made.called("export") == []


def test_evaluations_are_at_their_steps(stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage(evaluate_every=7).start()
    seen: list[int] = []
    monkeypatch.setattr(made.callback, "evaluate", lambda training: seen.append(training.step))
    for made.step in range(1, 41):
        made.callback.step(made, None)  # type: ignore[arg-type]
    assert seen == [7, 14, 21, 28, 35, 40]
    blind = Evaluate(made.log)  # type: ignore[arg-type]
    made.run.evaluate_every = 0
    blind.start(made)  # type: ignore[arg-type]
    assert blind.extractor is None
    assert blind.print is None


def test_diagnostics_are_of_the_averaged_weights_and_give_a_verdict(stage: Callable[..., Stage]) -> None:
    made = stage(early_stopping=0)
    made.folder.log.write_text(json.dumps({"step": 2, "health/gap": 0.75}) + "\n")
    made.start()
    made.signs = {"gap": 0.5}
    made.evaluated(1005, 3.5)
    made.signs = {}
    made.evaluated(1010, 3.5)
    made.signs = {"gap": 0.25}
    made.evaluated(1015, 3.5)
    assert [call[:2] for call in made.called("examine")] == [
        (
            (made.averaged_game, made.dataset, ("extractor", made.dataset)),
            {"classes": False, "live_game": made.game},
        )
    ] * 3
    fields = dict(made.run.fields())
    refused = exclusions(made.game, "alternating")
    assert made.called("verdict") == [
        ([(2, {"gap": 0.75}), (1005, {"gap": 0.5})], 40, fields, refused),
        ([(2, {"gap": 0.75}), (1005, {"gap": 0.5}), (1015, {"gap": 0.25})], 40, fields, refused),
    ]
    legend, *said = made.said
    assert legend == "Diagnoses from step 10 on."  # nothing to explain in these numbers; a quarter of 40 steps
    assert said == ["step 1,005: well so far", "step 1,015: well so far"]
    assert [line for line in made.log.found if line[2]] == [
        (1005, {"health/gap": 0.5}, {"verdict": "well so far"}),
        (1015, {"health/gap": 0.25}, {"verdict": "well so far"}),
    ]
    made.callback.print = None
    made.evaluated(1020, 3.5)
    assert len(made.said) == 3
    assert len(made.callback.history) == 4


@pytest.mark.parametrize("mixture", [None, MODES])
def test_classes_need_a_classifier(stage: Callable[..., Stage], mixture: Mixture | None) -> None:
    made = stage(data=vectors(mixture=mixture)).start()
    made.callback.extractor = Classifier(nn.Linear(1, 1), "reader", 1.0)  # type: ignore[arg-type]
    made.evaluated(5, 1.0)
    ((_, settings),) = made.called("examine")
    assert settings["classes"] is (mixture is None)


# ---- early stopping


def test_a_training_ends_after_so_many_evaluations_without_a_better_one(stage: Callable[..., Stage]) -> None:
    made = stage(early_stopping=2, evaluate_every=5, monitor="frechet_distance").start()
    made.evaluated(5, 1234.5678)
    made.evaluated(10, 2000.0)
    assert made.stop_reason == ""
    made.step = 14
    made.callback.check_early_stopping(made)  # type: ignore[arg-type]
    assert made.stop_reason == ""
    made.evaluated(15, 2000.0)
    assert made.stop_reason == (
        "Stopped at step 15 of 40: frechet distance has not improved on 1235, at step 5, for 2 evaluations; the weights "
        "are those of that step."
    )
    assert made.log.found[-1] == (15, {}, {"stopped": made.stop_reason})


@pytest.mark.parametrize(
    ("change", "stops"),
    [
        ({}, True),
        ({"step": 39}, True),
        ({"step": 40}, False),  # its last step ends it anyway
        ({"step": 41}, False),
        ({"best": None}, False),
        ({"step": 19}, False),
    ],
)
def test_when_there_is_nothing_to_end(stage: Callable[..., Stage], change: dict[str, Any], stops: bool) -> None:
    made = stage(early_stopping=3)
    made.folder.best.touch()
    for name, value in {"step": 20, "best": (2.0, 5), **change}.items():
        setattr(made, name, value)
    made.start()
    assert bool(made.stop_reason) is stops
    assert len(made.log.found) == stops


def test_without_early_stopping_or_best_weights_nothing_ends(stage: Callable[..., Stage]) -> None:
    made = stage(early_stopping=0)
    made.step, made.best = 30, (2.0, 5)
    made.folder.best.touch()
    made.start()
    made.run.early_stopping = 3
    made.folder.best.unlink()
    made.start()
    assert (made.stop_reason, made.log.found) == ("", [])


def test_an_end_in_the_log_is_not_written_twice(stage: Callable[..., Stage]) -> None:
    made = stage(early_stopping=3)
    made.folder.best.touch()
    made.step, made.best = 20, (2.0, 5)
    made.start()
    words = made.stop_reason
    made.folder.log.write_text(json.dumps({"step": 20, "stopped": words}) + "\n")
    made.stop_reason = ""
    made.start()
    assert made.stop_reason == words
    assert len(made.log.found) == 1
    made.callback.check_early_stopping(made)  # type: ignore[arg-type]  # during the training it is
    assert len(made.log.found) == 2
    made.folder.log.write_text(json.dumps({"step": 20, "stopped": "of another cause"}) + "\n")
    made.start()
    assert len(made.log.found) == 3


# ---- pictures


def test_samples_are_drawn_at_each_evaluation(stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage(data=dataset(), game="gan").start()
    drawn: list[tuple[Any, ...]] = []
    monkeypatch.setattr(plots, "grid", lambda *given: drawn.append(given))
    made.evaluated(1205, 1.0)
    ((images, path),) = drawn
    assert path == made.folder.figures / "progress" / "step-0001205.png"
    assert np.array_equal(images, tasks.generate(made.averaged_game, 64, 0).numpy())


def test_translations_are_drawn_with_their_reconstructions(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stage(data=dataset(), game="cyclegan").start()
    made.averaged_game.to_b, made.averaged_game.to_a = Times(3.0), Times(0.5)
    drawn: list[tuple[Any, ...]] = []
    monkeypatch.setattr(plots, "cycles", lambda *given: drawn.append(given))
    made.evaluated(5, 1.0)
    ((x, fake, back, path),) = drawn
    want = np.tile(np.arange(50, 60, dtype=np.float32).reshape(10, 1, 1, 1) / np.float32(255), (1, 1, 4, 4))
    for got, factor in ((x, 1.0), (fake, 3.0), (back, 1.5)):
        assert np.allclose(got, factor * want)
    assert path == made.folder.figures / "progress" / "step-0000005.png"


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


# ---- losses and weights that are not finite


def playing(**fields: Any) -> Any:
    run = SimpleNamespace(log_every=4, checkpoint_every=6, evaluate_every=9)
    game = build("gan", (3,), double=False)
    made = {"run": run, "game": game, "step": 0, "steps": 20, "device": torch.device("cpu"), "folder": None}
    return SimpleNamespace(**{**made, **fields})


def losses(**found: float) -> Any:
    return SimpleNamespace(losses={name: torch.tensor(value, requires_grad=True) for name, value in found.items()})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_not_finite_is_named(value: float) -> None:
    training, callback = playing(step=3), TerminateOnNaN()
    callback.start(training)
    callback.step(training, losses(critic=1.0, generator=2.0))
    assert callback.pending == []
    training.step = 5
    with pytest.raises(DivergedError) as caught:
        callback.step(training, losses(critic=1.0, generator=value))
    assert str(caught.value) == (
        f"the loss of the generator is {value} at step 5; try a smaller `lr`, a `penalty`, or `precision='fp32'`."
    )


def test_on_an_accelerator_losses_wait_for_the_log_the_checkpoint_or_the_end() -> None:
    training, callback = playing(device=torch.device("meta")), TerminateOnNaN()
    callback.start(training)
    looked = []
    for training.step in range(1, 21):
        callback.step(training, losses(critic=float(training.step)))
        if not callback.pending:
            looked.append(training.step)
        else:
            step, player, loss = callback.pending[-1]
            assert (step, player, loss.item(), loss.requires_grad) == (training.step, "critic", training.step, False)
    assert looked == [4, 6, 8, 12, 16, 18, 20]
    training.step = 21
    callback.pending = [
        (21, "critic", torch.tensor(1.0)),
        (22, "critic", torch.tensor(math.nan)),
        (23, "a", torch.tensor(math.inf)),
    ]
    with pytest.raises(DivergedError, match="loss of the critic is nan at step 22"):
        callback.stop(training)


@pytest.mark.parametrize("player", ["critic", "generator"])
@pytest.mark.parametrize("checkpoints", [True, False])
def test_weights_are_checked_before_they_are_saved_or_evaluated(player: str, checkpoints: bool) -> None:
    training, callback = playing(), TerminateOnNaN()
    if not checkpoints:
        training.run.checkpoint_every = 0
    callback.start(training)
    weight = next(getattr(training.game, training.game.players[player][0]).parameters())
    weighed: list[int] = []
    said: list[str] = []
    for training.step in range(1, 21):
        with torch.no_grad():
            weight.view(-1)[-1] = math.nan
        try:
            callback.step(training, losses(critic=1.0))
        except DivergedError as error:
            weighed.append(training.step)
            said.append(str(error))
    assert weighed == ([6, 9, 12, 18, 20] if checkpoints else [9, 18, 20])
    for step, words in zip(weighed, said, strict=True):
        assert words.startswith(f"the weights of the {player} are no longer finite at step {step}; try a smaller")
    with pytest.raises(DivergedError, match=f"weights of the {player}"):
        callback.stop(training)
    with torch.no_grad():
        weight.view(-1)[-1] = 1.0
    callback.stop(training)
    with torch.no_grad():
        weight.view(-1)[0] = -math.inf
    with pytest.raises(DivergedError, match=f"weights of the {player}"):
        callback.check_weights(training)


def test_the_advice_names_the_last_good_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    training, callback = playing(folder=Folder(tmp_path)), TerminateOnNaN()
    advice = "try a smaller `lr`, a `penalty`, or `precision='fp32'`."
    assert callback.advice(training) == f"there is no checkpoint yet; {advice}"
    asked = []
    monkeypatch.setattr(
        checkpoint, "newest", lambda folder: asked.append(folder) or ((Path("kept.pt"), {"step": 7}), {})
    )
    assert callback.advice(training) == f"the last good checkpoint is kept.pt (step 7); {advice}"
    assert asked == [training.folder]


def test_the_constants() -> None:
    assert (closeups.SHOWN, closeups.TRANSLATED) == (64, 10)
    assert Run().early_stopping == 0
