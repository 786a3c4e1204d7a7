"""The options that commands share, how they open a run, and where they write."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from interalia import __version__
from interalia.errors import UserError
from interalia.registry import VARIABLE
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
    help="Train and evaluate generative models with an encoder (ALI/BiGAN, VAE/AVB, GANs), and use them: sample, encode, "
    "reconstruct, edit.",
    suppress_keyboard_interrupt=False,  # `main` prints what an interrupted command left
)

Plugins = Annotated[
    list[str] | None,
    Parameter(
        help=f"Module or .py file with custom components (also: the environment variable {VARIABLE}).", negative=""
    ),
]
RunPath = Annotated[Path, Parameter(help="Folder of a run, or a .safetensors file of its weights.")]
Images = Annotated[
    list[Path] | None,
    Parameter(help="Images, folders of images, or one array (.npy); by default held-out images of the run's data."),
]
Condition = Annotated[
    str | None,
    Parameter(
        help="Condition of a conditional model: a label for all images (3), or one label each (3,5,8). Attributes: the names "
        "of those that are on (Male,Smiling)."
    ),
]
Counts = Annotated[
    str | None,
    Parameter(
        help="Condition of a conditional model: a label for all samples (3), or a number of samples of each label "
        "(3:10,5:10). Attributes: the names of those that are on (Male,Smiling), or a number of samples of each combination "
        "(Male+Smiling:10,Male:10)."
    ),
]
Checkpoint = Annotated[
    Literal["last", "best"], Parameter(help="Weights of the last step, or the best by the run's monitored metric.")
]
TrustGenerator = Annotated[
    bool,
    Parameter(
        help="Open a generator that is a .pt2 file, which can execute any code of its author: the one of "
        "--pretrained-generator, or the copy in the run's folder.",
        negative="",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class RunOptions:
    """Options of a command that opens a run."""

    seed: Annotated[int, Parameter(help="Random seed.")] = 0
    device: Annotated[str, Parameter(help="Device: auto, cpu, cuda, cuda:1, mps or another of torch's.")] = "auto"
    checkpoint: Checkpoint = "last"
    trust_generator: TrustGenerator = False

    def open(self, run: Path) -> Trained:
        """Loads the game of a run, with the best weights or the last ones."""
        from interalia.runs.loading import load

        best = self.checkpoint == "best"
        trained = load(best_weights(run) if best else weights_or_folder(run), self.device, trust=self.trust_generator)
        return dataclasses.replace(trained, folder=Folder(run)) if best else trained


@Parameter(name="*")
@dataclass(frozen=True)
class TaskOptions(RunOptions):
    """Options of a command that opens a run and writes the result of a task.

    Attributes:
        out: File to write: .png, .jpg or .pdf for a picture, .npz for arrays, .csv for a table, .json for all of it; a name
            without an ending is a folder of one picture each. By default a file in the run's folder of figures.
    """

    out: Path | None = None

    def write(self, trained: Trained, run: Path, name: str, shown: TaskResult, separate: bool = False) -> None:
        """Writes the result of a task and prints its sentence; without --out into the file `name`, with a fitting ending."""
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
        other = picture_format(out)
        if separate or other is None or shown.figure is None:
            lower = out.with_suffix(out.suffix.lower()) if out.suffix.lower() in (".npz", ".csv", ".json") else out
            say(f"{first}: {showing.write(shown, out if separate else lower, separate)}", *more)
        else:
            save_picture(showing.png(shown) or b"", out, other)
            say(f"{first}: {out}", *more)


RUN_OPTIONS, TASK_OPTIONS = RunOptions(), TaskOptions()


def picture_format(out: Path) -> str | None:
    """Pillow's format for the ending of a file; None for .png, which needs no conversion, and for what is no picture."""
    from PIL import Image

    form = Image.registered_extensions().get(out.suffix.lower())
    return form if form in Image.SAVE and out.suffix != ".png" else None


def save_picture(png: bytes, out: Path, form: str) -> None:
    """Writes the picture of a PNG file in another format."""
    import io

    from PIL import Image

    found = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        (image if form == "PNG" else image.convert("RGB")).save(found, format=form)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(found.getvalue())


def best_weights(run: Path) -> Path:
    """The file of a run's best weights.

    Raises:
        UserError: the run has none.
    """
    path = Folder(weights_or_folder(run)).best
    if not path.exists():
        raise UserError(
            f"{run} has no best weights, since no evaluation during the training wrote any; leave out --checkpoint best."
        )
    return path


def weights_or_folder(run: Path) -> Path:
    """The path itself, the folder of a run or a file of weights.

    Raises:
        UserError: it is another file or folder inside a run's folder.
    """
    inside = next((parent for parent in list(run.parents)[:2] if (parent / "run.json").is_file()), None)
    if inside is None or (run / "run.json").is_file() or (run.suffix == ".safetensors" and run.is_file()):
        return run
    raise UserError(
        f"{run} is a part of the run {inside}; give that folder, {inside}, and choose its weights by --checkpoint last or "
        f"--checkpoint best."
    )


def inputs(
    trained: Trained,
    images: Sequence[Path] | None,
    count: int,
    seed: int,
    condition: str | None,
    options: Mapping[str, Any],
) -> tuple[Tensor, Tensor | None, NDArray[Any] | None]:
    """The user's images, or `count` of the run's test split drawn by the seed; the condition of a conditional game; and the
    labels of drawn images, where the data has some.

    Images to translate to a are of the other domain.
    """
    from interalia import reports
    from interalia.data import read_images

    if images:
        x = read_images(images, trained.game.data.shape)
        return x, None if condition is None else conditions(trained.game, condition, len(x)), None
    if condition is not None:
        raise UserError(
            "--condition is that of images which are given, and none are given; leave it out, or give images."
        )
    dataset = reports.dataset_of(trained)
    y = reports.held_out_conditions(trained.game, dataset, count, seed)
    x = reports.held_out_examples(dataset.other if dataset.other and options.get("to") == "a" else dataset, count, seed)
    labels = dataset.test.y
    return x, y, None if labels is None else labels[dataset.test.rows(count, seed)]


def counted_conditions(game: Game, text: str, count: int | None) -> tuple[Tensor, int]:
    """The condition of samples and their number, of --condition with counts, ``3:10,5:10``, or without.

    Raises:
        UserError: some groups have a count and others have none, or --count is given too, or what `conditions` raises.
    """
    import torch

    groups = [part.rpartition(":") for part in names(text) or []]
    if text in game.data.names or not any(colon and number.strip().isdecimal() for _, colon, number in groups):
        count = 64 if count is None else count
        return conditions(game, text, count), count
    if not all(name and number.strip().isdecimal() and int(number) for name, _, number in groups):
        raise UserError(
            f"--condition is {text!r}, and some of its parts have a number of samples; give each one, as in 3:10,5:10."
        )
    if count is not None:
        raise UserError("--condition has numbers of samples, so that --count is not needed; leave out --count.")
    y = torch.cat([conditions(game, name.replace("+", ","), int(number)) for name, _, number in groups])
    return y, len(y)


def conditions(game: Game, text: str, count: int) -> Tensor:
    """Labels, shape (count,), or attributes, shape (count, labels), of --condition."""
    import torch

    from interalia import tasks

    if not game.data.condition:
        raise UserError(f"this {type(game).__name__} is not conditional; leave out --condition.")
    found = tasks.indices_of(game, text)
    if game.data.attributes:
        return torch.tensor([float(j in found) for j in range(game.data.condition)]).expand(count, -1)
    if len(found) not in (1, count):
        raise UserError(
            f"--condition gives {len(found)} labels for {count} images; give one for all of them, or one each."
        )
    return torch.tensor(found * (count if len(found) == 1 else 1))


def names(text: str | None) -> list[str] | None:
    """The names in a text, separated by commas."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def say(*lines: str) -> None:
    """Prints lines at once, without buffering."""
    print(*lines, sep="\n", flush=True)


def say_to_stderr(*lines: str) -> None:
    """Prints to stderr what is not the output of a command."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)
