"""CycleGAN on two domains of images whose true pairs are known: trained without the pairs, evaluated with them."""

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
from interalia.data import Dataset, Split, as_tensor, mean_image, pairs
from interalia.games import CycleGAN, Game, Outcome
from interalia.metrics.evidence import Comparison, Points
from interalia.papers.experiment import Setting, Values, changes, texts, train
from interalia.papers.study import Row, Rows, Study, Trial
from interalia.reports import plots
from interalia.runs import SET_BY_OWN, Run, building, loading

PAIRED = "paired upper bound"
Changes = Mapping[str, Mapping[str, Any]]  # name of a row -> fields of its run
SHOWN = 10  # images in a picture
DATA = {name: Run(**fields) for name, fields in changes("cyclegan-digits", "data").items()}
METHODS: Changes = changes("cyclegan-digits", "methods")
TURNING_METHODS: Changes = {**METHODS, "cycle alone": {"game": "cyclegan(cycle=2.0, adversarial=0.0)"}}


class Paired(Game):
    """A game that trains one network from domain a to b and one from b to a on true pairs, by the mean absolute error. An
    example is a pair of images, stacked in the channels: first a, then b.
    """

    players = {"generator": ["to_b", "to_a"]}

    def __init__(self, to_b: nn.Module, to_a: nn.Module) -> None:
        super().__init__()
        self.to_b, self.to_a = to_b, to_a

    def sample(self, *batch: Tensor) -> Joints:
        """Returns domain ("a" or "b") -> (translations into it, true counterparts), each of shape (n, channels, h, w).
        `batch` is one tensor, n pairs of images stacked in the channels, shape (n, 2 channels, h, w).
        """
        a, b = batch[0].chunk(2, dim=1)
        return {"a": (self.to_a(b), a), "b": (self.to_b(a), b)}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the loss of the only player, "generator": the sum of the mean absolute errors of both translations.
        `joints` is what `sample` returned.
        """
        (fake_a, a), (fake_b, b) = joints["a"], joints["b"]
        return Outcome({"generator": l1_loss(fake_a, a) + l1_loss(fake_b, b)})


class Translations(Trial):
    """One trained run of a CycleGAN experiment: its translations of all test images, compared with the true counterparts."""

    points = 10**6  # all images

    @cached_property
    def values(self) -> Values:
        """Column -> value: `cycle`, the cycle-consistency error (mean absolute error), missing without training;
        for the data "facades" only, `ssim_a` and `ssim_b`, the mean structural similarity of translations to true ones.
        """
        cycle = {"cycle": metrics.REGISTRY["cycle_error"](self)} if self.trained else {}
        shown = self.translations if self.run.data == "facades" else {}
        alike = {to: metrics.structural_similarity(way.made, way.real.x).mean() for to, way in shown.items()}
        return cycle | {f"ssim_{to}": float(value) for to, value in alike.items()}

    def draw(self) -> None:
        """Draws ten test images of each domain, each above its translation, the translation back and its true counterpart,
        into a PNG file for each domain.
        """
        a, b = self.translations["a"], self.translations["b"]
        for name, way, back in (("a", b, a), ("b", a, b)):
            made = way.made[:SHOWN]
            reconstruction = tasks.translate(self.game, made, to=name)  # type: ignore[arg-type]
            source, truth = back.real.x[:SHOWN].numpy(), way.real.x[:SHOWN].numpy()
            plots.cycles(source, made.numpy(), reconstruction.numpy(), self.picture(f"-from-{name}"), truth)


class Truth(Translations):
    """A row without training, whose translations are the true counterparts: no translator can have better values."""

    title = "the truth"
    trains, translates, conditions = False, True, None

    def made(self, domain: Dataset, x: Tensor) -> Tensor:
        """Returns the translations into a domain whose test images are x: x itself, the true ones. `domain` is not used."""
        return x

    @cached_property
    def translations(self) -> dict[str, Comparison]:
        """Domain ("a" or "b") -> `Comparison` of its n test images with the n translations into it that `made` returns."""
        found = {}
        for name, domain in (("a", self.dataset), ("b", self.other)):
            x, y = as_tensor(domain.test.x), domain.test.y
            real = Points(x, None if y is None else torch.from_numpy(y))
            found[name] = Comparison(real, self.made(domain, x), partial(torch.clone, x), metrics.extractor_for(domain))
        return found


class MeanImage(Truth):
    """A row without training, whose translations into a domain are all the domain's mean training image, as a baseline."""

    title = "the mean training image"

    def made(self, domain: Dataset, x: Tensor) -> Tensor:
        """Returns n translations into `domain`, which has n test images x: its mean training image n times, in x's shape."""
        return mean_image(domain).expand_as(x)


class WithPairs(Translations):
    """One trained run of CycleGAN's generators on true pairs: an upper bound for CycleGAN, which is trained without pairs."""

    translates = True

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        """Trains the two translators of the run's CycleGAN as a game `Paired`, and returns the trial. Data and game are
        replaced: the examples are the training images of domain a, each with its true counterpart; the run's other fields,
        such as `steps`, are kept. `row` is the row's name; `facts` are stored in the trial.
        """
        dataset = loading.load_dataset(run)
        torch.manual_seed(run.seed)
        unpaired = building.build_for(run, dataset)
        assert isinstance(unpaired, CycleGAN)
        shown = np.concatenate([dataset.train.x, pairs.true_counterparts(dataset)], axis=1)  # pairs, in the channels
        none = Split(shown[:0])
        both = Dataset(f"pairs of {dataset.name}", Split(shown), none, none, about=dataset.about)
        custom = (*SET_BY_OWN["game"], *SET_BY_OWN["data"])
        plain = Run(**{key: value for key, value in run.fields() if key not in custom})
        done, _ = train(plain, setting, game=Paired(unpaired.to_b, unpaired.to_a), dataset=both)
        done.game.data = dataclasses.replace(done.game.data, shape=dataset.shape)
        return cls(row, run, setting, facts, dataset, done)


def rows(data: str, methods: Changes, reference: type[Truth] | None = None, **more: Any) -> dict[str, Row]:
    """Returns name -> row on a data set, one for each method, and before these one row without training if `reference`
    (`Truth` or `MeanImage`) is given. A method trains the run `DATA[data]` with some fields replaced: `methods` maps its name
    to these fields and their values. `more` are keyword arguments of each `Row`, such as quick=False.
    """
    found, run = {}, DATA[data]
    title, size = (f"{run.image_size} pixels", f"-{run.image_size}") if run.image_size else (data, "")
    if reference:
        found[f"{title}: {reference.title}"] = Row(run.replace(steps=0), once=True, trial=reference, **more)
    for method, fields in methods.items():
        own = run.replace(name=f"{run.data}{size}-{method}".replace(",", "").replace(" ", "-"), **fields)
        found[f"{title}: {method}"] = Row(own, trial=WithPairs if method == PAIRED else None, **more)
    return found


def facades(setting: Setting) -> Rows:
    """Returns name -> row of cyclegan-facades. Each image size has three: mean image, CycleGAN and training with pairs."""
    sizes = ("small-facades",) if setting.quick else ("facades", "large-facades")
    return {name: row for size in sizes for name, row in rows(size, {"CycleGAN": {}, PAIRED: {}}, MeanImage).items()}


CYCLEGAN_DIGITS = Study(
    **texts("cyclegan-digits"),
    rows={
        **rows("inverted", TURNING_METHODS, Truth),
        **rows("edges", METHODS, Truth, quick=False),
        **rows("coloured", METHODS, Truth, quick=False),
        **rows("edges", {"CycleGAN, 2,500 steps": {"steps": 2500}}, full=True),
        **rows("inverted", changes("cyclegan-digits", "not-chosen"), quick=False),
    },
    trial=Translations,
)

CYCLEGAN_FACADES = Study(**texts("cyclegan-facades"), rows=facades, trial=Translations)
