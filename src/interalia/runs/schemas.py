"""The structure of the files of a run: types, which msgspec compares with the content of a file.

References:
    msgspec, Jim Crist-Harif and others, https://jcristharif.com/msgspec
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Required, TypedDict, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from interalia.disk import parse_json, regular
from interalia.errors import UserError

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0, le=10**15)]
Text = str | None
Number = float | None


class Header(TypedDict, total=False):
    """The metadata of a file of weights: "run", the fields of the run; "step", the number of training steps; "data", the
    fields of `interalia.games.DataSpec`; and "digest", the SHA-256 digest of the tensors, in hexadecimal.
    """

    run: Required[dict[str, Any]]
    step: Required[Count]
    data: dict[str, Any]
    digest: str


class LogLine(TypedDict, total=False):
    """A line of ``log.jsonl``, apart from its entries "GROUP/NAME", which are numbers or None.

    "seconds" is the time spent in training, "verdict" a diagnosis of the training in words, and "stopped" the reason why it
    ended.
    """

    step: Required[Count]
    epoch: float
    seconds: float
    verdict: str
    stopped: str


class Metric(TypedDict, total=False):
    """A metric in ``results.json``: its name, value, unit and description, whether a higher or a lower value is better, and
    how it was computed ("protocol").
    """

    name: Required[str]
    value: Number
    unit: Text
    better: Text
    about: Text
    protocol: Text


class Check(TypedDict, total=False):
    """The bidirectional check of an estimate of log p(x) in ``likelihood.json``: "gap" is the mean of its upper bound minus
    its lower bound, in nats, on simulated images, and "error" the standard error of this mean.
    """

    gap: Required[float]
    error: Number


class Estimate(TypedDict, total=False):
    """An estimate of log p(x) in ``likelihood.json``, by the estimator "name": "value" is its mean in nats over "images" of
    the "of" chosen images, "error" the standard error, and "acceptance" the mean acceptance probability of Hamiltonian
    Monte Carlo. "protocol" has the estimator's arguments as text.
    """

    name: Required[str]
    value: Number
    error: Number
    acceptance: Number
    images: Count
    of: Count
    check: Check | None
    protocol: Text


class Length(TypedDict, total=False):
    """The length of a training in ``results.json``, in steps and in seconds, and the training images per second."""

    steps: Count
    seconds: Number
    images_per_second: Number


class Data(TypedDict, total=False):
    """The data set in ``results.json`` and ``likelihood.json``: its name and description, the shape of one example, and the
    number of examples in each split.
    """

    name: str
    about: str
    shape: list[Count]
    train: Count
    validation: Count
    test: Count


class Counts(TypedDict, total=False):
    """The numbers in ``results.json`` that the assessment of a model needs beside its metrics.

    They are the number of held-out examples that the metrics are computed on ("evaluated"), the number of modes of the data
    ("modes"), and the share of the commonest label in the split ("commonest").
    """

    evaluated: Count
    modes: Count
    commonest: Annotated[float, Meta(ge=0, le=1)]


class Images(TypedDict, total=False):
    """The numbers of images in ``likelihood.json``: those chosen for the estimates ("measured"), and all of the split."""

    measured: Required[Count]
    split: Required[Count]


class Results(TypedDict, total=False):
    """The content of ``results.json``, which has "metrics" and "training", or of ``likelihood.json``, which has "estimates",
    "images" and "binarization"; the other keys are in both.
    """

    metrics: list[Metric]
    estimates: list[Estimate]
    training: Length | None
    data: Data | None
    counts: Counts | None
    images: Images | None
    step: Count
    split: str
    machine: Text
    binarization: str


class Detector(TypedDict, total=False):
    """The description of a detector of anomalies in ``detector.json``: the columns of its table, the type of its numbers, the
    label of normal examples, and sentences for its page.
    """

    columns: list[str]
    dtype: str
    normal_label: Text
    sentences: list[str]


class Anomalies(TypedDict, total=False):
    """The content of ``anomalies.json``: sentences on what was scored, and a table of examples with its headings."""

    sentences: list[str]
    columns: list[str]
    rows: list[list[str]]


class TableRow(TypedDict, total=False):
    """A row of an experiment's table in ``rows.jsonl``: its name, the seed and the number of steps of its training, the
    value of each column by name, the seconds it took, and its provenance.
    """

    row: Required[str]
    seed: Required[int]
    steps: Required[Count]
    values: Required[dict[str, float]]
    seconds: Required[float]
    versions: Required[dict[str, str]]
    commit: Required[Text]
    machine: Required[str]
    date: Required[str]


class Facts(TypedDict, total=False):
    """The description of a game in ``run.json``, with the keys that `interalia.runs.folder.about` lists."""

    title: str
    teaches: str
    judged: str
    reading: str
    critic: bool
    can: list[str] | None
    log_odds: bool


def checked(values: object, kind: type[T]) -> T:
    """Returns the values of a file as a type, such as `Header`; lists become tuples where the type has tuples.

    Missing values get their defaults, and values under other keys are left out.

    Raises:
        ValueError: they do not have that type; the message names the place and the expected type.

    Example:
        >>> checked({"run": {}, "step": -1}, Header)
        Traceback (most recent call last):
        ValueError: Expected int >= 0 - at $.step
    """
    try:
        return msgspec.convert(values, kind)
    except (msgspec.ValidationError, AttributeError) as error:  # an AttributeError: a tensor in place of a dictionary
        raise ValueError(str(error).replace("`", "")) from None


def read(path: Path, kind: type[T], key: str | None = None) -> T:
    """Returns the content of a JSON file that this library wrote, as a type such as ``list[float]``.

    Arguments:
        path: the file.
        kind: the type.
        key: the key of the value that is returned, of a file that contains a JSON object; None to return the whole content.

    Raises:
        UserError: the file cannot be read, or its content does not have that type.
    """
    try:
        values = parse_json(regular(path).read_text(encoding="utf-8"))
        return checked(values if key is None else checked(values, dict[str, Any]).get(key), kind)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); remove it, so that it is computed again.") from None


def fits(values: object, kind: Any) -> bool:
    """True if `values`, the content of a file or of a part of it, have the type `kind`, such as `LogLine`.

    Example:
        >>> fits({"step": 3, "seconds": 1.5}, LogLine), fits({"step": "x"}, LogLine)
        (True, False)
    """
    try:
        checked(values, kind)
    except ValueError:
        return False
    return True


def is_log_line(line: object) -> bool:
    """True if a value is a dictionary that has the type `LogLine`, in which values under keys with a slash are numbers or
    None.
    """
    numbers = {key: value for key, value in line.items() if "/" in key} if isinstance(line, dict) else {}
    return fits(line, LogLine) and fits(numbers, dict[str, Number])


def fitting(values: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    """Returns the values of a file without those that do not have the type that `kind` gives for their key.

    Of a list the elements of another type are left out. Keys that `kind` does not have are kept.

    Arguments:
        values: the values by key.
        kind: a type such as `Results`.

    Example:
        >>> fitting({"metrics": [{"name": "modes"}, {"name": 5}], "step": "x", "date": "today"}, Results)
        {'metrics': [{'name': 'modes'}], 'date': 'today'}
    """
    found, types = {}, get_type_hints(kind, include_extras=True)
    for key, value in values.items():
        if key in types and get_origin(types[key]) is list and isinstance(value, list):
            value = [one for one in value if fits(one, get_args(types[key])[0])]
        if key not in types or fits(value, types[key]):
            found[key] = value
    return found
