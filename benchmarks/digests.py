"""A digest of every recipe's weights after three steps on random images: equal unless a change of the code changes numbers.

Digests differ between machines, threads and versions of torch. They are for one machine, before and after:

    python benchmarks/digests.py > before.txt
    python benchmarks/digests.py > after.txt      # of the changed code
    diff before.txt after.txt

Each line is a recipe and the digest of its weights and their average; a recipe that cannot be trained has the error there.
Recipes can be named: python benchmarks/digests.py ali-mnist avb-mnist
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import examples

from interalia import games
from interalia.data.binarize import binarize
from interalia.data.dataset import Dataset, Split
from interalia.games.needs import Pretrained, example_needs
from interalia.runs import Run, recipes
from interalia.training import engine
from interalia.training.state import Training

STEPS, BATCH, IMAGES, CLASSES = 3, 4, 24, 10
ATTRIBUTES = ("Male", "Smiling", "Young")
VECTORS = {"grid25": 2}
SIDES = {"digits": 8, "svhn": 32, "cifar10": 32, "celeba": 64, "facades": 64}  # 28 where there is none
COLOUR = {"svhn", "cifar10", "celeba", "facades"}


def shape(run: Run) -> tuple[int, ...]:
    """The shape of one x of the recipe's data."""
    if run.data in VECTORS:
        return (VECTORS[run.data],)
    side = run.image_size or SIDES.get(run.data, 28)
    return (3 if run.data in COLOUR else 1, side, side)


def split(of: tuple[int, ...], rng: np.random.Generator) -> Split:
    images = len(of) == 3
    x = rng.integers(0, 256, (IMAGES, *of), dtype=np.uint8) if images else rng.normal(size=(IMAGES, *of))
    return Split(x if images else x.astype(np.float32), np.arange(IMAGES, dtype=np.int64) % CLASSES)


def dataset(run: Run) -> Dataset:
    """Random images of the shape of the recipe's data, with labels and attributes, and a second domain for CycleGAN."""
    rng = np.random.default_rng(0)
    parts = {part: split(shape(run), rng) for part in ("train", "validation", "test")}
    attributes = {part: rng.integers(0, 2, (IMAGES, len(ATTRIBUTES)), dtype=np.int8) for part in parts}
    names = tuple(str(label) for label in range(CLASSES))
    other = None
    if "cyclegan" in run.game:
        other = Dataset("random", **{part: split(shape(run), rng) for part in parts})
    found = Dataset(
        "random", **parts, classes=names, attributes={"names": np.array(ATTRIBUTES), **attributes}, other=other
    )
    return found if run.binarize == "none" else binarize(found, run.binarize)


def digest(module: nn.Module) -> str:
    """The digest of all tensors of a module, in the order of their names."""
    sha = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        sha.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]


def trained(recipe: str) -> Training:
    """The recipe after its steps."""
    named = recipes.REGISTRY[recipe]()
    short = {
        "batch_size": min(named.batch_size, BATCH),
        "steps": STEPS,
        "epochs": None,
        "evaluate_every": 0,
        "device": "cpu",
    }
    ours = {
        "data": "digits",
        "image_size": None,
        "binarize": "none",
        "num_labeled": CLASSES,
    }  # of the data that are given
    torch.manual_seed(0)
    fixed = isinstance(example_needs(games.REGISTRY[named.game.split("(")[0]]).get("decoder"), Pretrained)
    generator = examples.generator(named.latent_dim, shape(named)) if fixed else None
    training = engine.prepare(named.replace(**short, **ours), generator=generator, dataset=dataset(named))
    engine.loop(training, ())
    return training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="names of recipes; all by default")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for recipe in arguments.recipes or recipes.REGISTRY:
        began = time.perf_counter()
        try:
            training = trained(recipe)
            average = "" if training.average is None else " " + digest(training.average.module)
            line = f"{digest(training.game)}{average}"
        except Exception as error:  # a recipe that breaks is a line that differs
            line = f"{type(error).__name__}: {error}".splitlines()[0]
        print(recipe, line, flush=True)
        print(f"{recipe}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
