"""The name of a run on own data; --dry-run; and the next commands, which `train` prints after the last step."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interalia.cli import common
from interalia.cli.options import worded
from interalia.errors import UserError

if TYPE_CHECKING:
    from interalia.runs.loading import Loaded
    from interalia.runs.run import Run

NEXT = 6  # commands that are printed at the end


def name_of(data: str, image_size: int | None) -> str:
    """Returns the name of a run on own data: that of the folder or file, and the image size if one is given.

    Example:
        >>> name_of("/home/me/My photos.zip", 64), name_of("x.npy", None)
        ('My-photos-64', 'x')
    """
    path = Path(data).absolute()
    stem = path.name if path.is_dir() else path.stem
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "images"
    return name if image_size is None else f"{name}-{image_size}"


def planned(
    run: Run, given: dict[str, Any], minutes: float, whole: bool, trust: bool, mark: str = ""
) -> dict[str, Any]:
    """Prints the plan of a training, and returns its fields of the run by name, with those that options set.

    `interalia.training.plans.planned` makes the plan.

    Arguments:
        run: the run without a plan.
        given: the fields that options set, by name.
        minutes: the time of the training.
        whole: True to plan size, batch and augmentation too; False to plan the length alone.
        trust: True to open the run's pretrained generator if it is a .pt2 file.
        mark: a text before each line, such as "# " for a comment in a TOML file.
    """
    from interalia.training import plans

    def say(line: str) -> None:
        """Prints a line with the options of `train` in place of arguments of the library in backticks."""
        common.say(mark + worded(UserError(line), ["train"]))

    return plans.planned(run, given, minutes, whole, say, trust)


def dry_run(run: Run, trust: bool) -> None:
    """Opens the data of a run, trains its first steps without a folder, and prints what the training takes.

    If standard output is no terminal, it also prints to standard error which option writes the fields of the run.

    Arguments:
        run: the run.
        trust: True to open the run's pretrained generator if it is a .pt2 file.
    """
    from interalia.training import engine, planning
    from interalia.training.plans import about

    if not sys.stdout.isatty():
        text = "interalia: --dry-run measures some steps; --print-config prints the settings as TOML."
        print(text, file=sys.stderr)
    timing = planning.time_steps(run, trust)
    training = timing.training
    game, steps = training.game, run.steps
    if steps is None:
        steps = engine.steps_of_epochs(run, training.samplers[0].batches)
    names = dict.fromkeys(name for networks in game.players.values() for name in networks)
    counts = {name: sum(p.numel() for p in getattr(game, name).parameters()) for name in names}
    shapes = f"x {'x'.join(map(str, training.dataset.shape))}, {training.run.latent_dim} latents"
    lines = [
        f"data: {training.dataset.about}",
        f"model: {type(game).__name__} of {shapes}; {sum(counts.values()):,} parameters: "
        + ", ".join(f"{name} {number:,}" for name, number in counts.items()),
        f"time: {steps:,} steps of {training.run.batch_size} at {1 / timing.seconds:.3g} steps/s: "
        f"{about(steps * timing.seconds)}, without evaluations and the report",
        f"memory: {'not known' if timing.memory is None else f'{timing.memory / 1e9:.2f} GB'}",
        f"disk: {planning.disk_bytes(training) / 1e6:,.0f} MB, and figures",
    ]
    common.say(*lines)


def print_next(trained: Loaded) -> None:
    """Prints up to six commands that work for a run in a folder, each with what it does; nothing without a folder."""
    from interalia.reports.commands import commands_of

    if trained.folder is None:
        return
    found = [(line, use) for line, use in commands_of(trained) if line.startswith("interalia ")]
    found = [pair for pair in found if not pair[0].startswith(("interalia report", "interalia evaluate"))]
    if trained.step >= (trained.run.steps or 0):
        found = [*found[1:], found[0]]  # to train further is the last wish
    shown = [*found[: NEXT - 1], *found[-1:]] if len(found) > NEXT else found
    width = max((len(line) for line, _ in shown), default=0)
    common.say("Next:", *(f"  {line:<{width}}  # {use.partition(';')[0].partition(', or')[0]}" for line, use in shown))
