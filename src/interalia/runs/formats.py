"""The format of the files of a run: run.json, TOML files, the header of weights, and checkpoints share one version number.

A file without a number is of version 1. Files of older versions are translated here and nowhere else; newer ones are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interalia.errors import UserError

FORMAT = 3
OLDEST_CHECKPOINT = 2  # of checkpoints that are read; weights and descriptions of all versions are
KEY = "format"  # the key of the version, beside the fields of a run

# version -> old name: new name, of the fields that were renamed after that version
RENAMED: dict[int, dict[str, str]] = {
    2: {
        "target": "data_b", "root": "data_dir", "size": "image_size", "binarise": "binarize", "labelled": "num_labeled",
        "generator": "pretrained_generator", "latent": "latent_dim", "spectral": "spectral_norm", "noise": "instance_noise",
        "balance": "skip_critic_above", "optimiser": "optimizer", "rates": "lr", "batch": "batch_size",
        "accumulate": "grad_accumulation", "clip": "grad_clip", "population": "recalibrate_bn", "best": "monitor",
        "until_converged": "early_stopping",
    }
}  # fmt: skip

# fields that were joined to one after version 2: new name -> old names
JOINED = {"condition_on": ("labels", "attributes"), "weight_average": ("ema", "average")}
DECAY = 0.999  # of the moving average, where a file up to version 2 sets none

# old name -> new name, of the metrics that were renamed after version 2
METRICS = {
    "nearest_neighbour_hidden": "knn1_features",
    "nearest_neighbour_untrained": "knn1_random_init",
    "nearest_neighbour_latent": "knn1_latent",
    "nearest_neighbour_input": "knn1_input",
    "linear_probe_hidden": "linear_probe_features",
    "frechet_floor": "frechet_real_vs_real",
    "posterior_variance": "aggregate_posterior_var",
    "posterior_variance_least": "aggregate_posterior_var_min",
    "posterior_variance_greatest": "aggregate_posterior_var_max",
    "posterior_mean_norm": "aggregate_posterior_mean_norm",
    "posterior_covariance_distance": "aggregate_posterior_covariance_distance",
    "posterior_kl": "aggregate_posterior_kl",
    "posterior_mmd": "aggregate_posterior_mmd",
    "reconstruction_shuffled": "reconstruction_mismatched",
}

# diagnostics ("health/NAME" in a log) that had another name in files up to version 2: old name -> today's
DIAGNOSTICS = {
    "judged": "scores",
    "ratio": "reconstruction_ratio",
    "feature_ratio": "reconstruction_ratio_features",
    "sure": "critic_auc",
    "sure_held_out": "critic_auc_held_out",
    "posterior_marginal": "aggregate_posterior_marginal_kl",
    "posterior_kl": "aggregate_posterior_kl",
    "posterior_mmd": "aggregate_posterior_mmd",
    "active": "active_units",
    "remembered": "train_distance",
    "readable": "label_agreement_data",
    "obeyed": "label_agreement",
    "cycle": "cycle_ratio",
}

# field -> old value: new value, of the values and parts that were renamed after version 2
VALUES: dict[str, dict[str, str]] = {
    "binarize": {"fixed": "static", "fresh": "dynamic"},
    "penalty": {"interpolated": "wgan-gp", "clip": "weight-clip"},
    "encoder": {"dirac": "deterministic", "spanned": "basis-noise"},
    "monitor": METRICS,
}


class NewerError(UserError):
    """A file was written by a newer version of interalia."""


def version(values: Mapping[str, Any], file: Path | str) -> int:
    """The version of a file's content.

    Raises:
        NewerError: it is newer than this version of interalia reads.
        UserError: it is not a whole number from 1.
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
    """The names that fields of that version have today: old name -> new name."""
    names: dict[str, str] = {}
    for since in sorted(number for number in RENAMED if number >= version):  # one renaming after the other
        names = {**RENAMED[since], **{old: RENAMED[since].get(new, new) for old, new in names.items()}}
    return names


def upgraded(values: Mapping[str, Any], file: Path | str) -> dict[str, Any]:
    """The fields of a run in a file, under today's names and with today's values.

    Raises:
        UserError: the file is newer than this version of interalia, or sets one field twice, under an old and a new name.
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
    """The content of results.json or likelihood.json with today's keys, names of metrics and words for binarization.

    Example:
        >>> results({"measures": [{"name": "frechet_floor", "value": 1.5}], "binarization": "fixed"})
        {'metrics': [{'name': 'frechet_real_vs_real', 'value': 1.5}], 'binarization': 'static'}
    """

    def renamed(one: Any) -> Any:
        known = isinstance(one, dict) and isinstance(one.get("name"), str)
        return {**one, "name": METRICS.get(one["name"], one["name"])} if known else one

    made: dict[str, Any] = {}
    for key, value in values.items():
        if key == "measures":
            made["metrics"] = [renamed(one) for one in value] if isinstance(value, list) else value
        elif key == "binarization":
            word, space, rest = str(value).partition(" ")
            made[key] = VALUES["binarize"].get(word, word) + space + rest
        else:
            made[key] = value
    return made


def log_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of log.jsonl under today's keys and names of metrics and diagnostics.

    Example:
        >>> log_line({"step": 7, "health/sure": 0.5, "measures/frechet_floor": 2.0})
        {'step': 7, 'health/critic_auc': 0.5, 'metrics/frechet_real_vs_real': 2.0}
    """
    groups = {"health": ("health", DIAGNOSTICS), "measures": ("metrics", METRICS)}
    made = {}
    for key, value in line.items():
        kind, _, name = key.partition("/")
        group, names = groups.get(kind, (kind, {}))
        made[f"{group}/{names.get(name, name)}" if name else key] = value
    return made


def with_new_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a file up to version 2 with today's values, two fields that are one today joined.

    Example:
        >>> with_new_values({"labels": True, "ema": 0.99, "average": "moving(warm=False)", "penalty": "clip(bound=0.1)"})
        {'penalty': 'weight-clip(bound=0.1)', 'condition_on': 'labels', 'weight_average': 'ema(0.99, warm=False)'}
    """
    made = dict(fields)
    for key, words in VALUES.items():
        if isinstance(made.get(key), str):
            name, bracket, rest = made[key].partition("(")
            made[key] = words.get(name.strip(), name) + bracket + rest
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
    """The average of weights that two fields up to version 2 set: an average's name, and a decay, 0 for no moving average."""
    name, _, settings = average.partition("(")
    if name.strip() != "moving":
        return average.replace("uniform", "swa", 1)
    settings = ", ".join(filter(None, (f"{decay}", settings.strip().removesuffix(")"))))
    return f"ema({settings})" if decay else "none"


def new_plugins(plugins: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Returns the origins of plug-ins in a file of format `version`, with its field names replaced by the current ones."""
    names = {**new_names(version), "average": "weight_average"}
    return {names.get(key, key): origin for key, origin in plugins.items()}
