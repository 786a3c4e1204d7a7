"""Conditional ALI: labels and attributes that the networks are given."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from interalia import tasks
from interalia.metrics.classifier import Classifier
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
SHOWN = 10


class Digits(Trial):
    count = 5000

    @cached_property
    def own(self) -> Tensor:
        """The condition of each test image."""
        return self.y

    @property
    def wanted(self) -> Tensor:
        """What samples are made of: as many of each label."""
        labels = self.game.labels
        return torch.arange(labels).repeat_interleave(5000 // labels)

    @property
    def edited(self) -> Tensor:
        """Whether test images under another label, drawn at random, are read as that."""
        labels = self.game.labels
        apart = torch.randint(1, labels, self.own.shape, generator=torch.Generator().manual_seed(0))
        wanted = (self.own + apart) % labels
        return self.judge.read(tasks.edit(self.game, self.x, self.own, wanted)) == wanted

    @cached_property
    def values(self) -> Values:
        wanted, game = self.wanted, self.game
        x = tasks.decode(game, tasks.latents(game, len(wanted), self.run.seed), y=self.given(wanted))
        found = {"generated": percentage(self.judge.read(x) == wanted), "photographs": 100 * self.judge.accuracy}
        if self.infers:
            x_hat = tasks.reconstruct(game, self.x, y=self.given(self.own))
            found["edited"] = percentage(self.edited)
            found["reconstructed"] = percentage(self.judge.read(x_hat) == self.own)
            found["mse"] = float((self.x - x_hat).square().mean())
        return found

    def given(self, y: Tensor) -> Tensor:
        """Conditions as the networks take them."""
        return y

    def draw(self) -> None:
        sheet = tasks.by_label(self.game, 10, self.run.seed).numpy()
        plots.grid(sheet, self.picture(), columns=10)
        if self.infers:
            edits = tasks.edits(self.game, self.x[:SHOWN], self.own[:SHOWN]).numpy()
            plots.interpolations(self.x[:SHOWN].numpy(), edits, None, self.picture("-edits"))


class Faces(Digits):
    @cached_property
    def judge(self) -> Classifier:
        return Classifier.of(self.dataset, attributes=ATTRIBUTES)

    @cached_property
    def own(self) -> Tensor:
        found = self.dataset.conditions("test", ATTRIBUTES)
        assert found is not None
        return torch.from_numpy(found).long()[: self.count]

    @property
    def wanted(self) -> Tensor:
        """What real faces have together."""
        return self.own

    @cached_property
    def edits(self) -> Tensor:
        """Each face with each attribute turned over, (n, attributes, *shape)."""
        return tasks.edits(self.game, self.x, self.own.float())

    @property
    def edited(self) -> Tensor:
        each = range(len(ATTRIBUTES))
        return torch.stack([self.judge.read(self.edits[:, j])[:, j] == 1 - self.own[:, j] for j in each])

    def given(self, y: Tensor) -> Tensor:
        return y.float()

    def draw(self) -> None:
        """Beside the trainings and nowhere else: CelebA's pictures are not to be shown."""
        if self.infers:
            path = self.setting.folder / self.picture("-edits").name
            plots.interpolations(self.x[:SHOWN].numpy(), self.edits[:SHOWN].numpy(), None, path)


CONDITIONAL_ALI = Study(
    name="conditional-ali",
    about="Conditional ALI on MNIST and CelebA: are generated and edited images those that were asked for?",
    rows={
        f"MNIST: {row}": recipes.cali_mnist(name=f"told-{slug(row)}", game=game, steps=8000)
        for row, game in GAMES.items()
    }
    | {
        f"CelebA, 4 attributes: {row}": Row(
            recipes.cali_celeba(
                name=f"faces-{slug(row)}",
                game=game,
                size=32,
                latent=64,
                attributes=",".join(ATTRIBUTES),
                steps=8000,
            ),
            quick=False,
            trial=Faces,
        )
        for row, game in GAMES.items()
    },
    trial=Digits,
    columns={
        "generated": "generated images read as asked, % ↑",
        "edited": "edited images read as asked, % ↑",
        "reconstructed": "reconstructions read right, % ↑",
        "mse": "squared error of a reconstruction, a pixel ↓",
        "photographs": "the classifier on held-out images, %",
    },
    pictures=(Digits.draw,),
    paper={},
    quick=SMALL,
    measured="MNIST: 5,000 samples, 500 of each label; the first 5,000 test images decoded from their own z under another "
    "label drawn at random; CelebA: one face for the attributes of each test image; each test image with each attribute "
    "turned over, read in that attribute, which is rare for half of them; all read by interalia's own classifier of the same "
    "training images, frozen; percentages are means over images and attributes",
    seeds=2,
)
