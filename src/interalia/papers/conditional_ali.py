"""Conditional ALI: labels and attributes that the networks are given."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.papers.experiment import Values, slug
from interalia.papers.study import SMALL, Row, Study, Trial, percentage
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import recipes

GAMES = {
    "conditional ALI": "ali",
    "conditional ALI with the round trip": Part("alice", cycle=2.0),
    "conditional GAN": "gan",
}
ATTRIBUTES = ("Male", "Smiling", "Blond_Hair", "Eyeglasses")  # those that a person sees at 32 pixels
DIGITS = recipes.cali_mnist(steps=8000)
FACES = recipes.cali_celeba(size=32, latent=64, attributes=",".join(ATTRIBUTES), steps=8000)
SHOWN = 10


class Digits(Trial):
    points = 5000

    @property
    def wanted(self) -> Tensor:
        """What samples are made of: as many of each label."""
        labels = self.game.data.condition
        return torch.arange(labels).repeat_interleave(self.points // labels)

    @property
    def edited(self) -> Tensor:
        """Whether test images under another label, drawn at random, are read as that."""
        labels, y = self.game.data.condition, self.held_out.labels
        apart = torch.randint(1, labels, y.shape, generator=torch.Generator().manual_seed(0))
        wanted = (y + apart) % labels
        return self.judge.read(tasks.edit(self.game, self.x, y, wanted)) == wanted

    @cached_property
    def values(self) -> Values:
        z = tasks.latents(self.game, len(self.wanted), self.seed)
        read = self.judge.read(tasks.decode(self.game, z, y=self.wanted))
        found = {"generated": percentage(read == self.wanted), "photographs": 100 * self.judge.accuracy}
        if self.infers:
            found["edited"] = percentage(self.edited)
            found["reconstructed"] = percentage(self.judge.read(self.x_hat) == self.condition)
            found["mse"] = self.mse
        return found

    def draw(self) -> None:
        plots.grid(tasks.by_label(self.game, 10, self.seed).numpy(), self.picture(), columns=10)
        if self.infers:
            edits = tasks.edits(self.game, self.x[:SHOWN], self.held_out.labels[:SHOWN]).numpy()
            plots.interpolations(self.x[:SHOWN].numpy(), edits, None, self.picture("-edits"))


class Faces(Digits):
    @cached_property
    def judge(self) -> metrics.Classifier:
        return metrics.Classifier.of(self.dataset, attributes=ATTRIBUTES)

    @property
    def wanted(self) -> Tensor:
        """What real faces have together."""
        assert self.condition is not None
        return self.condition.float()

    @cached_property
    def edits(self) -> Tensor:
        """Each face with each attribute turned over, (n, attributes, *shape)."""
        return tasks.edits(self.game, self.x, self.wanted)

    @property
    def edited(self) -> Tensor:
        each = range(len(ATTRIBUTES))
        return torch.stack([self.judge.read(self.edits[:, j])[:, j] == 1 - self.wanted[:, j] for j in each])

    def draw(self) -> None:
        """Beside the trainings and nowhere else: CelebA's pictures are not to be shown."""
        if self.infers:
            path = self.setting.folder / self.picture("-edits").name
            plots.interpolations(self.x[:SHOWN].numpy(), self.edits[:SHOWN].numpy(), None, path)


CONDITIONAL_ALI = Study(
    name="conditional-ali",
    about="Conditional ALI on MNIST and CelebA: are generated and edited images those that were asked for?",
    rows={f"MNIST: {row}": DIGITS.replace(name=f"told-{slug(row)}", game=game) for row, game in GAMES.items()}
    | {
        f"CelebA, 4 attributes: {row}": Row(
            FACES.replace(name=f"faces-{slug(row)}", game=game), quick=False, trial=Faces
        )
        for row, game in GAMES.items()
    },
    columns={
        "generated": "generated images read as asked, % ↑",
        "edited": "edited images read as asked, % ↑",
        "reconstructed": "reconstructions read right, % ↑",
        "mse": "squared error of a reconstruction, a pixel ↓",
        "photographs": "the classifier on held-out images, %",
    },
    trial=Digits,
    pictures=(lambda trial: trial.draw(),),
    quick=SMALL,
    measured="MNIST: 500 samples of each label; the first 5,000 test images decoded from their own z under another label "
    "drawn at random; CelebA: one face for the attributes of each test image; each test image with each attribute turned "
    "over, read in that attribute; all read by interalia's own classifier of the same training images, frozen",
    seeds=2,
)
