"""generate, encode, reconstruct ...: a command for each verb of `interalia.tasks.verbs`, with its arguments for options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from interalia.cli.common import (
    TASK_OPTIONS,
    Condition,
    Counts,
    Images,
    RunPath,
    TaskOptions,
    app,
    counted_conditions,
    inputs,
    say,
)  # fmt: skip
from interalia.errors import at_least_one
from interalia.tasks import verbs

# arguments of a verb that are no options: the command makes them
MADE = ("game", "x", "y", "names", "labels", "dataset", "seed")


@dataclass(frozen=True)
class Task:
    """A command and its verb.

    Attributes:
        verb: the name of both.
        file: the file that is written without --out, without its ending.
        needs: names of the capabilities that a game needs; names, since none is imported before it is used.
        count: number of held-out images where none are given.
        pairs: the number is one of pairs.
        separate: images can be written one by one.
    """

    verb: str
    file: str
    needs: Sequence[str]
    count: int = 0
    pairs: bool = False
    separate: bool = False

    @property
    def arguments(self) -> dict[str, inspect.Parameter]:
        """The parameters of the verb, by name."""
        return dict(inspect.signature(getattr(verbs, self.verb)).parameters)

    def signature(self) -> list[inspect.Parameter]:
        """The run, the images and the options of the command."""
        arguments = self.arguments
        hints = get_type_hints(
            getattr(verbs, self.verb), localns=dict.fromkeys(("Game", "Tensor", "Dataset", "ArrayLike"), Any)
        )
        found = [inspect.Parameter("run", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=RunPath)]
        if "x" in arguments:
            found += [inspect.Parameter("images", found[0].kind, default=None, annotation=Images)]
            help = f"Number of {'pairs of ' if self.pairs else ''}held-out images, where none are given."
            counted = Annotated[int, Parameter(help=help)]
            found += [option("pairs" if self.pairs else "count", self.count, counted)]
        found += [option(name, a.default, hints[name]) for name, a in arguments.items() if name not in MADE]
        if "y" in arguments:
            found += [option("condition", None, Condition if "x" in arguments else Counts)]
        if self.separate:
            help = "Write each image as a separate file into the folder --out."
            found += [option("separate", False, Annotated[bool, Parameter(help=help)])]
        return [*found, option("options", TASK_OPTIONS, TaskOptions)]

    def command(self) -> Callable[..., None]:
        """Returns the command as a function with the signature and the help of its options."""
        signature = inspect.Signature(self.signature())

        def command(*words: Any, **options: Any) -> None:
            bound = signature.bind(*words, **options)
            bound.apply_defaults()
            given = bound.arguments
            self.work(given.pop("run"), given.pop("options"), given)

        command.__doc__ = getattr(verbs, self.verb).__doc__
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        return command

    def work(self, run: Path, options: TaskOptions, given: dict[str, Any]) -> None:
        """Runs the verb on a run and saves its results."""
        from interalia import reports
        from interalia.games import capabilities

        images, condition, separate = (given.pop(name, None) for name in ("images", "condition", "separate"))
        trained = options.open(run)
        game, arguments, seed = trained.game, self.arguments, options.seed
        refined = "refine_steps" in given and given["refine_steps"] and self.verb == "reconstruct"
        needs = [getattr(capabilities, name) for name in (["Generates"] if refined else self.needs)]
        capabilities.require(game, needs[0], self.verb, *needs[1:])
        made: dict[str, Any] = {"seed": seed, "dataset": functools.partial(reports.dataset_of, trained)}
        if "x" in arguments:
            counted = "pairs" if self.pairs else "count"
            at_least_one(**{counted: given[counted]})
            count = given.pop(counted) * (1 + self.pairs)
            made["x"], made["y"], made["labels"] = inputs(trained, images, count, seed, condition, given)
            made["names"] = names_of(images, len(made["x"]))
        elif condition is not None:
            made["y"], given["count"] = counted_conditions(game, condition, given["count"])
        made = {name: value for name, value in made.items() if name in arguments}
        shown = getattr(verbs, self.verb)(game, **made, **given)
        in_parts = self.verb == "traverse" and options.out is None and bool(shown.parts)
        options.write(trained, run, self.file.format(**given), shown, separate or in_parts)
        if "x_hat" in shown.arrays and len(made["x"]) > 1:
            say(errors(made["x"], shown.arrays["x_hat"]))


def option(name: str, default: Any, kind: Any) -> inspect.Parameter:
    """Returns a keyword-only parameter for the signature of a command; the command line has an option of this name for it."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def names_of(images: list[Path] | None, count: int) -> list[str]:
    """The files' names; numbers of held-out images, and of an array of many."""
    from interalia.data.images import list_images

    names = [collection.label(name) for collection, name in list_images(images or ())]
    return names if len(names) == count else [str(row) for row in range(count)]


def errors(x: Any, x_hat: Any) -> str:
    """The reconstruction error of images, in words."""
    from interalia.metrics.inference import reconstruction

    found = reconstruction(x, x.new_tensor(x_hat))
    return (
        f"mean L2 error {found.error:.3f}, {found.ratio:.3f} of what another image's reconstruction "
        f"gives ({found.mismatched:.3f})" + (f"; PSNR {found.psnr:.1f} dB" if x.ndim == 4 else "")
    )


for task in (
    Task("generate", "generated", ["Generates"], separate=True),
    Task("reconstruct", "reconstructed", ["Infers", "Generates"], 40),
    Task("interpolate", "interpolated", ["Infers", "Generates"], 8, pairs=True),
    Task("traverse", "traversals", ["Generates"]),
    Task("manifold", "manifold", ["Generates"]),
    Task("translate", "translated_to_{to}", ["Translates"], 20, separate=True),
    Task("encode", "encoded", ["Infers"], 40),
    Task("neighbours", "neighbours", ["Infers"], 10),
    Task("classify", "classified", ["Classifies"], 40),
    Task("edit", "edited", ["Infers", "Generates"], 8),
    Task("complete", "completed", ["Generates"], 20, separate=True),
):
    app.command(task.command(), name=task.verb)
