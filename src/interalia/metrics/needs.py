"""Requirements of metrics on a game and its data; each docstring completes "it needs ..." in an error.

This module needs neither torch nor numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import interalia

if TYPE_CHECKING:
    from interalia.metrics.evidence import Evidence


def translates(e: Evidence) -> bool:
    """a game between two domains"""
    return e.translates


def infers(e: Evidence) -> bool:
    """a game with an encoder"""
    return isinstance(e.game, interalia.games.capabilities.Infers) and not e.translates


def samples(e: Evidence) -> bool:
    """a game that draws samples and has one domain"""
    return not e.translates


def images(e: Evidence) -> bool:
    """images"""
    return e.dataset.is_image


def mixture(e: Evidence) -> bool:
    """data from a mixture of known modes"""
    return e.dataset.mixture is not None and not e.translates


def features(e: Evidence) -> bool:
    """data other than a mixture of known modes"""
    return e.dataset.mixture is None or e.translates


def labels(e: Evidence) -> bool:
    """labels of the held-out data"""
    return e.part.y is not None


def unconditional_labels(e: Evidence) -> bool:
    """labelled data other than a mixture, and a game that is not conditional on the labels"""
    # features of an encoder that gets the label as input would predict it trivially
    return e.dataset.mixture is None and labels(e) and e.dataset.train.y is not None and e.conditions is None


def several_classes(e: Evidence) -> bool:
    """training data of two or more classes"""
    return e.train.y is not None and len(set(e.train.y.tolist())) > 1


def untrained(e: Evidence) -> bool:
    """a game of the same networks with random weights, with an encoder"""
    return isinstance(e.untrained, interalia.games.capabilities.Infers)


def prior_moments(e: Evidence) -> bool:
    """a prior whose dimensions have one mean and variance"""
    return isinstance(e.game, interalia.games.capabilities.Generates) and hasattr(e.prior, "mean")


def more_draws_than_latents(e: Evidence) -> bool:
    """more held-out points than latent dimensions"""
    return len(e.z_hat) > e.z_hat.shape[1]


def classifies(e: Evidence) -> bool:
    """a game that classifies data"""
    return e.game.data.classes > 0


def has_codes(e: Evidence) -> bool:
    """a game whose prior has codes, such as InfoGAN"""
    return isinstance(e.game, interalia.games.capabilities.HasCodes)


def categorical(e: Evidence) -> bool:
    """a prior with categorical codes"""
    return bool(e.codes.categorical)


def validation_labels(e: Evidence) -> bool:
    """labels of the validation data"""
    return e.dataset.validation.y is not None


def probabilities(e: Evidence) -> bool:
    """features of a network that predicts classes"""
    return e.probabilities is not None


def inception_features(e: Evidence) -> bool:
    """Inception features (`features='inception'`, which needs images); without them it is `frechet_distance` or
    `kernel_distance`
    """
    return e.inception


def own_features(e: Evidence) -> bool:
    """features other than Inception's; with Inception features it is `fid` or `kid`"""
    return not e.inception


def classifier(e: Evidence) -> bool:
    """features of a classifier of the data's labels"""
    return e.classifier


def conditional_on_labels(e: Evidence) -> bool:
    """a game that is conditional on labels"""
    return bool(e.game.data.condition) and not e.game.data.attributes


def paired(e: Evidence) -> bool:
    """two domains whose examples are pairs"""
    return e.dataset.paired


def classifier_of_a(e: Evidence) -> bool:
    """a classifier of domain a, and labels of its held-out data"""
    return e.translations["a"].has_true_classes


def classifier_of_b(e: Evidence) -> bool:
    """a classifier of domain b, and labels of its held-out data"""
    return e.translations["b"].has_true_classes
