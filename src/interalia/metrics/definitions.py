"""The library's metrics: ``definitions.toml`` lists them, and the functions of this module compute them.

A function that computes a metric takes an `interalia.metrics.Evidence`, i.e. a game and a split of its data. It returns
the metric's value, and its protocol: a text that says on which and how many samples it was computed, and how. A
function whose name ends with "_sentence" returns a sentence of a run's report. This module needs neither torch nor
numpy until a metric is computed.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from interalia import (
    packaged_toml,
    tasks,  # imports each task at its first use
)
from interalia.metrics import needs
from interalia.metrics.entries import REGISTRY, Group, Metric, Need, Tile, as_number

if TYPE_CHECKING:
    from interalia.metrics.evidence import Evidence

metrics: Any = importlib.import_module("interalia.metrics")  # imports each function at its first use
ValueAndProtocol = tuple[float, str]  # a value and its protocol
Values = Mapping[str, float]
DataDescription = Mapping[str, Any]

TABLES = packaged_toml("interalia.metrics", "definitions.toml")
SENTENCES = TABLES["sentences"]
DISCREPANCY_COUNT = 2_000  # latents for the maximum mean discrepancy, which takes quadratic time


# ---- inference: does the encoder invert the decoder?


def reconstruction(e: Evidence, field: str) -> ValueAndProtocol:
    """One of the errors of the reconstructions of held-out data, and a text on how it was computed.

    `field` chooses the error, by the name of a field of `interalia.metrics.inference.Reconstruction`: "error", the mean
    distance of inputs from their reconstructions; "mismatched", that from other inputs' reconstructions; "ratio", error /
    mismatched; "mse", the mean squared error; or "psnr", the peak signal-to-noise ratio in dB.
    """
    protocol = f"{e.protocol}; means of q(z | x) and p(x | z)"
    return getattr(e.reconstruction, field), f"{protocol}; peak 1" if field == "psnr" else protocol


def latent_reconstruction(e: Evidence) -> ValueAndProtocol:
    """The mean squared error of latents that the encoder infers from samples, and a text on how it was computed.

    It is the error between z, drawn from the prior, and the mean of q(z | x) for the sample x = G(z).
    """
    z_hat = tasks.infer(e.game, e.samples, e.seed + 1, y=e.condition)  # a seed other than z's, for the encoder's noise
    protocol = f"{len(e.z)} draws of the prior, seed {e.seed}; {e.sampling}; means of q(z | x)"
    return metrics.latent_reconstruction(e.z, z_hat), protocol


def ratio_sentence(values: Values, data: DataDescription) -> str:
    """The sentence in a run's report about the reconstruction ratio.

    The ratio is the mean distance of inputs from their own reconstructions over that from other inputs' reconstructions.

    Arguments:
        values: the values of all computed metrics, by their names, among them "reconstruction_ratio".
        data: the data's description in the results; its `shape`, if any, tells images from other inputs.
    """
    ratio = values["reconstruction_ratio"]
    what = "image" if len(data.get("shape") or "abc") == 3 else "input"
    closer = f": an input is {1 / (ratio or 1):.1f} times closer to its own reconstruction than to another one"
    return SENTENCES["ratio"].format(ratio=ratio, what=what, closer=closer if 0 < ratio < 1 else "")


# ---- representation: how well do the encoder's features predict labels?


def knn1(e: Evidence, features: str, balanced: bool = False) -> ValueAndProtocol:
    """The accuracy of 1-nearest-neighbour classification of held-out points, and a text on how it was computed.

    Arguments:
        e: the game and its data.
        features: the features of points: "latents", the means of q(z | x); "hidden", the encoder's last hidden layer;
            "untrained", that layer of the game `e.untrained` with random weights; or "inputs", the flattened x.
        balanced: True for the balanced accuracy, the mean over classes of the share of right predictions.
    """
    train, held_out = probed_features(e, features)
    if balanced:
        predicted = metrics.nearest_neighbour_labels(train, e.train.labels, held_out)
        return metrics.balanced_accuracy(predicted, e.held_out.labels), fitted_protocol(e)
    value = metrics.nearest_neighbour_accuracy(train, e.train.labels, held_out, e.held_out.labels)
    return value, fitted_protocol(e)


def linear_probe(e: Evidence, features: str, balanced: bool = False) -> ValueAndProtocol:
    """The accuracy of logistic regression on held-out points, and a text on how it was computed.

    Arguments:
        e: the game and its data.
        features: the features of points: "latents", the means of q(z | x); "hidden", the encoder's last hidden layer;
            "untrained", that layer of the game `e.untrained` with random weights; or "inputs", the flattened x.
        balanced: True for the balanced accuracy, the mean over classes of the share of right predictions.
    """
    train, held_out = probed_features(e, features)
    protocol = f"{fitted_protocol(e)}, standardized, penalty chosen on a part of it"
    if balanced:
        predicted = metrics.linear_probe_labels(train, e.train.labels, held_out, seed=e.seed)
        return metrics.balanced_accuracy(predicted, e.held_out.labels), protocol
    return metrics.linear_probe_accuracy(train, e.train.labels, held_out, e.held_out.labels, seed=e.seed), protocol


def probed_features(e: Evidence, features: str) -> tuple[Any, Any]:
    """Features of the training points, shape (m, d), and of the held-out points, shape (n, d), to predict labels from.

    Arguments:
        e: the game and its data.
        features: the features of points: "latents", the means of q(z | x); "hidden", the encoder's last hidden layer;
            "untrained", that layer of the game `e.untrained` with random weights; or "inputs", the flattened x.
    """
    if features == "inputs":
        return e.train.x.flatten(1), e.x.flatten(1)
    if features == "untrained":
        assert e.untrained is not None
        return tasks.features(e.untrained, e.train.x, e.seed), tasks.features(e.untrained, e.x, e.seed)
    return getattr(e, features)


def commonest_label(e: Evidence) -> ValueAndProtocol:
    """The accuracy of a prediction that is the commonest label of the training data for all points, and its protocol."""
    labels, counts = e.train.labels.unique(return_counts=True)
    return float((e.held_out.labels == labels[counts.argmax()]).double().mean()), fitted_protocol(e)


def fitted_protocol(e: Evidence) -> str:
    """A text with the numbers of held-out points, and of training points that a classifier of features is fitted to."""
    return f"{e.protocol}; fitted on {len(e.train.x)} of the train split"


def neighbours_sentence(values: Values, data: DataDescription, space: str, where: str) -> str:
    """The sentence in a run's report about an accuracy of 1-nearest-neighbour classification, and its baselines.

    Baselines are the accuracies in the input space and with an untrained encoder, if they were computed. The sentence is
    empty for `space` "latent" if "knn1_features" was computed too, which has its own sentence.

    Arguments:
        values: the values of all computed metrics, by their names; that of the metric itself must be among them.
        data: the data's description in the results; not used.
        space: "latent" or "features": the sentence is about the metric "knn1_latent" or "knn1_features".
        where: a text for the sentence, which completes "in the space of", such as "the inferred z".
    """
    if space == "latent" and "knn1_features" in values:
        return ""
    known = {"input": "in the input space", "random_init": "with an untrained encoder"}
    shown = [f"{values[f'knn1_{name}']:.1%} {text}" for name, text in known.items() if f"knn1_{name}" in values]
    baseline = f"; baselines: {' and '.join(shown)}" if shown else ""
    return SENTENCES["neighbours"].format(where=where, share=values[f"knn1_{space}"], baseline=baseline)


# ---- labels and codes: are they predicted correctly?


def classification_error(e: Evidence, balanced: bool = False) -> ValueAndProtocol:
    """The share of held-out points to which a game that classifies assigns a wrong label, and how it was computed.

    If `balanced`, it is the mean over the classes of this share.
    """
    if balanced:
        return 1 - metrics.balanced_accuracy(e.predicted, e.held_out.labels), e.protocol
    return float((e.predicted != e.held_out.labels).double().mean()), e.protocol


def code_error(e: Evidence) -> ValueAndProtocol:
    """The share of held-out points whose category is matched to a wrong label, and a text on how it was computed.

    A point's category is the most probable one of the game's first categorical code, according to the recognizer of a
    game such as InfoGAN. The categories are matched one to one to the labels on the validation data.
    """
    chosen, count = e.validation, e.codes.categorical[0]
    a, b = (tasks.code_parameters(e.game, x)[:, :count].argmax(1) for x in (chosen.x, e.x))
    matched = f"c1's {count} categories matched one to one to the labels, by the Hungarian method"
    protocol = f"{e.protocol}; {matched}, on {len(chosen.x)} of the validation split"
    return metrics.code_error(b, e.held_out.labels, metrics.matching(a, chosen.labels, count)), protocol


def code_bound(e: Evidence) -> ValueAndProtocol:
    """A lower bound of the mutual information of samples and all of their codes, in nats, and how it was computed.

    Codes are the parts of z that the recognizer of a game such as InfoGAN predicts from x.
    """
    return float(e.code_bounds.sum()), codes_protocol(e)


def code_bound_categories(e: Evidence) -> ValueAndProtocol:
    """A lower bound of the mutual information of samples and their categorical codes, in nats, and how it was computed.

    Codes are the parts of z that the recognizer of a game such as InfoGAN predicts from x.
    """
    count = len(e.codes.categorical)
    most = float(e.codes.entropy.cpu()[:count].sum())
    return float(e.code_bounds[:count].sum()), f"at most {most:.3f}; {codes_protocol(e)}"


def code_stability(e: Evidence) -> ValueAndProtocol:
    """The mutual information of the categories of images before and after small random affine maps, in nats.

    They are the categories of the game's first categorical code, whose probabilities its recognizer predicts for held-out
    images. A text on how the value was computed follows it.
    """
    from interalia.adversarial.disturbances import affine
    from interalia.contexts import device_of, private_rng

    count = e.codes.categorical[0]
    with private_rng(device_of(e.game), e.seed):
        images = (e.x, affine(e.x))
    a, b = (tasks.code_parameters(e.game, x)[:, :count].softmax(1) for x in images)
    return metrics.mutual_information(a, b), f"{e.protocol}; images moved by small affine maps, seed {e.seed}"


def codes_protocol(e: Evidence) -> str:
    """A text with the number of samples that bounds are computed from, and each code's bound and entropy H."""
    codes = zip(e.codes.code_names, e.code_bounds, e.codes.entropy.cpu(), strict=True)
    each = ", ".join(f"{name} {bound:.3f} (H {h:.3f})" for name, bound, h in codes)
    return f"{len(e.z)} samples, {e.sampling}, seed {e.seed}; Q's width for continuous codes fitted to them; {each}"


# ---- translations: are they cycle-consistent, like their domain, and, for pairs, correct?


def cycle_error(e: Evidence) -> ValueAndProtocol:
    """The mean absolute difference of x and x translated to the other domain and back, and how it was computed.

    It is a mean over held-out points, pixels or coordinates, and both domains.
    """
    a, b = e.translations["a"], e.translations["b"]
    back_a, back_b = tasks.translate(e.game, b.made, to="a"), tasks.translate(e.game, a.made, to="b")
    value = float((a.real.x - back_a).abs().mean() + (b.real.x - back_b).abs().mean()) / 2
    return value, two_domains_protocol(e)


def frechet_to(e: Evidence, to: str) -> ValueAndProtocol:
    """The Frechet distance between features of translations into domain `to` and of its data, and how it was computed.

    `to` is "a" or "b".
    """
    return e.translations[to].frechet, translations_protocol(e, to)


def translation_error(e: Evidence, to: str) -> ValueAndProtocol:
    """The mean absolute difference of translations into domain `to` and the true examples, and how it was computed.

    It is a mean over points and pixels or coordinates. `to` is "a" or "b". The true example is the one that is paired
    with the translated one.
    """
    pair = e.translations[to]
    return float((pair.made - pair.real.x).abs().mean()), two_domains_protocol(e)


def translation_psnr(e: Evidence, to: str) -> ValueAndProtocol:
    """The peak signal-to-noise ratio of translations into domain `to`, in dB, and a text on how it was computed.

    The noise is the difference from the true example, which is paired with the translated one. `to` is "a" or "b".
    """
    pair = e.translations[to]
    return metrics.peak_signal_to_noise(pair.made, pair.real.x), f"{two_domains_protocol(e)}; peak 1"


def translation_accuracy(e: Evidence, to: str) -> ValueAndProtocol:
    """The share of translations into domain `to` whose label a classifier predicts right, and how it was computed.

    The true label is that of the example that is paired with the translated one. `to` is "a" or "b".
    """
    pair = e.translations[to]
    predicted: Any = pair.extractor.probabilities(pair.made)
    return float((predicted.argmax(1) == pair.real.y).double().mean()), translations_protocol(e, to)


def two_domains_protocol(e: Evidence) -> str:
    """A text that says how many points of each domain are used, and how many the split has."""
    return f"{e.protocol}, and {len(e.translations['b'].real.x)} of {len(e.points_of_b)} of domain b"


def translations_protocol(e: Evidence, to: str) -> str:
    """A text with the numbers of translations into domain `to` ("a" or "b") and of held-out points, and the extractor."""
    pair = e.translations[to]
    held_out = f"{len(pair.real.x)} held-out of domain {to}, seed {e.seed}"
    return f"{len(pair.made)} translations against {held_out}; {pair.extractor.name}"


def translation_sentence(values: Values, data: DataDescription, source: str, to: str) -> str:
    """The sentence in a run's report about the error of translations, and about the accuracy of their labels, if any.

    Arguments:
        values: the values of all computed metrics, by their names.
        data: the data's description in the results; not used.
        source: the domain of the translated examples, "a" or "b".
        to: the domain that they are translated to, "b" or "a".
    """
    error, accuracy = values[f"translation_error_{to}"], values.get(f"translation_accuracy_{to}")
    rest = "" if accuracy is None else f", and a classifier assigns {accuracy:.1%} of them the true label"
    return f"Translations from {source} to {to} differ from the truth by {error:.3f} per value{rest}."


# ---- samples: are they like the data, and do they cover it?


def frechet(e: Evidence) -> ValueAndProtocol:
    """The Frechet distance between features of samples and of held-out data, and a text on how it was computed.

    For a game between two domains it is the mean of the distances of the translations into either domain.
    """
    found = [one.frechet for one in e.comparisons.values()]
    return (sum(found) / 2, _mean_protocol(e)) if e.translates else (found[0], samples_protocol(e))


def frechet_real_vs_real(e: Evidence) -> ValueAndProtocol:
    """The Frechet distance between features of held-out points and of as many training points, and how it was computed.

    It is what a perfect model would reach. For a game between two domains it is the mean over both.
    """
    found = [one.frechet_real for one in e.comparisons.values()]
    if e.translates:
        return sum(found) / 2, f"as many of the train split; {_mean_protocol(e)}"
    same = f" with the same {e.game.data.y}" if e.condition is not None else ""
    return found[0], f"{len(e.x)} of the train split{same} against {e.protocol}; {e.extractor.name}"


def _mean_protocol(e: Evidence) -> str:
    """A text on how a mean over domains a and b was computed: the numbers of points, and the names of the extractors."""
    extractors = " and ".join(dict.fromkeys(one.extractor.name for one in e.comparisons.values()))
    return f"mean of both domains; {two_domains_protocol(e)}; {extractors}"


def frechet_sentence(values: Values, data: DataDescription, metric: str) -> str:
    """The sentence in a run's report about the Frechet distance, and about that of real data if it was computed.

    Arguments:
        values: the values of all computed metrics, by their names.
        data: the data's description in the results; not used.
        metric: "frechet_distance" or "fid", the name of the metric.
    """
    real = values.get("fid_real_vs_real" if metric == "fid" else "frechet_real_vs_real")
    made = "translations" if "cycle_error" in values else "samples"
    own = "classifier" if "inception_score" in values else "features"
    kind = "FID" if metric == "fid" else f"Frechet distance (own {own}, not FID)"
    baseline = f"; {as_number(real)} between real training data and held-out data" if real is not None else ""
    return SENTENCES["frechet"].format(kind=kind, made=made, distance=as_number(values[metric]), baseline=baseline)


def kernel_real_vs_real(e: Evidence) -> ValueAndProtocol:
    """The kernel distance between features of as many training points and of held-out data, and how it was computed.

    It is what a perfect model would reach: 0 on average.
    """
    one = e.comparisons["x"]
    # a training point has the label of the held-out point in the same row
    value = metrics.kernel_distance(one.features[0], one.train_features, seed=e.seed, paired=e.condition is not None)
    return value, f"{len(one.train_features)} of the train split against {e.protocol}; {e.extractor.name}"


def frechet_untranslated(e: Evidence) -> ValueAndProtocol:
    """The mean over both domains of the Frechet distance between a domain's held-out points and the other domain's.

    It is what translations would reach that change nothing. A text on how it was computed follows the value.
    """
    a, b = e.translations["a"], e.translations["b"]
    found = [metrics.frechet_distance(to.features[0], to.extractor(of.real.x)) for to, of in ((a, b), (b, a))]
    return sum(found) / 2, _mean_protocol(e)


def kernel_distance(e: Evidence) -> ValueAndProtocol:
    """The kernel distance between features of samples and of held-out data, and a text on how it was computed.

    It is the unbiased squared maximum mean discrepancy under a cubic kernel.
    """
    value = metrics.kernel_distance(*e.features, seed=e.seed, paired=e.condition is not None)
    return value, f"{samples_protocol(e)}; 100 subsets of 1000, or all samples if there are no more"


def inception_score(e: Evidence, real: bool) -> ValueAndProtocol:
    """The inception score of held-out data if `real`, else of samples, and a text on how it was computed.

    It is exp(I), with I the mutual information of x and its class, as the extractor predicts it.
    """
    assert e.probabilities is not None
    p = e.permuted(e.probabilities[0 if real else 1])  # so that every split has all labels
    splits = min(10, max(1, len(p) // 100))  # fewer than 100 samples estimate p(y) badly
    protocol = f"{e.protocol}; {e.extractor.name}" if real else samples_protocol(e)
    return metrics.inception_score(p, splits), f"{protocol}; {splits} splits"


def label_accuracy(e: Evidence, balanced: bool = False) -> ValueAndProtocol:
    """The accuracy of a classifier's labels of samples, and a text on how it was computed.

    A label is right if it is the one that the sample is conditioned on. If `balanced`, it is the mean over the labels of the
    share of right ones.
    """
    assert e.probabilities is not None
    (y,) = tasks.condition(e.game, e.condition, len(e.samples))
    found, labels = e.probabilities[1].argmax(1), y.argmax(1)
    accuracy = metrics.balanced_accuracy(found, labels) if balanced else float((found == labels).double().mean())
    return accuracy, f"{len(e.samples)} samples, {e.sampling}, {e.protocol}; {e.extractor.name}"


def neighbourhoods(e: Evidence, field: str) -> ValueAndProtocol:
    """The precision, recall, density or coverage of samples, and a text on how it was computed.

    `field` chooses one of the four by its name. They are computed from nearest neighbours in the extractor's features.
    """
    return getattr(e.neighbourhoods, field), f"{samples_protocol(e)}; k = {e.k}"


def samples_protocol(e: Evidence) -> str:
    """A text with the numbers of samples and of held-out points, how the samples are drawn, and the extractor."""
    return f"{len(e.samples)} samples, {e.sampling}, against {e.protocol}; {e.extractor.name}"


# ---- mixtures: are all modes found, in the right proportions?


def modes_reached(e: Evidence, field: str) -> ValueAndProtocol:
    """One of the numbers on how samples cover the modes of the data's Gaussian mixture, and how it was computed.

    `field` chooses the number, by the name of a field of `interalia.metrics.coverage.ModeCoverage`: "modes",
    "high_quality" or "reverse_kl".
    """
    counted = f"{sum(e.modes.histogram)} samples, {e.sampling}, seed {e.seed}"
    return getattr(e.modes, field), f"{counted}; nearest mean, three standard deviations, as in PacGAN"


def modes_assigned(e: Evidence) -> ValueAndProtocol:
    """The number of modes of the data's mixture that are nearest to at least one sample, and how it was computed."""
    protocol = f"{len(e.mixture_samples)} samples, {e.sampling}, seed {e.seed}; by responsibility, as in ALI"
    return e.coverage_of(e.mixture_samples).modes_assigned, protocol


def modes_sentence(values: Values, data: DataDescription) -> str:
    """The sentence in a run's report about the modes of the data's mixture that samples reach.

    A mode is reached if it is the nearest one of a sample whose distance from the mode's mean is at most three standard
    deviations.

    Arguments:
        values: the values of all computed metrics, by their names, among them "modes".
        data: the data's description in the results; not used.
    """
    count = round(values["modes"])
    found = f"Samples reach {count:,} mode{'' if count == 1 else 's'} of the mixture"
    if "high_quality" in values:
        found += f", and {values['high_quality']:.1%} of them lie within three standard deviations of a mode"
    return found + "."


# ---- aggregate posterior q(z) = E_x q(z | x): is it the prior?


def posterior_moment(e: Evidence, field: str) -> ValueAndProtocol:
    """One of the moments of the aggregate posterior q(z) = E_x q(z | x), and a text on how it was computed.

    `field` chooses the moment, by the name of a field of `interalia.metrics.inference.PosteriorMoments`, such as
    "mean_norm" or "variance". For "mean_norm", "variance_min", "variance_max" and "covariance_distance" the text also
    has the approximate value of as many samples of the prior itself, for comparison.
    """
    (n, d), v = e.z_hat.shape, e.prior.variance
    spread = 2 * math.sqrt(math.log(d) / n)  # relative deviation of the smallest and the largest variance from v
    perfect = {
        "mean_norm": math.sqrt(d * v / n),
        "variance_min": max(0.0, v * (1 - spread)),
        "variance_max": v * (1 + spread),
        "covariance_distance": v * math.sqrt(d * (d + 1) / n),
    }
    expected = f"; about {perfect[field]:.3g} for a perfect posterior with {n} draws" if field in perfect else ""
    return getattr(e.posterior, field), posterior_protocol(e) + expected


def aggregate_posterior_kl(e: Evidence) -> ValueAndProtocol:
    """The Kullback-Leibler divergence of the aggregate posterior q(z) = E_x q(z | x) to the prior p(z), in nats.

    It is that of Gaussians with the moments of both, less its expectation if q(z) = p(z). A text on how it was computed
    follows the value.
    """
    less = f"less {metrics.expected_kl(*e.z_hat.shape):.4g}, its expectation for a perfect Gaussian posterior"
    return e.posterior.kl, f"{posterior_protocol(e)}; {less} (standard error {e.posterior.kl_error:.2g})"


def aggregate_posterior_mmd(e: Evidence) -> ValueAndProtocol:
    """The unbiased squared maximum mean discrepancy between the aggregate posterior q(z) = E_x q(z | x) and the prior.

    It is computed from at most 2,000 samples of each, with a Gaussian kernel. A text on how it was computed follows it.
    """
    z_hat = e.permuted(e.z_hat)[:DISCREPANCY_COUNT]
    bandwidth = math.sqrt(e.z_hat.shape[1] * e.prior.variance)
    value = metrics.maximum_mean_discrepancy(z_hat, tasks.sample_latents(e.game, len(z_hat), e.seed + 1), bandwidth)
    return value, f"{posterior_protocol(e)}; {len(z_hat)} of each, Gaussian kernel of width {bandwidth:.4g}"


def posterior_protocol(e: Evidence) -> str:
    """A text with the number of samples of the aggregate posterior, and the mean and the variance of the prior."""
    mean, variance = e.prior.mean, e.prior.variance
    return f"{e.protocol}; one draw of q(z | x) each; the prior has mean {mean:g} and variance {variance:.4g}"


# ---- the entries of the registry


def _function(name: str, **arguments: Any) -> Any:
    """Returns the function of this module with the given name, with the keyword arguments bound to it.

    Raises a KeyError if there is none.
    """
    return partial(globals()[name], **arguments)


def _needs(names: list[str]) -> tuple[Need, ...]:
    """Returns the requirements of metrics that are the variables with these names in `interalia.metrics.needs`."""
    return tuple(getattr(needs, name) for name in names)


GROUPS = {key: Group(group["name"], _needs(group["needs"])) for key, group in TABLES["groups"].items()}


def _metric(name: str, fields: Mapping[str, Any]) -> Metric:
    """Returns the metric of this name.

    `fields` is the metric's table in ``definitions.toml``, which describes its keys: the arguments of `Metric`, with
    the names of functions, groups and requirements in place of objects.
    """
    made = {"function": _function(**fields.get("function", {"name": name})), "group": GROUPS[fields["group"]]}
    if "needs" in fields:
        made["needs"] = _needs(fields["needs"])
    if "tile" in fields:
        made["tile"] = Tile(**fields["tile"])
    if isinstance(fields.get("sentence"), dict):
        made["sentence"] = _function(**fields["sentence"])
    return Metric(**{"name": name, **fields, **made})


for _name, _fields in TABLES["metrics"].items():
    REGISTRY.add(_name, _metric(_name, _fields))
