"""Reproductions of experiments from papers on ALI and its family: a registry, and functions that run one by its name."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from interalia.detect.study import STUDIES
from interalia.errors import unknown
from interalia.papers.experiment import Experiment
from interalia.registry import Registry

# isort: off
from interalia.papers import (
    ali, alice, avb, avb_mnist, bigan_mnist, calibration, cyclegan, experiment, gaussian, infogan, judging, kde, labels,
    mixture, search, sem_ali, toys,
)  # fmt: skip

MODULES = (mixture, ali, gaussian, kde, infogan, cyclegan, alice, bigan_mnist, labels, toys, sem_ali, search, avb, avb_mnist,
           calibration, judging)  # fmt: skip
EXPERIMENTS: tuple[Experiment, ...] = (
    *(one for module in MODULES for one in vars(module).values() if isinstance(one, Experiment)),
    *(Experiment(**experiment.texts(name), rows=partial(rows, experiment.Job)) for name, rows in STUDIES.items()),
)
REGISTRY: Registry[Experiment] = Registry("experiments", {one.name: one for one in EXPERIMENTS})


def reproduce(name: str, **how: Any) -> Path:
    """Runs the experiment `name`, such as "mixture-25": computes the rows of its table that are not finished, saves the table
    as Markdown and returns its path. `how` are the other keyword arguments of `papers.experiment.reproduce`, such as `quick`
    and `seeds`. Raises a UserError if there is no such experiment.
    """
    return experiment.reproduce(by_name(name), **how)


def listing(name: str, **how: Any) -> str:
    """Returns the table of the experiment `name` as Markdown from finished or published results, without computing any; other
    rows are "not measured". `how` are keyword arguments of `experiment.listing`. Raises a UserError without such a name.
    """
    return experiment.listing(by_name(name), **how)


def by_name(name: str) -> Experiment:
    """Returns the experiment called `name`, such as "mixture-25"; raises a UserError if there is none."""
    if name not in REGISTRY:
        raise unknown("experiment", name, REGISTRY)
    return REGISTRY[name]
