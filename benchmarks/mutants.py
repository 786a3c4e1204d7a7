"""The share of small wrong changes of the code that the tests notice.

A mutant is the source with one change: an operator, a comparison, a number, a condition, a call left out (cosmic-ray's
operators, and those of `mutations.py`). It is noticed when a test that executes its line fails. The tests are those of
`make test`, without golden curves.

- Mutants are drawn with a seed: each file has as many as its share of the lines of code, each on another line at random.
- One run of the tests, kept by a hash of the sources, finds which tests execute which lines, and how long they take.
- Every mutant is tried in a process forked from one that has imported torch but not this library, in a copy of the working
  tree: own tests of the file first, quick before slow, until one fails. Slow tests beyond `--budget` seconds of one mutant
  are left out, as is a test of speed. A mutant that takes four times as long as its tests, or over 8 GB, is noticed.
- As a control, every 25th mutant changes nothing: whatever it is noticed by is no evidence.

What broke off goes on with the same command. Results lie in .mutants.

    python benchmarks/mutants.py --seed 2026 --count 1000 --jobs 2 --write docs/mutants.md
    python benchmarks/mutants.py --seed 2026 --parts games --retry    # the survivors of a part once more, with today's tests
    python benchmarks/mutants.py --change src/interalia/games/ali.py "(q, p)" "(p, q)"    # your own mutant
    python benchmarks/mutants.py --show src/interalia/games/ali.py    # the mutants drawn from a file
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import datetime
import functools
import hashlib
import inspect
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mutations
from mutations import Site

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".mutants"
SOURCE = "src/interalia"
PARTS = {
    "games": ["games"],
    "divergences": ["adversarial/divergences.py"],
    "dynamics": ["learning/dynamics.py"],
    "penalties": ["adversarial/penalties.py", "adversarial/pools.py"],
    "conditionals": ["conditionals"],
    "disturbances": ["adversarial/disturbances.py"],
    "metrics": ["metrics"],
    "evaluation": ["training/callbacks/evaluate.py", "training/callbacks/nan.py"],
    "sampling": ["tasks", "data/sampler.py"],
}
SPEED = ("tests/test_networks_speed.py", "tests/test_benchmark.py")  # a busy machine fails them as a mutant would
FEW_SECONDS = 2.0
MEMORY = 8 * 2**30
CONTROL, NOTHING = 25, "Nothing"
FLAGS = ["-o", "addopts=--doctest-modules -q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout", "0"]
FLAGS += ["-m", "not long and not golden"]

Lines = dict[str, dict[int, set[int]]]  # file -> line -> numbers of the tests that execute it


@dataclasses.dataclass
class Tests:
    """The results of one run of all tests on unchanged sources."""

    names: list[str]
    seconds: list[float]
    spawns: list[bool]  # whether the test starts another program
    lines: Lines
    others: set[str] = dataclasses.field(default_factory=set)  # which fail or are skipped without any change


# The draw


@functools.cache
def files(part: str) -> list[str]:
    found: list[str] = []
    for name in PARTS[part]:
        path = ROOT / SOURCE / name
        found += [str(p.relative_to(ROOT)) for p in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return found


def draw(seed: int, count: int) -> list[Site]:
    """The mutants of a seed, one file after another; kept, for it takes a minute."""
    texts = {file: (ROOT / file).read_text() for part in PARTS for file in files(part)}
    how = inspect.getsource(pick) + inspect.getsource(shares) + inspect.getsource(mutations)
    sha = hashlib.sha256(f"{how} {texts}".encode())
    kept = WORK / f"draw-{seed}-{count}-{sha.hexdigest()[:12]}.json"
    if not kept.exists():
        WORK.mkdir(exist_ok=True)
        sites = {file: mutations.sites(file, source) for file, source in texts.items()}
        weights = {file: mutations.code_lines(source) for file, source in texts.items()}
        quota = shares(weights, {file: len(found) for file, found in sites.items()}, count)
        drawn = [
            dataclasses.asdict(site)
            for file, found in sites.items()
            for site in pick(found, texts[file], quota[file], random.Random(f"{seed} {file}"))
        ]
        kept.write_text(json.dumps(drawn))
    return [Site(**site) for site in json.loads(kept.read_text())]


def pick(sites: list[Site], source: str, count: int, rng: random.Random) -> list[Site]:
    """A line at random, a place in it, and one of the changes there; no line twice before each that can change was taken."""
    lines: dict[int, dict[int, list[Site]]] = defaultdict(lambda: defaultdict(list))
    for site in sites:
        lines[site.line][site.column].append(site)
    drawn: list[Site] = []
    while lines and len(drawn) < count:
        for line in rng.sample(sorted(lines), len(lines)):
            taken = None
            while taken is None and lines[line]:
                column = rng.choice(sorted(lines[line]))
                changes = lines[line][column]
                taken = mutations.complete(source, changes.pop(rng.randrange(len(changes))))
                if not changes:
                    del lines[line][column]
            if not lines[line]:
                del lines[line]
            if taken is not None:
                drawn.append(taken)
            if len(drawn) == count:
                break
    return drawn


def shares(weights: dict[str, int], most: dict[str, int], count: int) -> dict[str, int]:
    """`count` shared out in proportion to the weights by largest remainders, none above its most."""
    count = min(count, sum(most.values()))
    given = dict.fromkeys(weights, 0)
    while (rest := count - sum(given.values())) > 0:
        free = {file: weight for file, weight in weights.items() if given[file] < most[file]}
        exact = {file: rest * weight / sum(free.values()) for file, weight in free.items()}
        order = sorted(free, key=lambda file: (int(exact[file]) - exact[file], file))
        short = rest - sum(int(value) for value in exact.values())
        for rank, file in enumerate(order):
            given[file] = min(most[file], given[file] + int(exact[file]) + (rank < short))
    return given


# Processes


@functools.cache
def sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@functools.cache
def digest(shared: bool) -> str:
    """A hash of the library and of what all tests share, or of the tests as well."""
    sha = hashlib.sha256()
    for path in sorted(sources()):
        of = path.parts[0] == "src" or path.name in {"conftest.py", "examples.py"}
        if path.suffix in {".py", ".toml"} and path.parts[0] != "benchmarks" and (of or not shared):
            sha.update(f"{path}\0".encode() + (ROOT / path).read_bytes())
    return sha.hexdigest()[:12]


def state(tests: str) -> str:
    """A hash of all that the outcome of one file's tests depends on."""
    return hashlib.sha256(digest(True).encode() + (ROOT / tests).read_bytes()).hexdigest()[:12]


def copy(job: int) -> Path:
    """A copy of the working tree, for one process at a time, until the program ends."""
    tree = WORK / f"tree-{os.getpid()}-{job}"
    parent = os.getpid()
    atexit.register(lambda: os.getpid() == parent and shutil.rmtree(tree, ignore_errors=True))
    for path in sources():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, tree / path)
    return tree


def warm() -> None:
    """Imports what every test imports, but for the library itself."""
    import hypothesis
    import matplotlib
    import pytest
    import scipy.linalg
    import scipy.stats
    import sklearn.linear_model
    import torch
    import torch._dynamo
    import torchmetrics
    import zuko

    del hypothesis, pytest, scipy, sklearn, torchmetrics, zuko
    matplotlib.use("Agg")
    torch.set_num_threads(1)
    assert "interalia" not in sys.modules


def fork(tree: Path, log: Path, task: Callable[[], int]) -> int:
    """Starts a process that does the task in the tree; returns its id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        os.setsid()
        os.chdir(tree)
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.path[:] = [str(tree / "src"), *(p for p in sys.path if Path(p).resolve() != ROOT / "benchmarks")]
        os.environ["PYTHONPATH"] = str(tree / "src")
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(tree / ".hypothesis")
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = task()
    finally:
        sys.stdout.flush()
        os._exit(code)


def own(session: int) -> list[int]:
    """The processes that the session's leader started, itself among them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[3]) == session:
                    found.append(int(folder.name))
    return found


def used(session: int) -> tuple[float, int]:
    """Seconds of CPU and bytes of memory of a session."""
    seconds, memory = 0.0, 0
    for process in own(session):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            seconds += sum(int(x) for x in fields[11:15]) / os.sysconf("SC_CLK_TCK")
            memory += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return seconds, memory


def end(session: int) -> None:
    for process in own(session):
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


@contextlib.contextmanager
def ended(running: dict[int, Any]) -> Iterator[None]:
    """No process outlives its parent."""
    try:
        yield
    finally:
        for child in running:
            end(child)


def finished(running: dict[int, Any], limit: Callable[[Any], float]) -> Iterator[tuple[Any, str | int]]:
    """Waits until at least one process has ended; each with its code, or with the reason why it was ended."""
    done = False
    while running and not done:
        time.sleep(0.2)
        for child in list(running):
            pid, status = os.waitpid(child, os.WNOHANG)
            reason: str | int | None = None
            if pid:
                reason = os.waitstatus_to_exitcode(status)
            else:
                seconds, memory = used(child)
                about = running[child]
                if seconds > limit(about) or time.monotonic() - about["began"] > 300 + 20 * limit(about):
                    reason = "time"
                elif memory > MEMORY:
                    reason = "memory"
            if reason is not None:
                end(child)
                if not pid:
                    os.waitpid(child, 0)
                done = True
                yield running.pop(child), reason


# Which tests execute which lines


def cover(file: str, out: Path, sources: list[str]) -> int:
    """Runs one file's tests; writes one line of JSON for each: name, outcome, seconds, lines."""
    import coverage
    import pytest

    here = os.getcwd()
    cover = coverage.Coverage(data_file=None, include=[f"{here}/{source}" for source in sources], config_file=False)
    shared: dict[str, dict[str, list[int]]] = {}  # what fixtures of a whole module execute, which is executed once
    spawned: list[object] = []
    start = subprocess.Popen.__init__
    subprocess.Popen.__init__ = lambda self, *a, **k: (spawned.append(0), start(self, *a, **k))[1]  # type: ignore

    def seconds() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    def take() -> dict[str, list[int]]:
        cover.stop()
        data = cover.get_data()
        lines = {os.path.relpath(name, here): sorted(data.lines(name) or []) for name in data.measured_files()}
        cover.erase()
        cover.start()
        return lines

    def add(lines: dict[str, set[int]], more: dict[str, list[int]]) -> None:
        for name, numbers in more.items():
            lines.setdefault(name, set()).update(numbers)

    class Plugin:
        @pytest.hookimpl(wrapper=True)
        def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
            if fixturedef.scope == "function":
                return (yield)
            add(self.lines, take())
            try:
                return (yield)
            finally:
                shared.setdefault(fixturedef.argname, {}).update(take())

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: Any) -> Any:
            self.lines: dict[str, set[int]] = {}
            self.outcome = "passed"
            spawned.clear()
            take()
            began = seconds()
            try:
                return (yield)
            finally:
                took = seconds() - began
                add(self.lines, take())
                for name in getattr(item, "fixturenames", ()):
                    add(self.lines, shared.get(name, {}))
                about = {
                    "test": item.nodeid,
                    "outcome": self.outcome,
                    "seconds": round(took, 3),
                    "spawns": bool(spawned),
                    "lines": {name: sorted(numbers) for name, numbers in self.lines.items() if numbers},
                }
                with out.open("a") as stream:
                    stream.write(json.dumps(about) + "\n")

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                self.outcome = "failed"
            elif report.skipped:
                self.outcome = "skipped"

    cover.start()
    return int(pytest.main([flag for flag in FLAGS if flag != "-x"] + [file], plugins=[Plugin()]))


def known(jobs: int, old: bool = False) -> Tests:
    """The tests, from a run of today's sources, which is kept; `old` takes what is kept and runs no more."""
    folder = WORK / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    listed = [str(p) for p in sources() if p.suffix == ".py" and str(p) not in SPEED]
    tests = [p for p in listed if p.startswith("tests/") and Path(p).name.startswith("test_")]
    tests += [p for p in listed if p.startswith("src/") and ">>> " in (ROOT / p).read_text()]
    kept = {file: folder / f"{file.replace('/', ' ')} {state(file)}.jsonl" for file in tests}
    todo = [file for file, out in kept.items() if not out.with_suffix(".done").exists() and not old]
    measured = [file for part in PARTS for file in files(part)]
    free = [copy(job) for job in range(jobs)] if todo else []
    running: dict[int, Any] = {}
    with ended(running):
        while todo or running:
            while todo and free:
                tree, file = free.pop(), todo.pop(0)
                out = kept[file]
                out.unlink(missing_ok=True)
                task = functools.partial(cover, file, out, measured)
                child = fork(tree, out.with_suffix(".log"), task)
                running[child] = {"file": file, "tree": tree, "began": time.monotonic(), "out": out}
            for about, code in finished(running, lambda _: 3600.0):
                print(f"{about['file']}: {code}, {time.monotonic() - about['began']:.0f} s", flush=True)
                if code in (0, 1, 5):
                    about["out"].with_suffix(".done").touch()
                free.append(about["tree"])
    found = Tests([], [], [], defaultdict(lambda: defaultdict(set)))
    for out in kept.values():
        for line in out.read_text().splitlines() if out.exists() else []:
            about = json.loads(line)
            if about["outcome"] == "failed":
                print(f"fails without any change and is left out: {about['test']}", flush=True)
            if about["outcome"] != "passed":
                found.others.add(about["test"])
                continue
            for name, numbers in about["lines"].items():
                for number in numbers:
                    found.lines[name][number].add(len(found.names))
            found.names.append(about["test"])
            found.seconds.append(about["seconds"])
            found.spawns.append(about["spawns"])
    return found


# One mutant


def chosen(site: Site, source: str, tests: Tests, budget: float) -> tuple[list[str], list[str]]:
    """The tests that may notice the mutant, in the order in which they are run: those beside the file, and all others."""
    lines = tests.lines[site.file]
    reach = mutations.reach(source, site.line)
    found = set().union(*(lines[line] for line in reach if line in lines))
    if not found:  # maybe in a program that a test starts
        found = {number for number, spawns in enumerate(tests.spawns) if spawns}
    words = set(Path(site.file).with_suffix("").parts[2:]) | {Path(site.file).stem.rstrip("s"), "frozen"}

    def rank(number: int) -> tuple[bool, str, float]:
        return tests.seconds[number] > FEW_SECONDS, tests.names[number].split("::")[0], tests.seconds[number]

    def near(number: int) -> bool:
        file = tests.names[number].split("::")[0]
        return file == site.file or any(word in Path(file).stem for word in words)

    if mutations.imported(source, site.line):
        found |= {number for number in range(len(tests.names)) if near(number)}
    parts: tuple[list[str], list[str]] = ([], [])
    total = 0.0
    for number in sorted(found, key=lambda number: (not near(number), rank(number))):
        if total + tests.seconds[number] <= budget or not total:
            total += tests.seconds[number]
            parts[not near(number)].append(tests.names[number])
    return parts


def attempt(parts: tuple[list[str], list[str]], names: set[str], out: Path) -> int:
    """Runs the tests in this order until one fails; writes its name."""
    return next((code for order in parts if order and (code := tried(order, names, out)) not in (0, 5)), 0)


def tried(order: list[str], names: set[str], out: Path) -> int:
    import pytest

    ranks = {name: rank for rank, name in enumerate(order)}
    bases = {name.split("[")[0]: rank for name, rank in ranks.items()}

    class Plugin:
        def pytest_collection_modifyitems(self, items: list[Any]) -> None:
            # a mutant that renames a case of a test is tried by the case of the new name
            place = {
                item: ranks.get(
                    item.nodeid, bases.get(item.nodeid.split("[")[0], -1) if item.nodeid not in names else -1
                )
                for item in items
            }
            items[:] = sorted((item for item in items if place[item] >= 0), key=lambda item: place[item])

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                out.write_text(report.nodeid)

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                out.write_text(f"import of {report.nodeid}")

    return int(pytest.main([*FLAGS, *dict.fromkeys(name.split("::")[0] for name in order)], plugins=[Plugin()]))


def run(sites: list[Site], tests: Tests, results: Path, jobs: int, budget: float) -> None:
    """Tries the mutants, and writes each result at once."""
    names = {*tests.names, *tests.others}
    seconds = dict(zip(tests.names, tests.seconds, strict=True))
    free = [copy(job) for job in range(jobs)]
    todo, serial, now = list(sites), 0, digest(False)
    running: dict[int, Any] = {}
    with ended(running):
        while todo or running:
            while todo and free:
                site, tree, serial = todo.pop(0), free.pop(), serial + 1
                source = (tree / site.file).read_text()  # the working tree may change meanwhile
                parts = chosen(site, source, tests, budget)
                order = [*parts[0], *parts[1]]
                about = {"site": site, "tree": tree, "began": time.monotonic(), "tests": len(order), "state": now}
                about |= {"out": tree / ".noticed", "source": source, "seconds": sum(seconds[name] for name in order)}
                about["out"].unlink(missing_ok=True)
                (tree / site.file).write_text(source if site.operator == NOTHING else mutations.mutated(source, site))
                os.utime(tree / site.file, (10**9 + serial, 10**9 + serial))  # no other mutant's compiled file is taken
                task = functools.partial(attempt, parts, names, about["out"])
                running[fork(tree, tree / ".log", task)] = about
            for about, code in finished(running, lambda about: 60 + 4 * about["seconds"]):
                write(results, about, code)
                (about["tree"] / about["site"].file).write_text(about["source"])
                free.append(about["tree"])


def write(results: Path, about: dict[str, Any], code: str | int) -> None:
    site: Site = about["site"]
    by = about["out"].read_text() if about["out"].exists() else code if isinstance(code, str) else ""
    if not by and code not in (0, 5):
        by = f"pytest ends with {code}"
    took = time.monotonic() - about["began"]
    line = {**dataclasses.asdict(site), "noticed": by, "tests": about["tests"], "seconds": round(took, 1)}
    line["state"] = about["state"]
    with results.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    print(f"{took:5.1f} s  {site.file}:{site.line} {site.operator}: {by or 'NOT NOTICED'}", flush=True)


# Results


def key(line: Any) -> tuple[Any, ...]:
    about = line if isinstance(line, dict) else dataclasses.asdict(line)
    return tuple(about[name] for name in ("file", "line", "column", "operator", "before", "after"))


def read(results: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The last result of each mutant."""
    lines = results.read_text().splitlines() if results.exists() else []
    return {key(found): found for found in map(json.loads, lines)}


def part_of(file: str) -> str:
    return next(part for part in PARTS if file in files(part))


def page(found: list[dict[str, Any]], controls: list[dict[str, Any]], command: str, seed: int, drawn: int) -> str:
    """docs/mutants.md: the figures and the survivors."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    rows, lists = [], []
    for part in [*PARTS, "all"]:
        here = [line for line in found if part in ("all", part_of(line["file"]))]
        if not here:
            continue
        noticed = sum(bool(line["noticed"]) for line in here)
        rows.append(f"| {part} | {len(here)} | {noticed} | {100 * noticed / len(here):.1f} % |")
        left = [line for line in here if not line["noticed"]]
        if part != "all" and left:
            lists.append(f"\n### {part}\n\n" + "\n".join(survivor(line) for line in left))
    false = sum(bool(line["noticed"]) for line in controls)
    versions = f"Python {platform.python_version()}, {cpu()}"
    return "\n".join(
        [
            "# Mutants",
            "",
            "The share of small wrong changes of the code that `make test` notices. A mutant is the source with one",
            "change. It is noticed when a test fails, times out or takes over 8 GB. Golden curves, tests of speed and tests",
            "that take minutes (`make test-long`) are not run. Mutants that do not change the results of the code count as",
            "not noticed. Tests of one mutant beyond `--budget` seconds (120 by default) are not run.",
            "",
            f"    {command}",
            "",
            f"Seed {seed}, commit {commit}, {datetime.date.today().isoformat()}, {versions}.",
            f"Unchanged sources as a control: {false} of {len(controls)} noticed.",
            *cut(noticed, len(found), drawn),
            "",
            "| part | mutants | noticed | share |",
            "|---|---|---|---|",
            *rows,
            "",
            "Left out, because nothing there can compute a wrong number: " + "; ".join(mutations.LEFT_OUT) + ".",
            "",
            "## Not noticed",
            *lists,
            "",
        ]
    )


def cut(noticed: int, tried: int, drawn: int) -> list[str]:
    """The sentence that not all of the draw was tried, with the standard error of its share."""
    if tried == drawn:
        return []
    share = noticed / tried
    error = 100 * (share * (1 - share) / tried * (1 - tried / drawn)) ** 0.5
    return [
        f"CUT: {tried} of the {drawn:,} drawn were tried, a random choice; the standard error of their share is "
        f"{error:.1f} points. `make mutants` continues with the rest."
    ]


def survivor(line: dict[str, Any]) -> str:
    where = f"{line['file'].removeprefix(SOURCE + '/')}:{line['line']}"
    return f"- {where}, {line['operator']}: `{line['before']}` → `{line['after']}`"


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2026, help="seed of the draw")
    parser.add_argument("--count", type=int, default=1000, help="number of mutants drawn")
    parser.add_argument("--first", type=int, help="try this many of them, at random")
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts of the source to try"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes, each of one thread")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds of tests that one mutant may take")
    parser.add_argument("--retry", action="store_true", help="try again what was not noticed")
    parser.add_argument("--known", action="store_true", help="use only tests whose lines an interrupted run has found")
    parser.add_argument("--change", nargs=3, metavar=("FILE", "BEFORE", "AFTER"), help="try this one change of a text")
    parser.add_argument("--show", help="print the mutants of a file, and end")
    parser.add_argument("--write", type=Path, help="the page to write")
    arguments = parser.parse_args()
    if arguments.show:
        for site in draw(arguments.seed, arguments.count):
            if site.file == arguments.show:
                print(survivor(dataclasses.asdict(site)))
        return
    if arguments.change:
        warm()
        file, before, after = arguments.change
        assert (ROOT / file).read_text().count(before) == 1, f"{before!r} is not in {file} exactly once"
        line = (ROOT / file).read_text().split(before)[0].count("\n") + 1
        site = Site(file, line, 0, mutations.BY_HAND, 0, before, after)
        run([site], known(arguments.jobs, arguments.known), WORK / "by-hand.jsonl", 1, arguments.budget)
        return
    drawn = draw(arguments.seed, arguments.count)
    order = random.Random(arguments.seed).sample(drawn, len(drawn))[: arguments.first]  # the first are a fair sample
    chosen = [site for site in order if part_of(site.file) in arguments.parts]
    controls = [dataclasses.replace(site, operator=NOTHING, after=site.before) for site in chosen[::CONTROL]]
    sites = chosen + controls
    print(
        f"seed {arguments.seed}: {len(drawn)} mutants, {len(chosen)} to try and {len(controls)} controls",
        flush=True,
    )
    WORK.mkdir(exist_ok=True)
    results = WORK / f"results-{arguments.seed}.jsonl"
    old = read(results)
    if arguments.retry:
        sites = [site for site in sites if key(site) in old and not old[key(site)]["noticed"]]
    else:
        sites = [site for site in sites if old.get(key(site), {}).get("state") != digest(False)]
    warm()
    run(sites, known(arguments.jobs, arguments.known), results, arguments.jobs, arguments.budget)
    tried = {key(site) for site in chosen + controls}
    found = [line for k, line in read(results).items() if k in tried]
    real = [line for line in found if line["operator"] != NOTHING]
    print(f"{sum(bool(line['noticed']) for line in real)} of {len(real)} mutants noticed")
    if arguments.write:
        command = " ".join(["python", "benchmarks/mutants.py", *sys.argv[1:]])
        controls = [line for line in found if line["operator"] == NOTHING]
        arguments.write.write_text(page(real, controls, command, arguments.seed, len(drawn)))


if __name__ == "__main__":
    main()
