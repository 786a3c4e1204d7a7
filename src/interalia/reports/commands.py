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


def going_on(home: Folder, run: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """What can be done with the run, and what it does."""
    both = can(run, "Infers") and can(run, "Generates")
    steps = run.get("steps")
    more = 2 * steps if steps else 10000
    brought = "".join(
        f", {key}=..." for key, part in (("game", "game"), ("dataset", "data")) if part_of(run, part) == OWN
    )
    lines = [(f"interalia train --resume {name} --steps {more}", "train on from where it stopped")]
    if brought:
        path = repr(str(home.path))
        lines = [
            (
                f"trained = interalia.load({path}{brought})",
                "take it back in Python, where that is given again which it was trained with",
            ),
            (
                f"interalia.train(trained.run.replace(steps={more}), {path}, resume=True{brought})",
                "train on from where it stopped",
            ),
            ("interalia.reports.evaluate(trained)", "take the measures"),
        ]
    if part_of(run, "game") == OWN:
        return lines
    if can(run, "Translates"):
        lines += [
            (f"interalia translate {name} IMAGES --to b", "translate images of your own from a to b, or held-out ones"),
            (f"interalia translate {name} IMAGES --to a", "the other way"),
        ]
    if can(run, "Generates"):
        lines.append((f"interalia generate {name} --count 64", "draw new samples"))
    if both:
        lines += [
            (f"interalia reconstruct {name} IMAGES", "reconstruct images of your own, or without them held-out ones"),
            (f"interalia encode {name} IMAGES --out z.npz", "the latents of images of your own"),
        ]
    if brought:  # what else there is looks at held-out data
        return lines
    if can(run, "HasLikelihood"):
        lines.append((f"interalia likelihood {name} --count 100", "estimate log p(x) of held-out examples"))
    if both:
        lines.append((f"interalia interpolate {name} --pairs 8 --steps 9", "go from one held-out example to another"))
    if can(run, "HasCodes"):
        lines.append((f"interalia traverse {name}", "vary one code at a time"))
    lines.append((f"interalia evaluate {name}", "take the measures"))
    return lines
