"""What can be done with a run, as commands of its own folder."""

from __future__ import annotations

import shlex

from interalia.registry import Origin
from interalia.reports.words import Json, can, part_of, texts
from interalia.runs import FROM_PYTHON
from interalia.runs.folder import PLUGINS, Folder


def plugged(run: Json) -> list[str]:
    """The modules that the run's parts are from which no installed package has."""
    origins = [Origin.restored(values) for values in run.get(PLUGINS, {}).values()]
    return sorted({origin.module for origin in origins if not origin.package and origin.module != "__main__"})


def commands(home: Folder, run: Json) -> list[tuple[str, str]]:
    """What can be done with the run, and what it does."""
    path = str(home.path)
    name = shlex.quote(path)
    if (home.path / "generator.pt2").is_file() and not (home.path / "generator.safetensors").is_file():
        name += " --trust-generator"
    name += "".join(f" --plugin {shlex.quote(module)}" for module in plugged(run))
    own = [key for key, part in (("game", "game"), ("dataset", "data")) if part_of(run, part) == FROM_PYTHON]
    brought = "".join(f", {key}=..." for key in own)
    more = 2 * (run.get("steps") or 5000)
    on = "train on from where it stopped"
    lines = [(f"interalia train --resume {name} --steps {more}", on)]
    if brought:
        given = "take it back in Python, where that is given again which it was trained with"
        lines = [
            (f"trained = interalia.load({path!r}{brought})", given),
            (f"interalia.train(trained.run.replace(steps={more}), {path!r}, resume=True{brought})", on),
            ("interalia.reports.evaluate(trained)", "take the measures"),
        ]
    known = texts("commands")
    for needs, command, about in known["anywhere"] + ([] if own else known["held_out"]):
        if "game" not in own and all(can(run, need) for need in needs):
            lines.append((f"interalia {command}".format(name), about))
    return [*lines, (f"interalia report {name}", "make this page anew")]
