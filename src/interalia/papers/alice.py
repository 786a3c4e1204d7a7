"""The weight lambda of ALICE's round trip: on five Gaussians and on MNIST."""

from __future__ import annotations

from functools import cached_property

import torch

from interalia import metrics
from interalia.papers.experiment import Values, texts
from interalia.papers.study import SMALL, Plane, Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import Run, recipes

ROUND_TRIPS = {weight: Part("alice", cycle=float(weight)) for weight in ("0", "0.01", "0.1", "1", "10")}
SETTINGS = {"published setting": Run(data="five", networks="alice-toy", encoder=Part("implicit", noise=2), latent_dim=2,
                                     dynamics=Part("alternating", turns={"critic": 1, "generator": 5}), batch_size=64, weight_average="none",
                                     optimizer=Part("adam", lr=0.001, beta1=0.5, beta2=0.999), steps=3200)}  # fmt: skip
SETTINGS["ours"] = SETTINGS["published setting"].replace(
    penalty=Part("r1r2", gamma=1.0),
    dynamics="simultaneous",
    schedule=Part("linear", start=0.5, final=0.0),
    weight_average="ema(0.998)",
)


class Toy(Plane):
    samples_of_mixture = 2048

    @cached_property
    def values(self) -> Values:
        """The inception score by the mixture's own posterior p(mode | x), all modes of equal weight and width; the error."""
        mixture = self.dataset.mixture
        assert mixture is not None
        squares = torch.cdist(self.mixture_samples, torch.as_tensor(mixture.means)).square()
        icp = metrics.inception_score((-squares / (2 * mixture.std**2)).softmax(dim=1), splits=1)
        return {"icp": icp, "mse": float((self.x - self.x_hat).square().sum(1).mean())}


ALICE_TOY = Study(
    **texts("alice-toy"),
    rows={
        f"lambda {weight}, {title}": run.replace(name=f"alice-{weight}-{title.split()[0]}", game=game)
        for weight, game in ROUND_TRIPS.items()
        for title, run in SETTINGS.items()
    },
    trial=Toy,
    quick={"steps": 60},
    checkpoint_every=1000,
)


class Weighted(Trial):
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
        for weight, game in ROUND_TRIPS.items()
    },
    trial=Weighted,
    quick=SMALL,
    seeds=2,
)
