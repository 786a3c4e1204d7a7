"""Experiments of the papers, done anew: each is one function that yields rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interalia.errors import unknown
from interalia.experiments import experiment
from interalia.experiments.experiment import Experiment
from interalia.experiments.mixture import MIXTURE_25

CATALOGUE: dict[str, Experiment] = {member.name: member for member in (MIXTURE_25,)}


def reproduce(name: str, **how: Any) -> Path:
    """Does the experiment of that name anew; see `experiments.experiment.reproduce`.

    Raises:
        UserError: there is no such experiment.
    """
    if name not in CATALOGUE:
        raise unknown("experiment", name, CATALOGUE)
    return experiment.reproduce(CATALOGUE[name], **how)
