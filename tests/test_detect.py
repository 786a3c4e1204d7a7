"""The anomaly detector: conformal p-values and scores by hand, and the laws of a detector that works."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest, spearmanr
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import interalia
from interalia.detect import Detector, DetectorError, committee, conformal, scores
from interalia.detect import detector as module
from interalia.networks.mlp import MLP

QUICK = {"models": 2, "steps": 20, "width": 16, "latent": 4}


def correlated(count: int, seed: int = 0) -> np.ndarray:
    """Normal rows: six columns, each a multiple of one of two hidden numbers."""
    draw = np.random.default_rng(seed)
    mixing = np.array([[1.0, 2.0, -1.0, 0, 0, 0], [0, 0, 0, 3.0, 1.0, -2.0]])
    return draw.normal(size=(count, 2)) @ mixing + 0.1 * draw.normal(size=(count, 6))


def broken(count: int) -> np.ndarray:
    """Anomalies: every column has the values of normal rows, and those of a row belong to different rows."""
    rows = correlated(count, seed=1)
    return np.stack([np.random.default_rng(i).permutation(column) for i, column in enumerate(rows.T)], axis=1)


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return Detector(**QUICK).fit(correlated(120))


# ---- conformal p-values by hand


def test_a_p_value_is_the_rank_among_the_held_out_scores_ties_included() -> None:
    assert conformal.conformal_p_values([3, 1, 2], [0, 2, 3, 4]).tolist() == [1, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(("held_out", "rate"), [(19, 0.05), (39, 0.05), (10, 0.1), (30, 0.1), (99, 0.01), (7, 0.3)])
def test_what_is_above_the_threshold_is_what_has_a_p_value_up_to_the_rate(held_out: int, rate: float) -> None:
    calibration = np.arange(held_out, dtype=float)
    values = np.arange(-0.5, held_out + 1, 0.5)
    above = values > conformal.threshold(calibration, rate)
    assert (above == (conformal.conformal_p_values(calibration, values) <= rate + 1e-12)).all()
    assert above.any()
    assert not above.all()


def test_too_few_held_out_samples_are_refused_with_the_least_possible_rate() -> None:
    with pytest.raises(interalia.UserError, match=r"needs 99 held-out .* there are 19; give `false_alarms=0.05`"):
        conformal.threshold(range(19), 0.01)
    assert conformal.least_rate(19) == 0.05
    assert conformal.calibration_size(1 / 3) == 2


def test_the_interval_of_the_rate_contains_the_true_rates_of_many_thresholds() -> None:
    draw = np.random.default_rng(0)
    rates = np.array([1 - conformal.threshold(draw.uniform(size=39), 0.05) for _ in range(2000)])
    low, high = conformal.rate_interval(39, 0.05, level=0.9)
    assert abs(np.mean((rates < low) | (rates > high)) - 0.1) < 0.03
    assert abs(rates.mean() - 0.05) < 0.003
    counts = draw.binomial(200, rates)
    low, high = conformal.count_interval(39, 0.05, 200, level=0.9)
    assert 0.85 < np.mean((counts >= low) & (counts <= high)) < 0.97


# ---- scores by hand


def inferred(**arrays: Any) -> scores.Inferred:
    """Two samples of two numbers, with one latent, from the arrays that are given."""
    none = np.zeros((2, 0))
    given = {"x": np.zeros((2, 2)), "z": np.zeros((2, 1)), "x_hat": np.zeros((2, 2)), "z_again": np.zeros((2, 1))}
    return scores.Inferred(**{**given, "score": none, "hidden": none, "hidden_again": none, **arrays})


def test_each_score_by_hand() -> None:
    rows = inferred(
        x=np.array([[1.0, 2.0], [3.0, 4.0]]),
        x_hat=np.array([[1.0, 1.0], [3.0, 8.0]]),
        z=np.array([[0.5], [-2.0]]),
        z_again=np.array([[0.0], [1.0]]),
        score=np.array([3.0, -1.0]),
        hidden=np.array([[1.0, 1.0], [0.0, 0.0]]),
        hidden_again=np.array([[1.0, 0.0], [3.0, 1.0]]),
    )
    known = scores.Known(np.array([[0.0], [1.0], [5.0]]), np.zeros((3, 2)), np.array([1.0, 2.0]))
    expected = {
        "reconstruction": [0.5, 2.0],
        "residuals": [0.25, 1.0],  # the second column varies twice as much
        "latent": [0.5, 3.0],
        "norm": [0.25, 4.0],
        "features": [0.5, 2.0],
        "critic": [-3.0, 1.0],
        "neighbours": [0.5, 2.5],
    }
    assert {name: scores.SCORES[name](rows, known, 2).tolist() for name in expected} == expected
    s2 = (1 + 4) / 2
    pairs = [np.mean([np.sqrt(0.25 + 1 / s2)] * 2), np.mean([np.sqrt(4 + 16 / s2), np.sqrt(9 + 16 / s2)])]
    np.testing.assert_allclose(scores.pair_neighbours(rows, known, 2), pairs)


def test_a_sample_is_no_neighbor_of_itself() -> None:
    points = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert scores.mean_distance(points, points, 1).tolist() == [1, 1, 2, 4]
    assert scores.mean_distance(points + 0.25, points, 1).tolist() == [0.25] * 4
    wide = np.pad(points, [(0, 0), (0, scores.TREE)], constant_values=1e6)
    assert scores.mean_distance(wide, wide, 1).tolist() == [1, 1, 2, 4]  # also where neighbors are found by brute force


def test_a_score_of_pairs_needs_a_critic_of_pairs() -> None:
    known = scores.Known(np.zeros((3, 1)), np.zeros((3, 2)), np.ones(2))
    for name in ("critic", "features"):
        with pytest.raises(interalia.UserError, match="critic of pairs"):
            scores.SCORES[name](inferred(), known, 1)


# ---- the committee


def test_a_network_of_the_committee_is_the_same_by_itself() -> None:
    together = committee.SideBySide(3, 4, 2, width=8)
    x = torch.randn(5, 3, 4)
    out = together(x.flatten(0, 1)).unflatten(0, (5, 3))
    for i in range(3):
        alone = together.model(i)
        assert isinstance(alone, MLP)
        torch.testing.assert_close(alone(x[:, i].double()).float(), out[:, i])


def test_each_member_is_trained_on_its_own_rows_alone() -> None:
    models = torch.tensor([[0, 1, 2], [3, 4, 5]])
    (batch,) = next(committee.batches(torch.arange(6.0)[:, None], models))
    assert sorted(batch[0::2].flatten().tolist()) == [0, 1, 2]
    assert sorted(batch[1::2].flatten().tolist()) == [3, 4, 5]


# ---- the estimator


@parametrize_with_checks([Detector(**QUICK)])
def test_scikit_learn(estimator: Any, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


FIRST = """
import sys, time
from interalia import Detector
rows = [[(7 * i * j + i) % 31 / 7 for j in range(8)] for i in range(200)]
for _ in range(2):
    before = time.process_time()
    Detector().fit(rows)
    print(time.process_time() - before)
print("torch._dynamo" in sys.modules)
"""


def test_the_first_fit_of_a_process_costs_what_later_ones_do() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
    first, later, compiler = done.stdout.split()
    assert float(first) < 2 * float(later)  # 6 times as much while torch's compiler was imported
    assert compiler == "False"


def test_a_trained_detector_beats_its_own_untrained_networks_where_a_correlation_is_broken() -> None:
    normal, fresh, odd = correlated(300), correlated(150, seed=2), broken(150)
    rows, labels = np.concatenate([fresh, odd]), np.repeat([0, 1], 150)
    auc = [roc_auc_score(labels, -Detector(steps=steps).fit(normal).score_samples(rows)) for steps in (0, None)]
    assert auc[1] > auc[0] + 0.02
    assert auc[1] > 0.95


def test_scores_differ_and_are_the_same_twice(fitted: Detector) -> None:
    rows = broken(40)
    again = Detector(**QUICK).fit(correlated(120)).score_samples(rows)
    assert len(np.unique(again)) == 40
    assert (again == fitted.score_samples(rows)).all()


def test_the_global_random_state_stays() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    Detector(**QUICK).fit(correlated(30))
    assert torch.rand(1) == expected


def test_p_values_of_fresh_normal_rows_are_uniform() -> None:
    found = []
    for seed in range(8):
        held = Detector(**QUICK, false_alarms=0.01).fit(correlated(500, seed=seed))
        found.append(held.p_values(correlated(25, seed=100 + seed)))
    p = np.concatenate(found)
    assert kstest(p - np.random.default_rng(0).uniform(size=len(p)) / 100, "uniform").pvalue > 0.001


def test_the_held_out_rows_meet_the_rate_exactly() -> None:
    for count in (38, 60, 100, 333, 1000):
        detector = Detector()
        held = detector.plan(count)
        assert (held + 1) % 20 == 0, count
        assert held <= count // 2
        assert detector.false_alarms_ == 0.05
    assert Detector(false_alarms=0.01).plan(198) == 99


def test_one_unseen_row_of_noise_is_not_taken_for_a_perfect_reconstruction() -> None:
    assert Detector(**QUICK).fit(np.random.default_rng(0).normal(size=(6, 50))).poor_


def test_copies_of_rows_are_counted() -> None:
    rows = correlated(60)
    assert Detector(**QUICK).fit(rows).copies_ == 0
    assert Detector(**QUICK).fit(np.repeat(rows, 4, axis=0)).copies_ > 0.9


def test_few_rows_have_the_least_possible_rate_and_a_rate_that_was_asked_for_is_refused() -> None:
    detector = Detector(**QUICK).fit(correlated(20))
    assert detector.false_alarms_ == detector.least_rate_ == 1 / 11
    with pytest.raises(DetectorError, match=r"needs 38 rows, of which 19 are held out, and there are 20; give 0.091"):
        Detector(false_alarms=0.05).fit(correlated(20))
    Detector(**QUICK, false_alarms=0.091).fit(correlated(20))


def test_the_order_of_rows_changes_nothing(fitted: Detector) -> None:
    rows, order = broken(70), np.random.default_rng(0).permutation(70)
    assert (fitted.score_samples(rows[order]) == fitted.score_samples(rows)[order]).all()
    assert (fitted.score_samples(rows[:9]) == fitted.score_samples(rows)[:9]).all()


def test_the_unit_of_a_column_changes_nothing(fitted: Detector) -> None:
    rows, two = broken(40), 2.0 ** np.array([0, 1, -3, 20, 300, -300])
    scaled = Detector(**QUICK).fit(correlated(120) * two)
    assert (scaled.score_samples(rows * two) == fitted.score_samples(rows)).all()
    other = np.array([1, 3, 0.1, 1000, 7, 1e-5])
    scores_of_other = Detector(**QUICK).fit(correlated(120) * other).score_samples(rows * other)
    assert spearmanr(scores_of_other, fitted.score_samples(rows))[0] > 0.99


def test_flags_are_those_of_the_p_values(fitted: Detector) -> None:
    rows = np.concatenate([broken(30), correlated(30, seed=5)])
    p = fitted.p_values(rows)
    assert ((fitted.predict(rows) < 0) == (p <= fitted.false_alarms_ + 1e-9)).all()
    assert (fitted.flag(rows, 0.2) == (p <= 0.2 + 1e-9)).all()
    assert np.array_equal(fitted.decision_function(rows) < 0, fitted.predict(rows) < 0)
    with pytest.raises(interalia.UserError, match="held-out"):
        fitted.flag(rows, 0.001)


def test_saved_loaded_pickled_and_cloned_detectors_have_equal_scores(fitted: Detector, tmp_path: Path) -> None:
    rows = broken(30)
    fitted.save(tmp_path / "d.safetensors")
    loaded = Detector.load(tmp_path / "d.safetensors")
    for other in (loaded, pickle.loads(pickle.dumps(fitted)), clone(fitted).fit(correlated(120))):
        assert (other.score_samples(rows) == fitted.score_samples(rows)).all()
        assert (other.p_values(rows) == fitted.p_values(rows)).all()
        assert (other.explain(rows) == fitted.explain(rows)).all()
    assert (loaded.interval_, loaded.shape_) == (fitted.interval_, fitted.shape_)
    assert loaded.get_params() == fitted.get_params()
    (tmp_path / "no").write_text("no")
    with pytest.raises(DetectorError, match="no file of a detector"):
        Detector.load(tmp_path / "no")


def test_what_made_a_score_is_the_column_that_differs() -> None:
    detector = Detector(models=2, steps=200).fit(correlated(300))
    row = correlated(1, seed=9)
    odd = row.copy()
    odd[0, 4] += 3.0
    assert detector.explain(odd)[0].argmax() in (3, 4, 5)  # the columns of the correlation that is broken
    assert detector.explain(odd).max() > 3 * detector.explain(row).max()
    assert detector.reconstruct(row).shape == (1, 6)
    assert detector.transform(row).shape == (1, 2 * 16)


def test_images_keep_their_shape_and_have_one_unit_a_channel() -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, size=(40, 2, 5, 5)).astype(np.uint8)
    images[:, :, 0, 0] = 7  # a pixel that never changes
    detector = Detector(**QUICK).fit(images)
    assert detector.explain(images[:3]).shape == detector.reconstruct(images[:3]).shape == (3, 2, 5, 5)
    assert len(np.unique(detector.scale_)) == 2
    assert (detector.score_samples(torch.as_tensor(images[:3])) == detector.score_samples(images[:3])).all()
    flat = images.reshape(40, -1)[:3]
    assert (detector.score_samples(flat) == detector.score_samples(images[:3])).all()
    with pytest.raises(DetectorError, match="shape"):
        detector.predict(images[:, :1])


class Frame:
    """As much of a frame of pandas as scikit-learn reads."""

    def __init__(self, **columns: Any) -> None:
        self.data = columns
        self.columns = list(columns)
        self.dtypes = {name: np.asarray(column).dtype for name, column in columns.items()}
        self.shape = (len(next(iter(columns.values()))), len(columns))

    def __getitem__(self, name: str) -> Any:
        return self.data[name]


def test_a_column_of_words_is_refused_by_its_name() -> None:
    with pytest.raises(DetectorError, match="'city' is no column of numbers"):
        module.check_columns(Frame(age=[1.0, 2.0], city=["a", "b"]))
    module.check_columns(Frame(age=[1.0, 2.0]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_missing_number_is_refused_by_row_and_column(fitted: Detector, value: float) -> None:
    rows = correlated(30)
    rows[7, 2] = value
    for call in (fitted.predict, Detector(**QUICK).fit):
        with pytest.raises(DetectorError, match="1 numbers that are NaN or infinite, the first in row 7, column 2"):
            call(rows)


def test_data_at_the_edge_of_what_is_possible() -> None:
    for rows in (np.ones((30, 3)), np.repeat(correlated(3), 10, axis=0), correlated(60)[:, :1], correlated(6)):
        detector = Detector(**QUICK).fit(rows)
        assert np.isfinite(detector.score_samples(rows)).all()
        assert np.isfinite(detector.explain(rows)).all()
    constant = correlated(60)
    constant[:, 1] = 0.1
    detector = Detector(**QUICK).fit(constant)
    odd = constant[:1].copy()
    odd[0, 1] = 0.2
    assert detector.predict(odd) == [-1]  # any other value in a constant column
    assert (Detector(**QUICK).fit(np.ones((30, 3))).predict(np.ones((30, 3))) == 1).all()
    with pytest.raises(DetectorError, match="n_samples=5"):
        Detector(**QUICK).fit(correlated(5))


@pytest.mark.parametrize(
    "arguments",
    [
        {"models": 0},
        {"steps": -1},
        {"scores": "norm"},
        {"scores": ["none"]},
        {"false_alarms": 1.5},
        {"width": 2.5},
    ],
)
def test_an_argument_out_of_its_range_is_named(arguments: dict[str, Any]) -> None:
    with pytest.raises(DetectorError, match=f"`{next(iter(arguments))}`"):
        Detector(**arguments).fit(correlated(30))


def test_the_critic_is_warned_of_where_its_sign_differs_between_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    signs = iter([1.0, -1.0])
    monkeypatch.setattr(module, "critic_sign", lambda _: next(signs))
    with pytest.warns(UserWarning, match="no anomaly"):
        Detector(**QUICK, scores=["critic"]).fit(correlated(40))


def test_the_sign_of_the_critic_is_that_of_its_rank_correlation_with_the_error() -> None:
    ranks = {"x": np.array([[1.0, 1.0], [2.0, 2.0]])}
    assert module.critic_sign(inferred(**ranks, score=np.array([1.0, 2.0]))) == 1
    assert module.critic_sign(inferred(**ranks, score=np.array([2.0, 1.0]))) == -1


@pytest.mark.parametrize("name", ["ali", "hali", "vae", "aae", "alad"])
def test_any_game_that_infers_can_be_wrapped(name: str) -> None:
    game = interalia.build(interalia.Run(game=name, data="digits"))
    images = np.random.default_rng(0).integers(0, 256, size=(50, 1, 8, 8)).astype(np.uint8)
    detector = Detector.from_game(game, images, reference=images[:20])
    assert detector.least_rate_ == 0.05
    assert detector.explain(images[:2]).shape == (2, 1, 8, 8)
    assert (detector.score_samples(images[:4]) == detector.score_samples(images[:4] / 255)).all()
    assert (pickle.loads(pickle.dumps(detector)).score_samples(images) == detector.score_samples(images)).all()
    with pytest.raises(DetectorError, match="pickle"):
        detector.save("x")


def test_a_game_without_an_encoder_or_with_a_condition_is_refused() -> None:
    images = np.zeros((50, 1, 8, 8))
    with pytest.raises(interalia.UserError, match="encoder"):
        Detector.from_game(interalia.build(interalia.Run(game="gan", data="digits")), images)
    game = interalia.build(interalia.Run(game="ali", data="digits", condition_on="labels"))
    with pytest.raises(interalia.UserError, match="conditional"):
        Detector.from_game(game, images)


def test_rows_that_contain_similar_anomalies_have_more_neighbors(tmp_path: Path) -> None:
    assert Detector(**QUICK, contaminated=True).fit(correlated(40)).count_ == 20
    detector = Detector(**QUICK).fit(correlated(40))
    assert detector.count_ == 2
    detector.set_params(neighbours=7).fit(correlated(40)).save(tmp_path / "d")
    assert Detector.load(tmp_path / "d").count_ == 7
