"""The peak memory of training on shards of synthetic data, and of preparing tables, for several sizes of the data.

    python benchmarks/memory.py

trains 100 steps on each size, in a process of its own, which read 400,000 images, and prints the peak resident memory of
each. The shards are sparse files of zeros but for some rows, so that they take no space on the disk.

    python benchmarks/memory.py tables

prepares a .npz, a .csv and, if pyarrow is installed, a .parquet file of each size, and prints the peak of the anonymous
memory, i.e. without pages of files, which the system can drop.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from interalia.data import prepare
from interalia.data.shards import checksum_of

GIGABYTES = (0.2, 2.0, 20.0)
SHAPE = (3, 32, 32)
ROWS = 2**30 // math.prod(SHAPE)  # of one shard
BATCH = 4096
TABLE_ROWS, COLUMNS = (400_000, 3_200_000), 18
PREPARE = "import interalia.cli; interalia.cli.main()"
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
    del table["checksum"]
    table["checksum"] = checksum_of(table)
    (folder / "shards.json").write_text(json.dumps(table))
    return count + 51


def blocks(rows: int) -> list[np.ndarray]:
    """Returns random numbers of `rows` rows in all and 18 columns, in blocks of 100,000 rows; the blocks are equal."""
    block = np.random.default_rng(0).normal(size=(100_000, COLUMNS))
    return [block] * (rows // len(block))


def write_csv(path: Path, rows: int) -> None:
    """Writes a .csv file with `rows` rows: 18 columns of numbers with 6 decimals, and one of 5 texts."""
    names = ",".join([*(f"c{i}" for i in range(COLUMNS)), "kind"])
    line = ",".join(["%.6f"] * COLUMNS)
    with open(path, "w") as file:
        file.write(f"{names}\n")
        text = "".join(f"{line % tuple(row)},k{i % 5}\n" for i, row in enumerate(blocks(rows)[0]))
        file.writelines(text for _ in blocks(rows))


def write_npz(path: Path, rows: int) -> None:
    """Writes a .npz file with an array of `rows` rows of 18 numbers, float64."""
    np.savez(path, x=np.concatenate(blocks(rows)))


def write_parquet(path: Path, rows: int) -> None:
    """Writes a .parquet file with `rows` rows: 18 columns of numbers, float64, and one of 5 texts."""
    import pyarrow
    from pyarrow import parquet

    block = blocks(rows)[0]
    columns = {f"c{i}": block[:, i] for i in range(COLUMNS)} | {"kind": [f"k{i % 5}" for i in range(len(block))]}
    table = pyarrow.table(columns)
    with parquet.ParquetWriter(path, table.schema, use_dictionary=["kind"]) as file:
        for _ in blocks(rows):
            file.write_table(table)


def anonymous(process: subprocess.Popen[str]) -> float:
    """Returns the peak of a process's anonymous memory until it ends, in GB, sampled five times a second."""
    peak = 0.0
    while process.poll() is None:
        with suppress(OSError):  # it has just ended
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            peak = max(peak, *(int(line.split()[1]) / 1e6 for line in lines if line.startswith("Anonymous:")))
        time.sleep(0.2)
    if process.returncode:
        raise RuntimeError(process.stderr.read() if process.stderr else "")
    return peak


def prepared(name: str, write: Callable[[Path, int], None], environment: dict[str, str]) -> None:
    """Prints a line for each size of a table: rows, bytes of the file, and the peak memory of preparing it.

    Arguments:
        name: the suffix of the file.
        write: writes the file of a number of rows.
        environment: the environment of the process.
    """
    for rows in TABLE_ROWS:
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, f"t.{name}")
            write(path, rows)
            words = [sys.executable, "-c", PREPARE, "prepare", str(path), "--out", f"{place}/shards"]
            process = subprocess.Popen(
                words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            size = path.stat().st_size / 1e6
            print(f".{name} of {rows:,} rows, {size:,.0f} MB: {anonymous(process):.2f} GB", flush=True)


def main() -> None:
    """Prints a line for each size: gigabytes, images, and the peak resident memory of a training in GB; or with the argument
    `tables` a line for each table.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if sys.argv[1:] == ["tables"]:
        for name, write in (("npz", write_npz), ("parquet", write_parquet), ("csv", write_csv)):
            with suppress(ImportError):
                prepared(name, write, environment)
        return
    with tempfile.TemporaryDirectory() as place:
        for size in GIGABYTES:
            folder = Path(place, f"{size:g}")
            count = sparse(folder, size)
            words = [sys.executable, "-c", TRAIN, str(folder), str(BATCH)]
            peak = subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout.split()[-1]
            print(f"{size:g} GB, {count:,} images: {float(peak):.2f} GB", flush=True)


if __name__ == "__main__":
    main()
