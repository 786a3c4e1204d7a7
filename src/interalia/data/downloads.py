"""Finds, downloads and splits the files of named data sets."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from interalia.data import REGISTRY, Source
from interalia.data.cache import explain_write_errors, folder
from interalia.data.dataset import Dataset
from interalia.data.images import LabeledImages, decode_splits, resize_note
from interalia.data.progress import progress
from interalia.data.splits import format_sizes
from interalia.errors import UserError

F = TypeVar("F")
Files = dict[str, Path]

VALIDATION = 10_000  # maximum number of validation images, from the end of a training set
TIMEOUT = 30  # seconds without a response, after which the next mirror is tried


def find_or_download(
    source: Source, data_dir: Path | None, find_files: Callable[[Path], F | None], download: bool
) -> F:
    """The files of a data set, from the first folder that has them; downloaded if none has.

    The folders are `source.name` and `source.folders` below `data_dir`, and `data_dir` itself; without `data_dir` the folder
    in the cache to which files are downloaded.

    Arguments:
        source: the data set.
        data_dir: the folder that holds the files, or None.
        find_files: returns the files in a folder, or None if the folder does not hold the data set.
        download: True to allow downloads.

    Returns:
        The result of `find_files`.

    Raises:
        UserError: the files are missing and cannot be downloaded; the message says how to get them.
    """
    home = folder() / "downloads" if data_dir is None else data_dir
    place = home / source.name
    others = [] if data_dir is None else [*(data_dir / other for other in source.folders), data_dir]
    for each in filter(Path.is_dir, (place, *others)):
        if (found := find_files(each)) is not None:
            return found
    reason = f"not in {data_dir or place}"
    if download and source.files:
        # The first failure ends the download: the other files would wait for the same hosts.
        failures = (error for file, md5 in source.files.items() if (error := fetch(file, md5, source.mirrors, place)))
        if failure := next(failures, ""):
            reason = f"{reason}, and the download failed: {failure}"
        elif (found := find_files(place)) is not None:
            return found
    advice = source.by_hand or f"; download {', '.join(source.files)} from {' or '.join(source.mirrors)}, put them"
    raise UserError(
        f"the files of {source.name} are missing ({reason}){advice} into one folder DIR and give `data_dir=DIR`."
    )


def fetch(file: str, md5: str, mirrors: Sequence[str], place: Path) -> str:
    """Downloads `file` to `place` from the first mirror with the right checksum; returns the reasons of a failure, or "".

    The file gets its name after its checksum was verified.
    """
    import pooch
    from requests.exceptions import ConnectionError, HTTPError, RequestException, Timeout

    pooch.get_logger().setLevel(logging.ERROR)
    with explain_write_errors(place, "give another folder as `data_dir`"):
        place.mkdir(parents=True, exist_ok=True)
    reasons = []
    for mirror in mirrors:
        host = urlsplit(mirror).netloc
        try:
            pooch.retrieve(mirror + file, f"md5:{md5}", fname=file, path=place, downloader=download_stream)
            return ""
        except HTTPError as error:
            status = error.response.status_code if error.response is not None else "an error"
            reasons.append(f"{host} returns {status} for {file}")
        except (ConnectionError, Timeout):
            reasons.append(f"no connection to {host}")
        except RequestException as error:
            reasons.append(f"{host} closed the connection ({type(error).__name__})")
        except ValueError:
            reasons.append(f"{host} sent another {file} than expected, or a part of it")
        except OSError as error:
            with explain_write_errors(place, "give another folder as `data_dir`"):
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                    raise
            reasons.append(f"{host}: {error}")
    with contextlib.suppress(OSError):
        place.rmdir()  # fails unless it is empty
    return ", ".join(reasons)


def download_stream(url: str, path: str, _: object) -> None:
    """Downloads `url` to `path` with a progress bar; a downloader for pooch."""
    import requests

    with requests.get(url, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        total = float(response.headers.get("content-length", 0))
        with progress(url.rsplit("/", 1)[-1], total or None, download=True) as advance, open(path, "wb") as file:
            for chunk in response.iter_content(2**16):
                advance(file.write(chunk))


def load_published(
    name: str,
    data_dir: Path | None,
    image_size: int | None,
    download: bool,
    find_files: Callable[[Path], Files | None],
    read: Callable[[Files], Iterator[tuple[str, LabeledImages]]],
    note: Callable[[Files], str] = lambda files: "",
    share: int = 6,
) -> Dataset:
    """Loads a data set; validation is the end of its official training set, test its official test set.

    Arguments:
        name: the name of the data set.
        data_dir: the folder that holds the files, or None.
        image_size: pixels a side after resizing, or None.
        download: True to allow downloads.
        find_files: returns the files in a folder by their roles; None if they are not there.
        read: yields the images and labels of "train", "test" and optionally "extra", which replaces "train" for training.
        note: returns a note on these files for the description.
        share: at most one of this many training images is for validation.

    Raises:
        UserError: files are missing or damaged.
    """
    source = REGISTRY[name]
    files = find_or_download(source, data_dir, find_files, download)
    parts = decode_splits(name, list(dict.fromkeys(files.values())), image_size, lambda: read(files))
    whole = parts["train"]
    cut = len(whole) - min(VALIDATION, len(whole) // share)
    splits = parts.get("extra", whole[:cut]), whole[cut:], parts["test"]
    about = source.page.format(fitted=resize_note(image_size), sizes=format_sizes(splits), words=note(files))
    return Dataset(name, *splits, classes=tuple(source.classes), about=about)
