"""Experiments of the papers, done anew: each is one function that yields rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interalia.errors import unknown
from interalia.experiments import experiment
from interalia.experiments.alice_toy import ALICE_TOY
from interalia.experiments.avb import AVB_PIXELS, EIGHT_SCHOOLS
from interalia.experiments.avb_mnist import AVB_MNIST, VAE_MANIFOLD
from interalia.experiments.bigan_mnist import BIGAN_MNIST
from interalia.experiments.calibration import AIS_CALIBRATION
from interalia.experiments.cyclegan import CYCLEGAN_DIGITS, CYCLEGAN_FACADES
from interalia.experiments.divergences import ALI_DIVERGENCES
from interalia.experiments.experiment import Experiment
from interalia.experiments.gaussian import FGAN_GAUSSIAN
from interalia.experiments.inferring import ALI_SEMISUP, CONDITIONAL_ALI, HALI_MNIST
from interalia.experiments.infogan import INFOGAN_MNIST
from interalia.experiments.judging import HEALTH
from interalia.experiments.kde import FGAN_KDE
from interalia.experiments.mixture import MIXTURE_25
from interalia.experiments.mixture_ali import MIXTURE_ALI
from interalia.experiments.mixture_gan import MIXTURE_GAN
from interalia.experiments.search import RECIPE_SEARCH
from interalia.experiments.stability import ALI_STABILITY, ALICE_MNIST, SEM_ALI
from interalia.experiments.toys import BILINEAR, DIRAC_GAN

CATALOGUE: dict[str, Experiment] = {
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
}


def reproduce(name: str, **how: Any) -> Path:
    """Does the experiment of that name anew; see `experiments.experiment.reproduce`.

    Raises:
        UserError: there is no such experiment.
    """
    if name not in CATALOGUE:
        raise unknown("experiment", name, CATALOGUE)
    return experiment.reproduce(CATALOGUE[name], **how)
