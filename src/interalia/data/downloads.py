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
    candidates = places(name, root, *others)
    for place in candidates:
        if place.is_dir() and (found := look(place)) is not None:
            return found
    reason = f"not in {root or candidates[0]}"
    if download:
        # The first file that cannot be had ends it: the others would wait for the same silent hosts.
        failures = (failure for file, md5 in files.items() if (failure := fetch(file, md5, mirrors, candidates[0])))
        if failure := next(failures, ""):
            reason = f"{reason}, and the download failed: {failure}"
        elif (found := look(candidates[0])) is not None:
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
            with Bar(file) as bar:
                http = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)
                pooch.retrieve(mirror + file, f"md5:{md5}", fname=file, path=place, downloader=http)
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


class Bar:
    """The progress bar in the form that pooch calls: it sets `total`, and passes each chunk's size."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.total = 0.0
        self._stack = contextlib.ExitStack()
        self._advance: Callable[[float], None] | None = None
        self._resets = False

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def update(self, step: float) -> None:
        if self._resets:  # pooch starts over at the end in order to fill the bar, which has left the screen by then
            return
        if self._advance is None:
            self._advance = self._stack.enter_context(progress(self.file, self.total or None, download=True))
        self._advance(step)

    def reset(self) -> None:
        self._resets = True

    def close(self) -> None:
        self._stack.close()
