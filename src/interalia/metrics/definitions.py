"""The library's metrics: each is one function of the evidence, with all that is known of it.

Their order is that of results, of a run's page and of ``interalia list metrics``. What is imported here needs neither torch
nor numpy until a metric is taken.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from interalia import tasks  # which imports each task at its first use
from interalia.disk import packaged_toml
from interalia.metrics import needs
from interalia.metrics.entries import Group, Tile, as_number, metric

if TYPE_CHECKING:
    from interalia.metrics.evidence import Comparison, Evidence

metrics: Any = importlib.import_module("interalia.metrics")  # which imports each function at its first use
Found = float | tuple[float, str]  # a value, or a value and its protocol
Values = Mapping[str, float]
Data = Mapping[str, Any]

INFERENCE = Group("inference", (needs.infers,))
REPRESENTATION = Group("representation", (needs.infers, needs.unconditional_labels))
LABELS = Group("labels and codes", (needs.samples,))
CODES = Group("labels and codes", (needs.samples, needs.recognises))
TRANSLATIONS = Group("translations", (needs.translates,))
PAIRS = Group("translations", (needs.translates, needs.paired))
COMPARED = Group("samples", (needs.features,))
SAMPLES = Group("samples", (needs.samples, needs.features))
MIXTURE = Group("mixture", (needs.mixture,))
POSTERIOR = Group("aggregate posterior", (needs.infers, needs.centred_prior))
WORDS = packaged_toml("interalia.metrics", "definitions.toml")
SENTENCES = WORDS.pop("sentences")
for words in WORDS.values():
    if "tile" in words:
        words["tile"] = Tile(**words["tile"])
DISCREPANCY_COUNT = 2_000  # latents for the maximum mean discrepancy, whose cost is quadratic


# ---- inference: does the encoder invert the decoder?


def _of_means(e: Evidence) -> str:
    return f"{e.where}; means of q(z | x) and p(x | z)"


def _ratio_in_words(values: Values, data: Data) -> str:
    ratio = values["reconstruction_ratio"]
    what = "image" if len(data.get("shape") or "abc") == 3 else "input"
    closer = f": an input is {1 / (ratio or 1):.1f} times closer to its own reconstruction than to another's"
    return SENTENCES["ratio"].format(ratio=ratio, what=what, closer=closer if 0 < ratio < 1 else "")


@metric("lower", group=INFERENCE)
def reconstruction_error(e: Evidence) -> Found:
    """Mean L2 distance of an input to its own reconstruction."""
    return e.reconstruction.error, _of_means(e)


@metric(group=INFERENCE)
def reconstruction_mismatched(e: Evidence) -> Found:
    """Mean L2 distance of an input to another input's reconstruction."""
    return e.reconstruction.shuffled, _of_means(e)


@metric("lower", group=INFERENCE, during_training=True, sentence=_ratio_in_words, **WORDS["reconstruction_ratio"])
def reconstruction_ratio(e: Evidence) -> Found:
    """Reconstruction error over its shuffled baseline: 0 is perfect, 1 means that the latent says nothing."""
    return e.reconstruction.ratio, _of_means(e)


@metric("lower", group=INFERENCE)
def reconstruction_mse(e: Evidence) -> Found:
    """Mean squared error of reconstructions, a pixel or coordinate."""
    return e.reconstruction.mse, _of_means(e)


@metric("higher", "dB", group=INFERENCE, needs=(needs.images,))
def psnr(e: Evidence) -> Found:
    """Peak signal-to-noise ratio of reconstructions, from their mean squared error."""
    return e.reconstruction.psnr, f"{_of_means(e)}; peak 1"


@metric("lower", group=INFERENCE)
def latent_reconstruction(e: Evidence) -> Found:
    """Mean squared error of E(G(z)) to z, a latent dimension."""
    z_hat = tasks.encode(e.game, e.samples, e.seed + 1, y=e.condition)  # an encoder's own noise is not to be z
    protocol = f"{len(e.z)} draws of the prior, seed {e.seed}; {e.drawn}; means of q(z | x)"
    return metrics.latent_reconstruction(e.z, z_hat), protocol


# ---- representation: what can be read off the encoder?


def _fitted(e: Evidence) -> str:
    return f"{e.where}; fitted to {len(e.train.x)} of the train split"


def _nearest_neighbour(e: Evidence, train: Any, held_out: Any) -> Found:
    return metrics.nearest_neighbour_accuracy(train, e.train.labels, held_out, e.held_out.labels), _fitted(e)


def _linear_probe(e: Evidence, train: Any, held_out: Any) -> Found:
    value = metrics.linear_probe_accuracy(train, e.train.labels, held_out, e.held_out.labels, seed=e.seed)
    return value, f"{_fitted(e)}, standardised, penalty chosen within it"


def _neighbours_in_words(space: str, where: str, values: Values, data: Data) -> str:
    if space == "latent" and "knn1_features" in values:
        return ""
    known = {"input": "on the inputs themselves", "random_init": "on an untrained encoder"}
    found = {name: values[key] for name in (space, *known) if (key := f"knn1_{name}") in values}
    beside = " and ".join(f"{found[name]:.1%} {what}" for name, what in known.items() if name in found)
    return SENTENCES["neighbours"].format(where=where, share=found[space], beside=beside and f"; beside it, {beside}")


@metric("higher", group=REPRESENTATION, sentence=partial(_neighbours_in_words, "latent", "the inferred z"))
def knn1_latent(e: Evidence) -> Found:
    """Accuracy of 1-nearest-neighbour on z, the encoder's output."""
    return _nearest_neighbour(e, *e.latents)


@metric(
    "higher",
    group=REPRESENTATION,
    sentence=partial(_neighbours_in_words, "features", "the encoder's last hidden layer"),
    **WORDS["knn1_features"],
)
def knn1_features(e: Evidence) -> Found:
    """Accuracy of 1-nearest-neighbour on the encoder's last hidden layer."""
    return _nearest_neighbour(e, *e.hidden)


@metric(group=REPRESENTATION)
def knn1_input(e: Evidence) -> Found:
    """Accuracy of 1-nearest-neighbour on the inputs themselves, a baseline."""
    return _nearest_neighbour(e, e.train.x.flatten(1), e.x.flatten(1))


@metric(group=REPRESENTATION, needs=(needs.untrained,))
def knn1_random_init(e: Evidence) -> Found:
    """Accuracy of 1-nearest-neighbour on the last hidden layer of an untrained encoder, a baseline."""
    train, held_out = (tasks.features(e.untrained, x, e.seed) for x in (e.train.x, e.x))  # type: ignore[arg-type]
    return _nearest_neighbour(e, train, held_out)


@metric("higher", group=REPRESENTATION, needs=(needs.several_classes,))
def linear_probe_latent(e: Evidence) -> Found:
    """Accuracy of logistic regression on z, the encoder's output."""
    return _linear_probe(e, *e.latents)


@metric("higher", group=REPRESENTATION, needs=(needs.several_classes,))
def linear_probe_features(e: Evidence) -> Found:
    """Accuracy of logistic regression on the encoder's last hidden layer."""
    return _linear_probe(e, *e.hidden)


# ---- labels and codes: what is read off data and off samples?


@metric("lower", group=LABELS, needs=(needs.classifies, needs.labels), during_training=True)
def classification_error(e: Evidence) -> Found:
    """Share of data whose label a semi-supervised game reads wrongly."""
    read = tasks.classify(e.game, e.x, e.seed).argmax(1)
    return float((read != e.held_out.labels).double().mean())


@metric("lower", group=CODES, needs=(needs.categorical, needs.labels, needs.validation_labels), **WORDS["code_error"])
def code_error(e: Evidence) -> Found:
    """Share of data whose most probable category, by the first code, stands for another label than its own."""
    chosen, count = e.chosen, e.codes.categorical[0]
    a, b = (tasks.code_parameters(e.game, x)[:, :count].argmax(1) for x in (chosen.x, e.x))
    matched = f"c1's {count} categories matched one to one to the labels, by the Hungarian method"
    protocol = f"{e.where}; {matched}, on {len(chosen.x)} of the validation split"
    return metrics.code_error(b, e.held_out.labels, metrics.matching(a, chosen.labels, count)), protocol


def _of_codes(e: Evidence) -> str:
    codes = zip(e.codes.names, e.code_bounds, e.codes.entropy.cpu(), strict=True)
    each = ", ".join(f"{name} {bound:.3f} (H {h:.3f})" for name, bound, h in codes)
    return f"{len(e.z)} samples, {e.drawn}, seed {e.seed}; Q's width for continuous codes fitted to them; {each}"


@metric("higher", "nats", group=CODES, **WORDS["code_bound"])
def code_bound(e: Evidence) -> Found:
    """Lower bound of the information of samples about all of their codes."""
    return float(e.code_bounds.sum()), _of_codes(e)


@metric("higher", "nats", group=CODES, needs=(needs.categorical,))
def code_bound_categories(e: Evidence) -> Found:
    """Lower bound of the information of samples about their categorical codes."""
    count = len(e.codes.categorical)
    most = float(e.codes.entropy.cpu()[:count].sum())
    return float(e.code_bounds[:count].sum()), f"at most {most:.3f}; {_of_codes(e)}"


# ---- translations: do they come back, are they like their domain, and where the truth is known, are they right?


def _both_ways(e: Evidence) -> str:
    return f"{e.where}, and {len(e.translations['b'].real.x)} of {len(e.part_of_b)} of domain b's"


def _into(e: Evidence, to: str) -> str:
    way = e.translations[to]
    held_out = f"{len(way.real.x)} held-out of domain {to}, seed {e.seed}"
    return f"{len(way.made)} translations against {held_out}; {way.extractor.name}"


def _error(way: Comparison) -> float:
    return float((way.made - way.real.x).abs().mean())


def _psnr(way: Comparison) -> float:
    return metrics.peak_signal_to_noise(way.made, way.real.x)


def _accuracy(way: Comparison) -> float:
    read: Any = way.extractor.probabilities(way.made)
    return float((read.argmax(1) == way.real.y).double().mean())


def _translation_in_words(source: str, to: str, values: Values, data: Data) -> str:
    found = f"Translations from {source} to {to} are off the truth by {values[f'translation_error_{to}']:.3f} a number"
    accuracy = values.get(f"translation_accuracy_{to}")
    return found + (f", and {accuracy:.1%} of them are read as what they are." if accuracy is not None else ".")


@metric("lower", group=TRANSLATIONS, during_training=True, **WORDS["cycle_error"])
def cycle_error(e: Evidence) -> Found:
    """Mean |x - back|, a number of x, of the way to the other domain and back; both ways."""
    a, b = e.translations["a"], e.translations["b"]
    back_a, back_b = tasks.translate(e.game, b.made, to="a"), tasks.translate(e.game, a.made, to="b")
    value = float((a.real.x - back_a).abs().mean() + (b.real.x - back_b).abs().mean()) / 2
    return value, _both_ways(e)


@metric("lower", group=TRANSLATIONS, during_training=True)
def frechet_to_a(e: Evidence) -> Found:
    """Frechet distance between the features of translations b -> a and of domain a."""
    return e.translations["a"].frechet, _into(e, "a")


@metric("lower", group=TRANSLATIONS, during_training=True)
def frechet_to_b(e: Evidence) -> Found:
    """Frechet distance between the features of translations a -> b and of domain b."""
    return e.translations["b"].frechet, _into(e, "b")


@metric("lower", group=PAIRS, during_training=True, sentence=partial(_translation_in_words, "b", "a"))
def translation_error_a(e: Evidence) -> Found:
    """Mean |x - truth|, a number of x, of translations b -> a."""
    return _error(e.translations["a"]), _both_ways(e)


@metric("lower", group=PAIRS, during_training=True, sentence=partial(_translation_in_words, "a", "b"))
def translation_error_b(e: Evidence) -> Found:
    """Mean |x - truth|, a number of x, of translations a -> b."""
    return _error(e.translations["b"]), _both_ways(e)


@metric("higher", "dB", group=PAIRS, needs=(needs.images,))
def translation_psnr_a(e: Evidence) -> Found:
    """Peak signal-to-noise ratio to the truth of translations b -> a."""
    return _psnr(e.translations["a"]), f"{_both_ways(e)}; peak 1"


@metric("higher", "dB", group=PAIRS, needs=(needs.images,))
def translation_psnr_b(e: Evidence) -> Found:
    """Peak signal-to-noise ratio to the truth of translations a -> b."""
    return _psnr(e.translations["b"]), f"{_both_ways(e)}; peak 1"


@metric("higher", group=PAIRS, needs=(needs.read_in_a,), **WORDS["translation_accuracy_a"])
def translation_accuracy_a(e: Evidence) -> Found:
    """Share of translations b -> a that a classifier reads as what they are."""
    return _accuracy(e.translations["a"]), _into(e, "a")


@metric("higher", group=PAIRS, needs=(needs.read_in_b,), **WORDS["translation_accuracy_b"])
def translation_accuracy_b(e: Evidence) -> Found:
    """Share of translations a -> b that a classifier reads as what they are."""
    return _accuracy(e.translations["b"]), _into(e, "b")


# ---- samples: are they like the data, and all of it?


def _against(e: Evidence) -> str:
    return f"{len(e.samples)} samples, {e.drawn}, against {e.where}; {e.extractor.name}"


def _extractors(e: Evidence) -> str:
    return " and ".join(dict.fromkeys(one.extractor.name for one in e.comparisons.values()))


def _frechet_in_words(values: Values, data: Data) -> str:
    floor = values.get("frechet_real_vs_real")
    made = "translations" if "cycle_error" in values else "samples"
    beside = f"; real training data is at {as_number(floor)}" if floor is not None else ""
    return SENTENCES["frechet"].format(made=made, distance=as_number(values["frechet_distance"]), beside=beside)


@metric("lower", group=COMPARED, during_training=True, sentence=_frechet_in_words, **WORDS["frechet_distance"])
def frechet_distance(e: Evidence) -> Found:
    """Frechet distance between the features of samples and of data, biased upwards by few samples: beside its floor."""
    found = [one.frechet for one in e.comparisons.values()]
    protocol = f"the mean of both ways; {_both_ways(e)}; {_extractors(e)}" if e.translates else _against(e)
    return sum(found) / len(found), protocol


@metric(group=COMPARED)
def frechet_real_vs_real(e: Evidence) -> Found:
    """Frechet distance between the features of training data and of held-out data, of a perfect model's bias."""
    found = [one.floor for one in e.comparisons.values()]
    if e.translates:
        return sum(found) / 2, f"as many of the train split, mean of both; {_both_ways(e)}; {_extractors(e)}"
    same = f" with {e.game.data.y} as theirs" if e.condition is not None else ""
    return found[0], f"{len(e.x)} of the train split{same} against {e.where}; {e.extractor.name}"


@metric("lower", group=SAMPLES)
def kernel_distance(e: Evidence) -> Found:
    """Unbiased squared distance of the features' means under a cubic kernel."""
    value = metrics.kernel_distance(*e.features, seed=e.seed, paired=e.condition is not None)
    return value, f"{_against(e)}; 100 subsets of 1000, or all if no more"


def _inception_score(e: Evidence, which: int, protocol: str) -> Found:
    assert e.probabilities is not None
    p = e.shuffled(e.probabilities[which])  # no part is of few labels
    splits = min(10, max(1, len(p) // 100))  # parts below 100 samples say little of p(y)
    return metrics.inception_score(p, splits), f"{protocol}; {splits} splits"


@metric("higher", group=SAMPLES, needs=(needs.probabilities,))
def inception_score(e: Evidence) -> Found:
    """Exponential of the mutual information of sample and predicted class, biased upwards by few samples."""
    return _inception_score(e, 1, _against(e))


@metric(group=SAMPLES, needs=(needs.probabilities,))
def inception_score_real(e: Evidence) -> Found:
    """The inception score of held-out data, what a perfect model scores."""
    return _inception_score(e, 0, f"{e.where}; {e.extractor.name}")


@metric("higher", group=SAMPLES, needs=(needs.conditional_on_labels, needs.classifier))
def label_accuracy(e: Evidence) -> Found:
    """Share of samples that a classifier reads as the label they were asked for."""
    assert e.probabilities is not None
    (y,) = tasks.condition(e.game, e.condition, len(e.samples))
    read = (e.probabilities[1].argmax(1) == y.argmax(1)).double().mean().item()
    return read, f"{len(e.samples)} samples, {e.drawn}, {e.where}; {e.extractor.name}"


def _near(e: Evidence) -> str:
    return f"{_against(e)}; k = {e.nearest}"


@metric("higher", group=SAMPLES, **WORDS["precision"])
def precision(e: Evidence) -> Found:
    """Share of samples that lie where the data is."""
    return e.neighbourhoods.precision, _near(e)


@metric("higher", group=SAMPLES)
def recall(e: Evidence) -> Found:
    """Share of data that lies where the samples are."""
    return e.neighbourhoods.recall, _near(e)


@metric("higher", group=SAMPLES)
def density(e: Evidence) -> Found:
    """How many data balls hold a sample, on average, over the number expected."""
    return e.neighbourhoods.density, _near(e)


@metric("higher", group=SAMPLES)
def coverage(e: Evidence) -> Found:
    """Share of data whose neighbourhood holds a sample."""
    return e.neighbourhoods.coverage, _near(e)


# ---- mixtures: are the known modes found, and in their proportions?


def _by_pacgan(e: Evidence) -> str:
    counted = f"{sum(e.modes.histogram)} samples, {e.drawn}, seed {e.seed}"
    return f"{counted}; nearest mean, three standard deviations, as PacGAN"


def _modes_in_words(values: Values, data: Data) -> str:
    count = round(values["modes"])
    found = f"Samples reach {count:,} mode{'' if count == 1 else 's'} of the mixture"
    if "high_quality" in values:
        found += f", and {values['high_quality']:.1%} of them lie within three standard deviations of a mode"
    return found + "."


@metric("higher", group=MIXTURE, during_training=True, sentence=_modes_in_words, **WORDS["modes"])
def modes(e: Evidence) -> Found:
    """Modes with at least one sample within three standard deviations of their mean."""
    return e.modes.modes, _by_pacgan(e)


@metric("higher", group=MIXTURE)
def modes_assigned(e: Evidence) -> Found:
    """Modes to which at least one sample is nearest, however far it is."""
    protocol = f"{len(e.mixture_samples)} samples, {e.drawn}, seed {e.seed}; by responsibility, as ALI"
    return e.coverage_of(e.mixture_samples).modes_assigned, protocol


@metric("higher", group=MIXTURE, during_training=True, **WORDS["high_quality"])
def high_quality(e: Evidence) -> Found:
    """Share of samples within three standard deviations of the nearest mean."""
    return e.modes.high_quality, _by_pacgan(e)


@metric("lower", "nats", group=MIXTURE, during_training=True)
def reverse_kl(e: Evidence) -> Found:
    """KL(the samples' shares of the modes || the true, equal shares)."""
    return e.modes.reverse_kl, _by_pacgan(e)


# ---- aggregate posterior q(z) = E_x q(z | x): is it the prior?


def _of_posterior(e: Evidence, perfect: float | None = None) -> str:
    mean, variance = e.prior.mean, e.prior.variance
    protocol = f"{e.where}; one draw of q(z | x) each; the prior has mean {mean:g} and variance {variance:.4g}"
    perfectly = f"; of a perfect posterior about {perfect:.3g} from {len(e.z_hat)} draws" if perfect is not None else ""
    return protocol + perfectly


def _away(e: Evidence) -> float:
    """By which share the least and the greatest variance of n draws in d dimensions are off."""
    n, d = e.z_hat.shape
    return 2 * math.sqrt(math.log(d) / n)


@metric("lower", group=POSTERIOR)
def aggregate_posterior_mean_norm(e: Evidence) -> Found:
    """Distance of the mean of q(z) from the prior's mean; never 0 from few draws."""
    n, d = e.z_hat.shape
    return e.posterior.mean_norm, _of_posterior(e, math.sqrt(d * e.prior.variance / n))


@metric(group=POSTERIOR)
def aggregate_posterior_var(e: Evidence) -> Found:
    """Variance of q(z), averaged over the dimensions; the prior's is best."""
    return e.posterior.variance, _of_posterior(e)


@metric(group=POSTERIOR)
def aggregate_posterior_var_min(e: Evidence) -> Found:
    """Variance of q(z) in its narrowest dimension; of few draws under the prior's."""
    return e.posterior.variance_least, _of_posterior(e, max(0.0, e.prior.variance * (1 - _away(e))))


@metric(group=POSTERIOR)
def aggregate_posterior_var_max(e: Evidence) -> Found:
    """Variance of q(z) in its widest dimension; of few draws above the prior's."""
    return e.posterior.variance_greatest, _of_posterior(e, e.prior.variance * (1 + _away(e)))


@metric("lower", group=POSTERIOR)
def aggregate_posterior_covariance_distance(e: Evidence) -> Found:
    """Frobenius distance of the covariances of q(z) and the prior; never 0 from few draws."""
    n, d = e.z_hat.shape
    return e.posterior.covariance_distance, _of_posterior(e, e.prior.variance * math.sqrt(d * (d + 1) / n))


@metric("lower", "nats", group=POSTERIOR, needs=(needs.more_draws_than_latents,))
def aggregate_posterior_kl(e: Evidence) -> Found:
    """KL(Gaussian with the moments of q(z) || Gaussian with the prior's), less its mean where q(z) is the prior."""
    less = f"less {metrics.expected_kl(*e.z_hat.shape):.4g}, its mean for a perfect Gaussian posterior"
    return e.posterior.kl, f"{_of_posterior(e)}; {less}, of which it then strays by {e.posterior.kl_error:.2g}"


@metric("lower", group=POSTERIOR)
def aggregate_posterior_mmd(e: Evidence) -> Found:
    """Unbiased squared maximum mean discrepancy between q(z) and the prior."""
    some = e.shuffled(e.z_hat)[:DISCREPANCY_COUNT]
    bandwidth = math.sqrt(e.z_hat.shape[1] * e.prior.variance)
    value = metrics.maximum_mean_discrepancy(some, tasks.sample_latents(e.game, len(some), e.seed + 1), bandwidth)
    return value, f"{_of_posterior(e)}; {len(some)} of each, Gaussian kernel of width {bandwidth:.4g}"
