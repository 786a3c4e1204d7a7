"""What a task answers, a `TaskResult`, as a file, as the bytes of a picture or as JSON."""

from __future__ import annotations

import base64
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from interalia.disk import writing
from interalia.errors import UserError
from interalia.reports import plots
from interalia.tasks.result import Figure, TaskResult


def draw(figure: Figure, path: Path) -> Path:
    """Draws a figure into a PNG file."""
    return getattr(plots, figure.kind)(**figure.arguments, path=path)


def png(shown: TaskResult) -> bytes | None:
    """The picture of an answer, as the bytes of a PNG file; None where x are no images."""
    if shown.figure is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return draw(shown.figure, Path(folder, "shown.png")).read_bytes()


def to_json(shown: TaskResult, arrays: bool = True) -> dict[str, Any]:
    """An answer in JSON's kinds: its sentences, its picture as a data URL, and its arrays, if wanted, as nested lists."""
    picture = png(shown)
    return {
        "say": shown.text,
        "figure": None if picture is None else f"data:image/png;base64,{base64.b64encode(picture).decode()}",
        "arrays": {name: np.asarray(array).tolist() for name, array in shown.arrays.items()} if arrays else {},
    }


def write(shown: TaskResult, out: Path | str, separate: bool = False) -> Path:
    """Writes an answer: .png its picture, .npz its arrays, .csv a table of them, .json all of it; without a suffix, or if
    `separate`, it is a folder of its pictures one by one.

    Raises:
        UserError: it has no such form, or the file cannot be written.
    """
    out = Path(out)
    form = "" if separate else out.suffix
    if form == ".npz":
        with writing(out, "wb") as file:
            np.savez(file, allow_pickle=False, **shown.arrays)  # type: ignore[arg-type]
    elif form == ".json":
        with writing(out) as file:
            json.dump(to_json(shown), file)
    elif form == ".csv" and shown.is_table:
        with writing(out) as file:
            table = csv.writer(file)
            table.writerow(shown.arrays)
            columns = [[f"{v:.6f}" for v in c] if c.dtype.kind == "f" else list(c) for c in shown.arrays.values()]
            table.writerows(zip(*columns, strict=True))
    elif form == ".png" and shown.figure is not None:
        draw(shown.figure, out)
    elif not form and shown.parts:
        for name, figure in shown.parts.items():
            draw(figure, out / f"{name}.png")
    else:
        raise UserError(unwritten(shown, out, separate))
    return out


def unwritten(shown: TaskResult, out: Path, separate: bool) -> str:
    if separate:
        return "vectors cannot be written as pictures; leave `separate` out and give `out=FILE.npz`."
    if shown.is_table:
        return f"`out` is {out}, and a table is written as .csv; give a name that ends in .csv, .npz or .json."
    if shown.figure is None:
        return f"`out` is {out}, and arrays are written as .npz; give a name that ends in .npz or .json."
    folder = ", or have no ending for a folder of pictures" if shown.parts else ""
    return f"`out` is {out}, and it must end in .png for a picture, in .npz for arrays, or in .json{folder}."
