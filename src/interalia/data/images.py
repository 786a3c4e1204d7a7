"""Encoded images in a folder or a zip: decoded by several threads, converted to one mode and size."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from interalia.data.cache import Entry, cached
from interalia.data.dataset import Split
from interalia.data.progress import progress
from interalia.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

T = TypeVar("T")
LabeledImages = tuple[
    NDArray[np.uint8], NDArray[np.int64]
]  # images, shape (n, channels, height, width), and their labels

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"))
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
MODES = {channels: mode for mode, channels in CHANNELS.items()}
# All errors of Pillow and zipfile that were seen on damaged files.
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError, RuntimeError, struct.error,
    zlib.error, zipfile.BadZipFile,
)  # fmt: skip
CHUNK = 512
HASHED_FILES = 64  # files whose content is part of a fingerprint
HASHED_BYTES = 2**18  # of each of them


class Collection:
    """The images in one folder and the folders below it, in one zip file, or one single image.

    Attributes:
        where: the folder or the zip file.
        names: their paths inside, in alphabetical order, with forward slashes.
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
        """The name of an image for error messages."""
        return f"{name} in {self.where}" if self.archive else str(self.where / name)

    def sources(self) -> list[Path]:
        """The files on disk that hold the images."""
        return [self.where] if self.archive else [self.where / name for name in self.names]

    def fingerprint(self, names: Sequence[str]) -> str:
        """A digest of the names and sizes of files, and of the content of `HASHED_FILES` of them at even distances.

        Folders that contain all of them are left out, so that a folder and a zip of it have the same digest.
        """
        digest = hashlib.sha256()
        parts = [name.split("/") for name in names]
        common = 0
        while parts and all(len(path) > common + 1 and path[common] == parts[0][common] for path in parts):
            common += 1
        for name, path in zip(names, parts, strict=True):
            size = self.archive.getinfo(name).file_size if self.archive else os.path.getsize(self.where / name)
            digest.update(f"{'/'.join(path[common:])}\0{size}\n".encode("utf-8", "surrogateescape"))
        count = min(HASHED_FILES, len(names))
        for name in (names[i * len(names) // count] for i in range(count)):
            with self.open(name) as file:
                digest.update(file.read(HASHED_BYTES))
        return digest.hexdigest()

    def open(self, name: str) -> BinaryIO:
        """The file `name`, opened for reading."""
        return io.BytesIO(self.archive.read(name)) if self.archive else open(self.where / name, "rb")

    def read(self, name: str, function: Callable[[Image], T]) -> T:
        """Opens the image `name` and returns `function` of it.

        Raises:
            UserError: the file is not an image that can be read.
        """
        from PIL import Image, UnidentifiedImageError

        label = self.label(name)
        try:
            with self.open(name) as file, Image.open(file) as image:
                return function(image)
        except PermissionError:
            raise UserError(f"the image {label} cannot be read; change its permissions or remove it.") from None
        except (*DAMAGE, Image.DecompressionBombError) as error:
            unknown = isinstance(error, UnidentifiedImageError)
            reason = "not a known image format" if unknown else error
            raise UserError(
                f"the image {label} is damaged or cut short ({reason}); copy it again or remove it."
            ) from None

    def decode(self, name: str, mode: str, shape: tuple[int, int] | None) -> NDArray[np.uint8]:
        """The image `name` as a uint8 array, shape (channels, height, width)."""
        return self.read(name, lambda image: as_array(crop_and_resize(convert(image, mode), shape)))

    def headers(self, names: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
        """The mode that suits all images, and the (height, width) of each, from their headers."""
        parts = self._chunks(names, lambda name: self.read(name, read_header), "reading image headers")
        found = [each for part in parts for each in part]
        kinds = {kind for kind, _ in found}
        return kinds.pop() if len(kinds) == 1 else "RGB", [shape for _, shape in found]

    def arrays(self, names: Sequence[str], mode: str, shape: tuple[int, int] | None) -> Iterator[NDArray[np.uint8]]:
        """Decodes images in chunks of some hundreds, each of shape (chunk, channels, height, width)."""
        for part in self._chunks(names, lambda name: self.decode(name, mode, shape), "decoding images"):
            yield np.stack(part)

    def _chunks(self, names: Sequence[str], function: Callable[[str], T], description: str) -> Iterator[list[T]]:
        # Threads, because Pillow releases the GIL; chunks, so that few decoded images are in memory.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool, progress(description, len(names)) as advance:
            for start in range(0, len(names), CHUNK):
                part = list(pool.map(function, names[start : start + CHUNK]))
                advance(len(part))
                yield part


def _is_image(name: str) -> bool:
    """True for a visible file with the suffix of an image."""
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and os.path.splitext(name)[1].lower() in SUFFIXES


def read_header(image: Image) -> tuple[str, tuple[int, int]]:
    """The mode that loses nothing, and the (height, width) of the upright image."""
    turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientation: turned by 90 degrees
    return lossless_mode(image), (image.width, image.height) if turned else (image.height, image.width)


def has_alpha(image: Image) -> bool:
    """True if the image has transparency."""
    return "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info


def lossless_mode(image: Image) -> str:
    """The mode that loses nothing: L for gray images, RGBA for colors with transparency, else RGB."""
    if image.mode in ("RGBA", "RGBa") or (image.mode in ("P", "PA", "RGB") and has_alpha(image)):
        return "RGBA"
    gray = image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;")
    return "L" if gray else "RGB"


def convert(image: Image, mode: str) -> Image:
    """The upright image in `mode`; transparent pixels become white unless the mode is RGBA."""
    from PIL import ImageOps
    from PIL.Image import alpha_composite, fromarray, new

    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("it holds floating-point numbers; save it with 8 bits a channel")
    if image.mode == "I" or image.mode.startswith("I;"):  # 16 bits: 65,535 is white
        image = fromarray(np.rint(np.clip(np.asarray(image), 0, 65535) / 257).astype(np.uint8))
    if mode != "RGBA" and has_alpha(image):
        image = image.convert("RGBA")
        image = alpha_composite(new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def crop_and_resize(image: Image, shape: tuple[int, int] | None) -> Image:
    """The largest central crop with the proportions of `shape` = (height, width), resized to it; unchanged for None."""
    from PIL.Image import Resampling

    if shape is None or (image.height, image.width) == shape:
        return image
    height, width = shape
    scale = min(image.height / height, image.width / width)
    crop_height, crop_width = max(1, round(scale * height)), max(1, round(scale * width))
    left, top = (image.width - crop_width) // 2, (image.height - crop_height) // 2
    part = image.crop((left, top, left + crop_width, top + crop_height))
    return part.resize((width, height), Resampling.LANCZOS)


def as_array(image: Image) -> NDArray[np.uint8]:
    """The image as an array, uint8, shape (channels, height, width)."""
    array = np.asarray(image)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def resize(images: NDArray[np.uint8], image_size: int | None) -> Iterator[NDArray[np.uint8]]:
    """Center-crops and resizes decoded images, shape (n, channels, height, width), as files are; yields them in chunks."""
    from PIL import Image

    _, channels, height, width = images.shape

    def one(array: NDArray[Any]) -> NDArray[np.uint8]:
        picture = Image.fromarray(np.ascontiguousarray(array[0] if channels == 1 else array.transpose(1, 2, 0)))
        return as_array(crop_and_resize(picture, (image_size, image_size) if image_size else None))

    same = image_size is None or (height, width) == (image_size, image_size)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        yield part if same else np.stack([one(image) for image in part])


def resize_note(image_size: int | None) -> str:
    """Returns the words on resizing in a data set's description, such as ", resized to 64x64"; "" without `image_size`."""
    return f", resized to {image_size}x{image_size}" if image_size else ""


def resize_shape(shape: tuple[int, ...], image_size: int | None) -> tuple[int, ...]:
    """The shape (n, channels, height, width) after `resize`."""
    return shape if image_size is None else (*shape[:2], image_size, image_size)


def decode_splits(
    name: str, files: Sequence[Path], image_size: int | None, read: Callable[[], Iterable[tuple[str, LabeledImages]]]
) -> dict[str, Split]:
    """The splits of a data set of labeled images, resized and cached.

    Arguments:
        name: the name of the data set.
        files: the files that `read` reads; other files make another cache entry.
        image_size: pixels a side after resizing, or None.
        read: yields the name, and the images and labels, of each split.
    """

    def decode(entry: Entry) -> None:
        for part, (x, y) in read():
            entry.write(part, resize_shape(x.shape, image_size), np.uint8, resize(x, image_size))
            entry.save(f"{part}-labels", y)

    arrays = cached(name, files, {"size": image_size}, decode)
    return {part: Split(x, arrays[f"{part}-labels"]) for part, x in arrays.items() if f"{part}-labels" in arrays}


def list_images(paths: Sequence[Path | str]) -> list[tuple[Collection, str]]:
    """All images in `paths`, each with its collection; those of a folder or a zip in alphabetical order.

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
    """Reads inputs for a trained game: images, center-cropped, resized and converted to `shape`, or .npy and .npz files.

    Arguments:
        paths: files, or folders or zips of images.
        shape: (channels, height, width) of the data that the run was trained on, or (d,).

    Returns:
        float32, shape (n, *shape), images in [0, 1], in the order of `paths`.

    Raises:
        UserError: a path does not exist, a file is damaged or does not fit, or both images and arrays are given.
    """
    from interalia.data.arrays import read_rows
    from interalia.data.store import as_tensor

    if not paths:
        raise UserError("no image was given; name at least one file or a folder of images.")
    arrays = [path for path in map(Path, paths) if path.suffix.lower() in (".npy", ".npz")]
    if len(arrays) == len(paths):
        return read_rows(arrays, shape)
    if arrays:
        raise UserError(f"{arrays[0]} is an array among images; give either arrays or images.")
    if len(shape) != 3 or shape[0] not in MODES:
        raise UserError(
            f"this run was trained on vectors of the shape {shape}, and not on images; give a .npy or .npz file of vectors."
        )
    channels, height, width = shape
    mode, size = MODES[channels], (height, width)
    return as_tensor(np.stack([images.decode(name, mode, size) for images, name in list_images(paths)]))
