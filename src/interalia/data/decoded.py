"""Labelled images that files hold as numbers: resized, and kept in the cache, so that they are read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import Entry, remember
from interalia.data.dataset import Split
from interalia.data.images import resized, resized_shape

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images, shape (n, channels, height, width), and their labels


def decoded(
    name: str,
    files: Sequence[Path],
    size: int | None,
    read: Callable[[], Iterable[tuple[str, Labelled]]],
    **settings: Any,
) -> dict[str, Split]:
    """The parts of a data set, by their names.

    Arguments:
        name: of the data set.
        files: that the parts are read from; other files make another entry of the cache.
        size: that images are resized to, or None.
        read: the name, and the images and labels, of each part.
        settings: what else the images depend on.
    """

    def decode(entry: Entry) -> None:
        for part, (x, y) in read():
            entry.write(part, resized_shape(x.shape, size), np.uint8, resized(x, size))
            entry.save(f"{part}-labels", y)

    arrays = remember(name, files, {"size": size, **settings}, decode)
    return {part: Split(x, arrays[f"{part}-labels"]) for part, x in arrays.items() if f"{part}-labels" in arrays}
