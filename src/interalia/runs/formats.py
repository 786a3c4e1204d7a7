"""Reads files of older versions: renames their fields, values and metrics to the current names in ``formats.toml``.

The files of a run (run.json, TOML files, the header of weights, and checkpoints) share one version number, the format. A file
without a number has format 1. A file of a newer format is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interalia import packaged_toml
from interalia.errors import UserError
from interalia.runs import schemas

FORMAT = 4
KEYED_NOISE = 4  # the first format whose training draws random numbers by seed and step; see `contexts.draw_noise`
OLDEST_CHECKPOINT = 2  # of checkpoints that are read; weights and descriptions of all versions are
KEY = "format"  # the key of the version, beside the fields of a run

TABLES = packaged_toml("interalia.runs", "formats.toml")
RENAMED: dict[int, dict[str, str]] = {2: TABLES["fields"]}  # format -> old name: new name, of fields renamed after it
JOINED: dict[str, list[str]] = TABLES["joined"]  # fields that replaced several after format 2: new name -> old names
METRICS: dict[str, str] = TABLES["metrics"]  # old name -> new name, of metrics renamed after format 2
VALUES: dict[str, dict[str, str]] = TABLES["values"] | {"monitor": METRICS}  # field -> old value: new value
DECAY = 0.999  # of the moving average, where a file up to version 2 sets none


class NewerError(UserError):
    """The error for a file that a newer version of interalia wrote."""


def version(values: Mapping[str, Any], file: Path | str) -> int:
    """Returns the format of a file of a run, i.e. the number of its version, from 1.

    Arguments:
        values: the content of the file; its key "format" is returned, and 1 if there is no such key.
        file: the path of the file, for error messages.

    Raises:
        NewerError: the format is newer than `FORMAT`, the newest that this version of interalia reads.
        UserError: the format is not a whole number from 1.
    """
    found = values.get(KEY, 1)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise UserError(f"{file} is of the format {found!r}, which is no whole number from 1; restore that file.")
    if found > FORMAT:
        raise NewerError(
            f"{file} is of format {found}, and this version of interalia reads formats up to {FORMAT}; update interalia: "
            f"pip install -U interalia."
        )
    return found


def new_names(version: int) -> dict[str, str]:
    """Returns the current name of each field of a run that was renamed after the format `version`, by its former name."""
    names: dict[str, str] = {}
    for since in sorted(number for number in RENAMED if number >= version):  # one renaming after the other
        names = {**RENAMED[since], **{old: RENAMED[since].get(new, new) for old, new in names.items()}}
    return names


def upgraded(values: Mapping[str, Any], file: Path | str) -> dict[str, Any]:
    """Returns the fields of a run in a file, under their current names and with current values, such as names of components.

    Arguments:
        values: the content of the file: the key "format", which is left out of the result, and fields of a run under the
            names that they had in that format. Other keys are returned unchanged.
        file: the path of the file, for error messages.

    Raises:
        UserError: the file is of a newer format than this version of interalia reads, or sets one field twice, under an old
            and a new name.
    """
    found = version(values, file)
    names = new_names(found)
    fields: dict[str, Any] = {}
    for key, value in values.items():
        name = names.get(key, key)
        if name in fields:
            raise UserError(f"{file} sets `{name}` twice, under an older name too; leave one out.")
        if key != KEY:
            fields[name] = value
    if found > 2:
        return fields
    for name, older in JOINED.items():
        if name in fields and (both := [key for key in older if key in fields]):
            raise UserError(f"{file} sets `{name}` twice, as `{both[0]}` of an older version too; leave one out.")
    if fields.get("labels") and fields.get("attributes") is not None:
        raise UserError(f"{file} sets `labels` and `attributes`; leave one out.")
    return with_new_values(fields)


def results(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of results.json or likelihood.json with the current names of keys, metrics and binarization.

    Values that do not have the type of `interalia.runs.schemas.Results` are left out.

    Example:
        >>> results({"measures": [{"name": "frechet_floor", "value": 1.5}], "binarization": "fixed"})
        {'metrics': [{'name': 'frechet_real_vs_real', 'value': 1.5}], 'binarization': 'static'}
    """

    def renamed(one: Any) -> Any:
        """Returns `one`, an element of the list of metrics: a dictionary with the metric's current name under "name" in place
        of a former one. Anything without a name is returned unchanged.
        """
        known = isinstance(one, dict) and isinstance(one.get("name"), str)
        return {**one, "name": METRICS.get(one["name"], one["name"])} if known else one

    made = {"metrics" if key == "measures" else key: value for key, value in values.items()}
    if isinstance(values.get("measures"), list):
        made["metrics"] = list(map(renamed, values["measures"]))
    if "binarization" in made:
        made["binarization"] = new_value("binarize", str(made["binarization"]), " ")
    return schemas.fitting(made, schemas.Results)


def new_value(field: str, text: str, separator: str = "(") -> str:
    """Returns the text of a field of a run with the current name of its value in place of an old one, or
    unchanged if its name is not an old one.

    Arguments:
        field: the name of the field.
        text: a name, such as that of a component; arguments or other text can follow after the separator.
        separator: the character that ends the name.

    Example:
        >>> new_value("penalty", "clip(bound=0.1)"), new_value("penalty", "r1")
        ('weight-clip(bound=0.1)', 'r1')
    """
    name, separator, rest = text.partition(separator)
    return VALUES[field].get(name.strip(), name) + separator + rest


def log_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a line of log.jsonl, a dictionary, with current keys for metrics ("metrics/NAME") and diagnostics
    ("health/NAME"); other keys stay as they are.

    Example:
        >>> log_line({"step": 7, "health/sure": 0.5, "measures/frechet_floor": 2.0})
        {'step': 7, 'health/critic_auc': 0.5, 'metrics/frechet_real_vs_real': 2.0}
    """
    groups = {"health": ("health", TABLES["diagnostics"]), "measures": ("metrics", METRICS)}
    made = {}
    for key, value in line.items():
        kind, _, name = key.partition("/")
        group, names = groups.get(kind, (kind, {}))
        made[f"{group}/{names.get(name, name)}" if name else key] = value
    return made


def with_new_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a run from a file of format 1 or 2 with the current values, such as names of components.

    Two pairs of fields are joined to one: `labels` and `attributes` to `condition_on`, `ema` and `average` to
    `weight_average`.

    Arguments:
        fields: the values, by the current name of the field or by one of the four names above.

    Example:
        >>> with_new_values({"labels": True, "ema": 0.99, "average": "moving(warm=False)", "penalty": "clip(bound=0.1)"})
        {'penalty': 'weight-clip(bound=0.1)', 'condition_on': 'labels', 'weight_average': 'ema(0.99, warm=False)'}
    """
    made = dict(fields)
    made |= {key: new_value(key, made[key]) for key in VALUES if isinstance(made.get(key), str)}
    if isinstance(made.get("game"), str):
        made["game"] = re.sub(r"\btogether(?= *=)", "joint_batch", made["game"])
    labels, attributes = made.pop("labels", False), made.pop("attributes", None)
    if attributes is not None:
        made["condition_on"] = attributes
    elif labels is not False:
        made["condition_on"] = "labels" if labels is True else labels
    if "ema" in made or "average" in made:
        made["weight_average"] = weight_average(str(made.pop("average", "moving")), made.pop("ema", DECAY))
    return made


def weight_average(average: str, decay: Any) -> str:
    """Returns the value of the field `weight_average`, which replaces two fields of the formats 1 and 2.

    Arguments:
        average: the old field `average`: "moving" or "uniform", alone or with arguments in brackets.
        decay: the old field `ema`, the decay of the moving average; 0 for none. It is ignored if `average` is "uniform".

    Example:
        >>> weight_average("moving", 0.99), weight_average("moving", 0), weight_average("uniform(start=0.5)", 0)
        ('ema(0.99)', 'none', 'swa(start=0.5)')
    """
    name, _, settings = average.partition("(")
    if name.strip() != "moving":
        return average.replace("uniform", "swa", 1)
    settings = ", ".join(filter(None, (f"{decay}", settings.strip().removesuffix(")"))))
    return f"ema({settings})" if decay else "none"


def new_plugins(plugins: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Returns the origins of a run's custom components, by the current name of the field that names the component.

    Arguments:
        plugins: the origins (module, package and version), by the name that the field has in the file.
        version: the format of the file.
    """
    names = {**new_names(version), "average": "weight_average"}
    return {names.get(key, key): origin for key, origin in plugins.items()}
