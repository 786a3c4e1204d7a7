"""The commands for further use of a run, which the run's page lists."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from interalia.disk import read_json
from interalia.reports.sentences import Json, is_able, part_name, texts
from interalia.runs import FROM_PYTHON
from interalia.runs.folder import Folder, plugin_modules

if TYPE_CHECKING:
    from interalia.runs.loading import Loaded


def commands_of(trained: Loaded) -> list[tuple[str, str]]:
    """Returns the commands for a run with a folder, and what each does, as `commands` returns them."""
    assert trained.folder is not None
    return commands(trained.folder, read_json(trained.folder.description), trained.step)


def commands(home: Folder, run: Json, step: int = 0) -> list[tuple[str, str]]:
    """Pairs (command, description) for a run: how to train it further, use it, evaluate it and write its page again.

    Each command works as it is, typed in the folder where the page was written. For a custom game or custom data they are
    lines of Python, in which `game` is an equal untrained game and `dataset` the data, and commands that need neither.

    Arguments:
        home: the run's folder.
        run: the content of ``run.json``.
        step: the last step that is known from the files; a training is taken as stopped if it is below the planned last step.
    """
    path = str(home.path)
    name = shlex.quote(path)
    if (home.path / "generator.pt2").is_file() and not (home.path / "generator.safetensors").is_file():
        name += " --trust-generator"
    name += "".join(f" --plugin {shlex.quote(module)}" for module in plugin_modules(run))
    custom = [key for key, part in (("game", "game"), ("dataset", "data")) if part_name(run, part) == FROM_PYTHON]
    planned = run.get("steps")
    stopped = planned is not None and step < planned
    steps = planned if stopped else 2 * (planned or 5000)
    further = "continue the stopped training" if stopped else "train further, from the last checkpoint"
    lines = [(f"interalia train --resume {name}" + ("" if stopped else f" --steps {steps}"), further)]
    if custom:
        same = " and ".join(
            {"game": "an equal untrained game", "dataset": "its data"}[key] + f", `{key}`" for key in custom
        )
        arguments = "".join(f", {key}={key}" for key in custom)
        lines = [
            ("import interalia", ""),
            (f"trained = interalia.load({path!r}{arguments})", f"load it in Python, with {same}"),
            (f"interalia.train(trained.run.replace(steps={steps}), {path!r}, resume=True{arguments})", further),
            ("interalia.reports.evaluate(trained)", "compute the metrics"),
        ]
    known = texts("commands")
    for needs, command, about in known["anywhere"] + ([] if custom else known["held_out"]):
        if "game" not in custom and all(meets(run, need) for need in needs):
            lines.append((f"interalia {command}".format(name), about))
    return [*lines, (f"interalia report {name}", "write this page again")]


def meets(run: Json, need: str) -> bool:
    """True if a run meets a requirement of a command: the name of a capability of its game, "conditional" or "unconditional".

    `run` is the content of ``run.json``.
    """
    conditional = run.get("condition_on", "none") not in (None, "none")
    known = {"conditional": conditional, "unconditional": not conditional}
    return known[need] if need in known else is_able(run, need)


def detector_commands(folder: Path) -> list[tuple[str, str]]:
    """Pairs (command, description) for the page of a detector: how to score further examples by the one in `folder`."""
    scored = f"interalia detect score {shlex.quote(str(folder))} DATA --out scores.csv"
    return [(scored, "score other examples, and write this page again")]
