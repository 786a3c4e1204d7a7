"""What a metric may need of a game and its data; each docstring completes "it needs ..." in an error.

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
    """a game that draws samples, not one between two domains"""
    return not e.translates


def images(e: Evidence) -> bool:
    """images, and not vectors"""
    return e.dataset.is_image


def mixture(e: Evidence) -> bool:
    """data that is a mixture of known modes"""
    return e.dataset.mixture is not None and not e.translates


def features(e: Evidence) -> bool:
    """data that is compared in features, and no mixture of known modes"""
    return e.dataset.mixture is None or e.translates


def labels(e: Evidence) -> bool:
    """labels of the held-out data"""
    return e.part.y is not None


def unconditional_labels(e: Evidence) -> bool:
    """labelled data that is no mixture, and a game that is not conditional on the labels"""
    # an encoder that is given the label proves nothing
    return e.dataset.mixture is None and labels(e) and e.dataset.train.y is not None and e.conditions is None


def several_classes(e: Evidence) -> bool:
    """training data of two or more classes"""
    return e.train.y is not None and len(set(e.train.y.tolist())) > 1


def untrained(e: Evidence) -> bool:
    """a game of the same networks with random weights, with an encoder"""
    return isinstance(e.untrained, interalia.games.capabilities.Infers)


def centred_prior(e: Evidence) -> bool:
    """a prior whose dimensions are alike"""
    return isinstance(e.game, interalia.games.capabilities.Generates) and hasattr(e.prior, "mean")


def more_draws_than_latents(e: Evidence) -> bool:
    """more held-out points than latent dimensions"""
    return len(e.z_hat) > e.z_hat.shape[1]


def classifies(e: Evidence) -> bool:
    """a game that reads labels off data"""
    return e.game.data.classes > 0


def recognises(e: Evidence) -> bool:
    """a game that recognises codes"""
    return isinstance(e.game, interalia.games.capabilities.HasCodes)


def categorical(e: Evidence) -> bool:
    """a prior with categorical codes"""
    return bool(e.codes.categorical)


def validation_labels(e: Evidence) -> bool:
    """labels of the validation data"""
    return e.dataset.validation.y is not None


def probabilities(e: Evidence) -> bool:
    """features of a network that knows classes"""
    return e.probabilities is not None


def classifier(e: Evidence) -> bool:
    """features of a classifier of the data's labels"""
    return e.classifier


def conditional_on_labels(e: Evidence) -> bool:
    """a game that is conditional on labels"""
    return bool(e.game.data.condition) and not e.game.data.attributes


def paired(e: Evidence) -> bool:
    """two domains whose examples are pairs"""
    return e.dataset.paired


def read_in_a(e: Evidence) -> bool:
    """a classifier of domain a, and labels of its held-out data"""
    return e.translations["a"].readable


def read_in_b(e: Evidence) -> bool:
    """a classifier of domain b, and labels of its held-out data"""
    return e.translations["b"].readable
