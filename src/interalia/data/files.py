"""Single images that a person hands to a trained game."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from interalia.data.images import MODES, SUFFIXES, Collection, as_array, binary, convert, fit, read
from interalia.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


def expand(paths: Sequence[Path | str]) -> list[Path]:
    """`paths` with each folder replaced by the images in it and below, in alphabetical order.

    Raises:
        UserError: a path that does not exist, or a folder without images.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = Collection(path).sources()
            if not inside:
                raise UserError(
                    f"the folder {path} holds no images; expected are files that end in {', '.join(sorted(SUFFIXES))}."
                )
            files.extend(inside)
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"there is no image or folder {path}; check its name.")
    return files


def read_images(paths: Sequence[Path | str], shape: tuple[int, ...]) -> Tensor:
    """Images as a run takes them: cropped around the centre, resized and converted to `shape`.

    Arguments:
        paths: files, or folders of them.
        shape: (channels, height, width) of the data that the run was trained on.

    Returns:
        float32 in [0, 1], shape (n, channels, height, width), in the order of `expand(paths)`.

    Raises:
        UserError: a path that does not exist, a damaged image, or a run that was not trained on images.
    """
    from interalia.data.store import as_tensor

    if len(shape) != 3 or shape[0] not in MODES:
        raise UserError(f"this run was trained on data of the shape {shape}, which no image has; give it vectors.")
    channels, height, width = shape
    files = expand(paths)
    if not files:
        raise UserError("no image was given; name at least one file or a folder of images.")
    mode = MODES[channels]
    images = [
        read(partial(binary, file), str(file), lambda image: as_array(fit(convert(image, mode), (height, width))))
        for file in files
    ]
    return as_tensor(np.stack(images))
