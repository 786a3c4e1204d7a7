"""Who trains in a folder: one process at a time."""

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

LOCK = ".lock"  # hidden, so that the folder counts as empty


@dataclass
class Claim:
    """The sole right to train in a folder, until it is released or its process ends, in whatever way.

    It is the operating system's lock (flock) of a file in the folder, which says who holds it. Where there is no such lock,
    on Windows and on some network file systems, the folder is trained in without one. Reading the folder needs no claim.

    Attributes:
        path: the folder.
        made: the folders that were made for it, the innermost first.
        handle: of the locked file; None where there is no lock.
        owner: the process that made the claim; what it forks off later does not end it.
    """

    path: Path
    made: list[Path] = field(default_factory=list)
    handle: int | None = None
    owner: int = field(default_factory=os.getpid)

    def release(self) -> None:
        """Lets others train in the folder."""
        if self.handle is None or self.owner != os.getpid():
            return
        with contextlib.suppress(OSError):
            os.unlink(self.path / LOCK)  # while it is held still: see `lock`
        os.close(self.handle)
        self.handle = None

    def withdraw(self) -> None:
        """Releases the folder, and removes it where it was made for this claim and is empty."""
        self.release()
        with contextlib.suppress(OSError):
            for folder in self.made:
                folder.rmdir()

    def __del__(self) -> None:
        self.release()


def begin(path: Path, numbered: bool = False) -> Claim:
    """The claim to a folder for a new run; the folder is made where it is not there.

    Arguments:
        path: the folder.
        numbered: whether path-2, path-3 ... is taken where there is something under that name already.

    Raises:
        UserError: the folder is that of a run already, or is being trained in, or cannot be made.
    """
    candidate, number = path, 1
    if not numbered:
        Folder(path).check_free()
    while not (made := make(candidate)) and numbered:
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    claim = Claim(candidate, made)
    try:
        claim.handle = lock(candidate)
        Folder(candidate).check_free()  # again, now that nobody else begins in it
    except BaseException:
        claim.withdraw()
        raise
    return claim


def resume(path: Path) -> Claim:
    """The claim to the folder of a run that goes on.

    Raises:
        UserError: it is no folder of a run, or is being trained in.
    """
    Folder(path).run()
    return Claim(path, handle=lock(path))


def make(path: Path) -> list[Path]:
    """Makes a folder, and answers it and the folders above that were made for it; none where it is there already. Of two
    processes that make it at once one alone succeeds."""
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
        except FileNotFoundError:  # another process, which withdrew, has removed the folder above
            continue
        except OSError as error:
            raise write_error(path, error) from error
        return made or [path]


def lock(path: Path) -> int | None:
    """Locks a folder and answers the handle of the locked file; None where it cannot be locked here.

    Raises:
        UserError: another process holds the lock; it is named.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = path / LOCK
    while True:
        try:  # no link is followed, so that nothing outside of the folder is written
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError:
            return None  # a folder that cannot be written is explained where it is written
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.lstat(file)):
                break
        except BlockingIOError:
            holder = who(handle)
            os.close(handle)
            raise UserError(
                f"{path} is being trained by {holder}; wait until that ends or stop it, or train into another folder with "
                f"`out`."
            ) from None
        except FileNotFoundError:
            pass
        except OSError:  # this file system has no locks
            os.close(handle)
            return None
        os.close(handle)  # whoever held it has removed it meanwhile: that file is locked for nobody
    with contextlib.suppress(OSError):
        if os.fstat(handle).st_nlink == 1:
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return handle


def who(handle: int) -> str:
    """The holder that a locked file names; what was written there by others is not repeated."""
    try:
        words = os.pread(handle, 500, 0).decode(errors="replace").strip()
    except OSError:
        words = ""
    return words if re.fullmatch(r"process \d+ on [\w.-]+", words, re.ASCII) else "another process"
