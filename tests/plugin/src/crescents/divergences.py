"""A custom divergence."""

from __future__ import annotations

import torch
from torch import Tensor

from interalia.adversarial.divergences import FDivergence


class LeCam(FDivergence):
    """Le Cam's, or triangular discrimination, f(u) = (u - 1)^2 / (u + 1); g(v) = 1 - s^2, f*(g(v)) = (1 - s)(3 - s).

    With s = 2 sigmoid(-v) the score v is log p/q at the optimal critic. All losses are bounded, and their gradients
    vanish on both joints where the critic is confident.

    References:
        Asymptotic Methods in Statistical Decision Theory, Lucien Le Cam, 1986, https://doi.org/10.1007/978-1-4612-4946-7
    """

    fades = ("PQ", "PQ")

    def f(self, u: Tensor) -> Tensor:
        return (u - 1).square() / (u + 1)

    def output(self, v: Tensor) -> Tensor:
        return 1 - 4 * torch.sigmoid(-v).square()

    def conjugate(self, v: Tensor) -> Tensor:
        s = 2 * torch.sigmoid(-v)
        return (1 - s) * (3 - s)

    def unsmoothed_log_ratio(self, score: Tensor) -> Tensor:
        return score
