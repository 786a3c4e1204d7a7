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

EXPERIMENTS: tuple[Experiment, ...] = (
    mixture.MIXTURE_25, ali.ALI_DIVERGENCES, mixture.MIXTURE_GAN, gaussian.FGAN_GAUSSIAN, kde.FGAN_KDE, infogan.INFOGAN_MNIST,
    cyclegan.CYCLEGAN_DIGITS, cyclegan.CYCLEGAN_FACADES, mixture.MIXTURE_ALI, alice.ALICE_TOY, bigan_mnist.BIGAN_MNIST,
    ali.HALI_MNIST, labels.CONDITIONAL_ALI, labels.ALI_SEMISUP, toys.BILINEAR, toys.DIRAC_GAN, sem_ali.SEM_ALI,
    ali.ALI_STABILITY, ali.ALI_SLEEP, alice.ALICE_MNIST, search.RECIPE_SEARCH, avb.AVB_PIXELS, avb.EIGHT_SCHOOLS,
    avb_mnist.AVB_MNIST, avb_mnist.VAE_MANIFOLD, calibration.AIS_CALIBRATION, judging.HEALTH,
    *(Experiment(**experiment.texts(name), rows=partial(rows, experiment.Job)) for name, rows in STUDIES.items()),
)  # fmt: skip
REGISTRY: Registry[Experiment] = Registry("experiments", {one.name: one for one in EXPERIMENTS})


def reproduce(name: str, **how: Any) -> Path:
    """Runs the experiment `name`, such as "mixture-25": computes the rows of its table that are not finished, saves the table
    as Markdown and returns its path. `how` are the other keyword arguments of `papers.experiment.reproduce`, such as `quick`
    and `seeds`. Raises a UserError if there is no such experiment.
    """
    return experiment.reproduce(by_name(name), **how)


def listing(name: str, **how: Any) -> str:
    """Returns the table of the experiment `name` as Markdown from finished or published results, without computing any; other
    rows are "not measured". `how` are keyword arguments of `Experiment.setting`. Raises a UserError if there is no such name.
    """
    return experiment.listing(by_name(name), **how)


def by_name(name: str) -> Experiment:
    """Returns the experiment called `name`, such as "mixture-25"; raises a UserError if there is none."""
    if name not in REGISTRY:
        raise unknown("experiment", name, REGISTRY)
    return REGISTRY[name]
