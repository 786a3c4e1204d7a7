"""The program's root command, options that several commands have, and functions that open a run, read images and
conditions, and write results.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from interalia import __version__, packaged_toml
from interalia.errors import UserError, check_seed, printable
from interalia.runs.folder import Folder

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.data.scaling import Units
    from interalia.runs.loading import Loaded
    from interalia.tasks.result import TaskResult

HELP = packaged_toml("interalia.cli", "help.toml")
# kind -> name of each component of the library -> its description
DESCRIPTIONS: dict[Any, Any] = packaged_toml("interalia", "components.toml")


def number_of_processes() -> int:
    """The number of processes that a launcher such as torchrun has started for this command; 1 without a launcher."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdecimal() else 1


# an interruption is not suppressed: `main` prints what an interrupted command left
app = App(name="interalia", version=__version__, help=HELP["program"], suppress_keyboard_interrupt=False)

Plugins = Annotated[list[str] | None, Parameter(help=HELP["options"]["plugin"], negative="")]
RunPath = Annotated[Path, Parameter(help=HELP["options"]["run"])]
Images = Annotated[list[Path] | None, Parameter(help=HELP["options"]["images"])]
Condition = Annotated[str | None, Parameter(help=HELP["options"]["condition"])]
Counts = Annotated[str | None, Parameter(help=HELP["options"]["counts"])]
TrustGenerator = Annotated[bool, Parameter(help=HELP["options"]["trust_generator"], negative="")]


@Parameter(name="*")
@dataclass(frozen=True)
class RunOptions:
    """The options that all commands have that load a trained run, such as --device.

    Attributes:
        seed: Random seed.
        device: Device: auto, cpu, cuda, cuda:1 or another of torch's.
        checkpoint: Weights of the last step, or the best by the run's monitored metric.
        trust_generator: True to open the run's copy of its generator if it is a .pt2 file, which can execute code.
        data: The folder or file of the run's training data, if they have moved.
        data_dir: The folder of the files of a named data set, if they have moved.
        data_b: The folder or file of the run's second data set, if it has moved.
    """

    seed: int = 0
    device: str = "auto"
    checkpoint: Literal["last", "best"] = "last"
    trust_generator: TrustGenerator = False
    data: Path | None = None
    data_dir: Path | None = None
    data_b: Path | None = None

    def open(self, run: Path) -> Loaded:
        """Loads and returns the trained game of a run, with the last or best weights by the option `checkpoint`.

        Arguments:
            run: the run's folder, or a file of weights.

        Raises:
            UserError: there is no such run, it cannot be loaded, or it has no best weights; or the seed is out of its range.
        """
        from interalia.runs.loading import load

        check_seed(self.seed)
        best = self.checkpoint == "best"
        moved: dict[str, Any] = {"data": self.data, "data_dir": self.data_dir, "data_b": self.data_b}
        weights = best_weights(run) if best else weights_or_folder(run)
        trained = load(weights, self.device, trust=self.trust_generator, **moved)
        return dataclasses.replace(trained, folder=Folder(run)) if best else trained


@Parameter(name="*")
@dataclass(frozen=True)
class TaskOptions(RunOptions):
    """The options that all commands have that apply a task to a trained run: those of `RunOptions`, and --out.

    Attributes:
        out: File to write: .png, .jpg or .pdf for a picture, .npz for arrays, .csv for a table, .json for all of it; a name
            without an ending is a folder of one picture each. By default a file in the run's folder of figures.
    """

    out: Path | None = None

    def write(self, trained: Loaded, run: Path, name: str, result: TaskResult, separate: bool = False) -> None:
        """Writes the result of a task to a file, and prints its text with the path of the file. A table is printed and not
        written if the option `out` is None.

        Arguments:
            trained: the trained game.
            run: the run's folder or file of weights; without a folder of figures the result is written beside this file.
            name: the name of the file if `out` is None, without its suffix, which is .png for a figure and .npz otherwise.
            result: the result.
            separate: True to write a folder with a picture of each image.
        """
        from interalia.reports import showing

        first, *more = result.text.splitlines()
        if self.out is None and result.printed:
            rows = zip(*result.arrays.values(), strict=True)
            say(*(f"{image}: {label} ({100 * max(p):.1f} %)" for image, label, *p in rows), *more)
            return
        name += "" if separate else ".png" if result.figure else ".csv" if result.is_table else ".npz"
        out = self.out or (trained.folder.figures / name if trained.folder else run.with_name(name))
        out, form = self.check(result, out, separate)
        if form:
            showing.write_as(result, out, form)
        else:
            showing.write(result, out, separate)
        say(f"{first}: {out}", *more)

    def check(self, result: TaskResult, out: Path, separate: bool = False) -> tuple[Path, str | None]:
        """Returns the path to which a result is written, `out` with one of some suffixes in lower case, and the name of its
        picture format as `picture_format` returns it.

        Arguments:
            result: the result, or one without content that has as many dimensions and the same kinds of figures.
            out: the file or folder that the user gave.
            separate: True to write a folder with a picture of each image.

        Raises:
            UserError: the result cannot be written in the format of that suffix, or not to that path.
        """
        from interalia.reports import showing

        form = None if separate or result.figure is None else picture_format(out)
        lower = out.with_suffix(out.suffix.lower())
        out = lower if lower.suffix in (".npz", ".csv", ".json") and not form else out
        if form:
            showing.check_writable(out)
        else:
            showing.checked_suffix(result, out, separate)
        return out, form


RUN_OPTIONS, TASK_OPTIONS = RunOptions(), TaskOptions()


def option(name: str, default: Any, hint: Any) -> inspect.Parameter:
    """Returns a keyword-only parameter for the signature of a command, where it defines an option.

    Arguments:
        name: the name of the parameter; "batch_size" is the option --batch-size.
        default: its default.
        hint: its type annotation, which may have the help of the option.
    """
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def make_command(
    parameters: Sequence[inspect.Parameter], doc: str | None, work: Callable[[dict[str, Any]], None]
) -> Callable[..., None]:
    """Returns a function with a given signature and docstring, from which the library cyclopts makes a command and its help.

    Arguments:
        parameters: the parameters of the signature.
        doc: the docstring.
        work: the function that does the work; it gets a dictionary of the values of all parameters, by name.
    """
    signature = inspect.Signature(parameters)

    def command(*positional: Any, **named: Any) -> None:
        """Calls the function `work` with a dictionary: the arguments of this call and the defaults of others, by name."""
        bound = signature.bind(*positional, **named)
        bound.apply_defaults()
        work(bound.arguments)

    command.__doc__ = doc
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def picture_format(out: Path) -> str | None:
    """Returns Pillow's name of the picture format that a file's suffix stands for, such as "JPEG" for .jpg. None for .png,
    which needs no conversion, and for suffixes that are no picture format.
    """
    from PIL import Image

    form = Image.registered_extensions().get(out.suffix.lower())
    return form if form in Image.SAVE and out.suffix != ".png" else None


def best_weights(run: Path) -> Path:
    """Returns the path of the file with the best weights, by the monitored metric, of the run in the folder `run`.

    Raises:
        UserError: there is no such file.
    """
    path = Folder(weights_or_folder(run)).best
    if not path.exists():
        raise UserError(
            f"{run} has no best weights, since no evaluation during the training wrote any; leave out --checkpoint best."
        )
    return path


def weights_or_folder(run: Path) -> Path:
    """Returns the path `run` unchanged, after a check that it is not inside a run's folder.

    Raises:
        UserError: it is a file or folder inside a run's folder, such as that of checkpoints, and no .safetensors file.
    """
    inside = next((parent for parent in list(run.parents)[:2] if (parent / "run.json").is_file()), None)
    if inside is None or (run / "run.json").is_file() or (run.suffix == ".safetensors" and run.is_file()):
        return run
    raise UserError(
        f"{run} is a part of the run {inside}; give that folder, {inside}, and choose its weights by --checkpoint last or "
        f"--checkpoint best."
    )


def inputs(
    trained: Loaded, images: Sequence[Path] | None, count: int | None, seed: int, condition: str | None, to: str | None
) -> tuple[Tensor, Tensor | None, Any]:
    """Returns the images that a task is applied to, with their conditions and their labels.

    Arguments:
        trained: a trained game.
        images: paths of images, of folders or zips of images, or of arrays; None or empty for test images of the run's data.
        count: number of test images; None for all, in their order.
        seed: random seed by which test images are drawn.
        condition: the value of the option --condition, for the images at these paths; None without a condition.
        to: the value of the option --to; for "a" the test images are those of the second domain, else of the first.

    Returns:
        A tuple: the images, shape (n, *shape); the conditions of a conditional game, shape (n,) or (n, number of labels or
        attributes), or None; the labels of test images, an array of shape (n,), or None if there are none.

    Raises:
        UserError: a file cannot be read, or a condition is given without images, or does not fit.
    """
    from interalia import reports
    from interalia.data import read_images
    from interalia.tasks import units_of
    from interalia.tasks.calling import named_conditions

    if images:
        units = units_of(trained.game, "b" if to == "a" else "a")
        for line in convert_lines(images, trained, units):
            say(line)
        crop = "none" if trained.run.crop == "none" else "center"
        x = read_images(images, trained.game.data.shape, units, crop)
        return x, None if condition is None else named_conditions(trained.game, condition, len(x)), None
    if condition is not None:
        raise UserError(
            "--condition is that of images which are given, and none are given; leave it out, or give images."
        )
    dataset = reports.dataset_of(trained)
    y = reports.held_out_conditions(trained.game, dataset, count, seed)
    x = reports.held_out_examples(dataset.other if dataset.other and to == "a" else dataset, count, seed)
    labels = dataset.test.y
    return x, y, None if labels is None else labels[dataset.test.rows(count, seed)]


def convert_lines(images: Sequence[Path], trained: Loaded, units: Units | None) -> list[str]:
    """Returns at most two lines on how images of the user are converted to those that the game was trained on.

    Arguments:
        images: paths of images, and of folders or zips of images.
        trained: the trained game.
        units: the units of the data that it was trained on; None if they were not scaled.
    """
    from interalia.data import survey

    shape = trained.game.data.shape
    found = survey.survey(images) if len(shape) == 3 else None
    return [] if found is None else survey.conversion(found, shape, trained.run.crop, units)


def split_names(text: str) -> list[str]:
    """Returns the names in a text that are separated by commas, without blanks around them; empty names are left out."""
    return [name.strip() for name in text.split(",") if name.strip()]


def say(*lines: str) -> None:
    """Prints lines to standard output and flushes it, so that a program that reads the output has them at once."""
    print(*map(printable, lines), sep="\n", flush=True)
