"""edit and complete: images changed by way of their z."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from interalia.cli.asking import (
    Device,
    Images,
    Out,
    RunFolder,
    Seed,
    Told,
    TrustGenerator,
    app,
    figure,
    inputs,
    opened,
    picture,
    places,
    positive,
    save_arrays,
    say,
)
from interalia.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.data import Dataset
    from interalia.games import Game


@app.command
def edit(
    run: RunFolder,
    images: Images = None,
    *,
    to: Annotated[str | None, Parameter(help="What to change: a label or an attribute; see below.")] = None,
    told: Told = None,
    count: int = 8,
    strengths: Annotated[
        list[float] | None, Parameter(help="How far to go, in differences of the means; by default -2 to 2.")
    ] = None,
    examples: int = 5000,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
    trust_generator: TrustGenerator = False,
) -> None:
    """Change images in one property and keep the rest of their z: a row an image, a column a change.

    A game that is told labels shows each image under other labels, one that is told attributes with one attribute after
    the other turned over: by default all of them, or those of --to, with commas between them. A game that is told nothing
    moves z along the difference of the means of labelled training images with and without the property --to, a label or an
    attribute of its data.

    Parameters
    ----------
    count
        How many held-out images, where none are given.
    examples
        Of how many labelled training images the means are taken.
    """
    import torch

    from interalia import reports, tasks
    from interalia.games.capabilities import Generates, Infers, require
    from interalia.reports import plots

    positive("count", count)
    positive("examples", examples)
    for strength in strengths or []:
        if not math.isfinite(strength):
            raise UserError(
                f"--strengths has {strength}, and it must be finite; give for example --strengths -1 --strengths 1."
            )
    trained = opened(run, device, trust_generator)
    game = trained.game
    require(game, Infers, "edit", Generates)
    x, y = inputs(trained, images, count, seed, told)
    if game.data.condition:
        if strengths:
            raise UserError(
                f"--strengths say how far z moves, and this {type(game).__name__} keeps z and is told other "
                f"{'attributes' if game.data.attributes else 'labels'}; leave them out."
            )
        chosen = list(range(game.data.condition)) if to is None else places(game, to)
        if not chosen:
            raise UserError(f"--to names nothing; give one or several of: {', '.join(game.data.names)}.")
        tasks.told(game, y, len(x))
        assert y is not None
        edited = tasks.edits(game, x, y, seed)[:, chosen]
        columns = ", ".join(game.data.names[j] for j in chosen)
    else:
        if to is None:
            raise UserError(
                f"this {type(game).__name__} was not told any labels; name the label or attribute to move along with --to."
            )
        known, has = labelled(reports.dataset_of(trained), to, examples, seed)
        way = strengths or [-2.0, -1.0, 0.0, 1.0, 2.0]
        edited = tasks.shift(game, x, tasks.direction(game, known, has, seed), way, seed)
        columns = ", ".join(f"{strength:+g} {to}" for strength in way)
    path = picture(out or figure(trained, run, "edited.png" if x.ndim == 4 else "edited.npz"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, x=x, edited=edited)
    else:
        x_hat = tasks.reconstruct(game, x, seed, y)
        plots.interpolations(x.numpy(), torch.cat([x_hat[:, None], edited], dim=1).numpy(), None, path)
    say(f"{len(x)} images, edited: {path}")
    say(f"columns: the original, its reconstruction, {columns}")


def labelled(dataset: Dataset, name: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """At most `count` training images, drawn by seed, and which of them have the label or the attribute."""
    import torch

    from interalia import tasks
    from interalia.data.store import as_tensor

    rows = (
        torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed))[:count].sort().values.numpy()
    )
    attributes = [str(known) for known in dataset.attributes.get("names", ())]
    classes = list(dataset.classes) or [str(label) for label in range(dataset.labels)]
    if not attributes:
        dataset.check_labels("edit a run of other data")
    j = tasks.place([*attributes, *classes], name, "label or attribute")
    if j < len(attributes):
        values = dataset.attributes["train"][rows, j] > 0
    else:
        assert dataset.train.y is not None
        values = dataset.train.y[rows] == j - len(attributes)
    return as_tensor(dataset.train.x[rows]), torch.from_numpy(values)


MASKS = ("left", "right", "top", "bottom", "centre")


@app.command
def complete(
    run: RunFolder,
    images: Images = None,
    *,
    mask: str = "right",
    steps: int = 200,
    rate: float = 0.05,
    blend: int = 0,
    told: Told = None,
    count: int = 20,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
    separate: bool = False,
    trust_generator: TrustGenerator = False,
) -> None:
    """Fill in a part of images: encode, refine z on the known pixels, decode the rest. Originals above, then with the hole,
    then filled in.

    Parameters
    ----------
    mask
        What is to be filled in: left, right, top, bottom (a half) or centre (the middle quarter); or a picture of one
        image's size, white where the image is known and black where it is not.
    steps
        Of the descent on the known pixels; 0 keeps the encoder's z.
    rate
        Of the descent.
    blend
        Over how many pixels of the known part the seam fades.
    count
        How many held-out images, where none are given.
    separate
        Write each image as a file of its own into the folder --out.
    """
    from interalia import tasks
    from interalia.games.capabilities import Generates, require
    from interalia.reports import plots

    positive("count", count)
    trained = opened(run, device, trust_generator)
    require(trained.game, Generates, "complete")
    if len(trained.game.data.shape) != 3:
        raise UserError("only images can be completed, and this game was trained on vectors.")
    known = mask_of(trained.game, mask)
    x, y = inputs(trained, images, count, seed, told)
    filled = tasks.complete(trained.game, x, known, steps, rate, blend, seed, y)
    if separate:
        folder = out or figure(trained, run, "completed")
        for i, image in enumerate(filled):
            plots.single(image.numpy(), folder / f"{i:06d}.png")
        say(f"{len(x)} images completed: {folder}")
        return
    path = picture(out or figure(trained, run, "completed.png"))
    if path.suffix == ".npz":
        save_arrays(path, x=x, mask=known, completed=filled)
    else:
        holed = known * x + (1 - known) * 0.5
        plots.cycles(x.numpy(), holed.numpy(), filled.numpy(), path)
    say(f"{len(x)} images completed: {path}")


def mask_of(game: Game, name: str) -> Tensor:
    """1 where an image is known, shape (1, height, width)."""
    import torch

    height, width = game.data.shape[1:]
    known = torch.ones(1, height, width)
    holes = {
        "left": (slice(None), slice(0, width // 2)),
        "right": (slice(None), slice(width // 2, width)),
        "top": (slice(0, height // 2), slice(None)),
        "bottom": (slice(height // 2, height), slice(None)),
        "centre": (slice(height // 4, height - height // 4), slice(width // 4, width - width // 4)),
    }
    if name in holes:
        known[0][holes[name]] = 0
        return known
    if not Path(name).exists():
        raise UserError(
            f"there is no mask {name}; it is one of {', '.join(MASKS)}, or a black and white picture's path."
        )
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(name) as opened_mask:
            gray = opened_mask.convert("L")
    except (OSError, UnidentifiedImageError):
        raise UserError(f"the mask {name} is no picture; give a .png, white where the image is known.") from None
    if gray.size != (width, height):
        raise UserError(
            f"the mask {name} has {gray.size[0]}x{gray.size[1]} pixels, and this game's images have {width}x{height}; give "
            f"one of that size."
        )
    return (torch.tensor(list(gray.getdata()), dtype=torch.float32).view(1, height, width) >= 128).float()
