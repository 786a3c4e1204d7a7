"""The command detect, which trains a detector of anomalies, and scores examples by a detector or by a trained run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from interalia import __version__
from interalia.cli.common import RUN_OPTIONS, RunOptions, app, say, split_names
from interalia.errors import UserError, check_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from interalia.data.examples import Examples
    from interalia.data.scaling import Units
    from interalia.detect import Detector

WEIGHTS = "detector.safetensors"  # the detector's file in its folder
COPIES = 0.1  # of the held-out examples, above which copies are mentioned
LEVEL = 0.999  # of the interval of the false-alarm rate
LISTED = 20  # examples on the page
SHOWN = 12  # categories of a column that are listed
REASONS = 3  # columns of a table that are named for each example
AXES = {3: "signal", 4: "image", 5: "volume"}  # the layout of examples with channels, by the axes of their array
TESTED = 1000  # test examples of a run that are scored if no others are given
NORMALS = 20_000  # validation examples at most by which a run's threshold is set
REFERENCE = 5000  # training examples at most that neighbors are searched among
ONLY = {  # options of one action
    "fit": ("image_size", "contaminated", "models", "steps", "latent_dim", "width", "layout", "impute"),
    "score": ("count",),
}  # fmt: skip


@app.command
def detect(
    action: str | None = None,
    paths: Annotated[list[Path] | None, Parameter(negative="")] = None,
    *,
    out: Path | None = None,
    false_alarms: float | None = None,
    label_column: str | None = None,
    normal_label: str | None = None,
    image_size: int | None = None,
    contaminated: Annotated[bool, Parameter(negative="")] = False,
    models: int | None = None,
    steps: int | None = None,
    latent_dim: int | None = None,
    width: int | None = None,
    layout: str | None = None,
    impute: str | None = None,
    scores: str | None = None,
    count: int | None = None,
    options: RunOptions = RUN_OPTIONS,
) -> None:
    """Detect anomalies: `detect fit DATA --out RUN` trains a detector, `detect score RUN DATA` scores examples.

    DATA is a table (.csv, .tsv, .parquet, .feather), an array (.npy, .npz), a folder, .zip or .tar of images, or shards. RUN
    is the folder of a detector, or of any trained run whose model is unconditional and has an encoder and a decoder. The
    threshold is set by a false-alarm rate, the share of normal examples that are flagged, and by normal examples that were
    held out of the training, without labels.

    Parameters
    ----------
    action
        fit or score.
    paths
        DATA for fit; RUN and DATA for score, or a trained run alone, of which 1,000 test examples are scored.
    out
        Folder of the detector, for fit; file of the scores, for score: .csv, .json or .npz, by default scores.csv in RUN.
    false_alarms
        Share of normal examples that may be flagged; by default 0.05, or the least possible one with few examples.
    label_column
        Column (or key of a .npz file, or "folder" for images in folders) with labels, which are for measuring only.
    normal_label
        Label of normal examples; by default any of 0, normal, good, inlier, false, ok, no.
    image_size
        Pixels a side that images in files are resized to, for fit.
    contaminated
        DATA has anomalies among the normal examples, and is itself searched for them, for fit.
    models
        Number of models whose scores are averaged, for fit.
    steps
        Training steps of each model, for fit.
    latent_dim
        Dimensions of the latents z, for fit.
    width
        Width of the hidden layers, for fit.
    layout
        Axes of an array, for fit: auto, signal, image, image-channels-last or volume.
    impute
        Missing values of a table, for fit: refuse, median, mean or zero.
    scores
        Scores to average, separated by commas, for fit, or for score by a trained run: reconstruction, residuals (in units of
        those of normal examples), features (of the critic), latent, norm, neighbours (in z), pair-neighbours, critic. The
        papers have reconstruction,features for EGBAD and f-AnoGAN, and features for ALAD.
    count
        Number of images in the picture of the least probable ones, for score (default 24).
    """
    settings = {"models": models, "steps": steps, "latent_dim": latent_dim, "width": width}
    given: dict[str, Any] = {**settings, "image_size": image_size, "contaminated": contaminated or None, "count": count}
    placed = list(paths or ())
    check_usage(action, placed, {**given, "layout": layout, "impute": impute})
    named = None if scores is None else tuple(split_names(scores))
    if action == "fit":
        check_seed(options.seed)
        names = {"latent_dim": "latent"}
        chosen: dict[str, Any] = {names.get(key, key): value for key, value in settings.items() if value is not None}
        chosen |= {} if named is None else {"scores": named}
        chosen |= {"false_alarms": false_alarms, "contaminated": contaminated, "random_state": options.seed}
        chosen |= {"layout": layout or "auto", "impute": impute or "refuse"}
        fit(placed[0], out, chosen, image_size, label_column, normal_label)
    else:
        run, data = placed[0], placed[1] if len(placed) == 2 else None
        score(run, data, out, false_alarms, label_column, normal_label, 24 if count is None else count, named, options)


def check_usage(action: str | None, paths: Sequence[Path], given: Mapping[str, Any]) -> None:
    """Raises a UserError unless the action is "fit" with one path or "score" with one or two, and the options are its own.

    Arguments:
        action: the first argument of the command; None without one.
        paths: the other arguments.
        given: name of each option in `ONLY` -> its value, None if it is not given.
    """
    wanted = {"fit": (1,), "score": (1, 2)}
    if action not in wanted or len(paths) not in wanted[action]:
        raise UserError(
            "detect is used as `detect fit DATA --out RUN` or as `detect score RUN DATA`"
            + (f", and {action!r} is neither fit nor score." if action not in (None, *wanted) else "; give these.")
        )
    for name in (name for other, names in ONLY.items() if other != action for name in names):
        if given[name] is not None:
            raise UserError(f"`{name}` has no effect in detect {action}; leave it out.")


def fit(
    data: Path,
    out: Path | None,
    chosen: Mapping[str, Any],
    image_size: int | None,
    label_column: str | None,
    normal_label: str | None,
) -> None:
    """Trains a detector, writes its folder and prints what it is.

    Arguments:
        data: the file or folder of examples.
        out: the folder to write; None for runs/detect-NAME, with the name of the data.
        chosen: the arguments of `Detector`, by name.
        image_size: pixels a side that images are resized to; None keeps their size.
        label_column: the column of the labels, which is not trained on; None for none.
        normal_label: the label of normal examples; None for any of the usual ones.

    Raises:
        UserError: the data cannot be read or are too few, or the folder exists.
    """
    import numpy as np

    from interalia.data.examples import read_examples
    from interalia.detect import Detector
    from interalia.detect.measuring import is_anomalous
    from interalia.reports import anomalies, showing

    folder = out or Path("runs", f"detect-{data.stem}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already; choose another folder with `out`.")
    showing.check_writable(folder / WEIGHTS)
    examples = read_examples(data, None, image_size, label_column, layout=chosen["layout"])
    x: Any = examples.x
    if examples.columns and chosen["layout"] != "auto":
        raise UserError(f"{data} is a table and has no axes to name; leave `layout` out.")
    axes = np.ndim(x) if not isinstance(x, Mapping) else 2
    with naming(data):
        detector = Detector(**{**chosen, "layout": AXES.get(axes, chosen["layout"])}).fit(x)
    folder.mkdir(parents=True, exist_ok=True)
    detector.save(folder / WEIGHTS)
    lines = description(detector, len(examples), data)
    if examples.labels is not None:
        anomalous = is_anomalous(examples.labels, normal_label)
        if anomalous.any() and not detector.contaminated:
            lines.append(
                f"By the labels, which the training does not use, {int(anomalous.sum()):,} of these examples are anomalies; "
                f"give normal examples alone, or --contaminated."
            )
        if detector.contaminated:
            lines += measured(-detector.score_samples(x), anomalous)
    about: dict[str, Any] = {"version": __version__, "data": str(data.absolute()), "columns": list(examples.columns)}
    about |= {"label_column": label_column, "normal_label": normal_label, "shape": list(detector.shape_)}
    about["dtype"] = examples.dtype
    page = anomalies.write_detector(folder, {**about, **detector.get_params(), "sentences": lines})
    say(*lines, f"Written: {folder} ({page.name}, {WEIGHTS})")


@contextmanager
def naming(data: Path) -> Iterator[None]:
    """A context in which the errors of a detector have the name of the file `data` in place of X, the argument of `fit`."""
    from interalia.detect import DetectorError

    try:
        yield
    except DetectorError as error:
        raise UserError(re.sub(r"(?<![\w'])X(?![\w'])", lambda _: data.name, str(error))) from None


def description(detector: Detector, count: int, data: Path) -> list[str]:
    """Returns sentences on a fitted detector: what it was trained on, its false-alarm rate, and whether its reconstructions
    are good enough to judge by.

    Arguments:
        detector: the detector.
        count: number of examples that it was given.
        data: the file or folder that they are from.
    """
    held = len(detector.calibration_)
    texts = [f"{one.name} ({listed(one.categories)})" for one in detector.columns_ if one.categories]
    filled = [f"{c.name} by {c.filled}" for c in detector.columns_ if c.filled is not None]
    columns = f"Categories: {'; '.join(texts) or 'none'}. Missing values replaced: {'; '.join(filled) or 'none'}."
    copies = (
        f"{100 * detector.copies_:.0f} % of the held-out examples are copies of others. The rate holds if new normal ones "
        f"are copies as often; leave out copies that were made to have more examples."
    )
    kind = "examples, among which there may be anomalies" if detector.contaminated else "normal examples"
    return [
        f"Trained {len(detector.games_)} models on {count - held:,} of {count:,} {kind} from {data.name}; the other {held:,} "
        f"set the threshold.",
        *([columns] if detector.columns_ else []),
        false_alarm_text(detector, detector.false_alarms_),
        *([copies] if detector.copies_ > COPIES else []),
        verdict(detector),
    ]


def listed(names: Sequence[str]) -> str:
    """Returns names as text, separated by commas; of more than 12 the first 12 and dots."""
    return ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])


def false_alarm_text(detector: Detector, rate: float) -> str:
    """Returns a sentence on a false-alarm rate: between which rates the true one lies, and the least possible one."""
    from interalia.detect import rate_interval

    held = len(detector.calibration_)
    low, high = rate_interval(held, rate, LEVEL)
    source = "examples of the same data" if detector.contaminated else "normal examples"
    return (
        f"False alarms: {100 * rate:.3g} % of normal examples, by p-values from {held:,} held-out {source}. With so many, "
        f"the true rate lies between {100 * low:.2g} and {100 * high:.2g} % (probability 99.9 %), and the least possible "
        f"choice is {100 * detector.least_rate_:.2g} %."
    )


def verdict(detector: Detector) -> str:
    """Returns a sentence that says whether the reconstructions of normal examples are good enough to judge by."""
    explained = f"they explain {100 * detector.explained_:.0f} % of the variance of held-out examples"
    if detector.poor_:
        return (
            f"Verdict: do not judge by these scores. The reconstructions are too poor: {explained}, and 10 % are needed; "
            f"train longer (--steps), with more latents (--latent-dim), or on more examples."
        )
    return f"Verdict: the reconstructions are good enough to judge by: {explained}."


def measured(scores: Any, anomalous: Any, flagged: Any = None) -> list[str]:
    """Returns one sentence on how well anomaly scores separate labeled examples, in a list; empty if all have one kind of
    label.

    Arguments:
        scores: the anomaly score of each example, shape (n,); higher for anomalies.
        anomalous: True for each anomaly by its label, shape (n,).
        flagged: True for each flagged example, shape (n,); None if nothing was flagged.
    """
    from interalia.detect.measuring import metrics

    found, n = metrics(scores, anomalous, flagged), int(anomalous.sum())
    if not found:
        return [f"Measured with labels: nothing, since {'all' if n else 'none'} of the examples are anomalies."]
    shares = ""
    if flagged is not None:
        shares = (
            f"; flagged are {100 * found['detected']:.3g} % of {n:,} anomalies, and {100 * found['false_alarms']:.3g} % of "
            f"{len(anomalous) - n:,} normal examples"
        )
    return [
        f"Measured with labels: area under the ROC curve {found['auc']:.3f}, average precision "
        f"{found['average_precision']:.3f}, precision among the {n:,} highest {found['precision_at_n']:.3f}{shares}."
    ]


def score(
    run: Path,
    data: Path | None,
    out: Path | None,
    false_alarms: float | None,
    label_column: str | None,
    normal_label: str | None,
    count: int,
    named: Sequence[str] | None,
    options: RunOptions,
) -> None:
    """Scores examples by a detector or a trained run; writes the scores, a picture of the least probable images, and the
    page of the detector or run; and prints what was found.

    Arguments:
        run: the folder of a detector or of a run, or a file of weights.
        data: the file or folder of examples; None for test examples of the run.
        out: the file of scores; None for scores.csv in the folder.
        false_alarms: the share of normal examples that may be flagged; None for that of the detector.
        label_column: the column of the labels, for measures; None for none.
        normal_label: the label of normal examples; None for any of the usual ones.
        count: number of images in the picture.
        named: the names of the scores by a trained run; None for the default ones.
        options: the options of the run: seed, device, checkpoint and trust.

    Raises:
        UserError: the folder or the data cannot be read or do not fit, or so low a false-alarm rate needs more held-out
            examples.
    """
    import numpy as np

    from interalia.detect import conformal_p_values, threshold
    from interalia.detect.measuring import is_anomalous
    from interalia.reports import anomalies, showing
    from interalia.tasks.result import TaskResult

    folder = run.parent if run.suffix == ".safetensors" else run
    detector, about, own = opened(run, named, options)
    if data is None and (own is None or label_column is not None):
        wrong = "a detector has no test examples" if own is None else "`label_column` is a column of DATA"
        raise UserError(f"{wrong}; give DATA too.")
    source = "the test split" if data is None else data.name
    examples = own if data is None else examples_for(detector, about, data, label_column)
    assert examples is not None
    x = numbers(examples, game=own is not None)
    if detector.columns_ and isinstance(x, np.ndarray):  # without missing values or texts
        x = dict(zip(examples.columns, x.T, strict=True))
    rate = detector.false_alarms_ if false_alarms is None else false_alarms
    highest = threshold(detector.calibration_, rate)  # refuses a rate that is too low, before the examples are scored
    out, drawn = out or folder / "scores.csv", not isinstance(x, Mapping) and x.ndim > 2
    check_places(out, folder, drawn)
    with naming(data or run):
        scores = -detector.score_samples(x)
    p, flagged = conformal_p_values(detector.calibration_, scores), scores > highest
    key = "row" if examples.names[0].isdigit() else "file"
    arrays = {key: np.array(examples.names), "score": scores, "p": p, "flagged": flagged}
    lines = [
        f"Scored {len(examples):,} example{'s' * (len(examples) > 1)} of {source}; {int(flagged.sum()):,} are flagged, with "
        f"p of {rate:.3g} or less",
        false_alarm_text(detector, rate),
        verdict(detector),
    ]
    if examples.labels is not None:
        arrays["label"] = np.array(examples.labels)
        lines += measured(scores, is_anomalous(examples.labels, normal_label or about.get("normal_label")), flagged)
    first = np.lexsort((-scores, p))
    figure = None
    if drawn:
        shown = first[: max(1, count)]
        figure = anomalies.sheet(x[shown], detector.reconstruct(x[shown]), detector.explain(x[shown]))
    elif examples.columns:
        arrays["why"] = reasons(examples.columns, detector.explain(x), about.get("units"))
    result = TaskResult("\n".join(lines), arrays, figure)
    say(f"{lines[0]}: {showing.write(result, out)}", *lines[1:])
    if figure is not None:
        say(f"The least probable images: {showing.draw(figure, folder / 'figures' / 'anomalies.png')}")
    cells = [[str(cells[i]) if isinstance(cells[i], np.str_ | np.bool_) else f"{cells[i]:.4g}" for cells in arrays.values()]
             for i in first[:LISTED]]  # fmt: skip
    page = anomalies.write(folder, {"sentences": lines, "columns": list(arrays), "rows": cells})
    say(f"The report: {page}")


def check_places(out: Path, folder: Path, drawn: bool) -> None:
    """Raises a UserError, before examples are scored, unless scores can be written to the file `out`, and a page to `folder`.

    `drawn` is True if the examples are drawn, so that `out` may be a picture.
    """
    import numpy as np

    from interalia.reports import showing
    from interalia.tasks.result import Figure, TaskResult

    empty = TaskResult("", {"score": np.empty(0)}, Figure("cycles", {}) if drawn else None)
    showing.checked_suffix(empty, out, False)
    showing.check_writable(folder / "report.html")


def examples_for(detector: Detector, about: Mapping[str, Any], data: Path, label_column: str | None) -> Examples:
    """Returns the examples to score in a file or folder.

    Arguments:
        detector: the detector.
        about: its description, with the units of a trained run's data under "units".
        data: the file or folder.
        label_column: the column of the labels; None for none.

    Raises:
        UserError: the data cannot be read or do not fit.
    """
    from interalia.data.examples import read_examples

    shape = None if detector.columns_ else tuple(detector.shape_)
    given = about.get("columns", ()), about.get("units"), "auto", about.get("dtype", "")
    texts = [column.name for column in detector.columns_ if column.categories]
    found = read_examples(data, shape, None, label_column, *given, texts)
    if detector.columns_ and not found.columns:
        raise UserError(f"{data} is no table, and the detector was fitted on one; give a table with the same columns.")
    return found


def opened(
    run: Path, named: Sequence[str] | None, options: RunOptions
) -> tuple[Detector, dict[str, Any], Examples | None]:
    """Returns the detector in a folder, its description and None; or a detector that scores by the game of a trained run, a
    dictionary with the units of the run's data under "units", and up to 1,000 test examples of the run.

    The latter's threshold and scale are set on the run's validation examples, at most 20,000, on which it was not trained.

    Arguments:
        run: the folder of a detector or of a run, or a file of weights.
        named: the names of the scores by a trained run; None for the default ones.
        options: the options of the run.

    Raises:
        UserError: there is no such detector or run, its game has no encoder or decoder, or scores are named for a detector.
    """
    from interalia import reports
    from interalia.data import as_tensor
    from interalia.data.examples import Examples
    from interalia.detect import Detector
    from interalia.detect.detector import FEWEST
    from interalia.games.capabilities import Generates, Infers, require
    from interalia.reports.anomalies import DETECTOR, read_detector
    from interalia.tasks import units_of

    if (run / DETECTOR).is_file():
        if named is not None:
            raise UserError("a detector has the scores that it was fitted with; leave `scores` out.")
        return Detector.load(run / WEIGHTS), read_detector(run), None
    trained = options.open(run)
    about = {"units": units_of(trained.game)}
    require(trained.game, Infers, "detect score", Generates)
    dataset = reports.dataset_of(trained)
    if len(dataset.validation) < FEWEST:
        raise UserError(
            f"the data of this run have {len(dataset.validation)} validation examples, which set the threshold, and at least "
            f"{FEWEST} are needed; fit a detector by `interalia detect fit`, or train on more data."
        )
    reference = dataset.train.x[dataset.train.rows(REFERENCE)]
    many = len(dataset.validation) > NORMALS
    held_out = dataset.validation.x[dataset.validation.rows(NORMALS) if many else slice(None)]
    normals = (as_tensor(part).numpy() for part in (held_out, reference))
    chosen: dict[str, Any] = {} if named is None else {"scores": named}
    rows = dataset.test.rows(TESTED)
    own = Examples(as_tensor(dataset.test.x[rows]).numpy(), [str(row) for row in rows])
    return Detector.from_game(trained.game, next(normals), reference=next(normals), **chosen), about, own


def numbers(examples: Examples, game: bool = False) -> Any:
    """Returns examples as they are scored and drawn: images of bytes in [0, 1], and others as they are.

    Arguments:
        examples: the examples.
        game: True if they are for a detector that scores by a trained game, so that they are in the units of its networks,
            float32.
    """
    from interalia.data import as_tensor

    x = examples.x
    if isinstance(x, Mapping) or x.ndim < 3 or not (game or x.dtype.name == "uint8"):
        return x
    return as_tensor(x).numpy() if game else x / 255.0


def reasons(columns: Sequence[str], explained: Any, units: Units | None = None) -> NDArray[Any]:
    """Returns for each row of a table its columns that differ most from their reconstructions, as a text such as "age 4.1,
    job 2.3", shape (n,).

    Arguments:
        columns: the names of the columns.
        explained: the result of `Detector.explain`, shape (n, columns), or a dictionary: name of a column -> its values.
        units: the units of a game's data, of which `explained` has a column for each component of a row; None for a detector.
    """
    import numpy as np

    if units is not None and units.columns:
        columns, ends = [one.name for one in units.columns], np.cumsum([one.size for one in units.columns])
        explained = np.stack([part.max(axis=1) for part in np.split(explained, ends[:-1], axis=1)], 1)
    values = np.stack([explained[name] for name in columns], 1) if isinstance(explained, Mapping) else explained
    order = np.argsort(-values, axis=1, kind="stable")[:, :REASONS]
    return np.array(
        [", ".join(f"{columns[j]} {row[j]:.2g}" for j in best) for row, best in zip(values, order, strict=True)]
    )
