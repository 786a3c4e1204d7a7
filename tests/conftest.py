"""One thread, no network, a cache of its own in each process, and the cost of it all in a line at the end."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

collect_ignore = ["plugin"]  # a package of somebody else's, which no test has unless it installs it

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, here and in the programs that tests start


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("INTERALIA_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1"):
            raise OSError(f"a test asked for the network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", only_here)
        yield


@pytest.fixture(scope="session", autouse=True)
def _freed_memory_goes_back() -> Iterator[None]:
    """A training keeps what it frees for its next step; a process of thousands of tests would keep the largest of all."""
    from interalia.training import engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "keep_freed_memory", lambda: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _classifiers_that_see_less(request: pytest.FixtureRequest) -> Iterator[None]:
    from interalia.metrics import classifier

    with pytest.MonkeyPatch.context() as patch:
        if "test_classifier_by_hand" not in request.node.nodeid:
            patch.setattr(classifier, "SEEN", 15_000)  # enough for digits
        yield


@contextlib.contextmanager
def sketched() -> Iterator[None]:
    """Figures are small, without ticks, and their panels are not fitted; images are not enlarged."""
    from interalia.reports import plots

    draw = plots._write_figure

    def write(figure: Figure, path: Path | str) -> Path:
        figure.set_layout_engine("none")
        for axes in figure.axes:
            axes.xaxis.set_visible(False)
            axes.yaxis.set_visible(False)
        return draw(figure, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "_write_figure", write)
        patch.setattr(plots, "DPI", 36)
        patch.setattr(plots, "TILE", 1)
        yield


@pytest.fixture(scope="module", autouse=True)
def _sketches(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where figures are no more than by-products."""
    with contextlib.nullcontext() if "test_reports" in request.node.nodeid else sketched():
        yield


@pytest.fixture
def sketches() -> Iterator[None]:
    """For those tests of the page that do not look at the figures on it."""
    with sketched():
        yield


def pytest_collection() -> None:
    """Until all is imported, there is little for the collector to find, and much to go through."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is imported by now stays; the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


# ---- what the tests cost

COSTS: dict[str, tuple[float, float]] = {}


def cost() -> tuple[float, float]:
    """CPU seconds of this process and of the programs that it has waited for, and its largest resident memory, GB."""
    import resource

    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in (own, children))
    return seconds, own.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)  # of a worker of pytest-xdist
    if output is not None and sys.platform != "win32":
        output["cost"] = cost()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if "cost" in getattr(node, "workeroutput", {}):
        COSTS[node.gateway.id] = tuple(node.workeroutput["cost"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if sys.platform == "win32":
        return
    found = COSTS or {"one process": cost()}
    seconds = sum(seconds for seconds, _ in found.values())
    memory = ", ".join(f"{name} {peak:.2f}" for name, (_, peak) in sorted(found.items()))
    terminalreporter.write_line(f"cost: {seconds:.0f} CPU seconds; largest resident memory in GB: {memory}")


@pytest.fixture
def one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers come from torch's generator one after the other, as in a plain loop and in versions up to format 3."""
    from interalia import contexts

    monkeypatch.setattr(contexts, "noise_from", lambda key: contextlib.nullcontext())
    monkeypatch.setattr(contexts.NoiseKey, "seed", lambda key: key.key[0])  # of a task
