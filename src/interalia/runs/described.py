"""The data set of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from interalia import data
from interalia.data.binarize import binarize
from interalia.data.dataset import Dataset
from interalia.errors import UserError
from interalia.runs import FROM_PYTHON, Run


def dataset(run: Run) -> Dataset:
    """Loads the data set of a run; `other` of it is the second domain, if the run names one.

    Raises:
        UserError: `interalia.data.load` fails, the images of the two domains differ in shape, or the data were custom data.
    """
    run = run.canonical()
    if run.data == FROM_PYTHON:
        raise UserError(
            "this run was trained on custom data, which were given from Python; give them again: "
            "interalia.load(folder, dataset=...)."
        )
    root = Path(run.data_dir) if run.data_dir else None
    found = data.load(run.data, data_dir=root, image_size=run.image_size, seed=run.seed)
    if run.binarize != "none":
        found = binarize(found, run.binarize)
    if run.data_b is None:
        return found
    if run.binarize != "none":
        raise UserError("`binarize` needs a game with one data set; leave out `binarize` or `data_b`.")
    other = data.load(run.data_b, data_dir=root, image_size=run.image_size, seed=run.seed)
    if found.shape != other.shape:
        raise UserError(
            f"the two domains differ in shape (channels, height, width): {run.data} has {found.shape} and {run.data_b} has "
            f"{other.shape}; give a common `image_size`, and convert one of them if the channels differ."
        )
    about = f"Domain a: {found.about} Domain b: {other.about} They are not paired."
    return dataclasses.replace(found, name=f"{found.name} to {other.name}", other=other, paired=False, about=about)
