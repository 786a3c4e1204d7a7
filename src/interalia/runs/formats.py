"""The format of what a run keeps: run.json, TOML files, the header of weights, and checkpoints have one version number.

A file without one is of version 1. Older files are translated here and nowhere else; newer ones are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interalia.errors import UserError

FORMAT = 3
OLDEST_CHECKPOINT = 2  # that is read; of weights and descriptions all are
KEY = "format"  # beside the fields of a run, in a file

# version -> the fields of a run that had another name in files up to it: old name -> today's
RENAMED: dict[int, dict[str, str]] = {
    2: {
        "target": "data_b", "root": "data_dir", "size": "image_size", "binarise": "binarize", "labelled": "num_labeled",
        "generator": "pretrained_generator", "latent": "latent_dim", "spectral": "spectral_norm", "noise": "instance_noise",
        "balance": "skip_critic_above", "optimiser": "optimizer", "rates": "lr", "batch": "batch_size",
        "accumulate": "grad_accumulation", "clip": "grad_clip", "population": "recalibrate_bn", "best": "monitor",
        "until_converged": "early_stopping",
    }
}  # fmt: skip

# metrics that had another name in files up to version 2: old name -> today's
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

# of today's fields: values, and names of parts, that files up to version 2 have -> today's
VALUES: dict[str, dict[str, str]] = {
    "binarize": {"fixed": "static", "fresh": "dynamic"},
    "penalty": {"interpolated": "wgan-gp", "clip": "weight-clip"},
    "encoder": {"dirac": "deterministic", "spanned": "basis-noise"},
    "monitor": METRICS,
}
DECAY = 0.999  # of the average, up to version 2, where a file names none


class NewerError(UserError):
    """A file that a newer version of interalia has written."""


def version(values: Mapping[str, Any], file: Path | str) -> int:
    """The version of a file's content.

    Raises:
        NewerError: it is newer than what this version of interalia reads.
        UserError: it is no number.
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


def upgraded(values: Mapping[str, Any], file: Path | str) -> dict[str, Any]:
    """What a file says of a run, under the names that its fields have today.

    Raises:
        UserError: the file is newer than this version of interalia, or names one field twice.
    """
    found = version(values, file)
    names: dict[str, str] = {}
    for since in sorted(number for number in RENAMED if number >= found):  # one renaming after the other
        names = {**RENAMED[since], **{old: RENAMED[since].get(new, new) for old, new in names.items()}}
    made: dict[str, Any] = {}
    for key, value in values.items():
        name = names.get(key, key)
        if name in made:
            raise UserError(f"{file} sets `{name}` twice, under an older name too; leave one out.")
        if key != KEY:
            made[name] = value
    if found <= 2 and made.get("labels") and made.get("attributes") is not None:
        raise UserError(f"{file} sets `labels` and `attributes`; leave one out.")
    return joined(made) if found <= 2 else made


def upgraded_results(values: Mapping[str, Any]) -> dict[str, Any]:
    """The content of results.json or likelihood.json under today's keys, names of metrics and words for binarization.

    Example:
        >>> upgraded_results({"measures": [{"name": "frechet_floor", "value": 1.5}], "binarization": "fixed"})
        {'metrics': [{'name': 'frechet_real_vs_real', 'value': 1.5}], 'binarization': 'static'}
    """
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key == "measures":
            value = [{**one, "name": METRICS.get(one["name"], one["name"])} for one in value if "name" in one]
        elif key == "binarization":
            word, space, rest = str(value).partition(" ")
            value = VALUES["binarize"].get(word, word) + space + rest
        made["metrics" if key == "measures" else key] = value
    return made


def log_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of log.jsonl under today's keys and names of metrics.

    Example:
        >>> log_line({"step": 7, "measures/posterior_kl": 0.5})
        {'step': 7, 'metrics/aggregate_posterior_kl': 0.5}
    """
    made = {}
    for key, value in line.items():
        kind, _, name = key.partition("/")
        made[f"metrics/{METRICS.get(name, name)}" if kind == "measures" else key] = value
    return made


def joined(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a file up to version 2 with today's values, and one field for each two that are one today.

    Example:
        >>> joined({"labels": True, "ema": 0.99, "average": "moving(warm=False)", "penalty": "clip(bound=0.1)"})
        {'penalty': 'weight-clip(bound=0.1)', 'condition_on': 'labels', 'weight_average': 'ema(0.99, warm=False)'}
    """
    made = dict(values)
    for key, words in VALUES.items():
        if isinstance(made.get(key), str):
            name, bracket, rest = made[key].partition("(")
            made[key] = words.get(name.strip(), name) + bracket + rest
    labels, attributes = made.pop("labels", False), made.pop("attributes", None)
    if attributes is not None:
        made["condition_on"] = attributes
    elif labels is not False:
        made["condition_on"] = "labels" if labels is True else labels
    if "ema" in made or "average" in made:
        made["weight_average"] = averaged(str(made.pop("average", "moving")), made.pop("ema", DECAY))
    return made


def averaged(average: str, decay: Any) -> str:
    """The average of weights of two fields up to version 2: of a name and a decay, which is 0 for no moving average."""
    name, _, settings = average.partition("(")
    if name.strip() != "moving":
        return average.replace("uniform", "swa", 1)
    settings = ", ".join(filter(None, (f"{decay}", settings.strip().removesuffix(")"))))
    return f"ema({settings})" if decay else "none"
