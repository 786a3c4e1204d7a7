"""Reconstructions and probes on inputs that can be worked out by hand, and what the probes give to scikit-learn."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from interalia.errors import UserError
from interalia.metrics import inference

X = torch.tensor([[1.0, 2.0], [4.0, 6.0], [0.0, 0.5]], dtype=torch.float64)
OWN = torch.tensor([[1.0, 2.5], [1.0, 2.0], [0.3, 0.1]], dtype=torch.float64)  # 0.5, 5 and 0.5 away


def test_the_errors_of_three_reconstructions() -> None:
    found = inference.reconstruction(X, OWN)
    assert found.error == pytest.approx((0.5 + 5 + 0.5) / 3)
    assert found.mse == pytest.approx((0.25 + 25 + 0.25) / 6)
    assert found.psnr == pytest.approx(-10 * math.log10(25.5 / 6))
    assert found.ratio == pytest.approx(found.error / found.mismatched)
    away = torch.cdist(X, OWN)
    cycles = {round(float(sum(away[i, j] for i, j in enumerate(order)) / 3), 9) for order in ([1, 2, 0], [2, 0, 1])}
    seen = {round(inference.reconstruction(X, OWN, seed).mismatched, 9) for seed in range(20)}
    assert seen == cycles
    assert inference.reconstruction(X, OWN) == inference.reconstruction(X, OWN, seed=0)


@pytest.mark.parametrize("chunk", [1, 2, 3, 4])
def test_reconstructions_in_chunks(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    x = torch.from_numpy(np.random.default_rng(0).random((7, 2, 3)))
    want = inference.reconstruction(x, x**2, 5)
    monkeypatch.setattr(inference, "CHUNK", chunk)
    got = inference.reconstruction(x, x**2, 5)
    for name in ("error", "mismatched", "ratio", "mse", "psnr"):
        assert getattr(got, name) == pytest.approx(getattr(want, name), rel=1e-12)


def test_a_chunk_is_a_thousand_rows() -> None:
    assert inference.CHUNK == 1000


def test_inputs_that_are_all_alike_have_no_ratio() -> None:
    x = torch.full((3, 2), 0.25)
    found = inference.reconstruction(x, x)
    assert math.isnan(found.ratio)
    assert (found.error, found.mismatched, found.mse, found.psnr) == (0, 0, 0, math.inf)


def test_squares_are_taken_in_double_precision() -> None:
    x = torch.tensor([[16_777_216.0, 1.0], [3.0, 1.0]])  # 2^24, beside which a float32 loses 1
    x_hat = torch.tensor([[16_777_215.0, 1.0], [3.0, 0.0]])
    assert inference.reconstruction(x, x_hat).mse == 0.5
    z, z_hat = torch.full((1, 2), 1e30), torch.full((1, 2), -1e30)  # whose square a float32 does not hold
    assert inference.latent_reconstruction(z, z_hat) == pytest.approx(4e60)


def test_latents_found_again() -> None:
    z = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 4.0]])
    z_hat = torch.tensor([[1.5, -2.0], [0.5, 1.0], [3.0, 4.0]])
    assert inference.latent_reconstruction(z, z_hat) == pytest.approx((0.25 + 4 + 9) / 6)


@pytest.mark.parametrize(("rows", "other"), [(1, 1), (2, 3)])
def test_fewer_than_two_inputs_or_other_shapes_are_refused(rows: int, other: int) -> None:
    with pytest.raises(UserError, match=rf"shape \({rows}, 2\).*\({other}, 2\)"):
        inference.reconstruction(torch.zeros(rows, 2), torch.zeros(other, 2))
    assert inference.reconstruction(X[:2], OWN[:2]).mismatched > 0  # two are enough


# ---- nearest neighbours


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_nearest_neighbours_against_all_distances(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(inference, "CHUNK", chunk)
    random = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 5.0, 0.2])
    train, test = torch.randn(11, 3, generator=random) * scale + 7, torch.randn(8, 3, generator=random) * scale + 7
    train_y, test_y = torch.arange(11) % 3, torch.arange(8) % 3
    nearest = ((test[:, None] - train[None]) ** 2).sum(-1).argmin(1)
    want = (train_y[nearest] == test_y).double().mean().item()
    assert 0 < want < 1
    assert inference.nearest_neighbour_accuracy(train, train_y, test, test_y) == want


def test_the_nearest_is_so_by_its_own_norm_too() -> None:
    """Between 0 and 10 with the query at 4: -2 a.b alone takes the greater, |b|^2 alone the one at the centre."""
    train, y = torch.tensor([[0.0], [10.0], [20.0]]), torch.tensor([5, 6, 7])
    assert inference.nearest_neighbour_accuracy(train, y, torch.tensor([[4.0], [6.0], [16.0]]), y) == 1
    assert inference.nearest_neighbour_accuracy(train, y, torch.tensor([[6.0], [4.0], [14.0]]), y) == 0


ONE = torch.zeros(1, 2)


@pytest.mark.parametrize(
    ("train", "train_y", "test", "test_y", "says"),
    [
        (torch.zeros(3), torch.zeros(3), ONE, torch.zeros(1), "in the shape (n, d)"),
        (torch.zeros(3, 2), torch.zeros(3), torch.zeros(1), torch.zeros(1), "in the shape (n, d)"),
        (torch.zeros(3, 2), torch.zeros(3), torch.zeros(1, 3), torch.zeros(1), "2 and 3 numbers"),
        (torch.zeros(0, 2), torch.zeros(0), ONE, torch.zeros(1), "shape (0, 2)"),
        (torch.zeros(3, 2), torch.zeros(3), torch.zeros(0, 2), torch.zeros(0), "shape (0, 2)"),
        (torch.zeros(3, 2), torch.zeros(2), ONE, torch.zeros(1), "3 and 1 points with 2 and 1 labels"),
        (torch.zeros(3, 2), torch.zeros(3), ONE, torch.zeros(2), "3 and 1 points with 3 and 2 labels"),
    ],
)
def test_features_and_labels_that_do_not_fit(
    train: Tensor, train_y: Tensor, test: Tensor, test_y: Tensor, says: str
) -> None:
    for call in (
        lambda: inference.nearest_neighbour_accuracy(train, train_y, test, test_y),
        lambda: inference.linear_probe_accuracy(train, train_y, test, test_y),
        lambda: inference.svm_errors(train, train_y, test, test_y, train, train_y, labels=1),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert says in str(caught.value)
    whole, y = torch.zeros(3, 2), torch.zeros(3)
    if train.shape == whole.shape and len(train_y) == 3:  # the held-out points are looked at as the test points are
        with pytest.raises(UserError) as caught:
            inference.svm_errors(train, train_y, whole, y, test, test_y, labels=1)
        assert says in str(caught.value)


# ---- the linear probe: scikit-learn's machine in name, whose score tells what it was given


class Machine:
    """Keeps what it was fitted to and scored on; its score is best for one C."""

    best = 0.01
    made: list[Machine] = []

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        Machine.made.append(self)

    def fit(self, x: np.ndarray, y: np.ndarray) -> Machine:
        self.x, self.y = x, y
        return self

    def score(self, x: np.ndarray, y: np.ndarray) -> float:
        self.held_x, self.held_y = x, y
        return 0.75 - abs(math.log(self.settings["C"] / self.best)) / 100


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> list[Machine]:
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression", Machine)
    monkeypatch.setattr("sklearn.svm.LinearSVC", Machine)
    monkeypatch.setattr(Machine, "made", [])
    return Machine.made


def points(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)) * torch.tensor([3.0, 0.5, 0.0]) + 2
    return x, torch.arange(n) % 2


@pytest.mark.parametrize("best", [0.001, 0.01, 0.1, 1.0])
def test_the_probe_takes_the_penalty_that_reads_a_fifth_best(
    machines: list[Machine], monkeypatch: pytest.MonkeyPatch, best: float
) -> None:
    monkeypatch.setattr(Machine, "best", best)
    (x, y), (test, test_y) = points(23), points(4, 1)
    test[:, 2] += 5
    inference.linear_probe_accuracy(x, y, test, test_y)
    assert [machine.settings for machine in machines] == [
        {"C": c, "max_iter": 200} for c in (0.001, 0.01, 0.1, 1.0, best)
    ]
    mean, std = x.double().mean(0), x.double().std(0)
    mean[2], std[2] = 2, 1  # which never changes
    whole = ((x.double() - mean) / std).numpy()
    for machine in machines[:4]:  # a fifth of 23 is 4, disjoint from what it is fitted to
        assert (len(machine.held_x), len(machine.x)) == (4, 19)
        together = np.concatenate([machine.held_x, machine.x])
        assert sorted(map(tuple, together.round(9))) == sorted(map(tuple, whole.round(9)))
        rows = [int(np.abs(whole - row).sum(1).argmin()) for row in together]
        assert np.array_equal(np.concatenate([machine.held_y, machine.y]), y.numpy()[rows])
    last = machines[-1]
    assert np.allclose(last.x, whole)
    assert np.array_equal(last.y, y.numpy())
    assert np.allclose(last.held_x, ((test.double() - mean) / std).numpy())
    assert np.array_equal(last.held_y, test_y.numpy())


def test_the_probe_chooses_on_at_most_four_thousand_points_by_its_seed(machines: list[Machine]) -> None:
    x, y = points(4001)
    for seed in (0, 0, 1):
        inference.linear_probe_accuracy(x, y, x[:2], y[:2], seed=seed)
    sizes = [(len(machine.x), len(machine.held_x)) for machine in machines[:5]]
    assert sizes == [(3200, 800)] * 4 + [(4001, 2)]
    assert np.array_equal(machines[0].x, machines[5].x)
    assert not np.array_equal(machines[0].x, machines[10].x)
    inference.linear_probe_accuracy(x, y, x[:2], y[:2])  # the default is seed 0
    assert np.array_equal(machines[15].x, machines[0].x)


def test_a_penalty_that_is_given_is_taken(machines: list[Machine]) -> None:
    x, y = points(10)
    found = inference.linear_probe_accuracy(x, y, x, y, c=0.5)
    assert [machine.settings["C"] for machine in machines] == [0.5]
    assert found == machines[0].score(x.numpy(), y.numpy())


@pytest.mark.parametrize(
    ("n", "labels", "tried"), [(4, [0, 1, 0, 1], 1), (5, [0, 1, 0, 1, 0], 5), (6, [0] * 5 + [1], 0)]
)
def test_too_few_points_to_choose_by(machines: list[Machine], n: int, labels: list[int], tried: int) -> None:
    """A fifth of four is none, so C is 0.1; so it is where what is kept has one label."""
    x, _ = points(n)
    y = torch.tensor(labels)
    if tried:
        inference.linear_probe_accuracy(x, y, x, y)
        assert len(machines) == tried
        assert tried == 5 or machines[0].settings["C"] == 0.1
        return
    counts = set()
    for seed in range(20):
        machines.clear()
        inference.linear_probe_accuracy(x, y, x, y, seed=seed)
        counts.add(len(machines))
        if len(machines) == 1:
            assert machines[0].settings["C"] == 0.1
    assert counts == {1, 5}


def test_one_label_is_refused_and_two_are_not() -> None:
    x, y = points(6)
    with pytest.raises(UserError, match="at least 2"):
        inference.linear_probe_accuracy(x, torch.zeros(6), x, y)
    assert inference.linear_probe_accuracy(x, y, x, y) > 0


def test_machines_that_do_not_converge_are_not_told_of(
    machines: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.exceptions import ConvergenceWarning

    def fit(self: Machine, x: np.ndarray, y: np.ndarray) -> Machine:
        warnings.warn("not yet", ConvergenceWarning, stacklevel=1)
        return self

    monkeypatch.setattr(Machine, "fit", fit)
    x, y = points(10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inference.linear_probe_accuracy(x, y, x, y)
        inference.svm_errors(x, y, x, y, x, y, labels=2, draws=2)


# ---- the L2-SVM protocol


def test_the_svm_protocol(machines: list[Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    grid = [math.exp(-20 + 40 * k / 25) for k in range(26)]
    monkeypatch.setattr(Machine, "best", grid[9])
    train, test, held = points(20)[0], points(3, 1)[0], points(5, 2)[0]
    train_y, test_y, held_y = torch.arange(20) % 3, torch.arange(3) % 3, torch.arange(5) % 3
    errors, c = inference.svm_errors(train, train_y, test, test_y, held, held_y, labels=6, draws=4, seed=3)
    assert c == pytest.approx(grid[9], rel=1e-5)
    assert errors == pytest.approx([0.25] * 4, abs=1e-6)
    assert len(machines) == 26 + 4
    assert [machine.settings["C"] for machine in machines[:26]] == pytest.approx(grid, rel=1e-5)
    assert all(
        machine.settings == {"C": machine.settings["C"], "max_iter": 200, "random_state": 3} for machine in machines
    )
    for machine in machines[:26]:
        assert np.array_equal(machine.held_x, held.numpy())
        assert np.array_equal(machine.held_y, held_y.numpy())
        assert np.array_equal(machine.x, machines[26].x)  # the first draw
    for machine in machines[26:]:
        assert machine.settings["C"] == c
        assert np.array_equal(machine.held_x, test.numpy())
        assert np.array_equal(machine.held_y, test_y.numpy())
        assert sorted(machine.y.tolist()) == [0, 0, 1, 1, 2, 2]
        rows = [int(np.abs(train.numpy() - row).sum(1).argmin()) for row in machine.x]
        assert len(set(rows)) == 6
        assert np.array_equal(train.numpy()[rows], machine.x)  # as they are
        assert np.array_equal(train_y.numpy()[rows], machine.y)
    assert len({machine.x.tobytes() for machine in machines[26:]}) == 4
    first = machines[26].x.copy()
    machines.clear()
    inference.svm_errors(train, train_y, test, test_y, held, held_y, labels=6, draws=1, seed=4)
    assert not np.array_equal(machines[26].x, first)


def test_how_many_labels_a_draw_may_show() -> None:
    x, y = points(9)
    y = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1])
    assert len(inference.svm_errors(x, y, x, y, x, y, labels=8, draws=2)[0]) == 2
    for labels, says in (
        (7, "multiple of 2"),
        (1, "multiple of 2"),
        (0, "multiple of 2"),
        (10, "4 points of class 1, and 5"),
    ):
        with pytest.raises(UserError, match=says):
            inference.svm_errors(x, y, x, y, x, y, labels=labels)


def test_the_defaults_of_the_probes() -> None:
    for kind in (inference.Reconstruction, inference.PosteriorMoments):
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]

    def defaults(function: Any) -> dict[str, object]:
        parameters = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    for function, names in (
        (inference.reconstruction, []),
        (inference.nearest_neighbour_accuracy, []),
        (inference.linear_probe_accuracy, ["c", "seed"]),
        (inference.svm_errors, ["labels", "draws", "seed"]),
    ):
        kinds = {p.name: p.kind for p in inspect.signature(function).parameters.values()}
        assert [name for name, kind in kinds.items() if kind is inspect.Parameter.KEYWORD_ONLY] == names
        assert inspect.Parameter.POSITIONAL_ONLY not in kinds.values()
    assert defaults(inference.reconstruction) == {"seed": 0}
    assert defaults(inference.linear_probe_accuracy) == {"c": None, "seed": 0}
    assert defaults(inference.svm_errors) == {"draws": 100, "seed": 0}
    assert defaults(inference.posterior_moments) == {"prior_mean": 0.0, "prior_variance": 1.0}


# ---- moments


def test_the_moments_of_three_points() -> None:
    """Mean (3, -1), unbiased covariance [[7, -4.5], [-4.5, 3]]; the prior N((0.5, 0.5), 2 I)."""
    z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [6.0, -3.0]])
    assert torch.cov(z.T).tolist() == [[7, -4.5], [-4.5, 3]]
    found = inference.posterior_moments(z, prior_mean=0.5, prior_variance=2.0)
    assert found.mean_norm == pytest.approx(math.hypot(2.5, 1.5))
    assert (found.variance, found.variance_min, found.variance_max) == pytest.approx((5, 3, 7))
    assert found.covariance_distance == pytest.approx(math.sqrt(25 + 1 + 2 * 4.5**2))
    plain = (5 + (2.5**2 + 1.5**2) / 2 - 2 - math.log((7 * 3 - 4.5**2) / 4)) / 2
    assert found.kl == pytest.approx(plain - (1 / 3 + np.euler_gamma + math.log(2)))  # less its mean for three draws
