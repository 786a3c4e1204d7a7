"""`reproduce NAME --quick`, "a smoke test of under a minute" of an experiment, takes at most 60 seconds of one core."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from interalia.papers import REGISTRY

SECONDS = 60
DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.long
@pytest.mark.parametrize("name", REGISTRY)
def test_a_smoke_test_takes_less_than_a_minute(name: str, tmp_path: Path) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    place = ["--data-dir", str(DATA)] if DATA.is_dir() else []
    command = [sys.executable, "-m", "interalia", "reproduce", name, "--quick", "--out", str(tmp_path), *place]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "INTERALIA_CACHE": str(tmp_path / "cache")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode and "files of" in result.stderr and not place:
        pytest.skip(f"no data beside the project: {result.stderr.splitlines()[-1]}")
    assert result.returncode == 0, result.stderr
    assert sum(after[:2]) - sum(before[:2]) < SECONDS
