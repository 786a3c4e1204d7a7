"""What the fault scripts share: the command line run in forked children (everything is imported once), limits on memory and
time, and a comparison of checkpoints bit by bit. Linux and macOS only (fork).

Runs are put into $FAULTS_DIR, or a folder `faults` in the system's folder for temporary files.
"""

import importlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
HOME = Path(os.environ.get("FAULTS_DIR", Path(tempfile.gettempdir()) / "faults"))
HOME.mkdir(parents=True, exist_ok=True)
os.environ.setdefault("INTERALIA_CACHE", str(HOME / "cache"))
USED = [0.0]  # processor seconds of the last child: the wall clock says little on a busy machine


def warm(page=False):
    """Imports what the commands need, so that a child costs little. Without `page` no page of results is made."""
    modules = (
        "safetensors.torch",
        "sklearn.datasets",
        "torch.optim",
        "torch._dynamo",
        "interalia.cli",
        "interalia.tasks",
    )
    for name in modules:  # torch imports _dynamo with the first optimizer, which takes a second
        importlib.import_module(name)
    import torch

    from interalia import reports
    from interalia.training import engine  # noqa: F401

    torch.set_num_threads(1)
    if not page:
        reports.make = lambda trained: "(left out)"


def limits(gigabytes=6, seconds=60):
    """A function that a child calls first: it may not use more."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * 2**30),) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))

    return limit


def started(arguments, before=None, log=None):
    """Starts `interalia ARGUMENTS` in a child and answers its process number; a traceback ends with code 77."""
    sys.stdout.flush(), sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        out = open(log or os.devnull, "ab", buffering=0)  # noqa: SIM115
        os.dup2(out.fileno(), 1), os.dup2(out.fileno(), 2)
        if before:
            before()
        from interalia.cli import main

        try:
            main([str(a) for a in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        except BaseException:
            traceback.print_exc()
            code = 77
        sys.stdout.flush(), sys.stderr.flush()
    finally:
        os._exit(code)


def spent(pid):
    """Processor seconds of a child so far, where the system tells them (Linux), else 0."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait(pid, timeout=300):
    """The exit code of a child, minus the signal that ended it, or "timeout": after so many seconds of the processor, or five
    times as many of the clock, because other programs may use the processor."""
    end = time.time() + 5 * timeout
    while time.time() < end and spent(pid) < timeout:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            USED[0] = usage.ru_utime + usage.ru_stime
            return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "timeout"


def command(arguments, before=None, timeout=300):
    """(exit code, what was printed)"""
    path = HOME / f"out-{os.getpid()}.txt"
    path.unlink(missing_ok=True)
    code = wait(started(arguments, before, path), timeout)
    return code, path.read_text(errors="replace") if path.exists() else ""


def flat(value, name=""):
    if isinstance(value, dict):
        for k, v in value.items():
            yield from flat(v, f"{name}.{k}")
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from flat(v, f"{name}[{i}]")
    else:
        yield name, value


def differences(a, b):
    """The names of what differs between two checkpoints, the clock left out."""
    import torch

    x, y = (dict(flat(torch.load(p, weights_only=True))) for p in (a, b))
    bad = sorted(set(x) ^ set(y))
    for k in set(x) & set(y):
        u, v = x[k], y[k]
        tensors = isinstance(u, torch.Tensor) and isinstance(v, torch.Tensor)
        if k != ".seconds" and not (tensors and torch.equal(u, v) if isinstance(u, torch.Tensor) else u == v):
            bad.append(k)
    return bad
