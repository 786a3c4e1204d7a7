"""Experiments of the papers, done anew: most are tables of runs x metrics, the others measure mathematics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interalia.errors import unknown
from interalia.papers import experiment
from interalia.papers.ali_semisup import ALI_SEMISUP
from interalia.papers.ali_stability import ALI_STABILITY
from interalia.papers.alice_mnist import ALICE_MNIST
from interalia.papers.alice_toy import ALICE_TOY
from interalia.papers.avb import AVB_PIXELS, EIGHT_SCHOOLS
from interalia.papers.avb_mnist import AVB_MNIST, VAE_MANIFOLD
from interalia.papers.bigan_mnist import BIGAN_MNIST
from interalia.papers.calibration import AIS_CALIBRATION
from interalia.papers.conditional_ali import CONDITIONAL_ALI
from interalia.papers.cyclegan import CYCLEGAN_DIGITS, CYCLEGAN_FACADES
from interalia.papers.divergences import ALI_DIVERGENCES
from interalia.papers.experiment import Experiment
from interalia.papers.gaussian import FGAN_GAUSSIAN
from interalia.papers.hali_mnist import HALI_MNIST
from interalia.papers.infogan import INFOGAN_MNIST
from interalia.papers.judging import HEALTH
from interalia.papers.kde import FGAN_KDE
from interalia.papers.mixture import MIXTURE_25, MIXTURE_ALI, MIXTURE_GAN
from interalia.papers.search import RECIPE_SEARCH
from interalia.papers.sem_ali import SEM_ALI
from interalia.papers.toys import BILINEAR, DIRAC_GAN
from interalia.registry import Registry

MEMBERS: tuple[Experiment, ...] = (
    MIXTURE_25, ALI_DIVERGENCES, MIXTURE_GAN, FGAN_GAUSSIAN, FGAN_KDE, INFOGAN_MNIST, CYCLEGAN_DIGITS, CYCLEGAN_FACADES,
    MIXTURE_ALI, ALICE_TOY, BIGAN_MNIST, HALI_MNIST, CONDITIONAL_ALI, ALI_SEMISUP, BILINEAR, DIRAC_GAN, SEM_ALI,
    ALI_STABILITY, ALICE_MNIST, RECIPE_SEARCH, AVB_PIXELS, EIGHT_SCHOOLS, AVB_MNIST, VAE_MANIFOLD, AIS_CALIBRATION, HEALTH,
)  # fmt: skip
REGISTRY: Registry[Experiment] = Registry("experiments", {member.name: member for member in MEMBERS})


def reproduce(name: str, **how: Any) -> Path:
    """Does the experiment of that name anew; see `papers.experiment.reproduce`.

    Raises:
        UserError: there is no such experiment.
    """
    return experiment.reproduce(named(name), **how)


def listing(name: str, **how: Any) -> str:
    """The rows of the experiment of that name without doing any; see `papers.experiment.listing`."""
    return experiment.listing(named(name), **how)


def named(name: str) -> Experiment:
    if name not in REGISTRY:
        raise unknown("experiment", name, REGISTRY)
    return REGISTRY[name]
