"""The weight of ALICE's round trip on MNIST."""

from __future__ import annotations

from functools import cached_property

from interalia import metrics
from interalia.papers.experiment import Values
from interalia.papers.study import SMALL, Study, Trial, sheet
from interalia.registry import Part
from interalia.runs import recipes

FIGURES = {  # the weight -> the paper's MSE and score
    "0": ("0.4803 ± 0.100", "8.749 ± 0.09"),
    "0.01": ("0.1721", "9.1045"),
    "0.1": ("0.0982", "9.2618"),
    "1": ("0.0803 ± 0.007", "9.279 ± 0.07"),
    "10": ("0.0856", "8.918"),
}


class Weighted(Trial):
    @cached_property
    def values(self) -> Values:
        splits = min(10, max(1, len(self.x) // 100))
        score, real = (metrics.inception_score(self.judge.probabilities(x), splits) for x in (self.samples, self.x))
        return {"mse": self.mse, "score": score, "real": real}


ALICE_MNIST = Study(
    name="alice-mnist",
    about="The weight of ALICE's round trip on MNIST: reconstructions against samples.",
    rows={
        f"lambda {weight}": recipes.ali_mnist(name=f"alice-mnist-{weight}", game=game, steps=8000)
        for weight in FIGURES
        for game in [Part("alice", cycle=float(weight))]
    },
    columns={
        "mse": "squared error of test reconstructions, a pixel ↓",
        "score": "classifier score of samples ↑",
        "real": "the same of test images",
    },
    trial=Weighted,
    pictures=(sheet,),
    paper={
        f"lambda {weight}": {"ALICE": {"mse": mse, "score": score, "real": "9.8793"}}
        for weight, (mse, score) in FIGURES.items()
    },
    quick=SMALL,
    measured="error: all test images in [0, 1], means of the conditionals; score: the exponential of the mutual information "
    "of sample and class by interalia's own classifier, ten parts",
    deviations="the paper's classifier is another, so that its scores stand against its own 9.88 of real images",
    seeds=2,
)
