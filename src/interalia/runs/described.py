"""The data that a run describes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from interalia import data
from interalia.data.binarize import binarized
from interalia.data.dataset import Dataset
from interalia.errors import UserError
from interalia.runs import FROM_PYTHON, Run


def dataset(run: Run) -> Dataset:
    """The data of a run; its `other` is the second data set where the run names one.

    Raises:
        UserError: what `interalia.data.load` raises, or two domains whose images differ in channels or size, or the data
            were given from Python.
    """
    if run.data == FROM_PYTHON:
        raise UserError(
            "the data were given from Python, and the run does not say where they are; give them again, with "
            "interalia.load(folder, dataset=...)."
        )
    root = Path(run.data_dir) if run.data_dir else None
    found = data.load(run.data, data_dir=root, image_size=run.image_size, seed=run.seed)
    if run.binarize != "none":
        found = binarized(found, run.binarize)
    if run.data_b is None:
        return found
    if run.binarize != "none":
        raise UserError("`binarize` is for games with one data set; leave out `binarize` or `data_b`.")
    other = data.load(run.data_b, data_dir=root, image_size=run.image_size, seed=run.seed)
    if found.shape != other.shape:
        raise UserError(
            f"the two domains differ in shape: {run.data} has {found.shape} and {run.data_b} has {other.shape} (channels, "
            f"height, width); give `image_size` for a common size, and convert one of them where the channels differ."
        )
    about = f"Domain a: {found.about} Domain b: {other.about} They are not paired."
    return dataclasses.replace(found, name=f"{found.name} to {other.name}", other=other, paired=False, about=about)
