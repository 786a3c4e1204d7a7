"""The commands for further use of a run, which the run's page lists."""

from __future__ import annotations

import shlex
from pathlib import Path

from interalia.registry import Origin
from interalia.reports.sentences import Json, is_able, part_name, texts
from interalia.runs import FROM_PYTHON
from interalia.runs.folder import PLUGINS, Folder


def plugin_modules(run: Json) -> list[str]:
    """The names of the modules, sorted, that define components of a run and belong to no installed package.

    `run` is the content of ``run.json``. Commands of `interalia` for this run need them as values of their option `--plugin`.
    """
    origins = [Origin.restored(values) for values in run.get(PLUGINS, {}).values()]
    return sorted({origin.module for origin in origins if not origin.package and origin.module != "__main__"})


def commands(home: Folder, run: Json) -> list[tuple[str, str]]:
    """Pairs (command, description) for a run: how to train it further, use it, evaluate it and write its page again.

    `home` is the run's folder, `run` the content of its ``run.json``.
    """
    path = str(home.path)
    name = shlex.quote(path)
    if (home.path / "generator.pt2").is_file() and not (home.path / "generator.safetensors").is_file():
        name += " --trust-generator"
    name += "".join(f" --plugin {shlex.quote(module)}" for module in plugin_modules(run))
    custom = [key for key, part in (("game", "game"), ("dataset", "data")) if part_name(run, part) == FROM_PYTHON]
    arguments = "".join(f", {key}=..." for key in custom)
    steps = 2 * (run.get("steps") or 5000)
    further = "continue training from the last checkpoint"
    lines = [(f"interalia train --resume {name} --steps {steps}", further)]
    if custom:
        lines = [
            (f"trained = interalia.load({path!r}{arguments})", "load it in Python, with the same custom game or data"),
            (f"interalia.train(trained.run.replace(steps={steps}), {path!r}, resume=True{arguments})", further),
            ("interalia.reports.evaluate(trained)", "compute the metrics"),
        ]
    known = texts("commands")
    for needs, command, about in known["anywhere"] + ([] if custom else known["held_out"]):
        if "game" not in custom and all(is_able(run, need) for need in needs):
            lines.append((f"interalia {command}".format(name), about))
    return [*lines, (f"interalia report {name}", "write this page again")]


def detector_commands(folder: Path) -> list[tuple[str, str]]:
    """Pairs (command, description) for the page of a detector: how to score further examples by the one in `folder`."""
    scored = f"interalia detect score {shlex.quote(str(folder))} DATA --out scores.csv"
    return [(scored, "score other examples, and write this page again")]
