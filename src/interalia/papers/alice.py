"""ALICE with different weights lambda of its cycle-consistency loss, on five Gaussians in the plane and on MNIST."""

from __future__ import annotations

from functools import cached_property

import torch

from interalia import metrics
from interalia.papers.experiment import Values, texts
from interalia.papers.study import Plane, Study, Trial, rows_of
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import recipes

CYCLES = {weight: Part("alice", cycle=float(weight)) for weight in ("0", "0.01", "0.1", "1", "10")}


class Toy(Plane):
    """One trained run of the experiment alice-toy, on five Gaussians in the plane."""

    samples_of_mixture = 2048

    @cached_property
    def values(self) -> Values:
        """Column -> value: `icp`, the inception score of samples by the exact p(mode | x), and `mse` of the reconstructions.
        `mse` is the squared distance of a test point to its reconstruction, summed over coordinates, averaged over points.
        """
        mixture = self.dataset.mixture
        assert mixture is not None
        squares = torch.cdist(self.mixture_samples, torch.as_tensor(mixture.means)).square()
        icp = metrics.inception_score((-squares / (2 * mixture.std**2)).softmax(dim=1), splits=1)
        return {"icp": icp, "mse": float((self.x - self.x_hat).square().sum(1).mean())}


ALICE_TOY = Study(
    **texts("alice-toy"),
    rows={
        f"lambda {weight}, {title}": row.run.replace(name=f"alice-{weight}-{title.split()[0]}", game=game)
        for weight, game in CYCLES.items()
        for title, row in rows_of("alice-toy").items()
    },
    trial=Toy,
)


class Weighted(Trial):
    """One trained run of the experiment alice-mnist, i.e. ALICE with one weight of the cycle loss."""

    @cached_property
    def values(self) -> Values:
        """Column -> value: `mse` of reconstructions, per pixel; inception scores of samples, `score`, and images, `real`."""
        splits = min(10, max(1, len(self.x) // 100))
        score, real = (metrics.inception_score(self.judge.probabilities(x), splits) for x in (self.samples, self.x))
        return {"mse": self.mse, "score": score, "real": real}

    def draw(self) -> None:
        """Draws 50 samples, ten in a row, into a PNG file."""
        plots.grid(self.samples[:50].numpy(), self.picture(), columns=10)


ALICE_MNIST = Study(
    **texts("alice-mnist"),
    rows={
        f"lambda {weight}": recipes.ali_mnist(name=f"alice-mnist-{weight}", game=game, steps=8000)
        for weight, game in CYCLES.items()
    },
    trial=Weighted,
)
