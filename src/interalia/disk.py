"""Functions that write files atomically (temporary file, fsync, rename), and that read JSON files and the library's
TOML files.
"""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import IO, Any

from interalia.errors import UserError


def write_error(path: Path, error: OSError) -> UserError:
    """Returns the UserError for a file that cannot be written, with the reason that the operating system gives.

    Arguments:
        path: the file.
        error: the error that was raised when the file was written.
    """
    reason = error.strerror or error
    return UserError(f"{path} could not be written ({reason}); free some space or choose another folder.")


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
        encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
        with os.fdopen(handle, mode, encoding=encoding, errors=errors) as file:
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


def read_text(path: Path) -> str:
    """Returns the text in a file that any editor may have written: in UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is in neither encoding.
    """
    content = path.read_bytes()
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: its content is not JSON, or is JSON of another type, such as a list.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found


def write_json(path: Path, value: Any) -> None:
    """Writes a value of types that `json` supports to a file, with NaN and Infinity for such numbers.

    An existing file is replaced only when the new one is complete (see `writing`).
    """
    with writing(path) as file:
        json.dump(value, file, indent=1, allow_nan=True)
        file.write("\n")


def packaged_toml(package: str, name: str) -> dict[str, Any]:
    """Returns the content of a TOML file that is installed with the library, as a dictionary.

    Arguments:
        package: the package with the file, such as "interalia.data".
        name: the name of the file, such as "sources.toml".
    """
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))
