"""CycleGAN on data with known pairs: trained without the pairs, evaluated with them."""

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
from interalia.papers.experiment import Setting, Values, texts, train
from interalia.papers.study import Row, Rows, Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import SET_BY_OWN, Run, building, loading
from interalia.training.batches import mean_image

PAIRED = "paired upper bound"
Changes = Mapping[str, Mapping[str, Any]]  # name of a row -> fields of its run
SHOWN = 10  # images in a picture

DIGITS = Run(divergence="least-squares", game="cyclegan", networks=Part("cyclegan", width=16, critic=32, layers=2),
             optimizer=Part("adam", lr=0.0005), schedule=Part("linear", start=0.5, final=0.0), batch_size=16, steps=1000,
             weight_average="ema(0.99)")  # fmt: skip
TURNING = DIGITS.replace(  # for a transformation that rotates the image
    data="mnist-inverted", game=Part("cyclegan", cycle=2.0), networks=Part("cyclegan", width=16, critic=32, turns=True)
)
EDGES, COLOURED = (DIGITS.replace(data=f"mnist-{rule}") for rule in ("edges", "coloured"))
FACADES = DIGITS.replace(
    data="facades",
    networks=Part("cyclegan", width=32),
    optimizer=Part("adam", lr=0.0002),
    batch_size=4,
    steps=3000,
    image_size=64,
)
LARGE_FACADES = FACADES.replace(image_size=128, batch_size=2, steps=2000)
SMALL_FACADES = FACADES.replace(image_size=32, networks=Part("cyclegan", width=4, blocks=1))


class Paired(Game):
    """Supervised training of both maps on pairs, stacked in the channels, by the L1 distance to the true counterparts."""

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
    """Test images of both domains, their translations and their true counterparts."""

    points = 10**6  # all images

    @cached_property
    def values(self) -> Values:
        """The cycle-consistency error of a trained row; for photographs also SSIM."""
        cycle = {"cycle": metrics.REGISTRY["cycle_error"](self)} if self.trained else {}
        shown = self.translations if self.run.data == FACADES.data else {}
        alike = {to: metrics.structural_similarity(way.made, way.real.x).mean() for to, way in shown.items()}
        return cycle | {f"ssim_{to}": float(value) for to, value in alike.items()}

    def draw(self) -> None:
        """Draws both directions: source, translation, reconstruction, truth."""
        a, b = self.translations["a"], self.translations["b"]
        for name, way, back in (("a", b, a), ("b", a, b)):
            made = way.made[:SHOWN]
            reconstruction = tasks.translate(self.game, made, to=name)  # type: ignore[arg-type]
            source, truth = back.real.x[:SHOWN].numpy(), way.real.x[:SHOWN].numpy()
            plots.cycles(source, made.numpy(), reconstruction.numpy(), self.picture(f"-from-{name}"), truth)


class Truth(Translations):
    """Exact translations, as an upper bound."""

    title = "the truth"
    trains, translates, conditions = False, True, None

    def made(self, domain: Dataset, x: Tensor) -> Tensor:
        """Returns the translations into a domain with the test images x: x, which is exact."""
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
    """The mean training image in place of every translation, as a baseline."""

    title = "the mean training image"

    def made(self, domain: Dataset, x: Tensor) -> Tensor:
        """Returns the mean training image of a domain, once for each x."""
        return mean_image(domain).expand_as(x)


class WithPairs(Translations):
    """The run's generators, trained on as many pairs as it has images of each domain, with its other settings."""

    translates = True

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        dataset = loading.load_dataset(run)
        torch.manual_seed(run.seed)
        unpaired = building.build_for(run, dataset)
        assert isinstance(unpaired, CycleGAN)
        shown = np.concatenate(
            [dataset.train.x, pairs.true_counterparts(dataset)], axis=1
        )  # a pair in one image's channels
        none = Split(shown[:0])
        both = Dataset(f"pairs of {dataset.name}", Split(shown), none, none, about=dataset.about)
        custom = (*SET_BY_OWN["game"], *SET_BY_OWN["data"])
        plain = Run(**{key: value for key, value in run.fields() if key not in custom})
        done, _ = train(plain, setting, game=Paired(unpaired.to_b, unpaired.to_a), dataset=both)
        done.game.data = dataclasses.replace(done.game.data, shape=dataset.shape)
        return cls(row, run, setting, facts, dataset, done)


METHODS: Changes = {
    "CycleGAN": {},
    "GAN alone": {"game": Part("cyclegan", cycle=0.0)},
    "cycle alone": {"game": Part("cyclegan", cycle=10.0, adversarial=0.0)},
    PAIRED: {},
}
TURNING_METHODS: Changes = {**METHODS, "cycle alone": {"game": Part("cyclegan", cycle=2.0, adversarial=0.0)}}
CHOICES: Changes = {  # settings for rotated images that were not chosen
    "CycleGAN, cycle 10": {"game": Part("cyclegan", cycle=10.0)},
    "CycleGAN, patches of 34x34": {"networks": Part("cyclegan", width=16, critic=32, layers=2, turns=True)},
    "CycleGAN without turns": {"networks": Part("cyclegan", width=16, critic=32)},
}
SIMPLE: Changes = {"CycleGAN": {}, PAIRED: {}}


def rows(title: str, run: Run, methods: Changes, reference: type[Truth] | None = None, **more: Any) -> dict[str, Row]:
    """Returns the rows of one data set: a reference, and the methods."""
    found = {}
    if reference:
        found[f"{title}: {reference.title}"] = Row(run.replace(steps=0), once=True, trial=reference, **more)
    for method, changes in methods.items():
        size = f"-{run.image_size}" if run.image_size else ""
        own = run.replace(name=f"{run.data}{size}-{method}".replace(",", "").replace(" ", "-"), **changes)
        found[f"{title}: {method}"] = Row(own, trial=WithPairs if method == PAIRED else None, **more)
    return found


def facades(setting: Setting) -> Rows:
    """Returns the rows at each size: a trivial baseline, CycleGAN, and the upper bound."""
    runs = [SMALL_FACADES] if setting.quick else [FACADES, LARGE_FACADES]
    return {name: row for run in runs for name, row in rows(f"{run.image_size} pixels", run, SIMPLE, MeanImage).items()}


CYCLEGAN_DIGITS = Study(
    **texts("cyclegan-digits"),
    rows={
        **rows("inverted", TURNING, TURNING_METHODS, Truth),
        **rows("edges", EDGES, METHODS, Truth, quick=False),
        **rows("coloured", COLOURED, METHODS, Truth, quick=False),
        **rows("edges", EDGES, {"CycleGAN, 2,500 steps": {"steps": 2500}}, full=True),
        **rows("inverted", TURNING, CHOICES, quick=False),
    },
    trial=Translations,
    quick={"data": "digits-inverted", "networks": Part("cyclegan", width=8, blocks=2, turns=True), "steps": 30},
    checkpoint_every=250,
    seeds=3,
)

CYCLEGAN_FACADES = Study(
    **texts("cyclegan-facades"), rows=facades, trial=Translations, quick={"steps": 30}, checkpoint_every=250, seeds=1
)
