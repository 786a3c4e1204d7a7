"""What the commands have in common: their flags, what they open, and where they write."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from interalia import __version__
from interalia.disk import writing
from interalia.errors import UserError
from interalia.runs.folder import Folder

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.games import Game
    from interalia.runs.loading import Trained

app = App(
    name="interalia",
    version=__version__,
    help="Adversarially learned inference: train models that generate and infer, use them, and measure them.",
)

RunFolder = Annotated[Path, Parameter(help="The folder of a run, or a .safetensors file exported from one.")]
Images = Annotated[list[Path] | None, Parameter(help="Images, or folders of them; by default held-out ones.")]
Told = Annotated[
    str | None,
    Parameter(
        help="What a conditional game is told of given images: a label for all of them or one each, with commas between "
        "them; or the names of the attributes that they have."
    ),
]
LevelName = Annotated[Literal["upper", "lower"], Parameter(help="Of latents, of a game with two levels.")]
Seed = Annotated[int, Parameter(help="Of the random numbers.")]
Out = Annotated[Path | None, Parameter(help="The file to write; by default one in the run's folder of figures.")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda ...")]
TrustGenerator = Annotated[
    bool,
    Parameter(
        help="Open the generator where it is a .pt2 file, the one named or the copy that a run keeps, although its maker can "
        "have any code executed by that.",
        negative="",
    ),
]


def opened(run: Path, device: str, trust_generator: bool, home: Path | None = None) -> Trained:
    from interalia.runs.loading import load

    trained = load(run, device, trust=trust_generator)
    return trained if home is None else dataclasses.replace(trained, folder=Folder(home))


def best_of(run: Path) -> Path:
    path = Folder(run).best
    if not path.exists():
        raise UserError(f"{run} keeps no best weights: it was never evaluated in training; leave out --best.")
    return path


def given_images(trained: Trained, images: Sequence[Path]) -> Tensor:
    """The user's images, as the run's networks take them.

    Raises:
        UserError: they are images and arrays at once, or what `arrays` and `read_images` raise.
    """
    held = [path for path in images if path.suffix in (".npy", ".npz")]
    if len(held) == len(images):
        return arrays(images, trained.game.data.shape)
    if held:
        raise UserError(f"{held[0]} is an array among images; give either arrays or images.")
    from interalia.data.files import read_images

    return read_images(images, trained.game.data.shape)


def arrays(paths: Sequence[Path], shape: tuple[int, ...]) -> Tensor:
    """What .npy and .npz files hold (the array x, or the first), one after the other, as a game of that shape takes it.

    Raises:
        UserError: a file cannot be read, or holds rows of another shape, or numbers that no image or vector has.
    """
    import numpy as np
    import torch

    from interalia.data.arrays import check_finite
    from interalia.data.store import as_tensor

    parts = []
    for path in paths:
        try:
            found = np.load(path, allow_pickle=False)
            array = found if isinstance(found, np.ndarray) else found["x" if "x" in found else found.files[0]]
        except FileNotFoundError:
            raise UserError(f"there is no array {path}; check its name.") from None
        except (OSError, ValueError, IndexError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"the array in {path} cannot be read ({error}); write it with numpy.save.") from None
        image = len(shape) == 3
        what = "images as uint8 or as numbers in [0, 1]" if image else "vectors of numbers"
        if array.dtype.kind not in "buif" or tuple(array.shape[1:]) != shape or not array.size:
            raise UserError(
                f"{path} holds {array.dtype} of shape {array.shape}, and expected were {what}, of shape (n, "
                f"{', '.join(map(str, shape))}); convert it."
            )
        check_finite(array, str(path))
        if image and array.dtype != np.uint8 and not 0 <= array.min() <= array.max() <= 1:
            raise UserError(
                f"{path} holds numbers from {array.min():g} to {array.max():g}, and expected were {what}; convert it."
            )
        parts.append(as_tensor(array if array.dtype == np.uint8 else array.astype(np.float32)))
    return torch.cat(parts)


def inputs(
    trained: Trained, images: Sequence[Path] | None, count: int, seed: int, told: str | None
) -> tuple[Tensor, Tensor | None]:
    """The user's images, or `count` of the run's test split drawn by seed, and what a conditional game is told of them."""
    from interalia import reports

    if images:
        x = given_images(trained, images)
        return x, None if told is None else conditions(trained.game, told, len(x))
    if told is not None:
        raise UserError("--told says what given images are, and none are given; leave it out, or give images.")
    dataset = reports.dataset_of(trained)
    return reports.held_out(dataset, count, seed), reports.conditions(trained.game, dataset, count, seed)


def places(game: Game, text: str) -> list[int]:
    """Which of a game's labels or attributes are named, with commas between them; a name may hold a comma itself where it
    is named alone."""
    from interalia import tasks

    words = [text] if text in game.data.names else [word.strip() for word in text.split(",") if word.strip()]
    return [tasks.place(game.data.names, word, "attribute" if game.data.attributes else "label") for word in words]


def conditions(game: Game, told: str, count: int) -> Tensor:
    """Labels, shape (count,), or attributes, shape (count, labels), from --told."""
    import torch

    if not game.data.condition:
        raise UserError(f"this {type(game).__name__} is told nothing; leave out --told.")
    found = places(game, told)
    if game.data.attributes:
        return torch.tensor([float(j in found) for j in range(game.data.condition)]).expand(count, -1)
    if len(found) not in (1, count):
        raise UserError(f"--told gives {len(found)} labels for {count} images; give one for all of them, or one each.")
    return torch.tensor(found * (count if len(found) == 1 else 1))


def figure(trained: Trained, run: Path, name: str) -> Path:
    """Where a picture goes that no --out was given for."""
    return trained.folder.figures / name if trained.folder else run.with_name(name)


def save_arrays(path: Path, **arrays: Any) -> None:
    import numpy as np

    if path.suffix != ".npz":
        raise UserError(f"--out is {path}, and arrays are written as .npz; give a name that ends in .npz.")
    with writing(path, "wb") as file:
        np.savez(file, allow_pickle=False, **{key: np.asarray(value) for key, value in arrays.items()})


def picture(path: Path) -> Path:
    """The path, if it is one of a picture or of arrays.

    Raises:
        UserError: it ends in something else.
    """
    if path.suffix not in (".png", ".npz"):
        raise UserError(f"--out is {path}, and it must end in .png for a picture, or in .npz for arrays.")
    return path


def positive(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"--{name} is {value}, and it must be at least 1.")


def say(text: str) -> None:
    print(text, flush=True)
