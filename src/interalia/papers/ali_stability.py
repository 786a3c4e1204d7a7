"""Does the training hold? Ten seeds of the published and of the tuned recipe."""

from __future__ import annotations

from functools import cached_property

from interalia.metrics.verdicts import findings, signs_of
from interalia.papers.experiment import Values, slug
from interalia.papers.study import SMALL, Column, Evaluated, Row, Study
from interalia.runs import recipes
from interalia.runs.log import read

DATA = {
    "MNIST": (recipes.ali_mnist, recipes.ali_mnist_report(noise="none")),
    "CIFAR-10": (recipes.ali_cifar10, recipes.ali_cifar10_paper()),
}


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
