"""generate, encode, reconstruct ...: a command for each verb of `interalia.tasks.verbs`, with its arguments for options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from interalia.cli.asking import ASKING, Asking, Images, RunFolder, Told, app, conditions, inputs, say
from interalia.errors import at_least_one
from interalia.tasks import verbs

# arguments of a verb that are no options: what the command makes of its own
MADE = ("game", "x", "y", "names", "labels", "dataset", "seed")


@dataclass(frozen=True)
class Task:
    """A command and its verb.

    Attributes:
        verb: the name of both.
        file: what is written where no --out is given, without its ending.
        needs: the capabilities that a game has to have, by name, for none is imported before it is needed.
        count: how many held-out images are taken where none are given.
        pairs: whether that is a number of pairs.
        separate: whether images can be written one by one.
    """

    verb: str
    file: str
    needs: Sequence[str]
    count: int = 0
    pairs: bool = False
    separate: bool = False

    @property
    def arguments(self) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(getattr(verbs, self.verb)).parameters)

    def signature(self) -> list[inspect.Parameter]:
        """The run, the images and the options of the command."""
        arguments = self.arguments
        hints = get_type_hints(
            getattr(verbs, self.verb), localns=dict.fromkeys(("Game", "Tensor", "Dataset", "ArrayLike"), Any)
        )
        found = [inspect.Parameter("run", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=RunFolder)]
        if "x" in arguments:
            found += [inspect.Parameter("images", found[0].kind, default=None, annotation=Images)]
            help = f"How many {'pairs of ' if self.pairs else ''}held-out images, where none are given."
            counted = Annotated[int, Parameter(help=help)]
            found += [option("pairs" if self.pairs else "count", self.count, counted)]
        found += [option(name, a.default, hints[name]) for name, a in arguments.items() if name not in MADE]
        if "y" in arguments:
            found += [option("told", None, Told)]
        if self.separate:
            help = "Write each image as a file of its own into the folder --out."
            found += [option("separate", False, Annotated[bool, Parameter(help=help)])]
        return [*found, option("asking", ASKING, Asking)]

    def command(self) -> Callable[..., None]:
        signature = inspect.Signature(self.signature())

        def command(*words: Any, **options: Any) -> None:
            bound = signature.bind(*words, **options)
            bound.apply_defaults()
            given = bound.arguments
            self.work(given.pop("run"), given.pop("asking"), given)

        command.__doc__ = getattr(verbs, self.verb).__doc__
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        return command

    def work(self, run: Path, asking: Asking, given: dict[str, Any]) -> None:
        from interalia import reports
        from interalia.games import capabilities

        images, told, separate = (given.pop(name, None) for name in ("images", "told", "separate"))
        trained = asking(run)
        game, arguments, seed = trained.game, self.arguments, asking.seed
        needs = [getattr(capabilities, name) for name in (["Generates"] if given.get("project") else self.needs)]
        capabilities.require(game, needs[0], "project" if given.get("project") else self.verb, *needs[1:])
        made: dict[str, Any] = {"seed": seed, "dataset": functools.partial(reports.dataset_of, trained)}
        if "x" in arguments:
            counted = "pairs" if self.pairs else "count"
            at_least_one(**{counted: given[counted]})
            count = given.pop(counted) * (1 + self.pairs)
            made["x"], made["y"], made["labels"] = inputs(trained, images, count, seed, told, given)
            made["names"] = names_of(images, len(made["x"]))
        elif told is not None:
            given["count"] = 64 if given["count"] is None else given["count"]
            made["y"] = conditions(game, told, given["count"])
        made = {name: value for name, value in made.items() if name in arguments}
        shown = getattr(verbs, self.verb)(game, **made, **given)
        in_parts = self.verb == "traverse" and asking.out is None and bool(shown.parts)
        asking.write(trained, run, self.file.format(**given), shown, separate or in_parts)
        if "x_hat" in shown.arrays and len(made["x"]) > 1:
            say(apart(made["x"], shown.arrays["x_hat"]))


def option(name: str, default: Any, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def names_of(images: list[Path] | None, count: int) -> list[str]:
    """The files' names; numbers of held-out images, and of an array of many."""
    from interalia.data.images import list_images

    names = [collection.label(name) for collection, name in list_images(images or ())]
    return names if len(names) == count else [str(row) for row in range(count)]


def apart(x: Any, x_hat: Any) -> str:
    """How far images and their reconstructions are apart."""
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
