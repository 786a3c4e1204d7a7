"""BiGAN's table on permutation-invariant MNIST: features learned by different methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import as_tensor
from interalia.networks.perceptrons import BiGANCritic
from interalia.papers.experiment import Values, slug, texts
from interalia.papers.study import Row, Study, Trial
from interalia.registry import Part
from interalia.runs import recipes
from interalia.tasks.calling import map_batches

OURS: Mapping[str, Any] = {
    "divergence": "relativistic",
    "penalty": Part("r1r2", gamma=1.0, every=4),
    "weight_average": "ema(0.998)",
}
STRONG_CYCLE = "BiGAN with a reconstruction loss of weight 50, a pass of the critic for each joint"
METHODS: Mapping[str, Mapping[str, Any]] = {  # name of a row -> the changes to BiGAN as published
    "BiGAN": {},
    "BiGAN, a pass of the critic for each joint": {"game": Part("ali", joint_batch=False)},
    "D": {"game": "gan"},
    "LR": {"game": Part("latent-regressor", distance="cross-entropy")},
    "JLR": {"game": Part("joint-latent-regressor", weight=0.25, distance="cross-entropy")},
    "AE l2": {"game": Part("aae", adversarial=0.0)},
    "AE l1": {"game": Part("aae", adversarial=0.0, distance="l1")},
    STRONG_CYCLE: {"game": Part("alice", cycle=50.0, joint_batch=False), "weight_average": "ema(0.998)"},
    "ours": OURS,
    "ours, with a reconstruction loss": {"game": Part("alice", cycle=2.0), **OURS},
}
PAPER = recipes.bigan_mnist_paper(steps=156_000)


class Features(Trial):
    """The accuracy of 1-nearest-neighbor classification on features and on latents."""

    points = 10_000

    def neighbours(self, layer: Callable[[Tensor], Tensor]) -> float:
        """Returns the 1-nearest-neighbor accuracy of test images among all training images, %."""
        train = self.dataset.train
        known = layer(as_tensor(train.x)), torch.from_numpy(train.y)
        return 100 * metrics.nearest_neighbour_accuracy(*known, layer(self.x), self.held_out.labels)

    def last(self, x: Tensor) -> Tensor:
        """Returns the last hidden layer of the encoder, or of the critic if there is no encoder."""
        if self.infers:
            return tasks.features(self.game, x)
        critic = self.game.critic
        assert isinstance(critic, BiGANCritic)
        with tasks.evaluating(self.game):
            return map_batches(critic.hidden, x, device=tasks.device_of(self.game))

    @cached_property
    def values(self) -> Values:
        latent = {"latent": self.neighbours(partial(tasks.encode, self.game))} if self.infers else {}
        return {"hidden": self.neighbours(self.last), **latent}


BIGAN_MNIST = Study(
    **texts("bigan-mnist"),
    rows={
        "random weights": PAPER.replace(name="random", steps=0),
        **{
            row: Row(PAPER.replace(name=f"bigan-{slug(row)}", **own), after="D" if row == "LR" else None)
            for row, own in METHODS.items()
        },
    },
    trial=Features,
    quick={"data": "digits", "networks": Part("bigan-mlp", width=64), "recalibrate_bn": 5, "steps": 40},
    checkpoint_every=1000,
    seeds=1,
)
