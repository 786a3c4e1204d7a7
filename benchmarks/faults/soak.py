"""Trains, evaluates and applies a run without a pause, in one process, and measures its memory and open descriptors: after
the first tenth of the time neither may grow. It prints both ten times, and exits with 0 if they are flat. Linux.

A training that is resumed again and again, with everything that it writes (log, checkpoints, weights, metrics, figures of
samples), is followed by samples, encodings and reconstructions of what it has learned.

Usage: python benchmarks/faults/soak.py [--minutes 30]
"""

import argparse
import os
import shutil
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from common import HOME

GROWTH = 0.05  # of the memory after the first tenth


def used():
    """(resident memory in MB, open descriptors, threads) of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads = len(list(Path("/proc/self/task").iterdir()))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(list(Path("/proc/self/fd").iterdir())), threads


def round_of(recipe, folder, steps):
    """Trains up to so many steps, and applies the game."""
    import torch

    import interalia
    from interalia import recipes, tasks
    from interalia.training import engine
    from interalia.training.callbacks import default_callbacks

    run = recipes.REGISTRY[recipe](
        steps=steps, evaluate_every=200, checkpoint_every=50, log_every=10, schedule="constant"
    )
    training = engine.open_run(run, folder, resume=folder.exists())
    engine.finish(training, default_callbacks(training, progress=False))
    trained = interalia.load(folder)
    x = torch.as_tensor(trained.dataset.test.x[:64]).float() / 255
    tasks.generate(trained.game, 64)
    tasks.reconstruct(trained.game, x)
    return training.step


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--recipe", default="ali-digits")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    folder = HOME / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    began, steps, shown, seen = time.monotonic(), 0, 0, []
    while (share := (time.monotonic() - began) / (60 * given.minutes)) < 1 or len(seen) < 3:
        steps = round_of(given.recipe, folder, steps + 200)
        if share * 10 >= shown:
            shown = int(share * 10) + 1
            seen.append(used())
            memory, descriptors, threads = seen[-1]
            print(f"{steps:,} steps: {memory:,.0f} MB, {descriptors} descriptors, {threads} threads", flush=True)
    first, last = seen[min(1, len(seen) - 1)], seen[-1]
    grows = [last[0] > (1 + GROWTH) * first[0], last[1] > first[1], last[2] > first[2]]
    print(f"{steps:,} steps in {(time.monotonic() - began) / 60:.1f} minutes: {'GROWS' if any(grows) else 'flat'}")
    raise SystemExit(any(grows))
