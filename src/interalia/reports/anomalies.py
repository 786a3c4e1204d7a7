"""The section on anomalies of a run's page, and the page of a detector: what was scored, the least probable examples, and a
picture of them.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

from interalia.disk import read_json, write_json, writing
from interalia.errors import UserError
from interalia.reports import rendering, sentences
from interalia.reports.commands import detector_commands
from interalia.reports.sentences import Json
from interalia.runs import schemas
from interalia.tasks.result import Figure

DETECTOR = "detector.json"  # the description of a detector, in its folder
BRIGHT = 0.99  # the quantile of all residuals that is drawn white


def sheet(x: ArrayLike, x_hat: ArrayLike, residual: ArrayLike) -> Figure:
    """Returns a figure of images with the reconstruction and the residual map of each below it.

    A residual map shows the absolute residuals, on one scale for all images: black is none, white the 99 % quantile.

    Arguments:
        x: the images, bytes or floats, shape (n, channels, height, width), or signals or volumes. Floats that are not in
            [0, 1] are drawn from their smallest, black, to their largest one, white.
        x_hat: their reconstructions, in the same units and shape.
        residual: the contribution of each pixel to the score, in the same shape.
    """
    pixels, r = (np.asarray(part) for part in (x, residual))
    low, high = 0.0, 255.0 if pixels.dtype == np.uint8 else 1.0
    if not low <= pixels.min() <= pixels.max() <= high:
        low, high = float(pixels.min()), float(pixels.max())
    bright, span = max(float(np.quantile(np.abs(r), BRIGHT)), 1e-12), max(high - low, 1e-12)
    shown: list[NDArray[Any]] = [(pixels - low) / span, (np.asarray(x_hat) - low) / span, np.abs(r) / bright]
    return Figure("cycles", dict(zip(("sources", "translations", "backs"), shown, strict=True)))


def write(folder: Path, found: Json) -> Path:
    """Writes ``anomalies.json`` and the page ``report.html`` into the folder of a run or of a detector, and returns the
    path of the page.

    Arguments:
        folder: the folder.
        found: the values of the section: "sentences", a list of texts; "columns", the headings of a table; "rows", its rows.
    """
    write_json(folder / rendering.ANOMALIES, found)
    return write_page(folder) if (folder / DETECTOR).exists() else rendering.write(folder)


def write_detector(folder: Path, about: Json) -> Path:
    """Writes the description of a detector, ``detector.json``, and its page into its folder, and returns the page's path.

    Arguments:
        folder: the folder of the detector.
        about: its arguments and its data, and under "sentences" a list of texts for the page.
    """
    write_json(folder / DETECTOR, about)
    return write_page(folder)


def read_detector(folder: Path) -> dict[str, Any]:
    """Returns the description of the detector in a folder, with the keys of `interalia.runs.schemas.Detector`.

    Raises:
        UserError: ``detector.json`` is damaged.
    """
    try:
        return dict(schemas.checked(read_json(folder / DETECTOR), schemas.Detector))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / DETECTOR} is damaged ({error}); train the detector again.") from None


def write_page(folder: Path) -> Path:
    """Writes the page ``report.html`` of the detector in a folder, and returns its path."""
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    page.filters["html"] = rendering.as_html
    found, about = read_detector(folder), read_json(folder / DETECTOR)
    text = page.from_string(sentences.resource("page.html")).render(
        title=folder.name,
        kind="a detector",
        style=Markup(sentences.resource("style.css")),
        columns=defaultdict(str),
        summary=found.get("sentences", []),
        anomalies=rendering.anomalies_in(folder),
        settings=[("Detector", {key: value for key, value in about.items() if key != "sentences"})],
        commands=detector_commands(folder),
    )
    with writing(folder / "report.html") as file:
        file.write(text)
    return folder / "report.html"
