"""Experiments of the papers, done anew: each is one function that yields rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interalia.errors import unknown
from interalia.papers import experiment
from interalia.papers.alice_toy import ALICE_TOY
from interalia.papers.avb import AVB_PIXELS, EIGHT_SCHOOLS
from interalia.papers.avb_mnist import AVB_MNIST, VAE_MANIFOLD
from interalia.papers.bigan_mnist import BIGAN_MNIST
from interalia.papers.calibration import AIS_CALIBRATION
from interalia.papers.cyclegan import CYCLEGAN_DIGITS, CYCLEGAN_FACADES
from interalia.papers.divergences import ALI_DIVERGENCES
from interalia.papers.experiment import Experiment
from interalia.papers.gaussian import FGAN_GAUSSIAN
from interalia.papers.inferring import ALI_SEMISUP, CONDITIONAL_ALI, HALI_MNIST
from interalia.papers.infogan import INFOGAN_MNIST
from interalia.papers.judging import HEALTH
from interalia.papers.kde import FGAN_KDE
from interalia.papers.mixture import MIXTURE_25
from interalia.papers.mixture_ali import MIXTURE_ALI
from interalia.papers.mixture_gan import MIXTURE_GAN
from interalia.papers.search import RECIPE_SEARCH
from interalia.papers.stability import ALI_STABILITY, ALICE_MNIST, SEM_ALI
from interalia.papers.toys import BILINEAR, DIRAC_GAN
from interalia.registry import Registry

REGISTRY: Registry[Experiment] = Registry(
    "experiments",
    {
        member.name: member
        for member in (
            MIXTURE_25,
            ALI_DIVERGENCES,
            MIXTURE_GAN,
            FGAN_GAUSSIAN,
            FGAN_KDE,
            INFOGAN_MNIST,
            CYCLEGAN_DIGITS,
            CYCLEGAN_FACADES,
            MIXTURE_ALI,
            ALICE_TOY,
            BIGAN_MNIST,
            HALI_MNIST,
            CONDITIONAL_ALI,
            ALI_SEMISUP,
            BILINEAR,
            DIRAC_GAN,
            SEM_ALI,
            ALI_STABILITY,
            ALICE_MNIST,
            RECIPE_SEARCH,
            AVB_PIXELS,
            EIGHT_SCHOOLS,
            AVB_MNIST,
            VAE_MANIFOLD,
            AIS_CALIBRATION,
            HEALTH,
        )
    },
)


def reproduce(name: str, **how: Any) -> Path:
    """Does the experiment of that name anew; see `experiments.experiment.reproduce`.

    Raises:
        UserError: there is no such experiment.
    """
    if name not in REGISTRY:
        raise unknown("experiment", name, REGISTRY)
    return experiment.reproduce(REGISTRY[name], **how)
