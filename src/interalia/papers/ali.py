"""ALI under every divergence, the stability of its training, and ALI with two levels of latents."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from interalia import metrics, tasks
from interalia.adversarial import divergences
from interalia.conditionals import Chain
from interalia.metrics.verdicts import diagnoses, logged_diagnostics
from interalia.papers.experiment import Values, slug, texts
from interalia.papers.study import Evaluated, Row, Study, Trial, percentage, rows_of
from interalia.reports import plots
from interalia.runs import recipes

BASE = recipes.ali_digits(game="ali", optimizer="adam(lr=0.0002)", steps=4000)

ALI_DIVERGENCES = Study(
    **texts("ali-divergences"),
    rows={name: BASE.replace(name=f"ali-digits-{name}", divergence=name) for name in divergences.REGISTRY.built_in},
    trial=Evaluated,
)

# ---- stability

PUBLISHED = recipes.ali_mnist_report(instance_noise="none")
DATA = {"MNIST": (recipes.ali_mnist, PUBLISHED), "CIFAR-10": (recipes.ali_cifar10, recipes.ali_cifar10_paper())}


class Judged(Evaluated):
    """A trial that is classified as failed or not, with 2,000 test images and as many samples."""

    points = 2000

    @cached_property
    def values(self) -> Values:
        """Column -> 100 if the training failed, collapsed or ignored the encoder, else 0, by the diagnoses of its log."""
        folder = self.trained and self.trained.folder
        assert folder
        names = {finding.name for finding in diagnoses(logged_diagnostics(folder.log_lines()), self.run.steps or 0)}
        collapsed, ignored = bool(names & {"generator collapsed", "mode collapse"}), "encoder ignored" in names
        failed = {"failed": collapsed or ignored, "diverged": False, "collapsed": collapsed, "ignored": ignored}
        return {key: 100.0 * value for key, value in failed.items()}


ALI_STABILITY = Study(
    **texts("ali-stability"),
    rows={
        f"{data}: {row}": Row(run.replace(name=slug(f"stability-{data}-{row}"), steps=4000), quick=data == "MNIST")
        for data, (tuned, published) in DATA.items()
        for row, run in (("ALI as published", published), ("ALI, tuned", tuned(game="ali")), ("tuned recipe", tuned()))
    },
    trial=Judged,
)

# ---- two levels of latents


class Levels(Trial):
    """The errors of reconstructions from the lower and from the upper level of latents."""

    points = 5000

    @cached_property
    def x_hats(self) -> tuple[Tensor, Tensor]:
        """The reconstructions from the lower level and from z, which are the same if there is one level."""
        two = isinstance(self.game.encoder, Chain)
        return tasks.reconstruct(self.game, self.x, level="lower") if two else self.x_hat, self.x_hat

    @cached_property
    def values(self) -> Values:
        """The errors of reconstructions in pixels, in features and of the digit; the samples' Frechet distance; the size."""
        found, features = {}, self.judge(self.x)
        for name, x_hat in zip(("", "upper_"), self.x_hats, strict=True):
            found[f"{name}mse"] = float((self.x - x_hat).square().mean())
            found[f"{name}features"] = float((features - self.judge(x_hat)).square().sum(1).sqrt().mean())
            found[f"{name}digits"] = percentage(self.judge.predict(x_hat) == self.held_out.labels)
        found["frechet"] = metrics.frechet_distance(features, self.judge(self.samples))
        return found | {"parameters": sum(p.numel() for p in self.game.parameters()) / 1e6}

    def draw(self) -> None:
        """Draws ten test images with their reconstructions from both levels."""
        lower, upper = (part[:10].numpy() for part in self.x_hats)
        plots.cycles(self.x[:10].numpy(), lower, upper, self.picture())


HALI_MNIST = Study(**texts("hali-mnist"), rows=rows_of("hali-mnist"), trial=Levels)
