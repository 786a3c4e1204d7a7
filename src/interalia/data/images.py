"""Reads images from a folder or a zip file, in several threads, and converts them to one color mode and one size."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from interalia.data.progress import progress
from interalia.disk import regular, unpacked
from interalia.errors import UserError, remedy

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

T = TypeVar("T")
# images, shape (n, channels, height, width), and their labels, shape (n,)
LabeledImages = tuple[NDArray[np.uint8], NDArray[np.int64]]

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"))
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels
# All errors of Pillow and zipfile that were seen on damaged files.
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError, RuntimeError, struct.error,
    zlib.error, zipfile.BadZipFile,
)  # fmt: skip
PIXELS = 2**25  # images with more pixels are decoded one at a time
LARGE = threading.Lock()
CHUNK = 512
HASHED_FILES = 64  # files whose content is part of a fingerprint
HASHED_BYTES = 2**18  # of each of them


def inner_paths(names: Sequence[str]) -> list[list[str]]:
    """Splits the paths of files at their slashes, and leaves out the outer folders that all of the files are in.

    Example:
        >>> inner_paths(["faces/a/1.png", "faces/b/2.png"])
        [['a', '1.png'], ['b', '2.png']]
    """
    paths = [name.split("/") for name in names]
    while paths and all(len(path) > 1 and path[0] == paths[0][0] for path in paths):
        paths = [path[1:] for path in paths]
    return paths


class Collection:
    """The images in a folder and the folders below it, the images in a zip file, or one single image.

    Arguments:
        where: the folder, the zip file or the image.

    Attributes:
        where: the folder or the zip file; for a single image its folder.
        names: the paths of the images inside of it, in alphabetical order, with forward slashes.
        archive: the opened zip file; None for a folder.

    Raises:
        UserError: the zip file is damaged.
    """

    def __init__(self, where: Path) -> None:
        self.where = where
        self.archive: zipfile.ZipFile | None = None
        if where.is_dir():
            # os.walk, because Path.rglob treats links differently in different Python versions
            walk = ((Path(top).relative_to(where), files) for top, _, files in os.walk(where))
            found = [(top / file).as_posix() for top, files in walk for file in files]
        elif where.suffix.lower() != ".zip":
            self.where, self.names = where.parent, [where.name]
            return
        else:
            try:
                self.archive = zipfile.ZipFile(where)
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                raise UserError(f"{where} is not a complete zip file ({error}); copy or download it again.") from None
            found = self.archive.namelist()
        self.names = sorted(name for name in found if _is_image(name))

    def label(self, name: str) -> str:
        """The path of the image `name` for error messages, such as "a.png in faces.zip"."""
        return f"{name} in {self.where}" if self.archive else str(self.where / name)

    def sources(self) -> list[Path]:
        """The files on disk that contain the images: the zip file, or the file of each image."""
        return [self.where] if self.archive else [self.where / name for name in self.names]

    def fingerprint(self, names: Sequence[str]) -> str:
        """Returns the SHA-256 digest of images, in hexadecimal, by which the same images are recognized.

        The path and the size of each file are hashed, and the first 256 KB of 64 files at even distances in the list.
        The outer folders that all of the files are in do not count, so that a folder and a zip of it have the same
        digest.

        Arguments:
            names: the paths of the images, from the attribute `names`.
        """
        digest = hashlib.sha256()
        for name, path in zip(names, inner_paths(names), strict=True):
            size = self.archive.getinfo(name).file_size if self.archive else os.path.getsize(self.where / name)
            digest.update(f"{'/'.join(path)}\0{size}\n".encode("utf-8", "surrogateescape"))
        count = min(HASHED_FILES, len(names))
        for name in (names[i * len(names) // count] for i in range(count)):
            with self.open(name) as file:
                digest.update(file.read(HASHED_BYTES))
        return digest.hexdigest()

    def open(self, name: str) -> BinaryIO:
        """Opens the file of the image `name` for reading bytes."""
        if self.archive is None:
            return open(regular(self.where / name), "rb")
        with self.archive.open(name) as file:
            return io.BytesIO(unpacked(file, self.label(name)))

    def read(self, name: str, function: Callable[[Image], T]) -> T:
        """Opens an image, calls a function with it, and returns the function's result.

        Arguments:
            name: the path of the image, one of `names`.
            function: a function of a Pillow image, which is closed afterwards.

        Raises:
            UserError: the file is not an image that can be read.
        """
        from PIL import Image, UnidentifiedImageError

        label = self.label(name)
        try:
            with self.open(name) as file, Image.open(file) as image, one_at_a_time(image):
                return function(image)
        except Image.DecompressionBombError:
            raise UserError(
                f"the image {label} has too many pixels for Pillow; make it smaller or remove it."
            ) from None
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno:
                raise UserError(
                    f"the image {label} cannot be read ({error.strerror}); {remedy(error)} or leave it out."
                ) from None
            unknown = isinstance(error, UnidentifiedImageError)
            why = "not a known image format" if unknown else error
            raise UserError(f"the image {label} is damaged or cut short ({why}); copy it again or remove it.") from None

    def decode(self, name: str, mode: str, shape: tuple[int, int] | None) -> NDArray[np.uint8]:
        """Decodes the image `name` to an array, uint8, shape (channels, height, width).

        Arguments:
            name: the path of the image, one of `names`.
            mode: "L" (gray), "RGB" or "RGBA", to which the image is converted.
            shape: (height, width) of the result: the image is cropped to these proportions and resized; None keeps its
                size.
        """
        return self.read(name, lambda image: as_array(crop_and_resize(convert(image, mode), shape)))

    def headers(self, names: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
        """Reads the headers of images, and returns the Pillow mode to convert all of them to, and a list of the (height,
        width) of each.

        The mode is "L" if all images are gray, "RGBA" if all have colors and transparency, else "RGB".

        Arguments:
            names: the paths of the images, from the attribute `names`.
        """
        chunks = self._map(lambda name: self.read(name, read_header), names, "reading image headers")
        modes, shapes = zip(*itertools.chain.from_iterable(chunks), strict=True)
        return modes[0] if len(set(modes)) == 1 else "RGB", list(shapes)

    def arrays(self, names: Sequence[str], mode: str, shape: tuple[int, int] | None) -> Iterator[NDArray[np.uint8]]:
        """Decodes images and yields them in chunks of up to 512, uint8, shape (chunk, channels, height, width).

        Arguments:
            names: the paths of the images, from the attribute `names`.
            mode: "L" (gray), "RGB" or "RGBA", to which each image is converted.
            shape: (height, width) of the results: each image is cropped to these proportions and resized; None keeps its
                size, which has to be the same for all images.
        """
        return map(np.stack, self._map(lambda name: self.decode(name, mode, shape), names, "decoding images"))

    def _map(self, function: Callable[[str], T], names: Sequence[str], description: str) -> Iterator[list[T]]:
        """Calls a function with each of the names, in several threads, and yields the results in lists of up to 512, in
        order.

        Arguments:
            function: a function of the path of an image.
            names: the paths of the images, from the attribute `names`.
            description: the text that is shown beside the progress.
        """
        # Threads, because Pillow releases the GIL; chunks, so that few decoded images are in memory.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool, progress(description, len(names)) as advance:
            for start in range(0, len(names), CHUNK):
                part = list(pool.map(function, names[start : start + CHUNK]))
                advance(len(part))
                yield part


def _is_image(name: str) -> bool:
    """True if a path ends like an image, such as "a/b.png", and neither the file nor one of its folders is hidden."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
    return not hidden and os.path.splitext(name)[1].lower() in SUFFIXES


def one_at_a_time(image: Image) -> contextlib.AbstractContextManager[Any]:
    """Returns a context for decoding an image. To save memory, only one thread at a time is in that of a large image.

    Large images have more than 2^25 pixels (`PIXELS`). For other images the context does nothing.
    """
    return LARGE if image.width * image.height > PIXELS else contextlib.nullcontext()


def read_header(image: Image) -> tuple[str, tuple[int, int]]:
    """Returns a pair: the Pillow mode to which an image can be converted without a loss, "L" (gray), "RGB" or "RGBA"; and
    its (height, width) after it is turned upright by its EXIF orientation.
    """
    turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientation: turned by 90 degrees
    return lossless_mode(image), (image.width, image.height) if turned else (image.height, image.width)


def has_alpha(image: Image) -> bool:
    """True if the image has an alpha channel, or a color that marks transparent pixels."""
    return "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info


def lossless_mode(image: Image) -> str:
    """The Pillow mode to which an image can be converted without a loss.

    It is "L" for gray images, even with transparency, "RGBA" for colors with transparency, else "RGB".
    """
    if image.mode in ("RGBA", "RGBa") or (image.mode in ("P", "PA", "RGB") and has_alpha(image)):
        return "RGBA"
    gray = image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;")
    return "L" if gray else "RGB"


def convert(image: Image, mode: str) -> Image:
    """Turns an image upright, as its EXIF data state, and converts it to the mode "L" (gray), "RGB" or "RGBA".

    For the modes "L" and "RGB", transparent pixels become white.

    Raises:
        ValueError: the image has floating-point numbers.
    """
    from PIL import ImageOps
    from PIL.Image import alpha_composite, fromarray, new

    ImageOps.exif_transpose(image, in_place=True)  # without a copy
    if image.mode == "F":
        raise ValueError("it holds floating-point numbers; save it with 8 bits a channel")
    if image.mode == "I" or image.mode.startswith("I;"):  # 16 bits: 65,535 is white
        image = fromarray(np.rint(np.clip(np.asarray(image), 0, 65535) / 257).astype(np.uint8))
    if mode != "RGBA" and has_alpha(image):
        image = image.convert("RGBA")
        image = alpha_composite(new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def crop_and_resize(image: Image, shape: tuple[int, int] | None) -> Image:
    """Cuts out the largest central part of an image with given proportions, and resizes it with antialiasing.

    Arguments:
        image: the image.
        shape: (height, width) of the result; None returns the image unchanged.
    """
    from PIL.Image import Resampling

    if shape is None or (image.height, image.width) == shape:
        return image
    scale = min(image.height / shape[0], image.width / shape[1])
    height, width = (max(1, round(scale * side)) for side in shape)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if (height, width) != (image.height, image.width):
        image = image.crop((left, top, left + width, top + height))
    return image.resize(shape[::-1], Resampling.LANCZOS)


def as_array(image: Image) -> NDArray[np.uint8]:
    """The pixels of an image of mode "L", "RGB" or "RGBA", uint8, shape (channels, height, width)."""
    array = np.asarray(image)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def resize(images: NDArray[np.uint8], image_size: int | None) -> Iterator[NDArray[np.uint8]]:
    """Cuts out the central square of each image, resizes it with antialiasing, and yields the results in chunks of up to 512.

    Arguments:
        images: uint8, shape (n, channels, height, width).
        image_size: pixels a side; None keeps the images as they are.

    Yields:
        uint8, shape (chunk, channels, image_size, image_size), or (chunk, channels, height, width) without `image_size`.
    """
    from PIL import Image

    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        if image_size and images.shape[2:] != (image_size, image_size):
            rows = (array[0] if len(array) == 1 else array.transpose(1, 2, 0) for array in chunk)
            pictures = (Image.fromarray(np.ascontiguousarray(row)) for row in rows)
            chunk = np.stack([as_array(crop_and_resize(picture, (image_size, image_size))) for picture in pictures])
        yield chunk


def resize_note(image_size: int | None) -> str:
    """Returns the phrase on resizing in a data set's description, such as ", resized to 64x64"; "" if `image_size` is
    None.
    """
    return f", resized to {image_size}x{image_size}" if image_size else ""


def list_images(paths: Sequence[Path | str]) -> list[tuple[Collection, str]]:
    """Lists all images of several files, folders and zips.

    Returns:
        A pair for each image: the `Collection` of its folder or zip, and its path there. The pairs are in the order of
        `paths`, and those of one folder or zip in alphabetical order.

    Raises:
        UserError: a path does not exist, or a folder or zip has no images.
    """
    found: list[tuple[Collection, str]] = []
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"there is no image or folder {path}; check its name.")
        images = Collection(path)
        if not images.names:
            raise UserError(f"{path} holds no images; expected are files that end in {', '.join(sorted(SUFFIXES))}.")
        found += [(images, name) for name in images.names]
    return found


def read_images(paths: Sequence[Path | str], shape: tuple[int, ...]) -> Tensor:
    """Reads inputs for a trained game from images, which are center-cropped and resized, or from .npy and .npz files.

    Arguments:
        paths: images, folders or zips of images; or .npy and .npz files alone.
        shape: (channels, height, width) of the images that the run was trained on, or (d,) of its vectors.

    Returns:
        float32, shape (n, *shape), images in [0, 1], in the order of `paths`.

    Raises:
        UserError: a path does not exist, a file is damaged or does not fit, or both images and arrays are given.
    """
    import torch

    from interalia.data.arrays import read_rows
    from interalia.data.store import as_tensor

    if not paths:
        raise UserError("no image was given; name at least one file or a folder of images.")
    arrays = [path for path in map(Path, paths) if path.suffix.lower() in (".npy", ".npz")]
    if len(arrays) == len(paths):
        return torch.cat([as_tensor(rows) for rows in read_rows(arrays, shape)])
    if arrays:
        raise UserError(f"{arrays[0]} is an array among images; give either arrays or images.")
    if len(shape) != 3 or shape[0] not in MODES:
        raise UserError(
            f"this run was trained on vectors of the shape {shape}, and not on images; give a .npy or .npz file of vectors."
        )
    channels, height, width = shape
    mode, size = MODES[channels], (height, width)
    return as_tensor(np.stack([images.decode(name, mode, size) for images, name in list_images(paths)]))
