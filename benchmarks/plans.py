"""How good the plan of `interalia train --data FOLDER` is, beside eight other plans of the same time.

The other plans are drawn with seed 0 from image size {32, 64}, batch {16, 64}, augmentation {none, adaptive} and latents
{32, 64}; all else is as in the plan: each gets its number of steps from the time of a step on this machine. The data are

- facades: 300 square crops of 64 to 128 pixels from photographs of the CMP facades;
- xrays: the chest X-rays of PneumoniaMNIST as files in folders of two classes;
- shapes: 500 pictures of 48 to 96 pixels of disks, rings and bars on colored ground, made here, in folders of three classes.

Everything is measured at 64 pixels, whatever the size that was trained: the reconstruction ratio on held-out images, and the
Frechet distance of samples from all images of the data set, by the same features for all plans of a data set: a classifier
of its labels, and random convolutions for facades, which have none. The plan passes if both means over the seeds are at most
10 % above those of the best of the eight, each metric with its own best.

    python benchmarks/plans.py --data-dir DATA --out runs/plans --minutes 10
    python benchmarks/plans.py --data-dir DATA --out runs/plans-short --minutes 1 --only shapes --seeds 1 --plans 3

A run that is in OUT/results.json is not done again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

import interalia
from interalia import data, tasks
from interalia.data.dataset import Dataset
from interalia.data.store import as_tensor
from interalia.disk import write_json
from interalia.metrics.distances import frechet_distance
from interalia.metrics.extractors import Extractor, extractor_for
from interalia.metrics.inference import reconstruction

SIDE, SAMPLES, SHARE = 64, 1000, 1.1
PROGRAM = [sys.executable, "-m", "interalia.cli", "train"]
CHOICES = {
    "image_size": (32, 64), "batch_size": (16, 64), "augment": ("none", "adaptive"), "latent_dim": (32, 64),
}  # fmt: skip
Plan = dict[str, int | str]


def plans(count: int) -> dict[str, Plan]:
    """The plan of the program, under the name "ours", and `count` others."""
    grid = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
    drawn = random.Random(0).sample(grid, count)
    return {"ours": {}, **{" ".join(map(str, plan.values())): plan for plan in drawn}}


def facades(source: Path, folder: Path) -> None:
    generator = random.Random(0)
    paths = sorted((source / "facades").glob("*.jpg"))
    for number in range(300):
        with Image.open(paths[number % len(paths)]) as image:
            photograph = image.convert("RGB").crop((0, 0, image.height, image.height))  # beside its map of labels
        side = generator.randint(64, 128)
        left, top = (generator.randint(0, length - side) for length in photograph.size)
        photograph.crop((left, top, left + side, top + side)).save(folder / f"{number:03}.png")


def xrays(source: Path, folder: Path) -> None:
    arrays = np.load(source / "medmnist" / "pneumoniamnist.npz")
    for part in ("train", "val", "test"):
        for number, (image, label) in enumerate(zip(arrays[f"{part}_images"], arrays[f"{part}_labels"], strict=True)):
            place = folder / part / ("normal", "pneumonia")[int(label[0])]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number:04}.png")


def shapes(source: Path, folder: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(500):
        kind, side = number % 3, int(generator.integers(48, 97))
        place = folder / ("disk", "ring", "bar")[kind]
        place.mkdir(exist_ok=True)
        Image.fromarray(shape(generator, kind, side)).save(place / f"{number:03}.png")


def shape(generator: np.random.Generator, kind: int, side: int) -> NDArray[np.uint8]:
    """A disk (0), ring (1) or bar (2) on a ground whose color changes from top to bottom, with a soft edge and grain."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    row, column, radius, angle = generator.uniform((0.3, 0.3, 0.12, 0), (0.7, 0.7, 0.28, np.pi))
    distance = np.hypot(y - row, x - column) - radius
    if kind == 1:
        distance = np.abs(distance) - radius / 3
    if kind == 2:
        distance = np.abs((y - row) * np.cos(angle) + (x - column) * np.sin(angle)) - radius / 2
    inside = 1 / (1 + np.exp(distance * 60))
    top, bottom, color = generator.uniform(0.1, 0.9, (3, 3))
    ground = top + (bottom - top) * y[..., None]
    picture = ground + (color - ground) * inside[..., None] + generator.normal(0, 0.02, (side, side, 3))
    return np.asarray((255 * picture).clip(0, 255), dtype=np.uint8)


MAKERS = {"facades": facades, "xrays": xrays, "shapes": shapes}


def resized(x: Tensor) -> Tensor:
    """Images in [0, 1] at 64 pixels a side."""
    return interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def measure(run: Path, dataset: Dataset, extractor: Extractor, seed: int) -> dict[str, Any]:
    trained = interalia.load(run)
    game, own = trained.game, trained.dataset
    held_out = [as_tensor(np.concatenate([one.validation.x, one.test.x])) for one in (own, dataset)]
    x_hat = resized(tasks.reconstruct(game, held_out[0]))
    samples = resized(tasks.generate(game, SAMPLES, seed=seed))
    every = as_tensor(np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x]))
    fields = trained.run
    return {
        "ratio": reconstruction(held_out[1], x_hat).ratio,
        "frechet": frechet_distance(extractor(every), extractor(samples)),
        "extractor": extractor.name,
        **{key: getattr(fields, key) for key in (*CHOICES, "steps")},
    }


def verdict(found: dict[str, Any], name: str) -> list[str]:
    """The table of a data set in Markdown: a row for each plan, and the last one on whether ours passes."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for key, one in found.items():
        if key.split("/")[0] == name:
            rows.setdefault(key.split("/")[1], []).append(one)
    means = {
        plan: [statistics.mean(one[key] for one in runs) for key in ("ratio", "frechet")] for plan, runs in rows.items()
    }
    lines = [
        f"| {name}: plan | size, batch, augmentation, latents, steps | ratio | Frechet distance |",
        "|---|---|---|---|",
    ]
    for plan, (ratio, distance) in means.items():
        what = ", ".join(str(rows[plan][0][key]) for key in (*CHOICES, "steps"))
        lines.append(f"| {plan} | {what} | {ratio:.3f} | {distance:.4g} |")
    others = [pair for plan, pair in means.items() if plan != "ours"]
    if others and "ours" in means:
        shares = [own / min(column) for own, column in zip(means["ours"], zip(*others, strict=True), strict=True)]
        passed = "passes" if max(shares) <= SHARE else "fails"
        lines.append(f"\nOurs over the best: {shares[0]:.2f} and {shares[1]:.2f}; the plan {passed}.\n")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="a folder with facades/ and medmnist/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", choices=MAKERS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--plans", type=int, default=8)
    arguments = parser.parse_args()
    results = arguments.out / "results.json"
    found: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    for name in [arguments.only] if arguments.only else MAKERS:
        folder = arguments.out / "data" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            MAKERS[name](arguments.data_dir, folder)
        dataset = data.load(folder, image_size=SIDE)
        extractor = extractor_for(dataset)
        for seed, (plan, fields) in itertools.product(range(arguments.seeds), plans(arguments.plans).items()):
            key = f"{name}/{plan}/{seed}"
            if key in found:
                continue
            out = arguments.out / "runs" / key.replace("/", "-").replace(" ", "-")
            options = [part for field, value in fields.items() for part in (f"--{field.replace('_', '-')}", str(value))]
            fixed = ["--minutes", str(arguments.minutes), "--seed", str(seed), "--no-report", "--out", str(out)]
            if not out.exists():
                subprocess.run([*PROGRAM, "--data", str(folder), *fixed, *options], check=True)
            elif interalia.load(out).step < (interalia.load(out).run.steps or 0):
                subprocess.run([*PROGRAM, "--resume", str(out), "--no-report"], check=True)
            torch.manual_seed(0)
            found[key] = measure(out, dataset, extractor, seed)
            write_json(results, found)
        print("\n".join(verdict(found, name)), flush=True)


if __name__ == "__main__":
    main()
