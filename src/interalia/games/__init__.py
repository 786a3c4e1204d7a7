"""The games: one paper, one file, one class."""

from __future__ import annotations

from interalia.games.ali import ALI
from interalia.games.alice import ALICE
from interalia.games.cyclegan import CycleGAN
from interalia.games.game import Game, Outcome
from interalia.games.gan import GAN
from interalia.games.infogan import InfoGAN

CATALOGUE: dict[str, type[Game]] = {"ali": ALI, "alice": ALICE, "cyclegan": CycleGAN, "gan": GAN, "infogan": InfoGAN}

__all__ = ["ALI", "ALICE", "CATALOGUE", "GAN", "CycleGAN", "Game", "InfoGAN", "Outcome"]
