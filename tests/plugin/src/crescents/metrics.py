"""A custom metric."""

from __future__ import annotations

import torch

from interalia.metrics import Evidence, metric


@metric("lower", during_training=True, sentence="Samples lie {energy_distance:.3f} from the data in energy distance.")
def energy_distance(e: Evidence) -> float:
    """Energy distance of samples and data, 2 E|X - Y| - E|X - X'| - E|Y - Y'|.

    References:
        Energy statistics: A class of statistics based on distances, Gabor J. Szekely, Maria L. Rizzo, 2013,
        https://doi.org/10.1016/j.jspi.2013.03.018
    """
    x, y = (part[:1000].flatten(1) for part in (e.x, e.samples))
    between, of_x, of_y = torch.cdist(x, y).mean(), torch.cdist(x, x).mean(), torch.cdist(y, y).mean()
    return float(2 * between - of_x - of_y)
