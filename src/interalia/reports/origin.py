"""The provenance of a result: versions of software, commit of this library, machine and date."""

from __future__ import annotations

import datetime
import functools
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def provenance() -> dict[str, Any]:
    """Returns the origin of a result, by name: `versions`, `commit`, `machine` and `date`, of this process at this time.

    `versions` are name -> version for Python, this library, torch, numpy and scikit-learn; `date` is a text in UTC, to the
    minute; `commit` (or None) and `machine` are the texts of the functions of those names.
    """
    packages = ("interalia", "torch", "numpy", "scikit-learn")
    return {
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
        "commit": commit(),
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def provenance_lines(found: Mapping[str, Any]) -> tuple[str, str]:
    """Returns two lines of text: machine and versions; commit and date. `found` is the mapping that `provenance` returns."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"Machine: {found['machine']}. Versions: {versions}.", f"Commit: {found['commit']}. Date: {found['date']}."


@functools.cache  # the code that runs is that of the first call
def commit() -> str | None:
    """Returns the git commit of this library's source, 12 digits, with a remark if ``src`` has local changes.

    It is None if the library does not run from a git checkout.
    """
    tree = Path(__file__).resolve().parents[3]
    if not (tree / ".git").exists():
        return None
    commands = (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "src"))
    try:
        done = [subprocess.run(["git", *one], cwd=tree, capture_output=True, text=True, check=True) for one in commands]
    except (OSError, subprocess.CalledProcessError):
        return None
    head, changes = (one.stdout.strip() for one in done)
    return head + (" with local changes" if changes else "")


def machine() -> str:
    """Returns a text on this machine: processor, cores, threads, instruction set and, if there is one, the GPU."""
    info = Path("/proc/cpuinfo")
    known = re.search(r"^model name\s*:(.*)", info.read_text(), re.MULTILINE) if info.exists() else None
    name = known[1].strip() if known else platform.processor() or platform.machine()
    words = f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), {torch.backends.cpu.get_cpu_capability()}"
    if torch.cpu._is_amx_tile_supported():  # type: ignore[no-untyped-call]
        words += " with AMX"  # which multiplies bf16 several times faster
    if torch.cuda.is_available():
        words += f", {torch.cuda.get_device_name()}"
    return words
