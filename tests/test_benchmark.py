"""The benchmark of the step runs, and its loops are those that it names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

STEP = Path(__file__).parents[1] / "benchmarks" / "step.py"


def test_the_step_is_timed_beside_the_loop_by_hand(tmp_path: Path) -> None:
    flags = ["--batch", "4", "--repeats", "1", "--steps", "1", "--threads", "1", "--json", str(tmp_path / "step.json")]
    done = subprocess.run([sys.executable, str(STEP), *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "step.json").read_text())
    names = list(found["images_per_second"])
    assert len(names) == 4
    assert names[1].endswith("one-stage")
    assert set(found["ratio"]) == set(names[:3])
    assert all(numbers["min"] > 0 for numbers in found["images_per_second"].values())
    assert abs(sum(found["shares"].values()) - 1) < 1e-6
