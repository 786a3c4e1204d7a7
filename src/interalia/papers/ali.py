"""ALI: under every divergence, whether its training holds, and what it is worth with few labels."""

from __future__ import annotations

import itertools
import statistics
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from interalia import metrics, tasks
from interalia.adversarial import divergences
from interalia.data import Split, as_tensor
from interalia.metrics.verdicts import findings, signs_of
from interalia.papers.experiment import Setting, Values, slug
from interalia.papers.study import SMALL, Column, Evaluated, Row, Rows, Study, Trial, percentage
from interalia.registry import Part
from interalia.runs import Run, recipes
from interalia.runs.log import read

BASE = recipes.ali_digits(game="ali", optimiser=Part("adam", lr=0.0002), steps=4000)

ALI_DIVERGENCES = Study(
    name="ali-divergences",
    about="ALI under every divergence on scikit-learn's handwritten digits: one game, one set of networks and rates; what "
    "differs is the loss and nothing else.",
    rows={name: BASE.replace(name=f"ali-digits-{name}", divergence=name) for name in divergences.REGISTRY.built_in},
    columns={
        "ratio": Column("reconstruction error over shuffled ↓", "reconstruction_ratio"),
        "neighbour": Column("1-NN on the last hidden layer % ↑", "nearest_neighbour_hidden", 100),
        "frechet": Column("Frechet distance of samples ↓", "frechet_distance"),
    },
    trial=Evaluated,
    quick={"steps": 40},
    measured="the 300 images of the test split; an untrained encoder has a 1-NN of 98.7 %, the Frechet floor is 2.42",
    deviations="each divergence in its alternative form; Adam 2e-4, as at the recipe's 1e-3 Neyman's loss overflows within "
    "some tens of steps; the recipe was tuned for the relativistic divergence alone",
    checkpoint_every=2000,
    seeds=3,
)

# ---- does the training hold?

PUBLISHED = recipes.ali_mnist_report(noise="none")
DATA = {"MNIST": (recipes.ali_mnist, PUBLISHED), "CIFAR-10": (recipes.ali_cifar10, recipes.ali_cifar10_paper())}


class Judged(Evaluated):
    points = 2000

    @cached_property
    def values(self) -> Values:
        """Whether it diverged, collapsed, or infers nothing by the verdict at its end."""
        folder = self.trained and self.trained.folder
        assert folder
        names = {finding.name for finding in findings(signs_of(read(folder)), self.run.steps or 0)}
        collapsed, ignored = bool(names & {"generator collapsed", "samples alike"}), "encoder ignored" in names
        failed = {"failed": collapsed or ignored, "diverged": False, "collapsed": collapsed, "ignored": ignored}
        return {key: 100.0 * value for key, value in failed.items()}


ALI_STABILITY = Study(
    name="ali-stability",
    about="Ten seeds of ALI as published and as tuned: how many diverge, collapse or infer nothing.",
    rows={
        f"{data}: {row}": Row(run.replace(name=slug(f"stability-{data}-{row}"), steps=4000), quick=data == "MNIST")
        for data, (tuned, published) in DATA.items()
        for row, run in (("ALI as published", published), ("ALI, tuned", tuned(game="ali")), ("tuned recipe", tuned()))
    },
    columns={
        "failed": "failed, % of the seeds ↓",
        "diverged": "diverged, %",
        "collapsed": "collapsed, %",
        "ignored": "encoder ignored, %",
        "ratio": Column("reconstruction ratio ↓", "reconstruction_ratio"),
        "coverage": Column("coverage ↑", "coverage"),
        "frechet": Column("Frechet distance of samples ↓", "frechet_distance"),
    },
    trial=Judged,
    quick=SMALL,
    measured="diverged: a loss or a weight was no number; collapsed, encoder ignored: the verdict of the last three of eight "
    "evaluations on validation images; the others: 2,000 test images and as many samples, of the runs that did not diverge",
    deviations="as published: on MNIST, which ALI's paper does not have, the reproduction report's networks and rates "
    "without its noise; on CIFAR-10 the paper's; tuned: the recipes ali-mnist and ali-cifar10, and the same without ALICE's "
    "round trip",
    evaluations=8,
    diverged={"failed": 100.0, "diverged": 100.0},
    seeds=10,
)

# ---- with few labels

STEPS = 10_000
VAT = "K + 1 classes, virtual adversarial training"
GAMES = {"K + 1 classes": Part("semi-ali", cycle=2.0), VAT: Part("semi-ali", cycle=2.0, vat=2.0)}


class Critic(Trial):
    @cached_property
    def values(self) -> Values:
        return {"error": percentage(tasks.classify(self.game, self.x).argmax(1) != self.held_out.labels)}


class Machine(Trial):
    """An L2-SVM on features of ALI, which is trained without labels once for both numbers of them."""

    @cached_property
    def values(self) -> Values:
        data = self.dataset
        parts = [self.layers(*part) for part in ((data.train, 10_000), (data.test, None), (data.validation, 2000))]
        train, test, held = parts
        draws = 3 if self.quick else 100
        errors, c = metrics.svm_errors(*train, *test, *held, labels=self.facts["labels"], draws=draws)
        return {"error": 100 * statistics.fmean(errors), "spread": 100 * statistics.stdev(errors), "c": c}

    def layers(self, split: Split, count: int | None) -> tuple[Tensor, Tensor]:
        """The outputs of the encoder's last three batch norms and the mean of z beside them, and the labels, of at most
        `count` images."""
        norms = [m for m in self.game.encoder.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)][-3:]
        seen: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

        def keep(norm: nn.Module, _: object, out: Tensor) -> None:
            seen[norm].append(out.flatten(1).float().clone())

        hooks = [norm.register_forward_hook(keep) for norm in norms]
        z = tasks.encode(self.game, as_tensor(split.x[:count]))
        for hook in hooks:
            hook.remove()
        y: Any = split.y
        return torch.cat([*(torch.cat(seen[norm]) for norm in norms), z], dim=1), torch.from_numpy(y[:count])


def rows(setting: Setting) -> Rows:
    """K + 1 classes at each number of labels, and the machine; then photographs, SVHN only where its files are."""
    found: dict[str, Run | Row] = {}
    for count, (row, game) in itertools.product((100, 1000), GAMES.items()):
        own = {"name": f"semi-ali-{count}" + "-vat" * (row == VAT), "game": game, "labelled": count, "steps": STEPS}
        found[f"MNIST, {count:,} labels: {row}"] = recipes.semi_ali_mnist(**own)
    for name, played in (("ALI", "ali"), ("ALICE", Part("alice", cycle=2.0))):
        run = recipes.ali_mnist(name=f"svm-{name.lower()}", game=played, steps=STEPS)
        for count in (100, 1000):
            found[f"MNIST, {count:,} labels: L2-SVM on {name}"] = Row(run, trial=Machine, facts={"labels": count})
    colour = {"CIFAR-10": ("cifar10", 4000)}
    if setting.root is not None and (setting.root / "svhn").is_dir():
        colour["SVHN"] = ("svhn", 1000)
    for title, (data, count) in colour.items():
        own = {"labelled": count, "latent": 64, "networks": Part("auto", width=64, unary=True), "steps": STEPS}
        run = recipes.semi_ali_mnist(name=f"semi-ali-{data}", data=data, **own)
        found[f"{title}, {count:,} labels: {VAT}"] = Row(run, quick=False)
    return found


ALI_SEMISUP = Study(
    name="ali-semisup",
    about="Semi-supervised ALI: K + 1 classes in the critic of pairs, and a linear machine on what ALI infers without.",
    rows=rows,
    columns={"error": "test error % ↓", "spread": "standard deviation over 100 draws of labels, %", "c": "C"},
    trial=Critic,
    paper={
        f"CIFAR-10, 4,000 labels: {VAT}": {"ALI, Table 2": {"error": "17.99 ± 1.62 (3 standard deviations)"}},
        "MNIST, 100 labels: K + 1 classes": {"HALI": {"error": "0.73 (two levels)"}},
    },
    quick=SMALL,
    measured="all test images; K + 1 classes: by the critic's softmax at (x, the mean of q(z | x)); L2-SVM: a linear SVM "
    "with squared hinge on the outputs of the batch norms of the encoder's last three hidden layers and the mean of z, of "
    "balanced draws of 10,000 training images, C chosen on 2,000 validation images and the first draw, mean over 100 draws "
    "(quick form: 3)",
    deviations="K + 1 classes: images without labels beside a batch of labelled ones, one balanced draw a seed, the virtual "
    "adversarial radius 1.5; SVHN only where its files are; the paper's setting for K + 1 is not published",
    seeds=1,
)
