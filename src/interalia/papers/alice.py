"""The weight lambda of ALICE's cycle loss, on five Gaussians and on MNIST."""

from __future__ import annotations

from functools import cached_property

import torch

from interalia import metrics
from interalia.papers.experiment import Values, texts
from interalia.papers.study import SMALL, Plane, Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import Run, recipes

CYCLES = {weight: Part("alice", cycle=float(weight)) for weight in ("0", "0.01", "0.1", "1", "10")}
PUBLISHED = Run(
    data="five", networks="alice-toy", encoder=Part("implicit", noise=2), latent_dim=2, batch_size=64, steps=3200,
    dynamics=Part("alternating", turns={"critic": 1, "generator": 5}), weight_average="none",
    optimizer=Part("adam", lr=0.001, beta1=0.5, beta2=0.999),
)  # fmt: skip
OURS = PUBLISHED.replace(
    penalty=Part("r1r2", gamma=1.0),
    dynamics="simultaneous",
    schedule=Part("linear", start=0.5, final=0.0),
    weight_average="ema(0.998)",
)
SETTINGS = {"published setting": PUBLISHED, "ours": OURS}


class Toy(Plane):
    """Samples and reconstructions of a mixture of Gaussians in the plane."""

    samples_of_mixture = 2048

    @cached_property
    def values(self) -> Values:
        """The inception score by the posterior p(mode | x), for modes of equal weight and width; the squared error."""
        mixture = self.dataset.mixture
        assert mixture is not None
        squares = torch.cdist(self.mixture_samples, torch.as_tensor(mixture.means)).square()
        icp = metrics.inception_score((-squares / (2 * mixture.std**2)).softmax(dim=1), splits=1)
        return {"icp": icp, "mse": float((self.x - self.x_hat).square().sum(1).mean())}


ALICE_TOY = Study(
    **texts("alice-toy"),
    rows={
        f"lambda {weight}, {title}": run.replace(name=f"alice-{weight}-{title.split()[0]}", game=game)
        for weight, game in CYCLES.items()
        for title, run in SETTINGS.items()
    },
    trial=Toy,
    quick={"steps": 60},
    checkpoint_every=1000,
)


class Weighted(Trial):
    """The reconstruction error, and the inception scores of samples and of real images, for a weight of the cycle loss."""

    @cached_property
    def values(self) -> Values:
        splits = min(10, max(1, len(self.x) // 100))
        score, real = (metrics.inception_score(self.judge.probabilities(x), splits) for x in (self.samples, self.x))
        return {"mse": self.mse, "score": score, "real": real}

    def draw(self) -> None:
        plots.grid(self.samples[:50].numpy(), self.picture(), columns=10)


ALICE_MNIST = Study(
    **texts("alice-mnist"),
    rows={
        f"lambda {weight}": recipes.ali_mnist(name=f"alice-mnist-{weight}", game=game, steps=8000)
        for weight, game in CYCLES.items()
    },
    trial=Weighted,
    quick=SMALL,
    seeds=2,
)
