"""Metrics of trained games, each with its unit and with whether lower or higher values are better.

`REGISTRY` maps each metric's name to its `Metric`: `evaluate`, trainings, reports and ``interalia list metrics`` read
it. The decorator `metric` adds one. This module needs neither torch nor numpy; metrics import them when they are
computed.
"""

from __future__ import annotations

from interalia import lazy_getattr
from interalia.metrics import definitions  # noqa: F401  # fills the registry
from interalia.metrics.entries import REGISTRY, Group, Metric, Need, Tile, metric

REGISTRY.make_built_in()

_HOMES = {
    "extractors": ["Extractor", "RandomConvolutions", "Identity", "Inception", "extractor_for"],
    "classifier": ["Classifier"],
    "distances": ["frechet", "frechet_distance", "kernel_distance", "inception_score", "maximum_mean_discrepancy"],
    "coverage": ["precision_recall_density_coverage", "mixture_coverage"],
    "inference": [
        "reconstruction", "nearest_neighbour_accuracy", "nearest_neighbour_labels", "balanced_accuracy",
        "linear_probe_accuracy", "svm_errors", "posterior_moments",
        "expected_kl", "marginal_kl", "latent_reconstruction",
    ],
    "codes": ["matching", "code_error", "code_bounds", "mutual_information"],
    "similarity": ["peak_signal_to_noise", "structural_similarity"],
    "likelihood": [
        "Estimate", "Sandwich", "elbo", "importance_bound", "annealed_importance", "bidirectional_check",
        "kernel_estimate", "Likelihood", "kernel_likelihood", "log_densities", "cross_validated_bandwidth",
        "held_out_bandwidth",
    ],
    "evidence": ["Evidence", "Comparison", "Points"],
    "evaluation": ["MetricValue", "evaluate", "compute_metrics", "training_metrics"],
}  # fmt: skip

__all__ = [
    "REGISTRY",
    "Group",
    "Metric",
    "Need",
    "Tile",
    "metric",
    *(name for names in _HOMES.values() for name in names),
]
__getattr__ = lazy_getattr(__name__, _HOMES)
