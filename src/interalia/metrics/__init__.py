"""Metrics of trained games, each with its unit and with whether lower or higher values are better.

`REGISTRY` maps each metric's name to its `Metric`: `evaluate`, trainings, reports and ``interalia list metrics`` read
it. The decorator `metric` adds one. This module needs neither torch nor numpy; metrics import them when they are
computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interalia import lazy_names
from interalia.metrics import definitions  # noqa: F401  # fills the registry
from interalia.metrics.entries import REGISTRY, Group, Metric, Need, Tile, metric

if TYPE_CHECKING:
    from interalia.metrics.classifier import Classifier
    from interalia.metrics.codes import code_bounds, code_error, matching, mutual_information
    from interalia.metrics.coverage import mixture_coverage, precision_recall_density_coverage
    from interalia.metrics.distances import (
        frechet,
        frechet_distance,
        inception_score,
        kernel_distance,
        maximum_mean_discrepancy,
    )
    from interalia.metrics.evaluation import MetricValue, compute_metrics, evaluate, training_metrics
    from interalia.metrics.evidence import Comparison, Evidence, Points
    from interalia.metrics.extractors import Extractor, Identity, Inception, RandomConvolutions, extractor_for
    from interalia.metrics.inference import (
        balanced_accuracy,
        expected_kl,
        latent_reconstruction,
        linear_probe_accuracy,
        linear_probe_labels,
        marginal_kl,
        nearest_neighbour_accuracy,
        nearest_neighbour_labels,
        posterior_moments,
        reconstruction,
        svm_errors,
    )
    from interalia.metrics.likelihood import (
        Estimate,
        Likelihood,
        Sandwich,
        annealed_importance,
        bidirectional_check,
        cross_validated_bandwidth,
        elbo,
        held_out_bandwidth,
        importance_bound,
        kernel_estimate,
        kernel_likelihood,
        log_densities,
    )
    from interalia.metrics.similarity import peak_signal_to_noise, structural_similarity

REGISTRY.make_built_in()

_HOMES = {
    "extractors": ["Extractor", "RandomConvolutions", "Identity", "Inception", "extractor_for"],
    "classifier": ["Classifier"],
    "distances": ["frechet", "frechet_distance", "kernel_distance", "inception_score", "maximum_mean_discrepancy"],
    "coverage": ["precision_recall_density_coverage", "mixture_coverage"],
    "inference": [
        "reconstruction", "nearest_neighbour_accuracy", "nearest_neighbour_labels", "balanced_accuracy",
        "linear_probe_accuracy", "linear_probe_labels", "svm_errors", "posterior_moments",
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
    "REGISTRY", "Classifier", "Comparison", "Estimate", "Evidence", "Extractor", "Group", "Identity", "Inception",
    "Likelihood", "Metric", "MetricValue", "Need", "Points", "RandomConvolutions", "Sandwich", "Tile",
    "annealed_importance", "balanced_accuracy", "bidirectional_check", "code_bounds", "code_error", "compute_metrics",
    "cross_validated_bandwidth", "elbo", "evaluate", "expected_kl", "extractor_for", "frechet", "frechet_distance",
    "held_out_bandwidth", "importance_bound", "inception_score", "kernel_distance", "kernel_estimate",
    "kernel_likelihood", "latent_reconstruction", "linear_probe_accuracy", "linear_probe_labels", "log_densities",
    "marginal_kl", "matching",
    "maximum_mean_discrepancy", "metric", "mixture_coverage", "mutual_information", "nearest_neighbour_accuracy",
    "nearest_neighbour_labels", "peak_signal_to_noise", "posterior_moments", "precision_recall_density_coverage",
    "reconstruction", "structural_similarity", "svm_errors", "training_metrics",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
