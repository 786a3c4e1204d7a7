"""A run's folder -> one page that says what was run, on what, how long, and how good it is.

The page is a single file: pictures and style are inside it, it asks nothing of the network and runs no script.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from interalia.disk import read_json, writing
from interalia.errors import UserError
from interalia.reports.rendering import render
from interalia.reports.words import Json, facts_of
from interalia.runs import formats
from interalia.runs.folder import Folder
from interalia.runs.log import read


def write(folder: Path) -> Path:
    """Makes ``report.html`` in a run's folder, from whatever is there already: description, log, results,
    likelihood, figures.

    The curves are drawn anew from the log.

    Raises:
        UserError: this is no run's folder, a file in it is damaged, or the page cannot be written.
    """
    home = Folder(folder)
    run = _read(home.description, "train anew")
    if not run:
        home.run()  # the error for a folder that is not a run's
    run = formats.upgraded(run, home.description)
    results = _read(home.results, f"interalia evaluate {shlex.quote(str(folder))} writes it anew")
    likelihood = _read(home.likelihood, f"interalia likelihood {shlex.quote(str(folder))} writes it anew")
    log = read(home)
    _draw(home, run, log)
    with writing(home.report) as file:
        file.write(render(home, run, results, log, likelihood))
    return home.report


def _read(path: Path, remedy: str) -> Json:
    """The JSON object in a file, an empty one if there is no such file.

    Raises:
        UserError: the file cannot be read or is damaged.
    """
    try:
        return read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or cannot be read ({error}); {remedy}.") from None


def _draw(home: Folder, run: Json, log: Sequence[Json]) -> None:
    """Draws the curves of what the log holds, and with a sigmoid only where the run's divergence gives it a meaning."""
    from interalia.reports import plots

    keys = {key.partition("/")[0] for line in log for key in line}
    if "losses" in keys:
        plots.curves(log, home.figures / "curves.png", bool(facts_of(run)["log_odds"]))
    if "measures" in keys:
        plots.measures(log, home.figures / "measures.png")
    if "health" in keys:
        plots.strip(log, home.figures / "health.png")
