"""Reads CelebA: aligned and cropped photographs of faces with 40 attributes, from a zip file or a folder.

References:
    Deep learning face attributes in the wild, Ziwei Liu, Ping Luo, Xiaogang Wang, Xiaoou Tang, 2015,
    https://arxiv.org/abs/1411.7766, https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data import REGISTRY
from interalia.data.cache import Content, cached
from interalia.data.dataset import Dataset, Split
from interalia.data.downloads import find_or_download
from interalia.data.images import Collection
from interalia.data.splits import format_sizes
from interalia.disk import read_text
from interalia.errors import UserError

COUNT = 202_599
ENDS = (162_770, 182_637)  # the official partition: the ends of train and validation
SIZE = 64
ATTRIBUTES = ("list_attr_celeba.txt", "list_attr_celeba.csv")


def find_files(place: Path) -> tuple[Path, Path | None] | None:
    """Finds CelebA in the folder `place`: the zip file or folder of photographs, and the file of attributes.

    Returns:
        The two paths, the second one None if there is no file of attributes; a single None if there are no photographs.
    """
    names = ("img_align_celeba.zip", "img_align_celeba")
    images = next((place / name for name in names if (place / name).exists()), None)
    if images is None:
        return None
    tables = (folder / name for folder in (place, place / "Anno") for name in ATTRIBUTES)
    return images, next((table for table in tables if table.is_file()), None)


def load(name: str, data_dir: Path | None, image_size: int | None, seed: int, download: bool) -> Dataset:
    """Loads CelebA: the central 178x178 pixels of each 178x218 photograph, resized to 64x64 with antialiasing.

    All 202,599 photographs are split by the official partition. If there are fewer, the first 90 percent are for training,
    the next 5 for validation and the last 5 for test.

    Arguments:
        name: "celeba".
        data_dir: the folder that holds the files, or None for the cache.
        image_size: pixels a side in place of 64; None for 64.
        seed: not used.
        download: not used, because the host requires a login.

    Raises:
        UserError: files are missing or damaged.
    """
    where, table = find_or_download(REGISTRY[name], data_dir, find_files, download)
    side = image_size or SIZE
    images = Collection(where)
    names = sorted(images.names, key=lambda path: path.rsplit("/", 1)[-1])
    if len(names) < 20:
        raise UserError(f"{where} holds {len(names)} photographs of CelebA's 202,599; download it again.")
    numbers = [path.rsplit("/", 1)[-1].split(".")[0] for path in names]
    ends, how = ENDS, "the official partition"
    if len(names) != COUNT:
        ends = (len(names) * 90 // 100, len(names) * 95 // 100)
        how = f"90 / 5 / 5 hundredths in their order, because only {len(names):,} of {COUNT:,} photographs exist"
    bounds = {"train": (0, ends[0]), "validation": ends, "test": (ends[1], len(names))}

    def contents() -> Iterator[Content]:
        """Yields arrays to be cached, each as a tuple of its name, its length, and an iterable of its consecutive chunks.

        If there is a file of attributes, the first are "attribute-names" and the attributes of each split, such as
        "train-attributes". The photographs of each split, uint8, follow under its name.
        """
        if table:
            columns, values = read_attributes(table, numbers)
            yield "attribute-names", len(columns), [np.array(columns)]
            for part, (start, end) in bounds.items():
                yield f"{part}-attributes", end - start, [values[start:end]]
        for part, (start, end) in bounds.items():
            yield part, end - start, images.arrays(names[start:end], "RGB", (side, side))

    sources = [*images.sources(), *filter(None, [table])]
    arrays = cached(name, sources, {"size": side, "names": len(names)}, contents())
    splits: dict[str, Any] = {part: Split(arrays.pop(part)) for part in bounds}
    attributes = {key.removesuffix("-attributes").removeprefix("attribute-"): array for key, array in arrays.items()}
    words = "" if table else ", without attributes, whose file is missing"
    about = REGISTRY[name].page.format(side=side, words=words, sizes=format_sizes(splits.values()), how=how)
    return Dataset(name, **splits, about=about, attributes=attributes, encoded=images.fingerprint(names))


def read_attributes(path: Path, numbers: list[str]) -> tuple[list[str], NDArray[np.int8]]:
    """Reads CelebA's file of attributes.

    Arguments:
        path: the text file as distributed (a count, the names of the attributes, then for each photograph a line of its
            file name and values of -1 or 1), or the same as comma-separated values.
        numbers: the file names of n photographs, without extension.

    Returns:
        The names of the k attributes, and their values for these photographs, 0 or 1, int8, shape (n, k).

    Raises:
        UserError: the file is damaged, or has no line for a photograph.
    """
    try:
        lines = [words for line in read_text(path).splitlines() if (words := re.findall(r'[^\s,;"]+', line))]
        if len(lines[0]) == 1 and lines[0][0].isdigit():
            lines = lines[1:]
        names = [name for name in lines[0] if name != "image_id"]
        table = {row[0].split(".")[0]: row[1:] for row in lines[1:]}
        values = np.array([table[number] for number in numbers]).astype(np.int8)
        if values.shape != (len(numbers), len(names)) or not np.isin(values, (-1, 0, 1)).all():
            raise ValueError(f"expected were {len(names)} values of -1 or 1 a row")
    except KeyError as error:
        raise UserError(f"{path} has no row for the photograph {error.args[0]}; download it again.") from None
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not CelebA's table of attributes ({error}); download it again.") from None
    return names, (values > 0).astype(np.int8)
