"""The peak memory of training on shards of synthetic data, for several sizes of the data.

    python benchmarks/memory.py

trains 100 steps on each size, in a process of its own, which read 400,000 images, and prints the peak resident memory of
each. The shards are sparse files of zeros but for some rows, so that they take no space on the disk.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from interalia.data import prepare

GIGABYTES = (0.2, 2.0, 20.0)
SHAPE = (3, 32, 32)
ROWS = 2**30 // math.prod(SHAPE)  # of one shard
BATCH = 4096
TRAIN = """\
import resource, sys, interalia
small = {"networks": "mlp(width=16)", "batch_size": int(sys.argv[2]), "evaluate_every": 0}
interalia.train("ali-images", data=sys.argv[1], steps=100, verbose=False, **small)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def sparse(folder: Path, size: float) -> int:
    """Writes shards of training images of `size` GB to a folder, and returns the number of the images."""
    draw = np.random.default_rng(0).integers(0, 256, (64, *SHAPE)).astype(np.uint8)
    prepare(draw, folder)
    table = json.loads((folder / "shards.json").read_text())
    left = count = round(size * 1e9 / math.prod(SHAPE))
    shards = []
    while left:
        rows = min(left, ROWS)
        path = folder / f"train-{len(shards) + 1:05d}.npy"
        with open(path, "wb") as file:
            layout = {"descr": "|u1", "fortran_order": False, "shape": (rows, *SHAPE)}
            np.lib.format.write_array_header_1_0(file, layout)
            file.truncate(file.tell() + rows * draw[0].nbytes)
        shards.append([path.name, rows])
        left -= rows
    table["domains"][0]["splits"]["train"] += shards
    (folder / "shards.json").write_text(json.dumps(table))
    return count + 51


def main() -> None:
    """Prints a line for each size: gigabytes, images, and the peak resident memory of a training in GB."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as place:
        for size in GIGABYTES:
            folder = Path(place, f"{size:g}")
            count = sparse(folder, size)
            words = [sys.executable, "-c", TRAIN, str(folder), str(BATCH)]
            peak = subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout.split()[-1]
            print(f"{size:g} GB, {count:,} images: {float(peak):.2f} GB", flush=True)


if __name__ == "__main__":
    main()
