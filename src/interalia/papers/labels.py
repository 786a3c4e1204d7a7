"""ALI with labels: class-conditional games, semi-supervised critics, and a linear support vector machine on features."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from interalia import metrics, tasks
from interalia.papers.experiment import Setting, Values, texts
from interalia.papers.study import Evaluated, Rows, Study, Trial, percentage, rows_of
from interalia.reports import plots

ATTRIBUTES = ("Male", "Smiling", "Blond_Hair", "Eyeglasses")  # visible at 32 pixels
SHOWN = 10


class Digits(Trial):
    """One trained run of the experiment conditional-ali on labels: a classifier finds out if images show their condition."""

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

    @property
    def spread(self) -> float:
        """The sum of squared distances of samples to their condition's mean, over that of test images, in features."""
        assert self.condition is not None
        groups = self.condition.unique(dim=0, return_inverse=True)[1]
        within = [[f[groups == k] for k in groups.unique()] for f in self.features]
        real, made = (sum(float((f - f.mean(0)).square().sum()) for f in group) for group in within)
        return made / real

    @cached_property
    def values(self) -> Values:
        """Column -> value, for the columns that are no metrics of the library: the % of `generated`, `edited` and
        `reconstructed` images that a classifier assigns to their condition; `photographs`, the % of held-out images that it
        classifies right; and `spread`, the variance of samples within a condition over that of test images. `edited` and
        `reconstructed` are missing without an encoder.
        """
        z = tasks.sample_latents(self.game, len(self.wanted), self.seed)
        found = {"photographs": 100 * self.judge.accuracy, "spread": self.spread}
        found["generated"] = percentage(self.judge.predict(tasks.decode(self.game, z, y=self.wanted)) == self.wanted)
        if self.infers:
            found["edited"] = percentage(self.edited)
            found["reconstructed"] = percentage(self.judge.predict(self.x_hat) == torch.as_tensor(self.condition))
        return found

    def draw(self) -> None:
        """Draws ten samples of each label, and with an encoder ten test images edited to every label, into PNG files."""
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
        """Edited test images, shape (n, attributes, channels, height, width): [i, j] is image i with attribute j flipped."""
        return tasks.single_edits(self.game, self.x, self.wanted)

    @property
    def edited(self) -> Tensor:
        """True for each edited test image whose flipped attribute is classified as flipped, shape (attributes, n)."""
        each = range(len(ATTRIBUTES))
        return torch.stack([self.judge.predict(self.edits[:, j])[:, j] == 1 - self.wanted[:, j] for j in each])

    def draw(self) -> None:
        """Draws ten test images with their edits, given an encoder, into the folder of trainings: CelebA's are not shown."""
        if self.infers:
            path = self.setting.folder / self.picture("-edits").name
            plots.interpolations(self.x[:SHOWN].numpy(), self.edits[:SHOWN].numpy(), None, path)


CONDITIONAL_ALI = Study(
    **texts("conditional-ali"),
    rows={
        name: replace(row, trial=Faces if row.run.data == "celeba" else Digits)
        for name, row in rows_of("conditional-ali").items()
    },
)


class Grouped(Evaluated):
    """One trained run of the experiment ali-clusters: ALI that is conditional on clusters, codes or labels, or on nothing."""

    @cached_property
    def values(self) -> Values:
        """Column -> value: `agreement`, the normalized mutual information of conditions and labels of test images, 0 to 1."""
        from sklearn.metrics import normalized_mutual_info_score

        return {} if self.condition is None else {"agreement": normalized_mutual_info_score(self.y, self.condition)}


ALI_CLUSTERS = Study(**texts("ali-clusters"), rows=rows_of("ali-clusters"), trial=Grouped)


class LinearSVM(Trial):
    """One run of the experiment ali-semisup with a linear support vector machine (SVM) on features of ALI, trained without
    labels. Rows with different numbers of labels share one training.
    """

    @cached_property
    def values(self) -> Values:
        """Column -> value: `error`, the mean % of test images classified wrong, and `spread`, its standard deviation, both
        over random sets of as many labeled images as the row's `facts["labels"]`; `c`, the SVM's penalty C.
        """
        return self.svm(self.layers, self.facts["labels"])

    def layers(self, x: Tensor) -> Tensor:
        """Returns the encoder's outputs of the last three batch norms and its mean of z for images x, one tensor (n, d)."""
        norms = [m for m in self.game.encoder.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)][-3:]
        outputs: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

        def keep(norm: nn.Module, _: object, out: Tensor) -> None:
            """Appends `out`, the output of the batch norm `norm`, flattened, to `outputs[norm]`; a forward hook."""
            outputs[norm].append(out.flatten(1).float().clone())

        hooks = [norm.register_forward_hook(keep) for norm in norms]
        z = tasks.encode(self.game, x)
        for hook in hooks:
            hook.remove()
        return torch.cat([*(torch.cat(outputs[norm]) for norm in norms), z], dim=1)


def rows(setting: Setting) -> Rows:
    """Returns name -> row of the experiment ali-semisup; those of SVHN only if the data folder has its files."""
    found = {}
    for name, row in rows_of("ali-semisup").items():
        if row.run.data != "svhn" or (setting.data_dir and (setting.data_dir / "svhn").is_dir()):
            found[name] = replace(row, trial=LinearSVM if row.facts else None)
    return found


ALI_SEMISUP = Study(**texts("ali-semisup"), rows=rows)
