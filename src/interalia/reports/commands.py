"""What can be done with a run, as commands of its own folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

from interalia.registry import Origin
from interalia.reports.words import can, part_of
from interalia.runs import OWN
from interalia.runs.folder import PLUGINS, Folder


def commands(home: Folder, run: Mapping[str, Any]) -> str:
    name = shlex.quote(str(home.path))
    if (home.path / "generator.pt2").is_file() and not (home.path / "generator.safetensors").is_file():
        name += " --trust-generator"
    name += "".join(f" --plugin {shlex.quote(module)}" for module in plugged(run))
    lines = [*going_on(home, run, name), (f"interalia report {name}", "make this page anew")]
    rows = "".join(f"<dt><code>{escape(line)}</code></dt><dd>{escape(about)}</dd>" for line, about in lines)
    return f"<section><h2>Going on</h2><dl class=commands>{rows}</dl></section>"


def plugged(run: Mapping[str, Any]) -> list[str]:
    """The modules that the run's parts are from which no installed package has."""
    origins = [Origin.restored(values) for values in run.get(PLUGINS, {}).values()]
    return sorted({origin.module for origin in origins if not origin.package and origin.module != "__main__"})


# what the run's game has to be able to, a command, {} being the run, and what that does; first those that need no held-out
# data, or take images in their place
ANYWHERE = (
    (("Translates",), "translate {} IMAGES --to b", "translate images of your own from a to b, or held-out ones"),
    (("Translates",), "translate {} IMAGES --to a", "the other way"),
    (("Generates",), "generate {} --count 64", "draw new samples"),
    (("Infers", "Generates"), "reconstruct {} IMAGES", "reconstruct images of your own, or without them held-out ones"),
    (("Infers", "Generates"), "encode {} IMAGES --out z.npz", "the latents of images of your own"),
)
HELD_OUT = (
    (("HasLikelihood",), "likelihood {} --count 100", "estimate log p(x) of held-out examples"),
    (("Infers", "Generates"), "interpolate {} --pairs 8 --steps 9", "go from one held-out example to another"),
    (("HasCodes",), "traverse {}", "vary one code at a time"),
    ((), "evaluate {}", "take the measures"),
)


def going_on(home: Folder, run: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """What can be done with the run, and what it does."""
    steps = run.get("steps")
    more = 2 * steps if steps else 10000
    brought = "".join(
        f", {key}=..." for key, part in (("game", "game"), ("dataset", "data")) if part_of(run, part) == OWN
    )
    on = "train on from where it stopped"
    lines = [(f"interalia train --resume {name} --steps {more}", on)]
    if brought:
        path = repr(str(home.path))
        given = "take it back in Python, where that is given again which it was trained with"
        lines = [
            (f"trained = interalia.load({path}{brought})", given),
            (f"interalia.train(trained.run.replace(steps={more}), {path}, resume=True{brought})", on),
            ("interalia.reports.evaluate(trained)", "take the measures"),
        ]
    rows = () if part_of(run, "game") == OWN else ANYWHERE if brought else (*ANYWHERE, *HELD_OUT)
    able = (
        (f"interalia {command}".format(name), about) for need, command, about in rows if all(can(run, n) for n in need)
    )
    return [*lines, *able]
