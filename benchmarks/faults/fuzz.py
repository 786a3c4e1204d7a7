"""Files of every kind that the program reads, changed at random by Hypothesis: each command is to succeed, or to end with one
sentence; never with a traceback, a hang, or 500 MB above the same commands on good files. It prints what is otherwise, then
a table of the kinds, and exits with 0 if nothing is. Linux and macOS.

Usage: python benchmarks/faults/fuzz.py [--files 2000] [--seed 0] [part of a kind's name ...]
"""

import argparse
import os
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import strategies
from hypothesis import strategies as st

from interalia import reports
from interalia.reports import drawing


def tried(kind, files, seed, base):
    """Tries so many changed files of a kind, and returns how often each outcome was seen and what falls short.

    Figures that depend on weights and data alone are drawn once where neither is changed: a copy of the run has them.
    """
    tally, short = Counter(), {}
    draw = drawing.draw
    if kind in strategies.DRAWN:
        assert strategies.attempt(["report", base.good / "run"], None)[0] == "done"
        drawing.draw = lambda trained, dataset: None
    most = strategies.peak() + strategies.MEMORY

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=files,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.data())
    def attempts(data):
        nonlocal most
        what, seen = strategies.attempt(strategies.FILES[kind](base, data.draw), most)
        tally[what] += 1
        if what == "short":
            most = max(most, strategies.peak() + 2**24)  # or all that follow would be above it
            short.setdefault(seen[:90], seen)

    attempts()
    drawing.draw = draw
    return tally, list(short.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--files", type=int, default=2000, help="changed files of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    kinds = [kind for kind in strategies.FILES if not given.names or any(name in kind for name in given.names)]
    reports.make = lambda trained: "(left out)"
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INTERALIA_CACHE"] = f"{folder}/cache"
        base = strategies.Base(Path(folder, "good"), Path(folder, "work"))
        strategies.prepared(base.good)
        for kind in kinds:
            tally, short = tried(kind, -(-given.files // len(kinds)), given.seed, base)
            print(f"{kind}: {dict(tally)}", *(f"  FALLS SHORT: {one}" for one in short), sep="\n", flush=True)
            bad += tally["short"]
    raise SystemExit(bad > 0)
