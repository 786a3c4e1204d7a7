"""What the readers of published data sets of labelled images share: files are found or fetched, read once, and split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from interalia.data import REGISTRY
from interalia.data.dataset import Dataset
from interalia.data.downloads import find
from interalia.data.images import Labelled, decoded, fitted
from interalia.data.splits import sizes

VALIDATION = 10_000  # images at most, from the end of the training set
Files = dict[str, Path]


def published(
    name: str,
    root: Path | None,
    size: int | None,
    download: bool,
    look: Callable[[Path], Files | None],
    read: Callable[[Files], Iterator[tuple[str, Labelled]]],
    words: Callable[[Files], str] = lambda files: "",
    share: int = 6,
) -> Dataset:
    """A data set with the end of its official training set for validation, and its official test set.

    Arguments:
        name, root, size, download: see `interalia.data.load`.
        look: the files in a folder, by what they are; None where they are not there.
        read: the images and labels of "train", of "test", and of "extra", which is trained on in place of train where it is
            there.
        words: what is to be said of these files.
        share: at most one in so many training images is for validation.

    Raises:
        UserError: files are missing or damaged.
    """
    source = REGISTRY[name]
    files = find(source, root, look, download)
    parts = decoded(name, list(dict.fromkeys(files.values())), size, lambda: read(files))
    whole = parts["train"]
    cut = len(whole) - min(VALIDATION, len(whole) // share)
    splits = parts.get("extra", whole[:cut]), whole[cut:], parts["test"]
    about = source.page.format(fitted=fitted(size), sizes=sizes(splits), words=words(files))
    return Dataset(name, *splits, classes=tuple(source.classes), about=about)
