"""Where a named data set's files are looked for, and how they are fetched when they are not there."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from interalia.data.cache import folder, writing
from interalia.data.progress import progress
from interalia.errors import UserError

F = TypeVar("F")

TIMEOUT = 30  # seconds without an answer, after which the next mirror is tried


def places(name: str, root: Path | None, *others: str) -> list[Path]:
    """The folders that may hold the data set `name`: below `root`, or where it would have been downloaded to.

    Arguments:
        others: further folders below `root` in which other programs keep these files.
    """
    if root is None:
        return [folder() / "downloads" / name]
    return [root / name, *(root / other for other in others), root]


def here(name: str, root: Path | None, look: Callable[[Path], F | None], *others: str) -> F | None:
    """What `look` finds in the first of the `places` that holds the data set, or None."""
    folders = (place for place in places(name, root, *others) if place.is_dir())
    return next((found for place in folders if (found := look(place)) is not None), None)


def find(
    name: str,
    root: Path | None,
    look: Callable[[Path], F | None],
    others: Sequence[str],
    files: Mapping[str, str],
    mirrors: Sequence[str],
    download: bool,
) -> F:
    """What `look` finds in the first of the `places` that holds the data set, which is downloaded if none does.

    Arguments:
        look: answers None for a folder that does not hold the data set.
        files: file name -> md5, of what is downloaded.
        mirrors: addresses that hold all of `files`, tried in turn; each ends in a slash.

    Raises:
        UserError: the files are neither here nor to be had; it says which, from where, to be put where.
    """
    if (found := here(name, root, look, *others)) is not None:
        return found
    place = places(name, root)[0]
    reason = f"not in {root or place}"
    if download:
        # The first file that cannot be had ends it: the others would wait for the same silent hosts.
        failures = (failure for file, md5 in files.items() if (failure := fetch(file, md5, mirrors, place)))
        if failure := next(failures, ""):
            reason = f"{reason}, and the download failed: {failure}"
        elif (found := look(place)) is not None:
            return found
    raise UserError(
        f"the files of {name} are missing ({reason}); download {', '.join(files)} from {' or '.join(mirrors)}, "
        f"put them into one folder DIR and give `root=DIR`."
    )


def fetch(file: str, md5: str, mirrors: Sequence[str], place: Path) -> str:
    """Downloads `file` to `place` from the first mirror that has it whole; answers why it could not, or nothing.

    The file appears under its name only once its checksum was found right.
    """
    import pooch
    from requests.exceptions import ConnectionError, HTTPError, RequestException, Timeout

    pooch.get_logger().setLevel(logging.ERROR)
    with writing(place, "give another folder as `root`"):
        place.mkdir(parents=True, exist_ok=True)
    reasons = []
    for mirror in mirrors:
        host = urlsplit(mirror).netloc
        try:
            pooch.retrieve(mirror + file, f"md5:{md5}", fname=file, path=place, downloader=stream)
            return ""
        except HTTPError as error:
            status = error.response.status_code if error.response is not None else "an error"
            reasons.append(f"{host} answers {status} for {file}")
        except (ConnectionError, Timeout):
            reasons.append(f"no connection to {host}")
        except RequestException as error:
            reasons.append(f"{host} broke off ({type(error).__name__})")
        except ValueError:
            reasons.append(f"{host} sent another {file} than expected, or a part of it")
        except OSError as error:
            with writing(place, "give another folder as `root`"):
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                    raise
            reasons.append(f"{host}: {error}")
    with contextlib.suppress(OSError):
        place.rmdir()  # only if it is empty
    return ", ".join(reasons)


def stream(url: str, path: str, _: object) -> None:
    """Downloads `url` to `path`, with a bar, as pooch calls it."""
    import requests

    with requests.get(url, stream=True, timeout=TIMEOUT) as answer:
        answer.raise_for_status()
        total = float(answer.headers.get("content-length", 0))
        with progress(url.rsplit("/", 1)[-1], total or None, download=True) as advance, open(path, "wb") as file:
            for chunk in answer.iter_content(2**16):
                advance(file.write(chunk))
