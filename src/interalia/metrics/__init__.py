"""How good a trained game is: what is measured, in which unit, and which way is better.

`REGISTRY` is read by ``interalia list metrics``, by the choice of the best checkpoint and by `evaluate`, whose names
are its keys. It needs neither torch nor numpy; the functions are imported when they are first asked for.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from interalia.registry import Registry


@dataclass(frozen=True)
class Metric:
    """What is known of a measure before anything is measured.

    Attributes:
        about: one sentence.
        better: which way is better; None where neither is, as for a baseline or a floor.
        unit: the unit of the value, empty for a plain number.
    """

    about: str
    better: Literal["lower", "higher"] | None = None
    unit: str = ""


REGISTRY: Registry[Metric] = Registry(
    "metrics",
    {
        # inference: does the encoder invert the decoder?
        "reconstruction_error": Metric("Mean L2 distance of an input to its own reconstruction.", "lower"),
        "reconstruction_shuffled": Metric("Mean L2 distance of an input to another input's reconstruction."),
        "reconstruction_ratio": Metric(
            "Reconstruction error over its shuffled baseline: 0 is perfect, 1 means that the latent says nothing.",
            "lower",
        ),
        "reconstruction_mse": Metric("Mean squared error of reconstructions, a pixel or coordinate.", "lower"),
        "psnr": Metric("Peak signal-to-noise ratio of reconstructions, from their mean squared error.", "higher", "dB"),
        "latent_reconstruction": Metric("Mean squared error of E(G(z)) to z, a latent dimension.", "lower"),
        # representation: what can be read off the encoder?
        "nearest_neighbour_latent": Metric("Accuracy of 1-nearest-neighbour on z, the encoder's output.", "higher"),
        "nearest_neighbour_hidden": Metric(
            "Accuracy of 1-nearest-neighbour on the encoder's last hidden layer.", "higher"
        ),
        "nearest_neighbour_input": Metric("Accuracy of 1-nearest-neighbour on the inputs themselves, a baseline."),
        "nearest_neighbour_untrained": Metric(
            "Accuracy of 1-nearest-neighbour on the last hidden layer of an untrained encoder, a baseline."
        ),
        "linear_probe_latent": Metric("Accuracy of logistic regression on z, the encoder's output.", "higher"),
        "linear_probe_hidden": Metric("Accuracy of logistic regression on the encoder's last hidden layer.", "higher"),
        # labels and codes: what is read off data and off samples?
        "classification_error": Metric("Share of data whose label a semi-supervised game reads wrongly.", "lower"),
        "code_error": Metric(
            "Share of data whose most probable category, by the first code, stands for another label than its own.",
            "lower",
        ),
        "code_bound": Metric("Lower bound of the information of samples about all of their codes.", "higher", "nats"),
        "code_bound_categories": Metric(
            "Lower bound of the information of samples about their categorical codes.", "higher", "nats"
        ),
        # samples: are they like the data, and all of it?
        "frechet_distance": Metric(
            "Frechet distance between the features of samples and of data, biased upwards by few samples: beside its floor.",
            "lower",
        ),
        "frechet_floor": Metric(
            "Frechet distance between the features of training data and of held-out data, of a perfect model's bias."
        ),
        "kernel_distance": Metric("Unbiased squared distance of the features' means under a cubic kernel.", "lower"),
        "inception_score": Metric(
            "Exponential of the mutual information of sample and predicted class, biased upwards by few samples.",
            "higher",
        ),
        "inception_score_real": Metric("The inception score of held-out data, what a perfect model scores."),
        "label_accuracy": Metric(
            "Share of samples that a classifier reads as the label they were asked for.", "higher"
        ),
        "precision": Metric("Share of samples that lie where the data is.", "higher"),
        "recall": Metric("Share of data that lies where the samples are.", "higher"),
        "density": Metric("How many data balls hold a sample, on average, over the number expected.", "higher"),
        "coverage": Metric("Share of data whose neighbourhood holds a sample.", "higher"),
        # translations: do they come back, are they like their domain, and where the truth is known, are they right?
        "cycle_error": Metric(
            "Mean |x - back|, a number of x, of the way to the other domain and back; both ways.", "lower"
        ),
        "frechet_to_a": Metric(
            "Frechet distance between the features of translations b -> a and of domain a.", "lower"
        ),
        "frechet_to_b": Metric(
            "Frechet distance between the features of translations a -> b and of domain b.", "lower"
        ),
        "translation_error_a": Metric("Mean |x - truth|, a number of x, of translations b -> a.", "lower"),
        "translation_error_b": Metric("Mean |x - truth|, a number of x, of translations a -> b.", "lower"),
        "translation_psnr_a": Metric("Peak signal-to-noise ratio to the truth of translations b -> a.", "higher", "dB"),
        "translation_psnr_b": Metric("Peak signal-to-noise ratio to the truth of translations a -> b.", "higher", "dB"),
        "translation_accuracy_a": Metric(
            "Share of translations b -> a that a classifier reads as what they are.", "higher"
        ),
        "translation_accuracy_b": Metric(
            "Share of translations a -> b that a classifier reads as what they are.", "higher"
        ),
        # mixtures: are the known modes found, and in their proportions?
        "modes": Metric("Modes with at least one sample within three standard deviations of their mean.", "higher"),
        "modes_assigned": Metric("Modes to which at least one sample is nearest, however far it is.", "higher"),
        "high_quality": Metric("Share of samples within three standard deviations of the nearest mean.", "higher"),
        "reverse_kl": Metric("KL(the samples' shares of the modes || the true, equal shares).", "lower", "nats"),
        # aggregate posterior q(z) = E_x q(z | x): is it the prior?
        "posterior_mean_norm": Metric(
            "Distance of the mean of q(z) from the prior's mean; never 0 from few draws.", "lower"
        ),
        "posterior_variance": Metric("Variance of q(z), averaged over the dimensions; the prior's is best."),
        "posterior_variance_least": Metric(
            "Variance of q(z) in its narrowest dimension; of few draws under the prior's."
        ),
        "posterior_variance_greatest": Metric(
            "Variance of q(z) in its widest dimension; of few draws above the prior's."
        ),
        "posterior_covariance_distance": Metric(
            "Frobenius distance of the covariances of q(z) and the prior; never 0 from few draws.", "lower"
        ),
        "posterior_kl": Metric(
            "KL(Gaussian with the moments of q(z) || Gaussian with the prior's), less its mean where q(z) is the prior.",
            "lower",
            "nats",
        ),
        "posterior_mmd": Metric("Unbiased squared maximum mean discrepancy between q(z) and the prior.", "lower"),
    },
    base=Metric,
)

_HOMES = {
    "features": ["Extractor", "RandomConvolutions", "Identity", "Inception", "extractor_for"],
    "classifier": ["Classifier"],
    "distances": [
        "frechet",
        "frechet_distance",
        "kernel_distance",
        "inception_score",
        "maximum_mean_discrepancy",
    ],
    "coverage": ["precision_recall_density_coverage", "mixture_coverage"],
    "inference": [
        "reconstruction",
        "nearest_neighbour_accuracy",
        "linear_probe_accuracy",
        "svm_errors",
        "posterior_moments",
        "expected_kl",
        "marginal_kl",
        "latent_reconstruction",
    ],
    "codes": ["matching", "code_error", "code_bounds"],
    "similarity": ["peak_signal_to_noise", "structural_similarity"],
    "likelihood": [
        "Estimate",
        "Sandwich",
        "elbo",
        "importance_bound",
        "annealed_importance",
        "bidirectional_check",
        "kernel_estimate",
        "Likelihood",
        "kernel_likelihood",
        "log_densities",
        "cross_validated_bandwidth",
        "held_out_bandwidth",
    ],
    "evaluation": ["Measure", "evaluate"],
}

__all__ = ["REGISTRY", "Metric", *(name for names in _HOMES.values() for name in names)]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
