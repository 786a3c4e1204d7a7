"""The commands that apply a task to a run: one for each function of `interalia.tasks.verbs`, whose arguments are options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from interalia.cli import common
from interalia.errors import UserError, at_least_one
from interalia.tasks import verbs
from interalia.tasks.result import Figure, TaskResult

# arguments of a verb's function that are no options: the command makes their values
MADE = ("game", "x", "y", "names", "labels", "dataset", "seed")


@dataclass(frozen=True)
class Task:
    """The definition of a command such as `interalia encode`, which applies a task to a trained run.

    Attributes:
        verb: the name of the command and of its function in `interalia.tasks.verbs`.
        file: the name, without suffix, of the file that is written if --out is not given; "{to}" in it is replaced by the
            value of the option --to.
        needs: the names of the capabilities in `interalia.games.capabilities` that the game must have. They are names because
            the import of that module imports torch.
        count: the default number of test images, which are used if the user gives no images; 0 for all of them.
        pairs: True if the task takes pairs of images; `count` is then a number of pairs.
        separate: True if the command can write one file for each image.
        result: "images", which are drawn as a figure, "latents", or "table".
        table: True if the command can write a table about the images as a further file, by its option --csv.
    """

    verb: str
    file: str
    needs: Sequence[str]
    count: int = 0
    pairs: bool = False
    separate: bool = False
    result: str = "images"
    table: bool = False

    @property
    def arguments(self) -> dict[str, inspect.Parameter]:
        """The parameters of the function `verb` in `interalia.tasks.verbs`, by name."""
        return dict(inspect.signature(getattr(verbs, self.verb)).parameters)

    def parameters(self) -> list[inspect.Parameter]:
        """Returns the parameters of the command's signature: the run, the images if the task takes some, and the options."""
        arguments, run = self.arguments, inspect.Parameter.POSITIONAL_OR_KEYWORD
        types = dict.fromkeys(("Game", "Tensor", "Dataset", "ArrayLike"), Any)
        hints = get_type_hints(getattr(verbs, self.verb), localns=types)
        found = [inspect.Parameter("run", run, annotation=common.RunPath)]
        if "x" in arguments:
            found += [inspect.Parameter("images", run, default=None, annotation=common.Images)]
            default = f"by default {self.count or 'all'}{', or all with --worst' if 'worst' in arguments else ''}"
            help = f"Number of {'pairs of ' if self.pairs else ''}held-out images, where none are given; {default}."
            counted = Annotated[int | None, Parameter(help=help)]
            found += [common.option("pairs" if self.pairs else "count", None, counted)]
        found += [common.option(name, a.default, hints[name]) for name, a in arguments.items() if name not in MADE]
        if "y" in arguments:
            found += [common.option("condition", None, common.Condition if "x" in arguments else common.Counts)]
        if self.separate:
            help = "Write each image as a separate file into the folder --out."
            found += [common.option("separate", False, Annotated[bool, Parameter(help=help)])]
        if self.table:
            hint = Annotated[Path | None, Parameter(help=common.HELP["options"]["csv"])]
            found += [common.option("csv", None, hint)]
        return [*found, common.option("options", common.TASK_OPTIONS, common.TaskOptions)]

    def empty_result(self, dimensions: int, columns: bool = False) -> TaskResult:
        """Returns a result without content that can be written in the same formats as a result of the task.

        Arguments:
            dimensions: the number of dimensions of the game's examples, 1 for vectors, which are not drawn.
            columns: True if the game was trained on a table.
        """
        import numpy as np

        figure = Figure("grid", {}) if self.result == "images" and dimensions > 1 else None
        parts = {"": figure} if figure and (self.separate or self.verb == "traverse") else {}
        rows = self.result == "table" or (columns and self.verb in ("generate", "reconstruct", "translate"))
        found = TaskResult("", {"": np.empty(1 if rows else (1, 1))}, figure, parts)
        return found.with_table({"": []}) if self.table or self.result == "latents" else found

    def apply(self, given: dict[str, Any]) -> None:
        """Loads a run, applies the task to it, and writes and prints the result.

        Arguments:
            given: the values of the parameters that `parameters` returns, by name.
        """
        from interalia import reports
        from interalia.games import capabilities
        from interalia.reports import showing
        from interalia.tasks.calling import counted_conditions

        run, options, csv = given.pop("run"), given.pop("options"), given.pop("csv", None)
        images, condition, separate = (given.pop(name, None) for name in ("images", "condition", "separate"))
        trained = options.open(run)
        game, arguments, seed = trained.game, self.arguments, options.seed
        refined = self.verb == "reconstruct" and given["refine_steps"]
        needs = [getattr(capabilities, name) for name in (["Generates"] if refined else self.needs)]
        capabilities.require(game, needs[0], self.verb, *needs[1:])
        if options.out is not None and game.data.shape:
            columns = "columns" in game.data.units
            options.check(self.empty_result(len(game.data.shape), columns), options.out, separate)
        elif options.out is None and self.result != "table":  # before the work, as it would be lost
            showing.check_writable((trained.folder.figures if trained.folder else run.parent) / f"{self.file}.png")
        if csv is not None:
            if csv.suffix.lower() != ".csv":
                raise UserError(f"--csv is {csv}, and a table is written as .csv; give a name that ends in .csv.")
            showing.check_writable(csv := csv.with_suffix(".csv"))
        made: dict[str, Any] = {"seed": seed, "dataset": functools.partial(reports.dataset_of, trained)}
        if "x" in arguments:
            counted = "pairs" if self.pairs else "count"
            if (count := given.pop(counted)) is None:
                count = None if given.get("worst") else self.count or None  # None for all
            if count is not None:
                at_least_one(**{counted: count})
                count *= 1 + self.pairs
            made["x"], made["y"], made["labels"] = common.inputs(
                trained, images, count, seed, condition, given.get("to")
            )
            if self.pairs and not images and len(made["x"]) % 2 == 0:  # pair k is the same for every number of pairs
                pairs = {name: made[name].unflatten(0, (-1, 2)) for name in ("x", "y") if made[name] is not None}
                made |= {name: value.transpose(0, 1).flatten(0, 1) for name, value in pairs.items()}
            if self.pairs and not images:  # there may be fewer test images, in an odd number
                even = len(made["x"]) // 2 * 2 or len(made["x"])  # the error names a single one
                made["x"], made["y"] = made["x"][:even], None if made["y"] is None else made["y"][:even]
            made["names"] = names_of(images, len(made["x"]))
        elif condition is not None:
            made["y"], given["count"] = counted_conditions(game, condition, given["count"])
        made = {name: value for name, value in made.items() if name in arguments}
        result = getattr(verbs, self.verb)(game, **made, **given)
        in_parts = self.verb == "traverse" and options.out is None and bool(result.parts)
        options.write(trained, run, self.file.format(**given), result, separate or in_parts)
        if csv is not None:
            common.say(f"table: {showing.write(result, csv)}")
        if "x_hat" in result.arrays and len(made["x"]) > 1:
            common.say(showing.reconstruction_errors(game, made["x"], result.arrays["x_hat"]))


def names_of(images: list[Path] | None, count: int) -> list[str]:
    """Returns a name for each of `count` images: that of its file or, if it is a test image or one of several images in an
    array, its index from 0 as text.

    Arguments:
        images: paths of images, of folders of images, or of one .npy file; None for test images.
        count: number of images.
    """
    from interalia.data.images import is_array, list_images

    given = [path for path in images or () if not is_array(path)]
    names = [collection.label(name) for collection, name in list_images(given)]
    return names if len(names) == count else [str(row) for row in range(count)]


for verb, fields in common.HELP["tasks"].items():
    task = Task(verb, **fields)
    function = common.make_command(task.parameters(), getattr(verbs, verb).__doc__, task.apply)
    common.app.command(function, name=verb)
