"""Two experiments on MNIST: Adversarial Variational Bayes compared with other posteriors, and the latent grid of VAEs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from interalia import tasks
from interalia.disk import write_json
from interalia.metrics import likelihood
from interalia.metrics.likelihood.estimate import standard_error
from interalia.papers.experiment import Setting, Values, all_texts, changes, slug, texts, train, uninterrupted
from interalia.papers.study import Row, Study, Trial, draw_curves
from interalia.registry import Part
from interalia.reports import binarized_images, plots
from interalia.runs import Run, recipes
from interalia.training.callbacks import Curve

if TYPE_CHECKING:
    from interalia.games import Game

STEPS = 100_000
FULL = {"images": 10_000, "weights": 5000, "chains": 16, "temperatures": 1000, "simulated": 100}
SHORTENED = {"images": 100, "weights": 5000, "chains": 8, "temperatures": 500, "simulated": 100}  # with --steps
# the gradients of convolutions take 30 times as long
SHORTENED_CONVOLUTIONS = SHORTENED | {"chains": 4, "temperatures": 200, "simulated": 50}
QUICK = {"images": 4, "weights": 20, "chains": 2, "temperatures": 10, "simulated": 4}

DENSE = "fully connected"


def rows() -> dict[str, Row]:
    """Returns name -> row for each kind of networks with each method, such as "fully connected: VAE, 8 latents"."""
    found = {}
    kinds = all_texts()["avb-mnist"]["runs"]["networks"]
    for (kind, text), (row, own) in itertools.product(kinds.items(), changes("avb-mnist", "methods").items()):
        networks = Part(text, quadratic="nowhere" if "contrast" in own["game"] else "everywhere")
        run = recipes.avb_mnist(name=slug(f"{kind}, {row}"), networks=networks, **{"lr": None, "steps": STEPS, **own})
        found[f"{kind}: {row}"] = Row(run, quick=kind == DENSE)
    return found


def training_bound(game: Game, x: Tensor, seed: int = 0) -> float:
    """Returns the mean of the training loss's lower bound of log p(x) over images x, in nats; z is sampled with `seed`."""
    with tasks.evaluating(game, seed):
        parts = x.to(tasks.device_of(game)).split(250)
        return -sum(float(game(part).losses["autoencoder"]) * len(part) for part in parts) / len(x)


class Posterior(Trial):
    """One trained run of the experiment avb-mnist, with bounds and an estimate of log p(x) of test images."""

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        """Trains the run, records its bound on 1,000 validation images at ten steps, and returns its trial.

        The trial's `facts` are "curves", the folder of the recorded values, and "hours" of training; the argument `facts` is
        not used.
        """
        kind, _, short = row.partition(": ")
        folder = setting.folder / f"curves-{kind}".replace(" ", "-")
        curve = Curve(training_bound, "validation", 1000, 10, folder / f"{short}, seed {run.seed}.json")
        done, dataset = train(run, setting, callbacks=[curve])
        return cls(row, run, setting, {"curves": folder, "hours": curve.seconds / 3600}, dataset, done)

    @cached_property
    def how(self) -> Mapping[str, int]:
        """The arguments of the estimates: numbers of `images`, importance `weights`, `chains`, `temperatures`, `simulated`
        images. They are smaller with the option `steps`, and smallest in a smoke test.
        """
        shortened = SHORTENED if self.row.startswith(DENSE) else SHORTENED_CONVOLUTIONS
        return QUICK if self.quick else shortened if self.setting.steps else FULL

    @cached_property
    def values(self) -> Values:
        """Column -> value: bounds of log p(x) and its estimate `ais`, in nats, with standard errors, and the `hours` of
        training. The bounds are `told`, by the training loss, and `elbo` and `iwae` (importance-weighted), both missing if
        q(z | x) has no density. `ais` is by annealed importance sampling, and `gap` that of its check; `above` is that of
        `against_vae`.
        """
        how, seed = self.how, self.seed
        x, binarized = binarized_images(self.dataset, "test", how["images"], seed)
        rule: dict[str, Any] = {"seed": seed, "binarized": binarized}
        values = {"hours": self.facts["hours"], "told": training_bound(self.game, x, seed)}
        if self.game.encoder.has_density:
            bound = uninterrupted(likelihood.elbo(self.game, x, **rule))
            closer = uninterrupted(likelihood.importance_bound(self.game, x, how["weights"], **rule))
            values |= {"elbo": bound.mean, "elbo_error": bound.error, "iwae": closer.mean, "iwae_error": closer.error}
        settings: dict[str, Any] = {key: how[key] for key in ("chains", "temperatures", "simulated")}
        annealed = uninterrupted(likelihood.annealed_importance(self.game, x, **settings, **rule))
        each = annealed.values[annealed.rows.argsort()]  # by image: all rows of a seed use the same ones
        values |= {"ais": annealed.mean, "error": annealed.error, "gap": uninterrupted(annealed.check).gap}
        kind, _, short = self.row.partition(": ")
        folder = self.setting.folder / f"images-{kind}".replace(" ", "-")
        return {**values, **against_vae(each, folder, short, self.run)}

    def draw(self) -> None:
        """Draws the bound on validation images against the step, for all trained rows with the same kind of networks."""
        picture = self.setting.pictures / f"avb-mnist-{self.row.partition(': ')[0]}.png".replace(" ", "-")
        draw_curves(self.facts["curves"], picture, "steps", "bound on validation images, nats")


def against_vae(each: Tensor, folder: Path, row: str, run: Run) -> Values:
    """Returns `above`, the mean of log p(x) minus that of the VAE with as many latents, and its standard error `above_error`.

    `each` is log p(x) of each image in nats, shape (n,), and is saved in `folder`, from which that of the VAE is read. The
    result is empty for the VAE itself, and if its file does not exist.
    """
    vae = f"VAE, {run.latent_dim} latents"
    write_json(folder / f"{row}, seed {run.seed}.json", each.tolist())
    path = folder / f"{vae}, seed {run.seed}.json"
    if row == vae or not path.exists():
        return {}
    difference = each - torch.tensor(json.loads(path.read_text()), dtype=each.dtype)
    return {"above": float(difference.mean()), "above_error": standard_error(difference)}


AVB_MNIST = Study(
    **texts("avb-mnist", full=FULL, shortened=SHORTENED, slow=SHORTENED_CONVOLUTIONS), rows=rows(), trial=Posterior
)


class Plane(Trial):
    """One trained run of the experiment vae-manifold: a VAE with its evidence lower bound (ELBO), samples and latent grid."""

    @cached_property
    def values(self) -> Values:
        """Column -> value: `elbo`, the mean evidence lower bound of test images, and its standard error `error`, in nats."""
        x, binarized = binarized_images(self.dataset, "test", 50 if self.quick else 1000, self.seed)
        found = uninterrupted(likelihood.elbo(self.game, x, samples=10, seed=self.seed, binarized=binarized))
        return {"elbo": found.mean, "error": found.error}

    def draw(self) -> None:
        """Draws 100 samples, and if z has two dimensions the images decoded from a 20 x 20 grid of z, into PNG files."""
        samples = tasks.generate(self.game, 100, self.seed).numpy()
        plots.grid(samples, self.picture("-samples"), columns=10)
        if self.run.latent_dim == 2:
            plane = tasks.manifold(self.game, 20, self.seed)
            plots.grid(plane.flatten(0, 1).numpy(), self.picture("-plane"), columns=20)


VAE_MANIFOLD = Study(
    **texts("vae-manifold"),
    rows={f"{z} latents": recipes.vae_mnist(name=f"vae-{z}", latent_dim=z, steps=8000) for z in (2, 5, 10, 20)},
    trial=Plane,
)
