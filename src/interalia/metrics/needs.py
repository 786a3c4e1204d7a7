"""Requirements of metrics on a game and its data, as variables; their texts for errors are in ``definitions.toml``.

This module needs neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import interalia
from interalia import packaged_toml
from interalia.metrics.entries import Need

if TYPE_CHECKING:
    from interalia.metrics.evidence import Evidence

UNEQUAL = (
    1.15  # the share of the commonest label times the number of labels, above which balanced accuracies are computed
)
TEXTS: dict[str, str] = packaged_toml("interalia.metrics", "definitions.toml")["needs"]


def _need(name: str, met: Callable[[Evidence], bool]) -> Need:
    """Returns the requirement whose text for errors has this name in ``definitions.toml``.

    `met` returns True if the game and the data of an `interalia.metrics.Evidence` meet it.
    """
    return Need(TEXTS[name], met)


def _has(game: object, capability: str) -> bool:
    """True if the game has the capability of this name, a class in `interalia.games.capabilities` such as "Infers"."""
    return isinstance(game, getattr(interalia.games.capabilities, capability))


translates = _need("translates", lambda e: e.translates)
infers = _need("infers", lambda e: _has(e.game, "Infers") and not e.translates)
samples = _need("samples", lambda e: not e.translates)
images = _need("images", lambda e: e.dataset.is_image)
unit_images = _need("unit_images", lambda e: e.dataset.is_image and (e.game is None or e.game.data.support == "unit"))
mixture = _need("mixture", lambda e: e.dataset.mixture is not None and not e.translates)
features = _need("features", lambda e: e.dataset.mixture is None or e.translates)
labels = _need("labels", lambda e: e.split_points.y is not None)
# features of an encoder that gets the label as input would predict it trivially
unconditional_labels = _need(
    "unconditional_labels",
    lambda e: e.dataset.mixture is None and labels.met(e) and e.dataset.train.y is not None and e.conditions is None,
)
several_classes = _need("several_classes", lambda e: e.train.y is not None and len(set(e.train.y.tolist())) > 1)
unequal_classes = _need("unequal_classes", lambda e: several_classes.met(e) and e.imbalance > UNEQUAL)
untrained = _need("untrained", lambda e: _has(e.untrained, "Infers"))
prior_moments = _need("prior_moments", lambda e: _has(e.game, "Generates") and hasattr(e.prior, "mean"))
more_samples_than_latents = _need("more_samples_than_latents", lambda e: len(e.z_hat) > e.z_hat.shape[1])
classifies = _need("classifies", lambda e: e.game.data.classes > 0)
has_codes = _need("has_codes", lambda e: _has(e.game, "HasCodes"))
categorical = _need("categorical", lambda e: bool(e.codes.categorical))
validation_labels = _need("validation_labels", lambda e: e.dataset.validation.y is not None)
probabilities = _need("probabilities", lambda e: e.probabilities is not None)
inception_features = _need("inception_features", lambda e: e.inception)
own_features = _need("own_features", lambda e: not e.inception and not e.file_features)
file_features = _need("file_features", lambda e: bool(e.file_features))
classifier = _need("classifier", lambda e: e.classifier)
conditional_on_labels = _need(
    "conditional_on_labels",
    lambda e: bool(e.game.data.condition) and not e.game.data.attributes and not e.dataset.clusters,
)
paired = _need("paired", lambda e: e.dataset.paired)
classifier_of_a = _need("classifier_of_a", lambda e: e.translations["a"].has_true_classes)
classifier_of_b = _need("classifier_of_b", lambda e: e.translations["b"].has_true_classes)
