"""Finds images in tar files, with labels as in WebDataset: files of one key are an example, such as 0007.jpg, 0007.cls."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from interalia.data.splits import NAMES, PARTS
from interalia.disk import most_bytes, regular, too_large
from interalia.errors import UserError, remedy

LABELS = (".cls", ".json")  # files with the label of an example: its text, or a JSON object with a key of a label
MOST_BYTES = 2**20  # of such a file
# the name of a split in that of a tar file, before its number
SPLIT = re.compile(rf"(?:^|[-_. ])({'|'.join(PARTS)})[-_. ]*\d*$", re.IGNORECASE)


@dataclass(frozen=True)
class Member:
    """The place of a file in a tar file: where its bytes are.

    Attributes:
        file: the tar file.
        name: the path of the file inside of it.
        offset: the place of its first byte in the tar file.
        size: the number of its bytes.
    """

    file: Path
    name: str
    offset: int
    size: int

    def open(self) -> BinaryIO:
        """Opens the file for reading bytes.

        Raises:
            OSError: the tar file cannot be read, or is cut short.
            UserError: the file is larger than `interalia.disk.most_bytes`.
        """
        if self.size > most_bytes():
            raise too_large(f"{self.name} in {self.file}")
        with open(self.file, "rb", buffering=0) as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise OSError(f"the tar file ends after {len(content):,} of {self.size:,} bytes")
        return io.BytesIO(content)


def files_in(files: Sequence[Path], suffixes: Collection[str]) -> tuple[dict[str, Member], Counter[str]]:
    """Returns the files in tar files by their paths, and the numbers of entries that are left out, by kind.

    If there are labels, the path of an image is "LABEL/TAR/FILE", with the name of the tar file. Numbers as labels are padded
    with zeros to equal lengths, and images without a label are in "unlabelled". If the name of every tar file ends with a
    split and a number, as train-0001.tar does, the path begins with "SPLIT/". Without labels it is the path inside of the tar
    file, after the name of the tar file if there are several.

    Arguments:
        files: the tar files, not compressed.
        suffixes: the ends of the names of images, in lower case.

    Raises:
        UserError: a file cannot be read, or is damaged or compressed, or a label is damaged.
    """
    found: list[tuple[Path, Member]] = []
    labels: dict[tuple[Path, str], str] = {}
    left_out: Counter[str] = Counter()
    for file in files:
        for member in entries(file, left_out):
            key, end = split_name(member.name)
            if end not in LABELS:
                found.append((file, member))
            elif (label := label_of(member)) is not None:
                labels[file, key] = label
    numbers = [label for label in labels.values() if label.isdecimal()]
    width = max(map(len, numbers), default=0) if len(numbers) == len(labels) else 0
    splits = {file: SPLIT.search(file.stem) for file in files}
    known = all(splits.values())
    made: dict[str, Member] = {}
    for file, member in found:
        key, end = split_name(member.name)
        parts = [PARTS[splits[file][1].lower()]] if known else []  # type: ignore[index]
        if labels and end in suffixes:
            parts.append(labels.get((file, key), NAMES["labels"]["unlabelled"][0]).zfill(width))
        if labels or len(files) > 1:
            parts.append(file.stem)  # keys of different files may be equal
        made["/".join([*parts, *([member.name.replace("/", "_")] if labels else [member.name])])] = member
    return made, left_out


def entries(file: Path, left_out: Counter[str]) -> Iterable[Member]:
    """Yields the regular files in a tar file; the numbers of other entries are added to `left_out`, by kind.

    Raises:
        UserError: it cannot be read, or is damaged or compressed.
    """
    try:
        with tarfile.open(regular(file), "r:") as archive:
            end = file.stat().st_size
            for entry in archive:
                name = "/".join(part for part in entry.name.split("/") if part not in ("", ".", ".."))
                if not 0 <= entry.size <= end - entry.offset_data * entry.isreg():
                    raise tarfile.ReadError(f"{name} ends behind the end of the file")
                if entry.isreg() and not entry.issparse():
                    yield Member(file, name, entry.offset_data, entry.size)
                elif not entry.isdir():
                    left_out["link(s) or devices in a tar file"] += 1
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UserError(
            f"{file} is no complete tar file that is not compressed ({error}); unpack it, or copy or download it again."
        ) from None
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); {remedy(error)}.") from None


def split_name(name: str) -> tuple[str, str]:
    """Returns the key of an example, i.e. the path up to the first dot in the name of the file, and the end of the name from
    its last dot on, in lower case.

    Example:
        >>> split_name("a.b/0007.image.JPG")
        ('a.b/0007', '.jpg')
    """
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0], last[last.rfind(".") :].lower() if "." in last else ""


def label_of(member: Member) -> str | None:
    """Returns the label in a file that has the label of an example; None if there is none.

    It is the text of a .cls file. In a .json file it is the value of "cls" in a JSON object or, without this key, of "label"
    or another name of the label column (see `interalia.data.splits`).

    Raises:
        UserError: the file is too large or damaged.
    """
    if member.size > MOST_BYTES:
        raise UserError(
            f"{member.name} in {member.file} has {member.size:,} bytes, and a label is short; leave it out."
        )
    try:
        text = member.open().read().decode("utf-8").strip()
        if member.name.lower().endswith(".cls"):
            found: Any = text
        else:
            content = json.loads(text)
            keys = [key for key in ("cls", *NAMES["columns"]["label"]) if isinstance(content, dict) and key in content]
            found = content[keys[0]] if keys else None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{member.name} in {member.file} is damaged ({error}); correct it.") from None
    return None if found in (None, "") or isinstance(found, dict | list) else str(found).replace("/", "_")
