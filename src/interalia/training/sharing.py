"""The rows of a table, computed by one process or by several, of this command and of others that compute the same table."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

import torch

from interalia.errors import UserError
from interalia.runs.claims import TakenError
from interalia.runs.rows import FinishedRows, Key
from interalia.training.engine import stop_on_signals

START = "fork" if sys.platform == "linux" else "spawn"  # how a process of a row starts
PAUSE = 1.0  # seconds until a row that another command computes is tried again
DEATHS = 2  # so many processes of a row may be killed, before the row is given up


class Job(Protocol):
    """A row of a table with one seed, which is to be computed."""

    @property
    def row(self) -> str:
        """The name of the row."""

    @property
    def seed(self) -> int:
        """The random seed."""

    @property
    def steps(self) -> int:
        """The length of its training in steps."""

    @property
    def after(self) -> Collection[str]:
        """Names of rows: their jobs before this one must be finished first. Names of no row have no effect."""


Compute = Callable[[Any, Callable[[str], None]], Mapping[str, Any]]  # (job, print) -> its finished row


@dataclass
class Sharing:
    """The computation of the rows of a table that are not finished, by `compute` in this process or in several others.

    Each row is claimed while it is computed, see `FinishedRows`. Rows that other commands compute are waited for; if such a
    command ends before its row is finished, the row is computed here.

    Attributes:
        jobs: returns a `Job` for each row and seed, in the order of the table. It is called repeatedly: later rows may depend
            on finished ones.
        compute: computes the row of a job; its second argument prints a line of text.
        finished: the finished rows.
        write_table: writes the table of the finished rows, which it gets by (name, seed, steps).
        say: prints a line of text.
        failed: (name, seed, steps) -> the error of a row that could not be computed.
        later: (name, seed, steps) of a row that another process computes -> the time, by `time.monotonic`, to try it again.
        deaths: (name, seed, steps) -> how many processes of the row were killed.
        last_here: True if the last row was finished by this command, or before it began; another command finished it else.
    """

    jobs: Callable[[], Iterable[Any]]
    compute: Compute
    finished: FinishedRows
    write_table: Callable[[Mapping[Key, dict[str, Any]]], object]
    say: Callable[[str], None]
    failed: dict[Key, str] = field(default_factory=dict)
    later: dict[Key, float] = field(default_factory=dict)
    deaths: dict[Key, int] = field(default_factory=dict)
    last_here: bool = False

    def left(self, running: Collection[Key] = ()) -> Iterator[tuple[Any, bool]]:
        """Yields each job whose row is neither finished nor failed nor among `running`, and whether it can be computed now.

        That is False if the row waits for others, or is computed by another process. It is evaluated when the job is yielded.
        """
        before: dict[str, set[Key]] = {}  # name of a row -> its jobs so far
        for job in self.jobs():
            before.setdefault(job.row, set()).add(key := of_job(job))
            done = self.finished.read()
            if key not in done and key not in self.failed and key not in running:
                free = all(before.get(name, set()) <= done.keys() for name in job.after if name != job.row)
                yield job, free and self.later.get(key, 0.0) <= time.monotonic()

    def run(self, processes: int = 1) -> None:
        """Computes all rows that are left, by this process, or by several that compute one row each, with one thread.

        Errors of a row are passed on if there is one process. Otherwise they are printed, the other rows are computed, and an
        error with the number of failed rows ends the method. A signal to stop (see `stop_on_signals`) ends all processes.

        Raises:
            UserError: rows have failed.
            KeyboardInterrupt: a signal has stopped the command.
        """
        self.last_here = not any(True for _ in self.left())
        if processes == 1:
            while list(self.tried()):
                time.sleep(PAUSE)
        else:
            with stop_on_signals() as stop:
                Processes(self, processes, stop).run()
        blocked = [job.row for job, _ in self.left()]
        if self.failed:
            rows = "1 row has" if len(self.failed) == 1 else f"{len(self.failed)} rows have"
            others = f", for which {len(blocked)} others wait" if blocked else ""
            raise UserError(f"{rows} an error, see above{others}; the others are finished in {self.finished.folder}.")

    def tried(self) -> Iterator[Any]:
        """Computes each row that is left and can be computed now, one after the other, and yields the jobs of the others."""
        for job, free in self.left():
            try:
                if not free:
                    yield job
                else:
                    self.compute_row(job, self.say)
            except TakenError as error:
                self.postpone(job, error.holder)
                yield job

    def compute_row(self, job: Any, say: Callable[[str], None]) -> None:
        """Claims the row of a job, computes it and adds it to the finished rows; nothing is done if it is finished already.

        Raises:
            TakenError: another process computes the row, or trains a run that the row needs.
        """
        key = of_job(job)
        with self.finished.claim(key):
            if key not in self.finished.read():
                rows = self.finished.add(self.compute(job, say), self.write_table)
                self.last_here = all(of_job(one) in rows for one in self.jobs())

    def postpone(self, job: Any, holder: str) -> None:
        """Notes that another process, such as "process 12 on myhost", computes the row of a job, to try it again later."""
        key = of_job(job)
        if key not in self.later:
            self.say(f"{job.row}, seed {job.seed}: it is being computed by {holder}.")
        self.later[key] = time.monotonic() + PAUSE

    def postponed(self, job: Any) -> bool:
        """True if another process computed the row of a job when it was last tried."""
        return of_job(job) in self.later


class Processes:
    """The processes of one command that compute the rows of a table, at most `count` at a time, each one row.

    Arguments:
        sharing: the computation.
        count: the number of processes.
        stop: an event that is set to stop them.
    """

    def __init__(self, sharing: Sharing, count: int, stop: threading.Event) -> None:
        self.sharing, self.count, self.stop = sharing, count, stop
        self.context: Any = multiprocessing.get_context(START)
        self.running: dict[Key, tuple[Any, Any, Connection]] = {}  # key -> (job, its process, what it sends)

    def run(self) -> None:
        """Starts processes until all rows are finished or have failed, or `stop` is set; then all of them are stopped."""
        try:
            while not self.stop.is_set():
                left = list(self.started())
                if self.running:
                    self.collect(PAUSE if any(map(self.sharing.postponed, left)) else None)
                elif any(map(self.sharing.postponed, left)):
                    time.sleep(PAUSE)
                else:
                    return  # the others wait for rows that have failed
        finally:
            self.end()
        raise KeyboardInterrupt("finished rows are kept; go on with the same command.")

    def started(self) -> Iterator[Any]:
        """Starts processes for the rows that can be computed, until `count` are running; yields the jobs that remain."""
        for job, free in self.sharing.left(self.running):
            if free and len(self.running) < self.count:
                self.start(job)
            else:
                yield job

    def start(self, job: Any) -> None:
        """Starts a process that computes the row of a job."""
        receiver, sender = self.context.Pipe(duplex=False)
        one = self.sharing
        given = (of_job(job), sender, (one.jobs, one.compute, one.finished, one.write_table))
        process = self.context.Process(target=row_process, args=given)
        process.start()
        sender.close()
        self.running[of_job(job)] = job, process, receiver

    def collect(self, timeout: float | None) -> None:
        """Waits until a process has ended, or a signal comes, or `timeout` seconds are over, and prints what ended processes
        have sent.
        """
        sentinels = [process.sentinel for _, process, _ in self.running.values()]
        end = time.monotonic() + (timeout or 3600.0)
        while not self.stop.is_set() and time.monotonic() < end:
            if multiprocessing.connection.wait(sentinels, 0.2):
                break
        for key, (job, process, receiver) in list(self.running.items()):
            if not process.is_alive():
                del self.running[key]
                self.report(key, job, process, receiver)

    def report(self, key: Key, job: Any, process: Any, receiver: Connection) -> None:
        """Prints what an ended process has sent: the row's numbers, or its error. A row whose process was killed is tried
        once more.
        """
        sharing, name = self.sharing, f"{job.row}, seed {job.seed}"
        kind, text = "", ""
        with contextlib.suppress(EOFError, OSError):
            kind, text = receiver.recv()
        receiver.close()
        process.join()
        if kind in ("done", "last"):
            sharing.last_here |= kind == "last"
            for line in text.splitlines():
                sharing.say(line)
        elif kind == "taken":
            sharing.postpone(job, text)
        elif kind == "error":
            sharing.failed[key] = text
            sharing.say(f"{name}: {text} (what it printed is in {output(sharing.finished, key)})")
        elif not self.stop.is_set():
            sharing.deaths[key] = sharing.deaths.get(key, 0) + 1
            again = sharing.deaths[key] < DEATHS
            code = process.exitcode
            why = f"signal {-code}" if code is not None and code < 0 else f"code {code}"
            sharing.say(f"{name}: its process has ended with {why}{'; it is tried once more' if again else ''}.")
            if not again:
                sharing.failed[key] = why

    def end(self) -> None:
        """Interrupts the processes that still run, and waits for them; a second signal ends them at once."""
        try:
            for _, process, _ in self.running.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGINT)
            for _, process, _ in self.running.values():
                process.join()
        finally:
            for _, process, _ in self.running.values():
                process.kill()
            self.running.clear()


def of_job(job: Any) -> Key:
    """Returns (name, seed, steps) of the row of a job, which identify it."""
    return job.row, job.seed, job.steps


def output(finished: FinishedRows, key: Key) -> str:
    """Returns the path of the file for what the process of a row prints, given by (name, seed, steps)."""
    row, seed, steps = key
    name = re.sub(r"[^-.,=+ a-zA-Z0-9]+", "-", row)[:150]
    return str(finished.folder / "output" / f"{name}, seed {seed}, {steps}.txt")


def row_process(key: Key, sender: Connection, given: tuple[Any, Any, FinishedRows, Any]) -> None:
    """Computes one row, given by (name, seed, steps), in a separate process with one thread. `given` are the first four
    fields of `Sharing`.

    What it prints goes into a file. A pair of texts is sent to the first process: "done", or "last" after the last row, and
    the lines that `compute` prints; "taken" and the process that computes the row; or "error" and the message. Nothing is
    sent after an interruption.
    """
    lines: list[str] = []
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C in the terminal goes to the first process alone, which interrupts this one
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    threading.Thread(target=end_with_parent, daemon=True).start()
    sharing = Sharing(*given, lines.append)
    path = output(sharing.finished, key)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
        try:
            job = next(job for job in sharing.jobs() if of_job(job) == key)
            sharing.compute_row(job, lines.append)
            sender.send(("last" if sharing.last_here else "done", "\n".join(lines)[:10_000]))
        except TakenError as error:
            sender.send(("taken", error.holder))
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            traceback.print_exc()
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            sender.send(("error", kind + " ".join(str(error).split())[:1000]))


def end_with_parent() -> None:
    """Interrupts this process when the one that started it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)


def number_of(jobs: int) -> int:
    """Returns the number of processes for the option `jobs`: itself, or that of the usable cores if it is 0.

    Raises:
        UserError: it is negative.
    """
    if jobs < 0:
        raise UserError(f"`jobs` is {jobs}, and it must be at least 0; 0 is one process a core.")
    return jobs or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
