"""Reads images from a folder, a zip file or tar files, in several threads, and converts them to one mode and one size."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import stat
import struct
import threading
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from interalia import packaged_toml
from interalia.data import tars
from interalia.data.progress import progress
from interalia.data.scaling import QUARTER, as_type
from interalia.data.splits import composed
from interalia.disk import most_bytes, regular, too_large, unpacked
from interalia.errors import UserError, check_choice, remedy

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from interalia.data.dataset import Dataset
    from interalia.data.scaling import Units

T = TypeVar("T")
# images, shape (n, channels, height, width), and their labels, shape (n,)
LabeledImages = tuple[NDArray[np.uint8], NDArray[np.int64]]

_NAMES = packaged_toml("interalia.data", "names.toml")
SUFFIXES = frozenset(_NAMES["suffixes"])
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels
MODE_NAMES = {"L": "gray", "RGB": "RGB", "RGBA": "RGB with transparency"}
# the type of the numbers of gray images that are not of 8 bits -> words for them
NUMBERS = {"uint16": "gray of 16 bits", "int32": "gray of 32 bits", "float32": "gray of floating-point numbers"}
# All errors of Pillow and zipfile that were seen on damaged files.
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError, RuntimeError, struct.error,
    zlib.error, zipfile.BadZipFile,
)  # fmt: skip
ARRAYS = (".npy", ".npz", ".csv", ".tsv", ".parquet", ".feather", ".gz")  # suffixes of files of arrays and tables
SHARDS = "shards.json"  # the table in a folder of shards
CHUNK = 512
GRAY = np.array([0.299, 0.587, 0.114])  # the weights of red, green and blue in gray
HASHED_BYTES = 10**9  # of all files together, up to which a fingerprint has the content of each
LARGE = 2**25  # pixels, and bytes of a file in a zip, from which on images are read one at a time
ONE_AT_A_TIME = threading.RLock()  # a thread may hold it for a large file and for the image in it
ALLOW_LARGE = (
    "make it smaller, or allow it by a larger number of pixels in the environment variable INTERALIA_MAX_PIXELS"
)
NO_SUFFIX = "without suffix"
SHARE = 0.1  # of the images: fewer of another mode, or outside of the folders for classes, do not decide for all


def inner_paths(names: Sequence[str]) -> list[list[str]]:
    """Splits the paths of files at their slashes, and leaves out the outer folders that all of the files are in.

    A tenth of the files or less may lie beside such a folder; the paths of these stay as they are. Accents and their letters
    become one character (NFC), because some systems and programs write them as two.

    Example:
        >>> inner_paths(["faces/a/1.png", "faces/b/2.png"])
        [['a', '1.png'], ['b', '2.png']]
    """
    paths = [composed(name).split("/") for name in names]
    while paths:
        tops = Counter(path[0] for path in paths if len(path) > 1)
        if len(tops) != 1 or tops.total() < (1 - SHARE) * len(paths):
            break
        paths = [path[1:] or path for path in paths]
    return paths


class Collection:
    """The images in a folder and the folders below it, in a zip or tar file, or in the tar files of a folder, or one image.

    Arguments:
        where: the folder, the zip or tar file, or the image.

    Attributes:
        where: the folder or the file; for a single image its folder.
        names: the paths of the images inside of it, in alphabetical order, with forward slashes. For tar files in the format
            of WebDataset, i.e. with labels, they are "LABEL/TAR/FILE", after "SPLIT/" if the names of the tar files have one.
        archive: the opened zip file; None for other collections.
        packed_files: a dictionary: path of each image in tar files -> where its bytes are; empty for other collections.

    Raises:
        UserError: the zip file or a tar file is damaged.
    """

    def __init__(self, where: Path) -> None:
        self.where, self.left_out = where, Counter[str]()
        self.archive: zipfile.ZipFile | None = None
        self.entries: dict[str, zipfile.ZipInfo] = {}
        self.packed_files: dict[str, tars.Member] = {}
        check_regular(where)
        if where.is_dir():
            found = list(walk(str(where)))
            shards = [where / name for name in found if suffix(name) == ".tar"]
            if shards and not any(suffix(name) in SUFFIXES for name in found):
                found = self.listed(shards)
        elif where.suffix.lower() == ".tar":
            found = self.listed([where])
        elif where.suffix.lower() != ".zip":
            self.where, self.names = where.parent, [where.name]
            return
        else:
            try:
                self.archive = zipfile.ZipFile(where)
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                raise UserError(f"{where} is not a complete zip file ({error}); copy or download it again.") from None
            entries = [entry for entry in self.archive.infolist() if entry.filename and not entry.is_dir()]
            files = [entry for entry in entries if not stat.S_ISLNK(entry.external_attr >> 16)]
            self.left_out.update({"symbolic link(s) in the zip": len(entries) - len(files)})
            self.entries = {entry_name(entry): entry for entry in files}
            found = [name for name in self.entries if not any(map(is_hidden, name.split("/")))]
        self.names = sorted((name for name in found if suffix(name) in SUFFIXES), key=composed)
        self.left_out.update(readable(suffix(name)) for name in found if suffix(name) not in SUFFIXES)

    def listed(self, files: Sequence[Path]) -> list[str]:
        """Returns the paths of the images in the tar files `files`, and sets `packed_files` to the places of their bytes."""
        self.packed_files, left_out = tars.files_in(files, SUFFIXES)
        self.left_out.update(left_out)
        return [name for name in self.packed_files if not any(map(is_hidden, name.split("/")))]

    @property
    def packed(self) -> bool:
        """True for images in a zip file or in tar files."""
        return self.archive is not None or bool(self.packed_files)

    def label(self, name: str) -> str:
        """The path of the image `name` for error messages, such as "a.png in faces.zip"."""
        if self.packed_files:
            return readable(f"{self.packed_files[name].name} in {self.packed_files[name].file}")
        return readable(f"{name} in {self.where}" if self.archive else str(self.where / name))

    def sources(self) -> list[Path]:
        """The files on disk that contain the images: the zip or tar files, or the file of each image."""
        if self.packed_files:
            return sorted({member.file for member in self.packed_files.values()})
        return [self.where] if self.archive else [self.where / name for name in self.names]

    def file_size(self, name: str) -> int:
        """The bytes of the file of the image `name`, when it is unpacked."""
        if self.packed_files:
            return self.packed_files[name].size
        return self.entries[name].file_size if self.archive else os.path.getsize(self.where / name)

    def fingerprint(self, names: Sequence[str]) -> str:
        """Returns the SHA-256 digest of images, in hexadecimal, by which the same images are recognized.

        The path and the size of each file are hashed, and the bytes of each; those of 1,000 drawn files if all
        files together have more than 1 GB. The outer folders that all of the files are in do not count, so that
        a folder and its zip have the same digest.

        Arguments:
            names: the paths of the images, from the attribute `names`.
        """
        from interalia.data.splits import drawn_rows

        digest, total = hashlib.sha256(), 0
        for name, path in zip(names, inner_paths(names), strict=True):
            size = self.file_size(name)
            digest.update(f"{'/'.join(path)}\0{size}\n".encode("utf-8", "surrogateescape"))
            total += size
        for name in names if total <= HASHED_BYTES else [names[i] for i in drawn_rows(len(names))]:
            with self.open(name) as file:
                while block := file.read(2**20):
                    digest.update(block)
        return digest.hexdigest()

    def open(self, name: str) -> BinaryIO:
        """Opens the file of the image `name` for reading bytes.

        Raises:
            OSError: it is no regular file, or cannot be read.
            UserError: in a zip it has a password, or is larger than `interalia.disk.most_bytes` when it is unpacked.
        """
        if self.packed_files:
            return self.packed_files[name].open()
        if self.archive is None:
            return open(regular(self.where / name), "rb")
        entry = self.entries[name]
        if entry.flag_bits & 1:
            raise UserError(f"the image {self.label(name)} needs a password; unzip the file and give the folder.")
        if entry.file_size > most_bytes():
            raise too_large(self.label(name))
        with self.archive.open(entry) as file:
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
        pixel_limit()
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            packed = self.entries[name].file_size if self.archive else 0
            with one_large(packed), self.open(name) as file, Image.open(file) as image, one_large(pixels(image)):
                try:
                    return function(image)
                except UserError as error:
                    raise UserError(f"the image {label} {error}") from None
        except NotImplementedError as error:  # a compression in a zip
            raise UserError(
                f"the image {label} cannot be read ({error}); unzip the file and give the folder."
            ) from None
        except Image.DecompressionBombError as error:
            raise UserError(f"the image {label} is too large ({str(error).split(',')[0]}); {ALLOW_LARGE}.") from None
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno:
                raise UserError(
                    f"the image {label} cannot be read ({error.strerror}); {remedy(error)} or leave it out."
                ) from None
            unknown = isinstance(error, UnidentifiedImageError)
            if unknown and suffix(name) not in (*SUFFIXES, NO_SUFFIX):
                raise UserError(
                    f"{label} is not an image; give images such as .png and .jpg, a folder or .zip of them, or an array as "
                    f".npy or .npz."
                ) from None
            why = ", or of a format that is not read, such as colors in floating point" if unknown else f" ({error})"
            raise UserError(f"the image {label} is damaged or cut short{why}; copy it again or remove it.") from None

    def decode(self, name: str, mode: str, shape: tuple[int, int] | None, crop: str = "center") -> NDArray[Any]:
        """Decodes the image `name` to an array of shape (channels, height, width), uint8 or the type that `mode` names.

        Arguments:
            name: the path of the image, one of `names`.
            mode: "L" (gray), "RGB" or "RGBA", to which the image is converted; or a key of `NUMBERS`, for the numbers of a
                gray image as they are in the file.
            shape: (height, width) of the result: the image is cropped to these proportions and resized; None keeps its
                size.
            crop: which part is cut out: "center"; "random", at a place that the path inside of the folder determines; or
                "none" for the whole image, whose proportions change.
        """
        place = None if crop == "none" else 0.5
        if crop == "random":
            place = int.from_bytes(hashlib.blake2b(os.fsencode(name), digest_size=4).digest(), "little") / 2**32
        return self.read(name, lambda image: fit(image, mode, shape, place))

    def headers(self, names: Sequence[str], wanted: str | None = None) -> tuple[str, list[tuple[int, int]], str]:
        """Reads the headers of images, and finds the Pillow mode to which all of them are converted.

        Arguments:
            names: the paths of the images, from the attribute `names`.
            wanted: the mode to convert them to; None to find it.

        Returns:
            A tuple of three: the mode, "L" (gray), "RGB" or "RGBA": that of nine tenths of the images or more, else "RGB"; a
            list of the (height, width) of each image; and sentences on the images of other modes, on those of more than 8
            bits among others, and on files of several pictures, "" if there are none.

        Raises:
            UserError: images of more than 8 bits, which lie among others or are to be in color, would be nearly black.
        """
        chunks = self._map(lambda name: self.read(name, read_header), names, "reading image headers")
        modes, shapes, several = zip(*itertools.chain.from_iterable(chunks), strict=True)
        first = ""
        if number := sum(several):
            example = self.label(names[several.index(True)])
            first = f" Of {number:,} animations or files of several pages ({example}) only the first picture is read."
        if set(modes) <= NUMBERS.keys() and wanted != "RGB":
            self.check_one_unit(names, modes)
            return np.result_type(*modes).name.replace("float64", "float32"), list(shapes), first
        if numbers := [name for name, mode in zip(names, modes, strict=True) if mode in NUMBERS]:
            first = f"{self.reduced(numbers)}{first}"
        modes = tuple("L" if mode in NUMBERS else mode for mode in modes)
        counts = Counter(modes).most_common()
        mode = counts[0][0] if len(names) - counts[0][1] <= SHARE * len(names) else "RGB"
        mode = wanted or mode
        if [kind for kind, _ in counts] == [mode] or (len(counts) == 1 and wanted is None):
            return mode, list(shapes), first
        found = ", ".join(f"{count:,} {MODE_NAMES[kind]}" for kind, count in counts)
        example = self.label(names[modes.index(counts[-1][0])])
        return mode, list(shapes), f" {found} ({example}), all converted to {MODE_NAMES[mode]}.{first}"

    def check_one_unit(self, names: Sequence[str], modes: Sequence[str]) -> None:
        """Raises a UserError if the numbers of one type span at most a hundredth of what all numbers span, but are not all
        equal, so that those of the other types are in other units.

        Arguments:
            names: the paths of gray images that are not of 8 bits, from the attribute `names`.
            modes: the type of each, a key of `NUMBERS`.
        """
        if len(set(modes)) < 2:
            return
        low, high = self.extremes(names)
        kinds, of = sorted(set(modes)), np.array(modes)
        spans = [high[of == kind].max() - low[of == kind].min() for kind in kinds]
        if any(0 < span <= (high.max() - low.min()) / 100 for span in spans):
            found = ", ".join(
                f"{low[of == kind].min():g} ... {high[of == kind].max():g} ({self.label(names[modes.index(kind)])})"
                for kind in kinds
            )
            raise UserError(
                f"the images have numbers of different units: {found}; convert them all to one type and unit."
            )

    def extremes(self, names: Sequence[str], relative: bool = False) -> tuple[NDArray[Any], NDArray[Any]]:
        """Returns the smallest and the largest number of each gray image, shape (n,) each.

        Arguments:
            names: the paths of the images, from the attribute `names`.
            relative: True for shares of white, which is 65,535 or, for floating-point numbers, 1.
        """
        parts = self._map(lambda name: self.read(name, extremes), names, "reading numbers")
        low, high, white = np.array([*itertools.chain.from_iterable(parts)]).T
        return (low / white, high / white) if relative else (low, high)

    def reduced(self, names: Sequence[str]) -> str:
        """Returns a sentence on gray images of more than 8 bits that are converted to 8 bits.

        Arguments:
            names: their paths, from the attribute `names`.

        Raises:
            UserError: together they use no more than a quarter of their range.
        """
        low, high = self.extremes(names, relative=True)
        count = f"{len(names):,} image(s) of more than 8 bits ({self.label(names[0])})"
        share = high.max() - (low.min() if (low < high).any() else 0)  # images of one level alone have no range
        if share <= QUARTER:
            raise UserError(
                f"{count} use {100 * share:.2g} % of their range, and would be nearly of one gray level in 8 bits, as the "
                f"others have or `gray` demands; rescale them, or put them into a separate folder."
            )
        return f" {count} converted to 8 bits; white is 65,535, or 1 in floating point."

    def arrays(
        self, names: Sequence[str], mode: str, shape: tuple[int, int] | None, crop: str = "center"
    ) -> Iterator[NDArray[Any]]:
        """Decodes images and yields them in chunks of up to 512, shape (chunk, channels, height, width), uint8 or the type
        that `mode` names.

        Arguments:
            names: the paths of the images, from the attribute `names`.
            mode: "L" (gray), "RGB" or "RGBA", to which each image is converted, or a key of `NUMBERS`.
            shape: (height, width) of the results: each image is cropped to these proportions and resized; None keeps its
                size, which has to be the same for all images.
            crop: "center", "random" or "none", as for `decode`.
        """
        return map(np.stack, self._map(lambda name: self.decode(name, mode, shape, crop), names, "decoding images"))

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


def is_hidden(name: str) -> bool:
    """True if a file or folder is hidden, i.e. its name begins with a dot, or belongs to the operating system."""
    return name.startswith(".") or name in _NAMES["system"]


def suffix(name: str) -> str:
    """Returns the end of a file's name from its last dot on in lower case, such as ".png", or the words "without suffix"."""
    return os.path.splitext(name)[1].lower().rstrip() or NO_SUFFIX


def readable(text: str) -> str:
    r"""Returns a file's name in characters that can be written in UTF-8: bytes that are none of it become such as \xff."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def walk(folder: str, outer: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields the paths, relative to a folder and with forward slashes, of the files in and below it that are not hidden.

    Symbolic links are followed, but those to a folder in which they lie themselves.

    Arguments:
        folder: the path of the folder.
        outer: the real paths of the folders that led to this one; empty at the start.

    Raises:
        UserError: a folder cannot be read, or an image or a path without suffix is neither a folder nor a regular file,
            such as a link to nothing.
    """
    chain = (*outer, os.path.realpath(folder))
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"the folder {readable(folder)} cannot be read ({error.strerror}); remove it.") from None
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if os.path.isdir(entry.path):
            real = os.path.realpath(entry.path) if entry.is_symlink() else ""
            if not real or all(os.path.commonpath((inner, real)) != real for inner in chain):
                yield from (f"{entry.name}/{name}" for name in walk(entry.path, chain))
            continue
        if suffix(entry.name) in (*SUFFIXES, NO_SUFFIX):
            check_regular(Path(entry.path))
        yield entry.name


def check_regular(path: Path) -> None:
    """Raises a UserError if a path is neither a folder nor a regular file, after links: a pipe, or a link to nothing."""
    try:
        if not path.is_dir():
            regular(path)
    except OSError as error:
        raise UserError(f"{readable(str(path))} cannot be read ({error.strerror}); {remedy(error)}.") from None


def reached_twice(where: Path, names: Sequence[str]) -> set[str]:
    """Returns those of the paths below a folder that lead to a file by a symbolic link, if another path leads to it too.

    Of several links to one file, the first in the list is not among them.

    Arguments:
        where: the folder.
        names: the paths of files inside of it.
    """
    first: dict[tuple[int, int], str] = {}
    again: set[str] = set()
    root = os.path.realpath(where)
    folders = {folder: os.path.realpath(where / folder) for folder in {os.path.dirname(name) for name in names}}
    linked = {folder for folder, real in folders.items() if real != os.path.normpath(os.path.join(root, folder))}
    links = [name for name in names if os.path.dirname(name) in linked or os.path.islink(where / name)]
    if links:
        for name in (*sorted(set(names) - set(links)), *links):
            status = os.stat(where / name)
            if first.setdefault((status.st_dev, status.st_ino), name) != name and name in set(links):
                again.add(name)
    return again


def entry_name(entry: zipfile.ZipInfo) -> str:
    """Returns the path of a file in a zip, with forward slashes, whichever program packed it."""
    name = entry.filename
    if not entry.flag_bits & 0x800:  # by the standard in code page 437, but many programs write UTF-8
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def pixel_limit() -> int:
    """Returns the number of pixels above which Pillow refuses an image, because it could fill the memory.

    If the environment variable INTERALIA_MAX_PIXELS has a number, it is set as Pillow's limit first.

    Raises:
        UserError: the value is no positive whole number.
    """
    from PIL import Image

    if text := os.environ.get("INTERALIA_MAX_PIXELS"):
        if not text.isdecimal() or not int(text):
            raise UserError(f"INTERALIA_MAX_PIXELS is {text!r}; give a number of pixels, such as 1000000000.")
        Image.MAX_IMAGE_PIXELS = (int(text) + 1) // 2  # Pillow refuses images above twice of it
    return 2 * (Image.MAX_IMAGE_PIXELS or 2**62)


def one_large(size: int) -> AbstractContextManager[object]:
    """Returns a context that only one thread at a time enters if `size`, in pixels or bytes, is 34 million or more."""
    return ONE_AT_A_TIME if size >= LARGE else nullcontext()


def pixels(image: Image) -> int:
    """Returns the number of pixels of an image, by its header."""
    return image.width * image.height


def read_header(image: Image) -> tuple[str, tuple[int, int], bool]:
    """Returns a tuple of three: the mode to which an image can be converted without a loss, "L" (gray), "RGB", "RGBA" or a
    key of `NUMBERS`; its (height, width) after it is turned upright by its EXIF orientation; and True if the file has
    several pictures, as an animation or a document of several pages has, of which only the first is read.
    """
    size = image.height, image.width
    if image.format == "TIFF":  # newer versions of Pillow have turned it already
        size = image.tag_v2[257], image.tag_v2[256]  # type: ignore[attr-defined]
    turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientation: turned by 90 degrees
    mode, several = lossless_mode(image), False
    with suppress(*DAMAGE):  # behind the first picture; the others of an MPO are previews of a camera
        several = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
    return mode, size[::-1] if turned else size, several


def shrink(image: Image, shape: tuple[int, int] | None) -> Image:
    """Reduces a very large image by a whole factor, to no less than four times the sides that are needed of it.

    Arguments:
        image: the image, of which a JPEG is decoded at the reduced size.
        shape: the (height, width) to which it is resized later; None returns the image unchanged.
    """
    if shape is None or pixels(image) <= LARGE:
        return image
    side = 4 * max(shape)
    image.draft(None, (side, side))
    factor = min(image.size) // side
    return image.reduce(factor) if factor > 1 and image.mode in MODES.values() else image


def extremes(image: Image) -> tuple[float, float, float]:
    """Returns the smallest and the largest number of a gray image that is not of 8 bits, and white: 65,535 or, if they are
    floating-point numbers, 1.
    """
    array = np.asarray(image)
    return float(array.min()), float(array.max()), 1.0 if image.mode == "F" else 65535.0


def has_alpha(image: Image) -> bool:
    """True if the image has an alpha channel, or a color that marks transparent pixels."""
    return "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info


def lossless_mode(image: Image) -> str:
    """The mode to which an image can be converted without a loss.

    It is "L" for gray images, even with transparency, "RGBA" for colors with transparency, a key of `NUMBERS` for gray images
    that are not of 8 bits, else "RGB".
    """
    if image.mode in ("RGBA", "RGBa") or (image.mode in ("P", "PA", "RGB") and has_alpha(image)):
        return "RGBA"
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        # newer versions of Pillow open a PNG of 16 bits with the mode I;16, older ones with I
        wide = image.mode == "I" and image.format != "PNG"
        return "float32" if image.mode == "F" else "int32" if wide else "uint16"
    return "L" if image.mode in ("1", "L", "LA", "La") else "RGB"


def convert(image: Image, mode: str) -> Image:
    """Turns an image upright, as its EXIF data state, and converts it to the mode "L" (gray), "RGB" or "RGBA".

    For the modes "L" and "RGB", transparent pixels become white.

    Raises:
        UserError: floating-point numbers are not in [0, 1], or 16-bit numbers not in [0, 65535]; the message begins with
            a verb.
    """
    from PIL import ImageOps
    from PIL.Image import alpha_composite, fromarray, new

    ImageOps.exif_transpose(image, in_place=True)  # without a copy
    if image.mode[0] in "IF":  # 16 bits, of which 65,535 is white, or floating-point numbers, of which 1 is white
        array, white = np.asarray(image), 1 if image.mode == "F" else 65535
        if not (array.min() >= 0 and array.max() <= white):  # also NaN
            raise UserError(
                f"holds numbers from {array.min():g} to {array.max():g}, and those of its type are from 0 to {white}; "
                f"rescale all images alike, or save them with 8 bits a channel."
            )
        image = fromarray(np.rint(array * (255 / white)).astype(np.uint8))
    if mode != "RGBA" and has_alpha(image):
        image = image.convert("RGBA")
        image = alpha_composite(new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def crop_and_resize(image: Image, shape: tuple[int, int] | None, place: float | None = 0.5) -> Image:
    """Cuts out the largest part of an image with given proportions, and resizes it with antialiasing.

    Arguments:
        image: the image.
        shape: (height, width) of the result; None returns the image unchanged.
        place: where the part is, from 0 (left or top) to 1 (right or bottom); None for the whole image, whose proportions
            change.
    """
    from PIL.Image import Resampling

    if shape is None or (image.height, image.width) == shape:
        return image
    if place is None:
        return image.resize(shape[::-1], Resampling.LANCZOS)
    scale = min(image.height / shape[0], image.width / shape[1])
    height, width = (max(1, round(scale * side)) for side in shape)
    left, top = int((image.width - width) * place), int((image.height - height) * place)
    if (height, width) != (image.height, image.width):
        image = image.crop((left, top, left + width, top + height))
    return image.resize(shape[::-1], Resampling.LANCZOS)


def as_array(image: Image) -> NDArray[np.uint8]:
    """The pixels of an image of mode "L", "RGB" or "RGBA", uint8, shape (channels, height, width)."""
    array = np.asarray(image)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def fit(image: Image, mode: str, shape: tuple[int, int] | None, place: float | None = 0.5) -> NDArray[Any]:
    """Returns the pixels of an image that is converted, cropped and resized, shape (channels, height, width).

    Arguments:
        image: the image.
        mode: "L" (gray), "RGB" or "RGBA", for uint8; or a key of `NUMBERS`, for the numbers in the file, of this type.
        shape: (height, width) of the result; None keeps the size.
        place: which part is cut out, as for `crop_and_resize`.
    """
    if mode not in NUMBERS:
        return as_array(crop_and_resize(convert(shrink(image, shape), mode), shape, place))
    from PIL import ImageOps

    if lossless_mode(image) not in NUMBERS:
        raise UserError(f"has 8 bits, and the images that were trained on are {NUMBERS[mode]}; convert it.")
    array = np.asarray(ImageOps.exif_transpose(image))[None].astype(mode)
    if mode == "float32" and not np.isfinite(array).all():
        raise UserError("holds NaN or infinity; replace these numbers, or leave it out.")
    return array if shape is None else resize_numbers(array, shape, place)


def resize_numbers(array: NDArray[Any], shape: tuple[int, int], place: float | None = 0.5) -> NDArray[Any]:
    """Cuts out the largest part of an image with given proportions, and resizes each channel with antialiasing.

    Arguments:
        array: numbers of any type, shape (channels, height, width).
        shape: (height, width) of the result.
        place: which part is cut out, as for `crop_and_resize`.

    Returns:
        The image in the type of `array`, shape (channels, *shape); no number is beyond those of its channel before.
    """
    from PIL.Image import fromarray

    if array.shape[1:] == shape:
        return array
    channels = [
        np.asarray(crop_and_resize(fromarray(one.astype(np.float32)), shape, place)).clip(one.min(), one.max())
        for one in array
    ]
    return as_type(np.stack(channels), array.dtype)


def as_image(array: NDArray[np.uint8]) -> Image:
    """The Pillow image of an array, uint8, shape (channels, height, width), with 1, 3 or 4 channels."""
    from PIL.Image import fromarray

    return fromarray(np.ascontiguousarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0)))


def resize(images: NDArray[Any], image_size: int | None) -> Iterator[NDArray[Any]]:
    """Cuts out the central square of each image, resizes it with antialiasing, and yields the results in chunks of up to 512.

    Arguments:
        images: numbers of any type, shape (n, channels, height, width).
        image_size: pixels a side; None keeps the images as they are.

    Yields:
        The type of `images`, shape (chunk, channels, image_size, image_size), or (chunk, channels, height, width) without
        `image_size`.
    """
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        if image_size and images.shape[2:] != (image_size, image_size):
            square = image_size, image_size
            if images.dtype == np.uint8 and images.shape[1] in MODES:
                chunk = np.stack([as_array(crop_and_resize(as_image(image), square)) for image in chunk])
            else:
                chunk = np.stack([resize_numbers(image, square) for image in chunk])
        yield chunk


def resize_note(image_size: int | None) -> str:
    """Returns the phrase on resizing in a data set's description, such as ", resized to 64x64"; "" if `image_size` is
    None.
    """
    return f", resized to {image_size}x{image_size}" if image_size else ""


def with_channels(images: NDArray[Any], gray: bool) -> NDArray[Any]:
    """Returns images in gray, shape (n, 1, height, width), or in color, shape (n, 3, height, width), in their type.

    Gray is 0.299 red + 0.587 green + 0.114 blue, rounded if uint8; transparent pixels become white.

    Arguments:
        images: uint8, or numbers in [0, 1], shape (n, channels, height, width), with 1, 3 or 4 channels.
        gray: True for gray, False for color.
    """
    if images.dtype != np.uint8:
        color, alpha = images[:, :3], images[:, 3:] if images.shape[1] == 4 else np.ones_like(images[:, :1])
        color = color * alpha + (1 - alpha)
        if gray and color.shape[1] == 3:
            return np.tensordot(color, GRAY.astype(color.dtype), axes=(1, 0))[:, None]
        return color if gray or color.shape[1] == 3 else np.repeat(color, 3, axis=1)
    mode = MODES[1 if gray else 3]
    return np.stack([as_array(convert(as_image(image), mode)) for image in images])


@dataclass(frozen=True)
class PixelOptions:
    """The options on size, colors and cropping of the images of a data set.

    Attributes:
        size: pixels a side that images are cropped and resized to; None keeps their size.
        gray: True for gray images, False for ones in color; None for the colors that nine tenths of the images have.
        crop: "center", "random" or "none", see `Collection.decode`.
    """

    size: int | None = None
    gray: bool | None = None
    crop: str = "center"

    def __post_init__(self) -> None:
        check_choice("crop", self.crop, ("center", "random", "none"))

    @property
    def changed(self) -> dict[str, Any]:
        """The options `gray` and `crop` by name, without those that have their defaults."""
        options = {"gray": self.gray, "crop": self.crop}
        return {key: value for key, value in options.items() if value != getattr(PixelOptions, key)}

    def applied(self, dataset: Dataset) -> Dataset:
        """Converts a data set that was not read from a folder of images to the colors of `gray`, and returns it.

        Raises:
            UserError: `crop` is not "center", or `gray` is not None and the data are no images of 1, 3 or 4 channels, or are
                scaled.
        """
        if self.crop != "center":
            raise UserError("`crop` is for a folder or zip of images; leave `crop` out.")
        channels = 1 if self.gray else 3
        if self.gray is None or (dataset.is_image and dataset.shape[0] == channels):
            return dataset
        if not dataset.is_image or dataset.shape[0] not in MODES:
            raise UserError("`gray` is for images of 1, 3 or 4 channels; leave `gray` out.")
        if dataset.units is not None and dataset.units.scaling:
            raise UserError(
                "`gray` is for images of bytes or numbers in [0, 1], and these are scaled; leave `gray` out."
            )
        splits: dict[str, Any] = {
            part: replace(split, x=with_channels(split.x, self.gray))
            for part in ("train", "validation", "test")
            if (split := getattr(dataset, part))
        }
        other = None if dataset.other is None else self.applied(dataset.other)
        about = f"{dataset.about} Converted to {'gray' if self.gray else 'color'}."
        return replace(dataset, **splits, other=other, about=about)


def is_array(path: Path) -> bool:
    """True if a path is that of a file of arrays or of a table, or of a folder of shards."""
    return path.suffix.lower() in ARRAYS or os.path.isfile(path / SHARDS)


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
        if not os.path.exists(path):
            raise UserError(f"there is no image or folder {readable(str(path))}; check its name.")
        images = Collection(path)
        if not images.names:
            raise UserError(f"{path} holds no images; expected are files that end in {', '.join(sorted(SUFFIXES))}.")
        found += [(images, name) for name in images.names]
    return found


def input_mode(shape: tuple[int, ...], units: Units | None = None) -> str:
    """Returns the mode in which `fit` converts pictures for a trained game; "" if it takes no pictures.

    Arguments:
        shape: the shape of one example that the game was trained on.
        units: the units of the data that it was trained on; None if they were not scaled.
    """
    if len(shape) != 3:
        return ""
    if (
        units and units.scaling and units.scaling.dtype != "uint8"
    ):  # numbers as they are in the files, and no gray levels
        return units.scaling.dtype if units.scaling.dtype in NUMBERS else "float32"
    return MODES.get(shape[0], "")


def read_images(
    paths: Sequence[Path | str], shape: tuple[int, ...], units: Units | None = None, crop: str = "center"
) -> Tensor:
    """Reads inputs for a trained game from images, which are cropped and resized, or from files of arrays or tables.

    Arguments:
        paths: images, folders, zips or tars of images, folders of shards, and .npy, .npz, .csv and .parquet files.
        shape: the shape of one example that the run was trained on.
        units: the units of the data that the run was trained on, whose scaling is applied; None for none.
        crop: "center" to cut out the central square, or "none" for the whole image, whose proportions change.

    Returns:
        float32, shape (n, *shape), images in [0, 1] or scaled, in the order of `paths`.

    Raises:
        UserError: a path does not exist, or a file is damaged or does not fit.
    """
    import torch

    from interalia.data.arrays import read_rows
    from interalia.data.store import as_tensor

    if not paths:
        raise UserError("no image was given; name at least one file or a folder of images.")
    scaling, mode = units.scaling if units else None, input_mode(shape, units)
    pieces: list[NDArray[Any]] = []
    for path in map(Path, paths):
        if is_array(path):
            pieces += read_rows([path], shape, units)
        elif mode:
            decoded = (
                images.decode(name, mode, (shape[1], shape[2]), crop)[None] for images, name in list_images([path])
            )
            pieces += [scaling.apply(image) if scaling else image for image in decoded]
        else:
            raise UserError(f"this run was trained on {shape}, and not on images; give a .npy or .npz file of vectors.")
    return torch.cat([as_tensor(piece) for piece in pieces])


def thumbnails(x: NDArray[Any], side: int = 64, columns: int = 8) -> str:
    """Returns images as an HTML element, in rows of equal squares.

    Arguments:
        x: the images, shape (n, channels, height, width), with 1, 3 or 4 channels, bytes or numbers in [0, 1].
        side: width and height of a square in pixels.
        columns: images in a row.
    """
    import base64

    from PIL import Image

    pixels = x if x.dtype == np.uint8 else np.rint(np.clip(np.nan_to_num(x), 0, 1) * 255).astype(np.uint8)
    sheet = Image.new("RGB", (columns * (side + 2), -(-len(x) // columns) * (side + 2)), (176, 176, 176))
    for i, image in enumerate(pixels):
        one = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).convert("RGB")
        sheet.paste(
            one.resize((side, side), Image.Resampling.NEAREST), (i % columns * (side + 2), i // columns * (side + 2))
        )
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'
