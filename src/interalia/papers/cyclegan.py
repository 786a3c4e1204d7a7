"""CycleGAN where the truth is known: trained without pairs, scored with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from interalia.adversarial.joints import Joints
from interalia.games import CycleGAN, Game, Outcome
from interalia.papers.experiment import Experiment, Job, Setting, Values, trained
from interalia.runs import Run

if TYPE_CHECKING:
    from interalia.data import Dataset

PAIRED = "paired upper bound"
Changes = Mapping[str, Mapping[str, Any]]  # a row's name -> fields of its run
METHODS: Changes = {  # what differs from the row CycleGAN
    "CycleGAN": {},
    "GAN alone": {"game": "cyclegan(cycle=0.0)"},
    "cycle alone": {"game": "cyclegan(cycle=10.0, adversarial=0.0)"},
    PAIRED: {},
}
# for a transformation that turns the image
TURNING = {"game": "cyclegan(cycle=2.0)", "networks": "cyclegan(width=16, critic=32, turns=True)"}
TURNING_METHODS: Changes = {**METHODS, "cycle alone": {"game": "cyclegan(cycle=2.0, adversarial=0.0)"}}
LONGER: Changes = {"CycleGAN, 2,500 steps": {"steps": 2500}}
CHOICES: Changes = {  # what that was chosen against
    "CycleGAN, cycle 10": {"game": "cyclegan(cycle=10.0)"},
    "CycleGAN, patches of 34x34": {"networks": "cyclegan(width=16, critic=32, layers=2, turns=True)"},
    "CycleGAN without turns": {"networks": "cyclegan(width=16, critic=32)"},
}
TRUTH = "the truth"
MEAN = "the mean training image"
RULES = ("edges", "coloured")  # those that leave every pixel in its place
SHOWN = 10  # images in a picture

DIGITS = Run(
    divergence="least-squares",
    game="cyclegan",
    networks="cyclegan(width=16, critic=32, layers=2)",
    optimiser="adam(lr=0.0005)",
    schedule="linear(start=0.5, final=0.0)",
    batch=16,
    steps=1000,
    ema=0.99,
    evaluate_every=0,
    checkpoint_every=250,
)
FACADES = DIGITS.replace(
    data="facades",
    networks="cyclegan(width=32)",
    optimiser="adam(lr=0.0002)",
    batch=4,
    steps=3000,
    size=64,
)
LARGE_FACADES = FACADES.replace(size=128, batch=2, steps=2000)
QUICK_STEPS = 30


class Paired(Game):
    """The same two maps where pairs are shown, one behind the other in an image's channels: each is charged the mean distance
    of its translations to the truth.

    Arguments:
        to_b, to_a: map images to images of the other domain.
    """

    players = {"generator": ["to_b", "to_a"]}

    def __init__(self, to_b: nn.Module, to_a: nn.Module) -> None:
        super().__init__()
        self.to_b = to_b
        self.to_a = to_a

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        a, b = x.chunk(2, dim=1)
        return {"a": (self.to_a(b), a), "b": (self.to_b(a), b)}

    def losses(self, joints: Joints) -> Outcome:
        (fake_a, a), (fake_b, b) = joints["a"], joints["b"]
        return Outcome({"generator": l1_loss(fake_a, a) + l1_loss(fake_b, b)})


def digits(setting: Setting) -> Iterator[Job]:
    """Transformation by transformation: what can be reached at all, the three methods, and the bound; then the choices."""
    turning = DIGITS.replace(data="mnist-inverted", **TURNING)
    if setting.quick:
        small = "cyclegan(width=8, blocks=2, turns=True)"
        run = turning.replace(data="digits-inverted", networks=small, steps=QUICK_STEPS)
        yield from rows("inverted: ", run, setting, TRUTH, TURNING_METHODS)
        return
    yield from rows("inverted: ", turning, setting, TRUTH, TURNING_METHODS)
    for rule in RULES:
        yield from rows(f"{rule}: ", DIGITS.replace(data=f"mnist-{rule}"), setting, TRUTH, METHODS)
    if setting.steps is None:
        yield from rows("edges: ", DIGITS.replace(data="mnist-edges"), setting, None, LONGER)
    yield from rows("inverted: ", turning, setting, None, CHOICES)


def facades(setting: Setting) -> Iterator[Job]:
    """At each size: a trivial answer, CycleGAN, and the bound."""
    runs = [FACADES, LARGE_FACADES]
    if setting.quick:
        runs = [FACADES.replace(networks="cyclegan(width=4, blocks=1)", size=32, steps=QUICK_STEPS)]
    for run in runs:
        methods: Changes = {name: METHODS[name] for name in ("CycleGAN", PAIRED)}
        yield from rows(f"{run.size} pixels: ", run, setting, MEAN, methods)


def rows(title: str, run: Run, setting: Setting, reference: str | None, methods: Changes) -> Iterator[Job]:
    """The rows of one data set, seed by seed."""
    if setting.root is not None:
        run = run.replace(root=str(setting.root))
    if setting.steps is not None:
        run = run.replace(steps=setting.steps)
    assert run.steps is not None
    if reference is not None:
        yield Job(title + reference, 0, partial(refer, run, reference), 0)
    for method, changes in methods.items():
        for seed in range(setting.seeds):
            size = f"-{run.size}" if run.size else ""
            name = f"{run.data}{size}-{method}-seed-{seed}-steps-{run.steps}".replace(",", "").replace(" ", "-")
            one = run.replace(**{"name": name, "seed": seed, **changes})
            assert one.steps is not None
            yield Job(title + method, seed, partial(work, one, setting, method == PAIRED), one.steps)


def refer(run: Run, reference: str) -> Values:
    """What a translation that is exact scores, or one that answers the mean image of the training data."""
    from interalia.data.store import as_tensor
    from interalia.runs import described
    from interalia.training.batches import mean_image

    dataset = described.dataset(run)
    assert dataset.other is not None
    a, b = (as_tensor(part.test.x) for part in (dataset, dataset.other))
    if reference == TRUTH:
        return score(dataset, a, b)
    return score(dataset, mean_image(dataset).expand_as(a), mean_image(dataset.other).expand_as(b))


def work(run: Run, setting: Setting, with_pairs: bool) -> Values:
    """Trains one row, scores it on the test images, and draws both ways."""
    from interalia import tasks
    from interalia.data.store import as_tensor
    from interalia.reports import plots

    if with_pairs:
        dataset, game = shown_pairs(run, setting)
    else:
        done, dataset = trained(run, setting, run.name)
        game = done.game
    assert dataset.other is not None
    a, b = (as_tensor(part.test.x) for part in (dataset, dataset.other))
    fake_b, fake_a = tasks.translate(game, a, to="b"), tasks.translate(game, b, to="a")
    for domain, x, fake, to in (("a", a, fake_b, "a"), ("b", b, fake_a, "b")):
        back = tasks.translate(game, fake[:SHOWN], to=to)  # type: ignore[arg-type]
        path = setting.folder.parent / "pictures" / f"{run.name}-from-{domain}.png"
        truth = b if domain == "a" else a
        plots.cycles(x[:SHOWN].numpy(), fake[:SHOWN].numpy(), back.numpy(), path, truth[:SHOWN].numpy())
    cycle = (tasks.translate(game, fake_b, to="a") - a).abs().mean(), (tasks.translate(game, fake_a) - b).abs().mean()
    return {**score(dataset, fake_a, fake_b), "cycle": float(sum(cycle)) / 2}


def shown_pairs(run: Run, setting: Setting) -> tuple[Dataset, Game]:
    """The run's generators trained on as many pairs as it has images of each domain, with its settings otherwise."""
    import numpy as np
    import torch

    from interalia.data import Dataset, Split, pairs
    from interalia.runs import BROUGHT, building, described

    dataset = described.dataset(run)
    torch.manual_seed(run.seed)
    whole = building.build_for(run, dataset)
    assert isinstance(whole, CycleGAN)
    shown = np.concatenate([dataset.train.x, pairs.truths(dataset)], axis=1)  # a pair in one image's channels
    both = Dataset(f"pairs of {dataset.name}", Split(shown), Split(shown[:0]), Split(shown[:0]), about=dataset.about)
    own = dict(run.fields())
    plain = Run(**{key: own[key] for key in own if key not in (*BROUGHT["game"], *BROUGHT["data"])})
    done, _ = trained(plain, setting, run.name, game=Paired(whole.to_b, whole.to_a), dataset=both)
    done.game.data = dataclasses.replace(done.game.data, shape=dataset.shape)
    return dataset, done.game


def score(dataset: Dataset, fake_a: Tensor, fake_b: Tensor) -> dict[str, float]:
    """Both ways against the truth: distances, and digits read by a classifier of the target domain, or where there are no
    labels the structural similarity."""
    import torch

    from interalia.data.store import as_tensor
    from interalia.metrics.classifier import Classifier
    from interalia.metrics.similarity import peak_signal_to_noise, structural_similarity

    assert dataset.other is not None
    found = {}
    for name, domain, fake in (("b", dataset.other, fake_b), ("a", dataset, fake_a)):
        truth = as_tensor(domain.test.x)
        found[f"l1_{name}"] = float((fake - truth).abs().mean())
        found[f"psnr_{name}"] = peak_signal_to_noise(fake, truth)
        if domain.test.y is None:
            found[f"ssim_{name}"] = float(structural_similarity(fake, truth).mean())
        else:
            read = Classifier.of(domain).probabilities(fake).argmax(1)
            found[f"accuracy_{name}"] = 100 * float((read == torch.from_numpy(domain.test.y)).double().mean())
    return found


DISTANCES = {
    "l1_b": "L1 a→b ↓",
    "l1_a": "L1 b→a ↓",
    "psnr_b": "PSNR a→b, dB ↑",
    "psnr_a": "PSNR b→a, dB ↑",
    "cycle": "L1 of the way back ↓",
}

CYCLEGAN_DIGITS = Experiment(
    name="cyclegan-digits",
    about=(
        "CycleGAN between MNIST (a) and MNIST transformed (b), trained without pairs and scored with them, beside its two "
        "halves alone and beside the same generators trained with pairs."
    ),
    jobs=digits,
    columns={"accuracy_b": "digits right a→b, % ↑", "accuracy_a": "digits right b→a, % ↑", **DISTANCES},
    paper={},
    protocol=(
        "Three transformations, by one rule each: inverted and turned by 90 degrees; edges (Sobel); two colours drawn for "
        "each image. 25,000 images of a and 25,000 of b, of different digits; the bound: 25,000 pairs, the images of a and "
        "their truths, L1 both ways. The paper's networks in small, at 28x28: generators c7s1-16, d32, d64, 4 x R64, u32, "
        "u16, c7s1; critics of 34x34 patches C32-C64-C128; lambda 10, as in the paper. For the inverted and turned digits "
        "alone: unlike the paper's, the generators see each image in its four quarter turns, for a convolution cannot turn "
        "an image (the paper counts changes of geometry among its failures), lambda is 2, and the critics have patches of "
        "16x16, C32-C64. Least squares, no identity term, pools of 50, Adam (0.5, 0.999) at 5e-4, constant "
        f"and from the half linear to 0, {DIGITS.steps:,} steps of {DIGITS.batch} (the paper: 2e-4, batch 1, other data), "
        f"weights averaged (decay {DIGITS.ema}), no augmentation; both settings chosen on validation images; the last three "
        "rows are what the turning one was chosen against. Measured on all 10,000 test images against "
        "their truth: L1 and PSNR of pixels in [0, 1]; digits as read by a classifier trained on 20,000 labelled training "
        "images of the target domain (interalia's own, frozen; its accuracy on true images is the row 'the truth'). 'GAN "
        "alone' has cycle 0, 'cycle alone' has adversarial 0. The colours of b cannot be told from a, so there L1 and PSNR "
        "a→b have a floor that nothing gets under. Pictures of every row lie in the folder pictures: source, translation, "
        "way back, truth."
    ),
    quick_protocol=(
        f"scikit-learn's 8x8 digits, inverted and turned, smaller generators, {QUICK_STEPS} steps, one seed: it shows the "
        "table's shape and says nothing about what can be reached."
    ),
    seeds=3,
)

CYCLEGAN_FACADES = Experiment(
    name="cyclegan-facades",
    about=(
        "CycleGAN between photographs of house fronts (a) and maps of their parts (b), trained without pairs and scored with "
        "them."
    ),
    jobs=facades,
    columns={"ssim_b": "SSIM a→b ↑", "ssim_a": "SSIM b→a ↑", **DISTANCES},
    paper={},
    protocol=(
        "100 pairs; trained on 70, both domains shuffled and drawn independently, tested on the last 20. The paper's "
        "networks at half its width: generators c7s1-32, d64, d128, 6 x R128, u64, u32, c7s1-3; critics of 34x34 patches "
        "C32-C64-C128 at 64 pixels, of 70x70 patches C32-C64-C128-C256 at 128. Least squares, lambda 10, no identity term, "
        "pools of 50, Adam (0.5, 0.999) at 2e-4, constant and from the half linear to 0, "
        f"{FACADES.steps:,} steps of {FACADES.batch} at 64 pixels, {LARGE_FACADES.steps:,} of {LARGE_FACADES.batch} at 128 "
        f"(the paper: batch 1, 200 epochs of 400 photographs at 256 pixels, with "
        f"random crops and flips), weights averaged (decay {FACADES.ema}). L1, PSNR and SSIM (Gaussian window of 11 pixels, "
        "standard deviation 1.5) to the truth, of pixels in [0, 1]. The bound: the same generators on the 70 pairs, L1 both "
        "ways. 'The mean training image' answers the same for all. Pictures of every row lie in the folder pictures."
    ),
    quick_protocol=(
        f"At 32 pixels, with much smaller generators, {QUICK_STEPS} steps, one seed: it shows the table's shape and says "
        "nothing about what can be reached."
    ),
    seeds=1,
)
