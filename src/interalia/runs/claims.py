"""Claims: locks on the folders of runs, by which only one process at a time trains in a folder."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path

from interalia.disk import write_error
from interalia.errors import UserError
from interalia.runs.folder import Folder

ATTEMPTS = 100  # to make a folder whose parent other processes make and remove
LOCK = ".lock"  # hidden: a folder with nothing else counts as empty


@dataclass
class Claim:
    """The exclusive right of a process to train in a folder: a lock (flock) on a file in it, which names the process.

    It ends when it is released, or with the process. Windows and some network file systems have no such lock; there two
    processes can train in one folder. Reading the folder needs no claim.

    Attributes:
        path: the folder.
        made: the folders that were created for the claim, the innermost first.
        handle: the file descriptor of the locked file; None without a lock.
        owner: the id of the process that made the claim; processes that it forks do not release it.
    """

    path: Path
    made: list[Path] = field(default_factory=list)
    handle: int | None = None
    owner: int = field(default_factory=os.getpid)

    def release(self) -> None:
        """Removes the lock, if any, so that other processes can train in the folder; in a forked process nothing happens."""
        if self.handle is None or self.owner != os.getpid():
            return
        with contextlib.suppress(OSError):
            os.unlink(self.path / LOCK)  # while it is still locked: see `lock`
        os.close(self.handle)
        self.handle = None

    def withdraw(self) -> None:
        """Releases the claim, and removes those of the folders created for it that are empty."""
        self.release()
        with contextlib.suppress(OSError):
            for folder in self.made:
                folder.rmdir()

    def __del__(self) -> None:
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


def lock(path: Path) -> int | None:
    """Locks the file ``.lock`` in a folder, and returns its file descriptor; None if the system has no locks, or the folder
    cannot be written. The file then names this process.

    Raises:
        UserError: another process has locked the folder; the message names the process.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = path / LOCK
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
            raise UserError(
                f"{other} is training in {path}; wait until it ends or stop it, or train into another folder with "
                f"`out`."
            ) from None
        except FileNotFoundError:
            pass
        except OSError:  # this file system has no locks
            os.close(handle)
            return None
        os.close(handle)  # its holder has removed the file meanwhile, so that this lock keeps no one out
    with contextlib.suppress(OSError):
        if os.fstat(handle).st_nlink == 1:
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return handle


def holder(handle: int) -> str:
    """Returns the content of a locked file, "process NUMBER on HOST"; or "another process" if its content is different.

    Arguments:
        handle: the file descriptor of the locked file.
    """
    with contextlib.suppress(OSError):
        words = os.pread(handle, 500, 0).decode(errors="replace").strip()
        if re.fullmatch(r"process \d+ on [\w.-]+", words, re.ASCII):
            return words
    return "another process"
