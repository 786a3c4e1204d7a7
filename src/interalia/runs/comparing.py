"""What runs have in common and in which fields they differ, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interalia.runs.run import Run

GROUPS: Mapping[str, Sequence[str]] = {  # of fields, by subject
    "data": ("data", "data_b", "image_size", "binarize", "condition_on", "num_labeled"),
    "game": ("game", "divergence", "penalty", "instance_noise", "augment"),
    "networks": ("networks", "encoder", "prior", "latent_dim", "spectral_norm", "pack"),
    "optimizer": ("optimizer", "lr", "schedule", "dynamics", "grad_clip", "grad_accumulation", "skip_critic_above", "weight_average",
                  "recalibrate_bn", "precision"),
    "length": ("steps", "batch_size"),
}  # fmt: skip
ALWAYS = (
    "data",
    "game",
    "networks",
    "optimizer",
    "dynamics",
    "weight_average",
    "steps",
    "batch_size",
)  # said of a default too


def describe(runs: Mapping[str, Run], fields: Sequence[str]) -> str:
    """What fields of the rows' runs say: the values of most rows, and which rows have others; defaults are left out.

    Example:
        >>> describe({"a": Run(grad_clip=1.0), "b": Run(grad_clip=1.0), "c": Run(grad_clip=0.5)}, ["pack", "grad_clip", "batch_size"])
        'grad_clip 1 (c: 0.5); batch_size 128'
    """
    parts, default = [], Run()
    for key in fields:
        if key not in ALWAYS and all(getattr(run, key) == getattr(default, key) for run in runs.values()):
            continue
        rows: dict[str, list[str]] = {}
        for name, run in runs.items():
            rows.setdefault(in_words(getattr(run, key)), []).append(name)
        most = max(rows, key=lambda words: len(rows[words]))
        name = "" if key in (*GROUPS, "optimizer") else f"{key} "
        if len(rows) == len(runs) > 2:
            parts.append(f"{name}by row {', '.join(rows)}")
        else:
            others = "; ".join(f"{called(who, runs)}: {words}" for words, who in rows.items() if words != most)
            parts.append(name + most + (f" ({others})" if others else ""))
    return "; ".join(parts)


def in_words(value: Any) -> str:
    """A field's value in words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {number:g}" for key, number in value.items()) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def called(rows: Sequence[str], all_rows: Iterable[str]) -> str:
    """Some rows in few words: the parts of their names, between colons and commas, that no other row has.

    Example:
        >>> called(["ring: GAN", "ring: GAN, long"], ["grid: GAN", "ring: GAN", "grid: GAN, long", "ring: GAN, long"])
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
