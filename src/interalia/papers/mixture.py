"""GANs and ALI on a grid of 25 and a ring of 8 Gaussians: how many modes their samples have, and what latents ALI infers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from interalia import metrics, tasks
from interalia.papers.experiment import Values, all_texts, changes, slug, texts
from interalia.papers.study import Mixed, Plane, Row, Rows, Study, rows_of
from interalia.runs import recipes

DATA = {"grid": "grid25", "ring": "ring8"}
PUBLISHED = 400_000  # PacGAN's 400 epochs
OURS: Mapping[str, Any] = all_texts()["mixture-gan"]["runs"]["ours"]

MIXTURE_25 = Study(**texts("mixture-25"), rows=rows_of("mixture-25"), trial=Mixed)

BEST = "f-GAN, pearson"  # among GAN, LSGAN and this one, by 2,500 samples of one seed each on the grid at 24,000 steps


def gans() -> Rows:
    """Returns name -> row of mixture-gan, such as "grid: f-GAN, pearson": GANs with each divergence, on both mixtures."""
    rows = {}
    for short, data in DATA.items():
        name = f"gan-{data}-pacgan-rate-0.0001-beta1-0.8"
        rows[f"{short}: GAN, published setting"] = Row(recipes.gan_grid25(name=name, data=data, steps=PUBLISHED))
        for member, fields in changes("mixture-gan", "methods").items():
            own = {"penalty": "r1r2(gamma=0.01)", **OURS, **fields}
            name = f"{slug(member)}-{data}-rate-0.001-beta1-0.5"
            rows[f"{short}: {member}"] = Row(recipes.gan_grid25(name=name, data=data, **own))
        long = rows[f"{short}: {BEST}"].run.replace(name=f"best-{data}-rate-0.001-beta1-0.5", steps=100_000)
        rows[f"{short}: {BEST}, 100,000 steps"] = Row(long, full=True)
    return rows


MIXTURE_GAN = Study(**texts("mixture-gan", counted=MIXTURE_25.measured), rows=gans(), trial=Mixed)

LONGER = ("ALI", "ALICE, pearson")  # ALI, and ALICE with the best divergence of mixture-gan


def methods() -> Rows:
    """Returns name -> row of mixture-ali, such as "ring: ALI": games with encoders, on both mixtures."""
    rows = {}
    for short, data in DATA.items():
        quick, after = short == "grid", f"{short}: GAN"
        published = recipes.ali_grid25(name=f"ali-{data}-pacgan", data=data, steps=PUBLISHED)
        rows[f"{short}: ALI, published setting"] = Row(published, quick=quick)
        for member, fields in changes("mixture-ali", "methods").items():
            # strong at first, so that no mode is lost; then weak
            own = {"encoder": "gaussian", "penalty": "r1r2(gamma=1.0, final=0.001)", **OURS, **fields}
            run = recipes.ali_grid25(name=f"{slug(member)}-{data}", data=data, **own)
            rows[f"{short}: {member}"] = Row(run, after=after if "that GAN" in member else None, quick=quick)
        for member in LONGER:
            run = rows[f"{short}: {member}"].run.replace(name=f"long-{slug(member)}-{data}", steps=60_000)
            rows[f"{short}: {member}, 60,000 steps"] = Row(run, full=True)
    return rows


class Inferred(Plane):
    """One trained run of the experiment mixture-ali, evaluated by its reconstructions and inferred latents."""

    discrepancy_count = 2000  # draws for the MMD

    @cached_property
    def values(self) -> Values:
        """Column -> value: `mmd`, the squared maximum mean discrepancy (MMD) between inferred latents and samples of the
        prior p(z); empty without an encoder.
        """
        if not self.infers:
            return {}
        z = tasks.sample_latents(self.game, self.discrepancy_count, self.seed + 1)
        return {"mmd": metrics.maximum_mean_discrepancy(self.z_hat[: self.discrepancy_count], z, 0.25)}


MIXTURE_ALI = Study(
    **texts("mixture-ali", counted=MIXTURE_25.measured, draws=Inferred.discrepancy_count),
    rows=methods(),
    trial=Inferred,
)
