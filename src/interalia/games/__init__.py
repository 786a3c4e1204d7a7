"""The games: one paper, one file, its class or classes."""

from __future__ import annotations

from interalia.games.aae import AAE, SemiAAE
from interalia.games.alad import ALAD
from interalia.games.ali import ALI
from interalia.games.alice import ALICE, AdversarialALICE
from interalia.games.avb import AVB
from interalia.games.cyclegan import CycleGAN
from interalia.games.game import Game, Outcome
from interalia.games.gan import GAN
from interalia.games.hali import HALI
from interalia.games.infogan import InfoGAN
from interalia.games.posthoc import PostHocALI
from interalia.games.regressor import JointLatentRegressor, LatentRegressor
from interalia.games.semiali import SemiALI
from interalia.games.vae import VAE
from interalia.games.vaegan import VAEGAN
from interalia.registry import Registry
from interalia.spaces import DataSpec

REGISTRY: Registry[type[Game]] = Registry(
    "games",
    {
        "ali": ALI,
        "alice": ALICE,
        "alice-adversarial": AdversarialALICE,
        "alad": ALAD,
        "hali": HALI,
        "semi-ali": SemiALI,
        "posthoc-ali": PostHocALI,
        "latent-regressor": LatentRegressor,
        "joint-latent-regressor": JointLatentRegressor,
        "aae": AAE,
        "semi-aae": SemiAAE,
        "vae": VAE,
        "avb": AVB,
        "vae-gan": VAEGAN,
        "gan": GAN,
        "infogan": InfoGAN,
        "cyclegan": CycleGAN,
    },
    base=Game,
)

__all__ = [
    "AAE", "ALAD", "ALI", "ALICE", "AVB", "GAN", "HALI", "REGISTRY", "VAE", "VAEGAN", "AdversarialALICE",
    "CycleGAN", "DataSpec", "Game", "InfoGAN", "JointLatentRegressor", "LatentRegressor", "Outcome", "PostHocALI",
    "SemiAAE", "SemiALI",
]  # fmt: skip
