"""Likelihoods of held-out data: bounds and estimates where the model has a density, kernel density estimates where not."""

from __future__ import annotations

from interalia.metrics.likelihood.kernel import (
    GRID,
    Likelihood,
    cross_validated_bandwidth,
    held_out_bandwidth,
    kernel_likelihood,
    log_densities,
)

__all__ = [
    "GRID",
    "Likelihood",
    "cross_validated_bandwidth",
    "held_out_bandwidth",
    "kernel_likelihood",
    "log_densities",
]
