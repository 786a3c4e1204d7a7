"""ALI with labels: class-conditional games, semi-supervised critics, and a linear support vector machine on features."""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from interalia import metrics, tasks
from interalia.data import Split, as_tensor
from interalia.papers.experiment import Setting, Values, slug, texts
from interalia.papers.study import Row, Rows, Study, Trial, percentage, rows_of
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import recipes

CYCLE = Part("alice", cycle=2.0)
GAMES = {"conditional ALI": "ali", "conditional ALI with a reconstruction loss": CYCLE, "conditional GAN": "gan"}
ATTRIBUTES = ("Male", "Smiling", "Blond_Hair", "Eyeglasses")  # visible at 32 pixels
DIGITS = recipes.cali_mnist(steps=8000)
FACES = recipes.cali_celeba(image_size=32, latent_dim=64, condition_on=",".join(ATTRIBUTES), steps=8000)
SHOWN = 10


class Digits(Trial):
    """One trained run of the experiment conditional-ali on digits: a classifier finds out if images show their condition."""

    points = 5000

    @property
    def wanted(self) -> Tensor:
        """The label that each sample is generated for, shape (n,): equally many of each label."""
        labels = self.game.data.condition
        return torch.arange(labels).repeat_interleave(self.points // labels)

    @property
    def edited(self) -> Tensor:
        """True for each test image that, edited to a random other label, is classified as this label, shape (n,)."""
        labels, y = self.game.data.condition, self.held_out.labels
        shift = torch.randint(1, labels, y.shape, generator=torch.Generator().manual_seed(0))
        wanted = (y + shift) % labels
        return self.judge.predict(tasks.edit(self.game, self.x, y, wanted)) == wanted

    @cached_property
    def values(self) -> Values:
        """Column -> value: the % of `generated`, `edited` and `reconstructed` images that are classified as their condition,
        and others. `photographs` is the % of held-out images that are classified right, and `mse` the squared reconstruction
        error per pixel. Without an encoder there are `generated` and `photographs` alone.
        """
        z = tasks.sample_latents(self.game, len(self.wanted), self.seed)
        read = self.judge.predict(tasks.decode(self.game, z, y=self.wanted))
        found = {"generated": percentage(read == self.wanted), "photographs": 100 * self.judge.accuracy}
        if self.infers:
            found |= {"edited": percentage(self.edited), "mse": self.mse}
            found["reconstructed"] = percentage(self.judge.predict(self.x_hat) == self.condition)
        return found

    def draw(self) -> None:
        """Draws ten samples of each label, and with an encoder ten test images edited to every label."""
        plots.grid(tasks.generate_by_label(self.game, 10, self.seed).numpy(), self.picture(), columns=10)
        if self.infers:
            edits = tasks.single_edits(self.game, self.x[:SHOWN], self.held_out.labels[:SHOWN]).numpy()
            plots.interpolations(self.x[:SHOWN].numpy(), edits, None, self.picture("-edits"))


class Faces(Digits):
    """One trained run of the experiment conditional-ali on faces with attributes; an edit flips one attribute."""

    @cached_property
    def judge(self) -> metrics.Classifier:
        """This library's classifier of the attributes in `ATTRIBUTES`, with frozen weights."""
        return metrics.Classifier.for_dataset(self.dataset, attributes=ATTRIBUTES)

    @property
    def wanted(self) -> Tensor:
        """The attributes that each sample is generated for, those of a test image: 0 or 1, shape (n, attributes)."""
        assert self.condition is not None
        return self.condition.float()

    @cached_property
    def edits(self) -> Tensor:
        """Each test image edited by the game, one attribute flipped: shape (n, attributes, channels, height, width)."""
        return tasks.single_edits(self.game, self.x, self.wanted)

    @property
    def edited(self) -> Tensor:
        """True for each edit whose flipped attribute is classified as flipped, shape (attributes, n)."""
        each = range(len(ATTRIBUTES))
        return torch.stack([self.judge.predict(self.edits[:, j])[:, j] == 1 - self.wanted[:, j] for j in each])

    def draw(self) -> None:
        """Draws ten test images with their edits, if there is an encoder, into the folder of the trainings. That folder is
        not published, since CelebA's pictures may not be.
        """
        if self.infers:
            path = self.setting.folder / self.picture("-edits").name
            plots.interpolations(self.x[:SHOWN].numpy(), self.edits[:SHOWN].numpy(), None, path)


DATA = (("MNIST", "told", DIGITS, Digits), ("CelebA, 4 attributes", "faces", FACES, Faces))
CONDITIONAL_ALI = Study(
    **texts("conditional-ali"),
    rows={
        f"{data}: {row}": Row(run.replace(name=f"{name}-{slug(row)}", game=game), quick=trial is Digits, trial=trial)
        for data, name, run, trial in DATA
        for row, game in GAMES.items()
    },
)


class Critic(Trial):
    """One trained run of the experiment ali-semisup whose critic, trained with few labels, classifies images."""

    @cached_property
    def values(self) -> Values:
        """Column -> value: `error`, the % of test images that the critic classifies wrong."""
        return {"error": percentage(tasks.classify(self.game, self.x).argmax(1) != self.held_out.labels)}


class LinearSVM(Trial):
    """One run of the experiment ali-semisup with a linear support vector machine (SVM) on features of ALI, trained without
    labels. Rows with different numbers of labels share one training.
    """

    @cached_property
    def values(self) -> Values:
        """Column -> value: mean `error`, %, and deviation `spread` over random sets of labeled images; `c`, the SVM's C."""
        data = self.dataset
        parts = [self.layers(*part) for part in ((data.train, 10_000), (data.test, None), (data.validation, 2000))]
        train, test, validation = parts
        draws = 3 if self.quick else 100
        errors, c = metrics.svm_errors(*train, *test, *validation, labels=self.facts["labels"], draws=draws)
        return {"error": 100 * statistics.fmean(errors), "spread": 100 * statistics.stdev(errors), "c": c}

    def layers(self, split: Split, count: int | None) -> tuple[Tensor, Tensor]:
        """Returns features, shape (n, features), and labels, shape (n,), of the first `count` images of a split; None for
        all. The features are the outputs of the encoder's last three batch norms and the mean of z.
        """
        norms = [m for m in self.game.encoder.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)][-3:]
        outputs: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

        def keep(norm: nn.Module, _: object, out: Tensor) -> None:
            """Stores the output of a batch norm, flattened, in `outputs`; a forward hook."""
            outputs[norm].append(out.flatten(1).float().clone())

        hooks = [norm.register_forward_hook(keep) for norm in norms]
        z = tasks.encode(self.game, as_tensor(split.x[:count]))
        for hook in hooks:
            hook.remove()
        y: Any = split.y
        return torch.cat([*(torch.cat(outputs[norm]) for norm in norms), z], dim=1), torch.from_numpy(y[:count])


def rows(setting: Setting) -> Rows:
    """Returns name -> row of the experiment ali-semisup; those of SVHN only if the data folder has its files."""
    found = {}
    for name, row in rows_of("ali-semisup").items():
        if row.run.data != "svhn" or (setting.data_dir and (setting.data_dir / "svhn").is_dir()):
            found[name] = replace(row, trial=LinearSVM if row.facts else None)
    return found


ALI_SEMISUP = Study(**texts("ali-semisup"), rows=rows, trial=Critic)
