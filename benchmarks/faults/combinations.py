"""Random combinations of all options by Hypothesis: each run is trained for three steps with finite losses, or is refused by
one sentence. It prints what is otherwise, with the fewest fields that still show it, and exits with 0 if nothing is.

Usage: python benchmarks/faults/combinations.py [--runs 300] [--seed 0]
"""

import argparse
import resource
from collections import Counter

import hypothesis
import torch
from common import HOME
from options import attempt, combinations

import interalia


def generator(folder):
    """The folder of a trained GAN of 16 latents."""
    if not (folder / "weights.safetensors").exists():
        small = interalia.Run(game="gan", latent_dim=16, steps=2, batch_size=16, evaluate_every=0)
        interalia.train(small, folder, callbacks=None)
    return str(folder)


def smallest(fields, seen):
    """The fewest of the fields with which the same is seen."""
    for key in list(fields):
        fewer = {name: value for name, value in fields.items() if name != key}
        if key != "game" and attempt(fewer)[1] == seen:
            fields = fewer
    return fields


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    torch.set_num_threads(1)
    tally, found = Counter(), set()

    @hypothesis.seed(given.seed)
    @hypothesis.settings(
        max_examples=given.runs,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(combinations(generator(HOME / "g")))
    def attempts(fields):
        what, seen = attempt(fields)
        tally[what] += 1
        if what == "short" and seen not in found:
            found.add(seen)
            print(f"FALLS SHORT {smallest(fields, seen)}: {seen}", flush=True)

    attempts()
    print(dict(tally))
    raise SystemExit("short" in tally)
