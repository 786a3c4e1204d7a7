"""The games: one paper, one file, one class."""

from __future__ import annotations

from interalia.games.ali import ALI
from interalia.games.alice import ALICE
from interalia.games.game import Game, Outcome
from interalia.games.gan import GAN

CATALOGUE: dict[str, type[Game]] = {"ali": ALI, "alice": ALICE, "gan": GAN}

__all__ = ["ALI", "ALICE", "CATALOGUE", "GAN", "Game", "Outcome"]
