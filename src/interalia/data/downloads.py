"""Finds the files of named data sets, downloads missing ones, and loads data sets with an official training and test set."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from interalia.data import REGISTRY, Source
from interalia.data.cache import Content, cached, explain_write_errors, folder
from interalia.data.dataset import Dataset, Split
from interalia.data.images import LabeledImages, resize, resize_note
from interalia.data.progress import progress
from interalia.data.splits import format_sizes
from interalia.disk import most_bytes
from interalia.errors import DataWarning, UserError

F = TypeVar("F")
Files = dict[str, Path]

VALIDATION = 10_000  # maximum number of validation images, from the end of a training set
TIMEOUT = 30  # seconds without a response, after which the next mirror is tried
SLOWEST = 1000  # bytes a second, over that time, below which the next mirror is tried too
LARGEST = 2**31  # bytes of a file whose size is not known before the server announces it


def find_or_download(source: Source, data_dir: Path | None, find: Callable[[Path], F | None], download: bool) -> F:
    """Finds the files of a data set in the first folder that has them, or downloads them if no folder has.

    Without `data_dir` the folder is the one in the cache to which files are downloaded. With it, the folders are those
    below `data_dir` with the names `source.name` and `source.folders`, then `data_dir` itself.

    Arguments:
        source: the data set.
        data_dir: the folder that holds the files, or None.
        find: a function that searches a folder for the files, and returns them in any form, such as a dictionary of paths;
            None if the folder does not contain the data set.
        download: True to allow downloads.

    Returns:
        The result of `find`.

    Raises:
        UserError: the files are missing and cannot be downloaded; the message says how to get them.
    """
    name, home = source.name, data_dir or folder() / "downloads"
    place = home / name
    others = [] if data_dir is None else [*(data_dir / other for other in source.folders), data_dir]
    for each in filter(Path.is_dir, (place, *others)):
        if (found := find(each)) is not None:
            return found
    reason = f"not in {data_dir or place}"
    if download and source.files:
        # The first failure ends the download: the other files would wait for the same hosts.
        errors = (fetch(file, md5, source.mirrors, place, source.sizes.get(file)) for file, md5 in source.files.items())
        if failure := next(filter(None, errors), ""):
            reason = f"{reason}, and the download failed: {failure}"
        elif (found := find(place)) is not None:
            return found
    advice = source.by_hand or f"; download {', '.join(source.files)} from {' or '.join(source.mirrors)}, put them"
    raise UserError(f"the files of {name} are missing ({reason}){advice} into one folder DIR and give `data_dir=DIR`.")


def fetch(file: str, md5: str, mirrors: Sequence[str], place: Path, size: int | None = None) -> str:
    """Downloads a file from the first mirror that has it with the right checksum.

    The file appears in the folder only after the check.

    Arguments:
        file: the name of the file.
        md5: its MD5 checksum, in hexadecimal.
        mirrors: addresses that end in a slash, tried in turn.
        place: the folder to download it to, which is created if necessary.
        size: its number of bytes, of which no more are read; None if it is not known.

    Returns:
        "" after a download; otherwise the reason for which each mirror failed.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    import pooch
    import urllib3.exceptions
    from requests.exceptions import ConnectionError, ConnectTimeout, HTTPError, RequestException, Timeout

    pooch.get_logger().setLevel(logging.ERROR)
    with explain_write_errors(place, "give another folder as `data_dir`"):
        place.mkdir(parents=True, exist_ok=True)
    sweep(place)
    reasons = []
    for mirror in mirrors:
        host = urlsplit(mirror).netloc
        try:
            stream = functools.partial(download_stream, size=size)
            pooch.retrieve(mirror + file, f"md5:{md5}", fname=file, path=place, downloader=stream)
            return ""
        except HTTPError as error:
            status = error.response.status_code if error.response is not None else "an error"
            reasons.append(f"{host} returns {status} for {file}")
        except (ConnectionError, ConnectTimeout):
            reasons.append(f"no connection to {host}")
        except (Timeout, urllib3.exceptions.ReadTimeoutError):
            reasons.append(f"{host} stopped answering, or sends too slowly")
        except (RequestException, urllib3.exceptions.HTTPError) as error:
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


def download_stream(url: str, path: str, _: object, size: int | None = None) -> None:
    """Downloads the file at an address to a path and shows the progress; it has the signature of a downloader for pooch.

    Arguments:
        url: the address.
        path: the path of the new file.
        _: the caller, pooch, which is not used.
        size: the number of bytes of the file, after which the download ends, whatever the server sends; None if it is not
            known.

    Raises:
        requests.exceptions.RequestException, urllib3.exceptions.HTTPError: the download fails, or receives less than
            1,000 bytes a second over 30 seconds.
        ValueError: the server announces more bytes than `size`. Without `size`: it announces more than 2 GiB, or announces
            nothing and sends more than ``INTERALIA_MAX_MB`` (256 MB by default).
    """
    import requests

    with requests.get(url, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        announced = max(0, int(response.headers.get("content-length", 0)))
        end = size or (LARGEST if announced else most_bytes() + 1)
        if announced > end:
            raise ValueError("the file is too large")
        with progress(url.rsplit("/", 1)[-1], announced or size, download=True) as advance, open(path, "wb") as file:
            since, before = time.monotonic(), 0
            # What has arrived is read, without waiting for more.
            while (left := end - file.tell()) and (chunk := response.raw.read1(min(left, 2**16))):
                advance(file.write(chunk))
                if time.monotonic() - since > TIMEOUT:
                    if file.tell() - before < SLOWEST * TIMEOUT:
                        raise requests.exceptions.Timeout
                    since, before = time.monotonic(), file.tell()
            if size is None and not left:
                raise ValueError("the file is too large")


def sweep(place: Path) -> None:
    """Removes the temporary files that killed downloads have left in a folder.

    A file that was changed in the last five minutes (10 * `TIMEOUT`) is kept, because its download may still be going on.
    """
    for left in place.glob("tmp????????"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 10 * TIMEOUT:
                left.unlink()


def check_published(source: Source, files: Files) -> None:
    """Warns of each file that is not the published one, by its MD5 checksum; files of other names are not checked.

    Arguments:
        source: the data set, with the checksums.
        files: the paths of its files.
    """
    for path in dict.fromkeys(files.values()):
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != source.files.get(path.name, found):
            text = f"{path} is not the published file of {source.name} (its MD5 is {found}); download it again."
            warnings.warn(text, DataWarning, stacklevel=2)


def load_published(
    name: str,
    data_dir: Path | None,
    image_size: int | None,
    download: bool,
    find: Callable[[Path], Files | None],
    read: Callable[[Files], Iterator[tuple[str, LabeledImages]]],
    note: Callable[[Files], str] = lambda files: "",
    share: int = 6,
) -> Dataset:
    """Loads a data set with an official training and test set; the end of the training set becomes the validation split.

    Arguments:
        name: the name of the data set.
        data_dir: the folder that holds the files, or None.
        image_size: pixels a side after cropping and resizing; None keeps the size.
        download: True to allow downloads.
        find: a function that searches a folder for the files, and returns a dictionary of their paths under names that `read`
            knows; None if they are not there.
        read: a function of this dictionary that yields (set, (images, labels)) for "train", "test" and optionally "extra":
            images, uint8, shape (n, channels, height, width), and labels, int64, shape (n,). "extra", if it is there, is
            the training split.
        note: a function of this dictionary that returns a phrase for the description of the data set; by default "".
        share: the last n // `share` of the n images of "train" are for validation, but at most 10,000.

    Raises:
        UserError: files are missing or damaged.
    """
    source = REGISTRY[name]
    files = find_or_download(source, data_dir, find, download)

    def contents() -> Iterator[Content]:
        """Yields two arrays for each official set, to be cached: the resized images, uint8, under the name of the set, and
        the labels, under "NAME-labels". Each is a tuple: the array's name, its length, and its consecutive chunks.
        """
        check_published(source, files)
        for part, (x, y) in read(files):
            yield part, len(x), resize(x, image_size)
            yield f"{part}-labels", len(y), [y]

    arrays = cached(name, list(dict.fromkeys(files.values())), {"size": image_size}, contents())
    sets = {part: Split(x, arrays[f"{part}-labels"]) for part, x in arrays.items() if "-" not in part}
    whole = sets["train"]
    cut = len(whole) - min(VALIDATION, len(whole) // share)
    splits = sets.get("extra", whole[:cut]), whole[cut:], sets["test"]
    about = source.page.format(fitted=resize_note(image_size), sizes=format_sizes(splits), words=note(files))
    return Dataset(name, *splits, classes=tuple(source.classes), about=about)
