"""The library's metrics: each is one function of `interalia.metrics.Evidence`, with its direction, unit and requirements.

Results, a run's page and ``interalia list metrics`` show them in this order. The imports here need neither torch nor numpy
until a metric is computed.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from interalia import tasks  # imports each task at its first use
from interalia.disk import packaged_toml
from interalia.metrics import needs
from interalia.metrics.entries import Group, Tile, as_number, metric

if TYPE_CHECKING:
    from interalia.metrics.evidence import Comparison, Evidence

metrics: Any = importlib.import_module("interalia.metrics")  # imports each function at its first use
Result = float | tuple[float, str]  # a value, or a value and its protocol
Values = Mapping[str, float]
Data = Mapping[str, Any]

INFERENCE = Group("inference", (needs.infers,))
REPRESENTATION = Group("representation", (needs.infers, needs.unconditional_labels))
LABELS = Group("labels and codes", (needs.samples,))
CODES = Group("labels and codes", (needs.samples, needs.has_codes))
TRANSLATIONS = Group("translations", (needs.translates,))
PAIRS = Group("translations", (needs.translates, needs.paired))
COMPARED = Group("samples", (needs.features,))
SAMPLES = Group("samples", (needs.samples, needs.features))
MIXTURE = Group("mixture", (needs.mixture,))
POSTERIOR = Group("aggregate posterior", (needs.infers, needs.prior_moments))
TEXTS = packaged_toml("interalia.metrics", "definitions.toml")
SENTENCES, _ = TEXTS.pop("sentences"), TEXTS.pop("needs")
for text in TEXTS.values():
    if "tile" in text:
        text["tile"] = Tile(**text["tile"])
DISCREPANCY_COUNT = 2_000  # latents for the maximum mean discrepancy, which takes quadratic time


# ---- inference: does the encoder invert the decoder?


def _means_protocol(e: Evidence) -> str:
    return f"{e.protocol}; means of q(z | x) and p(x | z)"


def _ratio_sentence(values: Values, data: Data) -> str:
    ratio = values["reconstruction_ratio"]
    what = "image" if len(data.get("shape") or "abc") == 3 else "input"
    closer = f": an input is {1 / (ratio or 1):.1f} times closer to its own reconstruction than to another one"
    return SENTENCES["ratio"].format(ratio=ratio, what=what, closer=closer if 0 < ratio < 1 else "")


@metric("lower", group=INFERENCE)
def reconstruction_error(e: Evidence) -> Result:
    """Mean L2 distance between an input and its reconstruction."""
    return e.reconstruction.error, _means_protocol(e)


@metric(group=INFERENCE)
def reconstruction_mismatched(e: Evidence) -> Result:
    """Mean L2 distance between an input and another input's reconstruction, a baseline."""
    return e.reconstruction.mismatched, _means_protocol(e)


@metric("lower", group=INFERENCE, during_training=True, sentence=_ratio_sentence, **TEXTS["reconstruction_ratio"])
def reconstruction_ratio(e: Evidence) -> Result:
    """Reconstruction error over the error of mismatched pairs; 0: perfect, 1: the latent is useless."""
    return e.reconstruction.ratio, _means_protocol(e)


@metric("lower", group=INFERENCE)
def reconstruction_mse(e: Evidence) -> Result:
    """Mean squared error of reconstructions, per pixel or coordinate."""
    return e.reconstruction.mse, _means_protocol(e)


@metric("higher", "dB", group=INFERENCE, needs=(needs.images,))
def psnr(e: Evidence) -> Result:
    """Peak signal-to-noise ratio (PSNR) of reconstructions, from their mean squared error."""
    return e.reconstruction.psnr, f"{_means_protocol(e)}; peak 1"


@metric("lower", group=INFERENCE)
def latent_reconstruction(e: Evidence) -> Result:
    """Mean squared error between E(G(z)) and z, per latent dimension."""
    z_hat = tasks.encode(e.game, e.samples, e.seed + 1, y=e.condition)  # a seed other than z's, for the encoder's noise
    protocol = f"{len(e.z)} draws of the prior, seed {e.seed}; {e.sampling}; means of q(z | x)"
    return metrics.latent_reconstruction(e.z, z_hat), protocol


# ---- representation: how well do the encoder's features predict labels?


def _fitted_protocol(e: Evidence) -> str:
    return f"{e.protocol}; fitted on {len(e.train.x)} of the train split"


def _knn1(e: Evidence, train: Any, held_out: Any) -> Result:
    return metrics.nearest_neighbour_accuracy(train, e.train.labels, held_out, e.held_out.labels), _fitted_protocol(e)


def _linear_probe(e: Evidence, train: Any, held_out: Any) -> Result:
    value = metrics.linear_probe_accuracy(train, e.train.labels, held_out, e.held_out.labels, seed=e.seed)
    return value, f"{_fitted_protocol(e)}, standardized, penalty chosen on a part of it"


def _neighbors_sentence(space: str, where: str, values: Values, data: Data) -> str:
    if space == "latent" and "knn1_features" in values:
        return ""
    known = {"input": "in the input space", "random_init": "with an untrained encoder"}
    found = {name: values[key] for name in (space, *known) if (key := f"knn1_{name}") in values}
    baseline = " and ".join(f"{found[name]:.1%} {what}" for name, what in known.items() if name in found)
    baseline = baseline and f"; baselines: {baseline}"
    return SENTENCES["neighbours"].format(where=where, share=found[space], baseline=baseline)


@metric("higher", group=REPRESENTATION, sentence=partial(_neighbors_sentence, "latent", "the inferred z"))
def knn1_latent(e: Evidence) -> Result:
    """Accuracy of 1-nearest-neighbour classification on z, the encoder's output."""
    return _knn1(e, *e.latents)


@metric(
    "higher",
    group=REPRESENTATION,
    sentence=partial(_neighbors_sentence, "features", "the encoder's last hidden layer"),
    **TEXTS["knn1_features"],
)
def knn1_features(e: Evidence) -> Result:
    """Accuracy of 1-nearest-neighbour classification on the encoder's last hidden layer."""
    return _knn1(e, *e.hidden)


@metric(group=REPRESENTATION)
def knn1_input(e: Evidence) -> Result:
    """Accuracy of 1-nearest-neighbour classification on the inputs, a baseline."""
    return _knn1(e, e.train.x.flatten(1), e.x.flatten(1))


@metric(group=REPRESENTATION, needs=(needs.untrained,))
def knn1_random_init(e: Evidence) -> Result:
    """Accuracy of 1-nearest-neighbour classification on the last hidden layer of an untrained encoder, a baseline."""
    train, held_out = (tasks.features(e.untrained, x, e.seed) for x in (e.train.x, e.x))  # type: ignore[arg-type]
    return _knn1(e, train, held_out)


@metric("higher", group=REPRESENTATION, needs=(needs.several_classes,))
def linear_probe_latent(e: Evidence) -> Result:
    """Accuracy of logistic regression on z, the encoder's output."""
    return _linear_probe(e, *e.latents)


@metric("higher", group=REPRESENTATION, needs=(needs.several_classes,))
def linear_probe_features(e: Evidence) -> Result:
    """Accuracy of logistic regression on the encoder's last hidden layer."""
    return _linear_probe(e, *e.hidden)


# ---- labels and codes: are they predicted correctly?


@metric("lower", group=LABELS, needs=(needs.classifies, needs.labels), during_training=True)
def classification_error(e: Evidence) -> Result:
    """Share of data that a semi-supervised game assigns a wrong label."""
    predicted = tasks.classify(e.game, e.x, e.seed).argmax(1)
    return float((predicted != e.held_out.labels).double().mean())


@metric("lower", group=CODES, needs=(needs.categorical, needs.labels, needs.validation_labels), **TEXTS["code_error"])
def code_error(e: Evidence) -> Result:
    """Share of data whose most probable category of the first code is matched to a wrong label."""
    chosen, count = e.validation, e.codes.categorical[0]
    a, b = (tasks.code_parameters(e.game, x)[:, :count].argmax(1) for x in (chosen.x, e.x))
    matched = f"c1's {count} categories matched one to one to the labels, by the Hungarian method"
    protocol = f"{e.protocol}; {matched}, on {len(chosen.x)} of the validation split"
    return metrics.code_error(b, e.held_out.labels, metrics.matching(a, chosen.labels, count)), protocol


def _codes_protocol(e: Evidence) -> str:
    codes = zip(e.codes.code_names, e.code_bounds, e.codes.entropy.cpu(), strict=True)
    each = ", ".join(f"{name} {bound:.3f} (H {h:.3f})" for name, bound, h in codes)
    return f"{len(e.z)} samples, {e.sampling}, seed {e.seed}; Q's width for continuous codes fitted to them; {each}"


@metric("higher", "nats", group=CODES, **TEXTS["code_bound"])
def code_bound(e: Evidence) -> Result:
    """Lower bound of the mutual information of samples and all of their codes."""
    return float(e.code_bounds.sum()), _codes_protocol(e)


@metric("higher", "nats", group=CODES, needs=(needs.categorical,))
def code_bound_categories(e: Evidence) -> Result:
    """Lower bound of the mutual information of samples and their categorical codes."""
    count = len(e.codes.categorical)
    most = float(e.codes.entropy.cpu()[:count].sum())
    return float(e.code_bounds[:count].sum()), f"at most {most:.3f}; {_codes_protocol(e)}"


# ---- translations: are they cycle-consistent, like their domain, and, for pairs, correct?


def _two_domains_protocol(e: Evidence) -> str:
    return f"{e.protocol}, and {len(e.translations['b'].real.x)} of {len(e.part_of_b)} of domain b"


def _translations_protocol(e: Evidence, to: str) -> str:
    pair = e.translations[to]
    held_out = f"{len(pair.real.x)} held-out of domain {to}, seed {e.seed}"
    return f"{len(pair.made)} translations against {held_out}; {pair.extractor.name}"


def _absolute_error(pair: Comparison) -> float:
    return float((pair.made - pair.real.x).abs().mean())


def _psnr(pair: Comparison) -> float:
    return metrics.peak_signal_to_noise(pair.made, pair.real.x)


def _accuracy(pair: Comparison) -> float:
    predicted: Any = pair.extractor.probabilities(pair.made)
    return float((predicted.argmax(1) == pair.real.y).double().mean())


def _translation_sentence(source: str, to: str, values: Values, data: Data) -> str:
    error, accuracy = values[f"translation_error_{to}"], values.get(f"translation_accuracy_{to}")
    rest = "" if accuracy is None else f", and a classifier assigns {accuracy:.1%} of them the true label"
    return f"Translations from {source} to {to} differ from the truth by {error:.3f} per value{rest}."


@metric("lower", group=TRANSLATIONS, during_training=True, **TEXTS["cycle_error"])
def cycle_error(e: Evidence) -> Result:
    """Cycle-consistency error: mean |x - x translated to the other domain and back|, per value, of both domains."""
    a, b = e.translations["a"], e.translations["b"]
    back_a, back_b = tasks.translate(e.game, b.made, to="a"), tasks.translate(e.game, a.made, to="b")
    value = float((a.real.x - back_a).abs().mean() + (b.real.x - back_b).abs().mean()) / 2
    return value, _two_domains_protocol(e)


@metric("lower", group=TRANSLATIONS, during_training=True)
def frechet_to_a(e: Evidence) -> Result:
    """Frechet distance between the features of translations b -> a and of domain a."""
    return e.translations["a"].frechet, _translations_protocol(e, "a")


@metric("lower", group=TRANSLATIONS, during_training=True)
def frechet_to_b(e: Evidence) -> Result:
    """Frechet distance between the features of translations a -> b and of domain b."""
    return e.translations["b"].frechet, _translations_protocol(e, "b")


@metric("lower", group=PAIRS, during_training=True, sentence=partial(_translation_sentence, "b", "a"))
def translation_error_a(e: Evidence) -> Result:
    """Mean |x - truth|, per value, of translations b -> a."""
    return _absolute_error(e.translations["a"]), _two_domains_protocol(e)


@metric("lower", group=PAIRS, during_training=True, sentence=partial(_translation_sentence, "a", "b"))
def translation_error_b(e: Evidence) -> Result:
    """Mean |x - truth|, per value, of translations a -> b."""
    return _absolute_error(e.translations["b"]), _two_domains_protocol(e)


@metric("higher", "dB", group=PAIRS, needs=(needs.images,))
def translation_psnr_a(e: Evidence) -> Result:
    """Peak signal-to-noise ratio (PSNR) of translations b -> a to the truth."""
    return _psnr(e.translations["a"]), f"{_two_domains_protocol(e)}; peak 1"


@metric("higher", "dB", group=PAIRS, needs=(needs.images,))
def translation_psnr_b(e: Evidence) -> Result:
    """Peak signal-to-noise ratio (PSNR) of translations a -> b to the truth."""
    return _psnr(e.translations["b"]), f"{_two_domains_protocol(e)}; peak 1"


@metric("higher", group=PAIRS, needs=(needs.classifier_of_a,), **TEXTS["translation_accuracy_a"])
def translation_accuracy_a(e: Evidence) -> Result:
    """Share of translations b -> a that a classifier assigns the true label."""
    return _accuracy(e.translations["a"]), _translations_protocol(e, "a")


@metric("higher", group=PAIRS, needs=(needs.classifier_of_b,), **TEXTS["translation_accuracy_b"])
def translation_accuracy_b(e: Evidence) -> Result:
    """Share of translations a -> b that a classifier assigns the true label."""
    return _accuracy(e.translations["b"]), _translations_protocol(e, "b")


# ---- samples: are they like the data, and do they cover it?


def _samples_protocol(e: Evidence) -> str:
    return f"{len(e.samples)} samples, {e.sampling}, against {e.protocol}; {e.extractor.name}"


def _extractor_names(e: Evidence) -> str:
    return " and ".join(dict.fromkeys(one.extractor.name for one in e.comparisons.values()))


def _frechet_sentence(name: str, values: Values, data: Data) -> str:
    real = values.get("frechet_real_vs_real")
    made = "translations" if "cycle_error" in values else "samples"
    own = "classifier" if "inception_score" in values else "features"
    kind = "FID" if name == "fid" else f"Frechet distance (own {own}, not FID)"
    baseline = f"; {as_number(real)} between real training data and held-out data" if real is not None else ""
    return SENTENCES["frechet"].format(kind=kind, made=made, distance=as_number(values[name]), baseline=baseline)


def _frechet(e: Evidence) -> Result:
    found = [one.frechet for one in e.comparisons.values()]
    if e.translates:
        return sum(found) / 2, f"mean of both domains; {_two_domains_protocol(e)}; {_extractor_names(e)}"
    return found[0], _samples_protocol(e)


@metric(
    "lower",
    group=COMPARED,
    needs=(needs.own_features,),
    during_training=True,
    sentence=partial(_frechet_sentence, "frechet_distance"),
    **TEXTS["frechet_distance"],
)
def frechet_distance(e: Evidence) -> Result:
    """Frechet distance (own features, not FID) between samples and data; biased upwards for few samples."""
    return _frechet(e)


@metric(
    "lower",
    group=COMPARED,
    needs=(needs.inception_features,),
    sentence=partial(_frechet_sentence, "fid"),
    **TEXTS["fid"],
)
def fid(e: Evidence) -> Result:
    """FID: Frechet distance between Inception features of samples and of data; biased upwards for few samples."""
    return _frechet(e)


@metric(group=COMPARED)
def frechet_real_vs_real(e: Evidence) -> Result:
    """Frechet distance between features of training data and of held-out data: the bias of a perfect model."""
    found = [one.frechet_real for one in e.comparisons.values()]
    if e.translates:
        protocol = f"mean of both domains; {_two_domains_protocol(e)}; {_extractor_names(e)}"
        return sum(found) / 2, f"as many of the train split; {protocol}"
    same = f" with the same {e.game.data.y}" if e.condition is not None else ""
    return found[0], f"{len(e.x)} of the train split{same} against {e.protocol}; {e.extractor.name}"


def _kernel_distance(e: Evidence) -> Result:
    value = metrics.kernel_distance(*e.features, seed=e.seed, paired=e.condition is not None)
    return value, f"{_samples_protocol(e)}; 100 subsets of 1000, or all samples if there are no more"


@metric("lower", group=SAMPLES, needs=(needs.own_features,))
def kernel_distance(e: Evidence) -> Result:
    """Kernel distance (own features, not KID): unbiased squared MMD of samples and data under a cubic kernel."""
    return _kernel_distance(e)


@metric("lower", group=SAMPLES, needs=(needs.inception_features,))
def kid(e: Evidence) -> Result:
    """KID: unbiased squared MMD of samples and data under a cubic kernel, in Inception features."""
    return _kernel_distance(e)


def _inception_score(e: Evidence, which: int, protocol: str) -> Result:
    assert e.probabilities is not None
    p = e.permuted(e.probabilities[which])  # so that every part has all labels
    splits = min(10, max(1, len(p) // 100))  # fewer than 100 samples estimate p(y) badly
    return metrics.inception_score(p, splits), f"{protocol}; {splits} splits"


@metric("higher", group=SAMPLES, needs=(needs.probabilities,))
def inception_score(e: Evidence) -> Result:
    """Inception score: exp of the mutual information of sample and predicted class; biased for few samples. Comparable to
    published scores only in Inception features.
    """
    return _inception_score(e, 1, _samples_protocol(e))


@metric(group=SAMPLES, needs=(needs.probabilities,))
def inception_score_real(e: Evidence) -> Result:
    """Inception score of held-out data: the value of a perfect model."""
    return _inception_score(e, 0, f"{e.protocol}; {e.extractor.name}")


@metric("higher", group=SAMPLES, needs=(needs.conditional_on_labels, needs.classifier))
def label_accuracy(e: Evidence) -> Result:
    """Share of samples that a classifier assigns the label they are conditioned on."""
    assert e.probabilities is not None
    (y,) = tasks.condition(e.game, e.condition, len(e.samples))
    accuracy = (e.probabilities[1].argmax(1) == y.argmax(1)).double().mean().item()
    return accuracy, f"{len(e.samples)} samples, {e.sampling}, {e.protocol}; {e.extractor.name}"


def _neighbourhoods_protocol(e: Evidence) -> str:
    return f"{_samples_protocol(e)}; k = {e.k}"


@metric("higher", group=SAMPLES, **TEXTS["precision"])
def precision(e: Evidence) -> Result:
    """Share of samples inside the neighbourhood of a data point."""
    return e.neighbourhoods.precision, _neighbourhoods_protocol(e)


@metric("higher", group=SAMPLES)
def recall(e: Evidence) -> Result:
    """Share of data inside the neighbourhood of a sample."""
    return e.neighbourhoods.recall, _neighbourhoods_protocol(e)


@metric("higher", group=SAMPLES)
def density(e: Evidence) -> Result:
    """Mean number of data neighbourhoods that contain a sample, over k."""
    return e.neighbourhoods.density, _neighbourhoods_protocol(e)


@metric("higher", group=SAMPLES)
def coverage(e: Evidence) -> Result:
    """Share of data whose neighbourhood contains a sample."""
    return e.neighbourhoods.coverage, _neighbourhoods_protocol(e)


# ---- mixtures: are all modes found, in the right proportions?


def _mixture_protocol(e: Evidence) -> str:
    counted = f"{sum(e.modes.histogram)} samples, {e.sampling}, seed {e.seed}"
    return f"{counted}; nearest mean, three standard deviations, as in PacGAN"


def _modes_sentence(values: Values, data: Data) -> str:
    count = round(values["modes"])
    found = f"Samples reach {count:,} mode{'' if count == 1 else 's'} of the mixture"
    if "high_quality" in values:
        found += f", and {values['high_quality']:.1%} of them lie within three standard deviations of a mode"
    return found + "."


@metric("higher", group=MIXTURE, during_training=True, sentence=_modes_sentence, **TEXTS["modes"])
def modes(e: Evidence) -> Result:
    """Modes with at least one sample within three standard deviations of their mean."""
    return e.modes.modes, _mixture_protocol(e)


@metric("higher", group=MIXTURE)
def modes_assigned(e: Evidence) -> Result:
    """Modes that are the nearest one of at least one sample, at any distance."""
    protocol = f"{len(e.mixture_samples)} samples, {e.sampling}, seed {e.seed}; by responsibility, as in ALI"
    return e.coverage_of(e.mixture_samples).modes_assigned, protocol


@metric("higher", group=MIXTURE, during_training=True, **TEXTS["high_quality"])
def high_quality(e: Evidence) -> Result:
    """Share of samples within three standard deviations of the nearest mean."""
    return e.modes.high_quality, _mixture_protocol(e)


@metric("lower", "nats", group=MIXTURE, during_training=True)
def reverse_kl(e: Evidence) -> Result:
    """KL(share of samples in each mode || uniform)."""
    return e.modes.reverse_kl, _mixture_protocol(e)


# ---- aggregate posterior q(z) = E_x q(z | x): is it the prior?


def _posterior_protocol(e: Evidence, perfect: float | None = None) -> str:
    mean, variance = e.prior.mean, e.prior.variance
    protocol = f"{e.protocol}; one draw of q(z | x) each; the prior has mean {mean:g} and variance {variance:.4g}"
    expected = f"; about {perfect:.3g} for a perfect posterior with {len(e.z_hat)} draws" if perfect is not None else ""
    return protocol + expected


def _variance_deviation(e: Evidence) -> float:
    """The relative deviation of the smallest and largest variance of n draws in d dimensions from the true one."""
    n, d = e.z_hat.shape
    return 2 * math.sqrt(math.log(d) / n)


@metric("lower", group=POSTERIOR)
def aggregate_posterior_mean_norm(e: Evidence) -> Result:
    """Distance between the means of q(z) and of the prior; above 0 for few draws."""
    n, d = e.z_hat.shape
    return e.posterior.mean_norm, _posterior_protocol(e, math.sqrt(d * e.prior.variance / n))


@metric(group=POSTERIOR)
def aggregate_posterior_var(e: Evidence) -> Result:
    """Variance of q(z), averaged over the dimensions; best if equal to the prior's."""
    return e.posterior.variance, _posterior_protocol(e)


@metric(group=POSTERIOR)
def aggregate_posterior_var_min(e: Evidence) -> Result:
    """Smallest variance of q(z) over the dimensions; below the prior's for few draws."""
    return e.posterior.variance_min, _posterior_protocol(e, max(0.0, e.prior.variance * (1 - _variance_deviation(e))))


@metric(group=POSTERIOR)
def aggregate_posterior_var_max(e: Evidence) -> Result:
    """Largest variance of q(z) over the dimensions; above the prior's for few draws."""
    return e.posterior.variance_max, _posterior_protocol(e, e.prior.variance * (1 + _variance_deviation(e)))


@metric("lower", group=POSTERIOR)
def aggregate_posterior_covariance_distance(e: Evidence) -> Result:
    """Frobenius distance between the covariances of q(z) and of the prior; above 0 for few draws."""
    n, d = e.z_hat.shape
    return e.posterior.covariance_distance, _posterior_protocol(e, e.prior.variance * math.sqrt(d * (d + 1) / n))


@metric("lower", "nats", group=POSTERIOR, needs=(needs.more_samples_than_latents,))
def aggregate_posterior_kl(e: Evidence) -> Result:
    """KL(q || p) of Gaussians with the moments of q(z) and of p(z), less its expectation for draws of q(z) = p(z)."""
    less = f"less {metrics.expected_kl(*e.z_hat.shape):.4g}, its expectation for a perfect Gaussian posterior"
    return e.posterior.kl, f"{_posterior_protocol(e)}; {less} (standard error {e.posterior.kl_error:.2g})"


@metric("lower", group=POSTERIOR)
def aggregate_posterior_mmd(e: Evidence) -> Result:
    """Unbiased squared maximum mean discrepancy between q(z) and the prior."""
    z_hat = e.permuted(e.z_hat)[:DISCREPANCY_COUNT]
    bandwidth = math.sqrt(e.z_hat.shape[1] * e.prior.variance)
    value = metrics.maximum_mean_discrepancy(z_hat, tasks.sample_latents(e.game, len(z_hat), e.seed + 1), bandwidth)
    return value, f"{_posterior_protocol(e)}; {len(z_hat)} of each, Gaussian kernel of width {bandwidth:.4g}"
