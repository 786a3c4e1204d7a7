"""Describes the hyperparameters of several runs in a line of text: those that they share, and those that differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interalia.runs.run import Run

GROUPS: Mapping[str, Sequence[str]] = {  # of fields, by subject
    "data": ("data", "data_b", "split", "fold", "group", "layout", "scale", "impute", "image_size", "gray", "crop", "flip",
             "binarize", "condition_on", "num_labeled"),
    "game": ("game", "divergence", "penalty", "instance_noise", "augment"),
    "networks": ("networks", "encoder", "prior", "latent_dim", "spectral_norm", "pack", "init_from"),
    "optimizer": ("optimizer", "lr", "schedule", "dynamics", "grad_clip", "grad_accumulation", "skip_critic_above",
                  "weight_average", "recalibrate_bn", "precision"),
    "length": ("steps", "batch_size"),
}  # fmt: skip
# fields that are printed even if all runs have the default
ALWAYS = ("data", "game", "networks", "optimizer", "dynamics", "weight_average", "steps", "batch_size")


def describe(runs: Mapping[str, Run], fields: Sequence[str]) -> str:
    """Returns a text with the values of some fields of several runs: for each field the most common value, and in brackets
    the runs with other values. A field that has its default in all runs is left out, except for fields
    that are always shown: those in `ALWAYS`, such as `data` and `batch_size`.

    If there are more than two runs, and no two have the same value of a field, all values follow the words "by row", in the
    order of the runs.

    Arguments:
        runs: the runs, by the name of the row that each run has in a table.
        fields: the names of the fields, in the order of the text.

    Example:
        >>> runs = {"a": Run(grad_clip=1.0), "b": Run(grad_clip=1.0), "c": Run(grad_clip=0.5)}
        >>> describe(runs, ["pack", "grad_clip", "batch_size"])
        'grad_clip 1.0 (c: 0.5); batch_size 128'
    """
    parts, default = [], Run()
    for key in fields:
        if key not in ALWAYS and all(getattr(run, key) == getattr(default, key) for run in runs.values()):
            continue
        rows: dict[str, list[str]] = {}
        for name, run in runs.items():
            rows.setdefault(value_text(getattr(run, key)), []).append(name)
        most = max(rows, key=lambda words: len(rows[words]))
        name = "" if key in (*GROUPS, "optimizer") else f"{key} "
        if len(rows) == len(runs) > 2:
            parts.append(f"{name}by row {', '.join(rows)}")
        else:
            others = "; ".join(f"{short_names(who, runs)}: {words}" for words, who in rows.items() if words != most)
            parts.append(name + most + (f" ({others})" if others else ""))
    return "; ".join(parts)


def value_text(value: Any) -> str:
    """Returns the value of a field of a run as text: None as "none", a bool as "yes" or "no", a whole number with commas at
    the thousands, a dictionary as its keys and numbers, anything else as `str` gives it.

    Example:
        >>> value_text({"critic": 0.5}), value_text(None), value_text(10000)
        ('critic 0.5', 'none', '10,000')
    """
    if isinstance(value, dict):
        return ", ".join(f"{key} {number:g}" for key, number in value.items()) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def short_names(rows: Sequence[str], all_rows: Iterable[str]) -> str:
    """Returns a short text that identifies some rows of a table by pieces of their names, separated by commas.

    The names are split into pieces at colons and commas; a full name is a piece too. A piece that occurs only in names of
    `rows` identifies all rows with it. Pieces are added until each of `rows` is identified: always the piece that identifies
    the most of the remaining rows.

    Arguments:
        rows: the names of the rows to identify.
        all_rows: the names of all rows of the table, `rows` included.

    Example:
        >>> short_names(["ring: GAN", "ring: GAN, long"], ["grid: GAN", "ring: GAN", "grid: GAN, long", "ring: GAN, long"])
        'ring'
    """
    having: dict[str, set[str]] = {}
    for row in all_rows:
        for part in re.split(": |, ", row):
            having.setdefault(part, set()).add(row)
    own = {row: {row} for row in rows} | {part: who for part, who in having.items() if who <= set(rows)}
    left, found = set(rows), []
    while left:
        found.append(max(own, key=lambda part: (len(own[part] & left), -len(part))))
        left -= own[found[-1]]
    return ", ".join(found)
