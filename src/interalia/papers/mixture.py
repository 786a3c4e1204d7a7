"""A grid of 25 and a ring of 8 Gaussians: the modes that games keep, and their inference."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from interalia import metrics, tasks
from interalia.papers import gaussian
from interalia.papers.experiment import Values, slug, texts
from interalia.papers.study import Mixed, Plane, Row, Rows, Study
from interalia.registry import Part
from interalia.runs import recipes

DATA = {"grid": "grid25", "ring": "ring8"}
PUBLISHED = 400_000  # PacGAN's 400 epochs
OURS: Mapping[str, Any] = {
    "networks": Part("ali-mixture", width=128, critic_width=128, pieces=2), "weight_average": "ema(0.999)",
    "recalibrate_bn": 200,
    "optimizer": Part("adam", lr=0.001, beta1=0.5, beta2=0.99), "schedule": Part("linear", start=0.5, final=0.0),
    "steps": 10_000,
}  # fmt: skip
F_DIVERGENCES = [name for name in gaussian.F_DIVERGENCES if name != "gan"]

# ---- ALI and GAN as published

SETTINGS = (
    (0.0001, 0.8),
    (0.0001, 0.2),
    (0.001, 0.5),
)  # Adam's learning rate and beta1: both readings of the paper, and ours

MIXTURE_25 = Study(
    **texts("mixture-25"),
    rows={
        f"{name}, Adam {rate}, beta1 {beta1}": recipe(
            name=f"{name.lower()}-grid25-rate-{rate}-beta1-{beta1}",
            optimizer=Part("adam", lr=rate, beta1=beta1, beta2=0.999),
            steps=PUBLISHED,
        )
        for rate, beta1 in SETTINGS
        for name, recipe in (("ALI", recipes.ali_grid25), ("GAN", recipes.gan_grid25))
    },
    trial=Mixed,
    quick={"steps": 300},
    checkpoint_every=10_000,
)

# ---- GANs under every divergence

BEST = "f-GAN, pearson"  # among GAN, LSGAN and this one, by 2,500 samples of one seed each on the grid at 24,000 steps
FIVE_TO_ONE = Part("alternating", turns={"critic": 5, "generator": 1})
GANS: Mapping[str, Mapping[str, Any]] = {  # name of a row -> changes to our setting
    "GAN": {"divergence": "gan"},
    "LSGAN": {"divergence": "least-squares"},
    "WGAN-GP": {"divergence": "wasserstein", "penalty": Part("wgan-gp", weight=1.0), "dynamics": FIVE_TO_ONE},
    "relativistic": {"divergence": "relativistic"},
    **{f"f-GAN, {name}": {"divergence": name} for name in F_DIVERGENCES},
}


def gans() -> Rows:
    """Returns the rows of `mixture-gan`."""
    rows = {}
    for short, data in DATA.items():
        name = f"gan-{data}-pacgan-rate-0.0001-beta1-0.8"
        rows[f"{short}: GAN, published setting"] = Row(recipes.gan_grid25(name=name, data=data, steps=PUBLISHED))
        for member, changes in GANS.items():
            own = {"penalty": Part("r1r2", gamma=0.01), **OURS, **changes}
            name = f"{slug(member)}-{data}-rate-0.001-beta1-0.5"
            rows[f"{short}: {member}"] = Row(recipes.gan_grid25(name=name, data=data, **own))
        long = rows[f"{short}: {BEST}"].run.replace(name=f"best-{data}-rate-0.001-beta1-0.5", steps=100_000)
        rows[f"{short}: {BEST}, 100,000 steps"] = Row(long, full=True)
    return rows


MIXTURE_GAN = Study(
    **texts("mixture-gan", counted=MIXTURE_25.measured),
    rows=gans(),
    trial=Mixed,
    quick={"steps": 60},
    checkpoint_every=5000,
    shortens=True,
    seeds=10,
)

# ---- inference

ALONE = {"penalty": "none", "optimizer": Part("adam", lr=0.001, beta1=0.5, beta2=0.999)}  # for games without a critic
LONGER = ("ALI", "ALICE, pearson")  # ALI, and ALICE with the best divergence of mixture-gan
METHODS: Mapping[str, Mapping[str, Any]] = {  # name of a row -> changes to our setting
    "ALI": {},
    "BiGAN": {"encoder": "deterministic"},
    "ALICE": {"game": Part("alice", cycle=1.0)},
    "adversarial ALICE": {"game": "alice-adversarial", "networks": Part("alice-toy", width=128)},
    **{f"ALI, {name}": {"divergence": name} for name in F_DIVERGENCES},
    "ALI, relativistic": {"divergence": "relativistic"},
    "ALICE, pearson": {"game": Part("alice", cycle=1.0), "divergence": "pearson"},
    "GAN": {"game": "gan"},
    "latent regressor of that GAN": {"game": "latent-regressor", **ALONE},
    "ALI after that GAN": {"game": "posthoc-ali"},
    "VAE": {"game": Part("vae", sigma=0.05), **ALONE},
}


def methods() -> Rows:
    """Returns the rows of `mixture-ali`."""
    rows = {}
    for short, data in DATA.items():
        quick, after = short == "grid", f"{short}: GAN"
        published = recipes.ali_grid25(name=f"ali-{data}-pacgan", data=data, steps=PUBLISHED)
        rows[f"{short}: ALI, published setting"] = Row(published, quick=quick)
        for member, changes in METHODS.items():
            # strong at first, so that no mode is lost; then weak
            own = {"encoder": "gaussian", "penalty": Part("r1r2", gamma=1.0, final=0.001), **OURS, **changes}
            run = recipes.ali_grid25(name=f"{slug(member)}-{data}", data=data, **own)
            rows[f"{short}: {member}"] = Row(run, after=after if "that GAN" in member else None, quick=quick)
        for member in LONGER:
            run = rows[f"{short}: {member}"].run.replace(name=f"long-{slug(member)}-{data}", steps=60_000)
            rows[f"{short}: {member}, 60,000 steps"] = Row(run, full=True)
    return rows


class Inferred(Plane):
    """The reconstruction error of a mixture in the plane, and the discrepancy between q(z) and p(z)."""

    discrepancy_count = 2000  # draws for the MMD

    @cached_property
    def values(self) -> Values:
        """The reconstruction error, and MMD^2 of q(z) and p(z) with a kernel narrow enough for holes that moments miss."""
        if not self.infers:
            return {}
        z = tasks.sample_latents(self.game, self.discrepancy_count, self.seed + 1)
        mmd = metrics.maximum_mean_discrepancy(self.z_hat[: self.discrepancy_count], z, 0.25)
        return {"mse": self.mse, "mmd": mmd}


MIXTURE_ALI = Study(
    **texts("mixture-ali", counted=MIXTURE_25.measured, draws=Inferred.discrepancy_count),
    rows=methods(),
    trial=Inferred,
    quick={"steps": 40},
    checkpoint_every=5000,
    shortens=True,
    seeds=10,
)
