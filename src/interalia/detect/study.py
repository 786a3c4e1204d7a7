"""Comparisons of detectors of anomalies on tables and images, for the experiments detect-tables, detect-contaminated and
detect-images.

A comparison is a table: a row for each detector, metrics as columns. The labels are used for measuring alone, except that
the clean protocol trains on normal examples. ``study.toml`` has the settings and the data sets.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from interalia import UserError, packaged_toml
from interalia.detect.measuring import f1_of_highest, metrics

Array = NDArray[Any]
T = TypeVar("T")
TABLE = packaged_toml("interalia.detect", "study.toml")
TRAINING, NORMALS, ANOMALIES = (
    3000,
    3000,
    2000,
)  # rows at most: for training, and normal and anomalous ones for the test
LONG = 20_000  # training rows of KDD99 at most
RATE, RARE, LEVEL, TESTS = (
    0.05,
    0.01,
    0.999,
    75,
)  # rates of false alarms, and the level of their intervals for so many tests
QUICK: dict[str, Any] = {"models": 2, "steps": 50}  # of a smoke test
TEXTS = (1, 2, 3, 6, 11, 20, 21)  # columns of KDD99 that are categories
CHOSEN = "ours, chosen on the other half of the sets"
UNTRAINED = "ours, untrained"
DIGITS = 10
COLUMNS = ("auc", "average_precision", "precision_at_n")


class Form(Protocol):
    """The options that an experiment is run with: its seeds, data folder, and the folder of intermediate results."""

    quick: bool
    data_dir: Path | None
    seeds: int
    folder: Path

    def length(self, full: int, quick: int) -> int:
        """Returns the number of training steps: the user's, or `quick` in a smoke test, else `full`."""

    def done(self, row: str, seed: int, steps: int) -> Mapping[str, float] | None:
        """Returns column -> value of a finished row with this name, seed and number of steps; None if it is not finished."""


@dataclass(frozen=True)
class Task:
    """A data set that is split for a detector: training examples, test examples, and which of the latter are anomalies.

    Attributes:
        train: the training examples, shape (n, d) or (n, height, width).
        test: the test examples, of the same shape.
        anomalous: True for each test example that is an anomaly.
        contaminated: True if the training examples have anomalies among them.
    """

    train: Array
    test: Array
    anomalous: NDArray[np.bool_]
    contaminated: bool = False


def clean(x: Array, y: Array, seed: int, most: int = TRAINING) -> Task:
    """Returns the task of the clean protocol: half of the normal rows for training, the others and the anomalies for testing.

    Columns are standardized by the training rows, and clipped to [-10, 10].

    Arguments:
        x: the rows, shape (n, d).
        y: True for each anomaly, shape (n,).
        seed: random seed of the split.
        most: the number of training rows at most; the test has at most 3,000 normal rows and 2,000 anomalies.
    """
    random = np.random.default_rng(seed)
    normal = random.permutation(np.flatnonzero(~y))
    half = min(len(normal) // 2, most)
    rest = np.concatenate([normal[half : half + NORMALS], random.permutation(np.flatnonzero(y))[:ANOMALIES]])
    return Task(*standardized(x[normal[:half]], x[rest]), y[rest])


def contaminated(x: Array, y: Array, seed: int, most: int = TRAINING) -> Task:
    """Returns the task of the contaminated protocol: half of all rows for training, with as many anomalies as there are among
    them, and the other half for testing.

    The arguments are those of `clean`; the two halves have the same share of anomalies.
    """
    random, train, test = np.random.default_rng(seed), [], []
    for value in (False, True):
        rows = random.permutation(np.flatnonzero(y == value))
        train.append(rows[: len(rows) // 2])
        test.append(rows[len(rows) // 2 :])
    kept, rest = random.permutation(np.concatenate(train))[:most], np.concatenate(test)
    return Task(*standardized(x[kept], x[rest]), y[rest], contaminated=True)


def standardized(train: Array, test: Array) -> tuple[Array, Array]:
    """Returns training and test rows with columns shifted and scaled to mean 0 and standard deviation 1 of the training
    rows, and clipped to [-10, 10]. Columns that are constant there are only shifted.
    """
    mean, scale = train.mean(0), train.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    return np.clip((train - mean) / scale, -10, 10), np.clip((test - mean) / scale, -10, 10)


# detectors


def isolation_forest(task: Task, seed: int) -> Array:
    """Returns the anomaly scores of the test rows by an isolation forest of 200 trees."""
    from sklearn.ensemble import IsolationForest

    return -IsolationForest(n_estimators=200, random_state=seed).fit(task.train).score_samples(task.test)


def local_outlier_factor(task: Task, seed: int) -> Array:
    """Returns the anomaly scores of the test rows by the local outlier factor with 20 neighbors."""
    from sklearn.neighbors import LocalOutlierFactor

    count = min(20, len(task.train) - 1)
    return -LocalOutlierFactor(n_neighbors=count, novelty=True).fit(task.train).score_samples(task.test)


def neighbours(task: Task, seed: int) -> Array:
    """Returns the distance of each test row from its fifth nearest training row."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(5, len(task.train))).fit(task.train)
    return search.kneighbors(task.test)[0][:, -1]


def one_class_svm(task: Task, seed: int) -> Array:
    """Returns the anomaly scores of the test rows by a one-class support vector machine, nu 0.1, Gaussian kernel."""
    from sklearn.svm import OneClassSVM

    return -OneClassSVM(nu=0.1, gamma="scale").fit(task.train).score_samples(task.test)


def principal_components(task: Task, seed: int) -> Array:
    """Returns the squared error of the test rows' projection on the components that hold 90 % of the training variance."""
    from sklearn.decomposition import PCA

    found = PCA(n_components=0.9, random_state=seed).fit(task.train)
    return ((task.test - found.inverse_transform(found.transform(task.test))) ** 2).mean(1)


CLASSICAL: Mapping[str, Callable[[Task, int], Array]] = {
    "kNN, 5th neighbor": neighbours,
    "LOF, 20 neighbors": local_outlier_factor,
    "isolation forest, 200 trees": isolation_forest,
    "one-class SVM": one_class_svm,
    "PCA": principal_components,
}


def ours(task: Task, seed: int, **settings: Any) -> dict[str, float]:
    """Trains a `Detector` on a task, and returns the metrics of its scores, see `metrics`.

    The result also has the number of `flagged` normal examples at a false-alarm rate of 5 %, that of all `normals`, and
    `outside`: 1 if the former is outside of its 99.9 % interval, after Bonferroni for 75 tests, else 0; and `outside_1`, the
    same at a rate of 1 %. They are left out if too few examples are held out for the rate.

    Arguments:
        task: the data.
        seed: the random seed.
        settings: further arguments of `Detector`.
    """
    from interalia.detect import Detector, count_interval, threshold

    detector = Detector(random_state=seed, contaminated=task.contaminated, **settings).fit(task.train)
    scores, held, normal = -detector.score_samples(task.test), len(detector.calibration_), ~task.anomalous
    found = metrics(scores, task.anomalous)
    for rate, end in ((RATE, ""), (RARE, "_1")):
        if detector.least_rate_ <= rate:
            flagged = int((scores > threshold(detector.calibration_, rate))[normal].sum())
            low, high = count_interval(held, rate, int(normal.sum()), 1 - (1 - LEVEL) / TESTS)
            found[f"outside{end}"] = float(not low <= flagged <= high)
            found |= {"flagged": flagged, "normals": int(normal.sum())} if rate == RATE else {}
    return found


def classical(name: str, task: Task, seed: int) -> dict[str, float]:
    """Returns the metrics of a detector of scikit-learn on a task; `name` is its key in `CLASSICAL`."""
    flat = Task(task.train.reshape(len(task.train), -1), task.test.reshape(len(task.test), -1), task.anomalous)
    return metrics(CLASSICAL[name](flat, seed), task.anomalous)


def played(name: str, form: Form, task: Task, seed: int) -> dict[str, float]:
    """Trains the game of a published method on images, and returns the metrics of its scores, see `metrics`.

    A fifth of the training images is held out: the units of the scores are computed from it.

    Arguments:
        name: the name of the row, a key of the table `games` in ``study.toml``.
        form: the options, with the number of steps, and the folder for the images and the trained GAN.
        task: the data, images in [0, 1], shape (n, height, width).
        seed: the random seed.
    """
    from interalia import Run, train
    from interalia.detect import Detector

    fields = {"latent_dim": 32, "networks": "auto(width=16)", "evaluate_every": 0, "seed": seed, **TABLE["games"][name]}
    own, held = np.split(np.rint(255 * task.train).astype(np.uint8), [len(task.train) - len(task.train) // 5])
    with TemporaryDirectory() as folder:
        path = Path(folder, "images.npz")
        np.savez(path, train_images=own, val_images=held, test_images=held)
        fields["batch_size"] = min(128, len(own))
        runs = [fields.pop("after"), fields] if "after" in fields else [fields]
        for i, one in enumerate(runs):
            steps = form.length(one["steps"], QUICK["steps"])
            before = {"pretrained_generator": str(Path(folder, "0"))} if i else {}
            run = Run(**{**fields, **one, "name": "images", "data": str(path), "steps": steps, **before})
            game = train(run, out=Path(folder, str(i))).game
    x, reference, test = (np.asarray(part, np.float32)[:, None] for part in (held / 255, own / 255, task.test))
    detector = Detector.from_game(game, x, reference=reference, scores=("reconstruction", "features"))
    return metrics(-detector.score_samples(test), task.anomalous)


def rows_of(form: Form) -> dict[str, Callable[[Task, int], dict[str, float]]]:
    """Returns name of a row -> the function of a task and a seed that trains its detector and returns its metrics."""
    steps = form.length(0, QUICK["steps"])
    given = {"steps": steps} if steps else {}
    quick = {key: value for key, value in QUICK.items() if form.quick and key != "steps"}
    settings = dict(itertools.islice(TABLE["settings"].items(), 2 if form.quick else None))
    found: dict[str, Any] = {name: partial(classical, name) for name in CLASSICAL}
    found |= {name: partial(ours, **{**given, **own, **quick}) for name, own in settings.items()}
    return {**found, UNTRAINED: partial(ours, **{**quick, "steps": 0})}


# tables


def need(form: Form, name: str) -> Path:
    """Returns the path of a file or folder below the folder of data.

    Raises:
        UserError: there is no such folder of data, or it lacks the file.
    """
    path = Path(form.data_dir or ".") / name
    if form.data_dir is None or not path.exists():
        raise UserError(
            f"this experiment needs {name} ({TABLE['sources'].get(name, TABLE['sources']['adbench'])}) in the folder "
            f"of data, and {'no folder is given' if form.data_dir is None else f'{path} is missing'}; give the folder in "
            f"`data_dir`."
        )
    return path


def table(form: Form, name: str) -> tuple[Array, NDArray[np.bool_]]:
    """Returns the rows of a set, shape (n, d), and True for each anomaly.

    Arguments:
        form: the options, with the folder of data.
        name: a set of ADBench, such as "6_cardio"; "arrhythmia"; "kdd99", where the label normal. marks the anomalies, as
            in the papers; or, in a smoke test, "breast cancer" or "wine" of scikit-learn, where the first label does.

    Raises:
        UserError: the file is missing or damaged.
    """
    if name in ("breast cancer", "wine"):
        from sklearn import datasets

        x, y = getattr(datasets, f"load_{name.replace(' ', '_')}")(return_X_y=True)
        return x, y == 0
    try:
        if name == "kdd99":
            return kdd99(need(form, "kddcup99/kddcup.data_10_percent.gz"))
        if name == "arrhythmia":
            from scipy.io import loadmat

            content: Any = loadmat(need(form, "odds/arrhythmia.mat"))
            return np.asarray(content["X"], dtype=np.float64), np.asarray(content["y"]).ravel() > 0
        with np.load(need(form, f"adbench/{name}.npz"), allow_pickle=False) as archive:
            return archive["X"].astype(np.float64), archive["y"].ravel() > 0
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"the file of {name} is damaged ({error}); copy or download it again.") from None


def kdd99(path: Path) -> tuple[Array, NDArray[np.bool_]]:
    """Returns the rows of KDD Cup 99 with one-hot categories, and True for each normal connection.

    Attacks are the majority of the 10 % subset, so that ALAD, EGBAD and others take normal connections for the anomalies.
    """
    with gzip.open(path, "rt", encoding="ascii") as file:
        *columns, labels = (np.array(column) for column in zip(*csv.reader(file), strict=True))
    parts = [
        (column[:, None] == np.unique(column)).astype(np.float32) if i in TEXTS else column[:, None].astype(np.float32)
        for i, column in enumerate(columns)
    ]
    return np.concatenate(parts, axis=1), labels == "normal."


def papers_protocol(x: Array, y: NDArray[np.bool_], seed: int) -> Task:
    """Returns the task of DAGMM, EGBAD and ALAD: a random half of all rows for testing, and the normal rows of the other
    half for training, at most 20,000 of them. Columns are standardized by the training rows.
    """
    order = np.random.default_rng(seed).permutation(len(x))
    first, second = order[: len(x) // 2], order[len(x) // 2 :]
    return Task(*standardized(x[first[~y[first]]][:LONG], x[second]), y[second])


def tables(protocol: Callable[[Array, Array, int], Task], job: Callable[..., T], form: Form) -> Iterator[T]:
    """Yields the jobs of detect-tables or detect-contaminated: one for each detector and seed, over all sets.

    Arguments:
        protocol: `clean` or `contaminated`.
        job: makes a job of the name of its row, its seed, a function without arguments that returns column -> value, the
            number of steps, and names of rows that come first.
        form: the options.
    """
    rows, steps = rows_of(form), form.length(0, QUICK["steps"])
    for seed, (name, detect) in itertools.product(range(form.seeds), rows.items()):
        yield job(name, seed, partial(measure_tables, form, protocol, name, detect, seed), steps)
        if name == UNTRAINED:
            yield job(CHOSEN, seed, partial(choose, form, seed, steps), steps, list(rows))


def measure_tables(
    form: Form,
    protocol: Callable[[Array, Array, int], Task],
    name: str,
    detect: Callable[[Task, int], dict[str, float]],
    seed: int,
) -> dict[str, float]:
    """Returns the values of one detector with one seed: means over the sets, false alarms of all sets, and F1 in the papers'
    protocol.

    The result also has "SET: auc" for each set. Finished sets are kept in the folder of the experiment,
    from which an interrupted experiment goes on.

    Arguments:
        form: the options.
        protocol: `clean` or `contaminated`.
        name: the name of the row.
        detect: trains the detector on a task and a seed, and returns its metrics.
        seed: the random seed.
    """
    by_set = {}
    for one in ["breast cancer", "wine"] if form.quick else TABLE["sets"]["names"]:
        by_set[one] = kept(form, (name, one, seed), partial(by_protocol, form, protocol, one, detect, seed))
    found = {key: statistics.fmean(of[key] for of in by_set.values()) for key in COLUMNS}
    alarms = [of for of in by_set.values() if "normals" in of]
    if alarms:
        found["false_alarms"] = 100 * sum(of["flagged"] for of in alarms) / sum(of["normals"] for of in alarms)
        ends = ("", "_1") if protocol is clean else ()
        found |= {f"outside{end}": sum(of.get(f"outside{end}", 0.0) for of in alarms) for end in ends}
    if protocol is clean and not form.quick:
        for one, share in TABLE["flagged"].items():
            values = kept(form, (name, one, seed), partial(by_paper, form, one, share, name, detect, seed))
            found[f"{one}_f1"] = values["f1"]
    return found | {f"{one}: auc": of["auc"] for one, of in by_set.items()}


def by_protocol(
    form: Form,
    protocol: Callable[[Array, Array, int], Task],
    one: str,
    detect: Callable[[Task, int], dict[str, float]],
    seed: int,
) -> dict[str, float]:
    """Returns the metrics of a detector on one set in a protocol.

    Arguments:
        form: the options, with the folder of data.
        protocol: `clean` or `contaminated`.
        one: the name of the set, see `table`.
        detect: trains the detector on a task and a seed, and returns its metrics.
        seed: the random seed.
    """
    return detect(protocol(*table(form, one), seed), seed)


def by_paper(
    form: Form, one: str, share: float, name: str, detect: Callable[[Task, int], dict[str, float]], seed: int
) -> dict[str, float]:
    """Returns precision, recall and F1 of a detector on KDD99 or arrhythmia in the papers' protocol.

    Arguments:
        form: the options.
        one: "kdd99" or "arrhythmia".
        share: the share of the test rows that are flagged.
        name: the name of the row.
        detect: the function of the row, of which the arguments of `Detector` are taken.
        seed: the random seed.
    """
    from interalia.detect import Detector

    task = papers_protocol(*table(form, one), seed)
    if name in CLASSICAL:
        return f1_of_highest(CLASSICAL[name](task, seed), task.anomalous, share)
    settings = getattr(detect, "keywords", {})
    scores = -Detector(random_state=seed, **settings).fit(task.train).score_samples(task.test)
    return f1_of_highest(scores, task.anomalous, share)


def choose(form: Form, seed: int, steps: int) -> dict[str, float]:
    """Returns the values of a procedure that chooses the arguments of `Detector` on one half of the data sets.

    The candidates are the rows in the table `settings` of ``study.toml``.

    The one with the best mean area under the ROC curve on one half is measured on the other half, and the halves are
    exchanged; `auc` is the mean over all sets. The rows of the candidates must be finished for this seed. The result is empty
    if they are not, as where only some rows are computed.

    Arguments:
        form: the options, with the finished rows.
        seed: the random seed.
        steps: the number of steps of these rows.
    """
    choices: dict[str, dict[str, float]] = {}
    for row in rows_of(form):
        if row in TABLE["settings"] and (values := form.done(row, seed, steps)):
            choices[row] = {key: value for key, value in values.items() if key.endswith(": auc")}
    if not choices:
        return {}
    names = list(next(iter(choices.values())))
    halves, found = (names[::2], names[1::2]), dict[str, float]()
    for here, there in (halves, halves[::-1]):
        means = {row: statistics.fmean(of[one] for one in here) for row, of in choices.items()}
        best = choices[max(means, key=lambda row: means[row])]
        found |= {one: best[one] for one in there}
    return {"auc": statistics.fmean(found.values()), **found}


# images


def images(job: Callable[..., T], form: Form) -> Iterator[T]:
    """Yields the jobs of detect-images: one for each detector, set of images and seed.

    Arguments:
        job: makes a job of the name of its row, its seed, a function without arguments that returns column -> value, and
            the number of steps.
        form: the options.
    """
    rows, steps = rows_of(form), form.length(0, QUICK["steps"])
    rows |= {name: partial(played, name, form) for name in TABLE["games"]}
    mnists = {"MNIST": mnist, "MNIST, one odd": mnist_of_egbad}
    sets = {"digits": digits} if form.quick else {**mnists, "PneumoniaMNIST": pneumonia}
    for seed, (one, read), (name, detect) in itertools.product(range(form.seeds), sets.items(), rows.items()):
        if name in TABLE["settings"] and name != "ours":
            continue
        yield job(f"{one}: {name}", seed, partial(measure_images, form, one, read, name, detect, seed), steps)


def measure_images(
    form: Form,
    one: str,
    read: Callable[[Form], Mapping[str, Task]],
    name: str,
    detect: Callable[[Task, int], dict[str, float]],
    seed: int,
) -> dict[str, float]:
    """Returns the values of one detector on one set of images with one seed: means over its tasks, such as the ten digits.

    Arguments:
        form: the options.
        one: the name of the set.
        read: returns name -> task.
        name: the name of the row.
        detect: trains the detector on a task and a seed, and returns its metrics.
        seed: the random seed.
    """
    by_task = {}
    for key, task in read(form).items():
        by_task[key] = kept(form, (name, f"{one} {key}", seed), partial(detect, task, seed))
    found = {key: statistics.fmean(of[key] for of in by_task.values()) for key in COLUMNS}
    return found | {f"{key}: auc": of["auc"] for key, of in by_task.items()}


def one_against_the_rest(
    train: tuple[Array, Array], test: tuple[Array, Array], labels: int, most: int
) -> dict[str, Task]:
    """Returns the tasks in which one label is normal and all others are anomalies, by the label as text.

    Arguments:
        train: images, shape (n, height, width), and labels, shape (n,), for training.
        test: the same for the test.
        labels: the number of labels.
        most: the number of training images of a task at most; the first ones are taken.
    """
    (x, y), (other, labeled) = train, test
    return {str(label): Task(x[y == label][:most], other, labeled != label) for label in range(labels)}


def digits(form: Form) -> dict[str, Task]:
    """Returns two tasks of scikit-learn's digits of 8 x 8 pixels, in which the digit 0 or 1 is normal."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8) / 16
    return one_against_the_rest((x[:1200], y[:1200]), (x[1200:], y[1200:]), 2, 200)


def mnist_images(form: Form) -> list[tuple[Array, Array]]:
    """Returns the 60,000 training images of MNIST with their labels, and the 10,000 test images with theirs: images in
    [0, 1], shape (n, 28, 28), and labels, shape (n,).
    """
    folder, parts = need(form, "mnist"), []
    for part in ("train", "t10k"):
        found = []
        for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
            try:
                with gzip.open(folder / f"{part}-{kind}-ubyte.gz") as file:
                    found.append(np.frombuffer(file.read(), np.uint8, offset=header))
            except (OSError, ValueError) as error:
                raise UserError(f"MNIST in {folder} is missing or damaged ({error}); download it again.") from None
        parts.append((found[0].reshape(-1, 28, 28) / 255, found[1]))
    return parts


def mnist(form: Form) -> dict[str, Task]:
    """Returns ten tasks of MNIST, in each of which one digit is normal: up to 5,000 of its training images, and all 10,000
    test images.
    """
    train, test = mnist_images(form)
    return one_against_the_rest(train, test, DIGITS, 5000)


def mnist_of_egbad(form: Form) -> dict[str, Task]:
    """Returns ten tasks of MNIST, in each of which one digit is the anomaly and the nine others are normal.

    A fixed random fifth of all 70,000 images is tested on, and up to 5,000 normal ones among the others are trained on.

    References:
        Efficient GAN-Based Anomaly Detection, Houssam Zenati and others, 2018, https://arxiv.org/abs/1802.06222
    """
    x, y = (np.concatenate(part) for part in zip(*mnist_images(form), strict=True))
    order = np.random.RandomState(0).permutation(len(x))
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    other, labels = x[test], y[test]
    return {f"{one}, odd": Task(x[train[y[train] != one][:5000]], other, labels == one) for one in range(DIGITS)}


def pneumonia(form: Form) -> dict[str, Task]:
    """Returns the task of PneumoniaMNIST: chest X-rays of 28 x 28 pixels, of which the normal ones of the training split are
    trained on.
    """
    with np.load(need(form, "medmnist/pneumoniamnist.npz"), allow_pickle=False) as archive:
        parts = [(archive[f"{one}_images"] / 255, archive[f"{one}_labels"].ravel()) for one in ("train", "test")]
        (x, y), (other, labels) = parts
        return {"pneumonia": Task(x[y == 0], other, labels > 0)}


def kept(form: Form, key: tuple[str, str, int], compute: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Returns the values of a detector on a set with a seed: those in the experiment's folder, or else the computed ones,
    which are then saved there.

    Arguments:
        form: the options, with the folder.
        key: the names of the detector and of the set, and the seed.
        compute: returns name -> value.
    """
    words = " ".join(map(str, (*key, form.length(0, 0))))
    path = form.folder / f"{'-'.join(re.findall('[a-z0-9]+', words.lower()))}.json"
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {str(name): float(value) for name, value in found.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path} is damaged ({error}); remove it, so that it is computed again.") from None
    found = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(found), encoding="utf-8")
    temporary.replace(path)
    return found


# name of an experiment -> its function of a class of jobs and of the options
STUDIES: Mapping[str, Callable[..., Iterator[Any]]] = {
    "detect-tables": partial(tables, clean),
    "detect-contaminated": partial(tables, contaminated),
    "detect-images": images,
}
