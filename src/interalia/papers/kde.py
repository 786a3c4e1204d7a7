"""f-GAN on MNIST, evaluated by a kernel density estimate on samples: the paper's Table 3, and a check of its figures."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import as_tensor
from interalia.data.sampler import permutation
from interalia.papers.experiment import Values, slug, texts
from interalia.papers.study import Row, Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import Run

ALL, SOME = "KDE of the training set", "KDE of 16,000 training images"
NAMES = ("KL", "reverse KL", "Pearson", "Neyman", "squared Hellinger", "Jeffrey", "Jensen-Shannon", "GAN")
DIVERGENCES = {name: slug(name) for name in NAMES}  # the paper's names -> interalia's
SAMPLES, QUICK_SAMPLES = 16_000, 1_000
TRAINING = Run(
    game="gan", data="mnist", networks="fgan-mnist", latent_dim=100, prior="uniform", steps=20_000,
    penalty=Part("r1r2", gamma=1.0), optimizer=Part("adam", lr=0.001, beta1=0.5, beta2=0.999), batch_size=128,
    weight_average="ema(0.998)", precision="bf16", log_every=100,
)  # fmt: skip


class Density(Trial):
    """A row evaluated by f-GAN's rule, and by the same estimate as computed by scikit-learn's tree."""

    @cached_property
    def made(self) -> Tensor:
        return tasks.generate(self.game, QUICK_SAMPLES if self.quick else SAMPLES, seed=self.seed, sample=True)

    @cached_property
    def values(self) -> Values:
        return score(self.made.flatten(1), as_tensor(self.dataset.test.x).flatten(1), self.quick)

    def draw(self) -> None:
        plots.grid(self.made[:100].numpy(), self.picture())


class Images(Density):
    """Training and validation images in place of samples: all 60,000, or a random subset."""

    trains = False

    @cached_property
    def made(self) -> Tensor:
        found = torch.cat([as_tensor(self.dataset.train.x), as_tensor(self.dataset.validation.x)])
        count = self.facts["count"]
        if self.quick:
            count = QUICK_SAMPLES * (2 if count is None else 1)
        return found[permutation(len(found), 0)[:count]] if count else found


def score(samples: Tensor, test: Tensor, quick: bool) -> Values:
    """Returns the kernel log-likelihood of test images given samples, and scikit-learn's result, with standard errors."""
    points = test[permutation(len(test), 0)[: 300 if quick else 10_000]]
    found = metrics.kernel_likelihood(points, samples, metrics.cross_validated_bandwidth(samples, folds=3))
    tree = by_tree(points[: 30 if quick else 2_000], samples, 0.1)
    exact = {"likelihood": found.mean, "error": found.error, "bandwidth": found.bandwidth}
    return {**exact, "tree": float(tree.mean()), "tree_error": float(tree.std()) / math.sqrt(len(tree))}


def by_tree(points: Tensor, samples: Tensor, bandwidth: float) -> Tensor:
    """Returns log p(x) as computed by scikit-learn's KernelDensity, which is wrong in hundreds of dimensions.

    It starts from an upper bound, n K(0), and subtracts the excess of each branch of a tree of the samples. In float64 the
    rounding error of this is larger than the density itself for every point that is not very close to a sample.
    """
    from sklearn.neighbors import KernelDensity

    tree = KernelDensity(kernel="gaussian", bandwidth=bandwidth).fit(samples.double().numpy())
    return torch.from_numpy(tree.score_samples(points.double().numpy()))


FGAN_KDE = Study(
    **texts("fgan-kde"),
    rows={
        row: Row(TRAINING.replace(steps=0), once=True, trial=Images, facts={"count": count})
        for row, count in ((ALL, None), (SOME, SAMPLES))
    }
    | {row: TRAINING.replace(name=f"fgan-kde-{name}", divergence=name) for row, name in DIVERGENCES.items()},
    trial=Density,
    quick={"steps": 30},
    checkpoint_every=1000,
    seeds=1,
)
