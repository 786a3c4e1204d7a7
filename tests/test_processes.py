"""Several processes train one run as one process does, and end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import laws_of_processes as laws
import pytest
import torch
from program import checkpointed  # noqa: F401
from torch import nn

from interalia.contexts import keyed, processes
from interalia.errors import UserError
from interalia.training import processes as starting

REFUSED = {"semi-ali(vat=1.0,sleep=1.0)"}


def unequal(size: int, kind: str) -> dict[str, float | str]:
    """The cases that several processes train otherwise than one, with the difference or the refusal."""
    found = {}
    for case, value in laws.launch(size, kind):
        alike = value <= laws.WITHIN if isinstance(value, float) else value.startswith("one process: ")
        if not alike:
            found[" ".join(map(str, case.values()))] = value
    return found


def test_two_processes_train_as_one() -> None:
    found = unequal(2, "cover")
    assert set(found) == REFUSED
    assert all("start one process" in str(value) for value in found.values())


@pytest.mark.long
@pytest.mark.parametrize("size", [2, 4])
def test_two_and_four_processes_train_as_one_on_the_whole_grid(size: int) -> None:
    assert set(unequal(size, "grid")) == REFUSED
