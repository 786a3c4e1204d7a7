"""ALICE with different weights lambda of its cycle-consistency loss, on five Gaussians in the plane and on MNIST."""

from __future__ import annotations

from functools import cached_property

import torch

from interalia import metrics
from interalia.papers.experiment import Values, texts
from interalia.papers.study import Plane, Study, Trial, rows_of
from interalia.reports import plots


class Toy(Plane):
    """One trained run of the experiment alice-toy, on five Gaussians in the plane."""

    samples_of_mixture = 2048

    @cached_property
    def values(self) -> Values:
        """Column -> value: `icp`, the inception score of 2,048 samples by the exact p(mode | x) of the five Gaussians, and
        `mse`, the mean squared distance of a test point to its reconstruction, summed over both coordinates.
        """
        mixture = self.dataset.mixture
        assert mixture is not None
        squares = torch.cdist(self.mixture_samples, torch.as_tensor(mixture.means)).square()
        icp = metrics.inception_score((-squares / (2 * mixture.std**2)).softmax(dim=1), splits=1)
        return {"icp": icp, "mse": float((self.x - self.x_hat).square().sum(1).mean())}


ALICE_TOY = Study(**texts("alice-toy"), rows=rows_of("alice-toy"), trial=Toy)


class Weighted(Trial):
    """One trained run of the experiment alice-mnist, i.e. ALICE with one weight of the cycle loss."""

    @cached_property
    def values(self) -> Values:
        """Column -> value: the inception `score` of samples and that of test images, `real`, by interalia's classifier."""
        splits = min(10, max(1, len(self.x) // 100))
        score, real = (metrics.inception_score(self.judge.probabilities(x), splits) for x in (self.samples, self.x))
        return {"score": score, "real": real}

    def draw(self) -> None:
        """Draws 50 samples, ten in a row, into a PNG file."""
        plots.grid(self.samples[:50].numpy(), self.picture(), columns=10)


ALICE_MNIST = Study(**texts("alice-mnist"), rows=rows_of("alice-mnist"), trial=Weighted)
