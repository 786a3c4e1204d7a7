"""Experiments with ALI: its divergences compared, how often its training fails, its sleep term, and two levels of latents."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.adversarial import divergences
from interalia.conditionals import Chain
from interalia.metrics.verdicts import diagnoses, logged_diagnostics
from interalia.papers.experiment import Values, texts
from interalia.papers.study import Evaluated, Study, Trial, percentage, posterior_variance, rows_of
from interalia.reports import plots
from interalia.runs import recipes

BASE = recipes.ali_digits(game="ali", optimizer="adam(lr=0.0002)", steps=4000)

ALI_DIVERGENCES = Study(
    **texts("ali-divergences"),
    rows={name: BASE.replace(name=f"ali-digits-{name}", divergence=name) for name in divergences.REGISTRY.built_in},
    trial=Evaluated,
)


class Judged(Evaluated):
    """One trained run of the experiment ali-stability, evaluated on 2,000 test images and classified as failed or not."""

    points = 2000

    @cached_property
    def values(self) -> Values:
        """Column -> 100 if it is true of the training, else 0. `collapsed`: at its end, the training has the diagnosis "mode
        collapse" or "generator collapsed"; `ignored`: it has the diagnosis "encoder ignored" then; `failed`: one of these is
        true. `diverged` is always 0, since a training that diverges is not evaluated.
        """
        folder = self.trained and self.trained.folder
        assert folder
        names = {finding.name for finding in diagnoses(logged_diagnostics(folder.log_lines()), self.run.steps or 0)}
        collapsed, ignored = bool(names & {"generator collapsed", "mode collapse"}), "encoder ignored" in names
        failed = {"failed": collapsed or ignored, "diverged": False, "collapsed": collapsed, "ignored": ignored}
        return {key: 100.0 * value for key, value in failed.items()}


ALI_STABILITY = Study(**texts("ali-stability"), rows=rows_of("ali-stability"), trial=Judged)


class Inverted(Evaluated):
    """One trained run of the experiment ali-sleep: ALI or ALICE, with or without a loss of z inferred from samples."""

    @cached_property
    def values(self) -> Values:
        """Column -> value: `variance`, the mean variance of q(z | x) over test images."""
        return {"variance": posterior_variance(self)}


ALI_SLEEP = Study(**texts("ali-sleep"), rows=rows_of("ali-sleep"), trial=Inverted)


class Levels(Trial):
    """One trained run of the experiment hali-mnist; its game may have a second, lower level of latents, between z and x."""

    points = 5000

    @property
    def levels(self) -> tuple[Any, ...]:
        """The names of the levels of latents, nearest to x first: ("lower", "upper"), or ("upper",) if z is the only one."""
        return ("lower", "upper") if isinstance(self.game.encoder, Chain) else ("upper",)

    @cached_property
    def x_hats(self) -> tuple[Tensor, Tensor]:
        """Two reconstructions of the n test images, each of shape (n, 1, 28, 28): (from the lower level of latents, from z).
        Both are from z if the game has no lower level.
        """
        return tasks.reconstruct(self.game, self.x, level=self.levels[0]), self.x_hat

    def latents_of(self, x: Tensor) -> Tensor:
        """Returns the means of all latents of images x, those of the lower level first: shape (n, latents of all levels)."""
        return torch.cat([tasks.encode(self.game, x, level=level) for level in self.levels], dim=1)

    @cached_property
    def values(self) -> Values:
        """Column -> value. `frechet` is the Frechet distance of samples to test images in a classifier's features,
        `parameters` the game's parameters in millions, and `few` the % of images that a linear SVM on the means of all
        latents, fitted to 100 labels, classifies wrong. The others are of reconstructions from the lower level, and with
        `upper_` before the name from z: `mse`, per pixel; `ratio`, the mean L2 error over that of an image and another's
        reconstruction; `features`, the mean L2 error in a classifier's features; `digits`, the % classified as their digit.
        """
        found, features = {}, self.judge(self.x)
        for name, x_hat in zip(("", "upper_"), self.x_hats, strict=True):
            found[f"{name}mse"] = float((self.x - x_hat).square().mean())
            found[f"{name}features"] = float((features - self.judge(x_hat)).square().sum(1).sqrt().mean())
            found[f"{name}digits"] = percentage(self.judge.predict(x_hat) == self.held_out.labels)
            found[f"{name}ratio"] = metrics.reconstruction(self.x, x_hat, self.seed).ratio
        found["frechet"] = metrics.frechet_distance(features, self.judge(self.samples))
        found["few"] = self.svm(self.latents_of, 100)["error"]
        return found | {"parameters": sum(p.numel() for p in self.game.parameters()) / 1e6}

    def draw(self) -> None:
        """Draws ten test images, each above its reconstructions from the lower level and from z, into a PNG file."""
        lower, upper = (part[:10].numpy() for part in self.x_hats)
        plots.cycles(self.x[:10].numpy(), lower, upper, self.picture())


HALI_MNIST = Study(**texts("hali-mnist"), rows=rows_of("hali-mnist"), trial=Levels)
