"""generate, encode, reconstruct ...: a command for each verb of `interalia.tasks.verbs`, which writes its answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from interalia.cli.asking import (
    ASKING,
    OPENING,
    Asking,
    Count,
    Images,
    LevelName,
    Opening,
    RunFolder,
    Separate,
    Told,
    app,
    conditions,
    given_images,
    inputs,
    positive,
    say,
    true_labels,
)
from interalia.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@app.command
def generate(
    run: RunFolder,
    *,
    count: int | None = None,
    label: str | None = None,
    told: Told = None,
    separate: Separate = False,
    sample: bool = False,
    asking: Asking = ASKING,
) -> None:
    """Draw samples and write them as one picture, or as an array (--out FILE.npz), or one file each (--separate).

    They are means of p(x | z), z drawn, which is what people look at; --sample is for measuring.

    Parameters
    ----------
    count
        How many samples; by default 64, or of a conditional game 10 of each label, a row a label.
    told
        The attributes of all samples, with commas between them, of a game that was told attributes; by default each is drawn
        as often as the training data has it.
    label
        The label of all samples, by its name in the data, of a game that was told labels.
    sample
        Draw from p(x | z), with the noise that the game's likelihood has, in place of its mean: zeros and ones of a
        Bernoulli likelihood, as they are held against data.
    """
    from interalia.tasks import verbs

    trained = asking(run)
    count = 64 if count is None and told is not None else count
    y = None if told is None else conditions(trained.game, told, count or 0)
    shown = verbs.generate(trained.game, count, asking.seed, label, y, sample)
    asking.write(trained, run, "generated", shown, separate)


@app.command
def reconstruct(
    run: RunFolder,
    images: Images = None,
    *,
    count: Count = 40,
    level: LevelName = "upper",
    project: int = 0,
    rate: float = 0.05,
    told: Told = None,
    asking: Asking = ASKING,
) -> None:
    """Encode and decode images: originals above, reconstructions below, and how far apart they are.

    Parameters
    ----------
    project
        So many steps of gradient descent on the reconstruction refine the encoder's z, or find one where there is no encoder.
    rate
        Of that descent.
    """
    from interalia import tasks
    from interalia.metrics.inference import reconstruction
    from interalia.tasks import verbs

    trained = asking(run)
    tasks.capable(trained.game, *(("project",) if project else ("reconstruct", "encoder")), "decoder")
    x, y = inputs(trained, images, count, 0, told)
    shown = verbs.reconstruct(trained.game, x, y, asking.seed, level, project, rate)
    asking.write(trained, run, "reconstructed", shown)
    if len(x) > 1:
        measured = reconstruction(x, x.new_tensor(shown.arrays["x_hat"]))
        say(
            f"mean L2 error {measured.error:.3f}, {measured.ratio:.3f} of what another image's reconstruction "
            f"gives ({measured.shuffled:.3f})" + (f"; PSNR {measured.psnr:.1f} dB" if shown.figure else "")
        )


@app.command
def interpolate(
    run: RunFolder,
    images: Annotated[
        list[Path] | None,
        Parameter(help="An even number of images, the first half led to the second; by default held-out ones."),
    ] = None,
    *,
    pairs: int = 8,
    steps: int = 9,
    how: Literal["linear", "spherical"] = "linear",
    level: LevelName = "upper",
    told: Told = None,
    asking: Asking = ASKING,
) -> None:
    """Walk from one image's latent to another's, with the originals at both ends.

    Parameters
    ----------
    pairs
        How many pairs of held-out images, where none are given.
    steps
        Points on the way, both ends included.
    how
        On a straight line, or on the arc that keeps the latent's length.
    """
    from interalia import tasks
    from interalia.tasks import verbs

    positive("pairs", pairs)
    trained = asking(run)
    tasks.capable(trained.game, "interpolate", "encoder", "decoder")
    x, y = inputs(trained, images, 2 * pairs, asking.seed, told)
    asking.write(trained, run, "interpolated", verbs.interpolate(trained.game, x, y, asking.seed, steps, how, level))


@app.command
def traverse(
    run: RunFolder,
    *,
    rows: int = 10,
    columns: int = 10,
    low: float = -2.0,
    high: float = 2.0,
    dimensions: int = 6,
    asking: Asking = ASKING,
) -> None:
    """Vary one code of z at a time: in each row of a picture the rest of z is fixed, along it the code takes its values.

    A game whose z has no codes shows its first few dimensions in the same way. A --out without an ending, as the default,
    is a folder for one picture a code.

    Parameters
    ----------
    rows
        How many settings of the rest of z.
    columns
        How many values of a continuous code; a categorical one has a column a category.
    low
        The first value of a continuous code.
    high
        The last.
    dimensions
        How many dimensions are shown of a z without codes.
    """
    from interalia.tasks import verbs

    trained = asking(run)
    shown = verbs.traverse(trained.game, rows, columns, low, high, dimensions, asking.seed)
    asking.write(trained, run, "traversals", shown, separate=asking.out is None and bool(shown.parts))


@app.command
def manifold(run: RunFolder, *, side: int = 20, asking: Asking = ASKING) -> None:
    """Decode a grid over the whole plane of a z of two dimensions, evenly spaced in the prior's probability.

    Parameters
    ----------
    side
        How many places along each dimension.
    """
    from interalia.tasks import verbs

    trained = asking(run)
    asking.write(trained, run, "manifold", verbs.manifold(trained.game, side, asking.seed))


@app.command
def translate(
    run: RunFolder,
    images: Annotated[
        list[Path] | None, Parameter(help="Images, or folders of them; by default held-out ones of the other domain.")
    ] = None,
    *,
    to: Literal["a", "b"] = "b",
    count: Count = 20,
    separate: Separate = False,
    asking: Asking = ASKING,
) -> None:
    """Translate images into another domain: originals above, translations below, and below them the way back.

    Parameters
    ----------
    to
        The domain to translate into: b, of the run's target, or a, of its data.
    """
    from interalia import reports, tasks
    from interalia.tasks import verbs

    positive("count", count)
    trained = asking(run)
    tasks.check_translator(trained.game)
    if images:
        x = given_images(trained, images)
    else:
        dataset = reports.dataset_of(trained)
        source = dataset if to == "b" or dataset.other is None else dataset.other
        x = reports.held_out(source, count, asking.seed)
    shown = verbs.translate(trained.game, x, to, back=not separate)
    asking.write(trained, run, f"translated_to_{to}", shown, separate)


@app.command
def encode(
    run: RunFolder,
    images: Annotated[list[Path], Parameter(help="Images, or folders of them.")],
    *,
    out: Path,
    sample: bool = False,
    told: Told = None,
    opening: Opening = OPENING,
) -> None:
    """Infer latents: an .npz with z, shape (n, latent), the encoder's last hidden layer, and the files' names.

    Parameters
    ----------
    out
        The .npz file to write.
    sample
        Draw z from q(z|x) instead of taking its mean.
    """
    from interalia import tasks
    from interalia.data.files import expand
    from interalia.tasks import verbs

    trained = opening(run)
    tasks.capable(trained.game, "encode", "encoder")
    x, y = inputs(trained, images, 0, opening.seed, told)
    shown = verbs.encode(trained.game, x, y, opening.seed, sample, [str(path) for path in expand(images)])
    Asking(out=out).write(trained, run, "encoded", shown)


@app.command
def neighbours(
    run: RunFolder,
    images: Images = None,
    *,
    nearest: int = 8,
    among: int = 10_000,
    told: Told = None,
    count: Count = 10,
    asking: Asking = ASKING,
) -> None:
    """Find the training images whose z is nearest to an image's: a row an image, its neighbours beside it.

    Parameters
    ----------
    nearest
        How many neighbours of each image.
    among
        Among how many training images, drawn by seed.
    """
    from interalia import reports, tasks
    from interalia.tasks import verbs

    trained = asking(run)
    tasks.capable(trained.game, "neighbours", "encoder")
    x, y = inputs(trained, images, count, asking.seed, told)
    dataset, labels = reports.dataset_of(trained), true_labels(trained, images, count, asking.seed)
    shown = verbs.neighbours(trained.game, x, dataset, y, asking.seed, nearest, among, labels)
    asking.write(trained, run, "neighbours", shown)


@app.command
def classify(
    run: RunFolder,
    images: Images = None,
    *,
    count: Count = 40,
    out: Annotated[Path | None, Parameter(help="A .csv file: a row an image, its label and each probability.")] = None,
    opening: Opening = OPENING,
) -> None:
    """Read the labels of images by a semi-supervised game."""
    from interalia.data.files import expand
    from interalia.tasks import verbs

    trained = opening(run)
    x, _ = inputs(trained, images, count, opening.seed, None)
    names = [str(path) for path in expand(images)] if images else []
    shown = verbs.classify(
        trained.game,
        x,
        opening.seed,
        names if len(names) == len(x) else None,  # held-out images, or an array of many
        true_labels(trained, images, count, opening.seed),
    )
    if out is not None:
        Asking(out=out).write(trained, run, "classified", shown)
        return
    image, label, *probabilities = shown.arrays.values()
    for name, read, p in zip(image, label, zip(*probabilities, strict=True), strict=True):
        say(f"{name}: {read} ({100 * max(p):.1f} %)")
    say(*shown.say.splitlines()[1:])


@app.command
def edit(
    run: RunFolder,
    images: Images = None,
    *,
    to: Annotated[str | None, Parameter(help="What to change: a label or an attribute; see below.")] = None,
    told: Told = None,
    count: Count = 8,
    strengths: Annotated[
        list[float] | None, Parameter(help="How far to go, in differences of the means; by default -2 to 2.")
    ] = None,
    examples: int = 5000,
    asking: Asking = ASKING,
) -> None:
    """Change images in one property and keep the rest of their z: a row an image, a column a change.

    A game that is told labels shows each image under other labels, one that is told attributes with one attribute after
    the other turned over: by default all of them, or those of --to, with commas between them. A game that is told nothing
    moves z along the difference of the means of labelled training images with and without the property --to, a label or an
    attribute of its data.

    Parameters
    ----------
    examples
        Of how many labelled training images the means are taken.
    """
    from interalia import reports, tasks
    from interalia.tasks import verbs

    trained = asking(run)
    tasks.capable(trained.game, "edit", "encoder", "decoder")
    x, y = inputs(trained, images, count, asking.seed, told)
    dataset = None if trained.game.labels or to is None else reports.dataset_of(trained)
    shown = verbs.edit(trained.game, x, y, asking.seed, to, dataset, strengths, examples)
    asking.write(trained, run, "edited", shown)


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
    count: Count = 20,
    separate: Separate = False,
    asking: Asking = ASKING,
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
    """
    from interalia import tasks
    from interalia.tasks import verbs

    trained = asking(run)
    tasks.capable(trained.game, "complete", "decoder")
    x, y = inputs(trained, images, count, asking.seed, told)
    known = mask if mask in tasks.HOLES or len(trained.game.shape) != 3 else painted(mask, trained.game.shape)
    shown = verbs.complete(trained.game, x, known, y, asking.seed, steps, rate, blend)
    asking.write(trained, run, "completed", shown, separate)


def painted(name: str, shape: tuple[int, ...]) -> Tensor:
    """The mask that a picture shows, 1 where it is white, shape (1, height, width)."""
    import torch
    from PIL import Image, UnidentifiedImageError

    from interalia import tasks

    if not Path(name).exists():
        raise UserError(
            f"there is no mask {name}; it is one of {', '.join(tasks.HOLES)}, or a black and white picture's path."
        )
    try:
        with Image.open(name) as opened_mask:
            gray = opened_mask.convert("L")
    except (OSError, UnidentifiedImageError):
        raise UserError(f"the mask {name} is no picture; give a .png, white where the image is known.") from None
    height, width = shape[1:]
    if gray.size != (width, height):
        raise UserError(
            f"the mask {name} has {gray.size[0]}x{gray.size[1]} pixels, and this game's images have {width}x{height}; give "
            f"one of that size."
        )
    return (torch.tensor(list(gray.getdata()), dtype=torch.float32).view(1, height, width) >= 128).float()
