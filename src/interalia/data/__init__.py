"""The data room: named data sets, folders, arrays and archives, read into plain arrays with fixed splits.

To add a data set, write one module with a function ``load(name, root, size, seed, download) -> Dataset`` and one entry
below. Nothing heavy is imported until a data set is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interalia.errors import UserError, unknown
from interalia.registry import Registry

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset, Mixture, Split
    from interalia.data.images import read_images
    from interalia.data.sampler import Sampler
    from interalia.data.store import Store, as_tensor

__all__ = [
    "REGISTRY", "Dataset", "Mixture", "Sampler", "Source", "Split", "Store", "as_tensor", "load", "read_images",
]  # fmt: skip

_HOMES = {  # imported at their first use
    "dataset": ["Dataset", "Mixture", "Split"],
    "sampler": ["Sampler"],
    "store": ["Store", "as_tensor"],
    "images": ["read_images"],
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True)
class Source:
    """A named data set.

    Attributes:
        name: what a person types.
        reader: the module of this room that reads it, or a function of one's own: ``(name, root, size, seed, download)`` to
            a `Dataset`, where the arguments are those of `load`.
        about: one line: what it is and how it is split.
        origin: where the files are downloaded from, or what they ship with.
        licence: what its makers ask of those who use it.
    """

    name: str
    reader: str | Callable[[str, Path | None, int | None, int, bool], Dataset]
    about: str
    origin: str
    licence: str

    def load(self, root: Path | None = None, size: int | None = None, seed: int = 0, download: bool = True) -> Dataset:
        """The data set; what the arguments mean is said at `interalia.data.load`."""
        read = self.reader
        if isinstance(read, str):
            read = importlib.import_module(f"{__name__}.{read}").load
        return read(self.name, root, size, seed, download)  # type: ignore[operator]


# The name, the module of this room that reads it, what it is and how it is split, where the files are from, the licence.
# fmt: off
_SOURCES = (
    Source("digits", "digits", "1,797 handwritten digits, 8x8 gray; 1,297 / 200 / 300, stratified",
           "ships with scikit-learn", "CC BY 4.0"),
    Source("mnist", "mnist", "70,000 handwritten digits, 28x28 gray; the last 10,000 of train are validation",
           "https://ossci-datasets.s3.amazonaws.com/mnist/", "CC BY-SA 3.0"),
    Source("fashion-mnist", "mnist", "70,000 articles of clothing, 28x28 gray; the last 10,000 of train are validation",
           "https://github.com/zalandoresearch/fashion-mnist", "MIT"),
    Source("svhn", "svhn",
           "630,420 house-number digits, 32x32 colour; train = extra (531,131), validation = the last 10,000 of train",
           "http://ufldl.stanford.edu/housenumbers/", "for non-commercial use only"),
    Source("cifar10", "cifar", "60,000 photographs of 10 classes, 32x32 colour; the last tenth of train is validation",
           "https://www.cs.toronto.edu/~kriz/cifar.html",
           "free to use; cite the technical report by A. Krizhevsky, 2009"),
    Source("celeba", "celeba",
           "202,599 faces with 40 attributes, cropped and resized to 64x64 colour; the official partition",
           "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (by hand: its host asks for a login)",
           "non-commercial research only; the photographs may not be published"),
    Source("mnist-inverted", "pairs",
           "two domains: MNIST, and MNIST inverted and turned by 90 degrees; 25,000 and 25,000, no digit in both",
           "https://ossci-datasets.s3.amazonaws.com/mnist/", "CC BY-SA 3.0"),
    Source("mnist-edges", "pairs", "two domains: MNIST, and its edges; 25,000 and 25,000, no digit in both",
           "https://ossci-datasets.s3.amazonaws.com/mnist/", "CC BY-SA 3.0"),
    Source("mnist-coloured", "pairs",
           "two domains: MNIST, and MNIST in two colours drawn for each image; 25,000 and 25,000, no digit in both",
           "https://ossci-datasets.s3.amazonaws.com/mnist/", "CC BY-SA 3.0"),
    Source("four-pixels", "pixels", "AVB's toy: four images of 2x2 pixels, of which one is set",
           "made here", "none needed"),
    Source("digits-inverted", "pairs",
           "two domains: scikit-learn's digits, and the same inverted and turned by 90 degrees; 649 and 648",
           "ships with scikit-learn", "CC BY 4.0"),
    Source("facades", "pairs",
           "two domains: photographs of house fronts, and their label maps, 64x64 colour; 7 / 1 / 2 tenths by number",
           "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz (by hand)",
           "free for research; the photographs belong to their makers"),
    Source("grid25", "mixtures",
           "25 Gaussians of standard deviation 0.05 on the grid {-4, -2, 0, 2, 4}^2, 100,000 points to train on",
           "drawn on the spot", "none needed"),
    Source("ring8", "mixtures", "8 Gaussians of standard deviation 0.01 on the unit circle, 100,000 points to train on",
           "drawn on the spot", "none needed"),
    Source("five", "mixtures",
           "5 Gaussians of standard deviation 0.2 at (0, 0) and (+-2, +-2), 2,048 points to train on",
           "drawn on the spot", "none needed"),
)
# fmt: on
REGISTRY: Registry[Source] = Registry("data", {source.name: source for source in _SOURCES}, base=Source)


def load(
    name_or_path: str | Path, root: Path | None = None, size: int | None = None, seed: int = 0, download: bool = True
) -> Dataset:
    """A data set by its name, or from a folder of images, a zip of images, a .npy or a .npz file.

    See also:
        `REGISTRY` for the names; `interalia.data.folders` for the layouts of folders and zips;
        `interalia.data.arrays` for the keys and the place of the channels in arrays.

    Arguments:
        name_or_path: a name in the catalogue (which wins over a folder of that name: write ``./mnist`` for the
            folder), or a path, relative to the working folder or to `root`.
        root: the folder that holds the files, directly or in a folder with the data set's name. What is missing is
            downloaded to ``root/NAME``, or to the cache folder where no root is given.
        size: images are cropped to their central square and resized to `size` x `size` pixels with antialiasing;
            None keeps them as they are (CelebA: the usual 64).
        seed: of the points that the synthetic mixtures draw to train on. Splits never depend on it.
        download: False to never touch the network.

    Raises:
        UserError: no such data set or path, files that are missing or damaged, images of mixed sizes.

    Example:
        >>> digits = load("digits")
        >>> digits.shape, len(digits.train), len(digits.validation), len(digits.test)
        ((1, 8, 8), 1297, 200, 300)
    """
    text = str(name_or_path)
    root = Path(root).expanduser() if root is not None else None
    if size is not None and size < 1:
        raise UserError(f"`size` is {size}, and images have at least 1 pixel a side; give for example `size=64`.")
    if root is not None and not root.is_dir():
        raise UserError(f"the folder {root} given as `root` does not exist; give the folder that holds the data.")
    if text in REGISTRY:
        return REGISTRY[text].load(root, size, seed, download)

    path = Path(text).expanduser()
    if root is not None and not path.exists():
        path = root / path
    kind = path.suffix.lower()
    if not path.exists():
        if "/" in text or "\\" in text or text.startswith((".", "~")) or kind:
            raise UserError(
                f"there is no file or folder {text}; give a folder of images, a .zip, .npy or .npz file, "
                f"or one of the names: {', '.join(sorted(REGISTRY))}."
            )
        raise unknown("data set", text, REGISTRY)
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"the file {path} is empty; copy or download it again.")
    if path.is_dir() or kind == ".zip":
        from interalia.data.folders import load_folder

        return load_folder(path, size)
    if kind in (".npy", ".npz"):
        from interalia.data.arrays import load_array

        return load_array(path, size)
    from interalia.data.images import SUFFIXES

    if kind in SUFFIXES:
        raise UserError(f"{path} is one image, and a data set needs many; give the folder that holds them.")
    raise UserError(f"{path} is not of a kind that is read; give a folder or .zip of images, a .npy or a .npz file.")
