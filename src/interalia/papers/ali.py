"""Three experiments with ALI: under every divergence, how often its training fails, and with two levels of latents."""

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

PUBLISHED = recipes.ali_mnist_report(instance_noise="none")
DATA = {"MNIST": (recipes.ali_mnist, PUBLISHED), "CIFAR-10": (recipes.ali_cifar10, recipes.ali_cifar10_paper())}


class Judged(Evaluated):
    """One trained run of the experiment ali-stability, evaluated on 2,000 test images and classified as failed or not."""

    points = 2000

    @cached_property
    def values(self) -> Values:
        """Column -> 100 if it is true of the training, else 0: `failed`, `diverged`, `collapsed` and `ignored`. They follow
        from the health diagnoses in its log: `collapsed` is mode collapse, `ignored` an encoder that the decoder ignores,
        `failed` one of both. `diverged` is 0, since a training that diverges is not evaluated.
        """
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


class Levels(Trial):
    """One trained run of the experiment hali-mnist; its game may have a second, lower level of latents, between z and x."""

    points = 5000

    @cached_property
    def x_hats(self) -> tuple[Tensor, Tensor]:
        """Two reconstructions of the test images: from the lower level of latents, if there is one, or z; and from z."""
        two = isinstance(self.game.encoder, Chain)
        return tasks.reconstruct(self.game, self.x, level="lower") if two else self.x_hat, self.x_hat

    @cached_property
    def values(self) -> Values:
        """Column -> value: errors of reconstructions, Frechet distance of samples (`frechet`), and millions of `parameters`.
        The errors are `mse` per pixel, `features`, the distance in the features of a classifier, and `digits`, the % that are
        classified as the true digit, all from the lower level. The names of those from z begin with `upper_`.
        """
        found, features = {}, self.judge(self.x)
        for name, x_hat in zip(("", "upper_"), self.x_hats, strict=True):
            found[f"{name}mse"] = float((self.x - x_hat).square().mean())
            found[f"{name}features"] = float((features - self.judge(x_hat)).square().sum(1).sqrt().mean())
            found[f"{name}digits"] = percentage(self.judge.predict(x_hat) == self.held_out.labels)
        found["frechet"] = metrics.frechet_distance(features, self.judge(self.samples))
        return found | {"parameters": sum(p.numel() for p in self.game.parameters()) / 1e6}

    def draw(self) -> None:
        """Draws ten test images, each above its reconstructions from the lower level and from z, into a PNG file."""
        lower, upper = (part[:10].numpy() for part in self.x_hats)
        plots.cycles(self.x[:10].numpy(), lower, upper, self.picture())


HALI_MNIST = Study(**texts("hali-mnist"), rows=rows_of("hali-mnist"), trial=Levels)
