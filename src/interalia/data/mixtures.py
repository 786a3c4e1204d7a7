"""Synthetic mixtures of Gaussians in the plane.

References:
    Adversarially learned inference, Vincent Dumoulin et al., 2017, https://arxiv.org/abs/1606.00704 (the grid)
    PacGAN: the power of two samples in generative adversarial networks, Zinan Lin et al., 2018,
    https://arxiv.org/abs/1712.04086 (both)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interalia.data.dataset import Dataset, Mixture, Split
from interalia.errors import UserError


def grid25() -> Mixture:
    """25 modes: means {-4, -2, 0, 2, 4}^2, standard deviation 0.05."""
    axis = np.arange(-4, 5, 2, dtype=np.float32)
    return Mixture(np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2), 0.05)


def ring8() -> Mixture:
    """8 modes: means (cos a, sin a), a = 0, pi / 4, ..., standard deviation 0.01."""
    angles = 2 * np.pi * np.arange(8) / 8
    return Mixture(np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32), 0.01)


def five() -> Mixture:
    """5 modes: means (0, 0) and (+-2, +-2), standard deviation 0.2."""
    means = np.array([[0, 0], [2, 2], [-2, 2], [2, -2], [-2, -2]], dtype=np.float32)
    return Mixture(means, 0.2)


# the mixture, and the numbers of training and of held-out points
MIXTURES = {"grid25": (grid25, 100_000, 10_000), "ring8": (ring8, 100_000, 10_000), "five": (five, 2048, 1024)}


def draw(mixture: Mixture, count: int, *seed: int) -> Split:
    """`count` points x = means[y] + std * noise, y uniform over the modes.

    Example:
        >>> draw(ring8(), 5, 0).x.shape
        (5, 2)
    """
    # NumPy promises that these streams never change.
    random = np.random.RandomState(np.random.SeedSequence(seed).generate_state(4))
    y = random.randint(len(mixture.means), size=count).astype(np.int64)
    noise: NDArray[np.float64] = random.standard_normal((count, mixture.means.shape[1]))
    return Split((mixture.means[y] + mixture.std * noise).astype(np.float32), y)


def load(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Training points drawn with `seed`, and held-out points that are the same for every seed."""
    if image_size is not None:
        raise UserError(f"{name} holds points and not images, which have no size; leave `image_size` out.")
    make, train, held_out = MIXTURES[name]
    mixture = make()
    splits = draw(mixture, train, 0, abs(seed)), draw(mixture, held_out, 1), draw(mixture, held_out, 2)
    about = (
        f"{len(mixture.means)} Gaussians of standard deviation {mixture.std:g} in the plane, of equal weight. "
        f"{train:,} training points drawn with seed {seed}; {held_out:,} for validation and {held_out:,} for test, the same "
        f"for every seed."
    )
    return Dataset(name, *splits, mixture=mixture, about=about)
