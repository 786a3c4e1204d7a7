"""Where a named data set's files are looked for, how they are fetched when they are not there, and how they are split."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from interalia.data import REGISTRY, Source
from interalia.data.cache import folder, writing
from interalia.data.dataset import Dataset
from interalia.data.images import LabeledImages, decode_splits, resize_note
from interalia.data.progress import progress
from interalia.data.splits import format_sizes
from interalia.errors import UserError

F = TypeVar("F")
Files = dict[str, Path]

VALIDATION = 10_000  # images at most, from the end of a training set
TIMEOUT = 30  # seconds without an answer, after which the next mirror is tried


def find_or_download(
    source: Source, data_dir: Path | None, find_files: Callable[[Path], F | None], download: bool
) -> F:
    """What `find_files` finds in the first folder that holds the data set, which is downloaded if none does.

    The folders are those of its name and of `source.folders` below `data_dir`, and `data_dir` itself; where there is no data_dir, the one
    in the cache that it would have been downloaded to.

    Arguments:
        source: the data set.
        data_dir: the folder that holds the files, or None.
        find_files: answers None for a folder that does not hold the data set.
        download: whether the network may be used.

    Raises:
        UserError: the files are neither here nor to be had; it says which, from where, to be put where.
    """
    home = folder() / "downloads" if data_dir is None else data_dir
    place = home / source.name
    others = [] if data_dir is None else [*(data_dir / other for other in source.folders), data_dir]
    for each in filter(Path.is_dir, (place, *others)):
        if (found := find_files(each)) is not None:
            return found
    reason = f"not in {data_dir or place}"
    if download and source.files:
        # The first file that cannot be had ends it: the others would wait for the same silent hosts.
        failures = (why for file, md5 in source.files.items() if (why := fetch(file, md5, source.mirrors, place)))
        if failure := next(failures, ""):
            reason = f"{reason}, and the download failed: {failure}"
        elif (found := find_files(place)) is not None:
            return found
    advice = source.by_hand or f"; download {', '.join(source.files)} from {' or '.join(source.mirrors)}, put them"
    raise UserError(
        f"the files of {source.name} are missing ({reason}){advice} into one folder DIR and give `data_dir=DIR`."
    )


def fetch(file: str, md5: str, mirrors: Sequence[str], place: Path) -> str:
    """Downloads `file` to `place` from the first mirror that has it whole; answers why it could not, or nothing.

    The file appears under its name only once its checksum was found right.
    """
    import pooch
    from requests.exceptions import ConnectionError, HTTPError, RequestException, Timeout

    pooch.get_logger().setLevel(logging.ERROR)
    with writing(place, "give another folder as `data_dir`"):
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
            with writing(place, "give another folder as `data_dir`"):
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


def load_published(
    name: str,
    data_dir: Path | None,
    image_size: int | None,
    download: bool,
    find_files: Callable[[Path], Files | None],
    read: Callable[[Files], Iterator[tuple[str, LabeledImages]]],
    words: Callable[[Files], str] = lambda files: "",
    share: int = 6,
) -> Dataset:
    """A data set with the end of its official training set for validation, and its official test set.

    Arguments:
        name, data_dir, image_size, download: see `interalia.data.load`.
        find_files: the files in a folder, by what they are; None where they are not there.
        read: the images and labels of "train", of "test", and of "extra", which is trained on in place of train where it is
            there.
        words: what is to be said of these files.
        share: at most one in so many training images is for validation.

    Raises:
        UserError: files are missing or damaged.
    """
    source = REGISTRY[name]
    files = find_or_download(source, data_dir, find_files, download)
    parts = decode_splits(name, list(dict.fromkeys(files.values())), image_size, lambda: read(files))
    whole = parts["train"]
    cut = len(whole) - min(VALIDATION, len(whole) // share)
    splits = parts.get("extra", whole[:cut]), whole[cut:], parts["test"]
    about = source.page.format(fitted=resize_note(image_size), sizes=format_sizes(splits), words=words(files))
    return Dataset(name, *splits, classes=tuple(source.classes), about=about)
