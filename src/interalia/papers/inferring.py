"""Many ways to infer, on the same digits: two levels of latents, labels that are told, and labels that are read."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from interalia.papers.experiment import Experiment, Job, Setting, Values, trained
from interalia.runs import Run, recipes

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.data import Dataset
    from interalia.games import Game

QUICK_STEPS = 40
COUNT = 5000  # test images, and samples
SHOWN = 10


def on(run: Run, setting: Setting, steps: int) -> Run:
    """The run on the data that the person has, or in its quick form on scikit-learn's digits."""
    if setting.quick:
        run = run.replace(data="digits", size=None, networks="auto(width=8)", steps=QUICK_STEPS)
    elif setting.root is not None:
        run = run.replace(root=str(setting.root), steps=steps)
    return run.replace(steps=setting.steps or run.steps or steps, evaluate_every=0, checkpoint_every=500)


def percentage(holds: Tensor) -> float:
    """Of how many of the cases it holds."""
    return 100 * float(holds.double().mean())


# ---- two levels

LEVELS: dict[str, dict[str, str]] = {
    "ALI": {"game": "ali"},
    "ALICE": {"game": "alice(cycle=2.0)"},
    "HALI": {"game": "hali"},
    "HALI with the round trip": {"game": "hali(cycle=2.0)"},
}
LEVEL_STEPS = 8000


def level_jobs(setting: Setting) -> Iterator[Job]:
    """Seed by seed: one level, one level with a round trip, two levels."""
    for seed in range(setting.seeds):
        for row, changes in LEVELS.items():
            short = row.lower().replace(" ", "-")
            wide = "auto(width=32, unary=True)" if row.startswith("HALI") else "auto(width=36, unary=True)"
            run = recipes.ali_mnist(name=f"levels-{short}", seed=seed, networks=wide, **changes)
            run = on(run, setting, LEVEL_STEPS)
            yield Job(row, seed, partial(level_work, run, setting), run.steps or 0)


def level_work(run: Run, setting: Setting) -> Values:
    """Trains one run; its reconstructions from each level, and its samples."""
    import torch

    from interalia import tasks
    from interalia.conditionals import Chain
    from interalia.data.store import as_tensor
    from interalia.metrics.classifier import Classifier
    from interalia.metrics.distances import frechet_distance
    from interalia.reports import plots

    done, dataset = trained(run, setting)
    judge = Classifier.of(dataset)
    x, y = as_tensor(dataset.test.x[:COUNT]), torch.from_numpy(dataset.test.y[:COUNT])  # type: ignore[index]
    features = judge(x)
    level = "lower" if isinstance(done.game.encoder, Chain) else "upper"
    found: dict[str, float] = {}
    shown = [x[:SHOWN].numpy()]
    for name, which in (("", level), ("upper_", "upper")):
        x_hat = tasks.reconstruct(done.game, x, level=which)  # type: ignore[arg-type]
        shown.append(x_hat[:SHOWN].numpy())
        found[f"{name}mse"] = float((x - x_hat).square().mean())
        found[f"{name}features"] = float((features - judge(x_hat)).square().sum(1).sqrt().mean())
        found[f"{name}digits"] = percentage(judge.read(x_hat) == y)
    found["frechet"] = frechet_distance(features, judge(tasks.generate(done.game, len(x), seed=run.seed, how="sample")))
    found["parameters"] = sum(p.numel() for p in done.game.parameters()) / 1e6
    path = setting.folder.parent / "pictures" / f"{run.name}-seed-{run.seed}.png"
    plots.cycles(shown[0], shown[1], shown[2], path)
    return found


HALI_MNIST = Experiment(
    name="hali-mnist",
    about="ALI, ALICE and HALI at about equal numbers of parameters on MNIST: what reconstructions keep, level by level.",
    jobs=level_jobs,
    columns={
        "mse": "squared error a pixel, lower level ↓",
        "features": "error in the classifier's features, lower level ↓",
        "digits": "digits right, lower level, % ↑",
        "upper_mse": "squared error a pixel, from z ↓",
        "upper_features": "error in the classifier's features, from z ↓",
        "upper_digits": "digits right, from z, % ↑",
        "frechet": "Frechet distance of samples ↓",
        "parameters": "million parameters",
    },
    paper={},
    protocol=(
        f"MNIST, the recipe ali-mnist's settings for all rows (relativistic pairing, R1 + R2, averaged "
        f"weights), {LEVEL_STEPS:,} "
        "steps of 128; networks auto of width 36, and of 32 for HALI, whose levels (lower 128, upper 32 dimensions) have "
        "networks between them. Games of one level have the same figures twice. Reconstructions of the first 5,000 test "
        "images by the means of the conditionals, samples drawn, at both levels where there are two; features and digits by "
        "interalia's own classifier, frozen."
    ),
    quick_protocol=f"scikit-learn's 8x8 digits, small networks, {QUICK_STEPS} steps, one seed: it shows the table's shape.",
    seeds=2,
)


# ---- labels that are told

TOLD = {"conditional ALI": "ali", "conditional ALI with the round trip": "alice(cycle=2.0)", "conditional GAN": "gan"}
TOLD_STEPS = 8000
FACES = "CelebA, 4 attributes: "
ATTRIBUTES = ("Male", "Smiling", "Blond_Hair", "Eyeglasses")  # those that a person sees at 32 pixels


def told_jobs(setting: Setting) -> Iterator[Job]:
    """Seed by seed: with and without ALICE's round trip, and a conditional GAN beside them; then faces."""
    for seed in range(setting.seeds):
        for row, game in TOLD.items():
            short = row.lower().replace(" ", "-")
            run = on(recipes.cali_mnist(name=f"told-{short}", game=game, seed=seed), setting, TOLD_STEPS)
            yield Job(f"MNIST: {row}", seed, partial(told_work, run, setting), run.steps or 0)
        if setting.quick:
            continue
        for row, game in TOLD.items():
            short = row.lower().replace(" ", "-")
            run = recipes.cali_celeba(
                name=f"faces-{short}", game=game, size=32, latent=64, attributes=",".join(ATTRIBUTES), seed=seed
            )
            run = on(run, setting, TOLD_STEPS)
            yield Job(FACES + row, seed, partial(faces_work, run, setting), run.steps or 0)


def told_work(run: Run, setting: Setting) -> Values:
    """Trains one run; reads its samples of each label, and held-out images under other labels, by a frozen classifier."""
    import torch

    from interalia import tasks
    from interalia.data.store import as_tensor
    from interalia.games.capabilities import Infers
    from interalia.metrics.classifier import Classifier
    from interalia.reports import plots

    done, dataset = trained(run, setting)
    game, judge = done.game, Classifier.of(dataset)
    y = torch.arange(game.data.condition).repeat_interleave(COUNT // game.data.condition)
    x = tasks.decode(game, tasks.latents(game, len(y), run.seed), y=y)
    found = {"generated": percentage(judge.read(x) == y)}
    pictures = setting.folder.parent / "pictures"
    plots.grid(tasks.by_label(game, 10, run.seed).numpy(), pictures / f"{run.name}-seed-{run.seed}.png", columns=10)
    if isinstance(game, Infers):
        x, own = as_tensor(dataset.test.x[:COUNT]), torch.from_numpy(dataset.test.y[:COUNT])  # type: ignore[index]
        wanted = (
            own + torch.randint(1, game.data.condition, own.shape, generator=torch.Generator().manual_seed(0))
        ) % game.data.condition
        edited = tasks.edit(game, x, own, wanted)
        found["edited"] = percentage(judge.read(edited) == wanted)
        x_hat = tasks.reconstruct(game, x, y=own)
        found["reconstructed"] = percentage(judge.read(x_hat) == own)
        found["mse"] = float((x - x_hat).square().mean())
        edits = tasks.edits(game, x[:SHOWN], own[:SHOWN])
        plots.interpolations(x[:SHOWN].numpy(), edits.numpy(), None, pictures / f"{run.name}-edits-seed-{run.seed}.png")
    return {**found, "photographs": 100 * judge.accuracy}


def faces_work(run: Run, setting: Setting) -> Values:
    """Trains one run; reads its samples, and held-out faces with one attribute turned over, by a frozen classifier.

    Pictures are written beside the trainings and nowhere else: CelebA's are not to be shown.
    """
    import torch

    from interalia import tasks
    from interalia.data.store import as_tensor
    from interalia.games.capabilities import Infers
    from interalia.metrics.classifier import Classifier
    from interalia.reports import plots

    done, dataset = trained(run, setting)
    game, judge = done.game, Classifier.of(dataset, attributes=ATTRIBUTES)
    own = torch.from_numpy(dataset.conditions("test", ATTRIBUTES)).long()[:COUNT]  # what real faces have together
    x = tasks.decode(game, tasks.latents(game, len(own), run.seed), y=own.float())
    found = {"generated": percentage(judge.read(x) == own)}
    if isinstance(game, Infers):
        x = as_tensor(dataset.test.x[:COUNT])
        edits = tasks.edits(game, x, own.float())  # (n, attributes, *shape)
        read = [judge.read(edits[:, j])[:, j] == 1 - own[:, j] for j in range(len(ATTRIBUTES))]
        x_hat = tasks.reconstruct(game, x, y=own.float())
        found["edited"] = percentage(torch.stack(read))
        found["reconstructed"] = percentage(judge.read(x_hat) == own)
        found["mse"] = float((x - x_hat).square().mean())
        path = setting.folder / f"{run.name}-edits-seed-{run.seed}.png"
        plots.interpolations(x[:SHOWN].numpy(), edits[:SHOWN].numpy(), None, path)
    return {**found, "photographs": 100 * judge.accuracy}


CONDITIONAL_ALI = Experiment(
    name="conditional-ali",
    about="Conditional ALI on MNIST and CelebA: are generated and edited images those that were asked for?",
    jobs=told_jobs,
    columns={
        "generated": "generated images read as asked, % ↑",
        "edited": "edited images read as asked, % ↑",
        "reconstructed": "reconstructions read right, % ↑",
        "mse": "squared error of a reconstruction, a pixel ↓",
        "photographs": "the classifier on held-out images, %",
    },
    paper={},
    protocol=(
        "MNIST: the recipe cali-mnist (networks auto, relativistic pairing, R1 + R2, averaged weights, the "
        "rate falling to 0 over the second half), "
        f"{TOLD_STEPS:,} steps of 128; all networks are told the label. Generated: 5,000 samples, 500 of "
        "each label. Edited: the first 5,000 test images decoded from their own z under another label drawn at "
        "random. Read by interalia's own classifier, frozen. "
        f"CelebA: the recipe cali-celeba at 32 pixels, z of 64, told {', '.join(ATTRIBUTES)}. Generated: one face for the "
        "attributes of each test image; edited: each test image with each attribute turned over, read in that attribute, "
        "which is rare for half of them; a classifier of the four attributes, trained on the same photographs, reads; "
        "percentages are means over images and attributes."
    ),
    quick_protocol=f"scikit-learn's 8x8 digits, small networks, {QUICK_STEPS} steps, one seed: it shows the table's shape.",
    seeds=2,
)


# ---- labels that are read

SEMI_STEPS = 10_000
VAT = "K + 1 classes, virtual adversarial training"
SEMI = {"K + 1 classes": "semi-ali(cycle=2.0)", VAT: "semi-ali(cycle=2.0, vat=2.0)"}
DRAWS = 100


def semi_jobs(setting: Setting) -> Iterator[Job]:
    """The K + 1 classes at each number of labels, seed by seed, and the L2-SVM on the features of ALI."""
    counts = (100, 1000)
    for seed in range(setting.seeds):
        for count in counts:
            for row, game in SEMI.items():
                name = f"semi-ali-{count}" + "-vat" * ("vat" in game)
                run = on(recipes.semi_ali_mnist(name=name, game=game, seed=seed, labelled=count), setting, SEMI_STEPS)
                yield Job(f"MNIST, {count:,} labels: {row}", seed, partial(semi_work, run, setting), run.steps or 0)
        for name, game in (("ALI", "ali"), ("ALICE", "alice(cycle=2.0)")):
            base = recipes.ali_mnist(name=f"svm-{name.lower()}", game=game, seed=seed)
            run = on(base, setting, SEMI_STEPS)
            for count in counts:
                title = f"MNIST, {count:,} labels: L2-SVM on {name}"
                yield Job(title, seed, partial(svm_work, run, setting, count), run.steps or 0)
        if setting.quick:
            continue
        colour = {"CIFAR-10": ("cifar10", 4000)}
        if setting.root is not None and (setting.root / "svhn").is_dir():  # only where its files are
            colour["SVHN"] = ("svhn", 1000)
        for title, (data, count) in colour.items():
            base = recipes.semi_ali_mnist(
                name=f"semi-ali-{data}",
                data=data,
                seed=seed,
                labelled=count,
                latent=64,
                networks="auto(width=64, unary=True)",
            )
            run = on(base, setting, SEMI_STEPS)
            row = f"{title}, {count:,} labels: {VAT}"
            yield Job(row, seed, partial(semi_work, run, setting), run.steps or 0)


def semi_work(run: Run, setting: Setting) -> Values:
    """Trains one run and reads the labels of all test images by its critic."""
    import torch

    from interalia import tasks
    from interalia.data.store import as_tensor

    done, dataset = trained(run, setting)
    assert dataset.test.y is not None
    read = tasks.classify(done.game, as_tensor(dataset.test.x)).argmax(1)
    return {"error": percentage(read != torch.from_numpy(dataset.test.y))}


def svm_work(run: Run, setting: Setting, labels: int) -> Values:
    """Trains ALI without labels, once for both numbers of them, and fits the machines."""
    from interalia.metrics.inference import svm_errors

    done, dataset = trained(run, setting)
    counts = {"train": 10_000, "held": 2000, "test": None}
    parts = {part: features(done.game, dataset, part, count) for part, count in counts.items()}
    draws = 3 if setting.quick else DRAWS
    test, train, held = parts["test"], parts["train"], parts["held"]
    errors, c = svm_errors(*train, *test, *held, labels=labels, draws=draws)
    return {"error": 100 * statistics.fmean(errors), "spread": 100 * statistics.stdev(errors), "c": c}


def features(game: Game, dataset: Dataset, part: str, count: int | None) -> tuple[Tensor, Tensor]:
    """What the encoder's last three batch norms answer and the mean of z beside it, and the labels, of at most
    `count` images."""
    import torch
    from torch import nn

    from interalia import tasks
    from interalia.data.store import as_tensor
    from interalia.games.capabilities import Infers, require

    split = {"train": dataset.train, "held": dataset.validation, "test": dataset.test}[part]
    assert split.y is not None
    x = as_tensor(split.x[:count])
    encoder = require(game, Infers, "reading it").encoder
    norms = [part for part in encoder.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)][-3:]
    seen: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}
    hooks = [
        norm.register_forward_hook(lambda norm, _, out: seen[norm].append(out.flatten(1).float().clone()))
        for norm in norms
    ]
    z = tasks.encode(game, x)
    for hook in hooks:
        hook.remove()
    layers = [torch.cat(seen[norm]) for norm in norms]
    return torch.cat([*layers, z], dim=1), torch.from_numpy(split.y[:count])


ALI_SEMISUP = Experiment(
    name="ali-semisup",
    about="Semi-supervised ALI: K + 1 classes in the critic of pairs, and a linear machine on what ALI infers without.",
    jobs=semi_jobs,
    columns={
        "error": "test error % ↓",
        "spread": "standard deviation over 100 draws of labels, %",
        "c": "C",
    },
    paper={
        f"CIFAR-10, 4,000 labels: {VAT}": {"ALI, Table 2": {"error": "17.99 ± 1.62 (3 standard deviations)"}},
        "MNIST, 100 labels: K + 1 classes": {"HALI": {"error": "0.73 (two levels)"}},
    },
    protocol=(
        "MNIST: the recipe semi-ali-mnist (small networks, GAN's losses, R1 + R2 of 0.1, ALICE's round trip, the "
        "rate falling to 0 over the second half), "
        f"{SEMI_STEPS:,} steps "
        "of 128 images without labels beside a batch of labelled ones, drawn balanced by the seed; labels are read by the "
        "critic's softmax at (x, the mean of q(z | x)); with virtual adversarial training of weight 2 and radius "
        "1.5 beside it. L2-SVM: the recipe ali-mnist without labels, features "
        "the batch norms' outputs of the encoder's last three hidden layers and the mean of z, as the paper's "
        "program takes them, a linear SVM with squared hinge on balanced draws of 10,000 "
        "training images, C "
        "chosen on 2,000 validation images and the first draw, mean and standard deviation over 100 draws. All 10,000 test "
        "images. CIFAR-10, and SVHN where its files are: the same with networks of width 64 and a z of 64. "
        "The labelled images of 'K + 1' are one draw a seed. The paper's architecture and length for K + 1 are not "
        "published."
    ),
    quick_protocol=f"scikit-learn's 8x8 digits, small networks, {QUICK_STEPS} steps, 3 draws: it shows the table's shape.",
    seeds=1,
)
