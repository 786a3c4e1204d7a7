"""Draws synthetic data from mixtures of Gaussians in the plane.

References:
    Adversarially learned inference, Vincent Dumoulin et al., 2017, https://arxiv.org/abs/1606.00704 (the grid)
    PacGAN: the power of two samples in generative adversarial networks, Zinan Lin et al., 2018,
    https://arxiv.org/abs/1712.04086 (the grid and the ring)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interalia.data.dataset import Dataset, Mixture, Split
from interalia.errors import UserError

GRID = np.mgrid[-4:5:2, -4:5:2].reshape(2, -1).T.astype(np.float32)  # {-4, -2, 0, 2, 4}^2
ANGLES = 2 * np.pi * np.arange(8) / 8
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=-1).astype(np.float32)  # 8 points
CROSS = np.array([[0, 0], [2, 2], [-2, 2], [2, -2], [-2, -2]], dtype=np.float32)
# the mixture, and the numbers of training and of held-out points
MIXTURES = {
    "grid25": (Mixture(GRID, 0.05), 100_000, 10_000),
    "ring8": (Mixture(CIRCLE, 0.01), 100_000, 10_000),
    "five": (Mixture(CROSS, 0.2), 2048, 1024),
}


def draw(mixture: Mixture, count: int, *seed: int) -> Split:
    """Draws points of a mixture: labels y are uniform over its modes, and x = means[y] + std * standard normal noise.

    Arguments:
        mixture: the mixture.
        count: the number of points.
        seed: one or more integers that determine the random numbers.

    Returns:
        A split with the points x, float32, shape (count, d), and the labels y, int64, shape (count,).

    Example:
        >>> draw(Mixture(CIRCLE, 0.01), 5, 0).x.shape
        (5, 2)
    """
    # NumPy promises that these streams never change.
    random = np.random.RandomState(np.random.SeedSequence(seed).generate_state(4))
    y = random.randint(len(mixture.means), size=count).astype(np.int64)
    noise: NDArray[np.float64] = random.standard_normal((count, mixture.means.shape[1]))
    return Split((mixture.means[y] + mixture.std * noise).astype(np.float32), y)


def load(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Draws a data set of points in the plane from a mixture; only its training points depend on `seed`.

    Arguments:
        name: "grid25", "ring8" or "five".
        data_dir: not used, because the points are generated.
        image_size: must be None.
        seed: random seed of the training points.
        download: not used.

    Raises:
        UserError: `image_size` is given.
    """
    if image_size is not None:
        raise UserError(f"{name} holds points and not images, which have no size; leave `image_size` out.")
    mixture, train, held_out = MIXTURES[name]
    splits = draw(mixture, train, 0, abs(seed)), draw(mixture, held_out, 1), draw(mixture, held_out, 2)
    about = (
        f"{len(mixture.means)} Gaussians of standard deviation {mixture.std:g} in the plane, of equal weight. "
        f"{train:,} training points drawn with seed {seed}; {held_out:,} for validation and {held_out:,} for test, the same "
        f"for every seed."
    )
    return Dataset(name, *splits, mixture=mixture, about=about)
