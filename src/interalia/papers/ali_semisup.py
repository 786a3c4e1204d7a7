"""Semi-supervised ALI: labels that the critic reads, and a linear machine on what ALI infers without any."""

from __future__ import annotations

import statistics
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from interalia import metrics, tasks
from interalia.data import Split, as_tensor
from interalia.papers.experiment import Setting, Values
from interalia.papers.study import SMALL, Row, Rows, Study, Trial, percentage
from interalia.registry import Part
from interalia.runs import Run, recipes

STEPS = 10_000
VAT = "K + 1 classes, virtual adversarial training"
GAMES = {"K + 1 classes": Part("semi-ali", cycle=2.0), VAT: Part("semi-ali", cycle=2.0, vat=2.0)}


class Critic(Trial):
    @cached_property
    def values(self) -> Values:
        return {"error": percentage(tasks.classify(self.game, self.x).argmax(1) != self.held_out.labels)}


class Machine(Trial):
    """An L2-SVM on features of ALI, which is trained without labels once for both numbers of them."""

    @cached_property
    def values(self) -> Values:
        data = self.dataset
        parts = [self.layers(*part) for part in ((data.train, 10_000), (data.test, None), (data.validation, 2000))]
        train, test, held = parts
        draws = 3 if self.quick else 100
        errors, c = metrics.svm_errors(*train, *test, *held, labels=self.facts["labels"], draws=draws)
        return {"error": 100 * statistics.fmean(errors), "spread": 100 * statistics.stdev(errors), "c": c}

    def layers(self, split: Split, count: int | None) -> tuple[Tensor, Tensor]:
        """The outputs of the encoder's last three batch norms and the mean of z beside them, and the labels, of at most
        `count` images."""
        norms = [m for m in self.game.encoder.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)][-3:]
        seen: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

        def keep(norm: nn.Module, _: object, out: Tensor) -> None:
            seen[norm].append(out.flatten(1).float().clone())

        hooks = [norm.register_forward_hook(keep) for norm in norms]
        z = tasks.encode(self.game, as_tensor(split.x[:count]))
        for hook in hooks:
            hook.remove()
        y: Any = split.y
        return torch.cat([*(torch.cat(seen[norm]) for norm in norms), z], dim=1), torch.from_numpy(y[:count])


def rows(setting: Setting) -> Rows:
    """K + 1 classes at each number of labels, and the machine; then photographs, SVHN only where its files are."""
    found: dict[str, Run | Row] = {}
    for count in (100, 1000):
        for row, game in GAMES.items():
            name = f"semi-ali-{count}" + "-vat" * (row == VAT)
            run = recipes.semi_ali_mnist(name=name, game=game, labelled=count, steps=STEPS)
            found[f"MNIST, {count:,} labels: {row}"] = run
    for name, played in (("ALI", "ali"), ("ALICE", Part("alice", cycle=2.0))):
        run = recipes.ali_mnist(name=f"svm-{name.lower()}", game=played, steps=STEPS)
        for count in (100, 1000):
            title = f"MNIST, {count:,} labels: L2-SVM on {name}"
            found[title] = Row(run, trial=Machine, facts={"labels": count})
    colour = {"CIFAR-10": ("cifar10", 4000)}
    if setting.root is not None and (setting.root / "svhn").is_dir():
        colour["SVHN"] = ("svhn", 1000)
    for title, (data, count) in colour.items():
        own = {"labelled": count, "latent": 64, "networks": Part("auto", width=64, unary=True), "steps": STEPS}
        run = recipes.semi_ali_mnist(name=f"semi-ali-{data}", data=data, **own)
        found[f"{title}, {count:,} labels: {VAT}"] = Row(run, quick=False)
    return found


ALI_SEMISUP = Study(
    name="ali-semisup",
    about="Semi-supervised ALI: K + 1 classes in the critic of pairs, and a linear machine on what ALI infers without.",
    rows=rows,
    columns={"error": "test error % ↓", "spread": "standard deviation over 100 draws of labels, %", "c": "C"},
    trial=Critic,
    paper={
        f"CIFAR-10, 4,000 labels: {VAT}": {"ALI, Table 2": {"error": "17.99 ± 1.62 (3 standard deviations)"}},
        "MNIST, 100 labels: K + 1 classes": {"HALI": {"error": "0.73 (two levels)"}},
    },
    quick=SMALL,
    measured="all test images; K + 1 classes: by the critic's softmax at (x, the mean of q(z | x)); L2-SVM: a linear SVM "
    "with squared hinge on the outputs of the batch norms of the encoder's last three hidden layers and the mean of z, as "
    "the paper's program takes them, of balanced draws of 10,000 training images, C chosen on 2,000 validation images and "
    "the first draw, mean and standard deviation over 100 draws (quick form: 3)",
    deviations="K + 1 classes: images without labels beside a batch of labelled ones, drawn balanced by the seed, one draw a "
    "seed, with virtual adversarial training of radius 1.5; SVHN only where its files are; the paper's architecture and "
    "length for K + 1 are not published",
    seeds=1,
)
