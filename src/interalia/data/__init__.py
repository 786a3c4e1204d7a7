"""Data sets: named ones, folders and zips of images, and array files, read into NumPy arrays with fixed splits.

A new data set is a module with a function ``load(name, data_dir, image_size, seed, download) -> Dataset`` and an entry of
``sources.toml``. Heavy modules are imported when a data set is loaded.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interalia import lazy_names, packaged_toml
from interalia.errors import UserError, at_least_one, check_choice, unknown
from interalia.registry import Registry

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset, Mixture, Split
    from interalia.data.images import PixelOptions, read_images
    from interalia.data.sampler import Sampler
    from interalia.data.scaling import Units
    from interalia.data.shards import prepare
    from interalia.data.splits import SplitOptions
    from interalia.data.store import Store, as_tensor, mean_image
    from interalia.data.tables import from_frame, to_frame

__all__ = [
    "REGISTRY", "Dataset", "Mixture", "Sampler", "Source", "Split", "Store", "as_tensor", "from_frame", "load", "mean_image",
    "prepare", "read_images", "to_frame",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__, dict.fromkeys(("dataset", "sampler", "store", "images", "shards", "tables"), __all__)
    )


@dataclass(frozen=True)
class Source:
    """The description of a named data set: how to read it, where its files come from, and what it contains.

    Attributes:
        name: the name of the data set.
        reader: the module of this package that reads it, or a function that takes ``(name, data_dir, image_size, seed,
            download)``, as for `load`, and returns a `Dataset`.
        about: its content and its splits in one line.
        origin: the address of the files, or the package that contains them.
        license: the conditions of use.
        page: a description for the report, with placeholders in braces that `reader` fills in; may be empty.
        changed: a description of the second domain; empty for data of one domain.
        folders: other folders below `data_dir` that may hold the files, as other programs name them.
        mirrors: addresses that hold all of `files`, tried in turn; each ends in a slash.
        classes: the names of the labels 0, 1, ...; may be empty.
        by_hand: the part of an error message that explains how to get the files by hand; empty if they are downloaded.
        files: file name -> MD5 of each file to download; empty if nothing is downloaded.
        sizes: file name -> bytes of a file to download, after which its download ends; may be empty.
    """

    name: str
    reader: str | Callable[[str, Path | None, int | None, int, bool], Dataset]
    about: str
    origin: str
    license: str
    page: str = ""
    changed: str = ""
    folders: Sequence[str] = ()
    mirrors: Sequence[str] = ()
    classes: Sequence[str] = ()
    by_hand: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    def load(
        self, data_dir: Path | None = None, image_size: int | None = None, seed: int = 0, download: bool = True
    ) -> Dataset:
        """Reads the data set from its files, which are downloaded if they are missing and `download` is True.

        Arguments:
            data_dir: the folder that holds the files, directly or in a folder with the data set's name; None for the cache
                folder.
            image_size: pixels a side that images are cropped and resized to; None keeps their size (CelebA, facades: 64).
            seed: random seed of the training points of synthetic mixtures.
            download: False to never use the network.

        Raises:
            UserError: files are missing or damaged.
        """
        read = self.reader
        if isinstance(read, str):
            read = importlib.import_module(f"{__name__}.{read}").load
        return read(self.name, data_dir, image_size, seed, download)  # type: ignore[operator]


_TABLES = packaged_toml(__name__, "sources.toml")
REGISTRY: Registry[Source] = Registry("data", {key: Source(key, **table) for key, table in _TABLES.items()}, Source)


def load(
    name_or_path: str | Path,
    data_dir: Path | None = None,
    image_size: int | None = None,
    seed: int = 0,
    download: bool = True,
    split: str | Path | None = None,
    fold: int | None = None,
    group: str | None = None,
    gray: bool | None = None,
    crop: str = "center",
    layout: str = "auto",
    scale: str | Units | tuple[Units, Units] = "auto",
    impute: str = "refuse",
) -> Dataset:
    """Loads a data set by name, or from a folder, zip or tar of images, a .npy, .npz, .csv, .tsv or .parquet file, or shards.

    See Also:
        `folders`, `arrays`, `tables`: modules with the layouts of folders and zips, and of files; `shards`: prepared data.

    Arguments:
        name_or_path: a name in `REGISTRY`, or a path relative to the working folder or to `data_dir`. For a folder that has
            the name of a data set write ``./mnist``.
        data_dir: the folder that holds the files, directly or in a folder with the data set's name. Missing files are
            downloaded to ``data_dir/NAME``, or to the cache folder without `data_dir`.
        image_size: images are cropped (see `crop`) and resized to this many pixels a side, with antialiasing; None
            keeps their size (CelebA and facades: 64).
        seed: random seed of the training points of synthetic mixtures.
        download: False to never use the network.
        split: a file that assigns the images of a folder, or the rows of an array, to splits or folds (see
            `interalia.data.splits`); None for its own splits, or random ones.
        fold: the number of the fold in that file to test on; the others are for training.
        group: a regular expression that finds the group of each image, such as a patient, in its path, or the name of a
            column or array that has the groups; each is in one split. None for no groups.
        gray: True to convert images to gray, False to convert gray ones to color; None for the colors that nine tenths of the
            images have.
        crop: how images of a folder or zip get square: "center", "random" (a square at a random place of each training image)
            or "none" (the whole image, with other proportions).
        layout: what the axes of an array are: "auto", by its shape and type, or "signal", "image", "image-channels-last" or
            "volume" (see `interalia.data.layouts`).
        scale: how numbers are scaled, by the training split: "auto", which leaves images of bytes as they are; "none";
            "min-max", "standard" or "quantile", also of each channel: "standard(per='channel')"; or the units of a trained
            game, a pair for two domains.
        impute: "refuse" for an error if a table has missing values; or what numbers are replaced by, "median", "mean" or
            "zero", while a missing category becomes a further category.

    Raises:
        UserError: there is no such data set or path, or files are missing or damaged, or images have different sizes.

    Example:
        >>> digits = load("digits")
        >>> digits.shape, len(digits.train), len(digits.validation), len(digits.test)
        ((1, 8, 8), 1297, 200, 300)
    """
    text = str(name_or_path)
    data_dir = Path(os.path.expanduser(data_dir)) if data_dir is not None else None
    if image_size is not None:
        at_least_one(image_size=image_size)
    if data_dir is not None and not data_dir.is_dir():
        raise UserError(
            f"the folder {data_dir} given as `data_dir` does not exist; give the folder that holds the data."
        )
    from interalia.data import images, splits  # here, because they import NumPy

    options, pixels = splits.SplitOptions(split, fold, group), images.PixelOptions(image_size, gray, crop)
    if text in REGISTRY:
        if options:
            raise UserError(f"the data set {text!r} has its own splits; leave out `split`, `fold` and `group`.")
        if (layout, scale, impute) != ("auto", "auto", "refuse"):
            raise UserError(f"the data set {text!r} is read as it is; leave out `layout`, `scale` and `impute`.")
        return pixels.applied(REGISTRY[text].load(data_dir, image_size, seed, download))

    return _load_path(found_path(text, data_dir), pixels, options, layout, scale, impute)


def _load_path(
    path: Path,
    pixels: PixelOptions,
    options: SplitOptions,
    layout: str,
    scale: str | Units | tuple[Units, Units],
    impute: str,
) -> Dataset:
    """Loads a data set from a folder or zip of images, or from a file of arrays or of a table.

    Arguments:
        path: the folder or file.
        pixels: size, colors and cropping of the images.
        options: how the examples are split.
        layout: what the axes of an array are, as for `load`.
        scale: how numbers are scaled, as for `load`.
        impute: what replaces missing values of a table, as for `load`.

    Raises:
        UserError: it is of another type or damaged, or an option does not fit it.
    """
    from interalia.data import arrays, columns, folders, images, layouts, shards, tables

    check_choice("layout", layout, layouts.LAYOUTS)
    check_choice("impute", impute, tables.IMPUTE)
    if shards.is_shards(path):
        given: dict[str, Any] = {
            "image_size": pixels.size,
            "gray": pixels.gray,
            "crop": pixels.crop,
            "layout": layout,
            "impute": impute,
        }
        return shards.load_shards(path, scale, **given, **vars(options))
    kind = ".zip" if path.is_dir() else path.suffix.lower()
    if layout != "auto" and kind not in (".npy", ".npz"):
        raise UserError(f"`layout` is for arrays, and {path} is none; leave `layout` out.")
    if impute != "refuse" and not columns.is_table(path):
        raise UserError(f"`impute` is for tables, and {path} is none; leave `impute` out.")
    if kind in (".zip", ".tar"):
        return folders.load_folder(path, pixels, options, scale)
    scale = scale[0] if isinstance(scale, tuple) else scale
    if kind in (".npy", ".npz"):
        return pixels.applied(arrays.load_array(path, pixels.size, options, layout, scale))
    if columns.is_table(path):
        return pixels.applied(tables.load_table(path, options, scale, impute))
    if kind in images.SUFFIXES:
        raise UserError(f"{path} is one image, and a data set needs many; give the folder that holds them.")
    raise UserError(
        f"{path} is of a type that is not supported; give a folder, .zip or .tar of images, or a .npy, .npz, .csv, .tsv or "
        f".parquet file."
    )


def found_path(text: str, data_dir: Path | None) -> Path:
    """Returns the path of the data that a text names, relative to the working folder or to `data_dir`.

    Raises:
        UserError: there is no such file or folder, or it is empty or no regular file.
    """
    from interalia.data import images  # here, because it imports NumPy

    path = Path(os.path.expanduser(text))
    if data_dir is not None and not os.path.exists(path):
        path = data_dir / path
    if not os.path.lexists(path):
        if "/" in text or "\\" in text or text.startswith((".", "~")) or path.suffix:
            raise UserError(
                f"there is no file or folder {text}; give a folder of images, a .zip, .npy, .npz or .csv file, "
                f"or one of the names: {', '.join(sorted(REGISTRY))}."
            )
        raise unknown("data set, file or folder", text, REGISTRY)
    images.check_regular(path)
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"the file {path} is empty; copy or download it again.")
    return path
