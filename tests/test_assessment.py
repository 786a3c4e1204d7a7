"""The line that says whether a model is usable: laws that hold for all models and data, and bounds by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

import interalia
from interalia import Run, data, metrics, reports
from interalia.data.dataset import Dataset, Split
from interalia.metrics import Evidence
from interalia.metrics.evaluation import compute_metrics
from interalia.metrics.extractors import RandomConvolutions
from interalia.reports import assessment
from interalia.reports.assessment import NORMAL, assess, coverage_of_real, interval
from interalia.reports.measuring import chance_levels
from interalia.runs import recipes


def results(n: int | None = 1000, **values: float) -> dict[str, Any]:
    """Results with these values of metrics of n of 10,000 examples, as an evaluation writes them."""
    counts = {} if n is None else {"evaluated": n}
    found = [{"name": name, "value": value} for name, value in values.items()]
    return {
        "metrics": found,
        "counts": counts,
        "data": {"test": 10_000, "shape": [1, 8, 8]},
        "split": "test",
        "step": 12,
    }


GOOD = {"reconstruction_ratio": 0.1, "precision": 0.9, "recall": 0.9, "coverage": 0.9}
POOR = {"reconstruction_ratio": 1.0, "precision": 0.0, "recall": 0.0, "coverage": 0.02}


# ---- laws


def measured(e: Evidence, run: dict[str, Any]) -> assessment.Assessment:
    known = ("reconstruction_ratio", "precision", "recall", "coverage", "modes", "high_quality", "classification_error")
    names = [name for name in known if metrics.REGISTRY[name].missing_need(e) is None]
    found = [dataclasses.asdict(one) for one in compute_metrics(e, names)] if names else []
    return assess(run, {"metrics": found, "counts": chance_levels(e), "step": 1})


class Perfect(Evidence):
    """Reconstructions are the inputs, samples are training data, that is, further draws from the distribution of the data."""

    @property
    def x_hat(self) -> Any:  # type: ignore[override]
        return self.x

    @property
    def samples(self) -> Any:  # type: ignore[override]
        return torch.from_numpy(np.asarray(self.dataset.train.x[: len(self.x)], dtype=np.float32)) / self.unit

    unit = 1.0


def table(size: int, width: int, seed: int = 0) -> Dataset:
    x = np.random.default_rng(seed).standard_normal((2 * size, width)).astype(np.float32)
    return Dataset("table", Split(x[:size]), Split(x[:2]), Split(x[size:]))


@pytest.mark.parametrize(("size", "width"), [(30, 2), (200, 2), (500, 8), (500, 1)])
def test_a_perfect_model_of_a_table_is_usable(size: int, width: int) -> None:
    dataset = table(size, width)
    game = interalia.build(Run(game="ali", latent_dim=2), shape=(width,))
    assert measured(Perfect(game, dataset), {"game": "ali"}).level == "usable"


def test_a_perfect_model_of_images_is_usable() -> None:
    whole = data.load("digits")
    game = interalia.build(recipes.ali_digits())
    e = Perfect(game, whole, extractor=RandomConvolutions.for_shape((1, 8, 8)))
    if whole.train.x.dtype == np.uint8:
        e.unit = 255.0
    assert measured(e, {"game": "ali"}).level == "usable"


NOT_ALONE = {
    "cyclegan",
    "f-anogan",
    "latent-regressor",
    "posthoc-ali",
    "semi-aae",
    "semi-ali",
}  # they need a generator, labels or domains


@pytest.mark.parametrize("name", sorted(set(interalia.games.REGISTRY) - NOT_ALONE))
def test_an_untrained_model_is_never_usable(name: str) -> None:
    for seed, dataset in enumerate((data.load("digits"), table(200, 5), data.load("grid25"))):
        torch.manual_seed(seed)
        codes = {"prior": "codes(categorical=[10], uniform=2)", "latent_dim": 16} if name == "infogan" else {}
        run = Run(game=name, **{"latent_dim": 12, "networks": "mlp(width=16)", **codes})
        game = interalia.build(run, shape=dataset.shape)
        extractor = RandomConvolutions.for_shape(dataset.shape) if dataset.is_image else None
        for count in (4, 8, 30, 200):
            found = measured(Evidence(game, dataset, count=count, extractor=extractor), {"game": name})
            assert found.level == "not usable yet" or (count < 30 and found.level == "partly usable"), (count, found)


# ---- bounds by hand


def test_each_level_has_its_reasons() -> None:
    run = {"game": "ali", "steps": 20_000}
    assert assess(run, results(**GOOD)).text == (
        "usable: reconstructions match their inputs (error 10 % of chance), samples cover 90 % of the data; "
        "12 of 20,000 steps"
    )
    assert assess(run, results(**POOR)).level == "not usable yet"
    half = assess(run, results(**{**POOR, "reconstruction_ratio": 0.1}))
    assert (half.level, half.text.count("samples cover 0 % of the data")) == ("partly usable", 1)
    assert assess(run, results(**{**GOOD, "precision": 0.1})).text.count("10 % of the samples resemble data") == 1
    assert assess(run, results(**{**GOOD, "reconstruction_ratio": math.nan})).level == "partly usable"
    assert assess(run, results(**dict.fromkeys(GOOD, math.nan))).level == "not usable yet"


@pytest.mark.parametrize(("n", "text"), [(0, "0 held-out images"), (1, "1 held-out image"), (3, "3 held-out images")])
def test_with_few_examples_there_is_no_verdict(n: int, text: str) -> None:
    found = assess({"game": "ali"}, results(n, **GOOD))
    assert (found.level, found.text) == ("no verdict", f"no verdict: {text}; 12 steps")


def test_a_share_below_zero_in_a_changed_file_is_poor() -> None:
    assert assess({}, results(1000, precision=-1e9, recall=0.9, coverage=0.9)).level == "not usable yet"


def test_four_examples_are_the_fewest_that_can_tell() -> None:
    perfect = {"reconstruction_ratio": 0.0, "recall": 1.0, "coverage": 1.0, "precision": 1.0}
    assert assess({}, results(4, **perfect)).level == "usable"
    for n, tells in ((3, False), (4, True)):
        assert (interval(1.0, n)[0] > 0.5) == (0.5 - NORMAL / (2 * math.sqrt(n)) > 0) == tells


def test_without_metrics_there_is_no_verdict() -> None:
    assert assess({"steps": 5}, None).text == "no verdict: not evaluated on held-out data yet"
    assert assess({"steps": 5}, {}, [{"step": 2}]).text.endswith("yet; 2 of 5 steps")
    assert (
        assess({}, results(psnr=20.0)).text == "no verdict: no metric with a known chance level was computed; 12 steps"
    )
    assert "reached step 99 since" in assess({"steps": 100}, results(**GOOD), [{"step": 99}]).text


@pytest.mark.parametrize("n", [4, 25, 400, 10_000])
def test_the_bounds_of_reconstructions_move_with_the_number_of_examples(n: int) -> None:
    half = 1.96 / (2 * math.sqrt(n))
    levels = [
        assess({}, results(n, reconstruction_ratio=ratio)).level
        for ratio in (0.5 - half - 1e-6, 0.5 - half + 1e-6, 1 - half - 1e-6, 1 - half + 1e-6)
    ]
    assert levels == ["usable", "partly usable", "partly usable", "not usable yet"]


def test_older_results_have_the_number_of_examples_from_the_split() -> None:
    assert assessment.examples_in(results(None)) == 5_000
    assert assessment.examples_in({**results(None), "data": {"test": 3}}) == 3


def test_samples_of_a_generator_that_was_not_trained_here_are_not_judged() -> None:
    found = assess({"pretrained_generator": "runs/gan"}, results(**{**GOOD, "reconstruction_ratio": 1.0}))
    assert found.text == "not usable yet: reconstructions are no better than chance; 12 steps"


def test_modes_labels_and_translations_have_chance_levels_of_their_own() -> None:
    def level(counts: dict[str, float] | None = None, **values: float) -> str:
        found = results(1000, **values)
        return assess({}, {**found, "counts": {**found["counts"], **(counts or {})}}).level

    assert level(counts={"modes": 25}, modes=25, high_quality=0.9) == "usable"
    assert level(counts={"modes": 25}, modes=2, high_quality=0.9) == "not usable yet"
    assert level(counts={"modes": 25}, modes=25, high_quality=0.1) == "not usable yet"
    assert level(counts={"modes": 1}, modes=1, high_quality=1.0) == "no verdict"  # a single point would do
    assert level(counts={"commonest": 0.1}, classification_error=0.03) == "usable"
    assert level(counts={"commonest": 0.97}, classification_error=0.03) == "not usable yet"  # the commonest label
    assert level(counts={"commonest": 0.1}, classification_error=0.6) == "partly usable"
    two = {"frechet_untranslated": 10.0, "frechet_real_vs_real": 1.0}
    assert [level(frechet_distance=d, **two) for d in (5.4, 5.6, 10.0, math.nan)] == [
        "usable", "partly usable", "not usable yet", "not usable yet",
    ]  # fmt: skip


def test_the_coverage_of_real_data_is_what_real_data_have() -> None:
    found = []
    for seed in range(20):
        a, b = torch.randn(2, 60, 3, generator=torch.Generator().manual_seed(seed))
        found.append(metrics.precision_recall_density_coverage(a, b, 5).coverage)
    assert abs(float(np.mean(found)) - coverage_of_real(60)) < 4 * float(np.std(found)) / math.sqrt(20)


def test_balanced_accuracy_sees_through_a_constant_answer() -> None:
    y = torch.tensor([0] * 90 + [1] * 10)
    assert metrics.balanced_accuracy(torch.zeros(100, dtype=torch.int64), y) == 0.5
    assert metrics.balanced_accuracy(y, y) == 1.0
    near = metrics.nearest_neighbour_labels(
        torch.tensor([[0.0], [1.0]]), torch.tensor([7, 9]), torch.tensor([[0.9], [0.1]])
    )
    assert near.tolist() == [9, 7]


def test_assess_is_public() -> None:
    assert reports.assess is assess
