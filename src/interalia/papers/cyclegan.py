"""CycleGAN where the truth is known: trained without pairs, scored with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from interalia import metrics, tasks
from interalia.adversarial.joints import Joints
from interalia.data import Dataset, Split, as_tensor, pairs
from interalia.games import CycleGAN, Game, Outcome
from interalia.metrics.evidence import Comparison, Points
from interalia.papers.experiment import Setting, trained
from interalia.papers.study import Column, Row, Rows, Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import BROUGHT, Run, building, described
from interalia.training.batches import mean_image

PAIRED, TRUTH, MEAN = "paired upper bound", "the truth", "the mean training image"
Changes = Mapping[str, Mapping[str, Any]]  # a row's name -> fields of its run
SHOWN = 10  # images in a picture

DIGITS = Run(divergence="least-squares", game="cyclegan", networks=Part("cyclegan", width=16, critic=32, layers=2),
             optimiser=Part("adam", lr=0.0005), schedule=Part("linear", start=0.5, final=0.0), batch=16, steps=1000,
             ema=0.99)  # fmt: skip
TURNING = DIGITS.replace(  # for a transformation that turns the image
    data="mnist-inverted", game=Part("cyclegan", cycle=2.0), networks=Part("cyclegan", width=16, critic=32, turns=True)
)
EDGES, COLOURED = (DIGITS.replace(data=f"mnist-{rule}") for rule in ("edges", "coloured"))
FACADES = DIGITS.replace(
    data="facades", networks=Part("cyclegan", width=32), optimiser=Part("adam", lr=0.0002), batch=4, steps=3000, size=64
)
LARGE_FACADES = FACADES.replace(size=128, batch=2, steps=2000)
SMALL_FACADES = FACADES.replace(size=32, networks=Part("cyclegan", width=4, blocks=1))


class Paired(Game):
    """The same two maps where pairs are shown, one behind the other in an image's channels: the loss of each is the mean
    distance of its translations to the truth."""

    players = {"generator": ["to_b", "to_a"]}

    def __init__(self, to_b: nn.Module, to_a: nn.Module) -> None:
        super().__init__()
        self.to_b, self.to_a = to_b, to_a

    def sample(self, *batch: Tensor) -> Joints:
        a, b = batch[0].chunk(2, dim=1)
        return {"a": (self.to_a(b), a), "b": (self.to_b(a), b)}

    def losses(self, joints: Joints) -> Outcome:
        (fake_a, a), (fake_b, b) = joints["a"], joints["b"]
        return Outcome({"generator": l1_loss(fake_a, a) + l1_loss(fake_b, b)})


class Translations(Trial):
    """Test images of both domains and their translations, with the truth beside them."""

    points = 10**6  # all of both

    def similarity(self, to: str) -> float:
        way = self.translations[to]
        return float(metrics.structural_similarity(way.made, way.real.x).mean())

    @property
    def cycle(self) -> float | None:
        return metrics.REGISTRY["cycle_error"](self) if self.trained else None

    def draw(self) -> None:
        """Both ways: source, translation, way back, truth."""
        a, b = self.translations["a"], self.translations["b"]
        for name, way, back in (("a", b, a), ("b", a, b)):
            made = way.made[:SHOWN]
            there = tasks.translate(self.game, made, to=name)  # type: ignore[arg-type]
            source, truth = back.real.x[:SHOWN].numpy(), way.real.x[:SHOWN].numpy()
            plots.cycles(source, made.numpy(), there.numpy(), self.picture(f"-from-{name}"), truth)


class Truth(Translations):
    """What a translation that is exact scores."""

    translates, conditions = True, None

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        return cls(row, run, setting, facts, described.dataset(run), None)

    def made(self, domain: Dataset, x: Tensor) -> Tensor:
        return x

    @cached_property
    def translations(self) -> dict[str, Comparison]:
        found = {}
        for name, domain in (("a", self.dataset), ("b", self.other)):
            x, y = as_tensor(domain.test.x), domain.test.y
            real = Points(x, None if y is None else torch.from_numpy(y))
            found[name] = Comparison(real, self.made(domain, x), partial(torch.clone, x), metrics.extractor_for(domain))
        return found


class MeanImage(Truth):
    """What one scores that answers the mean image of the training data."""

    def made(self, domain: Dataset, x: Tensor) -> Tensor:
        return mean_image(domain).expand_as(x)


class WithPairs(Translations):
    """The run's generators trained on as many pairs as it has images of each domain, with its settings otherwise."""

    translates = True

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        dataset = described.dataset(run)
        torch.manual_seed(run.seed)
        whole = building.build_for(run, dataset)
        assert isinstance(whole, CycleGAN)
        shown = np.concatenate([dataset.train.x, pairs.truths(dataset)], axis=1)  # a pair in one image's channels
        none = Split(shown[:0])
        both = Dataset(f"pairs of {dataset.name}", Split(shown), none, none, about=dataset.about)
        brought = (*BROUGHT["game"], *BROUGHT["data"])
        plain = Run(**{key: value for key, value in run.fields() if key not in brought})
        done, _ = trained(plain, setting, game=Paired(whole.to_b, whole.to_a), dataset=both)
        done.game.data = dataclasses.replace(done.game.data, shape=dataset.shape)
        return cls(row, run, setting, facts, dataset, done)


METHODS: Changes = {  # what differs in the run
    "CycleGAN": {},
    "GAN alone": {"game": Part("cyclegan", cycle=0.0)},
    "cycle alone": {"game": Part("cyclegan", cycle=10.0, adversarial=0.0)},
    PAIRED: {},
}
TURNING_METHODS: Changes = {**METHODS, "cycle alone": {"game": Part("cyclegan", cycle=2.0, adversarial=0.0)}}
CHOICES: Changes = {  # what the turning one was chosen against
    "CycleGAN, cycle 10": {"game": Part("cyclegan", cycle=10.0)},
    "CycleGAN, patches of 34x34": {"networks": Part("cyclegan", width=16, critic=32, layers=2, turns=True)},
    "CycleGAN without turns": {"networks": Part("cyclegan", width=16, critic=32)},
}
REFERENCES = {TRUTH: Truth, MEAN: MeanImage}
SIMPLE: Changes = {"CycleGAN": {}, PAIRED: {}}


def rows(title: str, run: Run, methods: Changes, reference: str | None = None, **more: Any) -> dict[str, Row]:
    """The rows of one data set: what can be reached at all, and the methods."""
    found = {}
    if reference:
        found[f"{title}: {reference}"] = Row(run.replace(steps=0), once=True, trial=REFERENCES[reference], **more)
    for method, changes in methods.items():
        size = f"-{run.size}" if run.size else ""
        own = run.replace(name=f"{run.data}{size}-{method}".replace(",", "").replace(" ", "-"), **changes)
        found[f"{title}: {method}"] = Row(own, trial=WithPairs if method == PAIRED else None, **more)
    return found


def facades(setting: Setting) -> Rows:
    """At each size: a trivial answer, CycleGAN, and the bound."""
    runs = [SMALL_FACADES] if setting.quick else [FACADES, LARGE_FACADES]
    return {name: row for run in runs for name, row in rows(f"{run.size} pixels", run, SIMPLE, MEAN).items()}


DISTANCES = {
    "l1_b": Column("L1 a→b ↓", "translation_error_b"),
    "l1_a": Column("L1 b→a ↓", "translation_error_a"),
    "psnr_b": Column("PSNR a→b, dB ↑", "translation_psnr_b"),
    "psnr_a": Column("PSNR b→a, dB ↑", "translation_psnr_a"),
    "cycle": Column("L1 of the way back ↓", lambda t: t.cycle),
}

CYCLEGAN_DIGITS = Study(
    name="cyclegan-digits",
    about="CycleGAN between MNIST (a) and MNIST transformed (b), trained without pairs and scored with them, beside its two "
    "halves alone and beside the same generators trained with pairs.",
    rows={
        **rows("inverted", TURNING, TURNING_METHODS, TRUTH),
        **rows("edges", EDGES, METHODS, TRUTH, quick=False),
        **rows("coloured", COLOURED, METHODS, TRUTH, quick=False),
        **rows("edges", EDGES, {"CycleGAN, 2,500 steps": {"steps": 2500}}, full=True),
        **rows("inverted", TURNING, CHOICES, quick=False),
    },
    columns={
        "accuracy_b": Column("digits right a→b, % ↑", "translation_accuracy_b", 100),
        "accuracy_a": Column("digits right b→a, % ↑", "translation_accuracy_a", 100),
        **DISTANCES,
    },
    trial=Translations,
    pictures=(Translations.draw,),
    quick={"data": "digits-inverted", "networks": Part("cyclegan", width=8, blocks=2, turns=True), "steps": 30},
    measured="all 10,000 test images against their truth, pixels in [0, 1]; digits as read by interalia's own classifier of "
    "the target domain, frozen (the row 'the truth' is its accuracy on true images); the colours of b cannot be told from "
    "a, so there L1 and PSNR a→b have a floor; in the folder pictures: source, translation, way back, truth",
    deviations="three transformations: inverted and turned by 90 degrees; edges (Sobel); two colours drawn for each image; "
    "25,000 images of a and 25,000 of b, of different digits; the bound: 25,000 pairs, L1 both ways; the paper's networks "
    "in small: generators c7s1-16, d32, d64, 4 x R64, u32, u16, c7s1, critics C32-C64-C128; for the turned digits alone the "
    "generators see each image in its four quarter turns, for a convolution cannot turn an image (the paper counts changes "
    "of geometry among its failures), lambda is 2, and the critics have patches of 16x16, C32-C64; no identity term, pools "
    "of 50; the paper's other data at 2e-4 and batch 1; both settings were chosen on validation images, the turning one "
    "against the last three rows",
    checkpoint_every=250,
    seeds=3,
)

CYCLEGAN_FACADES = Study(
    name="cyclegan-facades",
    about="CycleGAN between photographs of house fronts (a) and maps of their parts (b), trained without pairs and scored "
    "with them.",
    rows=facades,
    columns={
        "ssim_b": Column("SSIM a→b ↑", lambda t: t.similarity("b")),
        "ssim_a": Column("SSIM b→a ↑", lambda t: t.similarity("a")),
        **DISTANCES,
    },
    trial=Translations,
    pictures=(Translations.draw,),
    quick={"steps": 30},
    measured="to the truth, pixels in [0, 1]; SSIM: a Gaussian window of 11 pixels, standard deviation 1.5; pictures of "
    "every row lie in the folder pictures",
    deviations="trained on 70 of the pairs, both domains shuffled and drawn independently, tested on the last 20; the "
    "paper's networks at half its width: generators c7s1-32, d64, d128, 6 x R128, u64, u32, c7s1-3, critics C32-C64-C128 at "
    "64 pixels, one C256 more at 128; lambda 10, no identity term, pools of 50 (the paper: batch 1, 200 epochs of 400 "
    "photographs at 256 pixels, with random crops and flips); the bound: the same generators on the 70 pairs, L1 both ways",
    checkpoint_every=250,
    seeds=1,
)
