"""A custom recipe, which names the parts of the package."""

from __future__ import annotations

from typing import Any

from interalia import Run


def crescents(**overrides: Any) -> Run:
    """ALI with three critics on two crescents, with the parts of this package."""
    run = Run(
        name="crescents", data="crescents", game="ali-ensemble(critics=3)", divergence="le-cam", networks="sines",
        latent_dim=2, monitor="energy_distance", penalty="r1(gamma=0.1)", optimizer="adam(lr=0.001)", steps=2000,
    )  # fmt: skip
    return run.replace(**overrides)
