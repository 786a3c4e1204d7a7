"""A custom data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interalia.data import Dataset, Source, Split
from interalia.errors import UserError

TRAIN, HELD_OUT = 20_000, 2_000


def draw(count: int, *seed: int) -> Split:
    """Points on two interleaved half circles, with noise of standard deviation 0.05; y is the half circle."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, count)
    angle = np.pi * (random.uniform(size=count) + y)
    center = np.stack([y - 0.5, np.where(y == 1, 0.25, -0.25)], axis=1)
    x = center + np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * random.standard_normal((count, 2))
    return Split(x.astype(np.float32), y.astype(np.int64))


def load(name: str, root: Path | None, size: int | None, seed: int, download: bool) -> Dataset:
    """Training points drawn from `seed`, and held-out points that are the same for every seed."""
    if size is not None:
        raise UserError(f"{name} holds points and not images, which have no size; leave `size` out.")
    about = f"Two crescents in the plane: {TRAIN:,} points to train on, {HELD_OUT:,} and {HELD_OUT:,} held out."
    return Dataset(name, draw(TRAIN, 0, seed), draw(HELD_OUT, 1), draw(HELD_OUT, 2), ("upper", "lower"), about=about)


CRESCENTS = Source(
    "crescents", load, "two crescents in the plane, 20,000 points to train on", "drawn on the spot", "none needed"
)
