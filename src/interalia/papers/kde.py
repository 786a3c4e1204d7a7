"""f-GAN's Table 3: GANs on MNIST under eight divergences, evaluated by a kernel density estimate on samples."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import as_tensor
from interalia.data.sampler import permutation
from interalia.papers.experiment import Values, all_texts, slug, texts
from interalia.papers.study import Row, Study, Trial
from interalia.reports import plots
from interalia.runs import Run

ALL, SOME = "KDE of the training set", "KDE of 16,000 training images"
NAMES = ("KL", "reverse KL", "Pearson", "Neyman", "squared Hellinger", "Jeffrey", "Jensen-Shannon", "GAN")
DIVERGENCES = {name: slug(name) for name in NAMES}  # the paper's names -> interalia's
SAMPLES, QUICK_SAMPLES = 16_000, 1_000
TRAINING = Run(**all_texts()["fgan-kde"]["runs"])


class Density(Trial):
    """One trained run of the experiment fgan-kde, evaluated by test images under a density estimate on its samples."""

    @cached_property
    def made(self) -> Tensor:
        """The samples of the game, shape (n, 1, 28, 28), to which the kernel density estimate is fitted."""
        return tasks.generate(self.game, QUICK_SAMPLES if self.quick else SAMPLES, seed=self.seed, sample=True)

    @cached_property
    def values(self) -> Values:
        """Column -> value, by `score`: the log densities of test images under the estimate on `made`."""
        return score(self.made.flatten(1), as_tensor(self.dataset.test.x).flatten(1), self.quick)

    def draw(self) -> None:
        """Draws 100 samples as a grid of images into a PNG file."""
        plots.grid(self.made[:100].numpy(), self.picture())


class Images(Density):
    """A row without training, whose density estimate is fitted to training and validation images in place of samples."""

    trains = False

    @cached_property
    def made(self) -> Tensor:
        """`facts["count"]` random images, or all 60,000 if None; in a smoke test 1,000, or 2,000 if None. (n, 1, 28, 28)."""
        found = torch.cat([as_tensor(self.dataset.train.x), as_tensor(self.dataset.validation.x)])
        count = self.facts["count"]
        count = QUICK_SAMPLES * (2 if count is None else 1) if self.quick else count
        return found[permutation(len(found), 0)[:count]] if count else found


def score(samples: Tensor, test: Tensor, quick: bool) -> Values:
    """Returns column -> value of a Gaussian kernel density estimate that is fitted to `samples`, shape (n, 784), for the
    images `test`, shape (m, 784). `likelihood` is the mean log density in nats, `error` its standard error, and `bandwidth`
    the kernel's, by cross-validation on `samples`. `tree` and `tree_error` are the first two by `by_tree` with the bandwidth
    0.1, of fewer test images. If `quick`, all numbers of test images are smaller.
    """
    points = test[permutation(len(test), 0)[: 300 if quick else 10_000]]
    found = metrics.kernel_likelihood(points, samples, metrics.cross_validated_bandwidth(samples, folds=3))
    tree = by_tree(points[: 30 if quick else 2_000], samples, 0.1)
    exact = {"likelihood": found.mean, "error": found.error, "bandwidth": found.bandwidth}
    return {**exact, "tree": float(tree.mean()), "tree_error": float(tree.std()) / math.sqrt(len(tree))}


def by_tree(points: Tensor, samples: Tensor, bandwidth: float) -> Tensor:
    """Returns log p(x), shape (n,), of points, shape (n, d), by scikit-learn's KernelDensity on m samples, shape (m, d). For
    d in the hundreds it is wrong: with the kernel K it starts from an upper bound, m K(0), and subtracts the excess of each
    branch of a tree of samples. In float64 the rounding error of this is larger than the density unless a sample is near.
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
)
