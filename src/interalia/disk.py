"""Functions that write files atomically (temporary file, fsync, rename), and that read JSON files, compressed files up to a
size, and the library's TOML files.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from interalia.errors import UserError, remedy

PIECE = 2**20  # bytes of a compressed file that are unpacked at once
RATIO = 20  # arrays and tables with more bytes than this times those of the file are refused above INTERALIA_MAX_MB


def write_error(path: Path, error: OSError) -> UserError:
    """Returns the UserError for a file that cannot be written, with the reason that the operating system gives.

    Arguments:
        path: the file.
        error: the error that was raised when the file was written.
    """
    reason = error.strerror or error
    return UserError(f"{path} could not be written ({reason}); {remedy(error)} or choose another folder.")


def check_writable(path: Path) -> None:
    """Raises a UserError if the file `path` cannot be written, before the work whose result it is to have.

    It cannot be written if it is a folder, or if no file can be made in its folder or, where that is missing, in the nearest
    folder above. Nothing is left behind.

    Raises:
        UserError: it cannot be written; the message has the reason.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=next(place for place in path.absolute().parents if place.exists())):
            pass
    except OSError as error:
        raise write_error(path, error) from None


@contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file for writing, as a context manager, and renames it to `path` at the end of the block.

    The file is in the same folder and is synced to the disk first, so that `path` is never incomplete. If the block raises
    an error, the temporary file is deleted.

    Arguments:
        path: the file; missing parent folders are made.
        mode: "w" for text in UTF-8, with other characters, from names of files, as escapes; or "wb" for bytes.

    Raises:
        UserError: the folder cannot be written, or the disk is full; an existing file at `path` stays as it is.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(
            handle, mode, encoding=None if "b" in mode else "utf-8", errors=None if "b" in mode else "backslashreplace"
        ) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes a file that only its owner can read
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def read_text(path: Path, errors: str = "strict") -> str:
    """Returns the text in a file that any editor may have written, see `decoded`.

    Arguments:
        path: the file.
        errors: what becomes of bytes that are no text, as for `bytes.decode`.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        UnicodeDecodeError: it is in neither encoding.
    """
    return decoded(regular(path).read_bytes(), errors)


def decoded(content: bytes, errors: str = "strict") -> str:
    """Returns bytes as a text in UTF-8 or UTF-16, with or without a byte order mark.

    Arguments:
        content: the bytes.
        errors: what becomes of bytes that are no text, as for `bytes.decode`.

    Raises:
        UnicodeDecodeError: they are in neither encoding.
    """
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", errors)


def read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: its content is not JSON, or is JSON of another type, such as a list.
    """
    found = parse_json(read_text(path))
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found


def parse_json(text: str) -> Any:
    """Returns the value of a text in JSON; a ValueError is raised if it is damaged or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def regular(path: Path) -> Path:
    """Returns the path unchanged if it is that of a regular file or of a link to one, and raises an error otherwise.

    Reading a named pipe or a device, for example, could block forever.

    Raises:
        OSError: there is no such file, or it is a folder, a named pipe, a device, or a link that leads nowhere.
    """
    if path.is_symlink() and not path.exists():
        raise OSError(errno.ELOOP, "it is a link that leads nowhere", str(path))
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise OSError(errno.EINVAL, f"it is {kind} and not a regular file", str(path))
    return path


class SupportsRead(Protocol):
    """The type of an opened binary file, or of any object whose `read(size)` returns bytes."""

    def read(self, size: int, /) -> bytes:
        """Returns at most `size` bytes."""


def most_bytes() -> int:
    """Returns the number of bytes that one compressed file may have when it is unpacked: 256 MB of 2^20
    bytes, or as many MB as the environment variable INTERALIA_MAX_MB gives.

    Raises:
        UserError: the value of the variable is not a number, or is infinite.
    """
    text = os.environ.get("INTERALIA_MAX_MB", "256")
    try:
        return int(float(text) * 2**20)
    except (ValueError, OverflowError):
        raise UserError(f"INTERALIA_MAX_MB is {text!r}, and it must be a number; set another one.") from None


def too_large(what: object) -> UserError:
    """Returns the error for a compressed file that has more bytes than `most_bytes` allows when it is decompressed.

    `what` is the name of the file, for the message.
    """
    megabytes = most_bytes() / 2**20
    return UserError(
        f"{what} has more than {megabytes:,.0f} MB when it is unpacked; if that is right, set the environment variable "
        f"INTERALIA_MAX_MB to a larger number."
    )


def unpacked(file: SupportsRead, what: object) -> bytes:
    """Returns all bytes of an opened compressed file, decompressed.

    Arguments:
        file: the file, whose method `read` decompresses.
        what: its name, for the error message.

    Raises:
        UserError: the decompressed bytes are more than the function `most_bytes` allows, 256 MB by default.
    """
    left, content = most_bytes(), io.BytesIO()
    # in pieces: one read of an entry of a zip would have its bytes in memory twice
    while block := file.read(min(PIECE, left + 1)):
        if len(block) > left:
            raise too_large(what)
        left -= content.write(block)
    return content.getvalue()


def write_json(path: Path, value: Any) -> None:
    """Writes a value of types that `json` supports to a file, with NaN and Infinity for such numbers.

    An existing file is replaced only when the new one is complete (see `writing`).
    """
    with writing(path) as file:
        json.dump(value, file, indent=1, allow_nan=True)
        file.write("\n")
