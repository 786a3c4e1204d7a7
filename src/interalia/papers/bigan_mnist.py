"""BiGAN's experiment on MNIST as vectors of pixels: how well the features of several methods predict the digit, by 1-NN."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import as_tensor
from interalia.networks.perceptrons import BiGANCritic
from interalia.papers.experiment import Values, texts
from interalia.papers.study import Study, Trial, rows_of
from interalia.tasks.calling import map_batches


class Features(Trial):
    """One trained run of the experiment bigan-mnist, whose features are tested by 1-nearest-neighbor classification."""

    points = 10_000

    def neighbours(self, layer: Callable[[Tensor], Tensor]) -> float:
        """Returns the accuracy, %, of 1-nearest-neighbor classification of all test images: the label of the nearest training
        image, by Euclidean distance of features. `layer` maps images, shape (n, *shape), to their features, shape (n, d).
        """
        train = self.dataset.train
        known = layer(as_tensor(train.x)), torch.from_numpy(train.y)
        return 100 * metrics.nearest_neighbour_accuracy(*known, layer(self.x), self.held_out.labels)

    def last(self, x: Tensor) -> Tensor:
        """Returns the last hidden layer of the encoder, or of the critic if there is none, for images x: (n, features)."""
        if self.infers:
            return tasks.features(self.game, x)
        critic = self.game.critic
        assert isinstance(critic, BiGANCritic)
        with tasks.evaluating(self.game):
            return map_batches(critic.hidden, x, device=tasks.device_of(self.game))

    @cached_property
    def values(self) -> Values:
        """Column -> accuracy of 1-nearest-neighbor classification, %: `hidden`, on the last hidden layer of the encoder or,
        if there is no encoder, of the critic; and, with an encoder, `latent`, on the latents z.
        """
        latent = {"latent": self.neighbours(partial(tasks.encode, self.game))} if self.infers else {}
        return {"hidden": self.neighbours(self.last), **latent}


BIGAN_MNIST = Study(**texts("bigan-mnist"), rows=rows_of("bigan-mnist"), trial=Features)
