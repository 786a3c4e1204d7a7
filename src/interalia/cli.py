"""The command line: a thin skin over recipes, tasks and results. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from interalia import __version__
from interalia.errors import UserError, unknown
from interalia.runs import FREE, Folder, Run, from_toml, kinds, writing

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.data import Dataset
    from interalia.games import Game
    from interalia.runs import Trained

app = App(
    name="interalia",
    version=__version__,
    help="Adversarially learned inference: train models that generate and infer, use them, and measure them.",
)

# each field of a run is a flag, with the recipe's value where the flag is not given


def whole(_: Any, tokens: Sequence[Any]) -> int:
    """A whole number; 2.5 is refused and not cut to 2."""
    text = tokens[0].value
    try:
        return int(text.replace("_", "").replace(",", ""))
    except ValueError:
        raise UserError(f"{tokens[0].keyword} is {text!r}, and it must be a whole number.") from None


def flag(f: dataclasses.Field[Any]) -> Any:
    """The type of a field's flag, with its help."""
    kind = kinds()[f.name]
    more: dict[str, Any] = {"converter": whole} if kind in (int, int | None) else {}
    return Annotated[kind | None, Parameter(help=f"{f.metadata['about']}.", show_default=False, **more)]


Overrides: Any = dataclasses.make_dataclass(
    "Overrides",
    [(f.name, flag(f), dataclasses.field(default=None)) for f in dataclasses.fields(Run)],
    frozen=True,
)
Overrides.__module__ = (
    __name__  # as if it were written out here; cyclopts takes a class of module "types" for a builtin
)


@app.command
def train(
    recipe: str | None = None,
    *,
    overrides: Annotated[Overrides | None, Parameter(name="*")] = None,
    out: Path | None = None,
    resume: Path | None = None,
    dry_run: bool = False,
    tensorboard: bool = False,
) -> None:
    """Train a run and make its page of results.

    Parameters
    ----------
    recipe
        A recipe's name (see `interalia list recipes`) or a .toml file of a run's fields; by default ali-digits, or
        ali-images where --data is given.
    overrides
        The fields of a run.
    out
        The folder of the run; by default runs/NAME, or runs/NAME-2 and so on where that exists.
    resume
        The folder of a run to go on with; --steps may ask for more than was first planned.
    dry_run
        Print the run as TOML, which this command takes back, and train nothing.
    tensorboard
        Write event files for TensorBoard too (needs the extra).
    """
    given = {} if overrides is None else {k: v for k, v in dataclasses.asdict(overrides).items() if v is not None}
    run = described(recipe, given) if resume is None else resumed(resume, recipe, given, out)
    run.check_parts()
    if dry_run:
        print(run.dump(), end="")
        return
    from interalia import engine, observers, results

    if Path(run.name).name != run.name:
        raise UserError(
            f"--name is {run.name!r}, and it is the name of a folder: without a slash; use --out for a path."
        )
    folder = resume or out or free(Path("runs") / run.name)
    prepared = engine.open_run(run, folder, resume=resume is not None)
    engine.spare_threads(prepared)
    trained = engine.finish(prepared, observers.usual(prepared, tensorboard=tensorboard))
    if trained.step < prepared.steps:
        raise SystemExit(130)
    say(f"The page of results: {results.make(trained)}")


def described(recipe: str | None, given: dict[str, Any]) -> Run:
    """The run that a recipe's name or a TOML file and the flags describe."""
    from interalia.recipes import CATALOGUE

    if recipe is None:
        recipe = "ali-images" if "data" in given else "ali-digits"
    if recipe.endswith(".toml"):
        return Run(**from_toml(Path(recipe))).replace(**given)
    if recipe not in CATALOGUE:
        raise unknown("recipe", recipe, CATALOGUE)
    return CATALOGUE[recipe](**given)


def resumed(folder: Path, recipe: str | None, given: dict[str, Any], out: Path | None) -> Run:
    """The run that a folder keeps, with a new length."""
    for key in given:
        if key not in FREE:
            raise UserError(
                f"a resumed run keeps its description, and --{key.replace('_', '-')} would change it; leave it out, or "
                f"train a new run."
            )
    if recipe is not None or out is not None:
        raise UserError("a resumed run keeps its recipe and its folder; leave out the recipe and --out.")
    run = Folder(folder).run()
    if "epochs" in given and "steps" not in given:
        given["steps"] = None
    return run.replace(**given)


def free(path: Path) -> Path:
    """`path`, or the first of path-2, path-3 ... that does not exist."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


RunFolder = Annotated[Path, Parameter(help="The folder of a run, or a .safetensors file exported from one.")]
Images = Annotated[list[Path] | None, Parameter(help="Images, or folders of them; by default held-out ones.")]
Told = Annotated[
    str | None,
    Parameter(
        help="What a conditional game is told of given images: a label for all of them or one each, with commas between "
        "them; or the names of the attributes that they have."
    ),
]
LevelName = Annotated[Literal["upper", "lower"], Parameter(help="Of latents, of a game with two levels.")]
Seed = Annotated[int, Parameter(help="Of the random numbers.")]
Out = Annotated[Path | None, Parameter(help="The file to write; by default one in the run's folder of figures.")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda ...")]


@app.command
def generate(
    run: RunFolder,
    *,
    count: int | None = None,
    label: int | None = None,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
    separate: bool = False,
) -> None:
    """Draw samples and write them as one picture, or as an array (--out FILE.npz), or one file each (--separate).

    Parameters
    ----------
    count
        How many samples; by default 64, or of a conditional game 10 of each label, a row a label.
    label
        The label of all samples, of a game that was told labels.
    separate
        Write each sample as a file of its own into the folder --out.
    """
    from interalia import plots, tasks

    positive("count", 64 if count is None else count)
    trained = opened(run, device)
    by_label = trained.game.labels and not trained.game.attributes and count is None and label is None
    x = tasks.by_label(trained.game, 10, seed) if by_label else tasks.generate(trained.game, count or 64, seed, label)
    if separate:
        if x.ndim != 4:
            raise UserError("vectors cannot be written as pictures; leave out --separate and give --out FILE.npz.")
        folder = out or figure(trained, run, "generated")
        for i, image in enumerate(x):
            plots.single(image.numpy(), folder / f"{i:06d}.png")
        say(f"{len(x)} samples: {folder}")
        return
    path = picture(out or figure(trained, run, "generated.png" if x.ndim == 4 else "generated.npz"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, x=x)
    else:
        plots.grid(x.numpy(), path, columns=10 if by_label else None)
    say(f"{len(x)} samples: {path}")


@app.command
def reconstruct(
    run: RunFolder,
    images: Images = None,
    *,
    count: int = 40,
    level: LevelName = "upper",
    told: Told = None,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
) -> None:
    """Encode and decode images: originals above, reconstructions below, and how far apart they are.

    Parameters
    ----------
    count
        How many held-out images, where none are given.
    """
    from interalia import plots, tasks
    from interalia.metrics.inference import reconstruction

    positive("count", count)
    trained = opened(run, device)
    tasks.capable(trained.game, "reconstruct", "encoder", "decoder")
    x, y = inputs(trained, images, count, seed=0, told=told)
    x_hat = tasks.reconstruct(trained.game, x, seed, y, level)
    path = picture(out or figure(trained, run, "reconstructed.png" if x.ndim == 4 else "reconstructed.npz"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, x=x, x_hat=x_hat)
    else:
        plots.pairs(x.numpy(), x_hat.numpy(), path)
    say(f"{len(x)} reconstructions: {path}")
    if len(x) > 1:
        measured = reconstruction(x, x_hat)
        say(
            f"mean L2 error {measured.error:.3f}, {measured.ratio:.3f} of what another image's reconstruction "
            f"gives ({measured.shuffled:.3f})" + (f"; PSNR {measured.psnr:.1f} dB" if x.ndim == 4 else "")
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
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
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
    from interalia import plots, tasks

    positive("pairs", pairs)
    trained = opened(run, device)
    tasks.capable(trained.game, "interpolate", "encoder", "decoder")
    x, y = inputs(trained, images, 2 * pairs, seed, told)
    if len(x) < 2:
        raise UserError(f"an interpolation needs 2 images, and {len(x)} was given; give one more.")
    if len(x) % 2:
        raise UserError(
            f"{len(x)} images do not make pairs (the first half is led to the second); give one more or fewer."
        )
    half = len(x) // 2
    a, b = x[:half], x[half : 2 * half]
    way = tasks.interpolate(
        trained.game, a, b, steps, how, seed, None if y is None else (y[:half], y[half : 2 * half]), level
    )
    path = picture(out or figure(trained, run, "interpolated.png" if x.ndim == 4 else "interpolated.npz"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, a=a, way=way, b=b)
    else:
        plots.interpolations(a.numpy(), way.numpy(), b.numpy(), path)
    say(f"{half} interpolations: {path}")


@app.command
def traverse(
    run: RunFolder,
    *,
    rows: int = 10,
    columns: int = 10,
    low: float = -2.0,
    high: float = 2.0,
    dimensions: int = 6,
    seed: Seed = 0,
    out: Annotated[
        Path | None, Parameter(help="A folder for one picture a code, or a .png or .npz file for all of them.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Vary one code of z at a time: in each row of a picture the rest of z is fixed, along it the code takes its values.

    A game whose z has no codes shows its first few dimensions in the same way.

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
    from interalia import plots, tasks

    for name, value in (("rows", rows), ("columns", columns), ("dimensions", dimensions)):
        positive(name, value)
    trained = opened(run, device)
    names = tasks.directions(trained.game, dimensions)
    found = {name: tasks.traverse(trained.game, i, rows, columns, low, high, seed) for i, name in enumerate(names)}
    images = len(trained.game.shape) == 3
    path = out or figure(trained, run, "traversals" if images else "traversals.npz")
    if path.suffix == ".npz" or not images:
        save_arrays(path, **found)
    elif not path.suffix:
        for name, block in found.items():
            plots.traversals([block.numpy()], path / f"{name}.png")
    else:
        plots.traversals([block.numpy() for block in found.values()], picture(path))
    say(f"{len(found)} traversals, {', '.join(found)}: {path}")


@app.command
def edit(
    run: RunFolder,
    images: Images = None,
    *,
    to: Annotated[str | None, Parameter(help="What to change; see below.")] = None,
    told: Told = None,
    count: int = 8,
    strengths: Annotated[
        list[float] | None, Parameter(help="How far to go, in differences of the means; by default -2 to 2.")
    ] = None,
    examples: int = 5000,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
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

    from interalia import plots, results, tasks

    positive("count", count)
    trained = opened(run, device)
    game = trained.game
    tasks.capable(game, "edit", "encoder", "decoder")
    x, y = inputs(trained, images, count, seed, told)
    if game.labels:
        names = list(game.attributes) or [str(label) for label in range(game.labels)]
        chosen = names if to is None else [name.strip() for name in to.split(",")]
        for name in chosen:
            if name not in names:
                raise unknown("attribute" if game.attributes else "label", name, names)
        tasks.told(game, y, len(x))
        assert y is not None
        edited = tasks.edits(game, x, y, seed)[:, [names.index(name) for name in chosen]]
        columns = ", ".join(chosen)
    else:
        if to is None:
            raise UserError(
                f"this {type(game).__name__} was not told any labels; name the label or attribute to move along with --to."
            )
        known, has = labelled(results.dataset_of(trained), to, examples, seed)
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

    from interalia.data.store import as_tensor

    rows = (
        torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed))[:count].sort().values.numpy()
    )
    attributes = [str(known) for known in dataset.attributes.get("names", ())]
    classes = list(dataset.classes) or [str(label) for label in range(dataset.labels)]
    if name in attributes:
        values = dataset.attributes["train"][rows, attributes.index(name)] > 0
    elif name in classes and dataset.train.y is not None:
        values = dataset.train.y[rows] == classes.index(name)
    elif attributes or classes:
        raise unknown("label or attribute", name, [*attributes, *classes])
    else:
        raise UserError(f"the data set {dataset.name!r} has neither labels nor attributes to edit by.")
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
    from interalia import plots, tasks

    positive("count", count)
    trained = opened(run, device)
    tasks.capable(trained.game, "complete", "decoder")
    if len(trained.game.shape) != 3:
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

    height, width = game.shape[1:]
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


@app.command
def neighbours(
    run: RunFolder,
    images: Images = None,
    *,
    nearest: int = 8,
    among: int = 10_000,
    told: Told = None,
    count: int = 10,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
) -> None:
    """Find the training images whose z is nearest to an image's: a row an image, its neighbours beside it.

    Parameters
    ----------
    nearest
        How many neighbours of each image.
    among
        Among how many training images, drawn by seed.
    count
        How many held-out images, where none are given.
    """
    import torch

    from interalia import plots, results, tasks
    from interalia.data.store import as_tensor

    positive("count", count)
    positive("among", among)
    trained = opened(run, device)
    tasks.capable(trained.game, "neighbours", "encoder")
    x, y = inputs(trained, images, count, seed, told)
    dataset = results.dataset_of(trained)
    rows = (
        torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed))[:among].sort().values.numpy()
    )
    others = as_tensor(dataset.train.x[rows])
    values = dataset.conditions("train", trained.game.attributes) if trained.game.labels else None
    pair = None if values is None or y is None else (y, torch.from_numpy(values[rows]))
    found = tasks.neighbours(trained.game, x, others, nearest, seed, pair)
    path = picture(out or figure(trained, run, "neighbours.png" if x.ndim == 4 else "neighbours.npz"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, x=x, neighbours=others[found], rows=rows[found.numpy()])
    else:
        plots.interpolations(x.numpy(), others[found].numpy(), None, path)
    say(f"{len(x)} images with {nearest} neighbours of {len(rows)}: {path}")
    if dataset.test.y is not None and dataset.train.y is not None and not images:
        own = dataset.test.y[results.rows(dataset, count, seed)]
        share = float((dataset.train.y[rows][found.numpy()] == own[:, None]).mean())
        say(f"neighbours of the same label: {100 * share:.1f} %")


@app.command
def translate(
    run: RunFolder,
    images: Annotated[
        list[Path] | None, Parameter(help="Images, or folders of them; by default held-out ones of the other domain.")
    ] = None,
    *,
    to: Literal["a", "b"] = "b",
    count: int = 20,
    out: Out = None,
    device: Device = "auto",
    separate: bool = False,
) -> None:
    """Translate images into another domain: originals above, translations below, and below them the way back.

    Parameters
    ----------
    to
        The domain to translate into: b, of the run's target, or a, of its data.
    count
        How many held-out images, where none are given.
    separate
        Write each translation as a file of its own into the folder --out.
    """
    from interalia import plots, results, tasks

    positive("count", count)
    trained = opened(run, device)
    tasks.check_translator(trained.game)
    if images:
        x = given_images(trained, images)
    else:
        dataset = results.dataset_of(trained)
        source = dataset if to == "b" or dataset.other is None else dataset.other
        x = results.held_out(source, count)
    fake = tasks.translate(trained.game, x, to)
    if separate:
        if x.ndim != 4:
            raise UserError("vectors cannot be written as pictures; leave out --separate and give --out FILE.npz.")
        folder = out or figure(trained, run, f"translated_to_{to}")
        for i, image in enumerate(fake):
            plots.single(image.numpy(), folder / f"{i:06d}.png")
        say(f"{len(x)} translations: {folder}")
        return
    back = tasks.translate(trained.game, fake, "a" if to == "b" else "b")
    path = picture(out or figure(trained, run, f"translated_to_{to}.{'png' if x.ndim == 4 else 'npz'}"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, x=x, translation=fake, back=back)
    else:
        plots.cycles(x.numpy(), fake.numpy(), back.numpy(), path)
    say(f"{len(x)} translations: {path}")
    say(f"mean distance of the way back, a number: {float((x - back).abs().mean()):.3f}")


@app.command
def encode(
    run: RunFolder,
    images: Annotated[list[Path], Parameter(help="Images, or folders of them.")],
    *,
    out: Path,
    sample: bool = False,
    told: Told = None,
    seed: Seed = 0,
    device: Device = "auto",
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

    trained = opened(run, device)
    tasks.capable(trained.game, "encode", "encoder")
    x, y = inputs(trained, images, 0, seed, told)
    z = tasks.encode(trained.game, x, seed, "sample" if sample else "mean", y)
    save_arrays(out, z=z, features=tasks.features(trained.game, x, y=y), files=[str(path) for path in expand(images)])
    say(f"{len(z)} latents of {z.shape[1]} dimensions: {out}")


@app.command
def classify(
    run: RunFolder,
    images: Images = None,
    *,
    count: int = 40,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="A .csv file: a row an image, its label and each probability.")] = None,
    device: Device = "auto",
) -> None:
    """Read the labels of images by a semi-supervised game.

    Parameters
    ----------
    count
        How many held-out images, where none are given.
    """
    import csv

    from interalia import results, tasks
    from interalia.data.files import expand

    positive("count", count)
    trained = opened(run, device)
    x, _ = inputs(trained, images, count, seed, None)
    probabilities = tasks.classify(trained.game, x, seed)
    read = probabilities.argmax(1)
    names = [str(path) for path in expand(images)] if images else []
    if len(names) != len(x):  # held-out images, or an array of many
        names = [str(row) for row in range(len(x))]
    if out is not None:
        if out.suffix != ".csv":
            raise UserError(f"--out is {out}, and labels are written as .csv; give a name that ends in .csv.")
        with writing(out) as file:
            table = csv.writer(file)
            table.writerow(["image", "label", *(f"p{label}" for label in range(trained.game.classes))])
            for name, label, row in zip(names, read.tolist(), probabilities.tolist(), strict=True):
                table.writerow([name, label, *(f"{p:.6f}" for p in row)])
        say(f"{len(x)} labels: {out}")
    else:
        for name, label, p in zip(names, read.tolist(), probabilities.max(1).values.tolist(), strict=True):
            say(f"{name}: {label} ({100 * p:.1f} %)")
    if not images:
        dataset = results.dataset_of(trained)
        if dataset.test.y is not None:
            right = float((read.numpy() == dataset.test.y[results.rows(dataset, count, seed)]).mean())
            say(f"right: {100 * right:.1f} %")


@app.command
def evaluate(
    run: RunFolder,
    *,
    split: Literal["test", "validation"] = "test",
    count: int | None = None,
    seed: Seed = 0,
    device: Device = "auto",
    features: Literal["auto", "classifier", "random", "inception"] = "auto",
    best: bool = False,
) -> None:
    """Measure a run on held-out data and write results.json, with the protocol of every number.

    Parameters
    ----------
    split
        The part of the data to measure on.
    count
        How many samples and held-out images; by default up to 5,000.
    features
        Whose features the distances are computed in.
    best
        Measure the best weights by the run's declared measure, in place of the last.
    """
    from interalia import results

    trained = opened(best_of(run) if best else run, device, home=run)
    found = results.evaluate(
        trained, split=split, count=count, seed=seed, features=features, weights="best" if best else "last"
    )
    results.show(found)
    say(f"Written: {results.home(trained).results}")


@app.command
def report(run: Annotated[Path, Parameter(help="The folder of a run.")]) -> None:
    """Draw the figures anew and write the run's page, report.html, from what the folder holds."""
    from interalia import results

    trained = opened(run, "auto")
    say(f"The page of results: {results.page(trained)}")


@app.command
def reproduce(
    name: str | None = None,
    *,
    quick: bool = False,
    root: Path | None = None,
    out: Path = Path("runs/reproduce"),
    seeds: int | None = None,
    steps: int | None = None,
    only: str | None = None,
    again: bool = False,
) -> None:
    """Do an experiment of a paper anew: its table, with the paper's figures beside ours.

    Parameters
    ----------
    name
        The experiment (see `interalia list experiments`); by default mixture-25.
    quick
        A form of under a minute that shows the table's shape and proves nothing.
    root
        The folder of data files that are there already.
    out
        The folder for the table and for the rows that are done; an interrupted experiment goes on from them.
    seeds
        How many seeds, in place of the experiment's own number.
    steps
        The length of every training, in place of the protocol's; the table says that it was cut.
    only
        Do only the rows whose name has this in it.
    again
        Forget the rows that are done, and begin anew.
    """
    from interalia import experiments

    experiments.reproduce(
        name or "mixture-25", quick=quick, root=root, out=out, seeds=seeds, steps=steps, only=only, again=again
    )


Room = Literal[
    "recipes", "games", "divergences", "dynamics", "penalties", "noises", "networks", "conditionals", "priors",
    "optimisers", "schedules", "data", "metrics", "experiments",
]  # fmt: skip


@app.command(name="list")
def list_(room: Annotated[Room | None, Parameter(help="The room; by default all of them.")] = None) -> None:
    """Print what there is: each name with its settings and what it is."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from interalia import rooms

    console = Console(highlight=False)
    for name in [room] if room else rooms.ROOMS:
        table = Table(title=name, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        table.add_column("name", no_wrap=True)
        table.add_column("what it is")
        if not any(rooms.settings(member) for member in rooms.members(name).values()):
            table.show_header = False
        for key, member in rooms.members(name).items():
            settings = rooms.settings(member)
            table.add_row(key, escape(rooms.about(member)) + (f" [dim]({escape(settings)})[/dim]" if settings else ""))
        console.print(table)
        console.print()


def opened(run: Path, device: str, home: Path | None = None) -> Trained:
    from interalia.runs import load

    trained = load(run, device)
    return trained if home is None else dataclasses.replace(trained, folder=Folder(home))


def best_of(run: Path) -> Path:
    path = Folder(run).checkpoints / "best.safetensors"
    if not path.exists():
        raise UserError(f"{run} keeps no best weights: it was never evaluated in training; leave out --best.")
    return path


def given_images(trained: Trained, images: Sequence[Path]) -> Tensor:
    """The user's images, as the run's networks take them."""
    if all(path.suffix in (".npy", ".npz") for path in images):
        return arrays(images)
    from interalia.data.files import read_images

    return read_images(images, trained.game.shape)


def arrays(paths: Sequence[Path]) -> Tensor:
    """What .npy and .npz files hold (the array x, or the first), one after the other, as a game takes it."""
    import numpy as np
    import torch

    from interalia.data.store import as_tensor

    parts = []
    for path in paths:
        try:
            found = np.load(path, allow_pickle=False)
            array = found if isinstance(found, np.ndarray) else found["x" if "x" in found else found.files[0]]
            parts.append(as_tensor(array if array.dtype == np.uint8 else array.astype(np.float32)))
        except (OSError, ValueError, IndexError, EOFError) as error:
            raise UserError(f"the array in {path} cannot be read ({error}); write it with numpy.save.") from None
    return torch.cat(parts)


def inputs(
    trained: Trained, images: Sequence[Path] | None, count: int, seed: int, told: str | None
) -> tuple[Tensor, Tensor | None]:
    """The user's images, or `count` of the run's test split drawn by seed, and what a conditional game is told of them."""
    from interalia import results

    if images:
        x = given_images(trained, images)
        return x, None if told is None else conditions(trained.game, told, len(x))
    if told is not None:
        raise UserError("--told says what given images are, and none are given; leave it out, or give images.")
    dataset = results.dataset_of(trained)
    return results.held_out(dataset, count, seed), results.conditions(trained.game, dataset, count, seed)


def conditions(game: Game, told: str, count: int) -> Tensor:
    """Labels, shape (count,), or attributes, shape (count, labels), from --told."""
    import torch

    words = [word.strip() for word in told.split(",") if word.strip()]
    if game.attributes:
        names = list(game.attributes)
        for word in words:
            if word not in names:
                raise unknown("attribute", word, names)
        return torch.tensor([float(name in words) for name in names]).expand(count, -1)
    if not game.labels:
        raise UserError(f"this {type(game).__name__} is told nothing; leave out --told.")
    try:
        labels = [int(word) for word in words]
    except ValueError:
        raise UserError(
            f"--told is {told!r}, and this game's labels are numbers from 0 to {game.labels - 1}."
        ) from None
    if len(labels) not in (1, count):
        raise UserError(f"--told gives {len(labels)} labels for {count} images; give one for all of them, or one each.")
    return torch.tensor(labels * (count if len(labels) == 1 else 1))


def figure(trained: Trained, run: Path, name: str) -> Path:
    """Where a picture goes that no --out was given for."""
    return trained.folder.figures / name if trained.folder else run.with_name(name)


def save_arrays(path: Path, **arrays: Any) -> None:
    import numpy as np

    if path.suffix != ".npz":
        raise UserError(f"--out is {path}, and arrays are written as .npz; give a name that ends in .npz.")
    with writing(path, "wb") as file:
        np.savez(file, allow_pickle=False, **{key: np.asarray(value) for key, value in arrays.items()})


def picture(path: Path) -> Path:
    """The path, if it is one of a picture or of arrays.

    Raises:
        UserError: it ends in something else.
    """
    if path.suffix not in (".png", ".npz"):
        raise UserError(f"--out is {path}, and it must end in .png for a picture, or in .npz for arrays.")
    return path


def positive(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"--{name} is {value}, and it must be at least 1.")


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The program: exit code 0, 2 for a mistake that the user can mend, 130 for an interruption."""
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except (UserError, CycloptsError) as error:
        print(f"interalia: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "out of memory" not in str(error).lower():
            raise
        print("interalia: there is not enough memory; lower --batch or --size, or use --device cpu.", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"interalia: {place}{error.strerror or error}.", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
