"""Which operations the time of a training step is spent in: milliseconds a step of each, by torch's profiler, on one thread.

    python benchmarks/operations.py ali-svhn-paper                                    # one process
    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 benchmarks/operations.py ali-svhn-paper    # process 0 of two

The recipe's networks are trained on random 32x32 color images in batches of 100, in the precision that the recipe chooses.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import scaling
import torch
from torch.profiler import ProfilerActivity, profile

from interalia.contexts import flush_denormals
from interalia.contexts.processes import ALONE, Team
from interalia.training import engine

STEPS, ROWS = 4, 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    given = parser.parse_args()
    torch.set_num_threads(1)
    engine.keep_freed_memory()
    team = ALONE
    if "RANK" in os.environ:
        torch.distributed.init_process_group("gloo")
        team = Team(torch.distributed.get_rank(), torch.distributed.get_world_size())
    with flush_denormals():
        training = scaling.prepared(given.recipe, 100, team)
        for _ in range(STEPS):
            scaling.take_step(training)
        with profile(activities=[ProfilerActivity.CPU]) as found:
            for _ in range(STEPS):
                scaling.take_step(training)
    if team.first:
        rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
        print(f"{sum(row.self_cpu_time_total for row in rows) / STEPS / 1e3:8.1f} ms a step")
        for row in rows[:ROWS]:
            print(f"{row.self_cpu_time_total / STEPS / 1e3:8.1f} ms in {row.count / STEPS:6.1f} calls of {row.key}")
    sys.stdout.flush()
    os._exit(0)  # threads of gloo may abort a process that ends as usual


if __name__ == "__main__":
    main()
