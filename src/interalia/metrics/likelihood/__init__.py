"""Log-likelihoods of held-out data: bounds and estimates for games with a density, kernel density estimates for others.

`REGISTRY` maps the estimators' names to functions, for ``interalia likelihood`` and ``interalia list likelihoods``.
"""

from __future__ import annotations

from collections.abc import Callable

from interalia.metrics.likelihood.annealing import annealed_importance, bidirectional_check
from interalia.metrics.likelihood.bounds import elbo, importance_bound
from interalia.metrics.likelihood.estimate import Estimate, Sandwich
from interalia.metrics.likelihood.kernel import (
    GRID,
    Likelihood,
    cross_validated_bandwidth,
    held_out_bandwidth,
    kernel_estimate,
    kernel_likelihood,
    log_densities,
)
from interalia.registry import Registry

REGISTRY: Registry[Callable[..., Estimate]] = Registry(
    "likelihoods", {"elbo": elbo, "iwae": importance_bound, "ais": annealed_importance, "kde": kernel_estimate}
)

__all__ = [
    "GRID", "REGISTRY", "Estimate", "Likelihood", "Sandwich", "annealed_importance", "bidirectional_check",
    "cross_validated_bandwidth", "elbo", "held_out_bandwidth", "importance_bound", "kernel_estimate",
    "kernel_likelihood", "log_densities",
]  # fmt: skip
