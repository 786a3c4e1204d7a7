"""What the commands have in common: their flags, what they open, and where they write."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from interalia import __version__
from interalia.errors import UserError
from interalia.runs.folder import Folder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from interalia.games import Game
    from interalia.runs.loading import Trained
    from interalia.tasks.result import TaskResult

app = App(
    name="interalia",
    version=__version__,
    help="Adversarially learned inference: train models that generate and infer, use them, and measure them.",
    suppress_keyboard_interrupt=False,  # `main` says what an interrupted command left
)

RunFolder = Annotated[Path, Parameter(help="The folder of a run, or a .safetensors file exported from one.")]
Images = Annotated[list[Path] | None, Parameter(help="Images, or folders of them; by default held-out ones.")]
Told = Annotated[
    str | None,
    Parameter(
        help="What a conditional game is told of given images or samples: a label for all of them or one each, with commas "
        "between them; or the names of the attributes that they have."
    ),
]
TrustGenerator = Annotated[
    bool,
    Parameter(
        help="Open the generator where it is a .pt2 file, the one named or the copy that a run keeps, although its maker can "
        "have any code executed by that.",
        negative="",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Opening:
    """How a run is opened."""

    seed: Annotated[int, Parameter(help="Of the random numbers.")] = 0
    device: Annotated[str, Parameter(help="auto, cpu, cuda ...")] = "auto"
    trust_generator: TrustGenerator = False

    def __call__(self, run: Path, best: bool = False) -> Trained:
        from interalia.runs.loading import load

        trained = load(best_of(run) if best else run, self.device, trust=self.trust_generator)
        return dataclasses.replace(trained, folder=Folder(run)) if best else trained


@Parameter(name="*")
@dataclass(frozen=True)
class Asking(Opening):
    """How a run is opened, and where an answer of its game is written.

    Attributes:
        out: The file to write: .png a picture, .npz arrays, .csv a table, .json all of it; without an ending a folder for one
            picture each; by default in the run's folder of figures.
    """

    out: Path | None = None

    def write(self, trained: Trained, run: Path, name: str, shown: TaskResult, separate: bool = False) -> None:
        """Writes an answer and prints what it says; without --out into the file `name`, with the ending that fits."""
        from interalia.reports import showing

        out = self.out
        if out is None:
            name += "" if separate else ".png" if shown.figure else ".npz"
            out = trained.folder.figures / name if trained.folder else run.with_name(name)
        first, *more = shown.text.splitlines()
        if self.out is None and shown.is_table:
            rows = zip(*shown.arrays.values(), strict=True)
            say(*(f"{image}: {label} ({100 * max(p):.1f} %)" for image, label, *p in rows), *more)
            return
        say(f"{first}: {showing.write(shown, out, separate)}", *more)


OPENING, ASKING = Opening(), Asking()


def best_of(run: Path) -> Path:
    path = Folder(run).best
    if not path.exists():
        raise UserError(f"{run} keeps no best weights: it was never evaluated in training; leave out --best.")
    return path


def inputs(
    trained: Trained, images: Sequence[Path] | None, count: int, seed: int, told: str | None, given: Mapping[str, Any]
) -> tuple[Tensor, Tensor | None, NDArray[Any] | None]:
    """The user's images, or `count` of the run's test split drawn by seed, what a conditional game is told of them, and the
    labels of those that were drawn, where the data has some.

    Those that are translated to a are of the other domain.
    """
    from interalia import reports
    from interalia.data import read_images

    if images:
        x = read_images(images, trained.game.data.shape)
        return x, None if told is None else conditions(trained.game, told, len(x)), None
    if told is not None:
        raise UserError("--condition says what given images are, and none are given; leave it out, or give images.")
    dataset = reports.dataset_of(trained)
    y = reports.held_out_conditions(trained.game, dataset, count, seed)
    x = reports.held_out_examples(dataset.other if dataset.other and given.get("to") == "a" else dataset, count, seed)
    labels = dataset.test.y
    return x, y, None if labels is None else labels[dataset.test.rows(count, seed)]


def conditions(game: Game, told: str, count: int) -> Tensor:
    """Labels, shape (count,), or attributes, shape (count, labels), from --condition."""
    import torch

    from interalia import tasks

    if not game.data.condition:
        raise UserError(f"this {type(game).__name__} is told nothing; leave out --condition.")
    found = tasks.indices_of(game, told)
    if game.data.attributes:
        return torch.tensor([float(j in found) for j in range(game.data.condition)]).expand(count, -1)
    if len(found) not in (1, count):
        raise UserError(
            f"--condition gives {len(found)} labels for {count} images; give one for all of them, or one each."
        )
    return torch.tensor(found * (count if len(found) == 1 else 1))


def listed(text: str | None) -> list[str] | None:
    """The names in a text, with commas between them."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


def say_apart(*lines: str) -> None:
    """Prints to stderr what is not the output of a command."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)
