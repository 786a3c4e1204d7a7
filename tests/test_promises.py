"""Promises tested from outside: choices are made without test images, and the exported weights are those that samples are
drawn from.

A choice that uses test data is found by changing them: with reversed labels, or with noise in place of the images.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples import build
from safetensors.torch import load_file
from torch import Tensor, nn

from interalia import data, tasks
from interalia.conditionals import Deterministic, StandardNormal
from interalia.data.dataset import Dataset, Split
from interalia.games import GAN
from interalia.metrics import health
from interalia.metrics.codes import code_error, matching
from interalia.metrics.evaluation import evaluate
from interalia.metrics.inference import linear_probe_accuracy, svm_errors
from interalia.metrics.likelihood import kernel_estimate
from interalia.papers import kde
from interalia.reports import measuring
from interalia.runs import Run
from interalia.runs.folder import Folder
from interalia.runs.recipes import ali_digits
from interalia.spaces import DataSpec
from interalia.training import checkpoint, engine


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


def tiny(**fields: Any) -> Run:
    run = ali_digits(
        data=Run().data,
        networks="auto(width=2)",
        batch_size=50,
        steps=6,
        evaluate_every=2,
        log_every=1,
    )
    return run.replace(schedule="constant", weight_average="ema(0.5, warm=False)").replace(**fields)


def noise_to_test_on(dataset: Dataset, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, dataset.test.x.shape, dtype=np.uint8)
    return dataclasses.replace(dataset, test=Split(x, random.integers(0, 10, len(x))))


def kept(folder: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """The bytes of all weights that a run keeps, and its log without the clock."""
    weights = {
        path.name: b"".join(value.numpy().tobytes() for _, value in sorted(load_file(path).items()))
        for path in (Folder(folder).weights, Folder(folder).best)
    }
    lines = [{key: value for key, value in line.items() if "second" not in key} for line in Folder(folder).log_lines()]
    return weights, lines


@pytest.mark.parametrize(
    "fields",
    [
        {"monitor": "frechet_distance"},
        {"monitor": "reconstruction_ratio", "game": "ali", "condition_on": "labels"},
        {"monitor": "reconstruction_ratio", "game": "semi-ali", "num_labeled": 100},
    ],
)
def test_a_training_never_sees_its_test_images(fields: dict[str, Any], digits: Dataset, tmp_path: Path) -> None:
    """With noise in their place weights, best weights, metrics and verdicts are the same."""
    best = fields["monitor"]
    engine.train(tiny(**fields), tmp_path / "a", dataset=digits)
    engine.train(tiny(**fields), tmp_path / "b", dataset=noise_to_test_on(digits))
    (weights, lines), (others, again) = kept(tmp_path / "a"), kept(tmp_path / "b")
    assert weights == others
    assert json.dumps(lines) == json.dumps(again)
    assert sum(f"metrics/{best}" in line for line in lines) == 3
    states = [checkpoint.read(checkpoint.candidates(Folder(tmp_path / name))[0]) for name in "ab"]
    assert states[0]["best"] == states[1]["best"]


def test_the_best_weights_are_those_that_samples_are_drawn_from_and_so_are_measured(
    digits: Dataset, tmp_path: Path
) -> None:
    """With one evaluation the averaged weights are exported as the best, and their metric is the best value."""
    run = tiny(evaluate_every=6, monitor="reconstruction_ratio")
    training = engine.open_run(run, tmp_path / "run", dataset=digits)
    engine.finish(training)
    assert training.average is not None
    averaged, newest = training.average.module.state_dict(), training.game.state_dict()
    assert training.folder is not None
    for best in (load_file(training.folder.best), load_file(training.folder.weights)):
        assert all(torch.equal(best[name], averaged[name]) for name in best)
        assert any(not torch.equal(best[name], newest[name]) for name in best)

    def ratio(game: Any) -> float:
        game = game.eval()
        found = evaluate(game, digits, split="validation", quick=True)
        return next(measure.value for measure in found if measure.name == "reconstruction_ratio")

    assert training.best == (ratio(training.averaged_game), 6)
    assert training.best[0] != ratio(training.game)


def test_averaged_weights_keep_the_newest_weights_statistics(digits: Dataset) -> None:
    """Buffers of the average are those of the game; `recalibrate_bn` computes the statistics of the averaged weights."""
    run = tiny(game="ali", evaluate_every=0)
    training = engine.prepare(run, dataset=digits)
    engine.loop(training, [])
    statistics = {name: value for name, value in training.game.named_buffers() if "running" in name}
    assert statistics
    averaged = dict(training.averaged_game.named_buffers())
    assert all(torch.equal(averaged[name], value) for name, value in statistics.items())
    training = engine.prepare(run.replace(recalibrate_bn=3), dataset=digits)
    engine.loop(training, [])
    again = dict(training.final_game().named_buffers())
    assert not all(torch.equal(again[name], value) for name, value in statistics.items())


def blurred(count: int, seed: int, features: int = 40) -> tuple[Tensor, Tensor]:
    """Two classes that a few points of many features tell badly, so that the strength of a penalty matters."""
    random = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    x = torch.randn(count, features, generator=random, dtype=torch.float64)
    x[:, 0] += 1.2 * (2 * y - 1)
    return x, y


def test_a_linear_probes_penalty_is_chosen_without_its_test_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reversed labels make the best of all strengths the worst: a choice on test points would differ."""
    from sklearn import linear_model

    chosen: list[float] = []

    class Recorded(linear_model.LogisticRegression):  # type: ignore[misc]
        def __init__(self, C: float = 1.0, max_iter: int = 100) -> None:
            super().__init__(C=C, max_iter=max_iter)
            chosen.append(C)

    monkeypatch.setattr(linear_model, "LogisticRegression", Recorded)
    train, train_y = blurred(80, 0)
    test, test_y = blurred(400, 1)
    strengths = (0.001, 0.01, 0.1, 1.0)
    scores = [linear_probe_accuracy(train, train_y, test, test_y, c=c) for c in strengths]
    best, worst = strengths[scores.index(max(scores))], strengths[scores.index(min(scores))]
    assert best != worst
    taken = []
    for labels in (test_y, 1 - test_y):
        linear_probe_accuracy(train, train_y, test, labels)
        taken.append(chosen[-1])  # that of the last fit
    assert taken[0] == taken[1]


def test_an_svms_penalty_is_chosen_without_its_test_points() -> None:
    train, train_y = blurred(80, 0)
    test, test_y = blurred(400, 1)
    held, held_y = blurred(100, 2)
    (errors, c), (others, d) = (
        svm_errors(train, train_y, test, labels, held, held_y, labels=40, draws=1) for labels in (test_y, 1 - test_y)
    )
    assert c == d
    assert errors[0] == pytest.approx(1 - others[0])


class Features:
    """x as it is, and a few of its pixels as the probabilities of classes."""

    name = "pixels"

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1).float()

    def probabilities(self, x: Tensor) -> Tensor:
        return self(x)[:, :10].softmax(1)


def test_what_a_category_stands_for_is_read_off_validation_images(digits: Dataset) -> None:
    """With the digits of the test images each called by the next one's name, the error is what the same matching makes."""
    game = build("infogan", (1, 8, 8), double=False, prior="codes(categorical=[10], uniform=1)", latent_dim=12).eval()
    torch.manual_seed(0)
    with torch.no_grad():  # so that several categories are met
        for weight in game.critic.parameters():
            weight.normal_() if weight.ndim > 1 else weight.zero_()
    errors = []
    test_x, test_y, held_x, held_y = (
        torch.from_numpy(np.asarray(values))
        for values in (digits.test.x, digits.test.y, digits.validation.x, digits.validation.y)
    )

    def read(x: Tensor) -> Tensor:
        return tasks.code_parameters(game, x.float() / 255)[:, :10].argmax(1)

    stands = matching(read(held_x), held_y, 10)
    peeked = matching(read(test_x), test_y, 10)
    for shift in (0, 1):
        names = (test_y + shift) % 10
        shown = dataclasses.replace(digits, test=Split(digits.test.x, names.numpy()))
        found = evaluate(game, shown, extractor=Features())
        errors.append(next(measure.value for measure in found if measure.name == "code_error"))
        assert errors[-1] == pytest.approx(code_error(read(test_x), names, stands))
    assert errors[0] > code_error(read(test_x), test_y, peeked)


def test_a_kernels_width_is_chosen_without_the_images_that_are_scored() -> None:
    random = torch.Generator().manual_seed(0)
    held, near, far = (torch.rand(30, 2, generator=random) * scale for scale in (1.0, 0.1, 9.0))
    game = GAN(Deterministic(nn.Identity()), nn.Identity(), StandardNormal(2))
    game.place = nn.Parameter(torch.zeros(()))  # type: ignore[assignment]
    one, other = (kernel_estimate(game, x, held, samples=50).protocol for x in (near, far))
    assert one == other
    assert kernel_estimate(game, near, far, samples=50).protocol != one
    centres = 0.1 * torch.randn(60, 3, generator=random)
    widths = [kde.score(centres, x, quick=True)["bandwidth"] for x in (centres / 9, 3 * centres)]
    assert widths[0] == widths[1]  # of the samples alone


def test_the_command_chooses_a_kernels_width_on_validation_images(digits: Dataset, tmp_path: Path) -> None:
    trained = engine.train(tiny(evaluate_every=0), tmp_path / "run", dataset=digits)
    seen = []
    for shown in (digits, noise_to_test_on(digits)):
        found = measuring.likelihood(dataclasses.replace(trained, in_memory=shown), ["kde"], samples=50, count=20)
        seen.append(found["estimates"][0])
    assert seen[0]["value"] != seen[1]["value"]
    assert seen[0]["protocol"] == seen[1]["protocol"]


class Learned(nn.Module):
    """A critic that has memorized its training images; where it sees one, all scores of that pass are greater by 10, as
    batch norm too makes scores depend on what else is seen."""

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        self.known = known
        self.place = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        known = (x[:, None] == self.known).all(2).any(1)
        return known.float() + 10 * known.any()


class Apart(nn.Module):
    """Samples that are no training point."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        return z + 100


def test_an_overfitted_critic_has_a_lower_auc_on_held_out_images() -> None:
    random = np.random.default_rng(0)
    train, validation, test = (Split(random.standard_normal((count, 3)).astype(np.float32)) for count in (60, 30, 30))
    dataset = Dataset("points", train, validation, test)
    game = GAN(Deterministic(Apart()), Learned(torch.from_numpy(train.x)), StandardNormal(3))
    game.data = DataSpec((3,))
    found = health.game_diagnostics(game, dataset, lambda x: x)
    assert (found["critic_auc"], found["critic_auc_held_out"]) == (1.0, 0.5)


@pytest.mark.parametrize("of", ["validation", "test"])
def test_metrics_are_of_the_split_that_is_named(of: str, digits: Dataset) -> None:
    """Images of another part that are noise change nothing."""
    game = build("ali", (1, 8, 8), double=False).eval()
    random = np.random.default_rng(0)
    other = "test" if of == "validation" else "validation"
    part: Split = getattr(digits, other)
    changes: dict[str, Any] = {other: Split(random.integers(0, 256, part.x.shape, dtype=np.uint8), part.y)}
    values = []
    for shown in (digits, dataclasses.replace(digits, **changes)):
        found = evaluate(game, shown, split=of, quick=True, extractor=Features())
        values.append({measure.name: measure.value for measure in found})
    assert values[0] == values[1]
