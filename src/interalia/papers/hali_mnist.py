"""Two levels of latents: what reconstructions from each keep."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from interalia import metrics, tasks
from interalia.conditionals import Chain
from interalia.papers.experiment import Values, slug
from interalia.papers.study import SMALL, Study, Trial, percentage
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import recipes

LEVELS = {
    "ALI": "ali",
    "ALICE": Part("alice", cycle=2.0),
    "HALI": "hali",
    "HALI with the round trip": Part("hali", cycle=2.0),
}


class Levels(Trial):
    points = 5000

    @cached_property
    def x_hats(self) -> tuple[Tensor, Tensor]:
        """Reconstructions from the lowest level and from z, which are the same where there is one level."""
        two = isinstance(self.game.encoder, Chain)
        return tasks.reconstruct(self.game, self.x, level="lower") if two else self.x_hat, self.x_hat

    @cached_property
    def values(self) -> Values:
        found, features = {}, self.judge(self.x)
        for name, x_hat in zip(("", "upper_"), self.x_hats, strict=True):
            found[f"{name}mse"] = float((self.x - x_hat).square().mean())
            found[f"{name}features"] = float((features - self.judge(x_hat)).square().sum(1).sqrt().mean())
            found[f"{name}digits"] = percentage(self.judge.read(x_hat) == self.held_out.labels)
        found["frechet"] = metrics.frechet_distance(features, self.judge(self.samples))
        return found | {"parameters": sum(p.numel() for p in self.game.parameters()) / 1e6}

    def draw(self) -> None:
        lower, upper = (part[:10].numpy() for part in self.x_hats)
        plots.cycles(self.x[:10].numpy(), lower, upper, self.picture())


HALI_MNIST = Study(
    name="hali-mnist",
    about="ALI, ALICE and HALI at about equal numbers of parameters on MNIST: what reconstructions keep, level by level.",
    rows={
        row: recipes.ali_mnist(name=f"levels-{slug(row)}", game=game, networks=networks, steps=8000)
        for row, game in LEVELS.items()
        for networks in [Part("auto", width=32 if row.startswith("HALI") else 36, unary=True)]
    },
    columns={
        "mse": "squared error a pixel, lower level ↓",
        "features": "error in the classifier's features, lower level ↓",
        "digits": "digits right, lower level, % ↑",
        "upper_mse": "squared error a pixel, from z ↓",
        "upper_features": "error in the classifier's features, from z ↓",
        "upper_digits": "digits right, from z, % ↑",
        "frechet": "Frechet distance of samples ↓",
        "parameters": "million parameters",
    },
    trial=Levels,
    pictures=(Levels.draw,),
    quick=SMALL,
    measured="reconstructions of the first 5,000 test images by the means of the conditionals, samples drawn, at both "
    "levels where there are two; features and digits by interalia's own classifier, frozen",
    deviations="the recipe ali-mnist for all rows; HALI's levels (lower 128, upper 32 dimensions) have networks between "
    "them; games of one level have the same figures twice",
    seeds=2,
)
