"""BiGAN's table on permutation-invariant MNIST: what features are worth that were learned in different ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from interalia import tasks
from interalia.contexts import device_of, quietly
from interalia.data.store import as_tensor
from interalia.metrics.inference import nearest_neighbour_accuracy, reconstruction
from interalia.networks.mlp import BiGANCritic
from interalia.papers.experiment import slug
from interalia.papers.study import Column, Row, Study, Trial
from interalia.registry import Part
from interalia.runs import recipes
from interalia.tasks.calling import in_batches

GAN = "D"
WAYS: Mapping[str, Mapping[str, Any]] = {  # a row's name -> what differs from BiGAN as published
    "BiGAN": {},
    "BiGAN, a pass of the critic for each joint": {"game": Part("ali", together=False)},
    GAN: {"game": "gan"},
    "LR": {"game": Part("latent-regressor", distance="cross-entropy")},
    "JLR": {"game": Part("joint-latent-regressor", weight=0.25, distance="cross-entropy")},
    "AE l2": {"game": Part("aae", adversarial=0.0)},
    "AE l1": {"game": Part("aae", adversarial=0.0, distance="l1")},
    "BiGAN with a round trip of 50, a pass of the critic for each joint": {
        "game": Part("alice", cycle=50.0, together=False),
        "ema": 0.998,
    },
    "ours": {"divergence": "relativistic", "penalty": Part("r1r2", gamma=1.0, every=4), "ema": 0.998},
    "ours, with a round trip": {
        "game": Part("alice", cycle=2.0),
        "divergence": "relativistic",
        "penalty": Part("r1r2", gamma=1.0, every=4),
        "ema": 0.998,
    },
}
FIGURES = {"BiGAN": "97.39", GAN: "97.30", "LR": "97.44", "JLR": "97.13", "AE l2": "97.58", "AE l1": "97.63"}
PAPER = recipes.bigan_mnist_paper(steps=156_000)


class Features(Trial):
    count = 10_000

    def neighbours(self, layer: Callable[[Tensor], Tensor]) -> float:
        """1-nearest-neighbour accuracy of test images among all training images, %."""
        train = self.dataset.train
        assert train.y is not None
        known = layer(as_tensor(train.x)), torch.from_numpy(train.y)
        return 100 * nearest_neighbour_accuracy(*known, layer(self.x), self.y)

    def hidden(self, x: Tensor) -> Tensor:
        """The last hidden layer before the output: of the encoder, or of a game without one of the critic."""
        if self.infers:
            return tasks.features(self.game, x)
        critic = self.game.critic
        assert isinstance(critic, BiGANCritic)
        with quietly(self.game):
            return in_batches(critic.hidden, x, device=device_of(self.game))

    @cached_property
    def again(self) -> Any:
        return reconstruction(self.x, self.x_hat)


BIGAN_MNIST = Study(
    name="bigan-mnist",
    about="BiGAN's permutation-invariant MNIST: 1-nearest-neighbour accuracy of features learned in different ways.",
    rows={
        "random weights": PAPER.replace(name="random", steps=0),
        **{
            row: Row(PAPER.replace(name=f"bigan-{slug(row)}", **changes), after=GAN if row == "LR" else None)
            for row, changes in WAYS.items()
        },
    },
    trial=Features,
    columns={
        "hidden": Column("1-NN, last hidden layer, % ↑", lambda t: t.neighbours(t.hidden)),
        "latent": Column(
            "1-NN, z, % ↑", lambda t: t.neighbours(lambda x: tasks.encode(t.game, x)) if t.infers else None
        ),
        "error": Column("||x - G(E(x))|| ↓", lambda t: t.again.error if t.infers else None),
        "ratio": Column("the same over another image's ↓", lambda t: t.again.ratio if t.infers else None),
    },
    paper={
        **{row: {"BiGAN, Table 1": {"hidden": accuracy}} for row, accuracy in FIGURES.items()},
        "random weights": {"BiGAN's log, epoch 0": {"hidden": "96.84"}},
    },
    quick={"data": "digits", "networks": Part("bigan-mlp", width=64), "population": 5, "steps": 40},
    measured="all 10,000 test images, 50,000 training images to look among, Euclidean distance",
    deviations="the recipe bigan-mnist-paper's settings for all rows (400 epochs of 50,000 images); D: the features of a "
    "GAN's critic; LR: an encoder for that GAN, as many steps again; AE: the autoencoder of the same networks by the mean "
    "squared or absolute error; the weight of the row with a round trip of 50 was chosen on validation images; the authors' "
    "log has 92.10 % for z, and a ratio of 5.95 / 9.60 = 0.62",
    checkpoint_every=1000,
    seeds=1,
)
