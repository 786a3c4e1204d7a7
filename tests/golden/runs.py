"""Five short runs as the version of commit 27ad5ed kept them: later versions load them, and go on with them.

    python tests/golden/runs.py     # was run at commit 27ad5ed, and is not to be run again

The files in `runs` are those of that version. Written anew by a later one they would show no more than that it reads what it
writes itself, so this program leaves those that are there, and stays to say how they came about.

For each run NAME there are

    NAME/        the folder of a run without log and figures: description, weights, checkpoint, of one the best weights
    NAME.toml    what was set of the description, as `interalia train NAME.toml` took it then
    NAME.npz     images `x`, their labels `y` where it takes some, and `reconstructions` or translations to `a` and `b`
    NAME.txt     each player's losses in the next steps, of a copy of the folder that was resumed; what that copy makes of the
                 images after them is in NAME.npz too, as `later_reconstructions` and so on

Between them they carry all that one step leaves to the next: averages of the weights, moments of the optimisers, singular
vectors, the probability of augmentation, pools of past translations, a dynamics' last step, the orders of the data.

Other processors differ in the last bits of float32. How much that grows is measured as the files are written: weights
moved by 1e-6 of their size, some 8 units in their last place, move no loss of the next steps by more than `LOSS` of its size,
and no pixel after them by more than `PIXEL`. The tests allow ten times as much.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import interalia

RUNS = Path(__file__).parent / "runs"
STEPS, MORE, IMAGES = 20, 6, 4
NUDGE, NUDGES, LOSS, PIXEL = 1e-6, 10, 1e-5, 1e-5

SET: dict[str, dict[str, Any]] = {
    "ali": {
        "game": "ali",
        "networks": "auto(width=1, unary=True)",
        "latent": 5,
        "divergence": "relativistic",
        "penalty": "r1r2(gamma=0.5, every=2)",
        "augment": "adaptive(target=0.2, images=800)",
        "spectral": "decoder",
        "optimiser": "adam(lr=0.004)",
        "schedule": "cosine",
        "batch": 24,
        "ema": 0.95,
        "evaluate_every": 10,
        "seed": 11,
    },
    "bigan": {  # conditional, and of the fewest fields
        "game": "ali",
        "encoder": "dirac",
        "labels": True,
        "networks": "auto(width=1)",
        "latent": 4,
        "optimiser": "rmsprop(lr=0.001)",
        "batch": 18,
        "pack": 2,
        "ema": 0,
        "seed": 12,
    },
    "cyclegan": {
        "game": "cyclegan(cycle=2.0, pool=9)",
        "data": "digits-inverted",
        "networks": "cyclegan(width=2, blocks=1, critic=4, turns=True)",
        "divergence": "least-squares",
        "optimiser": "adam(lr=0.0005)",
        "schedule": "linear(start=0.3, final=0.1)",
        "batch": 6,
        "average": "uniform(start=0.25)",
        "seed": 15,
    },
    "avb": {
        "game": "avb(likelihood='bernoulli', contrast=True, correlated=True)",
        "binarise": "fresh",
        "networks": "auto(width=1)",
        "encoder": "spanned(noise=6, basis=4, width=12, draws=64)",
        "latent": 3,
        "dynamics": "optimistic",
        "optimiser": "adam(lr=0.002, beta1=0.4)",
        "rates": {"critic": 0.003},
        "batch": 20,
        "accumulate": 2,
        "clip": 1.5,
        "ema": 0.9,
        "seed": 14,
    },
    "implicit": {  # whose networks are fully connected ones, as the implicit encoder's of images then were
        "game": "ali",
        "size": 18,
        "encoder": "implicit(noise=3)",
        "networks": "auto(width=1)",
        "latent": 3,
        "optimiser": "sgd(lr=0.01, momentum=0.5)",
        "batch": 16,
        "ema": 0.9,
        "seed": 16,
    },
}
# one device and precision everywhere, and no measuring but where the best weights are wanted
SHARED: dict[str, Any] = {
    "data": "digits", "steps": STEPS, "log_every": 1, "evaluate_every": 0, "precision": "fp32", "device": "cpu"
}  # fmt: skip


def inputs(size: int = 8) -> Tensor:
    """Four bumps of light on 8x8 pixels, or more, drawn in float64."""
    drawn = np.random.RandomState(27).uniform([1, 1, 1], [6, 6, 3], (IMAGES, 3)) * size / 8
    across, down, width = drawn.T[:, :, None, None]
    y, x = np.mgrid[:size, :size]
    return torch.from_numpy(np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * width**2))[:, None]).float()


def labels() -> Tensor:
    return torch.arange(IMAGES)


def images(folder: Path) -> dict[str, Tensor]:
    """What a run makes of the inputs."""
    trained = interalia.load(folder)
    x = inputs(trained.run.image_size or 8)
    if trained.run.game.startswith("cyclegan"):
        return {domain: interalia.translate(trained.game, x, domain) for domain in ("a", "b")}
    y = labels() if trained.run.labels else None
    return {"reconstructions": interalia.reconstruct(trained.game, x, 0, y)}


def resumed(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> tuple[list[dict[str, float]], Any]:
    """The losses of the next steps, made from a copy of the folder, and what it makes of the inputs after them; `change` is
    applied to the checkpoint before."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / folder.name
        shutil.copytree(folder, copy)
        if change is not None:
            state = torch.load(copy / "checkpoints" / "last.pt", weights_only=True)
            change(state)
            torch.save(state, copy / "checkpoints" / "last.pt")
        interalia.train(interalia.load(copy).run.replace(steps=STEPS + MORE, evaluate_every=0), copy, resume=True)
        lines = [json.loads(line) for line in (copy / "log.jsonl").read_text().splitlines()]
        lines = [line for line in lines if line["step"] > STEPS]
        names = [key for key in lines[0] if key.startswith("losses/")]
        return [{name.removeprefix("losses/"): line[name] for name in names} for line in lines], images(copy)


def nudge(state: dict[str, Any], seed: int = 0) -> None:
    """Moves every weight of a checkpoint, up or down."""
    signs = torch.Generator().manual_seed(seed)
    for part in (state["game"], state["average"] or {}):
        for value in part.values():
            if value.is_floating_point():
                value.mul_(1 + NUDGE * (2 * torch.randint(2, value.shape, generator=signs) - 1))


def apart(ours: tuple[list[dict[str, float]], Any], theirs: tuple[list[dict[str, float]], Any]) -> tuple[float, float]:
    """How far two trainings are apart in their losses, for their size, and in pixels."""
    pairs = [(a[player], b[player]) for a, b in zip(ours[0], theirs[0], strict=True) for player in a]
    pixels = max(float((ours[1][key] - theirs[1][key]).abs().max()) for key in ours[1])
    return max(abs(a - b) / abs(a) for a, b in pairs), pixels


def write(name: str) -> None:
    """Trains a run and keeps it, and what later versions are to find in it."""
    folder, fields = RUNS / name, {"name": name, **SHARED, **SET[name]}
    interalia.train(interalia.Run(**fields), folder)
    for passing in ("log.jsonl", "checkpoints/previous.pt"):
        (folder / passing).unlink(missing_ok=True)
    shutil.rmtree(folder / "figures", ignore_errors=True)
    lines = [
        f"{key} = {{ {', '.join(f'{k} = {v}' for k, v in value.items())} }}"
        if isinstance(value, dict)
        else f"{key} = {json.dumps(value)}"
        for key, value in fields.items()
    ]
    (RUNS / f"{name}.toml").write_text("\n".join(lines) + "\n")
    found = resumed(folder)
    arrays = {"x": inputs(fields.get("size", 8)), **({"y": labels()} if "labels" in fields else {}), **images(folder)}
    arrays |= {f"later_{key}": value for key, value in found[1].items()}
    np.savez(RUNS / f"{name}.npz", **{key: value.numpy() for key, value in arrays.items()})
    for seed in range(NUDGES):
        loss, pixel = apart(found, resumed(folder, functools.partial(nudge, seed=seed)))
        assert max(loss / LOSS, pixel / PIXEL) < 1, f"{name} is unstable ({loss}, {pixel}); take a smaller rate"
    table = [" ".join(found[0][0]), *(" ".join(f"{value:g}" for value in step.values()) for step in found[0])]
    (RUNS / f"{name}.txt").write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    missing = [name for name in SET if not (RUNS / name).exists()]
    if not missing:
        sys.exit(f"{RUNS} is there as commit 27ad5ed wrote it; later versions read it and do not write it anew")
    torch.set_num_threads(1)
    for name in missing:
        write(name)
