"""The table of Adversarial Variational Bayes, with one decoder for all, and the VAE's plane of z."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from interalia.disk import write_json
from interalia.papers.experiment import Experiment, Job, Setting, Values, trained
from interalia.papers.inferring import QUICK_STEPS, on
from interalia.runs import Run, recipes
from interalia.training.callbacks.callback import Observer, due

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.games import Game, Outcome
    from interalia.training.state import Training

PAPER = "AVB"
STEPS = 100_000
LOOKS = 10  # points of a curve
HELD_OUT = 1000  # validation images that a curve is of

FULL = {"images": 10_000, "weights": 5000, "chains": 16, "temperatures": 1000, "simulated": 100}
CUT = {"images": 100, "weights": 5000, "chains": 8, "temperatures": 500, "simulated": 100}  # with --steps
CUT_CONVOLUTIONS = {**CUT, "chains": 4, "temperatures": 200, "simulated": 50}  # whose gradients take 30 times as long
QUICK = {"images": 4, "weights": 20, "chains": 2, "temperatures": 10, "simulated": 4}

DENSE = "fully connected"
KINDS = {
    DENSE: "avb(width=300, critic_width=512, features=1024, convolutions=False, quadratic='{quadratic}')",
    "narrow convolutions": "avb(width=16, critic_width=512, features=1024, quadratic='{quadratic}')",
    "convolutional": "avb(quadratic='{quadratic}')",
}
AVB, CONTRAST, WHOLE, VAE = (
    "avb(likelihood='bernoulli')",
    "avb(likelihood='bernoulli', contrast=True)",
    "avb(likelihood='bernoulli', contrast=True, correlated=True)",
    "vae(likelihood='bernoulli')",
)
ROWS: dict[str, tuple[str, str, int]] = {  # a row's name -> the game, the encoder and the dimensions of z
    "VAE, 8 latents": (VAE, "gaussian", 8),
    "VAE, 32 latents": (VAE, "gaussian", 32),
    "AVB, 8 latents": (AVB, "implicit(noise=32)", 8),
    "AVB + adaptive contrast, 8 latents": (CONTRAST, "spanned(noise=32, basis=16)", 8),
    "AVB + adaptive contrast, 32 latents": (CONTRAST, "spanned(noise=64, basis=32)", 32),
    "AVB + adaptive contrast with covariances, 8 latents": (WHOLE, "spanned(noise=32, basis=16)", 8),
    "AVB + adaptive contrast with covariances, 32 latents": (WHOLE, "spanned(noise=64, basis=32)", 32),
    "planar flows, 32 latents": (VAE, "planar(flows=40)", 32),
    "inverse autoregressive flow, 32 latents": (VAE, "iaf", 32),
    "auxiliary variables, 32 latents": (VAE, "auxiliary", 32),
    "Hamiltonian, 32 latents": (VAE, "hamiltonian(steps=8)", 32),
}


class Curve(Observer):
    """Notes the bound, as the game's loss has it, on validation images, a few times in a training, and how long it took.

    Arguments:
        path: where the points are kept, for a training that goes on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.points: list[tuple[float, float]] = []
        self.seconds = 0.0

    def start(self, training: Training) -> None:
        from interalia.data.store import as_tensor

        self.x = as_tensor(training.dataset.validation.x[:HELD_OUT])
        self.every = max(1, training.steps // LOOKS)
        self.seconds = training.seconds
        if self.path.exists():
            self.points = [(at, bound) for at, bound in json.loads(self.path.read_text()) if at <= training.step]

    def step(self, training: Training, outcome: Outcome) -> None:
        self.seconds = training.seconds
        if due(training.step, self.every, training.steps):
            self.points.append((float(training.step), told(training.sampled, self.x)))
            write_json(self.path, self.points)


def told(game: Game, x: Tensor, seed: int = 0) -> float:
    """The bound of these images, as the game's loss has it, nats."""
    from interalia.contexts import device_of, quietly

    with quietly(game, seed):
        parts = x.to(device_of(game)).split(250)
        return -sum(float(game(part).losses["autoencoder"]) * len(part) for part in parts) / len(x)


def jobs(setting: Setting) -> Iterator[Job]:
    """Seed by seed, every row of all three tables."""
    for seed in range(setting.seeds):
        for kind, networks in KINDS.items():
            for row, (game, encoder, latent) in ROWS.items():
                adversarial = game != VAE
                run = recipes.avb_mnist(
                    name=f"{kind}, {row}".lower().replace(" ", "-").replace(",", "").replace("-+", ""),
                    game=game,
                    encoder=encoder,
                    latent=latent,
                    networks=networks.format(quadratic="nowhere" if game in (CONTRAST, WHOLE) else "everywhere"),
                    rates={"critic": 0.001} if adversarial else {},
                    clip=1.0 if adversarial else 0.0,
                    seed=seed,
                )
                run = on(run, setting, STEPS)
                if setting.quick:
                    run = run.replace(networks="avb(width=16, critic_width=16, features=16)")
                yield Job(f"{kind}: {row}", seed, partial(work, run, kind, row, setting), run.steps or 0)
            if setting.quick:
                break


def work(run: Run, kind: str, row: str, setting: Setting) -> Values:
    """Trains one run; the bounds and the estimate of log p(x) on test images, and the curve of its validation bound."""
    from interalia.games.capabilities import Infers
    from interalia.metrics.likelihood import annealed_importance, elbo, importance_bound
    from interalia.reports import observed, plots

    cut = CUT if kind == DENSE else CUT_CONVOLUTIONS
    how = QUICK if setting.quick else cut if setting.steps else FULL
    curves = setting.folder / f"curves-{kind}".replace(" ", "-")
    noted = Curve(curves / f"{row}, seed {run.seed}.json")
    done, dataset = trained(run, setting, observers=[noted])
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for path in sorted(curves.glob("*.json")):
        found.setdefault(path.stem.rpartition(", seed ")[0], []).append(json.loads(path.read_text()))
    picture = setting.folder.parent / "pictures" / f"avb-mnist-{kind}.png".replace(" ", "-")
    plots.bands(found, picture, "steps", "bound on validation images, nats")
    x, binarised = observed(dataset, "test", how["images"], run.seed)
    values: dict[str, float] = {"hours": noted.seconds / 3600, "told": told(done.game, x, run.seed)}
    if isinstance(done.game, Infers) and done.game.encoder.density:
        bound = elbo(done.game, x, seed=run.seed, binarised=binarised)
        closer = importance_bound(done.game, x, how["weights"], seed=run.seed, binarised=binarised)
        if bound.interrupted or closer.interrupted:
            raise KeyboardInterrupt
        values |= {"elbo": bound.mean, "elbo_error": bound.error, "iwae": closer.mean, "iwae_error": closer.error}
    annealed = annealed_importance(
        done.game,
        x,
        chains=how["chains"],
        temperatures=how["temperatures"],
        simulated=how["simulated"],
        seed=run.seed,
        binarised=binarised,
    )
    check = annealed.check
    if annealed.interrupted or check is None or check.interrupted:  # what is there of it is no row
        raise KeyboardInterrupt
    each = annealed.values[annealed.rows.argsort()]  # by image: every row of a seed is measured on the same ones
    values |= {"ais": annealed.mean, "error": annealed.error, "gap": check.gap}
    return {**values, **against_vae(each, setting.folder / f"images-{kind}".replace(" ", "-"), row, run)}


def against_vae(each: Tensor, folder: Path, row: str, run: Run) -> Values:
    """By how much log p(x) exceeds the VAE's with as many latents, and the standard error of that mean, over differences on
    the same images; nothing for the VAE itself, whose values are kept for the others."""
    import torch

    from interalia.metrics.likelihood.estimate import standard_error

    vae = f"VAE, {run.latent} latents"
    write_json(folder / f"{row}, seed {run.seed}.json", each.tolist())
    path = folder / f"{vae}, seed {run.seed}.json"
    if row == vae or not path.exists():
        return {}
    apart = each - torch.tensor(json.loads(path.read_text()), dtype=each.dtype)
    return {"above": float(apart.mean()), "above_error": standard_error(apart)}


AVB_MNIST = Experiment(
    name="avb-mnist",
    about="Binarised MNIST: variational posteriors of every kind under one decoder, by annealed importance sampling.",
    jobs=jobs,
    columns={
        "told": "the loss's own bound, nats",
        "elbo": "ELBO, nats ↑",
        "elbo_error": "its standard error over images",
        "iwae": "importance-weighted bound, nats ↑",
        "iwae_error": "its standard error",
        "ais": "log p(x) by AIS, nats ↑",
        "error": "its standard error over images",
        "gap": "BDMC gap, nats ↓",
        "above": "log p(x) above that of the VAE with as many latents, nats",
        "above_error": "the standard error of this difference over images",
        "hours": "hours of training",
    },
    paper={
        "convolutional: VAE, 8 latents": {PAPER: {"elbo": "-98.1 ± .5", "ais": "-90.9 ± .6"}},
        "convolutional: VAE, 32 latents": {PAPER: {"elbo": "-87.2 ± .3", "ais": "-81.9 ± .4"}},
        "convolutional: AVB, 8 latents": {PAPER: {"told": "~-83.6 ± .4", "ais": "-91.2 ± .6"}},
        "convolutional: AVB + adaptive contrast, 8 latents": {PAPER: {"told": "~-96.3 ± .4", "ais": "-89.6 ± .6"}},
        "convolutional: AVB + adaptive contrast, 32 latents": {PAPER: {"told": "~-79.5 ± .3", "ais": "-80.2 ± .4"}},
    },
    protocol=(
        "MNIST, every pixel drawn anew in each batch to train on, and once, by a fixed seed, to measure on. All "
        "rows of a table "
        "have the same decoder, prior, rates and length (the recipe avb-mnist: Adam 5e-4, the critic 1e-3, "
        "falling to 0 from "
        f"half of the {STEPS:,} steps of 128 on, averaged weights): three layers of 300 ELU units, AVB's "
        "convolutions with a quarter of their maps, or these themselves. The "
        "paper's VAE has another decoder than its AVB, and its AIS is of 1,280 or 2,560 images. The loss's own "
        "bound of AVB "
        "rests on its critic and is no bound. AVB's gradients, each player's, are clipped to a norm of 1, and under "
        "adaptive contrast its critic has no term |z|^2 / 2. ELBO: "
        f"100 draws an image; importance-weighted: {FULL['weights']:,}; AIS: "
        f"{FULL['chains']} chains, {FULL['temperatures']:,} temperatures, 10 leapfrog steps, from the Gaussian of the "
        f"encoder's moments; all {FULL['images']:,} test images. With --steps: {CUT['images']} test images, {CUT['chains']} "
        f"chains, {CUT['temperatures']} temperatures; of convolutions {CUT_CONVOLUTIONS['chains']} and "
        f"{CUT_CONVOLUTIONS['temperatures']}. The gap is that of the bidirectional check on {FULL['simulated']} simulated "
        f"images, of convolutions with --steps {CUT_CONVOLUTIONS['simulated']}."
    ),
    quick_protocol=f"scikit-learn's 8x8 digits, narrow networks, {QUICK_STEPS} steps, {QUICK['images']} images: it shows the "
    f"table's shape.",
    seeds=1,
)


# ---- the plane of z

LATENTS = (2, 5, 10, 20)
PLANE_STEPS = 8000


def plane_jobs(setting: Setting) -> Iterator[Job]:
    """A VAE of each number of latents."""
    for seed in range(setting.seeds):
        for latent in LATENTS:
            run = on(recipes.vae_mnist(name=f"vae-{latent}", latent=latent, seed=seed), setting, PLANE_STEPS)
            yield Job(f"{latent} latents", seed, partial(plane_work, run, setting), run.steps or 0)


def plane_work(run: Run, setting: Setting) -> Values:
    """Trains one run; samples, the plane of a two-dimensional z, and the bound."""
    from interalia import tasks
    from interalia.metrics.likelihood import elbo
    from interalia.reports import observed, plots

    done, dataset = trained(run, setting)
    pictures = setting.folder.parent / "pictures"
    plots.grid(tasks.generate(done.game, 100, run.seed).numpy(), pictures / f"{run.name}-samples.png", columns=10)
    if run.latent == 2:
        plane = tasks.manifold(done.game, 20, run.seed)
        plots.grid(plane.flatten(0, 1).numpy(), pictures / f"{run.name}-plane.png", columns=20)
    x, binarised = observed(dataset, "test", 50 if setting.quick else 1000, run.seed)
    found = elbo(done.game, x, samples=10, seed=run.seed, binarised=binarised)
    if found.interrupted:
        raise KeyboardInterrupt
    return {"elbo": found.mean, "error": found.error}


VAE_MANIFOLD = Experiment(
    name="vae-manifold",
    about="VAEs of 2, 5, 10 and 20 latents on MNIST: samples of each, and the plane of z of the first.",
    jobs=plane_jobs,
    columns={"elbo": "ELBO of test images, nats ↑", "error": "its standard error over images"},
    paper={},
    protocol=(
        f"The recipe vae-mnist (pixels drawn anew in each batch), {PLANE_STEPS:,} steps of 128. The paper has "
        "pictures alone: its "
        f"figures 4 and 5, of grey MNIST and networks of 500 hidden units. ELBO: 10 draws for each of 1,000 test images, "
        f"binarised once. The plane: 20x20 places, evenly spaced in probability."
    ),
    quick_protocol=f"scikit-learn's 8x8 digits, small networks, {QUICK_STEPS} steps: it shows the table's shape.",
    seeds=1,
)
