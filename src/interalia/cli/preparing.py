"""The command prepare, which writes data to a folder of shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from interalia.cli.common import app, say
from interalia.cli.training import check_data
from interalia.errors import UserError


@app.command
def prepare(
    data: str,
    *,
    out: Path | None = None,
    check: Annotated[bool, Parameter(negative="")] = False,
    data_dir: Path | None = None,
    image_size: int | None = None,
    gray: bool | None = None,
    crop: str = "center",
    split: Path | None = None,
    fold: int | None = None,
    group: str | None = None,
    layout: str = "auto",
    scale: str = "auto",
    impute: str = "refuse",
) -> None:
    """Write data to a folder of shards, which are read example by example, for data that exceed the memory.

    Training on the folder is the same to the last bit as training on DATA, with the options that were given here.

    Parameters
    ----------
    data
        Named data set; folder, .zip or .tar of images; folder of .tar files (WebDataset); or .npy, .npz, .csv, .tsv,
        .parquet or .feather file.
    out
        Folder to write, which does not exist yet.
    check
        Read all shards in the folder DATA, and report files whose numbers have changed since they were written.
    data_dir
        Folder of the files of named data sets.
    image_size
        Pixels a side that images are cropped and resized to; by default their own size.
    gray
        Convert all images to gray, or to color; by default the colors of most images.
    crop
        How images get square: center, random (a square at a random place of each training image) or none.
    split
        File that assigns the examples to train, val and test, or to folds.
    fold
        Number of the fold to test on.
    group
        Regular expression or column that finds the group of each example; all examples of a group are in one split.
    layout
        Axes of an array: auto, signal, image, image-channels-last or volume.
    scale
        How numbers are scaled: auto, none, min-max, standard or quantile; also "standard(per='channel')".
    impute
        Missing values of a table: refuse, median, mean or zero.
    """
    from interalia.data import shards

    if check:
        if not shards.is_shards(folder := Path(data).expanduser()):
            raise UserError(f"`check` is for a folder of shards, and {data} is none; give one that `prepare` wrote.")
        files = shards.check(folder)
        say(f"Nothing has changed in {folder}: {len(files)} file(s), {megabytes(files):,.1f} MB")
        return
    if out is None:
        raise UserError("prepare needs the folder to write; give it, as in `interalia prepare DATA --out SHARDS`.")
    check_data(data)
    options = {"image_size": image_size, "gray": gray, "crop": crop, "layout": layout, "scale": scale, "impute": impute}
    dataset = shards.prepare(data, out, data_dir, split=split, fold=fold, group=group, **options)
    files = sorted(out.expanduser().glob("*.npy"))
    say(
        dataset.about,
        f"Written: {out} ({len(files)} files, {megabytes(files):,.1f} MB)",
        f"Next: interalia train --data {out}",
    )


def megabytes(files: Sequence[Path]) -> float:
    """Returns the size of files together, in units of 2^20 bytes."""
    return sum(file.stat().st_size for file in files) / 2**20
