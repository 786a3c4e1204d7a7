"""f-GAN on MNIST, judged by a kernel density estimate on its samples: the paper's Table 3, and what its figures rest on."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import as_tensor
from interalia.data.sampler import permutation
from interalia.papers.experiment import Values
from interalia.papers.study import Row, Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import Run

ALL, SOME = "KDE of the training set", "KDE of 16,000 training images"
FIGURES = {  # a row's name -> the divergence, and the paper's mean and standard error
    "KL": ("kl", "416", "5.62"),
    "reverse KL": ("reverse-kl", "319", "8.36"),
    "Pearson": ("pearson", "429", "5.53"),
    "Neyman": ("neyman", "300", "8.33"),
    "squared Hellinger": ("squared-hellinger", "-708", "18.1"),
    "Jeffrey": ("jeffrey", "-2101", "29.9"),
    "Jensen-Shannon": ("jensen-shannon", "367", "8.19"),
    "GAN": ("gan", "305", "8.97"),
}
SAMPLES, QUICK_SAMPLES = 16_000, 1_000
TRAINING = Run(
    game="gan", data="mnist", networks="fgan-mnist", latent=100, prior="uniform", steps=20_000,
    penalty=Part("r1r2", gamma=1.0), optimiser=Part("adam", lr=0.001, beta1=0.5, beta2=0.999), batch=128, ema=0.998,
    precision="bf16", log_every=100,
)  # fmt: skip


class Density(Trial):
    """Scored by f-GAN's rule, and by the same estimate as scikit-learn's tree computes it."""

    @cached_property
    def made(self) -> Tensor:
        return tasks.generate(self.game, QUICK_SAMPLES if self.quick else SAMPLES, seed=self.seed, how="sample")

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
        found, count = (
            torch.cat([as_tensor(self.dataset.train.x), as_tensor(self.dataset.validation.x)]),
            self.facts["count"],
        )
        if self.quick:
            count = QUICK_SAMPLES * (2 if count is None else 1)
        return found if count is None else found[permutation(len(found), 0)[:count]]


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
    name="fgan-kde",
    about="MNIST by f-GAN's fully connected networks under eight divergences: the mean log-likelihood of the 10,000 test "
    "images under a kernel density estimate on 16,000 samples. The first two rows put training images in place of samples.",
    rows={
        row: Row(TRAINING.replace(steps=0), once=True, trial=Images, facts={"count": count})
        for row, count in ((ALL, None), (SOME, SAMPLES))
    }
    | {
        row: TRAINING.replace(name=f"fgan-kde-{divergence}", divergence=divergence)
        for row, (divergence, _, _) in FIGURES.items()
    },
    columns={
        "likelihood": "log-likelihood, nats ↑",
        "error": "its standard error",
        "bandwidth": "bandwidth",
        "tree": "by scikit-learn at 0.1 (inexact)",
        "tree_error": "its standard error",
    },
    trial=Density,
    paper={
        ALL: {"f-GAN": {"likelihood": "502", "error": "5.99"}},
        **{row: {"f-GAN": {"likelihood": mean, "error": error}} for row, (_, mean, error) in FIGURES.items()},
    },
    quick={"steps": 30},
    measured="isotropic Gaussian kernel, bandwidth by 3-fold cross-validation on the samples themselves (grid 0.02 to 0.5 in "
    "steps of 5 %), 10,000 test images, pixels in [0, 1]; quick form: 1,000 samples (first row: 2,000 images), 300 test "
    "images (30 by scikit-learn)",
    deviations="the paper trains an hour of a 2016 GPU on batches of 4,096 at the rate 0.0002; the penalty on the critic; "
    "averaged weights; the bias of the sigmoid starts at the mean image; 50,000 images to train on, by the other 10,000 of "
    "which these settings were chosen; the first row's 60,000 centres are both together",
    checkpoint_every=1000,
    seeds=1,
    chosen="Nothing was chosen on test data but the bandwidth of the last two columns.",
    notes=(
        "The columns of errors are standard errors over the test images, of one training. The second row is about what "
        "16,000 samples of a perfect model would score.",
        "The paper's figure for the training set, 502, is not what its rule gives here, 329 at the most over the whole grid, "
        "perhaps because scikit-learn's KernelDensity is wrong in hundreds of dimensions (its issue 25799). The last two "
        "columns are its answer on 2,000 test images at 0.1, picked of 0.1, 0.127, 0.162 and 0.2 as it meets the paper's "
        "first row: only the rows below can speak for or against the guess. If it is right, these columns alone can be set "
        "beside the paper's, else none.",
    ),
)
