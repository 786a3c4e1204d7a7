"""Two experiments on MNIST: Adversarial Variational Bayes (AVB) against other posteriors, and VAEs' grids of latents."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import torch
from msgspec import Meta
from torch import Tensor

from interalia import tasks
from interalia.disk import write_json
from interalia.metrics import likelihood
from interalia.metrics.likelihood.estimate import standard_error
from interalia.papers.experiment import Setting, Values, all_texts, changes, slug, texts, train, uninterrupted
from interalia.papers.study import Row, Study, Trial, draw_curves
from interalia.registry import Part
from interalia.reports import binarized_images, plots
from interalia.runs import Run, recipes, schemas
from interalia.training.callbacks import Curve

if TYPE_CHECKING:
    from interalia.games import Game

STEPS = 100_000
DENSE = "fully connected"
ESTIMATES = all_texts()["avb-mnist"]["runs"]["estimates"]


def rows() -> dict[str, Row]:
    """Returns name -> row of the experiment avb-mnist, one row for each kind of networks and each method: a game with its
    encoder and its number of latents. The name has both, such as "fully connected: VAE, 8 latents".
    """
    found = {}
    kinds = all_texts()["avb-mnist"]["runs"]["networks"]
    for (kind, text), (row, own) in itertools.product(kinds.items(), changes("avb-mnist", "methods").items()):
        networks = Part(text, quadratic="nowhere" if "contrast" in own["game"] else "everywhere")
        run = recipes.avb_mnist(name=slug(f"{kind}, {row}"), networks=networks, **{"lr": None, "steps": STEPS, **own})
        found[f"{kind}: {row}"] = Row(run, quick=kind == DENSE, before=[f"{kind}: VAE, {run.latent_dim} latents"])
    return found


def training_bound(game: Game, x: Tensor, seed: int = 0) -> float:
    """Returns minus the training loss of encoder and decoder of a VAE or AVB: a lower bound of log p(x), as a mean over
    images x, shape (n, *shape), in nats. z is sampled once for each image, with the random seed `seed`.
    """
    with tasks.evaluating(game, seed):
        parts = x.to(tasks.device_of(game)).split(250)
        return -sum(float(game(part).losses["autoencoder"]) * len(part) for part in parts) / len(x)


class Posterior(Trial):
    """One trained run of the experiment avb-mnist, a VAE or AVB, with bounds and an estimate of log p(x) of test images."""

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        """Trains the run of the row `row` and returns its trial. The lower bound of log p(x) that it is trained by is
        computed on 1,000 validation images at ten steps, and written to a JSON file in a subfolder of `setting.folder`, which
        rows with the same kind of networks share. The trial's `facts` are "curves", this folder, and "hours" of training; the
        argument `facts` is not used.
        """
        kind, _, short = row.partition(": ")
        folder = setting.folder / f"curves-{kind}".replace(" ", "-")
        curve = Curve(training_bound, "validation", 1000, 10, folder / f"{short}, seed {run.seed}.json")
        done, dataset = train(run, setting, callbacks=[curve])
        return cls(row, run, setting, {"curves": folder, "hours": curve.seconds / 3600}, dataset, done)

    @cached_property
    def how(self) -> Mapping[str, int]:
        """The numbers for the estimates of log p(x), by name: "images" evaluated, importance "weights" per image, and for
        annealed importance sampling "chains" per image, "temperatures", and "simulated" images of its check. They are smaller
        with the option `steps`, and smallest in a smoke test.
        """
        shortened = "shortened" if self.row.startswith(DENSE) else "slow"
        return ESTIMATES["quick" if self.quick else shortened if self.setting.steps else "full"]

    @cached_property
    def values(self) -> Values:
        """Column -> value: bounds and estimates of the mean log p(x) of test images, in nats, and `hours` of training. `told`
        is minus the training loss; `elbo` and `iwae`, the evidence and the importance-weighted lower bound, are missing if
        q(z | x) has no density. `ais` is the estimate by annealed importance sampling (AIS), `gap` the upper minus the lower
        bound of its check on simulated images. `above` is `ais` minus that of the VAE with as many latents, missing for this
        VAE and before it is finished. `elbo_error`, `iwae_error`, `error` (of `ais`) and `above_error` are standard errors.
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
        """Draws curves of the bound of log p(x) on validation images against the step into a PNG file, for all rows trained
        so far that have the same kind of networks, such as "fully connected". Each of these rows draws the whole file again.
        """
        picture = self.setting.pictures / f"avb-mnist-{self.row.partition(': ')[0]}.png".replace(" ", "-")
        draw_curves(self.facts["curves"], picture, "steps", "bound on validation images, nats")


def against_vae(each: Tensor, folder: Path, row: str, run: Run) -> Values:
    """Returns {"above": difference, "above_error": its standard error}, in nats: the mean over images of log p(x) of a game
    minus log p(x) of the VAE with as many latents and the same seed. `each` is log p(x) of each image by the game with the
    run `run`, shape (n,), and `row` the name of its row without the kind of networks. It is written to a file in `folder`,
    from which that of the VAE is read. The result is empty for the VAE itself, and if the VAE has no file yet.
    """
    vae = f"VAE, {run.latent_dim} latents"
    write_json(folder / f"{row}, seed {run.seed}.json", each.tolist())
    path = folder / f"{vae}, seed {run.seed}.json"
    if row == vae or not path.exists():
        return {}
    as_many = Annotated[list[float], Meta(min_length=len(each), max_length=len(each))]
    difference = each - torch.tensor(schemas.read(path, as_many), dtype=each.dtype)
    return {"above": float(difference.mean()), "above_error": standard_error(difference)}


AVB_MNIST = Study(**texts("avb-mnist", **ESTIMATES), rows=rows(), trial=Posterior)


class Plane(Trial):
    """One trained run of the experiment vae-manifold: a VAE with its evidence lower bound (ELBO), samples and latent grid."""

    @cached_property
    def values(self) -> Values:
        """Column -> value, in nats: `elbo`, the mean ELBO of test images; `error`, its standard error over these images."""
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
