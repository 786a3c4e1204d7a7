"""`Detector`, an estimator for scikit-learn that finds anomalies with a committee of adversarially learned models."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Required, Self, TypedDict

import msgspec
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from interalia import UserError
from interalia.data import cache, tables
from interalia.data import columns as column_reader
from interalia.data.layouts import layout_of
from interalia.data.scaling import Column, Units, restore
from interalia.detect import committee, conformal
from interalia.detect.scores import SCORES, Array, Inferred, Known, infer
from interalia.games import Game

CLEAN, CONTAMINATED = 2, 20  # neighbors, by default, in rows without and with anomalies
RATE = 0.05  # the rate of false alarms by default, where the rows allow it
HELD_OUT, SHARE = 0.2, 0.8  # shares: of all rows that are held out, and of the others that one model trains on
FEWEST, MOST = 6, 4000  # rows to fit, and rows held out
LIMIT = 10.0  # standardized numbers are clipped to +- that
REFERENCE, NUMBERS = 5000, 10**6  # reference samples of one model, and numbers in their residuals, at most
CHUNK = 2000  # rows scored at a time
FORMAT = "interalia-detector-2"


CRITIC = (
    "the critic's score rises with the reconstruction error in some trainings and falls in others, so that it is no anomaly "
    "score here; leave 'critic' out of `scores`."
)


class DetectorError(UserError, ValueError):  # type: ignore[misc]
    """An error in the data or arguments of a `Detector`; it is a ValueError too, as scikit-learn's errors are."""


class Detector(OutlierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """An anomaly detector for tables and small images: a committee of small ALICE models (adversarially learned inference
    with a reconstruction loss), trained on normal rows, and conformal p-values from held-out ones.

    `fit` standardizes the columns (of images: the channels), and holds out a fifth of the rows. Each model is trained on a
    random 80 % of the others. The anomaly score of a row is the mean over scores and models of s(v), where v is the value
    of a score (see `interalia.detect.scores`), c and w are the median and the scaled median absolute deviation of v on the
    rows that the models were not trained on, and

        s(v) = sign(v - c) log(1 + |v - c| / w)

    The held-out rows serve the threshold alone. The p-value of a row is its rank among them, so that the rate of false
    alarms, on average over detectors, is at most the one that was chosen, whatever the distribution of the data.

    The result depends on the rows and on `random_state` alone. Multiplying a column by a power of two changes nothing.

    Arguments:
        models: the number of models in the committee.
        steps: the training steps of every model, on batches of 64 rows; None for a number that grows with the number of
            rows; 0 for untrained models, as a control.
        latent: the dimensions of z.
        width: the units in each of the two hidden layers of every network.
        scores: names of scores in `interalia.detect.SCORES`, which are averaged.
        neighbours: the number of neighbors of the scores by nearest neighbors; None for 2, or for 20 if `contaminated`,
            where a few similar anomalies are each other's nearest neighbors.
        false_alarms: the share of normal rows that are flagged. It is at least 1 / (m + 1) with m rows held out, which are
            at most half of all. None for 0.05, or for the least possible rate if there are fewer than 38 rows.
        contaminated: True if the rows to fit contain the anomalies to find. The held-out rows then do too, so that the
            rate is the share of all rows that are flagged, and p-values are those of being like the other rows.
        layout: what the axes of arrays with 3 axes or more are: "auto", by shape and type, "signal", "image",
            "image-channels-last" or "volume", as for `interalia.data.load`.
        impute: what replaces missing numbers of a table: the "median" or the "mean" of the rows that are not held out, or
            "zero"; missing categories become a further one. "refuse" for an error.
        random_state: an integer seed; or, as everywhere in scikit-learn, a RandomState or None.

    Attributes:
        games_: the trained models, each an `ALICE`.
        calibration_: the anomaly scores of the held-out rows, in ascending order, shape (m,).
        offset_: minus the threshold: rows with a `score_samples` below it are flagged.
        false_alarms_: the rate in use.
        least_rate_: 1 / (m + 1), the least possible rate.
        interval_: the interval in which the true rate of false alarms lies with probability 0.999, (low, high).
        explained_: the share of the variance of unseen rows, about the mean of all, that reconstructions explain; 1 for
            perfect ones.
        poor_: True if `explained_` is below 0.1: reconstructions are too poor to judge by.
        copies_: the share of the held-out rows that are copies of other rows. The rate of false alarms is met if new normal
            rows are copies of these as often, and not if rows were copied to have more of them.
        n_features_in_, feature_names_in_: the numbers in a row, or the columns of a frame, and the names of these.
        shape_: the shape of one row as the models take it: (d,), or of signals, images and volumes with the channels first.
        columns_: the columns of a table with texts or missing values, see `interalia.data.scaling.Column`; empty for others.

    References:
        ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, Chunyuan Li and others, 2017,
        https://arxiv.org/abs/1709.01215
        Efficient GAN-Based Anomaly Detection, Houssam Zenati and others, 2018, https://arxiv.org/abs/1802.06222
        Testing for outliers with conformal p-values, Stephen Bates and others, 2023, https://arxiv.org/abs/2104.08279

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(300, 1)) * [[1.0, 2.0, -1.0]]  # three columns that agree
        >>> detector = Detector(steps=100).fit(rows)
        >>> detector.predict([[1.0, 2.0, -1.0], [1.0, -2.0, 1.0]])  # the second row breaks the correlation
        array([ 1, -1])
    """

    shape_: tuple[int, ...]
    columns_: tuple[Column, ...] = ()
    copies_: float = 0.0
    byte_: float = 1.0  # that arrays of bytes are divided by; files of earlier versions do not have it
    units_: dict[str, tuple[float, float]]

    def __init__(
        self,
        models: int = 5,
        steps: int | None = None,
        latent: int = 16,
        width: int = 64,
        scores: Sequence[str] = ("residuals", "neighbours", "pair-neighbours"),
        neighbours: int | None = None,
        false_alarms: float | None = None,
        contaminated: bool = False,
        layout: str = "auto",
        impute: str = "refuse",
        random_state: Any = 0,
    ) -> None:
        self.models = models
        self.steps = steps
        self.latent = latent
        self.width = width
        self.scores = scores
        self.neighbours = neighbours
        self.false_alarms = false_alarms
        self.contaminated = contaminated
        self.layout = layout
        self.impute = impute
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Trains the committee, and computes the threshold from held-out rows.

        Arguments:
            X: normal rows, or with `contaminated` the rows to search: an array, shape (n, d); a data frame or a dictionary of
                columns, of numbers or of categories; or signals, images or volumes, an array with 3 to 5 axes.
            y: ignored.

        Raises:
            DetectorError: an argument is out of its range, a number is NaN or infinite, there are fewer than 6 rows, or
                too few for the rate of false alarms, or the axes or a column cannot be read.
        """
        self.check_arguments()
        self.limit_, self.byte_ = LIMIT, 255.0 if is_bytes(X) and np.ndim(X) > 2 else 1.0
        self.count_ = self.neighbours or (CONTAMINATED if self.contaminated else CLEAN)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rows = self.read(X, seed)
        draw = np.random.default_rng(seed)
        held, order = self.plan(len(rows)), draw.permutation(len(rows))
        held_out, own = rows[order[:held]], rows[order[held:]]
        known = {row.tobytes() for row in own}
        self.copies_ = sum(row.tobytes() in known for row in held_out) / held
        self.center_, self.scale_ = standard(own, self.shape_)
        x, count = self.standardize(own), max(1, min(len(own) - 1, math.floor(SHARE * len(own))))
        parts = np.stack([draw.permutation(len(own)) for _ in range(self.models)])
        steps = default_steps(len(rows)) if self.steps is None else self.steps
        with one_thread():
            self.games_: list[Game] = list(committee.train(x, parts[:, :count], steps, self.latent, self.width, seed))
            self.learn([x] * self.models, [x[part[count:]] for part in parts])
            self.calibrate(self.anomalies(self.standardize(held_out))["combined"], self.false_alarms_)
        return self

    def check_arguments(self) -> None:
        """Raises a DetectorError if an argument of the constructor is out of its range."""
        least = {"models": 1, "latent": 1, "width": 1, "neighbours": 1, "steps": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int | np.integer) or value < bound):
                raise DetectorError(f"`{name}` is {value!r}; give a whole number from {bound}.")
        if isinstance(self.scores, str) or not self.scores or not set(self.scores) <= set(SCORES):
            raise DetectorError(f"`scores` is {self.scores!r}; give a list with names among {', '.join(SCORES)}.")
        share = self.false_alarms
        if share is not None and not (isinstance(share, Real) and 0 < share < 1):
            raise DetectorError(f"`false_alarms` is {self.false_alarms!r}; give a share between 0 and 1, such as 0.05.")

    def read(self, X: Any, seed: int | None = None) -> Array:
        """Returns the rows of an array, a table, signals, images or volumes as a matrix, float64, shape (n, d), after checks.

        Arguments:
            X: the rows.
            seed: the seed of a fit, which stores the shape and the columns of the rows; None for rows to score, which must
                have the stored shape and columns.

        Raises:
            DetectorError: the shape is another one, or a number is NaN or infinite, or a column of a table cannot be read;
                scikit-learn raises its own errors for what is no matrix of numbers.
        """
        fit = seed is not None
        X = X.numpy(force=True) if isinstance(X, torch.Tensor) else X
        if isinstance(X, list | tuple):
            with suppress(TypeError, ValueError):  # scikit-learn raises its own
                X = np.asarray(X, dtype=np.float64)
        if is_frame(X):
            with as_detector_error():
                column_reader.check_names(X, "X")
        if self.is_mixed(X, fit):
            return self.read_table(X, seed)
        X = X / self.byte_ if is_bytes(X) else X
        shape = None
        if isinstance(X, np.ndarray) and X.ndim > 2 and X.dtype.kind in "buif":
            with as_detector_error():
                X = layout_of(X, "X", self.layout, None if fit else self.shape_).apply(X)
            shape, X = X.shape[1:], X.reshape(len(X), -1)
            if not fit and math.prod(shape) != self.n_features_in_:
                raise DetectorError(f"an example has the shape {shape}, and the detector was fitted on {self.shape_}.")
        else:
            check_columns(X)
        rows = validate_data(self, X, reset=fit, dtype=np.float64, ensure_all_finite=False)
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            instead = ", or give `impute='median'`" if fit else ""
            name = repr(str(self.feature_names_in_[column])) if hasattr(self, "feature_names_in_") else column
            raise DetectorError(
                f"X has {int((~np.isfinite(rows)).sum())} numbers that are NaN or infinite, the first in row {row}, column "
                f"{name}; remove these rows, or fill them in{instead}."
            )
        if fit:
            self.columns_, self.shape_ = (), shape or rows.shape[1:]
            self.check_count(len(rows))
        return np.asarray(rows)

    def check_count(self, count: int) -> None:
        """Raises a DetectorError if `count` rows are too few to fit."""
        if count < FEWEST:
            raise DetectorError(f"n_samples={count}, and a detector is fitted on {FEWEST} rows or more.")

    def is_mixed(self, X: Any, fit: bool) -> bool:
        """True if X is to be read by `read_table`: a dictionary of columns, a frame with a column that is not of numbers, or
        an array or frame whose missing numbers are to be replaced; or, unless `fit`, if the detector was fitted on such.
        """
        if not fit:
            return bool(self.columns_)
        frame = is_frame(X)
        if (isinstance(X, Mapping) and not hasattr(X, "shape")) or (
            frame and not all(is_numeric(X[name]) for name in X.columns)
        ):
            return True
        matrix = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind == "f"
        parts = [X[name] for name in X.columns] if frame else [X] * matrix
        return self.impute != "refuse" and any(np.isnan(np.asarray(part, dtype=np.float64)).any() for part in parts)

    def read_table(self, X: Any, seed: int | None) -> Array:
        """Returns the rows of a table with categories or missing values as vectors, float64, shape (n, components).

        Arguments:
            X: a data frame, a dictionary of columns, or a matrix, whose columns are called "0", "1" ...
            seed: the seed of a fit, by which rows are held out; None for rows to score.

        Raises:
            DetectorError: a column is missing, or a value cannot be read, or there are too few rows.
        """
        table = {str(i): X[:, i] for i in range(X.shape[1])} if isinstance(X, np.ndarray) and X.ndim == 2 else X
        if not (isinstance(table, Mapping) or is_frame(table)):
            raise DetectorError("the detector was fitted on a table; give a data frame or a dictionary of its columns.")
        with as_detector_error():
            values = column_reader.values_of(table, "X")
            if seed is not None:
                if self.impute not in tables.IMPUTE:
                    raise UserError(f"`impute` is {self.impute!r}; give one of {', '.join(tables.IMPUTE)}.")
                count = len(next(iter(values.values()))) if values else 0
                self.check_count(count)
                own = np.random.default_rng(seed).permutation(count)[self.plan(count) :]
                self.columns_ = tuple(tables.declared(one, own, "X", self.impute) for one in values.values())
                self.shape_ = (sum(column.size for column in self.columns_),)
                self.n_features_in_ = len(self.columns_)
                self.feature_names_in_ = np.array([column.name for column in self.columns_], dtype=object)
            rows = tables.encode_columns(values, self.columns_, "X")
        if not np.isfinite(rows).all():
            raise DetectorError("X has numbers that are infinite; remove these rows.")
        return rows

    def plan(self, count: int) -> int:
        """Returns how many of `count` rows to hold out, and sets `false_alarms_`.

        The number is k / rate - 1 with a whole number k, for which the rate is met exactly (1 / rate is rounded up). It is
        near to a fifth of the rows, and at most half of them.

        Raises:
            DetectorError: half of the rows are too few for the argument `false_alarms`.
        """
        rate = RATE if self.false_alarms is None else self.false_alarms
        each = conformal.calibration_size(rate) + 1
        times = max(1, min(round(HELD_OUT * count / each), MOST // each))
        held, half = times * each - 1, count // 2
        if held > half and self.false_alarms is not None:
            least = conformal.least_rate(half)
            raise DetectorError(
                f"`false_alarms={rate:g}` needs {2 * held} rows, of which {held} are held out, and there are {count}; give "
                f"{math.ceil(1e4 * least) / 1e4:g} or more, the least possible rate, or fit on more rows."
            )
        self.false_alarms_ = rate if held <= half else conformal.least_rate(half)
        return min(held, half)

    def standardize(self, rows: Array) -> Array:
        """Returns rows in units of the standard deviation of each column, or of each channel of images, clipped to +-10.

        In a column that is constant in the rows to fit, this value becomes 0, and any other one -10 or 10.
        """
        difference = rows - self.center_
        constant = self.scale_ == 0
        same = np.abs(difference) <= 1e-6 * np.abs(self.center_)
        ratio = difference / np.where(constant, 1.0, self.scale_)
        ratio = np.where(constant, np.where(same, 0.0, np.copysign(LIMIT, difference)), ratio)
        # rounded, so that another unit of a column changes little
        return np.asarray(np.round(np.clip(ratio, -self.limit_, self.limit_), 6))

    def learn(self, trained: Sequence[Array], unseen: Sequence[Array]) -> None:
        """Sets `known_`, what the scores need of normal rows, for each model; `units_` of each score; and `explained_`.

        Arguments:
            trained: for each model, standardized rows to search for neighbors, such as those that it was trained on.
            unseen: for each model, normal rows that it was not trained on, which define the units.
        """
        limit = max(10, min(REFERENCE, NUMBERS // trained[0].shape[1]))
        values: dict[str, list[Array]] = {name: [] for name in self.scores}
        self.known_: list[Known] = []
        error, total, signs = 0.0, 0.0, list[float]()
        for game, rows, others in zip(self.games_, trained, unseen, strict=True):
            inferred = self.infer(game, others[:limit])
            known = Known.of(self.infer(game, rows[:limit]), inferred)
            if "pair-neighbours" not in self.scores:
                known = Known(known.z, known.residual[:0], known.spread)
            self.known_.append(known)
            for name in self.scores:
                values[name].append(SCORES[name](inferred, known, self.count_))
            error += float((inferred.residual**2).sum())
            total += float(((inferred.x - rows.mean(axis=0)) ** 2).sum())
            signs += [critic_sign(inferred)] if "critic" in self.scores else []
        self.units_ = {name: center_and_width(np.concatenate(found)) for name, found in values.items()}
        self.explained_ = 1 - error / total if total else 1.0
        self.poor_ = self.explained_ < 0.1
        if len(set(signs)) > 1:
            warnings.warn(CRITIC, stacklevel=3)

    def infer(self, game: Game, x: Array) -> Inferred:
        """Returns what a model infers from standardized rows, shape (n, d)."""
        return infer(game, torch.as_tensor(x).reshape(len(x), *(game.data.shape or self.shape_)))

    def anomalies(self, x: Array) -> dict[str, Array]:
        """Returns name of a score -> its values for standardized rows, in its units and averaged over models, shape (n,);
        and "combined" -> their mean.
        """
        found: dict[str, list[Array]] = {name: [] for name in (*self.scores, "combined")}
        for start in range(0, max(1, len(x)), CHUNK):
            part = x[start : start + CHUNK]
            values: dict[str, list[Array]] = {name: [] for name in self.scores}
            for game, known in zip(self.games_, self.known_, strict=True):
                inferred = self.infer(game, part)
                for name, (center, width) in self.units_.items():
                    off = (SCORES[name](inferred, known, self.count_) - center) / width
                    values[name].append(np.sign(off) * np.log1p(np.abs(off)))
            means = [np.mean(values[name], axis=0) for name in self.scores]
            for name, mean in zip(found, [*means, np.mean(means, axis=0)], strict=True):
                found[name].append(np.round(mean, 9))  # sums in another order differ in the last bits
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def calibrate(self, held_out: Array, rate: float) -> None:
        """Stores the anomaly scores of held-out rows, and the threshold for a rate of false alarms."""
        self.calibration_ = np.sort(held_out)
        self.false_alarms_ = rate
        self.least_rate_ = conformal.least_rate(len(held_out))
        self.offset_ = -conformal.threshold(held_out, rate)
        self.interval_ = conformal.rate_interval(len(held_out), rate)

    def prepared(self, X: Any) -> Array:
        """Returns the rows of X, standardized, shape (n, d), after checking that the detector is fitted and that they fit."""
        check_is_fitted(self)
        return self.standardize(self.read(X))

    def anomaly_scores(self, X: ArrayLike) -> dict[str, Array]:
        """Returns name of a score -> the anomaly score of each row of X by it, higher for anomalies, shape (n,).

        The names are those in `scores`, and "combined", the mean, which is minus `score_samples`.
        """
        x = self.prepared(X)
        with one_thread():
            return self.anomalies(x)

    def score_samples(self, X: ArrayLike) -> Array:
        """Returns minus the anomaly score of each row of X, shape (n,): the lower, the more anomalous."""
        return -self.anomaly_scores(X)["combined"]

    def decision_function(self, X: ArrayLike) -> Array:
        """Returns `score_samples` minus `offset_` for each row of X, shape (n,): negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int_]:
        """Returns -1 for each row of X that is flagged as an anomaly, and 1 for the others, shape (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: ArrayLike) -> Array:
        """Returns the conformal p-value of each row of X, shape (n,).

        p = (1 + the number of held-out rows whose anomaly score is at least that of the row) / (m + 1), with m rows held
        out. Normal rows have a p-value of at most a with probability a or less; `predict` flags those up to
        `false_alarms_`.
        """
        return conformal.conformal_p_values(self.calibration_, -self.score_samples(X))

    def flag(self, X: ArrayLike, false_alarms: float) -> NDArray[np.bool_]:
        """Returns True for each row of X that is flagged at a rate of false alarms, shape (n,).

        Raises:
            UserError: the rate is below `least_rate_`.
        """
        conformal.check_rate(false_alarms, len(self.calibration_))
        return self.p_values(X) <= false_alarms + conformal.SLACK

    def explain(self, X: ArrayLike) -> Any:
        """Returns by how much each number of X differs from its reconstruction, in the shape of X.

        It is the mean over models of |x - x^| / s, with s the root mean square of x - x^ on normal rows in this column or
        pixel: about 1 for normal rows, and large for the numbers that make a row anomalous. For a table with texts or missing
        values it is a data frame with the columns of X, or a dictionary of columns if X is no data frame; for a column of
        categories the largest value of them.
        """
        x = self.prepared(X)
        with one_thread():
            found = [
                np.abs(self.infer(g, x).residual) / k.spread for g, k in zip(self.games_, self.known_, strict=True)
            ]
        mean = np.mean(found, axis=0)
        if not self.columns_:
            return self.as_given(mean, X)
        ends = np.cumsum([column.size for column in self.columns_])
        parts = [part.max(axis=1) for part in np.split(mean, ends[:-1], axis=1)]
        return like(X, {column.name: part for column, part in zip(self.columns_, parts, strict=True)})

    def reconstruct(self, X: ArrayLike) -> Any:
        """Returns the reconstructions of the rows, the mean over models, in the shape and the units of X, float64.

        Those of a table with texts or missing values are a table, with the likeliest categories, as `explain` returns it.
        """
        x = self.prepared(X)
        with one_thread():
            mean = np.mean([self.infer(game, x).x_hat for game in self.games_], axis=0)
        found = (mean * self.scale_ + self.center_) * (self.byte_ if is_bytes(X) else 1.0)
        return like(X, tables.decode(found, self.columns_)) if self.columns_ else self.as_given(found, X)

    def as_given(self, rows: Array, X: Any) -> Array:
        """Returns an array `rows`, shape (n, d), in the shape of X, whose n examples have d numbers each."""
        shape = np.shape(X)
        if len(shape) > 2:
            given = X.numpy(force=True) if isinstance(X, torch.Tensor) else np.asarray(X)
            rows = layout_of(given, "X", self.layout, self.shape_).undo(rows.reshape(len(rows), *self.shape_))
        return np.asarray(rows.reshape(shape))

    def transform(self, X: ArrayLike) -> Array:
        """Returns the latents z^ of each row of X, the means of q(z | x) of all models in turn, shape (n, models *
        latent).
        """
        x = self.prepared(X)
        with one_thread():
            return np.round(np.concatenate([self.infer(game, x).z for game in self.games_], axis=1), 9)

    @property
    def _n_features_out(self) -> int:
        """The number of columns that `transform` returns, from which scikit-learn derives their names."""
        return sum(known.z.shape[1] for known in self.known_)

    @classmethod
    def from_game(
        cls,
        game: Game,
        normals: ArrayLike,
        *,
        reference: ArrayLike | None = None,
        scores: Sequence[str] = ("residuals", "neighbours", "pair-neighbours"),
        neighbours: int = 2,
        false_alarms: float | None = None,
        random_state: Any = 0,
    ) -> Self:
        """Returns a fitted detector with one model, a trained game of any kind with an encoder and a decoder.

        Arguments:
            game: the game, such as `interalia.load(folder).game`.
            normals: normal samples that the game was not trained on, in its shape and units; uint8 is divided by 255. A
                part of them defines the units of the scores, and the others are held out for the threshold.
            reference: samples to search for neighbors, such as those that the game was trained on; None for the part of
                `normals` that is not held out.
            scores: names of the scores that are averaged, as in `Detector`.
            neighbours: the number of neighbors of the scores by nearest neighbors.
            false_alarms: the share of normal samples that are flagged; None for 0.05, or the least possible rate.
            random_state: an integer seed, which decides which samples are held out; or a RandomState or None.

        Raises:
            DetectorError: `normals` are fewer than 6, or too few for the rate of false alarms.
            UserError: the game has no encoder or no decoder, or is conditional.
        """
        self = cls(1, None, 1, 1, tuple(scores), neighbours, false_alarms, random_state=random_state)
        self.check_arguments()
        self.center_, self.scale_, self.limit_, self.byte_ = np.zeros(1), np.ones(1), math.inf, 255.0
        self.count_ = neighbours
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        x = normals.numpy(force=True) if isinstance(normals, torch.Tensor) else np.asarray(normals)
        rows = self.read(x.reshape(len(x), -1), seed)
        self.shape_ = x.shape[1:]
        held, order = self.plan(len(rows)), np.random.default_rng(seed).permutation(len(rows))
        self.games_ = [game]
        own = rows[order[held:]]
        self.learn([own if reference is None else self.read(reference)], [own])
        self.calibrate(self.anomalies(rows[order[:held]])["combined"], self.false_alarms_)
        return self

    def save(self, path: Path | str) -> None:
        """Writes the fitted detector to one file (.safetensors), from which `load` restores equal scores.

        Raises:
            DetectorError: the detector wraps a game, which belongs to its run; `pickle` stores such a detector.
            UserError: the file cannot be written; an existing one stays as it is.
        """
        from safetensors.numpy import save

        check_is_fitted(self)
        if self.limit_ == math.inf:
            raise DetectorError("this detector wraps a trained game, which has its own files; store it with `pickle`.")
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ARRAYS}
        for i, (game, known) in enumerate(zip(self.games_, self.known_, strict=True)):
            arrays |= {f"{i}.known.{name}": value for name, value in vars(known).items()}
            arrays |= {f"{i}.game.{name}": value.numpy() for name, value in game.state_dict().items()}
        plain = {name: as_plain(getattr(self, name)) for name in PLAIN}
        names = list(map(str, self.feature_names_in_)) if hasattr(self, "feature_names_in_") else None
        settings = {name: as_plain(value) for name, value in self.get_params().items()} | {"scores": list(self.scores)}
        if not isinstance(settings["random_state"], int):
            settings["random_state"] = None
        columns = Units(None, self.columns_).values()
        about = {"format": FORMAT, "settings": settings, "fitted": plain, "names": names, "units": columns}
        arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
        text = json.dumps({**about, "digest": digest_of(about, arrays)})
        cache.write(Path(path), save(arrays, metadata={"interalia": text}))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Returns the fitted detector that `save` wrote. No code in the file is executed.

        Raises:
            DetectorError: the file is not one of a detector, or has changed since.
        """
        from safetensors import SafetensorError, safe_open

        try:
            if not Path(path).is_file():  # a named pipe would be waited for
                raise DetectorError(f"there is no file {path} of a detector; give one that `save` wrote.")
            with safe_open(Path(path), "np") as file:
                about = json.loads((file.metadata() or {}).get("interalia", "{}"))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if not isinstance(about, dict) or about.get("format") != FORMAT:
                raise DetectorError(f"{path} is no file of a detector of this version; give one that `save` wrote.")
            if about.pop("digest", None) != digest_of(about, arrays):
                raise DetectorError(f"{path} is damaged (its content has changed); fit the detector again.")
            return cls._restored(about, arrays)
        except (OSError, SafetensorError) as error:
            raise DetectorError(f"{path} is no file of a detector ({error}); give one that `save` wrote.") from None
        except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, msgspec.ValidationError) as error:
            if isinstance(error, DetectorError):
                raise
            reason = str(error).replace("`", "")  # of a RecursionError too
            raise DetectorError(f"{path} is damaged ({reason}); fit the detector again.") from None

    @classmethod
    def _restored(cls, about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Returns the detector that `save` described.

        Arguments:
            about: a dictionary: "settings", the constructor's arguments; "fitted", attributes of plain types; and "names",
                those of the columns.
            arrays: name -> array: fitted attributes, and the weights and the reference of each model.
        """
        self = cls(**{**about["settings"], "scores": tuple(about["settings"]["scores"])})
        for name in ARRAYS:
            setattr(self, name, arrays[name])
        self.check_arguments()
        for name, value in msgspec.convert(about["fitted"], Fitted).items():
            setattr(self, name, value)
        units = restore(about.get("units", {}))
        self.columns_ = units.columns if units else ()
        check_arrays(arrays, math.prod(self.shape_), self.latent, self.models)
        if list(self.units_) != list(self.scores):
            raise ValueError("its scores are not those of its units")
        if about["names"] is not None:
            self.feature_names_in_ = np.array(about["names"], dtype=object)
        self.games_, self.known_, self.limit_ = [], [], LIMIT
        if max(math.prod(self.shape_), self.latent, self.width) * self.width > sum(one.size for one in arrays.values()):
            raise ValueError("its networks are larger than their weights")
        for i in range(self.models):
            self.known_.append(Known(*(arrays[f"{i}.known.{one.name}"] for one in fields(Known))))
            game, start = committee.new_game(math.prod(self.shape_), self.latent, self.width), f"{i}.game."
            state = {k.removeprefix(start): torch.as_tensor(v) for k, v in arrays.items() if k.startswith(start)}
            game.load_state_dict(state)
            self.games_.append(game)
        return self


def digest_of(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """Returns the SHA-256 digest of a detector's file, in hexadecimal: of its description, without "digest", and its arrays.

    Arguments:
        about: the description, of types that JSON has.
        arrays: name -> array of NumPy.
    """
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def check_arrays(arrays: Mapping[str, Array], size: int, latent: int, models: int) -> None:
    """Raises a ValueError or KeyError if arrays of a detector's file are missing, or have other shapes than its models need.

    Arguments:
        arrays: name -> array.
        size: the numbers in a row.
        latent: the dimensions of z.
        models: the number of models.
    """
    shapes: dict[str, tuple[int, ...]] = {"center_": (size,), "scale_": (size,), "calibration_": ()}
    for i in range(models):
        shapes |= {f"{i}.known.z": (latent,), f"{i}.known.residual": (size,), f"{i}.known.spread": (size,)}
    for name, shape in shapes.items():
        rows = name.endswith((".z", ".residual", "calibration_"))
        if (
            arrays[name].dtype != np.float64
            or arrays[name].shape[rows:] != shape
            or not np.isfinite(arrays[name]).all()
        ):
            raise ValueError(f"{name} does not have the shape or the numbers that its models need")


Whole = Annotated[int, msgspec.Meta(ge=1, le=10**9)]


class Fitted(TypedDict, total=False):
    """The fitted attributes of a `Detector` that its file has as JSON, by name; all but the last are there."""

    shape_: Required[tuple[Whole, ...]]
    count_: Required[Whole]
    n_features_in_: Required[Whole]
    offset_: Required[float]
    false_alarms_: Required[float]
    least_rate_: Required[float]
    interval_: Required[tuple[float, float]]
    explained_: Required[float]
    poor_: Required[bool]
    copies_: Required[float]
    units_: Required[dict[str, tuple[float, float]]]
    byte_: float


# fitted attributes that `save` writes as arrays, and as JSON
ARRAYS = ("center_", "scale_", "calibration_")
PLAIN = tuple(Fitted.__annotations__)


def as_plain(value: Any) -> Any:
    """Returns a number of NumPy as one of Python, which JSON has; any other value unchanged."""
    return value.item() if isinstance(value, np.generic) else value


@contextmanager
def as_detector_error() -> Iterator[None]:
    """A context manager in which a UserError becomes a DetectorError."""
    try:
        yield
    except UserError as error:
        raise DetectorError(str(error)) from None


def is_bytes(X: Any) -> bool:
    """True if X is an array or a tensor of bytes (uint8)."""
    return isinstance(X, np.ndarray | torch.Tensor) and X.dtype in (np.uint8, torch.uint8)


def is_frame(X: Any) -> bool:
    """True if X is a data frame, such as that of pandas."""
    return hasattr(X, "dtypes") and hasattr(X, "columns")


def is_numeric(column: Any) -> bool:
    """True if a column of a frame can be converted to floating-point numbers without a change, so that it is no category; a
    time cannot.
    """
    if str(column.dtype) == "category" or column.dtype == object or getattr(column.dtype, "kind", "O") in "mM":
        return False
    try:
        np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return True


def like(X: Any, columns: dict[str, Any]) -> Any:
    """Returns columns as a data frame with the rows of X, if X is a data frame, else the dictionary itself."""
    return type(X)(columns, index=X.index) if hasattr(X, "columns") and hasattr(X, "index") else columns


def check_columns(X: object) -> None:
    """Raises a DetectorError that names the first column of a frame that has something else than numbers; does nothing for
    other objects.
    """
    for name in X.columns if is_frame(X) else ():  # type: ignore[attr-defined]
        try:
            if np.asarray(X[name]).dtype.kind in "mM":  # type: ignore[index]
                raise TypeError("times are no numbers")
            np.asarray(X[name], dtype=np.float64)  # type: ignore[index]
        except (TypeError, ValueError):
            raise DetectorError(
                f"column {str(name)!r} is no column of numbers; encode it as numbers, or leave it out."
            ) from None


def standard(rows: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Returns the mean and the standard deviation of each column, or for images of each channel, shape (d,).

    Both are exactly multiplied by any power of two that a column is multiplied by. The deviation of a constant column is 0,
    and its mean is its value.

    Arguments:
        rows: shape (n, d).
        shape: the shape of one row: (d,), or of signals, images and volumes with the channels first.
    """
    groups = rows
    if len(shape) > 1:
        channels = shape[0]
        groups = rows.reshape(len(rows), channels, -1).transpose(0, 2, 1).reshape(-1, channels)
    unit = np.ldexp(1.0, np.frexp(np.abs(groups).max(axis=0))[1] - 1)  # so that no square overflows
    groups = groups / unit
    low, high = groups.min(axis=0), groups.max(axis=0)
    center = np.where(low == high, low, groups.mean(axis=0)) * unit
    scale = np.where(low == high, 0.0, groups.std(axis=0)) * unit
    repeats = rows.shape[1] // len(center)
    return np.repeat(center, repeats), np.repeat(scale, repeats)


def default_steps(count: int) -> int:
    """Returns the number of training steps for `count` rows if the argument `steps` is None: 3/8 of it, from 75 to 500."""
    return min(500, max(75, 3 * count // 8))


def center_and_width(values: Array) -> tuple[float, float]:
    """Returns the median of values, shape (n,), and their median absolute deviation, times 1.4826.

    With this factor it is the standard deviation of normally distributed values. It is at least a thousandth of the median.
    """
    center = float(np.median(values))
    return center, 1.4826 * float(np.median(np.abs(values - center))) + 1e-3 * abs(center) + 1e-6


def critic_sign(inferred: Inferred) -> float:
    """Returns the sign of the rank correlation of the critic's score with the mean of |x - x^|: -1, 0 or 1."""
    from scipy.stats import rankdata

    ranks = rankdata(inferred.score), rankdata(np.abs(inferred.residual).mean(axis=1))
    return float(np.sign(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean()))))


@contextmanager
def one_thread() -> Iterator[None]:
    """A context manager in which torch uses one thread: for small networks a second one costs more than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
