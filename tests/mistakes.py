"""The small files that the lines of ``mistakes.toml`` speak of, all in one folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from interalia import registry, train
from interalia.adversarial.divergences import KL
from interalia.runs import recipes


class Softer(KL):
    """A divergence that no later process knows."""


def make(home: Path) -> None:
    """Writes them all."""
    pictures(home / "PICTURES")
    arrays(home)
    texts(home)
    fields = {"networks": "mlp(width=4)", "latent_dim": 4, "batch_size": 16, "steps": 2, "evaluate_every": 0}
    train(recipes.ali_digits(**fields), home / "RUN")
    divergences = registry.registry("divergences")
    divergences.add("softer", Softer, "softer_module")
    train(recipes.ali_digits(**fields, divergence="softer"), home / "RUN-OF-AN-OWN-softer")
    divergences.remove("softer")
    shutil.copytree(home / "RUN-OF-AN-OWN-softer", home / "RUN-OF-AN-OWN-obj")
    (home / "runs").mkdir()
    shutil.copytree(home / "RUN", home / "runs" / "x")
    shutil.copytree(home / "RUN", home / "broken_json")
    (home / "broken_json" / "run.json").write_text('{"name": ')
    shutil.copytree(home / "RUN", home / "broken_w")
    whole = (home / "RUN" / "weights.safetensors").read_bytes()
    (home / "broken_w" / "weights.safetensors").write_bytes(whole[: len(whole) // 2])
    (home / "emptyrun").mkdir()


def pictures(home: Path) -> None:
    """Colour pictures of several sizes, those of two classes, one of many modes, and none."""
    random = np.random.default_rng(0)

    def picture(name: str, size: tuple[int, int], mode: str = "RGB") -> None:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode).save(path)

    for i in range(1, 13):
        picture(f"facades/f{i:03d}.{'jpg' if i == 1 else 'png'}", (16, 16 + i % 2))
        picture(f"xray/{'pneumonia' if i % 2 else 'normal'}/{i}.png", (8, 8), "L")
    for i in range(3):
        picture(f"mixed/{i}.png", (9 + i, 8))
    picture("n1/000.png", (8, 8), "L")
    (home / "empty").mkdir()


def arrays(home: Path) -> None:
    random = np.random.default_rng(0)
    x = random.random((10, 1, 8, 8), dtype=np.float32)
    np.save(home / "nan.npy", np.full_like(x, np.nan))
    np.save(home / "big255.npy", 255 * x)
    np.save(home / "obj.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.savez(home / "twoarr.npz", a=x, b=x)
    np.save(home / "table.npy", random.random((60, 5), dtype=np.float32))
    np.save(home / "tabu8.npy", random.integers(0, 256, (60, 5), dtype=np.uint8))


def texts(home: Path) -> None:
    for name, text in {
        "fake.png": "no picture",
        "afile.txt": "text",
        "typo.toml": "latnet = 8\n",
        "type.toml": 'steps = "many"\n',
        "syntax.toml": "steps = = 3\n",
        "table.toml": "[game]\nname = 'ali'\n",
        "table.csv": "a,b\n1,2\n3,4\n",
        "mine.toml.txt": "steps = 3\n",
        "own.json": json.dumps({"steps": 3}),
    }.items():
        (home / name).write_text(text)
