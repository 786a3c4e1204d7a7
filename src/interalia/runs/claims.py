"""Claims: locks on the folders of runs, by which only one process at a time trains in a folder."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from interalia.disk import write_error
from interalia.errors import UserError
from interalia.runs.folder import LOCK, Folder

ATTEMPTS = 100  # to make a folder whose parent other processes make and remove
PAUSE = 0.05  # seconds between two attempts to lock a file that another process has for a moment
BEAT = 20.0  # seconds between two renewals of the file of a claim, where there are no locks
STALE = 120.0  # seconds without a renewal after which a claim has ended


class TakenError(UserError):
    """The error for a lock that another process has.

    Attributes:
        holder: a text that names the process, such as "process 12 on myhost".
    """

    holder: str = ""


@dataclass
class Claim:
    """The exclusive right of a process to train in a folder: a lock (flock) on a file in it, which names the process.

    It ends when it is released, or with the process. Windows and some network file systems have no such lock; there the
    claim is the file itself, whose time a thread renews, and it ends 2 minutes after the process at the latest. Reading the
    folder needs no claim.

    Attributes:
        path: the folder.
        made: the folders that were created for the claim, the innermost first.
        handle: the file descriptor of the locked file; None after the release, or if the folder could not be locked.
        owner: the id of the process that made the claim; processes that it forks do not release it.
        name: the name of the locked file.
    """

    path: Path
    made: list[Path] = field(default_factory=list)
    handle: int | None = None
    owner: int = field(default_factory=os.getpid)
    name: str = LOCK

    def release(self) -> None:
        """Removes the lock, if any, so that other processes can train in the folder; in a forked process nothing happens."""
        if self.handle is None or self.owner != os.getpid():
            return
        file, own = self.path / self.name, os.fstat(self.handle)
        remove_own(file, own)  # while it is still locked: see `lock`
        os.close(self.handle)
        remove_own(file, own)  # where the system removes no open file, such as Windows
        self.handle = None

    def withdraw(self) -> None:
        """Releases the claim, and removes those of the folders created for it that are empty."""
        self.release()
        with contextlib.suppress(OSError):
            for folder in self.made:
                folder.rmdir()

    def __del__(self) -> None:
        self.release()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def begin(path: Path, numbered: bool = False) -> Claim:
    """Claims a folder for a new run, creates it if it does not exist, and returns the claim.

    Arguments:
        path: the folder, which must be empty if it exists and `numbered` is False; hidden files in it do not count.
        numbered: True to claim the first of path, path-2, path-3 ... that does not exist.

    Raises:
        UserError: the folder has files, another process trains in it, or it cannot be created.
    """
    candidate, number = path, 1
    if not numbered:
        Folder(path).check_free()
    while not (made := make_folder(candidate)) and numbered:
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    claim = Claim(candidate, made)
    try:
        claim.handle = lock(candidate)
        Folder(candidate).check_free()  # again, now that no other process can start in it
    except BaseException:
        claim.withdraw()
        raise
    return claim


def resume(path: Path) -> Claim:
    """Claims the existing folder of a run, to resume its training, and returns the claim.

    Raises:
        UserError: it is not the folder of a run, or another process trains in it.
    """
    Folder(path).run()
    return Claim(path, handle=lock(path))


def make_folder(path: Path) -> list[Path]:
    """Creates a folder, and returns the list of created folders: first the folder, then its missing parents, innermost first.

    The list is empty if the folder exists. If two processes create it at the same time, one of them gets an empty list.

    Raises:
        UserError: the folder cannot be created.
    """
    attempts = iter(range(ATTEMPTS))
    while True:
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(path, error) from error
        try:
            path.mkdir()
        except FileExistsError:
            return []
        except OSError as error:
            if isinstance(error, FileNotFoundError) and next(attempts, None) is not None:
                continue  # another process, which withdrew, has removed the parent
            raise write_error(path, error) from error
        return made or [path]


def waiting(path: Path, name: str) -> Claim:
    """Claims a file in a folder, which is created if it does not exist, and returns the claim.

    If another process has claimed the file, the function waits until it is released.

    Arguments:
        path: the folder.
        name: the name of the file, which has no other content than that of the lock.
    """
    make_folder(path)
    while True:
        try:
            return Claim(path, handle=lock(path, name), name=name)
        except TakenError:
            time.sleep(PAUSE)


def lock(path: Path, name: str = LOCK) -> int | None:
    """Locks a file in a folder, by default ``.lock``, and returns its file descriptor; None if the folder cannot be written.

    The text "process NUMBER on HOST" of this process is written into the file. Where the system or the file system has no
    locks, `lock_by_heartbeat` is used instead.

    Raises:
        TakenError: another process has locked the file; the message names the process.
    """
    file = path / name
    try:
        import fcntl
    except ImportError:  # Windows
        return lock_by_heartbeat(file)
    while True:
        try:  # links are not followed, so that no file outside the folder is written
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError:
            return None  # a folder that cannot be written gives an error where it is written
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.lstat(file)):
                break
        except BlockingIOError:
            other = holder(handle)
            os.close(handle)
            raise taken(path, other) from None
        except FileNotFoundError:
            pass
        except OSError:  # this file system has no locks
            if os.fstat(handle).st_size == 0:
                os.unlink(file)  # which was created above
            os.close(handle)
            return lock_by_heartbeat(file)
        os.close(handle)  # its holder has removed the file meanwhile, so that this lock keeps no one out
    sign(handle)
    return handle


def lock_by_heartbeat(file: Path) -> int | None:
    """Locks a folder whose file system has no locks, by creating a file whose modification time a thread renews.

    Returns the descriptor of the file; None if it cannot be written. An existing file is replaced if it was not renewed for
    2 minutes, or if its process was on this host and has ended.

    Arguments:
        file: the path of the file.

    Raises:
        TakenError: another process has locked the file; the message names the process.
    """
    for _ in range(ATTEMPTS):
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            if (other := living_holder(file)) is not None:
                raise taken(file.parent, other) from None
            with contextlib.suppress(OSError):
                os.unlink(file)
        except OSError:
            return None
        else:
            sign(handle)
            threading.Thread(target=beat, args=(file, os.fstat(handle)), daemon=True).start()
            return handle
    return None


def remove_own(file: Path, own: os.stat_result) -> None:
    """Removes a file, if that is possible and it is still the one with the status `own`, a result of `os.stat`."""
    with contextlib.suppress(OSError):
        if os.path.samestat(own, os.lstat(file)):
            os.unlink(file)


def beat(file: Path, own: os.stat_result) -> None:
    """Sets the modification time of a file to the present every 20 seconds, until the file is removed or replaced.

    Arguments:
        file: the path of the file.
        own: the result of `os.stat` for the file when it was created, by which a file that replaces it is recognized.
    """
    with contextlib.suppress(OSError):
        while os.path.samestat(os.lstat(file), own):
            os.utime(file)
            time.sleep(BEAT)


def living_holder(file: Path) -> str | None:
    """Returns the text "process NUMBER on HOST" in a file that `beat` renews.

    Returns None if the file was not renewed for 2 minutes or is missing, or if the process was on this host and has ended.
    """
    try:
        if not file.is_file() or time.time() - file.stat().st_mtime > STALE:
            return None
        with open(file, "rb") as opened:
            other = holder(opened.fileno())
    except OSError:
        return None
    number, _, host = other.removeprefix("process ").partition(" on ")
    if host == socket.gethostname() and os.name == "posix":
        try:
            os.kill(int(number), 0)  # sends no signal
        except (ProcessLookupError, OverflowError):  # it has ended, or there is no such number
            return None
        except OSError:
            pass  # a process of another user
    return other


def taken(path: Path, other: str) -> TakenError:
    """Returns the error for a run's folder, `path`, in which another process trains.

    `other` is a text that names the process, such as "process 12 on myhost".
    """
    error = TakenError(
        f"{other} is training in {path}; wait until it ends or stop it, or train into another folder with `out`."
    )
    error.holder = other
    return error


def sign(handle: int) -> None:
    """Writes the text "process NUMBER on HOST" of this process into a locked file, in place of the former content.

    Nothing is written if the file has another hard link, under which it may be a file of the user's.

    Arguments:
        handle: the file descriptor of the locked file.
    """
    with contextlib.suppress(OSError):
        if os.fstat(handle).st_nlink == 1:
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def holder(handle: int) -> str:
    """Returns the content of a locked file, "process NUMBER on HOST"; or "another process" if its content is different.

    Arguments:
        handle: the file descriptor of the locked file.
    """
    with contextlib.suppress(OSError):
        os.lseek(handle, 0, os.SEEK_SET)
        words = os.read(handle, 500).decode(errors="replace").strip()
        if re.fullmatch(r"process [1-9]\d* on [\w.-]+", words, re.ASCII):
            return words
    return "another process"
