"""The games: adversarial and variational models, one module for each paper or pair of papers.

Each class that this module imports is registered under its `name`.
"""

from __future__ import annotations

from interalia.games.game import Game as Game
from interalia.games.game import Outcome as Outcome
from interalia.registry import Registry, by_name
from interalia.spaces import DataSpec as DataSpec

# isort: off
# in the order in which they are listed
from interalia.games.ali import ALI as ALI
from interalia.games.alice import ALICE as ALICE, AdversarialALICE as AdversarialALICE
from interalia.games.alad import ALAD as ALAD
from interalia.games.hali import HALI as HALI
from interalia.games.semiali import SemiALI as SemiALI
from interalia.games.ali import PostHocALI as PostHocALI
from interalia.games.regressor import LatentRegressor as LatentRegressor, JointLatentRegressor as JointLatentRegressor
from interalia.games.fanogan import FAnoGAN as FAnoGAN
from interalia.games.aae import AAE as AAE, SemiAAE as SemiAAE
from interalia.games.vae import VAE as VAE
from interalia.games.avb import AVB as AVB
from interalia.games.vaegan import VAEGAN as VAEGAN
from interalia.games.gan import GAN as GAN
from interalia.games.infogan import InfoGAN as InfoGAN
from interalia.games.cyclegan import CycleGAN as CycleGAN

REGISTRY: Registry[type[Game]] = Registry("games", by_name(globals(), Game), base=Game)
