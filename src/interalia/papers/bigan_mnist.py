"""BiGAN's table on permutation-invariant MNIST: what features are worth that were learned in different ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import as_tensor
from interalia.networks.perceptrons import BiGANCritic
from interalia.papers.experiment import slug
from interalia.papers.study import Column, Row, Study, Trial
from interalia.registry import Part
from interalia.runs import recipes
from interalia.tasks.calling import in_batches

OURS: Mapping[str, Any] = {"divergence": "relativistic", "penalty": Part("r1r2", gamma=1.0, every=4), "ema": 0.998}
FAR = "BiGAN with a round trip of 50, a pass of the critic for each joint"
WAYS: Mapping[str, Mapping[str, Any]] = {  # a row's name -> what differs from BiGAN as published
    "BiGAN": {},
    "BiGAN, a pass of the critic for each joint": {"game": Part("ali", together=False)},
    "D": {"game": "gan"},
    "LR": {"game": Part("latent-regressor", distance="cross-entropy")},
    "JLR": {"game": Part("joint-latent-regressor", weight=0.25, distance="cross-entropy")},
    "AE l2": {"game": Part("aae", adversarial=0.0)},
    "AE l1": {"game": Part("aae", adversarial=0.0, distance="l1")},
    FAR: {"game": Part("alice", cycle=50.0, together=False), "ema": 0.998},
    "ours": OURS,
    "ours, with a round trip": {"game": Part("alice", cycle=2.0), **OURS},
}
AFTER = {"LR": "D"}
FIGURES = {"BiGAN": "97.39", "D": "97.30", "LR": "97.44", "JLR": "97.13", "AE l2": "97.58", "AE l1": "97.63"}
PAPER = recipes.bigan_mnist_paper(steps=156_000)


class Features(Trial):
    points = 10_000

    def neighbours(self, layer: Callable[[Tensor], Tensor]) -> float:
        """1-nearest-neighbour accuracy of test images among all training images, %."""
        train = self.dataset.train
        known = layer(as_tensor(train.x)), torch.from_numpy(train.y)
        return 100 * metrics.nearest_neighbour_accuracy(*known, layer(self.x), self.held_out.labels)

    def last(self, x: Tensor) -> Tensor:
        """The last hidden layer before the output: of the encoder, or of a game without one of the critic."""
        if self.infers:
            return tasks.features(self.game, x)
        critic = self.game.critic
        assert isinstance(critic, BiGANCritic)
        with tasks.quietly(self.game):
            return in_batches(critic.hidden, x, device=tasks.device_of(self.game))

    @property
    def inferred(self) -> float | None:
        return self.neighbours(lambda x: tasks.encode(self.game, x)) if self.infers else None


BIGAN_MNIST = Study(
    name="bigan-mnist",
    about="BiGAN's permutation-invariant MNIST: 1-nearest-neighbour accuracy of features learned in different ways.",
    rows={
        "random weights": PAPER.replace(name="random", steps=0),
        **{
            row: Row(PAPER.replace(name=f"bigan-{slug(row)}", **own), after=AFTER.get(row)) for row, own in WAYS.items()
        },
    },
    columns={
        "hidden": Column("1-NN, last hidden layer, % ↑", lambda t: t.neighbours(t.last)),
        "latent": Column("1-NN, z, % ↑", lambda t: t.inferred),
        "error": Column("||x - G(E(x))|| ↓", "reconstruction_error"),
        "ratio": Column("the same over another image's ↓", "reconstruction_ratio"),
    },
    trial=Features,
    paper={
        **{row: {"BiGAN, Table 1": {"hidden": accuracy}} for row, accuracy in FIGURES.items()},
        "random weights": {"BiGAN's log, epoch 0": {"hidden": "96.84"}},
    },
    quick={"data": "digits", "networks": Part("bigan-mlp", width=64), "population": 5, "steps": 40},
    measured="all 10,000 test images, 50,000 training images to look among, Euclidean distance",
    deviations="the recipe bigan-mnist-paper for all rows; D: the features of a GAN's critic; LR: an encoder for that GAN, "
    "as many steps again; the weight of the row with a round trip of 50 was chosen on validation images; the authors' log "
    "has 92.10 % for z, and a ratio of 5.95 / 9.60 = 0.62",
    checkpoint_every=1000,
    seeds=1,
)
