"""Writes the result of a task, such as samples or reconstructions, as a file, as the bytes of a PNG picture, or as JSON."""

from __future__ import annotations

import base64
import csv
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from interalia import tasks
from interalia.disk import check_writable as check_writable  # the command line uses it before the work
from interalia.disk import writing
from interalia.errors import UserError
from interalia.reports import plots
from interalia.tasks.result import Figure, TaskResult

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from interalia.games import Game


def draw(figure: Figure, path: Path) -> Path:
    """Draws a figure into the PNG file `path`, with the function of `interalia.reports.plots` that it names.

    Returns the path.
    """
    return getattr(plots, figure.kind)(**figure.arguments, path=path)


def png(result: TaskResult) -> bytes | None:
    """Returns the figure of a result as the bytes of a PNG file; None if the result has no figure."""
    if result.figure is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return draw(result.figure, Path(folder, "shown.png")).read_bytes()


def reconstruction_errors(game: Game, x: Tensor, x_hat: NDArray[Any]) -> str:
    """Returns a line of text on reconstructions: their mean L2 error, and its ratio to that of mismatched pairs of an example
    and another's reconstruction; for images in [0, 1] also the peak signal-to-noise ratio (PSNR) in dB.

    If the data were scaled, these are of the scaled numbers, and the mean absolute error in the data's own units is added.

    Arguments:
        game: the game.
        x: the examples, a tensor of shape (n, *shape), n at least 2.
        x_hat: their reconstructions in the data's own units, an array of that shape.
    """
    from interalia.metrics.inference import reconstruction

    found, own = reconstruction(x, tasks.from_units(game, x_hat)), tasks.to_units(game, x)
    error = abs(own.astype("float64") - x_hat.astype("float64")).mean()
    in_unit_range = x.ndim == 4 and game.data.support == "unit"
    added = f"; mean absolute error {error:.4g} in the data's own units" if "scaling" in game.data.units else ""
    return (
        f"mean L2 error {found.error:.3f}, {found.ratio:.3f} of what another image's reconstruction "
        f"gives ({found.mismatched:.3f})" + (f"; PSNR {found.psnr:.1f} dB" if in_unit_range else "") + added
    )


def to_json(result: TaskResult, arrays: bool = True) -> dict[str, Any]:
    """Returns a result as JSON values: `say`, its text; `figure`, a data URL; and `arrays`, name -> nested lists.

    `figure` is None if there is none; `arrays` is empty if the argument `arrays` is False.
    """
    picture = png(result)
    return {
        "say": result.text,
        "figure": None if picture is None else f"data:image/png;base64,{base64.b64encode(picture).decode()}",
        "arrays": {name: np.asarray(array).tolist() for name, array in result.arrays.items()} if arrays else {},
    }


def write(result: TaskResult, out: Path | str, separate: bool = False) -> Path:
    """Writes a result to the path `out`, in the format of its suffix, and returns the path.

    The formats are .png for the picture, .npz for the arrays, .json for text, picture and arrays, and, if the result is a
    table or has one, .csv with a line of column names. Without a suffix, or if `separate`, `out` becomes a folder of single
    pictures.

    Raises:
        UserError: the result has no such format, or the file cannot be written.
    """
    out = Path(out)
    form = checked_suffix(result, out, separate)
    if form == ".npz":
        with writing(out, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            for name, array in result.arrays.items():  # numpy.savez takes no array of the name "file"
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    elif form == ".json":
        with writing(out) as file:
            json.dump(to_json(result), file)
    elif form == ".csv":
        with writing(out) as file:
            table = csv.writer(file)
            table.writerow(result.columns)
            columns = [list(map(cell, c)) if c.dtype.kind == "f" else list(c) for c in result.columns.values()]
            table.writerows(zip(*columns, strict=True))
    elif form == ".png" and result.figure is not None:
        draw(result.figure, out)
    for name, figure in result.parts.items() if not form else ():
        draw(figure, out / f"{name}.png")
    return out


def write_as(result: TaskResult, out: Path, form: str) -> None:
    """Writes the figure of a result to the file `out` in a picture format; missing folders are made.

    Arguments:
        result: a result with a figure.
        out: the file to write.
        form: Pillow's name of the format, such as "JPEG".
    """
    with Image.open(io.BytesIO(png(result) or b"")) as image, writing(out, "wb") as file:
        (image if form == "PNG" else image.convert("RGB")).save(file, format=form)


def checked_suffix(result: TaskResult, out: Path, separate: bool) -> str:
    """Returns the suffix of the path `out` that determines the format of a result, "" for a folder of pictures.

    `separate` is True if single pictures were requested; see `write`.

    Raises:
        UserError: the result has no such format, or nothing can be written to that path.
    """
    form = "" if separate else out.suffix
    has = {".csv": bool(result.columns), ".png": result.figure is not None, "": bool(result.parts)}
    if not has.get(form, form in (".npz", ".json")):
        raise UserError(wrong_suffix(result, out, separate))
    check_writable(out if form else out / "000000.png")
    return form


def cell(number: float) -> str:
    """Returns a number as text: with six decimals or, if it is under 0.001 and not 0, with six digits.

    Example:
        >>> cell(1234.5), cell(-0.000012)
        ('1234.500000', '-1.2e-05')
    """
    return f"{number:.6f}" if number == 0 or abs(number) >= 1e-3 else f"{number:.6g}"


def wrong_suffix(result: TaskResult, out: Path, separate: bool) -> str:
    """The error message for a result that cannot be written to `out`, with the formats that it has.

    `separate` is True if a folder of single pictures was requested.
    """
    if separate:
        return "vectors cannot be written as pictures; leave `separate` out and give `out=FILE.npz`."
    if result.is_table:
        return f"`out` is {out}, and a table is written as .csv; give a name that ends in .csv, .npz or .json."
    if result.figure is None:
        table = ".csv, " if result.columns else ""
        return f"`out` is {out}, and arrays are written as .npz; give a name that ends in {table}.npz or .json."
    folder = ", or have no ending for a folder of pictures" if result.parts else ""
    return f"`out` is {out}, and it must end in .png for a picture, in .npz for arrays, or in .json{folder}."
