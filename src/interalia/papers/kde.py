"""f-GAN on MNIST, judged by a kernel density estimate on its samples: the paper's Table 3, and what its figures rest on."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import as_tensor
from interalia.data.sampler import permutation
from interalia.papers.experiment import Values, page, slug
from interalia.papers.study import Row, Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import Run

ALL, SOME = "KDE of the training set", "KDE of 16,000 training images"
NAMES = ("KL", "reverse KL", "Pearson", "Neyman", "squared Hellinger", "Jeffrey", "Jensen-Shannon", "GAN")
DIVERGENCES = {name: slug(name) for name in NAMES}  # the paper's names -> the library's
SAMPLES, QUICK_SAMPLES = 16_000, 1_000
TRAINING = Run(
    game="gan", data="mnist", networks="fgan-mnist", latent_dim=100, prior="uniform", steps=20_000,
    penalty=Part("r1r2", gamma=1.0), optimizer=Part("adam", lr=0.001, beta1=0.5, beta2=0.999), batch_size=128, weight_average="ema(0.998)",
    precision="bf16", log_every=100,
)  # fmt: skip


class Density(Trial):
    """Scored by f-GAN's rule, and by the same estimate as scikit-learn's tree computes it."""

    @cached_property
    def made(self) -> Tensor:
        return tasks.generate(self.game, QUICK_SAMPLES if self.quick else SAMPLES, seed=self.seed, sample=True)

    @cached_property
    def values(self) -> Values:
        return score(self.made.flatten(1), as_tensor(self.dataset.test.x).flatten(1), self.quick)

    def draw(self) -> None:
        plots.grid(self.made[:100].numpy(), self.picture())


class Images(Density):
    """Training images, validation images among them, in place of samples: all of the 60,000, or a random draw of them."""

    trains = False

    @cached_property
    def made(self) -> Tensor:
        found = torch.cat([as_tensor(self.dataset.train.x), as_tensor(self.dataset.validation.x)])
        count = self.facts["count"]
        if self.quick:
            count = QUICK_SAMPLES * (2 if count is None else 1)
        return found[permutation(len(found), 0)[:count]] if count else found


def score(samples: Tensor, test: Tensor, quick: bool) -> Values:
    points = test[permutation(len(test), 0)[: 300 if quick else 10_000]]
    found = metrics.kernel_likelihood(points, samples, metrics.cross_validated_bandwidth(samples, folds=3))
    tree = by_tree(points[: 30 if quick else 2_000], samples, 0.1)
    exact = {"likelihood": found.mean, "error": found.error, "bandwidth": found.bandwidth}
    return {**exact, "tree": float(tree.mean()), "tree_error": float(tree.std()) / math.sqrt(len(tree))}


def by_tree(points: Tensor, samples: Tensor, bandwidth: float) -> Tensor:
    """log p(x) as scikit-learn's KernelDensity gives it, which in hundreds of dimensions is not what it is.

    It starts from an upper bound, n K(0), and subtracts from it what each branch of a tree of the samples turns out not to
    have; of that float64 leaves more than the density itself for every point that is not very close to a sample.
    """
    from sklearn.neighbors import KernelDensity

    tree = KernelDensity(kernel="gaussian", bandwidth=bandwidth).fit(samples.double().numpy())
    return torch.from_numpy(tree.score_samples(points.double().numpy()))


FGAN_KDE = Study(
    **page("fgan-kde"),
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
